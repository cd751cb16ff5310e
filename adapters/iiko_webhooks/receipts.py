"""An order of a webhook -> the fact that it is: a purchase, or one that was deleted (docs/adapters/iiko_webhooks.md).

Every event is a version of its order. The highest stamp counts, whatever comes first: what is older is stale, what is
newer takes its place. What the till's plugin tells of the order is newer than all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from adapters.contract import Link
from adapters.iiko.keys import PREFIX, order_key
from adapters.iiko_webhooks.events import (
    REGULAR,
    Guest,
    Item,
    Order,
    Payment,
    amount,
    closed_at,
    guest_of,
    items_of,
    payments_of,
)
from adapters.iiko_webhooks.options import NONE, ONE_TIME
from adapters.parsing import MAX_CODE
from processing.commands import CardUse, Command, Line, PostReceipt, Receipt, Ref, Tender, VoidReceipt
from processing.errors import BadMessage, ForeignStore
from processing.units import spread

Options = Mapping[str, Any]

# What iiko's wallets pay is no money that the guest brings.
WALLET_KINDS = frozenset({"IikoCard", "LoyaltyCard", "Writeoff"})
TENDERS: dict[str, Literal["cash", "bank_card"]] = {"Cash": "cash", "Card": "bank_card"}
# Doubts for the operator.
IIKOCARD_GUEST, LINES_DIFFER = "iikocard_guest", "lines_differ"


def ask_of(order: Order, link: Link) -> Command[Any] | None:
    """The fact that an event tells; ``None`` where it tells none yet, or the link books none.

    Errors: BadMessage; ForeignStore for the order of another organization.
    """
    own = link.options["organization"]
    if own and order.organization and order.organization != own:
        raise ForeignStore("the organization is not that of this link", where=order.node.where)
    if link.options["book"] == NONE:
        return None
    if order.is_gone:
        return VoidReceipt(
            store=link.store,
            keys=_keys(order),
            content=_digest(order.status),
            reason="return",
            stamp=order.stamp,
            receipts_only=True,
            supersede=True,
        )
    return _sale(order, link) if order.is_closed else None


def _keys(order: Order) -> tuple[str, ...]:
    """By the cloud's id and by the till's, which the plugin knows: so no order is booked twice in one store."""
    return tuple(dict.fromkeys(order_key(each) for each in (order.id, order.pos_id) if each))


def _digest(*parts: Any) -> str:
    """Of what makes two events the same, whenever they were sent."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _sale(order: Order, link: Link) -> PostReceipt:
    """A closed order. Errors: BadMessage."""
    guest, payments, total = guest_of(order), payments_of(order), _total(order)
    items, doubts = items_of(order), []
    sums = [each.sum_minor for each in items]
    if items and sum(sums) != total:
        # The total is what was paid: the lines share it, or are left out where they cost nothing.
        doubts.append(LINES_DIFFER)
        items, sums = (items, spread(total, sums)) if sum(sums) else ([], [])
    elsewhere = min(max(_elsewhere(payments, link.options), 0), total)
    lines = tuple(_line(n, each, paid) for n, (each, paid) in enumerate(zip(items, sums, strict=True), 1))
    cards: tuple[CardUse, ...] = ()
    if guest is not None and link.options["book"] == ONE_TIME and guest.kind == REGULAR:
        doubts.append(IIKOCARD_GUEST)
    elif guest is not None:
        cards = (CardUse(refs=_refs(guest), spend_minor=total - elsewhere, paid_minor=elsewhere),)
    known = [(line.goods, line.quantity_thousandths, line.sum_minor) for line in lines]
    return PostReceipt(
        store=link.store,
        keys=_keys(order),
        content=_digest(total, known, payments, [(ref.scheme, ref.value) for use in cards for ref in use.refs]),
        receipt=_receipt(order, link, total, lines, payments),
        cards=cards,
        stamp=order.stamp,
        supersede=True,
        fact=True,
        notes=tuple(doubts),
    )


def _total(order: Order) -> int:
    """What the order cost, after discounts. Errors: BadMessage."""
    told = order.node.get("sum")
    if told.value is None or told.minor() < 0:
        raise BadMessage(f"{told.where}: expected an amount that is not negative", where=told.where)
    return amount(told)


def _elsewhere(payments: Sequence[Payment], options: Options) -> int:
    """What was paid with wallets: it is booked elsewhere, and earns nothing."""
    return sum(
        each.amount_minor for each in payments if each.kind in WALLET_KINDS or each.type_id in options["not_own_money"]
    )


def _refs(guest: Guest) -> tuple[Ref, ...]:
    """Names of the guest's card: iiko's id, which may be ours or one that we were told, then the phone."""
    named = (("uuid", guest.id), (PREFIX, guest.id), ("phone", guest.phone))
    return tuple(Ref(scheme, value) for scheme, value in named if value)


def _receipt(order: Order, link: Link, total: int, lines: tuple[Line, ...], payments: Sequence[Payment]) -> Receipt:
    at = closed_at(order, link.zone) or order.at
    node = order.node
    return Receipt(
        number=node.get("number").text() or order.id,
        till=node.get("terminalGroupId").text() or PREFIX,
        business_date=at.astimezone(link.zone).date(),
        closed_at=at,
        total_minor=total,
        discount_minor=sum(line.discount_minor for line in lines),
        lines=lines,
        tenders=tuple(
            Tender(
                code=(each.type_id or each.kind)[:MAX_CODE],
                kind=TENDERS.get(each.kind, "other"),
                amount_minor=each.amount_minor,
            )
            for each in payments
        ),
        cashier=node.get("waiter").get("id").text(),
    )


def _line(number: int, item: Item, sum_minor: int) -> Line:
    return Line(
        number=number,
        goods=item.goods,
        name=item.name,
        quantity_thousandths=item.quantity_thousandths,
        price_minor=item.price_minor,
        sum_minor=sum_minor,
        discount_minor=max(item.full_minor - sum_minor, 0),
    )
