"""Whose points an operation is about, as 1C calls them: the card with one of the wallet's numbers, or its owner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adapters.contract import Calling, Link, read
from adapters.json_parsing import Node
from adapters.onec_server import odata
from adapters.onec_server.answers import flag, ref, text
from adapters.onec_server.catalogues import MAX_NUMBER, card_properties, owner_of
from adapters.onec_server.literals import any_of
from adapters.onec_server.literals import text as literal
from adapters.onec_server.mapping import OWNER
from adapters.onec_server.options import mapping_of
from processing.commands import ReadWallets
from processing.errors import LinkRefused
from processing.results import WalletTold

# Of a wallet's cards so many are looked for; 1C may have several with one number.
MAX_CARDS, MAX_FOUND = 8, 40
ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Whose:
    """An object of 1C: the set that it is in, and its GUID."""

    set: str
    ref: str


def wallet(account: int) -> Calling[WalletTold]:
    """The wallet as it is now. Errors: LinkRefused for one that nobody has."""
    told = yield from read(ReadWallets(accounts=(account,)))
    if not told.wallets:
        raise LinkRefused("nobody has this wallet")
    return told.wallets[0]


def numbers(told: WalletTold) -> list[str]:
    """The numbers of its cards, those first that are in use, the newest before the others. Errors: LinkRefused."""
    found = sorted(told.cards, key=lambda card: (card.status != ACTIVE, -card.card_id))
    if not found:
        raise LinkRefused("the wallet has no card")
    return [card.number for card in found[:MAX_CARDS]]


def whose(told: WalletTold, link: Link, further: Iterable[str] = ()) -> Calling[Whose]:
    """Who has the wallet's points in 1C. Errors: LinkRefused for a card that 1C does not know."""
    rows = yield from cards(numbers(told), link, further)
    if mapping_of(link)["points_of"] != OWNER:
        return Whose(mapping_of(link)["cards"]["set"], ref(rows[0]))
    owned = [owner for row in rows if (owner := owner_of(row, link))[1]]
    if not owned:
        raise LinkRefused("its card has no owner in 1C, and points are the owner's there")
    return Whose(*owned[0])


def cards(wanted: list[str], link: Link, further: Iterable[str] = ()) -> Calling[list[Node]]:
    """1C's cards with these numbers, in their order. Errors: LinkRefused where there are none."""
    said = mapping_of(link)["cards"]
    name = said["numbers"][0]
    found = yield from odata.find(
        link, said["set"], any_of(name, map(literal, wanted)), MAX_FOUND, [*card_properties(said), *further]
    )
    known = [row for row in found if not flag(row, "DeletionMark") and text(row, name, MAX_NUMBER) in wanted]
    if not known:
        raise LinkRefused("1C has no card with this number")
    return sorted(known, key=lambda row: wanted.index(text(row, name, MAX_NUMBER)))
