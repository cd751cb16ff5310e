"""A programme's decision is a pure function: what it gives, to whom, by which lines, and why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from processing.allocation import lines_of, spread_payments
from processing.commands import Line, Receipt
from processing.programme import decide as deciding
from processing.programme.compiled import Moment, Programme
from processing.programme.decide import Decision, Part
from processing.programme.document import Percent, simple
from processing.programme.payment import payable_points
from processing.programme.terms import lot_terms
from processing.units import of_pieces
from tests.processing.books import MOSCOW, Short, receipt

TOBACCO = "tobacco"


def programme(code: str, **changes: Any) -> Programme:
    return Programme(simple(**asdict(Short(code, **changes))))


PICKY_SHORT = Short("picky", excluded_categories=(TOBACCO,), minimum_price_minor=100)
PICKY = Programme(simple(**asdict(PICKY_SHORT)))
NOON = Moment(MOSCOW, datetime(2026, 5, 4, 12, tzinfo=ZoneInfo("Europe/Moscow")))


def decide(told: Receipt, parts: Sequence[Part]) -> Decision:
    return deciding.decide(told, parts, NOON)


def line(number: int, total: int, category: str = "", price: int | None = None) -> Line:
    return Line(
        number=number,
        goods=str(number),
        category=category,
        sum_minor=total,
        price_minor=total if price is None else price,
    )


def part(spend: int = 0, redeemed: int = 0, rules: Any = PICKY) -> Part:
    return Part(programme=rules, spend_minor=spend, redeemed_minor=redeemed)


def earned(decision: Decision) -> list[int]:
    return [earning.amount for earning in decision.earnings]


def percent_of_rules(told: Part) -> int:
    assert told.programme is not None
    rules = told.programme.document.points.rules
    assert all(isinstance(rule.give, Percent) for rule in rules)
    return sum(rule.give.hundredths for rule in rules)  # type: ignore[union-attr]


SUMS = st.integers(0, 10**7)
LINES = st.lists(st.tuples(SUMS, st.sampled_from(["", "food", TOBACCO]), st.integers(0, 300)), max_size=8).map(
    lambda found: [line(n, total, category, price) for n, (total, category, price) in enumerate(found, 1)]
)
PARTS = st.lists(
    st.builds(
        part,
        spend=st.integers(0, 10**6),
        redeemed=st.integers(0, 10**6),
        rules=st.integers(0, 10_000).map(lambda percent: programme("any", cashback_hundredths=percent)),
    ),
    min_size=1,
    max_size=4,
)


@given(lines=LINES, parts=PARTS, total=SUMS)
def test_what_the_lines_earn_sums_to_what_the_card_earns(lines: list[Line], parts: list[Part], total: int) -> None:
    decision = decide(receipt(total, lines), parts)
    assert len(decision.earnings) == len(decision.explanation) == len(parts)
    for earning in decision.earnings:
        for portion in earning.portions:
            assert sum(amount for _, amount in portion.lines) == portion.amount
            assert all(amount > 0 for _, amount in portion.lines)


@given(lines=LINES, amounts=st.lists(SUMS, max_size=4), total=SUMS)
def test_what_purses_paid_is_spread_over_lines_exactly_and_never_above_a_line(
    lines: list[Line], amounts: list[int], total: int
) -> None:
    goods = lines_of(receipt(total, lines))
    parts = spread_payments(goods, amounts)
    assert [sum(paid for _, paid in part) for part in parts] == amounts
    sums = {each.number: each.sum_minor for each in goods}
    if sum(amounts) <= sum(sums.values()):
        together = Counter()
        for part in parts:
            together.update(dict(part))
        assert all(paid <= sums[number] for number, paid in together.items())


@given(lines=LINES, amount=SUMS, least=st.lists(st.integers(0, 50_000), min_size=10, max_size=10))
def test_no_line_is_paid_below_its_least_price_while_others_can_take_it(
    lines: list[Line], amount: int, least: list[int]
) -> None:
    goods = [structs.replace(each, minimum_price_minor=price) for each, price in zip(lines, least, strict=False)]
    room = {each.number: max(each.sum_minor - kept(each), 0) for each in goods}
    if goods and amount <= sum(room.values()):
        (part,) = spread_payments(goods, [amount])
        assert all(paid <= room[number] for number, paid in part)


def kept(line: Line) -> int:
    """What the pieces of a line have to cost."""
    return of_pieces(line.minimum_price_minor, line.quantity_thousandths)


def paid_by_points(lines: list[Line], redeemed: int) -> dict[int, int]:
    """What points paid of each line: no more than all of them cost."""
    (part,) = spread_payments(lines_of(receipt(0, lines)), [min(redeemed, sum(each.sum_minor for each in lines))])
    return dict(part)


@given(lines=LINES, redeemed=SUMS)
def test_one_card_earns_the_percent_of_own_money_on_lines_that_count(lines: list[Line], redeemed: int) -> None:
    decision = decide(receipt(0, lines), [part(redeemed=redeemed)])
    paid = paid_by_points(lines, redeemed) if lines else {}
    if not lines:
        assert earned(decision) == [0]
        return
    base = sum(
        each.sum_minor - paid.get(each.number, 0)
        for each in lines
        if each.category != TOBACCO and each.price_minor >= PICKY_SHORT.minimum_price_minor
    )
    assert earned(decision) == [base * PICKY_SHORT.cashback_hundredths // 10_000]


@given(lines=LINES, parts=PARTS)
def test_together_cards_earn_no_more_than_the_best_percent_of_own_money(lines: list[Line], parts: list[Part]) -> None:
    decision = decide(receipt(0, lines), parts)
    whole = sum(each.sum_minor for each in lines)
    own = whole - min(sum(each.redeemed_minor for each in parts), whole)
    best = max(percent_of_rules(each) for each in parts)
    assert sum(earned(decision)) <= Fraction(own * best, 10_000)


@given(lines=LINES, parts=PARTS, data=st.data())
def test_order_of_lines_makes_no_difference(lines: list[Line], parts: list[Part], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(lines))
    assert decide(receipt(0, lines), parts) == decide(receipt(0, shuffled), parts)


@given(lines=LINES, parts=PARTS)
def test_same_facts_give_the_same_decision(lines: list[Line], parts: list[Part]) -> None:
    assert decide(receipt(0, lines), parts) == decide(receipt(0, lines), parts)


def test_receipt_without_lines_earns_on_its_total() -> None:
    decision = decide(receipt(52_219), [part(redeemed=2_000)])
    assert earned(decision) == [(52_219 - 2_000) * 5 // 100]


def test_excluded_category_and_cheap_goods_earn_nothing() -> None:
    lines = [line(1, 10_000), line(2, 10_000, TOBACCO), line(3, 10_000, price=99)]
    decision = decide(receipt(0, lines), [part()])
    assert earned(decision) == [500]
    assert decision.earnings[0].portions[0].lines == ((1, 500),)
    (story,) = decision.explanation
    assert story == {
        "earned": 500,
        "rules": [{"rule": "cashback", "gives": "points", "amount": 500, "base_minor": 10_000}],
    }


def test_price_at_the_minimum_counts() -> None:
    assert earned(decide(receipt(0, [line(1, 1_000, price=100)]), [part()])) == [50]
    assert earned(decide(receipt(0, [line(1, 1_000, price=99)]), [part()])) == [0]


def test_points_paid_for_excluded_goods_leave_the_base_of_the_others_alone() -> None:
    lines = [line(1, 10_000), line(2, 10_000, TOBACCO)]
    assert earned(decide(receipt(0, lines), [part(redeemed=10_000)])) == [250]


def test_cards_share_the_accrual_by_their_own_money() -> None:
    assert earned(decide(receipt(10_000), [part(spend=3_000), part(spend=1_000)])) == [375, 125]


def test_first_card_takes_the_accrual_when_nobody_tells_what_they_spent() -> None:
    assert earned(decide(receipt(10_000), [part(), part()])) == [500, 0]


def test_receipt_without_cards_earns_nothing_for_nobody() -> None:
    decision = decide(receipt(10_000), [])
    assert (decision.earnings, decision.explanation, decision.discount_minor) == ((), (), 0)


def test_negative_line_earns_nothing_and_takes_nothing_from_others() -> None:
    assert earned(decide(receipt(0, [line(1, 10_000), line(2, -5_000, price=5_000)]), [part()])) == [500]


@given(total=st.integers(-(10**9), 10**9), percent=st.integers(0, 10_000))
def test_payable_is_rounded_down_and_nothing_for_a_negative_total(total: int, percent: int) -> None:
    most = payable_points(programme("any", payable_hundredths=percent), total)
    assert 0 <= most <= Fraction(max(total, 0) * percent, 10_000) < most + 1


ZONES = st.sampled_from(["Europe/Moscow", "Asia/Almaty", "Europe/Berlin", "America/New_York", "UTC"]).map(ZoneInfo)
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


@given(at=INSTANTS, zone=ZONES, pending_days=st.integers(0, 60), expires_days=st.none() | st.integers(0, 800))
def test_lots_begin_and_end_with_the_days_of_the_store(
    at: datetime, zone: ZoneInfo, pending_days: int, expires_days: int | None
) -> None:
    terms = lot_terms(programme("any", pending_days=pending_days, expires_days=expires_days), zone, at)
    first = terms.available_from.astimezone(zone)
    assert first.date() == at.astimezone(zone).date() + timedelta(days=pending_days)
    assert first.hour == first.minute == 0
    if expires_days is None:
        assert terms.expires_at is None
        return
    assert terms.expires_at is not None
    last = (terms.expires_at - timedelta(microseconds=1)).astimezone(zone)
    assert last.date() == first.date() + timedelta(days=expires_days)


def test_points_without_a_programme_are_available_at_once_and_for_ever() -> None:
    terms = lot_terms(None, ZoneInfo("Europe/Moscow"), datetime(2026, 5, 4, 21, 30, tzinfo=UTC))
    assert terms.available_from == datetime(2026, 5, 4, 21, 0, tzinfo=UTC)
    assert terms.expires_at is None


@pytest.mark.parametrize("amount", [1, 19])
def test_percent_of_little_money_is_nothing(amount: int) -> None:
    assert earned(decide(receipt(amount), [part()])) == [0]
