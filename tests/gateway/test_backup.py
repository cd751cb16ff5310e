"""Backups of a database that is served, restored elsewhere: whole, sound, and for nobody else's eyes."""

from __future__ import annotations

import base64
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from gateway import app, backup
from gateway.backup import restore
from gateway.master_keys import load_keys
from gateway.settings import load as load_settings
from processing import migrate
from processing.database import Database
from processing.errors import ConfigError
from processing.secrets import load_vault
from tests.conftest import Migrated
from tests.postgres import Server
from tests.processing.books import check_laws, rows
from tests.served import Tills, body_of, receipts, serving, tillgate

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import seed

CARDS, CLIENTS, RECEIPTS, BEFORE, RESENT = 300, 4, 6_000, 60, 20
PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Place:
    """Databases of one kind: the one that is served, and an empty one."""

    url: str
    empty: str
    environ: dict[str, str]
    config: Path


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    config = tmp_path / "configs"
    environ = seed.write_config(config)
    if request.param == "sqlite":
        return Place(f"sqlite:///{tmp_path / 'books.db'}", f"sqlite:///{tmp_path / 'empty.db'}", environ, config)
    server: Server = request.getfixturevalue("postgres")
    monkeypatch.setenv("PATH", f"{server.bin('pg_dump').parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("backed_up", "put_back"):
        server.drop_database(name)
    return Place(server.create_database("backed_up"), server.create_database("put_back"), environ, config)


@pytest.fixture
def seeded(place: Place, tmp_path: Path, migrated: Migrated) -> Place:
    """With a chain and cards, and nobody who serves them."""
    is_sqlite = place.url.startswith("sqlite")
    assert (
        migrated("sqlite" if is_sqlite else "postgresql", tmp_path, "books" if is_sqlite else "backed_up") == place.url
    )
    database = Database(place.url)
    settings = load_settings(place.config, place.environ)
    app.prepare(settings, database)
    with database.transaction() as connection:
        load_vault(connection, load_keys(place.environ, place.url))
    database.dispose()
    seed.seed(place.url, CARDS)
    return place


def numbers(url: str) -> list[int]:
    """Numbers of the receipts in the books."""
    database = Database(url, must_exist=True)
    found = sorted(int(number) - 100_000 for (number,) in rows(database, "SELECT number FROM receipt"))
    database.dispose()
    return found


def test_backup_of_a_served_database_is_whole_and_answers_as_before(place: Place, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with serving(place.config, place.url, place.environ) as served:
        cards = seed.seed(place.url, CARDS)
        requests = receipts(cards, RECEIPTS, "BAC0FFEE")
        tills = Tills(served.port, requests, CLIENTS, pause_seconds=PAUSE_SECONDS)
        tills.start()
        tills.wait_for(BEFORE)
        before = set(tills.answers)
        made = tillgate("backup", copy, "--database-url", place.url, **place.environ)
        during = set(tills.answers) - before
        assert served.stop() == 0
        tills.wait()
    assert (made.returncode, made.stderr) == (0, "")
    assert "environment (TILLGATE_MASTER_KEY and TILLGATE_INDEX_KEY)" in made.stdout
    assert during, "nobody wrote while the backup was made"
    assert tills.problems == []

    put = tillgate("restore", copy, "--database-url", place.empty, **place.environ)
    assert (put.returncode, put.stderr) == (0, "")
    assert "ok   keys: " in put.stdout and "ok   ids_are_taken_from_blocks" in put.stdout
    assert "FAIL" not in put.stdout
    held = numbers(place.empty)
    assert before <= set(held) <= set(numbers(place.url))
    database = Database(place.empty)
    check_laws(database)
    database.dispose()

    with serving(place.config, place.empty, place.environ) as served:
        for n in held[:RESENT]:
            assert body_of(served.ask(requests[n])) == tills.answers[n], "a receipt of before is answered otherwise"
        assert numbers(place.empty) == held, "a receipt of before was booked again"
        fresh = receipts(cards, 1, "FFFFFFFF")[0]
        assert b'Result="0"' in served.ask(fresh)
        assert served.stop() == 0


def test_backup_is_for_its_owner_only_and_holds_no_key(seeded: Place, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        made = backup.backup(seeded.url, tmp_path / "copy")
    finally:
        os.umask(old)
    assert made.file.stat().st_mode & 0o777 == 0o600
    assert (made.revision, made.size_bytes) == (migrate.head(), made.file.stat().st_size)
    content = made.file.read_bytes()
    for name in ("TILLGATE_MASTER_KEY", "TILLGATE_INDEX_KEY", "TILLGATE_LINK_BENCH"):
        key = seeded.environ[name]
        assert key.encode() not in content
        if name != "TILLGATE_LINK_BENCH":
            assert base64.b64decode(key) not in content


def test_backup_overwrites_nothing(seeded: Place, tmp_path: Path) -> None:
    file = tmp_path / "copy"
    file.write_text("yesterday's")
    with pytest.raises(ConfigError, match="overwrite nothing"):
        backup.backup(seeded.url, file)
    assert file.read_text() == "yesterday's"


def test_backup_of_nothing_is_refused_and_leaves_no_file(place: Place, tmp_path: Path) -> None:
    target = tmp_path / "backups"
    target.mkdir()
    with pytest.raises(ConfigError, match=r"empty|no file"):
        backup.backup(place.url, target / "copy")
    with pytest.raises(ConfigError, match="not a directory"):
        migrate.upgrade(Database(place.url))
        backup.backup(place.url, target / "deeper" / "copy")
    assert list(target.iterdir()) == []


def test_backup_that_fails_leaves_no_file(seeded: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "backups"
    target.mkdir()

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_sync", full)
    with pytest.raises(OSError, match="No space"):
        backup.backup(seeded.url, target / "copy")
    assert list(target.iterdir()) == []


def test_restore_goes_into_an_empty_database_only(seeded: Place, tmp_path: Path) -> None:
    made = backup.backup(seeded.url, tmp_path / "copy")
    with pytest.raises(ConfigError, match=r"exists|not empty"):
        restore(made.file, seeded.url)
    assert restore(made.file, seeded.empty) == migrate.head()
    with pytest.raises(ConfigError, match=r"exists|not empty"):
        restore(made.file, seeded.empty)


def test_damaged_backup_is_refused_and_the_database_stays_empty(seeded: Place, tmp_path: Path) -> None:
    made = backup.backup(seeded.url, tmp_path / "copy")
    content = made.file.read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match=r"cannot be restored|not sound|has failed"):
        restore(cut, seeded.empty)
    assert restore(made.file, seeded.empty) == migrate.head()


@pytest.mark.parametrize("content", [b"", b"what is this", b"\x00" * 100])
def test_what_is_no_backup_is_refused(place: Place, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "copy"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="no backup"):
        restore(file, place.empty)
    with pytest.raises(ConfigError, match="cannot be read"):
        restore(tmp_path / "nowhere", place.empty)
    if place.empty.startswith("sqlite"):
        assert not Path(place.empty.removeprefix("sqlite:///")).exists()


def test_backup_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"PGDMP\x01\x0f\x00")
    with pytest.raises(ConfigError, match="backup of PostgreSQL"):
        restore(tmp_path / "dump", f"sqlite:///{tmp_path / 'books.db'}")
    (tmp_path / "copy").write_bytes(b"SQLite format 3\x00")
    with pytest.raises(ConfigError, match="backup of SQLite"):
        restore(tmp_path / "copy", "postgresql://127.0.0.1:1/books")
    assert not (tmp_path / "books.db").exists()


def test_somebody_elses_sqlite_file_is_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE note (id INTEGER PRIMARY KEY)")
    other.close()
    with pytest.raises(ConfigError, match="cannot be restored"):
        restore(tmp_path / "other.db", f"sqlite:///{tmp_path / 'books.db'}")
    assert not (tmp_path / "books.db").exists()


def test_journal_that_lies_in_the_way_is_never_played_into_a_backup(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    migrate.upgrade(Database(url))
    made = backup.backup(url, tmp_path / "copy")
    (tmp_path / "books.db-wal").write_bytes(b"left behind")
    with pytest.raises(ConfigError, match="-wal exists"):
        restore(made.file, f"sqlite:///{tmp_path / 'books.db'}")


def test_keys_of_another_database_are_noticed_when_restoring(seeded: Place, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    backup.backup(seeded.url, copy)
    other = seeded.environ | {"TILLGATE_MASTER_KEY": base64.b64encode(os.urandom(32)).decode()}
    put = tillgate("restore", copy, "--database-url", seeded.empty, "--no-verify", **other)
    assert put.returncode == 0
    assert "note keys: " in put.stdout and "are others" in put.stdout
    assert re.findall(r"^(ok|FAIL) +(\w+)", put.stdout, re.MULTILINE) == [("ok", "ids_are_taken_from_blocks")]


def test_restored_file_of_an_older_version_asks_for_its_migration(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    database = Database(url)
    with database.transaction() as connection:
        command.upgrade(migrate._config(connection), "0001")
    database.dispose()
    assert backup.backup(url, tmp_path / "copy").revision == "0001"
    target = f"sqlite:///{tmp_path / 'books.db'}"
    put = tillgate("restore", tmp_path / "copy", "--database-url", target)
    assert put.returncode == 1
    assert "run tillgate migrate" in put.stderr
    assert f"put those of the backed up database into {tmp_path / 'books.db.keys'}" in put.stdout
    assert not (tmp_path / "books.db.keys").exists(), "new keys were made for an old backup"
    assert tillgate("migrate", "--database-url", target).returncode == 0


# PostgreSQL's programs ----------------------------------------------------------------------------------------


@pytest.fixture
def dumped(postgres: Server) -> Iterator[str]:
    postgres.drop_database("dumped")
    url = postgres.create_database("dumped")
    database = Database(url)
    migrate.upgrade(database)
    database.dispose()
    yield url
    postgres.drop_database("dumped")


def installed(folder: Path, version: str) -> Path:
    """A folder with a pg_dump that says so."""
    tool = folder / "pg_dump"
    tool.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n")
    tool.chmod(0o755)
    return folder


def test_missing_pg_dump_is_told_with_what_to_install(
    dumped: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_DEBIANS_CLIENTS", tmp_path / "nowhere")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"pg_dump is not installed.*apt-get install postgresql-client"):
        backup.backup(dumped, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_pg_dump_that_is_too_old_is_told_with_both_versions(
    dumped: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_DEBIANS_CLIENTS", tmp_path / "nowhere")
    monkeypatch.setenv("PATH", f"{installed(tmp_path, '9.6.24')}{os.pathsep}/usr/bin{os.pathsep}/bin")
    with pytest.raises(ConfigError, match=r"older than the server, which is PostgreSQL \d+: .*pg_dump is of.* 9"):
        backup.backup(dumped, tmp_path / "copy")


def test_newer_pg_dump_of_debian_is_taken_before_an_old_one_on_the_path(
    dumped: str, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian = tmp_path / "postgresql" / "99"
    debian.mkdir(parents=True)
    (debian / "bin").symlink_to(postgres.bin("pg_dump").parent)
    monkeypatch.setattr(backup, "_DEBIANS_CLIENTS", debian.parent)
    monkeypatch.setenv("PATH", f"{installed(tmp_path, '9.6.24')}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert backup.backup(dumped, tmp_path / "copy").size_bytes > 0


def test_password_is_not_on_pg_dumps_command_line(tmp_path: Path) -> None:
    database = Database("postgresql://till:SECRET@db.example:5433/books?sslmode=require")
    dsn, environ = backup._libpq(database)
    assert "SECRET" not in dsn
    assert [
        word for word in ("host=db.example", "port=5433", "dbname=books", "sslmode=require") if word not in dsn
    ] == []
    assert environ == {"PGPASSWORD": "SECRET"}


def test_database_that_is_used_by_others_is_not_empty(postgres: Server, tmp_path: Path) -> None:
    postgres.drop_database("used")
    url = postgres.create_database("used")
    database = Database(url)
    with database.transaction() as connection:
        connection.execute(text("CREATE SCHEMA shop"))
        connection.execute(text("CREATE TABLE shop.note (id INTEGER)"))
    database.dispose()
    (tmp_path / "dump").write_bytes(b"PGDMP\x01\x0f\x00")
    with pytest.raises(ConfigError, match=r"not empty, it has shop\.note"):
        restore(tmp_path / "dump", url)
    postgres.drop_database("used")
