"""``tillgate queue``: what waits for stores and partner systems, and what operators do about it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from sqlalchemy import Connection

from gateway.cli_options import actor, existing, since_instant, until_instant
from gateway.cli_options import config_option as _config
from gateway.cli_options import database_option as _database
from gateway.mask import mask
from gateway.master_keys import load_keys
from processing import audit, outbox, steering
from processing.database import Database
from processing.directory import CENTRE_ID
from processing.errors import BadMessage
from processing.events import KINDS, Stamps
from processing.secrets import load_vault
from processing.steering import Filter, MessageNotFound, MessageNotOpen, Queue, Shown

STATES = ("pending", "dead", "delivered", "cancelled")
# Of one call in bites, so that nobody waits long for the rows.
MAX_CHANGED = 1_000_000
FOREVER = timedelta(days=36_500)


@click.group()
def queue() -> None:
    """What waits for stores and partner systems: one ordered queue a link."""


@contextmanager
def _changing(database: Database, action: str, target: str, **details: Any) -> Iterator[Connection]:
    """A transaction whose change stands in the audit log."""
    with database.transaction() as connection:
        yield connection
        audit.record(connection, database, actor(), action, CENTRE_ID, target, details)


def _links(link: str | None) -> list[str] | None:
    return [link] if link else None


@queue.command("list")
@_database
def list_command(database_url: str) -> None:
    """Every queue: how much waits and since when, what is dead, and what the link is doing."""
    database = existing(database_url)
    with database.reading() as connection:
        now = database.now(connection)
        found = steering.queues(connection, database)
    if not found:
        click.echo("no queues yet: no link has a far side, or tillgate work has not run")
    for each in found:
        click.echo(line(each, now))


def line(told: Queue, now: datetime) -> str:
    """A queue in a line: the worst first thing is what it is doing now."""
    age = f", the oldest for {_age(now - told.oldest_at)}" if told.oldest_at else ""
    does = {"pull": "asks for news", "file": "reads files"}
    waiting = does.get(told.way) or f"{told.pending} pending{age}, {told.dead} dead"
    last = f"; last success {told.last_success_at:%Y-%m-%d %H:%M:%S} UTC" if told.last_success_at else ""
    return f"{told.link:<24} {told.way}  {state_of(told, now)}: {waiting}{last}"


def state_of(told: Queue, now: datetime) -> str:
    """What the lane is doing now, and why."""
    failure = f"({told.last_error}: {told.last_detail})"
    if told.doing == "paused":
        assert told.paused_until is not None
        is_open = told.paused_until - now > FOREVER / 2
        until = "until resumed" if is_open else f"until {told.paused_until:%Y-%m-%d %H:%M} UTC"
        return f"paused {until} by {told.paused_by} ({told.pause_reason})"
    if told.doing == "blocked":
        return f"blocked by the dead message {told.blocked_by} {failure}"
    if told.doing == "sending":
        return f"sending, by {told.worker}"
    if told.doing == "failing":
        due = f", next try {told.due_at:%H:%M:%S} UTC" if told.due_at else ""
        breaker = "" if told.breaker == "closed" else f", breaker {told.breaker}"
        return f"failing {told.failures} times {failure}{breaker}{due}"
    return told.doing


def _age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"


@queue.command("show")
@click.argument("link")
@click.option("--state", type=click.Choice(STATES), help="Only of this state.")
@click.option("--message", "message_id", type=int, help="One message, its body masked, with all attempts.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500))
@_database
def show_command(link: str, state: str | None, message_id: int | None, limit: int, database_url: str) -> None:
    """A link's messages, the newest first; or one message with the story of its attempts."""
    database = existing(database_url)
    with database.reading() as connection:
        if message_id is not None:
            _show(connection, database, database_url, message_id)
            return
        for each in steering.messages(connection, Filter(links=[link], state=state), limit):
            reason = f"  {each.reason}" if each.reason else ""
            click.echo(f"{each.id}  {each.at:%Y-%m-%d %H:%M:%S} UTC  {each.kind:<18} {each.state:<10}{reason}")


