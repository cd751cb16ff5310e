"""Lots and holds of one account, told again as simply as possible: lists, whole numbers, no database.

Written from design.md and docs/books.md, not from the code. A lot's ``remaining`` is what it holds whether or not a
worker has booked its end; ``expired`` is what of that a worker has booked. So nothing here depends on workers but
``balance``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

NEVER, FOREVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Terms:
    """Whose points they are, and when they can be spent; of a debt only whose it is."""

    issuer: str
    available_from: datetime
    expires_at: datetime | None = None
    is_debt: bool = False

    def is_expired(self, at: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= at

    def is_available(self, at: datetime) -> bool:
        return not self.is_debt and self.available_from <= at and not self.is_expired(at)


@dataclass(eq=False)
class Lot:
    terms: Terms
    account: Account
    number: int
    remaining: int = 0
    expired: int = 0

    @property
    def order(self) -> tuple[datetime, datetime, str, int]:
        """Soonest expiring first, then earliest available, then by issuer."""
        return self.terms.expires_at or FOREVER, self.terms.available_from, self.terms.issuer, self.number

    @property
    def booked(self) -> int:
        return self.remaining - self.expired


@dataclass(eq=False)
class Hold:
    key: str
    card: str
    owner: tuple[str, str] | None
    amount: int
    pins: dict[Lot, int]
    placed_at: datetime
    until: datetime
    state: str = "open"
    is_undone: bool = False
    """Its capture was voided: it does not open again and counts as late."""

    ended_at: datetime | None = None

    def is_open(self, at: datetime) -> bool:
        """At any instant, past ones too: its end is a fact of the clock, whenever it is written."""
        return self.placed_at <= at < min(self.until, self.ended_at or self.until)

    def end(self, state: str, now: datetime) -> None:
        self.state, self.ended_at = state, min(self.ended_at or now, now)


Move = tuple[Lot, int]
"""A lot and what an operation did to it; debts are lots that hold less than nothing."""


@dataclass(eq=False)
class Account:
    unit: str
    lots: list[Lot] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    journal: list[tuple[datetime, Lot, int]] = field(default_factory=list)
    """Every move with when it was effective; what workers book as expired is no move."""

    merged_into: Account | None = None
    came_in: list[Account] = field(default_factory=list)
    """Accounts that were merged into this one: their past is its own."""

    @property
    def living(self) -> Account:
        return self.merged_into.living if self.merged_into else self

    # Reading ------------------------------------------------------------------------------------------------

    def held(self, lot: Lot, at: datetime) -> int:
        return sum(hold.pins.get(lot, 0) for hold in self.holds if hold.is_open(at))

    def free(self, lot: Lot, now: datetime) -> int:
        return lot.remaining - self.held(lot, now)

    def payers(self, now: datetime) -> list[Lot]:
        """Lots that can pay now, in the order in which they do."""
        return sorted(
            (lot for lot in self.lots if lot.terms.is_available(now) and self.free(lot, now) > 0),
            key=lambda lot: lot.order,
        )

    def available(self, now: datetime) -> int:
        return sum(self.free(lot, now) for lot in self.payers(now)) + sum(debt.remaining for debt in self.debts())

    def debts(self) -> list[Lot]:
        return sorted((lot for lot in self.lots if lot.remaining < 0), key=lambda lot: lot.number)

    @property
    def balance(self) -> int:
        return sum(lot.booked for lot in self.lots)

    @property
    def unexpired(self) -> int:
        """The balance of books whose workers never run."""
        return sum(lot.remaining for lot in self.lots)

    def past(self) -> list[tuple[datetime, Lot, int]]:
        return [*self.journal, *(entry for account in self.came_in for entry in account.past())]

    def at(self, at: datetime) -> tuple[int, int, int]:
        """Available, pending and held at an instant, as far as is known now.

        A late fact may have drawn a lot before it was filled: what it was below nothing is owed then. And what a late
        accrual has repaid of a debt before that was made is there then.
        """
        amounts: dict[Lot, int] = {}
        for effective_at, lot, amount in self.past():
            if effective_at <= at:
                amounts[lot] = amounts.get(lot, 0) + amount
        owed = {lot: amount for lot, amount in amounts.items() if lot.terms.is_debt or amount < 0}
        filled = {lot: amount for lot, amount in amounts.items() if lot not in owed}
        free = sum(
            amount - self.held(lot, at) for lot, amount in amounts.items() if lot in owed or lot.terms.is_available(at)
        )
        pending = sum(amount for lot, amount in filled.items() if lot.terms.available_from > at)
        return free, pending, sum(sum(hold.pins.values()) for hold in self.holds if hold.is_open(at))

    # Writing ------------------------------------------------------------------------------------------------

    def lot(self, terms: Terms, so_far: Iterable[Move] = ()) -> Lot:
        """The open lot of these terms, or a new one; what its own operation has emptied so far is open to its end."""
        touched = {lot for lot, _ in so_far}
        for lot in self.lots:
            if lot.terms == terms and (lot.remaining != 0 or lot in touched):
                return lot
        made = Lot(terms, self, len(self.lots))
        self.lots.append(made)
        return made

    def move(self, lot: Lot, amount: int, at: datetime) -> Move:
        """What a worker has booked as expired comes back first when it is taken after all."""
        lot.remaining += amount
        assert lot.remaining <= 0 if lot.terms.is_debt else lot.remaining >= 0
        assert not lot.terms.is_debt or len([debt for debt in self.debts() if debt.terms == lot.terms]) <= 1
        lot.expired = min(lot.expired, lot.remaining) if lot.expired else 0
        self.journal.append((at, lot, amount))
        return lot, amount

    def take(
        self, amount: int, now: datetime, lots: Iterable[Lot] | None = None, at: datetime | None = None
    ) -> list[Move]:
        """Draw up to the amount from lots that can pay."""
        moves = []
        for lot in self.payers(now) if lots is None else lots:
            part = min(amount, self.free(lot, now))
            if part > 0:
                moves.append(self.move(lot, -part, at or now))
                amount -= part
        return moves

    def owe(self, issuer: str, amount: int, now: datetime, at: datetime | None = None) -> list[Move]:
        return [self.move(self.lot(Terms(issuer, NEVER, None, True)), -amount, at or now)] if amount else []

    def put(self, terms: Terms, amount: int, at: datetime, so_far: Iterable[Move] = ()) -> list[Move]:
        """Fill a lot; debts are repaid from it at once, oldest first."""
        if not amount:
            return []
        lot = self.lot(terms, so_far)
        moves = [self.move(lot, amount, at)]
        for debt in self.debts():
            part = min(amount, -debt.remaining)
            if part > 0:
                moves += [self.move(lot, -part, at), self.move(debt, part, at)]
                amount -= part
        return moves

    def repay(self, now: datetime) -> list[Move]:
        """What is free repays what is owed, be it pending: soonest expiring first, oldest debt first."""
        moves: list[Move] = []
        free = [lot for lot in self.lots if not lot.terms.is_debt and not lot.terms.is_expired(now)]
        for lot in sorted(free, key=lambda lot: lot.order):
            for debt in self.debts():
                part = min(self.free(lot, now), -debt.remaining)
                if part > 0:
                    moves += [self.move(lot, -part, now), self.move(debt, part, now)]
        return moves

    def pin(self, amount: int, now: datetime) -> dict[Lot, int]:
        pins = {}
        for lot in self.payers(now):
            part = min(amount, self.free(lot, now))
            if part:
                pins[lot] = part
                amount -= part
        assert amount == 0
        return pins

    def expire(self, now: datetime) -> None:
        """What a worker does: book what is free in lots past their time."""
        for lot in self.lots:
            if lot.terms.is_expired(now):
                lot.expired = self.free(lot, now)


def living(lot: Lot) -> Lot:
    """Where a lot is today: in the account into which its own was merged, among equal ones; a debt of before is new."""
    account = lot.account.living
    if account is lot.account:
        return lot
    if lot.terms.is_debt:
        return account.lot(lot.terms)
    equal = [other for other in account.lots if other.terms == lot.terms]
    return max(equal, key=lambda other: other.remaining != 0) if equal else account.lot(lot.terms)


@dataclass(frozen=True)
class Undoing:
    """How an operation is undone: when, and what becomes of points whose lot has expired since it was booked."""

    now: datetime
    at: datetime
    booked_at: datetime
    grace: Terms | None = None

    def back(self, lot: Lot) -> Lot:
        """Where points go back to; a lot that was over already when they were drawn gets no grace."""
        expires_at = lot.terms.expires_at
        if self.grace is None or expires_at is None or not self.booked_at < expires_at <= self.now:
            return lot
        return lot.account.lot(Terms(lot.terms.issuer, self.grace.available_from, self.grace.expires_at))


@dataclass
class Undone:
    """What a reversal did; ``owed`` by lot is what nobody had left of what was put into it."""

    moves: list[Move] = field(default_factory=list)
    owed: dict[Lot, int] = field(default_factory=dict)


def net(moves: Iterable[Move]) -> dict[Lot, int]:
    sums: dict[Lot, int] = {}
    for lot, amount in moves:
        sums[lot] = sums.get(lot, 0) + amount
    today: dict[Lot, int] = {}
    for lot, amount in sums.items():
        lot = living(lot)
        today[lot] = today.get(lot, 0) + amount
    return today


def with_debts_of_today(sums: Mapping[Lot, int]) -> dict[Lot, int]:
    """The same, with what is about a repaid debt told of what is owed to that partner now.

    Where nothing is owed it is the oldest of the debts that are told of.
    """
    found: dict[Lot, int] = {}
    for lot, amount in sums.items():
        if lot.terms.is_debt and not lot.remaining:
            same = [debt for debt in lot.account.lots if debt.terms == lot.terms and (debt.remaining or debt in sums)]
            lot = min(same, key=lambda debt: (not debt.remaining, debt.number))
        found[lot] = found.get(lot, 0) + amount
    return found


def undo(moves: Iterable[Move], how: Undoing) -> Undone:
    """Give back what was drawn to the lots it came from, and take back what was put in.

    All own lots first, then others that can pay; what nobody has left is told. A debt holds nothing: what comes back to
    one that was repaid gets a lot of its own, and is the last to repay another debt.
    """
    undone, sums = Undone(), with_debts_of_today(net(moves))
    spare: list[tuple[Account, Terms, int]] = []
    for lot, amount in sums.items():
        account = lot.account
        if amount < 0 and lot.terms.is_debt:
            owed = min(-amount, -lot.remaining)
            if owed:
                undone.moves.append(account.move(lot, owed, how.at))
            if -amount > owed:
                spare.append((account, Terms(lot.terms.issuer, how.now), -amount - owed))
        elif amount < 0:
            undone.moves.append(account.move(how.back(lot), -amount, how.at))
    undone.moves += [account.move(account.lot(terms), amount, how.at) for account, terms, amount in spare]
    short = {lot: take_own(lot, amount, how, undone) for lot, amount in sums.items() if amount > 0}
    for lot, amount in short.items():
        others = lot.account.take(amount, how.now, None, how.at)
        undone.moves += others
        amount += sum(part for _, part in others)
        if amount:
            undone.owed[lot] = amount
    return undone


def take_own(lot: Lot, amount: int, how: Undoing, undone: Undone) -> int:
    """Take back from the lot itself; what it has no more. A debt that was repaid is owed again."""
    if lot.terms.is_debt:
        undone.moves.append(lot.account.move(lot, -amount, how.at))
        return 0
    taken = lot.account.take(amount, how.now, [lot], how.at)
    undone.moves += taken
    return amount + sum(part for _, part in taken)
