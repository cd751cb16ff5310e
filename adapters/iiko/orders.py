"""calculate: what a basket costs, what may be paid from wallets, and nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, each, must, one
from adapters.iiko import identities
from adapters.iiko.answers import amount, said
from adapters.iiko.messages import (
    Fields,
    fields,
    identity,
    inner,
    money,
    needed,
    needed_identity,
    objects,
    quantity,
    require,
    text,
)
from adapters.iiko.options import names
from adapters.iiko.places import check_organization
from adapters.iiko.refusals import codes
from adapters.parsing import MAX_CODE, bounded
from adapters.texts import text as words
from processing.commands import MAX_LINES, CardUse, Identify, Line, Quote, Receipt, Ref
from processing.errors import CardNotFound, LoyaltyError
from processing.results import Identified, Quoted, QuotedCard
from processing.units import proportion

PRODUCT, COMPOUND = "Product", "Compound"
REGULAR, ONE_TIME = "regular", "one-time"
MAX_MODIFIERS = 100
# Discount codes (the specification): fixed for the whole order, fixed for an item.
OF_ORDER, OF_ITEM = 0, 1
UNKNOWN_COUPON = {"ru": "Купон {} не найден", "en": "Coupon {} is not known"}
# What an order has no number for yet.
QUOTE = "calculate"


@dataclass(frozen=True, slots=True)
class Item:
    """A line with the caller's name of it; empty where it has none."""

    line: Line
    position: str


