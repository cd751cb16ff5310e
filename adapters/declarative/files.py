"""Files of a document: lines of CSV, of JSON or of fixed width, each of which is one fact.

A line without its end is none; one that no rule takes, or that makes no sense, is told and stops nothing. The same file
may be read any number of times: the keys of the commands make each line happen once.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from adapters.contract import BROKEN, OTHER, UNFINISHED, FileFace, Found, Link, Source, WireRequest
from adapters.declarative.rules import Rules
from adapters.declarative.scope import FORM, JSON, Scope
from adapters.json_parsing import parse_json
from adapters.parsing import bad
from processing.errors import BadMessage

CSV, JSON_LINES, FIXED = "csv", "jsonl", "fixed"
KINDS = (CSV, JSON_LINES, FIXED)
ENCODINGS = ("utf-8", "cp1251", "utf-16", "cp866")
MAX_LINE = 64 << 10
_BOM = "\ufeff"

Row = Mapping[str, object]


@dataclass(frozen=True)
class Lines:
    """How the lines are written. ``columns``: those of a file without a header line, or of fixed width, with the places
    of their first and last characters; with ``has_header`` those that its header must have."""

    kind: str
    encoding: str
    separator: str
    has_header: bool
    columns: Mapping[str, tuple[int, int]]
    rules: Rules
    names: tuple[str, ...]

    def face(self) -> FileFace:
        return FileFace(lambda link: self.names, self.read)

    def read(self, source: Source, link: Link) -> Iterator[Found]:
        """One Found for each line. Errors: BadMessage for a file with another header, before the first."""
        row: Callable[[str], Row] | None = None
        number = 0
        for line, is_whole in _lines(source.chunks, self.encoding):
            number += 1
            if not is_whole:
                kind, told = (UNFINISHED, "has no end") if len(line) <= MAX_LINE else (BROKEN, "is too long")
                yield Found(kind=kind, note=f"line {number} {told}")
                return
            if not line.strip():
                continue
            if row is None:
                row = self._reader(line)
                if self.has_header:
                    continue
            yield self._found(row, line, number, source, link)

    def _found(self, row: Callable[[str], Row], line: str, number: int, source: Source, link: Link) -> Found:
        request = WireRequest("FILE", source.name, "", {}, b"", f"{source.name}:{number}", source.at)
        try:
            scope = Scope(request, link, JSON if self.kind == JSON_LINES else FORM)
            scope.body = row(line)
            rule, scope = self.rules.choose(scope)
            asks = (rule.ask(scope),) if rule.ask else ()
        except BadMessage as error:
            return Found(kind=BROKEN, note=f"line {number}: {error.message}", raw=(line,))
        return Found(asks, note=f"line {number}", raw=(line,)) if asks else Found(kind=OTHER, note=f"line {number}")

    def _reader(self, first: str) -> Callable[[str], Row]:
        """What reads a line; the first one tells what the columns are. Errors: BadMessage."""
        if self.kind == JSON_LINES:
            parse_json(first.encode())
            return lambda line: _members(parse_json(line.encode()).value)
        if self.kind == FIXED:
            return lambda line: {name: line[begin - 1 : end].strip() for name, (begin, end) in self.columns.items()}
        names = self._cells(first) if self.has_header else list(self.columns)
        lacking = sorted(set(self.columns) - set(names))
        if lacking:
            raise bad("line 1", first, "the columns " + ", ".join(lacking))
        return lambda line: dict(zip(names, self._cells(line), strict=False))

    def _cells(self, line: str) -> list[str]:
        """Errors: BadMessage."""
        try:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=self.separator, strict=True))]
        except (csv.Error, StopIteration):
            raise bad("line", line, "cells with their quotes closed") from None


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
            yield line.rstrip("\r").removeprefix(_BOM if is_first else ""), True
            is_first = False
        if len(rest) > MAX_LINE:
            break
    if rest:
        yield rest, False
