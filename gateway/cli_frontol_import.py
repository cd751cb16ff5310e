"""``tillgate frontol import``: a report file of ATOL tills, by hand."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway import file_words, settings
from gateway.cli_options import config_option as _config
from gateway.cli_options import database_option as _database
from gateway.cli_options import existing
from gateway.cli_simulate import progress
from gateway.collector import settled
from processing.database import Database
from processing.errors import BadMessage, Busy, ConfigError, Undelivered

if TYPE_CHECKING:
    from gateway.app import Parts
    from gateway.import_lanes import Execute
    from gateway.pos import Door
    from gateway.settings import Settings

FRONTOL = "frontol"


@click.command("import")
@click.argument("link")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mark", is_flag=True, help="Mark the file as read (# becomes @) when nothing in it is under way.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object.")
@click.option("--language", type=click.Choice(("ru", "en")), help="Of the summary; default: that of the link.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 8), help="Quicker, for memory.")
@_config
@_database
def import_command(
    link: str,
    file: Path,
    mark: bool,
    as_json: bool,
    language: str | None,
    processes: int,
    config: str,
    database_url: str,
) -> None:
    """Book the documents of a report file; what is known changes nothing. Exit 1 if something needs a person."""
    # The door's modules bring the metrics, which must not come before ``serve`` has made their folder.
    from gateway.hand_import import HandImport

    loaded = settings.load(config, os.environ, needs_secrets=False)
    door = _door(loaded, link)
    language = language or str(door.link.options["reports"]["language"])
    try:
        with _opened(loaded, database_url, processes) as (own, execute), progress(file.stat().st_size, "bytes") as seen:
            summary, is_marked = HandImport(own, door, seen, execute).read(file, mark)
    except BadMessage as error:
        raise ConfigError(f"{file}: {file_words.foreign(error, language)}") from None
    except (Busy, Undelivered) as error:
        raise click.ClickException(error.message) from None
    if as_json:
        told = {"link": link, "file": str(file), "marked": is_marked, **file_words.figures(summary)}
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        for line in file_words.lines(summary, language):
            click.echo(line)
    sys.exit(1 if summary.has_troubles else 0)


@contextmanager
def _opened(loaded: Settings, database_url: str, processes: int) -> Iterator[tuple[Parts, Execute | None]]:
    """The books, and what runs commands on them if not this process: SQLite has one writer anyway."""
    from gateway import app
    from gateway.import_lanes import lanes

    database = existing(database_url)
    database.dispose()  # no connection goes to two processes
    count = 1 if database.is_sqlite else processes
    with ExitStack() as stack:
        stack.enter_context(settled())
        execute = None
        if count > 1:
            execute = stack.enter_context(
                lanes(lambda: app.parts(loaded, Database(database_url), os.environ).core, count)
            )
        yield app.parts(loaded, database, os.environ), execute


def _door(loaded: Settings, link: str) -> Door:
    """Errors: ConfigError for a link of another adapter."""
    from gateway.pos import doors

    zones = {store.code: store.zone for store in loaded.chain.stores}
    fit = {code: each for code, each in loaded.links.items() if each.adapter == FRONTOL}
    if link not in fit:
        known = ", ".join(sorted(fit)) or "none"
        raise ConfigError(f"no link {link!r} with the adapter {FRONTOL}; there are: {known}")
    return doors(fit, loaded.adapters, zones)[link]
