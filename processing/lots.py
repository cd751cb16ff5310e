"""Lots: which of them a redemption draws, which an accrual fills, what a reversal gives back. Pure.

A lot is an amount with its own availability, expiry and issuer. Debt is a lot with a negative remainder.
Functions return moves, pairs of (lot, signed amount), and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

FOREVER = datetime.max.replace(tzinfo=UTC)


class Lot(msgspec.Struct):
    """``price_millionths``: what one minor unit settles at, in millionths of a minor unit of money.

    ``held`` is what open holds pin of it; nobody else takes that.
    """

    id: int
    account_id: int
    issuer_id: int
    price_millionths: int
    remaining: int
    is_open: bool
    available_from: datetime
    expires_at: datetime | None
    is_debt: bool = False
    held: int = 0

    @property
    def free(self) -> int:
        """What can be taken; a debt's is negative."""
        return self.remaining - self.held

    @property
    def terms(self) -> tuple[int, datetime, datetime | None, int]:
        """What makes two lots of an account one: issuer, availability, expiry and price."""
        return self.issuer_id, self.available_from, self.expires_at, self.price_millionths

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def is_available(self, now: datetime) -> bool:
        return self.available_from <= now and (self.expires_at is None or self.expires_at > now)


Move = tuple[Lot, int]


def available(lots: Iterable[Lot], now: datetime) -> int:
    """What can be spent now: what is free in available lots, less all debt."""
    return sum(
        [
            lot.remaining - lot.held
            for lot in lots
            if lot.remaining < 0 or (lot.available_from <= now and (lot.expires_at is None or lot.expires_at > now))
        ]
    )


def soonest_first(lot: Lot) -> tuple[datetime, datetime, int, int]:
    """The order in which lots pay. Not by age: ids come from blocks that each process takes for itself."""
    return (lot.expires_at or FOREVER, lot.available_from, lot.issuer_id, lot.id)


def oldest_first(debt: Lot) -> tuple[datetime, int]:
    """The order in which debts are repaid: a debt is there from when it was made."""
    return (debt.available_from, debt.id)


def draw(lots: Iterable[Lot], amount: int, now: datetime) -> tuple[list[Move], int]:
    """Take the amount from available lots, soonest expiring first; the moves, and what could not be taken."""
    moves: list[Move] = []
    for lot in sorted([lot for lot in lots if lot.free > 0 and lot.is_available(now)], key=soonest_first):
        if amount == 0:
            break
        taken = min(lot.free, amount)
        moves.append((lot, -taken))
        amount -= taken
    return moves, amount


def repay(lots: Iterable[Lot], source: Lot, amount: int, repaid: dict[int, int]) -> list[Move]:
    """What a new accrual of ``amount`` into ``source`` owes first: drawn from it and put into debts, oldest first.

    ``repaid`` (by lot id) is what the same operation has moved into debts already, and out of them where it is
    negative; it is kept up.
    """
    moves: list[Move] = []
    for debt in sorted([lot for lot in lots if lot.is_debt], key=oldest_first):
        owed = -debt.remaining - repaid.get(debt.id, 0)
        paid = min(max(owed, 0), amount)
        if paid:
            repaid[debt.id] = repaid.get(debt.id, 0) + paid
            moves += [(source, -paid), (debt, paid)]
            amount -= paid
    return moves


@dataclass(slots=True)
class Reversal:
    """What undoes an operation on an account.

    ``owed`` is what nobody had left, by the lot that owes it: the caller makes it debt or forgives it (design
    law 4). ``spare`` is what was drawn from a debt that has been repaid since, by the debt: a debt holds
    nothing, so that the caller finds it another place.
    """

    moves: list[Move]
    owed: dict[int, int]
    spare: dict[int, int]


def reverse(booked: Sequence[tuple[int, int]], lots: Mapping[int, Lot], now: datetime) -> Reversal:
    """Undo what an operation did to an account's lots.

    ``booked`` are (lot id, amount) as the operation posted them, ``lots`` the account's lots by id, these
    included. What was drawn goes back to the lot it came from. What was put in is taken from its own lot,
    then from others, soonest expiring first, then from what has just come back to repaid debts; what is held stays.
    What is about a debt that was repaid is about what is owed to its partner today: there is one debt.
    """
    net: dict[int, int] = {}
    todays = _debts_of_today({lot_id for lot_id, _ in booked}, lots)
    for lot_id, amount in booked:
        today = todays.get(lot_id, lot_id)
        net[today] = net.get(today, 0) - amount
    undone = Reversal([], {}, {})
    left = {lot_id: lot.free for lot_id, lot in lots.items()}
    for lot_id, amount in net.items():
        if amount > 0:
            _give_back(lots[lot_id], amount, left, undone)
    for lot_id, amount in net.items():
        if amount < 0:
            _take_back(lots[lot_id], -amount, left, undone)
    for lot_id, short in undone.owed.items():
        for lot in sorted(lots.values(), key=soonest_first):
            taken = min(max(left[lot.id], 0), short) if lot.is_available(now) else 0
            if taken:
                undone.moves.append((lot, -taken))
                left[lot.id] -= taken
                short -= taken
        for debt_id, spare in undone.spare.items():
            taken = min(spare, short)
            undone.spare[debt_id] -= taken
            short -= taken
        undone.owed[lot_id] = short
    undone.owed = {lot_id: short for lot_id, short in undone.owed.items() if short}
    undone.spare = {lot_id: amount for lot_id, amount in undone.spare.items() if amount}
    return undone


def _debts_of_today(named: set[int], lots: Mapping[int, Lot]) -> dict[int, int]:
    """By each named debt that was repaid: what is owed to its partner now, else the oldest debt to it that is named."""
    found: dict[int, int] = {}
    for lot_id in named:
        repaid = lots[lot_id]
        if repaid.is_debt and not repaid.remaining:
            same = [lot for lot in lots.values() if lot.is_debt and lot.issuer_id == repaid.issuer_id]
            owed = [lot for lot in same if lot.remaining]
            found[lot_id] = min(owed or [lot for lot in same if lot.id in named], key=oldest_first).id
    return found


def _give_back(lot: Lot, amount: int, left: dict[int, int], undone: Reversal) -> None:
    fits = min(amount, max(-left[lot.id], 0)) if lot.is_debt else amount
    if fits:
        undone.moves.append((lot, fits))
        left[lot.id] += fits
    if amount > fits:
        undone.spare[lot.id] = amount - fits


def _take_back(lot: Lot, amount: int, left: dict[int, int], undone: Reversal) -> None:
    own = amount if lot.is_debt else min(max(left[lot.id], 0), amount)
    if own:
        undone.moves.append((lot, -own))
        left[lot.id] -= own
    if amount > own:
        undone.owed[lot.id] = amount - own
