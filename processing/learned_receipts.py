"""Receipts that other systems keep, told afterwards: they move nothing, and are compared with what was booked.

How they are compared: processing/reconciliation.py. Why so: docs/decisions/0042-receipts-move-nothing.md.
"""

from __future__ import annotations

from typing import Any

import msgspec

from processing import tables
from processing.claims import POSTED, Claim
from processing.commands import MAX_LINES, LearnReceipt
from processing.errors import BadAmount, BadMessage, TooLarge
from processing.keys import content, once
from processing.results import ReceiptLearned
from processing.state import DERIVED, State
from processing.units import MAX_AMOUNT

COLUMNS = tuple(column.name for column in tables.learned_receipt.columns)
# As wide as their columns.
MAX_DOCUMENT, MAX_SCHEME = 64, 32
# What may tell who somebody is, or pay, is kept nowhere but in its own table.
NOT_KEPT = DERIVED | {"card", "barcode", "track"}
# Of table ``chore``: none of those that were closed since then has been thrown away.
KEPT = "learned_receipts"

_encode = msgspec.json.Encoder().encode


def learn_receipt(state: State, command: LearnReceipt) -> ReceiptLearned:
    """Keep what is told; the same again changes nothing. Errors: BadMessage, BadAmount, TooLarge, UnitNotFound,
    KeyReused."""
    _check(state, command)
    told = ReceiptLearned(document=command.document, at=state.now, is_known=not command.withdrawn)
    if command.withdrawn and state.heads(command)[0].is_fresh:
        return told

    def learn() -> tuple[ReceiptLearned, int | None]:
        row = _row(state, command)
        state.learned_receipts[row["store_id"], row["document"]] = row
        return told, None

    def is_older(claim: Claim) -> bool:
        """Only of the same document: whatever else stands under a key stays."""
        stored = claim.stored() if claim.state == POSTED else None
        is_of_document = isinstance(stored, ReceiptLearned) and stored.document == command.document
        return is_of_document and claim.content != content(state, command)

    return once(state, command, ReceiptLearned, learn, is_older)


def _row(state: State, command: LearnReceipt) -> dict[str, Any]:
    ref = command.card_ref
    row = {
        "store_id": state.store(command.store).id,
        "card_scheme": ref.scheme if ref else None,
        "card_value": ref.value if ref else None,
        "lines": msgspec.Raw(_encode(command.lines)),
        "is_withdrawn": command.withdrawn,
    }
    return {name: row[name] if name in row else getattr(command, name) for name in COLUMNS}


def _check(state: State, command: LearnReceipt) -> None:
    """Errors: BadMessage, BadAmount, TooLarge, UnitNotFound."""
    state.directory.unit(command.unit)
    if len(command.lines) > MAX_LINES:
        raise TooLarge("too many lines", where="lines")
    amounts = (command.redeemed, command.earned, abs(command.total_minor or 0))
    if not all(0 <= amount <= MAX_AMOUNT for amount in amounts):
        raise BadAmount("a receipt tells what it took and brought, not less than nothing", unit=command.unit)
    ref = command.card_ref
    if ref and (ref.scheme in NOT_KEPT or not 0 < len(ref.scheme) <= MAX_SCHEME):
        raise BadMessage(
            "a card is named by what its system calls it: not by number, phone or e-mail", where="card_ref"
        )
    names = {"document": command.document, "card_ref": ref.value if ref else "-", "sale": command.sale or "-"}
    for where, text in {**names, "till": command.till or "-"}.items():
        if not 0 < len(text) <= MAX_DOCUMENT or not text.isprintable():
            raise BadMessage(f"1 to {MAX_DOCUMENT} printable characters", where=where)
