"""Single things by their own names: an operation, the receipt or the hold under a request key."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Integer, String, column

from processing import tables
from processing.claims import POSTED, RETURNED, ROLLED_BACK
from processing.commands import ReadHold, ReadOperation, ReadReceipt
from processing.database import Row, Statement
from processing.errors import HoldNotFound, OperationNotFound, ReceiptNotFound
from processing.reading import Reading, is_id, is_text
from processing.results import (
    AnyStoredResult,
    EntryTold,
    HoldPlaced,
    HoldTold,
    OperationTold,
    ReceiptReturned,
    ReceiptTold,
    ReturnedLine,
    cards_of,
)

# How often a receipt may be voided and restored and still be found.
MAX_REVERSALS = 1_000
# An operation's kind.
RETURN = "return"

_operation, _entry, _hold = tables.operation.c, tables.entry.c, tables.hold.c
_decode_answer: Any = msgspec.json.Decoder(AnyStoredResult).decode

OPERATION = Statement(
    """
    SELECT o.kind, o.store_id, o.actor, o.effective_at, o.booked_at, o.flags,
           CAST(o.explanation AS VARCHAR) AS explanation, o.reverses_id, o.programme_version_id,
           (SELECT v.code FROM programme_version v WHERE v.id = o.programme_version_id),
           r.number, r.till, r.business_date, r.total_minor
    FROM operation o LEFT JOIN receipt r ON r.operation_id = o.id WHERE o.id = :operation
    """,
    _operation.kind,
    _operation.store_id,
    _operation.actor,
    _operation.effective_at,
    _operation.booked_at,
    _operation.flags,
    column("explanation", String),
    _operation.reverses_id,
    _operation.programme_version_id,
    tables.programme_version.c.code,
    *(tables.receipt.c[name] for name in ("number", "till", "business_date", "total_minor")),
)
ENTRIES = Statement(
    """
    SELECT a.wallet_id, a.partner_id, a.kind, a.unit, e.amount, e.lot_id
    FROM entry e JOIN account a ON a.id = e.account_id WHERE e.operation_id = :operation ORDER BY e.n
    """,
    tables.account.c.wallet_id,
    tables.account.c.partner_id,
    tables.account.c.kind,
    tables.account.c.unit,
    _entry.amount,
    _entry.lot_id,
)
REVERSED_BY = Statement("SELECT o.id FROM operation o WHERE o.reverses_id = :operation", _operation.id)
# The key that keeps what this one stands for: itself, or the one of which it is another name.
KEY = Statement(
    """
    SELECT r.key, r.state, r.operation_id, r.answer FROM request_key r
    WHERE r.store_id = :store
      AND r.key = coalesce((SELECT s.same_as FROM request_key s WHERE s.store_id = :store AND s.key = :key), :key)
    """,
    *(tables.request_key.c[name] for name in ("key", "state", "operation_id", "answer")),
)
# From the operation under a key back through voids and restores, newest first; 1 where there is a receipt.
CHAIN = Statement(
    """
    SELECT chain.id, (SELECT 1 FROM receipt r WHERE r.operation_id = chain.id) AS has_receipt FROM (
        WITH RECURSIVE back(id, step) AS (
            SELECT CAST(:operation AS BIGINT), 0
            UNION ALL
            SELECT (SELECT o.reverses_id FROM operation o WHERE o.id = back.id), back.step + 1
            FROM back WHERE back.id IS NOT NULL AND back.step < :most
        ) SELECT id, step FROM back WHERE id IS NOT NULL
    ) chain ORDER BY chain.step
    """,
    _operation.id,
    column("has_receipt", Integer),
)
RECEIPT = Statement(
    """
    SELECT o.kind, o.booked_at, o.flags, CAST(r.document AS VARCHAR) AS document
    FROM receipt r JOIN operation o ON o.id = r.operation_id WHERE r.operation_id = :operation
    """,
    _operation.kind,
    _operation.booked_at,
    _operation.flags,
    column("document", String),
)
# What came back by returns that stand; (line, amount, of it told in money) in their documents: processing/documents.py
RETURNED_LINES = Statement(
    """
    SELECT CAST(pair->>0 AS BIGINT) AS line, CAST(sum(CAST(pair->>1 AS BIGINT)) AS BIGINT) AS amount
    FROM receipt r, json_array_elements(r.document->'returned') pair
    WHERE r.base_id = :operation AND NOT EXISTS (SELECT 1 FROM operation v WHERE v.reverses_id = r.operation_id)
    GROUP BY 1
    """,
    column("line", BigInteger),
    column("amount", BigInteger),
    sqlite="""
    SELECT pair.value->>0 AS line, sum(pair.value->>1) AS amount
    FROM receipt r, json_each(r.document, '$.returned') pair
    WHERE r.base_id = :operation AND NOT EXISTS (SELECT 1 FROM operation v WHERE v.reverses_id = r.operation_id)
    GROUP BY 1
    """,
)
HOLD = Statement(
    """
    SELECT h.id, h.owner, h.amount, h.captured, h.state, h.placed_at, h.until, h.ended_at, h.operation_id,
           a.unit, (SELECT coalesce(w.merged_into, w.id) FROM wallet w WHERE w.id = a.wallet_id)
    FROM hold h JOIN account a ON a.id = h.account_id WHERE h.id = :hold
    """,
    *(
        _hold[n]
        for n in ("id", "owner", "amount", "captured", "state", "placed_at", "until", "ended_at", "operation_id")
    ),
    tables.account.c.unit,
    tables.account.c.wallet_id,
)


def read_operation(reading: Reading, query: ReadOperation) -> OperationTold:
    """An operation with its entries, and why it was decided so. Errors: OperationNotFound."""
    operation_id = query.operation_id
    if not is_id(operation_id):
        raise OperationNotFound("no such operation")
    asked = {"operation": operation_id}
    found, entries, reversals = reading.each((OPERATION, asked), (ENTRIES, asked), (REVERSED_BY, asked))
    if not found:
        raise OperationNotFound("no such operation")
    kind, store_id, actor, effective_at, booked_at, flags, explanation, reverses_id, version_id, programme, *receipt = (
        found[0]
    )
    number, till, business_date, total_minor = receipt
    return OperationTold(
        operation_id=operation_id,
        kind=kind,
        store=reading.work.directory.store_of(store_id).code,
        actor=actor or "",
        effective_at=effective_at,
        booked_at=booked_at,
        entries=tuple(_entry_told(reading, row) for row in entries),
        flags=flags_of(flags),
        explanation=None if explanation is None else msgspec.json.decode(explanation),
        programme=programme or "",
        programme_version=version_id or 0,
        reverses_id=reverses_id or 0,
        reversed_by=reversals[0][0] if reversals else 0,
        number=number or "",
        till=till or "",
        business_date=business_date,
        total_minor=total_minor,
    )


def _entry_told(reading: Reading, row: Row) -> EntryTold:
    wallet_id, partner_id, kind, unit, amount, lot_id = row
    return EntryTold(
        account=wallet_id or 0,
        partner=reading.work.directory.partners.get(partner_id, ""),
        kind=kind,
        unit=unit,
        scale=reading.scale(unit),
        amount=amount,
        lot_id=lot_id,
    )


def flags_of(text: str | None) -> tuple[str, ...]:
    """The flags of an operation as its row keeps them."""
    return tuple(text.split(",")) if text else ()


def read_receipt(reading: Reading, query: ReadReceipt) -> ReceiptTold:
    """The receipt under a key, void or not, and what has come back of it. Errors: ForeignStore, ReceiptNotFound."""
    found = stands_for(reading, query.store, query.key)
    if found is None or found.state not in (POSTED, ROLLED_BACK, RETURNED) or found.operation_id is None:
        raise ReceiptNotFound("no receipt stands under this key")
    chain = reading.rows(CHAIN, operation=found.operation_id, most=MAX_REVERSALS)
    operation_id = next((row[0] for row in chain if row[1]), None)
    if operation_id is None:
        raise ReceiptNotFound("the key stands for something else than a receipt")
    asked = {"operation": operation_id}
    receipts, came_back = reading.each((RECEIPT, asked), (RETURNED_LINES, asked))
    kind, booked_at, flags, text = receipts[0]
    document = msgspec.json.decode(text)
    returned: Counter[int] = Counter()
    for line, amount in came_back:
        returned[line] += amount
    # A return's own lines; of a sale that was restored, what had come back before.
    returned.update({number: amount for number, amount, *_ in document.get("returned", ())})
    answer = _decode_answer(found.answer) if found.answer else None
    sale, sale_store = (answer.sale, answer.sale_store) if isinstance(answer, ReceiptReturned) else ("", "")
    return ReceiptTold(
        operation_id=operation_id,
        kind=RETURN if kind == RETURN else "receipt",
        store=query.store,
        state=found.state,
        at=booked_at,
        document=document,
        returned=tuple(ReturnedLine(number=line, amount=amount) for line, amount in sorted(returned.items())),
        flags=flags_of(flags),
        cards=cards_of(answer) if answer is not None else (),
        sale=sale,
        sale_store=sale_store,
    )


class StandsFor(NamedTuple):
    """What a request key keeps."""

    key: str
    state: str
    operation_id: int | None
    answer: str | None


def stands_for(reading: Reading, store: str, key: str) -> StandsFor | None:
    """What a key of the store keeps; ``None``: it never came. Errors: ForeignStore."""
    store_id = reading.work.directory.store(store).id
    rows = reading.rows(KEY, store=store_id, key=key) if is_text(key) else []
    return StandsFor(*rows[0]) if rows else None


def read_hold(reading: Reading, query: ReadHold) -> HoldTold:
    """The hold placed under a key. Errors: ForeignStore, HoldNotFound."""
    found = stands_for(reading, query.store, query.key)
    placed = _decode_answer(found.answer) if found is not None and found.state == POSTED and found.answer else None
    rows = reading.rows(HOLD, hold=placed.hold_id) if isinstance(placed, HoldPlaced) else []
    if found is None or not rows:
        raise HoldNotFound("no hold was placed under this key")
    hold_id, owner, amount, captured, state, placed_at, until, ended_at, operation_id, unit, wallet_id = rows[0]
    is_late = state == "open" and until <= reading.now
    return HoldTold(
        hold_id=hold_id,
        key=found.key,
        store=query.store,
        account=wallet_id,
        unit=unit,
        scale=reading.scale(unit),
        owner=owner,
        amount=amount,
        captured=captured,
        state="expired" if is_late else state,
        placed_at=placed_at,
        until=until,
        ended_at=until if is_late else ended_at,
        operation_id=operation_id or 0,
    )
