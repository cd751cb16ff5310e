"""What every till said and heard: kept raw and encrypted, shown masked, thrown away in time.

``record`` only puts the message into a bounded buffer; one daemon thread of each process compresses, encrypts
and writes batches in transactions of their own, so that neither a till nor the books ever wait for the log.
What does not fit, or cannot be written, is counted and forgotten.
"""

from __future__ import annotations

import functools
import os
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import unquote
from weakref import ref

import msgspec
import psycopg
import structlog
import zstandard
from sqlalchemy import Connection, Engine, create_engine, delete, event, func, insert, or_, select

from gateway import metrics
from gateway.settings import ExchangeLogLimits
from processing.database import sqlstate
from processing.secrets import EXCHANGE_LOG, SecretsError, Vault
from processing.tables import exchange_log

log = structlog.get_logger()

MEGABYTE = 1 << 20
BATCH_ROWS = 200
BATCH_BYTES = 8 * MEGABYTE
GATHER_SECONDS = 0.05
# One attempt and one more after each of these waits; meanwhile the buffer fills, and beyond its bound drops.
RETRY_WAITS = (0.1, 0.5, 2.0, 5.0)
SQLITE_BUSY_SECONDS = 5.0
# What a waiting message costs in memory beside its bytes, and a stored one on disk.
ROW_OVERHEAD_BYTES = 200
PRUNE_ROWS = 1000
PRUNE_BITES = 100
PRUNE_SECONDS = 60.0
# No message is larger: what a route accepts is bounded far below.
MAX_OPENED = 64 * MEGABYTE
# The route of what was found in a file, or by asking a far side; nobody answers it, and no replay plays it.
FILE = "file"
# Nothing that was said, and nothing that answers.
NO_STATUS = 0
# Characters of why a message made no sense.
MAX_REASON = 300
SAMPLE_PLACES = 32
SAMPLE_ROWS = 16

_COLUMNS = ("link", "at", "request_id", "route", "outcome", "status", "took_us", "request", "answer")
_COPY = f"COPY exchange_log ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_COPY_TYPES = ("text", "timestamptz", "text", "text", "text", "int2", "int4", "bytea", "bytea")


class Exchange(NamedTuple):
    """One message and its answer, as it was recorded or is read back."""

    link: str
    at: datetime
    request_id: str
    route: str
    outcome: str
    status: int
    took_us: int
    request: bytes
    answer: bytes


class Request(msgspec.Struct, frozen=True, array_like=True):
    """A request as the log keeps it: the bytes, and as much of its head as is needed to play it again.

    ``reason``: of a message that made no sense, where and what was expected; never what stood there. ``query`` comes
    without the link's secret.
    """

    method: str
    path: str
    content_type: str
    body: bytes
    reason: str = ""
    query: str = ""

    @property
    def head(self) -> str:
        """Method, address and type as a line; it shows what it shows until it is masked."""
        address = f"{self.path}?{unquote(self.query)}" if self.query else self.path
        return f"{self.method} {address}  {self.content_type}"


class Recorded(NamedTuple):
    """A row of the log, opened. ``problem`` says why the bytes are missing when they cannot be opened."""

    id: int
    link: str
    at: datetime
    request_id: str
    route: str
    outcome: str
    status: int
    took_us: int
    request: Request
    answer: bytes
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the process began: written; dropped because the buffer was full; failed to be written."""

    written: int
    dropped: int
    failed: int


def pack_request(method: str, path: str, content_type: str, body: bytes, reason: str = "", query: str = "") -> bytes:
    """What ``record`` takes as the request. ``path`` and ``query`` come without the link's secret."""
    reason = reason[:MAX_REASON]
    try:
        return _encode(Request(method, path, content_type, body, reason, query))
    except UnicodeEncodeError:  # bytes that a server has smuggled into text as lone surrogates
        head = (_plain(method), _plain(path), _plain(content_type))
        return _encode(Request(*head, body, _plain(reason), _plain(query)))


# One context, kept: zlib takes 256 KB of fresh memory for every message. Only the writing thread compresses.
_compress = zstandard.ZstdCompressor(level=1).compress
_encode: Callable[[Request], bytes] = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Request] = msgspec.msgpack.Decoder(Request).decode


