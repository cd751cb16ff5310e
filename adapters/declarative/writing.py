"""Trees of values as bytes: JSON, XML, SOAP, forms and plain text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from lxml import etree

from adapters.contract import WireResponse
from adapters.declarative.scope import FORM, JSON, MISSING, SOAP, XML

TEXT = "text"
CONTENT_TYPES = {
    JSON: "application/json; charset=utf-8",
    XML: "text/xml; charset=utf-8",
    SOAP: "text/xml; charset=utf-8",
    FORM: "application/x-www-form-urlencoded; charset=utf-8",
    TEXT: "text/plain; charset=utf-8",
}
KINDS = tuple(CONTENT_TYPES)
# What an element is called that no key names.
ROOT = "answer"
# Of an element or attribute: a prefix and a name.
NAME = re.compile(r"(?:([A-Za-z_][\w.-]*):)?([A-Za-z_][\w.-]*)")
_SOAP_NAMESPACE = "http://schemas.xmlsoap.org/soap/envelope/"
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def written(kind: str, value: Any, namespaces: Mapping[str, str]) -> bytes:
    """The tree as the protocol writes it; one that leads to nothing is empty."""
    value = None if value is MISSING else value
    if kind == JSON:
        try:
            return _json.encode(value)
        except UnicodeEncodeError:  # halves of characters, which JSON cannot carry
            return _json.encode(_clean(value))
    if kind == FORM:
        return urlencode({key: as_told(each) for key, each in (value or {}).items()}).encode()
    if kind == TEXT:
        return as_told(value).encode("utf-8", "replace")
    root = _root(value, namespaces)
    if kind == SOAP:
        envelope = etree.Element(f"{{{_SOAP_NAMESPACE}}}Envelope", nsmap={"soap": _SOAP_NAMESPACE})
        etree.SubElement(envelope, f"{{{_SOAP_NAMESPACE}}}Body").append(root)
        root = envelope
    return bytes(etree.tostring(root, xml_declaration=True, encoding="utf-8"))


_json = msgspec.json.Encoder(decimal_format="number")


def respond(kind: str, value: Any, namespaces: Mapping[str, str], status: int, refused: str = "") -> WireResponse:
    return WireResponse(written(kind, value, namespaces), CONTENT_TYPES[kind], status, refused=refused)


def _clean(value: Any) -> Any:
    """The same without characters that are none."""
    if isinstance(value, dict):
        return {as_told(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return as_told(value) if isinstance(value, str) else value


def _root(value: Any, namespaces: Mapping[str, str]) -> etree._Element:
    """One element: of a mapping with one key, whose value may have led to nothing. The compiler has seen to it that
    names are names."""
    holder = etree.Element("holder")
    _fill(holder, value if isinstance(value, dict) else {ROOT: value}, namespaces)
    if not len(holder):
        return etree.Element(ROOT)
    root = holder[0]
    holder.remove(root)
    return root


def _fill(element: etree._Element, value: Any, namespaces: Mapping[str, str]) -> None:
    if not isinstance(value, dict):
        element.text = as_told(value)
        return
    for key, each in value.items():
        name = _qualified(key.removeprefix("@"), namespaces)
        if key == "#text":
            element.text = as_told(each)
        elif name and key.startswith("@"):
            element.set(name, as_told(each))
        elif name:
            for one in each if isinstance(each, list) else [each]:
                _fill(etree.SubElement(element, name, nsmap=dict(namespaces)), one, namespaces)


def _qualified(key: str, namespaces: Mapping[str, str]) -> str:
    """The name of an element; empty for what is none, as keys of a message that is told back may be."""
    match = NAME.fullmatch(key)
    if match is None or (match[1] and match[1] not in namespaces):
        return ""
    return f"{{{namespaces[match[1]]}}}{match[2]}" if match[1] else match[2]


def as_told(value: Any) -> str:
    """One value as text; an object or a list of the message as JSON."""
    if isinstance(value, dict | list):
        return _json.encode(_clean(value)).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return _UNFIT.sub("", "" if value is None else str(value))
