"""Holds (design law 5): what is set aside, until when, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from processing import chores
from processing.commands import Amount, BlockCard, CaptureHold, Line, PlaceHold, ReadHold, Receipt, ReleaseHold, TopUp
from processing.errors import (
    AlreadyVoided,
    BadAmount,
    CardBlocked,
    HoldEnded,
    HoldExpired,
    HoldNotFound,
    InsufficientPoints,
    KeyReused,
    LimitExceeded,
)
from processing.results import HoldCaptured, HoldPlaced, HoldTold, ReceiptPosted
from tests.processing.books import (
    ALMATY,
    GIFT,
    MOSCOW,
    NOON,
    POINTS,
    Books,
    StillClock,
    adjust,
    again,
    post,
    ref,
    stamp,
    use,
    void,
)


def hold(key: str, card: str, amount: int | None = None, **changes: Any) -> PlaceHold:
    fields: dict[str, Any] = {"store": MOSCOW, "keys": (key,), "card": ref(card), "unit": POINTS, "amount": amount}
    return PlaceHold(**fields | changes)


def capture(key: str, of: str, amount: int | None = None, **changes: Any) -> CaptureHold:
    fields: dict[str, Any] = {"store": MOSCOW, "keys": (key,), "hold": of, "amount": amount}
    return CaptureHold(**fields | changes)


def release(key: str, of: str, **changes: Any) -> ReleaseHold:
    return ReleaseHold(**{"store": MOSCOW, "keys": (key,), "hold": of} | changes)


def told(books: Books, key: str, store: str = MOSCOW) -> Any:
    (outcome,) = books.core.answer([ReadHold(store=store, key=key)])
    return outcome


def free(books: Books, card: str) -> int:
    return books.balances(card)[POINTS].available


def test_held_points_are_nobody_elses_and_the_balance_stays(books: Books) -> None:
    card = books.card(1_000)
    placed = books.done(hold("h", card, 700))
    assert (placed.amount, placed.available) == (700, 300)
    balance = books.balances(card)[POINTS]
    assert (balance.balance, balance.available, balance.held) == (1_000, 300, 700)
    assert isinstance(books.one(post("sale", use(card, 301))), InsufficientPoints)
    assert isinstance(books.one(hold("h2", card, 301)), InsufficientPoints)
    books.done(post("sale", use(card, 300, earn=0)))
    books.check_laws()


def test_hold_of_all_that_is_free_may_be_of_nothing(books: Books) -> None:
    card = books.card(500)
    assert books.done(hold("a", card)).amount == 500
    assert books.done(hold("b", card)).amount == 0
    assert books.done(capture("c", "a")).card.redeemed == 500


def test_hold_is_placed_once_and_its_repeat_says_the_same(books: Books) -> None:
    card = books.card(500)
    first = books.done(hold("h", card, 200))
    assert books.one(hold("h", card, 200)) == again(first)
    assert free(books, card) == 300


def test_owner_has_one_hold_on_an_account(books: Books) -> None:
    card = books.card(500)
    books.done(hold("a", card, 200, owner="order 7"))
    assert books.done(hold("b", card, 500, owner="order 7")).amount == 500
    assert told(books, "a").state == "released"
    assert isinstance(books.one(hold("c", card, 1, owner="order 8")), InsufficientPoints)
    assert isinstance(books.one(capture("d", "a")), HoldEnded)


def test_capture_takes_a_part_and_releases_the_rest(books: Books) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 700))
    done = books.done(capture("c", "h", 450))
    assert (done.card.redeemed, done.released, done.card.balance) == (450, 250, 550)
    assert books.one(capture("c", "h", 450)) == again(done)
    assert isinstance(books.one(capture("c2", "h", 1)), HoldEnded)
    found = told(books, "h")
    assert (found.state, found.captured, found.operation_id) == ("captured", 450, done.operation_id)
    assert free(books, card) == 550
    books.check_laws()


def test_capture_takes_no_more_than_was_held_unless_it_is_a_fact(books: Books) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 300))
    assert isinstance(books.one(capture("c", "h", 301)), BadAmount)
    done = books.done(capture("c", "h", 1_200, fact=True))
    assert (done.card.redeemed, done.card.balance, done.flags) == (1_200, -200, ("debt",))
    books.check_laws()


def test_void_of_a_capture_gives_the_points_back(books: Books) -> None:
    card = books.card(1_000)
    before = books.lots(card)
    books.done(hold("h", card, 700))
    books.done(capture("c", "h"))
    books.done(void("c"))
    assert books.lots(card) == before
    assert free(books, card) == 1_000


def test_released_hold_is_free_and_a_second_release_says_nothing_new(books: Books) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 700))
    done = books.done(release("r", "h"))
    assert (done.outcome, done.amount, done.unit) == ("released", 700, POINTS)
    assert books.one(release("r", "h")) == again(done)
    assert books.done(release("r2", "h")).outcome == "nothing"
    assert free(books, card) == 1_000


def test_release_before_its_hold_leaves_a_tombstone(books: Books) -> None:
    card = books.card(1_000)
    assert books.done(release("r", "h")).outcome == "orphan"
    assert isinstance(books.one(hold("h", card, 700)), AlreadyVoided)
    assert books.done(release("r2", "h")).outcome == "nothing"
    assert free(books, card) == 1_000
    books.check_laws()


def test_hold_of_another_store_is_not_found(books: Books) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 700))
    assert isinstance(books.one(capture("c", "h", store=ALMATY)), HoldNotFound)
    assert isinstance(books.one(capture("c", "nothing")), HoldNotFound)
    assert isinstance(told(books, "h", ALMATY), HoldNotFound)
    books.check_laws()


@pytest.mark.parametrize("is_written", [True, False], ids=["worker ran", "worker did not run"])
def test_hold_ends_at_its_deadline_for_everybody(books: Books, clock: StillClock, is_written: bool) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 700, seconds=60))
    clock.forward(seconds=59)
    assert isinstance(books.one(post("early", use(card, 500))), InsufficientPoints)
    clock.forward(seconds=1)
    if is_written:
        assert chores.end_holds(books.core) == 1
        assert chores.end_holds(books.core) == 0
    assert told(books, "h").state == "expired"
    assert free(books, card) == 1_000
    books.done(post("sale", use(card, 1_000, earn=0)))
    assert told(books, "h").ended_at == books.done(hold("x", books.card(1), 1, seconds=1)).at
    books.check_laws()


def test_late_capture_takes_what_is_there_and_a_request_is_refused_for_the_rest(
    books: Books, clock: StillClock
) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 700, seconds=60))
    clock.forward(minutes=5)
    books.done(post("between", use(card, 600, earn=0)))
    refused = books.one(capture("c", "h"))
    assert isinstance(refused, HoldExpired)
    assert refused.details["available"] == 400
    done = books.done(capture("c", "h", 400))
    assert (done.card.balance, done.flags) == (0, ("hold_late",))


def test_late_capture_of_a_fact_becomes_debt(books: Books, clock: StillClock) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 700, seconds=60))
    clock.forward(minutes=5)
    books.done(post("between", use(card, 600, earn=0)))
    done = books.done(capture("c", "h", fact=True))
    assert (done.card.redeemed, done.card.balance) == (700, -300)
    assert set(done.flags) == {"hold_late", "debt"}
    books.check_laws()


def test_receipt_pays_from_its_hold_first_and_lets_go_of_the_rest(books: Books) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 800))
    posted = books.done(post("sale", use(card, 500, earn=0, hold="h")))
    assert posted.cards[0].available == 500
    assert (told(books, "h").state, told(books, "h").captured) == ("captured", 500)
    books.done(void("sale"))
    assert free(books, card) == 1_000
    books.check_laws()


def test_receipt_may_pay_more_than_its_hold_if_it_is_there(books: Books) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 300))
    books.done(hold("other", card, 100))
    assert isinstance(books.one(post("sale", use(card, 901, earn=0, hold="h"))), InsufficientPoints)
    assert told(books, "h").state == "open"
    assert isinstance(books.done(post("sale", use(card, 900, earn=0, hold="h"))), ReceiptPosted)
    assert books.balance(card) == 100
    assert free(books, card) == 0


def test_receipt_that_pays_nothing_releases_its_hold(books: Books) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 300))
    books.done(post("sale", use(card, earn=10, hold="h")))
    assert told(books, "h").state == "released"
    books.check_laws()


def test_receipt_with_a_hold_of_another_card_is_refused_and_a_fact_is_posted_without_it(books: Books) -> None:
    card, other = books.card(1_000), books.card(1_000)
    books.done(hold("h", card, 300))
    assert isinstance(books.one(post("sale", use(other, 100, hold="h"))), HoldNotFound)
    posted = books.done(post("sale", use(other, 100, earn=0, hold="h"), fact=True))
    assert posted.flags == ("hold_ended",)
    assert told(books, "h").state == "open"


def test_points_that_are_held_are_not_taken_back_with_what_earned_them(books: Books) -> None:
    card = books.card()
    books.done(post("earns", use(card, earn=500)))
    books.done(hold("h", card, 500))
    books.done(void("earns"))
    balance = books.balances(card)[POINTS]
    assert (balance.balance, balance.available, balance.held) == (0, -500, 500)
    books.done(capture("c", "h"))
    assert books.balance(card) == -500
    books.check_laws()


@pytest.mark.parametrize("end", ["capture", "release", "deadline"])
def test_pinned_part_of_a_lot_expires_when_its_hold_ends(books: Books, clock: StillClock, end: str) -> None:
    card = books.card()
    books.done(adjust("gift", card, 1_000, expires_days=0))
    books.done(hold("h", card, 600, seconds=2 * 86_400))
    clock.forward(days=1)
    assert chores.expire_lots(books.core) == 1
    assert chores.expire_lots(books.core) == 0
    balance = books.balances(card)[POINTS]
    assert (balance.balance, balance.available, balance.held) == (600, 0, 600)
    if end == "capture":
        assert isinstance(books.done(capture("c", "h", 250)), HoldCaptured)
    elif end == "release":
        books.done(release("r", "h"))
    else:
        clock.forward(days=2)
    assert free(books, card) == 0
    assert chores.expire_lots(books.core) == 1
    assert books.balance(card) == 0
    expired = books.rows("SELECT sum(amount) FROM entry e JOIN account a ON a.id = e.account_id WHERE a.kind='expired'")
    assert expired[0][0] == (750 if end == "capture" else 1_000)
    books.check_laws()


def test_hold_on_money_and_by_bad_bounds(books: Books) -> None:
    card = books.card()
    books.done(TopUp(store=MOSCOW, keys=("t",), card=ref(card), amount=Amount("RUB", 900)))
    assert isinstance(books.done(hold("h", card, 900, unit="RUB")), HoldPlaced)
    for changes in ({"seconds": 0}, {"seconds": 10**9}, {"amount": 0}, {"amount": -5}, {"amount": 10**16}):
        assert isinstance(books.one(hold("bad", card, **({"amount": 1} | changes))), BadAmount), changes


def test_hold_is_told_whole(books: Books) -> None:
    card = books.card(1_000)
    placed = books.done(hold("h", card, 700, owner="till 5"))
    found = told(books, "h")
    assert isinstance(found, HoldTold)
    assert (found.owner, found.amount, found.state, found.until) == ("till 5", 700, "open", placed.until)
    assert GIFT and found.ended_at is None


def test_newer_version_of_a_receipt_pays_with_the_hold_of_the_old_one(books: Books) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 300))
    books.done(post("s", use(card, 100, earn=0, hold="h"), at=1, supersede=True))
    newer = books.done(post("s", use(card, 200, earn=0, hold="h"), at=2, supersede=True))
    assert (newer.flags, books.balance(card)) == (("superseded", "hold_late"), 800)
    books.done(void("s", 3))
    assert books.done(post("s", use(card, 50, earn=0, hold="h"), at=4)).flags == ("hold_late",)
    books.check_laws()


def test_fact_that_captures_a_released_hold_takes_what_is_there(books: Books) -> None:
    card = books.card(1_000)
    books.done(hold("h", card, 300))
    books.done(release("r", "h"))
    assert isinstance(books.one(capture("c", "h")), HoldEnded)
    assert books.done(capture("c", "h", fact=True)).flags == ("hold_late",)
    assert isinstance(books.one(capture("c2", "h", fact=True)), HoldEnded)
    assert books.balance(card) == 700
    books.check_laws()


# One hold pays once --------------------------------------------------------------------------------------------


def test_hold_named_twice_in_a_receipt_pays_once(books: Books) -> None:
    card = books.card(3_000)
    books.done(hold("h", card))
    twice = post("sale", use(card, 3_000, earn=0, hold="h"), use(card, 3_000, earn=0, hold="h"))
    assert isinstance(books.one(twice), InsufficientPoints)
    books.done(post("sale", use(card, 1_000, earn=0, hold="h"), use(card, 2_000, earn=0, hold="h")))
    assert books.balance(card) == 0
    books.check_laws()


def test_late_hold_that_a_receipt_was_paid_with_pays_nothing_more(books: Books, clock: StillClock) -> None:
    card = books.card(10_000)
    books.done(hold("h", card, 3_000, seconds=60))
    clock.forward(minutes=5)
    assert books.done(post("sale", use(card, 3_000, earn=0, hold="h"))).flags == ("hold_late",)
    assert told(books, "h").state == "captured"
    assert isinstance(books.one(capture("c", "h")), HoldEnded)
    books.done(void("sale"))
    books.done(capture("c", "h"))
    assert books.balance(card) == 7_000
    books.check_laws()


@pytest.mark.parametrize("is_batch", [True, False])
def test_hold_whose_capture_was_undone_is_captured_once_more_and_not_twice(books: Books, is_batch: bool) -> None:
    card = books.card(10_000)
    books.done(hold("h", card, 3_000))
    books.done(capture("c1", "h"))
    commands = [void("c1"), capture("c2", "h"), capture("c3", "h")]
    outcomes = books.core.execute(commands) if is_batch else [books.one(command) for command in commands]
    assert isinstance(outcomes[1], HoldCaptured)
    assert isinstance(outcomes[2], HoldEnded)
    assert books.balance(card) == 7_000


def test_hold_of_nothing_that_a_fact_was_paid_with_pays_no_more(books: Books) -> None:
    card = books.card(0)
    books.done(hold("h", card))
    books.done(post("sale", use(card, 100, earn=0, hold="h"), fact=True))
    assert told(books, "h").state == "captured"
    assert isinstance(books.one(capture("c", "h", 100, fact=True)), HoldEnded)


def test_owner_of_another_store_is_somebody_else(books: Books) -> None:
    card = books.card(3_000)
    books.done(hold("h", card, 2_000, owner="till-1"))
    books.done(hold("h", card, 1_000, owner="till-1", store=ALMATY))
    assert books.done(capture("c", "h")).card.redeemed == 2_000


def test_hold_ends_with_its_receipt_where_the_card_cannot_be_used_any_more(books: Books) -> None:
    card = books.card(3_000)
    books.done(hold("h", card, 2_000))
    books.done(BlockCard(store=MOSCOW, keys=("b",), card=ref(card), reason="lost"))
    assert books.done(post("sale", use(card, earn=10, hold="h"))).flags == ("card_not_usable",)
    assert told(books, "h").state == "released"


def test_late_capture_asks_for_a_card_that_may_pay_and_open_one_for_none(books: Books, clock: StillClock) -> None:
    card = books.card(3_000)
    books.done(hold("open", card, 1_000, seconds=1_000))
    books.done(hold("late", card, 1_000, seconds=60))
    clock.forward(minutes=5)
    books.done(BlockCard(store=MOSCOW, keys=("b",), card=ref(card), reason="lost"))
    assert isinstance(books.one(capture("c", "late")), CardBlocked)
    assert books.done(capture("o", "open")).card.redeemed == 1_000
    assert books.done(capture("c", "late", fact=True)).card.redeemed == 1_000


# One key for all that an order holds ----------------------------------------------------------------------------


def order(card: str, amount: int | None, **changes: Any) -> PlaceHold:
    return hold("order", card, amount, supersede=True, **changes)


def give_up(books: Books) -> str:
    return books.done(release("order", "order")).outcome


def test_a_superseding_key_names_what_is_held_now(books: Books, clock: StillClock) -> None:
    card, other = books.card(10_000), books.card(500)
    first = books.done(order(card, 4_000))
    assert books.done(order(card, 4_000)) == again(first)
    for step in (order(card, 9_000), order(card, 10_000), order(other, 500)):
        books.done(step)
    assert [books.balances(each)[POINTS].held for each in (card, other)] == [0, 500]
    refused = books.one(order(other, 501))
    assert isinstance(refused, InsufficientPoints)
    assert told(books, "order").amount == 500
    clock.forward(minutes=16)
    books.done(order(card, 1_000))
    books.done(post("sale", use(card, 1_000, 0, hold="order")))
    assert isinstance(books.one(order(card, 2_000)), KeyReused)
    assert books.done(order(card, 1_000)).replayed
    assert books.balances(card)[POINTS].available == 9_000


def test_a_release_under_the_holds_own_key_comes_as_often_as_it_likes_and_leaves_no_trace(books: Books) -> None:
    card = books.card(10_000)
    keys = books.count("request_key")
    assert give_up(books) == "orphan"
    assert books.count("request_key") == keys
    for _ in range(2):
        books.done(order(card, 4_000))
        assert (give_up(books), give_up(books)) == ("released", "nothing")
    assert books.balances(card)[POINTS].available == 10_000


def test_a_hold_for_a_receipt_is_bounded_by_its_lines_and_tells_what_it_pays_of_them(books: Books) -> None:
    card = books.card(90_000)
    lines = (
        Line(number=1, goods="a", sum_minor=60_000, minimum_price_minor=55_000),
        Line(number=2, goods="b", sum_minor=40_000),
    )
    told_receipt = Receipt(number="", till="", business_date=NOON.date(), total_minor=100_000, lines=lines)
    refused = books.one(order(card, 45_001, receipt=told_receipt))
    assert isinstance(refused, LimitExceeded)
    assert refused.details["limit"] == 45_000
    placed = books.done(order(card, 9_000, receipt=told_receipt))
    assert [(line.number, line.points_minor) for line in placed.paid] == [(1, 1_000), (2, 8_000)]


@pytest.mark.parametrize("books", ["sqlite"], indirect=True)
def test_what_points_have_paid_of_an_order_before_counts_in_its_limit(books: Books) -> None:
    card = books.card(90_000)
    told_receipt = Receipt(number="", till="", business_date=NOON.date(), total_minor=100_000)
    for by in ({"receipt": told_receipt}, {"order_minor": 100_000}):
        refused = books.one(order(card, 40_001, paid_minor=60_000, **by))
        assert isinstance(refused, LimitExceeded) and refused.details["limit"] == 40_000
        books.done(order(card, 40_000, paid_minor=60_000, **by))
        assert isinstance(books.one(order(card, 1, paid_minor=100_001, **by)), LimitExceeded)
    assert isinstance(books.one(order(card, 1, paid_minor=-1)), BadAmount)


@pytest.mark.parametrize("books", ["sqlite"], indirect=True)
def test_a_hold_for_an_attempt_that_was_voided_holds_nothing_and_ends_nothing(books: Books) -> None:
    card = books.card(10_000)
    held = {"owner": "order 5", "pays": "pay", "seconds": 900}
    books.done(hold("kept", card, 4_000, owner="order 5"))
    books.done(void("pay", at=5))
    for late in (None, stamp(5)):
        assert isinstance(books.one(hold("late", card, 4_000, stamp=late, **held)), AlreadyVoided)
    assert told(books, "kept").state == "open" and free(books, card) == 6_000
    books.done(hold("late", card, 5_000, stamp=stamp(6), **held))
    assert told(books, "kept").state == "released" and free(books, card) == 5_000
