"""Returns: goods that come back, of a known sale or of none (design law 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from processing.commands import Line, ReturnLine, ReturnReceipt
from tests.processing.books import Short
from tests.processing.oracle.bank import STORES, UNITS, Answer, Bank, Card, Head, Refused
from tests.processing.oracle.lots import Account, Move, Terms, Undoing, net, undo
from tests.processing.oracle.receipts import Parts, Places, Sale, Share, Use, decide, lines_of, size

LET_OFF = {"forgive": "forgiven", "deduct": "deducted"}


def of_sale(bank: Bank, command: ReturnReceipt, sale_head: Head) -> tuple[Answer, list[Move], Places]:
    """What a return of a sale that stands says and moves, and which places of each line came back."""
    flags: list[str] = []
    answer: Answer = {"word": "ReceiptReturned", "cards": [], "lines": [], "keep_back_minor": 0, "flags": flags}
    sale: Sale = sale_head.sale
    places = count(sale, command, flags)
    moves, short, deducted = give_and_take(bank, command, sale_head, places, flags)
    movements = []
    numbers = {bank.cards[number].account(unit): number for number, unit, *_ in sale_head.answer["cards"]}
    for account, number in numbers.items():
        own = [share for share in undone(sale, places) if share.lot.account.living is account]
        back = -sum(share.amount for share in own if share.amount < 0)
        taken = sum(share.amount for share in own if share.amount > 0) - short.get(account, 0)
        if own:
            movements.append([number, account.unit, back, taken])
    answer |= {
        "lines": [[line, len(some)] for line, some in places.items()],
        "keep_back_minor": deducted,
        "cards": bank.movements_now(movements),
        "sale": command.sale,
        "sale_store": command.sale_store or command.store,
        "flags": sorted(set(flags)),
    }
    return answer, moves, places


def count(sale: Sale, command: ReturnReceipt, flags: list[str]) -> Places:
    """Which places of each sold line come back now: the first that are free."""
    free = {line.number: sale.free(line) for line in sale.lines}
    places: Places = {}
    for wanted in command.lines or [ReturnLine(number=line.number) for line in sale.lines]:
        for line, amount in asked(sale, wanted, free, command, flags):
            places.setdefault(line, []).extend(free[line][:amount])
            free[line] = free[line][amount:]
    places = {line: some for line, some in places.items() if some}
    if not places:
        if not command.fact:
            raise Refused("ReturnExceeds")
        flags.append("over_returned")
    return dict(sorted(places.items()))


def asked(sale: Sale, wanted: ReturnLine, free: Places, command: ReturnReceipt, flags: list[str]) -> Parts:
    lines = named(sale, wanted)
    left = {line.number: len(free[line.number]) for line in lines}
    amount = measure(wanted, lines)
    if amount is not None and amount <= 0:
        if not command.fact:
            raise Refused("BadAmount")
        flags.append("over_returned")
        return []
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


def named(sale: Sale, wanted: ReturnLine) -> list[Line]:
    """By number, else by goods, else the one there is."""
    if wanted.number:
        return [line for line in sale.lines if line.number == wanted.number]
    if wanted.goods:
        return [line for line in sale.lines if line.goods == wanted.goods]
    return list(sale.lines) if len(sale.lines) == 1 else []


def measure(wanted: ReturnLine, lines: Sequence[Line]) -> int | None:
    """How much is asked for, in the line's own measure: nothing, if it has another; None: all that is left."""
    if wanted.quantity_thousandths is None and wanted.sum_minor is None:
        return None
    if not lines:
        return 1
    line = lines[0]
    if wanted.quantity_thousandths is not None:
        return wanted.quantity_thousandths if line.quantity_thousandths > 0 else 0
    assert wanted.sum_minor is not None
    if line.quantity_thousandths <= 0:
        return wanted.sum_minor
    return wanted.sum_minor * line.quantity_thousandths // line.sum_minor if line.sum_minor else None


