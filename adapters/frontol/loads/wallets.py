"""What a till keeps of a wallet, as records: cards, client, which card is whose, gift cards.

Everything is said as it is now, whatever has changed, so that a till that missed something has it again with the next
change. Rules and reasons: docs/adapters/frontol-loads.md, "Cards, clients and balances".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from adapters.contract import Link
from adapters.frontol.loads.options import CARD, CLIENT, MINOR
from processing.results import Balance, WalletCard, WalletTold
from processing.units import major, whole_major

ACTIVE = "active"
# A card with one of these statuses comes back under no circumstances: the till need not know it.
GONE = frozenset({"closed", "replaced"})
GIFT_INACTIVE, GIFT_ACTIVE, GIFT_REDEEMED = 0, 1, 2
# The widths of a client's e-mail: a longer one would be another address.
EMAIL_WIDTH = 30

Told = tuple[str, dict[str, Any]]
# In this order a till is told of any number of wallets: what is no more first, who has something before who it is of.
ORDER = (
    "DELETECLIENTCCARDS",
    "DELETECLIENTDISCSBYCODE",
    "DELETECCARDDISCSBYCODE",
    "DELETECCARDDISCSBYVALUE",
    "DELETEGIFTCARDSBYVALUE",
    "ADDCCARDTYPES",
    "ADDCCARDDISCS",
    "ADDCLIENTDISCS",
    "ADDCLIENTCCARDS",
    "ADDGIFTCARDS",
)


def card_kind(product: str, name: str, options: Mapping[str, Any]) -> Told:
    """A kind of card: entered in any way, for cards that are loaded only."""
    inputs = dict.fromkeys(("manual", "visual", "magstripe", "scanner"), True)
    code = options["card_kinds"][product]
    told = {"code": code, "name": name, "text": name, "inputs": inputs}
    return "ADDCCARDTYPES", {**told, "registers_clients": False, "unregistered": False}


def records(wallet: WalletTold, link: Link) -> Iterator[Told]:
    """Everything of the wallet that the till keeps."""
    options = link.options["loads"]
    gifts = {gift["product"]: gift for gift in options["gift_cards"]}
    cards = [card for card in wallet.cards if card.product in options["card_kinds"]]
    for card in cards:
        yield _card(card, wallet, link)
    for card in wallet.cards:
        if card.product in gifts:
            yield _gift(card, gifts[card.product], wallet, link)
    living = [card for card in cards if card.status not in GONE]
    if wallet.holder_id and living:
        yield _client(wallet, link)
        for card in living:
            yield "ADDCLIENTCCARDS", _client_card(wallet.holder_id, card, options)


def other_kinds(wallet: WalletTold, link: Link) -> Iterator[Told]:
    """A card whose product has changed, as registering its holder may do, is none of another kind any more."""
    options = link.options["loads"]
    for card in wallet.cards:
        own = options["card_kinds"].get(card.product)
        for kind in sorted(set(options["card_kinds"].values()) - {own}):
            yield "DELETECCARDDISCSBYCODE", {"code": options["card_code_base"] + card.card_id, "kind": kind}


def gone_client(holder_id: int, wallet: WalletTold | None, link: Link) -> Iterator[Told]:
    """A holder whom nobody knows any more: no card is theirs, and the till forgets who it was."""
    options = link.options["loads"]
    for card in wallet.cards if wallet else ():
        if card.product in options["card_kinds"]:
            yield "DELETECLIENTCCARDS", _client_card(holder_id, card, options)
    yield "DELETECLIENTDISCSBYCODE", {"code": options["client_code_base"] + holder_id}


def _client_card(holder_id: int, card: WalletCard, options: Mapping[str, Any]) -> dict[str, Any]:
    kind, code = options["card_kinds"][card.product], options["card_code_base"] + card.card_id
    return {"client": options["client_code_base"] + holder_id, "kind": kind, "card": code}


def _card(card: WalletCard, wallet: WalletTold, link: Link) -> Told:
    if card.status in GONE:
        return "DELETECCARDDISCSBYVALUE", {"number": card.number}
    options = link.options["loads"]
    told = {
        "code": options["card_code_base"] + card.card_id,
        "kind": options["card_kinds"][card.product],
        "number": card.number,
        **_validity(card, link.zone),
        "active": card.status == ACTIVE,
    }
    return "ADDCCARDDISCS", told | _counters(wallet, options, CARD)


def _validity(card: WalletCard, zone: ZoneInfo) -> dict[str, Any]:
    return {"valid_from": _day(card.issued_at, zone), "valid_to": _last_day(card.expires_at, zone)}


def _day(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).date().isoformat()


def _last_day(ends_at: datetime | None, zone: ZoneInfo) -> str:
    """The last day on which it is good; cards end at the end of a store's day."""
    return _day(ends_at - timedelta(microseconds=1), zone) if ends_at else ""


def _client(wallet: WalletTold, link: Link) -> Told:
    options = link.options["loads"]
    wanted = options["client_fields"]
    name = wallet.name if "name" in wanted else ""
    told = {
        "code": options["client_code_base"] + wallet.holder_id,
        "group": 0,
        "name": name,
        "text": name,
        "is_group": 0,
        "birthday": _written(wallet.birthday) if "birthday" in wanted else "",
        "registered_on": _day(wallet.registered_at, link.zone) if wallet.registered_at else "",
        "email": wallet.email if "email" in wanted and len(wallet.email) <= EMAIL_WIDTH else "",
        "phone": wallet.phone if "phone" in wanted else "",
    }
    return "ADDCLIENTDISCS", told | _counters(wallet, options, CLIENT)


def _written(day: date | None) -> str:
    return day.isoformat() if day else ""


def _counters(wallet: WalletTold, options: Mapping[str, Any], on: str) -> dict[str, Any]:
    """Pairs of counters with what can be spent now."""
    balances = {balance.unit: balance for balance in wallet.balances}
    told: dict[str, Any] = {}
    for n, counter in enumerate((each for each in options["counters"] if each["on"] == on), 1):
        told[f"counter{n}"] = counter["kind"]
        told[f"counter{n}_value"] = _spendable(balances.get(counter["unit"]))
    return told


def _spendable(balance: Balance | None) -> str:
    """What a counter shows. Whether one may be below zero is not known: a debt is shown as nothing."""
    if balance is None:
        return "0"
    return major(max(balance.available, 0), balance.scale)


def _gift(card: WalletCard, gift: Mapping[str, Any], wallet: WalletTold, link: Link) -> Told:
    if card.status in GONE:
        return "DELETEGIFTCARDSBYVALUE", {"number": card.number}
    carried = [balance for balance in wallet.balances if balance.unit == gift["unit"] and balance.available > 0]
    told = {
        "code": link.options["loads"]["card_code_base"] + card.card_id,
        "kind": gift["kind"],
        "number": card.number,
        "balance": sum(_gift_balance(balance, gift["balance"]) for balance in carried),
        "status": (GIFT_ACTIVE if carried else GIFT_REDEEMED) if card.status == ACTIVE else GIFT_INACTIVE,
    }
    return "ADDGIFTCARDS", told | _validity(card, link.zone)


def _gift_balance(balance: Balance, counted: str) -> int:
    """A whole number: never more than the card carries."""
    return balance.available if counted == MINOR else whole_major(balance.available, balance.scale)
