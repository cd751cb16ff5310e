"""What ``tillgate calls`` tells of a link's messages: orders, spelling, names of keys, and no value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.call_orders import MAX_RUN, report
from gateway.exchange_log import Recorded, Request

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
PAUSE = timedelta(seconds=60)


def heard(
    seconds: int, path: str, query: str = "", method: str = "GET", body: bytes = b"", problem: str = ""
) -> Recorded:
    request = Request(method, path, "", body, "", query)
    at = START + timedelta(seconds=seconds)
    return Recorded(1, "retail", at, "id", "route", "ok", 200, 5, request, b"", problem)


def test_runs_are_told_by_their_order_the_most_frequent_first() -> None:
    sale = ("findclientcard/", "calculatediscounts", "calculatediscounts", "writeoffclientbonuses3_0/")
    messages = [
        heard(start + n, f"hs/loyaltyservice/{path}") for start in (0, 600, 1200) for n, path in enumerate(sale)
    ]
    lines = list(report([*messages, heard(5000, "hs/loyaltyservice/PING")], PAUSE))
    assert lines[:3] == [
        "13 messages in 4 runs with pauses of 60 s and more between them",
        "     3  findclientcard, calculatediscounts+, writeoffclientbonuses3_0",
        "     1  ping",
    ]


def test_names_of_keys_and_their_spelling_are_told_and_no_values() -> None:
    query = "ClientCardID=2990000012345&Phone=&Client=\xd0\x98&Email=a%40b.ru&BonusesCount=+5"
    told = "\n".join(report([heard(0, "x/findclientcard/", query, body=b"{}")], PAUSE))
    for shown in ("BonusesCount 1, Client 1, ClientCardID 1, Email 1", "GET 1", "ok 1", "GET with a body 1"):
        assert shown in told
    for mark in ("raw letters", "escapes", "plus", "slash at the end"):
        assert mark in told
    assert "2990000012345" not in told
    assert "Phone" not in told


def test_what_is_endless_or_cannot_be_opened_does_no_harm() -> None:
    endless = [heard(n, "ping") for n in range(3 * MAX_RUN)]
    broken = heard(0, "ping", problem="damaged")
    assert next(iter(report([*endless, broken], PAUSE))).startswith(f"{3 * MAX_RUN} messages in 3 runs")
    assert list(report([broken], PAUSE)) == ["0 messages in 0 runs with pauses of 60 s and more between them"]
