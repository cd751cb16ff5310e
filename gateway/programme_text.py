"""A programme's document -> its file: the inverse of ``gateway.programmes``.

What a file need not say is left out. Names of places have become codes of stores, and the short form its rules;
everything else comes back as it was, and reading the text gives the same document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from gateway.programme_schemas import DAYS
from gateway.schemas import MAX_SCALE
from processing.programme.document import (
    MILLION,
    AmountOff,
    ByReceipt,
    ByTier,
    ByTurnover,
    Caps,
    DiscountRule,
    Discounts,
    Event,
    Expiry,
    Fixed,
    FixedPrice,
    Group,
    Level,
    Limit,
    Multiply,
    NthPiece,
    Payment,
    PerAmount,
    Percent,
    Points,
    PointsRule,
    Price,
    ProgrammeDocument,
    Review,
    Step,
    Tiers,
    When,
    Window,
)
from processing.units import MONEY, Unit, major

Form = dict[str, Any]
"""A file, or a part of it, as its YAML says it."""

# A mapping or list of so many characters may stand in one line.
MAX_LINE = 90


class Amount(str):
    """In major units; quoted in the file, so that nobody reads a float."""

    __slots__ = ()


class Number(str):
    """A number with or without a point, plain in the file."""

    __slots__ = ()


class Scales(NamedTuple):
    """Digits after the point, of the chain's money and of the programme's points."""

    money: int
    points: int

    @classmethod
    def among(cls, units: Iterable[Unit], code: str) -> Scales:
        known = list(units)
        money = min((unit.scale for unit in known if unit.kind == MONEY), default=2)
        return cls(money, next((unit.scale for unit in known if unit.code == code), money))


def text(document: ProgrammeDocument, scales: Scales) -> str:
    """The file, its sections apart."""
    said = form(document, scales)
    head = {key: value for key, value in said.items() if not isinstance(value, dict | list)}
    sections = [head, *({key: value} for key, value in said.items() if key not in head)]
    return "\n".join(_yaml(section) for section in sections)


def decimal(amount: int, scale: int) -> str:
    """In major units, without digits that say nothing: ``1.5``, ``100``."""
    told = major(amount, scale)
    return told.rstrip("0").removesuffix(".") if "." in told else told


def percent(hundredths: int) -> Number:
    return Number(decimal(hundredths, 2))


def form(document: ProgrammeDocument, scales: Scales) -> Form:
    """What the file says, in the order in which people write it."""
    return _Writing(scales).programme(document)


def _told(pairs: Mapping[str, Any]) -> Form:
    """The pairs that say something. A zero does: whose zero is the default gives ``None`` instead."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in pairs.items()
        if not (value is None or value is False or value == "" or value == ())
    }


