"""What a batch asks the database for: fixed statements, so that every prepared plan is kept (decision 0008).

Claim, resolve and lock come first, each with a snapshot of its own; what is read afterwards is fresh.
"""

from __future__ import annotations

from sqlalchemy import Integer, String, column

from processing import tables
from processing.database import Statement

_key, _card, _account, _lot, _entry = (
    tables.request_key.c,
    tables.card.c,
    tables.account.c,
    tables.lot.c,
    tables.entry.c,
)

_card_types = (
    _card.id,
    _card.wallet_id,
    _card.product,
    _card.number,
    _card.status,
    _card.issued_at,
    _card.activated_at,
    _card.expires_at,
    _card.pin,
    _card.pin_wrong,
    _card.pin_tries,
)

_CLAIM_COLUMNS = "store_id, key, same_as, state, content, stamp, operation_id, answer, void_stamp"
CLAIM = Statement(
    f"""
    WITH asked AS (SELECT (pair->>0)::bigint AS store_id, pair->>1 AS key FROM json_array_elements(:keys ::json) pair)
    INSERT INTO request_key (store_id, key)
    SELECT store_id, key FROM (
        SELECT store_id, key FROM asked UNION
        SELECT a.store_id, (SELECT r.same_as FROM request_key r WHERE r.store_id = a.store_id AND r.key = a.key)
        FROM asked a
    ) named WHERE key IS NOT NULL ORDER BY store_id, key COLLATE "C"
    ON CONFLICT (store_id, key) DO UPDATE SET key = excluded.key
    RETURNING {_CLAIM_COLUMNS}
    """,
    _key.store_id,
    _key.key,
    _key.same_as,
    _key.state,
    _key.content,
    _key.stamp,
    _key.operation_id,
    _key.answer,
    _key.void_stamp,
    sqlite=f"""
    INSERT INTO request_key (store_id, key)
    SELECT value->>0, value->>1 FROM json_each(:keys) WHERE true
    ON CONFLICT (store_id, key) DO UPDATE SET key = excluded.key
    RETURNING {_CLAIM_COLUMNS}
    """,
)
RESOLVE = Statement(
    """
    SELECT i.scheme, i.value, i.card_id, (SELECT c.wallet_id FROM card c WHERE c.id = i.card_id)
    FROM identifier i WHERE i.value IN_TEXTS(:values)
    """,
    tables.identifier.c.scheme,
    tables.identifier.c.value,
    tables.identifier.c.card_id,
    _card.wallet_id,
)
BOOKED = Statement(
    """
    SELECT operation_id, account_id, lot_id, amount FROM entry
    WHERE operation_id IN_IDS(:operations) ORDER BY operation_id, n
    """,
    _entry.operation_id,
    _entry.account_id,
    _entry.lot_id,
    _entry.amount,
)
EARLIER = Statement(
    "SELECT id, kind, reverses_id, programme_version_id, booked_at FROM operation WHERE id IN_IDS(:operations)",
    *(tables.operation.c[name] for name in ("id", "kind", "reverses_id", "programme_version_id", "booked_at")),
)
# The wallets behind accounts, and where those went that have become part of others.
FOLLOW = Statement(
    """
    SELECT id, merged_into FROM wallet
    WHERE id IN_IDS(:wallets)
       OR id IN_ROWS(SELECT a.wallet_id FROM account a WHERE a.id IN_IDS(:accounts) END_ROWS)
    """,
    tables.wallet.c.id,
    tables.wallet.c.merged_into,
)
LOCK_WALLETS = Statement(
    "SELECT id, wallet_id, unit, balance FROM account WHERE wallet_id IN_IDS(:wallets) ORDER BY id FOR_UPDATE",
    _account.id,
    _account.wallet_id,
    _account.unit,
    _account.balance,
)
# For work that can wait: what is busy just now is done the next time.
SKIP_WALLETS = Statement(
    """
    SELECT id, wallet_id, unit, balance FROM account WHERE wallet_id IN_IDS(:wallets) ORDER BY id
    FOR_UPDATE_SKIPPING
    """,
    _account.id,
    _account.wallet_id,
    _account.unit,
    _account.balance,
)
# Which wallets have become part of others.
MERGED = Statement(
    "SELECT id, merged_into FROM wallet WHERE id IN_IDS(:wallets) AND merged_into IS NOT NULL",
    tables.wallet.c.id,
    tables.wallet.c.merged_into,
)
_CARD_COLUMNS = """
    c.id, c.wallet_id, c.product, c.number, c.status, c.issued_at, c.activated_at, c.expires_at,
    c.pin, c.pin_wrong, c.pin_tries"""
