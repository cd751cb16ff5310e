"""Locks of tills that send no key: placed anew, given up and used up by card and owner; and what is alike to what."""

from __future__ import annotations

from typing import Any

from processing.commands import (
    Accrue,
    Amount,
    CardUse,
    Command,
    Identify,
    IssueCard,
    PlaceHold,
    Quote,
    Receipt,
    Redeem,
    Ref,
    ReleaseHold,
    SellGiftCard,
)
from processing.errors import CardNumberTaken, InsufficientPoints
from processing.results import CardIssued, HoldPlaced, HoldReleased, Identified, Quoted, Redeemed
from processing.verify import verify
from tests.processing.books import GIFT, MONEY, MOSCOW, NOON, PLAIN, POINTS, Books, StillClock

ONE, OTHER = "till-1", "till-2"
WINDOW = 120


def lock(card: str, owner: str = ONE, unit: str = POINTS) -> PlaceHold:
    return PlaceHold(store=MOSCOW, card=Ref("card", card), unit=unit, seconds=600, owner=owner)


def unlock(card: str, owner: str = ONE) -> ReleaseHold:
    return ReleaseHold(store=MOSCOW, card=Ref("card", card), unit=POINTS, owner=owner)


def pay(card: str, amount: int, owner: str = ONE, **changes: Any) -> Redeem:
    told: dict[str, Any] = {"likeness": f"{card}/{amount}", "window_seconds": WINDOW, "owner": owner}
    return Redeem(store=MOSCOW, card=Ref("card", card), unit=POINTS, amount=amount, **told | changes)


def earn(card: str, amount: int, owner: str = ONE) -> Accrue:
    told: dict[str, Any] = {"likeness": f"{card}/{amount}", "window_seconds": WINDOW, "owner": owner}
    return Accrue(store=MOSCOW, card=Ref("card", card), amount=Amount(POINTS, amount), **told)


def free(books: Books, card: str, owner: str = "") -> int:
    """What somebody may spend of the card's points."""
    (found,) = books.core.answer([Identify(store=MOSCOW, refs=(Ref("card", card),), owner=owner)])
    assert isinstance(found, Identified)
    return next(balance.available for balance in found.balances if balance.unit == POINTS)


def sound(books: Books) -> None:
    books.check_laws()
    assert [(check.name, check.rows) for check in verify(books.database) if check.rows] == []


def test_what_one_till_has_locked_is_free_to_it_and_to_nobody_else(books: Books) -> None:
    card = books.card(500)
    assert books.done(lock(card)).amount == 500
    assert (free(books, card), free(books, card, ONE), free(books, card, OTHER)) == (0, 500, 0)
    assert books.done(lock(card, OTHER)).amount == 0
    assert isinstance(books.one(pay(card, 100, OTHER)), InsufficientPoints)
    assert books.done(lock(card)).amount == 500
    sound(books)


def test_a_quote_lets_the_owner_pay_with_what_it_has_locked(books: Books) -> None:
    card = books.card(500)
    books.done(lock(card))
    receipt = Receipt(number="1", till="1", business_date=NOON.date(), total_minor=10_000)
    for owner, payable in (("", 0), (OTHER, 0), (ONE, 500)):
        asked = Quote(store=MOSCOW, receipt=receipt, cards=(CardUse(refs=(Ref("card", card),)),), owner=owner)
        (quoted,) = books.core.answer([asked])
        assert isinstance(quoted, Quoted)
        assert quoted.cards[0].payable == payable


def test_a_lock_is_given_up_by_its_owner_only(books: Books) -> None:
    card = books.card(500)
    books.done(lock(card))
    assert books.done(unlock(card, OTHER)).outcome == "nothing"
    assert free(books, card) == 0
    assert books.done(unlock(card)).outcome == "released"
    assert books.done(unlock(card)).outcome == "nothing"
    assert free(books, card) == 500
    sound(books)


def test_what_is_taken_off_comes_from_the_lock_and_sets_the_rest_free(books: Books, clock: StillClock) -> None:
    card = books.card(500)
    books.done(lock(card))
    assert books.done(pay(card, 200)).card.balance == 300
    assert free(books, card) == 300
    clock.forward(minutes=11)
    assert books.done(lock(card, OTHER)).amount == 300
    sound(books)


def test_an_accrual_sets_free_what_its_owner_has_locked(books: Books) -> None:
    card = books.card(500)
    books.done(lock(card))
    books.done(earn(card, 30, OTHER))
    assert free(books, card) == 30
    books.done(earn(card, 30))
    assert free(books, card) == 560
    sound(books)


