"""iiko's cloud in memory, as docs/adapters/iiko_cloud.md tells it, with the quirks that people report of it.

400 for whom nobody knows, 401 for tokens that are over and for paths that there are not, guests and orders that are not
to be seen at once, top-ups that count twice when they are said twice, 422 for lists of more than a day and 400 for
revisions of more than three hours ago. Nothing here sleeps: each call takes a second of its own
clock.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from adapters.contract import Call, HttpCall, HttpReply
from adapters.testing.far_sides import FarSide

AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
ORGANIZATION = "3f0f5a52-7c1e-4c0b-9b58-0f6a1d2e3b44"
BONUS, GIFT = "0f3c6c2e-7a54-4f8b-9a3b-0d5b2f7a1c01", "7d9f2b1a-44c0-4e7d-9a6e-8c3b5a1f0e33"
PROGRAMME = "4d9838c5-d54e-4d02-8298-cee0485c0ac4"
API_LOGIN = "an api login of iikoWeb"
LOYALTY = "/api/1/loyalty/iiko/"
BY_DATE = "/api/1/deliveries/by_delivery_date_and_status"
TABLE_BY_ID, BY_TABLE = "/api/1/order/by_id", "/api/1/order/by_table"
DELIVERY_BY_ID, BY_REVISION = "/api/1/deliveries/by_id", "/api/1/deliveries/by_revision"
BY_ORGANIZATIONS = {"/api/1/organizations", TABLE_BY_ID, BY_TABLE, BY_REVISION, BY_DATE}
TABLE = "2b6c1c1e-5a0d-4e8e-8a55-1d1f7b1f3c01"
MOSCOW = ZoneInfo("Europe/Moscow")
# Where revisions of deliveries begin; one is a second of the clock.
DELIVERIES = 10**12
# Revisions are int64, and two movements may share one.
FIRST_REVISION = 2**62
SPACE = uuid.UUID("6d5b8f6e-2f2c-5c7f-9f0e-7a3f1d0c8e21")

Told = dict[str, Any]


class No(Exception):
    """A refusal of loyalty: HTTP 400."""


class TooMuch(Exception):
    """A list of more than a day: HTTP 422."""


@dataclass
class Row:
    """A transaction: of which wallet, how much, why, when."""

    wallet: str
    amount: Decimal
    comment: str
    before: Decimal
    at: datetime
    id: str = ""
    revision: int = 0
    order: str | None = None
    is_delivery: bool | None = None


@dataclass
class Order:
    """``told`` is its eventInfo; ``at``: when it was opened, or is to be delivered; ``changed_at`` its revision."""

    told: Told
    at: datetime
    is_delivery: bool
    seen_at: int
    changed_at: int


@dataclass
class Person:
    """A guest; ``seen_at``: from which second of the clock on."""

    id: str
    seen_at: int
    person: Told = field(default_factory=dict)
    phone: str = ""
    cards: dict[str, str] = field(default_factory=dict)
    wallets: dict[str, Decimal] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    is_deleted: bool = False


class Iiko(FarSide):
    """``token_seconds``, ``lag_seconds``: how long a token lives, and how long a new guest is not to be seen.

    ``wallets`` are those that every new guest has. ``rows_in_page``: the report tells no more at once.
    """

    def __init__(
        self,
        token_seconds: int = 3600,
        lag_seconds: int = 0,
        wallets: tuple[str, ...] = (BONUS,),
        rows_in_page: int = 1_000,
    ) -> None:
        self.token_seconds, self.lag_seconds = token_seconds, lag_seconds
        self.wallets, self.rows_in_page = wallets, rows_in_page
        self.now = 0
        self.tokens: dict[str, int] = {}
        self.guests: list[Person] = []
        self.orders: list[Order] = []
        self.webhooks: Told = {"webHooksUri": None, "authToken": None, "webHooksFilter": None}
        self.calls: list[str] = []
        self.rights = True
        self.throttled = 0
        self.paths: dict[str, Callable[[Told], Told]] = {
            "/api/1/organizations": self._organizations,
            "/api/1/webhooks/settings": lambda told: {"correlationId": "x", "apiLoginName": "a", **self.webhooks},
            "/api/1/webhooks/update_settings": self._update_webhooks,
            LOYALTY + "customer/info": self._info,
            LOYALTY + "customer/create_or_update": self._create,
            LOYALTY + "customer/card/add": self._add_card,
            LOYALTY + "customer/card/remove": self._remove_card,
            LOYALTY + "customer/program/add": self._add_programme,
            LOYALTY + "customer/wallet/topup": lambda told: self._move(told, 1),
            LOYALTY + "customer/wallet/chargeoff": lambda told: self._move(told, -1),
            LOYALTY + "customer/transactions/by_date": self._by_date,
            LOYALTY + "customer/transactions/by_revision": self._by_revision,
            LOYALTY + "delete_customers": self._delete,
            TABLE_BY_ID: lambda told: self._by_id(told, False),
            DELIVERY_BY_ID: lambda told: self._by_id(told, True),
            BY_TABLE: self._by_table,
            BY_REVISION: self._changed,
            BY_DATE: self._of_days,
        }

    # The door

    def answer(self, call: Call) -> HttpReply:
        assert isinstance(call, HttpCall) and call.method == "POST"
        assert call.headers["content-type"] == "application/json" and int(call.headers["timeout"]) > 0
        self.now += 1
        self.calls.append(call.path)
        told = json.loads(call.body, parse_float=Decimal)
        if self.throttled:
            self.throttled -= 1
            return HttpReply(429, {}, b"")
        if call.path in ("/api/1/access_token", "/api/v2/access_token"):
            return self._sign_in(call.path, told)
        if self.tokens.get(call.headers.get("authorization", ""), -1) < self.now:
            return _reply(401, {"correlationId": "x", "errorDescription": "token has expired", "error": None})
        if call.path not in self.paths or not (self.rights or call.path.startswith(LOYALTY)):
            return _reply(401, {"errorDescription": f"Right {call.path[1:]} is not allowed for this ApiLogin"})
        try:
            assert told["organizationIds" if call.path in BY_ORGANIZATIONS else "organizationId"]
            return _reply(200, self.paths[call.path](told))
        except TooMuch:
            return _reply(422, {"correlationId": "x", "errorDescription": "no", "error": "TOO_MANY_DATA_REQUESTED"})
        except No as no:
            code, error = no.args
            return _reply(400, {"code": code, "errorCode": error, "message": "no", "errorDescription": "no"})

    def _sign_in(self, path: str, told: Told) -> HttpReply:
        is_known = told == {"apiLogin": API_LOGIN} or set(told) == {"apiKey", "appId", "clientSecret"}
        if not is_known or ("apiLogin" in told) != ("/1/" in path):
            return _reply(401, {"correlationId": "x", "errorDescription": "Login is not authorized", "error": None})
        claims = base64.urlsafe_b64encode(json.dumps({"iat": 0, "exp": self.token_seconds}).encode()).decode()
        token = f"head{len(self.tokens)}.{claims.rstrip('=')}.tail"
        self.tokens[f"Bearer {token}"] = self.now + self.token_seconds
        return _reply(200, {"correlationId": "x", "token": token})

    # Who is there

    def _organizations(self, told: Told) -> Told:
        mine = {"responseType": "Simple", "id": ORGANIZATION, "name": "Bistro"}
        return {"correlationId": "x", "organizations": [mine] if ORGANIZATION in told["organizationIds"] else []}

    def _update_webhooks(self, told: Told) -> Told:
        self.webhooks = {name: told.get(name) for name in self.webhooks}
        return {"correlationId": "x"}

    def guest(self, guest_id: str) -> Person:
        for each in self.guests:
            if each.id == guest_id and each.seen_at <= self.now and not each.is_deleted:
                return each
        raise No("Transport_WrongCustomerId", "")

    def _info(self, told: Told) -> Told:
        kind = told["type"]
        name = told[kind]
        refusals = {
            "phone": ("Transport_WrongCustomerNumber", "Validation_IncorrectPhone"),
            "cardNumber": ("Transport_WrongCardNumber", "Card_CanNotFindByNumber"),
            "id": ("Transport_WrongCustomerId", ""),
        }
        for each in self.guests:
            has = {"phone": name == each.phone, "cardNumber": name in each.cards, "id": name == each.id}[kind]
            if has and each.seen_at <= self.now and not each.is_deleted:
                return _info(each)
        raise No(*refusals[kind])

    def _create(self, told: Told) -> Told:
        """With an id it updates; without one whoever has the phone or the card is updated, also if not seen yet."""
        found = self.guest(told["id"]) if told.get("id") else self._known(told)
        if found is None:
            assert told.get("phone") or told.get("cardNumber")
            made = str(uuid.uuid5(SPACE, str(len(self.guests))))
            found = Person(made, self.now + self.lag_seconds, wallets=dict.fromkeys(self.wallets, Decimal(0)))
            self.guests.append(found)
        owner = self._known({"phone": told.get("phone")})
        if owner is not None and owner is not found:
            raise No("Transport_WrongRequest", "Customer_PhoneExists")
        found.phone = told.get("phone") or found.phone
        if told.get("cardNumber"):
            found.cards[told["cardNumber"]] = told["cardTrack"]
        names = ("name", "middleName", "surName", "email", "birthday")
        found.person |= {name: told[name] for name in names if told.get(name)}
        return {"id": found.id}

    def _known(self, told: Told) -> Person | None:
        for each in self.guests:
            if not each.is_deleted and (
                (told.get("phone") and told["phone"] == each.phone) or told.get("cardNumber") in each.cards
            ):
                return each
        return None

    def _add_card(self, told: Told) -> Told:
        owner = self._known({"cardNumber": told["cardNumber"]})
        if owner is not None and owner.id != told["customerId"]:
            raise No("Transport_WrongCardNumber", "Card_AlreadyExists")
        self.guest(told["customerId"]).cards[told["cardNumber"]] = told["cardTrack"]
        return {}

    def _remove_card(self, told: Told) -> Told:
        found = self.guest(told["customerId"])
        if not found.phone and len(found.cards) == 1:
            raise No("", "")
        found.cards = {number: track for number, track in found.cards.items() if track != told["cardTrack"]}
        return {}

    def _add_programme(self, told: Told) -> Told:
        assert told["programId"] == PROGRAMME
        self.guest(told["customerId"]).wallets.setdefault(BONUS, Decimal(0))
        return {"userWalletId": BONUS, "walletId": BONUS}

    def _delete(self, told: Told) -> Told:
        for each in told["customerIds"]:
            self.guest(each).is_deleted = True
        return {"total": len(told["customerIds"]), "deleted": len(told["customerIds"]), "notFound": 0}

    # Money

    def _move(self, told: Told, sign: int) -> Told:
        """No key: whatever is said is done."""
        amount = Decimal(told["sum"])
        if amount <= 0 or amount != round(amount, 2):
            raise No("Transport_WrongRequest", "Validation_WrongSum")
        self.move(self.guest(told["customerId"]), told["walletId"], sign * amount, told["comment"])
        return {}

    def move(
        self,
        guest: Person,
        wallet: str,
        amount: Decimal,
        comment: str = "",
        order: str | None = None,
        is_delivery: bool | None = None,
    ) -> None:
        """``order``: the till's id of what it belongs to. Errors: No for less than nothing."""
        before = guest.wallets[wallet]
        if before + amount < 0:
            raise No("Transport_WrongRequest", "Wallet_NotEnough")
        guest.wallets[wallet] = before + amount
        place = sum(len(each.rows) for each in self.guests) + 1
        made = str(uuid.uuid5(SPACE, f"row {place}"))
        at, revision = AT + timedelta(seconds=self.now), FIRST_REVISION + place // 2
        guest.rows.append(Row(wallet, amount, comment, before, at, made, revision, order, is_delivery))

    def _by_date(self, told: Told) -> Told:
        begin, end = (datetime.fromisoformat(told[name] + "+00:00") for name in ("dateFrom", "dateTo"))
        rows = [row for row in self.guest(told["customerId"]).rows if begin <= row.at <= end]
        size = min(told["pageSize"], self.rows_in_page)
        first = told["pageNumber"] * size
        shown = [_row(row) for row in rows[first : first + size]]
        return {"transactions": shown, "pageSize": size, "pageNumber": told["pageNumber"]}

    def _by_revision(self, told: Told) -> Told:
        """Behind the revision; with the last transaction also those of the revision that come after it."""
        rows, last_id = self.guest(told["customerId"]).rows, told.get("lastTransactionId")
        seen = [row.id for row in rows].index(last_id) + 1 if last_id else 0
        least = told["revision"] if last_id else told["revision"] + 1
        rows = [row for row in rows[seen:] if row.revision >= least]
        size = min(told["pageSize"], self.rows_in_page)
        shown = rows[:size]
        last = shown[-1] if shown else None
        return {
            "transactions": [_row(row) for row in shown],
            "lastRevision": last.revision if last else told["revision"],
            "lastTransactionId": last.id if last else None,
            "pageSize": size,
        }

    # Orders

    def tell(self, info: Told, is_delivery: bool = False, at: datetime = AT, lag_seconds: int = 0) -> None:
        """An order as it is from now on, or from ``lag_seconds`` later on."""
        others = [each for each in self.orders if each.told["id"] != info["id"]]
        told = {"organizationId": ORGANIZATION, "creationStatus": "Success", "errorInfo": None} | info
        self.orders = [*others, Order(told, at, is_delivery, self.now + lag_seconds, self.now)]

    def _seen(self, is_delivery: bool) -> list[Order]:
        return [each for each in self.orders if each.is_delivery == is_delivery and each.seen_at <= self.now]

    def _by_id(self, told: Told, is_delivery: bool) -> Told:
        ((by, ids),) = [(name, told[name]) for name in ("orderIds", "posOrderIds") if told.get(name) is not None]
        assert 0 < len(ids) <= 200
        name = "id" if by == "orderIds" else "posId"
        found = [each.told for each in self._seen(is_delivery) if each.told[name] in ids]
        return {"correlationId": "x", "orders": found}

    def _by_table(self, told: Told) -> Told:
        found = [each.told for each in self._between(told, "date", False) if told["tableIds"] == [TABLE]]
        return {"correlationId": "x", "orders": found}

    def _between(self, told: Told, name: str, is_delivery: bool) -> list[Order]:
        """In the terminal's zone. Errors: TooMuch."""
        begin, end = (datetime.fromisoformat(told[name + part]).replace(tzinfo=MOSCOW) for part in ("From", "To"))
        if end - begin > timedelta(days=1):
            raise TooMuch
        return [each for each in self._seen(is_delivery) if begin <= each.at <= end]

    def _of_days(self, told: Told) -> Told:
        found = self._between(told, "deliveryDate", True)
        return self._by_organization([each for each in found if each.told["order"]["status"] in told["statuses"]])

    def _changed(self, told: Told) -> Told:
        since = told["startRevision"] - DELIVERIES
        if since < self.now - 3 * 3600:
            raise No("", "")
        return self._by_organization([each for each in self._seen(True) if each.changed_at > since])

    def _by_organization(self, found: list[Order]) -> Told:
        mine = {"organizationId": ORGANIZATION, "orders": [each.told for each in found]}
        return {"correlationId": "x", "maxRevision": DELIVERIES + self.now, "ordersByOrganizations": [mine]}

    # What has become of it

    def balance(self, wallet: str = BONUS) -> Decimal:
        """Of the only guest."""
        (guest,) = [each for each in self.guests if not each.is_deleted]
        return guest.wallets[wallet]

    def effects(self) -> Any:
        """Movements with their comments, so that one that is there twice shows."""
        return [
            (
                each.person,
                each.phone,
                each.cards,
                each.wallets,
                [(row.wallet, row.amount, row.comment) for row in each.rows],
                each.is_deleted,
            )
            for each in self.guests
        ]


