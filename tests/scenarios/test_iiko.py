"""iiko's Cloud API through the real door and the real core: JSON in, rows, JSON out; on both databases."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from adapters import iiko, iiko_cloud
from adapters.contract import Call, Found, HttpCall, HttpReply, Job, Message
from adapters.iiko import identities
from adapters.testing.far_sides import FarSide
from adapters.testing.lines import Line, Run
from gateway.books import Books as Asking
from gateway.credentials import LinkSecret
from gateway.exchange_log import ExchangeLog, Recorded, read
from gateway.mask import mask
from gateway.pos import Pos, doors
from gateway.replay import Replay, Wanted, live_core
from gateway.replay_view import compare
from gateway.settings import ExchangeLogLimits, GatewaySettings, LinkSettings, Settings
from processing.commands import CaptureHold, MergeHolders, Query, Ref
from processing.database import Database
from processing.results import WalletsTold, WalletTold
from processing.verify import verify
from tests.adapters.iiko_cloud import far_side as cloud
from tests.processing.books import CHAIN, KEYS, MONEY, MOSCOW, NOON, PLAIN, POINTS, PROGRAMMES, URAL, Books, post, use

LINK, SECRET = "site", "login-of-the-site-1234567890"
ORGANIZATION = identities.store_organization(MOSCOW)
BONUS, DEPOSIT = identities.unit_wallet(POINTS), identities.unit_wallet(MONEY)
VIP = identities.category("vip")
PHONE, OTHER = "+79990001122", "+79990002233"
LOYALTY = "api/1/loyalty/iiko/"
NOBODY = "b6a9c3c2-8f5b-4f0e-9f5e-3f2f6d1c7a77"
CLOSE_SECONDS = 10
TWINS = 20

_names = itertools.count(1)

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a client heard; numbers are exact."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Json:
        found = json.loads(self.body, parse_float=Decimal)
        assert isinstance(found, dict)
        return found


@dataclass
class Shop:
    """The link's door before the books of a test."""

    books: Books
    pos: Pos
    log: ExchangeLog
    token: str = ""

    def send(self, path: str, body: bytes, method: str = "POST", token: str | None = None) -> Answer:
        said: list[Any] = []
        environ = {
            "PATH_INFO": f"/pos/{LINK}/{path}",
            "REQUEST_METHOD": method,
            "QUERY_STRING": "",
            "REMOTE_ADDR": "192.0.2.7",
            "HTTP_AUTHORIZATION": f"Bearer {self.token if token is None else token}",
            "HTTP_TIMEOUT": "15",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        answer = b"".join(self.pos(environ, lambda status, headers: said.extend((status, headers))))
        status, headers = said
        return Answer(int(status.split()[0]), dict(headers), answer)

    def ask(self, path: str, **told: Any) -> Answer:
        return self.send(path, json.dumps(told).encode())

    def sign_in(self) -> None:
        self.token = self.ask("api/1/access_token", apiLogin=SECRET).told["token"]

    def done(self, path: str, **told: Any) -> Json:
        """The answer to a call of the loyalty family that must be carried out."""
        answer = self.ask(LOYALTY + path, **{"organizationId": ORGANIZATION} | told)
        assert answer.status == 200, answer.body.decode()
        assert answer.headers["Content-Type"] == "application/json"
        return answer.told

    def refused(self, path: str, **told: Any) -> Json:
        """The refusal of a call that must be refused as the rules refuse, and leave nothing behind."""
        before = self.everything()
        answer = self.ask(LOYALTY + path, **{"organizationId": ORGANIZATION} | told)
        assert answer.status == 400, answer.body.decode()
        assert self.everything() == before
        found = answer.told
        assert set(found) == {"correlationId", "errorDescription", "error", "code", "errorCode", "message"}
        assert all(found.values()) and found["error"] == found["errorCode"]
        uuid.UUID(found["correlationId"])
        return found

    def everything(self) -> Json:
        tables = ("operation", "lot", "account", "card", "identifier", "holder", "contact", "hold")
        return {"entries": self.books.entries(), "counts": [self.books.count(table) for table in tables]}

    # What tests do again and again -------------------------------------------------------------------------

    def customer(self, phone: str = PHONE, **told: Any) -> str:
        found: str = self.done("customer/create_or_update", phone=phone, **told)["id"]
        return found

    def info(self, **told: Any) -> Json:
        return self.done("customer/info", **told)

    def by_id(self, customer: str) -> Json:
        return self.info(type="id", id=customer)

    def balance(self, customer: str, wallet: str = BONUS) -> Decimal:
        (found,) = [each["balance"] for each in self.by_id(customer)["walletBalances"] if each["id"] == wallet]
        return Decimal(found)

    def top_up(self, customer: str, amount: float | str, wallet: str = BONUS) -> None:
        assert self.done("customer/wallet/topup", customerId=customer, walletId=wallet, sum=amount) == {}

    def logged(self) -> list[Recorded]:
        assert self.log.flush(CLOSE_SECONDS)
        with self.books.database.reading() as connection:
            return read(connection, self.books.core.work.vault, LINK, None, 100_000)


def link_settings(**options: Any) -> LinkSettings:
    told: Json = {
        "wallets": [
            {"unit": POINTS, "name": "Бонусы", "type": "bonus"},
            {"unit": MONEY, "name": "Сертификат", "type": "certificate"},
        ],
        "product": PLAIN,
        "categories": {"vip": "VIP", "staff": "Сотрудники"},
        "language": "en",
    }
    return LinkSettings(
        code=LINK,
        adapter="iiko",
        store=MOSCOW,
        enabled=True,
        secrets=(LinkSecret(hashlib.sha256(SECRET.encode()).digest()),),
        addresses=(),
        options=iiko.IikoOptions().load(told | options),
    )


@contextmanager
def open_shop(books: Books, **options: Any) -> Iterator[Shop]:
    zones = {code: info.zone.key for code, info in books.core.work.directory.stores.items()}
    log = ExchangeLog(books.database.writer, books.core.work.vault, ExchangeLogLimits())
    ask = Asking(books.core, GatewaySettings()).ask
    try:
        links = {LINK: link_settings(**options)}
        opened = Shop(books, Pos(_nowhere, doors(links, {"iiko": iiko.ADAPTER}, zones), ask, log), log)
        opened.sign_in()
        yield opened
    finally:
        assert log.close(CLOSE_SECONDS)


def _nowhere(environ: Json, start_response: Any) -> Iterable[bytes]:
    raise AssertionError(f"{environ['PATH_INFO']} is not a till's")


@pytest.fixture
def shop(books: Books) -> Iterator[Shop]:
    with open_shop(books) as opened:
        yield opened
    books.check_laws()
    assert [(check.name, check.rows) for check in verify(books.database) if check.rows] == []


# What is the same on every database is tried on one.
ON_SQLITE = pytest.mark.parametrize("books", ["sqlite"], indirect=True)


def new_uuid() -> str:
    return str(uuid.UUID(int=next(_names), version=4))


# Signing in -------------------------------------------------------------------------------------------------


@ON_SQLITE
def test_both_token_paths_take_the_login_under_either_name_and_encoded_twice(shop: Shop) -> None:
    body = json.dumps({"apiLogin": SECRET})
    for path, told in (
        ("api/1/access_token", body),
        ("api/1/access_token", json.dumps(body)),
        ("api/v2/access_token", json.dumps({"apiKey": SECRET, "appId": NOBODY, "clientSecret": "x"})),
        ("api/v2/access_token", json.dumps(json.dumps({"apiLogin": SECRET, "appId": "1", "clientSecret": "x"}))),
    ):
        answer = shop.send(path, told.encode(), token="")
        assert answer.status == 200, answer.body
        assert answer.told["token"].count(".") == 2
        assert shop.send("api/1/organizations", b"{}", token=answer.told["token"]).status == 200


@ON_SQLITE
def test_strangers_hear_401_and_unknown_paths_403(shop: Shop) -> None:
    assert shop.ask("api/1/access_token", apiLogin="wrong" * 5).status == 401
    assert shop.ask("api/1/access_token").status == 400
    for token in ("", "a.b.c", shop.token[:-2]):
        answer = shop.send("api/1/organizations", b"{}", token=token)
        assert (answer.status, answer.told["code"]) == (401, "Transport_BadCredentials")
        assert answer.told["errorDescription"]
    for path in ("api/2/organizations", "api/1/loyalty/iiko/message/send_sms"):
        answer = shop.ask(path)
        assert answer.status == 403
        assert answer.told["errorDescription"] == f"Right {path} is not allowed for this ApiLogin"


@ON_SQLITE
def test_a_token_ends_with_its_time(books: Books) -> None:
    with open_shop(books, token_seconds=1) as shop:
        claims = shop.token.split(".")[1]
        told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        assert told["exp"] - told["iat"] <= 1


# Places -----------------------------------------------------------------------------------------------------


@ON_SQLITE
def test_the_store_is_an_organization_with_a_group_of_terminals_and_types_of_payment(shop: Shop) -> None:
    for answer in (shop.ask("api/1/organizations"), shop.send("api/1/organizations", b"", "GET")):
        (mine,) = answer.told["organizations"]
        assert (mine["id"], mine["name"], mine["responseType"]) == (ORGANIZATION, "Moscow", "Simple")
    extended = shop.ask("api/1/organizations", organizationIds=[ORGANIZATION], returnAdditionalInfo=True)
    assert extended.told["organizations"][0]["isAnonymousGuestsAllowed"] is True
    assert shop.ask("api/1/organizations", organizationIds=[NOBODY]).told["organizations"] == []
    groups = shop.ask("api/1/terminal_groups", organizationIds=[ORGANIZATION]).told
    (group,) = groups["terminalGroups"][0]["items"]
    assert (group["name"], group["timeZone"], groups["terminalGroupsInSleep"]) == ("Moscow", "Europe/Moscow", [])
    asked = {"organizationId": ORGANIZATION, "terminalGroupIds": [group["id"], NOBODY]}
    alive = shop.ask("api/1/terminal_groups/is_alive", **asked)
    assert [each["isAlive"] for each in alive.told["isAliveStatus"]] == [True, False]
    types = shop.ask("api/1/payment_types", organizationIds=[ORGANIZATION]).told["paymentTypes"]
    assert [(each["code"], each["name"]) for each in types] == [(POINTS, "Бонусы"), (MONEY, "Сертификат")]


@ON_SQLITE
def test_the_organization_of_another_link_is_refused(shop: Shop) -> None:
    for path in ("customer/info", "program", "customer_category"):
        told = shop.refused(path, organizationId=identities.store_organization(URAL), type="phone", phone=PHONE)
        assert (told["code"], told["errorCode"]) == ("Transport_WrongCrmId", "Common_OrganizationNotFound")


@ON_SQLITE
def test_a_client_keeps_the_ids_that_it_has_of_old(books: Books) -> None:
    """Of the organization, its terminals and wallets: sites have them in their settings."""
    mine, group, bonus = new_uuid(), new_uuid(), new_uuid()
    wallets = [{"unit": POINTS, "name": "Bonus", "type": "bonus", "id": bonus}]
    with open_shop(books, organization=mine, terminal_group=group, wallets=wallets) as shop:
        assert shop.ask("api/1/organizations").told["organizations"][0]["id"] == mine
        groups = shop.ask("api/1/terminal_groups", organizationIds=[mine]).told["terminalGroups"]
        assert groups[0]["items"][0]["id"] == group
        customer = shop.done("customer/create_or_update", phone=PHONE, organizationId=mine)["id"]
        told = {"organizationId": mine, "customerId": customer}
        shop.done("customer/wallet/topup", walletId=bonus, sum=5, **told)
        (row,) = shop.done("customer/transactions/by_revision", pageSize=5, **told)["transactions"]
        assert (row["organizationId"], row["walletId"]) == (mine, bonus)
        shop.refused("customer/wallet/topup", walletId=bonus, sum=5, **told | {"organizationId": ORGANIZATION})


# Guests -----------------------------------------------------------------------------------------------------


def test_a_guest_is_created_found_in_five_ways_and_updated(shop: Shop) -> None:
    told = {
        "cardTrack": "770100000024",
        "cardNumber": "770100000024",
        "name": "Oleg",
        "surName": "Sidorov",
        "middleName": "P.",
        "birthday": "1984-11-30 00:00:00.000",
        "email": "oleg@example.org",
        "sex": "1",
        "consentStatus": 1,
        "shouldReceivePromoActionsInfo": False,
    }
    customer = shop.customer(**told)
    found = shop.by_id(customer)
    for named in (
        {"type": "phone", "phone": "8 (999) 000-11-22"},
        {"type": "cardTrack", "cardTrack": "770100000024"},
        {"type": "cardNumber", "cardNumber": "770100000024"},
        {"type": "email", "email": "OLEG@example.org"},
        {"type": "id", "id": customer.upper()},
    ):
        assert shop.info(**named) == found
    assert found["phone"] == PHONE
    assert [found[name] for name in ("id", "name", "surname", "middleName", "email")] == [
        customer,
        "Oleg",
        "Sidorov",
        "P.",
        "oleg@example.org",
    ]
    assert (found["birthday"], found["sex"], found["consentStatus"]) == ("1984-11-30 00:00:00.000", 1, 1)
    assert (found["shouldReceivePromoActionsInfo"], found["shouldReceiveLoyaltyInfo"]) == (False, True)
    assert [(card["track"], card["number"]) for card in found["cards"]] == [("770100000024", "770100000024")]
    assert [(each["type"], each["balance"]) for each in found["walletBalances"]] == [(1, 0), (4, 0)]
    # A repeat is the same guest; what is not told, or told as nothing, stays.
    assert shop.customer(name="", comment="likes tea") == customer
    assert shop.by_id(customer) == found | {"comment": "likes tea"}
    assert shop.customer(comment="", nullifyEmptyFields=True) == customer
    assert shop.by_id(customer) == found | {"comment": None}
    assert shop.done("customer/create_or_update", id=customer, phone=OTHER)["id"] == customer
    assert shop.by_id(customer)["phone"] == OTHER


@ON_SQLITE
def test_what_is_not_found_is_a_400_with_the_services_own_codes(shop: Shop) -> None:
    for named, codes in (
        ({"type": "phone", "phone": PHONE}, ("Transport_WrongCustomerNumber", "Validation_IncorrectPhone")),
        ({"type": "phone", "phone": "12"}, ("Transport_WrongCustomerNumber", "Validation_IncorrectPhone")),
        ({"type": "cardNumber", "cardNumber": "1"}, ("Transport_WrongCardNumber", "Card_CanNotFindByNumber")),
        ({"type": "cardTrack", "cardTrack": "1"}, ("Transport_WrongCarTrack", "Card_CanNotFindByTrack")),
    ):
        told = shop.refused("customer/info", **named)
        assert (told["code"], told["errorCode"]) == codes
    assert shop.refused("customer/info", type="id", id=NOBODY)["code"] == "Transport_WrongCustomerId"
    told = shop.refused("customer/create_or_update", id=NOBODY, name="Anna")
    assert told["code"] == "Transport_WrongCustomerId"
    assert shop.refused("customer/create_or_update", phone="12")["errorCode"] == "Validation_IncorrectPhone"


@ON_SQLITE
def test_bad_requests_are_refused_with_a_text_that_tells_what_was_expected(shop: Shop) -> None:
    customer = shop.customer()
    money = {"customerId": customer, "walletId": BONUS}
    for path, told, where in (
        ("customer/info", {"phone": PHONE}, "type"),
        ("customer/info", {"type": "phone"}, "phone"),
        ("customer/info", {"type": "id", "id": "17"}, "id"),
        ("customer/create_or_update", {"customer": {"phone": PHONE}}, "phone"),
        ("customer/create_or_update", {"phone": PHONE, "cardTrack": "1"}, "cardNumber"),
        ("customer/create_or_update", {"phone": PHONE, "sex": 3}, "sex"),
        ("customer/wallet/topup", money, "sum"),
        ("customer/wallet/topup", money | {"sum": 0}, "sum"),
        ("customer/wallet/chargeoff", money | {"sum": -1}, "sum"),
        ("customer/wallet/hold", money | {"sum": 0.001}, "sum"),
        ("customer/wallet/hold", money | {"sum": 1, "transactionId": "x"}, "transactionId"),
        ("customer/wallet/hold", money | {"sum": 1, "organizationId": None}, "organizationId"),
        ("get_counters", {"guestIds": [customer]}, "metrics"),
        ("customer/program/add", {"customerId": customer}, "programId"),
    ):
        assert shop.refused(path, **told)["errorDescription"].startswith(where), (path, told)
    assert shop.send(LOYALTY + "customer/info", b"<xml/>").status == 400
    assert shop.refused("customer/wallet/hold", **money | {"walletId": NOBODY, "sum": 1})["code"] == (
        "Transport_UnitNotFound"
    )


def test_cards_come_and_go_by_their_tracks(shop: Shop) -> None:
    customer, other = shop.customer(), shop.customer(OTHER)
    assert shop.done("customer/card/add", customerId=customer, cardTrack="T1", cardNumber="5001") == {}
    assert shop.info(type="cardNumber", cardNumber="5001")["id"] == customer
    shop.refused("customer/card/add", customerId=other, cardTrack="T1", cardNumber="5001")
    shop.refused("customer/card/remove", customerId=other, cardTrack="T1")
    assert shop.done("customer/card/remove", customerId=customer, cardTrack="T1") == {}
    assert "5001" not in {card["number"] for card in shop.by_id(customer)["cards"]}
    # The card that every guest has is told with its number as its track; it goes too, and another one comes.
    (own,) = shop.by_id(customer)["cards"]
    shop.done("customer/card/remove", customerId=customer, cardTrack=own["track"])
    (another,) = shop.by_id(customer)["cards"]
    assert another["number"] != own["number"]
    shop.top_up(customer, 10)


@ON_SQLITE
def test_a_guest_without_a_phone_keeps_the_only_card(shop: Shop) -> None:
    anonymous = shop.done("customer/create_or_update", cardTrack="770", cardNumber="770")["id"]
    shop.top_up(anonymous, "2000.00", DEPOSIT)
    told = shop.refused("customer/card/remove", customerId=anonymous, cardTrack="770")
    assert told["message"] == "Can't delete a single card from an anonymous guest."
    assert shop.by_id(anonymous)["phone"] is None
    assert shop.balance(anonymous, DEPOSIT) == 2000


def test_a_card_of_the_books_is_known_and_becomes_a_guests(shop: Shop) -> None:
    card = shop.books.card(15_050)
    bearer = shop.info(type="cardNumber", cardNumber=card)
    assert (bearer["name"], bearer["walletBalances"][0]["balance"]) == (None, Decimal("150.50"))
    assert shop.customer(cardTrack=card, cardNumber=card, name="Anna") == bearer["id"]
    assert shop.by_id(bearer["id"])["name"] == "Anna"


def test_deleted_guests_are_hidden_and_restored(shop: Shop) -> None:
    customer = shop.customer(name="Anna")
    shop.top_up(customer, 50)
    told = shop.done("delete_customers", customerIds=[customer, NOBODY])
    assert told == {"total": 2, "deleted": 1, "notFound": 1}
    assert shop.refused("customer/info", type="phone", phone=PHONE)["errorCode"] == "Validation_IncorrectPhone"
    assert shop.done("restore_customers", customerIds=[customer]) == {"total": 1, "restored": 1, "notFound": 0}
    assert shop.by_id(customer)["name"] == "Anna"
    shop.done("delete_customers", customerIds=[customer])
    assert shop.customer() == customer, "who comes again is no longer deleted"
    assert shop.balance(customer) == 50


def test_a_link_may_erase_for_good(books: Books) -> None:
    with open_shop(books, delete_customers="erase") as shop:
        customer = shop.customer(name="Anna")
        assert shop.done("delete_customers", customerIds=[customer])["deleted"] == 1
        assert shop.done("restore_customers", customerIds=[customer]) == {"total": 1, "restored": 0, "notFound": 1}
        assert shop.by_id(customer)["name"] is None
        assert shop.customer() != customer


def test_the_id_of_a_guest_that_was_merged_leads_on(shop: Shop) -> None:
    first, second = shop.customer(), shop.customer(OTHER)
    shop.books.done(MergeHolders(store=MOSCOW, keys=("m",), source=Ref("uuid", first), target=Ref("uuid", second)))
    assert shop.by_id(first)["id"] == second


# Wallets ----------------------------------------------------------------------------------------------------


def test_top_ups_and_charges_are_exact_and_each_request_is_a_new_one(shop: Shop) -> None:
    customer = shop.customer()
    for amount in (45.25, "45.25", 100, 0.1, 0.2):
        shop.top_up(customer, amount)
    assert shop.balance(customer) == Decimal("190.80")
    charge = {"customerId": customer, "walletId": BONUS, "sum": 90.8}
    assert shop.done("customer/wallet/chargeoff", **charge) == {}
    assert shop.done("customer/wallet/chargeoff", **charge) == {}
    assert shop.balance(customer) == Decimal("9.20")
    told = shop.refused("customer/wallet/chargeoff", **charge)
    assert (told["code"], told["message"]) == (
        "Transport_InsufficientPoints",
        "Not enough on the card. Pay less with it. Available 9.20",
    )
    shop.top_up(customer, 300, DEPOSIT)
    assert (shop.balance(customer), shop.balance(customer, DEPOSIT)) == (Decimal("9.20"), 300)
    kinds = shop.books.rows("SELECT kind, count(*) FROM operation GROUP BY kind ORDER BY kind")
    assert kinds == [("accrual", 5), ("redemption", 2), ("top_up", 1)]


def test_a_hold_is_placed_once_and_what_is_held_is_not_charged_off(shop: Shop) -> None:
    customer, name = shop.customer(), new_uuid()
    shop.top_up(customer, 150.5)
    hold = {"transactionId": name, "customerId": customer, "walletId": BONUS, "sum": 100}
    assert shop.done("customer/wallet/hold", **hold) == {"transactionId": name}
    assert shop.done("customer/wallet/hold", **hold | {"comment": "again"}) == {"transactionId": name}
    assert shop.balance(customer) == Decimal("50.50")
    for other in ({"sum": 99}, {"walletId": DEPOSIT}, {"customerId": shop.customer(OTHER)}):
        shop.refused("customer/wallet/hold", **hold | other)
    shop.refused("customer/wallet/chargeoff", customerId=customer, walletId=BONUS, sum=50.51)
    cancel = {"transactionId": name}
    assert shop.done("customer/wallet/cancel_hold", **cancel) == {}
    assert shop.done("customer/wallet/cancel_hold", **cancel) == {}
    assert shop.balance(customer) == Decimal("150.50")
    assert shop.done("customer/wallet/chargeoff", customerId=customer, walletId=BONUS, sum=100) == {}
    assert shop.balance(customer) == Decimal("50.50")


@ON_SQLITE
def test_a_hold_without_a_name_gets_one_and_an_unknown_one_is_not_cancelled(shop: Shop) -> None:
    customer = shop.customer()
    shop.top_up(customer, 30)
    told = {"customerId": customer, "walletId": BONUS, "sum": 10}
    names = {shop.done("customer/wallet/hold", **told)["transactionId"] for _ in range(2)}
    assert len(names) == 2 and shop.balance(customer) == 10
    for name in names:
        shop.done("customer/wallet/cancel_hold", transactionId=name)
    unknown = shop.ask(LOYALTY + "customer/wallet/cancel_hold", organizationId=ORGANIZATION, transactionId=new_uuid())
    assert (unknown.status, unknown.told["code"]) == (400, "Transport_HoldNotFound")


def test_a_hold_is_captured_by_whoever_takes_the_payment(shop: Shop) -> None:
    customer, name = shop.customer(), new_uuid()
    shop.top_up(customer, 100)
    shop.done("customer/wallet/hold", transactionId=name, customerId=customer, walletId=BONUS, sum=60)
    shop.books.done(CaptureHold(store=MOSCOW, keys=("paid",), hold=f"iiko:hold:{name}", amount=5_000))
    assert shop.balance(customer) == 50
    assert shop.done("customer/wallet/cancel_hold", transactionId=name) == {}
    assert shop.balance(customer) == 50


def test_of_twenty_holds_of_100_on_150_one_succeeds(books: Books) -> None:
    books.run_live()
    with open_shop(books) as shop:
        customer = shop.customer()
        shop.top_up(customer, 150)
        heard: list[int] = []

        def hold() -> None:
            told = {"customerId": customer, "walletId": BONUS, "sum": 100, "transactionId": new_uuid()}
            heard.append(shop.ask(LOYALTY + "customer/wallet/hold", organizationId=ORGANIZATION, **told).status)

        threads = [threading.Thread(target=hold) for _ in range(TWINS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(heard) == [200] + [400] * (TWINS - 1)
        assert shop.balance(customer) == 50
    books.check_laws()


# Programmes, categories, coupons ------------------------------------------------------------------------------


@ON_SQLITE
def test_each_wallet_has_its_programmes_and_every_guest_is_in_them(shop: Shop) -> None:
    customer = shop.customer()
    found = shop.done("program")["Programs"]
    assert {(each["programType"], each["walletId"]) for each in found} == {(1, BONUS), (4, DEPOSIT)}
    for programme in found:
        added = shop.done("customer/program/add", customerId=customer, programId=programme["id"])
        assert added == {"userWalletId": programme["walletId"], "walletId": programme["walletId"]}
    shop.refused("customer/program/add", customerId=customer, programId=NOBODY)
    shop.refused("customer/program/add", customerId=NOBODY, programId=found[0]["id"])
    assert shop.done("manual_condition") == {"manualConditions": []}


@ON_SQLITE
def test_categories_of_the_link_are_given_and_taken(shop: Shop) -> None:
    customer = shop.customer()
    names = {each["name"] for each in shop.done("customer_category")["guestCategories"]}
    assert names == {"VIP", "Сотрудники"}
    given = {"customerId": customer, "categoryId": VIP}
    for _ in range(2):
        assert shop.done("customer_category/add", **given) == {}
    assert [(each["id"], each["name"]) for each in shop.by_id(customer)["categories"]] == [(VIP, "VIP")]
    assert shop.done("customer_category/remove", **given) == {}
    assert shop.by_id(customer)["categories"] == []
    assert shop.done("customer_category/add", **given) == {}, "each request counts, also one that was made before"
    assert len(shop.by_id(customer)["categories"]) == 1
    shop.refused("customer_category/add", customerId=customer, categoryId=NOBODY)
    shop.refused("customer_category/add", customerId=NOBODY, categoryId=VIP)


@ON_SQLITE
def test_there_are_no_coupons_yet(shop: Shop) -> None:
    assert shop.done("coupons/info", number="SPRING-10", series=None) == {"couponInfo": []}
    assert shop.done("coupons/series") == {"seriesWithNotActivatedCoupons": []}
    assert shop.done("coupons/by_series", series="SPRING", page=0, pageSize=10) == {"notActivatedCoupon": []}


# Baskets ----------------------------------------------------------------------------------------------------


def basket(customer: str = "", **told: Any) -> Json:
    item = {"type": "Product", "productId": new_uuid(), "price": 250, "amount": 2, "positionId": new_uuid()}
    guest = {"customer": {"type": "regular", "id": customer}} if customer else {}
    return {"phone": PHONE, "items": [item], **guest, **told}


def test_a_basket_may_be_paid_with_what_the_programme_and_the_wallets_allow(shop: Shop) -> None:
    customer = shop.customer()
    shop.top_up(customer, 150.5)
    shop.top_up(customer, 2000, DEPOSIT)
    before = shop.everything()
    told = shop.done("calculate", order=basket(customer))
    assert shop.everything() == before
    assert told["loyaltyProgramResults"][0]["discounts"] == []
    most = [(each["order"], each["maxSum"], each["walletInfos"][0]["id"]) for each in told["availablePayments"]]
    assert most == [(0, Decimal("150.50"), BONUS), (1, Decimal("500.00"), DEPOSIT)]
    assert (told["validationWarnings"], told["Warnings"]) == ([], [])
    assert shop.done("calculate", order=basket())["availablePayments"] == told["availablePayments"]


@ON_SQLITE
def test_a_basket_of_nobody_is_priced_and_a_warning_says_so(shop: Shop) -> None:
    told = shop.done("calculate", order=basket(loyaltyInfo={"coupon": "SPRING-10"}))
    assert told["Warnings"][0]["ErrorCode"] == "Validation_IncorrectPhone"
    assert told["availablePayments"] == []
    assert told["validationWarnings"] == ["Coupon SPRING-10 is not known"]
    one_time = shop.done("calculate", order=basket(customer="") | {"customer": {"type": "one-time", "name": "A"}})
    assert (one_time["Warnings"], one_time["loyaltyProgramResults"]) == ([], [])
    shop.refused("calculate", order={"phone": PHONE, "items": []})


# Mirrors ----------------------------------------------------------------------------------------------------


def test_transactions_are_told_by_date_and_by_revision(shop: Shop) -> None:
    customer = shop.customer()
    for amount in (100, 20.5, 3):
        shop.top_up(customer, amount)
    shop.done("customer/wallet/chargeoff", customerId=customer, walletId=BONUS, sum=23.5)
    span = {"dateFrom": f"{NOON:%Y-%m-%d %H:%M:%S}.000", "dateTo": f"{NOON:%Y-%m-%d} 23:59:59.999"}
    pages = [
        shop.done("customer/transactions/by_date", customerId=customer, pageNumber=n, pageSize=3, **span)
        for n in range(3)
    ]
    rows = [row for page in pages for row in page["transactions"]]
    assert [len(page["transactions"]) for page in pages] == [3, 1, 0]
    assert [row["sum"] for row in rows] == [100, Decimal("20.50"), 3, Decimal("-23.50")]
    assert [row["balanceAfter"] for row in rows] == [100, Decimal("120.50"), Decimal("123.50"), 100]
    assert all(row["walletId"] == BONUS and row["organizationId"] == ORGANIZATION for row in rows)
    followed: list[Json] = []
    place: Json = {"revision": 0, "lastTransactionId": None}
    while True:
        page = shop.done("customer/transactions/by_revision", customerId=customer, pageSize=1, **place)
        place = {"revision": page["lastRevision"], "lastTransactionId": page["lastTransactionId"]}
        if not page["transactions"]:
            break
        followed += page["transactions"]
    assert followed == rows
    later = shop.done("customer/transactions/by_revision", customerId=customer, pageSize=10, revision=place["revision"])
    assert later["transactions"] == []
    foreign = {"revision": 1, "lastTransactionId": NOBODY, "pageSize": 1}
    shop.refused("customer/transactions/by_revision", customerId=customer, **foreign)


def test_a_receipt_of_the_till_is_a_transaction_with_its_order_and_counts(shop: Shop) -> None:
    customer = shop.customer(cardTrack="88", cardNumber="88")
    shop.books.done(post("sale", use("88", earn=500, spend_minor=90_000), total=90_000))
    (row,) = shop.done("customer/transactions/by_revision", customerId=customer, pageSize=9)["transactions"]
    assert (row["typeName"], row["orderNumber"], row["orderSum"], row["sum"]) == ("receipt", 17, 900, 5)
    counters = {"guestIds": [customer], "metrics": ["OrdersCount", 1], "periods": ["AllTime", 5]}
    told = shop.done("get_counters", **counters)["counters"]
    assert [(each["period"], each["metric"], each["value"]) for each in told] == [
        ("AllTime", "OrdersCount", 1),
        ("AllTime", 1, 900),
        (5, "OrdersCount", 1),
        (5, 1, 900),
    ]


@ON_SQLITE
def test_commands_are_done_and_settings_of_webhooks_are_kept(shop: Shop) -> None:
    told = shop.ask("api/1/commands/status", organizationId=ORGANIZATION, correlationId=NOBODY)
    assert told.told == {"state": "Success"}
    assert shop.ask("api/1/webhooks/settings", organizationId=ORGANIZATION).told["webHooksUri"] is None
    update = {
        "organizationId": ORGANIZATION,
        "webHooksUri": "https://example.org/iiko",
        "authToken": "a token of the site",
        "webHooksFilter": {"tableOrderFilter": {"orderStatuses": ["Closed"], "errors": True}},
    }
    for _ in range(2):
        assert shop.ask("api/1/webhooks/update_settings", **update).status == 200
        told = shop.ask("api/1/webhooks/settings", organizationId=ORGANIZATION).told
        assert {name: told[name] for name in update if name != "organizationId"} == {
            name: value for name, value in update.items() if name != "organizationId"
        }
    assert shop.ask("api/1/webhooks/update_settings", **update | {"webHooksUri": "ftp://x"}).status == 400
    assert shop.ask("api/1/webhooks/update_settings", organizationId=ORGANIZATION, webHooksUri="").status == 200
    assert shop.ask("api/1/webhooks/settings", organizationId=ORGANIZATION).told["webHooksUri"] is None


# Our own client ---------------------------------------------------------------------------------------------


class Ours(FarSide):
    """This face as what adapters/iiko_cloud speaks to, and a wallet in the books of whoever speaks."""

    def __init__(self, shop: Shop, *wallets: WalletTold) -> None:
        self.shop, self.wallets = shop, wallets

    def answer(self, call: Call) -> HttpReply:
        assert isinstance(call, HttpCall)
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        told = self.shop.send(call.path.removeprefix("/"), call.body, token=token)
        return HttpReply(told.status, {name.lower(): value for name, value in told.headers.items()}, told.body)

    def read(self, query: Query[Any]) -> WalletsTold:
        return WalletsTold(wallets=self.wallets)


@ON_SQLITE
def test_our_own_client_of_iiko_and_this_face_understand_each_other(shop: Shop) -> None:
    """Neither was made after the other: both after the same page."""
    wallets = [{"unit": POINTS, "id": BONUS, "programme": identities.programme(PLAIN)}]
    webhooks = {"uri": "https://till.example/hooks"}
    to = cloud.link(organization=ORGANIZATION, wallets=wallets, webhooks=webhooks, guests_per_pull=1)
    secrets = {"api_login": SECRET, "webhook_token": "a token for webhooks"}

    def say(message: Message | None, *told: WalletTold) -> Run:
        line = Line(iiko_cloud.ADAPTER, to, Ours(shop, *told), secrets)
        run = line.run(Job(cloud.AT, messages=(message,) if message else ()))
        assert run.error is None
        return run

    say(cloud.message(1), cloud.wallet(17, 150_50))
    (customer,) = [shop.info(type="phone", phone=PHONE)["id"]]
    assert shop.balance(customer) == Decimal("150.5")
    say(cloud.message(2), cloud.wallet(17, 20_05))
    assert shop.balance(customer) == Decimal("20.05")
    cards = (cloud.card("7701000017", "closed"), cloud.card("7701000018"))
    say(cloud.message(3, "card_changed"), cloud.wallet(17, 20_05, *cards))
    assert [each["number"] for each in shop.by_id(customer)["cards"]] == ["7701000018"]
    shop.top_up(customer, 5)
    told = [step.told.note for step in say(None, cloud.wallet(17, 20_05, *cards)).steps if isinstance(step.told, Found)]
    assert "20.05 BONUS here, 25.05 at iiko" in told[0]
    assert shop.ask("api/1/webhooks/settings", organizationId=ORGANIZATION).told["webHooksUri"] == webhooks["uri"]


# The log ----------------------------------------------------------------------------------------------------


@ON_SQLITE
def test_the_exchange_log_shows_neither_logins_tokens_nor_people(shop: Shop) -> None:
    customer = shop.customer(name="Олег", surName="Сидоров", comment="звонить после шести", email="o@example.org")
    shop.by_id(customer)
    shop.send("api/1/access_token", json.dumps(json.dumps({"apiLogin": SECRET})).encode())
    logged = shop.logged()
    assert len(logged) == 4
    shown = "\n".join(mask(part, iiko.ADAPTER.private) for each in logged for part in (each.request.body, each.answer))
    for secret in (SECRET, shop.token, "Олег", "Сидоров", "звонить", "o@example.org", PHONE):
        assert secret not in shown


@ON_SQLITE
def test_what_a_site_has_said_is_answered_alike_when_it_is_played_again(books: Books) -> None:
    """A guest that comes in meanwhile is there already in the books of a replay, and told as not reproduced."""
    books.run_live()
    with open_shop(books) as shop:
        old = shop.customer(name="Anna", comment="tea")
        shop.top_up(old, 100)
        began = datetime.now(UTC)
        shop.by_id(old)
        shop.top_up(old, 20)
        told = {"customerId": old, "walletId": BONUS}
        shop.done("customer/wallet/hold", transactionId=new_uuid(), sum=30, **told)
        shop.done("customer/wallet/chargeoff", sum=10, **told)
        shop.done("customer_category/add", customerId=old, categoryId=VIP)
        shop.done("calculate", order=basket(old))
        shop.customer(OTHER)
        assert shop.log.flush(CLOSE_SECONDS)
        live = live_core(Database(books.url, read_only=True), KEYS)
        settings = Settings(GatewaySettings(), CHAIN, PROGRAMMES, {LINK: link_settings()})
        replay = Replay.of(live, settings, Wanted((LINK,), began, 100))
        with replay.books(KEYS.index, None) as core:
            verdicts = [compare(played).verdict for played in replay.play(core, lambda more: None)]
        live.work.database.dispose()
    assert verdicts == ["same"] * 6 + ["not_reproduced"]
