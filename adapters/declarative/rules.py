"""Rules of a document: which messages they take, what they ask, what is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from adapters.contract import Asking, Link, WireRequest, WireResponse, one
from adapters.declarative.paths import Look
from adapters.declarative.scope import MISSING, Scope
from adapters.declarative.values import as_text
from adapters.declarative.writing import respond
from adapters.parsing import bad
from processing.commands import Ask


@dataclass(frozen=True)
class Condition:
    """What must stand at a place: one of these texts, or anything, or nothing."""

    at: str
    look: Look
    values: frozenset[str] = frozenset()
    present: bool | None = None

    def holds(self, scope: Scope) -> bool:
        found = as_text(self.look(scope), self.at)
        if self.present is not None:
            return (found is not MISSING and found != "") == self.present
        return found in self.values

    def excludes(self, other: Condition) -> bool:
        """Whether no message can hold both."""
        if self.at != other.at:
            return False
        if self.present is None and other.present is None:
            return not self.values & other.values
        if self.present is not None and other.present is not None:
            return self.present != other.present
        present, values = (self.present, other.values) if self.present is not None else (other.present, self.values)
        return present is False and "" not in values

    @property
    def wanted(self) -> str:
        if self.present is not None:
            return "present" if self.present else "absent"
        return " or ".join(sorted(self.values))

    def why_not(self, scope: Scope) -> str:
        """What stands there instead; empty where it holds."""
        if self.holds(scope):
            return ""
        found = as_text(self.look(scope), self.at)
        return f"{self.at} is {'missing' if found is MISSING else repr(found)}, expected {self.wanted}"


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something that is one of several: known by its conditions. ``otherwise``: it takes what no other takes."""

    name: str
    when: tuple[Condition, ...]
    otherwise: bool = False

    def takes(self, scope: Scope) -> bool:
        return all(condition.holds(scope) for condition in self.when)

    def overlaps(self, other: Case) -> bool:
        """Whether one thing may be both."""
        if self.otherwise != other.otherwise:
            return False
        return not any(mine.excludes(theirs) for mine in self.when for theirs in other.when)

    @property
    def wanted(self) -> str:
        return ", ".join(f"{each.at} {each.wanted}" for each in self.when)


C = TypeVar("C", bound=Case)


def chosen(cases: Sequence[C], scope: Scope, what: str) -> C:
    """The one that takes it; those that take all the rest stand last.

    Errors: BadMessage that says what each wants: without what stands there, which may be personal.
    """
    for case in cases:
        if case.takes(scope):
            return case
    wanted = "; ".join(f"{case.name} wants {case.wanted}" for case in cases)
    raise bad(what, "", f"one that a rule takes: {wanted}")


@dataclass(frozen=True, kw_only=True)
class Fact(Case):
    """What has happened: ``ask`` makes the command of it, ``None`` where the books have no use for it."""

    ask: Callable[[Scope], Ask[Any]] | None


@dataclass(frozen=True, kw_only=True)
class Rule(Case):
    """``ask`` makes what is asked, ``None`` where the adapter answers by itself; ``answer`` the tree that is said."""

    path: str
    method: str
    kind: str
    ask: Callable[[Scope], Ask[Any]] | None
    answer: Look
    answers: str
    status: int


@dataclass(frozen=True)
class Rules:
    """All rules of one address and method: the handler of its route, by whose name the log calls it."""

    rules: tuple[Rule, ...]
    namespaces: dict[str, str]

    def handler(self) -> Callable[[WireRequest, Link], Asking[WireResponse] | WireResponse]:
        if all(rule.ask is None for rule in self.rules):

            def answer(request: WireRequest, link: Link) -> WireResponse:
                scope = self.scope(request, link)
                return self._say(self.choose(scope), scope)

            answer.__name__ = self.rules[0].name
            return answer

        def converse(request: WireRequest, link: Link) -> Asking[WireResponse]:
            scope = self.scope(request, link)
            rule = self.choose(scope)
            if rule.ask is not None:
                scope.result = yield from one(rule.ask(scope))
            return self._say(rule, scope)

        converse.__name__ = self.rules[0].name
        return converse

    def scope(self, request: WireRequest, link: Link) -> Scope:
        return Scope(request, link, self.rules[0].kind)

    def choose(self, scope: Scope) -> Rule:
        """The one rule that takes the message. Errors: BadMessage."""
        return chosen(self.rules, scope, "message")

    def _say(self, rule: Rule, scope: Scope) -> WireResponse:
        return respond(rule.answers, rule.answer(scope), self.namespaces, rule.status)
