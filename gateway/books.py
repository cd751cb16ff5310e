"""The way from a request's thread to the core: reads and writes gathered, each into batches of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway import committer, metrics
from gateway.gather import Gather
from gateway.settings import GatewaySettings
from processing.commands import Ask, Command, PlaceHold, Query, ReadHold, ReleaseHold
from processing.execute import MAX_BATCH, Core, Outcome
from processing.results import HoldReleased, HoldTold

Execute = Callable[[Sequence[Any]], list[Outcome]]
# The same, and how long whoever asks waits at most; None: as long as everybody.
Waiting = Callable[[Sequence[Any], float | None], list[Outcome]]


class Books:
    """``ask`` from many threads. With a committer's socket writes go to that process, else they run here."""

    def __init__(self, core: Core, settings: GatewaySettings, socket: Path | None = None) -> None:
        bounds: dict[str, Any] = {
            "limit": settings.queue_limit,
            "seconds": settings.answer_seconds,
            "batch": MAX_BATCH,
        }
        self._read: Waiting = Gather(measured("read", core.answer), **bounds)
        self._write: Waiting
        if socket is None:
            self._write = Gather(measured("write", core.execute), **bounds)
        else:
            self._write = committer.Client(socket, settings.answer_seconds)

    def ask(self, asks: Sequence[Ask[Any]], seconds: float | None = None) -> list[Outcome]:
        """The outcome of each ask, in order: all commands in one transaction, then the queries.

        ``seconds``: neither waits longer for its batch.

        Who gives up whatever is held under a key may ask so with every breath: that is looked at first, and where
        nothing is held nothing is written. What is about to be held is not there to be looked at yet.
        """
        releases = [ask for ask in asks if isinstance(ask, ReleaseHold) and ask.hold in ask.keys]
        if releases:
            placed = {key for ask in asks if isinstance(ask, PlaceHold) for key in ask.keys}
            releases = [ask for ask in releases if ask.hold not in placed]
        if releases and not self._is_any_held(releases, seconds):
            nothing = HoldReleased(outcome="nothing", at=datetime.now(UTC))
            others = [ask for ask in asks if ask not in releases]
            rest = iter(self.ask(others, seconds) if others else ())
            return [nothing if ask in releases else next(rest) for ask in asks]
        commands = [ask for ask in asks if isinstance(ask, Command)]
        if not commands:
            return self._read(asks, seconds)
        outcomes = self._write(commands, seconds)
        if len(commands) == len(asks):
            return outcomes
        written = iter(outcomes)
        read = iter(self._read([ask for ask in asks if isinstance(ask, Query)], seconds))
        return [next(written if isinstance(ask, Command) else read) for ask in asks]

    def _is_any_held(self, releases: Sequence[ReleaseHold], seconds: float | None) -> bool:
        found = self._read([ReadHold(store=ask.store, key=ask.hold) for ask in releases], seconds)
        return any(isinstance(outcome, HoldTold) and outcome.state == "open" for outcome in found)


def measured(kind: str, run: Execute) -> Execute:
    """The same, with every batch's size and duration observed."""

    def run_measured(asks: Sequence[Any]) -> list[Outcome]:
        started = time.perf_counter()
        outcomes = run(asks)
        metrics.observe_batch(kind, len(asks), time.perf_counter() - started)
        return outcomes

    return run_measured
