"""Delivery: what waits in the outbox is said to the far sides, and what they have to say is asked for.

A worker claims lanes for some seconds, a thread each; a lane's messages go one batch after the other, in their order.
Whatever happens to the worker, the lane is free again when its lease is over, and what the worker did not complete is
done again by whoever comes next: far sides know a message that comes twice by its id.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
import structlog
import zstandard

from adapters.contract import (
    Adapter,
    Call,
    Calling,
    FileRead,
    FileReply,
    FileWrite,
    Found,
    HttpCall,
    HttpReply,
    Job,
    Link,
    Message,
    Reply,
    Session,
    SoapCall,
    SoapReply,
    must,
)
from gateway import metrics
from gateway.delivery_policy import FAILED, DeliverySettings, verdict
from processing import outbox
from processing.commands import Command
from processing.database import Database, is_retryable, sqlstate, trace
from processing.errors import BadMessage, BadReply, LinkRefused, LoyaltyError, NotYet, Undelivered
from processing.events import MESSAGE_DEAD, Event, Stamps, Subscription, row
from processing.execute import Core
from processing.outbox import CLOSED, PULL, PUSH, Attempt, Batch, Lane, LeaseLost
from processing.secrets import EXCHANGE_LOG, Vault

DELIVERED, LEASE_LOST, TEST = "delivered", "lease_lost", "test"
THREADS = 16
# How long one worker has a lane before others are looked at, and how long a lease outlives the longest talk.
LANE_SECONDS = 5.0
LEASE_MARGIN_SECONDS = 30.0
IDLE_SECONDS = 0.25
SWEEP_SECONDS = 30.0
MAX_OUTAGE_SECONDS = 60.0
# A talk of one push or pull; what a session is renewed before its end.
MAX_CALLS = 10_000
MAX_MESSAGES = 1_000
SESSION_MARGIN = 0.9
UNAUTHORIZED = 401
# Of what was said and heard so much is kept with the attempt.
MAX_KEPT = 16 << 10
ATTEMPT_PLACE = b"outbox_attempt"

log = structlog.get_logger()


class Transport(Protocol):
    """Does the calls of one link. Errors: LinkDown, LinkRefused, BadReply."""

    def call(self, call: Call, session: Session | None, deadline: float) -> Reply: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Outgoing:
    """A link as delivery sees it."""

    link: Link
    adapter: Adapter
    policy: DeliverySettings
    secrets: Mapping[str, str]
    transport: Callable[[], Transport]

    @property
    def batch(self) -> int:
        return min(self.adapter.push.batch(self.link), MAX_MESSAGES) if self.adapter.push else 1

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.policy.call_seconds + LEASE_MARGIN_SECONDS)


@dataclass(slots=True)
class _Line:
    """One lane at work: what was said last, and heard, for the story of the attempt."""

    out: Outgoing
    transport: Transport
    deadline: float
    said: bytes = b""
    heard: bytes = b""


class Sessions:
    """One login a link, shared by threads and kept until it is nearly over."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Session, float]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, line: _Line) -> Session | None:
        """The link's session, after a login where there is none; ``None`` where none is needed."""
        out = line.out
        if out.adapter.login is None:
            return None
        with self._lock:
            lock = self._locks.setdefault(out.link.code, threading.Lock())
        with lock:
            kept = self._kept.get(out.link.code)
            if kept is not None and time.monotonic() < kept[1]:
                return kept[0]
            talk = out.adapter.login(out.secrets, out.link)
            session = talk if isinstance(talk, Session) else _listen(talk, lambda call: _say(line, call, None))
            self._kept[out.link.code] = session, time.monotonic() + session.seconds * SESSION_MARGIN
            return session

    def drop(self, link: str, session: Session | None) -> None:
        """The far side knows this session no more."""
        kept = self._kept.get(link)
        if kept is not None and kept[0] is session:
            self._kept.pop(link, None)

    def end(self, links: Mapping[str, Outgoing]) -> None:
        """Say goodbye where the far side counts sessions."""
        for code, (session, _) in list(self._kept.items()):
            if session.goodbye is not None and code in links:
                transport = links[code].transport()
                try:
                    transport.call(session.goodbye, session, time.monotonic() + links[code].policy.call_seconds)
                except Undelivered as error:
                    log.warning("goodbye_failed", link=code, reason=error.message)
                finally:
                    transport.close()
        self._kept.clear()