class ExchangeLog:
    """The log of one process. The writing thread starts with the first record, in the process that records.

    On PostgreSQL it borrows a connection of ``engine`` for each batch; for an SQLite file it opens one of its
    own, which waits its turn behind the books.
    """

    def __init__(self, engine: Engine, vault: Vault, limits: ExchangeLogLimits) -> None:
        self._books = engine
        self._vault = vault
        self._limits = limits
        self._max_rows = limits.buffer_messages
        self._max_bytes = limits.buffer_megabytes * MEGABYTE
        self._written = self._dropped = self._failed = 0
        self._begin()
        os.register_at_fork(after_in_child=functools.partial(_begin_again, ref(self)))

    def _begin(self) -> None:
        """An empty buffer and no thread: at the start, and in a forked child (its parent writes the rest)."""
        self._waiting: deque[Exchange] = deque()
        self._held_rows = self._held_bytes = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        self._state = threading.Condition(threading.Lock())
        self._stop = threading.Event()
        self._prune_at = monotonic()

    def record(
        self,
        link: str,
        at: datetime,
        request_id: str,
        route: str,
        outcome: str,
        status: int,
        took_us: int,
        request: bytes,
        answer: bytes,
    ) -> None:
        """Keep this exchange, unless the buffer is full. Never blocks and never fails; a few microseconds."""
        size = len(request) + len(answer) + ROW_OVERHEAD_BYTES
        row = Exchange(link, at, request_id, route, outcome, status, took_us, request, answer)
        with self._state:
            if self._held_rows >= self._max_rows or self._held_bytes + size > self._max_bytes or self._closing:
                self._dropped += 1
                metrics.log_rows.labels("dropped").inc()
                return
            self._waiting.append(row)
            self._held_rows += 1
            self._held_bytes += size
            if len(self._waiting) in (1, BATCH_ROWS):
                self._state.notify_all()
            if self._thread is None:
                self._start()

    def counters(self) -> Counters:
        """What happened so far, for metrics."""
        return Counters(self._written, self._dropped, self._failed)

    def flush(self, timeout: float) -> bool:
        """Wait until all that was recorded is written or given up; False when time is up first."""
        with self._state:
            return self._state.wait_for(lambda: self._held_rows == 0, timeout)

    def close(self, timeout: float) -> bool:
        """Take no more, write what waits, end the thread; False when time is up first."""
        deadline = monotonic() + timeout
        with self._state:
            self._closing = True
            thread = self._thread
            self._state.notify_all()
        flushed = self.flush(timeout)
        self._stop.set()
        if thread is not None:
            thread.join(max(0.0, deadline - monotonic()))
        return flushed

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="exchange-log", daemon=True)
        with suppress(RuntimeError):  # no more threads just now, or the interpreter ends: the next record tries
            thread.start()
            self._thread = thread

    # The writing thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        engine = _log_engine(self._books)
        while batch := self._take():
            rows = self._sealed(batch)
            if rows and self._written_at_last(engine, rows):
                self._written += len(rows)
                metrics.log_rows.labels("written").inc(len(rows))
            else:
                self._failed += len(rows)
                metrics.log_rows.labels("failed").inc(len(rows))
            with self._state:
                self._held_rows -= len(batch)
                self._held_bytes -= sum(map(_size, batch))
                self._state.notify_all()
            self._prune_if_due(engine)
        if engine is not self._books:
            engine.dispose()

    def _prune_if_due(self, engine: Engine) -> None:
        """Keep the log inside its bounds: a few bites now and then, so that no message waits for long."""
        if monotonic() < self._prune_at:
            return
        self._prune_at = monotonic() + PRUNE_SECONDS
        try:
            for _ in range(PRUNE_BITES):
                with engine.begin() as connection:
                    if not prune(connection, self._limits, datetime.now(UTC)):
                        break
        except Exception as error:
            log.warning("exchange_log_prune_failed", error=sqlstate(error))

    def _take(self) -> list[Exchange]:
        """The next batch, gathered for a moment; empty when the log is closing and nothing waits."""
        with self._state:
            self._state.wait_for(lambda: self._waiting or self._closing)
            self._state.wait_for(lambda: len(self._waiting) >= BATCH_ROWS or self._closing, GATHER_SECONDS)
            batch: list[Exchange] = []
            size = 0
            while self._waiting and len(batch) < BATCH_ROWS and size < BATCH_BYTES:
                batch.append(self._waiting.popleft())
                size += _size(batch[-1])
            return batch

    def _sealed(self, batch: Sequence[Exchange]) -> list[Exchange]:
        rows = []
        for row in batch:
            try:
                rows.append(_seal(self._vault, row))
            except Exception as error:
                self._failed += 1
                log.error("exchange_log_row_failed", error=type(error).__name__, link=row.link)
        return rows

    def _written_at_last(self, engine: Engine, rows: Sequence[Exchange]) -> bool:
        """Write the batch, again after each wait if need be; False when it is given up."""
        for wait in (*RETRY_WAITS, None):
            try:
                _write(engine, rows)
                return True
            except Exception as error:
                log.warning("exchange_log_write_failed", error=sqlstate(error), rows=len(rows), again_in=wait)
            if wait is None or self._stop.wait(wait):
                break
        return False


