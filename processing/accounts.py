"""Movements of accounts that are not purchases: money in and out, value without a receipt, transfers, corrections."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from processing.accruals import accrue, money_terms, price_of
from processing.cards import CLOSED, REPLACED, check_pin, check_usable, masked
from processing.commands import Accrue, Adjust, Amount, DecideAdjustment, PayOut, Redeem, Ref, TopUp, Transfer
from processing.directory import ADJUSTED, CASH, ISSUED, REDEEMED, SUSPENSE, StoreInfo
from processing.errors import (
    AdjustmentNotFound,
    BadAmount,
    CardClosed,
    Refusal,
    SameWallet,
    SecondPersonNeeded,
)
from processing.keys import ALIKE, is_alike, once
from processing.lots import Move, available, draw, repay
from processing.payments import burn_rest, check_whole
from processing.plans import DEBT, REST_BURNT, SUSPENSE_FLAG, movement, short_of
from processing.programme.terms import day_terms, lot_terms
from processing.results import (
    Accrued,
    Adjusted,
    AdjustmentDecided,
    CardMovement,
    PaidOut,
    Redeemed,
    ToppedUp,
    Transferred,
)
from processing.state import DERIVED, Account, Card, Hold, Pending, Posting, State, canonical, card_names
from processing.units import MAX_AMOUNT, MONEY

MAX_EXPIRES_DAYS = 36_500

APPROVED, REJECTED, PENDING = "approved", "rejected", "pending"


def top_up(state: State, command: TopUp) -> ToppedUp:
    """Money comes in and lands on the card, for ever; a debt is repaid first."""

    def do() -> tuple[ToppedUp, int | None]:
        amount = _positive(command.amount)
        _check_money(state, command.amount.unit)
        card = state.card([command.card])
        check_usable(card, state.now)
        store = state.store(command.store)
        account = state.account(card.wallet_id, command.amount.unit)
        postings = accrue(state, store, account, amount, money_terms(state, store, card, state.now), {})
        postings.append(state.system(store.partner_id, CASH, account.unit, -amount))
        operation_id = state.post("top_up", store, postings, actor=command.actor)
        moved = movement(state, account, card.number, 0, amount)
        return ToppedUp(operation_id=operation_id, at=state.now, card=moved), operation_id

    return once(state, command, ToppedUp, do)


def pay_out(state: State, command: PayOut) -> PaidOut:
    """Money leaves the card against cash; with ``close`` the card ends with it."""

    def do() -> tuple[PaidOut, int | None]:
        _check_money(state, command.unit)
        card = state.card([command.card])
        check_usable(card, state.now)
        check_pin(state, card, command.pin)
        store = state.store(command.store)
        account = state.account(card.wallet_id, command.unit)
        is_empty = command.close and command.amount is None and _left(account, state.now) == 0
        amount = 0 if is_empty else _asked(state, account, command.amount)
        if command.close:
            _check_emptied(state, account, amount)
        moves, _ = draw(account.lots.values(), amount, state.now)
        postings = [*state.moved(account, moves), state.system(store.partner_id, CASH, account.unit, amount)]
        operation_id = state.post("pay_out", store, postings, actor=command.actor)
        if command.close:
            card.status = CLOSED
            state.changed_cards[card.id] = card
            state.audit(command, "card_closed", masked(card.number))
        moved = movement(state, account, card.number, amount, 0)
        return PaidOut(
            operation_id=operation_id, at=state.now, card=moved, card_id=card.id, status=card.status
        ), operation_id

    return once(state, command, PaidOut, do)


def _check_emptied(state: State, account: Account, amount: int) -> None:
    """Whether the wallet holds and owes nothing in any unit once this is paid out. Errors: BadAmount."""
    for (wallet_id, unit), other in state.accounts.items():
        paid = amount if other is account else 0
        if wallet_id == account.wallet_id and _left(other, state.now) != paid:
            raise BadAmount("a card that still holds something is not closed", unit=unit)


def _left(account: Account, now: datetime) -> int:
    """The balance without what only waits to be booked as expired."""
    return sum(lot.held if lot.is_expired(now) else lot.remaining for lot in account.lots.values())


def redeem(state: State, command: Redeem) -> Redeemed:
    """Value leaves the card for a purchase that is not told; a fact's shortage is debt."""
    doubts = [ALIKE] if is_alike(state, command) else []

    def do() -> tuple[Redeemed, int | None]:
        card, flags = _card(state, command)
        flags += doubts
        store = state.store(command.store)
        if card is None:
            amount = _positive(Amount(command.unit, command.amount or 0))
            moved, operation_id = _suspended(state, command, store, REDEEMED, Amount(command.unit, amount), flags)
            return Redeemed(operation_id=operation_id, at=state.now, card=moved, flags=tuple(flags)), operation_id
        if not command.fact:
            check_pin(state, card, command.pin)
        account = state.account(card.wallet_id, command.unit)
        own = state.locks(account, command)
        locked = sum(hold.amount for hold in own)
        free = max(available(account.lots.values(), state.now) + locked, 0)
        amount = free if command.amount is None else _positive(Amount(command.unit, command.amount))
        if not command.fact and (amount == 0 or amount > free):
            raise short_of(state, account, free, amount)
        if not command.fact:
            check_whole(state, card, account, amount)
        moves = _from_locks(state, account, own, min(amount, free))
        more, rest = draw(account.lots.values(), min(amount, free) + sum(moved for _, moved in moves), state.now)
        rest += max(amount - free, 0)
        state.unlock(own)
        postings = state.moved(account, moves + more)
        if rest:
            flags.append(DEBT)
            postings += state.moved(account, [(state.debt(account, store.partner_id), -rest)])
        postings.append(state.system(store.partner_id, REDEEMED, account.unit, amount))
        if burnt := burn_rest(state, card, account, postings):
            flags.append(REST_BURNT)
            postings += burnt
        version_id = state.directory.programme_of(card.product).version_id
        operation_id = state.post(
            "redemption", store, postings, actor=command.actor, flags=flags, programme_version_id=version_id
        )
        moved = movement(state, account, card.number, amount, 0)
        return Redeemed(operation_id=operation_id, at=state.now, card=moved, flags=tuple(flags)), operation_id

    return once(state, command, Redeemed, do)


