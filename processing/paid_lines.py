"""Which line of a receipt is paid with points and with money of cards, in money: what a till prints. Pure.

The allocation is the books' own (``spread_payments``), so that a returned line gives back what its receipt told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from processing.allocation import spread_payments
from processing.commands import Line
from processing.directory import Directory
from processing.programme.compiled import Programme
from processing.results import PaidLine
from processing.units import PAR_MILLIONTHS, POINTS, worth

Paying = tuple[int, Programme | None, Mapping[str, int]]
"""A card's part: its wallet (0: nobody's, kept in suspense), its programme, and what is redeemed of each unit."""


def paid_lines(directory: Directory, lines: Sequence[Line], uses: Iterable[Paying]) -> tuple[PaidLine, ...]:
    """The lines of which cards pay a part, in the order of the receipt; the parts sum to what is paid exactly."""
    payments = _payments(directory, uses)
    points = dict.fromkeys([line.number for line in lines], 0)
    money = points.copy()
    for (_, unit), part in zip(payments, spread_payments(lines, list(payments.values())), strict=True):
        paid = points if directory.unit(unit).kind == POINTS else money
        for number, minor in part:
            paid[number] += minor
    return tuple(
        [
            PaidLine(number=number, points_minor=points[number], card_money_minor=money[number])
            for number in points
            if points[number] or money[number]
        ]
    )


def _payments(directory: Directory, uses: Iterable[Paying]) -> dict[tuple[int, str], int]:
    """Minor money by account, in the order in which the books take it; what nobody's card pays comes last."""
    found: dict[tuple[int, str], int] = {}
    for wallet, programme, redeemed in sorted(uses, key=lambda use: use[0] == 0):
        for unit, amount in redeemed.items():
            is_points = directory.unit(unit).kind == POINTS
            price = programme.point_price_millionths if programme and is_points else PAR_MILLIONTHS
            found[wallet, unit] = found.get((wallet, unit), 0) + worth(amount, price)
    return found
