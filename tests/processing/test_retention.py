"""What is thrown away in time: what is old enough, nothing else, and a bite at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from processing import retention
from processing.database import Database
from processing.tables import confirmation_code, hold, hold_pin
from tests.processing.books import rows

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def still(database: Database) -> None:
    database.clock = lambda now: NOW


def put(database: Database, *rows: dict[str, Any]) -> None:
    with database.transaction() as connection:
        for row in rows:
            (table,) = [table for table in (confirmation_code, hold, hold_pin) if set(row) == set(table.c.keys())]
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
