"""Wallets: set aside, give up, top up, charge off. Amounts are major units, bounded to the unit's two digits."""

from __future__ import annotations

import hashlib

from adapters.contract import Asking, Link, WireRequest, WireResponse, one
from adapters.iiko import identities
from adapters.iiko.answers import NOTHING, said
from adapters.iiko.customers import customer, key
from adapters.iiko.messages import Fields, fields, identity, money, needed_identity, require
from adapters.iiko.options import holds_money, names
from adapters.iiko.places import check_organization
from processing.commands import Accrue, Amount, PlaceHold, Redeem, ReleaseHold, TopUp
from processing.errors import HoldNotFound, UnitNotFound

ORPHAN = "orphan"


def hold(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Set aside; the caller's ``transactionId`` names the hold, and the same again is the same hold."""
    told = fields(request.body)
    check_organization(told, link)
    name = identity(told, "transactionId") or identities.correlation(request)
    who, unit, amount = customer(told), _unit(told, link), _sum(told)
    yield from one(
        PlaceHold(
            store=link.store,
            keys=(hold_key(name),),
            content=hashlib.sha256(f"{who.value}|{unit}|{amount}".encode()).hexdigest(),
            card=who,
            unit=unit,
            amount=amount,
            seconds=link.options["hold_seconds"],
        )
    )
    return said({"transactionId": name})


def hold_key(transaction: str) -> str:
    """What names a hold, for the till that captures it too (docs/adapters/iiko.md, "Keys")."""
    return f"iiko:hold:{transaction}"


def cancel_hold(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Give it up. One that has ended is answered alike; one that nobody knows is refused, and may not come any more."""
    told = fields(request.body)
    check_organization(told, link)
    name = needed_identity(told, "transactionId")
    released = yield from one(ReleaseHold(store=link.store, keys=(f"iiko:cancel:{name}",), hold=hold_key(name)))
    if released.outcome == ORPHAN:
        raise HoldNotFound("no hold has this transactionId")
    return said(NOTHING)


def top_up(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Points are accrued on the terms of the guest's programme, money comes in for ever."""
    told = fields(request.body)
    check_organization(told, link)
    who, amount = customer(told), Amount(_unit(told, link), _sum(told))
    make = TopUp if holds_money(amount.unit, link.options) else Accrue
    yield from one(make(store=link.store, keys=(key(request),), card=who, amount=amount))
    return said(NOTHING)


def charge_off(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """What is free may be taken; what is held may not."""
    told = fields(request.body)
    check_organization(told, link)
    who, unit, amount = customer(told), _unit(told, link), _sum(told)
    yield from one(Redeem(store=link.store, keys=(key(request),), card=who, unit=unit, amount=amount))
    return said(NOTHING)


def _unit(told: Fields, link: Link) -> str:
    """The unit of a wallet of the link. Errors: BadMessage, UnitNotFound."""
    found = needed_identity(told, "walletId")
    unit = identities.find(found, ((identities.wallet(unit, link.options), unit) for unit in names(link.options)))
    if unit is None:
        raise UnitNotFound("no such wallet", where="walletId")
    return unit


def _sum(told: Fields) -> int:
    """Errors: BadMessage for nothing, less than nothing, or parts of a kopeck."""
    amount = money(told, "sum")
    require(amount > 0, "sum", "a positive amount")
    return amount
