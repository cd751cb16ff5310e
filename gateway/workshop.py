"""What becomes of a message, step by step: for whoever writes the document of an adapter, or looks for a fault.

Messages are tried before the books of the demo's chain (tillgate demo), in a file that goes afterwards: card 5550001234
belongs to +79210000001 and has 450.50 points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from adapters.contract import Adapter, Link, Outcome, WireRequest, WireResponse
from adapters.declarative import Declared
from adapters.declarative.rules import Rules
from adapters.declarative.scope import MISSING
from gateway.books import Books
from gateway.demo.chain import STORE, open_chain
from gateway.demo.run import new_keys
from gateway.pos import converse, find, groups_of, misdirected
from processing.commands import Ask, Command, Query
from processing.errors import BadMessage, LoyaltyError, NoSuchRoute

ZONE = "Europe/Moscow"

Core = Callable[[Sequence[Ask[Any]]], Sequence[Outcome]]
INDENT = "  "


@dataclass
class Tried:
    """A message on its way through a document.

    ``why_not``: of each rule at its address what kept it, empty of the one that took it. ``seen``: each value as it
    stood and as it was converted.
    """

    why_not: list[tuple[str, str]] = field(default_factory=list)
    seen: list[tuple[str, Any, Any]] = field(default_factory=list)
    asks: tuple[Ask[Any], ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    refusal: LoyaltyError | None = None
    response: WireResponse | None = None

    @property
    def fields(self) -> list[tuple[str, str | None, str | None]]:
        """Of each value its place, how it stood and what was read, once; ``None``: nothing."""
        return list(dict.fromkeys((where, _told(raw), _told(value)) for where, raw, value in self.seen))


def _told(value: Any) -> str | None:
    if value is MISSING:
        return None
    return value.isoformat() if isinstance(value, date) else repr(value)


@contextmanager
def scratch_books() -> Iterator[Core]:
    """What answers asks: the demo's chain in a file that goes afterwards."""
    with TemporaryDirectory() as folder:
        chain = open_chain(f"sqlite:///{folder}/books.db", new_keys())
        try:
            yield partial(_answered, Books(chain.parts.core, chain.parts.settings.gateway))
        finally:
            chain.parts.database.dispose()


def _answered(books: Books, asks: Sequence[Ask[Any]]) -> Sequence[Outcome]:
    """What the books answer; what the gateway would answer itself, such as a login, is refused."""
    outcomes = iter(books.ask([ask for ask in asks if isinstance(ask, Command | Query)]))
    refused = LoyaltyError("the gateway answers this, and not the books: it is not tried")
    return [next(outcomes) if isinstance(ask, Command | Query) else refused for ask in asks]


def try_message(adapter: Adapter, declared: Declared | None, request: WireRequest, link: Link, core: Core) -> Tried:
    """The whole way of a message, with every step kept; of an adapter without a document there are no rules to tell.

    Errors: what an adapter must not raise comes through.
    """
    tried, route = Tried(), find(adapter, request.path, request.method)
    message = replace(request, groups=groups_of(route, request.path))

    def asking(asks: Sequence[Ask[Any]]) -> Sequence[Outcome]:
        tried.asks = tuple(asks)
        tried.outcomes = tuple(core(asks))
        return tried.outcomes

    try:
        if problem := misdirected(route, request.method):
            raise problem
        assert route is not None
        if declared is not None:
            _look(declared.rules_of(route), message, link, tried)
        tried.response = converse(route, message, link, asking)
    except LoyaltyError as refusal:
        tried.refusal, tried.response = refusal, adapter.refuse(refusal, message, link)
    return tried


def trial_link(adapter: Adapter, options: Mapping[str, Any]) -> Link:
    """A link of the scratch books. Errors: ValidationError for options that will not do."""
    return Link("trial", STORE, ZoneInfo(ZONE), adapter.options().load(dict(options)))


def _look(rules: Rules, request: WireRequest, link: Link, tried: Tried) -> None:
    """Which rule takes the message, and what its fields read."""
    scope = replace(rules.scope(request, link), seen=tried.seen)
    try:
        taken = None
        for rule in rules.rules:
            why = "; ".join(filter(None, (each.why_not(scope) for each in rule.when)))
            if not why and taken is None:
                taken = rule
            tried.why_not.append((rule.name, why or ("" if taken is rule else "another rule takes it")))
        if taken is not None and taken.ask is not None:
            taken.ask(scope)
    except BadMessage:
        pass  # told as the refusal


def story(tried: Tried) -> Iterator[str]:
    """The steps in lines."""
    if isinstance(tried.refusal, NoSuchRoute):
        yield "no rule has this address and method"
    for name, why in tried.why_not:
        yield f"rule {name}: {'takes it' if not why else 'no: ' + why}"
    for where, stood, read in tried.fields:
        yield f"{INDENT}{where}: {stood or 'missing'} -> {read or 'nothing'}"
    for ask, outcome in zip(tried.asks, tried.outcomes, strict=False):
        yield f"asks {type(ask).__name__}"
        yield from _indented(pretty(ask))
        if isinstance(outcome, LoyaltyError):
            yield f"refused: {outcome.code}: {outcome.message}"
        else:
            yield f"answered with {type(outcome).__name__}"
            yield from _indented(pretty(outcome))
    if isinstance(tried.refusal, BadMessage):
        yield f"the message makes no sense: {tried.refusal.message}"
    if tried.response is not None:
        yield f"says HTTP {tried.response.status}, {tried.response.content_type}"
        yield from _indented(tried.response.body.decode("utf-8", "replace"))


def pretty(value: Any) -> str:
    """A command or result as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _indented(text: str) -> Iterator[str]:
    return (INDENT + line for line in text.splitlines())