def _from_locks(state: State, account: Account, locks: Sequence[Hold], amount: int) -> list[Move]:
    """The moves that take an amount from what its owner has locked, as far as it goes."""
    moves: list[Move] = []
    for hold in locks:
        moves += state.from_pins(account, hold, amount + sum(moved for _, moved in moves))
    return moves


def accrue_points(state: State, command: Accrue) -> Accrued:
    """Points for something that is not told, on the terms of the card's programme."""
    doubts = [ALIKE] if is_alike(state, command) else []

    def do() -> tuple[Accrued, int | None]:
        amount = _positive(command.amount)
        unit = state.directory.unit(command.amount.unit).code
        if state.directory.unit(unit).kind == MONEY:
            raise BadAmount("money is not accrued: it is topped up", unit=unit)
        card, flags = _card(state, command)
        flags += doubts
        store = state.store(command.store)
        if card is None:
            moved, operation_id = _suspended(state, command, store, ISSUED, Amount(unit, -amount), flags)
            return Accrued(operation_id=operation_id, at=state.now, card=moved, flags=tuple(flags)), operation_id
        account = state.account(card.wallet_id, unit)
        active = state.directory.programme_of(card.product)
        programme = active.programme if active.programme.unit == unit else None
        terms = lot_terms(programme, store.zone, state.now)
        state.unlock(state.locks(account, command))
        postings = accrue(state, store, account, amount, terms, {}, price_of(programme))
        postings.append(state.system(store.partner_id, ISSUED, account.unit, -amount))
        operation_id = state.post(
            "accrual", store, postings, actor=command.actor, flags=flags, programme_version_id=active.version_id
        )
        moved = movement(state, account, card.number, 0, amount)
        return Accrued(operation_id=operation_id, at=state.now, card=moved, flags=tuple(flags)), operation_id

    return once(state, command, Accrued, do)


def _card(state: State, command: Redeem | Accrue) -> tuple[Card | None, list[str]]:
    """The card; None where a fact names one that is unknown or cannot be used. Errors: as check_usable."""
    try:
        card = state.card(card_names(command))
        check_usable(card, state.now)
        return card, []
    except Refusal:
        if not command.fact:
            raise
        return None, [SUSPENSE_FLAG]


