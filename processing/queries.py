"""Reads of committed state, without locks: the questions that arrive together are answered by one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import BigInteger, Connection, String, column

from processing import tables
from processing.cards import why_unusable
from processing.commands import AnyQuery, Identify, ReadBalances, Ref
from processing.database import Row, Statement, array, run
from processing.errors import CardNotFound, Failed, LoyaltyError
from processing.holders import read_field
from processing.ledger import Work
from processing.programme import payable
from processing.results import Balance, Balances, Identified, Result
from processing.secrets import SecretsError
from processing.state import canonical

log = structlog.get_logger()

_AVAILABLE = "(l.remaining < 0 OR (l.available_from <= :now AND (l.expires_at IS NULL OR l.expires_at > :now)))"
FACES = Statement(
    f"""
    SELECT i.scheme, i.value, c.number, c.status, c.product, c.expires_at, c.wallet_id,
           h.id, p.name, p.wrapped_key, a.unit, a.balance,
           (SELECT CAST(coalesce(sum(l.remaining), 0) AS BIGINT) FROM lot l
             WHERE l.account_id = a.id AND l.is_open AND {_AVAILABLE}) AS available,
           (SELECT CAST(coalesce(sum(l.remaining), 0) AS BIGINT) FROM lot l
             WHERE l.account_id = a.id AND l.is_open AND l.remaining > 0 AND l.available_from > :now) AS pending
    FROM identifier i
    JOIN card c ON c.id = i.card_id
    JOIN account a ON a.wallet_id = c.wallet_id
    LEFT JOIN holder h ON h.wallet_id = c.wallet_id
    LEFT JOIN person p ON p.holder_id = h.id
    WHERE i.value IN_TEXTS(:values)
    ORDER BY a.id
    """,
    tables.identifier.c.scheme,
    tables.identifier.c.value,
    tables.card.c.number,
    tables.card.c.status,
    tables.card.c.product,
    tables.card.c.expires_at,
    tables.card.c.wallet_id,
    tables.holder.c.id,
    tables.person.c.name,
    tables.person.c.wrapped_key,
    tables.account.c.unit,
    tables.account.c.balance,
    column("available", BigInteger),
    column("pending", BigInteger),
)
# What a lot held at an instant is the sum of its entries until then; what it holds later is known already.
AS_OF = Statement(
    """
    SELECT unit, CAST(sum(held) AS BIGINT) AS balance,
           CAST(sum(CASE WHEN held < 0 OR (available_from <= :at AND (expires_at IS NULL OR expires_at > :at))
               THEN held ELSE 0 END) AS BIGINT) AS available,
           CAST(sum(CASE WHEN held > 0 AND available_from > :at THEN held ELSE 0 END) AS BIGINT) AS pending
    FROM (SELECT a.unit, l.available_from, l.expires_at, sum(e.amount) AS held
          FROM account a
          LEFT JOIN entry e ON e.account_id = a.id AND e.lot_id IS NOT NULL AND e.effective_at <= :at
          LEFT JOIN lot l ON l.id = e.lot_id
          WHERE a.wallet_id = :wallet GROUP BY a.unit, l.id, l.available_from, l.expires_at) held_by_lot
    GROUP BY unit ORDER BY unit
    """,
    column("unit", String),
    column("balance", BigInteger),
    column("available", BigInteger),
    column("pending", BigInteger),
)
WALLET_OF = Statement(
    """
    SELECT i.scheme, i.value, c.wallet_id
    FROM identifier i JOIN card c ON c.id = i.card_id WHERE i.value IN_TEXTS(:values)
    """
)


def answer(connection: Connection, work: Work, queries: Sequence[AnyQuery]) -> list[Result | LoyaltyError]:
    """The outcome of each query, in order; all the cards to identify are read together."""
    now = work.database.clock(work.database.host_clock())
    faces = _faces(connection, work, [query for query in queries if isinstance(query, Identify)], now)
    outcomes: list[Result | LoyaltyError] = []
    for query in queries:
        try:
            if isinstance(query, Identify):
                work.directory.store(query.store)
                outcomes.append(_identified(work, query, faces, now))
            else:
                outcomes.append(_balances(connection, work, query, now))
        except LoyaltyError as error:
            outcomes.append(error)
        except SecretsError as error:
            # One damaged row fails its own question only.
            log.error("query_failed", reason=str(error))
            outcomes.append(Failed("internal error"))
    return outcomes


def _faces(connection: Connection, work: Work, queries: Sequence[Identify], now: datetime) -> dict[Ref, list[Row]]:
    """The rows of every card asked for, by the name it was found under."""
    values = sorted({canonical(ref).value for query in queries for ref in query.refs})
    found: dict[Ref, list[Row]] = {}
    if values:
        (rows,) = run(connection, [(FACES, {"values": array(values), "now": work.database.instant(now)})])
        for row in rows:
            found.setdefault(Ref(row[0], row[1]), []).append(row)
    return found


def _identified(work: Work, query: Identify, faces: dict[Ref, list[Row]], now: datetime) -> Identified:
    rows = next((faces[canonical(ref)] for ref in query.refs if canonical(ref) in faces), None)
    if rows is None:
        raise CardNotFound("no such card", scheme=query.refs[0].scheme if query.refs else "")
    _, _, number, status, product, expires_at, wallet_id, holder_id, name, wrapped_key, *_ = rows[0]
    balances = tuple(_balance(work, row[10], row[11], row[12], row[13]) for row in rows)
    programme = work.directory.programme_of(product).programme
    refusal = why_unusable(status, expires_at, now)
    return Identified(
        number=number,
        account=wallet_id,
        holder_id=holder_id or 0,
        holder_name=read_field(work.vault, holder_id, wrapped_key, "name", name) if name is not None else "",
        status=status,
        usable=refusal.code if refusal else "",
        product=product,
        balances=balances,
        payable=tuple(
            (balance.unit, _payable(balance, programme.unit, payable(programme, query.order_minor)))
            if query.order_minor is not None
            else (balance.unit, max(balance.available, 0))
            for balance in balances
        ),
        discount=programme.discount,
        bonus=programme.bonus,
        expires_at=expires_at,
    )


def _payable(balance: Balance, unit: str, limit: int) -> int:
    """What of a balance an order may be paid with; the limit is the programme's unit's only."""
    free = max(balance.available, 0)
    return min(free, limit) if balance.unit == unit else free


def _balances(connection: Connection, work: Work, query: ReadBalances, now: datetime) -> Balances:
    """The wallet's balances at any instant. Errors: CardNotFound."""
    names = [canonical(ref) for ref in query.refs]
    (rows,) = run(connection, [(WALLET_OF, {"values": array([ref.value for ref in names])})])
    wallets: dict[Ref, int] = {Ref(row[0], row[1]): row[2] for row in rows}
    wallet_id = next((wallets[ref] for ref in names if ref in wallets), None)
    if wallet_id is None:
        raise CardNotFound("no such card", scheme=names[0].scheme if names else "")
    at = query.as_of or now
    (found,) = run(connection, [(AS_OF, {"at": work.database.instant(at), "wallet": wallet_id})])
    return Balances(
        as_of=at,
        account=wallet_id,
        balances=tuple(
            _balance(work, unit, balance or 0, free or 0, later or 0) for unit, balance, free, later in found
        ),
    )


def _balance(work: Work, unit: str, balance: int, free: int, later: int) -> Balance:
    scale = work.directory.unit(unit).scale
    return Balance(unit=unit, scale=scale, balance=balance, available=free, pending=later)
