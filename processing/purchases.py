"""A purchase: find its cards, decide what they earn and pay, and book all of it as one operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from processing import tables
from processing.allocation import GOODS, Share, lines_of, shares, spread_payments, weights
from processing.cards import check_pin, check_usable
from processing.chain import Programme
from processing.commands import Amount, CardUse, PostReceipt, Receipt
from processing.directory import CASH, EXPIRED, ISSUED, REDEEMED, SUSPENSE, ActiveProgramme, StoreInfo
from processing.errors import (
    BadAmount,
    CardNotFound,
    HoldEnded,
    HoldExpired,
    HoldNotFound,
    InsufficientPoints,
    KeyReused,
    LimitExceeded,
    Refusal,
)
from processing.lots import Move, available, draw, repay, soonest_first
from processing.programme import Decision, LotTerms, Part, day_terms, decide, lot_terms, payable, payable_total
from processing.results import CardMovement, ReceiptPosted
from processing.state import (
    CAPTURED,
    OPEN,
    RELEASED,
    SETTLEMENT_PRICE_MILLIONTHS,
    Account,
    Card,
    Hold,
    Posting,
    State,
)
from processing.units import MAX_AMOUNT, MONEY, POINTS, spread

# Flags of an operation, for the operator.
NOT_USABLE, DEBT, SUSPENSE_FLAG, OVER_LIMIT = "card_not_usable", "debt", "suspense", "over_limit"
HOLD_ENDED, HOLD_LATE = "hold_ended", "hold_late"


@dataclass(slots=True)
class _Use:
    """One card's part in a receipt while it is being decided. ``card`` is None for suspense."""

    ask: CardUse
    card: Card | None
    active: ActiveProgramme | None
    earns: bool
    hold: Hold | None = None
    redeemed: dict[str, int] = field(default_factory=dict)
    gained: dict[str, int] = field(default_factory=dict)
    # What the receipt brought in all: gained by the programme and loaded with money.
    earned: dict[str, int] = field(default_factory=dict)

    @property
    def programme(self) -> Programme | None:
        return self.active.programme if self.active else None


@dataclass(slots=True)
class _Plan:
    """What a receipt will book, worked out before anything is changed."""

    postings: list[Posting] = field(default_factory=list)
    # What comes back from expiry first, by instant: the fact happened before it.
    unexpired: dict[datetime, list[Posting]] = field(default_factory=dict)
    drawn: list[Share] = field(default_factory=list)
    gained: list[Share] = field(default_factory=list)
    loaded: list[Share] = field(default_factory=list)
    holds: list[tuple[Hold, int]] = field(default_factory=list)
    # What this operation has moved into debts and out of them, by lot.
    repaid: dict[int, int] = field(default_factory=dict)


def post(state: State, command: PostReceipt, flags: list[str]) -> ReceiptPosted:
    """Decide and book a receipt; refusals come before the first change."""
    store = state.store(command.store)
    uses = [_use(state, command, ask, flags) for ask in command.cards]
    decision = _decide(state, command.receipt, uses)
    _check_limits(state, command, uses, flags)
    effective_at = _effective_at(state, command)
    plan = _Plan()
    _redemptions(state, command, uses, effective_at, flags, plan)
    _loads(state, store, command.receipt, uses, plan)
    _accruals(state, store, command.receipt, uses, decision, effective_at, plan)
    version = next((use.active.version_id for use in uses if use.active), None)
    for expired_at, postings in plan.unexpired.items():
        state.post("expiry_undone", store, postings, effective_at=expired_at)
    operation_id = state.post(
        "receipt",
        store,
        plan.postings,
        effective_at=effective_at,
        programme_version_id=version,
        actor=command.actor,
        flags=flags,
        explanation=_explanation(uses, decision),
    )
    for hold, taken in plan.holds:
        state.end_hold(hold, CAPTURED if taken else RELEASED, state.now, taken, operation_id if taken else None)
    programme = next((use.programme.code for use in uses if use.programme), "")
    document = ReceiptDocument(
        command.receipt, tuple(plan.drawn), tuple(plan.gained), tuple(plan.loaded), programme=programme
    )
    keep(state, operation_id, kept(store, command.receipt, document))
    state.see_till(store, command.receipt.till)
    movements = tuple(movement for use in uses for movement in _movements(state, use))
    return ReceiptPosted(operation_id=operation_id, at=state.now, cards=movements, flags=tuple(flags))


