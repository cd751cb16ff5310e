"""Operations, receipts and holds by their own names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from processing.chores import end_holds
from processing.commands import (
    CaptureHold,
    Exchange,
    Line,
    PlaceHold,
    ReadHold,
    ReadOperation,
    ReadReceipt,
    Ref,
    ReleaseHold,
    RestoreReceipt,
    ReturnLine,
    ReturnReceipt,
)
from processing.errors import ForeignStore, HoldNotFound, OperationNotFound, ReceiptNotFound
from processing.results import HoldPlaced, HoldTold, ReceiptTold
from tests.processing.books import (
    ALMATY,
    MOSCOW,
    NOON,
    POINTS,
    Books,
    adjust,
    post,
    receipt,
    stamp,
    top_up,
    use,
    void,
)
from tests.processing.reads import clock_of, merge, operation, outcome, told, wallet_of

LINES = (
    Line(number=1, goods="soup", sum_minor=30_000, price_minor=30_000),
    Line(number=2, goods="pie", sum_minor=70_000),
)


# Operations -----------------------------------------------------------------------------------------------------


def test_an_operation_is_told_with_both_sides_of_its_entries(books: Books) -> None:
    card = books.card(500)
    sale = books.done(post("sale", use(card, redeem=100), actor="anna", notes=("odd", "even")))
    found = told(books, ReadOperation(operation_id=sale.operation_id))
    assert (found.kind, found.store, found.actor, found.flags) == ("receipt", MOSCOW, "anna", ("odd", "even"))
    assert (found.effective_at, found.booked_at) == (NOON, NOON)
    assert found.programme == "plain"
    assert found.programme_version > 0
    assert (found.reverses_id, found.reversed_by) == (0, 0)
    told_entries = {(e.account, e.partner, e.kind, e.amount, e.lot_id is None) for e in found.entries}
    earned = 5 * (100_000 - 100) // 100
    wallet = wallet_of(books, card)
    assert told_entries == {
        (0, "alpha", "redeemed", 100, True),
        (wallet, "", "wallet", -100, False),
        (0, "alpha", "issued", -earned, True),
        (wallet, "", "wallet", earned, False),
    }
    assert {(e.unit, e.scale) for e in found.entries} == {(POINTS, 2)}
    assert [rule["rule"] for rule in found.explanation[0]["rules"]] == ["cashback"]
    assert found.explanation[0]["earned"] == earned


def test_an_operation_and_its_reversal_name_each_other(books: Books) -> None:
    card = books.card(500)
    sale = books.done(post("sale", use(card, earn=7)))
    undone = books.done(void("sale"))
    first = told(books, ReadOperation(operation_id=sale.operation_id))
    second = told(books, ReadOperation(operation_id=undone.operation_id))
    assert (first.reversed_by, second.reverses_id) == (undone.operation_id, sale.operation_id)
    assert (second.kind, second.programme, second.explanation) == ("void", "", None)


def test_what_no_store_did_is_told_without_one(books: Books) -> None:
    done = operation(books, [], store_id=0, kind="expiry")
    assert told(books, ReadOperation(operation_id=done)).store == ""


def test_an_operation_tells_its_receipt(books: Books) -> None:
    card = books.card(500)
    sold = books.done(post("sale", use(card), receipt=receipt(lines=LINES)))
    found = told(books, ReadOperation(operation_id=sold.operation_id))
    written = receipt(lines=LINES)
    assert (found.number, found.till, found.business_date, found.total_minor) == (
        written.number,
        written.till,
        written.business_date,
        written.total_minor,
    )
    loaded = told(books, ReadOperation(operation_id=books.done(top_up("money", card, 100)).operation_id))
    assert (loaded.number, loaded.till, loaded.business_date, loaded.total_minor) == ("", "", None, None)


@pytest.mark.parametrize("operation_id", [-1, 0, 999_999_999, 2**63 - 1, 2**63, 10**30])
def test_an_unknown_operation_is_not_found(books: Books, operation_id: int) -> None:
    assert isinstance(outcome(books, ReadOperation(operation_id=operation_id)), OperationNotFound)


# Receipts -------------------------------------------------------------------------------------------------------


def read(books: Books, key: str, store: str = MOSCOW) -> ReceiptTold:
    return told(books, ReadReceipt(store=store, key=key))


def lost(books: Books, key: str, store: str = MOSCOW) -> bool:
    return isinstance(outcome(books, ReadReceipt(store=store, key=key)), ReceiptNotFound)


def sell(books: Books, key: str, **changes: Any) -> int:
    card = books.card(500)
    sale = post(key, use(card, redeem=100), receipt=receipt(lines=LINES), notes=("odd",), **changes)
    return books.done(sale).operation_id


def came_back(books: Books, sale: str, *lines: tuple[int, int]) -> str:
    """The key of a return of these thousandths of the sale's lines."""
    key = books.key("return")
    returned = tuple(ReturnLine(number=number, quantity_thousandths=amount) for number, amount in lines)
    books.done(ReturnReceipt(store=MOSCOW, keys=(key,), receipt=receipt(0), sale=sale, lines=returned))
    return key


