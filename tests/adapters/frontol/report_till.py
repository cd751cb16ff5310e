"""A till that writes reports: documents -> lines -> bytes, as the page of report files tells them.

Written from the page alone and sharing nothing with the reader, so that a mistake of one is none of the other's.
Amounts are whole minor units, quantities thousandths.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

DATABASE = "shop-01-db"
NOON = datetime(2026, 5, 4, 12, 3, 10)
CASH, BANK_CARD, USER_DEFINED = "0", "1", "7"


@dataclass(frozen=True)
class Sold:
    """An item; ``back`` of it was taken back by a storno, ``off`` is its share of the discount."""

    goods: str
    price: int = 10_000
    quantity: int = 1_000
    back: int = 0
    off: int = 0

    @property
    def full(self) -> int:
        return self.price * self.quantity // 1000

    @property
    def left(self) -> int:
        """What is to be paid for it."""
        return 0 if self.back == self.quantity else self.full - self.off - self.price * self.back // 1000


@dataclass(frozen=True)
class Doc:
    """A document of a till. ``bonus`` was paid with points, ``given`` accrued, ``change`` given back in cash."""

    number: int
    items: tuple[Sold, ...] = (Sold("10021"),)
    cards: tuple[str, ...] = ()
    workplace: int = 3
    shift: int = 118
    closed_at: datetime = NOON
    operation: str = "0"
    bonus: int = 0
    given: int = 0
    change: int = 0
    external: bool = True
    how: str = CASH
    end: str | None = "55"
    base: str = ""
    extra: tuple[dict[int, str], ...] = ()
    """More lines in front of the closing one: type in field 4, other fields as they are."""

    @property
    def total(self) -> int:
        return sum(item.left for item in self.items)


@dataclass
class Till:
    """How a till writes: width, decimal sign, ends of lines, encoding. ``number`` is that of the next transaction."""

    width: int = 44
    comma: bool = True
    newline: str = "\r\n"
    encoding: str = "cp1251"
    trailing: bool = True
    hour_zero: bool = True
    names: bool = False
    number: int = 88_001
    database: str = DATABASE
    dialect_old: bool = False
    notes: list[str] = field(default_factory=list)

    def amount(self, minor: int) -> str:
        sign = "-" if minor < 0 else ""
        text = f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02}"
        return text.replace(".", ",") if self.comma else text

    def quantity(self, thousandths: int) -> str:
        sign = "-" if thousandths < 0 else ""
        text = f"{sign}{abs(thousandths) // 1000}.{abs(thousandths) % 1000:03}".rstrip("0").rstrip(".")
        return text.replace(".", ",") if self.comma else text

    def line(self, doc: Doc, kind: str, at: datetime, fields: dict[int, str]) -> str:
        """One transaction, with the next number."""
        hour = f"{at:%H:%M:%S}" if self.hour_zero else f"{at.hour}:{at:%M:%S}"
        known = {
            1: str(self.number),
            2: f"{at:%d.%m.%Y}",
            3: hour,
            4: kind,
            5: f"{doc.workplace}|Касса {doc.workplace}" if self.names else str(doc.workplace),
            6: str(doc.number),
            7: "2|Иванова" if self.names else "2",
            13: doc.operation,
            14: str(doc.shift),
            17: "1",
            23: "1",
            26: f"{doc.workplace}/{doc.shift}/{doc.number}",
            27: "1",
        }
        self.number += 1
        told = {**known, **fields}
        cells = [told.get(place, "") for place in range(1, self.width + 1)]
        return ";".join(cells) + (";" if self.trailing else "")

    def document(self, doc: Doc) -> list[str]:
        """All lines of a document, in the order in which a till writes them."""
        sign = -1 if doc.operation == "1" else 1
        at = doc.closed_at - timedelta(seconds=30)
        cards = "|".join(doc.cards)
        goods = sum(item.quantity - item.back for item in doc.items)
        ends = {8: cards, 11: self.quantity(goods), 12: self.amount(sign * doc.total), 25: doc.base}
        said = [self.line(doc, "42", at, ends)]
        for item in doc.items:
            said.append(self._item(doc, item, "11", at, sign, item.quantity))
            if item.back:
                said.append(self._item(doc, item, "12", at, -sign, item.back))
        if off := sum(item.off for item in doc.items):
            said.append(self.line(doc, "37", at, {8: cards, 10: "2", 11: "10", 12: self.amount(sign * off)}))
        internal = "1" if doc.external else "0"
        if doc.bonus:
            kind = "33" if sign < 0 else "32"
            told = {8: doc.cards[0] if doc.cards else "", 10: internal, 12: self.amount(doc.bonus)}
            said.append(self.line(doc, kind, at, told))
        cash = doc.total - doc.bonus
        for amount in [cash + doc.change, *([-doc.change] if doc.change else [])]:
            told = {9: "1", 10: doc.how, 11: self.amount(sign * amount), 12: self.amount(sign * amount)}
            said.append(self.line(doc, "40", at, told))
        said.append(self.line(doc, "49", doc.closed_at, {12: self.amount(sign * doc.total)}))
        if doc.given:
            kind = "10" if sign < 0 else "9"
            said.append(self.line(doc, kind, doc.closed_at, {10: internal, 12: self.amount(doc.given)}))
        said += [self.line(doc, more[4], at, more) for more in doc.extra]
        if doc.end:
            said.append(self.line(doc, doc.end, doc.closed_at, {**ends, 18: self.amount(doc.given)}))
        return said

    def _item(self, doc: Doc, item: Sold, kind: str, at: datetime, sign: int, quantity: int) -> str:
        full = item.price * quantity // 1000
        is_part = kind == "12"
        due = full if is_part and item.back != item.quantity else full - item.off
        return self.line(
            doc,
            kind,
            at,
            {
                8: f"{item.goods}|Чай «Ассам»¤ 100 г" if self.names else item.goods,
                10: self.amount(item.price),
                11: self.quantity(sign * quantity),
                12: self.amount(sign * full),
                15: self.amount(item.price),
                16: self.amount(sign * due),
                20: self.amount(sign * full),
            },
        )

    def head(self, mark: str = "#", number: int = 577) -> list[str]:
        return [mark, self.database, str(number)]

    def report(self, lines: Iterable[str], head: Sequence[str] | None = None) -> bytes:
        """The file: a header, unless it is told otherwise, and these lines."""
        said = [*(self.head() if head is None else head), *lines]
        text = "".join(line + self.newline for line in said)
        mark = {"utf-8": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(self.encoding, b"")
        return mark + text.encode(self.encoding)

    def of(self, *docs: Doc) -> bytes:
        """The report of these documents, one after the other."""
        return self.report([line for doc in docs for line in self.document(doc)])


def interleaved(*documents: Sequence[str]) -> list[str]:
    """Lines of several tills, turn by turn."""
    found: list[str] = []
    waiting = [list(lines) for lines in documents]
    while any(waiting):
        for lines in waiting:
            if lines:
                found.append(lines.pop(0))
    return found
