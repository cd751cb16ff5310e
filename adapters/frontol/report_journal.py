"""A database's transactions as they are read: documents under way, numbers that are missing, sales that there were.

Page: docs/adapters/frontol-files.md, "Documents". A till writes one document after the other, several tills of one
database write between each other. A document is told when its till has gone on to the next one, or at the end of the
file, so that lines behind its closing line belong to it as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Any

from adapters.frontol.report_documents import READ, Document, Name, day_of
from adapters.frontol.report_lines import (
    DATE,
    DOCUMENT,
    ENTERPRISE,
    LINE,
    NUMBER,
    SHIFT,
    TYPE,
    WORKPLACE,
    Report,
    Row,
    code_of,
    is_transaction,
    row_of,
)
from processing.errors import BadMessage

MAX_OPEN = 1_000
# Documents that were told lately: a line that comes behind is not the begin of another one.
MAX_TOLD = 1_000
MAX_GAPS = 100
# What is kept of a link from file to file.
MAX_DATABASES, MAX_KEPT, MAX_KEPT_CHARACTERS, MAX_SPANS = 64, 100, 256 << 10, 400
# A document that the file has left so far behind is given up.
PATIENCE = timedelta(days=3)
NOBODY = Name("", "", "", "")
# In front of all lines: no field has a semicolon in it.
NOWHERE = Name(";", "", "", "")


class Journal:
    """One database, while a file of it is read. ``state`` is that of the link, which may know several; it is not
    changed."""

    def __init__(self, database: str, state: Any) -> None:
        self.database = database
        self._state: dict[str, Any] = state if isinstance(state, dict) else {}
        kept = self._state.get(database, {})
        self.numbers = Numbers(kept.get("last", 0))
        self.sales = Sales(kept.get("sales", {}))
        self._open: dict[Name, Document] = {}
        self._lost: list[Document] = []
        self._told: dict[Name, None] = {}
        # The day of the newest document.
        self._day = date.min
        # Where the file is, and by workplace, where its till is.
        self._at = Document(NOWHERE)
        self._current: dict[str, Name] = {}
        for row in [row_of(line) for lines in kept.get("open", ()) for line in lines]:
            self._document(_name_of(*_place(row))).add([row])
        # Kept from the file before, and not met in this one yet; what was wrong in it until then.
        self._kept, self._doubt = set(self._open), ""

    def documents(self, report: Report) -> Iterator[Document]:
        """The finished ones, as they are finished; then those at the end of the file."""
        for rows in report.rows():
            for is_sound, some in groupby(rows, is_transaction):
                if is_sound:
                    yield from self._told_by(list(some))
                    continue
                for row in some:
                    if not row[LINE].isspace():
                        yield self._broken(row, f"line {report.line + rows.index(row)} or behind it makes no sense")
        for name in self._kept:
            self._open[name].problem = self._doubt
        for name in [name for name, each in self._open.items() if each.end]:
            yield self._open.pop(name)

    def _told_by(self, rows: Sequence[Row]) -> Iterator[Document]:
        """Transactions as they come -> the documents that these finish."""
        self.numbers.see([int(row[NUMBER]) for row in rows])
        for place, some in groupby([row for row in rows if row[TYPE] in READ], _place):
            name, own = _name_of(*place), list(some)
            if name != self._at.name:
                left = self._left(name)
                if left is not None:
                    yield left
                self._at = self._met(name, int(own[0][NUMBER]))
                self._day = max(self._day, _day(own[0]))
            self._at.add(own)

    def _left(self, name: Name) -> Document | None:
        """The document that its till has gone on from, to this one, if it is finished."""
        before = self._current.get(name.workplace, name)
        self._current[name.workplace] = name
        if before == name or before not in self._open or not self._open[before].end:
            return None
        self._told[before] = None
        if len(self._told) > MAX_TOLD:
            del self._told[next(iter(self._told))]
        return self._open.pop(before)

    def _met(self, name: Name, number: int) -> Document:
        """The document of a line. One that was kept begins in this file once more, or what came before may be its."""
        document = self._document(name)
        if name in self._kept:
            self._kept.remove(name)
            document.problem = "" if number in document.rows else self._doubt
        return document

    def _document(self, name: Name) -> Document:
        """The one under way, or a new one; of one that was told already, one that nobody will see."""
        document = self._open.get(name)
        if document is None:
            document = Document(name)
            if name not in self._told:
                self._open[name] = document
                if len(self._open) > MAX_OPEN:
                    self._lost.append(self._open.pop(next(iter(self._open))))
        return document

    def _broken(self, row: Row, problem: str) -> Document:
        """A line that is none: whichever document it is of, of those under way nobody knows what is missing."""
        for name, document in self._open.items():
            if not document.end and name not in self._kept:
                document.problem = problem
        self._doubt = problem
        return Document(NOBODY, {0: row}, problem=problem)

    # What is left ------------------------------------------------------------------------------------------

    def unfinished(self) -> list[Document]:
        """Documents under way that may still be finished."""
        return [document for document in self._open.values() if not self._is_over(document)]

    def given_up(self) -> list[Document]:
        """Documents that nobody waits for any more."""
        return [*self._lost, *(document for document in self._open.values() if self._is_over(document))]

    def _is_over(self, document: Document) -> bool:
        return self._day - _day(document.last) > PATIENCE

    def kept(self) -> tuple[dict[str, Any], bool]:
        """The state of the link for its next file, and whether all documents under way are in it."""
        room, kept = MAX_KEPT_CHARACTERS, []
        under_way = self.unfinished()
        for document in under_way[:MAX_KEPT]:
            room -= sum(map(len, document.raw))
            if room >= 0 and not document.problem:
                kept.append(list(document.raw))
        own = {"last": self.numbers.last, "open": kept, "sales": self.sales.kept()}
        others = {name: value for name, value in self._state.items() if name != self.database}
        for name in list(others)[: max(len(others) - MAX_DATABASES + 1, 0)]:
            del others[name]
        return {**others, self.database: own}, len(kept) == len(under_way)


def _day(row: Row) -> date:
    """Of a line; of one that has none, the first of all days: nobody waits for it."""
    try:
        return day_of(row[DATE])
    except BadMessage:
        return date.min


def _place(row: Row) -> tuple[str, str, str, str]:
    return row[WORKPLACE], row[SHIFT], row[DOCUMENT], row[ENTERPRISE]


def _name_of(workplace: str, shift: str, number: str, enterprise: str) -> Name:
    return Name(code_of(workplace), shift, number, code_of(enterprise))


class Numbers:
    """The numbers of a file's transactions; ``last`` is the greatest of this one and all before."""

    def __init__(self, last: int) -> None:
        self._before = last
        self.gaps: list[tuple[int, int]] = []
        self.more_gaps = 0
        self._top = 0

    def see(self, numbers: Sequence[int]) -> None:
        """The next lines'. They are given without gaps; some may come late."""
        if numbers == list(range(self._top + 1, self._top + 1 + len(numbers))):
            self._top += len(numbers)
            return
        for number in numbers:
            self._see(number)

    def _see(self, number: int) -> None:
        if number <= self._top:
            self.gaps = [part for gap in self.gaps for part in _without(gap, number)]
            return
        # The first of a file follows the file before it, or tells something once more.
        before = self._top or self._before
        if before and number > before + 1:
            self._miss(before + 1, number - 1)
        self._top = number

    @property
    def last(self) -> int:
        return max(self._before, self._top)

    def _miss(self, first: int, last: int) -> None:
        if len(self.gaps) < MAX_GAPS:
            self.gaps.append((first, last))
        else:
            self.more_gaps += 1


