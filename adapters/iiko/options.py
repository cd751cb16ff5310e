"""What a link that iiko's clients speak to may set. Table with reasons: docs/adapters/iiko.md, "Options"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from processing.commands import MAX_HOLD_SECONDS

# Kinds of wallets as the API numbers them (walletBalances[].type in the specification).
TYPES = {"deposit": 0, "bonus": 1, "products": 2, "discount": 3, "certificate": 4}
# What is topped up against money; the others hold points.
MONEY_TYPES = frozenset({"deposit", "certificate"})
MAX_WALLETS = 16
MAX_CATEGORIES = 100
# As long as tokens of the real service live (docs/adapters/iiko.md, "Signing in").
TOKEN_SECONDS = 3600
MAX_TOKEN_SECONDS = 86_400
# How long a hold of the real service lasts is not known; a public plugin reserves bonuses for a day.
HOLD_SECONDS = 86_400
UUID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
HIDE, ERASE = "hide", "erase"


def identity() -> fields.String:
    """A UUID that clients have in their settings already; without it there is one of ours."""
    return fields.String(load_default="", validate=validate.Regexp(rf"(?:{UUID})?\Z"))


class WalletOptions(Schema):
    class Meta:
        unknown = RAISE

    unit = fields.String(required=True, validate=validate.Length(1, 32))
    name = fields.String(required=True, validate=validate.Length(1, 64))
    type = fields.String(required=True, validate=validate.OneOf(tuple(TYPES)))
    id = identity()


class IikoOptions(Schema):
    """Loads into a mapping in which every option has its value."""

    class Meta:
        unknown = RAISE

    wallets = fields.List(fields.Nested(WalletOptions), required=True, validate=validate.Length(1, MAX_WALLETS))
    product = fields.String(required=True, validate=validate.Length(1, 64))
    organization = identity()
    terminal_group = identity()
    categories = fields.Dict(
        keys=fields.String(validate=validate.Regexp(r"[a-z0-9_-]{1,40}\Z")),
        values=fields.String(validate=validate.Length(1, 64)),
        load_default=dict,
        validate=validate.Length(0, MAX_CATEGORIES),
    )
    token_seconds = fields.Integer(
        strict=True, validate=validate.Range(1, MAX_TOKEN_SECONDS), load_default=TOKEN_SECONDS
    )
    hold_seconds = fields.Integer(strict=True, validate=validate.Range(1, MAX_HOLD_SECONDS), load_default=HOLD_SECONDS)
    delete_customers = fields.String(validate=validate.OneOf((HIDE, ERASE)), load_default=HIDE)
    language = fields.String(validate=validate.OneOf(("ru", "en")), load_default="ru")

    @post_load
    def complete(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return one_wallet_each(data)


def one_wallet_each(data: dict[str, Any]) -> dict[str, Any]:
    """The options. Errors: ValidationError for a unit with two wallets."""
    units = [wallet["unit"] for wallet in data["wallets"]]
    if len(set(units)) < len(units):
        raise ValidationError("a unit has one wallet", "wallets")
    return data


def types(options: Mapping[str, Any]) -> dict[str, int]:
    """The API's number of each unit's kind of wallet."""
    return {wallet["unit"]: TYPES[wallet["type"]] for wallet in options["wallets"]}


def names(options: Mapping[str, Any]) -> dict[str, str]:
    """What each unit's wallet is called."""
    return {wallet["unit"]: wallet["name"] for wallet in options["wallets"]}


def holds_money(unit: str, options: Mapping[str, Any]) -> bool:
    """Whether the unit's wallet is topped up against money."""
    return any(wallet["unit"] == unit and wallet["type"] in MONEY_TYPES for wallet in options["wallets"])
