"""Answers of a document, compiled: a tree of values filled from the result, the refusal and the message, as bytes.

In XML and SOAP a mapping's keys are elements, ``@name`` an attribute, ``#text`` the text, a list repeats its element.
Keys that lead to nothing are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import urlencode

import msgspec
from lxml import etree

from adapters.contract import WireResponse
from adapters.declarative.mistakes import Mistakes, Steps, shown
from adapters.declarative.paths import BadPath, Look, message_path, result_item_path, result_path
from adapters.declarative.scope import FORM, JSON, MISSING, SOAP, XML, Scope
from adapters.declarative.values import Compiler, bare
from adapters.json_parsing import MAX_EXPONENT, Number
from adapters.texts import text
from processing.results import Result

TEXT = "text"
CONTENT_TYPES = {
    JSON: "application/json; charset=utf-8",
    XML: "text/xml; charset=utf-8",
    SOAP: "text/xml; charset=utf-8",
    FORM: "application/x-www-form-urlencoded; charset=utf-8",
    TEXT: "text/plain; charset=utf-8",
}
KINDS = tuple(CONTENT_TYPES)
# What an answer may look at, by the key that marks it.
FORMS = ("of", "item", "at", "option", "error", "each", "first", "received")
PLAIN = "plain"
BESIDE = {
    "of": {"as", "default"},
    "item": {"as", "default"},
    "at": {"as", "default"},
    "each": {"give"},
    "error": {"as", "default"},
}
NOTHING = (MISSING, "", None)
_SOAP_NAMESPACE = "http://schemas.xmlsoap.org/soap/envelope/"
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NAME = re.compile(r"(?:([A-Za-z_][\w.-]*):)?([A-Za-z_][\w.-]*)")


@dataclass(frozen=True)
class Answers:
    """Compiles trees. ``result`` is the type of what the core answers, ``None`` where nothing was asked."""

    compiler: Compiler
    result: type[Result] | None
    refusal: bool = False

    @property
    def mistakes(self) -> Mistakes:
        return self.compiler.mistakes

    def tree(self, spec: Any, path: Steps, item: Any = None) -> Look:
        """A value, a list, or a mapping of them; ``item`` is the type of the element that is gone through."""
        if isinstance(spec, list):
            looks = [self.tree(each, (*path, n), item) for n, each in enumerate(spec)]
            return lambda scope: [value for look in looks if (value := look(scope)) is not MISSING]
        if not isinstance(spec, dict):
            return lambda scope: spec
        if form := form_of(spec):
            return self._form(spec, form, path, item)
        if set(spec) == {PLAIN}:
            spec, path = spec[PLAIN], (*path, PLAIN)
            if not isinstance(spec, dict):
                return self._wrong(path, spec, "a mapping whose keys are plain names")
        looks_by_key = {key: self.tree(each, (*path, key), item) for key, each in spec.items()}

        def mapping(scope: Scope) -> dict[str, Any]:
            values = {str(key): look(scope) for key, look in looks_by_key.items()}
            return {key: value for key, value in values.items() if value is not MISSING}

        return mapping

    def _form(self, spec: dict[str, Any], form: str, path: Steps, item: Any) -> Look:
        for key in spec:
            if key != form and key not in BESIDE.get(form, set()):
                self.mistakes.unknown(
                    (*path, key), key, f"what may stand beside {form}", BESIDE.get(form) or {"nothing"}
                )
        if form == "each":
            return self._each(spec, path, item)
        if form == "first":
            return self._first(spec["first"], path, item)
        if form == "option":
            return self.compiler.option(spec["option"], "text", path)
        if form == "received":
            return self._told(lambda scope: scope.request.at, spec | {"as": spec["received"]}, path)
        look = (
            self._error(spec["error"], (*path, "error"))
            if form == "error"
            else self._path(form, spec[form], path, item)
        )
        return self._told(look, spec, path)

    def _told(self, look: Look, spec: dict[str, Any], path: Steps) -> Look:
        """What is looked at, through its converters, in the end something that can be written."""
        chain = spec["as"] if isinstance(spec.get("as"), list) else [spec["as"]] if "as" in spec else []
        tells: list[Callable[..., Any]] = []
        for each in chain:
            converter = self.compiler.converter(each, (*path, "as"))
            if converter and converter[2] is None:
                self.mistakes.say((*path, "as"), f"{converter[0].name} reads only, it tells nothing")
            elif converter:
                tells.append(converter[2])
        default = spec.get("default", MISSING)

        def told(scope: Scope) -> Any:
            value = look(scope)
            if value is MISSING or value is None:
                return default
            for tell in tells:
                value = tell(value, scope.link.zone)
            return _plain(value)

        return told

    def _each(self, spec: dict[str, Any], path: Steps, item: Any) -> Look:
        source = spec["each"]
        if (
            not isinstance(source, dict)
            or len(source) != 1
            or next(iter(source)) not in ("of", "item")
            or "give" not in spec
        ):
            return self._wrong(path, source, "each: {of: path}, give: a tree")
        ((form, told),) = source.items()
        look = self._path(form, told, (*path, "each"), item)
        inner = self._type(form, told, item)
        element = get_args(inner)[0] if get_origin(inner) is tuple else None
        if inner is not None and element is None:
            return self._wrong((*path, "each"), told, "a path to a list")
        give = self.tree(spec["give"], (*path, "give"), element)

        def all_of(scope: Scope) -> list[Any]:
            found = look(scope)
            return [give(scope.at(each)) for each in (found if isinstance(found, list | tuple) else ())]

        return all_of

    def _first(self, spec: Any, path: Steps, item: Any) -> Look:
        if not isinstance(spec, list) or not spec:
            return self._wrong(path, spec, "first: a list of values")
        looks = [self.tree(each, (*path, "first", n), item) for n, each in enumerate(spec)]
        return lambda scope: next(
            (value for look in looks if (value := look(scope)) not in (MISSING, "", None)), MISSING
        )

    def _error(self, told: Any, path: Steps) -> Look:
        if not self.refusal:
            return self._wrong(path, told, "of: a path; only refusals tell an error")
        if not isinstance(told, str):
            return self._wrong(path, told, "code, text, retry, or a detail")
        return lambda scope: _of_error(scope, told)

    def _path(self, form: str, told: Any, path: Steps, item: Any) -> Look:
        try:
            if not isinstance(told, str) or not told:
                raise BadPath("a path in quotes")
            if form == "at":
                return message_path(told, self.compiler.kind, self.compiler.namespaces)
            look = result_path(told) if form == "of" else result_item_path(told)
            self._check(form, told, (*path, form), item)
            return look
        except BadPath as error:
            return self._wrong((*path, form), told, str(error))

    def _check(self, form: str, told: str, path: Steps, item: Any) -> None:
        """That the path leads through fields that the result has."""
        if form == "of" and self.result is None:
            self.mistakes.say(path, "found of:, but the rule asks nothing: there is no result")
        self._type(form, told, item, path)

    def _type(self, form: str, told: Any, item: Any, path: Steps | None = None) -> Any:
        """The type at the end of the path; ``None``: nobody knows."""
        at: Any = self.result if form == "of" else item
        for part in str(told).split(".") if told != "." else ():
            at = bare(at) if at is not None else None
            name = part.partition("[")[0]
            if get_origin(at) is tuple and name.isdecimal():
                at = get_args(at)[0]
                continue
            if not (isinstance(at, type) and issubclass(at, msgspec.Struct)):
                return None
            hints = get_type_hints(at)
            if name not in hints:
                if path is not None:
                    self.mistakes.unknown(path, name, f"a field of {at.__name__}", hints)
                return None
            at = hints[name]
            if "[" in part and get_origin(at) is tuple:
                at = get_args(at)[0]
        return at

    def _wrong(self, path: Steps, found: Any, expected: str) -> Look:
        self.mistakes.say(path, f"found {shown(found)}, expected {expected}")
        return lambda scope: MISSING


def _of_error(scope: Scope, told: str) -> Any:
    error = scope.error
    assert error is not None
    if told == "text":
        return text(error, scope.link.options["language"])
    if told == "code":
        return error.code
    return error.retryable if told == "retry" else error.details.get(told, MISSING)


def _plain(value: Any) -> Any:
    """What can be written: texts, numbers, truths; structs are a mistake of the document that shows as text."""
    if isinstance(value, Number):
        return _echoed(value)
    if isinstance(value, bool | int | Decimal) or value is MISSING:
        return value
    return str(value)


def form_of(spec: Mapping[str, Any]) -> str:
    """The form that a mapping is, empty for a mapping of the answer's own keys.

    What is looked at is named by a text, so that ``error: {...}`` is a key like any other; ``plain`` says so for sure.
    """
    if "each" in spec and "give" in spec:
        return "each"
    if isinstance(spec.get("first"), list) and len(spec) == 1:
        return "first"
    return next((name for name in FORMS if isinstance(spec.get(name), str) and name not in ("each", "first")), "")


def _echoed(number: Number) -> Any:
    """A number of the message, as a number; nonsense stays the text that it was."""
    try:
        told = Decimal(number)
    except InvalidOperation:
        return str(number)
    return told if abs(told.adjusted()) <= MAX_EXPONENT else str(number)


# Bytes --------------------------------------------------------------------------------------------------------


def written(kind: str, value: Any, namespaces: Mapping[str, str]) -> bytes:
    """The tree as the protocol writes it."""
    if kind == JSON:
        try:
            return _json.encode(value)
        except UnicodeEncodeError:  # halves of characters, which JSON cannot carry
            return _json.encode(_clean(value))
    if kind == FORM:
        return urlencode({key: as_told(each) for key, each in dict(value or {}).items()}).encode()
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
    """One element: of a mapping with one key. The compiler has seen to it that names are names."""
    holder = etree.Element("holder")
    _fill(holder, value if isinstance(value, dict) else {"answer": value}, namespaces)
    root = holder[0]
    holder.remove(root)
    return root


def _fill(element: etree._Element, value: Any, namespaces: Mapping[str, str]) -> None:
    if not isinstance(value, dict):
        element.text = as_told(value)
        return
    for key, each in value.items():
        if key == "#text":
            element.text = as_told(each)
        elif key.startswith("@"):
            element.set(_qualified(key[1:], namespaces), as_told(each))
        else:
            for one in each if isinstance(each, list) else [each]:
                _fill(etree.SubElement(element, _qualified(key, namespaces), nsmap=dict(namespaces)), one, namespaces)


def _qualified(name: str, namespaces: Mapping[str, str]) -> str:
    prefix, _, local = name.rpartition(":")
    return f"{{{namespaces[prefix]}}}{local}" if prefix else name


def as_told(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _UNFIT.sub("", "" if value is None else str(value))


def check_names(spec: Any, path: Steps, namespaces: Mapping[str, str], mistakes: Mistakes, top: bool = True) -> None:
    """That an answer in XML has one root, and keys that can be names of elements and attributes."""
    if isinstance(spec, list):
        for n, each in enumerate(spec):
            check_names(each, (*path, n), namespaces, mistakes, False)
        return
    if not isinstance(spec, dict):
        return
    if form_of(spec):
        check_names(spec.get("give"), (*path, "give"), namespaces, mistakes, False)
        return
    if top and len(spec) != 1:
        mistakes.say(path, f"found {len(spec)} keys, expected one: the root element")
    for key, each in spec.items():
        match = _NAME.fullmatch(str(key).removeprefix("@"))
        if key != "#text" and match is None:
            mistakes.say((*path, key), "expected the name of an element, @attribute or #text")
        elif match and match[1] and match[1] not in namespaces:
            mistakes.unknown((*path, key), match[1], "a prefix of namespaces:", namespaces)
        check_names(each, (*path, key), namespaces, mistakes, False)
