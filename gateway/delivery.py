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
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import structlog
import zstandard
from sqlalchemy import Connection

from adapters.contract import BROKEN, Found, Job, Message, must
from gateway import folders, metrics
from gateway.delivery_policy import verdict
from gateway.exchange_log import Exchange, finding, keep
from gateway.file_import import MAX_LOGGED, FileImport, Stopped
from gateway.folders import Look, State
from gateway.talks import MAX_KEPT, Books, Line, Outgoing, Sessions, Transport, lead
from processing import outbox
from processing.commands import Command, Query
from processing.database import Database, is_retryable, sqlstate, trace
from processing.errors import AlreadyVoided, BadMessage, Busy, NotYet, Refusal, Undelivered
from processing.events import MESSAGE_DEAD, RECEIVED, Event, Stamps, Subscription, row, wants
from processing.execute import Core
from processing.outbox import CLOSED, FILES, PULL, PUSH, Attempt, Lane, LeaseLost, Waiting
from processing.results import Result
from processing.secrets import EXCHANGE_LOG, Vault

DELIVERED, LEASE_LOST = "delivered", "lease_lost"
THREADS = 16
# A thread whose far side owes an answer for so long takes nobody's place: there are so many more for those.
SLOW_SECONDS = 1.0
SLOW_THREADS = 112
# Of all threads this part is for links that fail, and of those that are not slow, so that these take no time of the
# others.
FAILING_PART = 4
# How long one worker has a lane before others are looked at.
LANE_SECONDS = 5.0
IDLE_SECONDS = 0.25
SWEEP_SECONDS = 30.0
MAX_OUTAGE_SECONDS = 60.0
# When the books had no time for a file.
BUSY_SECONDS = 30.0
ATTEMPT_PLACE = b"outbox_attempt"
# How the story of an attempt begins whose last answer was an error.
ERRORS = (b"HTTP 4", b"HTTP 5")
# Way, and whether it is about links that fail; in this order lanes have their turns.
TURNS = tuple((way, failing) for failing in (False, True) for way in (PUSH, PULL, FILES))

log = structlog.get_logger()


