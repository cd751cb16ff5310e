"""``kill -9`` in the middle of load, restart, everything sent again: each receipt exactly once, the laws hold."""

from __future__ import annotations

import http.client
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway import app, settings
from processing.database import Database
from processing.verify import verify
from tests.postgres import Server
from tests.processing.books import check_laws, rows

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import load
import messages
import seed

HOST = "127.0.0.1"
RECEIPTS, CARDS, CLIENTS = 200, 40, 8
KILL_AFTER = (40, 100)
"""Answers after which the server is killed, in the first run and in the second."""

REDEEMED = """
    SELECT CAST(sum(e.amount) AS BIGINT) FROM entry e JOIN account a ON a.id = e.account_id WHERE a.kind = 'redeemed'
"""
START_SECONDS, PATIENCE_SECONDS = 60, 30


@dataclass
class Till:
    """Clients that send every receipt in order; ``answers`` are the bodies that each receipt has ever got."""

    port: int
    path: str
    bodies: list[bytes]
    answers: list[list[bytes]] = field(default_factory=lambda: [[] for _ in range(RECEIPTS)])
    failures: list[str] = field(default_factory=list)

    def send_all(self, server: subprocess.Popen[bytes], kill_after: int | None = None) -> None:
        """Send everything; with ``kill_after`` the whole process group of the server dies after so many answers."""
        places = iter(range(RECEIPTS))
        lock = threading.Lock()
        answered = itertools.count(1)

        def client() -> None:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE_SECONDS)
            while True:
                with lock:
                    place = next(places, None)
                if place is None:
                    return
                try:
                    connection.request("POST", self.path, self.bodies[place], {"Content-Type": "text/xml"})
                    response = connection.getresponse()
                    body = response.read()
                except (OSError, http.client.HTTPException) as error:
                    if kill_after is None:
                        self.failures.append(f"receipt {place}: {error!r}")
                    return
                if response.status != 200:
                    self.failures.append(f"receipt {place}: {response.status} {body[:200]!r}")
                    continue
                self.answers[place].append(body)
                with lock:  # what others have sent is on its way, and nobody sends more
                    if next(answered) == kill_after:
                        os.killpg(server.pid, signal.SIGKILL)

        threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS * 2)
        assert not any(thread.is_alive() for thread in threads)


@contextmanager
def serving(config: Path, url: str, port: int, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """``tillgate serve`` in a process group of its own, whose last member is gone at the end."""
    command = [str(Path(sys.executable).with_name("tillgate")), "serve", "--config", str(config)]
    command += ["--database-url", url, "--host", HOST, "--port", str(port)]
    with (config.parent / "tillgate.log").open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, process_group=0, env={**os.environ, **environment})
    try:
        is_up = load.wait_for((HOST, port), "/health/ready", START_SECONDS)
        assert is_up, (config.parent / "tillgate.log").read_text()[-3_000:]
        yield server
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait(PATIENCE_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(PATIENCE_SECONDS)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'crash.db'}"
    server: Server = request.getfixturevalue("postgres")
    server.drop_database("crash")
    return server.create_database("crash")


def committed(database: Database) -> list[int]:
    """The places of the receipts that the books hold, each as often as they hold it."""
    return sorted(int(number) - 100_000 for (number,) in rows(database, "SELECT number FROM receipt"))


def test_receipts_are_booked_exactly_once_over_kills_in_the_middle_of_load(url: str, tmp_path: Path) -> None:
    config, port = tmp_path / "configs", load.free_port()
    environment = seed.write_config(config)
    prepared = Database(url)
    app.prepare(settings.load(config, environment), prepared)
    prepared.dispose()
    path = f"/pos/{seed.LINK}/{seed.SECRET}/transactionsex"
    requests = messages.receipts(path, HOST, seed.seed(url, CARDS), "C0FFEE01")
    bodies = [request.partition(b"\r\n\r\n")[2] for request in itertools.islice(requests, RECEIPTS)]
    till = Till(port, path, bodies)
    database = Database(url)
    for kill_after in KILL_AFTER:
        with serving(config, url, port, environment) as server:
            till.send_all(server, kill_after)
            assert server.wait(PATIENCE_SECONDS) == -signal.SIGKILL, "the server outlived the load"
        held = committed(database)
        assert held == sorted(set(held)), "a receipt was booked twice"
        assert {place for place, answers in enumerate(till.answers) if answers} <= set(held), (
            "an answered receipt is lost"
        )
        assert 0 < len(held) < RECEIPTS, "nothing was interrupted"
        check_laws(database)

    with serving(config, url, port, environment) as server:
        till.send_all(server)
        till.send_all(server)
    assert till.failures == []
    assert committed(database) == list(range(RECEIPTS))
    for answers in till.answers:
        assert len(answers) >= 2
        assert set(answers) == {answers[0]}, "the same receipt was answered in two ways"
    assert all(b'Result="0"' in answers[0] for answers in till.answers)
    paying = sum(messages.POINTS.encode() in body for body in bodies)
    assert rows(database, REDEEMED) == [(paying * messages.REDEEMED,)]
    check_laws(database)
    assert [(check.name, check.rows) for check in verify(database) if check.rows] == []
    database.dispose()
