"""Laws of the rules, for programmes that say anything at once: what no document, receipt or past may break.

Conditions are told again here, as simply as possible, from docs/programmes.md.
"""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from processing.allocation import GOODS, lines_of
from processing.commands import Line, Receipt
from processing.directory import digest
from processing.programme.compiled import Moment, Programme
from processing.programme.decide import Decision, Part, decide
from processing.programme.document import (
    Caps,
    DiscountRule,
    Discounts,
    Expiry,
    FixedPrice,
    Group,
    Level,
    Multiply,
    NthPiece,
    Payment,
    Percent,
    Points,
    PointsRule,
    ProgrammeDocument,
    Review,
    Tiers,
    When,
    Window,
    stored,
)
from processing.programme.facts import NOTHING_KNOWN, Day, History, near
from processing.programme.payment import limit, payable
from processing.programme.terms import terms
from processing.programme.tiers import Membership, judge, measured, next_look
from tests.effort import drawn
from tests.processing.programme_strategies import (
    DISCOUNT_GIVES,
    EXPIRIES,
    EXTRAS,
    MOMENTS,
    PLAIN_POINTS_GIVES,
    SETS,
    STORES,
    TIERS_OF_WALLETS,
    TODAY,
    documents,
    facts_for,
    histories,
    parts_of,
    receipts,
    rules,
)

EXAMPLES, MORE = settings(max_examples=drawn(40)), settings(max_examples=drawn(80))
DATA = st.data()
NOON = Moment(STORES[0], datetime(2026, 5, 5, 12, tzinfo=ZoneInfo("Europe/Moscow")))


