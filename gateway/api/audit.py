"""The audit log: every administrative change, newest first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
from marshmallow import fields

from gateway.api import cursors, pages
from gateway.api import fields as f
from gateway.api.operations import SpanSchema, next_cursor, question_of, span_of, store_codes
from gateway.api.section import Section, rest
from gateway.mask import mask
from processing.audit import ACTIONS

section = Section("audit", "Administrative changes")


class AuditQuerySchema(SpanSchema):
    action = f.one_of(*ACTIONS, describe="only this action", example="card_blocked")


class AuditedSchema(f.Told):
    audit_id = f.told_whole("in the order of the chain")
    at = f.told_at()
    actor = f.told("who did it")
    action = f.told("what was done")
    store = f.told("code of the store; empty for the whole chain")
    target = f.told("what it was done to")
    details = fields.Raw(required=True, metadata={"description": "what else was recorded"})
    hash = f.told("covers this row and the one before it")


class AuditSchema(f.Told):
    changes = f.told_some(AuditedSchema, "newest first")
    cursor = f.told("asks for the next page; empty on the last one")


@section.read("/audit", AuditSchema, "audit:read", AuditQuerySchema)
def read_audit(asked: dict[str, Any]) -> Any:
    """Read a page of the audit log

    Newest first. Phones, cards and e-mails are masked without the scope personal:read.
    """
    question, limit = question_of("audit", asked), asked["limit"]
    behind = cursors.read(question, asked["cursor"])
    with rest().database.reading() as connection:
        rows = pages.audit(connection, span_of(asked, asked["action"]), behind, limit + 1)
    codes = store_codes()
    told = [_told(row, codes) for row in rows[:limit]]
    return {"changes": told, "cursor": next_cursor(question, rows, limit, "at")}


def _told(row: Any, codes: dict[int, str]) -> SimpleNamespace:
    return SimpleNamespace(
        audit_id=row.id,
        at=row.at,
        actor=row.actor,
        action=row.action,
        store=codes.get(row.store_id, ""),
        target=shown(row.target),
        details=shown(msgspec.json.decode(row.details)),
        hash=row.hash,
    )


def shown(value: Any) -> Any:
    """The value as the client may see it: texts masked, at any depth."""
    if f.READER.get().sees_personal:
        return value
    if isinstance(value, dict):
        return {key: shown(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shown(inner) for inner in value]
    return mask(value.encode(), frozenset()) if isinstance(value, str) else value
