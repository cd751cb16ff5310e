"""A programme made ready: rules in the order of their work, found by store, day and goods without asking them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from processing.commands import Line, Receipt
from processing.programme import facts as known
from processing.programme.document import (
    ByTurnover,
    Caps,
    DiscountRule,
    Expiry,
    Group,
    Multiply,
    PointsRule,
    Price,
    ProgrammeDocument,
    Window,
)
from processing.programme.facts import NOTHING_KNOWN, Facts, History

# What a rule gives, as explanations say it.
DISCOUNT, POINTS = "discount", "points"
# Stores and days, and goods of an assortment, come again and again; a chain has more than fit only of the last.
MAX_ACTIVE = 1_024
MAX_GOODS = 65_536
# The group of rules that name none; there is one only where a section declares no groups.
ALONE = Group(group="", take="best")

Said = DiscountRule | PointsRule


class Moment(msgspec.Struct, frozen=True):
    """Where and when: the store's code, and its own time."""

    store: str
    at: datetime

    @property
    def day(self) -> date:
        return self.at.date()


class Scene(msgspec.Struct, frozen=True):
    """What conditions on a whole receipt look at. ``goods_minor``: what its goods cost before our discounts."""

    receipt: Receipt
    goods_minor: int
    product: str
    facts: Facts
    moment: Moment

    @property
    def minute(self) -> int:
        """Of the store's day."""
        return self.moment.at.hour * 60 + self.moment.at.minute

    @property
    def tenders(self) -> frozenset[str]:
        """What paid, by kind and by the till's code."""
        return frozenset(name for tender in self.receipt.tenders for name in (tender.kind, tender.code))


@dataclass(slots=True, eq=False)
class Rule:
    """One rule: ``place`` is its order in the file. ``asks``: whether it has conditions beyond store, day and goods."""

    said: Any
    place: int
    goods: frozenset[str]
    without: frozenset[str]
    asks: bool
    price_from_minor: int
    is_exclusive: bool
    is_for_all: bool

    @classmethod
    def of(cls, said: Said, place: int) -> Rule:
        when = said.when
        asked = (when.hours, when.receipt_from_minor, when.receipt_below_minor, when.birthday)
        named = (when.tenders, when.tiers, when.products, when.first_purchase, getattr(said, "once", ""))
        asks = any(each is not None for each in asked) or any(named)
        goods, without = frozenset(said.goods), frozenset(said.without)
        is_for_all = not goods and not without and not said.price_from_minor
        return cls(said, place, goods, without, asks, said.price_from_minor, said.exclusive, is_for_all)

    @property
    def order(self) -> tuple[int, int]:
        """Who goes first: the higher priority, then the earlier in the file."""
        return -self.said.priority, self.place

    def is_on(self, store: str, day: date) -> bool:
        return not why_not_on(self.said, store, day)

    def holds(self, scene: Scene) -> bool:
        return not self.asks or not why_not_now(self.said, scene)

    def is_for(self, sets: frozenset[str], line: Line) -> bool:
        if self.goods and self.goods.isdisjoint(sets):
            return False
        return self.without.isdisjoint(sets)


def why_not_on(said: Said, store: str, day: date) -> str:
    """Why a rule is not on in this store on this day; empty when it is."""
    when = said.when
    if when.stores and store not in when.stores:
        return "store"
    if when.weekdays and day.weekday() not in when.weekdays:
        return "weekday"
    if when.first_day is not None and day < when.first_day:
        return "not_yet"
    return "over" if when.last_day is not None and day > when.last_day else ""


def why_not_now(said: Said, scene: Scene) -> str:  # one condition a line
    """Which condition on the receipt, its time or the card does not hold; empty when all do."""
    when, facts = said.when, scene.facts
    if when.hours is not None and not _within(when.hours, scene.minute):
        return "hours"
    if when.tenders and scene.tenders.isdisjoint(when.tenders):
        return "tender"
    if when.products and scene.product not in when.products:
        return "product"
    if when.tiers and facts.tier not in when.tiers:
        return "tier"
    if when.receipt_from_minor is not None and scene.goods_minor < when.receipt_from_minor:
        return "receipt_too_small"
    if when.receipt_below_minor is not None and scene.goods_minor >= when.receipt_below_minor:
        return "receipt_too_large"
    if when.first_purchase and not facts.is_first:
        return "not_first_purchase"
    if when.birthday is not None and when.birthday not in facts.birthday:
        return "no_birthday"
    return "given_already" if said.rule in facts.once else ""


