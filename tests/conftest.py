"""What tests stand on: a real SQLite file and a real PostgreSQL, empty at the start of every test.

Tests are modules of the namespace package ``tests``, so that they share helpers and that a spawned process
finds the functions it is told to run; there are no ``__init__.py`` files (docs/contributing.md).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, text

sys.path.insert(0, str(Path(__file__).parent.parent))

from processing.database import Database
from processing.execute import Core
from processing.migrate import upgrade
from processing.tables import metadata
from tests.postgres import QUICK, Server, server
from tests.processing.books import Books, StillClock

# Databases are slow beside pure functions, and examples within one test share theirs under new names.
settings.register_profile(
    "tillgate", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.load_profile("tillgate")

BACKENDS = ("sqlite", "postgresql")
CONFIGURED = ("partner", "store", "unit", "product", "programme_version", "id_block", "data_key")
EMPTY = "; ".join(
    f"DELETE FROM {table.name}{' WHERE wallet_id IS NOT NULL' if table.name == 'account' else ''}"
    for table in reversed(metadata.sorted_tables)
    if table.name not in CONFIGURED
)
"""Leaves the chain: what the configuration wrote, and the system accounts."""

EMPTY += "; UPDATE id_block SET next_id = 1000"


def pytest_configure(config: pytest.Config) -> None:
    """Processes that tests start share their bytecode, also where the environment forbids to write it.

    Containers do so to stay small; each of our servers would compile the whole program anew. It is kept apart from the
    sources and goes with the run; xdist's workers inherit the place.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        bytecode = tempfile.TemporaryDirectory(prefix="tillgate-bytecode-")
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode.name
        config.add_cleanup(bytecode.cleanup)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The PostgreSQL of this run; started by the first test that wants one."""
    with server(QUICK) as started:
        yield started


@pytest.fixture(scope="session")
def postgresql_books(postgres: Server) -> Iterator[Books]:
    """The chain on PostgreSQL; its connections stay open from test to test."""
    database = Database(postgres.create_database("books"))
    upgrade(database)
    yield Books.of(database, None)
    database.dispose()


@pytest.fixture(scope="session")
def sqlite_books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    """The chain in a file, which tests copy."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('template') / 'books.db'}")
    upgrade(database)
    made = Books.of(database, None)
    database.dispose()
    return made


@pytest.fixture(params=BACKENDS)
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    """A small chain without cards, whose clock stands still until the test moves it; on both databases."""
    if request.param == "sqlite":
        template: Books = request.getfixturevalue("sqlite_books")
        copy = shutil.copy(str(template.database.url.database), tmp_path / "books.db")
        yield from _fresh(template, Database(f"sqlite:///{copy}"))
    else:
        template = request.getfixturevalue("postgresql_books")
        with template.database.transaction() as connection:
            connection.execute(text(EMPTY))
        yield from _fresh(template, template.database)


@pytest.fixture
def clock(books: Books) -> StillClock:
    """The clock of ``books``."""
    assert isinstance(books.clock, StillClock)
    return books.clock


@pytest.fixture
def postgresql(postgresql_books: Books) -> Iterator[Books]:
    """The same on PostgreSQL only, for what SQLite cannot do."""
    with postgresql_books.database.transaction() as connection:
        connection.execute(text(EMPTY))
    yield from _fresh(postgresql_books, postgresql_books.database)


def _fresh(template: Books, database: Database) -> Iterator[Books]:
    """The template's chain on a database that holds it, with a core that has seen nothing yet."""
    clock = StillClock()
    database.clock = clock
    work = template.core.work
    yield Books(Core(database, work.directory, work.vault), database, clock)
    if database is not template.database:
        database.dispose()


Migrated = Callable[[str, Path, str], str]


@pytest.fixture(scope="session")
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    """Makes a migrated database with nothing in it, of a kind, in a folder or under a name; its URL.

    It is copied: migrating takes many times as long.
    """
    templates: dict[str, str] = {}

    def template(backend: str) -> str:
        if backend not in templates:
            if backend == "sqlite":
                templates[backend] = str(tmp_path_factory.mktemp("migrated") / "empty.db")
                database = Database(f"sqlite:///{templates[backend]}")
            else:
                templates[backend] = "migrated"
                database = Database(request.getfixturevalue("postgres").create_database("migrated"))
            upgrade(database)
            database.dispose()
        return templates[backend]

    def make(backend: str, folder: Path, name: str) -> str:
        if backend == "sqlite":
            return f"sqlite:///{shutil.copy(template(backend), folder / f'{name}.db')}"
        server: Server = request.getfixturevalue("postgres")
        server.drop_database(name)
        return server.create_database(name, like=template(backend))

    return make


@pytest.fixture(params=BACKENDS)
def database(request: pytest.FixtureRequest, tmp_path: Path, migrated: Migrated) -> Iterator[Database]:
    """A migrated database with nothing in it; on both databases."""
    opened = Database(migrated(request.param, tmp_path, "empty"))
    yield opened
    opened.dispose()


@pytest.fixture
def engine(database: Database) -> Engine:
    """The writing engine of a migrated, empty database."""
    return database.writer


# Few tests and long ones: at the end they would leave one of the two processes with nothing to do.
SERVERS = tuple(f"gateway/test_{name}" for name in ("app", "backup", "cli_replay", "demo", "worker"))
LONG = ("scenarios/", "pages/test_browser", *SERVERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of long tests come first, all others in their order."""
    items.sort(key=lambda item: not any(f"tests/{name}" in item.nodeid for name in LONG))
