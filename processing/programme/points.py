"""What a programme gives for a receipt in points. Pure; rounds down, once a rule, and once more to the step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from processing.commands import Line
from processing.programme.compiled import Active, Programme, Rule, Scene, Stack
from processing.programme.document import Expiry, Fixed, PerAmount
from processing.programme.stacking import Fired, Found, Gift, close, holding, hundredths, matched, stack
from processing.units import points_for, proportion, spread


class Portion(msgspec.Struct, frozen=True):
    """Points on the same terms, and by which lines: (line number, amount) pairs that sum to it."""

    amount: int
    lines: tuple[tuple[int, int], ...]
    pending_days: int
    expires: Expiry


class Earned(msgspec.Struct, frozen=True):
    """``cut``: what caps and rounding have taken away."""

    amount: int
    portions: tuple[Portion, ...]
    fired: tuple[Fired, ...]
    cut: int = 0


NOTHING = Earned(0, (), ())
Share = tuple[int, int]


def points(
    programme: Programme, active: Active, lines: Sequence[Line], bases: Sequence[int], share: Share, scene: Scene
) -> Earned:
    """What one card earns. ``bases`` is the money that counts, by line; ``share`` the card's part of it."""
    rules = active.points
    counting = [i for i, base in enumerate(bases) if base > 0]
    if not counting:
        return NOTHING
    if rules.alone is not None:
        return _of_one(programme, rules, lines, bases, counting, share, scene)
    if rules.is_empty:
        return NOTHING
    found = matched(rules.matching, lines, counting)
    closed: set[int] = set()
    gifts: list[Gift] = []
    if rules.exclusive:
        gifts = _given(programme, rules.exclusive, found, bases, share, scene, closed)
        stack("first", gifts)
        closed = close(gifts)
    for group, some in rules.groups:
        here = _given(programme, some, found, bases, share, scene, closed)
        stack(group.take, here)
        gifts += here
    gifts = [gift for gift in gifts if any(gift.amounts)]
    if rules.multipliers:
        gifts += _multiplied(rules.multipliers, found, [gift for gift in gifts if not gift.rule.is_exclusive], scene)
    if not gifts:
        return NOTHING
    cut = _cut(programme, gifts, scene) if programme.cuts else 0
    if cut:
        gifts = [gift for gift in gifts if any(gift.amounts)]
    fired = tuple([gift.fired(lines) for gift in gifts])
    return Earned(sum([each.amount for each in fired]), _portions(programme, fired), fired, cut)


def _of_one(
    programme: Programme,
    rules: Stack,
    lines: Sequence[Line],
    bases: Sequence[int],
    counting: list[int],
    share: Share,
    scene: Scene,
) -> Earned:
    """The same where there is one rule only: what most programmes are, and nothing to stack."""
    rule = rules.alone
    assert rule is not None
    if not rule.holds(scene):
        return NOTHING
    places = counting if rule.is_for_all else rules.places_of_one(lines, counting)
    weights = [bases[i] for i in places]
    base = proportion(sum(weights), *share)
    amount = _amount(programme, rule.said.give, base, share, scene)
    if not amount:
        return NOTHING
    gift, cut = Gift(rule, places, spread(amount, weights), base), 0
    if programme.cuts:
        cut = _cut(programme, [gift], scene)
        if not any(gift.amounts):
            return Earned(0, (), (), cut)
    fired = (gift.fired(lines),)
    return Earned(fired[0].amount, _portions(programme, fired), fired, cut)


def _given(
    programme: Programme,
    rules: Sequence[Rule],
    found: Found,
    bases: Sequence[int],
    share: Share,
    scene: Scene,
    closed: set[int],
) -> list[Gift]:
    gifts = []
    for rule, places in holding(rules, found, scene, closed):
        weights = [bases[i] for i in places]
        base = proportion(sum(weights), *share)
        amount = _amount(programme, rule.said.give, base, share, scene)
        if amount:
            gifts.append(Gift(rule, places, spread(amount, weights), base))
    return gifts


def _amount(programme: Programme, give: Any, base: int, share: Share, scene: Scene) -> int:
    if isinstance(give, Fixed):
        return proportion(give.points, *share) if base else 0
    if isinstance(give, PerAmount):
        return base // give.every_minor * give.points
    return points_for(base, hundredths(give, scene), programme.point_price_millionths)


def _multiplied(rules: Sequence[Rule], found: Found, gifts: Sequence[Gift], scene: Scene) -> list[Gift]:
    """What multipliers add to the others' points, but those of exclusive rules; of several on a line the greatest."""
    so_far: Counter[int] = Counter()
    for gift in gifts:
        for i, amount in zip(gift.places, gift.amounts, strict=True):
            so_far[i] += amount
    more = []
    for rule, places in holding(rules, found, scene, frozenset()):
        extra = rule.said.give.hundredths - 100
        weights = [so_far[i] for i in places]
        total = proportion(sum(weights), extra, 100)
        if total > 0:
            more.append(Gift(rule, places, spread(total, weights), sum(weights)))
    stack("best", sorted(more, key=lambda gift: gift.rule.order))
    return [gift for gift in more if any(gift.amounts)]


def _cut(programme: Programme, gifts: Sequence[Gift], scene: Scene) -> int:
    """Take from the gifts, the last first, what is beyond a cap or no multiple of the step; how much that was."""
    said = programme.document.points
    caps, facts = said.caps, scene.facts
    total = most = sum(sum(gift.amounts) for gift in gifts)
    if caps.receipt is not None:
        most = min(most, caps.receipt)
    if caps.day is not None:
        most = min(most, max(caps.day - facts.earned_today, 0))
    if caps.month is not None:
        most = min(most, max(caps.month - facts.earned_this_month, 0))
    most -= most % said.step
    left = total - most
    for gift in reversed(gifts) if left else ():
        own = sum(gift.amounts)
        taken = min(own, left)
        gift.amounts = spread(own - taken, gift.amounts)
        left -= taken
        if not left:
            break
    return total - most


def _portions(programme: Programme, fired: Sequence[Fired]) -> tuple[Portion, ...]:
    """The points by the terms on which they are given."""
    said = programme.document.points
    if len(fired) == 1 and fired[0].amount:
        rule = fired[0].rule.said
        pending = said.pending_days if rule.pending_days is None else rule.pending_days
        return (Portion(fired[0].amount, fired[0].lines, pending, rule.expires or said.expires),)
    found: dict[tuple[int, Expiry], dict[int, int]] = {}
    for each in fired:
        rule = each.rule.said
        pending = said.pending_days if rule.pending_days is None else rule.pending_days
        lines = found.setdefault((pending, rule.expires or said.expires), {})
        for number, amount in each.lines:
            lines[number] = lines.get(number, 0) + amount
    return tuple(
        Portion(sum(lines.values()), tuple(lines.items()), pending, expires)
        for (pending, expires), lines in found.items()
        if lines
    )
