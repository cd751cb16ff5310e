"""Paths, compiled: ``receipt.items``, ``query.code``, ``header.X-Shift``, ``balances[unit=BONUS]``, and XPath."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from lxml import etree

from adapters.declarative.scope import MISSING, SOAP, XML, Scope
from adapters.parsing import bad
from processing.commands import MAX_LINES

Look = Callable[[Scope], Any]
ROOTS = ("query", "header", "path", "body")
_STEP = re.compile(r"([\w-]+)(?:\[([\w-]+)=([^\[\]]+)\])?|@[\w-]+")


class BadPath(ValueError):
    """Says what was expected of a path."""


def message_path(path: str, kind: str, namespaces: Mapping[str, str]) -> Look:
    """Where a value of the message stands: in the body, which is ``.``, unless the path begins with query, header or
    path."""
    root, _, rest = path.partition(".")
    if root in ROOTS and not rest and root != "body":
        raise BadPath(f"a name behind {root}, such as {root}.code")
    if root == "query":
        return lambda scope: scope.query.get(rest, MISSING)
    if root == "header":
        return lambda scope: scope.request.headers.get(rest.lower(), MISSING)
    if root == "path":
        return lambda scope: scope.request.groups.get(rest) or MISSING
    return _body_path(rest if root == "body" and rest else path, kind, namespaces, lambda scope: scope.body)


def item_path(path: str, kind: str, namespaces: Mapping[str, str]) -> Look:
    """Where a value stands in the element of the list; ``.`` is the element itself."""
    if path == ".":
        return lambda scope: _text(scope.item)
    return _body_path(path, kind, namespaces, lambda scope: scope.item)


def result_path(path: str) -> Look:
    """Where a value of the result stands: ``cards.0.available``, ``balances[unit=BONUS].balance``."""
    return _steps(path, lambda scope: scope.result)


def result_item_path(path: str) -> Look:
    return (lambda scope: scope.item) if path == "." else _steps(path, lambda scope: scope.item)


def _body_path(path: str, kind: str, namespaces: Mapping[str, str], begin: Look) -> Look:
    if kind not in (XML, SOAP):
        return begin if path == "." else _steps(path, begin)
    find = _xpath(path, namespaces)

    def look(scope: Scope) -> Any:
        node = begin(scope)
        found = find(node) if isinstance(node, etree._Element) else MISSING
        if isinstance(found, list):
            return MISSING if not found else [_text(each) for each in found] if len(found) > 1 else _text(found[0])
        if isinstance(found, bool):
            return "true" if found else "false"
        if found is not MISSING and not isinstance(found, str):
            raise bad(path, "", "an element or a text: numbers of XPath are binary fractions")
        return found

    return look


def _xpath(path: str, namespaces: Mapping[str, str]) -> Callable[[etree._Element], Any]:
    try:
        return etree.XPath(path, namespaces=dict(namespaces) or None)
    except etree.XPathSyntaxError as error:
        raise BadPath(f"an XPath: {error}") from None


def elements(look: Look, where: str) -> Callable[[Scope], list[Any]]:
    """What the path leads to as a list; XML elements stay elements, a single thing is a list of one.

    Errors: BadMessage for more than a receipt may have lines.
    """

    def all_of(scope: Scope) -> list[Any]:
        value = look(scope)
        if value is MISSING or value is None:
            return []
        found = list(value) if isinstance(value, list | tuple) else [value]
        if len(found) > MAX_LINES:
            raise bad(where, len(found), f"at most {MAX_LINES}")
        return found

    return all_of


def xml_elements(path: str, namespaces: Mapping[str, str], begin: Look) -> Look:
    """All elements that an XPath leads to, as they are."""
    find = _xpath(path, namespaces)

    def look(scope: Scope) -> Any:
        node = begin(scope)
        found = find(node) if isinstance(node, etree._Element) else []
        return [each for each in found if isinstance(each, etree._Element)] if isinstance(found, list) else []

    return look


def _text(value: Any) -> Any:
    """An element's own text; attributes and texts of XPath are text already."""
    return (value.text or "").strip() if isinstance(value, etree._Element) else value


def _steps(path: str, begin: Look) -> Look:
    steps = [_step(part) for part in path.split(".")]
    if len(steps) == 1 and not steps[0][1]:
        name = steps[0][0]
        return lambda scope: _member(begin(scope), name)

    def look(scope: Scope) -> Any:
        value = begin(scope)
        for name, key, wanted in steps:
            value = _member(value, name)
            if key:
                rows = value if isinstance(value, list | tuple) else ()
                value = next((each for each in rows if str(_member(each, key)) == wanted), MISSING)
        return value

    return look


def _step(part: str) -> tuple[str, str, str]:
    match = _STEP.fullmatch(part)
    if match is None or not match[1]:
        raise BadPath("names with points between, such as receipt.items or balances[unit=BONUS].balance")
    return match[1], match[2] or "", match[3] or ""


def _member(value: Any, name: str) -> Any:
    """Of an object, a list or a struct of ours; texts and numbers have no members, whatever Python says."""
    if isinstance(value, dict):
        return value.get(name, MISSING)
    if isinstance(value, list | tuple):
        return value[int(name)] if name.isdecimal() and int(name) < len(value) else MISSING
    is_ours = isinstance(value, msgspec.Struct) and not name.startswith("_")
    return getattr(value, name, MISSING) if is_ours else MISSING
