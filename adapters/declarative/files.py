"""Files of a document: each line is one fact, or several lines are (``groups``).

The same file may be read any number of times: the keys of the commands make each fact happen once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.contract import BROKEN, OTHER, FileFace, Found, Link, Source, WireRequest
from adapters.declarative import groups, lines
from adapters.declarative.clauses import Clauses
from adapters.declarative.groups import Document, Group
from adapters.declarative.lines import JSON_LINES, Lines
from adapters.declarative.mistakes import Steps
from adapters.declarative.rules import Fact, chosen
from adapters.declarative.scope import FORM, JSON, Scope
from processing.errors import BadMessage

METHOD = "FILE"


@dataclass(frozen=True)
class Reader:
    """How files are read, and what their documents are. ``group`` is ``None`` where each line is one."""

    lines: Lines
    group: Group | None
    rules: tuple[Fact, ...]

    def read(self, source: Source, link: Link) -> Iterator[Found]:
        """One Found for each document. Errors: BadMessage for a file with another header, before the first."""
        request = WireRequest(METHOD, source.name, "", {}, b"", source.name, source.at)
        scope = Scope(request, link, JSON if self.lines.kind == JSON_LINES else FORM)
        for document in self._documents(source, scope):
            yield self._found(document, scope)

    def _documents(self, source: Source, scope: Scope) -> Iterator[Document]:
        found = self.lines.read(source.chunks)
        if self.group is not None:
            yield from self.group.documents(found, scope)
            return
        for line in found:
            yield Document(dict(line.row or {}), line.number, line.number, [line.text], line.kind, line.note)

    def _found(self, document: Document, scope: Scope) -> Found:
        raw = tuple(document.raw)
        if document.kind:
            return Found(kind=document.kind, note=document.note, raw=raw)
        own = scope.about(document.body)
        try:
            rule = chosen(self.rules, own, "line")
            if rule.ask is None:
                return Found(kind=OTHER, note=document.place, raw=raw)
            return Found((rule.ask(own),), note=document.place, raw=raw)
        except BadMessage as error:
            return Found(kind=BROKEN, note=f"{document.place}: {error.message}", raw=raw)


def face(told: Mapping[str, Any], clauses: Clauses, path: Steps) -> FileFace:
    """What the section says."""
    found = lines.compiled(told, clauses.mistakes, path)
    group = groups.compiled(told["group"], found, clauses, (*path, "group")) if "group" in told else None
    kind = JSON if found.kind == JSON_LINES else FORM
    reader = Reader(found, group, clauses.facts(told["rules"], kind, (*path, "rules")))
    names = tuple(told["names"])
    return FileFace(lambda link: names, reader.read)
