"""1C tills through the real door and the real core: bytes in, rows, bytes out; on both databases.

``open_shop`` puts a link behind a door; a ``Till`` is a Basic user of it and sends what the library of 1C sends
(docs/adapters/onec.md): every key in every query, most of them empty, nothing escaped.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters import onec
from adapters.onec.guids import card_guid, product_guid
from gateway.books import Books as Asking
from gateway.call_orders import report
from gateway.credentials import LinkSecret
from gateway.exchange_log import ExchangeLog, Recorded, read
from gateway.exchange_view import block
from gateway.pos import Door, Pos, doors
from gateway.settings import ExchangeLogLimits, GatewaySettings, LinkSettings
from processing.verify import verify
from tests.processing.books import GIFT, MONEY, MOSCOW, PLAIN, POINTS, Books, StillClock

LINK, PASSWORD = "retail", "password-of-the-link"
ROOT = f"/pos/{LINK}/hs/loyaltyservice"
NOBODY = "00000000-0000-0000-0000-000000000000"
CLOSE_SECONDS = 10
RIVALS = 4
KEYS = (
    "ClientCardID",
    "CardGUID",
    "Phone",
    "Email",
    "Client",
    "Store",
    "GiftCardNumber",
    "GiftCardUID",
    "BonusesCount",
    "GiftCardWriteOffAmount",
    "Promocode",
    "DateOfBirth",
    "ClientCardTypeUID",
    "Currency",
    "GenerateNumber",
    "Replacement",
)


@dataclass(frozen=True)
class Heard:
    """What the till heard."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json; charset=utf-8"
        return json.loads(self.body)


