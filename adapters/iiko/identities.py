"""UUIDs of what is not a customer: made of our codes (RFC 9562, version 5), the same in every answer and for ever.

A customer's UUID is the core's (``NameWallet``), for only the core can find a wallet by it. A transaction's carries its
place in the books, so that a client may go on behind it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from adapters.contract import Link, WireRequest

SPACE = uuid.UUID("6d5b8f6e-2f2c-5c7f-9f0e-7a3f1d0c8e21")
_OPERATION_BYTES, _ENTRY_BYTES = 6, 2
_MARK = uuid.uuid5(SPACE, "transaction").bytes


def _named(kind: str, *codes: str) -> str:
    name = "|".join((kind, *codes)).encode("utf-8", "replace").decode()
    return str(uuid.uuid5(SPACE, name))


def organization(link: Link) -> str:
    """The link's store; clients may have its id of old in their settings, and the link says so then."""
    told: str = link.options["organization"]
    return told or store_organization(link.store)


def store_organization(store: str) -> str:
    return _named("organization", store)


def terminal_group(link: Link) -> str:
    """The tills of the link's store, likewise."""
    told: str = link.options["terminal_group"]
    return told or store_terminal_group(link.store)


def store_terminal_group(store: str) -> str:
    return _named("terminal group", store)


def payment_type(unit: str) -> str:
    return _named("payment type", unit)


def wallet(unit: str, options: Mapping[str, Any]) -> str:
    """The unit's wallet, likewise."""
    told = next((each["id"] for each in options["wallets"] if each["unit"] == unit), "")
    return told or unit_wallet(unit)


def unit_wallet(unit: str) -> str:
    return _named("wallet", unit)


def programme(code: str) -> str:
    return _named("programme", code)


def wallet_programme(unit: str) -> str:
    """The programme of a wallet of money, which needs none of ours."""
    return _named("wallet programme", unit)


def category(code: str) -> str:
    return _named("category", code)


def tier(programme: str, code: str) -> str:
    return _named("tier", programme, code)


def card(number: str) -> str:
    return _named("card", number)


def correlation(request: WireRequest) -> str:
    """Names this exchange; the exchange log knows it by the request's id."""
    return _named("request", request.id)


def transaction(operation_id: int, entry: int) -> str:
    """Version 8: the operation's number, the entry's, and a mark by which it is known as ours."""
    place = operation_id % 256**_OPERATION_BYTES, entry % 256**_ENTRY_BYTES
    made = bytearray(place[0].to_bytes(_OPERATION_BYTES, "big") + _MARK[6:14] + place[1].to_bytes(_ENTRY_BYTES, "big"))
    made[6] = 0x80 | made[6] & 0x0F
    made[8] = 0x80 | made[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(made)))


def transaction_place(text: str) -> tuple[int, int] | None:
    """The operation and entry of a transaction's UUID; ``None`` for a foreign one."""
    told = uuid.UUID(text).bytes
    place = int.from_bytes(told[:_OPERATION_BYTES], "big"), int.from_bytes(told[-_ENTRY_BYTES:], "big")
    return place if transaction(*place) == text else None


def find(text: str, named: Iterable[tuple[str, str]]) -> str | None:
    """Of (UUID, code) pairs the code with this UUID."""
    return next((code for made, code in named if made == text), None)
