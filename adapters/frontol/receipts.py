"""Fields of a document -> what we ask of the core about it.

``calculate`` a question, ``payByBonus`` and ``cancelBonusPayment`` a hold, ``confirm`` a fact: the receipt is
fiscal already, and whatever the rules say of it, it is recorded. Page: docs/adapters/frontol.md, "What we ask".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Literal

import msgspec

from adapters.contract import Link, WireRequest
from adapters.frontol import keys
from adapters.frontol.messages import BONUS, Client, Message, Payment, Position
from adapters.frontol.options import Options
from adapters.parsing import MAX_CODE, bad, bounded
from processing.commands import (
    Amount,
    CardUse,
    Line,
    PlaceHold,
    PostReceipt,
    Quote,
    Receipt,
    Ref,
    ReleaseHold,
    ReturnLine,
    ReturnReceipt,
    Tender,
)
from processing.errors import CardNotFound, ForeignStore
from processing.units import THOUSAND, proportion, spread

TENDERS: dict[str, Literal["cash", "bank_card"]] = {"cash": "cash", "creditCard": "bank_card"}

# Notes for the operator: what was paid is not what the lines cost; coupons came, and nothing was made of them.
PAYMENTS_DIFFER, COUPONS_UNKNOWN = "payments_differ", "coupons_unknown"

# A QR code of ours (IssueToken) reads so: a scanner hands it to the till as a card.
_TOKEN = re.compile(r"TG[A-Z2-7]{32}", re.IGNORECASE)


def refuse_foreign(message: Message, options: Options) -> None:
    """Errors: ForeignStore for a till that is none of the link's; an empty list allows all."""
    for where, told, own in (
        ("businessUnit", message.business_unit, options["business_units"]),
        ("workPlace", message.workplace, options["workplaces"]),
    ):
        if own and told not in own:
            raise ForeignStore("not a till of this link", where=where, value=told[:MAX_CODE])


def refs(client: Client, options: Options) -> tuple[Ref, ...]:
    """Names of the customer's card: the one that was shown, then the phone."""
    scheme = "token" if _TOKEN.fullmatch(client.card) else options["card_scheme"]
    named = ((scheme, client.card), ("phone", client.phone))
    return tuple(Ref(scheme, value) for scheme, value in named if value)


def quote(message: Message, request: WireRequest, link: Link) -> Quote:
    """What would the customer's card take off this receipt, and what might it pay?"""
    return Quote(
        store=link.store,
        receipt=receipt(message, request, link, [each.total_minor for each in message.positions]),
        cards=(CardUse(refs=refs(message.client, link.options)),),
    )


def hold(message: Message, request: WireRequest, link: Link) -> PlaceHold:
    """Points that are about to pay for this receipt. Errors: BadMessage, CardNotFound."""
    if not message.client:
        raise CardNotFound("no customer", hint="no_customer")
    if message.payment is None:
        raise bad("payment", "", "an amount")
    asked = receipt(message, request, link, [each.total_minor for each in message.positions])
    # What day it is, who stands at the till and what goods are called makes no other hold of it.
    lines = tuple(msgspec.structs.replace(line, name="") for line in asked.lines)
    return PlaceHold(
        store=link.store,
        keys=(keys.hold(_uid(message)),),
        card=refs(message.client, link.options)[0],
        unit=link.options["unit"],
        amount=message.payment.amount_minor,
        seconds=link.options["hold_seconds"],
        receipt=Receipt(number="", till="", business_date=date.min, total_minor=asked.total_minor, lines=lines),
        supersede=True,
    )


def release(uid: str, link: Link) -> ReleaseHold:
    """Whatever is held for the receipt is free again."""
    return ReleaseHold(store=link.store, keys=(keys.hold(uid),), hold=keys.hold(uid))


def sale(message: Message, request: WireRequest, link: Link) -> PostReceipt:
    """A closed receipt. Errors: BadMessage where nothing names it."""
    sums, doubts = settled(message.positions, message.payments)
    told = receipt(message, request, link, sums)
    digest = keys.content(keys.SALE, paid(message))
    return PostReceipt(
        store=link.store,
        keys=_keys(message, link, digest),
        content=digest,
        receipt=told,
        cards=_cards(message, told.total_minor, link.options),
        fact=True,
        notes=(*doubts, *((COUPONS_UNKNOWN,) if message.has_coupons else ())),
    )


def refund(message: Message, request: WireRequest, link: Link) -> ReturnReceipt:
    """Goods that came back, by line and quantity of their sale. Errors: BadMessage where nothing names it."""
    sums, _ = settled(message.positions, message.payments)
    told = receipt(message, request, link, sums)
    digest = keys.content(keys.REFUND, paid(message))
    return ReturnReceipt(
        store=link.store,
        keys=_keys(message, link, digest),
        content=digest,
        receipt=told,
        sale=keys.by_uid(message.reference_uid) if message.reference_uid else "",
        lines=tuple(_line_back(each) for each in message.positions),
        cards=_cards(message, told.total_minor, link.options),
        fact=True,
    )