def _show(connection: Connection, database: Database, database_url: str, message_id: int) -> None:
    told = _message(connection, message_id)
    reason = f"; {told.reason}" if told.reason else ""
    click.echo(f"{told.id} {told.kind} to {told.link}: {told.state} after {told.attempts} attempts{reason}")
    click.echo(mask(told.body, frozenset()))
    _tell(database, database_url, steering.attempts(connection, told))


def _tell(database: Database, database_url: str, tried: list[steering.Tried]) -> None:
    """Each attempt, and what was said and heard last, masked."""
    from gateway.delivery import opened

    with database.transaction() as writing:
        vault = load_vault(writing, load_keys(os.environ, database_url))
    for each in tried:
        took = f"{each.took_us / 1000:.0f} ms"
        click.echo(f"  {each.at:%Y-%m-%d %H:%M:%S} UTC  {each.outcome}  {each.detail or ''}  {took}  {each.worker}")
        for name, kept in (("out", each.request), ("in", each.answer)):
            if kept is not None:
                click.echo(f"    {name}: {mask(opened(vault, kept), frozenset())[:2000]}")


@queue.command("looks")
@click.argument("link")
@click.option("--limit", default=5, show_default=True, type=click.IntRange(1, 50))
@_database
def looks_command(link: str, limit: int, database_url: str) -> None:
    """What came of asking a link for news, and of looking into its folder, the newest first."""
    database = existing(database_url)
    with database.reading() as connection:
        tried = steering.looks(connection, link, limit)
    if not tried:
        click.echo(f"{link} was not asked yet")
    _tell(database, database_url, tried)


def _message(connection: Connection, message_id: int) -> Shown:
    try:
        return steering.message(connection, message_id)
    except MessageNotFound:
        raise click.ClickException(f"no message {message_id}") from None


@queue.command("pause")
@click.argument("link")
@click.option("--until", help="An instant in ISO 8601, or 30m, 24h, 7d from now; default: until resumed.")
@click.option("--reason", required=True, help="Why; others read it.")
@_database
def pause_command(link: str, until: str | None, reason: str, database_url: str) -> None:
    """Send nothing to the link until then; what is under way is finished."""
    database = existing(database_url)
    with _changing(database, "queue_paused", link, until=until, reason=reason) as connection:
        told = database.now(connection) + FOREVER if until is None else until_instant(until)
        if not steering.pause(connection, link, told, actor(), reason):
            raise click.ClickException(f"no queue of a link {link!r}")
    click.echo(f"{link} is paused")


@queue.command("resume")
@click.argument("link")
@_database
def resume_command(link: str, database_url: str) -> None:
    """End a pause, and try at once, also where the next try would come later."""
    with _changing(existing(database_url), "queue_resumed", link) as connection:
        if not steering.resume(connection, link):
            raise click.ClickException(f"no queue of a link {link!r}")
    click.echo(f"{link} goes on")


def _filter(link: str | None, message_ids: tuple[int, ...], error: str | None, kind: str | None) -> Filter:
    if not link and not message_ids:
        raise click.UsageError("name a link with --link, or messages with --message")
    return Filter(links=_links(link), ids=list(message_ids) or None, error=error, kind=kind)


_which = (
    click.option("--link", help="All of this link that match."),
    click.option("--message", "message_ids", type=int, multiple=True, help="This message; more than one may be given."),
    click.option("--error", help="Only those that failed of this: link_down, link_refused, bad_reply, failed."),
    click.option("--kind", type=click.Choice(sorted(KINDS)), help="Only of this kind."),
)


def _with_which(command: Any) -> Any:
    for option in reversed(_which):
        command = option(command)
    return command


@queue.command("requeue")
@_with_which
@_database
def requeue_command(
    link: str | None, message_ids: tuple[int, ...], error: str | None, kind: str | None, database_url: str
) -> None:
    """Put dead letters back into their places in the queue."""
    wanted = _filter(link, message_ids, error, kind)
    database = existing(database_url)
    details = {"messages": [str(each) for each in message_ids]}

    def bite(connection: Connection) -> int:
        return steering.requeue(connection, database, wanted)

    click.echo(f"{_in_bites(database, 'messages_requeued', link or '', details, bite)} requeued")


