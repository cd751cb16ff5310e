"""JSON bodies: bytes -> fields whose numbers stay as they were spelled, and the other way round.

A number is its own text (adapters/json_parsing.py), read like any other text of 1C and echoed as it came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adapters.json_parsing import parse_json
from adapters.onec.guids import NOBODY, guid
from adapters.onec.queries import MAX_VALUE, plain
from adapters.onec.queries import amount as amount_of
from adapters.onec.queries import flag as flag_of
from adapters.onec.queries import number as number_of
from adapters.parsing import UTF_8, bad, thousandths

Object = Mapping[str, Any]


def read(body: bytes) -> Object:
    """The object that the body is. Errors: BadMessage."""
    found = parse_json(body).value
    if not isinstance(found, dict):
        raise bad("body", body[:40], "a JSON object")
    return found


def text(told: Object, name: str, where: str = "") -> str:
    """A text, or a number as text; empty where it is absent. Errors: BadMessage."""
    value = told.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad(where + name, type(value).__name__, "a text")
    return plain(value, where + name)


def amount(told: Object, name: str, where: str = "") -> int:
    """An amount in hundredths; 0 where it is absent. Errors: BadMessage."""
    return amount_of(text(told, name, where), where + name)


def quantity(told: Object, name: str, where: str = "") -> int:
    """A quantity in thousandths; 0 where it is absent. Errors: BadMessage."""
    return thousandths(number_of(text(told, name, where)) or "0", where + name)


def flag(told: Object, name: str, where: str = "") -> bool:
    """A boolean, or one as 1C prints it. Errors: BadMessage."""
    value = told.get(name)
    return value if isinstance(value, bool) else flag_of(text(told, name, where), where + name)


def rows(told: Object, name: str, most: int) -> list[Object]:
    """The objects of a list; none where it is absent. Errors: BadMessage."""
    value = told.get(name)
    found = [] if value is None else value
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found) or len(found) > most:
        raise bad(name, type(value).__name__, f"a list of at most {most} objects")
    return found


def reference(told: Object, name: str, where: str = "") -> tuple[str, str]:
    """GUID and name of a Ref; both empty where it is absent or empty. A long name is cut. Errors: BadMessage."""
    value = told.get(name)
    if value is None:
        return "", ""
    if not isinstance(value, dict):
        raise bad(where + name, type(value).__name__, "Ref and Name")
    shown = value.get("Name")
    told_name = plain(shown[:MAX_VALUE], name) if isinstance(shown, str) else ""
    return guid(text(value, "Ref", f"{where}{name}."), f"{where}{name}.Ref"), told_name


def said(value: Any) -> bytes:
    """The bytes of an answer; halves of characters, which no UTF-8 has, become question marks."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_clean(value))


def raw(number: str) -> msgspec.Raw:
    """A number in its digits."""
    return msgspec.Raw(number.encode())


def ref(guid: str = "", name: str = "") -> dict[str, str]:
    return {"Ref": guid or NOBODY, "Name": name}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(UTF_8, "replace").decode(UTF_8)
    if isinstance(value, Mapping):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, msgspec.Raw):
        return [_clean(item) for item in value]
    return value
