"""What outside systems mirror of a wallet: its cards, transactions by revision, turnover; and what the chain is."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.testing.suite import few
from processing.commands import (
    MergeHolders,
    NameWallet,
    ReadChain,
    ReadLastPurchase,
    ReadTransactions,
    ReadTurnover,
    Ref,
    ReturnReceipt,
)
from processing.errors import BadMessage, CardNotFound, ForeignStore
from processing.names import uuid_wallet
from processing.recount import recount
from processing.results import Transaction
from tests.processing.books import (
    MONEY,
    MOSCOW,
    NOON,
    POINTS,
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
from tests.processing.reads import outcome, told

RIVALS, EACH = 6, 10


def transactions(books: Books, card: str, **changes: Any) -> list[Transaction]:
    return list(told(books, ReadTransactions(refs=(ref(card),), **changes)).transactions)


def place(last: Transaction) -> tuple[int, int, int]:
    return last.revision, last.operation_id, last.entry


def followed(books: Books, card: str, limit: int, after: tuple[int, int, int] | None = None) -> list[Transaction]:
    """All that comes behind a place, page by page."""
    found: list[Transaction] = []
    while True:
        page = told(books, ReadTransactions(refs=(ref(card),), after=after, limit=limit))
        found += page.transactions
        if not page.more:
            return found
        after = place(found[-1])


def test_transactions_tell_balances_in_the_order_of_booking(books: Books, clock: StillClock) -> None:
    card = books.card(10_000)
    clock.forward(minutes=1)
    books.done(top_up("money", card, 5_000))
    clock.forward(minutes=1)
    sale = books.done(post("sale", use(card, redeem=4_000, earn=500), receipt=receipt(20_000, number="88")))
    clock.forward(minutes=1)
    books.done(void("sale"))
    found = transactions(books, card)
    assert [(each.unit, each.amount, each.balance, each.kind) for each in found] == [
        (POINTS, 10_000, 10_000, "adjustment"),
        (MONEY, 5_000, 5_000, "top_up"),
        (POINTS, -3_500, 6_500, "receipt"),
        (POINTS, 3_500, 10_000, "void"),
    ]
    assert (found[2].operation_id, found[2].number, found[2].total_minor, found[2].programme) == (
        sale.operation_id,
        "88",
        20_000,
        "plain",
    )
    assert [each.booked_at for each in found] == [NOON + timedelta(minutes=n) for n in range(4)]
    assert transactions(books, card, since=found[1].booked_at, until=found[2].booked_at) == found[1:3]
    assert transactions(books, card, skip=1, limit=2) == found[1:3]


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_by_revision_tell_each_transaction_once(books: Books, limit: int) -> None:
    """Also operations of one batch, which share their instant, and units of one operation."""
    card = books.card(10_000)
    books.core.execute([adjust(f"a{n}", card, 100 + n) for n in range(5)])
    books.done(post("both", use(card, redeem=100), use(card, redeem=100), total=10_000))
    everything = transactions(books, card)
    assert followed(books, card, limit) == everything
    middle = everything[2]
    assert followed(books, card, limit, place(middle)) == everything[3:]
    # A revision alone: what comes behind all of it.
    assert followed(books, card, limit, (middle.revision, 2**62, 0)) == []


def test_a_merge_is_a_transaction_of_its_own(books: Books, clock: StillClock) -> None:
    source, target = books.card(1_000), books.card(2_000)
    seen = place(transactions(books, target)[-1])
    clock.forward(minutes=1)
    books.done(MergeHolders(store=MOSCOW, keys=("m",), source=ref(source), target=ref(target)))
    assert [(each.kind, each.amount, each.balance) for each in followed(books, target, 10, seen)] == [
        ("merge", 1_000, 3_000)
    ]


def test_bad_places_and_pages_are_refused(books: Books) -> None:
    card = books.card(1_000)
    for changes in ({"limit": 0}, {"limit": 501}, {"skip": -1}, {"after": (-1, 0, 0)}, {"after": (2**63, 0, 0)}):
        assert isinstance(outcome(books, ReadTransactions(refs=(ref(card),), **changes)), BadMessage)
    assert isinstance(outcome(books, ReadTransactions(refs=(Ref("card", "1"),))), CardNotFound)


def test_revisions_have_no_gaps_while_rivals_book(postgresql: Books) -> None:
    """Whoever follows by revision while several processes' cores book on one wallet sees every one, in order."""
    postgresql.run_live()
    card = postgresql.card(1_000)
    cores = [Books.of(postgresql.database, None).core for _ in range(RIVALS)]

    def book(n: int) -> None:
        for i in range(EACH):
            cores[n].execute([adjust(f"r{n}-{i}", card, 1)])

    threads = [threading.Thread(target=book, args=(n,)) for n in range(RIVALS)]
    for thread in threads:
        thread.start()
    found = followed(postgresql, card, 7)
    while any(thread.is_alive() for thread in threads):
        found += followed(postgresql, card, 7, place(found[-1]) if found else None)
    found += followed(postgresql, card, 7, place(found[-1]))
    assert [each.balance for each in found] == [1_000 + n for n in range(1 + RIVALS * EACH)]
    assert [place(each) for each in found] == sorted({place(each) for each in found})


def test_turnover_counts_receipts_and_own_money_since_a_day(books: Books, clock: StillClock) -> None:
    card = books.card(10_000)
    books.done(post("a", use(card, redeem=1_000, spend_minor=9_000), total=10_000))
    clock.forward(days=3)
    books.done(post("b", use(card, spend_minor=20_000), total=20_000))
    books.done(post("c", use(card, spend_minor=30_000), total=30_000))
    books.done(void("c"))
    ever = told(books, ReadTurnover(refs=(ref(card),)))
    assert (ever.visits, ever.turnover_minor) == (2, 29_000)
    lately = told(books, ReadTurnover(refs=(ref(card),), since=clock.at.date()))
    assert (lately.visits, lately.turnover_minor) == (1, 20_000)
    nobody = told(books, ReadTurnover(refs=(ref(books.card()),)))
    assert (nobody.visits, nobody.turnover_minor) == (0, 0)


