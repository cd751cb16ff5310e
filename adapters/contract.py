"""The adapter contract: what a protocol is made of, as data and pure functions.

A handler reads the message once, yields what it wants from the core at most once (one request is one
transaction), and returns what to say:

    def card_info(request: WireRequest, link: Link) -> Asking[WireResponse]:
        found = yield from one(Identify(store=link.store, refs=refs(request)))
        return answer(found)

Same bytes, same asks: no clock, no network, no session; time, a fresh id and the caller's name come with the
request. Reading helpers raise ``BadMessage`` with element and value. docs/writing-an-adapter.md tells it slowly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, TypeVar, overload
from zoneinfo import ZoneInfo

from marshmallow import Schema

from processing.commands import Ask
from processing.errors import LoyaltyError
from processing.results import Result

T = TypeVar("T")
A = TypeVar("A", bound=Result)
B = TypeVar("B", bound=Result)

Outcome = Result | LoyaltyError
Asking = Generator[Sequence[Ask[Any]], Sequence[Outcome], T]

DEFAULT_MAX_BODY = 1 << 20


# Ways in which a fiscal receipt tells what a card pays: as a lower price of the lines, as the offset of an advance
# that was paid before, or as a form of payment.
LINE_DISCOUNT, ADVANCE, TENDER = "line_discount", "advance", "tender"


@dataclass(frozen=True, slots=True)
class FiscalWays:
    """Which ways a till family can print what points and gift cards pay; the first is its own."""

    points: tuple[str, ...] = (LINE_DISCOUNT, TENDER)
    gift_cards: tuple[str, ...] = (ADVANCE, TENDER)


@dataclass(frozen=True, slots=True)
class Link:
    """One configured connection: which store speaks, how, and what its adapter may be told.

    ``options`` is the adapter's own settings, loaded through its schema. ``fiscal`` is the way in which the fiscal
    receipt tells each unit, by the unit's code (docs/cookbook.md, "Points on the fiscal receipt").
    """

    code: str
    store: str
    zone: ZoneInfo
    options: Mapping[str, Any]
    fiscal: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A till's message. ``id``, ``at`` and ``caller`` are given by the gateway, ``groups`` by the route."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    id: str
    at: datetime
    caller: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WireResponse:
    """What the till hears. ``refused`` carries the code of the refusal it tells, for log and metrics."""

    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""


Handler = Callable[[WireRequest, Link], "Asking[WireResponse] | WireResponse"]


@dataclass(frozen=True, slots=True)
class Auth:
    """How a caller proves itself; the gateway checks it on the raw bytes. ``name`` is a header's or parameter's."""

    scheme: Literal["open", "secret_path", "basic", "header", "query", "body_digest", "issued_token"]
    name: str = ""


@dataclass(frozen=True)
class Route:
    """One address of the protocol below ``/pos/<link>/``.

    ``path`` is a regular expression for the whole rest of the path, case ignored.
    """

    path: str
    handler: Handler
    auth: Auth
    methods: frozenset[str] = frozenset({"POST"})
    max_body: int = DEFAULT_MAX_BODY

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.path, re.IGNORECASE)


@dataclass(frozen=True)
class Adapter:
    """A protocol. ``refuse`` says every LoyaltyError in the till's own words, also those raised before a handler.

    ``private`` are the names of fields (elements, attributes, keys) that the exchange log masks when shown.
    ``unit_scale`` is the scale that a unit must have to be named in the options of a link. ``fiscal``: what its tills
    can print.
    """

    name: str
    title: str
    options: type[Schema]
    refuse: Callable[[LoyaltyError, WireRequest, Link], WireResponse]
    routes: tuple[Route, ...] = ()
    private: frozenset[str] = frozenset()
    unit_scale: int | None = None
    fiscal: FiscalWays = FiscalWays()


def must(outcome: A | LoyaltyError) -> A:
    """The result; a refusal is raised."""
    if isinstance(outcome, LoyaltyError):
        raise outcome
    return outcome


def one(ask: Ask[A]) -> Asking[A]:
    """Ask one thing; its result, a refusal is raised."""
    outcomes = yield (ask,)
    outcome = outcomes[0]
    if isinstance(outcome, LoyaltyError):
        raise outcome
    return outcome  # type: ignore[return-value]  # the driver answers an Ask[A] with an A


@overload
def each(first: Ask[A], second: Ask[B], /) -> Asking[tuple[A | LoyaltyError, B | LoyaltyError]]: ...
@overload
def each(*asks: Ask[A]) -> Asking[tuple[A | LoyaltyError, ...]]: ...
def each(*asks: Ask[Any]) -> Asking[tuple[Any, ...]]:
    """Ask several things in one transaction; all outcomes, in order."""
    outcomes = yield asks
    return tuple(outcomes)
