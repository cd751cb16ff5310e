"""pay, void, refund: a payment of an order from a wallet, by the till's own id of it (docs/adapters/iiko_plugin.md).

A payment is an operation of its own, so that a refund gives back exactly what the till says, whatever lines come back.
Whether the programme allows it is judged by a hold in sight of the whole order, placed and taken in one transaction.
"""

from __future__ import annotations

from adapters.contract import Asking, Link, WireRequest, WireResponse, each, must, one
from adapters.iiko_plugin import keys
from adapters.iiko_plugin.answers import done, moved
from adapters.iiko_plugin.messages import (
    card,
    identity,
    in_sight,
    items,
    message,
    needed_moment,
    paid_elsewhere,
    payments,
    positive,
    receipt,
    total_of,
    wallet,
)
from adapters.iiko_plugin.options import ACCEPT
from adapters.json_parsing import Node
from processing.commands import (
    Amount,
    CardUse,
    PlaceHold,
    PostReceipt,
    ReleaseHold,
    ReturnLine,
    ReturnReceipt,
    VoidReceipt,
)
from processing.errors import ReceiptNotFound

# It is placed and taken in one transaction; should that be cut in parts, the next attempt finds it.
PAY_HOLD_SECONDS = 900
# What a void found.
OUTCOMES = {"reversed": "voided", "nothing": "nothing", "orphan": "unknown"}


def pay(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Take value off a card, once for a ``transactionId``. An attempt that is not newer than its void is refused."""
    told = message(request)
    name, order = identity(told.get("transactionId")), identity(told.get("orderId"))
    unit, amount = wallet(told.get("wallet"), link), positive(told.get("amountMinor"))
    who, lines, hold = card(told.get("card")), items(told.get("items")), keys.payment_hold(name)
    digest, at = keys.content(order, who.value, unit, amount), needed_moment(told.get("at"), link.zone)
    held, posted, released = yield from each(
        PlaceHold(
            store=link.store,
            keys=(hold,),
            content=digest,
            card=who,
            unit=unit,
            amount=amount,
            seconds=PAY_HOLD_SECONDS,
            owner=keys.owner(order),
            receipt=in_sight(lines),
            paid_minor=paid_elsewhere(payments(told.get("payments")), link),
            supersede=True,
            pin=told.get("pin").text(),
            # What the order has reserved stays where this attempt was voided.
            pays=keys.payment(name),
            stamp=at,
        ),
        PostReceipt(
            store=link.store,
            keys=(keys.payment(name),),
            content=digest,
            receipt=receipt(told, request, link, amount, [], order),
            cards=(CardUse(refs=(who,), redeem=(Amount(unit, amount),), earn=(), hold=hold),),
            stamp=at,
            payment=True,
        ),
        # What a refused payment has not taken is free again.
        ReleaseHold(store=link.store, keys=(hold,), hold=hold),
    )
    # Why nothing was set aside says more than that nothing was.
    must(held), must(released)
    taken = must(posted)
    return done("paid", taken.replayed, amountMinor=amount, wallets=moved(taken.cards))


def void(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """The attempt was none: what it took comes back, with its returns. Before the attempt it keeps it from coming."""
    told = message(request)
    voided = yield from one(
        VoidReceipt(
            store=link.store,
            keys=(keys.payment(identity(told.get("transactionId"))),),
            reason="rollback",
            stamp=needed_moment(told.get("at"), link.zone),
            receipts_only=True,
            supersede=True,
        )
    )
    return done(OUTCOMES.get(voided.outcome, voided.outcome), voided.replayed, wallets=moved(voided.cards))


def refund(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Once for a ``returnId``: a part of a payment comes back, never more than was paid; or goods of a closed order do,
    and what they have earned is taken back."""
    told = message(request)
    if told.get("items"):
        taken_back = yield from one(_goods_back(told, request, link))
        return done("refunded", taken_back.replayed, wallets=moved(taken_back.cards), flags=list(taken_back.flags))
    given_back = yield from one(_money_back(told, request, link))
    return done("refunded", given_back.replayed, wallets=moved(given_back.cards), flags=list(given_back.flags))


def _money_back(told: Node, request: WireRequest, link: Link) -> ReturnReceipt:
    """Exactly what the till gives back. Errors: ReceiptNotFound for a return without a payment, where the link does
    not accept one."""
    name, amount = identity(told.get("returnId")), positive(told.get("amountMinor"))
    plain = receipt(told, request, link, amount, [], name)
    if told.get("transactionId"):
        paid = identity(told.get("transactionId"))
        return ReturnReceipt(
            store=link.store,
            keys=(keys.refund(name),),
            content=keys.content(paid, amount),
            receipt=plain,
            sale=keys.payment(paid),
            lines=(ReturnLine(sum_minor=amount),),
        )
    if link.options["refund_without_payment"] != ACCEPT:
        raise ReceiptNotFound("a refund needs the transactionId of its payment", where="transactionId")
    who, unit = card(told.get("card")), wallet(told.get("wallet"), link)
    return ReturnReceipt(
        store=link.store,
        keys=(keys.refund(name),),
        content=keys.content(who.value, unit, amount),
        receipt=plain,
        cards=(CardUse(refs=(who,), redeem=(Amount(unit, amount),), earn=()),),
    )


def _goods_back(told: Node, request: WireRequest, link: Link) -> ReturnReceipt:
    """The lines that come back, by goods and quantity: a fact, that comes behind the commit of its order."""
    name, order, lines = identity(told.get("returnId")), identity(told.get("orderId")), items(told.get("items"))
    back = [(each.line.goods, each.line.quantity_thousandths) for each in lines]
    return ReturnReceipt(
        store=link.store,
        keys=(keys.returned(name),),
        content=keys.content(order, back),
        receipt=receipt(told, request, link, total_of(lines), lines, name),
        sale=keys.order_key(order),
        lines=tuple(ReturnLine(goods=goods, quantity_thousandths=pieces) for goods, pieces in back),
        fact=True,
    )
