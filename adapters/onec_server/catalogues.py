"""Rows of 1C's catalogues -> what the core is asked: cards with their owners, cards that are no more, goods.

Each ask is named by the object and its version, which every write of it changes: an object that has not changed asks
for nothing new, however often it is told. docs/adapters/onec_server.md, "What is pulled".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec

from adapters.contract import Link
from adapters.json_parsing import Node
from adapters.onec import queries
from adapters.onec_server.answers import day, flag, guid, ref, shown, text
from adapters.onec_server.options import CARDS, GOODS, STORES, mapping_of
from processing.commands import BlockCard, Command, EnrolHolder, Goods, LearnGoods, Ref

SCHEME = "onec"
MAX_NUMBER = 200
MAX_CONTACTS = 200
MAX_NAME = 255
MAX_VERSION = 64
VERSION = "DataVersion"
# What the type of a reference of several types begins with.
TYPES = "StandardODATA."
REASON = "1C"


@dataclass(frozen=True, slots=True)
class Person:
    """Who owns a card. What nobody knows is ``None``, and stays as it is."""

    version: str = ""
    name: str | None = None
    phone: str | None = None
    email: str | None = None
    birthday: date | None = None


NOBODY = Person()


# What is asked for ------------------------------------------------------------------------------------------------


def card_properties(cards: Mapping[str, Any]) -> Iterator[str]:
    yield from ("Ref_Key", VERSION, "DeletionMark", *cards["numbers"], *cards["dead"])
    yield from filter(None, (cards["kind"], cards["owner"], _type_of(cards)))


def goods_properties(goods: Mapping[str, Any]) -> Iterator[str]:
    yield from ("Ref_Key", VERSION, "DeletionMark", "IsFolder", *goods["names"])
    yield from filter(None, (goods["category"], goods["brand"]))


def store_properties(stores: Mapping[str, Any]) -> Iterator[str]:
    yield from ("Ref_Key", "Description")


PROPERTIES: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    CARDS: card_properties,
    GOODS: goods_properties,
    STORES: store_properties,
}


def _type_of(cards: Mapping[str, Any]) -> str:
    """Where the type of the owner stands; empty where there is only one."""
    return "" if not cards["owner"] or cards["owner"].endswith("_Key") else f"{cards['owner']}_Type"


def owner_of(row: Node, link: Link) -> tuple[str, str]:
    """The set and GUID of a card's owner; empty where it has none, or one of no set that the mapping names."""
    mapping = mapping_of(link)
    cards, sets = mapping["cards"], [owner["set"] for owner in mapping["owners"]]
    if not cards["owner"] or not sets:
        return "", ""
    told = text(row, _type_of(cards)).removeprefix(TYPES) if _type_of(cards) else sets[0]
    found = guid(row, cards["owner"]) if told in sets else ""
    return (told, found) if found else ("", "")


# What is asked of the core ----------------------------------------------------------------------------------------


def person(row: Node, owner: Mapping[str, Any]) -> Person:
    """What a catalogue of people or firms tells of one of them. Errors: BadMessage."""
    phone = email = None
    if contacts := owner.get("contacts"):
        told = row.get(contacts["table"]).rows(MAX_CONTACTS)
        phone = next(filter(None, (queries.phone(text(each, contacts["phone"])) for each in told)), None)
        email = next((mail for each in told if is_email(mail := text(each, contacts["email"]))), None)
    birthday = day(row, owner["birthday"]) if owner["birthday"] else None
    return Person(text(row, VERSION, MAX_VERSION), text(row, owner["name"])[:MAX_NAME] or None, phone, email, birthday)


def is_email(told: str) -> bool:
    return 3 <= len(told) <= 254 and told.count("@") == 1 and told[0] != "@" != told[-1]


def card(row: Node, owner: Person, link: Link) -> Iterator[Command[Any]]:
    """A card with its owner, or its end; nothing for one without a number or of no kind that the link wants."""
    cards = mapping_of(link)["cards"]
    told, version = ref(row), text(row, VERSION, MAX_VERSION)
    if flag(row, "DeletionMark") or any(shown(row, name) in ends for name, ends in cards["dead"].items()):
        yield block(told, version, link)
        return
    kind = guid(row, cards["kind"]) if cards["kind"] else ""
    numbers = [number for name in cards["numbers"] if (number := text(row, name, MAX_NUMBER))]
    if numbers and (kind or not cards["kind"]):
        yield from enrol(told, version, numbers, link.options["kinds"].get(kind, link.options["product"]), owner, link)


def enrol(
    told: str, version: str, numbers: Sequence[str], product: str, owner: Person, link: Link
) -> Iterator[EnrolHolder]:
    """The card of this GUID; none where the link names no product for it."""
    if not product:
        return
    further = dict.fromkeys(number for number in numbers if number != numbers[0])
    asked = EnrolHolder(
        store=link.store,
        keys=(),
        product=product,
        names=(Ref(SCHEME, told), Ref("card", numbers[0]), *(Ref("track", number) for number in further)),
        name=owner.name,
        phone=owner.phone,
        email=owner.email,
        birthday=owner.birthday,
    )
    yield msgspec.structs.replace(asked, keys=(key(asked, told, version, owner.version),))


def block(told: str, version: str, link: Link) -> BlockCard:
    """The end of a card that 1C has cancelled; one that nobody knows is refused, and stays unknown."""
    asked = BlockCard(store=link.store, keys=(), card=Ref(SCHEME, told), reason=REASON)
    return msgspec.structs.replace(asked, keys=(key(asked, told, version),))


def goods(row: Node, link: Link) -> Iterator[LearnGoods]:
    """A thing with its names; nothing for a folder or one that is no more."""
    said = mapping_of(link)["goods"]
    if flag(row, "IsFolder") or flag(row, "DeletionMark"):
        return
    told, version = ref(row), text(row, VERSION, MAX_VERSION)
    names = dict.fromkeys(name for each in said["names"] if (name := text(row, each, 128)))
    category, brand = (text(row, said[name], 128) if said[name] else "" for name in ("category", "brand"))
    if names:
        thing = Goods(names=tuple(names), category=category, brand=brand)
        asked = LearnGoods(store=link.store, keys=(), goods=(thing,))
        yield msgspec.structs.replace(asked, keys=(key(asked, told, version),))


def store(row: Node) -> str:
    """A store of 1C's, for whoever sets links up."""
    return f"{ref(row)} {text(row, 'Description')}"


def key(asked: Command[Any], told: str, *versions: str) -> str:
    """What names an ask: the object, its version, and what is made of it, which a changed mapping changes."""
    digest = hashlib.sha256(msgspec.json.encode(asked)).hexdigest()[:16]
    return ":".join((SCHEME, told, *versions, digest))
