"""Guests: who they are, what is kept of them, their cards; and how they are forgotten.

What the core has no field for it keeps as details under names that begin with ``iiko.``, sealed with the person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, each, must, one
from adapters.iiko import identities
from adapters.iiko.answers import NOTHING, amount, day, moment, said
from adapters.iiko.categories import categories_of
from adapters.iiko.messages import (
    Fields,
    birthday,
    fields,
    identity,
    needed,
    needed_identity,
    require,
    switch,
    text,
    whole,
)
from adapters.iiko.messages import identities as uuids
from adapters.iiko.options import ERASE, names, types
from adapters.iiko.places import check_organization
from adapters.parsing import MAX_CODE, MAX_NAME, bad
from processing.commands import Command, EnrolHolder, EraseHolder, Identify, NameWallet, ReadChain, ReadHolder, Ref
from processing.errors import CardNotFound, HolderNotFound, LoyaltyError
from processing.results import Balance, HolderTold, Identified, WalletNamed

MAX_CUSTOMERS = 100
# What leads to a guest, by ``type``: the field, and the names that it may be.
NAMED_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    "phone": ("phone", ("phone",)),
    "cardTrack": ("cardTrack", ("track", "card")),
    "cardNumber": ("cardNumber", ("card", "barcode")),
    "email": ("email", ("email",)),
    "id": ("id", ("uuid",)),
}
# Details by the fields of create_or_update; ``info`` tells some under other names.
TEXTS = ("middleName", "surName", "comment", "userData", "referrerId", "employeeId")
SWITCHES = ("shouldReceiveLoyaltyInfo", "shouldReceivePromoActionsInfo")
KINDS = {"sex": 2, "consentStatus": 2}
DETAIL = "iiko."
# The first name, and the whole one that was made of it: who is renamed elsewhere is called so here too.
FIRST, FULL, DELETED = "iiko.name", "iiko.fullName", "iiko.isDeleted"
YES, NO = "1", "0"
NO_REFERRER = "00000000-0000-0000-0000-000000000000"
CLOSED = ("closed", "replaced")


def customer(told: Fields, name: str = "customerId") -> Ref:
    return Ref("uuid", needed_identity(told, name))


def key(request: WireRequest) -> str:
    """The API has no key for what changes a guest: each request is a new one (docs/adapters/iiko.md, "Keys")."""
    return f"iiko:{request.id}"


# Reading ---------------------------------------------------------------------------------------------------


def info(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Who is it? Not found is a refusal, never an empty answer."""
    told = fields(request.body)
    refs = named(told)
    check_organization(told, link, is_needed=False)
    found, person, wallet, chain = yield from each(
        Identify(store=link.store, refs=refs),
        ReadHolder(refs=refs),
        NameWallet(store=link.store, refs=refs),
        ReadChain(store=link.store),
    )
    holder = None if isinstance(person, HolderNotFound) else must(person)
    if holder is not None and holder.details.get(DELETED) == YES:
        raise CardNotFound("the guest was deleted", scheme=refs[0].scheme)
    told_categories = categories_of(holder, must(wallet), must(chain), link.options)
    return said(
        _person(holder)
        | {
            "id": must(wallet).uuid,
            "cards": _cards(must(wallet)),
            "categories": told_categories,
            "walletBalances": balances(must(found), link.options),
            "whenRegistered": moment(holder.registered_at if holder else must(wallet).opened_at),
            "registrationOrganizationId": identities.organization(link),
        }
    )


def named(told: Fields) -> tuple[Ref, ...]:
    """The guest's names. Errors: BadMessage; a client that sends no ``type`` is told what to send."""
    kind = text(told, "type")
    if kind not in NAMED_BY:
        raise bad("type", kind, f"one of {', '.join(NAMED_BY)}, and the field of that name")
    field, schemes = NAMED_BY[kind]
    value = needed_identity(told, field) if kind == "id" else needed(told, field, MAX_NAME)
    return tuple(Ref(scheme, value) for scheme in schemes)


