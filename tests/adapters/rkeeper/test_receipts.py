"""What a FarCards message asks for: direction, keys, cards, purses, money."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import Link, WireRequest
from adapters.rkeeper import ADAPTER
from adapters.testing import asks_of, converse, make_link
from processing.commands import (
    MAX_CARDS,
    Amount,
    Ask,
    Identify,
    PostReceipt,
    Ref,
    RestoreReceipt,
    VoidReceipt,
)
from processing.errors import BadMessage, CardNotFound, ForeignStore, LoyaltyError, UnitNotFound
from processing.results import ReceiptPosted

SAMPLES = Path(__file__).parent / "samples"
AT = datetime(2026, 5, 4, 17, 0, tzinfo=UTC)
SETTINGS = {"code": "spb", "store": "spb-3", "zone": "Europe/Moscow"}
PURSES = {"10": {"number": 1, "unit": "BONUS"}, "20": {"number": 2, "unit": "GIFT"}}


def link(**options: Any) -> Link:
    return make_link(ADAPTER, SETTINGS, {"purses": PURSES} | options)


def request(body: str, path: str = "transactionsex") -> WireRequest:
    return WireRequest(method="POST", path=path, query="", headers={}, body=body.encode(), id="1", at=AT)


def record(kind: int, summa: int, card: int = 55, check: str = "17", day: str = "2026-05-04", account: int = 7) -> str:
    return (
        f'<TransactionsEx Card="{card}" Account="{account}" Kind="{kind}" Summa="{summa}" Restaurant="3"'
        f' RKDate="{day}" RKUnit="5" RKCheck="{check}"/>'
    )


def message(*records: str, check: str = "") -> str:
    buffer = f"<INPBUF>{check}</INPBUF>" if check else ""
    return f"<ROOT><Transactions>{''.join(records)}</Transactions>{buffer}</ROOT>"


def check(mode: object = 1, inside: str = "", guid: str = "{AB-1}", **more: str) -> str:
    extra = "".join(f' {name}="{value}"' for name, value in more.items())
    return (
        f'<CHECK restaurantcode="310070003" stationcode="5" chmode="{mode}"{extra}>'
        f'<CHECKDATA checknum="17" checkguid="{guid}">{inside}</CHECKDATA></CHECK>'
    )


def payment(code: str, amount: str, card: str = "", paytype: int = 3) -> str:
    held = f' cardcode="{card}"' if card else ""
    return f'<PAYMENT code="{code}" paytype="{paytype}" sum="{amount}" bsum="{amount}"{held}/>'


def ask_of(body: str, **options: Any) -> Ask[Any]:
    (ask,) = asks_of(ADAPTER, request(body), link(**options))
    return ask


def sale_of(body: str, **options: Any) -> PostReceipt:
    ask = ask_of(body, **options)
    assert isinstance(ask, PostReceipt)
    return ask


def asks(body: str, **options: Any) -> tuple[Ask[Any], ...]:
    return asks_of(ADAPTER, request(body), link(**options))


# Direction


@pytest.mark.parametrize(
    ("mode", "records", "asked"),
    [
        (1, [record(0, -100)], PostReceipt),
        (2, [record(0, 100)], VoidReceipt),
        (3, [record(0, 100)], VoidReceipt),
        (4, [record(0, -100)], RestoreReceipt),
        (0, [record(2, 100)], PostReceipt),
        (0, [record(2, -100)], VoidReceipt),
        *((mode, [record(0, -100)], None) for mode in range(5, 14)),
        (0, [], None),
        (6, [], None),
    ],
)
def test_the_mode_of_the_check_says_what_is_asked(mode: int, records: list[str], asked: Any) -> None:
    found = asks(message(*records, check=check(mode)))
    assert [type(ask) for ask in found] == ([asked] if asked else [])


@pytest.mark.parametrize("mode", [14, 99, -1, "", "x", "01"])
def test_an_unknown_mode_is_a_bad_message(mode: object) -> None:
    with pytest.raises(BadMessage, match="chmode"):
        asks(message(record(0, -100), check=check(mode)))


def test_modes_2_and_3_differ_in_their_reason_only() -> None:
    rollback, returned = (ask_of(message(record(0, 100), check=check(mode))) for mode in (2, 3))
    assert isinstance(rollback, VoidReceipt) and isinstance(returned, VoidReceipt)
    assert (rollback.reason, returned.reason) == ("rollback", "return")
    assert msgspec.structs.replace(rollback, reason="return") == returned


SIGNS = {0: -1, 2: 1, 3: 1}


@pytest.mark.parametrize("kind", [0, 2, 3])
def test_a_sale_with_the_sign_of_a_reversal_names_record_and_value(kind: int) -> None:
    wrong = -SIGNS[kind] * 100
    with pytest.raises(BadMessage) as caught:
        asks(message(record(1, -5), record(kind, wrong), check=check(1)))
    assert caught.value.details == {"where": "TransactionsEx[2]@Summa", "value": str(wrong)}


def test_a_discount_may_have_any_sign() -> None:
    assert sale_of(message(record(1, 5), record(3, 100), check=check(1)))


@given(st.lists(st.tuples(st.sampled_from([0, 2, 3]), st.integers(1, 10**9)), min_size=1, max_size=6), st.booleans())
def test_records_alone_point_by_their_signs(rows: list[tuple[int, int]], reverse: bool) -> None:
    turn = -1 if reverse else 1
    ask = ask_of(message(*(record(kind, SIGNS[kind] * amount * turn) for kind, amount in rows)))
    assert isinstance(ask, VoidReceipt if reverse else PostReceipt)


def test_records_that_point_both_ways_are_a_bad_message() -> None:
    with pytest.raises(BadMessage, match=r"TransactionsEx\[2\]"):
        asks(message(record(0, -100), record(3, -100)))


def test_a_discount_decides_only_where_nothing_else_does() -> None:
    assert isinstance(ask_of(message(record(1, -5))), PostReceipt)
    assert isinstance(ask_of(message(record(1, 5))), VoidReceipt)
    assert isinstance(ask_of(message(record(1, 5), record(3, 100))), PostReceipt)
    assert isinstance(ask_of(message(record(1, -5), record(3, -100))), VoidReceipt)


@pytest.mark.parametrize("kind", [4, -1, 255, "x", ""])
def test_a_kind_that_the_protocol_does_not_have_is_a_bad_message(kind: Any) -> None:
    for mode in (1, 2, 3, 4):
        with pytest.raises(BadMessage, match="Kind"):
            asks(message(record(kind, 0), check=check(mode)))


def test_a_message_that_says_nothing_is_refused_rather_than_answered_done() -> None:
    for body in ("<ROOT/>", "<ROOT><Transactions/></ROOT>", "<ROOT><INPBUF/></ROOT>"):
        with pytest.raises(BadMessage):
            asks(body)


def test_two_checks_in_one_message_are_a_bad_message() -> None:
    with pytest.raises(BadMessage, match="CHECK"):
        asks(message(record(0, -100), check=f"<D>{check()}{check(guid='{AB-2}')}</D>"))
    with pytest.raises(BadMessage, match="CHECK"):
        asks(message(record(0, -100), check=f'<D>{check()}<CHECK chmode="3"/></D>'))


def test_a_record_is_known_by_its_kind_or_its_amount_and_needs_both() -> None:
    wrapper = '<TransactionsEx Result="0"/>'
    assert sale_of(message(wrapper, record(3, 5), check=check())).cards[0].spend_minor == 5
    for name in ("Kind", "Summa"):
        with pytest.raises(BadMessage, match=name):
            asks(message(record(3, 5).replace(f" {name}=", " x="), check=check()))


def test_a_code_may_be_missing_but_not_endless() -> None:
    row = payment("1", "5", paytype=1)
    (tender,) = sale_of(message(check=check(inside=row.replace(' code="1"', "")))).receipt.tenders
    assert (tender.code, tender.amount_minor) == ("", 500)
    with pytest.raises(BadMessage, match="PAYMENT@code"):
        asks(message(check=check(inside=payment("1" * 65, "5"))))


# Keys


@pytest.mark.parametrize("guid", ["{AB-1}", "AB-1", "{ab-1}", " {AB-1} "])
def test_the_key_is_restaurant_and_guid_whatever_its_braces_and_case(guid: str) -> None:
    assert sale_of(message(record(0, -100), check=check(guid=guid))).keys == ("rkeeper:310070003:ab-1",)


def test_void_and_restore_name_the_sale_by_the_same_key() -> None:
    keys = {ask_of(message(record(0, -100), check=check(mode))).keys for mode in (1, 2, 3, 4)}
    assert len(keys) == 1


@pytest.mark.parametrize("day", ["2026-05-04", "2026-05-04T00:00:00", "2026-05-04T00-00-00"])
def test_without_a_check_the_key_is_restaurant_date_station_and_number(day: str) -> None:
    assert sale_of(message(record(0, -100, day=day))).keys == ("rkeeper:3:2026-05-04:5:17",)


@pytest.mark.parametrize("guid", ["", "{}", "{00000000-0000-0000-0000-000000000000}"])
@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_a_check_without_a_guid_goes_by_its_records(guid: str, mode: int) -> None:
    assert ask_of(message(record(0, -100), check=check(mode, guid=guid))).keys == ("rkeeper:3:2026-05-04:5:17",)  # type: ignore[attr-defined]


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_a_check_with_neither_guid_nor_records_is_a_bad_message(mode: int) -> None:
    with pytest.raises(BadMessage, match="checkguid"):
        asks(message(check=check(mode, guid="")))


@pytest.mark.parametrize("other", [record(3, 5, check="18"), record(3, 5, day="2026-05-05")])
def test_records_of_two_receipts_without_a_check_are_a_bad_message(other: str) -> None:
    with pytest.raises(BadMessage, match=r"TransactionsEx\[2\]"):
        asks(message(record(0, -100), other))


def test_a_key_needs_every_part_of_the_records() -> None:
    for name in ("Restaurant", "RKDate", "RKUnit", "RKCheck"):
        with pytest.raises(BadMessage, match=name):
            asks(message(record(0, -100).replace(f" {name}=", " x=")))


def test_a_scripts_call_never_replaces_another() -> None:
    assert sale_of(message(record(2, 5), check=check(0))).supersede is False
    assert sale_of(message(record(2, 5, check="0"))).supersede is False
    assert sale_of(message(record(2, 5), check=check(0))).keys == ("rkeeper:3:2026-05-04:5:17",)


def test_a_receipt_supersedes_unless_the_link_forbids_it() -> None:
    for body in (message(record(0, -100), check=check()), message(record(0, -100))):
        assert sale_of(body).supersede is True
        assert sale_of(body, supersede=False).supersede is False


ROWS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 50)), min_size=2, max_size=6)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_digest_does_not_care_for_order_but_counts_equals(rows: list[tuple[int, int]], random: Any) -> None:
    def digest(rows: list[tuple[int, int]]) -> str:
        return sale_of(message(*(record(3, amount, card) for card, amount in rows), check=check())).content

    shuffled = list(rows)
    random.shuffle(shuffled)
    assert digest(shuffled) == digest(rows)
    assert digest([*rows, rows[0]]) != digest(rows)


def test_the_digest_reads_numbers_not_spellings() -> None:
    def digest(amount: str) -> str:
        return sale_of(message(check=check(inside=payment("1", amount, paytype=1)))).content

    assert digest("550") == digest("550.00")
    assert digest("550") != digest("550.01")


# Time


def test_the_stamp_is_the_tills_own_time_in_utc() -> None:
    body = message(record(0, -100), check=check(generateddatetime="2026-05-04T19:52:30"))
    assert sale_of(body).stamp == datetime(2026, 5, 4, 16, 52, 30, tzinfo=UTC)


@pytest.mark.parametrize("told", ["2013-08-2116:2316:23:56", "", "soon"])
def test_a_stamp_that_can_not_be_read_is_the_newest(told: str) -> None:
    assert sale_of(message(record(0, -100), check=check(generateddatetime=told))).stamp == AT
    assert sale_of(message(record(0, -100))).stamp == AT


def test_the_business_date_is_the_shifts_then_the_records_then_todays_in_the_store() -> None:
    def told(body: str) -> date:
        return sale_of(body).receipt.business_date

    assert told(message(record(0, -1), check=check(shiftdate="2026-05-03"))) == date(2026, 5, 3)
    assert told(message(record(0, -1), check=check(shiftdate="2026-05-03T00:00:00"))) == date(2026, 5, 3)
    assert told(message(record(0, -1, day="2026-05-02"), check=check())) == date(2026, 5, 2)
    late = WireRequest("POST", "transactionsex", "", {}, message(check=check()).encode(), "1", AT.replace(hour=22))
    (ask,) = asks_of(ADAPTER, late, link())
    assert isinstance(ask, PostReceipt)
    assert ask.receipt.business_date == date(2026, 5, 5)


# Cards and purses


def test_a_card_is_named_by_the_checks_spelling_first() -> None:
    for place in (
        payment("1", "5", "0055"),
        '<DISCOUNT code="1" sum="-5" cardcode="0055"/>',
        '<HOLDERS><ITEM cardcode="0055"/></HOLDERS>',
        '<ALLCARDS><ITEM cardcode="056"/><ITEM cardcode="0055"/></ALLCARDS>',
    ):
        (use,) = sale_of(message(record(3, 100), check=check(inside=place))).cards
        assert use.refs == (Ref("card", "0055"), Ref("card", "55"))


@given(st.lists(st.tuples(st.sampled_from(["10", "20", "99"]), st.integers(1, 9999)), max_size=5), st.integers(1, 9999))
@settings(max_examples=200)
def test_what_is_redeemed_is_what_the_records_say_from_whatever_purse(
    paid: list[tuple[str, int]], redeemed: int
) -> None:
    rows = "".join(payment(code, f"{amount}", "55") for code, amount in paid)
    sale = sale_of(message(record(0, -redeemed * 100), check=check(inside=rows)))
    (use,) = sale.cards
    assert sum(amount.amount for amount in use.redeem) == redeemed * 100
    agree = sum(amount for code, amount in paid if code in PURSES) == redeemed
    assert sale.notes == (() if agree else ("purse_sums_differ",))
    if not agree:
        assert use.redeem == (Amount("BONUS", redeemed * 100),)


def test_equal_sums_are_split_by_the_currencies_and_a_given_back_part_is_not_trusted() -> None:
    split = payment("10", "60", "55") + payment("20", "40", "055")
    sale = sale_of(message(record(0, -10000), check=check(inside=split)))
    assert sale.cards[0].redeem == (Amount("BONUS", 6000), Amount("GIFT", 4000))
    odd = payment("10", "110", "55") + payment("20", "-10", "55")
    sale = sale_of(message(record(0, -10000), check=check(inside=odd)))
    assert sale.cards[0].redeem == (Amount("BONUS", 10000),)
    assert sale.notes == ("purse_sums_differ",)


def test_purse_payments_of_one_card_are_never_taken_from_another() -> None:
    crossed = payment("20", "50", "55") + payment("10", "30", "66")
    sale = sale_of(message(record(0, -3000, 55), record(0, -5000, 66), check=check(inside=crossed)))
    assert [use.redeem for use in sale.cards] == [(Amount("BONUS", 3000),), (Amount("BONUS", 5000),)]
    assert sale.notes == ("purse_sums_differ",)


def test_a_purse_payment_without_a_record_moves_nothing_and_is_noted() -> None:
    held = '<HOLDERS><ITEM cardcode="55"/></HOLDERS>' + payment("10", "50", "55")
    sale = sale_of(message(check=check(inside=held)))
    assert sale.cards[0].redeem == ()
    assert sale.notes == ("purse_sums_differ",)


def test_a_payment_from_a_link_without_purses_is_refused() -> None:
    with pytest.raises(UnitNotFound):
        asks(message(record(0, -100), check=check()), purses={})


def test_who_computes_the_accrual_follows_from_kind_2_and_the_bonuses_of_the_link() -> None:
    def earn(*records: str, **options: Any) -> Any:
        return sale_of(message(*records, check=check()), **options).cards[0].earn

    assert earn(record(3, 100)) is None
    assert earn(record(3, 100), bonuses={"Base": 2}) == ()
    assert earn(record(2, 15), record(2, 5)) == (Amount("BONUS", 20),)
    assert earn(record(2, 15), bonuses={"Base": 2}) == (Amount("BONUS", 15),)


def test_each_card_has_its_own_spending() -> None:
    sale = sale_of(message(record(3, 100, 55), record(3, 50, 55), record(3, 7, 66), check=check()))
    assert [use.spend_minor for use in sale.cards] == [150, 7]


def test_a_card_without_records_only_accrues_on_the_whole_receipt() -> None:
    goods = '<LINE code="1" uni="4" name="a" price="9" categ_id="" quantity="1" sum="100.01"/>'
    two = '<HOLDERS><ITEM cardcode="55"/><ITEM cardcode="A6"/><ITEM cardcode=""/></HOLDERS>'
    uses = sale_of(message(check=check(inside=goods + two))).cards
    assert [use.refs for use in uses] == [(Ref("card", "55"),), (Ref("card", "A6"),)]
    assert [(use.redeem, use.earn) for use in uses] == [((), None), ((), None)]
    assert sum(use.spend_minor for use in uses) == 10001


def test_a_receipt_without_a_card_names_none() -> None:
    assert sale_of(message(check=check(inside='<HOLDERS><ITEM cardcode=""/></HOLDERS>'))).cards == ()


def test_only_the_holders_of_the_interface_that_is_meant_count() -> None:
    inside = (
        '<INTERFACES current="2"><INTERFACE id="1"><HOLDERS><ITEM cardcode="11"/></HOLDERS></INTERFACE>'
        '<INTERFACE id="2"><HOLDERS><ITEM cardcode="22"/></HOLDERS></INTERFACE></INTERFACES>'
    )
    assert [use.refs for use in sale_of(message(check=check(inside=inside))).cards] == [(Ref("card", "22"),)]
    empty = inside.replace('"22"', '""')
    assert sale_of(message(check=check(inside=empty))).cards == ()


def test_card_zero_is_not_found_in_a_sale_and_ignored_in_a_void() -> None:
    with pytest.raises(CardNotFound):
        asks(message(record(3, 100, card=0), check=check()))
    assert isinstance(ask_of(message(record(3, -100, card=0), check=check(3))), VoidReceipt)


def test_more_cards_than_the_core_takes_are_a_bad_message() -> None:
    many = [record(3, 1, card=number) for number in range(1, MAX_CARDS + 2)]
    assert len(sale_of(message(*many[:-1], check=check())).cards) == MAX_CARDS
    with pytest.raises(BadMessage):
        asks(message(*many, check=check()))


# Money of the receipt


def test_the_total_is_the_lines_else_the_categories_else_the_records() -> None:
    goods = '<LINE code="1" uni="4" name="a" price="9" categ_id="" quantity="1" sum="100.5"/>'
    categories = '<CATEG id="0" sum="99"/>'
    records = [record(0, -1000), record(3, 500)]
    assert sale_of(message(*records, check=check(inside=goods + categories))).receipt.total_minor == 10050
    assert sale_of(message(*records, check=check(inside=categories))).receipt.total_minor == 9900
    assert sale_of(message(*records, check=check())).receipt.total_minor == 1500
    assert sale_of(message(*records)).receipt.total_minor == 1500


def test_tenders_are_sorted_by_how_they_pay() -> None:
    rows = (
        payment("1", "600", paytype=1)
        + payment("1", "-77.5", paytype=1)
        + payment("2", "5", paytype=2)
        + payment("10", "7", "55")
        + payment("10", "7")
        + payment("77", "8", "55")
        + payment("10", "9", "55", paytype=1)
    )
    tenders = sale_of(message(check=check(inside=rows))).receipt.tenders
    assert [(tender.kind, tender.amount_minor, tender.unit) for tender in tenders] == [
        ("cash", 60000, ""),
        ("cash", -7750, ""),
        ("bank_card", 500, ""),
        ("purse", 700, "BONUS"),
        ("other", 700, ""),
        ("other", 800, ""),
        ("cash", 900, ""),
    ]


def test_a_line_keeps_its_number_category_and_share_of_the_discount() -> None:
    inside = (
        '<LINE code="301" uni="4" name="Soup" price="400" categ_id="" categ="Hot" quantity="0.333333" sum="380">'
        '<DISCOUNTS><DISCOUNTPART sum="-15"/><DISCOUNTPART sum="-5"/></DISCOUNTS></LINE>'
        '<LINE code="302" name="Void" price="10" categ_id="7" categ="x" quantity="0" sum="0"/>'
    )
    first, second = sale_of(message(check=check(inside=inside))).receipt.lines
    assert (first.number, first.category, first.quantity_thousandths) == (4, "Hot", 333)
    assert (first.sum_minor, first.discount_minor) == (38000, 2000)
    assert (second.number, second.category, second.quantity_thousandths, second.sum_minor) == (2, "7", 0, 0)


# Whose restaurant


def test_a_restaurant_that_is_told_and_foreign_is_refused_and_one_that_is_not_told_is_not() -> None:
    mine = {"restaurant_codes": ["310070003"]}
    assert asks(message(record(0, -1), check=check()), **mine)
    assert asks(message(record(0, -1).replace('"3"', '"0003"')), **mine)
    assert asks(message(check=check().replace("310070003", "")), **mine)
    for foreign in (
        message(record(0, -1), check=check().replace("310070003", "310070004")),
        message(record(0, -1).replace('Restaurant="3"', 'Restaurant="4"'), check=check()),
        message(record(0, -1), record(0, -1).replace('Restaurant="3"', 'Restaurant="4"'), check=check()),
        message(check=check(6).replace("310070003", "999")),
    ):
        assert asks(foreign) or 'chmode="6"' in foreign
        with pytest.raises(ForeignStore):
            asks(foreign, **mine)


def test_a_link_that_lists_no_restaurant_takes_any() -> None:
    assert asks(message(record(0, -1), check=check()))


# Card info


def card_info(body: str, **options: Any) -> tuple[Ask[Any], ...]:
    return asks_of(ADAPTER, request(body, "GetCardInfoEx.PHP"), link(**options))


GOODS = '<LINE code="1" uni="4" name="a" price="9" categ_id="" quantity="1" sum="100.5"/>'


@pytest.mark.parametrize(("mode", "total"), [(m, 10050 if m in (1, 5, 6, 7, 13) else None) for m in range(14)])
def test_an_open_orders_total_is_told_only_while_it_is_about_to_be_paid(mode: int, total: int | None) -> None:
    (ask,) = card_info(f'<ROOT><QRY Card="55"><INPBUF>{check(mode, GOODS)}</INPBUF></QRY></ROOT>')
    assert isinstance(ask, Identify)
    assert ask.order_minor == total


def test_an_order_without_lines_has_no_total() -> None:
    (ask,) = card_info(f'<ROOT><QRY Card="55"><INPBUF>{check(7)}</INPBUF></QRY></ROOT>')
    assert isinstance(ask, Identify)
    assert ask.order_minor is None


def test_card_zero_asks_nothing_and_hears_result_1() -> None:
    conversation = converse(ADAPTER, request('<ROOT><QRY Card="0"/></ROOT>', "getcardinfoex"), link(), lambda _: [])
    assert conversation.asks == ()
    assert b'Result="1"' in conversation.response.body


@pytest.mark.parametrize("card", ["", "-5", "x", "9223372036854775808"])
def test_a_card_that_is_no_number_is_a_bad_message(card: str) -> None:
    with pytest.raises(BadMessage):
        card_info(f'<ROOT><QRY Card="{card}"/></ROOT>')


# Answers to the same thing


def test_a_resend_with_another_outcome_of_the_core_is_the_only_way_to_another_answer() -> None:
    body = message(record(0, -100), record(3, 200), check=check(generateddatetime="2026-05-04T19:52:30"))
    later = body.replace("19:52:30", "23:00:00")
    result = ReceiptPosted(operation_id=9, at=AT)
    first, second = (converse(ADAPTER, request(text), link(), lambda _: [result]) for text in (body, later))
    assert first.response == second.response
    assert b'ext_id="9-1"' in first.response.body and b'ext_id="9-2"' in first.response.body


def test_nothing_but_loyalty_errors_for_a_thousand_records_and_one_more() -> None:
    rows = [record(3, 1)] * 1000
    assert sale_of(message(*rows, check=check())).cards[0].spend_minor == 1000
    with pytest.raises(LoyaltyError):
        asks(message(*rows, record(3, 1), check=check()))
