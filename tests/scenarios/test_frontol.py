"""A Frontol store through the real door and the real core: bytes in, rows, bytes out; on both databases.

``Till`` speaks as docs/adapters/frontol.md tells: JSON under the MD5 of access key and body. ``Bill`` is a receipt.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from adapters import frontol
from gateway.books import Books as Asking
from gateway.credentials import LinkSecret
from gateway.exchange_log import ExchangeLog
from gateway.phone_codes import PhoneCodes
from gateway.pos import Pos, doors
from gateway.senders import NotSent
from gateway.settings import ExchangeLogLimits, GatewaySettings, LinkSettings
from processing.commands import BlockCard, ReadHold, ReadReceipt, Ref, RegisterHolder, VoidReceipt
from processing.results import HoldTold, ReceiptTold
from processing.units import major
from processing.verify import verify
from tests.processing.books import MOSCOW, PLAIN, POINTS, SLOW, Books

LINK, SECRET = "frontol", b"access-key-of-the-store"
CLOSE_SECONDS = 10
TWINS = 6
PHONE = "+79123456789"

_uids = itertools.count(1)

# What does not differ between the databases.
on_sqlite = pytest.mark.parametrize("books", ["sqlite"], indirect=True)


class Phones:
    """Where codes go; ``works`` False: the SMS gateway is away."""

    is_there = True

    def __init__(self) -> None:
        self.works = True
        self.texts: list[tuple[str, str]] = []

    def send(self, phone: str, text: str) -> None:
        if not self.works:
            raise NotSent("away")
        self.texts.append((phone, text))


@dataclass(frozen=True)
class Answer:
    status: str
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body, parse_float=Decimal)
        return told

    @property
    def code(self) -> int:
        return int(self.told["code"])

    @property
    def screen(self) -> list[str]:
        return [block["text"] for block in self.told["cashierInformation"]]

    @property
    def slip(self) -> list[tuple[str, str]]:
        return [
            (block.get("left", block.get("text", "")), block.get("right", ""))
            for slip in self.told["printingInformation"]
            for block in slip
        ]

    def by_line(self, name: str) -> dict[int, Decimal]:
        return {each["index"]: each[name] for each in self.told["document"]["positions"]}


@dataclass
class Till:
    """A door with one link before the books of a test."""

    books: Books
    pos: Pos
    phones: Phones
    workplace: str = "3"

    def send(self, path: str, told: Any, key: bytes = SECRET, digest: str = "") -> Answer:
        """The answer to one message; what is no bytes is written as JSON."""
        body = told if isinstance(told, bytes) else json.dumps(told, ensure_ascii=False, default=str).encode()
        said: list[Any] = []
        environ = {
            "PATH_INFO": f"/pos/{LINK}/{path}",
            "REQUEST_METHOD": "POST",
            "QUERY_STRING": "",
            "REMOTE_ADDR": "192.0.2.7",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_AUTHORIZATION": f"FrontolAuth {digest or hashlib.md5(key + body).hexdigest()}",
            "wsgi.input": io.BytesIO(body),
        }
        answer = b"".join(self.pos(environ, lambda status, headers: said.extend((status, headers))))
        return Answer(said[0], answer)

    def done(self, told: Any, path: str = "document") -> Answer:
        answer = self.send(path, told)
        assert (answer.status, answer.code) == ("200 OK", 0), answer.body.decode()
        return answer

    def refused(self, told: Any, path: str = "document") -> Answer:
        """The answer to what must be refused, with a text in Russian, and leave nothing behind."""
        before = self.everything()
        answer = self.send(path, told)
        assert answer.status == "200 OK"
        assert answer.code > 0
        assert any("а" <= letter <= "я" for letter in answer.told["error"])
        assert self.everything() == before
        return answer

    def quietly(self, told: Any, path: str = "document") -> Answer:
        """The answer to what must not write."""
        before = self.everything()
        answer = self.done(told, path)
        assert self.everything() == before
        return answer

    def everything(self) -> dict[str, Any]:
        counted = ("operation", "receipt", "lot", "account", "hold", "request_key", "confirmation_code", "holder")
        return {
            "entries": self.books.entries(),
            "keys": self.books.rows("SELECT store_id, key, state, operation_id, answer FROM request_key ORDER BY 1, 2"),
            "counts": [self.books.count(table) for table in counted],
            "holds": self.books.rows("SELECT id, state, amount, captured FROM hold ORDER BY id"),
        }

    def kinds(self) -> list[str]:
        rows = self.books.rows("SELECT kind FROM operation WHERE kind <> 'adjustment' ORDER BY id")
        return [kind for (kind,) in rows]

    def flags(self) -> set[str]:
        """Of the last operation."""
        ((told,),) = self.books.rows("SELECT flags FROM operation ORDER BY id DESC LIMIT 1")
        return set((told or "").split(",")) - {""}

    def free(self, card: str) -> int:
        return self.books.balances(card)[POINTS].available

    def held(self, bill: Bill) -> str:
        """The state of what is held for a receipt, or nothing."""
        (told,) = self.books.core.answer([ReadHold(store=MOSCOW, key=f"frontol:hold:{bill.plain_uid}")])
        return told.state if isinstance(told, HoldTold) else ""

    def receipt(self, key: str) -> ReceiptTold:
        (told,) = self.books.core.answer([ReadReceipt(store=MOSCOW, key=key)])
        assert isinstance(told, ReceiptTold), told
        return told


@dataclass(frozen=True)
class Bill:
    """A receipt of two lines, 600.00 and 400.00, amounts in kopecks; ``card`` may be a phone."""

    card: str = ""
    lines: tuple[tuple[int, int], ...] = ((60_000, 2_000), (40_000, 1_000))
    bonus: int = 0
    minimum: tuple[int, ...] = (0, 0)
    number: int = 4120
    workplace: str = "3"
    at: str = "2026-05-04T12:00:00.000000+0300"
    uid: str = field(default_factory=lambda: f"{{0A11B22C-3D44-4E55-8F66-{next(_uids):012X}}}")

    @property
    def plain_uid(self) -> str:
        return self.uid.strip("{}").lower()

    @property
    def total(self) -> int:
        return sum(total for total, _ in self.lines)

    def calculate(self, **changes: Any) -> dict[str, Any]:
        return self._told("calculate", **changes)

    def pay(self, amount: int, **changes: Any) -> dict[str, Any]:
        return self._told("payByBonus", payment={"mode": "nonFiscal", "amount": major(amount, 2)}, **changes)

    def cancel(self, amount: int = 0) -> dict[str, Any]:
        payment = {"mode": "nonFiscal", "amount": major(amount, 2)}
        return self._told("cancelBonusPayment", payment=payment, payments=[{}])

    def confirm(self, **changes: Any) -> dict[str, Any]:
        payments = [{"type": "cash", "mode": "fiscal", "amount": Decimal(self.total - self.bonus) / 100}, {}]
        if self.bonus:
            payments.append({"type": "bonus", "mode": "nonFiscal", "amount": Decimal(self.bonus) / 100})
        return self._told("confirm", **{"payments": payments} | changes)

    def refund(self, *lines: tuple[int, int, int], number: int = 5001, **changes: Any) -> dict[str, Any]:
        """Of the sale so much comes back: (line, thousandths, kopecks)."""
        back = replace(self, uid=Bill().uid, number=number)
        positions = [
            {**back._position(place, total, quantity), "referenceIndex": index}
            for place, (index, quantity, total) in enumerate(lines, 1)
        ]
        paid = {"type": "cash", "mode": "fiscal", "amount": Decimal(sum(total for *_, total in lines)) / 100}
        told = {"type": "refundReceipt", "referenceUid": self.uid, "positions": positions, "payments": [paid]}
        return back._told("confirm", **{**told, **changes})

    def _told(self, call: str, /, **changes: Any) -> dict[str, Any]:
        who = {"mobilePhone" if self.card.startswith("+") else "card": self.card} if self.card else {}
        return {
            "dateTime": self.at,
            "organization": "1",
            "businessUnit": "spb-3",
            "workPlace": self.workplace,
            "cashier": {"code": 2, "name": "Demo", "text": "Demo"},
            "client": who,
            "action": call,
            "type": "receipt",
            "number": self.number,
            "shift": 118,
            "uid": self.uid,
            "positions": [self._position(place, *line) for place, line in enumerate(self.lines, 1)],
        } | changes

    def _position(self, place: int, total: int, quantity: int) -> dict[str, Any]:
        least = self.minimum[place - 1] if place <= len(self.minimum) else 0
        return {
            "index": place,
            "id": f"1002{place}",
            "text": "Tea 100 g",
            "price": Decimal(total * 1000 // quantity) / 100,
            "minimumPrice": Decimal(least) / 100,
            "quantity": Decimal(quantity) / 1000,
            "totalAmount": Decimal(total) / 100,
        }


@contextmanager
def open_till(books: Books, fiscal: str = "", **options: Any) -> Iterator[Till]:
    loaded = frontol.FrontolOptions().load({"unit": POINTS} | options)
    settings = LinkSettings(
        code=LINK,
        adapter="frontol",
        store=MOSCOW,
        enabled=True,
        secrets=(LinkSecret(hashlib.sha256(SECRET).digest(), SECRET),),
        addresses=(),
        options=loaded,
        fiscal={POINTS: fiscal} if fiscal else {},
    )
    zones = {code: info.zone.key for code, info in books.core.work.directory.stores.items()}
    log = ExchangeLog(books.database.writer, books.core.work.vault, ExchangeLogLimits())
    ask = Asking(books.core, GatewaySettings()).ask
    phones = Phones()
    database = books.database
    codes = PhoneCodes(phones, "{code}", books.core.work.vault, lambda: database.clock(database.host_clock()))
    adapters = {"frontol": frontol.ADAPTER}
    try:
        yield Till(books, Pos(_nowhere, doors({LINK: settings}, adapters, zones), ask, log, codes), phones)
    finally:
        assert log.close(CLOSE_SECONDS)


def _nowhere(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    raise AssertionError(f"{environ['PATH_INFO']} is not a till's")


@pytest.fixture
def till(books: Books) -> Iterator[Till]:
    with open_till(books) as opened:
        yield opened
    books.check_laws()
    assert [(check.name, check.rows) for check in verify(books.database) if check.rows] == []


# A sale ------------------------------------------------------------------------------------------------------


def test_a_sale_is_calculated_paid_with_points_and_closed(till: Till) -> None:
    card = till.books.card(10_000)
    bill = Bill(card, bonus=5_000)
    told = till.quietly(bill.calculate()).told
    assert told["client"] == {"availableAmount": Decimal("100.00")}
    assert [each["discountAmount"] for each in told["document"]["positions"]] == [0, 0]
    paid = till.done(bill.pay(5_000))
    assert paid.by_line("paidAmount") == {1: Decimal("30.00"), 2: Decimal("20.00")}
    assert (till.free(card), till.books.balance(card), till.kinds()) == (5_000, 10_000, [])
    answer = till.done(bill.confirm())
    # 5 % of the 950.00 that were paid with money.
    assert answer.slip == [("Списано", "50.00"), ("Начислено", "47.50"), ("Баланс", "97.50")]
    assert (till.kinds(), till.flags(), till.held(bill)) == (["receipt"], set(), "captured")
    assert till.books.balance(card) == 9_750


def test_every_call_that_is_sent_again_is_answered_alike_and_changes_nothing(till: Till) -> None:
    card = till.books.card(10_000)
    bill = Bill(card, bonus=5_000)
    for told in (bill.calculate(), bill.pay(5_000), bill.confirm()):
        first = till.done(told)
        assert till.quietly(told).body == first.body
    assert till.quietly(bill.confirm(uid=bill.plain_uid.upper())).code == 0
    back = bill.refund((2, 1_000, 40_000))
    first = till.done(back)
    assert till.quietly(back).body == first.body
    assert till.kinds() == ["receipt", "return"]


def test_a_receipt_goes_on_whichever_call_is_lost(till: Till) -> None:
    """What is paid with points is paid with points, whether or not it was held, and whether the till heard so."""
    for lost in ("calculate", "pay", "both"):
        card = till.books.card(10_000)
        bill = Bill(card, bonus=5_000, number=4_200 + len(lost))
        if lost == "pay":
            till.done(bill.calculate())
        if lost == "calculate":
            till.done(bill.pay(5_000))
        till.done(bill.confirm())
        assert till.books.balance(card) == 9_750
        assert till.flags() == (set() if lost == "calculate" else {"hold_ended"})


@on_sqlite
def test_a_receipt_without_a_customer_is_recorded(till: Till) -> None:
    for number, client in enumerate(({}, None, {"card": "", "mobilePhone": ""})):
        bill = Bill(number=number)
        assert "client" not in till.quietly(bill.calculate(client=client)).told
        answer = till.done(bill.confirm(client=client))
        assert (answer.slip, till.flags()) == ([], set())
        assert till.receipt(f"frontol:uid:{bill.plain_uid}").document["receipt"]["total_minor"] == 100_000


@on_sqlite
def test_an_unknown_customer_stops_neither_calculation_nor_receipt(till: Till) -> None:
    bill = Bill("5550009999")
    answer = till.quietly(bill.calculate())
    assert answer.told["client"] == {}
    assert answer.screen == ["Карта не найдена. Проверьте номер"]
    till.done(bill.confirm())
    assert till.flags() == {"suspense"}
    assert till.refused(bill.pay(100)).told["error"].startswith("Карта не найдена")


@on_sqlite
def test_a_blocked_card_earns_nothing_and_the_receipt_stands(till: Till) -> None:
    card = till.books.card(10_000)
    till.books.done(BlockCard(store=MOSCOW, keys=("block",), card=Ref("card", card), reason="lost"))
    bill = Bill(card)
    answer = till.quietly(bill.calculate())
    assert (answer.told["client"]["availableAmount"], len(answer.screen)) == (0, 1)
    till.refused(bill.pay(100))
    assert till.done(bill.confirm()).screen == ["Карта не действует, баллы не начислены"]
    assert till.books.balance(card) == 10_000


@on_sqlite
def test_points_that_are_not_there_are_no_reason_to_stop_a_receipt(till: Till) -> None:
    """The fiscal receipt says that they were taken: the wallet owes them."""
    card = till.books.card(1_000)
    till.refused(Bill(card).pay(5_000))
    till.done(Bill(card, bonus=5_000).confirm())
    assert till.flags() == {"debt", "hold_ended"}
    assert till.books.balance(card) == -4_000 + 4_750


@on_sqlite
def test_bonuses_of_nobody_are_kept_apart_for_the_operator(till: Till) -> None:
    till.done(Bill(bonus=5_000).confirm())
    assert till.flags() == {"suspense"}


@on_sqlite
def test_an_offline_receipt_counts_when_it_was_closed(till: Till) -> None:
    card = till.books.card(0)
    bill = Bill(card, at="2026-05-03T23:57:00.000000+0300")
    till.done(bill.confirm())
    told = till.receipt("frontol:3:2026-05-03:118:4120")
    assert told == till.receipt("frontol:3:2026-05-04:118:4120")
    closed = datetime(2026, 5, 3, 20, 57, tzinfo=UTC)
    earned = [till.books.balances(card, at)[POINTS].balance for at in (closed - timedelta(seconds=1), closed)]
    assert earned == [0, 5_000]


def test_a_receipt_that_another_source_has_told_is_not_posted_again(till: Till) -> None:
    """The report file names it by till, day, shift and number, and knows no uid; the same payments are the same."""
    bill = Bill(till.books.card(0))
    till.done(bill.confirm(uid=""))
    assert till.done(bill.confirm()).code == 0
    assert till.quietly(bill.confirm()).code == 0
    assert till.kinds() == ["receipt"]


@on_sqlite
def test_a_closed_receipt_with_other_payments_stops_no_till_and_moves_nothing(till: Till) -> None:
    bill = Bill(till.books.card(10_000))
    till.done(bill.confirm())
    told = bill.confirm(payments=[{"type": "cash", "mode": "fiscal", "amount": 1}])
    assert till.quietly(told).screen == []
    key = f"frontol:uid:{bill.plain_uid}"
    till.books.done(VoidReceipt(store=MOSCOW, keys=(key,), reason="return"))
    assert till.quietly(bill.confirm()).screen == []


@on_sqlite
def test_lines_cost_what_was_paid_for_them(till: Till) -> None:
    """Whether a till tells sums before or after bonuses, rounding and our discount: the payments decide."""
    reduced = Bill(lines=((57_000, 2_000), (38_000, 1_000)), number=1)
    dear = {"price": 300}, {"price": 400}
    cash, bonus = {"type": "cash", "amount": "950.00"}, {"type": "bonus", "amount": "50"}
    sums = {}
    for name, payments, off in (
        ("before bonuses", [cash | {"amount": "900"}, bonus], ("0", "0")),
        ("after bonuses", [cash, bonus], ("0", "0")),
        ("rounded", [cash | {"amount": "949.60"}], ("0.40", "0")),
        ("all of it by bonuses", [bonus | {"amount": "950"}, cash | {"amount": 0}], ("0", "0")),
        ("with a discount in the payments only", [cash | {"amount": "855"}], ("0", "0")),
        ("with change in the payments", [cash | {"amount": "5000"}], ("0", "0")),
    ):
        told = replace(reduced, uid=Bill().uid, number=len(sums)).confirm(payments=payments)
        told["positions"] = [
            position | price | {"discardedAmount": less}
            for position, price, less in zip(told["positions"], dear, off, strict=True)
        ]
        till.done(told)
        document = till.receipt(f"frontol:uid:{told['uid'].strip('{}').lower()}").document
        sums[name] = [line["sum_minor"] for line in document["receipt"]["lines"]], "payments_differ" in till.flags()
    assert sums == {
        "before bonuses": ([57_000, 38_000], False),
        "after bonuses": ([60_000, 40_000], False),
        "rounded": ([56_960, 38_000], False),
        "all of it by bonuses": ([57_000, 38_000], False),
        "with a discount in the payments only": ([51_300, 34_200], True),
        "with change in the payments": ([57_000, 38_000], True),
    }


# Holds -------------------------------------------------------------------------------------------------------


def test_what_is_held_is_nobody_elses_until_it_is_given_up(till: Till) -> None:
    card = till.books.card(10_000)
    first, second = Bill(card), Bill(card, workplace="4", number=7)
    till.done(first.pay(8_000))
    assert till.quietly(second.calculate()).told["client"]["availableAmount"] == 20
    assert "Доступно 20.00" in till.refused(second.pay(5_000)).told["error"]
    till.done(first.cancel(8_000))
    assert (till.free(card), till.held(first)) == (10_000, "released")
    till.quietly(first.cancel(8_000))
    till.done(second.pay(5_000))


def test_points_are_held_changed_given_up_and_held_again_for_one_receipt(till: Till) -> None:
    card, other = till.books.card(10_000), till.books.card(3_000)
    bill = Bill(card)
    for amount in (4_000, 6_000, 6_000):
        till.done(bill.pay(amount))
        assert till.free(card) == 10_000 - amount
    till.done(bill.cancel())
    till.done(bill.pay(6_000))
    assert till.free(card) == 4_000
    till.done(replace(bill, card=other).pay(3_000))
    assert (till.free(card), till.free(other)) == (10_000, 0)
    till.done(replace(bill, card=other, bonus=3_000).confirm())
    assert till.flags() == set()
    till.refused(replace(bill, card=other).pay(100))


def test_a_new_calculation_gives_up_what_was_held_and_otherwise_writes_nothing(till: Till) -> None:
    card = till.books.card(10_000)
    bill = Bill(card)
    till.quietly(bill.calculate())
    till.done(bill.pay(8_000))
    assert till.done(bill.calculate()).told["client"]["availableAmount"] == 100
    assert (till.free(card), till.held(bill)) == (10_000, "released")
    till.done(bill.pay(8_000))
    till.done(bill.calculate(client={}))
    assert till.free(card) == 10_000
    till.quietly(bill.calculate())


def test_a_receipt_that_is_closed_without_points_gives_up_what_was_held(till: Till) -> None:
    card = till.books.card(10_000)
    bill = Bill(card)
    till.done(bill.pay(8_000))
    till.done(bill.confirm())
    assert (till.held(bill), till.free(card)) == ("released", 15_000)


def test_a_hold_ends_by_itself_and_its_receipt_is_closed_all_the_same(till: Till) -> None:
    card = till.books.card(10_000)
    bill = Bill(card, bonus=8_000)
    till.done(bill.pay(8_000))
    till.books.clock.forward(minutes=16)  # type: ignore[union-attr]
    assert till.quietly(Bill(card, number=8).calculate()).told["client"]["availableAmount"] == 100
    till.done(bill.confirm())
    assert till.flags() == {"hold_late"}
    assert till.books.balance(card) == 10_000 - 8_000 + 4_600


@on_sqlite
def test_a_receipt_pays_what_was_held_or_a_part_of_it(till: Till) -> None:
    card = till.books.card(10_000)
    bill = Bill(card, bonus=3_000)
    till.done(bill.pay(8_000))
    till.done(bill.confirm())
    assert (till.flags(), till.free(card)) == (set(), 10_000 - 3_000 + 4_850)


@on_sqlite
def test_no_more_is_held_than_the_programme_lets_pay(till: Till) -> None:
    card = till.books.card(90_000, product=SLOW)
    bill = Bill(card)
    assert till.quietly(bill.calculate()).told["client"]["availableAmount"] == 500
    assert "Не больше 500.00" in till.refused(bill.pay(50_001)).told["error"]
    till.done(bill.pay(50_000))


@on_sqlite
def test_points_leave_every_line_its_least_price(till: Till) -> None:
    card = till.books.card(90_000)
    bill = Bill(card, minimum=(29_000, 10_000))
    assert till.quietly(bill.calculate()).told["client"]["availableAmount"] == 320
    till.refused(bill.pay(32_001))
    assert till.done(bill.pay(16_001)).by_line("paidAmount") == {1: Decimal("10.00"), 2: Decimal("150.01")}
    till.done(replace(bill, bonus=16_001).confirm())
    assert till.done(bill.refund((1, 2_000, 60_000))).slip[0] == ("Возвращено баллов", "10.00")


def test_twins_of_a_hold_and_two_tills_spend_nothing_twice(till: Till) -> None:
    card = till.books.card(10_000)
    bills = [Bill(card, number=n, workplace=str(n % 2)) for n in range(TWINS)]
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda told=told: answers.append(till.send("document", told)))  # type: ignore[misc]
        for bill in bills
        for told in (bill.pay(4_000), bill.pay(4_000))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 2 * TWINS
    assert sum(answer.code == 0 for answer in answers) == 4
    assert [till.held(bill) for bill in bills].count("open") == 2
    assert till.free(card) == 2_000


# Refunds -----------------------------------------------------------------------------------------------------


def test_goods_come_back_in_parts_and_give_back_what_they_were_paid_with(till: Till) -> None:
    card = till.books.card(10_000)
    bill = Bill(card, bonus=5_000)
    till.done(bill.confirm())
    half = till.done(bill.refund((1, 1_000, 30_000), number=1))
    assert half.slip == [("Возвращено баллов", "15.00"), ("Отозвано начислений", "14.25"), ("Баланс", "98.25")]
    till.done(bill.refund((1, 1_000, 30_000), (2, 1_000, 40_000), number=2))
    assert (till.books.balance(card), till.flags()) == (10_000, set())
    till.done(bill.refund((2, 1_000, 40_000), number=3))
    assert (till.books.balance(card), till.flags()) == (10_000, {"over_returned"})


@on_sqlite
def test_a_refund_of_a_sale_that_nobody_knows_is_recorded_by_its_own_payments(till: Till) -> None:
    card = till.books.card(10_000)
    bonus = {"type": "bonus", "mode": "nonFiscal", "amount": "20.00"}
    cash = {"type": "cash", "mode": "fiscal", "amount": "380.00"}
    till.done(Bill(card).refund((2, 1_000, 40_000), payments=[bonus, cash]))
    assert till.flags() == {"sale_unknown"}
    assert till.books.balance(card) == 10_000 + 2_000 - 1_900


@on_sqlite
def test_a_refund_without_reference_finds_the_line_by_its_goods(till: Till) -> None:
    card = till.books.card(0)
    bill = Bill(card)
    till.done(bill.confirm())
    told = bill.refund((1, 1_000, 40_000))
    told["positions"][0] |= {"id": "10022", "referenceIndex": 0}
    till.done(told)
    assert [each.number for each in till.receipt(f"frontol:uid:{told['uid'].strip('{}').lower()}").returned] == [2]


@on_sqlite
def test_a_refund_of_nothing_but_numbers_with_a_minus_is_the_same(till: Till) -> None:
    card = till.books.card(0)
    bill = Bill(card)
    till.done(bill.confirm())
    told = bill.refund((2, 1_000, 40_000))
    told["positions"][0] |= {"quantity": -1, "totalAmount": -400}
    till.done(told | {"payments": [{"type": "cash", "amount": -400}]})
    assert (till.books.balance(card), till.flags()) == (3_000, set())


# Customers ---------------------------------------------------------------------------------------------------

REGISTRATION = {"product": PLAIN, "birthday": True, "notice": "Согласие на обработку данных"}


def filled(action: str, **changes: str) -> dict[str, Any]:
    values = {"mobilePhone": "8 (912) 345-67-89", "name": "Анна", "birthday": "01.02.1990"} | changes
    told = [{"name": name, "value": value} for name, value in values.items()]
    return {"action": action, "dateTime": "2026-05-04T12:00:00+03:00", "workPlace": "3", "values": told}


def test_a_customer_is_registered_with_a_code_and_buys_by_phone(books: Books) -> None:
    with open_till(books, registration=REGISTRATION) as till:
        form = till.quietly({"action": "describe", "client": {"mobilePhone": PHONE}}, "extra/client/").told["form"]
        elements = {element["name"]: element for element in form["elements"] if "name" in element}
        assert (list(elements), elements["mobilePhone"]["default"]) == (["mobilePhone", "name", "birthday"], PHONE)
        checked = till.done(filled("check"), "extra/client")
        code = checked.told["client"]["validationCode"]
        assert till.phones.texts == [("8 (912) 345-67-89", code)]
        assert till.done(filled("check"), "extra/client").body == checked.body
        assert len(till.phones.texts) == 1
        registered = till.done(filled("execute"), "extra/client")
        assert till.quietly(filled("execute"), "extra/client").body == registered.body
        number = registered.told["printingInformation"][0][-1]["data"]
        assert registered.screen == [f"Карта {number} оформлена"]
        again = filled("execute") | {"dateTime": "2026-05-04T12:30:00+03:00"}
        assert "уже у другого участника" in till.refused(again, "extra/client").told["error"]
        till.done(Bill(PHONE).confirm())
        assert books.balance(number) == 5_000
        assert till.quietly({"client": {"mobilePhone": PHONE}}, "client/").screen == [
            f"*{number[-4:]}",
            PLAIN,
            "Баланс: 50.00",
        ]
    books.check_laws()


@on_sqlite
def test_a_code_that_did_not_leave_leaves_with_the_next_try_and_codes_are_few(books: Books) -> None:
    with open_till(books, registration=REGISTRATION) as till:
        till.phones.works = False
        assert "не отправлен" in till.send("extra/client", filled("check")).told["error"]
        till.phones.works = True
        code = till.done(filled("check"), "extra/client").told["client"]["validationCode"]
        assert [text for _, text in till.phones.texts] == [code]
        for name in ("Вера", "Нина"):
            assert till.done(filled("check", name=name), "extra/client").told["client"]["validationCode"] != code
        assert "слишком много кодов" in till.refused(filled("check", name="Ольга"), "extra/client").told["error"]
        for broken in ({"mobilePhone": ""}, {"mobilePhone": "12"}, {"name": ""}, {"birthday": "30.02.1990"}):
            till.refused(filled("check", **broken), "extra/client")
            till.refused(filled("execute", **broken), "extra/client")


@on_sqlite
def test_a_customer_with_a_card_registers_it(books: Books) -> None:
    with open_till(books, registration={"confirm_phone": False}) as till:
        card = books.card(500)
        assert till.quietly(filled("check", card=card), "extra/client").told["client"] == {}
        till.done(filled("execute", card=card), "extra/client")
        assert till.quietly(Bill(PHONE).calculate()).told["client"]["availableAmount"] == 5
        assert (
            "уже есть владелец" in till.refused(filled("execute", card=card, name="Вера"), "extra/client").told["error"]
        )


@on_sqlite
def test_a_link_without_registration_says_so(till: Till) -> None:
    till.refused(filled("describe"), "extra/client")


@on_sqlite
def test_a_customer_is_verified_with_one_code_however_often_it_is_calculated(books: Books) -> None:
    with open_till(books, verify_client=True, electronic_check="any") as till:
        card = books.card(10_000)
        books.done(RegisterHolder(store=MOSCOW, keys=("anna",), card=Ref("card", card), name="A", phone=PHONE))
        bill = Bill(card)
        told = till.done(bill.calculate()).told
        assert told["client"]["mobilePhone"] == PHONE
        assert told["electronicCheck"] == {"form": "electronicAndPrinted", "contact": "mobilePhone"}
        assert told["client"]["validationCode"] == till.phones.texts[0][1]
        assert till.done(bill.calculate()).told == told
        known = till.quietly(bill.calculate(client={"card": card, "validationCode": "1"})).told
        assert "validationCode" not in known["client"]
        assert len(till.phones.texts) == 1
        unknown = till.quietly(Bill(books.card(1)).calculate())
        assert unknown.told["client"] == {"availableAmount": 0}
        assert any("телефоном" in text for text in unknown.screen)


# The fiscal receipt, slips -----------------------------------------------------------------------------------


@on_sqlite
def test_points_as_a_form_of_payment_leave_the_lines_as_they_are(books: Books) -> None:
    with open_till(books, fiscal="tender") as till:
        bill = Bill(books.card(10_000), bonus=5_000)
        assert "document" not in till.done(bill.pay(5_000)).told
        assert till.done(bill.confirm()).slip[0] == ("Оплачено", "50.00")


@on_sqlite
def test_slips_stand_between_the_links_header_and_footer(books: Books) -> None:
    blocks = [{"type": "line", "symbol": "="}, {"type": "qrcode", "data": "https://example.org", "correction": "high"}]
    with open_till(books, slip_header=blocks[:1], slip_footer=[*blocks, {"type": "br"}]) as till:
        ((first, *_, code, end),) = till.done(Bill(books.card(0)).confirm()).told["printingInformation"]
        assert (first, code, end) == (blocks[0], blocks[1], {"type": "br"})
        assert till.quietly(Bill().calculate()).told["printingInformation"] == []


# The door ----------------------------------------------------------------------------------------------------


@on_sqlite
def test_only_who_knows_the_access_key_is_heard(till: Till) -> None:
    bill = Bill(till.books.card(100))
    before = till.everything()
    for answer in (till.send("document", bill.confirm(), key=b"another"), till.send("document", b"{}", digest="0")):
        assert answer.status == "401 Unauthorized"
        assert answer.code > 0
    body = json.dumps(bill.confirm(), default=str).encode()
    assert till.send("document", body + b" ", digest=hashlib.md5(SECRET + body).hexdigest()).code > 0
    assert till.everything() == before
    assert till.send("document", body, digest=hashlib.md5(SECRET + body).hexdigest().upper()).code == 0


@on_sqlite
def test_a_tail_behind_a_message_that_was_overheard_makes_no_message(till: Till) -> None:
    """Who has heard message and digest can make the digest of message + padding + tail without the key: the door
    lets it in, and it is no JSON document, whatever the tail."""
    body = json.dumps(Bill(till.books.card(100)).confirm(), default=str).encode()
    overheard = hashlib.md5(SECRET + body).hexdigest()
    for tail in (b"", b" ", b'{"action": "confirm"}', body):
        padding = padding_of(len(SECRET) + len(body))
        forged = extended(overheard, len(SECRET) + len(body) + len(padding), tail)
        assert forged == hashlib.md5(SECRET + body + padding + tail).hexdigest()
        before = till.everything()
        answer = till.send("document", body + padding + tail, digest=forged)
        assert (answer.status, answer.code) == ("200 OK", 30)
        assert till.everything() == before


NONSENSE: list[dict[str, Any]] = [
    {"action": "drop"},
    {"positions": {}},
    {"positions": [{}]},
    {"positions": [{"index": 1, "quantity": "much", "totalAmount": 1}]},
    {"positions": [{"index": 1, "quantity": 1, "totalAmount": "-1"}]},
    {"payments": [{"type": "cash", "amount": "1.005"}]},
    {"uid": "not a uuid!", "number": None},
    {"uid": None, "number": None},
    {"uid": "{00000000-0000-0000-0000-000000000000}", "shift": None},
    {"client": "7700000000123"},
    {"number": 1.5},
]


@on_sqlite
def test_nonsense_is_refused_with_a_text_for_the_cashier(till: Till) -> None:
    for spoilt in NONSENSE:
        till.refused(Bill(till.books.card(100)).confirm(**spoilt))


@on_sqlite
def test_tills_of_other_stores_and_unknown_calls_are_refused(books: Books) -> None:
    with open_till(books, business_units=["spb-3"], workplaces=["3"]) as till:
        bill = Bill(books.card(100))
        till.refused(bill.confirm(businessUnit="msk-1"))
        till.refused(replace(bill, workplace="9").calculate())
        assert till.send("no/such", b"{}").code > 0
        till.done(bill.confirm())


def padding_of(length: int) -> bytes:
    """How MD5 fills up what it has read."""
    return b"\x80" + b"\0" * ((55 - length) % 64) + struct.pack("<Q", 8 * length)


def extended(digest: str, length: int, tail: bytes) -> str:
    """MD5 taken on from a digest: of ``length`` bytes that led to it, and then the tail."""
    state = list(struct.unpack("<4I", bytes.fromhex(digest)))
    data = tail + padding_of(length + len(tail))
    for start in range(0, len(data), 64):
        state = _round(state, data[start : start + 64])
    return struct.pack("<4I", *state).hex()


_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_MASK = 0xFFFFFFFF


def _round(state: list[int], block: bytes) -> list[int]:
    import math

    words = struct.unpack("<16I", block)
    a, b, c, d = state
    for i in range(64):
        f, g = (
            ((b & c) | (~b & d), i),
            ((d & b) | (~d & c), (5 * i + 1) % 16),
            (b ^ c ^ d, (3 * i + 5) % 16),
            (c ^ (b | (~d & _MASK)), (7 * i) % 16),
        )[i // 16]
        f = (f + a + int(abs(math.sin(i + 1)) * 2**32) + words[g]) & _MASK
        turn = _SHIFTS[i // 16][i % 4]
        a, d, c, b = d, c, b, (b + ((f << turn) | (f >> (32 - turn)))) & _MASK
    return [(one + two) & _MASK for one, two in zip(state, (a, b, c, d), strict=True)]
