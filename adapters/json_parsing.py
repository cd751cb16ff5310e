"""Bytes of a till -> one JSON document, and its values -> whole numbers, texts and rows: safely, or BadMessage.

The whole body is one document. Numbers stay the text that they were written as, so that no amount is ever a binary
fraction; they may come as strings. A ``Node`` knows where it stands (``positions[2].price``), and whatever it does
not like it refuses with that. It raises nothing but BadMessage.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from typing import Any

from adapters import parsing
from adapters.parsing import MAX_BYTES, MAX_CODE, bad
from processing.errors import TooLarge

MAX_DEPTH = 32
# Of a number with an exponent: more digits than any amount has.
MAX_EXPONENT = 18

_BOM = b"\xef\xbb\xbf"
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = re.compile(r"[^][{}]+")
# What no database keeps: NUL, and halves of characters, which only escapes can spell.
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


class Number(str):
    """A number as it was written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the document. A member that is missing is a node too, of ``None``."""

    value: Any
    where: str = ""

    def __bool__(self) -> bool:
        """Whether there is anything: neither missing, nor null, nor empty."""
        return self.value not in (None, "", {}, [])

    def get(self, name: str) -> Node:
        """The member of an object. Errors: BadMessage for what is no object."""
        if self.value is None:
            return Node(None, self._path(name))
        if not isinstance(self.value, dict):
            raise bad(self.where or "body", self.value, "an object")
        return Node(self.value.get(name), self._path(name))

    def rows(self, most: int) -> list[Node]:
        """The elements of an array; none where it is missing. Errors: BadMessage."""
        if self.value is None:
            return []
        if not isinstance(self.value, list) or len(self.value) > most:
            raise bad(self.where, self.value, f"an array of at most {most}")
        return [Node(value, f"{self.where}[{place}]") for place, value in enumerate(self.value)]

    def text(self, most: int = MAX_CODE) -> str:
        """A string, or a number as it was written; empty where it is missing. Errors: BadMessage."""
        if self.value is None:
            return ""
        if not isinstance(self.value, str) or len(self.value) > most:
            raise bad(self.where, self.value, f"at most {most} characters")
        return _NO_TEXT.sub("", self.value).strip()

    def minor(self) -> int:
        """An amount of major units in minor ones. Errors: BadMessage."""
        return parsing.minor(self._number(), self.where)

    def thousandths(self) -> int:
        """A quantity. Errors: BadMessage."""
        return parsing.thousandths(self._number(), self.where)

    def integer(self) -> int:
        """A whole number; ``2.0`` is one. Errors: BadMessage."""
        return parsing.integer(self._number(), self.where)

    def _number(self) -> str:
        text = self.text()
        if "e" not in text and "E" not in text:
            return text
        try:
            number = Decimal(text)
        except InvalidOperation:
            return text
        return f"{number:f}" if number.is_finite() and abs(number.adjusted()) <= MAX_EXPONENT else text

    def _path(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name


def parse_json(body: bytes) -> Node:
    """The document. A byte order mark is passed over.

    Errors: BadMessage for what is not UTF-8 or not JSON, for anything behind the document, NaN and infinities, a
    member that comes twice, and nesting deeper than MAX_DEPTH; TooLarge.
    """
    if len(body) > MAX_BYTES:
        raise TooLarge("message too large", where="body", value=len(body))
    try:
        text = body.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad("body", f"byte {error.start}", "UTF-8") from None
    if _depth(text) > MAX_DEPTH:
        raise bad("body", "", f"nesting of at most {MAX_DEPTH}")
    try:
        found = json.loads(
            text, parse_float=Number, parse_int=Number, parse_constant=_refused, object_pairs_hook=_members
        )
    except json.JSONDecodeError as error:
        raise bad("json", f"line {error.lineno}, column {error.colno}", "one JSON document") from None
    return Node(found)


def _depth(text: str) -> int:
    """How deep the brackets nest, those in strings left out."""
    brackets = _NOT_BRACKETS.sub("", _STRING.sub("", text))
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise bad("json", next(name for name in names if names.count(name) > 1), "each member once")
    return found


def _refused(constant: str) -> Any:
    raise bad("json", constant, "a finite number")
