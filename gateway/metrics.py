"""What Prometheus sees. With several processes each writes to files of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from prometheus_client import REGISTRY as DEFAULT_REGISTRY
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from gateway.environment import METRICS
from processing.steering import Queue

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
file_documents = Counter("tillgate_file_documents", "Documents of files by what came of them", ["link", "outcome"])
pull_notes = Counter("tillgate_pull_notes", "What pulls have told for operators to read", ["link"])
pull_refusals = Counter("tillgate_pull_refusals", "What pulls have told and the core refused", ["link", "code"])
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


def observe_exchange(link: str, outcome: str, refused: str, seconds: float) -> None:
    """One message of a link; ``refused`` is the code of its refusal, or empty."""
    link_request(link, outcome).inc()
    link_latency(link).observe(seconds)
    if refused:
        refusal(refused).inc()


def observe_batch(kind: str, size: int, seconds: float) -> None:
    batch_size.labels(kind).observe(size)
    batch_seconds.labels(kind).observe(seconds)


def exposition(queues: Iterable[Queue] = (), now: datetime | None = None) -> bytes:
    """The text that Prometheus scrapes, of all processes together; of queues as the database has them now."""
    return _counted() + _queues(queues, now)


def _counted() -> bytes:
    if METRICS not in os.environ:
        return generate_latest(DEFAULT_REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


BREAKERS = {"closed": 0, "half_open": 1, "open": 2}


def _queues(queues: Iterable[Queue], now: datetime | None) -> bytes:
    registry = CollectorRegistry()
    told = ["link", "way"]
    depth = Gauge("tillgate_queue_messages", "Messages that wait or are dead", [*told, "state"], registry=registry)
    age = Gauge("tillgate_queue_oldest_seconds", "Age of the oldest that waits", told, registry=registry)
    failures = Gauge("tillgate_queue_failures", "Failures in a row", told, registry=registry)
    breaker = Gauge("tillgate_queue_breaker", "0 closed, 1 half open, 2 open", told, registry=registry)
    paused = Gauge("tillgate_queue_paused", "Whether somebody has paused it", told, registry=registry)
    blocked = Gauge("tillgate_queue_blocked", "Whether it waits behind a dead message", told, registry=registry)
    for each in queues:
        place = each.link, each.way
        depth.labels(*place, "pending").set(each.pending)
        depth.labels(*place, "dead").set(each.dead)
        age.labels(*place).set((now - each.oldest_at).total_seconds() if now and each.oldest_at else 0)
        failures.labels(*place).set(each.failures)
        breaker.labels(*place).set(BREAKERS[each.breaker])
        paused.labels(*place).set(each.paused_until is not None)
        blocked.labels(*place).set(each.blocked_by is not None)
    return generate_latest(registry)
