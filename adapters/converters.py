"""Named converters: a text of a message -> what a command holds, and what a result holds -> what an answer says.

Each has a name, one line of documentation and what it gives, so that an adapter's document is checked before the first
message comes. Others are added by the entry points ``tillgate.converters`` (docs/yaml-adapters.md, "Converters").
Read ones get the text as it came and where it stood, and raise BadMessage; told ones get a value of a result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from adapters.parsing import bad, day, instant, integer, minor, thousandths
from processing.units import major

# What is given, as the fields of commands want it.
TEXT, WHOLE, TRUTH, DAY, INSTANT = "text", "whole number", "truth", "day", "instant"

Read = Callable[[str, str, ZoneInfo], Any]
Tell = Callable[[Any, ZoneInfo], Any]

TRUE = frozenset({"1", "true", "yes", "да", "истина", "y"})
FALSE = frozenset({"0", "false", "no", "нет", "ложь", "n", ""})
# Spaces of all kinds and apostrophes, by which people and 1C group digits.
_GROUPS = re.compile("[\\s\xa0\u2009\u202f']")


@dataclass(frozen=True, slots=True)
class Converter:
    """``read`` makes ``gives`` of a text; ``tell`` makes what an answer says of a result's value.

    ``read`` may give ``None``: there is nothing. ``argument``: what stands behind the name, as in ``{cut: 20}``; empty
    for none. With one, ``make`` gives the two functions; it raises ValueError for an argument that will not do.
    """

    name: str
    doc: str
    gives: str
    read: Read | None = None
    tell: Tell | None = None
    argument: str = ""
    make: Callable[[Any], tuple[Read | None, Tell | None]] | None = None


def _amount(text: str, where: str, zone: ZoneInfo) -> int:
    return minor(_GROUPS.sub("", text).replace(",", "."), where)


def _quantity(text: str, where: str, zone: ZoneInfo) -> int:
    return thousandths(_GROUPS.sub("", text).replace(",", "."), where)


def _truth(text: str, where: str, zone: ZoneInfo) -> bool:
    low = text.strip().lower()
    if low not in TRUE | FALSE:
        raise bad(where, text, "yes or no")
    return low in TRUE


def _guid(text: str, where: str, zone: ZoneInfo) -> str:
    try:
        return str(UUID(text.strip().strip("{}")))
    except ValueError:
        raise bad(where, text, "a GUID") from None


def _decimal(value: Any, zone: ZoneInfo) -> Any:
    return Decimal(major(int(value), 2))


def _local(value: Any, zone: ZoneInfo) -> str:
    return value.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds") if value else ""


def _with_format(argument: Any) -> tuple[Read, Tell]:
    """A date, or a date and time, in the words of strftime."""
    form = _format(argument)

    def read(text: str, where: str, zone: ZoneInfo) -> datetime:
        try:
            local = datetime.strptime(text.strip(), form)  # noqa: DTZ007  # the zone is the store's
            return (local if local.tzinfo else local.replace(tzinfo=zone)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise bad(where, text, f"a time as {form}") from None

    return read, lambda value, zone: value.astimezone(zone).strftime(form) if value else ""


def _day_with_format(argument: Any) -> tuple[Read, Tell]:
    form = _format(argument)

    def read(text: str, where: str, zone: ZoneInfo) -> date:
        try:
            return datetime.strptime(text.strip(), form).date()  # noqa: DTZ007
        except ValueError:
            raise bad(where, text, f"a day as {form}") from None

    return read, lambda value, zone: value.strftime(form) if value else ""


def _format(argument: Any) -> str:
    if not isinstance(argument, str) or "%" not in argument:
        raise ValueError('a format such as "%d.%m.%Y"')
    datetime(2026, 5, 4, tzinfo=UTC).strftime(argument)
    return argument


def _mapped(argument: Any) -> tuple[Read, Tell]:
    """One text for another; ``else`` is for all that is not named."""
    if not isinstance(argument, dict) or not argument or not all(isinstance(v, str) for v in argument.values()):
        raise ValueError("a mapping of texts to texts")
    table = {_key(name): value for name, value in argument.items()}
    other = table.get("else")

    def read(text: str, where: str, zone: ZoneInfo) -> str:
        found: str | None = table.get(text, other)
        if found is None:
            raise bad(where, text, "one of " + ", ".join(sorted(table)))
        return found

    return read, lambda value, zone: table.get(_key(value), other if other is not None else str(value))


def _key(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cut(argument: Any) -> tuple[Read, Tell]:
    if not isinstance(argument, int) or isinstance(argument, bool) or not 1 <= argument <= 255:
        raise ValueError("1 to 255")
    return lambda text, where, zone: text[:argument], lambda value, zone: str(value)[:argument]


def _without(argument: Any) -> tuple[Read, Tell]:
    """The text without what stands in front of it."""
    if not isinstance(argument, str) or not argument:
        raise ValueError("a text")
    return lambda text, where, zone: text.removeprefix(argument), lambda value, zone: str(value).removeprefix(argument)


def _trimmed(text: str, where: str, zone: ZoneInfo) -> str:
    return text.strip()


def _whole(text: str, where: str, zone: ZoneInfo) -> int:
    return integer(text.strip(), where)


def _day(text: str, where: str, zone: ZoneInfo) -> date:
    """The store's day, where the text tells a time with an offset."""
    told = _with_offset(text.strip())
    return told.astimezone(zone).date() if told else day(text.strip(), where)


