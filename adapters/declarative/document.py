"""A document made an adapter: its messages and refusals here, its files and calls beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.contract import Adapter, Auth, Link, Route, WireRequest, WireResponse
from adapters.converters import Converter, named
from adapters.declarative import answers, files, outbound, writing
from adapters.declarative.clauses import Clauses, in_order, result_of
from adapters.declarative.mistakes import BadDocument, Mistakes, Steps, shown
from adapters.declarative.outline import ASKS, loaded, options_schema
from adapters.declarative.paths import Look
from adapters.declarative.rules import Rule, Rules
from adapters.declarative.scope import JSON, NOTHING, Scope
from processing.errors import LoyaltyError, by_code

_GROUP = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_PATH = re.compile(r"(?:[A-Za-z0-9._~/-]|\{[a-z][a-z0-9_]*\})*")


@dataclass(frozen=True)
class Declared:
    """The adapter, and its rules by address for whoever wants to see why a message went where it did."""

    adapter: Adapter
    routes: Mapping[tuple[str, str], Rules]
    document: Mapping[str, Any]

    def rules_of(self, route: Route) -> Rules:
        """Those of one of its adapter's routes, which stand in the same order."""
        return list(self.routes.values())[self.adapter.routes.index(route)]

    @property
    def secrets(self) -> frozenset[str]:
        """The names of those that its login says, which a link has to have."""
        return frozenset(_secrets(self.document.get("login")))


def build(raw: Mapping[str, Any], converters: tuple[Converter, ...] = ()) -> Declared:
    """The adapter that the document describes. Errors: BadDocument with every mistake."""
    document = loaded(dict(raw))
    return _Building(document, Clauses(document, named(converters), Mistakes())).declared()


@dataclass(frozen=True)
class _Building:
    document: dict[str, Any]
    clauses: Clauses

    @property
    def mistakes(self) -> Mistakes:
        return self.clauses.mistakes

    def declared(self) -> Declared:
        told = self.document
        if told["rules"]:
            self._check_auth()
        routes = self._routes([self._rule(rule, ("rules", n)) for n, rule in enumerate(told["rules"])])
        refuse = self._refusals() if "refusals" in told else _nobody_calls
        faces = (files.face(told["files"], self.clauses, ("files",)),) if "files" in told else ()
        spoken = outbound.spoken(told, self.clauses)
        if self.mistakes.found:
            raise BadDocument(self.mistakes.found)
        auth = Auth(told["auth"]["scheme"], told["auth"]["name"]) if "auth" in told else Auth("open")
        adapter = Adapter(
            name=told["adapter"],
            title=told["title"],
            options=options_schema(told),
            refuse=refuse,
            routes=tuple(
                Route(_pattern(path), each.handler(), auth, frozenset({method}), told["max_body"])
                for (path, method), each in routes.items()
            ),
            private=frozenset(told["private"]),
            volatile=frozenset(told["volatile"]),
            unit_scale=2,
            files=faces,
            **spoken,
        )
        return Declared(adapter, routes, told)

    def _check_auth(self) -> None:
        auth = self.document["auth"]
        if (auth["scheme"] in ("header", "query", "body_digest")) != bool(auth["name"]):
            self.mistakes.say(("auth", "name"), "expected one for header, query and body_digest, none for others")

    def _rule(self, told: Mapping[str, Any], path: Steps) -> Rule:
        kind = told.get("message", NOTHING if told["method"] == "GET" else self.document["message"])
        if not _PATH.fullmatch(told["path"]):
            self.mistakes.say(
                (*path, "path"), f"found {shown(told['path'])}, expected a path such as customers/{{id}}/find"
            )
        asked = ASKS.get(told.get("ask", ""))
        kind_of_answer = told.get("answers", self.document["answers"])
        answers.check(kind_of_answer, told["answer"], (*path, "answer"), self.clauses.namespaces, self.mistakes)
        result = result_of(asked) if asked else None
        return Rule(
            path=told["path"].strip("/"),
            method=told["method"],
            kind=kind,
            ask=self.clauses.ask(told, asked, kind, path),
            answer=answers.Answers(self.clauses.compiler(kind), result).tree(told["answer"], (*path, "answer")),
            answers=kind_of_answer,
            status=told["status"],
            **self.clauses.case(told, kind, path),
        )

    def _routes(self, rules: list[Rule]) -> dict[tuple[str, str], Rules]:
        found: dict[tuple[str, str], list[Rule]] = {}
        for n, rule in enumerate(rules):
            mine = found.setdefault((rule.path, rule.method), [])
            for other in mine:
                if rule.kind != other.kind:
                    self.mistakes.say(("rules", n, "message"), f"differs from that of {other.name} at the same address")
                if rule.overlaps(other):
                    self.clauses.ambiguous(other, ("rules", n, "when"))
            if rule.name in (other.name for other in rules[:n]):
                self.mistakes.say(("rules", n, "name"), f"found {rule.name!r} again")
            mine.append(rule)
        return {key: Rules(in_order(each), self.clauses.namespaces) for key, each in found.items()}

    def _refusals(self) -> Any:
        told = self.document["refusals"]
        kind, namespaces = told.get("answers", self.document["answers"]), self.clauses.namespaces
        make = answers.Answers(self.clauses.compiler(self.document["message"]), None, refusal=True)

        def body(spec: Any, path: Steps) -> Look:
            answers.check(kind, spec, path, namespaces, self.mistakes)
            return make.tree(spec, path)

        common = body(told["body"], ("refusals", "body"))
        for code in told["codes"]:
            if code not in by_code():
                self.mistakes.unknown(("refusals", "codes", code), code, "an error code of docs/errors.md", by_code())
        own = {
            code: (
                each.get("status", told["status"]),
                body(each["body"], ("refusals", "codes", code, "body")) if "body" in each else common,
            )
            for code, each in told["codes"].items()
        }

        def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
            status, tree = own.get(error.code, (told["status"], common))
            scope = Scope(request, link, NOTHING, error=error)
            return writing.respond(kind, tree(scope), namespaces, status, error.code)

        return refuse


def _secrets(told: Any) -> Iterator[str]:
    """The names behind ``secret``, wherever they stand."""
    if isinstance(told, dict):
        if isinstance(told.get("secret"), str):
            yield told["secret"]
        told = list(told.values())
    for each in told if isinstance(told, list) else ():
        yield from _secrets(each)


def _nobody_calls(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Nobody speaks to files and far sides; whoever does hears why not."""
    return writing.respond(JSON, {"error": error.code}, {}, 404, error.code)


def _pattern(path: str) -> str:
    """The path as a regular expression: a group for each name in braces, a slash at its end or none."""
    parts = _GROUP.split(path)
    made = "".join(f"(?P<{part}>[^/]+)" if n % 2 else re.escape(part) for n, part in enumerate(parts))
    return f"{made}/?"
