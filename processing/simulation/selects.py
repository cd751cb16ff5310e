"""What is asked of the books for a simulation: the operations of a period, their documents, and who was behind them."""

from __future__ import annotations

from sqlalchemy import BigInteger, String, column

from processing import tables
from processing.database import Statement

_operation, _lot, _card = tables.operation.c, tables.lot.c, tables.card.c

SALES, RETURNS = ("receipt", "restore"), ("return",)
# What else changes a wallet; expiry comes by itself.
OTHERS = (
    "adjustment",
    "accrual",
    "redemption",
    "capture",
    "transfer",
    "merge",
    "event",
    "void",
    "superseded",
)
_KINDS = ", ".join(f"'{kind}'" for kind in (*SALES, *RETURNS, *OTHERS))
# Those that stand. ``undone_at`` is when what they undo happened, ``sold_at`` of a restore the sale's time, ``base_at``
# the time of a return's sale.
PERIOD = Statement(
    f"""
    SELECT o.id, o.kind, o.booked_at, o.effective_at, t.effective_at AS undone_at, s.effective_at AS sold_at,
           b.effective_at AS base_at
    FROM operation o LEFT JOIN operation t ON t.id = o.reverses_id LEFT JOIN operation s ON s.id = t.reverses_id
    LEFT JOIN receipt r ON r.operation_id = o.id LEFT JOIN operation b ON b.id = r.base_id
    WHERE o.booked_at >= :after AND (o.booked_at > :after OR o.id > :last)
      AND o.effective_at >= :since AND o.effective_at < :until AND o.kind IN ({_KINDS})
      AND NOT EXISTS (SELECT 1 FROM operation v WHERE v.reverses_id = o.id)
    ORDER BY o.booked_at, o.id LIMIT :most
    """,
    _operation.id,
    _operation.kind,
    _operation.booked_at,
    *(column(name, tables.Instant) for name in ("effective_at", "undone_at", "sold_at", "base_at")),
)
DOCUMENTS = Statement(
    """
    SELECT o.id, o.store_id, CAST(o.explanation AS TEXT) AS explanation, CAST(r.document AS TEXT) AS document, r.base_id
    FROM operation o JOIN receipt r ON r.operation_id = o.id WHERE o.id IN_IDS(:operations)
    """,
    _operation.id,
    _operation.store_id,
    column("explanation", String),
    column("document", String),
    tables.receipt.c.base_id,
)
# The sale under which a return's lines stand today: itself, or what has restored it.
STANDING = Statement(
    """
    SELECT b.id, b.store_id, (SELECT v.id FROM operation v WHERE v.reverses_id = b.id) AS void_id,
           (SELECT x.id FROM operation v JOIN operation x ON x.reverses_id = v.id WHERE v.reverses_id = b.id) AS again
    FROM operation b WHERE b.id IN_IDS(:sales)
    """,
    _operation.id,
    _operation.store_id,
    column("void_id", BigInteger),
    column("again", BigInteger),
)
# Wallets that have become part of others have been a part of them from the begin.
ROOTS = Statement(
    "SELECT w.id, coalesce(w.merged_into, w.id) AS root FROM wallet w WHERE w.id IN_IDS(:wallets)",
    tables.wallet.c.id,
    column("root", BigInteger),
)
OWNERS = Statement(
    "SELECT a.id, a.wallet_id, a.unit FROM account a WHERE a.id IN_IDS(:accounts) AND a.wallet_id IS NOT NULL",
    *(tables.account.c[name] for name in ("id", "wallet_id", "unit")),
)
CARDS = Statement(
    "SELECT c.id, c.wallet_id, c.product, c.number FROM card c WHERE c.wallet_id IN_IDS(:wallets) ORDER BY c.id DESC",
    *(_card[name] for name in ("id", "wallet_id", "product", "number")),
)
_TERMS = "l.issuer_id, l.available_from, l.expires_at, l.price_millionths, l.is_debt"
_TERM_TYPES = tuple(_lot[name] for name in ("issuer_id", "available_from", "expires_at", "price_millionths", "is_debt"))
MOVES = Statement(
    f"""
    SELECT e.operation_id, coalesce(w.merged_into, w.id) AS root, CAST(sum(e.amount) AS BIGINT) AS amount, {_TERMS}
    FROM entry e JOIN account a ON a.id = e.account_id JOIN wallet w ON w.id = a.wallet_id JOIN lot l ON l.id = e.lot_id
    WHERE e.operation_id IN_IDS(:operations) AND a.unit = :unit
    GROUP BY e.operation_id, coalesce(w.merged_into, w.id), l.id, {_TERMS}
    ORDER BY e.operation_id, l.id
    """,
    tables.entry.c.operation_id,
    column("root", BigInteger),
    column("amount", BigInteger),
    *_TERM_TYPES,
)


def _held(moment: str) -> Statement:
    return Statement(
        f"""
        SELECT coalesce(w.merged_into, w.id) AS root, CAST(sum(e.amount) AS BIGINT) AS amount, {_TERMS}
        FROM wallet w JOIN account a ON a.wallet_id = w.id JOIN entry e ON e.account_id = a.id
        JOIN lot l ON l.id = e.lot_id
        WHERE (w.id IN_IDS(:wallets) OR w.merged_into IN_IDS(:wallets)) AND a.unit = :unit
          AND e.lot_id IS NOT NULL AND e.{moment} < :since
        GROUP BY coalesce(w.merged_into, w.id), l.id, {_TERMS} HAVING sum(e.amount) <> 0
        ORDER BY l.id
        """,
        column("root", BigInteger),
        column("amount", BigInteger),
        *_TERM_TYPES,
    )


# What lots held by what had happened until then, and by what the books knew then.
HELD, HELD_AS_BOOKED = _held("effective_at"), _held("booked_at")


# Every purpose has its key, or the database has never been served.
KEYS = Statement("SELECT DISTINCT purpose FROM data_key", tables.data_key.c.purpose)
