"""Receipts: quote, post, void, restore, return, exchange, read."""

from __future__ import annotations

from typing import Any

import msgspec
from marshmallow import Schema, ValidationError, fields, validate

from adapters.contract import LINE_DISCOUNT
from gateway.api import cursors, pages
from gateway.api import fields as f
from gateway.api.operations import ExplainedSchema, TextToldSchema, next_cursor, question_of
from gateway.api.schemas import (
    CARD,
    AmountSchema,
    BookedSchema,
    CardMovementSchema,
    example,
    not_negative,
    positive,
    refs,
)
from gateway.api.section import CommandBody, Made, QueryBody, Section, ask_one, client, rest, rest_key
from processing import commands
from processing.commands import MAX_CARDS, MAX_KEY, MAX_LINES, ReadReceipt
from processing.results import HoldPlaced, Quoted, ReceiptPosted, ReceiptReturned, ReceiptTold, ReturnedLine
from processing.units import QUANTITY_SCALE, major

section = Section("receipts", "Purchases and returns")

MAX_TENDERS = 100
MAX_NOTES = 8
MAX_UNITS = 8


# Parts of a receipt ------------------------------------------------------------------------------------------


class LineSchema(Made):
    makes = commands.Line
    number = f.whole(1, 1_000_000, "of the line in the receipt", required=True, example=1)
    goods = f.text(required=True, describe="what the till calls the goods", example="espresso")
    name = f.text(255, 0, describe="what people call them", example="Эспрессо")
    category = f.text(255, 0, describe="by which rules look at them", example="coffee")
    brand = f.text(255, 0, describe="likewise", example="Illy")
    minimum_price_minor = f.money("that a piece has to cost by law", data_key="minimum_price", example="0.00")
    quantity_thousandths = f.pieces("pieces", data_key="quantity", load_default=1000)
    price_minor = f.money("of one piece", data_key="price")
    sum_minor = f.money("after discounts and before tenders", data_key="sum", required=True)
    discount_minor = f.money("that was taken off", data_key="discount", example="0.00")
    kind = f.choice("goods", "top_up", "gift_card", describe="the last two only load value and earn nothing")


class TenderSchema(Made):
    makes = commands.Tender
    code = f.name("what the till calls it", required=True, example="1")
    kind = f.choice("cash", "bank_card", "purse", "other", describe="how it was paid", required=True)
    amount_minor = f.money(
        "what was paid; change that was given back is negative", None, data_key="amount", required=True
    )
    unit = f.code("of the purse", example="BONUS")
    card = f.text(64, 0, describe="the card whose purse it is", example="5550001234")


class ReceiptSchema(Made):
    makes = commands.Receipt
    number = f.name("of the receipt", required=True, example="17")
    till = f.name("of the till", required=True, example="5")
    business_date = f.day("the store's own date", required=True, example="2026-05-04")
    shift = f.text(64, 0, describe="of the till", example="42")
    closed_at = f.instant("when it was closed", allow_none=True)
    total_minor = f.money("after discounts", data_key="total", example="1500.00")
    discount_minor = f.money("of all lines together", data_key="discount", example="0.00")
    cashier = f.text(64, 0, describe="who sold, as the till calls them", example="34")
    lines = f.some(fields.Nested(LineSchema), MAX_LINES, "none where the till sends no goods")
    tenders = f.some(fields.Nested(TenderSchema), MAX_TENDERS)


class CardUseSchema(Made):
    makes = commands.CardUse
    refs = refs()
    redeem = f.some(fields.Nested(AmountSchema, validate=positive), MAX_UNITS, "what it pays from its purses")
    earn = fields.List(
        fields.Nested(AmountSchema, validate=not_negative),
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=MAX_UNITS),
        metadata={"description": "what the till has computed; the programme decides if not told"},
    )
    spend_minor = f.money("the holder's own money, by which several cards share what is earned", data_key="spend")
    top_up = f.some(fields.Nested(AmountSchema, validate=positive), MAX_UNITS, "money that the guest loads on it")
    hold = f.text(MAX_KEY, 0, describe="request key of a hold of this store, which pays first", example="rest:hold-17")
    pin = f.pin()
    paid_minor = f.money("what points have paid of this purchase already, booked elsewhere", data_key="paid")


