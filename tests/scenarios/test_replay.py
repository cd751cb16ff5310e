"""What tills said, played again into scratch books: nothing differs until something does; on both databases.

The evening goes through the real door and the real core; the replay reads the live books and writes none of them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from gateway.replay import Replay, Wanted, live_core
from gateway.replay_view import (
    AT_THE_DOOR,
    DIFFERS,
    NOT_REPRODUCED,
    SAME,
    UNREADABLE,
    Compared,
    compare,
)
from gateway.settings import GatewaySettings, Settings
from processing.commands import BlockCard, Ref, RegisterHolder, UnblockCard, VoidReceipt
from processing.database import Database
from processing.errors import ConfigError
from processing.migrate import upgrade
from processing.programme.document import ProgrammeDocument
from processing.secrets import MasterKeys, SecretsError
from processing.tables import exchange_log, metadata
from tests.postgres import Server
from tests.processing.books import CHAIN, KEYS, MOSCOW, PLAIN, PROGRAMMES, Books, adjust, programme
from tests.scenarios.test_rkeeper import (
    MOSCOW_LINK,
    RESTAURANTS,
    URAL_LINK,
    Bill,
    Part,
    Shop,
    link_settings,
    look_up,
    open_shop,
)

DOUBLE = {**PROGRAMMES, PLAIN: programme(PLAIN, cashback_hundredths=1_000)}


@pytest.fixture
def shop(books: Books) -> Iterator[Shop]:
    """The door before books whose clock runs, as the log's does."""
    books.run_live()
    with open_shop(books) as opened:
        yield opened


def now() -> datetime:
    return datetime.now(UTC)


def replayed(
    shop: Shop,
    since: datetime,
    programmes: Mapping[str, ProgrammeDocument] = PROGRAMMES,
    links: tuple[str, ...] = (MOSCOW_LINK, URAL_LINK),
    url: str | None = None,
    keys: MasterKeys = KEYS,
    **options: Any,
) -> list[Compared]:
    """Every message beside the log; the live books are as they were."""
    assert shop.log.flush(10)
    before = everything(shop.books.database)
    own = {
        MOSCOW_LINK: link_settings(MOSCOW_LINK, MOSCOW, **options),
        URAL_LINK: link_settings(URAL_LINK, "alpha-2"),
    }
    live = live_core(Database(shop.books.url, read_only=True), keys)
    replay = Replay.of(live, Settings(GatewaySettings(), CHAIN, programmes, own), Wanted(links, since, 1_000))
    with replay.books(KEYS.index, url) as core:
        found = [compare(played) for played in replay.play(core, lambda more: None)]
    live.work.database.dispose()
    assert everything(shop.books.database) == before
    return found


def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.reading() as connection:
        return {t.name: sorted(map(tuple, connection.execute(select(t))), key=repr) for t in metadata.sorted_tables}


def verdicts(found: list[Compared]) -> list[str]:
    return [each.verdict for each in found]


def evening(shop: Shop) -> tuple[datetime, list[str]]:
    """When it began, and what each of its messages was about."""
    anna, boris = shop.card(45_050), shop.card(100_000, 50_000)
    shop.books.done(
        RegisterHolder(
            store=MOSCOW, keys=(shop.books.key(),), card=Ref("card", anna), name="Анна Смирнова", phone="+79210000001"
        )
    )
    began = now()
    sale = Bill((Part(boris, points=20_000, own=80_000),))
    changed = sale.changed(Part(boris, points=10_000, own=90_000))
    gone = Bill((Part(anna, own=50_000),), total=50_000, number="204418")
    shop.look_up(anna)
    shop.done(sale.body("11:00:00"))
    shop.done(sale.body("11:00:00"))
    shop.done(changed.body("11:05:00"))
    shop.done(gone.body("11:10:00"))
    shop.done(gone.body("11:12:00", mode=3))
    shop.send(Bill((Part(anna, points=90_000, own=10_000),), number="204419").body())
    shop.send(look_up("123456789"), "getcardinfoex")
    shop.send(b'<ROOT><QRY Email="79210000001"/></ROOT>', "findemail")
    shop.send("<ROOT><QRY Email='Смирнова'/></ROOT>".encode(), "findemail")
    shop.send(b"\xff\x00<", "transactionsex")
    shop.send(b"", "no-such-function")
    shop.look_up(boris, 30_000)
    told = "look sale again changed gone void refused unknown phone name broken nowhere boris"
    return began, told.split()


# Nothing differs --------------------------------------------------------------------------------------------


def test_an_evening_is_answered_alike_and_the_live_books_stay_as_they_are(shop: Shop) -> None:
    began, told = evening(shop)
    found = replayed(shop, began)
    assert [(each.verdict, each.difference) for each in found] == [(SAME, ())] * len(told)
    outcomes = {each.played.outcome for each in found}
    assert {"ok", "insufficient_points", "card_not_found", "bad_message", "no_such_route"} <= outcomes


