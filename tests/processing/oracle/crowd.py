"""Many who ask one set of books at once, as threads or as processes, and when the books did what they asked.

A batch is decided with all its locks held, and its clock is read after the last of them (decision 0002). Of two
batches that exclude each other the one with the earlier reading was first, and the others may stand in any order: the
readings are a serial order of everything, of what was refused too.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock

from processing import merging
from processing.chores import end_holds, expire_lots, finish_merges
from processing.commands import Command, ReadBalances
from processing.database import LOCK_TIMEOUT_MS, Database
from processing.errors import Busy
from processing.execute import Core, Outcome
from processing.results import Balances
from processing.state import State
from tests.processing.books import Books, StillClock
from tests.processing.rivals import Team, race

CHORES: dict[str, Callable[[Core], int]] = {
    "end_holds": end_holds, "expire_lots": expire_lots, "finish_merges": finish_merges,
}  # fmt: skip
Task = tuple[Command[Any], ...] | ReadBalances | str
"""A batch, a query, or the name of a chore."""

Run = Callable[[Books, Sequence[Sequence[Task]], random.Random], list[list["Happened"]]]
"""How shares of tasks are carried out at once."""

TICK = timedelta(microseconds=1)
LEAPS = (timedelta(minutes=1), timedelta(minutes=12), timedelta(days=1))
LEAPS_PER_MILLE = 10


@dataclass(frozen=True)
class Expired:
    """A worker may have booked what was over: where, the books know by the instant."""


@dataclass(frozen=True)
class Merged:
    """A worker finished a merge that had waited; the wallets' ids."""

    source: int
    target: int


@dataclass(frozen=True)
class Happened:
    """What the books did, at an instant of their clock, in a call that lasted from ``began`` to ``ended``.

    These are nanoseconds of the machine's steady clock, which is one for all processes.
    """

    at: datetime
    began: int
    ended: int
    what: Outcome | Expired | Merged


class Ticker:
    """A database clock for threads: each reading is later than all before it, seldom by much.

    ``last`` is the thread's own last reading.
    """

    def __init__(self, at: datetime, dice: random.Random) -> None:
        self.at, self.dice = at, dice
        self._lock, self._own = threading.Lock(), threading.local()

    def __call__(self, now: datetime) -> datetime:
        with self._lock:
            leaps = self.dice.randrange(1_000) < LEAPS_PER_MILLE
            self.at += self.dice.choice(LEAPS) if leaps else TICK
            self._own.at = self.at
            return self.at

    @property
    def last(self) -> datetime:
        return self._own.at  # type: ignore[no-any-return]


class Ahead:
    """The database's own clock, that much ahead: for a process, which cannot share a ticker."""

    def __init__(self, by: timedelta) -> None:
        self.by = by

    def __call__(self, now: datetime) -> datetime:
        self.last = now + self.by
        return self.last


class Watched(Core):
    """A core that notes with which clock reading it carried out each batch; on a clock that knows its last one."""

    _own = threading.local()

    def _once(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        outcomes = super()._once(commands)
        self._own.done += [(last(self), outcome) for outcome in outcomes]
        return outcomes

    def carried(self, commands: Sequence[Command[Any]]) -> list[tuple[datetime, Outcome]]:
        """The outcomes with their instants; the caller was told the same, or Busy of what was not carried out."""
        self._own.done = []
        told = self.execute(commands)
        done = iter(self._own.done)
        found = [
            (last(self), outcome) if isinstance(outcome, Busy) else next(done, (last(self), None)) for outcome in told
        ]
        assert told == [outcome for _, outcome in found], f"told otherwise than carried out: {told}"
        return found


def watched(books: Books) -> Watched:
    """A core that has seen nothing yet."""
    return Watched(books.database, books.core.work.directory, books.core.work.vault)


_merges = threading.local()
_finish = merging.finish


def _finish_noted(state: State, source: int, target: int) -> None:
    _finish(state, source, target)
    _merges.done.append((state.now, Merged(source, target)))


noting_merges = partial(mock.patch.object, merging, "finish", _finish_noted)


def last(core: Core) -> datetime:
    clock = core.work.database.clock
    assert isinstance(clock, Ticker | Ahead)
    return clock.last


def do(core: Watched, task: Task) -> list[Happened]:
    """What came of a task."""
    began = time.monotonic_ns()
    done: Sequence[tuple[datetime, Any]]
    if isinstance(task, str):
        _merges.done = []
        is_expiry = CHORES[task](core) and task == "expire_lots"
        done = [(last(core), Expired())] if is_expiry else _merges.done
    elif isinstance(task, ReadBalances):
        (told,) = core.answer([task])
        assert isinstance(told, Balances)
        done = [(told.as_of, told)]
    else:
        done = core.carried(task)
    ended = time.monotonic_ns()
    is_busy = any(isinstance(what, Busy) for _, what in done)
    assert not is_busy or ended - began >= LOCK_TIMEOUT_MS * 1_000_000, "Busy, though nobody held a lock for so long"
    return [Happened(at, began, ended, what) for at, what in done]


def do_all(core: Watched, tasks: Sequence[Task]) -> list[Happened]:
    return [happened for task in tasks for happened in do(core, task)]


# Threads and processes -------------------------------------------------------------------------------------------


def by_threads(books: Books, shares: Sequence[Sequence[Task]], dice: random.Random) -> list[list[Happened]]:
    """What came of each share of tasks, all at once by threads of one core; the still clock goes on from there."""
    assert isinstance(books.clock, StillClock)
    books.database.clock = ticker = Ticker(books.clock.at, dice)
    try:
        with noting_merges():
            core = watched(books)
            return race([partial(do_all, core, share) for share in shares])
    finally:
        books.clock.at, books.database.clock = ticker.at, books.clock


def by_processes(
    team: Team, books: Books, shares: Sequence[Sequence[Task]], dice: random.Random
) -> list[list[Happened]]:
    """Likewise by processes with cores of their own."""
    assert isinstance(books.clock, StillClock)
    ahead = books.clock.at - datetime.now(UTC)
    told: list[list[Happened]] = team.ask([(ahead, share) for share in shares])
    books.clock.at = datetime.now(UTC) + ahead
    return told


def serve(url: str, pipe: Any) -> None:
    """A process: how much the clock is ahead and tasks in, what happened out, until None."""
    books = Books.of(Database(url), None)
    pipe.send("ready")
    with noting_merges():
        while (work := pipe.recv()) is not None:
            ahead, tasks = work
            books.database.clock = Ahead(ahead)
            try:
                pipe.send(do_all(watched(books), tasks))
            except Exception as error:
                pipe.send(RuntimeError(repr(error)))
    books.database.dispose()
