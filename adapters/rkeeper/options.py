"""What a link to an r_keeper restaurant may set. Table with reasons: docs/adapters/rkeeper.md, "Options"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from processing.commands import MAX_WINDOW_SECONDS

PURSES = 8
MAX_DISCOUNT_CODE = 99
MAX_BONUS_CODE = 0xFFFF
MAX_RESTAURANT = 0xFFFFFFFF
MAX_LIMIT_MINOR = 10**15
RESTAURANT_DIGITS = 4
DEFAULT_SCRIPT_WINDOW_SECONDS = 600

# A huge cap means "no cap"; 0 would mean "no discount at all" (page, section 1, DiscLimit).
NO_LIMIT_MINOR = 9_000_000_000


class CodeKey(fields.String):
    """A code as text; YAML reads an unquoted one as a number, which is just as good."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return super()._deserialize(value, attr, data, **kwargs)


class PurseOptions(Schema):
    class Meta:
        unknown = RAISE

    number = fields.Integer(required=True, strict=True, validate=validate.Range(1, PURSES))
    unit = fields.String(required=True, validate=validate.Length(1, 32))
    # What guests read on slips that tell of several; the unit's code where it is empty.
    name = fields.String(load_default="", validate=validate.Length(0, 32))


class RkeeperOptions(Schema):
    """Loads into a mapping in which every option has its value: defaults filled in, derived ones derived.

    What was loaded loads again, as samples and tests do.
    """

    class Meta:
        unknown = RAISE

    restaurant_codes = fields.List(CodeKey(validate=validate.Regexp(r"[0-9]{1,20}\Z")), load_default=list)
    restaurants = fields.List(
        fields.Integer(strict=True, validate=validate.Range(0, MAX_RESTAURANT)), load_default=None
    )
    purses = fields.Dict(
        keys=CodeKey(validate=validate.Length(1, 20)), values=fields.Nested(PurseOptions), load_default=dict
    )
    default_purse = fields.String(load_default="")
    discounts = fields.Dict(
        keys=fields.String(validate=validate.Length(1)),
        values=fields.Integer(strict=True, validate=validate.Range(1, MAX_DISCOUNT_CODE)),
        load_default=dict,
    )
    bonuses = fields.Dict(
        keys=fields.String(validate=validate.Length(1)),
        values=fields.Integer(strict=True, validate=validate.Range(1, MAX_BONUS_CODE)),
        load_default=dict,
    )
    discount_limit_minor = fields.Integer(
        strict=True, validate=validate.Range(1, MAX_LIMIT_MINOR), load_default=NO_LIMIT_MINOR
    )
    out_buf = fields.String(validate=validate.OneOf(("sibling", "nested")), load_default="sibling")
    unknown_card = fields.String(validate=validate.OneOf(("not_found", "locked")), load_default="not_found")
    language = fields.String(validate=validate.OneOf(("ru", "en", "auto")), load_default="auto")
    supersede = fields.Boolean(load_default=True)
    balance_in_name = fields.Boolean(load_default=False)
    several_found = fields.String(validate=validate.OneOf(("refuse", "first")), load_default="refuse")
    card_image = fields.String(validate=validate.OneOf(("none", "qr")), load_default="none")
    top_up_unit = fields.String(load_default="")
    top_up_dishes = fields.List(CodeKey(validate=validate.Length(1, 20)), load_default=list)
    top_up_records = fields.Boolean(load_default=False)
    top_up_restaurants = fields.List(
        fields.Integer(strict=True, validate=validate.Range(0, MAX_RESTAURANT)), load_default=list
    )
    script_bonus = fields.String(validate=validate.OneOf(("receipt", "accrue", "top_up")), load_default="receipt")
    script_window_seconds = fields.Integer(
        strict=True, validate=validate.Range(1, MAX_WINDOW_SECONDS), load_default=DEFAULT_SCRIPT_WINDOW_SECONDS
    )
    slip_lines = fields.String(validate=validate.OneOf(("card", "any", "none")), load_default="card")
    additional_transactions = fields.Boolean(load_default=False)

    @post_load
    def complete(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The options with what follows from others filled in. Errors: ValidationError."""
        if data["restaurants"] is None:
            data["restaurants"] = [int(code[-RESTAURANT_DIGITS:]) for code in data["restaurant_codes"]]
        units = units_by_number(data)
        data["default_purse"] = data["default_purse"] or next(iter(units.values()), "")
        data["top_up_unit"] = data["top_up_unit"] or data["default_purse"]
        for name in ("default_purse", "top_up_unit"):
            if data[name] and data[name] not in units.values():
                raise ValidationError("not the unit of any purse", name)
        _check_top_ups(data)
        return data


def _check_top_ups(data: Mapping[str, Any]) -> None:
    """Errors: ValidationError for top-ups without a purse, or with half of what they need."""
    for name in ("top_up_dishes", "top_up_records"):
        if data[name] and not data["top_up_unit"]:
            raise ValidationError("a top-up needs a purse", name)
    if data["script_bonus"] == "top_up" and not data["top_up_unit"]:
        raise ValidationError("a top-up needs a purse", "script_bonus")
    if data["top_up_restaurants"] and not data["top_up_records"]:
        raise ValidationError("means nothing without top_up_records", "top_up_restaurants")


def unit_names(options: Mapping[str, Any]) -> dict[str, str]:
    """What guests call each unit."""
    return {purse["unit"]: purse["name"] for purse in options["purses"].values() if purse.get("name")}


def units_by_number(options: Mapping[str, Any]) -> dict[int, str]:
    """Purse number -> unit, lowest number first. Errors: ValidationError when the two do not pair off."""
    pairs = sorted({(purse["number"], purse["unit"]) for purse in options["purses"].values()})
    units = dict(pairs)
    if len(units) != len(pairs) or len(set(units.values())) != len(pairs):
        raise ValidationError("a purse number has one unit, and a unit one number", "purses")
    return units
