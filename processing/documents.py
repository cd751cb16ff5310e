"""What the row of a receipt keeps, and what those read of it who go on from the receipt."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from processing import tables
from processing.activity import Activity, together
from processing.allocation import Back, Share, came_back, lines_of
from processing.commands import Receipt
from processing.directory import StoreInfo
from processing.errors import KeyReused
from processing.state import State


class Extended(msgspec.Struct, frozen=True, array_like=True):
    """A lot that a purchase gave a new end."""

    lot_id: int
    account_id: int
    before: datetime
    after: datetime


class ReceiptDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the receipt's row keeps for returns and reports: the goods, and which lines paid and earned what.

    ``drawn`` is what paid, ``gained`` what the programme gave, ``loaded`` what guests put on cards. Of a return
    ``returned`` tells which parts of which lines of its sale came back; of a sale that was restored, which had before.
    ``activity`` is what it added to the days of wallets; ``turnover`` of whose own money that is, by line (wallet,
    nothing), where it is not just the lines' sums. ``extended`` are lots that live longer by it; of a return, that no
    longer do. ``key`` of a sale: a request key under which it stands, for returns that know its operation's number.
    ``sold_at`` of a sale that was restored: when it was booked first.
    """

    receipt: Receipt
    drawn: tuple[Share, ...] = ()
    gained: tuple[Share, ...] = ()
    loaded: tuple[Share, ...] = ()
    returned: tuple[Back, ...] = ()
    programme: str = ""
    activity: tuple[Activity, ...] = ()
    turnover: tuple[Share, ...] = ()
    extended: tuple[Extended, ...] = ()
    key: str = ""
    sold_at: datetime | None = None


_encode_document = msgspec.json.Encoder().encode
decode_document = msgspec.json.Decoder(ReceiptDocument).decode


def kept(store: StoreInfo, receipt: Receipt, document: ReceiptDocument, base_id: int | None = None) -> dict[str, Any]:
    """The row of a receipt, but for its operation."""
    return {
        "store_id": store.id,
        "till": receipt.till,
        "number": receipt.number,
        "business_date": receipt.business_date,
        "total_minor": receipt.total_minor,
        "document": msgspec.Raw(_encode_document(document)),
        "base_id": base_id,
    }


def keep(state: State, operation_id: int, row: dict[str, Any]) -> None:
    """The receipt of an operation that has just been booked."""
    state.receipts[operation_id] = row
    state.insert(tables.receipt, {"operation_id": operation_id, **row})


def document_of(state: State, operation_id: int) -> ReceiptDocument | None:
    """What the receipt of an operation keeps, as far as this batch knows it."""
    row = state.receipts.get(operation_id)
    if row is None:
        return None
    told = row["document"]
    return decode_document(told if isinstance(told, str) else bytes(told))


def returned_before(state: State, operation_id: int, document: ReceiptDocument) -> dict[int, Back]:
    """How much of each line of a sale has come back, and which parts, in returns that stand."""
    backs = [*document.returned]
    for returned in state.returns.get(operation_id, ()):
        backs += returned.lines
    return came_back(lines_of(document.receipt), backs)


def kept_receipt(state: State, void_id: int) -> dict[str, Any]:
    """The row of the sale that a void has reversed, with what had come back of it. Errors: KeyReused."""
    operation_id = state.earlier[void_id].reverses_id or 0
    document = document_of(state, operation_id)
    if document is None or state.earlier[operation_id].kind not in ("receipt", "restore"):
        raise KeyReused("only a sale can be restored")
    before = tuple(back for _, back in sorted(returned_before(state, operation_id, document).items()))
    done = [*document.activity]
    for returned in state.returns.get(operation_id, ()):
        done += returned.activity
    sold_at = document.sold_at or state.earlier[operation_id].booked_at
    document = msgspec.structs.replace(document, returned=before, activity=together(done), extended=(), sold_at=sold_at)
    return {**state.receipts[operation_id], "document": msgspec.Raw(_encode_document(document))}
