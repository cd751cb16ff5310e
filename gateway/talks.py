"""Talks with far sides: what an adapter's push, pull or login says is done call by call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

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
    retry_seconds,
)
from adapters.talks import listen
from gateway.delivery_policy import FAILED, DeliverySettings
from gateway.mask import mask
from gateway.transport_files import Shelf
from gateway.turns import Turn, Turns
from processing.commands import Query
from processing.database import trace
from processing.errors import BadMessage, BadReply, LinkRefused, LoyaltyError, NotYet, Undelivered
from processing.results import Result

TEST = "test"
# How long a lease outlives the longest talk.
LEASE_MARGIN_SECONDS = 30.0
MAX_MESSAGES = 1_000
# A session is renewed before its end.
SESSION_MARGIN = 0.9
UNAUTHORIZED, THROTTLED = 401, 429
# How long the end of a session may keep a lane whose work is done; its lease outlives the talk by more.
GOODBYE_SECONDS = 10.0
# How long a talk waits for books that are busy.
BUSY_SECONDS = 5.0
# Of what was said and heard so much is kept with the attempt.
MAX_KEPT = 16 << 10

log = structlog.get_logger()


class Transport(Protocol):
    """Does the calls of one link. Errors: LinkDown, LinkRefused, BadReply."""

    def call(self, call: Call, session: Session | None, deadline: float) -> Reply: ...

    def shelf(self) -> Shelf: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Outgoing:
    """A link as delivery sees it."""

    link: Link
    adapter: Adapter
    policy: DeliverySettings
    secrets: Mapping[str, str]
    # Told whether the line may be tried again within a call: not where it has failed before.
    transport: Callable[[bool], Transport]
    has_folder: bool = False
    # Whose calls the far side counts together, where the adapter has a pace.
    login: str = ""

    @property
    def batch(self) -> int:
        return min(self.adapter.push.batch(self.link), MAX_MESSAGES) if self.adapter.push else 1

    @property
    def has_files(self) -> bool:
        """Whether there is a folder from which the adapter reads."""
        return bool(self.adapter.files) and self.has_folder

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.policy.call_seconds + LEASE_MARGIN_SECONDS)


@dataclass(slots=True)
class Line:
    """One lane at work: what was said last, and heard, for the story of the attempt."""

    out: Outgoing
    transport: Transport
    deadline: float
    said: bytes = b""
    heard: bytes = b""
    # Since when the far side owes an answer, or others have the login, by the monotonic clock.
    waits_since: float | None = None
    # One that ends with the talk.
    session: Session | None = None
    turn: Turn | None = None


class Sessions:
    """One login a link, shared by threads and kept until it is nearly over; or one a talk, where that is wanted.

    ``turns`` are those of logins that several links share.
    """

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns = turns or Turns()
        self._kept: dict[str, tuple[Session, float]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, line: Line) -> Session | None:
        """The link's session, after a login where there is none; ``None`` where none is needed."""
        out = line.out
        if out.adapter.login is None or line.session is not None:
            return line.session
        with self._lock:
            lock = self._locks.setdefault(out.link.code, threading.Lock())
        with lock:
            kept = self._kept.get(out.link.code)
            if kept is not None and time.monotonic() < kept[1]:
                return kept[0]
            if kept is not None:
                self._kept.pop(out.link.code, None)
                _leave(out, kept[0], line.transport)
            talk = out.adapter.login(out.secrets, out.link)
            session = talk if isinstance(talk, Session) else listen(talk, lambda call: _say(line, call, None, True))
            if session.for_talk:
                line.session = session
            else:
                self._kept[out.link.code] = session, time.monotonic() + session.seconds * SESSION_MARGIN
            return session

    @contextmanager
    def turn(self, line: Line) -> Iterator[None]:
        """The line's login is this talk's alone, where the far side counts calls by login. Errors: NotYet."""
        if line.out.adapter.pace is None:
            yield
            return
        line.turn = self._turns.of(line.out.login)
        line.waits_since = time.monotonic()
        with line.turn.talk() as waited:
            line.waits_since = None
            line.deadline += waited
            yield

    def drop(self, line: Line, session: Session | None) -> None:
        """The far side knows this session no more, or gives it no rights."""
        link = line.out.link.code
        kept = self._kept.get(link)
        if kept is not None and kept[0] is session:
            self._kept.pop(link, None)
        self.leave(line)

    def leave(self, line: Line) -> None:
        """The talk is over, and with it a session that was for it alone."""
        if line.session is not None:
            _leave(line.out, line.session, line.transport)
            line.session = None

    def end(self, links: Mapping[str, Outgoing]) -> None:
        """Say goodbye where the far side counts sessions."""
        for code, (session, _) in list(self._kept.items()):
            if session.goodbye is not None and code in links:
                transport = links[code].transport(False)
                _leave(links[code], session, transport)
                transport.close()
        self._kept.clear()


