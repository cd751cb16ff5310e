"""Guessing passwords is slow: failures are counted per name and source, and after some of them every try has to wait.

A wait grows with every failure up to a bound, and ends by itself: nobody is locked out for ever. While one lasts, the
password is not even looked at, so that a wait is not made longer by whoever does not keep to it. Three counts:

- a name from one source: the wait reaches a quarter of an hour;
- a source, whatever the names: slow for who tries one password on many names;
- a name from anywhere: a few seconds at most, because here others could keep somebody out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from processing import tables

# Who has not failed for so long begins anew.
FORGET = timedelta(days=1)

_failure = tables.sign_in_failure


@dataclass(frozen=True, slots=True)
class Bound:
    """So many failures are free; then waits of 1, 2, 4 ... seconds up to ``longest``."""

    free: int
    longest: timedelta

    def wait(self, failures: int) -> timedelta:
        if failures < self.free:
            return timedelta(0)
        return min(self.longest, timedelta(seconds=1 << min(failures - self.free, 20)))


PAIR = Bound(5, timedelta(minutes=15))
SOURCE = Bound(30, timedelta(minutes=1))
NAME = Bound(100, timedelta(seconds=10))


def _subjects(name: str, source: str) -> Iterator[tuple[str, Bound]]:
    for bound, kind, *what in ((PAIR, "pair", name, source), (SOURCE, "source", source), (NAME, "name", name)):
        yield hashlib.sha256("\0".join((kind, *what)).encode("utf-8", "replace")).hexdigest(), bound


def wait(connection: Connection, name: str, source: str, now: datetime) -> timedelta:
    """How long this name has to wait from this source before it may try; zero: not at all."""
    bounds = dict(_subjects(name, source))
    rows = connection.execute(select(_failure).where(_failure.c.subject.in_(bounds)))
    waits = (row.last_at + bounds[row.subject].wait(row.failures) - now for row in rows if row.last_at > now - FORGET)
    longest: timedelta = max((*waits, timedelta(0)))
    return longest


def count(connection: Connection, name: str, source: str, now: datetime) -> None:
    """Count a try as failed: before the password is looked at, so that many at once are many."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    rows = [{"subject": subject, "failures": 1, "last_at": now} for subject, _ in _subjects(name, source)]
    added = dialect.insert(_failure)
    more = case((_failure.c.last_at > now - FORGET, _failure.c.failures + 1), else_=1)
    connection.execute(
        added.on_conflict_do_update(index_elements=["subject"], set_={"failures": more, "last_at": now}),
        sorted(rows, key=lambda row: str(row["subject"])),
    )


def succeeded(connection: Connection, name: str, source: str) -> None:
    """The name begins anew; of its source only this try is forgiven: others may be guessed at from there."""
    subjects = {bound: subject for subject, bound in _subjects(name, source)}
    own = _failure.c.subject
    connection.execute(update(_failure).where(own == subjects[SOURCE]).values(failures=_failure.c.failures - 1))
    connection.execute(delete(_failure).where(own.in_([subjects[PAIR], subjects[NAME]])))
