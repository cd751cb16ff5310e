"""What a request key stands for: every state meets every message, on SQLite and on PostgreSQL.

The states and their words: processing/receipts.py and docs/decisions/0003-receipt-versions.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from processing.commands import (
    ActivateCard,
    IssueCard,
    PlaceHold,
    PostReceipt,
    RegisterHolder,
    RestoreReceipt,
    VoidReceipt,
)
from processing.errors import (
    AlreadyVoided,
    InsufficientPoints,
    KeyReused,
    LoyaltyError,
    Refusal,
)
from processing.results import ReceiptPosted, ReceiptRestored, ReceiptVoided, Result, ToppedUp
from tests.processing.books import (
    ALMATY,
    MONEY,
    MOSCOW,
    POINTS,
    URAL,
    Books,
    StillClock,
    adjust,
    again,
    post,
    ref,
    stamp,
    top_up,
    use,
    void,
)

on_sqlite = pytest.mark.parametrize("books", ["sqlite"], indirect=True)


def restore(key: str, at: int | None = None) -> RestoreReceipt:
    return RestoreReceipt(store=MOSCOW, keys=(key,), stamp=None if at is None else stamp(at))


def returned(key: str, at: int | None = None) -> VoidReceipt:
    return void(key, at, reason="return")


@dataclass
class Till:
    """One receipt of one card with 1000 points: versions pay different parts with points and earn nothing."""

    books: Books
    card: str
    key: str

    def version(self, points: int, at: int | None, supersede: bool = True) -> PostReceipt:
        return post(self.key, use(self.card, redeem=points, earn=0), at=at, supersede=supersede)

    def send(self, *commands: PostReceipt | VoidReceipt | RestoreReceipt) -> Result | LoyaltyError:
        """Each in a transaction of its own; the last outcome."""
        outcome: Result | LoyaltyError | None = None
        for command in commands:
            outcome = self.books.one(command)
            self.books.check_laws()
        assert outcome is not None
        return outcome

    @property
    def balance(self) -> int:
        return self.books.balance(self.card)

    @property
    def operations(self) -> int:
        return self.books.count("operation")


@pytest.fixture
def till(books: Books) -> Till:
    return Till(books, books.card(1_000), "check-1")


def posted(outcome: Result | LoyaltyError) -> ReceiptPosted:
    assert isinstance(outcome, ReceiptPosted), outcome
    return outcome


def voided(outcome: Result | LoyaltyError) -> str:
    assert isinstance(outcome, ReceiptVoided), outcome
    return outcome.outcome


def restored(outcome: Result | LoyaltyError) -> str:
    assert isinstance(outcome, ReceiptRestored), outcome
    return outcome.outcome


# Posted ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 10, 20, None], ids=["older", "equal", "newer", "no stamp"])
@pytest.mark.parametrize("supersede", [True, False])
def test_equal_content_is_replayed_whatever_the_stamp(till: Till, at: int | None, supersede: bool) -> None:
    first = till.send(till.version(300, 10, supersede))
    before = till.books.written()
    assert till.send(till.version(300, at, supersede)) == again(first)
    assert till.books.written() == before
    assert till.balance == 700


@pytest.mark.parametrize("at", [10, 11], ids=["equal", "newer"])
def test_other_content_not_older_reverses_and_replaces_in_one_transaction(till: Till, at: int) -> None:
    first = posted(till.send(till.version(300, 10)))
    second = posted(till.send(till.version(100, at)))
    assert second.operation_id != first.operation_id
    assert "superseded" in second.flags
    assert till.balance == 900
    reversal = till.books.rows("SELECT kind, booked_at FROM operation WHERE reverses_id = :id", id=first.operation_id)
    assert [kind for kind, _ in reversal] == ["superseded"]
    assert till.send(till.version(100, at)) == again(second)


def test_funds_of_a_newer_version_are_judged_after_the_reversal(till: Till) -> None:
    till.send(till.version(900, 10))
    posted(till.send(till.version(1_000, 11)))
    assert till.balance == 0


def test_older_version_is_answered_with_the_current_result_and_moves_nothing(till: Till) -> None:
    current = till.send(till.version(300, 10))
    before = till.books.written()
    assert till.send(till.version(500, 9)) == again(current)
    assert till.books.written() == before


def test_a_repeat_makes_what_lies_between_it_and_the_first_attempt_stale(till: Till) -> None:
    current = till.send(till.version(300, 10), till.version(300, 20))
    assert till.send(till.version(500, 15)) == current
    assert till.balance == 700


def test_without_supersede_other_content_is_refused(till: Till) -> None:
    till.send(till.version(300, 10, supersede=False))
    before = till.books.written()
    for at in (9, 10, 11, None):
        assert isinstance(till.send(till.version(500, at, supersede=False)), KeyReused)
    assert till.books.written() == before


def test_newer_version_may_name_another_card(till: Till) -> None:
    other = till.books.card(500)
    till.send(till.version(300, 10))
    posted(till.send(post(till.key, use(other, redeem=200, earn=0), at=11, supersede=True)))
    assert (till.balance, till.books.balance(other)) == (1_000, 300)


# A newer version that is refused -----------------------------------------------------------------------------


def test_refused_newer_version_still_reverses_the_old_one(till: Till) -> None:
    till.send(till.version(300, 10))
    assert isinstance(till.send(till.version(1_001, 11)), InsufficientPoints)
    assert till.balance == 1_000
    assert till.books.rows("SELECT state FROM request_key WHERE key = :key", key=till.key) == [("none",)]


def test_abandoned_version_is_not_posted_again(till: Till) -> None:
    till.send(till.version(300, 10), till.version(1_001, 11))
    assert isinstance(till.send(till.version(300, 10)), AlreadyVoided)
    assert till.balance == 1_000


@pytest.mark.parametrize("at", [11, 12], ids=["equal", "newer"])
def test_refused_version_may_come_again(till: Till, at: int) -> None:
    till.send(till.version(300, 10), till.version(1_001, 11))
    assert isinstance(till.send(till.version(1_001, at)), InsufficientPoints)
    till.books.done(adjust("gift", till.card, 1))
    posted(till.send(till.version(1_001, at)))
    assert till.balance == 0


def test_refused_version_without_a_stamp_may_come_again(till: Till) -> None:
    till.send(till.version(300, None))
    assert isinstance(till.send(till.version(1_001, None)), InsufficientPoints)
    assert till.balance == 1_000
    till.books.done(adjust("gift", till.card, 1))
    posted(till.send(till.version(1_001, None)))


def test_void_after_a_refused_newer_version_moves_nothing(till: Till) -> None:
    till.send(till.version(300, 10), till.version(1_001, 11))
    assert voided(till.send(void(till.key, 12))) == "nothing"
    assert till.balance == 1_000
    assert isinstance(till.send(till.version(300, 12)), AlreadyVoided)


def test_first_refusal_is_not_remembered(till: Till) -> None:
    before = till.books.count("request_key")
    assert isinstance(till.send(till.version(1_001, 10)), InsufficientPoints)
    assert till.books.count("request_key") == before
    posted(till.send(till.version(300, 5)))


# Voids ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [void, returned], ids=["rollback", "return"])
def test_void_reverses_and_its_repeat_says_the_same(till: Till, make: Callable[..., VoidReceipt]) -> None:
    lots = till.books.lots(till.card)
    till.send(till.version(300, 10))
    first = till.send(make(till.key, 11))
    assert voided(first) == "reversed"
    assert till.books.lots(till.card) == lots
    before = till.books.written()
    for at in (11, 5, 20, None):
        assert till.send(make(till.key, at)) == again(first)
    assert till.books.written() == before


def test_void_without_its_sale_is_an_orphan_that_moves_nothing(till: Till) -> None:
    before = till.books.written()
    first = till.send(void(till.key, 11))
    assert voided(first) == "orphan"
    assert till.send(void(till.key, 11)) == again(first)
    assert till.books.written() == before


@pytest.mark.parametrize("at", [9, 10, None], ids=["older", "equal", "no stamp"])
def test_sale_not_newer_than_its_void_is_refused_whichever_came_first(till: Till, at: int | None) -> None:
    till.send(void(till.key, 10))
    assert isinstance(till.send(till.version(300, at)), AlreadyVoided)
    till.send(till.version(300, 11), void(till.key, 12))
    assert isinstance(till.send(till.version(300, 12 if at is not None else None)), AlreadyVoided)
    assert till.balance == 1_000


def test_paid_again_after_a_void_is_posted(till: Till) -> None:
    first = posted(till.send(till.version(300, 10)))
    second = posted(till.send(void(till.key, 11), till.version(300, 12)))
    assert second.operation_id != first.operation_id
    assert "superseded" not in second.flags
    assert not second.replayed
    assert till.balance == 700


def test_paid_after_a_tombstone_is_posted_once(till: Till) -> None:
    till.send(void(till.key, 10))
    first = till.send(till.version(300, 11))
    assert till.send(till.version(300, 11)) == again(posted(first))
    assert till.balance == 700


def test_void_of_an_earlier_attempt_that_comes_again_does_not_reverse_the_later_one(till: Till) -> None:
    till.send(till.version(300, 10), void(till.key, 11), till.version(300, 12))
    till.send(void(till.key, 11))
    assert till.balance == 700


def test_repeated_sale_does_not_undo_its_void(till: Till) -> None:
    till.send(till.version(300, 10), void(till.key, 20), void(till.key, 30))
    assert isinstance(till.send(till.version(300, 25)), AlreadyVoided)
    assert till.balance == 1_000


def test_void_takes_away_what_its_own_version_moved(till: Till) -> None:
    till.send(till.version(300, 10), till.version(500, 11))
    assert voided(till.send(void(till.key, 12))) == "reversed"
    assert till.balance == 1_000


def test_void_of_earned_points_that_are_spent_becomes_debt_and_the_next_accrual_repays(books: Books) -> None:
    card = books.card()
    books.done(post("a", use(card, earn=500)))
    books.done(post("b", use(card, redeem=400, earn=0)))
    books.done(void("a"))
    assert books.balance(card) == -400
    books.done(post("c", use(card, earn=1_000)))
    books.check_laws()
    assert [(row[2], row[4]) for row in books.lots(card)] == [(600, False)]


# Restores ------------------------------------------------------------------------------------------------------


def test_restore_posts_again_what_a_return_reversed(till: Till) -> None:
    till.send(till.version(300, 10), returned(till.key, 11))
    first = till.send(restore(till.key, 12))
    assert restored(first) == "restored"
    assert till.balance == 700
    before = till.books.written()
    assert till.send(restore(till.key, 12)) == again(first)
    assert till.books.written() == before


def test_restored_receipt_can_be_returned_and_restored_again(till: Till) -> None:
    till.send(till.version(300, 10), returned(till.key, 11), restore(till.key, 12))
    assert voided(till.send(returned(till.key, 13))) == "reversed"
    assert till.balance == 1_000
    assert restored(till.send(restore(till.key, 14))) == "restored"
    assert till.balance == 700


def test_restored_receipt_replays_its_sale(till: Till) -> None:
    sale = till.version(300, 10)
    till.send(sale, returned(till.key, 11), restore(till.key, 12))
    before = till.books.written()
    repeated = posted(till.send(sale))
    assert repeated.replayed
    assert [(moved.redeemed, moved.balance) for moved in repeated.cards] == [(300, 700)]
    assert till.books.written() == before


def test_restore_when_the_points_are_gone_becomes_debt(till: Till) -> None:
    till.send(till.version(300, 10), returned(till.key, 11))
    till.books.done(adjust("spent", till.card, -900))
    assert restored(till.send(restore(till.key, 12))) == "restored"
    assert till.balance == -200
    (flags,) = till.books.rows("SELECT flags FROM operation WHERE kind = 'restore'")[0]
    assert "debt" in flags


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ([], "orphan"),
        ([("post", 10)], "nothing"),
        ([("post", 10), ("rollback", 11)], "nothing"),
        ([("rollback", 10)], "nothing"),
        ([("return", 10)], "nothing"),
    ],
    ids=["unknown", "posted", "rolled back", "tombstone", "tombstone of a return"],
)
def test_restore_of_anything_but_a_return_moves_nothing(
    till: Till, before: list[tuple[str, int]], expected: str
) -> None:
    for what, at in before:
        till.send(till.version(300, at) if what == "post" else void(till.key, at, reason=what))
    rows = till.books.written()
    balance = till.balance
    assert restored(till.send(restore(till.key, 20))) == expected
    assert (till.books.written(), till.balance) == (rows, balance)


# Several keys --------------------------------------------------------------------------------------------------


def two_keys(till: Till, *keys: str, at: int = 10, points: int = 300) -> PostReceipt:
    return post(keys, use(till.card, redeem=points, earn=0), at=at, supersede=True)


def test_any_key_of_a_receipt_finds_it(till: Till) -> None:
    first = till.send(two_keys(till, "guid", "fiscal", "shift+number"))
    for key in ("guid", "fiscal", "shift+number"):
        assert till.send(two_keys(till, key, at=20)) == again(first)
    assert voided(till.send(void("fiscal"))) == "reversed"
    assert isinstance(till.send(two_keys(till, "guid")), AlreadyVoided)


def test_key_learned_later_attaches_to_the_receipt(till: Till) -> None:
    first = till.send(two_keys(till, "guid"), two_keys(till, "guid", "fiscal"))
    before = till.books.written()
    assert till.send(two_keys(till, "fiscal")) == first
    assert till.books.written() == before


@pytest.mark.parametrize("learned_at", [5, 10, 15], ids=["stale", "equal", "newer"])
def test_key_learned_from_any_version_attaches_to_the_receipt(till: Till, learned_at: int) -> None:
    till.send(two_keys(till, "guid", at=10), two_keys(till, "guid", "fiscal", at=learned_at, points=200))
    balance, before = till.balance, till.books.written()
    posted(till.send(two_keys(till, "fiscal", at=learned_at, points=200)))
    assert (till.balance, till.books.written()) == (balance, before)


def test_key_learned_from_a_void_attaches_to_the_receipt(till: Till) -> None:
    till.send(two_keys(till, "guid"), void(("guid", "fiscal"), 11))
    assert isinstance(till.send(two_keys(till, "fiscal", at=11)), AlreadyVoided)


@pytest.mark.parametrize("before", ["posted", "restored", "void", "paid again"])
def test_key_learned_from_a_message_that_moves_nothing_attaches_to_the_receipt(till: Till, before: str) -> None:
    sale = two_keys(till, "guid")
    idle = {
        "posted": [sale, RestoreReceipt(store=MOSCOW, keys=("guid", "fiscal"))],
        "restored": [
            sale,
            returned("guid", 11),
            restore("guid"),
            RestoreReceipt(store=MOSCOW, keys=("guid", "fiscal")),
        ],
        "void": [sale, void("guid", 11), RestoreReceipt(store=MOSCOW, keys=("guid", "fiscal"))],
        "paid again": [sale, void("guid", 11), two_keys(till, "guid", at=12), void(("guid", "fiscal"), 11)],
    }[before]
    till.send(*idle)
    balance, rows = till.balance, till.books.written()
    till.send(two_keys(till, "fiscal", at=9, points=1))
    assert (till.balance, till.books.written()) == (balance, rows), "the receipt was posted under its other name"


def test_keys_of_two_receipts_in_one_command_post_nothing_more(till: Till) -> None:
    one, other = till.send(two_keys(till, "guid")), till.send(two_keys(till, "fiscal"))
    before = till.books.written()
    assert till.send(two_keys(till, "guid", "fiscal")) == again(one)
    assert till.send(two_keys(till, "fiscal", "guid")) == again(other)
    assert till.books.written() == before


def test_receipt_known_under_one_key_and_void_under_another_is_never_posted_twice(till: Till) -> None:
    till.send(two_keys(till, "fiscal"), void("guid", 5))
    assert till.balance == 700
    till.send(two_keys(till, "guid", "fiscal"))
    assert till.balance == 700


def test_receipt_posted_under_its_second_key_is_never_posted_again_over_the_first(till: Till) -> None:
    till.send(two_keys(till, "guid", points=100), two_keys(till, "fiscal"))
    assert till.balance == 600
    till.send(two_keys(till, "guid", "fiscal", at=11))
    assert till.balance in (600, 700), "what the second key stands for was posted under the first key as well"


def test_new_receipt_whose_keys_conflict_is_flagged(till: Till) -> None:
    till.send(two_keys(till, "guid"), two_keys(till, "fiscal", points=200))
    outcome = posted(till.send(two_keys(till, "guid", "fiscal", at=11, points=100)))
    assert "keys_conflict" in outcome.flags


def test_keys_are_scoped_by_the_store(till: Till) -> None:
    for store in (MOSCOW, URAL, ALMATY):
        posted(till.send(post("same", use(till.card, redeem=100, earn=0), store=store)))
    assert till.balance == 700
    till.send(void("same", store=URAL))
    assert till.balance == 800
    assert till.books.rows("SELECT count(*) FROM request_key WHERE key = 'same'") == [(3,)]


# Keys of other commands ------------------------------------------------------------------------------------------


def test_key_of_another_command_is_not_a_receipt(till: Till) -> None:
    till.books.done(top_up("mine", till.card, 5_000))
    before = till.books.written()
    assert isinstance(till.send(post("mine", use(till.card), supersede=True, at=9)), KeyReused)
    assert isinstance(till.send(post("mine", use(till.card))), KeyReused)
    assert till.books.written() == before


def test_key_of_a_receipt_is_not_another_command(till: Till) -> None:
    till.send(till.version(300, 10))
    before = till.books.written()
    assert isinstance(till.books.one(top_up(till.key, till.card, 5_000)), KeyReused)
    till.send(void(till.key, 11))
    assert isinstance(till.books.one(top_up(till.key, till.card, 5_000)), Refusal)
    assert till.books.written()[0] == before[0] + 1


def test_void_reverses_a_top_up_and_it_stays_void(till: Till) -> None:
    money = top_up("mine", till.card, 5_000)
    assert isinstance(till.books.done(money), ToppedUp)
    assert voided(till.send(void("mine"))) == "reversed"
    assert till.books.balance(till.card, MONEY) == 0
    assert isinstance(till.books.one(money), AlreadyVoided)
    assert till.books.balance(till.card, MONEY) == 0


@pytest.mark.parametrize("what", ["issue", "activate", "register"])
def test_void_under_a_key_that_moved_nothing_spoils_no_batch(till: Till, what: str) -> None:
    card = till.books.card(active=False)
    command = {
        "issue": IssueCard(store=MOSCOW, keys=("mine",), product="plain"),
        "activate": ActivateCard(store=MOSCOW, keys=("mine",), card=ref(card)),
        "register": RegisterHolder(store=MOSCOW, keys=("mine",), card=ref(card), name="Anna"),
    }[what]
    till.books.done(command)
    odd, sound = till.books.core.execute([void("mine"), till.version(300, 10)])
    assert isinstance(odd, ReceiptVoided | Refusal)
    posted(sound)
    assert till.books.done(command) == till.books.done(command)


# Time of the books ----------------------------------------------------------------------------------------------


def test_stored_answer_is_replayed_with_its_first_time_and_balance(till: Till) -> None:
    clock = till.books.clock
    assert isinstance(clock, StillClock)
    first = posted(till.send(till.version(300, 10)))
    till.books.done(adjust("later", till.card, 10_000))
    clock.forward(days=40)
    assert till.send(till.version(300, 11)) == again(first)
    assert first.at == clock.at - timedelta(days=40)
    assert first.cards[0].balance == 700
    assert first.cards[0].unit == POINTS


@on_sqlite
def test_a_void_that_is_a_version_does_not_undo_a_newer_one(books: Books) -> None:
    card = books.card(points=1_000_00)
    early, late = (
        post("r", use(card, 100_00), stamp=stamp(1)),
        post("r", use(card, 300_00), stamp=stamp(3), supersede=True),
    )
    books.done(early)
    books.done(late)
    before = books.entries()
    assert books.done(void("r", 2, supersede=True)).outcome == "nothing"
    assert books.entries() == before
    assert books.done(void("r", 4, supersede=True)).outcome == "reversed"
    assert books.balance(card) == 1_000_00
    assert isinstance(books.one(late), AlreadyVoided)


@on_sqlite
def test_a_stale_void_under_the_key_of_a_hold_is_refused_like_any_other(books: Books) -> None:
    """A key that stands for nothing that was booked is the wrong key, whatever the till's clock says."""
    hold = PlaceHold(store=MOSCOW, keys=("h",), card=ref(books.card(points=1_00)), unit=POINTS, amount=1_00)
    books.done(hold)
    assert isinstance(books.one(void("h", 1, supersede=True)), KeyReused)
    assert isinstance(books.one(void("h")), KeyReused)
