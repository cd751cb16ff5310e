"""Lists by cursor: every row once, newest first, and a cursor is good for its own question only."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.api import cursors
from gateway.api.operations import KINDS
from gateway.app import Parts
from gateway.errors import Refused
from gateway.exchange_log import ExchangeLog, pack_request
from gateway.settings import ExchangeLogLimits
from processing.units import MAX_AMOUNT, major
from tests.gateway.api.client import Client
from tests.processing.books import CERTIFICATE, CHAIN, GIFT, MOSCOW, NOON, PINNED, PLAIN, URAL, Books, adjust

PHONE, CARD = "+79211234567", "5550001234567890"


def pages(rest: Client, path: str, rows: str, **query: Any) -> Iterator[list[Any]]:
    """Every page until the cursor ends."""
    cursor = ""
    for _ in range(100):
        told = rest.get(path, **query, cursor=cursor).ok()
        yield told[rows]
        cursor = told["cursor"]
        if not cursor:
            return
    raise AssertionError("the list does not end")


@pytest.fixture
def history(books: Books) -> str:
    """A card with 23 corrections, several of them in the same instant, in two stores."""
    card = books.card()
    for n in range(23):
        books.done(adjust(f"a{n}", card, 100 + n, store=URAL if n % 5 == 0 else MOSCOW))
        if n % 3 == 0:
            books.clock.forward(minutes=1)  # type: ignore[union-attr]
    return card


@pytest.mark.parametrize("size", [1, 7, 500])
def test_pages_of_operations_have_every_row_once(rest: Client, books: Books, history: str, size: int) -> None:
    found = [one for page in pages(rest, "/operations", "operations", limit=size) for one in page]
    expected = [row[0] for row in books.rows("SELECT id FROM operation ORDER BY booked_at DESC, id DESC")]
    assert [one["operation_id"] for one in found] == expected
    assert len(expected) == 23


def test_operations_are_filtered_by_store_kind_and_time(rest: Client, books: Books, history: str) -> None:
    ural = [one for page in pages(rest, "/operations", "operations", limit=2, store=URAL) for one in page]
    assert {one["store"] for one in ural} == {URAL}
    assert len(ural) == 5
    assert rest.get("/operations", kind="receipt").ok()["operations"] == []
    later = rest.get("/operations", since=(NOON + timedelta(minutes=8)).isoformat()).ok()["operations"]
    before = rest.get("/operations", until=(NOON + timedelta(minutes=8)).isoformat()).ok()["operations"]
    assert (len(later), len(later) + len(before)) == (1, 23)


def test_rows_that_come_meanwhile_do_not_disturb_the_pages(rest: Client, books: Books, history: str) -> None:
    first = rest.get("/operations", limit=10).ok()
    books.done(adjust("later", history, 1))
    rest_of = rest.get("/operations", limit=100, cursor=first["cursor"]).ok()["operations"]
    ids = [one["operation_id"] for one in first["operations"] + rest_of]
    assert (len(ids), len(set(ids))) == (23, 23)


def test_statements_page_as_well(rest: Client, books: Books, history: str) -> None:
    account = rest.query("/cards/identify", store=MOSCOW, refs=[{"scheme": "card", "value": history}]).ok()["account"]
    found = [one for page in pages(rest, f"/accounts/{account}/statement", "lines", limit=4) for one in page]
    assert len(found) == 23
    assert sorted(one["amount"] for one in found) == sorted(f"{(100 + n) / 100:.2f}" for n in range(23))


def test_the_audit_log_pages_newest_first(rest: Client, books: Books, history: str) -> None:
    found = [one for page in pages(rest, "/audit", "changes", limit=5) for one in page]
    assert [one["audit_id"] for one in found] == sorted((one["audit_id"] for one in found), reverse=True)
    assert len(found) == books.count("audit")
    actions = {one["action"] for one in found}
    one = actions.pop()
    assert {row["action"] for row in rest.get("/audit", action=one, limit=500).ok()["changes"]} == {one}


@pytest.mark.parametrize("limit", ["0", "501", "-1", "ten", "1e1"])
def test_pages_are_bounded(rest: Client, limit: str) -> None:
    assert rest.get("/operations", limit=limit).fields == {"limit"}


def test_a_cursor_of_another_question_is_refused(rest: Client, books: Books, history: str) -> None:
    cursor = rest.get("/operations", limit=5).ok()["cursor"]
    assert rest.get("/operations", limit=9, cursor=cursor).status == 200
    for path, query in (("/operations", {"store": MOSCOW}), ("/operations", {"kind": "receipt"}), ("/audit", {})):
        refused = rest.get(path, cursor=cursor, **query)
        assert (refused.status, refused.fields) == (422, {"cursor"}), path
    account = rest.query("/cards/identify", store=MOSCOW, refs=[{"scheme": "card", "value": history}]).ok()["account"]
    foreign = rest.get(f"/accounts/{account}/statement", cursor=cursor)
    assert (foreign.status, foreign.fields) == (422, {"cursor"})


@pytest.mark.parametrize("cursor", ["x", "AAAA", "====", base64.urlsafe_b64encode(b'["q",1]').decode(), "a" * 2_049])
def test_what_is_no_cursor_is_refused(rest: Client, cursor: str) -> None:
    refused = rest.get("/operations", cursor=cursor)
    assert (refused.status, refused.fields) == (422, {"cursor"})


def test_a_cursor_remembers_its_row() -> None:
    at = datetime(2026, 5, 4, 9, 0, 0, 123456, tzinfo=UTC)
    assert cursors.read(["q"], cursors.write(["q"], at, 17)) == (at, 17)
    assert cursors.read(["q"], "") is None


@pytest.mark.parametrize("position", [["", -1, 1], ["", 2**63, 1], ["", 1, 2**70], ["", 1, -1]])
def test_a_cursor_out_of_this_world_is_refused(position: list[Any]) -> None:
    position[0] = msgspec.json.decode(
        base64.urlsafe_b64decode(cursors.write(["q"], NOON, 1) + "=="), type=cursors.Position
    ).question
    forged = base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")
    with pytest.raises(Refused):
        cursors.read(["q"], forged)


# The exchange log -------------------------------------------------------------------------------------------------


@pytest.fixture
def logged(parts: Parts) -> None:
    """Seven messages of a till in Moscow, with a phone and a card number in everything."""
    log = ExchangeLog(parts.database.writer, parts.vault, ExchangeLogLimits())
    # What is older than the log keeps is thrown away.
    first = datetime.now(UTC) - timedelta(minutes=1)
    for n in range(7):
        body = f'<Card Number="{CARD}" Phone="{PHONE}" n="{n}"/>'.encode()
        reason = "" if n else f"Card@{CARD}: expected a card"
        request = pack_request("POST", f"/card/{CARD}", f"text/xml; x={PHONE}", body, reason)
        at = first + timedelta(seconds=n // 2)
        log.record("moscow", at, f"id-{n}", "card", "ok" if n else "failed", 200, 1_000, request, body)
    assert log.close(20)


def test_the_exchange_log_is_masked_whatever_the_scopes(rest: Client, logged: None) -> None:
    answer = rest.get("/links/moscow/exchange-log")
    messages = answer.ok()["messages"]
    assert len(messages) == 7
    assert {"head", "request", "answer", "outcome", "took_us"} <= set(messages[0])
    assert "***" in messages[0]["request"]
    for secret in (PHONE, PHONE[1:], CARD):
        assert secret not in answer.raw.decode()


def test_the_exchange_log_pages_newest_first(rest: Client, logged: None) -> None:
    found = [one for page in pages(rest, "/links/moscow/exchange-log", "messages", limit=2) for one in page]
    assert [one["request_id"] for one in found] == [f"id-{n}" for n in (6, 5, 4, 3, 2, 1, 0)]
    failed = rest.get("/links/moscow/exchange-log", outcome="failed").ok()["messages"]
    assert [one["request_id"] for one in failed] == ["id-0"]
    assert failed[0]["reason"].startswith("Card@***") and failed[0]["reason"].endswith(": expected a card")
    assert found[0]["reason"] == ""
    assert rest.get("/links/almaty/exchange-log").ok()["messages"] == []
    cursor = rest.get("/links/moscow/exchange-log", limit=2).ok()["cursor"]
    assert rest.get("/links/almaty/exchange-log", cursor=cursor).fields == {"cursor"}


# Chain --------------------------------------------------------------------------------------------------------------


def test_the_chain_is_told(rest: Client) -> None:
    assert {one["code"] for one in rest.get("/partners").ok()["partners"]} == {"alpha", "beta"}
    stores = {one["code"]: one for one in rest.get("/stores").ok()["stores"]}
    assert (stores[URAL]["partner"], stores[URAL]["zone"]) == ("alpha", "Asia/Yekaterinburg")
    units = {one["code"]: one["scale"] for one in rest.get("/units").ok()["units"]}
    assert units == {unit.code: unit.scale for unit in CHAIN.units}


def test_products_tell_their_numbers_and_what_they_are_sold_for(rest: Client) -> None:
    products = {one["code"]: one for one in rest.get("/products").ok()["products"]}
    assert len(products) == len(CHAIN.products)
    gift, pinned, fixed, plain = (products[code] for code in (GIFT, PINNED, CERTIFICATE, PLAIN))
    assert (gift["prefix"], gift["length"], gift["value_unit"], gift["pin"]) == ("99", 19, "RUB", False)
    assert (gift["amounts"], gift["least_amount"], gift["most_amount"]) == ([], "0.01", major(MAX_AMOUNT, 2))
    assert pinned["pin"] is True
    assert (fixed["amounts"], fixed["least_amount"], fixed["most_amount"]) == (["5.00", "10.00"], None, None)
    assert (plain["value_unit"], plain["amounts"], plain["least_amount"]) == ("", [], None)


@pytest.mark.parametrize(
    ("path", "query", "allowed"),
    [
        ("/operations", {"kind": "recepit"}, "receipt, return, void"),
        ("/links/moscow/exchange-log", {"outcome": "okay"}, "card_not_found"),
        ("/audit", {"action": "card_bloked"}, "card_blocked, card_closed"),
        ("/adjustments", {"store": MOSCOW, "state": "waiting"}, "pending, approved, rejected"),
    ],
)
def test_an_unknown_filter_is_told_what_there_is(rest: Client, path: str, query: dict[str, str], allowed: str) -> None:
    refused = rest.get(path, **query)
    (error,) = refused.body["errors"]
    assert (refused.status, {error["field"]}) == (422, query.keys() - {"store"})
    assert allowed in error["message"]


def test_every_kind_of_operation_may_be_asked_for() -> None:
    """Those that docs/books.md names."""
    page = (Path(__file__).parents[3] / "docs" / "books.md").read_text("utf-8")
    table = page.partition("## Which entries each operation makes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z_]+)`", table, re.MULTILINE)) == set(KINDS)


@pytest.mark.parametrize("at", ["2026-05-04T10:00:00", "2026-05-04T10:00:00 03:00", "yesterday"])
def test_an_instant_without_its_zone_is_told_what_is_expected(rest: Client, at: str) -> None:
    (error,) = rest.get("/accounts/1/balances", as_of=at).body["errors"]
    assert error["field"] == "as_of"
    assert "+03:00" in error["message"]
    assert "%2B" in error["message"]


# Receipts of a day, corrections that wait ------------------------------------------------------------------------


def test_the_receipts_of_a_day_are_listed(rest: Client) -> None:
    for n in range(5):
        receipt = {"number": str(n % 3), "till": "5", "business_date": "2026-05-04", "total": f"{n}.50"}
        rest.write("/receipts", f"sale-{n}", receipt=receipt).ok()
    rest.write("/receipts", receipt={"number": "0", "till": "5", "business_date": "2026-05-05"}).ok()
    rest.write("/receipts", receipt={"number": "0", "till": "5", "business_date": "2026-05-04"}, store=URAL).ok()
    day = {"store": MOSCOW, "business_date": "2026-05-04"}
    found = [one for page in pages(rest, "/receipts/list", "receipts", limit=2, **day) for one in page]
    assert [one["total"] for one in found] == ["4.50", "3.50", "2.50", "1.50", "0.50"]
    assert {(one["kind"], one["till"], one["business_date"]) for one in found} == {("receipt", "5", "2026-05-04")}
    zero = rest.get("/receipts/list", number="0", **day).ok()["receipts"]
    assert [one["total"] for one in zero] == ["3.50", "0.50"]
    told = rest.get(f"/operations/{zero[0]['operation_id']}").ok()
    assert (told["number"], told["till"], told["business_date"], told["total"]) == ("0", "5", "2026-05-04", "3.50")
    listed = rest.get("/operations", store=MOSCOW, limit=6).ok()["operations"]
    assert Counter(one["number"] for one in listed) == {"0": 3, "1": 2, "2": 1}
    assert rest.get("/receipts/list", store=MOSCOW).fields == {"business_date"}


def test_an_operation_without_a_receipt_tells_none(rest: Client, books: Books, history: str) -> None:
    listed = rest.get("/operations", limit=1).ok()["operations"][0]
    told = rest.get(f"/operations/{listed['operation_id']}").ok()
    for one in (listed, told):
        assert (one["number"], one["till"], one["business_date"], one["total"]) == ("", "", None, None)


def test_corrections_that_want_a_second_person_are_listed(
    rest: Client, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = books.core.work.directory.units
    monkeypatch.setitem(units, "BONUS", type(units["BONUS"])("BONUS", "points", 2, 1_000))
    card = books.card()
    for n in range(5):
        amount = {"unit": "BONUS", "amount": f"{20 + n}.00"}
        body = {"store": MOSCOW, "card": {"scheme": "card", "value": card}, "amount": amount, "reason": f"why {n}"}
        headers = {"Idempotency-Key": f"a{n}", "X-Operator": "masha"}
        assert rest.ask("POST", "/adjustments", body, **headers).ok()["outcome"] == "pending"
        if n % 2:
            books.clock.forward(minutes=1)  # type: ignore[union-attr]
    boris = {"X-Operator": "boris"}
    decided = []
    for key, approve in (("a4", True), ("a3", False)):
        body = {"store": MOSCOW, "adjustment": f"rest:{key}", "approve": approve}
        decided.append(rest.ask("POST", "/adjustments/decide", body, **boris, **{"Idempotency-Key": f"d-{key}"}).ok())
    done = decided[0]
    found = [one for page in pages(rest, "/adjustments", "adjustments", limit=2, store=MOSCOW) for one in page]
    assert [one["key"] for one in found] == ["rest:a4", "rest:a3", "rest:a2", "rest:a1", "rest:a0"]
    assert [one["state"] for one in found] == ["approved", "rejected", "pending", "pending", "pending"]
    assert [one["operation_id"] for one in found] == [done["booked_id"], 0, 0, 0, 0]
    assert (found[0]["decided_by"], found[2]["decided_by"], found[2]["decided_at"]) == ("shop/boris", "", None)
    one = rest.get("/adjustments", store=MOSCOW, state="pending", limit=1).ok()["adjustments"][0]
    assert (one["card"], one["unit"], one["amount"]) == (f"***{card[-4:]}", "BONUS", "22.00")
    assert (one["reason"], one["asked_by"]) == ("why 2", "shop/masha")
    assert rest.get("/adjustments", store=URAL).ok() == {"adjustments": [], "cursor": ""}


@pytest.mark.parametrize("name", ["a\0b", "x" * 256])
def test_a_cursor_with_a_name_that_no_key_has_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        cursors.read_named(["q"], cursors.write(["q"], NOON, 0, name))
    assert cursors.read_named(["q"], cursors.write(["q"], NOON, 0, "rest:a")) == (NOON, "rest:a")


def test_balances_are_told_as_of_any_instant(rest: Client, books: Books) -> None:
    card = books.card()
    account = rest.query("/cards/identify", store=MOSCOW, refs=[{"scheme": "card", "value": card}]).ok()["account"]
    books.clock.forward(days=1)  # type: ignore[union-attr]
    books.done(adjust("one", card, 500))
    then = rest.get(f"/accounts/{account}/balances", as_of="2026-05-04T18:00:00Z").ok()["balances"]
    now = rest.get(f"/accounts/{account}/balances").ok()["balances"]
    assert [one["balance"] for one in then if one["unit"] == "BONUS"] == ["0.00"]
    assert [one["balance"] for one in now if one["unit"] == "BONUS"] == ["5.00"]
    lots = rest.get(f"/accounts/{account}/lots").ok()["lots"]
    assert [(one["remaining"], one["expires_at"], one["issuer"]) for one in lots] == [("5.00", None, "alpha")]
    assert rest.get("/accounts/999999/balances").code == "card_not_found"
