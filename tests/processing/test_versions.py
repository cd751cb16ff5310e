"""Versions of programmes: when they start, who hears of them, and what decides a return."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from msgspec import structs
from sqlalchemy import delete, insert, select

from processing import execute
from processing.directory import activate, load, sync, versions_of
from processing.errors import ConfigError
from processing.execute import Core
from processing.programme.document import Expiry, ProgrammeDocument, simple, stored
from processing.tables import programme_version
from tests.processing.books import CHAIN, NOON, PLAIN, PROGRAMMES, Books, StillClock, post, programme, use


@pytest.fixture
def plain(books: Books) -> Iterator[Books]:
    """The books with versions that began before NOON; other tests find theirs again."""
    with books.database.transaction() as connection:
        kept = [dict(row) for row in connection.execute(select(programme_version)).mappings()]
        connection.execute(delete(programme_version))
    books.clock.at = NOON - timedelta(days=1)  # type: ignore[union-attr]
    books.core = Core(books.database, sync(books.database, CHAIN, PROGRAMMES), books.core.work.vault)
    books.clock.at = NOON  # type: ignore[union-attr]
    yield books
    with books.database.transaction() as connection:
        connection.execute(delete(programme_version))
        connection.execute(insert(programme_version), kept)


def earned(books: Books, card: str) -> int:
    return books.done(post(books.key("sale"), use(card), total=10_000)).cards[0].earned


def doubled(**changes: object) -> ProgrammeDocument:
    return programme(PLAIN, cashback_hundredths=1_000, **changes)


def test_version_with_a_start_decides_from_then_on(plain: Books, clock: StillClock) -> None:
    card = plain.card()
    assert activate(plain.database, doubled(), NOON + timedelta(hours=1)) is not None
    with plain.database.reading() as connection:
        plain.core = Core(plain.database, load(connection, NOON), plain.core.work.vault)
    assert earned(plain, card) == 500
    clock.forward(minutes=59)
    assert earned(plain, card) == 500
    clock.forward(minutes=1)
    assert earned(plain, card) == 1_000


def test_running_core_takes_up_what_another_process_activates(plain: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    card = plain.card()
    assert earned(plain, card) == 500
    monkeypatch.setattr(execute, "REFRESH_SECONDS", 0)
    version = activate(plain.database, doubled())
    plain.core._looks_at = 0
    assert earned(plain, card) == 1_000
    (found,) = plain.rows("SELECT programme_version_id FROM operation ORDER BY id DESC LIMIT 1")
    assert found == (version,)


def test_same_text_makes_no_version(plain: Books) -> None:
    assert activate(plain.database, PROGRAMMES[PLAIN]) is None
    with plain.database.reading() as connection:
        assert len(versions_of(connection, PLAIN)) == 1


def test_nothing_starts_in_the_past(plain: Books) -> None:
    with pytest.raises(ConfigError, match="past"):
        activate(plain.database, doubled(), NOON - timedelta(seconds=1))


def test_unit_that_the_chain_does_not_have_is_refused(plain: Books) -> None:
    with pytest.raises(ConfigError, match="unit"):
        activate(plain.database, structs.replace(doubled(), unit="NONE"))


def test_restart_does_not_start_what_waits_for_its_day(plain: Books, clock: StillClock) -> None:
    activate(plain.database, doubled(), NOON + timedelta(days=1))
    directory = sync(plain.database, CHAIN, PROGRAMMES | {PLAIN: doubled()})
    assert directory.programmes[PLAIN].programme.document == PROGRAMMES[PLAIN]
    clock.forward(days=1)
    directory = sync(plain.database, CHAIN, PROGRAMMES | {PLAIN: doubled()})
    assert directory.programmes[PLAIN].programme.document == doubled()
    with plain.database.reading() as connection:
        assert len(versions_of(connection, PLAIN)) == 2


def test_version_written_by_the_version_before_is_the_short_form() -> None:
    """What was stored before there were rules, under the names of that programme."""
    before = {
        "code": "bonus",
        "unit": "BONUS",
        "cashback_hundredths": 500,
        "payable_hundredths": 3000,
        "pending_days": 1,
        "expires_days": 365,
        "discount": "guest",
        "bonus": "",
        "excluded_categories": ["tobacco"],
        "minimum_price_minor": 100,
        "return_policy": "deduct",
        "return_grace_days": 7,
    }
    document = stored(before)
    assert document == simple("bonus", "BONUS", 500, 3000, 1, 365, "guest", "", ("tobacco",), 100, "deduct", 7)
    assert document.points.expires == Expiry(days=365)
    assert document.goods["excluded"].categories == ("tobacco",)