def ceil_thousandths(price: int, quantity: int) -> int:
    return -(-price * max(quantity, 0) // 1_000)


def sets_of(line: Line) -> set[str]:
    return {
        name
        for name, goods in SETS.items()
        if line.goods in goods.codes or line.category in goods.categories or line.brand in goods.brands
    }


def asked(data: st.DataObject, most: int = 3, redeems: bool = True) -> tuple[ProgrammeDocument, Receipt, list[Part]]:
    document = data.draw(documents())
    return document, data.draw(receipts()), data.draw(parts_of(document, most, redeems))


def changed(part: Part, change: Callable[[ProgrammeDocument], ProgrammeDocument]) -> Part:
    assert part.programme is not None
    return structs.replace(part, programme=Programme(change(part.programme.document)))


# What a line may lose -----------------------------------------------------------------------------------------


@EXAMPLES
@given(data=DATA, moment=MOMENTS, is_final=st.booleans())
def test_no_line_falls_below_nothing_its_floor_or_the_law(data: st.DataObject, moment: Moment, is_final: bool) -> None:
    document, told, parts = asked(data)
    decision = decide(told, parts, moment, is_final)
    for line, price, off in zip(decision.lines, decision.prices, decision.discounts, strict=True):
        before = line.sum_minor if line.kind == GOODS else 0
        assert 0 <= off <= max(before, 0)
        assert price == (max(before, 0) if is_final else max(before, 0) - off)
        if off == 0:
            continue
        left = before - off
        assert left * 10_000 >= before * document.discounts.floor_hundredths
        assert left >= ceil_thousandths(line.minimum_price_minor, line.quantity_thousandths)
        for law in document.prices:
            if sets_of(line) & set(law.goods):
                assert not law.is_fixed
                assert left >= ceil_thousandths(law.least_minor, line.quantity_thousandths)


def with_rules(*rules: DiscountRule, take: Any = "best", **told: Any) -> ProgrammeDocument:
    groups = (Group(group="g", take=take),)
    placed = tuple(structs.replace(rule, group="g") for rule in rules)
    return ProgrammeDocument(code="c", unit="BONUS", discounts=Discounts(rules=placed, groups=groups), **told)


@EXAMPLES
@given(told=receipts(), price=st.integers(0, 20_000))
def test_fixed_price_is_the_least_that_it_leaves(told: Receipt, price: int) -> None:
    document = with_rules(DiscountRule(rule="price", give=FixedPrice(price_minor=price)))
    decision = decide(told, [Part(programme=Programme(document))], NOON, is_final=False)
    for line, left, off in zip(decision.lines, decision.prices, decision.discounts, strict=True):
        if off:
            assert line.quantity_thousandths > 0, "what has no pieces has no price of a piece"
            assert left * 1_000 >= price * line.quantity_thousandths


# Sums ---------------------------------------------------------------------------------------------------------


@EXAMPLES
@given(data=DATA, moment=MOMENTS, is_final=st.booleans())
def test_what_the_parts_get_is_what_the_lines_get(data: st.DataObject, moment: Moment, is_final: bool) -> None:
    _, told, parts = asked(data)
    decision = decide(told, parts, moment, is_final)
    off = Counter[str]()
    for n, (earning, story) in enumerate(zip(decision.earnings, decision.explanation, strict=True)):
        by_kind = Counter[str]()
        for fired in story["rules"]:
            assert fired["amount"] > 0
            by_kind[fired["gives"]] += fired["amount"]
        assert by_kind["points"] == earning.amount == story["earned"]
        assert by_kind["discount"] == (decision.discount_minor if n == decision.discounter else 0)
        off += by_kind
        assert sum(portion.amount for portion in earning.portions) == earning.amount
        known = {line.number for line in decision.lines}
        for portion in earning.portions:
            assert sum(amount for _, amount in portion.lines) == portion.amount
            assert all(amount > 0 and number in known for number, amount in portion.lines)
        if earning.turnover:
            assert sum(money for _, money in earning.turnover) == earning.turnover_minor
    assert off["discount"] == decision.discount_minor == sum(decision.discounts)
    own = sum(decision.prices) - min(sum(part.redeemed_minor for part in parts), sum(decision.prices))
    assert sum(earning.turnover_minor for earning in decision.earnings) <= own
    if len(parts) == 1:
        assert decision.earnings[0].turnover_minor == own


@EXAMPLES
@given(data=DATA, moment=MOMENTS, is_final=st.booleans())
def test_decision_is_a_function_of_its_inputs_and_not_of_the_order_of_lines(
    data: st.DataObject, moment: Moment, is_final: bool
) -> None:
    document, told, parts = asked(data)
    decision = decide(told, parts, moment, is_final)
    shuffled = structs.replace(told, lines=tuple(data.draw(st.permutations(told.lines))))
    anew = [structs.replace(part, programme=Programme(document)) for part in parts]
    assert shown(decide(shuffled, anew, moment, is_final)) == shown(decision)
    assert shown(decide(told, parts, moment, is_final)) == shown(decision)


def shown(decision: Decision) -> bytes:
    return msgspec.json.encode(structs.replace(decision, lines=()))


@EXAMPLES
@given(data=DATA, moment=MOMENTS)
def test_points_stay_within_caps_and_steps(data: st.DataObject, moment: Moment) -> None:
    document, told, parts = asked(data)
    for part, earning in zip(parts, decide(told, parts, moment).earnings, strict=True):
        caps, facts = document.points.caps, part.facts
        assert earning.amount % document.points.step == 0
        assert caps.receipt is None or earning.amount <= caps.receipt
        assert caps.day is None or earning.amount <= max(caps.day - facts.earned_today, 0)
        assert caps.month is None or earning.amount <= max(caps.month - facts.earned_this_month, 0)


# Conditions ---------------------------------------------------------------------------------------------------


def is_met(rule: Any, told: Receipt, part: Part, moment: Moment, goods_minor: int) -> bool:
    """Whether the conditions on the whole receipt hold."""
    when: When = rule.when
    minute = moment.at.hour * 60 + moment.at.minute
    day = moment.at.date()
    paid = {tender.kind for tender in told.tenders} | {tender.code for tender in told.tenders}
    hours = True
    if when.hours:
        first, end = when.hours
        hours = (minute - first) % 1440 < (end - first) % 1440 if (end - first) % 1440 else True
    return (
        (not when.stores or moment.store in when.stores)
        and (not when.weekdays or calendar.weekday(day.year, day.month, day.day) in when.weekdays)
        and hours
        and (when.first_day is None or when.first_day <= day)
        and (when.last_day is None or day <= when.last_day)
        and (not when.tenders or bool(paid & set(when.tenders)))
        and (not when.tiers or part.facts.tier in when.tiers)
        and (not when.products or part.product in when.products)
        and (when.receipt_from_minor is None or goods_minor >= when.receipt_from_minor)
        and (when.receipt_below_minor is None or goods_minor < when.receipt_below_minor)
        and (not when.first_purchase or part.facts.is_first)
        and (when.birthday is None or when.birthday in part.facts.birthday)
        and rule.rule not in part.facts.once
    )


def touches(rule: Any, told: Receipt) -> bool:
    """Whether the receipt has goods that the rule is for."""
    return any(
        (not rule.goods or bool(sets_of(line) & set(rule.goods)))
        and not sets_of(line) & set(rule.without)
        and line.price_minor >= rule.price_from_minor
        for line in lines_of(told)
    )


@MORE
@given(data=DATA, moment=MOMENTS)
def test_rule_that_does_not_hold_changes_nothing_and_one_that_holds_needs_no_conditions(
    data: st.DataObject, moment: Moment
) -> None:
    _, told, parts = asked(data, most=1)
    (part,) = parts
    goods_minor = sum(max(line.sum_minor, 0) for line in lines_of(told) if line.kind == GOODS)

    def kept(some: Sequence[Any]) -> tuple[Any, ...]:
        holding = [rule for rule in some if is_met(rule, told, part, moment, goods_minor) and touches(rule, told)]
        return tuple(structs.replace(rule, when=When()) for rule in holding)

    def bare(document: ProgrammeDocument) -> ProgrammeDocument:
        return structs.replace(
            document,
            discounts=structs.replace(document.discounts, rules=kept(document.discounts.rules)),
            points=structs.replace(document.points, rules=kept(document.points.rules)),
        )

    decision = decide(told, [part], moment, is_final=False)
    bare_part = changed(part, bare)
    assert shown_of(decide(told, [bare_part], moment, is_final=False)) == shown_of(decision)


def shown_of(decision: Decision) -> Any:
    """All but who is noted as the one that gives nothing off, and whether own money is told by line."""
    earnings = tuple(structs.replace(earning, turnover=()) for earning in decision.earnings)
    told = tuple({name: value for name, value in story.items() if name != "product"} for story in decision.explanation)
    shown = structs.replace(decision, lines=(), discounter=None, earnings=earnings, explanation=told)
    return msgspec.json.encode(shown)


# Stacking -----------------------------------------------------------------------------------------------------


def alone(document: ProgrammeDocument, kind: str, rule: Any) -> ProgrammeDocument:
    section = getattr(document, kind)
    return structs.replace(document, **{kind: structs.replace(section, rules=(rule,))})


@EXAMPLES
@given(data=DATA, take=st.sampled_from(["best", "sum", "first"]), told=receipts(odd=False))
def test_a_group_gives_each_line_the_best_the_sum_or_the_first_of_its_discounts(
    data: st.DataObject, take: Any, told: Receipt
) -> None:
    group = (Group(group="g", take=take),)
    some = data.draw(rules(DiscountRule, DISCOUNT_GIVES, group))
    some = tuple(structs.replace(rule, exclusive=False) for rule in some)
    document = ProgrammeDocument(code="c", unit="B", goods=SETS, discounts=Discounts(rules=some, groups=group))
    facts = data.draw(facts_for(document))
    # What the till says of least prices is another law's matter.
    told = structs.replace(told, lines=tuple(structs.replace(line, minimum_price_minor=0) for line in told.lines))

    def off(of: ProgrammeDocument) -> tuple[int, ...]:
        part = Part(programme=Programme(of), facts=facts)
        return decide(told, [part], NOON, is_final=False).discounts

    together = off(document)
    in_order = sorted(some, key=lambda rule: -rule.priority)
    each = [off(alone(document, "discounts", rule)) for rule in in_order]
    for i, line in enumerate(sorted(lines_of(told), key=lambda line: line.number)):
        gifts = [one[i] for one in each]
        expected = {
            "best": max(gifts, default=0),
            "sum": min(sum(gifts), max(line.sum_minor, 0)),
            "first": next((gift for gift in gifts if gift), 0),
        }
        assert together[i] == expected[take]


@EXAMPLES
@given(data=DATA, take=st.sampled_from(["best", "sum", "first"]), told=receipts())
def test_a_group_gives_each_line_the_best_the_sum_or_the_first_of_its_points(
    data: st.DataObject, take: Any, told: Receipt
) -> None:
    group = (Group(group="g", take=take),)
    some = data.draw(rules(PointsRule, PLAIN_POINTS_GIVES, group))
    some = tuple(structs.replace(rule, exclusive=False) for rule in some)
    document = ProgrammeDocument(code="c", unit="B", goods=SETS, points=Points(rules=some, groups=group))
    facts = data.draw(facts_for(document))

    def earned(of: ProgrammeDocument) -> Counter[int]:
        found: Counter[int] = Counter()
        for portion in decide(told, [Part(programme=Programme(of), facts=facts)], NOON).earnings[0].portions:
            for number, amount in portion.lines:
                found[number] += amount
        return found

    together = earned(document)
    each = [earned(alone(document, "points", rule)) for rule in sorted(some, key=lambda rule: -rule.priority)]
    for line in lines_of(told):
        gifts = [one[line.number] for one in each]
        expected = {
            "best": max(gifts, default=0),
            "sum": sum(gifts),
            "first": next((gift for gift in gifts if gift), 0),
        }
        assert together[line.number] == expected[take]


@EXAMPLES
@given(data=DATA, moment=MOMENTS)
def test_what_an_exclusive_discount_touches_gets_nothing_of_others(data: st.DataObject, moment: Moment) -> None:
    document, told, parts = asked(data, most=1)
    lonely = tuple(rule for rule in document.discounts.rules if rule.exclusive)
    first = structs.replace(document, discounts=structs.replace(document.discounts, rules=lonely))
    off = decide(told, parts, moment, is_final=False).discounts
    of_exclusive = decide(told, [changed(parts[0], lambda _: first)], moment, is_final=False).discounts
    for both, only in zip(off, of_exclusive, strict=True):
        assert only in (0, both)


@EXAMPLES
@given(data=DATA, factor=st.integers(101, 400))
def test_a_multiplier_adds_its_part_of_what_others_give(data: st.DataObject, factor: int) -> None:
    document = data.draw(documents())
    plain = tuple(rule for rule in document.points.rules if not isinstance(rule.give, Multiply))
    times = PointsRule(rule="times", give=Multiply(hundredths=factor), group=document.points.groups[0].group)
    told, facts = data.draw(receipts()), data.draw(facts_for(document))
    exclusive = {rule.rule for rule in plain if rule.exclusive}

    def given(some: tuple[PointsRule, ...]) -> dict[str, int]:
        said = structs.replace(document.points, rules=some, caps=Caps(), step=1)
        part = Part(programme=Programme(structs.replace(document, points=said)), facts=facts)
        (story,) = decide(told, [part], NOON).explanation
        return {rule["rule"]: rule["amount"] for rule in story["rules"] if rule["gives"] == "points"}

    before = given(plain)
    # What an exclusive rule gives something for gets nothing of any other rule, a multiplier among them.
    multiplied = sum(amount for name, amount in before.items() if name not in exclusive)
    more = multiplied * (factor - 100) // 100
    assert given((*plain, times)) == before | ({"times": more} if more else {})


# Paying with points -------------------------------------------------------------------------------------------


@EXAMPLES
@given(data=DATA, moment=MOMENTS)
def test_points_pay_no_more_of_a_line_than_law_and_programme_let_them(data: st.DataObject, moment: Moment) -> None:
    document, told, parts = asked(data, most=1)
    part, programme = parts[0], parts[0].programme
    assert programme is not None
    decision = decide(told, parts, moment, is_final=False)
    total = sum(decision.prices)
    most = payable(programme, decision.lines, decision.prices, total, part.facts)
    said = document.payment
    percent = said.by_tier.get(part.facts.tier, said.hundredths)
    assert most.points >= 0
    assert most.points % said.step == 0
    assert most.points * document.point_price_millionths // 1_000_000 == most.money_minor == sum(most.lines)
    assert most.money_minor * 10_000 <= total * percent
    assert most.money_minor == 0 or total - most.money_minor >= said.money_minor
    assert limit(programme, decision.lines, decision.prices, total, part.facts) == most.points
    for line, price, paid in zip(decision.lines, decision.prices, most.lines, strict=True):
        assert 0 <= paid <= price
        assert paid * 10_000 <= price * said.line_hundredths
        if paid:
            sets = sets_of(line)
            assert not sets & set(said.without)
            assert price - paid >= ceil_thousandths(line.minimum_price_minor, line.quantity_thousandths)
            for law in document.prices:
                if sets & set(law.goods):
                    assert not law.is_fixed
                    assert price - paid >= ceil_thousandths(law.least_minor, line.quantity_thousandths)


def test_least_price_that_the_till_tells_holds_where_the_programme_says_nothing_of_goods() -> None:
    programme = Programme(ProgrammeDocument(code="c", unit="BONUS", payment=Payment(hundredths=10_000)))
    spirits = structs.replace(line(1, 30_000), minimum_price_minor=29_900)
    most = payable(programme, (spirits, line(2, 500)), (30_000, 500), 30_500, NOTHING_KNOWN)
    assert (most.points, most.lines) == (600, (100, 500))


# Quote and receipt --------------------------------------------------------------------------------------------


def closed(told: Receipt, decision: Decision) -> Receipt:
    """The receipt as a till closes it that takes off what it was told."""
    off = {line.number: off for line, off in zip(decision.lines, decision.discounts, strict=True)}
    if not told.lines:
        return structs.replace(
            told, total_minor=told.total_minor - decision.discount_minor, discount_minor=decision.discount_minor
        )
    sold = tuple(
        structs.replace(line, sum_minor=line.sum_minor - off[line.number], discount_minor=off[line.number])
        for line in told.lines
    )
    return structs.replace(told, lines=sold, total_minor=sum(line.sum_minor for line in sold))


def agrees(told: Receipt, parts: Sequence[Part], moment: Moment) -> None:
    quoted = decide(told, parts, moment, is_final=False)
    posted = decide(closed(told, quoted), parts, moment)
    assert posted.discounts == quoted.discounts, "else the operation is flagged"
    assert posted.prices == quoted.prices
    assert shown_of(posted) == shown_of(quoted)


@settings(max_examples=drawn(60), phases=(Phase.explicit, Phase.generate))
@given(data=DATA, moment=MOMENTS)
def test_a_closed_receipt_gets_what_its_quote_has_promised(data: st.DataObject, moment: Moment) -> None:
    _, told, parts = asked(data)
    agrees(told, parts, moment)


def line(number: int, total: int, category: str = "food") -> Line:
    return Line(number=number, goods=f"g{number}", category=category, price_minor=total, sum_minor=total)


def bill(*lines: Line) -> Receipt:
    total = sum(line.sum_minor for line in lines)
    return Receipt(number="1", till="1", business_date=TODAY, total_minor=total, lines=lines)


def test_piece_that_is_free_is_known_when_the_receipt_is_closed() -> None:
    nth = with_rules(DiscountRule(rule="third", give=NthPiece(every=3, hundredths=10_000)))
    told = bill(line(1, 20_000), line(2, 10_000), line(3, 30_000))
    agrees(told, [Part(programme=Programme(nth))], NOON)


def test_points_by_the_size_of_a_receipt_look_at_it_before_discounts() -> None:
    ten = DiscountRule(rule="ten", give=Percent(hundredths=1_000))
    points = PointsRule(rule="large", give=Percent(hundredths=500), when=When(receipt_from_minor=100_000))
    document = with_rules(ten, points=Points(rules=(points,)))
    agrees(bill(line(1, 100_000)), [Part(programme=Programme(document))], NOON)


def test_receipt_without_lines_has_the_price_of_before_its_discount() -> None:
    ten = DiscountRule(rule="ten", give=Percent(hundredths=1_000), price_from_minor=100_000)
    document = with_rules(ten, points=Points(rules=(PointsRule(rule="p", give=Percent(hundredths=500)),)))
    told = Receipt(number="1", till="1", business_date=TODAY, total_minor=100_000)
    agrees(told, [Part(programme=Programme(document))], NOON)


def test_late_fact_counts_beside_what_its_month_has_seen_since() -> None:
    """Facts are never refused, but points of a month have a cap."""
    programme = Programme(ProgrammeDocument(code="c", unit="B", points=Points(caps=Caps(month=100))))
    history = History(days=(Day(date(2026, 5, 10), 2_000, 1, 100),))
    assert programme.facts(history, "", date(2026, 5, 3)).earned_this_month == 100
    assert programme.facts(history, "", date(2026, 4, 30)).earned_this_month == 0


# Documents ----------------------------------------------------------------------------------------------------


@EXAMPLES
@given(document=documents(), extras=EXTRAS)
def test_document_comes_back_from_the_database_as_it_went(document: ProgrammeDocument, extras: dict[str, Any]) -> None:
    events = extras.pop("events")
    whole = structs.replace(document, points=structs.replace(document.points, events=events), **extras)
    again = stored(msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(whole))))
    assert again == whole
    assert digest(again) == digest(whole)
    assert msgspec.convert(msgspec.to_builtins(whole), ProgrammeDocument) == whole
    Programme(again).facts(History(), "none", TODAY)


