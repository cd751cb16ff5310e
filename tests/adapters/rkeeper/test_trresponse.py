"""TRRESPONSE: every record is told, under the ids of our books, the purse that moved and the line of the check."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from adapters.rkeeper import ADAPTER
from adapters.testing import converse
from processing.results import Accrued, CardMovement, ReceiptPosted, ReceiptVoided, Result, ToppedUp
from tests.adapters.rkeeper.test_receipts import check, link, message, payment, record, request

AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)


def movement(card: str, account: int, earned: int = 0, redeemed: int = 0, unit: str = "BONUS") -> CardMovement:
    return CardMovement(
        card=card,
        account=account,
        unit=unit,
        scale=2,
        redeemed=redeemed,
        earned=earned,
        balance=earned,
        available=earned,
    )


def posted(*movements: CardMovement, **changes: Any) -> ReceiptPosted:
    return ReceiptPosted(operation_id=8, at=AT, cards=movements, **changes)


def answer(result: Result, body: str, **options: Any) -> Any:
    said = converse(ADAPTER, request(body), link(**{"language": "en"} | options), lambda _: [result])
    assert said.refusal is None
    return etree.fromstring(said.response.body)


def told(result: Result, body: str, **options: Any) -> list[dict[str, str]]:
    found = answer(result, body, **options).iter("TRANSACTION")
    return [{str(k): str(v) for k, v in node.attrib.items()} for node in found]


def paid(code: str, amount: str, uni: int, card: str = "55") -> str:
    return payment(code, amount, card).replace("<PAYMENT", f'<PAYMENT uni="{uni}"')


def off(amount: str, uni: int, card: str = "55") -> str:
    return f'<DISCOUNT code="7" uni="{uni}" sum="-{amount}" cardcode="{card}"/>'


# Slips


@pytest.mark.parametrize(("way", "words"), [("line_discount", "Redeemed 300.00"), ("tender", "Paid 300.00")])
def test_what_is_a_payment_on_the_fiscal_receipt_is_one_on_the_slip(way: str, words: str) -> None:
    sale = posted(movement("55", 7, redeemed=30_000))
    body = message(record(0, -30_000), check=check(1, paid("13", "-300.00", 4)))
    own = replace(link(language="en"), fiscal={"BONUS": way, "RUB": "advance"})
    said = converse(ADAPTER, request(body), own, lambda _: [sale]).response.body
    assert f'slip="{words}&#10;Balance 0.00"'.encode() in said


def test_the_slip_stands_once_on_the_first_record_of_its_card() -> None:
    result = posted(movement("66", 2, 20), movement("055", 1, 10))
    body = message(
        *(record(3, 5, card=card, account=account) for card, account in ((55, 1), (55, 1), (66, 2), (66, 2)))
    )
    rows = told(result, body)
    assert [row.get("slip") for row in rows] == [
        "Accrued 0.10\nBalance 0.10",
        None,
        "Accrued 0.20\nBalance 0.20",
        None,
    ]
    assert [row["ext_id"] for row in rows] == ["8-1", "8-2", "8-3", "8-4"]
    assert [row["num"] for row in rows] == ["1", "2", "3", "4"]


def test_a_card_known_by_another_number_is_found_by_its_account_and_nobody_gets_a_strangers_slip() -> None:
    result = posted(movement("7001", 2, 20), movement("7002", 1, 10))
    rows = told(result, message(*(record(3, 5, card=c, account=a) for c, a in ((55, 1), (66, 2), (77, 3)))))
    assert [row.get("slip", "").split("\n")[0] for row in rows] == ["Accrued 0.10", "Accrued 0.20", ""]
    assert "slip" in told(posted(movement("7001", 2, 20)), message(record(3, 5, card=55, account=0)))[0]


def test_nothing_moved_prints_nothing() -> None:
    assert "slip" not in told(posted(movement("55", 1)), message(record(3, 5, account=1)))[0]


def test_the_slip_prefers_the_record_that_has_a_line_of_the_check() -> None:
    body = message(record(3, 500), record(0, -100), check=check(inside=paid("10", "1", 14)))
    rows = told(posted(movement("55", 7, 5, 100)), body)
    assert [bool(row.get("slip")) for row in rows] == [False, True]
    assert (rows[1]["uni"], rows[1]["linetag"]) == ("14", "PAYMENT")
    assert [bool(row.get("slip")) for row in told(posted(movement("55", 7, 5, 100)), body, slip_lines="none")] == [
        True,
        False,
    ]


def test_money_that_was_paid_in_is_not_called_accrued() -> None:
    top_up = ToppedUp(operation_id=8, at=AT, card=movement("55", 7, 100, unit="GIFT"))
    options: dict[str, Any] = {"top_up_unit": "GIFT", "top_up_records": True}
    assert told(top_up, message(record(0, 100)), **options)[0]["slip"] == "Topped up 1.00\nBalance 1.00"
    body = message(record(3, 10000), check=check(inside='<LINE code="990" uni="4" sum="100"/>'))
    result = posted(movement("55", 7, 5), movement("55", 7, 10000, unit="GIFT"))
    slip = told(result, body, top_up_unit="GIFT", top_up_dishes=["990"])[0]["slip"]
    assert slip.splitlines()[0::2] == ["Accrued BONUS 0.05", "Topped up GIFT 100.00"]
    purses = {"main": {"number": 1, "unit": "BONUS", "name": "баллы"}, "gift": {"number": 2, "unit": "GIFT"}}
    slip = told(result, body, top_up_unit="GIFT", top_up_dishes=["990"], purses=purses)[0]["slip"]
    assert slip.splitlines()[0::2] == ["Accrued баллы 0.05", "Topped up GIFT 100.00"]
    accrual = Accrued(operation_id=8, at=AT, card=movement("55", 7, 5))
    assert told(accrual, message(record(2, 5), check=check(0)), script_bonus="accrue")[0]["slip"].startswith("Accrued")


# Purses


def test_the_purse_of_a_payment_is_the_one_that_moved() -> None:
    body = message(record(0, -100), record(1, -5), record(2, 7), record(3, 50))
    rows = told(posted(movement("55", 7, 7, 0), movement("55", 7, 0, 100, "GIFT")), body)
    assert [row.get("subaccount") for row in rows] == ["2", None, "1", None]


def test_a_record_that_moved_two_purses_names_none() -> None:
    body = message(record(0, -300), check=check(inside=paid("10", "1", 14) + paid("20", "2", 15)))
    (row,) = told(posted(movement("55", 7, 0, 100), movement("55", 7, 0, 200, "GIFT")), body)
    assert "subaccount" not in row
    assert row["uni"] == "14"


@pytest.mark.parametrize("turned", [False, True])
def test_equal_amounts_are_told_apart_by_the_currency_of_their_lines(turned: bool) -> None:
    lines = [paid("10", "1", 14), paid("20", "1", 15)]
    body = message(record(0, -100), record(0, -100), check=check(inside="".join(lines[::-1] if turned else lines)))
    rows = told(posted(movement("55", 7, 0, 100), movement("55", 7, 0, 100, "GIFT")), body)
    assert [(row["uni"], row["subaccount"]) for row in rows] == (
        [("15", "2"), ("14", "1")] if turned else [("14", "1"), ("15", "2")]
    )


def test_the_books_win_over_the_currency_of_the_check() -> None:
    body = message(record(0, -100), check=check(inside=paid("20", "1", 14)))
    assert told(posted(movement("55", 7, 0, 100)), body)[0]["subaccount"] == "1"


def test_a_unit_that_is_no_purse_of_the_link_has_no_number() -> None:
    assert "subaccount" not in told(posted(movement("55", 7, 0, 100, "STAMP")), message(record(0, -100)))[0]


# Lines of the check


def test_each_line_belongs_to_one_record_and_one_card() -> None:
    inside = paid("10", "1", 14, "66") + paid("10", "2", 15) + paid("10", "1", 16) + off("3", 9)
    records = [record(0, -100), record(0, -200), record(0, -700), record(1, -300), record(0, -100, card=66)]
    rows = told(posted(movement("55", 7)), message(*records, check=check(inside=inside)))
    assert [(row.get("linetag"), row.get("uni")) for row in rows] == [
        ("PAYMENT", "16"),
        ("PAYMENT", "15"),
        (None, None),
        ("DISCOUNT", "9"),
        ("PAYMENT", "14"),
    ]


@pytest.mark.parametrize("uni", ["", "x", "-1", "٣", "9" * 20])
def test_a_number_that_is_none_is_not_repeated(uni: str) -> None:
    inside = payment("10", "1", "55").replace("<PAYMENT", f'<PAYMENT uni="{uni}"')
    assert "uni" not in told(posted(movement("55", 7)), message(record(0, -100), check=check(inside=inside)))[0]


def test_goods_carry_the_slip_of_a_card_without_a_line_only_where_the_link_wants_it() -> None:
    goods = '<LINE code="1" uni="4" sum="5"/>'
    body = message(record(3, 500), check=check(inside=goods))
    assert told(posted(movement("55", 7, 5)), body, slip_lines="any")[0] | {"slip": ""} == {
        "ext_id": "8-1",
        "cardcode": "55",
        "num": "1",
        "uni": "4",
        "linetag": "LINE",
        "slip": "",
    }
    assert "uni" not in told(posted(movement("55", 7, 5)), body)[0]


def test_a_void_tells_its_lines_whatever_their_amounts_say() -> None:
    inside = paid("10", "nonsense", 14)
    result = ReceiptVoided(outcome="reversed", operation_id=8, at=AT, cards=(movement("55", 7, 0, 100),))
    (row,) = told(result, message(record(0, 100), check=check(3, inside=inside)))
    assert (row["uni"], row["subaccount"]) == ("14", "1")


# Additional transactions


def test_what_no_record_told_is_an_additional_transaction_where_the_link_wants_it() -> None:
    body = message(record(3, 500), record(3, 500, card=66, account=8))
    result = posted(movement("55", 7, 25), movement("66", 8, 0))
    assert [row["num"] for row in told(result, body)] == ["1", "2"]
    *_, extra = told(result, body, additional_transactions=True)
    assert extra == {"ext_id": "8-3", "cardcode": "55", "num": "0", "subaccount": "1", "value": "25"}


def test_what_a_record_told_is_not_told_twice() -> None:
    body = message(record(2, 25), record(3, 500))
    assert len(told(posted(movement("55", 7, 25)), body, additional_transactions=True)) == 2


def test_a_card_without_records_has_its_slip_on_the_additional_transaction() -> None:
    body = message(check=check(inside='<HOLDERS><ITEM cardcode="0055"/></HOLDERS>'))
    (row,) = told(posted(movement("55", 7, 25)), body, additional_transactions=True)
    assert (row["num"], row["cardcode"], row["slip"]) == ("0", "0055", "Accrued 0.25\nBalance 0.25")
    assert told(posted(movement("55", 7, 25)), body) == []


@given(
    st.lists(st.tuples(st.sampled_from(["55", "66", "77"]), st.integers(0, 50), st.integers(0, 50)), max_size=4),
    st.lists(st.tuples(st.sampled_from([55, 66]), st.sampled_from([2, 3]), st.integers(1, 50)), min_size=1, max_size=5),
)
def test_additional_transactions_come_after_all_records_and_never_take_their_numbers(
    moved: list[tuple[str, int, int]], rows: list[tuple[int, int, int]]
) -> None:
    body = message(*(record(kind, amount, card, account=0) for card, kind, amount in rows), check=check())
    result = posted(*(movement(card, int(card), earned, redeemed) for card, earned, redeemed in moved))
    found = told(result, body, additional_transactions=True)
    assert [row["num"] for row in found[: len(rows)]] == [str(n) for n in range(1, len(rows) + 1)]
    assert {row["num"] for row in found[len(rows) :]} <= {"0"}
    assert len({row["ext_id"] for row in found}) == len(found)
    assert all(int(row["value"]) > 0 for row in found[len(rows) :])


# The whole


def test_a_notice_tells_the_cashier_that_an_unusable_card_got_nothing() -> None:
    body = message(record(3, 500))
    root = answer(posted(flags=("card_not_usable", "card_not_usable", "debt")), body)
    (response,) = root.iter("TRRESPONSE")
    assert (response.get("error_code"), response.get("err_text")) == (
        "0",
        "The card is not valid, no points were given",
    )
    assert next(answer(posted(), body).iter("TRRESPONSE")).get("err_text") is None


def test_thousands_of_lines_and_records_are_told_in_a_moment() -> None:
    inside = "".join(paid("10", "1", n) for n in range(1, 4_000))
    records = [record(0, 100) for _ in range(1_000)]
    result = ReceiptVoided(outcome="reversed", operation_id=8, at=AT, cards=(movement("55", 7, 0, 100),))
    assert len(told(result, message(*records, check=check(3, inside=inside)))) == 1_000