# The clock comes with the first statement after the locks, and also when there is no card at all.
CARDS = Statement(
    f"SELECT clock_timestamp(), {_CARD_COLUMNS} FROM (SELECT 1) always LEFT JOIN card c ON c.id IN_IDS(:cards)",
    column("clock", Integer),
    *_card_types,
    sqlite=f"SELECT 0, {_CARD_COLUMNS} FROM (SELECT 1) always LEFT JOIN card c ON c.id IN_IDS(:cards)",
)
_LOT_COLUMNS = """
    l.id, l.account_id, l.issuer_id, l.price_millionths, l.remaining, l.is_open,
    l.available_from, l.expires_at, l.is_debt"""
_LOT_TYPES = (
    _lot.id,
    _lot.account_id,
    _lot.issuer_id,
    _lot.price_millionths,
    _lot.remaining,
    _lot.is_open,
    _lot.available_from,
    _lot.expires_at,
    _lot.is_debt,
)
RELEASE = Statement(
    """
    DELETE FROM request_key r USING json_array_elements(:keys ::json) pair
    WHERE r.store_id = (pair->>0)::bigint AND r.key = pair->>1
    """,
    sqlite="""
    DELETE FROM request_key WHERE (store_id, key) IN (SELECT value->>0, value->>1 FROM json_each(:keys))
    """,
)
TILLS = Statement(
    """
    INSERT INTO till (store_id, code, first_seen_at)
    SELECT (t->>0)::bigint, t->>1, (t->>2)::timestamptz FROM json_array_elements(:tills ::json) t
    ON CONFLICT DO NOTHING
    """,
    sqlite="""
    INSERT INTO till (store_id, code, first_seen_at)
    SELECT value->>0, value->>1, CAST(unixepoch(value->>2) AS INTEGER) * 1000000 FROM json_each(:tills) WHERE true
    ON CONFLICT DO NOTHING
    """,
)
# Lots and holds come in one order: a row that was written last lies elsewhere, and nothing may depend on that.
OPEN_LOTS = Statement(
    f"""
    SELECT {_LOT_COLUMNS} FROM lot l
    WHERE l.is_open AND l.account_id IN_ROWS(SELECT a.id FROM account a WHERE a.wallet_id IN_IDS(:wallets) END_ROWS)
    ORDER BY l.id
    """,
    *_LOT_TYPES,
)
NAMED_LOTS = Statement(f"SELECT {_LOT_COLUMNS} FROM lot l WHERE l.id IN_IDS(:lots) ORDER BY l.id", *_LOT_TYPES)
_HOLD_COLUMNS = """
    h.id, h.store_id, h.key, h.account_id, h.owner, h.amount, h.captured, h.state, h.placed_at, h.until,
    h.ended_at, h.operation_id, p.lot_id, p.amount"""
