"""Guests of iiko: found by the names that a wallet of ours has, made where there are none, their cards and person.

A refusal with the codes of "not found" is an absence, any other is not (docs/adapters/iiko_cloud.md, "Guests").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from msgspec.structs import replace

from adapters.contract import Calling, Link
from adapters.iiko import answers
from adapters.iiko_cloud.calls import LOYALTY, Refused, ask, write
from adapters.json_parsing import Node
from adapters.parsing import bad, day
from processing.errors import BadMessage, LinkDown, NotYet
from processing.results import WalletCard, WalletTold

ABSENT = frozenset(
    {
        "Validation_IncorrectPhone",
        "Card_CanNotFindByNumber",
        "Card_CanNotFindByTrack",
        "Transport_WrongCustomerId",
    }
)
ACTIVE, EXPIRED = "active", "expired"
# Cards of these statuses pay nowhere, and iiko shall not know them.
GONE = frozenset({"blocked", "closed", "replaced", EXPIRED})
# So many cards of a wallet are looked up, the newest first.
MAX_LOOKED_UP = 3
# A guest who was just made is looked at so often, and then again in so many seconds.
LOOKS, NOT_YET_SECONDS = 3, 10
# Whoever is not to be seen for so long is a line that fails, which operators see: what is not yet they do not.
UNSEEN = timedelta(minutes=10)
MAX_TEXT, MAX_ROWS = 1_000, 200


@dataclass(frozen=True, slots=True)
class Guest:
    """As iiko tells it: cards as number -> track, balances in minor units by the wallet's id."""

    id: str
    cards: Mapping[str, str]
    balances: Mapping[str, int]
    name: str
    phone: str
    email: str
    birthday: date | None


def as_of(wallet: WalletTold, at: datetime) -> WalletTold:
    """The wallet with cards that are past their time called so: nothing tells of it when that comes."""
    cards = tuple(replace(card, status=EXPIRED) if _is_over(card, at) else card for card in wallet.cards)
    return replace(wallet, cards=cards)


def _is_over(card: WalletCard, at: datetime) -> bool:
    return card.status == ACTIVE and card.expires_at is not None and card.expires_at <= at


def cards_of(wallet: WalletTold, link: Link) -> list[WalletCard]:
    """The wallet's cards that iiko may know, usable ones first, then the newest; without any the wallet is none of
    iiko's."""
    mine = [card for card in reversed(wallet.cards) if card.product in link.options["products"]]
    return sorted(mine, key=lambda card: card.status != ACTIVE)


def usable(wallet: WalletTold, link: Link) -> list[WalletCard]:
    return [card for card in cards_of(wallet, link) if card.status == ACTIVE]


def find(wallet: WalletTold, link: Link) -> Calling[Guest | None]:
    """Whoever has one of the wallet's cards, or its phone.

    Cards first: a bearer card's guest stays the one, also when its holder registers with a phone that iiko has seen.
    """
    for named in _names(wallet, link):
        found = yield from look(named, link)
        if found is not None:
            return found
    return None


def others(guest: Guest, wallet: WalletTold, link: Link) -> Calling[list[Guest]]:
    """Who else has a card of the wallet, or its phone: guests of wallets that were merged into it."""
    found: dict[str, Guest] = {}
    for named in _names(wallet, link):
        other = yield from look(named, link)
        if other is not None and other.id != guest.id:
            found[other.id] = other
    return list(found.values())


def _names(wallet: WalletTold, link: Link) -> list[dict[str, str]]:
    cards = cards_of(wallet, link)[:MAX_LOOKED_UP]
    names = [{"type": "cardNumber", "cardNumber": card.number} for card in cards]
    return names + ([{"type": "phone", "phone": wallet.phone}] if wallet.phone else [])


def look(named: Mapping[str, str], link: Link) -> Calling[Guest | None]:
    """The guest of this name, or nobody. Errors: Refused for any other refusal."""
    try:
        told = yield from ask(LOYALTY + "customer/info", {**named, **organization(link)}, link)
    except Refused as refusal:
        if refusal.codes & ABSENT:
            return None
        raise
    return _read(told)


def organization(link: Link) -> dict[str, str]:
    return {"organizationId": link.options["organization"]}