# Tiers --------------------------------------------------------------------------------------------------------


FIRST = date(2023, 12, 20)
"""The days of histories begin here: New Year and 29 February are close."""


def so_far(history: History, today: date) -> History:
    return structs.replace(history, days=tuple(day for day in history.days if day.day <= today))


def looked(said: Any, history: History, looks: Sequence[date]) -> Membership | None:
    """The membership written down by those who looked on these days: before what was bought on them, and after."""
    held = None
    for day in looks:
        for known in (day - timedelta(days=1), day):
            held = judge(said, held, so_far(history, known), day)
    return held


@MORE
@given(said=TIERS_OF_WALLETS, history=histories(FIRST), data=DATA)
def test_a_tier_does_not_depend_on_how_often_somebody_looks(said: Any, history: History, data: st.DataObject) -> None:
    last = FIRST + timedelta(days=data.draw(st.integers(401, 600)))
    bought = [day.day for day in history.days]
    every_day = [FIRST + timedelta(days=n) for n in range((last - FIRST).days + 1)]
    daily = looked(said, history, every_day)
    seldom = looked(said, history, [*bought, last])
    assert daily is not None
    assert seldom is not None
    # Who never left the first tier is in it since somebody looked first.
    assert structs.replace(daily, since=FIRST) == structs.replace(seldom, since=FIRST)
    assert daily.tier == said.levels[0].tier or daily.since == seldom.since