def test_an_evening_may_be_played_from_before_its_cards_were_there(shop: Shop) -> None:
    before = now()
    _, told = evening(shop)
    assert verdicts(replayed(shop, before)) == [SAME] * len(told)


def test_what_comes_by_other_ways_comes_to_the_scratch_books_too(shop: Shop) -> None:
    anna = shop.card(10_000)
    began = now()
    shop.look_up(anna)
    shop.books.done(adjust(shop.books.key(), anna, 5_000))
    shop.look_up(anna)
    far = Bill((Part(anna, points=7_000, own=93_000),), restaurant=RESTAURANTS[URAL_LINK])
    shop.done(far.body(), link=URAL_LINK)
    shop.look_up(anna)
    shop.books.done(adjust(shop.books.key(), anna, -1_000))
    shop.done(Bill((Part(anna, points=5_000, own=95_000),), number="7").body())
    assert verdicts(replayed(shop, began, links=(MOSCOW_LINK,))) == [SAME] * 4
    assert verdicts(replayed(shop, began)) == [SAME] * 5


def test_a_card_is_blocked_and_unblocked_when_it_was(shop: Shop) -> None:
    anna = shop.card(10_000)
    began = now()
    shop.look_up(anna)
    named = {"store": MOSCOW, "card": Ref("card", anna), "reason": "lost"}
    shop.books.done(BlockCard(keys=(shop.books.key(),), **named))
    shop.look_up(anna)
    shop.books.done(UnblockCard(keys=(shop.books.key(),), **named))
    shop.look_up(anna)
    found = replayed(shop, began)
    assert [each.verdict for each in found] == [SAME] * 3


# Something differs ------------------------------------------------------------------------------------------


def test_another_programme_changes_exactly_the_sales_that_earn_and_what_comes_of_them(shop: Shop) -> None:
    began, told = evening(shop)
    found = dict(zip(told, replayed(shop, began, DOUBLE), strict=True))
    differing = {name for name, each in found.items() if each.verdict != SAME}
    assert differing == {"sale", "again", "changed", "gone", "boris"}
    assert {found[name].verdict for name in differing} == {DIFFERS}
    slips = [line for line in found["gone"].difference if "slip" in line]
    assert len(slips) == 2 and "25.00" in slips[0] and "50.00" in slips[1]


def test_other_options_of_the_link_change_what_they_are_about(shop: Shop) -> None:
    began, told = evening(shop)
    found = dict(zip(told, replayed(shop, began, unknown_card="locked"), strict=True))
    assert {name for name, each in found.items() if each.verdict != SAME} == {"unknown"}


def test_a_difference_shows_neither_names_nor_numbers(shop: Shop) -> None:
    began, _ = evening(shop)
    with shop.books.database.transaction() as connection:
        connection.execute(text("DELETE FROM contact"))
    for each in replayed(shop, began, DOUBLE):
        told = "\n".join(each.difference)
        assert "Смирнова" not in told
        assert not [word for word in told.split() if word.isdigit() and len(word) > 9]


def test_what_was_booked_before_the_begin_is_no_real_difference(shop: Shop) -> None:
    anna = shop.card(10_000)
    sale = Bill((Part(anna, points=4_000, own=96_000),))
    shop.done(sale.body("11:00:00"))
    began = now()
    shop.done(sale.body("11:05:00", mode=3))
    shop.look_up(anna)
    voided, looked = replayed(shop, began)
    assert (voided.verdict, voided.played.doubts) == (NOT_REPRODUCED, ("booked_before",))
    assert looked.verdict == SAME


def test_a_newer_version_of_a_receipt_from_before_the_begin_leaves_the_right_balance(shop: Shop) -> None:
    anna = shop.card(10_000)
    sale = Bill((Part(anna, points=4_000, own=96_000),))
    shop.done(sale.body("11:00:00"))
    began = now()
    shop.done(sale.changed(Part(anna, points=3_000, own=97_000)).body("11:05:00"))
    shop.look_up(anna)
    assert replayed(shop, began)[-1].verdict == SAME


def test_a_card_that_may_have_been_blocked_is_no_real_difference(shop: Shop) -> None:
    anna, other = shop.card(10_000, number="7770000000091234"), shop.card(number="7770000000171234")
    began = now()
    shop.look_up(anna)
    shop.books.done(BlockCard(store=MOSCOW, keys=("block",), card=Ref("card", anna), reason="lost"))
    shop.look_up(anna)
    shop.look_up(other)
    before, blocked, another = replayed(shop, began)
    assert (before.verdict, another.verdict) == (SAME, SAME)
    assert (blocked.verdict, blocked.played.doubts) == (NOT_REPRODUCED, ("card_status",))


def test_what_somebody_else_has_undone_is_no_real_difference(shop: Shop) -> None:
    anna = shop.card(10_000)
    sale = Bill((Part(anna, points=4_000, own=96_000),))
    began = now()
    shop.done(sale.body("11:00:00"))
    key = f"rkeeper:{RESTAURANTS[MOSCOW_LINK]}:{sale.guid.strip('{}').lower()}"
    shop.books.done(VoidReceipt(store=MOSCOW, keys=(key,), reason="return", actor="office"))
    shop.look_up(anna)
    shop.send(sale.body("11:00:00"))
    sold, looked, again = replayed(shop, began)
    assert (sold.verdict, looked.verdict) == (SAME, SAME)
    assert (again.verdict, again.played.doubts) == (NOT_REPRODUCED, ("undone_elsewhere",))