def _read(told: Node) -> Guest:
    """Errors: BadMessage, also for lists that are missing: an emulation that tells none would look like a zero."""
    found = told.get("id").text()
    if not found:
        raise bad("id", "", "the guest's id")
    return Guest(
        found,
        {each.get("number").text(): each.get("track").text() for each in rows(told, "cards")},
        {each.get("id").text().lower(): each.get("balance").minor() for each in rows(told, "walletBalances")},
        " ".join(filter(None, (told.get(name).text(MAX_TEXT) for name in ("name", "middleName", "surname")))),
        told.get("phone").text(),
        told.get("email").text(MAX_TEXT),
        _born(told.get("birthday")),
    )


def _born(told: Node) -> date | None:
    """A day that nobody can read is not worth a guest."""
    try:
        return day(told.text(), told.where) if told else None
    except BadMessage:
        return None


def rows(told: Node, name: str) -> list[Node]:
    """A list that must be there. Errors: BadMessage."""
    found = told.get(name)
    if found.value is None:
        raise bad(name, "", "a list")
    return found.rows(MAX_ROWS)


# Whoever is not there yet ----------------------------------------------------------------------------------


def make(wallet: WalletTold, waited: timedelta, link: Link) -> Calling[Guest]:
    """A guest with the wallet's phone and card: a repeat finds the same. ``waited``: how long the message has been.

    Errors: NotYet, LinkDown where that has been too long.
    """
    told = _named(wallet, link) | person(wallet, link) | organization(link)
    made = (yield from ask(LOYALTY + "customer/create_or_update", told, link)).get("id").text()
    if not made:
        raise bad("id", "", "the id of the guest who was made")
    for _ in range(LOOKS):
        found = yield from look({"type": "id", "id": made}, link)
        if found is not None:
            return found
    error = NotYet if waited < UNSEEN else LinkDown
    raise error("a guest who was just made is not to be seen yet", NOT_YET_SECONDS)


def _named(wallet: WalletTold, link: Link) -> dict[str, str]:
    """Phone and card; a card alone for a wallet that nobody has registered."""
    told = {"phone": wallet.phone} if wallet.phone else {}
    for card in usable(wallet, link)[:1]:
        told |= {"cardTrack": card.number, "cardNumber": card.number}
    return told


def person(wallet: WalletTold, link: Link) -> dict[str, str]:
    """What the link lets iiko know of whom, without what nobody knows."""
    told = {"name": wallet.name, "email": wallet.email, "birthday": answers.day(wallet.birthday) or ""}
    return {name: told[name] for name in link.options["person"] if told[name]}


# Cards, person, farewell ------------------------------------------------------------------------------------


def set_cards(guest: Guest, wallet: WalletTold, link: Link) -> Calling[None]:
    """Usable cards are added, then those that are usable no more are taken away; those of others stay.

    The last one is left: of somebody without a phone iiko does not let it go, and by it an erased holder is found.
    """
    wanted = [card.number for card in usable(wallet, link)]
    for number in wanted:
        if number not in guest.cards:
            told = {"customerId": guest.id, "cardTrack": number, "cardNumber": number}
            yield from write(LOYALTY + "customer/card/add", told | organization(link), link)
    for track in _gone(guest, wallet) if wanted else ():
        told = {"customerId": guest.id, "cardTrack": track}
        yield from write(LOYALTY + "customer/card/remove", told | organization(link), link)


def _gone(guest: Guest, wallet: WalletTold) -> Iterator[str]:
    """Tracks, for a card is removed by its track."""
    for card in wallet.cards:
        if card.status in GONE and card.number in guest.cards:
            yield guest.cards[card.number] or card.number


def set_person(guest: Guest, wallet: WalletTold, link: Link) -> Calling[None]:
    """What has changed of whom. Parts of a name that iiko has beside ours stay there, and so does a phone."""
    told = {name: text for name, text in person(wallet, link).items() if not _has(guest, name, text)}
    if wallet.phone and not guest.phone:
        told["phone"] = wallet.phone
    if told:
        yield from ask(LOYALTY + "customer/create_or_update", {"id": guest.id} | told | organization(link), link)


def _has(guest: Guest, name: str, text: str) -> bool:
    if name == "name":
        return set(text.split()) <= set(guest.name.split())
    return text == {"email": guest.email, "birthday": answers.day(guest.birthday)}[name]


def forget(guest: Guest, link: Link) -> Calling[None]:
    """Whom we have erased is deleted there."""
    yield from write(LOYALTY + "delete_customers", {"customerIds": [guest.id]} | organization(link), link)
