"""How rules stack: which of them a line gets, group by group, and what percent a rule means just now. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set

import msgspec

from processing.commands import Line
from processing.programme import facts
from processing.programme.compiled import Rule, Scene
from processing.programme.document import ByReceipt, ByTier, ByTurnover, Percent, Step, Take


class Fired(msgspec.Struct, frozen=True):
    """A rule that gave something: so much, of such a base in minor money, and of which lines' numbers."""

    rule: Rule
    amount: int
    base_minor: int
    lines: tuple[tuple[int, int], ...]


class Gift(msgspec.Struct):
    """What a rule would give: ``amounts`` for the lines at ``places``; once stacked, what it does give."""

    rule: Rule
    places: list[int]
    amounts: list[int]
    base_minor: int

    def fired(self, lines: Sequence[Line]) -> Fired:
        told = tuple([(lines[i].number, amount) for i, amount in zip(self.places, self.amounts, strict=True) if amount])
        return Fired(self.rule, sum(self.amounts), self.base_minor, told)


Found = dict[Rule, list[int]]


def matched(find: Callable[[Line], Sequence[Rule]], lines: Sequence[Line], places: Iterable[int]) -> Found:
    """The rules that are for these lines' goods, each with the places of its lines."""
    found: defaultdict[Rule, list[int]] = defaultdict(list)
    for i in places:
        line = lines[i]
        for rule in find(line):
            if not rule.price_from_minor or line.price_minor >= rule.price_from_minor:
                found[rule].append(i)
    return found


def holding(rules: Iterable[Rule], found: Found, scene: Scene, closed: Set[int]) -> Iterator[tuple[Rule, list[int]]]:
    """The rules that hold, each with the places of its lines that are not closed."""
    for rule in rules:
        places = found.get(rule)
        if places is not None and rule.holds(scene):
            yield rule, [i for i in places if i not in closed] if closed else places


def stack(take: Take, gifts: Sequence[Gift], room: list[int] | None = None) -> None:
    """Leave each gift what its group lets it give, and where there is a ``room``, at most what the lines have left.

    ``gifts`` stand in the order of their rules. ``room`` is used up.
    """
    if take != "sum" and len(gifts) > 1:
        _choose(take, gifts)
    if room is None:
        return
    for gift in gifts:
        amounts = gift.amounts
        for n, i in enumerate(gift.places):
            amount = amounts[n]
            if amount:
                if amount > room[i]:
                    amount = amounts[n] = room[i]
                room[i] -= amount


def _choose(take: Take, gifts: Sequence[Gift]) -> None:
    """Each line gets of one gift only: of the greatest, or of the first that gives something."""
    is_best = take == "best"
    chosen: dict[int, tuple[Gift, int]] = {}
    for gift in gifts:
        amounts = gift.amounts
        for n, i in enumerate(gift.places):
            amount = amounts[n]
            if amount <= 0:
                continue
            known = chosen.get(i)
            if known is None:
                chosen[i] = gift, n
            elif is_best and amount > known[0].amounts[known[1]]:
                known[0].amounts[known[1]] = 0
                chosen[i] = gift, n
            else:
                amounts[n] = 0


def close(gifts: Sequence[Gift]) -> set[int]:
    """The lines for which exclusive rules give something: nobody else does."""
    return {i for gift in gifts for i, amount in zip(gift.places, gift.amounts, strict=True) if amount}


def hundredths(give: object, scene: Scene) -> int:
    """The percent that a rule means for this receipt and card; 0 for a rule of another kind."""
    if isinstance(give, Percent):
        return give.hundredths
    if isinstance(give, ByReceipt):
        return _step(give.steps, scene.goods_minor)
    if isinstance(give, ByTurnover):
        return _step(give.steps, scene.facts.turnover.get(facts.code(give.window), 0))
    return give.hundredths.get(scene.facts.tier, 0) if isinstance(give, ByTier) else 0


def _step(steps: Sequence[Step], amount: int) -> int:
    """The percent of the last step that the amount has reached."""
    return next((step.hundredths for step in reversed(steps) if step.from_minor <= amount), 0)
