"""What a message names: cards, gift cards, the till; and what makes two commands alike, for 1C sends no key.

Page: docs/adapters/onec.md, "Which card" and "Request keys".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from adapters.contract import Link, WireRequest
from adapters.onec.guids import is_guid, ref_of
from adapters.onec.queries import Fields, amount, flag, phone
from processing.commands import Ref
from processing.errors import BadAmount, CardNotFound, ForeignStore

# The core's bound on owners.
MAX_OWNER = 64
# A likeness has room for so much of a card's name.
MAX_SHOWN = 64
SHORT_DIGEST = 6
CONTACTS = frozenset({"phone", "email"})

_BARE_NUMBER = re.compile(r"[0-9]{1,32}")


def card_refs(told: Fields) -> tuple[Ref, ...]:
    """The names of the card in the order of the page, "Which card"; the first that leads somewhere counts.

    Errors: BadMessage; CardNotFound where nothing is named, or a replacement is asked for.
    """
    if flag(told.get("replacement", ""), "Replacement"):
        raise CardNotFound("a replacement finds nobody")
    refs = [*guid_refs(told, "cardguid"), *text_refs(told.get("clientcardid", "")), *contact_refs(told)]
    if not refs:
        raise CardNotFound("no card is named")
    return tuple(refs)


def search_refs(told: Fields) -> tuple[Ref, ...]:
    """The same for the search, which also knows the owner's GUID; nothing is fine."""
    owner = [*guid_refs(told, "cardguid"), *guid_refs(told, "clientguid")]
    return (*owner, *text_refs(told.get("clientcardid", "")), *contact_refs(told))


def guid_refs(told: Fields, name: str) -> list[Ref]:
    """What the GUID of a key leads to."""
    return [ref_of(told[name])] if told.get(name) else []


def text_refs(text: str) -> list[Ref]:
    """What was scanned or typed in place of a card: a number, a barcode, a track, a QR code, a GUID."""
    if not text:
        return []
    if is_guid(text):
        return [ref_of(text.lower())]
    if _BARE_NUMBER.fullmatch(text):
        return [Ref("card", text), Ref("barcode", text), Ref("track", text)]
    return [Ref("barcode", text), Ref("track", text), Ref("token", text)]


def contact_refs(told: Fields) -> list[Ref]:
    number, address = phone(told.get("phone", "")), told.get("email", "")
    return [*([Ref("phone", number)] if number else []), *([Ref("email", address)] if "@" in address else [])]


def gift_refs(told: Fields) -> tuple[Ref, ...]:
    """The names of a gift card: by its number or the GUID of its serial. Errors: CardNotFound."""
    refs = text_refs(told.get("giftcardnumber", ""))
    if not refs:
        raise CardNotFound("no gift card is named")
    return tuple(refs)


def owner(request: WireRequest, link: Link) -> str:
    """Who locks: the till by its login."""
    return (request.caller or link.code)[:MAX_OWNER]


def refuse_foreign(store: str, link: Link) -> None:
    """Errors: ForeignStore for a shop that is none of the link's; an empty list allows all."""
    if store and link.options["stores"] and store not in link.options["stores"]:
        raise ForeignStore("not a store of this link", where="Store", value=store)


def likeness(what: str, refs: tuple[Ref, ...], minor: int) -> str:
    """What two commands share when one may be the other sent again: the card as the till names it, and the amount.

    It is kept as a key, and a holder's phone or e-mail does not stand in it.
    """
    first = refs[0]
    who = short_digest(refs) if first.scheme in CONTACTS else f"{first.scheme}/{first.value[:MAX_SHOWN]}"
    return f"onec:{what}:{who}:{minor}"


def short_digest(refs: Iterable[Ref]) -> str:
    """So little of a digest that nobody can find a phone or an e-mail by trying."""
    return digest(refs)[:SHORT_DIGEST]


def digest(parts: Iterable[Any] | Mapping[str, Any]) -> str:
    """64 hexadecimal digits over these parts."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def single(refs: tuple[Ref, ...]) -> dict[str, Any]:
    """The names as commands take them: one, and further ones."""
    return {"card": refs[0], "others": refs[1:]}


def asked_amount(told: Fields, name: str) -> int:
    """The amount that a command moves; 0 where none is told. Errors: BadMessage, BadAmount."""
    minor = amount(told.get(name.lower(), ""), name)
    if minor < 0:
        raise BadAmount("an amount below nothing moves nothing", where=name)
    return minor
