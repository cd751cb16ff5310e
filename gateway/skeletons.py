"""What ``tillgate adapter new`` writes: an adapter that keeps the contract before a line of it is changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

YAML = """\
# {name}: copy a recorded message into {name}/, write a rule for it, then: tillgate adapter test {name}.yaml
adapter: {name}
title: {name}
grade: bronze
why: begun today
auth: {{scheme: secret_path}}
private: [card, holder]

rules:
  - {{name: ping, path: ping, method: GET, answer: {{ok: true}}}}

  - name: card
    path: card
    ask: Identify
    fields:
      refs: [{{scheme: card, value: {{at: card}}}}]
    answer:
      card: {{of: number}}
      holder: {{of: holder_name}}
      points: {{of: balances.0.available, as: rouble_text, default: "0.00"}}

  - name: sale
    path: sale
    ask: PostReceipt
    fields:
      keys: [{{join: [{name}, {{at: till}}, {{at: day}}, {{at: number}}]}}]   # the same in every attempt, never again
      receipt:
        number: {{at: number}}
        till: {{at: till}}
        business_date: {{at: day, as: day}}
        total_minor: {{at: total, as: roubles}}
      cards: [{{refs: [{{scheme: card, value: {{at: card}}}}]}}]
    answer: {{operation: {{of: operation_id}}}}

refusals:
  body: {{error: {{code: {{error: code}}, text: {{error: text}}}}}}
"""

PYTHON = '''\
"""{name}: bytes in, asks out; results in, bytes out. See docs/writing-an-adapter.md of tillgate."""

from __future__ import annotations

import json

from marshmallow import Schema

from adapters.contract import Adapter, Asking, Auth, Link, Route, WireRequest, WireResponse, one
from adapters.json_parsing import parse_json
from adapters.parsing import bad, day
from adapters.texts import text
from processing.commands import CardUse, Identify, PostReceipt, Receipt, Ref
from processing.errors import CardNotFound, LoyaltyError
from processing.units import major

IN_PATH = Auth("secret_path")


def card(request: WireRequest, link: Link) -> Asking[WireResponse]:
    number = parse_json(request.body).get("card").text()
    if not number:
        raise CardNotFound("no card was told")
    found = yield from one(Identify(store=link.store, refs=(Ref("card", number),)))
    points = next((major(each.available, each.scale) for each in found.balances), "0.00")
    return say({{"card": found.number, "holder": found.holder_name, "points": points}})


def sale(request: WireRequest, link: Link) -> Asking[WireResponse]:
    told = parse_json(request.body)
    number, till = told.get("number").text(), told.get("till").text()
    if not number or not till:
        raise bad("number", number, "till and number of the receipt")
    on = day(told.get("day").text(), "day")
    number_of_card = told.get("card").text()
    done = yield from one(
        PostReceipt(
            store=link.store,
            keys=(f"{name}:{{till}}:{{on}}:{{number}}",),
            receipt=Receipt(number=number, till=till, business_date=on, total_minor=told.get("total").minor()),
            cards=(CardUse(refs=(Ref("card", number_of_card),)),) if number_of_card else (),
        )
    )
    return say({{"operation": done.operation_id}})


def say(told: object, refused: str = "") -> WireResponse:
    body = json.dumps(told).encode()
    return WireResponse(body, "application/json; charset=utf-8", refused=refused)


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    return say({{"error": {{"code": error.code, "text": text(error, "ru")}}}}, error.code)


ADAPTER = Adapter(
    name="{name}",
    title="{name}",
    options=Schema,
    refuse=refuse,
    routes=(Route(r"card/?", card, IN_PATH), Route(r"sale/?", sale, IN_PATH)),
    private=frozenset({{"card", "holder"}}),
    volatile=frozenset({{"operation"}}),
)
'''
PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "tillgate-{name}"
version = "0.1.0"
dependencies = ["tillgate"]

[project.entry-points."tillgate.adapters"]
{name} = "tillgate_{name}:ADAPTER"

[tool.setuptools]
py-modules = ["tillgate_{name}"]
"""
TEST = '''\
"""The adapter contract: python -m pytest."""

from pathlib import Path

from adapters.testing.suite import ContractSuite
from tillgate_{name} import ADAPTER


class TestContract(ContractSuite):
    adapter, folder = ADAPTER, Path(__file__).parent / "samples"
'''

CARD = {"card": "5550001234"}
SALE = {"till": "3", "number": "17", "day": "2026-05-04", "total": "522.50", "card": "5550001234"}
IDENTIFIED = {
    "type": "Identified",
    "number": "5550001234",
    "account": 1,
    "holder_id": 1,
    "holder_name": "Анна Смирнова",
    "status": "active",
    "usable": "",
    "product": "guest",
    "balances": [{"unit": "BONUS", "scale": 2, "balance": 45050, "available": 45050}],
    "payable": [["BONUS", 15675]],
    "discount": "",
    "bonus": "",
}
POSTED = {"type": "ReceiptPosted", "operation_id": 7, "at": "2026-05-04T16:52:31+00:00"}
UNKNOWN = {"refused": "card_not_found", "details": {}}
MESSAGES: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "card": ("card", CARD, IDENTIFIED),
    "card_unknown": ("card", {"card": "5550009999"}, UNKNOWN),
    "sale": ("sale", SALE, POSTED),
}


def write_yaml(folder: Path, name: str) -> list[Path]:
    """A document and its samples beside it; the files. Errors: FileExistsError."""
    document = folder / f"{name}.yaml"
    return [_new(document, YAML.format(name=name)), *_samples(folder / name, ping=True)]


def write_python(folder: Path, name: str) -> list[Path]:
    """A package of its own with a test and samples; the files. Errors: FileExistsError."""
    own = folder / f"tillgate-{name}"
    own.mkdir(parents=True, exist_ok=True)
    texts = {f"tillgate_{name}.py": PYTHON, "pyproject.toml": PYPROJECT, "test_contract.py": TEST}
    return [*(_new(own / file, text.format(name=name)) for file, text in texts.items()), *_samples(own / "samples")]


def _samples(folder: Path, ping: bool = False) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    cases: dict[str, Any] = {case: {"path": path, "origin": "the skeleton"} for case, (path, _, _) in MESSAGES.items()}
    files = []
    for case, (_, body, result) in MESSAGES.items():
        files.append(_new(folder / f"{case}.request.json", _json(body)))
        files.append(_new(folder / f"{case}.results.json", _json([result])))
    if ping:
        cases["ping"] = {"path": "ping", "method": "GET", "origin": "the skeleton"}
        files.append(_new(folder / "ping.request.txt", ""))
    link = {"code": "link-under-test", "store": "bistro", "zone": "Europe/Moscow", "options": {}}
    index = {
        "link": link,
        "at": "2026-05-04T16:52:31+00:00",
        "noise": [],
        "signal": ["total"],
        "secrets": ["5550001234"],
        "cases": cases,
    }
    return [*files, _new(folder / "cases.json", _json(index))]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _new(file: Path, text: str) -> Path:
    with file.open("x", encoding="utf-8") as opened:
        opened.write(text)
    return file
