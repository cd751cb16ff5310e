"""A message of Frontol's loyalty API -> its fields. Shapes: docs/adapters/frontol.md, "What is read"."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import msgspec

from adapters.frontol.keys import plain_uid
from adapters.json_parsing import Node, parse_json
from adapters.parsing import MAX_NAME, bad
from processing.commands import MAX_LINES

MAX_PAYMENTS = 1_000
MAX_COUPONS = 1_000
MAX_VALUES = 100
# A clock that shows anything else shows nothing.
YEARS = range(2000, 2100)

RECEIPT, REFUND_RECEIPT = "receipt", "refundReceipt"
BONUS = "bonus"

# 2026-09-14T12:03:10.000000+0300; a blank for the T, no fraction, Z, +03:00 and no zone at all are read too.
_MOMENT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,][0-9]{1,9})?"
    r"\s?(?P<zone>Z|[+-][0-9]{2}(?::?[0-9]{2})?)?",
    re.IGNORECASE,
)


class Client(msgspec.Struct, frozen=True):
    """Who buys, as far as the till knows; ``code`` is what it was given to verify them by."""

    phone: str = ""
    card: str = ""
    code: str = ""

    def __bool__(self) -> bool:
        return bool(self.phone or self.card)


class Position(msgspec.Struct, frozen=True):
    """A line, amounts in kopecks. ``total_minor`` is after the till's own discounts, ``discarded_minor`` rounding.

    ``reference``: of a refund, the line of the sale; 0 where it is not told.
    """

    index: int
    goods: str
    name: str
    price_minor: int
    minimum_price_minor: int
    quantity_thousandths: int
    total_minor: int
    discarded_minor: int = 0
    reference: int = 0


class Payment(msgspec.Struct, frozen=True):
    """How a part was paid, in kopecks: ``kind`` bonus, cash, creditCard or other."""

    kind: str
    amount_minor: int


class Message(msgspec.Struct, frozen=True):
    """Common fields, and of a document its own; what is missing is empty."""

    action: str = ""
    kind: str = RECEIPT
    workplace: str = ""
    business_unit: str = ""
    cashier: str = ""
    at: datetime | None = None
    client: Client = Client()
    uid: str = ""
    reference_uid: str = ""
    number: str = ""
    shift: str = ""
    positions: tuple[Position, ...] = ()
    payment: Payment | None = None
    payments: tuple[Payment, ...] = ()
    has_coupons: bool = False
    values: tuple[tuple[str, str], ...] = ()

    @property
    def paid_minor(self) -> int:
        return sum(payment.amount_minor for payment in self.payments)

    @property
    def bonus_minor(self) -> int:
        return sum(payment.amount_minor for payment in self.payments if payment.kind == BONUS)


def read(body: bytes, zone: ZoneInfo) -> Message:
    """The fields of the message. Errors: BadMessage."""
    root = parse_json(body)
    positions = root.get("positions").rows(MAX_LINES)
    cashier = root.get("cashier")
    kind = root.get("type").text() or RECEIPT
    return Message(
        action=root.get("action").text(),
        kind=kind,
        workplace=root.get("workPlace").text(),
        business_unit=root.get("businessUnit").text(),
        cashier=(cashier.get("code").text() or cashier.get("name").text(MAX_NAME))[:64],
        at=moment(root.get("dateTime").text(), zone),
        client=_client(root.get("client")),
        uid=_uid(root.get("uid")),
        reference_uid=_uid(root.get("referenceUid")),
        number=_counted(root.get("number")),
        shift=_counted(root.get("shift")),
        positions=tuple(_position(row, place, kind == REFUND_RECEIPT) for place, row in enumerate(positions, 1)),
        payment=_payment(root.get("payment")),
        payments=tuple(found for row in root.get("payments").rows(MAX_PAYMENTS) if (found := _payment(row))),
        has_coupons=any(each.get("coupons").rows(MAX_COUPONS) for each in (root, *positions)),
        values=tuple(
            (row.get("name").text(), row.get("value").text(MAX_NAME)) for row in root.get("values").rows(MAX_VALUES)
        ),
    )


def moment(text: str, zone: ZoneInfo) -> datetime | None:
    """The instant in UTC, without its fraction; without a zone it is local time. None for what is none."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    try:
        told = datetime.fromisoformat(f"{match['day']}T{match['time']}")
        if told.year not in YEARS:
            return None
        return told.replace(tzinfo=_offset(match["zone"]) or zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    digits = text.upper().replace("Z", "+0000").replace(":", "").ljust(5, "0")
    minutes = int(digits[1:3]) * 60 + int(digits[3:5])
    return timezone(timedelta(minutes=-minutes if digits[0] == "-" else minutes))


def _client(node: Node) -> Client:
    return Client(
        phone=node.get("mobilePhone").text(), card=node.get("card").text(), code=node.get("validationCode").text()
    )


def _uid(node: Node) -> str:
    return plain_uid(node.text(), node.where)


def _counted(node: Node) -> str:
    """A number of documents or shifts, without leading zeros; empty where it is missing."""
    return str(node.integer()) if node else ""


def _position(row: Node, place: int, is_back: bool) -> Position:
    """Errors: BadMessage; a position without an index is known by its place.

    Whether goods that come back are told with a minus is not known: their sizes count.
    """

    def size(name: str, read: Callable[[Node], int]) -> int:
        amount = read(row.get(name)) if row.get(name) else 0
        if amount < 0 and not is_back:
            raise bad(row.get(name).where, amount, "no negative number")
        return abs(amount)

    for name in ("quantity", "totalAmount"):
        if not row.get(name):
            raise bad(row.get(name).where, "", "a number")
    return Position(
        index=size("index", Node.integer) or place,
        goods=row.get("id").text(),
        name=row.get("text").text(MAX_NAME),
        price_minor=size("price", Node.minor),
        minimum_price_minor=size("minimumPrice", Node.minor),
        quantity_thousandths=size("quantity", Node.thousandths),
        total_minor=size("totalAmount", Node.minor),
        discarded_minor=size("discardedAmount", Node.minor),
        reference=size("referenceIndex", Node.integer),
    )


def _payment(node: Node) -> Payment | None:
    """None for an empty object. What is not fiscal and has no type is a bonus: no other till pays so."""
    if not node:
        return None
    kind = node.get("type").text() or (BONUS if node.get("mode").text() == "nonFiscal" else "other")
    amount = node.get("amount")
    return Payment(kind, amount.minor())
