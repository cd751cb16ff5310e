"""Driving an adapter without a gateway or a core: for tests, and for whoever writes the next adapter.

A sample is a recorded message with what it must ask and answer, in a folder of its protocol:

    <case>.request.xml    the bytes of the till (any extension)
    <case>.asks.json      the asks, as msgspec writes them; [] for a message that asks nothing
    <case>.results.json   what a core would answer: results, or {"refused": code, "details": {...}}
    <case>.answer.xml     the bytes of the answer
    cases.json            the link, the noise of the protocol, and for each case its path and origin

This module reads files; adapters do not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from adapters.contract import Adapter, Link, Outcome, Route, WireRequest, WireResponse
from processing.commands import Ask
from processing.errors import LoyaltyError, NoSuchRoute, rebuild
from processing.results import AnyStoredResult, Balances, Identified

Core = Callable[[Sequence[Ask[Any]]], Sequence[Outcome]]
AnyResult = AnyStoredResult | Identified | Balances

CASES = "cases.json"


class TwoAsks(AssertionError):
    """A conversation that asked twice: one request is one transaction."""


@dataclass(frozen=True)
class Conversation:
    """What was asked and what was said; no asks where the adapter answered or refused by itself."""

    asks: tuple[Ask[Any], ...]
    response: WireResponse
    refusal: LoyaltyError | None = None


@dataclass(frozen=True)
class Sample:
    """A recorded message, its link, and what is expected of it."""

    adapter: str
    case: str
    request: WireRequest
    link: Link
    asks: list[dict[str, Any]]
    outcomes: tuple[Outcome, ...]
    answer: bytes
    noise: tuple[str, ...] = ()
    signal: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    origin: str = ""

    def with_body(self, body: bytes) -> Sample:
        """The same sample with other bytes."""
        return replace(self, request=replace(self.request, body=body))


@dataclass
class CannedCore:
    """A core that answers with what it was given, and remembers what it was asked."""

    outcomes: Sequence[Outcome]
    asked: list[Ask[Any]] = field(default_factory=list)

    def __call__(self, asks: Sequence[Ask[Any]]) -> Sequence[Outcome]:
        self.asked += asks
        if len(asks) != len(self.outcomes):
            raise AssertionError(f"{len(asks)} asks, {len(self.outcomes)} canned outcomes")
        return self.outcomes


def routes_of(adapter: Adapter, request: WireRequest) -> list[Route]:
    """The routes that take this request; more than one is a mistake in the adapter."""
    return [
        route for route in adapter.routes if request.method in route.methods and route.pattern.fullmatch(request.path)
    ]


def converse(adapter: Adapter, request: WireRequest, link: Link, core: Core) -> Conversation:
    """The whole conversation, as the gateway holds it: every LoyaltyError is told by ``refuse``.

    Anything else that an adapter raises comes through. Errors: TwoAsks.
    """
    asks: tuple[Ask[Any], ...] = ()

    def asking(asked: Sequence[Ask[Any]]) -> Sequence[Outcome]:
        nonlocal asks
        asks = tuple(asked)
        return core(asked)

    try:
        response = _answer(adapter, request, link, asking)
    except LoyaltyError as error:
        return Conversation(asks, adapter.refuse(error, request, link), error)
    return Conversation(asks, response)


def asks_of(adapter: Adapter, request: WireRequest, link: Link) -> tuple[Ask[Any], ...]:
    """What the message asks for. Errors: the LoyaltyError with which the adapter refuses it."""
    asked: list[Ask[Any]] = []
    stop = LoyaltyError("asked")

    def core(asks: Sequence[Ask[Any]]) -> Sequence[Outcome]:
        asked.extend(asks)
        return [stop] * len(asks)

    try:
        _answer(adapter, request, link, core)
    except LoyaltyError as error:
        if error is not stop:
            raise
    return tuple(asked)


def _answer(adapter: Adapter, request: WireRequest, link: Link, core: Core) -> WireResponse:
    routes = routes_of(adapter, request)
    if not routes:
        raise NoSuchRoute("no such route", path=request.path)
    match = routes[0].pattern.fullmatch(request.path)
    groups = {name: value or "" for name, value in match.groupdict().items()} if match else {}
    talk = routes[0].handler(replace(request, groups=groups), link)
    return talk if isinstance(talk, WireResponse) else _drive(talk, core)


def _drive(talk: Generator[Sequence[Ask[Any]], Sequence[Outcome], WireResponse], core: Core) -> WireResponse:
    try:
        asks = next(talk)
    except StopIteration as end:
        return _response(end)
    outcomes = core(asks)
    try:
        again = talk.send(outcomes)
    except StopIteration as end:
        return _response(end)
    raise TwoAsks(f"asked a second time: {again!r}")


def _response(end: StopIteration) -> WireResponse:
    if not isinstance(end.value, WireResponse):
        raise AssertionError(f"the conversation ended with {end.value!r} instead of a WireResponse")
    return end.value


def read_samples(folder: Path, adapter: Adapter) -> list[Sample]:
    """Every sample in the folder, sorted by case. A request without an entry in cases.json is a mistake."""
    index = json.loads((folder / CASES).read_text("utf-8"))
    requests = {path.name.split(".", 1)[0]: path for path in folder.glob("*.request.*")}
    if set(requests) != set(index["cases"]):
        raise AssertionError(f"{CASES} and the requests differ: {set(requests) ^ set(index['cases'])}")
    return [_sample(folder, adapter, index, case, requests[case]) for case in sorted(requests)]


def _sample(folder: Path, adapter: Adapter, index: dict[str, Any], case: str, path: Path) -> Sample:
    entry = index["cases"][case]
    answers = sorted(folder.glob(f"{case}.answer.*"))
    return Sample(
        adapter=adapter.name,
        case=case,
        request=WireRequest(
            method=entry.get("method", "POST"),
            path=entry["path"],
            query=entry.get("query", ""),
            headers=entry.get("headers", {}),
            body=path.read_bytes(),
            id=entry.get("id", f"request-{case}"),
            at=datetime.fromisoformat(entry.get("at", index["at"])),
        ),
        link=make_link(adapter, index["link"], entry.get("options", {})),
        asks=_json(folder / f"{case}.asks.json"),
        outcomes=tuple(_outcome(item) for item in _json(folder / f"{case}.results.json")),
        answer=answers[0].read_bytes() if answers else b"",
        noise=tuple(index.get("noise", ())),
        signal=tuple(index.get("signal", ())),
        secrets=tuple(index.get("secrets", ())),
        origin=entry.get("origin", ""),
    )


def make_link(adapter: Adapter, settings: dict[str, Any], overrides: dict[str, Any]) -> Link:
    """A link with its options loaded through the adapter's own schema, as at start-up."""
    options = adapter.options().load({**settings.get("options", {}), **overrides})
    return Link(code=settings["code"], store=settings["store"], zone=ZoneInfo(settings["zone"]), options=options)


def _json(path: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return loaded


def _outcome(item: dict[str, Any]) -> Outcome:
    if "refused" in item:
        return rebuild(item["refused"], item.get("message", ""), item.get("details", {}))
    result: Outcome = msgspec.convert(item, AnyResult, strict=False)
    return result
