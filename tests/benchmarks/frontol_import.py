"""How many receipts of an ATOL report per second come into the books, next to what PostgreSQL itself does here.

``python tests/benchmarks/frontol_import.py --json`` starts PostgreSQL, seeds cards, writes report files and runs
``tillgate frontol import`` on them, between two runs of pgbench's TPC-B; the median of the trials counts. The time is
the command's own, from the first byte to the last commit; its start (imports, processes) is told apart. Then it reads
a large file (500 MB; ``--megabytes``, ``--short`` is 20) and tells the greatest memory of the command: of these
documents one in ``--new-in`` is booked, the others were cancelled at the till.

``cpu_us`` is what a receipt costs of both cores together, by process: the one that reads, those that book and
PostgreSQL; and what a transaction of TPC-B does, its client included. The start of the command is not in it. On a busy
machine these figures move less than the rates.

Every receipt is counted in the books: the exit code is 1 when one is missing or there twice.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent), str(HERE.parent)]

import postgres  # noqa: E402
import processes  # noqa: E402
import receipts  # noqa: E402
import seed  # noqa: E402

from gateway import app, settings  # noqa: E402
from processing.database import Database  # noqa: E402
from tests.adapters.frontol.report_till import Doc, Sold, Till  # noqa: E402

LINK = "frontol"
LINK_FILE = f"""\
link: {LINK}
adapter: frontol
store: {seed.STORE}
credentials: {{addresses: [127.0.0.1/32]}}
options:
  reports: {{language: en, points: {{unit: {seed.POINTS}}}}}
