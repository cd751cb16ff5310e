"""iiko's cloud in memory, as docs/adapters/iiko_cloud.md tells it, with the quirks that people report of it.

400 for whom nobody knows, 401 for tokens that are over and for paths that there are not, guests who are not to be seen
at once, top-ups that count twice when they are said twice. Nothing here sleeps: each call takes a second of its own
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

from adapters.contract import Call, HttpCall, HttpReply
from adapters.testing.far_sides import FarSide

AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
ORGANIZATION = "3f0f5a52-7c1e-4c0b-9b58-0f6a1d2e3b44"
BONUS, GIFT = "0f3c6c2e-7a54-4f8b-9a3b-0d5b2f7a1c01", "7d9f2b1a-44c0-4e7d-9a6e-8c3b5a1f0e33"
PROGRAMME = "4d9838c5-d54e-4d02-8298-cee0485c0ac4"
API_LOGIN = "an api login of iikoWeb"
LOYALTY = "/api/1/loyalty/iiko/"
# Revisions are int64, and two movements may share one.
FIRST_REVISION = 2**62
SPACE = uuid.UUID("6d5b8f6e-2f2c-5c7f-9f0e-7a3f1d0c8e21")

Told = dict[str, Any]


class No(Exception):
    """A refusal of loyalty: HTTP 400."""


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
            assert told["organizationIds" if call.path.endswith("organizations") else "organizationId"]
            return _reply(200, self.paths[call.path](told))
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

    def move(self, guest: Person, wallet: str, amount: Decimal, comment: str = "") -> None:
        """Errors: No for less than nothing."""
        before = guest.wallets[wallet]
        if before + amount < 0:
            raise No("Transport_WrongRequest", "Wallet_NotEnough")
        guest.wallets[wallet] = before + amount
        place = sum(len(each.rows) for each in self.guests) + 1
        made = str(uuid.uuid5(SPACE, f"row {place}"))
        at, revision = AT + timedelta(seconds=self.now), FIRST_REVISION + place // 2
        guest.rows.append(Row(wallet, amount, comment, before, at, made, revision))

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
        "isIgnored": False,
        "whenCreated": f"{row.at:%Y-%m-%d %H:%M:%S}.000",
        "comment": row.comment,
    }
