"""Limits of programmes: how much may happen in a day or calendar month, per card, till, cashier, store and partner.

What a card did its wallet's activity tells, under the wallet's lock. For the others sums by day are added to without
being locked: nobody waits for a store's row, and two processes that post at the same moment may together go beyond a
limit by what is under way. A limit that blocks refuses requests; facts, and everything beyond a limit that alerts, are
flagged ``over_limit:<name>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from processing import tables
from processing.activity import Activity
from processing.commands import Receipt
from processing.database import Row, Statement
from processing.programme.document import Limit
from processing.programme.facts import next_period, period_start

TALLIES = Statement(
    """
    SELECT subject, day, turnover_minor, receipts, earned, redeemed FROM tally
    WHERE subject IN_TEXTS(:subjects) AND day >= CAST(:since AS DATE)
    """,
    *tables.tally.c.values(),
    sqlite="""
    SELECT subject, day, turnover_minor, receipts, earned, redeemed FROM tally
    WHERE subject IN_TEXTS(:subjects) AND day >= :since
    """,
)
MEASURES = ("turnover", "receipts", "earned", "redeemed")


@dataclass(slots=True)
class Tallies:
    """What subjects have done this month, as far as a batch asks for it, and what the batch adds."""

    seen: dict[tuple[str, date], list[int]] = field(default_factory=dict)
    added: dict[tuple[str, date], list[int]] = field(default_factory=dict)

    def learn(self, rows: Iterable[Row]) -> None:
        for subject, day, *sums in rows:
            self.seen[subject, day] = sums

    def used(self, subject: str, limit: Limit, today: date) -> int:
        """What of a limit is used up."""
        first, end = today, today + timedelta(days=1)
        if limit.every == "month":
            # A late fact counts beside what its month has seen since.
            first, end = period_start("month", today), next_period("month", today)
        place = MEASURES.index(limit.of)
        return sum(sums[place] for (of, day), sums in self.seen.items() if of == subject and first <= day < end)

    def add(self, subjects: Iterable[str], done: Sequence[Activity], units: Mapping[str, Any]) -> None:
        """Add what a receipt did to each subject: once, however many cards it names."""
        by_day: dict[date, list[int]] = {}
        for each in done:
            if each.name in units:
                sums = by_day.setdefault(each.day, [0, 0, 0, 0])
                visit = (each.visits > 0) - (each.visits < 0)
                sums[1] = sums[1] or visit
                for place, amount in ((0, each.turnover_minor), (2, each.earned), (3, each.redeemed)):
                    sums[place] += amount
        for subject in subjects:
            for day, sums in by_day.items():
                for kept in (self.seen, self.added):
                    before = kept.get((subject, day), [0, 0, 0, 0])
                    kept[subject, day] = [a + b for a, b in zip(before, sums, strict=True)]

    def rows(self) -> list[dict[str, Any]]:
        names = ("turnover_minor", "receipts", "earned", "redeemed")
        return [
            {"subject": subject, "day": day, **dict(zip(names, sums, strict=True))}
            for (subject, day), sums in sorted(self.added.items())
            if any(sums)
        ]


def subjects(store_id: int, partner_id: int, receipt: Receipt) -> dict[str, str]:
    """Whose limits a receipt counts towards, by what a limit calls them; a cashier only where the till tells one."""
    found = {
        "store": f"store:{store_id}",
        "partner": f"partner:{partner_id}",
        "till": f"till:{store_id}/{receipt.till}",
    }
    return found | ({"cashier": f"cashier:{store_id}/{receipt.cashier}"} if receipt.cashier else {})