def _use(state: State, command: PostReceipt, ask: CardUse, flags: list[str]) -> _Use:
    """Find the card. A fact never fails here; a receipt that only accrues is not stopped by an unusable card."""
    fact = command.fact
    for amount in (*ask.redeem, *(ask.earn or ()), *ask.top_up):
        if not 0 <= amount.amount <= MAX_AMOUNT:
            raise BadAmount("an amount must not be negative", unit=amount.unit)
        state.directory.unit(amount.unit)
    if any(state.directory.unit(amount.unit).kind != MONEY for amount in ask.top_up):
        raise BadAmount("only money is topped up")
    try:
        card = state.card(ask.refs)
    except CardNotFound:
        if not fact:
            raise
        flags.append(SUSPENSE_FLAG)
        return _Use(ask, None, None, True)
    active = state.directory.programme_of(card.product)
    try:
        check_usable(card, state.now)
    except Refusal:
        if (ask.redeem or ask.top_up) and not fact:
            raise
        flags.append(NOT_USABLE)
        if fact and (ask.redeem or ask.earn or ask.top_up):
            flags.append(SUSPENSE_FLAG)
            return _Use(ask, None, None, True)
        return _Use(ask, card, active, False)
    hold = _hold(state, command, ask, card, flags)
    if ask.redeem and not fact and (hold is None or hold.state != OPEN):
        # Whoever holds has told it already.
        check_pin(state, card, ask.pin)
    return _Use(ask, card, active, True, hold)


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


def _decide(state: State, receipt: Receipt, uses: Sequence[_Use]) -> Decision:
    """What the programmes say; money from a purse is the holder's own, points are not."""
    parts = [
        Part(
            programme=use.programme or _NO_PROGRAMME,
            spend_minor=use.ask.spend_minor,
            redeemed_minor=sum(
                paid.amount for paid in use.ask.redeem if state.directory.unit(paid.unit).kind == POINTS
            ),
        )
        for use in uses
    ]
    decision = decide(receipt, parts)
    for use, earning in zip(uses, decision.earnings, strict=True):
        if not use.earns:
            continue
        if use.ask.earn is not None:
            _add(use.gained, use.ask.earn)
        elif use.programme is not None:
            _add(use.gained, (Amount(use.programme.unit, earning.amount),))
    return decision


_NO_PROGRAMME = Programme(
    code="",
    unit="",
    cashback_hundredths=0,
    payable_hundredths=0,
    pending_days=0,
    expires_days=None,
    discount="",
    bonus="",
    excluded_categories=(),
    minimum_price_minor=0,
)


def _add(sums: dict[str, int], amounts: Iterable[Amount]) -> None:
    for amount in amounts:
        sums[amount.unit] = sums.get(amount.unit, 0) + amount.amount


def _check_limits(state: State, command: PostReceipt, uses: Sequence[_Use], flags: list[str]) -> None:
    """No more points than the programmes let pay: each card by its own, all cards together by the most generous.

    Errors: LimitExceeded.
    """
    together = greatest = 0
    for use in uses:
        _add(use.redeemed, use.ask.redeem)
        if use.programme is None:
            continue
        asked = use.redeemed.get(use.programme.unit, 0)
        limit = payable(use.programme, payable_total(command.receipt))
        together, greatest = together + asked, max(greatest, limit)
        asked, limit = (asked, limit) if asked > limit else (together, greatest)
        if asked > limit:
            if not command.fact:
                unit = state.directory.unit(use.programme.unit)
                raise LimitExceeded(
                    "more points than the programme allows", unit=unit.code, scale=unit.scale, asked=asked, limit=limit
                )
            flags.append(OVER_LIMIT)


def _redemptions(
    state: State,
    command: PostReceipt,
    uses: Sequence[_Use],
    effective_at: datetime,
    flags: list[str],
    plan: _Plan,
) -> None:
    """Draw what was redeemed, account by account: two cards of one wallet must not see the same points twice."""
    store = state.store(command.store)
    lines = lines_of(command.receipt)
    asked: dict[int, tuple[Account, int, list[Hold]]] = {}
    for use in uses:
        for unit, amount in use.redeemed.items():
            if amount == 0:
                continue
            plan.postings.append(_system(state, store, REDEEMED, unit, amount))
            if use.card is None:
                plan.postings.append(_system(state, store, SUSPENSE, unit, -amount))
                continue
            account = state.account(use.card.wallet_id, unit)
            _, before, holds = asked.get(account.id, (account, 0, []))
            asked[account.id] = (account, before + amount, holds + _holds_on(use, account))
    parts = spread_payments(lines, [amount for _, amount, _ in asked.values()])
    for (account, amount, holds), part in zip(asked.values(), parts, strict=True):
        moves = _drawn(state, command, account, amount, holds, effective_at, flags, plan)
        plan.postings += state.moved(account, moves)
        plan.drawn += shares(account.id, part, moves)
    for use in uses:
        hold = use.hold
        if hold is not None and hold.state == OPEN and all(hold is not ended for ended, _ in plan.holds):
            # Nothing was paid from it: the receipt is closed, and so is the hold.
            plan.holds.append((hold, 0))


