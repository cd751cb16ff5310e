"""What a receipt is paid with from cards: held lots first, what has expired since a late fact, then free lots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from processing.allocation import lines_of, shares, spread_payments
from processing.commands import PostReceipt
from processing.directory import REDEEMED, SUSPENSE
from processing.errors import HoldExpired, LimitExceeded
from processing.lots import Move, available, draw, soonest_first
from processing.plans import DEBT, REST_BURNT, Plan, Use, short_of
from processing.state import OPEN, Account, Card, Hold, Posting, State

# How certificates pay (processing/programme/document.py).
FULL, REST_BURNS = "full", "rest_burns"


def plan_redemptions(
    state: State,
    command: PostReceipt,
    uses: Sequence[Use],
    effective_at: datetime,
    flags: list[str],
    plan: Plan,
) -> None:
    """Draw what was redeemed, account by account: two cards of one wallet must not see the same points twice."""
    if not [use for use in uses if use.redeemed or use.hold]:
        return
    store = state.store(command.store)
    lines = lines_of(command.receipt)
    asked: dict[int, tuple[Account, int, list[Hold]]] = {}
    for use in uses:
        for unit, amount in use.redeemed.items():
            if amount == 0:
                continue
            plan.postings.append(state.system(store.partner_id, REDEEMED, unit, amount))
            if use.card is None:
                plan.postings.append(state.system(store.partner_id, SUSPENSE, unit, -amount))
                continue
            account = state.account(use.card.wallet_id, unit)
            _, before, holds = asked.get(account.id, (account, 0, []))
            further = [hold for hold in _holds_on(state, use, account) if all(hold is not known for known in holds)]
            asked[account.id] = (account, before + amount, holds + further)
    parts = spread_payments(lines, [amount for _, amount, _ in asked.values()])
    for (account, amount, holds), part in zip(asked.values(), parts, strict=True):
        moves = _drawn(state, command, account, amount, holds, effective_at, flags, plan)
        plan.postings += state.moved(account, moves)
        plan.drawn += shares(account.id, part, moves)
    for use in uses:
        hold = use.hold
        if hold is not None and hold.state == OPEN and all(hold is not ended for ended, _ in plan.holds):
            # Nothing was paid from it: the receipt is closed, and so is the hold.
            plan.holds.append((hold, None))
    _burn(state, uses, flags, plan)


def _burn(state: State, uses: Sequence[Use], flags: list[str], plan: Plan) -> None:
    """What is left on certificates that have paid once."""
    ending = [hold for hold, _ in plan.holds]
    for use in uses:
        if use.card is None or not use.redeemed or not state.directory.product(use.card.product).value:
            continue
        for unit, amount in use.redeemed.items():
            account = state.account(use.card.wallet_id, unit)
            burnt = burn_rest(state, use.card, account, plan.postings, ending) if amount else []
            if burnt:
                plan.postings += burnt
                flags.append(REST_BURNT)


def burn_rest(
    state: State, card: Card, account: Account, paying: Sequence[Posting], ending: Sequence[Hold] = ()
) -> list[Posting]:
    """What is left on a certificate that pays once expires with the payment, as a part of it: a void gives it back.

    ``ending``: holds that end with it; what they pin is spent by it or left.
    """
    if spending(state, card) != REST_BURNS or account.unit != state.directory.product(card.product).value_unit:
        return []
    drawn: dict[int, int] = {}
    for posting in paying:
        if posting.lot is not None:
            drawn[posting.lot.id] = drawn.get(posting.lot.id, 0) + posting.amount
    found: list[Posting] = []
    for lot in account.lots.values():
        left = lot.free + sum(hold.pins.get(lot.id, 0) for hold in ending) + drawn.get(lot.id, 0)
        if left > 0 and not lot.is_debt:
            found += state.expiry(account, lot, left)
    return found


def spending(state: State, card: Card) -> str:
    """How the card pays, if it is a certificate; else nothing."""
    product = state.directory.product(card.product)
    if not product.value:
        return ""
    return state.directory.programme_of(card.product).programme.document.certificates.get(product.code, "")


def check_whole(state: State, card: Card, account: Account, asked: int) -> None:
    """Errors: LimitExceeded for a part of a certificate that only pays as a whole, whoever holds the rest."""
    if spending(state, card) != FULL or account.unit != state.directory.product(card.product).value_unit:
        return
    lots = account.lots.values()
    has = available(lots, state.now) + sum(lot.held for lot in lots if lot.remaining > 0)
    if asked and asked < has:
        scale = state.directory.unit(account.unit).scale
        raise LimitExceeded("the certificate pays in full only", unit=account.unit, scale=scale, asked=asked, limit=has)


def _holds_on(state: State, use: Use, account: Account) -> list[Hold]:
    """The use's hold if it is on this account, or was on one that is part of it now."""
    if use.hold is None:
        return []
    held = state.accounts_by_id[use.hold.account_id]
    wallet_id = state.merged.get(held.wallet_id, held.wallet_id)
    return [use.hold] if (wallet_id, held.unit) == (account.wallet_id, account.unit) else []