class _Writing:
    """The parts of a file, with amounts in the units of one chain."""

    def __init__(self, scales: Scales) -> None:
        self.scales = scales

    def money(self, minor: int) -> Amount:
        return Amount(decimal(minor, self.scales.money))

    def points(self, minor: int) -> Amount:
        return Amount(decimal(minor, self.scales.points))

    def programme(self, document: ProgrammeDocument) -> Form:
        return _told(
            {
                "programme": document.code,
                "unit": document.unit,
                "point_price": self._point_price(document.point_price_millionths),
                "discount": document.discount,
                "bonus": document.bonus,
                "return_policy": document.return_policy if document.return_policy != "debt" else None,
                "return_grace_days": document.return_grace_days or None,
                "goods": {
                    name: _told({"codes": some.codes, "categories": some.categories, "brands": some.brands})
                    for name, some in document.goods.items()
                }
                or None,
                "tiers": self._tiers(document.tiers) if document.tiers else None,
                "discounts": self._discounts(document.discounts) or None,
                "points": self._points(document.points) or None,
                "payment": self._payment(document.payment) or None,
                "prices": tuple(self._price(price) for price in document.prices),
                "limits": tuple(self._limit(limit) for limit in document.limits),
                "certificates": document.certificates or None,
            }
        )

    def _point_price(self, millionths: int) -> Amount | None:
        """What a point is worth in major money; nothing where a minor unit is worth a minor unit, as by default."""
        if millionths == MILLION and self.scales.money == self.scales.points:
            return None
        return Amount(decimal(millionths * 10**self.scales.points, MAX_SCALE + self.scales.money))

    # Sections -------------------------------------------------------------------------------------------------

    def _tiers(self, tiers: Tiers) -> Form:
        scale = {"turnover": self.scales.money, "points": self.scales.points, "visits": 0}[tiers.measure]
        return _told(
            {
                "by": tiers.measure,
                "window": _window(tiers.window) or None,
                "levels": tuple(_level(level, scale) for level in tiers.levels),
                "review": _review(tiers.review) if tiers.review else None,
                "absence_days": tiers.absence_days,
            }
        )

    def _discounts(self, said: Discounts) -> Form:
        return _told(
            {
                "groups": _groups(said.groups) or None,
                "floor_percent": percent(said.floor_hundredths) if said.floor_hundredths else None,
                "rules": tuple(self._rule(rule, {}) for rule in said.rules),
            }
        )

    def _points(self, said: Points) -> Form:
        return _told(
            {
                "groups": _groups(said.groups) or None,
                "events": tuple(self._event(event) for event in said.events),
                "rules": tuple(self._rule(rule, _terms(rule)) for rule in said.rules),
                "caps": self._caps(said.caps) or None,
                "round_to": self._step(said.step),
                "on_part_paid_by_points": said.on_part_paid_by_points,
                "on_gift_cards": said.on_gift_cards,
                "pending_days": said.pending_days or None,
                "expires": _expiry(said.expires) or None,
            }
        )

    def _step(self, step: int) -> Amount | None:
        return self.points(step) if step > 1 else None

    def _caps(self, caps: Caps) -> Form:
        told = {"receipt": caps.receipt, "day": caps.day, "month": caps.month}
        return {name: self.points(most) for name, most in told.items() if most is not None}

    def _event(self, event: Event) -> Form:
        said = {"rule": event.rule, "on": event.on, "text": _texts(event), "points": self.points(event.points)}
        return _told({**said, **_terms(event)})

    def _payment(self, said: Payment) -> Form:
        return _told(
            {
                "percent": percent(said.hundredths) if said.hundredths else None,
                "percent_by_tier": _percents(said.by_tier) or None,
                "line_percent": percent(said.line_hundredths) if said.line_hundredths != 10_000 else None,
                "leave_money": self.money(said.money_minor) if said.money_minor else None,
                "without": said.without,
                "round_to": self._step(said.step),
                "least_points": self.points(said.least) if said.least else None,
            }
        )

    def _price(self, price: Price) -> Form:
        least = self.money(price.least_minor) if price.least_minor else None
        return _told({"goods": price.goods, "at_least": least, "fixed": price.is_fixed})

    def _limit(self, limit: Limit) -> Form:
        scale = {"turnover": self.scales.money, "receipts": 0}.get(limit.of, self.scales.points)
        return {
            "limit": limit.limit,
            "of": limit.of,
            "per": limit.per,
            "every": limit.every,
            "most": Amount(decimal(limit.most, scale)),
            "then": limit.then,
        }

    # Rules ----------------------------------------------------------------------------------------------------

    def _rule(self, rule: DiscountRule | PointsRule, own: Form) -> Form:
        return _told(
            {
                "rule": rule.rule,
                "group": rule.group,
                "priority": rule.priority or None,
                "exclusive": rule.exclusive,
                "text": _texts(rule),
                "when": self._when(rule.when) or None,
                "goods": rule.goods,
                "without": rule.without,
                "price_from": self.money(rule.price_from_minor) if rule.price_from_minor else None,
                **_GIVES[type(rule.give)](self, rule.give),
                **own,
            }
        )

    def _when(self, when: When) -> Form:
        least, below = when.receipt_from_minor, when.receipt_below_minor
        return _told(
            {
                "stores": when.stores,
                "weekdays": tuple(DAYS[day] for day in when.weekdays),
                "hours": _hours(*when.hours) if when.hours else None,
                "from": when.first_day.isoformat() if when.first_day else None,
                "until": when.last_day.isoformat() if when.last_day else None,
                "tenders": when.tenders,
                "tiers": when.tiers,
                "products": when.products,
                "receipt_from": self.money(least) if least is not None else None,
                "receipt_below": self.money(below) if below is not None else None,
                "first_purchase": when.first_purchase,
                "birthday": _birthday(*when.birthday) if when.birthday is not None else None,
            }
        )

    def _steps(self, steps: Sequence[Step]) -> Form:
        return {self.money(step.from_minor): percent(step.hundredths) for step in steps}

    def _by_turnover(self, give: ByTurnover) -> Form:
        window = _window(give.window) or None
        return {"percent_by_turnover": _told({"window": window, "steps": self._steps(give.steps)})}

    def _off(self, give: AmountOff) -> Form:
        return {"off": self.money(give.off_minor), "off_per": "piece" if give.per == "piece" else None}

    def _per(self, give: PerAmount) -> Form:
        return {"per": {"points": self.points(give.points), "every": self.money(give.every_minor)}}


