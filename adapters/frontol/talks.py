"""The conversations: what a call of Frontol asks for, and what it hears."""

from __future__ import annotations

from typing import Any

from adapters.contract import Asking, ConfirmPhone, Link, WireRequest, WireResponse, each, must, one
from adapters.frontol import keys
from adapters.frontol.answers import calculated, done, held, lines
from adapters.frontol.messages import REFUND_RECEIPT, Message, read
from adapters.frontol.options import CLIENT, CONFIRM, REFUND
from adapters.frontol.receipts import hold, quote, refs, refund, refuse_foreign, release, sale
from adapters.frontol.registration import registration
from adapters.frontol.slips import Row, of_card, of_return, of_sale, slip
from adapters.parsing import bad
from adapters.texts import code_text, line
from processing.commands import Ask, Identify, ReadHolder
from processing.errors import AlreadyVoided, CardNotFound, KeyReused, LoyaltyError
from processing.results import HolderTold, Quoted, ReceiptPosted

# A receipt that was closed can not be closed otherwise: the till hears that all is well, the operator that it is not.
SETTLED = (KeyReused, AlreadyVoided)
VERIFY = "verify"


def client(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """/client: who is the customer, and what do they have?"""
    message = _read(request, link)
    if not message.client:
        return done([(line("no_customer", link.options["language"]), "")])
    found = yield from one(Identify(store=link.store, refs=refs(message.client, link.options)))
    rows = of_card(found, link)
    return done(rows, slip(rows, link.options) if CLIENT in link.options["slips"] else ())


def document(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """/document: a receipt is calculated, paid with points, or closed."""
    message = _read(request, link)
    is_back = message.kind == REFUND_RECEIPT
    if message.action == "confirm":
        return (yield from (_refund if is_back else _confirm)(message, request, link))
    if message.action == "calculate":
        return done() if is_back else (yield from _calculate(message, request, link))
    if message.action == "payByBonus" and not is_back:
        placed = yield from one(hold(message, request, link))
        return held(message, placed, link)
    if message.action == "cancelBonusPayment":
        yield from one(release(_uid(message), link))
        return done([(line("kept", link.options["language"]), "")])
    raise bad("action", message.action, "calculate, payByBonus, cancelBonusPayment or confirm")


def extra_client(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """/extra/client: a new customer is registered."""
    return (yield from registration(_read(request, link), link))


def _calculate(message: Message, request: WireRequest, link: Link) -> Asking[WireResponse]:
    """What the till asks with every change of the receipt; what was held for it before is free again."""
    rows = _about_coupons(message, link)
    asks: list[Ask[Any]] = [release(message.uid, link)] if message.uid else []
    if message.client:
        asks.append(quote(message, request, link))
        if link.options["electronic_check"] != "none":
            asks.append(ReadHolder(refs=refs(message.client, link.options)))
        if link.options["verify_client"] and not message.client.code:
            asks.append(_verify(message, link))
    outcomes = (yield from each(*asks)) if asks else ()
    quoted = next((found for found in outcomes if isinstance(found, Quoted) and found.cards), None)
    if quoted is None:
        return _without_card(message, outcomes, rows, link)
    holder = next((found for found in outcomes if isinstance(found, HolderTold)), None)
    verified = next((v for ask, v in zip(asks, outcomes, strict=True) if isinstance(ask, ConfirmPhone)), None)
    return calculated(message, quoted, holder, verified, rows, link)


def _without_card(message: Message, outcomes: Any, rows: list[Row], link: Link) -> WireResponse:
    """The receipt goes on without a card: nobody was named, or nobody has this card."""
    members: dict[str, Any] = {"document": lines(message, "discountAmount", [])}
    for outcome in outcomes:
        if isinstance(outcome, CardNotFound):
            rows = [(code_text(outcome.code, link.options["language"]), ""), *rows]
            members = {"client": {}, **members}
            break
        if isinstance(outcome, LoyaltyError):
            raise outcome
    return done(rows, members=members)


def _confirm(message: Message, request: WireRequest, link: Link) -> Asking[WireResponse]:
    """The receipt is closed. What was held for it and has not paid is free again."""
    asked = sale(message, request, link)
    is_held = bool(message.uid and message.client) and not message.bonus_minor
    outcome, *_ = yield from each(asked, *([release(message.uid, link)] if is_held else []))
    if isinstance(outcome, SETTLED):
        return done(refused=outcome.code)
    posted = must(outcome)
    assert isinstance(posted, ReceiptPosted)
    rows = of_sale(posted, link)
    return done(
        [*rows, *_about_coupons(message, link)], slip(rows, link.options) if CONFIRM in link.options["slips"] else ()
    )


def _refund(message: Message, request: WireRequest, link: Link) -> Asking[WireResponse]:
    (outcome,) = yield from each(refund(message, request, link))
    if isinstance(outcome, SETTLED):
        return done(refused=outcome.code)
    rows = of_return(must(outcome), link)
    return done(rows, slip(rows, link.options) if REFUND in link.options["slips"] else ())


def _verify(message: Message, link: Link) -> ConfirmPhone:
    """A code for the customer of this receipt, the same however often it is calculated."""
    card = refs(message.client, link.options)[0]
    return ConfirmPhone(store=link.store, key=f"{keys.PREFIX}:{VERIFY}:{_uid(message)}", card=card, purpose=VERIFY)


def _about_coupons(message: Message, link: Link) -> list[Row]:
    return [(line("coupons_unknown", link.options["language"]), "")] if message.has_coupons else []


def _uid(message: Message) -> str:
    if not message.uid:
        raise bad("uid", message.uid, "a UUID")
    return message.uid


def _read(request: WireRequest, link: Link) -> Message:
    message = read(request.body, link.zone)
    refuse_foreign(message, link.options)
    return message