@EXAMPLES
@given(said=TIERS_OF_WALLETS, history=histories(FIRST), days=st.integers(401, 900))
def test_looking_again_on_the_same_day_changes_nothing(said: Any, history: History, days: int) -> None:
    today = FIRST + timedelta(days=days)
    held = looked(said, history, [day.day for day in history.days])
    once = judge(said, held, history, today)
    assert judge(said, once, history, today) == once


@EXAMPLES
@given(said=TIERS_OF_WALLETS, history=histories(FIRST), data=DATA)
def test_nobody_falls_before_the_day_that_is_told(said: Any, history: History, data: st.DataObject) -> None:
    codes = [level.tier for level in said.levels]
    bought = [day.day for day in history.days]
    held = looked(said, history, bought)
    if held is None:
        return
    told = next_look(said, held, history)
    day = data.draw(st.dates(bought[-1], bought[-1] + timedelta(days=500)))
    after = judge(said, held, history, day)
    if said.review is None and said.absence_days is None:
        assert told is None
    if told is None or day < told:
        assert codes.index(after.tier) >= codes.index(held.tier)
    else:
        assert next_look(said, after, history) is None or next_look(said, after, history) > day  # type: ignore[operator]


def day(on: date, amount: int, visits: int = 1) -> Day:
    return Day(on, amount, visits, amount)


