"""``tillgate reconcile``: text in both languages, CSV, JSON as REST tells it; exit 1 where something does not agree."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway import app, cli, reconciliation
from gateway.demo.chain import CONFIG
from gateway.settings import LinkSettings, load
from processing.commands import Accrue, Amount, EnrolHolder, IssueCard, LearnReceipt, Line, Ref
from processing.database import Database
from processing.errors import BadMessage, ConfigError
from tests.adapters.onec_server.bases import MAPPINGS
from tests.conftest import Migrated

SECRETS = {
    "TILLGATE_MASTER_KEY": "bTFtbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=",
    "TILLGATE_INDEX_KEY": "aTFpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWk=",
    "TILLGATE_DEMO_RKEEPER": "0123456789abcdef",
}
LINK = """
link: office
adapter: onec_server
store: nevsky
far_side: {address: https://1c.example/retail, secrets: {password: {env: TILLGATE_DEMO_RKEEPER}}}
options: {mapping: retail2, user: Обмен, product: guest, pull: [cards, receipts]}
"""
CARD, GUID = Ref("card", "5550009990"), Ref("onec", "6f0c2a4e-0000-4000-8000-000000000001")
NOW = datetime.now(UTC)
Reconcile = Callable[..., Result]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's chain, with a link that pulls receipts."""
    folder = tmp_path_factory.mktemp("reconcile") / "config"
    shutil.copytree(CONFIG, folder)
    (folder / "mappings").mkdir()
    shutil.copy(MAPPINGS / "retail2.yaml", folder / "mappings")
    (folder / "links" / "office.yaml").write_text(LINK, "utf-8")
    return folder


@pytest.fixture(scope="module")
def url(config: Path, migrated: Migrated) -> str:
    """Its books, which are only read: an accrual that agrees with its receipt, and a return whose call was lost."""
    url = migrated("sqlite", config.parent, "reconcile")
    database = Database(url)
    settings = load(str(config), SECRETS)
    app.prepare(settings, database)
    core = app.parts(settings, database, SECRETS).core
    learned = {"store": "nevsky", "unit": "BONUS", "card_ref": GUID}
    line = Line(number=1, goods="tea", sum_minor=30_000, quantity_thousandths=2_000)
    for command in (
        IssueCard(store="nevsky", keys=("i",), product="guest", number=CARD.value, active=True),
        EnrolHolder(store="nevsky", keys=("e",), product="guest", names=(GUID, CARD)),
        Accrue(
            store="nevsky",
            card=CARD,
            amount=Amount("BONUS", 1_095),
            owner="retail/till-1",
            likeness="onec:accrue:card:1095",
            window_seconds=60,
        ),
        LearnReceipt(**learned, keys=("a",), document="d-1", at=NOW, earned=1_095),
        LearnReceipt(
            **learned,
            keys=("b",),
            document="d-2",
            at=NOW - timedelta(hours=3),
            redeemed=8_100,
            is_return=True,
            sale="d-0",
            till="k-1",
            total_minor=30_000,
            lines=(line,),
        ),
    ):
        (outcome,) = core.execute([command])
        assert not isinstance(outcome, Exception), outcome
    database.dispose()
    return url


@pytest.fixture
def reconcile(config: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Reconcile:
    monkeypatch.setattr(cli, "configure", lambda: None)
    for name in [name for name in os.environ if name.startswith("TILLGATE_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> Result:
        told = ["reconcile", *arguments, "--config", str(config), "--database-url", url]
        return CliRunner().invoke(cli.main, told, env=SECRETS)

    return run


def test_what_does_not_agree_is_told_and_ends_with_1(reconcile: Reconcile) -> None:
    done = reconcile("office")
    assert done.exit_code == 1
    head, counts, first, amounts, receipt = done.output.splitlines()
    assert head.startswith("office, nevsky, BONUS: ")
    assert counts == "agrees: 1; never booked: the till's call was lost: 1"
    assert "accrual, account " in first and first.endswith(": never booked: the till's call was lost")
    assert amounts.strip() == "by the receipt 81.00, booked nothing"
    assert receipt.strip().startswith("return d-2 of 20")


def test_what_agrees_ends_with_0_and_is_told_where_it_is_wanted(reconcile: Reconcile) -> None:
    assert reconcile("office", "--since", "1h").output.splitlines()[1:] == ["agrees: 1"]
    done = reconcile("office", "--since", "1h", "--all", "--language", "ru")
    assert done.exit_code == 0
    amounts, receipt, operation = (line.strip() for line in done.output.splitlines()[3:])
    assert (amounts, receipt.partition(" от ")[0]) == ("по чеку 10.95, проведено 10.95", "чек d-1")
    assert re.match(r"операция [1-9][0-9]* от 20", operation)
    assert done.output.rstrip().endswith("касса retail/till-1")


def test_csv_and_json_tell_the_same_rows(reconcile: Reconcile) -> None:
    told = json.loads(reconcile("office", "--json", "--all").output)
    rows = list(csv.DictReader(io.StringIO(reconcile("office", "--csv", "--all").output)))
    assert tuple(rows[0]) == reconciliation.COLUMNS
    assert [row["document"] for row in rows] == [row["document"] for row in told["rows"]] == ["d-2", "d-1"]
    assert (told["agrees"], told["counts"]["matched"], told["counts"]["not_booked"]) == (False, 1, 1)
    lost, agreed = told["rows"]
    assert lost["lines"] == [{"goods": "tea", "quantity": "2.000", "sum": "300.00"}] and agreed["lines"] == []
    assert (rows[0]["expected"], rows[0]["booked"], rows[0]["is_return"], rows[0]["total"]) == (
        "81.00",
        "",
        "true",
        "300.00",
    )
    assert (rows[1]["login"], rows[1]["alike"], rows[1]["sale"]) == ("retail/till-1", "false", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nobody",), "no link 'nobody'"),
        (("nevsky",), "no link"),
        (("office", "--since", "yesterday"), "--since"),
        (("office", "--until", "soon"), "--until"),
        (("office", "--since", "93d"), "at most 92 days"),
        (("office", "--window-minutes", "0"), "--window-minutes"),
    ],
)
def test_what_does_not_fit_is_no_disagreement(reconcile: Reconcile, arguments: tuple[str, ...], words: str) -> None:
    done = reconcile(*arguments)
    assert words in f"{done.output}{done.exception}"
    assert done.exit_code == 2 or isinstance(done.exception, ConfigError), "1 is a disagreement"


def test_the_tills_are_links_of_the_same_store() -> None:
    """Receipts of one store would be held against nothing, and all of them called lost."""

    def of(code: str, store: str, **options: object) -> LinkSettings:
        return LinkSettings(code, "onec", store, True, (), (), options)

    tills = {"near": of("near", "nevsky"), "far": of("far", "elsewhere")}
    for named, words in ((["near"], ""), (["near", "far"], "another store: far"), (["none"], "no link: none")):
        office = of("office", "nevsky", pull=["receipts"], unit="BONUS", till_links=named)
        expected = pytest.raises(BadMessage, match=words) if words else nullcontext()
        with expected:
            asked = reconciliation.asked_of({**tills, "office": office}, "office", NOW, NOW, 30, 24)
            assert asked.links == {"near"}


def test_a_span_without_anything_says_so(reconcile: Reconcile) -> None:
    done = reconcile("office", "--since", "3d", "--until", "2d")
    assert done.exit_code == 0 and done.output.splitlines()[1:] == ["nothing"]
