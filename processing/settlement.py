"""What partners owe each other for a period: who issued what was spent where. Read-only; docs/reports.md has figures.

A row is a pair: the issuer of lots, and the partner whose accounts took what came out of them or gave what went in.
Every column sums up to entries of partners' accounts, over all rows and for each partner by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from processing.database import Database
from processing.directory import ADJUSTED, CASH, EXPIRED, ISSUED, REDEEMED, SUSPENSE, Directory
from processing.flows import WALLET, End, Flow, reader_of
from processing.periods import Period
from processing.units import PAR_MILLIONTHS, apportioned, whole_money

COLUMNS = (
    "issued",
    "taken_back",
    "redeemed",
    "given_back",
    "expired",
    "loaded",
    "paid_out",
    "adjusted",
    "covered",
    "suspense",
)
NET = "net"
# What of a pair's figures the issuer owes the partner, and the partner the issuer.
OWED = {"redeemed": 1, "given_back": -1, "expired": 1, "loaded": -1, "paid_out": 1, "adjusted": -1, "covered": 1}

# Which column an account's entry stands in, and with which sign: + taken, - given.
_TAKES = {
    ISSUED: ("taken_back", 1),
    REDEEMED: ("redeemed", 1),
    EXPIRED: ("expired", 1),
    CASH: ("paid_out", 1),
    ADJUSTED: ("adjusted", -1),
}
_GIVES = {
    ISSUED: ("issued", 1),
    REDEEMED: ("given_back", 1),
    EXPIRED: ("expired", -1),
    CASH: ("loaded", 1),
    ADJUSTED: ("adjusted", 1),
}
_LOTS = (WALLET, SUSPENSE)


class Pair(NamedTuple):
    unit: str
    issuer: int
    partner: int


@dataclass(slots=True)
class Sum:
    """An amount, and what it settles at in millionths of minor money."""

    amount: int = 0
    millionths: int = 0

    def add(self, amount: int, price_millionths: int) -> None:
        self.amount += amount
        self.millionths += amount * price_millionths


@dataclass(slots=True)
class Cell:
    """A pair's columns. ``received``: what is covered, at the prices of the lots that got it."""

    columns: dict[str, Sum] = field(default_factory=lambda: {name: Sum() for name in COLUMNS})
    received: Sum = field(default_factory=Sum)


class Figure(NamedTuple):
    """In minor units of the unit, and in minor units of money."""

    amount: int = 0
    money: int = 0

    def __add__(self, other: object) -> Figure:
        """Of both; figures are no sequences here."""
        assert isinstance(other, Figure)
        return Figure(self.amount + other.amount, self.money + other.money)


@dataclass(frozen=True, slots=True)
class SettlementRow:
    """``figures``: COLUMNS and NET, which is what the issuer owes the partner; nobody owes anything to themselves."""

    unit: str
    issuer: str
    partner: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Owed:
    """What one partner owes another when both their rows are set off."""

    unit: str
    debtor: str
    creditor: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Settlement:
    """``is_final``: the period is over, and the same will be told for ever."""

    period: Period
    at: datetime
    is_final: bool
    rows: tuple[SettlementRow, ...]

    @property
    def owed(self) -> list[Owed]:
        return set_off(self.rows)

    @property
    def totals(self) -> dict[str, dict[str, Figure]]:
        return totals((row.unit, row.figures) for row in self.rows)


def settlement(
    database: Database, directory: Directory, period: Period, unit: str = "", seconds: int | None = None
) -> Settlement:
    """The pairs of a period in one unit or in all. Errors: UnitNotFound; TooLarge after so many seconds."""
    if unit:
        directory.unit(unit)
    with reader_of(database, unit, seconds) as reader:
        now = database.now(reader.connection)
        found = cells(reader.flows(period.begins_at, period.ends_at))
    rows = [_row(directory, pair, cell) for pair, cell in found.items()]
    told = sorted((row for row in rows if any(map(any, row.figures.values()))), key=_order)
    return Settlement(period, now, period.is_final(now), tuple(told))


def _order(row: SettlementRow) -> tuple[str, str, str]:
    return row.unit, row.issuer, row.partner


# From flows to pairs ---------------------------------------------------------------------------------------------


