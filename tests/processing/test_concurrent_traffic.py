"""All value commands at random, by many at once, against the oracle: what was told fits the order of the books.

``tests/processing/oracle/serial.py`` says what is compared, and how the order is known.
"""

from __future__ import annotations

import pytest

from tests.processing.books import Books
from tests.processing.oracle.crowd import by_threads
from tests.processing.oracle.serial import Crowd

THREADS, BATCHES = 4, 30


@pytest.mark.parametrize("seed", range(3))
def test_what_threads_are_told_fits_one_order(books: Books, seed: int) -> None:
    crowd = Crowd.of(books, seed)
    for _ in range(3):
        crowd.pause()
        shares = crowd.shares(THREADS, BATCHES)
        real = [[crowd.real(task) for task in share] for share in shares]
        before = crowd.world.books.entries()
        happened = by_threads(crowd.world.books, real, crowd.traffic.dice)
        crowd.judge(shares, happened)
        after = crowd.world.books.entries()
        assert {place: after.get(place) for place in before} == before, "an entry was changed or deleted"
        crowd.check()
    crowd.check_books()
