"""Holds: value set aside until a deadline (design law 5). A hold pins lots and moves no entry.

Its end is a state, written under the account's lock before anybody else may spend what it pinned: whoever
locks an account ends what is due by the batch's own clock first (``State.end_due_holds``). What is pinned in a
lot that expires meanwhile expires when the hold ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from processing.activity import local_day
from processing.cards import check_pin, check_usable, pays_with_pin
from processing.claims import POSTED, TOMBSTONE, Claim, is_lock
from processing.commands import MAX_HOLD_SECONDS, CaptureHold, PlaceHold, ReleaseHold
from processing.directory import REDEEMED
from processing.errors import BadAmount, HoldEnded, HoldExpired, LimitExceeded, WalletMerging
from processing.keys import once
from processing.lots import Move, available, draw
from processing.plans import DEBT, HOLD_LATE, movement, short_of
from processing.programme.payment import payable_points
from processing.results import HoldCaptured, HoldPlaced, HoldReleased
from processing.state import CAPTURED, OPEN, RELEASED, Account, Card, Hold, State, card_names
from processing.units import MAX_AMOUNT

NOTHING, ORPHAN = "nothing", "orphan"
# How the key of a lock begins, which nobody has named.
LOCK = "lock:"


def place_hold(state: State, command: PlaceHold) -> HoldPlaced:
    """Set aside value of the card's account until the deadline."""

    def do() -> tuple[HoldPlaced, int | None]:
        if not 1 <= command.seconds <= MAX_HOLD_SECONDS:
            raise BadAmount(f"a hold lasts 1 to {MAX_HOLD_SECONDS} seconds", unit=command.unit)
        card = state.card(card_names(command))
        check_usable(card, state.now)
        check_pin(state, card, command.pin)
        account = state.account(card.wallet_id, command.unit)
        if state.wallets[card.wallet_id].merging_into is not None:
            raise WalletMerging("the wallet takes no new holds")
        store_id = state.store(command.store).id
        own = state.locks(account, command)
        free = available(account.lots.values(), state.now) + _would_free(account, own, state.now)
        amount = _amount(state, command, card, account, free)
        for hold in own:
            state.end_hold(hold, RELEASED, state.now)
        moves, _ = draw(account.lots.values(), amount, state.now)
        hold_id = state.ids.take("hold")
        until = state.now + timedelta(seconds=command.seconds)
        hold = Hold(
            hold_id,
            store_id,
            f"{LOCK}{hold_id}" if is_lock(command) else state.heads(command)[0].key,
            account.id,
            command.owner,
            amount,
            0,
            OPEN,
            state.now,
            until,
            None,
            None,
        )
        state.pin(account, hold, moves)
        return HoldPlaced(
            hold_id=hold.id,
            card=card.number,
            card_id=card.id,
            account=card.wallet_id,
            unit=account.unit,
            scale=state.directory.unit(account.unit).scale,
            amount=amount,
            available=available(account.lots.values(), state.now),
            at=state.now,
            until=until,
        ), None

    if not is_lock(command):
        return once(state, command, HoldPlaced, do)
    placed, _ = do()
    # Every hold is found by a key, also one that nobody names by it.
    claim = Claim(state.store(command.store).id, f"{LOCK}{placed.hold_id}")
    claim.settle(POSTED, placed, None, state.now)
    state.claims[claim.store_id, claim.key] = claim
    return placed


def _would_free(account: Account, holds: Iterable[Hold], now: datetime) -> int:
    """What becomes available when the holds end: pins of lots that have expired do not."""
    pins = [pin for hold in holds for pin in hold.pins.items()]
    return sum(pin for lot_id, pin in pins if account.lots[lot_id].is_available(now))


def _amount(state: State, command: PlaceHold, card: Card, account: Account, free: int) -> int:
    """How much is to be held. Errors: BadAmount, InsufficientPoints, LimitExceeded."""
    programme = state.directory.programme_of(card.product).programme
    limit = MAX_AMOUNT
    if command.order_minor is not None and programme.unit == account.unit:
        today = local_day(state.now, state.store(command.store).zone)
        facts = state.pasts.facts(card.wallet_id, programme, today)
        limit = payable_points(programme, command.order_minor, facts)
    if command.amount is None:
        return max(min(free, limit), 0)
    if not 0 < command.amount <= MAX_AMOUNT:
        raise BadAmount("an amount must be positive", unit=command.unit)
    if command.amount > limit:
        unit = state.directory.unit(account.unit)
        raise LimitExceeded(
            "more points than the programme allows", unit=unit.code, scale=unit.scale, asked=command.amount, limit=limit
        )
    if command.amount > free:
        raise short_of(state, account, free, command.amount)
    return command.amount


