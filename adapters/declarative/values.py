"""Values of a document, compiled: what a message says as the fields of a command, typed and checked beforehand.

A value is a literal, a list, a mapping of fields, or one of the forms of ``FORMS``. What is not there is ``MISSING``: a
field with a default keeps it, an element that is written out in a list falls out with a required field of it, which is
missing or empty, and anywhere else a missing one makes the message a bad one.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from adapters.converters import DAY, INSTANT, TEXT, TRUTH, WHOLE, Converter
from adapters.declarative.mistakes import Mistakes, Steps, shown
from adapters.declarative.paths import BadPath, Look, elements, item_path, message_path, xml_elements
from adapters.declarative.scope import MISSING, SOAP, XML, Scope
from adapters.parsing import bad, bounded
from processing.units import cost

MAX_TEXT = 255
# The forms of a value, by the key that marks them.
FORMS = ("at", "item", "option", "join", "each", "first", "received", "product", "sum", "digest")
BESIDE = {
    "at": {"as", "default"},
    "item": {"as", "default"},
    "option": set[str](),
    "join": {"with"},
    "each": {"give"},
    "first": set[str](),
    "received": set[str](),
    "product": set[str](),
    "sum": {"give"},
    "digest": set[str](),
}
GIVES = {str: TEXT, int: WHOLE, bool: TRUTH, date: DAY, datetime: INSTANT}


@dataclass(frozen=True)
class Compiler:
    """Compiles the values of one document; what is wrong is said to ``mistakes``, and the value is then MISSING.

    ``kind`` is how the message is written. ``options`` are the names of the link's.
    """

    kind: str
    namespaces: Mapping[str, str]
    converters: Mapping[str, Converter]
    options: frozenset[str]
    mistakes: Mistakes

    def struct(
        self,
        spec: Any,
        wanted: type[Any],
        path: Steps,
        given: Mapping[str, Look] | None = None,
        falls_out: bool = False,
    ) -> Look:
        """A struct of the vocabulary; ``given`` are fields that the document need not say.

        ``falls_out``: it is MISSING where a required field of it is, or is empty.
        """
        if not isinstance(spec, dict):
            return self._wrong(path, spec, f"a mapping of fields of {wanted.__name__}")
        fields = {field.name: field for field in msgspec.structs.fields(wanted)}
        hints = get_type_hints(wanted)
        looks = dict(given or {})
        for name, value in spec.items():
            if name not in fields:
                self.mistakes.unknown((*path, name), name, f"a field of {wanted.__name__}", fields)
                continue
            looks[name] = self.value(value, hints[name], (*path, name))
        for name, field in fields.items():
            if field.required and name not in looks:
                self.mistakes.say(path, f"{wanted.__name__} needs the field {name!r}")
        parts = [(name, look, fields[name].required) for name, look in looks.items()]
        return lambda scope: _made(wanted, parts, scope, path, falls_out)

    def value(self, spec: Any, hint: Any, path: Steps, falls_out: bool = False) -> Look:
        """A value of this type."""
        hint = bare(hint)
        if get_origin(hint) is tuple:
            return self._tuple(spec, get_args(hint)[0], path)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            return self.struct(spec, hint, path, None, falls_out)
        allowed = get_args(hint) if get_origin(hint) is Literal else ()
        gives = TEXT if allowed else GIVES[hint]
        if isinstance(spec, dict):
            return self._form(spec, gives, allowed, path)
        return self._literal(spec, gives, allowed, path)

    def _literal(self, spec: Any, gives: str, allowed: tuple[Any, ...], path: Steps) -> Look:
        fits = {TEXT: str, WHOLE: int, TRUTH: bool}.get(gives)
        if fits is None or type(spec) is not fits:
            return self._wrong(path, spec, f"a {gives}" + (" in quotes" if gives == TEXT else ""))
        if allowed and spec not in allowed:
            self.mistakes.unknown(path, spec, "one of the words of the field", allowed)
        return lambda scope: spec

    def _tuple(self, spec: Any, inner: Any, path: Steps) -> Look:
        if isinstance(spec, dict) and "each" in spec:
            return self._each(spec, lambda each, at: self.value(each, inner, at), path)
        if not isinstance(spec, list):
            return self._wrong(path, spec, "a list, or each: ... give: ...")
        looks = [self.value(each, inner, (*path, n), True) for n, each in enumerate(spec)]
        return lambda scope: tuple(value for look in looks if (value := look(scope)) is not MISSING)

    def _each(self, spec: dict[str, Any], give: Callable[[Any, Steps], Look], path: Steps) -> Look:
        self._check_keys(spec, "each", path)
        if "give" not in spec:
            return self._wrong(path, spec, "give: what is made of each")
        find = self.many(spec["each"], (*path, "each"))
        make = give(spec["give"], (*path, "give"))

        def all_of(scope: Scope) -> Any:
            found = find(scope)
            return tuple(value for each in found if (value := make(scope.at(each))) is not MISSING)

        return all_of

    def many(self, spec: Any, path: Steps) -> Callable[[Scope], list[Any]]:
        """The elements that ``{at: path}`` or ``{item: path}`` leads to."""
        if not isinstance(spec, dict) or len(spec) != 1 or next(iter(spec)) not in ("at", "item"):
            self._wrong(path, spec, "{at: path} or {item: path}")
            return lambda scope: []
        ((form, told),) = spec.items()
        if self.kind in (XML, SOAP):
            try:
                begin: Look = (lambda scope: scope.body) if form == "at" else (lambda scope: scope.item)
                return elements(xml_elements(str(told), self.namespaces, begin), str(told))
            except BadPath as error:
                self._wrong((*path, form), told, str(error))
                return lambda scope: []
        return elements(self._path(form, told, (*path, form)), str(told))

    def _form(self, spec: dict[str, Any], gives: str, allowed: tuple[Any, ...], path: Steps) -> Look:
        form = next((name for name in FORMS if name in spec), None)
        if form is None or form == "each":
            return self._wrong(path, spec, f"a {gives}: a literal, or one of " + ", ".join(FORMS))
        self._check_keys(spec, form, path)
        if form == "first":
            return self._first(spec["first"], gives, allowed, path)
        if form == "join":
            return self._join(spec, gives, path)
        if form == "digest":
            return self._digest(spec["digest"], gives, path)
        if form in ("product", "sum"):
            return self._product(spec["product"], gives, path) if form == "product" else self._sum(spec, gives, path)
        if form == "received":
            return self._received(gives, spec, path)
        if form == "option":
            return self.option(spec["option"], gives, path)
        return self._looked_up(spec, form, gives, allowed, path)

    def _looked_up(self, spec: dict[str, Any], form: str, gives: str, allowed: tuple[Any, ...], path: Steps) -> Look:
        look = self._path(form, spec[form], (*path, form))
        read = self.reader(spec.get("as"), gives, (*path, "as"), spec.get("as") is not None)
        default: Any = MISSING
        if "default" in spec:
            default = spec["default"]
            self._literal(default, gives, allowed, (*path, "default"))
        where = str(spec[form])

        def found(scope: Scope) -> Any:
            text = as_text(look(scope), where)
            is_told = text is not MISSING and (text or default is MISSING)
            value = read(text, where, scope) if is_told else default
            if scope.seen is not None:
                scope.seen.append((where, text, value))
            if allowed and value is not MISSING and value not in allowed:
                raise bad(where, text, "one of " + ", ".join(map(str, allowed)))
            return value

        return found

    def reader(self, spec: Any, gives: str, path: Steps, told: bool) -> Callable[[str, str, Scope], Any]:
        """One converter or a chain of them, of which the last gives what is wanted."""
        chain = spec if isinstance(spec, list) else [spec] if told else []
        found = [self.converter(each, path) for each in chain]
        reads = [read for converter in found if converter for read in [converter[1]] if read]
        if len(reads) < len(chain):
            if all(found):
                self.mistakes.say(path, "does not read, it only tells")
            return lambda text, where, scope: text
        last = found[-1][0].gives if found and found[-1] else TEXT
        if last != gives:
            fit = [name for name, each in self.converters.items() if each.gives == gives and (each.read or each.make)]
            text = f"gives a {last}, expected a {gives}: as: one of {', '.join(sorted(fit))}"
            self.mistakes.say(path if told else path[:-1], text)

        def convert(text: str, where: str, scope: Scope) -> Any:
            value: Any = text
            for read in reads:
                value = read(value, where, scope.link.zone)
                if value is None:
                    return MISSING
            return value

        return convert

    def converter(self, spec: Any, path: Steps) -> tuple[Converter, Any, Any] | None:
        """The converter that is named, with its two functions; ``None`` when there is none such."""
        name, argument = next(iter(spec.items())) if isinstance(spec, dict) and len(spec) == 1 else (spec, None)
        converter = self.converters.get(name) if isinstance(name, str) else None
        if converter is None:
            self.mistakes.unknown(path, name, "a converter", self.converters)
            return None
        if bool(converter.argument) != isinstance(spec, dict):
            wanted = f"{{{name}: {converter.argument}}}" if converter.argument else name
            self.mistakes.say(path, f"found {shown(spec)}, expected {wanted}")
            return None
        if converter.make is None:
            return converter, converter.read, converter.tell
        try:
            return (converter, *converter.make(argument))
        except ValueError as error:
            self.mistakes.say((*path, name), f"found {shown(argument)}, expected {error}")
            return None

    def _first(self, spec: Any, gives: str, allowed: tuple[Any, ...], path: Steps) -> Look:
        if not isinstance(spec, list) or not spec:
            return self._wrong((*path, "first"), spec, "a list of values")
        looks = [
            self._form(each, gives, allowed, (*path, "first", n))
            if isinstance(each, dict)
            else self._literal(each, gives, allowed, (*path, "first", n))
            for n, each in enumerate(spec)
        ]
        return lambda scope: next((value for look in looks if (value := look(scope)) not in (MISSING, "")), MISSING)

    def _join(self, spec: dict[str, Any], gives: str, path: Steps) -> Look:
        parts, between = spec["join"], spec.get("with", ":")
        if gives != TEXT or not isinstance(parts, list) or not parts or not isinstance(between, str):
            return self._wrong(path, spec, "join: a list of texts, with: a text, where a text is wanted")
        looks = [self.value(each, str, (*path, "join", n)) for n, each in enumerate(parts)]
        where = _where(path)

        def joined(scope: Scope) -> str:
            values = [look(scope) for look in looks]
            if MISSING in values:
                n = values.index(MISSING)
                raise bad(_of(parts[n]) or where, "", "a value")
            return between.join(values)

        return joined

    def _digest(self, parts: Any, gives: str, path: Steps) -> Look:
        """A short name of what these places say together."""
        if gives != TEXT or not isinstance(parts, list) or not parts:
            return self._wrong((*path, "digest"), parts, "a list of values, where a text is wanted")
        looks = [self.value(each, str, (*path, "digest", n)) for n, each in enumerate(parts)]

        def digest(scope: Scope) -> str:
            told = [None if (value := look(scope)) is MISSING else value for look in looks]
            return hashlib.sha256(msgspec.json.encode(told)).hexdigest()

        return digest

    def _product(self, spec: Any, gives: str, path: Steps) -> Look:
        """What so many pieces of a price cost: of an amount and a quantity."""
        if gives != WHOLE or not isinstance(spec, list) or len(spec) != 2:
            return self._wrong((*path, "product"), spec, "an amount and a quantity, where an amount is wanted")
        price, quantity = (self.value(each, int, (*path, "product", n)) for n, each in enumerate(spec))

        def product(scope: Scope) -> Any:
            one, many = price(scope), quantity(scope)
            if one is MISSING or many is MISSING:
                return MISSING
            return bounded(cost(one, many), _where(path))

        return product

    def _sum(self, spec: dict[str, Any], gives: str, path: Steps) -> Look:
        """Amounts of a list added up."""
        if gives != WHOLE or "give" not in spec:
            return self._wrong(path, spec, "sum: {at: path}, give: an amount, where an amount is wanted")
        find = self.many(spec["sum"], (*path, "sum"))
        give = self.value(spec["give"], int, (*path, "give"))

        def total(scope: Scope) -> int:
            amounts = (give(scope.at(each)) for each in find(scope))
            return bounded(sum(amount for amount in amounts if amount is not MISSING), _where(path))

        return total

    def _received(self, gives: str, spec: Any, path: Steps) -> Look:
        if gives == INSTANT:
            return lambda scope: scope.request.at
        if gives == DAY:
            return lambda scope: scope.request.at.astimezone(scope.link.zone).date()
        return self._wrong(path, spec, f"a {gives}; received is a day or an instant")

    def option(self, name: Any, gives: str, path: Steps) -> Look:
        if name not in self.options:
            self.mistakes.unknown((*path, "option"), name, "an option of the document", self.options)
        if gives != TEXT:
            return self._wrong(path, name, f"a {gives}; options are texts")
        return lambda scope: scope.link.options[name] or MISSING

    def _path(self, form: str, told: Any, path: Steps) -> Look:
        try:
            if not isinstance(told, str) or not told:
                raise BadPath("a path in quotes")
            make = message_path if form == "at" else item_path
            return make(told, self.kind, self.namespaces)
        except BadPath as error:
            return self._wrong(path, told, str(error))

    def _check_keys(self, spec: dict[str, Any], form: str, path: Steps) -> None:
        for key in spec:
            if key != form and key not in BESIDE[form]:
                self.mistakes.unknown((*path, key), key, f"what may stand beside {form}", BESIDE[form] or {"nothing"})

    def _wrong(self, path: Steps, found: Any, expected: str) -> Look:
        self.mistakes.say(path, f"found {shown(found)}, expected {expected}")
        return lambda scope: MISSING


def as_text(value: Any, where: str) -> Any:
    """A value of the message as text. Errors: BadMessage for an object or an array."""
    if value is None or value is MISSING:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise bad(where, type(value).__name__, "one value")
    if len(value) > MAX_TEXT:
        raise bad(where, value, f"at most {MAX_TEXT} characters")
    return str(value)


def _made(wanted: type[Any], parts: list[tuple[str, Look, bool]], scope: Scope, path: Steps, falls_out: bool) -> Any:
    values = {}
    for name, look, required in parts:
        value = look(scope)
        if value == "" and required and falls_out:
            return MISSING
        if value is not MISSING and (value != () or not required):
            values[name] = value
        elif required and falls_out:
            return MISSING
        elif required:
            raise bad(_where((*path, name)), "", "a value")
    return wanted(**values)


def bare(hint: Any) -> Any:
    """The type without its None."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(each for each in get_args(hint) if each is not type(None))
    return hint


def _where(path: Steps) -> str:
    """How a place of the document is told to whoever reads the log of messages."""
    steps = path[path.index("fields") :] if "fields" in path else path
    return ".".join(map(str, steps)) or "message"


def _of(spec: Any) -> str:
    return str(spec.get("at") or spec.get("item") or "") if isinstance(spec, dict) else ""