def test_turnover_and_the_last_purchase_leave_out_a_receipt_that_is_rung_up_anew(
    books: Books, clock: StillClock
) -> None:
    card = books.card(10_000)
    first = clock.at.date()
    books.done(post("a", use(card, spend_minor=10_000), total=10_000))
    clock.forward(days=3)
    books.done(post("b", use(card, spend_minor=20_000), total=20_000))
    asked = {"refs": (ref(card),), "store": MOSCOW}
    for without, money, visits, day in (("", 30_000, 2, clock.at.date()), ("b", 10_000, 1, first)):
        bought = told(books, ReadTurnover(**asked, without=without))
        assert (bought.turnover_minor, bought.visits) == (money, visits)
        last = told(books, ReadLastPurchase(**asked, without=without))
        assert last.day == day
    assert told(books, ReadTurnover(**asked, until=first)).turnover_minor == 10_000
    assert told(books, ReadTurnover(**asked, until=first, without="b")).turnover_minor == 10_000
    assert told(books, ReadLastPurchase(**asked, until=first, without="a")).day is None
    # What is void has been taken away already, and a strange key names nothing.
    books.done(void("b"))
    for without in ("b", "no such key"):
        assert told(books, ReadTurnover(**asked, without=without)).turnover_minor == 10_000
    assert isinstance(outcome(books, ReadTurnover(refs=(ref(card),), store="nowhere", without="a")), ForeignStore)


def test_a_receipt_is_left_out_of_the_wallet_that_has_it_since_a_merge(books: Books) -> None:
    source, target = books.card(), books.card()
    books.done(post("a", use(source, spend_minor=10_000), total=10_000))
    books.done(post("b", use(target, spend_minor=20_000), total=20_000))
    books.done(MergeHolders(store=MOSCOW, keys=("m",), source=ref(source), target=ref(target)))
    asked = {"refs": (ref(target),), "store": MOSCOW}
    assert told(books, ReadTurnover(**asked)).turnover_minor == 30_000
    assert told(books, ReadTurnover(**asked, without="a")).turnover_minor == 20_000


def test_money_that_goes_back_without_a_sale_leaves_the_turnover_until_the_return_is_void(books: Books) -> None:
    card = books.card()
    books.done(post("a", use(card, earn=0, spend_minor=30_000), total=30_000))
    back = ReturnReceipt(
        store=MOSCOW, keys=("r",), receipt=receipt(10_000), cards=(use(card, earn=0, spend_minor=10_000),), fact=True
    )
    books.done(back)
    asked = ReadTurnover(refs=(ref(card),))
    assert (told(books, asked).turnover_minor, told(books, asked).visits) == (20_000, 1)
    # A sale that is named and not known had added nothing.
    books.done(msgspec.structs.replace(back, keys=("s",), sale="never seen"))
    assert told(books, asked).turnover_minor == 20_000
    books.done(void("r"))
    assert told(books, asked).turnover_minor == 30_000
    assert recount(books.database) == 0


def test_a_document_of_points_alone_is_no_visit_and_within_every_limit(books: Books) -> None:
    card = books.card(10_000)
    posted = books.done(post("points", use(card, redeem=1_000, earn=500), receipt=receipt(0), fact=True))
    assert posted.flags == ()
    assert told(books, ReadTurnover(refs=(ref(card),))).visits == 0
    assert books.balance(card) == 9_500


def test_a_wallet_tells_all_its_cards_with_their_names(books: Books) -> None:
    first = books.card(identifiers=(Ref("track", "77"),))
    second = books.card(wallet_of=ref(first))
    found = told(books, NameWallet(store=MOSCOW, refs=(ref(first),)))
    assert [card.number for card in found.cards] == [second, first]
    assert {(name.scheme, name.value) for name in found.cards[1].names} == {("card", first), ("track", "77")}
    assert found.opened_at == NOON
    assert told(books, NameWallet(store=MOSCOW, refs=(Ref("uuid", found.uuid),))) == found


def test_the_uuid_of_a_merged_wallet_leads_on(books: Books) -> None:
    source, target = books.card(), books.card()
    old = told(books, NameWallet(store=MOSCOW, refs=(ref(source),))).uuid
    books.done(MergeHolders(store=MOSCOW, keys=("m",), source=ref(source), target=ref(target)))
    assert told(books, NameWallet(store=MOSCOW, refs=(Ref("uuid", old),))) == told(
        books, NameWallet(store=MOSCOW, refs=(ref(target),))
    )


@few(60)
@given(text=st.text(max_size=40) | st.uuids().map(str))
def test_no_text_is_taken_for_a_uuid_of_ours(sqlite_books: Books, text: str) -> None:
    assert uuid_wallet(sqlite_books.core.work.vault, text) is None


def test_a_chain_tells_its_store_units_and_programmes(books: Books) -> None:
    found = told(books, ReadChain(store=MOSCOW))
    assert (found.store, found.name, found.partner, found.zone) == (MOSCOW, "Moscow", "alpha", "Europe/Moscow")
    assert {(unit.unit, unit.kind, unit.scale) for unit in found.units} >= {(MONEY, "money", 2), (POINTS, "points", 2)}
    assert "plain" in {each.programme for each in found.programmes}
    assert isinstance(outcome(books, ReadChain(store="elsewhere")), ForeignStore)
