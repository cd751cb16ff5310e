"""What links did lately: the last exchange of each, and an hour's and a day's counts, from the exchange log; and
of links that only send, from the attempts of their messages.

Everything is bounded: beyond RECENT_ROWS rows of the whole log only the newest are counted, and the page says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, String, case, column, func, select, values

from gateway.console.words import ANSWERED, DELIVERED, OK, SENT, kind_of
from processing.tables import exchange_log, outbox_attempt

HOUR = timedelta(hours=1)
HOURS = 24
RECENT_ROWS = 50_000
PERCENT = 95

_log = exchange_log.c
# Outcomes, of both tables, that nobody has to look at; and those of them that are a plain yes.
_FINE = ANSWERED | SENT
_YES = frozenset({OK, DELIVERED})


@dataclass(frozen=True, slots=True)
class Last:
    """A link's last exchange."""

    id: int
    at: datetime
    outcome: str
    route: str


@dataclass(frozen=True, slots=True)
class Figures:
    """A link's last hour. ``errors`` are all outcomes that are no answer; ``p95_us`` None: nothing was said."""

    exchanges: int = 0
    errors: int = 0
    refused: int = 0
    p95_us: int | None = None
    last: Last | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour of a link: how many exchanges, and how many of them were no answer."""

    begins: datetime
    exchanges: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Recent:
    """All links' last hour and day. ``since``: from when on they were counted, if that is less than an hour ago."""

    by_link: dict[str, Figures] = field(default_factory=dict)
    bars: dict[str, list[Bar]] = field(default_factory=dict)
    since: datetime | None = None

    def of(self, link: str) -> Figures:
        return self.by_link.get(link, Figures())


def recent(connection: Connection, links: Collection[str], now: datetime) -> Recent:
    """What these links were asked in the hour before ``now``, and in the 24 before it."""
    lasts = _lasts(connection, links)
    found = {link: Figures(last=last) for link, last in lasts.items()}
    floor = _floor(connection, _log)
    for link, told in _hour(connection, _log, floor, links, now).items():
        found[link] = replace(told, last=lasts.get(link))
    return Recent(found, _day(connection, _log, floor, links, now), _since(connection, floor, now))


def sent(connection: Connection, links: Collection[str], now: datetime) -> Recent:
    """The same of what these links tried to send; ``refused`` are those that the far side was not ready for."""
    table = outbox_attempt.c
    floor = _floor(connection, table)
    return Recent(_hour(connection, table, floor, links, now), _day(connection, table, floor, links, now))


def _hour(connection: Connection, table: Any, floor: int, links: Collection[str], now: datetime) -> dict[str, Figures]:
    ranked = (
        select(
            table.link,
            table.outcome,
            table.took_us,
            func.row_number().over(partition_by=table.link, order_by=table.took_us).label("place"),
            func.count().over(partition_by=table.link).label("of"),
        )
        .where(table.link.in_(links), table.at >= now - HOUR, table.id >= floor)
        .subquery()
    )
    row = ranked.c
    counted = select(
        row.link,
        func.count(),
        func.sum(case((row.outcome.in_(_FINE), 0), else_=1)),
        func.sum(case((row.outcome.in_(_YES), 0), (row.outcome.in_(_FINE), 1), else_=0)),
        func.min(case((row.place * 100 >= row.of * PERCENT, row.took_us))),
    ).group_by(row.link)
    return {row[0]: Figures(row[1], int(row[2]), int(row[3]), row[4]) for row in connection.execute(counted)}


def _day(connection: Connection, table: Any, floor: int, links: Collection[str], now: datetime) -> dict[str, list[Bar]]:
    """Of each link that did anything its last 24 hours, the oldest first."""
    edges = [now - HOUR * n for n in range(HOURS, 0, -1)]
    hour = case(*((table.at > edge, n) for n, edge in reversed(list(enumerate(edges)))), else_=-1).label("hour")
    where = table.link.in_(links), table.at > edges[0], table.at <= now, table.id >= floor
    row = select(table.link, table.outcome, hour).where(*where).subquery().c
    counted = select(row.link, row.hour, func.count(), func.sum(case((row.outcome.in_(_FINE), 0), else_=1)))
    found: dict[str, list[Bar]] = {}
    for link, place, exchanges, errors in connection.execute(counted.group_by(row.link, row.hour)):
        bars = found.setdefault(link, [Bar(edge) for edge in edges])
        bars[place] = Bar(edges[place], exchanges, int(errors))
    return found


def together(every: Iterable[Sequence[Bar]]) -> list[Bar]:
    """The sums of several links' hours; none without any."""
    hours = zip(*every, strict=True)
    return [Bar(of[0].begins, sum(bar.exchanges for bar in of), sum(bar.errors for bar in of)) for of in hours]


def _floor(connection: Connection, table: Any) -> int:
    """The first id that is looked at."""
    newest = connection.execute(select(func.max(table.id))).scalar() or 0
    return max(0, newest - RECENT_ROWS)


def _since(connection: Connection, floor: int, now: datetime) -> datetime | None:
    if not floor:
        return None
    first = connection.execute(select(_log.at).where(_log.id >= floor).order_by(_log.id).limit(1)).scalar()
    return first if first is not None and first > now - HOUR else None


def _lasts(connection: Connection, links: Collection[str]) -> dict[str, Last]:
    if not links:
        return {}
    asked = values(column("code", String), name="asked").data([(link,) for link in sorted(links)]).cte("asked")
    newest = (
        select(_log.id)
        .where(_log.link == asked.c.code)
        .order_by(_log.at.desc(), _log.id.desc())
        .limit(1)
        .correlate(asked)
        .scalar_subquery()
    )
    ids = [row[0] for row in connection.execute(select(newest).select_from(asked)) if row[0] is not None]
    found = select(_log.id, _log.link, _log.at, _log.outcome, _log.route).where(_log.id.in_(ids))
    return {row.link: Last(row.id, row.at, row.outcome, row.route) for row in connection.execute(found)}


def outcomes(
    connection: Connection, link: str, now: datetime, sends: bool = False
) -> list[tuple[str, str, int, datetime]]:
    """(outcome, its kind, how often, when last) of the link's last 24 hours, of what it was asked or ``sends``; what
    matters most first."""
    table: Any = outbox_attempt.c if sends else _log
    asked: Select[Any] = (
        select(table.outcome, func.count(), func.max(table.at))
        .where(table.link == link, table.at > now - HOURS * HOUR, table.id >= _floor(connection, table))
        .group_by(table.outcome)
    )
    found = [(row[0], kind_of(row[0]), row[1], row[2]) for row in connection.execute(asked)]
    order = ("ours", "theirs", "refused", "ok")
    return sorted(found, key=lambda each: (order.index(each[1]), -each[2]))
