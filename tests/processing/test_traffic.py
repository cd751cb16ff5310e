"""All value commands at random, against the oracle: same words, amounts and lots, whatever travels together.

``tests/processing/oracle`` tells the commands again from their docstrings and design.md, in memory. A failure names a
seed: ``live(books, quiet, seed, STEPS)`` lives that life again. The everyday seeds are always the same, ``-m slow``
takes new ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from processing.commands import (
    Accrue,
    Amount,
    CaptureHold,
    Command,
    PlaceHold,
    Redeem,
    Ref,
    RestoreReceipt,
    Transfer,
)
from processing.database import Database
from processing.errors import LoyaltyError
from processing.execute import Core
from tests.processing.books import (
    ALMATY,
    MILES,
    MOSCOW,
    NOON,
    POINTS,
    Books,
    StillClock,
    adjust,
    post,
    receipt,
    use,
    void,
)
from tests.processing.oracle.life import live
from tests.processing.oracle.world import World, emptied, new_oracle
from tests.processing.test_returns import back

STEPS, MANY_STEPS = 8, 14
EVERYDAY, MANY = 4, 400
SEED = st.integers(0, 2**32)
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""A seed cannot shrink."""


@pytest.fixture
def quiet(sqlite_books: Books, tmp_path: Path) -> Iterator[Books]:
    """Books beside those under test, on which no worker ever runs."""
    database = Database(f"sqlite:///{shutil.copy(str(sqlite_books.database.url.database), tmp_path / 'quiet.db')}")
    work = sqlite_books.core.work
    yield Books(Core(database, work.directory, work.vault), database, StillClock())
    database.dispose()


@settings(max_examples=EVERYDAY, phases=NO_SHRINKING, derandomize=True)
@given(seed=SEED)
def test_any_traffic_is_answered_as_the_oracle_says(books: Books, quiet: Books, seed: int) -> None:
    live(books, quiet, seed, STEPS)


@pytest.mark.slow
@settings(max_examples=MANY, phases=NO_SHRINKING)
@given(seed=SEED)
def test_much_traffic_is_answered_as_the_oracle_says(books: Books, quiet: Books, seed: int) -> None:
    live(books, quiet, seed, MANY_STEPS)


# What traffic at random has found ---------------------------------------------------------------------------------


def agreed(books: Books, *steps: Command[Any] | timedelta, refused: Command[Any] | None = None) -> World:
    """The books after these commands, one after another with time between, which the oracle has answered alike.

    None of them is refused, but the last one that is.
    """
    own = emptied(books)
    assert isinstance(own.clock, StillClock)
    oracle, world = new_oracle(own.clock.at), World.of(own, "A-", True)
    for step in (*steps, *([refused] if refused else [])):
        if isinstance(step, timedelta):
            own.clock.at = oracle.bank.now = own.clock.at + step
            continue
        (outcome,) = world.execute([step])
        assert isinstance(outcome, LoyaltyError) == (step is refused), outcome
        assert world.told(outcome) == world.expected(oracle.ask(step)), step
    world.check(oracle)
    own.check_laws()
    return world


def accrue(key: str, store: str, card: str, amount: int) -> Accrue:
    return Accrue(store=store, keys=(key,), card=Ref("card", card), amount=Amount(POINTS, amount))


def held(world: World, card: str) -> list[tuple[str, bool, int]]:
    """Issuer, whether it is a debt, and what it holds; by lot."""
    return sorted((issuer, is_debt == "debt", amount) for (_, issuer, is_debt, *_), amount in world.lots(card).items())


def test_each_lot_gives_up_its_own_points_before_those_of_others(books: Books) -> None:
    # Beta's points end three hours earlier and are spent; alpha's are still there, and no debt to alpha is made.
    to, points = Ref("card", "a"), Amount(POINTS, 200)
    world = agreed(
        books,
        accrue("alpha", MOSCOW, "d", 100),
        accrue("beta", ALMATY, "d", 100),
        Transfer(store=MOSCOW, keys=("moved",), source=Ref("card", "d"), target=to, amount=points),
        Redeem(store=MOSCOW, keys=("spent",), card=to, unit=POINTS, amount=100),
        void("moved"),
    )
    assert held(world, "a") == [("beta", True, -100)]
    assert held(world, "d") == [("alpha", False, 100), ("beta", False, 100)]


def test_lot_that_a_receipt_empties_and_fills_is_one_lot(books: Books) -> None:
    # So the points of the second receipt are the first one's own, and its return leaves those of beta alone.
    world = agreed(
        books,
        post("first", use("a", 0, 300)),
        post("second", use("a", 300, 300)),
        accrue("beta", ALMATY, "a", 100),
        back("back", "first"),
    )
    assert held(world, "a") == [("beta", False, 100)]


HELD = PlaceHold(store=MOSCOW, keys=("hold",), card=Ref("card", "f"), unit=MILES, amount=300, seconds=60)
TAKING: dict[str, tuple[Command[Any], ...]] = {
    "redemption": (Redeem(store=MOSCOW, keys=("done",), card=Ref("card", "f"), unit=MILES, amount=200),),
    "capture": (HELD, CaptureHold(store=MOSCOW, keys=("done",), hold="hold", amount=200)),
    "return without a sale": (back("done", "", cards=(use("f", 0, 200, MILES),)),),
}


@pytest.mark.parametrize("way", TAKING)
def test_void_gives_back_with_the_days_of_grace_what_no_sale_took(books: Books, way: str) -> None:
    gift = adjust("gift", "f", 500, MILES, expires_days=1)
    world = agreed(books, gift, *TAKING[way], timedelta(days=5), void("done"))
    assert world.books.balances(world.cards["f"])[MILES].available == 200


def test_newer_version_undoes_no_capture_that_was_not_its_own(open_sqlite_books: Books) -> None:
    """The sale let the hold go, and a fact captured it."""
    capture = CaptureHold(store=MOSCOW, keys=("late",), hold="hold", amount=100, fact=True)
    agreed(
        open_sqlite_books,
        adjust("gift", "f", 500, MILES),
        HELD,
        post("sale", use("f", 0, 0, hold="hold")),
        capture,
        post("sale", use("f", 10, 0, MILES), supersede=True),
        refused=structs.replace(capture, keys=("later",), fact=False),
    )


def test_return_of_a_restored_sale_gives_back_with_the_days_of_grace(open_sqlite_books: Books) -> None:
    world = agreed(
        open_sqlite_books,
        adjust("gift", "f", 500, MILES, expires_days=1),
        post("sale", use("f", 100, 0, MILES)),
        timedelta(days=5),
        void("sale", reason="return"),
        RestoreReceipt(store=MOSCOW, keys=("sale",)),
        back("back", "sale"),
    )
    assert world.books.balances(world.cards["f"])[MILES].available == 100


def test_return_of_a_restored_fact_leaves_expired_what_was_expired_when_it_paid(open_sqlite_books: Books) -> None:
    late = post("sale", use("f", 100, 0, MILES), fact=True, receipt=receipt(closed_at=NOON))
    world = agreed(
        open_sqlite_books,
        adjust("gift", "f", 500, MILES, expires_days=1),
        timedelta(days=5),
        late,
        void("sale", reason="return"),
        RestoreReceipt(store=MOSCOW, keys=("sale",)),
        void("sale", reason="return"),
        RestoreReceipt(store=MOSCOW, keys=("sale",)),
        back("back", "sale"),
    )
    assert world.books.balances(world.cards["f"])[MILES].available == 0
