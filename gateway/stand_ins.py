"""Stand-ins for what tells who somebody is: another value of the same shape, the same one every time.

A number keeps its length, leading zeros and check digit (Luhn), a phone its country and operator, a text its letters'
script and case. They are worked out with a key that nobody keeps, so that no stand-in leads back.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import quote, unquote, unquote_to_bytes

from stdnum import luhn

from gateway.mask import rewritten
from processing.secrets import normalise_phone

# Shorter numbers are codes of tills and cashiers, which name nobody.
LEAST_DIGITS = 4
# What of a phone is its subscriber.
SUBSCRIBER_DIGITS, NATIONAL_DIGITS = 7, 10
# Greatest numbers that tills carry: a stand-in of a smaller one is no greater.
BOUNDS = (2**31 - 1, 2**32 - 1, 2**63 - 1)
# Two values rarely have the same stand-in; then the next one is tried.
ATTEMPTS = 1_000
# Shorter texts stand everywhere, and are replaced only where a private field holds them.
LEAST_SEEN = 5
MAIL_DOMAIN = "example.org"

_GUID = re.compile(r"\{?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+")
# What escapes a character inside XML stays as it is.
_ENTITY = re.compile(r"(&#?\w{1,10};)")
_PLACE = re.compile("(\ue000[0-9]+\ue001)")
_SCRIPTS = ("abcdefghijklmnopqrstuvwxyz", "абвгдеёжзийклмнопрстуфхцчшщъыьэюя")


class StandIns:
    """Stand-ins under one key. ``made`` remembers what was put in the place of what."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.made: dict[str, str] = {}
        self._used: set[str] = set()

    def of(self, value: str) -> str:
        """What stands for the value; itself where it tells nothing: zeros, short numbers, GUIDs."""
        if value not in self.made:
            self.made[value] = self._of(value)
        return self.made[value]

    def rewrite(self, text: str, private: frozenset[str]) -> str:
        """The message with all that nobody may see replaced, and known values wherever they stand."""
        places: list[str] = []

        def put(value: str) -> str:
            """A mark, so that what was replaced is not looked at again."""
            return "".join(self._mark(part, places) for part in _PLACE.split(value))

        marked = rewritten(text, private, put)
        marked = "".join(part if _PLACE.fullmatch(part) else self._known(part) for part in _PLACE.split(marked))
        return _PLACE.sub(lambda m: places[int(m[0][1:-1])], marked)

    def _mark(self, part: str, places: list[str]) -> str:
        if not part.strip() or _PLACE.fullmatch(part):
            return part
        places.append(self.of(part))
        return f"\ue000{len(places) - 1}\ue001"

    def _known(self, text: str) -> str:
        """Values that were private somewhere, in the open."""
        seen = {value: new for value, new in self.made.items() if value != new and len(value) >= LEAST_SEEN}
        if not seen:
            return text
        longest_first = sorted(seen, key=len, reverse=True)
        known = re.compile(rf"(?<!\w)(0*)({'|'.join(map(re.escape, longest_first))})(?!\w)")
        return known.sub(lambda m: m[1] + seen[m[2]], text)

    def _of(self, value: str) -> str:
        if not value.strip() or _GUID.fullmatch(value.strip()):
            return value
        if value.strip().isascii() and value.strip().isdigit():
            return value.replace(value.strip(), self._number(value.strip()))
        if "%" in value:
            return _requoted(value, self._of)
        if "@" in value:
            return f"{self._text(value.partition('@')[0])}@{MAIL_DOMAIN}"
        digits = "".join(_DIGITS.findall(value))
        if _is_phone(digits) and not any(char.isalpha() for char in value):
            return self._spread(value, self._number(digits))
        return "".join(part if _ENTITY.fullmatch(part) else self._text(part) for part in _ENTITY.split(value))

    def _number(self, digits: str) -> str:
        """Another number: of a card with its check digit, of a phone with another subscriber."""
        number = digits.lstrip("0")
        if len(number) < LEAST_DIGITS:
            return digits
        if _is_phone(number):
            fresh = self._unused(number[-NATIONAL_DIGITS:], lambda n: self._phone(number[-NATIONAL_DIGITS:], n))
            return digits[: len(digits) - SUBSCRIBER_DIGITS] + fresh[-SUBSCRIBER_DIGITS:]
        return digits[: len(digits) - len(number)] + self._unused(number, lambda n: self._other(number, n))

    def _unused(self, value: str, make: Callable[[int], str]) -> str:
        if value not in self.made:
            candidates = (make(attempt) for attempt in range(ATTEMPTS))
            self.made[value] = next((c for c in candidates if c != value and c not in self._used), value)
            self._used.add(self.made[value])
        return self.made[value]

    def _phone(self, national: str, attempt: int) -> str:
        chosen = self._chosen(f"{attempt}|{national}")
        return national[:-SUBSCRIBER_DIGITS] + "".join(str(next(chosen) % 10) for _ in range(SUBSCRIBER_DIGITS))

    def _other(self, number: str, attempt: int) -> str:
        chosen = self._chosen(f"{attempt}|{number}")
        drawn = number[0] + "".join(str(next(chosen) % 10) for _ in number[1:])
        bound = next((bound for bound in BOUNDS if int(number) <= bound), None)
        if bound is not None and int(drawn) > bound:
            drawn = str(bound)[:1] + "0" + drawn[2:]
        return drawn[:-1] + luhn.calc_check_digit(drawn[:-1]) if luhn.is_valid(number) else drawn

    def _text(self, text: str) -> str:
        chosen = self._chosen(text)
        return "".join(_letter(char, next(chosen)) for char in text)

    @staticmethod
    def _spread(value: str, digits: str) -> str:
        """The digits in the places of those of the value."""
        fresh = iter(digits)
        return "".join(next(fresh) if char in "0123456789" else char for char in value)

    def _chosen(self, value: str) -> Iterator[int]:
        """Numbers from 0 to 255 that depend on key and value."""
        block = 0
        while True:
            yield from hmac.digest(self._key, f"{block}|{value}".encode("utf-8", "replace"), "sha256")
            block += 1


def _letter(char: str, chosen: int) -> str:
    if char.isascii() and char.isdigit():
        return str(chosen % 10)
    for script in _SCRIPTS:
        if char.lower() in script:
            drawn = script[chosen % len(script)]
            return drawn.upper() if char.isupper() else drawn
    return char if not char.isalpha() else _SCRIPTS[0][chosen % len(_SCRIPTS[0])]


def _is_phone(digits: str) -> bool:
    if not NATIONAL_DIGITS <= len(digits) <= NATIONAL_DIGITS + 1:
        return False
    with suppress(ValueError):
        return bool(normalise_phone(digits))
    return False


def _requoted(value: str, how: Callable[[str], str]) -> str:
    """A text with percent escapes, in the encoding that they are of."""
    for encoding in ("utf-8", "cp1251"):
        with suppress(UnicodeError):
            told = unquote_to_bytes(value).decode(encoding)
            return quote(how(told), encoding=encoding) if "%" not in told else value
    return quote(how(unquote(value, "latin-1")), encoding="latin-1")
