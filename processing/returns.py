"""Returns: goods come back, by line and quantity, in any number of steps (design law 4).

A return reads which lots its lines were paid from and earned into, as the sale's receipt keeps them, and never
runs the rules again. What paid for a line goes back where it came from, and repays the account's debts first;
what the line earned is taken from its own lot, then from others, and what is spent already follows the
programme's policy: debt, money kept back by the till, or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from processing import visits
from processing.accruals import money_terms, price_of
from processing.activity import Activity, local_day
from processing.allocation import Back, Counted, Share, count, lines_of, shares, spread_payments, undone
from processing.claims import POSTED
from processing.commands import CardUse, ReturnReceipt
from processing.directory import CASH, ISSUED, REDEEMED, SUSPENSE, ActiveProgramme, StoreInfo
from processing.documents import ReceiptDocument, document_of, keep, kept, returned_before
from processing.errors import CardNotFound, ReceiptNotFound
from processing.goods import completed
from processing.lots import Lot, Move, Reversal, repay, reverse
from processing.plans import DEBT, SUSPENSE_FLAG, Use, add, check_amounts, happened_at, movement, part_of
from processing.programme.compiled import Moment, Programme
from processing.programme.decide import decide
from processing.programme.facts import NOTHING_KNOWN
from processing.programme.terms import LotTerms, lot_terms
from processing.results import CardMovement, ReceiptPosted, ReceiptReturned, ReturnedLine, cards_of
from processing.reversals import graced, living, unexpire
from processing.state import Account, Booked, Card, Posting, Returned, State
from processing.units import POINTS, worth

# Flags of an operation, for the operator.
SALE_UNKNOWN, OVER_RETURNED, FORGIVEN, DEDUCTED = "sale_unknown", "over_returned", "forgiven", "deducted"
POLICY_DEBT, POLICY_DEDUCT, POLICY_FORGIVE = "debt", "deduct", "forgive"


@dataclass(slots=True)
class _Undoing:
    """What a return does to one account: shares of the sale, as positive amounts by lot."""

    account: Account
    drawn: dict[int, int] = field(default_factory=dict)
    gained: dict[int, int] = field(default_factory=dict)
    loaded: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Plan:
    """What a return will book, and when it happened: a fact when its receipt was closed, a request now."""

    effective_at: datetime
    postings: list[Posting] = field(default_factory=list)
    movements: list[CardMovement] = field(default_factory=list)
    keep_back_minor: int = 0


def post(state: State, command: ReturnReceipt, flags: list[str]) -> ReceiptReturned:
    """Decide and book a return; refusals come before the first change. Errors: as ReturnReceipt."""
    command = _by_key(state, command)
    sale = _sale(state, command, flags) if _names_sale(command) else None
    return _with_sale(state, command, *sale, flags) if sale else _without_sale(state, command, flags)


def _names_sale(command: ReturnReceipt) -> bool:
    return bool(command.sale) or command.sale_operation is not None


def _by_key(state: State, command: ReturnReceipt) -> ReturnReceipt:
    """The same with its sale's key, where it names the sale by number and the sale is of the store that it names."""
    store_id, key = state.numbered_sales.get(command.sale_operation or 0, (0, ""))
    is_there = store_id == state.store(command.sale_store or command.store).id
    return msgspec.structs.replace(command, sale=key) if is_there else command


def _sale(state: State, command: ReturnReceipt, flags: list[str]) -> tuple[ReceiptPosted, ReceiptDocument] | None:
    """The sale as it stands, and its document; None where a fact names one that we do not know.

    Errors: ReceiptNotFound.
    """
    stored = _standing(state, command) if command.sale else None
    document = document_of(state, stored.operation_id) if stored else None
    if stored is not None and document is not None:
        return stored, document
    if not command.fact:
        raise ReceiptNotFound("no sale stands under this key or number")
    flags.append(SALE_UNKNOWN)
    return None


def _standing(state: State, command: ReturnReceipt) -> ReceiptPosted | None:
    """What stands under the sale's key, if it is a sale and the operation that was named."""
    head = state.head(state.store(command.sale_store or command.store).id, command.sale)
    stored = head.stored() if head.state == POSTED else None
    if not isinstance(stored, ReceiptPosted) or command.sale_operation not in (None, stored.operation_id):
        return None
    return stored


