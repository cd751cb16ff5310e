"""Stand-ins: the same value the same one, of the same shape, and nothing left of what stood there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from adapters.rkeeper import PRIVATE
from gateway.stand_ins import LEAST_DIGITS, StandIns
from processing.secrets import normalise_phone

KEY = b"k" * 32
PRIVATE_NAMES = frozenset(PRIVATE)


@given(st.from_regex(r"\A0{0,3}[1-9][0-9]{4,18}\Z"))
def test_a_number_keeps_its_length_its_zeros_and_its_check_digit(number: str) -> None:
    stand_in = StandIns(KEY).of(number)
    assert len(stand_in) == len(number)
    assert len(stand_in) - len(stand_in.lstrip("0")) == len(number) - len(number.lstrip("0"))
    assert int(stand_in) < 2**63 or int(number) >= 2**63
    if len(number.lstrip("0")) not in (10, 11):  # those may be phones
        assert luhn.is_valid(number.lstrip("0")) <= luhn.is_valid(stand_in.lstrip("0"))


@given(st.lists(st.from_regex(r"\A[1-9][0-9]{5}\Z"), unique=True, max_size=20))
def test_different_numbers_have_different_stand_ins(numbers: list[str]) -> None:
    stand_ins = StandIns(KEY)
    found = [stand_ins.of(number) for number in numbers]
    assert len(set(found)) == len(numbers)
    assert [stand_ins.of(number) for number in numbers] == found


def test_a_card_is_the_same_with_and_without_its_zeros() -> None:
    stand_ins = StandIns(KEY)
    assert stand_ins.of("0005550001234") == "000" + stand_ins.of("5550001234")
    assert stand_ins.of("5550001234") != "5550001234"


@pytest.mark.parametrize(
    "spelling", ["+79215550102", "89215550102", "9215550102", "+7 (921) 555-01-02", "921 555-01-02"]
)
def test_a_phone_is_the_same_in_every_spelling_and_stays_one(spelling: str) -> None:
    stand_ins = StandIns(KEY)
    phone = normalise_phone(stand_ins.of("+79215550102"))
    assert normalise_phone(stand_ins.of(spelling)) == phone != "+79215550102"
    assert re.sub("[0-9]", "", stand_ins.of(spelling)) == re.sub("[0-9]", "", spelling)


@given(st.text(st.sampled_from("абвёъыьАЯxyzXZ -.,"), max_size=40))
def test_a_text_keeps_its_scripts_and_its_length(text: str) -> None:
    def shape(told: str) -> str:
        return "".join("А" if re.match("[а-яёА-ЯЁ]", c) else "a" if c.isalpha() else c for c in told)

    stand_in = StandIns(KEY).of(text)
    assert shape(stand_in) == shape(text)
    assert [c.isupper() for c in stand_in] == [c.isupper() for c in text]


@pytest.mark.parametrize(
    "value",
    ["", "0", "000", "34", " ", "{0A11B22C-3D44-4E55-8F66-778899AABBC3}", "0a11b22c-3d44-4e55-8f66-778899aabbc3"],
)
def test_what_tells_nothing_stays(value: str) -> None:
    assert StandIns(KEY).of(value) == value


def test_a_message_is_rewritten_wherever_it_tells_who_somebody_is() -> None:
    body = (
        '<ROOT><T Card="5550001234" PersonID="90017" Account="700123" Summa="-10000"/>'
        '<HOLDERS><ITEM cardcode="0005550001234"/></HOLDERS><P ownerinfo="Анна &quot;А&quot; Смирнова" sum="90017"/>'
        '<PERSON id="{11111111-2222-4333-8444-555555555501}" name="Ольга" code="34"/>'
        "<C note='Смирнова: 5550001234, +7 921 555-01-02, anna@example.com, 90017'/></ROOT>"
    )
    stand_ins = StandIns(KEY)
    told = stand_ins.rewrite(body, PRIVATE_NAMES)
    for secret in ("5550001234", "700123", "Анна", "Ольга", "555-01-02", "anna@"):
        assert secret not in told
    card = stand_ins.of("5550001234")
    assert told.count(card) == 3 and f'"000{card}"' in told
    assert "&quot;" in told and 'Summa="-10000"' in told and 'code="34"' in told
    assert "{11111111-2222-4333-8444-555555555501}" in told
    assert len(stand_ins.of("90017")) > LEAST_DIGITS
    assert stand_ins.rewrite(body, PRIVATE_NAMES) == told


def test_percent_escapes_stay_ones_of_their_encoding() -> None:
    stand_ins = StandIns(KEY)
    assert re.fullmatch(r"(%D[01]%[0-9A-F]{2}){4}", stand_ins.of("%D0%90%D0%BD%D0%BD%D0%B0"))
    assert re.fullmatch(r"(%[0-9A-F]{2}){4}", stand_ins.of("%C0%ED%ED%E0"))
