"""The line under a call: sockets that know how long and how much may still be read.

A time-out of a single read does not end an answer that drips, and a bound on the body does not end headers that never
stop. Here every read is counted, and waits no longer than the whole call has left. What goes wrong is raised from
within the read, past whatever library does the reading.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

from gateway.outer_addresses import HalfAnswer, LineBroke
from processing.errors import BadReply

MAX_HEAD = 64 << 10
# How much more than its body an answer may take on the line: chunk sizes, trailers.
ROOM_BESIDE_BODY = 64 << 10


class Allowance:
    """What the call under way has left: seconds, and bytes to read. One of each transport, used by one thread."""

    def __init__(self, read_seconds: float) -> None:
        self.until = 0.0
        self._read_seconds = read_seconds
        self._room, self._what = 0, ""
        self._in_head = False
        self._got = 0

    def begin_head(self) -> None:
        self._room, self._what, self._in_head, self._got = MAX_HEAD, f"its headers exceed {MAX_HEAD} bytes", True, 0

    def begin_body(self, most: int) -> None:
        self._room, self._what, self._in_head = 2 * most + ROOM_BESIDE_BODY, f"it exceeds {most} bytes", False

    def seconds(self) -> float:
        """How long the next read or write may wait. Errors: LineBroke."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise LineBroke("no answer within the time for the whole call")
        return min(left, self._read_seconds)

    def count(self, got: int) -> None:
        """So many bytes have arrived; none: the far side has ended. Errors: BadReply, HalfAnswer."""
        self._got += got
        self._room -= got
        if self._room < 0:
            raise BadReply(self._what)
        if not got and self._in_head and self._got:
            raise HalfAnswer("it ends within its headers")


class Counted:
    """A socket whose reads and writes go by an allowance, once it has one."""

    allowance: Allowance | None = None

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if self.allowance is None:
            return int(super().recv_into(*args, **kwargs))  # type: ignore[misc]
        self.settimeout(self.allowance.seconds())  # type: ignore[attr-defined]
        got = int(super().recv_into(*args, **kwargs))  # type: ignore[misc]
        self.allowance.count(got)
        return got

    def send(self, *args: Any, **kwargs: Any) -> int:
        if self.allowance is not None:
            self.settimeout(self.allowance.seconds())  # type: ignore[attr-defined]
        return int(super().send(*args, **kwargs))  # type: ignore[misc]

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """A plain socket's time-out is for the whole of it; a TLS one comes back to ``send`` for each record."""
        if self.allowance is not None:
            self.settimeout(self.allowance.seconds())  # type: ignore[attr-defined]
        super().sendall(*args, **kwargs)  # type: ignore[misc]


class PlainSocket(Counted, socket.socket):
    pass


class TlsSocket(Counted, ssl.SSLSocket):
    pass
