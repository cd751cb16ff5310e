"""What programmes say about a receipt: one pure function from facts to a decision with its explanation."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from processing.allocation import GIFT_CARD, GOODS, lines_of, weights
from processing.commands import Line, Receipt
from processing.programme import discounts as taking_off
from processing.programme import points as giving
from processing.programme.compiled import DISCOUNT, POINTS, Moment, Programme, Scene
from processing.programme.facts import NOTHING_KNOWN, Facts
from processing.programme.points import Earned, Portion
from processing.programme.stacking import Fired
from processing.units import proportion, spread

_by_number = attrgetter("number")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One card's part in a receipt: the holder's own money decides how the accrual is shared.

    ``programme`` is ``None`` for a card that nobody knows. ``redeemed_minor``: what its points pay, in minor money.
    ``version`` numbers the programme's; an explanation tells those that are not the first card's.
    """

    programme: Programme | None
    spend_minor: int = 0
    redeemed_minor: int = 0
    product: str = ""
    facts: Facts = NOTHING_KNOWN
    version: int = 0


class Earning(msgspec.Struct, frozen=True, kw_only=True):
    """What one part earns, by terms and lines, and of how much own money.

    ``turnover``: by line, where it is not just what the lines cost.
    """

    amount: int = 0
    portions: tuple[Portion, ...] = ()
    turnover_minor: int = 0
    turnover: tuple[tuple[int, int], ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """``earnings`` and ``explanation`` in the order of the parts; by line what it costs, what is off, of whose part.

    ``discounts`` are what the rules take off: of a receipt that is final, what they would have.
    """

    lines: tuple[Line, ...]
    prices: tuple[int, ...]
    discounts: tuple[int, ...]
    discounter: int | None
    earnings: tuple[Earning, ...]
    explanation: tuple[dict[str, Any], ...]

    @property
    def discount_minor(self) -> int:
        return sum(self.discounts)


def decide(receipt: Receipt, parts: Sequence[Part], moment: Moment, is_final: bool = True) -> Decision:
    """What the parts of a receipt get off and earn.

    A final receipt has been paid at its lines' sums: discounts are worked out on what they cost before the till took
    any off, to be compared with. Before that, ours come off the sums. The cards do not add up theirs: the card whose
    discount is greatest gives it. Points are earned on the holder's own money: what points pay is spread over all
    lines first and leaves the base. The order of lines makes no difference; they are told apart by their numbers.
    """
    lines = sorted(lines_of(receipt), key=_by_number)
    sums = weights(lines)
    gross = before_discounts(receipt, lines, sums) if is_final else sums
    off, discounter, taken = _discounted(receipt, lines, gross, parts, moment)
    prices = sums if is_final or discounter is None else [a - b for a, b in zip(sums, off, strict=True)]
    redeemed, own = sum([part.redeemed_minor for part in parts]), prices
    if redeemed:
        paid_by_points = spread(min(redeemed, sum(prices)), prices)
        own = [price - paid for price, paid in zip(prices, paid_by_points, strict=True)]
    earnings, explanation = [], []
    goods_minor = sum(gross)
    for n, (part, share) in enumerate(zip(parts, _shares(parts), strict=True)):
        earned = giving.NOTHING
        if part.programme is not None:
            bases = _bases(part.programme, lines, prices, own)
            seen = Scene(receipt, goods_minor, part.product, part.facts, moment)
            active = part.programme.on(moment.store, moment.day)
            earned = giving.points(part.programme, active, lines, bases, share, seen)
        money = sum(own)
        turnover: tuple[tuple[int, int], ...] = ()
        if own is not sums or share[0] != share[1]:
            money, turnover = _turnover(lines, own, share)
        earnings.append(
            Earning(amount=earned.amount, portions=earned.portions, turnover_minor=money, turnover=turnover)
        )
        story = _story(part, earned, taken if n == discounter else [])
        if len(parts) > 1:
            story["spend_minor"] = part.spend_minor
        if part.programme is None or part.version != parts[0].version:
            story["version"] = part.version
        explanation.append(story)
    return Decision(
        lines=tuple(lines),
        prices=tuple(prices),
        discounts=tuple(off),
        discounter=discounter,
        earnings=tuple(earnings),
        explanation=tuple(explanation),
    )


def _discounted(
    receipt: Receipt, lines: Sequence[Line], gross: Sequence[int], parts: Sequence[Part], moment: Moment
) -> tuple[list[int], int | None, list[Fired]]:
    """What comes off each line, by which part's programme, and its rules."""
    best: tuple[list[int], int | None, list[Fired]] = ([0] * len(lines), None, [])
    for n, part in enumerate(parts):
        if part.programme is None or not part.programme.discount_rules:
            continue
        active = part.programme.on(moment.store, moment.day)
        seen = Scene(receipt, sum(gross), part.product, part.facts, moment)
        off, fired = taking_off.discounts(part.programme, active, lines, gross, seen)
        if best[1] is None or sum(off) > sum(best[0]):
            best = off, n, fired
    return best


def before_discounts(receipt: Receipt, lines: Sequence[Line], sums: Sequence[int]) -> list[int]:
    """What the goods cost before the till took anything off."""
    if not receipt.lines:
        return [sums[0] + max(receipt.discount_minor, 0)]
    if not [line for line in lines if line.discount_minor]:
        return list(sums)
    return [
        total + (max(line.discount_minor, 0) if line.kind == GOODS else 0)
        for line, total in zip(lines, sums, strict=True)
    ]


def _shares(parts: Sequence[Part]) -> list[tuple[int, int]]:
    """Each part's share of the base as (numerator, denominator); without any spending the first takes all."""
    if len(parts) == 1:
        return [(1, 1)]
    whole = sum(max(part.spend_minor, 0) for part in parts)
    if whole == 0:
        return [(1 if i == 0 else 0, 1) for i in range(len(parts))]
    return [(max(part.spend_minor, 0), whole) for part in parts]


def _bases(programme: Programme, lines: Sequence[Line], prices: Sequence[int], own: Sequence[int]) -> Sequence[int]:
    """The money that earns points, by line."""
    said = programme.document.points
    bases = prices if said.on_part_paid_by_points else own
    if not said.on_gift_cards:
        return bases
    return [line.sum_minor if line.kind == GIFT_CARD else base for line, base in zip(lines, bases, strict=True)]


def _turnover(
    lines: Sequence[Line], own: Sequence[int], share: tuple[int, int]
) -> tuple[int, tuple[tuple[int, int], ...]]:
    """A part's own money, in all and by line."""
    weight, whole = share
    total = sum(own)
    if weight != whole:
        total = proportion(total, weight, whole)
        own = spread(total, own) if any(own) else own
    return total, tuple([(line.number, money) for line, money in zip(lines, own, strict=True) if money])


# Explanation -------------------------------------------------------------------------------------------------


def _story(part: Part, earned: Earned, taken: Sequence[Fired]) -> dict[str, Any]:
    """The rules that fired, with what they saw; an operation keeps it with the version that decided."""
    if part.programme is None:
        return {"earned": 0, "rules": []}
    rules = [_told(fired, DISCOUNT) for fired in taken]
    rules += [_told(fired, POINTS) for fired in earned.fired]
    story: dict[str, Any] = {"earned": earned.amount, "rules": rules}
    if part.programme.asks_product:
        story["product"] = part.product
    if part.redeemed_minor:
        story["redeemed_minor"] = part.redeemed_minor
    if earned.cut:
        story["cut"] = earned.cut
    if part.facts is not NOTHING_KNOWN:
        story["facts"] = msgspec.to_builtins(part.facts)
    return story


def _told(fired: Fired, gives: str) -> dict[str, Any]:
    return {"rule": fired.rule.said.rule, "gives": gives, "amount": fired.amount, "base_minor": fired.base_minor}