GOODS = [
    {"number": 1, "goods": "espresso", "quantity": "2", "price": "250.00", "sum": "500.00"},
    {"number": 2, "goods": "dinner", "quantity": "1", "price": "1000.00", "sum": "1000.00"},
]
RECEIPT = {"number": "17", "till": "5", "business_date": "2026-05-04", "total": "1500.00", "lines": GOODS}
USE = {"refs": [CARD], "redeem": [{"unit": "BONUS", "amount": "100.00"}]}


class _WithReceipt(CommandBody):
    receipt = f.nested(ReceiptSchema, required=True)
    cards = f.some(fields.Nested(CardUseSchema), MAX_CARDS)
    stamp = f.instant("the till's own time of this attempt", allow_none=True)
    supersede = f.switch("other content under the same key is a newer version")
    fact = f.switch("it has happened already and is recorded whatever the rules say")
    notes = f.some(f.name("a doubt that an operator should see", required=True), MAX_NOTES)


# Commands ----------------------------------------------------------------------------------------------------


class PostReceiptSchema(_WithReceipt):
    makes = commands.PostReceipt
    example = example(receipt=RECEIPT, cards=[USE])
    payment = f.switch("it only pays for a purchase that another receipt tells")


class FiscalLineSchema(f.Told):
    number = f.told_whole("of the line; 0: the receipt as a whole")
    points_minor = f.told_money("what points take off its price", data_key="points")


class FiscalTenderSchema(f.Told):
    of = f.told("points or gift_cards")
    way = f.told("advance (the offset of an advance) or tender")
    amount_minor = f.told_money("what is paid so", data_key="amount")


class FiscalSchema(f.Told):
    points = f.told("how points stand on the fiscal receipt: line_discount or tender")
    gift_cards = f.told("how gift cards do: advance or tender")
    lines = f.told_some(FiscalLineSchema, "with line_discount: the lines whose price points lower")
    tenders = f.told_some(FiscalTenderSchema, "forms of payment to print besides money")


def fiscal_of(told: ReceiptPosted | Quoted | HoldPlaced) -> dict[str, Any]:
    """What cards pay, as the fiscal receipt tells it: off the lines, or as a form of payment."""
    said = rest().settings.fiscal
    off = said.points == LINE_DISCOUNT
    points, money = sum(line.points_minor for line in told.paid), sum(line.card_money_minor for line in told.paid)
    tenders = [("points", said.points, 0 if off else points), ("gift_cards", said.gift_cards, money)]
    return {
        "points": said.points,
        "gift_cards": said.gift_cards,
        "lines": [line for line in told.paid if off and line.points_minor],
        "tenders": [{"of": of, "way": way, "amount_minor": amount} for of, way, amount in tenders if amount],
    }


class _BookedReceiptSchema(BookedSchema):
    cards = f.told_some(CardMovementSchema)
    flags = f.told_texts("what was unusual, for the operator")


class ReceiptPostedSchema(_BookedReceiptSchema):
    fiscal = f.Part(FiscalSchema, fiscal_of, "how the fiscal receipt tells what cards have paid")


class VoidReceiptSchema(CommandBody):
    makes = commands.VoidReceipt
    example = example(keys=["rest:sale-17"], reason="return")
    reason = f.choice("rollback", "return", describe="a failed attempt, or a cancelled purchase", required=True)
    stamp = f.instant("the till's own time", allow_none=True)
    supersede = f.switch("a version like others: of an older stamp than what is posted it changes nothing")


class RestoreReceiptSchema(CommandBody):
    makes = commands.RestoreReceipt
    example = example(keys=["rest:sale-17"])
    stamp = f.instant("the till's own time", allow_none=True)


class ReceiptVoidedSchema(BookedSchema):
    outcome = f.told("what became of it; see the description")
    cards = f.told_some(CardMovementSchema)


class ReceiptRestoredSchema(ReceiptVoidedSchema):
    pass


