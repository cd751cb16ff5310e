"""The worker: what is due by itself, done again and again in small bites.

Any number of workers may run at once: a bite takes only rows that nobody else holds. A chore that fails does not
stop the others; while the database is away the worker waits, longer each time.
"""

from __future__ import annotations

import hashlib
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.util import Finalize
from zoneinfo import ZoneInfo

import structlog

from adapters.contract import Adapter, Link
from gateway import alerts, exchange_log, inbox, metrics
from gateway.app import Parts
from gateway.delivery import Delivery
from gateway.erasure import forget_people
from gateway.far_side import WEB, FarSide
from gateway.settings import Settings
from gateway.talks import Outgoing
from gateway.transport import FarTransport
from processing import retention, steering
from processing.chores import CHORES
from processing.database import is_retryable, sqlstate, trace
from processing.errors import Busy

# Of one chore in one round. What is left over then waits for the others, and not for the whole interval.
MAX_BITES = 100
BITE_PAUSE_SECONDS = 0.01
BACKLOG_PAUSE_SECONDS = 1.0
# Several workers that were started at once shall not come at once for ever.
JITTER = 0.2
MAX_OUTAGE_SECONDS = 300.0
# How soon a stop is noticed between rounds.
LOOK_SECONDS = 0.2
STOP_SECONDS = 5.0

EXCHANGE_LOG, CODES, HOLDS, PEOPLE = "exchange_log", "confirmation_codes", "ended_holds", "erased_people"
SIGN_INS, OUTBOX, ALERTS, LEARNED = "sign_ins", "outbox", "alerts", "learned_receipts"
OUTBOX_BITE = 1_000

Chore = Callable[[], int]

log = structlog.get_logger()


def chores_of(own: Parts) -> dict[str, Chore]:
    """Every chore by name: those of the books, then what is thrown away in time."""
    gateway, database = own.settings.gateway, own.database
    chores: dict[str, Chore] = {name: partial(chore, own.core) for name, chore in CHORES.items()}
    chores[EXCHANGE_LOG] = partial(_prune_exchange_log, own)
    chores[CODES] = partial(retention.prune_codes, database, gateway.retention.confirmation_code_days)
    chores[HOLDS] = partial(retention.prune_holds, database, gateway.retention.hold_days)
    chores[LEARNED] = partial(retention.prune_learned_receipts, database, gateway.retention.learned_receipt_days)
    chores[SIGN_INS] = partial(retention.prune_sign_ins, database)
    chores[PEOPLE] = partial(forget_people, own)
    chores[OUTBOX] = partial(_forget_messages, own)
    work = own.core.work
    chores[ALERTS] = partial(alerts.watch, database, gateway.alerts, work.subscriptions, work.stamps)
    return chores


def _prune_exchange_log(own: Parts) -> int:
    with own.database.transaction() as connection:
        return exchange_log.prune(connection, own.settings.gateway.exchange_log, datetime.now(UTC))


def _forget_messages(own: Parts) -> int:
    with own.database.transaction() as connection:
        before = own.database.now(connection) - timedelta(days=own.settings.gateway.retention.outbox_days)
        return steering.forget(connection, before, OUTBOX_BITE)


def delivery_of(own: Parts, is_stopped: Callable[[], bool]) -> Delivery:
    """What delivers the outbox to the links that speak to somebody, and into the books what others have said."""
    told = own.core.work.subscriptions
    links = {**outgoing(own.settings), **inbox.lanes(own.settings, own.vault)}
    return Delivery(own.core, own.vault, links, told, is_stopped)


def outgoing(settings: Settings) -> dict[str, Outgoing]:
    """The links that speak to a far side, by code."""
    zones = {store.code: ZoneInfo(store.zone) for store in settings.chain.stores}
    found = {}
    for link in settings.links.values():
        adapter = settings.adapter_of(link)
        if link.enabled and link.far_side is not None and (adapter.push or adapter.pull or adapter.files):
            own = Link(link.code, link.store, zones[link.store], link.options)
            transport = partial(transport_of, link.far_side, link.code)
            has_folder = link.far_side.scheme not in WEB
            secrets = link.far_side.secrets
            login = login_of(link.far_side, adapter)
            found[link.code] = Outgoing(own, adapter, link.delivery, secrets, transport, has_folder, login)
    return found


def login_of(far_side: FarSide, adapter: Adapter) -> str:
    """What the links of one login have in common, as a digest; empty where the far side does not count calls."""
    if adapter.pace is None:
        return ""
    told = [far_side.secrets.get(name, "") for name in sorted(adapter.pace.secrets)]
    return hashlib.sha256("\0".join((adapter.name, far_side.address, *told)).encode()).hexdigest()


