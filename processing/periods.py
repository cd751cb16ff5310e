"""Periods of account: whole days of one time zone, by ``booked_at``.

``booked_at`` is the database's clock at the moment of booking and never lies before what is booked already. So a
period that is over gets no more entries: a fact that arrives late, and happened in it, is of the day when it came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from processing.chores import ROLL_UP_MARGIN
from processing.directory import Directory
from processing.errors import BadMessage

# A year, also a leap one.
MAX_PERIOD_DAYS = 366
# What one statement of a report reads.
SLICE = timedelta(days=1)
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2100, 1, 1)


@dataclass(frozen=True, slots=True)
class Period:
    """From midnight of the first day until midnight of the last one, which is no part of it."""

    first: date
    until: date
    zone: ZoneInfo

    @property
    def begins_at(self) -> datetime:
        return datetime.combine(self.first, time(), self.zone)

    @property
    def ends_at(self) -> datetime:
        return datetime.combine(self.until, time(), self.zone)

    def is_final(self, now: datetime) -> bool:
        """Whether nothing can be booked in it any more."""
        return self.ends_at + ROLL_UP_MARGIN <= now


def period_of(directory: Directory, first: date, until: date, zone: str = "") -> Period:
    """The period of a report; without a zone its days are those of the chain's first store.

    All partners have the same days, wherever their stores are: what one owes is what another is owed.
    Errors: BadMessage, naming the field: ``from``, ``to``, ``zone``.
    """
    if zone and zone not in available_timezones():
        raise BadMessage("expected an IANA time zone such as Europe/Moscow", where="zone", value=zone[:64])
    if not FIRST_DAY <= first < LAST_DAY:
        raise BadMessage("must lie between the years 2000 and 2100", where="from")
    if not first < until <= LAST_DAY:
        raise BadMessage("a period ends after it begins: the day named by to is no part of it", where="to")
    if (until - first).days > MAX_PERIOD_DAYS:
        raise BadMessage(f"a period has at most {MAX_PERIOD_DAYS} days", where="to")
    return Period(first, until, ZoneInfo(zone) if zone else first_zone(directory))


def first_zone(directory: Directory) -> ZoneInfo:
    """The time zone of the chain's first store."""
    stores = sorted(directory.stores.values(), key=lambda store: store.id)
    return stores[0].zone if stores else ZoneInfo("UTC")


def slices(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """A span cut into parts that one statement reads each."""
    while since < until:
        upto = min(since + SLICE, until)
        yield since, upto
        since = upto
