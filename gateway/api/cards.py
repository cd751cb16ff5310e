"""Cards: find, identify, issue, activate, block, replace, PIN, QR token."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields

from gateway.api import fields as f
from gateway.api.schemas import (
    CARD,
    BalanceSchema,
    CardBody,
    FoundCardSchema,
    RefSchema,
    card_example,
    example,
    refs,
)
from gateway.api.section import CommandBody, QueryBody, Section
from processing import commands
from processing.results import Identified
from processing.units import major

section = Section("cards", "Cards, and the names that lead to them")

MAX_IDENTIFIERS = 8
MAX_FOUND = 100
MAX_TOKEN_SECONDS = 86_400


# Reading -----------------------------------------------------------------------------------------------------


class IdentifySchema(QueryBody):
    makes = commands.Identify
    example = example(refs=[CARD], order="1500.00")
    store = f.store()
    refs = refs()
    order_minor = f.money("total of the open order, for the redemption limit", data_key="order", load_default=None)


class PayableSchema(f.Told):
    unit = f.told("code of the unit")
    amount = f.told("the most that it may pay")


def payable_of(found: Identified) -> list[dict[str, str]]:
    """The most that each unit may pay, in major units."""
    scales = {balance.unit: balance.scale for balance in found.balances}
    return [{"unit": unit, "amount": major(amount, scales[unit])} for unit, amount in found.payable]


class IdentifiedSchema(FoundCardSchema):
    balances = f.told_some(BalanceSchema)
    payable = f.Worked(PayableSchema, payable_of, "the most that each unit may pay here and now")
    discount = f.told("name of the discount in the programme; empty for none")
    bonus = f.told("name of the bonus in the programme; empty for none")
    tier = f.told("the holder's tier in it; empty for none")
    expires_at = f.told_at("when the card expires", allow_none=True)


class FindCardsSchema(QueryBody):
    makes = commands.FindCards
    example = example(text="смир")
    store = f.store()
    text = f.text(
        required=True, describe="a number, QR code, phone, e-mail, or three letters of a name", example="5550001234"
    )
    limit = f.whole(1, MAX_FOUND, "cards at most", load_default=20)


class CardsFoundSchema(f.Told):
    cards = f.told_some(FoundCardSchema)
    more = f.told_switch("there are others beyond the limit")


class IssueTokenSchema(QueryBody):
    makes = commands.IssueToken
    example: ClassVar[dict[str, Any]] = {"refs": [CARD], "seconds": 300}
    refs = refs()
    seconds = f.whole(1, MAX_TOKEN_SECONDS, "how long it is good", load_default=300)


class TokenIssuedSchema(f.Told):
    token = f.told("what the QR code carries")
    number = f.told("the card's number")
    expires_at = f.told_at()


# Writing -----------------------------------------------------------------------------------------------------


def identifiers() -> fields.List[object]:
    return f.some(fields.Nested(RefSchema), MAX_IDENTIFIERS, "other names of the card, such as its barcode")


def number() -> f.Text:
    return f.text(
        19, pattern="[0-9]*", words="digits", describe="of a printed card; generated if not told", example="5550001234"
    )


class IssueCardSchema(CommandBody):
    makes = commands.IssueCard
    example = example(product="guest", number="5550001317", active=True)
    product = f.code("code of the kind of card", required=True, example="guest")
    number = number()
    wallet_of = f.nested(RefSchema, "a card whose wallet the new one shares")
    identifiers = identifiers()
    active = f.switch("it can be used at once")


class CardIssuedSchema(f.Told):
    card_id = f.told_whole()
    account = f.told_whole("the wallet's number")
    number = f.told("the card's number")
    status = f.told("issued or active")


class ActivateCardSchema(CardBody):
    makes = commands.ActivateCard
    example = card_example()


class CardActivatedSchema(f.Told):
    number = f.told("the card's number")
    at = f.told_at()
    expires_at = f.told_at("when the card expires", allow_none=True)


class BlockCardSchema(CardBody):
    makes = commands.BlockCard
    example = card_example(reason="lost")
    reason = f.reason(required=True)


class UnblockCardSchema(CardBody):
    makes = commands.UnblockCard
    example = card_example(reason="found again")
    reason = f.reason(required=True)


class CardStatusChangedSchema(f.Told):
    number = f.told("the card's number")
    status = f.told("what it is now")
    at = f.told_at()


class ReplaceCardSchema(CardBody):
    makes = commands.ReplaceCard
    example = card_example(reason="worn out")
    product = f.code("code of the new card's kind; the old one's if not told")
    number = number()
    identifiers = identifiers()
    reason = f.reason()


class CardReplacedSchema(f.Told):
    card_id = f.told_whole()
    account = f.told_whole("the wallet's number")
    number = f.told("the new card's number")
    old_number = f.told("the replaced card's number")
    at = f.told_at()


class SetPinSchema(CardBody):
    makes = commands.SetPin
    example = card_example(pin="4711")
    pin = f.pin(required=True)


class PinSetSchema(f.Told):
    number = f.told("the card's number")
    at = f.told_at()


READ, WRITE = "cards:read", "cards:write"
section.query("/cards/find", FindCardsSchema, CardsFoundSchema, READ, "Find cards")
section.query("/cards/identify", IdentifySchema, IdentifiedSchema, READ, "Identify a card")
section.query("/cards/token", IssueTokenSchema, TokenIssuedSchema, READ, "Make a QR token")
section.command("/cards", IssueCardSchema, CardIssuedSchema, WRITE, "Issue a card", status=201)
section.command("/cards/activate", ActivateCardSchema, CardActivatedSchema, WRITE, "Activate a card")
section.command("/cards/block", BlockCardSchema, CardStatusChangedSchema, WRITE, "Block a card")
section.command("/cards/unblock", UnblockCardSchema, CardStatusChangedSchema, WRITE, "Unblock a card")
section.command("/cards/replace", ReplaceCardSchema, CardReplacedSchema, WRITE, "Replace a card", status=201)
section.command("/cards/pin", SetPinSchema, PinSetSchema, WRITE, "Set a card's PIN")