def _reply(status: int, told: Told) -> HttpReply:
    return HttpReply(status, {"content-type": "application/json"}, json.dumps(told, default=_number).encode())


def _number(value: Decimal) -> int | float:
    """As the service writes them: binary fractions, or whole."""
    return int(value) if value == int(value) else float(value)


def _info(guest: Person) -> Told:
    return {
        "id": guest.id,
        "name": guest.person.get("name"),
        "surname": guest.person.get("surName"),
        "middleName": None,
        "phone": guest.phone or None,
        "email": guest.person.get("email"),
        "birthday": guest.person.get("birthday"),
        "sex": 0,
        "consentStatus": 0,
        "anonymized": False,
        "cards": [{"id": guest.id, "track": track, "number": number} for number, track in guest.cards.items()],
        "categories": [],
        "walletBalances": [
            {"id": wallet, "name": "Bonus", "type": 1, "balance": balance} for wallet, balance in guest.wallets.items()
        ],
        "isDeleted": False,
    }


def _row(row: Row) -> Told:
    return {
        "id": row.id,
        "organizationId": ORGANIZATION,
        "revision": row.revision,
        "sum": row.amount,
        "type": 1,
        "typeName": "Refill",
        "balanceBefore": row.before,
        "balanceAfter": row.before + row.amount,
        "walletId": row.wallet,
        "orderNumber": None,
        "posOrderId": row.order,
        "isDelivery": row.is_delivery,
        "isIgnored": False,
        "whenCreated": f"{row.at:%Y-%m-%d %H:%M:%S}.000",
        "comment": row.comment,
    }


