"""How 1C spells things: queries, numbers, booleans, dates, phones, JSON, GUIDs; and what makes two commands alike."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import settings as few
from hypothesis import strategies as st
from marshmallow import ValidationError

from adapters.onec import basket, documents, queries
from adapters.onec.guids import card_guid, client_guid, guid, ref_of
from adapters.onec.names import card_refs, likeness, search_refs, text_refs
from adapters.onec.options import OnecOptions, product_of, speaks_json
from processing.commands import Ref
from processing.errors import BadMessage, CardNotFound

NAMES = st.text(st.characters(whitelist_categories=("L", "N")), min_size=1, max_size=30)


# Query strings ----------------------------------------------------------------------------------------------------


@few(max_examples=40)
@given(NAMES)
def test_a_value_is_read_raw_and_escaped_in_both_encodings(name: str) -> None:
    raw = f"Client={name}".encode().decode("latin-1")
    assert queries.fields(raw) == queries.fields(f"CLIENT={quote(name)}") == {"client": name}


def test_escaped_windows_1251_is_read_where_it_is_no_utf_8() -> None:
    assert queries.fields("Client=" + quote("Иван Ильин", encoding="cp1251")) == {"client": "Иван Ильин"}


def test_empty_and_unknown_keys_do_no_harm_and_the_first_of_several_counts() -> None:
    told = queries.fields("&&=&Phone=&Email=%20&X=1&x=2&nothing&ClientCardID=77&a=b=c")
    assert told == {"x": "1", "clientcardid": "77", "a": "b=c"}


@pytest.mark.parametrize("query", ["a=" + "1" * 300, "&" * 200, "x" * 20_000])
def test_a_query_is_bounded(query: str) -> None:
    with pytest.raises(BadMessage):
        queries.fields(query)


@pytest.mark.parametrize(
    ("told", "minor"),
    [
        ("", 0),
        ("81", 8_100),
        ("13,5", 1_350),
        ("1 234,5", 123_450),
        ("1\u00a0234,5", 123_450),
        ("1\u202f234.50", 123_450),
        ("1+234,5", 123_450),
        ("+5", 500),
        ("-5", -500),
        ("7,100", 710),
    ],
)
def test_numbers_are_read_as_1c_prints_them(told: str, minor: int) -> None:
    assert queries.amount(told, "x") == minor


@pytest.mark.parametrize("told", ["1,005", "1.234,5", "много", "1e3", "NaN", "--1", "9" * 40, "٣"])
def test_what_is_no_amount_is_refused(told: str) -> None:
    with pytest.raises(BadMessage):
        queries.amount(told, "x")


@pytest.mark.parametrize("told", ["Да", "Истина", "true", "1", " ДА "])
def test_yes(told: str) -> None:
    assert queries.flag(told, "x")


@pytest.mark.parametrize("told", ["", "Нет", "Ложь", "false", "0"])
def test_no(told: str) -> None:
    assert not queries.flag(told, "x")


@pytest.mark.parametrize(
    ("told", "day"),
    [
        ("18.03.2025 0:00:00", date(2025, 3, 18)),
        ("18.03.2025+0:00:00", date(2025, 3, 18)),
        ("17.05.1990", date(1990, 5, 17)),
        ("1990-05-17T00:00:00", date(1990, 5, 17)),
        ("", None),
        ("01.01.0001 0:00:00", None),
        ("0001-01-01T00:00:00", None),
    ],
)
def test_dates(told: str, day: date | None) -> None:
    assert queries.day(told, "x") == day


@pytest.mark.parametrize("told", ["31.02.1990", "1990", "17/05/1990", "17.05.90"])
def test_what_is_no_date_is_refused(told: str) -> None:
    with pytest.raises(BadMessage):
        queries.day(told, "x")


@pytest.mark.parametrize(
    "told", ["+79990000001", " 79990000001", "89990000001", "9990000001", "8 (999) 000-00-01", "7+999+0000001"]
)
def test_spellings_of_a_phone_are_one(told: str) -> None:
    assert queries.phone(told) == "+79990000001"


@pytest.mark.parametrize("told", ["", "*0001", "999", "1" * 16])
def test_what_is_no_phone_leads_nowhere(told: str) -> None:
    assert queries.phone(told) == ""


# JSON ---------------------------------------------------------------------------------------------------------------


@few(max_examples=40)
@given(st.decimals(-(10**12), 10**12, places=2, allow_nan=False))
@example(0)
def test_numbers_of_json_never_become_floats_and_keep_their_digits(number: Any) -> None:
    told = documents.read(b'\xef\xbb\xbf{"Amount": %s, "Text": "%s"}' % (str(number).encode(), str(number).encode()))
    assert documents.text(told, "Amount") == str(number)
    assert documents.amount(told, "Amount") == documents.amount(told, "Text") == int(number * 100)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"{", b"\xff{}", b'{"a": NaN}', b'{"a":' * 5_000, b'{"a": 1, "a": 2}']
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage):
        documents.read(body)


@pytest.mark.parametrize(
    ("amount", "off", "manual", "base"),
    [
        ("300", "0", "0", 30_000),  # the first time
        ("270", "30", "0", 30_000),  # taken off already
        ("300", "30", "0", 30_000),  # told beside the full price
        ("240", "30", "30", 27_000),  # with a discount of the cashier's
        ("269.99", "30", "0", 29_999),  # rounded
    ],
)
def test_a_recalculated_row_is_not_discounted_twice(amount: str, off: str, manual: str, base: int) -> None:
    row = {"Amount": amount, "AmountOfAutomaticDiscount": off, "AmountOfManualDiscount": manual}
    assert basket.row_sum(row, 15_000, 2_000, "Goods[1].") == base


# Names ----------------------------------------------------------------------------------------------------------------


@few(max_examples=60)
@given(st.integers(1, 10**20), st.integers(1, 2**32 - 1))
def test_a_guid_that_we_tell_leads_back_to_its_number(number: int, account: int) -> None:
    told = card_guid(str(number))
    assert UUID(told).version == 8
    assert ref_of(told) == Ref("card", str(number))
    assert ref_of(client_guid(account)) == Ref("wallet", str(account))
    assert told != client_guid(number)


@few(max_examples=40)
@given(st.uuids())
def test_any_other_guid_is_1cs_own(other: UUID) -> None:
    assert ref_of(str(other)) == Ref("onec", str(other))


def test_a_guid_of_zeros_is_none_and_anything_else_is_refused() -> None:
    assert guid("00000000-0000-0000-0000-000000000000", "x") == guid("", "x") == ""
    assert guid("{AAAAAAAA-0000-4000-8000-000000000001}", "x") == "aaaaaaaa-0000-4000-8000-000000000001"
    for told in ("no-guid", "1", "g" * 36):
        with pytest.raises(BadMessage):
            guid(told, "x")


def test_names_of_a_card_are_tried_in_the_order_of_the_page() -> None:
    told = {"email": "a@b.ru", "phone": "9990000001", "clientcardid": "77", "cardguid": card_guid("5")}
    assert [(ref.scheme, ref.value) for ref in card_refs(told)] == [
        ("card", "5"),
        ("card", "77"),
        ("barcode", "77"),
        ("track", "77"),
        ("phone", "+79990000001"),
        ("email", "a@b.ru"),
    ]
    assert text_refs(card_guid("5")) == [Ref("card", "5")]
    assert Ref("token", "TGabc") in text_refs("TGabc")
    assert search_refs({}) == ()
    for nobody in ({}, {"phone": "12"}, told | {"replacement": "Да"}):
        with pytest.raises(CardNotFound):
            card_refs(nobody)


def test_what_makes_commands_alike_tells_nothing_of_the_holder() -> None:
    def of(minor: int = 8_100, **told: str) -> str:
        return likeness("write_off", card_refs(told), minor)

    assert of(clientcardid="77", phone="+79990000001") == "onec:write_off:card/77:8100"
    person = of(phone="+79990000001", email="anna@example.org")
    assert person == of(phone="89990000001", email="anna@example.org")
    assert "9990000001" not in person and "anna" not in person and len(person) < 40
    assert len({person, of(clientcardid="77"), of(8_200, clientcardid="77"), of(clientcardid="78")}) == 4


# Options ----------------------------------------------------------------------------------------------------------


def test_options_have_their_defaults() -> None:
    options = OnecOptions().load({"unit": "BONUS"})
    assert (options["lock_seconds"], options["window_seconds"], options["goods"]) == (600, 120, "guid")
    assert speaks_json(options)
    assert not speaks_json(options | {"version": "3.0.7.84"})
    assert product_of("", options) == ""
    types = options | {"card_types": [{"product": "guest"}, {"product": "plastic"}]}
    assert product_of("", types) == "guest"
    assert product_of("aaaaaaaa-0000-4000-8000-000000000001", types) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": ""},
        {"version": "new"},
        {"language": "de"},
        {"lock_seconds": 0},
        {"window_seconds": 86_401},
        {"goods": "name"},
        {"stores": ["Магазин 1"]},
        {"card_types": [{"product": "guest"}]},
        {"consent": {"purpose": "loyalty"}},
        {"no_such": 1},
    ],
)
def test_nonsense_stops_the_start(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OnecOptions().load({"unit": "BONUS"} | changes)
