"""The command line: serve, demo, migrate, verify, config check, log."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import click
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError

from gateway import settings
from gateway.cli_adapters import adapter_group
from gateway.cli_frontol import frontol
from gateway.cli_operators import operator
from gateway.cli_options import config_option as _config
from gateway.cli_options import database_option as _database
from gateway.cli_options import existing, since_instant
from gateway.cli_programmes import programme
from gateway.cli_queue import queue
from gateway.cli_replay import replay_command, samples_command
from gateway.cli_reports import reconcile_command, report_group
from gateway.logs import configure
from processing import migrate
from processing.commands import Identify, IssueCard, Ref
from processing.database import Database
from processing.errors import ConfigError
from processing.results import CardIssued, Identified
from processing.secrets import PURPOSES, SecretsError, add_data_key, key_uses
from processing.units import major
from processing.verify import Check


@click.group()
@click.version_option(package_name="tillgate")
def main() -> None:
    """Loyalty and gift-card processing for the tills you already have."""
    configure()


def run() -> None:
    """The console script: what an operator can mend ends with one line and exit code 2, without a trace."""
    try:
        main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ConfigError, SecretsError) as error:
        click.echo(f"tillgate: {error}", err=True)
        sys.exit(2)
    except (OperationalError, ProgrammingError, ArgumentError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        click.echo(f"tillgate: the database cannot be used: {reason}", err=True)
        sys.exit(2)


@main.command()
@_config
@_database
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Web worker processes.")
@click.option("--threads", type=click.IntRange(1, 512), help="Threads of a worker; default: gateway.yaml.")
def serve(config: str, database_url: str, host: str, port: int, workers: int, threads: int | None) -> None:
    """Serve tills. An empty database is migrated; SQLite is served by one worker."""
    from gateway import server

    server.serve(server.Serving(config, database_url, host, port, workers, threads or 0))


@main.command("work")
@_config
@_database
@click.option("--once", is_flag=True, help="One round, then end; exit 1 if a chore has failed.")
def work_command(config: str, database_url: str, once: bool) -> None:
    """Do what is due by itself: deliver, expire, end, finish, throw away. Any number of workers may run."""
    from gateway import app
    from gateway.worker import delivery_of, run_both, stopped_by_signals, worker_of

    is_stopped = stopped_by_signals()
    own = app.parts(settings.load(config, os.environ), existing(database_url), os.environ)
    if not once:
        run_both(own, is_stopped)
        return
    worker = worker_of(own, is_stopped)
    for name, count in worker.run_once().items():
        click.echo(f"{name}: {'failed' if name in worker.failed else count}")
    click.echo(f"deliveries: {delivery_of(own, is_stopped).run_once()}")
    sys.exit(1 if worker.failed else 0)


@main.command("migrate")
@_database
def migrate_command(database_url: str) -> None:
    """Bring the database's schema up to this version."""
    before, after = migrate.upgrade(Database(database_url))
    click.echo(f"{before or 'empty'} -> {after}" if before != after else f"{after}: nothing to do")


@main.group("config")
def config_group() -> None:
    """The configuration files."""


@config_group.command("check")
@_config
def config_check(config: str) -> None:
    """Read everything, and say what is wrong with file, path and what was expected."""
    loaded = settings.load(config, os.environ)
    for code in loaded.deaf:
        click.echo(f"warning: link {code}: {settings.DEAF}", err=True)
    click.echo(
        f"{config}: {len(loaded.chain.stores)} stores, {len(loaded.links)} links, "
        f"{len(loaded.programmes)} programmes, {len(loaded.chain.products)} products: in order"
    )


main.add_command(programme)
main.add_command(replay_command)
main.add_command(samples_command)
main.add_command(queue)
main.add_command(adapter_group)
main.add_command(frontol)


@main.command("log")
@click.argument("link")
@_config
@_database
@click.option("--since", default="24h", show_default=True, help="30m, 24h, 7d, or an instant in ISO 8601.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--outcome", help="Only ok, failed, or a refusal's code.")
def log_command(link: str, config: str, database_url: str, since: str, limit: int, outcome: str | None) -> None:
    """Show what a link's till sent and was answered, with private fields masked."""
    from gateway import app
    from gateway.exchange_view import show

    loaded = settings.load(config, os.environ, needs_secrets=False)
    if link not in loaded.links:
        raise ConfigError(f"no link {link!r}; there are: {', '.join(sorted(loaded.links)) or 'none'}")
    own = app.parts(loaded, existing(database_url), os.environ)
    for text in show(own, link, since_instant(since), limit, outcome):
        click.echo(text)


