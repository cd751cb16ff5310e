"""Value without a receipt, as the docstrings of the commands tell it: one function per command.

Each gets the bank and the command and returns the answer and what it moved. Refusals come before the first change.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from processing.commands import (
    MAX_HOLD_SECONDS,
    Accrue,
    Adjust,
    BlockCard,
    CaptureHold,
    MergeHolders,
    PayOut,
    PlaceHold,
    Redeem,
    Ref,
    ReleaseHold,
    SellGiftCard,
    TopUp,
    Transfer,
    UnblockCard,
)
from tests.processing.oracle.bank import STORES, UNITS, Answer, Bank, Card, Head, Refused, Wallet, positive
from tests.processing.oracle.lots import Account, Hold, Move

Done = tuple[Answer, list[Move]]


def money(unit: str) -> str:
    if UNITS[unit].kind != "money":
        raise Refused("BadAmount")
    return unit


def asked(bank: Bank, account: Account, amount: int | None) -> int:
    """The amount, or all that is free; it must be there."""
    free = max(account.available(bank.now), 0)
    if amount is None:
        amount = free
        if amount == 0:
            raise Refused("InsufficientPoints")
    if positive(amount) > free:
        raise Refused("InsufficientPoints")
    return amount


def suspended(bank: Bank, command: Redeem | Accrue, unit: str, redeemed: int, earned: int) -> Done:
    word = "Redeemed" if isinstance(command, Redeem) else "Accrued"
    return {"word": word, "card": ["", unit, redeemed, earned, 0, 0, 0], "flags": ["suspense"]}, []


def card_of(bank: Bank, command: Redeem | Accrue) -> Card | None:
    """None: a fact without a usable card."""
    try:
        return bank.usable(command.card)
    except Refused:
        if not command.fact:
            raise
        return None


def redeem(bank: Bank, command: Redeem) -> Done:
    if command.unit not in UNITS:
        raise Refused("UnitNotFound")
    if command.amount is not None:
        positive(command.amount)
    card = card_of(bank, command)
    if card is None:
        if command.amount is None:
            raise Refused("CardNotFound")
        return suspended(bank, command, command.unit, command.amount, 0)
    account = card.account(command.unit)
    issuer = STORES[command.store].partner
    if command.fact:
        amount = max(account.available(bank.now), 0) if command.amount is None else command.amount
        moves = account.take(min(amount, max(account.available(bank.now), 0)), bank.now)
        short = amount + sum(part for _, part in moves)
        moves += account.owe(issuer, short, bank.now)
        flags = ["debt"] if short else []
    else:
        amount = asked(bank, account, command.amount)
        moves, flags = account.take(amount, bank.now), []
    return {"word": "Redeemed", "card": bank.movement(card, command.unit, amount), "flags": flags}, moves


def accrue(bank: Bank, command: Accrue) -> Done:
    unit, amount = command.amount.unit, positive(command.amount.amount)
    if UNITS[unit].kind == "money":
        raise Refused("BadAmount")
    card = card_of(bank, command)
    if card is None:
        return suspended(bank, command, unit, 0, amount)
    moves = card.account(unit).put(bank.earned_terms(card, unit, command.store), amount, bank.now)
    return {"word": "Accrued", "card": bank.movement(card, unit, 0, amount), "flags": []}, moves


def transfer(bank: Bank, command: Transfer) -> Done:
    unit, amount = command.amount.unit, positive(command.amount.amount)
    bank.card(command.source), bank.card(command.target)
    source, target = bank.usable(command.source), bank.usable(command.target)
    if source.wallet is target.wallet:
        raise Refused("SameWallet")
    amount = asked(bank, source.account(unit), amount)
    moves = source.account(unit).take(amount, bank.now)
    for lot, part in list(moves):
        moves += target.account(unit).put(lot.terms, -part, bank.now)
    cards = [bank.movement(source, unit, amount), bank.movement(target, unit, 0, amount)]
    return {"word": "Transferred", "cards": cards}, moves


def top_up(bank: Bank, command: TopUp) -> Done:
    unit, amount = money(command.amount.unit), positive(command.amount.amount)
    card = bank.usable(command.card)
    moves = card.account(unit).put(bank.money_terms(card, command.store), amount, bank.now)
    return {"word": "ToppedUp", "card": bank.movement(card, unit, 0, amount)}, moves


def adjust(bank: Bank, command: Adjust) -> Done:
    unit, amount = command.amount.unit, command.amount.amount
    if amount == 0:
        raise Refused("BadAmount")
    card = bank.card(command.card)
    if card.status in ("closed", "replaced"):
        raise Refused("CardClosed")
    account = card.account(unit)
    if amount > 0:
        moves = account.put(bank.terms(command.store, days=command.expires_days), amount, bank.now)
    else:
        if not command.allow_debt:
            asked(bank, account, -amount)
        moves = account.take(min(-amount, max(account.available(bank.now), 0)), bank.now)
        moves += account.owe(STORES[command.store].partner, -amount + sum(part for _, part in moves), bank.now)
    movement = bank.movement(card, unit, max(-amount, 0), max(amount, 0))
    return {"word": "Adjusted", "card": movement, "outcome": "done"}, moves


def pay_out(bank: Bank, command: PayOut) -> Done:
    money(command.unit)
    card = bank.usable(command.card)
    account = card.account(command.unit)
    if command.close and command.amount is None and account.available(bank.now) == 0:
        amount = 0
    else:
        amount = asked(bank, account, command.amount)
    if command.close and not is_empty(bank, card, command.unit, amount):
        raise Refused("BadAmount")
    moves = account.take(amount, bank.now)
    if command.close:
        card.status, card.closed_by = "closed", command
    answer = {"word": "PaidOut", "card": bank.movement(card, command.unit, amount), "status": card.status}
    return answer, moves


def is_empty(bank: Bank, card: Card, unit: str, but: int) -> bool:
    """Whether the card's wallet holds and owes nothing, but so much of one unit."""
    return all(
        account.at(bank.now) == (but if account.unit == unit else 0, 0, 0) and not account.debts()
        for account in card.wallet.accounts.values()
    )


