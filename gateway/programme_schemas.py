"""What the file of a programme may say: a schema, whose messages tell what was expected.

docs/programmes.md and the JSON Schema for editors are made from it. Amounts come out as they stand, with the kind of
their unit; ``gateway.programmes`` makes minor units of them once it knows the chain's scales.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from marshmallow import ValidationError, fields, validate, validates_schema

from gateway.problems import EXPECTED
from gateway.schemas import (
    MAX_SCALE,
    PERCENT,
    Checked,
    Section,
    a_choice,
    a_code,
    a_percent,
    a_switch,
    a_text,
    a_whole,
)
from processing.programme.document import MAX_EVENTS
from processing.units import MAX_AMOUNT, scaled

MONEY, POINTS = "money", "points"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PERIODS = ("month", "quarter", "year")
MAX_RULES = 1_000
MAX_DAYS = 36_500

_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]|24):([0-5][0-9])")


class Told(NamedTuple):
    """An amount at MAX_SCALE, of money or of the programme's points (``kind``)."""

    kind: str
    amount: int


def _amount(kind: str, example: str, **options: Any) -> Checked:
    def check(value: Any) -> Told:
        number = scaled(str(value), MAX_SCALE) if type(value) in (int, str) else -1
        if not 0 <= number <= MAX_AMOUNT:
            raise ValueError
        return Told(kind, number)

    return Checked(check, f'an amount of {kind} in major units, such as "{example}"', json=AMOUNT, **options)


# Not a number with a point: editors would read it as a float.
AMOUNT = {"type": ["string", "integer"], "minimum": 0, "pattern": r"^[0-9]+(\.[0-9]*)?$"}


def money(**options: Any) -> Checked:
    return _amount(MONEY, "199.90", **options)


def points(**options: Any) -> Checked:
    return _amount(POINTS, "100", **options)


def _positive(field: Checked) -> Checked:
    def check(told: Told) -> None:
        if told.amount == 0:
            raise ValidationError(f"{EXPECTED}more than nothing")

    field.validators = [*field.validators, check]
    return field


def _day(value: Any) -> date:
    return date.fromisoformat(value if isinstance(value, str) else "")


def a_day(**options: Any) -> Checked:
    return Checked(_day, "a day such as 2026-12-31", json={"type": "string", "format": "date"}, **options)


def _hours(value: Any) -> tuple[int, int]:
    found = _HOURS.fullmatch(value if isinstance(value, str) else "")
    if found is None:
        raise ValueError
    first, first_minute, last, last_minute = map(int, found.groups())
    if (first, first_minute) == (last, last_minute) or (last == 24 and last_minute):
        raise ValueError
    return first * 60 + first_minute, last * 60 + last_minute


def names(**options: Any) -> fields.List[Any]:
    return fields.List(a_text(), load_default=list, **options)


def _steps(**options: Any) -> Checked:
    """``{"10000": 5, "20000": 10}``: from so much money on so many percent; in hundredths, in ascending order."""
    percent, amount = a_percent(), money()

    def check(value: Any) -> list[tuple[Told, int]]:
        if not isinstance(value, Mapping) or not value:
            raise ValueError
        try:
            found: list[tuple[Any, Any]] = [
                (amount.deserialize(key), percent.deserialize(each)) for key, each in value.items()
            ]
        except ValidationError:
            raise ValueError from None
        if len({told for told, _ in found}) < len(found):
            raise ValidationError(f"{EXPECTED}each amount once")
        return sorted(found)

    words = 'a mapping of money to percent, such as {{"10000": 5, "20000": 10}}'
    return Checked(check, words, json=_STEPS, **options)


_STEPS = {
    "type": "object",
    "propertyNames": {"pattern": AMOUNT["pattern"]},
    "additionalProperties": PERCENT,
    "minProperties": 1,
}


class _Texts(Section):
    """What cashiers, slips and holders read."""

    ru = a_text(load_default="", metadata={"description": "in Russian"})
    en = a_text(load_default="", metadata={"description": "in English"})


