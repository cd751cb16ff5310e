"""Holds: value set aside until a deadline (design law 5). A hold pins lots and moves no entry.

Its end is a state, written under the account's lock before anybody else may spend what it pinned: whoever
locks an account ends what is due by the batch's own clock first (``State.end_due_holds``). What is pinned in a
lot that expires meanwhile expires when the hold ends.
"""

from __future__ import annotations

from datetime import timedelta

from processing.activity import local_day
from processing.allocation import lines_of, payable_total, weights
from processing.cards import check_pin, check_usable, pays_with_pin
from processing.claims import POSTED, TOMBSTONE, Claim, is_lock
from processing.commands import MAX_HOLD_SECONDS, CaptureHold, PlaceHold, ReleaseHold
from processing.directory import REDEEMED
from processing.errors import AlreadyVoided, BadAmount, HoldEnded, HoldExpired, LimitExceeded, WalletMerging
from processing.goods import completed
from processing.keys import content, once
from processing.lots import Move, available, draw
from processing.paid_lines import paid_lines
from processing.payments import burn_rest, check_whole
from processing.plans import DEBT, HOLD_LATE, REST_BURNT, movement, short_of
from processing.programme.compiled import Programme
from processing.programme.facts import Facts
from processing.programme.payment import allowed, payable_points
from processing.programme.payment import limit as payment_limit
from processing.results import HoldCaptured, HoldPlaced, HoldReleased, PaidLine
from processing.state import CAPTURED, OPEN, RELEASED, Account, Card, Hold, State, card_names
from processing.units import MAX_AMOUNT, points_worth

NOTHING, ORPHAN = "nothing", "orphan"
# How the key of a lock begins, which nobody has named.
LOCK = "lock:"


def place_hold(state: State, command: PlaceHold) -> HoldPlaced:
    """Set aside value of the card's account until the deadline."""

    def do() -> tuple[HoldPlaced, int | None]:
        if not 0 <= command.paid_minor <= MAX_AMOUNT:
            raise BadAmount("what was paid before is an amount", unit=command.unit)
        if not 1 <= command.seconds <= MAX_HOLD_SECONDS:
            raise BadAmount(f"a hold lasts 1 to {MAX_HOLD_SECONDS} seconds", unit=command.unit)
        _check_not_voided(state, command)
        card = state.card(card_names(command))
        check_usable(card, state.now)
        check_pin(state, card, command.pin)
        account = state.account(card.wallet_id, command.unit)
        if state.wallets[card.wallet_id].merging_into is not None:
            raise WalletMerging("the wallet takes no new holds")
        hold_id, store_id = state.ids.take("hold"), state.store(command.store).id
        # Every hold is found by a key, also a lock, which nobody names by it.
        head = Claim(store_id, f"{LOCK}{hold_id}") if is_lock(command) else state.heads(command)[0]
        own = _replaced(state, command, head, account)
        free = available(account.lots.values(), state.now)
        free += sum(_would_free(state, account, hold) for hold in own if hold.account_id == account.id)
        amount = _amount(state, command, card, account, free)
        for hold in own:
            state.end_hold(hold, RELEASED, state.now)
        moves, _ = draw(account.lots.values(), amount, state.now)
        until = state.now + timedelta(seconds=command.seconds)
        hold = Hold(
            hold_id,
            head.store_id,
            head.key,
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
            paid=_paid(state, command, card, amount),
        ), None

    if is_lock(command):
        return _lock(state, command, do()[0])
    return once(state, command, HoldPlaced, do, lambda head: command.supersede and _is_gone(state, command, head))


def _check_not_voided(state: State, command: PlaceHold) -> None:
    """Errors: AlreadyVoided where the attempt that the hold is to pay was none: it must not end what others hold."""
    if command.pays:
        receipt = state.head(state.store(command.store).id, command.pays)
        if not receipt.is_fresh and receipt.state != POSTED and not receipt.admits(command.stamp):
            raise AlreadyVoided("this attempt of the receipt was voided")


def _is_gone(state: State, command: PlaceHold, head: Claim) -> bool:
    """Whether another hold may take the place of what was held under the key: not where a receipt has used it."""
    hold = _held_under(state, head)
    if hold is None or hold.state == OPEN:
        return hold is None or head.content != content(state, command)
    return hold.state != CAPTURED or hold.is_undone


def _held_under(state: State, head: Claim) -> Hold | None:
    """The hold that a key stands for, as long as it is kept."""
    stored = head.stored() if head.answer is not None else None
    return state.holds.get(stored.hold_id) if isinstance(stored, HoldPlaced) else None


def _replaced(state: State, command: PlaceHold, head: Claim, account: Account) -> list[Hold]:
    """What ends with the new hold: what its owner, a till or an order of the store, holds on the account already, and
    what was held under its key, be it on another card."""
    own, former = state.locks(account, command), _held_under(state, head)
    is_other = former is not None and former.state == OPEN and all(hold is not former for hold in own)
    return [*own, former] if former is not None and is_other else own


