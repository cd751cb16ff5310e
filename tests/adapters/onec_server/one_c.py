"""A 1C that publishes OData 3, in memory, with the quirks of docs/adapters/onec_server.md; read by its own grammar.

Nothing of the adapter is used here: what it writes is understood by another hand.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid5

ZEROS = "00000000-0000-0000-0000-000000000000"
BOM = b"\xef\xbb\xbf"
ROOT = "odata/standard.odata/"
USER, PASSWORD = "Обмен", "пароль"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
TOKEN = re.compile(
    r"\s*(?:(?P<guid>guid'[0-9a-f-]{36}')|(?P<moment>datetime'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d')|(?P<text>'(?:[^']|'')*')"
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<flag>true|false)\b|(?P<word>\w+))"
)

Row = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]


def literal(text: str) -> Any:
    """What a literal means: a GUID, a moment, a text, a number, a boolean. Errors: ValueError."""
    match = TOKEN.fullmatch(text)
    if match is None or match.lastgroup in (None, "word"):
        raise ValueError(text)
    found = match[match.lastgroup]
    return {
        "guid": lambda: UUID(found[5:-1]),
        "moment": lambda: datetime.fromisoformat(found[9:-1]),
        "text": lambda: found[1:-1].replace("''", "'"),
        "number": lambda: Decimal(found),
        "flag": lambda: found == "true",
    }[match.lastgroup]()


class Refused(Exception):
    """An error of OData, as 1C tells it."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code)
        self.status, self.code = status, code


