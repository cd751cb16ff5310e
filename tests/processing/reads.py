"""What tests of queries share: asking one question, and rows of what happened before, such as holds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
import pytest
from sqlalchemy import Table, event, insert, text

from processing import database as database_module
from processing import tables
from processing.commands import MergeHolders, Query, Ref
from processing.errors import LoyaltyError
from processing.results import AnyRead, Result
from tests.processing.books import NOON, POINTS, Books, StillClock

R = TypeVar("R", bound=Result)

# Of rows that tests write by themselves; the core's own ids stay below.
_ids = itertools.count(1_000_000_000)
_MOSCOW = "alpha-1"


def outcome(books: Books, query: Query[Any]) -> Result | LoyaltyError:
    """The outcome of a single query; a result is the same after its way through msgpack and JSON."""
    (found,) = books.core.answer([query])
    if isinstance(found, Result):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=AnyRead) == found
        assert msgspec.json.decode(msgspec.json.encode(found), type=AnyRead) == found
    return found


def told(books: Books, query: Query[R]) -> R:
    """The answer to a query that must be answered."""
    found = outcome(books, query)
    if isinstance(found, LoyaltyError):
        raise AssertionError(f"{query} was refused") from found
    return found  # type: ignore[return-value]


def new_id() -> int:
    return next(_ids)


def put(books: Books, table: Table, **row: Any) -> None:
    with books.database.transaction() as connection:
        connection.execute(insert(table).values(row))


def put_all(books: Books, rows: Mapping[Table, list[dict[str, Any]]]) -> None:
    with books.database.transaction() as connection:
        for table, some in rows.items():
            if some:
                connection.execute(insert(table), some)


def change(books: Books, sql: str, **params: Any) -> None:
    """Alter rows behind the core's back."""
    with books.database.transaction() as connection:
        connection.execute(text(sql), params)


def wallet_of(books: Books, card: str) -> int:
    return int(books.rows("SELECT wallet_id FROM card WHERE number = :card", card=card)[0][0])


def account_of(books: Books, card: str, unit: str = POINTS) -> int:
    found = books.rows(
        "SELECT a.id FROM card c JOIN account a ON a.wallet_id = c.wallet_id WHERE c.number = :card AND a.unit = :unit",
        card=card,
        unit=unit,
    )
    return int(found[0][0])


def store_id(books: Books, code: str = _MOSCOW) -> int:
    return books.core.work.directory.store(code).id


def hold(books: Books, card: str, amount: int, unit: str = POINTS, lot_id: int | None = None, **changes: Any) -> int:
    """The id of a hold that pins so much of one lot: the card's first in the unit, unless it is told."""
    account = account_of(books, card, unit)
    if lot_id is None:
        found = books.rows("SELECT id FROM lot WHERE account_id = :account AND is_open ORDER BY id", account=account)
        lot_id = found[0][0]
    row: dict[str, Any] = {
        "id": new_id(),
        "store_id": store_id(books),
        "key": books.key("hold"),
        "account_id": account,
        "owner": "",
        "amount": amount,
        "captured": 0,
        "state": "open",
        "placed_at": NOON - timedelta(minutes=1),
        "until": NOON + timedelta(minutes=15),
        "ended_at": None,
        "operation_id": None,
    }
    row |= changes
    put(books, tables.hold, **row)
    put(books, tables.hold_pin, hold_id=row["id"], lot_id=lot_id, amount=amount)
    return int(row["id"])


def operation(books: Books, entries: list[tuple[int, int | None, int]], at: datetime = NOON, **changes: Any) -> int:
    """The id of an operation with (account, lot, amount) entries."""
    row: dict[str, Any] = {
        "id": new_id(),
        "kind": "adjustment",
        "store_id": store_id(books),
        "reverses_id": None,
        "programme_version_id": None,
        "actor": None,
        "flags": None,
        "explanation": None,
        "effective_at": at,
        "booked_at": max(at, NOON),
    }
    row |= changes
    put(books, tables.operation, **row)
    put_all(
        books,
        {
            tables.entry: [
                {
                    "operation_id": row["id"],
                    "n": n,
                    "account_id": account,
                    "lot_id": lot,
                    "amount": amount,
                    "effective_at": row["effective_at"],
                    "booked_at": row["booked_at"],
                }
                for n, (account, lot, amount) in enumerate(entries)
            ]
        },
    )
    return int(row["id"])


def lot(books: Books, account: int, remaining: int, **changes: Any) -> int:
    """The id of a lot that is there at once and for ever."""
    row: dict[str, Any] = {
        "id": new_id(),
        "account_id": account,
        "issuer_id": books.core.work.directory.store(_MOSCOW).partner_id,
        "price_millionths": 1_000_000,
        "remaining": remaining,
        "is_open": remaining != 0,
        "available_from": NOON - timedelta(days=100),
        "expires_at": None,
        "is_debt": remaining < 0,
    }
    row |= changes
    put(books, tables.lot, **row)
    return int(row["id"])


def merge(books: Books, source: str, target: str) -> None:
    """The source's wallet goes into the target's."""
    command = MergeHolders(
        store=_MOSCOW, keys=(books.key("merge"),), source=Ref("card", source), target=Ref("card", target)
    )
    assert books.done(command).outcome == "merged"


def clock_of(books: Books) -> StillClock:
    assert isinstance(books.clock, StillClock)
    return books.clock


def named(card: str) -> tuple[Ref, ...]:
    return (Ref("card", card),)


@contextmanager
def counted(books: Books, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements that reach the database meanwhile."""
    seen: list[str] = []
    if books.database.is_sqlite:

        def on_sqlite(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if not statement.startswith("BEGIN"):
                seen.append(statement)

        event.listen(books.database.reader, "before_cursor_execute", on_sqlite)
        yield seen
        event.remove(books.database.reader, "before_cursor_execute", on_sqlite)
        return

    driver_of = database_module._driver

    class Counting:
        def __init__(self, driver: Any) -> None:
            self._driver = driver

        def __getattr__(self, name: str) -> Any:
            return getattr(self._driver, name)

        def execute(self, statement: str, *rest: Any) -> Any:
            seen.append(statement)
            return self._driver.execute(statement, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(database_module, "_driver", lambda connection: Counting(driver_of(connection)))
        yield seen
