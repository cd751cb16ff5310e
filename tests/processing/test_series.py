"""Known lines: a batch that is looked up while the one before it is still booked is judged as if it came after it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from processing import series, tables
from processing.database import Database
from processing.series import BLOCK, CONFLICT, KNOWN, NEW, Known, Lines
from tests.effort import drawn
from tests.processing.books import Books

Batch = Sequence[Lines]

LINE = st.tuples(st.integers(1, 2 * BLOCK), st.integers(1, 3))
LINES = st.lists(LINE, min_size=1, max_size=4, unique_by=lambda line: line[0])
BATCHES = st.lists(st.lists(LINES, min_size=1, max_size=3), min_size=1, max_size=6)


def begun(database: Database, link: str, batch: Batch, before: Known | None) -> tuple[Known, list[str]]:
    with database.reading() as connection:
        known = series.load(connection, link, (("till", lines) for lines in batch))
    if before is not None:
        known.follow(before)
    return known, [known.judge("till", lines) for lines in batch]


def remembered(database: Database, known: Known, batch: Batch, verdicts: Sequence[str]) -> None:
    for lines, verdict in zip(batch, verdicts, strict=True):
        if verdict == NEW:
            known.settle("till", lines)
    with database.transaction() as connection:
        known.save(connection)


def kept(database: Database, link: str) -> dict[int, bytes]:
    table = tables.series_block.c
    with database.reading() as connection:
        rows = connection.execute(select(table.block, table.checksums).where(table.link == link)).all()
    return {row.block: bytes(row.checksums) for row in rows}


@pytest.fixture(scope="module")
def names() -> list[str]:
    """Each example has links of its own in the one database."""
    return []


@settings(max_examples=drawn(50))
@given(BATCHES)
def test_batches_that_overlap_are_judged_and_kept_as_if_they_did_not(
    open_sqlite_books: Books, names: list[str], batches: list[Batch]
) -> None:
    database, number = open_sqlite_books.database, len(names)
    names.append(str(number))
    one_by_one, overlapping = [], []
    for batch in batches:
        known, verdicts = begun(database, f"a{number}", batch, None)
        remembered(database, known, batch, verdicts)
        one_by_one.append(verdicts)
    last: tuple[Known, Batch, list[str]] | None = None
    for batch in batches:
        known, verdicts = begun(database, f"b{number}", batch, last[0] if last else None)
        if last:
            remembered(database, *last)
        overlapping.append(verdicts)
        last = known, batch, verdicts
    assert last is not None
    remembered(database, *last)
    assert overlapping == one_by_one
    assert kept(database, f"b{number}") == kept(database, f"a{number}")


def test_what_goes_before_is_known_or_in_conflict(books: Books) -> None:
    before, _ = begun(books.database, "a", [[(1, 5)]], None)
    _, verdicts = begun(books.database, "a", [[(1, 5)], [(1, 6)], [(1, 5), (2, 7)]], before)
    assert verdicts == [KNOWN, CONFLICT, NEW]
