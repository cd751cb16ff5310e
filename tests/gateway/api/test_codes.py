"""Confirmation codes reach the holder's phone once, and nobody else."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from gateway.api.section import Rest
from gateway.senders import NotSent
from tests.gateway.api.client import Client
from tests.processing.books import Books

PHONE = "+79210000001"

# Nothing here depends on the database (conftest.py).
ON_SQLITE_ONLY = True


class Phone:
    """A sender that remembers; ``broken`` makes it fail."""

    is_there = True

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.broken = False

    def send(self, phone: str, text: str) -> None:
        if self.broken:
            raise NotSent("HTTP 500")
        self.sent.append((phone, text))

    @property
    def code(self) -> str:
        """The last code."""
        found = re.search(r"[0-9]{6}", self.sent[-1][1])
        assert found
        return found[0]


@pytest.fixture
def phone(made: Flask) -> Phone:
    own: Rest = made.extensions["tillgate-rest"]
    own.sender = Phone()
    return own.sender


@pytest.fixture
def card(rest: Client, books: Books) -> dict[str, str]:
    """A card whose holder has a phone."""
    named = {"scheme": "card", "value": books.card()}
    rest.write("/holders", card=named, name="Anna", phone=PHONE).ok()
    return named


def test_a_code_is_sent_and_checked_once(rest: Client, phone: Phone, card: dict[str, str]) -> None:
    sent = rest.write("/codes", card=card, purpose="redeem")
    assert (sent.status, sent.body["phone"]) == (201, "***0001")
    assert phone.sent[0][0] == PHONE
    assert phone.code not in sent.raw.decode()
    check = {"card": card, "purpose": "redeem"}
    wrong = rest.write("/codes/check", **check, code=f"{(int(phone.code) + 1) % 10**6:06}")
    assert (wrong.status, wrong.code, wrong.body["details"]["left"]) == (409, "wrong_code", 2)
    assert rest.write("/codes/check", **check, code=phone.code).ok()["purpose"] == "redeem"
    assert rest.write("/codes/check", **check, code=phone.code).code == "code_expired"


def test_a_request_that_comes_again_sends_nothing(rest: Client, phone: Phone, card: dict[str, str]) -> None:
    first, again = (rest.write("/codes", "same", card=card, purpose="redeem") for _ in range(2))
    assert (again.raw, again.is_replay) == (first.raw, True)
    assert len(phone.sent) == 1


def test_codes_differ_and_come_by_the_number_that_is_allowed(rest: Client, phone: Phone, card: dict[str, str]) -> None:
    answers = [rest.write("/codes", card=card, purpose="redeem") for _ in range(4)]
    assert [one.status for one in answers] == [201, 201, 201, 429]
    assert answers[3].code == "too_many_codes"
    assert int(answers[3].headers["Retry-After"]) > 0
    assert len({text for _, text in phone.sent}) > 1
    assert len(phone.sent) == 3


def test_a_code_that_was_not_sent_says_so_and_goes_out_with_the_same_request(
    rest: Client, phone: Phone, card: dict[str, str]
) -> None:
    phone.broken = True
    failed = rest.ask(
        "POST",
        "/codes",
        {"store": rest.store, "card": card, "purpose": "redeem"},
        **{"Idempotency-Key": "one", "Accept-Language": "ru"},
    )
    assert (failed.status, failed.code, failed.body["details"]["reason"]) == (503, "busy", "code_not_sent")
    assert "SMS" in failed.body["detail"]
    assert failed.headers["Retry-After"]
    phone.broken = False
    sent = rest.write("/codes", "one", card=card, purpose="redeem")
    assert (sent.status, len(phone.sent)) == (201, 1)
    assert rest.write("/codes/check", card=card, purpose="redeem", code=phone.code).status == 200
    rest.write("/codes", "one", card=card, purpose="redeem").ok()
    assert len(phone.sent) == 1


def test_a_code_that_is_too_old_is_not_sent_after_all(
    rest: Client, phone: Phone, card: dict[str, str], books: Books
) -> None:
    phone.broken = True
    rest.write("/codes", "one", card=card, purpose="redeem")
    phone.broken = False
    books.clock.forward(minutes=6)  # type: ignore[union-attr]
    rest.write("/codes", "one", card=card, purpose="redeem")
    assert phone.sent == []


def test_a_holder_without_a_phone_gets_no_code(rest: Client, phone: Phone, books: Books) -> None:
    bare = {"scheme": "card", "value": books.card()}
    assert rest.write("/codes", card=bare, purpose="redeem").code == "holder_not_found"
    rest.write("/holders", card=bare, name="Boris").ok()
    assert rest.write("/codes", card=bare, purpose="redeem").code == "holder_not_found"
    assert phone.sent == []


def test_without_a_sender_no_code_is_made(rest: Client, made: Flask, card: dict[str, str], books: Books) -> None:
    from gateway.senders import Nobody

    made.extensions["tillgate-rest"].sender = Nobody()
    refused = rest.write("/codes", card=card, purpose="redeem")
    assert (refused.status, refused.code, refused.body["details"]) == (409, "refused", {"reason": "no_sender"})
    assert "Retry-After" not in refused.headers
    assert "configured" in refused.body["detail"]
    assert books.count("confirmation_code") == 0


def test_neither_code_nor_phone_is_logged(
    rest: Client, phone: Phone, card: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rest.write("/codes", card=card, purpose="redeem").ok()
    phone.broken = True
    rest.write("/codes", card=card, purpose="redeem")
    said = "".join(capsys.readouterr())
    assert "code_sent" in said
    assert "code_not_sent" in said
    for secret in (PHONE, PHONE[1:], phone.code, card["value"]):
        assert secret not in said