"""
SHORT_MEGABYTES = 20
MEGABYTE = 1 << 20
# Looking must cost little: CPU is one line of a process, memory and who is there are many.
SAMPLE_SECONDS, LOOKS_A_SAMPLE_OF_MEMORY = 0.1, 8
# A day of a till, so that numbers and days look like those of a year.
A_DAY = 400
BEGIN = datetime(2026, 1, 1, 10, 0, 0)


def documents(first: int, count: int, cards: int, end: str = "55") -> Iterator[Doc]:
    """Receipts of two or three items with a card each, every third discounted."""
    for n in range(first, first + count):
        at = BEGIN + timedelta(days=n // A_DAY, seconds=90 * (n % A_DAY))
        off = 500 if n % 3 == 0 else 0
        items = (Sold("10021", 25_000, 2_000, off=off), Sold("10044", 10_000), Sold("10050", 8_990))
        card = str(seed.FIRST_NUMBER + n * 7919 % cards)
        yield Doc(n + 1, items[: 2 + n % 2], (card,), shift=n // A_DAY + 1, closed_at=at, end=end)


def report(path: Path, till: Till, docs: Iterator[Doc]) -> int:
    """Write a report; how many lines it has."""
    lines = 0
    with path.open("wb") as file:
        file.write(till.report([]))
        for doc in docs:
            told = till.document(doc)
            lines += len(told)
            file.write(till.report(told, head=()))
    return lines


def large(path: Path, till: Till, first: int, megabytes: int, new_in: int, cards: int) -> int:
    """A file of that size; how many of its documents are new. Cancelled ones are copied with other numbers."""
    new, n = 0, first
    with path.open("wb") as file:
        file.write(till.report([]))
        while file.tell() < megabytes * MEGABYTE:
            is_new = n % new_in == 0
            new += is_new
            (doc,) = documents(n, 1, cards, "55" if is_new else "56")
            file.write(till.report(till.document(doc), head=()))
            n += 1
    return new


READING, BOOKING, POSTGRES = "reading", "booking", "postgres"


@dataclass
class Watch:
    """A run of the command from outside: its greatest memory in MB, CPU seconds by what they went to at each look."""

    root: int
    postmaster: int
    peak_mb: float = 0.0
    looks: list[dict[str, float]] = field(default_factory=list)
    _children: set[int] = field(default_factory=set)
    _backends: list[int] = field(default_factory=list)

    def look(self) -> None:
        if len(self.looks) % LOOKS_A_SAMPLE_OF_MEMORY == 0:
            pids = processes.family(self.root)
            self.peak_mb = max(self.peak_mb, sum(map(_own_mb, pids)))
            self._children = set(pids) - {self.root}
            self._backends = processes.family(self.postmaster)
        self.looks.append(
            {
                "at": time.perf_counter(),
                READING: processes.cpu_seconds([self.root], 0),
                BOOKING: processes.cpu_seconds(self._children, 0),
                POSTGRES: processes.cpu_seconds(self._backends, self.postmaster),
            }
        )

    def spent(self, seconds: float) -> dict[str, float]:
        """CPU seconds in the last so many seconds before booking was over."""
        most = max(look[BOOKING] for look in self.looks)
        last = next(look for look in self.looks if look[BOOKING] == most)
        first = next(look for look in self.looks if look["at"] >= last["at"] - seconds)
        return {what: last[what] - first[what] for what in (READING, BOOKING, POSTGRES)}


@dataclass
class Run:
    """One run of the command: all of its seconds, and its own summary."""

    seconds: float
    watch: Watch
    summary: dict[str, Any]


def imported(environment: dict[str, str], config: Path, url: str, file: Path, count: int, postmaster: int) -> Run:
    command = [sys.executable, "-c", "from gateway.cli import run; run()", "frontol", "import", LINK, str(file)]
    command += ["--json", "--processes", str(count), "--config", str(config), "--database-url", url]
    began = time.perf_counter()
    with (
        tempfile.TemporaryFile() as out,
        subprocess.Popen(command, stdout=out, env={**os.environ, **environment}) as process,
    ):
        watch = Watch(process.pid, postmaster)
        while process.poll() is None:
            watch.look()
            time.sleep(SAMPLE_SECONDS)
        took = time.perf_counter() - began
        out.seek(0)
        told = out.read()
    if process.returncode:
        raise SystemExit(f"the import ended with {process.returncode}: {told.decode()[:500]}")
    return Run(took, watch, json.loads(told))


def _children_seconds() -> float:
    """CPU time of children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _own_mb(pid: int) -> float:
    """A process's proportional part of memory: pages that forks share are counted once."""
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    return sum(int(line.split()[1]) for line in told.splitlines() if line.startswith("Pss:")) / 1024


@dataclass
class Trial:
    """Receipts and TPC-B per second, CPU of one by what it went to, and how long the command took to start."""

    rate: float
    tps: float
    cpu_us: dict[str, float]
    start: float


