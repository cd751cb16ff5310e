"""What FarCards hears: always well-formed, never longer than its structs, never promising what is not there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from adapters.contract import Link, WireRequest
from adapters.response_codes import ERROR_CODES
from adapters.rkeeper import ADAPTER
from adapters.rkeeper.answers import card_answer
from adapters.rkeeper.refusals import refuse
from adapters.testing import make_link
from processing.errors import BadCredentials, Busy, CardBlocked, CardNotFound, InsufficientPoints, by_code
from processing.results import Balance, Identified

AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
SETTINGS = {"code": "spb", "store": "spb-3", "zone": "Europe/Moscow"}
OPTIONS = {
    "purses": {"10": {"number": 1, "unit": "BONUS"}, "20": {"number": 3, "unit": "GIFT"}},
    "discounts": {"Silver": 7},
    "bonuses": {"Base": 2},
}
ATTRIBUTES = [
    "Result",
    "Deleted",
    "Seize",
    "StopDate",
    "Holy",
    "Manager",
    "Locked",
    "WhyLock",
    "Holder",
    "PersonID",
    "Account",
    "Unpay",
    "Bonus",
    "Discount",
    "DiscLimit",
    "Summa",
    "Sum2",
    "Sum3",
    "Sum4",
    "Sum5",
    "Sum6",
    "Sum7",
    "Sum8",
    "DopInfo",
    "ScrMessage",
    "PrnMessage",
]


def link(**options: Any) -> Link:
    return make_link(ADAPTER, SETTINGS, OPTIONS | options)


def request(path: str, body: bytes = b"") -> WireRequest:
    return WireRequest(method="POST", path=path, query="", headers={}, body=body, id="1", at=AT)


def found(**changes: Any) -> Identified:
    known: dict[str, Any] = {
        "number": "5550001234",
        "account": 700123,
        "holder_id": 90017,
        "holder_name": "Анна",
        "status": "active",
        "usable": "",
        "product": "Silver",
        "balances": (
            Balance(unit="BONUS", scale=2, balance=45050, available=45050),
            Balance(unit="GIFT", scale=2, balance=10000, available=9000),
        ),
        "payable": (("BONUS", 20000), ("GIFT", 99999)),
        "discount": "Silver",
        "bonus": "Base",
    }
    return Identified(**(known | changes))


def info(card: Identified, tongue: str = "ru", **options: Any) -> dict[str, str]:
    root = etree.fromstring(card_answer(card, link(**options).options, tongue).encode())
    return {str(name): str(value) for name, value in root[0].attrib.items()}


def test_card_info_carries_every_attribute_of_the_struct_in_its_order() -> None:
    assert list(info(found())) == ATTRIBUTES


def test_a_purse_shows_the_lesser_of_what_is_there_and_what_may_pay() -> None:
    told = info(found())
    assert (told["Summa"], told["Sum2"], told["Sum3"]) == ("20000", "0", "9000")
    assert (told["Discount"], told["Bonus"], told["DiscLimit"]) == ("7", "2", "9000000000")


@given(
    st.integers(-(10**9), 10**9),
    st.integers(-(10**9), 10**9),
    st.sampled_from(["", "Silver", "Unknown"]),
    st.sampled_from(["", *sorted(by_code())]),
)
def test_card_info_never_promises_what_is_not_there(available: int, payable: int, discount: str, usable: str) -> None:
    balance = Balance(unit="BONUS", scale=2, balance=available, available=available)
    told = info(found(balances=(balance,), payable=(("BONUS", payable),), discount=discount, usable=usable))
    assert 0 <= int(told["Summa"]) <= max(min(available, payable), 0)
    assert (int(told["Discount"]) > 0) <= (int(told["DiscLimit"]) > 0)
    assert (told["Locked"] == "1") == bool(usable) == bool(told["WhyLock"])
    if usable:
        assert {told[name] for name in ("Summa", "Sum3", "Discount", "Bonus")} == {"0"}


@pytest.mark.parametrize(
    ("status", "usable", "flags"),
    [
        ("active", "", ("0", "0", "0")),
        ("blocked", "card_blocked", ("0", "0", "1")),
        ("active", "card_expired", ("0", "1", "1")),
        ("replaced", "card_closed", ("0", "0", "1")),
        ("closed", "card_closed", ("1", "0", "1")),
        ("issued", "card_not_active", ("0", "0", "1")),
    ],
)
def test_flags_say_why_a_card_is_not_usable(status: str, usable: str, flags: tuple[str, ...]) -> None:
    told = info(found(status=status, usable=usable))
    assert (told["Deleted"], told["StopDate"], told["Locked"]) == flags


@given(st.text(max_size=120), st.text(max_size=400), st.booleans())
def test_texts_fit_the_bytes_of_the_struct_in_windows_1251(name: str, product: str, with_balance: bool) -> None:
    told = info(found(holder_name=name, product=product), balance_in_name=with_balance)
    assert len(told["Holder"].encode("cp1251")) <= 39
    for field in ("WhyLock", "DopInfo", "ScrMessage", "PrnMessage"):
        assert len(told[field].encode("cp1251")) <= 255
    assert told["Holder"]


def test_a_name_is_cut_by_bytes_and_what_the_code_page_lacks_becomes_a_question_mark() -> None:
    assert info(found(holder_name="Я" * 60))["Holder"] == "Я" * 39
    assert info(found(holder_name="Анна 😀\x00\x07 «№»\n"))["Holder"] == "Анна ? «№»"
    assert info(found(holder_name=""))["Holder"] == "*1234"


def test_the_balance_stays_whole_behind_a_long_name() -> None:
    told = info(found(holder_name="Я" * 60), balance_in_name=True, purses={"10": {"number": 1, "unit": "BONUS"}})
    assert told["Holder"] == "Я" * 32 + " 450.50"


@pytest.mark.parametrize(
    ("locale", "option", "word"),
    [
        ("1049", "auto", "заблокирована"),
        ("1033", "auto", "blocked"),
        ("1087", "auto", "заблокирована"),
        ("", "auto", "заблокирована"),
        ("1049", "en", "blocked"),
        ("1033", "ru", "заблокирована"),
    ],
)
@pytest.mark.parametrize("quote", ['"', "'", "&quot;"])
def test_a_refusal_speaks_the_stations_language_even_when_its_bytes_do_not_parse(
    locale: str, option: str, word: str, quote: str
) -> None:
    body = f"<CHECK locale={quote}{locale}{quote} <<<".encode()
    for path in ("getcardinfoex", "transactionsex"):
        assert word in refuse(CardBlocked(), request(path, body), link(language=option)).body.decode()


def test_every_error_has_a_number_of_its_own_and_none_is_zero() -> None:
    assert set(ERROR_CODES) == set(by_code())
    assert len(set(ERROR_CODES.values())) == len(ERROR_CODES)
    assert all(0 < number < 100 for number in ERROR_CODES.values())
    assert ERROR_CODES["insufficient_points"] == 51


@pytest.mark.parametrize("code", sorted(by_code()))
def test_a_refusal_is_a_200_with_xml_but_bad_credentials_are_a_403(code: str) -> None:
    for path in ("GetCardInfoEx.php", "transactionsex/", "x"):
        response = refuse(by_code()[code](), request(path), link())
        assert response.status == (403 if code == "bad_credentials" else 200)
        assert response.content_type == "text/xml; charset=utf-8"
        assert etree.fromstring(response.body).tag == "Root"


def test_a_refused_transaction_has_result_1_and_our_text_in_either_place() -> None:
    error = InsufficientPoints(available=4500, asked=10000, unit="BONUS")
    beside = etree.fromstring(refuse(error, request("transactionsex"), link()).body)
    inside = etree.fromstring(refuse(error, request("transactionsex"), link(out_buf="nested")).body)
    assert [node.tag for node in beside] == ["TransactionsEx", "OutBuf"]
    assert [node.tag for node in inside] == ["TransactionsEx"]
    for root in (beside, inside):
        told = root.find(".//TRRESPONSE")
        assert root[0].get("Result") == "1"
        assert told is not None
        assert told.get("error_code") == "51"
        assert told.get("err_text", "").endswith("45.00")


@pytest.mark.parametrize("path", ["getcardinfoex", "GETCARDINFOEX.PHP", "secret/GetCardInfoEx/", "/getcardinfoex"])
def test_a_refused_card_is_unknown_or_shown_locked(path: str) -> None:
    def told(error: Any, **options: Any) -> Any:
        return etree.fromstring(refuse(error, request(path), link(**options)).body)[0]

    assert dict(told(CardNotFound()).attrib) == {"Result": "1"}
    locked = told(CardNotFound(), unknown_card="locked")
    assert (locked.get("Result"), locked.get("Locked")) == ("0", "1")
    for error in (Busy(), BadCredentials(), CardBlocked()):
        assert (told(error).get("Result"), told(error).get("Locked")) == ("0", "1")
        assert told(error).get("WhyLock")
        assert list(told(error).attrib) == ATTRIBUTES