def _person(holder: HolderTold | None) -> dict[str, Any]:
    """What is known of a person; of a bearer's wallet nothing."""
    kept = holder.details if holder else {}
    name, surname = _names(holder) if holder else ("", "")
    return {
        "referrerId": kept.get(DETAIL + "referrerId") or None,
        "name": name or None,
        "surname": surname or None,
        "middleName": kept.get(DETAIL + "middleName"),
        "comment": kept.get(DETAIL + "comment"),
        "phone": holder.phone or None if holder else None,
        "cultureName": "ru-RU",
        "birthday": day(holder.birthday) if holder else None,
        "email": holder.email or None if holder else None,
        "sex": _kind(kept, "sex"),
        "consentStatus": _kind(kept, "consentStatus") or _consent(holder),
        "anonymized": False,
        "userData": kept.get(DETAIL + "userData"),
        "shouldReceivePromoActionsInfo": kept.get(DETAIL + "shouldReceivePromoActionsInfo", YES) == YES,
        "shouldReceiveLoyaltyInfo": kept.get(DETAIL + "shouldReceiveLoyaltyInfo", YES) == YES,
        "shouldReceiveOrderStatusInfo": True,
        "personalDataConsentFrom": None,
        "personalDataConsentTo": None,
        "personalDataProcessingFrom": moment(holder.registered_at) if holder else None,
        "personalDataProcessingTo": None,
        "isDeleted": False,
        "lastProcessedOrderDate": None,
        "firstOrderDate": None,
        "lastVisitedOrganizationId": None,
    }


def _names(holder: HolderTold) -> tuple[str, str]:
    """First name and surname as they were told apart; the whole name where somebody has changed it elsewhere."""
    kept = holder.details
    if kept.get(FULL, "") == holder.name:
        return kept.get(FIRST, ""), kept.get(DETAIL + "surName", "")
    return holder.name, ""


def _kind(kept: Mapping[str, str], name: str) -> int:
    told = kept.get(DETAIL + name, NO)
    return int(told) if told in ("0", "1", "2") else 0


def _consent(holder: HolderTold | None) -> int:
    """By the newest record of the books: 1 given, 2 withdrawn, 0 where there is none."""
    if holder is None or not holder.consents:
        return 0
    return 1 if holder.consents[0].given else 2


def _cards(wallet: WalletNamed) -> list[dict[str, Any]]:
    """The cards that can still be used or unblocked; a card without a track of its own has its number there."""
    told = []
    for card in wallet.cards:
        if card.status not in CLOSED:
            by_scheme = {name.scheme: name.value for name in card.names if name.value != card.number}
            track, number = by_scheme.get("track", ""), by_scheme.get("card", "")
            told.append(
                {
                    "id": identities.card(card.number),
                    "track": track or number or card.number,
                    "number": number or card.number,
                    "validToDate": moment(card.expires_at),
                }
            )
    return told


