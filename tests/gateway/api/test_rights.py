"""Who may do what: keys, scopes, stores, and whose personal data is seen."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from gateway.api import clients
from gateway.api.section import DOORS
from gateway.auth import CACHE_SECONDS, MAX_CACHED, SCOPES, ApiClient, ApiClients, key_digest, new_api_key
from processing.errors import BadCredentials, ConfigError
from tests.gateway.api.client import Client
from tests.gateway.api.conftest import NewClient
from tests.processing.books import ALMATY, MOSCOW, URAL, Books

# Keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"X-Api-Key": "wrong"},
        {"X-Api-Key": "\xe9\xff"},
    ],
)
def test_a_caller_without_a_known_key_is_nobody(rest: Client, headers: dict[str, str]) -> None:
    answer = rest.http.get("/api/v1/stores", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (401, "bad_credentials")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("headers", [{"Authorization": "bearer {}"}, {"X-Api-Key": "{}"}])
def test_a_key_comes_in_either_header(rest: Client, headers: dict[str, str]) -> None:
    told = {name: value.format(rest.api_key) for name, value in headers.items()}
    assert rest.http.get("/api/v1/stores", headers=told).status_code == 200


def test_the_demos_key_is_known(made: Flask, books: Books) -> None:
    """The demo keeps its client by itself (gateway/demo/chain.py)."""
    from gateway.demo.chain import _register_client

    _register_client(books.database, "tg_of_the_demo")
    assert Client(made.test_client(), "tg_of_the_demo", MOSCOW).get("/stores").status == 200


def test_a_revoked_key_is_refused_once_it_is_forgotten(made: Flask, new_client: NewClient, books: Books) -> None:
    one = new_client(name="one")
    assert one.get("/stores").status == 200
    clients.revoke(books.database, "test", "one")
    made.extensions["tillgate-rest"].clients._cache.clear()
    assert one.get("/stores").status == 401


def test_only_the_digest_of_a_key_is_kept(rest: Client, books: Books) -> None:
    (row,) = books.rows("SELECT * FROM api_client WHERE name = 'shop'")
    assert rest.api_key not in repr(row)
    assert bytes(row[2]) == key_digest(rest.api_key)
    assert len(rest.api_key) >= 40


def test_keys_differ() -> None:
    assert len({new_api_key() for _ in range(100)}) == 100


def test_a_client_is_remembered_for_seconds_and_then_looked_up_again() -> None:
    now, asked = [0.0], []
    someone = ApiClient("one", frozenset("*"), None, None)

    def find(digest: bytes) -> ApiClient | None:
        asked.append(digest)
        return someone if len(asked) < 3 else None

    known = ApiClients(find, lambda: now[0])
    assert [known.by_key("k"), known.by_key("k")] == [someone, someone]
    assert len(asked) == 1
    now[0] = CACHE_SECONDS + 0.1
    known.by_key("k")
    now[0] *= 2
    with pytest.raises(BadCredentials):
        known.by_key("k")
    assert len(asked) == 3


def test_the_clients_that_are_remembered_have_a_bound() -> None:
    known = ApiClients(lambda digest: ApiClient("one", frozenset("*"), None, None))
    for n in range(MAX_CACHED + 10):
        known.by_key(str(n))
    assert len(known._cache) == MAX_CACHED


def test_clients_and_their_end_are_audited(books: Books) -> None:
    clients.add(books.database, "boss", "one", ["cards:read"], [MOSCOW], 60)
    clients.revoke(books.database, "boss", "one")
    rows = books.rows("SELECT actor, action, target FROM audit ORDER BY id")
    assert [tuple(row) for row in rows] == [("boss", "client_added", "one"), ("boss", "client_revoked", "one")]


@pytest.mark.parametrize(
    ("scopes", "stores", "name"), [(["cards:raed"], [], "b"), (["*"], ["nowhere"], "b"), (["*"], [], "taken")]
)
def test_a_client_that_makes_no_sense_is_refused(books: Books, scopes: list[str], stores: list[str], name: str) -> None:
    clients.add(books.database, "boss", "taken", ["*"], [], None)
    with pytest.raises(ConfigError):
        clients.add(books.database, "boss", name, scopes, stores, None)
    with pytest.raises(ConfigError):
        clients.revoke(books.database, "boss", "nobody")
    assert len(clients.everybody(books.database)) == 1


# Scopes -----------------------------------------------------------------------------------------------------------


def operations(http: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """(method, path, operation) of everything in the document."""
    paths = http.get("/api/openapi.json").json["paths"]
    return [
        (m.upper(), path, told) for path, methods in paths.items() for m, told in methods.items() if "responses" in told
    ]


# Who may ask for corrections sees them as well as who decides on them.
EITHER_SCOPE = ("GET", "/api/v1/adjustments")


@pytest.mark.parametrize("scope", ["adjust:write", "adjust:approve"])
def test_corrections_are_seen_by_who_asks_and_who_decides(new_client: NewClient, scope: str) -> None:
    assert new_client(scope).get("/adjustments", store=MOSCOW).status == 200
    others = new_client(*(SCOPES.keys() - {"adjust:write", "adjust:approve"}))
    refused = others.get("/adjustments", store=MOSCOW)
    assert (refused.status, refused.code) == (403, "forbidden")
    assert new_client(scope, stores=[ALMATY]).get("/adjustments", store=MOSCOW).code == "forbidden"


def test_every_path_wants_its_scope(made: Flask, new_client: NewClient) -> None:
    """A client with all scopes but the one that a path tells is refused there, before its body is looked at."""
    found = operations(made.test_client())
    assert len(found) > 45
    by_scope = {scope: new_client(*(SCOPES.keys() - {scope}), rate=100_000) for scope in SCOPES}
    for method, path, told in found:
        if path == "/api/v1/batch" or (method, path) == EITHER_SCOPE:
            continue
        scope = told["x-scope"]
        bare = re.sub(r"\{[^}]+\}", "1", path).removeprefix("/api/v1")
        refused = by_scope[scope].ask(method, bare, {} if method != "GET" else None)
        assert (refused.status, refused.code, refused.body["details"]) == (403, "forbidden", {"scope": scope}), path


def test_every_scope_is_used() -> None:
    from gateway.api import SECTIONS

    assert {door.scope for door in DOORS.values()} < set(SCOPES)
    used = {"personal:read"} | {
        doc["manual_doc"]["x-scope"] for s in SECTIONS for one in s._docs.values() for doc in one.values() if doc
    }
    assert used - {""} == set(SCOPES)


def test_a_scope_is_enough(new_client: NewClient, books: Books) -> None:
    card = {"scheme": "card", "value": books.card()}
    reader = new_client("cards:read")
    assert reader.query("/cards/identify", store=MOSCOW, refs=[card]).status == 200
    assert reader.write("/cards/block", card=card, reason="x").code == "forbidden"


def test_who_tells_of_receipts_posts_none_and_who_posts_tells_of_none(new_client: NewClient, books: Books) -> None:
    """Alone and in a batch, where both have the same key."""
    receipt = {"number": "1", "till": "5", "business_date": "2026-05-04", "total": "100"}
    told = {"document": "d-1", "unit": "BONUS", "at": "2026-05-04T08:00:00Z", "earned": "1"}
    asked = {
        "receipts:write": ("/receipts", "PostReceipt", {"receipt": receipt}),
        "receipts:learn": ("/receipts/learn", "LearnReceipt", told),
    }
    for scope in asked:
        client = new_client(scope)
        for wanted, (path, command, body) in asked.items():
            alone = client.write(path, wanted, **body)
            item = {"command": command, "idempotency_key": wanted, "body": {"store": MOSCOW, **body}}
            (inside,) = client.ask("POST", "/batch", {"commands": [item]}).ok()["outcomes"]
            assert (alone.status == 403, inside["status"] == 403) == (wanted != scope, wanted != scope)
            assert wanted == scope or alone.body["details"] == {"scope": wanted}
    assert (books.count("receipt"), books.count("learned_receipt")) == (1, 1)


# Stores -----------------------------------------------------------------------------------------------------------


def test_a_client_speaks_for_its_stores_only(new_client: NewClient, books: Books) -> None:
    card = {"scheme": "card", "value": books.card()}
    one = new_client(stores=[MOSCOW, ALMATY])
    amount = {"unit": "RUB", "amount": "1"}
    assert one.write("/top-ups", card=card, amount=amount).status == 201
    assert one.write("/top-ups", card=card, amount=amount, store=ALMATY).status == 201
    refused = one.write("/top-ups", card=card, amount=amount, store=URAL)
    assert (refused.status, refused.code, refused.body["details"]) == (403, "forbidden", {"store": URAL})
    assert one.query("/cards/identify", store=URAL, refs=[card]).code == "forbidden"
    assert one.query("/cards/find", store=URAL, text="1").code == "forbidden"
    assert one.get("/operations", store=URAL).code == "forbidden"


def test_holds_and_receipts_of_another_store_are_out_of_reach(new_client: NewClient, books: Books) -> None:
    card = {"scheme": "card", "value": books.card(10_000)}
    everywhere, moscow = new_client(), new_client(stores=[MOSCOW])
    receipt = {"number": "1", "till": "5", "business_date": "2026-05-04", "total": "10"}
    everywhere.write("/holds", "hold", card=card, unit="BONUS", amount="10", store=URAL).ok()
    everywhere.write("/receipts", "sale", receipt=receipt, store=URAL).ok()
    assert moscow.get("/holds", store=URAL, key="rest:hold").code == "forbidden"
    assert moscow.get("/receipts", store=URAL, key="rest:sale").code == "forbidden"
    assert moscow.write("/holds/capture", hold="rest:hold", store=URAL).code == "forbidden"
    assert moscow.write("/holds/capture", hold="rest:hold", amount="5").code == "hold_not_found"
    assert moscow.write("/holds/release", hold="rest:hold").ok()["outcome"] == "orphan"
    back = {"receipt": receipt, "sale": "rest:sale", "sale_store": URAL}
    assert moscow.write("/receipts/return", **back).code == "forbidden"
    assert moscow.write("/exchanges", returned=back, sold={"receipt": receipt}).code == "forbidden"
    assert everywhere.get("/holds", store=URAL, key="rest:hold").ok()["state"] == "open"


def test_operations_of_other_stores_are_not_listed(new_client: NewClient, books: Books) -> None:
    books.card(10_000)
    books.card(10_000, store=URAL, keys=("ural",))
    done = new_client().write(
        "/top-ups", card={"scheme": "card", "value": books.card()}, amount={"unit": "RUB", "amount": "1"}, store=URAL
    )
    moscow = new_client(stores=[MOSCOW])
    assert {one["store"] for one in moscow.get("/operations").ok()["operations"]} == {MOSCOW}
    assert moscow.get(f"/operations/{done.ok()['operation_id']}").code == "forbidden"
    assert {one["store"] for one in moscow.get("/audit").ok()["changes"]} <= {MOSCOW}


def test_links_and_stores_of_others_are_not_told(new_client: NewClient) -> None:
    moscow = new_client(stores=[MOSCOW])
    assert [one["code"] for one in moscow.get("/links").ok()["links"]] == ["moscow"]
    assert [one["code"] for one in moscow.get("/stores").ok()["stores"]] == [MOSCOW]
    assert moscow.get("/links/almaty/exchange-log").code == "forbidden"
    assert moscow.get("/links/nobody/exchange-log").code == "no_such_route"


def test_links_are_told_without_secrets_and_addresses(new_client: NewClient) -> None:
    told = new_client("chain:read").get("/links")
    assert [set(one) for one in told.ok()["links"]] == [{"code", "adapter", "store", "enabled"}] * 2
    for secret in ("secret", "sss", "10.20", "address"):
        assert secret not in told.raw.decode()


# Personal data ------------------------------------------------------------------------------------------------------


def test_personal_data_is_masked_without_the_scope(rest: Client, new_client: NewClient, books: Books) -> None:
    card = {"scheme": "card", "value": books.card()}
    person = {"name": "Anna Smirnova", "phone": "+79210000001", "email": "anna@example.org", "birthday": "1990-05-04"}
    holder = rest.write("/holders", card=card, **person).ok()["holder_id"]
    poor = new_client("cards:read", "holders:read")
    answers = [
        poor.query("/cards/identify", store=MOSCOW, refs=[card]),
        poor.query("/cards/find", store=MOSCOW, text="smirnova"),
        poor.get(f"/holders/{holder}"),
    ]
    for answer in answers:
        answer.ok()
        for secret in ("Anna", "Smirnova", "+7921000", "anna@", "1990"):
            assert secret not in answer.raw.decode(), secret
    told = answers[2].body
    assert (told["name"], told["phone"], told["email"], told["birthday"]) == ("***", "***0001", "***", None)
    clear = rest.get(f"/holders/{holder}").ok()
    assert {name: clear[name] for name in person} == person


def test_a_holder_without_contacts_is_told_so(rest: Client, new_client: NewClient, books: Books) -> None:
    holder = rest.write("/holders", card={"scheme": "card", "value": books.card()}, name="Anna").ok()["holder_id"]
    told = new_client("holders:read").get(f"/holders/{holder}").ok()
    assert (told["name"], told["phone"], told["email"]) == ("***", "", "")


# Limits ---------------------------------------------------------------------------------------------------------------


def test_a_client_that_asks_too_often_waits(new_client: NewClient) -> None:
    eager, other = new_client(rate=3), new_client()
    answers = [eager.get("/units") for _ in range(4)]
    assert [one.status for one in answers] == [200, 200, 200, 429]
    assert [one.headers["RateLimit-Remaining"] for one in answers] == ["2", "1", "0", "0"]
    assert {one.headers["RateLimit-Limit"] for one in answers} == {"3"}
    assert answers[3].code == "rate_limited"
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 20
    assert other.get("/units").headers["RateLimit-Limit"] == "600"


def test_every_answer_to_a_client_tells_its_limits(rest: Client) -> None:
    answers = [rest.get("/units"), rest.get("/operations", limit="0"), rest.get("/holders/1"), rest.write("/top-ups")]
    assert [one.status for one in answers] == [200, 422, 404, 422]
    assert all("RateLimit-Reset" in one.headers for one in answers)