# What the log has lost --------------------------------------------------------------------------------------


def test_messages_that_were_thrown_away_are_missed(shop: Shop) -> None:
    anna = shop.card(10_000)
    began = now()
    sale = Bill((Part(anna, points=4_000, own=96_000),))
    shop.done(sale.body("11:00:00"))
    shop.look_up(anna)
    shop.done(sale.body("11:05:00", mode=3))
    assert shop.log.flush(10)
    with shop.books.database.transaction() as connection:
        first = connection.execute(select(exchange_log.c.id).order_by(exchange_log.c.id).limit(1)).scalar_one()
        connection.execute(delete(exchange_log).where(exchange_log.c.id == first))
    looked, voided = replayed(shop, began)
    assert looked.verdict == SAME, "its sale came by another way"
    assert (voided.verdict, voided.played.doubts) == (NOT_REPRODUCED, ("booked_before",))
    live = live_core(Database(shop.books.url, read_only=True), KEYS)
    links = {MOSCOW_LINK: link_settings(MOSCOW_LINK, MOSCOW)}
    replay = Replay.of(live, Settings(GatewaySettings(), CHAIN, PROGRAMMES, links), Wanted((MOSCOW_LINK,), began, 10))
    assert replay.gone_before is not None and replay.gone_before > began
    live.work.database.dispose()


@pytest.mark.parametrize("damage", [b"", b"\x00" * 60])
def test_a_damaged_row_is_told_and_hides_no_other(shop: Shop, damage: bytes) -> None:
    anna = shop.card(10_000)
    began = now()
    shop.look_up(anna)
    shop.look_up(anna)
    shop.look_up(anna)
    assert shop.log.flush(10)
    with shop.books.database.transaction() as connection:
        ids = connection.execute(select(exchange_log.c.id).order_by(exchange_log.c.id)).scalars().all()
        connection.execute(update(exchange_log).where(exchange_log.c.id == ids[1]).values(request=damage))
    found = replayed(shop, began)
    assert verdicts(found) == [SAME, UNREADABLE, SAME]
    assert found[1].played.recorded.problem


def test_books_that_were_too_busy_are_no_real_difference(shop: Shop) -> None:
    anna = shop.card(10_000)
    began = now()
    shop.look_up(anna)
    assert shop.log.flush(10)
    with shop.books.database.transaction() as connection:
        connection.execute(update(exchange_log).values(outcome="busy"))
    (looked,) = replayed(shop, began)
    assert (looked.verdict, looked.played.doubts) == (NOT_REPRODUCED, ("busy",))


def test_who_was_refused_at_the_door_is_not_played(shop: Shop) -> None:
    began = now()
    said: list[Any] = []
    environ = {
        "PATH_INFO": f"/pos/{MOSCOW_LINK}/wrong-secret/transactionsex",
        "REQUEST_METHOD": "POST",
        "REMOTE_ADDR": "192.0.2.7",
        "wsgi.input": io.BytesIO(b"<ROOT/>"),
    }
    shop.pos(environ, lambda status, headers: said.append(status))
    assert verdicts(replayed(shop, began)) == [AT_THE_DOOR]


# Mistakes ---------------------------------------------------------------------------------------------------


def test_a_link_that_nobody_knows_is_told_with_those_that_are_there(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="no link 'nowhere'; there are: moscow, ural"):
        replayed(shop, now(), links=("nowhere",))


def test_keys_that_do_not_fit_open_nothing(shop: Shop) -> None:
    with pytest.raises(SecretsError, match="data key"):
        replayed(shop, now(), keys=MasterKeys(b"x" * 32, b"i" * 32))


def test_a_scratch_database_is_empty_and_may_be_of_either_kind(shop: Shop, postgres: Server) -> None:
    began, told = evening(shop)
    postgres.drop_database("scratch")
    url = postgres.create_database("scratch")
    assert verdicts(replayed(shop, began, url=url)) == [SAME] * len(told)
    with pytest.raises(ConfigError, match="not empty"):
        replayed(shop, began, url=url)
    with pytest.raises(ConfigError, match="not empty"):
        replayed(shop, began, url=shop.books.url)
    postgres.drop_database("scratch")


def test_a_database_that_is_only_read_refuses_to_be_written(database: Database) -> None:
    upgrade(database)
    reading = Database(database.url.render_as_string(hide_password=False), read_only=True)
    with pytest.raises(DBAPIError), reading.transaction() as connection:
        connection.execute(text("DELETE FROM id_block"))
    with pytest.raises(DBAPIError), reading.reading() as connection:
        connection.execute(text("DELETE FROM id_block"))
    reading.dispose()
