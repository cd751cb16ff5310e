"""Lines of a file that make one document together: those alike in some columns, or a first line and what follows.

A document is over when its last line was read: where another key begins, where the next first line stands, or with a
line that ends it. What nothing has ended yet is told when it is, so that a file may grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.contract import BROKEN, OTHER, UNFINISHED
from adapters.declarative.clauses import OTHERWISE, Clauses, in_order
from adapters.declarative.lines import JSON_LINES, Line, Lines, Row
from adapters.declarative.mistakes import Steps
from adapters.declarative.paths import Look, message_path
from adapters.declarative.rules import Case, Condition, chosen
from adapters.declarative.scope import FORM, JSON, MISSING, Scope
from adapters.declarative.values import as_text
from adapters.parsing import bad
from processing.errors import BadMessage

# So many lines may one document have; a receipt has fewer.
MAX_LINES = 2_000
# Under this name a document has the line that has ended it.
END = "end"


@dataclass(slots=True)
class Document:
    """The values of the first line, lists of rows, and the line at the end. ``kind`` and ``note`` say what is wrong."""

    body: dict[str, Any]
    first: int
    last: int
    raw: list[str]
    kind: str = ""
    note: str = ""

    @property
    def place(self) -> str:
        return f"line {self.first}" if self.first == self.last else f"lines {self.first} to {self.last}"

    def spoil(self, note: str) -> None:
        self.kind, self.note = BROKEN, self.note or note


@dataclass(frozen=True)
class Group:
    """``by``: what lines of one document have in common. Or ``begins``: what its first line is like, and every document
    needs its end where there are ``ends``. ``lists``: which lines go into which list; a line has one place."""

    by: tuple[tuple[str, Look], ...]
    begins: tuple[Condition, ...]
    ends: tuple[Condition, ...]
    lists: tuple[Case, ...]

    def documents(self, lines: Iterable[Line], scope: Scope) -> Iterator[Document]:
        """All that are over, and whatever stands between and behind them. ``scope``: of the file."""
        return _Grouping(self, scope).documents(lines)


@dataclass
class _Grouping:
    """One reading. ``is_doubtful``: a line that made no sense may have been of the document that comes next."""

    group: Group
    scope: Scope
    key: tuple[str, ...] = ()
    open: Document | None = None
    is_doubtful: bool = False

    def documents(self, lines: Iterable[Line]) -> Iterator[Document]:
        for line in lines:
            try:
                yield from self._unreadable(line) if line.row is None else self._row(line, line.row)
            except BadMessage as error:
                told = Line(line.number, line.text, None, BROKEN, f"line {line.number}: {error.message}")
                yield from self._unreadable(told)
        if self.open is not None:
            self.open.kind, self.open.note = UNFINISHED, f"{self.open.place} not ended"
            yield self.open

    def _unreadable(self, line: Line) -> Iterator[Document]:
        """It spoils the document that it stands in, and perhaps the next: nobody knows whose it was."""
        self.is_doubtful = line.kind == BROKEN
        if self.open is not None and line.kind == BROKEN:
            self._add(line)
            self.open.spoil(line.note)
        else:
            yield Document({}, line.number, line.number, [line.text], line.kind, line.note)

    def _row(self, line: Line, row: Row) -> Iterator[Document]:
        """What the row ends. Errors: BadMessage, before it has changed anything."""
        scope = self.scope.about(row)
        if self.group.ends and _holds(self.group.ends, scope):
            yield from self._end(line, row)
        elif self.group.by:
            yield from self._keyed(line, row, scope)
        elif _holds(self.group.begins, scope):
            yield from self._closed(is_whole=not self.group.ends)
            self._begin(line, row)
        elif self.open is not None:
            self._add(line)
            self._list(row, scope, line)
        else:
            yield _stray(line)

    def _keyed(self, line: Line, row: Row, scope: Scope) -> Iterator[Document]:
        key = tuple(_key(look(scope), name) for name, look in self.group.by)
        if self.open is None or key != self.key:
            yield from self._closed()
            self._begin(line, row)
            self.key = key
        else:
            self._add(line)
        self.is_doubtful = False
        self._list(row, scope, line)

    def _begin(self, line: Line, row: Row) -> None:
        body = {**row, **{each.name: [] for each in self.group.lists}}
        self.open = Document(body, line.number, line.number, [line.text])
        if self.is_doubtful and self.group.by:
            self.open.spoil(f"line {line.number}: the line before it makes no sense")
        self.is_doubtful = False

    def _add(self, line: Line) -> None:
        assert self.open is not None
        self.open.last = line.number
        if len(self.open.raw) < MAX_LINES:
            self.open.raw.append(line.text)
        else:
            self.open.spoil(f"line {line.number}: expected at most {MAX_LINES} lines")

    def _list(self, row: Row, scope: Scope, line: Line) -> None:
        assert self.open is not None
        try:
            name = chosen(self.group.lists, scope, "line").name
        except BadMessage as error:
            self.open.spoil(f"line {line.number}: {error.message}")
        else:
            if not self.open.kind:
                self.open.body[name].append(row)

    def _end(self, line: Line, row: Row) -> Iterator[Document]:
        if self.open is None:
            yield _stray(line)
            return
        self._add(line)
        self.open.body[END] = row
        yield from self._closed()

    def _closed(self, is_whole: bool = True) -> Iterator[Document]:
        if self.open is not None:
            if not is_whole:
                self.open.spoil(f"{self.open.place}: the next begins before it has ended")
            yield self.open
        self.open = None


def _stray(line: Line) -> Document:
    return Document({}, line.number, line.number, [line.text], OTHER, f"line {line.number}")


def _key(found: Any, name: str) -> str:
    """Errors: BadMessage."""
    text = as_text(found, name)
    if text is MISSING:
        raise bad(name, "", "a value")
    return str(text)


def _holds(conditions: tuple[Condition, ...], scope: Scope) -> bool:
    return all(condition.holds(scope) for condition in conditions)


def compiled(told: Mapping[str, Any], lines: Lines, clauses: Clauses, path: Steps) -> Group:
    """What the section says."""
    kind = JSON if lines.kind == JSON_LINES else FORM
    known = {*lines.columns, *(name for names in lines.records.values() for name in names)}
    by = []
    for n, name in enumerate(told.get("by", ())):
        if lines.kind == JSON_LINES or name in known:
            by.append((name, message_path(name, kind, {})))
        else:
            clauses.mistakes.unknown((*path, "by", n), name, "a column", known)
    for name in told["lists"]:
        if name in known or name == END:
            clauses.mistakes.say((*path, "lists", name), "is the name of a column already")
    found = {
        name: clauses.conditions(told[name], kind, (*path, name)) if name in told else () for name in ("begins", "ends")
    }
    for name, conditions in found.items():
        if name in told and not conditions:
            clauses.mistakes.say((*path, name), "expected a mapping of columns to texts")
    return Group(tuple(by), found["begins"], found["ends"], _lists(told["lists"], kind, clauses, (*path, "lists")))


def _lists(told: Mapping[str, Any], kind: str, clauses: Clauses, path: Steps) -> tuple[Case, ...]:
    found: list[Case] = []
    for name, when in told.items():
        conditions = clauses.conditions(when, kind, (*path, name))
        case = Case(name=name, when=conditions, otherwise=when == OTHERWISE)
        for other in found:
            if case.overlaps(other):
                clauses.ambiguous(other, (*path, name))
        found.append(case)
    return in_order(found)
