"""What booking a receipt costs in processor instructions, next to another commit: no noise, whatever else runs.

``python tests/benchmarks/instructions.py 0e5e28e --batch 16`` books batches of receipts on PostgreSQL under
valgrind's callgrind (Debian's ``valgrind`` and ``gcc``), which counts only what our own process does inside
``Core.execute`` or another function (``--inside``), first at that commit and then here. Instructions are not time: a
cache miss costs as much as a hundred of them. But they tell which of two ways is shorter, to a tenth of a percent.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "tests")]

import postgres  # noqa: E402

RECEIPTS, CARDS = 640, 4_000
SWITCH = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; }
void end(void) { CALLGRIND_STOP_INSTRUMENTATION; }
void toggle(void) { CALLGRIND_TOGGLE_COLLECT; }
"""
# Run in the other tree as well, which does not know this file.
BOOKED = """
import ctypes, functools, importlib, os, sys, tempfile
from datetime import UTC, datetime
from pathlib import Path
root, url, library, inside, batch, count, cards = sys.argv[1:]
sys.path[:0] = [root + "/tests/benchmarks", root, root + "/tests"]
import seed
from gateway import app, settings
from processing.commands import Amount, CardUse, Line, PostReceipt, Receipt, Ref
from processing.database import Database

home = Path(tempfile.mkdtemp(prefix="tillgate-bench-"))
os.environ |= seed.write_config(home)
loaded, database = settings.load(home, os.environ), Database(url)
app.prepare(loaded, database)
seed.seed(url, int(cards))
core = app.parts(loaded, database, os.environ).core
try:  # as the process does that books
    importlib.import_module("gateway.collector").settle()
except ModuleNotFoundError:
    pass
at = datetime.now(UTC).replace(microsecond=0)

def receipt(run, n):
    lines = tuple(Line(number=k, goods=f"g{k}", name="Dish", price_minor=10_000 + k, sum_minor=10_000 + k,
                       quantity_thousandths=1_000) for k in range(1, 5))
    card = str(seed.FIRST_NUMBER + n * 7919 % int(cards))
    paid = (Amount(unit=seed.POINTS, amount=100),) if n % 5 == 0 else ()
    return PostReceipt(store=seed.STORE, keys=(f"{run}:{n}",), content=f"{n:064x}", stamp=at,
        receipt=Receipt(number=str(n), till="1", business_date=at.date(), total_minor=40_010, lines=lines),
        cards=(CardUse(refs=(Ref("card", card),), redeem=paid),))

def book(run):
    asked = [receipt(run, n) for n in range(int(count))]
    for start in range(0, len(asked), int(batch)):
        for outcome in core.execute(asked[start:start + int(batch)]):
            assert outcome.operation_id, outcome

book("warm"), book("warmer")
switch = ctypes.CDLL(library)
*where, name = inside.split(".")
owner = importlib.import_module(".".join(where[:-1] if where[-1][0].isupper() else where))
owner = getattr(owner, where[-1]) if where[-1][0].isupper() else owner
function = getattr(owner, name)

@functools.wraps(function)
def counted(*given, **named):
    switch.toggle()
    try:
        return function(*given, **named)
    finally:
        switch.toggle()

setattr(owner, name, counted)
switch.begin()
book("counted")
switch.end()
os._exit(0)
"""


def instructions(root: Path, url: str, library: Path, given: argparse.Namespace) -> float:
    """A receipt's, in thousands."""
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no"]
    command += ["--callgrind-out-file=/dev/null", sys.executable, "-c", BOOKED, str(root), url, str(library)]
    command += [given.inside, str(given.batch), str(RECEIPTS), str(CARDS)]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"{root}: {done.stderr[-2_000:]}")
    return round(int(found[1]) / RECEIPTS / 1_000, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="what to compare with")
    parser.add_argument("--batch", type=int, default=16, help="receipts that are booked together")
    parser.add_argument("--inside", default="processing.execute.Core.execute", help="a function: module.name")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tillgate-bench-") as folder, postgres.server() as server:
        theirs, source, library = Path(folder, "theirs"), Path(folder, "switch.c"), Path(folder, "switch.so")
        theirs.mkdir()
        tree = subprocess.run(["git", "archive", given.commit], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(theirs)], input=tree, check=True)
        source.write_text(SWITCH)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        counts = [
            instructions(root, server.create_database(name), library, given)
            for name, root in (("theirs", theirs), ("ours", ROOT))
        ]
    told = {"inside": given.inside, "batch": given.batch, "theirs_k": counts[0], "ours_k": counts[1]}
    print(json.dumps({**told, "ratio": round(counts[1] / counts[0], 3)}))


if __name__ == "__main__":
    main()