@main.command("calls")
@click.argument("link")
@_config
@_database
@click.option("--since", default="7d", show_default=True, help="30m, 24h, 7d, or an instant in ISO 8601.")
@click.option("--limit", default=10_000, show_default=True, type=click.IntRange(1, 100_000), help="Messages, newest.")
@click.option("--pause", default=60, show_default=True, type=click.IntRange(1, 3600), help="Seconds between two runs.")
def calls_command(link: str, config: str, database_url: str, since: str, limit: int, pause: int) -> None:
    """Show in which order a link's till calls what, and how it spells it; no values of messages."""
    from gateway import app
    from gateway.call_orders import report
    from gateway.exchange_log import read

    loaded = settings.load(config, os.environ, needs_secrets=False)
    if link not in loaded.links:
        raise ConfigError(f"no link {link!r}; there are: {', '.join(sorted(loaded.links)) or 'none'}")
    own = app.parts(loaded, existing(database_url), os.environ)
    with own.database.reading() as connection:
        found = read(connection, own.vault, link, since_instant(since), limit)
    for line in report(found, timedelta(seconds=pause)):
        click.echo(line)


@main.group()
def card() -> None:
    """Cards, until the REST interface and the console are there."""


@card.command("issue")
@click.argument("product")
@click.option("--store", required=True, help="Code of the store that issues it.")
@click.option("--number", default="", help="For a card that is printed already; default: generated.")
@click.option("--active/--not-active", default=True, show_default=True)
@_config
@_database
def card_issue(product: str, store: str, number: str, active: bool, config: str, database_url: str) -> None:
    """Issue a card; a printed number is issued once, however often this is run."""
    from gateway import app

    key = f"cli:issue:{number or uuid4()}"
    core = app.parts(settings.load(config, os.environ, needs_secrets=False), existing(database_url), os.environ).core
    command = IssueCard(store=store, keys=(key,), product=product, number=number, active=active, actor="cli")
    issued = core.execute([command])[0]
    if not isinstance(issued, CardIssued):
        raise click.ClickException(str(issued))
    click.echo(f"{issued.number} {issued.status} account {issued.account}")


@card.command("show")
@click.argument("number")
@click.option("--store", required=True, help="Code of the store that asks.")
@_config
@_database
def card_show(number: str, store: str, config: str, database_url: str) -> None:
    """A card's status and balances."""
    from gateway import app

    core = app.parts(settings.load(config, os.environ, needs_secrets=False), existing(database_url), os.environ).core
    found = core.answer([Identify(store=store, refs=(Ref("card", number),))])[0]
    if not isinstance(found, Identified):
        raise click.ClickException(str(found))
    click.echo(f"{found.number} {found.status} product {found.product} account {found.account}")
    for balance in found.balances:
        amounts = (major(amount, balance.scale) for amount in (balance.balance, balance.available, balance.pending))
        click.echo("{:<8} balance {} available {} pending {}".format(balance.unit, *amounts))


@main.command("verify")
@_database
def verify_command(database_url: str) -> None:
    """Check the laws of the books on a live database; exit 1 with the offending rows."""
    from processing.verify import verify

    sys.exit(0 if _told(verify(existing(database_url))) else 1)


def _told(checks: Iterable[Check]) -> bool:
    """Print every check as it comes; whether all of them hold."""
    clean = True
    for check in checks:
        click.echo(f"{'ok  ' if not check.rows else 'FAIL'} {check.name}: {check.title} ({check.seconds:.1f} s)")
        for row in check.rows:
            clean = False
            click.echo(f"       {row}")
    return clean


@main.command("recount")
@_database
def recount_command(database_url: str) -> None:
    """Work out anew what wallets did on each day, from the receipts; rules look at it."""
    from processing.recount import recount

    database = existing(database_url)
    click.echo(f"{recount(database)} days of wallets were off, and are right now")


@main.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_database
def backup_command(file: Path, database_url: str) -> None:
    """Copy the database into a new file while it is served. The keys are not in it."""
    from gateway.backup import backup
    from gateway.master_keys import place_of_keys

    _end_tidily()
    made = backup(database_url, file)
    click.echo(f"{file}: {made.kind}, revision {made.revision}, {made.size_bytes:,} bytes, {made.seconds:.1f} s")
    click.echo("Not in it, and needed to use it; keep the keys apart from it:")
    click.echo(f"  keys: {place_of_keys(os.environ, database_url) or 'not in this environment'}")
    click.echo("  the configuration directory, and the links' secrets in the servers' environment")