def _with_sale(
    state: State, command: ReturnReceipt, sale: ReceiptPosted, document: ReceiptDocument, flags: list[str]
) -> ReceiptReturned:
    before = returned_before(state, sale.operation_id, document)
    lines = lines_of(document.receipt)
    counted, is_over = count(lines, before, command.lines, command.fact)
    if is_over:
        flags.append(OVER_RETURNED)
    sold_at = state.store(command.sale_store or command.store)
    active = state.directory.programmes.get(document.programme)
    policy = _policy(active, command)
    numbers = {(state.merged.get(m.account, m.account), m.unit): m.card for m in cards_of(sale)}
    plan = _Plan(happened_at(state, command))
    undoings = _undoings(state, sale, document, counted)
    for undoing in undoings:
        _undo(state, sold_at, sale.operation_id, undoing, policy, numbers, flags, plan)
    store = state.store(command.store)
    operation_id = state.post(
        "return",
        store,
        plan.postings,
        effective_at=plan.effective_at,
        programme_version_id=active.version_id if active else None,
        actor=command.actor,
        flags=flags,
        explanation=[_story(sale.operation_id, counted, policy, plan)],
    )
    back = tuple(Back(line.number, line.now, line.sum_minor, line.spans) for line in counted)
    points = {
        (undoing.account.wallet_id, undoing.account.unit): (sum(undoing.drawn.values()), sum(undoing.gained.values()))
        for undoing in undoings
    }
    less, shortened = visits.count_back(state, sale.operation_id, document, before, counted, points)
    told = ReceiptDocument(command.receipt, returned=back, activity=less, extended=shortened)
    _keep(state, store, command, operation_id, told, sale.operation_id)
    return ReceiptReturned(
        operation_id=operation_id,
        at=state.now,
        cards=tuple(_now(state, told) for told in plan.movements),
        lines=tuple(ReturnedLine(number=each.number, amount=each.amount) for each in back),
        keep_back_minor=plan.keep_back_minor,
        sale=command.sale,
        sale_store=command.sale_store or command.store,
        base_id=sale.operation_id,
        flags=tuple(flags),
    )


def _policy(active: ActiveProgramme | None, command: ReturnReceipt) -> str:
    policy: str = active.programme.document.return_policy if active else POLICY_DEBT
    return POLICY_DEBT if policy == POLICY_DEDUCT and not command.can_deduct else policy


def _story(sale_id: int, counted: Sequence[Counted], policy: str, plan: _Plan) -> dict[str, Any]:
    return {
        "rule": "return",
        "sale": sale_id,
        "policy": policy,
        "lines": [[line.number, line.before, line.now, line.size] for line in counted],
        "keep_back_minor": plan.keep_back_minor,
    }


def _keep(
    state: State,
    store: StoreInfo,
    command: ReturnReceipt,
    operation_id: int,
    document: ReceiptDocument,
    base_id: int | None,
) -> None:
    keep(state, operation_id, kept(store, command.receipt, document, base_id))
    if base_id is not None:
        state.returns.setdefault(base_id, []).append(Returned(operation_id, document.returned, document.activity))
    state.see_till(store, command.receipt.till)


def _undoings(
    state: State, sale: ReceiptPosted, document: ReceiptDocument, counted: Sequence[Counted]
) -> list[_Undoing]:
    """The parts of the sale's shares that these lines undo, by the account where they live today."""
    by_number = {line.number: line for line in counted}
    drawn, gained = document.drawn, document.gained
    if not drawn and not gained and not document.loaded:
        drawn, gained = _spread(state, sale, document)
    found: dict[int, _Undoing] = {}
    for kind, some in (("drawn", drawn), ("gained", gained), ("loaded", document.loaded)):
        # What was paid last comes back first, a debt above all; what was earned is taken before what it repaid.
        for share, amount in undone(some[::-1] if kind == "drawn" else some, by_number):
            if amount:
                account, lot = living(state, share.account_id, share.lot_id)
                part = getattr(found.setdefault(account.id, _Undoing(account)), kind)
                part[lot.id] = part.get(lot.id, 0) + amount
    return list(found.values())


def _spread(state: State, sale: ReceiptPosted, document: ReceiptDocument) -> tuple[tuple[Share, ...], ...]:
    """The shares of a receipt from before they were kept: its entries, spread over its lines."""
    lines = lines_of(document.receipt)
    found: tuple[list[Share], list[Share]] = ([], [])
    for entry in state.booked[sale.operation_id]:
        if isinstance(entry, Booked) and entry.lot_id is not None:
            account = state.accounts_by_id[entry.account_id]
            (parts,) = spread_payments(lines, [abs(entry.amount)])
            move: Move = (account.lots[entry.lot_id], entry.amount)
            found[entry.amount > 0].extend(shares(entry.account_id, parts, [move]))
    return tuple(found[0]), tuple(found[1])


