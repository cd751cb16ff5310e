"""The service's WSDL, in the shape that 1C's own client takes and publishes.

WSDL 1.1, document/literal wrapped, one schema without imports, named types that are flat sequences
(docs/adapters/onec_soap.md, "What 1C takes"; a test checks each of its rules).
"""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from typing import Any

from lxml import etree

from adapters.onec_soap.elements import Field, fields_of, item_name, types_of
from adapters.onec_soap.messages import OPERATIONS, Message

NAMESPACE = "http://tillgate/1c/v1"
SERVICE = "Loyalty"
_WSDL = "http://schemas.xmlsoap.org/wsdl/"
_XS = "http://www.w3.org/2001/XMLSchema"
# Prefixes as 1C's own documents have them. Bindings say the same transport in both versions (BP 1.1, R2702).
_SOAP, _SOAP_12 = "http://schemas.xmlsoap.org/wsdl/soap/", "http://schemas.xmlsoap.org/wsdl/soap12/"
_TRANSPORT = "http://schemas.xmlsoap.org/soap/http"
_PREFIXES: Any = {None: _WSDL, "soapbind": _SOAP, "soap12bind": _SOAP_12, "tns": NAMESPACE, "xs": _XS}
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
    root = etree.Element(f"{{{_WSDL}}}definitions", nsmap=_PREFIXES, name=SERVICE, targetNamespace=NAMESPACE)
    _schema(_under(_under(root, "types"), "schema", _XS))
    for name in OPERATIONS:
        for direction, element in (("Request", name), ("Response", f"{name}Response")):
            message = _under(root, "message", name=f"{name}{direction}Message")
            _under(message, "part", name="parameters", element=f"tns:{element}")
    _port_type(root)
    for version, suffix in ((_SOAP, ""), (_SOAP_12, "12")):
        _binding(root, version, suffix)
    service = _under(root, "service", name=SERVICE)
    for version, suffix in ((_SOAP, ""), (_SOAP_12, "12")):
        port = _under(service, "port", name=f"{SERVICE}Soap{suffix}", binding=f"tns:{SERVICE}Soap{suffix}Binding")
        _under(port, "address", version, location=address)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="utf-8", pretty_print=True))


def _schema(schema: etree._Element) -> None:
    schema.set("targetNamespace", NAMESPACE)
    schema.set("elementFormDefault", "qualified")
    schema.set("attributeFormDefault", "unqualified")
    used = types_of(each for pair in OPERATIONS.values() for each in pair)
    lists = {field.type for message in used.values() for field in fields_of(message) if field.many}
    for message in used.values():
        _type(schema, message.__name__, fields_of(message))
        if message in lists:
            item = Field(item_name(message), message, "", False, True)
            _type(schema, f"{message.__name__}List", (item,), "unbounded")
    for name, (asked, answered) in OPERATIONS.items():
        _under(schema, "element", _XS, name=name, type=f"tns:{asked.__name__}")
        _type(schema, f"{name}ResponseType", (Field("return", answered, "", False, False),))
        _under(schema, "element", _XS, name=f"{name}Response", type=f"tns:{name}ResponseType")


def _type(schema: etree._Element, name: str, fields: tuple[Field, ...], most: str = "1") -> None:
    sequence = _under(_under(schema, "complexType", _XS, name=name), "sequence", _XS)
    for field in fields:
        element = _under(sequence, "element", _XS, name=field.name, type=_type_name(field))
        if field.optional:
            element.set("minOccurs", "0")
        if most != "1":
            element.set("maxOccurs", most)


def _type_name(field: Field) -> str:
    if issubclass(field.type, Message):
        return f"tns:{field.type.__name__}{'List' if field.many else ''}"
    return "xs:decimal" if field.told else _SIMPLE[field.type]


def _port_type(root: etree._Element) -> None:
    port_type = _under(root, "portType", name=f"{SERVICE}PortType")
    for name in OPERATIONS:
        operation = _under(port_type, "operation", name=name)
        _under(operation, "input", message=f"tns:{name}RequestMessage")
        _under(operation, "output", message=f"tns:{name}ResponseMessage")


def _binding(root: etree._Element, version: str, suffix: str) -> None:
    binding = _under(root, "binding", name=f"{SERVICE}Soap{suffix}Binding", type=f"tns:{SERVICE}PortType")
    _under(binding, "binding", version, style="document", transport=_TRANSPORT)
    for name in OPERATIONS:
        operation = _under(binding, "operation", name=name)
        _under(operation, "operation", version, style="document", soapAction=f"{NAMESPACE}#{SERVICE}:{name}")
        for direction in ("input", "output"):
            _under(_under(operation, direction), "body", version, use="literal")


def _under(parent: etree._Element, tag: str, namespace: str = _WSDL, /, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{namespace}}}{tag}", attributes)
