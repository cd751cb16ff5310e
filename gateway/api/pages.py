"""Pages of what the core has no query for: operations, the audit log, partners and stores.

Newest first by (booked_at, id), and the next page begins strictly behind the last row of the one before. Rows
that are committed meanwhile may be older than a page's end only by the length of a batch: history that is read
backwards misses none of what was there when it was first asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from processing import tables

Behind = tuple[datetime, int] | None
BehindName = tuple[datetime, str] | None


@dataclass(frozen=True)
class Span:
    """Which rows: of these stores (None: all), since then, before then."""

    stores: Collection[int] | None
    since: datetime | None = None
    until: datetime | None = None
    kind: str = ""


def operations(connection: Connection, span: Span, behind: Behind, limit: int) -> list[Any]:
    """The newest operations of the span behind a row, with the receipts that some of them have."""
    table = tables.operation.c
    wanted = [*_within(table.booked_at, table.store_id, span), *_behind(table.booked_at, table.id, behind)]
    if span.kind:
        wanted.append(table.kind == span.kind)
    columns = (
        table.id,
        table.kind,
        table.store_id,
        table.reverses_id,
        table.actor,
        table.flags,
        table.effective_at,
        table.booked_at,
    )
    receipt = tables.receipt.c
    told = select(*columns, receipt.number, receipt.till, receipt.business_date, receipt.total_minor)
    joined = told.outerjoin_from(tables.operation, tables.receipt, receipt.operation_id == table.id)
    newest = joined.where(*wanted).order_by(table.booked_at.desc(), table.id.desc()).limit(limit)
    return list(connection.execute(newest))


def receipts(connection: Connection, store: int, day: date, number: str, behind: Behind, limit: int) -> list[Any]:
    """The newest receipts and returns of a store's day, void or not, behind a row; of this number if there is one."""
    table, operation = tables.receipt.c, tables.operation
    wanted = [table.store_id == store, table.business_date == day]
    if number:
        wanted.append(table.number == number)
    columns = (table.operation_id, table.number, table.till, table.business_date, table.total_minor)
    # The day by itself, by its index: else a database may look for it along all operations.
    of_day = select(*columns).where(*wanted).cte("of_day").prefix_with("MATERIALIZED", dialect="postgresql")
    at, row_id = operation.c.booked_at, operation.c.id
    told = select(of_day, row_id, operation.c.kind, at)
    joined = told.join_from(of_day, operation, row_id == of_day.c.operation_id).where(*_behind(at, row_id, behind))
    return list(connection.execute(joined.order_by(at.desc(), row_id.desc()).limit(limit)))


def adjustments(connection: Connection, store: int, state: str, behind: BehindName, limit: int) -> list[Any]:
    """The corrections of a store that wanted a second person, newest first, behind a row."""
    table = tables.pending_adjustment.c
    wanted = [table.store_id == store]
    if state:
        wanted.append(table.state == state)
    if behind is not None:
        then, last = behind
        wanted += [table.asked_at <= then, or_(table.asked_at < then, table.key < last)]
    newest = select(tables.pending_adjustment).where(*wanted).order_by(table.asked_at.desc(), table.key.desc())
    return list(connection.execute(newest.limit(limit)))


def audit(connection: Connection, span: Span, behind: Behind, limit: int) -> list[Any]:
    """The newest rows of the audit log; its ids are in the order of its chain."""
    table = tables.audit.c
    wanted = _within(table.at, table.store_id, span)
    if behind is not None:
        wanted.append(table.id < behind[1])
    if span.kind:
        wanted.append(table.action == span.kind)
    newest = select(tables.audit).where(*wanted).order_by(table.id.desc()).limit(limit)
    return list(connection.execute(newest))


def _within(at: Any, store_id: Any, span: Span) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if span.stores is not None:
        wanted.append(store_id.in_(sorted(span.stores)))
    if span.since is not None:
        wanted.append(at >= span.since)
    if span.until is not None:
        wanted.append(at < span.until)
    return wanted


def _behind(at: Any, row_id: Any, behind: Behind) -> list[ColumnElement[bool]]:
    """Strictly older rows, written so that the index on the instant bounds them."""
    if behind is None:
        return []
    then, last = behind
    return [at <= then, or_(at < then, and_(at == then, row_id < last))]


def partners(connection: Connection) -> list[Any]:
    table = tables.partner.c
    return list(connection.execute(select(table.code, table.name).order_by(table.code)))


def stores(connection: Connection) -> list[Any]:
    """Every store with its partner's code."""
    store, partner = tables.store, tables.partner
    joined = store.join(partner, partner.c.id == store.c.partner_id)
    columns = (store.c.code, store.c.name, store.c.zone, partner.c.code.label("partner"))
    return list(connection.execute(select(*columns).select_from(joined).order_by(store.c.code)))
