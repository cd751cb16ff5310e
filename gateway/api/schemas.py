"""Parts that bodies and answers of several nouns share: names of cards, amounts, movements, balances."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields

from gateway.api import fields as f
from gateway.api.amounts import minor
from gateway.api.section import CommandBody, Made
from processing import commands
from processing.commands import Ref

CARD: dict[str, str] = {"scheme": "card", "value": "5550001234"}
MAX_REFS = 8


class RefSchema(Made):
    """What somebody calls a card, or a wallet by its holder."""

    makes = Ref
    scheme = f.text(
        32,
        required=True,
        pattern=r"[a-z][a-z0-9_-]*",
        words="a scheme such as card, barcode, phone",
        describe="card, barcode, track; phone, email, holder or wallet (our numbers); token (a QR code); "
        "or the name of an outside system",
        example="card",
    )
    value = f.text(required=True, describe="as it is printed, scanned or typed", example="5550001234")


def card(describe: str = "what somebody calls the card", **options: Any) -> fields.Nested:
    return f.nested(RefSchema, describe, **{"required": True, **options})


def refs() -> fields.List[Any]:
    return f.some(fields.Nested(RefSchema), MAX_REFS, "names of one card, tried in order", least=1)


class AmountSchema(Made):
    """So much of one unit."""

    makes = commands.Amount
    unit = f.unit()
    amount = f.amount("in major units", required=True)

    def prepared(self, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "amount": in_unit(data["unit"], data["amount"])}


def in_unit(unit: str, told: str, least: int | None = None, field: str = "amount") -> int:
    """The amount in minor units of the unit. Errors: UnitNotFound, ValidationError for the field."""
    scale = f.READER.get().directory.unit(unit).scale
    try:
        return minor(told, scale, least)
    except ValidationError as error:
        raise ValidationError(error.messages, field) from None


def positive(amount: commands.Amount) -> None:
    """Errors: ValidationError."""
    if amount.amount <= 0:
        raise ValidationError({"amount": ["Must be more than zero."]})


def not_negative(amount: commands.Amount) -> None:
    """Errors: ValidationError."""
    if amount.amount < 0:
        raise ValidationError({"amount": ["Must not be negative."]})


class CardBody(CommandBody):
    """A command about one card."""

    card = card()


class UnitBody(CardBody):
    """A command about so much of one unit of a card; no amount means all that is free."""

    unit = f.unit()
    amount = f.amount("in major units; all that is free where it is not told")
    pin = f.pin()

    def prepared(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["amount"] is None:
            f.READER.get().directory.unit(data["unit"])
            return data
        return {**data, "amount": in_unit(data["unit"], data["amount"], 1)}


def example(**own: Any) -> dict[str, Any]:
    return {"store": "nevsky", **own}


def card_example(**own: Any) -> dict[str, Any]:
    return {"store": "nevsky", "card": CARD, **own}


# Answers -----------------------------------------------------------------------------------------------------


class BalanceSchema(f.Told):
    unit = f.told("code of the unit")
    scale = f.told_whole("digits after the point")
    balance = f.told_amount("what the books hold")
    available = f.told_amount("what can be spent now")
    pending = f.told_amount("what becomes available later")
    held = f.told_amount("what open holds have set aside")


class CardMovementSchema(f.Told):
    card = f.told("the card's number")
    account = f.told_whole("the wallet's number")
    unit = f.told("code of the unit")
    scale = f.told_whole("digits after the point")
    redeemed = f.told_amount("what was taken off it")
    earned = f.told_amount("what was put on it")
    balance = f.told_amount("what the books hold afterwards")
    available = f.told_amount("what can be spent afterwards")


class BookedSchema(f.Told):
    """An operation that moved something."""

    operation_id = f.told_whole("GET /operations/{operation_id} tells more")
    at = f.told_at("when it was booked")


class MovedSchema(BookedSchema):
    """An operation on one card."""

    card = fields.Nested(CardMovementSchema, required=True)


class FlaggedSchema(MovedSchema):
    flags = f.told_texts("what was unusual, for the operator")


class MovedCardsSchema(BookedSchema):
    """An operation on several cards."""

    cards = f.told_some(CardMovementSchema)


class FoundCardSchema(f.Told):
    number = f.told("the card's number")
    account = f.told_whole("the wallet's number")
    holder_id = f.told_whole("0 without a holder")
    holder_name = f.personal("the holder's name")
    status = f.told("issued, active, blocked, expired, replaced or closed")
    usable = f.told("empty, or the code of the refusal that it would meet")
    product = f.told("code of the kind of card")
