"""``tillgate programme simulate``: what a version of a programme would have cost, beside the one that is active now."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import click
from msgspec import json, structs

from gateway import environment
from gateway.cli_options import existing
from gateway.receipt_lines import FileSource, product_of
from gateway.settings import load_chain, read_programme
from gateway.simulation_view import Compared, as_json, as_table
from processing import directory
from processing.chain import Chain, Product
from processing.database import Database
from processing.directory import Directory
from processing.errors import ConfigError
from processing.programme.compiled import Programme
from processing.programme.document import ProgrammeDocument
from processing.secrets import Vault
from processing.simulation.books import BooksSource, chain_of, vault_of
from processing.simulation.figures import figures
from processing.simulation.play import Run, scratch, simulate

FIRST_DAY = datetime(1990, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    file: Path
    receipts: Path | None
    since: date | None
    until: date | None
    config: str
    database_url: str | None
    limit: int | None
    keeps: bool


@click.command("simulate")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--receipts", type=click.Path(dir_okay=False, path_type=Path), help="Receipts as JSON lines.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Receipts of the books from this day on.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="With this day as the last; default: until now.")
@click.option(
    "--config",
    envvar=environment.CONFIG,
    default="configs",
    show_default=True,
    help="Directory with the configuration; read where no database is named.",
)
@click.option(
    "--database-url",
    "--database",
    envvar=environment.DATABASE_URL,
    help="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME; with --since sqlite:///tillgate.db by default.",
)
@click.option("--json", "is_json", is_flag=True, help="JSON instead of a table.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many receipts.")
@click.option("--keep-till-discounts", "keeps", is_flag=True, help="What tills took off by themselves stays.")
def simulate_command(
    file: Path,
    receipts: Path | None,
    since: datetime | None,
    until: datetime | None,
    config: str,
    database_url: str | None,
    is_json: bool,
    limit: int | None,
    keeps: bool,
) -> None:
    """What the programme of FILE would have cost with these receipts, beside the one that is active now."""
    if (receipts is None) == (since is None):
        raise click.UsageError("expected --receipts or --since, one of them")
    if until is not None and since is None:
        raise click.UsageError("--until goes with --since")
    asked = Asked(
        file=file,
        receipts=receipts,
        since=since.date() if since else None,
        until=until.date() if until else None,
        config=config,
        database_url=database_url,
        limit=limit,
        keeps=keeps,
    )
    # A stop removes the scratch books, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    compared = compare(asked)
    click.echo(json.encode(as_json(compared)).decode() if is_json else as_table(compared))


def compare(asked: Asked) -> Compared:
    """Both versions over the same receipts. Errors: ConfigError."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="tillgate-simulation-"))
        source, chain, active, document, is_blind = _source(asked, str(Path(folder) / "order.db"))
        before = active.get(document.code, ProgrammeDocument(code=document.code, unit=document.unit))
        live = existing(url) if (url := _url(asked)) else None
        new, now = (
            Run(
                stack.enter_context(scratch(chain, {**active, each.code: each}, source.starts_at, live)),
                each,
                asked.keeps,
            )
            for each in (document, before)
        )
        started = time.perf_counter()
        with progress(source.operations) as seen:
            count = simulate(source, (new, now), seen, asked.limit)
        ends_at = source.until if isinstance(source, BooksSource) else source.ends_at
        for run in (new, now):
            run.finish(ends_at)
        seconds = time.perf_counter() - started
        return Compared(
            programme=document.code,
            is_active=document.code in active,
            money_scale=min((unit.scale for unit in chain.units if unit.kind == "money"), default=2),
            points_scale=next(unit.scale for unit in chain.units if unit.code == document.unit),
            unit=document.unit,
            starts_at=source.starts_at,
            ends_at=ends_at,
            new=figures(new),
            active=figures(now),
            not_simulated=tuple(_birthday_rules(document)) if is_blind else (),
            left_out=vars(source.left) if isinstance(source, BooksSource) else {},
            receipts_per_second=int(count / max(seconds, 0.001)),
        )


