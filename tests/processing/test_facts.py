"""Facts are recorded whatever the rules say; requests meet cards that may not be used; balances at any instant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from processing.commands import Amount, CardUse, Identify, PlaceHold, ReadBalances, Ref
from processing.directory import REDEEMED, SUSPENSE
from processing.errors import (
    CardBlocked,
    CardClosed,
    CardExpired,
    CardNotActive,
    CardNotFound,
    InsufficientPoints,
    LimitExceeded,
    Refusal,
    UnitNotFound,
)
from processing.results import Identified, ReceiptPosted
from tests.processing.books import (
    ALMATY,
    MILES,
    MONEY,
    MOSCOW,
    NOON,
    POINTS,
    SLOW,
    STAMPS,
    YEARLY,
    Books,
    StillClock,
    adjust,
    post,
    receipt,
    ref,
    top_up,
    use,
    void,
)


def system_balance(books: Books, kind: str, unit: str = POINTS) -> int:
    (row,) = books.rows(
        "SELECT CAST(coalesce(sum(e.amount), 0) AS BIGINT) FROM entry e JOIN account a ON a.id = e.account_id "
        "WHERE a.kind = :kind AND a.unit = :unit",
        kind=kind,
        unit=unit,
    )
    return int(row[0])


def clock(books: Books) -> StillClock:
    assert isinstance(books.clock, StillClock)
    return books.clock


# Facts ---------------------------------------------------------------------------------------------------------


def test_fact_with_an_unknown_card_goes_to_suspense(books: Books) -> None:
    outcome = books.done(post("a", use("404", redeem=300, earn=50), fact=True))
    assert outcome.flags == ("suspense",)
    assert outcome.cards == ()
    assert system_balance(books, SUSPENSE) == 50 - 300
    assert system_balance(books, REDEEMED) == 300
    books.check_laws()
    books.done(void("a"))
    assert system_balance(books, SUSPENSE) == 0


def test_request_with_an_unknown_card_is_refused(books: Books) -> None:
    before = books.written()
    assert isinstance(books.one(post("a", use("404", earn=50))), CardNotFound)
    assert books.written() == before


def test_shortage_of_a_fact_becomes_debt_that_the_next_accrual_repays(books: Books) -> None:
    card = books.card(100)
    outcome = books.done(post("a", use(card, redeem=300, earn=0), fact=True))
    assert "debt" in outcome.flags
    assert books.balance(card) == -200
    assert isinstance(books.one(post("b", use(card, redeem=1, earn=0))), InsufficientPoints)
    books.done(post("c", use(card, earn=150)))
    assert [(lot[2], lot[4]) for lot in books.lots(card)] == [(-50, True)]
    books.done(post("d", use(card, earn=150)))
    assert [(lot[2], lot[4]) for lot in books.lots(card)] == [(100, False)]
    books.check_laws()


def test_debt_is_repaid_by_a_top_up_of_its_unit_only(books: Books) -> None:
    card = books.card()
    books.done(post("a", use(card, redeem=300, unit=MONEY, earn=0), fact=True))
    books.done(adjust("b", card, 1_000))
    assert (books.balance(card, MONEY), books.balance(card)) == (-300, 1_000)
    books.done(top_up("c", card, 500))
    assert (books.balance(card, MONEY), books.balances(card)[MONEY].available) == (200, 200)


def test_debt_belongs_to_the_partner_of_the_store(books: Books) -> None:
    card = books.card()
    books.done(post("a", use(card, redeem=10, earn=0), fact=True))
    books.done(post("b", use(card, redeem=20, earn=0), fact=True, store=ALMATY))
    books.done(post("c", use(card, redeem=30, earn=0), fact=True, store=ALMATY))
    partners = dict(books.rows("SELECT code, id FROM partner"))
    assert sorted((lot[5], lot[2]) for lot in books.lots(card)) == [(partners["alpha"], -10), (partners["beta"], -50)]


def test_fact_happened_when_its_receipt_was_closed_and_is_booked_now(books: Books) -> None:
    closed = NOON - timedelta(days=3)
    card = books.card(100)
    sale = post("a", use(card, redeem=40, earn=0), fact=True, receipt=receipt(closed_at=closed))
    at = books.done(sale).operation_id
    (row,) = books.rows("SELECT count(*) FROM operation WHERE id = :id AND effective_at < booked_at", id=at)
    assert row == (1,)
    assert books.balances(card, closed - timedelta(seconds=1))[POINTS].balance == 0
    assert books.balances(card, closed)[POINTS].balance == -40
    assert books.balances(card)[POINTS].balance == 60


def test_request_happens_now_whatever_its_receipt_says(books: Books) -> None:
    card = books.card()
    books.done(post("a", use(card, earn=40), receipt=receipt(closed_at=NOON - timedelta(days=3))))
    assert books.balances(card, NOON - timedelta(seconds=1))[POINTS].balance == 0


def test_fact_from_the_future_happens_now(books: Books) -> None:
    card = books.card()
    books.done(post("a", use(card, earn=40), fact=True, receipt=receipt(closed_at=NOON + timedelta(days=3))))
    assert books.balance(card) == 40
    assert books.rows("SELECT count(*) FROM entry WHERE effective_at <> booked_at") == [(0,)]


def test_fact_above_the_programmes_limit_is_posted_and_flagged(books: Books) -> None:
    card = books.card(1_000, product=SLOW)
    sale = post("a", use(card, redeem=501, earn=0), total=1_000)
    assert isinstance(books.one(sale), LimitExceeded)
    outcome = books.done(msgspec.structs.replace(sale, fact=True))
    assert outcome.flags == ("over_limit",)
    assert books.balance(card) == 499


# Limits of a receipt as a whole ------------------------------------------------------------------------------------


@pytest.mark.parametrize("same_wallet", [True, False], ids=["one wallet", "two wallets"])
def test_limit_counts_what_all_cards_of_the_receipt_pay(books: Books, same_wallet: bool) -> None:
    one = books.card(1_000, product=SLOW)
    other = books.card(1_000, product=SLOW, wallet_of=ref(one) if same_wallet else None)
    both = [use(one, redeem=400, earn=0), use(other, redeem=400, earn=0)]
    assert isinstance(books.one(post("a", *both, total=1_000)), LimitExceeded)
    books.done(post("b", *both, total=1_600))


def test_limit_is_the_programmes_unit_only(books: Books) -> None:
    card = books.card(product=SLOW)
    books.done(top_up("a", card, 5_000))
    books.done(post("b", use(card, redeem=1_000, unit=MONEY, earn=0), total=1_000))
    assert books.balance(card, MONEY) == 4_000


# Cards that may not be used ------------------------------------------------------------------------------------------

UNUSABLE = pytest.mark.parametrize(
    ("status", "refusal"),
    [
        ("issued", CardNotActive),
        ("blocked", CardBlocked),
        ("expired", CardExpired),
        ("replaced", CardClosed),
        ("closed", CardClosed),
    ],
)


@UNUSABLE
def test_unusable_card_pays_nothing(books: Books, status: str, refusal: type[Refusal]) -> None:
    card = books.card(1_000)
    books.set_status(card, status)
    before = books.written()
    assert type(books.one(post("a", use(card, redeem=100, earn=0)))) is refusal
    assert books.written() == before
    assert books.rows("SELECT count(*) FROM request_key WHERE key = 'a'") == [(0,)]


@UNUSABLE
@pytest.mark.parametrize("earn", [None, 50], ids=["by the programme", "by the till"])
def test_receipt_that_only_accrues_is_posted_without_accrual(
    books: Books, status: str, refusal: type[Refusal], earn: int | None
) -> None:
    card = books.card(1_000)
    books.set_status(card, status)
    outcome = books.done(post("a", use(card, earn=earn)))
    assert outcome.flags == ("card_not_usable",)
    assert [(moved.earned, moved.balance) for moved in outcome.cards] == [(0, 1_000)]
    assert books.balance(card) == 1_000
    assert books.count("receipt") == 1


@UNUSABLE
def test_receipt_that_moved_nothing_on_its_card_can_be_voided_and_restored(
    books: Books, status: str, refusal: type[Refusal]
) -> None:
    card = books.card(1_000)
    books.set_status(card, status)
    books.done(post("a", use(card)))
    assert books.done(void("a", reason="return")).outcome == "reversed"
    books.check_laws()


def test_receipt_whose_card_neither_paid_nor_earned_can_be_voided(books: Books) -> None:
    card = books.card(1_000)
    books.done(post("a", use(card), total=1))
    assert books.done(void("a")).outcome == "reversed"
    assert books.balance(card) == 1_000


def test_receipt_whose_card_neither_paid_nor_earned_can_be_superseded(books: Books) -> None:
    card, other = books.card(1_000), books.card(1_000)
    books.done(post("a", use(card), total=1, at=1))
    outcome = books.done(post("a", use(other, redeem=10, earn=0), at=2, supersede=True))
    assert "superseded" in outcome.flags


@UNUSABLE
def test_fact_with_an_unusable_card_goes_to_suspense(books: Books, status: str, refusal: type[Refusal]) -> None:
    card = books.card(1_000)
    books.set_status(card, status)
    outcome = books.done(post("a", use(card, redeem=100, earn=30), fact=True))
    assert outcome.flags == ("card_not_usable", "suspense")
    assert books.balance(card) == 1_000
    assert system_balance(books, SUSPENSE) == 30 - 100


def test_card_ends_with_its_last_day_in_the_store(books: Books) -> None:
    card = books.card(1_000, product=YEARLY)
    clock(books).at = datetime(2026, 6, 3, 20, 59, 59, tzinfo=UTC)
    books.done(post("a", use(card, redeem=1, earn=0)))
    clock(books).at = datetime(2026, 6, 3, 21, 0, tzinfo=UTC)
    assert isinstance(books.one(post("b", use(card, redeem=1, earn=0))), CardExpired)
    assert isinstance(books.one(top_up("c", card, 1)), CardExpired)


@pytest.mark.parametrize("status", ["issued", "blocked", "expired", "closed"])
def test_identify_tells_the_refusal_that_the_card_would_meet(books: Books, status: str) -> None:
    card = books.card(1_000)
    books.set_status(card, status)
    (face,) = books.core.answer([Identify(store="alpha-1", refs=(ref(card),))])
    refusal = books.one(post("a", use(card, redeem=1, earn=0)))
    assert isinstance(face, Identified)
    assert isinstance(refusal, Refusal)
    assert (face.status, face.usable) == (status, refusal.code)


# Several cards --------------------------------------------------------------------------------------------------------


def test_two_cards_of_one_receipt_move_each_its_own(books: Books) -> None:
    one, other = books.card(500), books.card(500)
    outcome = books.done(post("a", use(one, redeem=100, earn=10), use(other, redeem=200, earn=20)))
    assert [(m.card, m.redeemed, m.earned, m.balance) for m in outcome.cards] == [
        (one, 100, 10, 410),
        (other, 200, 20, 320),
    ]
    books.check_laws()


def test_one_refused_card_refuses_the_whole_receipt(books: Books) -> None:
    one, other = books.card(500), books.card(100)
    before = books.written()
    assert isinstance(books.one(post("a", use(one, redeem=100), use(other, redeem=200))), InsufficientPoints)
    assert books.written() == before


@pytest.mark.parametrize("again", [False, True], ids=["two cards", "one card twice"])
def test_two_cards_of_one_wallet_do_not_pay_with_the_same_points(books: Books, again: bool) -> None:
    one = books.card(500)
    other = one if again else books.card(wallet_of=ref(one))
    assert isinstance(
        books.one(post("a", use(one, redeem=300, earn=0), use(other, redeem=300, earn=0))), InsufficientPoints
    )
    outcome = books.done(post("b", use(one, redeem=300, earn=0), use(other, redeem=200, earn=0)))
    assert [moved.balance for moved in outcome.cards] == [0, 0]
    books.check_laws()


def test_two_cards_of_one_wallet_do_not_repay_the_same_debt_twice(books: Books) -> None:
    one = books.card(product=SLOW)
    other = books.card(product=SLOW, wallet_of=ref(one))
    books.done(adjust("debt", one, -50, allow_debt=True))
    books.done(post("a", use(one, earn=40), use(other, earn=40)))
    assert books.balance(one) == 30
    assert all(lot[2] <= 0 for lot in books.lots(one) if lot[4]), "debt was repaid above what was owed"
    assert books.balances(one)[POINTS].available == 0, "pending points were made available by way of the debt"


# Balances at any instant ----------------------------------------------------------------------------------------------


def test_pending_points_become_available_and_expire_by_themselves(books: Books) -> None:
    card = books.card(product=SLOW)
    books.done(post("a", use(card, earn=700)))
    # Noon in Moscow on 4 May: available from 11 May 00:00, gone after 10 June, 30 days later.
    first = datetime(2026, 5, 10, 21, 0, tzinfo=UTC)
    last = datetime(2026, 6, 10, 21, 0, tzinfo=UTC)
    instant = timedelta(microseconds=1)
    expected = {
        NOON - instant: (0, 0, 0),
        NOON: (700, 0, 700),
        first - instant: (700, 0, 700),
        first: (700, 700, 0),
        last - instant: (700, 700, 0),
        last: (700, 0, 0),
    }
    for as_of, (balance, available, pending) in expected.items():
        found = books.balances(card, as_of)[POINTS]
        assert (found.balance, found.available, found.pending) == (balance, available, pending), as_of
    for as_of, (_, available, pending) in list(expected.items())[1:]:
        clock(books).at = as_of
        found = books.balances(card)[POINTS]
        assert (found.available, found.pending) == (available, pending), as_of


@pytest.mark.parametrize(
    ("days", "outcome"),
    [
        (0, InsufficientPoints),
        (6, InsufficientPoints),
        (7, ReceiptPosted),
        (37, ReceiptPosted),
        (38, InsufficientPoints),
    ],
)
def test_points_are_spent_only_between_their_first_and_last_day(books: Books, days: int, outcome: type[Any]) -> None:
    card = books.card(product=SLOW)
    books.done(post("a", use(card, earn=700)))
    clock(books).forward(days=days)
    assert isinstance(books.one(post("b", use(card, redeem=1, earn=0))), outcome)


def test_past_balance_is_what_it_was_whatever_came_later(books: Books) -> None:
    card = books.card(1_000)
    seen = {}
    steps: list[Callable[[], Any]] = [
        lambda: books.done(post("a", use(card, redeem=300, earn=50))),
        lambda: books.done(post("b", use(card, redeem=2_000, earn=0), fact=True)),
        lambda: books.done(void("a")),
        lambda: books.done(top_up("c", card, 500)),
        lambda: books.done(post("d", use(card, earn=3_000))),
    ]
    for step in steps:
        step()
        seen[clock(books).at] = books.balances(card)
        clock(books).forward(hours=5)
    for at, balances in seen.items():
        assert books.balances(card, at) == balances, at


def test_wallet_without_entries_has_a_balance_of_nothing_in_every_unit(books: Books) -> None:
    balances = books.balances(books.card())
    assert {unit: (b.balance, b.available, b.pending, b.scale) for unit, b in balances.items()} == {
        MONEY: (0, 0, 0, 2),
        POINTS: (0, 0, 0, 2),
        STAMPS: (0, 0, 0, 0),
        MILES: (0, 0, 0, 2),
    }


def test_identify_and_balances_agree(books: Books) -> None:
    card = books.card(1_000, product=SLOW)
    books.done(post("a", use(card, earn=700)))
    books.done(top_up("b", card, 5_000))
    (face,) = books.core.answer([Identify(store="alpha-1", refs=(ref(card),), order_minor=1_000)])
    assert isinstance(face, Identified)
    assert {balance.unit: balance for balance in face.balances} == books.balances(card)
    assert dict(face.payable)[POINTS] == 500


def test_balance_of_an_unknown_card_is_not_found_and_spoils_no_other_question(books: Books) -> None:
    card = books.card(7)
    lost, found = books.core.answer([ReadBalances(refs=(Ref("card", "404"),)), ReadBalances(refs=(ref(card),))])
    assert isinstance(lost, CardNotFound)
    assert not isinstance(found, CardNotFound)


def test_unknown_unit_is_refused(books: Books) -> None:
    card = books.card()
    assert isinstance(books.one(post("a", use(card, earn=1, unit="CROWNS"))), UnitNotFound)
    assert isinstance(books.one(post("b", use(card, redeem=1, unit="CROWNS"), fact=True)), UnitNotFound)
    assert isinstance(books.one(top_up("c", card, 1, "CROWNS")), UnitNotFound)


@pytest.mark.parametrize("amount", [-1, 10**15 + 1])
def test_amount_that_makes_no_sense_is_refused_even_in_a_fact(books: Books, amount: int) -> None:
    card = books.card(100)
    before = books.written()
    for odd in (
        post("a", use(card, earn=amount), fact=True),
        post("b", CardUse(refs=(ref(card),), redeem=(Amount(POINTS, amount),)), fact=True),
        top_up("c", card, amount),
    ):
        outcome = books.one(odd)
        assert isinstance(outcome, Refusal)
        assert outcome.code == "bad_amount"
    assert books.written() == before


@pytest.mark.parametrize("closed_at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_fact_of_a_clock_that_shows_nothing_happened_now(books: Books, closed_at: datetime) -> None:
    card = books.card(100)
    books.done(post("a", use(card, 10, earn=5), receipt=receipt(closed_at=closed_at), fact=True))
    assert books.balance(card) == 95
    assert books.rows("SELECT count(*) FROM operation WHERE effective_at <> booked_at")[0][0] == 0


def test_money_that_a_late_fact_loaded_was_there_when_it_was_loaded(books: Books, clock: StillClock) -> None:
    card = books.card()
    loaded = CardUse(refs=(ref(card),), top_up=(Amount(MONEY, 2_000),))
    then = clock.at - timedelta(days=11)
    books.done(post("late", loaded, receipt=receipt(2_000, closed_at=then), fact=True))
    assert books.balances(card, clock.at - timedelta(days=5))[MONEY].available == 2_000
    assert books.balances(card, then - timedelta(days=1))[MONEY].available == 0


def test_account_owes_a_partner_one_debt_also_when_a_repayment_is_undone(books: Books) -> None:
    """What had repaid a debt makes it again, and what is short beside that goes to the same one."""
    card = books.card()
    books.done(adjust("owe", card, -1, allow_debt=True))
    books.done(adjust("repay", card, 2_000))
    books.done(PlaceHold(store=MOSCOW, keys=("hold",), card=ref(card), unit=POINTS, amount=999))
    books.done(void("repay"))
    assert sorted(lot[1] for lot in books.lots(card, with_ids=False)) == [-1_000, 999]
    books.done(adjust("more", card, -999, allow_debt=True))
    books.done(adjust("less", card, 333))
    books.done(void("more"))
    assert sorted(lot[1] for lot in books.lots(card, with_ids=False)) == [-667, 999]
    books.check_laws()
