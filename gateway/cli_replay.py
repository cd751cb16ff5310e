"""``tillgate replay``: logged messages played again into scratch books; ``tillgate samples``: some of them as files."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway import settings
from gateway.cli_options import config_option, database_option, existing, since_instant
from gateway.cli_simulate import progress
from gateway.master_keys import load_keys, place_of_keys
from processing.errors import ConfigError
from processing.replay import MAX_MESSAGES

if TYPE_CHECKING:
    from gateway.replay import Played, Replay

LIMIT = 10_000

_since = click.option("--since", default="24h", show_default=True, help="30m, 24h, 7d, or an instant in ISO 8601.")
_limit = click.option("--limit", default=LIMIT, show_default=True, type=click.IntRange(1, MAX_MESSAGES))
_scratch = click.option("--scratch-url", help="An empty database to play into; default: a file that goes afterwards.")


@dataclass(frozen=True)
class Asked:
    """What the command line says of where messages come from and go to."""

    links: tuple[str, ...]
    since: datetime
    limit: int
    config: str
    database_url: str
    scratch_url: str | None


@click.command("replay")
@click.option("--link", "links", multiple=True, help="Only this link's messages; more than one may be given.")
@_since
@_limit
@click.option("--compare", "compares", is_flag=True, help="Show what is told otherwise than in the log; exit 1 if any.")
@click.option("--json", "is_json", is_flag=True, help="With --compare: one object on a line for each difference.")
@_scratch
@config_option
@database_option
def replay_command(
    links: tuple[str, ...],
    since: str,
    limit: int,
    compares: bool,
    is_json: bool,
    scratch_url: str | None,
    config: str,
    database_url: str,
) -> None:
    """Play logged messages again, by the code and configuration of today, into a scratch database."""
    if is_json and not compares:
        raise click.UsageError("--json goes with --compare")
    # Here and below: the door's modules bring the metrics, which must not come before ``serve`` has made their folder.
    from gateway.replay_view import SAME, UNREADABLE, Counts, as_json, as_text, compare, head, summary

    counts = Counts()
    with _playing(Asked(links, since_instant(since), limit, config, database_url, scratch_url)) as (replay, played):
        for each in played:
            compared = compare(each)
            counts.of[compared.verdict] += 1
            zone = each.door.link.zone
            if not compares:
                click.echo(head(each, zone))
            elif is_json and compared.verdict not in (SAME,) and each.skipped != "at_the_door":
                click.echo(as_json(compared))
            elif not is_json and (compared.difference or compared.verdict == UNREADABLE or _differs(compared.verdict)):
                click.echo(as_text(compared, zone))
    click.echo(summary(counts), err=is_json)
    if replay.found and counts.of[UNREADABLE] == counts.of.total():
        raise ConfigError("none of the messages can be opened: the data keys or the rows are damaged")
    sys.exit(1 if compares and counts.differ else 0)


def _differs(verdict: str) -> bool:
    return verdict in ("differs", "not_reproduced")


@click.command("samples")
@click.argument("link")
@click.option("--to", "folder", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where they go.")
@_since
@_limit
@click.option("--request-id", help="Only this message.")
@click.option("--card", help="Only messages about a card whose number ends so.")
@_scratch
@config_option
@database_option
def samples_command(
    link: str,
    folder: Path,
    since: str,
    limit: int,
    request_id: str | None,
    card: str | None,
    scratch_url: str | None,
    config: str,
    database_url: str,
) -> None:
    """Write logged messages as samples of their adapter, with stand-ins for cards, phones and private fields."""
    asked = Asked((link,), since_instant(since), limit, config, database_url, scratch_url)
    from gateway.sample_export import Chosen, SampleFolder

    with _playing(asked) as (replay, played):
        target = SampleFolder.of(folder, replay.doors[link], settings.raw_options(config, link))
        chosen = Chosen(request_id, card)
        for each in played:
            if chosen.takes(each):
                for line in target.add(each):
                    click.echo(line)
        names = target.finish()
    if not names:
        raise click.ClickException("no message of the log is meant")
    click.echo(f"{folder}: {len(names)} samples: {', '.join(names)}")


@contextmanager
def _playing(asked: Asked) -> Iterator[tuple[Replay, Iterator[Played]]]:
    """The replay and its messages as they are played. Errors: ConfigError, SecretsError."""
    from gateway.replay import Replay, Wanted, live_core

    # A stop removes the scratch books, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    loaded = settings.load(asked.config, os.environ, needs_secrets=False)
    database = existing(asked.database_url, read_only=True)
    try:
        if not place_of_keys(os.environ, asked.database_url):
            raise ConfigError("the master keys of this database are not here: the log cannot be opened")
        keys = load_keys(os.environ, asked.database_url)
        wanted = Wanted(asked.links or tuple(sorted(loaded.links)), asked.since, asked.limit)
        replay = Replay.of(live_core(database, keys), loaded, wanted)
        if replay.gone_before is not None:
            click.echo(f"note: the log begins at {replay.gone_before.isoformat()}; nothing older is kept", err=True)
        if len(replay.found) == asked.limit:
            click.echo(f"note: only the first {asked.limit} messages (--limit)", err=True)
        with (
            replay.books(keys.index, asked.scratch_url) as core,
            progress(2 * len(replay.found), "messages") as seen,
        ):
            yield replay, replay.play(core, seen)
    finally:
        database.dispose()