class ReturnLineSchema(Made):
    makes = commands.ReturnLine
    number = f.whole(0, 1_000_000, "of the line in the sale; 0: named by its goods", load_default=0, example=1)
    goods = f.text(255, 0, describe="what the till calls the goods", example="espresso")
    quantity_thousandths = f.pieces("pieces that come back", data_key="quantity", allow_none=True)
    sum_minor = f.money(
        "money that comes back, where the till counts only that",
        1,
        data_key="sum",
        load_default=None,
        allow_none=True,
    )


class ReturnReceiptSchema(_WithReceipt):
    makes = commands.ReturnReceipt
    example = example(
        receipt={"number": "18", "till": "5", "business_date": "2026-05-04", "total": "250.00"},
        sale="rest:sale-17",
        lines=[{"number": 1, "quantity": "1"}],
        can_deduct=True,
    )
    sale = f.text(MAX_KEY, 0, describe="request key of the sale", example="rest:sale-17")
    sale_operation = f.whole(1, f.MAX_ID, "its operation_id instead", load_default=None, allow_none=True, example=1_005)
    sale_store = f.code("where it was sold, if not in this store", example="garden")
    lines = f.some(fields.Nested(ReturnLineSchema), MAX_LINES, "all that is left of the sale where empty")
    can_deduct = f.switch("the till can keep money back for points that are spent already")


class ReturnedLineSchema(f.Told):
    number = f.told_whole("of the line in the sale; 0: the sale as a whole")
    quantity = f.told("pieces; null where only money is counted", allow_none=True)
    sum = f.told("money; null where pieces are counted", allow_none=True)


def returned_lines(told: ReceiptReturned | ReceiptTold) -> list[dict[str, Any]]:
    """Lines that came back, each in pieces or in money."""
    scale, in_money = f.READER.get().money_scale, _money_lines(told)
    lines = told.returned if isinstance(told, ReceiptTold) else told.lines
    return [_line(line, scale, line.number in in_money) for line in lines]


def _line(line: ReturnedLine, scale: int, is_money: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"number": line.number, "quantity": None, "sum": None}
    return (
        {**told, "sum": major(line.amount, scale)}
        if is_money
        else {**told, "quantity": major(line.amount, QUANTITY_SCALE)}
    )


def _money_lines(told: ReceiptReturned | ReceiptTold) -> frozenset[int]:
    """The numbers of lines that are counted in money: the sale as a whole, and what was sold without pieces."""
    # The lines of a return are numbered as those of its sale, which are not at hand.
    lines = receipt_of(told).lines if isinstance(told, ReceiptTold) and told.kind == "receipt" else ()
    return frozenset([0, *(line.number for line in lines if line.quantity_thousandths <= 0)])


def receipt_of(told: ReceiptTold) -> commands.Receipt:
    """The goods as the till told them."""
    return msgspec.convert(told.document["receipt"], commands.Receipt, strict=False)


class ReceiptReturnedSchema(_BookedReceiptSchema):
    lines = f.Worked(ReturnedLineSchema, returned_lines, "what came back of the sale")
    keep_back_minor = f.told_money(
        "what the till keeps of the refund for points that are spent already", data_key="keep_back"
    )
    sale = f.told("request key of the sale; empty without one")
    sale_store = f.told("where it was sold; empty without a sale")


class ExchangeReturnSchema(ReturnReceiptSchema):
    store = f.code("the exchange's own where it is not told", example="nevsky")


class ExchangeSaleSchema(PostReceiptSchema):
    store = f.code("the exchange's own where it is not told", example="nevsky")


class ExchangeSchema(CommandBody):
    makes = commands.Exchange
    example = example(
        returned={
            "receipt": {"number": "19", "till": "5", "business_date": "2026-05-04", "total": "250.00"},
            "sale": "rest:sale-17",
            "lines": [{"number": 1, "quantity": "1"}],
        },
        sold={"receipt": {"number": "20", "till": "5", "business_date": "2026-05-04", "total": "300.00"}},
    )
    returned = f.nested(ExchangeReturnSchema, "what comes back", required=True)
    sold = f.nested(ExchangeSaleSchema, "what is taken instead", required=True)

    def prepared(self, data: dict[str, Any]) -> dict[str, Any]:
        for name in ("returned", "sold"):
            part = data[name]
            if part.store not in ("", data["store"]):
                raise ValidationError({name: {"store": ["Must be the store of the exchange."]}})
            data[name] = msgspec.structs.replace(part, store=data["store"])
        return data


