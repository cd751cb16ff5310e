"""iiko's webhooks through the real door: answered first, kept in the link's queue, booked once by delivery."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from adapters import iiko_webhooks
from gateway import erasure
from gateway.app import Parts
from gateway.books import Books as Asking
from gateway.credentials import LinkSecret
from gateway.delivery import Delivery
from gateway.erasure import forget_people
from gateway.exchange_log import ExchangeLog
from gateway.inbox import Inbox, lanes
from gateway.pos import Pos, doors
from gateway.settings import ExchangeLogLimits, GatewaySettings, LinkSettings, Settings
from processing.commands import EraseHolder, IssueCard, ReadReceipt, Ref, RegisterHolder
from processing.results import ReceiptTold
from processing.verify import verify
from tests.processing.books import CHAIN, MOSCOW, PLAIN, PROGRAMMES, Books

LINK, SECRET = "iiko-hooks", "token-of-the-webhooks-123456"
CLOSE_SECONDS = 10
GUEST = "b6a9c3c2-8f5b-4f0e-9f5e-3f2f6d1c7a77"
PHONE = "+79990001122"
POINTS_TYPE = "1c2d3e4f-0a1b-4c2d-8e3f-4a5b6c7d8e66"
CASH_TYPE = "09322f46-578a-4210-add7-eec222a08871"
NEW, BILL, CLOSED, DELETED = "New", "Bill", "Closed", "Deleted"

Json = dict[str, Any]

_orders = itertools.count(1)
on_sqlite = pytest.mark.parametrize("books", ["sqlite"], indirect=True)


def new_uuid() -> str:
    return f"6f1f0c7e-93a6-4a7f-8c8e-{next(_orders):012d}"


def pos_id(order: str) -> str:
    return f"0c0a7b5e{order[8:]}"


def event(order: str, at: int, status: str = CLOSED, total: int = 1_000, points: int = 0, **changes: Any) -> Json:
    """An event of an order, at so many milliseconds; sums in roubles."""
    payments = [("Cash", CASH_TYPE, total - points)] + ([("External", POINTS_TYPE, points)] if points else [])
    told = {
        "customer": {"type": "regular", "id": GUEST, "name": "Anna"},
        "phone": PHONE,
        "status": status,
        "sum": total,
        "number": 17,
        "whenClosed": "2026-05-04 11:59:00.000" if status == CLOSED else None,
        "items": [{"type": "Product", "product": {"id": GUEST, "name": "Soup"}, "amount": 1, "price": total,
                   "cost": total, "resultSum": total, "deleted": None}],
        "payments": [{"paymentType": {"id": each, "kind": kind}, "sum": paid} for kind, each, paid in payments],
        "terminalGroupId": CASH_TYPE,
    }  # fmt: skip
    info = {"id": order, "posId": pos_id(order), "timestamp": 1_777_880_000_000 + at, "order": told | changes}
    return {"eventType": "TableOrderUpdate", "eventTime": "2026-05-04 09:00:00.000", "eventInfo": info}


@dataclass
class Cloud:
    """iiko's cloud before the link's door."""

    books: Books
    pos: Pos
    link: LinkSettings
    log: ExchangeLog

    def send(self, body: bytes, token: str = f"Bearer {SECRET}") -> tuple[int, Json]:
        said: list[Any] = []
        environ = {
            "PATH_INFO": f"/pos/{LINK}/webhook",
            "REQUEST_METHOD": "POST",
            "QUERY_STRING": "",
            "REMOTE_ADDR": "192.0.2.7",
            "HTTP_AUTHORIZATION": token,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        answer = b"".join(self.pos(environ, lambda status, headers: said.extend((status, headers))))
        return int(said[0].split()[0]), json.loads(answer)

    def tell(self, *events: Json) -> None:
        assert self.send(json.dumps(events).encode()) == (200, {})

    def deliver(self) -> None:
        """What has come is booked."""
        core = self.books.core
        told = lanes(
            Settings(GatewaySettings(), CHAIN, PROGRAMMES, {LINK: self.link}, adapters=ADAPTERS), core.work.vault
        )
        Delivery(core, core.work.vault, told, (), lambda: False).run_once()

    def states(self) -> list[str]:
        return [state for (state,) in self.books.rows("SELECT state FROM outbox_message ORDER BY id")]

    def receipt(self, order: str) -> ReceiptTold | None:
        (told,) = self.books.core.answer([ReadReceipt(store=MOSCOW, key=f"iiko:order:{order}")])
        return told if isinstance(told, ReceiptTold) and told.state == "posted" else None


ADAPTERS = {"iiko_webhooks": iiko_webhooks.ADAPTER}


@contextmanager
def open_cloud(books: Books, **options: Any) -> Iterator[Cloud]:
    zones = {code: info.zone.key for code, info in books.core.work.directory.stores.items()}
    log = ExchangeLog(books.database.writer, books.core.work.vault, ExchangeLogLimits())
    link = LinkSettings(
        code=LINK,
        adapter="iiko_webhooks",
        store=MOSCOW,
        enabled=True,
        secrets=(LinkSecret(hashlib.sha256(SECRET.encode()).digest()),),
        addresses=(),
        options=iiko_webhooks.WebhookOptions().load({"book": "all", "not_own_money": [POINTS_TYPE]} | options),
    )
    inbox = Inbox(books.database, books.core.work.vault, books.core.work.stamps)
    ask = Asking(books.core, GatewaySettings()).ask
    try:
        pos = Pos(_nowhere, doors({LINK: link}, ADAPTERS, zones), ask, log, None, inbox.put)
        yield Cloud(books, pos, link, log)
    finally:
        assert log.close(CLOSE_SECONDS)


def _nowhere(environ: Json, start_response: Any) -> Iterable[bytes]:
    raise AssertionError(f"{environ['PATH_INFO']} is not a till's")


@pytest.fixture
def cloud(books: Books) -> Iterator[Cloud]:
    with open_cloud(books) as opened:
        yield opened
    books.check_laws()
    assert [(check.name, check.rows) for check in verify(books.database) if check.rows] == []


def guest(books: Books, phone: str = PHONE) -> str:
    """A card whose holder has the phone."""
    card = books.card()
    books.done(RegisterHolder(store=MOSCOW, keys=(books.key(),), card=Ref("card", card), name="Anna", phone=phone))
    return card


# Answered first ---------------------------------------------------------------------------------------------


def test_an_order_is_answered_first_and_booked_once_behind_the_answer(cloud: Cloud) -> None:
    card, order = guest(cloud.books), new_uuid()
    for _ in range(3):
        cloud.tell(event(order, 2), event(order, 1, BILL))
    assert cloud.states() == ["pending"] * 3
    assert cloud.books.balance(card) == 0
    cloud.deliver()
    assert cloud.states() == ["delivered"] * 3
    assert cloud.books.balance(card) == 50_00
    assert cloud.books.rows("SELECT count(*) FROM operation WHERE kind = 'receipt'")[0][0] == 1
    told = cloud.receipt(order)
    assert told is not None
    assert (told.document["receipt"]["number"], told.document["receipt"]["business_date"]) == ("17", "2026-05-04")
    assert cloud.receipt(pos_id(order)) == told, "the till's id of the order leads to it too"


def test_a_deleted_order_is_void_and_a_later_version_takes_the_place_of_an_earlier(cloud: Cloud) -> None:
    card, first, second = guest(cloud.books), new_uuid(), new_uuid()
    cloud.tell(event(first, 1), event(second, 5, total=2_000))
    cloud.tell(event(first, 2, DELETED), event(second, 6, total=1_500), event(second, 4, total=9_000))
    cloud.deliver()
    assert cloud.receipt(first) is None
    assert cloud.books.balance(card) == 75_00


@on_sqlite
def test_the_answer_waits_neither_for_the_books_nor_for_whoever_has_locked_them(cloud: Cloud) -> None:
    """A batch of the books stands still, and the webhook is answered all the same."""
    core, inside, go_on = cloud.books.core, threading.Event(), threading.Event()

    def stuck(*_: Any) -> Any:
        inside.set()
        assert go_on.wait(CLOSE_SECONDS)
        return []

    core.execute, real = stuck, core.execute  # type: ignore[method-assign]
    rival = threading.Thread(target=core.execute, args=([],))
    rival.start()
    try:
        assert inside.wait(CLOSE_SECONDS)
        cloud.tell(event(new_uuid(), 1))
        assert cloud.states() == ["pending"]
    finally:
        go_on.set()
        rival.join()
        core.execute = real  # type: ignore[method-assign]
    cloud.deliver()


@on_sqlite
def test_what_cannot_be_kept_is_not_acknowledged(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    monkeypatch.setattr("processing.outbox.put", locked)
    status, told = cloud.send(json.dumps([event(new_uuid(), 1)]).encode())
    assert (status, told["error"]) == (503, "busy")
    assert cloud.states() == []


@on_sqlite
def test_strangers_are_told_nothing_and_the_token_may_come_bare(cloud: Cloud) -> None:
    for token in ("", "Bearer", f"Bearer {SECRET}x", f"Basic {SECRET}", SECRET[:-1]):
        status, told = cloud.send(b"[]", token)
        assert (status, told["error"]) == (401, "bad_credentials"), token
    for token in (SECRET, f"Bearer {SECRET}", f"bearer  {SECRET}"):
        assert cloud.send(b"[]", token) == (200, {})


@on_sqlite
def test_unknown_events_are_acknowledged_and_a_broken_one_keeps_no_other(cloud: Cloud) -> None:
    card = guest(cloud.books)
    cloud.tell({"eventType": "StopListUpdate"}, {"eventType": "OfTheFuture", "eventInfo": 7})
    broken = event(new_uuid(), 1, total=-5)
    status, told = cloud.send(json.dumps([broken, event(new_uuid(), 1)]).encode())
    assert (status, told["error"]) == (200, "bad_message")
    assert told["errorDescription"].startswith("[0].eventInfo.order.sum")
    cloud.deliver()
    assert cloud.books.balance(card) == 50_00
    # Half an array is sent again.
    assert cloud.send(b'[{"eventType":')[0] == 400


# What is booked ---------------------------------------------------------------------------------------------


@on_sqlite
def test_a_link_books_only_what_it_is_told_to(books: Books) -> None:
    """An order of a guest whom iikoCard knows earns there: here it would be paid twice."""
    card, regular, one_time = guest(books), new_uuid(), new_uuid()
    both = (event(regular, 1), event(one_time, 1, customer={"type": "one-time", "name": "Anna"}))
    with open_cloud(books, book="none") as cloud:
        cloud.tell(*both)
        assert cloud.states() == []
    with open_cloud(books, book="one_time") as cloud:
        cloud.tell(*both)
        cloud.deliver()
        told = cloud.receipt(regular)
        assert told is not None and told.flags == ("iikocard_guest",) and told.cards == ()
    assert books.balance(card) == 50_00


@on_sqlite
def test_what_wallets_have_paid_earns_nothing(cloud: Cloud) -> None:
    card = guest(cloud.books)
    cloud.tell(event(new_uuid(), 1, points=400))
    cloud.deliver()
    assert cloud.books.balance(card) == 30_00


@on_sqlite
def test_a_guest_is_found_by_iikos_id_and_one_whom_nobody_knows_is_flagged(cloud: Cloud) -> None:
    books = cloud.books
    named = IssueCard(store=MOSCOW, keys=(books.key(),), product=PLAIN, active=True, identifiers=(Ref("iiko", GUEST),))
    card, unknown = books.done(named).number, new_uuid()
    cloud.tell(event(new_uuid(), 1), event(unknown, 1, customer=None, phone="+79990009999"))
    cloud.tell(event(new_uuid(), 1, customer=None, phone=None))
    cloud.deliver()
    assert books.balance(card) == 50_00
    told = cloud.receipt(unknown)
    assert told is not None and told.flags == ("suspense",)


@on_sqlite
def test_what_waits_is_sealed_is_gone_when_it_is_booked_and_when_the_guest_is_erased(cloud: Cloud) -> None:
    books = cloud.books
    card = guest(books)
    books.clock.at = datetime.now(UTC)  # type: ignore[union-attr]
    cloud.tell(event(new_uuid(), 1))
    (kept,) = books.rows("SELECT CAST(body AS TEXT) FROM outbox_message")
    assert "PostReceipt" in kept[0] and "iiko:order:" in kept[0]
    assert PHONE[1:] not in kept[0] and GUEST not in kept[0]
    books.done(EraseHolder(store=MOSCOW, keys=("e",), card=Ref("card", card), reason="asked"))
    settings_of = Settings(GatewaySettings(), CHAIN, PROGRAMMES, {})
    own = Parts(settings_of, books.database, books.core.work.vault, books.core)
    cloud.log.flush(CLOSE_SECONDS)
    while forget_people(own):
        pass
    books.clock.forward(minutes=11)  # type: ignore[union-attr]
    assert forget_people(own) == 1
    assert books.rows("SELECT CAST(body AS TEXT) FROM outbox_message") == [("{}",)]
    cloud.deliver()
    assert cloud.states() == ["dead"], "an operator is told, and skips it"
    cloud.tell(event(new_uuid(), 1, phone="+79990005555"))
    cloud.deliver()
    assert books.rows("SELECT CAST(body AS TEXT) FROM outbox_message ORDER BY id DESC")[0] == ("{}",)


@on_sqlite
def test_an_erasure_finds_what_waits_however_much_that_is(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "BITE_ROWS", 2)
    books = cloud.books
    card = guest(books)
    books.clock.at = datetime.now(UTC)  # type: ignore[union-attr]
    cloud.tell(*(event(new_uuid(), 1, customer=None, phone="+79990005555") for _ in range(4)), event(new_uuid(), 1))
    books.done(EraseHolder(store=MOSCOW, keys=("e",), card=Ref("card", card), reason="asked"))
    settings_of = Settings(GatewaySettings(), CHAIN, PROGRAMMES, {})
    own = Parts(settings_of, books.database, books.core.work.vault, books.core)
    books.clock.forward(minutes=11)  # type: ignore[union-attr]
    while forget_people(own):
        pass
    bodies = [body for (body,) in books.rows("SELECT CAST(body AS TEXT) FROM outbox_message ORDER BY id")]
    assert [body == "{}" for body in bodies] == [False] * 4 + [True]


# Any order --------------------------------------------------------------------------------------------------

# The life of an order: statuses, and what it cost then. The highest timestamp counts, and of one the later status.
LIVES = (
    ((NEW, 0), (BILL, 900), (CLOSED, 900)),
    ((NEW, 0), (CLOSED, 900), (CLOSED, 700), (CLOSED, 800)),
    ((CLOSED, 900), (DELETED, 900)),
    ((CLOSED, 900), (DELETED, 900), (CLOSED, 600)),
    ((CLOSED, 900), (DELETED, 900), (CLOSED, 600), (DELETED, 600)),
    ((NEW, 0), (DELETED, 0)),
)


@on_sqlite
@settings(max_examples=15)
@given(data=st.data())
def test_any_order_of_events_with_repeats_makes_the_same_books(cloud: Cloud, data: st.DataObject) -> None:
    books, life = cloud.books, data.draw(st.sampled_from(LIVES))
    same_time = data.draw(st.booleans())
    order, phone = new_uuid(), f"+7999{next(_orders):07d}"
    card = guest(books, phone)
    told = [
        event(order, 7 if same_time and life == LIVES[2] else at, status, total, customer=None, phone=phone)
        for at, (status, total) in enumerate(life)
    ]
    sent = data.draw(st.permutations([*told, *data.draw(st.lists(st.sampled_from(told), max_size=3))]))
    at = data.draw(st.integers(0, len(sent)))
    cloud.tell(*sent[:at])
    cloud.deliver()
    cloud.tell(*sent[at:])
    cloud.deliver()
    status, total = life[-1]
    assert books.balance(card) == (total * 5 if status == CLOSED else 0)
    kept = cloud.receipt(order)
    assert (kept is not None) == (status == CLOSED)
    assert kept is None or kept.document["receipt"]["total_minor"] == total * 100
    assert set(cloud.states()) <= {"delivered"}


@on_sqlite
def test_a_fact_that_makes_no_sense_to_the_books_is_put_aside_and_the_others_go_on(cloud: Cloud) -> None:
    """The key stands for something else: whoever has taken it."""
    card, taken = guest(cloud.books), new_uuid()
    cloud.books.done(IssueCard(store=MOSCOW, keys=(f"iiko:order:{taken}",), product=PLAIN))
    cloud.tell(event(taken, 1), event(new_uuid(), 1))
    for _ in range(3):
        cloud.books.clock.forward(minutes=30)  # type: ignore[union-attr]
        cloud.deliver()
    assert cloud.states() == ["dead", "delivered"]
    assert cloud.books.balance(card) == 50_00


@on_sqlite
def test_a_bad_fact_behind_many_is_found_without_a_wait_for_each_of_them(cloud: Cloud) -> None:
    card, taken = guest(cloud.books), new_uuid()
    cloud.books.done(IssueCard(store=MOSCOW, keys=(f"iiko:order:{taken}",), product=PLAIN))
    cloud.tell(*[event(new_uuid(), 1) for _ in range(8)], event(taken, 1), event(new_uuid(), 1))
    for _ in range(4):
        cloud.books.clock.forward(minutes=30)  # type: ignore[union-attr]
        cloud.deliver()
    assert cloud.states() == ["delivered"] * 8 + ["dead", "delivered"]
    assert cloud.books.balance(card) == 9 * 50_00


@on_sqlite
def test_what_has_come_waits_until_the_books_know_the_store(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of before the configuration that names it would lose it: the cloud was told that it has arrived."""
    cloud.tell(event(new_uuid(), 1))
    core = cloud.books.core
    with monkeypatch.context() as before:
        before.setattr(core, "work", replace(core.work, directory=replace(core.work.directory, stores={})))
        before.setattr(core, "has_store", lambda code: False)
        cloud.deliver()
        assert cloud.states() == ["pending"]
    cloud.books.clock.forward(minutes=2)  # type: ignore[union-attr]
    cloud.deliver()
    assert cloud.states() == ["delivered"]
