"""Receipts: post, return, void, restore. What a request key stands for moves between a few states.

    none ── post ──> posted ── void ──> rolled_back / returned ── post, newer ──> posted
      └──── void ──> tombstone ── post, newer ──> posted     returned ── restore ──> posted

An attempt that is not newer than the void it meets is refused, whichever of the two came first. A newer
version of a posted receipt reverses it and takes its place in the same transaction; refused, it still
reverses it, because the till has abandoned what it sent before (docs/decisions/0003-receipt-versions.md).
A return is a receipt of its own, with the same states; of its sale it takes back what the lines are worth.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from processing import purchases, returns, visits
from processing.allocation import numbered
from processing.cards import masked, undo_status
from processing.claims import NONE, POSTED, RETURNED, ROLLED_BACK, TOMBSTONE, Claim
from processing.commands import Command, Exchange, PostReceipt, RestoreReceipt, ReturnReceipt, VoidReceipt
from processing.documents import document_of, keep, kept_receipt
from processing.errors import AlreadyVoided, KeyReused, SecondPersonNeeded
from processing.goods import completed
from processing.keys import KEYS_CONFLICT, content, replay
from processing.plans import DEBT, movement
from processing.results import (
    Adjusted,
    CardMovement,
    Exchanged,
    ReceiptPosted,
    ReceiptRestored,
    ReceiptReturned,
    ReceiptVoided,
    Result,
    cards_of,
)
from processing.reversals import reversal
from processing.state import State

REVERSED, NOTHING, ORPHAN, RESTORED = "reversed", "nothing", "orphan", "restored"
SUPERSEDED, RETURNS_UNDONE = "superseded", "returns_undone"

R = TypeVar("R", ReceiptPosted, ReceiptReturned)


def post_receipt(state: State, command: PostReceipt) -> ReceiptPosted:
    """Post a receipt, or say again what was said, or replace an older version."""
    return _versioned(state, command, ReceiptPosted, _sell)


def _sell(state: State, command: PostReceipt, flags: list[str]) -> ReceiptPosted:
    receipt = completed(numbered(command.receipt), state.goods)
    if receipt is not command.receipt:
        command = msgspec.structs.replace(command, receipt=receipt)
    return purchases.post(state, command, flags)


def return_receipt(state: State, command: ReturnReceipt) -> ReceiptReturned:
    """Take goods back, likewise."""
    return _versioned(state, command, ReceiptReturned, returns.post)


def exchange(state: State, command: Exchange) -> Exchanged:
    """A return and a sale, both or neither."""
    with state.all_or_nothing():
        returned = return_receipt(state, command.returned)
        sold = post_receipt(state, command.sold)
    return Exchanged(returned=returned, sold=sold, replayed=returned.replayed and sold.replayed)


def _versioned(
    state: State,
    command: PostReceipt | ReturnReceipt,
    expected: type[R],
    post: Callable[[State, Any, list[str]], R],
) -> R:
    head, conflict = _head(state, command)
    stamp = command.stamp or state.now
    flags = list(command.notes) + ([KEYS_CONFLICT] if conflict else [])
    if head.state == POSTED:
        if head.content == content(state, command) or not command.supersede:
            answer = replay(state, head, command, expected)
            _seen(head, stamp)
            state.attach(command, head)
            return answer
        current = _posted(head, expected)
        if head.stamp is not None and stamp < head.stamp:
            state.attach(command, head)
            return current
        if not _is_on_its_sale(state, head):
            raise AlreadyVoided("the sale of this return was voided")
        if state.returns.get(head.operation_id or 0):
            flags.append(RETURNS_UNDONE)
        _reverse(state, command, head, SUPERSEDED)
        head.settle(NONE, head.stored(), None, stamp)
        flags.append(SUPERSEDED)
    elif not head.is_fresh and not head.admits(command.stamp):
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
    if len(heads) == 1:
        return heads[0], False
    posted = [head for head in heads if head.state == POSTED]
    same = [head for head in posted if head.content == content(state, command)]
    newest = sorted(heads, key=lambda head: head.stamp or state.now, reverse=True)
    return (same or posted or newest)[0], True


def _posted(head: Claim, expected: type[R]) -> R:
    """The answer under a key that stands for a receipt of this kind. Errors: KeyReused."""
    stored = head.again()
    if not isinstance(stored, expected):
        raise KeyReused("the same key came with another command")
    return stored


def _seen(head: Claim, stamp: datetime) -> None:
    """Remember the till's newest attempt, so that an older version arriving late is known as stale."""
    if head.stamp is None or stamp > head.stamp:
        head.stamp = stamp
        head.is_changed = True


# Voiding ---------------------------------------------------------------------------------------------------