def sell_gift_card(bank: Bank, command: SellGiftCard) -> Done:
    assert command.card is not None, "a number that is not known yet is no use to the steps that follow"
    card = bank.card(command.card)
    product = card.product
    if not product.value or not product.value_unit:
        raise Refused("NotGiftCard")
    amount = command.amount
    if amount is None and len(product.amounts) == 1:
        amount = product.amounts[0]
    fits = amount is not None and (
        amount in product.amounts if product.amounts else product.least_amount <= amount <= product.most_amount
    )
    if amount is None or not fits:
        raise Refused("BadAmount")
    if card.status != "issued":
        raise Refused("CardStatusWrong")
    card.status = "active"
    card.expires_at = (
        None if product.valid_days is None else bank.terms(command.store, days=product.valid_days).expires_at
    )
    moves = card.account(product.value_unit).put(bank.money_terms(card, command.store), amount, bank.now)
    movement = bank.movement(card, product.value_unit, 0, amount)
    answer = {"word": "GiftCardSold", "card": movement, "number": card.number, "expires_at": card.expires_at}
    return answer, moves


# Holds -----------------------------------------------------------------------------------------------------------


def place_hold(bank: Bank, command: PlaceHold) -> Done:
    if not 1 <= command.seconds <= MAX_HOLD_SECONDS:
        raise Refused("BadAmount")
    card = bank.usable(command.card)
    account = card.account(command.unit)
    if card.wallet.merging_into is not None:
        raise Refused("WalletMerging")
    owner = (command.store, command.owner) if command.owner else None
    own = [hold for hold in account.holds if owner and hold.owner == owner and hold.is_open(bank.now)]
    freed = sum(part for hold in own for lot, part in hold.pins.items() if lot.terms.is_available(bank.now))
    free = max(account.available(bank.now) + freed, 0)
    limit = None
    if command.order_minor is not None and command.unit == card.programme.unit:
        limit = max(command.order_minor, 0) * card.programme.payable_hundredths // 10_000
    amount = command.amount
    if amount is None:
        amount = free if limit is None else min(free, limit)
    else:
        positive(amount)
        if limit is not None and amount > limit:
            raise Refused("LimitExceeded")
        if amount > free:
            raise Refused("InsufficientPoints")
    for hold in own:
        hold.end("released", bank.now)
    until = bank.now + timedelta(seconds=command.seconds)
    hold = Hold(command.keys[0], card.number, owner, amount, account.pin(amount, bank.now), bank.now, until)
    account.holds.append(hold)
    for key in command.keys:
        bank.holds[command.store, key] = (hold, account)
    answer = {
        "word": "HoldPlaced",
        "card": card.number,
        "unit": command.unit,
        "amount": amount,
        "available": account.available(bank.now),
        "until": until,
    }
    return answer, []