def _lock(state: State, command: PlaceHold, placed: HoldPlaced) -> HoldPlaced:
    """The lock under a key of its own, which answers nobody."""
    claim = Claim(state.store(command.store).id, f"{LOCK}{placed.hold_id}")
    claim.settle(POSTED, placed, None, state.now)
    state.claims[claim.store_id, claim.key] = claim
    return placed


def _would_free(state: State, account: Account, hold: Hold) -> int:
    """What becomes available when the hold ends: pins of lots that have expired do not."""
    return sum(pin for lot_id, pin in hold.pins.items() if account.lots[lot_id].is_available(state.now))


def _amount(state: State, command: PlaceHold, card: Card, account: Account, free: int) -> int:
    """How much is to be held. Errors: BadAmount, InsufficientPoints, LimitExceeded."""
    programme = state.directory.programme_of(card.product).programme
    limit, step = MAX_AMOUNT, 1
    if programme.unit == account.unit and (command.receipt is not None or command.order_minor is not None):
        today = local_day(state.now, state.store(command.store).zone)
        facts = state.pasts.facts(card.wallet_id, programme, today)
        before = points_worth(command.paid_minor, programme.point_price_millionths)
        limit = max(_payable(state, programme, command, facts, free) - before, 0)
        step = programme.document.payment.step if command.receipt is not None else 1
    if command.amount is None:
        return max(min(free, limit), 0)
    if not 0 < command.amount <= MAX_AMOUNT:
        raise BadAmount("an amount must be positive", unit=command.unit)
    if command.amount > limit or command.amount % step:
        unit = state.directory.unit(account.unit)
        most = min(limit, command.amount)
        raise LimitExceeded(
            "not what the programme lets pay",
            unit=unit.code,
            scale=unit.scale,
            asked=command.amount,
            limit=most - most % step,
        )
    if command.amount > free:
        raise short_of(state, account, free, command.amount)
    return command.amount


def _payable(state: State, programme: Programme, command: PlaceHold, facts: Facts, free: int) -> int:
    """The most points that the programme lets pay of the order."""
    if command.receipt is None:
        return payable_points(programme, command.order_minor or 0, facts)
    if free < programme.document.payment.least:
        return 0
    lines = lines_of(completed(command.receipt, state.goods))
    most = payment_limit(programme, lines, weights(lines), payable_total(command.receipt), facts)
    return min(most, allowed(programme, facts))


def _paid(state: State, command: PlaceHold, card: Card, amount: int) -> tuple[PaidLine, ...]:
    """What of each line the hold would pay, as the receipt will be told."""
    if command.receipt is None:
        return ()
    programme = state.directory.programme_of(card.product).programme
    lines = lines_of(completed(command.receipt, state.goods))
    return paid_lines(state.directory, lines, [(card.wallet_id, programme, {command.unit: amount})])


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
        if not command.fact:
            check_whole(state, card, account, amount)
        moves, rest, flags = _captured(state, command, hold, account, amount)
        store = state.store(command.store)
        postings = state.moved(account, moves)
        if rest:
            flags.append(DEBT)
            postings += state.moved(account, [(state.debt(account, store.partner_id), -rest)])
        postings.append(state.system(store.partner_id, REDEEMED, account.unit, amount))
        if burnt := burn_rest(state, card, account, postings, (hold,)):
            flags.append(REST_BURNT)
            postings += burnt
        version_id = state.directory.programme_of(card.product).version_id
        operation_id = state.post(
            "capture", store, postings, actor=command.actor, flags=flags, programme_version_id=version_id
        )
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
    head = state.head(state.store(command.store).id, command.hold)
    if command.hold in command.keys:
        hold = _held_under(state, head)
        return _released(state, hold) if hold is not None else HoldReleased(outcome=ORPHAN, at=state.now)

    def do() -> tuple[HoldReleased, int | None]:
        if head.is_fresh:
            result = HoldReleased(outcome=ORPHAN, at=state.now)
            head.settle(TOMBSTONE, result, None, state.now)
            return result, None
        if head.state == TOMBSTONE:
            return HoldReleased(outcome=NOTHING, at=state.now), None
        return _released(state, state.named_hold(command.store, command.hold)), None

    return once(state, command, HoldReleased, do)


def _unlock(state: State, command: ReleaseHold) -> HoldReleased:
    """Give up what the owner holds of the card's unit. Errors: CardNotFound, UnitNotFound."""
    account = state.account(state.card(card_names(command)).wallet_id, command.unit)
    own = state.locks(account, command)
    amount = sum(hold.amount for hold in own)
    for hold in own:
        state.end_hold(hold, RELEASED, state.now)
    unit = state.directory.unit(account.unit)
    if not own:
        return HoldReleased(outcome=NOTHING, at=state.now)
    return HoldReleased(outcome=RELEASED, at=state.now, amount=amount, unit=unit.code, scale=unit.scale)


def _released(state: State, hold: Hold) -> HoldReleased:
    if hold.state != OPEN:
        return HoldReleased(outcome=NOTHING, at=state.now)
    amount = hold.amount
    state.end_hold(hold, RELEASED, state.now)
    unit = state.directory.unit(state.accounts_by_id[hold.account_id].unit)
    return HoldReleased(outcome=RELEASED, at=state.now, amount=amount, unit=unit.code, scale=unit.scale)
