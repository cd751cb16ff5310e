"""Whose points an operation is about, as 1C calls them: the card that the wallet has, or its owner.

The books know a card that was pulled by 1C's own GUID; any other is looked for by its number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adapters.contract import Calling, Link, read
from adapters.json_parsing import Node
from adapters.onec.guids import is_guid
from adapters.onec_server import odata
from adapters.onec_server.answers import flag, ref, text
from adapters.onec_server.catalogues import MAX_NUMBER, SCHEME, card_properties, owner_of
from adapters.onec_server.literals import any_of, guid
from adapters.onec_server.literals import text as literal
from adapters.onec_server.mapping import OWNER
from adapters.onec_server.options import mapping_of
from processing.commands import NameWallet, Ref
from processing.errors import LinkRefused

# Of a wallet's cards so many names of each kind are looked for; 1C may have several cards with one number.
MAX_NAMES, MAX_FOUND = 8, 40


@dataclass(frozen=True, slots=True)
class Whose:
    """An object of 1C: the set that it is in, and its GUID."""

    set: str
    ref: str


@dataclass(frozen=True, slots=True)
class Names:
    """What the wallet's cards are called: 1C's GUIDs and numbers, cards that may be used before the others, the newest
    first."""

    guids: tuple[str, ...]
    numbers: tuple[str, ...]


def wallet_ref(account: int) -> Ref:
    return Ref("wallet", str(account))


def names(account: int, link: Link) -> Calling[Names]:
    """Of the wallet of this number. Errors: a refusal of the core (nobody has it)."""
    told = yield from read(NameWallet(store=link.store, refs=(wallet_ref(account),)))
    cards = sorted(told.cards, key=lambda card: bool(card.usable))
    guids = [name.value for card in cards for name in card.names if name.scheme == SCHEME and is_guid(name.value)]
    own = [card.number for card in cards]
    further = [name.value for card in cards for name in card.names if name.scheme == "card"]
    return Names(tuple(guids[:MAX_NAMES]), tuple(dict.fromkeys([*own, *further]))[:MAX_NAMES])


def whose(account: int, link: Link) -> Calling[Whose]:
    """Who has the wallet's points in 1C. Errors: LinkRefused for a card that 1C does not know."""
    rows = yield from cards(account, link)
    if mapping_of(link)["points_of"] != OWNER:
        return Whose(mapping_of(link)["cards"]["set"], ref(rows[0]))
    owned = [owner for row in rows if (owner := owner_of(row, link))[1]]
    if not owned:
        raise LinkRefused("its card has no owner in 1C, and points are the owner's there")
    return Whose(*owned[0])


def cards(account: int, link: Link) -> Calling[list[Node]]:
    """1C's cards of the wallet, in the order of its names. Errors: LinkRefused where there are none."""
    called = yield from names(account, link)
    said = mapping_of(link)["cards"]
    number = said["numbers"][0]
    where = [any_of("Ref_Key", map(guid, called.guids)), any_of(number, map(literal, called.numbers))]
    found = yield from odata.find(
        link, said["set"], " or ".join(filter(None, where)), MAX_FOUND, tuple(card_properties(said))
    )
    order = [*called.guids, *called.numbers]
    known = {_place(row, number, order): row for row in reversed(found) if not flag(row, "DeletionMark")}
    known.pop(len(order), None)
    if not known:
        raise LinkRefused("1C has no card of this wallet")
    return [known[place] for place in sorted(known)]


def _place(row: Node, number: str, order: Iterable[str]) -> int:
    """Where the first of its names stands; behind all where it has none of them."""
    own, told = {ref(row), text(row, number, MAX_NUMBER)}, list(order)
    return next((place for place, name in enumerate(told) if name in own), len(told))
