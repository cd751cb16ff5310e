"""What is known of a wallet and its holder: sums of their past by day, and what rules see of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import msgspec

from processing.programme.document import Window


class Day(msgspec.Struct, frozen=True, array_like=True):
    """What a wallet did on a day of the store: own money for goods, visits, points of one unit earned and paid with."""

    day: date
    turnover_minor: int = 0
    visits: int = 0
    earned: int = 0
    redeemed: int = 0


class History(msgspec.Struct, frozen=True):
    """``days`` in order. ``once``: (rule, day) of what was given once. ``birthday``: where a programme asks for it."""

    days: tuple[Day, ...] = ()
    once: tuple[tuple[str, date], ...] = ()
    birthday: date | None = None

    def last_visit(self) -> date | None:
        return max((day.day for day in self.days if day.visits > 0), default=None)

    def total(self, measure: str, first: date | None = None, last: date | None = None) -> int:
        """The sum of a measure (``turnover``, ``points``, ``visits``, ``redeemed``) over days, ends included."""
        return sum(
            _MEASURES[measure](day)
            for day in self.days
            if (first is None or day.day >= first) and (last is None or day.day <= last)
        )


_MEASURES = {
    "turnover": lambda day: day.turnover_minor,
    "points": lambda day: day.earned,
    "earned": lambda day: day.earned,
    "visits": lambda day: day.visits,
    "receipts": lambda day: day.visits,
    "redeemed": lambda day: day.redeemed,
}


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What rules see, and what an operation keeps of it, so that its decision can be worked out again.

    ``turnover`` by window (``code``). ``birthday``: the spans, (days before, days after), in which it is now; the date
    itself is not kept. ``once``: rules that have given already. ``used``: of each limit.
    """

    tier: str = ""
    turnover: dict[str, int] = {}
    is_first: bool = False
    birthday: tuple[tuple[int, int], ...] = ()
    once: tuple[str, ...] = ()
    earned_today: int = 0
    earned_this_month: int = 0
    used: dict[str, int] = {}


NOTHING_KNOWN = Facts()


def code(window: Window) -> str:
    """A window's name among facts: ``365 days``, ``month``, ``all``."""
    return f"{window.days} days" if window.days else window.period or "all"


def first_day(window: Window, today: date) -> date | None:
    """Where a window begins that ends today; ``None``: with the first purchase ever."""
    if window.days:
        return today - timedelta(days=window.days - 1)
    return None if window.period is None else period_start(window.period, today)


def period_start(period: str, day: date) -> date:
    """The first day of the calendar month, quarter or year."""
    month = {"month": day.month, "quarter": (day.month - 1) // 3 * 3 + 1, "year": 1}[period]
    return date(day.year, month, 1)


def next_period(period: str, day: date) -> date:
    """The first day after it."""
    months = {"month": 1, "quarter": 3, "year": 12}[period]
    start = period_start(period, day)
    after = start.month - 1 + months
    return date(start.year + after // 12, after % 12 + 1, 1)


def near(birthday: date | None, span: tuple[int, int], today: date) -> bool:
    """Whether today lies within so many days before and after the birthday; 29 February is kept on 1 March."""
    if birthday is None:
        return False
    return any(
        -span[1] <= (_in_year(birthday, year) - today).days <= span[0]
        for year in (today.year - 1, today.year, today.year + 1)
    )


def _in_year(birthday: date, year: int) -> date:
    try:
        return birthday.replace(year=year)
    except ValueError:
        return date(year, 3, 1)


def once_name(programme: str, rule: str) -> str:
    """Under what a wallet's day tells that a rule has given which gives once; programmes may name rules alike."""
    return f"{programme}/{rule}"


def given(history: History, programme: str, rules: Iterable[tuple[str, str]], today: date) -> tuple[str, ...]:
    """Which of these (rule, once) have given already: ever, or in this calendar year."""
    return tuple(
        rule
        for rule, once in rules
        if any(
            name == once_name(programme, rule) and (once == "ever" or day.year == today.year)
            for name, day in history.once
        )
    )


def turnovers(history: History, windows: Sequence[Window], today: date) -> dict[str, int]:
    return {code(window): history.total("turnover", first_day(window, today), today) for window in windows}
