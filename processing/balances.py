"""Balances and lots of a wallet: now from its lots and open holds, at any other instant from its entries.

What is held counts by the clock: a hold past its deadline sets nothing aside, although its end may not be
written yet. A lot that has expired is not available at all, so that what is held of it makes nothing smaller.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String, column

from processing import tables
from processing.commands import ReadBalances, ReadLots
from processing.database import Statement
from processing.reading import Reading
from processing.results import Balance, Balances, Lots, LotTold

# Of one wallet; a lot stands for a day of accruals, so that this is more than anybody collects.
MAX_LOTS = 10_000

_lot = tables.lot.c

_AVAILABLE = "(l.remaining < 0 OR (l.available_from <= :now AND (l.expires_at IS NULL OR l.expires_at > :now)))"

# Columns over ``account a``. Two sums in one text each, such as "120,30", because each column is a search of its own:
# ``lots`` what is in available lots and what in those that are available later; ``held`` what open holds pin of
# available lots, and of all. ``held`` is NULL without open holds, and costs one probe of their index then.
# Inner queries instead of joins: each finds its few rows by an index, on young tables too (docs/decisions/0008).
_OPEN_HOLDS = "FROM hold k WHERE k.account_id = a.id AND k.state = 'open' AND k.until > :now"
BALANCE = f"""
    a.unit, a.balance,
    (SELECT CAST(coalesce(sum(l.remaining) FILTER (WHERE {_AVAILABLE}), 0) AS VARCHAR) || ',' ||
            CAST(coalesce(sum(l.remaining) FILTER (WHERE l.remaining > 0 AND l.available_from > :now), 0) AS VARCHAR)
       FROM lot l WHERE l.account_id = a.id AND l.is_open) AS lots,
    CASE WHEN (SELECT 1 {_OPEN_HOLDS} LIMIT 1) = 1 THEN
        (SELECT CAST(coalesce(sum(
                    (SELECT p.amount FROM lot l WHERE l.id = p.lot_id AND l.is_open AND {_AVAILABLE})
                ), 0) AS VARCHAR) || ',' || CAST(coalesce(sum(p.amount), 0) AS VARCHAR)
           FROM hold_pin p WHERE p.hold_id IN_ROWS(SELECT k.id {_OPEN_HOLDS} END_ROWS))
    END AS held"""
BALANCE_TYPES = (
    tables.account.c.unit,
    tables.account.c.balance,
    column("lots", String),
    column("held", String),
)
NOW = Statement(f"SELECT {BALANCE} FROM account a WHERE a.wallet_id = :wallet ORDER BY a.unit", *BALANCE_TYPES)

# A wallet and those that have become part of it: their entries are its history.
FAMILY = """IN_ROWS(
    SELECT w.id FROM wallet w WHERE w.id = :wallet UNION ALL SELECT w.id FROM wallet w WHERE w.merged_into = :wallet
END_ROWS)"""
# What a lot held at an instant is the sum of its entries until then; what it holds later is known already.
_LOTS_AT = f"""
    SELECT (SELECT a.unit FROM account a WHERE a.id = e.account_id) AS unit, e.lot_id, sum(e.amount) AS remaining
    FROM entry e
    WHERE e.account_id IN_ROWS(SELECT a.id FROM account a WHERE a.wallet_id {FAMILY} END_ROWS)
      AND e.lot_id IS NOT NULL AND e.effective_at <= :at
    GROUP BY e.account_id, e.lot_id HAVING sum(e.amount) <> 0"""
_HELD_AT = """
    (SELECT coalesce(sum((SELECT p.amount FROM hold k WHERE k.id = p.hold_id AND k.placed_at <= :at AND k.until > :at
                              AND (k.ended_at IS NULL OR k.ended_at > :at))), 0)
       FROM hold_pin p WHERE p.lot_id = l.id)"""
_TOLD = (
    _lot.id,
    tables.account.c.unit,
    _lot.remaining,
    column("held", BigInteger),
    _lot.issuer_id,
    _lot.available_from,
    _lot.expires_at,
    _lot.is_debt,
)
_IN_ORDER = "ORDER BY l.expires_at IS NULL, l.expires_at, l.available_from, l.issuer_id, l.id LIMIT :most"
LOTS_AT = Statement(
    f"""
    SELECT l.id, x.unit, CAST(x.remaining AS BIGINT), CAST({_HELD_AT} AS BIGINT) AS held,
           l.issuer_id, l.available_from, l.expires_at, l.is_debt
    FROM ({_LOTS_AT}) x JOIN lot l ON l.id = x.lot_id {_IN_ORDER}
    """,
    *_TOLD,
)
LOTS_NOW = Statement(
    f"""
    SELECT l.id, (SELECT a.unit FROM account a WHERE a.id = l.account_id) AS unit, l.remaining,
           CAST((SELECT coalesce(sum((SELECT p.amount FROM hold_pin p WHERE p.hold_id = k.id AND p.lot_id = l.id)), 0)
                   FROM hold k WHERE k.account_id = l.account_id AND k.state = 'open' AND k.until > :now
           ) AS BIGINT) AS held,
           l.issuer_id, l.available_from, l.expires_at, l.is_debt
    FROM lot l
    WHERE l.is_open AND l.account_id IN_ROWS(SELECT a.id FROM account a WHERE a.wallet_id = :wallet END_ROWS)
    {_IN_ORDER}
    """,
    *_TOLD,
)
AT = Statement(
    f"""
    SELECT unit, CAST(sum(remaining) AS BIGINT) AS balance,
           CAST(sum(CASE WHEN remaining < 0 OR is_debt
                           OR (available_from <= :at AND (expires_at IS NULL OR expires_at > :at))
               THEN remaining - held ELSE 0 END) AS BIGINT) AS available,
           CAST(sum(CASE WHEN remaining > 0 AND available_from > :at AND NOT is_debt
               THEN remaining ELSE 0 END) AS BIGINT) AS pending,
           CAST(sum(held) AS BIGINT) AS held
    FROM (SELECT x.unit, x.remaining, l.available_from, l.expires_at, l.is_debt, {_HELD_AT} AS held
          FROM ({_LOTS_AT}) x JOIN lot l ON l.id = x.lot_id) told
    GROUP BY unit
    """,
    column("unit", String),
    column("balance", BigInteger),
    column("available", BigInteger),
    column("pending", BigInteger),
    column("held", BigInteger),
)
UNITS = Statement("SELECT a.unit FROM account a WHERE a.wallet_id = :wallet ORDER BY a.unit", tables.account.c.unit)


def balance_now(reading: Reading, unit: str, balance: int, lots: str, held: str | None) -> Balance:
    """One account's balance from the columns of ``BALANCE``."""
    unspent, pending = map(int, lots.split(","))
    held_of_available, held_of_all = (0, 0) if held is None else map(int, held.split(","))
    return Balance(
        unit=unit,
        scale=reading.scale(unit),
        balance=balance,
        available=unspent - held_of_available,
        pending=pending,
        held=held_of_all,
    )


