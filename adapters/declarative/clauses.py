"""What rules have in common wherever they stand, compiled: ``when``, ``ask`` with ``fields``, and that no two meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from adapters.converters import Converter
from adapters.declarative.mistakes import Mistakes, Steps, shown
from adapters.declarative.outline import ASKS
from adapters.declarative.paths import BadPath, Look, message_path
from adapters.declarative.rules import Case, Condition, Fact
from adapters.declarative.scope import MISSING, Scope
from adapters.declarative.values import Compiler
from processing.commands import Ask, Command

# In the place of conditions: whatever no other rule takes.
OTHERWISE = "otherwise"
C = TypeVar("C", bound=Case)


@dataclass(frozen=True)
class Clauses:
    """Compiles the clauses of one document; what is wrong is said to ``mistakes``."""

    document: Mapping[str, Any]
    converters: Mapping[str, Converter]
    mistakes: Mistakes

    @property
    def namespaces(self) -> dict[str, str]:
        found: dict[str, str] = self.document["namespaces"]
        return found

    def compiler(self, kind: str) -> Compiler:
        """Of values that look at messages which are written so."""
        names = frozenset({"language", *self.document["options"]})
        return Compiler(kind, self.namespaces, self.converters, names, self.mistakes)

    def conditions(self, told: Any, kind: str, path: Steps) -> tuple[Condition, ...]:
        if told == OTHERWISE:
            return ()
        if not isinstance(told, dict):
            self.mistakes.say(path, f"found {shown(told)}, expected a mapping of paths to texts, or {OTHERWISE}")
            return ()
        return tuple(self.condition(at, each, kind, (*path, at)) for at, each in told.items())

    def condition(self, at: str, wanted: Any, kind: str, path: Steps) -> Condition:
        look = self._path(at, kind, path)
        if wanted in ("present", "absent"):
            return Condition(at, look, present=wanted == "present")
        texts = wanted if isinstance(wanted, list) else [wanted]
        if not texts or not all(isinstance(text, str | int) for text in texts):
            self.mistakes.say(path, f"found {shown(wanted)}, expected a text, a list of texts, present or absent")
        values = frozenset(str(text).lower() if isinstance(text, bool) else str(text) for text in texts)
        return Condition(at, look, values)

    def _path(self, at: str, kind: str, path: Steps) -> Look:
        try:
            return message_path(at, kind, self.namespaces)
        except BadPath as error:
            self.mistakes.say(path, f"found {shown(at)}, expected {error}")
            return lambda scope: MISSING

    def ask(self, told: Mapping[str, Any], asked: type[Ask[Any]] | None, kind: str, path: Steps) -> Look | None:
        """What makes the ask of a rule; ``None`` where it has none."""
        if asked is None:
            if told["fields_"]:
                self.mistakes.say((*path, "fields"), "found fields, but the rule asks nothing")
            return None
        given: dict[str, Look] = {}
        if "store" in asked.__struct_fields__:
            given["store"] = _store
        for name in ("store", "actor"):
            if name in told["fields_"]:
                self.mistakes.say((*path, "fields", name), "is the link's, no document says it")
        if issubclass(asked, Command) and uses(told["fields_"], "received") and "content" not in told["fields_"]:
            text = "received differs in every attempt: expected content: {digest: [...]} of what makes two alike"
            self.mistakes.say((*path, "fields"), text)
        return self.compiler(kind).struct(told["fields_"], asked, (*path, "fields"), given)

    def facts(self, told: Sequence[Mapping[str, Any]], kind: str, path: Steps) -> tuple[Fact, ...]:
        """Rules for what has happened."""
        return self.apart([self._fact(each, kind, (*path, n)) for n, each in enumerate(told)], path)

    def _fact(self, told: Mapping[str, Any], kind: str, path: Steps) -> Fact:
        asked = ASKS.get(told.get("ask", ""))
        if asked and "fact" in asked.__struct_fields__ and told["fields_"].get("fact") is not True:
            self.mistakes.say((*path, "fields"), "expected fact: true, for what is told has happened")
        return Fact(ask=self.ask(told, asked, kind, path), **self.case(told, kind, path))

    def case(self, told: Mapping[str, Any], kind: str, path: Steps) -> dict[str, Any]:
        """What a Case is made of."""
        when = self.conditions(told["when"], kind, (*path, "when"))
        return {"name": told["name"], "when": when, "otherwise": told["when"] == OTHERWISE}

    def apart(self, cases: Sequence[C], path: Steps) -> tuple[C, ...]:
        """The same, those last that take all the rest; two that may meet are a mistake, and two of one name."""
        for n, case in enumerate(cases):
            for other in cases[:n]:
                if case.overlaps(other):
                    self.ambiguous(other, (*path, n, "when"))
                if case.name == other.name:
                    self.mistakes.say((*path, n, "name"), f"found {case.name!r} again")
        return in_order(cases)

    def ambiguous(self, other: Case, path: Steps) -> None:
        text = f"a message may match this and {other.name}: one needs a condition that excludes the other"
        self.mistakes.say(path, text)


def in_order(cases: Sequence[C]) -> tuple[C, ...]:
    """Those last that take all the rest."""
    return tuple(sorted(cases, key=lambda case: case.otherwise))


def uses(spec: Any, form: str) -> bool:
    """Whether the form stands anywhere in it."""
    if isinstance(spec, dict):
        return form in spec or any(uses(each, form) for each in spec.values())
    return isinstance(spec, list) and any(uses(each, form) for each in spec)


def result_of(asked: type[Ask[Any]]) -> Any:
    """What it is answered with: the type argument of ``Command[...]`` or ``Query[...]``."""
    return next(told for base in asked.__orig_bases__ for told in get_args(base))  # type: ignore[attr-defined]


def _store(scope: Scope) -> str:
    return scope.link.store
