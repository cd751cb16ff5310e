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
from sqlalchemy import Engine

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
EMPTY = (
    *(
        f"DELETE FROM {table.name}{' WHERE wallet_id IS NOT NULL' if table.name == 'account' else ''}"
        for table in reversed(metadata.sorted_tables)
        if table.name not in CONFIGURED
    ),
    "UPDATE id_block SET next_id = 1000",
)
"""Leaves the chain: what the configuration wrote, and the system accounts."""

MEMORY = Path("/dev/shm")
# Two runs of the suite at once, each with two servers, take less than a half of it.
ENOUGH_BYTES = 4 << 30


def pytest_configure(config: pytest.Config) -> None:
    share_bytecode(config)
    stand_in_memory()


def stand_in_memory() -> None:
    """Temporary files, so also databases, are kept in memory where there is enough of it.

    Every commit of a SQLite file waits for the disk otherwise; the kills of the tests are survived by either. xdist's
    workers and all processes that tests start inherit the place.
    """
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return
    found = os.statvfs(MEMORY)
    if found.f_bavail * found.f_frsize >= ENOUGH_BYTES and not found.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"], tempfile.tempdir = str(MEMORY), None


def share_bytecode(config: pytest.Config) -> None:
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
    yield from _chain(Database(postgres.create_database("books")))


@pytest.fixture(scope="session")
def sqlite_books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    """The chain in a file, which tests copy."""
    *_, made = _chain(Database(f"sqlite:///{tmp_path_factory.mktemp('template') / 'books.db'}"))
    return made


@pytest.fixture(scope="session")
def open_sqlite_books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """The chain in a file; its connections stay open from test to test, and with them what was compiled."""
    yield from _chain(Database(f"sqlite:///{tmp_path_factory.mktemp('open') / 'books.db'}"))


def _chain(database: Database) -> Iterator[Books]:
    upgrade(database)
    yield Books.of(database, None)
    database.dispose()


@pytest.fixture(params=BACKENDS)
def books(request: pytest.FixtureRequest) -> Books:
    """A small chain without cards, whose clock stands still until the test moves it; on both databases."""
    return _fresh(request.getfixturevalue("open_sqlite_books" if request.param == "sqlite" else "postgresql_books"))


@pytest.fixture
def clock(books: Books) -> StillClock:
    """The clock of ``books``."""
    assert isinstance(books.clock, StillClock)
    return books.clock


@pytest.fixture
def postgresql(postgresql_books: Books) -> Books:
    """The same on PostgreSQL only, for what SQLite cannot do."""
    return _fresh(postgresql_books)


def _fresh(chain: Books) -> Books:
    """The chain as it was configured, with a core that has seen nothing yet."""
    database, clock = chain.database, StillClock()
    with database.transaction() as connection:
        for statement in EMPTY:
            connection.exec_driver_sql(statement)
    database.clock = clock
    work = chain.core.work
    return Books(Core(database, work.directory, work.vault), database, clock)


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