def _end_tidily() -> None:
    """A stop of the unit or container removes what is half done, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


@main.command("restore")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_database
@click.option("--verify/--no-verify", default=True, show_default=True, help="Check all laws of the books.")
def restore_command(file: Path, database_url: str, verify: bool) -> None:
    """Put a backup into an empty database, and check it; exit 1 with what is wrong."""
    from gateway.backup import fitting_keys, restore
    from processing.laws import LAWS
    from processing.verify import verify as check

    _end_tidily()
    revision = restore(file, database_url)
    click.echo(f"{file}: restored, revision {revision}")
    fit, about_keys = fitting_keys(database_url, os.environ)
    click.echo(f"{'ok  ' if fit else 'note'} keys: {about_keys}")
    if migrate.pending(Database(database_url)):
        raise click.ClickException(f"this version works with revision {migrate.head()}: run tillgate migrate, verify")
    laws = LAWS if verify else [law for law in LAWS if law.name == "ids_are_taken_from_blocks"]
    sys.exit(0 if _told(check(existing(database_url), laws)) else 1)


@main.group()
def keys() -> None:
    """The data keys that encrypt personal data and the exchange log."""


@keys.command("add")
@click.argument("purpose", type=click.Choice(PURPOSES))
@_database
def keys_add(purpose: str, database_url: str) -> None:
    """Make a new data key; what starts afterwards writes with it. Old ones go on reading."""
    from gateway.master_keys import load_keys, place_of_keys

    database = existing(database_url)
    if not place_of_keys(os.environ, database_url):
        raise ConfigError("the master keys of this database are not here")
    with database.transaction() as connection:
        key_id = add_data_key(connection, load_keys(os.environ, database_url), purpose)
    click.echo(f"{key_id} {purpose}: restart every server and worker now")


@keys.command("list")
@_database
def keys_list(database_url: str) -> None:
    """Every data key, and how many rows are encrypted with it."""
    with existing(database_url).reading() as connection:
        for use in key_uses(connection):
            state = "writes" if use.writes else "reads"
            click.echo(f"{use.id:>4} {use.purpose:<14} {use.created_at:%Y-%m-%d} {state:<7} {use.rows:,} rows")


@main.command("accounts")
@click.option("--at", help="An instant in ISO 8601; default: now.")
@_config
@_database
def accounts_command(at: str | None, config: str, database_url: str) -> None:
    """What every partner's accounts stand at: issued, redeemed, expired, cash ..., as booked until then."""
    from gateway import app
    from processing.reports import partner_accounts

    own = app.parts(settings.load(config, os.environ, needs_secrets=False), existing(database_url), os.environ)
    found = partner_accounts(own.database, own.core.work.directory, since_instant(at) if at else None)
    click.echo(f"{'partner':<20} {'unit':<8} {'account':<10} {'balance':>18}")
    for account in found:
        if account.balance:
            balance = major(account.balance, account.scale)
            click.echo(f"{account.partner:<20} {account.unit:<8} {account.kind:<10} {balance:>18}")


main.add_command(report_group)
main.add_command(reconcile_command)
main.add_command(operator)


@main.command("demo")
@click.option("--once", is_flag=True, help="Play the evening, print it, and end.")
@click.option("--json", "as_json", is_flag=True, help="First print one line of JSON with the addresses.")
@click.option("--play/--no-play", default=True, help="Play the recorded evening.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), help="Default: a free one.")
@click.option("--database-url", help="Keep the chain there; default: a new file that goes with the demo.")
def demo_command(once: bool, as_json: bool, play: bool, host: str, port: int | None, database_url: str | None) -> None:
    """A small chain, its tills' messages through the real door, and what became of them."""
    from gateway.demo.run import Demo
    from gateway.demo.run import run as run_demo

    run_demo(Demo(once=once, as_json=as_json, play=play, host=host, port=port, database_url=database_url))


@main.group()
def client() -> None:
    """Clients of the REST interface, and their keys."""


@client.command("add")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="What it may do; more than one may be given.")
@click.option("--store", "stores", multiple=True, help="For which stores it may speak; default: all.")
@click.option("--rate", type=click.IntRange(1, 1_000_000), help="Requests in a minute; default: gateway.yaml.")
@_database
def client_add(
    name: str, scopes: tuple[str, ...], stores: tuple[str, ...], rate: int | None, database_url: str
) -> None:
    """Let a client in, and print its key: now and never again."""
    from gateway.api import clients

    if not re.fullmatch(r"[A-Za-z0-9._-]{1,40}", name):
        raise click.BadParameter("up to 40 letters, digits and . _ -", param_hint="NAME")
    click.echo(clients.add(existing(database_url), "cli", name, scopes, stores, rate))


@client.command("list")
@_database
def client_list(database_url: str) -> None:
    """Who may ask, what and for which stores."""
    from gateway.api import clients

    for row in clients.everybody(existing(database_url)):
        stores = ",".join(row.stores) if row.stores is not None else "all stores"
        rate = f"{row.requests_per_minute} a minute" if row.requests_per_minute else "default rate"
        state = f"revoked {row.revoked_at:%Y-%m-%d}" if row.revoked_at else f"since {row.created_at:%Y-%m-%d}"
        click.echo(f"{row.name:<20} {state:<18} {rate:<15} {stores:<20} {' '.join(row.scopes)}")


@client.command("revoke")
@click.argument("name")
@_database
def client_revoke(name: str, database_url: str) -> None:
    """Take a client's key away; servers notice within seconds."""
    from gateway.api import clients

    clients.revoke(existing(database_url), "cli", name)
    click.echo(f"{name}: revoked")
