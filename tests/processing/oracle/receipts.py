"""Receipts and returns: what they move, line by line. What their keys stand for is in ``oracle/keys.py``.

A sale keeps which lot paid which line and which lot each line earned into. A return reads that and nothing else: of
what an account paid for a line, or got for it, exactly ``amount * returned // size`` is undone after any steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from processing.allocation import spread_payments
from processing.chain import Programme
from processing.commands import CardUse, Line, PostReceipt, Receipt, ReturnLine, ReturnReceipt
from tests.processing.oracle.bank import STORES, UNITS, Answer, Bank, Card, Head, Refused
from tests.processing.oracle.lots import Account, Hold, Lot, Move, net, undo
from tests.processing.oracle.value import captured

LET_OFF = {"forgive": "forgiven", "deduct": "deducted"}
Parts = list[tuple[int, int]]
"""(line number, amount) pairs."""


@dataclass
class Share:
    """What one lot paid for a line (negative) or got for it."""

    lot: Lot
    line: int
    amount: int
    is_load: bool = False


@dataclass
class Sale:
    """A receipt that stands; ``back`` is how much of each line has come back, by the return.

    ``absorbed``: what came back before the sale was voided and restored, and is no return of its own any more.
    """

    lines: Sequence[Line]
    shares: list[Share] = field(default_factory=list)
    back: list[tuple[Head, dict[int, int]]] = field(default_factory=list)
    absorbed: dict[int, int] = field(default_factory=dict)
    programme: Programme | None = None
    holds: list[Hold] = field(default_factory=list)

    def returned(self, line: int) -> int:
        return self.absorbed.get(line, 0) + sum(counts.get(line, 0) for _, counts in self.standing())

    def standing(self) -> list[tuple[Head, dict[int, int]]]:
        return [(head, counts) for head, counts in self.back if head.state == "posted"]

    def absorb(self) -> list[Move]:
        """The sale is undone with the returns on it: what these moved."""
        moves: list[Move] = []
        for head, counts in self.standing():
            moves += head.moves
            for line, amount in counts.items():
                self.absorbed[line] = self.absorbed.get(line, 0) + amount
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
    moves += load(bank, command, uses, at, sale)
    moves += earn(bank, command, uses, at, sale)
    answer = {"word": "ReceiptPosted", "cards": told(bank, uses), "flags": sorted(set(flags))}
    return answer, moves, sale


def find(bank: Bank, command: PostReceipt, ask: CardUse, flags: list[str]) -> Use:
    redeemed = {amount.unit: amount.amount for amount in ask.redeem}
    try:
        card = bank.card(ask.refs[0])
    except Refused:
        if not command.fact:
            raise
        flags.append("suspense")
        return Use(ask, None, redeemed)
    use = Use(ask, card, redeemed, loaded={amount.unit: amount.amount for amount in ask.top_up})
    word = card.why_unusable(bank.now)
    if word and not command.fact and (redeemed or ask.top_up or ask.hold):
        raise Refused(word)
    if word and command.fact and (redeemed or ask.earn or ask.top_up):
        flags += ["suspense", "card_not_usable"]
        return Use(ask, None, redeemed)
    if word:
        flags.append("card_not_usable")
        use.earned = {"": 0}
    if ask.hold:
        find_hold(bank, command, use, flags)
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
    """What each card earns, and by which lines: points on the holder's own money, shared by what each spent."""
    sums = goods(lines)
    points = sum(
        amount
        for use in uses
        if use.card is not None
        for unit, amount in use.redeemed.items()
        if UNITS[unit].kind == "points"
    )
    own = [cost - paid for cost, paid in zip(sums, spread(min(points, sum(sums)), sums), strict=True)]
    earning = [use for use in uses if use.card is not None]
    spends = [max(use.ask.spend_minor, 0) for use in earning]
    for n, use in enumerate(earning):
        assert use.card is not None
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
    """No more points than the programme lets pay of the goods, by each card and by all of them."""
    total = command.receipt.total_minor - sum(line.sum_minor for line in command.receipt.lines if line.kind != "goods")
    most, paid = 0, 0
    for use in uses:
        if use.card is None:
            continue
        programme = use.card.programme
        limit = max(total, 0) * programme.payable_hundredths // 10_000
        most = max(most, limit)
        own = use.redeemed.get(programme.unit, 0)
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
        if ask.hold and found and found[0].state == "open":
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


