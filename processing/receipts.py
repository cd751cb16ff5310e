"""Receipts: post, void, restore. What a request key stands for moves between a few states.

    none ── post ──> posted ── void ──> rolled_back / returned ── post, newer ──> posted
      └──── void ──> tombstone ── post, newer ──> posted     returned ── restore ──> posted

An attempt that is not newer than the void it meets is refused, whichever of the two came first. A newer
version of a posted receipt reverses it and takes its place in the same transaction; refused, it still
reverses it, because the till has abandoned what it sent before (docs/decisions/0003-receipt-versions.md).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from processing.commands import Command, PostReceipt, RestoreReceipt, VoidReceipt
from processing.errors import (
    AlreadyVoided,
    KeyReused,
)
from processing.keys import KEYS_CONFLICT, content, replay
from processing.purchases import DEBT, movement, post
from processing.results import CardMovement, ReceiptPosted, ReceiptRestored, ReceiptVoided, cards_of
from processing.state import (
    NONE,
    POSTED,
    RETURNED,
    ROLLED_BACK,
    TOMBSTONE,
    Claim,
    State,
)

REVERSED, NOTHING, ORPHAN, RESTORED = "reversed", "nothing", "orphan", "restored"
SUPERSEDED = "superseded"


def post_receipt(state: State, command: PostReceipt) -> ReceiptPosted:
    """Post a receipt, or say again what was said, or replace an older version."""
    head, conflict = _head(state, command)
    stamp = command.stamp or state.now
    flags = list(command.notes) + ([KEYS_CONFLICT] if conflict else [])
    if head.state == POSTED:
        if head.content == content(state, command) or not command.supersede:
            answer = replay(state, head, command, ReceiptPosted)
            _seen(head, stamp)
            state.attach(command, head)
            return answer
        current = _posted(head)
        if head.stamp is not None and stamp < head.stamp:
            state.attach(command, head)
            return current
        _reverse(state, command.store, head, SUPERSEDED)
        head.settle(NONE, current, None, stamp)
        flags.append(SUPERSEDED)
    elif not head.is_fresh and not _is_newer(head, command.stamp):
        raise AlreadyVoided("this attempt of the receipt was voided")
    result = post(state, command, flags)
    head.content = content(state, command)
    head.settle(POSTED, result, result.operation_id, stamp)
    state.attach(command, head)
    return result


def _head(state: State, command: Command[Any]) -> tuple[Claim, bool]:
    """What the command's keys stand for, and whether they stand for different receipts.

    Of several the one that is posted counts, and of these the one with the same content: whatever its other
    keys say, a receipt that is posted under one of them is not posted again. Else the one that ended last.
    """
    heads = state.heads(command)
    posted = [head for head in heads if head.state == POSTED]
    same = [head for head in posted if head.content == content(state, command)]
    newest = sorted(heads, key=lambda head: head.stamp or state.now, reverse=True)
    return (same or posted or newest)[0], len(heads) > 1


def _posted(head: Claim) -> ReceiptPosted:
    """The answer under a key that stands for a receipt. Errors: KeyReused."""
    stored = head.stored()
    if not isinstance(stored, ReceiptPosted):
        raise KeyReused("the same key came with another command")
    return stored


def _seen(head: Claim, stamp: datetime) -> None:
    """Remember the till's newest attempt, so that an older version arriving late is known as stale."""
    if head.stamp is None or stamp > head.stamp:
        head.stamp = stamp
        head.is_changed = True


def _is_newer(head: Claim, stamp: datetime | None) -> bool:
    """Whether an attempt comes after what ended the receipt; without a till's stamp it never comes after a void."""
    if head.state == NONE:
        return stamp is None or head.stamp is None or stamp >= head.stamp
    return stamp is not None and head.stamp is not None and stamp > head.stamp


# Voiding ---------------------------------------------------------------------------------------------------


def void_receipt(state: State, command: VoidReceipt) -> ReceiptVoided:
    """Reverse what is posted under the key, or leave a tombstone for the attempt that is still under way.

    Errors: KeyReused when the key stands for something that booked nothing, such as a card's issue.
    """
    head, _ = _head(state, command)
    stamp = command.stamp or state.now
    if head.stamp is not None:
        stamp = max(stamp, head.stamp)
    if head.state == POSTED and head.operation_id is None:
        raise KeyReused("the key stands for nothing that was booked")
    if head.state == POSTED and command.stamp is not None and command.stamp == head.void_stamp:
        # The void before this payment, sent again.
        state.attach(command, head)
        return ReceiptVoided(outcome=NOTHING, at=state.now)
    if head.state == POSTED:
        operation_id, movements = _reverse(state, command.store, head, "void")
        result = ReceiptVoided(outcome=REVERSED, operation_id=operation_id, at=state.now, cards=movements)
        head.settle(RETURNED if command.reason == "return" else ROLLED_BACK, result, operation_id, stamp)
    elif head.state in (ROLLED_BACK, RETURNED, TOMBSTONE):
        result = _voided(head)
        _seen(head, stamp)
    else:
        result = ReceiptVoided(outcome=NOTHING if head.stamp else ORPHAN, at=state.now)
        head.settle(TOMBSTONE, result, None, stamp)
    head.void_stamp = command.stamp or state.now
    state.attach(command, head)
    return result


def _voided(head: Claim) -> ReceiptVoided:
    stored = head.stored()
    assert isinstance(stored, ReceiptVoided)
    return stored


def _reverse(state: State, store: str, head: Claim, kind: str) -> tuple[int, tuple[CardMovement, ...]]:
    """Book the opposite of the operation under a key; its id, and what it did to the cards."""
    assert head.operation_id is not None
    postings, went_into_debt = state.reversal(head.operation_id)
    flags = [DEBT] if went_into_debt else []
    operation_id = state.post(kind, state.store(store), postings, reverses_id=head.operation_id, flags=flags)
    return operation_id, tuple(_movement_now(state, old) for old in cards_of(head.stored()))


def _movement_now(state: State, old: CardMovement) -> CardMovement:
    account = state.account(old.account, old.unit)
    return movement(state, account, old.card, old.redeemed, old.earned)


def restore_receipt(state: State, command: RestoreReceipt) -> ReceiptRestored:
    """Post again what a return has reversed. Points that were spent in between become debt."""
    head, _ = _head(state, command)
    if head.state == POSTED:
        posted = _posted(head)
        state.attach(command, head)
        if RESTORED in posted.flags:
            return ReceiptRestored(outcome=RESTORED, operation_id=posted.operation_id, at=posted.at, cards=posted.cards)
        return ReceiptRestored(outcome=NOTHING, at=state.now)
    if head.is_fresh:
        return ReceiptRestored(outcome=ORPHAN, at=state.now)
    if head.state != RETURNED:
        state.attach(command, head)
        return ReceiptRestored(outcome=NOTHING, at=state.now)
    voided = _voided(head)
    assert head.operation_id is not None
    postings, went_into_debt = state.reversal(head.operation_id)
    flags = (RESTORED, DEBT) if went_into_debt else (RESTORED,)
    operation_id = state.post(
        "restore", state.store(command.store), postings, reverses_id=head.operation_id, flags=flags
    )
    cards = tuple(_movement_now(state, old) for old in voided.cards)
    stamp = max(command.stamp or state.now, head.stamp or state.now)
    head.settle(
        POSTED,
        ReceiptPosted(operation_id=operation_id, at=state.now, cards=cards, flags=flags),
        operation_id,
        stamp,
    )
    state.attach(command, head)
    return ReceiptRestored(outcome=RESTORED, operation_id=operation_id, at=state.now, cards=cards)
