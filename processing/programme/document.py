"""What a programme says, as data: the checked form of its YAML file, stored as a version in the database.

Amounts are whole minor units (of the chain's money, or of the programme's unit where the name says points),
percents hundredths (550 = 5.50 %), days and hours those of the store. Nothing here computes: ``compiled`` makes
rules of it. docs/programmes.md is made from the schemas of the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

import msgspec

MILLION = 1_000_000
# Of one programme; and ways in which what one receipt brings may begin and end.
MAX_EVENTS = 20
MAX_TERMS = 20

Take = Literal["best", "sum", "first"]


class _Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is not said is not stored, so that a field added later changes no digest of an old version."""


class Goods(_Said, frozen=True, kw_only=True):
    """A named set of goods: by the till's codes, by category or by brand."""

    codes: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()


class When(_Said, frozen=True, kw_only=True):
    """Conditions on the whole receipt; all of those that are told have to hold.

    ``stores`` are codes. ``weekdays`` 0 is Monday. ``hours`` are minutes of the day, from and before; a span may go
    over midnight. ``receipt_from_minor``: what the goods cost before the programme's discounts, at least.
    ``birthday``: so many days before it and after it. ``products`` are kinds of card.
    """

    stores: tuple[str, ...] = ()
    weekdays: tuple[int, ...] = ()
    hours: tuple[int, int] | None = None
    first_day: date | None = None
    last_day: date | None = None
    tenders: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    receipt_from_minor: int | None = None
    receipt_below_minor: int | None = None
    first_purchase: bool = False
    birthday: tuple[int, int] | None = None


class Window(_Said, frozen=True, kw_only=True):
    """Days that count: the last ``days`` with today, this calendar ``period``, or all that there ever were."""

    days: int | None = None
    period: Literal["month", "quarter", "year"] | None = None


class Step(_Said, frozen=True, kw_only=True):
    """From this amount on so many percent."""

    from_minor: int
    hundredths: int


# What a rule gives -----------------------------------------------------------------------------------------


class Percent(_Said, frozen=True, kw_only=True, tag="percent"):
    hundredths: int


class ByReceipt(_Said, frozen=True, kw_only=True, tag="by_receipt"):
    """Percent by what the goods of the receipt cost, in ascending steps."""

    steps: tuple[Step, ...]


class ByTurnover(_Said, frozen=True, kw_only=True, tag="by_turnover"):
    """Percent by what was bought in a window before this receipt."""

    window: Window
    steps: tuple[Step, ...]


class ByTier(_Said, frozen=True, kw_only=True, tag="by_tier"):
    """Percent by the card holder's tier; a tier that is not named gets nothing."""

    hundredths: dict[str, int]


class FixedPrice(_Said, frozen=True, kw_only=True, tag="price"):
    """A piece costs this; where it costs less already nothing happens."""

    price_minor: int


class AmountOff(_Said, frozen=True, kw_only=True, tag="off"):
    """Money off: of each piece, or once of the receipt, spread over the goods that match."""

    off_minor: int
    per: Literal["piece", "receipt"] = "receipt"


class NthPiece(_Said, frozen=True, kw_only=True, tag="nth"):
    """Every n-th piece of the goods that match, the cheapest of them, at so many percent off."""

    every: int
    hundredths: int


class PerAmount(_Said, frozen=True, kw_only=True, tag="per"):
    """So many points for each full amount of money."""

    points: int
    every_minor: int


class Fixed(_Said, frozen=True, kw_only=True, tag="fixed"):
    """So many points for the receipt."""

    points: int


class Multiply(_Said, frozen=True, kw_only=True, tag="multiply"):
    """All other rules' points times this, in hundredths: 200 doubles them."""

    hundredths: int


Discount = Percent | ByReceipt | ByTurnover | ByTier | FixedPrice | AmountOff | NthPiece
Accrual = Percent | ByReceipt | ByTurnover | ByTier | PerAmount | Fixed | Multiply