class ExchangedSchema(f.Told):
    returned = fields.Nested(ReceiptReturnedSchema, required=True)
    sold = fields.Nested(ReceiptPostedSchema, required=True)


# Queries -----------------------------------------------------------------------------------------------------


class QuoteSchema(QueryBody):
    makes = commands.Quote
    example = example(receipt=RECEIPT, cards=[{"refs": [CARD]}])
    store = f.store()
    receipt = f.nested(ReceiptSchema, required=True)
    cards = f.some(fields.Nested(CardUseSchema), MAX_CARDS)


class ExplainQuoteSchema(QueryBody):
    makes = commands.ExplainQuote
    example = example(receipt=RECEIPT, cards=[{"refs": [CARD]}])
    store = f.store()
    receipt = f.nested(ReceiptSchema, required=True)
    cards = f.some(fields.Nested(CardUseSchema), MAX_CARDS)


class QuotedLineSchema(f.Told):
    number = f.told_whole("of the line")
    discount_minor = f.told_money("its discount", data_key="discount")
    payable_minor = f.told_money("the most that points may pay of it", data_key="payable")
    earned = f.told_amount("what it would earn")
    unit = f.told("unit of what it would earn; empty for none")
    scale = f.told_whole("digits after the point")


class QuotedCardSchema(f.Told):
    card = f.told("the card's number")
    account = f.told_whole("the wallet's number")
    unit = f.told("unit of the card's programme")
    scale = f.told_whole("digits after the point")
    available = f.told_amount("what it can spend")
    payable = f.told_amount("the most that it may pay of this receipt")
    earned = f.told_amount("what it would get")
    usable = f.told("empty, or the code of the refusal that it would meet")
    tier = f.told("the holder's tier; empty for none")
    texts = f.told_some(TextToldSchema, "what is said to cashier, slip and holder; none for a card that is not usable")
    programme = f.told("code of the card's programme")


class QuotedSchema(f.Told):
    at = f.told_at()
    total_minor = f.told_money("of the receipt, after our discounts", data_key="total")
    discount_minor = f.told_money("what the rules take off", data_key="discount")
    lines = f.told_some(QuotedLineSchema)
    cards = f.told_some(QuotedCardSchema)
    fiscal = f.Part(FiscalSchema, fiscal_of, "how the fiscal receipt would tell what `redeem` of the cards pays")
    explanation = fields.Raw(required=True, metadata={"description": "why, one object per card; amounts as decided"})


class ReceiptToldSchema(f.Told):
    operation_id = f.told_whole()
    kind = f.told("receipt or return")
    store = f.told("code of the store")
    state = f.told("posted, rolled_back or returned")
    at = f.told_at("when it was booked")
    receipt = fields.Function(
        lambda told: ReceiptSchema().dump(receipt_of(told)),
        required=True,
        metadata={"allOf": [{"$ref": "#/components/schemas/Receipt"}], "description": "as it was posted"},
    )
    returned = f.Worked(
        ReturnedLineSchema, returned_lines, "what has come back of it; of a return what it brought back of its sale"
    )
    flags = f.told_texts("what was unusual, for the operator")
    cards = f.told_some(
        CardMovementSchema, "what it did to cards; of a return: redeemed was given back, earned was taken back"
    )
    sale = f.told("of a return: request key of its sale; empty without one, and once it is void")
    sale_store = f.told("where it was sold; empty without a sale")


class ReceiptsQuerySchema(Schema):
    store = f.store("code of the store")
    business_date = f.day("the store's own date", required=True, example="2026-05-04")
    number = f.name("only receipts of this number", example="17")
    cursor = f.cursor()
    limit = f.limit()