class OneC:
    """Sets of rows by name. ``limits``: properties that a new row may have, by set; others are dropped silently."""

    def __init__(self, sets: Mapping[str, list[Row]], limits: Mapping[str, set[str]] | None = None) -> None:
        self.sets = {name: [self._versioned(row) for row in rows] for name, rows in sets.items()}
        self.limits = dict(limits or {})
        self.sessions: set[str] = set()
        self.licences = 3
        self.takes_guids = True
        self.refuses_posting = False
        self.calls: list[str] = []
        self._count = 0
        self._refs: dict[str, tuple[dict[str, Row], int]] = {}

    def _versioned(self, row: Row) -> Row:
        number = getattr(self, "_version", 0) + 1
        self._version = number
        return {**row, "DataVersion": base64.b64encode(number.to_bytes(8)).decode()}

    def put(self, name: str, row: Row) -> None:
        """Write an object into a set, in the place of the one with its GUID: whatever is written has a new version."""
        kept = [each for each in self.sets[name] if each["Ref_Key"] != row["Ref_Key"]]
        self.sets[name] = [*kept, self._versioned(row)]
        self._refs.pop(name, None)

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        told = {name.lower(): value for name, value in headers.items()}
        self.calls.append(f"{method} {target}")
        if told.get("authorization") != BASIC:
            return 401, {"www-authenticate": "Basic"}, b"<html>401</html>"
        return self._in_session(told, lambda: self._served(method, target.lstrip("/"), told, body))

    def _in_session(self, headers: Mapping[str, str], serve: Callable[[], Answer]) -> Answer:
        wish, cookie = headers.get("ibsession", ""), headers.get("cookie", "").removeprefix("ibsession=")
        if wish == "start":
            if len(self.sessions) >= self.licences:
                return 406, {}, b""
            self._count += 1
            self.sessions.add(f"s{self._count}")
            status, more, body = serve()
            return status, {**more, "set-cookie": f"ibsession=s{self._count}; path=/"}, body
        if cookie and cookie not in self.sessions:
            return 400, {"content-type": "text/html"}, b"<html>Bad Request</html>"
        if wish == "finish":
            self.sessions.discard(cookie)
        return serve()

    def _served(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        path, asked = parsed(target)
        if path == "ws/InterfaceVersion.1cws":
            return 200, {"content-type": "text/xml"}, b"<soap:Envelope/>"
        try:
            assert path.startswith(ROOT) and "+" not in target
            status, value = self._answer(method, path.removeprefix(ROOT), asked, headers, body)
        except Refused as error:
            told = {"odata.error": {"code": error.code, "message": {"lang": "ru", "value": "Ошибка при …"}}}
            return error.status, {"content-type": "application/json"}, json.dumps(told).encode()
        return status, {"content-type": "application/json;odata=minimalmetadata"}, BOM + said(value)

    def _answer(
        self, method: str, path: str, asked: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Any]:
        match = re.fullmatch(r"(\w+)(?:\((.+)\))?(/Post)?", path)
        if match is None:
            raise Refused(400, "6")
        name, key, post = match.groups()
        if name not in self.sets:
            raise Refused(404, "8")
        if method == "GET" and key is None:
            return 200, {"odata.metadata": f"…#{name}", "value": list(self._listed(name, asked))}
        if method == "POST" and key is None:
            return 201, self._made(name, json.loads(body, parse_float=Decimal))
        row = self._row(name, str(literal(key or "")))
        if method == "POST" and post:
            if self.refuses_posting:
                raise Refused(500, "-1")
            row["Posted"] = True
            return 200, {}
        if method != "PATCH":
            raise Refused(405, "19")
        if headers.get("if-match") not in (None, row["DataVersion"]):
            raise Refused(412, "0")
        row.update({n: v for n, v in json.loads(body, parse_float=Decimal).items() if n in row})
        row.update(self._versioned(row))
        return 200, row

    def _names(self, name: str) -> set[str]:
        return set(self.sets[name][0]) if self.sets[name] else set()

    def _by_ref(self, name: str) -> Mapping[str, Row]:
        kept, size = self._refs.get(name, ({}, -1))
        if size != len(self.sets[name]) or size < 100:
            kept = {row["Ref_Key"]: row for row in self.sets[name]}
            self._refs[name] = kept, len(kept)
        return kept

    def _row(self, name: str, ref: str) -> Row:
        if ref not in self._by_ref(name):
            raise Refused(404, "9")
        return self._by_ref(name)[ref]

    def _made(self, name: str, told: Row) -> Row:
        known = self.limits.get(name, set(told))
        row = {n: v for n, v in told.items() if n in known or n == "Ref_Key"}
        if not self.takes_guids:
            row["Ref_Key"] = str(uuid5(UUID(int=1), f"{name}{len(self.sets[name])}"))
        if any(each["Ref_Key"] == row["Ref_Key"] for each in self.sets[name]):
            raise Refused(400, "15")
        row = self._versioned({**dict.fromkeys(known), **row, "DeletionMark": False, "Posted": False})
        self.sets[name].append(row)
        return row

    def _listed(self, name: str, asked: Mapping[str, str]) -> Iterator[Row]:
        rows, known = self.sets[name], self.limits.get(name) or self._names(name)
        known |= {"Ref_Key", "DataVersion"}
        true(asked.get("$filter", ""), {}, known)
        _, wanted = terms(asked.get("$filter", ""))
        if wanted and {(each, sign) for each, sign, _ in wanted} == {("Ref_Key", "eq")}:
            refs = self._by_ref(name)
            rows = [refs[ref] for _, _, ref in wanted if ref in refs]
        elif wanted:
            rows = [row for row in rows if true(asked["$filter"], row, known)]
        if asked.get("$orderby") == "Ref_Key":  # by the presentation, but stably
            rows = sorted(rows, key=lambda row: (str(row.get("Description", "")), row["Ref_Key"]))
        elif asked.get("$orderby") == "Date,Ref_Key":
            rows = sorted(rows, key=lambda row: (row["Date"], row["Ref_Key"]))
        if "$inlinecount" not in asked:
            rows = rows[int(asked.get("$skip", 0)) :][: int(asked.get("$top", len(rows)))]
        select = asked["$select"].split(",") if "$select" in asked else None
        for row in rows:
            if select and not set(select) <= known | {"DeletionMark", "IsFolder"}:
                raise Refused(400, "10")
            yield {n: row.get(n) for n in select} if select else row


@lru_cache(10_000)
def parsed(target: str) -> tuple[str, Mapping[str, str]]:
    """Path and options, each percent-encoded once as UTF-8. Errors: UnicodeDecodeError."""
    path, _, query = target.partition("?")
    parts = [part.partition("=") for part in query.split("&")] if query else []
    return unquote(path, errors="strict"), {name: unquote(value, errors="strict") for name, _, value in parts}


def said(value: Any) -> bytes:
    """JSON with numbers as they are kept, whatever their digits."""
    numbers: list[str] = []

    def plain(each: Any) -> str:
        assert isinstance(each, Decimal)
        numbers.append(str(each))
        return f"\0{len(numbers) - 1}\0"

    text = json.dumps(value, ensure_ascii=False, default=plain)
    return re.sub(r'"\\u0000(\d+)\\u0000"', lambda match: numbers[int(match[1])], text).encode()


Term = tuple[str, str, Any]


@lru_cache(10_000)
def terms(filter_: str) -> tuple[str, tuple[Term, ...]]:
    """``a eq literal`` or ``a ge literal``, joined by ``or`` or by ``and``: by which, and all of them. Other words are
    error 14, other literals error 1."""
    rest, found, joints = filter_, [], set()
    while rest:
        name = TOKEN.match(rest)
        sign = re.match(r" (eq|ge) ", rest[name.end() :]) if name and name.lastgroup == "word" else None
        if name is None or sign is None:
            raise Refused(400, "14")
        value = TOKEN.match(rest, name.end() + 4)
        if value is None:
            raise Refused(400, "1")
        meant = literal(value[0].strip())
        found.append((name["word"], sign[1], str(meant) if isinstance(meant, UUID) else meant))
        rest = rest[value.end() :]
        if rest:
            joint = re.match(r" (or|and) ", rest)
            if joint is None:
                raise Refused(400, "14")
            joints.add(joint[1])
            rest = rest[joint.end() :]
    if len(joints) > 1:
        raise Refused(400, "14")
    return "".join(joints) or "or", tuple(found)


def holds(term: Term, row: Row) -> bool:
    name, sign, value = term
    told = row.get(name)
    if isinstance(value, datetime) and isinstance(told, str):
        told = datetime.fromisoformat(told)
    return told == value or (sign == "ge" and told is not None and told > value)


def true(filter_: str, row: Row, known: set[str]) -> bool:
    """Whether the row is one of those. Another name is error 10, also where there are no rows."""
    joint, wanted = terms(filter_)
    if not {name for name, _, _ in wanted} <= known:
        raise Refused(400, "10")
    found = [holds(term, row) for term in wanted]
    return not wanted or (all(found) if joint == "and" else any(found))


# A shop's base ------------------------------------------------------------------------------------------------------


def ref(number: int) -> str:
    return f"6f0c2a4e-0000-4000-8000-{number:012d}"


def folder(row: Row) -> Row:
    return {"DeletionMark": False, "IsFolder": False, **row}
