"""Tiers: which one a wallet is in, from what it did. Up at once, down by review and by absence. Pure.

Falls need nobody to happen: whoever looks works them out, and the next receipt or a worker writes them down.
"""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from processing.programme.document import Review, Tiers
from processing.programme.facts import History, first_day, next_period

# A card that nobody has looked at for so long is where so many reviews have brought it.
MAX_STEPS = 1_000


class Membership(msgspec.Struct, frozen=True, omit_defaults=True):
    """The tier that a wallet is in, since when, and when that is looked at again.

    ``counts_from`` and ``credit``: after a fall by absence the measure begins anew on this day, at this amount.
    """

    tier: str
    since: date
    review_on: date | None = None
    counts_from: date | None = None
    credit: int = 0


def judge(tiers: Tiers, held: Membership | None, history: History, today: date) -> Membership:
    """The membership today, of a wallet that had ``held`` when somebody last looked."""
    found = held if held is not None and held.tier in _codes(tiers) else lowest(tiers, today)
    found = _fallen(tiers, found, history, today)
    reached = level_of(tiers, measured(tiers, found, history, today))
    if reached > _codes(tiers).index(found.tier):
        found = _moved(tiers, found, reached, today)
    return found


def lowest(tiers: Tiers, today: date) -> Membership:
    """Where everybody begins."""
    return Membership(tiers.levels[0].tier, today)


def measured(tiers: Tiers, held: Membership, history: History, today: date, last: date | None = None) -> int:
    """What the wallet has towards the next tier: in the window that ends today, and what is bought until ``last``."""
    first = first_day(tiers.window, today)
    if held.counts_from is None or (first is not None and first > held.counts_from):
        # What a fall by absence has left leaves the window like anything else.
        return history.total(tiers.measure, first, last or today)
    return held.credit + history.total(tiers.measure, held.counts_from, last or today)


def level_of(tiers: Tiers, amount: int) -> int:
    """The highest level that needs no more than this."""
    return max(n for n, level in enumerate(tiers.levels) if n == 0 or level.needs <= amount)


def next_level(tiers: Tiers, held: Membership, history: History, today: date) -> tuple[str, int] | None:
    """The next tier up and what is missing for it; ``None`` at the top."""
    place = _codes(tiers).index(held.tier) + 1
    if place == len(tiers.levels):
        return None
    level = tiers.levels[place]
    return level.tier, max(level.needs - measured(tiers, held, history, today), 0)


def next_look(tiers: Tiers, held: Membership, history: History) -> date | None:
    """The first day on which the membership may fall; ``None``: never."""
    days = _absent_on(tiers, held, history), _reviewed_on(tiers, held)
    return min((day for day in days if day is not None), default=None)


def is_above(tiers: Tiers, one: str, other: str) -> bool:
    codes = _codes(tiers)
    return codes.index(one) > codes.index(other)


def _codes(tiers: Tiers) -> list[str]:
    return [level.tier for level in tiers.levels]


def _fallen(tiers: Tiers, held: Membership, history: History, today: date) -> Membership:
    """What absence and the reviews that were due since somebody last looked have made of it, each on its day."""
    for _ in range(MAX_STEPS):
        absent, reviewed = _absent_on(tiers, held, history), _reviewed_on(tiers, held)
        if absent is not None and absent <= min(today, reviewed or today):
            held = _after_absence(tiers, held, history)
        elif reviewed is not None and reviewed <= today:
            held = _after_review(tiers, held, history)
        else:
            break
    return held


def _absent_on(tiers: Tiers, held: Membership, history: History) -> date | None:
    """The day on which it falls unless the wallet is seen before."""
    if tiers.absence_days is None or held.tier == tiers.levels[0].tier:
        return None
    return _last_seen(held, history) + timedelta(days=tiers.absence_days + 1)


def _last_seen(held: Membership, history: History) -> date:
    """The last visit, or the last fall by absence, whichever came later."""
    seen = history.last_visit() or held.since
    return seen if held.counts_from is None else max(seen, held.counts_from)


def _after_absence(tiers: Tiers, held: Membership, history: History) -> Membership:
    """A step down for ``absence_days`` without a visit; the measure goes on from what the lower tier needs."""
    assert tiers.absence_days is not None
    place = _codes(tiers).index(held.tier) - 1
    seen = _last_seen(held, history) + timedelta(days=tiers.absence_days)
    held = _moved(tiers, held, place, seen)
    return msgspec.structs.replace(held, counts_from=seen, credit=tiers.levels[place].needs)


def _reviewed_on(tiers: Tiers, held: Membership) -> date | None:
    """The day on which the next review counts."""
    if tiers.review is None or held.review_on is None:
        return None
    return held.review_on + timedelta(days=tiers.review.grace_days)


def _after_review(tiers: Tiers, held: Membership, history: History) -> Membership:
    """Kept until the next review by who has what the tier needs, else lower."""
    review, due = tiers.review, held.review_on
    assert review is not None
    assert due is not None
    last = due + timedelta(days=review.grace_days)
    has = level_of(tiers, measured(tiers, held, history, due - timedelta(days=1), last - timedelta(days=1)))
    place = _codes(tiers).index(held.tier)
    if has >= place:
        return msgspec.structs.replace(held, review_on=_next_review(review, due))
    return _moved(tiers, held, max(place - 1, has) if review.fall == "one_down" else has, last)


def _moved(tiers: Tiers, held: Membership, place: int, day: date) -> Membership:
    review = tiers.review
    review_on = _next_review(review, day) if review is not None and place > 0 else None
    return msgspec.structs.replace(held, tier=tiers.levels[place].tier, since=day, review_on=review_on)


def _next_review(review: Review, day: date) -> date | None:
    if review.days is not None:
        return day + timedelta(days=review.days)
    return next_period(review.period, day) if review.period else None
