"""Undoing what was booked: by its own amounts, where they live today (design laws 3 and 4).

What was drawn goes back to its lot, what was put in is taken from its own lot and then from others; what is spent
already becomes debt. Wallets may have been merged and lots may have expired since.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from processing.directory import StoreInfo
from processing.documents import document_of
from processing.lots import Lot, Move, reverse
from processing.programme.terms import day_terms
from processing.state import Account, Posting, State


def reversal(state: State, operation_id: int, store: StoreInfo) -> tuple[list[Posting], bool]:
    """The entries that undo an operation and its returns, and whether its points were gone and became debt."""
    postings: list[Posting] = []
    by_account: dict[int, list[tuple[int, int]]] = {}
    went_into_debt = False
    undone = [operation_id, *(returned.operation_id for returned in state.returns.get(operation_id, ()))]
    for entry in (entry for each in undone for entry in state.booked.get(each, ())):
        if entry.lot_id is None:
            unit = state.directory.system_units[entry.account_id]
            postings.append(Posting(entry.account_id, unit, -entry.amount))
        else:
            account, lot = living(state, entry.account_id, entry.lot_id)
            by_account.setdefault(account.id, []).append((lot.id, entry.amount))
    for account_id, entries in by_account.items():
        account = state.accounts_by_id[account_id]
        unexpire(state, account, entries, store, state.now)
        taken = reverse(entries, account.lots, state.now)
        moves = [graced(state, account, move, store, operation_id) for move in taken.moves]
        postings += state.moved(account, moves)
        for lot_id, amount in taken.owed.items():
            went_into_debt = True
            debt = state.debt(account, account.lots[lot_id].issuer_id, moves)
            postings += state.moved(account, [(debt, -amount)])
        for lot_id, amount in taken.spare.items():
            postings += state.moved(account, [(state.spare(account, account.lots[lot_id].issuer_id), amount)])
    return postings, went_into_debt


def living(state: State, account_id: int, lot_id: int) -> tuple[Account, Lot]:
    """The account and lot that stand for these today: those of a merged wallet went to equal ones."""
    account = state.accounts_by_id[account_id]
    lot = account.lots[lot_id]
    if account.wallet_id not in state.merged:
        return account, lot
    home = state.account(state.merged[account.wallet_id], account.unit)
    if lot.is_debt:
        return home, state.debt(home, lot.issuer_id)
    equal = [each for each in home.lots.values() if each.terms == lot.terms and not each.is_debt]
    if not equal:
        return home, state.open_lot(home, *lot.terms)
    return home, min(equal, key=lambda each: (not each.remaining, each.id))


def unexpire(
    state: State, account: Account, booked: Sequence[tuple[int, int]], store: StoreInfo, effective_at: datetime
) -> None:
    """Bring back what expired of lots that now have to give up what was put into them.

    Whether a worker has come by must make no difference to what is taken from other lots. It is effective with
    what needs it, or when it went, whichever is later.
    """
    net: dict[int, int] = {}
    for lot_id, amount in booked:
        net[lot_id] = net.get(lot_id, 0) + amount
    back: dict[datetime, list[Posting]] = {}
    for (lot_id, at), expired in list(state.expired.get(account.id, {}).items()):
        lot = account.lots[lot_id]
        amount = min(max(expired, 0), max(net.get(lot_id, 0) - max(lot.free, 0), 0))
        if amount:
            net[lot_id] -= amount
            state.expired[account.id][lot_id, at] = expired - amount
            back.setdefault(max(at, effective_at), []).extend(state.expiry(account, lot, -amount))
    for at, postings in back.items():
        state.post("expiry_undone", store, postings, effective_at=at)


def graced(state: State, account: Account, move: Move, store: StoreInfo, undone_id: int) -> Move:
    """What goes back to a lot that has expired since lives on for the days that the programme grants."""
    lot, amount = move
    days = state.directory.grace_days(state.earlier[undone_id].programme_version_id)
    if amount <= 0 or days == 0 or not lot.is_expired(state.now):
        return move
    drawn_at = _drawn_at(state, undone_id)
    if drawn_at is not None and lot.is_expired(drawn_at):
        return move
    terms = day_terms(store.zone, state.now, 0, days)
    return state.open_lot(account, lot.issuer_id, terms.available_from, terms.expires_at, lot.price_millionths), amount


def _drawn_at(state: State, operation_id: int) -> datetime | None:
    """When an operation drew its points: a restored sale was booked again later. Unknown of those that were restored
    before that was kept."""
    before = state.earlier[operation_id]
    if before.kind != "restore":
        return before.booked_at
    document = document_of(state, operation_id)
    return document.sold_at if document is not None else None
