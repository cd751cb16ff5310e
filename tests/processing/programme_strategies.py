"""Whole programmes, receipts and pasts for property tests: everything that a document may say, small enough to meet."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from processing.commands import Line, Receipt, Tender
from processing.programme.compiled import Moment, Programme
from processing.programme.decide import Part
from processing.programme.document import (
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
    Goods,
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
from processing.programme.facts import Day, Facts, History, code

STORES = ("north", "south")
CATEGORIES = ("food", "tobacco", "toys")
SETS = {"food": Goods(categories=("food",)), "smoke": Goods(categories=("tobacco",)), "one": Goods(codes=("g1",))}
TIERS = ("none", "silver", "gold")
PRODUCTS = ("plain", "vip")
TENDERS = ("cash", "bank_card")
ZONE = ZoneInfo("Europe/Moscow")
TODAY = date(2026, 5, 5)

PERCENTS = st.integers(0, 10_000) | st.sampled_from([0, 500, 1_000, 3_333, 5_000, 10_000])
MONEY = st.integers(0, 30_000) | st.sampled_from([1, 99, 100, 1_000, 9_999])
POINTS = st.integers(1, 5_000)
PERIODS = st.sampled_from(["month", "quarter", "year"])
WINDOWS = (
    st.just(Window())
    | st.integers(1, 60).map(lambda days: Window(days=days))
    | PERIODS.map(lambda period: Window(period=period))
)
POINT_PRICES = st.sampled_from([1_000_000, 100_000, 10_000_000, 333_333, 1_500_000])
EXPIRIES = (
    st.just(Expiry())
    | st.builds(Expiry, days=st.integers(1, 400), extra_days=st.integers(0, 40))
    | st.builds(Expiry, period=PERIODS, extra_days=st.integers(0, 40))
)


def some(names: Any, most: int = 2) -> st.SearchStrategy[tuple[str, ...]]:
    """Mostly nothing, else a few of the names."""
    return st.just(()) | st.lists(st.sampled_from(sorted(names)), min_size=1, max_size=most, unique=True).map(tuple)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nothing three times of four."""
    return st.none() | st.none() | st.none() | strategy


def _steps(found: dict[int, int]) -> tuple[Step, ...]:
    return tuple(Step(from_minor=at, hundredths=percent) for at, percent in sorted(found.items()))


STEPS = st.dictionaries(MONEY, PERCENTS, min_size=1, max_size=3).map(_steps)
SHARED = (
    st.builds(Percent, hundredths=PERCENTS)
    | st.builds(ByReceipt, steps=STEPS)
    | st.builds(ByTurnover, window=WINDOWS, steps=STEPS)
    | st.builds(ByTier, hundredths=st.dictionaries(st.sampled_from(TIERS), PERCENTS, max_size=3))
)
DISCOUNT_GIVES = (
    SHARED
    | st.builds(FixedPrice, price_minor=MONEY)
    | st.builds(AmountOff, off_minor=MONEY.map(lambda off: off + 1), per=st.sampled_from(["piece", "receipt"]))
    | st.builds(NthPiece, every=st.integers(2, 4), hundredths=PERCENTS)
)
PLAIN_POINTS_GIVES = (
    SHARED
    | st.builds(PerAmount, points=POINTS, every_minor=MONEY.map(lambda every: every + 1))
    | st.builds(Fixed, points=POINTS)
)
POINTS_GIVES = PLAIN_POINTS_GIVES | st.builds(Multiply, hundredths=st.integers(101, 400))

WHENS = st.just(When()) | st.builds(
    When,
    stores=some(STORES, 1),
    weekdays=st.just(()) | st.lists(st.integers(0, 6), min_size=1, max_size=6, unique=True).map(tuple),
    hours=maybe(st.tuples(st.integers(0, 1439), st.integers(0, 1440)).filter(lambda span: span[0] != span[1])),
    first_day=maybe(st.dates(TODAY - timedelta(days=3), TODAY + timedelta(days=3))),
    last_day=maybe(st.dates(TODAY - timedelta(days=3), TODAY + timedelta(days=3))),
    tenders=some(TENDERS, 1),
    tiers=some(TIERS),
    products=some(PRODUCTS, 1),
    receipt_from_minor=maybe(MONEY),
    receipt_below_minor=maybe(MONEY),
    first_purchase=st.sampled_from([False, False, False, True]),
    birthday=maybe(st.tuples(st.integers(0, 5), st.integers(0, 5))),
)
NO_WHEN = st.just(When())