def _listen(talk: Calling[Any], answer: Callable[[Any], Reply | None]) -> Any:
    """Lead a talk to its end, and return what it returns. Errors: whatever the calls and the talk raise."""
    try:
        said = next(talk)
        for _ in range(MAX_CALLS):
            try:
                reply = answer(said)
            except Undelivered as error:
                # So that a talk may close what it has opened.
                said = talk.throw(error)
            else:
                said = talk.send(reply)
    except StopIteration as end:
        return end.value
    finally:
        talk.close()
    raise BadReply(f"more than {MAX_CALLS} calls")


def _say(line: _Line, call: Call, session: Session | None) -> Reply:
    line.said, line.heard = _shown(call), b""
    reply = line.transport.call(call, session, line.deadline)
    line.heard = _shown(reply)
    return reply


def _shown(told: Call | Reply) -> bytes:
    """What is kept of a call or reply, without headers: secrets travel there."""
    if isinstance(told, HttpCall):
        return f"{told.method} {told.path.partition('?')[0]}\n".encode() + told.body[:MAX_KEPT]
    if isinstance(told, HttpReply):
        return f"HTTP {told.status}\n".encode() + told.body[:MAX_KEPT]
    if isinstance(told, SoapCall):
        return f"SOAP {told.operation} {dict(told.arguments)!r}".encode()[:MAX_KEPT]
    if isinstance(told, SoapReply):
        return repr(told.value).encode()[:MAX_KEPT]
    if isinstance(told, FileWrite):
        return f"write {told.name}\n".encode() + told.content[:MAX_KEPT]
    if isinstance(told, FileRead):
        return f"read {told.name}".encode()
    assert isinstance(told, FileReply)
    return b"no file" if told.content is None else told.content[:MAX_KEPT]