@pytest.mark.parametrize(
    ("window", "today", "counts"),
    [
        ({"period": "year"}, date(2024, 12, 31), True),
        ({"period": "year"}, date(2025, 1, 1), False),
        ({"period": "quarter"}, date(2024, 3, 31), True),
        ({"period": "quarter"}, date(2024, 4, 1), False),
        ({"period": "month"}, date(2024, 2, 29), True),
        ({"period": "month"}, date(2024, 3, 1), False),
        ({"days": 1}, date(2024, 2, 29), True),
        ({"days": 1}, date(2024, 3, 1), False),
        ({"days": 366}, date(2025, 2, 28), True),
        ({"days": 366}, date(2025, 3, 1), False),
        ({}, date(2124, 2, 29), True),
    ],
)
def test_windows_end_with_their_last_day(window: dict[str, Any], today: date, counts: bool) -> None:
    said = tiers(window=Window(**window))
    history = History(days=(day(date(2024, 2, 29), 5),))
    assert (measured(said, Membership("t0", FIRST), history, today) == 5) == counts


def tiers(**told: Any) -> Tiers:
    """Two steps up, at 10 and at 20."""
    levels = tuple(Level(tier=f"t{n}", needs=needs) for n, needs in enumerate((0, 10, 20)))
    return Tiers(**{"measure": "turnover", "levels": levels} | told)


