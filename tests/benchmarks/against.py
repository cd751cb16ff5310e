"""How the receipts benchmark stands against another commit, measured in turns.

``python tests/benchmarks/against.py 0e5e28e --seconds 2 --turns 8 --rounds 6`` unpacks that commit, starts both
servers, each with a PostgreSQL of its own, and posts receipts to them in turns, so that whatever else the machine
does meets both. Servers that are started anew differ by some percent from themselves, hence several rounds.
Prints per round the medians and at last the median ratios, ours to theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FIGURES = ("receipts_per_s", "cpu_us_per_receipt", "database_cpu_us_per_receipt")

# Run in the other tree as well, which has its own receipts.py and does not know this file.
SERVED = """
import json, subprocess, sys, tempfile
from contextlib import ExitStack
from pathlib import Path
root = sys.argv.pop(1)
sys.path[:0] = [root + "/tests/benchmarks", root, root + "/tests"]
import postgres
import receipts
given = receipts.arguments()
given.rss_receipts = 1
home = Path(tempfile.mkdtemp(prefix="tillgate-bench-", dir=postgres.DISK))
with ExitStack() as stack:
    stack.callback(subprocess.run, ["rm", "-rf", "--", str(home)], check=False)
    database = stack.enter_context(postgres.server(receipts.DURABLE, None))
    url = database.create_database("books")
    with receipts.prepared(given, home, url, database) as bench:
        print("ready", flush=True)
        for line in sys.stdin:
            server, below = bench.server_cpu(), bench.database_cpu()
            run = bench.closed("receipts", float(line))
            server, below = bench.server_cpu() - server, bench.database_cpu() - below
            sent = max(1, run.sent)
            print(json.dumps([run.per_second, server * 1e6 / sent, below * 1e6 / sent]), flush=True)
        failures = bench.failures(receipts.receipt_rows(url))
        sys.exit("; ".join(failures) or 0)
"""


class Side:
    """One of the two: its servers, and what each turn measured."""

    def __init__(self, root: Path) -> None:
        self.turns: list[list[float]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVED, str(root)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def wait(self) -> None:
        self._read()

    def turn(self, seconds: float) -> list[float]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        measured: list[float] = json.loads(self._read())
        return measured

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a server ended before its time")
        return line

    def stop(self) -> None:
        """Errors: SystemExit when answers and rows differ: then the figures are worthless."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.wait(60):
            raise SystemExit("answers and rows differ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ref", help="the commit to compare with")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn")
    parser.add_argument("--turns", type=int, default=8, help="turns of each side in a round")
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tillgate-other-") as other:
        archive = subprocess.run(["git", "-C", ROOT, "archive", given.ref], check=True, capture_output=True).stdout
        subprocess.run(["tar", "x", "-C", other], input=archive, check=True)
        rounds = [_round(Path(other), n, given) for n in range(given.rounds)]
    for place, name in enumerate(FIGURES):
        print(f"{name}: {statistics.median(found[place] for found in rounds):.3f} of {given.ref}'s")


def _round(other: Path, number: int, given: argparse.Namespace) -> list[float]:
    """The ratios of the medians; who begins changes from round to round and from turn to turn."""
    roots = {"theirs": other, "ours": ROOT}
    names = sorted(roots, reverse=bool(number % 2))
    sides = {name: Side(roots[name]) for name in names}
    for side in sides.values():
        side.wait()
    for side in sides.values():
        side.turn(given.seconds)  # to get warm
    for turn in range(given.turns):
        for name in names if turn % 2 else reversed(names):
            sides[name].turns.append(sides[name].turn(given.seconds))
    for side in sides.values():
        side.stop()
    medians = {name: [statistics.median(column) for column in zip(*sides[name].turns, strict=True)] for name in names}
    ratios = [ours / theirs for ours, theirs in zip(medians["ours"], medians["theirs"], strict=True)]
    told = {name: [round(each) for each in medians[name]] for name in names}
    print(f"round {number + 1}: {told} ratios {[round(ratio, 3) for ratio in ratios]}", flush=True)
    return ratios


if __name__ == "__main__":
    main()
