"""`tillgate programme simulate`: figures of samples, mistakes with file and line, and books that stay as they are."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway import cli
from gateway.settings import load_chain, read_programme
from processing.commands import CardUse, IssueCard, Line, PostReceipt, Receipt, Ref, RegisterHolder
from processing.database import Database
from processing.directory import sync
from processing.execute import Core
from processing.secrets import load_vault
from processing.tables import metadata
from tests.conftest import Migrated
from tests.processing.books import KEYS

CONFIGS = Path(__file__).parents[2] / "configs"
SAMPLES = CONFIGS / "programmes"


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Command]:
    """The command in this process; it leaves nothing in the directory for temporary files."""
    monkeypatch.setattr(cli, "configure", lambda: None)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("TILLGATE_"):
            monkeypatch.delenv(name)

    def run(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["tillgate", "programme", "simulate", *map(str, arguments)])
        code = 0
        try:
            cli.run()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Said(code, out, err)

    yield run
    assert list(scratch.iterdir()) == []


def told(total: str, n: int = 0, **more: Any) -> dict[str, Any]:
    """A receipt of one line, the n-th hour after a noon."""
    at = datetime(2026, 5, 4, 9, tzinfo=UTC) + timedelta(hours=n)
    line = {"goods": "coat", "category": "food", "sum": total}
    return {"card": "anna", "at": at.isoformat(), "store": "bistro", "lines": [line]} | more


@pytest.fixture
def receipts(tmp_path: Path) -> Callable[..., Path]:
    def write(*some: dict[str, Any] | str) -> Path:
        file = tmp_path / "receipts.jsonl"
        file.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in some) + "\n")
        return file

    return write


Write = Callable[..., Path]


def of_file(simulate: Command, programme: str | Path, file: Path, *more: str) -> Any:
    """The JSON of a simulation of a sample, or of a file."""
    name = SAMPLES / f"{programme}.yaml" if isinstance(programme, str) else programme
    said = simulate(name, "--receipts", file, "--config", CONFIGS, "--json", *more)
    assert (said.code, said.err) == (0, "")
    return said.told


def changed(tmp_path: Path, sample: str, old: str, new: str) -> Path:
    """A sample that says something else."""
    text = (SAMPLES / f"{sample}.yaml").read_text("utf-8")
    assert old in text
    file = tmp_path / f"{sample}-new.yaml"
    file.write_text(text.replace(old, new), "utf-8")
    return file


# Files of receipts ----------------------------------------------------------------------------------------------


def test_thresholds_sample_costs_what_it_should(simulate: Command, receipts: Write) -> None:
    found = of_file(simulate, "thresholds", receipts(told("22000"), told("10000", 1), told("9999.99", 2)))
    new = found["new"]
    assert (new["receipts"], new["turnover"], new["discount"]) == (3, "39299.99", "2700.00")
    assert (new["cost"], new["cost_percent"]) == ("2700.00", "6.87")
    assert new["rules"] == [
        {"rule": "large_receipt", "gives": "discount", "times": 2, "amount": "2700.00", "base": "32000.00"}
    ]


def test_doubled_percent_doubles_the_cost(simulate: Command, receipts: Write, tmp_path: Path) -> None:
    file = changed(tmp_path, "bonus", "cashback_percent: 5", "cashback_percent: 10")
    found = of_file(simulate, file, receipts(told("9000"), told("1000", 1, card="boris")))
    assert (found["active"]["cost"], found["new"]["cost"]) == ("500.00", "1000.00")
    assert found["difference"]["cost"] == "500.00"
    assert found["difference"]["cost_percent"] == "5.00"
    assert found["new"]["liability"] == "1000.00"


def test_active_version_beside_itself_makes_no_difference(simulate: Command, receipts: Write) -> None:
    found = of_file(simulate, "network", receipts(*(told("9000", 30 * n) for n in range(5))))
    assert found["new"] == found["active"]
    assert set(found["difference"].values()) == {0, "0.00"}
    assert [(tier["tier"], tier["wallets"], tier["receipts"]) for tier in found["new"]["tiers"]] == [
        ("none", 0, 2), ("five", 0, 1), ("seven", 1, 2), ("ten", 0, 0),
    ]  # fmt: skip


def test_returned_goods_lower_the_cost(simulate: Command, receipts: Write) -> None:
    two = told("2000", id="a", lines=[{"sum": "1000", "goods": "tea"}, {"price": "500", "quantity": 2}])
    back = {"at": "2026-05-05T12:00:00+03:00", "store": "bistro", "return_of": "a"}
    part = back | {"lines": [{"number": 2, "quantity": "1"}]}
    assert of_file(simulate, "bonus", receipts(two))["new"]["cost"] == "100.00"
    assert of_file(simulate, "bonus", receipts(two, part))["new"]["cost"] == "75.00"
    whole = of_file(simulate, "bonus", receipts(two, back))["new"]
    assert (whole["cost"], whole["turnover"], whole["returns"]) == ("0.00", "0.00", 1)


def test_receipts_are_played_in_the_order_of_their_times(simulate: Command, receipts: Write) -> None:
    later = told("1000", 48, pay={"unit": "BONUS", "amount": "450"})
    new = of_file(simulate, "bonus", receipts(later, told("9000")))["new"]
    assert (new["redeemed"], new["unpaid"], new["unpaid_receipts"]) == ("300.00", "150.00", 1)


def test_programme_that_no_card_has_is_beside_none(simulate: Command, receipts: Write, tmp_path: Path) -> None:
    file = changed(tmp_path, "thresholds", "programme: thresholds", "programme: autumn")
    found = of_file(simulate, file, receipts(told("22000")))
    assert (found["active_version"], found["new"]["cost"], found["active"]["cost"]) == (False, "2200.00", "0.00")


def test_rules_with_birthdays_are_told_as_not_simulated(simulate: Command, receipts: Write) -> None:
    assert of_file(simulate, "network", receipts(told("1000")))["not_simulated"] == ["birthday_discount"]


def test_limit_takes_the_first_receipts(simulate: Command, receipts: Write) -> None:
    file = receipts(*(told("1000", n) for n in range(4)))
    assert of_file(simulate, "bonus", file, "--limit", "3")["new"]["receipts"] == 3


def test_table_tells_both_versions_and_the_speed(simulate: Command, receipts: Write) -> None:
    said = simulate(SAMPLES / "network.yaml", "--receipts", receipts(told("20000")), "--config", CONFIGS)
    assert (said.code, said.err) == (0, "")
    lines = {line[:32].strip(): line[32:].split() for line in said.out.splitlines()}
    assert lines["turnover"] == ["20000.00", "20000.00", "0.00"]
    assert lines["cost"][0] == lines["cost"][1] != "0.00"
    assert "rule birthday_discount: not simulated" in said.out
    assert said.out.rstrip().endswith("receipts a second")


# Mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ("{", "not JSON"),
        ('["a"]', "object"),
        (told("1000", stor="x"), "stor"),
        (told("1000", store="bistr"), "expected one of bistro, coffee, garden"),
        (told("1000", at="2026-05-04T12:00:00"), "at"),
        (told("10.001"), "at most 2 digits"),
        (told("-5"), "below zero"),
        (told("NaN"), "digits"),
        (told("1", lines=[]), "expected lines or a total"),
        (told("1", lines=[{"goods": "tea"}]), "sum: missing"),
        (told("1", card=None), "card: missing"),
        (told("1", product="vip"), "expected one of the programme: guest, gift"),
        (told("1", pay={"unit": "RUB", "amount": 5}), "expected a unit of points"),
    ],
)
def test_bad_line_is_named_with_its_file_and_number(
    simulate: Command, receipts: Write, bad: Any, expected: str
) -> None:
    file = receipts(told("1000"), "", bad)
    said = simulate(SAMPLES / "bonus.yaml", "--receipts", file, "--config", CONFIGS)
    assert (said.code, said.out) == (2, "")
    assert f"{file}:3: " in said.err
    assert expected in said.err


def test_mistake_in_the_programme_is_named_with_its_line(simulate: Command, receipts: Write, tmp_path: Path) -> None:
    file = changed(tmp_path, "thresholds", "percent_by_receipt", "percent_by_recept")
    said = simulate(file, "--receipts", receipts(told("1")), "--config", CONFIGS)
    assert said.code == 2
    assert f"{file}:10: discounts.rules.0.percent_by_recept" in said.err


@pytest.mark.parametrize(
    "arguments",
    [(), ("--receipts", "r", "--since", "2026-05-04"), ("--receipts", "r", "--until", "2026-05-04"), ("--since", "x")],
)
def test_what_to_play_is_told_once(simulate: Command, arguments: tuple[str, ...]) -> None:
    assert simulate(SAMPLES / "bonus.yaml", *arguments).code == 2


def test_missing_files_are_named(simulate: Command, receipts: Write) -> None:
    said = simulate("absent.yaml", "--receipts", receipts(told("1")), "--config", CONFIGS)
    assert (said.code, "absent.yaml: cannot be read" in said.err) == (2, True)
    said = simulate(SAMPLES / "bonus.yaml", "--receipts", "absent.jsonl", "--config", CONFIGS)
    assert (said.code, "absent.jsonl: cannot be read" in said.err) == (2, True)
    receipts("")
    said = simulate(SAMPLES / "bonus.yaml", "--receipts", "receipts.jsonl", "--config", CONFIGS)
    assert (said.code, "no receipts in it" in said.err) == (2, True)


# The books ------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path, migrated: Migrated) -> Iterator[Database]:
    """Books of the sample chain: a guest who has bought for 9,000 and for 1,000."""
    found = Database(migrated("sqlite", tmp_path, "books"))
    with found.transaction() as connection:
        vault = load_vault(connection, KEYS)
    chain = load_chain(CONFIGS)
    programmes = {file.stem: read_programme(file, chain) for file in SAMPLES.glob("*.yaml")}
    core = Core(found, sync(found, chain, programmes), vault)
    card = core.execute([IssueCard(store="bistro", keys=("i",), product="guest", active=True)])[0].number  # type: ignore[union-attr]
    holder = RegisterHolder(store="bistro", keys=("h",), card=Ref("card", card), name="Anna", phone="+79211111111")
    sales = [
        PostReceipt(
            store="bistro",
            keys=(f"s{total}",),
            receipt=Receipt(
                number="1",
                till="1",
                business_date=datetime.now(UTC).date(),
                total_minor=total,
                lines=(Line(number=1, goods="tea", price_minor=total, sum_minor=total),),
            ),
            cards=(CardUse(refs=(Ref("card", card),)),),
        )
        for total in (900_000, 100_000)
    ]
    core.execute([holder, *sales])
    yield found
    found.dispose()


def everything(database: Database) -> dict[str, list[str]]:
    with database.reading() as connection:
        return {
            table.name: sorted(str(tuple(row)) for row in connection.execute(select(table)))
            for table in metadata.sorted_tables
        }


def test_receipts_of_the_books_cost_what_they_did_and_would(
    simulate: Command, database: Database, tmp_path: Path
) -> None:
    before = everything(database)
    since = (datetime.now(UTC) - timedelta(days=2)).date()
    file = changed(tmp_path, "bonus", "cashback_percent: 5", "cashback_percent: 7")
    url = database.url.render_as_string()
    said = simulate(file, "--since", str(since), "--database-url", url, "--json")
    assert (said.code, said.err) == (0, "")
    assert (said.told["active"]["issued"], said.told["new"]["issued"]) == ("500.00", "700.00")
    assert (said.told["new"]["receipts"], said.told["new"]["turnover"]) == (2, "10000.00")
    assert everything(database) == before
    assert sorted(path.name for path in tmp_path.glob("*.keys")) == []


def test_days_before_and_after_are_not_played(simulate: Command, database: Database) -> None:
    url = database.url.render_as_string()
    day = (datetime.now(UTC) - timedelta(days=9)).date()
    until = day + timedelta(days=1)
    said = simulate(SAMPLES / "bonus.yaml", "--since", str(day), "--until", str(until), "--database", url, "--json")
    assert (said.code, said.told["new"]["receipts"]) == (0, 0)
    said = simulate(SAMPLES / "bonus.yaml", "--since", str(until), "--until", str(day), "--database", url)
    assert (said.code, "expected a day before" in said.err) == (2, True)


def test_programme_without_cards_has_nothing_to_play(simulate: Command, database: Database) -> None:
    url = database.url.render_as_string()
    said = simulate(SAMPLES / "thresholds.yaml", "--since", "2026-05-04", "--database-url", url)
    assert said.code == 2
    assert "no card is of the programme 'thresholds'; there are cards of bonus, certificates, coffee" in said.err


def test_file_may_be_played_beside_what_is_active_in_the_books(
    simulate: Command, database: Database, receipts: Write
) -> None:
    url = database.url.render_as_string()
    said = simulate(SAMPLES / "bonus.yaml", "--receipts", receipts(told("1000")), "--database-url", url, "--json")
    assert (said.code, said.told["active"]["cost"]) == (0, "50.00")


def test_progress_is_shown_on_a_terminal_only(
    simulate: Command, receipts: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = receipts(told("1000"), told("1000", 1))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    said = simulate(SAMPLES / "bonus.yaml", "--receipts", file, "--config", CONFIGS, "--json")
    assert said.code == 0
    assert "receipts" in said.err
    assert said.told["new"]["receipts"] == 2
