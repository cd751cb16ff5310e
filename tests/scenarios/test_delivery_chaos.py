"""A line that breaks in every way, and workers that are killed: everything is delivered, in order, and known by its id.

An event may come twice, when its answer was lost or its worker died; never under another id, and never before one that
was booked earlier and has not come yet.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from processing.events import OPERATION_POSTED, Subscription
from tests.faulty_line import LOST, Line, Sink
from tests.processing.books import Books, check_laws

WORKER = Path(__file__).with_name("delivery_worker.py")
PATIENCE_SECONDS = 120.0


@contextmanager
def far_side(seed: int) -> Iterator[tuple[Sink, Line]]:
    sink = Sink()
    line = Line(sink.address, random.Random(seed))
    try:
        yield sink, line
    finally:
        line.close()
        sink.close()


class Workers:
    """Worker processes that are killed and started again."""

    def __init__(self, url: str, line: Line, links: int, batch: int, count: int) -> None:
        self._command = [sys.executable, str(WORKER), url, str(line.port), str(links), str(batch)]
        self._running = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def kill_one(self, chance: random.Random) -> None:
        n = chance.randrange(len(self._running))
        self._running[n].kill()
        self._running[n].wait()
        self._running[n] = self._start()

    def stop(self) -> list[int]:
        """Tell all to end; their exit codes."""
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        try:
            return [process.wait(PATIENCE_SECONDS) for process in self._running]
        finally:
            for process in self._running:
                process.kill()


def waiting(books: Books) -> int:
    return books.rows("SELECT count(*) FROM outbox_message WHERE state = 'pending'")[0][0]


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until, "nobody is at work"
        time.sleep(0.02)


def trouble(books: Books, links: int, workers: int, rounds: int, batch: int, seed: int) -> None:
    """Rounds of operations, faults and kills; then what the far side has got."""
    books.run_live()
    told = tuple(Subscription(f"link-{n}", frozenset({OPERATION_POSTED})) for n in range(links))
    books.core.work = replace(books.core.work, subscriptions=told)
    chance = random.Random(seed)
    with far_side(seed) as (sink, line):
        running = Workers(books.url, line, links, batch, workers)
        try:
            for n in range(rounds):
                for _ in range(4):
                    books.card(points=100)
                line.is_down = n % 3 == 1
                # Somebody is at work by now; one that is killed while it loads shows nothing.
                calls = line.calls
                wait_until(lambda calls=calls: line.calls > calls)
                time.sleep(chance.uniform(0, 0.3))
                running.kill_one(chance)
            line.is_down = False
            wait_until(lambda: not waiting(books))
        finally:
            codes = running.stop()
    assert waiting(books) == 0
    assert codes == [0] * workers, "a stop is a clean one"
    assert line.met.get(LOST, 0) > 0
    for n in range(links):
        rows = books.rows("SELECT id FROM outbox_message WHERE link = :link ORDER BY id", link=f"link-{n}")
        got = sink.got[f"/link-{n}"]
        assert list(dict.fromkeys(got)) == [f"evt_{row[0]}" for row in rows]
    assert books.rows("SELECT DISTINCT state FROM outbox_message") == [("delivered",)]
    check_laws(books.database)


def test_everything_arrives_in_order_over_a_bad_line(books: Books) -> None:
    """One worker on SQLite, two on PostgreSQL."""
    trouble(books, links=6, workers=1 if books.database.is_sqlite else 2, rounds=4, batch=3, seed=os.getpid())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_fifty_links_over_bad_lines(postgresql: Books, seed: int) -> None:
    trouble(postgresql, links=50, workers=4, rounds=25, batch=5, seed=seed)
