"""Two wallets that became one: what comes late and what is owed finds its place in the one that is left.

Found by traffic of many at once (test_concurrent_traffic.py).
"""

from __future__ import annotations

import pytest

from processing.chores import expire_lots
from processing.commands import MergeHolders, PlaceHold, ReadLots, ReleaseHold, ReturnReceipt
from processing.errors import HoldEnded
from processing.execute import Core
from processing.results import Lots, ReceiptPosted
from tests.processing.books import (
    ALMATY,
    GRACED,
    MILES,
    MOSCOW,
    PLAIN,
    POINTS,
    Books,
    StillClock,
    adjust,
    post,
    receipt,
    ref,
    use,
)


def merge(books: Books, source: str, target: str) -> None:
    books.done(MergeHolders(store=MOSCOW, keys=(books.key("merge"),), source=ref(source), target=ref(target)))


@pytest.mark.parametrize("has_worker", [True, False])
def test_late_fact_is_paid_from_points_that_expired_before_the_merge(
    books: Books, clock: StillClock, has_worker: bool
) -> None:
    """Whether a worker had written their end down makes no difference."""
    source, target = books.card(), books.card()
    books.done(adjust("short", source, 300, expires_days=2))
    sold_at = clock.at
    clock.forward(days=5)
    if has_worker:
        assert expire_lots(books.core)
    merge(books, source, target)
    late = post("late", use(target, redeem=50, earn=0), receipt=receipt(closed_at=sold_at), fact=True)
    assert books.done(late).flags == ()
    assert books.balances(target)[POINTS].available == 0
    expire_lots(books.core)
    assert books.balance(target) == 0
    books.check_laws()


def test_late_hold_of_a_merged_wallet_is_used_once(books: Books, clock: StillClock) -> None:
    source, target = books.card(100), books.card(100)
    books.done(PlaceHold(store=MOSCOW, keys=("hold",), card=ref(source), unit=POINTS, amount=60, seconds=60))
    clock.forward(minutes=2)
    merge(books, source, target)
    late = books.one(post("first", use(source, redeem=60, earn=0, hold="hold")))
    assert isinstance(late, ReceiptPosted)
    assert late.flags == ("hold_late",)
    assert isinstance(books.one(post("second", use(source, redeem=60, earn=0, hold="hold"))), HoldEnded)
    assert books.balance(target) == 140


@pytest.mark.parametrize("days", [(2, 20), (20, 2)])
def test_merge_repays_debts_from_what_expires_soonest_whoever_had_it(books: Books, days: tuple[int, int]) -> None:
    source, target = books.card(), books.card()
    for card, lives in zip((source, target), days, strict=True):
        books.done(adjust(books.key(), card, 100, expires_days=lives))
    books.done(PlaceHold(store=MOSCOW, keys=("all",), card=ref(source), unit=POINTS, amount=100))
    books.done(adjust("debt", source, -30, allow_debt=True))
    books.done(ReleaseHold(store=MOSCOW, keys=("free",), hold="all"))
    merge(books, source, target)
    (told,) = books.core.answer([ReadLots(refs=(ref(target),))])
    assert isinstance(told, Lots)
    assert [lot.remaining for lot in told.lots] == [70, 100]


def test_points_of_a_return_without_a_sale_live_as_the_card_says_that_names_them(books: Books) -> None:
    """Whichever cards of the wallet stand before it."""
    other, own = books.card(product=PLAIN), books.card(product=GRACED)
    merge(books, own, other)
    back = ReturnReceipt(
        store=MOSCOW,
        keys=("back",),
        receipt=receipt(),
        cards=(use(other, earn=0), use(own, redeem=50, earn=0, unit=MILES)),
    )
    assert [moved.card for moved in books.done(back).cards if moved.redeemed] == [own]
    (told,) = books.core.answer([ReadLots(refs=(ref(own),))])
    assert isinstance(told, Lots)
    assert [(lot.remaining, lot.expires_at is None) for lot in told.lots] == [(50, False)]


def test_oldest_debt_of_the_source_is_repaid_first_by_what_the_target_has(books: Books) -> None:
    source, target = books.card(), books.card(10)
    for store, amount in ((ALMATY, 30), (MOSCOW, 20)):
        books.done(adjust(books.key(), source, -amount, allow_debt=True, store=store))
    merge(books, source, target)
    (told,) = books.core.answer([ReadLots(refs=(ref(target),))])
    assert isinstance(told, Lots)
    assert {lot.issuer: lot.remaining for lot in told.lots} == {"alpha": -20, "beta": -20}


def test_lots_are_moved_in_one_order_wherever_their_rows_lie(postgresql: Books) -> None:
    """Two processes open lots by turns, each with ids from a block of its own."""
    source, target = postgresql.card(), postgresql.card()
    work = postgresql.core.work
    cores = postgresql.core, Core(work.database, work.directory, work.vault)
    for core, days in zip((*cores, *cores), (200, 2, 20, 100), strict=True):
        core.execute([adjust(postgresql.key(), source, 100, expires_days=days)])
    merge(postgresql, source, target)
    moved = postgresql.rows(
        "SELECT e.lot_id FROM entry e JOIN operation o ON o.id = e.operation_id WHERE o.kind = 'merge' AND e.amount < 0"
        " ORDER BY e.n"
    )
    assert len(moved) == 4
    assert moved == sorted(moved)
