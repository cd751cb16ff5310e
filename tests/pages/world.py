"""A chain with links and an exchange log in it, its pages served or asked directly, and people who sign in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import zstandard
from flask import Flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy import Connection, select, update
from werkzeug.test import TestResponse

from adapters.declarative import Declared, build
from adapters.registry import ADAPTERS
from gateway import app
from gateway.app import Parts
from gateway.console import operators
from gateway.delivery import ATTEMPT_PLACE
from gateway.exchange_log import ExchangeLog, pack_request
from gateway.settings import ExchangeLogLimits, GatewaySettings, LinkSettings, Settings
from gateway.yaml_files import read_yaml
from processing import outbox, tables
from processing.database import Database
from processing.events import Event, Stamps, row
from processing.secrets import EXCHANGE_LOG
from processing.tables import exchange_log
from tests.processing.books import ALMATY, CHAIN, MOSCOW, PROGRAMMES, URAL, Books

SAMPLES = Path(__file__).parents[1] / "adapters" / "rkeeper" / "samples"
CONFIGS = Path(__file__).parents[2] / "configs"
PASSWORD = "correct horse battery"
PHONE, CARD = "+79215550142", "7770000000000017"
SAID = f'POST /hook {{"phone": "{PHONE}"}}'.encode()
HEARD = b'HTTP 422 {"error": "unknown card"}'
STAMPS = Stamps()

OPTIONS = {"restaurant_codes": ["310070003"], "restaurants": [3], "purses": {}}

# Links by their store; the last one is switched off, and nobody has spoken to the one before.
LINKS = {
    "moscow": MOSCOW,
    "moscow-bar": MOSCOW,
    "ural": URAL,
    "almaty": ALMATY,
    "almaty-new": ALMATY,
    "ural-closed": URAL,
    "crm-moscow": MOSCOW,
    "crm-almaty": ALMATY,
}
SENDS = ("crm-moscow", "crm-almaty")
# A link whose file is gone, with messages that nobody sends.
GONE = "crm-former"
OFF = "ural-closed"
# Of whom each person sees the links.
PEOPLE: dict[str, dict[str, Any]] = {
    "olga": {"role": "owner"},
    "oscar": {"role": "operator", "language": "en"},
    "pavel": {"role": "partner", "partners": ["beta"]},
    "stella": {"role": "operator", "stores": [URAL]},
    "vera": {"role": "observer"},
}
SEEN = {"pavel": {"almaty", "almaty-new", "crm-almaty"}, "stella": {"ural", "ural-closed"}}


def link(code: str, store: str) -> LinkSettings:
    if code in SENDS:
        sends = ADAPTERS["webhook"].options().load({})
        return LinkSettings(code, "webhook", store, True, None, (), sends)
    options = ADAPTERS["rkeeper"].options().load(OPTIONS)
    networks = (ip_network("10.20.0.0/24"),)
    return LinkSettings(code, "rkeeper", store, code != OFF, b"s" * 32, networks, options)


@cache
def document() -> Declared:
    """An adapter in YAML, read once."""
    return build(read_yaml(CONFIGS / "adapters" / "acme.yaml"))


def settings() -> Settings:
    links = {code: link(code, store) for code, store in LINKS.items()}
    return Settings(GatewaySettings(), CHAIN, PROGRAMMES, links, documents={"acme": document()})


@dataclass
class World:
    """``app`` is the whole application; ``exchanges`` and ``messages`` are ids by link, the oldest first."""

    app: Flask
    parts: Parts
    exchanges: dict[str, list[int]] = field(default_factory=dict)
    messages: dict[str, list[int]] = field(default_factory=dict)

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


class Compiled(BytecodeCache):
    """Templates that were compiled once, for every application of this process."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = Compiled()


def opened(books: Books) -> World:
    """The application over the books."""
    parts = Parts(settings(), books.database, books.core.work.vault, books.core)
    made = app.create_app(parts)
    made.jinja_env.bytecode_cache = COMPILED
    return World(made, parts)


def invite(world: World) -> None:
    """Let the people in; everybody has the same password."""
    for name, told in PEOPLE.items():
        operators.add(world.database, "test", name, password=PASSWORD, **told)


def fill(world: World, now: datetime) -> None:
    """People, a day of exchanges, and queues."""
    invite(world)
    say(world, now)
    queue(world, now)


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
    log = ExchangeLog(world.database.writer, world.parts.vault, ExchangeLogLimits(keep_days=36_500))
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


def queue(world: World, now: datetime) -> None:
    """Messages to both CRMs: one blocks its link, the other's link is down; each with attempts."""
    vault = world.parts.vault
    sealed = [vault.encrypt(EXCHANGE_LOG, zstandard.compress(part), ATTEMPT_PLACE) for part in (SAID, HEARD)]
    with world.database.transaction() as connection:
        outbox.open_lanes(connection, outbox.PUSH, (*SENDS, GONE))
        for state in ("pending", "pending", "dead"):
            put(connection, GONE, now - timedelta(days=3), state)
        for code in SENDS:
            for n in range(6):
                state = ("delivered", "dead", "dead", "dead", "pending", "pending")[n]
                at = now - timedelta(minutes=60 - 5 * n)
                world.messages.setdefault(code, []).append(
                    put(connection, code, at, state, "link_refused: HTTP 422" if state == "dead" else None)
                )
            for message_id in world.messages[code][1:4]:
                attempt = outbox.Attempt(now - timedelta(minutes=9), 31_000, "link_refused", "HTTP 422", "w1", *sealed)
                lane = outbox.Lane(code, outbox.PUSH, 0, 0, 0, 0, None, outbox.CLOSED, None, None)
                waiting = outbox.Waiting(message_id, "card_changed", None, b"{}", 1, now, None)
                outbox.keep_attempt(connection, lane, [waiting], attempt)
        told = {
            "failures": 4,
            "failed_since": now - timedelta(minutes=30),
            "last_failure_at": now - timedelta(minutes=9),
        }
        lane_of = tables.outbox_lane
        connection.execute(
            update(lane_of)
            .where(lane_of.c.link == "crm-moscow")
            .values(
                **told,
                breaker="open",
                due_at=now + timedelta(hours=12),
                last_error="link_down",
                last_detail="ConnectTimeout",
                last_success_at=now - timedelta(minutes=58),
            )
        )
        blocking = world.messages["crm-almaty"][3]
        blocked = {"blocked_by": blocking, "last_error": "link_refused", "last_detail": "HTTP 422"}
        connection.execute(update(lane_of).where(lane_of.c.link == "crm-almaty").values(**told, **blocked))


def put(connection: Connection, link: str, at: datetime, state: str, reason: str | None = None) -> int:
    """The id of a new message."""
    message_id = STAMPS.take(at)
    event = Event("card_changed", "", {"card": "***0017", "status": "blocked", "phone": PHONE})
    ended = {"done_at": at if state != "pending" else None, "attempts": 0 if state == "pending" else 1}
    outbox.put(connection, [{**row(message_id, link, event, at), "state": state, "reason": reason, **ended}])
    return message_id
