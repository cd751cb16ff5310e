"""When points can be spent and when they expire, in whole days of the store. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from processing.programme.compiled import Programme
from processing.programme.document import Expiry
from processing.programme.facts import next_period

NEVER = Expiry()


class LotTerms(msgspec.Struct, frozen=True):
    """When an accrual becomes available and when it expires."""

    available_from: datetime
    expires_at: datetime | None


def lot_terms(programme: Programme | None, zone: ZoneInfo, at: datetime) -> LotTerms:
    """The terms of points accrued at this instant; without a programme they are there at once and for ever."""
    if programme is None:
        return day_terms(zone, at)
    return terms(zone, at, programme.document.points.pending_days, programme.expires)


def terms(zone: ZoneInfo, at: datetime, pending_days: int, expires: Expiry) -> LotTerms:
    """Terms in whole days of the store, so that equal lots of a day merge.

    Available from the start of the day ``pending_days`` ahead; expires at the end of the last day that ``expires``
    makes of that one.
    """
    return _terms(zone, at.astimezone(zone).date(), pending_days, expires)


def day_terms(zone: ZoneInfo, at: datetime, pending_days: int = 0, expires_days: int | None = None) -> LotTerms:
    """The same for a number of days; ``None``: for ever."""
    return terms(zone, at, pending_days, NEVER if expires_days is None else Expiry(days=expires_days))


@lru_cache(maxsize=1024)
def _terms(zone: ZoneInfo, day: date, pending_days: int, expires: Expiry) -> LotTerms:
    first = day + timedelta(days=pending_days)
    end = None
    if expires.period is not None:
        end = next_period(expires.period, first) + timedelta(days=expires.extra_days)
    elif expires.days is not None:
        end = first + timedelta(days=expires.days + expires.extra_days + 1)
    return LotTerms(_midnight(first, zone), None if end is None else _midnight(end, zone))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
