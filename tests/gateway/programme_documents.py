"""Any programme that a file may say, for the laws of its text; names are those of the sample chain."""

from __future__ import annotations

from datetime import date
from itertools import accumulate
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from gateway.settings import load_chain
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

CONFIGS = Path(__file__).parents[2] / "configs"
CHAIN = load_chain(CONFIGS)
STORES = [store.code for store in CHAIN.stores]
PRODUCTS = [product.code for product in CHAIN.products]
OF_VALUE = [product.code for product in CHAIN.products if product.value]
PERIODS = ["month", "quarter", "year"]

codes = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,9}", fullmatch=True)
# Whatever may stand in YAML between quotes, and what looks like something else.
words = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.sampled_from(["on", "no", "null", "~", "007", "1.5", "2026-12-31", "12:30", "true", "- a", "a: b", "#", "0x1f"]),
)
maybe_words = st.one_of(st.just(""), words)
percents = st.integers(0, 10_000)
# A tier is reached by three of them at most, whatever their scale.
minors = st.integers(0, 3 * 10**8)
positive = st.integers(1, 3 * 10**8)
days = st.integers(1, 36_500)
short_days = st.integers(0, 3_650)


def some(values: list[str], most: int = 3) -> st.SearchStrategy[tuple[str, ...]]:
    """A few of the values, in any order, each once."""
    return st.lists(st.sampled_from(values), unique=True, max_size=most).map(tuple) if values else st.just(())


windows = st.one_of(st.builds(Window, days=days), st.builds(Window, period=st.sampled_from(PERIODS)), st.just(Window()))
expiries = st.one_of(
    st.just(Expiry()),
    st.builds(Expiry, days=days, extra_days=days),
    st.builds(Expiry, period=st.sampled_from(PERIODS), extra_days=short_days),
)
steps = st.dictionaries(minors, percents, min_size=1, max_size=4).map(
    lambda told: tuple(Step(from_minor=each, hundredths=told[each]) for each in sorted(told))
)
reviews = st.builds(
    lambda when, grace, fall: Review(**when, grace_days=grace, fall=fall),
    st.one_of(st.fixed_dictionaries({"days": days}), st.fixed_dictionaries({"period": st.sampled_from(PERIODS)})),
    short_days,
    st.sampled_from(["one_down", "full"]),
)
hours = st.tuples(st.integers(0, 1439), st.integers(0, 1440)).filter(lambda span: span[0] != span[1])
spans = st.tuples(st.integers(0, 60), st.integers(0, 60))


@st.composite
def whens(draw: st.DrawFn, tiers: list[str]) -> When:
    first, last = sorted(draw(st.tuples(st.dates(date(1, 1, 1)), st.dates(date(1, 1, 1)))))
    return When(
        stores=draw(some(STORES)),
        weekdays=tuple(sorted(draw(st.sets(st.integers(0, 6), max_size=3)))),
        hours=draw(st.none() | hours),
        first_day=draw(st.sampled_from([None, first])),
        last_day=draw(st.sampled_from([None, last])),
        tenders=tuple(draw(st.lists(words, max_size=2))),
        tiers=draw(some(tiers)),
        products=draw(some(PRODUCTS)),
        receipt_from_minor=draw(st.none() | minors),
        receipt_below_minor=draw(st.none() | minors),
        first_purchase=draw(st.booleans()),
        birthday=draw(st.none() | spans),
    )


def shares(tiers: list[str]) -> list[st.SearchStrategy[Any]]:
    """What rules of both sections may give."""
    by_tier = st.dictionaries(st.sampled_from(tiers), percents) if tiers else st.just({})
    return [
        st.builds(Percent, hundredths=percents),
        st.builds(ByReceipt, steps=steps),
        st.builds(ByTurnover, window=windows, steps=steps),
        st.builds(ByTier, hundredths=by_tier),
    ]


def discounts(tiers: list[str]) -> st.SearchStrategy[Any]:
    return st.one_of(
        *shares(tiers),
        st.builds(FixedPrice, price_minor=minors),
        st.builds(AmountOff, off_minor=positive, per=st.sampled_from(["piece", "receipt"])),
        st.builds(NthPiece, every=st.integers(2, 1000), hundredths=percents),
    )


def accruals(tiers: list[str]) -> st.SearchStrategy[Any]:
    return st.one_of(
        *shares(tiers), st.builds(PerAmount, points=positive, every_minor=positive), st.builds(Fixed, points=positive)
    )


