"""Reads one file into the books: what its adapter finds is booked in batches, and whatever is amiss is kept.

While a batch is booked the one before it is remembered, the one behind it looked up, and the next one read. What was
booked is remembered by its lines (processing/series.py), in a transaction behind that of the books: a crash between
the two repeats the batch, and the books know its keys.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import Connection

from adapters.contract import FileFace, FileMark, FileWrite, Found, Link, Outcome, Source
from gateway import metrics
from gateway.exchange_log import Exchange, finding, keep
from processing import series
from processing.commands import Command
from processing.errors import AlreadyVoided, BadMessage, Busy, KeyReused, LoyaltyError
from processing.execute import MAX_BATCH, Core
from processing.results import ReceiptPosted, ReceiptReturned
from processing.secrets import Vault
from processing.series import CONFLICT, FORMER, KNOWN, NEW, Known

POSTED, ALREADY_KNOWN, VOIDED, MISMATCH, QUARANTINED, REFUSED = OUTCOMES = (
    "posted",
    "already_known",
    "voided",
    "mismatch",
    "quarantined",
    "refused",
)
# Two of the core's, for two processes have one each; a little less, because their shares are not even, and what is
# beyond the core's bound costs a transaction of its own.
BATCH = 2 * (MAX_BATCH - 24)
# What an operator has to look at.
TROUBLES = (MISMATCH, QUARANTINED, REFUSED, "broken")
# Of each kind so many are told, and so many of a file go into the exchange log; the rest is counted.
MAX_NOTES, MAX_LOGGED = 20, 1_000
MAX_NOTE = 255
DIGEST_BYTES = 8

log = structlog.get_logger()


class Stopped(Exception):
    """The process is to end: the file is read again by whoever comes next."""


@dataclass
class Summary:
    """What a file came to: documents by outcome, and of those that were posted the flags that an operator looks for."""

    counts: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    notes: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, kind: str, note: str) -> None:
        self.counts[kind] += 1
        told = self.notes.setdefault(kind, [])
        if note and len(told) < MAX_NOTES:
            told.append(note[:MAX_NOTE])

    @property
    def has_troubles(self) -> bool:
        return any(self.counts[kind] for kind in TROUBLES)

    def __str__(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()) if count) or "nothing"


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one Found. ``code`` is the outcome in the exchange log, where it belongs there."""

    found: Found
    kind: str
    code: str = ""
    flags: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether its lines need not be looked at again."""
        return self.kind not in (QUARANTINED, REFUSED, "broken")


@dataclass(frozen=True, slots=True)
class _Batch:
    """What was found, how its lines were judged, and the books' answers once they come."""

    found: Sequence[Found]
    known: Known
    judged: Sequence[str]
    asked: Sequence[int]
    outcomes: Future[list[Outcome]]


