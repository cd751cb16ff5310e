"""The committer: one process that runs all batches, so that neither HTTP nor parsing holds its GIL.

Web workers send commands over a Unix socket, a connection per thread, one request at a time on each; whatever
has arrived while the last batch ran is the next batch. With a thread of the web process in its place every
database round trip ends in a queue for the GIL (docs/performance.md has both figures).
Frames are a length of 4 bytes, big-endian, and msgpack; both ends are this same package.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from processing.commands import AnyCommand, Command
from processing.errors import Busy, LoyaltyError, TooLarge, rebuild
from processing.execute import MAX_BATCH, Outcome
from processing.results import AnyStoredResult

SOCKET_NAME = "committer.sock"
MAX_FRAME = 8 << 20
BACKLOG = 512
SEND_SECONDS = 1.0
_READ = 256 << 10
_LENGTH = struct.Struct(">I")

log = structlog.get_logger()


class Refused(msgspec.Struct, frozen=True, tag=True):
    """A LoyaltyError on its way between processes."""

    code: str
    message: str
    details: dict[str, str | int]


_encode = msgspec.msgpack.Encoder().encode
_decode_commands = msgspec.msgpack.Decoder(list[AnyCommand]).decode
_decode_outcomes = msgspec.msgpack.Decoder(list[AnyStoredResult | Refused]).decode


def _frame(payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + payload


def _timeout(seconds: float) -> bytes:
    """A ``struct timeval``: time-outs of the kernel's own, for Python's cost a poll per call."""
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))


def _packed(outcome: Outcome) -> object:
    if isinstance(outcome, LoyaltyError):
        return Refused(outcome.code, outcome.message, dict(outcome.details))
    return outcome


class Client:
    """The web worker's end: ``execute`` like the core's own, in another process. Used by many threads."""

    def __init__(self, path: str | Path, seconds: float) -> None:
        self._path = str(path)
        self._seconds = seconds
        self._own = threading.local()

    def __call__(self, commands: Sequence[Command[Any]], seconds: float | None = None) -> list[Outcome]:
        """The outcome of each command; ``seconds``: this one waits no longer than that.

        Errors: Busy when the committer is away or takes too long, TooLarge.
        """
        payload = _frame(_encode(list(commands)))
        if len(payload) > MAX_FRAME:
            raise TooLarge("the commands are too large to travel together", where="commands")
        fresh = getattr(self._own, "connection", None) is None
        try:
            connection: socket.socket = self._own.connection if not fresh else self._connect()
            if seconds is not None:
                self._wait(connection, min(seconds, self._seconds))
            connection.sendall(payload)
            answer = _receive(connection)
        except (OSError, EOFError) as error:
            self._forget()
            if not fresh and isinstance(error, EOFError | BrokenPipeError | ConnectionResetError):
                # The committer was restarted since this thread last spoke; request keys make it safe to repeat.
                return self(commands, seconds)
            raise Busy("the committer does not answer") from error
        if seconds is not None:
            self._wait(connection, self._seconds)
        return [
            rebuild(o.code, o.message, o.details) if isinstance(o, Refused) else o for o in _decode_outcomes(answer)
        ]

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._wait(connection, self._seconds)
        connection.connect(self._path)
        self._own.connection = connection
        return connection

    @staticmethod
    def _wait(connection: socket.socket, seconds: float) -> None:
        """So long at most, from now on."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeout(seconds))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeout(seconds))

    def _forget(self) -> None:
        connection = getattr(self._own, "connection", None)
        if connection is not None:
            connection.close()
        self._own.connection = None


def _receive(connection: socket.socket) -> bytes:
    """One frame's payload. Errors: EOFError when the other end is gone, OSError after the time-out."""
    data = connection.recv(_READ)
    while len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack_from(data)[0]:
        more = connection.recv(_READ)
        if not more:
            raise EOFError
        data += more
    return data[_LENGTH.size :]


class _Peer:
    """One thread of a web worker: its connection, and what it has sent so far."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = b""

    def request(self) -> bytes | None:
        """A whole request, once it is here. Errors: EOFError when the peer is gone or talks nonsense."""
        data = self.connection.recv(_READ)
        if not data:
            raise EOFError
        self.buffer = self.buffer + data if self.buffer else data
        if len(self.buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self.buffer)
        if length > MAX_FRAME:
            raise EOFError
        if len(self.buffer) < _LENGTH.size + length:
            return None
        request, self.buffer = self.buffer[_LENGTH.size :], b""
        return request


_Request = tuple[_Peer, Sequence[Command[Any]]]


def ping(path: str | Path) -> None:
    """Nothing, if the committer listens. Errors: OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        connection.connect(str(path))


def listen(path: str | Path) -> socket.socket:
    """The listening socket; only this user can reach it."""
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old)
    listener.listen(BACKLOG)
    return listener


def serve(
    listener: socket.socket,
    execute: Callable[[Sequence[Command[Any]]], list[Outcome]],
    is_stopped: Callable[[], bool],
    observe: Callable[[int, float], None] = lambda size, seconds: None,
) -> None:
    """Run batches until stopped; a batch that has begun is finished and answered.

    ``observe`` is told every batch's size and seconds.
    """
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while not is_stopped():
        waiting: list[_Request] = []
        for key, _ in selector.select(timeout=0.5):
            if key.fileobj is listener:
                connection, _ = listener.accept()
                # A web worker that has stopped reading must not hold up everybody's next batch.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeout(SEND_SECONDS))
                selector.register(connection, selectors.EVENT_READ, _Peer(connection))
                continue
            peer: _Peer = key.data
            try:
                request = peer.request()
                if request is not None:
                    waiting.append((peer, _decode_commands(request)))
            except (EOFError, OSError, msgspec.DecodeError):
                selector.unregister(peer.connection)
                peer.connection.close()
        for together in _batches(waiting):
            _run(together, execute, observe)


def _batches(waiting: list[_Request]) -> Iterator[list[_Request]]:
    """The requests in batches that the core runs as one transaction each; no request is cut in two."""
    batch: list[_Request] = []
    size = 0
    for request in waiting:
        if batch and size + len(request[1]) > MAX_BATCH:
            yield batch
            batch, size = [], 0
        batch.append(request)
        size += len(request[1])
    if batch:
        yield batch


def _run(
    waiting: list[_Request],
    execute: Callable[[Sequence[Command[Any]]], list[Outcome]],
    observe: Callable[[int, float], None],
) -> None:
    commands = [command for _, asked in waiting for command in asked]
    started = time.perf_counter()
    try:
        outcomes = execute(commands)
    except Exception:
        # A bug: these requests fail, the committer lives. Nobody is answered, all see their connection end.
        log.exception("batch_failed", size=len(commands))
        for peer, _ in waiting:
            peer.connection.shutdown(socket.SHUT_RDWR)
        return
    observe(len(commands), time.perf_counter() - started)
    at = 0
    for peer, asked in waiting:
        payload = _encode([_packed(outcome) for outcome in outcomes[at : at + len(asked)]])
        at += len(asked)
        # A peer that is gone finds its connection closed at the next select.
        with contextlib.suppress(OSError):
            peer.connection.sendall(_frame(payload))
