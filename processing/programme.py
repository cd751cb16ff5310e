"""What a programme says about a receipt: one pure function from facts to a decision with its explanation.

The first, simple programme: cashback in percent, the part payable with points, excluded categories, a minimum
price, pending days and expiry. A full rule engine will take the place of ``decide``; its callers see only
``Decision``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from processing.allocation import GOODS, lines_of, weights
from processing.chain import Programme
from processing.commands import Line, Receipt
from processing.units import percent_of, proportion, spread


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One card's part in a receipt: the holder's own money decides how the accrual is shared."""

    programme: Programme
    spend_minor: int
    redeemed_minor: int


class Earning(msgspec.Struct, frozen=True, kw_only=True):
    """What one part earns, and by which lines: (line number, amount) pairs that sum to it."""

    amount: int
    lines: tuple[tuple[int, int], ...]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """``earnings`` and ``explanation`` in the order of the parts."""

    earnings: tuple[Earning, ...]
    explanation: tuple[dict[str, Any], ...]


class LotTerms(msgspec.Struct, frozen=True):
    """When an accrual becomes available and when it expires."""

    available_from: datetime
    expires_at: datetime | None


def decide(receipt: Receipt, parts: Sequence[Part]) -> Decision:
    """What the parts of a receipt earn.

    Points are earned on the holder's own money: what purses have paid is spread over all lines first and
    leaves the base. Each line counts when the programme lets it. Rounds down, once per part.
    """
    lines = lines_of(receipt)
    sums = weights(lines)
    redeemed = min(sum(part.redeemed_minor for part in parts), sum(sums))
    own_money = (
        [total - points for total, points in zip(sums, spread(redeemed, sums), strict=True)] if redeemed else sums
    )
    shares = _shares([part.spend_minor for part in parts])
    earnings, explanation = [], []
    for part, (weight, whole) in zip(parts, shares, strict=True):
        earning, story = _earn(part.programme, lines, own_money, weight, whole)
        earnings.append(earning)
        explanation.append(story)
    return Decision(earnings=tuple(earnings), explanation=tuple(explanation))


def _shares(spends: Sequence[int]) -> list[tuple[int, int]]:
    """Each part's share of the base as (numerator, denominator); without any spending the first takes all."""
    whole = sum(max(spend, 0) for spend in spends)
    if whole == 0:
        return [(1 if i == 0 else 0, 1) for i in range(len(spends))]
    return [(max(spend, 0), whole) for spend in spends]


def _earn(
    programme: Programme, lines: Sequence[Line], own_money: Sequence[int], weight: int, whole: int
) -> tuple[Earning, dict[str, Any]]:
    """What one programme gives for its share of the lines, and why."""
    story: dict[str, Any] = {"rule": "cashback", "percent_hundredths": programme.cashback_hundredths}
    bases = []
    for line, money in zip(lines, own_money, strict=True):
        reason = _why_not(programme, line)
        if reason:
            story.setdefault(reason, []).append(line.number)
        bases.append(0 if reason else money)
    base = proportion(sum(bases), weight, whole)
    amount = percent_of(base, programme.cashback_hundredths)
    story |= {"base_minor": base, "earned": amount}
    parts = zip(lines, spread(amount, bases), strict=True)
    return Earning(amount=amount, lines=tuple((line.number, earned) for line, earned in parts if earned)), story


def _why_not(programme: Programme, line: Line) -> str:
    """Why a line earns nothing; empty when it earns."""
    if line.kind != GOODS:
        return "loads_value"
    if line.category and line.category in programme.excluded_categories:
        return "excluded_category"
    if line.price_minor < programme.minimum_price_minor:
        return "below_minimum_price"
    return ""


def payable(programme: Programme, total_minor: int) -> int:
    """The most of a receipt that points may pay; rounds down."""
    return percent_of(max(total_minor, 0), programme.payable_hundredths)


def payable_total(receipt: Receipt) -> int:
    """What of a receipt points may pay at all: lines that load value on a card are paid with money."""
    return receipt.total_minor - sum(weights(receipt.lines, is_goods=False))


def lot_terms(programme: Programme | None, zone: ZoneInfo, at: datetime) -> LotTerms:
    """The terms of points accrued at this instant; without a programme they are there at once and for ever."""
    if programme is None:
        return day_terms(zone, at)
    return day_terms(zone, at, programme.pending_days, programme.expires_days)


def day_terms(zone: ZoneInfo, at: datetime, pending_days: int = 0, expires_days: int | None = None) -> LotTerms:
    """Terms in whole days of the store, so that equal lots of a day merge.

    Available from the start of the day ``pending_days`` ahead; expires at the end of the day ``expires_days``
    after that.
    """
    return _day_terms(zone, at.astimezone(zone).date(), pending_days, expires_days)


@lru_cache(maxsize=1024)
def _day_terms(zone: ZoneInfo, day: date, pending_days: int, expires_days: int | None) -> LotTerms:
    first = day + timedelta(days=pending_days)
    last = None if expires_days is None else first + timedelta(days=expires_days + 1)
    return LotTerms(_midnight(first, zone), None if last is None else _midnight(last, zone))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
