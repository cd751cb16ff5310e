"""The conversations about a card's points: find, lock, unlock, write off, accrue, put together.

Locks are holds of whoever logs in, and what is written off comes from them. Pages: docs/adapters/onec.md, "Locks" and
"Request keys".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, each, must, one
from adapters.onec import documents
from adapters.onec.answers import (
    EMPTY_DATE,
    answer,
    balance_of,
    done,
    envelope,
    failed,
    held_amount,
    is_locked,
    loyalty_card,
    money,
    nameless_card,
    percent,
    refusal,
    word,
)
from adapters.onec.guids import card_guid, guid, ref_of
from adapters.onec.names import (
    asked_amount,
    card_refs,
    digest,
    likeness,
    owner,
    refuse_foreign,
    search_refs,
    single,
    text_refs,
)
from adapters.onec.queries import Fields, fields, flag, phone, words
from adapters.parsing import bad
from processing.commands import (
    Accrue,
    Amount,
    Ask,
    FindCards,
    Identify,
    PlaceHold,
    ReadHolder,
    Redeem,
    Ref,
    ReleaseHold,
    Transfer,
)
from processing.errors import CardNotFound
from processing.results import CardsFound, HolderTold, Identified

# Letters of a name that a search needs, as in FindCards.
LEAST_NAME = 3
MAX_FOUND = 100
MAX_UNITED = 50
GUIDS = frozenset({"cardguid", "clientguid", "store", "clientcardtypeuid", "giftcarduid"})


def find(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """findclientcard: the cards that these names lead to; with BlockBonuses the card's points are locked."""
    told, options = read(request, link), link.options
    refs, name = search_refs(told), _name(told)
    asks: list[Ask[Any]] = []
    if refs:
        ask = Identify(store=link.store, refs=refs, owner=owner(request, link), turnover=True)
        asks += [ask, ReadHolder(refs=refs)]
    if refs and flag(told.get("blockbonuses", ""), "BlockBonuses"):
        asks.append(lock(refs, request, link))
    if name:
        asks.append(FindCards(store=link.store, text=name, limit=MAX_FOUND))
    outcomes = (yield from each(*asks)) if asks else ()
    found, holder, listed = _first(outcomes, Identified), _first(outcomes, HolderTold), _first(outcomes, CardsFound)
    if isinstance(found, Identified):
        cards = _cards_of(found, holder, told, link)
    else:
        cards = [nameless_card(card, options) for card in listed.cards] if listed else []
    return answer(envelope(options, LoyaltyCardsList=cards))


def _first(outcomes: Sequence[object], kind: type[Any]) -> Any:
    """The outcome of this kind; None where it was refused. Errors: what is no refusal."""
    return next((each for each in outcomes if not refusal(each) and isinstance(each, kind)), None)


def _name(told: Fields) -> str:
    """What may be a part of the owner's name: a text that is no number."""
    text = words(told.get("clientcardid", ""))
    return text if sum(letter.isalpha() for letter in text) >= LEAST_NAME else ""


def _cards_of(found: Identified, holder: HolderTold | None, told: Fields, link: Link) -> list[dict[str, Any]]:
    """All cards of the owner, unusable ones only where they were asked for; by its GUID just the card."""
    search = _search(told, found, holder)
    shown = [loyalty_card(found, holder, link.options, search)]
    if holder is None or told.get("cardguid"):
        return shown
    others = [card for card in holder.cards if card.number != found.number and not card.usable]
    return shown + [loyalty_card(found, holder, link.options, search, card) for card in others[:MAX_FOUND]]


def _search(told: Fields, found: Identified, holder: HolderTold | None) -> str:
    """SearchType: by what the card was found, as far as the answer tells."""
    if told.get("cardguid"):
        return ""
    if told.get("clientguid"):
        return "Клиент"
    if told.get("clientcardid") and not (holder and phone(told.get("phone", "")) == holder.phone):
        return "КодКарты"
    return "Телефон" if told.get("phone") else "АдресЭП" if told.get("email") else "КодКарты"


