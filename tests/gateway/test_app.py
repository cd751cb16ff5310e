"""The application put together, and the real server around it: health, metrics, and an orderly end."""

from __future__ import annotations

import http.client
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from gateway import app, metrics
from gateway.app import Parts
from gateway.exchange_log import Recorded, read
from gateway.master_keys import load_keys
from gateway.settings import load
from gateway.worker import worker_of
from processing.database import Database
from processing.secrets import load_vault
from processing.verify import verify
from tests.postgres import Server
from tests.processing.books import check_laws, rows

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import load as client
import messages
import seed

HOST = "127.0.0.1"
PATIENCE_SECONDS = 30
TRANSACTIONS = f"/pos/{seed.LINK}/{seed.SECRET}/transactionsex"
CARDS, CLIENTS, RECEIPTS, STOP_AFTER = 40, 8, 2_000, 120
MIN_KNOCKS = 20
REQUESTS = b'"tillgate_requests_total"'
WRONG = "a-wrong-secret-0123456789"


@pytest.fixture
def config(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A configuration directory, and the environment with its secrets."""
    directory = tmp_path / "configs"
    return directory, seed.write_config(directory)


# The application in this process ------------------------------------------------------------------------------


@pytest.fixture
def parts(database: Database, config: tuple[Path, dict[str, str]]) -> Parts:
    directory, environ = config
    settings = load(directory, environ)
    app.prepare(settings, database)
    return app.parts(settings, database, environ)


@pytest.fixture
def made(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The application; what it wants done at the end of its process is done at the end of the test."""
    at_end: list[Any] = []
    monkeypatch.setattr(app, "Finalize", lambda _, what, args=(), **__: at_end.append((what, args)))
    yield app.create_app(parts)
    assert at_end, "nobody closes the exchange log"
    for what, args in at_end:
        what(*args)


@pytest.fixture
def browser(made: Flask) -> FlaskClient:
    return made.test_client()


def receipt(n: int = 0, card: int = seed.FIRST_NUMBER) -> bytes:
    """A receipt of a card; of one that nobody has issued it is refused."""
    cards = messages.Cards(1, card, 1)
    (request,) = itertools.islice(messages.receipts(TRANSACTIONS, HOST, cards, f"{n:08X}"), 1, 2)
    return request.partition(b"\r\n\r\n")[2]


def test_process_that_answers_is_live(browser: FlaskClient) -> None:
    assert browser.get("/health/live").json == {"status": "ok"}


def test_service_is_ready_with_its_database(browser: FlaskClient) -> None:
    answer = browser.get("/health/ready")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_service_is_not_ready_without_its_database(
    browser: FlaskClient, parts: Parts, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if parts.database.is_sqlite:
        parts.database.dispose()
        (tmp_path / "empty.db").rename(tmp_path / "moved.db")
        (tmp_path / "empty.db").mkdir()
    else:
        server: Server = request.getfixturevalue("postgres")
        server.drop_database("empty")
    answer = browser.get("/health/ready")
    assert (answer.status_code, answer.json) == (503, {"status": "unavailable"})
    assert browser.get("/health/live").status_code == 200


def test_service_is_not_ready_without_its_committer(parts: Parts, tmp_path: Path) -> None:
    made = app.create_app(parts, tmp_path / "nobody.sock").test_client()
    assert made.get("/health/ready").status_code == 503
    assert made.get("/health/live").status_code == 200


def test_message_is_answered_busy_while_the_committer_is_away(parts: Parts, tmp_path: Path) -> None:
    made = app.create_app(parts, tmp_path / "nobody.sock").test_client()
    answer = made.post(TRANSACTIONS, data=receipt())
    assert answer.status_code == 200
    assert b'error_code="91"' in answer.data


def test_tills_message_reaches_the_books_and_the_log(browser: FlaskClient, made: Flask, parts: Parts) -> None:
    seed.seed(parts.database.url.render_as_string(hide_password=False), 1)
    answer = browser.post(TRANSACTIONS, data=receipt(), content_type="text/xml")
    assert (answer.status_code, answer.content_type) == (200, "text/xml; charset=utf-8")
    assert b'Result="0"' in answer.data
    assert rows(parts.database, "SELECT count(*) FROM receipt") == [(1,)]
    assert wait_until(lambda: rows(parts.database, "SELECT outcome FROM exchange_log") == [("ok",)])


@pytest.mark.parametrize("path", ["/", "/pos/nobody/secret/transactionsex", "/health", "/consoles"])
def test_what_nobody_answers_is_not_found(browser: FlaskClient, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 404
    assert b"Traceback" not in answer.data


def wait_until(is_so: Any) -> bool:
    limit = time.monotonic() + PATIENCE_SECONDS
    while not is_so() and time.monotonic() < limit:
        time.sleep(0.02)
    return bool(is_so())


# Metrics ------------------------------------------------------------------------------------------------------

METRICS = {metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)}


def samples(exposition: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels."""
    families = text_string_to_metric_families(exposition)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def total(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    """The sum over all samples of the name that carry these labels."""
    return sum(value for (n, told), value in found.items() if n == name and labels.items() <= dict(told).items())


def test_every_metric_is_exposed_and_has_samples_after_a_few_requests(
    browser: FlaskClient, made: Flask, parts: Parts
) -> None:
    seed.seed(parts.database.url.render_as_string(hide_password=False), 1)
    worker_of(parts, lambda: False).run_once()
    before = samples(browser.get("/metrics").text)
    look_up = next(messages.lookups(TRANSACTIONS, HOST, messages.Cards(1, seed.FIRST_NUMBER, 1)))
    browser.post(TRANSACTIONS, data=receipt())
    browser.post(TRANSACTIONS, data=receipt(1, card=1))
    browser.post(TRANSACTIONS.replace("transactionsex", "getcardinfoex"), data=look_up.partition(b"\r\n\r\n")[2])
    assert wait_until(lambda: rows(parts.database, "SELECT count(*) FROM exchange_log") == [(3,)])
    answer = browser.get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    after = samples(answer.text)

    def moved(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    assert moved("tillgate_requests_total", link=seed.LINK) == 3
    assert moved("tillgate_requests_total", link=seed.LINK, outcome="card_not_found") == 1
    assert moved("tillgate_request_seconds_count", link=seed.LINK) == 3
    assert moved("tillgate_refusals_total", code="card_not_found") == 1
    assert moved("tillgate_batch_size_count", kind="write") == 2
    assert moved("tillgate_batch_size_count", kind="read") == 1
    assert moved("tillgate_batch_seconds_count", kind="write") == 2
    assert moved("tillgate_lock_seconds_count") == 2
    assert wait_until(lambda: total(samples(browser.get("/metrics").text), *WRITTEN) - total(before, *WRITTEN) == 3)
    named = {metric.describe()[0].name for metric in METRICS}
    assert len(named) >= 8
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert named <= set(families)
    # Nothing is delivered, pulled or read from files here; the tests of queues, deliveries and files look at these.
    quiet = {"tillgate_deliveries", "tillgate_delivered_messages", "tillgate_file_documents"}
    quiet |= {"tillgate_pull_notes", "tillgate_pull_refusals"}
    assert [name for name in named - quiet if not families[name].samples] == []


WRITTEN = ("tillgate_exchange_log_rows_total",)


# The server ---------------------------------------------------------------------------------------------------


@dataclass
class Till:
    """Clients that send receipts until the server is gone; ``answers`` by the place of the receipt."""

    port: int
    answers: dict[int, bytes] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send_all(self, bodies: list[bytes], server: subprocess.Popen[bytes], stop_after: int) -> None:
        """Send everything; after so many answers the server is asked to end."""
        places = iter(range(len(bodies)))

        def run() -> None:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE_SECONDS)
            while True:
                with self.lock:
                    place = next(places, None)
                if place is None:
                    return
                try:
                    connection.request("POST", TRANSACTIONS, bodies[place], {"Content-Type": "text/xml"})
                    response = connection.getresponse()
                    body = response.read()
                except (OSError, http.client.HTTPException):
                    return
                with self.lock:
                    if response.status != 200 or b'Result="0"' not in body:
                        self.refused.append(f"{response.status} {body[:200]!r}")
                    self.answers[place] = body
                    if len(self.answers) == stop_after:
                        server.send_signal(signal.SIGTERM)

        threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS * 2)
        assert not any(thread.is_alive() for thread in threads)


@contextmanager
def serving(config: Path, url: str, environ: dict[str, str], *options: str) -> Iterator[tuple[Any, int, Path]]:
    """``tillgate serve``: its process, its port, its log. Whoever of its group is left at the end is killed."""
    port, log = client.free_port(), config.parent / "tillgate.log"
    command = [str(Path(sys.executable).with_name("tillgate")), "serve", "--config", str(config)]
    command += ["--database-url", url, "--host", HOST, "--port", str(port), *options]
    with log.open("ab") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, process_group=0, env={**os.environ, **environ})
    try:
        assert client.wait_for((HOST, port), "/health/ready", PATIENCE_SECONDS * 2), log.read_text()[-3_000:]
        yield server, port, log
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(PATIENCE_SECONDS)


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, str]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_SECONDS)
    connection.request("GET" if body is None else "POST", path, body)
    response = connection.getresponse()
    told = response.status, response.read().decode()
    connection.close()
    return told


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'served.db'}"
    server: Server = request.getfixturevalue("postgres")
    server.drop_database("served")
    return server.create_database("served")


def logged(database: Database, environ: dict[str, str], url: str) -> list[Recorded]:
    with database.transaction() as connection:
        vault = load_vault(connection, load_keys(environ, url))
    with database.reading() as connection:
        return read(connection, vault, seed.LINK, None, 100_000)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """For the server's temporary files. A short name: the committer's socket stands there, and 108 bytes hold it."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        yield Path(folder)


def stranger_knocks_until_all_workers_have_answered(port: int, scratch: Path, workers: int) -> int:
    """How often it took; every worker counts in files of its own. One that is still loading is waited for."""
    asked = 0

    def busy() -> int:
        return sum(REQUESTS in file.read_bytes() for file in scratch.glob("tillgate-*/counter_*.db"))

    def have_all_answered() -> bool:
        nonlocal asked
        status, answer = ask(port, f"/pos/{seed.LINK}/{WRONG}/transactionsex", b"<ROOT/>")
        assert (status, 'error_code="63"' in answer) == (403, True)
        asked += 1
        return asked >= MIN_KNOCKS and busy() == workers

    assert wait_until(have_all_answered), f"{busy()} of {workers} workers have answered"
    return asked


def test_stop_under_load_answers_what_has_begun_and_loses_no_row_of_the_log(
    url: str, config: tuple[Path, dict[str, str]], scratch: Path
) -> None:
    directory, environ = config
    workers = 1 if url.startswith("sqlite") else 2
    environ["TMPDIR"] = str(scratch)
    with serving(directory, url, environ, "--workers", str(workers)) as (server, port, log):
        cards = seed.seed(url, CARDS)
        requests = messages.receipts(TRANSACTIONS, HOST, cards, "C0FFEE01")
        bodies = [request.partition(b"\r\n\r\n")[2] for request in itertools.islice(requests, RECEIPTS)]
        asked = stranger_knocks_until_all_workers_have_answered(port, scratch, workers)
        found = samples(ask(port, "/metrics")[1])
        assert total(found, "tillgate_requests_total", link=seed.LINK, outcome="bad_credentials") == asked
        assert wait_until(lambda: total(samples(ask(port, "/metrics")[1]), *WRITTEN) == asked)
        till = Till(port)
        till.send_all(bodies, server, STOP_AFTER)
        assert server.wait(PATIENCE_SECONDS) == 0
        said = log.read_text()
        with pytest.raises(ProcessLookupError):
            os.killpg(server.pid, 0)
    assert till.refused == []
    assert STOP_AFTER <= len(till.answers) < RECEIPTS, "nothing was interrupted"
    database = Database(url)
    booked = {int(number) - 100_000 for (number,) in rows(database, "SELECT number FROM receipt")}
    assert booked == set(till.answers), "booked, but not answered; or the other way round"
    kept = [row for row in logged(database, environ, url) if row.outcome == "ok"]
    assert {row.request.body for row in kept} == {bodies[place] for place in till.answers}
    assert {row.answer for row in kept} == set(till.answers.values())
    assert len(kept) == len(till.answers)
    check_laws(database)
    assert [(check.name, check.rows) for check in verify(database) if check.rows] == []
    database.dispose()
    assert list(scratch.iterdir()) == [], "the server has left files behind"
    assert seed.SECRET not in said and WRONG not in said
    assert "Traceback" not in said