def balances(found: Identified, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The link's wallets with what each holds."""
    known = {balance.unit: balance for balance in found.balances}
    numbers = types(options)
    return [
        {
            "id": identities.wallet(unit, options),
            "name": name,
            "type": numbers[unit],
            "balance": amount(*_shown(known[unit])) if unit in known else 0,
        }
        for unit, name in names(options).items()
    ]


def _shown(balance: Balance) -> tuple[int, int]:
    """What a guest can spend now. Whether iiko's own balance leaves out what is held is not known; this one does, so
    that whoever charges it off is not refused (docs/adapters/iiko.md, "Wallets").
    """
    return balance.available, balance.scale


# Writing ---------------------------------------------------------------------------------------------------


def create_or_update(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """A guest comes in or changes: by ``id`` one that there is, else by phone or card, else a new one."""
    told = fields(request.body)
    check_organization(told, link)
    known = identity(told, "id")
    card = _card_names(told)
    phone = text(told, "phone", MAX_CODE)
    require(bool(known or card or phone), "phone", "one of id, phone, cardTrack with cardNumber")
    refs = (Ref("uuid", known),) if known else (Ref("phone", phone),) if phone else card
    enrolled, wallet = yield from each(
        EnrolHolder(
            store=link.store,
            keys=(key(request),),
            known=refs[0] if known else None,
            product=link.options["product"],
            names=card,
            name=_full_name(told),
            phone=phone or None,
            email=_given(told, "email", MAX_NAME),
            birthday=birthday(told, "birthday"),
            details=_details(told),
        ),
        NameWallet(store=link.store, refs=refs),
    )
    must(enrolled)
    return said({"id": must(wallet).uuid})


def _card_names(told: Fields) -> tuple[Ref, ...]:
    """The card's names. Errors: BadMessage for half of them (docs/adapters/iiko.md, "Cards")."""
    track, number = text(told, "cardTrack", MAX_CODE), text(told, "cardNumber", MAX_CODE)
    require(bool(track) == bool(number), "cardNumber" if track else "cardTrack", "a value: track and number together")
    return (Ref("track", track), Ref("card", number)) if track else ()


def _given(told: Fields, name: str, most: int) -> str | None:
    """What a field is to be; ``None`` leaves it. Empty texts only count where the client says so."""
    found = text(told, name, most)
    is_emptied = told.get(name) is not None and switch(told, "nullifyEmptyFields") is True
    return found if found or is_emptied else None


def _full_name(told: Fields) -> str | None:
    """What a cashier reads; a surname alone does not change it."""
    name = _given(told, "name", MAX_NAME)
    return None if name is None else " ".join(filter(None, (name, text(told, "surName", MAX_NAME))))


def _details(told: Fields) -> dict[str, str]:
    """What only iiko's clients know; who is told of again is no longer deleted."""
    found = {DETAIL + name: _given(told, name, MAX_NAME if "ame" in name else 4_000) for name in TEXTS}
    found |= {FIRST: _given(told, "name", MAX_NAME), FULL: _full_name(told)}
    if found[DETAIL + "referrerId"] == NO_REFERRER:
        found[DETAIL + "referrerId"] = ""
    for name in SWITCHES:
        value = switch(told, name)
        found[DETAIL + name] = None if value is None else YES if value else NO
    for name, most in KINDS.items():
        number = whole(told, name, 0, most)
        found[DETAIL + name] = None if number is None else str(number)
    found[DELETED] = YES if switch(told, "isDeleted") else ""
    return {name: value for name, value in found.items() if value is not None}


def add_card(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Another card of a guest: the card is new, or has been the guest's before."""
    told = fields(request.body)
    check_organization(told, link)
    needed(told, "cardTrack", MAX_CODE), needed(told, "cardNumber", MAX_CODE)
    yield from one(_change(request, link, customer(told), names=_card_names(told)))
    return said(NOTHING)


def remove_card(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """A card is closed: by its track, or by the number that ``info`` has told as one."""
    told = fields(request.body)
    check_organization(told, link)
    track = needed(told, "cardTrack", MAX_CODE)
    yield from one(_change(request, link, customer(told), drop=(Ref("track", track), Ref("card", track))))
    return said(NOTHING)


def _change(request: WireRequest, link: Link, known: Ref, n: int = 0, **what: Any) -> EnrolHolder:
    """Something about a guest who is known; ``n`` tells several in one request apart."""
    product = link.options["product"]
    return EnrolHolder(store=link.store, keys=(f"{key(request)}:{n}",), known=known, product=product, **what)


# Deleted and restored --------------------------------------------------------------------------------------


def delete_customers(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Guests are hidden from this API, or erased for good, as the link says."""
    ask = _erased if link.options["delete_customers"] == ERASE else _hidden
    return (yield from _counted(request, link, "deleted", ask))


def restore_customers(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Hidden guests are seen again; an erased one is nobody any more."""
    return (yield from _counted(request, link, "restored", _seen))


def _counted(request: WireRequest, link: Link, name: str, ask: Any) -> Asking[WireResponse]:
    told = fields(request.body)
    check_organization(told, link)
    require("customerIds" in told, "customerIds", "a list of UUIDs")
    refs = [Ref("uuid", each) for each in dict.fromkeys(uuids(told, "customerIds", MAX_CUSTOMERS))]
    outcomes = (yield [ask(request, link, ref, n) for n, ref in enumerate(refs)]) if refs else []
    missing = [each for each in outcomes if isinstance(each, CardNotFound | HolderNotFound)]
    for outcome in outcomes:
        if isinstance(outcome, LoyaltyError) and outcome not in missing:
            raise outcome
    return said({"total": len(refs), name: len(refs) - len(missing), "notFound": len(missing)})


def _hidden(request: WireRequest, link: Link, ref: Ref, n: int) -> Command[Any]:
    return _change(request, link, ref, n, details={DELETED: YES})


def _seen(request: WireRequest, link: Link, ref: Ref, n: int) -> Command[Any]:
    return _change(request, link, ref, n, details={DELETED: ""})


def _erased(request: WireRequest, link: Link, ref: Ref, n: int) -> Command[Any]:
    return EraseHolder(store=link.store, keys=(f"{key(request)}:{n}",), card=ref, reason="iiko delete_customers")
