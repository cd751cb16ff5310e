"""Rotation by command: a new data key writes, the old ones read, and the list tells who has encrypted what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert

from gateway.cli import main
from gateway.master_keys import load_keys
from processing.database import Database
from processing.errors import ConfigError
from processing.secrets import EXCHANGE_LOG, SecretsError, Vault, load_vault
from processing.tables import exchange_log, holder, person, wallet
from tests.conftest import Migrated

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ENVIRON = {
    "TILLGATE_MASTER_KEY": "bTFtbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=",
    "TILLGATE_INDEX_KEY": "aTFpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWk=",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, migrated: Migrated) -> str:
    return migrated(request.param, tmp_path, "keyed")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    yield opened
    opened.dispose()


def vault_of(database: Database, url: str) -> Vault:
    with database.transaction() as connection:
        return load_vault(connection, load_keys(ENVIRON, url))


def write(database: Database, vault: Vault, *numbers: int) -> None:
    """A message and a person for each number."""
    with database.transaction() as connection:
        for n in numbers:
            message = {"link": "bistro", "at": AT, "request_id": str(n), "route": "-", "outcome": "ok", "status": 200}
            message |= {name: vault.encrypt(EXCHANGE_LOG, b"text", b"") for name in ("request", "answer")}
            connection.execute(insert(exchange_log).values(message | {"took_us": 1}))
            connection.execute(insert(wallet).values(id=n, created_at=AT))
            connection.execute(insert(holder).values(id=n, wallet_id=n, created_at=AT))
            sealed = {"wrapped_key": vault.wrap(b"k" * 32), "name": b"sealed under the holder's own key"}
            connection.execute(insert(person).values(holder_id=n, **sealed))


def keys(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments], env=environ)


def listed(url: str) -> list[tuple[str, ...]]:
    """(id, purpose, reads or writes, rows) as the command tells it."""
    said = keys("list", "--database-url", url)
    assert said.exit_code == 0, said.output
    return re.findall(r"^ *(\d+) (\w+) +\S+ (reads|writes) +([\d,]+) rows$", said.output, re.MULTILINE)


def test_new_key_writes_old_ones_read_and_the_list_counts_both(database: Database, url: str) -> None:
    old = vault_of(database, url)
    write(database, old, 1, 2, 3)
    ids = {purpose: key_id for key_id, purpose, _, _ in listed(url)}
    assert {(p, n) for _, p, _, n in listed(url)} == {("person", "3"), ("exchange_log", "3"), ("credentials", "0")}

    said = keys("add", "person", "--database-url", url, **ENVIRON)
    assert re.fullmatch(r"\d+ person: restart every server and worker now\n", said.output)
    newer = said.output.split()[0]
    write(database, vault_of(database, url), 4, 5)
    assert set(listed(url)) == {
        (ids["person"], "person", "reads", "3"),
        (newer, "person", "writes", "2"),
        (ids["exchange_log"], "exchange_log", "writes", "5"),
        (ids["credentials"], "credentials", "writes", "0"),
    }


def test_unknown_purpose_is_refused_with_those_that_there_are(database: Database, url: str) -> None:
    vault_of(database, url)
    said = keys("add", "everything", "--database-url", url, **ENVIRON)
    assert said.exit_code == 2
    assert "person" in said.output and "exchange_log" in said.output
    assert len(listed(url)) == 3


def test_key_is_not_added_without_the_master_keys(database: Database, url: str, tmp_path: Path) -> None:
    vault_of(database, url)
    for environ in ({}, ENVIRON | {"TILLGATE_MASTER_KEY": "eDF4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg="}):
        said = keys("add", "person", "--database-url", url, **environ)
        assert isinstance(said.exception, ConfigError | SecretsError)
        assert "master key" in str(said.exception)
    assert len(listed(url)) == 3
    assert not (tmp_path / "keyed.db.keys").exists(), "keys were made for a database that has others"
