"""Master keys come from one place, are made once for SQLite, and are never shown."""

from __future__ import annotations

import base64
import sqlite3
from pathlib import Path

import pytest

from gateway.master_keys import load_keys, place_of_keys
from processing.errors import ConfigError

MASTER, INDEX = base64.b64encode(b"m" * 32).decode(), base64.b64encode(b"i" * 32).decode()
POSTGRES = "postgresql://localhost/tillgate"


def test_keys_come_from_the_environment() -> None:
    keys = load_keys({"TILLGATE_MASTER_KEY": MASTER, "TILLGATE_INDEX_KEY": INDEX}, POSTGRES)
    assert (keys.master, keys.index) == (b"m" * 32, b"i" * 32)


def test_keys_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"master: {MASTER}\nindex: {INDEX}\n")
    assert load_keys({"TILLGATE_KEYS_FILE": str(file)}, POSTGRES).index == b"i" * 32


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A file for each key, as a container's secrets are given; with the line's end that an editor leaves."""
    environ = {}
    for name, key in (("TILLGATE_MASTER_KEY", MASTER), ("TILLGATE_INDEX_KEY", INDEX)):
        (tmp_path / name).write_text(f"{key}\n")
        environ[f"{name}_FILE"] = str(tmp_path / name)
    return environ


def test_keys_come_from_a_file_each(files: dict[str, str]) -> None:
    keys = load_keys(files, POSTGRES)
    assert (keys.master, keys.index) == (b"m" * 32, b"i" * 32)


def test_keys_come_from_a_credential_of_systemd(tmp_path: Path) -> None:
    (tmp_path / "tillgate.keys").write_text(f"master: {MASTER}\nindex: {INDEX}\n")
    assert load_keys({"CREDENTIALS_DIRECTORY": str(tmp_path)}, POSTGRES).master == b"m" * 32


def test_credentials_without_ours_are_passed_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'books.db'}"
    load_keys({"CREDENTIALS_DIRECTORY": str(tmp_path)}, url)
    assert (tmp_path / "books.db.keys").exists()


def test_the_environment_goes_before_files(files: dict[str, str]) -> None:
    other = base64.b64encode(b"o" * 32).decode()
    keys = load_keys(files | {"TILLGATE_MASTER_KEY": other, "TILLGATE_INDEX_KEY": INDEX}, POSTGRES)
    assert keys.master == b"o" * 32


def test_keys_are_told_by_their_place_and_never_made_for_it(files: dict[str, str], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'books.db'}"
    assert place_of_keys({}, url) == place_of_keys({}, POSTGRES) == ""
    assert not (tmp_path / "books.db.keys").exists()
    load_keys({}, url)
    assert place_of_keys({}, url) == f"the file {tmp_path / 'books.db.keys'}"
    assert "TILLGATE_MASTER_KEY_FILE" not in place_of_keys(files, POSTGRES)
    assert str(tmp_path / "TILLGATE_INDEX_KEY") in place_of_keys(files, POSTGRES)
    told = place_of_keys({"TILLGATE_MASTER_KEY": MASTER, "TILLGATE_INDEX_KEY": INDEX}, POSTGRES)
    assert "environment" in told and MASTER not in told


@pytest.mark.parametrize(
    "environ",
    [
        {"TILLGATE_MASTER_KEY_FILE": __file__},
        {"TILLGATE_MASTER_KEY_FILE": "/nowhere/key", "TILLGATE_INDEX_KEY_FILE": __file__},
        {"TILLGATE_MASTER_KEY_FILE": __file__, "TILLGATE_INDEX_KEY_FILE": __file__},
        {"TILLGATE_MASTER_KEY": MASTER},
        {"TILLGATE_MASTER_KEY": MASTER, "TILLGATE_INDEX_KEY": "not base64!"},
        {"TILLGATE_MASTER_KEY": MASTER, "TILLGATE_INDEX_KEY": base64.b64encode(b"short").decode()},
        {"TILLGATE_MASTER_KEY": MASTER, "TILLGATE_INDEX_KEY": MASTER},
        {"TILLGATE_KEYS_FILE": "/nowhere/keys"},
        {"TILLGATE_KEYS_FILE": __file__},
    ],
)
def test_unfit_keys_are_refused_and_not_repeated(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_keys(environ, POSTGRES)
    assert MASTER not in str(caught.value)
    assert "not base64!" not in str(caught.value)


def test_postgresql_without_keys_stops_with_the_command_that_makes_them() -> None:
    with pytest.raises(ConfigError, match=r"export TILLGATE_MASTER_KEY=.*\n.*export TILLGATE_INDEX_KEY="):
        load_keys({}, POSTGRES)


def test_sqlite_gets_a_key_file_once_for_its_owner_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'books.db'}"
    first, second = load_keys({}, url), load_keys({}, url)
    file = tmp_path / "books.db.keys"
    assert (first.master, first.index) == (second.master, second.index)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["books.db.keys"]


def test_database_in_memory_gets_keys_that_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_keys({}, "sqlite://").master != load_keys({}, "sqlite://").master
    assert list(tmp_path.iterdir()) == []


def test_database_that_has_keys_gets_no_new_ones(tmp_path: Path) -> None:
    file = tmp_path / "books.db"
    url = f"sqlite:///{file}"
    load_keys({}, url)
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE data_key (id INTEGER)")
        connection.execute("INSERT INTO data_key VALUES (1)")
    load_keys({}, url)
    (tmp_path / "books.db.keys").unlink()
    with pytest.raises(ConfigError, match="Put back the file"):
        load_keys({}, url)
    assert not (tmp_path / "books.db.keys").exists()
