"""Lots, purely: what is drawn, repaid and given back, whatever lots there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from processing.lots import FOREVER, Lot, Move, available, draw, repay, reverse

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def lot(number: int, remaining: int, available_in: int = -10, expires_in: int | None = 10) -> Lot:
    """A lot with its terms in days from now; one that owes is debt."""
    is_debt = remaining < 0
    expires_at = None if is_debt or expires_in is None else NOW + expires_in * DAY
    return Lot(number, 1, 1, 1_000_000, remaining, remaining != 0, NOW + available_in * DAY, expires_at, is_debt)


def apply(moves: Sequence[Move]) -> None:
    """What the books do with moves."""
    for moved, amount in moves:
        moved.remaining += amount
        moved.is_open = moved.remaining != 0


AMOUNTS = st.integers(0, 1_000)
TERMS = st.tuples(st.integers(-500, 500), st.integers(-3, 3), st.none() | st.integers(-3, 5))
LOTS = st.lists(TERMS, max_size=8).map(lambda found: [lot(n, *terms) for n, terms in enumerate(found)])
PLENTY = st.lists(TERMS, min_size=1, max_size=8).map(lambda found: [lot(n, *terms) for n, terms in enumerate(found)])


@given(lots=LOTS, amount=AMOUNTS)
def test_draw_takes_all_that_is_asked_or_all_there_is(lots: list[Lot], amount: int) -> None:
    free = sum(each.remaining for each in lots if each.remaining > 0 and each.is_available(NOW))
    moves, short = draw(lots, amount, NOW)
    assert -sum(taken for _, taken in moves) == min(amount, free)
    assert short == amount - min(amount, free)


@given(lots=LOTS, amount=AMOUNTS)
def test_draw_never_empties_a_lot_below_zero_nor_touches_what_is_not_available(lots: list[Lot], amount: int) -> None:
    moves, _ = draw(lots, amount, NOW)
    assert len({drawn.id for drawn, _ in moves}) == len(moves)
    for drawn, taken in moves:
        assert -drawn.remaining <= taken < 0
        assert drawn.is_available(NOW)


@given(lots=LOTS, amount=AMOUNTS)
def test_draw_leaves_no_sooner_expiring_points_behind(lots: list[Lot], amount: int) -> None:
    moves, _ = draw(lots, amount, NOW)
    if not moves:
        return
    latest = max(drawn.expires_at or FOREVER for drawn, _ in moves)
    apply(moves)
    left = [each for each in lots if each.remaining > 0 and each.is_available(NOW)]
    assert all((each.expires_at or FOREVER) >= latest for each in left)


@given(lots=LOTS, amount=AMOUNTS)
def test_pure_functions_change_no_lot(lots: list[Lot], amount: int) -> None:
    before = [each.remaining for each in lots]
    draw(lots, amount, NOW)
    repay(lots, lot(99, 0), amount, {})
    reverse([(each.id, amount) for each in lots], {each.id: each for each in lots}, NOW)
    assert [each.remaining for each in lots] == before


@given(lots=LOTS)
def test_available_is_what_can_be_spent_less_all_debt(lots: list[Lot]) -> None:
    debt = sum(each.remaining for each in lots if each.remaining < 0)
    spendable = sum(each.remaining for each in lots if each.remaining > 0 and each.is_available(NOW))
    assert available(lots, NOW) == spendable + debt


def test_lot_is_available_from_its_first_instant_and_gone_at_its_last() -> None:
    first = lot(1, 10, available_in=0, expires_in=1)
    assert first.is_available(NOW)
    assert first.is_available(NOW + DAY - timedelta(microseconds=1))
    assert not first.is_available(NOW + DAY)
    assert not first.is_available(NOW - timedelta(microseconds=1))


@given(lots=LOTS, amount=st.integers(1, 1_000))
def test_repayment_is_paid_from_the_new_points_and_never_above_the_debt(lots: list[Lot], amount: int) -> None:
    source = lot(99, amount)
    owed = -sum(each.remaining for each in lots if each.remaining < 0)
    moves = repay([*lots, source], source, amount, {})
    assert sum(moved for _, moved in moves) == 0
    assert -sum(moved for paying, moved in moves if paying is source) == min(amount, owed)
    apply(moves)
    assert source.remaining == amount - min(amount, owed)
    assert all(each.remaining <= 0 for each in lots if each.is_debt)


@given(lots=LOTS)
def test_oldest_debt_is_repaid_first(lots: list[Lot]) -> None:
    """A debt is as old as it says: ids come from blocks of several processes."""
    source = lot(99, 100)
    repaid = [to for to, amount in repay(lots, source, 100, {}) if to is not source and amount > 0]
    oldest = sorted((each for each in lots if each.remaining < 0), key=lambda debt: (debt.available_from, debt.id))
    assert repaid == oldest[: len(repaid)]


@given(lots=PLENTY, amount=AMOUNTS, data=st.data())
def test_which_process_made_a_lot_does_not_matter_for_what_it_pays(
    lots: list[Lot], amount: int, data: st.DataObject
) -> None:
    """Equal lots of different issuers pay in one order, whatever their ids."""
    by_terms = {
        each.terms: each for each in [structs.replace(each, issuer_id=data.draw(st.integers(1, 2))) for each in lots]
    }
    ids = data.draw(st.permutations(range(len(by_terms))))
    others = [structs.replace(each, id=n) for n, each in zip(ids, by_terms.values(), strict=True)]
    paid, paid_by_others = draw(by_terms.values(), amount, NOW), draw(others, amount, NOW)
    assert [(each.terms, part) for each, part in paid[0]] == [(each.terms, part) for each, part in paid_by_others[0]]


@given(lots=LOTS, amounts=st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_accruals_of_one_operation_never_repay_more_than_is_owed(lots: list[Lot], amounts: list[int]) -> None:
    owed = -sum(each.remaining for each in lots if each.remaining < 0)
    repaid: dict[int, int] = {}
    moves = [move for n, amount in enumerate(amounts) for move in repay(lots, lot(90 + n, 0), amount, repaid)]
    assert sum(repaid.values()) == min(owed, sum(amounts))
    apply(moves)
    assert all(each.remaining <= 0 for each in lots if each.is_debt)


def test_debt_of_the_same_operation_is_repaid_by_its_own_accrual() -> None:
    debt, source = lot(1, 0), lot(2, 0)
    debt.is_debt = True
    assert repay([debt], source, 100, {1: -30}) == [(source, -30), (debt, 30)]


@given(lots=PLENTY, spent=AMOUNTS, earned=AMOUNTS, data=st.data())
def test_reversal_with_nothing_in_between_restores_every_lot(
    lots: list[Lot], spent: int, earned: int, data: st.DataObject
) -> None:
    by_id = {each.id: each for each in lots} | {98: lot(98, 0), 99: lot(99, 0)}
    debt = by_id[99]
    debt.is_debt = True
    for each in by_id.values():
        # There is one debt a partner.
        each.issuer_id = each.id if each.is_debt else each.issuer_id
    fresh = data.draw(st.sampled_from([98, *(each.id for each in lots if not each.is_debt)]))
    before = {number: each.remaining for number, each in by_id.items()}
    moves, short = draw(lots, spent, NOW)
    done = [*moves, (debt, -short), (by_id[fresh], earned)]
    done += repay(by_id.values(), by_id[fresh], earned, {debt.id: -short})
    apply(done)
    undone = reverse([(moved.id, amount) for moved, amount in done], by_id, NOW)
    apply(undone.moves)
    assert (undone.owed, undone.spare) == ({}, {})
    assert {number: each.remaining for number, each in by_id.items()} == before


@given(lots=PLENTY, earned=st.integers(1, 1_000), spent=AMOUNTS)
def test_reversal_of_an_accrual_takes_back_all_or_says_what_is_owed(lots: list[Lot], earned: int, spent: int) -> None:
    source = lot(99, earned, expires_in=4)
    by_id = {each.id: each for each in [*lots, source]}
    apply(draw(by_id.values(), spent, NOW)[0])
    undone = reverse([(source.id, earned)], by_id, NOW)
    assert -sum(amount for _, amount in undone.moves) + sum(undone.owed.values()) == earned
    assert set(undone.owed) <= {source.id}
    free = sum(each.remaining for each in by_id.values() if each.remaining > 0 and each.is_available(NOW))
    assert sum(undone.owed.values()) == max(earned - free, 0)
    apply(undone.moves)
    assert all(each.remaining >= 0 for each in by_id.values() if not each.is_debt)


@given(made=st.integers(1, 500), repaid=st.integers(0, 500))
def test_reversal_of_a_shortage_frees_what_was_repaid_since_and_leaves_the_debt_empty(made: int, repaid: int) -> None:
    repaid = min(made, repaid)
    debt = lot(1, repaid - made)
    debt.is_debt = True
    undone = reverse([(1, -made)], {1: debt}, NOW)
    assert sum(amount for _, amount in undone.moves) + sum(undone.spare.values()) == made
    assert sum(undone.spare.values()) == repaid
    apply(undone.moves)
    assert debt.remaining == 0


def test_reversal_takes_from_the_own_lot_before_one_that_expires_sooner() -> None:
    own, sooner = lot(1, 60, expires_in=9), lot(2, 100, expires_in=1)
    undone = reverse([(1, 100)], {1: own, 2: sooner}, NOW)
    assert [(moved.id, amount) for moved, amount in undone.moves] == [(1, -60), (2, -40)]
    assert undone.owed == {}


def test_reversal_spends_no_points_that_are_pending_or_expired_in_another_lot() -> None:
    lots = {1: lot(1, 0), 2: lot(2, 50, available_in=2), 3: lot(3, 50, expires_in=-1)}
    undone = reverse([(1, 30)], lots, NOW)
    assert (undone.moves, undone.owed) == ([], {1: 30})


def test_what_was_drawn_goes_back_to_an_expired_lot_as_well() -> None:
    gone = lot(1, 0, expires_in=-1)
    undone = reverse([(1, -70)], {1: gone}, NOW)
    assert [(moved.id, amount) for moved, amount in undone.moves] == [(1, 70)]
    assert (undone.owed, undone.spare) == ({}, {})


def test_what_comes_back_to_a_repaid_debt_pays_what_is_taken_back() -> None:
    debt, gone = lot(1, 0), lot(2, 0)
    debt.is_debt = True
    undone = reverse([(debt.id, -37), (gone.id, 10)], {1: debt, 2: gone}, NOW)
    assert (undone.moves, undone.owed, undone.spare) == ([], {}, {1: 27})
