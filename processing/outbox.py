"""The outbox: one ordered queue a link, in the same database as the books, and who works on it.

A message is pending until it is delivered, dead (given up, until a person decides) or cancelled. What is under way or
waits for its next try is told by the link's lane: a worker claims a lane for some seconds with a token that grows;
whoever comes back with an older token changes nothing. docs/decisions/0028-outbox.md has the picture and the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Text, column, insert

from processing import tables
from processing.database import Database, Statement, array, run, to_json, write
from processing.events import RECEIVED, Stamps, first_id

PENDING, DELIVERED, DEAD, CANCELLED = "pending", "delivered", "dead", "cancelled"
PUSH, PULL, FILES = "push", "pull", "file"
CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"

# Nobody has a lane for longer; a lease that ends later than this was given before the clock was set back.
MAX_LEASE = timedelta(minutes=5)
# No next try lies further ahead; likewise.
MAX_WAIT = timedelta(days=1)
# A transaction that books lasts no longer than this, so that no message can still appear before those of earlier.
COMMIT_MARGIN = timedelta(seconds=30)
MAX_TEXT = 255

_message, _lane, _attempt = tables.outbox_message.c, tables.outbox_lane.c, tables.outbox_attempt.c

LAST_ID = Statement("SELECT max(id) FROM outbox_message", _message.id)
LANES = Statement("SELECT link FROM outbox_lane WHERE way = :way", _lane.link)
OPEN_LANES = Statement(
    """
    INSERT INTO outbox_lane (link, way, token, seek, failures, alike, breaker)
    SELECT value, :way, 0, 0, 0, 0, 'closed' FROM json_array_elements_text(:links::json) WHERE true
    ON CONFLICT (link, way) DO NOTHING
    """,
    sqlite="""
    INSERT INTO outbox_lane (link, way, token, seek, failures, alike, breaker)
    SELECT value, :way, 0, 0, 0, 0, 'closed' FROM json_each(:links) WHERE true ON CONFLICT (link, way) DO NOTHING
    """,
)
# Lanes behind :after that anybody may work on now. Due times and leases of before the clock was set back are over.
_WORKABLE = """
    l.link > :after AND NOT (l.link IN_TEXTS(:others)) AND l.way = :way AND l.blocked_by IS NULL
    AND (l.due_at IS NULL OR l.due_at <= :now OR l.due_at > :max_wait OR l.last_failure_at > :now
         OR l.last_success_at > :now)
    AND (l.lease_until IS NULL OR l.lease_until <= :now OR l.lease_until > :max_lease)
    AND (l.paused_until IS NULL OR l.paused_until <= :now) AND (l.failures > 0) = :failing
"""
_HAS_WORK = """
    AND EXISTS (SELECT 1 FROM outbox_message m WHERE m.link = l.link AND m.state = 'pending'
                AND m.id > CASE WHEN :sweep THEN 0 ELSE l.seek END)
"""
_CLAIM = """
UPDATE outbox_lane SET lease_until = :until, token = token + 1, worker = :worker, in_flight_to = NULL,
    breaker = CASE WHEN breaker = 'open' THEN 'half_open' ELSE breaker END,
    seek = CASE WHEN :sweep THEN 0 ELSE seek END
