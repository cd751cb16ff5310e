"""What a programme takes off the lines of a receipt. Pure; percents round down, and parts go to lines by the kopeck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from processing.commands import Line
from processing.programme.compiled import Active, Programme, Rule, Scene
from processing.programme.document import AmountOff, FixedPrice, NthPiece
from processing.programme.stacking import Fired, Found, Gift, close, holding, hundredths, matched, stack
from processing.units import THOUSAND, of_pieces, percent_of, proportion, spread


def discounts(
    programme: Programme, active: Active, lines: Sequence[Line], prices: Sequence[int], scene: Scene
) -> tuple[list[int], list[Fired]]:
    """What each line gets off its price, and the rules that gave it.

    No line falls below what the law or the programme's floor wants for it.
    """
    off = [0] * len(lines)
    rules = active.discounts
    if rules.is_empty:
        return off, []
    room = [_room(programme, line, price) for line, price in zip(lines, prices, strict=True)]
    found = matched(rules.matching, lines, [i for i, most in enumerate(room) if most > 0])
    if not found:
        return off, []
    closed: set[int] = set()
    fired: list[Gift] = []
    if rules.exclusive:
        fired = _given(rules.exclusive, found, lines, prices, scene, closed)
        stack("first", fired, room)
        closed = close(fired)
    for group, some in rules.groups:
        gifts = _given(some, found, lines, [a - b for a, b in zip(prices, off, strict=True)], scene, closed)
        stack(group.take, gifts, room)
        fired += gifts
        for gift in gifts:
            _add(off, gift)
    for gift in fired:
        if gift.rule.is_exclusive:
            _add(off, gift)
    return off, [gift.fired(lines) for gift in fired if any(gift.amounts)]


def _add(off: list[int], gift: Gift) -> None:
    for i, amount in zip(gift.places, gift.amounts, strict=True):
        off[i] += amount


def _given(
    rules: Sequence[Rule],
    found: Found,
    lines: Sequence[Line],
    prices: Sequence[int],
    scene: Scene,
    closed: set[int],
) -> list[Gift]:
    """What the rules that hold would give, each by itself, on these prices, for lines that are not closed."""
    gifts = []
    for rule, places in holding(rules, found, scene, closed):
        base = [prices[i] for i in places]
        amounts = _amounts(rule.said.give, lines, places, base, scene)
        if any(amounts):
            gifts.append(Gift(rule, places, amounts, sum(base)))
    return gifts


def _amounts(give: Any, lines: Sequence[Line], places: Sequence[int], prices: list[int], scene: Scene) -> list[int]:
    special = _SPECIAL.get(type(give))
    if special is not None:
        return special(give, [lines[i] for i in places], prices)
    percent = hundredths(give, scene)
    return spread(percent_of(sum(prices), percent), prices) if percent and prices else []


def _fixed_price(give: FixedPrice, lines: Sequence[Line], prices: list[int]) -> list[int]:
    """What no pieces are told of has no price of a piece, and stays as it is."""
    return [
        max(price - of_pieces(give.price_minor, line.quantity_thousandths), 0) if line.quantity_thousandths > 0 else 0
        for line, price in zip(lines, prices, strict=True)
    ]


def _amount_off(give: AmountOff, lines: Sequence[Line], prices: list[int]) -> list[int]:
    if give.per == "receipt":
        return spread(min(give.off_minor, sum(prices)), prices) if prices else []
    return [
        min(proportion(give.off_minor, max(line.quantity_thousandths, 0), THOUSAND), price)
        for line, price in zip(lines, prices, strict=True)
    ]


def _nth_piece(give: NthPiece, lines: Sequence[Line], prices: list[int]) -> list[int]:
    """Whole pieces only: half a kilogram is no piece. The cheapest ones get it; of equal ones the first lines'."""
    pieces = [max(line.quantity_thousandths, 0) // THOUSAND for line in lines]
    left = sum(pieces) // give.every
    amounts = [0] * len(lines)
    ranked = [i for i, count in enumerate(pieces) if count]
    for i in sorted(ranked, key=lambda i: (prices[i] * THOUSAND // lines[i].quantity_thousandths, i)):
        count = min(pieces[i], left)
        left -= count
        worth = proportion(prices[i], count * THOUSAND, lines[i].quantity_thousandths)
        amounts[i] = percent_of(worth, give.hundredths)
    return amounts


_SPECIAL: dict[type, Callable[[Any, Sequence[Line], list[int]], list[int]]] = {
    FixedPrice: _fixed_price,
    AmountOff: _amount_off,
    NthPiece: _nth_piece,
}


def _room(programme: Programme, line: Line, price: int) -> int:
    """The most that may be taken off a line."""
    if price <= 0:
        return 0
    floor = programme.document.discounts.floor_hundredths
    kept = price - percent_of(price, 10_000 - floor) if floor else 0
    return max(price - max(kept, least_price(programme, line, price)), 0)


def least_price(programme: Programme, line: Line, price: int) -> int:
    """What a line has to cost by law: all of it where the price is fixed, a least price a piece else."""
    least = line.minimum_price_minor
    for said in programme.price_of(line):
        if said.is_fixed:
            return price
        least = max(least, said.least_minor)
    return of_pieces(least, line.quantity_thousandths) if least else 0
