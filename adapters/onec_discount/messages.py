"""What 1C tells and asks -> fields: the parameters of an operation, and the rows of its tables.

Elements are known by their local names, in any order; ``xsi:nil`` and what is left out are alike. 1C's date that nobody
told is the first day of the calendar.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec
from lxml import etree

from adapters.onec.guids import guid
from adapters.onec_discount.wsdl import ROWS
from adapters.parsing import bad, code, day, instant, minor, thousandths
from processing.commands import MAX_LINES

MAX_TEXT = 255
EMPTY_DATE = "0001-01-01"
# Of ВидДвижения.
INCOME, EXPENSE = "0", "1"
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_encode = msgspec.json.Encoder(order="deterministic").encode


class Fields:
    """The children of an element by their names. Errors: BadMessage for one that is there twice."""

    def __init__(self, element: etree._Element, where: str) -> None:
        self.where = where
        self._found: dict[str, etree._Element] = {}
        for child in element.iterchildren(tag=etree.Element):
            name = etree.QName(child).localname
            if name in self._found:
                raise bad(f"{where}/{name}", name, "it once")
            if child.get(_NIL) not in ("true", "1"):
                self._found[name] = child

    def place(self, name: str) -> str:
        return f"{self.where}/{name}"

    def text(self, name: str) -> str:
        """Empty where it is absent. Errors: BadMessage."""
        element = self._found.get(name)
        told = "" if element is None else (element.text or "").strip()
        if len(told) > MAX_TEXT:
            raise bad(self.place(name), told, f"at most {MAX_TEXT} characters")
        return told

    def guid(self, name: str) -> str:
        """In lower case; empty where it is absent or all zeros. Errors: BadMessage."""
        return guid(self.text(name), self.place(name))

    def day(self, name: str) -> date | None:
        """The store's own day; ``None`` for 1C's empty date. Errors: BadMessage."""
        told = self.text(name)
        return None if told.startswith(EMPTY_DATE) else day(told, self.place(name))

    def rows(self, name: str) -> list[Fields]:
        """The rows of a table; none where it is absent. Errors: BadMessage."""
        table = self._found.get(name)
        rows = [] if table is None else list(table.iterchildren(f"{{*}}{ROWS}"))
        if len(rows) > MAX_LINES:
            raise bad(self.place(name), len(rows), f"at most {MAX_LINES} rows")
        told = [row for row in rows if row.get(_NIL) not in ("true", "1")]
        return [Fields(row, f"{self.place(name)}[{n}]") for n, row in enumerate(told, 1)]


class Sold(msgspec.Struct, frozen=True, array_like=True):
    """A row of sales: ``card`` and ``goods`` are GUIDs or empty; a return has negative figures."""

    at: datetime
    card: str
    goods: str
    variant: str
    sum_minor: int
    quantity_thousandths: int


class Moved(msgspec.Struct, frozen=True, array_like=True):
    """A row of bonuses, with the signs of its movement: what was accrued, and what is to be written off."""

    at: datetime
    programme: str
    card: str
    accrued: int
    due: int


@dataclass(frozen=True, slots=True)
class Document:
    """A document of 1C by its GUID; ``content`` is a digest over its rows, whatever their order."""

    guid: str
    content: str


def document(told: Fields, rows: Sequence[Sold] | Sequence[Moved] = ()) -> Document:
    """Errors: BadMessage."""
    kind = code(told.text("ТипДокумента"), told.place("ТипДокумента"))
    name = told.guid("ИдентификаторДокумента")
    if not name:
        raise bad(told.place("ИдентификаторДокумента"), name, "a GUID")
    content = b"\n".join([kind.encode("utf-8", "replace"), *sorted(_encode(row) for row in rows)])
    return Document(name, hashlib.sha256(content).hexdigest())


def sold(row: Fields, zone: ZoneInfo) -> Sold:
    """Errors: BadMessage."""
    return Sold(
        at=instant(row.text("Период"), row.place("Период"), zone),
        card=row.guid("ИдентификаторКарты"),
        goods=row.guid("ИдентификаторНоменклатуры"),
        variant=row.guid("ИдентификаторХарактеристики"),
        sum_minor=minor(row.text("Сумма") or "0", row.place("Сумма")),
        quantity_thousandths=thousandths(row.text("Количество") or "0", row.place("Количество")),
    )


def moved(row: Fields, zone: ZoneInfo) -> Moved:
    """Errors: BadMessage."""
    kind = row.text("ВидДвижения").partition(".")[0]
    if kind not in (INCOME, EXPENSE):
        raise bad(row.place("ВидДвижения"), kind, "0 (income) or 1 (expense)")
    sign = 1 if kind == INCOME else -1
    return Moved(
        at=instant(row.text("Период"), row.place("Период"), zone),
        programme=row.guid("ИдентификаторБонуснойПрограммы"),
        card=row.guid("ИдентификаторКарты"),
        accrued=sign * minor(row.text("Начислено") or "0", row.place("Начислено")),
        due=sign * minor(row.text("КСписанию") or "0", row.place("КСписанию")),
    )