@dataclass
class FileImport:
    """One file. ``hold`` is told each transaction that follows a batch: it raises where the work is another's by now.

    ``execute`` runs commands, if not the core itself. ``asks_again``: also what is known is asked, so that a person
    who reads a file once more hears all of it. ``amiss`` are digests of what was amiss in this reading, and
    ``amiss_before`` in the last one, which is in the exchange log already.
    """

    core: Core
    vault: Vault
    link: Link
    hold: Callable[[Connection], None]
    is_stopped: Callable[[], bool] = lambda: False
    execute: Callable[[Sequence[Command[Any]]], list[Outcome]] | None = None
    asks_again: bool = False
    seen: Callable[[Summary], None] = lambda summary: None
    summary: Summary = field(default_factory=Summary)
    amiss_before: Set[str] = frozenset()
    amiss: set[str] = field(default_factory=set)
    state: Any = None
    writes: list[FileMark | FileWrite] = field(default_factory=list)
    # The batch that is being booked.
    _booked: _Batch | None = field(init=False, default=None)

    def read(self, face: FileFace, source: Source) -> Summary:
        """Book all that the file tells; ``state`` and ``writes`` are what it leaves.

        Errors: BadMessage for a foreign file, Busy, Stopped, and whatever ``hold`` and reading raise.
        """
        began = time.monotonic()
        self.state = source.state
        # They are left in this order: who waits for the books ends before they do.
        with ThreadPoolExecutor(1, "books") as books, ThreadPoolExecutor(1, "import") as pool:
            step: Future[list[Settled]] | None = None
            try:
                for batch in _batches(face.read(source, self.link)):
                    self._note(step)
                    if self.is_stopped():
                        raise Stopped
                    step = pool.submit(self._book, books, source, batch)
            except BadMessage:
                self._note(step)
                self._note(pool.submit(self._end, source))
                raise
            self._note(step)
            self._note(pool.submit(self._end, source))
        self.summary.seconds = time.monotonic() - began
        for kind, count in self.summary.counts.items():
            metrics.file_documents.labels(self.link.code, kind).inc(count)
        return self.summary

    def _note(self, booking: Future[list[Settled]] | None) -> None:
        """Wait for a batch, and count it."""
        for settled in booking.result() if booking is not None else ():
            found = settled.found
            if found.state is not None:
                self.state = found.state
            self.writes += found.writes
            if settled.kind:
                self.summary.add(settled.kind, found.note if settled.kind not in (POSTED, ALREADY_KNOWN) else "")
            self.summary.flags.update(settled.flags)
        self.seen(self.summary)

    # Batches, in the other thread ---------------------------------------------------------------------------

    def _book(self, books: Executor, source: Source, found: Sequence[Found]) -> list[Settled]:
        """Have a batch booked; what came of the one before it, which is remembered meanwhile. Errors: Busy."""
        before, self._booked = self._booked, self._begun(books, found)
        return self._remembered(source, before) if before is not None else []

    def _end(self, source: Source) -> list[Settled]:
        """What came of the last batch. Errors: Busy."""
        return self._remembered(source, self._booked) if self._booked is not None else []

    def _begun(self, books: Executor, found: Sequence[Found]) -> _Batch:
        """The batch, looked up and on its way into the books, behind the one that is there now."""
        told = [each.series for each in found if each.series is not None]
        with self.core.work.database.reading() as connection:
            names = ((name, one.lines) for one in told for name in (one.name, *one.former))
            known = series.load(connection, self.link.code, names)
        if self._booked is not None:
            known.follow(self._booked.known)
        judged = [self._judged(known, each) for each in found]
        commands = [self._asks(each, verdict) for each, verdict in zip(found, judged, strict=True)]
        outcomes = books.submit(self.execute or self.core.execute, [command for some in commands for command in some])
        return _Batch(found, known, judged, [len(some) for some in commands], outcomes)

    def _asks(self, found: Found, verdict: str) -> list[Command[Any]]:
        asks = verdict == NEW or (verdict == KNOWN and self.asks_again)
        return [ask for ask in found.asks if isinstance(ask, Command)] if asks else []

    def _remembered(self, source: Source, batch: _Batch) -> list[Settled]:
        """What became of each, kept by its lines and, where it is amiss, in the exchange log. Errors: Busy."""
        outcomes = iter(batch.outcomes.result())
        settled = [
            _of(found, verdict, [next(outcomes) for _ in range(count)])
            for found, verdict, count in zip(batch.found, batch.judged, batch.asked, strict=True)
        ]
        found = {self._digest(each): each for each in settled if each.code}
        kept = [name for name in found if name not in self.amiss][: MAX_LOGGED - len(self.amiss)]
        self.amiss.update(kept)
        rows = [self._row(source, found[name]) for name in kept if name not in self.amiss_before]
        is_all_kept = found.keys() <= self.amiss
        for each, verdict in zip(settled, batch.judged, strict=True):
            one = each.found.series
            # What is known under a former name is another's under this one.
            if one is not None and verdict == NEW and each.is_over and (is_all_kept or not each.code):
                batch.known.settle(one.name, one.lines)
        database = self.core.work.database
        with database.transaction() as connection:
            # What a crash of the database takes of this is found again when the file is read again.
            database.commit_lazily(connection)
            self.hold(connection)
            batch.known.save(connection)
            keep(connection, self.vault, rows)
        return settled

    @staticmethod
    def _judged(known: Known, found: Found) -> str:
        one = found.series
        return known.judge(one.name, one.lines, one.former) if one is not None else NEW

    def _digest(self, settled: Settled) -> str:
        """What tells one thing amiss from another: under the index key, for a short line could be guessed."""
        text = "\n".join((settled.code, settled.found.note, *settled.found.raw))
        return self.vault.blind_index("amiss", text)[:DIGEST_BYTES].hex()

    def _row(self, source: Source, settled: Settled) -> Exchange:
        """The document's lines and what is amiss with them, for the exchange log."""
        found = settled.found
        return finding(self.link.code, source.at, source.name, settled.code, found.raw, found.note)


def _batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    """So many at a time, and what is left."""
    batch: list[Found] = []
    for each in found:
        batch.append(each)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    yield batch


def _of(found: Found, verdict: str, outcomes: Sequence[Outcome]) -> Settled:
    """Errors: Busy, for the whole file: it is read again."""
    if verdict == CONFLICT:
        return Settled(found, QUARANTINED, QUARANTINED)
    for outcome in outcomes:
        if isinstance(outcome, Busy):
            raise outcome
        if isinstance(outcome, LoyaltyError):
            return Settled(found, _kind_of(outcome), outcome.code)
    if not found.asks:
        return Settled(found, found.kind, "bad_message" if found.kind == "broken" else "")
    is_known = verdict in (KNOWN, FORMER) or all(outcome.replayed for outcome in outcomes)  # type: ignore[union-attr]
    if is_known:
        return Settled(found, ALREADY_KNOWN)
    flags = [
        flag for outcome in outcomes if isinstance(outcome, (ReceiptPosted, ReceiptReturned)) for flag in outcome.flags
    ]
    return Settled(found, POSTED, "", tuple(flags))


def _kind_of(refusal: LoyaltyError) -> str:
    if isinstance(refusal, KeyReused):
        return MISMATCH
    return VOIDED if isinstance(refusal, AlreadyVoided) else REFUSED
