"""What a link for the till plugin may set. Table with reasons: docs/adapters/iiko_plugin.md, "Options"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, fields, post_load, validate

from adapters.iiko.options import MAX_WALLETS, names, one_wallet_each
from processing.commands import MAX_HOLD_SECONDS

__all__ = ["ACCEPT", "PluginOptions", "holds_money", "names"]

POINTS, MONEY = "points", "money"
REFUSE, ACCEPT = "refuse", "accept"
# As long as a public plugin reserves bonuses (docs/adapters/iiko_plugin.md, "Reservations").
HOLD_SECONDS = 86_400


class WalletOptions(Schema):
    class Meta:
        unknown = RAISE

    unit = fields.String(required=True, validate=validate.Length(1, 32))
    name = fields.String(required=True, validate=validate.Length(1, 64))
    type = fields.String(required=True, validate=validate.OneOf((POINTS, MONEY)))


class PluginOptions(Schema):
    """Loads into a mapping in which every option has its value."""

    class Meta:
        unknown = RAISE

    wallets = fields.List(fields.Nested(WalletOptions), required=True, validate=validate.Length(1, MAX_WALLETS))
    hold_seconds = fields.Integer(strict=True, validate=validate.Range(1, MAX_HOLD_SECONDS), load_default=HOLD_SECONDS)
    refund_without_payment = fields.String(validate=validate.OneOf((REFUSE, ACCEPT)), load_default=REFUSE)
    language = fields.String(validate=validate.OneOf(("ru", "en")), load_default="ru")

    @post_load
    def complete(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return one_wallet_each(data)


def holds_money(unit: str, options: Mapping[str, Any]) -> bool:
    """Whether what the wallet pays is money of the guest's own, which earns."""
    return any(wallet["unit"] == unit and wallet["type"] == MONEY for wallet in options["wallets"])