@st.composite
def rules(
    draw: st.DrawFn,
    kind: type[Any],
    gives: st.SearchStrategy[Any],
    groups: tuple[Group, ...],
    most: int = 4,
    whens: st.SearchStrategy[When] = WHENS,
) -> tuple[Any, ...]:
    """Rules of one section, each of a group."""
    found = []
    for n in range(draw(st.integers(0, most))):
        told: dict[str, Any] = {
            "rule": f"{kind.__name__.lower()}-{n}",
            "give": draw(gives),
            "when": draw(whens),
            "goods": draw(some(SETS)),
            "without": draw(some(SETS, 1)),
            "price_from_minor": draw(st.just(0) | MONEY),
            "group": draw(st.sampled_from([group.group for group in groups])),
            "priority": draw(st.integers(-1, 1)),
            "exclusive": draw(st.sampled_from([False, False, False, True])),
        }
        if kind is PointsRule:
            told |= {
                "once": draw(st.sampled_from(["", "", "", "year", "ever"])),
                "pending_days": draw(maybe(st.integers(0, 30))),
                "expires": draw(maybe(EXPIRIES)),
            }
        found.append(kind(**told))
    return tuple(found)


GROUPS = st.lists(st.sampled_from(["best", "sum", "first"]), min_size=1, max_size=3).map(
    lambda takes: tuple(Group(group=f"g{n}", take=take) for n, take in enumerate(takes))
)
LEVELS = tuple(Level(tier=tier, needs=needs) for tier, needs in zip(TIERS, (0, 10_000, 50_000), strict=True))
PAYMENTS = st.builds(
    Payment,
    hundredths=PERCENTS | st.just(10_000),
    by_tier=st.just({}) | st.dictionaries(st.sampled_from(TIERS), PERCENTS, max_size=2),
    line_hundredths=st.just(10_000) | PERCENTS,
    money_minor=st.just(0) | MONEY,
    without=some(SETS, 1),
    step=st.sampled_from([1, 1, 7, 100]),
    least=st.sampled_from([0, 0, 500]),
)
LAW_PRICES = st.just(()) | st.lists(
    st.builds(
        Price,
        goods=st.sampled_from(sorted(SETS)).map(lambda name: (name,)),
        least_minor=MONEY,
        is_fixed=st.sampled_from([False, False, True]),
    ),
    max_size=2,
).map(tuple)
CAPS = st.just(Caps()) | st.builds(
    Caps, receipt=maybe(st.integers(0, 3_000)), day=maybe(st.integers(0, 5_000)), month=maybe(st.integers(0, 9_000))
)


@st.composite
def documents(draw: st.DrawFn, whens: st.SearchStrategy[When] = WHENS, unit: str = "BONUS") -> ProgrammeDocument:
    """A programme that may say anything at once."""
    of_discounts, of_points = draw(GROUPS), draw(GROUPS)
    return ProgrammeDocument(
        code="any",
        unit=unit,
        point_price_millionths=draw(POINT_PRICES),
        goods=SETS,
        discounts=Discounts(
            rules=draw(rules(DiscountRule, DISCOUNT_GIVES, of_discounts, whens=whens)),
            groups=of_discounts,
            floor_hundredths=draw(st.just(0) | PERCENTS),
        ),
        points=Points(
            rules=draw(rules(PointsRule, POINTS_GIVES, of_points, whens=whens)),
            groups=of_points,
            caps=draw(CAPS),
            step=draw(st.sampled_from([1, 1, 10, 100])),
            on_part_paid_by_points=draw(st.booleans()),
            on_gift_cards=draw(st.booleans()),
            pending_days=draw(st.integers(0, 3)),
            expires=draw(EXPIRIES),
        ),
        payment=draw(PAYMENTS),
        prices=draw(LAW_PRICES),
        tiers=Tiers(measure="turnover", levels=LEVELS),
    )


REVIEWS = st.builds(
    Review,
    days=st.integers(1, 90),
    grace_days=st.integers(0, 20),
    fall=st.sampled_from(["one_down", "full"]),
) | st.builds(Review, period=PERIODS, grace_days=st.integers(0, 20), fall=st.sampled_from(["one_down", "full"]))
LEVEL_NEEDS = st.lists(st.integers(1, 30), min_size=1, max_size=3, unique=True).map(sorted)
TIERS_OF_WALLETS = st.builds(
    lambda needs, **told: Tiers(
        levels=tuple(Level(tier=f"t{n}", needs=need) for n, need in enumerate([0, *needs])), **told
    ),
    LEVEL_NEEDS,
    measure=st.sampled_from(["turnover", "points", "visits"]),
    window=WINDOWS,
    review=st.none() | REVIEWS,
    absence_days=st.none() | st.integers(1, 60),
)
EXTRAS = st.builds(
    lambda tiers, limits, events, certificates: {
        "tiers": tiers,
        "limits": tuple(limits),
        "certificates": certificates,
        "events": tuple(events),
    },
    st.none() | TIERS_OF_WALLETS,
    st.lists(
        st.builds(
            Limit,
            limit=st.just("limit"),
            of=st.sampled_from(["receipts", "turnover", "earned", "redeemed"]),
            per=st.sampled_from(["card", "till", "cashier", "store", "partner"]),
            every=st.sampled_from(["day", "month"]),
            most=MONEY,
            then=st.sampled_from(["block", "alert"]),
        ),
        max_size=2,
    ),
    st.lists(
        st.builds(
            Event,
            rule=st.just("event"),
            on=st.sampled_from(["registration", "activation"]),
            points=POINTS,
            expires=st.none() | EXPIRIES,
        ),
        max_size=1,
    ),
    st.dictionaries(st.just("gift"), st.sampled_from(["many", "full", "rest_burns"]), max_size=1),
)
"""What decides nothing of a receipt, but is a part of documents."""