def calculate(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """The programme's discounts by position, and the most that each wallet may pay.

    A guest who is not found does not keep the basket from being priced; a warning says so.
    """
    told = fields(request.body)
    check_organization(told, link)
    order = inner(told, "order")
    items = _items(order)
    refs, receipt = _guest(order), _receipt(items, request.at.astimezone(link.zone))
    coupon = text(inner(order, "loyaltyInfo"), "coupon") or text(told, "coupon")
    warnings = [UNKNOWN_COUPON[link.options["language"]].format(coupon)] if coupon else []
    if not refs:
        quoted = yield from one(Quote(store=link.store, receipt=receipt))
        return said(_answer(items, quoted, None, [], warnings, link))
    known, found, unknown = yield from each(
        Quote(store=link.store, receipt=receipt, cards=(CardUse(refs=refs, spend_minor=receipt.total_minor),)),
        Identify(store=link.store, refs=refs, order_minor=receipt.total_minor),
        Quote(store=link.store, receipt=receipt),
    )
    if isinstance(known, CardNotFound):
        return said(_answer(items, must(unknown), None, [_warning(known, link)], warnings, link))
    return said(_answer(items, must(known), must(found), [], warnings, link))


# Reading ---------------------------------------------------------------------------------------------------


def _guest(order: Fields) -> tuple[Ref, ...]:
    """Only a regular guest has loyalty: by id, else by the order's phone. Errors: BadMessage."""
    guest = inner(order, "customer")
    kind = text(guest, "type") or REGULAR
    require(kind in (REGULAR, ONE_TIME), "order.customer.type", f"{REGULAR} or {ONE_TIME}")
    if kind == ONE_TIME:
        return ()
    known, phone = identity(guest, "id"), text(order, "phone", MAX_CODE)
    return ((Ref("uuid", known),) if known else ()) + ((Ref("phone", phone),) if phone else ())


def _items(order: Fields) -> list[Item]:
    """Errors: BadMessage."""
    told = objects(order, "items", MAX_LINES)
    require(bool(told), "order.items", "at least one item")
    return [_item(number, item) for number, item in enumerate(told, 1)]


def _item(number: int, item: Fields) -> Item:
    kind = text(item, "type") or PRODUCT
    require(kind in (PRODUCT, COMPOUND), "order.items.type", f"{PRODUCT} or {COMPOUND}")
    main = inner(item, "primaryComponent") if kind == COMPOUND else item
    parts = [main, inner(item, "secondaryComponent")] if kind == COMPOUND else [main]
    pieces = quantity(item, "amount")
    require(pieces > 0, "order.items.amount", "a positive quantity")
    modifiers = [each for part in parts for each in objects(part, "modifiers", MAX_MODIFIERS)]
    modifiers += objects(item, "commonModifiers", MAX_MODIFIERS)
    price = sum(_price(part) for part in parts) + sum(_modifier(each) for each in modifiers)
    line = Line(
        number=number,
        goods=needed_identity(main, "productId"),
        quantity_thousandths=pieces,
        price_minor=bounded(price, "order.items.price"),
        sum_minor=bounded(proportion(price, pieces, 1_000), "order.items.price"),
    )
    return Item(line, identity(item, "positionId") or identity(main, "positionId"))


def _price(part: Fields) -> int:
    """Of one piece; halves of a dish that have no price of their own cost nothing more."""
    found = money(part, "price") if part.get("price") is not None else 0
    require(found >= 0, "order.items.price", "a price that is not negative")
    return found


def _modifier(told: Fields) -> int:
    """What a modifier adds to the price of a piece. Its amount is taken as that of one piece; nobody says."""
    needed(told, "productId")
    pieces = quantity(told, "amount") if told.get("amount") is not None else 1_000
    require(pieces >= 0, "order.items.modifiers.amount", "a quantity that is not negative")
    return proportion(_price(told), pieces, 1_000)


def _receipt(items: list[Item], now: datetime) -> Receipt:
    total = bounded(sum(item.line.sum_minor for item in items), "order.items")
    lines = tuple(item.line for item in items)
    return Receipt(number=QUOTE, till=QUOTE, business_date=now.date(), total_minor=total, lines=lines)


# Answering -------------------------------------------------------------------------------------------------


def _answer(
    items: list[Item],
    quoted: Quoted,
    found: Identified | None,
    refused: list[dict[str, str]],
    warnings: list[str],
    link: Link,
) -> dict[str, Any]:
    card = quoted.cards[0] if quoted.cards else None
    return {
        "loyaltyProgramResults": _results(items, quoted, card),
        "availablePayments": _payments(card, found, quoted.total_minor, link.options) if card and found else [],
        "validationWarnings": warnings,
        "Warnings": refused,
        "loyaltyTrace": None,
    }


def _results(items: list[Item], quoted: Quoted, card: QuotedCard | None) -> list[dict[str, Any]]:
    """One campaign: the programme of the guest's card, with what it takes off."""
    if card is None:
        return []
    told = {
        "marketingCampaignId": identities.programme(card.programme),
        "name": card.programme,
        "discounts": _discounts(items, quoted),
        "upsales": [],
        "freeProducts": [],
        "availableComboSpecifications": [],
        "availableCombos": [],
        "needToActivateCertificate": False,
    }
    return [told]


def _discounts(items: list[Item], quoted: Quoted) -> list[dict[str, Any]]:
    """By position; what comes off items that the caller has no names for is a discount of the whole order."""
    off = {line.number: line.discount_minor for line in quoted.lines if line.discount_minor > 0}
    by_position: Counter[str] = Counter()
    pieces: dict[str, int] = {}
    for item in items:
        if item.line.number in off:
            by_position[item.position] += off[item.line.number]
            pieces[item.position] = item.line.quantity_thousandths
    return [
        {
            "code": OF_ITEM if position else OF_ORDER,
            "orderItemId": None,
            "positionId": position or None,
            "discountSum": amount(total),
            "amount": _quantity(pieces[position]) if position else None,
            "comment": None,
        }
        for position, total in by_position.items()
    ]


def _quantity(thousandths: int) -> Decimal:
    """Without zeros behind the point."""
    told = amount(thousandths, 3)
    return told.quantize(Decimal(1)) if thousandths % 1_000 == 0 else told


def _payments(card: QuotedCard, found: Identified, total: int, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The most that each wallet of the link may pay: points by the programme's rules, money as it is."""
    most = {unit: min(payable, total) for unit, payable in found.payable}
    most[card.unit] = card.payable
    payable = [(unit, most[unit]) for unit in names(options) if most.get(unit, 0) > 0 and not card.usable]
    return [
        {
            "id": identities.programme(card.programme) if unit == card.unit else identities.wallet_programme(unit),
            "maxSum": amount(limit),
            "order": order,
            "walletInfos": [{"id": identities.wallet(unit, options), "maxSum": amount(limit), "canHoldMoney": True}],
        }
        for order, (unit, limit) in enumerate(payable)
    ]


def _warning(error: LoyaltyError, link: Link) -> dict[str, str]:
    code, error_code = codes(error)
    return {"Code": code, "ErrorCode": error_code, "Message": words(error, link.options["language"])}
