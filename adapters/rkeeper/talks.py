"""The conversations: what a call of FarCards asks for, and what it hears."""

from __future__ import annotations

from adapters.contract import Asking, Link, WireRequest, WireResponse, one
from adapters.parsing import bad, code, identifier
from adapters.rkeeper.answers import (
    CONTENT_TYPE,
    NO_PICTURE,
    NOT_FOUND,
    NOTHING_DONE,
    card_answer,
    find_answer,
    language,
    respond,
)
from adapters.rkeeper.messages import Message, read, restaurant
from adapters.rkeeper.pictures import CONTENT_TYPE as PICTURE_TYPE
from adapters.rkeeper.pictures import qr_code
from adapters.rkeeper.receipts import (
    identify,
    is_reversal,
    records_sale,
    records_void,
    refuse_foreign,
    restore,
    sale,
    void,
)
from adapters.rkeeper.search import chosen, sought
from adapters.rkeeper.topups import SCRIPT, is_top_up_till, without_purchase
from adapters.rkeeper.trresponse import Done, transactions_answer
from processing.commands import Ask, FindCards, IssueToken, PostReceipt, Ref
from processing.errors import CardNotFound

# CHECK@chmode (vendor page on the XML of a cash document): what moves money ...
SALE, ROLLBACK, RETURN, RETURN_ROLLBACK = "1", "2", "3", "4"
# ... and what does not: order editing, pre-bill, calculation, card info, entrance card, slips, service print,
# cancelled pre-bill, before the transactions. These are never posted.
INFORMATIVE = frozenset({"5", "6", "7", "8", "9", "10", "11", "12", "13"})


def card_info(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """GetCardInfoEx: who is this card, and what may it do here and now?"""
    message = read(request.body)
    number = restaurant(message.query, "QRY@Restaurant")
    refuse_foreign(message, [] if number is None else [number], link.options)
    card = identifier(message.query.get("card"), "QRY@Card")
    if card == 0:
        return respond(NOT_FOUND)
    found = yield from one(identify(message, card, link))
    return respond(card_answer(found, link.options, _tongue(message, link)))


def find(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """FindEmail: whose is this text? It may be anything that was typed or scanned."""
    text = sought(read(request.body).query.get("email"))
    if not text:
        raise CardNotFound("an empty text finds nobody", hint="nobody_found")
    found = yield from one(FindCards(store=link.store, text=text))
    return respond(find_answer(chosen(found, link.options)))


def picture(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """GetCardImageEx: no card has a picture; a link may show a QR code of the card instead."""
    if link.options["card_image"] == "none":
        return respond(NO_PICTURE)
    card = code(read(request.body).query.get("cardcode"), "QRY@CardCode")
    if not card.strip("0 "):
        return respond(NO_PICTURE)
    issued = yield from one(IssueToken(refs=(Ref("card", card),)))
    drawn = qr_code(issued.token)
    return respond(NO_PICTURE) if drawn is None else WireResponse(drawn, PICTURE_TYPE)


def license_info(request: WireRequest, link: Link) -> WireResponse:
    """LicenseInfo: FarCards tells that its licence fails. Kept in the exchange log; nobody reads the answer."""
    return WireResponse(b"", CONTENT_TYPE)


def transactions(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """TransactionsEx: a receipt is paid, undone or restored; all of its records or none."""
    message = read(request.body)
    numbers = [record.restaurant for record in message.records if record.restaurant is not None]
    tills = [number for number in numbers if is_top_up_till(number, link.options)]
    refuse_foreign(message, [number for number in numbers if number not in tills] if tills else numbers, link.options)
    ask = _asked(message, request, link)
    if tills and isinstance(ask, PostReceipt):
        refuse_foreign(message, tills, link.options)
    if ask is None:
        return respond(NOTHING_DONE)
    done = yield from one(ask)
    return respond(transactions_answer(done, message, link, _tongue(message, link)))


def _asked(message: Message, request: WireRequest, link: Link) -> Ask[Done] | None:
    """What the transactions ask for; None where nothing moves. Direction: chmode, else the signs."""
    mode = message.check.get("chmode", "")
    if not message.has_check or (mode == SCRIPT and message.records):
        return _by_records(message, request, link)
    if mode == SALE:
        return sale(message, request, link)
    if mode in (ROLLBACK, RETURN):
        return void(message, "rollback" if mode == ROLLBACK else "return", request, link)
    if mode == RETURN_ROLLBACK:
        return restore(message, request, link)
    if mode == SCRIPT or mode in INFORMATIVE:
        return None
    raise bad("CHECK@chmode", mode, "0 to 13")


def _by_records(message: Message, request: WireRequest, link: Link) -> Ask[Done]:
    """Records alone. A message with neither records nor check is one that we failed to read."""
    if not message.records:
        raise bad("ROOT", "", "TransactionsEx records or a CHECK")
    if ask := without_purchase(message, request, link):
        return ask
    if is_reversal(message.records):
        return records_void(message, request, link)
    return records_sale(message, request, link)


def _tongue(message: Message, link: Link) -> str:
    return language(message.check.get("locale"), link.options)