def _birthday_rules(document: ProgrammeDocument) -> Iterator[str]:
    for rule in (*document.discounts.rules, *document.points.rules):
        if rule.when.birthday is not None:
            yield rule.rule


Found = tuple[FileSource | BooksSource, Chain, Mapping[str, ProgrammeDocument], ProgrammeDocument, bool]


def _url(asked: Asked) -> str | None:
    """The books that are asked, if any."""
    return asked.database_url or ("sqlite:///tillgate.db" if asked.since else None)


def _source(asked: Asked, kept: str) -> Found:
    """Where receipts come from, the chain, what is active in it, the new version; and whether birthdays are unknown."""
    url = _url(asked)
    if url is None:
        chain = load_chain(asked.config)
        files = sorted((Path(asked.config) / "programmes").glob("*.yaml"))
        active = {file.stem: read_programme(file, chain, file.stem) for file in files}
        document = read_programme(asked.file, chain)
        return (*_file(asked, chain, active, document, kept), True)
    database = existing(url)
    with database.reading() as connection:
        now = database.now(connection)
        known = directory.load(connection, now)
    chain = chain_of(known)
    active = {code: each.programme.document for code, each in known.programmes.items()}
    document = read_programme(asked.file, chain)
    if asked.since is None:
        return (*_file(asked, chain, active, document, kept), True)
    if all(product.programme != document.code for product in chain.products):
        codes = ", ".join(sorted({product.programme for product in chain.products}))
        raise ConfigError(f"{asked.file}: no card is of the programme {document.code!r}; there are cards of {codes}")
    vault = _vault(database, url) if _asks_birthday(document, active) else None
    since, until = _period(asked, known, now)
    source = BooksSource(database, known, document, since, until, kept, vault)
    return source, chain, active, document, vault is None


def _file(
    asked: Asked, chain: Chain, active: Mapping[str, ProgrammeDocument], document: ProgrammeDocument, kept: str
) -> tuple[FileSource, Chain, Mapping[str, ProgrammeDocument], ProgrammeDocument]:
    """The same for a file; a programme that no card has yet gets one."""
    assert asked.receipts is not None
    if product_of(chain, document.code) is None:
        made = Product("simulated", "simulated", "bearer", "0", 16, False, None, False, document.code)
        chain = structs.replace(chain, products=(*chain.products, made))
    return FileSource(asked.receipts, chain, document.code, kept), chain, active, document


def _asks_birthday(document: ProgrammeDocument, active: Mapping[str, ProgrammeDocument]) -> bool:
    both = (document, active.get(document.code, document))
    return any(Programme(each).asks_birthday for each in both)


def _vault(database: Database, url: str) -> Vault | None:
    """What opens birthdays; ``None`` where the keys are not here."""
    from gateway.master_keys import load_keys, place_of_keys

    return vault_of(database, load_keys(os.environ, url)) if place_of_keys(os.environ, url) else None


def _period(asked: Asked, known: Directory, now: datetime) -> tuple[datetime, datetime]:
    """From the begin of the first day to the end of the last, in the zone of the first store."""
    assert asked.since is not None
    zone = min(known.stores.values(), key=lambda store: store.id).zone
    until = now if asked.until is None else _midnight(asked.until + timedelta(days=1), zone)
    since = _midnight(asked.since, zone)
    if not FIRST_DAY <= since < until:
        raise ConfigError(f"--since: found {asked.since}, expected a day before {until.astimezone(zone).date()}")
    return since, min(until, now + timedelta(microseconds=1))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock_time(), zone).astimezone(UTC)


@contextmanager
def progress(length: int, label: str = "receipts") -> Iterator[Callable[[int], None]]:
    """A bar for people who wait; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda more: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update