def cells(flows: Mapping[Flow, int]) -> dict[Pair, Cell]:
    """The flows by pair and column.

    Where what a partner had issued is taken back from another issuer's lots, or goes into another issuer's debt, it
    is the partner's own that was issued or taken back, and the rest is covered.
    """
    found: dict[Pair, Cell] = {}
    for flow, amount in flows.items():
        for pair, column, signed, price in _legs(flow, amount):
            found.setdefault(pair, Cell()).columns[column].add(signed, price)
        if _is_covered(flow):
            pair = Pair(flow.unit, flow.giver.partner, flow.taker.partner)
            cell, price, received = found.setdefault(pair, Cell()), _price(flow.giver), _price(flow.taker)
            is_lot = flow.giver.kind in _LOTS
            cell.columns["covered"].add(amount, price if is_lot else received)
            cell.received.add(amount, received if flow.taker.kind in _LOTS else price)
    return found


def _price(end: End) -> int:
    return end.price_millionths


def _is_covered(flow: Flow) -> bool:
    """Whether an issuer's lots paid for what another partner was owed, or lots of another price took their place."""
    giver, taker = flow.giver, flow.taker
    if giver.kind in _LOTS and taker.kind in _LOTS:
        return giver.partner != taker.partner or giver.price_millionths != taker.price_millionths
    are_accounts = giver.kind not in _LOTS and taker.kind not in _LOTS
    return giver.partner != taker.partner and (are_accounts or ISSUED in (giver.kind, taker.kind))


def _legs(flow: Flow, amount: int) -> Iterator[tuple[Pair, str, int, int]]:
    """What stands in columns of accounts: pair, column, signed amount, price."""
    giver, taker = flow.giver, flow.taker
    is_covered = _is_covered(flow)
    for end, other, names, sign in ((taker, giver, _TAKES, 1), (giver, taker, _GIVES, -1)):
        price = end.price_millionths if other.kind not in _LOTS else other.price_millionths
        if end.kind in names:
            column, signed = names[end.kind]
            issuer = end.partner if is_covered or other.kind not in _LOTS else other.partner
            yield Pair(flow.unit, issuer, end.partner), column, signed * amount, price
        elif end.kind == SUSPENSE:
            yield Pair(flow.unit, end.partner, end.partner), "suspense", sign * amount, PAR_MILLIONTHS


# From sums to figures --------------------------------------------------------------------------------------------


def _row(directory: Directory, pair: Pair, cell: Cell) -> SettlementRow:
    """What is owed is rounded once, down; its columns are rounded so that they sum to it."""
    is_own = pair.issuer == pair.partner
    figures = {name: Figure(each.amount, whole_money(each.millionths)) for name, each in cell.columns.items()}
    net = Figure()
    if not is_own:
        parts = {name: sign * cell.columns[name].millionths for name, sign in OWED.items()}
        net = Figure(
            sum(sign * cell.columns[name].amount for name, sign in OWED.items()), whole_money(sum(parts.values()))
        )
        for (name, sign), money in zip(OWED.items(), apportioned(list(parts.values()), net.money), strict=True):
            figures[name] = Figure(figures[name].amount, sign * money)
    issuer, partner = directory.partner_code(pair.issuer), directory.partner_code(pair.partner)
    return SettlementRow(pair.unit, issuer, partner, {**figures, NET: net})


def set_off(rows: Iterable[SettlementRow]) -> list[Owed]:
    """What is left when both rows of two partners are set off: one debtor, one creditor."""
    found: dict[tuple[str, str, str], Figure] = {}
    for row in rows:
        if row.issuer != row.partner:
            first, second = sorted((row.issuer, row.partner))
            sign = 1 if row.issuer == first else -1
            net = Figure(sign * row.figures[NET].amount, sign * row.figures[NET].money)
            found[row.unit, first, second] = found.get((row.unit, first, second), Figure()) + net
    return [_owed(*pair, net) for pair, net in sorted(found.items()) if any(net)]


def _owed(unit: str, first: str, second: str, net: Figure) -> Owed:
    if (net.money, net.amount) > (0, 0):
        return Owed(unit, first, second, net)
    return Owed(unit, second, first, Figure(-net.amount, -net.money))


def totals(rows: Iterable[tuple[str, Mapping[str, Figure]]]) -> dict[str, dict[str, Figure]]:
    """The sums of the rows by unit, as they are told: nothing is rounded again."""
    found: dict[str, dict[str, Figure]] = {}
    for unit, figures in rows:
        of_unit = found.setdefault(unit, {})
        for name, figure in figures.items():
            of_unit[name] = of_unit.get(name, Figure()) + figure
    return found
