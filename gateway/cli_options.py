"""What the commands of the command line have in common: where configuration and database are."""

from __future__ import annotations

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


def existing(database_url: str) -> Database:
    """A database that is there and migrated. Errors: ConfigError."""
    database = Database(database_url, must_exist=True)
    if migrate.pending(database):
        raise ConfigError("the database is empty or older than this version: run tillgate migrate")
    return database
