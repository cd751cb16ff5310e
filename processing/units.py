"""Amounts as whole numbers: the only module that rounds, spreads and turns text into minor units.

Money and points are integers in the minor units of their unit (kopecks for RUB, hundredths for a unit of
scale 2); quantities are thousandths. No float ever comes near an amount (design law 8).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

MONEY = "money"
POINTS = "points"

# A bigint holds 9.2e18; sums of many amounts must fit as well.
MAX_AMOUNT = 10**15
HUNDREDTHS_OF_PERCENT = 10_000
MILLION = 1_000_000
THOUSAND = 1_000
# Digits after the point of a quantity in pieces.
QUANTITY_SCALE = 3
# What money settles at, and points of no programme: one minor unit of money for each, in millionths.
PAR_MILLIONTHS = MILLION

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{0,18})?")


class Unit(msgspec.Struct, frozen=True):
    """A kind of value: ``RUB`` (money, scale 2), ``BONUS`` (points, scale 2), ``STAMP`` (points, scale 0).

    A correction of more than ``adjust_limit`` minor units needs a second person; ``None``: none does.
    """

    code: str
    kind: str
    scale: int
    adjust_limit: int | None = None


# Prices, quantities and sums of a menu come again and again.
@lru_cache(maxsize=4096)
def scaled(text: str, scale: int) -> int:
    """The decimal text as a whole number of ``10**-scale``: ``scaled("522.5", 2) == 52250``.

    Exact or not at all: digits past the scale must be zeros.
    Errors: ValueError for anything that is not a plain decimal number, or is larger than MAX_AMOUNT.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"not a decimal number: {text[:40]!r}")
    whole, _, fraction = text.partition(".")
    missing = scale - len(fraction)
    if missing < 0:
        if fraction[scale:].strip("0"):
            raise ValueError(f"more than {scale} digits after the point: {text[:40]!r}")
        fraction, missing = fraction[:scale], 0
    number: int = int(whole + fraction) * 10**missing
    if not -MAX_AMOUNT <= number <= MAX_AMOUNT:
        raise ValueError(f"number too large: {text[:40]!r}")
    return number


def cut(text: str, scale: int) -> int:
    """The same, rounded towards zero: of ``"0.333333"``, a third of a dish, 333 thousandths.

    Digits past the scale are cut off, however many there are. Errors: ValueError, as scaled.
    """
    whole, _, fraction = text.partition(".")
    if len(fraction) > scale and fraction.isascii() and fraction.isdigit():
        text = f"{whole}.{fraction[:scale]}"
    return scaled(text, scale)


def major(amount: int, scale: int) -> str:
    """The amount in major units, with exactly ``scale`` digits: ``major(45050, 2) == "450.50"``."""
    if scale == 0:
        return str(amount)
    sign = "-" if amount < 0 else ""
    digits = str(abs(amount)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def whole_major(amount: int, scale: int) -> int:
    """How many whole major units an amount has: ``whole_major(45050, 2) == 450``; rounds down towards zero."""
    size: int = abs(amount) // 10**scale
    return size if amount >= 0 else -size


def cost(price: int, quantity_thousandths: int) -> int:
    """What so many pieces of a price cost; half a minor unit is rounded up, away from zero."""
    size = (abs(price * quantity_thousandths) + THOUSAND // 2) // THOUSAND
    return size if (price < 0) == (quantity_thousandths < 0) else -size


def percent_of(amount: int, percent_hundredths: int) -> int:
    """``percent_hundredths`` (500 = 5.00 %) of the amount, rounded down towards zero: in the chain's favour."""
    share = abs(amount) * percent_hundredths // HUNDREDTHS_OF_PERCENT
    return share if amount >= 0 else -share


def proportion(amount: int, part: int, whole: int) -> int:
    """What of an amount belongs to a part of a whole; rounds down. None of them is negative."""
    return amount * part // whole


def of_pieces(price_minor: int, quantity_thousandths: int) -> int:
    """What so many pieces cost at so much each; rounded up: of a least price a kopeck less would be too cheap."""
    return -(-price_minor * max(quantity_thousandths, 0) // THOUSAND)


def worth(amount: int, price_millionths: int) -> int:
    """What so many minor units settle at, in minor money; rounds down towards zero."""
    value = abs(amount) * price_millionths // MILLION
    return value if amount >= 0 else -value


def points_worth(money: int, price_millionths: int) -> int:
    """How many minor units of points so much minor money buys; rounds down."""
    return money * MILLION // price_millionths


def points_for(money: int, percent_hundredths: int, price_millionths: int) -> int:
    """So many percent of minor money as minor units of points; rounds down, once."""
    return money * percent_hundredths * MILLION // (HUNDREDTHS_OF_PERCENT * price_millionths)


def spread(total: int, weights: Sequence[int]) -> list[int]:
    """The total split in proportion to the weights; the parts sum to the total exactly.

    Each part is rounded down and the units left over go one each to the largest remainders, earlier ones
    first. Weights are not negative; when all are zero the first part takes everything.
    """
    if not weights:
        raise ValueError("nothing to spread over")
    base = sum(weights)
    if base == 0:
        return [total] + [0] * (len(weights) - 1)
    if len(weights) == 1:
        return [total]
    size = abs(total)
    parts = [size * weight // base for weight in weights]
    left = size - sum(parts)
    if left:
        remainders = [size * weight % base for weight in weights]
        # Stable, so that of equal ones the earlier stands first.
        for i in sorted(range(len(parts)), key=remainders.__getitem__, reverse=True)[:left]:
            parts[i] += 1
    return parts if total >= 0 else [-part for part in parts]


def whole_money(millionths: int) -> int:
    """Millionths of a minor unit of money in whole ones; rounds down towards zero, as ``worth``."""
    value = abs(millionths) // MILLION
    return value if millionths >= 0 else -value


def money_below(millionths: int) -> int:
    """The same, but always down: what is owed at two instants is rounded alike, whatever its sign."""
    return millionths // MILLION


def apportioned(parts_millionths: Sequence[int], whole: int) -> list[int]:
    """The parts in whole minor money, signs kept, so that they sum to ``whole``.

    ``whole`` is less than one away from what the parts sum to. Each part is rounded down and the units left over go
    one each to the largest remainders, earlier ones first; a part that is whole already stays as it is.
    Errors: ValueError where the whole is not that of these parts.
    """
    parts = [part // MILLION for part in parts_millionths]
    left = whole - sum(parts)
    remainders = [part % MILLION for part in parts_millionths]
    by_remainder = sorted((i for i, size in enumerate(remainders) if size), key=lambda i: (-remainders[i], i))
    if not 0 <= left <= len(by_remainder):
        raise ValueError(f"{whole} is not the whole of these parts")
    for i in by_remainder[:left]:
        parts[i] += 1
    return parts
