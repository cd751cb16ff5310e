"""Debts: a wallet owes a partner one amount of a unit, however it came about, and what is undone finds it.

Each story is told to the oracle as well; that nobody owes a partner twice is one of the laws which ``agreed`` checks.
"""

from __future__ import annotations

from typing import Any

import pytest

from processing.commands import Amount, CaptureHold, Command, MergeHolders, PlaceHold, Redeem, Ref, ReturnLine, Transfer
from tests.processing.books import ALMATY, MOSCOW, POINTS, Books, adjust, post, use, void
from tests.processing.test_returns import back
from tests.processing.test_traffic import accrue, agreed, held

Steps = tuple[Command[Any], ...]
DONE = "done"


def owe(key: str, amount: int, card: str = "a", store: str = MOSCOW) -> Redeem:
    """A purchase that has happened, though the card has nothing to pay it with."""
    return Redeem(store=store, keys=(key,), card=Ref("card", card), unit=POINTS, amount=amount, fact=True)


def move(key: str, source: str, target: str, amount: int) -> Transfer:
    names = {"source": Ref("card", source), "target": Ref("card", target)}
    return Transfer(store=MOSCOW, keys=(key,), amount=Amount(POINTS, amount), **names)


def merge(source: str, target: str) -> MergeHolders:
    return MergeHolders(store=MOSCOW, keys=("merge",), source=Ref("card", source), target=Ref("card", target))


def test_void_of_a_return_finds_the_debt_that_the_return_has_made(open_sqlite_books: Books) -> None:
    """By then the debt is a part of another one; it had two lots, and the void found the wrong one repaid."""
    world = agreed(
        open_sqlite_books,
        owe("first", 10),
        post("sale", use("a", 0, 10)),
        owe("second", 30),
        back("return", "sale"),
        accrue("more", MOSCOW, "a", 20),
        void("return"),
    )
    assert held(world, "a") == [("alpha", True, -10)]


PAID_WITH_POINTS = (accrue("before", MOSCOW, "a", 10), post("paid", use("a", 10, 0)))
REPAYING: dict[str, tuple[Steps, Command[Any], Command[Any]]] = {
    "accrual": ((), accrue(DONE, MOSCOW, "a", 10), void(DONE)),
    "correction": ((), adjust(DONE, "a", 10), void(DONE)),
    "transfer": ((accrue("theirs", MOSCOW, "d", 10),), move(DONE, "d", "a", 10), void(DONE)),
    "sale": ((), post(DONE, use("a", 0, 10)), void(DONE)),
    "sale, returned": ((), post(DONE, use("a", 0, 10)), back("back", DONE)),
    "sale, another version": ((), post(DONE, use("a", 0, 10)), post(DONE, use("a", 0, 0), supersede=True)),
    "return": (PAID_WITH_POINTS, back(DONE, "paid"), void(DONE)),
    "return without a sale": ((), back(DONE, "", cards=(use("a", 10, 0),)), void(DONE)),
}


@pytest.mark.parametrize("way", REPAYING)
def test_what_had_repaid_a_debt_and_is_undone_is_owed_with_the_rest(open_sqlite_books: Books, way: str) -> None:
    before, repays, undoes = REPAYING[way]
    world = agreed(open_sqlite_books, *before, owe("first", 10), repays, owe("second", 30), undoes)
    assert held(world, "a") == [("alpha", True, -40)]


OWING: dict[str, Steps] = {
    "redemption": (owe(DONE, 10),),
    "correction": (adjust(DONE, "a", -10, allow_debt=True),),
    "sale": (post(DONE, use("a", 10, 0), fact=True),),
    "capture": (
        PlaceHold(store=MOSCOW, keys=("hold",), card=Ref("card", "a"), unit=POINTS, amount=None, seconds=60),
        CaptureHold(store=MOSCOW, keys=(DONE,), hold="hold", amount=10, fact=True),
    ),
    "return": (post("sale", use("a", 0, 10)), move("gone", "a", "d", 10), back(DONE, "sale")),
    "return without a sale": (back(DONE, "", cards=(use("a", 0, 10),)),),
}


@pytest.mark.parametrize("way", OWING)
def test_shortage_that_is_undone_after_it_was_repaid_leaves_less_to_owe(open_sqlite_books: Books, way: str) -> None:
    """It had become points for ever, beside a debt to the same partner."""
    repaid = accrue("repaid", MOSCOW, "a", 10)
    world = agreed(open_sqlite_books, *OWING[way], repaid, owe("second", 30), void(DONE))
    assert held(world, "a") == [("alpha", True, -20)]


def test_debts_that_merged_wallets_had_repaid_are_owed_as_one(open_sqlite_books: Books) -> None:
    world = agreed(
        open_sqlite_books,
        owe("first", 10),
        owe("theirs", 10, "d"),
        post(DONE, use("a", 0, 10), use("d", 0, 10)),
        merge("d", "a"),
        void(DONE),
    )
    assert held(world, "a") == [("alpha", True, -20)]


def test_debts_that_returns_had_repaid_one_after_another_are_owed_as_one(open_sqlite_books: Books) -> None:
    world = agreed(
        open_sqlite_books,
        accrue("before", MOSCOW, "a", 20),
        post(DONE, use("a", 20, 0)),
        owe("first", 10),
        back("half", DONE, ReturnLine(sum_minor=50_000)),
        owe("second", 10),
        back("rest", DONE),
        void(DONE),
    )
    assert held(world, "a") == [("alpha", False, 20), ("alpha", True, -20)]


def test_what_is_owed_to_two_partners_stays_apart(open_sqlite_books: Books) -> None:
    world = agreed(
        open_sqlite_books,
        owe("first", 10),
        post(DONE, use("a", 0, 10)),
        owe("second", 30, store=ALMATY),
        void(DONE),
        accrue("more", MOSCOW, "a", 15),
    )
    assert held(world, "a") == [("beta", True, -25)]
