"""How many receipts of an ATOL report per second come into the books, next to what PostgreSQL itself does here.

``python tests/benchmarks/frontol_import.py --json`` starts PostgreSQL, seeds cards, writes report files and runs
``tillgate frontol import`` on them, between two runs of pgbench's TPC-B; the median of the trials counts. The time is
the command's own, from the first byte to the last commit; its start (imports, processes) is told apart. Then it reads
a large file (500 MB; ``--megabytes``, ``--short`` is 20) and tells the greatest memory of the command: of these
documents one in ``--new-in`` is booked, the others were cancelled at the till.

Every receipt is counted in the books: the exit code is 1 when one is missing or there twice.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
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
SAMPLE_SECONDS = 0.2
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


def imported(
    environment: dict[str, str], config: Path, url: str, file: Path, count: int
) -> tuple[float, float, dict[str, Any]]:
    """Seconds, greatest memory in MB, and the summary of one run of the command."""
    command = [sys.executable, "-c", "from gateway.cli import run; run()", "frontol", "import", LINK, str(file)]
    command += ["--json", "--processes", str(count), "--config", str(config), "--database-url", url]
    began, peak = time.perf_counter(), 0.0
    with (
        tempfile.TemporaryFile() as out,
        subprocess.Popen(command, stdout=out, env={**os.environ, **environment}) as process,
    ):
        while process.poll() is None:
            peak = max(peak, sum(map(_own_mb, processes.family(process.pid))))
            time.sleep(SAMPLE_SECONDS)
        took = time.perf_counter() - began
        out.seek(0)
        told = out.read()
    if process.returncode:
        raise SystemExit(f"the import ended with {process.returncode}: {told.decode()[:500]}")
    return took, peak, json.loads(told)


def _own_mb(pid: int) -> float:
    """A process's proportional part of memory: pages that forks share are counted once."""
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    return sum(int(line.split()[1]) for line in told.splitlines() if line.startswith("Pss:")) / 1024


def tps(server: postgres.Server, seconds: int) -> float:
    return receipts.tpcb(SimpleNamespace(database=server, given=SimpleNamespace(seconds=seconds)))  # type: ignore[arg-type]


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
        till, first = Till(), 0
        trials, failures = [], []

        def run(file: Path, new: int, count: int) -> tuple[float, float, float]:
            before = receipts.receipt_rows(url)
            seconds, memory, summary = imported(environment, config, url, file, count)
            booked = receipts.receipt_rows(url) - before
            if not new == booked == summary["posted"]:
                failures.append(f"{file.name}: {new} new, {summary['posted']} posted, {booked} in the books")
            file.unlink()
            return summary["seconds"], seconds - summary["seconds"], memory

        for n in range(given.trials + 1):
            count = given.receipts if n else given.receipts // 10  # the first one warms up
            lines = report(home / f"{n}.txt", till, documents(first, count, given.cards))
            first += count
            before = tps(server, given.seconds)
            seconds, start, _ = run(home / f"{n}.txt", count, given.processes)
            per_s, around = count / seconds, (before + tps(server, given.seconds)) / 2
            print(f"{count} receipts of {lines} lines: {per_s:.0f}/s, TPC-B {around:.0f}/s", file=sys.stderr)
            trials.append((per_s, around))
        new = large(home / "large.txt", till, first, given.megabytes, given.new_in, given.cards)
        size = (home / "large.txt").stat().st_size
        print(f"{size // MEGABYTE} MB, {new} receipts in it are new", file=sys.stderr)
        seconds, _, memory = run(home / "large.txt", new, 1)
    measured = trials[1:]
    return {
        "operations_per_s": round(statistics.median(rate for rate, _ in measured), 1),
        "pgbench_tps": round(statistics.median(around for _, around in measured), 1),
        "ratio": round(statistics.median(rate / around for rate, around in measured), 3),
        "ratios": [round(rate / around, 3) for rate, around in measured],
        "start_seconds": round(start, 1),
        "report_mb": size // MEGABYTE,
        "report_seconds": round(seconds, 1),
        "report_peak_mb": round(memory, 1),
        "failures": failures,
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