def _without(gap: tuple[int, int], number: int) -> Iterator[tuple[int, int]]:
    """What is left of a gap when a number of it has come."""
    first, last = gap
    if not first <= number <= last:
        yield gap
        return
    if first < number:
        yield first, number - 1
    if number < last:
        yield number + 1, last


class Sales:
    """Which numbers the sales of a shift had on a day, by workplace: a refund names its sale by the number alone."""

    def __init__(self, kept: dict[str, list[list[Any]]]) -> None:
        self._spans = {workplace: [list(span) for span in spans] for workplace, spans in kept.items()}

    def add(self, name: Name, day: date) -> None:
        if not name.number.isdecimal():
            return
        number, told = int(name.number), day.isoformat()
        spans = self._spans.setdefault(name.workplace, [])
        for span in reversed(spans):
            if span[0] == name.shift and span[1] == told:
                span[2:] = min(span[2], number), max(span[3], number)
                return
        spans.append([name.shift, told, number, number])
        del spans[:-MAX_SPANS]

    def find(self, workplace: str, number: str, until: date) -> tuple[str, date] | None:
        """Shift and day of the sale with this number; ``None`` where none is known, or more than one may be it."""
        if not number.isdecimal():
            return None
        found = [
            (shift, date.fromisoformat(day))
            for shift, day, first, last in self._spans.get(workplace, ())
            if first <= int(number) <= last and date.fromisoformat(day) <= until
        ]
        return found[0] if len(found) == 1 else None

    def kept(self) -> dict[str, list[list[Any]]]:
        return self._spans
