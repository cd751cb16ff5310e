"""What Prometheus sees. With several processes each writes to files of its own."""

from __future__ import annotations

import os
from functools import lru_cache

from prometheus_client import REGISTRY as DEFAULT_REGISTRY
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
)

from gateway.environment import METRICS

LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

requests = Counter("tillgate_requests", "Messages of tills by what came of them", ["link", "outcome"])
latency = Histogram("tillgate_request_seconds", "From the message to its answer", ["link"], buckets=LATENCY_BUCKETS)
batch_size = Histogram("tillgate_batch_size", "Asks that travelled together", ["kind"], buckets=SIZE_BUCKETS)
batch_seconds = Histogram("tillgate_batch_seconds", "Duration of a batch", ["kind"], buckets=LATENCY_BUCKETS)
lock_seconds = Histogram(
    "tillgate_lock_seconds", "From a batch's begin until it holds its keys and accounts", buckets=LATENCY_BUCKETS
)
refusals = Counter("tillgate_refusals", "Refusals by code", ["code"])
repeats = Counter("tillgate_batch_repeats", "Batches tried again after a conflict")
log_rows = Counter(
    "tillgate_exchange_log_rows",
    "Exchange log: written, dropped because the buffer was full, failed to be written",
    ["state"],
)
chores = Counter("tillgate_chores", "What recurring work has dealt with", ["chore"])
chore_failures = Counter("tillgate_chore_failures", "Bites of recurring work that failed", ["chore"])
chore_seconds = Histogram("tillgate_chore_seconds", "A chore's part of a round", ["chore"], buckets=LATENCY_BUCKETS)
deliveries = Counter("tillgate_deliveries", "Attempts to deliver by what came of them", ["link", "outcome"])
delivered = Counter("tillgate_delivered_messages", "Messages of the outbox that were delivered", ["link"])


@lru_cache(maxsize=10_000)
def link_request(link: str, outcome: str) -> Counter:
    """The counter's child, kept: looking it up costs more than counting."""
    return requests.labels(link, outcome)


@lru_cache(maxsize=1_000)
def link_latency(link: str) -> Histogram:
    return latency.labels(link)


@lru_cache(maxsize=200)
def refusal(code: str) -> Counter:
    return refusals.labels(code)


def observe_batch(kind: str, size: int, seconds: float) -> None:
    batch_size.labels(kind).observe(size)
    batch_seconds.labels(kind).observe(seconds)


def exposition() -> bytes:
    """The text that Prometheus scrapes, of all processes together."""
    if METRICS not in os.environ:
        return generate_latest(DEFAULT_REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