class GoodsSet(Section):
    """A named set of goods, by anything that tells them."""

    codes = names(metadata={"description": "the till's codes of goods"})
    categories = names(metadata={"description": "categories, as the till calls them"})
    brands = names(metadata={"description": "brands"})

    @validates_schema
    def says_something(self, data: dict[str, Any], **_: Any) -> None:
        if not any(data.values()):
            raise ValidationError(f"{EXPECTED}at least one of codes, categories, brands")


class Birthday(Section):
    """Days around the holder's birthday."""

    days_before = a_whole(0, 60, load_default=0, metadata={"description": "so many days before it"})
    days_after = a_whole(0, 60, load_default=0, metadata={"description": "and after it"})


_RECEIPT = "what the goods cost before the programme's discounts"


class When(Section):
    """Conditions on the whole receipt; all that are told must hold."""

    stores = names(metadata={"description": "codes of stores, or names under `places`"})
    weekdays = fields.List(a_choice(*DAYS), load_default=list, metadata={"description": "the store's days of the week"})
    hours = Checked(
        _hours,
        'hours such as "09:00-12:00"; a span may go over midnight',
        json={"type": "string", "pattern": "^" + _HOURS.pattern + "$"},
        allow_none=True,
        load_default=None,
        metadata={"description": "from the first minute to the last, which no longer counts; may go over midnight"},
    )
    first_day = a_day(data_key="from", allow_none=True, load_default=None, metadata={"description": "the first day"})
    last_day = a_day(data_key="until", allow_none=True, load_default=None, metadata={"description": "the last day"})
    tenders = names(metadata={"description": "paid with: cash, bank_card, purse, other, or the till's code"})
    tiers = names(metadata={"description": "holders of these tiers"})
    products = names(metadata={"description": "these kinds of card"})
    receipt_from = money(allow_none=True, load_default=None, metadata={"description": f"{_RECEIPT}, at least"})
    receipt_below = money(allow_none=True, load_default=None, metadata={"description": f"{_RECEIPT}, less than"})
    first_purchase = a_switch(load_default=False, metadata={"description": "the wallet has bought nothing before"})
    birthday = fields.Nested(
        Birthday, allow_none=True, load_default=None, metadata={"description": "days around the holder's birthday"}
    )


class WindowSection(Section):
    """Which days count; nothing told: all that there ever were."""

    days = a_whole(
        1, MAX_DAYS, allow_none=True, load_default=None, metadata={"description": "the last so many, with today"}
    )
    period = a_choice(
        *PERIODS, data_key="this", allow_none=True, load_default=None, metadata={"description": "this calendar period"}
    )

    @validates_schema
    def says_one(self, data: dict[str, Any], **_: Any) -> None:
        if data["days"] and data["period"]:
            raise ValidationError(f"{EXPECTED}days or this, not both")


def _window() -> fields.Nested:
    return fields.Nested(
        WindowSection,
        load_default=lambda: {"days": None, "period": None},
        metadata={"description": "which days count; none told: all that there ever were"},
    )


class TurnoverSteps(Section):
    """Percent by what was bought before."""

    window = _window()
    steps = _steps(required=True, metadata={"description": "from so much turnover on so many percent"})


class Nth(Section):
    """Every n-th piece, of the goods that match the cheapest ones."""

    every = a_whole(2, 1000, required=True, metadata={"description": "of so many pieces one"})
    percent = a_percent(load_default=10_000, metadata={"description": "off that piece; 100: it is free"})


class Per(Section):
    """Points for each full amount of money."""

    points = _positive(points(required=True, metadata={"description": "so many points"}))
    every = _positive(money(required=True, metadata={"description": "for each full amount"}))


