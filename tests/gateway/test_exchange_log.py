"""The exchange log keeps what was said, readable for nobody without the key, and never gets in the way."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text, update

import gateway.exchange_log as module
from gateway.exchange_log import ExchangeLog, Recorded, Request, pack_request, prune, read
from gateway.exchange_view import block
from gateway.settings import ExchangeLogLimits
from processing.database import Database
from processing.secrets import EXCHANGE_LOG, Vault
from processing.tables import exchange_log, metadata

NOW = datetime(2026, 5, 4, 18, 30, tzinfo=UTC)
VAULT = Vault(b"m" * 32, b"i" * 32, {5: (EXCHANGE_LOG, b"k" * 32)})
LIMITS = ExchangeLogLimits()
PRUNE_IF_DUE = ExchangeLog._prune_if_due
BODY = '<ROOT><Holder cardcode="5550001234567890">Иван Петров</Holder></ROOT>'.encode()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    database = Database(f"sqlite:///{tmp_path / 'books.db'}")
    metadata.create_all(database.writer)
    yield database.writer
    database.dispose()


@pytest.fixture(autouse=True)
def is_not_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The messages here are old by the clock: the writing thread would throw them away at once."""
    monkeypatch.setattr(ExchangeLog, "_prune_if_due", lambda *_: None)


@pytest.fixture
def opened(engine: Engine) -> Iterator[ExchangeLog]:
    exchange = ExchangeLog(engine, VAULT, LIMITS)
    yield exchange
    exchange.close(5)


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_WAITS", (0.0, 0.0))


def put(exchange: ExchangeLog, n: int = 0, body: bytes = BODY, **changes: Any) -> None:
    fields = {
        "link": "bistro",
        "at": NOW + timedelta(seconds=n),
        "request_id": f"request-{n}",
        "route": "transactionsex",
        "outcome": "ok",
        "status": 200,
        "took_us": 1500,
        "request": pack_request("POST", "/transactionsex", "text/xml", body),
        "answer": b"<Root/>",
    }
    exchange.record(**(fields | changes))


def rows(engine: Engine, **options: Any) -> list[module.Recorded]:
    with engine.connect() as connection:
        return read(connection, VAULT, **({"link": "bistro", "since": None, "limit": 1000} | options))


def test_message_comes_back_as_it_was_sent(engine: Engine, opened: ExchangeLog) -> None:
    put(opened)
    assert opened.close(5)
    (row,) = rows(engine)
    assert row.request == module.Request("POST", "/transactionsex", "text/xml", BODY)
    assert (row.answer, row.at, row.outcome, row.status, row.took_us) == (b"<Root/>", NOW, "ok", 200, 1500)
    assert opened.counters() == module.Counters(written=1, dropped=0, failed=0)


@given(body=st.binary(max_size=300))
def test_unreadable_messages_are_packed_unchanged(body: bytes) -> None:
    row = module.Exchange("l", NOW, "r", "", "bad_message", 200, 1, pack_request("POST", "/", "", body), b"")
    sealed = module._seal(VAULT, row)
    assert module._decode(module._unpacked(VAULT, sealed.request, b"exchange_log|request|r")).body == body


def test_unreadable_message_is_kept(engine: Engine, opened: ExchangeLog) -> None:
    put(opened, body=b"\x00\xff<ROOT", outcome="bad_message", route="")
    opened.close(5)
    assert rows(engine)[0].request.body == b"\x00\xff<ROOT"


def test_path_of_broken_bytes_is_kept_as_far_as_it_goes() -> None:
    packed = pack_request("POST", "/card\udcff", "text/xml", b"x")
    assert module._decode(packed) == module.Request("POST", "/card?", "text/xml", b"x")


def test_a_reason_is_kept_within_its_bound_and_rows_from_before_it_have_none() -> None:
    packed = pack_request("POST", "/", "text/xml", b"x", "Summa: expected kopecks " * 100)
    assert len(module._decode(packed).reason) == module.MAX_REASON
    before = msgspec.msgpack.encode(["POST", "/", "text/xml", b"x"])
    assert module._decode(before).reason == ""


def test_stored_row_shows_nothing_of_the_message(engine: Engine, opened: ExchangeLog) -> None:
    put(opened)
    opened.close(5)
    with engine.connect() as connection:
        stored = connection.execute(select(exchange_log.c.request, exchange_log.c.answer)).one()
    for secret in (b"5550001234567890", "Иван".encode(), b"ROOT", b"transactionsex"):
        assert all(secret not in bytes(blob) for blob in stored)


