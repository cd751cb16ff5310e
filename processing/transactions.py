"""ReadTransactions: a wallet's movements in the order in which they were booked, for whoever keeps a mirror of it.

A wallet's operations are booked one after another: each batch locks its accounts, reads the database's clock and
commits before the next one can lock them. So the instants of booking never fall from one commit to the next, and those
of one batch appear together: behind the last transaction that somebody has seen nothing is ever filled in later.
Neither a counter nor a horizon is needed; operation ids alone would not do, for processes take them in blocks.
docs/decisions/0036-revisions.md
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Integer, column

from processing import tables
from processing.commands import MAX_PAGE, ReadTransactions
from processing.database import Row, Statement
from processing.errors import BadMessage
from processing.events import EPOCH, MICROSECOND, microseconds
from processing.reading import Reading
from processing.results import Transaction, Transactions

# As far as a history is read in pages; whoever wants more follows it by revision.
MAX_SKIP = 1_000_000
_BEGINNING, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)

_operation, _receipt = tables.operation.c, tables.receipt.c

# The accounts of the wallet itself: what a wallet that went into it had done before is its "merge".
MOVED = Statement(
    """
    SELECT t.operation_id, t.n, t.booked_at, o.kind, o.store_id, t.unit, t.amount, t.balance, o.effective_at, o.actor,
           (SELECT v.code FROM programme_version v WHERE v.id = o.programme_version_id), r.number, r.total_minor
    FROM (
        SELECT m.unit, m.operation_id, m.n, m.booked_at, m.amount, CAST(sum(m.amount) OVER (
                   PARTITION BY m.unit ORDER BY m.booked_at, m.operation_id) AS BIGINT) AS balance
        FROM (SELECT a.unit, e.operation_id, min(e.n) AS n, e.booked_at, CAST(sum(e.amount) AS BIGINT) AS amount
              FROM account a JOIN entry e ON e.account_id = a.id
              WHERE a.wallet_id = :wallet AND e.lot_id IS NOT NULL
              GROUP BY a.unit, e.operation_id, e.booked_at) m
    ) t JOIN operation o ON o.id = t.operation_id LEFT JOIN receipt r ON r.operation_id = t.operation_id
    WHERE t.booked_at >= :since AND t.booked_at <= :until AND (t.booked_at > :since
          OR t.operation_id > :operation OR (t.operation_id = :operation AND t.n > :n))
    ORDER BY t.booked_at, t.operation_id, t.n LIMIT :most OFFSET :skip
    """,
    _operation.id,
    tables.entry.c.n,
    _operation.booked_at,
    _operation.kind,
    _operation.store_id,
    tables.account.c.unit,
    column("amount", BigInteger),
    column("balance", BigInteger),
    _operation.effective_at,
    _operation.actor,
    tables.programme_version.c.code,
    _receipt.number,
    column("total_minor", Integer),
)


def read_transactions(reading: Reading, query: ReadTransactions) -> Transactions:
    """One page, in the order of booking. Errors: CardNotFound, BadMessage."""
    if not 1 <= query.limit <= MAX_PAGE or not 0 <= query.skip <= MAX_SKIP:
        raise BadMessage(f"a page has 1 to {MAX_PAGE} transactions", where="limit")
    wallet_id = reading.card(query.refs).wallet_id
    since, operation, n = query.since or _BEGINNING, 0, -1
    if query.after is not None and _instant(query.after[0]) >= since:
        since, operation, n = _instant(query.after[0]), *query.after[1:]
    rows = reading.rows(
        MOVED,
        wallet=wallet_id,
        since=since,
        operation=operation,
        n=n,
        until=query.until or _END,
        most=query.limit + 1,
        skip=query.skip,
    )
    told = tuple(_told(reading, row) for row in rows[: query.limit])
    return Transactions(account=wallet_id, transactions=told, more=len(rows) > query.limit)


def _instant(revision: int) -> datetime:
    """Errors: BadMessage for a revision that no clock will show."""
    if not 0 <= revision <= microseconds(_END):
        raise BadMessage("not a revision", where="after")
    return EPOCH + revision * MICROSECOND


def _told(reading: Reading, row: Row) -> Transaction:
    operation_id, n, booked_at, kind, store_id, unit, amount, balance, effective_at, actor, programme, *receipt = row
    number, total_minor = receipt
    return Transaction(
        operation_id=operation_id,
        entry=n,
        revision=microseconds(booked_at),
        kind=kind,
        store=reading.work.directory.store_of(store_id).code,
        unit=unit,
        scale=reading.scale(unit),
        amount=amount,
        balance=balance,
        effective_at=effective_at,
        booked_at=booked_at,
        programme=programme or "",
        number=number or "",
        total_minor=total_minor,
        actor=actor or "",
    )
