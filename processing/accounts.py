"""Movements of one account that are not purchases: top-up and an operator's correction."""

from __future__ import annotations

from processing.cards import CLOSED, REPLACED, check_usable
from processing.commands import Adjust, Amount, TopUp
from processing.directory import ADJUSTED, CASH
from processing.errors import BadAmount, CardClosed
from processing.keys import once
from processing.lots import available, draw
from processing.programme import day_terms
from processing.purchases import DEBT, accrue, movement, short_of
from processing.results import Adjusted, ToppedUp
from processing.state import Posting, State
from processing.units import MAX_AMOUNT, MONEY

MAX_EXPIRES_DAYS = 36_500


def top_up(state: State, command: TopUp) -> ToppedUp:
    """Money comes in and lands on the card, for ever; a debt is repaid first."""

    def do() -> tuple[ToppedUp, int | None]:
        amount = _positive(command.amount)
        if state.directory.unit(command.amount.unit).kind != MONEY:
            raise BadAmount("only money is topped up", unit=command.amount.unit)
        card = state.card([command.card])
        check_usable(card, state.now)
        store = state.store(command.store)
        account = state.account(card.wallet_id, command.amount.unit)
        cash = Posting(state.directory.system(store.partner_id, CASH, account.unit), account.unit, -amount)
        postings = [cash, *accrue(state, store, account, amount, day_terms(store.zone, state.now), {})]
        operation_id = state.post("top_up", store, postings, actor=command.actor)
        moved = movement(state, account, card.number, 0, amount)
        return ToppedUp(operation_id=operation_id, at=state.now, card=moved), operation_id

    return once(state, command, ToppedUp, do)


def adjust(state: State, command: Adjust) -> Adjusted:
    """A correction with a reason, against the partner's account of corrections."""

    def do() -> tuple[Adjusted, int | None]:
        amount = command.amount.amount
        if amount == 0 or abs(amount) > MAX_AMOUNT:
            raise BadAmount("a correction moves something", unit=command.amount.unit)
        if command.expires_days is not None and not 0 <= command.expires_days <= MAX_EXPIRES_DAYS:
            raise BadAmount(f"expires_days is 0 to {MAX_EXPIRES_DAYS}", unit=command.amount.unit)
        card = state.card([command.card])
        if card.status in (CLOSED, REPLACED):
            raise CardClosed()
        store = state.store(command.store)
        account = state.account(card.wallet_id, command.amount.unit)
        flags: tuple[str, ...] = ()
        if amount > 0:
            terms = day_terms(store.zone, state.now, 0, command.expires_days)
            postings = accrue(state, store, account, amount, terms, {})
        else:
            free = max(available(account.lots.values(), state.now), 0)
            if -amount > free and not command.allow_debt:
                raise short_of(state, account, free, -amount)
            moves, _ = draw(account.lots.values(), min(-amount, free), state.now)
            postings = state.moved(account, moves)
            if -amount > free:
                flags = (DEBT,)
                postings += state.moved(account, [(state.debt(account, store.partner_id), amount + free)])
        system = state.directory.system(store.partner_id, ADJUSTED, account.unit)
        postings.append(Posting(system, account.unit, -amount))
        operation_id = state.post(
            "adjustment",
            store,
            postings,
            actor=command.actor,
            flags=flags,
            explanation=[{"rule": "adjustment", "reason": command.reason}],
        )
        moved = movement(state, account, card.number, max(-amount, 0), max(amount, 0))
        return Adjusted(operation_id=operation_id, at=state.now, card=moved), operation_id

    return once(state, command, Adjusted, do)


def _positive(amount: Amount) -> int:
    if not 0 < amount.amount <= MAX_AMOUNT:
        raise BadAmount("an amount must be positive", unit=amount.unit)
    return amount.amount