class ExpirySection(Section):
    """When points end; nothing told: never."""

    days = a_whole(1, MAX_DAYS, allow_none=True, load_default=None, metadata={"description": "after they can be spent"})
    period = a_choice(
        *PERIODS,
        data_key="end_of",
        allow_none=True,
        load_default=None,
        metadata={"description": "with the calendar period in which they can first be spent"},
    )
    extra_days = a_whole(0, MAX_DAYS, load_default=0, metadata={"description": "so many days later"})
    sliding = a_switch(
        load_default=False,
        metadata={"description": "each purchase gives all of the card's points new days; only in `points.expires`"},
    )

    @validates_schema
    def fits_together(self, data: dict[str, Any], **_: Any) -> None:
        if data["days"] and data["period"]:
            raise ValidationError(f"{EXPECTED}days or end_of, not both")
        if data["sliding"] and not data["days"]:
            raise ValidationError(f"{EXPECTED}days with sliding")


_PERCENTS = (
    ("percent", a_percent(metadata={"description": "so many percent"})),
    ("percent_by_receipt", _steps(metadata={"description": f"percent by {_RECEIPT}"})),
    ("percent_by_turnover", fields.Nested(TurnoverSteps, metadata={"description": "percent by earlier turnover"})),
    (
        "percent_by_tier",
        fields.Dict(keys=a_text(), values=a_percent(), metadata={"description": "percent by tier; others get nothing"}),
    ),
)


class _Rule(Section):
    rule = a_code(required=True, metadata={"description": "its name, unique in the programme"})
    text = fields.Nested(_Texts, load_default=dict, metadata={"description": "what people read about it"})
    when = fields.Nested(When, load_default=lambda: When().load({}), metadata={"description": "conditions"})
    goods = names(metadata={"description": "names under `goods`; none: all goods"})
    without = names(metadata={"description": "names under `goods` that it does not touch"})
    price_from = money(
        load_default=Told(MONEY, 0), metadata={"description": "only goods whose price of a piece is so much or more"}
    )
    group = a_text(load_default="", metadata={"description": "the group in which it competes"})
    priority = a_whole(-1000, 1000, load_default=0, metadata={"description": "the higher one goes first"})
    exclusive = a_switch(
        load_default=False, metadata={"description": "what it gives something for gets nothing of other rules"}
    )

    percent, percent_by_receipt, percent_by_turnover, percent_by_tier = (field for _, field in _PERCENTS)
    gives: tuple[str, ...] = ()

    @validates_schema(skip_on_field_errors=True)
    def gives_one_thing(self, data: dict[str, Any], **_: Any) -> None:
        told = [name for name in self.gives if name in data]
        if len(told) != 1:
            found = " and ".join(told) or "none of them"
            raise ValidationError(f"found {found}, {EXPECTED}one of {', '.join(self.gives)}")


_SHARED = tuple(name for name, _ in _PERCENTS)


class DiscountRuleSection(_Rule):
    """A rule that takes something off the price of goods."""

    price = money(metadata={"description": "a piece costs this"})
    off = _positive(money(metadata={"description": "so much money off"}))
    off_per = a_choice(
        "receipt", "piece", load_default="receipt", metadata={"description": "`off` once, or of each piece"}
    )
    nth = fields.Nested(Nth, metadata={"description": "every n-th piece cheaper or free"})
    gives = (*_SHARED, "price", "off", "nth")


class PointsRuleSection(_Rule):
    """A rule that gives points for goods."""

    per = fields.Nested(Per, metadata={"description": "points for each full amount"})
    points = _positive(points(metadata={"description": "so many points for the receipt"}))
    multiply = Checked(
        lambda value: _factor(value),
        "a factor above 1, such as 2 or 1.5",
        json={**PERCENT, "minimum": 1, "maximum": 1000},
        metadata={"description": "all other rules' points times this"},
    )
    once = a_choice("year", "ever", metadata={"description": "a wallet gets it once in a calendar year, or once ever"})
    pending_days = a_whole(
        0, 3650, allow_none=True, load_default=None, metadata={"description": "instead of the section's"}
    )
    expires = fields.Nested(
        ExpirySection, allow_none=True, load_default=None, metadata={"description": "instead of the section's"}
    )
    gives = (*_SHARED, "per", "points", "multiply")


