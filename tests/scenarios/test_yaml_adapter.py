"""A shop over a YAML adapter, all the way: signed in to, asked for news that are booked, told what cards have."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.contract import Call, HttpCall, HttpReply, Link, Reply, Session
from adapters.declarative import build
from gateway.delivery import Delivery
from gateway.delivery_policy import DeliverySettings
from gateway.exchange_log import read
from gateway.talks import Outgoing
from gateway.yaml_files import read_yaml
from processing import steering
from processing.events import BALANCE_CHANGED, Subscription
from tests.processing.books import MOSCOW, Books

ADAPTER = build(read_yaml(Path(__file__).parents[2] / "configs" / "adapters" / "order_events.yaml")).adapter
SECRETS = {"client": "a-client-of-sixteen", "client_secret": "a-secret-of-sixteen"}


@dataclass
class Shop:
    """The far end of the line: a token for an hour, pages of events, and what it was told."""

    pages: list[list[Any]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def call(self, call: Call, session: Session | None, deadline: float) -> Reply:
        assert isinstance(call, HttpCall)
        self.heard.append(f"{call.method} {call.path} {call.body.decode()}".strip())
        if call.path == "/oauth/token":
            return said({"access_token": "t-1", "expires_in": 3600})
        assert session is not None and session.headers["Authorization"] == "Bearer t-1"
        return said({"events": self.pages.pop(0)}) if call.method == "GET" else HttpReply(204, {}, b"")

    def shelf(self) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        pass


def said(body: Any) -> HttpReply:
    return HttpReply(200, {}, json.dumps(body).encode())


def closed(number: int, card: str, **order: Any) -> dict[str, Any]:
    told = {"id": f"o-{number}", "closed_at": "2026-05-04T12:00:00+03:00", "total": 500, "card": card, "items": []}
    return {"id": f"e-{number}", "event": "order.closed", "at": "2026-05-04T12:00:01+03:00", "order": told | order}


def test_nobody_is_asked_for_news_that_the_books_can_not_take_yet(books: Books) -> None:
    shop, core = Shop(), books.core
    link = Link("shop", "new", ZoneInfo("Europe/Moscow"), {"language": "ru"})
    out = Outgoing(link, ADAPTER, DeliverySettings(), SECRETS, lambda again: shop)
    Delivery(core, core.work.vault, {"shop": out}, (), lambda: False).run_once()
    assert shop.heard == []
    assert books.rows("SELECT way, outcome FROM outbox_attempt") == [("pull", "not_yet")]


def test_news_are_booked_and_cards_are_told_of_and_what_makes_no_sense_is_kept(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, shop = books.card(), Shop()
    core, link = books.core, Link("shop", MOSCOW, ZoneInfo("Europe/Moscow"), {"language": "ru"})
    told = (Subscription("shop", frozenset({BALANCE_CHANGED})),)
    monkeypatch.setattr(core, "work", replace(core.work, subscriptions=told))
    out = Outgoing(link, ADAPTER, DeliverySettings(jitter_seconds=0), SECRETS, lambda again: shop)
    delivery = Delivery(core, core.work.vault, {"shop": out}, told, lambda: False)
    cancelled = {"id": "e-4", "event": "order.cancelled", "at": "2026-05-04T12:09:00+03:00", "order": {"id": "o-1"}}
    shop.pages = [[closed(1, card), {"id": "e-2", "event": "order.cooked"}, closed(3, card, total="a lot")], []]
    delivery.run_once()
    delivery.run_once()
    points = books.balance(card)
    assert points > 0
    assert shop.heard[:3] == [
        "POST /oauth/token client_id=a-client-of-sixteen&client_secret=a-secret-of-sixteen",
        "GET /events?limit=100",
        "GET /events?after=e-3&limit=100",
    ]
    put, _space, body = shop.heard[3].rpartition(" ")
    assert put == f"PUT /cards/{card}"
    assert {**json.loads(body), "version": ""} == {"unit": "BONUS", "balance": points / 100, "version": ""}
    # The item that makes no sense is in the exchange log, as it came, and the next pull begins behind it.
    with books.database.reading() as connection:
        (kept,) = read(connection, core.work.vault, "shop", None, 9)
        assert (kept.outcome, kept.answer) == (
            "bad_message",
            b"item 3: order.total: expected an amount with at most two decimals",
        )
        assert json.loads(kept.request.body)["order"]["id"] == "o-3"
        (tried, *_) = steering.looks(connection, "shop", 5)
        assert tried.outcome == "delivered"
    books.clock.forward(hours=1)
    shop.pages = [[cancelled], []]
    delivery.run_once()
    assert books.balance(card) == 0
    assert [line for line in shop.heard[4:] if line.startswith("GET")] == [
        "GET /events?after=e-3&limit=100",
        "GET /events?after=e-4&limit=100",
    ]
