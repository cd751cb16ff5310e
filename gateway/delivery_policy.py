"""When a message that was not delivered is tried again, and when it is given up: in tenacity's words, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import tenacity

from processing.outbox import CLOSED, HALF_OPEN, MAX_WAIT, OPEN, Lane, Verdict

STRICT, RELAXED = "strict", "relaxed"
LINK_DOWN, LINK_REFUSED, BAD_REPLY, FAILED = ERRORS = ("link_down", "link_refused", "bad_reply", "failed")


@dataclass(frozen=True, slots=True)
class Attempts:
    """How many failures of one kind in a row a message is given up after; 0: it never is."""

    link_down: int = 0
    link_refused: int = 1
    bad_reply: int = 10
    failed: int = 5


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How a link's queue is worked off. ``order`` strict: behind a dead message the others wait for a person.

    Waits grow from ``first_seconds`` by ``multiplier`` to ``most_seconds``, each with up to ``jitter_seconds`` more.
    ``give_up_hours`` after the first failure of a row a message is given up, whatever the failure (0: never).
    ``breaker_failures`` failures of the line in a row open the breaker: then one message is the probe.
    """

    order: str = STRICT
    first_seconds: int = 2
    most_seconds: int = 900
    multiplier: int = 2
    jitter_seconds: int = 5
    attempts: Attempts = Attempts()
    give_up_hours: int = 0
    breaker_failures: int = 5
    per_minute: int = 0
    call_seconds: int = 30
    pull_minutes: int = 15
    folder_seconds: int = 60


def wait_seconds(policy: DeliverySettings, failures: int) -> float:
    """How long to wait after so many failures in a row, with jitter."""
    growing = tenacity.wait_exponential(
        multiplier=policy.first_seconds, max=policy.most_seconds, exp_base=policy.multiplier
    )
    wait = growing + tenacity.wait_random(0, policy.jitter_seconds)
    return wait(_after(failures))


def _after(attempts: int, seconds: float = 0.0) -> tenacity.RetryCallState:
    """What tenacity's strategies look at: so many attempts, since so many seconds."""
    state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # nobody calls anything
    state.attempt_number = attempts
    state.outcome_timestamp = state.start_time + seconds
    return state


def gives_up(policy: DeliverySettings, outcome: str, attempts: int, failing_seconds: float) -> bool:
    """Whether a message is given up after so many attempts, while the link has been failing for so long."""
    stops: list[tenacity.stop.stop_base] = []
    if most := getattr(policy.attempts, outcome):
        stops.append(tenacity.stop_after_attempt(most))
    if policy.give_up_hours:
        stops.append(tenacity.stop_after_delay(policy.give_up_hours * 3600))
    return bool(stops) and tenacity.stop_any(*stops)(_after(attempts, failing_seconds))


def verdict(
    policy: DeliverySettings,
    lane: Lane,
    messages: int,
    outcome: str,
    retry_seconds: float | None,
    now: datetime,
) -> Verdict:
    """What a failure of this kind does to the lane, with so many messages under way. ``retry_seconds``: what the far
    side asked for."""
    failures = lane.failures + 1
    seconds = wait_seconds(policy, failures) if retry_seconds is None else max(0.0, retry_seconds)
    due_at = now + min(timedelta(seconds=seconds), MAX_WAIT)
    is_down = outcome == LINK_DOWN and (failures >= policy.breaker_failures or lane.breaker == HALF_OPEN)
    breaker = OPEN if is_down else CLOSED
    # Of several messages nobody knows which one is to blame: they are tried one by one from here on.
    if messages != 1:
        return Verdict(due_at, breaker)
    failing = (now - (lane.failed_since or now)).total_seconds()
    if not gives_up(policy, outcome, lane.alike_with(outcome), failing):
        return Verdict(due_at, breaker)
    return Verdict(due_at if is_down else None, breaker, gives_up=True, blocks=policy.order == STRICT)