def _factor(value: Any) -> int:
    """In hundredths."""
    found = scaled(str(value), 2) if type(value) in (int, str) else 0
    if not 100 < found <= 100_000:
        raise ValueError
    return found


def _groups() -> fields.Dict:
    return fields.Dict(
        keys=a_code(),
        values=a_choice("best", "sum", "first"),
        load_default=dict,
        metadata={
            "description": "groups in the order of their work: a line gets the best, sum or first of their rules"
        },
    )


class DiscountsSection(Section):
    """Discounts."""

    groups = _groups()
    floor_percent = a_percent(load_default=0, metadata={"description": "a line costs at least this part of its price"})
    rules = fields.List(
        fields.Nested(DiscountRuleSection),
        load_default=list,
        validate=validate.Length(max=MAX_RULES),
        metadata={"description": "the rules, at most 1,000"},
    )


class EventSection(Section):
    """Points for something that is no purchase."""

    rule = a_code(required=True, metadata={"description": "its name, unique in the programme"})
    text = fields.Nested(_Texts, load_default=dict, metadata={"description": "what people read about it"})
    on = a_choice(
        "registration", "activation", required=True, metadata={"description": "of the holder, or of the card"}
    )
    points = _positive(points(required=True, metadata={"description": "so many points"}))
    pending_days = a_whole(
        0, 3650, allow_none=True, load_default=None, metadata={"description": "instead of the section's"}
    )
    expires = fields.Nested(
        ExpirySection, allow_none=True, load_default=None, metadata={"description": "instead of the section's"}
    )


class CapsSection(Section):
    """The most points that purchases bring."""

    receipt = points(allow_none=True, load_default=None, metadata={"description": "of one receipt"})
    day = points(allow_none=True, load_default=None, metadata={"description": "in a day"})
    month = points(allow_none=True, load_default=None, metadata={"description": "in a calendar month"})


class PointsSection(Section):
    """Points that purchases bring."""

    groups = _groups()
    rules = fields.List(
        fields.Nested(PointsRuleSection),
        load_default=list,
        validate=validate.Length(max=MAX_RULES),
        metadata={"description": "the rules, at most 1,000"},
    )
    events = fields.List(
        fields.Nested(EventSection),
        load_default=list,
        validate=validate.Length(max=MAX_EVENTS),
        metadata={"description": "points for what is no purchase; at most 20"},
    )
    caps = fields.Nested(
        CapsSection,
        load_default=lambda: CapsSection().load({}),
        metadata={"description": "the most that purchases bring"},
    )
    round_to = _positive(
        points(load_default=None, metadata={"description": "a receipt's points are rounded down to a multiple of this"})
    )
    on_part_paid_by_points = a_switch(load_default=False, metadata={"description": "also on what points pay"})
    on_gift_cards = a_switch(load_default=False, metadata={"description": "also on the sale of gift cards"})
    pending_days = a_whole(0, 3650, load_default=0, metadata={"description": "days until they can be spent"})
    expires = fields.Nested(
        ExpirySection, load_default=lambda: ExpirySection().load({}), metadata={"description": "when points end"}
    )


class PaymentSection(Section):
    """How much points may pay."""

    percent = a_percent(load_default=0, metadata={"description": "of the receipt"})
    percent_by_tier = fields.Dict(
        keys=a_text(), values=a_percent(), load_default=dict, metadata={"description": "instead, for these tiers"}
    )
    line_percent = a_percent(load_default=10_000, metadata={"description": "of each line"})
    leave_money = money(
        load_default=Told(MONEY, 0), metadata={"description": "so much of the receipt is paid with money"}
    )
    without = names(metadata={"description": "names under `goods` that points never pay for"})
    round_to = _positive(points(load_default=None, metadata={"description": "only multiples of this"}))
    least_points = points(
        load_default=Told(POINTS, 0), metadata={"description": "only cards that have so many pay with them"}
    )


