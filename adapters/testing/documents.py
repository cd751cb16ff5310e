"""Documents of tills, XML and JSON, as the laws look at them: well-formed, with other values, masked.

Fields are named ``ELEMENT@attribute`` in XML, ``ELEMENT@`` for its text, without regard to case; by their key in JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from lxml import etree

from adapters.contract import WireResponse

# How pictures begin, by the end of their content type.
MAGIC = {"bmp": b"BM", "png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff", "jpeg": b"\xff\xd8\xff", "gif": b"GIF8"}

_BOM = b"\xef\xbb\xbf"
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")

Change = Callable[[str], str]


def check_well_formed(response: WireResponse, may_be_empty: bool = False) -> None:
    """Errors: AssertionError, or the parser's own, for an answer that is not what its content type says.

    An answer without a body is fine where the protocol has one (``may_be_empty``).
    """
    kind = response.content_type.partition(";")[0].strip().lower()
    if not response.body:
        assert may_be_empty or response.status == 204, "an answer without a body"
    elif kind.endswith("xml"):
        etree.fromstring(response.body)
    elif kind.endswith("json"):
        json.loads(response.body)
    elif kind.startswith("image/"):
        assert response.body.startswith(MAGIC[kind.partition("/")[2]]), f"not the beginning of {kind}"
    elif kind.startswith("text/"):
        response.body.decode("utf-8")
    else:
        raise AssertionError(f"no check for {response.content_type}")


def changed(body: bytes, field: str, how: Change) -> bytes | None:
    """The body with the values of the field changed; None when there is no such field in it."""
    element, at, name = field.partition("@")
    return _changed_xml(body, element, name, how) if at else _changed_json(body, field, how)


def _changed_xml(body: bytes, element: str, name: str, how: Change) -> bytes | None:
    try:
        root = etree.fromstring(body.lstrip().removeprefix(_BOM))
    except etree.XMLSyntaxError:
        return None
    nodes = [node for node in root.iter("*") if etree.QName(node).localname.lower() == element.lower()]
    if not name:
        for node in nodes:
            node.text = how(node.text or "")
        return etree.tostring(root) if nodes else None
    found = [(node, key) for node in nodes for key in node.attrib if str(key).lower() == name.lower()]
    for node, key in found:
        node.set(key, how(str(node.get(key))))
    return etree.tostring(root) if found else None


def _changed_json(body: bytes, key: str, how: Change) -> bytes | None:
    """Numbers stay as they were written: a raw value is changed as text."""
    value = rb'("%s"\s*:\s*)("(?:[^"\\]|\\.)*"|[-+.0-9eE]+)' % re.escape(key.encode())
    new, count = re.subn(value, lambda match: match[1] + _raw(match[2].decode(), how).encode(), body)
    return new if count else None


def _raw(value: str, how: Change) -> str:
    return json.dumps(how(json.loads(value))) if value.startswith('"') else how(value)


def respaced(body: bytes) -> bytes:
    """The same document with other white space, and attributes of XML in reverse order."""
    if body.lstrip()[:1] in (b"{", b"["):
        return msgspec.json.format(body, indent=3)
    try:
        root = etree.fromstring(body)
    except etree.XMLSyntaxError:
        return body
    for node in root.iter("*"):
        attributes = list(node.attrib.items())[::-1]
        node.attrib.clear()
        node.attrib.update(attributes)
        if len(node) and not (node.text or "").strip():
            node.text = "\n\t\t "
        if not (node.tail or "").strip():
            node.tail = "  \n"
    root.tail = None
    return etree.tostring(root)


def masked(document: bytes, private: frozenset[str]) -> str:
    """The document with the values of private attributes, elements and keys starred out."""
    low = frozenset(name.lower() for name in private)
    if document.lstrip()[:1] in (b"{", b"["):
        try:
            return json.dumps(_masked_json(json.loads(document), low), ensure_ascii=False)
        except ValueError:
            return document.decode("utf-8", "replace")
    for parser in (None, etree.XMLParser(encoding="windows-1251")):
        try:
            return _masked_xml(etree.fromstring(document.lstrip().removeprefix(_BOM), parser), low)
        except etree.XMLSyntaxError:
            continue
    return document.decode("utf-8", "replace")


def _masked_xml(root: etree._Element, low: frozenset[str]) -> str:
    for node in root.iter("*"):
        whole = etree.QName(node).localname.lower() in low
        for key in node.attrib:
            if whole or str(key).lower() in low:
                node.set(key, "***")
        if node.text and whole:
            node.text = "***"
        elif node.text and node.text.strip().startswith("<"):
            node.text = masked(_DECLARATION.sub("", node.text).encode(), low)
    return etree.tostring(root, encoding="unicode")


def _masked_json(value: Any, low: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: "***" if key.lower() in low else _masked_json(item, low) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked_json(item, low) for item in value]
    return value


def values_of(document: bytes) -> Iterator[str]:
    """The document as text in every encoding that tills use, for finding a value in it."""
    for encoding in ("utf-8", "windows-1251"):
        yield document.decode(encoding, "replace")
