"""``tillgate frontol``: files of ATOL tills, by hand."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway import file_words, settings
from gateway.cli_options import config_option as _config
from gateway.cli_options import database_option as _database
from gateway.cli_options import existing
from gateway.cli_simulate import progress
from processing.errors import BadMessage, Busy, ConfigError, Undelivered

if TYPE_CHECKING:
    from gateway.app import Parts
    from gateway.pos import Door

FRONTOL = "frontol"


@click.group()
def frontol() -> None:
    """ATOL Frontol: files that tills write."""


@frontol.command("import")
@click.argument("link")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mark", is_flag=True, help="Mark the file as read (# becomes @) when nothing in it is under way.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object.")
@click.option("--language", type=click.Choice(("ru", "en")), help="Of the summary; default: that of the link.")
@_config
@_database
def import_command(
    link: str, file: Path, mark: bool, as_json: bool, language: str | None, config: str, database_url: str
) -> None:
    """Book the documents of a report file; what is known changes nothing. Exit 1 if something needs a person."""
    # The door's modules bring the metrics, which must not come before ``serve`` has made their folder.
    from gateway import app
    from gateway.hand_import import HandImport

    loaded = settings.load(config, os.environ, needs_secrets=False)
    own = app.parts(loaded, existing(database_url), os.environ)
    door = _door(own, link)
    language = language or str(door.link.options["reports"]["language"])
    try:
        with progress(file.stat().st_size, "bytes") as seen:
            summary, is_marked = HandImport(own, door, seen).read(file, mark)
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


def _door(own: Parts, link: str) -> Door:
    """Errors: ConfigError for a link of another adapter."""
    from adapters.registry import ADAPTERS
    from gateway.pos import doors

    zones = {store.code: store.zone for store in own.settings.chain.stores}
    fit = {code: each for code, each in own.settings.links.items() if each.adapter == FRONTOL}
    if link not in fit:
        known = ", ".join(sorted(fit)) or "none"
        raise ConfigError(f"no link {link!r} with the adapter {FRONTOL}; there are: {known}")
    return doors(fit, ADAPTERS, zones)[link]
