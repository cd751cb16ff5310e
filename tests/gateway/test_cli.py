"""The command line: exit codes, what it says and where, and the environment in place of options."""

from __future__ import annotations

import io
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from sqlalchemy import text

from gateway import app, cli
from gateway.cli import main
from gateway.demo.chain import CONFIG as DEMO_CONFIG
from gateway.environment import CONFIG, DATABASE_URL
from gateway.settings import load
from processing.database import Database
from processing.verify import LAWS
from tests.conftest import Migrated
from tests.postgres import Server
from tests.processing.books import rows

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import messages
import seed

ROOT = Path(__file__).parents[2]
TRANSACTIONS = f"/pos/{seed.LINK}/{seed.SECRET}/transactionsex"
MISSING = "TILLGATE_LINK_BENCH"


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def tillgate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The console script in this process; ``environ`` are the only variables of ours that it sees."""
    # The log's own set-up outlives the test, and the stream that it would write to does not.
    monkeypatch.setattr(cli, "configure", lambda: None)
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("TILLGATE_"):
            monkeypatch.delenv(name)

    def run(*arguments: str | Path, **environ: str) -> Said:
        capsys.readouterr()  # what was said while the database was made
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["tillgate", *map(str, arguments)])
            for name, value in environ.items():
                patch.setenv(name, value)
            code = 0
            try:
                cli.run()
            except SystemExit as end:
                code = int(end.code or 0)
            out, err = capsys.readouterr()
            assert "Traceback" not in out + err
            return Said(code, out, err)

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration directory; its secrets are ``SECRETS``."""
    directory = tmp_path / "chain"
    seed.write_config(directory)
    return directory


SECRETS = {
    "TILLGATE_MASTER_KEY": "bTFtbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=",
    "TILLGATE_INDEX_KEY": "aTFpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWk=",
    MISSING: seed.SECRET,
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'books.db'}"
        return
    server: Server = request.getfixturevalue("postgres")
    server.drop_database("cli")
    yield server.create_database("cli")
    server.drop_database("cli")


