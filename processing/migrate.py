"""Bring a database's schema up to this version of the program.

Alembic is imported when it is wanted: it is a good part of a process's start, and most processes never migrate.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from processing.database import Database, is_lock_timeout, sqlstate
from processing.errors import ConfigError

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).parent / "migrations"

# A migration beside a server that goes on serving may wait for locks, or be the victim of a deadlock: nothing
# is changed then, and it is tried again. What it holds, tills wait for, so it never waits long with locks held.
ATTEMPTS = 10
PAUSE_SECONDS = 1.0
# An index over a large table may take its time.
STATEMENT_SECONDS = 3_600

log = structlog.get_logger()


def _config(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(database: Database) -> tuple[str | None, str | None]:
    """Migrate to the newest revision; returns the revisions before and after.

    Errors: ConfigError for a database that a newer version of the program has migrated.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _upgrade(database)
        except DBAPIError as error:
            if attempt == ATTEMPTS or not _met_a_lock(error):
                raise
            log.warning("migration_repeated", reason=sqlstate(error), attempt=attempt)
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")


def _upgrade(database: Database) -> tuple[str | None, str | None]:
    from alembic import command

    with database.transaction() as connection:
        before = _revision(connection)
        check_known(before)
        if not database.is_sqlite:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'")
        command.upgrade(_config(connection), "head")
        after = _revision(connection)
    return before, after


def _met_a_lock(error: DBAPIError) -> bool:
    return is_lock_timeout(error) or getattr(error.orig, "sqlstate", None) == "40P01"


def revision(database: Database) -> str | None:
    """The database's revision; ``None`` for one that was never migrated."""
    with database.reading() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The revision that this version of the program works with."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config()).get_current_head()


def check_known(found: str | None) -> None:
    """Errors: ConfigError for a revision that only a newer version of the program knows."""
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise ConfigError(f"the database has revision {found}, which is newer than this version of the program")


def pending(database: Database) -> bool:
    """Whether the database is behind this version of the program. Errors: ConfigError when it is ahead."""
    found = revision(database)
    check_known(found)
    return found != head()