def test_the_same_again_is_the_same_until_the_card_is_locked_anew(books: Books, clock: StillClock) -> None:
    """Two equal purchases within the window are two where the till has locked the card for each."""
    card = books.card(500)
    books.done(lock(card))
    clock.forward(seconds=5)
    first = books.done(pay(card, 100))
    clock.forward(seconds=5)
    again = books.done(pay(card, 100))
    assert (again.operation_id, again.replayed, first.flags) == (first.operation_id, True, ())
    books.done(lock(card))
    clock.forward(seconds=5)
    second = books.done(pay(card, 100))
    assert (second.replayed, second.flags) == (False, ("alike",))
    assert books.done(pay(card, 100)).operation_id == second.operation_id
    assert books.balance(card) == 300
    sound(books)


def test_points_given_first_do_not_hide_the_lock_from_the_redemption_after_them(
    books: Books, clock: StillClock
) -> None:
    card = books.card(500)
    for _ in range(2):
        books.done(lock(card))
        clock.forward(seconds=1)
        for command in (earn(card, 7), earn(card, 7), pay(card, 100), pay(card, 100)):
            books.one(command)
        clock.forward(seconds=1)
    assert books.balance(card) == 500 + 2 * 7 - 2 * 100


def test_without_a_lock_the_window_decides(books: Books, clock: StillClock) -> None:
    card = books.card(500)
    books.done(pay(card, 100))
    clock.forward(seconds=WINDOW)
    assert books.done(pay(card, 100)).replayed
    clock.forward(seconds=1)
    last = books.done(pay(card, 100))
    assert (last.replayed, last.flags) == (False, ())
    assert books.balance(card) == 300


def test_equal_messages_of_two_tills_are_two(books: Books) -> None:
    card = books.card(500)
    assert not books.done(pay(card, 100)).replayed
    assert not books.done(pay(card, 100, OTHER)).replayed


def test_a_lock_ends_at_its_deadline_and_what_comes_later_takes_what_is_left(books: Books, clock: StillClock) -> None:
    card = books.card(500)
    books.done(lock(card))
    clock.forward(minutes=10)
    assert books.done(pay(card, 450, OTHER)).card.balance == 50
    assert isinstance(books.one(pay(card, 100)), InsufficientPoints)
    assert books.done(unlock(card)).outcome == "nothing"
    sound(books)


def test_further_names_are_tried_in_order(books: Books) -> None:
    card = books.card(500)
    told: dict[str, Any] = {"card": Ref("onec", "no-such"), "others": (Ref("card", card),)}
    placed = books.done(PlaceHold(store=MOSCOW, unit=POINTS, owner=ONE, **told))
    assert isinstance(placed, HoldPlaced)
    assert placed.card == card
    redeem = Redeem(store=MOSCOW, unit=POINTS, amount=1, likeness="x", owner=ONE, **told)
    assert isinstance(books.done(redeem), Redeemed)
    assert isinstance(books.done(ReleaseHold(store=MOSCOW, unit=POINTS, owner=ONE, **told)), HoldReleased)


def test_a_card_is_issued_once_to_whoever_has_none(books: Books) -> None:
    def issue(likeness: str, unless: str) -> Command[CardIssued]:
        told = {"product": PLAIN, "active": True, "identifiers": (Ref("onec", likeness),)}
        names = (Ref("onec", unless),)
        return IssueCard(store=MOSCOW, keys=(), likeness=likeness, window_seconds=60, unless=names, **told)

    first = books.done(issue("a", "nobody"))
    assert books.done(issue("a", "nobody")).number == first.number
    assert isinstance(books.one(issue("b", "a")), CardNumberTaken)


def test_a_card_of_value_is_sold_once_and_then_loaded_further(books: Books, clock: StillClock) -> None:
    number = books.card(product=GIFT, active=False)

    def load(amount: int) -> SellGiftCard:
        told: dict[str, Any] = {"likeness": f"{number}/{amount}", "window_seconds": 60, "top_up": True, "owner": ONE}
        return SellGiftCard(store=MOSCOW, card=Ref("card", number), amount=amount, **told)

    first = books.done(load(1_000))
    assert books.done(load(1_000)).operation_id == first.operation_id
    clock.forward(seconds=61)
    assert books.done(load(1_000)).card.balance == 2_000
    assert books.balance(number, MONEY) == 2_000
    sound(books)


def test_what_a_wallet_has_bought_is_told_where_it_is_asked(books: Books) -> None:
    card = books.card()
    ask = Identify(store=MOSCOW, refs=(Ref("card", card),))
    told = books.core.answer([ask, Identify(store=MOSCOW, refs=(Ref("card", card),), turnover=True)])
    assert [each.turnover_minor for each in told if isinstance(each, Identified)] == [None, 0]
