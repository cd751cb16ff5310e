"""Events of iiko's webhooks: JSON -> the orders that they tell of (docs/adapters/iiko_webhooks.md, "Events").

An event that is no order's, or tells of an order that failed, is none of ours. Amounts are major units in JSON and
whole minor units here. Helpers raise BadMessage with the place, ``[0].eventInfo.order.sum``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from adapters.iiko.messages import a_uuid
from adapters.json_parsing import Node
from adapters.parsing import MAX_CODE, MAX_NAME, bad, bounded, instant
from processing.commands import MAX_LINES
from processing.units import proportion

MAX_EVENTS = 1_000
MAX_PAYMENTS = 100
ORDERS = frozenset({"TableOrderUpdate", "DeliveryOrderUpdate"})
CLOSED = "Closed"
# Of a table order, and of a delivery.
GONE = frozenset({"Deleted", "Cancelled"})
REGULAR, ONE_TIME = "regular", "one-time"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Milliseconds of the year 9999; the stamp of that is still in 2002.
MAX_TIMESTAMP = 253_370_764_800_000
# Of the versions of one millisecond: open, closed, gone.
PLACES = 4


@dataclass(frozen=True, slots=True)
class Item:
    """A position that was sold."""

    goods: str
    name: str
    quantity_thousandths: int
    price_minor: int
    full_minor: int
    sum_minor: int


@dataclass(frozen=True, slots=True)
class Payment:
    type_id: str
    kind: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Guest:
    """``kind`` is regular for one whom iikoCard knows; ``id`` is iiko's."""

    kind: str
    id: str
    phone: str


@dataclass(frozen=True, slots=True)
class Order:
    """What an event tells of an order, ``at`` when: ``stamp`` is its version, of which the highest counts. It is less
    than whatever the till's plugin says of that order, for the cloud does not know all that the till does."""

    id: str
    pos_id: str
    organization: str
    at: datetime
    stamp: datetime
    status: str
    node: Node

    @property
    def is_closed(self) -> bool:
        return self.status == CLOSED

    @property
    def is_gone(self) -> bool:
        return self.status in GONE


def events_of(told: Node) -> list[Node]:
    """The events of a message: an array, or one that came alone. Errors: BadMessage."""
    return [Node(told.value, "[0]")] if isinstance(told.value, dict) else told.rows(MAX_EVENTS)


def order_of(event: Node) -> Order | None:
    """The order that an event tells of; ``None`` where it tells of none, or of a kind nobody knows. Errors: BadMessage.

    Two events of one order and timestamp differ by their status, of which the later in an order's life is the newer.
    """
    if event.get("eventType").text() not in ORDERS:
        return None
    return order_in(event.get("eventInfo"), identity(event.get("organizationId")))


def order_in(info: Node, organization: str = "") -> Order | None:
    """The order in an event's ``eventInfo``, or in one of the ``orders`` that the API answers with: they are alike.
    ``None`` where it was not made, or not yet. ``organization``: where it tells none. Errors: BadMessage."""
    order = info.get("order")
    if not order:
        return None
    status, count = order.get("status").text(), _timestamp(info.get("timestamp"))
    stamp = _version(count, 2 if status in GONE else int(status == CLOSED))
    name, pos = needed_identity(info.get("id")), identity(info.get("posId"))
    own = identity(info.get("organizationId")) or organization
    return Order(name, pos, own, EPOCH + timedelta(milliseconds=count), stamp, status, order)


def _timestamp(told: Node) -> int:
    """Milliseconds since 1970, as in iiko's own example; whatever they count, they grow."""
    count = told.integer()
    if not 0 <= count <= MAX_TIMESTAMP:
        raise bad(told.where, count, f"0 to {MAX_TIMESTAMP}")
    return count


def _version(count: int, place: int) -> datetime:
    """A stamp that grows with the timestamp, and within one with the place in an order's life; before any till's clock
    (docs/adapters/iiko_webhooks.md, "Keys")."""
    return EPOCH + timedelta(microseconds=PLACES * count + place)


def closed_at(order: Order, zone: ZoneInfo) -> datetime | None:
    """When it was closed, by the terminal's clock; ``None`` where that is not told. Errors: BadMessage."""
    told = order.node.get("whenClosed")
    return instant(told.text(), told.where, zone) if told else None


def guest_of(order: Order) -> Guest | None:
    """Who the order is bound to. Errors: BadMessage."""
    customer = order.node.get("customer")
    phone = order.node.get("phone").text() or customer.get("phone").text()
    known = identity(customer.get("id"))
    if not known and not phone:
        return None
    return Guest(customer.get("type").text() or (REGULAR if known else ONE_TIME), known, phone)


def items_of(order: Order) -> list[Item]:
    """What was sold, without what was taken off the order again. Errors: BadMessage."""
    return [_item(each) for each in order.node.get("items").rows(MAX_LINES) if not each.get("deleted")]


def _item(told: Node) -> Item:
    """A compound dish is known by its first half."""
    main = told.get("product") or told.get("primaryComponent").get("product") or told.get("service")
    pieces = told.get("amount").thousandths() if told.get("amount") else 1_000
    price = amount(told.get("price"))
    full = amount(told.get("cost")) if told.get("cost") else proportion(price, pieces, 1_000)
    paid = amount(told.get("resultSum")) if told.get("resultSum") else full
    if pieces <= 0 or paid < 0:
        raise bad(told.where, paid, "a quantity and a sum that are not negative")
    return Item(
        identity(main.get("id")), main.get("name").text(MAX_NAME), pieces, price, bounded(full, told.where), paid
    )


def payments_of(order: Order) -> list[Payment]:
    """What it was paid with; what was only promised does not count. Errors: BadMessage."""
    told = [
        each for each in order.node.get("payments").rows(MAX_PAYMENTS) if each.get("isPreliminary").value is not True
    ]
    return [
        Payment(
            identity(each.get("paymentType").get("id")),
            each.get("paymentType").get("kind").text(),
            amount(each.get("sum")),
        )
        for each in told
    ]


def amount(told: Node) -> int:
    """Minor units; nothing where it is missing. Errors: BadMessage."""
    return told.minor() if told.value is not None else 0


def identity(told: Node) -> str:
    """A UUID in small letters; empty where it is missing. Errors: BadMessage."""
    found = told.text(MAX_CODE)
    return a_uuid(found, told.where) if found else ""


def needed_identity(told: Node) -> str:
    found = identity(told)
    if not found:
        raise bad(told.where, "", "a UUID")
    return found