def test_review_that_was_due_before_an_absence_comes_first() -> None:
    said = tiers(window=Window(days=30), review=Review(days=30, fall="one_down"), absence_days=60)
    first = date(2024, 1, 1)
    history = History(days=(day(first, 20),))
    held = judge(said, None, history, first)
    # Kept on 31 January, one down on 1 March, and on 2 March 61 days have gone by.
    assert judge(said, held, history, date(2024, 2, 29)).tier == "t2"
    assert judge(said, held, history, date(2024, 3, 1)).tier == "t1"
    assert judge(said, held, history, date(2024, 3, 2)).tier == "t0"


def test_what_an_absence_has_left_leaves_the_window_too() -> None:
    said = tiers(window=Window(days=30), review=Review(days=30), absence_days=60)
    first, back = date(2024, 1, 1), date(2024, 3, 2)
    fallen = Membership("t1", date(2024, 3, 1), date(2024, 3, 31), counts_from=date(2024, 3, 1), credit=10)
    history = History(days=(day(first, 20), day(back, 1), day(date(2024, 4, 15), 1)))
    assert judge(said, fallen, history, date(2024, 3, 31)).tier == "t1", "kept: the 10 are of these 30 days"
    assert judge(said, fallen, history, date(2024, 4, 30)).tier == "t0"


