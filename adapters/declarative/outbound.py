"""What a document says to far sides by itself, compiled to the push, pull and login of the contract.

A push looks at a message of the outbox as a webhook would tell it, ``{id, type, data}``; a pull at ``{cursor}``; what
comes of a pull is read by rules, as messages are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import NoneType
from typing import Any

import msgspec
from lxml import etree

from adapters.contract import (
    BROKEN,
    Calling,
    Found,
    Job,
    Link,
    Login,
    Message,
    Push,
    Session,
    WireRequest,
    read,
)
from adapters.declarative.answers import OF_MESSAGE, Answers
from adapters.declarative.calls import PlannedCall, planned
from adapters.declarative.clauses import Clauses, result_of
from adapters.declarative.mistakes import Steps
from adapters.declarative.outline import QUERIES, TEST
from adapters.declarative.paths import BadPath, Look, message_path
from adapters.declarative.rules import Case, Fact, chosen
from adapters.declarative.scope import JSON, MISSING, SOAP, XML, Scope
from adapters.declarative.writing import as_told
from adapters.json_parsing import parse_json
from adapters.parsing import bad
from processing.commands import Ask
from processing.errors import BadMessage, BadReply, LinkRefused, NotYet

METHOD = "OUT"
# Logins are told no time.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a push says of a message that was said already.
NOT_FOUND = 404
# Pages that one pull reads; the next comes at once and goes on behind them.
MAX_PAGES = 20
MAX_CURSOR = 2_048
MAX_SESSION_SECONDS = 30 * 86_400


def spoken(told: Mapping[str, Any], clauses: Clauses) -> dict[str, Any]:
    """The fields ``push``, ``pull`` and ``login`` of an Adapter, those that there are."""
    found: dict[str, Any] = {}
    if told["push"]:
        found["push"] = _push(told["push"], clauses, ("push",))
    if "pull" in told:
        found["pull"] = _pull(told["pull"], clauses, ("pull",)).talk
    if "login" in told:
        found["login"] = _login(told["login"], clauses, ("login",))
    return found


def _scope(document: Any, link: Link, job: Job) -> Scope:
    """What a call looks at: the document as JSON is read, its numbers as they were written."""
    scope = Scope(WireRequest(METHOD, "", "", {}, b"", METHOD, job.at), link, JSON)
    scope.body = parse_json(msgspec.json.encode(document)).value
    return scope


# Push -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PushRule(Case):
    """``ask`` is what the books are asked before, ``look`` whether the far side has it already: 404 means no.

    ``call`` is ``None`` where nothing is to be said of such messages.
    """

    ask: Look | None
    look: PlannedCall | None
    call: PlannedCall | None


@dataclass(frozen=True)
class Pushes:
    rules: tuple[PushRule, ...]

    def talk(self, job: Job, link: Link) -> Calling[None]:
        """One message: ``job`` has no more. Errors: LinkRefused for one that no rule takes, and those of calls."""
        for message in job.messages:
            scope = _scope({"id": str(message.id), "type": message.kind, "data": message.body}, link, job)
            yield from self._say(self._rule(scope, message), scope, job)

    def _rule(self, scope: Scope, message: Message) -> PushRule:
        try:
            return chosen(self.rules, scope, "message")
        except BadMessage as error:
            raise LinkRefused(f"no rule says it: {error.message}") from None

    def _say(self, rule: PushRule, scope: Scope, job: Job) -> Calling[None]:
        if rule.call is None:
            return
        if rule.ask is not None:
            scope.result = yield from read(_asked(rule.ask, scope))
        if rule.look is not None:
            reply = yield from rule.look.say(scope)
            if reply.status != NOT_FOUND:
                rule.look.heard(reply, scope.link, job.at)
                return
        rule.call.heard((yield from rule.call.say(scope)), scope.link, job.at)


def _asked(make: Look, scope: Scope) -> Any:
    try:
        return make(scope)
    except BadMessage as error:
        raise LinkRefused(f"it cannot be said: {error.message}") from None


def _push(told: Sequence[Mapping[str, Any]], clauses: Clauses, path: Steps) -> Push:
    rules = clauses.apart([_push_rule(each, clauses, (*path, n)) for n, each in enumerate(told)], path)
    return Push(frozenset(kind for each in told for kind in each["messages"]) - {TEST}, Pushes(rules).talk)


def _push_rule(told: Mapping[str, Any], clauses: Clauses, path: Steps) -> PushRule:
    asked: type[Ask[Any]] | None = QUERIES.get(told.get("ask", ""))
    make = Answers(clauses.compiler(JSON), result_of(asked) if asked else None, is_call=True)
    if "call" not in told and ("look" in told or asked):
        clauses.mistakes.say((*path, "call"), "missing, expected what is said")
    kinds = clauses.condition("type", told["messages"], JSON, (*path, "messages"))
    case = clauses.case(told, JSON, path)
    return PushRule(
        name=case["name"],
        when=(kinds, *case["when"]),
        otherwise=case["otherwise"],
        ask=clauses.ask(told, asked, JSON, path),
        look=planned(told["look"], clauses, make, (*path, "look")) if "look" in told else None,
        call=planned(told["call"], clauses, make, (*path, "call")) if "call" in told else None,
    )


# Login ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SignsIn:
    """``headers`` and ``seconds`` look at the answer to the call."""

    call: PlannedCall | None
    headers: Mapping[str, Look]
    seconds: Look

    def talk(self, secrets: Mapping[str, str], link: Link) -> Calling[Session] | Session:
        """What secrets alone make is there at once. Errors: LinkRefused for a secret that the link has not."""
        return self._session(self._scope({}, secrets, link)) if self.call is None else self._asks(secrets, link)

    def _asks(self, secrets: Mapping[str, str], link: Link) -> Calling[Session]:
        assert self.call is not None
        reply = yield from self.call.say(self._scope({}, secrets, link))
        scope = self.call.heard(reply, link, EPOCH)
        scope.secrets = secrets
        return self._session(scope)

    def _scope(self, document: Any, secrets: Mapping[str, str], link: Link) -> Scope:
        scope = _scope(document, link, Job(EPOCH))
        scope.secrets = secrets
        return scope

    def _session(self, scope: Scope) -> Session:
        """Errors: BadReply for an answer that has not what the headers say; BadMessage."""
        headers = {name: look(scope) for name, look in self.headers.items()}
        lacking = sorted(name for name, value in headers.items() if value is MISSING or value == "")
        seconds = self.seconds(scope)
        if lacking or seconds is MISSING:
            raise BadReply(f"it does not tell {', '.join(lacking) or 'how long it is good'}")
        if not 1 <= seconds <= MAX_SESSION_SECONDS:
            raise BadReply(f"it is good for {seconds} seconds, expected 1 to {MAX_SESSION_SECONDS}")
        return Session({name: as_told(value) for name, value in headers.items()}, seconds)


def _login(told: Mapping[str, Any], clauses: Clauses, path: Steps) -> Login:
    of_call = Answers(clauses.compiler(JSON), None, is_call=True, knows_secrets=True)
    call = planned(told["call"], clauses, of_call, (*path, "call")) if "call" in told else None
    compiler = clauses.compiler(call.read if call else JSON)
    of_reply = Answers(compiler, None, is_call=True, knows_secrets=True)
    headers = {name: of_reply.tree(value, (*path, "headers", name)) for name, value in told["headers"].items()}
    return SignsIn(call, headers, compiler.value(told["seconds"], int, (*path, "seconds"))).talk


# Pull -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Polls:
    """``items`` are those of an answer, ``next`` is where it goes on: a place in the answer, or in its last item."""

    call: PlannedCall
    items: Callable[[Scope], list[Any]]
    begins: Look
    next: Look
    rules: tuple[Fact, ...]

    def talk(self, job: Job, link: Link) -> Calling[None]:
        """Page by page, until one is empty or says no other place to go on.

        Errors: NotYet after MAX_PAGES, for the next pull; those of calls.
        """
        cursor = job.state if isinstance(job.state, str) else _text(self.begins(_scope({}, link, job)))
        for _ in range(MAX_PAGES):
            reply = yield from self.call.say(_scope({"cursor": cursor} if cursor else {}, link, job))
            page = self.call.heard(reply, link, job.at)
            items = self.items(page)
            following = _text(self.next(page.at(items[-1] if items else MISSING))) or cursor
            if items or following != cursor:
                yield from self._told(items, page, following)
            if not items or following == cursor:
                return
            cursor = following
        raise NotYet("more pages", 0)

    def _told(self, items: list[Any], page: Scope, following: str) -> Calling[None]:
        """What the items ask, in one; each that makes no sense by itself, in front of it.

        What the core refuses of them, such as another content under a known key, keeps nothing away.
        """
        asks: list[Ask[Any]] = []
        for number, item in enumerate(items, 1):
            try:
                asks += self._asks(item, page)
            except BadMessage as error:
                yield Found(kind=BROKEN, note=f"item {number}: {error.message}", raw=(_shown(item),))
        yield Found(tuple(asks), state=following, may_be_refused=True)

    def _asks(self, item: Any, page: Scope) -> list[Ask[Any]]:
        """One, or none. Errors: BadMessage."""
        scope = page.about(item)
        rule = chosen(self.rules, scope, "item")
        return [] if rule.ask is None else [rule.ask(scope)]


def _pull(told: Mapping[str, Any], clauses: Clauses, path: Steps) -> Polls:
    of_cursor = Answers(clauses.compiler(JSON), None, is_call=True)
    call = planned(told["call"], clauses, of_cursor, (*path, "call"))
    of_reply = Answers(clauses.compiler(call.read), None, is_call=True)
    return Polls(
        call=call,
        items=_list(told["items"], call.read, clauses, (*path, "items")),
        begins=of_cursor.tree(told["cursor"]["begins"], (*path, "cursor", "begins")),
        next=of_reply.tree(told["cursor"]["next"], (*path, "cursor", "next"), OF_MESSAGE),
        rules=clauses.facts(told["rules"], call.read, (*path, "rules")),
    )


def _list(told: Any, kind: str, clauses: Clauses, path: Steps) -> Callable[[Scope], list[Any]]:
    """The items. Nothing in the place of a list is no answer, and nobody may go on behind it; null of JSON is."""
    elements = clauses.compiler(kind).many(told, path)
    where = str(told.get("at", "")) if isinstance(told, dict) else ""
    if not where:
        clauses.mistakes.say(path, "expected {at: path}, which leads to a list")
    is_xml = kind in (XML, SOAP)
    expected = (etree._Element,) if is_xml else (list, NoneType)
    try:
        look = message_path("." if is_xml else where, JSON, {})
    except BadPath:  # told already
        return elements

    def items(page: Scope) -> list[Any]:
        if not isinstance(look(page), expected):
            raise bad(where, "", "a list")
        return elements(page)

    return items


def _text(value: Any) -> str:
    """A place to go on, as text. Errors: BadMessage for a giant."""
    found = "" if value is MISSING else as_told(value)
    if len(found) > MAX_CURSOR:
        raise bad("cursor.next", len(found), f"at most {MAX_CURSOR} characters")
    return found


def _shown(item: Any) -> str:
    """An item as it came, for whoever looks at what made no sense."""
    if isinstance(item, etree._Element):
        return str(etree.tostring(item, encoding="unicode"))
    return json.dumps(item, ensure_ascii=False)
