"""Calls to the far side, compiled: what is said, and what the answer means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from adapters.contract import Calling, HttpCall, HttpReply, Link, WireRequest, checked, http
from adapters.declarative.answers import Answers, check
from adapters.declarative.clauses import Clauses
from adapters.declarative.mistakes import Steps, shown
from adapters.declarative.outline import NOT_YET, REFUSED
from adapters.declarative.paths import Look
from adapters.declarative.rules import Condition
from adapters.declarative.scope import MISSING, Scope
from adapters.declarative.writing import CONTENT_TYPES, as_told, written
from adapters.parsing import bad
from processing.errors import BadMessage, LinkRefused, NotYet

_PATH = re.compile(r"[A-Za-z0-9._~/-]*")
METHOD = "REPLY"
# How long a far side that is not ready is left alone.
DEFAULT_SECONDS = 60


@dataclass(frozen=True)
class Meaning:
    """What an answer of these statuses means; no statuses: any of 2xx."""

    statuses: frozenset[int]
    when: tuple[Condition, ...]
    means: str
    seconds: int

    def fits(self, status: int, scope: Scope) -> bool:
        """Whether it is this one. Errors: BadMessage for an answer that cannot be read."""
        is_meant = status in self.statuses if self.statuses else 200 <= status < 300
        return is_meant and all(condition.holds(scope) for condition in self.when)

    @property
    def told(self) -> str:
        """In words of the document, not of the far side."""
        return ", ".join(f"{each.at} is {each.wanted}" for each in self.when)


@dataclass(frozen=True)
class PlannedCall:
    """A call, but for what it is about; ``read`` is how the answer is written."""

    method: str
    path: Look
    query: Mapping[str, Look]
    headers: Mapping[str, Look]
    body: Look | None
    write: str
    read: str
    repeatable: bool
    meanings: tuple[Meaning, ...]
    namespaces: Mapping[str, str]

    def call(self, scope: Scope) -> HttpCall:
        """The call about what the scope looks at. Errors: BadMessage for what cannot be said of it, LinkRefused."""
        query = urlencode(_told(self.query, scope))
        headers = _told(self.headers, scope)
        body = b""
        if self.body is not None:
            body = written(self.write, self.body(scope), self.namespaces)
            headers = {"content-type": CONTENT_TYPES[self.write], **headers}
        path = "/" + self.path(scope).strip("/") + (f"?{query}" if query else "")
        return HttpCall(self.method, path, headers, body, repeatable=self.repeatable)

    def say(self, scope: Scope) -> Calling[HttpReply]:
        """Say it; what was answered. Errors: LinkRefused for what cannot be said, and those of the line."""
        try:
            call = self.call(scope)
        except BadMessage as error:
            raise LinkRefused(f"it cannot be said: {error.message}") from None
        return (yield from http(call))

    def heard(self, reply: HttpReply, link: Link, at: datetime) -> Scope:
        """The answer, where it is a yes. Errors: LinkRefused, NotYet, LinkDown, BadMessage."""
        scope = Scope(WireRequest(METHOD, "", "", reply.headers, reply.body, METHOD, at), link, self.read)
        if not reply.body.strip():  # many say yes without a word
            scope.body = {}
        meaning = next((each for each in self.meanings if each.fits(reply.status, scope)), None)
        if meaning is None:
            checked(reply)
        elif meaning.means == REFUSED:
            raise LinkRefused(f"HTTP {reply.status}, {meaning.told or 'which means a no'}")
        elif meaning.means == NOT_YET:
            raise NotYet(f"HTTP {reply.status}, {meaning.told or 'which means not yet'}", meaning.seconds)
        return scope


def _told(looks: Mapping[str, Look], scope: Scope) -> dict[str, str]:
    """The values that are there, as text."""
    found = {name: look(scope) for name, look in looks.items()}
    return {name: as_told(value) for name, value in found.items() if value is not MISSING}


def planned(told: Mapping[str, Any], clauses: Clauses, make: Answers, path: Steps) -> PlannedCall:
    """What a section says. ``make`` compiles its values."""
    if told["method"] == "GET" and "body" in told:
        clauses.mistakes.say((*path, "body"), "expected none: a GET has no body")
    if "body" in told:
        check(told["write"], told["body"], (*path, "body"), clauses.namespaces, clauses.mistakes)
    return PlannedCall(
        method=told["method"],
        path=_path(told["path"], clauses, make, (*path, "path")),
        query=_looks(told["query"], make, (*path, "query")),
        headers=_looks(told["headers"], make, (*path, "headers")),
        body=make.tree(told["body"], (*path, "body")) if "body" in told else None,
        write=told["write"],
        read=told["read"],
        repeatable=told["repeatable"],
        meanings=tuple(
            _meaning(each, told["read"], clauses, (*path, "replies", n)) for n, each in enumerate(told["replies"])
        ),
        namespaces=clauses.namespaces,
    )


def _looks(told: Mapping[str, Any], make: Answers, path: Steps) -> dict[str, Look]:
    return {name: make.tree(value, (*path, name)) for name, value in told.items()}


def _path(told: Any, clauses: Clauses, make: Answers, path: Steps) -> Look:
    """A text, or a list of parts, in which every value is one step of the path."""
    parts = told if isinstance(told, list) and told else [told]
    looks: list[Look] = []
    for n, part in enumerate(parts):
        if isinstance(part, str) and _PATH.fullmatch(part):
            looks.append(make.tree(part, path))
        elif isinstance(part, dict) and isinstance(told, list):
            looks.append(_step(make.tree(part, (*path, n)), ".".join(map(str, (*path, n)))))
        else:
            text = f"found {shown(part)}, expected a path such as orders/new, or a list: [orders, {{at: id}}]"
            clauses.mistakes.say(path, text)
    return lambda scope: "/".join(str(look(scope)).strip("/") for look in looks)


def _step(look: Look, where: str) -> Look:
    """One step of a path, whatever the value has in it. Errors: BadMessage for an empty one."""

    def step(scope: Scope) -> str:
        value = look(scope)
        if value is MISSING or value == "":
            raise bad(where, "", "a value")
        return quote(as_told(value), safe="")

    return step


def _meaning(told: Mapping[str, Any], read: str, clauses: Clauses, path: Steps) -> Meaning:
    if "seconds" in told and told["means"] != NOT_YET:
        clauses.mistakes.say((*path, "seconds"), f"expected beside means: {NOT_YET} only")
    when = clauses.conditions(told["when"], read, (*path, "when"))
    return Meaning(frozenset(told.get("status", ())), when, told["means"], told.get("seconds", DEFAULT_SECONDS))
