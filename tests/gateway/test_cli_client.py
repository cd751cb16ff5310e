"""``tillgate client``: a key is shown once, and whoever has it is in until it is revoked."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway import cli
from gateway.api import clients
from gateway.auth import key_digest
from processing import directory
from processing.database import Database
from tests.conftest import Migrated
from tests.processing.books import CHAIN, MOSCOW, PROGRAMMES


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrated: Migrated) -> str:
    """A database with a chain in it."""
    monkeypatch.setattr(cli, "configure", lambda: None)
    told = migrated("sqlite", tmp_path, "clients")
    database = Database(told)
    directory.sync(database, CHAIN, PROGRAMMES)
    database.dispose()
    return told


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["client", *arguments, "--database-url", url])


def test_a_client_is_added_listed_and_revoked(url: str) -> None:
    added = run(
        url, "add", "shop", "--scope", "cards:read", "--scope", "value:write", "--store", MOSCOW, "--rate", "60"
    )
    assert added.exit_code == 0
    key = added.output.strip()
    found = clients.find(Database(url), key_digest(key))
    assert found is not None
    assert (found.name, found.scopes, found.stores, found.requests_per_minute) == (
        "shop",
        {"cards:read", "value:write"},
        {MOSCOW},
        60,
    )
    listed = run(url, "list").output
    assert "shop" in listed
    assert "cards:read value:write" in listed
    assert key not in listed
    assert run(url, "revoke", "shop").exit_code == 0
    assert clients.find(Database(url), key_digest(key)) is None
    assert "revoked" in run(url, "list").output


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "a b", "--scope", "*"),
        ("add", "x" * 41, "--scope", "*"),
        ("add", "shop"),
        ("add", "shop", "--scope", "*", "--rate", "0"),
        ("add", "shop", "--scope", "cards:raed"),
        ("add", "shop", "--scope", "*", "--store", "nowhere"),
        ("revoke", "nobody"),
    ],
)
def test_what_makes_no_sense_is_refused(url: str, arguments: tuple[str, ...]) -> None:
    assert run(url, *arguments).exit_code != 0
    assert clients.everybody(Database(url)) == []
