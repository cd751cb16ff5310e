"""What partners owe to holders: how the lots of each issuer came from one instant to another. Read-only.

What lots hold at an instant is what they hold now less what was booked since, so that it is read from entries; the
columns between come out of the same flows as the settlement (docs/reports.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from processing.database import Database
from processing.directory import Directory
from processing.errors import Failed
from processing.flows import Held, reader_of
from processing.periods import Period
from processing.settlement import COLUMNS, Cell, Figure, Pair, Sum, cells, totals
from processing.units import apportioned, money_below, whole_money

# How each column changes what lots hold.
CHANGES = {
    "issued": 1,
    "taken_back": -1,
    "redeemed": -1,
    "given_back": 1,
    "expired": -1,
    "loaded": 1,
    "paid_out": -1,
    "adjusted": 1,
    "covered": 1,
    "suspense": -1,
}
assert tuple(CHANGES) == COLUMNS
OPENING, CLOSING = ("opening", "opening_debt"), ("closing", "closing_debt")
LIABILITY_COLUMNS = (*OPENING, *COLUMNS, *CLOSING)


@dataclass(frozen=True, slots=True)
class LiabilityRow:
    """``figures``: LIABILITY_COLUMNS. ``opening`` and ``closing`` are less the debts, which are told apart as well."""

    unit: str
    issuer: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Liability:
    """``is_final``: the period is over, and the same will be told for ever."""

    period: Period
    at: datetime
    is_final: bool
    rows: tuple[LiabilityRow, ...]

    @property
    def totals(self) -> dict[str, dict[str, Figure]]:
        return totals((row.unit, row.figures) for row in self.rows)


def liability(
    database: Database, directory: Directory, period: Period, unit: str = "", seconds: int | None = None
) -> Liability:
    """Every issuer's lots in one unit or in all. Errors: UnitNotFound; TooLarge after so many seconds.

    Failed where the books do not tie, which ``tillgate verify`` tells more of.
    """
    if unit:
        directory.unit(unit)
    with reader_of(database, unit, seconds) as reader:
        now = database.now(reader.connection)
        closing = reader.held(period.ends_at, now)
        opening = Counter(closing)
        opening.subtract(reader.got(period.begins_at, period.ends_at))
        changes = _by_issuer(cells(reader.flows(period.begins_at, period.ends_at)))
    keys = {(held.unit, held.issuer) for held in (*opening, *closing)} | changes.keys()
    rows = [
        LiabilityRow(key[0], directory.partner_code(key[1]), _figures(key, opening, changes.get(key, {}), closing))
        for key in keys
    ]
    told = sorted((row for row in rows if any(map(any, row.figures.values()))), key=lambda row: (row.unit, row.issuer))
    return Liability(period, now, period.is_final(now), tuple(told))


def _by_issuer(found: Mapping[Pair, Cell]) -> dict[tuple[str, int], dict[str, Sum]]:
    """The columns of each issuer; of what was covered what its lots got from others, less what they gave for them."""
    issuers: dict[tuple[str, int], dict[str, Sum]] = {}
    for pair, cell in found.items():
        own = issuers.setdefault((pair.unit, pair.issuer), {name: Sum() for name in COLUMNS})
        others = issuers.setdefault((pair.unit, pair.partner), {name: Sum() for name in COLUMNS})
        for name, each in cell.columns.items():
            sign = -1 if name == "covered" else 1
            own[name].amount += sign * each.amount
            own[name].millionths += sign * each.millionths
        others["covered"].amount += cell.received.amount
        others["covered"].millionths += cell.received.millionths
    return issuers


def _figures(
    key: tuple[str, int], opening: Mapping[Held, int], changes: Mapping[str, Sum], closing: Mapping[Held, int]
) -> dict[str, Figure]:
    """Opening and closing are rounded down; the columns between so that they sum to the difference."""
    opened, closed = _standing(key, opening), _standing(key, closing)
    sums = {name: changes.get(name, Sum()) for name in COLUMNS}
    parts = [sign * sums[name].millionths for name, sign in CHANGES.items()]
    changed = sum(sign * sums[name].amount for name, sign in CHANGES.items())
    if opened[0].amount + changed != closed[0].amount:
        raise Failed("the books do not tie: run tillgate verify")
    moneys = apportioned(parts, closed[0].money - opened[0].money)
    between = {
        name: Figure(sums[name].amount, sign * money)
        for (name, sign), money in zip(CHANGES.items(), moneys, strict=True)
    }
    return dict(zip(OPENING, opened, strict=True)) | between | dict(zip(CLOSING, closed, strict=True))


def _standing(key: tuple[str, int], held: Mapping[Held, int]) -> tuple[Figure, Figure]:
    """What lots hold in all, and what of it is debt."""
    total, debt = Sum(), Sum()
    for lots, amount in held.items():
        if (lots.unit, lots.issuer) == key:
            total.add(amount, lots.price_millionths)
            if lots.is_debt:
                debt.add(amount, lots.price_millionths)
    return Figure(total.amount, money_below(total.millionths)), Figure(debt.amount, whole_money(debt.millionths))