def undone(sale: Sale, places: Places) -> list[Share]:
    """What of the sale's shares lies on these places.

    The lot that paid last gets its points back first; what was earned is taken before what it repaid.
    """
    sizes = {line.number: size(line) for line in sale.lines}
    groups: dict[tuple[Account, int, bool, bool], list[int]] = {}
    for n, share in enumerate(sale.shares):
        groups.setdefault((share.lot.account, share.line, share.amount < 0, share.is_load), []).append(n)
    amounts: dict[int, int] = {}
    for (_, line, is_paid, _), numbers in groups.items():
        ordered = numbers[::-1] if is_paid else numbers
        units = [n for n in ordered for _ in range(abs(sale.shares[n].amount))]
        for place in places.get(line, ()):
            for n in units[len(units) * place // sizes[line] : len(units) * (place + 1) // sizes[line]]:
                amounts[n] = amounts.get(n, 0) + 1
    paid = [n for n in sorted(amounts, reverse=True) if sale.shares[n].amount < 0]
    got = [n for n in sorted(amounts) if sale.shares[n].amount > 0]
    return [replace(sale.shares[n], amount=-amounts[n]) for n in paid] + [
        replace(sale.shares[n], amount=amounts[n]) for n in sorted(got, key=lambda n: sale.shares[n].is_load)
    ]


def give_and_take(
    bank: Bank, command: ReturnReceipt, sale_head: Head, places: Places, flags: list[str]
) -> tuple[list[Move], dict[Account, int], int]:
    """Give back what paid, take back what was earned; by account: what nobody had left and was let off."""
    sale: Sale = sale_head.sale
    policy = sale.programme.return_policy if sale.programme else "debt"
    at = min(bank.now, command.receipt.closed_at or bank.now) if command.fact else bank.now
    moves: list[Move] = []
    short: dict[Account, int] = {}
    deducted = 0
    shares = undone(sale, places)
    accounts = list(dict.fromkeys(share.lot.account.living for share in shares))
    for account in accounts:
        own = [share for share in shares if share.lot.account.living is account]
        how = bank.undoing(sale_head, command.sale_store or command.store, at)
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


# Without a sale --------------------------------------------------------------------------------------------------


def without_sale(bank: Bank, command: ReturnReceipt) -> tuple[Answer, list[Move], Short | None]:
    """What a return of something unknown says and moves: each card gets back and loses what is told or worked out."""
    flags: list[str] = []
    if command.sale:
        if not command.fact:
            raise Refused("ReceiptNotFound")
        flags.append("sale_unknown")
    at = min(bank.now, command.receipt.closed_at or bank.now) if command.fact else bank.now
    uses = [find(bank, command, ask, flags) for ask in command.cards]
    decide(lines_of(command.receipt), uses)
    by_account: dict[Account, list[Use]] = {}
    for use in uses:
        for unit in dict.fromkeys([*use.redeemed, *use.earned]) if use.card else ():
            assert use.card is not None
            by_account.setdefault(use.card.account(unit), []).append(use)
    moves: list[Move] = []
    movements, deducted = [], 0
    for account, own in by_account.items():
        done, moved, kept_back = swap(bank, command, account, own, at, flags)
        moves += done
        movements.append(moved)
        deducted += kept_back
    answer: Answer = {
        "word": "ReceiptReturned",
        "cards": bank.movements_now(movements),
        "lines": [],
        "keep_back_minor": deducted,
        "sale": "",
        "sale_store": "",
        "flags": sorted(set(flags)),
    }
    return answer, moves, next((use.card.programme for use in uses if use.card is not None), None)


def find(bank: Bank, command: ReturnReceipt, ask: Any, flags: list[str]) -> Use:
    redeemed = {amount.unit: amount.amount for amount in ask.redeem if amount.amount}
    try:
        return Use(ask, bank.card(ask.refs[0]), redeemed)
    except Refused:
        if not command.fact:
            raise
        flags.append("suspense")
        return Use(ask, None, redeemed)


def swap(
    bank: Bank, command: ReturnReceipt, account: Account, uses: Sequence[Use], at: datetime, flags: list[str]
) -> tuple[list[Move], list[Any], int]:
    """What comes back to an account is there at once and pays first for what is lost.

    The moves, the movement, and what the till keeps back; two cards of one wallet are told as the first.
    """
    card, unit = uses[0].card, account.unit
    assert card is not None
    back = sum(use.redeemed.get(unit, 0) for use in uses)
    lost = sum(use.earned.get(unit, 0) for use in uses)
    lot = account.lot(returned_terms(bank, command, card, unit))
    done = undo([(lot, lost - back)], Undoing(bank.now, at, bank.now))
    short, policy = sum(done.owed.values()), card.programme.return_policy
    moves, deducted = done.moves, 0
    if short and UNITS[unit].kind == "points" and (policy == "forgive" or (policy == "deduct" and command.can_deduct)):
        flags.append(LET_OFF[policy])
        deducted = short if policy == "deduct" else 0
        lost -= short
    elif short:
        flags.append("debt")
        moves += account.owe(STORES[command.store].partner, short, bank.now, at)
    return moves + repay(account, moves, bank.now, at), [card.number, unit, back, lost], deducted


def returned_terms(bank: Bank, command: ReturnReceipt, card: Card, unit: str) -> Terms:
    if UNITS[unit].kind == "money":
        return bank.money_terms(card, command.store)
    today, earned = bank.terms(command.store), bank.earned_terms(card, unit, command.store)
    return Terms(today.issuer, today.available_from, earned.expires_at)
