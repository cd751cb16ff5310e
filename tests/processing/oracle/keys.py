"""What request keys stand for, and each command's answer: the oracle's front.

The states and their words: docs/keys.md.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from processing.commands import (
    Accrue,
    Adjust,
    BlockCard,
    CaptureHold,
    Command,
    Exchange,
    MergeHolders,
    PayOut,
    PlaceHold,
    PostReceipt,
    Redeem,
    ReleaseHold,
    RestoreReceipt,
    ReturnReceipt,
    SellGiftCard,
    TopUp,
    Transfer,
    UnblockCard,
    VoidReceipt,
)
from tests.processing.oracle import receipts, returns, value
from tests.processing.oracle.bank import Answer, Bank, Head, Refused
from tests.processing.oracle.lots import Move, undo

ONCE: dict[type[Command[Any]], Callable[[Bank, Any], value.Done]] = {
    Redeem: value.redeem,
    Accrue: value.accrue,
    Transfer: value.transfer,
    TopUp: value.top_up,
    Adjust: value.adjust,
    PayOut: value.pay_out,
    SellGiftCard: value.sell_gift_card,
    PlaceHold: value.place_hold,
    CaptureHold: value.capture_hold,
    ReleaseHold: value.release_hold,
    BlockCard: value.block_card,
    UnblockCard: value.unblock_card,
    MergeHolders: value.merge_holders,
}
BOOKS_NOTHING = {PlaceHold, ReleaseHold, BlockCard, UnblockCard, MergeHolders}
"""Under their keys there is nothing to void."""


@dataclass
class Oracle:
    """A bank that is asked one command at a time."""

    bank: Bank

    def ask(self, command: Command[Any]) -> Answer:
        """The answer, the command being carried out."""
        try:
            if isinstance(command, Exchange):
                return self.exchange(command)
            if isinstance(command, PostReceipt | ReturnReceipt):
                return self.versioned(command)
            if isinstance(command, VoidReceipt):
                return self.void(command)
            if isinstance(command, RestoreReceipt):
                return self.restore(command)
            return self.once(command)
        except Refused as refusal:
            return {"word": str(refusal)}

    @property
    def now(self) -> datetime:
        return self.bank.now

    # Commands without versions ------------------------------------------------------------------------------

    def once(self, command: Command[Any]) -> Answer:
        alike = likeness(command)
        if alike is not None:
            when, head = self.bank.alike.get(alike, (None, Head()))
            window = timedelta(seconds=getattr(command, "window_seconds", 0))
            if when is not None and self.now <= when + window and head.state == "posted":
                return again(head.answer)
            head = Head()
        else:
            head = self.bank.head(command.store, command.keys[0])
        if head.state == "posted":
            if head.content != bare(command):
                raise Refused("KeyReused")
            return again(head.answer)
        if not head.is_fresh:
            raise Refused("AlreadyVoided")
        answer, moves = ONCE[type(command)](self.bank, command)
        answer["at"] = self.now
        kind = "nothing" if type(command) in BOOKS_NOTHING else type(command).__name__
        kept = Head("posted", kind, self.now, bare(command), command, answer, moves, booked_at=self.now)
        if isinstance(command, Accrue | Redeem) and command.card.value in self.bank.cards:
            kept.programme = self.bank.card(command.card).programme
        if isinstance(command, CaptureHold):
            kept.hold, _ = self.bank.holds[command.store, command.hold]
            kept.programme = self.bank.cards[kept.hold.card].programme
        if alike is not None:
            self.bank.alike[alike] = (self.now, kept)
        else:
            self.bank.keep(command, kept)
        return first(answer)

    # Receipts and returns -----------------------------------------------------------------------------------

    def versioned(self, command: PostReceipt | ReturnReceipt) -> Answer:
        kind = "receipt" if isinstance(command, PostReceipt) else "return"
        head = self.bank.head(command.store, command.keys[0])
        stamp = command.stamp or self.now
        superseded = False
        if head.state == "posted":
            if head.kind != kind:
                raise Refused("KeyReused")
            assert head.stamp is not None
            if head.content == bare(command):
                head.stamp = max(head.stamp, stamp)
                return again(head.answer)
            if not command.supersede:
                raise Refused("KeyReused")
            if stamp < head.stamp:
                return again(head.answer)
            if isinstance(command, ReturnReceipt) and head.sale is not None and not self.stands(head):
                raise Refused("AlreadyVoided")
            self.reverse(head, command.store)
            superseded = True
            head = Head("none", "", stamp, void_stamp=head.void_stamp)
            self.bank.keep(command, head)
        elif not head.is_fresh:
            assert head.stamp is not None
            if head.state == "none":
                is_newer = command.stamp is None or command.stamp >= head.stamp
            else:
                is_newer = command.stamp is not None and command.stamp > head.stamp
            if not is_newer:
                raise Refused("AlreadyVoided")
        made = Head(
            "posted", kind, stamp, bare(command), booked_at=self.now, sold_at=self.now, void_stamp=head.void_stamp
        )
        if isinstance(command, PostReceipt):
            made.answer, made.moves, made.sale = receipts.post(self.bank, command)
            made.programme = made.sale.programme
        else:
            self.post_return(command, made)
        if superseded:
            made.answer["flags"] = sorted({*made.answer["flags"], "superseded"})
        made.answer["at"] = self.now
        made.sold = made.answer
        self.bank.keep(command, made)
        return first(made.answer)

    def post_return(self, command: ReturnReceipt, made: Head) -> None:
        head = self.bank.head(command.sale_store or command.store, command.sale)
        if head.state == "posted" and head.kind == "receipt":
            made.answer, made.moves, places = returns.of_sale(self.bank, command, head)
            made.sale, made.programme = head.sale, head.programme
            head.sale.back.append((made, places))
        else:
            made.answer, made.moves, made.programme = returns.without_sale(self.bank, command)

    def exchange(self, command: Exchange) -> Answer:
        before = deepcopy(self.bank)
        answers: Answer = {"word": "Exchanged"}
        try:
            answers |= {"returned": self.versioned(command.returned), "sold": self.versioned(command.sold)}
        except Refused:
            self.bank = before
            raise
        return answers

    # Undoing ------------------------------------------------------------------------------------------------

    def reverse(self, head: Head, store: str) -> tuple[list[Move], bool]:
        """Book the opposite of what stands under a key; of a sale with the returns on it, as if it had never been.

        And whether something was spent, so that it became debt.
        """
        if head.kind == "receipt":
            for hold in head.sale.holds:
                hold.is_undone = True
            head.sale.holds = []
        return self.opposite(head, [*head.moves, *(head.sale.absorb() if head.kind == "receipt" else ())], store)

    def opposite(self, head: Head, moves: list[Move], store: str) -> tuple[list[Move], bool]:
        done: list[Move] = []
        in_debt = False
        accounts = list(dict.fromkeys(lot.account.living for lot, _ in moves))
        for account in accounts:
            own = [(lot, amount) for lot, amount in moves if lot.account.living is account]
            undone = undo(own, self.bank.undoing(head, store))
            done += undone.moves
            for lot, amount in undone.owed.items():
                in_debt = True
                done += account.owe(lot.terms.issuer, amount, self.now)
        return done, in_debt

    def void(self, command: VoidReceipt) -> Answer:
        head = self.bank.head(command.store, command.keys[0])
        own = command.stamp or self.now
        stamp = max(own, head.stamp or own)
        if head.kind == "nothing" or (head.kind == "hold" and head.state == "tombstone"):
            raise Refused("KeyReused")
        if head.state == "posted":
            if self.is_passed(command, head, own):
                return first({"word": "ReceiptVoided", "outcome": "nothing", "cards": [], "at": self.now})
            moves, in_debt = self.reverse(head, command.store)
            self.bank.undo_status(head, in_debt)
            answer = {
                "word": "ReceiptVoided",
                "outcome": "reversed",
                "cards": self.bank.movements_now(cards_of(head.answer)),
                "at": self.now,
            }
            state = "returned" if command.reason == "return" else "rolled_back"
            head.state, head.stamp, head.answer, head.moves, head.restored = state, stamp, answer, moves, False
            head.booked_at, head.void_stamp = self.now, own
            return first(answer)
        if head.state in ("returned", "rolled_back", "tombstone"):
            head.stamp, head.void_stamp = stamp, own
            return again(head.answer)
        word = "nothing" if head.stamp else "orphan"
        answer = {"word": "ReceiptVoided", "outcome": word, "cards": [], "at": self.now}
        self.bank.keep(command, Head("tombstone", head.kind, stamp, answer=answer, void_stamp=own))
        return first(answer)

    def is_passed(self, command: VoidReceipt, head: Head, stamp: datetime) -> bool:
        """Whether a void is too late for what stands: sent again, older as a version, or of a return undone already."""
        assert head.stamp is not None
        is_again = command.stamp is not None and command.stamp == head.void_stamp
        is_stale = command.supersede and stamp < head.stamp
        is_undone = head.kind == "return" and head.sale is not None and not self.stands(head)
        return is_again or is_stale or is_undone

    def stands(self, head: Head) -> bool:
        """Whether a return's sale is the one that was returned."""
        return any(head is known for known, _ in head.sale.back)

    def restore(self, command: RestoreReceipt) -> Answer:
        head = self.bank.head(command.store, command.keys[0])
        if head.kind != "receipt" and head.state in ("posted", "returned"):
            raise Refused("KeyReused")
        if head.state == "posted" and head.restored:
            return again(restored(head.answer["cards"], head.answer["at"]))
        if head.state != "returned":
            word = "orphan" if head.is_fresh else "nothing"
            return first(restored([], self.now, word))
        assert head.stamp is not None
        moves, in_debt = self.opposite(head, head.moves, command.store)
        cards = self.bank.movements_now(cards_of(head.answer))
        head.answer = head.sold | {"cards": cards, "at": self.now, "flags": ["debt"] if in_debt else []}
        head.state, head.moves, head.restored, head.booked_at = "posted", moves, True, self.now
        head.stamp = max(command.stamp or self.now, head.stamp)
        return first(restored(cards, self.now))


def first(answer: Answer) -> Answer:
    return answer | {"replayed": False}


def again(answer: Answer) -> Answer:
    return answer | {"replayed": True}


def restored(cards: list[Any], at: datetime, outcome: str = "restored") -> Answer:
    return {"word": "ReceiptRestored", "outcome": outcome, "cards": cards, "at": at}


def cards_of(answer: Answer) -> list[Any]:
    """What it did to cards; what went to suspense moved none."""
    return [moved for moved in (answer["cards"] if "cards" in answer else [answer["card"]]) if moved[0]]


def likeness(command: Command[Any]) -> tuple[Any, ...] | None:
    if isinstance(command, Redeem | Accrue) and not command.keys and command.likeness:
        return command.store, type(command).__name__, command.likeness
    return None


def bare(command: Command[Any]) -> Command[Any]:
    """What makes two messages the same: everything but the keys and the attempt."""
    changes: dict[str, Any] = {"keys": (), "actor": ""}
    if hasattr(command, "stamp"):
        changes["stamp"] = None
    return msgspec.structs.replace(command, **changes)
