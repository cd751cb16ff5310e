"""What the core must answer, told again as simply as possible: one command at a time, whole numbers, no database.

Written from docs/decisions/0003-receipt-versions.md and the commands' docstrings, not from the code. It leaves
out what its commands never touch: lots (every point here is available at once), expiry, limits below 100 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from processing.commands import (
    ActivateCard,
    Adjust,
    CardUse,
    Command,
    PostReceipt,
    RestoreReceipt,
    TopUp,
    VoidReceipt,
)
from processing.execute import Outcome
from processing.results import (
    Adjusted,
    CardActivated,
    CardMovement,
    ReceiptPosted,
    ReceiptRestored,
    ReceiptVoided,
    ToppedUp,
)

Account = tuple[str, str]
"""A wallet's name and a unit."""

Seen = tuple[str, tuple[tuple[Any, ...], ...]]
"""What a till sees of an outcome: its word, and per card (number, unit, redeemed, earned, balance)."""

CASHBACK_PERCENT = 5
UNIT = "BONUS"
MONEY = "RUB"
"""What a purse pays in money is the holder's own, and earns."""


class Refused(Exception):
    """The model's refusal; its argument is the error's class name."""


def seen(outcome: Outcome) -> Seen:
    """The same of a real outcome."""
    word = type(outcome).__name__
    if isinstance(outcome, ReceiptPosted):
        return word, tuple(_movement(moved) for moved in outcome.cards)
    if isinstance(outcome, ReceiptVoided | ReceiptRestored):
        return f"{word} {outcome.outcome}", tuple(_movement(moved) for moved in outcome.cards)
    if isinstance(outcome, ToppedUp | Adjusted):
        return word, (_movement(outcome.card),)
    if isinstance(outcome, CardActivated):
        return word, ((outcome.number,),)
    return word, ()


def _movement(moved: CardMovement) -> tuple[Any, ...]:
    assert moved.balance == moved.available, "all points of the model's programme are available at once"
    return moved.card, moved.unit, moved.redeemed, moved.earned, moved.balance


@dataclass
class Head:
    """What a request key stands for, and the balances it changed."""

    state: str = "none"
    stamp: datetime | None = None
    content: Command[Any] | None = None
    answer: Seen = ("", ())
    moved: dict[Account, int] = field(default_factory=dict)
    restored: bool = False

    @property
    def is_fresh(self) -> bool:
        return self.state == "none" and self.stamp is None