def _suspended(
    state: State, command: Redeem | Accrue, store: StoreInfo, kind: str, amount: Amount, flags: list[str]
) -> tuple[CardMovement, int]:
    """A fact without a usable card: the partner's suspense stands for it until somebody finds out whose it is."""
    unit = state.directory.unit(amount.unit)
    postings = [
        state.system(store.partner_id, kind, unit.code, amount.amount),
        state.system(store.partner_id, SUSPENSE, unit.code, -amount.amount),
    ]
    name = "redemption" if kind == REDEEMED else "accrual"
    operation_id = state.post(name, store, postings, actor=command.actor, flags=flags)
    redeemed, earned = max(amount.amount, 0), max(-amount.amount, 0)
    moved = CardMovement(
        card="",
        account=0,
        unit=unit.code,
        scale=unit.scale,
        redeemed=redeemed,
        earned=earned,
        balance=0,
        available=0,
    )
    return moved, operation_id


def transfer(state: State, command: Transfer) -> Transferred:
    """Value moves between two wallets, lot by lot with its terms; the target's debt is repaid first."""

    def do() -> tuple[Transferred, int | None]:
        amount = _positive(command.amount)
        source, target = state.card([command.source]), state.card([command.target])
        for card in (source, target):
            check_usable(card, state.now)
        if source.wallet_id == target.wallet_id:
            raise SameWallet("both cards share one wallet")
        giving = state.account(source.wallet_id, command.amount.unit)
        taking = state.account(target.wallet_id, command.amount.unit)
        postings = moved_lots(state, giving, taking, _asked(state, giving, amount))
        operation_id = state.post(
            "transfer",
            state.store(command.store),
            postings,
            actor=command.actor,
            explanation=[{"rule": "transfer", "reason": command.reason}],
        )
        state.audit(command, "transfer", masked(source.number), into=masked(target.number), reason=command.reason)
        cards = (
            movement(state, giving, source.number, amount, 0),
            movement(state, taking, target.number, 0, amount),
        )
        return Transferred(operation_id=operation_id, at=state.now, cards=cards), operation_id

    return once(state, command, Transferred, do)


def moved_lots(state: State, giving: Account, taking: Account, amount: int) -> list[Posting]:
    """The entries that take an amount out of one account's lots and put it into equal ones of another."""
    moves, _ = draw(giving.lots.values(), amount, state.now)
    postings = state.moved(giving, moves)
    repaid: dict[int, int] = {}
    for lot, moved in moves:
        into = state.open_lot(taking, *lot.terms)
        postings += state.moved(taking, [(into, -moved), *repay(taking.lots.values(), into, -moved, repaid)])
    return postings


# Corrections -----------------------------------------------------------------------------------------------


def adjust(state: State, command: Adjust) -> Adjusted:
    """A correction with a reason, against the partner's account of corrections; a large one waits for a decision."""

    def do() -> tuple[Adjusted, int | None]:
        limit = state.directory.unit(command.amount.unit).adjust_limit
        if limit is None or abs(command.amount.amount) <= limit:
            return _adjusted(state, command)
        card = _check_adjustment(state, command)
        if not command.actor:
            raise SecondPersonNeeded("a correction that somebody else decides is asked for by name")
        account = state.account(card.wallet_id, command.amount.unit)
        place = (state.store(command.store).id, state.heads(command)[0].key)
        state.pending[place] = Pending(_by_number(state, command, card), command.actor, state.now, is_changed=True)
        told = {"key": place[1], "unit": account.unit, "amount": command.amount.amount, "reason": command.reason}
        state.audit(command, "adjustment_asked", masked(card.number), **told)
        return Adjusted(at=state.now, card=movement(state, account, card.number, 0, 0), outcome=PENDING), None

    return once(state, command, Adjusted, do)


def decide_adjustment(state: State, command: DecideAdjustment) -> AdjustmentDecided:
    """A second person books a pending correction, or rejects it for ever."""

    def do() -> tuple[AdjustmentDecided, int | None]:
        head = state.head(state.store(command.store).id, command.adjustment)
        waiting = state.pending.get((head.store_id, head.key))
        if waiting is None or waiting.state != PENDING:
            raise AdjustmentNotFound("no correction waits under this key")
        is_unnamed = command.approve and not waiting.asked_by
        if is_unnamed or _is_same_person(command.actor, waiting.asked_by):
            raise SecondPersonNeeded("somebody else has to decide, by name")
        if command.approve:
            result, operation_id = _adjusted(state, waiting.asked)
        else:
            stored = head.stored()
            assert isinstance(stored, Adjusted)
            result, operation_id = Adjusted(at=state.now, card=stored.card, outcome=REJECTED), None
        head.settle(head.state, result, operation_id, state.now)
        waiting.state = APPROVED if command.approve else REJECTED
        waiting.decided_by, waiting.decided_at, waiting.operation_id = command.actor, state.now, operation_id
        waiting.is_changed = True
        told = {"key": head.key, "unit": waiting.asked.amount.unit, "amount": waiting.asked.amount.amount}
        state.audit(command, f"adjustment_{waiting.state}", masked(result.card.card), asked_by=waiting.asked_by, **told)
        return AdjustmentDecided(
            outcome=waiting.state, at=state.now, booked_id=operation_id or 0, card=result.card
        ), None

    return once(state, command, AdjustmentDecided, do)


