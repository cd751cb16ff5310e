"""The demo's chain in a database: found there or made, every time by the same commands under the same keys."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from sqlalchemy import func, insert, inspect, select, update
from sqlalchemy.engine import URL, make_url

from gateway import app, settings
from gateway.app import Parts
from gateway.console import operators, passwords
from gateway.console.rights import OWNER
from gateway.master_keys import load_keys
from gateway.settings import Settings
from processing import directory, migrate, tables
from processing.commands import (
    Adjust,
    Amount,
    Command,
    Identify,
    IssueCard,
    Ref,
    RegisterHolder,
    SellGiftCard,
    TopUp,
)
from processing.database import Database
from processing.errors import KeyReused, LoyaltyError
from processing.results import Identified
from processing.units import major, scaled

CONFIG = Path(__file__).parent / "config"
STORE, PRODUCT, GIFT, POINTS, DEPOSIT = "nevsky", "guest", "gift", "BONUS", "RUB"
SCALE = 2
API_CLIENT, ALL_SCOPES = "demo", ["*"]
OPERATOR = "demo"

# Secrets of links, by the variables that the configuration names.
LINK_SECRETS = {"rkeeper": "TILLGATE_DEMO_RKEEPER"}
KEY_VARIABLES = ("TILLGATE_MASTER_KEY", "TILLGATE_INDEX_KEY", "TILLGATE_KEYS_FILE")


@dataclass(frozen=True, slots=True)
class DemoCard:
    """A card as it opens; ``listed`` ones are told to clients, the others wait to be refused.

    ``gift`` is what a gift card was sold for.
    """

    number: str
    holder: str = ""
    phone: str = ""
    points: str = "0.00"
    deposit: str = "0.00"
    active: bool = True
    listed: bool = True
    gift: str = ""


CARDS = (
    DemoCard("5550001234", "Анна Смирнова", "+79210000001", "450.50"),
    DemoCard("5550001242", "Борис Кузнецов", "+79210000002", "2200.00", "5000.00"),
    DemoCard("5550001259", "Вера Попова", "+79210000003"),
    DemoCard("5550001267", "Глеб Соколов", "+79210000004", "300.00", "1500.00"),
    DemoCard("5550001275", "Дарья Лебедева", "+79210000005", "680.00"),
    DemoCard("5550001283", "Егор Новиков", "+79210000006", "1500.75", "250.00"),
    DemoCard("5550001291", active=False, listed=False),
    DemoCard("5550001309", "Жанна Фомина", "+79210000007", "30.00", listed=False),
    DemoCard("2901481537269043", gift="1000.00"),
    DemoCard("2901739204615834", gift="2500.00"),
)


@dataclass(frozen=True)
class DemoChain:
    """The chain, open. ``secrets`` by link; ``environ`` is what a server of it needs around it."""

    parts: Parts
    api_key: str
    # Of the person OPERATOR, who signs in to the pages.
    password: str = field(repr=False)
    secrets: Mapping[str, str]
    environ: Mapping[str, str]

    def identified(self) -> Iterator[tuple[DemoCard, Identified]]:
        """The cards as the books know them now."""
        asked = [Identify(store=STORE, refs=(Ref("card", card.number),)) for card in CARDS]
        for card, found in zip(CARDS, self.parts.core.answer(asked), strict=True):
            assert isinstance(found, Identified)
            yield card, found


def available(found: Identified, unit: str) -> str:
    """What the card can spend of a unit now, in major units."""
    return next(major(b.available, b.scale) for b in found.balances if b.unit == unit)


def open_chain(database_url: str, environ: Mapping[str, str]) -> DemoChain:
    """The chain in this database. Errors: ClickException where another chain lives there, ConfigError."""
    keys = load_keys(environ, database_url)
    secrets = {link: _derived(keys.master, f"link {link}").hex()[:32] for link in LINK_SECRETS}
    environ = {**environ, **{LINK_SECRETS[link]: secret for link, secret in secrets.items()}}
    loaded = settings.load(CONFIG, environ)
    database = Database(database_url)
    _refuse_other_chains(database, loaded)
    migrate.upgrade(database)
    directory.sync(database, loaded.chain, dict(loaded.programmes))
    parts = app.parts(loaded, database, environ)
    _execute(parts, [_issue(card) for card in CARDS])
    _execute(parts, [command for card in CARDS for command in _opening(card)])
    api_key = f"tg_{_derived(keys.master, 'api key').hex()[:40]}"
    _register_client(database, api_key)
    password = _derived(keys.master, "console").hex()[:20]
    _register_operator(database, password)
    return DemoChain(parts, api_key, password, secrets, environ)


def with_keys(database_url: str, environ: Mapping[str, str], state: Path) -> dict[str, str]:
    """The environment with the place of the master keys: what it names already, or a file of the demo's own.

    For PostgreSQL that is a file in ``state``, by the database's address; for SQLite ``load_keys``
    knows one beside the database.
    """
    url = make_url(database_url)
    if any(environ.get(name) for name in KEY_VARIABLES) or url.get_backend_name() == "sqlite":
        return dict(environ)
    address = hashlib.sha256(url.render_as_string(hide_password=True).encode()).hexdigest()[:16]
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    # As for an SQLite database of this name: the file is made once, whole, and readable by its owner only.
    beside = URL.create("sqlite", database=str(state / f"demo-{address}"))
    load_keys({}, beside.render_as_string())
    return {**environ, "TILLGATE_KEYS_FILE": str(state / f"demo-{address}.keys")}


def _derived(master: bytes, purpose: str) -> bytes:
    """The same secret for the same master key, so that clients find their way after a restart."""
    return hmac.digest(master, f"tillgate demo|{purpose}".encode(), "sha256")


def _refuse_other_chains(database: Database, loaded: Settings) -> None:
    """Errors: ClickException. The demo's stores and cards do not belong in anybody's real books."""
    ours = {store.code for store in loaded.chain.stores}
    with database.reading() as connection:
        if not inspect(connection).has_table(tables.store.name):
            return
        strange = sorted(set(connection.execute(select(tables.store.c.code)).scalars()) - ours)
    if strange:
        raise click.ClickException(f"the database holds another chain (store {strange[0]!r}); give the demo its own")


def _issue(card: DemoCard) -> Command[Any]:
    return IssueCard(
        store=STORE,
        keys=(f"demo:issue:{card.number}",),
        product=GIFT if card.gift else PRODUCT,
        number=card.number,
        active=card.active and not card.gift,
    )


def _opening(card: DemoCard) -> Iterator[Command[Any]]:
    """What happens to a card before its first evening."""
    ref = Ref("card", card.number)
    if card.gift:
        yield SellGiftCard(store=STORE, keys=(f"demo:gift:{card.number}",), card=ref, amount=scaled(card.gift, SCALE))
    if card.holder:
        yield RegisterHolder(
            store=STORE, keys=(f"demo:holder:{card.number}",), card=ref, name=card.holder, phone=card.phone
        )
    if points := scaled(card.points, SCALE):
        key, reason = f"demo:points:{card.number}", "opening balance of the demo"
        yield Adjust(store=STORE, keys=(key,), card=ref, amount=Amount(POINTS, points), reason=reason)
    if deposit := scaled(card.deposit, SCALE):
        yield TopUp(store=STORE, keys=(f"demo:deposit:{card.number}",), card=ref, amount=Amount(DEPOSIT, deposit))


def _execute(parts: Parts, commands: Sequence[Command[Any]]) -> None:
    """Carry them out, or find that they were. Errors: ClickException."""
    for command, outcome in zip(commands, parts.core.execute(commands), strict=True):
        # KeyReused: done by another version of the demo, in slightly other words.
        if isinstance(outcome, LoyaltyError) and not isinstance(outcome, KeyReused):
            name = type(command).__name__
            raise click.ClickException(f"the demo cannot set up its chain here: {name}: {outcome.code}")


def _register_client(database: Database, api_key: str) -> None:
    """The API key, hashed, with all scopes."""
    client = tables.api_client
    row = {"key_sha256": hashlib.sha256(api_key.encode()).digest(), "scopes": ALL_SCOPES, "revoked_at": None}
    with database.transaction() as connection:
        if connection.execute(update(client).where(client.c.name == API_CLIENT).values(row)).rowcount:
            return
        last = connection.execute(select(func.max(client.c.id))).scalar()
        own = {"id": (last or 0) + 1, "name": API_CLIENT, "created_at": database.now(connection)}
        connection.execute(insert(client).values(own | row))


def _register_operator(database: Database, password: str) -> None:
    """Somebody who may see and do everything on the pages."""
    with database.reading() as connection:
        known = operators.by_name(connection, OPERATOR)
    if known is None:
        operators.add(database, "demo", OPERATOR, OWNER, password=password)
    elif not passwords.is_right(password, known.password_hash):
        operators.set_password(database, "demo", OPERATOR, password)