def _holds_on(use: _Use, account: Account) -> list[Hold]:
    return [use.hold] if use.hold is not None and use.hold.account_id == account.id else []


def _drawn(
    state: State,
    command: PostReceipt,
    account: Account,
    amount: int,
    holds: Sequence[Hold],
    effective_at: datetime,
    flags: list[str],
    plan: _Plan,
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


def _unexpired(state: State, account: Account, amount: int, effective_at: datetime, plan: _Plan) -> list[Move]:
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
                partner = Posting(state.directory.system(lot.issuer_id, EXPIRED, account.unit), account.unit, -back)
                plan.unexpired.setdefault(expired_at, []).extend([partner, *state.moved(account, [(lot, back)])])
                taken += back
                amount -= back
        if taken:
            moves.append((lot, -taken))
    return moves


def short_of(state: State, account: Account, free: int, asked: int) -> InsufficientPoints:
    """The refusal that tells how much there is."""
    scale = state.directory.unit(account.unit).scale
    return InsufficientPoints(
        "not enough on the card", unit=account.unit, scale=scale, available=max(free, 0), asked=asked
    )


def _loads(state: State, store: StoreInfo, receipt: Receipt, uses: Sequence[_Use], plan: _Plan) -> None:
    """Put on cards what guests load with this receipt, against cash; a debt in that unit is repaid first."""
    lines = [line for line in receipt.lines if line.kind != GOODS]
    for use in uses:
        for amount in use.ask.top_up:
            if amount.amount == 0:
                continue
            _add(use.earned, (amount,))
            plan.postings.append(_system(state, store, CASH, amount.unit, -amount.amount))
            if use.card is None:
                plan.postings.append(_system(state, store, SUSPENSE, amount.unit, amount.amount))
                continue
            account = state.account(use.card.wallet_id, amount.unit)
            terms = money_terms(state, store, use.card)
            postings = accrue(state, store, account, amount.amount, terms, plan.repaid)
            plan.postings += postings
            if lines:
                parts = spread(amount.amount, weights(lines, is_goods=False))
                told = [(line.number, part) for line, part in zip(lines, parts, strict=True) if part]
                plan.loaded += shares(account.id, told, filled(postings))


def _accruals(
    state: State,
    store: StoreInfo,
    receipt: Receipt,
    uses: Sequence[_Use],
    decision: Decision,
    effective_at: datetime,
    plan: _Plan,
) -> None:
    """Put what was earned into lots; debts are repaid first."""
    for use, earning in zip(uses, decision.earnings, strict=True):
        for unit, amount in use.gained.items():
            if amount == 0:
                continue
            _add(use.earned, (Amount(unit, amount),))
            plan.postings.append(_system(state, store, ISSUED, unit, -amount))
            if use.card is None:
                plan.postings.append(_system(state, store, SUSPENSE, unit, amount))
                continue
            account = state.account(use.card.wallet_id, unit)
            programme = use.programme if use.programme and use.programme.unit == unit else None
            terms = lot_terms(programme, store.zone, effective_at)
            postings = accrue(state, store, account, amount, terms, plan.repaid)
            plan.postings += postings
            is_ours = use.ask.earn is None and sum(part for _, part in earning.lines) == amount
            lines = earning.lines if is_ours else spread_payments(lines_of(receipt), [amount])[0]
            plan.gained += shares(account.id, lines, filled(postings))


def money_terms(state: State, store: StoreInfo, card: Card) -> LotTerms:
    """Money is there at once; on a card of value it ends with the card, else never."""
    is_value = state.directory.product(card.product).value
    return LotTerms(day_terms(store.zone, state.now).available_from, card.expires_at if is_value else None)


def accrue(
    state: State, store: StoreInfo, account: Account, amount: int, terms: LotTerms, repaid: dict[int, int]
) -> list[Posting]:
    """The entries that put an amount into a lot on these terms, and repay debts from it."""
    lot = state.open_lot(account, store.partner_id, terms.available_from, terms.expires_at, SETTLEMENT_PRICE_MILLIONTHS)
    return state.moved(account, [(lot, amount), *repay(account.lots.values(), lot, amount, repaid)])


def filled(postings: Sequence[Posting]) -> list[Move]:
    """Where an accrual went in the end: its lot, and the debts that it repaid."""
    net: dict[int, int] = {}
    lots = {posting.lot.id: posting.lot for posting in postings if posting.lot is not None}
    for posting in postings:
        if posting.lot is not None:
            net[posting.lot.id] = net.get(posting.lot.id, 0) + posting.amount
    return [(lots[lot_id], amount) for lot_id, amount in net.items() if amount > 0]


def _system(state: State, store: StoreInfo, kind: str, unit: str, amount: int) -> Posting:
    return Posting(state.directory.system(store.partner_id, kind, unit), unit, amount)


def _effective_at(state: State, command: PostReceipt) -> datetime:
    """A fact happened when its receipt was closed, a request happens now."""
    closed_at = command.receipt.closed_at
    return min(closed_at, state.now) if command.fact and closed_at is not None else state.now


def _explanation(uses: Sequence[_Use], decision: Decision) -> list[dict[str, Any]]:
    """Per card the rules that fired and what they saw; a till's own figure stands beside ours."""
    stories = []
    for use, story in zip(uses, decision.explanation, strict=True):
        told: dict[str, Any] = {"card": use.card.number[-4:] if use.card else "", **story}
        if use.ask.earn is not None:
            told = {
                **told,
                "rule": "till_computed",
                "rules_say": story["earned"],
                "earned": sum(use.gained.values()),
            }
        elif not use.earns:
            told |= {"rule": NOT_USABLE, "earned": 0}
        stories.append(told)
    return stories


class ReceiptDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the receipt's row keeps for returns and reports: the goods, and which lines paid and earned what.

    ``drawn`` is what paid, ``gained`` what the programme gave, ``loaded`` what guests put on cards. Of a return
    ``returned`` tells which lines of its sale came back; of a sale that was restored, which had before.
    """

    receipt: Receipt
    drawn: tuple[Share, ...] = ()
    gained: tuple[Share, ...] = ()
    loaded: tuple[Share, ...] = ()
    returned: tuple[tuple[int, int], ...] = ()
    programme: str = ""


_encode_document = msgspec.json.Encoder().encode
decode_document = msgspec.json.Decoder(ReceiptDocument).decode


def kept(store: StoreInfo, receipt: Receipt, document: ReceiptDocument, base_id: int | None = None) -> dict[str, Any]:
    """The row of a receipt, but for its operation."""
    return {
        "store_id": store.id,
        "till": receipt.till,
        "number": receipt.number,
        "business_date": receipt.business_date,
        "total_minor": receipt.total_minor,
        "document": msgspec.Raw(_encode_document(document)),
        "base_id": base_id,
    }


def keep(state: State, operation_id: int, row: dict[str, Any]) -> None:
    """The receipt of an operation that has just been booked."""
    state.receipts[operation_id] = row
    state.insert(tables.receipt, {"operation_id": operation_id, **row})


def document_of(state: State, operation_id: int) -> ReceiptDocument | None:
    """What the receipt of an operation keeps, as far as this batch knows it."""
    row = state.receipts.get(operation_id)
    if row is None:
        return None
    told = row["document"]
    return decode_document(told if isinstance(told, str) else bytes(told))


def returned_before(state: State, operation_id: int, document: ReceiptDocument) -> Counter[int]:
    """How much of each line of a sale has come back, in returns that stand."""
    before = Counter(dict(document.returned))
    for returned in state.returns.get(operation_id, ()):
        before.update(dict(returned.lines))
    return before


def kept_receipt(state: State, void_id: int) -> dict[str, Any]:
    """The row of the sale that a void has reversed, with what had come back of it. Errors: KeyReused."""
    operation_id = state.earlier[void_id].reverses_id or 0
    document = document_of(state, operation_id)
    if document is None or state.earlier[operation_id].kind not in ("receipt", "restore"):
        raise KeyReused("only a sale can be restored")
    before = tuple(sorted(returned_before(state, operation_id, document).items()))
    document = msgspec.structs.replace(document, returned=before)
    return {**state.receipts[operation_id], "document": msgspec.Raw(_encode_document(document))}


def _movements(state: State, use: _Use) -> Iterable[CardMovement]:
    """What happened to each unit of a card; a card that neither earned nor paid still tells its balance."""
    if use.card is None:
        return
    units = list(dict.fromkeys([*use.redeemed, *use.earned]))
    if not units and use.programme is not None:
        units = [use.programme.unit]
    for unit in units:
        account = state.account(use.card.wallet_id, unit)
        yield movement(state, account, use.card.number, use.redeemed.get(unit, 0), use.earned.get(unit, 0))


def movement(state: State, account: Account, number: str, redeemed: int, earned: int) -> CardMovement:
    """What an operation did to an account, with the balances after it."""
    return CardMovement(
        card=number,
        account=account.wallet_id,
        unit=account.unit,
        scale=state.directory.unit(account.unit).scale,
        redeemed=redeemed,
        earned=earned,
        balance=account.balance,
        available=available(account.lots.values(), state.now),
    )