def capture_hold(state: State, command: CaptureHold) -> HoldCaptured:
    """Take what is held, or a part of it, as a redemption without a receipt."""

    def do() -> tuple[HoldCaptured, int | None]:
        hold = state.named_hold(command.store, command.hold)
        if hold.is_over and not (command.fact and hold.state == RELEASED):
            raise HoldEnded("the hold has ended", state=hold.state)
        account, card = _place(state, command)
        if hold.state != OPEN and not command.fact:
            # What a hold has let go is paid like any other, and a capture tells no PIN.
            check_usable(card, state.now)
            if pays_with_pin(state, card):
                raise HoldExpired("the hold has expired", unit=account.unit)
        amount = hold.amount if command.amount is None else command.amount
        if not 0 < amount <= MAX_AMOUNT or (amount > hold.amount and not command.fact):
            raise BadAmount("a capture takes no more than was held", unit=account.unit)
        moves, rest, flags = _captured(state, command, hold, account, amount)
        store = state.store(command.store)
        postings = state.moved(account, moves)
        if rest:
            flags.append(DEBT)
            postings += state.moved(account, [(state.debt(account, store.partner_id), -rest)])
        postings.append(state.system(store.partner_id, REDEEMED, account.unit, amount))
        operation_id = state.post("capture", store, postings, actor=command.actor, flags=flags)
        was_open = hold.state == OPEN
        taken = min(amount, hold.amount) if was_open else 0
        state.end_hold(hold, CAPTURED, state.now, taken if was_open else amount, operation_id)
        return HoldCaptured(
            operation_id=operation_id,
            at=state.now,
            card=movement(state, account, card.number, amount, 0),
            released=hold.amount - taken if was_open else 0,
            flags=tuple(flags),
        ), operation_id

    return once(state, command, HoldCaptured, do)


def _place(state: State, command: CaptureHold) -> tuple[Account, Card]:
    """The account that is held, wherever a merge has taken it, and the card by which it was."""
    stored = state.head(state.store(command.store).id, command.hold).stored()
    assert isinstance(stored, HoldPlaced)
    return state.account(state.merged.get(stored.account, stored.account), stored.unit), state.cards_by_id[
        stored.card_id
    ]


def _captured(
    state: State, command: CaptureHold, hold: Hold, account: Account, amount: int
) -> tuple[list[Move], int, list[str]]:
    """The moves that pay, what a fact leaves as debt, and flags. Errors: HoldExpired."""
    moves = state.from_pins(account, hold, amount) if hold.state == OPEN else []
    rest = amount + sum(moved for _, moved in moves)
    free = max(available(account.lots.values(), state.now), 0)
    if rest > free and not command.fact:
        raise HoldExpired("the hold has expired", **short_of(state, account, free, rest).details)
    more, _ = draw(account.lots.values(), min(rest, free), state.now)
    rest += sum(moved for _, moved in more)
    return moves + more, rest, [] if hold.state == OPEN else [HOLD_LATE]


def release_hold(state: State, command: ReleaseHold) -> HoldReleased:
    """Give up a hold; one that is still under way finds a tombstone."""
    if is_lock(command):
        return _unlock(state, command)

    def do() -> tuple[HoldReleased, int | None]:
        head = state.head(state.store(command.store).id, command.hold)
        if head.is_fresh:
            result = HoldReleased(outcome=ORPHAN, at=state.now)
            head.settle(TOMBSTONE, result, None, state.now)
            return result, None
        if head.state == TOMBSTONE:
            return HoldReleased(outcome=NOTHING, at=state.now), None
        hold = state.named_hold(command.store, command.hold)
        if hold.state != OPEN:
            return HoldReleased(outcome=NOTHING, at=state.now), None
        amount = hold.amount
        state.end_hold(hold, RELEASED, state.now)
        unit = state.directory.unit(state.accounts_by_id[hold.account_id].unit)
        return HoldReleased(outcome=RELEASED, at=state.now, amount=amount, unit=unit.code, scale=unit.scale), None

    return once(state, command, HoldReleased, do)


def _unlock(state: State, command: ReleaseHold) -> HoldReleased:
    """Give up what the owner holds of the card's unit. Errors: CardNotFound, UnitNotFound."""
    account = state.account(state.card(card_names(command)).wallet_id, command.unit)
    own = state.locks(account, command)
    if not own:
        return HoldReleased(outcome=NOTHING, at=state.now)
    amount = sum(hold.amount for hold in own)
    for hold in own:
        state.end_hold(hold, RELEASED, state.now)
    unit = state.directory.unit(account.unit)
    return HoldReleased(outcome=RELEASED, at=state.now, amount=amount, unit=unit.code, scale=unit.scale)
