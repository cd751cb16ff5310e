"""Lines of a file: of CSV, of JSON or of fixed width, each of which is a row of named values.

A line without its end is none; one that makes no sense is told and stops nothing.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.contract import BROKEN, UNFINISHED
from adapters.declarative.mistakes import Mistakes, Steps, shown
from adapters.json_parsing import parse_json
from adapters.parsing import bad
from processing.errors import BadMessage

CSV, JSON_LINES, FIXED = "csv", "jsonl", "fixed"
KINDS = (CSV, JSON_LINES, FIXED)
ENCODINGS = ("utf-8", "cp1251", "utf-16", "cp866")
MAX_LINE = 64 << 10
# Under this name a row has the first cell of a line of records.
RECORD = "record"
_BOM = "\ufeff"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its number; ``row`` is ``None`` where there is none, and then ``kind`` and ``note`` say why."""

    number: int
    text: str
    row: Row | None
    kind: str = ""
    note: str = ""


@dataclass(frozen=True)
class Lines:
    """How the lines are written. ``columns``: those of a file without a header line, or of fixed width, with the places
    of their first and last characters; with ``has_header`` those that its header must have. ``records``: the columns
    behind the first cell, by what stands in it."""

    kind: str
    encoding: str
    separator: str
    has_header: bool
    columns: Mapping[str, tuple[int, int]]
    records: Mapping[str, list[str]]

    def read(self, chunks: Iterable[bytes]) -> Iterator[Line]:
        """The lines that have something in them. Errors: BadMessage for a file with another header, before the
        first."""
        row: Callable[[str], Row] | None = None
        for number, (text, is_whole) in enumerate(_lines(chunks, self.encoding), 1):
            if not is_whole:
                kind, told = (UNFINISHED, "has no end") if len(text) <= MAX_LINE else (BROKEN, "is too long")
                yield Line(number, text[:MAX_LINE], None, kind, f"line {number} {told}")
                return
            if not text.strip():
                continue
            if row is None:
                row = self._reader(text)
                if self.has_header:
                    continue
            try:
                yield Line(number, text, row(text))
            except BadMessage as error:
                yield Line(number, text, None, BROKEN, f"line {number}: {error.message}")

    def _reader(self, first: str) -> Callable[[str], Row]:
        """What reads a line; the first one tells what the columns are. Errors: BadMessage."""
        if self.kind == JSON_LINES:
            parse_json(first.encode())
            return lambda line: _members(parse_json(line.encode()).value)
        if self.kind == FIXED:
            return lambda line: {name: line[begin - 1 : end].strip() for name, (begin, end) in self.columns.items()}
        if self.records:
            return self._record
        names = self._cells(first) if self.has_header else list(self.columns)
        lacking = sorted(set(self.columns) - set(names))
        if lacking:
            raise bad("line 1", first, "the columns " + ", ".join(lacking))
        return lambda line: dict(zip(names, self._cells(line), strict=False))

    def _record(self, line: str) -> Row:
        first, *cells = self._cells(line)
        return {**dict(zip(self.records.get(first, ()), cells, strict=False)), RECORD: first}

    def _cells(self, line: str) -> list[str]:
        """Errors: BadMessage."""
        try:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=self.separator, strict=True))]
        except (csv.Error, StopIteration):
            raise bad("line", line, "cells with their quotes closed") from None


def compiled(told: Mapping[str, Any], mistakes: Mistakes, path: Steps) -> Lines:
    """What the section says of its lines."""
    kind, records = told["lines"], told["records"]
    if records and (kind != CSV or told["columns"]):
        mistakes.say((*path, "records"), "expected lines: csv, and no columns")
    has_header = bool(told["header"]) and kind == CSV and not records
    columns = {} if records else _columns(told, mistakes, (*path, "columns"))
    return Lines(kind, told["encoding"], told["separator"], has_header, columns, records)


def _columns(told: Mapping[str, Any], mistakes: Mistakes, path: Steps) -> dict[str, tuple[int, int]]:
    """Names, or names with the places of their first and last characters."""
    columns = told["columns"]
    if told["lines"] == FIXED:
        places = columns if isinstance(columns, dict) else {}
        if places and all(_is_place(place) for place in places.values()):
            return {name: (place[0], place[1]) for name, place in places.items()}
        mistakes.say(path, "expected {name: [first, last]}, counted from 1")
    elif not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        mistakes.say(path, f"found {shown(columns)}, expected a list of names")
    elif not columns and told["lines"] == CSV:
        mistakes.say(path, "expected the names of columns")
    else:
        return dict.fromkeys(columns, (0, 0))
    return {}


def _is_place(told: Any) -> bool:
    is_pair = isinstance(told, list) and len(told) == 2 and all(type(each) is int for each in told)
    return is_pair and 1 <= told[0] <= told[1]


def _members(value: object) -> Row:
    """Errors: BadMessage."""
    if not isinstance(value, dict):
        raise bad("line", value, "an object")
    return value


def _lines(chunks: Iterable[bytes], encoding: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it has its end; behind one that is longer than anybody's nothing is read."""
    decode, rest, is_first = codecs.getincrementaldecoder(encoding)("replace").decode, "", True
    for chunk in chunks:
        *lines, rest = (rest + decode(chunk)).split("\n")
        for line in lines:
            if len(line) > MAX_LINE:  # wherever the pieces are cut
                yield line, False
                return
            yield line.rstrip("\r").removeprefix(_BOM if is_first else ""), True
            is_first = False
        if len(rest) > MAX_LINE:
            break
    if rest:
        yield rest, False
