"""Copies of the books while tills are served, and putting one into an empty database.

SQLite: all pages are copied inside one read transaction, so that no writer waits and the copy is of one moment.
PostgreSQL: pg_dump's custom format, which is of one snapshot as well. Neither holds the master keys.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import make_url

from gateway.master_keys import file_beside, load_keys, place_of_keys
from processing import migrate
from processing.database import Database
from processing.errors import ConfigError
from processing.secrets import SecretsError, load_vault

# A dump waits for a migration to end before it begins, and for nothing else.
LOCK_WAIT_MS = 60_000
MAX_SECONDS = 6 * 3_600
MAX_PROBLEMS = 3

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
_BEGINNINGS = {b"SQLite format 3\x00": SQLITE, b"PGDMP": POSTGRESQL}
_DEBIANS_CLIENTS = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup that was made: whole, read back, and under its name."""

    file: Path
    kind: str
    revision: str
    size_bytes: int
    seconds: float


# Making one -------------------------------------------------------------------------------------------------


def backup(database_url: str, file: Path) -> Copy:
    """The backup, made while whoever serves goes on. The file appears whole or not at all, for its owner only.

    Errors: ConfigError when the file exists, the database is empty, or pg_dump is missing or too old.
    """
    started = time.monotonic()
    database = Database(database_url, must_exist=True)
    try:
        revision = migrate.revision(database)
        if revision is None:
            raise ConfigError("the database is empty: there is nothing to copy")
        with _appearing(file) as draft:
            if database.is_sqlite:
                _copy_pages(database, draft)
            else:
                _dump(database, draft)
    finally:
        database.dispose()
    kind = SQLITE if database.is_sqlite else POSTGRESQL
    return Copy(file, kind, revision, file.stat().st_size, time.monotonic() - started)


def _copy_pages(database: Database, draft: Path) -> None:
    with database.reading() as connection, closing(sqlite3.connect(draft)) as copy:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.backup(copy)
        _settle(copy)


def _settle(copy: sqlite3.Connection) -> None:
    """One file without companions, and sound. Errors: ConfigError."""
    copy.execute("PRAGMA journal_mode=DELETE")
    problems = [str(row[0]) for row in copy.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})") if row[0] != "ok"]
    problems += [f"a row of {row[0]} refers to nothing" for row in copy.execute("PRAGMA foreign_key_check")]
    if problems:
        raise ConfigError(f"the copy is not sound: {'; '.join(problems[:MAX_PROBLEMS])}")


def _dump(database: Database, draft: Path) -> None:
    tool = _tool("pg_dump", _server_major(database))
    dsn, environ = _libpq(database)
    options = ("--format=custom", "--no-owner", "--no-privileges", "--no-password")
    _run([tool, *options, f"--lock-wait-timeout={LOCK_WAIT_MS}", f"--file={draft}", f"--dbname={dsn}"], environ)
    # Read to its end: a list of contents would not notice that the rest is missing.
    _run([_sibling(tool, "pg_restore"), "--file=/dev/null", str(draft)], environ)


@contextmanager
def _appearing(file: Path) -> Iterator[Path]:
    """A draft beside the file that takes its name at the end; never over another file. Errors: ConfigError."""
    if file.exists():
        raise ConfigError(f"{file} exists: backups overwrite nothing")
    if not file.parent.is_dir():
        raise ConfigError(f"{file.parent} is not a directory")
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield draft
        _sync(draft)
        _publish(draft, file)
        _sync(file.parent)
    finally:
        draft.unlink(missing_ok=True)


def _publish(draft: Path, file: Path) -> None:
    try:
        os.link(draft, file)
    except FileExistsError:
        raise ConfigError(f"{file} has appeared meanwhile: backups overwrite nothing") from None
    except OSError:  # a file system without hard links, such as a share of Windows
        draft.rename(file)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Putting one back -------------------------------------------------------------------------------------------


def restore(file: Path, database_url: str) -> str:
    """Put the backup into an empty database; the revision of its schema.

    Errors: ConfigError when the database is not empty, the file is no backup, or of the other kind.
    """
    kind, url = _kind(file), make_url(database_url)
    if (kind == SQLITE) != (url.get_backend_name() == "sqlite"):
        raise ConfigError(f"{file} is a backup of {kind}; the database URL leads to another kind of database")
    if kind == SQLITE:
        _place_file(file, Path(url.database or ""))
    database = Database(database_url, must_exist=True)
    try:
        if kind == POSTGRESQL:
            _load(database, file)
        revision = migrate.revision(database)
        if revision is None:
            raise ConfigError(f"{file} holds no tillgate database")
        return revision
    finally:
        database.dispose()