class PriceSection(Section):
    """The law's prices of goods."""

    goods = fields.List(
        a_text(), required=True, validate=validate.Length(min=1), metadata={"description": "names under `goods`"}
    )
    at_least = money(load_default=Told(MONEY, 0), metadata={"description": "a piece never costs less"})
    fixed = a_switch(
        load_default=False, metadata={"description": "sold at its price: no discount, no points in payment"}
    )


class LevelSection(Section):
    """A tier."""

    tier = a_code(required=True, metadata={"description": "its name"})
    needs = Checked(
        lambda value: _needs(value),
        'what it takes, such as "10000"',
        json=AMOUNT,
        data_key="from",
        load_default=0,
        metadata={"description": "what it takes: money, points or visits, by `by`; the first tier takes nothing"},
    )
    discount = a_text(load_default="", metadata={"description": "instead of the programme's `discount`"})
    bonus = a_text(load_default="", metadata={"description": "instead of the programme's `bonus`"})
    text = fields.Nested(_Texts, load_default=dict, metadata={"description": "what people call it"})


def _needs(value: Any) -> int:
    found = scaled(str(value), MAX_SCALE) if type(value) in (int, str) else -1
    if not 0 <= found <= MAX_AMOUNT:
        raise ValueError
    return found


class ReviewSection(Section):
    """When a tier is looked at again."""

    days = a_whole(
        1,
        MAX_DAYS,
        allow_none=True,
        load_default=None,
        metadata={"description": "so many days after it was reached or kept"},
    )
    period = a_choice(
        *PERIODS,
        data_key="end_of",
        allow_none=True,
        load_default=None,
        metadata={"description": "at the end of each calendar period"},
    )
    grace_days = a_whole(
        0, 3650, load_default=0, metadata={"description": "so much later; what is bought until then counts too"}
    )
    fall = a_choice(
        "one_down", "full", load_default="full", metadata={"description": "one tier, or to what the holder has"}
    )

    @validates_schema
    def says_one(self, data: dict[str, Any], **_: Any) -> None:
        if bool(data["days"]) == bool(data["period"]):
            raise ValidationError(f"{EXPECTED}days or end_of")


class TiersSection(Section):
    """Tiers, from the lowest up."""

    measure = a_choice(
        "turnover", "points", "visits", data_key="by", required=True, metadata={"description": "what brings a tier"}
    )
    window = _window()
    levels = fields.List(
        fields.Nested(LevelSection),
        required=True,
        validate=validate.Length(min=1, max=100),
        metadata={"description": "the tiers, from the lowest up"},
    )
    review = fields.Nested(
        ReviewSection,
        allow_none=True,
        load_default=None,
        metadata={"description": "when a tier is looked at again; none told: nobody falls but by absence"},
    )
    absence_days = a_whole(
        1,
        MAX_DAYS,
        allow_none=True,
        load_default=None,
        metadata={"description": "a step down when the last visit is more than so many days ago"},
    )


class LimitSection(Section):
    """The most that may happen."""

    limit = a_code(required=True, metadata={"description": "its name"})
    of = a_choice(
        "receipts", "turnover", "earned", "redeemed", required=True, metadata={"description": "what is counted"}
    )
    per = a_choice(
        "card",
        "till",
        "cashier",
        "store",
        "partner",
        required=True,
        metadata={"description": "of each wallet, till, cashier (where the till tells one), store or legal entity"},
    )
    every = a_choice("day", "month", required=True, metadata={"description": "in a day or calendar month"})
    most = Checked(
        lambda value: _needs(value),
        "the most of it",
        json=AMOUNT,
        required=True,
        metadata={"description": "so much; receipts are counted"},
    )
    then = a_choice("block", "alert", required=True, metadata={"description": "refuse, or only flag for the operator"})