@queue.command("skip")
@_with_which
@click.option("--reason", required=True, help="Why they shall never be delivered; others read it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_database
def skip_command(
    link: str | None,
    message_ids: tuple[int, ...],
    error: str | None,
    kind: str | None,
    reason: str,
    yes: bool,
    database_url: str,
) -> None:
    """Never deliver pending or dead messages; nothing that comes after the count is touched."""
    database = existing(database_url)
    wanted = _filter(link, message_ids, error, kind)
    with database.reading() as connection:
        counts = [steering.count(connection, replace(wanted, state=state)) for state in ("pending", "dead")]
    number, upto = sum(each for each, _ in counts), max((last or 0 for _, last in counts), default=0)
    if not number:
        click.echo("0 skipped")
        return
    if not yes and not click.confirm(f"Never deliver {number} messages?"):
        sys.exit(1)
    wanted = replace(wanted, upto=upto)

    def bite(connection: Connection) -> int:
        return steering.skip(connection, database, wanted, actor(), reason)

    click.echo(f"{_in_bites(database, 'messages_skipped', link or '', {'reason': reason}, bite)} skipped")


def _in_bites(
    database: Database, action: str, link: str, details: dict[str, Any], bite: Callable[[Connection], int]
) -> int:
    """Bite after bite, each with its own transaction and row of the audit log, so that nobody waits long."""
    done = 0
    while done < MAX_CHANGED:
        with database.transaction() as connection:
            count = bite(connection)
            if not count:
                break
            audit.record(connection, database, actor(), action, CENTRE_ID, link, {**details, "count": count})
        done += count
    return done


@queue.command("edit")
@click.argument("message_id", type=int)
@click.argument("file", type=click.File("rb"))
@_database
def edit_command(message_id: int, file: Any, database_url: str) -> None:
    """Give a pending or dead message the body of FILE (JSON; - reads standard input)."""
    database = existing(database_url)
    try:
        with _changing(database, "message_edited", str(message_id)) as connection:
            steering.edit(connection, database, message_id, file.read(steering.MAX_BODY + 1))
    except MessageNotFound:
        raise click.ClickException(f"no message {message_id}") from None
    except MessageNotOpen as error:
        raise click.ClickException(f"the message is {error.args[0]} or under way") from None
    except BadMessage as error:
        raise click.ClickException(f"{file.name}: {error.message}") from None
    click.echo(f"{message_id} has another body; requeue it if it is dead")


@queue.command("replay")
@click.argument("link")
@click.option("--since", default="24h", show_default=True, help="30m, 24h, 7d, or an instant in ISO 8601.")
@click.option("--kind", type=click.Choice(sorted(KINDS)), help="Only of this kind.")
@_database
def replay_command(link: str, since: str, kind: str | None, database_url: str) -> None:
    """Send once more what was delivered since then, under the same event ids, behind what waits."""
    database, stamps = existing(database_url), Stamps()
    outbox.follow(database, stamps)
    since_at, last = since_instant(since), 0
    with database.reading() as connection:
        upto = steering.count(connection, Filter(links=[link]))[1]

    def bite(connection: Connection) -> int:
        nonlocal last
        wanted = Filter(links=[link], kind=kind, since=since_at, upto=upto, behind=last)
        count, last = steering.replay(connection, database, stamps, wanted)
        return count

    done = _in_bites(database, "messages_replayed", link, {"since": since_at.isoformat()}, bite)
    click.echo(f"{done} sent again")


@queue.command("test")
@click.argument("link")
@_config
def test_command(link: str, config: str) -> None:
    """Send the link an event of the kind "test" now, past the queue, and tell what its far side has answered."""
    from gateway import settings
    from gateway.talks import try_once
    from gateway.worker import outgoing
    from processing.errors import Undelivered

    links = outgoing(settings.load(config, os.environ))
    if link not in links:
        raise click.ClickException(f"no link {link!r} with a far side; there are: {', '.join(sorted(links)) or 'none'}")
    began = time.monotonic()
    try:
        heard = try_once(links[link], datetime.now(UTC))
    except Undelivered as error:
        raise click.ClickException(f"{error.code}: {error.message}") from None
    click.echo(f"delivered in {(time.monotonic() - began) * 1000:.0f} ms: {mask(heard, frozenset())[:500]}")
