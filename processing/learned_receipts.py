"""Receipts that other systems keep, told afterwards: they move nothing, and are compared with what was booked.

How they are compared: processing/reconciliation.py. Why so: docs/decisions/0042-receipts-move-nothing.md. A receipt
keeps the other system's id of its card, and of an erased holder's the wallet alone, as the books do
(docs/decisions/0045-receipts-of-the-erased.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from processing import tables
from processing.claims import POSTED, Claim
from processing.commands import MAX_LINES, Command, LearnReceipt
from processing.database import Statement
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

# Names of cards whose holder was erased, and the wallets.
ERASED = Statement(
    """
    SELECT i.scheme, i.value, c.wallet_id FROM identifier i JOIN card c ON c.id = i.card_id
    JOIN holder h ON h.wallet_id = c.wallet_id WHERE i.value IN_TEXTS(:values) AND h.erased_at IS NOT NULL
    """,
    tables.identifier.c.scheme,
    tables.identifier.c.value,
    tables.card.c.wallet_id,
)
FORGET = text(
    """
    UPDATE learned_receipt SET wallet_id = found.wallet_id, card_scheme = NULL, card_value = NULL
    FROM (
        SELECT r.store_id, r.document, c.wallet_id
        FROM holder h JOIN card c ON c.wallet_id = h.wallet_id JOIN identifier i ON i.card_id = c.id
        JOIN learned_receipt r ON r.card_value = i.value AND r.card_scheme = i.scheme
        WHERE h.id = :holder AND h.erased_at IS NOT NULL LIMIT :most
    ) found
    WHERE learned_receipt.store_id = found.store_id AND learned_receipt.document = found.document
    """
)

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


def names_of(asked: Iterable[Command[Any]]) -> set[str]:
    """What a batch's receipts call their cards."""
    return {command.card_ref.value for command in asked if isinstance(command, LearnReceipt) and command.card_ref}


def forget_holder(connection: Connection, holder_id: int, most: int) -> int:
    """Keep of an erased holder's receipts the wallet in the place of the card, of so many; of how many it was done."""
    return connection.execute(FORGET, {"holder": holder_id, "most": most}).rowcount


def _row(state: State, command: LearnReceipt) -> dict[str, Any]:
    wallet_id = state.erased.get(command.card_ref) if command.card_ref else None
    ref = command.card_ref if wallet_id is None else None
    row = {
        "store_id": state.store(command.store).id,
        "card_scheme": ref.scheme if ref else None,
        "card_value": ref.value if ref else None,
        "wallet_id": wallet_id,
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
    for where, told in {**names, "till": command.till or "-"}.items():
        if not 0 < len(told) <= MAX_DOCUMENT or not told.isprintable():
            raise BadMessage(f"1 to {MAX_DOCUMENT} printable characters", where=where)
