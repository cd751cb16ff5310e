"""How much of a receipt points may pay, in money and by line. Pure; rounds down."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from processing.commands import Line
from processing.programme.compiled import Programme
from processing.programme.discounts import least_price
from processing.programme.facts import NOTHING_KNOWN, Facts
from processing.units import HUNDREDTHS_OF_PERCENT, MAX_AMOUNT, percent_of, points_worth, spread, worth


class Payable(msgspec.Struct, frozen=True):
    """The most that points may pay: in points, what that is in minor money, and its part of each line."""

    points: int
    money_minor: int
    lines: tuple[int, ...] = ()


def payable_points(programme: Programme, total_minor: int, facts: Facts = NOTHING_KNOWN) -> int:
    """The most points that may pay an order of which only the total is known."""
    return _in_points(programme, _of_total(programme, total_minor, facts))


def payable(
    programme: Programme, lines: Sequence[Line], prices: Sequence[int], total_minor: int, facts: Facts
) -> Payable:
    """The most points that may pay this receipt. ``prices`` are what the goods cost; ``total_minor`` all of them."""
    caps = prices if _is_plain(programme, lines) else _caps(programme, lines, prices)
    most = _in_points(programme, min(_of_total(programme, total_minor, facts), sum(caps)))
    money = worth(most, programme.point_price_millionths)
    return Payable(most, money, tuple(spread(money, caps)) if any(caps) else tuple(0 for _ in caps))


def limit(programme: Programme, lines: Sequence[Line], prices: Sequence[int], total_minor: int, facts: Facts) -> int:
    """The same in points only. Where nothing is said of single goods, they need not be known."""
    if _is_plain(programme, lines):
        return payable_points(programme, total_minor, facts)
    return payable(programme, lines, prices, total_minor, facts).points


def allowed(programme: Programme, facts: Facts) -> int:
    """The most points that the programme's limits let a card pay with just now."""
    left = [
        limit.most - facts.used.get(limit.limit, 0)
        for limit in programme.card_limits
        if limit.of == "redeemed" and limit.then == "block"
    ]
    return max(min(left, default=MAX_AMOUNT), 0)


def _is_plain(programme: Programme, lines: Sequence[Line]) -> bool:
    """Whether neither programme nor till says anything of single goods."""
    said = programme.document.payment
    if said.without or programme.document.prices or said.line_hundredths != HUNDREDTHS_OF_PERCENT:
        return False
    return not any(line.minimum_price_minor for line in lines)


def hundredths_of(programme: Programme, facts: Facts) -> int:
    """How much of a receipt points may pay, in hundredths of percent."""
    said = programme.document.payment
    return said.by_tier.get(facts.tier, said.hundredths)


def _of_total(programme: Programme, total_minor: int, facts: Facts) -> int:
    said = programme.document.payment
    total = max(total_minor, 0)
    return max(min(percent_of(total, hundredths_of(programme, facts)), total - said.money_minor), 0)


def _caps(programme: Programme, lines: Sequence[Line], prices: Sequence[int]) -> list[int]:
    """What of each line points may pay at all."""
    said = programme.document.payment
    without = frozenset(said.without)
    found = []
    for line, price in zip(lines, prices, strict=True):
        if price <= 0 or (without and not without.isdisjoint(programme.sets.of(line))):
            found.append(0)
        else:
            room = price - least_price(programme, line, price)
            found.append(max(min(percent_of(price, said.line_hundredths), room), 0))
    return found


def _in_points(programme: Programme, money_minor: int) -> int:
    points = points_worth(money_minor, programme.point_price_millionths)
    return points - points % programme.document.payment.step
