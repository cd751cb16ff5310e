"""A document of a report: the lines that belong together, and what they are known by.

Page: docs/adapters/frontol-files.md, "Documents".
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from adapters.contract import Series
from adapters.frontol.report_lines import (
    DATE,
    DOCUMENT,
    LINE,
    NUMBER,
    OPERATION,
    QUANTITY,
    SHIFT,
    SUBJECT,
    SUM,
    TIME,
    TYPE,
    Row,
    code_of,
)
from adapters.parsing import bad

# Types of transactions (field 4); those that are not read here do not matter. Old numbering: report_receipts.
OPENED, CLOSED, CLOSED_NON_FISCAL, CANCELLED = "42", "55", "58", "56"
ENDS = frozenset({CLOSED, CLOSED_NON_FISCAL, CANCELLED})
READ = frozenset(
    {OPENED, *ENDS, "1", "11", "2", "12", "5", "6", "7", "8", "15", "16", "17", "18", "35", "36", "37", "38"}
    | {"9", "10", "32", "33", "34", "40", "41", "57"}
)
MAX_ROWS = 10_000

Rows = defaultdict[str, list[Row]]
"""A document's lines by what they tell, each in their order."""


class Name(NamedTuple):
    """What tells documents of one database apart."""

    workplace: str
    shift: str
    number: str
    enterprise: str

    def __str__(self) -> str:
        return f"{self.workplace}/{self.shift}/{self.number}"


@dataclass(slots=True)
class Document:
    """The lines of one document by their numbers. ``problem``: why nobody should rely on it."""

    name: Name
    rows: dict[int, Row] = field(default_factory=dict)
    end: str = ""
    problem: str = ""

    def add(self, rows: Iterable[Row]) -> None:
        """Once more the same line changes nothing: an open document is kept, and its file read again."""
        for row in rows:
            number = int(row[NUMBER])
            is_full = len(self.rows) >= MAX_ROWS
            known = self.rows.get(number) if is_full else self.rows.setdefault(number, row)
            if known is None:
                self.problem = f"it has more than {MAX_ROWS} lines"
            elif known is not row and self._checksum(known) != self._checksum(row):
                self.problem = f"two lines have the number {number}"
            if row[TYPE] in ENDS and self.end != CANCELLED:
                self.end = row[TYPE]

    @property
    def is_cancelled(self) -> bool:
        return self.end == CANCELLED

    def by(self, roles: Mapping[str, str]) -> Rows:
        """Its lines by the role that their type has, none for a role that none has; others are left out."""
        found: Rows = defaultdict(list)
        for row in self.rows.values():
            kind = row[TYPE]
            if kind in roles:
                found[roles[kind]].append(row)
        return found

    @property
    def last(self) -> Row:
        """Its last line."""
        return next(reversed(self.rows.values()))

    @property
    def raw(self) -> tuple[str, ...]:
        return tuple([row[LINE] for row in self.rows.values()])

    def series(self, database: str, epoch: int) -> Series:
        """Its lines as they are known for ever: by database and number, apart for each epoch."""
        checksum = self._checksum
        lines = tuple([(number, checksum(row)) for number, row in self.rows.items()])
        former = tuple(f"{database}:{earlier}" for earlier in range(epoch)) if epoch else ()
        return Series(f"{database}:{epoch}", lines, former)

    def _checksum(self, row: Row) -> int:
        """What makes a line with a known number another one: date, time, type, place, subject, quantity and sum.

        Not all of the bytes: the same line is written with other separators, widths and names after a channel was set
        anew. Never 0.
        """
        quantity, total, time, subject = row[QUANTITY], row[SUM], row[TIME], row[SUBJECT]
        told = (
            f"{row[DATE]};{time if len(time) == 8 else time.zfill(8)};{row[TYPE]};{self.name.workplace};"
            f"{row[DOCUMENT]};{subject and code_of(subject)};{quantity and _number(quantity)};"
            f"{total and _number(total)};{row[OPERATION]};{row[SHIFT]}"
        )
        return zlib.crc32(told.encode("utf-8", "replace")) or 1


@lru_cache(maxsize=4096)
def _number(text: str) -> str:
    text = text.replace(",", ".")
    return text.rstrip("0").rstrip(".") if "." in text else text


@lru_cache(maxsize=1024)
def day_of(text: str) -> date:
    """``14.09.2026``. Errors: BadMessage."""
    try:
        day, month, year = text.strip().split(".")
        return date(int(year), int(month), int(day))
    except ValueError:
        raise bad("date", text, "DD.MM.YYYY") from None