class Delivery:
    """Works off the lanes of these links until it is stopped. Any number of processes may do so at once."""

    def __init__(
        self,
        core: Core,
        vault: Vault,
        links: Mapping[str, Outgoing],
        subscriptions: tuple[Subscription, ...],
        is_stopped: Callable[[], bool],
        threads: int = THREADS,
    ) -> None:
        self._core, self._vault, self._links = core, vault, links
        self._database: Database = core.work.database
        self._stamps: Stamps = core.work.stamps
        self._subscriptions = [each for each in subscriptions if MESSAGE_DEAD in each.kinds]
        self._is_stopped = is_stopped
        self._threads = threads
        self._worker = f"{socket.gethostname()}:{os.getpid()}"[:64]
        self._sessions = Sessions()
        self._compress = threading.local()
        self._after = {PUSH: "", PULL: ""}
        self._swept = -SWEEP_SECONDS
        self._ways = {
            PUSH: frozenset(code for code, out in links.items() if out.adapter.push is not None),
            PULL: frozenset(code for code, out in links.items() if out.adapter.pull is not None),
        }
        self._others: dict[str, list[str]] = {PUSH: [], PULL: []}
        self._lease = max((out.lease for out in links.values()), default=timedelta())

    def run(self) -> None:
        """Until stopped; what is under way then is finished, or its lease ends."""
        busy: set[Future[int]] = set()
        outages = 0
        self._prepare()
        with ThreadPoolExecutor(self._threads, thread_name_prefix="delivery") as pool:
            while not self._is_stopped():
                busy = {each for each in busy if not each.done()}
                try:
                    lanes = self._claim(self._threads - len(busy)) if len(busy) < self._threads else []
                    outages = 0
                except Exception as error:
                    outages += 1
                    log.warning(
                        "delivery_waits", reason=sqlstate(error), trace="" if is_retryable(error) else trace(error)
                    )
                    self._database.dispose()
                    self._pause(min(IDLE_SECONDS * 2**outages, MAX_OUTAGE_SECONDS))
                    continue
                busy |= {pool.submit(self._work, lane) for lane in lanes}
                if not lanes:
                    self._pause(IDLE_SECONDS if len(busy) < self._threads else IDLE_SECONDS / 10)
        self._sessions.end(self._links)

    def run_once(self) -> int:
        """Everything that is due now, in this thread; how many batches were tried."""
        self._prepare()
        tried = 0
        while not self._is_stopped() and (lanes := self._claim(self._threads)):
            for lane in lanes:
                tried += self._work(lane) or 0
        self._sessions.end(self._links)
        return tried

    def _prepare(self) -> None:
        with self._database.transaction() as connection:
            outbox.open_lanes(connection, [(link, way) for way, links in self._ways.items() for link in links])
        outbox.follow(self._database, self._stamps)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._is_stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, IDLE_SECONDS))

    def _claim(self, most: int) -> list[Lane]:
        """Lanes with work, behind those that had their turn last; from the beginning when there are no more."""
        sweep = time.monotonic() - self._swept > SWEEP_SECONDS
        if sweep:
            self._swept = time.monotonic()
            self._after = dict.fromkeys(self._after, "")
        found: list[Lane] = []
        for way, links in self._ways.items():
            for _ in range(2):
                if not links or len(found) >= most:
                    break
                lanes = self._claim_of(way, links, most - len(found), sweep)
                found += lanes
                if lanes or not self._after[way]:
                    break
                self._after[way] = ""
        return found

    def _claim_of(self, way: str, links: frozenset[str], most: int, sweep: bool) -> list[Lane]:
        with self._database.transaction() as connection:
            if sweep:
                self._others[way] = sorted(set(outbox.known_lanes(connection, way)) - links)
            others, after = self._others[way], self._after[way]
            lanes = outbox.claim(connection, self._database, way, others, self._worker, self._lease, most, after, sweep)
            if lanes:
                self._after[way] = lanes[-1].link
            strange = [lane for lane in lanes if lane.link not in links]
            for lane in strange:
                # Of a configuration that is newer than ours: whoever has it shall work on it.
                outbox.snooze(connection, self._database, lane, Batch(()), None, None)
        self._others[way] += [lane.link for lane in strange]
        return [lane for lane in lanes if lane.link in links]

    # One lane -----------------------------------------------------------------------------------------------

    def _work(self, lane: Lane) -> int:
        """Batch after batch, until the lane is empty, fails, or has had its time; how many were tried."""
        out = self._links[lane.link]
        transport = out.transport()
        try:
            return self._push(lane, out, transport) if lane.way == PUSH else self._pull(lane, out, transport)
        except LeaseLost:
            metrics.deliveries.labels(lane.link, LEASE_LOST).inc()
            log.warning("lease_lost", link=lane.link, way=lane.way, token=lane.token)
            self._remember_loss(lane)
        except Exception as error:
            # The database is away, or a bug of ours: the lane is free again when its lease is over.
            log.error("delivery_failed", link=lane.link, reason=sqlstate(error), trace=trace(error))
        finally:
            transport.close()
        return 0

    def _remember_loss(self, lane: Lane) -> None:
        """So that nobody wonders who else has sent a message."""
        try:
            with self._database.transaction() as connection:
                attempt = Attempt(datetime.now(UTC), 0, LEASE_LOST, "another worker has the lane", self._worker)
                outbox.keep_attempt(connection, lane, (), attempt)
        except Exception as error:
            log.warning("attempt_not_kept", link=lane.link, reason=sqlstate(error))

    def _push(self, lane: Lane, out: Outgoing, transport: Transport) -> int:
        assert out.adapter.push is not None
        until, tried = time.monotonic() + LANE_SECONDS, 0
        with self._database.transaction() as connection:
            batch = self._start(connection, lane, out)
        while batch.messages or batch.superseded:
            if batch.messages:
                tried += 1
                line = _Line(out, transport, time.monotonic() + out.policy.call_seconds)
                began = datetime.now(UTC), time.monotonic()
                error = self._talk(line, out.adapter.push.talk, self._job(batch))
                attempt = self._attempt(line, began, error)
                if error is not None:
                    self._give_back(lane, out, batch, attempt, error)
                    return tried
                metrics.delivered.labels(lane.link).inc(len(batch.messages))
            else:
                attempt = None
            goes_on = time.monotonic() < until and not self._is_stopped() and not out.policy.per_minute
            with self._database.transaction() as connection:
                due_at = self._spaced(connection, out)
                seek = outbox.succeed(
                    connection, self._database, lane, batch, attempt, out.lease if goes_on else None, due_at
                )
                lane = replace(lane, seek=seek, failures=0, breaker=CLOSED, failed_since=None)
                if not goes_on:
                    return tried
                batch = self._start(connection, lane, out)
        return tried

    def _start(self, connection: Any, lane: Lane, out: Outgoing) -> Batch:
        """The next batch; an empty one lets go of the lane. After a failure one message is the probe."""
        most = 1 if lane.failures or lane.breaker != CLOSED else out.batch
        batch = outbox.start(connection, self._database, lane, most, out.lease)
        if not batch.messages and not batch.superseded:
            outbox.snooze(connection, self._database, lane, batch, None, None)
        return batch

    def _spaced(self, connection: Any, out: Outgoing) -> datetime | None:
        """When the link may be spoken to again, where it has a rate."""
        if not out.policy.per_minute:
            return None
        return self._database.now(connection) + timedelta(seconds=60 / out.policy.per_minute)

    def _pull(self, lane: Lane, out: Outgoing, transport: Transport) -> int:
        assert out.adapter.pull is not None
        line = _Line(out, transport, time.monotonic() + out.policy.call_seconds)
        began = datetime.now(UTC), time.monotonic()
        state = msgspec.json.decode(lane.state) if lane.state else None
        job = Job(began[0], lane.failures + 1, state=state)
        learned: list[bytes] = []
        error = self._talk(line, out.adapter.pull, job, lambda found: learned.append(msgspec.json.encode(found)))
        attempt = self._attempt(line, began, error)
        empty = Batch(())
        if error is not None:
            # What was learned before the failure is booked: the next pull begins behind it.
            self._give_back(lane, out, empty, attempt, error, learned[-1] if learned else None)
            return 1
        with self._database.transaction() as connection:
            due_at = self._database.now(connection) + timedelta(minutes=out.policy.pull_minutes)
            state_now = learned[-1] if learned else None
            outbox.succeed(connection, self._database, lane, empty, attempt, None, due_at, state_now)
        return 1

    def _job(self, batch: Batch) -> Job:
        messages = tuple(
            Message(each.replays_id or each.id, each.kind, msgspec.json.decode(each.body)) for each in batch.messages
        )
        return Job(datetime.now(UTC), batch.messages[0].attempts + 1, messages)

    def _talk(
        self,
        line: _Line,
        talk: Callable[[Job, Link], Calling[None]],
        job: Job,
        on_state: Callable[[Any], None] = lambda state: None,
    ) -> Undelivered | None:
        """Lead the talk; ``None`` when all is said, or why not."""

        def answer(told: Call | Found) -> Reply | None:
            if isinstance(told, Found):
                self._learn(told)
                for each in told.writes:
                    _say(line, each, self._sessions.of(line))
                on_state(told.state)
                return None
            session = self._sessions.of(line)
            reply = _say(line, told, session)
            if isinstance(reply, HttpReply) and reply.status == UNAUTHORIZED and session is not None:
                self._sessions.drop(line.out.link.code, session)
                reply = _say(line, told, self._sessions.of(line))
            return reply

        try:
            _listen(talk(job, line.out.link), answer)
        except Undelivered as error:
            return error
        except BadMessage as error:
            return BadReply(f"{error.message} at {error.details.get('where', '?')}")
        except LoyaltyError as error:
            return LinkRefused(f"the core has refused: {error.code}")
        except Exception as error:
            log.error("push_failed", link=line.out.link.code, reason=type(error).__name__, trace=trace(error))
            return _Bug(type(error).__name__)
        return None

    def _learn(self, found: Found) -> None:
        """Book what the far side has told. Errors: LoyaltyError."""
        commands = [ask for ask in found.asks if isinstance(ask, Command)]
        for outcome in self._core.execute(commands):
            must(outcome)

    def _attempt(self, line: _Line, began: tuple[datetime, float], error: Undelivered | None) -> Attempt:
        took = time.monotonic() - began[1]
        outcome = DELIVERED if error is None else error.code
        metrics.deliveries.labels(line.out.link.code, outcome).inc()
        detail = "" if error is None else error.message
        return Attempt(
            began[0], int(took * 1e6), outcome, detail, self._worker, self._sealed(line.said), self._sealed(line.heard)
        )

    def _sealed(self, told: bytes) -> bytes | None:
        if not told:
            return None
        if not hasattr(self._compress, "own"):
            self._compress.own = zstandard.ZstdCompressor(level=1)
        return self._vault.encrypt(EXCHANGE_LOG, self._compress.own.compress(told), ATTEMPT_PLACE)

    def _give_back(
        self, lane: Lane, out: Outgoing, batch: Batch, attempt: Attempt, error: Undelivered, state: bytes | None = None
    ) -> None:
        with self._database.transaction() as connection:
            now = self._database.now(connection)
            if isinstance(error, NotYet):
                due_at = now + min(timedelta(seconds=error.retry_seconds or 0), outbox.MAX_WAIT)
                outbox.snooze(connection, self._database, lane, batch, attempt, due_at)
                return
            told = verdict(out.policy, lane, batch, error.code, error.retry_seconds, now)
            outbox.fail(connection, self._database, lane, batch, attempt, told, state)
            if told.gives_up:
                self._tell_of_death(connection, lane, batch, attempt, now)
        log.warning(
            "not_delivered",
            link=lane.link,
            way=lane.way,
            outcome=error.code,
            detail=error.message,
            gave_up=told.gives_up,
        )

    def _tell_of_death(self, connection: Any, lane: Lane, batch: Batch, attempt: Attempt, now: datetime) -> None:
        head = batch.messages[0]
        event = Event(
            MESSAGE_DEAD,
            self._links[lane.link].link.store,
            {
                "message": str(head.id),
                "link": lane.link,
                "message_kind": head.kind,
                "error": attempt.outcome,
                "detail": attempt.detail,
                "attempts": head.attempts + 1,
            },
        )
        # Not to the link itself: its own deaths would never end.
        rows = [
            row(self._stamps.take(now), each.link, event, now) for each in self._subscriptions if each.link != lane.link
        ]
        outbox.put(connection, rows)


def try_once(out: Outgoing, now: datetime) -> bytes:
    """Send the link an event of the kind "test", past its queue; what it has answered. Errors: Undelivered."""
    assert out.adapter.push is not None
    transport, sessions = out.transport(), Sessions()
    line = _Line(out, transport, time.monotonic() + out.policy.call_seconds)
    job = Job(now, 1, (Message(0, TEST, {"sent_at": now.isoformat()}),))
    try:
        _listen(out.adapter.push.talk(job, out.link), lambda call: _say(line, call, sessions.of(line)))
    finally:
        sessions.end({out.link.code: out})
        transport.close()
    return line.heard


def opened(vault: Vault, kept: bytes | None) -> bytes:
    """What an attempt has kept of a call or a reply, in the clear. Errors: SecretsError."""
    if kept is None:
        return b""
    return zstandard.ZstdDecompressor().decompress(vault.decrypt(kept, ATTEMPT_PLACE), MAX_KEPT + 1024)


class _Bug(Undelivered):
    """An adapter has raised what no adapter may."""

    code = FAILED
