"""A line to a store as it is: a small TCP proxy that delays, cuts, halves and loses, by a script of its own chance.

Tests start it in threads, and tell it when the line is down altogether.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

HOST = "127.0.0.1"
PIECE = 64 << 10
PATIENCE_SECONDS = 10.0

FINE, REFUSED, RESET, DEAF, LOST, HALF, SLOW = "fine", "refused", "reset", "deaf", "lost", "half", "slow"
"""Nothing happens; closed at once; reset in the middle of the request; the request never arrives; the work is done and
its answer is lost; half of the answer; some delay."""

FAULTS = {FINE: 6, REFUSED: 1, RESET: 1, DEAF: 1, LOST: 2, HALF: 1, SLOW: 1}


@dataclass
class Line:
    """A proxy in front of ``target``; ``is_down``: nobody gets through."""

    target: tuple[str, int]
    chance: random.Random
    faults: dict[str, int] = field(default_factory=lambda: dict(FAULTS))
    is_down: bool = False
    met: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._listener = socket.create_server((HOST, 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    @property
    def calls(self) -> int:
        """How many have come so far, whatever became of them."""
        with self.lock:
            return sum(self.met.values())

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _fault(self) -> str:
        with self.lock:
            kind = REFUSED if self.is_down else self.chance.choices(list(self.faults), list(self.faults.values()))[0]
            self.met[kind] = self.met.get(kind, 0) + 1
        return kind

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(PATIENCE_SECONDS)
        with client, suppress(OSError):
            fault = self._fault()
            if fault == REFUSED:
                return
            request = read_message(client)
            if fault == RESET:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            if fault == DEAF:
                client.shutdown(socket.SHUT_WR)
                return
            if fault == SLOW:
                time.sleep(0.2)
            with socket.create_connection(self.target, PATIENCE_SECONDS) as server:
                server.sendall(request)
                answer = read_message(server)
            if fault == LOST:
                return
            client.sendall(answer[: len(answer) // 2] if fault == HALF else answer)


def read_message(connection: socket.socket) -> bytes:
    """One HTTP message with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(PIECE)
        if not piece:
            raise ConnectionError
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    left = int(lengths[0]) - len(body) if lengths else 0
    while left > 0:
        piece = connection.recv(PIECE)
        if not piece:
            raise ConnectionError
        data, left = data + piece, left - len(piece)
    return data


class Sink:
    """A far side that keeps the ids of the events it gets, by path."""

    def __init__(self) -> None:
        self.got: dict[str, list[str]] = {}
        self.requests = 0
        lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                told = msgspec.json.decode(body)
                with lock:
                    sink.requests += 1
                    events = told if isinstance(told, list) else [told]
                    sink.got.setdefault(self.path, []).extend(event["id"] for event in events)
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.address = (HOST, self._server.server_port)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
