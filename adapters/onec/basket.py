"""calculatediscounts, what comes in: a till's basket as a receipt of ours. Page: docs/adapters/onec.md, "Basket"."""

from __future__ import annotations

from datetime import datetime

import msgspec

from adapters.contract import Link, WireRequest
from adapters.onec import documents
from adapters.onec.answers import word
from adapters.onec.documents import Object
from adapters.onec.names import refuse_foreign, text_refs
from adapters.onec.queries import local_time
from adapters.parsing import MAX_NAME, bad, bounded, code
from processing.commands import MAX_LINES, Line, Receipt, Ref
from processing.units import THOUSAND, proportion

# What a 1C provider cannot do without (page, section 6.5).
NEEDED = ("ObjectTime", "CurrentDate", "LoyaltyCardsList", "RetailStore", "Goods")
MAX_CARDS = 16
MAX_PROMO_CODES = 100
# Price times quantity and the row's own sum may differ by rounding.
TOLERANCE_MINOR = 1


class Row(msgspec.Struct, frozen=True):
    """A row of the basket as it came, and what it costs before our discounts."""

    told: Object
    uid: str
    line: Line


class Basket(msgspec.Struct, frozen=True):
    """What the till asks. ``missing`` are the keys without which there is no answer."""

    told: Object
    missing: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    cards: tuple[Ref, ...] = ()
    promo_codes: tuple[Object, ...] = ()
    at: datetime | None = None
    is_return: bool = False

    def wants(self, name: str) -> bool:
        """Whether the till asks for this part of the answer."""
        return documents.flag(self.told, name)

    def receipt(self, request: WireRequest, link: Link) -> Receipt:
        """The basket as a receipt that is not closed yet."""
        day = self.at.date() if self.at else request.at.astimezone(link.zone).date()
        total = bounded(sum(row.line.sum_minor for row in self.rows), "Goods.Amount")
        lines = tuple(row.line for row in self.rows)
        return Receipt(number="0", till="1", business_date=day, total_minor=total, lines=lines)


def read(request: WireRequest, link: Link) -> Basket:
    """The basket. Errors: BadMessage, ForeignStore."""
    told = documents.read(request.body)
    if missing := tuple(name for name in NEEDED if told.get(name) is None):
        return Basket(told, missing)
    refuse_foreign(documents.reference(told, "RetailStore")[0], link)
    rows = documents.rows(told, "Goods", MAX_LINES)
    return Basket(
        told,
        rows=tuple(_row(number, row, link) for number, row in enumerate(rows, 1)),
        cards=_cards(told),
        promo_codes=tuple(documents.rows(told, "PromocodesList", MAX_PROMO_CODES)),
        at=local_time(documents.text(told, "CurrentDate"), "CurrentDate"),
        is_return=documents.flag(told, "Return"),
    )


def complaint(missing: tuple[str, ...], link: Link) -> str:
    return "\n".join(word("no_key", link.options).format(name) for name in missing)


def _cards(told: Object) -> tuple[Ref, ...]:
    """The first card of the list, by its number or GUID; the others are not looked at (page, section 6.5)."""
    found = told["LoyaltyCardsList"]
    if not isinstance(found, list) or len(found) > MAX_CARDS or not all(isinstance(each, str) for each in found):
        raise bad("LoyaltyCardsList", type(found).__name__, f"a list of at most {MAX_CARDS} cards")
    return tuple(text_refs(documents.text({"card": found[0]}, "card"))) if found else ()


def _row(number: int, told: Object, link: Link) -> Row:
    where = f"Goods[{number}]."
    price = documents.amount(told, "Price", where)
    quantity = documents.quantity(told, "PackagesCount", where) or documents.quantity(told, "Count", where)
    line = Line(
        number=number,
        goods=_goods(told, where, link),
        name=documents.reference(told, "Item", where)[1][:MAX_NAME],
        quantity_thousandths=quantity,
        price_minor=price,
        sum_minor=row_sum(told, price, quantity, where),
    )
    return Row(told, documents.text(told, "LineUID", where), line)


def _goods(told: Object, where: str, link: Link) -> str:
    """By what the programme knows the goods: the item's GUID or the barcode, the other one where that is absent."""
    item = documents.reference(told, "Item", where)[0]
    barcode = code(documents.text(told, "Barcode", where), f"{where}Barcode")
    return (item or barcode) if link.options["goods"] == "guid" else (barcode or item)


def row_sum(told: Object, price_minor: int, quantity_thousandths: int, where: str) -> int:
    """What the row costs without our own discount, which a recalculated basket may carry from the last time.

    ``Amount`` is read as taken after that discount only where price and quantity say so: whether a till sends one sum
    or the other is not known (page, section 11).
    """
    amount = documents.amount(told, "Amount", where)
    ours = documents.amount(told, "AmountOfAutomaticDiscount", where)
    if not ours or amount < 0:
        return amount
    gross = proportion(max(price_minor, 0), max(quantity_thousandths, 0), THOUSAND)
    before = amount + ours + documents.amount(told, "AmountOfManualDiscount", where)
    return bounded(amount + ours, where) if abs(before - gross) <= TOLERANCE_MINOR else amount
