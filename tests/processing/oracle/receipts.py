"""Receipts and returns: what they move, line by line. What their keys stand for is in ``oracle/keys.py``.

A sale keeps which lot paid which line and which lot each line earned into. A return reads that and nothing else: it
takes the lowest places of a line that are free, and undoes what of the line's points lies on just these places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec import structs

from processing.allocation import spread_payments
from processing.commands import CardUse, Line, PostReceipt, Receipt
from tests.processing.books import Short
from tests.processing.oracle.bank import STORES, UNITS, Answer, Bank, Card, Head, Refused
from tests.processing.oracle.lots import Account, Hold, Lot, Move, net
from tests.processing.oracle.value import captured

Parts = list[tuple[int, int]]
"""(line number, amount) pairs."""
Places = dict[int, list[int]]
"""By line the places that came back: each a thousandth of a piece or a kopeck, numbered from 0."""


@dataclass
class Share:
    """What one lot paid for a line (negative) or got for it."""

    lot: Lot
    line: int
    amount: int
    is_load: bool = False


@dataclass
class Sale:
    """A receipt that stands; ``back`` is which places of its lines have come back, by the return.

    ``holds``: those that it has captured; one that it let go may be captured by somebody else.
    ``absorbed``: what came back before the sale was voided and restored, and is no return of its own any more.
    """

    lines: Sequence[Line]
    shares: list[Share] = field(default_factory=list)
    back: list[tuple[Head, Places]] = field(default_factory=list)
    absorbed: list[Places] = field(default_factory=list)
    programme: Short | None = None
    holds: list[Hold] = field(default_factory=list)

    def free(self, line: Line) -> list[int]:
        """The places of a line that no return has which stands."""
        every = [*self.absorbed, *(places for _, places in self.standing())]
        taken = {place for places in every for place in places.get(line.number, ())}
        return [place for place in range(size(line)) if place not in taken]

    def standing(self) -> list[tuple[Head, Places]]:
        return [(head, places) for head, places in self.back if head.state == "posted"]

    def absorb(self) -> list[Move]:
        """The sale is undone with the returns on it: what these moved."""
        moves: list[Move] = []
        for head, places in self.standing():
            moves += head.moves
            self.absorbed.append(places)
        self.back = []
        return moves


@dataclass
class Use:
    """A card's part. ``card`` is None for suspense."""

    ask: CardUse
    card: Card | None
    redeemed: dict[str, int]
    earned: dict[str, int] = field(default_factory=dict)
    loaded: dict[str, int] = field(default_factory=dict)
    lines: Parts = field(default_factory=list)
    hold: Hold | None = None
    hold_is_late: bool = False