def returned(books: Books, key: str) -> list[tuple[int, int]]:
    return [(line.number, line.amount) for line in read(books, key).returned]


def test_a_receipt_is_read_under_each_of_its_keys(books: Books) -> None:
    card = books.card(500)
    sale = books.done(post(["guid", "fiscal"], use(card, redeem=100), receipt=receipt(lines=LINES), notes=("odd",)))
    found = read(books, "guid")
    assert (found.operation_id, found.kind, found.store, found.state, found.at, found.flags) == (
        sale.operation_id,
        "receipt",
        MOSCOW,
        "posted",
        NOON,
        ("odd",),
    )
    goods = [line["goods"] for line in found.document["receipt"]["lines"]]
    assert (goods, found.document["receipt"]["total_minor"]) == (["soup", "pie"], 100_000)
    assert read(books, "fiscal") == found


def test_a_newer_version_is_what_stands(books: Books) -> None:
    card = books.card()
    books.done(post("sale", use(card), total=1_000, at=1, supersede=True))
    newer = books.done(post("sale", use(card), total=2_000, at=2, supersede=True))
    found = read(books, "sale")
    assert (found.operation_id, found.document["receipt"]["total_minor"]) == (newer.operation_id, 2_000)


def test_a_void_receipt_is_still_told(books: Books) -> None:
    sale = sell(books, "a")
    books.done(void("a"))
    assert (read(books, "a").operation_id, read(books, "a").state) == (sale, "rolled_back")
    sale = sell(books, "b")
    books.done(void("b", reason="return"))
    assert (read(books, "b").operation_id, read(books, "b").state) == (sale, "returned")


def test_a_restored_receipt_is_told_with_its_goods_however_often(books: Books) -> None:
    sell(books, "a", at=1)
    for n in range(3):
        books.done(void("a", reason="return", at=10 * n + 2))
        books.done(RestoreReceipt(store=MOSCOW, keys=("a",), stamp=stamp(10 * n + 3)))
        found = read(books, "a")
        assert (found.state, found.kind) == ("posted", "receipt")
        assert len(found.document["receipt"]["lines"]) == 2


def test_what_stands_for_no_receipt_is_not_found(books: Books) -> None:
    card = books.card()
    books.done(top_up("money", card, 100))
    books.done(void("tombstone"))
    sell(books, "sale")
    assert lost(books, "money")
    assert lost(books, "tombstone")
    assert lost(books, "never")
    assert lost(books, "sale", ALMATY)
    assert lost(books, "a\0b")
    assert lost(books, "")
    assert isinstance(outcome(books, ReadReceipt(store="elsewhere", key="sale")), ForeignStore)


def test_a_refused_newer_version_leaves_no_receipt(books: Books) -> None:
    card = books.card(100)
    books.done(post("sale", use(card, redeem=10), at=1, supersede=True))
    books.one(post("sale", use(card, redeem=9_999), at=2, supersede=True))
    assert lost(books, "sale")


def test_what_came_back_is_summed_by_line(books: Books) -> None:
    for key in ("sale", "other", "whole"):
        sell(books, key)
    came_back(books, "sale", (2, 500))
    came_back(books, "sale", (2, 250), (1, 1_000))
    came_back(books, "other", (1, 900))
    assert returned(books, "sale") == [(1, 1_000), (2, 750)]
    assert returned(books, "other") == [(1, 900)]
    assert returned(books, "whole") == []


def test_a_return_is_a_receipt_of_its_own(books: Books) -> None:
    sell(books, "sale")
    key = came_back(books, "sale", (2, 500))
    found = read(books, key)
    assert (found.kind, found.state) == ("return", "posted")
    assert [(line.number, line.amount) for line in found.returned] == [(2, 500)]
    assert (found.sale, found.sale_store) == ("sale", MOSCOW)
    assert [moved.redeemed > 0 for moved in found.cards] == [True]


def test_a_receipt_tells_what_it_did_to_cards_also_once_it_is_void(books: Books) -> None:
    card = books.card(500)
    done = books.done(post("sale", use(card, redeem=100), receipt=receipt(lines=LINES)))
    found = read(books, "sale")
    assert (found.cards, found.sale, found.sale_store) == (done.cards, "", "")
    assert found.cards[0].redeemed == 100
    books.done(void("sale"))
    voided = read(books, "sale").cards
    assert [(one.card, one.redeemed, one.earned) for one in voided] == [
        (one.card, one.redeemed, one.earned) for one in done.cards
    ]


