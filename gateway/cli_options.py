"""What the commands of the command line have in common: where configuration and database are."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta

import click

from gateway import environment
from processing import migrate
from processing.database import Database
from processing.errors import ConfigError

config_option = click.option(
    "--config",
    envvar=environment.CONFIG,
    default="configs",
    show_default=True,
    help="Directory with the configuration.",
)
database_option = click.option(
    "--database-url",
    envvar=environment.DATABASE_URL,
    default="sqlite:///tillgate.db",
    show_default=True,
    help="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
)


def existing(database_url: str, read_only: bool = False) -> Database:
    """A database that is there and migrated. Errors: ConfigError."""
    database = Database(database_url, must_exist=True, read_only=read_only)
    if migrate.pending(database):
        raise ConfigError("the database is empty or older than this version: run tillgate migrate")
    return database


def actor() -> str:
    """Who types, for the audit log."""
    try:
        return f"cli/{getpass.getuser()}"[:64]
    except (KeyError, OSError):
        return "cli"


def since_instant(text: str) -> datetime:
    """The instant that ``30m``, ``24h``, ``7d`` or an ISO 8601 text means. Errors: UsageError."""
    return _instant(text, -1, "--since")


def end_instant(text: str) -> datetime:
    """The instant at which what is past ends, likewise. Errors: UsageError."""
    return _instant(text, -1, "--until")


def until_instant(text: str) -> datetime:
    """The same of the time to come. Errors: UsageError."""
    return _instant(text, 1, "--until")


def _instant(text: str, sign: int, option: str) -> datetime:
    units = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if text[-1:] in units and text[:-1].isdigit():
            return datetime.now(UTC) + sign * timedelta(**{units[text[-1]]: int(text[:-1])})
        at = datetime.fromisoformat(text)
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise click.UsageError(f"{option} {text!r}: expected 30m, 24h, 7d or 2026-05-04T19:00") from None
