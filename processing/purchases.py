"""A purchase: find its cards, decide what they earn and pay, and book all of it as one operation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from processing import tables
from processing.cards import check_usable
from processing.chain import Programme
from processing.commands import Amount, CardUse, PostReceipt, Receipt
from processing.directory import ISSUED, REDEEMED, SUSPENSE, ActiveProgramme, StoreInfo
from processing.errors import (
    BadAmount,
    CardNotFound,
    InsufficientPoints,
    LimitExceeded,
    Refusal,
)
from processing.lots import available, draw, repay
from processing.programme import Decision, LotTerms, Part, decide, lot_terms, payable
from processing.results import CardMovement, ReceiptPosted
from processing.state import (
    SETTLEMENT_PRICE_MILLIONTHS,
    Account,
    Card,
    Posting,
    State,
)
from processing.units import MAX_AMOUNT, POINTS

# Flags of an operation, for the operator.
NOT_USABLE, DEBT, SUSPENSE_FLAG, OVER_LIMIT = "card_not_usable", "debt", "suspense", "over_limit"


@dataclass(slots=True)
class _Use:
    """One card's part in a receipt while it is being decided. ``card`` is None for suspense."""

    ask: CardUse
    card: Card | None
    active: ActiveProgramme | None
    earns: bool
    redeemed: dict[str, int] = field(default_factory=dict)
    earned: dict[str, int] = field(default_factory=dict)

    @property
    def programme(self) -> Programme | None:
        return self.active.programme if self.active else None


def post(state: State, command: PostReceipt, flags: list[str]) -> ReceiptPosted:
    """Decide and book a receipt; refusals come before the first change."""
    store = state.store(command.store)
    uses = [_use(state, ask, command.fact, flags) for ask in command.cards]
    decision = _decide(state, command.receipt, uses)
    _check_limits(state, command, uses, flags)
    repaid: dict[int, int] = {}
    postings = _redemptions(state, store, uses, command.fact, flags, repaid)
    effective_at = _effective_at(state, command)
    postings += _accruals(state, store, uses, effective_at, repaid)
    version = next((use.active.version_id for use in uses if use.active), None)
    operation_id = state.post(
        "receipt",
        store,
        postings,
        effective_at=effective_at,
        programme_version_id=version,
        actor=command.actor,
        flags=flags,
        explanation=_explanation(uses, decision),
    )
    receipt = command.receipt
    state.insert(
        tables.receipt,
        {
            "operation_id": operation_id,
            "store_id": store.id,
            "till": receipt.till,
            "number": receipt.number,
            "business_date": receipt.business_date,
            "total_minor": receipt.total_minor,
            "document": msgspec.Raw(_document(receipt, decision)),
        },
    )
    state.see_till(store, receipt.till)
    movements = tuple(movement for use in uses for movement in _movements(state, use))
    return ReceiptPosted(operation_id=operation_id, at=state.now, cards=movements, flags=tuple(flags))


def _use(state: State, ask: CardUse, fact: bool, flags: list[str]) -> _Use:
    """Find the card. A fact never fails here; a receipt that only accrues is not stopped by an unusable card."""
    for amount in (*ask.redeem, *(ask.earn or ())):
        if not 0 <= amount.amount <= MAX_AMOUNT:
            raise BadAmount("an amount must not be negative", unit=amount.unit)
        state.directory.unit(amount.unit)
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
        if ask.redeem and not fact:
            raise
        flags.append(NOT_USABLE)
        if fact and (ask.redeem or ask.earn):
            flags.append(SUSPENSE_FLAG)
            return _Use(ask, None, None, True)
        return _Use(ask, card, active, False)
    return _Use(ask, card, active, True)


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
            _add(use.earned, use.ask.earn)
        elif use.programme is not None:
            _add(use.earned, (Amount(use.programme.unit, earning.amount),))
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
        limit = payable(use.programme, command.receipt.total_minor)
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
    state: State, store: StoreInfo, uses: Sequence[_Use], fact: bool, flags: list[str], repaid: dict[int, int]
) -> list[Posting]:
    """Draw what was redeemed, account by account: two cards of one wallet must not see the same points twice."""
    postings: list[Posting] = []
    asked: dict[int, tuple[Account, int]] = {}
    for use in uses:
        for unit, amount in use.redeemed.items():
            if amount == 0:
                continue
            postings.append(_system(state, store, REDEEMED, unit, amount))
            if use.card is None:
                postings.append(_system(state, store, SUSPENSE, unit, -amount))
            else:
                account = state.account(use.card.wallet_id, unit)
                asked[account.id] = (account, asked.get(account.id, (account, 0))[1] + amount)
    for account, amount in asked.values():
        free = available(account.lots.values(), state.now)
        if amount > free and not fact:
            raise short_of(state, account, free, amount)
        moves, short = draw(account.lots.values(), min(amount, max(free, 0)), state.now)
        short += amount - min(amount, max(free, 0))
        postings += state.moved(account, moves)
        if short:
            flags.append(DEBT)
            debt = state.debt(account, store.partner_id)
            repaid[debt.id] = repaid.get(debt.id, 0) - short
            postings += state.moved(account, [(debt, -short)])
    return postings


def short_of(state: State, account: Account, free: int, asked: int) -> InsufficientPoints:
    """The refusal that tells how much there is."""
    scale = state.directory.unit(account.unit).scale
    return InsufficientPoints(
        "not enough on the card", unit=account.unit, scale=scale, available=max(free, 0), asked=asked
    )


def _accruals(
    state: State, store: StoreInfo, uses: Sequence[_Use], effective_at: datetime, repaid: dict[int, int]
) -> list[Posting]:
    """Put what was earned into lots; debts are repaid first."""
    postings: list[Posting] = []
    for use in uses:
        for unit, amount in use.earned.items():
            if amount == 0:
                continue
            postings.append(_system(state, store, ISSUED, unit, -amount))
            if use.card is None:
                postings.append(_system(state, store, SUSPENSE, unit, amount))
                continue
            account = state.account(use.card.wallet_id, unit)
            programme = use.programme if use.programme and use.programme.unit == unit else None
            postings += accrue(state, store, account, amount, lot_terms(programme, store.zone, effective_at), repaid)
    return postings


def accrue(
    state: State, store: StoreInfo, account: Account, amount: int, terms: LotTerms, repaid: dict[int, int]
) -> list[Posting]:
    """The entries that put an amount into a lot on these terms, and repay debts from it."""
    lot = state.open_lot(account, store.partner_id, terms.available_from, terms.expires_at, SETTLEMENT_PRICE_MILLIONTHS)
    return state.moved(account, [(lot, amount), *repay(account.lots.values(), lot, amount, repaid)])


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
                "earned": sum(use.earned.values()),
            }
        elif not use.earns:
            told |= {"rule": NOT_USABLE, "earned": 0}
        stories.append(told)
    return stories


class ReceiptDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the receipt's row keeps for returns and reports: the goods and which lines earned and paid what.

    ``earned`` has one list of (line, points) per card, ``redeemed`` is one list for the whole receipt.
    """

    receipt: Receipt
    earned: tuple[tuple[tuple[int, int], ...], ...] = ()
    redeemed: tuple[tuple[int, int], ...] = ()


_encode_document = msgspec.json.Encoder().encode


def _document(receipt: Receipt, decision: Decision) -> bytes:
    return _encode_document(
        ReceiptDocument(receipt, tuple(earning.lines for earning in decision.earnings), decision.redeemed_by_line)
    )


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