SHORT = ("cashback_percent", "payable_percent", "pending_days", "expires_days", "excluded_categories", "minimum_price")
LONG = ("discounts", "points", "payment", "prices", "tiers", "limits", "certificates")


class ProgrammeSchema(Section):
    """programmes/<code>.yaml."""

    code = a_code(data_key="programme", required=True, metadata={"description": "its code, as the file is named"})
    unit = a_text(required=True, metadata={"description": "the unit of its points, from chain.yaml"})
    point_price = Checked(
        lambda value: _price(value),
        'what a point is worth in money, such as "1" or "0.1"',
        json=AMOUNT,
        load_default=10**MAX_SCALE,
        metadata={"description": "what a point is worth in money when it pays, and when partners settle"},
    )
    goods = fields.Dict(
        keys=a_code(),
        values=fields.Nested(GoodsSet),
        load_default=dict,
        metadata={"description": "sets of goods that rules name"},
    )
    places = fields.Dict(
        keys=a_code(),
        values=fields.List(a_text(), validate=validate.Length(min=1)),
        load_default=dict,
        metadata={"description": "groups of stores that rules name"},
    )
    discounts = fields.Nested(DiscountsSection, metadata={"description": "what comes off the price of goods"})
    points = fields.Nested(PointsSection, metadata={"description": "points that purchases bring"})
    payment = fields.Nested(PaymentSection, metadata={"description": "how much points may pay; none told: nothing"})
    prices = fields.List(fields.Nested(PriceSection), metadata={"description": "the law's prices of goods"})
    tiers = fields.Nested(TiersSection, allow_none=True, metadata={"description": "tiers of holders"})
    limits = fields.List(
        fields.Nested(LimitSection), metadata={"description": "the most that may happen in a day or month"}
    )
    certificates = fields.Dict(
        keys=a_text(),
        values=a_choice("many", "full", "rest_burns"),
        metadata={
            "description": "how cards of these products pay: in many parts, in full only, or once and the rest burns"
        },
    )
    discount = a_text(load_default="", metadata={"description": "a name that a link maps to the till's discount"})
    bonus = a_text(load_default="", metadata={"description": "a name that a link maps to the till's bonus"})
    return_policy = a_choice(
        "debt",
        "deduct",
        "forgive",
        load_default="debt",
        metadata={"description": "what becomes of spent points when the goods that earned them come back"},
    )
    return_grace_days = a_whole(
        0, 3650, load_default=0, metadata={"description": "points given back after they expired live so long"}
    )
    cashback_hundredths = a_percent(
        data_key="cashback_percent", metadata={"description": "short form: of the own money"}
    )
    payable_hundredths = a_percent(
        data_key="payable_percent", metadata={"description": "short form: `payment.percent`"}
    )
    pending_days = a_whole(0, 3650, metadata={"description": "short form: `points.pending_days`"})
    expires_days = a_whole(1, MAX_DAYS, allow_none=True, metadata={"description": "short form: `points.expires.days`"})
    excluded_categories = fields.List(a_text(), metadata={"description": "short form: categories that earn nothing"})
    minimum_price = money(metadata={"description": "short form: pieces that cost less earn nothing"})

    @validates_schema
    def is_short_or_long(self, data: dict[str, Any], **_: Any) -> None:
        short = [
            f.data_key or name for name, f in self.fields.items() if name in data and (f.data_key or name) in SHORT
        ]
        long = [name for name in LONG if name in data] + [name for name in ("goods", "places") if data.get(name)]
        if short and long:
            raise ValidationError(f"found {short[0]} beside {long[0]}, {EXPECTED}the short form or sections, not both")


def _price(value: Any) -> int:
    found = scaled(str(value), MAX_SCALE) if type(value) in (int, str) else 0
    if not 0 < found <= MAX_AMOUNT:
        raise ValueError
    return found
