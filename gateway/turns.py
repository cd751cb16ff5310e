"""Far sides that count calls by login: who may speak under one now, and when its next call may be made.

Links of one login share it within a process: one talk at a time, so that none of them is left half-way in its time,
and a call every so many seconds. Where the far side has had enough, all of them keep quiet for a while.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from processing.errors import NotYet

# So long a talk waits for another one of its login; then it comes again, that many seconds later.
MOST_TURN_SECONDS, AGAIN_SECONDS = 2.0, 15.0
# How long nobody speaks under a login that was throttled and not told until when.
THROTTLED_SECONDS = 30.0


class Turn:
    """One login. ``clock`` and ``sleep`` are those of time.monotonic."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._talk = threading.Lock()
        self._next_at = float("-inf")

    @contextmanager
    def talk(self, most: float = MOST_TURN_SECONDS) -> Iterator[float]:
        """The login is this talk's; how many seconds it has waited for it. Errors: NotYet where others have it."""
        began = self._clock()
        if not self._talk.acquire(timeout=most):
            raise NotYet("others speak under this login", AGAIN_SECONDS)
        try:
            now = self._clock()
            if self._next_at - now > most:
                raise NotYet("the login rests", self._next_at - now)
            yield now - began
        finally:
            self._talk.release()

    def wait(self, seconds: float) -> None:
        """Until the next call may be made; the one behind it comes so many seconds later. Errors: NotYet where the
        login rests, though its talk goes on."""
        now = self._clock()
        if self._next_at - now > seconds + MOST_TURN_SECONDS:
            raise NotYet("the login rests", self._next_at - now)
        if self._next_at > now:
            self._sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + seconds

    def rest(self, seconds: float | None) -> None:
        """The far side has had enough, for so long."""
        self._next_at = max(self._next_at, self._clock() + (THROTTLED_SECONDS if seconds is None else seconds))


class Turns:
    """The logins of a process, by whatever tells them apart."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self._lock = threading.Lock()

    def of(self, login: str) -> Turn:
        with self._lock:
            return self._turns.setdefault(login, Turn())
