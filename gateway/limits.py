"""How often an API client may ask: a token bucket each, in the memory of one web worker.

A client may use a whole minute's worth at once; then tokens come back evenly. Every worker counts for itself, so
that several of them let through as many times more.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_TRACKED = 10_000
MINUTE = 60.0


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
    """The buckets of all clients; of more than MAX_TRACKED the one that asked longest ago is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MAX_TRACKED) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        # Tokens and when they were counted.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, per_minute: int) -> Allowance:
        """Take one token of the client's, if there is one."""
        now, rate = self._clock(), per_minute / MINUTE
        with self._lock:
            tokens, at = self._buckets.pop(name, (float(per_minute), now))
            tokens = min(float(per_minute), tokens + (now - at) * rate)
            is_allowed = tokens >= 1
            tokens -= is_allowed
            self._buckets[name] = (tokens, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        return Allowance(
            limit=per_minute,
            remaining=int(tokens),
            reset_seconds=math.ceil((per_minute - tokens) / rate),
            retry_seconds=0 if is_allowed else max(1, math.ceil((1 - tokens) / rate)),
        )
