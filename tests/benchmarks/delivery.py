"""How many messages of the outbox per second reach a local HTTP sink, next to what Dramatiq on Redis does with no-ops.

``python tests/benchmarks/delivery.py --json`` starts PostgreSQL and Redis, fills queues of some links, drains them with
one worker process through the real delivery, transport and webhook adapter, and counts what the sink has got. It drains
again beside a million delivered rows, with a long report open beside (an old snapshot keeps every dead row), and with
10,000 more links, a tenth of which have messages and a far side that is away; and with links whose far sides have just
fallen silent: somebody takes the connection and never answers. Dramatiq gets as many no-op messages, one
worker process too. pgbench's TPC-B tells the machine. Needs redis-server and dramatiq[redis].

The exit code is 1 when the sink has not got each message once and in order.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent), str(HERE.parent)]

import postgres  # noqa: E402
import receipts  # noqa: E402
from sqlalchemy import text  # noqa: E402

from processing.database import Database  # noqa: E402
from processing.events import Stamps  # noqa: E402
from processing.migrate import upgrade  # noqa: E402
from tests.faulty_line import Sink  # noqa: E402
from tests.processing.books import Books  # noqa: E402

WORKER = HERE.parent / "scenarios" / "delivery_worker.py"
PATIENCE_SECONDS = 120.0
DELIVERED_ROWS = 1_000_000
AWAY_LINKS, AWAY_PART = 10_000, 10
SILENT_LINKS = 100
BODY = '{"operation":"1042","operation_kind":"receipt","store":"alpha-1","movements":[{"account":17,"amount":"30.00"}]}'

FILL = """
INSERT INTO outbox_message (id, link, kind, body, state, at, attempts, done_at)
SELECT :first + n, 'link-' || (n % :links), 'operation_posted', CAST(:body AS JSON), :state, now(), 0, NULL
FROM generate_series(1, :count) n
"""


def fill(database: Database, links: int, count: int, state: str = "pending") -> None:
    """So many messages, spread over the links."""
    with database.transaction() as connection:
        first = Stamps().take(database.now(connection))
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        told = {"first": first, "links": links, "count": count, "body": BODY, "state": state}
        connection.execute(text(FILL), told)
    with database.reading() as connection:
        connection.exec_driver_sql("ANALYZE outbox_message")


def pending(database: Database, links: int) -> int:
    """How many messages wait for these links."""
    asked = text("SELECT count(*) FROM outbox_message WHERE state = 'pending' AND link = ANY (:links)")
    with database.reading() as connection:
        return int(connection.execute(asked, {"links": [f"link-{n}" for n in range(links)]}).scalar() or 0)


def fill_away(database: Database, links: int, away: int, part: int = AWAY_PART) -> None:
    """A message for each tenth, or another part, of the links that are away."""
    rows = [{"n": n, "link": f"link-{links + n}", "body": BODY} for n in range(0, away, part)]
    statement = """
        INSERT INTO outbox_message (id, link, kind, body, state, at, attempts)
        VALUES (:n, :link, 'operation_posted', CAST(:body AS JSON), 'pending', now(), 0)
    """
    with database.transaction() as connection:
        connection.execute(text(statement), rows)


@contextmanager
def worker(
    database: Database, port: int, links: int, batch: int, away: int, silent: int | None = None
) -> Iterator[None]:
    """``silent``: the port where the far sides of those that are away take connections and never answer."""
    url = database.url.render_as_string(hide_password=False)
    told = [url, port, links, batch, away, *([silent] if silent else [])]
    process = subprocess.Popen([sys.executable, str(WORKER), *map(str, told)], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def drain(database: Database, given: argparse.Namespace, sink: Sink, away: int = 0, silent: int | None = None) -> float:
    """Messages per second from the first that the sink has got until none waits."""
    before = sum(map(len, sink.got.values()))
    with database.transaction() as connection:
        # A worker of the round before may have held some.
        connection.execute(text("UPDATE outbox_lane SET lease_until = NULL"))
    with worker(database, sink.address[1], given.links, given.batch, away, silent):
        until = time.monotonic() + PATIENCE_SECONDS
        while sum(map(len, sink.got.values())) == before and time.monotonic() < until:
            time.sleep(0.001)
        began = time.monotonic()
        while pending(database, given.links) and time.monotonic() < until:
            time.sleep(0.02)
        took = time.monotonic() - began
    return given.messages / took


@contextmanager
def long_report(database: Database) -> Iterator[None]:
    """A snapshot that stays open: nothing that dies after it can be cleaned away."""
    with database.reader.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(text("SELECT count(*) FROM outbox_lane")).scalar()
        yield
        connection.rollback()


def is_in_order(database: Database, sink: Sink) -> bool:
    """Whether the sink has got each delivered message of the run once, and each link's in order."""
    for path, got in sink.got.items():
        numbers = [int(each.removeprefix("evt_")) for each in got]
        if numbers != sorted(set(numbers)):
            print(f"{path}: not once and in order", file=sys.stderr)
            return False
    return True


