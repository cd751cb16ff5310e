"""Request keys as a batch has locked them: what each stands for, and which keys a command is about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeGuard

import msgspec

from processing.commands import (
    CaptureHold,
    Command,
    DecideAdjustment,
    Exchange,
    PlaceHold,
    PostReceipt,
    ReleaseHold,
    RestoreReceipt,
    ReturnReceipt,
    VoidReceipt,
)
from processing.results import AnyStoredResult, Result

# States of a request key: what it stands for.
NONE = "none"
POSTED = "posted"
ROLLED_BACK = "rolled_back"
RETURNED = "returned"
TOMBSTONE = "tombstone"

LIKENESS = "like:"
# What has versions under its keys, and needs them.
VERSIONED = (PostReceipt, VoidReceipt, RestoreReceipt, ReturnReceipt, Exchange)

_decode_answer: Any = msgspec.json.Decoder(AnyStoredResult).decode
_encode = msgspec.json.Encoder().encode


class Claim(msgspec.Struct):
    """A request key, locked. ``answer`` is the stored one as JSON, ``result`` the same decoded.

    ``stamp`` is the till's time of the newest attempt that is known, ``void_stamp`` the last void's own. State
    ``none`` with a stamp: a newer version was refused, and what is older than it was abandoned by the till.
    """

    store_id: int
    key: str
    same_as: str | None = None
    state: str = NONE
    content: str | None = None
    stamp: datetime | None = None
    operation_id: int | None = None
    answer: str | None = None
    void_stamp: datetime | None = None
    result: Result | None = None
    is_changed: bool = False

    @property
    def is_fresh(self) -> bool:
        """Nobody has used this key before, or nothing came of it."""
        return self.state == NONE and self.stamp is None and self.same_as is None

    def admits(self, stamp: datetime | None) -> bool:
        """Whether an attempt comes after what ended the receipt; without a till's stamp it never comes after a void."""
        if self.state == NONE:
            return stamp is None or self.stamp is None or stamp >= self.stamp
        return stamp is not None and self.stamp is not None and stamp > self.stamp

    def stored(self) -> Result:
        """The answer given when this key was settled."""
        if self.result is None:
            self.result = _decode_answer(self.answer)
        assert self.result is not None
        return self.result

    def again(self) -> Result:
        """The stored answer, marked as one."""
        return msgspec.structs.replace(self.stored(), replayed=True)

    def settle(self, state: str, result: Result, operation_id: int | None, stamp: datetime) -> None:
        """What the key stands for from now on, and how it is answered when it comes again."""
        self.state, self.operation_id, self.stamp = state, operation_id, stamp
        self.result, self.answer = result, _encode(result).decode()
        self.is_changed = True


def parts(command: Command[Any]) -> tuple[Command[Any], ...]:
    """The command itself, or those that it is made of."""
    return (command.returned, command.sold) if isinstance(command, Exchange) else (command,)


def is_by_likeness(command: Command[Any]) -> bool:
    """Whether a command has no key and is the same as the last one alike, for a while."""
    return not command.keys and bool(command.likeness) and not isinstance(command, VERSIONED)


def is_lock(command: Command[Any]) -> TypeGuard[PlaceHold | ReleaseHold]:
    """Whether a command is about what its owner has locked: it needs no key, for a repeat does no harm."""
    if command.keys or not isinstance(command, (PlaceHold, ReleaseHold)):
        return False
    return bool(command.owner and command.card)


def own_keys(command: Command[Any]) -> tuple[str, ...]:
    """The request keys of a command; one that has none and tells a likeness is known by that, and by its owner."""
    if is_by_likeness(command):
        return (f"{LIKENESS}{type(command).__name__.lower()}:{alike_to(command)}",)
    return command.keys


def alike_to(command: Command[Any]) -> str:
    """What two commands share when one may be the other again."""
    owner = getattr(command, "owner", "")
    return f"{owner}|{command.likeness}" if owner else command.likeness


def named_keys(command: Command[Any]) -> Iterator[tuple[str, str]]:
    """(store code, key) of what was asked for before and this command is about."""
    if isinstance(command, PostReceipt):
        for use in command.cards:
            if use.hold:
                yield command.store, use.hold
    elif isinstance(command, ReturnReceipt) and command.sale:
        yield command.sale_store or command.store, command.sale
    elif isinstance(command, (CaptureHold, ReleaseHold)) and not is_lock(command):
        yield command.store, command.hold
    elif isinstance(command, PlaceHold) and command.pays:
        yield command.store, command.pays
    elif isinstance(command, DecideAdjustment):
        yield command.store, command.adjustment
