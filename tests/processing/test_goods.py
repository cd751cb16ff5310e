"""Goods that some system has told of: what rules see of a line that its till calls by a GUID or a barcode alone."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import select

from processing import tables
from processing.commands import LearnGoods, Line, PlaceHold, PostReceipt, Quote, Ref, ReturnReceipt
from processing.database import array, run
from processing.directory import ActiveProgramme
from processing.errors import BadMessage, KeyReused, LimitExceeded
from processing.execute import Core
from processing.goods import KNOWN
from processing.goods import told as by_name
from processing.programme.compiled import Programme
from processing.programme.document import simple
from processing.replay.scratch import scratch
from processing.simulation.books import chain_of
from tests.processing.books import MOSCOW, NOON, PLAIN, POINTS, SHORT, Books, post, receipt, ref, use
from tests.processing.reads import told

GUID, BARCODE = "6f0c2a4e-0000-4000-8000-0000000000a1", "4600000000015"
TOBACCO, BREAD = "0c0a0000-0000-4000-8000-000000000001", "0c0a0000-0000-4000-8000-000000000002"


@pytest.fixture
def excluding(books: Books) -> Books:
    """Nothing is earned on tobacco, and points do not pay for it."""
    work = books.core.work
    document = simple(**asdict(replace(SHORT[PLAIN], excluded_categories=(TOBACCO,))))
    document = structs.replace(document, payment=structs.replace(document.payment, without=("excluded",)))
    active = ActiveProgramme(work.directory.programmes[PLAIN].version_id, Programme(document))
    directory = replace(work.directory, programmes=work.directory.programmes | {PLAIN: active})
    books.core = Core(books.database, directory, work.vault)
    return books


def learn(books: Books, category: str | None = TOBACCO, key: str = "commerceml:a1", **changes: Any) -> Any:
    fields: dict[str, Any] = {"code": GUID, "names": (Ref("barcode", BARCODE),), "name": "Сигареты"}
    return books.done(LearnGoods(store=MOSCOW, keys=(key,), **fields | {"category": category} | changes))


def bought(goods: str, category: str = "") -> Any:
    return receipt(10_000, lines=(Line(number=1, goods=goods, category=category, sum_minor=10_000),))


@pytest.mark.parametrize("goods", [GUID, BARCODE])
def test_a_line_that_tells_no_category_has_that_of_its_goods(excluding: Books, goods: str) -> None:
    books = excluding
    card = books.card(50_000)
    asked = {"store": MOSCOW, "receipt": bought(goods), "cards": (use(card),)}
    assert [told(books, Quote(**asked)).cards[0].earned for _ in range(2)] == [500, 500]
    learn(books)
    assert told(books, Quote(**asked)).cards[0].earned == 0
    books.done(PostReceipt(keys=("r",), **asked))
    assert books.balance(card) == 50_000
    hold = PlaceHold(store=MOSCOW, keys=("h",), card=ref(card), unit=POINTS, amount=5_000, receipt=bought(goods))
    assert isinstance(books.one(hold), LimitExceeded)
    assert told(books, Quote(**asked)).lines[0].payable_minor == 0
    back = ReturnReceipt(store=MOSCOW, keys=("b",), receipt=bought(goods), cards=(use(card),), fact=True)
    books.done(back)
    assert books.balance(card) == 50_000


def test_what_a_till_says_itself_stands_and_a_receipt_keeps_what_it_was_decided_by(excluding: Books) -> None:
    books = excluding
    card = books.card()
    learn(books)
    books.done(post("told", use(card), receipt=bought(GUID, BREAD)))
    assert books.balance(card) == 500
    first = post("kept", use(card), receipt=bought(GUID))
    books.done(first)
    learn(books, BREAD)
    assert books.done(first).replayed
    assert books.balance(card) == 500
    books.done(post("later", use(card), receipt=bought(GUID)))
    assert books.balance(card) == 1_000


def test_goods_are_learned_once_and_the_last_word_counts_also_when_it_was_said_before(books: Books) -> None:
    def known() -> list[tuple[Any, ...]]:
        return books.rows("SELECT code, name, category FROM goods")

    assert [learn(books).replayed for _ in range(2)] == [False, True]
    for category in (BREAD, TOBACCO):
        assert not learn(books, category).replayed
        assert known() == [(GUID, "Сигареты", category)]
    # Names alone leave the rest; in one batch the last counts as well.
    books.done(LearnGoods(store=MOSCOW, keys=("offer",), code=GUID, names=(Ref("barcode", "4600000000022"),)))
    batch = [LearnGoods(store=MOSCOW, keys=("k",), code=GUID, name=f"{n}", category=BREAD) for n in range(3)]
    books.core.execute(batch)
    assert known() == [(GUID, "2", BREAD)]
    assert books.count("goods_name") == 2


@pytest.mark.parametrize("schemes", [("barcode", "code"), ("code", "barcode")])
def test_a_name_that_two_goods_have_leads_to_the_same_of_them_whichever_was_learned_first(
    books: Books, schemes: tuple[str, str]
) -> None:
    for scheme in schemes:
        learn(books, key=scheme, code=f"goods by {scheme}", names=(Ref(scheme, BARCODE),), name=scheme)
    with books.database.reading() as connection:
        (rows,) = run(connection, [(KNOWN, {"values": array([BARCODE, "goods by code"])})])
    assert {value: known.name for value, known in by_name(rows).items()} == {
        BARCODE: "barcode",
        "goods by code": "code",
    }


def test_a_key_that_stands_for_something_else_stays(books: Books) -> None:
    card = books.card()
    sale = post("sale", use(card), receipt=bought(GUID))
    books.done(sale)
    asked = LearnGoods(store=MOSCOW, keys=("sale",), code=GUID, name="a", category=BREAD)
    assert isinstance(books.one(asked), KeyReused)
    assert books.done(sale).replayed


@pytest.mark.parametrize(
    "changes",
    [{"code": ""}, {"code": "x" * 65}, {"names": (Ref("barcode", "a\0b"),)}, {"name": None}, {"name": "a\nb"}],
    ids=str,
)
def test_what_does_not_fit_is_refused(books: Books, changes: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"code": GUID, "name": "a", "category": BREAD}
    outcome = books.one(LearnGoods(store=MOSCOW, keys=("k",), **fields | changes))
    assert isinstance(outcome, BadMessage)
    assert books.count("goods") == 0


def test_nobody_looks_where_no_programme_asks(books: Books) -> None:
    assert not books.core.work.directory.asks_category
    learn(books)
    card = books.card()
    books.done(post("r", use(card), receipt=bought(GUID)))
    assert books.balance(card) == 500


def test_books_that_messages_are_played_into_know_the_goods(books: Books) -> None:
    learn(books)
    live, known = books.core, books.core.work.directory
    documents = {code: each.programme.document for code, each in known.programmes.items()}
    with (
        scratch(live, chain_of(known), documents, bytes(32), NOON) as core,
        core.work.database.reading() as own,
    ):
        assert [tuple(row) for row in own.execute(select(tables.goods))] == [(GUID, "Сигареты", TOBACCO)]
        assert [tuple(row) for row in own.execute(select(tables.goods_name))] == [(BARCODE, "barcode", GUID)]
