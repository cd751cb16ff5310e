"""Items and stornos of a document -> the lines of a receipt, and the numbers of a report as whole ones.

Page: docs/adapters/frontol-files.md, "Goods". A storno is summed with the item that it takes back: the line stays, with
what is left of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from adapters.frontol.report_lines import (
    DUE,
    FULL,
    NUMBER,
    PRICE,
    QUANTITY,
    SUBJECT,
    SUM,
    TYPE,
    Row,
    code_of,
    name_of,
    plain,
)
from adapters.parsing import bad, minor, thousandths
from processing.commands import Line
from processing.units import cut, spread

ITEMS, STORNOS = ("1", "11"), ("2", "12")
MONEY_SCALE = 2


@lru_cache(maxsize=4096)
def money(text: str) -> int:
    """Minor units of ``540,00``, ``540.00`` or nothing, with the sign that stands there. Errors: BadMessage."""
    text = text.strip()
    return minor(text.replace(",", "."), "sum") if text else 0


@lru_cache(maxsize=4096)
def quantity(text: str) -> int:
    """Thousandths, without a sign. Errors: BadMessage."""
    text = text.strip()
    return abs(thousandths(text.replace(",", "."), "quantity")) if text else 0


@lru_cache(maxsize=4096)
def price(text: str) -> int:
    """Minor units of a price, which may have more digits behind the point. Errors: BadMessage."""
    text = text.strip()
    try:
        return abs(cut(text.replace(",", "."), MONEY_SCALE)) if text else 0
    except ValueError:
        raise bad("price", text, "a price") from None


class Item(NamedTuple):
    """An item as it was registered, less what was taken back: quantity in thousandths, sums in minor units."""

    goods: str
    name: str
    price: int
    quantity: int
    sum: int
    full: int

    def less(self, other: Item) -> tuple[Item, Item]:
        """Less this much of the same goods, and what ``other`` has more of them."""
        share = min(self.quantity, other.quantity)
        is_all = share == self.quantity
        due, full = (self.sum, self.full) if is_all else (min(self.sum, other.sum), min(self.full, other.full))
        mine = self._replace(quantity=self.quantity - share, sum=self.sum - due, full=self.full - full)
        rest = other._replace(
            quantity=other.quantity - share, sum=max(other.sum - due, 0), full=max(other.full - full, 0)
        )
        return mine, rest


def items(rows: Sequence[Row]) -> list[Item]:
    """What was registered, in its order, with every storno summed to the last item of its goods and price.

    Errors: BadMessage for a storno of what is not there.
    """
    found: list[Item] = []
    for row in rows:
        due = row[DUE] or row[SUM]
        item = _item(row[SUBJECT], row[PRICE], row[QUANTITY], due, row[FULL] or row[SUM] or due)
        if row[TYPE] in ITEMS:
            found.append(item)
            continue
        for place in reversed(range(len(found))):
            earlier = found[place]
            if item.quantity and earlier.quantity and (earlier.goods, earlier.price) == (item.goods, item.price):
                found[place], item = earlier.less(item)
        if item.quantity:
            raise bad(f"line {row[NUMBER]}", item.goods, "a storno of an item of this document")
    return found


# What a shop sells it sells again, at the same price.
@lru_cache(maxsize=4096)
def _item(subject: str, price_told: str, quantity_told: str, due: str, full: str) -> Item:
    """Fields 8 (goods), 10 (price), 11 (quantity), 16 (sum with discounts; 12 where it is empty), 20 (sum without)."""
    return Item(
        goods=plain(code_of(subject)),
        name=name_of(subject),
        price=price(price_told),
        quantity=quantity(quantity_told),
        sum=abs(money(due)),
        full=abs(money(full)),
    )


def lines(found: Sequence[Item], total_minor: int) -> tuple[Line, ...]:
    """The receipt's lines, which cost its total together.

    Field 16 is less what prepayments, bonuses and gift cards paid of the line, and the total is not: so the total is
    shared in proportion to it, or to the full prices where nothing is left.
    """
    weights = [item.sum for item in found]
    if not any(weights):
        weights = [item.full for item in found]
    # Where nothing was paid in advance there is nothing to share.
    sums = weights if sum(weights) == total_minor else spread(total_minor, weights) if found else []
    return tuple(
        [
            Line(
                number=number,
                goods=item.goods,
                name=item.name,
                quantity_thousandths=item.quantity,
                price_minor=item.price,
                sum_minor=sum_minor,
                discount_minor=max(item.full - sum_minor, 0),
            )
            for number, (item, sum_minor) in enumerate(zip(found, sums, strict=True), 1)
        ]
    )
