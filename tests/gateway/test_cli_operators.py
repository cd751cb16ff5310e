"""``tillgate operator``: a password is shown once, and whoever has it chooses another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway import cli
from gateway.console import operators, passwords
from processing import directory, migrate
from processing.database import Database
from tests.processing.books import CHAIN, MOSCOW, PROGRAMMES


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a chain in it."""
    monkeypatch.setattr(cli, "configure", lambda: None)
    told = f"sqlite:///{tmp_path / 'people.db'}"
    database = Database(told)
    migrate.upgrade(database)
    directory.sync(database, CHAIN, PROGRAMMES)
    database.dispose()
    return told


def run(url: str, *arguments: str, told: str = "") -> Result:
    return CliRunner().invoke(cli.main, ["operator", *arguments, "--database-url", url], input=told)


def test_somebody_is_let_in_listed_and_shut_out(url: str) -> None:
    added = run(url, "add", "olga", "--role", "operator", "--store", MOSCOW, "--language", "en")
    assert added.exit_code == 0
    password = added.stdout.strip()
    with Database(url).reading() as connection:
        row = operators.by_name(connection, "olga")
    assert row is not None
    assert (row.role, row.stores, row.partners, row.language, row.must_change) == (
        "operator",
        [MOSCOW],
        None,
        "en",
        True,
    )
    assert passwords.is_right(password, row.password_hash)
    assert password not in row.password_hash
    listed = run(url, "list").output
    assert "olga" in listed and MOSCOW in listed and "operator" in listed
    assert run(url, "suspend", "olga").exit_code == 0
    assert "suspended" in run(url, "list").output
    again = run(url, "password", "olga")
    assert again.stdout.strip() != password
    assert "suspended" not in run(url, "list").output


def test_a_password_may_be_asked_for(url: str) -> None:
    asked = run(url, "add", "vera", "--role", "observer", "--prompt", told="a long password\na long password\n")
    assert asked.exit_code == 0
    assert "a long password" not in asked.output
    with Database(url).reading() as connection:
        row = operators.by_name(connection, "vera")
    assert row is not None
    assert (passwords.is_right("a long password", row.password_hash), row.must_change) == (True, False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "olga", "--role", "king"),
        ("add", "o lga", "--role", "owner"),
        ("add", "pavel", "--role", "partner"),
        ("add", "olga", "--role", "owner", "--store", "nowhere"),
        ("add", "olga", "--role", "owner", "--partner", "nobody"),
        ("suspend", "nobody"),
        ("password", "nobody"),
    ],
)
def test_what_does_not_fit_is_refused(url: str, arguments: tuple[str, ...]) -> None:
    assert run(url, *arguments).exit_code != 0
    assert run(url, "list").output == ""
