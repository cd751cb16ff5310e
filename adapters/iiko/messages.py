"""JSON of iiko's clients -> fields: strict about what is money, tolerant about how clients spell the rest.

Numbers keep the text that they were written as. A digit string will do for one, for clients send ``"sex": "2"``
(docs/adapters/iiko.md, "Differences between clients"). Helpers raise BadMessage with the field's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from adapters.iiko.options import UUID
from adapters.json_parsing import Node, Number, parse_json
from adapters.parsing import bad, day, instant
from processing.errors import BadMessage

MAX_TEXT = 4_000
MAX_LIST = 1_000
MAX_INT64 = 2**63 - 1

Fields = Mapping[str, Any]

_FRACTION = re.compile(r"[.,]([0-9]{1,6})[0-9]*Z?\Z")
_WHOLE = re.compile(r"-?[0-9]{1,19}")
# What no database keeps: NUL, and halves of characters, which only escapes can spell.
NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_UUID = re.compile(UUID)


def fields(body: bytes) -> Fields:
    """The object that the message is; one that was encoded twice is a string with the object in it.

    ``pyiikocloudapi`` sends its login so (docs/adapters/iiko.md, "Differences between clients"). Errors: BadMessage.
    """
    told = parse_json(body).value
    if isinstance(told, str) and not isinstance(told, Number):
        told = parse_json(told.encode("utf-8", "replace")).value
    if not isinstance(told, dict):
        raise bad("body", type(told).__name__, "a JSON object")
    return told


def text(told: Fields, name: str, most: int = MAX_TEXT) -> str:
    """A text, stripped; empty where it is absent or null. A number will do."""
    value = told.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad(name, type(value).__name__, "a text")
    found = NO_TEXT.sub("", value).strip()
    if len(found) > most:
        raise bad(name, found, f"at most {most} characters")
    return found


def needed(told: Fields, name: str, most: int = MAX_TEXT) -> str:
    """A text that must be there."""
    found = text(told, name, most)
    if not found:
        raise bad(name, "", "a value: it is required")
    return found


def identity(told: Fields, name: str) -> str:
    """A UUID in small letters; empty where it is absent or null."""
    found = text(told, name)
    return a_uuid(found, name) if found else ""


def a_uuid(found: str, where: str) -> str:
    """The UUID in small letters. Errors: BadMessage."""
    small = found.lower()
    if not _UUID.fullmatch(small):
        raise bad(where, found, "a UUID")
    return small


def needed_identity(told: Fields, name: str) -> str:
    needed(told, name)
    return identity(told, name)


def identities(told: Fields, name: str, most: int = MAX_LIST) -> tuple[str, ...]:
    """UUIDs of a list."""
    return tuple(needed_identity({name: value}, name) for value in values(told, name, most))


def values(told: Fields, name: str, most: int = MAX_LIST) -> list[Any]:
    """A list; empty where it is absent or null."""
    found = told.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or len(found) > most:
        raise bad(name, type(found).__name__, f"a list of at most {most}")
    return found


def objects(told: Fields, name: str, most: int = MAX_LIST) -> list[Fields]:
    """A list of objects."""
    found = values(told, name, most)
    if not all(isinstance(each, dict) for each in found):
        raise bad(name, "", "a list of objects")
    return found


def inner(told: Fields, name: str) -> Fields:
    """An object inside; an empty one where it is absent or null."""
    found = told.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise bad(name, type(found).__name__, "an object")
    return found


def switch(told: Fields, name: str) -> bool | None:
    """A truth; ``None`` where it is absent or null."""
    found = told.get(name)
    if found is None or isinstance(found, bool):
        return found
    raise bad(name, found, "true or false")


def whole(told: Fields, name: str, least: int = 0, most: int = MAX_INT64) -> int | None:
    """A whole number, or a string of its digits; ``None`` where it is absent or null."""
    found = told.get(name)
    if found is None:
        return None
    if not isinstance(found, str) or not _WHOLE.fullmatch(found):
        raise bad(name, found, "a whole number")
    if not least <= int(found) <= most:
        raise bad(name, found, f"{least} to {most}")
    return int(found)


def money(told: Fields, name: str) -> int:
    """An amount of major units as minor ones; absent is an error. The sign is the caller's to judge."""
    return _number(told, name).minor()


def quantity(told: Fields, name: str) -> int:
    """A quantity in thousandths."""
    return _number(told, name).thousandths()


def _number(told: Fields, name: str) -> Node:
    found = told.get(name)
    require(isinstance(found, str) and found != "", name, "a number")
    return Node(found, name)


def birthday(told: Fields, name: str) -> date | None:
    """The date of a date-time."""
    found = text(told, name)
    return day(found.removesuffix("Z"), name) if found else None


def moment(told: Fields, name: str) -> datetime:
    """A date-time in UTC, ``2026-11-21 17:41:09.512``, to the microsecond; absent is an error."""
    found = needed(told, name)
    fraction = _FRACTION.search(found)
    at = instant(found.removesuffix("Z"), name, ZoneInfo("UTC"))
    return at + timedelta(microseconds=int(fraction[1].ljust(6, "0"))) if fraction else at


def require(is_fit: bool, where: str, expected: str) -> None:
    """Errors: BadMessage unless it is fit."""
    if not is_fit:
        raise BadMessage(f"{where}: expected {expected}", where=where)
