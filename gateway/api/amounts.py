"""Amounts at REST: decimal texts in major units outside, whole minor units inside; no float on the way."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from marshmallow import ValidationError

from processing.directory import Directory
from processing.units import MONEY, scaled

DEFAULT_MONEY_SCALE = 2

PATTERN = r"^[+-]?[0-9]{1,18}(\.[0-9]{0,18})?$"
TOLD_PATTERN = r"^-?[0-9]+(\.[0-9]+)?$"


def money_scale(directory: Directory) -> int:
    """The scale of the chain's money: programmes have seen to it that all money has the same one."""
    return min((unit.scale for unit in directory.units.values() if unit.kind == MONEY), default=DEFAULT_MONEY_SCALE)


def minor(value: Any, scale: int, least: int | None = None) -> int:
    """``"450.50"`` at scale 2 is 45050; a JSON number is read as it was written.

    Errors: ValidationError in words for what is no plain decimal number, has too many digits, or is below ``least``.
    """
    try:
        number = scaled(written(value), scale)
    except ValueError as error:
        raise ValidationError(f"{str(error).capitalize()}.") from None
    if least is not None and number < least:
        raise ValidationError("Must be more than zero." if least == 1 else "Must not be negative.")
    return number


def written(value: Any) -> str:
    """The amount as it was written, as text or as a JSON number. Errors: ValidationError for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValidationError('Not an amount; expected a decimal string such as "450.50".')
    return str(value)