WHERE way = :way AND link IN_ROWS(
    SELECT l.link FROM outbox_lane l WHERE {workable} ORDER BY l.link LIMIT :most FOR_UPDATE_SKIPPING
END_ROWS)
RETURNING link, token, seek, failures, alike, last_error, breaker, failed_since, CAST(state AS TEXT) AS state
"""
_CLAIMED = (
    _lane.link,
    _lane.token,
    _lane.seek,
    _lane.failures,
    _lane.alike,
    _lane.last_error,
    _lane.breaker,
    _lane.failed_since,
    column("state", Text),
)
CLAIM_PUSH = Statement(_CLAIM.format(workable=_WORKABLE + _HAS_WORK), *_CLAIMED)
CLAIM_PULL = Statement(_CLAIM.format(workable=_WORKABLE), *_CLAIMED)
# One lane, whenever it is due: whoever asks waits for it.
CLAIM_ONE = Statement(
    """
    UPDATE outbox_lane SET lease_until = :until, token = token + 1, worker = :worker, in_flight_to = NULL
    WHERE link = :link AND way = :way AND (lease_until IS NULL OR lease_until <= :now OR lease_until > :max_lease)
    RETURNING link, token, seek, failures, alike, last_error, breaker, failed_since, CAST(state AS TEXT) AS state
    """,
    *_CLAIMED,
)
HEAD = Statement(
    """
    SELECT id, kind, subject, CAST(body AS TEXT) AS body, attempts, at, replays_id FROM outbox_message
    WHERE link = :link AND state = 'pending' AND id > :seek ORDER BY id LIMIT :most
    """,
    _message.id,
    _message.kind,
    _message.subject,
    column("body", Text),
    _message.attempts,
    _message.at,
    _message.replays_id,
)
VERSIONS = Statement(
    "SELECT kind, subject, version FROM outbox_version WHERE link = :link AND subject IN_TEXTS(:subjects)",
    *(tables.outbox_version.c[name] for name in ("kind", "subject", "version")),
)
# What is about absolute values of which newer ones were sent or follow: (id, id of the newer one).
SUPERSEDE = Statement(
    """
    UPDATE outbox_message SET state = 'cancelled', done_at = :now, reason = 'superseded by ' || p.newer
    FROM (SELECT (value ->> 0)::bigint AS id, value ->> 1 AS newer FROM json_array_elements(:pairs::json)) p
    WHERE outbox_message.id = p.id AND state = 'pending'
    """,
    sqlite="""
    UPDATE outbox_message SET state = 'cancelled', done_at = :now, reason = 'superseded by ' || p.newer
    FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS newer FROM json_each(:pairs)) p
    WHERE outbox_message.id = p.id AND state = 'pending'
    """,
)
# Only whoever holds the lane by its newest token. Locked before its messages are read: nobody changes them between.
LOCK = Statement(
    "SELECT token FROM outbox_lane WHERE link = :link AND way = :way AND token = :token FOR_UPDATE", _lane.token
)
START = Statement(
    """
    UPDATE outbox_lane SET lease_until = :until, in_flight_to = :to
    WHERE link = :link AND way = :way AND token = :token RETURNING token
    """,
    _lane.token,
)
KEEP = Statement(
    """
    UPDATE outbox_lane SET lease_until = :until, state = coalesce(CAST(:state AS JSON), state)
    WHERE link = :link AND way = :way AND token = :token RETURNING token
    """,
    _lane.token,
    sqlite="""
    UPDATE outbox_lane SET lease_until = :until, state = coalesce(:state, state)
    WHERE link = :link AND way = :way AND token = :token RETURNING token
    """,
)
SUCCEED = Statement(
    """
    UPDATE outbox_lane SET failures = 0, alike = 0, breaker = 'closed', failed_since = NULL, due_at = :due_at,
        in_flight_to = NULL, lease_until = :until, seek = CASE WHEN seek = :was THEN :seek ELSE seek END,
        last_success_at = :now, state = coalesce(CAST(:state AS JSON), state)
    WHERE link = :link AND way = :way AND token = :token RETURNING seek
    """,
    _lane.token,
    sqlite="""
    UPDATE outbox_lane SET failures = 0, alike = 0, breaker = 'closed', failed_since = NULL, due_at = :due_at,
        in_flight_to = NULL, lease_until = :until, seek = CASE WHEN seek = :was THEN :seek ELSE seek END,
        last_success_at = :now, state = coalesce(:state, state)
    WHERE link = :link AND way = :way AND token = :token RETURNING seek
    """,
)
FAIL = Statement(
    """
    UPDATE outbox_lane SET failures = :failures, alike = :alike, breaker = :breaker, due_at = :due_at,
        in_flight_to = NULL, failed_since = :failed_since, lease_until = NULL, blocked_by = :blocked_by,
        last_error = :error, last_detail = :detail, last_failure_at = :now,
        state = coalesce(CAST(:state AS JSON), state)
    WHERE link = :link AND way = :way AND token = :token RETURNING token
    """,
    _lane.token,
    sqlite="""
    UPDATE outbox_lane SET failures = :failures, alike = :alike, breaker = :breaker, due_at = :due_at,
        in_flight_to = NULL, failed_since = :failed_since, lease_until = NULL, blocked_by = :blocked_by,
        last_error = :error, last_detail = :detail, last_failure_at = :now, state = coalesce(:state, state)
    WHERE link = :link AND way = :way AND token = :token RETURNING token
    """,
)
SNOOZE = Statement(
    """
    UPDATE outbox_lane SET due_at = :due_at, in_flight_to = NULL, lease_until = NULL,
        state = coalesce(CAST(:state AS JSON), state)
    WHERE link = :link AND way = :way AND token = :token RETURNING token
    """,
    _lane.token,
    sqlite="""
    UPDATE outbox_lane SET due_at = :due_at, in_flight_to = NULL, lease_until = NULL, state = coalesce(:state, state)
    WHERE link = :link AND way = :way AND token = :token RETURNING token
    """,
)
DONE = Statement(
    """
    UPDATE outbox_message SET state = 'delivered', done_at = :now, attempts = attempts + 1, reason = NULL
    WHERE id IN_IDS(:ids) AND state = 'pending'
    """
)
EMPTY = Statement("UPDATE outbox_message SET body = '{}' WHERE id IN_IDS(:ids)")
GIVE_UP = Statement("UPDATE outbox_message SET state = 'dead', done_at = :now WHERE id = :id AND state = 'pending'")
TRIED = Statement("UPDATE outbox_message SET attempts = attempts + 1, reason = :reason WHERE id IN_IDS(:ids)")
KEEP_VERSIONS = Statement(
    """
    INSERT INTO outbox_version (link, kind, subject, version)
    SELECT :link, v.value ->> 0, v.value ->> 1, CAST(v.value ->> 2 AS BIGINT)
    FROM json_array_elements(:versions::json) v WHERE true
    ON CONFLICT (link, kind, subject) DO UPDATE SET
        version = greatest(outbox_version.version, excluded.version)
    """,
    sqlite="""
    INSERT INTO outbox_version (link, kind, subject, version)
    SELECT :link, json_extract(v.value, '$[0]'), json_extract(v.value, '$[1]'), json_extract(v.value, '$[2]')
    FROM json_each(:versions) v WHERE true
    ON CONFLICT (link, kind, subject) DO UPDATE SET version = max(version, excluded.version)
    """,
)


@dataclass(frozen=True, slots=True)
class Lane:
    """A claimed lane: ``token`` makes what its worker does count, ``seek`` is where its first message may be.

    ``alike``: how many of its last failures were of the same kind, ``last_error``, and about the same head.
    """

    link: str
    way: str
    token: int
    seek: int
    failures: int
    alike: int
    last_error: str | None
    breaker: str
    failed_since: datetime | None
    state: str | None

    def alike_with(self, outcome: str) -> int:
        """How many failures of this kind there are in a row, with one more."""
        return self.alike + 1 if self.last_error == outcome else 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that is to be delivered."""

    id: int
    kind: str
    subject: str | None
    body: str
    attempts: int
    at: datetime
    replays_id: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of a try; ``request`` and ``answer`` are encrypted already."""

    at: datetime
    took_us: int
    outcome: str
    detail: str
    worker: str
    request: bytes | None = None
    answer: bytes | None = None


class LeaseLost(Exception):
    """Another worker has the lane by now: what this one did counts no more."""


def follow(database: Database, stamps: Stamps) -> None:
    """Ids go on behind those that are there, whatever the clock says."""
    with database.reading() as connection:
        last = run(connection, [(LAST_ID, {})])[0][0][0]
    stamps.follow(last or 0)


def put(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add messages (processing.events.row) that no batch of the books has caused."""
    if rows:
        write(connection, {tables.outbox_message: list(rows)}, frozenset())