def _begin_again(reference: ref[ExchangeLog]) -> None:
    exchange = reference()
    if exchange is not None:
        exchange._begin()


def _size(row: Exchange) -> int:
    return len(row.request) + len(row.answer) + ROW_OVERHEAD_BYTES


def _aad(part: str, request_id: str) -> bytes:
    return f"exchange_log|{part}|{request_id}".encode()


def _seal(vault: Vault, row: Exchange, compress: Callable[[bytes], bytes] = _compress) -> Exchange:
    """The row as it is stored: texts cut to their columns, bytes compressed and encrypted."""
    request_id = _fit(row.request_id, 36)
    return Exchange(
        _fit(row.link, 64),
        row.at,
        request_id,
        _fit(row.route, 64),
        _fit(row.outcome, 32),
        row.status,
        min(row.took_us, 2**31 - 1),
        vault.encrypt(EXCHANGE_LOG, compress(row.request), _aad("request", request_id)),
        vault.encrypt(EXCHANGE_LOG, compress(row.answer), _aad("answer", request_id)),
    )


def _fit(text: str, length: int) -> str:
    return _plain(text).replace("\x00", "")[:length]


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _log_engine(books: Engine) -> Engine:
    """Where the log is written from: the books' own engine, or a separate one for an SQLite file."""
    if books.dialect.name != "sqlite" or not books.url.database or ":memory:" in books.url.database:
        return books
    engine = create_engine(books.url, hide_parameters=True, connect_args={"timeout": SQLITE_BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The log may lose its last batch in a power cut; the next commit of the books syncs it anyway.
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def _write(engine: Engine, rows: Sequence[Exchange]) -> None:
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        if isinstance(driver, psycopg.Connection):
            _copy(driver, rows)
        else:
            connection.execute(insert(exchange_log), [row._asdict() for row in rows])


def _copy(driver: psycopg.Connection[Any], rows: Sequence[Exchange]) -> None:
    """One COPY for the batch. A commit that no till waits for need not wait for the disk either."""
    with driver.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        with cursor.copy(_COPY) as copy:
            copy.set_types(_COPY_TYPES)
            for row in rows:
                copy.write_row(row)


def finding(link: str, at: datetime, name: str, outcome: str, raw: Sequence[str], note: str) -> Exchange:
    """What was found amiss in the file of this name, or by asking: its lines as they came, and why."""
    said = pack_request(FILE.upper(), name, "text/plain; charset=utf-8", "\r\n".join(raw).encode("utf-8", "replace"))
    return Exchange(link, at, uuid.uuid4().hex, FILE, outcome, NO_STATUS, 0, said, note.encode("utf-8", "replace"))


def keep(connection: Connection, vault: Vault, rows: Sequence[Exchange]) -> None:
    """Write these in the transaction of the connection: findings must not be dropped."""
    if rows:
        compress = zstandard.ZstdCompressor(level=1).compress
        connection.execute(insert(exchange_log), [_seal(vault, row, compress)._asdict() for row in rows])


# Reading and pruning ----------------------------------------------------------------------------------------


def read(
    connection: Connection,
    vault: Vault,
    link: str,
    since: datetime | None,
    limit: int,
    outcome: str | None = None,
    behind: tuple[datetime, int] | None = None,
) -> list[Recorded]:
    """The newest ``limit`` exchanges of the link since then, oldest first: opened, but not masked.

    ``behind`` tells instant and id of the row before which they end: the next page of a list.
    """
    table = exchange_log.c
    statement = select(exchange_log).where(table.link == link)
    if since is not None:
        statement = statement.where(table.at >= since)
    if outcome is not None:
        statement = statement.where(table.outcome == outcome)
    if behind is not None:
        at, row_id = behind
        statement = statement.where(table.at <= at, or_(table.at < at, table.id < row_id))
    newest = statement.order_by(table.at.desc(), table.id.desc()).limit(limit)
    return [opened(vault, row) for row in reversed(connection.execute(newest).all())]


class Place(NamedTuple):
    """Where a message stands in the log, and when it was answered: the order in which its like were booked."""

    id: int
    link: str
    at: datetime
    took_us: int

    @property
    def answered_at(self) -> datetime:
        return self.at + timedelta(microseconds=self.took_us)


def places(connection: Connection, links: Sequence[str], since: datetime, limit: int) -> list[Place]:
    """The first ``limit`` messages of these links from then on, in the order in which they were answered."""
    table = exchange_log.c
    asked = select(table.id, table.link, table.at, table.took_us)
    asked = asked.where(table.link.in_(links), table.at >= since, table.route != FILE)
    found = connection.execute(asked.order_by(table.at, table.id).limit(limit))
    return sorted((Place(*row) for row in found), key=lambda place: (place.answered_at, place.id))


def oldest(connection: Connection) -> datetime | None:
    """When the oldest message came that is still in the log."""
    table = exchange_log.c
    return connection.execute(select(table.at).order_by(table.id).limit(1)).scalar()


def read_at(connection: Connection, vault: Vault, wanted: Sequence[Place]) -> list[Recorded]:
    """The messages at these places, opened, in their order; one that is gone meanwhile is missing."""
    asked = select(exchange_log).where(exchange_log.c.id.in_([place.id for place in wanted]))
    found = {row.id: row for row in connection.execute(asked)}
    return [opened(vault, found[place.id]) for place in wanted if place.id in found]


def opened(vault: Vault, row: Any) -> Recorded:
    """The row with its bytes; one that cannot be opened does not hide the others."""
    request, answer, problem = Request("", "", "", b""), b"", ""
    try:
        request = _decode(_unpacked(vault, row.request, _aad("request", row.request_id)))
        answer = _unpacked(vault, row.answer, _aad("answer", row.request_id))
    except (SecretsError, zstandard.ZstdError, msgspec.DecodeError) as error:
        problem = str(error)
    head = (row.id, row.link, row.at, row.request_id, row.route, row.outcome, row.status, row.took_us)
    return Recorded(*head, request, answer, problem)


def _unpacked(vault: Vault, blob: bytes, aad: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(vault.decrypt(blob, aad), MAX_OPENED)


def prune(connection: Connection, limits: ExchangeLogLimits, now: datetime) -> int:
    """Delete one bite of what is too old or too much, oldest first; how many rows. Repeat it until it says 0.

    Rows come in the order of time, so the oldest stand first by id, and no bite looks at more than
    PRUNE_ROWS of them.
    """
    table = exchange_log.c
    bite = connection.execute(select(table.id, table.at).order_by(table.id).limit(PRUNE_ROWS)).all()
    surplus = min(_surplus_rows(connection, limits.keep_megabytes * MEGABYTE), len(bite))
    cutoff = now - timedelta(days=limits.keep_days)
    doomed = [row.id for n, row in enumerate(bite) if n < surplus or row.at < cutoff]
    if doomed:
        connection.execute(delete(exchange_log).where(table.id.in_(doomed)))
    return len(doomed)


def _surplus_rows(connection: Connection, keep_bytes: int) -> int:
    """How many rows stand beyond ``keep_bytes``: their number by id, their size by a sample spread evenly."""
    table = exchange_log.c
    first, last = connection.execute(select(func.min(table.id), func.max(table.id))).one()
    if first is None:
        return 0
    size = func.length(table.request) + func.length(table.answer)
    step = max(1, (last - first) // SAMPLE_PLACES)
    sizes: list[int] = []
    for start in range(first, last + 1, step):
        sample = select(size).where(table.id >= start).order_by(table.id).limit(SAMPLE_ROWS)
        sizes += connection.execute(sample).scalars()
    if not sizes:  # another worker has just thrown them away
        return 0
    average = sum(sizes) // len(sizes) + ROW_OVERHEAD_BYTES
    rows: int = last - first + 1
    return max(0, rows - keep_bytes // average)
