"""The types of ``messages`` as elements of XML, and back: element by element, or BadMessage with where it stood."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import msgspec
from lxml import etree

from adapters.onec_soap.messages import MINOR, THOUSANDTHS, Message
from adapters.parsing import bad, day, instant, integer, minor, thousandths

MAX_TEXT = 255
MAX_ITEMS = 1_000
TRUE, FALSE = frozenset({"true", "1"}), frozenset({"false", "0", ""})
# A date that nobody told, in 1C.
EMPTY_DATE = "0001-01-01"
_XSI_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
# What XML cannot carry; 1C fails a whole answer over one of them.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Field(NamedTuple):
    """An element of a type: its Python type, how a number is told, whether it is a list, and may be left out."""

    name: str
    type: type[Any]
    told: str
    many: bool
    optional: bool


@lru_cache(maxsize=64)
def fields_of(message: type[Message]) -> tuple[Field, ...]:
    """In the order in which the schema has them."""
    hints = get_type_hints(message, include_extras=True)
    return tuple(_field(each, hints[each.name]) for each in msgspec.structs.fields(message))


def _field(field: msgspec.structs.FieldInfo, hint: Any) -> Field:
    told, many = "", False
    if type(None) in get_args(hint):
        hint = next(each for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is tuple:
        many, hint = True, get_args(hint)[0]
    if get_origin(hint) is Annotated:
        hint, told = get_args(hint)
    return Field(field.name, hint, told, many, not field.required)


def read(element: etree._Element, message: type[Message], zone: ZoneInfo, where: str = "") -> Any:
    """The message that the element tells. Elements of other names are not read; order and namespace do not matter.

    Errors: BadMessage.
    """
    found: dict[str, list[etree._Element]] = {}
    for child in element.iterchildren(tag=etree.Element):
        found.setdefault(etree.QName(child).localname, []).append(child)
    where = where or etree.QName(element).localname
    values = {}
    for field in fields_of(message):
        given = [each for each in found.get(field.name, ()) if each.get(_XSI_NIL) not in TRUE]
        if len(given) > 1:
            raise bad(f"{where}/{field.name}", len(given), "it once")
        if given:
            values[field.name] = _value(given[0], field, zone, f"{where}/{field.name}")
        elif not field.optional:
            raise bad(f"{where}/{field.name}", "", "a value")
    return message(**{name: value for name, value in values.items() if value is not None})


def _value(element: etree._Element, field: Field, zone: ZoneInfo, where: str) -> Any:
    """What the element says; ``None``: nothing, so that the default stands."""
    if field.many:
        items = list(element.iterchildren(tag=etree.Element))
        if len(items) > MAX_ITEMS:
            raise bad(where, len(items), f"at most {MAX_ITEMS} items")
        return tuple(read(each, field.type, zone, f"{where}[{n}]") for n, each in enumerate(items, 1))
    if issubclass(field.type, Message):
        return read(element, field.type, zone, where)
    text = (element.text or "").strip()
    if len(text) > MAX_TEXT:
        raise bad(where, text, f"at most {MAX_TEXT} characters")
    if field.type is str:
        return text
    if field.optional and (not text or text.startswith(EMPTY_DATE)):
        return None
    return _scalar(text, field, zone, where)


def _scalar(text: str, field: Field, zone: ZoneInfo, where: str) -> Any:
    if field.type is bool:
        if text.lower() not in TRUE | FALSE:
            raise bad(where, text, "true or false")
        return text.lower() in TRUE
    if field.type is datetime:
        return instant(text, where, zone)
    if field.type is date:
        return day(text, where)
    if field.told == MINOR:
        return minor(text, where)
    return thousandths(text, where) if field.told == THOUSANDTHS else integer(text, where)


def write(parent: etree._Element, name: str, message: Message, namespace: str, zone: ZoneInfo) -> None:
    """The message as a child of ``parent``; its types are lists, texts, whole numbers, numbers told as text, times."""
    element = etree.SubElement(parent, f"{{{namespace}}}{name}")
    for field in fields_of(type(message)):
        value = getattr(message, field.name)
        if value is None:
            continue
        if field.many:
            items = etree.SubElement(element, f"{{{namespace}}}{field.name}")
            for each in value:
                write(items, item_name(field.type), each, namespace, zone)
        else:
            etree.SubElement(element, f"{{{namespace}}}{field.name}").text = _text(value, zone)


def item_name(message: type[Message]) -> str:
    """What an element of a list of these is called: as its type."""
    return message.__name__


def _text(value: Any, zone: ZoneInfo) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")
    return _UNFIT.sub("", str(value))


def types_of(messages: Iterable[type[Message]]) -> dict[str, type[Message]]:
    """All types that these are made of, by name, parts before what has them."""
    found: dict[str, type[Message]] = {}
    for message in messages:
        for field in fields_of(message):
            if issubclass(field.type, Message):
                found |= {name: each for name, each in types_of((field.type,)).items() if name not in found}
        found.setdefault(message.__name__, message)
    return found
