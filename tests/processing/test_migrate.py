"""Migrations beside a server that serves: they wait for locks, change all or nothing, and never go back in time."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command

from processing import migrate
from processing.commands import EnrolHolder, EraseHolder, LearnReceipt, Ref
from processing.database import LOCK_TIMEOUT_MS, Database
from processing.errors import ConfigError
from tests.postgres import Server
from tests.processing.books import MOSCOW, NOON, PLAIN, POINTS, Books, rows

FIRST = "0001"
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of the first revision."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    else:
        server: Server = request.getfixturevalue("postgres")
        server.drop_database("older")
        database = Database(server.create_database("older"))
    with database.transaction() as connection:
        command.upgrade(migrate._config(connection), FIRST)
    yield database
    database.dispose()


def test_revisions_are_told(old: Database) -> None:
    assert (migrate.revision(old), migrate.pending(old)) == (FIRST, True)
    assert migrate.upgrade(old) == (FIRST, migrate.head())
    assert (migrate.revision(old), migrate.pending(old)) == (migrate.head(), False)
    assert migrate.upgrade(old) == (migrate.head(), migrate.head())


def test_schema_of_a_newer_version_is_refused(old: Database) -> None:
    migrate.upgrade(old)
    with old.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for ask in (migrate.upgrade, migrate.pending):
        with pytest.raises(ConfigError, match="revision 9999, which is newer than this version"):
            ask(old)
    assert migrate.revision(old) == "9999"


def test_migration_waits_for_whoever_holds_a_table(old: Database) -> None:
    """Longer than one attempt waits: nothing was changed then, and it was tried again."""
    if old.is_sqlite:
        pytest.skip("SQLite has one lock, which writers wait for")
    done: list[tuple[str | None, str | None]] = []
    thread = threading.Thread(target=lambda: done.append(migrate.upgrade(old)))
    with old.writer.connect() as other, other.begin():
        other.exec_driver_sql("SELECT count(*) FROM card")
        thread.start()
        thread.join(LOCK_TIMEOUT_MS / 1000 + 0.5)
        assert migrate.revision(old) == FIRST
    thread.join(30)
    assert done == [(FIRST, migrate.head())]


def test_indexes_that_the_docs_make_ahead_are_those_of_the_migration(old: Database, postgres: Server) -> None:
    """Word for word the statements of docs/operations.md; the schema becomes that of any other database."""
    if old.is_sqlite:
        pytest.skip("SQLite migrates with its server stopped")
    ahead = re.findall(r"^CREATE INDEX CONCURRENTLY [^;]+;", OPERATIONS.read_text("utf-8"), re.MULTILINE)
    assert len(ahead) == 4
    with old.reading() as connection:  # it commits each statement: CONCURRENTLY wants no transaction
        for statement in ahead:
            connection.exec_driver_sql(statement)
    assert migrate.upgrade(old) == (FIRST, migrate.head())
    postgres.drop_database("plain")
    plain = Database(postgres.create_database("plain"))
    migrate.upgrade(plain)
    assert set(rows(old, INDEXES)) == set(rows(plain, INDEXES))
    plain.dispose()
    postgres.drop_database("plain")


def test_receipts_of_who_was_erased_before_lose_their_card(books: Books) -> None:
    """What the worker of a version before 0011 has left behind; of others nothing changes."""
    cards, guids = [books.card() for _ in range(2)], [Ref("onec", f"guid-{n}") for n in range(3)]
    for card, guid in zip(cards, guids, strict=False):
        names = (guid, Ref("card", card))
        books.done(EnrolHolder(store=MOSCOW, keys=(f"e{card}",), product=PLAIN, names=names, name="Anna"))
    for n, guid in enumerate(guids):
        told: dict[str, Any] = {"document": str(n), "unit": POINTS, "at": NOON, "card_ref": guid}
        books.done(LearnReceipt(store=MOSCOW, keys=(f"l{n}",), **told))
    books.done(EraseHolder(store=MOSCOW, keys=("x",), card=Ref("card", cards[0]), reason="asked"))
    with books.database.transaction() as connection:
        command.downgrade(migrate._config(connection), "0010")
    books.database.dispose()
    assert migrate.upgrade(books.database) == ("0010", migrate.head())
    ((wallet,),) = books.rows("SELECT wallet_id FROM card WHERE number = :number", number=cards[0])
    kept = books.rows("SELECT card_scheme, card_value, wallet_id FROM learned_receipt ORDER BY document")
    assert kept == [(None, None, wallet), ("onec", "guid-1", None), ("onec", "guid-2", None)]


INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
