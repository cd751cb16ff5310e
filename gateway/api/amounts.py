"""Amounts at REST: decimal texts in major units outside, whole minor units inside; no float on the way."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError

from processing.directory import Directory
from processing.units import MONEY, scaled

# Digits after the point of a quantity in pieces, and of an amount whose unit is not known yet.
QUANTITY_SCALE = 3
MOST_SCALE = 6
DEFAULT_MONEY_SCALE = 2

PATTERN = r"^[+-]?[0-9]{1,18}(\.[0-9]{0,18})?$"
TOLD_PATTERN = r"^-?[0-9]+(\.[0-9]+)?$"


def money_scale(directory: Directory) -> int:
    """The scale of the chain's money: programmes have seen to it that all money has the same one."""
    return min((unit.scale for unit in directory.units.values() if unit.kind == MONEY), default=DEFAULT_MONEY_SCALE)


def minor(value: Any, scale: int, least: float = -math.inf) -> int:
    """``"450.50"`` at scale 2 is 45050; a JSON number is read as it was written.

    Errors: ValidationError in words for what is no plain decimal number, has too many digits, or is below ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValidationError('Not an amount; expected a decimal string such as "450.50".')
    try:
        number = scaled(str(value), scale)
    except ValueError as error:
        raise ValidationError(f"{str(error).capitalize()}.") from None
    if number < least:
        raise ValidationError("Must be more than zero." if least == 1 else "Must not be negative.")
    return number


def shape(value: Any) -> str:
    """A decimal number as text, whose unit and scale are not known yet. Errors: ValidationError."""
    minor(value, MOST_SCALE)
    return str(value)