# Help and mistakes --------------------------------------------------------------------------------------------


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command and group."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_explains_itself(tillgate: Command, path: tuple[str, ...]) -> None:
    said = tillgate(*path, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Usage: ")
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help and command.help.split()[0] in said.out
    options = [option for param in command.params for option in param.opts if option.startswith("--")]
    assert [option for option in options if option not in said.out] == []


def test_commands_are_those_that_are_promised() -> None:
    assert {" ".join(path) for path in commands()} >= {"serve", "demo", "migrate", "verify", "config check", "log"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("sreve",),
        ("serve", "--prot", "1"),
        ("serve", "--port", "0"),
        ("serve", "--workers", "x"),
        ("log",),
        ("config",),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_is_wrong(tillgate: Command, arguments: tuple[str, ...]) -> None:
    said = tillgate(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert "Usage: " in said.err or "Error: " in said.err


def test_console_script_is_the_same_program() -> None:
    script = Path(sys.executable).with_name("tillgate")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("tillgate")


# Configuration ------------------------------------------------------------------------------------------------


def test_good_configuration_is_counted(tillgate: Command, config: Path) -> None:
    said = tillgate("config", "check", "--config", config, **SECRETS)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{config}: 1 stores, 1 links, 1 programmes, 1 products: in order\n"


def test_link_that_believes_nobody_is_warned_of(tillgate: Command, config: Path) -> None:
    told = "link: shop\nadapter: frontol\nstore: bench-1\ncredentials: {addresses: [10.20.3.0/24]}\n"
    (config / "links" / "shop.yaml").write_text(told)
    said = tillgate("config", "check", "--config", config, **SECRETS)
    assert said.code == 0
    assert said.err.startswith("warning: link shop: it has addresses and no secret")


@pytest.mark.parametrize(
    ("directory", "environ"),
    [
        (ROOT / "configs", {"TILLGATE_LINK_BISTRO": "0123456789abcdef"}),
        (DEMO_CONFIG, {"TILLGATE_DEMO_RKEEPER": "0123456789abcdef"}),
    ],
    ids=["configs", "demo"],
)
def test_configuration_that_comes_with_the_program_is_good(
    tillgate: Command, directory: Path, environ: dict[str, str]
) -> None:
    assert tillgate("config", "check", "--config", directory, **environ).code == 0


def spoil(config: Path, file: str, old: str, new: str) -> None:
    path = config / file
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("chain.yaml", "zone: Europe/Moscow", "zone: Mars/Base", ("chain.yaml", "stores.0.zone", "'Mars/Base'")),
        ("chain.yaml", "prefix:", "prefiks:", ("chain.yaml", "products.0.prefiks", "did you mean 'prefix'")),
        ("chain.yaml", "units:", "units: [", ("chain.yaml",)),
        ("programmes/bonus.yaml", "3\n", "300\n", ("programmes/bonus.yaml", "cashback_percent", "300")),
        ("links/bench.yaml", "guest: 7", "guest: 700", ("links/bench.yaml", "options.discounts.guest", "700")),
        ("links/bench.yaml", "adapter: rkeeper", "adapter: rkeper", ("links/bench.yaml", "adapter", "rkeeper")),
        ("links/bench.yaml", "secret: {env: TILLGATE_LINK_BENCH}", f"secret: {seed.SECRET}", ("links/bench.yaml",)),
    ],
)
def test_bad_configuration_ends_with_2_and_says_where(
    tillgate: Command, config: Path, file: str, old: str, new: str, expected: tuple[str, ...]
) -> None:
    spoil(config, file, old, new)
    for command in (("config", "check"), ("serve", "--database-url", "sqlite:///never.db"), ("log", "bench")):
        said = tillgate(*command, "--config", config, **SECRETS)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("tillgate: ")
        assert [words for words in expected if words not in said.err] == []
        assert seed.SECRET not in said.err
    assert not Path("never.db").exists(), "a database was made for a configuration that is wrong"


def test_all_problems_are_told_at_once(tillgate: Command, config: Path) -> None:
    spoil(config, "chain.yaml", "zone: Europe/Moscow", "zone: Mars/Base")
    spoil(config, "programmes/bonus.yaml", "payable_percent: 50", "payable_percent: 500")
    said = tillgate("config", "check", "--config", config)
    assert [word for word in ("Mars/Base", "500", MISSING) if word not in said.err] == []


def test_missing_secret_is_named(tillgate: Command, config: Path) -> None:
    said = tillgate("config", "check", "--config", config)
    assert said.code == 2
    assert f": credentials.secret: environment variable {MISSING} is not set" in said.err
    assert "links/bench.yaml:" in said.err


def test_missing_directory_is_named(tillgate: Command) -> None:
    said = tillgate("config", "check", "--config", "nowhere")
    assert said.code == 2
    assert "nowhere" in said.err


def test_environment_stands_in_for_options_and_options_win(tillgate: Command, config: Path, tmp_path: Path) -> None:
    told = {CONFIG: str(config), DATABASE_URL: f"sqlite:///{tmp_path / 'told.db'}"}
    assert tillgate("config", "check", **SECRETS, **told).out.startswith(f"{config}: ")
    assert tillgate("config", "check", "--config", "nowhere", **SECRETS, **told).code == 2
    assert tillgate("migrate", **told).code == 0
    assert (tmp_path / "told.db").exists()
    assert tillgate("migrate", "--database-url", f"sqlite:///{tmp_path / 'other.db'}", **told).out.startswith("empty")


# Serving ------------------------------------------------------------------------------------------------------


def test_several_workers_on_sqlite_are_refused_before_anything_is_made(
    tillgate: Command, config: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'never.db'}"
    said = tillgate("serve", "--config", config, "--database-url", url, "--workers", "2", **SECRETS)
    assert said.code == 2
    assert "--workers 1" in said.err and "PostgreSQL" in said.err
    assert not (tmp_path / "never.db").exists()


@pytest.mark.parametrize("url", ["mysql://localhost/books", "sqlite", "postgresql+asyncpg://localhost/books", ""])
def test_database_that_cannot_be_used_ends_with_2(tillgate: Command, config: Path, url: str) -> None:
    for command in (("migrate",), ("verify",), ("serve", "--config", str(config))):
        said = tillgate(*command, "--database-url", url, **SECRETS)
        assert said.code == 2, said
        assert "atabase" in said.err


@pytest.mark.parametrize(
    "url", ["postgresql://nobody:PASSWORD@127.0.0.1:1/books", "sqlite:////no/such/folder/books.db"]
)
def test_database_that_is_not_there_ends_with_2_and_without_its_password(
    tillgate: Command, config: Path, url: str
) -> None:
    own = ("--config", str(config))
    for command in (("migrate",), ("verify",), ("serve", *own), ("log", seed.LINK, *own)):
        said = tillgate(*command, "--database-url", url, **SECRETS)
        assert (said.code, said.out) == (2, ""), said
        assert "atabase" in said.err and "PASSWORD" not in said.err


# The database -------------------------------------------------------------------------------------------------


def test_migrating_twice_changes_nothing_the_second_time(tillgate: Command, url: str) -> None:
    first = tillgate("migrate", "--database-url", url)
    assert first.code == 0
    assert first.out.startswith("empty -> ")
    tables = schema(url)
    second = tillgate("migrate", "--database-url", url)
    assert (second.code, second.out) == (0, f"{first.out.split()[-1]}: nothing to do\n")
    assert schema(url) == tables


def schema(url: str) -> list[object]:
    database = Database(url)
    catalogue = "sqlite_master WHERE type = 'table'" if database.is_sqlite else "pg_tables WHERE schemaname = 'public'"
    found = rows(database, f"SELECT * FROM {catalogue} ORDER BY 2")
    database.dispose()
    assert len(found) > 15
    return [str(row) for row in found]


@pytest.fixture
def served(request: pytest.FixtureRequest, url: str, tmp_path: Path, config: Path, migrated: Migrated) -> Iterator[str]:
    """A database with a card and three messages in its log: nonsense, a receipt, and one with a private text."""
    assert migrated(request.node.callspec.params["url"], tmp_path, "books" if "sqlite" in url else "cli") == url
    database = Database(url)
    settings = load(config, SECRETS)
    app.prepare(settings, database)
    parts = app.parts(settings, database, SECRETS)
    cards = seed.seed(url, 1)
    at_end: list[Callable[[], object]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "Finalize", lambda _, what, args=(), **__: at_end.append(lambda: what(*args)))
        till = app.create_app(parts).test_client()
    till.post(TRANSACTIONS, data=b"<ROOT/>")
    receipts = messages.receipts(TRANSACTIONS, "localhost", cards, "C0FFEE01")
    (request,) = itertools.islice(receipts, 1, 2)
    assert b'Result="0"' in till.post(TRANSACTIONS, data=request.partition(b"\r\n\r\n")[2]).data
    private = '<ROOT><QRY Card="5550009999" Holder="Анна Смирнова"/></ROOT>'
    till.post(TRANSACTIONS.replace("transactionsex", "getcardinfoex"), data=io.BytesIO(private.encode()))
    for end in at_end:
        end()
    yield url
    database.dispose()


def test_verify_of_sound_books_ends_with_0_and_names_every_law(tillgate: Command, served: str) -> None:
    said = tillgate("verify", "--database-url", served)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert len(lines) >= len(LAWS)
    assert [line for line in lines if not line.startswith("ok   ")] == []


def test_verify_of_broken_books_ends_with_1_and_shows_the_rows(tillgate: Command, served: str) -> None:
    database = Database(served)
    with database.transaction() as connection:
        connection.execute(
            text("UPDATE account SET balance = balance + 1 WHERE wallet_id IS NOT NULL AND unit = 'BONUS'")
        )
    database.dispose()
    said = tillgate("verify", "--database-url", served)
    assert said.code == 1
    failed = [line for line in said.out.splitlines() if not line.startswith("ok   ")]
    assert failed[0].startswith("FAIL ")
    assert any(line.startswith("       ") for line in failed)


def test_log_shows_messages_with_private_fields_masked_and_needs_no_secret_of_a_link(
    tillgate: Command, served: str, config: Path
) -> None:
    keys = {name: key for name, key in SECRETS.items() if name != MISSING}
    said = tillgate("log", seed.LINK, "--config", config, "--database-url", served, **keys)
    assert (said.code, said.err) == (0, "")
    assert "transactions: ok" in said.out and "card_info: card_not_found" in said.out
    assert said.out.index("transactions: ok") < said.out.index("card_info: card_not_found"), "oldest first"
    assert "CHECKDATA" in said.out and 'Result="0"' in said.out
    private = ("Смирнова", "5550009999", str(seed.FIRST_NUMBER), seed.SECRET)
    assert [word for word in private if word in said.out] == []
    assert "***9999" in said.out
    assert "  why  ROOT: expected TransactionsEx records or a CHECK\n" in said.out


def test_log_is_narrowed_by_outcome_number_and_time(tillgate: Command, served: str, config: Path) -> None:
    def shown(*options: str) -> str:
        return tillgate("log", seed.LINK, *options, "--config", config, "--database-url", served, **SECRETS).out

    assert "transactions: ok" not in shown("--outcome", "card_not_found")
    assert "card_info" in shown("--limit", "1") and "transactions:" not in shown("--limit", "1")
    assert "transactions: ok" in shown("--since", "5m")
    assert shown("--since", "2100-01-01T00:00") == "no messages\n"


def test_calls_are_told_in_their_order_without_what_was_said(tillgate: Command, served: str, config: Path) -> None:
    said = tillgate("calls", seed.LINK, "--config", config, "--database-url", served, **SECRETS)
    assert (said.code, said.err) == (0, "")
    assert re.match(r"[1-9][0-9]* messages in [1-9][0-9]* runs", said.out)
    assert "transactionsex" in said.out and "bad_message 1, ok 1" in said.out and "CHECKDATA" not in said.out


@pytest.mark.parametrize("since", ["", "yesterday", "5", "-5m", "99999999999d", "2026-13-01"])
def test_time_that_is_none_is_refused(tillgate: Command, config: Path, since: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'books.db'}"
    assert tillgate("migrate", "--database-url", url).code == 0
    said = tillgate("log", seed.LINK, "--since", since, "--config", config, "--database-url", url, **SECRETS)
    assert (said.code, said.out) == (2, "")
    assert "30m, 24h, 7d" in said.err


@pytest.mark.parametrize("command", ["log", "calls"])
def test_log_of_an_unknown_link_ends_with_2_and_names_those_that_are(
    tillgate: Command, config: Path, command: str
) -> None:
    said = tillgate(command, "nobody", "--config", config, "--database-url", "sqlite:///never.db", **SECRETS)
    assert said.code == 2
    assert "'nobody'" in said.err and seed.LINK in said.err
