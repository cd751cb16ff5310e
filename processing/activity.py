"""What wallets do, day by day, and which tier that brings them: the facts that programmes look at.

Kept with each receipt under its wallet's lock: sums are added to without being read, and read only where an active
programme asks for them. What a receipt added its document tells, so that a return or void takes away just that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from processing import tables
from processing.database import Row, Statement
from processing.people import read_birthday
from processing.programme import tiers
from processing.programme.compiled import Programme
from processing.programme.facts import NOTHING_KNOWN, Day, Facts, History
from processing.programme.tiers import Membership
from processing.secrets import Vault

ACTIVITY = Statement(
    """
    SELECT wallet_id, day, name, turnover_minor, visits, earned, redeemed
    FROM activity WHERE wallet_id IN_IDS(:wallets) ORDER BY day
    """,
    *tables.activity.c.values(),
)
MEMBERSHIPS = Statement(
    """
    SELECT wallet_id, programme, tier, since, review_on, counts_from, credit, raised_by, before, look_on
    FROM membership WHERE wallet_id IN_IDS(:wallets)
    """,
    *tables.membership.c.values(),
)
BIRTHDAYS = Statement(
    """
    SELECT h.wallet_id, h.id, p.wrapped_key, p.birthday FROM holder h JOIN person p ON p.holder_id = h.id
    WHERE h.wallet_id IN_IDS(:wallets) AND p.birthday IS NOT NULL
    """,
    tables.holder.c.wallet_id,
    tables.holder.c.id,
    tables.person.c.wrapped_key,
    tables.person.c.birthday,
)

# Rows added to what the days hold, number by number.
ADD = """
INSERT INTO activity (wallet_id, day, name, turnover_minor, visits, earned, redeemed) {rows}
ON CONFLICT (wallet_id, day, name) DO UPDATE SET turnover_minor = activity.turnover_minor + excluded.turnover_minor,
    visits = activity.visits + excluded.visits, earned = activity.earned + excluded.earned,
    redeemed = activity.redeemed + excluded.redeemed
"""

_encode = msgspec.json.Encoder().encode


class Activity(msgspec.Struct, frozen=True, array_like=True):
    """What an operation adds to a wallet's day (tables.activity)."""

    wallet_id: int
    day: date
    name: str
    turnover_minor: int = 0
    visits: int = 0
    earned: int = 0
    redeemed: int = 0