def _leave(out: Outgoing, session: Session, transport: Transport) -> None:
    """Say goodbye, where one is said; a far side that does not hear it ends the session by itself."""
    if session.goodbye is not None:
        try:
            transport.call(session.goodbye, session, time.monotonic() + GOODBYE_SECONDS)
        except Undelivered as error:
            log.warning("goodbye_failed", link=out.link.code, reason=error.message)


def _say(line: Line, call: Call, session: Session | None, is_login: bool = False) -> Reply:
    line.said, line.heard = _kept(call, line.out.adapter.private, is_login), b""
    line.waits_since = time.monotonic()
    try:
        if line.turn is not None and line.out.adapter.pace is not None:
            line.turn.wait(line.out.adapter.pace.seconds(line.out.link))
        reply = line.transport.call(call, session, line.deadline)
    finally:
        line.waits_since = None
    line.heard = _kept(reply, line.out.adapter.private, is_login)
    if line.turn is not None and isinstance(reply, HttpReply) and reply.status == THROTTLED:
        line.turn.rest(retry_seconds(reply.headers))
    return reply


def _kept(told: Call | Reply, private: frozenset[str], is_login: bool) -> bytes:
    """What stays with the attempt. Of a login the first line, for secrets travel below it; of adapters that speak of
    people what they do not call private, so that there is nobody to forget."""
    shown = _shown(told)
    if is_login:
        return shown.partition(b"\n")[0]
    return mask(shown, private).encode() if private else shown


def _shown(told: Call | Reply) -> bytes:
    """What is kept of a call or reply; neither headers, where secrets travel, nor written files, which name people."""
    if isinstance(told, HttpCall):
        return f"{told.method} {told.path.partition('?')[0]}\n".encode() + told.body[:MAX_KEPT]
    if isinstance(told, HttpReply):
        return f"HTTP {told.status}\n".encode() + told.body[:MAX_KEPT]
    if isinstance(told, SoapCall):
        return f"SOAP {told.operation} {dict(told.arguments)!r}".encode()[:MAX_KEPT]
    if isinstance(told, SoapReply):
        return repr(told.value).encode()[:MAX_KEPT]
    if isinstance(told, FileWrite):
        return f"write {told.name}, {len(told.content)} bytes".encode()
    if isinstance(told, FileRead):
        return f"read {told.name}".encode()
    assert isinstance(told, FileReply)
    return b"no file" if told.content is None else told.content[:MAX_KEPT]


@dataclass(frozen=True, slots=True)
class Books:
    """The books as talks meet them: ``learn`` takes what a talk has found, ``read`` answers what it asks."""

    learn: Callable[[Found], object]
    read: Callable[[Query[Any]], Result]


def lead(
    line: Line, sessions: Sessions, talk: Callable[[Job, Link], Calling[Any]], job: Job, books: Books
) -> int | Undelivered | None:
    """Lead a push or pull to its end: ``None`` when all is said, how many messages are, or why none is."""

    def answer(told: Call | Found | Query[Any]) -> Reply | Result | None:
        if isinstance(told, Query):
            return books.read(told)
        session = sessions.of(line)
        if isinstance(told, Found):
            books.learn(told)
            for each in told.writes:
                assert isinstance(each, FileWrite), "a pull has read no file that it could mark"
                _say(line, each, session)
            return None
        reply = _say(line, told, session)
        if isinstance(reply, HttpReply) and reply.status == UNAUTHORIZED and session is not None:
            sessions.drop(line, session)
            reply = _say(line, told, sessions.of(line))
        return reply

    try:
        with sessions.turn(line):
            done: int | None = listen(talk(job, line.out.link), answer)
    except Undelivered as error:
        return error
    except BadMessage as error:
        return BadReply(error.message)
    except LoyaltyError as error:
        if error.retryable:
            return NotYet(f"the books are {error.code}", BUSY_SECONDS)
        return LinkRefused(f"the core has refused: {error.code}")
    except Exception as error:
        log.error("push_failed", link=line.out.link.code, reason=type(error).__name__, trace=trace(error))
        return Bug(type(error).__name__)
    finally:
        sessions.leave(line)
    if done is not None and not 0 < done <= len(job.messages):
        return Bug(f"{done} of {len(job.messages)} messages")
    return done


def try_once(out: Outgoing, now: datetime) -> bytes:
    """Send the link an event of the kind "test", past its queue; what it has answered. Errors: Undelivered."""
    assert out.adapter.push is not None
    transport, sessions = out.transport(True), Sessions()
    line = Line(out, transport, time.monotonic() + out.policy.call_seconds)
    job = Job(now, 1, (Message(0, TEST, {"sent_at": now.isoformat()}),))
    try:
        with sessions.turn(line):
            listen(out.adapter.push.talk(job, out.link), lambda call: _say(line, call, sessions.of(line)))
    except BadMessage as error:
        raise BadReply(error.message) from None
    finally:
        sessions.leave(line)
        sessions.end({out.link.code: out})
        transport.close()
    return line.heard


class Bug(Undelivered):
    """An adapter has raised what no adapter may."""

    code = FAILED
