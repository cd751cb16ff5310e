"""Law 2 at REST: one key, one effect, and the same answer byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api.section import rest_key
from processing.commands import MAX_KEY
from tests.gateway.api.client import Client
from tests.gateway.api.conftest import NewClient
from tests.processing.books import MOSCOW, PLAIN, URAL, Books


def top_up(card: str, amount: str = "100.00") -> dict[str, Any]:
    return {"store": MOSCOW, "card": {"scheme": "card", "value": card}, "amount": {"unit": "RUB", "amount": amount}}


def test_a_repeated_request_has_one_effect_and_the_same_answer(rest: Client, books: Books) -> None:
    card = books.card()
    first = rest.ask("POST", "/top-ups", top_up(card), **{"Idempotency-Key": "one"})
    books.clock.forward(days=3)  # type: ignore[union-attr]
    rest.write("/top-ups", **top_up(card))
    again = rest.ask("POST", "/top-ups", top_up(card), **{"Idempotency-Key": "one"})
    assert (first.status, again.status, again.raw) == (201, 201, first.raw)
    assert not first.is_replay
    assert again.is_replay
    assert b"replayed" not in first.raw
    assert books.balance(card, "RUB") == 20_000


def test_a_receipt_that_is_sent_again_says_so(rest: Client, books: Books) -> None:
    body = {"receipt": {"number": "1", "till": "5", "business_date": "2026-05-04", "total": "10"}}
    first, again = (rest.write("/receipts", "sale", **body) for _ in range(2))
    assert (again.raw, again.is_replay, first.is_replay) == (first.raw, True, False)


def test_the_same_key_with_other_content_is_refused(rest: Client, books: Books) -> None:
    card = books.card()
    rest.write("/top-ups", "one", **top_up(card)).ok()
    other = rest.write("/top-ups", "one", **top_up(card, "100.01"))
    assert (other.status, other.code) == (422, "key_reused")
    assert books.balance(card, "RUB") == 10_000


def test_an_operator_or_another_client_does_not_make_it_another_request(rest: Client, books: Books) -> None:
    card = books.card()
    headers = {"Idempotency-Key": "one"}
    rest.ask("POST", "/top-ups", top_up(card), **headers).ok()
    again = rest.ask("POST", "/top-ups", top_up(card), **headers, **{"X-Operator": "masha"})
    assert again.is_replay


def test_stores_have_keys_of_their_own(rest: Client, books: Books) -> None:
    card = books.card()
    for store in (MOSCOW, URAL):
        rest.ask("POST", "/top-ups", {**top_up(card), "store": store}, **{"Idempotency-Key": "one"}).ok()
    assert books.balance(card, "RUB") == 20_000


def test_natural_keys_do_as_well_and_name_the_same(rest: Client, books: Books) -> None:
    card = books.card()
    first = rest.ask("POST", "/top-ups", {**top_up(card), "keys": ["fiscal:17"]})
    both = rest.ask("POST", "/top-ups", {**top_up(card), "keys": ["fiscal:17"]}, **{"Idempotency-Key": "one"})
    header = rest.ask("POST", "/top-ups", top_up(card), **{"Idempotency-Key": "one"})
    assert (first.status, both.raw, header.raw) == (201, first.raw, first.raw)
    assert books.balance(card, "RUB") == 10_000


def test_a_write_without_any_key_is_refused_and_told_why(rest: Client, books: Books) -> None:
    card = books.card()
    refused = rest.ask("POST", "/top-ups", top_up(card))
    assert (refused.status, refused.code) == (400, "bad_message")
    assert "Idempotency-Key" in refused.body["message"]
    assert refused.fields == {"Idempotency-Key"}
    assert books.balance(card, "RUB") == 0


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ".encode().decode("latin-1"), "a\tb"])
def test_a_key_that_is_none_is_refused(rest: Client, books: Books, key: str) -> None:
    refused = rest.write("/top-ups", key, **top_up(books.card()))
    assert (refused.status, refused.code) == (400, "bad_message")
    assert "Idempotency-Key" in refused.body["message"]


@pytest.mark.parametrize("keys", [["x" * 256], [""], ["a\nb"], [17], [f"k{n}" for n in range(9)]])
def test_natural_keys_have_bounds(rest: Client, books: Books, keys: list[Any]) -> None:
    refused = rest.ask("POST", "/top-ups", {**top_up(books.card()), "keys": keys})
    assert refused.status == 422
    assert any(field.startswith("keys") for field in refused.fields)


@pytest.mark.parametrize("length", [250, 251, 255])
def test_the_longest_key_works_and_is_known_again(rest: Client, books: Books, length: int) -> None:
    card, key = books.card(), "k" * length
    first, again = (rest.write("/top-ups", key, **top_up(card)) for _ in range(2))
    assert (first.status, again.raw, again.is_replay) == (201, first.raw, True)
    assert len(rest_key(key)) <= MAX_KEY


def test_issue_without_a_number_is_issued_once(rest: Client, books: Books) -> None:
    first, again = (rest.write("/cards", "issue", product=PLAIN) for _ in range(2))
    assert again.raw == first.raw
    assert books.count("card") == 1


def test_the_operation_tells_client_and_operator(rest: Client, books: Books) -> None:
    card = books.card()
    headers = {"Idempotency-Key": "one", "X-Operator": "cashier-5"}
    done = rest.ask("POST", "/top-ups", top_up(card), **headers).ok()
    assert rest.get(f"/operations/{done['operation_id']}").ok()["actor"] == "shop/cashier-5"


@pytest.mark.parametrize("operator", ["Мария", "М" * 59])
def test_an_operator_is_told_in_any_letters(rest: Client, books: Books, operator: str) -> None:
    headers = {"Idempotency-Key": "one", "X-Operator": operator.encode().decode("latin-1")}
    done = rest.ask("POST", "/top-ups", top_up(books.card()), **headers).ok()
    assert rest.get(f"/operations/{done['operation_id']}").ok()["actor"] == f"shop/{operator}"


@pytest.mark.parametrize("operator", ["a b", "a/b", "x" * 60, "\xcc\xe0", "Ð\x98" + "\xc2\xa0"])
def test_an_operator_that_is_none_is_refused(rest: Client, books: Books, operator: str) -> None:
    refused = rest.ask("POST", "/top-ups", top_up(books.card()), **{"Idempotency-Key": "one", "X-Operator": operator})
    assert (refused.status, refused.body["details"]["where"]) == (400, "X-Operator")
    assert refused.fields == {"X-Operator"}


def test_an_operator_that_is_too_long_is_told_what_is_left(rest: Client, books: Books) -> None:
    headers = {"Idempotency-Key": "one", "X-Operator": "x" * 60}
    refused = rest.ask("POST", "/top-ups", top_up(books.card()), **headers)
    assert refused.body["message"].startswith("X-Operator: 1 to 59 ")


@pytest.mark.parametrize("header", [{}, {"Idempotency-Key": "a-key-of-its-own"}, {"Idempotency-Key": "sale"}])
def test_a_void_names_its_receipt_by_the_receipts_keys(rest: Client, books: Books, header: dict[str, str]) -> None:
    card = books.card()
    use = {"refs": [{"scheme": "card", "value": card}]}
    receipt = {"number": "1", "till": "5", "business_date": "2026-05-04", "total": "100"}
    rest.write("/receipts", "sale", receipt=receipt, cards=[use]).ok()
    assert books.balance(card) == 500
    body = {"store": MOSCOW, "keys": [] if header.get("Idempotency-Key") == "sale" else ["rest:sale"]}
    first, again = (rest.ask("POST", "/receipts/void", {**body, "reason": "return"}, **header) for _ in range(2))
    assert (first.ok()["outcome"], again.raw, again.is_replay) == ("reversed", first.raw, True)
    assert books.balance(card) == 0


def test_a_void_that_comes_before_its_receipt_stops_it(rest: Client) -> None:
    void = rest.ask("POST", "/receipts/void", {"store": MOSCOW, "keys": ["rest:sale"], "reason": "rollback"})
    assert void.ok()["outcome"] == "orphan"
    receipt = {"number": "1", "till": "5", "business_date": "2026-05-04", "total": "100"}
    late = rest.write("/receipts", "sale", receipt=receipt)
    assert (late.status, late.code) == (409, "already_voided")


def test_a_void_reaches_value_without_a_receipt_only_for_who_may_move_it(
    new_client: NewClient, rest: Client, books: Books
) -> None:
    card = books.card()
    rest.ask("POST", "/top-ups", top_up(card), **{"Idempotency-Key": "one"}).ok()
    body = {"store": MOSCOW, "keys": ["rest:one"], "reason": "rollback"}
    refused = new_client("receipts:write").ask("POST", "/receipts/void", body)
    assert (refused.status, refused.code) == (422, "key_reused")
    assert books.balance(card, "RUB") == 10_000
    done = new_client("receipts:write", "value:write").ask("POST", "/receipts/void", body)
    assert done.ok()["outcome"] == "reversed"
    assert books.balance(card, "RUB") == 0


def test_a_void_of_a_receipt_wants_no_other_right(new_client: NewClient, books: Books) -> None:
    till = new_client("receipts:write")
    receipt = {"number": "1", "till": "5", "business_date": "2026-05-04", "total": "100"}
    till.write("/receipts", "sale", receipt=receipt).ok()
    void = till.ask("POST", "/receipts/void", {"store": MOSCOW, "keys": ["rest:sale"], "reason": "return"})
    assert void.ok()["outcome"] == "reversed"
