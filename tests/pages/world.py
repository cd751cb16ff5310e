"""A chain with links and an exchange log in it, its pages served or asked directly, and people who sign in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from adapters.registry import ADAPTERS
from gateway import app
from gateway.app import Parts
from gateway.console import operators
from gateway.exchange_log import ExchangeLog, pack_request
from gateway.settings import ExchangeLogLimits, GatewaySettings, LinkSettings, Settings
from processing.database import Database
from processing.migrate import upgrade
from processing.tables import exchange_log
from tests.processing.books import ALMATY, CHAIN, MOSCOW, PROGRAMMES, URAL, Books

SAMPLES = Path(__file__).parents[1] / "adapters" / "rkeeper" / "samples"
PASSWORD = "correct horse battery"
PHONE, CARD = "+79215550142", "7770000000000017"

OPTIONS = {"restaurant_codes": ["310070003"], "restaurants": ["3"], "purses": {}}

# Links by their store; the last one is switched off, and nobody has spoken to the one before.
LINKS = {
    "moscow": MOSCOW,
    "moscow-bar": MOSCOW,
    "ural": URAL,
    "almaty": ALMATY,
    "almaty-new": ALMATY,
    "ural-closed": URAL,
}
OFF = "ural-closed"
# Of whom each person sees the links.
PEOPLE: dict[str, dict[str, Any]] = {
    "olga": {"role": "owner"},
    "oscar": {"role": "operator", "language": "en"},
    "pavel": {"role": "partner", "partners": ["beta"]},
    "stella": {"role": "operator", "stores": [URAL]},
    "vera": {"role": "observer"},
}
SEEN = {"pavel": {"almaty", "almaty-new"}, "stella": {"ural", "ural-closed"}}


def link(code: str, store: str) -> LinkSettings:
    options = ADAPTERS["rkeeper"].options().load(OPTIONS)
    networks = (ip_network("10.20.0.0/24"),)
    return LinkSettings(code, "rkeeper", store, code != OFF, b"s" * 32, networks, options)


def settings() -> Settings:
    return Settings(GatewaySettings(), CHAIN, PROGRAMMES, {code: link(code, store) for code, store in LINKS.items()})


@dataclass
class World:
    """``app`` is the whole application; ``exchanges`` are the ids of messages by link."""

    app: Flask
    parts: Parts
    exchanges: dict[str, list[int]] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        return self.parts.database

    def visitor(self, **headers: str) -> Visitor:
        return Visitor(self.app.test_client(), headers)

    def signed_in(self, name: str) -> Visitor:
        visitor = self.visitor()
        assert visitor.sign_in(name).status_code == 303
        return visitor


@dataclass
class Visitor:
    """A browser without a screen: keeps cookies, sends forms with what stands in them."""

    client: FlaskClient
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> TestResponse:
        return self.client.get(path, headers=self.headers)

    def token(self, path: str) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.get(path).get_data(as_text=True))
        assert found, f"{path} has no form"
        return found[1]

    def post(self, path: str, form: str = "/console/password", **fields: str) -> TestResponse:
        """Send a form that was got from the page ``form``."""
        return self.client.post(path, data={"csrf": self.token(form), **fields}, headers=self.headers)

    def sign_in(self, name: str, password: str = PASSWORD, **more: str) -> TestResponse:
        return self.post("/console/sign-in", "/console/sign-in", name=name, password=password, **more)


@contextmanager
def opened(database: Database) -> Iterator[World]:
    """The application over a database; what it wants done at its end is done."""
    upgrade(database)
    core = Books.of(database, None).core
    made = app.create_app(Parts(settings(), database, core.work.vault, core))
    yield World(made, Parts(settings(), database, core.work.vault, core))


def fill(world: World, now: datetime | None = None) -> None:
    """People, and an hour of exchanges."""
    for name, told in PEOPLE.items():
        operators.add(world.database, "test", name, password=PASSWORD, **told)
    say(world, now or datetime.now(UTC))


def body(sample: str) -> bytes:
    return (SAMPLES / f"{sample}.request.xml").read_bytes()


def answer(sample: str) -> bytes:
    return (SAMPLES / f"{sample}.answer.xml").read_bytes()


def messages() -> Iterator[tuple[str, int, str, str, int, bytes, bytes]]:
    """(link, minutes ago, route, outcome, status, request, answer), the oldest first."""
    card, said = body("card_bare"), answer("card_bare")
    for minutes in range(1380, 0, -20):
        yield "moscow", minutes, "card_info", "ok", 200, card, said
    for minutes in range(300, 0, -30):
        yield "ural", minutes, "card_info", "card_not_found", 200, card, said
    for minutes in (50, 41, 30):
        yield "almaty", minutes, "transactions", "failed", 500, card, b"internal error"
    yield "moscow-bar", 25, "transactions", "bad_message", 200, b'<ROOT><QRY Card="1"', said
    yield "moscow-bar", 20, "-", "bad_credentials", 403, b"x" * 10, b"forbidden"
    yield "moscow", 1, "card_info", "ok", 200, f'<ROOT><Q Phone="{PHONE}" Card="{CARD}"/></ROOT>'.encode(), said


def say(world: World, now: datetime) -> None:
    """Put the messages into the exchange log, encrypted as ever."""
    log = ExchangeLog(world.database.writer, world.parts.vault, ExchangeLogLimits())
    for n, (code, minutes, route, outcome, status, request, said) in enumerate(
        sorted(messages(), key=lambda message: -message[1])
    ):
        path = "getcardinfoex.php" if route != "-" else ""
        log.record(
            link=code,
            at=now - timedelta(minutes=minutes),
            request_id=hashlib.md5(str(n).encode()).hexdigest(),
            route=route,
            outcome=outcome,
            status=status,
            took_us=3_000 + 1_000 * (n % 40),
            request=pack_request("POST", path, "text/xml", request),
            answer=said,
        )
    assert log.close(10)
    with world.database.reading() as connection:
        for row in connection.execute(select(exchange_log.c.id, exchange_log.c.link).order_by(exchange_log.c.id)):
            world.exchanges.setdefault(row.link, []).append(row.id)
