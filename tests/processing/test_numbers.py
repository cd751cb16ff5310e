"""Card numbers: fit for their product, not to be guessed from each other, and checked when they are printed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from stdnum import luhn

from processing.chain import Product
from processing.errors import BadAmount
from processing.numbers import GREATEST_DENSITY, capacity, check, generate
from tests.processing.books import product

WITH_LUHN = product("with", "777", length=16)
WITHOUT = product("without", "5550", length=10, luhn=False)
BOTH = pytest.mark.parametrize("of", [WITH_LUHN, WITHOUT], ids=["luhn", "plain"])


@BOTH
def test_generated_number_fits_its_product(of: Product) -> None:
    for _ in range(200):
        number = generate(of)
        check(of, number)
        assert number.isascii()
        assert number.isdigit()
        assert len(number) == of.length
        assert number.startswith(of.prefix)
        assert not of.luhn or luhn.is_valid(number)


def test_generated_numbers_are_neither_repeated_nor_in_order() -> None:
    numbers = [int(generate(WITH_LUHN)) for _ in range(500)]
    assert len(set(numbers)) == len(numbers)
    steps = [after - before for before, after in pairwise(numbers)]
    assert 200 < sum(step > 0 for step in steps) < 300
    assert min(abs(step) for step in steps) > 10_000


def test_generated_numbers_use_the_range_evenly() -> None:
    first_digits = [generate(WITH_LUHN)[3] for _ in range(2_000)]
    counts = [first_digits.count(digit) for digit in "0123456789"]
    assert all(120 < count < 290 for count in counts)


@BOTH
@pytest.mark.parametrize(
    "change",
    [
        lambda number: number[:-1],
        lambda number: number + "0",
        lambda number: "1" + number[1:],
        lambda number: number[:-1] + "x",
        lambda number: " " + number[1:],
        lambda number: "",
    ],
    ids=["short", "long", "prefix", "letter", "blank", "empty"],
)
def test_number_that_does_not_fit_is_refused(of: Product, change: object) -> None:
    assert callable(change)
    with pytest.raises(BadAmount):
        check(of, change(generate(of)))


@pytest.mark.parametrize("digits", ["０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩"], ids=["full width", "arabic"])
def test_digits_of_other_scripts_are_refused(digits: str) -> None:
    with pytest.raises(BadAmount):
        check(WITHOUT, "5550" + "12345".translate(str.maketrans("0123456789", digits)) + "6")


def test_any_wrong_digit_breaks_the_check_digit() -> None:
    number = generate(WITH_LUHN)
    for place in range(3, len(number)):
        wrong = number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
        with pytest.raises(BadAmount, match="check digit"):
            check(WITH_LUHN, wrong)


def test_capacity_keeps_the_range_sparse() -> None:
    assert capacity(WITH_LUHN) == 10**12 // GREATEST_DENSITY
    assert capacity(WITHOUT) == 1
    assert capacity(product("tiny", "1", length=4)) == 0
