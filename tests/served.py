"""``tillgate serve`` as a process of its own, and tills that speak to it over plain sockets.

Plain sockets, because a client library would hide what matters when a server ends: whether an answer came whole,
not at all, or in part.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

import load
import messages
import seed

HOST = "127.0.0.1"
TRANSACTIONS = f"/pos/{seed.LINK}/{seed.SECRET}/transactionsex"
PATIENCE_SECONDS = 60
GOOD = b'Result="0"'


class HalfAnswer(Exception):
    """The connection has ended in the middle of an answer."""


@dataclass
class Served:
    """A serving process: where it listens, and what it says."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(self, request: bytes) -> bytes:
        """The whole answer to one request on a connection of its own."""
        with socket.create_connection((HOST, self.port), PATIENCE_SECONDS) as connection:
            answer = exchange(connection, request)
        assert answer is not None, "the connection was closed without an answer"
        return answer

    def get(self, path: str) -> bytes:
        return self.ask(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


def exchange(connection: socket.socket, request: bytes) -> bytes | None:
    """The whole answer, ``None`` when the far side ends before its first byte. Errors: HalfAnswer."""
    answer = b""
    try:
        connection.sendall(request)
        while not _is_whole(answer):
            more = connection.recv(1 << 16)
            if not more:
                break
            answer += more
    except TimeoutError:
        raise
    except OSError:
        pass
    if answer and not _is_whole(answer):
        raise HalfAnswer(repr(answer))
    return answer or None


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) >= int(lengths[0])


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def program(tree: Path | None = None) -> list[str]:
    """The command line's beginning: the installed program, or the one of another source tree."""
    if tree is None:
        return [str(Path(sys.executable).with_name("tillgate"))]
    # -P: what lies in the current directory is the installed program, not the other one.
    return [sys.executable, "-P", "-c", "from gateway.cli import run; run()"]


def surroundings(environ: Mapping[str, str], tree: Path | None = None) -> dict[str, str]:
    return {**os.environ, **environ, **({"PYTHONPATH": str(tree)} if tree else {})}


def tillgate(*arguments: str | Path, tree: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """A command, run to its end."""
    command = [*program(tree), *map(str, arguments)]
    return subprocess.run(
        command, env=surroundings(environ, tree), capture_output=True, text=True, timeout=300, check=False
    )


@contextmanager
def serving(
    config: Path, url: str, environ: Mapping[str, str], *options: str, tree: Path | None = None
) -> Iterator[Served]:
    """``tillgate serve``, ready; whoever of its process group is left at the end is killed."""
    port = load.free_port()
    log = config.parent / f"serve-{port}.log"
    command = [*program(tree), "serve", "--config", str(config), "--database-url", url]
    command += ["--host", HOST, "--port", str(port), *options]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, process_group=0, env=surroundings(environ, tree)
        )
    try:
        assert load.wait_for((HOST, port), "/health/ready", PATIENCE_SECONDS), log.read_text()[-3_000:]
        yield Served(process, port, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)


def receipts(cards: messages.Cards, count: int, run: str) -> list[bytes]:
    """So many requests with a receipt each; ``run`` (8 hex digits) makes their keys new."""
    return list(itertools.islice(messages.receipts(TRANSACTIONS, HOST, cards, run), count))


@dataclass
class Tills:
    """Clients that send every request once, each on a connection that it keeps, until the server is gone.

    ``pause_seconds`` after each answer leave the machine to whom the test is about.
    """

    port: int
    requests: Sequence[bytes]
    clients: int
    answers: dict[int, bytes] = field(default_factory=dict)
    unanswered: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    on_answer: Callable[[int], None] = lambda count: None
    pause_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._places = iter(range(len(self.requests)))
        self._threads = [threading.Thread(target=self._run) for _ in range(self.clients)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send nothing new, and wait for the answers."""
        with self._lock:
            self._places = iter(range(0))
        self.wait()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS * 2)
        assert not any(thread.is_alive() for thread in self._threads)

    def wait_for(self, count: int) -> None:
        """Until so many are answered."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while len(self.answers) < count and time.monotonic() < limit:
            time.sleep(0.005)
        assert len(self.answers) >= count

    def _run(self) -> None:
        try:
            connection = socket.create_connection((HOST, self.port), PATIENCE_SECONDS)
        except OSError:
            return
        with connection:
            while self._one(connection):
                time.sleep(self.pause_seconds)

    def _one(self, connection: socket.socket) -> bool:
        """Send the next request; whether to go on."""
        with self._lock:
            place = next(self._places, None)
        if place is None:
            return False
        try:
            answer = exchange(connection, self.requests[place])
        except (HalfAnswer, TimeoutError) as error:
            self.problems.append(f"request {place}: {error!r}")
            return False
        with self._lock:
            if answer is None:
                self.unanswered.add(place)
                return False
            self.answers[place] = body_of(answer)
            if not answer.startswith(b"HTTP/1.1 200") or GOOD not in answer:
                self.problems.append(f"request {place}: {answer[:300]!r}")
            self.on_answer(len(self.answers))
        return b"connection: close" not in answer.partition(b"\r\n\r\n")[0].lower()
