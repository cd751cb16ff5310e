"""Card numbers: generated without an order that anybody could guess, and checked for fitness.

Numbers come from a CSPRNG inside the product's range. Ranges of value are kept sparse (at most one live card
per million numbers with a right check digit), so that guessing is caught long before it finds one.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from stdnum import luhn

from processing.chain import Product
from processing.commands import Command, IssueCard, RegisterHolder, ReplaceCard, SellGiftCard
from processing.directory import Directory
from processing.errors import BadAmount

# Candidates per card to issue: with ranges this sparse, a second is hardly ever needed.
SPARES = 3
# Of cards of value at most one in so many numbers may exist, or they can be guessed.
GREATEST_DENSITY = 1_000_000
# Commands that may need a number.
MAKING_CARDS = (IssueCard, ReplaceCard, SellGiftCard, RegisterHolder)


def free_digits(product: Product) -> int:
    """How many digits of the product's numbers are random."""
    return product.length - len(product.prefix) - (1 if product.luhn else 0)


def generate(product: Product) -> str:
    """A random number of the product; whether it is free is for the database to say."""
    free = free_digits(product)
    body = product.prefix + str(secrets.randbelow(10**free)).rjust(free, "0")
    return body + (luhn.calc_check_digit(body) if product.luhn else "")


def capacity(product: Product) -> int:
    """How many cards of value the product's range can carry at the greatest density."""
    return int(10 ** free_digits(product)) // GREATEST_DENSITY


def check(product: Product, number: str) -> None:
    """Errors: BadAmount when a printed number does not fit its product."""
    is_decimal = number.isascii() and number.isdigit()
    if not is_decimal or len(number) != product.length or not number.startswith(product.prefix):
        raise BadAmount(
            f"a number of {product.code} has {product.length} digits and starts with {product.prefix!r}",
            product=product.code,
        )
    if product.luhn and not luhn.is_valid(number):
        raise BadAmount("the check digit is wrong", product=product.code)


def products_of(directory: Directory, commands: Sequence[Command[Any]]) -> list[Product]:
    """The products of which the commands ask for new cards; unknown ones are left out."""
    codes = dict.fromkeys(
        command.product for command in commands if isinstance(command, MAKING_CARDS) and command.product
    )
    return [directory.products[code] for code in codes if code in directory.products]


def spare_numbers(directory: Directory, commands: Sequence[Command[Any]]) -> dict[str, list[str]]:
    """Candidates for every card in the batch that needs a number, by product.

    A card that is replaced by one of its own kind may be of any product.
    """
    spare: dict[str, list[str]] = {}
    for command in commands:
        if not isinstance(command, MAKING_CARDS) or getattr(command, "number", None):
            continue
        if isinstance(command, SellGiftCard | RegisterHolder) and command.card is not None:
            continue
        codes = [command.product] if command.product else list(directory.products)
        for code in codes:
            if code in directory.products:
                product = directory.products[code]
                spare.setdefault(code, []).extend(generate(product) for _ in range(SPARES))
    return spare