def _undo(
    state: State,
    sold_at: StoreInfo,
    sale_id: int | None,
    undoing: _Undoing,
    policy: str,
    numbers: dict[tuple[int, str], str],
    flags: list[str],
    plan: _Plan,
) -> None:
    """Give back and take back on one account; ``sale_id`` tells the sale, where there is one."""
    account = undoing.account
    booked = [(lot_id, -amount) for lot_id, amount in undoing.drawn.items()]
    booked += [(lot_id, amount) for part in (undoing.gained, undoing.loaded) for lot_id, amount in part.items()]
    unexpire(state, account, booked, sold_at, plan.effective_at)
    reversal = reverse(booked, account.lots, state.now)
    given, taken = sum(undoing.drawn.values()), sum(undoing.gained.values())
    loaded = sum(undoing.loaded.values())
    short = sum(reversal.owed.values())
    moves = [graced(state, account, move, sold_at, sale_id) if sale_id else move for move in reversal.moves]
    moves += [(state.spare(account, account.lots[i].issuer_id), amount) for i, amount in reversal.spare.items()]
    let_off = min(short, taken) if policy != POLICY_DEBT else 0
    if let_off:
        flags.append(DEDUCTED if policy == POLICY_DEDUCT else FORGIVEN)
        if policy == POLICY_DEDUCT:
            plan.keep_back_minor += _worth(account, reversal, let_off)
    if short > let_off:
        flags.append(DEBT)
        moves += _owing(state, account, reversal, let_off)
    else:
        moves += _repaid(account, moves, state.now)
    plan.postings += state.moved(account, moves)
    for kind, amount in ((REDEEMED, -given), (ISSUED, taken - let_off), (CASH, loaded)):
        plan.postings.append(state.system(sold_at.partner_id, kind, account.unit, amount))
    number = numbers.get((account.wallet_id, account.unit), "")
    plan.movements.append(movement(state, account, number, given, taken - let_off + loaded))


def _worth(account: Account, reversal: Reversal, amount: int) -> int:
    """What points settle at that nobody has any more, in minor money; each lot at its own price."""
    total = 0
    for lot_id, short in reversal.owed.items():
        part = min(short, amount)
        total += worth(part, account.lots[lot_id].price_millionths)
        amount -= part
    return total


def _owing(state: State, account: Account, reversal: Reversal, let_off: int) -> list[Move]:
    """The debts for what is short beyond what the policy lets off."""
    moves: list[Move] = []
    for lot_id, short in reversal.owed.items():
        part = min(short, let_off)
        let_off -= part
        if short > part:
            moves.append((state.debt(account, account.lots[lot_id].issuer_id, reversal.moves), part - short))
    return moves


def _repaid(account: Account, moves: Sequence[Move], now: datetime) -> list[Move]:
    """Debts of the account that are repaid from what has just come back; what has expired repays nothing."""
    net: dict[int, int] = {}
    lots: dict[int, Lot] = {}
    for lot, amount in moves:
        net[lot.id] = net.get(lot.id, 0) + amount
        lots[lot.id] = lot
    repaid = {lot_id: amount for lot_id, amount in net.items() if lots[lot_id].is_debt}
    found: list[Move] = []
    for lot_id, amount in net.items():
        if amount > 0 and not lots[lot_id].is_debt and not lots[lot_id].is_expired(now):
            found += repay(account.lots.values(), lots[lot_id], amount, repaid)
    return found


def _now(state: State, told: CardMovement) -> CardMovement:
    """The movement with the balances after everything was posted."""
    account = state.account(told.account, told.unit)
    return movement(state, account, told.card, told.redeemed, told.earned)


# Without a sale ----------------------------------------------------------------------------------------------


def _without_sale(state: State, command: ReturnReceipt, flags: list[str]) -> ReceiptReturned:
    """A return of something that we do not know: what each card gets back and loses is told, or worked out."""
    store = state.store(command.store)
    uses = [_use(state, command, ask, flags) for ask in command.cards]
    _work_out_losses(state, command, uses)
    plan = _Plan(happened_at(state, command))
    for use in uses:
        if use.card is None:
            plan.postings += _suspended(state, store, use)
    by_wallet: dict[int, list[Use]] = {}
    for use in uses:
        if use.card is not None:
            by_wallet.setdefault(use.card.wallet_id, []).append(use)
    for of_wallet in by_wallet.values():
        _undo_uses(state, store, command, of_wallet, flags, plan)
    operation_id = state.post(
        "return",
        store,
        plan.postings,
        effective_at=plan.effective_at,
        programme_version_id=next((use.active.version_id for use in uses if use.active), None),
        actor=command.actor,
        flags=flags,
        explanation=[{"rule": "return_without_sale", "keep_back_minor": plan.keep_back_minor}],
    )
    less = _less_turnover(state, store, command, uses, plan.effective_at)
    _keep(state, store, command, operation_id, ReceiptDocument(command.receipt, activity=less), None)
    return ReceiptReturned(
        operation_id=operation_id,
        at=state.now,
        cards=tuple(_now(state, told) for told in plan.movements),
        keep_back_minor=plan.keep_back_minor,
        flags=tuple(flags),
    )