# Days ---------------------------------------------------------------------------------------------------------


@EXAMPLES
@given(
    birthday=st.dates(date(1930, 1, 1), date(2024, 12, 31)) | st.just(date(2000, 2, 29)) | st.just(date(1990, 1, 1)),
    span=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    today=st.dates(date(2023, 12, 1), date(2028, 3, 10)),
)
def test_birthday_is_near_so_many_days_before_and_after(birthday: date, span: tuple[int, int], today: date) -> None:
    def is_birthday(on: date) -> bool:
        if (birthday.month, birthday.day) == (2, 29) and not calendar.isleap(on.year):
            return (on.month, on.day) == (3, 1)
        return (on.month, on.day) == (birthday.month, birthday.day)

    before, after = span
    around = [today + timedelta(days=n) for n in range(-after, before + 1)]
    assert near(birthday, span, today) == any(map(is_birthday, around))


@EXAMPLES
@given(
    at=st.datetimes(datetime(2023, 12, 1), datetime(2028, 4, 1), timezones=st.just(ZoneInfo("UTC"))),
    zone=st.sampled_from(["Europe/Moscow", "Asia/Almaty", "Europe/Berlin", "America/New_York"]).map(ZoneInfo),
    pending=st.integers(0, 40),
    expires=EXPIRIES,
)
def test_points_end_with_a_day_of_the_store(at: datetime, zone: ZoneInfo, pending: int, expires: Expiry) -> None:
    found = terms(zone, at, pending, expires)
    first = found.available_from.astimezone(zone)
    assert first.date() == at.astimezone(zone).date() + timedelta(days=pending)
    if expires == Expiry():
        assert found.expires_at is None
        return
    assert found.expires_at is not None
    last = (found.expires_at - timedelta(microseconds=1)).astimezone(zone).date()
    told = last - timedelta(days=expires.extra_days)
    if expires.days is not None:
        assert told - first.date() == timedelta(days=expires.days)
        return
    months = {"month": [*range(1, 13)], "quarter": [3, 6, 9, 12], "year": [12]}[expires.period or ""]
    assert told >= first.date()
    assert told.month in months
    assert told.day == calendar.monthrange(told.year, told.month)[1]
    assert (told - first.date()).days <= {"month": 30, "quarter": 91, "year": 365}[expires.period or ""]
