"""The database: engines, the clock, and everything in which SQLite and PostgreSQL differ.

The hot statements are fixed SQL texts, several of them in one round trip where the database is PostgreSQL
(psycopg's pipeline). Lists and rows travel as one JSON parameter each, so that no text depends on their
length and every prepared plan is kept (measured: docs/performance.md).
"""

from __future__ import annotations

import contextlib
import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from sqlalchemy import (
    ColumnClause,
    Connection,
    Engine,
    LargeBinary,
    Table,
    create_engine,
    event,
    text,
)
from sqlalchemy import exc as sa_exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.sql.elements import TextClause

from processing.errors import ConfigError
from processing.tables import Instant

Row = Sequence[Any]
Clock = Callable[[datetime], datetime]

LOCK_TIMEOUT_MS = 2_000
STATEMENT_TIMEOUT_MS = 60_000
SQLITE_BUSY_MS = 8_000
POOL_SIZE = 8

# Serialization failure, deadlock, lock and statement time-outs; a unique violation means that a rival was
# quicker: after its commit the same batch reads the rival's row and decides again.
_RETRY_SQLSTATES = frozenset({"40001", "40P01", "55P03", "57014", "23505"})

to_json = msgspec.json.Encoder().encode


class Statement:
    """One SQL text for both databases.

    ``:name`` is a parameter. ``IN_IDS(:name)`` and ``IN_TEXTS(:name)`` test against a JSON array,
    ``IN_ROWS(SELECT ... END_ROWS)`` against a query that is run first, so that what is compared with it is found
    by its index whatever the planner believes. ``FOR_UPDATE`` locks rows where rows can be locked,
    ``FOR_UPDATE_SKIPPING`` those of them that nobody else holds. ``columns`` give SQLite's results their types.
    """

    def __init__(self, sql: str, *columns: ColumnClause[Any], sqlite: str | None = None) -> None:
        on_postgresql = re.sub(
            r"IN_(IDS|TEXTS)\((:\w+)\)",
            lambda m: (
                "= ANY (ARRAY(SELECT value::"
                + ("bigint" if m[1] == "IDS" else "text")
                + f" FROM json_array_elements_text({m[2]}::json)))"
            ),
            sql,
        )
        on_postgresql = on_postgresql.replace("FOR_UPDATE_SKIPPING", "FOR UPDATE SKIP LOCKED")
        on_postgresql = on_postgresql.replace("FOR_UPDATE", "FOR UPDATE")
        on_postgresql = on_postgresql.replace("IN_ROWS(", "= ANY (ARRAY(").replace("END_ROWS)", "))")
        self.postgresql = re.sub(r"(?<!:):(\w+)", r"%(\1)s", on_postgresql)
        self.has_rows = sql.lstrip().startswith(("SELECT", "WITH")) or "RETURNING" in sql
        on_sqlite = re.sub(r"IN_(IDS|TEXTS)\((:\w+)\)", r"IN (SELECT value FROM json_each(\2))", sqlite or sql)
        on_sqlite = (
            on_sqlite.replace("FOR_UPDATE_SKIPPING", "")
            .replace("FOR_UPDATE", "")
            .replace("IN_ROWS(", "IN (")
            .replace("END_ROWS)", ")")
        )
        clause: TextClause = text(on_sqlite)
        self.sqlite = clause.columns(*columns) if columns else clause


def array(values: Sequence[int] | Sequence[str]) -> str:
    """The JSON array that IN_IDS and IN_TEXTS take."""
    return to_json(values).decode()


