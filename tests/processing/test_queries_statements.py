"""Statements: every operation once, newest first, in pages that fit together, and in step with the balances."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.commands import MAX_PAGE, Amount, CardUse, ReadStatement
from processing.errors import BadMessage, CardNotFound, UnitNotFound
from processing.results import Statement, StatementLine
from tests.processing.books import ALMATY, MONEY, NOON, POINTS, Books, adjust, post, receipt, top_up, use, void
from tests.processing.reads import account_of, clock_of, lot, merge, named, operation, outcome, told

HOUR = timedelta(hours=1)


def statement(books: Books, card: str, **changes: Any) -> Statement:
    return told(books, ReadStatement(refs=named(card), **changes))


def pages(books: Books, card: str, **changes: Any) -> list[Statement]:
    """All pages, each asked for with the cursor of the one before."""
    found = [statement(books, card, **changes)]
    while found[-1].cursor:
        assert len(found) < 100
        found.append(statement(books, card, cursor=found[-1].cursor, **changes))
    return found


def amounts(lines: tuple[StatementLine, ...]) -> list[tuple[str, str, int]]:
    return [(line.kind, line.unit, line.amount) for line in lines]


def busy_card(books: Books) -> str:
    """A card with a history over several hours, some of it at one instant."""
    card = books.card(1_000)
    books.done(post("a", use(card, redeem=200), total=10_000))
    clock_of(books).forward(hours=1)
    books.done(top_up("b", card, 7_000))
    books.done(
        post("c", CardUse(refs=named(card), redeem=(Amount(MONEY, 40),), earn=(Amount(POINTS, 15),)), store=ALMATY)
    )
    clock_of(books).forward(hours=1)
    books.done(void("a"))
    return card


# What the lines say ---------------------------------------------------------------------------------------------


def test_a_statement_tells_each_operation_and_unit_once_newest_first(books: Books) -> None:
    card = busy_card(books)
    lines = statement(books, card).lines
    assert amounts(lines) == [
        ("void", POINTS, -290),
        ("receipt", MONEY, -40),
        ("receipt", POINTS, 15),
        ("top_up", MONEY, 7_000),
        ("receipt", POINTS, 290),
        ("adjustment", POINTS, 1_000),
    ]
    assert [line.store for line in lines] == ["alpha-1", "beta-1", "beta-1", "alpha-1", "alpha-1", "alpha-1"]
    assert [line.effective_at for line in lines] == sorted((line.effective_at for line in lines), reverse=True)


def test_an_operation_that_gives_what_it_takes_is_a_line(books: Books) -> None:
    card = books.card(100)
    books.done(post("even", use(card, redeem=50, earn=50)))
    assert amounts(statement(books, card).lines)[0] == ("receipt", POINTS, 0)


def test_what_only_moves_between_a_wallets_lots_is_no_line(books: Books) -> None:
    card = books.card(100)
    account = account_of(books, card)
    ((first,),) = books.rows("SELECT id FROM lot WHERE account_id = :account", account=account)
    operation(books, [(account, first, -30), (account, lot(books, account, 30), 30)], NOON + HOUR)
    assert amounts(statement(books, card).lines) == [("adjustment", POINTS, 100)]


def test_a_receipt_that_moved_nothing_is_no_line(books: Books) -> None:
    card = books.card()
    books.done(post("nothing", use(card, earn=0), total=0))
    assert statement(books, card).lines == ()


def test_flags_are_told(books: Books) -> None:
    card = books.card()
    books.done(post("short", use(card, redeem=70, earn=0), fact=True, notes=("odd",)))
    assert set(statement(books, card).lines[0].flags) == {"odd", "debt"}


def test_a_late_fact_stands_where_it_happened(books: Books) -> None:
    card = books.card()
    books.done(top_up("a", card, 100))
    clock_of(books).forward(hours=5)
    books.done(top_up("b", card, 200))
    late = post("late", use(card, earn=7), fact=True, receipt=receipt(closed_at=NOON + HOUR))
    books.done(late)
    lines = statement(books, card).lines
    assert [line.amount for line in lines] == [200, 7, 100]
    assert (lines[1].effective_at, lines[1].booked_at) == (NOON + HOUR, NOON + 5 * HOUR)


def test_what_no_store_did_is_told_without_one(books: Books) -> None:
    card = books.card(100)
    account = account_of(books, card)
    ((first,),) = books.rows("SELECT id FROM lot WHERE account_id = :account", account=account)
    operation(books, [(account, first, -100)], NOON + HOUR, kind="expiry", store_id=0)
    (line, _) = statement(books, card).lines
    assert (line.kind, line.store, line.amount) == ("expiry", "", -100)


# Filters ----------------------------------------------------------------------------------------------------------


def test_a_statement_of_one_unit(books: Books) -> None:
    card = busy_card(books)
    assert {line.unit for line in statement(books, card, unit=MONEY).lines} == {MONEY}
    assert isinstance(outcome(books, ReadStatement(refs=named(card), unit="GEMS")), UnitNotFound)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, NOON, []),
        (NOON, NOON + HOUR, [290, 1_000]),
        (NOON + HOUR, NOON + 2 * HOUR, [-40, 15, 7_000]),
        (NOON + 2 * HOUR, None, [-290]),
        (NOON + 3 * HOUR, None, []),
        (NOON + HOUR, NOON, []),
    ],
)
def test_a_statement_of_a_time_begins_with_it_and_ends_before_its_end(
    books: Books, since: datetime | None, until: datetime | None, expected: list[int]
) -> None:
    card = busy_card(books)
    whole = [line.amount for line in statement(books, card, since=since, until=until).lines]
    assert sorted(whole) == sorted(expected)
    paged = pages(books, card, since=since, until=until, limit=1)
    assert [line.amount for page in paged for line in page.lines] == whole


# Pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7])
@pytest.mark.parametrize("unit", ["", POINTS])
def test_pages_are_the_whole_cut_into_pieces(books: Books, limit: int, unit: str) -> None:
    card = busy_card(books)
    whole = statement(books, card, limit=MAX_PAGE, unit=unit)
    found = pages(books, card, limit=limit, unit=unit)
    assert whole.cursor == ""
    assert tuple(line for page in found for line in page.lines) == whole.lines
    assert all(len(page.lines) == limit for page in found[:-1])
    assert 0 < len(found[-1].lines) <= limit


def test_pages_of_one_instant_fit_together(books: Books) -> None:
    card = books.card()
    for n in range(7):
        books.done(top_up(f"t{n}", card, 1 + n))
        books.done(adjust(f"a{n}", card, 100 + n))
    found = [line.amount for page in pages(books, card, limit=3) for line in page.lines]
    assert sorted(found) == sorted([*range(1, 8), *range(100, 107)])


def test_what_is_booked_meanwhile_disturbs_no_later_page(books: Books) -> None:
    card = busy_card(books)
    first = statement(books, card, limit=2)
    clock_of(books).forward(minutes=1)
    books.done(top_up("new", card, 1))
    rest = statement(books, card, limit=MAX_PAGE, cursor=first.cursor)
    assert amounts(first.lines + rest.lines) == amounts(statement(books, card).lines)[1:]


def test_a_page_of_lines_that_are_left_out_leads_on(books: Books) -> None:
    card = books.card(100)
    account = account_of(books, card)
    ((first,),) = books.rows("SELECT id FROM lot WHERE account_id = :account", account=account)
    for n in range(3):
        operation(books, [(account, first, -30), (account, lot(books, account, 30), 30)], NOON + (n + 1) * HOUR)
    found = pages(books, card, limit=1)
    assert [len(page.lines) for page in found] == [0, 0, 0, 1]


@pytest.mark.parametrize("limit", [-1, 0, MAX_PAGE + 1])
def test_a_page_has_a_bound(books: Books, limit: int) -> None:
    card = books.card()
    refused = outcome(books, ReadStatement(refs=named(card), limit=limit))
    assert isinstance(refused, BadMessage)
    assert refused.details["where"] == "limit"


# Cursors ----------------------------------------------------------------------------------------------------------


def test_a_cursor_belongs_to_its_question(books: Books) -> None:
    card, other = busy_card(books), books.card(1)
    cursor = statement(books, card, limit=1).cursor
    for query in (
        ReadStatement(refs=named(other), cursor=cursor),
        ReadStatement(refs=named(card), cursor=cursor, unit=POINTS),
        ReadStatement(refs=named(card), cursor=cursor, since=NOON),
        ReadStatement(refs=named(card), cursor=cursor, until=NOON),
    ):
        refused = outcome(books, query)
        assert isinstance(refused, BadMessage), query
        assert refused.details["where"] == "cursor"
    # How long a page is, is not what it asks for.
    assert statement(books, card, cursor=cursor, limit=7).lines


@pytest.mark.parametrize("cursor", ["x", "%%%", "é", "a" * 10_000, "WyJhIl0", "bnVsbA", "\0", "\ud83d"])
def test_a_broken_cursor_is_refused(books: Books, cursor: str) -> None:
    card = books.card(1)
    refused = outcome(books, ReadStatement(refs=named(card), cursor=cursor))
    assert isinstance(refused, BadMessage)
    assert refused.details["where"] == "cursor"


def test_a_statement_of_an_unknown_card_is_refused(books: Books) -> None:
    assert isinstance(outcome(books, ReadStatement(refs=named("404"))), CardNotFound)


# Merged wallets ---------------------------------------------------------------------------------------------------


def test_the_history_of_a_merged_wallet_goes_on_in_the_other(books: Books) -> None:
    source, target = busy_card(books), books.card(20)
    before = {*amounts(statement(books, source).lines), *amounts(statement(books, target).lines)}
    merge(books, source, target)
    clock_of(books).forward(hours=1)
    found = statement(books, target)
    assert set(amounts(found.lines)) == before
    assert statement(books, source) == found
    assert [line.amount for page in pages(books, target, limit=2) for line in page.lines] == [
        line.amount for line in found.lines
    ]


# In step with the balances ----------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["earn", "pay", "top_up", "void", "owe", "take", "merge"]),
        st.integers(1, 300),
        st.integers(0, 2),
    ),
    max_size=8,
)


@given(steps=STEPS, asked=st.integers(-1, 20), limit=st.integers(1, 5))
@settings(max_examples=25)
def test_the_lines_until_an_instant_sum_to_the_balance_then(
    books: Books, steps: list[tuple[str, int, int]], asked: int, limit: int
) -> None:
    clock_of(books).at = NOON
    card = books.card(50)
    keys: list[str] = []
    for kind, amount, hours in steps:
        clock_of(books).forward(hours=hours)
        key = books.key(kind)
        if kind == "top_up":
            books.one(top_up(key, card, amount))
        elif kind == "merge":
            merge(books, books.card(amount), card)
        elif kind == "take":
            books.one(adjust(key, card, -amount))
        elif kind == "void":
            books.one(void(keys[amount % len(keys)] if keys else key))
        else:
            keys.append(key)
            redeem = 0 if kind == "earn" else amount
            books.one(post(key, use(card, redeem=redeem, earn=amount // 2), fact=kind == "owe"))
    at = NOON + asked * HOUR
    lines = [line for page in pages(books, card, limit=limit) for line in page.lines]
    for unit, balance in books.balances(card, at).items():
        assert sum(line.amount for line in lines if line.unit == unit and line.effective_at <= at) == balance.balance
