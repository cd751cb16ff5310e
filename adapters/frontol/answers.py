"""Results -> the JSON that Frontol reads. Every answer has ``code`` 0 and both kinds of information.

Amounts are JSON numbers with two decimals. An answer is a pure function of what was asked and what came back, so
that a replay is answered alike. docs/adapters/frontol.md, "What is answered".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adapters.contract import CodeTold, Link, Outcome, WireResponse
from adapters.frontol.messages import Message
from adapters.frontol.options import CALCULATE, Options
from adapters.frontol.slips import CASHIER, SLIP, Row, is_tender, of_hold, of_quote, screen, slip
from adapters.texts import reason
from processing.errors import LoyaltyError
from processing.results import HolderTold, HoldPlaced, Quoted
from processing.units import major

CONTENT_TYPE = "application/json; charset=utf-8"
MONEY_SCALE = 2

NOTHING: Mapping[str, Any] = {}

_encode = msgspec.json.Encoder().encode


def respond(document: Mapping[str, Any], status: int = 200, refused: str = "") -> WireResponse:
    return WireResponse(_encode(_spoken(document)), CONTENT_TYPE, status, refused=refused)


def done(
    rows: Sequence[Row] = (), slips: Sequence[Any] = (), members: Mapping[str, Any] = NOTHING, refused: str = ""
) -> WireResponse:
    """It was carried out. ``refused``: nothing was, and the till shall not be stopped by it all the same."""
    told = {"code": 0, **members, "cashierInformation": screen(rows), "printingInformation": list(slips)}
    return respond(told, refused=refused)


def amount(minor: int) -> msgspec.Raw:
    """A JSON number: ``450.50``."""
    return msgspec.Raw(major(minor, MONEY_SCALE))


def calculated(
    message: Message,
    quoted: Quoted,
    holder: HolderTold | None,
    verified: Outcome | None,
    rows: Sequence[Row],
    link: Link,
) -> WireResponse:
    """What comes off each line, and what the customer may pay with points: nothing, where they can not be verified.

    A line is told also where nothing comes off it: what an earlier answer took off is taken back so.
    """
    card, options = quoted.cards[0], link.options
    client: dict[str, Any] = _contacts(holder, options)
    may_pay = card.unit == options["unit"] and not card.usable
    if isinstance(verified, CodeTold):
        client["validationCode"] = verified.code
    elif isinstance(verified, LoyaltyError):
        may_pay, rows = False, [(reason(verified, options["language"]), ""), *rows]
    payable = max(card.payable, 0) if may_pay else 0
    client["availableAmount"] = amount(payable)
    discounts = [max(line.discount_minor, 0) for line in quoted.lines]
    members = {"client": client, "document": lines(message, "discountAmount", discounts)}
    if hint := electronic_check(holder, options):
        members["electronicCheck"] = hint
    slips = slip(of_quote(card, payable, link, SLIP), options) if CALCULATE in options["slips"] else []
    return done([*of_quote(card, payable, link, CASHIER), *rows], slips, members)


def held(message: Message, placed: HoldPlaced, link: Link) -> WireResponse:
    """What of each line the points pay; as a form of payment they leave the lines as they are."""
    by_line = {line.number: line.points_minor + line.card_money_minor for line in placed.paid}
    paid = [by_line.get(position.index, 0) for position in message.positions]
    members = {} if is_tender(link) else {"document": lines(message, "paidAmount", paid)}
    return done(of_hold(placed, link), members=members)


def lines(message: Message, name: str, amounts: Sequence[int]) -> dict[str, Any]:
    """The document's positions with an amount each; those that the core does not tell have none."""
    told = [*amounts, *[0] * len(message.positions)]
    return {
        "positions": [
            {"index": position.index, name: amount(minor)}
            for position, minor in zip(message.positions, told, strict=False)
        ]
    }


def _contacts(holder: HolderTold | None, options: Options) -> dict[str, Any]:
    """Phone and e-mail, where the till sends receipts there: nobody else needs them."""
    if holder is None or options["electronic_check"] == "none":
        return {}
    contacts = {"mobilePhone": holder.phone, "email": holder.email}
    return {name: value for name, value in contacts.items() if value}


def electronic_check(holder: HolderTold | None, options: Options) -> dict[str, str]:
    """Where the receipt may go instead of paper alone; nothing where the customer has no such address."""
    wanted = options["electronic_check"]
    if holder is None or wanted == "none":
        return {}
    for contact, value in (("email", holder.email), ("mobilePhone", holder.phone)):
        if value and wanted in (contact, "any"):
            return {"form": "electronicAndPrinted", "contact": contact}
    return {}


def _spoken(value: Any) -> Any:
    """The value with texts that UTF-8 can carry."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {name: _spoken(item) for name, item in value.items()}
    return [_spoken(item) for item in value] if isinstance(value, list) else value
