"""Quote: what PostReceipt would do with a receipt now. The rules are asked, and nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from processing.allocation import lines_of, weights
from processing.cards import why_unusable
from processing.chain import Programme
from processing.commands import MAX_CARDS, MAX_LINES, CardUse, Line, Quote, ReadHold, Receipt
from processing.database import Row
from processing.errors import BadAmount, HoldEnded, HoldNotFound, TooLarge
from processing.faces import balances_of, faces_of_cards
from processing.plans import NOT_USABLE, check_amounts, part_of
from processing.programme import Decision, Earning, Part, decide, payable, payable_total
from processing.reading import Reading
from processing.records import read_hold
from processing.results import Balance, Quoted, QuotedCard, QuotedLine
from processing.units import MAX_AMOUNT, spread


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

    def earned(self, earning: Earning) -> int:
        """In the programme's unit: what the till has computed, else what the rules say."""
        if self.usable:
            return 0
        if self.ask.earn is None:
            return earning.amount
        return sum(amount.amount for amount in self.ask.earn if amount.unit == self.programme.unit)


def quote(reading: Reading, query: Quote) -> Quoted:
    """Per line and card what could be paid with points and what would be earned.

    A card that can not be used is told of, and the receipt goes on without it.
    Errors: ForeignStore, CardNotFound, HoldNotFound, HoldEnded, UnitNotFound, BadAmount, TooLarge.
    """
    reading.work.directory.store(query.store)
    _check(reading, query)
    ids = [reading.card(ask.refs).card_id for ask in query.cards]
    rows = faces_of_cards(reading, ids)
    uses = [_use(reading, query.store, ask, rows[card_id]) for ask, card_id in zip(query.cards, ids, strict=True)]
    decision = decide(query.receipt, [_part(reading, use) for use in uses])
    limits = [0 if use.usable else _limit(use.programme, query.receipt) for use in uses]
    return Quoted(
        at=reading.now,
        total_minor=query.receipt.total_minor,
        lines=_lines(query.receipt.lines, uses, decision, max(limits, default=0)),
        cards=tuple(
            QuotedCard(
                card=use.number,
                account=use.account,
                unit=use.programme.unit,
                scale=use.balance.scale,
                available=use.balance.available,
                payable=min(max(use.balance.available, 0) + use.held, limit),
                earned=use.earned(earning),
                usable=use.usable,
            )
            for use, earning, limit in zip(uses, decision.earnings, limits, strict=True)
        ),
        explanation=tuple(
            _story(use, earning, story)
            for use, earning, story in zip(uses, decision.earnings, decision.explanation, strict=True)
        ),
    )


def _check(reading: Reading, query: Quote) -> None:
    """What PostReceipt refuses before it looks at anything. Errors: TooLarge, BadAmount, UnitNotFound."""
    if len(query.receipt.lines) > MAX_LINES or len(query.cards) > MAX_CARDS:
        raise TooLarge("too many lines or cards", where="receipt")
    if abs(query.receipt.total_minor) > MAX_AMOUNT:
        raise BadAmount("the receipt's total is too large", where="total_minor")
    for ask in query.cards:
        check_amounts(reading.work.directory, ask)


def _use(reading: Reading, store: str, ask: CardUse, rows: Sequence[Row]) -> _Use:
    """Errors: HoldNotFound, HoldEnded."""
    number, status, product, expires_at, wallet_id, *_ = rows[0]
    programme = reading.work.directory.programme_of(product).programme
    balances = {balance.unit: balance for balance in balances_of(reading, rows)}
    nothing = Balance(unit=programme.unit, scale=reading.scale(programme.unit), balance=0, available=0)
    refusal = why_unusable(status, expires_at, reading.now)
    return _Use(
        ask,
        number,
        wallet_id,
        programme,
        balances.get(programme.unit, nothing),
        refusal.code if refusal else "",
        _held(reading, ReadHold(store=store, key=ask.hold), wallet_id, programme.unit) if ask.hold else 0,
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
    """As a purchase tells it to the rules; a card that is not usable pays nothing."""
    ask = structs.replace(use.ask, redeem=()) if use.usable else use.ask
    return part_of(reading.work.directory, ask, use.programme)


def _limit(programme: Programme, receipt: Receipt) -> int:
    """The most that points may pay of the receipt, and no more than its goods cost."""
    limit = payable(programme, payable_total(receipt))
    return min(limit, sum(weights(lines_of(receipt))))


def _lines(lines: Sequence[Line], uses: Sequence[_Use], decision: Decision, limit: int) -> tuple[QuotedLine, ...]:
    """The limit spread over the goods, and what the rules give for each; a till's own figure belongs to no line."""
    costs = weights(lines)
    parts = spread(limit, costs) if any(costs) else costs
    earned: Counter[int] = Counter()
    for use, earning in zip(uses, decision.earnings, strict=True):
        if not use.usable and use.ask.earn is None:
            for number, amount in earning.lines:
                earned[number] += amount
    # Where a till gives a number twice, what both earn is told with the first.
    return tuple(
        QuotedLine(number=line.number, discount_minor=0, payable_minor=part, earned=earned.pop(line.number, 0))
        for line, part in zip(lines, parts, strict=True)
    )


def _story(use: _Use, earning: Earning, story: dict[str, Any]) -> dict[str, Any]:
    """The rules that fired, as the operation would keep them."""
    told: dict[str, Any] = {"card": use.number[-4:], **story}
    if use.usable:
        return told | {"rule": NOT_USABLE, "earned": 0}
    if use.ask.earn is not None:
        told |= {"rule": "till_computed", "rules_say": story["earned"], "earned": use.earned(earning)}
    return told
