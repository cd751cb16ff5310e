"""What a receipt brings to cards: points that the programme gives, and money that guests load."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from processing.allocation import GOODS, lines_of, shares, spread_payments, weights
from processing.commands import Receipt
from processing.directory import CASH, ISSUED, SUSPENSE, StoreInfo
from processing.lots import Move, repay
from processing.plans import Plan, Use, add
from processing.programme.compiled import Programme
from processing.programme.decide import Decision, Earning
from processing.programme.terms import LotTerms, day_terms, lot_terms, terms
from processing.state import Account, Card, Posting, State
from processing.units import PAR_MILLIONTHS, spread


def plan_loads(
    state: State, store: StoreInfo, receipt: Receipt, uses: Sequence[Use], effective_at: datetime, plan: Plan
) -> None:
    """Put on cards what guests load with this receipt, against cash; a debt in that unit is repaid first."""
    if not [use for use in uses if use.ask.top_up]:
        return
    lines = [line for line in receipt.lines if line.kind != GOODS]
    # Without a line of its own it belongs to the whole: it comes back with a receipt that has no lines, and stays
    # where single goods come back.
    numbers = [line.number for line in lines] or [0]
    for use in uses:
        for amount in use.ask.top_up:
            if amount.amount == 0:
                continue
            add(use.earned, (amount,))
            plan.postings.append(state.system(store.partner_id, CASH, amount.unit, -amount.amount))
            if use.card is None:
                plan.postings.append(state.system(store.partner_id, SUSPENSE, amount.unit, amount.amount))
                continue
            account = state.account(use.card.wallet_id, amount.unit)
            terms = money_terms(state, store, use.card, effective_at)
            postings = accrue(state, store, account, amount.amount, terms, plan.repaid)
            plan.postings += postings
            parts = spread(amount.amount, weights(lines, is_goods=False)) if lines else [amount.amount]
            told = [(number, part) for number, part in zip(numbers, parts, strict=True) if part]
            plan.loaded += shares(account.id, told, filled(postings))


def plan_accruals(
    state: State,
    store: StoreInfo,
    receipt: Receipt,
    uses: Sequence[Use],
    decision: Decision,
    effective_at: datetime,
    plan: Plan,
) -> None:
    """Put what was earned into lots; debts are repaid first."""
    for use, earning in zip(uses, decision.earnings, strict=True):
        for unit, amount in use.gained.items():
            if amount == 0:
                continue
            use.earned[unit] = use.earned.get(unit, 0) + amount
            plan.postings.append(state.system(store.partner_id, ISSUED, unit, -amount))
            if use.card is None:
                plan.postings.append(state.system(store.partner_id, SUSPENSE, unit, amount))
                continue
            account = state.account(use.card.wallet_id, unit)
            programme = use.programme if use.programme and use.programme.unit == unit else None
            for part, lines, told in _portions(receipt, use, earning, programme, amount, store, effective_at):
                postings = accrue(state, store, account, part, told, plan.repaid, price_of(programme))
                plan.postings += postings
                plan.gained += shares(account.id, lines, filled(postings))


Told = tuple[int, Sequence[tuple[int, int]], LotTerms]


def _portions(
    receipt: Receipt,
    use: Use,
    earning: Earning,
    programme: Programme | None,
    amount: int,
    store: StoreInfo,
    at: datetime,
) -> list[Told]:
    """What goes into lots on which terms, and by which lines; a till's own figure belongs to all goods."""
    if use.ask.earn is not None:
        return [(amount, spread_payments(lines_of(receipt), [amount])[0], lot_terms(programme, store.zone, at))]
    return [
        (portion.amount, portion.lines, terms(store.zone, at, portion.pending_days, portion.expires))
        for portion in earning.portions
        if portion.amount
    ]


def price_of(programme: Programme | None) -> int:
    """What a minor unit settles at, in millionths."""
    return programme.point_price_millionths if programme else PAR_MILLIONTHS


def give_event(state: State, store: StoreInfo, card: Card, on: str) -> None:
    """The points that the card's programme gives for something that is no purchase, each as an operation."""
    active = state.directory.programme_of(card.product)
    programme = active.programme
    if state.directory.product(card.product).value:
        return
    for event in programme.document.points.events:
        if event.on != on:
            continue
        pending = programme.document.points.pending_days if event.pending_days is None else event.pending_days
        told = terms(store.zone, state.now, pending, event.expires or programme.expires)
        account = state.account(card.wallet_id, programme.unit)
        postings = accrue(state, store, account, event.points, told, {}, price_of(programme))
        postings.append(state.system(store.partner_id, ISSUED, programme.unit, -event.points))
        story = {"card": card.number[-4:], "earned": event.points, "rules": [{"rule": event.rule, "gives": "points"}]}
        state.post("event", store, postings, programme_version_id=active.version_id, explanation=[story])


def money_terms(state: State, store: StoreInfo, card: Card, at: datetime) -> LotTerms:
    """Money is there at once; on a card of value it ends with the card, else never."""
    is_value = state.directory.product(card.product).value
    return LotTerms(day_terms(store.zone, at).available_from, card.expires_at if is_value else None)


def accrue(
    state: State,
    store: StoreInfo,
    account: Account,
    amount: int,
    terms: LotTerms,
    repaid: dict[int, int],
    price_millionths: int = PAR_MILLIONTHS,
) -> list[Posting]:
    """The entries that put an amount into a lot on these terms, and repay debts from it."""
    lot = state.open_lot(account, store.partner_id, terms.available_from, terms.expires_at, price_millionths)
    return state.moved(account, [(lot, amount), *repay(account.lots.values(), lot, amount, repaid)])


def filled(postings: Sequence[Posting]) -> list[Move]:
    """Where an accrual went in the end: its lot, and the debts that it repaid."""
    if len(postings) == 1 and postings[0].lot is not None:
        return [(postings[0].lot, postings[0].amount)]
    net: dict[int, int] = {}
    lots = {posting.lot.id: posting.lot for posting in postings if posting.lot is not None}
    for posting in postings:
        if posting.lot is not None:
            net[posting.lot.id] = net.get(posting.lot.id, 0) + posting.amount
    return [(lots[lot_id], amount) for lot_id, amount in net.items() if amount > 0]