def test_a_return_that_was_voided_does_not_count(books: Books) -> None:
    sell(books, "sale")
    wrong = came_back(books, "sale", (1, 1_000))
    came_back(books, "sale", (2, 300))
    books.done(void(wrong))
    assert returned(books, "sale") == [(2, 300)]
    assert (read(books, wrong).kind, read(books, wrong).state) == ("return", "rolled_back")


def test_a_restored_sale_tells_what_had_come_back_before_and_since(books: Books) -> None:
    sell(books, "sale", at=1)
    came_back(books, "sale", (2, 300))
    books.done(void("sale", reason="return", at=2))
    books.done(RestoreReceipt(store=MOSCOW, keys=("sale",), stamp=stamp(3)))
    assert returned(books, "sale") == [(2, 300)]
    came_back(books, "sale", (2, 100), (1, 1_000))
    assert returned(books, "sale") == [(1, 1_000), (2, 400)]


def test_both_halves_of_an_exchange_are_read(books: Books) -> None:
    sell(books, "sale")
    card = books.card()
    back = ReturnReceipt(store=MOSCOW, keys=("back",), receipt=receipt(0), sale="sale", lines=(ReturnLine(number=1),))
    books.done(Exchange(store=MOSCOW, keys=("both",), returned=back, sold=post("new", use(card))))
    assert (read(books, "back").kind, read(books, "new").kind) == ("return", "receipt")
    assert returned(books, "sale") == [(1, 1_000)]


# Holds ----------------------------------------------------------------------------------------------------------


def place(books: Books, card: str, *keys: str, amount: int = 100, **changes: Any) -> HoldPlaced:
    return books.done(
        PlaceHold(
            **{"store": MOSCOW, "keys": keys, "card": Ref("card", card), "unit": POINTS, "amount": amount} | changes
        )
    )


def read_hold(books: Books, key: str, store: str = MOSCOW) -> HoldTold:
    return told(books, ReadHold(store=store, key=key))


def test_a_hold_is_read_under_each_of_its_keys(books: Books) -> None:
    card = books.card(500)
    placed = place(books, card, "h", "alias", owner="till 1", seconds=900)
    found = read_hold(books, "h")
    assert (found.hold_id, found.key, found.store, found.account) == (
        placed.hold_id,
        "h",
        MOSCOW,
        wallet_of(books, card),
    )
    assert (found.unit, found.scale, found.owner, found.amount, found.captured) == (POINTS, 2, "till 1", 100, 0)
    assert (found.state, found.ended_at, found.operation_id) == ("open", None, 0)
    assert (found.placed_at, found.until) == (NOON, NOON + timedelta(minutes=15))
    assert read_hold(books, "alias") == found


def test_an_open_hold_past_its_deadline_is_told_as_expired(books: Books) -> None:
    card = books.card(500)
    place(books, card, "h", seconds=60)
    clock_of(books).forward(minutes=1)
    told_early = read_hold(books, "h")
    assert (told_early.state, told_early.ended_at) == ("expired", NOON + timedelta(minutes=1))
    clock_of(books).forward(minutes=1)
    end_holds(books.core)
    assert books.rows("SELECT state FROM hold") == [("expired",)]
    assert read_hold(books, "h") == told_early


def test_an_ended_hold_is_told_as_it_ended(books: Books) -> None:
    card = books.card(500)
    place(books, card, "h")
    taken = books.done(CaptureHold(store=MOSCOW, keys=("c",), hold="h", amount=60))
    found = read_hold(books, "h")
    assert (found.state, found.captured, found.ended_at, found.operation_id) == (
        "captured",
        60,
        NOON,
        taken.operation_id,
    )
    place(books, card, "other")
    books.done(ReleaseHold(store=MOSCOW, keys=("r",), hold="other"))
    assert (read_hold(books, "other").state, read_hold(books, "other").operation_id) == ("released", 0)


def test_a_hold_of_a_merged_wallet_is_told_of_the_one_that_counts(books: Books) -> None:
    source, target = books.card(500), books.card(1)
    place(books, source, "h")
    books.done(ReleaseHold(store=MOSCOW, keys=("r",), hold="h"))
    merge(books, source, target)
    assert read_hold(books, "h").account == wallet_of(books, target)


def test_what_stands_for_no_hold_is_not_found(books: Books) -> None:
    card = books.card(500)
    place(books, card, "h")
    books.done(ReleaseHold(store=MOSCOW, keys=("r",), hold="given up before"))
    books.done(adjust("gift", card, 5))
    for key, store in (
        *((key, MOSCOW) for key in ("gift", "given up before", "r", "never", "\0", "")),
        ("h", ALMATY),
    ):
        assert isinstance(outcome(books, ReadHold(store=store, key=key)), HoldNotFound), key
    assert isinstance(outcome(books, ReadHold(store="elsewhere", key="h")), ForeignStore)
