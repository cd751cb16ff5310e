"""``tillgate frontol load``: what is wrong is told before anything is queued; nothing is accrued twice by mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from gateway import cli_frontol, load_records
from gateway.cli import main
from processing.errors import ConfigError
from tests.processing.books import Books

CARD = {"command": "ADDCCARDDISCS", "code": 1, "kind": 7, "number": "7700000000123", "active": True}
ACCRUAL = {"command": "ADDCOUNTERVALUES", "counter": 1, "amount": "10.50", "binding": 3, "object": "7700000000123"}

LINK = """
link: till
adapter: frontol
store: alpha-1
far_side: {address: "file:///var/spool/till"}
options:
  loads:
    card_kinds: {plain: 7}
    counters: [{unit: BONUS, kind: 3}]
"""
CHAIN = """
chain: {code: north, name: North}
units: {RUB: {kind: money, scale: 2}, BONUS: {kind: points, scale: 2}}
partners: [{code: alpha, name: Alpha}]
stores: [{code: alpha-1, name: Moscow, partner: alpha, zone: Europe/Moscow}]
products: [{code: plain, name: Plain, kind: bearer, prefix: "777", length: 16, programme: plain}]
"""
PROGRAMME = """
programme: plain
unit: BONUS
cashback_percent: 5
payable_percent: 100
"""


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    for name, text in (("chain", CHAIN), ("links/till", LINK), ("programmes/plain", PROGRAMME)):
        path = tmp_path / "configs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path / "configs"


@pytest.fixture
def run(books: Books, configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """``tillgate frontol load till``; its output, or the error that ends it."""
    monkeypatch.setattr(cli_frontol, "existing", lambda url: books.database)

    def call(*arguments: str, records: list[dict[str, Any]] | str | None = None) -> str:
        if records is not None:
            path = tmp_path / "records.jsonl"
            lines = records if isinstance(records, str) else "\n".join(map(json.dumps, records))
            path.write_text(lines, "utf-8")
            arguments = (str(path), *arguments)
        result = CliRunner().invoke(main, ["frontol", "load", "till", *arguments, "--config", str(configs)])
        if result.exception is not None:
            assert isinstance(result.exception, ConfigError | SystemExit), result.exception
            return f"error: {result.exception} {result.output}"
        return result.output

    return call


def queued(books: Books) -> list[dict[str, Any]]:
    found = books.rows("SELECT body FROM outbox_message WHERE link = 'till' AND kind = 'load' ORDER BY id")
    return [row[0] if isinstance(row[0], dict) else msgspec.json.decode(row[0]) for row in found]


def test_records_are_queued_in_their_order(books: Books, run) -> None:  # type: ignore[no-untyped-def]
    cards = [CARD | {"code": n} for n in range(250)]
    assert run(records=[*cards, ACCRUAL, CARD]) == "252 records queued for till, in 4 messages\n"
    told = queued(books)
    assert [(body["command"], len(body["records"])) for body in told] == [
        ("ADDCCARDDISCS", 200),
        ("ADDCCARDDISCS", 50),
        ("ADDCOUNTERVALUES", 1),
        ("ADDCCARDDISCS", 1),
    ]
    assert [record["code"] for body in told[:2] for record in body["records"]] == list(range(250))
    assert books.rows("SELECT target FROM audit WHERE action = 'load_queued'") == [("till",)]


def test_a_yaml_file_says_the_same(books: Books, run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "records.yaml"
    path.write_text(
        '- {command: ADDCOUNTERVALUES, counter: 1, amount: 10.50, binding: 3, object: "7700000000123"}\n', "utf-8"
    )
    assert "1 records queued" in run(str(path))
    assert queued(books)[0]["records"] == [{name: value for name, value in ACCRUAL.items() if name != "command"}]


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([CARD, CARD | {"number": ""}], "record 2: ADDCCARDDISCS, field number: missing"),
        ([{"command": "DELETEALLWARES"}], "record 1: DELETEALLWARES: not a command that is written here"),
        ([{"code": 1}], "record 1: expected a mapping with command:"),
        ('{"command": "ADDCCARDDISCS"', "line 1: "),
        ([CARD | {"code": -n} for n in range(1, 26)], "5 more"),
    ],
)
def test_what_cannot_be_written_is_told_and_nothing_is_queued(  # type: ignore[no-untyped-def]
    books: Books, run, records: Any, words: str
) -> None:
    assert words in run(records=records)
    assert queued(books) == [] and books.count("audit") == 0


def test_accruals_of_one_file_are_queued_once(books: Books, run) -> None:  # type: ignore[no-untyped-def]
    assert "1 records queued" in run(records=[ACCRUAL])
    assert "was queued for till before, and 1 of its records would count twice" in run(records=[ACCRUAL])
    assert len(queued(books)) == 1
    assert "1 records queued" in run("--again", records=[ACCRUAL])
    assert "1 records queued" in run(records=[CARD]) and "1 records queued" in run(records=[CARD])
    assert len(queued(books)) == 4


def test_everything_is_queued_by_number_in_bites(  # type: ignore[no-untyped-def]
    books: Books, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_frontol, "BITE", 5)
    monkeypatch.setattr(load_records, "WALLETS_IN_MESSAGE", 2)
    numbers = [books.card() for _ in range(7)]
    assert run("--all") == "7 wallets queued for till, in 5 messages\n"
    first, *rest = queued(books)
    assert first["command"] == "ADDCCARDTYPES" and first["records"][0]["name"] == "Plain"
    wallets = [row[0] for row in books.rows("SELECT wallet_id FROM card ORDER BY wallet_id")]
    assert [account for body in rest for account in body["accounts"]] == wallets
    assert not any(number in json.dumps(rest) for number in numbers)


def test_a_till_is_told_what_the_link_gets_wrong(run, configs: Path) -> None:  # type: ignore[no-untyped-def]
    assert "name a file, or say --all" in run()
    link = configs / "links" / "till.yaml"
    link.write_text(LINK.replace("plain: 7", "plian: 7"), "utf-8")
    assert "options.loads: no product 'plian' in chain.yaml" in run("--all")
    link.write_text(LINK.replace("BONUS", "BONSU"), "utf-8")
    assert "found 'BONSU'" in run("--all")
    link.write_text(LINK + "    flag_file: tillgate.txt\n", "utf-8")
    assert "expected another name than data_file" in run("--all")