class Database:
    """One database URL: how to reach it, and how to run statements on it.

    ``must_exist``: an SQLite file is not made. ``read_only``: the database itself refuses every write.
    Errors: ConfigError.

    ``clock`` may bend the time that a transaction reads (tests travel with it); it is given the database's.
    """

    def __init__(self, url: str, clock: Clock | None = None, must_exist: bool = False, read_only: bool = False) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if not self.is_sqlite and self.url.drivername not in ("postgresql", "postgresql+psycopg"):
            raise ConfigError(
                f"database URL: {self.url.drivername!r} is not supported; expected sqlite:///FILE or postgresql://..."
            )
        if self.is_sqlite and must_exist and not Path(self.url.database or "").is_file():
            raise ConfigError(f"database URL: there is no file {self.url.database}")
        if self.is_sqlite:
            self.writer, self.reader = (
                _sqlite_engine(self.url, "IMMEDIATE", read_only),
                _sqlite_engine(self.url, "DEFERRED", read_only),
            )
        else:
            self.writer = _postgresql_engine(self.url, _BY_INDEX, read_only)
            self.reader = _postgresql_engine(self.url, "", read_only).execution_options(isolation_level="AUTOCOMMIT")
        self.clock: Clock = clock or (lambda now: now)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A writing transaction; commits at the end, rolls back on any exception."""
        with self.writer.begin() as connection:
            yield connection

    def commit_lazily(self, connection: Connection) -> None:
        """This transaction need not wait for the disk: what it writes can be made again."""
        if not self.is_sqlite:
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reads of committed state."""
        with self.reader.connect() as connection:
            yield connection

    def dispose(self) -> None:
        self.writer.dispose()
        self.reader.dispose()

    def instant(self, at: datetime) -> Any:
        """The instant as a parameter of a plain statement."""
        return Instant().process_bind_param(at, self.writer.dialect)

    def host_clock(self) -> datetime:
        """This machine's time: good enough for reads, never for what is booked."""
        return datetime.now(UTC)

    def now(self, connection: Connection) -> datetime:
        """The database's clock, as of now and not as of the transaction's start."""
        return self.read_clock(run(connection, [(CLOCK, {})])[0][0][0])

    def read_clock(self, read: Any) -> datetime:
        """What a statement read as ``clock_timestamp()``; SQLite's clock is this process's."""
        return self.clock(self.host_clock() if self.is_sqlite else read)


CLOCK = Statement("SELECT clock_timestamp()", sqlite="SELECT 0")


def run(connection: Connection, statements: Sequence[tuple[Statement, Mapping[str, Any]]]) -> list[list[Row]]:
    """The rows of each statement, run in order; on PostgreSQL all in one round trip, each with its own snapshot."""
    if connection.dialect.name == "sqlite":
        results = [connection.execute(statement.sqlite, dict(params)) for statement, params in statements]
        return [list(result) if result.returns_rows else [] for result in results]
    driver = _driver(connection)
    if len(statements) == 1:
        statement, params = statements[0]
        cursor = driver.execute(statement.postgresql, params)
        return [list(cursor.fetchall()) if statement.has_rows else []]
    with driver.pipeline():
        cursors = [driver.execute(statement.postgresql, params) for statement, params in statements]
    return [
        list(cursor.fetchall()) if statement.has_rows else []
        for (statement, _), cursor in zip(statements, cursors, strict=True)
    ]


def write(
    connection: Connection,
    rows_by_table: Mapping[Table, list[dict[str, Any]]],
    upserted: Set[Table],
    added: Set[Table] = frozenset(),
) -> None:
    """Write these rows; one statement for nearly all of them on PostgreSQL.

    Rows are whole, dicts by column name. Rows of tables in ``upserted`` replace what has the same primary key, those
    of tables in ``added`` are added to it, number by number. JSON columns take JSON text as bytes.
    """
    rows_by_table = {table: rows for table, rows in rows_by_table.items() if rows}
    if connection.dialect.name == "sqlite":
        for table, rows in rows_by_table.items():
            connection.execute(_sqlite_statement(table, table in upserted, table in added), rows)
        return
    plain = {table: rows for table, rows in rows_by_table.items() if not _has_bytes(table)}
    if plain:
        text_of_all = _one_statement(tuple(plain), frozenset(upserted), frozenset(added))
        params = {table.name: to_json(rows).decode() for table, rows in plain.items()}
        _driver(connection).execute(text_of_all, params)
    for table, rows in rows_by_table.items():
        if table not in plain:
            connection.execute(_statement_apart(table, table in upserted), rows)


@cache
def _has_bytes(table: Table) -> bool:
    """JSON carries no bytes: the few tables with ciphertexts are written apart."""
    return any(isinstance(column.type, LargeBinary) for column in table.columns)


def is_retryable(error: Exception) -> bool:
    """Whether the same batch may succeed when it is simply tried again."""
    if isinstance(error, psycopg.Error):
        return error.sqlstate in _RETRY_SQLSTATES or isinstance(error, psycopg.OperationalError)
    if isinstance(error, sa_exc.DBAPIError):
        if isinstance(error.orig, psycopg.Error):
            return is_retryable(error.orig)
        return isinstance(error, sa_exc.IntegrityError | sa_exc.OperationalError)
    return False


