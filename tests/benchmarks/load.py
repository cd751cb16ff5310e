"""A lean HTTP/1.1 load generator: one process, raw sockets, epoll, keep-alive.

It shares the cores with the server and the database that it measures, so it does nothing that is not needed:
requests are ready bytes, an answer is searched for its end, its status and one mark. What it costs itself is
part of the result (``Load.own_us``).

``closed`` keeps every connection busy and finds the greatest rate. ``paced`` sends at a fixed rate whatever
the server does and counts the time from when a request was due, so that a stall is seen by all who wait in
it.
"""

from __future__ import annotations

import select
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

PATIENCE_SECONDS = 30.0
"""How long all connections may stay silent, and how long the last answers may take; then they are lost."""

MAX_ANSWER = 1 << 20
CHUNK = 1 << 16
LOST = "lost"
"""Stands in ``Load.statuses`` for requests that got no answer."""


@dataclass
class Load:
    """What a run saw. ``latencies`` are seconds of answered requests, in order of their answers."""

    seconds: float = 0.0
    sent: int = 0
    answered_in_time: int = 0
    accepted: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    own_seconds: float = 0.0
    refused_sample: bytes = b""

    @property
    def per_second(self) -> float:
        """Answers within the measured time, per second."""
        return self.answered_in_time / self.seconds if self.seconds else 0.0

    @property
    def own_us(self) -> float:
        """CPU microseconds of this generator per request, building the request included."""
        return self.own_seconds * 1e6 / self.sent if self.sent else 0.0

    def percentile_ms(self, percent: float) -> float:
        """The latency below which that many percent of the answers lie; 0 without answers."""
        if not self.latencies:
            return 0.0
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3


@dataclass(eq=False, slots=True)
class _Connection:
    socket: socket.socket
    due: float = 0.0
    busy: bool = False
    unsent: bytes = b""
    received: bytes = b""


def closed(
    address: tuple[str, int],
    requests: Iterator[bytes],
    mark: bytes,
    *,
    connections: int,
    seconds: float | None = None,
    count: int | None = None,
) -> Load:
    """Keep all connections busy for so long, or for so many requests; an answer with ``mark`` is accepted."""
    return _Run(address, mark, connections).go(requests, rate=None, seconds=seconds, count=count)


def paced(
    address: tuple[str, int],
    requests: Iterator[bytes],
    mark: bytes,
    *,
    connections: int,
    rate: float,
    seconds: float,
) -> Load:
    """Send at this rate; latencies count from the due time (epoll's clock adds up to 1 ms)."""
    return _Run(address, mark, connections).go(requests, rate=rate, seconds=seconds, count=max(1, int(rate * seconds)))


