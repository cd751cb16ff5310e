"""Gift cards: sell them, give the money back. What is on one tells POST /cards/identify."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError

from gateway.api import fields as f
from gateway.api.accounts import PaidOutSchema
from gateway.api.schemas import MovedSchema, card, example
from gateway.api.section import CommandBody, Section
from processing import commands

section = Section("gift-cards", "Cards of value")

GIFT_CARD = {"scheme": "card", "value": "9912345678901234567"}


class SellGiftCardSchema(CommandBody):
    makes = commands.SellGiftCard
    example = example(product="gift", amount="3000.00")
    card = card("a card that was issued", required=False)
    product = f.code("a new card of this kind instead", example="gift")
    amount = f.money("what was paid; the product's only one where it is not told", 1, load_default=None)

    def prepared(self, data: dict[str, Any]) -> dict[str, Any]:
        if (data["card"] is None) == (not data["product"]):
            raise ValidationError("Either a card or a product is needed.", "card")
        return data


class GiftCardSoldSchema(MovedSchema):
    card_id = f.told_whole()
    number = f.told("the card's number")
    expires_at = f.told_at("null for never", allow_none=True)


class RefundGiftCardSchema(CommandBody):
    """All that is left on the card is paid out, and the card ends."""

    makes = commands.PayOut
    example = example(card=GIFT_CARD, unit="RUB", pin="4711")
    card = card("the gift card")
    unit = f.unit()
    pin = f.pin()

    def prepared(self, data: dict[str, Any]) -> dict[str, Any]:
        f.READER.get().directory.unit(data["unit"])
        return {**data, "close": True}


SCOPE = "value:write"
section.command("/gift-cards", SellGiftCardSchema, GiftCardSoldSchema, SCOPE, "Sell a gift card", status=201)
section.command("/gift-cards/refund", RefundGiftCardSchema, PaidOutSchema, SCOPE, "Refund a gift card", status=201)