@dataclass(frozen=True)
class Till:
    """One cashier's workplace, known by its login."""

    pos: Pos
    user: str = "till-1"
    password: str = PASSWORD

    def call(self, method: str, resource: str, query: str = "", body: bytes = b"") -> Heard:
        said: list[Any] = []
        told = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        environ = {
            "PATH_INFO": f"{ROOT}/{resource}",
            "REQUEST_METHOD": method,
            "QUERY_STRING": query.encode().decode("latin-1"),
            "REMOTE_ADDR": "192.0.2.7",
            "HTTP_AUTHORIZATION": f"Basic {told}",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        answer = b"".join(self.pos(environ, lambda status, headers: said.extend((status, headers))))
        status, headers = said
        return Heard(int(status.split()[0]), dict(headers), answer)

    def ask(self, resource: str, method: str = "GET", **told: Any) -> Heard:
        """The answer to a query with all keys of the structure; what is a business matter has status 200."""
        fields = dict.fromkeys(KEYS, "") | told
        heard = self.call(method, f"{resource}/", "&".join(f"{key}={value}" for key, value in fields.items()))
        assert heard.status == 200, heard
        return heard

    def do(self, resource: str, **told: Any) -> Heard:
        return self.ask(resource, "POST", **told)

    def find(self, lock: bool = False, **told: Any) -> list[dict[str, Any]]:
        found = self.ask("findclientcard", BlockBonuses=int(lock), ClientGUID="", ClientID="", **told).json
        assert not found["Error"]
        cards: list[dict[str, Any]] = found["LoyaltyCardsList"]
        return cards

    def points(self, card: str) -> float:
        """What the till may spend; it is locked."""
        count: float = self.ask("getclientbonuses", ClientCardID=card).json["BonusCount"]
        return count

    def calculate(self, card: str, method: str = "POST", **changes: Any) -> dict[str, Any]:
        heard = self.call(method, "calculatediscounts", body=json.dumps(basket(card, **changes)).encode())
        assert heard.status == 200
        answer: dict[str, Any] = heard.json
        return answer


def basket(card: str, **changes: Any) -> dict[str, Any]:
    """300.00 for two packets of tea."""
    empty = {"Ref": NOBODY, "Name": ""}
    row = {
        "LineUID": "line-1",
        "Item": {"Ref": "cccccccc-0000-4000-8000-000000000001", "Name": "Чай"},
        "Variant": empty,
        "Package": empty,
        "Count": 2,
        "PackagesCount": 2,
        "Price": 150,
        "Amount": 300,
        "VATRate": "20%",
    }
    return {
        "ObjectTime": "2026-05-04T12:00:00",
        "CurrentDate": "2026-05-04T12:00:00",
        "LoyaltyCardsList": [card] if card else [],
        "PromocodesList": [],
        "RetailStore": {"Ref": "aaaaaaaa-0000-4000-8000-000000000001", "Name": "Магазин"},
        "Goods": [row],
        "GetLoyaltyCardData": True,
        "GetMaxBonusPay": True,
        "BlockBonuses": "0",
    } | changes


@dataclass
class Shop:
    books: Books
    pos: Pos
    log: ExchangeLog

    def till(self, user: str = "till-1", password: str = PASSWORD) -> Till:
        return Till(self.pos, user, password)

    def booked(self) -> list[tuple[str, str]]:
        """What was booked at the tills: kinds and flags."""
        sql = "SELECT kind, coalesce(flags, '') FROM operation WHERE kind <> 'adjustment' ORDER BY id"
        return [(str(kind), str(flags)) for kind, flags in self.books.rows(sql)]

    def logged(self) -> list[Recorded]:
        assert self.log.flush(CLOSE_SECONDS)
        with self.books.database.reading() as connection:
            return read(connection, self.books.core.work.vault, LINK, None, 100_000)


def link_settings(**changes: Any) -> LinkSettings:
    options: dict[str, Any] = {
        "unit": POINTS,
        "gift_unit": MONEY,
        "card_types": [{"product": PLAIN, "name": "Карта гостя"}],
    }
    fields: dict[str, Any] = {
        "code": LINK,
        "adapter": "onec",
        "store": MOSCOW,
        "enabled": True,
        "secrets": (LinkSecret(hashlib.sha256(PASSWORD.encode()).digest()),),
        "addresses": (),
        "options": onec.OnecOptions().load(options),
    }
    return LinkSettings(**fields | changes)


@contextmanager
def open_shop(books: Books, **changes: Any) -> Iterator[Shop]:
    zones = {code: info.zone.key for code, info in books.core.work.directory.stores.items()}
    log = ExchangeLog(books.database.writer, books.core.work.vault, ExchangeLogLimits())
    opened: dict[str, Door] = doors({LINK: link_settings(**changes)}, {"onec": onec.ADAPTER}, zones)
    try:
        yield Shop(books, Pos(_nowhere, opened, Asking(books.core, GatewaySettings()).ask, log), log)
    finally:
        assert log.close(CLOSE_SECONDS)


def _nowhere(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    raise AssertionError(f"{environ['PATH_INFO']} is not a till's")


@pytest.fixture
def shop(books: Books) -> Iterator[Shop]:
    with open_shop(books) as opened:
        yield opened
    books.check_laws()
    assert [(check.name, check.rows) for check in verify(books.database) if check.rows] == []


# A sale -----------------------------------------------------------------------------------------------------------

Call = Callable[[Till, str], object]
# A sale of Розница 3 as the page tells its usual order: find, lock, calculate, write off, accrue.
SALE: tuple[Call, ...] = (
    lambda till, card: till.find(ClientCardID=card),
    lambda till, card: till.points(card),
    lambda till, card: till.calculate(card),
    lambda till, card: till.do(
        "writeoffclientbonuses3_0", ClientCardID=card, CardGUID=card_guid(card), BonusesCount=81
    ),
    lambda till, card: till.do("accrueclientbonuses", ClientCardID=card, BonusesCount="10,95"),
)
READS = 3


def test_a_sale_is_one_redemption_and_one_accrual(shop: Shop) -> None:
    card, till = shop.books.card(41_250), shop.till()
    (found,) = till.find(ClientCardID=card)
    assert (found["BonusData"]["BonusCount"], found["IsBlocked"], found["Barcode"]) == (412.5, False, card)
    assert till.points(card) == 412.5
    told = till.calculate(card)
    assert (told["MaxBonusPay"], told["BonusesToAccrue"][0]["BonusCount"]) == (300, 15)
    assert told["MaxBonusPayRows"] == [{"КлючСвязи": "line-1", "Сумма": 300, "ПроцентОплаты": 100}]
    assert SALE[3](till, card).text.endswith('"TextMessage":"Бонусы успешно списаны"}')  # type: ignore[attr-defined]
    SALE[4](till, card)
    assert shop.booked() == [("redemption", ""), ("accrual", "")]
    assert shop.books.balance(card) == 41_250 - 8_100 + 1_095


def test_any_call_may_come_twice_and_what_only_asks_may_be_lost(shop: Shop) -> None:
    """Whatever comes again, because its answer was lost or the cashier tried again, the books say the same."""
    for repeated in range(len(SALE)):
        card = shop.books.card(41_250)
        for call in (*SALE[: repeated + 1], *SALE[repeated:]):
            call(shop.till(), card)
        assert shop.books.balance(card) == 34_245, repeated
    for lost in range(READS):
        card = shop.books.card(41_250)
        for call in (*SALE[:lost], *SALE[lost + 1 :]):
            call(shop.till(), card)
        assert shop.books.balance(card) == 34_245, lost
    sales = len(SALE) + READS
    assert sorted(shop.booked()) == [("accrual", "")] * sales + [("redemption", "")] * sales


def test_two_equal_purchases_are_two_and_the_second_is_flagged(shop: Shop, clock: StillClock) -> None:
    card, till = shop.books.card(41_250), shop.till()
    for _ in range(2):
        for call in SALE:
            call(till, card)
            clock.forward(seconds=2)
    assert shop.booked() == [("redemption", ""), ("accrual", ""), ("redemption", "alike"), ("accrual", "alike")]
    assert shop.books.balance(card) == 41_250 - 2 * 7_005


def test_a_sale_that_takes_all_the_points_goes_on(shop: Shop) -> None:
    """The lock stays as a mark of the visit, and what it had set aside is gone with its lot."""
    card, till = shop.books.card(10_000), shop.till()
    assert till.points(card) == 100
    assert not till.do("writeoffclientbonuses3_0", ClientCardID=card, BonusesCount=100).json["Error"]
    assert not till.do("accrueclientbonuses", ClientCardID=card, BonusesCount="10,95").json["Error"]
    assert till.points(card) == 10.95
    assert shop.booked() == [("redemption", ""), ("accrual", "")]


def test_an_equal_command_without_a_lock_is_new_only_after_the_window(shop: Shop, clock: StillClock) -> None:
    card, till = shop.books.card(1_000), shop.till()
    for seconds, kinds in ((0, 1), (120, 1), (121, 2)):
        clock.at = clock.at.replace(hour=9, minute=0, second=0) + timedelta(seconds=seconds)
        assert till.do("writeoffclientbonuses", ClientCardID=card, BonusesCount=1).text == "Бонусы успешно списаны"
        assert len(shop.booked()) == kinds


def test_cards_with_an_empty_guid_are_not_one(shop: Shop) -> None:
    """1C sends zeros where it knows no GUID; what makes two commands alike is the card that is named."""
    till, cards = shop.till(), [shop.books.card(1_000) for _ in range(2)]
    for card in cards:
        till.do("writeoffclientbonuses3_0", ClientCardID=card, CardGUID=NOBODY, BonusesCount=1)
    assert [shop.books.balance(card) for card in cards] == [900, 900]
    (found,) = till.find(ClientCardID=cards[0], CardGUID=NOBODY)
    assert (found["SearchType"], found["Barcode"]) == ("КодКарты", cards[0])


def test_the_log_tells_the_order_of_calls_and_not_who_it_was(shop: Shop) -> None:
    card = shop.books.card(41_250)
    for call in SALE:
        call(shop.till(), card)
    shop.till().find(Phone="+79991234567")
    logged = shop.logged()
    lines = list(report(logged, timedelta(seconds=60)))
    sale = "findclientcard, getclientbonuses, calculatediscounts, writeoffclientbonuses3_0, accrueclientbonuses"
    assert lines[1] == f"     1  {sale}, findclientcard"
    private, zone = onec.ADAPTER.private, ZoneInfo("Europe/Moscow")
    shown = "\n".join(line for each in logged for line in block(each, private, zone))
    assert card[:-4] not in shown + "".join(lines)
    assert "9991234" not in shown
    assert card_guid(card) not in shown


def test_a_basket_is_calculated_without_a_trace(shop: Shop) -> None:
    card, before = shop.books.card(1_000), shop.books.written()
    with_body = shop.till().calculate(card, "GET")
    assert (with_body["MaxBonusPay"], with_body["Goods"][0]["Amount"]) == (10, 300)
    nobody = shop.till().calculate("", PromocodesList=[{"Promocode": "SUMMER"}])
    assert (nobody["MaxBonusPay"], nobody["BonusesToAccrue"]) == (0, [])
    assert nobody["PromocodesList"][0]["DiscountActive"] is False
    unknown = shop.till().calculate("12345")
    assert (unknown["Error"], unknown["LoyaltyCardDescription"]["CardNotFound"]) == (False, True)
    assert shop.books.written() == before


# Locks ------------------------------------------------------------------------------------------------------------


def test_two_tills_do_not_spend_one_card_twice(shop: Shop) -> None:
    card, first, second = shop.books.card(10_000), shop.till("till-1"), shop.till("till-2")
    assert first.calculate(card, BlockBonuses="1")["LoyaltyCardDescription"]["LoyaltyCard"]["IsBlocked"] is False
    (seen,) = second.find(lock=True, ClientCardID=card)
    assert (seen["IsBlocked"], seen["BonusData"]["BonusCount"]) == (True, 0)
    assert second.points(card) == 0
    assert second.calculate(card)["MaxBonusPay"] == 0
    refused = second.do("writeoffclientbonuses3_0", ClientCardID=card, BonusesCount=50).json
    assert (refused["Error"], refused["ErrorMessage"][:27]) == (True, "Недостаточно средств на кар")
    assert first.calculate(card)["MaxBonusPay"] == 100
    first.do("writeoffclientbonusesnew", ClientCardID=card, BonusesCount=60)
    assert second.points(card) == 40
    assert shop.booked() == [("redemption", "")]


def test_a_till_gives_up_its_own_lock_and_nobody_elses(shop: Shop, clock: StillClock) -> None:
    card, first, second = shop.books.card(10_000), shop.till("till-1"), shop.till("till-2")
    assert first.points(card) == 100
    assert second.do("unlockclientbonuses", ClientCardID=card).text == "Бонусы разблокированы"
    assert (shop.logged()[-1].outcome, second.points(card)) == ("hold_not_found", 0)
    assert first.do("unlockclientbonuses3_0", CardGUID=card_guid(card)).json["TextMessage"] == "Бонусы разблокированы"
    assert second.points(card) == 100
    clock.forward(minutes=10)
    assert first.points(card) == 100
    # Late: the other till's lock has ended, and this one's stays.
    assert second.do("unlockclientbonuses", ClientCardID=card).text == "Бонусы разблокированы"
    assert first.do("writeoffclientbonuses", ClientCardID=card, BonusesCount=100).text == "Бонусы успешно списаны"


def test_tills_that_press_at_once_get_no_more_than_there_is(books: Books) -> None:
    """Every till locks, and takes what it was told: all of it goes to one, whoever that is."""
    books.run_live()
    card = books.card(10_000)
    with open_shop(books) as shop:
        taken: list[float] = []
        start = threading.Barrier(RIVALS)

        def pay(n: int) -> None:
            till = shop.till(f"till-{n}")
            start.wait()
            if count := till.points(card):
                done = till.do("writeoffclientbonuses3_0", ClientCardID=card, BonusesCount=count).json
                taken.append(0 if done["Error"] else count)

        threads = [threading.Thread(target=pay, args=(n,)) for n in range(RIVALS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (sum(taken), books.balance(card)) == (100, 0)
    books.check_laws()


# Gift cards, cards given out, cards put together ------------------------------------------------------------------


def test_a_gift_card_is_sold_looked_at_and_spent(shop: Shop, clock: StillClock) -> None:
    number = shop.books.card(product=GIFT, active=False)
    first, second = shop.till("till-1"), shop.till("till-2")

    def info(till: Till) -> dict[str, Any]:
        told: dict[str, Any] = till.ask("getgiftcardinfo", GiftCardNumber=number).json
        return told

    assert first.ask("checkgiftcard", GiftCardNumber=number).json["GiftCardUsed"] is False
    assert info(first)["GiftCardBalance"] == 0
    for _ in range(2):
        assert not first.do("accruegiftcard", GiftCardNumber=number, GiftCardAccrueOffAmount=5000).json["Error"]
    assert first.ask("checkgiftcard", GiftCardNumber=number).json["GiftCardUsed"] is True
    clock.forward(seconds=5)
    told = info(first)
    assert (told["GiftCardValue"], told["GiftCardBalance"], told["Blocked"]) == (5000, 5000, False)
    assert (info(second)["GiftCardBalance"], info(second)["Blocked"]) == (0, True)
    for _ in range(2):
        spent = first.do("writeoffgiftcard", GiftCardNumber=number, GiftCardWriteOffAmount="1\u00a0234,5")
        assert spent.text == "Подарочный сертификат успешно списан"
    assert (info(second)["GiftCardBalance"], info(second)["GiftCardValue"]) == (3765.5, 5000)
    assert second.do("unlockgiftcardnew", GiftCardNumber=number).json["Error"] is False
    assert info(first)["Blocked"] is False
    assert shop.booked() == [("gift_sale", ""), ("redemption", "")]
    assert shop.books.balance(number, MONEY) == 376_550


def test_a_card_is_given_out_once(shop: Shop) -> None:
    till = shop.till()
    told = {
        "Phone": "+79991234567",
        "Email": "anna@example.org",
        "Client": "Тестова+Анна",
        "DateOfBirth": "17.05.1990",
        "ClientCardTypeUID": product_guid(PLAIN),
        "GenerateNumber": "Да",
    }
    first = till.do("issueclientcard", **told).json
    assert (first["ExistingCard"], first["Client"], first["PhoneNumber"]) == (False, "Тестова Анна", "79991234567")
    assert (first["DateOfBirth"], first["Error"]) == ("1990-05-17T00:00:00", False)
    again = till.do("issueclientcard", **told).json
    assert again["CardID"] == first["CardID"]
    other = till.do("issueclientcard", **told | {"Client": "Кто-то"}).json
    assert (other["ExistingCard"], other["CardID"]) == (True, first["CardID"])
    taken = till.do("issueclientcard", **told | {"Phone": "89990000000"}).json
    assert (taken["ElseClient"], taken["CardID"], taken["PhoneNumber"]) == (True, "", "79991234567")
    for names in ({"Phone": "8 (999) 123-45-67"}, {"Email": "Anna@example.org"}, {"ClientCardID": "Тестова"}):
        (found,) = till.find(**names)
        assert (found["Barcode"], found["ClientName"]) == (first["CardID"], "Тестова Анна")
    assert shop.books.count("card") == shop.books.count("holder") == 1


def test_points_of_several_cards_are_put_together_once(shop: Shop) -> None:
    source, target = shop.books.card(10_000), shop.books.card(500)
    listed = [{"CardGUID": card_guid(source), "CardNumber": source, "BonusesCount": 60}]
    body = json.dumps({"BonusCards": listed, "BonusCardGUID": "", "BonusCardNumber": target}).encode()
    for _ in range(2):
        assert shop.till().call("POST", "unitedbonuscards", body=body).json["TextMessage"] == "Бонусы объединены"
    assert (shop.books.balance(source), shop.books.balance(target)) == (4_000, 6_500)


# What is refused ----------------------------------------------------------------------------------------------------


def test_what_is_wrong_is_told_with_status_200_and_leaves_nothing(shop: Shop) -> None:
    card, till = shop.books.card(1_000), shop.till()
    before = shop.books.written()
    assert till.find(ClientCardID="1") == []
    assert till.ask("getclientbonuses", ClientCardID="1").json["ClientNotFound"] is True
    assert till.ask("salesturnover", Phone="+79990000009").json["ClientNotFound"] is True
    assert till.do("writeoffclientbonuses", ClientCardID="1", BonusesCount=1).text == "Карта клиента не найдена"
    assert till.do("writeoffclientbonuses", ClientCardID=card).text == "Количество баллов не указано"
    for told in (
        {"BonusesCount": "-1"},
        {"BonusesCount": "1.234,5"},
        {"BonusesCount": "0,001"},
        {"BonusesCount": 11},
        {"BonusesCount": 1, "CardGUID": "no-guid"},
        {"BonusesCount": 1, "Replacement": "Истина"},
    ):
        refused = till.do("writeoffclientbonuses3_0", **{"ClientCardID": card} | told).json
        assert refused["Error"], told
        assert refused["ErrorMessage"]
    for body in (b"", b"[]", b'{"ObjectTime":', b"\xff", b"{}"):
        assert till.call("POST", "calculatediscounts", body=body).json["Error"] is True
    assert till.ask("getgiftcardinfo", GiftCardNumber="1").json["ErrorMessage"] == "Подарочный сертификат не найден"
    assert shop.books.written() == before


def test_strangers_and_unknown_addresses_hear_what_a_web_server_says(shop: Shop) -> None:
    stranger = shop.till(password="wrong").call("GET", "ping")
    assert (stranger.status, stranger.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    till = shop.till()
    assert [till.call("GET", name).status for name in ("ping", "/ping/", "nothing", "accrueclientbonuses")] == [
        200,
        200,
        404,
        405,
    ]


@pytest.mark.parametrize(("version", "status"), [("3.0.13.374", 200), ("3.0.7.84", 423)])
def test_a_paused_link_is_a_provider_that_is_off(books: Books, version: str, status: int) -> None:
    settings = link_settings()
    options = {**settings.options, "version": version}
    with open_shop(books, enabled=False, options=options) as shop:
        heard = shop.till().call("GET", "ping")
        assert (heard.status, "отключено" in heard.text) == (status, True)
    with open_shop(books, options=options) as shop:
        assert (shop.till().call("GET", "ping").text == "ok") is (status == 423)
