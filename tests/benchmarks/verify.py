"""How long ``tillgate verify`` takes over a million entries: seconds per check, on SQLite and PostgreSQL.

    python tests/benchmarks/verify.py [--database sqlite|postgresql|both] [--entries 1000000] [--json]

The aim is 30 seconds on 2 cores for everything (issue 2). The books are generated, not traded: cards with
opening points, receipts that redeem and accrue with documents of a usual size, every twentieth voided.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from sqlalchemy import text

TESTS = Path(__file__).resolve().parents[1]
# The root goes first: the folders of tests/ are called like the packages that they test.
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

import postgres  # noqa: E402
from seed import POINTS, STORE, seed, write_config  # noqa: E402

from gateway import settings  # noqa: E402
from processing import directory, migrate  # noqa: E402
from processing.commands import Line, Receipt, Tender  # noqa: E402
from processing.database import Database  # noqa: E402
from processing.directory import ISSUED, REDEEMED  # noqa: E402
from processing.documents import ReceiptDocument  # noqa: E402
from processing.results import CardMovement, ReceiptPosted, ReceiptVoided  # noqa: E402
from processing.tables import Instant  # noqa: E402
from processing.verify import verify  # noqa: E402

SQLITE, POSTGRESQL = "sqlite", "postgresql"
ENTRIES_PER_RECEIPT = 4
CARDS_PER_ENTRY = 20
VOIDED_EVERY = 20
REDEEMED_POINTS, EARNED_POINTS = 100, 60
QUICK_TO_FILL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "4GB"}

Row = Sequence[Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=(SQLITE, POSTGRESQL, "both"), default="both")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    kinds = (SQLITE, POSTGRESQL) if arguments.database == "both" else (arguments.database,)
    report = {kind: measure(kind, arguments.entries) for kind in kinds}
    if arguments.json:
        print(json.dumps(report))
    else:
        for kind, figures in report.items():
            show(kind, figures)


def measure(kind: str, entries: int) -> dict[str, Any]:
    """Seconds to verify, in all and per check, and who was found (nobody, or the books are wrong)."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tillgate-verify-", dir="/var/tmp")))
        if kind == SQLITE:
            url = f"sqlite:///{folder / 'books.db'}"
        else:
            url = stack.enter_context(postgres.server(QUICK_TO_FILL)).create_database("verify")
        started = time.perf_counter()
        counts = fill(url, folder / "config", entries)
        filled = time.perf_counter()
        database = Database(url)
        stack.callback(database.dispose)
        checks = list(verify(database))
        return {
            **counts,
            "fill_s": round(filled - started, 1),
            "verify_s": round(sum(check.seconds for check in checks), 2),
            "checks": {check.name: round(check.seconds, 3) for check in checks},
            "offenders": {check.name: check.rows for check in checks if check.rows},
        }


def show(kind: str, figures: dict[str, Any]) -> None:
    counts = f"{figures['entries']:,} entries, {figures['receipts']:,} receipts, {figures['cards']:,} cards"
    print(f"{kind}: {figures['verify_s']} s over {counts} (filled in {figures['fill_s']} s)")
    for name, seconds in figures["checks"].items():
        print(f"  {seconds:8.3f}  {name}")
    for name, rows in figures["offenders"].items():
        print(f"  FAIL {name}: {rows[:3]}")


