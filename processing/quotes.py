"""Quote: what PostReceipt would do with a receipt now. The rules are asked, and nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from processing import goods
from processing.allocation import lines_of, numbered, payable_total
from processing.cards import why_unusable
from processing.commands import MAX_CARDS, MAX_LINES, CardUse, ExplainQuote, Line, Quote, ReadHold, Receipt
from processing.database import Row, array
from processing.errors import BadAmount, HoldEnded, HoldNotFound, TooLarge
from processing.faces import balances_of, faces_of_cards, wallet_of, with_own
from processing.goods import completed
from processing.paid_lines import paid_lines
from processing.plans import NOT_USABLE, TILL_COMPUTED, add, check_amounts, part_of
from processing.programme.compiled import Moment, Programme
from processing.programme.decide import Decision, Earning, Part, decide
from processing.programme.facts import Facts
from processing.programme.payment import Payable, allowed, payable
from processing.reading import Reading
from processing.records import read_hold
from processing.results import Balance, PaidLine, Quoted, QuotedCard, QuotedLine
from processing.units import MAX_AMOUNT, points_worth
from processing.wording import card_texts


@dataclass(frozen=True, slots=True)
class _Use:
    """One card's part in a receipt. ``usable`` is empty, or why the card neither pays nor earns."""

    ask: CardUse
    number: str
    account: int
    programme: Programme
    balance: Balance
    usable: str
    # What a hold that the receipt names has set aside for it.
    held: int
    product: str
    facts: Facts

    def earned(self, earning: Earning) -> int:
        """In the programme's unit: what the till has computed, else what the rules say."""
        if self.usable:
            return 0
        if self.ask.earn is None:
            return earning.amount
        return sum(amount.amount for amount in self.ask.earn if amount.unit == self.programme.unit)


@dataclass(frozen=True, slots=True)
class Decided:
    """What the rules say of a receipt that is not closed yet, and what they looked at."""

    uses: list[_Use]
    parts: list[Part]
    receipt: Receipt
    moment: Moment
    decision: Decision


def decided(reading: Reading, query: Quote | ExplainQuote) -> Decided:
    """Errors: as Quote."""
    store = reading.work.directory.store(query.store)
    _check(reading, query)
    ids = [reading.card(ask.refs).card_id for ask in query.cards]
    rows = faces_of_cards(reading, ids)
    reading.look_back(wallet_of(each) for each in rows.values())
    uses = [_use(reading, query, ask, rows[card_id]) for ask, card_id in zip(query.cards, ids, strict=True)]
    moment = Moment(store.code, reading.now.astimezone(store.zone))
    # The till's own line numbers are told back; ours tell its lines apart.
    receipt = completed(numbered(query.receipt), _goods(reading, query.receipt))
    parts = [_part(reading, use) for use in uses]
    return Decided(uses, parts, receipt, moment, decide(receipt, parts, moment, is_final=False))


def _goods(reading: Reading, receipt: Receipt) -> Mapping[str, goods.Known]:
    """What is known of goods of which the till tells no category."""
    values = sorted(goods.wanted(reading.work.directory, (receipt,)))
    return goods.told(reading.rows(goods.KNOWN, values=array(values))) if values else {}


def quote(reading: Reading, query: Quote) -> Quoted:
    """Per line and card what could be paid with points and what would be earned.

    A card that can not be used is told of, and the receipt goes on without it.
    Errors: ForeignStore, CardNotFound, HoldNotFound, HoldEnded, UnitNotFound, BadAmount, TooLarge.
    """
    found = decided(reading, query)
    uses, receipt, decision = found.uses, found.receipt, found.decision
    limits = [_NOTHING if use.usable else _limit(use, receipt, decision) for use in uses]
    return Quoted(
        at=reading.now,
        total_minor=receipt.total_minor - decision.discount_minor,
        discount_minor=decision.discount_minor,
        lines=_lines(query.receipt.lines, receipt.lines, uses, decision, limits),
        cards=tuple(
            QuotedCard(
                card=use.number,
                account=use.account,
                unit=use.programme.unit,
                scale=use.balance.scale,
                available=use.balance.available,
                payable=_payable(use, limit.points),
                earned=use.earned(earning),
                usable=use.usable,
                tier=use.facts.tier,
                programme=use.programme.code,
                texts=() if use.usable else card_texts(reading, use.programme, story, False, use.account, query.store),
            )
            for use, earning, limit, story in zip(uses, decision.earnings, limits, decision.explanation, strict=True)
        ),
        explanation=tuple(
            _story(use, earning, story)
            for use, earning, story in zip(uses, decision.earnings, decision.explanation, strict=True)
        ),
        paid=_paid(reading, found),
    )


def _paid(reading: Reading, found: Decided) -> tuple[PaidLine, ...]:
    """What cards would pay of each line with our discounts taken off, as the receipt will be told."""
    off = dict(zip((line.number for line in found.decision.lines), found.decision.discounts, strict=True))
    lines = [structs.replace(line, sum_minor=line.sum_minor - off[line.number]) for line in lines_of(found.receipt)]
    paying = []
    for use in found.uses:
        redeemed: dict[str, int] = {}
        add(redeemed, () if use.usable else use.ask.redeem)
        paying.append((use.account, use.programme, redeemed))
    return paid_lines(reading.work.directory, lines, paying)


