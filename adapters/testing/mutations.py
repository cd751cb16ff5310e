"""Messages as they come from a broken line or a till of another make: bytes and query strings, changed."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

# A value between quotes: of an XML attribute or of a JSON field.
VALUE = re.compile(rb'=\s*"([^"<]*)"|:\s*"([^"\n]*)"')
NUMBER = re.compile(rb"[0-9]+(?:\.[0-9]+)?")
# Where a piece of the message begins: a tag, or a field of JSON.
PIECE = re.compile(rb"<|[{,]\s*\"")
NASTY = [
    b"",
    b" ",
    b"0",
    b"-0",
    b"-1",
    b"+7",
    b"1.005",
    b"1e9",
    b".",
    b"NaN",
    b"9" * 19,
    b"9" * 400,
    "٣".encode(),
    b"2026-13-45",
    b"0001-01-01T00:00:00",
    b"9999-12-31T23:59:59",
    b"&#x1F600;",
    b"&#10;",
    b"{}",
    b"null",
    b"%",
    b"%ff%98",
    b"\x98",
]
# What a far side may say in the place of anything.
OTHER_VALUES: list[Any] = [
    None,
    "",
    " ",
    "x",
    "-1",
    "9" * 40,
    "2026-13-45",
    0,
    -1,
    2**70,
    True,
    Decimal("1.005"),
    [],
    {},
]
OTHER_VALUES += [[None], {"value": None}]
# A query string is what the server makes of the request line: Latin-1, never decoded.
QUERIES = st.text(st.characters(max_codepoint=255), max_size=80) | st.sampled_from(
    ["", "&", "=", "a", "a=1&a=2", "%", "%zz", "%C8%E2", "a=%00", "a[]=1", "+", "a=" + "9" * 400]
)


def mutated(body: bytes, draw: st.DataObject) -> bytes:
    """The body with one to three of: a byte changed, a cut, values swapped, a value spoilt, a piece moved."""
    for _ in range(draw.draw(st.integers(1, 3))):
        how = draw.draw(st.sampled_from([_flip, _cut, _swap, _spoil, _spoil_value, _repeat]))
        body = how(body, draw) if body else body
    return body


def spoilt(value: Any, draw: st.DataObject) -> Any:
    """A value of JSON or SOAP of which one part, or all, is something else."""
    if not value or not isinstance(value, dict | list) or draw.draw(st.integers(0, 3)) == 0:
        return draw.draw(st.sampled_from(OTHER_VALUES))
    if isinstance(value, list):
        at = draw.draw(st.integers(0, len(value) - 1))
        return [*value[:at], spoilt(value[at], draw), *value[at + 1 :]]
    name = draw.draw(st.sampled_from(sorted(value)))
    rest = {key: each for key, each in value.items() if key != name}
    return rest if draw.draw(st.booleans()) else {**rest, name: spoilt(value[name], draw)}


def mutated_query(query: str, draw: st.DataObject) -> str:
    """Another query string: the sample's, mutated as a body is, or any."""
    told = query.encode("latin-1", "replace")
    return mutated(told, draw).decode("latin-1") if told and draw.draw(st.booleans()) else draw.draw(QUERIES)


def _flip(body: bytes, draw: st.DataObject) -> bytes:
    at = draw.draw(st.integers(0, len(body) - 1))
    return body[:at] + draw.draw(st.binary(max_size=2)) + body[at + 1 :]


def _cut(body: bytes, draw: st.DataObject) -> bytes:
    return body[: draw.draw(st.integers(0, len(body)))]


def _swap(body: bytes, draw: st.DataObject) -> bytes:
    spans = _values(body)
    if len(spans) < 2:
        return body
    first, second = sorted(draw.draw(st.lists(st.sampled_from(spans), min_size=2, max_size=2, unique=True)))
    (a, b), (c, d) = first, second
    return body[:a] + body[c:d] + body[b:c] + body[a:b] + body[d:]


def _spoil(body: bytes, draw: st.DataObject) -> bytes:
    return _replaced(body, [match.span() for match in NUMBER.finditer(body)], draw)


def _spoil_value(body: bytes, draw: st.DataObject) -> bytes:
    return _replaced(body, _values(body), draw)


def _repeat(body: bytes, draw: st.DataObject) -> bytes:
    pieces = [match.start() for match in PIECE.finditer(body)]
    if len(pieces) < 2:
        return body
    a, b = sorted(draw.draw(st.lists(st.sampled_from(pieces), min_size=2, max_size=2, unique=True)))
    return draw.draw(st.sampled_from([body[:b] + body[a:], body[:a] + body[b:]]))


def _values(body: bytes) -> list[tuple[int, int]]:
    return [match.span(match.lastindex or 0) for match in VALUE.finditer(body)]


def _replaced(body: bytes, spans: list[tuple[int, int]], draw: st.DataObject) -> bytes:
    if not spans:
        return body
    start, end = draw.draw(st.sampled_from(spans))
    return body[:start] + draw.draw(st.sampled_from(NASTY)) + body[end:]