def known_lanes(connection: Connection, way: str) -> list[str]:
    """The links that have a lane."""
    return [row[0] for row in run(connection, [(LANES, {"way": way})])[0]]


def open_lanes(connection: Connection, way: str, links: Iterable[str]) -> None:
    """Make sure that each link has its row."""
    run(connection, [(OPEN_LANES, {"way": way, "links": array(sorted(links))})])


def claim(
    connection: Connection,
    database: Database,
    way: str,
    others: Sequence[str],
    worker: str,
    lease: timedelta,
    most: int,
    after: str = "",
    sweep: bool = False,
    failing: bool = False,
) -> list[Lane]:
    """Up to ``most`` lanes behind ``after`` that are due and have work, for this worker until the lease ends.

    ``failing``: of those whose last try has failed, or of the others only. ``others``: lanes of links that the worker
    does not know. ``sweep``: look also where nothing should be.
    """
    now = database.now(connection)
    (rows,) = run(
        connection,
        [
            (
                CLAIM_PUSH if way == PUSH else CLAIM_PULL,
                {
                    "after": after,
                    "others": array(sorted(others)),
                    "way": way,
                    "now": database.instant(now),
                    "max_wait": database.instant(now + MAX_WAIT),
                    "max_lease": database.instant(now + MAX_LEASE),
                    "until": database.instant(now + lease),
                    "worker": worker,
                    "most": most,
                    "sweep": sweep,
                    "failing": failing,
                },
            )
        ],
    )
    return sorted((Lane(row[0], way, *row[1:]) for row in rows), key=lambda lane: lane.link)