def _by_number(state: State, command: Adjust, card: Card) -> Adjust:
    """The command as it may be kept: a phone would outlive its holder's erasure, a token would not live long enough."""
    if command.card.scheme not in DERIVED:
        return command
    name = Ref("card", card.number)
    state.cards.setdefault(canonical(name), card)
    return msgspec.structs.replace(command, card=name)


def _is_same_person(decides: str, asked: str) -> bool:
    """Whether two actors may be one: ``client/operator``, and of one client somebody without a name may be anybody."""
    (client, _, operator), (other_client, _, other) = decides.partition("/"), asked.partition("/")
    return not decides or (client == other_client and (not operator or not other or operator == other))


def _check_adjustment(state: State, command: Adjust) -> Card:
    """Errors: BadAmount, CardNotFound, CardClosed."""
    amount = command.amount.amount
    if amount == 0 or abs(amount) > MAX_AMOUNT:
        raise BadAmount("a correction moves something", unit=command.amount.unit)
    if command.expires_days is not None and not 0 <= command.expires_days <= MAX_EXPIRES_DAYS:
        raise BadAmount(f"expires_days is 0 to {MAX_EXPIRES_DAYS}", unit=command.amount.unit)
    card = state.card([command.card])
    if card.status in (CLOSED, REPLACED):
        raise CardClosed()
    return card


def _adjusted(state: State, command: Adjust) -> tuple[Adjusted, int | None]:
    card = _check_adjustment(state, command)
    amount = command.amount.amount
    store = state.store(command.store)
    account = state.account(card.wallet_id, command.amount.unit)
    flags: tuple[str, ...] = ()
    if amount > 0:
        terms = day_terms(store.zone, state.now, 0, command.expires_days)
        programme = state.directory.programme_of(card.product).programme
        price = price_of(programme if programme.unit == account.unit else None)
        postings = accrue(state, store, account, amount, terms, {}, price)
    else:
        free = max(available(account.lots.values(), state.now), 0)
        if -amount > free and not command.allow_debt:
            raise short_of(state, account, free, -amount)
        moves, _ = draw(account.lots.values(), min(-amount, free), state.now)
        postings = state.moved(account, moves)
        if -amount > free:
            flags = (DEBT,)
            postings += state.moved(account, [(state.debt(account, store.partner_id), amount + free)])
    postings.append(state.system(store.partner_id, ADJUSTED, account.unit, -amount))
    operation_id = state.post(
        "adjustment",
        store,
        postings,
        actor=command.actor,
        flags=flags,
        explanation=[{"rule": "adjustment", "reason": command.reason}],
    )
    state.audit(command, "adjustment", masked(card.number), reason=command.reason, operation=operation_id)
    moved = movement(state, account, card.number, max(-amount, 0), max(amount, 0))
    return Adjusted(operation_id=operation_id, at=state.now, card=moved), operation_id


def _asked(state: State, account: Account, amount: int | None) -> int:
    """The amount, or all that is free; it must be there. Errors: BadAmount, InsufficientPoints."""
    free = max(available(account.lots.values(), state.now), 0)
    asked = free if amount is None else _positive(Amount(account.unit, amount))
    if asked > free or asked == 0:
        raise short_of(state, account, free, asked)
    return asked


def _check_money(state: State, unit: str) -> None:
    if state.directory.unit(unit).kind != MONEY:
        raise BadAmount("only money is topped up and paid out", unit=unit)


def _positive(amount: Amount) -> int:
    if not 0 < amount.amount <= MAX_AMOUNT:
        raise BadAmount("an amount must be positive", unit=amount.unit)
    return amount.amount