def test_bytes_moved_to_another_row_do_not_open(engine: Engine, opened: ExchangeLog) -> None:
    put(opened, 1)
    put(opened, 2)
    opened.close(5)
    with engine.begin() as connection:
        moved = select(exchange_log.c.request).where(exchange_log.c.request_id == "request-1").scalar_subquery()
        connection.execute(update(exchange_log).where(exchange_log.c.request_id == "request-2").values(request=moved))
    good, bad = rows(engine)
    assert good.request.body == BODY
    assert not good.problem
    assert bad.request.body == b""
    assert "does not open" in bad.problem


def test_request_and_answer_do_not_change_places(engine: Engine, opened: ExchangeLog) -> None:
    put(opened)
    opened.close(5)
    with engine.begin() as connection:
        connection.execute(update(exchange_log).values(answer=exchange_log.c.request))
    assert "does not open" in rows(engine)[0].problem


def test_many_threads_lose_nothing(engine: Engine, opened: ExchangeLog) -> None:
    def work(n: int) -> None:
        for i in range(100):
            put(opened, n * 100 + i)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened.flush(10)
    assert {row.request_id for row in rows(engine)} == {f"request-{n}" for n in range(800)}
    assert opened.counters().written == 800


def test_buffer_is_bounded_by_messages_and_drops_are_counted(engine: Engine, blocked: Callable[[], None]) -> None:
    exchange = ExchangeLog(engine, VAULT, ExchangeLogLimits(buffer_messages=10))
    for n in range(25):
        put(exchange, n)
    assert exchange.counters().dropped == 15
    blocked()
    assert exchange.close(5)
    assert exchange.counters() == module.Counters(written=10, dropped=15, failed=0)
    assert [row.request_id for row in rows(engine)] == [f"request-{n}" for n in range(10)]


def test_buffer_is_bounded_by_bytes(engine: Engine, blocked: Callable[[], None]) -> None:
    exchange = ExchangeLog(engine, VAULT, ExchangeLogLimits(buffer_megabytes=1))
    for n in range(5):
        put(exchange, n, bytes(300_000))
    assert exchange.counters().dropped == 2
    blocked()
    assert exchange.close(5)
    put(exchange)
    assert exchange.counters() == module.Counters(written=3, dropped=3, failed=0)


