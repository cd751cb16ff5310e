"""Query strings as 1C builds them -> texts, and texts as 1C formats them -> numbers, flags, days and phones.

1C puts values into a template without escaping them, so that they may come as raw UTF-8, escaped, or both; a plus may
be a phone's own (docs/adapters/onec.md, "Query strings"). Every key is always sent: an empty value is an absent one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime

from adapters.parsing import UTF_8, bad, minor

# Keys of one message; 1C's largest structure has some twenty.
MAX_PARAMETERS = 100
MAX_VALUE = 255
MAX_QUERY = 16_384

# What 1C groups thousands with, in various versions and settings.
_SPACES = str.maketrans(dict.fromkeys("\u00a0\u202f\u2009\t", " "))
_YES = frozenset({"да", "истина", "true", "1", "yes"})
_NO = frozenset({"", "нет", "ложь", "false", "0", "no"})
_DAY = re.compile(r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})(?: [0-9]{1,2}:[0-9]{2}:[0-9]{2})?")
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ][0-9:.]{1,16})?")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
# An empty date of 1C.
_NEVER = date(1, 1, 1)

Fields = Mapping[str, str]


def fields(query: str) -> dict[str, str]:
    """The query's values by lower-case keys, without those that are empty; of several the first counts.

    ``query`` is the raw query string as WSGI carries it: bytes as Latin-1. Errors: BadMessage.
    """
    if len(query) > MAX_QUERY:
        raise bad("query", len(query), f"at most {MAX_QUERY} bytes")
    pairs = query.encode("latin-1", "replace").split(b"&")
    if len(pairs) > MAX_PARAMETERS:
        raise bad("query", len(pairs), f"at most {MAX_PARAMETERS} keys")
    found: dict[str, str] = {}
    for pair in pairs:
        key, _, raw = pair.partition(b"=")
        name = _decoded(key).lower()
        if value := plain(_decoded(raw), name):
            found.setdefault(name, value)
    return found


def plain(text: str, where: str) -> str:
    """The text with plain spaces and nothing that does not print. Errors: BadMessage when it is too long."""
    value = "".join(letter for letter in text.translate(_SPACES) if letter.isprintable()).strip()
    if len(value) > MAX_VALUE:
        raise bad(where, value, f"at most {MAX_VALUE} characters")
    return value


def amount(text: str, where: str) -> int:
    """An amount in hundredths: ``1 234,5`` with any space is 123450; 0 where nothing is told. Errors: BadMessage."""
    return minor(number(text) or "0", where)


def number(text: str) -> str:
    """1C's number as others write it: groups put together, a point; a plus may have been a space."""
    return re.sub(r"[ +\u00a0\u202f\u2009]", "", text).replace(",", ".")


def flag(text: str, where: str) -> bool:
    """``Да``, ``Истина``, ``true`` and ``1``, or their opposites; nothing is no. Errors: BadMessage."""
    told = text.strip().lower()
    if told not in _YES | _NO:
        raise bad(where, text, "Да or Нет")
    return told in _YES


def day(text: str, where: str) -> date | None:
    """The date of ``18.03.2025 0:00:00``, ``18.03.2025`` or ISO; None for nothing, also 1C's. Errors: BadMessage."""
    if not text:
        return None
    told = text.replace("+", " ").strip()
    try:
        if match := _DAY.fullmatch(told):
            found = date(int(match[3]), int(match[2]), int(match[1]))
        elif match := _ISO.fullmatch(told):
            found = date(int(match[1]), int(match[2]), int(match[3]))
        else:
            raise ValueError
    except ValueError:
        raise bad(where, text, "a date like 18.03.2025") from None
    return None if found == _NEVER else found


def local_time(text: str, where: str) -> datetime:
    """A moment without a zone as 1C's JSON tells it, ``2026-11-21T10:15:00``. Errors: BadMessage."""
    try:
        return datetime.fromisoformat(text[:19])
    except ValueError:
        raise bad(where, text, "a date and time") from None


def phone(text: str) -> str:
    """The phone in E.164; empty where these digits are none. Ten digits, or eleven from 7 or 8, are Russia's."""
    digits = re.sub(r"[^0-9]", "", text)
    if not digits.isascii() or text.startswith("*"):
        return ""
    if len(digits) == 10:
        return f"+7{digits}"
    if len(digits) == 11 and digits[0] in "78":
        return f"+7{digits[1:]}"
    return f"+{digits}" if 11 <= len(digits) <= 15 else ""


def words(text: str) -> str:
    """A name: a plus in it was a space."""
    return " ".join(text.replace("+", " ").split())


def _decoded(raw: bytes) -> str:
    """Escaped or raw; UTF-8, or what old tills write."""
    data = _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), raw)
    try:
        return data.decode(UTF_8)
    except UnicodeDecodeError:
        return data.decode("cp1251", "replace")