@dataclass
class Model:
    """``wallets`` maps a card's number to its wallet's name, ``status`` to its status."""

    wallets: dict[str, str]
    status: dict[str, str]
    balances: dict[Account, int] = field(default_factory=dict)
    heads: dict[tuple[str, str], Head] = field(default_factory=dict)

    def execute(self, command: Command[Any], now: datetime) -> Seen:
        """The outcome of one command, carried out."""
        head = self.head(command)
        try:
            if isinstance(command, PostReceipt):
                answer = self.post(head, command, now)
            elif isinstance(command, VoidReceipt):
                answer = self.void(head, command, now)
            elif isinstance(command, RestoreReceipt):
                answer = self.restore(head, command, now)
            else:
                answer = self.once(head, command, now)
        except Refused as refusal:
            return str(refusal), ()
        if not head.is_fresh:
            for key in command.keys:
                self.heads[command.store, key] = head
        return answer

    def head(self, command: Command[Any]) -> Head:
        known = [self.heads[command.store, key] for key in command.keys if (command.store, key) in self.heads]
        assert all(other is known[0] for other in known), "these commands' keys never name different things"
        return known[0] if known else Head()

    def settle(self, head: Head, state: str, stamp: datetime, answer: Seen, moved: dict[Account, int]) -> Seen:
        head.state, head.stamp, head.answer, head.moved, head.restored = state, stamp, answer, moved, False
        return answer

    def apply(self, moved: dict[Account, int]) -> None:
        for account, amount in moved.items():
            self.balances[account] = self.balances.get(account, 0) + amount

    def undo(self, head: Head) -> dict[Account, int]:
        moved = {account: -amount for account, amount in head.moved.items()}
        self.apply(moved)
        return moved

    # Receipts -----------------------------------------------------------------------------------------------

    def post(self, head: Head, command: PostReceipt, now: datetime) -> Seen:
        stamp = command.stamp or now
        if head.state == "posted":
            assert head.stamp is not None
            if head.content == bare(command):
                if head.answer[0] != "ReceiptPosted":
                    raise Refused("KeyReused")
                head.stamp = max(head.stamp, stamp)
                return head.answer
            if not command.supersede or head.answer[0] != "ReceiptPosted":
                raise Refused("KeyReused")
            if stamp < head.stamp:
                return head.answer
            self.undo(head)
            self.settle(head, "none", stamp, ("", ()), {})
        elif not head.is_fresh:
            assert head.stamp is not None
            if head.state == "none":
                is_newer = command.stamp is None or command.stamp >= head.stamp
            else:
                is_newer = command.stamp is not None and command.stamp > head.stamp
            if not is_newer:
                raise Refused("AlreadyVoided")
        moved, movements = self.moves(command)
        self.apply(moved)
        head.content = bare(command)
        return self.settle(head, "posted", stamp, ("ReceiptPosted", self.with_balances(movements)), moved)

    def moves(self, command: PostReceipt) -> tuple[dict[Account, int], list[tuple[str, str, int, int]]]:
        """What the receipt does to accounts, and what it tells per card and unit; refusals come first."""
        parts = [self.part(use, command) for use in command.cards]
        asked: dict[Account, int] = {}
        moved: dict[Account, int] = {}
        movements: list[tuple[str, str, int, int]] = []
        for number, redeemed, earned in parts:
            if number is None:
                continue
            wallet = self.wallets[number]
            for unit, amount in redeemed.items():
                asked[wallet, unit] = asked.get((wallet, unit), 0) + amount
            for unit in list(dict.fromkeys([*redeemed, *earned])) or [UNIT]:
                change = earned.get(unit, 0) - redeemed.get(unit, 0)
                moved[wallet, unit] = moved.get((wallet, unit), 0) + change
                movements.append((number, unit, redeemed.get(unit, 0), earned.get(unit, 0)))
        for account, amount in asked.items():
            if amount > max(self.balances.get(account, 0), 0) and not command.fact:
                raise Refused("InsufficientPoints")
        return moved, movements

    def part(self, use: CardUse, command: PostReceipt) -> tuple[str | None, dict[str, int], dict[str, int]]:
        """The card (None: suspense), what it pays and what it earns."""
        number = use.refs[0].value
        redeemed = {amount.unit: amount.amount for amount in use.redeem}
        told = None if use.earn is None else {amount.unit: amount.amount for amount in use.earn}
        if number not in self.wallets:
            if not command.fact:
                raise Refused("CardNotFound")
            return None, redeemed, told or {}
        if self.status[number] != "active":
            if redeemed and not command.fact:
                raise Refused("CardNotActive")
            if command.fact and (redeemed or told):
                return None, redeemed, told or {}
            return number, redeemed, {}
        if told is not None:
            return number, redeemed, told
        assert len(command.cards) == 1, "what several cards earn by the programme is test_programme's matter"
        points = sum(amount for unit, amount in redeemed.items() if unit != MONEY)
        own_money = command.receipt.total_minor - min(points, command.receipt.total_minor)
        return number, redeemed, {UNIT: own_money * CASHBACK_PERCENT // 100}

    def with_balances(self, movements: Sequence[tuple[str, str, int, int]]) -> tuple[tuple[Any, ...], ...]:
        return tuple(
            (number, unit, redeemed, earned, self.balances.get((self.wallets[number], unit), 0))
            for number, unit, redeemed, earned in movements
        )

    def void(self, head: Head, command: VoidReceipt, now: datetime) -> Seen:
        stamp = max(command.stamp or now, head.stamp or command.stamp or now)
        if head.state == "posted":
            moved = self.undo(head)
            answer = "ReceiptVoided reversed", self.with_balances([tuple(m[:4]) for m in head.answer[1]])
            state = "returned" if command.reason == "return" else "rolled_back"
            return self.settle(head, state, stamp, answer, moved)
        if head.state in ("returned", "rolled_back", "tombstone"):
            head.stamp = stamp
            return head.answer
        return self.settle(head, "tombstone", stamp, (f"ReceiptVoided {'nothing' if head.stamp else 'orphan'}", ()), {})

    def restore(self, head: Head, command: RestoreReceipt, now: datetime) -> Seen:
        if head.state == "posted" and head.answer[0] != "ReceiptPosted":
            raise Refused("KeyReused")
        if head.state == "posted" and head.restored:
            return "ReceiptRestored restored", head.answer[1]
        if head.state != "returned":
            return f"ReceiptRestored {'orphan' if head.is_fresh else 'nothing'}", ()
        assert head.stamp is not None
        moved = self.undo(head)
        movements = self.with_balances([tuple(m[:4]) for m in head.answer[1]])
        stamp = max(command.stamp or now, head.stamp)
        self.settle(head, "posted", stamp, ("ReceiptPosted", movements), moved)
        head.restored = True
        return "ReceiptRestored restored", movements

    # Commands without versions ------------------------------------------------------------------------------

    def once(self, head: Head, command: Command[Any], now: datetime) -> Seen:
        if head.state == "posted":
            if head.content != bare(command):
                raise Refused("KeyReused")
            return head.answer
        if not head.is_fresh:
            raise Refused("AlreadyVoided")
        answer, moved = self.single(command)
        head.content = bare(command)
        return self.settle(head, "posted", now, answer, moved)

    def single(self, command: Command[Any]) -> tuple[Seen, dict[Account, int]]:
        assert isinstance(command, ActivateCard | TopUp | Adjust)
        number = command.card.value
        if isinstance(command, TopUp) and command.amount.unit != MONEY:
            raise Refused("BadAmount")
        if number not in self.wallets:
            raise Refused("CardNotFound")
        if isinstance(command, ActivateCard):
            if self.status[number] != "issued":
                raise Refused("CardStatusWrong")
            self.status[number] = "active"
            return ("CardActivated", ((number,),)), {}
        unit, amount = command.amount.unit, command.amount.amount
        account = (self.wallets[number], unit)
        if isinstance(command, TopUp):
            if self.status[number] != "active":
                raise Refused("CardNotActive")
            word = "ToppedUp"
        else:
            word = "Adjusted"
            if -amount > max(self.balances.get(account, 0), 0) and not command.allow_debt:
                raise Refused("InsufficientPoints")
        self.apply({account: amount})
        movement = (number, unit, max(-amount, 0), max(amount, 0))
        return (word, self.with_balances([movement])), {account: amount}


def bare(command: Command[Any]) -> Command[Any]:
    """What makes two messages the same: everything but the keys and the attempt."""
    changes: dict[str, Any] = {"keys": (), "actor": ""}
    if hasattr(command, "stamp"):
        changes["stamp"] = None
    return msgspec.structs.replace(command, **changes)
