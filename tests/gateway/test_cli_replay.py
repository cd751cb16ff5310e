"""``tillgate replay`` and ``tillgate samples``, on the evening of the demo, played through the real door."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, update

from adapters.registry import ADAPTERS
from gateway import cli
from gateway.books import Books
from gateway.demo.chain import CARDS, CONFIG, DemoChain, open_chain
from gateway.demo.evening import EVENING, LINK
from gateway.exchange_log import ExchangeLog
from gateway.pos import Pos, doors
from gateway.settings import ExchangeLogLimits
from processing.errors import ConfigError
from processing.secrets import SecretsError
from processing.tables import exchange_log
from tests.gateway.test_cli import SECRETS
from tests.postgres import Server

ROOT = Path(__file__).parents[2]
KEYS = {name: value for name, value in SECRETS.items() if name.endswith("_KEY")}
RUN = "0A11B22C"
SALES = {"02-sale.xml", "03-redemption.xml", "04-resent.xml", "05-before.xml", "05-after.xml"}
SALES |= {"07-pay.xml", "08-two-purses.xml"}

Run = Callable[..., Any]


def environment(root: Path) -> dict[str, str]:
    return KEYS | {"PATH": os.environ["PATH"], "HOME": str(root)}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'demo.db'}"
        return
    server: Server = request.getfixturevalue("postgres")
    server.drop_database("replay")
    yield server.create_database("replay")
    server.drop_database("replay")


@pytest.fixture
def evening(url: str, tmp_path: Path) -> tuple[str, str, list[str]]:
    """The database's URL, when the evening began, and the file of each message."""
    chain = open_chain(url, environment(tmp_path))
    began = datetime.now(UTC).isoformat()
    files = play(chain)
    chain.parts.database.dispose()
    return url, began, files


def play(chain: DemoChain) -> list[str]:
    own = chain.parts
    log = ExchangeLog(own.database.writer, own.vault, ExchangeLogLimits())
    zones = {store.code: store.zone for store in own.settings.chain.stores}
    known = {card.number: found for card, found in chain.identified()}
    pos = Pos(lambda *_: [], doors(own.settings.links, ADAPTERS, zones), Books(own.core, own.settings.gateway).ask, log)
    files = []
    for step in (step for scene in EVENING for step in scene.steps):
        found = known.get(step.card)
        whose = (found.account, found.holder_id) if found else (0, 0)
        for at in step.times:
            send(pos, f"/pos/{LINK}/{chain.secrets[LINK]}/{step.path}", step.body(at, "2026-05-04", RUN, *whose))
            files.append(step.file)
    assert log.close(10)
    return files


def send(pos: Pos, path: str, body: bytes) -> None:
    environ = {
        "PATH_INFO": path,
        "REQUEST_METHOD": "POST",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "text/xml",
        "wsgi.input": io.BytesIO(body),
    }
    pos(environ, lambda status, headers: None)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The demo's configuration, to be changed; its link's secret is not in the environment."""
    return Path(shutil.copytree(CONFIG, tmp_path / "config"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, config: Path, tmp_path: Path, evening: tuple[str, str, list[str]]) -> Run:
    """The command on that configuration and database, since the evening's begin; it leaves no scratch behind."""
    url, began, _ = evening
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(cli, "configure", lambda: None)
    for name in [name for name in os.environ if name.startswith("TILLGATE_")]:
        monkeypatch.delenv(name)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TILLGATE_CONFIG", str(config))
    monkeypatch.setenv("TILLGATE_DATABASE_URL", url)

    def asked(*arguments: str | Path) -> Any:
        result = CliRunner().invoke(cli.main, [*map(str, arguments), "--since", began])
        assert list(scratch.iterdir()) == []
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return asked


# Replays ----------------------------------------------------------------------------------------------------


def test_the_evening_is_answered_alike_and_nothing_is_written(run: Run, evening: tuple[str, str, list[str]]) -> None:
    url, _, files = evening
    file = Path(url.removeprefix("sqlite:///"))
    before = file.read_bytes() if url.startswith("sqlite") else b""
    compared = run("replay", "--compare")
    assert (compared.exit_code, compared.stdout) == (
        0,
        f"{len(files)} messages: {len(files)} answered alike, 0 differ\n",
    )
    told = run("replay", "--link", LINK)
    assert told.exit_code == 0
    assert len(told.stdout.splitlines()) == len(files) + 1
    assert before == (file.read_bytes() if url.startswith("sqlite") else b"")


def test_twice_the_points_change_the_sales_and_the_exit_code(
    run: Run, config: Path, evening: tuple[str, str, list[str]]
) -> None:
    programme = config / "programmes" / "bonus.yaml"
    programme.write_text(programme.read_text("utf-8").replace("cashback_percent: 5", "cashback_percent: 10"), "utf-8")
    compared = run("replay", "--compare", "--json")
    assert compared.exit_code == 1
    told = [json.loads(line) for line in compared.stdout.splitlines()]
    assert {each["verdict"] for each in told} == {"differs"}
    assert {each["route"] for each in told} == {"transactions"}
    assert len(told) == sum(file in SALES for file in evening[2])
    assert all(any(line.startswith("+") and "slip" in line for line in each["difference"]) for each in told)
    assert "differ" in compared.stderr
    shown = run("replay", "--compare").stdout
    assert "-        slip=Начислено 25.65" in shown and "+        slip=Начислено 51.30" in shown
    assert "Смирнова" not in shown and CARDS[0].number not in shown


