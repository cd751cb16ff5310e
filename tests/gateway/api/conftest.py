"""The application over the books of a test, and clients with whatever rights the test wants."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_network
from typing import Any

import pytest
from flask import Flask

from adapters.registry import ADAPTERS
from gateway import app
from gateway.api import clients, codes
from gateway.app import Parts
from gateway.settings import CodeSettings, GatewaySettings, LinkSettings, Settings
from tests.gateway.api.client import Client
from tests.processing.books import ALMATY, CHAIN, MOSCOW, PROGRAMMES, Books

NewClient = Callable[..., Client]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that say so have their books on SQLite only: nothing in them depends on the database."""
    items[:] = [item for item in items if not _is_left_out(item)]


def _is_left_out(item: pytest.Item) -> bool:
    if not getattr(getattr(item, "module", None), "ON_SQLITE_ONLY", False):
        return False
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get("books") == "postgresql"


def link(code: str, store: str) -> LinkSettings:
    options = ADAPTERS["rkeeper"].options().load({"restaurant_codes": ["1"], "purses": {}})
    networks = (ip_network("10.20.0.0/24"),)
    return LinkSettings(code, "rkeeper", store, True, b"s" * 32, networks, options)


@pytest.fixture
def parts(books: Books) -> Parts:
    links = {one.code: one for one in (link("moscow", MOSCOW), link("almaty", ALMATY))}
    gateway = GatewaySettings(codes=CodeSettings(sender="console"))
    settings = Settings(gateway, CHAIN, PROGRAMMES, links)
    return Parts(settings, books.database, books.core.work.vault, books.core)


@pytest.fixture
def made(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The application; what it wants done at the end of its process is done at the end of the test."""
    at_end: list[Any] = []
    monkeypatch.setattr(app, "Finalize", lambda _, what, args=(), **__: at_end.append((what, args)))
    monkeypatch.setattr(codes, "unsent", codes.Unsent())
    yield app.create_app(parts)
    for what, args in at_end:
        what(*args)


@pytest.fixture
def new_client(made: Flask, books: Books) -> NewClient:
    """Makes a client with these scopes and stores."""

    def make(
        *scopes: str, stores: Sequence[str] = (), rate: int | None = None, name: str = "", store: str = MOSCOW
    ) -> Client:
        name = name or books.key("client")
        api_key = clients.add(books.database, "test", name, scopes or ("*",), stores, rate)
        return Client(made.test_client(), api_key, store)

    return make


@pytest.fixture
def rest(new_client: NewClient) -> Client:
    """A client that may do everything, in Moscow."""
    return new_client(rate=100_000, name="shop")


def with_codes(parts: Parts, codes: CodeSettings) -> Parts:
    """The parts with another sender."""
    gateway = dataclasses.replace(parts.settings.gateway, codes=codes)
    return dataclasses.replace(parts, settings=dataclasses.replace(parts.settings, gateway=gateway))