def read_balances(reading: Reading, query: ReadBalances) -> Balances:
    """The wallet's balances at any instant, in all its units. Errors: CardNotFound."""
    wallet_id = reading.card(query.refs).wallet_id
    if query.as_of is None:
        rows = reading.rows(NOW, wallet=wallet_id, now=reading.now)
        told = tuple(balance_now(reading, *row) for row in rows)
    else:
        told = _balances_at(reading, wallet_id, query.as_of)
    return Balances(as_of=query.as_of or reading.now, account=wallet_id, balances=told)


def _balances_at(reading: Reading, wallet_id: int, at: datetime) -> tuple[Balance, ...]:
    units, rows = reading.each((UNITS, {"wallet": wallet_id}), (AT, {"wallet": wallet_id, "at": at}))
    sums = {unit: tuple(amounts) for unit, *amounts in rows}
    nothing = (0, 0, 0, 0)
    return tuple(
        Balance(unit=unit, scale=reading.scale(unit), balance=balance, available=free, pending=pending, held=held)
        for unit in sorted({row[0] for row in units} | sums.keys())
        for balance, free, pending, held in [sums.get(unit, nothing)]
    )


def read_lots(reading: Reading, query: ReadLots) -> Lots:
    """The lots that hold or owe something at an instant, soonest expiring first. Errors: CardNotFound."""
    wallet_id = reading.card(query.refs).wallet_id
    if query.as_of is None:
        rows = reading.rows(LOTS_NOW, wallet=wallet_id, now=reading.now, most=MAX_LOTS)
    else:
        rows = reading.rows(LOTS_AT, wallet=wallet_id, at=query.as_of, most=MAX_LOTS)
    partners = reading.work.directory.partners
    lots = tuple(
        LotTold(
            lot_id=lot_id,
            unit=unit,
            scale=reading.scale(unit),
            remaining=remaining,
            held=held,
            issuer=partners.get(issuer_id, ""),
            available_from=available_from,
            expires_at=expires_at,
            is_debt=is_debt,
        )
        for lot_id, unit, remaining, held, issuer_id, available_from, expires_at, is_debt in rows
    )
    return Lots(as_of=query.as_of or reading.now, account=wallet_id, lots=lots)
