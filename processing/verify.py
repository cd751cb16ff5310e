"""The laws of the books, checked on a live database as sets: what each operation promised must still be there.

All checks see one snapshot, so that a server that goes on booking gives no false alarms; they lock nothing.
The laws themselves: processing/laws.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, text

from processing.database import Database
from processing.laws import LAWS, Law

MAX_ROWS = 20
AND_MORE = "... and more"

# Whole tables are joined by hashing. A batch's connection is told the opposite (processing/database.py), and a
# nested loop, planned on the guess that few rows break a law, would take minutes here. Hash tables of a million
# groups stay in memory; compiling such short statements costs more than it saves.
_POSTGRESQL_SETTINGS = (
    "statement_timeout = 0",
    "enable_seqscan = on",
    "enable_hashjoin = on",
    "enable_mergejoin = on",
    "enable_material = on",
    "enable_nestloop = off",
    "work_mem = '64MB'",
    "jit = off",
)
_SQLITE_CACHE_KIB = 64 * 1024


@dataclass(frozen=True, slots=True)
class Check:
    """A law and who breaks it: at most MAX_ROWS of them as text, and ``AND_MORE`` if there are others."""

    name: str
    title: str
    rows: list[str]
    seconds: float


def verify(database: Database, laws: Sequence[Law] = LAWS) -> Iterator[Check]:
    """Each law's check as soon as it is done, all on one snapshot of the database."""
    with _snapshot(database) as connection:
        for law in laws:
            started = time.perf_counter()
            rows = offenders(connection, law)
            yield Check(law.name, law.title, rows, time.perf_counter() - started)


def offenders(connection: Connection, law: Law) -> list[str]:
    """Who breaks it, as this connection sees the books: ``Check.rows``."""
    if law.finds is not None:
        rows = list(islice(law.finds(connection), MAX_ROWS + 1))
        return rows if len(rows) <= MAX_ROWS else [*rows[:MAX_ROWS], AND_MORE]
    is_sqlite = connection.dialect.name == "sqlite"
    sql = law.sqlite if is_sqlite and law.sqlite else law.offenders
    # Materialized, or the planner looks for the first few offenders in order, of which there are none.
    bounded = f"WITH o AS MATERIALIZED ({_literal(sql)}) SELECT * FROM o ORDER BY 1, 2 LIMIT {MAX_ROWS + 1}"
    found = [law.tells.format_map(row) for row in connection.execute(text(bounded)).mappings()]
    return found if len(found) <= MAX_ROWS else [*found[:MAX_ROWS], AND_MORE]


def _literal(sql: str) -> str:
    """The statement with its colons escaped: they belong to JSON texts and casts, and name no parameters."""
    return sql.replace(":", r"\:")


@contextmanager
def _snapshot(database: Database) -> Iterator[Connection]:
    """A connection on which every statement sees the same committed state."""
    if database.is_sqlite:
        with database.reader.connect() as connection:
            before = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
            connection.exec_driver_sql(f"PRAGMA cache_size = -{_SQLITE_CACHE_KIB}")
            try:
                yield connection
            finally:
                connection.exec_driver_sql(f"PRAGMA cache_size = {before}")
        return
    engine = database.writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with engine.connect() as connection:
        for setting in _POSTGRESQL_SETTINGS:
            connection.execute(text(f"SET LOCAL {setting}"))
        yield connection