def void_receipt(state: State, command: VoidReceipt) -> ReceiptVoided:
    """Reverse what is posted under the key, or leave a tombstone for the attempt that is still under way.

    Errors: KeyReused when the key stands for something that booked nothing, such as a card's issue, or for
    something that cannot be undone.
    """
    head, _ = _head(state, command)
    stamp = command.stamp or state.now
    if head.state == POSTED and head.operation_id is None:
        raise KeyReused("the key stands for nothing that was booked")
    if head.state == POSTED and command.supersede and head.stamp is not None and stamp < head.stamp:
        # What is posted is a newer version: the void was of one before it.
        state.attach(command, head)
        return ReceiptVoided(outcome=NOTHING, at=state.now)
    if head.stamp is not None:
        stamp = max(stamp, head.stamp)
    if head.state == POSTED and command.stamp is not None and command.stamp == head.void_stamp:
        # The void before this payment, sent again.
        state.attach(command, head)
        return ReceiptVoided(outcome=NOTHING, at=state.now)
    if head.state == POSTED and not _is_on_its_sale(state, head):
        # Its sale was voided as a whole, and this return with it.
        state.attach(command, head)
        return ReceiptVoided(outcome=NOTHING, at=state.now)
    if head.state == POSTED:
        _check_may_void(state, command, head.stored())
        operation_id, movements = _reverse(state, command, head, "void")
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
    """The answer under a key that was voided. Errors: KeyReused for the tombstone of a hold."""
    stored = head.again()
    if not isinstance(stored, ReceiptVoided):
        raise KeyReused("the key stands for a hold that was given up")
    return stored


def _is_on_its_sale(state: State, head: Claim) -> bool:
    """Whether what a key stands for can be undone by itself: a return only while its sale stands as it was."""
    stored = head.stored()
    if not isinstance(stored, ReceiptReturned) or not stored.sale:
        return True
    sale = state.head(state.store(stored.sale_store).id, stored.sale)
    return sale.state == POSTED and sale.operation_id == stored.base_id


def _check_may_void(state: State, command: VoidReceipt, stored: Result) -> None:
    """Errors: KeyReused, SecondPersonNeeded."""
    if command.receipts_only and not isinstance(stored, ReceiptPosted | ReceiptReturned):
        raise KeyReused("the key stands for something else than a receipt")
    if isinstance(stored, Adjusted):
        limit = state.directory.unit(stored.card.unit).adjust_limit
        if limit is not None and stored.card.redeemed + stored.card.earned > limit:
            raise SecondPersonNeeded("a correction that needed two people is undone by another one")


def _reverse(state: State, command: Command[Any], head: Claim, kind: str) -> tuple[int, tuple[CardMovement, ...]]:
    """Book the opposite of the operation under a key; its id, and what it did to the cards."""
    assert head.operation_id is not None
    stored = head.stored()
    store = state.store(command.store)
    postings, went_into_debt = reversal(state, head.operation_id, store)
    flags = [DEBT] if went_into_debt else []
    operation_id = state.post(kind, store, postings, reverses_id=head.operation_id, flags=flags, actor=command.actor)
    if not isinstance(stored, ReceiptPosted | ReceiptReturned):
        cards = [masked(moved.card) for moved in cards_of(stored)]
        state.audit(command, "voided", f"operation {head.operation_id}", what=type(stored).__name__, cards=cards)
    visits.undo(state, head.operation_id)
    if isinstance(stored, ReceiptReturned) and stored.base_id:
        standing = state.returns.get(stored.base_id, [])
        state.returns[stored.base_id] = [each for each in standing if each.operation_id != head.operation_id]
    for hold in state.holds.values():
        hold.is_undone = hold.is_undone or hold.operation_id == head.operation_id
    undo_status(state, stored, went_into_debt)
    return operation_id, tuple(_movement_now(state, old) for old in cards_of(stored))


def _movement_now(state: State, old: CardMovement) -> CardMovement:
    account = state.account(state.merged.get(old.account, old.account), old.unit)
    return movement(state, account, old.card, old.redeemed, old.earned)


def restore_receipt(state: State, command: RestoreReceipt) -> ReceiptRestored:
    """Post again what a return has reversed. Points that were spent in between become debt.

    Errors: KeyReused for what is no receipt.
    """
    head, _ = _head(state, command)
    if head.state == POSTED:
        posted = _posted(head, ReceiptPosted)
        state.attach(command, head)
        if RESTORED in posted.flags:
            return ReceiptRestored(
                outcome=RESTORED, operation_id=posted.operation_id, at=posted.at, cards=posted.cards, replayed=True
            )
        return ReceiptRestored(outcome=NOTHING, at=state.now)
    if head.is_fresh:
        return ReceiptRestored(outcome=ORPHAN, at=state.now)
    if head.state != RETURNED:
        state.attach(command, head)
        return ReceiptRestored(outcome=NOTHING, at=state.now)
    voided = _voided(head)
    assert head.operation_id is not None
    again = kept_receipt(state, head.operation_id)
    sold = state.earlier[state.earlier[head.operation_id].reverses_id or 0]
    postings, went_into_debt = reversal(state, head.operation_id, state.store(command.store))
    flags = (RESTORED, DEBT) if went_into_debt else (RESTORED,)
    operation_id = state.post(
        "restore",
        state.store(command.store),
        postings,
        reverses_id=head.operation_id,
        programme_version_id=sold.programme_version_id,
        flags=flags,
        actor=command.actor,
    )
    keep(state, operation_id, again)
    restored = document_of(state, operation_id)
    assert restored is not None
    visits.redo(state, restored, operation_id)
    cards = tuple(_movement_now(state, old) for old in voided.cards)
    stamp = max(command.stamp or state.now, head.stamp or state.now)
    result: Result = ReceiptPosted(operation_id=operation_id, at=state.now, cards=cards, flags=flags)
    head.settle(POSTED, result, operation_id, stamp)
    state.attach(command, head)
    return ReceiptRestored(outcome=RESTORED, operation_id=operation_id, at=state.now, cards=cards)
