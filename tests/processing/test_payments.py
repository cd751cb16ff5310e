"""Payments by themselves: what points pay of a purchase that another receipt tells (`PostReceipt.payment`)."""

from __future__ import annotations

import pytest
from msgspec import structs

from processing.commands import PlaceHold, ReadTurnover, ReturnLine
from processing.errors import BadAmount, LimitExceeded
from processing.results import ReceiptReturned, Turnover
from tests.processing.books import MONEY, MOSCOW, POINTS, SLOW, Books, StillClock, post, receipt, ref, top_up, use
from tests.processing.test_returns import back

on_sqlite = pytest.mark.parametrize("books", ["sqlite"], indirect=True)


def turnover(books: Books, card: str) -> tuple[int, int]:
    """Visits, and own money."""
    (told,) = books.core.answer([ReadTurnover(refs=(ref(card),))])
    assert isinstance(told, Turnover)
    return told.visits, told.turnover_minor


def moved(returned: ReceiptReturned) -> tuple[int, int]:
    """What a return has given back and taken."""
    return sum(each.redeemed for each in returned.cards), sum(each.earned for each in returned.cards)


@on_sqlite
def test_a_payment_is_no_visit_and_what_points_have_paid_elsewhere_earns_nothing(books: Books) -> None:
    card = books.card(points=1_000_00)
    books.done(post("pay", use(card, 300_00, earn=0), total=300_00, payment=True))
    assert books.balance(card) == 700_00
    bought = books.done(post("order", use(card, paid_minor=300_00), total=1_000_00))
    assert bought.cards[0].earned == 35_00
    assert turnover(books, card) == (1, 700_00)
    assert isinstance(books.one(post("x", use(card, paid_minor=-1))), BadAmount)


@on_sqlite
def test_money_that_a_purse_pays_by_itself_counts_and_earns_once(books: Books) -> None:
    """It is the guest's own: the purchase has it in its turnover, and earns for it."""
    card = books.card()
    books.done(top_up("load", card, 300_00))
    books.done(post("pay", use(card, 300_00, unit=MONEY), total=300_00, payment=True))
    books.done(post("order", use(card), total=1_000_00))
    assert turnover(books, card) == (1, 1_000_00)
    assert books.balance(card) == 50_00
    books.done(back("money", "pay"))
    assert turnover(books, card) == (1, 1_000_00)
    books.done(back("goods", "order"))
    assert turnover(books, card) == (0, 0)


@on_sqlite
def test_what_was_paid_elsewhere_comes_back_with_its_own_receipt_only(books: Books) -> None:
    """A purchase gives back nothing that it has not been paid with, and loses what it has earned by it: on 700.00."""
    card = books.card(points=300_00)
    books.done(post("pay", use(card, 300_00, earn=0), total=300_00, payment=True))
    books.done(post("order", use(card, paid_minor=300_00), total=1_000_00))
    half = ReturnLine(sum_minor=500_00)
    assert moved(books.done(back("half", "order", half))) == (0, 17_50)
    assert moved(books.done(back("rest", "order"))) == (0, 17_50)
    assert moved(books.done(back("points", "pay", ReturnLine(sum_minor=100_00)))) == (100_00, 0)
    assert books.balance(card) == 100_00
    assert turnover(books, card) == (0, 0)
    unknown = back("unknown", "", cards=(use(card, paid_minor=300_00),), receipt=receipt(1_000_00))
    assert moved(books.done(unknown)) == (0, 35_00)


def test_a_payment_may_take_what_its_hold_was_allowed_in_sight_of_the_order(books: Books, clock: StillClock) -> None:
    """Half of 1,000.00 may be paid with points: so may all of a payment of 500.00, and no more of it."""
    card = books.card(points=1_000_00, product=SLOW)
    clock.forward(days=8)
    order = receipt(1_000_00)
    hold = PlaceHold(store=MOSCOW, keys=("h",), card=ref(card), unit=POINTS, amount=500_00, receipt=order)
    assert isinstance(books.one(structs.replace(hold, amount=500_01)), LimitExceeded)
    books.done(hold)
    payment = post("pay", use(card, 500_00, earn=0, hold="h"), total=500_00)
    assert isinstance(books.one(payment), LimitExceeded)
    assert isinstance(
        books.one(post("more", use(card, 500_01, earn=0, hold="h"), total=500_01, payment=True)), LimitExceeded
    )
    books.done(structs.replace(payment, payment=True))
