"""What an integrator does with the YAML document of an adapter: try a message, compare samples.

Messages are tried before the books of the demo's chain (tillgate demo), in a file that goes afterwards: card 5550001234
belongs to +79210000001 and has 450.50 points.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from adapters.contract import Adapter, Link, Outcome, WireRequest, WireResponse
from adapters.declarative import Declared
from adapters.declarative.rules import Rules
from adapters.declarative.scope import MISSING
from adapters.testing.driver import CannedCore, converse
from adapters.testing.files import FILES, face_of, read_file_samples
from adapters.testing.files import read as read_file
from adapters.testing.samples import CASES, Sample, asked, read_samples, written
from adapters.testing.talk_samples import TALKS, held, read_talk_samples
from gateway.books import Books
from gateway.demo.chain import STORE, open_chain
from gateway.demo.run import new_keys
from processing.commands import Ask, Command, Query
from processing.errors import BadMessage, LoyaltyError

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
    """The whole way of a message, with every step kept; of an adapter without a document there are no rules to tell."""
    tried = Tried()
    rules, groups = _at(declared, request) if declared is not None else (None, {})
    if rules is not None:
        _look(rules, replace(request, groups=groups), link, tried)

    def asking(asks: Sequence[Ask[Any]]) -> Sequence[Outcome]:
        tried.outcomes = tuple(core(asks))
        return tried.outcomes

    conversation = converse(adapter, request, link, asking)
    tried.asks, tried.refusal, tried.response = conversation.asks, conversation.refusal, conversation.response
    return tried


def trial_link(adapter: Adapter, options: Mapping[str, Any]) -> Link:
    """A link of the scratch books. Errors: ValidationError for options that will not do."""
    return Link("trial", STORE, ZoneInfo(ZONE), adapter.options().load(dict(options)))


def _at(declared: Declared, request: WireRequest) -> tuple[Rules | None, dict[str, str]]:
    """The rules of the message's address and method, and what stands in the braces of the path."""
    for route, rules in zip(declared.adapter.routes, declared.routes.values(), strict=True):
        match = route.pattern.fullmatch(request.path)
        if match and request.method in route.methods:
            return rules, match.groupdict()
    return None, {}


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
    if not tried.why_not:
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


# Samples --------------------------------------------------------------------------------------------------------


def differences(adapter: Adapter, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each sample of messages, files and talks, and how what comes of it differs from what its files say; no lines: it
    does not."""
    for sample in read_samples(folder, adapter) if (folder / CASES).exists() else ():
        asks = _compare("asks", sample.asks, json.loads(written(asked(adapter, sample))))
        yield sample.case, [*asks, *_answer(adapter, sample)]
    for file in read_file_samples(folder, adapter) if (folder / FILES).exists() else ():
        found = read_file(face_of(adapter, file), file, file.content).recorded()
        yield file.case, list(_compare("found", file.found, found))
    for talk in read_talk_samples(folder, adapter) if (folder / TALKS).exists() else ():
        yield talk.case, list(_compare("said", talk.said, held(adapter, talk)))


def _answer(adapter: Adapter, sample: Sample) -> Iterator[str]:
    if len(sample.outcomes) != len(asked(adapter, sample)):
        yield f"answer: {len(sample.outcomes)} results for {len(asked(adapter, sample))} asks"
        return
    now = converse(adapter, sample.request, sample.link, CannedCore(sample.outcomes)).response.body
    yield from _lines("answer", sample.answer.decode("utf-8", "replace"), now.decode("utf-8", "replace"))


def _compare(what: str, recorded: Any, now: Any) -> Iterator[str]:
    yield from _lines(what, *(json.dumps(each, ensure_ascii=False, indent=1) for each in (recorded, now)))


def _lines(what: str, recorded: str, now: str) -> Iterator[str]:
    if recorded != now:
        lines = difflib.unified_diff(
            recorded.splitlines(), now.splitlines(), f"{what} recorded", f"{what} now", lineterm=""
        )
        yield from lines
