"""The document says what REST does: every command with its fields, every answer, and examples that work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from flask import Flask
from marshmallow import Schema

from gateway.api import SECTIONS, codes
from gateway.api import fields as f
from gateway.api.section import DOORS, QueryBody
from processing import commands, results
from processing.commands import AnyCommand, AnyQuery
from processing.results import AnyRead, AnyStoredResult
from tests.gateway.api.client import Client
from tests.gateway.api.test_rights import operations
from tests.processing.books import CHAIN, Books

# Nothing here depends on the database (conftest.py).
ON_SQLITE_ONLY = True

ALL_DOORS = {**DOORS, "SendCode": codes.DOOR}
# What the gateway sets, and what REST leaves to tills that send no key.
SET_BY_US = {"content", "actor", "likeness", "window_seconds"}
NOT_AT_REST = {
    "PlaceHold": {"others"},
    "ReleaseHold": {"card", "others", "unit", "owner"},
    "Redeem": {"owner", "others"},
    "Accrue": {"owner", "others"},
    "SellGiftCard": {"owner", "others", "top_up"},
    "IssueCard": {"unless"},
    # Codes of REST go to holders.
    "SendCode": {"code", "phone"},
    # As the client's scopes say.
    "VoidReceipt": {"receipts_only"},
}
# In the books' own words; REST shows the receipt in its place.
# What only tills ask for: how much of a receipt points may pay, what a wallet has bought.
# `paid` is told as `fiscal`, in the way that the chain has chosen.
NOT_TOLD = {"replayed", "base_id", "document", "scale", "paid", "payable_hundredths", "turnover_minor"}


def schemas_of(base: type[Schema]) -> Iterator[type[Schema]]:
    for one in base.__subclasses__():
        yield one
        yield from schemas_of(one)


def told_fields(name: str) -> set[str]:
    (schema,) = [one for one in schemas_of(f.Told) if one.__name__ == f"{name}Schema"]
    return {field.attribute or name for name, field in schema().fields.items()}


@pytest.mark.parametrize("command", get_args(AnyCommand), ids=lambda c: c.__name__)
def test_every_command_is_taken_with_all_its_fields(command: type[msgspec.Struct]) -> None:
    body = ALL_DOORS[command.__name__].body
    taken = {field.attribute or name for name, field in body.fields.items()}
    assert taken == set(command.__struct_fields__) - SET_BY_US - NOT_AT_REST.get(command.__name__, set())


@pytest.mark.parametrize("query", get_args(AnyQuery), ids=lambda q: q.__name__)
def test_every_query_may_be_asked(query: type[msgspec.Struct]) -> None:
    bodies = {one.makes for one in schemas_of(QueryBody) if hasattr(one, "makes")}
    asked_by_address = {
        commands.ReadBalances,
        commands.ReadLots,
        commands.ReadStatement,
        commands.ReadOperation,
        commands.ExplainOperation,
        commands.ReadReceipt,
        commands.ReadHold,
        commands.ReadHolder,
        commands.NameWallet,
        commands.ReadChain,
        commands.ReadTransactions,
        commands.ReadTurnover,
    }
    # What pushes ask, with full numbers of cards, and what an adapter tells its own client, with its secret.
    inner = {commands.ReadWallets, commands.ReadLastPurchase, commands.ReadSubscription}
    assert query in bodies | asked_by_address | inner


@pytest.mark.parametrize(
    "struct",
    [
        commands.Ref,
        commands.Amount,
        commands.Line,
        commands.Tender,
        commands.CardUse,
        commands.Receipt,
        commands.ReturnLine,
    ],
    ids=lambda s: s.__name__,
)
def test_every_part_of_a_command_has_all_its_fields(struct: type[msgspec.Struct]) -> None:
    from gateway.api.section import Made

    (schema,) = [one for one in schemas_of(Made) if getattr(one, "makes", None) is struct]
    assert {field.attribute or name for name, field in schema().fields.items()} == set(struct.__struct_fields__)


def structs() -> list[type[msgspec.Struct]]:
    parts = (results.Balance, results.CardMovement, results.FoundCard, results.LotTold, results.StatementLine)
    inner = (results.WalletsTold, results.LastPurchase, results.SubscriptionTold)
    asked = [each for each in get_args(AnyRead) if each not in inner]
    return [*get_args(AnyStoredResult), *asked, *parts, results.Consent]


@pytest.mark.parametrize("struct", structs(), ids=lambda s: s.__name__)
def test_every_answer_tells_all_that_the_core_says(struct: type[msgspec.Struct]) -> None:
    told = told_fields(struct.__name__)
    missing = set(struct.__struct_fields__) - told
    assert missing <= NOT_TOLD, missing


@pytest.mark.parametrize("name", sorted(ALL_DOORS))
def test_every_example_is_a_body(name: str, books: Books) -> None:
    f.READER.set(f.Reader(books.core.work.directory))
    door = ALL_DOORS[name]
    command = door.body.load(json.loads(json.dumps(door.body.example)))
    assert type(command).__name__ == name
    assert msgspec.json.encode(command)


# The document -------------------------------------------------------------------------------------------------------


@pytest.fixture
def openapi(made: Flask) -> dict[str, Any]:
    told: dict[str, Any] = made.test_client().get("/api/openapi.json").json
    return told


def test_it_is_openapi_3_1_and_every_reference_leads_somewhere(openapi: dict[str, Any]) -> None:
    assert openapi["openapi"] == "3.1.0"
    references = set(re.findall(r'"\$ref":\s*"#/([^"]+)"', json.dumps(openapi)))
    assert len(references) > 100
    for reference in references:
        found: Any = openapi
        for step in reference.split("/"):
            found = found[step]
        assert found


def test_every_path_of_the_application_is_told(made: Flask, openapi: dict[str, Any]) -> None:
    rules = [rule for rule in made.url_map.iter_rules() if rule.rule.startswith("/api/v1/")]
    served = {
        (method, re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule))
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    told = {(method, path) for method, path, _ in operations(made.test_client())}
    assert served == told
    assert len({operation["operationId"] for _, _, operation in operations(made.test_client())}) == len(told)


def test_every_path_tells_scope_problems_and_limits(made: Flask) -> None:
    for method, path, told in operations(made.test_client()):
        assert told["summary"] and told["description"], path
        assert told["security"][0].keys() == {"bearer"}
        assert {"400", "401", "403", "404", "409", "413", "422", "429", "500", "503"} <= told["responses"].keys()
        success = next(response for status, response in told["responses"].items() if status.startswith("2"))
        assert "RateLimit-Remaining" in success["headers"]
        assert success["content"]["application/json"]["schema"]
        if method in ("POST", "PATCH"):
            assert told["requestBody"]["content"]["application/json"]["example"], path


def test_every_write_takes_an_idempotency_key(made: Flask) -> None:
    keyed = {
        path
        for _, path, told in operations(made.test_client())
        if {"$ref": "#/components/parameters/Idempotency-Key"} in told.get("parameters", [])
    }
    # Two commands on /holders, by method; a refund is a PayOut with a path of its own.
    assert len(keyed) == len(ALL_DOORS) - 1 + 1


def test_no_card_and_no_phone_stands_in_an_address(made: Flask) -> None:
    for method, path, told in operations(made.test_client()):
        names = {one["name"] for one in told.get("parameters", []) if "name" in one and one["in"] in ("query", "path")}
        # Of a receipt.
        names -= {"number"} if path.endswith("/receipts/list") else set()
        assert not names & {"card", "number", "phone", "email", "text", "value", "refs"}, (method, path)


def test_bodies_refuse_and_answers_allow_more_fields(openapi: dict[str, Any]) -> None:
    schemas = openapi["components"]["schemas"]
    assert schemas["PostReceipt"]["additionalProperties"] is False
    assert schemas["Line"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["ReceiptPosted"]


def test_money_has_no_floats(openapi: dict[str, Any]) -> None:
    total = openapi["components"]["schemas"]["Receipt"]["properties"]["total"]
    assert total["type"] == ["string", "number"]
    told = openapi["components"]["schemas"]["CardMovement"]["properties"]["balance"]
    assert told["type"] == "string"


# The page -----------------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_from_elsewhere(made: Flask) -> None:
    http = made.test_client()
    page = http.get("/api/docs")
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert "//" not in page.text.replace("<!doctype", "")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"].partition("script-src")[2].partition(";")[0]
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) == 4
    for asset in assets:
        assert http.get(f"/api/{asset}").status_code == 200, asset
    assert '"openapi.json"' in http.get("/api/docs/start.js").text
    for name in ("index.html", "../__init__.py", "..%2f__init__.py", "swagger-ui.js"):
        assert http.get(f"/api/docs/{name}").status_code == 404


def test_page_and_document_are_open_and_tell_no_secret(made: Flask, rest: Client) -> None:
    said = made.test_client().get("/api/openapi.json").text
    assert rest.api_key not in said
    assert [unit.code for unit in CHAIN.units if f'"{unit.code}"' in said] <= ["RUB", "BONUS"]


def test_every_section_is_described() -> None:
    assert all(section.description for section in SECTIONS)
