"""quote, reserve, commit, cancel, shift: an order from its first price to its end (docs/adapters/iiko_plugin.md)."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Asking, Link, WireRequest, WireResponse, each, must, one
from adapters.iiko.answers import said
from adapters.iiko_plugin import keys
from adapters.iiko_plugin.answers import done, moved
from adapters.iiko_plugin.messages import (
    Item,
    card,
    identity,
    in_sight,
    items,
    message,
    needed,
    needed_moment,
    paid_elsewhere,
    payments,
    positive,
    receipt,
    seconds,
    sold,
    tender,
    total_of,
    wallet,
)
from adapters.iiko_plugin.options import names
from adapters.json_parsing import Node
from adapters.parsing import bad
from processing.commands import CardUse, Identify, PlaceHold, PostReceipt, Quote, Ref, ReleaseHold, VoidReceipt
from processing.results import Identified, Quoted, ReceiptPosted, ReceiptVoided

OPEN, CLOSE = "open", "close"
OUTCOMES = {"reversed": "cancelled", "nothing": "nothing", "orphan": "unknown"}


def quote(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """What comes off each position, and the most that each wallet may pay. Nothing is written."""
    told = message(request)
    order, lines = identity(told.get("orderId")), items(told.get("items"))
    asked = receipt(told, request, link, total_of(lines), lines, order)
    if not told.get("card"):
        quoted = yield from one(Quote(store=link.store, receipt=asked))
        return said(_quoted(lines, quoted, None, order, link))
    who, owner = card(told.get("card")), keys.owner(order)
    before = payments(told.get("payments"))
    points = paid_elsewhere(before, link)
    uses = (CardUse(refs=(who,), spend_minor=max(asked.total_minor - points, 0), paid_minor=points),)
    first, second = yield from each(
        Quote(store=link.store, receipt=asked, cards=uses, owner=owner),
        Identify(store=link.store, refs=(who,), order_minor=asked.total_minor, owner=owner),
    )
    paid = sum(each_paid.amount_minor for each_paid in before)
    return said(_quoted(lines, must(first), must(second), order, link, paid))


def _quoted(
    lines: list[Item], quoted: Quoted, found: Identified | None, order: str, link: Link, paid: int = 0
) -> dict[str, Any]:
    mine = quoted.cards[0] if quoted.cards else None
    off = {line.number: line.discount_minor for line in quoted.lines}
    language = link.options["language"]
    return {
        # The same order again has the same hash: the plugin need not ask for it.
        "hash": keys.content(order, found.number if found else "", sold(lines)),
        "totalMinor": quoted.total_minor,
        "discountMinor": quoted.discount_minor,
        "positions": [
            {"id": each.id, "discountMinor": off.get(each.line.number, 0), "sumMinor": each.line.sum_minor}
            for each in lines
        ],
        "earnedMinor": mine.earned if mine else 0,
        "wallets": _payable(quoted, found, link, paid),
        "texts": [
            {"for": text.audience, "text": text.ru if language == "ru" else text.en}
            for text in (mine.texts if mine else ())
        ],
    }


def _payable(quoted: Quoted, found: Identified | None, link: Link, paid: int) -> list[dict[str, Any]]:
    """Points by the rules for these lines, money as it is; of what is not ``paid`` yet."""
    if found is None or not quoted.cards:
        return []
    mine = quoted.cards[0]
    rest = quoted.total_minor - quoted.discount_minor - paid
    most = {unit: min(payable, rest) for unit, payable in (*found.payable, (mine.unit, mine.payable))}
    free = {balance.unit: balance.available for balance in found.balances}
    return [
        {
            "wallet": unit,
            "name": name,
            "payableMinor": 0 if mine.usable else max(most.get(unit, 0), 0),
            "availableMinor": free.get(unit, 0),
        }
        for unit, name in names(link.options).items()
    ]


def reserve(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Set aside for an order, in the place of what it held of this wallet. The same ``key`` is the same reservation;
    another one sets aside anew, for as long again."""
    told = message(request)
    order, unit, amount = (
        identity(told.get("orderId")),
        wallet(told.get("wallet"), link),
        positive(told.get("amountMinor")),
    )
    who, name = card(told.get("card")), needed(told.get("key"))
    placed = yield from one(
        PlaceHold(
            store=link.store,
            keys=(keys.reserve(order, unit),),
            content=keys.content(name, who.value, unit, amount),
            card=who,
            unit=unit,
            amount=amount,
            seconds=seconds(told.get("ttlSeconds"), link.options["hold_seconds"]),
            owner=keys.owner(order),
            receipt=in_sight(items(told.get("items"))),
            paid_minor=paid_elsewhere(payments(told.get("payments")), link),
            supersede=True,
            pin=told.get("pin").text(),
        )
    )
    return done(
        "reserved",
        placed.replayed,
        amountMinor=placed.amount,
        availableMinor=placed.available,
        until=placed.until.isoformat(timespec="milliseconds"),
    )


