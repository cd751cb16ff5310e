"""Looking through the exchange log, newest first, a page at a time, never through more than LOOKED_AT messages.

Rows come in the order of time but for some seconds, in which several processes have written at once. A page goes by
id, so that it stays the same while new messages come in.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from gateway.console.words import ANSWERED, OK, OURS
from processing.tables import exchange_log

PAGE_ROWS = 50
LOOKED_AT = 100_000
# So many rows may stand before or behind others of their time.
OUT_OF_STEP = 5_000
MAX_ID_CHARACTERS = 36

_log = exchange_log.c
_HEAD = (_log.id, _log.link, _log.at, _log.request_id, _log.route, _log.outcome, _log.status, _log.took_us)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for among ``links``. ``kind`` is of words.KINDS, or ``errors`` for all that were no answer."""

    links: Collection[str]
    kind: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None
    request_id: str = ""
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """``rows`` newest first; ``before`` leads to the next page; ``down_to``: looked so far, there may be more."""

    rows: Sequence[Any]
    before: int | None = None
    down_to: datetime | None = None


def search(connection: Connection, wanted: Wanted) -> Found:
    top = _top(connection, wanted)
    if top is None or not wanted.links:
        return Found([])
    floor = top - LOOKED_AT
    asked = select(*_HEAD).where(_log.id <= top, _log.id > floor, *_conditions(wanted))
    rows = list(connection.execute(asked.order_by(_log.id.desc()).limit(PAGE_ROWS + 1)))
    if len(rows) > PAGE_ROWS:
        return Found(rows[:PAGE_ROWS], rows[PAGE_ROWS - 1].id)
    last = connection.execute(select(_log.at).where(_log.id <= floor).order_by(_log.id.desc()).limit(1)).scalar()
    if last is None or (wanted.since is not None and last < wanted.since):
        return Found(rows)
    return Found(rows, floor + 1, last)


def _conditions(wanted: Wanted) -> list[Any]:
    told: list[Any] = [_log.link.in_(wanted.links)]
    kinds = {
        "ok": _log.outcome == OK,
        "refused": (_log.outcome != OK) & _log.outcome.in_(ANSWERED),
        "ours": _log.outcome.in_(OURS),
        "theirs": _log.outcome.not_in(ANSWERED | OURS),
        "errors": _log.outcome.not_in(ANSWERED),
    }
    if wanted.kind in kinds:
        told.append(kinds[wanted.kind])
    if wanted.outcome:
        told.append(_log.outcome == wanted.outcome)
    if wanted.since is not None:
        told.append(_log.at >= wanted.since)
    if wanted.until is not None:
        told.append(_log.at < wanted.until)
    if wanted.request_id:
        told.append(_log.request_id.startswith(wanted.request_id[:MAX_ID_CHARACTERS], autoescape=True))
    return told


def _top(connection: Connection, wanted: Wanted) -> int | None:
    """The greatest id that may fit; None: none does."""
    bounds = [wanted.before - 1] if wanted.before is not None else []
    if wanted.until is not None:
        bounds.append(_id_at(connection, wanted.until) + OUT_OF_STEP)
    if len(wanted.links) == 1 and not bounds:
        (link,) = wanted.links
        newest = select(_log.id).where(_log.link == link).order_by(_log.at.desc(), _log.id.desc()).limit(1)
        last = connection.execute(newest).scalar()
        return None if last is None else int(last) + OUT_OF_STEP
    newest_of_all = connection.execute(select(func.max(_log.id))).scalar()
    return None if newest_of_all is None else min([int(newest_of_all), *bounds])


def _id_at(connection: Connection, instant: datetime) -> int:
    """About the last id before the instant, found by halving."""
    low, high = connection.execute(select(func.min(_log.id), func.max(_log.id))).one()
    if low is None:
        return 0
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute(
            select(_log.id, _log.at).where(_log.id <= middle).order_by(_log.id.desc()).limit(1)
        ).one()
        if row.at < instant:
            low = middle
        else:
            high = min(row.id, middle) - 1
    return int(low)


def one(connection: Connection, links: Collection[str], exchange_id: int) -> Row[Any] | None:
    """The whole row, if it is of one of these links."""
    asked = select(exchange_log).where(_log.id == exchange_id, _log.link.in_(links))
    return connection.execute(asked).first()


def last_before(connection: Connection, links: Collection[str]) -> Row[Any] | None:
    """The newest exchange of these links, whatever was looked for."""
    return next(iter(search(connection, Wanted(links)).rows), None)


def neighbours(connection: Connection, link: str, exchange_id: int) -> tuple[int | None, int | None]:
    """The exchange of the link before this one and the one behind it, near by."""
    older = select(func.max(_log.id)).where(
        _log.link == link, _log.id < exchange_id, _log.id > exchange_id - OUT_OF_STEP
    )
    newer = select(func.min(_log.id)).where(
        _log.link == link, _log.id > exchange_id, _log.id < exchange_id + OUT_OF_STEP
    )
    return connection.execute(older).scalar(), connection.execute(newer).scalar()