def _told_day(value: Any, zone: ZoneInfo) -> str:
    return value.isoformat() if value else ""


ROUBLES = "an amount in major units: 1 234,50 or 1234.5; told as a number with two digits"
INSTANT_DOC = "a time; without a zone it is the store's: 2026-05-04T19:52:31"

BUILT_IN: tuple[Converter, ...] = (
    Converter("text", "as it came, without spaces around it", TEXT, _trimmed, lambda v, z: str(v)),
    Converter("upper", "in capitals", TEXT, lambda t, w, z: t.strip().upper(), lambda v, z: str(v).upper()),
    Converter("lower", "in small letters", TEXT, lambda t, w, z: t.strip().lower(), lambda v, z: str(v).lower()),
    Converter("digits", "its digits only", TEXT, lambda t, w, z: re.sub(r"[^0-9]", "", t)),
    Converter("guid", "a GUID with or without braces, in small letters", TEXT, _guid),
    Converter("roubles", ROUBLES, WHOLE, _amount, _decimal),
    Converter("rouble_text", "as roubles, told as a text", WHOLE, _amount, lambda v, z: major(int(v), 2)),
    Converter("kopecks", "an amount in minor units, a whole number", WHOLE, _whole, lambda v, z: int(v)),
    Converter("whole", "a whole number", WHOLE, _whole, lambda v, z: int(v)),
    Converter("quantity", "pieces or kilograms, to thousandths", WHOLE, _quantity, lambda v, z: Decimal(major(v, 3))),
    Converter("unless_zero", "behind another one: nothing where that gives 0", WHOLE, lambda t, w, z: t or None),
    Converter("yes_no", "yes, no, true, false, 1, 0, да, нет", TRUTH, _truth, lambda v, z: bool(v)),
    Converter("day", "a day: 2026-05-04, also with a time behind it", DAY, _day, _told_day),
    Converter("instant", INSTANT_DOC, INSTANT, lambda t, w, z: _instant(t.strip(), w, z), _local),
    Converter("day_as", "a day in a format of strftime", DAY, argument="a format", make=_day_with_format),
    Converter("instant_as", "a time in a format of strftime", INSTANT, argument="a format", make=_with_format),
    Converter("map", "another text for each; else for all that is not named", TEXT, argument="texts", make=_mapped),
    Converter("cut", "at most so many characters", TEXT, argument="a number", make=_cut),
    Converter("without", "without this in front", TEXT, argument="a text", make=_without),
)


def _instant(text: str, where: str, zone: ZoneInfo) -> datetime:
    """With an offset, which may lack its colon, or in the store's zone."""
    return _with_offset(text) or instant(text, where, zone)


def _with_offset(text: str) -> datetime | None:
    """The instant, where the text says its offset."""
    try:
        told = datetime.fromisoformat(text)
        return told.astimezone(UTC) if told.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def named(extra: tuple[Converter, ...] = ()) -> Mapping[str, Converter]:
    """The built-in ones and others under their names. Errors: ValueError for a name that is taken."""
    found: dict[str, Converter] = {}
    for converter in (*BUILT_IN, *extra):
        if converter.name in found:
            raise ValueError(f"two converters are named {converter.name!r}")
        found[converter.name] = converter
    return found