@dataclass
class Bench:
    """What one measurement goes on: the books, the till's next numbers, what was wrong."""

    given: argparse.Namespace
    home: Path
    server: postgres.Server
    url: str
    environment: dict[str, str]
    till: Till = field(default_factory=Till)
    told: int = 0
    failures: list[str] = field(default_factory=list)

    def trial(self, count: int) -> Trial:
        """So many new receipts, between two runs of TPC-B."""
        file = self.home / "report.txt"
        lines = report(file, self.till, documents(self.told, count, self.given.cards))
        self.told += count
        (before, first), run, (after, second) = self._tps(), self._run(file, count), self._tps()
        seconds = run.summary["seconds"]
        per_s, around = count / seconds, (before + after) / 2
        print(f"{count} receipts of {lines} lines: {per_s:.0f}/s, TPC-B {around:.0f}/s", file=sys.stderr)
        spent = {what: cpu / count for what, cpu in run.watch.spent(seconds).items()}
        spent |= {"all": sum(spent.values()), "tpcb": (first + second) / 2}
        in_us = {what: round(cpu * 1_000_000, 1) for what, cpu in spent.items()}
        return Trial(per_s, around, in_us, run.seconds - seconds)

    def large(self) -> dict[str, Any]:
        file = self.home / "large.txt"
        new = large(file, self.till, self.told, self.given.megabytes, self.given.new_in, self.given.cards)
        size = file.stat().st_size
        print(f"{size // MEGABYTE} MB, {new} receipts in it are new", file=sys.stderr)
        run = self._run(file, new, 1)
        return {
            "report_mb": size // MEGABYTE,
            "report_seconds": round(run.summary["seconds"], 1),
            "report_peak_mb": round(run.watch.peak_mb, 1),
        }

    def _run(self, file: Path, new: int, count: int = 0) -> Run:
        """One run of the command on so many processes, checked in the books."""
        before, config, pid = receipts.receipt_rows(self.url), self.home / "configs", self.server.pid or 0
        run = imported(self.environment, config, self.url, file, count or self.given.processes, pid)
        booked = receipts.receipt_rows(self.url) - before
        if not new == booked == run.summary["posted"]:
            self.failures.append(f"{file.name}: {new} new, {run.summary['posted']} posted, {booked} in the books")
        file.unlink()
        return run

    def _tps(self) -> tuple[float, float]:
        """Transactions of TPC-B per second, and the CPU seconds of one with its client's part."""
        spent = self._postgres_seconds() + _children_seconds()
        rate = receipts.tpcb(SimpleNamespace(database=self.server, given=self.given))  # type: ignore[arg-type]
        spent = self._postgres_seconds() + _children_seconds() - spent
        return rate, spent / (rate * self.given.seconds)

    def _postgres_seconds(self) -> float:
        pid = self.server.pid
        return processes.cpu_seconds(processes.family(pid), pid) if pid is not None else 0.0


def measure(given: argparse.Namespace, home: Path) -> dict[str, Any]:
    config = home / "configs"
    environment = {**seed.write_config(config), "PYTHONPATH": str(HERE.parent.parent)}
    (config / "links" / f"{LINK}.yaml").write_text(LINK_FILE)
    with postgres.server(receipts.DURABLE) as server:
        url = server.create_database("books")
        prepared = Database(url)
        app.prepare(settings.load(config, environment, needs_secrets=False), prepared)
        prepared.dispose()
        seed.seed(url, given.cards)
        receipts.pgbench(server, "-i", "-q", "-s", str(receipts.SCALE), create=True)
        bench = Bench(given, home, server, url, environment)
        bench.trial(given.receipts // 10)  # warms up
        trials = [bench.trial(given.receipts) for _ in range(given.trials)]
        figures = bench.large()
    return {
        "operations_per_s": round(statistics.median(trial.rate for trial in trials), 1),
        "pgbench_tps": round(statistics.median(trial.tps for trial in trials), 1),
        "ratio": round(statistics.median(trial.rate / trial.tps for trial in trials), 3),
        "ratios": [round(trial.rate / trial.tps, 3) for trial in trials],
        "cpu_us": {what: statistics.median(trial.cpu_us[what] for trial in trials) for what in trials[0].cpu_us},
        "start_seconds": round(trials[-1].start, 1),
        **figures,
        "failures": bench.failures,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--receipts", type=int, default=20_000, help="in the file of each trial")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each run of TPC-B")
    parser.add_argument("--cards", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2, help="that book; the large file is read with one")
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--new-in", type=int, default=50)
    parser.add_argument("--short", action="store_true", help=f"a file of {SHORT_MEGABYTES} MB, one trial")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.short:
        given.megabytes, given.trials, given.receipts = SHORT_MEGABYTES, 1, 8_000
    with tempfile.TemporaryDirectory(prefix="tillgate-import-", dir=postgres.DISK) as home:
        told = measure(given, Path(home))
    print(json.dumps(told) if given.json else "\n".join(f"{name}: {value}" for name, value in told.items()))
    return 1 if told["failures"] else 0


if __name__ == "__main__":
    os.environ.setdefault("TILLGATE_LOG", "warning")
    sys.exit(main())
