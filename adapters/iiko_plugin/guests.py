"""identify: who is it, and what may they pay with?"""

from __future__ import annotations

from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, one
from adapters.iiko.answers import said
from adapters.iiko_plugin import keys
from adapters.iiko_plugin.messages import identity, message, not_negative
from adapters.iiko_plugin.options import names
from adapters.json_parsing import Node
from adapters.parsing import bad
from adapters.texts import code_text
from processing.commands import Identify, Ref
from processing.results import Balance, Identified
from processing.units import major

MAX_SCANNED = 128
# What was read, and the names that it may be. A code is a QR token of ours, or a card's barcode.
NAMED_BY = {
    "track": ("track", "card"),
    "number": ("card", "barcode"),
    "code": ("token", "barcode", "card"),
    "phone": ("phone",),
}


def identify(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """A guest, with the wallets of the link."""
    told = message(request)
    order = told.get("orderId")
    found = yield from one(
        Identify(
            store=link.store,
            refs=_refs(told),
            order_minor=not_negative(told.get("totalMinor")) if told.get("totalMinor") else None,
            owner=keys.owner(identity(order)) if order else "",
        )
    )
    return said(_guest(found, link))


def _refs(told: Node) -> tuple[Ref, ...]:
    """Errors: BadMessage for none, and for more than one."""
    given = [name for name in NAMED_BY if told.get(name)]
    if len(given) != 1:
        raise bad("body", ", ".join(given), "one of " + ", ".join(NAMED_BY))
    value = told.get(given[0]).text(MAX_SCANNED)
    return tuple(Ref(scheme, value) for scheme in NAMED_BY[given[0]])


def _guest(found: Identified, link: Link) -> dict[str, Any]:
    payable, balances = dict(found.payable), {each.unit: each for each in found.balances}
    wallets = [
        _wallet(balances.get(unit) or Balance(unit=unit, scale=2, balance=0, available=0), name, payable.get(unit, 0))
        for unit, name in names(link.options).items()
    ]
    problem = code_text(found.usable, link.options["language"]) if found.usable else ""
    return {
        "card": found.number,
        "guest": found.holder_name,
        "tier": found.tier,
        "usable": not found.usable,
        "line": problem or _line(found, wallets),
        "wallets": wallets,
    }


def _wallet(balance: Balance, name: str, payable: int) -> dict[str, Any]:
    return {
        "wallet": balance.unit,
        "name": name,
        "balanceMinor": balance.balance,
        "availableMinor": balance.available,
        "payableMinor": payable,
    }


def _line(found: Identified, wallets: list[dict[str, Any]]) -> str:
    """One short line for the waiter's screen: who it is, and what is there."""
    told = [f"{each['name']} {major(each['availableMinor'], 2)}" for each in wallets if each["balanceMinor"]]
    return " · ".join([*filter(None, [found.holder_name]), *told]) or found.number
