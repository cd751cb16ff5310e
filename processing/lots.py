"""Lots: which of them a redemption draws, which an accrual fills, what a reversal gives back. Pure.

A lot is an amount with its own availability, expiry and issuer. Debt is a lot with a negative remainder.
Functions return moves, pairs of (lot, signed amount), and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Lot:
    """``price_millionths``: what one minor unit settles at, in millionths of a minor unit of money."""

    id: int
    account_id: int
    issuer_id: int
    price_millionths: int
    remaining: int
    is_open: bool
    available_from: datetime
    expires_at: datetime | None
    is_debt: bool = False
    is_new: bool = field(default=False, compare=False)

    def is_available(self, now: datetime) -> bool:
        return self.available_from <= now and (self.expires_at is None or self.expires_at > now)


Move = tuple[Lot, int]


def available(lots: Iterable[Lot], now: datetime) -> int:
    """What can be spent now: available lots, less all debt."""
    return sum(lot.remaining for lot in lots if lot.remaining < 0 or lot.is_available(now))


def pending(lots: Iterable[Lot], now: datetime) -> int:
    """What becomes available later."""
    return sum(lot.remaining for lot in lots if lot.remaining > 0 and lot.available_from > now)


def _soonest_first(lot: Lot) -> tuple[datetime, datetime, int]:
    return (lot.expires_at or FOREVER, lot.available_from, lot.id)


def draw(lots: Iterable[Lot], amount: int, now: datetime) -> tuple[list[Move], int]:
    """Take the amount from available lots, soonest expiring first; the moves, and what could not be taken."""
    moves: list[Move] = []
    for lot in sorted((lot for lot in lots if lot.remaining > 0 and lot.is_available(now)), key=_soonest_first):
        if amount == 0:
            break
        taken = min(lot.remaining, amount)
        moves.append((lot, -taken))
        amount -= taken
    return moves, amount


def repay(lots: Iterable[Lot], source: Lot, amount: int) -> list[Move]:
    """What a new accrual of ``amount`` into ``source`` owes first: drawn from it and put into debts, oldest first."""
    moves: list[Move] = []
    for debt in sorted((lot for lot in lots if lot.remaining < 0), key=lambda lot: lot.id):
        if amount == 0:
            break
        paid = min(-debt.remaining, amount)
        moves += [(source, -paid), (debt, paid)]
        amount -= paid
    return moves


def reverse(
    booked: Sequence[tuple[int, int]], lots: Mapping[int, Lot], now: datetime
) -> tuple[list[Move], dict[int, int]]:
    """Undo what an operation did to an account's lots.

    ``booked`` are (lot id, amount) as the operation posted them, ``lots`` the account's lots by id, these
    included. What was drawn goes back to the lot it came from. What was put in is taken from its own lot,
    then from others, soonest expiring first. Returns the moves, and what nobody had left by the lot that
    owes it: the caller makes it debt or forgives it (design law 4).
    """
    net: dict[int, int] = {}
    for lot_id, amount in booked:
        net[lot_id] = net.get(lot_id, 0) - amount
    moves: list[Move] = [(lots[lot_id], amount) for lot_id, amount in net.items() if amount > 0]
    left = {lot_id: lot.remaining for lot_id, lot in lots.items()}
    for lot, amount in moves:
        left[lot.id] += amount
    owed: dict[int, int] = {}
    for lot_id, amount in net.items():
        if amount >= 0:
            continue
        short = -amount
        own = short if lots[lot_id].is_debt else min(max(left[lot_id], 0), short)
        if own:
            moves.append((lots[lot_id], -own))
            left[lot_id] -= own
        if short > own:
            owed[lot_id] = short - own
    for lot_id, short in list(owed.items()):
        for lot in sorted(lots.values(), key=_soonest_first):
            taken = min(max(left[lot.id], 0), short) if lot.is_available(now) else 0
            if taken:
                moves.append((lot, -taken))
                left[lot.id] -= taken
                short -= taken
        owed[lot_id] = short
    return moves, {lot_id: short for lot_id, short in owed.items() if short}
