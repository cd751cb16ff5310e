"""The worker: rounds of small bites, beside others, through failures and outages, until it is told to stop."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from sqlalchemy import insert

from gateway import app, worker
from gateway.app import Parts
from gateway.settings import load
from gateway.worker import BACKLOG_PAUSE_SECONDS, EXCHANGE_LOG, JITTER, MAX_BITES, MAX_OUTAGE_SECONDS, Worker, worker_of
from processing.database import Database
from processing.tables import exchange_log
from tests.conftest import Migrated
from tests.postgres import Server, libpq
from tests.processing.books import rows
from tests.served import PATIENCE_SECONDS, program, serving, surroundings, tillgate

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import seed

OLD_ROWS = 25


class Stop:
    """Says stop after so many questions."""

    def __init__(self, after: int = 1_000_000) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def backlog(count: int, bite: int = 1) -> Callable[[], int]:
    """A chore with so much to do."""
    left = [count]

    def chore() -> int:
        done = min(bite, left[0])
        left[0] -= done
        return done

    return chore


def of(is_stopped: Callable[[], bool] | None = None, **chores: Callable[[], int]) -> Worker:
    return Worker(chores, 30, lambda: None, is_stopped or Stop())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BITE_PAUSE_SECONDS", 0)


# A round ------------------------------------------------------------------------------------------------------


def test_chore_is_repeated_until_nothing_is_due() -> None:
    own = of(expire=backlog(25, 10), merge=backlog(0))
    assert own.run_once() == {"expire": 25, "merge": 0}
    assert (own.failed, own.has_more) == (set(), False)
    assert own.run_once() == {"expire": 0, "merge": 0}


def test_chore_with_a_long_backlog_lets_the_others_work() -> None:
    own = of(expire=backlog(MAX_BITES + 1), merge=backlog(3))
    assert own.run_once() == {"expire": MAX_BITES, "merge": 3}
    assert own.has_more
    assert own.run_once() == {"expire": 1, "merge": 0}
    assert not own.has_more


def test_chore_that_fails_does_not_stop_the_others() -> None:
    def broken() -> int:
        raise ValueError("a card number 5550001234")

    own = of(broken=broken, merge=backlog(3))
    assert own.run_once() == {"broken": 0, "merge": 3}
    assert own.failed == {"broken"}


def test_failure_is_logged_without_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its own stream: the module's logger keeps the one that it was first used with.
    written = io.StringIO()
    monkeypatch.setattr(worker, "log", structlog.wrap_logger(structlog.PrintLogger(written)))
    number = str(5_550_001_230 + 4)

    def broken() -> int:
        raise ValueError(f"a card number {number}")

    of(broken=broken).run_once()
    said = written.getvalue()
    assert "chore_failed" in said and "ValueError" in said and "in broken" in said
    assert number not in said


def test_stop_is_heard_between_bites_and_before_the_next_chore() -> None:
    # Asked before the first chore, and before each of its bites.
    own = of(Stop(after=3), expire=backlog(100), merge=backlog(100))
    assert own.run_once() == {"expire": 2}


# Rounds -------------------------------------------------------------------------------------------------------


def pauses(own: Worker, monkeypatch: pytest.MonkeyPatch, rounds: int) -> list[float]:
    """How long the worker wants to sleep after each of its first rounds."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        own.is_stopped = lambda: len(slept) >= rounds

    monkeypatch.setattr(own, "_pause", sleep)
    own.run()
    return slept


def about(seconds: float) -> Any:
    return pytest.approx(seconds, rel=JITTER)


def test_rounds_come_about_every_interval_and_never_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = pauses(of(), monkeypatch, 20)
    assert slept == [about(30)] * 20
    assert len(set(slept)) > 10


def test_backlog_is_worked_off_without_waiting_for_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = pauses(of(expire=backlog(MAX_BITES + 1)), monkeypatch, 2)
    assert slept == [about(BACKLOG_PAUSE_SECONDS), about(30)]


def test_waits_grow_while_the_database_is_away_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    away = iter([True] * 8 + [False])
    touched: list[int] = []

    def look() -> None:
        if next(away):
            raise OSError("no database")

    own = Worker({"expire": lambda: len(touched.append(1) or ())}, 30, look, Stop())  # type: ignore[func-returns-value]
    slept = pauses(own, monkeypatch, 9)
    assert slept[:3] == [about(60), about(120), about(240)]
    assert slept[3:8] == [about(MAX_OUTAGE_SECONDS)] * 5
    assert slept[8] == about(30)
    assert touched == [1], "a chore was tried although the database was away"


# On a database ------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    directory = tmp_path / "configs"
    seed.write_config(directory)
    (directory / "gateway.yaml").write_text("worker: {interval_seconds: 1}\nexchange_log: {keep_days: 1}\n")
    return directory


ENVIRON = {
    "TILLGATE_MASTER_KEY": "bTFtbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=",
    "TILLGATE_INDEX_KEY": "aTFpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWk=",
    "TILLGATE_LINK_BENCH": seed.SECRET,
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, migrated: Migrated) -> str:
    return migrated(request.param, tmp_path, "worked")


@pytest.fixture
def parts(config: Path, url: str) -> Iterator[Parts]:
    """A chain whose exchange log has old rows."""
    database = Database(url)
    settings = load(config, ENVIRON)
    app.prepare(settings, database)
    put_old_rows(database)
    yield app.parts(settings, database, ENVIRON)
    database.dispose()