def _drawn(
    state: State,
    command: PostReceipt,
    account: Account,
    amount: int,
    holds: Sequence[Hold],
    effective_at: datetime,
    flags: list[str],
    plan: Plan,
) -> list[Move]:
    """The moves that pay an amount: held lots first, then free ones; a fact's shortage is debt.

    Errors: InsufficientPoints, HoldExpired where the hold was the one that should have paid.
    """
    moves: list[Move] = []
    rest = amount
    for hold in holds:
        if hold.state == OPEN:
            pinned = state.from_pins(account, hold, rest)
            taken = -sum(moved for _, moved in pinned)
            moves += pinned
            rest -= taken
            plan.holds.append((hold, taken))
        elif rest:
            # It comes too late to pay by itself, and has been used by this receipt all the same.
            plan.holds.append((hold, min(hold.amount, rest)))
    free = available(account.lots.values(), state.now)
    if rest > max(free, 0) and not command.fact:
        short = short_of(state, account, free, rest)
        is_late = any(hold.state != OPEN for hold in holds)
        raise HoldExpired("the hold has expired", **short.details) if is_late else short
    if command.fact:
        late = _unexpired(state, account, rest, effective_at, plan)
        moves += late
        rest += sum(moved for _, moved in late)
    more, _ = draw(account.lots.values(), min(rest, max(free, 0)), state.now)
    moves += more
    rest += sum(moved for _, moved in more)
    if rest:
        flags.append(DEBT)
        debt = state.debt(account, state.store(command.store).partner_id)
        plan.repaid[debt.id] = plan.repaid.get(debt.id, 0) - rest
        moves.append((debt, -rest))
    return moves


def _unexpired(state: State, account: Account, amount: int, effective_at: datetime, plan: Plan) -> list[Move]:
    """What a late fact takes from lots that were good when it happened and have expired since.

    What a worker has booked as expired comes back first, effective when it went: so the balance of every instant
    is what it would have been.
    """
    moves: list[Move] = []
    booked = state.expired.get(account.id, {})
    late = [lot for lot in account.lots.values() if not lot.is_debt and lot.is_expired(state.now)]
    for lot in sorted(late, key=soonest_first):
        if not lot.is_available(effective_at):
            continue
        taken = min(max(lot.free, 0), amount)
        amount -= taken
        for place, expired in booked.items():
            lot_id, expired_at = place
            back = min(max(expired, 0), amount) if lot_id == lot.id else 0
            if back:
                booked[place] = expired - back
                plan.unexpired.setdefault(expired_at, []).extend(state.expiry(account, lot, -back))
                taken += back
                amount -= back
        if taken:
            moves.append((lot, -taken))
    return moves
