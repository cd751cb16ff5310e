"""The way from a request's thread to the core: reads and writes gathered, each into batches of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway import committer, metrics
from gateway.gather import Gather
from gateway.settings import GatewaySettings
from processing.commands import Ask, Command, Query
from processing.execute import MAX_BATCH, Core, Outcome

Execute = Callable[[Sequence[Any]], list[Outcome]]


class Books:
    """``ask`` from many threads. With a committer's socket writes go to that process, else they run here."""

    def __init__(self, core: Core, settings: GatewaySettings, socket: Path | None = None) -> None:
        bounds: dict[str, Any] = {
            "limit": settings.queue_limit,
            "seconds": settings.answer_seconds,
            "batch": MAX_BATCH,
        }
        self._read: Execute = Gather(measured("read", core.answer), **bounds)
        self._write: Execute
        if socket is None:
            self._write = Gather(measured("write", core.execute), **bounds)
        else:
            self._write = committer.Client(socket, settings.answer_seconds)

    def ask(self, asks: Sequence[Ask[Any]]) -> list[Outcome]:
        """The outcome of each ask, in order: all commands in one transaction, then the queries."""
        commands = [ask for ask in asks if isinstance(ask, Command)]
        if not commands:
            return self._read(asks)
        written = iter(self._write(commands))
        if len(commands) == len(asks):
            return list(written)
        read = iter(self._read([ask for ask in asks if isinstance(ask, Query)]))
        return [next(written if isinstance(ask, Command) else read) for ask in asks]


def measured(kind: str, run: Execute) -> Execute:
    """The same, with every batch's size and duration observed."""

    def run_measured(asks: Sequence[Any]) -> list[Outcome]:
        started = time.perf_counter()
        outcomes = run(asks)
        metrics.observe_batch(kind, len(asks), time.perf_counter() - started)
        return outcomes

    return run_measured