class ReceiptListedSchema(f.Told):
    operation_id = f.told_whole("GET /operations/{operation_id} tells more, also whether it was undone")
    kind = f.told("of the operation: receipt, return, or restore")
    number = f.told("of the receipt")
    till = f.told("of the receipt")
    business_date = f.told_day("the store's own date")
    total_minor = f.told_money("of the receipt", data_key="total")
    booked_at = f.told_at("when we learned it")


class ReceiptsSchema(f.Told):
    receipts = f.told_some(ReceiptListedSchema, "newest first")
    cursor = f.told("asks for the next page; empty on the last one")


class KeyQuerySchema(f.Told):
    """Which request key, of which store."""

    store = f.store("code of the store under whose keys it stands")
    key = f.key(required=True, describe="rest:<Idempotency-Key>, or a natural key", example="rest:sale-17")


READ, WRITE, VALUE = "receipts:read", "receipts:write", "value:write"


@section.read("/receipts", ReceiptToldSchema, READ, KeyQuerySchema)
def read_receipt(asked: dict[str, str]) -> Any:
    """Read a receipt

    The receipt that stands under a request key, and what has come back of it. Errors: ReceiptNotFound.
    """
    return ask_one(ReadReceipt(store=asked["store"], key=asked["key"]))


@section.read("/receipts/list", ReceiptsSchema, READ, ReceiptsQuerySchema)
def read_receipts(asked: dict[str, Any]) -> Any:
    """Read a page of receipts

    Those of a store's business date, returns and void ones as well, newest first. Errors: ForeignStore.
    """
    client().check_store(asked["store"])
    store = rest().directory.store(asked["store"]).id
    question, limit = question_of("receipts", {**asked, "business_date": str(asked["business_date"])}), asked["limit"]
    behind = cursors.read(question, asked["cursor"])
    with rest().database.reading() as connection:
        rows = pages.receipts(connection, store, asked["business_date"], asked["number"], behind, limit + 1)
    return {"receipts": rows[:limit], "cursor": next_cursor(question, rows, limit, "booked_at")}


def with_keys(command: commands.Command[Any]) -> commands.Command[Any]:
    """An exchange whose parts have keys of their own: where they tell none, the exchange's with a suffix."""
    assert isinstance(command, commands.Exchange)
    parts = {}
    for name in ("returned", "sold"):
        part = getattr(command, name)
        keys = part.keys or (suffixed(command.keys[0], name),)
        parts[name] = msgspec.structs.replace(part, keys=keys, actor=command.actor)
    return msgspec.structs.replace(command, **parts)


def within_its_rights(command: commands.Command[Any]) -> commands.Command[Any]:
    """A void, which reaches value that was moved without a receipt only for a client that may move such value."""
    return msgspec.structs.replace(command, receipts_only=not client().may(VALUE))


def suffixed(key: str, name: str) -> str:
    """``rest:swap-1:sold``; a key that is too long for it is known by its digest."""
    told = f"{key}:{name}"
    return told if len(told) <= MAX_KEY else rest_key(told + " " * MAX_KEY)


section.query("/quotes", QuoteSchema, QuotedSchema, READ, "Quote a receipt")
section.query("/quotes/explanation", ExplainQuoteSchema, ExplainedSchema, READ, "Explain a quote")
section.command("/receipts", PostReceiptSchema, ReceiptPostedSchema, WRITE, "Post a receipt", status=201)
section.command(
    "/receipts/void", VoidReceiptSchema, ReceiptVoidedSchema, WRITE, "Void a receipt", refine=within_its_rights
)
section.command("/receipts/restore", RestoreReceiptSchema, ReceiptRestoredSchema, WRITE, "Restore a voided receipt")
section.command("/receipts/return", ReturnReceiptSchema, ReceiptReturnedSchema, WRITE, "Return goods", status=201)
section.command(
    "/exchanges",
    ExchangeSchema,
    ExchangedSchema,
    WRITE,
    "Exchange goods: a return and a sale",
    status=201,
    refine=with_keys,
)