@st.composite
def rules(draw: st.DrawFn, names: list[str], goods: list[str], tiers: list[str], section: str) -> tuple[Any, Any]:
    """The groups and rules of a section; ``names`` are used up."""
    groups = draw(st.lists(codes, unique=True, max_size=2))
    found: list[Any] = []
    for _ in range(draw(st.integers(0, 3 if groups else 1))):
        own: dict[str, Any] = {"give": draw(discounts(tiers) if section == "discounts" else accruals(tiers))}
        if section == "points":
            own["once"] = draw(st.sampled_from(["", "year", "ever"]))
            own["pending_days"] = draw(st.none() | short_days)
            own["expires"] = draw(st.none() | expiries)
        common = {
            "rule": names.pop(),
            "when": draw(whens(tiers)),
            "goods": draw(some(goods)),
            "without": draw(some(goods)),
            "price_from_minor": draw(minors),
            "group": draw(st.sampled_from(groups)) if groups else "",
            "priority": draw(st.integers(-1000, 1000)),
            "exclusive": draw(st.booleans()),
            "ru": draw(maybe_words),
            "en": draw(maybe_words),
        }
        found.append((DiscountRule if section == "discounts" else PointsRule)(**common, **own))
    if section == "points" and draw(st.booleans()):
        found.append(PointsRule(rule=names.pop(), give=Multiply(hundredths=draw(st.integers(101, 100_000)))))
    takes = st.sampled_from(["best", "sum", "first"])
    return tuple(Group(group=name, take=draw(takes)) for name in groups), tuple(found)


@st.composite
def tier_sections(draw: st.DrawFn) -> Tiers | None:
    names = draw(st.lists(codes, unique=True, max_size=3))
    if not names:
        return None
    gaps = draw(st.lists(positive, min_size=len(names) - 1, max_size=len(names) - 1))
    texts = {"discount": maybe_words, "bonus": maybe_words, "ru": maybe_words, "en": maybe_words}
    return Tiers(
        measure=draw(st.sampled_from(["turnover", "points", "visits"])),
        levels=tuple(
            Level(tier=name, needs=needs, **draw(st.fixed_dictionaries(texts)))
            for name, needs in zip(names, accumulate([0, *gaps]), strict=True)
        ),
        window=draw(windows),
        review=draw(st.none() | reviews),
        absence_days=draw(st.none() | days),
    )


@st.composite
def documents(draw: st.DrawFn) -> ProgrammeDocument:
    unit = draw(st.sampled_from(["BONUS", "COIN"]))
    goods = draw(
        st.dictionaries(
            codes,
            st.builds(
                Goods, codes=st.lists(words, max_size=2).map(tuple), brands=st.lists(words, min_size=1).map(tuple)
            ),
            max_size=3,
        )
    )
    tiers = draw(tier_sections())
    tier_names = [level.tier for level in tiers.levels] if tiers else []
    names = draw(st.lists(codes, unique=True, min_size=10, max_size=10))
    discount_groups, discount_rules = draw(rules(names, list(goods), tier_names, "discounts"))
    points_groups, points_rules = draw(rules(names, list(goods), tier_names, "points"))
    events = st.builds(
        Event,
        rule=st.just(names.pop()),
        on=st.sampled_from(["registration", "activation"]),
        points=positive,
        pending_days=st.none() | short_days,
        expires=st.none() | expiries,
        ru=maybe_words,
    )
    prices = st.one_of(
        st.builds(Price, goods=some(list(goods)), least_minor=positive),
        st.builds(Price, goods=some(list(goods)), is_fixed=st.just(True)),
    ).filter(lambda price: price.goods)
    limits = st.builds(
        Limit,
        limit=codes,
        of=st.sampled_from(["receipts", "turnover", "earned", "redeemed"]),
        per=st.sampled_from(["card", "till", "cashier", "store", "partner"]),
        every=st.sampled_from(["day", "month"]),
        most=minors,
        then=st.sampled_from(["block", "alert"]),
    )
    caps = st.builds(Caps, receipt=st.none() | minors, day=st.none() | minors, month=st.none() | minors)
    payment = st.builds(
        Payment,
        hundredths=percents,
        by_tier=st.dictionaries(st.sampled_from(tier_names), percents) if tier_names else st.just({}),
        line_hundredths=percents,
        money_minor=minors,
        without=some(list(goods)),
        step=positive,
        least=minors,
    )
    return ProgrammeDocument(
        code=draw(codes),
        unit=unit,
        point_price_millionths=draw(positive) * (100 if unit == "COIN" else 1),
        goods=goods,
        discounts=Discounts(rules=discount_rules, groups=discount_groups, floor_hundredths=draw(percents)),
        points=Points(
            rules=points_rules,
            groups=points_groups,
            events=draw(st.lists(events, max_size=1).map(tuple)),
            caps=draw(caps),
            step=draw(positive),
            on_part_paid_by_points=draw(st.booleans()),
            on_gift_cards=draw(st.booleans()),
            pending_days=draw(short_days),
            expires=draw(expiries | st.builds(Expiry, days=days, extra_days=days, sliding=st.just(True))),
        ),
        payment=draw(st.just(Payment()) | payment),
        prices=draw(st.lists(prices, max_size=2).map(tuple)) if goods else (),
        tiers=tiers,
        limits=draw(st.lists(limits, max_size=2).map(tuple)),
        certificates=draw(st.dictionaries(st.sampled_from(OF_VALUE), st.sampled_from(["many", "full", "rest_burns"]))),
        discount=draw(maybe_words),
        bonus=draw(maybe_words),
        return_policy=draw(st.sampled_from(["debt", "deduct", "forgive"])),
        return_grace_days=draw(short_days),
    )
