"""``tillgate frontol``: what tills of ATOL Frontol are told and have written, by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from sqlalchemy import Connection

from adapters.contract import Link
from adapters.frontol import ADAPTER
from gateway import load_records, settings
from gateway.cli_frontol_import import import_command
from gateway.cli_options import actor, existing
from gateway.cli_options import config_option as _config
from gateway.cli_options import database_option as _database
from gateway.load_records import Body
from gateway.settings import Settings
from processing import audit, outbox, steering, wallets
from processing.database import Database
from processing.directory import CENTRE_ID
from processing.errors import ConfigError
from processing.events import LOAD, Event, Stamps, row

# Wallets of one transaction of a full load.
BITE = 5_000


@click.group()
def frontol() -> None:
    """ATOL Frontol: what is loaded into its tills, and what they have written."""


frontol.add_command(import_command)


@frontol.command("load")
@click.argument("link")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Kinds of card, cards, clients and gift cards of the books.")
@click.option("--again", is_flag=True, help="Also where FILE has accruals and was queued for this link before.")
@_config
@_database
def load_command(link: str, file: Path | None, everything: bool, again: bool, config: str, database_url: str) -> None:
    """Queue what the till of LINK shall load: the records of FILE (YAML, or JSON lines named *.jsonl), or --all.

    Everything in FILE is checked first; it is queued whole or not at all.
    """
    if (file is None) is not everything:
        raise click.UsageError("name a file, or say --all")
    loaded = settings.load(config, os.environ, needs_secrets=False)
    told, database = _link(loaded, link), existing(database_url)
    stamps = Stamps()
    outbox.follow(database, stamps)
    if file is not None:
        _load_file(database, stamps, told, file, again)
    else:
        _load_all(database, stamps, told, loaded)


def _link(loaded: Settings, code: str) -> Link:
    """Errors: ConfigError."""
    fit = {name: link for name, link in loaded.links.items() if link.adapter == ADAPTER.name and link.far_side}
    if code not in fit:
        raise ConfigError(
            f"no link {code!r} to a Frontol with a far side; there are: {', '.join(sorted(fit)) or 'none'}"
        )
    link = fit[code]
    zones = {store.code: ZoneInfo(store.zone) for store in loaded.chain.stores}
    return Link(code, link.store, zones[link.store], link.options)


def _load_file(database: Database, stamps: Stamps, link: Link, file: Path, again: bool) -> None:
    records = load_records.read_records(file, link)
    name, twice = load_records.digest(file), load_records.counts_twice(records)
    with database.transaction() as connection:
        # The audit log first: whoever queues the same file at the same time waits there.
        _record(connection, database, link, file=file.name, sha256=name, records=str(len(records)))
        if twice and not again and steering.has_file(connection, link.code, name):
            raise ConfigError(
                f"{file} was queued for {link.code} before, and {twice} of its records would count twice (--again)"
            )
        messages = _put(connection, database, stamps, link, list(load_records.bodies(records, name)))
    click.echo(f"{len(records)} records queued for {link.code}, in {messages} messages")


def _load_all(database: Database, stamps: Stamps, link: Link, loaded: Settings) -> None:
    kinds = load_records.kinds_body(link, loaded.chain)
    with database.transaction() as connection:
        _record(connection, database, link, file="", records="all")
        messages = _put(connection, database, stamps, link, [kinds] if kinds["records"] else [])
    last = count = 0
    while True:
        with database.transaction() as connection:
            accounts = wallets.page(connection, last, BITE)
            messages += _put(connection, database, stamps, link, load_records.wallet_bodies(accounts))
        if not accounts:
            break
        last, count = accounts[-1], count + len(accounts)
    click.echo(f"{count} wallets queued for {link.code}, in {messages} messages")


def _put(connection: Connection, database: Database, stamps: Stamps, link: Link, bodies: Sequence[Body]) -> int:
    now = database.now(connection)
    outbox.put(connection, [row(stamps.take(now), link.code, Event(LOAD, link.store, body), now) for body in bodies])
    return len(bodies)


def _record(connection: Connection, database: Database, link: Link, **details: str) -> None:
    audit.record(connection, database, actor(), "load_queued", CENTRE_ID, link.code, details)
