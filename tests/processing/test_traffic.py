"""All value commands at random, against the oracle: same words, amounts and lots, whatever travels together.

``tests/processing/oracle`` tells the commands again from their docstrings and design.md, in memory. A failure names a
seed: ``live(books, quiet, seed, STEPS)`` lives that life again. The everyday seeds are always the same, ``-m slow``
takes new ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from processing.database import Database
from processing.execute import Core
from tests.processing.books import Books, StillClock
from tests.processing.oracle.life import live

STEPS, MANY_STEPS = 8, 14
EVERYDAY, MANY = 4, 400
SEED = st.integers(0, 2**32)
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""A seed cannot shrink."""


@pytest.fixture
def quiet(sqlite_books: Books, tmp_path: Path) -> Iterator[Books]:
    """Books beside those under test, on which no worker ever runs."""
    database = Database(f"sqlite:///{shutil.copy(str(sqlite_books.database.url.database), tmp_path / 'quiet.db')}")
    work = sqlite_books.core.work
    yield Books(Core(database, work.directory, work.vault), database, StillClock())
    database.dispose()


@settings(max_examples=EVERYDAY, phases=NO_SHRINKING, derandomize=True)
@given(seed=SEED)
def test_any_traffic_is_answered_as_the_oracle_says(books: Books, quiet: Books, seed: int) -> None:
    live(books, quiet, seed, STEPS)


@pytest.mark.slow
@settings(max_examples=MANY, phases=NO_SHRINKING)
@given(seed=SEED)
def test_much_traffic_is_answered_as_the_oracle_says(books: Books, quiet: Books, seed: int) -> None:
    live(books, quiet, seed, MANY_STEPS)
