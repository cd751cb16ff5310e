"""JSON of the plugin -> fields (docs/adapters/iiko_plugin.md, "Messages").

Amounts are whole minor units, in fields that end in ``Minor``; quantities are decimals. Helpers raise BadMessage with
the place, ``items[2].sumMinor``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from adapters.contract import Link, WireRequest
from adapters.iiko.messages import a_uuid
from adapters.iiko_plugin.options import holds_money, names
from adapters.json_parsing import Node, parse_json
from adapters.parsing import MAX_CODE, MAX_NAME, bad, bounded
from processing.commands import MAX_HOLD_SECONDS, MAX_LINES, Line, Receipt, Ref, Tender
from processing.errors import UnitNotFound

MAX_PAYMENTS = 100
# As .NET writes an instant: 2026-11-21T20:41:08.5120000+03:00.
MAX_INSTANT = 40
TILL = "iiko"
CASH, CARD, WALLET, OTHER = "cash", "card", "wallet", "other"
KINDS = (CASH, CARD, WALLET, OTHER)
TENDERS: dict[str, Literal["cash", "bank_card"]] = {CASH: "cash", CARD: "bank_card"}


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the order with the till's own id of it; empty where it has none."""

    line: Line
    id: str


@dataclass(frozen=True, slots=True)
class Payment:
    kind: str
    unit: str
    amount_minor: int


def message(request: WireRequest) -> Node:
    """The object that the body is. Errors: BadMessage."""
    told = parse_json(request.body)
    if not isinstance(told.value, dict):
        raise bad("body", type(told.value).__name__, "a JSON object")
    return told


def identity(told: Node) -> str:
    """A UUID, in small letters; it is required. Errors: BadMessage."""
    return a_uuid(told.text(MAX_CODE).strip("{}"), told.where)


def needed(told: Node, most: int = MAX_CODE) -> str:
    """A text that must be there. Errors: BadMessage."""
    found = told.text(most)
    if not found:
        raise bad(told.where, "", "a value: it is required")
    return found


def positive(told: Node) -> int:
    """An amount above nothing. Errors: BadMessage."""
    found = told.integer()
    if found <= 0:
        raise bad(told.where, found, "an amount above 0")
    return found


def not_negative(told: Node) -> int:
    """An amount; nothing where it is missing. Errors: BadMessage."""
    found = told.integer() if told.value is not None else 0
    if found < 0:
        raise bad(told.where, found, "an amount that is not negative")
    return found


def wallet(told: Node, link: Link) -> str:
    """The unit of a wallet of the link. Errors: BadMessage, UnitNotFound."""
    found = needed(told)
    if found not in names(link.options):
        raise UnitNotFound("no such wallet", where=told.where)
    return found


def card(told: Node) -> Ref:
    """The card's number, as identify has told it. Errors: BadMessage."""
    return Ref("card", needed(told))


def seconds(told: Node, default: int) -> int:
    """How long a reservation lasts. Errors: BadMessage."""
    found = told.integer() if told.value is not None else default
    if not 1 <= found <= MAX_HOLD_SECONDS:
        raise bad(told.where, found, f"1 to {MAX_HOLD_SECONDS}")
    return found


def moment(told: Node, zone: ZoneInfo) -> datetime | None:
    """An instant, of the store's own zone where it names none; ``None`` where it is missing. Errors: BadMessage."""
    found = told.text(MAX_INSTANT)
    if not found:
        return None
    try:
        at = datetime.fromisoformat(found)
        return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad(told.where, found, "a date and time") from None


def needed_moment(told: Node, zone: ZoneInfo) -> datetime:
    found = moment(told, zone)
    if found is None:
        raise bad(told.where, "", "a date and time: it is required")
    return found


def items(told: Node) -> list[Item]:
    """The lines of the order. Errors: BadMessage."""
    rows = told.rows(MAX_LINES)
    if not rows:
        raise bad(told.where, "", "at least one item")
    return [_item(number, each) for number, each in enumerate(rows, 1)]


def _item(number: int, told: Node) -> Item:
    """``sumMinor`` is what the whole line costs, after discounts and before payments."""
    pieces = told.get("amount").thousandths() if told.get("amount") else 1_000
    if pieces <= 0:
        raise bad(told.get("amount").where, pieces, "a quantity above 0")
    line = Line(
        number=number,
        goods=needed(told.get("goods")),
        name=told.get("name").text(MAX_NAME),
        category=told.get("category").text(),
        quantity_thousandths=pieces,
        price_minor=not_negative(told.get("priceMinor")),
        sum_minor=not_negative(told.get("sumMinor")),
        discount_minor=not_negative(told.get("discountMinor")),
        minimum_price_minor=not_negative(told.get("minimumPriceMinor")),
    )
    return Item(line, told.get("id").text())


def total_of(lines: list[Item]) -> int:
    return bounded(sum(each.line.sum_minor for each in lines), "items")


def sold(lines: list[Item]) -> list[tuple[str, int, int]]:
    """What of the lines makes two orders the same."""
    return [(each.line.goods, each.line.quantity_thousandths, each.line.sum_minor) for each in lines]


def in_sight(lines: list[Item]) -> Receipt:
    """The order that a payment is judged by. What day it is and who stands at the till makes no other of it."""
    plain = tuple(each.line for each in lines)
    return Receipt(number="", till="", business_date=date.min, total_minor=total_of(lines), lines=plain)


def payments(told: Node) -> list[Payment]:
    """How the order was paid. Errors: BadMessage."""
    return [_payment(each) for each in told.rows(MAX_PAYMENTS)]


def _payment(told: Node) -> Payment:
    kind = needed(told.get("kind"))
    if kind not in KINDS:
        raise bad(told.get("kind").where, kind, " or ".join(KINDS))
    unit = needed(told.get("wallet")) if kind == WALLET else ""
    return Payment(kind, unit, not_negative(told.get("amountMinor")))


def paid_elsewhere(paid: list[Payment], link: Link) -> int:
    """What points have paid, or a wallet that the link does not have any more: no money of the guest's own."""
    by_wallets = [each for each in paid if each.kind == WALLET and not holds_money(each.unit, link.options)]
    return bounded(sum(each.amount_minor for each in by_wallets), "payments")


def tender(told: Payment, link: Link) -> Tender:
    if told.unit in names(link.options):
        return Tender(code=told.unit, kind="purse", amount_minor=told.amount_minor, unit=told.unit)
    return Tender(code=told.unit or told.kind, kind=TENDERS.get(told.kind, "other"), amount_minor=told.amount_minor)


def receipt(told: Node, request: WireRequest, link: Link, total_minor: int, lines: list[Item], number: str) -> Receipt:
    """A purchase or payment as the till tells it, at its own time of it. Errors: BadMessage."""
    at = moment(told.get("closedAt"), link.zone) or moment(told.get("at"), link.zone)
    return Receipt(
        number=told.get("orderNumber").text() or number,
        till=told.get("till").text() or TILL,
        business_date=(at or request.at).astimezone(link.zone).date(),
        shift=told.get("shift").text(),
        closed_at=at,
        total_minor=total_minor,
        discount_minor=bounded(sum(each.line.discount_minor for each in lines), "items"),
        lines=tuple(each.line for each in lines),
        cashier=told.get("cashier").text(),
    )
