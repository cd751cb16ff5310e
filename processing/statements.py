"""A wallet's statement: what each operation did to each of its units, newest first, in pages.

The history of wallets that have become part of this one belongs to it. The merge itself moved lots from one
account of the family to another and is no line: what an operation only moves within the wallet is left out.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from sqlalchemy import BigInteger, column

from processing import tables
from processing.balances import FAMILY
from processing.commands import MAX_PAGE, ReadStatement
from processing.database import Statement as Sql
from processing.database import array, to_json
from processing.errors import BadMessage
from processing.reading import Reading, is_id
from processing.results import Statement, StatementLine

MAX_CURSOR = 512
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
_END = datetime(9999, 12, 31, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

ACCOUNTS = Sql(
    f"SELECT a.id, a.unit FROM account a WHERE a.wallet_id {FAMILY} ORDER BY a.id",
    tables.account.c.id,
    tables.account.c.unit,
)
# All entries of an operation share their instant. Of one account, so that the index gives them in order.
PAGE = Sql(
    """
    SELECT e.effective_at, e.operation_id, CAST(sum(e.amount) AS BIGINT) AS amount
    FROM entry e
    WHERE e.account_id = :account AND e.lot_id IS NOT NULL AND e.effective_at >= :since AND e.effective_at <= :until
      AND (e.effective_at < :until OR e.operation_id < :before)
    GROUP BY e.effective_at, e.operation_id
    ORDER BY e.effective_at DESC, e.operation_id DESC LIMIT :most
    """,
    tables.entry.c.effective_at,
    tables.entry.c.operation_id,
    column("amount", BigInteger),
)
OPERATIONS = Sql(
    "SELECT o.id, o.kind, o.store_id, o.flags, o.booked_at FROM operation o WHERE o.id IN_IDS(:operations)",
    *(tables.operation.c[name] for name in ("id", "kind", "store_id", "flags", "booked_at")),
)
# Units in which an operation moved something between the wallet and others.
OUTSIDE = Sql(
    """
    SELECT DISTINCT e.operation_id, (SELECT a.unit FROM account a WHERE a.id = e.account_id) AS unit FROM entry e
    WHERE e.operation_id IN_IDS(:operations) AND NOT e.account_id IN_IDS(:accounts)
    """,
    tables.entry.c.operation_id,
    tables.account.c.unit,
)


class _Key(NamedTuple):
    """What lines are sorted by."""

    effective_at: datetime
    operation_id: int
    unit: str


@dataclass(frozen=True, slots=True)
class _Account:
    id: int
    unit: str


def read_statement(reading: Reading, query: ReadStatement) -> Statement:
    """One page of lines with ``since`` <= effective_at < ``until``.

    A page may hold fewer lines than asked for although there are more: the cursor tells. What is booked while
    somebody turns pages stands above the first one, or, when it is a late fact, where it happened.
    Errors: CardNotFound, UnitNotFound, BadMessage.
    """
    if not 1 <= query.limit <= MAX_PAGE:
        raise BadMessage(f"a page has 1 to {MAX_PAGE} lines", where="limit")
    if query.unit:
        reading.scale(query.unit)
    wallet_id = reading.card(query.refs).wallet_id
    digest = _digest(reading, query, wallet_id)
    after = _after(query.cursor, digest) if query.cursor else None
    rows = reading.rows(ACCOUNTS, wallet=wallet_id)
    accounts = [_Account(account_id, unit) for account_id, unit in rows if query.unit in ("", unit)]
    sums, more = _sums(reading, query, accounts, after)
    lines = _lines(reading, sums, accounts)
    cursor = _cursor(digest, min(sums)) if more else ""
    return Statement(account=wallet_id, lines=lines, cursor=cursor)


def _sums(
    reading: Reading, query: ReadStatement, accounts: Sequence[_Account], after: _Key | None
) -> tuple[dict[_Key, int], bool]:
    """The newest keys of the page with their net amounts, newest first, and whether others follow.

    Each account gives one more than the page needs: whatever is among the newest of all is there complete.
    """
    since = query.since or _BEGINNING
    pages = reading.each(
        *((PAGE, _bounds(query, account, after) | {"since": since, "most": query.limit + 1}) for account in accounts)
    )
    sums: dict[_Key, int] = {}
    for account, rows in zip(accounts, pages, strict=True):
        for effective_at, operation_id, amount in rows:
            key = _Key(effective_at, operation_id, account.unit)
            sums[key] = sums.get(key, 0) + amount
    newest = sorted(sums, reverse=True)
    return {key: sums[key] for key in newest[: query.limit]}, len(newest) > query.limit


def _bounds(query: ReadStatement, account: _Account, after: _Key | None) -> dict[str, int | datetime]:
    """What of an account comes after the cursor: earlier, or at the same instant a smaller operation."""
    until = query.until or _END
    if after is None or after.effective_at >= until:
        return {"account": account.id, "until": until, "before": 0}
    before = after.operation_id + (1 if account.unit < after.unit else 0)
    return {"account": account.id, "until": after.effective_at, "before": before}


def _lines(reading: Reading, sums: dict[_Key, int], accounts: Sequence[_Account]) -> tuple[StatementLine, ...]:
    inner = {key.operation_id for key, amount in sums.items() if amount == 0}
    crossing: set[tuple[int, str]] = set()
    if inner:
        family = array(sorted(account.id for account in accounts))
        rows = reading.rows(OUTSIDE, operations=array(sorted(inner)), accounts=family)
        crossing = {(row[0], row[1]) for row in rows}
    shown = {key: amount for key, amount in sums.items() if amount or (key.operation_id, key.unit) in crossing}
    if not shown:
        return ()
    operations = reading.rows(OPERATIONS, operations=array(sorted({key.operation_id for key in shown})))
    told = {row[0]: row[1:] for row in operations}
    stores = {store.id: store.code for store in reading.work.directory.stores.values()}
    return tuple(
        StatementLine(
            operation_id=key.operation_id,
            kind=kind,
            store=stores.get(store_id, ""),
            unit=key.unit,
            scale=reading.scale(key.unit),
            amount=amount,
            effective_at=key.effective_at,
            booked_at=booked_at,
            flags=tuple(flags.split(",")) if flags else (),
        )
        for key, amount in shown.items()
        for kind, store_id, flags, booked_at in [told[key.operation_id]]
    )


# Cursors ---------------------------------------------------------------------------------------------------


def _digest(reading: Reading, query: ReadStatement, wallet_id: int) -> str:
    """What a cursor belongs to: the same wallet and filter, whatever the page's size."""
    text = to_json([wallet_id, query.unit, query.since, query.until]).decode()
    return reading.work.vault.blind_index("cursor", text).hex()


def _cursor(digest: str, last: _Key) -> str:
    told = (digest, (last.effective_at - _EPOCH) // _MICROSECOND, last.operation_id, last.unit)
    return base64.urlsafe_b64encode(to_json(told)).decode().rstrip("=")


def _after(cursor: str, digest: str) -> _Key:
    """Where a cursor points. Errors: BadMessage for a broken one, or one of another question."""
    try:
        if len(cursor) > MAX_CURSOR:
            raise ValueError("too long")
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        owner, micros, operation_id, unit = msgspec.json.decode(text, type=tuple[str, int, int, str])
        key = _Key(_EPOCH + micros * _MICROSECOND, operation_id, unit)
    except (ValueError, OverflowError, binascii.Error, msgspec.MsgspecError):
        raise BadMessage("not a cursor", where="cursor") from None
    if owner != digest or not is_id(operation_id):
        raise BadMessage("the cursor belongs to another question", where="cursor")
    return key