def claim_one(
    connection: Connection, database: Database, link: str, way: str, worker: str, lease: timedelta
) -> Lane | None:
    """The lane of this link, for this worker until the lease ends; ``None`` while somebody else has it."""
    open_lanes(connection, way, [link])
    now = database.now(connection)
    told = {
        "link": link,
        "way": way,
        "worker": worker,
        "now": database.instant(now),
        "until": database.instant(now + lease),
        "max_lease": database.instant(now + MAX_LEASE),
    }
    (rows,) = run(connection, [(CLAIM_ONE, told)])
    return Lane(rows[0][0], way, *rows[0][1:]) if rows else None


def keep(connection: Connection, database: Database, lane: Lane, lease: timedelta, state: bytes | None = None) -> None:
    """The worker goes on with the lane for so long; ``state`` is kept. Errors: LeaseLost."""
    until = database.instant(database.now(connection) + lease)
    _hold(connection, KEEP, lane, {"until": until, "state": state.decode() if state is not None else None})


def start(connection: Connection, database: Database, lane: Lane, most: int, lease: timedelta) -> list[Waiting]:
    """The next messages of the lane, under way from now on; none: there is nothing to say. Errors: LeaseLost.

    Absolute values of which a newer one follows or was delivered are cancelled.
    """
    named = {"link": lane.link, "way": lane.way, "token": lane.token}
    locked, rows = run(connection, [(LOCK, named), (HEAD, {"link": lane.link, "seek": lane.seek, "most": most})])
    if not locked:
        raise LeaseLost(lane.link)
    found = [Waiting(*row) for row in rows]
    now = database.now(connection)
    newer = _newer(connection, lane, found)
    if newer:
        pairs = to_json(sorted(newer.items())).decode()
        run(connection, [(SUPERSEDE, {"now": database.instant(now), "pairs": pairs})])
    kept = [each for each in found if each.id not in newer]
    to = kept[-1].id if kept else None
    _hold(connection, START, lane, {"until": database.instant(now + lease), "to": to})
    return kept


def _newer(connection: Connection, lane: Lane, found: Sequence[Waiting]) -> dict[int, int]:
    """Of absolute values that need not be told any more: the id of the newer one."""
    subjects = sorted({each.subject for each in found if each.subject is not None})
    if not subjects:
        return {}
    (rows,) = run(connection, [(VERSIONS, {"link": lane.link, "subjects": array(subjects)})])
    newest = {(kind, subject): version for kind, subject, version in rows}
    for each in found:
        if each.subject is not None:
            place = each.kind, each.subject
            newest[place] = max(newest.get(place, 0), each.id)
    told = [(each.id, newest[each.kind, each.subject]) for each in found if each.subject is not None]
    return {message_id: by for message_id, by in told if by > message_id}


