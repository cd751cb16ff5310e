"""A purchase: find its cards, decide what they earn and pay, and book all of it as one operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec

from processing import accruals, limits, payments, visits
from processing.allocation import is_purchase, lines_of, payable_total
from processing.cards import check_pin, check_usable
from processing.commands import CardUse, PostReceipt, Receipt
from processing.directory import StoreInfo
from processing.documents import ReceiptDocument, keep, kept
from processing.errors import BadAmount, CardNotFound, HoldEnded, HoldNotFound, LimitExceeded, Refusal
from processing.lots import available
from processing.paid_lines import paid_lines
from processing.plans import (
    DISCOUNT_DIFFERS,
    HOLD_ENDED,
    HOLD_LATE,
    NOT_USABLE,
    OVER_LIMIT,
    SUSPENSE_FLAG,
    TILL_COMPUTED,
    Plan,
    Use,
    add,
    check_amounts,
    happened_at,
    movement,
    part_of,
)
from processing.programme.compiled import Moment
from processing.programme.decide import Decision, decide
from processing.programme.payment import limit as payment_limit
from processing.results import CardMovement, PaidLine, ReceiptPosted
from processing.state import CAPTURED, OPEN, RELEASED, Card, Hold, State
from processing.units import MONEY, points_worth, worth


def post(state: State, command: PostReceipt, flags: list[str]) -> ReceiptPosted:
    """Decide and book a receipt; refusals come before the first change."""
    store = state.store(command.store)
    uses = [_use(state, command, ask, flags) for ask in command.cards]
    _check_pins(state, command, uses)
    effective_at = happened_at(state, command)
    moment = Moment(store.code, effective_at.astimezone(store.zone))
    day = moment.day
    for use in uses:
        visits.look_at(state, store, use, day)
    decision = _decide(state, command.receipt, uses, moment)
    if decision.discounter is not None and decision.discount_minor != told_discount(command.receipt):
        flags.append(DISCOUNT_DIFFERS)
    _check_limits(state, command, uses, decision, flags)
    _check_amounts_of_time(state, store, command, uses, decision, day, flags)
    plan = Plan()
    payments.plan_redemptions(state, command, uses, effective_at, flags, plan)
    accruals.plan_loads(state, store, command.receipt, uses, moment.at, plan)
    accruals.plan_accruals(state, store, command.receipt, uses, decision, moment.at, plan)
    visits.plan_extensions(state, store, uses, moment.at, plan)
    deciding = [use.active for use in uses if use.active is not None]
    for expired_at, postings in plan.unexpired.items():
        state.post("expiry_undone", store, postings, effective_at=expired_at)
    operation_id = state.post(
        "receipt",
        store,
        plan.postings,
        effective_at=effective_at,
        programme_version_id=deciding[0].version_id if deciding else None,
        actor=command.actor,
        flags=flags,
        explanation=_explanation(command.receipt, uses, decision),
    )
    for hold, taken in plan.holds:
        if taken is None:
            state.end_hold(hold, RELEASED, state.now)
        else:
            state.end_hold(hold, CAPTURED, state.now, taken, operation_id)
    for extended in plan.extended:
        state.extend(extended.account_id, extended.lot_id, extended.after)
    done, turnover = visits.count(state, store, command, uses, decision, day, operation_id)
    document = ReceiptDocument(
        command.receipt,
        tuple(plan.drawn),
        tuple(plan.gained),
        tuple(plan.loaded),
        programme=deciding[0].programme.code if deciding else "",
        activity=done,
        turnover=turnover,
        extended=tuple(plan.extended),
        key=command.keys[0],
    )
    keep(state, operation_id, kept(store, command.receipt, document))
    state.see_till(store, command.receipt.till)
    movements = tuple([each for use in uses for each in _movements(state, use)])
    paid = _paid(state, command.receipt, uses)
    return ReceiptPosted(operation_id=operation_id, at=state.now, cards=movements, flags=tuple(flags), paid=paid)


def _paid(state: State, receipt: Receipt, uses: Sequence[Use]) -> tuple[PaidLine, ...]:
    """What cards pay of each line."""
    paying = [(use.card.wallet_id if use.card else 0, use.programme, use.redeemed) for use in uses if use.redeemed]
    return paid_lines(state.directory, lines_of(receipt), paying) if paying else ()


def _use(state: State, command: PostReceipt, ask: CardUse, flags: list[str]) -> Use:
    """Find the card. A fact never fails here; a receipt that only accrues is not stopped by an unusable card."""
    fact = command.fact
    check_amounts(state.directory, ask)
    if command.payment and ask.earn is None:
        # What the purchase earns is decided where it is told.
        ask = msgspec.structs.replace(ask, earn=())
    if ask.top_up and any(state.directory.unit(amount.unit).kind != MONEY for amount in ask.top_up):
        raise BadAmount("only money is topped up")
    try:
        card = state.card(ask.refs)
    except CardNotFound:
        if not fact:
            raise
        flags.append(SUSPENSE_FLAG)
        return Use(ask, None, None, True)
    active = state.directory.programme_of(card.product)
    hold = _hold(state, command, ask, card, flags)
    try:
        check_usable(card, state.now)
    except Refusal:
        if (ask.redeem or ask.top_up) and not fact:
            raise
        flags.append(NOT_USABLE)
        if fact and (ask.redeem or ask.earn or ask.top_up):
            flags.append(SUSPENSE_FLAG)
            return Use(ask, None, None, True, hold)
        return Use(ask, card, active, False, hold)
    return Use(ask, card, active, True, hold)


def _check_pins(state: State, command: PostReceipt, uses: Sequence[Use]) -> None:
    """Who placed a hold has told the PIN for what it pins, once; all else is paid with the PIN.

    Errors: PinRequired, WrongPin, PinLocked. A fact has happened, and asks for none.
    """
    if command.fact:
        return
    told: dict[int, int] = {}
    for use in uses:
        if use.card is None:
            continue
        for amount in use.ask.redeem:
            hold = use.hold
            if hold is not None and state.accounts_by_id[hold.account_id].unit == amount.unit:
                told[hold.id] = told.get(hold.id, 0) + amount.amount
                if told[hold.id] <= sum(hold.pins.values()):
                    continue
            if amount.amount:
                check_pin(state, use.card, use.ask.pin)


def _hold(state: State, command: PostReceipt, ask: CardUse, card: Card, flags: list[str]) -> Hold | None:
    """The hold that pays first. Errors: HoldNotFound, HoldEnded; a fact does without."""
    if not ask.hold:
        return None
    try:
        hold = state.named_hold(command.store, ask.hold)
        wallet_id = state.accounts_by_id[hold.account_id].wallet_id
        if state.merged.get(wallet_id, wallet_id) != card.wallet_id:
            raise HoldNotFound("the hold is another card's")
        if hold.is_over:
            raise HoldEnded("the hold has ended", state=hold.state)
    except Refusal:
        if not command.fact:
            raise
        flags.append(HOLD_ENDED)
        return None
    if hold.state != OPEN:
        flags.append(HOLD_LATE)
    return hold


def _decide(state: State, receipt: Receipt, uses: Sequence[Use], moment: Moment) -> Decision:
    """What the programmes say."""
    # As in a quote, a card that can not be used has no rules of its own.
    parts = [
        part_of(state.directory, use.ask, use.active if use.earns else None, use.facts, use.product) for use in uses
    ]
    decision = decide(receipt, parts, moment)
    for use, earning in zip(uses, decision.earnings, strict=True):
        if not use.earns:
            continue
        if use.ask.earn is not None:
            add(use.gained, use.ask.earn)
        elif use.programme is not None:
            use.gained[use.programme.unit] = earning.amount
    return decision


def told_discount(receipt: Receipt) -> int:
    """What the till took off: of its lines, where it tells them."""
    return sum(line.discount_minor for line in receipt.lines) if receipt.lines else receipt.discount_minor


def _check_limits(
    state: State, command: PostReceipt, uses: Sequence[Use], decision: Decision, flags: list[str]
) -> None:
    """No more points than the programmes let pay: each card by its own, all cards together by the most generous.

    Errors: LimitExceeded.
    """
    if not [use for use in uses if use.ask.redeem]:
        return
    if command.fact and not is_purchase(command.receipt):
        # What was bought stands in another document, so that nobody can say how much of it was too much.
        for use in uses:
            add(use.redeemed, use.ask.redeem)
        return
    # In money: points of two programmes may be worth different things.
    together = greatest = 0
    total = payable_total(command.receipt)
    for use in uses:
        add(use.redeemed, use.ask.redeem)
        if use.programme is None:
            continue
        if not command.fact and use.card is not None and state.directory.product(use.card.product).value:
            for code, amount in use.redeemed.items():
                payments.check_whole(state, use.card, state.account(use.card.wallet_id, code), amount)
        asked = use.redeemed.get(use.programme.unit, 0)
        if command.payment and asked <= _pinned(state, use, use.programme.unit):
            continue
        limit = payment_limit(use.programme, decision.lines, decision.prices, total, use.facts)
        price = use.programme.point_price_millionths
        together, greatest = together + worth(asked, price), max(greatest, worth(limit, price))
        if asked <= limit and together > greatest:
            asked, limit = points_worth(together, price), points_worth(greatest, price)
        if asked <= limit and _is_fit(state, use, asked):
            continue
        if not command.fact:
            unit = state.directory.unit(use.programme.unit)
            raise LimitExceeded(
                "not what the programme lets pay", unit=unit.code, scale=unit.scale, asked=asked, limit=limit
            )
        flags.append(OVER_LIMIT)


def _pinned(state: State, use: Use, unit: str) -> int:
    """What the use's hold has set aside of the unit."""
    if use.hold is None or state.accounts_by_id[use.hold.account_id].unit != unit:
        return 0
    return sum(use.hold.pins.values())