@dataclass(slots=True)
class Turn:
    """A lane in the hands of a thread, and its line while there is one."""

    lane: Lane
    line: Line | None = None

    def is_slow(self, now: float) -> bool:
        """Whether the far side keeps it waiting, at this instant of the monotonic clock."""
        since = self.line.waits_since if self.line is not None else None
        return since is not None and now - since > SLOW_SECONDS


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
        self._subscriptions = subscriptions
        self._is_stopped = is_stopped
        self._threads = threads
        self._worker = f"{socket.gethostname()}:{os.getpid()}"[:64]
        self._sessions = Sessions()
        self._compress = threading.local()
        self._failing_threads = max(threads // FAILING_PART, 1)
        self._after = dict.fromkeys(TURNS, "")
        self._swept = -SWEEP_SECONDS
        self._ways = {
            PUSH: frozenset(code for code, out in links.items() if out.adapter.push is not None),
            PULL: frozenset(code for code, out in links.items() if out.adapter.pull is not None),
            FILES: frozenset(code for code, out in links.items() if out.has_files),
        }
        self._others: dict[str, list[str]] = {way: [] for way in self._ways}
        self._lease = max((out.lease for out in links.values()), default=timedelta())

    def run(self) -> None:
        """Until stopped; what is under way then is finished, or its lease ends."""
        busy: dict[Future[int], Turn] = {}
        outages, is_prepared = 0, False
        with ThreadPoolExecutor(self._threads + SLOW_THREADS, thread_name_prefix="delivery") as pool:
            while not self._is_stopped():
                busy = {each: turn for each, turn in busy.items() if not each.done()}
                room, failing_room = self._room(busy.values())
                try:
                    if not is_prepared:
                        self._prepare()
                        is_prepared = True
                    lanes = self._claim(room, failing_room)
                    outages = 0
                except Exception as error:
                    outages += 1
                    log.warning(
                        "delivery_waits", reason=sqlstate(error), trace="" if is_retryable(error) else trace(error)
                    )
                    self._database.dispose()
                    self._pause(min(IDLE_SECONDS * 2**outages, MAX_OUTAGE_SECONDS))
                    continue
                for turn in map(Turn, lanes):
                    busy[pool.submit(self._work, turn)] = turn
                if not lanes:
                    self._pause(IDLE_SECONDS if room > 0 else IDLE_SECONDS / 10)
        self._sessions.end(self._links)

    def _room(self, turns: Iterable[Turn]) -> tuple[int, int]:
        """How many lanes may be begun beside these, and of links that fail how many of them."""
        now = time.monotonic()
        slow = [turn.lane.failures > 0 for turn in turns if turn.is_slow(now)]
        quick = [turn.lane.failures > 0 for turn in turns if not turn.is_slow(now)]
        room = self._threads - len(quick) - max(len(slow) - SLOW_THREADS, 0)
        all_failing = (self._threads + SLOW_THREADS) // FAILING_PART - sum(slow) - sum(quick)
        return room, min(self._failing_threads - sum(quick), all_failing)

    def run_once(self) -> int:
        """Everything that is due now, in this thread; how many batches were tried."""
        self._prepare()
        tried = 0
        try:
            while not self._is_stopped() and (lanes := self._claim(self._threads, self._threads)):
                for lane in lanes:
                    tried += self._work(Turn(lane))
        finally:
            self._sessions.end(self._links)
        return tried

    def _prepare(self) -> None:
        with self._database.transaction() as connection:
            for way, links in self._ways.items():
                outbox.open_lanes(connection, way, links)
        outbox.follow(self._database, self._stamps)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._is_stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, IDLE_SECONDS))

    def _claim(self, most: int, most_failing: int) -> list[Lane]:
        """Lanes with work, behind those that had their turn last; those that fail after the others, and fewer."""
        sweep = time.monotonic() - self._swept > SWEEP_SECONDS
        if sweep:
            self._swept = time.monotonic()
            self._after = dict.fromkeys(TURNS, "")
        found: list[Lane] = []
        for turn in TURNS:
            room = min(most - len(found), most_failing) if turn[1] else most - len(found)
            lanes = self._claim_of(*turn, room, sweep)
            found += lanes
            most_failing -= len(lanes) if turn[1] else 0
        return found

    def _claim_of(self, way: str, failing: bool, most: int, sweep: bool) -> list[Lane]:
        """From behind the last one's turn; from the beginning when there are no more."""
        turn, links = (way, failing), self._ways[way]
        if most <= 0 or not links:
            return []
        with self._database.transaction() as connection:
            if sweep:
                self._others[way] = sorted(set(outbox.known_lanes(connection, way)) - links)
            others, after = self._others[way], self._after[turn]
            lanes = outbox.claim(
                connection, self._database, way, others, self._worker, self._lease, most, after, sweep, failing
            )
            self._after[turn] = lanes[-1].link if lanes else ""
            strange = [lane for lane in lanes if lane.link not in links]
            for lane in strange:
                # Of a configuration that is newer than ours: whoever has it shall work on it.
                outbox.snooze(connection, self._database, lane)
        self._others[way] += [lane.link for lane in strange]
        if not lanes and after:
            return self._claim_of(way, failing, most, sweep)
        return [lane for lane in lanes if lane.link in links]

    # One lane -----------------------------------------------------------------------------------------------

    def _work(self, turn: Turn) -> int:
        """Batch after batch, until the lane is empty, fails, or has had its time; how many were tried."""
        lane, out = turn.lane, self._links[turn.lane.link]
        transport = out.transport(not lane.failures)
        try:
            work = {PUSH: self._push, PULL: self._pull, FILES: self._files}[lane.way]
            return work(turn, out, transport)
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

    def _push(self, turn: Turn, out: Outgoing, transport: Transport) -> int:
        assert out.adapter.push is not None
        lane, until, tried = turn.lane, time.monotonic() + LANE_SECONDS, 0
        with self._database.transaction() as connection:
            messages = self._start(connection, lane, out)
        while messages:
            tried += 1
            turn.line = line = Line(out, transport, time.monotonic() + out.policy.call_seconds)
            began = datetime.now(UTC), time.monotonic()
            books = Books(partial(self._learn, link=lane.link), self._read)
            # What waits to be booked has been answered for: no worker of an older configuration may lose it.
            early = self._too_early(out) if RECEIVED in out.adapter.push.wants else None
            told = early or lead(line, self._sessions, out.adapter.push.talk, _job(messages), books)
            attempt = self._attempt(line, began, told)
            if isinstance(told, Undelivered):
                self._give_back(lane, out, messages, attempt, told)
                return tried
            messages = messages[:told]
            metrics.delivered.labels(lane.link).inc(len(messages))
            goes_on = time.monotonic() < until and not self._is_stopped() and not out.policy.per_minute
            lease = out.lease if goes_on else None
            with self._database.transaction() as connection:
                due_at = self._spaced(connection, out)
                seek = outbox.succeed(connection, self._database, lane, messages, attempt, lease, due_at)
                lane = replace(lane, seek=seek, failures=0, breaker=CLOSED, failed_since=None)
                if not goes_on:
                    return tried
                messages = self._start(connection, lane, out)
        return tried

    def _start(self, connection: Connection, lane: Lane, out: Outgoing) -> list[Waiting]:
        """The next messages; none: the lane is let go of. After a failure one message is the probe."""
        most = 1 if lane.failures or lane.breaker != CLOSED else out.batch
        messages = outbox.start(connection, self._database, lane, most, out.lease)
        if not messages:
            outbox.snooze(connection, self._database, lane)
        return messages

    def _spaced(self, connection: Connection, out: Outgoing) -> datetime | None:
        """When the link may be spoken to again, where it has a rate."""
        if not out.policy.per_minute:
            return None
        return self._database.now(connection) + timedelta(seconds=60 / out.policy.per_minute)

    def _pull(self, turn: Turn, out: Outgoing, transport: Transport) -> int:
        assert out.adapter.pull is not None
        lane = turn.lane
        turn.line = line = Line(out, transport, time.monotonic() + out.policy.call_seconds)
        began = datetime.now(UTC), time.monotonic()
        at = self._database.clock(began[0])
        job = Job(at, lane.failures + 1, state=msgspec.json.decode(lane.state) if lane.state else None)
        state: bytes | None = None
        notes: list[str] = []
        broken: list[Exchange] = []

        def learn(found: Found) -> None:
            nonlocal state
            if found.kind == BROKEN and len(broken) < MAX_LOGGED:
                broken.append(finding(lane.link, job.at, PULL, BadMessage.code, found.raw, found.note))
            if found.note:
                metrics.pull_notes.labels(lane.link).inc()
                log.warning("pull_noted", link=lane.link, note=found.note)
                notes.append(found.note)
            notes.extend(self._learn(found, lane.link))
            if found.state is not None:
                state = msgspec.json.encode(found.state)

        told = self._too_early(out) or lead(line, self._sessions, out.adapter.pull, job, Books(learn, self._read))
        if broken:
            with self._database.transaction() as connection:
                keep(connection, self._vault, broken)
        # What an operator should read; of answers only errors: others tell of people.
        line.heard = "\n".join(notes).encode()[:MAX_KEPT] or (line.heard if line.heard.startswith(ERRORS) else b"")
        attempt = self._attempt(line, began, told)
        goes_on = isinstance(told, NotYet) and state is not None
        if isinstance(told, Undelivered) and not goes_on:
            # What was learned before the failure is booked: the next pull begins behind it.
            self._give_back(lane, out, [], attempt, told, state)
            return 1
        wait = timedelta(minutes=out.policy.pull_minutes)
        if isinstance(told, NotYet):
            # More is to come of a far side that answers again: whatever has failed before is over.
            wait = min(timedelta(seconds=told.retry_seconds or 0), outbox.MAX_WAIT)
        with self._database.transaction() as connection:
            due_at = self._database.now(connection) + wait
            outbox.succeed(connection, self._database, lane, [], attempt, None, due_at, state)
        return 1

    def _files(self, turn: Turn, out: Outgoing, transport: Transport) -> int:
        """Read what has changed in the link's folder; the lease is renewed with every batch."""
        lane, line = turn.lane, Line(out, transport, 0.0)
        began = datetime.now(UTC), time.monotonic()
        until = began[1] + LANE_SECONDS
        error: Undelivered | None = None
        is_all = True
        try:
            if early := self._too_early(out):
                raise early
            look = self._look(lane, out, transport, lambda: time.monotonic() > until or self._is_stopped())
            is_all = look.all()
            line.heard = "\n".join(look.told).encode()[:MAX_KEPT]
        except Undelivered as failure:
            error = failure
        except Busy as failure:
            error = NotYet(failure.message, BUSY_SECONDS)
        except Stopped:
            is_all = False
        attempt = self._attempt(line, began, error)
        if error is not None:
            self._give_back(lane, out, [], attempt, error)
            return 1
        with self._database.transaction() as connection:
            due_at = self._database.now(connection) + timedelta(seconds=out.policy.folder_seconds if is_all else 0)
            # A folder is looked at often, and where nothing is new there is nothing to tell.
            outbox.succeed(connection, self._database, lane, [], attempt if line.heard else None, None, due_at)
        return 1 if line.heard or is_all else 0

    def _too_early(self, out: Outgoing) -> NotYet | None:
        """The books have not heard of the link's store yet, and would refuse for good whatever is read now."""
        if self._core.has_store(out.link.store):
            return None
        return NotYet(f"the books do not know the store {out.link.store} yet: tillgate serve brings them in step")

    def _look(self, lane: Lane, out: Outgoing, transport: Transport, is_over: Callable[[], bool]) -> Look:
        def hold(connection: Connection, state: bytes | None = None) -> None:
            outbox.keep(connection, self._database, lane, out.lease, state)

        def keep(state: State) -> None:
            with self._database.transaction() as connection:
                hold(connection, folders.encoded(state))

        return Look(
            out.link,
            out.adapter.files,
            transport.shelf(),
            out.policy.call_seconds,
            datetime.now(UTC),
            folders.decoded(lane.state),
            lambda: FileImport(self._core, self._vault, out.link, hold, self._is_stopped),
            keep,
            is_over,
        )

    def _learn(self, found: Found, link: str) -> list[str]:
        """Book what the far side has told; what the core has refused of it, in words. Errors: LoyaltyError."""
        commands = [ask for ask in found.asks if isinstance(ask, Command)]
        refused = []
        for command, outcome in zip(commands, self._core.execute(commands), strict=True):
            if isinstance(outcome, AlreadyVoided):
                # What was voided since, or before it came, is settled: the same again would be told so again.
                continue
            if not found.may_be_refused or not isinstance(outcome, Refusal | BadMessage):
                must(outcome)
                continue
            metrics.pull_refusals.labels(link, outcome.code).inc()
            refused.append(f"{outcome.code}: {type(command).__name__} {command.keys[0]}")
        return refused

    def _read(self, query: Query[Any]) -> Result:
        """What the books answer. Errors: LoyaltyError."""
        (outcome,) = self._core.answer([query])  # type: ignore[list-item]  # every Query is one of AnyQuery
        return must(outcome)

    def _attempt(self, line: Line, began: tuple[datetime, float], told: int | Undelivered | None) -> Attempt:
        took = time.monotonic() - began[1]
        outcome, detail = (told.code, told.message) if isinstance(told, Undelivered) else (DELIVERED, "")
        metrics.deliveries.labels(line.out.link.code, outcome).inc()
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
        self,
        lane: Lane,
        out: Outgoing,
        messages: Sequence[Waiting],
        attempt: Attempt,
        error: Undelivered,
        state: bytes | None = None,
    ) -> None:
        with self._database.transaction() as connection:
            now = self._database.now(connection)
            if isinstance(error, NotYet):
                due_at = now + min(timedelta(seconds=error.retry_seconds or 0), outbox.MAX_WAIT)
                outbox.snooze(connection, self._database, lane, due_at, state)
                outbox.keep_attempt(connection, lane, messages, attempt)
                return
            told = verdict(out.policy, lane, len(messages), error.code, error.retry_seconds, now)
            outbox.fail(connection, self._database, lane, messages, attempt, told, state)
            if told.gives_up:
                self._tell_of_death(connection, lane, messages[0], attempt, now)
        log.warning(
            "not_delivered",
            link=lane.link,
            way=lane.way,
            outcome=error.code,
            detail=error.message,
            gave_up=told.gives_up,
        )

    def _tell_of_death(
        self, connection: Connection, lane: Lane, dead: Waiting, attempt: Attempt, now: datetime
    ) -> None:
        body = {
            "message": str(dead.id),
            "link": lane.link,
            "message_kind": dead.kind,
            "error": attempt.outcome,
            "detail": attempt.detail,
            "attempts": dead.attempts + 1,
        }
        event = Event(MESSAGE_DEAD, self._links[lane.link].link.store, body)
        # Not to the link itself: its own deaths would never end.
        told = [each.link for each in self._subscriptions if wants(each, event) and each.link != lane.link]
        outbox.put(connection, [row(self._stamps.take(now), link, event, now) for link in told])


def _job(messages: Sequence[Waiting]) -> Job:
    """What a push is to say; a message that is sent once more has the id of the first time."""
    told = (Message(each.replays_id or each.id, each.kind, msgspec.json.decode(each.body)) for each in messages)
    return Job(datetime.now(UTC), messages[0].attempts + 1, tuple(told))


def opened(vault: Vault, kept: bytes | None) -> bytes:
    """What an attempt has kept of a call or a reply, in the clear. Errors: SecretsError."""
    if kept is None:
        return b""
    return zstandard.ZstdDecompressor().decompress(vault.decrypt(kept, ATTEMPT_PLACE), MAX_KEPT + 1024)