def fill(url: str, config: Path, entries: int) -> dict[str, int]:
    """Books with so many entries, in balance."""
    environ = write_config(config)
    loaded = settings.load(config, environ)
    database = Database(url)
    migrate.upgrade(database)
    chain = directory.sync(database, loaded.chain, dict(loaded.programmes))
    cards = seed(url, max(entries // CARDS_PER_ENTRY, 1))
    opening = 2 * cards.count
    voids = (entries - opening) // (ENTRIES_PER_RECEIPT * (VOIDED_EVERY + 1))
    receipts = (entries - opening) // ENTRIES_PER_RECEIPT - voids
    Books(database, chain, cards.count, receipts).write()
    with database.reading() as connection:
        if database.is_sqlite:  # as it lives: nobody runs ANALYZE there
            connection.execute(text("DELETE FROM sqlite_stat1"))
            connection.commit()
        else:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("VACUUM ANALYZE"))
        written = connection.execute(text("SELECT count(*) FROM entry")).scalar_one()
    database.dispose()
    return {"entries": int(written), "receipts": receipts, "cards": cards.count}


class Books:
    """Receipts of seeded cards, written table by table as fast as the database takes them."""

    def __init__(self, database: Database, chain: directory.Directory, cards: int, receipts: int) -> None:
        self._database, self._cards, self._receipts = database, cards, receipts
        self._store = chain.store(STORE)
        self._issued = chain.system(self._store.partner_id, ISSUED, POINTS)
        self._redeemed = chain.system(self._store.partner_id, REDEEMED, POINTS)
        self._then = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        with database.reading() as connection:
            found = connection.execute(text("SELECT min(id), min(account_id) FROM lot")).one()
            self._first_lot, self._first_account = found
            self._operation = connection.execute(text("SELECT max(id) + 1 FROM operation")).scalar_one()

    def write(self) -> None:
        """Receipts, and the voids of every twentieth; balances and lots follow."""
        at = Instant().process_bind_param(self._then, self._database.writer.dialect)
        self._put("operation", "id kind store_id reverses_id effective_at booked_at", self._operations(at))
        self._put("entry", "operation_id n account_id lot_id amount effective_at booked_at", self._entries(at))
        self._put("receipt", "operation_id store_id till number business_date total_minor document", self._documents())
        self._put("request_key", "store_id key state content stamp operation_id answer", self._keys(at))
        last = self._operation + self._receipts + self._receipts // VOIDED_EVERY + 1
        with self._database.transaction() as connection:
            if not self._database.is_sqlite:
                for setting in ("statement_timeout = 0", "enable_seqscan = on", "enable_hashjoin = on"):
                    connection.execute(text(f"SET LOCAL {setting}"))
            connection.execute(text("UPDATE id_block SET next_id = :last WHERE name = 'operation'"), {"last": last})
            sums = "SELECT lot_id, sum(amount) AS held FROM entry WHERE lot_id IS NOT NULL GROUP BY lot_id"
            connection.execute(
                text(f"UPDATE lot SET remaining = held, is_open = held <> 0 FROM ({sums}) s WHERE s.lot_id = lot.id")
            )
            connection.execute(
                text("UPDATE account SET balance = remaining FROM lot WHERE lot.account_id = account.id")
            )

    def _voided(self) -> Iterator[tuple[int, int]]:
        """(operation, its void) of every twentieth receipt."""
        first = self._operation + self._receipts
        for n in range(self._receipts // VOIDED_EVERY):
            yield self._operation + n * VOIDED_EVERY, first + n

    def _operations(self, at: Any) -> Iterator[Row]:
        for i in range(self._receipts):
            yield self._operation + i, "receipt", self._store.id, None, at, at
        for operation, void in self._voided():
            yield void, "void", self._store.id, operation, at, at

    def _entries(self, at: Any) -> Iterator[Row]:
        for i in range(self._receipts):
            yield from self._four(self._operation + i, i, 1, at)
        for operation, void in self._voided():
            yield from self._four(void, operation - self._operation, -1, at)

    def _four(self, operation: int, i: int, sign: int, at: Any) -> Iterator[Row]:
        place = i * 7919 % self._cards
        account, lot = self._first_account + place, self._first_lot + place
        yield operation, 0, self._redeemed, None, sign * REDEEMED_POINTS, at, at
        yield operation, 1, account, lot, -sign * REDEEMED_POINTS, at, at
        yield operation, 2, self._issued, None, -sign * EARNED_POINTS, at, at
        yield operation, 3, account, lot, sign * EARNED_POINTS, at, at

    def _documents(self) -> Iterator[Row]:
        today = date.today()
        lines = tuple(
            Line(number=n, goods=f"30{n}", name="Суп дня с гренками", price_minor=40_000, sum_minor=38_000)
            for n in range(1, 4)
        )
        receipt = Receipt(
            number="204417",
            till="5",
            business_date=today,
            total_minor=114_000,
            lines=lines,
            tenders=(Tender(code="1", kind="cash", amount_minor=114_000),),
        )
        document = msgspec.json.encode(ReceiptDocument(receipt)).decode()
        day = today.isoformat() if self._database.is_sqlite else today
        for i in range(self._receipts):
            yield self._operation + i, self._store.id, "5", str(100_000 + i), day, 114_000, document

    def _keys(self, at: Any) -> Iterator[Row]:
        movement = CardMovement(
            card="5550001234",
            account=1,
            unit=POINTS,
            scale=2,
            redeemed=REDEEMED_POINTS,
            earned=EARNED_POINTS,
            balance=1,
            available=1,
        )
        voids = dict(self._voided())
        for operation in range(self._operation, self._operation + self._receipts):
            state, answering = "posted", operation
            answer: ReceiptPosted | ReceiptVoided
            if operation in voids:
                state, answering = "returned", voids[operation]
                answer = ReceiptVoided(outcome="reversed", operation_id=answering, at=self._then, cards=(movement,))
            else:
                answer = ReceiptPosted(operation_id=operation, at=self._then, cards=(movement,))
            key = f"rkeeper:310070003:0a11b22c-3d44-4e55-8f66-{operation:012x}"
            yield self._store.id, key, state, "c" * 64, at, answering, msgspec.json.encode(answer).decode()

    def _put(self, table: str, columns: str, rows: Iterable[Row]) -> None:
        """COPY on PostgreSQL, executemany on SQLite."""
        names = columns.split()
        with self._database.transaction() as connection:
            driver: Any = connection.connection.driver_connection
            if isinstance(driver, psycopg.Connection):
                with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            else:
                holes = ", ".join("?" * len(names))
                driver.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({holes})", rows)


if __name__ == "__main__":
    main()