def _is_fit(state: State, use: Use, asked: int) -> bool:
    """Whether a card has as many points as paying takes, and pays in the programme's steps."""
    assert use.programme is not None
    said = use.programme.document.payment
    if asked == 0 or use.card is None or (said.step == 1 and said.least == 0):
        return True
    account = state.account(use.card.wallet_id, use.programme.unit)
    free = max(available(account.lots.values(), state.now), 0)
    return asked % said.step == 0 and free + _pinned(state, use, use.programme.unit) >= said.least


def _check_amounts_of_time(
    state: State,
    store: StoreInfo,
    command: PostReceipt,
    uses: Sequence[Use],
    decision: Decision,
    day: date,
    flags: list[str],
) -> None:
    """What may happen in a day or month; beyond it a purchase is refused, or flagged. Errors: LimitExceeded.

    Several cards of one wallet, and all cards at a till, count together; the receipt is one receipt.
    """
    if not [use for use in uses if use.programme is not None and use.programme.document.limits]:
        return
    counted: Counter[tuple[str, str, int | str]] = Counter()
    for use, earning in zip(uses, decision.earnings, strict=True):
        if use.card is None or use.programme is None or not use.earns or not use.programme.document.limits:
            continue
        unit = use.programme.unit
        now = {
            "receipts": 1,
            "turnover": earning.turnover_minor,
            "earned": use.gained.get(unit, 0),
            "redeemed": use.redeemed.get(unit, 0),
        }
        whose = limits.subjects(store.id, store.partner_id, command.receipt)
        for limit in use.programme.document.limits:
            whom: int | str
            if command.payment and limit.of in ("receipts", "turnover"):
                continue
            if limit.per == "card":
                whom, used = use.card.wallet_id, use.facts.used.get(limit.limit, 0)
            elif limit.per in whose:
                whom = whose[limit.per]
                used = state.tallies.used(whom, limit, day)
            else:
                continue
            place = use.programme.code, limit.limit, whom
            counted[place] = 1 if limit.of == "receipts" else counted[place] + now[limit.of]
            total = used + counted[place]
            if now[limit.of] == 0 or total <= limit.most:
                continue
            if limit.then == "block" and not command.fact:
                raise LimitExceeded("a limit of the programme", name=limit.limit, asked=total, limit=limit.most)
            flags.append(f"{OVER_LIMIT}:{limit.limit}")


