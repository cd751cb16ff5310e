"""What a link to a 1C till may set. Table with reasons: docs/adapters/onec.md, "Options"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from adapters.onec.guids import product_guid
from processing.commands import MAX_HOLD_SECONDS, MAX_WINDOW_SECONDS

# A person pays in less, and a till that was switched off keeps nobody's points for long (page, section 9).
DEFAULT_LOCK_SECONDS = 600
# The till gives up after 60 seconds and the cashier tries again (page, "Transport").
DEFAULT_WINDOW_SECONDS = 120
DEFAULT_VERSION = "3.0.13.374"
# The first library with JSON in all answers (page, "Versions").
JSON_SINCE = (3, 0, 11)

_VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6}){2,3}")


class CardTypeOptions(Schema):
    """A kind of card that the till may give out."""

    class Meta:
        unknown = RAISE

    product = fields.String(required=True, validate=validate.Length(1, 32))
    name = fields.String(required=True, validate=validate.Length(1, 100))
    personal = fields.Boolean(load_default=True)
    generate_number = fields.Boolean(load_default=True)
    number_is_phone = fields.Boolean(load_default=False)


class ConsentOptions(Schema):
    """What whoever fills in the form at the till agrees to."""

    class Meta:
        unknown = RAISE

    purpose = fields.String(required=True, validate=validate.Length(1, 64))
    document = fields.String(required=True, validate=validate.Length(1, 64))


class OnecOptions(Schema):
    """Loads into a mapping in which every option has its value."""

    class Meta:
        unknown = RAISE

    unit = fields.String(required=True, validate=validate.Length(1, 32))
    unit_name = fields.String(load_default="Бонусы", validate=validate.Length(1, 100))
    gift_unit = fields.String(load_default="", validate=validate.Length(0, 32))
    currency = fields.String(load_default="643", validate=validate.Regexp(r"[0-9]{3}\Z"))
    version = fields.String(load_default=DEFAULT_VERSION)
    language = fields.String(validate=validate.OneOf(("ru", "en")), load_default="ru")
    lock_seconds = fields.Integer(
        strict=True, validate=validate.Range(1, MAX_HOLD_SECONDS), load_default=DEFAULT_LOCK_SECONDS
    )
    window_seconds = fields.Integer(
        strict=True, validate=validate.Range(1, MAX_WINDOW_SECONDS), load_default=DEFAULT_WINDOW_SECONDS
    )
    goods = fields.String(validate=validate.OneOf(("guid", "barcode")), load_default="guid")
    stores = fields.List(fields.UUID(), load_default=list)
    card_types = fields.List(fields.Nested(CardTypeOptions), load_default=list)
    consent = fields.Nested(ConsentOptions, load_default=None, allow_none=True)

    @post_load
    def complete(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """GUIDs as 1C writes them. Errors: ValidationError."""
        if not _VERSION.fullmatch(data["version"]):
            raise ValidationError("a version like 3.0.13.374", "version")
        data["stores"] = [str(guid) for guid in data["stores"]]
        return data


def speaks_json(options: Mapping[str, Any]) -> bool:
    """Whether the link shows itself as a library of which every answer is JSON."""
    return tuple(int(part) for part in options["version"].split(".")[:3]) >= JSON_SINCE


def product_of(card_type: str, options: Mapping[str, Any]) -> str:
    """The product of a card type; the first one where the till names none. Empty: the link has no such type."""
    products = [each["product"] for each in options["card_types"]]
    if not card_type:
        return products[0] if products else ""
    return next((product for product in products if product_guid(product) == card_type), "")
