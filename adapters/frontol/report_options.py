"""What a link may set about report files. Table with reasons: docs/adapters/frontol-files.md, "Options"."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from adapters.texts import LANGUAGES

# Names that are seen (page, "Report request"); each channel has its own.
NAMES = ["report*.txt", "sales*.txt", "frontol_receipts*.txt", "current*.txt"]
MAX_NAMES = 16
MAX_NAME = 255
# A database is made anew rarely.
MAX_EPOCH = 99
MAX_DAYS = 92

NEW, OLD = "new", "old"
CLOSED, KEPT, NEVER = "closed", "kept", "never"
PROGRAMME, TILL = "programme", "till"
BONUS, DISCOUNT, PAYMENT = "bonus", "discount", "payment"
OWN_TILL, NO_TILL = "own_till", "none"
TRANSACTIONS, DATES = "new", "dates"


class _Code(fields.String):
    """A code as text; YAML reads an unquoted one as a number, which is just as good."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return super()._deserialize(value, attr, data, **kwargs)


def _choice(*choices: str) -> fields.String:
    return fields.String(validate=validate.OneOf(choices), load_default=choices[0])


def _file_name(text: str) -> None:
    """Errors: ValidationError for what leads out of the folder."""
    parts = text.split("/")
    if not text.isprintable() or "\\" in text or any(part in ("", ".", "..") for part in parts):
        raise ValidationError("expected a name below the link's folder")
    if re.search(r"[*?\[\]]", "/".join(parts[:-1])):
        raise ValidationError("expected * and ? behind the last / only")


def _name(**more: Any) -> fields.String:
    return fields.String(validate=[validate.Length(1, MAX_NAME), _file_name], **more)


class UnitOptions(Schema):
    class Meta:
        unknown = RAISE

    unit = fields.String(required=True, validate=validate.Length(1, 32))


class RequestOptions(Schema):
    """Asks the till for a report by its flag file."""

    class Meta:
        unknown = RAISE

    flag = _name(required=True)
    scope = _choice(TRANSACTIONS, DATES)
    days = fields.Integer(strict=True, validate=validate.Range(1, MAX_DAYS), load_default=2)


class ReportOptions(Schema):
    """Loads into a mapping in which every option has its value."""

    class Meta:
        unknown = RAISE

    names = fields.List(_name(), validate=validate.Length(1, MAX_NAMES), load_default=lambda: list(NAMES))
    numbering = _choice(NEW, OLD)
    mark = _choice(CLOSED, KEPT, NEVER)
    bonus = _choice(PROGRAMME, TILL)
    points = fields.Nested(UnitOptions, load_default=None)
    redeemed_as = fields.List(
        fields.String(validate=validate.OneOf((BONUS, DISCOUNT, PAYMENT))), load_default=lambda: [BONUS]
    )
    gift_cards = fields.Nested(UnitOptions, load_default=None)
    client_scheme = fields.String(validate=validate.Length(0, 32), load_default="")
    refund_base = _choice(OWN_TILL, NO_TILL)
    epochs = fields.Dict(
        keys=_Code(validate=validate.Length(1, 64)),
        values=fields.Integer(strict=True, validate=validate.Range(0, MAX_EPOCH)),
        load_default=dict,
    )
    request = fields.Nested(RequestOptions, load_default=None)
    language = _choice(*LANGUAGES)

    @post_load
    def complete(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Errors: ValidationError for the till's own figures without a unit to book them in."""
        if data["bonus"] == TILL and data["points"] is None:
            raise ValidationError("expected points: with the unit in which the till's figures are booked", "bonus")
        return data