_NOTHING = Payable(0, 0)


def _payable(use: _Use, limit: int) -> int:
    """The most that the card may pay with what it has, in the programme's steps."""
    said = use.programme.document.payment
    free = max(use.balance.available, 0) + use.held
    if free < said.least:
        return 0
    before = points_worth(use.ask.paid_minor, use.programme.point_price_millionths)
    most = max(min(free, limit - before, allowed(use.programme, use.facts)), 0)
    return most - most % said.step


def _check(reading: Reading, query: Quote | ExplainQuote) -> None:
    """What PostReceipt refuses before it looks at anything. Errors: TooLarge, BadAmount, UnitNotFound."""
    if len(query.receipt.lines) > MAX_LINES or len(query.cards) > MAX_CARDS:
        raise TooLarge("too many lines or cards", where="receipt")
    if abs(query.receipt.total_minor) > MAX_AMOUNT:
        raise BadAmount("the receipt's total is too large", where="total_minor")
    for ask in query.cards:
        check_amounts(reading.work.directory, ask)


def _use(reading: Reading, query: Quote | ExplainQuote, ask: CardUse, rows: Sequence[Row]) -> _Use:
    """Errors: HoldNotFound, HoldEnded."""
    number, status, product, expires_at, wallet_id, *_ = rows[0]
    programme = reading.work.directory.programme_of(product).programme
    owner = getattr(query, "owner", "")
    told = with_own(reading, balances_of(reading, rows), wallet_id, query.store, owner)
    balances = {balance.unit: balance for balance in told}
    nothing = Balance(unit=programme.unit, scale=reading.scale(programme.unit), balance=0, available=0)
    refusal = why_unusable(status, expires_at, reading.now)
    return _Use(
        ask,
        number,
        wallet_id,
        programme,
        balances.get(programme.unit, nothing),
        refusal.code if refusal else "",
        _held(reading, ReadHold(store=query.store, key=ask.hold), wallet_id, programme.unit) if ask.hold else 0,
        product,
        reading.pasts.facts(wallet_id, programme, reading.today(query.store)),
    )


def _held(reading: Reading, query: ReadHold, wallet_id: int, unit: str) -> int:
    """What a hold of this wallet pins of the unit; nothing once its deadline has passed."""
    hold = read_hold(reading, query)
    if hold.account != wallet_id:
        raise HoldNotFound("the hold is another card's")
    if hold.state in ("captured", "released"):
        raise HoldEnded("the hold has ended", state=hold.state)
    return hold.amount if hold.state == "open" and hold.unit == unit else 0


def _part(reading: Reading, use: _Use) -> Part:
    """As a purchase tells it to the rules; a card that is not usable pays nothing, and has no rules of its own."""
    if use.usable:
        ask = structs.replace(use.ask, redeem=())
        return part_of(reading.work.directory, ask, None, use.facts, use.product)
    active = reading.work.directory.programmes[use.programme.code]
    return part_of(reading.work.directory, use.ask, active, use.facts, use.product)


def _limit(use: _Use, receipt: Receipt, decision: Decision) -> Payable:
    """The most that points may pay of the receipt, and no more than its goods cost after discounts."""
    total = payable_total(receipt) - decision.discount_minor
    return payable(use.programme, decision.lines, decision.prices, total, use.facts)


def _lines(
    told: Sequence[Line], numbered: Sequence[Line], uses: Sequence[_Use], decision: Decision, limits: Sequence[Payable]
) -> tuple[QuotedLine, ...]:
    """What the rules take off each line and give for it, and the greatest limit by line.

    A till's own figure of points belongs to no line.
    """
    if not told:
        return ()
    numbers = [line.number for line in decision.lines]
    most = max(limits, key=lambda limit: limit.points, default=_NOTHING)
    paid = dict(zip(numbers, most.lines, strict=True)) if most.lines else {}
    off = dict(zip(numbers, decision.discounts, strict=True))
    earned: Counter[int] = Counter()
    earning_use = next((use for use in uses if not use.usable and use.ask.earn is None), None)
    unit, scale = (earning_use.programme.unit, earning_use.balance.scale) if earning_use else ("", 0)
    for use, earning in zip(uses, decision.earnings, strict=True):
        if not use.usable and use.ask.earn is None and use.programme.unit == unit:
            for portion in earning.portions:
                for number, amount in portion.lines:
                    earned[number] += amount
    return tuple(
        QuotedLine(
            number=line.number,
            discount_minor=off.get(ours.number, 0),
            payable_minor=paid.get(ours.number, 0),
            earned=earned[ours.number],
            unit=unit,
            scale=scale,
        )
        for line, ours in zip(told, numbered, strict=True)
    )


def _story(use: _Use, earning: Earning, story: dict[str, Any]) -> dict[str, Any]:
    """The rules that fired, as the operation would keep them."""
    told: dict[str, Any] = {"card": use.number[-4:], **story}
    if use.usable:
        return told | {"decided": NOT_USABLE, "earned": 0}
    if use.ask.earn is not None:
        told |= {"decided": TILL_COMPUTED, "rules_say": story["earned"], "earned": use.earned(earning)}
    return told