_HOLD_TYPES = (*tables.hold.c.values(), tables.hold_pin.c.lot_id, tables.hold_pin.c.amount)
_UNDONE = "(SELECT count(*) FROM operation v WHERE v.reverses_id = h.operation_id)"
OPEN_HOLDS = Statement(
    f"""
    SELECT 0, {_HOLD_COLUMNS} FROM hold h LEFT JOIN hold_pin p ON p.hold_id = h.id
    WHERE h.state = 'open'
      AND h.account_id IN_ROWS(SELECT a.id FROM account a WHERE a.wallet_id IN_IDS(:wallets) END_ROWS)
    ORDER BY h.id, p.lot_id
    """,
    column("undone", Integer),
    *_HOLD_TYPES,
)
NAMED_HOLDS = Statement(
    f"""
    SELECT {_UNDONE}, {_HOLD_COLUMNS} FROM hold h LEFT JOIN hold_pin p ON p.hold_id = h.id AND h.state = 'open'
    WHERE h.id IN_IDS(:holds) ORDER BY h.id, p.lot_id
    """,
    column("undone", Integer),
    *_HOLD_TYPES,
)
# Returns that stand, by the operation of their sale.
RETURNS = Statement(
    """
    SELECT r.base_id, r.operation_id, CAST(r.document AS TEXT) FROM receipt r
    WHERE r.base_id IN_IDS(:operations) AND NOT EXISTS (SELECT 1 FROM operation v WHERE v.reverses_id = r.operation_id)
    ORDER BY r.operation_id
    """,
    tables.receipt.c.base_id,
    tables.receipt.c.operation_id,
    column("document", String),
)
RECEIPTS = Statement(
    """
    SELECT operation_id, store_id, till, number, business_date, total_minor, CAST(document AS TEXT), base_id
    FROM receipt WHERE operation_id IN_IDS(:operations)
    """,
    *(tables.receipt.c[name] for name in ("operation_id", "store_id", "till", "number", "business_date")),
    tables.receipt.c.total_minor,
    column("document", String),
    tables.receipt.c.base_id,
)
# What expired after an instant, for facts that happened before; what was undone since is netted by who reads it.
# Also in wallets that have become part of these.
EXPIRED = Statement(
    f"""
    SELECT a.id, a.wallet_id, a.unit, w.merged_into, e.effective_at, e.amount, {_LOT_COLUMNS}
    FROM entry e JOIN lot l ON l.id = e.lot_id JOIN operation o ON o.id = e.operation_id
    JOIN account a ON a.id = e.account_id JOIN wallet w ON w.id = a.wallet_id
    WHERE o.kind IN ('expiry', 'expiry_undone') AND e.lot_id IS NOT NULL AND e.effective_at > :since
      AND e.account_id IN_ROWS(
          SELECT a.id FROM account a WHERE a.wallet_id IN_IDS(:wallets) UNION ALL
          SELECT a.id FROM wallet w JOIN account a ON a.wallet_id = w.id WHERE w.merged_into IN_IDS(:wallets)
      END_ROWS)
    ORDER BY e.effective_at, e.operation_id, e.n
    """,
    _account.id,
    _account.wallet_id,
    _account.unit,
    tables.wallet.c.merged_into,
    _entry.effective_at,
    _entry.amount,
    *_LOT_TYPES,
)
WALLET_ROWS = Statement(
    """
    SELECT id, merged_into, merging_into, created_at FROM wallet
    WHERE id IN_IDS(:wallets) OR merged_into IN_IDS(:wallets)
    """,
    *(tables.wallet.c[name] for name in ("id", "merged_into", "merging_into", "created_at")),
)
PENDING = Statement(
    """
    SELECT store_id, key, CAST(command AS TEXT), asked_by, asked_at, state, decided_by, decided_at, operation_id
    FROM pending_adjustment WHERE store_id = :store_id AND key = :key
    """,
    *(tables.pending_adjustment.c[name] for name in ("store_id", "key")),
    column("command", String),
    *(
        tables.pending_adjustment.c[name]
        for name in ("asked_by", "asked_at", "state", "decided_by", "decided_at", "operation_id")
    ),
)
ON_SALE = Statement(
    "SELECT count(*) FROM (SELECT 1 FROM card WHERE product = :product LIMIT :most) found", column("cards", Integer)
)
