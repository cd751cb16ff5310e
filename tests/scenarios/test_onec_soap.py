"""A cash desk in 1C that speaks our SOAP service: strict zeep in, rows, answers out; on both databases.

``Desk`` does what a module in 1C's language has to do (docs/adapters/onec_soap.md, "The queue"): it makes a GUID before
the first send, pays with points only while the line works, and puts into its queue what it could not send.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
import zeep
import zeep.exceptions

from adapters import onec_soap
from tests.processing.books import MONEY, POINTS, Books
from tests.scenarios.soap_line import Line, Wire, line_to

CLOSED = datetime(2026, 5, 4, 19, 52, 30)  # the store's own time
TWINS = 8


@dataclass
class Desk:
    """A cash desk and the module in it."""

    line: Line
    version: str = ""
    queue: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        client = zeep.Client("http://loyalty.example/wsdl", transport=Wire(self.line))
        self.service = client.bind("Loyalty", f"LoyaltySoap{self.version}")

    def sell(self, card: str, points: str = "", total: str = "1000.00") -> Any:
        """A sale: points are paid only where the server says yes; what cannot be sent waits in the queue, as a fact."""
        asked = sale(card, points, total)
        try:
            return self.service.PostReceipt(**asked)
        except ConnectionError:
            if points:
                # Nobody knows whether the points are taken. The same again, or the sale goes back.
                self.queue.append({"VoidReceipt": {"Key": asked["Key"], "Reason": "rollback"}})
                asked = sale(card, "", total)
            self.queue.append({"PostReceipt": asked | {"Fact": True}})
            return None

    def send_queue(self) -> list[Any]:
        """All that waits, in its order; it is forgotten when the answer is there."""
        done = self.service.PostBatch(Items={"BatchItem": self.queue})
        assert done.ResultCode == "ok", done
        results = list(done.Results.Booked)
        # What may be repeated stays.
        self.queue = [item for item, result in zip(self.queue, results, strict=True) if result.Retry]
        return results


def sale(card: str, points: str = "", total: str = "1000.00", key: str = "", **changes: Any) -> dict[str, Any]:
    use: dict[str, Any] = {"Card": {"Value": card}}
    if points:
        use["Payments"] = {"Payment": [{"Sum": points}]}
    return {
        "Key": key or str(uuid.uuid4()).upper(),
        "Receipt": purchase(total),
        "Cards": {"CardUse": [use]},
    } | changes


def purchase(total: str = "1000.00") -> dict[str, Any]:
    goods = str(uuid.UUID(int=7))
    return {
        "Number": "00-000017",
        "Till": "Касса 1",
        "Date": CLOSED,
        "Lines": {"Line": [{"Number": 1, "Goods": goods, "Sum": total, "Quantity": "2.000"}]},
    }


@pytest.fixture
def line(books: Books) -> Iterator[Line]:
    with line_to(books, onec_soap.ADAPTER, "ws/Loyalty", {"units": [{"unit": POINTS}, {"unit": MONEY}]}) as line:
        yield line


@pytest.fixture(params=["", "12"], ids=["soap_1_1", "soap_1_2"])
def desk(line: Line, request: pytest.FixtureRequest) -> Desk:
    return Desk(line, request.param)


def test_a_sale_is_looked_up_quoted_paid_and_booked(books: Books, desk: Desk) -> None:
    card = books.card(45_000)
    told = desk.service.IdentifyCard(Card={"Value": card}, OrderTotal="1000.00")
    assert (told.ResultCode, told.Usable, told.CardNumber) == ("ok", True, card)
    balance = next(each for each in told.Balances.Balance if each.Unit == POINTS)
    assert str(balance.Available) == "450.00"
    asked = sale(card, "100.00")
    quoted = desk.service.QuoteReceipt(Receipt=asked["Receipt"], Cards=asked["Cards"])
    assert quoted.ResultCode == "ok"
    (movement,) = desk.service.PostReceipt(**asked).Movements.Movement
    assert (str(movement.Redeemed), movement.Earned) == ("100.00", quoted.Cards.QuotedCard[0].Earned)
    assert str(movement.Available) == str(books.balance(card) / 100).ljust(len(str(movement.Available)), "0")


@pytest.mark.parametrize("fails", [["before"], ["after"], ["after", "before", "after"]])
def test_a_call_that_was_lost_is_sent_again_and_booked_once(books: Books, line: Line, fails: list[str]) -> None:
    desk, card = Desk(line), books.card(45_000)
    once = sale(card, "100.00")
    desk.service.PostReceipt(**sale(books.card(45_000), "100.00", key=str(uuid.uuid4())))
    expected = books.count("operation") + 1
    line.fails = list(fails)
    for _ in fails:
        with pytest.raises(ConnectionError):
            desk.service.PostReceipt(**once)
    told = desk.service.PostReceipt(**once)
    assert (told.ResultCode, told.Repeated) == ("ok", "after" in fails)
    assert books.count("operation") == expected
    assert desk.service.PostReceipt(**once).Movements == told.Movements


def test_other_content_under_the_same_guid_is_refused(books: Books, desk: Desk) -> None:
    card, key = books.card(45_000), str(uuid.uuid4())
    assert desk.service.PostReceipt(**sale(card, "100.00", key=key)).ResultCode == "ok"
    told = desk.service.PostReceipt(**sale(card, "200.00", key=key.upper()))
    assert (told.ResultCode, told.Retry) == ("key_reused", False)


def test_the_queue_brings_what_happened_without_a_line_once(books: Books, line: Line) -> None:
    desk, card = Desk(line), books.card(45_000)
    line.fails = ["before", "after", "before"]
    # The second one was paid with points: the answer was lost, so that it goes back and is sold for money.
    assert [desk.sell(card), desk.sell(card, "100.00"), desk.sell(card)] == [None] * 3
    assert [next(iter(item)) for item in desk.queue] == ["PostReceipt", "VoidReceipt", "PostReceipt", "PostReceipt"]
    line.fails = ["after"]
    with pytest.raises(ConnectionError):
        desk.send_queue()
    before = books.balance(card)
    results = desk.send_queue()
    assert [(each.ResultCode, each.Repeated) for each in results] == [("ok", True)] * 4
    assert (desk.queue, books.balance(card)) == ([], before)
    # Three sales of 1000 stand, none of them paid with points.
    (earned,) = {each.Movements.Movement[0].Earned for each in (results[0], *results[2:])}
    assert before == 45_000 + 3 * int(earned * 100)


def test_an_item_that_is_refused_stops_no_other(books: Books, desk: Desk) -> None:
    card = books.card(45_000)
    key = str(uuid.uuid4())
    desk.service.PostReceipt(**sale(card, key=key))
    desk.queue = [
        {"PostReceipt": sale(card, total="500.00", key=key, Fact=True)},
        {"ActivateCard": {"Key": str(uuid.uuid4()), "Card": {"Value": "no such card"}}},
        {"PostReceipt": sale(card, Fact=True)},
    ]
    assert [each.ResultCode for each in desk.send_queue()] == ["key_reused", "card_not_found", "ok"]


def test_two_desks_do_not_spend_one_cards_points_twice(books: Books, line: Line) -> None:
    card = books.card(25_000)
    told: list[Any] = []
    gate = threading.Barrier(TWINS)

    def pay() -> None:
        desk = Desk(line)
        gate.wait()
        told.append(desk.service.PostReceipt(**sale(card, "100.00")).ResultCode)

    threads = [threading.Thread(target=pay) for _ in range(TWINS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(told)) == ["insufficient_points", "ok"]
    earned = books.balance(card) - 25_000 + 10_000 * told.count("ok")
    assert told.count("ok") == 2 or earned > 0


def test_what_comes_back_is_taken_back_line_by_line(books: Books, desk: Desk) -> None:
    card, key = books.card(45_000), str(uuid.uuid4())
    desk.service.PostReceipt(**sale(card, "100.00", key=key))
    one = {"SaleKey": key, "Receipt": purchase("500.00"), "Lines": {"ReturnLine": [{"Number": 1, "Quantity": "1.000"}]}}
    for _ in range(2):
        told = desk.service.ReturnReceipt(Key=str(uuid.uuid4()), **one)
        assert (told.ResultCode, str(told.Movements.Movement[0].Redeemed)) == ("ok", "50.00")
    told = desk.service.ReturnReceipt(Key=str(uuid.uuid4()), **one)
    assert told.ResultCode == "return_exceeds"
    assert books.balance(card) == 45_000


def test_a_gift_card_is_sold_and_spent(books: Books, desk: Desk) -> None:
    sold = desk.service.SellGiftCard(Key=str(uuid.uuid4()), Product="gift", Sum="1000")
    assert sold.ResultCode == "ok"
    use = {"Card": {"Value": sold.CardNumber}, "Payments": {"Payment": [{"Sum": "1000.00", "Unit": MONEY}]}}
    spent = desk.service.PostReceipt(**sale("", Cards={"CardUse": [use]}))
    assert (spent.ResultCode, books.balance(sold.CardNumber, MONEY)) == ("ok", 0)
    again = desk.service.PostReceipt(**sale("", Cards={"CardUse": [use]}))
    assert again.ResultCode in ("insufficient_points", "card_closed")


def test_a_refusal_is_an_answer_in_russian_and_never_an_exception(books: Books, desk: Desk) -> None:
    told = desk.service.IdentifyCard(Card={"Value": "5550009999"})
    assert (told.ResultCode, told.ResultText, told.Retry) == (
        "card_not_found",
        "Карта не найдена. Проверьте номер",
        False,
    )
    told = desk.service.PostReceipt(**sale(books.card(), key="17"))
    assert (told.ResultCode, told.ResultDetail) == (
        "bad_message",
        "Key: expected a GUID that was made before the first send",
    )


def test_only_what_is_no_operation_is_a_fault(line: Line) -> None:
    headers = Wire(line).headers
    for body in (
        b"",
        b"<a/>",
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><No/></e:Body></e:Envelope>',
    ):
        status, _, answer = line.call("POST", body, headers)
        assert (status, b"faultstring" in answer) == (500, True)


def test_a_stranger_is_asked_for_a_password(line: Line) -> None:
    for method in ("GET", "POST"):
        status, headers, _ = line.call(method, b"", {})
        assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="tillgate", charset="UTF-8"')
