"""Once: one request key, one effect, one answer (design law 2) for commands without versions of their own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import msgspec

from processing.claims import POSTED, Claim, is_by_likeness
from processing.commands import Command, PostReceipt
from processing.errors import AlreadyVoided, KeyReused
from processing.results import Result
from processing.state import State

R = TypeVar("R", bound=Result)

KEYS_CONFLICT = "keys_conflict"
# It equals the last one of its till, which has locked the card anew since: two purchases, or one that was rung twice.
ALIKE = "alike"

_encode = msgspec.json.Encoder(order="deterministic").encode


def content(state: State, command: Command[Any]) -> str:
    """A digest over what makes two messages the same: everything but the keys, the attempt, who sent it and PINs.

    A PIN does not count, because whoever knew the key of what it paid could try all of them at no cost. Under the
    index key, because a command may hold a name and a phone that could be guessed from a bare digest.
    """
    if command.content:
        return command.content
    bare = msgspec.structs.replace(command, **_unlike(type(command)))
    if isinstance(bare, PostReceipt) and any(use.pin for use in bare.cards):
        without_pins = tuple(msgspec.structs.replace(use, pin="") for use in bare.cards)
        bare = msgspec.structs.replace(bare, cards=without_pins)
    return state.vault.blind_index("content", _encode(bare).decode()).hex()


@cache
def _unlike(kind: type[Command[Any]]) -> dict[str, Any]:
    """The fields of a command that do not count, each with what stands in its place."""
    nothing: dict[str, Any] = {"keys": (), "actor": "", "stamp": None, "pin": ""}
    return {name: none for name, none in nothing.items() if name in kind.__struct_fields__}


def replay(state: State, claim: Claim, command: Command[Any], expected: type[R]) -> R:
    """The stored answer to the same content. Errors: KeyReused."""
    if claim.content != content(state, command):
        raise KeyReused("the same key came with other content")
    stored = claim.again()
    if not isinstance(stored, expected):
        raise KeyReused("the same key came with another command")
    return stored


def is_alike(state: State, command: Command[Any]) -> bool:
    """Whether the last command of the same likeness lies within the window."""
    if not is_by_likeness(command) or not command.window_seconds:
        return False
    head = state.heads(command)[0]
    return head.state == POSTED and state.now - (head.stamp or state.now) <= timedelta(seconds=command.window_seconds)


def never(claim: Claim) -> bool:
    return False


def once(
    state: State,
    command: Command[Any],
    expected: type[R],
    do: Callable[[], tuple[R, int | None]],
    is_over: Callable[[Claim], bool] = never,
) -> R:
    """The stored answer when the key is known; else what ``do`` answers, kept with the operation it booked.

    ``is_over``: what a known key stands for is no more, and it may stand for something new.

    Errors: KeyReused, AlreadyVoided, and whatever ``do`` refuses with before it changes anything.
    """
    head, *others = state.heads(command)
    if others:
        raise KeyReused("the keys name different things")
    if not head.is_fresh and is_by_likeness(command):
        alike = head.again() if is_alike(state, command) and not state.is_locked_since(command, head.stamp) else None
        if isinstance(alike, expected):
            return alike
        state.lay_aside(head)
    is_new = head.is_fresh or is_over(head)
    if head.state == POSTED and not is_new:
        answer = replay(state, head, command, expected)
        state.attach(command, head)
        return answer
    if not is_new:
        raise AlreadyVoided("this was voided")
    result, operation_id = do()
    head.content = content(state, command)
    head.settle(POSTED, result, operation_id, state.now)
    state.attach(command, head)
    return result
