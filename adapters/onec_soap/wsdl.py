"""The types of ``messages`` as a service of ``adapters.wsdl``: what the WSDL tells."""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache

from adapters import wsdl
from adapters.onec_soap.elements import Field, fields_of, item_name, types_of
from adapters.onec_soap.messages import OPERATIONS, Message

NAMESPACE = "http://tillgate/1c/v1"
SERVICE = "Loyalty"
_SIMPLE: dict[type, str] = {
    str: "xs:string",
    bool: "xs:boolean",
    int: "xs:int",
    datetime: "xs:dateTime",
    date: "xs:date",
}


@lru_cache(maxsize=256)
def document(address: str) -> bytes:
    """The WSDL with the address under which the cash desk reaches the service."""
    return wsdl.document(_service(), address)


def _service() -> wsdl.Service:
    used = types_of(each for pair in OPERATIONS.values() for each in pair)
    lists = {field.type for message in used.values() for field in fields_of(message) if field.many}
    types: dict[str, tuple[wsdl.Element, ...]] = {}
    for message in used.values():
        name = message.__name__
        types[name] = tuple(wsdl.Element(f.name, _type_name(f), f.optional) for f in fields_of(message))
        if message in lists:
            types[f"{name}List"] = (wsdl.Element(item_name(message), name, optional=True, many=True),)
    operations = {
        name: (asked.__name__, wsdl.Element("return", answered.__name__))
        for name, (asked, answered) in OPERATIONS.items()
    }
    return wsdl.Service(SERVICE, NAMESPACE, types, operations)


def _type_name(field: Field) -> str:
    if issubclass(field.type, Message):
        return f"{field.type.__name__}{'List' if field.many else ''}"
    return "xs:decimal" if field.told else _SIMPLE[field.type]
