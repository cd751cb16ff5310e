"""What a YAML adapter costs beside its Python twin: bytes -> ask, and outcome -> bytes, for a look-up and a sale.

    python tests/benchmarks/yaml_adapter.py [--json]

The twins are the skeletons of ``tillgate adapter new``, which say the same to the same messages. Both take turns in one
process; the figure is CPU time, the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from adapters.contract import Adapter, Link, WireRequest
from adapters.declarative import build
from adapters.testing.driver import CannedCore, converse
from gateway.skeletons import CARD, IDENTIFIED, POSTED, PYTHON, SALE, YAML
from processing.commands import Identify, PostReceipt
from processing.results import Identified, ReceiptPosted

ROUNDS, MESSAGES = 15, 1_000
AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
CASES: dict[str, tuple[dict[str, Any], Any, type, type]] = {
    "card": (CARD, IDENTIFIED, Identified, Identify),
    "sale": (SALE, POSTED, ReceiptPosted, PostReceipt),
}


def twins() -> dict[str, Adapter]:
    space: dict[str, Any] = {"__name__": "twin"}
    exec(compile(PYTHON.format(name="twin"), "twin", "exec"), space)
    return {"python": space["ADAPTER"], "yaml": build(yaml.load(YAML.format(name="twin"), yaml.BaseLoader)).adapter}


def seconds(adapter: Adapter, case: str) -> float:
    """CPU seconds of a message, from bytes to bytes before a core that answers at once."""
    import msgspec

    body, told, result, ask = CASES[case]
    link = Link("l", "bistro", ZoneInfo("Europe/Moscow"), adapter.options().load({}))
    request = WireRequest("POST", case, "", {}, json.dumps(body).encode(), "1", AT)
    core = CannedCore([msgspec.convert({k: v for k, v in told.items() if k != "type"}, result, strict=False)])
    assert isinstance(converse(adapter, request, link, core).asks[0], ask)
    begun = time.process_time()
    for _ in range(MESSAGES):
        converse(adapter, request, link, core)
    return (time.process_time() - begun) / MESSAGES


def main() -> None:
    parser = argparse.ArgumentParser(description="the cost of a YAML adapter beside its Python twin")
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    adapters = twins()
    told: dict[str, float] = {}
    for case in CASES:
        taken: dict[str, list[float]] = {name: [] for name in adapters}
        for n in range(ROUNDS):
            for name in sorted(adapters, reverse=bool(n % 2)):
                taken[name].append(seconds(adapters[name], case))
        us = {name: statistics.median(each) * 1e6 for name, each in taken.items()}
        told |= {f"{case}_{name}_us": round(value, 1) for name, value in us.items()}
        told[f"{case}_ratio"] = round(us["yaml"] / us["python"], 2)
    if as_json:
        print(json.dumps(told))
    else:
        for name, value in told.items():
            print(f"{name:20} {value}")


if __name__ == "__main__":
    main()
