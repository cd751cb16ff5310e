"""The till plugin's contract through the real door: a Python twin of the plugin, whose line fails at every step.

``Plugin`` does what docs/adapters/iiko_plugin.md asks of the real one: callbacks of iikoFront in, nine operations out,
and a queue on its disk for what must arrive. ``Line`` loses, repeats and delays. Whatever it does, the books are those
of the till's own receipts.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters import iiko_plugin
from gateway.books import Books as Asking
from gateway.credentials import LinkSecret
from gateway.exchange_log import ExchangeLog
from gateway.pos import Pos, doors
from gateway.settings import ExchangeLogLimits, GatewaySettings, LinkSettings
from processing.commands import IssueCard, ReadReceipt, ReadTurnover, Ref, RegisterHolder, SetPin
from processing.errors import Busy
from processing.results import ReceiptTold, Turnover
from processing.verify import verify
from tests.processing.books import MONEY, MOSCOW, PINNED, PLAIN, POINTS, SLOW, Books
from tests.scenarios.test_iiko_webhooks import event, open_cloud, pos_id

LINK, SECRET = "front", "secret-of-the-plugin-123456"
CLOSE_SECONDS = 10
SOUP, JUICE = "7c1d2f55-0f4b-4a7c-9f42-5f5d5f0a1b44", "8d1d2f55-0f4b-4a7c-9f42-5f5d5f0a1b45"
AT = "2026-05-04T11:59:00+03:00"
RICH = 1_000_00

Json = dict[str, Any]

_names = itertools.count(1)
on_sqlite = pytest.mark.parametrize("books", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("books", ["postgresql"], indirect=True)


def new_uuid() -> str:
    return f"0c0a7b5e-93a6-4a7f-8c8e-{next(_names):012d}"


def item(goods: str, total: int, amount: str = "1", **told: Any) -> Json:
    return {
        "id": f"position of {goods[:4]}",
        "goods": goods,
        "name": "Dish",
        "amount": amount,
        "sumMinor": total,
        **told,
    }


class LineDown(Exception):
    """No answer was heard: nobody knows whether the request has arrived."""


@dataclass
class Server:
    """The link's door before the books of a test."""

    books: Books
    pos: Pos

    def send(self, operation: str, told: Json, secret: str = f"Bearer {SECRET}") -> tuple[int, Json]:
        body, said = json.dumps(told).encode(), list[Any]()
        environ = {
            "PATH_INFO": f"/pos/{LINK}/plugin/v1/{operation}",
            "REQUEST_METHOD": "POST",
            "QUERY_STRING": "",
            "REMOTE_ADDR": "192.0.2.7",
            "HTTP_AUTHORIZATION": secret,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        answer = b"".join(self.pos(environ, lambda status, headers: said.extend((status, headers))))
        return int(said[0].split()[0]), json.loads(answer)

    def done(self, operation: str, **told: Any) -> Json:
        status, answer = self.send(operation, told)
        assert status == 200, answer
        return answer

    def refused(self, operation: str, status: int, error: str, **told: Any) -> Json:
        before = self.everything()
        found, answer = self.send(operation, told)
        assert (found, answer["error"]) == (status, error), answer
        assert answer["message"]
        assert self.everything() == before
        return answer

    def everything(self) -> Any:
        held = self.books.rows("SELECT id, amount FROM hold WHERE state = 'open' ORDER BY id")
        return self.books.entries(), held, self.books.count("operation"), self.books.count("receipt")


@contextmanager
def open_server(books: Books, **options: Any) -> Iterator[Server]:
    zones = {code: info.zone.key for code, info in books.core.work.directory.stores.items()}
    log = ExchangeLog(books.database.writer, books.core.work.vault, ExchangeLogLimits())
    told: Json = {
        "wallets": [
            {"unit": POINTS, "name": "Бонусы", "type": "points"},
            {"unit": MONEY, "name": "Подарочная карта", "type": "money"},
        ]
    }
    link = LinkSettings(
        code=LINK,
        adapter="iiko_plugin",
        store=MOSCOW,
        enabled=True,
        secrets=(LinkSecret(hashlib.sha256(SECRET.encode()).digest()),),
        addresses=(),
        options=iiko_plugin.PluginOptions().load(told | options),
    )
    ask = Asking(books.core, GatewaySettings()).ask
    try:
        yield Server(books, Pos(_nowhere, doors({LINK: link}, {"iiko_plugin": iiko_plugin.ADAPTER}, zones), ask, log))
    finally:
        assert log.close(CLOSE_SECONDS)


def _nowhere(environ: Json, start_response: Any) -> Iterable[bytes]:
    raise AssertionError(f"{environ['PATH_INFO']} is not a till's")


@pytest.fixture
def server(books: Books) -> Iterator[Server]:
    with open_server(books) as opened:
        yield opened
    books.check_laws()
    assert [(check.name, check.rows) for check in verify(books.database) if check.rows] == []


# The twin ---------------------------------------------------------------------------------------------------

REQUEST, ANSWER, TWICE, LATE = FAULTS = ("request", "answer", "twice", "late")


@dataclass
class Line:
    """To the server, with one fault at its ``at``th call; what is ``late`` arrives when all is over."""

    server: Server
    at: int = -1
    fault: str = ""
    calls: list[str] = field(default_factory=list)
    late: list[tuple[str, Json]] = field(default_factory=list)

    def call(self, operation: str, told: Json) -> tuple[int, Json]:
        """Errors: LineDown."""
        self.calls.append(operation)
        fault = self.fault if len(self.calls) - 1 == self.at else ""
        if fault == LATE:
            self.late.append((operation, told))
        if fault in (REQUEST, LATE):
            raise LineDown(operation)
        answer = self.server.send(operation, told)
        if fault == TWICE:
            again = self.server.send(operation, told)
            assert again[0] == answer[0]
            assert {**again[1], "repeated": False} == {**answer[1], "repeated": False}
        if fault == ANSWER:
            raise LineDown(operation)
        return answer

    def settle(self) -> None:
        for operation, told in self.late:
            self.server.send(operation, told)


@dataclass
class Plugin:
    """What runs on the till. ``queue`` is on its disk: what is in it arrives, in its order, sooner or later."""

    line: Line
    card: str
    order: str = field(default_factory=new_uuid)
    wallet: str = POINTS
    items: tuple[Json, ...] = (item(SOUP, 300_00), item(JUICE, 200_00))
    queue: list[tuple[str, Json]] = field(default_factory=list)
    # What the till's own receipts say: the only truth.
    paid: dict[str, int] = field(default_factory=dict)
    clock: Iterator[str] = field(default_factory=lambda: (f"2026-05-04T11:00:{n:02}+03:00" for n in itertools.count()))

    def now(self, operation: str, **told: Any) -> Json | None:
        """What the waiter waits for. ``None``: refused, or nobody knows."""
        self.drain()
        if self.queue:
            return None
        try:
            status, answer = self.line.call(operation, told)
        except LineDown:
            return None
        return answer if status == 200 else None

    def later(self, operation: str, **told: Any) -> None:
        self.queue.append((operation, told))
        self.drain()

    def drain(self) -> None:
        while self.queue:
            operation, told = self.queue[0]
            try:
                status, answer = self.line.call(operation, told)
            except LineDown:
                return
            assert status in (200, 404, 409), answer
            self.queue.pop(0)

    # Callbacks of iikoFront (4.2)

    def on_payment_added(self, amount: int) -> bool:
        """CollectData and OnPaymentAdded: who is it, how much may be paid, and it is set aside."""
        found = self.now("identify", number=self.card, orderId=self.order)
        quoted = found and self.now("quote", orderId=self.order, card=found["card"], items=self.items, at=AT)
        if not quoted or amount > next(w["payableMinor"] for w in quoted["wallets"] if w["wallet"] == self.wallet):
            return False
        held = {"orderId": self.order, "card": self.card, "wallet": self.wallet, "amountMinor": amount}
        return self.now("reserve", **held, items=self.items, key=new_uuid()) is not None

    def pay(self, transaction: str, amount: int) -> bool:
        """Pay; no: the till hears PaymentActionFailedException.

        A payment that nobody has heard of may have arrived, or arrive yet: it is voided until that is known.
        """
        told: Json = {"transactionId": transaction, "orderId": self.order, "card": self.card, "wallet": self.wallet}
        before = [{"kind": "wallet", "wallet": self.wallet, "amountMinor": each} for each in self.paid.values()]
        told |= {"items": self.items, "payments": before}
        if self.now("pay", **told, amountMinor=amount, at=next(self.clock)) is None:
            self.later("void", transactionId=transaction, at=next(self.clock))
            return False
        self.paid[transaction] = amount
        return True

    def pay_at_last(self, amount: int, transaction: str = "") -> str:
        """The waiter presses the button again; the row of the order, and its transaction, are the same."""
        transaction = transaction or new_uuid()
        assert any(self.pay(transaction, amount) for _ in range(4))
        return transaction

    def emergency_cancel(self, transaction: str) -> None:
        """EmergencyCancelPayment, OnPaymentDeleting: the till goes on whatever we say."""
        del self.paid[transaction]
        self.later("void", transactionId=transaction, at=next(self.clock))

    def return_payment(self, transaction: str, amount: int) -> None:
        """ReturnPayment, with a returnId that is fixed before the first try."""
        told = {"returnId": new_uuid(), "transactionId": transaction, "amountMinor": amount, "at": AT}
        assert any(self.now("refund", **told) for _ in range(3))
        self.paid[transaction] -= amount

    def closed(self) -> None:
        """OrderChanged: Closed."""
        points = sum(self.paid.values())
        total = sum(each["sumMinor"] for each in self.items)
        paid = [{"kind": "wallet", "wallet": self.wallet, "amountMinor": points}] if points else []
        self.later(
            "commit",
            orderId=self.order,
            card=self.card,
            items=self.items,
            payments=[*paid, {"kind": "cash", "amountMinor": total - points}],
            at=AT,
            closedAt=AT,
        )

    def goods_returned(self, *items: Json) -> None:
        """OrderStorned."""
        self.later("refund", returnId=new_uuid(), orderId=self.order, items=items, at=AT)

    def deleted(self) -> None:
        """OrderChanged: Deleted."""
        self.later("cancel", orderId=self.order, at="2026-05-04T12:30:00+03:00")


def plain(till: Plugin) -> int:
    """A guest pays 200.00 of 500.00 with points: they are gone, and 5 % of the other 300.00 is earned."""
    till.on_payment_added(200_00)
    till.pay_at_last(200_00)
    till.closed()
    return RICH - 200_00 + 15_00


def printer_fails(till: Plugin) -> int:
    """Paid, not printed, rolled back; and paid again, another sum in the same row."""
    till.on_payment_added(200_00)
    row = till.pay_at_last(200_00)
    till.emergency_cancel(row)
    till.pay_at_last(250_00, row)
    till.closed()
    return RICH - 250_00 + 12_50


def partly_returned(till: Plugin) -> int:
    """The juice comes back: 80.00 of its 200.00 to the card, and with it what its own money has earned."""
    till.on_payment_added(200_00)
    transaction = till.pay_at_last(200_00)
    till.closed()
    till.return_payment(transaction, 50_00)
    till.return_payment(transaction, 30_00)
    till.goods_returned(item(JUICE, 200_00))
    return RICH - 200_00 + 15_00 + 80_00 - 6_00


def deleted_before(till: Plugin) -> int:
    """The tender's row is deleted, and then the order."""
    till.on_payment_added(200_00)
    till.emergency_cancel(till.pay_at_last(200_00))
    till.deleted()
    return RICH


def deleted_after(till: Plugin) -> int:
    """A closed order is deleted: the till gives the payment back and tells of the order."""
    till.on_payment_added(200_00)
    transaction = till.pay_at_last(200_00)
    till.closed()
    till.return_payment(transaction, 200_00)
    till.deleted()
    return RICH


def given_up(till: Plugin) -> int:
    """The guest pays with cash after all: nothing was taken, and what was set aside is free."""
    till.on_payment_added(200_00)
    till.closed()
    return RICH + 25_00


STORIES: tuple[Callable[[Plugin], int], ...] = (
    plain,
    printer_fails,
    partly_returned,
    deleted_before,
    deleted_after,
    given_up,
)
# No story has more calls, with those that a fault adds.
MOST_CALLS = 12


def play(server: Server, story: Callable[[Plugin], int], at: int = -1, fault: str = "") -> None:
    """The story with one fault; then the line is well, what is on the disk arrives, and what was late."""
    books = server.books
    till = Plugin(Line(server, at, fault), books.card(points=RICH))
    expected = story(till)
    till.drain()
    assert not till.queue
    till.line.settle()
    assert books.balance(till.card) == expected, (story.__name__, at, fault, till.line.calls)
    if not any(operation == "reserve" for operation, _ in till.line.late):
        # A reservation that comes when all is over ends by itself.
        assert books.balances(till.card)[POINTS].held == 0
    told = books.core.answer([ReadTurnover(refs=(Ref("card", till.card),))])[0]
    assert isinstance(told, Turnover)
    assert told.visits == (0 if story in (deleted_before, deleted_after) else 1), "a payment is no visit"


@on_postgresql
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_story_without_faults(server: Server, story: Callable[[Plugin], int]) -> None:
    play(server, story)


@on_sqlite
@settings(max_examples=12)
@given(story=st.sampled_from(STORIES), at=st.integers(0, MOST_CALLS - 1), fault=st.sampled_from(FAULTS))
@example(plain, 3, LATE)
@example(plain, 3, ANSWER)
@example(printer_fails, 4, LATE)
@example(partly_returned, 5, ANSWER)
@example(deleted_after, 4, LATE)
def test_whatever_the_line_does_the_books_are_those_of_the_till(
    server: Server, story: Callable[[Plugin], int], at: int, fault: str
) -> None:
    play(server, story, at, fault)


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_at_every_step(server: Server, story: Callable[[Plugin], int], fault: str) -> None:
    for at in range(MOST_CALLS):
        play(server, story, at, fault)


# Each operation ---------------------------------------------------------------------------------------------


def holder(
    books: Books, name: str = "Анна", phone: str = "+79990001122", points: int = RICH, product: str = PLAIN
) -> str:
    card = books.card(points=points, product=product)
    books.done(RegisterHolder(store=MOSCOW, keys=(books.key(),), card=Ref("card", card), name=name, phone=phone))
    return card


@on_sqlite
def test_identify_finds_by_whatever_was_read_and_has_a_line_for_the_waiter(server: Server) -> None:
    books = server.books
    card = holder(books, points=150_50)
    named = IssueCard(
        store=MOSCOW, keys=("i",), product=PLAIN, active=True, identifiers=(Ref("track", "T7"), Ref("barcode", "B7"))
    )
    other = books.done(named).number
    for told, number in (
        ({"number": card}, card),
        ({"phone": "8 (999) 000-11-22"}, card),
        ({"code": card}, card),
        ({"track": "T7"}, other),
        ({"code": "B7"}, other),
    ):
        assert server.done("identify", **told)["card"] == number
    found = server.done("identify", number=card, totalMinor=100_00)
    assert (found["guest"], found["usable"], found["line"]) == ("Анна", True, "Анна · Бонусы 150.50")
    bonus, gift = found["wallets"]
    assert (bonus["wallet"], bonus["availableMinor"], bonus["payableMinor"]) == (POINTS, 150_50, 100_00)
    assert (gift["wallet"], gift["balanceMinor"]) == (MONEY, 0)
    server.refused("identify", 404, "card_not_found", number="1234")
    server.refused("identify", 400, "bad_message", number=card, phone="1")
    books.set_status(card, "blocked")
    blocked = server.done("identify", number=card)
    assert (blocked["usable"], blocked["line"]) == (False, "Карта заблокирована. Примите другую оплату")


@on_sqlite
def test_a_quote_writes_nothing_and_counts_what_the_order_itself_has_reserved(server: Server) -> None:
    till = Plugin(Line(server), holder(server.books, product=SLOW, points=400_00))
    server.books.clock.forward(days=8)  # type: ignore[union-attr]  # they are there after a week
    asked: Json = {"orderId": till.order, "card": till.card, "items": till.items, "at": AT}
    before = server.everything()
    first = server.done("quote", **asked)
    assert server.everything() == before
    assert first["wallets"][0]["payableMinor"] == 250_00, "half of 500.00"
    assert [each["id"] for each in first["positions"]] == ["position of 7c1d", "position of 8d1d"]
    held: Json = {"orderId": till.order, "card": till.card, "wallet": POINTS, "items": till.items}
    server.done("reserve", **held, amountMinor=240_00, key="1")
    assert server.done("quote", **asked) == first
    assert server.done("quote", **asked | {"orderId": new_uuid()})["wallets"][0]["payableMinor"] == 160_00
    assert server.done("quote", **asked | {"items": till.items[:1]})["hash"] != first["hash"]


@on_sqlite
def test_a_reservation_is_repeated_refreshed_replaced_and_bound_by_the_programme(server: Server) -> None:
    books = server.books
    till = Plugin(Line(server), holder(books, product=SLOW, points=400_00))
    books.clock.forward(days=8)  # type: ignore[union-attr]
    asked: Json = {"orderId": till.order, "card": till.card, "wallet": POINTS, "items": till.items, "ttlSeconds": 600}
    first = server.done("reserve", **asked, amountMinor=200_00, key="a")
    books.clock.forward(minutes=5)  # type: ignore[union-attr]
    again = server.done("reserve", **asked, amountMinor=200_00, key="a")
    assert again == first | {"repeated": True}
    longer = server.done("reserve", **asked, amountMinor=200_00, key="b")
    assert longer["until"] > first["until"] and not longer["repeated"]
    less = server.done("reserve", **asked, amountMinor=50_00, key="c")
    assert (less["amountMinor"], less["availableMinor"]) == (50_00, 350_00)
    assert books.balances(till.card)[POINTS].held == 50_00
    limit = server.refused("reserve", 409, "limit_exceeded", **asked, amountMinor=250_01, key="d")
    assert limit["limitMinor"] == 250_00
    server.refused("reserve", 404, "unit_not_found", **asked | {"wallet": "MILES"}, amountMinor=1, key="e")
    books.clock.forward(minutes=11)  # type: ignore[union-attr]
    assert books.balances(till.card)[POINTS].available == 400_00, "it has ended by itself"


def test_a_payment_happens_once_and_not_after_its_void(server: Server) -> None:
    books = server.books
    till = Plugin(Line(server), books.card(points=RICH))
    told: Json = {"orderId": till.order, "card": till.card, "wallet": POINTS, "items": till.items, "at": AT}
    name = new_uuid()
    first = server.done("pay", **told, transactionId=name, amountMinor=100_00)
    assert (first["outcome"], first["wallets"][0]["balanceMinor"]) == ("paid", 900_00)
    assert server.done("pay", **told, transactionId=name, amountMinor=100_00) == first | {"repeated": True}
    server.refused("pay", 409, "key_reused", **told, transactionId=name, amountMinor=100_01)
    server.refused(
        "pay",
        409,
        "insufficient_points",
        **told | {"items": [item(SOUP, 9_000_00)]},
        transactionId=new_uuid(),
        amountMinor=1_000_00,
    )
    undone: Json = {"at": "2026-05-04T12:00:00+03:00"}
    voided = server.done("void", transactionId=name, **undone)
    assert (voided["outcome"], voided["wallets"][0]["balanceMinor"]) == ("voided", RICH)
    assert server.done("void", transactionId=name, **undone)["outcome"] == "voided"
    server.refused("pay", 409, "already_voided", **told, transactionId=name, amountMinor=100_00)
    early = new_uuid()
    assert server.done("void", transactionId=early, **undone)["outcome"] == "unknown"
    server.refused("pay", 409, "already_voided", **told, transactionId=early, amountMinor=100_00)
    # The waiter presses the button again: the row of the order is the same, the attempt is a newer one.
    for again in (name, early):
        newer = told | {"at": "2026-05-04T12:01:00+03:00"}
        assert server.done("pay", **newer, transactionId=again, amountMinor=70_00)["outcome"] == "paid"
        assert server.done("void", transactionId=again, **undone)["outcome"] == "nothing", "that void was before"
    assert books.balances(till.card)[POINTS].available == RICH - 140_00


@on_sqlite
def test_a_payment_is_bound_by_the_programme_in_sight_of_the_whole_order(server: Server) -> None:
    till = Plugin(Line(server), holder(server.books, product=SLOW, points=400_00))
    server.books.clock.forward(days=8)  # type: ignore[union-attr]
    told: Json = {"orderId": till.order, "card": till.card, "wallet": POINTS, "items": till.items, "at": AT}
    server.refused("pay", 409, "limit_exceeded", **told, transactionId=new_uuid(), amountMinor=250_01)
    assert (
        server.done("pay", **told, transactionId=new_uuid(), amountMinor=250_00)["wallets"][0]["redeemedMinor"]
        == 250_00
    )


@on_sqlite
def test_a_second_payment_is_bound_by_what_the_order_has_paid_in_all(server: Server) -> None:
    """Half of 500.00 by points, whatever the parts."""
    till = Plugin(Line(server), holder(server.books, product=SLOW, points=400_00))
    server.books.clock.forward(days=8)  # type: ignore[union-attr]
    till.pay_at_last(150_00)
    before = [{"kind": "wallet", "wallet": POINTS, "amountMinor": 150_00}]
    told: Json = {"orderId": till.order, "card": till.card, "items": till.items, "at": AT, "payments": before}
    quoted = server.done("quote", **told)
    assert quoted["wallets"][0]["payableMinor"] == 100_00
    asked: Json = told | {"wallet": POINTS}
    for operation, name in (("pay", {"transactionId": new_uuid()}), ("reserve", {"key": "k"})):
        limit = server.refused(operation, 409, "limit_exceeded", **asked, **name, amountMinor=100_01)
        assert limit["limitMinor"] == 100_00
    # What cash has paid takes nothing of the points' part, but nobody pays more than is left.
    cash = [*before, {"kind": "cash", "amountMinor": 280_00}]
    assert server.done("quote", **told | {"payments": cash})["wallets"][0]["payableMinor"] == 70_00
    till.pay_at_last(100_00)
    assert server.books.balance(till.card) == 150_00
    strange: Json = asked | {"payments": [{"kind": "points"}], "transactionId": new_uuid()}
    server.refused("pay", 400, "bad_message", **strange, amountMinor=1)


@on_sqlite
def test_a_payment_that_comes_behind_its_void_takes_no_reservation_away(server: Server) -> None:
    """It was late: the waiter has reserved anew by then, and pays with that."""
    till = Plugin(Line(server), server.books.card(points=RICH))
    till.on_payment_added(200_00)
    name, late = new_uuid(), {"at": "2026-05-04T10:59:00+03:00"}
    told: Json = {"orderId": till.order, "card": till.card, "wallet": POINTS, "items": till.items}
    server.done("void", transactionId=name, at=AT)
    server.refused("pay", 409, "already_voided", **told, **late, transactionId=name, amountMinor=200_00)
    assert server.books.balances(till.card)[POINTS].held == 200_00
    till.closed()
    server.refused("pay", 409, "already_voided", **told, **late, transactionId=name, amountMinor=200_00)
    till.deleted()
    server.refused("pay", 409, "already_voided", **told, **late, transactionId=name, amountMinor=200_00)
    assert server.books.balances(till.card)[POINTS].available == RICH


@on_sqlite
def test_a_refund_gives_back_parts_once_each_and_never_more_than_was_paid(server: Server) -> None:
    books = server.books
    till = Plugin(Line(server), books.card(points=RICH))
    paid = till.pay_at_last(100_00)
    back: Json = {"transactionId": paid, "at": AT}
    first = new_uuid()
    for _ in range(2):
        assert server.done("refund", **back, returnId=first, amountMinor=30_00)["wallets"][0]["balanceMinor"] == 930_00
    server.refused("refund", 409, "key_reused", **back, returnId=first, amountMinor=31_00)
    server.refused("refund", 409, "return_exceeds", **back, returnId=new_uuid(), amountMinor=70_01)
    server.done("refund", **back, returnId=new_uuid(), amountMinor=70_00)
    assert books.balance(till.card) == RICH
    server.refused("refund", 409, "return_exceeds", **back, returnId=new_uuid(), amountMinor=1)
    server.refused("refund", 404, "receipt_not_found", transactionId=new_uuid(), returnId=new_uuid(), amountMinor=1)


@on_sqlite
def test_a_refund_without_its_payment_is_as_the_link_says(books: Books) -> None:
    card = books.card(points=100_00)
    told: Json = {"card": card, "wallet": POINTS, "amountMinor": 50_00, "returnId": new_uuid(), "at": AT}
    with open_server(books) as server:
        server.refused("refund", 404, "receipt_not_found", **told)
    with open_server(books, refund_without_payment="accept") as server:
        for _ in range(2):
            server.done("refund", **told)
    assert books.balance(card) == 150_00


@on_sqlite
def test_gift_cards_pay_with_their_pin_and_their_money_earns_for_the_guest(server: Server) -> None:
    books = server.books
    guest = books.card()
    gift = books.card(200_00, MONEY, PINNED)
    books.done(SetPin(store=MOSCOW, keys=("pin",), card=Ref("card", gift), pin="4321"))
    till = Plugin(Line(server), guest)
    told: Json = {"orderId": till.order, "card": gift, "wallet": MONEY, "items": till.items, "at": AT}
    server.refused("pay", 409, "pin_required", **told, transactionId=new_uuid(), amountMinor=150_00)
    server.done("pay", **told, transactionId=new_uuid(), amountMinor=150_00, pin="4321")
    assert books.balance(gift, MONEY) == 50_00
    paid = [{"kind": "wallet", "wallet": MONEY, "amountMinor": 150_00}, {"kind": "card", "amountMinor": 350_00}]
    done = server.done("commit", orderId=till.order, card=guest, items=till.items, payments=paid, at=AT)
    assert done["wallets"][0]["earnedMinor"] == 25_00


@on_sqlite
def test_a_commit_hours_late_is_a_fact_and_a_newer_one_takes_its_place(server: Server) -> None:
    books = server.books
    till = Plugin(Line(server), books.card())
    books.set_status(till.card, "blocked")
    books.clock.forward(hours=9)  # type: ignore[union-attr]
    told: Json = {"orderId": till.order, "card": till.card, "payments": [], "closedAt": AT}
    late = server.done("commit", **told, items=till.items, at=AT)
    assert late["flags"] == ["card_not_usable"]
    (read,) = books.core.answer([ReadReceipt(store=MOSCOW, key=f"iiko:order:{till.order}")])
    assert isinstance(read, ReceiptTold)
    assert read.document["receipt"]["closed_at"] == "2026-05-04T08:59:00Z"
    books.set_status(till.card, "active")
    newer = server.done("commit", **told, items=till.items[:1], at="2026-05-04T12:00:00+03:00")
    assert newer["wallets"][0]["balanceMinor"] == 15_00
    stale = server.done("commit", **told, items=till.items, at=AT)
    assert stale["wallets"][0]["balanceMinor"] == 15_00
    server.done("cancel", orderId=till.order, at="2026-05-04T12:05:00+03:00")
    assert books.balance(till.card) == 0
    server.refused("commit", 409, "already_voided", **told, items=till.items, at=AT)


@on_sqlite
def test_an_order_ends_all_that_it_has_reserved(server: Server) -> None:
    books = server.books
    for end in ("commit", "cancel"):
        till = Plugin(Line(server), books.card(points=RICH))
        held: Json = {"orderId": till.order, "card": till.card, "wallet": POINTS, "items": till.items}
        server.done("reserve", **held, amountMinor=200_00, key="1")
        server.done(end, orderId=till.order, items=till.items, payments=[], at=AT)
        assert books.balances(till.card)[POINTS].held == 0
        assert books.balance(till.card) == RICH


@on_sqlite
def test_a_shift_is_taken_and_nothing_is_written(server: Server) -> None:
    before = server.everything()
    totals = [{"wallet": POINTS, "paidMinor": 100_00, "refundedMinor": 0}]
    assert server.done("shift", till="1", shift="17", event="close", totals=totals)["outcome"] == "taken"
    server.refused("shift", 400, "bad_message", till="1", shift="17", event="pause")
    assert server.everything() == before


@on_sqlite
def test_strangers_are_told_so_and_what_takes_too_long_may_be_sent_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in ("", f"Bearer {SECRET}1", SECRET[1:]):
        assert server.send("identify", {"number": "1"}, secret)[0] == 401
    waits: list[float | None] = []

    def ask(asks: Any, seconds: float | None = None) -> Any:
        waits.append(seconds)
        raise Busy("no answer in time")

    monkeypatch.setattr(server.pos, "_ask", ask)
    order: Json = {"orderId": new_uuid(), "items": [item(SOUP, 1)], "at": AT}
    assert server.send("identify", {"number": "1"})[0] == 503
    assert server.send("quote", order)[0] == 503
    assert server.send("cancel", order)[0] == 503
    assert waits == [iiko_plugin.LOOK_SECONDS, iiko_plugin.QUOTE_SECONDS, iiko_plugin.WRITE_SECONDS] == [2, 3, 8]


@on_sqlite
@pytest.mark.parametrize("is_first", [True, False], ids=["cloud first", "plugin first"])
@pytest.mark.parametrize("minutes", [-600, 600])
def test_an_order_that_the_cloud_tells_of_as_well_is_the_plugins(server: Server, minutes: int, is_first: bool) -> None:
    """Whichever comes first, and whatever time, sum and guest the cloud tells: the plugin has read the card."""
    books = server.books
    card, order = books.card(), new_uuid()
    told: Json = {"orderId": pos_id(order), "card": card, "items": [item(SOUP, 1_000_00)], "payments": [], "at": AT}
    # 11:59 in Moscow, and so many minutes before or after it.
    events = [event(order, 5_140_000 + minutes * 60_000, total=700, customer=None, phone=None)]
    with open_cloud(books) as cloud:
        for who in ("cloud", "plugin") if is_first else ("plugin", "cloud"):
            if who == "plugin":
                server.done("commit", **told)
            else:
                cloud.tell(*events)
                cloud.deliver()
        assert books.balance(card) == 50_00
        kept = cloud.receipt(order)
        assert kept is not None and kept == cloud.receipt(pos_id(order)), "by the cloud's id, too"
        cloud.tell(event(order, 6_000_000 + minutes * 60_000, "Deleted", customer=None, phone=None))
        cloud.deliver()
        assert books.balance(card) == 50_00, "its cancel tells that"
        server.done("cancel", orderId=pos_id(order), at="2026-05-04T12:30:00+03:00")
        cloud.tell(event(order, 7_000_000_000, customer=None, phone=None))
        cloud.deliver()
        assert books.balance(card) == 0 and set(cloud.states()) == {"delivered"}