def _explanation(receipt: Receipt, uses: Sequence[Use], decision: Decision) -> list[dict[str, Any]]:
    """Per card the rules that fired and what they saw; a till's own figures stand beside ours."""
    stories = []
    for n, (use, story) in enumerate(zip(uses, decision.explanation, strict=True)):
        told: dict[str, Any] = {"card": use.card.number[-4:] if use.card else "", **story}
        if use.ask.earn is not None:
            told |= {"decided": TILL_COMPUTED, "rules_say": story["earned"], "earned": sum(use.gained.values())}
        elif not use.earns:
            told |= {"decided": NOT_USABLE, "earned": 0}
        if n == decision.discounter:
            told |= {"discount_minor": decision.discount_minor, "till_discount_minor": told_discount(receipt)}
        stories.append(told)
    return stories


def _movements(state: State, use: Use) -> list[CardMovement]:
    """What happened to each unit of a card; a card that neither earned nor paid still tells its balance."""
    if use.card is None:
        return []
    card, redeemed, earned = use.card, use.redeemed, use.earned
    units = list(redeemed | earned)
    if not units and use.programme is not None:
        units = [use.programme.unit]
    return [
        movement(state, state.account(card.wallet_id, unit), card.number, redeemed.get(unit, 0), earned.get(unit, 0))
        for unit in units
    ]
