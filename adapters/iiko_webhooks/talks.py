"""What iiko's cloud hears: that its events have arrived. They are booked after the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse
from adapters.iiko.answers import NOTHING, said
from adapters.iiko.identities import correlation
from adapters.iiko_webhooks.events import events_of, order_of
from adapters.iiko_webhooks.receipts import ask_of
from adapters.json_parsing import Node, parse_json
from processing.commands import Command
from processing.errors import BadMessage, ForeignStore, LoyaltyError

STATUSES = {
    "bad_credentials": 401,
    "no_such_route": 404,
    "too_large": 413,
    "rate_limited": 429,
    "busy": 503,
    "link_paused": 503,
    "failed": 500,
}
REFUSED, TAKEN = 400, 200
RETRY_SECONDS = "5"


def events(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Everything that can be read is taken; one event that cannot does not keep the others."""
    told = events_of(parse_json(request.body))
    broken: list[LoyaltyError] = []
    asks = list(_asks(told, link, broken))
    if asks:
        yield asks
    return refuse(broken[0], request, link) if broken else said(NOTHING)


def _asks(told: list[Node], link: Link, broken: list[LoyaltyError]) -> Iterator[Command[Any]]:
    """The facts of the events; what is wrong with others goes to ``broken``."""
    for event in told:
        try:
            order = order_of(event)
            ask = ask_of(order, link) if order is not None else None
        except (BadMessage, ForeignStore) as error:
            broken.append(error)
            continue
        if ask is not None:
            yield ask


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """An event that makes no sense will make none when it comes again: it is acknowledged, and stands in the log. Not
    so a body that was cut off."""
    is_event = str(error.details.get("where", "")).startswith("[")
    status = TAKEN if is_event else STATUSES.get(error.code, REFUSED)
    headers = {"Retry_After": RETRY_SECONDS} if error.retryable else {}
    told = {"correlationId": correlation(request), "errorDescription": error.message, "error": error.code}
    return said(told, status, error.code, **headers)
