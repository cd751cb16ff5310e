"""What a link's lane is doing, and why its head waits: pure, from the row that steering tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.console.texts import gettext as _
from gateway.console.words import (
    BAD,
    BROKEN,
    FAILED,
    NEW,
    PAUSED,
    RETRYING,
    STATES,
    WORKS,
    age,
    moment,
    outcome_word,
    place,
)
from processing.outbox import CLOSED, PUSH
from processing.steering import Queue

# Longer than any worker's pause: who is due for so long is not looked after.
UNATTENDED = timedelta(minutes=2)


def has_failed_last(lane: Queue) -> bool:
    """Whether the last thing that is known of the far side is a failure."""
    failed, succeeded = lane.last_failure_at, lane.last_success_at
    return failed is not None and (succeeded is None or failed > succeeded)


def state_of(lane: Queue) -> str:
    """One of words.STATES. Green only after a success that the far side has acknowledged."""
    if lane.paused_until is not None:
        return PAUSED
    if lane.blocked_by is not None:
        return BROKEN
    if lane.breaker != CLOSED:
        return BAD
    if has_failed_last(lane):
        return RETRYING if lane.pending or lane.way != PUSH else FAILED
    return NEW if lane.last_success_at is None else WORKS


def worst(states: Iterable[str]) -> str:
    """The worst of them; without any: nothing is set up."""
    order = list(STATES)
    return min(states, key=order.index, default=NEW)


@dataclass(frozen=True, slots=True)
class Why:
    """Why the head waits, as a sentence; ``is_problem``: somebody has to act."""

    text: str
    is_problem: bool = False


def why(lane: Queue, now: datetime, zone: str) -> Why:
    """What the lane waits for."""
    if lane.paused_until is not None:
        until = f"{moment(lane.paused_until, zone)} ({place(zone)})"
        told = {"until": until, "by": lane.paused_by or "", "reason": lane.pause_reason or ""}
        return Why(_("Paused until %(until)s by %(by)s: %(reason)s") % told)
    if lane.blocked_by is not None:
        return Why(_("The others wait behind a dead message: send it again or skip it."), True)
    if lane.in_flight_to is not None:
        return Why(_("Being sent just now."))
    failure = f"{outcome_word(lane.last_error or '')}: {lane.last_detail or ''}".strip(": ")
    if lane.due_at is not None and lane.due_at > now and (lane.pending or lane.way != PUSH):
        if not has_failed_last(lane):
            return Why(_("Next time in %(age)s.") % {"age": age(lane.due_at - now)})
        return Why(
            _("Next try in %(age)s. The last one: %(failure)s") % {"age": age(lane.due_at - now), "failure": failure}
        )
    if lane.pending:
        if lane.oldest_at is not None and now - max(lane.oldest_at, lane.due_at or lane.oldest_at) > UNATTENDED:
            return Why(_("Due, and nobody sends it: is the worker running?"), True)
        return Why(_("To be sent within seconds."))
    if has_failed_last(lane):
        return Why(_("Nothing waits. The last try failed: %(failure)s") % {"failure": failure})
    if lane.last_success_at is None:
        return Why(_("Nothing was sent yet."))
    return Why(_("Everything is sent."))