def load(bank: Bank, command: PostReceipt, uses: Sequence[Use], at: datetime, sale: Sale) -> list[Move]:
    moves: list[Move] = []
    loads = [line.sum_minor if line.kind == "top_up" else 0 for line in sale.lines]
    for use in uses:
        for unit, amount in use.loaded.items():
            assert use.card is not None
            own = use.card.account(unit).put(bank.money_terms(use.card, command.store), amount, at)
            parts = [(line.number, part) for line, part in zip(sale.lines, spread(amount, loads), strict=True)]
            sale.shares += cut(parts, [(lot, part) for lot, part in net(own).items() if part], is_load=True)
            moves += own
    return moves


def earn(bank: Bank, command: PostReceipt, uses: Sequence[Use], at: datetime, sale: Sale) -> list[Move]:
    moves: list[Move] = []
    for use in uses:
        for unit, amount in use.earned.items():
            assert use.card is not None
            own = use.card.account(unit).put(bank.earned_terms(use.card, unit, command.store, at), amount, at)
            sale.shares += cut(use.lines, [(lot, part) for lot, part in net(own).items() if part])
            moves += own
    return moves


def programme_of(uses: Sequence[Use]) -> Programme | None:
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


# A return --------------------------------------------------------------------------------------------------------


def size(line: Line) -> int:
    return line.quantity_thousandths if line.quantity_thousandths > 0 else max(line.sum_minor, 0)


def post_return(
    bank: Bank, command: ReturnReceipt, sale_head: Head | None
) -> tuple[Answer, list[Move], dict[int, int]]:
    flags: list[str] = []
    answer: Answer = {"word": "ReceiptReturned", "cards": [], "lines": [], "keep_back_minor": 0, "flags": flags}
    if sale_head is None:
        if not command.fact:
            raise Refused("ReceiptNotFound")
        flags.append("sale_unknown")
        return answer | {"sale": "", "sale_store": ""}, [], {}
    sale: Sale = sale_head.sale
    counts = count(sale, command, flags)
    moves, short, deducted = give_and_take(bank, command, sale_head, counts, flags)
    movements = []
    numbers = {bank.cards[number].account(unit): number for number, unit, *_ in sale_head.answer["cards"]}
    for account, number in numbers.items():
        own = [share for share in undone(sale, counts) if share.lot.account.living is account]
        back = -sum(share.amount for share in own if share.amount < 0)
        taken = sum(share.amount for share in own if share.amount > 0) - short.get(account, 0)
        if own:
            movements.append([number, account.unit, back, taken])
    answer |= {
        "lines": [[line, amount] for line, amount in counts.items()],
        "keep_back_minor": deducted,
        "cards": bank.movements_now(movements),
        "sale": command.sale,
        "sale_store": command.sale_store or command.store,
        "flags": sorted(set(flags)),
    }
    return answer, moves, counts


def count(sale: Sale, command: ReturnReceipt, flags: list[str]) -> dict[int, int]:
    """How much of each sold line comes back now, in its own measure."""
    counts: dict[int, int] = {}
    for wanted in command.lines or [ReturnLine(number=line.number) for line in sale.lines]:
        for line, amount in asked(sale, wanted, counts, command, flags):
            counts[line] = counts.get(line, 0) + amount
    counts = {line: amount for line, amount in counts.items() if amount}
    if not counts:
        if not command.fact:
            raise Refused("ReturnExceeds")
        flags.append("over_returned")
    return dict(sorted(counts.items()))


def asked(sale: Sale, wanted: ReturnLine, counts: dict[int, int], command: ReturnReceipt, flags: list[str]) -> Parts:
    lines = [
        line
        for line in sale.lines
        if (line.number == wanted.number if wanted.number else not wanted.goods or line.goods == wanted.goods)
    ]
    if len(sale.lines) == 1 and not wanted.number:
        lines = list(sale.lines)
    left = {line.number: size(line) - sale.returned(line.number) - counts.get(line.number, 0) for line in lines}
    amount = measure(wanted, lines)
    if amount is None:
        if command.lines and not sum(left.values()):
            if not command.fact:
                raise Refused("ReturnExceeds")
            flags.append("over_returned")
        return list(left.items())
    parts = []
    for line in lines:
        part = min(amount, left[line.number])
        parts.append((line.number, part))
        amount -= part
    if amount and not command.fact:
        raise Refused("ReturnExceeds")
    if amount:
        flags.append("over_returned")
    return parts


