"""Many commands in one request: each has its own key, its own outcome, and its own right to be asked."""

from __future__ import annotations

from typing import Any

from gateway.api.section import DOORS
from tests.gateway.api.client import Answer, Client, new_key
from tests.gateway.api.conftest import NewClient
from tests.processing.books import MOSCOW, URAL, Books


def item(command: str, body: dict[str, Any], key: str = "") -> dict[str, Any]:
    return {"command": command, "idempotency_key": key or new_key(), "body": {"store": MOSCOW, **body}}


def top_up(card: str, amount: str = "10.00", key: str = "", **more: Any) -> dict[str, Any]:
    body = {"card": {"scheme": "card", "value": card}, "amount": {"unit": "RUB", "amount": amount}, **more}
    return item("TopUp", body, key)


def send(rest: Client, *items: dict[str, Any]) -> Answer:
    return rest.ask("POST", "/batch", {"commands": list(items)})


def test_outcomes_come_in_the_order_of_the_commands(rest: Client, books: Books) -> None:
    card = books.card()
    told = send(
        rest,
        top_up(card, "1.00"),
        top_up("1", "2.00"),
        top_up(card, "0.001"),
        item("Nothing", {}),
        top_up(card, "3.00"),
    ).ok()["outcomes"]
    assert [one["status"] for one in told] == [201, 404, 422, 422, 201]
    assert [one["body"]["card"]["balance"] for one in told if one["body"]] == ["1.00", "4.00"]
    assert told[1]["problem"]["code"] == "card_not_found"
    assert [error["field"] for error in told[2]["problem"]["errors"]] == ["commands.2.body.amount.amount"]
    assert [error["field"] for error in told[3]["problem"]["errors"]] == ["commands.3.command"]
    assert books.balance(card, "RUB") == 400


def test_a_batch_may_be_sent_again(rest: Client, books: Books) -> None:
    card = books.card()
    items = [top_up(card, "1.00", "a"), top_up(card, "2.00", "b")]
    first, again = send(rest, *items).ok()["outcomes"], send(rest, *items, top_up(card, "4.00")).ok()["outcomes"]
    assert [one["replayed"] for one in first] == [False, False]
    assert [one["replayed"] for one in again] == [True, True, False]
    assert [one["body"] for one in again[:2]] == [one["body"] for one in first]
    assert books.balance(card, "RUB") == 700


def test_twins_in_one_batch_have_one_effect(rest: Client, books: Books) -> None:
    card = books.card()
    told = send(rest, top_up(card, "1.00", "same"), top_up(card, "1.00", "same")).ok()["outcomes"]
    assert told[0]["body"] == told[1]["body"]
    assert books.balance(card, "RUB") == 100


def test_a_command_without_a_key_is_refused_alone(rest: Client, books: Books) -> None:
    card = books.card()
    bare = {**top_up(card), "idempotency_key": ""}
    natural = top_up(card, "5.00", keys=["fiscal:1"])
    del natural["idempotency_key"]
    told = send(rest, bare, natural).ok()["outcomes"]
    assert [one["status"] for one in told] == [400, 201]
    assert books.balance(card, "RUB") == 500


def test_a_batch_and_a_single_request_know_the_same_keys(rest: Client, books: Books) -> None:
    card = books.card()
    body = {"card": {"scheme": "card", "value": card}, "amount": {"unit": "RUB", "amount": "10.00"}}
    single = rest.write("/top-ups", "same", **body)
    (told,) = send(rest, top_up(card, "10.00", "same")).ok()["outcomes"]
    assert (told["replayed"], told["body"]) == (True, single.body)


def test_every_command_wants_its_own_scope_and_store(new_client: NewClient, books: Books) -> None:
    card = books.card()
    poor = new_client("value:write", stores=[MOSCOW])
    told = send(
        poor,
        top_up(card),
        item("BlockCard", {"card": {"scheme": "card", "value": card}, "reason": "x"}),
        top_up(card, store=URAL),
    ).ok()["outcomes"]
    assert [one["status"] for one in told] == [201, 403, 403]


def test_a_capture_in_a_batch_counts_in_the_unit_of_its_hold(rest: Client, books: Books) -> None:
    card = books.card(7, unit="STAMP")
    rest.write("/holds", "hold", card={"scheme": "card", "value": card}, unit="STAMP", amount="5").ok()
    (told,) = send(rest, item("CaptureHold", {"hold": "rest:hold", "amount": "2"})).ok()["outcomes"]
    assert told["body"]["card"]["redeemed"] == "2"


def test_codes_do_not_travel_in_batches(rest: Client, books: Books) -> None:
    (told,) = send(rest, item("SendCode", {"card": {"scheme": "card", "value": "1"}, "purpose": "x"})).ok()["outcomes"]
    assert told["status"] == 422


def test_an_empty_batch_is_refused(rest: Client) -> None:
    assert send(rest).fields == {"commands"}


def test_an_unknown_command_is_told_all_that_there_are(rest: Client) -> None:
    (outcome,) = rest.ask("POST", "/batch", {"commands": [{"command": "Nope", "body": {}}]}).ok()["outcomes"]
    (error,) = outcome["problem"]["errors"]
    assert all(name in error["message"] for name in DOORS)