def is_lock_timeout(error: Exception) -> bool:
    """Whether a rival has held a row for longer than anybody should wait."""
    origin = error.orig if isinstance(error, sa_exc.DBAPIError) else error
    return isinstance(origin, psycopg.Error) and origin.sqlstate == "55P03"


def trace(error: Exception) -> str:
    """Where it happened, without the message: a database's messages quote values."""
    return "".join(traceback.format_tb(error.__traceback__))


def sqlstate(error: Exception) -> str:
    """What may be logged of a database error: its class and SQLSTATE, never the message, which quotes values."""
    origin = error.orig if isinstance(error, sa_exc.DBAPIError) else error
    return f"{type(origin).__name__}:{getattr(origin, 'sqlstate', None) or '-'}"


# PostgreSQL ------------------------------------------------------------------------------------------------


# Batches touch rows by their keys only. On young tables the planner would scan instead, and its prepared plan
# would grow slower with every row until the next ANALYZE.
_BY_INDEX = (
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_material=off"
    " -c plan_cache_mode=force_generic_plan"
)


def _postgresql_engine(url: Any, planner: str, read_only: bool) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_pre_ping=False,
        connect_args={
            "options": f"-c timezone=UTC -c lock_timeout={LOCK_TIMEOUT_MS}"
            f" -c statement_timeout={STATEMENT_TIMEOUT_MS} {planner}"
            f"{' -c default_transaction_read_only=on' if read_only else ''}",
            "prepare_threshold": 2,
            "application_name": "tillgate",
            # A server that is gone without a word is noticed in seconds, not in the kernel's minutes.
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
        },
    )


def _driver(connection: Connection) -> psycopg.Connection[tuple[Any, ...]]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


@cache
def _one_statement(written: tuple[Table, ...], upserted: frozenset[Table], added: frozenset[Table]) -> str:
    """Everything as the parts of one WITH; the rows come as one JSON array per table.

    Upserts instead of updates: an UPDATE ... FROM is a join, and on a young table the planner would read all
    of it for every batch.
    """
    parts = []
    for table in written:
        names = table.columns.keys()
        columns = ", ".join(names)
        part = (
            f"INSERT INTO {table.name} ({columns}) SELECT {columns}"
            f" FROM json_populate_recordset(NULL::{table.name}, %({table.name})s::json)"
        )
        if table in upserted or table in added:
            key = table.primary_key.columns.keys()
            before = f"{table.name}." if table in added else ""
            changes = ", ".join(
                f"{name} = {before}{name} + excluded.{name}" if before else f"{name} = excluded.{name}"
                for name in names
                if name not in key
            )
            part += f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
        parts.append(f"w_{table.name} AS ({part})")
    return "WITH " + ", ".join(parts) + " SELECT 1"


# SQLite ----------------------------------------------------------------------------------------------------


def _sqlite_engine(url: Any, begin: str, read_only: bool) -> Engine:
    if url.database and not read_only:
        # For its owner only, and so are the files that SQLite puts beside it.
        with contextlib.suppress(OSError):
            os.close(os.open(url.database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": SQLITE_BUSY_MS / 1000})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={SQLITE_BUSY_MS}",
            f"query_only={'ON' if read_only else 'OFF'}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {begin}")

    return engine


@cache
def _sqlite_statement(table: Table, is_upsert: bool, is_added: bool) -> sqlite.Insert:
    statement = sqlite.insert(table)
    if not is_upsert and not is_added:
        return statement
    key, changes = _upsert(table, statement.excluded)
    if is_added:
        changes = {name: table.c[name] + value for name, value in changes.items()}
    return statement.on_conflict_do_update(index_elements=key, set_=changes)


@cache
def _statement_apart(table: Table, is_upsert: bool) -> postgresql.Insert:
    """For the tables whose rows JSON cannot carry."""
    statement = postgresql.insert(table)
    if not is_upsert:
        return statement
    key, changes = _upsert(table, statement.excluded)
    return statement.on_conflict_do_update(index_elements=key, set_=changes)


def _upsert(table: Table, excluded: Any) -> tuple[list[str], dict[str, Any]]:
    """The primary key, and what takes the place of the rest."""
    names, key = table.columns.keys(), table.primary_key.columns.keys()
    return key, {name: excluded[name] for name in names if name not in key}
