"""What the cashier's screen and the slip say, as blocks of the protocol (docs/adapters/frontol.md, "Slips").

A row is a name with its value, or a text alone; a till makes ``pair`` blocks of the former.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from adapters.contract import TENDER, Link
from adapters.texts import code_text, line
from processing.results import CardMovement, HoldPlaced, Identified, QuotedCard, ReceiptPosted, ReceiptReturned
from processing.units import major

Row = tuple[str, str]
Block = dict[str, Any]

CASHIER, SLIP = "cashier", "slip"
FILLER = "."
# Flags of an operation that the cashier should know.
NOTICES = {"card_not_usable": "not_accrued"}

_PAIR = re.compile(r"(.+): ([^:]+)", re.DOTALL)


def screen(rows: Iterable[Row]) -> list[Block]:
    """``cashierInformation``: a line a row."""
    return [{"text": f"{name}: {value}" if value else name} for name, value in rows]


def slip(rows: Sequence[Row], options: Any) -> list[list[Block]]:
    """``printingInformation``: one slip between the link's header and footer; none where there is nothing to tell."""
    if not rows:
        return []
    told = [_block(row) for row in rows]
    return [[*map(dict, options["slip_header"]), *told, *map(dict, options["slip_footer"])]]


def _block(row: Row) -> Block:
    name, value = row
    if not value:
        return {"type": "text", "text": name} if name else {"type": "br"}
    return {"type": "pair", "left": name, "right": value, "separator": FILLER}


def named(name: str, tongue: str, amount: str) -> Row:
    """A line of texts with its amount apart."""
    return line(name, tongue).strip(), amount


def of_text(text: str) -> list[Row]:
    """A programme's text, line by line; what stands behind the last colon is the value."""
    rows = []
    for told in text.split("\n") if text else []:
        match = _PAIR.fullmatch(told)
        rows.append((match[1], match[2]) if match else (told, ""))
    return rows


def of_quote(card: QuotedCard, payable: int, link: Link, audience: str) -> list[Row]:
    """What the programme says of the receipt, then what the card has and how much of it may pay."""
    tongue = link.options["language"]
    if card.usable:
        return [(code_text(card.usable, tongue), "")]
    rows = [row for told in card.texts if told.audience == audience for row in of_text(getattr(told, tongue))]
    rows.append(named("balance", tongue, major(card.available, card.scale)))
    if payable:
        rows.append(named("can_pay", tongue, major(payable, card.scale)))
    return rows


def of_card(found: Identified, link: Link) -> list[Row]:
    """Which card it is and what it has. Names stay out: a log could not tell them from other texts and hide them."""
    tongue = link.options["language"]
    rows = [(f"*{found.number[-4:]}", ""), (found.tier or found.product, "")]
    if found.usable:
        rows.append((code_text(found.usable, tongue), ""))
    balances = [each for each in found.balances if each.balance or each.unit == link.options["unit"]]
    several = len(balances) > 1
    for balance in balances:
        name, amount = named("balance", tongue, major(balance.available, balance.scale))
        rows.append((f"{name} {balance.unit}" if several else name, amount))
    return [row for row in rows if row[0]]


def of_hold(held: HoldPlaced, link: Link) -> list[Row]:
    tongue = link.options["language"]
    name = "to_pay" if is_tender(link) else "to_redeem"
    return [
        named(name, tongue, major(held.amount, held.scale)),
        named("balance", tongue, major(held.available, held.scale)),
    ]


def of_sale(posted: ReceiptPosted, link: Link) -> list[Row]:
    tongue = link.options["language"]
    told = [(line(NOTICES[flag], tongue), "") for flag in dict.fromkeys(posted.flags) if flag in NOTICES]
    redeemed = "paid" if is_tender(link) else "redeemed"
    return told + _moved(posted.cards, (redeemed, "accrued"), tongue)


def of_return(returned: ReceiptReturned, link: Link) -> list[Row]:
    return _moved(returned.cards, ("given_back", "taken_back"), link.options["language"])


def is_tender(link: Link) -> bool:
    """Whether points are a form of payment on the fiscal receipt, and lines keep their prices."""
    return link.fiscal.get(link.options["unit"]) == TENDER


def _moved(movements: Sequence[CardMovement], names: tuple[str, str], tongue: str) -> list[Row]:
    """Of each unit that moved what went, what came and what is there now."""
    moved = [each for each in movements if each.redeemed or each.earned]
    rows: list[Row] = []
    for each in moved:
        for name, amount in ((names[0], each.redeemed), (names[1], each.earned), ("balance", each.available)):
            if amount or name == "balance":
                told, value = named(name, tongue, major(amount, each.scale))
                rows.append((f"{told} {each.unit}" if len(moved) > 1 else told, value))
    return rows