def spread(total: int, weights: Sequence[int]) -> list[int]:
    """In proportion, rounded down; what is left over goes one each to the largest remainders."""
    base = sum(weights)
    if base == 0:
        return [total] + [0] * (len(weights) - 1)
    parts = [total * weight // base for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda n: (-(total * weights[n] % base), n))
    for n in by_rest[: total - sum(parts)]:
        parts[n] += 1
    return parts


def size(line: Line) -> int:
    return line.quantity_thousandths if line.quantity_thousandths > 0 else max(line.sum_minor, 0)


def lines_of(receipt: Receipt) -> Sequence[Line]:
    return receipt.lines or (Line(number=0, goods="", sum_minor=receipt.total_minor, quantity_thousandths=0),)


def goods(lines: Sequence[Line]) -> list[int]:
    return [line.sum_minor if line.kind == "goods" else 0 for line in lines]


# A sale ----------------------------------------------------------------------------------------------------------


def post(bank: Bank, command: PostReceipt) -> tuple[Answer, list[Move], Sale]:
    flags: list[str] = []
    at = bank.now
    if command.fact and command.receipt.closed_at is not None:
        at = min(at, command.receipt.closed_at)
    lines = lines_of(command.receipt)
    uses = [find(bank, command, ask, flags) for ask in command.cards]
    decide(lines, uses)
    check_limits(command, uses, flags)
    payments = payments_of(uses)
    if not command.fact:
        check_funds(bank, payments)
    sale = Sale(lines, programme=programme_of(uses), holds=[use.hold for use in uses if use.hold is not None])
    moves = pay(bank, command, payments, at, sale, flags)
    sale.holds = [hold for hold in sale.holds if hold.state == "captured"]
    moves += load(bank, command, uses, at, sale, moves)
    moves += earn(bank, command, uses, at, sale, moves)
    answer = {"word": "ReceiptPosted", "cards": told(bank, uses), "flags": sorted(set(flags))}
    return answer, moves, sale


def find(bank: Bank, command: PostReceipt, ask: CardUse, flags: list[str]) -> Use:
    if command.payment and ask.earn is None:
        ask = structs.replace(ask, earn=())
    redeemed = {amount.unit: amount.amount for amount in ask.redeem}
    try:
        card = bank.card(ask.refs[0])
    except Refused:
        if not command.fact:
            raise
        flags.append("suspense")
        return Use(ask, None, redeemed)
    use = Use(ask, card, redeemed, loaded={amount.unit: amount.amount for amount in ask.top_up})
    if ask.hold:
        find_hold(bank, command, use, flags)
    word = card.why_unusable(bank.now)
    if word and not command.fact and (redeemed or ask.top_up):
        raise Refused(word)
    if word and command.fact and (redeemed or ask.earn or ask.top_up):
        flags += ["suspense", "card_not_usable"]
        return Use(ask, None, redeemed)
    if word:
        flags.append("card_not_usable")
        use.earned = {"": 0}
    return use


def find_hold(bank: Bank, command: PostReceipt, use: Use, flags: list[str]) -> None:
    """A fact does without a hold that has ended or never was."""
    assert use.card is not None
    hold, account = bank.holds.get((command.store, use.ask.hold), (None, None))
    if hold is None or account is None or account.living not in use.card.wallet.accounts.values():
        if not command.fact:
            raise Refused("HoldNotFound")
        flags.append("hold_ended")
        return
    if hold.state != "open" and not hold.is_undone:
        if not command.fact:
            raise Refused("HoldEnded")
        flags.append("hold_ended")
        return
    use.hold, use.hold_is_late = hold, not hold.is_open(bank.now)
    if use.hold_is_late:
        flags.append("hold_late")


def decide(lines: Sequence[Line], uses: Sequence[Use]) -> None:
    """What each card earns, and by which lines: points on the holder's own money, shared by what each spent.

    Points have paid also where it is not known whose they were, and what they paid elsewhere is told in money.
    """
    sums = goods(lines)
    points = sum(use.ask.paid_minor for use in uses)
    points += sum(amount for use in uses for unit, amount in use.redeemed.items() if UNITS[unit].kind == "points")
    own = [cost - paid for cost, paid in zip(sums, spread(min(points, sum(sums)), sums), strict=True)]
    spends = [max(use.ask.spend_minor, 0) for use in uses]
    for n, use in enumerate(uses):
        if use.card is None:
            continue
        programme = use.card.programme
        weight, whole = (spends[n], sum(spends)) if sum(spends) else (int(n == 0), 1)
        bases = [money if line.kind == "goods" else 0 for line, money in zip(lines, own, strict=True)]
        amount = sum(bases) * weight // whole * programme.cashback_hundredths // 10_000
        if use.earned:
            use.earned = {}
        elif use.ask.earn is None:
            use.earned = {programme.unit: amount} if amount else {}
            use.lines = [(line.number, part) for line, part in zip(lines, spread(amount, bases), strict=True)]
        else:
            use.earned = {each.unit: each.amount for each in use.ask.earn if each.amount}
            total = sum(use.earned.values())
            use.lines = [(line.number, part) for line, part in zip(lines, spread(total, sums), strict=True)]


def check_limits(command: PostReceipt, uses: Sequence[Use], flags: list[str]) -> None:
    """No more points than the programme lets pay of the goods, by each card and by all of them.

    A payment of a purchase that is told elsewhere may take what its hold pins: that was judged with the hold.
    """
    total = command.receipt.total_minor - sum(line.sum_minor for line in command.receipt.lines if line.kind != "goods")
    most, paid = 0, 0
    for use in uses:
        if use.card is None:
            continue
        programme = use.card.programme
        limit = max(total, 0) * programme.payable_hundredths // 10_000
        most = max(most, limit)
        own = use.redeemed.get(programme.unit, 0)
        if command.payment and own <= pinned(use, programme.unit):
            continue
        paid += sum(amount for unit, amount in use.redeemed.items() if UNITS[unit].kind == "points")
        over = own > limit
        if over and not command.fact:
            raise Refused("LimitExceeded")
        if over:
            flags.append("over_limit")
    if paid > most and not command.fact:
        raise Refused("LimitExceeded")
    if paid > most:
        flags.append("over_limit")


def pinned(use: Use, unit: str) -> int:
    """What a use's hold sets aside of a unit: nothing, when it has ended."""
    assert use.card is not None
    is_open = use.hold is not None and not use.hold_is_late and use.hold in use.card.account(unit).holds
    return sum(use.hold.pins.values()) if use.hold is not None and is_open else 0


Payment = tuple[Account, int, list[Use]]


def payments_of(uses: Sequence[Use]) -> list[Payment]:
    """What is paid from each account; two cards of one wallet do not see the same points twice."""
    payments: dict[Account, tuple[int, list[Use]]] = {}
    for use in uses:
        if use.card is None:
            continue
        for unit, amount in use.redeemed.items():
            account = use.card.account(unit)
            paid, users = payments.get(account, (0, []))
            payments[account] = (paid + amount, [*users, use])
    return [(account, amount, users) for account, (amount, users) in payments.items()]


def holds_on(account: Account, users: Sequence[Use]) -> list[Hold]:
    return [use.hold for use in users if use.hold is not None and use.hold in account.holds and not use.hold_is_late]


def check_funds(bank: Bank, payments: Sequence[Payment]) -> None:
    for account, amount, users in payments:
        pinned = min(sum(hold.amount for hold in holds_on(account, users)), amount)
        if amount - pinned > max(account.available(bank.now), 0) and amount > pinned:
            late = any(use.hold is not None and use.hold_is_late and use.hold in account.holds for use in users)
            raise Refused("HoldExpired" if late else "InsufficientPoints")


def pay(
    bank: Bank, command: PostReceipt, payments: Sequence[Payment], at: datetime, sale: Sale, flags: list[str]
) -> list[Move]:
    """Held lots first; a late fact then those that were good when it happened; then what is there; then debt."""
    by_line = spread_payments(sale.lines, [amount for _, amount, _ in payments])
    moves: list[Move] = []
    for (account, amount, users), parts in zip(payments, by_line, strict=True):
        own: list[Move] = []
        for hold in holds_on(account, users):
            own += captured(bank, account, hold, amount + sum(part for _, part in own), at)
        for use in users:
            if use.hold is not None and use.hold_is_late and use.hold in account.holds:
                captured(bank, account, use.hold, amount, at)
        own += draw(bank, account, amount + sum(part for _, part in own), at)
        short = amount + sum(part for _, part in own)
        if short:
            flags.append("debt")
            own += account.owe(STORES[command.store].partner, short, bank.now, at)
        sale.shares += cut(parts, own)
        moves += own
    for ask in command.cards:
        found = bank.holds.get((command.store, ask.hold))
        if ask.hold and found and found[0].is_open(bank.now):
            found[0].end("released", bank.now)
    return moves


def draw(bank: Bank, account: Account, amount: int, at: datetime) -> list[Move]:
    """From lots that have expired since a late fact happened, and from what is available now."""
    gone = [lot for lot in account.lots if lot.terms.is_available(at) and lot.terms.is_expired(bank.now)]
    moves = account.take(amount, bank.now, sorted(gone, key=lambda lot: lot.order), at)
    amount += sum(part for _, part in moves)
    return moves + account.take(min(amount, max(account.available(bank.now), 0)), bank.now, None, at)


def cut(parts: Parts, moves: Sequence[Move], is_load: bool = False) -> list[Share]:
    """The lines' parts cut along the lots, both in their order."""
    shares, left = [], [(line, amount) for line, amount in parts if amount]
    for lot, moved in moves:
        size, sign = abs(moved), 1 if moved > 0 else -1
        while size and left:
            line, amount = left[0]
            part = min(size, amount)
            shares.append(Share(lot, line, sign * part, is_load))
            size -= part
            left = [(line, amount - part), *left[1:]] if amount > part else left[1:]
    return shares


def load(
    bank: Bank, command: PostReceipt, uses: Sequence[Use], at: datetime, sale: Sale, so_far: Sequence[Move]
) -> list[Move]:
    moves: list[Move] = []
    loads = [line.sum_minor if line.kind == "top_up" else 0 for line in sale.lines]
    for use in uses:
        for unit, amount in use.loaded.items():
            assert use.card is not None
            terms = bank.money_terms(use.card, command.store, at)
            own = use.card.account(unit).put(terms, amount, at, so_far)
            parts = [(line.number, part) for line, part in zip(sale.lines, spread(amount, loads), strict=True)]
            sale.shares += cut(parts, [(lot, part) for lot, part in net(own).items() if part], is_load=True)
            moves += own
    return moves


def earn(
    bank: Bank, command: PostReceipt, uses: Sequence[Use], at: datetime, sale: Sale, so_far: Sequence[Move]
) -> list[Move]:
    moves: list[Move] = []
    for use in uses:
        for unit, amount in use.earned.items():
            assert use.card is not None
            terms = bank.earned_terms(use.card, unit, command.store, at)
            own = use.card.account(unit).put(terms, amount, at, so_far)
            sale.shares += cut(use.lines, [(lot, part) for lot, part in net(own).items() if part])
            moves += own
    return moves


def programme_of(uses: Sequence[Use]) -> Short | None:
    return next((use.card.programme for use in uses if use.card is not None), None)


def told(bank: Bank, uses: Sequence[Use]) -> list[Any]:
    """What happened to each unit of a card; one that neither earned nor paid still tells its balance."""
    movements = []
    for use in uses:
        if use.card is None:
            continue
        put = {unit: use.earned.get(unit, 0) + use.loaded.get(unit, 0) for unit in [*use.earned, *use.loaded]}
        for unit in list(dict.fromkeys([*use.redeemed, *put])) or [use.card.programme.unit]:
            movements.append(bank.movement(use.card, unit, use.redeemed.get(unit, 0), put.get(unit, 0)))
    return movements
