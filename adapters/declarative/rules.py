"""Rules of a document: which messages they take, what they ask, what is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, one
from adapters.declarative.answers import respond
from adapters.declarative.paths import Look
from adapters.declarative.scope import MISSING, Scope
from adapters.declarative.values import as_text
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


@dataclass(frozen=True)
class Rule:
    """``ask`` makes what is asked, ``None`` where the adapter answers by itself; ``answer`` the tree that is said.

    ``otherwise``: it takes what no other rule of its address takes.
    """

    name: str
    path: str
    method: str
    kind: str
    when: tuple[Condition, ...]
    ask: Callable[[Scope], Ask[Any]] | None
    answer: Look
    answers: str
    status: int
    otherwise: bool = False

    def takes(self, scope: Scope) -> bool:
        return all(condition.holds(scope) for condition in self.when)

    def overlaps(self, other: Rule) -> bool:
        """Whether a message may match both; those of other addresses never do."""
        if self.otherwise != other.otherwise:
            return False
        return not any(mine.excludes(theirs) for mine in self.when for theirs in other.when)


@dataclass(frozen=True)
class Rules:
    """All rules of one address and method: the handler of its route."""

    rules: tuple[Rule, ...]
    namespaces: dict[str, str]

    def handler(self) -> Callable[[WireRequest, Link], Asking[WireResponse] | WireResponse]:
        if all(rule.ask is None for rule in self.rules):
            return lambda request, link: self._say(self.choose(self.scope(request, link)))

        def converse(request: WireRequest, link: Link) -> Asking[WireResponse]:
            rule, scope = self.choose(self.scope(request, link))
            if rule.ask is not None:
                scope.result = yield from one(rule.ask(scope))
            return self._say((rule, scope))

        # The log calls a route by its handler's name.
        converse.__name__ = self.rules[0].name
        return converse

    def scope(self, request: WireRequest, link: Link) -> Scope:
        return Scope(request, link, self.rules[0].kind)

    def choose(self, scope: Scope) -> tuple[Rule, Scope]:
        """The one rule that takes the message. Errors: BadMessage that says why each does not."""
        for rule in self.rules:
            if rule.takes(scope):
                return rule, scope
        raise bad("message", "", "a message that a rule takes: " + "; ".join(self.why_not(scope)))

    def why_not(self, scope: Scope) -> Sequence[str]:
        """A sentence for each rule that does not take it: without what stands there, which may be personal."""
        return [f"{rule.name} wants {_wants(rule)}" for rule in self.rules if not rule.takes(scope)]

    def _say(self, chosen: tuple[Rule, Scope]) -> WireResponse:
        rule, scope = chosen
        return respond(rule.answers, rule.answer(scope), self.namespaces, rule.status)


def _wants(rule: Rule) -> str:
    return ", ".join(f"{each.at} {each.wanted}" for each in rule.when)
