"""Balances -> a property of 1C's cards, or of their owners: what the books have now, written where it differs.

docs/adapters/onec_server.md, "Balances".
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from adapters.contract import Calling, Link, Message, read
from adapters.json_parsing import Node
from adapters.onec_server import odata, published
from adapters.onec_server.answers import CHANGED, accepted, amount, ref, text
from adapters.onec_server.catalogues import VERSION
from adapters.onec_server.literals import any_of, guid
from adapters.onec_server.mapping import OWNER
from adapters.onec_server.options import mapping_of
from adapters.onec_server.whose import cards, names, wallet_ref, whose
from processing.commands import ReadBalances
from processing.errors import LinkDown, LinkRefused
from processing.results import Balances
from processing.units import major

# Whoever changes the object between our look and our write is looked at again, so often.
TRIES = 3


def tell(message: Message, link: Link) -> Calling[None]:
    """Say what a wallet has now. Errors: LinkDown, LinkRefused, BadReply, BadMessage."""
    if message.body["unit"] != link.options["unit"]:
        return
    account = message.body["account"]
    told = yield from read(ReadBalances(refs=(wallet_ref(account),)))
    balance = balance_of(told, link.options["unit"])
    mapping = mapping_of(link)
    if "service" in mapping:
        yield from _serve(mapping["service"], message, account, balance, link)
        return
    field = link.options["balance_field"]
    if not field:
        raise LinkRefused("the link names no balance_field")
    for set_name, where in (yield from _objects(account, link)):
        yield from _write(set_name, where, field, balance, link)


def balance_of(told: Balances, unit: str) -> str:
    """What it has of a unit, in major units."""
    return next((major(each.balance, each.scale) for each in told.balances if each.unit == unit), "0")


def _objects(account: int, link: Link) -> Calling[list[tuple[str, str]]]:
    """Where the balance is kept: sets, and filters for one object of each."""
    mapping = mapping_of(link)
    if mapping["points_of"] == OWNER:
        found = yield from whose(account, link)
        return [(found.set, any_of("Ref_Key", [guid(found.ref)]))]
    rows = yield from cards(account, link)
    return [(mapping["cards"]["set"], any_of("Ref_Key", [guid(ref(row))])) for row in rows]


def _write(set_name: str, where: str, field: str, balance: str, link: Link) -> Calling[None]:
    for _ in range(TRIES):
        row = yield from _one(set_name, where, field, link)
        if Decimal(amount(row, field) or "0") == Decimal(balance):
            return
        values = {field: msgspec.Raw(balance.encode())}
        reply = yield from odata.change(link, set_name, ref(row), text(row, VERSION), values)
        if reply.status != CHANGED:
            accepted(reply)
            return
    raise LinkDown("it changes under our hands")


def _one(set_name: str, where: str, field: str, link: Link) -> Calling[Node]:
    rows = yield from odata.find(link, set_name, where, 1, ("Ref_Key", VERSION, field))
    if not rows:
        raise LinkDown("it is there no more")
    return rows[0]


def _serve(said: Mapping[str, Any], message: Message, account: int, balance: str, link: Link) -> Calling[None]:
    telling = said.get("balance")
    if telling is None:
        raise LinkRefused("the mapping names no operation for it")
    called = yield from names(account, link)
    words = {
        "id": f"tillgate {link.code} {message.id}",
        "card": called.numbers[0],
        "guid": next(iter(called.guids), ""),
        "balance": Decimal(balance),
    }
    yield from published.tell(telling, words)
