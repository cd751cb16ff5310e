"""Rows of 1C's catalogues -> what the core is asked: cards with their owners, cards that are no more, goods.

Each ask about a card is named by the object and its version, which every write of it changes: an object that has not
changed asks for nothing new, however often it is told. docs/adapters/onec_server.md, "What is pulled".
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
from adapters.onec.guids import goods_id
from adapters.onec_server.answers import day, flag, guid, ref, shown, text
from adapters.onec_server.options import CARDS, GOODS, STORES, mapping_of
from adapters.parsing import MAX_NAME, one_line
from processing.commands import BlockCard, Command, EnrolHolder, LearnGoods, Ref

SCHEME = "onec"
MAX_NUMBER = 200
MAX_CONTACTS = 200
MAX_VERSION = 64
# Of goods and their categories, as the core keeps them.
MAX_GOODS_NAME = 64
VERSION = "DataVersion"
# What the type of a reference of several types begins with.
TYPES = "StandardODATA."
REASON = "1C"
# Greater whenever rows are read otherwise than before: all are asked for anew then.
READING = 1


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
    yield from ("Ref_Key", "DeletionMark", "IsFolder", "Description", *goods["names"])
    yield from filter(None, (goods["category"],))


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
    yield EnrolHolder(
        store=link.store,
        keys=(key("card", told, link, version, owner.version),),
        product=product,
        names=(Ref(SCHEME, told), Ref("card", numbers[0]), *(Ref("track", number) for number in further)),
        name=owner.name,
        phone=owner.phone,
        email=owner.email,
        birthday=owner.birthday,
    )


def block(told: str, version: str, link: Link) -> BlockCard:
    """The end of a card that 1C has cancelled; one that nobody knows is refused, and stays unknown."""
    return BlockCard(store=link.store, keys=(key("end", told, link, version),), card=Ref(SCHEME, told), reason=REASON)


def goods(row: Node, link: Link) -> Iterator[LearnGoods]:
    """A thing with its names; nothing for a folder or one that is no more."""
    said = mapping_of(link)["goods"]
    if flag(row, "IsFolder") or flag(row, "DeletionMark"):
        return
    told, *names = (text(row, name, MAX_GOODS_NAME) for name in said["names"])
    category = said["category"]
    yield LearnGoods(
        store=link.store,
        keys=(f"{SCHEME}:goods:{ref(row)}",),
        code=goods_id(told),
        names=tuple(Ref("code", name) for name in dict.fromkeys(names) if name),
        name=one_line(text(row, "Description")),
        category=_category(row, category) if category else "",
    )


def _category(row: Node, name: str) -> str:
    """The GUID of a group, as CommerceML tells it too; or what another property says."""
    return guid(row, name) if name.endswith("_Key") else text(row, name, MAX_GOODS_NAME)


def store(row: Node) -> str:
    """A store of 1C's, for whoever sets links up."""
    return f"{ref(row)} {text(row, 'Description')}"


def key(what: str, told: str, link: Link, *versions: str) -> str:
    """What names an ask: the object, its versions, and how it is read, which another mapping changes.

    No digest of what was read: that would tell of people to whoever sees keys.
    """
    how = msgspec.json.encode([READING, *(link.options[name] for name in ("mapping", "product", "kinds"))])
    return ":".join((SCHEME, what, told, *versions, hashlib.sha256(how).hexdigest()[:8]))
