"""Amounts: exact or refused, rounded in one direction, spread without a unit lost or made."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.units import MAX_AMOUNT, major, percent_of, scaled, spread

AMOUNTS = st.integers(-MAX_AMOUNT, MAX_AMOUNT)
WEIGHTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=20)


@given(total=AMOUNTS, weights=WEIGHTS)
def test_spread_parts_sum_to_the_total(total: int, weights: list[int]) -> None:
    assert sum(spread(total, weights)) == total


@given(total=AMOUNTS, weights=WEIGHTS.filter(any))
def test_spread_part_is_within_one_unit_of_its_exact_share(total: int, weights: list[int]) -> None:
    for part, weight in zip(spread(total, weights), weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1


@given(total=AMOUNTS, weights=WEIGHTS.filter(any))
def test_spread_gives_nothing_to_a_weight_of_zero(total: int, weights: list[int]) -> None:
    assert all(part == 0 for part, weight in zip(spread(total, weights), weights, strict=True) if weight == 0)


@given(weights=WEIGHTS, data=st.data())
def test_spread_of_a_part_of_the_weights_never_exceeds_a_weight(weights: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(weights)))
    assert all(0 <= part <= weight for part, weight in zip(spread(total, weights), weights, strict=True))


@given(total=AMOUNTS, weights=WEIGHTS)
def test_spread_of_the_opposite_is_the_opposite(total: int, weights: list[int]) -> None:
    assert spread(-total, weights) == [-part for part in spread(total, weights)]


def test_spread_gives_left_over_units_to_largest_remainders_first() -> None:
    assert spread(10, [1, 1, 1]) == [4, 3, 3]
    assert spread(100, [1, 2, 4]) == [14, 29, 57]
    assert spread(5, [0, 0]) == [5, 0]


def test_spread_over_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        spread(1, [])


@given(amount=AMOUNTS, percent=st.integers(0, 20_000))
def test_percent_is_rounded_towards_zero(amount: int, percent: int) -> None:
    exact = Fraction(amount * percent, 10_000)
    rounded = percent_of(amount, percent)
    assert abs(rounded) <= abs(exact) < abs(rounded) + 1
    assert rounded * amount >= 0


@given(amount=AMOUNTS, scale=st.integers(0, 6))
def test_what_major_writes_scaled_reads_back(amount: int, scale: int) -> None:
    text = major(amount, scale)
    assert scaled(text, scale) == amount
    assert len(text.partition(".")[2]) == scale


@given(number=st.decimals(-(10**9), 10**9, places=4), scale=st.integers(0, 4))
def test_scaled_is_exact_or_refused(number: Decimal, scale: int) -> None:
    exact = Fraction(number) * 10**scale
    if exact.denominator == 1:
        assert scaled(f"{number:f}", scale) == exact
    else:
        with pytest.raises(ValueError, match="digits after the point"):
            scaled(f"{number:f}", scale)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1e3",
        "1,5",
        "0x1",
        "NaN",
        "Infinity",
        "--1",
        "+",
        ".5",
        "1.2.3",
        "1_000",
        "١٢",
        "１",
        "1\n",
        "1" * 19,
    ],
)
def test_what_is_not_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        scaled(text, 2)


def test_amounts_end_at_the_greatest_one() -> None:
    assert scaled(str(MAX_AMOUNT), 0) == MAX_AMOUNT
    with pytest.raises(ValueError, match="too large"):
        scaled(str(MAX_AMOUNT + 1), 0)
    with pytest.raises(ValueError, match="too large"):
        scaled(f"-{MAX_AMOUNT}", 2)


@given(text=st.text(max_size=30))
def test_no_text_makes_anything_but_a_whole_number_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert type(scaled(text, 3)) is int
