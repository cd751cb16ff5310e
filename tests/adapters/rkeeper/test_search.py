"""FindEmail and GetCardImageEx: any text, one card or a reason; a QR code or nothing."""

from __future__ import annotations

import struct
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from adapters.contract import WireResponse
from adapters.rkeeper import ADAPTER
from adapters.rkeeper.pictures import bitmap, qr_code
from adapters.rkeeper.search import decoded, sought
from adapters.testing import asks_of, converse
from processing.commands import FindCards
from processing.errors import BadMessage, CardNotFound
from processing.results import CardsFound, FoundCard
from tests.adapters.rkeeper.test_receipts import link, request

LETTERS = st.text(st.characters(codec="cp1251", exclude_categories=("Cc", "Cs")), max_size=40)


def card(number: str = "5550001234", account: int = 7, name: str = "Анна", usable: str = "") -> FoundCard:
    return FoundCard(
        number=number, account=account, holder_id=1, holder_name=name, status="active", usable=usable, product="x"
    )


def search(*cards: FoundCard, more: bool = False, **options: Any) -> dict[str, str]:
    body = '<ROOT><QRY Email="анна"/></ROOT>'
    said = converse(
        ADAPTER, request(body, "findemail"), link(**options), lambda _: [CardsFound(cards=cards, more=more)]
    )
    (told,) = etree.fromstring(said.response.body)
    assert told.tag == "FindEmail"
    return {str(name): str(value) for name, value in told.attrib.items()}


# The text


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
@given(text=LETTERS)
@example(text="Смирнова")
@example(text="Ы")
def test_a_text_is_read_back_from_its_escapes_in_either_encoding(encoding: str, text: str) -> None:
    escaped = quote(text.encode(encoding), safe="")
    raw = text.encode(encoding)
    try:
        reads_as_utf_8 = raw.decode("utf-8") == text
    except UnicodeDecodeError:
        reads_as_utf_8 = encoding == "cp1251"
    if reads_as_utf_8:
        assert decoded(escaped) == text


@given(st.text(max_size=60))
@example("100% сок")
@example("%")
@example("%zz%4")
@example("%98")
@example("%C8%98")
def test_no_text_breaks_and_a_plain_one_stays(text: str) -> None:
    told = decoded(text)
    if "%" not in text or not text.isascii():
        assert told == text


def test_a_phone_keeps_its_plus() -> None:
    assert decoded("+7 921 555-01-02") == "+7 921 555-01-02"
    assert decoded("%2B79215550102") == "+79215550102"


def test_control_characters_go_and_blanks_around() -> None:
    assert sought(" a%00b\x07 ") == "ab"
    assert sought("%0A") == ""


def test_a_text_is_needed_and_has_a_bound() -> None:
    assert len(sought("я" * 255)) == 255
    for wrong in (None, "я" * 256, "%41" * 256):
        with pytest.raises(BadMessage, match="QRY@Email"):
            sought(wrong)


def test_the_text_is_asked_for_in_the_links_store() -> None:
    body = '<ROOT><QRY eMail="%C8%EB%FC%E8%ED"/></ROOT>'
    assert asks_of(ADAPTER, request(body, "FindEmail.php"), link()) == (FindCards(store="spb-3", text="Ильин"),)


def test_an_empty_text_finds_nobody_and_asks_nothing() -> None:
    said = converse(ADAPTER, request('<ROOT><QRY Email=""/></ROOT>', "findemail"), link(), lambda _: [])
    assert said.asks == ()
    assert said.response.refused == "card_not_found"


# The card


def test_a_found_guest_is_told_by_account_card_and_name() -> None:
    assert search(card()) == {"Account": "7", "CardCode": "5550001234", "Name": "Анна", "Result": "0"}
    assert search(card(name=""))["Name"] == "*1234"
    assert len(search(card(name="Я" * 90))["Name"]) == 39


def test_a_card_that_is_not_usable_is_told_too_and_its_card_info_says_why() -> None:
    assert search(card(usable="card_blocked"))["Result"] == "0"


def test_nobody_is_told_in_words() -> None:
    told = search(language="en")
    assert told["Result"] == "1"
    assert told["ErrorText"].startswith("Nobody found")


@pytest.mark.parametrize("more", [False, True])
def test_several_guests_are_told_apart_by_the_cashier_and_never_by_chance(more: bool) -> None:
    cards = [card()] if more else [card(), card("5550005678", 8, usable="card_blocked")]
    told = search(*cards, more=more, language="en")
    assert told["Result"] == "1"
    assert told["ErrorText"].startswith("Several guests")
    assert search(*cards, more=more, several_found="first")["CardCode"] == "5550001234"


def test_several_cards_of_one_guest_are_one_guest() -> None:
    assert search(card(), card("5550005678"))["CardCode"] == "5550001234"


def test_a_number_that_the_protocol_can_not_carry_is_not_told() -> None:
    for number in ("9900000000000000003", "A-17", "0", ""):
        assert search(card(number))["Result"] == "1"
        assert search(card(number), card("12"))["CardCode"] == "12"


# Pictures


def picture(token: Any = None, body: str = '<ROOT><QRY CardCode="55"/></ROOT>', **options: Any) -> WireResponse:
    def core(asks: Any) -> Any:
        return [CardNotFound()] if token is None else [token]

    return converse(ADAPTER, request(body, "getcardimageex"), link(**options), core).response


def test_no_picture_is_told_in_the_pages_own_words() -> None:
    for response in (
        picture(),
        picture(card_image="qr"),
        picture(body="<<", card_image="qr"),
        picture(body='<ROOT><QRY CardCode="00"/></ROOT>', card_image="qr"),
    ):
        (told,) = etree.fromstring(response.body)
        assert (told.tag, dict(told.attrib)) == ("GetCardImageEx", {"ErrorText": "Card or image not found"})
        assert (response.status, response.content_type) == (200, "text/xml; charset=utf-8")


@given(st.binary(min_size=1, max_size=80), st.integers(1, 40))
def test_a_bitmap_holds_its_rows_from_the_bottom_up(bits: bytes, height: int) -> None:
    row = bytes(byte & 1 for byte in bits)
    rows = [row if place % 3 else bytes(len(row)) for place in range(height)]
    picture = bitmap(rows)
    size, begin = struct.unpack("<2xI4xI", picture[:14])
    width, told_height, planes, depth = struct.unpack("<iiHH", picture[18:30])
    assert (size, width, told_height, planes, depth) == (len(picture), len(row), height, 1, 1)
    stride = (size - begin) // height
    assert stride % 4 == 0
    for place in range(height):
        line = picture[begin + place * stride :][:stride]
        seen = "".join(f"{byte:08b}" for byte in line)[:width]
        assert seen == "".join(map(str, rows[height - 1 - place]))


def test_a_code_is_the_same_every_time_and_none_for_what_it_can_not_hold() -> None:
    assert qr_code("token") == qr_code("token")
    assert qr_code("token") != qr_code("tokem")
    assert qr_code("x" * 8_000) is None
    assert qr_code("\ud800") is None
