"""What a document says, compiled: a tree of values filled from the result, the refusal and the message, as bytes.

Answers to messages, and the calls that go out (calls.py): these look at what is to be told as if it were a message.

In XML and SOAP a mapping's keys are elements, ``@name`` an attribute, ``#text`` the text, a list repeats its element.
Keys that lead to nothing are left out.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from adapters.converters import Converter
from adapters.declarative.mistakes import Mistakes, Steps, shown
from adapters.declarative.paths import BadPath, Look, item_path, message_path, result_item_path, result_path
from adapters.declarative.scope import FORM, MISSING, SOAP, XML, Scope
from adapters.declarative.values import Compiler, as_text, bare
from adapters.declarative.writing import NAME, TEXT, as_told
from adapters.json_parsing import MAX_EXPONENT, Number
from adapters.texts import text
from processing.errors import BadMessage, LinkRefused
from processing.results import Result

# What an answer may look at, by the key that marks it.
FORMS = ("of", "item", "at", "option", "error", "each", "first", "received", "join", "secret", "basic")
# Of these the form stands before a list.
OF_LISTS = ("first", "join", "basic")
PLAIN = "plain"
BESIDE = {
    "of": {"as", "default"},
    "item": {"as", "default"},
    "at": {"as", "default"},
    "each": {"give"},
    "error": {"as", "default"},
    "join": {"with"},
}
# In the place of the type of an element: it is one of the message.
OF_MESSAGE = object()
NOTHING = (MISSING, "", None)


@dataclass(frozen=True)
class Answers:
    """Compiles trees. ``result`` is the type of what the core answers, ``None`` where nothing was asked.

    ``is_call``: it is told to a far side, which is not to hear a half of it: a value that cannot be read is an error.
    An answer leaves it out, for what it answers has happened. ``knows_secrets``: those of the link may be said.
    """

    compiler: Compiler
    result: type[Result] | None
    refusal: bool = False
    is_call: bool = False
    knows_secrets: bool = False

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
        if form in OF_LISTS:
            return self._list_form(spec, form, path, item)
        if form == "option":
            return self.compiler.option(spec["option"], "text", path)
        if form == "secret":
            return self._secret(spec["secret"], path)
        if form == "received":
            if self.is_call:
                return self._wrong(path, spec, "something that is the same in every attempt; received is not")
            return self._told(lambda scope: scope.request.at, spec | {"as": spec["received"]}, path)
        if form == "at" or (form == "item" and item is OF_MESSAGE):
            return self._echoed(spec, form, path)
        look = (
            self._error(spec["error"], (*path, "error"))
            if form == "error"
            else self._path(form, spec[form], path, item)
        )
        return self._told(look, spec, path)

    def _list_form(self, spec: dict[str, Any], form: str, path: Steps, item: Any) -> Look:
        looks = [self.tree(each, (*path, form, n), item) for n, each in enumerate(spec[form])]
        if form == "first":
            return lambda scope: next((value for look in looks if (value := look(scope)) not in NOTHING), MISSING)
        if form == "join":
            between = str(spec.get("with", ":"))
            return lambda scope: MISSING if MISSING in (told := _all(looks, scope)) else _joined(told, between)
        if not self.knows_secrets or len(looks) != 2:
            return self._wrong(path, spec, "basic: [user, password] in the headers of a login")
        return lambda scope: MISSING if MISSING in (told := _all(looks, scope)) else _basic(_joined(told, ":"))

    def _secret(self, name: str, path: Steps) -> Look:
        if not self.knows_secrets:
            return self._wrong(path, name, "something else: secrets are said by a login only")

        def secret(scope: Scope) -> str:
            if name not in scope.secrets:
                raise LinkRefused(f"the link has no secret {name}")
            return scope.secrets[name]

        return secret

    def _echoed(self, spec: dict[str, Any], form: str, path: Steps) -> Look:
        """A value of the message: the first converter reads it, the last one tells it."""
        look, where = self._path(form, spec[form], path, OF_MESSAGE), str(spec[form])
        chain, default = self._chain(spec, path), spec.get("default", MISSING)
        if not chain:
            found = self._readable(look, MISSING)
            return lambda scope: _plain(default if (value := found(scope)) in (MISSING, None) else value)
        (named, read, tell), *others = chain
        tells = [each[2] for each in others] or [tell]
        if read is None:
            self.mistakes.say((*path, "as"), f"{named.name} tells only, it reads nothing")
        for other in others:
            self._check_tells(other, path)

        def value_of(scope: Scope) -> Any:
            text = as_text(look(scope), where)
            return MISSING if text is MISSING else read(text, where, scope.link.zone)

        find = self._readable(value_of, MISSING)

        def told(scope: Scope) -> Any:
            value = find(scope)
            if value is MISSING or value is None:
                return default
            for each in tells:
                value = each(value, scope.link.zone) if each is not None else value
            return _plain(value)

        return told

    def _readable(self, look: Look, nothing: Any) -> Look:
        """What stands in the message; of one that makes no sense an answer says nothing, for it was booked already."""
        if self.is_call:
            return look

        def readable(scope: Scope) -> Any:
            try:
                return look(scope)
            except BadMessage:
                return nothing

        return readable

    def _chain(self, spec: dict[str, Any], path: Steps) -> list[tuple[Converter, Any, Any]]:
        """The converters that are named, with their two functions."""
        told = spec["as"] if isinstance(spec.get("as"), list) else [spec["as"]] if "as" in spec else []
        found = [self.compiler.converter(each, (*path, "as")) for each in told]
        return [each for each in found if each is not None]

    def _check_tells(self, converter: tuple[Converter, Any, Any], path: Steps) -> None:
        if converter[2] is None:
            self.mistakes.say((*path, "as"), f"{converter[0].name} reads only, it tells nothing")

    def _told(self, look: Look, spec: dict[str, Any], path: Steps) -> Look:
        """What is looked at, through its converters, in the end something that can be written."""
        tells: list[Callable[..., Any]] = []
        for converter in self._chain(spec, path):
            self._check_tells(converter, path)
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
        forms = ("of", "item", "at")
        if not isinstance(source, dict) or len(source) != 1 or next(iter(source)) not in forms or "give" not in spec:
            return self._wrong(path, source, "each: {of: path}, give: a tree")
        ((form, told),) = source.items()
        if form == "at" or item is OF_MESSAGE:
            find = self._readable(self.compiler.many(source, (*path, "each")), [])
            make = self.tree(spec["give"], (*path, "give"), OF_MESSAGE)
            return lambda scope: _of_each(make, find(scope), scope)
        look = self._path(form, told, (*path, "each"), item)
        inner = self._type(form, told, item)
        element = get_args(inner)[0] if get_origin(inner) is tuple else None
        if inner is not None and element is None:
            return self._wrong((*path, "each"), told, "a path to a list")
        give = self.tree(spec["give"], (*path, "give"), element)

        def all_of(scope: Scope) -> list[Any]:
            found = look(scope)
            return _of_each(give, found if isinstance(found, list | tuple) else (), scope)

        return all_of

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
            if form == "at" or item is OF_MESSAGE:
                make = message_path if form == "at" else item_path
                return make(told, self.compiler.kind, self.compiler.namespaces)
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


def _of_each(make: Look, found: Sequence[Any], scope: Scope) -> list[Any]:
    """What is made of the elements; those of which nothing is are left out."""
    return [value for each in found if (value := make(scope.at(each))) is not MISSING]


def _all(looks: list[Look], scope: Scope) -> list[Any]:
    return [look(scope) for look in looks]


def _joined(told: list[Any], between: str) -> str:
    return between.join(map(as_told, told))


def _basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode("utf-8", "replace")).decode()


def _plain(value: Any) -> Any:
    """What can be written: texts, numbers, truths; structs are a mistake of the document that shows as text."""
    if isinstance(value, Number):
        return _number(value)
    if value is None or isinstance(value, bool | int | Decimal) or value is MISSING:
        return value
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value)


def form_of(spec: Mapping[str, Any]) -> str:
    """The form that a mapping is, empty for a mapping of the answer's own keys.

    What is looked at is named by a text, so that ``error: {...}`` is a key like any other; ``plain`` says so for sure.
    """
    if "each" in spec and "give" in spec:
        return "each"
    for name in OF_LISTS:
        if isinstance(spec.get(name), list) and spec.keys() <= {name, *BESIDE.get(name, ())}:
            return name
    return next((name for name in FORMS if isinstance(spec.get(name), str) and name not in ("each", *OF_LISTS)), "")


def _number(number: Number) -> Any:
    """A number of the message, as a number; nonsense stays the text that it was."""
    try:
        told = Decimal(number)
    except InvalidOperation:
        return str(number)
    return told if abs(told.adjusted()) <= MAX_EXPONENT else str(number)


def check(kind: str, spec: Any, path: Steps, namespaces: Mapping[str, str], mistakes: Mistakes) -> None:
    """That a tree can be written so."""
    if kind in (XML, SOAP):
        check_names(spec, path, namespaces, mistakes)
    elif kind == TEXT:
        _check_single(spec, path, mistakes)
    elif kind == FORM and spec is not None:
        if isinstance(spec, dict) and set(spec) == {PLAIN}:
            spec, path = spec[PLAIN], (*path, PLAIN)
        if not isinstance(spec, dict) or form_of(spec):
            mistakes.say(path, f"found {shown(spec)}, expected a mapping: the fields of the form")
            return
        for key, each in spec.items():
            _check_single(each, (*path, key), mistakes)


def _check_single(spec: Any, path: Steps, mistakes: Mistakes) -> None:
    if isinstance(spec, list) or (isinstance(spec, dict) and form_of(spec) in ("", "each")):
        mistakes.say(path, f"found {shown(spec)}, expected one value")


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
        match = NAME.fullmatch(str(key).removeprefix("@"))
        if key != "#text" and match is None:
            mistakes.say((*path, key), "expected the name of an element, @attribute or #text")
        elif match and match[1] and match[1] not in namespaces:
            mistakes.unknown((*path, key), match[1], "a prefix of namespaces:", namespaces)
        check_names(each, (*path, key), namespaces, mistakes, False)
