"""Trying a message: which rule takes it, what its fields are read as, what is asked, what becomes of it, what is said.

The message is pasted, or one of the exchange log. It is tried before scratch books (gateway/workshop.py), so nothing of
ours changes; whoever sees one of the log in the clear says why, and that is kept.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from flask import render_template, request

from adapters.contract import Adapter, Link, WireRequest
from adapters.declarative import Declared
from adapters.declarative.outline import METHODS
from gateway.console.door import NotThere, console, link, links, page
from gateway.console.exchanges import cut, recorded_of, tell_why
from gateway.console.rights import SEE_PERSONAL
from gateway.console.texts import gettext as _
from gateway.demo.chain import STORE
from gateway.exchange_log import Recorded
from gateway.mask import readable
from gateway.pos import logged_request
from gateway.workshop import Core, Tried, pretty, scratch_books, trial_link, try_message
from processing.errors import Busy, LoyaltyError

LINK, ADAPTER = "link", "adapter"
ENCODINGS = {"utf-8": "UTF-8", "cp1251": "Windows-1251"}
BLANK = {"subject": "", "method": "POST", "path": "", "query": "", "headers": "", "encoding": "utf-8", "body": ""}
# Making scratch books takes a second of a processor, and their migrations are no matter for two threads at once.
WAIT_SECONDS = 10
# So many values of a message are shown; a receipt of many lines has more.
MAX_FIELDS = 300
_one_at_a_time = threading.Lock()

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Subject:
    """What a message is tried with. ``declared`` is ``None`` for an adapter in Python, which has no rules to show."""

    adapter: Adapter
    declared: Declared | None
    link: Link


@page("/try", SEE_PERSONAL, methods=("GET", "POST"))
def trial() -> Any:
    """A form for a message, and what became of the one that was sent with it."""
    exchange = request.values.get("exchange", "")
    if exchange:
        return _of_log(exchange)
    asked = {**BLANK, **{name: request.form[name] for name in BLANK if name in request.form}}
    if request.method == "GET" or not asked["subject"]:
        return _shown(asked)
    subject = _subject(asked["subject"])
    return _shown(asked, _tried(subject, _pasted(asked, console().database.host_clock())))


def _of_log(exchange: str) -> Any:
    """A message of the log, after somebody has said what for."""
    recorded, settings = recorded_of(exchange)
    if request.method == "GET":
        return _shown(BLANK, recorded=recorded)
    if not tell_why(recorded, settings):
        return _shown(BLANK, recorded=recorded, problem=_("Say in a few words what you need it for.")), 422
    subject = _subject(f"{LINK}:{recorded.link}")
    message, _route = logged_request(recorded, subject.adapter)
    return _shown(BLANK, _tried(subject, message), recorded=recorded)


def _subject(told: str) -> Subject:
    """Errors: NotThere, also for a link that this person does not see."""
    kind, _colon, name = told.partition(":")
    settings = console().settings
    if kind == LINK:
        of_link = link(name)
        adapter = settings.adapter_of(of_link)
        spoken = Link(of_link.code, STORE, ZoneInfo(console().zone(of_link.store)), of_link.options, of_link.fiscal)
        return Subject(adapter, settings.documents.get(adapter.name), spoken)
    if kind != ADAPTER or name not in settings.documents:
        raise NotThere
    declared = settings.documents[name]
    return Subject(declared.adapter, declared, trial_link(declared.adapter, {}))


def _pasted(asked: Mapping[str, str], now: datetime) -> WireRequest:
    """The message as a till would have sent it; browsers make every line end CR LF, which no till minds."""
    encoding = asked["encoding"] if asked["encoding"] in ENCODINGS else "utf-8"
    method = asked["method"] if asked["method"] in METHODS else "POST"
    path, query = asked["path"].strip().strip("/"), asked["query"].strip().lstrip("?")
    body = asked["body"].encode(encoding, "replace")
    return WireRequest(method, path, query, _headers(asked["headers"]), body, uuid.uuid4().hex, now)


def _headers(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name.strip().lower(): value.strip() for name, _colon, value in pairs}


@dataclass(frozen=True, slots=True)
class Told:
    """The steps of a message. ``failure`` is the name of what the adapter has raised and should not."""

    tried: Tried
    has_rules: bool
    asks: tuple[tuple[str, str, str, str], ...]
    failure: str = ""

    @property
    def fields(self) -> list[tuple[str, str | None, str | None]]:
        return self.tried.fields[:MAX_FIELDS]

    @property
    def more_fields(self) -> int:
        return max(len(self.tried.fields) - MAX_FIELDS, 0)

    @property
    def answer(self) -> str:
        return cut(readable(self.tried.response.body)) if self.tried.response is not None else ""


def _tried(subject: Subject, message: WireRequest) -> Told:
    """Errors: Busy; whatever is wrong with the scratch books, which is no fault of the adapter."""
    has_rules = subject.declared is not None
    with _books() as core:
        try:
            tried = try_message(subject.adapter, subject.declared, message, subject.link, core)
        except Exception as error:
            log.exception("trial_failed", adapter=subject.adapter.name)
            return Told(Tried(), has_rules, (), type(error).__name__)
    return Told(tried, has_rules, tuple(_asks(tried)))


@contextmanager
def _books() -> Iterator[Core]:
    """Errors: Busy where somebody else tries something all the time."""
    if not _one_at_a_time.acquire(timeout=WAIT_SECONDS):
        raise Busy("another message is being tried")
    try:
        with scratch_books() as core:
            yield core
    finally:
        _one_at_a_time.release()


def _asks(tried: Tried) -> Iterator[tuple[str, str, str, str]]:
    """Of each ask its name and fields, and likewise what came of it."""
    for ask, outcome in zip(tried.asks, tried.outcomes, strict=False):
        if isinstance(outcome, LoyaltyError):
            became = outcome.code, outcome.message
        else:
            became = type(outcome).__name__, cut(pretty(outcome))
        yield type(ask).__name__, cut(pretty(ask)), *became


def _shown(
    asked: Mapping[str, str], told: Told | None = None, recorded: Recorded | None = None, problem: str = ""
) -> str:
    documents = console().settings.documents
    return render_template(
        "console/trial.html",
        asked=asked,
        told=told,
        recorded=recorded,
        recorded_text=cut(readable(recorded.request.body)) if recorded is not None and told is not None else "",
        problem=problem,
        own=list(links()),
        documents=[(name, each.adapter.title) for name, each in sorted(documents.items())],
        methods=METHODS,
        encodings=ENCODINGS,
    )
