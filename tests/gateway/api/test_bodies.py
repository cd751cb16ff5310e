"""Bodies are exact or refused, with the path of every field that does not fit."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from gateway.api.amounts import minor
from gateway.api.body import MAX_BODY, parse
from gateway.errors import Refused
from processing.units import MAX_AMOUNT, major
from tests.gateway.api.client import Client, new_key
from tests.processing.books import MOSCOW, Books

# Nothing here depends on the database (conftest.py).
ON_SQLITE_ONLY = True


def raw(card: str, amount: str) -> bytes:
    """A top-up whose amount stands there as it is, number or text."""
    return (
        f'{{"store": "{MOSCOW}", "card": {{"scheme": "card", "value": "{card}"}},'
        f' "amount": {{"unit": "RUB", "amount": {amount}}}}}'
    ).encode()


def send(rest: Client, body: bytes, path: str = "/top-ups", **headers: str) -> Any:
    return rest.ask("POST", path, body, **{"Idempotency-Key": new_key(), **headers})


GOOD = {
    '"0.01"': 1,
    '"450.50"': 45_050,
    '"450.5"': 45_050,
    '"450"': 45_000,
    "450.50": 45_050,
    "450": 45_000,
    "0.1": 10,
    "0.07": 7,
    '"450.5000"': 45_050,
    major(MAX_AMOUNT, 2): MAX_AMOUNT,
}


def test_amounts_are_read_exactly_as_text_or_number(rest: Client, books: Books) -> None:
    for written, kopecks in GOOD.items():
        card = books.card()
        assert send(rest, raw(card, written)).ok()["card"]["balance"] == major(kopecks, 2), written
        assert books.balance(card, "RUB") == kopecks, written


BAD = [
    '"450.505"', "450.505", '"-1"', "-1", "-0.01", '"0"', "0", "1e9", '"1e9"', "1E2", "NaN", "Infinity", "-Infinity",
    '"NaN"', major(MAX_AMOUNT + 1, 2), "1" * 5_000, "1." + "0" * 400 + "1", '""', '" 1"', '"1,50"', '"1 000"', "true",
    "null", "[]", "{}", '"١٢"', '"0x10"',
]  # fmt: skip


def test_bad_amounts_are_refused_by_their_field(rest: Client, books: Books) -> None:
    card = books.card()
    for written in BAD:
        answer = send(rest, raw(card, written))
        assert (answer.status, answer.code, answer.fields) == (422, "bad_message", {"amount.amount"}), written[:20]
    assert books.balance(card, "RUB") == 0


def test_a_unit_has_the_digits_of_its_scale(rest: Client, books: Books) -> None:
    card = {"scheme": "card", "value": books.card()}
    done = rest.write("/accruals", card=card, amount={"unit": "STAMP", "amount": "3"}).ok()
    assert done["card"]["balance"] == "3"
    refused = rest.write("/accruals", card=card, amount={"unit": "STAMP", "amount": "0.5"})
    assert (refused.status, refused.fields) == (422, {"amount.amount"})
    unknown = rest.write("/accruals", card=card, amount={"unit": "NOPE", "amount": "1"})
    assert (unknown.status, unknown.code) == (404, "unit_not_found")


@given(st.integers(-MAX_AMOUNT, MAX_AMOUNT), st.integers(0, 6))
def test_every_amount_survives_the_way_out_and_in(amount: int, scale: int) -> None:
    assert minor(major(amount, scale), scale) == amount
    assert minor(parse(major(amount, scale).encode()), scale) == amount


@given(st.decimals(allow_nan=True, allow_infinity=True).map(str) | st.text(max_size=30))
def test_what_is_no_amount_is_never_anything_but_refused(text: str) -> None:
    try:
        found = minor(text, 2)
    except ValidationError:
        return
    assert minor(major(found, 2), 2) == found


def test_all_fields_that_do_not_fit_are_named_with_their_paths(rest: Client) -> None:
    receipt = {
        "number": 17,
        "till": "5",
        "business_date": "4 May",
        "total": "1.005",
        "colour": "red",
        "lines": [
            {"number": 1, "goods": "a", "sum": "1"},
            {"number": 0, "goods": "b", "sum": "-1", "quantity": "1.0001"},
        ],
    }
    card = {"refs": [{"scheme": "card", "value": "1"}], "redeem": [{"unit": "BONUS", "amount": "0"}], "pin": "12"}
    answer = rest.write("/receipts", receipt=receipt, cards=[card], supersede="yes", stamp="2026-05-04T10:00:00")
    assert answer.status == 422
    assert answer.fields == {
        "receipt.number",
        "receipt.business_date",
        "receipt.total",
        "receipt.colour",
        "receipt.lines.1.number",
        "receipt.lines.1.sum",
        "receipt.lines.1.quantity",
        "cards.0.redeem.0.amount",
        "cards.0.pin",
        "supersede",
        "stamp",
    }
    assert "receipt" in answer.body["message"]


def test_what_is_missing_is_named(rest: Client) -> None:
    assert rest.ask("POST", "/holds", b"", **{"Idempotency-Key": "x"}).fields == {"store", "card", "unit"}


def test_query_strings_are_as_strict(rest: Client) -> None:
    answer = rest.get("/operations", limit="0", sinse="now", since="yesterday", store="a b")
    assert (answer.status, answer.fields) == (422, {"limit", "sinse", "since", "store"})


@pytest.mark.parametrize(
    "body",
    [b"{", b"nothing", b'{"a": 1, "a": 2}', b"\xff\xfe", b"[" * 100_000, '{"a": "ключ"}'.encode("cp1251"), b"01"],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_not_json_is_refused(rest: Client, body: bytes) -> None:
    answer = send(rest, body)
    assert (answer.status, answer.code) == (400, "bad_message")


@pytest.mark.parametrize("body", [b"[]", b"17", b'"text"', b"null", b"true"])
def test_a_body_is_an_object(rest: Client, body: bytes) -> None:
    assert send(rest, body).status == 422


def test_another_content_type_is_refused(rest: Client) -> None:
    assert send(rest, b"store=alpha-1", **{"Content-Type": "application/x-www-form-urlencoded"}).status == 415


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800", "\\n", "x" * 256])
def test_texts_that_no_database_keeps_are_refused(rest: Client, text: str) -> None:
    body = f'{{"store": "{MOSCOW}", "refs": [{{"scheme": "card", "value": "{text}"}}]}}'.encode()
    answer = send(rest, body, "/cards/identify")
    assert (answer.status, answer.fields) == (422, {"refs.0.value"})


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-05-04T10:00:00", "now"])
def test_instants_are_aware_and_of_our_time(rest: Client, books: Books, at: str) -> None:
    answer = rest.get("/accounts/1/balances", as_of=at)
    assert (answer.status, answer.fields) == (422, {"as_of"})


def test_a_body_that_is_too_large_is_refused(rest: Client) -> None:
    body = b'{"store": "' + b"x" * MAX_BODY + b'"}'
    answer = send(rest, body)
    assert (answer.status, answer.code) == (413, "too_large")


@pytest.mark.parametrize(("blanks", "status"), [(0, 201), (1, 413), (MAX_BODY, 413)])
def test_a_body_without_a_length_is_never_cut(rest: Client, books: Books, blanks: int, status: int) -> None:
    """A chunked one (Transfer-Encoding): what fits must not pass for the whole."""
    card = books.card()
    body = raw(card, '"450.50"')
    body += b" " * (MAX_BODY - len(body) + blanks)
    environ = {"wsgi.input_terminated": True, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": ""}
    headers = {"Authorization": f"Bearer {rest.api_key}", "Idempotency-Key": new_key()}
    answer = rest.http.post(
        "/api/v1/top-ups", headers=headers, content_type="application/json", environ_overrides=environ
    )
    assert answer.status_code == status
    assert books.balance(card, "RUB") == (45_050 if status == 201 else 0)


def test_a_batch_that_is_too_long_is_refused(rest: Client) -> None:
    item = {"command": "TopUp", "body": {}}
    answer = rest.ask("POST", "/batch", {"commands": [item] * 257})
    assert (answer.status, answer.fields) == (422, {"commands"})


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        parse(body)
    except Refused as refused:
        assert refused.status == 400
