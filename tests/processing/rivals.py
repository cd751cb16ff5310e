"""Many at once: threads of one core, and processes with cores of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from processing.commands import Command
from processing.database import Database
from processing.errors import Busy, LoyaltyError
from processing.execute import Core, Outcome
from tests.forked import CONTEXT
from tests.processing.books import Books

PROCESSES = 3
PATIENCE_SECONDS = 60
MAX_TRIES = 10


def race(work: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each returns, all started at one signal in threads of their own."""
    results: list[Any] = [None] * len(work)
    start = threading.Barrier(len(work))

    def run(place: int) -> None:
        start.wait(PATIENCE_SECONDS)
        try:
            results[place] = work[place]()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "somebody still waits"
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, LoyaltyError):
            raise result
    return results


def alone(core: Core, command: Command[Any]) -> Callable[[], Outcome]:
    return lambda: core.execute([command])[0]


def patient(core: Core, command: Command[Any]) -> Callable[[], Outcome]:
    """As ``alone``; Busy, for a lock that a loaded machine gave to others, decides nothing and is asked again."""

    def ask() -> Outcome:
        for _ in range(MAX_TRIES):
            outcome = core.execute([command])[0]
            if not isinstance(outcome, Busy):
                break
        return outcome

    return ask


def serve(url: str, pipe: Any) -> None:
    """A process with a core of its own: batches in, outcomes out, until None."""
    books = Books.of(Database(url), None)
    pipe.send("ready")
    while (batches := pipe.recv()) is not None:
        try:
            pipe.send([outcome for batch in batches for outcome in books.core.execute(batch)])
        except Exception as error:
            pipe.send(RuntimeError(repr(error)))
    books.database.dispose()


class Team:
    """Processes that are told at once and answer in their order."""

    def __init__(self, url: str, size: int, serve: Callable[[str, Any], None] = serve) -> None:
        self.pipes, self.processes = [], []
        for _ in range(size):
            ours, theirs = CONTEXT.Pipe()
            process = CONTEXT.Process(target=serve, args=(url, theirs), daemon=True)
            process.start()
            self.pipes.append(ours)
            self.processes.append(process)
        self._receive()

    def ask(self, work: Sequence[Any]) -> list[Any]:
        """What each process answers to its work; of ``serve`` the outcomes of its batches."""
        for pipe, own in zip(self.pipes, work, strict=True):
            pipe.send(own)
        return self._receive()

    def _receive(self) -> list[Any]:
        answers = []
        for pipe in self.pipes:
            assert pipe.poll(PATIENCE_SECONDS), "a process does not answer"
            answers.append(pipe.recv())
            if isinstance(answers[-1], Exception):
                raise answers[-1]
        return answers

    def end(self) -> None:
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join(10)
            if process.is_alive():
                process.kill()


@contextmanager
def team(url: str, serve: Callable[[str, Any], None] = serve) -> Iterator[Team]:
    own = Team(url, PROCESSES, serve)
    try:
        yield own
    finally:
        own.end()
