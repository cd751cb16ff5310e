"""What a link to the iiko Cloud API may set. Table with reasons: docs/adapters/iiko_cloud.md, "Options"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from adapters.contract import OfLink
from adapters.iiko.options import MAX_WALLETS, UUID

MAX_PRODUCTS = 64
MAX_TABLES = 500
# What of a person is told to iiko, and what may be learned from it. The phone names a guest and is always told.
PERSON = ("name", "email", "birthday")
# Statuses of the filters of webhooks (docs/adapters/iiko_cloud.md, "Webhooks").
TABLE_STATUSES = ("New", "Bill", "Closed", "Deleted")
DELIVERY_STATUSES = (
    "Unconfirmed",
    "WaitCooking",
    "ReadyForCooking",
    "CookingStarted",
    "CookingCompleted",
    "Waiting",
    "OnWay",
    "Delivered",
    "Closed",
    "Cancelled",
)


def a_uuid(**settings: Any) -> fields.String:
    return fields.String(validate=validate.Regexp(UUID + r"\Z", error="expected a UUID in small letters"), **settings)


def some_of(names: tuple[str, ...], **settings: Any) -> fields.List[Any]:
    return fields.List(fields.String(validate=validate.OneOf(names)), **settings)


def a_whole(least: int, most: int, default: int) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(least, most), load_default=default)


class WalletOptions(Schema):
    """A unit of ours and the guests' wallet at iiko that shows it. ``book_from``: what others move from this day on is
    booked; without it, it is told."""

    class Meta:
        unknown = RAISE

    unit = fields.String(required=True, validate=validate.Length(1, 32))
    id = a_uuid(required=True)
    programme = a_uuid(load_default=None, allow_none=True)
    book_from = fields.Date(load_default=None, allow_none=True)


class WebhookOptions(Schema):
    """Where iiko shall send its events of orders, and which of them."""

    class Meta:
        unknown = RAISE

    uri = fields.String(required=True, validate=validate.Regexp(r"https?://\S{1,500}\Z", error="expected an address"))
    table_orders = some_of(TABLE_STATUSES, load_default=lambda: ["Closed", "Deleted"])
    delivery_orders = some_of(DELIVERY_STATUSES, load_default=lambda: ["Closed", "Cancelled"])


class IikoCloudOptions(Schema):
    """Loads into a mapping in which every option has its value."""

    class Meta:
        unknown = RAISE

    organization = a_uuid(required=True)
    products = fields.List(
        fields.String(validate=validate.Length(1, 64)), required=True, validate=validate.Length(1, MAX_PRODUCTS)
    )
    wallets = fields.List(fields.Nested(WalletOptions), required=True, validate=validate.Length(1, MAX_WALLETS))
    person = some_of(PERSON, load_default=lambda: ["name"])
    learn = some_of(PERSON, load_default=list)
    webhooks = fields.Nested(WebhookOptions, load_default=None, allow_none=True)
    orders_of = OfLink("iiko_webhooks", load_default=None, allow_none=True)
    deliveries = fields.Boolean(load_default=False)
    tables = fields.List(a_uuid(), load_default=list, validate=validate.Length(0, MAX_TABLES))
    call_every_seconds = a_whole(1, 10, 1)
    timeout_seconds = a_whole(1, 60, 15)
    look_back_days = a_whole(1, 366, 31)
    guests_per_pull = a_whole(1, 500, 5)

    @validates_schema
    def _wallets_differ(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        for name in ("unit", "id"):
            told = [wallet[name] for wallet in data["wallets"]]
            if len(set(told)) < len(told):
                raise ValidationError(f"each wallet has a {name} of its own", "wallets")

    @validates_schema
    def _orders_are_somebodys(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        if data["orders_of"] is None and (data["deliveries"] or data["tables"]):
            raise ValidationError(
                "missing, expected the link of iiko_webhooks that says how orders are booked", "orders_of"
            )


def wallets_of(options: Mapping[str, Any], unit: Any = None) -> Iterator[Mapping[str, Any]]:
    """The wallets of the link; with a unit those that show it: one, or none."""
    return (wallet for wallet in options["wallets"] if unit is None or wallet["unit"] == unit)