def _within(hours: tuple[int, int], minute: int) -> bool:
    first, end = hours
    return first <= minute < end if first < end else minute >= first or minute < end


@dataclass(slots=True, eq=False)
class Stack:
    """The rules of one kind that are on: by group, and apart from them those that keep all others away.

    ``multipliers`` work on what the others have given. ``matching`` finds rules by goods.
    """

    sets: Sets
    groups: tuple[tuple[Group, tuple[Rule, ...]], ...]
    exclusive: tuple[Rule, ...]
    multipliers: tuple[Rule, ...]
    # The only rule there is: it needs no stacking.
    alone: Rule | None
    # By the sets that goods are in: few, however many goods there are.
    _matching: dict[frozenset[str], tuple[Rule, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, sets: Sets, groups: Sequence[Group], rules: Sequence[Rule]) -> Stack:
        multipliers = tuple(rule for rule in rules if isinstance(rule.said.give, Multiply))
        exclusive = [rule for rule in rules if rule.is_exclusive and rule not in multipliers]
        others = [rule for rule in rules if rule not in multipliers and rule not in exclusive]
        found = [
            (group, tuple(sorted((rule for rule in others if rule.said.group == group.group), key=_order)))
            for group in groups or (ALONE,)
        ]
        told = tuple((group, some) for group, some in found if some)
        alone = told[0][1][0] if len(rules) == 1 and told else None
        return cls(sets, told, tuple(sorted(exclusive, key=_order)), multipliers, alone)

    @property
    def is_empty(self) -> bool:
        return not self.groups and not self.exclusive

    def matching(self, line: Line) -> tuple[Rule, ...]:
        """The rules that may give something for these goods."""
        sets = self.sets.of(line)
        found = self._matching.get(sets)
        if found is None:
            every = [*(rule for _, some in self.groups for rule in some), *self.exclusive, *self.multipliers]
            found = tuple(rule for rule in every if rule.is_for(sets, line))
            if len(self._matching) >= MAX_GOODS:
                self._matching.clear()
            self._matching[sets] = found
        return found

    def places_of_one(self, lines: Sequence[Line], places: Sequence[int]) -> list[int]:
        """Those of the places whose lines the only rule is for."""
        assert self.alone is not None
        least, known, matching = self.alone.price_from_minor, self.sets.known, self._matching
        found = []
        for i in places:
            line = lines[i]
            # What ``matching`` does for goods that have come before.
            sets = known.get((line.goods, line.category, line.brand))
            rules = matching.get(sets) if sets is not None else None
            if (self.matching(line) if rules is None else rules) and (not least or line.price_minor >= least):
                found.append(i)
        return found


def _order(rule: Rule) -> tuple[int, int]:
    return rule.order


@dataclass(slots=True, eq=False)
class Active:
    """The rules that are on in a store on a day."""

    discounts: Stack
    points: Stack


@dataclass(slots=True, eq=False)
class Sets:
    """The named sets of goods, by what may be in them."""

    by_code: dict[str, frozenset[str]]
    by_category: dict[str, frozenset[str]]
    by_brand: dict[str, frozenset[str]]
    # Kept once for all stores and days: a chain has more goods than a store has rules.
    known: dict[tuple[str, str, str], frozenset[str]] = field(default_factory=dict, init=False)

    @classmethod
    def among(cls, goods: Mapping[str, Any]) -> Sets:
        found: tuple[dict[str, set[str]], ...] = ({}, {}, {})
        for name, some in goods.items():
            for kept, members in zip(found, (some.codes, some.categories, some.brands), strict=True):
                for member in members:
                    kept.setdefault(member, set()).add(name)
        return cls(*({member: frozenset(names) for member, names in kept.items()} for kept in found))

    def of(self, line: Line) -> frozenset[str]:
        """The names of the sets that these goods are in."""
        key = (line.goods, line.category, line.brand)
        found = self.known.get(key)
        if found is None:
            nothing: frozenset[str] = frozenset()
            found = self.by_code.get(line.goods, nothing) | self.by_category.get(line.category, nothing)
            found |= self.by_brand.get(line.brand, nothing)
            if len(self.known) >= MAX_GOODS:
                self.known.clear()
            self.known[key] = found
        return found


class Programme:
    """A version of a programme, ready to be asked; immutable but for what it remembers of stores, days and goods."""

    def __init__(self, document: ProgrammeDocument) -> None:
        self.document = document
        self.code, self.unit = document.code, document.unit
        self.point_price_millionths = document.point_price_millionths
        self.sets = Sets.among(document.goods)
        self.discount_rules = tuple(Rule.of(said, n) for n, said in enumerate(document.discounts.rules))
        self.points_rules = tuple(Rule.of(said, n) for n, said in enumerate(document.points.rules))
        self._active: dict[tuple[str, date], Active] = {}
        said = [each.said for each in (*self.discount_rules, *self.points_rules)]
        self.windows: tuple[Window, ...] = tuple(
            {
                known.code(each.give.window): each.give.window for each in said if isinstance(each.give, ByTurnover)
            }.values()
        )
        self.birthdays = tuple(dict.fromkeys(each.when.birthday for each in said if each.when.birthday is not None))
        self.once = tuple((each.rule, each.once) for each in document.points.rules if each.once)
        self.card_limits = tuple(limit for limit in document.limits if limit.per == "card")
        self.shared_limits = tuple(limit for limit in document.limits if limit.per != "card")
        caps = document.points.caps
        self.asks_product = any(each.when.products for each in said)
        self.asks_first = any(each.when.first_purchase for each in said)
        self.cuts = caps != Caps() or document.points.step != 1
        self.asks_caps = caps.day is not None or caps.month is not None
        self.asks_history = bool(
            self.windows or self.once or self.card_limits or document.tiers or self.asks_first or self.asks_caps
        )
        self.slides = document.points.expires.sliding

    def words(self, gives: str, rule: str) -> tuple[str, str]:
        """A rule's texts in Russian and English; its name where it has none."""
        rules = self.discount_rules if gives == DISCOUNT else self.points_rules
        said = next((each.said for each in rules if each.said.rule == rule), None)
        return (said.ru or rule, said.en or said.ru or rule) if said else (rule, rule)

    @property
    def asks_birthday(self) -> bool:
        return bool(self.birthdays)

    @property
    def asks(self) -> bool:
        """Whether its rules look at anything beyond the receipt."""
        return self.asks_history or self.asks_birthday

    @property
    def expires(self) -> Expiry:
        return self.document.points.expires

    def price_of(self, line: Line) -> tuple[Price, ...]:
        """What the law says of the price of these goods."""
        if not self.document.prices:
            return ()
        sets = self.sets.of(line)
        return tuple(price for price in self.document.prices if not sets.isdisjoint(price.goods))

    def on(self, store: str, day: date) -> Active:
        """The rules that are on in this store on this day."""
        found = self._active.get((store, day))
        if found is None:
            found = self._make_active(store, day)
            if len(self._active) >= MAX_ACTIVE:
                self._active.clear()
            self._active[store, day] = found
        return found

    def _make_active(self, store: str, day: date) -> Active:
        discounts, points = (
            [rule for rule in rules if rule.is_on(store, day)] for rules in (self.discount_rules, self.points_rules)
        )
        return Active(
            Stack.of(self.sets, self.document.discounts.groups, discounts),
            Stack.of(self.sets, self.document.points.groups, points),
        )

    def facts(self, history: History, tier: str, today: date) -> Facts:
        """What its rules see of this past; only what they ask for is worked out."""
        if not self.asks:
            return NOTHING_KNOWN
        # A late fact counts beside what its day and month have seen since.
        month, month_end = known.period_start("month", today), known.next_period("month", today) - timedelta(days=1)
        return Facts(
            tier=tier,
            turnover=known.turnovers(history, self.windows, today),
            is_first=self.asks_first and not any(day.visits > 0 for day in history.days),
            birthday=tuple(span for span in self.birthdays if known.near(history.birthday, span, today)),
            once=known.given(history, self.code, self.once, today),
            earned_today=history.total("earned", today, today) if self.asks_caps else 0,
            earned_this_month=history.total("earned", month, month_end) if self.asks_caps else 0,
            used={
                limit.limit: history.total(limit.of, *((today, today) if limit.every == "day" else (month, month_end)))
                for limit in self.card_limits
            },
        )
