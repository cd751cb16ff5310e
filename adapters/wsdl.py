"""A service's WSDL in the shape that 1C's own client takes and publishes, made of plain names.

WSDL 1.1, document/literal wrapped, SOAP 1.1 and 1.2 at one address, one schema without imports, named types that are
flat sequences (docs/adapters/onec_soap.md, "What 1C takes"; tests check each of its rules on each service).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree

from adapters.contract import Link, WireRequest

_WSDL = "http://schemas.xmlsoap.org/wsdl/"
_XS = "http://www.w3.org/2001/XMLSchema"
# Prefixes as 1C's own documents have them. Bindings say the same transport in both versions (BP 1.1, R2702).
_SOAP, _SOAP_12 = "http://schemas.xmlsoap.org/wsdl/soap/", "http://schemas.xmlsoap.org/wsdl/soap12/"
_TRANSPORT = "http://schemas.xmlsoap.org/soap/http"
_PORTS = ((_SOAP, ""), (_SOAP_12, "12"))
MAX_HOST = 255


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a sequence. ``type`` is a type of the service, or of XML Schema as ``xs:string``."""

    name: str
    type: str
    optional: bool = False
    many: bool = False
    nillable: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """``types`` are sequences by name, parts before what has them; ``operations`` tell of each the type that is asked
    and the element that is answered."""

    name: str
    namespace: str
    types: Mapping[str, tuple[Element, ...]]
    operations: Mapping[str, tuple[str, Element]]


def address(request: WireRequest, link: Link, path: str) -> str:
    """Where the far side reaches the service: as the link's ``address`` says, else as it was reached just now."""
    if link.options["address"]:
        return str(link.options["address"])
    scheme = request.headers.get("x-forwarded-proto", "http").partition(",")[0].strip().lower()
    host = request.headers.get("x-forwarded-host") or request.headers.get("host", "localhost")
    return f"{'https' if scheme == 'https' else 'http'}://{host[:MAX_HOST]}/pos/{link.code}/{path}"


def document(service: Service, location: str) -> bytes:
    """The WSDL with the address under which the service is reached."""
    prefixes: Any = {None: _WSDL, "soapbind": _SOAP, "soap12bind": _SOAP_12, "tns": service.namespace, "xs": _XS}
    root = etree.Element(
        f"{{{_WSDL}}}definitions", nsmap=prefixes, name=service.name, targetNamespace=service.namespace
    )
    _schema(_under(_under(root, "types"), "schema", _XS), service)
    for name in service.operations:
        for direction, element in (("Request", name), ("Response", f"{name}Response")):
            message = _under(root, "message", name=f"{name}{direction}Message")
            _under(message, "part", name="parameters", element=f"tns:{element}")
    _port_type(root, service)
    for version, suffix in _PORTS:
        _binding(root, service, version, suffix)
    told = _under(root, "service", name=service.name)
    for version, suffix in _PORTS:
        name = f"{service.name}Soap{suffix}"
        port = _under(told, "port", name=name, binding=f"tns:{name}Binding")
        _under(port, "address", version, location=location)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="utf-8", pretty_print=True))


def _schema(schema: etree._Element, service: Service) -> None:
    schema.set("targetNamespace", service.namespace)
    schema.set("elementFormDefault", "qualified")
    schema.set("attributeFormDefault", "unqualified")
    for name, elements in service.types.items():
        _type(schema, name, elements)
    for name, (asked, answered) in service.operations.items():
        _under(schema, "element", _XS, name=name, type=f"tns:{asked}")
        _type(schema, f"{name}ResponseType", (answered,))
        _under(schema, "element", _XS, name=f"{name}Response", type=f"tns:{name}ResponseType")


def _type(schema: etree._Element, name: str, elements: tuple[Element, ...]) -> None:
    sequence = _under(_under(schema, "complexType", _XS, name=name), "sequence", _XS)
    for each in elements:
        told = each.type if ":" in each.type else f"tns:{each.type}"
        element = _under(sequence, "element", _XS, name=each.name, type=told)
        if each.optional:
            element.set("minOccurs", "0")
        if each.many:
            element.set("maxOccurs", "unbounded")
        if each.nillable:
            element.set("nillable", "true")


def _port_type(root: etree._Element, service: Service) -> None:
    port_type = _under(root, "portType", name=f"{service.name}PortType")
    for name in service.operations:
        operation = _under(port_type, "operation", name=name)
        _under(operation, "input", message=f"tns:{name}RequestMessage")
        _under(operation, "output", message=f"tns:{name}ResponseMessage")


def _binding(root: etree._Element, service: Service, version: str, suffix: str) -> None:
    name = f"{service.name}Soap{suffix}Binding"
    binding = _under(root, "binding", name=name, type=f"tns:{service.name}PortType")
    _under(binding, "binding", version, style="document", transport=_TRANSPORT)
    for each in service.operations:
        operation = _under(binding, "operation", name=each)
        action = f"{service.namespace}#{service.name}:{each}"
        _under(operation, "operation", version, style="document", soapAction=action)
        for direction in ("input", "output"):
            _under(_under(operation, direction), "body", version, use="literal")


def _under(parent: etree._Element, tag: str, namespace: str = _WSDL, /, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{namespace}}}{tag}", attributes)