def paid(message: Message) -> int:
    """All that was paid, whatever with; of a receipt that tells no payments what its lines cost."""
    return abs(message.paid_minor if message.payments else sum(each.total_minor for each in message.positions))


def settled(positions: Sequence[Position], payments: Sequence[Payment]) -> tuple[list[int], tuple[str, ...]]:
    """What each line cost before bonuses paid a part of it, and doubts.

    Not known of live tills (docs/adapters/frontol.md, "Unknown"): whether ``totalAmount`` of a confirm is less what
    bonuses paid, whether rounding has left it, and whether it has the discounts that we answered. What was paid is
    known, and decides between them; what it leaves unexplained lowers all lines in proportion.
    """
    sums = [each.total_minor for each in positions]
    goods, all_paid = sum(sums), abs(sum(each.amount_minor for each in payments))
    if not payments or not positions:
        return sums, ()
    bonus = abs(sum(each.amount_minor for each in payments if each.kind == BONUS))
    for back in (0, bonus):
        for rounded in ([0] * len(sums), [each.discarded_minor for each in positions]):
            if goods + back - sum(rounded) == all_paid:
                parts = zip(sums, _before_bonus(positions, back), rounded, strict=True)
                return [max(total + more - less, 0) for total, more, less in parts], ()
    if all_paid < goods:
        sums = [total - less for total, less in zip(sums, spread(goods - all_paid, sums), strict=True)]
    return sums, (PAYMENTS_DIFFER,)


def _before_bonus(positions: Sequence[Position], bonus: int) -> list[int]:
    """What bonuses took off each line: where its price fell by anything, else in proportion."""
    fallen = [max(_full_price(each) - each.total_minor, 0) for each in positions]
    return spread(bonus, fallen if sum(fallen) >= bonus else [each.total_minor for each in positions])


def receipt(message: Message, request: WireRequest, link: Link, sums: Sequence[int]) -> Receipt:
    """The purchase, its lines at these sums."""
    at = message.at or request.at
    return Receipt(
        number=message.number,
        till=message.workplace,
        business_date=at.astimezone(link.zone).date(),
        shift=message.shift,
        closed_at=message.at,
        total_minor=bounded(sum(sums), "positions"),
        lines=tuple(_line(each, total) for each, total in zip(message.positions, sums, strict=True)),
        tenders=tuple(_tender(each, message.client, link.options) for each in message.payments),
        cashier=message.cashier,
    )


def _line(position: Position, sum_minor: int) -> Line:
    return Line(
        number=position.index,
        goods=position.goods,
        name=position.name,
        minimum_price_minor=position.minimum_price_minor,
        quantity_thousandths=position.quantity_thousandths,
        price_minor=position.price_minor,
        sum_minor=sum_minor,
        discount_minor=max(_full_price(position) - sum_minor, 0),
    )


def _full_price(position: Position) -> int:
    return bounded(proportion(position.price_minor, position.quantity_thousandths, THOUSAND), "price")


def _line_back(position: Position) -> ReturnLine:
    """By the line of the sale, or by its goods where the till does not tell it."""
    goods = "" if position.reference else position.goods
    return ReturnLine(number=position.reference, goods=goods, quantity_thousandths=position.quantity_thousandths)


def _tender(payment: Payment, client: Client, options: Options) -> Tender:
    if payment.kind == BONUS:
        unit, card = options["unit"], client.card
        return Tender(code=BONUS, kind="purse", amount_minor=payment.amount_minor, unit=unit, card=card)
    return Tender(code=payment.kind, kind=TENDERS.get(payment.kind, "other"), amount_minor=payment.amount_minor)


def _cards(message: Message, total_minor: int, options: Options) -> tuple[CardUse, ...]:
    """What the receipt does with the customer's card; bonuses without a customer are nobody's, for the operator."""
    bonus = abs(message.bonus_minor)
    named = refs(message.client, options) or ((Ref(keys.PREFIX, message.uid or "unknown"),) if bonus else ())
    if not named:
        return ()
    use = CardUse(refs=named, spend_minor=max(total_minor - bonus, 0))
    if not bonus:
        return (use,)
    redeem = (Amount(options["unit"], bonus),)
    return (msgspec.structs.replace(use, redeem=redeem, hold=keys.hold(message.uid) if message.uid else ""),)


def _keys(message: Message, link: Link, digest: str) -> tuple[str, ...]:
    """All names of the receipt, its own first; those that a report file knows it by need the whole of its number."""
    found = [keys.by_uid(message.uid)] if message.uid else []
    name = (message.workplace, message.shift, message.number)
    if all(name) and message.at is not None:
        closed, epoch = message.at.astimezone(link.zone), keys.epoch_of(link.options, message.workplace)
        found += keys.names(*name, closed, digest, epoch, online=True)
    if not found:
        raise bad("uid", message.uid, "a UUID, or workPlace, shift, number and dateTime")
    return tuple(found)


def _uid(message: Message) -> str:
    if not message.uid:
        raise bad("uid", message.uid, "a UUID")
    return message.uid
