"""Every administrative change, in one chain: a row's hash covers the row before it, so that none can be taken out.

Rows are only added. ``verify`` follows the chain; whoever keeps the last hash elsewhere can prove that nothing
before it was changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from processing import tables
from processing.database import Database, Statement, run, write

FIRST = "0" * 64
MAX_TARGET = 64

# What a row may tell as its action (docs/security.md).
ACTIONS = (
    "adjustment",
    "adjustment_approved",
    "adjustment_asked",
    "adjustment_rejected",
    "card_activated",
    "card_blocked",
    "card_closed",
    "card_issued",
    "card_replaced",
    "card_unblocked",
    "client_added",
    "client_revoked",
    "holder_erased",
    "holder_updated",
    "holders_merged",
    "load_queued",
    "merge_called_off",
    "message_edited",
    "messages_replayed",
    "messages_requeued",
    "messages_skipped",
    "operator_added",
    "operator_password",
    "operator_suspended",
    "personal_shown",
    "pin_set",
    "programme_activated",
    "queue_paused",
    "queue_resumed",
    "transfer",
    "voided",
)

# Whoever adds to the chain holds this row until the commit.
_LOCK = Statement(
    """
    INSERT INTO chore (name, done_until) VALUES ('audit', to_timestamp(0))
    ON CONFLICT (name) DO UPDATE SET name = excluded.name
    """,
    sqlite="INSERT INTO chore (name, done_until) VALUES ('audit', 0) ON CONFLICT (name) DO NOTHING",
)
_LAST = Statement("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1", tables.audit.c.id, tables.audit.c.hash)
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(slots=True, frozen=True)
class Audited:
    """Who did what to which thing, without personal data: cards by their last four digits."""

    actor: str
    action: str
    store_id: int
    target: str
    details: dict[str, Any] = field(default_factory=dict)


def digest(before: str, row: dict[str, Any]) -> str:
    """The hash of a row behind another one. ``row`` has the table's columns but ``hash``; ``details`` are bytes."""
    at: datetime = row["at"]
    told = [
        before,
        row["id"],
        at.astimezone(UTC).isoformat(timespec="microseconds"),
        row["actor"],
        row["action"],
        row["store_id"],
        row["target"],
        msgspec.json.decode(row["details"]),
    ]
    return hashlib.sha256(_encode(told)).hexdigest()


def append(connection: Connection, changes: Sequence[Audited], now: datetime) -> None:
    """Add the changes to the chain, in this transaction; the last thing that it locks."""
    run(connection, [(_LOCK, {})])
    (last,) = run(connection, [(_LAST, {})])
    audit_id, before = last[0] if last else (0, FIRST)
    rows = []
    for change in changes:
        audit_id += 1
        row = {
            "id": audit_id,
            "at": now,
            "actor": change.actor,
            "action": change.action,
            "store_id": change.store_id,
            "target": change.target[:MAX_TARGET],
            "details": msgspec.Raw(_encode(change.details)),
        }
        before = digest(before, row)
        rows.append({**row, "hash": before})
    write(connection, {tables.audit: rows}, frozenset())


def record(
    connection: Connection,
    database: Database,
    actor: str,
    action: str,
    store_id: int,
    target: str,
    details: dict[str, Any],
) -> None:
    """Add one change that is not a command's, such as an API key: in the caller's transaction."""
    append(connection, [Audited(actor, action, store_id, target, details)], database.now(connection))


def changes(connection: Connection, action: str, target: str) -> list[Audited]:
    """Who did this to that thing, and with which details; the oldest first."""
    table = tables.audit
    asked = select(table).where(table.c.action == action, table.c.target == target[:MAX_TARGET]).order_by(table.c.id)
    return [
        Audited(row.actor, row.action, row.store_id, row.target, msgspec.json.decode(row.details))
        for row in connection.execute(asked)
    ]


def broken(connection: Connection) -> Iterator[str]:
    """The rows whose hash does not follow from the row before them, each as a sentence."""
    before = FIRST
    for row in connection.execute(select(tables.audit).order_by(tables.audit.c.id)).mappings():
        if digest(before, {**row, "details": row["details"]}) != row["hash"]:
            yield f"audit row {row['id']}: its hash does not follow"
        before = row["hash"]