class _Run:
    """One run's sockets and counters."""

    def __init__(self, address: tuple[str, int], mark: bytes, connections: int) -> None:
        self.address = address
        self.mark = mark
        self.load = Load()
        self.heard_at = 0.0
        self.epoll = select.epoll()
        self.connections: dict[int, _Connection] = {}
        self.idle: deque[_Connection] = deque()
        for _ in range(connections):
            self._open()

    def go(self, requests: Iterator[bytes], *, rate: float | None, seconds: float | None, count: int | None) -> Load:
        load = self.load
        cpu, start = time.process_time(), time.perf_counter()
        end = start + seconds if seconds is not None else float("inf")
        stop = end if rate is None else end + PATIENCE_SECONDS
        left = count if count is not None else 1 << 62
        self.heard_at = start
        try:
            while left > 0 and (now := time.perf_counter()) < stop and now < self.heard_at + PATIENCE_SECONDS:
                left -= self._send_due(requests, left, start, rate)
                self._receive(self._pause(start, rate), end)
            self._drain(end)
        finally:
            self._close()
        load.own_seconds = time.process_time() - cpu
        load.seconds = seconds if seconds is not None else time.perf_counter() - start
        return load

    def _send_due(self, requests: Iterator[bytes], left: int, start: float, rate: float | None) -> int:
        """Send what is due on idle connections; how many."""
        idle, load, done = self.idle, self.load, 0
        while idle and done < left:
            due = time.perf_counter()
            if rate is not None:
                planned = start + load.sent / rate
                if planned > due:
                    break
                due = planned
            self._send(idle.popleft(), next(requests), due)
            load.sent += 1
            done += 1
        return done

    def _pause(self, start: float, rate: float | None) -> float:
        """How long to wait for answers before something else is due."""
        if rate is None or not self.idle:
            return 0.1
        return max(0.0, min(0.1, start + self.load.sent / rate - time.perf_counter()))

    def _drain(self, end: float) -> None:
        limit = time.perf_counter() + PATIENCE_SECONDS
        while len(self.idle) < len(self.connections) and time.perf_counter() < limit:
            self._receive(0.1, end)
        lost = len(self.connections) - len(self.idle)
        if lost:
            self.load.statuses[LOST] += lost

    def _send(self, connection: _Connection, request: bytes, due: float) -> None:
        connection.due = due
        connection.busy = True
        try:
            sent = connection.socket.send(request)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose(connection)
            return
        if sent < len(request):
            connection.unsent = request[sent:]
            self.epoll.modify(connection.socket, select.EPOLLIN | select.EPOLLOUT)

    def _receive(self, timeout: float, end: float) -> None:
        for number, events in self.epoll.poll(timeout):
            connection = self.connections.get(number)
            if connection is None:
                continue
            if events & select.EPOLLOUT:
                self._send_rest(connection)
            if events & ~select.EPOLLOUT:
                self._read(connection, end)

    def _send_rest(self, connection: _Connection) -> None:
        connection.unsent = connection.unsent[connection.socket.send(connection.unsent) :]
        if not connection.unsent:
            self.epoll.modify(connection.socket, select.EPOLLIN)

    def _read(self, connection: _Connection, end: float) -> None:
        try:
            data = connection.socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(connection)
            return
        if connection.received:
            data = connection.received + data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) - head - 4 < _body_length(data, head):
            connection.received = data
            if len(data) > MAX_ANSWER:
                raise RuntimeError("an answer longer than a megabyte")
            return
        connection.received = b""
        self._count(connection, data, end)

    def _count(self, connection: _Connection, data: bytes, end: float) -> None:
        now = self.heard_at = time.perf_counter()
        load = self.load
        load.statuses[data[9:12].decode("latin-1")] += 1
        load.latencies.append(now - connection.due)
        if now <= end:
            load.answered_in_time += 1
        if self.mark in data:
            load.accepted += 1
        elif not load.refused_sample:
            load.refused_sample = data[:1000]
        connection.busy = False
        self.idle.append(connection)

    def _lose(self, connection: _Connection) -> None:
        """The far side hung up: count what was under way and connect again."""
        if connection.busy:
            self.load.statuses[LOST] += 1
        else:
            self.idle.remove(connection)
        del self.connections[connection.socket.fileno()]
        connection.socket.close()
        self._open()

    def _open(self) -> None:
        opened = _connect(self.address)
        connection = _Connection(opened)
        self.connections[opened.fileno()] = connection
        self.epoll.register(opened, select.EPOLLIN)
        self.idle.append(connection)

    def _close(self) -> None:
        for connection in self.connections.values():
            connection.socket.close()
        self.epoll.close()


def _connect(address: tuple[str, int]) -> socket.socket:
    opened = socket.create_connection(address, timeout=10)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setblocking(False)
    return opened


def _body_length(data: bytes, head: int) -> int:
    """What the head announces. Chunked answers are not understood: nothing we measure sends any."""
    at = data.find(b"ontent-length: ", 0, head)
    if at < 0:
        at = data.find(b"ontent-Length: ", 0, head)
    if at < 0:
        raise RuntimeError(f"an answer without Content-Length: {data[:head]!r}")
    stop = data.find(b"\r\n", at, head + 2)
    return int(data[at + 15 : stop])


def request(path: str, host: str, body: bytes, content_type: str = "text/xml; charset=utf-8") -> bytes:
    """A whole POST, head and body."""
    return head(path, host, content_type) + b"%d\r\n\r\n" % len(body) + body


def head(path: str, host: str, content_type: str = "text/xml; charset=utf-8") -> bytes:
    """A POST's head up to the number of Content-Length, for those who count it per request."""
    return (f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: ").encode(
        "latin-1"
    )


def wait_for(address: tuple[str, int], path: str, seconds: float) -> bool:
    """True as soon as GET path answers 200; False when the time is over."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if _status(address, path) == b"200":
            return True
        time.sleep(0.1)
    return False


def _status(address: tuple[str, int], path: str) -> bytes:
    try:
        with socket.create_connection(address, timeout=2) as asked:
            asked.sendall(f"GET {path} HTTP/1.1\r\nHost: {address[0]}\r\nConnection: close\r\n\r\n".encode())
            return asked.recv(4096)[9:12]
    except OSError:
        return b""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
