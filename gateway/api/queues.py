"""The outbox: what waits for stores and partner systems, and what may be done about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

from flask import g
from marshmallow import Schema
from sqlalchemy import Connection

from gateway.api import cursors
from gateway.api import fields as f
from gateway.api.operations import next_cursor, question_of
from gateway.api.section import Section, client, rest
from gateway.delivery import opened
from gateway.delivery_policy import ERRORS
from gateway.mask import mask
from gateway.settings import LinkSettings
from processing import audit, steering
from processing.directory import CENTRE_ID
from processing.errors import NoSuchRoute
from processing.events import KINDS
from processing.steering import Filter, MessageNotFound, Queue, Shown, Tried

section = Section("queues", "What waits for stores and partner systems")

READ, WRITE = "queues:read", "queues:write"
STATES = ("pending", "dead", "delivered", "cancelled")
MAX_SHOWN = 16_000
MAX_REASON = 200
NUMBER = "[0-9]{1,18}"


class QueueSchema(f.Told):
    link = f.told("code of the link")
    way = f.told("push: messages are sent; pull: the far side is asked for news")
    doing = f.told("paused, blocked, sending, failing, waiting or idle")
    pending = f.told_whole("messages that wait")
    dead = f.told_whole("messages that were given up")
    oldest_at = f.told_at("when the oldest that waits was booked; null for none", allow_none=True)
    failures = f.told_whole("in a row")
    breaker = f.told("closed, open or half_open")
    due_at = f.told_at("when it is tried next; null: as soon as there is something", allow_none=True)
    paused_until = f.told_at("null: it is not paused", allow_none=True)
    paused_by = f.told("empty: it is not paused")
    pause_reason = f.told("empty: it is not paused")
    blocked_by = f.told("the dead message behind which the others wait; empty for none")
    last_error = f.told("of what the last failure was; empty for none")
    last_detail = f.told("and more of it")
    last_success_at = f.told_at("null: never", allow_none=True)


class QueuesSchema(f.Told):
    queues = f.told_some(QueueSchema)


class MessagesQuerySchema(Schema):
    state = f.one_of(*STATES, describe="only of this state", example="dead")
    kind = f.one_of(*sorted(KINDS), describe="only of this kind", example="operation_posted")
    cursor = f.cursor()
    limit = f.limit()


class MessageSchema(f.Told):
    message_id = f.told("a number of 19 digits, as text")
    link = f.told("code of the link")
    kind = f.told("what it tells")
    state = f.told("pending, dead, delivered or cancelled")
    at = f.told_at("when its cause was booked")
    attempts = f.told_whole("so far")
    reason = f.told("why the last attempt failed, or why it was cancelled")
    done_at = f.told_at("null while it is pending", allow_none=True)


class MessagesSchema(f.Told):
    messages = f.told_some(MessageSchema, "newest first")
    cursor = f.told("asks for the next page; empty on the last one")


class AttemptSchema(f.Told):
    at = f.told_at()
    outcome = f.told("delivered, not_yet, lease_lost, or of what it failed")
    detail = f.told("more of it")
    took_us = f.told_whole("microseconds")
    worker = f.told("host and process")
    request = f.told("the last call, masked")
    answer = f.told("the last reply, masked")


class StorySchema(MessageSchema):
    body = f.told("JSON, masked")
    story = f.told_some(AttemptSchema, "newest first")


@section.read("/queues", QueuesSchema, READ)
def read_queues() -> Any:
    """Read the queues

    One for each link that has a far side: how much waits, since when, and what the link is doing.
    """
    own = rest()
    links = [code for code, link in own.settings.links.items() if _is_own(link)]
    with own.database.reading() as connection:
        return {"queues": [_queue(each) for each in steering.queues(connection, own.database, links)]}


@section.read("/queues/<link>/messages", MessagesSchema, READ, MessagesQuerySchema)
def read_messages(asked: dict[str, Any], link: str) -> Any:
    """Read a page of a link's messages

    Newest first, also those that were delivered or cancelled.
    """
    _link(link)
    question, limit = question_of(f"messages {link}", asked), asked["limit"]
    behind = cursors.read(question, asked["cursor"])
    wanted = Filter([link], state=asked["state"] or None, kind=asked["kind"] or None, before=behind and behind[1])
    with rest().database.reading() as connection:
        found = steering.messages(connection, wanted, limit + 1)
    told = [_message(each) for each in found[:limit]]
    return {"messages": told, "cursor": next_cursor(question, list(found), limit, "at")}


@section.read("/queues/<link>/messages/<int:message_id>", StorySchema, READ)
def read_message(link: str, message_id: int) -> Any:
    """Read a message and its attempts

    What was sent and answered each time, masked whatever the scopes.
    """
    _link(link)
    own = rest()
    with own.database.reading() as connection:
        try:
            told = steering.message(connection, message_id)
        except (MessageNotFound, OverflowError):
            raise NoSuchRoute("no such message") from None
        if told.link != link:
            raise NoSuchRoute("no such message")
        story = steering.attempts(connection, told)
    made = _message(told)
    made.body = _shown(told.body)
    made.story = [_attempt(each) for each in story]
    return made


class PauseBody(Schema):
    """What pauses a queue."""

    class Meta:
        unknown = "raise"

    example: ClassVar[dict[str, Any]] = {"until": "2026-12-01T06:00:00Z", "reason": "works on the line"}

    until = f.instant("nothing is sent before then", required=True)
    reason = f.text(MAX_REASON, required=True, metadata={"description": "why; others read it"})


class ResumeBody(Schema):
    """Why a queue goes on."""

    class Meta:
        unknown = "raise"

    example: ClassVar[dict[str, Any]] = {"reason": "the line works again"}

    reason = f.text(MAX_REASON, load_default="", metadata={"description": "for the audit log"})


class WhichBody(Schema):
    """Which messages of the link: all that match; none that is newer than ``upto``."""

    class Meta:
        unknown = "raise"

    example: ClassVar[dict[str, Any]] = {"error": "link_refused"}

    message_id = f.text(20, pattern=NUMBER, words="a number", load_default="", metadata={"description": "only this"})
    error = f.one_of(*ERRORS, describe="only those that failed of this", example="link_refused")
    kind = f.one_of(*sorted(KINDS), describe="only of this kind", example="operation_posted")
    upto = f.text(20, pattern=NUMBER, words="a number", load_default="", metadata={"description": "none behind this"})


class SkipBody(WhichBody):
    """Which messages of the link shall never be delivered, and why."""

    example: ClassVar[dict[str, Any]] = {"error": "link_refused", "reason": "the shop is closed"}

    reason = f.text(MAX_REASON, required=True, metadata={"description": "why; others read it"})


class ChangedSchema(f.Told):
    changed = f.told_whole("how many; of messages at most 1,000: ask again until it is 0")


@section.change("/queues/<link>/pause", PauseBody, ChangedSchema, WRITE)
def pause(asked: dict[str, Any], link: str) -> Any:
    """Pause a queue

    Nothing is sent to the link until then; what is under way is finished.
    """
    details = {"until": asked["until"].isoformat(), "reason": asked["reason"]}
    with _changing("queue_paused", link, details) as connection:
        return {"changed": steering.pause(connection, link, asked["until"], g.actor, asked["reason"])}


@section.change("/queues/<link>/resume", ResumeBody, ChangedSchema, WRITE)
def resume(asked: dict[str, Any], link: str) -> Any:
    """Resume a queue

    Ends a pause, and tries at once, also where the next try would come later.
    """
    with _changing("queue_resumed", link, asked) as connection:
        return {"changed": steering.resume(connection, link)}


@section.change("/queues/<link>/requeue", WhichBody, ChangedSchema, WRITE)
def requeue(asked: dict[str, Any], link: str) -> Any:
    """Put dead letters back into their places in the queue

    A link that waits behind one of them goes on.
    """
    with _changing("messages_requeued", link, asked) as connection:
        return {"changed": steering.requeue(connection, rest().database, _filter(asked, link))}


@section.change("/queues/<link>/skip", SkipBody, ChangedSchema, WRITE)
def skip(asked: dict[str, Any], link: str) -> Any:
    """Never deliver messages that wait or were given up

    They stay to be seen, as cancelled, with the reason.
    """
    with _changing("messages_skipped", link, asked) as connection:
        changed = steering.skip(connection, rest().database, _filter(asked, link), g.actor, asked["reason"])
        return {"changed": changed}


@contextmanager
def _changing(action: str, link: str, details: dict[str, Any]) -> Iterator[Connection]:
    """A transaction whose change stands in the audit log. Errors: NoSuchRoute, Forbidden."""
    _link(link)
    own = rest()
    with own.database.transaction() as connection:
        yield connection
        told = {name: value for name, value in details.items() if value}
        audit.record(connection, own.database, g.actor, action, CENTRE_ID, link, told)


def _filter(asked: dict[str, Any], link: str) -> Filter:
    ids = [int(asked["message_id"])] if asked["message_id"] else None
    upto = int(asked["upto"]) if asked["upto"] else None
    return Filter([link], ids, kind=asked["kind"] or None, error=asked["error"] or None, upto=upto)


def _link(code: str) -> LinkSettings:
    """A link with a queue. Errors: NoSuchRoute for none, Forbidden for one of another store."""
    settings = rest().settings.links.get(code)
    if settings is None or settings.far_side is None:
        raise NoSuchRoute("no such queue", link=code[:64])
    client().check_store(settings.store)
    return settings


def _is_own(link: LinkSettings) -> bool:
    own = client().stores
    return own is None or link.store in own


def _queue(told: Queue) -> SimpleNamespace:
    is_paused = told.paused_until is not None
    return SimpleNamespace(
        link=told.link,
        way=told.way,
        doing=told.doing,
        pending=told.pending,
        dead=told.dead,
        oldest_at=told.oldest_at,
        failures=told.failures,
        breaker=told.breaker,
        due_at=told.due_at,
        paused_until=told.paused_until,
        paused_by=told.paused_by if is_paused else "",
        pause_reason=told.pause_reason if is_paused else "",
        blocked_by=str(told.blocked_by or ""),
        last_error=told.last_error or "",
        last_detail=told.last_detail or "",
        last_success_at=told.last_success_at,
    )


def _message(told: Shown) -> SimpleNamespace:
    return SimpleNamespace(
        message_id=str(told.id),
        link=told.link,
        kind=told.kind,
        state=told.state,
        at=told.at,
        attempts=told.attempts,
        reason=told.reason or "",
        done_at=told.done_at,
    )


def _attempt(told: Tried) -> SimpleNamespace:
    vault = rest().vault
    return SimpleNamespace(
        at=told.at,
        outcome=told.outcome,
        detail=told.detail or "",
        took_us=told.took_us,
        worker=told.worker,
        request=_shown(opened(vault, told.request)),
        answer=_shown(opened(vault, told.answer)),
    )


def _shown(told: bytes) -> str:
    return mask(told, frozenset())[:MAX_SHOWN]
