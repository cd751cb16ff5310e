"""A server that is told to stop in the middle of load: what it has read it answers whole, and nothing is half said.

Each client sees a complete answer or a connection that ends before the first byte. Whatever was answered stands in
the books and in the exchange log, and nothing stands there that was not answered.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.exchange_log import Recorded, read
from gateway.master_keys import load_keys
from processing.database import Database
from processing.secrets import load_vault
from processing.verify import verify
from tests.postgres import Server
from tests.processing.books import check_laws, rows
from tests.served import HOST, TRANSACTIONS, Tills, body_of, exchange, receipts, serving

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import seed

CARDS, CLIENTS, RECEIPTS, STOP_AFTER = 200, 32, 4_000, 150
# What a stop says of a process that has not ended by itself in the time that a hung message is given.
KILLED = ("refused to gracefully stop", "_killed")
# Less than a batch waits for a lock.
HELD_SECONDS = 0.9


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'stopped.db'}"
    server: Server = request.getfixturevalue("postgres")
    server.drop_database("stopped")
    return server.create_database("stopped")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "configs"


def options(url: str) -> tuple[str, ...]:
    return ("--threads", "32", "--workers", "1" if url.startswith("sqlite") else "2")


def logged(url: str, environ: dict[str, str]) -> list[Recorded]:
    """What the exchange log holds of messages that were carried out."""
    database = Database(url, must_exist=True)
    with database.transaction() as connection:
        vault = load_vault(connection, load_keys(environ, url))
    with database.reading() as connection:
        found = [row for row in read(connection, vault, seed.LINK, None, 100_000) if row.outcome == "ok"]
    database.dispose()
    return found


def check_books_and_log(url: str, environ: dict[str, str], requests: list[bytes], answers: dict[int, bytes]) -> None:
    """Booked, logged and answered are the same receipts; the laws hold."""
    database = Database(url, must_exist=True)
    booked = sorted(int(number) - 100_000 for (number,) in rows(database, "SELECT number FROM receipt"))
    assert booked == sorted(answers), "booked, but not answered; or the other way round"
    check_laws(database)
    assert [(check.name, check.rows) for check in verify(database) if check.rows] == []
    database.dispose()
    kept = logged(url, environ)
    assert sorted(row.answer for row in kept) == sorted(answers.values())
    assert {row.request.body for row in kept} == {body_of(requests[place]) for place in answers}


@pytest.mark.parametrize("way", ["SIGTERM", "Ctrl-C"])
def test_stop_under_load_answers_everything_that_was_read(url: str, config: Path, way: str) -> None:
    """And connections that are kept alive, or on which nothing was ever said, do not delay it."""
    if way == "Ctrl-C" and url.startswith("sqlite"):
        pytest.skip("the same web workers, and fewer processes that must not hear it")
    environ = seed.write_config(config)

    def stop(count: int) -> None:
        if count != STOP_AFTER:
            return
        if way == "SIGTERM":
            served.process.send_signal(signal.SIGTERM)
        else:  # a terminal tells the whole group
            os.killpg(served.process.pid, signal.SIGINT)

    with serving(config, url, environ, *options(url)) as served:
        requests = receipts(seed.seed(url, CARDS), RECEIPTS, "C0FFEE01")
        kept, silent = (socket.create_connection((HOST, served.port), 20) for _ in range(2))
        assert b'"ok"' in (exchange(kept, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n") or b"")
        tills = Tills(served.port, requests, CLIENTS, on_answer=stop)
        tills.start()
        code = served.process.wait(60)
        tills.wait()
        log = served.log.read_text()
        assert (kept.recv(1), silent.recv(1)) == (b"", b"")
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((HOST, served.port), 5)
        with pytest.raises(ProcessLookupError):
            os.killpg(served.process.pid, 0)
    assert code == 0
    assert not any(word in log for word in (*KILLED, "Traceback")), log[-4_000:]
    assert tills.problems == []
    assert STOP_AFTER <= len(tills.answers) < RECEIPTS, "nothing was interrupted"
    check_books_and_log(url, environ, requests, tills.answers)


def test_workers_that_are_still_starting_do_not_delay_a_stop(url: str, config: Path) -> None:
    """The first of several answers while the others load: they have served nobody, and end at once."""
    if url.startswith("sqlite"):
        pytest.skip("one web worker")
    with serving(config, url, seed.write_config(config), "--workers", "6") as served:
        assert served.stop() == 0
        log = served.log.read_text()
    assert not any(word in log for word in KILLED), log[-4_000:]


def test_messages_that_wait_for_the_database_when_the_stop_comes_are_answered(url: str, config: Path) -> None:
    environ = seed.write_config(config)
    with serving(config, url, environ, *options(url)) as served:
        requests = receipts(seed.seed(url, CARDS), CLIENTS, "C0FFEE02")
        with books_held(url):
            tills = Tills(served.port, requests, CLIENTS)
            tills.start()
            time.sleep(HELD_SECONDS)
            assert tills.answers == {}, "nobody had to wait"
            served.process.send_signal(signal.SIGTERM)
            time.sleep(HELD_SECONDS / 3)
            assert served.process.poll() is None
        assert served.process.wait(60) == 0
        tills.wait()
    assert tills.problems == []
    assert (sorted(tills.answers), tills.unanswered) == (list(range(CLIENTS)), set())
    check_books_and_log(url, environ, requests, tills.answers)


@contextmanager
def books_held(url: str) -> Iterator[None]:
    """Nobody else can write: on SQLite its one lock is taken, on PostgreSQL every account's row."""
    database = Database(url, must_exist=True)
    with database.transaction() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("SELECT id FROM account FOR UPDATE")
        yield
    database.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("sent", ["head", "body"])
def test_half_a_message_delays_the_stop_for_a_bounded_time_and_loses_nothing(url: str, config: Path, sent: str) -> None:
    environ = seed.write_config(config)
    head = f"POST {TRANSACTIONS} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3000\r\n".encode()
    with serving(config, url, environ, *options(url)) as served:
        requests = receipts(seed.seed(url, CARDS), RECEIPTS, "C0FFEE04")
        with socket.create_connection((HOST, served.port), 60) as hung:
            hung.sendall(head if sent == "head" else head + b"\r\n<ROOT>")
            tills = Tills(served.port, requests, CLIENTS)
            tills.start()
            tills.wait_for(STOP_AFTER)
            assert served.stop() == 0
            tills.wait()
            assert hung.recv(1) == b""
    assert tills.problems == []
    check_books_and_log(url, environ, requests, tills.answers)


@pytest.mark.slow
def test_second_signal_changes_nothing(url: str, config: Path) -> None:
    environ = seed.write_config(config)
    with serving(config, url, environ, *options(url)) as served:
        requests = receipts(seed.seed(url, CARDS), RECEIPTS, "C0FFEE05")
        tills = Tills(served.port, requests, CLIENTS)
        tills.start()
        tills.wait_for(STOP_AFTER)
        for _ in range(3):
            served.process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        assert served.process.wait(60) == 0
        tills.wait()
    assert tills.problems == []
    check_books_and_log(url, environ, requests, tills.answers)
