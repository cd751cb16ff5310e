"""What is thrown away in time: what is old enough, nothing else, and a bite at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from processing import retention
from processing.database import Database
from processing.learned_receipts import KEPT
from processing.tables import chore, confirmation_code, hold, hold_pin, learned_receipt
from tests.processing.books import POINTS, Books, rows

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)
PRUNED = (confirmation_code, hold, hold_pin, learned_receipt)


@pytest.fixture(autouse=True)
def still(database: Database) -> None:
    database.clock = lambda now: NOW


def put(database: Database, *rows: dict[str, Any]) -> None:
    with database.transaction() as connection:
        for row in rows:
            (table,) = [table for table in PRUNED if set(row) == set(table.c.keys())]
            connection.execute(insert(table).values(row))


def code(number: int, sent_at: datetime) -> dict[str, Any]:
    return {
        "id": number,
        "phone_index": "0" * 32,
        "purpose": "redeem",
        "code": "0" * 64,
        "sent_at": sent_at,
        "expires_at": sent_at + timedelta(minutes=5),
        "tries": 0,
        "used_at": None,
    }


def a_hold(number: int, ended_at: datetime | None) -> dict[str, Any]:
    return {
        "id": number,
        "store_id": 1,
        "key": f"hold:{number}",
        "account_id": 1,
        "owner": "till",
        "amount": 100,
        "captured": 0,
        "state": "open" if ended_at is None else "released",
        "placed_at": (ended_at or NOW - 1_000 * DAY) - timedelta(minutes=5),
        "until": NOW,
        "ended_at": ended_at,
        "operation_id": None,
    }


def pin(number: int) -> dict[str, Any]:
    return {"hold_id": number, "lot_id": 1, "amount": 100}


def receipt(document: int, at: datetime, store: int = 1) -> dict[str, Any]:
    row = dict.fromkeys(learned_receipt.c.keys())
    told = {"store_id": store, "document": str(document), "at": at, "unit": POINTS, "sale": "", "till": "", "lines": []}
    return {**row, **told, "redeemed": 1, "earned": 0, "is_return": False, "is_withdrawn": False}


def left(database: Database, table: str, column: str = "id") -> list[int]:
    return [row[0] for row in rows(database, f"SELECT {column} FROM {table} ORDER BY 1")]


def test_code_goes_when_its_days_are_over_and_not_before(database: Database) -> None:
    put(database, code(1, NOW - 30 * DAY - MOMENT), code(2, NOW - 30 * DAY), code(3, NOW))
    assert retention.prune_codes(database, 30) == 1
    assert left(database, "confirmation_code") == [2, 3]
    assert retention.prune_codes(database, 30) == 0


def test_ended_hold_goes_with_its_pins_and_an_open_one_never(database: Database) -> None:
    old, young = NOW - 400 * DAY - MOMENT, NOW - 400 * DAY
    put(database, a_hold(1, None), a_hold(2, old), a_hold(3, young), pin(1), pin(2), pin(3))
    assert retention.prune_holds(database, 400) == 1
    assert left(database, "hold") == left(database, "hold_pin", "hold_id") == [1, 3]
    assert retention.prune_holds(database, 400) == 0


def test_bite_is_bounded_and_younger_rows_in_front_do_not_hide_old_ones(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BITE_ROWS", 2)
    monkeypatch.setattr(retention, "FRONT_ROWS", 6)
    put(database, code(1, NOW), code(2, NOW), *(code(n, NOW - 31 * DAY) for n in range(3, 10)))
    assert [retention.prune_codes(database, 30) for _ in range(5)] == [2, 2, 2, 1, 0]
    assert left(database, "confirmation_code") == [1, 2]


def test_rows_that_another_worker_has_in_hand_are_left_to_it(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    put(database, code(1, NOW - 31 * DAY), code(2, NOW - 31 * DAY))
    with database.transaction() as other:
        other.exec_driver_sql("SELECT id FROM confirmation_code WHERE id = 1 FOR UPDATE")
        assert retention.prune_codes(database, 30) == 1
        assert left(database, "confirmation_code") == [1]
    assert retention.prune_codes(database, 30) == 1


# Receipts that other systems have told of ---------------------------------------------------------------------------


@pytest.fixture
def stores(books: Books) -> Database:
    """The books of stores 1 to 3; the clock stands still."""
    assert [row[0] for row in books.rows("SELECT id FROM store WHERE id > 0 ORDER BY id")] == [1, 2, 3]
    books.database.clock = lambda now: NOW
    return books.database


def kept_since(database: Database) -> datetime | None:
    with database.reading() as connection:
        return connection.execute(select(chore.c.done_until).where(chore.c.name == KEPT)).scalar()


def test_learned_receipt_goes_when_its_days_are_over_in_whichever_store_it_was(stores: Database) -> None:
    old, young = NOW - 190 * DAY - MOMENT, NOW - 190 * DAY
    put(stores, receipt(1, old), receipt(2, young), receipt(3, NOW), receipt(4, old, 3), receipt(5, young, 2))
    assert retention.prune_learned_receipts(stores, 190) == 2
    assert left(stores, "learned_receipt", "document") == ["2", "3", "5"]
    assert retention.prune_learned_receipts(stores, 190) == 0


def test_a_bite_of_learned_receipts_is_bounded(stores: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BITE_ROWS", 2)
    put(stores, *(receipt(n, NOW - 200 * DAY, 1 + n % 3) for n in range(5)), receipt(9, NOW))
    assert [retention.prune_learned_receipts(stores, 190) for _ in range(4)] == [2, 2, 1, 0]
    assert left(stores, "learned_receipt", "document") == ["9"]


def test_since_when_learned_receipts_are_whole_never_goes_back(stores: Database) -> None:
    assert retention.prune_learned_receipts(stores, 190) == 0
    assert kept_since(stores) is None, "nothing has gone"
    for document, days, since in ((1, 190, 190), (2, 100, 100), (3, 150, 100), (4, 95, 95)):
        put(stores, receipt(document, NOW - 300 * DAY))
        assert retention.prune_learned_receipts(stores, days) == 1
        assert kept_since(stores) == NOW - since * DAY


def test_learned_receipts_that_another_worker_has_in_hand_are_left_to_it(stores: Database) -> None:
    if stores.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    put(stores, receipt(1, NOW - 200 * DAY), receipt(2, NOW - 200 * DAY))
    with stores.transaction() as other:
        other.exec_driver_sql("SELECT document FROM learned_receipt WHERE document = '1' FOR UPDATE")
        other.exec_driver_sql("SELECT id FROM store FOR UPDATE")
        assert retention.prune_learned_receipts(stores, 190) == 1
        assert left(stores, "learned_receipt", "document") == ["1"]
    assert retention.prune_learned_receipts(stores, 190) == 1