_GIVES: dict[type, Callable[[_Writing, Any], Form]] = {
    Percent: lambda writing, give: {"percent": percent(give.hundredths)},
    ByReceipt: lambda writing, give: {"percent_by_receipt": writing._steps(give.steps)},
    ByTurnover: _Writing._by_turnover,
    ByTier: lambda writing, give: {"percent_by_tier": _percents(give.hundredths)},
    FixedPrice: lambda writing, give: {"price": writing.money(give.price_minor)},
    AmountOff: _Writing._off,
    NthPiece: lambda writing, give: {"nth": _nth(give)},
    PerAmount: _Writing._per,
    Fixed: lambda writing, give: {"points": writing.points(give.points)},
    Multiply: lambda writing, give: {"multiply": percent(give.hundredths)},
}


def _nth(give: NthPiece) -> Form:
    return _told({"every": give.every, "percent": percent(give.hundredths) if give.hundredths != 10_000 else None})


def _percents(by_tier: Mapping[str, int]) -> Form:
    return {tier: percent(hundredths) for tier, hundredths in by_tier.items()}


def _groups(groups: Sequence[Group]) -> Form:
    return {group.group: group.take for group in groups}


def _texts(said: DiscountRule | PointsRule | Event | Level) -> Form | None:
    return _told({"ru": said.ru, "en": said.en}) or None


def _terms(said: PointsRule | Event) -> Form:
    """When these points begin and end, where it is not as the section says."""
    once = said.once if isinstance(said, PointsRule) else ""
    expires = _expiry(said.expires) if said.expires is not None else None
    return {"once": once, "pending_days": said.pending_days, "expires": expires}


def _expiry(said: Expiry) -> Form:
    return _told(
        {
            "days": said.days,
            "end_of": said.period,
            "extra_days": said.extra_days or None,
            "sliding": said.sliding,
        }
    )


def _window(window: Window) -> Form:
    return _told({"days": window.days, "this": window.period})


def _review(review: Review) -> Form:
    return _told(
        {
            "days": review.days,
            "end_of": review.period,
            "grace_days": review.grace_days or None,
            "fall": review.fall if review.fall != "full" else None,
        }
    )


def _level(level: Level, scale: int) -> Form:
    needs = Amount(decimal(level.needs, scale)) if level.needs else None
    said = {"tier": level.tier, "from": needs, "discount": level.discount, "bonus": level.bonus}
    return _told({**said, "text": _texts(level)})


def _hours(first: int, end: int) -> str:
    return f"{first // 60:02}:{first % 60:02}-{end // 60:02}:{end % 60:02}"


def _birthday(before: int, after: int) -> Form:
    return _told({"days_before": before or None, "days_after": after or None})


# YAML ---------------------------------------------------------------------------------------------------------

_TAG = "tag:yaml.org,2002:"
_LINE_ENDS = re.compile("[\n\r\x85\u2028\u2029]")


class _Dumper(yaml.SafeDumper):
    """Blocks, with what is short in one line; texts are quoted where a reader would take them for else."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _is_short(value: Any) -> bool:
    """Whether it may stand in one line: nothing but scalars and lists of them, and little."""
    inner = value.values() if isinstance(value, dict) else value
    flat = all(not isinstance(each, dict) and not (isinstance(each, list) and _nests(each)) for each in inner)
    return flat and len(str(value)) <= MAX_LINE


def _nests(value: list[Any]) -> bool:
    return any(isinstance(each, dict | list) for each in value)


def _mapping(dumper: yaml.SafeDumper, value: Form) -> yaml.Node:
    return dumper.represent_mapping(f"{_TAG}map", list(value.items()), flow_style=_is_short(value))


def _words(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    """PyYAML writes rare ends of lines as they are, and reads them as others: they are escaped."""
    return dumper.represent_scalar(f"{_TAG}str", value, style='"' if _LINE_ENDS.search(value) else None)


def _number(dumper: yaml.SafeDumper, value: Number) -> yaml.Node:
    return dumper.represent_scalar(_TAG + ("float" if "." in value else "int"), str(value))


def _sequence(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    return dumper.represent_sequence(f"{_TAG}seq", value, flow_style=not any(isinstance(v, dict) for v in value))


# Days and the key ``on`` stay as people write them: since YAML 1.2 they are text to every reader.
_Dumper.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in known if tag not in (f"{_TAG}timestamp", f"{_TAG}bool")]
    for first, known in yaml.SafeDumper.yaml_implicit_resolvers.items()
}
_Dumper.add_implicit_resolver(f"{_TAG}bool", re.compile("(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _sequence)
_Dumper.add_representer(str, _words)
_Dumper.add_representer(Number, _number)
_Dumper.add_representer(Amount, lambda dumper, value: dumper.represent_scalar(f"{_TAG}str", str(value), style='"'))


class _Section(dict[str, Any]):
    """What never stands in one line."""


_Dumper.add_representer(
    _Section, lambda dumper, value: dumper.represent_mapping(f"{_TAG}map", list(value.items()), flow_style=False)
)


def _yaml(section: Form) -> str:
    return str(yaml.dump(_Section(section), Dumper=_Dumper, allow_unicode=True, width=120))
