"""Top-ups in their three conventions, and bonuses of scripts: what is asked, and what is never mistaken for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.rkeeper import ADAPTER
from adapters.testing import asks_of, converse
from processing.commands import Accrue, Amount, Ask, PostReceipt, Ref, TopUp, VoidReceipt
from processing.errors import BadMessage, CardNotFound, ForeignStore, KeyReused, Refusal
from tests.adapters.rkeeper.test_receipts import ask_of, asks, check, link, message, payment, record, request, sale_of

GIFT = {"top_up_unit": "GIFT"}
DISHES = {**GIFT, "top_up_dishes": ["990"]}
RECORDS: dict[str, Any] = {**GIFT, "top_up_records": True}
OWN = {**RECORDS, "top_up_restaurants": [9999]}


def line(code: str, amount: str, uni: int = 4) -> str:
    return f'<LINE code="{code}" uni="{uni}" name="x" price="9" categ_id="" quantity="1" sum="{amount}"/>'


def own(*records: str) -> str:
    return message(*(text.replace('Restaurant="3"', 'Restaurant="9999"') for text in records))


def named(ask: Ask[Any]) -> tuple[str, ...]:
    keys: tuple[str, ...] = ask.keys  # type: ignore[attr-defined]
    return keys


# 1. A dish


def test_a_dish_of_the_list_loads_the_only_card_with_what_it_costs() -> None:
    goods = line("301", "380") + line("990", "1000.50", 5) + line("990", "500", 6)
    sale = sale_of(message(record(3, 188050), check=check(inside=goods)), **DISHES)
    (card,) = sale.cards
    assert card.top_up == (Amount("GIFT", 150050),)
    assert [told.kind for told in sale.receipt.lines] == ["goods", "top_up", "top_up"]
    assert sale.receipt.total_minor == 188050


def test_the_same_dish_is_goods_where_the_link_does_not_list_it() -> None:
    body = message(record(3, 100000), check=check(inside=line("990", "1000")))
    sale = sale_of(body)
    assert sale.cards[0].top_up == ()
    assert sale.receipt.lines[0].kind == "goods"
    assert sale.content == sale_of(body, **DISHES).content


def test_a_top_up_dish_that_costs_nothing_loads_nothing_and_one_that_costs_less_is_nonsense() -> None:
    assert sale_of(message(record(3, 1), check=check(inside=line("990", "0"))), **DISHES).cards[0].top_up == ()
    with pytest.raises(BadMessage, match="LINE@sum"):
        asks(message(record(3, 1), check=check(inside=line("990", "-5"))), **DISHES)


def test_what_loads_a_card_is_not_offered_to_be_paid_with_points() -> None:
    goods = line("301", "380") + line("990", "1000", 5)
    body = f'<ROOT><QRY Card="55"><INPBUF>{check(7, goods)}</INPBUF></QRY></ROOT>'
    totals = [asks_of(ADAPTER, request(body, "getcardinfoex"), link(**options))[0] for options in (DISHES, {})]
    assert [getattr(ask, "order_minor", None) for ask in totals] == [38000, 138000]


@pytest.mark.parametrize("records", [[], [record(3, 100, 55), record(3, 100, 66)]])
def test_a_top_up_dish_needs_exactly_one_card(records: list[str]) -> None:
    body = message(*records, check=check(inside=line("990", "1000")))
    with pytest.raises(Refusal):
        asks(body, **DISHES)
    said = converse(ADAPTER, request(body), link(**DISHES, language="en"), lambda _: [])
    assert b"exactly one card" in said.response.body
    assert said.response.refused == "refused"


# 2. Records


def test_payments_of_the_other_sign_alone_are_a_top_up_where_the_link_says_so() -> None:
    body = message(record(0, 30000), record(0, 20000))
    ask = ask_of(body, **RECORDS)
    assert isinstance(ask, TopUp)
    assert (ask.card, ask.amount) == (Ref("card", "55"), Amount("GIFT", 50000))
    assert isinstance(ask_of(body), VoidReceipt)


def test_a_top_up_has_the_key_that_its_receipt_would_have_so_that_both_are_never_booked() -> None:
    assert named(ask_of(message(record(0, 100)), **RECORDS)) == named(ask_of(message(record(0, -100)), **RECORDS))


def test_a_reversal_of_a_known_receipt_that_looks_like_a_top_up_is_refused_in_the_tills_words() -> None:
    said = converse(ADAPTER, request(message(record(0, 100))), link(**RECORDS), lambda _: [KeyReused()])
    assert said.response.refused == "key_reused"
    assert b'Result="1"' in said.response.body


@pytest.mark.parametrize("others", [[record(3, -500)], [record(2, -5)], [record(1, 5), record(3, -500)]])
def test_a_package_that_gives_back_more_than_payments_is_a_reversal(others: list[str]) -> None:
    assert isinstance(ask_of(message(record(0, 100), *others), **RECORDS), VoidReceipt)


def test_modes_2_and_3_are_never_a_top_up() -> None:
    for mode in (2, 3):
        assert isinstance(ask_of(message(record(0, 100), check=check(mode)), **RECORDS), VoidReceipt)
        assert isinstance(ask_of(message(record(0, 100), check=check(mode)), **OWN), VoidReceipt)


def test_a_script_may_top_up_with_records() -> None:
    assert isinstance(ask_of(message(record(0, 100), check=check(0)), **RECORDS), TopUp)


def test_a_top_up_without_a_number_of_its_own_is_refused() -> None:
    for number in ("0", "000"):
        with pytest.raises(BadMessage, match="RKCheck"):
            asks(message(record(0, 100, check=number)), **RECORDS)


def test_a_top_up_of_two_cards_or_of_card_zero_is_refused() -> None:
    with pytest.raises(BadMessage, match=r"TransactionsEx\[2\]@Card"):
        asks(message(record(0, 100, 55), record(0, 100, 66)), **RECORDS)
    with pytest.raises(CardNotFound):
        asks(message(record(0, 100, 0)), **RECORDS)


def test_a_restaurant_of_its_own_tells_top_ups_from_reversals_and_undoes_them() -> None:
    loads, undoes = ask_of(own(record(0, 100)), **OWN), ask_of(own(record(0, -100)), **OWN)
    assert isinstance(loads, TopUp)
    assert isinstance(undoes, VoidReceipt)
    assert named(loads) == named(undoes)
    assert isinstance(ask_of(message(record(0, 100)), **OWN), VoidReceipt)
    assert isinstance(ask_of(message(record(0, -100)), **OWN), PostReceipt)


def test_that_restaurant_need_not_be_listed_and_posts_nothing_but_top_ups() -> None:
    listed = {**OWN, "restaurant_codes": ["310070003"]}
    assert isinstance(ask_of(own(record(0, 100)), **listed), TopUp)
    with pytest.raises(ForeignStore):
        asks(own(record(3, 100)), **listed)
    with pytest.raises(ForeignStore):
        asks(own(record(0, 100)), **{**RECORDS, "restaurant_codes": ["310070003"]})


def test_a_payment_of_the_other_sign_in_a_sale_loads_the_card_beside_what_it_pays() -> None:
    inside = payment("10", "30", "55") + payment("20", "-77.5", "55")
    body = message(record(0, -3000), record(0, 7750), record(3, 100), check=check(inside=inside))
    sale = sale_of(body, **RECORDS)
    (card,) = sale.cards
    assert (card.redeem, card.top_up) == ((Amount("BONUS", 3000),), (Amount("GIFT", 7750),))
    assert sale.notes == ()
    for options in ({}, OWN):
        with pytest.raises(BadMessage, match="Summa"):
            asks(body, **options)


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 3]), st.integers(-1000, 1000)), min_size=1, max_size=4))
def test_whatever_is_no_top_up_is_read_as_without_the_option(rows: list[tuple[int, int]]) -> None:
    def read(**options: Any) -> Any:
        try:
            return ask_of(message(*(record(kind, amount) for kind, amount in rows)), **options)
        except BadMessage as error:
            return error.details

    told = [(kind, amount) for kind, amount in rows if amount]
    is_top_up = bool(told) and all(kind == 0 and amount > 0 for kind, amount in told)
    with_option, without = read(**RECORDS), read(**GIFT)
    assert isinstance(with_option, TopUp) == is_top_up
    if not is_top_up:
        assert with_option == without


# 3. Scripts


def test_a_scripts_bonus_is_a_receipt_an_accrual_or_a_top_up_as_the_link_says() -> None:
    body = message(record(2, 500), check=check(0))
    assert sale_of(body).cards[0].earn == (Amount("BONUS", 500),)
    accrual = ask_of(body, script_bonus="accrue")
    assert isinstance(accrual, Accrue)
    assert (accrual.amount, accrual.likeness) == (Amount("BONUS", 500), "")
    top_up = ask_of(body, script_bonus="top_up", **GIFT)
    assert isinstance(top_up, TopUp)
    assert top_up.amount == Amount("GIFT", 500)


def test_only_a_script_alone_and_only_bonuses_are_read_so() -> None:
    for body in (message(record(2, 500)), message(record(2, 500), record(3, 5), check=check(0))):
        assert isinstance(ask_of(body, script_bonus="accrue"), PostReceipt)
    assert isinstance(ask_of(message(record(2, 5), check=check(1)), script_bonus="accrue"), PostReceipt)


def test_two_bonuses_of_one_receipt_are_two_and_the_same_one_again_is_one() -> None:
    first, again, other = (
        named(ask_of(message(record(2, amount), check=check(0, guid=guid)), script_bonus="accrue"))
        for amount, guid in ((500, "{AB-1}"), (500, "{AB-2}"), (700, "{AB-1}"))
    )
    assert first == again != other
    assert first[0].startswith("rkeeper:3:2026-05-04:5:17:")


def test_a_script_takes_back_what_it_gave_by_the_same_key() -> None:
    for option in ("accrue", "top_up"):
        given_, taken = (
            ask_of(message(record(2, amount), check=check(0)), script_bonus=option, **GIFT) for amount in (500, -500)
        )
        assert isinstance(taken, VoidReceipt)
        assert named(given_) == named(taken)


def test_a_bonus_that_names_no_receipt_is_known_by_its_likeness_for_a_while() -> None:
    body = message(record(2, 500, check="0"), check=check(0))
    first = request(body)
    second = replace(first, id="2", at=first.at + timedelta(minutes=1))
    one, two = (asks_of(ADAPTER, told, link(script_bonus="accrue"))[0] for told in (first, second))
    assert isinstance(one, Accrue) and isinstance(two, Accrue)
    assert one == two
    assert (one.keys, one.likeness) == ((), "rkeeper:3:2026-05-04:5:0:" + one.content[:16])
    assert one.window_seconds == 600
    with pytest.raises(BadMessage, match="RKCheck"):
        asks(body, script_bonus="top_up", **GIFT)
