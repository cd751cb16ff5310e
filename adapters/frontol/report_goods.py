"""Items and stornos of a document -> the lines of a receipt, and the numbers of a report as whole ones.

Page: docs/adapters/frontol-files.md, "Goods". A storno is summed with the item that it takes back: the line stays, with
what is left of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

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
from adapters.parsing import bad, bounded, minor, thousandths
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


@dataclass(slots=True)
class Item:
    """An item as it was registered, less what was taken back: quantity in thousandths, sums in minor units."""

    goods: str
    name: str
    price: int
    quantity: int
    sum: int
    full: int

    def take_back(self, other: Item) -> None:
        """Less this much of the same goods; what ``other`` has more of them stays with it."""
        share = min(self.quantity, other.quantity)
        is_all = share == self.quantity
        for name in ("sum", "full"):
            mine, told = getattr(self, name), getattr(other, name)
            taken = mine if is_all else min(mine, told)
            setattr(self, name, mine - taken)
            setattr(other, name, max(told - taken, 0))
        self.quantity -= share
        other.quantity -= share


def items(rows: Sequence[Row]) -> list[Item]:
    """What was registered, in its order, with every storno summed to the last item of its goods and price.

    Errors: BadMessage for a storno of what is not there.
    """
    found: list[Item] = []
    for row in rows:
        item = _item(row)
        if row[TYPE] in ITEMS:
            found.append(item)
            continue
        for earlier in reversed(found):
            if item.quantity and earlier.quantity and (earlier.goods, earlier.price) == (item.goods, item.price):
                earlier.take_back(item)
        if item.quantity:
            raise bad(f"line {row[NUMBER]}", item.goods, "a storno of an item of this document")
    return found


def _item(row: Row) -> Item:
    """Fields 8 (goods), 10 (price), 11 (quantity), 16 (sum with discounts; 12 where it is empty), 20 (sum without)."""
    told = row[SUBJECT]
    due = row[DUE] or row[SUM]
    return Item(
        goods=plain(code_of(told)),
        name=name_of(told),
        price=price(row[PRICE]),
        quantity=quantity(row[QUANTITY]),
        sum=abs(money(due)),
        full=abs(money(row[FULL] or row[SUM] or due)),
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
                discount_minor=max(bounded(item.full, "sum") - sum_minor, 0),
            )
            for number, (item, sum_minor) in enumerate(zip(found, sums, strict=True), 1)
        ]
    )
