"""Corrections that wanted a second person: what waits, and what became of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
from marshmallow import Schema

from gateway.api import cursors, pages
from gateway.api import fields as f
from gateway.api.operations import question_of
from gateway.api.section import Section, client, rest
from processing.commands import Adjust

section = Section("adjustments", "Corrections that wanted a second person")

APPROVE, ASK = "adjust:approve", "adjust:write"
STATES = ("pending", "approved", "rejected")
# Of what names the card.
SHOWN_DIGITS = 4


class AdjustmentsQuerySchema(Schema):
    store = f.store("code of the store")
    state = f.one_of(*STATES, describe="only of this state")
    cursor = f.cursor()
    limit = f.limit()


class AdjustmentSchema(f.Told):
    key = f.told("request key of the Adjust, for POST /adjustments/decide")
    card = f.told("the last four characters of what names the card")
    unit = f.told("code of the unit")
    scale = f.told_whole("digits after the point")
    amount = f.told_amount("negative takes away")
    reason = f.told("why, as it was told")
    asked_by = f.told("who asked for it")
    asked_at = f.told_at()
    state = f.told("pending, approved or rejected")
    decided_by = f.told("who decided; empty while it is pending")
    decided_at = f.told_at("null while it is pending", allow_none=True)
    operation_id = f.told_whole("of the correction; 0 without one")


class AdjustmentsSchema(f.Told):
    adjustments = f.told_some(AdjustmentSchema, "newest first")
    cursor = f.told("asks for the next page; empty on the last one")


@section.read("/adjustments", AdjustmentsSchema, APPROVE, AdjustmentsQuerySchema, or_scope=ASK)
def read_adjustments(asked: dict[str, Any]) -> Any:
    """Read a page of corrections that wanted a second person

    Of one store, newest first; those within the unit's limit are booked at once and are not here. The scope
    adjust:write does as well. Errors: ForeignStore.
    """
    client().check_store(asked["store"])
    store = rest().directory.store(asked["store"]).id
    question, limit = question_of("adjustments", asked), asked["limit"]
    behind = cursors.read_named(question, asked["cursor"])
    with rest().database.reading() as connection:
        rows = pages.adjustments(connection, store, asked["state"], behind, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    cursor = "" if last is None else cursors.write(question, last.asked_at, 0, last.key)
    return {"adjustments": [_told(row) for row in rows[:limit]], "cursor": cursor}


def _told(row: Any) -> SimpleNamespace:
    command = msgspec.json.decode(row.command, type=Adjust)
    return SimpleNamespace(
        key=row.key,
        card=f"***{command.card.value[-SHOWN_DIGITS:]}",
        unit=command.amount.unit,
        scale=rest().directory.unit(command.amount.unit).scale,
        amount=command.amount.amount,
        reason=command.reason,
        asked_by=row.asked_by,
        asked_at=row.asked_at,
        state=row.state,
        decided_by=row.decided_by or "",
        decided_at=row.decided_at,
        operation_id=row.operation_id or 0,
    )
