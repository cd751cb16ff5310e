"""What links did lately, from the exchange log: the last exchange of each, and an hour's or a day's counts.

Everything is bounded: beyond RECENT_ROWS messages of the whole log only the newest are counted, and the page says so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Select, String, case, column, func, select, values

from gateway.console.words import ANSWERED, OK, kind_of
from processing.tables import exchange_log

HOUR = timedelta(hours=1)
HOURS = 24
RECENT_ROWS = 50_000
PERCENT = 95

_log = exchange_log.c


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
class Recent:
    """All links' last hour. ``since``: from when on it was counted, if that is less than an hour."""

    by_link: dict[str, Figures] = field(default_factory=dict)
    since: datetime | None = None

    def of(self, link: str) -> Figures:
        return self.by_link.get(link, Figures())


def recent(connection: Connection, links: Collection[str], now: datetime) -> Recent:
    """What these links did in the hour before ``now``."""
    floor = _floor(connection)
    ranked = (
        select(
            _log.link,
            _log.outcome,
            _log.took_us,
            func.row_number().over(partition_by=_log.link, order_by=_log.took_us).label("place"),
            func.count().over(partition_by=_log.link).label("of"),
        )
        .where(_log.link.in_(links), _log.at >= now - HOUR, _log.id >= floor)
        .subquery()
    )
    row = ranked.c
    counted = select(
        row.link,
        func.count(),
        func.sum(case((row.outcome.in_(ANSWERED), 0), else_=1)),
        func.sum(case((row.outcome == OK, 0), (row.outcome.in_(ANSWERED), 1), else_=0)),
        func.min(case((row.place * 100 >= row.of * PERCENT, row.took_us))),
    ).group_by(row.link)
    lasts = _lasts(connection, links)
    found = {link: Figures(last=last) for link, last in lasts.items()}
    for link, exchanges, errors, refused, p95 in connection.execute(counted):
        found[link] = Figures(exchanges, int(errors), int(refused), p95, lasts.get(link))
    return Recent(found, _since(connection, floor, now))


def _floor(connection: Connection) -> int:
    """The first id that is looked at."""
    newest = connection.execute(select(func.max(_log.id))).scalar() or 0
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


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour of a link: how many exchanges, and how many of them were no answer."""

    begins: datetime
    exchanges: int
    errors: int


def day(connection: Connection, link: str, now: datetime) -> list[Bar]:
    """The link's last 24 hours, oldest first."""
    edges = [now - HOUR * n for n in range(HOURS, -1, -1)]
    floor = _floor(connection)
    columns: list[Any] = []
    for begins, ends in pairwise(edges):
        inside = (_log.at > begins) & (_log.at <= ends)
        columns.append(func.sum(case((inside, 1), else_=0)))
        columns.append(func.sum(case((inside & _log.outcome.not_in(ANSWERED), 1), else_=0)))
    asked = select(*columns).where(_log.link == link, _log.at > edges[0], _log.id >= floor)
    told: Sequence[Any] = connection.execute(asked).one()
    counts = [int(each or 0) for each in told]
    return [Bar(edge, counts[2 * n], counts[2 * n + 1]) for n, edge in enumerate(edges[:-1])]


def outcomes(connection: Connection, link: str, now: datetime) -> list[tuple[str, str, int, datetime]]:
    """(outcome, its kind, how often, when last) of the link's last 24 hours; what matters most first."""
    asked: Select[Any] = (
        select(_log.outcome, func.count(), func.max(_log.at))
        .where(_log.link == link, _log.at > now - HOURS * HOUR, _log.id >= _floor(connection))
        .group_by(_log.outcome)
    )
    found = [(row[0], kind_of(row[0]), row[1], row[2]) for row in connection.execute(asked)]
    order = ("ours", "theirs", "refused", "ok")
    return sorted(found, key=lambda each: (order.index(each[1]), -each[2]))
