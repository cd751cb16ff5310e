"""The database: engines, the clock, and everything in which SQLite and PostgreSQL differ.

The hot statements are fixed SQL texts, several of them in one round trip where the database is PostgreSQL
(psycopg's pipeline). Lists and rows travel as one JSON parameter each, so that no text depends on their
length and every prepared plan is kept (measured: docs/performance.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
import psycopg
from sqlalchemy import (
    ColumnClause,
    Connection,
    Engine,
    LargeBinary,
    Table,
    bindparam,
    create_engine,
    event,
    insert,
    text,
    update,
)
from sqlalchemy import exc as sa_exc
from sqlalchemy.engine import make_url
from sqlalchemy.sql.elements import TextClause

from processing.errors import ConfigError
from processing.tables import Instant

Row = Sequence[Any]
Clock = Callable[[datetime], datetime]

LOCK_TIMEOUT_MS = 4_000
STATEMENT_TIMEOUT_MS = 60_000
SQLITE_BUSY_MS = 8_000
POOL_SIZE = 8

# Serialization failure, deadlock, lock and statement time-outs; a unique violation means that a rival was
# quicker: after its commit the same batch reads the rival's row and decides again.
_RETRY_SQLSTATES = frozenset({"40001", "40P01", "55P03", "57014", "23505"})

to_json = msgspec.json.Encoder().encode


class Statement:
    """One SQL text for both databases.

    ``:name`` is a parameter. ``IN_IDS(:name)`` and ``IN_TEXTS(:name)`` test against a JSON array, and
    ``FOR_UPDATE`` locks rows where rows can be locked. ``columns`` give SQLite's results their types.
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
        ).replace("FOR_UPDATE", "FOR UPDATE")
        self.postgresql = re.sub(r"(?<!:):(\w+)", r"%(\1)s", on_postgresql)
        on_sqlite = re.sub(r"IN_(IDS|TEXTS)\((:\w+)\)", r"IN (SELECT value FROM json_each(\2))", sqlite or sql)
        clause: TextClause = text(on_sqlite.replace("FOR_UPDATE", ""))
        self.sqlite = clause.columns(*columns) if columns else clause


def array(values: Sequence[int] | Sequence[str]) -> str:
    """The JSON array that IN_IDS and IN_TEXTS take."""
    return to_json(values).decode()


class Database:
    """One database URL: how to reach it, and how to run statements on it.

    ``clock`` may bend the time that a transaction reads (tests travel with it); it is given the database's.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if not self.is_sqlite and self.url.drivername not in ("postgresql", "postgresql+psycopg"):
            raise ConfigError(
                f"database URL: {self.url.drivername!r} is not supported; expected sqlite:///FILE or postgresql://..."
            )
        if self.is_sqlite:
            self.writer, self.reader = (
                _sqlite_engine(self.url, "IMMEDIATE"),
                _sqlite_engine(self.url, "DEFERRED"),
            )
        else:
            self.writer = _postgresql_engine(self.url)
            self.reader = self.writer.execution_options(isolation_level="AUTOCOMMIT")
        self.clock: Clock = clock or (lambda now: now)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A writing transaction; commits at the end, rolls back on any exception."""
        with self.writer.begin() as connection:
            yield connection

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
        return self._read_clock(run(connection, [(CLOCK, {})])[0])

    def _read_clock(self, rows: list[Row]) -> datetime:
        now = datetime.now(UTC) if self.is_sqlite else rows[0][0]
        return self.clock(now)

    def run_with_clock(
        self, connection: Connection, statements: Sequence[tuple[Statement, Mapping[str, Any]]]
    ) -> tuple[datetime, list[list[Row]]]:
        """The rows of each statement, and the clock read after the first of them (which takes the locks)."""
        first, rest = statements[0], statements[1:]
        results = run(connection, [first, (CLOCK, {}), *rest])
        return self._read_clock(results[1]), [results[0], *results[2:]]


CLOCK = Statement("SELECT clock_timestamp()", sqlite="SELECT 1")


def run(connection: Connection, statements: Sequence[tuple[Statement, Mapping[str, Any]]]) -> list[list[Row]]:
    """The rows of each statement, run in order; on PostgreSQL all in one round trip, each with its own snapshot."""
    if connection.dialect.name == "sqlite":
        results = [connection.execute(statement.sqlite, dict(params)) for statement, params in statements]
        return [list(result) if result.returns_rows else [] for result in results]
    driver = _driver(connection)
    if len(statements) == 1:
        statement, params = statements[0]
        return [_rows(driver.execute(statement.postgresql, params))]
    with driver.pipeline():
        cursors = [driver.execute(statement.postgresql, params) for statement, params in statements]
    return [_rows(cursor) for cursor in cursors]


