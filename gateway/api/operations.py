"""Operations of the books: a page of them, one with its entries, and why it was decided so."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

from marshmallow import Schema, fields

from gateway.api import cursors, pages
from gateway.api import fields as f
from gateway.api.section import Section, answer_of, client, rest
from processing.commands import ExplainOperation, ReadOperation

section = Section("operations", "What was booked")

# As in docs/books.md.
KINDS = (
    "receipt",
    "return",
    "void",
    "superseded",
    "restore",
    "capture",
    "redemption",
    "accrual",
    "transfer",
    "merge",
    "gift_sale",
    "top_up",
    "pay_out",
    "adjustment",
    "expiry",
    "expiry_undone",
    "event",
)
OPERATION = f"<int(max={f.MAX_ID}):operation_id>"


class SpanSchema(Schema):
    store = f.store("only of this store", required=False)
    since = f.instant("only what was booked then or later")
    until = f.instant("only what was booked before")
    cursor = f.cursor()
    limit = f.limit()


class OperationsQuerySchema(SpanSchema):
    kind = f.one_of(*KINDS, describe="only of this kind", example="receipt")


class OperationSchema(f.Told):
    operation_id = f.told_whole()
    kind = f.told("receipt, void, return, top_up, adjustment, capture, expiry ...")
    store = f.told("code of the store")
    actor = f.told("who asked for it; empty for tills and workers")
    reverses_id = f.told_whole("the operation that it undoes; 0 for none")
    effective_at = f.told_at("when it happened")
    booked_at = f.told_at("when we learned it")
    flags = f.told_texts("what was unusual")
    number = f.told("of its receipt; empty without one")
    till = f.told("of its receipt; empty without one")
    business_date = f.told_day("of its receipt; null without one", allow_none=True)
    total_minor = f.told_money("of its receipt; null without one", data_key="total", allow_none=True)


class OperationsSchema(f.Told):
    operations = f.told_some(OperationSchema, "newest first")
    cursor = f.told("asks for the next page; empty on the last one")


class EntrySchema(f.Told):
    account = f.told_whole("the wallet's number; 0 for a partner's account")
    partner = f.told("code of the partner; empty for a wallet's account")
    kind = f.told("wallet, issued, redeemed, expired, adjusted, cash or suspense")
    unit = f.told("code of the unit")
    scale = f.told_whole("digits after the point")
    amount = f.told_amount("the entries of a unit sum to zero")
    lot_id = f.told_whole("null for a partner's account", allow_none=True)


class OperationToldSchema(OperationSchema):
    entries = f.told_some(EntrySchema)
    explanation = fields.Raw(
        required=True,
        allow_none=True,
        metadata={"description": "the rules that fired and the facts they saw, as stored: amounts in minor units"},
    )
    programme = f.told("code of the programme that decided it; empty for none")
    programme_version = f.told_whole("and its version; 0 for none")
    reversed_by = f.told_whole("the operation that undid it; 0 for none")


class RuleExplainedSchema(f.Told):
    rule = f.told("its name in the programme")
    gives = f.told("discount or points")
    amount = f.told_amount("what it gave; of a discount in money")
    scale = f.told_whole("digits after the point")
    base_minor = f.told_money("of how much money", data_key="base")
    why = f.told("fired, or what kept it: docs/programmes.md lists the codes")
    why_ru = f.told("the same in Russian")
    why_en = f.told("and in English")
    ru = f.told("the rule's own text in Russian; empty for none")
    en = f.told("and in English")


class TextToldSchema(f.Told):
    audience = f.told("cashier, slip or holder")
    ru = f.told("in Russian, lines apart by line feeds")
    en = f.told("in English")


class CardExplainedSchema(f.Told):
    card = f.told("the last digits of its number")
    programme = f.told("code of its programme")
    programme_version = f.told_whole("and the version that decided")
    unit = f.told("unit of its points")
    scale = f.told_whole("digits after the point")
    earned = f.told_amount("what it got")
    decided = f.told("empty, or who decided instead of the rules: till_computed, or why the card could not be used")
    rules = f.told_some(RuleExplainedSchema, "every rule of the programme, in the order of its file")
    texts = f.told_some(TextToldSchema, "the same in words, for each who reads it")
    facts = fields.Raw(
        required=True, metadata={"description": "what the rules saw of the wallet, as stored: amounts in minor units"}
    )


class ExplainedSchema(f.Told):
    operation_id = f.told_whole("0 for a quote")
    kind = f.told("as in the operation; quote for a quote")
    store = f.told("code of the store")
    cards = f.told_some(CardExplainedSchema, "none where no programme decided")


READ = "accounts:read"


def span_of(asked: dict[str, Any], kind: str = "") -> pages.Span:
    """Which rows a client asks for, and may see. Errors: Forbidden, ForeignStore."""
    directory, own = rest().directory, client().stores
    stores: set[int] | None
    if asked["store"]:
        client().check_store(asked["store"])
        stores = {directory.store(asked["store"]).id}
    else:
        stores = None if own is None else {directory.stores[code].id for code in own if code in directory.stores}
    return pages.Span(stores, asked["since"], asked["until"], kind)


def question_of(name: str, asked: dict[str, Any]) -> list[Any]:
    """What a cursor belongs to: everything but the page itself."""
    return [name, *([key, asked[key]] for key in sorted(asked) if key not in ("cursor", "limit"))]


def store_codes() -> dict[int, str]:
    return {store.id: store.code for store in rest().directory.stores.values()}


def next_cursor(question: Any, rows: list[Any], limit: int, at: str) -> str:
    """Of the page behind these rows; empty where there is none. One row more than the page was read."""
    if len(rows) <= limit:
        return ""
    last = rows[limit - 1]
    booked_at: datetime = getattr(last, at)
    return cursors.write(question, booked_at, last.id)


@section.read("/operations", OperationsSchema, READ, OperationsQuerySchema)
def read_operations(asked: dict[str, Any]) -> Any:
    """Read a page of operations

    Newest first by (booked_at, id), committed ones only.
    """
    question, limit = question_of("operations", asked), asked["limit"]
    behind = cursors.read(question, asked["cursor"])
    with rest().database.reading() as connection:
        rows = pages.operations(connection, span_of(asked, asked["kind"]), behind, limit + 1)
    codes = store_codes()
    told = [_told(row, codes) for row in rows[:limit]]
    return {"operations": told, "cursor": next_cursor(question, rows, limit, "booked_at")}


def _told(row: Any, codes: dict[int, str]) -> SimpleNamespace:
    return SimpleNamespace(
        operation_id=row.id,
        kind=row.kind,
        store=codes.get(row.store_id, ""),
        actor=row.actor or "",
        reverses_id=row.reverses_id or 0,
        effective_at=row.effective_at,
        booked_at=row.booked_at,
        flags=row.flags.split(",") if row.flags else [],
        number=row.number or "",
        till=row.till or "",
        business_date=row.business_date,
        total_minor=row.total_minor,
    )


def _one(operation_id: int) -> Any:
    """Errors: OperationNotFound; Forbidden for one of another store."""
    (outcome,) = rest().ask([ReadOperation(operation_id=operation_id)])
    operation: Any = answer_of(outcome)
    client().check_store(operation.store)
    return operation


@section.read(f"/operations/{OPERATION}", OperationToldSchema, READ)
def read_operation(operation_id: int) -> Any:
    """Read an operation

    With its entries, and what it reverses or what reversed it. Errors: OperationNotFound.
    """
    return _one(operation_id)


@section.read(f"/operations/{OPERATION}/explanation", ExplainedSchema, READ)
def read_explanation(operation_id: int) -> Any:
    """Read an operation's explanation

    Every rule of the programmes that decided it: what it gave, or why not. Errors: OperationNotFound.
    """
    _one(operation_id)
    (outcome,) = rest().ask([ExplainOperation(operation_id=operation_id)])
    return answer_of(outcome)
