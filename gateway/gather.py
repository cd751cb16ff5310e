"""Requests that arrive while a batch runs are taken together by the next one (group commit).

There is no committer thread and no timed wait: the first request that finds nobody at work leads, and runs
whatever has gathered; when it is done it hands the lead to the first of those who came meanwhile. A lonely
request never waits for anybody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from processing.errors import Busy, LoyaltyError
from processing.results import Result

A = TypeVar("A")
Outcome = Result | LoyaltyError
Run = Callable[[Sequence[A]], list[Outcome]]


class _Waiting(Generic[A]):
    """One request: what it asks, and where its thread sleeps until it has outcomes or the lead."""

    __slots__ = ("asks", "failure", "leads", "outcomes", "wake")

    def __init__(self, asks: Sequence[A]) -> None:
        self.asks = asks
        self.outcomes: list[Outcome] | None = None
        self.failure: BaseException | None = None
        self.leads = False
        self.wake = threading.Lock()
        self.wake.acquire()


class Gather(Generic[A]):
    """Runs asks in batches, one batch at a time; called from many threads.

    ``limit`` bounds how many requests may wait, ``seconds`` how long, ``batch`` how many asks run together.
    """

    def __init__(self, run: Run[A], *, limit: int, seconds: float, batch: int) -> None:
        self._run = run
        self._limit = limit
        self._seconds = seconds
        self._batch = batch
        self._lock = threading.Lock()
        self._queue: deque[_Waiting[A]] = deque()
        self._is_running = False

    def __call__(self, asks: Sequence[A], seconds: float | None = None) -> list[Outcome]:
        """The outcome of each ask, in order; ``seconds``: this one waits no longer than that.

        Errors: Busy when too many wait or it takes too long; what was asked may then still be carried out,
        and its request key tells when it is asked again.
        """
        mine = _Waiting(asks)
        with self._lock:
            if len(self._queue) >= self._limit:
                raise Busy("too many requests are waiting")
            self._queue.append(mine)
            mine.leads = not self._is_running
            self._is_running = True
        if not mine.leads:
            self._sleep(mine, min(seconds or self._seconds, self._seconds))
        if mine.leads:
            self._lead()
        if mine.failure is not None:
            raise mine.failure
        assert mine.outcomes is not None
        return mine.outcomes

    def _sleep(self, mine: _Waiting[A], seconds: float) -> None:
        """Until there are outcomes or the lead. Errors: Busy."""
        if mine.wake.acquire(timeout=seconds):
            return
        with self._lock:
            if mine.leads or mine.outcomes is not None or mine.failure is not None:
                return
            if mine in self._queue:
                self._queue.remove(mine)
        raise Busy("no answer in time")

    def _lead(self) -> None:
        """Run one batch, my own request in front, and hand the lead on."""
        with self._lock:
            batch = self._take()
        try:
            outcomes = iter(self._run([ask for waiting in batch for ask in waiting.asks]))
            for waiting in batch:
                waiting.outcomes = [next(outcomes) for _ in waiting.asks]
        except BaseException as failure:  # raised by whoever waits for it; the lead is handed on whatever happens
            for waiting in batch:
                waiting.failure = failure
        with self._lock:
            if self._queue:
                self._queue[0].leads = True
                self._queue[0].wake.release()
            else:
                self._is_running = False
        for waiting in batch[1:]:
            waiting.wake.release()

    def _take(self) -> list[_Waiting[A]]:
        batch = [self._queue.popleft()]
        size = len(batch[0].asks)
        while self._queue and size + len(self._queue[0].asks) <= self._batch:
            batch.append(self._queue.popleft())
            size += len(batch[-1].asks)
        return batch