def write(
    connection: Connection,
    inserts: Mapping[Table, list[dict[str, Any]]],
    updates: Mapping[Table, list[dict[str, Any]]],
) -> None:
    """Insert and update these rows; one statement for everything on PostgreSQL.

    Rows are dicts by column name; all rows of a table carry the same columns. Updates find their row by the
    primary key. JSON columns take JSON text as bytes.
    """
    inserts = {table: rows for table, rows in inserts.items() if rows}
    updates = {table: rows for table, rows in updates.items() if rows}
    if connection.dialect.name == "sqlite":
        _write_sqlite(connection, inserts, updates)
        return
    binary = {table: rows for table, rows in inserts.items() if _has_bytes(table)}
    plain = {table: rows for table, rows in inserts.items() if table not in binary}
    if plain or updates:
        _write_postgresql(_driver(connection), plain, updates)
    for table, rows in binary.items():
        connection.execute(insert(table), rows)


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


def sqlstate(error: Exception) -> str:
    """What may be logged of a database error: its class and SQLSTATE, never the message, which quotes values."""
    origin = error.orig if isinstance(error, sa_exc.DBAPIError) else error
    return f"{type(origin).__name__}:{getattr(origin, 'sqlstate', None) or '-'}"


# PostgreSQL ------------------------------------------------------------------------------------------------


def _postgresql_engine(url: Any) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_pre_ping=False,
        connect_args={
            "options": f"-c timezone=UTC -c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS}",
            "prepare_threshold": 2,
            "application_name": "tillgate",
        },
    )


def _driver(connection: Connection) -> psycopg.Connection[tuple[Any, ...]]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _rows(cursor: psycopg.Cursor[tuple[Any, ...]]) -> list[Row]:
    return list(cursor.fetchall()) if cursor.description else []


_write_texts: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}


def _write_postgresql(
    driver: psycopg.Connection[tuple[Any, ...]],
    inserts: Mapping[Table, list[dict[str, Any]]],
    updates: Mapping[Table, list[dict[str, Any]]],
) -> None:
    shape = (
        tuple(f"{table.name}({','.join(rows[0])})" for table, rows in inserts.items()),
        tuple(f"{table.name}({','.join(rows[0])})" for table, rows in updates.items()),
    )
    if shape not in _write_texts:
        _write_texts[shape] = _one_statement(inserts, updates)
    params = {f"i_{table.name}": to_json(rows).decode() for table, rows in inserts.items()}
    params |= {f"u_{table.name}": to_json(rows).decode() for table, rows in updates.items()}
    driver.execute(_write_texts[shape], params)


def _one_statement(inserts: Mapping[Table, list[dict[str, Any]]], updates: Mapping[Table, list[dict[str, Any]]]) -> str:
    """All inserts and updates as the parts of one WITH; the rows come as one JSON array per table."""
    parts = []
    for table, rows in inserts.items():
        columns = ", ".join(rows[0])
        parts.append(
            f"i_{table.name} AS (INSERT INTO {table.name} ({columns}) SELECT {columns}"
            f" FROM json_populate_recordset(NULL::{table.name}, %(i_{table.name})s::json))"
        )
    for table, rows in updates.items():
        key = [column.name for column in table.primary_key.columns]
        changes = ", ".join(f"{name} = d.{name}" for name in rows[0] if name not in key)
        same = " AND ".join(f"t.{name} = d.{name}" for name in key)
        parts.append(
            f"u_{table.name} AS (UPDATE {table.name} t SET {changes}"
            f" FROM json_populate_recordset(NULL::{table.name}, %(u_{table.name})s::json) d WHERE {same})"
        )
    return "WITH " + ", ".join(parts) + " SELECT 1"


# SQLite ----------------------------------------------------------------------------------------------------


def _sqlite_engine(url: Any, begin: str) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": SQLITE_BUSY_MS / 1000})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={SQLITE_BUSY_MS}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {begin}")

    return engine


def _write_sqlite(
    connection: Connection,
    inserts: Mapping[Table, list[dict[str, Any]]],
    updates: Mapping[Table, list[dict[str, Any]]],
) -> None:
    for table, rows in inserts.items():
        connection.execute(insert(table), rows)
    for table, rows in updates.items():
        key = [column.name for column in table.primary_key.columns]
        changes: dict[str, Any] = {name: bindparam(f"_{name}") for name in rows[0] if name not in key}
        statement = update(table).values(changes)
        for name in key:
            statement = statement.where(table.c[name] == bindparam(f"_{name}"))
        connection.execute(statement, [{f"_{name}": value for name, value in row.items()} for row in rows])
