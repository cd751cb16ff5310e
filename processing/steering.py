"""What operators see and do of the outbox: queues, messages, attempts; pause, requeue, skip, edit, replay.

Bulk changes take a filter and ``upto``, the greatest id that was on the screen: nothing newer is touched. Whatever is
under way just now is left alone. The caller writes the audit log in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Text, and_, cast, func, or_, select, update

from processing import tables
from processing.database import Database, Statement, run
from processing.errors import BadMessage
from processing.events import LOAD, Stamps, first_id
from processing.outbox import CANCELLED, DEAD, DELIVERED, MAX_TEXT, PENDING, PUSH, put

MAX_PAGE = 500
# Of one call; whoever has more calls again.
MAX_BULK = 1_000
MAX_BODY = 64 << 10

_message, _lane, _attempt = tables.outbox_message, tables.outbox_lane, tables.outbox_attempt
_encode = msgspec.json.Encoder().encode

EDIT = Statement(
    """
    UPDATE outbox_message SET body = CAST(:body AS JSON) WHERE id = :id AND state IN ('pending', 'dead') RETURNING id
    """,
    _message.c.id,
    sqlite="UPDATE outbox_message SET body = :body WHERE id = :id AND state IN ('pending', 'dead') RETURNING id",
)


class MessageNotFound(LookupError):
    """No message of the outbox has this number."""


class MessageNotOpen(ValueError):
    """The message is delivered, cancelled or under way: nobody changes it any more. Its argument is its state."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A lane as operators see it, with how much waits. ``oldest_at``: when the oldest pending message was booked."""

    link: str
    way: str
    pending: int
    dead: int
    oldest_at: datetime | None
    head_id: int | None
    due_at: datetime | None
    in_flight_to: int | None
    worker: str | None
    failures: int
    breaker: str
    failed_since: datetime | None
    paused_until: datetime | None
    paused_by: str | None
    pause_reason: str | None
    blocked_by: int | None
    last_error: str | None
    last_detail: str | None
    last_failure_at: datetime | None
    last_success_at: datetime | None

    @property
    def doing(self) -> str:
        """paused, blocked, sending, failing, waiting or idle."""
        if self.paused_until is not None:
            return "paused"
        if self.blocked_by is not None:
            return "blocked"
        if self.worker is not None:
            return "sending"
        if self.failures:
            return "failing"
        return "waiting" if self.pending else "idle"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages. ``upto``: none behind this id; ``before``: only those in front of it, ``behind``: behind it."""

    links: Sequence[str] | None = None
    ids: Sequence[int] | None = None
    state: str | None = None
    kind: str | None = None
    error: str | None = None
    since: datetime | None = None
    upto: int | None = None
    before: int | None = None
    behind: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    id: int
    link: str
    kind: str
    subject: str | None
    body: bytes
    state: str
    at: datetime
    attempts: int
    reason: str | None
    done_at: datetime | None
    replays_id: int | None


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt; ``request`` and ``answer`` are ciphertexts (gateway.delivery opens them)."""

    id: int
    link: str
    way: str
    message_id: int | None
    last_id: int | None
    messages: int
    at: datetime
    took_us: int
    outcome: str
    detail: str | None
    worker: str
    request: bytes | None
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters of a link that died of the same."""

    link: str
    error: str
    count: int
    first_at: datetime
    last_at: datetime
    last_id: int


def queues(connection: Connection, database: Database, links: Sequence[str] | None = None) -> list[Queue]:
    """Every lane, by link; ``links``: of these only."""
    now = database.now(connection)
    counted: dict[str, tuple[int, datetime, int]] = {}
    dead: dict[str, int] = {}
    c = _message.c
    for state in (PENDING, DEAD):
        told = select(c.link, func.count(), func.min(c.at), func.min(c.id)).where(c.state == state).group_by(c.link)
        for link, count, oldest, head in connection.execute(_of(told, links)):
            if state == PENDING:
                counted[link] = count, oldest, head
            else:
                dead[link] = count
    asked = select(_lane).order_by(_lane.c.link, _lane.c.way)
    if links is not None:
        asked = asked.where(_lane.c.link.in_(links))
    found = []
    for row in connection.execute(asked):
        count, oldest, head = counted.get(row.link, (0, None, None)) if row.way == PUSH else (0, None, None)
        is_held = row.lease_until is not None and row.lease_until > now
        found.append(
            Queue(
                row.link,
                row.way,
                count,
                dead.get(row.link, 0) if row.way == PUSH else 0,
                oldest,
                head,
                row.due_at,
                row.in_flight_to if is_held else None,
                row.worker if is_held else None,
                row.failures,
                row.breaker,
                row.failed_since,
                row.paused_until if row.paused_until and row.paused_until > now else None,
                row.paused_by,
                row.pause_reason,
                row.blocked_by,
                row.last_error,
                row.last_detail,
                row.last_failure_at,
                row.last_success_at,
            )
        )
    return found


def _of(asked: Select[Any], links: Sequence[str] | None) -> Select[Any]:
    return asked if links is None else asked.where(_message.c.link.in_(links))


def _where(wanted: Filter) -> Any:
    c = _message.c
    told = [
        c.link.in_(wanted.links) if wanted.links is not None else None,
        c.id.in_(wanted.ids) if wanted.ids is not None else None,
        c.state == wanted.state if wanted.state else None,
        c.kind == wanted.kind if wanted.kind else None,
        or_(c.reason == wanted.error, c.reason.startswith(wanted.error + ":", autoescape=True))
        if wanted.error
        else None,
        c.id >= first_id(wanted.since) if wanted.since else None,
        c.id <= wanted.upto if wanted.upto is not None else None,
        c.id < wanted.before if wanted.before is not None else None,
        c.id > wanted.behind if wanted.behind is not None else None,
    ]
    return and_(True, *(each for each in told if each is not None))


def messages(connection: Connection, wanted: Filter, most: int = 50) -> list[Shown]:
    """The messages of the filter, the newest first."""
    asked = select(_message).where(_where(wanted)).order_by(_message.c.id.desc()).limit(min(most, MAX_PAGE))
    return [Shown(*row) for row in connection.execute(asked)]


def count(connection: Connection, wanted: Filter) -> tuple[int, int | None]:
    """How many messages the filter has, and the greatest id of them."""
    row = connection.execute(select(func.count(), func.max(_message.c.id)).where(_where(wanted))).one()
    return row[0], row[1]


def message(connection: Connection, message_id: int) -> Shown:
    """Errors: MessageNotFound."""
    row = connection.execute(select(_message).where(_message.c.id == message_id)).first()
    if row is None:
        raise MessageNotFound(message_id)
    return Shown(*row)


def has_file(connection: Connection, link: str, digest: str) -> bool:
    """Whether a file with this digest was queued for the link, as far back as messages are kept."""
    c = _message.c
    named = cast(c.body, Text).contains(f'"file":"{digest}"', autoescape=True)
    asked = select(c.id).where(c.link == link, c.kind == LOAD, c.state != CANCELLED, named).limit(1)
    return connection.execute(asked).first() is not None


def attempts(connection: Connection, told: Shown, most: int = 50) -> list[Tried]:
    """The story of a message: every attempt that it was part of, the newest first."""
    c = _attempt.c
    asked = (
        select(_attempt)
        .where(c.link == told.link, c.way == PUSH, c.message_id <= told.id, c.last_id >= told.id)
        .order_by(c.id.desc())
        .limit(min(most, MAX_PAGE))
    )
    return [Tried(*row) for row in connection.execute(asked)]


def looks(connection: Connection, link: str, most: int) -> list[Tried]:
    """What came of asking the link for news, and of looking into its folder, the newest first."""
    c = _attempt.c
    asked = select(_attempt).where(c.link == link, c.way != PUSH).order_by(c.id.desc()).limit(min(most, MAX_PAGE))
    return [Tried(*row) for row in connection.execute(asked)]


def groups(connection: Connection, links: Sequence[str] | None = None) -> list[Group]:
    """Dead letters by link and error, the link with the newest first."""
    c = _message.c
    asked = select(c.link, c.reason, func.count(), func.min(c.at), func.max(c.at), func.max(c.id))
    asked = _of(asked.where(c.state == DEAD).group_by(c.link, c.reason), links)
    found: dict[tuple[str, str], Group] = {}
    for link, reason, number, first, last, last_id in connection.execute(asked):
        error = (reason or "").partition(":")[0]
        known = found.get((link, error))
        found[link, error] = (
            Group(link, error, number, first, last, last_id)
            if known is None
            else Group(
                link,
                error,
                known.count + number,
                min(known.first_at, first),
                max(known.last_at, last),
                max(known.last_id, last_id),
            )
        )
    return sorted(found.values(), key=lambda group: -group.last_id)


# Changing ---------------------------------------------------------------------------------------------------


def pause(connection: Connection, link: str, until: datetime, actor: str, reason: str) -> int:
    """Nothing is sent to the link, nor asked of it, until then; what is under way is finished. How many lanes."""
    told = {"paused_until": until, "paused_by": actor, "pause_reason": reason[:MAX_TEXT]}
    return connection.execute(update(_lane).where(_lane.c.link == link).values(told)).rowcount


def resume(connection: Connection, link: str) -> int:
    """End a pause, and try at once: also where the next try would come later."""
    told = {"paused_until": None, "paused_by": None, "pause_reason": None, "due_at": None}
    return connection.execute(update(_lane).where(_lane.c.link == link).values(told)).rowcount


def requeue(connection: Connection, database: Database, wanted: Filter) -> int:
    """Dead letters of the filter are pending again, in their places; how many, MAX_BULK at most."""
    return _reopen(connection, database, replace(wanted, state=DEAD), PENDING, None)


def skip(connection: Connection, database: Database, wanted: Filter, actor: str, reason: str) -> int:
    """Pending or dead messages of the filter are never delivered; how many, MAX_BULK at most."""
    return _reopen(connection, database, wanted, CANCELLED, f"{actor}: {reason}"[:MAX_TEXT])


def _reopen(connection: Connection, database: Database, wanted: Filter, state: str, reason: str | None) -> int:
    """Give the messages another state. Lanes are locked first, so that no worker starts what is being changed."""
    c, now = _message.c, database.now(connection)
    asked = select(c.id, c.link).where(_where(wanted), c.state.in_((PENDING, DEAD))).order_by(c.id).limit(MAX_BULK)
    found = [(row.id, row.link) for row in connection.execute(asked)]
    under_way = _lock(connection, sorted({link for _, link in found}), now)
    # Read once more, behind the lock. What is dead is never under way.
    states = dict(connection.execute(select(c.id, c.state).where(c.id.in_([each for each, _ in found]))).all())
    ids = [each for each, link in found if states.get(each) == DEAD or each > under_way.get(link, 0)]
    if not ids:
        return 0
    told: dict[str, Any] = {"state": state, "done_at": None if state == PENDING else now}
    if reason:
        told["reason"] = reason
    changed = connection.execute(
        update(_message).where(c.id.in_(ids), c.state.in_((PENDING, DEAD))).values(told)
    ).rowcount
    _free(connection, found, ids)
    return changed


def _lock(connection: Connection, links: Sequence[str], now: datetime) -> dict[str, int]:
    """Lock the lanes; of each link up to which message a worker has them under way."""
    asked = select(_lane.c.link, _lane.c.in_flight_to, _lane.c.lease_until).where(
        _lane.c.link.in_(links), _lane.c.way == PUSH
    )
    rows = connection.execute(asked.order_by(_lane.c.link).with_for_update()).all()
    return {
        row.link: row.in_flight_to for row in rows if row.in_flight_to and row.lease_until and row.lease_until > now
    }


def _free(connection: Connection, found: Sequence[tuple[int, str]], ids: Sequence[int]) -> None:
    """Lanes look again from the first of these messages on, at once; those blocked by one of them are free."""
    first: dict[str, int] = {}
    for message_id, link in found:
        first.setdefault(link, message_id)
    for link, message_id in first.items():
        lane = and_(_lane.c.link == link, _lane.c.way == PUSH)
        told = {"due_at": None, "failures": 0, "alike": 0, "failed_since": None, "breaker": "closed"}
        connection.execute(update(_lane).where(lane).values(told))
        connection.execute(update(_lane).where(lane, _lane.c.seek >= message_id).values(seek=message_id - 1))
        connection.execute(update(_lane).where(lane, _lane.c.blocked_by.in_(ids)).values(blocked_by=None))


def edit(connection: Connection, database: Database, message_id: int, body: bytes) -> None:
    """Give a pending or dead message another body. Errors: MessageNotFound, MessageNotOpen, BadMessage."""
    told = message(connection, message_id)
    if len(body) > MAX_BODY:
        raise BadMessage(f"a body has up to {MAX_BODY} bytes", where="body")
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        decoded = None
    if not isinstance(decoded, dict):
        raise BadMessage("expected a JSON object", where="body")
    under_way = _lock(connection, [told.link], database.now(connection))
    given = {"id": message_id, "body": _encode(decoded).decode()}
    state = message(connection, message_id).state
    is_free = state == DEAD or message_id > under_way.get(told.link, 0)
    if not is_free or not run(connection, [(EDIT, given)])[0]:
        raise MessageNotOpen(state)


def replay(connection: Connection, database: Database, stamps: Stamps, wanted: Filter) -> tuple[int, int]:
    """Send delivered messages of the filter once more, behind what waits; how many, MAX_BULK at most, and the last.

    Absolute values are left out: only the newest counts, and it was delivered.
    """
    c, now = _message.c, database.now(connection)
    asked = select(_message).where(_where(wanted), c.state == DELIVERED, c.subject.is_(None)).order_by(c.id)
    rows = connection.execute(asked.limit(MAX_BULK)).all()
    last = rows[-1].id if rows else 0
    copies = [
        {
            **row._mapping,
            "id": stamps.take(now),
            "body": msgspec.Raw(row.body),
            "state": PENDING,
            "at": now,
            "attempts": 0,
            "reason": None,
            "done_at": None,
            "replays_id": row.replays_id or row.id,
        }
        for row in rows
    ]
    put(connection, copies)
    return len(copies), last


def forget(connection: Connection, before: datetime, most: int) -> int:
    """Throw away messages that came to an end before then, and attempts of before then; how many of both."""
    c, a = _message.c, _attempt.c
    ended = select(c.id).where(c.id < first_id(before), c.state.in_((DELIVERED, CANCELLED))).order_by(c.id).limit(most)
    gone = connection.execute(_message.delete().where(c.id.in_(ended))).rowcount
    tried = select(a.id).where(a.at < before).order_by(a.at).limit(most)
    return gone + connection.execute(_attempt.delete().where(a.id.in_(tried))).rowcount
