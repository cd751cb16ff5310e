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
from adapters.onec.guids import guid, is_guid, ref_of
from adapters.onec.queries import Fields, flag, phone
from adapters.parsing import bad
from processing.commands import Ref
from processing.errors import CardNotFound, ForeignStore

# The core's bound on owners.
MAX_OWNER = 64
# Of a digest over who a phone or e-mail belongs to so much is kept: too little to find them by trying.
SHORT_DIGEST = 6
# Amounts of gift commands stand under keys of their own.
GIFT_AMOUNTS = ("giftcardwriteoffamount", "giftcardaccrueoffamount")

_BARE_NUMBER = re.compile(r"[0-9]{1,32}")


def card_refs(told: Fields) -> tuple[Ref, ...]:
    """The names of the card in the order of the page, "Which card"; the first that leads somewhere counts.

    Errors: BadMessage, CardNotFound where nothing is named, or a replacement is asked for.
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
    """What the GUID of a key leads to. Errors: BadMessage."""
    found = guid(told.get(name, ""), name)
    return [ref_of(found)] if found else []


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


def likeness(what: str, told: Fields) -> str:
    """What two commands share when one may be the other sent again: the card as the till names it, and the amount.

    Nothing of the holder stands in it in the clear: it is kept as a key.
    """
    names = [told.get(key, "") for key in ("cardguid", "clientcardid", "giftcardnumber")]
    people = [phone(told.get("phone", "")), told.get("email", "").lower(), told.get("client", "").lower()]
    card = next((name for name in names if name), "")
    who = card.lower() if card else digest(people)[:SHORT_DIGEST]
    amounts = [told.get(key, "") for key in ("bonusescount", *GIFT_AMOUNTS)]
    return f"onec:{what}:{who[:MAX_OWNER]}:{'/'.join(each for each in amounts if each)[:MAX_OWNER]}"


def digest(parts: Iterable[Any] | Mapping[str, Any]) -> str:
    """64 hexadecimal digits over these parts."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def single(refs: tuple[Ref, ...]) -> dict[str, Any]:
    """The names as commands take them: one, and further ones."""
    return {"card": refs[0], "others": refs[1:]}


def guid_text(told: Fields, name: str) -> str:
    """The GUID of a key; empty where there is none. Errors: BadMessage."""
    return guid(told.get(name, ""), name)


def asked_amount(minor: int, where: str) -> int:
    """An amount that a command moves; 0 where none is told. Errors: BadMessage."""
    if minor < 0:
        raise bad(where, minor, "no amount below nothing")
    return minor
