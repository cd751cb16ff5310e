"""Problems of a configuration in words: the file, the path inside it, what was found and what was expected.

marshmallow tells what is wrong, and a path; schema and raw data are walked beside its messages for the rest.
A field may say in its own words what it takes, by an error message that begins with ``expected ``; one with
``metadata={"secret": True}`` never has its value shown.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, missing

from gateway.yaml_files import Steps, lines_of

MAX_SHOWN = 60

Described = Schema | fields.Field[Any] | None

EXPECTED = "expected "
# What the others take, by kind.
_TAKEN = {
    fields.String: "text",
    fields.Integer: "a whole number",
    fields.Boolean: "true or false",
    fields.Nested: "a mapping",
    fields.Dict: "a mapping",
    fields.List: "a list",
}
# marshmallow's own sentences; ``None``: say what the field takes.
_SENTENCES = (
    (re.compile(r"(?:Not a valid|Invalid|Field may not be null|Missing data)\b.*"), None),
    (re.compile(r"Must be (.*?)\.?"), r"\1"),
    (re.compile(r"Shorter than minimum length (\d+)\."), r"at least \1 of them"),
)


class Problems:
    """What was found wrong so far, one line for each problem, with the file's line where its path leads to one."""

    def __init__(self, root: Path) -> None:
        self.lines: list[str] = []
        self._root = root

    def say(self, file: str, path: Sequence[str | int], text: str) -> None:
        where = self._line(file, tuple(path)) if path else None
        at = f"{file}:{where}" if where else file
        self.lines.append(": ".join(filter(None, (at, dotted(path), text))))

    def _line(self, file: str, path: Steps) -> int | None:
        """The line of what the path leads to, else of the nearest thing around it."""
        lines = lines_of(self._root / file)
        return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)

    def explain(self, file: str, schema: Schema, raw: Any, messages: Any) -> None:
        """What marshmallow says about the raw data of a file."""
        for path, text in _explained(schema, raw, messages, ()):
            self.say(file, path, text)

    def check_known(self, file: str, path: Steps, what: str, found: str, known: Iterable[str]) -> None:
        """A reference must lead to something that exists; ``what`` says what it should be."""
        names = sorted(known)
        if found not in names:
            listed = ", ".join(names) or "none is configured"
            self.say(file, path, f"found {shown(found)}, expected {what} ({listed}){did_you_mean(found, names)}")

    def check_unique(self, file: str, name: str, codes: Sequence[str]) -> None:
        """The codes of the list ``name`` must differ."""
        first: dict[str, int] = {}
        for n, code in enumerate(codes):
            if first.setdefault(code, n) != n:
                where = dotted((name, first[code], "code"))
                self.say(file, (name, n, "code"), f"found {shown(code)} again; {where} has it already")


def shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def dotted(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path))


def did_you_mean(found: Any, known: Iterable[Any]) -> str:
    close = difflib.get_close_matches(str(found), [str(name) for name in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _explained(described: Described, raw: Any, messages: Any, path: Steps) -> Iterator[tuple[Steps, str]]:
    """Path and text of every problem; ``described`` is the schema or field that the messages are about."""
    if isinstance(messages, list):
        yield from ((path, _problem(described, raw, str(message))) for message in messages)
        return
    for key, inner in messages.items():
        at = (*path, key)
        if key == "_schema":
            yield from _explained(described, raw, inner, path)
        elif isinstance(described, fields.Dict):  # tells problems of a key and of its value apart
            parts = inner if isinstance(inner, dict) else {"value": inner}
            yield from _explained(described.key_field, key, parts.get("key", []), at)
            yield from _explained(described.value_field, _item(raw, key), parts.get("value", []), at)
        elif isinstance(described, fields.List):
            yield from _explained(described.inner, _item(raw, key), inner, at)
        else:
            known = _keys(described)
            if key not in known and inner == ["Unknown field."]:
                yield at, f"unknown key, expected one of {', '.join(known)}{did_you_mean(key, known)}"
            else:
                yield from _explained(known.get(key), _item(raw, key), inner, at)


def _keys(described: Described) -> dict[str, fields.Field[Any]]:
    schema = described.schema if isinstance(described, fields.Nested) else described
    return {f.data_key or name: f for name, f in schema.fields.items()} if isinstance(schema, Schema) else {}


def _item(raw: Any, key: Any) -> Any:
    try:
        return raw[key]
    except (KeyError, IndexError, TypeError):
        return missing


def _problem(described: Described, raw: Any, message: str) -> str:
    found = _found(described, raw)
    if message.startswith(EXPECTED):
        quotes = type(raw) is int and isinstance(described, fields.String)
        return f"{found}, {message}" + (f'; write a number in quotes: "{raw}"' if quotes else "")
    taken = next((words for kind, words in _TAKEN.items() if isinstance(described, kind)), "a value")
    for pattern, words in _SENTENCES:
        if match := pattern.fullmatch(message):
            return f"{found}, {EXPECTED}{match.expand(words) if words else taken}"
    return message if isinstance(described, Schema) else f"{found}: {message}"


def _found(described: Described, raw: Any) -> str:
    if raw is missing:
        return "missing"
    secret = isinstance(described, fields.Field) and described.metadata.get("secret")
    return "found a literal" if secret else f"found {shown(raw)}"
