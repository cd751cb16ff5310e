"""Records as lines of a load file, and lines as its bytes.

A record is a mapping from names of fields to values; amounts are decimal texts with a point, dates are ISO texts. What
cannot be said exactly is refused, with command and field: docs/adapters/frontol-loads.md, "Records".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from adapters.frontol.loads.goods import TILLS, USUALLY_SET
from adapters.frontol.loads.layouts import PLAIN, Field, Kind, Layout
from processing.errors import LinkRefused
from processing.units import scaled

ENCODING = "cp1251"
END = "\r\n"
HEADER, NOT_LOADED = "##@@&&", "#"
COMMAND = "$$$"
# A value has neither separators nor line ends: these stand for them, and so for nothing else.
SEMICOLON, LINE_BREAK = "¤", "¦"
STANDS_FOR_OTHERS = {";": SEMICOLON, "\r\n": LINE_BREAK, "\n": LINE_BREAK, "\r": LINE_BREAK}
IN_THE_PLACE = "?"
NO_BREAK_SPACE = "\xa0"
# What a line that the till would not take for data begins with.
NOT_DATA = (COMMAND, "//", HEADER)
MAX_WHOLE = 2**31 - 1
IS_WARE, IS_GROUP = "is_ware", "0"

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Writing:
    """How a till wants to be written to. ``comma``: behind whole numbers; else a point. ``replaces``: characters of
    names that cp1251 does not have become question marks."""

    till: str = "frontol6"
    comma: bool = True
    replaces: bool = False

    def layout(self, command: str) -> Layout:
        """Errors: LinkRefused."""
        found = LAYOUTS.get(command) or TILLS[self.till].layouts.get(command)
        if found is None:
            raise LinkRefused(f"{command[:40]}: not a command that is written here")
        return found


LAYOUTS = {layout.command: layout for layout in PLAIN}


def line(command: str, record: Record, writing: Writing) -> str:
    """The record as a line, without its end. Errors: LinkRefused."""
    layout, till = writing.layout(command), TILLS[writing.till]
    is_ware = command in till.layouts
    for name in record:
        if layout.field(name) is None:
            raise refused(command, name, f"no such field of this command for {writing.till}")
    cells = [""] * layout.length
    for field in layout.fields:
        value = record.get(field.name)
        if value is None or value == "":
            if field.required:
                raise refused(command, field.name, "missing")
        elif not (is_ware and field.name in till.empty):
            cells[field.position - 1] = _cell(command, field, value, writing)
    if is_ware and not till.takes_groups and str(record[IS_WARE]) == IS_GROUP:
        raise refused(command, IS_WARE, f"{writing.till} takes no groups")
    if cells[0].startswith(NOT_DATA):
        raise refused(command, layout.fields[0].name, "begins like a command or a comment")
    return ";".join(cells)


def refused(command: str, field: str, reason: str) -> LinkRefused:
    return LinkRefused(f"{command}, field {field}: {reason}")


def _cell(command: str, field: Field, value: Any, writing: Writing) -> str:
    """The value as it stands in the line. Errors: LinkRefused."""
    try:
        return WAYS[field.kind](field, value, writing)
    except ValueError as error:
        raise refused(command, field.name, str(error)) from None


def _whole(field: Field, value: Any, writing: Writing) -> str:
    among = field.among or range(MAX_WHOLE + 1)
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if not isinstance(number, int) or isinstance(number, bool) or number not in among:
        raise ValueError(f"expected a whole number from {among[0]} to {among[-1]}")
    return str(number)


def _decimal(field: Field, value: Any, writing: Writing) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError('expected an amount such as "12.50"')
    minor = scaled(str(value), field.scale)
    if minor < 0 and not field.signed:
        raise ValueError("expected no negative amount")
    digits = str(abs(minor)).rjust(field.scale + 1, "0")
    if field.width and len(digits) > field.width:
        raise ValueError(f"more than {field.width} digits")
    point = "," if writing.comma else "."
    return f"{'-' if minor < 0 else ''}{digits[: -field.scale]}{point}{digits[-field.scale :]}"


def _text(field: Field, value: Any, writing: Writing) -> str:
    told = sayable(_told(value), False)
    if field.width and len(told) > field.width:
        raise ValueError(f"longer than {field.width} characters")
    return told


def _name(field: Field, value: Any, writing: Writing) -> str:
    told = sayable(_told(value), writing.replaces)
    return told[: field.width] if field.width else told


def _list(field: Field, value: Any, writing: Writing) -> str:
    given = [_told(each) for each in (value if isinstance(value, list | tuple) else [value])]
    if any("," in each or not each for each in given):
        raise ValueError("expected texts without commas")
    return ",".join(sayable(each, False) for each in given)


def _told(value: Any) -> str:
    """A text; YAML reads an unquoted number as one, which is just as good."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("expected a text")
    return value


def _date(field: Field, value: Any, writing: Writing) -> str:
    told = date.fromisoformat(_told(value))
    return f"{told.day:02}.{told.month:02}.{told.year:04}"


def _time(field: Field, value: Any, writing: Writing) -> str:
    return time.fromisoformat(_told(value)).strftime("%H:%M:%S")


def _flag(field: Field, value: Any, writing: Writing) -> str:
    if value is True or value is False:
        return "1" if value else "0"
    raise ValueError("expected true or false")


def _flags(field: Field, value: Any, writing: Writing) -> str:
    if not isinstance(value, dict) or not all(each is True or each is False for each in value.values()):
        raise ValueError(f"expected true or false for some of {', '.join(field.names)}")
    if strange := value.keys() - set(field.names):
        raise ValueError(f"no such flag: {min(map(str, strange))[:40]}")
    return ",".join("1" if value.get(name, name in USUALLY_SET) else "0" for name in field.names)


WAYS = {
    Kind.WHOLE: _whole,
    Kind.DECIMAL: _decimal,
    Kind.TEXT: _text,
    Kind.NAME: _name,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.FLAG: _flag,
    Kind.FLAGS: _flags,
    Kind.LIST: _list,
}


def sayable(value: str, replaces: bool) -> str:
    """The text as a cell; what cannot be said is refused, or becomes a question mark. Errors: ValueError.

    A character that stands for another one would be read as that one, and control characters as nobody knows what.
    """
    for stands in (SEMICOLON, LINE_BREAK):
        if stands in value and not replaces:
            raise ValueError(f"has {stands!r}, which the till reads as another character")
        value = value.replace(stands, IN_THE_PLACE)
    for broken, stands in STANDS_FOR_OTHERS.items():
        value = value.replace(broken, stands)
    if _is_sayable(value):
        return value
    if not replaces:
        bad = next(each for each in value if not _is_sayable(each))
        raise ValueError(f"has U+{ord(bad):04X}, which is no character of {ENCODING} that a till shows")
    return "".join(each if _is_sayable(each) else IN_THE_PLACE for each in value)


def _is_sayable(told: str) -> bool:
    try:
        told.encode(ENCODING)
    except UnicodeEncodeError:
        return False
    return told.replace(NO_BREAK_SPACE, " ").isprintable()


def page(lines: Iterable[tuple[str, str]]) -> bytes:
    """A file that is not loaded yet, of (command, line); the same commands in a row stand under one heading."""
    rows, under = [HEADER, NOT_LOADED], ""
    for command, told in lines:
        if command != under:
            rows.append(COMMAND + command)
            under = command
        rows.append(told)
    return END.join([*rows, ""]).encode(ENCODING)