def measure(wanted: ReturnLine, lines: Sequence[Line]) -> int | None:
    """How much is asked for, in the line's own measure; None: all that is left."""
    if wanted.quantity_thousandths is None and wanted.sum_minor is None:
        return None
    if not lines:
        return 1
    line = lines[0]
    if wanted.quantity_thousandths is not None:
        if line.quantity_thousandths <= 0 or wanted.quantity_thousandths <= 0:
            raise Refused("BadAmount")
        return wanted.quantity_thousandths
    assert wanted.sum_minor is not None
    if wanted.sum_minor <= 0:
        raise Refused("BadAmount")
    if line.quantity_thousandths <= 0:
        return wanted.sum_minor
    return wanted.sum_minor * line.quantity_thousandths // line.sum_minor if line.sum_minor else None


def undone(sale: Sale, counts: dict[int, int]) -> list[Share]:
    """What of the sale's shares these lines undo now.

    The lot that paid last gets its points back first; what was earned is taken before what it repaid.
    """
    sizes = {line.number: size(line) for line in sale.lines}
    groups: dict[tuple[Account, int, bool, bool], list[Share]] = {}
    for share in sale.shares:
        groups.setdefault((share.lot.account, share.line, share.amount < 0, share.is_load), []).append(share)
    found = []
    for (_, line, is_paid, _), shares in groups.items():
        now, whole = counts.get(line, 0), sizes[line]
        if not now or not whole:
            continue
        total, before = sum(abs(share.amount) for share in shares), sale.returned(line)
        units = [share for share in (shares[::-1] if is_paid else shares) for _ in range(abs(share.amount))]
        undone_now = units[total * before // whole : total * (before + now) // whole]
        for share in shares:
            part = sum(unit is share for unit in undone_now)
            if part:
                found.append(Share(share.lot, line, -part if is_paid else part, share.is_load))
    return found


def give_and_take(
    bank: Bank, command: ReturnReceipt, sale_head: Head, counts: dict[int, int], flags: list[str]
) -> tuple[list[Move], dict[Account, int], int]:
    """Give back what paid, take back what was earned; by account: what nobody had left and was let off."""
    sale: Sale = sale_head.sale
    policy = sale.programme.return_policy if sale.programme else "debt"
    at = min(bank.now, command.receipt.closed_at or bank.now) if command.fact else bank.now
    moves: list[Move] = []
    short: dict[Account, int] = {}
    deducted = 0
    shares = undone(sale, counts)
    accounts = list(dict.fromkeys(share.lot.account.living for share in shares))
    for account in accounts:
        own = [share for share in shares if share.lot.account.living is account]
        how = bank.undoing(sale_head, command.store, at)
        done = undo([(share.lot, share.amount) for share in own], how)
        moves += done.moves
        let_off = lets_off(sale, command) and UNITS[account.unit].kind == "points"
        for lot, amount in done.owed.items():
            if let_off:
                short[account] = short.get(account, 0) + amount
                flags.append(LET_OFF[policy])
                deducted += amount if policy == "deduct" else 0
            else:
                flags.append("debt")
                moves += account.owe(lot.terms.issuer, amount, bank.now, at)
        moves += repay(account, done.moves, bank.now, at)
    return moves, short, deducted


def lets_off(sale: Sale, command: ReturnReceipt) -> bool:
    policy = sale.programme.return_policy if sale.programme else "debt"
    return policy == "forgive" or (policy == "deduct" and command.can_deduct)


def repay(account: Account, moves: Sequence[Move], now: datetime, at: datetime) -> list[Move]:
    """Debts are repaid from what has just come back."""
    done: list[Move] = []
    for lot, came in net(moves).items():
        if came <= 0 or lot.terms.is_debt or not lot.terms.is_available(now):
            continue
        amount = min(came, account.free(lot, now))
        for debt in account.debts():
            part = min(amount, -debt.remaining)
            if part > 0:
                done += [account.move(lot, -part, at), account.move(debt, part, at)]
                amount -= part
    return done
