"""Holding an adapter's conversations without a gateway or a core."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.contract import Adapter, Link, Outcome, Route, WireRequest, WireResponse
from processing.commands import Ask
from processing.errors import LoyaltyError, NoSuchRoute

Core = Callable[[Sequence[Ask[Any]]], Sequence[Outcome]]


class TwoAsks(AssertionError):
    """A conversation that asked twice: one request is one transaction."""


@dataclass(frozen=True)
class Conversation:
    """What was asked and what was said; no asks where the adapter answered or refused by itself."""

    asks: tuple[Ask[Any], ...]
    response: WireResponse
    refusal: LoyaltyError | None = None


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