class Expiry(_Said, frozen=True, kw_only=True):
    """When points end: ``days`` after they become available, or at the end of the calendar ``period`` in which they
    do; ``extra_days`` later where told. With ``sliding`` each purchase gives all of the card's points new days."""

    days: int | None = None
    period: Literal["month", "quarter", "year"] | None = None
    extra_days: int = 0
    sliding: bool = False


class _Rule(_Said, frozen=True, kw_only=True):
    """``rule`` is a name, unique in the programme. ``goods`` and ``without`` name sets; empty: all goods.

    ``price_from_minor``: only pieces that cost so much. ``exclusive``: what this rule gives something for gets
    nothing of any other rule. ``ru`` and ``en`` are what cashier, slip and holder read.
    """

    rule: str
    when: When = When()
    goods: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    price_from_minor: int = 0
    group: str = ""
    priority: int = 0
    exclusive: bool = False
    ru: str = ""
    en: str = ""


class DiscountRule(_Rule, frozen=True, kw_only=True):
    give: Discount


class PointsRule(_Rule, frozen=True, kw_only=True):
    """``once``: a wallet gets it once ever, or once in a calendar year."""

    give: Accrual
    once: Literal["", "year", "ever"] = ""
    pending_days: int | None = None
    expires: Expiry | None = None


class Group(_Said, frozen=True, kw_only=True):
    """Rules that compete: per line the ``best``, the ``sum``, or the ``first`` that gives something."""

    group: str
    take: Take


class Discounts(_Said, frozen=True, kw_only=True):
    """``groups`` work one after another, each on the price that the one before has left.

    ``floor_hundredths``: a line costs at least this part of its price, whatever the rules say.
    """

    rules: tuple[DiscountRule, ...] = ()
    groups: tuple[Group, ...] = ()
    floor_hundredths: int = 0


class Event(_Said, frozen=True, kw_only=True):
    """Points for something that is no purchase: the holder's registration, or the card's activation."""

    rule: str
    on: Literal["registration", "activation"]
    points: int
    pending_days: int | None = None
    expires: Expiry | None = None
    ru: str = ""
    en: str = ""


class Caps(_Said, frozen=True, kw_only=True):
    """The most points that purchases bring: of one receipt, in a day, in a calendar month."""

    receipt: int | None = None
    day: int | None = None
    month: int | None = None


class Points(_Said, frozen=True, kw_only=True):
    """``step``: what a receipt brings is rounded down to a multiple of so many minor units of points."""

    rules: tuple[PointsRule, ...] = ()
    groups: tuple[Group, ...] = ()
    events: tuple[Event, ...] = ()
    caps: Caps = Caps()
    step: int = 1
    on_part_paid_by_points: bool = False
    on_gift_cards: bool = False
    pending_days: int = 0
    expires: Expiry = Expiry()


class Payment(_Said, frozen=True, kw_only=True):
    """How much points may pay: of the receipt and of each line, always leaving ``money_minor`` to pay with money.

    ``by_tier`` overrides ``hundredths``. ``without`` names goods that points never pay for. ``step``: only multiples of
    so many minor units of points. ``least``: only by cards that have so many.
    """

    hundredths: int = 0
    by_tier: dict[str, int] = {}
    line_hundredths: int = 10_000
    money_minor: int = 0
    without: tuple[str, ...] = ()
    step: int = 1
    least: int = 0


class Price(_Said, frozen=True, kw_only=True):
    """The law's prices: neither discount nor points bring a piece below ``least_minor``; ``is_fixed`` goods are sold
    at their price (the maximum retail price on the package), without both."""

    goods: tuple[str, ...]
    least_minor: int = 0
    is_fixed: bool = False


class Level(_Said, frozen=True, kw_only=True):
    """A tier and what one needs for it: money, points or visits, by the measure. ``discount`` and ``bonus``: as the
    programme's own, for this tier."""

    tier: str
    needs: int
    discount: str = ""
    bonus: str = ""
    ru: str = ""
    en: str = ""