def test_room_in_the_buffer_comes_back(engine: Engine) -> None:
    exchange = ExchangeLog(engine, VAULT, ExchangeLogLimits(buffer_messages=1))
    for n in range(3):
        put(exchange, n)
        assert exchange.flush(5)
    assert exchange.close(5)
    assert exchange.counters() == module.Counters(written=3, dropped=0, failed=0)


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Writing waits until this is called."""
    go, write = threading.Event(), module._write
    monkeypatch.setattr(module, "_write", lambda *args: go.wait(10) and write(*args))
    return go.set


@pytest.mark.usefixtures("no_waits")
def test_failed_write_is_tried_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    write, failures = module._write, [OSError("down"), OSError("down")]

    def shaky(*args: Any) -> None:
        if failures:
            raise failures.pop()
        write(*args)

    monkeypatch.setattr(module, "_write", shaky)
    exchange = ExchangeLog(engine, VAULT, LIMITS)
    put(exchange)
    assert exchange.close(5)
    assert exchange.counters() == module.Counters(written=1, dropped=0, failed=0)


@pytest.mark.usefixtures("no_waits")
def test_lost_table_never_reaches_the_till(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE exchange_log RENAME TO away"))
    exchange = ExchangeLog(engine, VAULT, LIMITS)
    put(exchange, 1)
    assert exchange.flush(5)
    assert exchange.counters() == module.Counters(written=0, dropped=0, failed=1)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO exchange_log"))
    put(exchange, 2)
    assert exchange.close(5)
    assert [row.request_id for row in rows(engine)] == ["request-2"]


def test_bad_row_does_not_take_the_others_along(engine: Engine, opened: ExchangeLog) -> None:
    put(opened, 1, route="x\x00" * 100, outcome="o\udcff" * 100, took_us=10**12)
    put(opened, 2, request="not bytes")
    put(opened, 3)
    assert opened.close(5)
    assert [row.request_id for row in rows(engine)] == ["request-1", "request-3"]
    assert opened.counters() == module.Counters(written=2, dropped=0, failed=1)


def test_log_waits_while_the_books_write(engine: Engine, opened: ExchangeLog) -> None:
    with engine.begin() as books:
        books.execute(text("UPDATE data_key SET id = id"))
        put(opened)
        assert not opened.flush(0.3) or engine.dialect.name != "sqlite"
    assert opened.close(5)
    assert len(rows(engine)) == 1


def _child(exchange: ExchangeLog) -> None:
    put(exchange, 2)
    assert exchange.close(5)


def test_forked_process_writes_its_own_messages_once(engine: Engine, opened: ExchangeLog) -> None:
    put(opened, 1)
    engine.dispose()
    child = multiprocessing.get_context("fork").Process(target=_child, args=(opened,))
    child.start()
    child.join(10)
    assert child.exitcode == 0
    assert opened.close(5)
    assert sorted(row.request_id for row in rows(engine)) == ["request-1", "request-2"]


def test_record_costs_the_request_little(engine: Engine, opened: ExchangeLog) -> None:
    started = time.thread_time()
    for n in range(1000):
        opened.record("bistro", NOW, str(n), "r", "ok", 200, 1, BODY, b"")
    assert (time.thread_time() - started) / 1000 < 50e-6


def test_read_tells_the_newest_of_one_link_in_order(engine: Engine, opened: ExchangeLog) -> None:
    for n in range(6):
        put(opened, n, outcome="card_not_found" if n % 2 else "ok")
    put(opened, 9, link="garden")
    opened.close(5)
    assert [row.request_id for row in rows(engine, limit=2)] == ["request-4", "request-5"]
    assert len(rows(engine, since=NOW + timedelta(seconds=3))) == 3
    assert [row.request_id for row in rows(engine, outcome="card_not_found", limit=2)] == ["request-3", "request-5"]


def test_a_line_of_a_file_is_shown_without_a_status_that_nobody_was_told() -> None:
    line = Recorded(
        1,
        "site",
        datetime(2026, 5, 4, tzinfo=UTC),
        "r1",
        "file",
        "bad_message",
        0,
        0,
        Request("FILE", "a", "", b"x"),
        b"",
    )
    assert "HTTP" not in next(block(line, frozenset(), ZoneInfo("UTC")))
    assert "HTTP 200" in next(block(line._replace(status=200), frozenset(), ZoneInfo("UTC")))


def test_prune_deletes_what_is_too_old_in_bites(engine: Engine, opened: ExchangeLog, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "PRUNE_ROWS", 4)
    for n in range(10):
        put(opened, n, at=NOW - timedelta(days=40 if n < 7 else 1))
    opened.close(5)
    assert pruned(engine, LIMITS) == [4, 3, 0]
    assert len(rows(engine)) == 3


def test_prune_deletes_the_oldest_above_the_size(engine: Engine, opened: ExchangeLog, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "MEGABYTE", 10_000)
    monkeypatch.setattr(module, "PRUNE_ROWS", 15)
    for n in range(50):
        put(opened, n)
    opened.close(5)
    bites = pruned(engine, ExchangeLogLimits(keep_megabytes=1))
    left = rows(engine)
    with engine.connect() as connection:
        size = connection.execute(
            select(func.sum(func.length(exchange_log.c.request) + func.length(exchange_log.c.answer)))
        ).scalar_one()
    assert sum(bites) == 50 - len(left) > 0
    assert max(bites) <= 15
    assert [row.request_id for row in left] == [f"request-{n}" for n in range(50 - len(left), 50)]
    assert 9_000 < size + module.ROW_OVERHEAD_BYTES * len(left) <= 10_000


def test_writing_thread_prunes_now_and_then(engine: Engine, opened: ExchangeLog) -> None:
    put(opened)
    assert opened.flush(5)
    PRUNE_IF_DUE(opened, engine)
    assert rows(engine) == []
    put(opened)
    assert opened.close(5)
    PRUNE_IF_DUE(opened, engine)
    assert len(rows(engine)) == 1


def test_prune_of_an_empty_log_does_nothing(engine: Engine) -> None:
    assert pruned(engine, LIMITS) == [0]


def pruned(engine: Engine, limits: ExchangeLogLimits) -> list[int]:
    bites = []
    while not bites or bites[-1]:
        with engine.begin() as connection:
            bites.append(prune(connection, limits, NOW))
    return bites
