"""Whatever goes wrong is told as a problem document with a stable code."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from adapters.texts import code_text
from gateway.api.section import Rest
from gateway.errors import STATUS, Refused, headers, problem, unfit
from processing.errors import (
    BadCredentials,
    Busy,
    Failed,
    HoldExpired,
    InsufficientPoints,
    LoyaltyError,
    RateLimited,
    ReturnExceeds,
    TooManyCodes,
    by_code,
)
from tests.gateway.api.client import Client
from tests.processing.books import MOSCOW, Books

SCALES = {"BONUS": 2, "STAMP": 0}.get

# Nothing here depends on the database (conftest.py).
ON_SQLITE_ONLY = True


def test_every_error_has_a_status() -> None:
    assert set(STATUS) == set(by_code())
    assert set(STATUS.values()) <= {400, 401, 403, 404, 409, 413, 422, 429, 500, 503}


@pytest.mark.parametrize("code", sorted(by_code()))
@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_error_makes_a_problem(code: str, language: str) -> None:
    told = problem(Refused(by_code()[code]("for integrators")), language, SCALES)
    assert (told["code"], told["status"], told["type"]) == (code, STATUS[code], f"/api/errors/{code}")
    assert told["title"]
    assert told["detail"]
    is_silent = code in ("error", "failed")
    assert ("message" in told) is not is_silent


def test_amounts_are_told_in_the_digits_of_their_unit() -> None:
    points = problem(Refused(InsufficientPoints("", unit="BONUS", available=4500, asked=10_000)), "en", SCALES)
    assert points["details"] == {"unit": "BONUS", "available": "45.00", "asked": "100.00"}
    assert "45.00" in points["detail"]
    stamps = problem(Refused(HoldExpired("", unit="STAMP", available=4, asked=10)), "en", SCALES)
    assert stamps["details"] == {"unit": "STAMP", "available": "4", "asked": "10"}
    assert "Available 4" in stamps["detail"] or "4" in stamps["details"]["available"]
    pieces = problem(Refused(ReturnExceeds("", line=1, left=1500, asked=2000)), "en", SCALES)
    assert pieces["details"] == {"line": 1, "left": "1.500", "asked": "2.000"}


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (Busy(), "Retry-After", "1"),
        (RateLimited(retry_seconds=17), "Retry-After", "17"),
        (TooManyCodes(retry_seconds=600), "Retry-After", "600"),
        (BadCredentials(), "WWW-Authenticate", 'Bearer realm="tillgate"'),
    ],
)
def test_http_is_told_when_to_come_again_or_how_to_sign_in(error: LoyaltyError, name: str, value: str) -> None:
    assert headers(Refused(error))[name] == value


def test_problems_of_fields_are_bounded() -> None:
    refused = unfit({"lines": {n: {"sum": ["x" * 2_000]} for n in range(1_000)}})
    assert len(refused.errors) == 50
    assert all(len(error.message) <= 1_000 for error in refused.errors)


@pytest.mark.parametrize(
    ("asked", "language"), [("ru-RU,ru;q=0.9,en;q=0.8", "ru"), ("en", "en"), ("de", "en"), ("", "en")]
)
def test_the_detail_speaks_the_callers_language(rest: Client, asked: str, language: str) -> None:
    body = {"store": MOSCOW, "refs": [{"scheme": "card", "value": "1"}]}
    answer = rest.ask("POST", "/cards/identify", body, **{"Accept-Language": asked})
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.body["detail"] == code_text("card_not_found", language)
    assert answer.headers["Content-Language"] == language


def test_a_refusal_of_the_rules_tells_how_much_there_is(rest: Client, books: Books) -> None:
    card = {"scheme": "card", "value": books.card(4_550)}
    answer = rest.write("/redemptions", card=card, unit="BONUS", amount="100.00")
    assert (answer.status, answer.code) == (409, "insufficient_points")
    assert answer.body["details"] == {"unit": "BONUS", "available": "45.50", "asked": "100.00"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/holds", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("GET", "/api/v1/cards", {"OPTIONS", "POST"}),
        ("POST", "/api/v1/stores", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/api/openapi.json", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(rest: Client, method: str, path: str, allowed: set[str]) -> None:
    answer = rest.http.open(path, method=method)
    assert (answer.status_code, answer.content_type) == (405, "application/problem+json")
    assert set(answer.headers["Allow"].replace(",", " ").split()) == allowed


def test_an_unknown_page_is_a_problem(rest: Client) -> None:
    answer = rest.get("/nothing")
    assert (answer.status, answer.code) == (404, "no_such_route")


def test_an_unknown_store_is_told(rest: Client) -> None:
    answer = rest.query("/cards/identify", store="nowhere", refs=[{"scheme": "card", "value": "1"}])
    assert (answer.status, answer.code) == (404, "foreign_store")


def broken(made: Flask, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked of the core raises this."""

    def ask(_: Any) -> Any:
        raise error

    own: Rest = made.extensions["tillgate-rest"]
    monkeypatch.setattr(own, "ask", ask)


def test_a_bug_tells_nothing_of_itself(
    rest: Client, made: Flask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(made, ValueError("password=hunter2"), monkeypatch)
    answer = rest.query("/cards/identify", store=MOSCOW, refs=[{"scheme": "card", "value": "1"}])
    assert (answer.status, answer.code) == (500, "failed")
    assert set(answer.body) == {"type", "title", "status", "detail", "code"}
    logged = "".join(capsys.readouterr())
    assert "request_failed" in logged
    assert "hunter2" not in logged + answer.raw.decode()


def test_a_core_that_is_busy_may_be_asked_again(rest: Client, made: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(made, Busy("too many requests are waiting"), monkeypatch)
    answer = rest.write("/top-ups", card={"scheme": "card", "value": "1"}, amount={"unit": "RUB", "amount": "1"})
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "busy", "1")


def test_a_command_that_met_a_bug_is_a_silent_500(rest: Client, made: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    own: Rest = made.extensions["tillgate-rest"]
    monkeypatch.setattr(own, "ask", lambda asks: [Failed("inner detail") for _ in asks])
    answer = rest.write("/top-ups", card={"scheme": "card", "value": "1"}, amount={"unit": "RUB", "amount": "1"})
    assert (answer.status, "inner" in answer.raw.decode()) == (500, False)


def test_a_problems_type_leads_somewhere(rest: Client) -> None:
    told = rest.http.get("/api/errors/card_blocked")
    assert told.json["status"] == 409
    assert told.json["texts"]["ru"] == code_text("card_blocked", "ru")
    assert rest.http.get("/api/errors/nothing").status_code == 404