def bonuses(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """getclientbonuses: what the card may pay with; that is locked for the till that asks."""
    told = read(request, link)
    try:
        refs = card_refs(told)
        ask = Identify(store=link.store, refs=refs, owner=owner(request, link))
        locked, outcome = yield from each(lock(refs, request, link), ask)
        found = must(outcome)
    except CardNotFound:
        return answer(_points(None, 0, link))
    return answer(_points(found, 0 if refusal(locked) else held_amount(locked), link))


def _points(found: Identified | None, count: int, link: Link) -> dict[str, Any]:
    options = link.options
    scale = balance_of(found, options["unit"]).scale if found else 2
    return envelope(
        options,
        BonusCount=money(max(count, 0), scale),
        BonusLimitBalance=0,
        BonusRate=1,
        BonusCurrency=options["currency"],
        PaymentPercent=percent(found.payable_hundredths if found else 0),
        EndDate=EMPTY_DATE,
        **_named(found),
    )


def _named(found: Identified | None) -> dict[str, Any]:
    return {
        "CardRef": card_guid(found.number) if found else "",
        "Barcode": found.number if found else "",
        "MagneticCode": "",
        "ClientNotFound": found is None,
    }


def turnover(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """salesturnover: what was bought with the card so far."""
    told = read(request, link)
    found = None
    with suppress(CardNotFound):
        found = yield from one(Identify(store=link.store, refs=card_refs(told), turnover=True))
    bought = (found.turnover_minor if found else None) or 0
    return answer(envelope(link.options, SellCount=money(bought), **_named(found)))


def unlock(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """unlockclientbonuses: the till gives up its lock. What another one has locked stays so, and only the log tells."""
    told = read(request, link)
    refs = card_refs(told)
    ask = Identify(store=link.store, refs=refs, owner=owner(request, link))
    released, outcome = yield from each(release(refs, link.options["unit"], request, link), ask)
    must(released)
    foreign = is_locked(balance_of(must(outcome), link.options["unit"]))
    return done("unlocked", twin(request), link.options, "hold_not_found" if foreign else "")


def write_off(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """writeoffclientbonuses: the points leave the card, those that the till has locked first."""
    told = read(request, link)
    points = asked_amount(told, "BonusesCount")
    refs = card_refs(told)
    if not points:
        return failed(word("no_points", link.options), twin(request), link.options, "bad_amount")
    yield from one(redeem("write_off", refs, link.options["unit"], points, request, link))
    return done("written_off", twin(request), link.options)


def accrue(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """accrueclientbonuses: points come to the card, on its programme's terms."""
    told = read(request, link)
    points = asked_amount(told, "BonusesCount")
    refs = card_refs(told)
    if not points:
        return failed(word("no_points", link.options), "json", link.options, "bad_amount")
    alike = likeness("accrue", refs, points)
    yield from one(
        Accrue(
            store=link.store,
            **single(refs),
            amount=Amount(link.options["unit"], points),
            content=digest([alike]),
            owner=owner(request, link),
            likeness=alike,
            window_seconds=link.options["window_seconds"],
        )
    )
    return done("accrued", "json", link.options)


def unite(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """unitedbonuscards: the points of the listed cards go to another one; each card's move stands by itself."""
    told = documents.read(request.body)
    target = _card_of(told, "BonusCardGUID", "BonusCardNumber")
    rows = documents.rows(told, "BonusCards", MAX_UNITED)
    if not rows:
        raise bad("BonusCards", "", "cards")
    moved = yield from each(*[_move(row, target, link) for row in rows])
    for outcome in moved:
        must(outcome)
    return done("united", "json", link.options)


def _move(row: documents.Object, target: Ref, link: Link) -> Transfer:
    points = documents.amount(row, "BonusesCount", "BonusCards.")
    if points <= 0:
        raise bad("BonusCards.BonusesCount", points, "points")
    source = _card_of(row, "CardGUID", "CardNumber")
    name = f"onec:unite:{digest([source.value, target.value, points])[:32]}"
    return Transfer(
        store=link.store,
        keys=(),
        source=source,
        target=target,
        amount=Amount(link.options["unit"], points),
        reason="unitedbonuscards",
        likeness=name,
        window_seconds=link.options["window_seconds"],
    )


def _card_of(told: documents.Object, guid_name: str, number_name: str) -> Ref:
    """The card of a body: by our GUID of it, else its number, else 1C's GUID. Errors: BadMessage, CardNotFound."""
    known = guid(documents.text(told, guid_name), guid_name)
    by_guid = [ref_of(known)] if known else []
    by_number = text_refs(documents.text(told, number_name))
    ours = [ref for ref in by_guid if ref.scheme == "card"]
    if refs := [*ours, *by_number, *by_guid]:
        return refs[0]
    raise CardNotFound("no card is named")


# Parts ------------------------------------------------------------------------------------------------------


def read(request: WireRequest, link: Link) -> dict[str, str]:
    """The fields of the query, GUIDs of zeros left out, of a store of the link. Errors: BadMessage, ForeignStore."""
    told = fields(request.query)
    for name in GUIDS & told.keys():
        told[name] = guid(told[name], name)
    refuse_foreign(told.get("store", ""), link)
    return {name: value for name, value in told.items() if value}


def twin(request: WireRequest) -> str:
    """``3_0`` or ``new`` where the path is such a twin, which answers in JSON; else empty."""
    return request.groups.get("twin", "")


def lock(refs: tuple[Ref, ...], request: WireRequest, link: Link, unit: str = "") -> PlaceHold:
    """All that is free of a card's unit, for the till that asks, for a while. Asked again it is locked anew."""
    told = unit or link.options["unit"]
    return PlaceHold(
        store=link.store,
        **single(refs),
        unit=told,
        content=digest(["lock", told, refs]),
        seconds=link.options["lock_seconds"],
        owner=owner(request, link),
    )


def release(refs: tuple[Ref, ...], unit: str, request: WireRequest, link: Link) -> ReleaseHold:
    """What the till has locked of the unit is free again."""
    return ReleaseHold(
        store=link.store, **single(refs), unit=unit, content=digest(["unlock", unit, refs]), owner=owner(request, link)
    )


def redeem(what: str, refs: tuple[Ref, ...], unit: str, minor: int, request: WireRequest, link: Link) -> Redeem:
    """So much leaves the card, once for a lock or within the link's window."""
    alike = likeness(what, refs, minor)
    return Redeem(
        store=link.store,
        **single(refs),
        unit=unit,
        amount=minor,
        content=digest([alike]),
        owner=owner(request, link),
        likeness=alike,
        window_seconds=link.options["window_seconds"],
    )
