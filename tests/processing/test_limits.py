"""Limits of a programme: per card, till, cashier, store and partner, in a day and in a month."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from processing.commands import IssueCard, ReturnReceipt
from processing.directory import ActiveProgramme
from processing.errors import LimitExceeded
from processing.execute import Core
from processing.programme.compiled import Programme
from processing.programme.document import Limit
from tests.processing.books import (
    ALMATY,
    GRACED,
    MONEY,
    MOSCOW,
    PLAIN,
    URAL,
    Books,
    StillClock,
    post,
    programme,
    receipt,
    ref,
    top_up,
    use,
    void,
)


def limited(books: Books, **told: Any) -> None:
    """The plain programme with one limit, for this core only."""
    limit = Limit(**{"limit": "some", "of": "turnover", "every": "day", "most": 1_000, "then": "block"} | told)
    work = books.core.work
    document = structs.replace(programme(PLAIN), limits=(limit,))
    active = ActiveProgramme(work.directory.programmes[PLAIN].version_id, Programme(document))
    directory = replace(work.directory, programmes=work.directory.programmes | {PLAIN: active})
    books.core = Core(books.database, directory, work.vault)


def sale(books: Books, card: str, total: int, key: str = "", **changes: Any) -> Any:
    bill = {name: changes.pop(name) for name in ("till", "cashier") if name in changes}
    told = receipt(total, **bill)
    return post(key or books.key("sale"), use(card), receipt=told, **changes)


@pytest.mark.parametrize("per", ["card", "till", "store", "partner"])
def test_beyond_a_limit_a_purchase_is_refused_until_the_next_day(books: Books, clock: StillClock, per: str) -> None:
    limited(books, per=per)
    card, other = books.card(), books.card()
    books.done(sale(books, card, 600))
    refusal = books.one(sale(books, card, 401))
    assert isinstance(refusal, LimitExceeded)
    assert refusal.details == {"name": "some", "asked": 1_001, "limit": 1_000}
    books.done(sale(books, card, 400))
    assert isinstance(books.one(sale(books, other, 1)), LimitExceeded) == (per != "card")
    clock.forward(days=1)
    books.done(sale(books, card, 1_000))


def test_whose_limit_it_is(books: Books) -> None:
    limited(books, per="till")
    card = books.card()
    books.done(sale(books, card, 1_000, till="1"))
    books.done(sale(books, card, 1_000, till="2"))
    books.done(sale(books, card, 1_000, till="1", store=URAL))
    limited(books, per="partner")
    assert isinstance(books.one(sale(books, card, 1, store=URAL)), LimitExceeded), "alpha has both stores"
    books.done(sale(books, card, 1_000, store=ALMATY))


def test_cashier_has_a_limit_where_the_till_tells_one(books: Books) -> None:
    limited(books, per="cashier", of="receipts", most=1)
    card = books.card()
    books.done(sale(books, card, 100, cashier="anna"))
    assert isinstance(books.one(sale(books, card, 100, cashier="anna")), LimitExceeded)
    books.done(sale(books, card, 100, cashier="boris"))
    books.done(sale(books, card, 100))
    books.done(sale(books, card, 100))


def test_month_is_the_calendars(books: Books, clock: StillClock) -> None:
    limited(books, per="store", of="earned", most=100, every="month")
    card = books.card()
    books.done(sale(books, card, 2_000))
    clock.forward(days=20)
    assert isinstance(books.one(sale(books, card, 20)), LimitExceeded)
    clock.forward(days=8)
    books.done(sale(books, card, 2_000))


def test_points_of_another_unit_are_none_of_the_programmes(books: Books) -> None:
    limited(books, per="card", of="earned", most=50)
    card = books.card()
    other = books.done(
        IssueCard(store=MOSCOW, keys=("other",), product=GRACED, wallet_of=ref(card), active=True)
    ).number
    books.done(sale(books, other, 10_000))
    books.done(sale(books, card, 1_000))
    assert isinstance(books.one(sale(books, card, 20)), LimitExceeded)


@pytest.mark.parametrize("books", ["sqlite"], indirect=True)
def test_money_of_a_payment_by_itself_counts_with_its_purchase(books: Books) -> None:
    limited(books, per="card")
    card = books.card()
    books.done(top_up("load", card, 600))
    books.done(post("pay", use(card, 600, unit=MONEY), total=600, payment=True))
    books.done(sale(books, card, 1_000))
    assert isinstance(books.one(sale(books, card, 1)), LimitExceeded)


def test_limit_that_alerts_flags_what_is_beyond_it(books: Books) -> None:
    limited(books, per="store", then="alert")
    card = books.card()
    assert books.done(sale(books, card, 1_000)).flags == ()
    assert books.done(sale(books, card, 1)).flags == ("over_limit:some",)


def test_fact_beyond_a_limit_is_booked_and_flagged(books: Books) -> None:
    limited(books, per="till")
    card = books.card()
    assert books.done(sale(books, card, 1_001, fact=True)).flags == ("over_limit:some",)


@pytest.mark.parametrize("per", ["card", "till"])
@pytest.mark.parametrize("undo", ["void", "return"])
def test_what_is_undone_no_longer_counts(books: Books, per: str, undo: str) -> None:
    limited(books, per=per)
    card = books.card()
    books.done(sale(books, card, 1_000, key="first"))
    assert isinstance(books.one(sale(books, card, 1)), LimitExceeded)
    if undo == "void":
        books.done(void("first"))
    else:
        back = receipt(1_000, till="99")
        books.done(ReturnReceipt(store=MOSCOW, keys=("back",), receipt=back, sale="first"))
    books.done(sale(books, card, 1_000))


def test_batch_counts_what_it_holds_itself(books: Books) -> None:
    limited(books, per="store")
    cards = [books.card() for _ in range(4)]
    outcomes = books.core.execute([sale(books, card, 400) for card in cards])
    assert [isinstance(each, LimitExceeded) for each in outcomes] == [False, False, True, True]


def test_programme_without_such_limits_counts_nothing(books: Books) -> None:
    books.done(sale(books, books.card(), 1_000))
    assert books.count("tally") == 0
