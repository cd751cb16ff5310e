"""What was learned of goods: sets of programmes know a thing by each of its names; on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from processing import execute
from processing.commands import MAX_GOODS, Goods, LearnGoods, Line
from processing.database import Database
from processing.directory import activate
from processing.errors import BadMessage, KeyReused, TooLarge
from processing.execute import Core
from processing.programme.compiled import Sets, Thing
from processing.programme.document import Goods as GoodsSet
from processing.replay.scratch import _filled
from processing.tables import programme_version
from tests.processing.books import CHAIN, MOSCOW, PLAIN, PROGRAMMES, Books, post, programme, receipt, use

GUID, BARCODE = "6f0c2a4e-0000-4000-8000-000000000001", "4600000000017"
TOBACCO = Goods(names=(GUID, BARCODE), category="tobacco")


@pytest.fixture
def picky(books: Books, monkeypatch: pytest.MonkeyPatch) -> Iterator[Books]:
    """Books whose programme gives nothing for tobacco, and looks for news before every batch."""
    with books.database.transaction() as connection:
        kept = [dict(row) for row in connection.execute(select(programme_version)).mappings()]
    activate(books.database, programme(PLAIN, excluded_categories=("tobacco",)))
    monkeypatch.setattr(execute, "REFRESH_SECONDS", 0)
    books.core._looks_at = 0
    yield books
    with books.database.transaction() as connection:
        connection.execute(delete(programme_version))
        connection.execute(insert(programme_version), kept)


def learn(books: Books, *goods: Goods, key: str = "") -> LearnGoods:
    return LearnGoods(store=MOSCOW, keys=(key or books.key("goods"),), goods=goods)


def earned(books: Books, goods: str) -> int:
    line = Line(number=1, goods=goods, sum_minor=10_000)
    return books.done(post(books.key("sale"), use(books.card()), receipt=receipt(10_000, (line,)))).cards[0].earned


def test_every_name_of_a_thing_means_its_category(picky: Books) -> None:
    assert earned(picky, GUID) == 500
    told = picky.done(learn(picky, TOBACCO, Goods(names=("bread",), category="bakery")))
    assert (told.goods, told.names) == (2, 3)
    assert [earned(picky, name) for name in (GUID, BARCODE, "bread", "other")] == [0, 0, 500, 500]


def test_a_name_is_the_thing_s_that_was_told_last_and_a_repeat_changes_nothing(picky: Books) -> None:
    first = learn(picky, TOBACCO, key="page-1")
    picky.done(first)
    bread = Goods(names=("bread", BARCODE), category="bakery")
    assert earned(picky, BARCODE) == 0
    picky.clock.forward(seconds=1)  # type: ignore[union-attr]
    # Both in one batch, as a committer gathers them.
    told = picky.core.execute([learn(picky, Goods(names=(BARCODE,), category="fruit")), learn(picky, bread)])
    assert [outcome.names for outcome in told] == [1, 2]
    assert picky.done(first).replayed
    assert (earned(picky, GUID), earned(picky, BARCODE)) == (0, 500)
    assert isinstance(picky.one(learn(picky, bread, key="page-1")), KeyReused)


def test_what_is_unfit_is_refused(picky: Books) -> None:
    for goods, error in (
        ((TOBACCO,) * (MAX_GOODS + 1), TooLarge),
        ((Goods(names=()),), BadMessage),
        ((Goods(names=("",)),), BadMessage),
        ((Goods(names=("x" * 129,)),), BadMessage),
    ):
        assert isinstance(picky.one(learn(picky, *goods)), error)
    assert not picky.rows("SELECT name FROM goods_name")


def test_scratch_books_know_the_same_goods(picky: Books, migrated, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    picky.done(learn(picky, TOBACCO))
    database = Database(migrated("sqlite", tmp_path, "scratch"))
    documents = PROGRAMMES | {PLAIN: programme(PLAIN, excluded_categories=("tobacco",))}
    core: Core = _filled(database, picky.core, CHAIN, documents, b"i" * 32)
    sets = core.work.directory.programme_of(PLAIN).programme.sets
    assert sets.of(Line(number=1, goods=BARCODE, sum_minor=1))
    database.dispose()


WORDS = st.sampled_from(["a", "b", "c", "d", "e"])
SETS = st.dictionaries(
    st.sampled_from(["one", "two", "three"]),
    st.builds(
        GoodsSet,
        codes=st.lists(WORDS, max_size=2).map(tuple),
        categories=st.lists(WORDS, max_size=2).map(tuple),
        brands=st.lists(WORDS, max_size=2).map(tuple),
    ),
)


@given(SETS, st.lists(st.tuples(st.sampled_from(["", *"abcde"]), st.sampled_from(["", *"abcde"])), max_size=3))
def test_a_learned_thing_is_where_a_line_that_tells_all_of_it_would_be(
    goods: dict[str, GoodsSet], told: list[tuple[str, str]]
) -> None:
    things = [Thing((f"guid-{n}", "abcde"[n]), *each) for n, each in enumerate(told)]
    plain, learned = Sets.among(goods), Sets.among(goods, things)
    for thing in things:
        every = frozenset[str]().union(
            *(
                plain.of(Line(number=1, goods=name, category=thing.category, brand=thing.brand, sum_minor=1))
                for name in thing.names
            )
        )
        assert {learned.of(Line(number=1, goods=name, sum_minor=1)) for name in thing.names} == {every}
    stranger = Line(number=1, goods="nobody", category="a", brand="b", sum_minor=1)
    assert learned.of(stranger) == plain.of(stranger)