def test_damage_is_told_and_a_log_that_opens_nowhere_is_a_mistake(
    run: Run, evening: tuple[str, str, list[str]], tmp_path: Path
) -> None:
    url, _, files = evening
    chain = open_chain(url, environment(tmp_path))
    with chain.parts.database.transaction() as connection:
        first = connection.execute(exchange_log.select().order_by(exchange_log.c.id).limit(1)).first()
        assert first is not None
        connection.execute(update(exchange_log).where(exchange_log.c.id == first.id).values(answer=b"\x00" * 40))
    compared = run("replay", "--compare")
    assert compared.exit_code == 0
    assert "cannot be opened: unknown data key 0" in compared.stdout
    assert f"{len(files)} messages: {len(files) - 1} answered alike, 0 differ, 1 cannot be opened" in compared.stdout
    with chain.parts.database.transaction() as connection:
        connection.execute(update(exchange_log).values(request=b""))
    with pytest.raises(ConfigError, match="none of the messages can be opened"):
        run("replay", "--compare")
    with chain.parts.database.transaction() as connection:
        connection.execute(delete(exchange_log))
    chain.parts.database.dispose()
    assert run("replay", "--compare").stdout == "0 messages: 0 answered alike, 0 differ\n"


def test_a_log_that_was_cut_and_a_bound_are_noted(run: Run) -> None:
    bounded = run("replay", "--compare", "--limit", "3")
    assert bounded.stdout.startswith("3 messages: ")
    assert "note: the log begins at" in bounded.stderr
    assert "note: only the first 3 messages (--limit)" in bounded.stderr


def test_mistakes_are_told(run: Run, monkeypatch: pytest.MonkeyPatch, evening: tuple[str, str, list[str]]) -> None:
    with pytest.raises(ConfigError, match="no link 'nowhere'; there are: rkeeper"):
        run("replay", "--link", "nowhere")
    with pytest.raises(ConfigError, match="not empty"):
        run("replay", "--scratch-url", evening[0])
    assert run("replay", "--json").exit_code == 2
    monkeypatch.setenv("TILLGATE_MASTER_KEY", "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=")
    with pytest.raises(SecretsError, match="does not open"):
        run("replay")
    for name in KEYS:
        monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match="master keys of this database are not here"):
        run("replay")


# Samples ----------------------------------------------------------------------------------------------------


def read_all(folder: Path) -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(folder.iterdir()))


def test_an_evening_becomes_samples_that_tell_nobody_and_keep_the_contract(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    shutil.copytree(ROOT / "tests" / "adapters" / "rkeeper" / "samples", folder)
    known = {path.name: hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir()}
    exported = run("samples", LINK, "--to", folder)
    assert exported.exit_code == 0, exported.output
    assert "left out" not in exported.stdout and "shows where" not in exported.stdout
    fresh = [path for path in folder.iterdir() if path.name not in known]
    told = "\n".join(path.read_text("utf-8") for path in fresh)
    for card in CARDS:
        assert card.number not in told
        assert not card.holder or not any(word in told for word in card.holder.split())
    unchanged = [
        path for path in folder.iterdir() if known.get(path.name) == hashlib.sha256(path.read_bytes()).digest()
    ]
    assert len(unchanged) == len(known) - 1, "only the index may change"
    suite = tmp_path / "test_exported.py"
    suite.write_text(
        "from pathlib import Path\n"
        "from adapters.rkeeper import ADAPTER\n"
        "from adapters.testing.suite import ContractSuite\n"
        "from gateway.mask import mask as masked\n"
        "class TestExported(ContractSuite):\n"
        f"    adapter, folder, examples, mask = ADAPTER, Path({str(folder)!r}), 3, staticmethod(masked)\n"
    )
    wanted = "transactions_ or card_info_ or there_are_samples or every_route or secrets_are or each_field"
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path), "-k", wanted]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(suite)],
        env=environment(tmp_path) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_a_card_has_the_same_number_in_all_of_its_messages(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    assert run("samples", LINK, "--to", folder, "--card", "1242").exit_code == 0
    index = json.loads((folder / "cases.json").read_text("utf-8"))
    asks = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.asks.json"))]
    numbers = {ref["value"] for some in asks for ask in some for use in ask.get("cards", ()) for ref in use["refs"]}
    assert len(numbers) == 1 and numbers != {"5550001242"}
    assert len(index["cases"]) == len(asks) == 3, "a sale, its void, and another sale"
    assert numbers <= set(index["secrets"])


def test_one_message_is_exported_by_its_id(run: Run, tmp_path: Path, evening: tuple[str, str, list[str]]) -> None:
    request_id = run("replay").stdout.splitlines()[1].split()[-1]
    folder = tmp_path / "one"
    assert run("samples", LINK, "--to", folder, "--request-id", request_id).exit_code == 0
    assert [path.name for path in sorted(folder.iterdir())] == [
        "cases.json",
        "transactions_01.answer.xml",
        "transactions_01.asks.json",
        "transactions_01.request.xml",
        "transactions_01.results.json",
    ]
    nothing = run("samples", LINK, "--to", folder, "--request-id", "none-such")
    assert nothing.exit_code == 1 and "no message" in nothing.stderr
    (folder / "cases.json").write_text("{}")
    with pytest.raises(ConfigError, match="index of samples"):
        run("samples", LINK, "--to", folder)