def _less_turnover(
    state: State, store: StoreInfo, command: ReturnReceipt, uses: Sequence[Use], at: datetime
) -> tuple[Activity, ...]:
    """Take the money that comes back from the day of the return: nobody says in which sale it was counted.

    A sale that is named and not known has added nothing, and nothing is taken for it.
    """
    if _names_sale(command):
        return ()
    day = local_day(at, store.zone)
    spent = [
        Activity(use.card.wallet_id, day, use.programme.unit, turnover_minor=-use.ask.spend_minor)
        for use in uses
        if use.card is not None and use.programme is not None and use.ask.spend_minor > 0
        if not state.directory.product(use.card.product).value
    ]
    return visits.take(state, store, command.receipt, spent)


def _use(state: State, command: ReturnReceipt, ask: CardUse, flags: list[str]) -> Use:
    """A card's part, with what it gets back (``redeemed``) and loses (``gained``) as far as that is told.

    Errors: BadAmount; CardNotFound, for a fact the amounts go to suspense.
    """
    check_amounts(state.directory, ask)
    try:
        card = state.card(ask.refs)
    except CardNotFound:
        if not command.fact:
            raise
        flags.append(SUSPENSE_FLAG)
        card = None
    use = Use(ask, card, state.directory.programme_of(card.product) if card else None, True)
    add(use.redeemed, ask.redeem)
    add(use.gained, ask.earn or ())
    return use


def _work_out_losses(state: State, command: ReturnReceipt, uses: Sequence[Use]) -> None:
    """What nobody has told: what the programmes would give for these goods today, shared as in a sale."""
    if all(use.programme is None or use.ask.earn is not None for use in uses):
        return
    store = state.store(command.store)
    parts = [part_of(state.directory, use.ask, use.active, NOTHING_KNOWN, use.product) for use in uses]
    moment = Moment(store.code, state.now.astimezone(store.zone))
    receipt = completed(command.receipt, state.goods)
    for use, earning in zip(uses, decide(receipt, parts, moment).earnings, strict=True):
        if use.programme is not None and use.ask.earn is None:
            use.gained[use.programme.unit] = earning.amount


def _are_points(state: State, unit: str) -> bool:
    return state.directory.unit(unit).kind == POINTS


def _suspended(state: State, store: StoreInfo, use: Use) -> list[Posting]:
    postings: list[Posting] = []
    for unit in dict.fromkeys([*use.redeemed, *use.gained]):
        given, taken = use.redeemed.get(unit, 0), use.gained.get(unit, 0)
        for kind, amount in ((REDEEMED, -given), (ISSUED, taken), (SUSPENSE, given - taken)):
            postings.append(state.system(store.partner_id, kind, unit, amount))
    return postings


def _undo_uses(
    state: State, store: StoreInfo, command: ReturnReceipt, uses: Sequence[Use], flags: list[str], plan: _Plan
) -> None:
    """What the cards of one wallet get back and lose together; what comes back pays first for what is lost.

    In each unit by the rules of the first card that names it.
    """
    for unit in dict.fromkeys(unit for use in uses for unit in (*use.redeemed, *use.gained)):
        card, active = next((use.card, use.active) for use in uses if unit in (*use.redeemed, *use.gained))
        assert card is not None
        assert active is not None
        account = state.account(card.wallet_id, unit)
        terms = _terms(state, store, card, active.programme, unit)
        price = price_of(active.programme if active.programme.unit == unit else None)
        lot = state.open_lot(account, store.partner_id, terms.available_from, terms.expires_at, price)
        undoing = _Undoing(account)
        undoing.drawn[lot.id] = sum(use.redeemed.get(unit, 0) for use in uses)
        undoing.gained[lot.id] = sum(use.gained.get(unit, 0) for use in uses)
        told_as = {(card.wallet_id, unit): card.number}
        _undo(state, store, None, undoing, _policy(active, command), told_as, flags, plan)


def _terms(state: State, store: StoreInfo, card: Card, programme: Programme, unit: str) -> LotTerms:
    """What comes back was there when it paid, and is there at once; it ends as if it were given today."""
    at_once = money_terms(state, store, card, state.now)
    if not _are_points(state, unit):
        return at_once
    ours = programme if programme.unit == unit else None
    return LotTerms(at_once.available_from, lot_terms(ours, store.zone, state.now).expires_at)