def _releases(order: str, link: Link) -> list[ReleaseHold]:
    """Whatever the order still holds is free again."""
    held = [keys.reserve(order, unit) for unit in names(link.options)]
    return [ReleaseHold(store=link.store, keys=(key,), hold=key) for key in held]


def commit(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """The order is closed: a fact, however late it is told. What points have paid of it is booked already."""
    told = message(request)
    order, lines = identity(told.get("orderId")), items(told.get("items"))
    stamp, paid = needed_moment(told.get("at"), link.zone), payments(told.get("payments"))
    total, elsewhere = total_of(lines), paid_elsewhere(paid, link)
    named = told.get("card").text()
    who = (CardUse(refs=(Ref("card", named),), spend_minor=max(total - elsewhere, 0), paid_minor=elsewhere),)
    closed = receipt(told, request, link, total, lines, order)
    posting = PostReceipt(
        store=link.store,
        keys=(keys.order_key(order),),
        content=keys.content(named, sold(lines), [(each.kind, each.unit, each.amount_minor) for each in paid]),
        receipt=msgspec.structs.replace(closed, tenders=tuple(tender(each_paid, link) for each_paid in paid)),
        cards=who if named else (),
        stamp=stamp,
        supersede=True,
        fact=True,
    )
    outcomes = yield from each(posting, *_releases(order, link))
    posted = must(outcomes[0])
    assert isinstance(posted, ReceiptPosted)
    return done("committed", posted.replayed, wallets=moved(posted.cards), flags=list(posted.flags))


def cancel(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """The order was deleted: nothing of it stands, and what it held is free. Payments are voided by themselves."""
    told = message(request)
    order = identity(told.get("orderId"))
    voiding = VoidReceipt(
        store=link.store,
        keys=(keys.order_key(order),),
        reason="return",
        stamp=needed_moment(told.get("at"), link.zone),
        receipts_only=True,
        supersede=True,
    )
    outcomes = yield from each(voiding, *_releases(order, link))
    voided = must(outcomes[0])
    assert isinstance(voided, ReceiptVoided)
    return done(OUTCOMES.get(voided.outcome, voided.outcome), voided.replayed, wallets=moved(voided.cards))


def shift(request: WireRequest, link: Link) -> WireResponse:
    """A shift was opened or closed: kept in the exchange log with its totals, which nothing here depends on."""
    told = message(request)
    needed(told.get("till")), needed(told.get("shift"))
    what = needed(told.get("event"))
    if what not in (OPEN, CLOSE):
        raise bad("event", what, f"{OPEN} or {CLOSE}")
    for each_total in told.get("totals").rows(len(names(link.options))):
        _check_total(each_total, link)
    return done("taken", False)


def _check_total(told: Node, link: Link) -> None:
    """Errors: BadMessage, UnitNotFound."""
    wallet(told.get("wallet"), link)
    for name in ("paidMinor", "refundedMinor"):
        if told.get(name):
            told.get(name).integer()
