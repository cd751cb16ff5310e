"""Pages of what the core has no query for: operations, the audit log, partners and stores.

Newest first by (booked_at, id), and the next page begins strictly behind the last row of the one before. Rows
that are committed meanwhile may be older than a page's end only by the length of a batch: history that is read
backwards misses none of what was there when it was first asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from processing import tables

Behind = tuple[datetime, int] | None


@dataclass(frozen=True)
class Span:
    """Which rows: of these stores (None: all), since then, before then."""

    stores: Collection[int] | None
    since: datetime | None = None
    until: datetime | None = None
    kind: str = ""


def operations(connection: Connection, span: Span, behind: Behind, limit: int) -> list[Any]:
    """The newest operations of the span behind a row."""
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
    newest = select(*columns).where(*wanted).order_by(table.booked_at.desc(), table.id.desc()).limit(limit)
    return list(connection.execute(newest))


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