def capture_hold(bank: Bank, command: CaptureHold) -> Done:
    if (command.store, command.hold) not in bank.holds:
        raise Refused("HoldNotFound")
    hold, account = bank.holds[command.store, command.hold]
    account = account.living
    if hold.state != "open" and not hold.is_undone and not (command.fact and hold.state == "released"):
        raise Refused("HoldEnded")
    if not hold.is_open(bank.now) and not command.fact:
        bank.usable(Ref("card", hold.card))
    amount = hold.amount if command.amount is None else command.amount
    if amount <= 0 or (amount > hold.amount and not command.fact):
        raise Refused("BadAmount")
    is_late = not hold.is_open(bank.now)
    if is_late and not command.fact and amount > max(account.available(bank.now), 0):
        raise Refused("HoldExpired")
    moves = captured(bank, account, hold, amount, bank.now)
    short = amount + sum(part for _, part in moves)
    moves += account.take(min(short, max(account.available(bank.now), 0)), bank.now)
    short = amount + sum(part for _, part in moves)
    moves += account.owe(STORES[command.store].partner, short, bank.now)
    answer = {
        "word": "HoldCaptured",
        "card": bank.movement(bank.cards[hold.card], account.unit, amount),
        "released": 0 if is_late else max(hold.amount - amount, 0),
        "flags": (["debt"] if short else []) + (["hold_late"] if is_late else []),
    }
    return answer, moves


def captured(bank: Bank, account: Account, hold: Hold, amount: int, at: Any) -> list[Move]:
    """What a hold's own pins pay, soonest expiring first; the hold ends with it."""
    is_open = hold.is_open(bank.now)
    pins, hold.is_undone = hold.pins, False
    hold.end("captured" if amount > 0 else "released", bank.now)
    moves = []
    for lot in sorted(pins, key=lambda lot: lot.order) if is_open else ():
        part = min(amount, pins[lot])
        if part > 0:
            moves.append(account.move(lot, -part, at))
            amount -= part
    return moves


def release_hold(bank: Bank, command: ReleaseHold) -> Done:
    found = bank.holds.get((command.store, command.hold))
    known = bank.head(command.store, command.hold)
    answer = {"word": "HoldReleased", "outcome": "orphan", "amount": 0, "unit": ""}
    if known.state == "tombstone":
        return answer | {"outcome": "nothing"}, []
    if found is None and not known.is_fresh:
        raise Refused("HoldNotFound")
    if found is None:
        bank.heads[command.store, command.hold] = Head("tombstone", "hold", bank.now)
        return answer, []
    hold, account = found
    if not hold.is_open(bank.now):
        return answer | {"outcome": "nothing"}, []
    hold.end("released", bank.now)
    return answer | {"outcome": "released", "amount": hold.amount, "unit": account.unit}, []


# Cards -----------------------------------------------------------------------------------------------------------


def block_card(bank: Bank, command: BlockCard) -> Done:
    card = bank.card(command.card)
    if card.status not in ("active", "issued"):
        raise Refused("CardStatusWrong")
    card.was_issued = card.status == "issued"
    card.status = "blocked"
    return {"word": "CardStatusChanged", "number": card.number, "status": card.status}, []


def unblock_card(bank: Bank, command: UnblockCard) -> Done:
    card = bank.card(command.card)
    if card.status != "blocked":
        raise Refused("CardStatusWrong")
    card.status = "issued" if card.was_issued else "active"
    return {"word": "CardStatusChanged", "number": card.number, "status": card.status}, []


# Merges ----------------------------------------------------------------------------------------------------------


def merge_holders(bank: Bank, command: MergeHolders) -> Done:
    source, target = bank.card(command.source).wallet, bank.card(command.target).wallet
    if source is target:
        raise Refused("SameWallet")
    if source.merging_into is not None or target.merging_into is not None:
        raise Refused("WalletMerging")
    holds = source.open_holds(bank.now)
    if holds:
        source.merging_into = target
        bank.merging.append((source, target))
    else:
        merge(bank, source, target)
    return {"word": "HoldersMerged", "outcome": "waiting" if holds else "merged", "holds": holds}, []


def merge(bank: Bank, source: Wallet, target: Wallet) -> None:
    """Every lot into an equal one, debts into debts; what is free repays what is owed."""
    source.merged_into, source.merging_into = target, None
    for unit, giving in source.accounts.items():
        taking = target.accounts[unit]
        giving.merged_into = taking
        taking.came_in.append(giving)
        for lot in [lot for lot in giving.lots if lot.remaining]:
            amount, expired = lot.remaining, lot.expired
            there = taking.lot(lot.terms)
            giving.move(lot, -amount, bank.now)
            taking.move(there, amount, bank.now)
            there.expired += expired
        taking.holds += giving.holds
        taking.repay(bank.now)


def finish_merges(bank: Bank) -> None:
    """What a worker does as soon as holds have ended."""
    for source, target in list(bank.merging):
        if not source.open_holds(bank.now):
            bank.merging.remove((source, target))
            merge(bank, source, target.living)