def order_info(order: str, stamp: int, status: str = "Closed", total: int = 1_000, **changes: Any) -> Told:
    """An order as eventInfo tells it: at so many milliseconds; sums in roubles."""
    goods = {"id": "7c1d2f55-0f4b-4a7c-9f42-5f5d5f0a1b44", "name": "Soup"}
    cash = {"id": "09322f46-578a-4210-add7-eec222a08871", "kind": "Cash"}
    item = {"type": "Product", "product": goods, "amount": 1, "price": total, "cost": total, "resultSum": total}
    told = {
        "customer": {"type": "regular", "id": "b6a9c3c2-8f5b-4f0e-9f5e-3f2f6d1c7a77", "name": "Anna"},
        "phone": "+79990001122",
        "status": status,
        "sum": total,
        "number": 17,
        "whenClosed": "2026-05-04 19:52:00.000" if status == "Closed" else None,
        "items": [item],
        "payments": [{"paymentType": cash, "sum": total}],
        "terminalGroupId": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
    }
    return {
        "id": order,
        "posId": till_id(order),
        "organizationId": ORGANIZATION,
        "timestamp": 1_777_913_520_000 + stamp,
        "creationStatus": "Success",
        "order": told | changes,
    }


def till_id(order: str) -> str:
    """The till's id of an order."""
    return f"0c0a7b5e{order[8:]}"
