"""What a link to a Frontol store may set. Table with reasons: docs/adapters/frontol.md, "Options"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from adapters.frontol.loads.options import LoadOptions
from adapters.frontol.report_options import ReportOptions
from processing.commands import DEFAULT_HOLD_SECONDS, MAX_HOLD_SECONDS

CALCULATE, CONFIRM, REFUND, CLIENT = "calculate", "confirm", "refund", "client"
BLOCKS = ("text", "pair", "line", "br", "barcode", "qrcode")
SIZES = ("tiny", "default", "small", "medium", "large", "extralarge")
ALIGNMENTS = ("left", "center", "right")
MAX_BLOCKS = 20
MAX_TEXT = 255


def one_of(*names: str, **kwargs: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(names), **kwargs)


def a_text(**kwargs: Any) -> fields.String:
    return fields.String(validate=validate.Length(1, MAX_TEXT), **kwargs)


class BlockOptions(Schema):
    """A block of a slip, in the till's own words (docs/adapters/frontol.md, "Slips")."""

    class Meta:
        unknown = RAISE

    type = one_of(*BLOCKS, required=True)
    text = a_text()
    left = a_text()
    right = a_text()
    separator = fields.String(validate=validate.Length(1, 1))
    symbol = fields.String(validate=validate.Length(1, 1))
    data = a_text()
    print_text = one_of("none", "below", "above", "everywhere", data_key="printText")
    correction = one_of("low", "medium", "high", "ultra")
    size = one_of(*SIZES)
    alignment = one_of(*ALIGNMENTS)
    wrapping = one_of("anywhere", "wordwrap")

    @post_load
    def check(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The block as the till reads it. Errors: ValidationError."""
        needed = {"text": ("text",), "pair": ("left", "right"), "barcode": ("data",), "qrcode": ("data",)}
        for name in needed.get(data["type"], ()):
            if name not in data:
                raise ValidationError("missing", name)
        if "print_text" in data:
            data["printText"] = data.pop("print_text")
        return data


class RegistrationOptions(Schema):
    """How new customers are registered at the till; ``product`` is the card that one without a card gets."""

    class Meta:
        unknown = RAISE

    product = fields.String(load_default="")
    title = a_text(load_default="Регистрация покупателя")
    notice = a_text(load_default="")
    email = fields.Boolean(load_default=False)
    birthday = fields.Boolean(load_default=False)
    confirm_phone = fields.Boolean(load_default=True)


class FrontolOptions(Schema):
    """Loads into a mapping in which every option has its value."""

    class Meta:
        unknown = RAISE

    # Empty: the link is of files only.
    unit = fields.String(load_default="", validate=validate.Length(0, 32))
    business_units = fields.List(fields.String(validate=validate.Length(1, 64)), load_default=list)
    workplaces = fields.List(fields.String(validate=validate.Length(1, 64)), load_default=list)
    card_scheme = fields.String(load_default="card", validate=validate.Regexp(r"[a-z][a-z0-9_]{0,31}\Z"))
    hold_seconds = fields.Integer(
        strict=True, validate=validate.Range(60, MAX_HOLD_SECONDS), load_default=DEFAULT_HOLD_SECONDS
    )
    language = one_of("ru", "en", load_default="ru")
    verify_client = fields.Boolean(load_default=False)
    electronic_check = one_of("none", "email", "mobilePhone", "any", load_default="none")
    slips = fields.List(one_of(CLIENT, CALCULATE, CONFIRM, REFUND), load_default=lambda: [CONFIRM, REFUND])
    slip_header = fields.List(fields.Nested(BlockOptions), validate=validate.Length(0, MAX_BLOCKS), load_default=list)
    slip_footer = fields.List(fields.Nested(BlockOptions), validate=validate.Length(0, MAX_BLOCKS), load_default=list)
    registration = fields.Nested(RegistrationOptions, load_default=None, allow_none=True)
    reports = fields.Nested(ReportOptions, load_default=lambda: ReportOptions().load({}))
    # marshmallow takes fields out of the class, so that its own ``loads`` stays.
    loads = fields.Nested(LoadOptions, load_default=lambda: LoadOptions().load({}))  # type: ignore[assignment]


Options = Mapping[str, Any]