DRAMATIQ = """
import dramatiq, sys, time
from dramatiq.brokers.redis import RedisBroker
broker = RedisBroker(port=int(sys.argv[1]))
dramatiq.set_broker(broker)
@dramatiq.actor
def nothing(n):
    pass
count = int(sys.argv[2])
for n in range(count):
    nothing.send(n)
worker = dramatiq.Worker(broker, worker_threads=8)
began = time.monotonic()
worker.start()
broker.join("default")
took = time.monotonic() - began
worker.stop()
print(count / took)
"""


def dramatiq_per_second(count: int) -> float:
    """No-op messages per second of one Dramatiq worker process on a Redis of its own."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        redis = subprocess.Popen(
            [shutil.which("redis-server") or "redis-server", "--port", str(port), "--dir", folder, "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        try:
            time.sleep(1)
            done = subprocess.run(
                [sys.executable, "-c", DRAMATIQ, str(port), str(count)], capture_output=True, text=True, check=True
            )
            return float(done.stdout.strip().splitlines()[-1])
        finally:
            redis.terminate()
            redis.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tps(server: postgres.Server, seconds: int) -> float:
    """TPC-B as the receipts benchmark runs it."""
    receipts.pgbench(server, "-i", "-q", "-s", str(receipts.SCALE), create=True)
    return receipts.tpcb(SimpleNamespace(database=server, given=SimpleNamespace(seconds=seconds)))  # type: ignore[arg-type]


def measure(given: argparse.Namespace) -> dict[str, Any]:
    with postgres.server(receipts.DURABLE) as server:
        database = Database(server.create_database("delivery"))
        upgrade(database)
        Books.of(database, None)
        sink = Sink()
        told: dict[str, Any] = {"messages": given.messages, "links": given.links, "batch": given.batch}

        def rate(name: str, away: int = 0, silent: int | None = None, rounds: int = given.rounds) -> None:
            found = []
            for _ in range(rounds):
                fill(database, given.links, given.messages)
                found.append(drain(database, given, sink, away, silent))
            told[name] = round(statistics.median(found))
            print(name, told[name], file=sys.stderr)

        rate("warm_up")
        rate("jobs_per_s")
        fill(database, given.links, DELIVERED_ROWS, "delivered")
        rate("beside_a_million_per_s")
        with long_report(database):
            rate("during_a_report_per_s")
        # Nobody knows yet that they are silent: one round.
        fill_away(database, given.links, SILENT_LINKS, 1)
        with socket.create_server(("127.0.0.1", 0), backlog=2 * SILENT_LINKS) as silent:
            rate("with_links_silent_per_s", SILENT_LINKS, silent.getsockname()[1], 1)
        with database.transaction() as connection:
            connection.execute(text("DELETE FROM outbox_message WHERE state = 'pending'"))
        # Those that are away have one message each, and fail in the warm-up.
        fill_away(database, given.links, AWAY_LINKS)
        with worker(database, sink.address[1], given.links, given.batch, AWAY_LINKS):
            time.sleep(given.settle_seconds)
        rate("with_links_away_per_s", AWAY_LINKS)
        told["drain_per_s"] = told["jobs_per_s"]
        told["dramatiq_per_s"] = round(dramatiq_per_second(given.messages // 2))
        told["ratio"] = round(told["jobs_per_s"] / told["dramatiq_per_s"], 2)
        for name in ("beside_a_million", "during_a_report", "with_links_silent", "with_links_away"):
            told[f"{name}_slower"] = round(told["jobs_per_s"] / told[f"{name}_per_s"], 2)
        told["is_in_order"] = is_in_order(database, sink)
        told["pgbench_tps"] = round(tps(server, given.seconds))
        sink.close()
        database.dispose()
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--links", type=int, default=50)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settle-seconds", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    told = measure(given)
    print(json.dumps(told) if given.json else "\n".join(f"{name}: {value}" for name, value in told.items()))
    return 0 if told["is_in_order"] else 1


if __name__ == "__main__":
    os.environ.setdefault("TILLGATE_LOG", "warning")
    sys.exit(main())
