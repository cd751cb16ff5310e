"""Holds: set value aside, take it, give it up, look at it."""

from __future__ import annotations

from typing import Any

import msgspec
from marshmallow import ValidationError, fields

from gateway.api import fields as f
from gateway.api.amounts import TOLD_PATTERN, minor
from gateway.api.receipts import FiscalSchema, KeyQuerySchema, ReceiptSchema, fiscal_of
from gateway.api.schemas import FlaggedSchema, UnitBody, card_example, example
from gateway.api.section import CommandBody, Section, ask_one
from gateway.errors import unfit
from processing import commands
from processing.commands import DEFAULT_HOLD_SECONDS, MAX_HOLD_SECONDS, MAX_KEY, Command, ReadHold
from processing.units import major

section = Section("holds", "Value set aside until a deadline")


class PlaceHoldSchema(UnitBody):
    makes = commands.PlaceHold
    example = card_example(unit="BONUS", amount="100.00", owner="order-17")
    seconds = f.whole(1, MAX_HOLD_SECONDS, "how long it lasts", load_default=DEFAULT_HOLD_SECONDS)
    owner = f.text(64, 0, describe="who holds; what it held on this account before is released", example="order-17")
    order_minor = f.money(
        "total of the order: no more than points may pay of it", data_key="order", load_default=None, allow_none=True
    )
    receipt = f.nested(ReceiptSchema, "the order with its goods: the same, by line", allow_none=True)
    paid_minor = f.money("what points have paid of the order before: so much less they may pay now", data_key="paid")
    supersede = f.switch("the key names all that is held for one order: other content replaces it")
    pays = f.text(MAX_KEY, 0, describe="request key of the receipt that it is to pay: not an attempt that was voided")
    stamp = f.instant("the till's own time of that attempt", allow_none=True)


class HoldPlacedSchema(f.Told):
    hold_id = f.told_whole()
    card = f.told("the card's number")
    card_id = f.told_whole()
    account = f.told_whole("the wallet's number")
    unit = f.told("code of the unit")
    scale = f.told_whole("digits after the point")
    amount = f.told_amount("what is held")
    available = f.told_amount("what is left to others")
    at = f.told_at()
    until = f.told_at("when it ends by itself")
    fiscal = f.Part(FiscalSchema, fiscal_of, "how the fiscal receipt would tell what the hold pays of `receipt`")


def hold_key() -> f.Text:
    return f.text(MAX_KEY, required=True, describe="request key of the PlaceHold in this store", example="rest:hold-17")


class CaptureHoldSchema(CommandBody):
    makes = commands.CaptureHold
    example = example(hold="rest:hold-17", amount="60.00")
    hold = hold_key()
    amount = f.amount("in the hold's unit; all of it where it is not told", example="60.00")
    fact = f.switch("it has happened already: a shortage becomes debt")


class HoldCapturedSchema(FlaggedSchema):
    released = fields.Function(
        lambda told: major(told.released, told.card.scale),
        required=True,
        metadata={"type": "string", "pattern": TOLD_PATTERN, "description": "what the hold gave back"},
    )


class ReleaseHoldSchema(CommandBody):
    makes = commands.ReleaseHold
    example = example(hold="rest:hold-17")
    hold = hold_key()


class HoldReleasedSchema(f.Told):
    outcome = f.told("released; nothing (it had ended already); orphan (it was never seen)")
    at = f.told_at()
    unit = f.told("code of the unit; empty where nothing was released")
    amount = f.told_amount("what was released")


class HoldToldSchema(f.Told):
    hold_id = f.told_whole()
    key = f.told("the request key that names it")
    store = f.told("code of the store")
    account = f.told_whole("the wallet's number")
    unit = f.told("code of the unit")
    scale = f.told_whole("digits after the point")
    owner = f.told("who holds; empty for nobody")
    amount = f.told_amount("what was held")
    captured = f.told_amount("what was taken of it")
    state = f.told("open, captured, released or expired")
    placed_at = f.told_at()
    until = f.told_at()
    ended_at = f.told_at(allow_none=True)
    operation_id = f.told_whole("of its capture; 0 for none")


READ, WRITE = "holds:read", "holds:write"


@section.read("/holds", HoldToldSchema, READ, KeyQuerySchema)
def read_hold(asked: dict[str, str]) -> Any:
    """Read a hold

    The hold that was placed under a request key. Errors: HoldNotFound.
    """
    return ask_one(ReadHold(store=asked["store"], key=asked["key"]))


def in_units_of_hold(command: Command[Any]) -> Command[Any]:
    """A capture whose amount, told as text, is read in the unit of its hold.

    Errors: HoldNotFound, Refused.
    """
    assert isinstance(command, commands.CaptureHold)
    if command.amount is None:
        return command
    hold = ask_one(ReadHold(store=command.store, key=command.hold))
    try:
        amount = minor(command.amount, hold.scale, 1)
    except ValidationError as error:
        raise unfit({"amount": error.messages}) from None
    return msgspec.structs.replace(command, amount=amount)


section.command("/holds", PlaceHoldSchema, HoldPlacedSchema, WRITE, "Place a hold", status=201)
section.command(
    "/holds/capture", CaptureHoldSchema, HoldCapturedSchema, WRITE, "Capture a hold", refine=in_units_of_hold
)
section.command("/holds/release", ReleaseHoldSchema, HoldReleasedSchema, WRITE, "Release a hold")