def _kind(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            head = opened.read(max(map(len, _BEGINNINGS)))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    for beginning, kind in _BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    raise ConfigError(f"{file} is no backup: neither an SQLite file nor pg_dump's custom format")


def _place_file(file: Path, target: Path) -> None:
    for companion in (target, *(target.with_name(target.name + end) for end in ("-wal", "-shm", "-journal"))):
        # Somebody else's journal beside our file would be played into it.
        if companion.exists() and companion.stat().st_size:
            raise ConfigError(f"{companion} exists: a backup is only put where nothing is")
    target.unlink(missing_ok=True)
    source = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
    with _appearing(target) as draft, closing(source), closing(sqlite3.connect(draft)) as copy:
        try:
            source.backup(copy)
            _settle(copy)
            copy.execute("SELECT version_num FROM alembic_version")
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{file} cannot be restored: {error}") from None


def _load(database: Database, file: Path) -> None:
    """All or nothing, in one transaction; then fresh statistics, which a dump does not hold."""
    with database.reading() as connection:
        found = connection.exec_driver_sql(_RELATIONS).scalar()
    if found is not None:
        raise ConfigError(f"the database is not empty, it has {found}: a backup is only put where nothing is")
    tool = _tool("pg_restore", _server_major(database))
    dsn, environ = _libpq(database)
    options = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", "--no-password")
    _run([tool, *options, f"--dbname={dsn}", str(file)], environ)
    with database.reading() as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("ANALYZE")


_RELATIONS = """
    SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1 LIMIT 1
"""


def fitting_keys(database_url: str, environ: Mapping[str, str]) -> tuple[bool, str]:
    """Whether the keys that are at hand open what the database holds, and a sentence about it. Makes none."""
    place = place_of_keys(environ, database_url)
    if not place:
        wanted = file_beside(database_url) or "the environment"
        return False, f"no keys are here: put those of the backed up database into {wanted} before it is served"
    database = Database(database_url, must_exist=True)
    try:
        keys = load_keys(environ, database_url)
        with database.transaction() as connection:
            load_vault(connection, keys)
    except SecretsError as error:
        return False, f"the keys in {place} are others: {error}"
    finally:
        database.dispose()
    return True, f"the keys in {place} fit"


# PostgreSQL's own programs ----------------------------------------------------------------------------------


def _server_major(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10_000


def _tool(name: str, server: int) -> str:
    """The path of a client program of the server's version, or of the next newer one. Errors: ConfigError.

    Not simply the newest: pg_restore 17 says to older servers what they do not understand.
    """
    found = [(_major(path), path) for path in _candidates(name)]
    if not found:
        raise ConfigError(
            f"{name} is not installed: install PostgreSQL's client programs of version {server} "
            f"(Debian: apt-get install postgresql-client)"
        )
    fitting = [(major, path) for major, path in found if major >= server]
    if not fitting:
        told = "; ".join(f"{path} is of PostgreSQL {major}" for major, path in found)
        raise ConfigError(f"{name} is older than the server, which is PostgreSQL {server}: {told}")
    return min(fitting, key=lambda one: one[0])[1]


def _candidates(name: str) -> list[str]:
    """What PATH leads to, then what Debian keeps side by side."""
    first = shutil.which(name)
    return [*([first] if first else []), *map(str, sorted(_DEBIANS_CLIENTS.glob(f"*/bin/{name}")))]


def _major(tool: str) -> int:
    told = _run([tool, "--version"], {})
    found = re.search(r"\) (\d+)", told)
    return int(found[1]) if found else 0


def _sibling(tool: str, name: str) -> str:
    """The program that was installed together with this one."""
    beside = Path(tool).with_name(name)
    return str(beside) if beside.exists() else name


def _libpq(database: Database) -> tuple[str, dict[str, str]]:
    """How libpq reaches the database: where, and the password in the environment, which ``ps`` does not show."""
    told = database.reader.dialect.create_connect_args(database.url)[1]
    password = told.pop("password", None)
    ours = {"context", "prepare_threshold"}
    dsn = make_conninfo("", **{name: value for name, value in told.items() if name not in ours})
    return dsn, {"PGPASSWORD": str(password)} if password else {}


def _run(command: list[str], environ: Mapping[str, str]) -> str:
    """What the program says. Errors: ConfigError with its first complaints."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TILLGATE_")}
    try:
        done = subprocess.run(  # noqa: S603  # PostgreSQL's own programs
            command, env=own | dict(environ), capture_output=True, text=True, timeout=MAX_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{Path(command[0]).name} has not ended after {MAX_SECONDS} s") from None
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        said = "; ".join(done.stderr.strip().splitlines()[:MAX_PROBLEMS])
        raise ConfigError(f"{Path(command[0]).name} has failed: {said or f'exit code {done.returncode}'}")
    return done.stdout
