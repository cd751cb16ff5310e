"""How often an API client may ask: a token bucket each, in the memory of one web worker.

Credit is time: a client has at most a minute of it, earns as much as passes, and pays for a request with its part
of the minute. So it may use a whole minute's worth at once. Every worker counts for itself, so that several of
them let through as many times more.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_TRACKED = 10_000
SECOND = 10**9
MINUTE = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to a client after this request. ``retry_seconds`` above 0: the request is one too many."""

    limit: int
    remaining: int
    reset_seconds: int
    retry_seconds: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


class Limits:
    """The credit of all clients; of more than MAX_TRACKED the one that asked longest ago is forgotten."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns, most: int = MAX_TRACKED) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        # Credit in nanoseconds, and when it was counted.
        self._credits: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def take(self, name: str, per_minute: int) -> Allowance:
        """Take one request's worth of the client's credit, if there is as much."""
        now, price = self._clock(), MINUTE // per_minute
        with self._lock:
            credit, at = self._credits.pop(name, (MINUTE, now))
            credit = min(MINUTE, credit + now - at)
            is_allowed = credit >= price
            credit -= price if is_allowed else 0
            self._credits[name] = (credit, now)
            if len(self._credits) > self._most:
                self._credits.popitem(last=False)
        return Allowance(
            limit=per_minute,
            remaining=credit // price,
            reset_seconds=_seconds(MINUTE - credit),
            retry_seconds=0 if is_allowed else _seconds(price - credit),
        )


def _seconds(nanoseconds: int) -> int:
    """Rounded up, so that who waits as long as told is not refused again."""
    return -(-nanoseconds // SECOND)
