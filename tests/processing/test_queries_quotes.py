"""Quotes: what is quoted is what a receipt then does, and nothing is written by asking."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.commands import Amount, CardUse, Line, PlaceHold, Quote, ReadOperation, Receipt, Ref, ReleaseHold
from processing.errors import (
    BadAmount,
    BadMessage,
    CardNotFound,
    ForeignStore,
    HoldEnded,
    HoldNotFound,
    InsufficientPoints,
    LimitExceeded,
    TooLarge,
    UnitNotFound,
)
from processing.results import Quoted, ReceiptPosted
from tests.processing.books import MONEY, MOSCOW, NOON, PLAIN, POINTS, SLOW, YEARLY, Books, post, receipt, use
from tests.processing.reads import clock_of, hold, named, outcome, told


def quote(books: Books, *cards: CardUse, told_receipt: Receipt | None = None, **changes: Any) -> Quoted:
    return told(books, asked(*cards, told_receipt=told_receipt, **changes))


def asked(*cards: CardUse, told_receipt: Receipt | None = None, **changes: Any) -> Quote:
    return Quote(**{"store": MOSCOW, "receipt": told_receipt or receipt(), "cards": cards} | changes)


def line(number: int, cost: int, **changes: Any) -> Line:
    return Line(number=number, goods=f"g{number}", sum_minor=cost, price_minor=cost, **changes)


# What is quoted is what happens -------------------------------------------------------------------------------------

LINES = st.lists(st.tuples(st.integers(0, 50_000), st.sampled_from(["", "food"])), max_size=5)


@given(
    costs=LINES, total=st.integers(0, 100_000), points=st.integers(0, 40_000), product=st.sampled_from([PLAIN, SLOW])
)
@settings(max_examples=25)
def test_a_quote_is_what_the_receipt_then_earns(
    books: Books, costs: list[tuple[int, str]], total: int, points: int, product: str
) -> None:
    card, other = books.card(points, product=product), books.card()
    lines = tuple(line(n + 1, cost, category=category) for n, (cost, category) in enumerate(costs))
    bill = receipt(sum(cost for cost, _ in costs) if costs else total, lines)
    free = quote(books, use(card), told_receipt=bill).cards[0].payable
    uses = (
        use(card, redeem=free, spend_minor=bill.total_minor - free),
        use(other, spend_minor=bill.total_minor // 3),
    )
    quoted = quote(books, *uses, told_receipt=bill)
    posted = books.done(post(books.key("sale"), *uses, receipt=bill))
    earned = [sum(each.earned for each in posted.cards if each.card == name) for name in (card, other)]
    assert [each.earned for each in quoted.cards] == earned
    if lines:
        assert sum(each.earned for each in quoted.lines) == sum(earned)
    explained = told(books, ReadOperation(operation_id=posted.operation_id)).explanation
    assert list(quoted.explanation) == explained


@given(costs=LINES, points=st.integers(0, 60_000), product=st.sampled_from([PLAIN, SLOW]))
@settings(max_examples=20)
def test_so_much_as_is_payable_is_taken_and_not_a_unit_more(
    books: Books, costs: list[tuple[int, str]], points: int, product: str
) -> None:
    card = books.card(points, product=product)
    lines = tuple(line(n + 1, cost) for n, (cost, _) in enumerate(costs))
    bill = receipt(sum(cost for cost, _ in costs), lines)
    quoted = quote(books, use(card), told_receipt=bill)
    most = quoted.cards[0].payable
    limit = bill.total_minor if product == PLAIN else bill.total_minor // 2
    assert most == min(points, limit)
    assert sum(each.payable_minor for each in quoted.lines) == (limit if lines else 0)
    assert all(
        0 <= each.payable_minor <= each_line.sum_minor for each, each_line in zip(quoted.lines, lines, strict=True)
    )
    refused = books.one(post(books.key("greedy"), use(card, redeem=most + 1, earn=0), receipt=bill))
    assert isinstance(refused, InsufficientPoints | LimitExceeded)
    assert isinstance(books.one(post(books.key("sale"), use(card, redeem=most, earn=0), receipt=bill)), ReceiptPosted)


def test_asking_writes_nothing(books: Books) -> None:
    card = books.card(500)
    before = books.written()
    quote(books, use(card, redeem=100))
    assert (books.written(), books.balance(card)) == (before, 500)


# Lines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["top_up", "gift_card"])
def test_lines_that_load_a_card_are_neither_paid_with_points_nor_earn(books: Books, kind: Any) -> None:
    card = books.card(100_000)
    bill = receipt(70_000, (line(1, 20_000), line(2, 50_000, kind=kind)))
    quoted = quote(books, use(card), told_receipt=bill)
    assert [(each.number, each.payable_minor, each.earned, each.discount_minor) for each in quoted.lines] == [
        (1, 20_000, 1_000, 0),
        (2, 0, 0, 0),
    ]
    assert (quoted.cards[0].payable, quoted.cards[0].earned, quoted.total_minor) == (20_000, 1_000, 70_000)


def test_a_receipt_without_lines_is_quoted_by_its_total(books: Books) -> None:
    card = books.card(100_000, product=SLOW)
    quoted = quote(books, use(card), told_receipt=receipt(10_000))
    assert (quoted.lines, quoted.cards[0].payable, quoted.cards[0].earned) == ((), 5_000, 500)


def test_lines_of_one_number_are_told_apart(books: Books) -> None:
    card = books.card()
    quoted = quote(books, use(card), told_receipt=receipt(3_000, (line(1, 1_000), line(1, 2_000))))
    assert [(each.number, each.earned) for each in quoted.lines] == [(1, 50), (1, 100)]


def test_a_receipt_without_cards_earns_nothing(books: Books) -> None:
    quoted = quote(books, told_receipt=receipt(1_000, (line(1, 1_000),)))
    assert (quoted.cards, quoted.explanation, quoted.at) == ((), (), NOON)
    assert [(each.payable_minor, each.earned) for each in quoted.lines] == [(0, 0)]


# Cards ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("blocked", "card_blocked"),
        ("issued", "card_not_active"),
        ("replaced", "card_closed"),
        ("expired", "card_expired"),
    ],
)
def test_a_card_that_can_not_be_used_is_told_and_gets_nothing(books: Books, status: str, code: str) -> None:
    card, sound = books.card(500), books.card(500)
    books.set_status(card, status)
    quoted = quote(books, use(card, redeem=50), use(sound))
    bad, good = quoted.cards
    assert (bad.usable, bad.payable, bad.earned, bad.available) == (code, 0, 0, 500)
    assert (good.usable, good.payable) == ("", 500)
    assert quoted.explanation[0]["decided"] == "card_not_usable"


def test_a_card_past_its_validity_can_not_be_used(books: Books) -> None:
    card = books.card(500, product=YEARLY)
    clock_of(books).forward(days=40)
    assert quote(books, use(card)).cards[0].usable == "card_expired"


def test_what_a_till_has_computed_is_what_the_card_gets(books: Books) -> None:
    card = books.card()
    quoted = quote(books, use(card, earn=77), told_receipt=receipt(1_000, (line(1, 1_000),)))
    assert (quoted.cards[0].earned, quoted.lines[0].earned) == (77, 0)
    assert (quoted.explanation[0]["decided"], quoted.explanation[0]["rules_say"]) == ("till_computed", 50)


def test_money_from_a_purse_earns_as_cash_does(books: Books) -> None:
    card = books.card(10_000, MONEY)
    assert quote(books, use(card, redeem=10_000, unit=MONEY)).cards[0].earned == 5_000


def test_a_card_tells_what_is_free_in_its_programmes_unit(books: Books) -> None:
    card = books.card(500)
    hold(books, card, 120)
    (found,) = quote(books, use(card)).cards
    assert (found.card, found.unit, found.scale, found.available, found.payable) == (card, POINTS, 2, 380, 380)


def test_what_the_receipts_own_hold_pins_can_pay(books: Books) -> None:
    card, other = books.card(500), books.card(500)
    place = PlaceHold(store=MOSCOW, keys=("h",), card=Ref("card", card), unit=POINTS, amount=120)
    books.done(place)
    (found,) = quote(books, use(card, hold="h")).cards
    assert (found.available, found.payable) == (380, 500)
    assert isinstance(outcome(books, asked(use(other, hold="h"))), HoldNotFound)
    assert isinstance(outcome(books, asked(use(card, hold="never"))), HoldNotFound)
    books.done(msgspec.structs.replace(place, keys=("gone",)))
    books.done(ReleaseHold(store=MOSCOW, keys=("r",), hold="gone"))
    assert isinstance(outcome(books, asked(use(card, hold="gone"))), HoldEnded)
    clock_of(books).at = NOON + timedelta(hours=1)
    assert quote(books, use(card, hold="h")).cards[0].payable == 500


def test_a_quote_finds_cards_by_any_name(books: Books) -> None:
    card = books.card(5, identifiers=(Ref("onec", "guid"),))
    wallet = told(books, asked(use(card))).cards[0].account
    for name in (Ref("onec", "guid"), Ref("wallet", str(wallet))):
        assert quote(books, CardUse(refs=(name,))).cards[0].card == card


# What is refused --------------------------------------------------------------------------------------------------


def test_quotes_that_make_no_sense_are_refused(books: Books) -> None:
    card = books.card()
    for query, error in [
        (asked(use("404")), CardNotFound),
        (asked(store="elsewhere"), ForeignStore),
        (asked(use(card, redeem=-1)), BadAmount),
        (asked(use(card, redeem=1, unit="GEMS")), UnitNotFound),
        (asked(CardUse(refs=named(card), top_up=(Amount("GEMS", 1),))), UnitNotFound),
        (asked(told_receipt=receipt(10**15 + 1)), BadAmount),
        (asked(*(use(card) for _ in range(17))), TooLarge),
        (asked(told_receipt=receipt(1, tuple(line(n, 1) for n in range(1_001)))), TooLarge),
        (asked(CardUse(refs=named(card) * 200)), BadMessage),
    ]:
        assert isinstance(outcome(books, query), error), query