def transport_of(far_side: FarSide, link: str, again: bool) -> FarTransport:
    """What does the calls of a link; without ``again`` a line that breaks is not tried again within a call."""
    return FarTransport(far_side if again else replace(far_side, tries=1), link)


def worker_of(own: Parts, is_stopped: Callable[[], bool]) -> Worker:
    """The worker of these parts; it looks for the database before each round."""

    def look() -> None:
        try:
            with own.database.reading() as connection:
                own.database.now(connection)
        except Exception:
            own.database.dispose()  # what lies in the pools is dead as well
            raise

    return Worker(chores_of(own), own.settings.gateway.worker.interval_seconds, look, is_stopped)


@dataclass
class Worker:
    """Runs chores until it is stopped. ``look`` raises while the database is away."""

    chores: Mapping[str, Chore]
    interval_seconds: float
    look: Callable[[], None]
    is_stopped: Callable[[], bool]
    failed: set[str] = field(default_factory=set)
    has_more: bool = False

    def __post_init__(self) -> None:
        for name in self.chores:  # so that a counter that was never moved is seen as 0
            metrics.chores.labels(name)
            metrics.chore_failures.labels(name)
            metrics.chore_seconds.labels(name)

    def run(self) -> None:
        """Round after round, until stopped; a bite that has begun is finished."""
        outages = 0
        while not self.is_stopped():
            wait = self.interval_seconds
            try:
                self.look()
                outages = 0
            except Exception as error:
                outages += 1
                wait = min(self.interval_seconds * 2**outages, MAX_OUTAGE_SECONDS)
                log.warning("worker_waits", reason=sqlstate(error), seconds=wait)
            if not outages:
                self.run_once()
                wait = min(wait, BACKLOG_PAUSE_SECONDS) if self.has_more else wait
            self._pause(wait * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311  # spreads workers

    def run_once(self) -> dict[str, int]:
        """One round: how much each chore has done. ``failed`` and ``has_more`` tell the rest of it."""
        started = time.monotonic()
        self.failed.clear()
        self.has_more = False
        done: dict[str, int] = {}
        for name, chore in self.chores.items():
            if self.is_stopped():
                break
            began = time.monotonic()
            done[name] = self._repeat(name, chore)
            metrics.chore_seconds.labels(name).observe(time.monotonic() - began)
        took = round(time.monotonic() - started, 3)
        log.info("worker_round", seconds=took, done=done, failed=sorted(self.failed), has_more=self.has_more)
        return done

    def _repeat(self, name: str, chore: Chore) -> int:
        """Bite after bite, until there is nothing to do; how much was done."""
        total = 0
        for bite in range(MAX_BITES):
            if self.is_stopped():
                return total
            if bite:
                time.sleep(BITE_PAUSE_SECONDS)
            try:
                count = chore()
            except Exception as error:
                self.failed.add(name)
                metrics.chore_failures.labels(name).inc()
                where = "" if isinstance(error, Busy) or is_retryable(error) else trace(error)
                log.warning("chore_failed", chore=name, reason=sqlstate(error), trace=where)
                return total
            if not count:
                return total
            total += count
            metrics.chores.labels(name).inc(count)
        self.has_more = True
        return total

    def _pause(self, seconds: float) -> None:
        """Sleep in short pieces: a signal's handler may only set a flag, and wakes nobody."""
        until = time.monotonic() + seconds
        while not self.is_stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))


def stopped_by_signals() -> Callable[[], bool]:
    """Whether this process was told to end, by SIGTERM or SIGINT."""
    told: list[int] = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _: told.append(number))
    return lambda: bool(told)


def start_thread(own: Parts) -> None:
    """The worker as a thread of this process: on SQLite, where one process serves. It ends before the process does."""
    stop = threading.Event()
    runs = {"worker": worker_of(own, stop.is_set).run, "delivery": delivery_of(own, stop.is_set).run}
    threads = [threading.Thread(target=run, name=name, daemon=True) for name, run in runs.items()]

    def end() -> None:
        stop.set()
        for thread in threads:
            thread.join(STOP_SECONDS)

    Finalize(None, end, exitpriority=20)
    for thread in threads:
        thread.start()


def run_both(own: Parts, is_stopped: Callable[[], bool]) -> None:
    """Recurring work and delivery, each in its thread, until stopped; what is under way is finished first."""
    delivery = threading.Thread(target=delivery_of(own, is_stopped).run, name="delivery", daemon=True)
    delivery.start()
    worker_of(own, is_stopped).run()
    delivery.join(STOP_SECONDS)