class Review(_Said, frozen=True, kw_only=True):
    """When a tier is looked at again: so many ``days`` after it was reached or kept, or when a calendar ``period`` is
    over; each time ``grace_days`` later. Who no longer has what it needs falls ``one_down`` or to what they have."""

    days: int | None = None
    period: Literal["month", "quarter", "year"] | None = None
    grace_days: int = 0
    fall: Literal["one_down", "full"] = "full"


class Tiers(_Said, frozen=True, kw_only=True):
    """``levels`` from the lowest up; the first needs nothing. Up at once, down only by ``review`` and by absence.

    ``absence_days``: after so many days without a visit a card falls one step, and again after as many more; its
    measure then goes on from what the lower tier needs.
    """

    measure: Literal["turnover", "points", "visits"]
    levels: tuple[Level, ...]
    window: Window = Window()
    review: Review | None = None
    absence_days: int | None = None


class Limit(_Said, frozen=True, kw_only=True):
    """The most that may happen in a day or calendar month: a purchase beyond it is refused (``block``) or flagged.

    ``of`` receipts counts them; turnover is money, the others are points.
    """

    limit: str
    of: Literal["receipts", "turnover", "earned", "redeemed"]
    per: Literal["card", "till", "cashier", "store", "partner"]
    every: Literal["day", "month"]
    most: int
    then: Literal["block", "alert"]


Spending = Literal["many", "full", "rest_burns"]
"""How a gift certificate pays: in as many parts as the holder likes, as a whole only, or once and the rest burns."""


class ProgrammeDocument(_Said, frozen=True, kw_only=True):
    """One programme. ``point_price_millionths``: what a minor unit of points is worth, in millionths of a minor unit of
    money. ``discount`` and ``bonus`` are names that a link maps to what its till calls them. ``return_policy`` says
    what becomes of points that a returned line earned and that are spent already; points given back to a lot that has
    expired meanwhile live for ``return_grace_days`` more. ``goods`` are the sets that rules name,
    ``certificates`` says by product how its cards of value pay."""

    code: str
    unit: str
    point_price_millionths: int = MILLION
    goods: dict[str, Goods] = {}
    discounts: Discounts = Discounts()
    points: Points = Points()
    payment: Payment = Payment()
    prices: tuple[Price, ...] = ()
    tiers: Tiers | None = None
    limits: tuple[Limit, ...] = ()
    certificates: dict[str, Spending] = {}
    discount: str = ""
    bonus: str = ""
    return_policy: Literal["debt", "deduct", "forgive"] = "debt"
    return_grace_days: int = 0


def simple(
    code: str,
    unit: str,
    cashback_hundredths: int = 0,
    payable_hundredths: int = 0,
    pending_days: int = 0,
    expires_days: int | None = None,
    discount: str = "",
    bonus: str = "",
    excluded_categories: Sequence[str] = (),
    minimum_price_minor: int = 0,
    return_policy: Literal["debt", "deduct", "forgive"] = "debt",
    return_grace_days: int = 0,
) -> ProgrammeDocument:
    """The short form, and the only one before there were rules: cashback on all goods but some, and a limit."""
    cashback = PointsRule(
        rule="cashback",
        give=Percent(hundredths=cashback_hundredths),
        without=("excluded",) if excluded_categories else (),
        price_from_minor=minimum_price_minor,
    )
    return ProgrammeDocument(
        code=code,
        unit=unit,
        goods={"excluded": Goods(categories=tuple(excluded_categories))} if excluded_categories else {},
        points=Points(
            rules=(cashback,) if cashback_hundredths else (),
            pending_days=pending_days,
            expires=Expiry(days=expires_days),
        ),
        payment=Payment(hundredths=payable_hundredths),
        discount=discount,
        bonus=bonus,
        return_policy=return_policy,
        return_grace_days=return_grace_days,
    )


def stored(document: dict[str, Any]) -> ProgrammeDocument:
    """A version as the database keeps it; those from before there were rules say the short form."""
    if "cashback_hundredths" in document:
        return simple(**document)
    return msgspec.convert(document, ProgrammeDocument)
