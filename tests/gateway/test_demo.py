"""``tillgate demo`` as a user and a client run it: what it shows, what it tells, what it leaves behind (nothing)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from gateway.demo.chain import CONFIG, LINK_SECRETS, open_chain
from gateway.demo.run import _addresses
from tests.postgres import Server
from tests.processing.books import KEYS, Books

COMMAND = [sys.executable, "-c", "from gateway.cli import run; run()"]
TERMINAL_COLUMNS = 120
END_SECONDS = 30.0
LOG_SECONDS = 0.5
"""After which the exchange log has surely written what it gathered."""


@dataclass(frozen=True)
class Scratch:
    """A place of its own for one demo: by it everything that was left behind is found."""

    path: Path

    @property
    def environ(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("TILLGATE_")}
        places = {"TMPDIR": self.path / "tmp", "XDG_STATE_HOME": self.path / "state", "HOME": self.path}
        (self.path / "tmp").mkdir(exist_ok=True)
        return own | {name: str(place) for name, place in places.items()} | {"PYTHONIOENCODING": "utf-8"}

    def left_behind(self) -> list[str]:
        """Processes that still carry our environment, and files."""
        mark = f"TMPDIR={self.path / 'tmp'}".encode()
        processes = [str(pid) for pid in Path("/proc").glob("[0-9]*") if mark in _read(pid / "environ").split(b"\0")]
        return processes + [str(path) for path in (self.path / "tmp").rglob("*")]

    def wait_until_clean(self) -> None:
        limit = time.monotonic() + END_SECONDS
        while self.left_behind() and time.monotonic() < limit:
            time.sleep(0.1)
        assert self.left_behind() == []

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env={**self.environ, **environ},
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextmanager
    def demo(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
        """A demo that serves, and the line of JSON that it says first; asked to end if it has not ended yet."""
        process = subprocess.Popen(
            [*COMMAND, "demo", "--json", "--no-play", *arguments],
            env=self.environ,
            cwd=self.path,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the demo said nothing"
            yield process, json.loads(line)
            if process.poll() is None:
                process.terminate()
                assert process.wait(END_SECONDS) == 0
            assert process.stdout.read() == "", "nothing but the JSON was said"
        finally:
            process.kill()
            process.wait()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path)


def test_its_addresses_tell_what_a_newcomer_needs(tmp_path: Path) -> None:
    chain = open_chain(f"sqlite:///{tmp_path / 'demo.db'}", {})
    server: Any = SimpleNamespace(base_url="http://127.0.0.1:1")
    playing, serving = ("\n".join(_addresses(chain, server, log)) for log in (tmp_path / "server.log", None))
    for shown in (
        "http://127.0.0.1:1/api/docs",
        "http://127.0.0.1:1/api/v1",
        "nevsky, garden, coffee",
        chain.api_key,
        chain.password,
    ):
        assert shown in playing
    assert f"in {tmp_path / 'server.log'}" in playing
    assert "codes     of confirmation are printed here" in serving
    chain.parts.database.dispose()


# The evening ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What ``demo --once`` prints; it ended with 0 and left nothing."""
    scratch = Scratch(tmp_path_factory.mktemp("evening"))
    done = scratch.run("demo", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    scratch.wait_until_clean()
    return done.stdout


def scene(evening: str, number: int) -> str:
    """The lines below the caption with this number."""
    _, found, rest = evening.partition(f"── {number}. ")
    assert found, evening
    return rest.partition("\n── ")[0]


def booked(lines: str) -> list[tuple[str, str]]:
    """(operation, what it was) in a scene."""
    return re.findall(r"operation (\d+): ([^│]+?) *(?:│|$)", lines, re.MULTILINE)


def test_evening_fits_a_terminal(evening: str) -> None:
    assert max(map(len, evening.splitlines())) <= TERMINAL_COLUMNS
    assert "5550001234" not in evening.partition("The evening is over")[0], "cards are masked"


def test_evening_shows_a_look_up(evening: str) -> None:
    lines = scene(evening, 1)
    assert booked(lines) == []
    for shown in ("card look-up", "card ***1234", "Анна Смирнова", "450.50", "code 7"):
        assert shown in lines


def test_evening_shows_a_sale_with_accrual(evening: str) -> None:
    lines = scene(evening, 2)
    ((_, what),) = booked(lines)
    assert what == "receipt 204417"
    assert re.search(r"issued +BONUS +-25\.65", lines)
    assert re.search(r"\*\*\*1234 +BONUS +\+25\.65", lines)
    assert "Начислено 25.65" in lines
    assert "Баланс 476.15" in lines


def test_evening_shows_a_sale_with_redemption(evening: str) -> None:
    lines = scene(evening, 3)
    assert len(booked(lines)) == 1
    assert re.search(r"\*\*\*1242 +BONUS +-100\.00", lines)
    assert "Списано 100.00" in lines


def test_evening_shows_one_posting_for_six_sendings(evening: str) -> None:
    lines = scene(evening, 4)
    ((operation, what),) = booked(lines)
    assert what == "receipt 204419"
    assert lines.count(f"nothing new: operation {operation} stands") == 5
    assert lines.count("the same answer, byte for byte") == 5
    assert re.search(r"\*\*\*1267 +BONUS +\+24\.70", lines), "5 % of the salad, none of the cigar"


def test_evening_shows_a_newer_version_in_the_place_of_the_older(evening: str) -> None:
    first, reversal, second = booked(scene(evening, 5))
    assert first[1] == second[1] == "receipt 204420"
    assert reversal[1] == f"superseded, reverses {first[0]}"
    assert "Баланс 1420.35" in scene(evening, 5)


def test_evening_shows_a_void(evening: str) -> None:
    ((sold, _),) = booked(scene(evening, 3))
    ((_, what),) = booked(scene(evening, 6))
    assert what == f"void, reverses {sold}"
    assert "Операция отменена" in scene(evening, 6)
    assert "Баланс 2200.00" in scene(evening, 6)


def test_evening_shows_pay_rollback_pay_on_one_receipt(evening: str) -> None:
    paid, void, again = booked(scene(evening, 7))
    assert paid[1] == again[1] == "receipt 204421"
    assert void[1] == f"void, reverses {paid[0]}"
    assert again[0] != paid[0]


def test_evening_shows_two_purses(evening: str) -> None:
    lines = scene(evening, 8)
    assert re.search(r"\*\*\*1242 +BONUS +-200\.00", lines)
    assert re.search(r"\*\*\*1242 +RUB +-300\.00", lines)


def test_evening_shows_a_pre_bill_that_books_nothing(evening: str) -> None:
    assert booked(scene(evening, 9)) == []
    assert "Result 0" in scene(evening, 9)


def test_evening_shows_a_receipt_without_card(evening: str) -> None:
    lines = scene(evening, 10)
    ((_, what),) = booked(lines)
    assert what == "receipt 204423"
    assert "no entries" in lines


def test_evening_shows_a_refused_overdraft(evening: str) -> None:
    lines = scene(evening, 11)
    assert booked(lines) == []
    for shown in ("Result 1", "Недостаточно средств", "Доступно 30.00"):
        assert shown in lines


def test_evening_shows_cards_that_cannot_be_used(evening: str) -> None:
    assert "Карта ещё не активирована" in scene(evening, 12)
    assert "Result 1" in scene(evening, 13)


def test_evening_ends_with_totals_balances_and_laws(evening: str) -> None:
    assert "22 messages: 13 operations (10 receipt, 1 superseded, 2 void), 44 entries" in evening
    assert re.search(r"5550001242 +Борис Кузнецов +2200\.00 +2020\.40 +5000\.00 +4700\.00", evening)
    kept, laws = re.findall(r"(\d+) of (\d+) laws hold", evening)[0]
    assert kept == laws


@pytest.mark.slow
def test_another_evening_on_the_same_database(scratch: Scratch) -> None:
    url = f"sqlite:///{scratch.path / 'demo.db'}"
    shown = [scratch.run("demo", "--once", "--database-url", url) for _ in range(2)]
    assert [done.returncode for done in shown] == [0, 0], shown[1].stdout + shown[1].stderr
    assert "Баланс 501.80" in scene(shown[1].stdout, 2), "the second evening begins where the first ended"
    scratch.wait_until_clean()


# What clients are told --------------------------------------------------------------------------------------


@pytest.fixture(params=("sqlite", "postgresql"))
def url(request: pytest.FixtureRequest, scratch: Scratch) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{scratch.path / 'demo.db'}"
        return
    server: Server = request.getfixturevalue("postgres")
    yield server.create_database("demo")
    server.drop_database("demo")


def test_a_client_finds_the_chain_and_finds_it_again(scratch: Scratch, url: str) -> None:
    with scratch.demo("--database-url", url) as (_, told):
        (link,) = told["links"]
        assert (link["code"], link["adapter"]) == ("rkeeper", "rkeeper")
        assert link["url"].startswith(told["base_url"] + "/pos/rkeeper/")
        assert link["credentials"]["restaurantcode"] == "310070003"
        card = told["cards"][0]
        assert card == {"number": "5550001234", "phone": "+79210000001", "points": "450.50", "deposit": "0.00"}
        assert "5550001291" not in {card["number"] for card in told["cards"]}
        assert 'Summa="45050"' in _look_up(link, card["number"])
        assert 'Result="0"' in _pay_with_points(link, card["number"], 5_050)
        _check_api_key(url, told["api_key"])
        time.sleep(LOG_SECONDS)
    scratch.wait_until_clean()
    with scratch.demo("--database-url", url) as (_, again):
        assert again["api_key"] == told["api_key"]
        assert again["links"][0]["credentials"] == link["credentials"]
        assert again["cards"][0]["points"] == "400.00", "what the first one booked is still there"
        assert again["cards"][1:] == told["cards"][1:]
    scratch.wait_until_clean()
    (keys,) = [*scratch.path.rglob("*.keys")]
    assert keys.stat().st_mode & 0o777 == 0o600
    if url.startswith("sqlite"):
        _check_log(scratch, url, link)


def _check_api_key(url: str, api_key: str) -> None:
    """It is stored hashed, with all scopes."""
    engine = create_engine(url)
    with engine.connect() as connection:
        ((stored, scopes),) = connection.execute(text("SELECT key_sha256, scopes FROM api_client"))
    engine.dispose()
    assert bytes(stored) == hashlib.sha256(api_key.encode()).digest()
    assert (json.loads(scopes) if isinstance(scopes, str) else scopes) == ["*"]
    assert len(api_key) >= 32


def _check_log(scratch: Scratch, url: str, link: dict[str, Any]) -> None:
    """The operator reads what was said, in the store's time, without names and numbers of people."""
    secret = {LINK_SECRETS["rkeeper"]: link["credentials"]["secret"]}
    arguments = ("log", "rkeeper", "--config", str(CONFIG), "--database-url", url)
    shown = scratch.run(*arguments, **secret)
    assert shown.returncode == 0, shown.stderr
    for told in ("Europe/Moscow", "card_info: ok", "transactions: ok", "POST getcardinfoex", 'Card="***1234"'):
        assert told in shown.stdout
    for hidden in ("5550001234", "Анна", secret[LINK_SECRETS["rkeeper"]]):
        assert hidden not in shown.stdout
    assert "no messages" in scratch.run(*arguments, "--outcome", "failed", **secret).stdout


def test_killed_demo_takes_everything_with_it(scratch: Scratch) -> None:
    with scratch.demo() as (process, told):
        assert urllib.request.urlopen(told["base_url"] + "/health/live").status == 200
        process.kill()
        process.wait()
        scratch.wait_until_clean()


def test_database_of_another_chain_is_left_alone(scratch: Scratch, sqlite_books: Books) -> None:
    before = sqlite_books.count("store")
    master, index = (base64.b64encode(key).decode() for key in (KEYS.master, KEYS.index))
    keys = {"TILLGATE_MASTER_KEY": master, "TILLGATE_INDEX_KEY": index}
    done = scratch.run("demo", "--once", "--database-url", sqlite_books.url, **keys)
    assert done.returncode == 1
    assert "another chain" in done.stderr
    assert sqlite_books.count("store") == before


def test_port_in_use_is_refused(scratch: Scratch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = scratch.run("demo", "--once", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "cannot listen" in done.stderr
    scratch.wait_until_clean()


# A till -----------------------------------------------------------------------------------------------------


def _look_up(link: dict[str, Any], card: str) -> str:
    restaurant = link["credentials"]["restaurant"]
    return _post(link, "getcardinfoex", f'<ROOT><QRY Card="{card}" Restaurant="{restaurant}" UnitNo="5"/></ROOT>')


def _pay_with_points(link: dict[str, Any], card: str, points: int) -> str:
    """A receipt that points pay whole, so that nothing is earned."""
    code = link["credentials"]["restaurantcode"]
    record = f'Card="{card}" Kind="0" Summa="-{points}" Restaurant="3" RKDate="2026-05-04T00:00:00" RKUnit="5"'
    check = (
        f'<CHECK chmode="1" restaurantcode="{code}" stationcode="5" generateddatetime="2026-05-04T19:52:30">'
        f'<CHECKDATA checknum="1" checkguid="{{0A11B22C-3D44-4E55-8F66-778899AABBC1}}"><CHECKLINES>'
        f'<LINE code="301" uni="4" price="50.5" quantity="1" sum="50.5"/></CHECKLINES><CHECKPAYMENTS>'
        f'<PAYMENT code="10" uni="14" paytype="3" cardcode="{card}" sum="50.5" bsum="50.5"/>'
        "</CHECKPAYMENTS></CHECKDATA></CHECK>"
    )
    records = f'<Transactions><TransactionsEx {record} RKCheck="1"/></Transactions>'
    return _post(link, "transactionsex", f"<ROOT>{records}<INPBUF>{check}</INPBUF></ROOT>")


def _post(link: dict[str, Any], path: str, body: str) -> str:
    request = urllib.request.Request(f"{link['url']}/{path}", body.encode(), {"Content-Type": "text/xml"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return str(response.read().decode())