def succeed(
    connection: Connection,
    database: Database,
    lane: Lane,
    messages: Sequence[Waiting],
    attempt: Attempt | None,
    lease: timedelta | None,
    due_at: datetime | None = None,
    state: bytes | None = None,
) -> int:
    """The messages are delivered; where to begin looking next. ``lease``: the worker goes on with the lane so long.
    ``attempt``: None where nothing is worth remembering.

    Errors: LeaseLost, and nothing is written.
    """
    now = database.now(connection)
    ids = [each.id for each in messages]
    told = {
        "due_at": due_at and database.instant(due_at),
        "until": database.instant(now + lease) if lease else None,
        # A requeued message may have sent the lane back meanwhile.
        "was": lane.seek,
        "seek": max(lane.seek, min(ids[-1], first_id(now - COMMIT_MARGIN))) if ids else lane.seek,
        "now": database.instant(now),
        "state": state.decode() if state is not None else None,
    }
    seek: int = _hold(connection, SUCCEED, lane, told)
    run(connection, [(DONE, {"now": database.instant(now), "ids": array(ids)})])
    empty(connection, [each.id for each in messages if each.kind == RECEIVED])
    versions = [(each.kind, each.subject, each.id) for each in messages if each.subject is not None]
    if versions:
        run(connection, [(KEEP_VERSIONS, {"link": lane.link, "versions": to_json(versions).decode()})])
    if attempt is not None:
        keep_attempt(connection, lane, messages, attempt)
    return seek


def empty(connection: Connection, ids: Sequence[int]) -> None:
    """Throw away what these messages hold: it is booked, or tells of somebody who is to be forgotten."""
    if ids:
        run(connection, [(EMPTY, {"ids": array(ids)})])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure does to its lane. ``gives_up``: the head is dead; ``blocks``: and the others wait for a person."""

    due_at: datetime | None
    breaker: str
    gives_up: bool = False
    blocks: bool = False


def fail(
    connection: Connection,
    database: Database,
    lane: Lane,
    messages: Sequence[Waiting],
    attempt: Attempt,
    verdict: Verdict,
    state: bytes | None = None,
) -> None:
    """The messages were not delivered. Only the first can be given up: where one of several may be bad they are tried
    one by one. Errors: LeaseLost."""
    now = database.now(connection)
    told = {
        "failures": lane.failures + 1,
        "alike": 0 if verdict.gives_up else lane.alike_with(attempt.outcome),
        "breaker": verdict.breaker,
        "due_at": verdict.due_at and database.instant(verdict.due_at),
        "failed_since": database.instant(lane.failed_since or now),
        "blocked_by": messages[0].id if verdict.blocks and messages else None,
        "error": attempt.outcome,
        "detail": attempt.detail[:MAX_TEXT],
        "now": database.instant(now),
        "state": state.decode() if state is not None else None,
    }
    _hold(connection, FAIL, lane, told)
    reason = f"{attempt.outcome}: {attempt.detail}"[:MAX_TEXT]
    if messages:
        run(connection, [(TRIED, {"ids": array([each.id for each in messages]), "reason": reason})])
    if verdict.gives_up and messages:
        run(connection, [(GIVE_UP, {"now": database.instant(now), "id": messages[0].id})])
    keep_attempt(connection, lane, messages, attempt)


def snooze(
    connection: Connection,
    database: Database,
    lane: Lane,
    due_at: datetime | None = None,
    state: bytes | None = None,
) -> None:
    """Let go of the lane until then, or at once; no attempt is burnt. Errors: LeaseLost."""
    told = {"due_at": due_at and database.instant(due_at), "state": state.decode() if state is not None else None}
    _hold(connection, SNOOZE, lane, told)


def _hold(connection: Connection, statement: Statement, lane: Lane, told: Mapping[str, Any]) -> Any:
    """Change the lane, as long as it is ours; what the statement returns. Errors: LeaseLost."""
    named = {"link": lane.link, "way": lane.way, "token": lane.token}
    (rows,) = run(connection, [(statement, {**told, **named})])
    if not rows:
        raise LeaseLost(lane.link)
    return rows[0][0]


def keep_attempt(connection: Connection, lane: Lane, messages: Sequence[Waiting], attempt: Attempt) -> None:
    """Remember what came of a try."""
    values = {
        "link": lane.link,
        "way": lane.way,
        "message_id": messages[0].id if messages else None,
        "last_id": messages[-1].id if messages else None,
        "messages": len(messages),
        "at": attempt.at,
        "took_us": attempt.took_us,
        "outcome": attempt.outcome,
        "detail": attempt.detail[:MAX_TEXT] or None,
        "worker": attempt.worker,
        "request": attempt.request,
        "answer": attempt.answer,
    }
    connection.execute(insert(tables.outbox_attempt), [values])
