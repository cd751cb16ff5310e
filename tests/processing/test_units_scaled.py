"""Text into whole numbers: what the exact Decimal says, digit for digit, and a quantity never rounds up."""

from __future__ import annotations

import re
from decimal import Context, Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processing.units import MAX_AMOUNT, QUANTITY_SCALE, cut, scaled

NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{0,18})?")
EXACT = Context(prec=60)  # the usual 28 digits would round 18 digits on each side of the point

WRITTEN = st.from_regex(r"[+-]?[0-9]{1,18}(\.[0-9]{0,18})?", fullmatch=True)
ROUND = st.from_regex(r"[+-]?[0-9]{1,15}\.[0-9]{0,3}0{0,15}", fullmatch=True)
ALMOST = st.from_regex(r"[-+0-9. e_]{0,24}", fullmatch=True)
TEXTS = WRITTEN | ROUND | ALMOST | st.text(max_size=24)
SCALES = st.integers(0, 6)


def by_decimal(text: str, scale: int) -> int | str:
    """The number, or how the refusal begins."""
    if not NUMBER.fullmatch(text):
        return "not a decimal number"
    exact = Decimal(text).scaleb(scale, EXACT)
    if exact != int(exact):
        return f"more than {scale} digits after the point"
    return int(exact) if abs(exact) <= MAX_AMOUNT else "number too large"


def told(text: str, scale: int) -> int | str:
    try:
        return scaled(text, scale)
    except ValueError as error:
        return str(error).partition(":")[0]


@given(text=TEXTS, scale=SCALES)
@example(text="-0.05", scale=2)
@example(text="-0", scale=2)
@example(text="+7.", scale=0)
@example(text="1.000000", scale=0)
@example(text=f"{MAX_AMOUNT}", scale=0)
@example(text=f"-{MAX_AMOUNT + 1}", scale=0)
@example(text="9999999999999.000000000000000001", scale=2)
def test_scaled_is_what_the_exact_decimal_is(text: str, scale: int) -> None:
    assert told(text, scale) == by_decimal(text, scale)


@given(text=WRITTEN | ROUND)
@example(text="0.333333")
@example(text="-0.0009")
def test_a_quantity_is_its_exact_value_rounded_towards_zero(text: str) -> None:
    exact = Decimal(text).scaleb(3, EXACT)
    if abs(int(exact)) <= MAX_AMOUNT:
        assert cut(text, QUANTITY_SCALE) == int(exact)
    else:
        with pytest.raises(ValueError, match="too large"):
            cut(text, QUANTITY_SCALE)


def test_a_quantity_may_have_any_number_of_digits_behind_the_point() -> None:
    assert cut("0." + "3" * 5000, QUANTITY_SCALE) == 333


@pytest.mark.parametrize("text", ["", ".5", "1.2.3456", "0.3333x", "0.333٣", "0,3333", "x.3333", "1.333 "])
def test_what_is_not_a_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a decimal number"):
        cut(text, QUANTITY_SCALE)
