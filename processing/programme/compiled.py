"""A programme made ready: rules in the order of their work, found by store, day and goods without asking them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import msgspec

from processing.commands import Line, Receipt, Tender
from processing.programme import facts as known
from processing.programme.document import (
    ByTurnover,
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

    minute: int
    tenders: frozenset[str]
    product: str
    goods_minor: int
    facts: Facts


@dataclass(slots=True, eq=False)
class Rule:
    """One rule: ``place`` is its order in the file. ``asks``: whether it has conditions beyond store, day and goods."""

    said: Any
    place: int
    goods: frozenset[str]
    without: frozenset[str]
    asks: bool

    @classmethod
    def of(cls, said: Said, place: int) -> Rule:
        when = said.when
        asked = (when.hours, when.receipt_from_minor, when.receipt_below_minor, when.birthday)
        named = (when.tenders, when.tiers, when.products, when.first_purchase, getattr(said, "once", ""))
        asks = any(each is not None for each in asked) or any(named)
        return cls(said, place, frozenset(said.goods), frozenset(said.without), asks)

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
class Active:
    """The rules that are on in a store on a day, by group; multipliers apart. ``matching`` finds them by goods."""

    sets: Sets
    discounts: tuple[tuple[Group, tuple[Rule, ...]], ...]
    points: tuple[tuple[Group, tuple[Rule, ...]], ...]
    multipliers: tuple[Rule, ...]
    _discounts_for: dict[tuple[str, str, str], tuple[Rule, ...]] = field(default_factory=dict)
    _points_for: dict[tuple[str, str, str], tuple[Rule, ...]] = field(default_factory=dict)

    def discounts_for(self, line: Line) -> tuple[Rule, ...]:
        """The discount rules that may touch these goods."""
        key = (line.goods, line.category, line.brand)
        found = self._discounts_for.get(key)
        if found is None:
            found = self._remember(
                self._discounts_for, key, line, [rule for _, some in self.discounts for rule in some]
            )
        return found

    def points_for(self, line: Line) -> tuple[Rule, ...]:
        """The points rules likewise, multipliers with them."""
        key = (line.goods, line.category, line.brand)
        found = self._points_for.get(key)
        if found is None:
            rules = [*(rule for _, some in self.points for rule in some), *self.multipliers]
            found = self._remember(self._points_for, key, line, rules)
        return found

    def _remember(
        self,
        kept: dict[tuple[str, str, str], tuple[Rule, ...]],
        key: tuple[str, str, str],
        line: Line,
        rules: list[Rule],
    ) -> tuple[Rule, ...]:
        sets = self.sets.of(line)
        found = tuple(rule for rule in rules if rule.is_for(sets, line))
        if len(kept) >= MAX_GOODS:
            kept.clear()
        kept[key] = found
        return found


@dataclass(slots=True, eq=False)
class Sets:
    """The named sets of goods, by what may be in them."""

    by_code: dict[str, frozenset[str]]
    by_category: dict[str, frozenset[str]]
    by_brand: dict[str, frozenset[str]]

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
        nothing: frozenset[str] = frozenset()
        found = self.by_code.get(line.goods, nothing) | self.by_category.get(line.category, nothing)
        return found | self.by_brand.get(line.brand, nothing)


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
        caps = document.points.caps
        self.asks_first = any(each.when.first_purchase for each in said)
        self.asks_caps = caps.day is not None or caps.month is not None
        self.asks_history = bool(
            self.windows or self.once or self.card_limits or document.tiers or self.asks_first or self.asks_caps
        )
        self.slides = document.points.expires.sliding

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
        points = [rule for rule in self.points_rules if rule.is_on(store, day)]
        multipliers = tuple(rule for rule in points if isinstance(rule.said.give, Multiply))
        plain = [rule for rule in points if rule not in multipliers]
        return Active(
            self.sets,
            _grouped(self.document.discounts.groups, [r for r in self.discount_rules if r.is_on(store, day)]),
            _grouped(self.document.points.groups, plain),
            multipliers,
        )

    def facts(self, history: History, tier: str, today: date) -> Facts:
        """What its rules see of this past; only what they ask for is worked out."""
        if not self.asks:
            return NOTHING_KNOWN
        month = known.period_start("month", today)
        return Facts(
            tier=tier,
            turnover=known.turnovers(history, self.windows, today),
            is_first=self.asks_first and not any(day.visits > 0 for day in history.days),
            birthday=tuple(span for span in self.birthdays if known.near(history.birthday, span, today)),
            once=known.given(history, self.once, today),
            earned_today=history.total("earned", today, today) if self.asks_caps else 0,
            earned_this_month=history.total("earned", month, today) if self.asks_caps else 0,
            used={
                limit.limit: history.total(limit.of, today if limit.every == "day" else month, today)
                for limit in self.card_limits
            },
        )


def _grouped(groups: Sequence[Group], rules: Sequence[Rule]) -> tuple[tuple[Group, tuple[Rule, ...]], ...]:
    """Rules in the order in which their groups work, without the groups that have none."""
    found = [(group, tuple(rule for rule in rules if rule.said.group == group.group)) for group in groups or (ALONE,)]
    return tuple((group, tuple(sorted(some, key=lambda rule: rule.order))) for group, some in found if some)


def scene(receipt: Receipt, goods_minor: int, product: str, facts: Facts, moment: Moment) -> Scene:
    """What conditions look at."""
    at = moment.at
    return Scene(at.hour * 60 + at.minute, _tenders(receipt.tenders), product, goods_minor, facts)


def _tenders(tenders: Sequence[Tender]) -> frozenset[str]:
    """What paid, by kind and by the till's code."""
    return frozenset(name for tender in tenders for name in (tender.kind, tender.code))
