"""Scratch books of a chain that exists already: its configuration of today, and none of its wallets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import insert, inspect, select, update

from processing import migrate, tables
from processing.chain import Chain
from processing.database import Database
from processing.directory import sync
from processing.errors import ConfigError
from processing.execute import Core
from processing.programme.document import ProgrammeDocument
from processing.secrets import MasterKeys, load_vault, new_key
from processing.simulation.books import chain_of
from processing.simulation.play import Travelling, scratch_file

PREFIX = "tillgate-replay-"
# Catalogues have hundreds of thousands.
GOODS_AT_ONCE = 1_000


@contextmanager
def scratch(
    live: Core,
    chain: Chain,
    programmes: Mapping[str, ProgrammeDocument],
    index_key: bytes,
    starts_at: datetime,
    url: str | None = None,
) -> Iterator[Core]:
    """A core on empty books of this chain whose clock travels; in a file that goes afterwards, or at ``url``.

    What encrypts there is made anew and kept nowhere. The index key is the live one, held in memory, so that phones,
    names, PINs and tokens lead where they led. Errors: ConfigError when the database at ``url`` is not empty.
    """
    if url is None:
        with scratch_file(PREFIX, starts_at) as database:
            yield _filled(database, live, chain, programmes, index_key)
        return
    database = Database(url, clock=Travelling(starts_at))
    try:
        _check_empty(database)
        yield _filled(database, live, chain, programmes, index_key)
    finally:
        database.dispose()


def _check_empty(database: Database) -> None:
    with database.reading() as connection:
        found = inspect(connection).get_table_names()
    if found:
        raise ConfigError(
            f"the scratch database is not empty, it has {found[0]}: messages are played into nothing else"
        )


def _filled(
    database: Database, live: Core, chain: Chain, programmes: Mapping[str, ProgrammeDocument], index_key: bytes
) -> Core:
    """What the books have and the configuration does not name any more stays known, as after ``serve``."""
    migrate.upgrade(database)
    known = live.work.directory
    sync(database, chain_of(known), {code: each.programme.document for code, each in known.programmes.items()})
    directory = sync(database, chain, programmes)
    _number_behind(database, live.work.database)
    _learn_goods(database, live.work.database)
    with database.transaction() as connection:
        vault = load_vault(connection, MasterKeys(new_key(), index_key))
    return Core(database, directory, vault)


def _learn_goods(database: Database, live: Database) -> None:
    """What is known of goods today: what a till's message leaves out of them was never told by one."""
    for table in (tables.goods, tables.goods_name):
        with live.reading() as connection, database.transaction() as mine:
            for rows in connection.execute(select(table)).mappings().partitions(GOODS_AT_ONCE):
                mine.execute(insert(table), [dict(row) for row in rows])


def _number_behind(database: Database, live: Database) -> None:
    """Wallets, cards and holders keep their numbers; what is new here gets numbers behind theirs."""
    block = tables.id_block
    with live.reading() as connection:
        taken = {row.name: row.next_id for row in connection.execute(select(block))}
    with database.transaction() as connection:
        for name, next_id in taken.items():
            mine = block.c.name == name
            connection.execute(update(block).where(mine, block.c.next_id < next_id).values(next_id=next_id))