def put_old_rows(database: Database) -> None:
    at = datetime.now(UTC) - timedelta(days=2)
    row = {"link": seed.LINK, "at": at, "request_id": "1", "route": "-", "outcome": "ok", "status": 200}
    row |= {"took_us": 1, "request": b"", "answer": b""}
    with database.transaction() as connection:
        connection.execute(insert(exchange_log), [row] * OLD_ROWS)


def logged(url: str) -> int:
    database = Database(url, must_exist=True)
    found: int = rows(database, "SELECT count(*) FROM exchange_log")[0][0]
    database.dispose()
    return found


def wait_until(is_so: Callable[[], bool]) -> bool:
    limit = time.monotonic() + PATIENCE_SECONDS
    while not is_so() and time.monotonic() < limit:
        time.sleep(0.05)
    return is_so()


def test_every_chore_is_known_by_name_and_runs_on_both_databases(parts: Parts) -> None:
    own = worker_of(parts, Stop())
    done = own.run_once()
    assert set(done) >= {"exchange_log", "confirmation_codes", "ended_holds"}
    assert own.failed == set()
    assert done[EXCHANGE_LOG] == OLD_ROWS
    assert logged(parts.database.url.render_as_string(hide_password=False)) == 0


def test_two_workers_at_once_do_everything_once(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.exchange_log.PRUNE_ROWS", 3)
    told: list[dict[str, int]] = []
    workers = [worker_of(parts, Stop()) for _ in range(2)]
    threads = [threading.Thread(target=lambda own=own: told.append(own.run_once())) for own in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert [own.failed for own in workers] == [set(), set()]
    assert logged(parts.database.url.render_as_string(hide_password=False)) == 0


def test_worker_goes_on_after_the_database_was_away(
    config: Path, postgres: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.drop_database("away")
    url = postgres.create_database("away")
    settings = load(config, ENVIRON)
    database = Database(url)
    app.prepare(settings, database)
    own = worker_of(app.parts(settings, database, ENVIRON), Stop())
    own.interval_seconds = 0.05
    monkeypatch.setattr(worker, "MAX_OUTAGE_SECONDS", 0.2)
    outages: Counter[str] = Counter()
    monkeypatch.setattr(worker.log, "warning", lambda event, **_: outages.update([event]))
    stop = threading.Event()
    own.is_stopped = stop.is_set
    thread = threading.Thread(target=own.run)
    thread.start()
    name = database.url.database
    with psycopg.connect(libpq(postgres.url), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        assert wait_until(lambda: outages["worker_waits"] >= 3)
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    other = Database(url)
    put_old_rows(other)
    other.dispose()
    assert wait_until(lambda: logged(url) == 0), "the worker did not come back"
    stop.set()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    database.dispose()
    postgres.drop_database("away")


# As it is run -------------------------------------------------------------------------------------------------


def test_once_is_one_round_with_its_counts(parts: Parts, config: Path, url: str) -> None:
    said = tillgate("work", "--once", "--config", config, "--database-url", url, **ENVIRON)
    assert said.returncode == 0, said.stderr
    assert f"exchange_log: {OLD_ROWS}\n" in said.stdout
    assert said.stderr.count("worker_round") == 1
    assert logged(url) == 0


def test_worker_that_is_told_to_stop_ends_in_order(parts: Parts, config: Path, url: str) -> None:
    command = [*program(), "work", "--config", str(config), "--database-url", url]
    process = subprocess.Popen(command, env=surroundings(ENVIRON), stderr=subprocess.PIPE)
    try:
        assert wait_until(lambda: logged(url) == 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()


COUNTED = re.compile(rb'tillgate_chores_total\{chore="exchange_log"\} (\d+)')


def test_silent_server_throws_away_too_and_counts_it_after_its_worker_has_died(config: Path, url: str) -> None:
    with serving(config, url, ENVIRON) as served:
        workers = workers_below(served.process.pid)
        assert len(workers) == (0 if url.startswith("sqlite") else 1)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        database = Database(url)
        put_old_rows(database)
        database.dispose()
        assert wait_until(lambda: logged(url) == 0), served.log.read_text()
        assert wait_until(lambda: sum(map(int, COUNTED.findall(served.get("/metrics")))) == OLD_ROWS)
        assert b'tillgate_chore_seconds_count{chore="ended_holds"}' in served.get("/metrics")
        assert served.stop() == 0
        assert "Traceback" not in served.log.read_text()
        assert workers_below(served.process.pid) == []


def test_worker_that_is_switched_off_does_nothing(config: Path, tmp_path: Path) -> None:
    (config / "gateway.yaml").write_text("worker: {enabled: false, interval_seconds: 1}\n")
    with serving(config, f"sqlite:///{tmp_path / 'worked.db'}", ENVIRON) as served:
        assert b"tillgate_chores_total{" not in served.get("/metrics")
        assert served.stop() == 0
        assert "worker_round" not in served.log.read_text()


def workers_below(parent: int) -> list[int]:
    """The worker processes that this one has started."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            status, command = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
        except OSError:
            continue
        is_ours = int(status.rpartition(")")[2].split()[1]) == parent
        if is_ours and b"gateway.worker_main" in command:
            found.append(int(folder.name))
    return found
