"""Settlement between partners and the roll-forward of liability: every figure ties to entries (docs/reports.md).

The laws are checked on random traffic, against sums of entries that know nothing of flows; the cases are told with
their figures.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from processing.database import Database
from processing.execute import Core
from processing.liability import CHANGES, Liability, liability
from processing.periods import Period
from processing.settlement import COLUMNS, NET, OWED, Settlement, settlement
from tests.processing.books import (
    NOON,
    Books,
    StillClock,
)
from tests.processing.oracle.life import live

STEPS, EVERYDAY, MANY = 8, 6, 400
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
UTC_ZONE = ZoneInfo("UTC")
LONG_AGO, FAR = date(2026, 5, 1), 366

# Laws ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def quiet(sqlite_books: Books, tmp_path: Path) -> Iterator[Books]:
    """Books beside those under test, on which no worker ever runs."""
    database = Database(f"sqlite:///{shutil.copy(str(sqlite_books.database.url.database), tmp_path / 'quiet.db')}")
    work = sqlite_books.core.work
    yield Books(Core(database, work.directory, work.vault), database, StillClock())
    database.dispose()


def settle(books: Books, first: date, until: date, unit: str = "") -> Settlement:
    return settlement(books.database, books.core.work.directory, Period(first, until, UTC_ZONE), unit)


def owe(books: Books, first: date, until: date, unit: str = "") -> Liability:
    return liability(books.database, books.core.work.directory, Period(first, until, UTC_ZONE), unit)


def booked(books: Books, period: Period) -> list[tuple[Any, ...]]:
    """(unit, account's kind, partner or issuer, is given, amount) of every entry of the period."""
    instant = books.database.instant
    span = {"since": instant(period.begins_at), "until": instant(period.ends_at)}
    return books.rows(
        """
        SELECT a.unit, a.kind, p.code, e.amount FROM entry e JOIN account a ON a.id = e.account_id
        LEFT JOIN lot l ON l.id = e.lot_id JOIN partner p ON p.id = coalesce(a.partner_id, l.issuer_id)
        WHERE e.booked_at >= :since AND e.booked_at < :until
        """,
        **span,
    )


# Which entries a column is made of: account, sign of the entries (0: both), and sign of their sum.
ENTRIES = {
    "issued": ("issued", -1, -1),
    "taken_back": ("issued", 1, 1),
    "redeemed": ("redeemed", 1, 1),
    "given_back": ("redeemed", -1, -1),
    "expired": ("expired", 0, 1),
    "loaded": ("cash", -1, -1),
    "paid_out": ("cash", 1, 1),
    "adjusted": ("adjusted", 0, -1),
    "suspense": ("suspense", 0, 1),
}


def check_columns(report: Settlement, entries: list[tuple[Any, ...]]) -> None:
    """Each column of a partner's rows is the sum of the entries of its account."""
    assert {*ENTRIES, "covered"} == set(COLUMNS)
    for name, (kind, wanted, sign) in ENTRIES.items():
        found: Counter[Any] = Counter()
        for row in report.rows:
            found[row.unit, row.partner] += row.figures[name].amount
        expected: Counter[Any] = Counter()
        for unit, of, partner, amount in entries:
            if of == kind and (not wanted or (amount > 0) == (wanted > 0)):
                expected[unit, partner] += sign * amount
        assert without_zeros(found) == without_zeros(expected), name


def check_owed(report: Settlement, entries: list[tuple[Any, ...]]) -> None:
    """What a partner is owed is what its accounts took and its lots got; two partners have no other way to settle."""
    expected: Counter[Any] = Counter()
    for unit, _, partner, amount in entries:
        expected[unit, partner] += amount
    for owned in (net_of_rows(report), net_of_owed(report)):
        assert without_zeros(owned) == without_zeros(expected)
    for row in report.rows:
        if row.issuer == row.partner:
            assert row.figures[NET] == (0, 0)
        for index in (0, 1):
            total = sum(sign * row.figures[name][index] for name, sign in OWED.items())
            assert row.issuer == row.partner or row.figures[NET][index] == total
        for name in ("issued", "taken_back", "expired", "suspense"):
            assert row.issuer == row.partner or row.figures[name] == (0, 0), "only its own"
    assert all(all(sign_of(each.figure) >= 0 for each in report.owed) for each in report.owed)


def sign_of(figure: Any) -> int:
    return min(figure)


def net_of_rows(report: Settlement) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for row in report.rows:
        found[row.unit, row.issuer] -= row.figures[NET].amount
        found[row.unit, row.partner] += row.figures[NET].amount
    return found


def net_of_owed(report: Settlement) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for owed in report.owed:
        found[owed.unit, owed.debtor] -= owed.figure.amount
        found[owed.unit, owed.creditor] += owed.figure.amount
    return found


def without_zeros(sums: Mapping[Any, int]) -> dict[Any, int]:
    return {key: amount for key, amount in sums.items() if amount}


def by_issuer(report: Liability, name: str, index: int = 0) -> dict[Any, int]:
    return without_zeros({(row.unit, row.issuer): row.figures[name][index] for row in report.rows})


def check_roll_forward(report: Liability, entries: list[tuple[Any, ...]]) -> None:
    """Opening and the columns make closing, in the unit and in money, and the columns are what lots got."""
    got: Counter[Any] = Counter()
    for unit, kind, issuer, amount in entries:
        if kind == "wallet":
            got[unit, issuer] += amount
    changed: Counter[Any] = Counter()
    for row in report.rows:
        for index in (0, 1):
            change = sum(sign * row.figures[name][index] for name, sign in CHANGES.items())
            assert row.figures["opening"][index] + change == row.figures["closing"][index]
        changed[row.unit, row.issuer] += row.figures["closing"].amount - row.figures["opening"].amount
    assert without_zeros(changed) == without_zeros(got)
    covered: Counter[str] = Counter()
    for row in report.rows:
        covered[row.unit] += row.figures["covered"].amount
    assert without_zeros(covered) == {}, "what some covered others got"


def check_lots(books: Books, report: Liability) -> None:
    """The last closing is what lots hold."""
    rows = books.rows(
        """
        SELECT a.unit, p.code, l.is_debt, CAST(sum(l.remaining) AS BIGINT) FROM lot l
        JOIN account a ON a.id = l.account_id JOIN partner p ON p.id = l.issuer_id
        WHERE l.is_open GROUP BY a.unit, p.code, l.is_debt
        """
    )
    held: Counter[Any] = Counter()
    debts: Counter[Any] = Counter()
    for unit, issuer, is_debt, amount in rows:
        held[unit, issuer] += amount
        debts[unit, issuer] += amount if is_debt else 0
    assert by_issuer(report, "closing") == without_zeros(held)
    assert by_issuer(report, "closing_debt") == without_zeros(debts)


def check_same(told: Settlement, other: Liability) -> None:
    """The issuer's columns are the same in both reports."""
    for name in COLUMNS:
        if name == "covered":
            continue
        found: Counter[Any] = Counter()
        for row in told.rows:
            found[row.unit, row.issuer] += row.figures[name].amount
        assert without_zeros(found) == by_issuer(other, name), name


def check_reports(books: Books, dice: random.Random) -> None:
    """All laws over the whole life of the books and over parts of it."""
    until: datetime = books.database.clock(NOON)
    end = until.date() + timedelta(days=1)
    first = NOON.date() - timedelta(days=1)
    cut = first + timedelta(days=dice.randint(1, max((end - first).days - 1, 1)))
    whole, parts = (first, end), [(first, cut), (cut, end)]
    for span in [whole, *parts]:
        entries = booked(books, Period(*span, UTC_ZONE))
        told, owed = settle(books, *span), owe(books, *span)
        check_columns(told, entries)
        check_owed(told, entries)
        check_roll_forward(owed, entries)
        check_same(told, owed)
    before, after = (owe(books, *span) for span in parts)
    for index in (0, 1):
        assert by_issuer(before, "closing", index) == by_issuer(after, "opening", index)
        assert by_issuer(before, "closing_debt", index) == by_issuer(after, "opening_debt", index)
        assert by_issuer(before, "opening", index) == {}
    check_lots(books, after)
    check_lots(books, owe(books, *whole))
    together: Counter[Any] = Counter()
    for span in parts:
        for row in settle(books, *span).rows:
            for name, figure in row.figures.items():
                together[row.unit, row.issuer, row.partner, name] += figure.amount
    apart = {
        (row.unit, row.issuer, row.partner, name): figure.amount
        for row in settle(books, *whole).rows
        for name, figure in row.figures.items()
    }
    assert without_zeros(together) == without_zeros(apart), "two months are what both of them are"


def set_prices(books: Books, seed: int) -> None:
    """Prices that do not go into whole kopecks, behind the core's back: in this version it sets 1.00 only."""
    with books.database.transaction() as connection:
        connection.execute(
            text("UPDATE lot SET price_millionths = 300001 + (id * :seed) % 7 * 133337 WHERE NOT is_debt"),
            {"seed": 1 + seed % 1_000},
        )


@pytest.mark.parametrize("seed", range(EVERYDAY))
def test_reports_tie_to_the_entries_of_any_traffic(books: Books, quiet: Books, seed: int) -> None:
    life = live(books, quiet, seed, STEPS)
    for world in life.worlds:
        check_reports(world.books, random.Random(seed))
        set_prices(world.books, seed)
        check_reports(world.books, random.Random(seed))


@pytest.mark.slow
@settings(max_examples=MANY, phases=NO_SHRINKING)
@given(seed=st.integers(0, 2**32))
def test_reports_tie_to_the_entries_of_much_traffic(books: Books, quiet: Books, seed: int) -> None:
    life = live(books, quiet, seed, STEPS)
    for world in life.worlds:
        check_reports(world.books, random.Random(seed))
        set_prices(world.books, seed)
        check_reports(world.books, random.Random(seed))
