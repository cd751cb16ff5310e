"""The chain that benchmarks run on: its configuration directory and its cards with points on them."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from messages import DISCOUNT_CODE, POINTS_CURRENCY, RESTAURANT_CODE, Cards
from sqlalchemy import Connection, Table, insert, text, update

from processing import tables
from processing.database import Database
from processing.directory import ADJUSTED
from processing.directory import load as load_directory

STORE, PRODUCT, LINK, SECRET = "bench-1", "bench", "bench", "bench-secret-of-the-link"
POINTS, MONEY = "BONUS", "RUB"
OPENING = 100_000
"""1000.00 points on every card."""

FIRST_NUMBER = 5_550_000_000
PRICE_MILLIONTHS = 1_000_000
BATCH = 10_000


def write_config(directory: Path) -> dict[str, str]:
    """Write the configuration that ``tillgate serve`` reads; the secrets that its environment needs.

    One partner and store, a programme like that of ``configs/``: every receipt earns, points may pay half.
    """
    for name, content in FILES.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return {
        "TILLGATE_MASTER_KEY": base64.b64encode(os.urandom(32)).decode(),
        "TILLGATE_INDEX_KEY": base64.b64encode(os.urandom(32)).decode(),
        "TILLGATE_LINK_BENCH": SECRET,
    }


FILES = {
    "gateway.yaml": "{}\n",
    "chain.yaml": f"""\
chain: {{code: bench, name: Benchmark}}
units:
  {MONEY}: {{kind: money, scale: 2}}
  {POINTS}: {{kind: points, scale: 2}}
partners:
  - {{code: bench, name: Benchmark}}
stores:
  - {{code: {STORE}, name: Benchmark, partner: bench, zone: Europe/Moscow}}
products:
  - {{code: {PRODUCT}, name: Card, kind: bearer, prefix: "555", length: 10, luhn: false, programme: bonus}}
""",
    "programmes/bonus.yaml": f"""\
programme: bonus
unit: {POINTS}
cashback_percent: 3
payable_percent: 50
pending_days: 1
expires_days: 365
discount: guest
excluded_categories: [tobacco, alcohol]
minimum_price: "1.00"
""",
    f"links/{LINK}.yaml": f"""\
link: {LINK}
adapter: rkeeper
store: {STORE}
credentials:
  secret: {{env: TILLGATE_LINK_BENCH}}
options:
  restaurant_codes: ["{RESTAURANT_CODE}"]
  purses:
    "{POINTS_CURRENCY}": {{number: 1, unit: {POINTS}}}
  discounts: {{guest: {DISCOUNT_CODE}}}
""",
}


def seed(database_url: str, count: int) -> Cards:
    """Active cards, each in a wallet of its own with opening points, in books that balance.

    The server must have been started once: it makes the schema, the store and the system accounts.
    """
    database = Database(database_url)
    try:
        with database.transaction() as connection:
            cards = _seed(connection, count)
        _analyze(database)
        return cards
    finally:
        database.dispose()


def _seed(connection: Connection, count: int) -> Cards:
    directory = load_directory(connection, datetime.now(UTC))
    store = directory.store(STORE)
    wallet, points, card, lot, operation = (
        _take(connection, name, size * count)
        for name, size in (("wallet", 1), ("account", 2), ("card", 1), ("lot", 1), ("operation", 1))
    )
    money = points + count
    adjusted = directory.system(store.partner_id, ADJUSTED, POINTS)
    then = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    every = range(count)

    def entries() -> Iterator[tuple[Any, ...]]:
        for i in every:
            yield operation + i, 0, adjusted, None, -OPENING, then, then
            yield operation + i, 1, points + i, lot + i, OPENING, then, then

    _put(connection, tables.wallet, "id created_at", ((wallet + i, then) for i in every))
    _put(
        connection,
        tables.account,
        "id kind unit wallet_id balance",
        (
            row
            for i in every
            for row in (
                (points + i, "wallet", POINTS, wallet + i, OPENING),
                (money + i, "wallet", MONEY, wallet + i, 0),
            )
        ),
    )
    _put(
        connection,
        tables.card,
        "id wallet_id product number status issued_at activated_at",
        ((card + i, wallet + i, PRODUCT, str(FIRST_NUMBER + i), "active", then, then) for i in every),
    )
    _put(
        connection,
        tables.identifier,
        "scheme value card_id",
        (("card", str(FIRST_NUMBER + i), card + i) for i in every),
    )
    _put(
        connection,
        tables.operation,
        "id kind store_id actor effective_at booked_at",
        ((operation + i, "adjust", store.id, "benchmark", then, then) for i in every),
    )
    _put(
        connection,
        tables.entry,
        "operation_id n account_id lot_id amount effective_at booked_at",
        entries(),
    )
    _put(
        connection,
        tables.lot,
        "id account_id issuer_id price_millionths remaining is_open is_debt available_from",
        ((lot + i, points + i, store.partner_id, PRICE_MILLIONTHS, OPENING, True, False, then) for i in every),
    )
    return Cards(count, FIRST_NUMBER, wallet)


def _take(connection: Connection, name: str, count: int) -> int:
    """The first of so many ids that nobody else will take."""
    block = tables.id_block
    statement = (
        update(block)
        .where(block.c.name == name)
        .values(next_id=block.c.next_id + count)
        .returning(block.c.next_id - count)
    )
    return int(connection.execute(statement).scalar_one())


def _put(connection: Connection, table: Table, columns: str, rows: Iterable[Sequence[Any]]) -> None:
    """Insert many rows: COPY on PostgreSQL, batches elsewhere."""
    names = columns.split()
    driver = connection.connection.driver_connection
    if isinstance(driver, psycopg.Connection):
        with (
            driver.cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        return
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(dict(zip(names, row, strict=True)))
        if len(batch) == BATCH:
            connection.execute(insert(table), batch)
            batch = []
    if batch:
        connection.execute(insert(table), batch)


def _analyze(database: Database) -> None:
    """Fresh statistics, and no vacuum of the seeding itself in the middle of a trial."""
    with database.reading() as connection:
        if database.is_sqlite:
            connection.execute(text("ANALYZE"))
            connection.commit()
        else:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("VACUUM ANALYZE"))
