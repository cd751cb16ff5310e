"""``tillgate report``: text, CSV and JSON of the same figures; what does not fit ends with 2 and names its field."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result

from gateway import app, cli, reports
from gateway.demo.chain import CONFIG
from gateway.settings import load
from processing.commands import Adjust, Amount, IssueCard, Redeem, Ref
from processing.database import Database
from processing.liability import LIABILITY_COLUMNS
from tests.conftest import Migrated

SECRETS = {
    "TILLGATE_MASTER_KEY": "bTFtbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=",
    "TILLGATE_INDEX_KEY": "aTFpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWk=",
    "TILLGATE_DEMO_RKEEPER": "0123456789abcdef",
}
TODAY = datetime.now(UTC).date()
SPAN = ("--from", str(TODAY - timedelta(days=2)), "--to", str(TODAY + timedelta(days=3)))
Report = Callable[..., Result]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated: Migrated) -> str:
    """The demo's chain, where 12.50 of one partner's 40.00 points were spent at another; it is only read."""
    url = migrated(request.param, tmp_path_factory.mktemp("reports"), "reports")
    database = Database(url)
    settings = load(str(CONFIG), SECRETS)
    app.prepare(settings, database)
    core = app.parts(settings, database, SECRETS).core
    card = Ref("card", "5550009990")
    for command in (
        IssueCard(store="nevsky", keys=("i",), product="guest", number=card.value, active=True),
        Adjust(store="nevsky", keys=("a",), card=card, amount=Amount("BONUS", 4_000), reason="a test"),
        Redeem(store="coffee", keys=("r",), card=card, unit="BONUS", amount=1_250),
    ):
        core.execute([command])
    database.dispose()
    return url


@pytest.fixture
def report(url: str, monkeypatch: pytest.MonkeyPatch) -> Report:
    """The command on that chain."""
    monkeypatch.setattr(cli, "configure", lambda: None)
    for name in [name for name in os.environ if name.startswith("TILLGATE_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> Result:
        told = ["report", *arguments, "--config", str(CONFIG), "--database-url", url]
        return CliRunner().invoke(cli.main, told, env=SECRETS)

    return run


def test_settlement_is_told_as_text(report: Report) -> None:
    done = report("settlement", *SPAN)
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert lines[0].endswith("(not included), Europe/Moscow; not final: more may be booked in it")
    assert lines[1:] == [
        "BONUS nevsky-llc -> coffee-ip",
        "redeemed 12.50 12.50",
        "net 12.50 12.50",
        "BONUS nevsky-llc -> nevsky-llc",
        "adjusted 40.00 40.00",
        "nevsky-llc owes coffee-ip 12.50 BONUS: 12.50 in money",
    ]


def test_csv_has_a_row_for_each_pair_and_all_columns(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(report("settlement", *SPAN, "--csv").output)))
    names = [*reports.SETTLEMENT_COLUMNS, *(f"{name}_money" for name in reports.SETTLEMENT_COLUMNS)]
    assert list(rows[0]) == ["unit", "issuer", "partner", *names]
    assert [(row["issuer"], row["partner"], row["net"], row["net_money"]) for row in rows] == [
        ("nevsky-llc", "coffee-ip", "12.50", "12.50"),
        ("nevsky-llc", "nevsky-llc", "0.00", "0.00"),
    ]
    (only,) = csv.DictReader(io.StringIO(report("liability", *SPAN, "--csv").output))
    assert list(only)[: 2 + len(LIABILITY_COLUMNS)] == ["unit", "issuer", *LIABILITY_COLUMNS]
    assert (only["adjusted"], only["redeemed"], only["closing"]) == ("40.00", "12.50", "27.50")


def test_json_is_what_rest_tells(report: Report) -> None:
    told = json.loads(report("settlement", *SPAN, "--json").output)
    assert told["owed"] == [
        {"unit": "BONUS", "debtor": "nevsky-llc", "creditor": "coffee-ip", "amount": "12.50", "money": "12.50"}
    ]
    assert {"from", "to", "zone", "read_at", "is_final", "rows", "totals", "owed"} == told.keys()
    owing = json.loads(report("liability", *SPAN, "--json", "--unit", "BONUS", "--zone", "Asia/Omsk").output)
    assert (owing["zone"], owing["rows"][0]["closing"]) == ("Asia/Omsk", "27.50")
    assert json.loads(report("liability", *SPAN, "--json", "--unit", "RUB").output)["rows"] == []


def test_empty_csv_still_has_its_header(report: Report) -> None:
    for name in ("settlement", "liability"):
        (header,) = report(
            name, "--from", "2020-01-01", "--to", "2020-02-01", "--csv", "--unit", "RUB"
        ).output.splitlines()
        assert header.startswith("unit,issuer,")


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ["settlement", "liability"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "2026-05-02", "--to", "2026-05-02"), "to: "),
        (("--from", "2026-05-02", "--to", "2028-05-02"), "at most 366 days"),
        (("--from", "1999-05-02", "--to", "1999-06-02"), "from: "),
        (("--from", "May", "--to", "2026-05-02"), "--from"),
        (("--from", "2026-05-02"), "--to"),
        ((*SPAN, "--unit", "GOLD"), "GOLD"),
        ((*SPAN, "--zone", "Mars/Base"), "Mars/Base"),
    ],
)
def test_what_does_not_fit_ends_with_2_and_says_what(
    report: Report, name: str, arguments: tuple[str, ...], words: str
) -> None:
    done = report(name, *arguments)
    assert done.exit_code == 2
    assert words in done.output
