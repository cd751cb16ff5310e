"""What a receipt adds to the days and tiers of wallets, and how a return or void takes it back (design laws 3, 4).

A sale's document tells what it added. A return takes away the turnover of the lines that come back, in the sale's own
day, and with the last of them the visit and the longer life of lots; a void takes away all that is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import msgspec

from processing.activity import Activity, less, local_day, together
from processing.allocation import Back, Counted, Share, is_all, is_purchase, lines_of, undone, weights
from processing.commands import PostReceipt, Receipt
from processing.directory import StoreInfo
from processing.documents import Extended, ReceiptDocument, document_of
from processing.limits import subjects
from processing.plans import Plan, Use
from processing.programme.compiled import Programme
from processing.programme.decide import Decision
from processing.programme.facts import once_name
from processing.programme.terms import terms
from processing.state import State


def look_at(state: State, store: StoreInfo, use: Use, day: date) -> None:
    """Note what the card's programme sees of its wallet: the past of the receipt's day, and the tier of today."""
    if use.card is None or use.programme is None or not use.programme.asks:
        return
    wallet_id = use.card.wallet_id
    use.membership = state.pasts.membership(wallet_id, use.programme, local_day(state.now, store.zone))
    tier = use.membership.tier if use.membership else ""
    use.facts = use.programme.facts(state.pasts.history(wallet_id, use.programme.unit), tier, day)


def count(
    state: State,
    store: StoreInfo,
    command: PostReceipt,
    uses: Sequence[Use],
    decision: Decision,
    day: date,
    operation_id: int,
) -> tuple[tuple[Activity, ...], tuple[Share, ...]]:
    """Add a purchase to the days of its wallets; what was added, and whose own money paid which line.

    The second is empty where one card's own money paid all of it. Cards of value have no programme of their own.
    """
    done: list[Activity] = []
    turnover: list[Share] = []
    counted: list[Use] = []
    wallets: set[int] = set()
    for use, earning, story in zip(uses, decision.earnings, decision.explanation, strict=True):
        programme = use.programme
        if use.card is None or programme is None or not use.earns or state.directory.product(use.card.product).value:
            continue
        wallet_id, unit = use.card.wallet_id, programme.unit
        is_visit = not command.payment and is_purchase(command.receipt) and wallet_id not in wallets
        visits = 1 if is_visit else 0
        wallets.add(wallet_id)
        gained, redeemed = use.gained.get(unit, 0), use.redeemed.get(unit, 0)
        # A payment's own money, from a purse, is told with the purchase.
        money = 0 if command.payment else earning.turnover_minor
        done.append(Activity(wallet_id, day, unit, money, visits, gained, redeemed))
        if programme.once and use.ask.earn is None:
            names = {rule for rule, _ in programme.once} & {told["rule"] for told in story["rules"]}
            done += [Activity(wallet_id, day, once_name(programme.code, name), visits=1) for name in sorted(names)]
        if earning.turnover and not command.payment:
            turnover.append(Share(wallet_id, 0, earning.turnover))
        counted.append(use)
    if len(counted) > 1:
        done = list(together(done))
    state.pasts.count(done, state.directory.units, state.directory.asks_history)
    _tally(state, store, command.receipt, done)
    raised: set[tuple[int, str]] = set()
    for use in counted:
        if use.membership is None or use.card is None or use.programme is None:
            continue
        # Two cards may be of one wallet, which rises once.
        place = use.card.wallet_id, use.programme.code
        if place not in raised:
            raised.add(place)
            today = local_day(state.now, store.zone)
            state.pasts.raise_tier(use.card.wallet_id, use.programme, use.membership, today, operation_id)
    return tuple(done), tuple(turnover)


def _tally(state: State, store: StoreInfo, receipt: Receipt, done: Sequence[Activity]) -> None:
    """Count it for till, cashier, store and partner, where any programme limits them."""
    if state.directory.limits_others:
        of = subjects(store.id, store.partner_id, receipt).values()
        state.tallies.add(of, done, state.directory.units)


def _own_money(receipt: Receipt) -> tuple[tuple[int, int], ...]:
    """What the lines cost: all of it own money where neither points nor other cards paid."""
    lines = sorted(lines_of(receipt), key=lambda line: line.number)
    return tuple((line.number, cost) for line, cost in zip(lines, weights(lines), strict=True) if cost)


def count_back(
    state: State,
    sale_id: int,
    document: ReceiptDocument,
    before: Mapping[int, Back],
    counted: Sequence[Counted],
    points: Mapping[tuple[int, str], tuple[int, int]],
) -> tuple[tuple[Activity, ...], tuple[Extended, ...]]:
    """Take from the days of the sale's wallets what these lines had added; what was taken, as less than nothing.

    With the last line go the new ends that the sale gave lots; the second tells them, from what to what.
    ``points``: by (wallet, unit) what the return gives back and takes. Other receipts are never worked out anew.
    """
    by_number = {line.number: line for line in counted}
    is_last = is_all(lines_of(document.receipt), before, by_number)
    done: list[Activity] = []
    left = {(each.wallet_id, each.day, each.name): each for each in added_by(state, sale_id, document)}
    # Two wallets of the sale may be one today.
    for each in together(_of_today(state, each) for each in document.activity):
        wallet_id = each.wallet_id
        rest = left.get((wallet_id, each.day, each.name), Activity(wallet_id, each.day, each.name))
        money = given = taken = 0
        if each.name in state.directory.units:
            own = [share for share in document.turnover if _home(state, share.account_id) == wallet_id]
            if not own and each.turnover_minor:
                own = [Share(wallet_id, 0, _own_money(document.receipt))]
            # The last return takes what there is, also where those before it did not tell which parts they took.
            money = rest.turnover_minor if is_last else sum(amount for _, amount in undone(own, by_number))
            given, taken = points.get((wallet_id, each.name), (0, 0))
        done.append(Activity(wallet_id, each.day, each.name, -money, -rest.visits if is_last else 0, -taken, -given))
    found = together(done)
    sold_at = _sold_at(state, sale_id)
    _recount(state, sold_at, found, sale_id)
    _tally(state, sold_at, document.receipt, found)
    return found, tuple(_turned(each) for each in document.extended if _shorten(state, each)) if is_last else ()


def take(state: State, store: StoreInfo, receipt: Receipt, done: Sequence[Activity]) -> tuple[Activity, ...]:
    """Take from the days of wallets what a return says by itself; what was taken, as less than nothing."""
    found = together(done)
    state.pasts.count(found, state.directory.units, state.directory.asks_history)
    _tally(state, store, receipt, found)
    return found


def undo(state: State, operation_id: int) -> None:
    """Take away what an operation, with its returns, has added to the days of wallets, and to the lives of lots."""
    document = document_of(state, operation_id)
    if document is None:
        return
    # A return that is undone gives its sale back what that had raised, where the sale was.
    sale_id = state.receipts[operation_id].get("base_id") or operation_id
    sale = document_of(state, sale_id) or document
    sold_at = _sold_at(state, sale_id if sale_id in state.receipts else operation_id)
    done = less(added_by(state, operation_id, document))
    _recount(state, sold_at, done, sale_id)
    _tally(state, sold_at, sale.receipt, done)
    for each in document.extended:
        _shorten(state, each)


def added_by(state: State, operation_id: int, document: ReceiptDocument) -> tuple[Activity, ...]:
    """What an operation has added and its returns have not taken back, of the wallets that have it today."""
    found = [*document.activity]
    for returned in state.returns.get(operation_id, ()):
        found += returned.activity
    return together(_of_today(state, each) for each in found)


def _of_today(state: State, each: Activity) -> Activity:
    """The same of the wallet that has it since a merge."""
    return msgspec.structs.replace(each, wallet_id=_home(state, each.wallet_id))


def _home(state: State, wallet_id: int) -> int:
    return state.merged.get(wallet_id, wallet_id)


def redo(state: State, document: ReceiptDocument, operation_id: int) -> None:
    """Add again what a void had taken away."""
    done = [_of_today(state, each) for each in document.activity]
    sold_at = _sold_at(state, operation_id)
    _recount(state, sold_at, done, operation_id)
    _tally(state, sold_at, document.receipt, done)


def _sold_at(state: State, operation_id: int) -> StoreInfo:
    return state.directory.store_of(state.receipts[operation_id]["store_id"])


def _recount(state: State, sold_at: StoreInfo, done: Sequence[Activity], sale_id: int) -> None:
    """Add this, and look at the tiers that the sale has raised, or raises again; its day may be tomorrow elsewhere."""
    state.pasts.count(done, state.directory.units, state.directory.asks_history)
    if not state.directory.asks_history:
        return
    today = local_day(state.now, sold_at.zone)
    for wallet_id in dict.fromkeys(each.wallet_id for each in done):
        for active in state.directory.programmes.values():
            if active.programme.document.tiers is not None:
                state.pasts.look_again(wallet_id, active.programme, today, sale_id)


# Sliding expiry ----------------------------------------------------------------------------------------------


def plan_extensions(state: State, store: StoreInfo, uses: Sequence[Use], effective_at: datetime, plan: Plan) -> None:
    """Where points live on with each purchase: the lots of the cards that earn, and their new ends."""
    for use in uses:
        if use.card is None or use.programme is None or not use.earns or not use.programme.slides:
            continue
        end = _new_end(use.programme, store, effective_at)
        account = state.account(use.card.wallet_id, use.programme.unit)
        for lot in account.lots.values():
            # What this purchase brings has its days already, and holds nothing yet.
            if lot.remaining <= 0 or lot.is_debt or lot.expires_at is None or lot.is_expired(state.now):
                continue
            if lot.expires_at < end and all(each.lot_id != lot.id for each in plan.extended):
                plan.extended.append(Extended(lot.id, account.id, lot.expires_at, end))


def _new_end(programme: Programme, store: StoreInfo, at: datetime) -> datetime:
    end = terms(store.zone, at, 0, programme.expires).expires_at
    assert end is not None
    return end


def _shorten(state: State, each: Extended) -> bool:
    """A lot has its old end again, unless a later purchase has moved it on; whether it has."""
    account = state.accounts_by_id.get(each.account_id)
    lot = account.lots.get(each.lot_id) if account else None
    if lot is None or lot.expires_at != each.after:
        return False
    state.extend(each.account_id, each.lot_id, each.before)
    return True


def _turned(each: Extended) -> Extended:
    """What a return did, so that undoing it gives the new end again."""
    return msgspec.structs.replace(each, before=each.after, after=each.before)