class Raised(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a wallet's tier was before it was raised, and by whom it had been raised to that, from what.

    A chain is no longer than a programme has tiers: each link is a tier lower, and a fall ends it.
    """

    was: Membership
    by: int | None = None
    before: Raised | None = None


_decode = msgspec.json.Decoder(Raised).decode


@dataclass(slots=True)
class Member:
    """A row of ``membership``: what is held, and what was before the operation that raised it."""

    held: Membership
    raised_by: int | None = None
    before: Raised | None = None
    look_on: date | None = None


@dataclass(slots=True)
class Pasts:
    """The pasts of a batch's wallets, as far as programmes ask for them, and what the batch adds."""

    # By wallet: sums of a day by unit, and how often a rule that gives once has given on a day.
    days: dict[int, dict[tuple[date, str], list[int]]] = field(default_factory=dict)
    once: dict[int, dict[tuple[str, date], int]] = field(default_factory=dict)
    members: dict[tuple[int, str], Member] = field(default_factory=dict)
    birthdays: dict[int, date] = field(default_factory=dict)
    added: dict[tuple[int, date, str], list[int]] = field(default_factory=dict)
    changed: dict[tuple[int, str], Member] = field(default_factory=dict)

    def learn(
        self,
        vault: Vault,
        units: Mapping[str, Any],
        activity: Sequence[Row],
        members: Sequence[Row],
        born: Sequence[Row],
    ) -> None:
        """What was read of them."""
        for wallet_id, day, name, *sums in activity:
            self._add(wallet_id, day, name, sums, units)
        for wallet_id, programme, tier, since, review_on, counts_from, credit, raised_by, before, look_on in members:
            held = Membership(tier, since, review_on, counts_from, credit)
            member = Member(held, raised_by, _decode(before) if before else None, look_on)
            self.members[wallet_id, programme] = member
        for wallet_id, holder_id, wrapped_key, birthday in born:
            told = read_birthday(vault, holder_id, wrapped_key, birthday)
            if told is not None:
                self.birthdays[wallet_id] = told

    def _add(self, wallet_id: int, day: date, name: str, sums: Sequence[int], units: Mapping[str, Any]) -> None:
        if name in units:
            kept = self.days.setdefault(wallet_id, {})
            kept[day, name] = [a + b for a, b in zip(kept.get((day, name), [0] * 4), sums, strict=True)]
        elif sums[1]:
            given = self.once.setdefault(wallet_id, {})
            given[name, day] = given.get((name, day), 0) + sums[1]

    def history(self, wallet_id: int, unit: str) -> History:
        """The past as a programme with points of this unit sees it: other points are none of its own."""
        sums: dict[date, list[int]] = {}
        for (day, name), (turnover, visits, earned, redeemed) in self.days.get(wallet_id, {}).items():
            known = sums.setdefault(day, [0, 0, 0, 0])
            known[0] += turnover
            known[1] += visits
            if name == unit:
                known[2] += earned
                known[3] += redeemed
        return History(
            days=tuple(Day(day, *sums[day]) for day in sorted(sums)),
            once=tuple(place for place, count in self.once.get(wallet_id, {}).items() if count > 0),
            birthday=self.birthdays.get(wallet_id),
        )

    def membership(self, wallet_id: int, programme: Programme, today: date) -> Membership | None:
        """The tier that the wallet is in today; ``None`` where the programme has no tiers."""
        said = programme.document.tiers
        if said is None:
            return None
        member = self.members.get((wallet_id, programme.code))
        return tiers.judge(said, member.held if member else None, self.history(wallet_id, programme.unit), today)

    def facts(self, wallet_id: int, programme: Programme, today: date) -> Facts:
        """What the programme's rules see of the wallet."""
        if not programme.asks:
            return NOTHING_KNOWN
        membership = self.membership(wallet_id, programme, today)
        return programme.facts(self.history(wallet_id, programme.unit), membership.tier if membership else "", today)

    def count(self, done: Iterable[Activity], units: Mapping[str, Any], asks: bool) -> None:
        """Add what was done to the wallets' days; ``asks``: and to what is known of them."""
        for each in done:
            sums = [each.turnover_minor, each.visits, each.earned, each.redeemed]
            if not any(sums):
                continue
            place = each.wallet_id, each.day, each.name
            so_far = self.added.get(place)
            self.added[place] = sums if so_far is None else [a + b for a, b in zip(so_far, sums, strict=True)]
            if asks:
                self._add(*place, sums, units)

    def raise_tier(self, wallet_id: int, programme: Programme, before: Membership, today: date, sale_id: int) -> None:
        """Look at the tier after a purchase has been counted, from what it was before; up at once."""
        said = programme.document.tiers
        assert said is not None
        after = tiers.judge(said, before, self.history(wallet_id, programme.unit), today)
        place = wallet_id, programme.code
        known = self.members.get(place)
        if after.tier != before.tier:
            self._keep(place, programme, Member(after, sale_id, _before(known, before)))
        elif known is not None and known.held != after:
            self._keep(place, programme, Member(after, known.raised_by, known.before))

    def look_again(self, wallet_id: int, programme: Programme, today: date, sale_id: int) -> None:
        """After a purchase was undone, or came again: a tier that it had raised is what it was before.

        Unless what is left suffices for more; tiers that others have raised stay until their review.
        """
        said = programme.document.tiers
        assert said is not None
        place = wallet_id, programme.code
        member = self.members.get(place)
        if member is not None and member.raised_by == sale_id and member.before is not None:
            earlier = member.before
            found = tiers.judge(said, earlier.was, self.history(wallet_id, programme.unit), today)
            if tiers.is_above(said, member.held.tier, found.tier):
                again = Member(found)
                if found.tier == earlier.was.tier:
                    again = Member(found, earlier.by, earlier.before)
                elif tiers.is_above(said, found.tier, earlier.was.tier):
                    # What is left of the purchase may come back too.
                    again = Member(found, sale_id, earlier)
                self._keep(place, programme, again)
                return
        before = member.held if member else tiers.lowest(said, today)
        after = tiers.judge(said, before, self.history(wallet_id, programme.unit), today)
        if tiers.is_above(said, after.tier, before.tier):
            self._keep(place, programme, Member(after, sale_id, _before(member, before)))

    def review(self, wallet_id: int, programme: Programme, today: date) -> bool:
        """Write down what the tier is today; whether that is another one."""
        said = programme.document.tiers
        member = self.members.get((wallet_id, programme.code))
        if said is None or member is None:
            return False
        held = tiers.judge(said, member.held, self.history(wallet_id, programme.unit), today)
        is_other = held.tier != member.held.tier
        self._keep((wallet_id, programme.code), programme, Member(held, member.raised_by, member.before))
        return is_other

    def _keep(self, place: tuple[int, str], programme: Programme, member: Member) -> None:
        assert programme.document.tiers is not None
        member.look_on = tiers.next_look(programme.document.tiers, member.held, self.history(place[0], programme.unit))
        self.members[place] = self.changed[place] = member

    def merge(self, source: int, target: int, programmes: Mapping[str, Programme]) -> None:
        """The target has both pasts from now on, and of each programme the better tier."""
        for place in [place for place in self.added if place[0] == source]:
            sums = self.added.pop(place)
            moved = target, place[1], place[2]
            self.added[moved] = [a + b for a, b in zip(self.added.get(moved, [0] * 4), sums, strict=True)]
        kept = self.days.setdefault(target, {})
        for of_day, sums in self.days.pop(source, {}).items():
            kept[of_day] = [a + b for a, b in zip(kept.get(of_day, [0] * 4), sums, strict=True)]
        given = self.once.setdefault(target, {})
        for place_of, count in self.once.pop(source, {}).items():
            given[place_of] = given.get(place_of, 0) + count
        for code, programme in programmes.items():
            leaving, staying = self.members.pop((source, code), None), self.members.get((target, code))
            self.changed.pop((source, code), None)
            said = programme.document.tiers
            if leaving is None or said is None:
                continue
            codes = {level.tier for level in said.levels}
            if staying is None or (
                {leaving.held.tier, staying.held.tier} <= codes
                and tiers.is_above(said, leaving.held.tier, staying.held.tier)
            ):
                self._keep((target, code), programme, Member(leaving.held))

    def rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows to add to ``activity``, and those of ``membership`` that have changed."""
        activity = [
            {
                "wallet_id": wallet_id,
                "day": day,
                "name": name,
                "turnover_minor": sums[0],
                "visits": sums[1],
                "earned": sums[2],
                "redeemed": sums[3],
            }
            for (wallet_id, day, name), sums in sorted(self.added.items())
            if any(sums)
        ]
        members = [
            {
                "wallet_id": wallet_id,
                "programme": programme,
                "tier": member.held.tier,
                "since": member.held.since,
                "review_on": member.held.review_on,
                "counts_from": member.held.counts_from,
                "credit": member.held.credit,
                "raised_by": member.raised_by,
                "before": _encode(member.before).decode() if member.before else None,
                "look_on": member.look_on,
            }
            for (wallet_id, programme), member in sorted(self.changed.items())
        ]
        return activity, members


def _before(known: Member | None, before: Membership) -> Raised:
    """What is kept of a membership that is raised; who had raised it to that matters as long as it has not fallen."""
    if known is None or known.held.tier != before.tier:
        return Raised(before)
    return Raised(before, known.raised_by, known.before)


def local_day(at: datetime, zone: ZoneInfo) -> date:
    """The store's day of an instant."""
    return at.astimezone(zone).date()


def less(done: Iterable[Activity]) -> tuple[Activity, ...]:
    """The opposite of what was done."""
    return tuple(
        Activity(a.wallet_id, a.day, a.name, -a.turnover_minor, -a.visits, -a.earned, -a.redeemed) for a in done
    )


def together(done: Iterable[Activity]) -> tuple[Activity, ...]:
    """Several activities summed up by wallet, day and name; what comes to nothing is left out."""
    found: dict[tuple[int, date, str], Activity] = {}
    for each in done:
        place = each.wallet_id, each.day, each.name
        known = found.get(place)
        found[place] = (
            each
            if known is None
            else Activity(
                *place,
                known.turnover_minor + each.turnover_minor,
                known.visits + each.visits,
                known.earned + each.earned,
                known.redeemed + each.redeemed,
            )
        )
    return tuple(a for a in found.values() if a.turnover_minor or a.visits or a.earned or a.redeemed)
