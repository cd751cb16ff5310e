"""All value commands at random, from many at once, against the oracle: what was told fits the order of the books.

``tests/processing/oracle/serial.py`` says what is compared, ``crowd.py`` how the order is known. A seed makes the same
messages to begin with, but not the same race: a failure tells the story of the cards and keys that it is about.
"""

from __future__ import annotations

import random
from functools import partial

import pytest

from processing import selects
from processing.database import Statement
from tests.processing.books import Books
from tests.processing.oracle.crowd import Run, by_processes, by_threads, serve
from tests.processing.oracle.serial import live
from tests.processing.rivals import PROCESSES, team

THREADS, BATCHES, ROUNDS = 4, 24, 2
EVERYDAY, MANY = 2, 60
MANY_BATCHES, MANY_ROUNDS = 40, 3


@pytest.mark.parametrize("seed", range(EVERYDAY))
def test_what_threads_are_told_fits_one_order(books: Books, seed: int) -> None:
    live(books, seed, ROUNDS, by_threads, THREADS, BATCHES)


def seeds() -> list[int]:
    """New ones each time; whoever fails is told its own."""
    return [random.randrange(2**32) for _ in range(MANY)]


def live_many(books: Books, run: Run, askers: int) -> None:
    for seed in seeds():
        try:
            live(books, seed, MANY_ROUNDS, run, askers, MANY_BATCHES)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.slow
def test_what_threads_are_told_fits_one_order_each_time(books: Books) -> None:
    live_many(books, by_threads, THREADS)


@pytest.mark.slow
def test_what_processes_are_told_fits_one_order(postgresql: Books) -> None:
    with team(postgresql.url, serve) as own:
        live_many(postgresql, partial(by_processes, own), PROCESSES)


@pytest.mark.slow
def test_without_locks_on_accounts_it_does_not(postgresql: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle is no rubber stamp."""
    unlocked = Statement(
        "SELECT id, wallet_id, unit, balance FROM account WHERE wallet_id IN_IDS(:wallets) ORDER BY id"
    )
    monkeypatch.setattr(selects, "LOCK_WALLETS", unlocked)
    with pytest.raises(AssertionError, match="seed"):
        live_many(postgresql, by_threads, THREADS)