# Receipts ----------------------------------------------------------------------------------------------------


@st.composite
def lines(draw: st.DrawFn, number: int, odd: bool = True) -> Line:
    """Pieces, weighed goods, and what loads a card; with ``odd`` also lines of nothing, of less and without a count."""
    price = draw(st.integers(1, 20_000))
    kind = draw(st.sampled_from(["goods"] * 6 + ["top_up", "gift_card"]))
    quantity = draw(st.sampled_from([1_000, 1_000, 2_000, 3_000, 7_000]) | st.integers(1, 5_000))
    total = price * quantity // 1_000
    if odd:
        total = draw(st.sampled_from([total] * 8 + [0, -total]))
        quantity = draw(st.sampled_from([quantity] * 9 + [0]))
    return Line(
        number=number,
        goods=f"g{draw(st.integers(1, 3))}",
        category=draw(st.sampled_from(CATEGORIES)),
        quantity_thousandths=quantity,
        price_minor=price,
        sum_minor=total,
        minimum_price_minor=draw(st.sampled_from([0, 0, 0, price // 2, price])),
        kind=kind,
    )


@st.composite
def receipts(draw: st.DrawFn, odd: bool = True, least: int = 0) -> Receipt:
    """A receipt before discounts; sometimes without lines."""
    some_lines = tuple(draw(lines(n, odd)) for n in range(1, 1 + draw(st.integers(least, 5))))
    total = sum(line.sum_minor for line in some_lines) if some_lines else draw(st.integers(-100, 30_000))
    tenders = draw(some(TENDERS, 1))
    return Receipt(
        number="1",
        till="1",
        business_date=TODAY,
        total_minor=total,
        lines=some_lines,
        tenders=tuple(Tender(code="", kind=kind, amount_minor=total) for kind in tenders),  # type: ignore[arg-type]
    )


@st.composite
def facts_for(draw: st.DrawFn, document: ProgrammeDocument) -> Facts:
    """What may be known of a wallet."""
    asked = [rule.when.birthday for rule in (*document.discounts.rules, *document.points.rules)]
    names = [rule.rule for rule in document.points.rules if rule.once]
    windows = [rule.give.window for rule in document.discounts.rules if isinstance(rule.give, ByTurnover)]
    windows += [rule.give.window for rule in document.points.rules if isinstance(rule.give, ByTurnover)]
    return Facts(
        tier=draw(st.sampled_from(TIERS)),
        turnover={code(window): draw(MONEY) for window in windows},
        is_first=draw(st.booleans()),
        birthday=tuple(span for span in dict.fromkeys(asked) if span is not None and draw(st.booleans())),
        once=tuple(name for name in names if draw(st.booleans())),
        earned_today=draw(st.integers(0, 4_000)),
        earned_this_month=draw(st.integers(4_000, 8_000)),
    )


MOMENTS = st.builds(
    lambda store, minute, days: Moment(
        store, datetime(2026, 5, 5, minute // 60, minute % 60, tzinfo=ZONE) + timedelta(days=days)
    ),
    st.sampled_from(STORES),
    st.integers(0, 1439),
    st.integers(-3, 3),
)


@st.composite
def parts_of(draw: st.DrawFn, document: ProgrammeDocument, most: int = 3, redeems: bool = True) -> list[Part]:
    """Cards of one programme that share a receipt."""
    programme = Programme(document)
    return [
        Part(
            programme=programme,
            spend_minor=draw(st.integers(0, 20_000)),
            redeemed_minor=draw(st.integers(0, 20_000)) if redeems else 0,
            product=draw(st.sampled_from(PRODUCTS)),
            facts=draw(facts_for(document)),
            version=1,
        )
        for _ in range(draw(st.integers(1, most)))
    ]


@st.composite
def histories(draw: st.DrawFn, first: date, most_days: int = 400) -> History:
    """Days with purchases, the first one of them ``first`` or later."""
    when = draw(st.lists(st.integers(0, most_days), max_size=6, unique=True).map(sorted))
    days = []
    for n in when:
        amount = draw(st.integers(0, 20))
        days.append(Day(first + timedelta(days=n), amount, draw(st.integers(1, 3)), amount))
    return History(days=tuple(days))
