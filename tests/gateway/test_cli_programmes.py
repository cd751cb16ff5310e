"""``tillgate programme``: what a marketer sees of files and versions before and after they work."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import jsonschema_rs
import pytest
from click.testing import CliRunner, Result

from gateway import cli
from gateway.programme_difference import differences
from gateway.settings import load_chain, read_programme
from gateway.yaml_files import read_yaml
from processing import audit, directory
from processing.database import Database
from processing.directory import Version
from processing.programme.document import ProgrammeDocument
from tests.conftest import Migrated

CONFIGS = Path(__file__).parents[2] / "configs"
Run = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The sample chain, to be changed."""
    return Path(shutil.copytree(CONFIGS, tmp_path / "configs", ignore=shutil.ignore_patterns("deploy")))


def said(config: Path) -> dict[str, ProgrammeDocument]:
    chain = load_chain(config)
    return {path.stem: read_programme(path, chain) for path in (config / "programmes").glob("*.yaml")}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, migrated: Migrated) -> Path:
    """The file of a database in step with the sample configuration."""
    folder = tmp_path_factory.mktemp("programmes")
    database = Database(migrated("sqlite", folder, "template"))
    directory.sync(database, load_chain(CONFIGS), said(CONFIGS))
    database.dispose()
    return folder / "template.db"


@pytest.fixture
def url(tmp_path: Path, template: Path) -> str:
    """A database in step with the configuration."""
    return f"sqlite:///{shutil.copy(template, tmp_path / 'programmes.db')}"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, config: Path, url: str) -> Run:
    """``tillgate programme ...`` on that configuration and database, without secrets."""
    monkeypatch.setattr(cli, "configure", lambda: None)
    monkeypatch.setenv("TILLGATE_CONFIG", str(config))
    monkeypatch.setenv("TILLGATE_DATABASE_URL", url)

    def asked(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(cli.main, ["programme", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit | cli.ConfigError), result.exception
        return result

    return asked


def changed(config: Path, code: str, old: str, new: str, name: str = "") -> Path:
    """The file with something else in it; with ``name`` a draft beside the directory."""
    path = config / "programmes" / f"{code}.yaml"
    text = path.read_text("utf-8")
    assert old in text
    path = config.parent / name if name else path
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path


def versions(url: str, code: str) -> list[Version]:
    with Database(url).reading() as connection:
        return directory.versions_of(connection, code)


# Check ----------------------------------------------------------------------------------------------------------


def test_the_samples_are_in_order(run: Run) -> None:
    result = run("check")
    assert result.exit_code == 0
    assert result.output.count(": in order\n") == len(list((CONFIGS / "programmes").glob("*.yaml")))


def test_a_mistake_is_told_with_file_line_path_and_what_was_meant(run: Run, config: Path) -> None:
    file = changed(config, "coffee", "percent: 15", "percnt: 15")
    result = run("check", file, config / "programmes" / "bonus.yaml")
    assert result.exit_code == 2
    assert re.search(
        rf"^{file}:27: discounts\.rules\.1\.percnt: unknown key, .*did you mean 'percent'\?$", *told(result)
    )
    assert "bonus.yaml: programme bonus" in result.output


def told(result: Result) -> tuple[str, re.RegexFlag]:
    return result.output, re.MULTILINE


def test_a_draft_outside_is_checked_against_the_chain(run: Run, config: Path) -> None:
    good = changed(config, "bonus", "cashback_percent: 5", "cashback_percent: 7", "draft.yaml")
    assert run("check", good).exit_code == 0
    bad = changed(config, "bonus", "unit: BONUS", "unit: BONSU", "bad.yaml")
    result = run("check", bad)
    assert result.exit_code == 2
    assert f"{bad}:5: unit: found 'BONSU', expected a unit of chain.yaml" in result.output
    assert "did you mean 'BONUS'?" in result.output


def test_a_file_of_the_directory_is_named_after_its_programme(run: Run, config: Path) -> None:
    file = changed(config, "bonus", "programme: bonus", "programme: bonuss")
    result = run("check", file)
    assert result.exit_code == 2
    assert "expected 'bonus' as the file is named" in result.output


def test_a_missing_file_is_told(run: Run, config: Path) -> None:
    assert run("check", config / "nothing.yaml").exit_code == 2


# A rule on all goods comes first in its group; behind it stands one that can give nothing any more.
HARDLY_MEANT = """
programme: coffee
unit: BONUS
discount: gest
goods:
  milk: {categories: [milk]}
  tobacco: {categories: [tobacco]}
discounts:
  groups: {card: first, empty: best}
  rules:
    - {rule: all, group: card, percent: 5}
    - {rule: behind, group: card, percent: 7}
    - {rule: over, group: card, priority: 1, percent: 5, when: {until: 2020-01-01}}
    - {rule: small, group: card, priority: 1, percent: 5, when: {receipt_from: 100, receipt_below: 100}}
    - {rule: fixed, group: card, priority: 1, percent: 5, goods: [tobacco]}
    - {rule: none, group: card, priority: 1, percent: 5, goods: [tobacco], without: [tobacco]}
    - {rule: falls, group: card, priority: 1, percent_by_receipt: {"100": 5, "200": 3}}
    - {rule: zero, group: card, priority: 1, percent: 0}
    - {rule: foreign, group: card, priority: 1, percent: 5, when: {products: [guest]}, text: {ru: Скидка}}
points:
  rules:
    - {rule: twice, multiply: 2}
prices:
  - {goods: [tobacco], fixed: true}
limits:
  - {limit: all, of: receipts, per: card, every: day, most: 0, then: block}
certificates: {voucher: full}
"""
WARNINGS = {
    4: "discount: warning: no link maps 'gest' under options.discounts; did you mean 'guest'?",
    6: "goods.milk: warning: nothing names these goods",
    9: "discounts.groups.empty: warning: no rule is in this group",
    12: "discounts.rules.1: warning: 'all' comes first for all goods: this never gives",
    13: "discounts.rules.2.when.until: warning: 2020-01-01 is over: the rule never gives anything again",
    14: "discounts.rules.3.when.receipt_below: warning: no receipt is that small: the rule never gives anything",
    15: "discounts.rules.4.goods: warning: their price is fixed: the rule never gives anything",
    16: "discounts.rules.5.without: warning: all of its goods are taken out: the rule never gives anything",
    17: "discounts.rules.6.percent_by_receipt: warning: a higher step gives less than the one below it",
    18: "discounts.rules.7: warning: it gives 0 %",
    19: "discounts.rules.8.text: warning: there is none in English",
    22: "points.rules.0.multiply: warning: there are no other rules whose points it could multiply",
    26: "limits.0.most: warning: 0: nothing of it is ever allowed",
    27: "certificates.voucher: warning: cards of 'voucher' are in another programme",
}


def test_what_is_hardly_meant_is_a_warning(run: Run, config: Path) -> None:
    file = config.parent / "draft.yaml"
    file.write_text(HARDLY_MEANT, "utf-8")
    result = run("check", file)
    assert result.exit_code == 0
    for line, words in WARNINGS.items():
        assert f"{file}:{line}: {words}\n" in result.output
    assert "products.0: warning: cards of 'guest' are in another programme" in result.output
    assert "payment: warning: points are given, and none may be spent: payment.percent is 0" in result.output


def test_a_sound_programme_has_no_warnings(run: Run, config: Path) -> None:
    result = run("check", config / "programmes" / "bonus.yaml")
    assert "warning" not in result.output


# Show -----------------------------------------------------------------------------------------------------------


def test_what_is_shown_is_a_file_that_says_the_same(run: Run, config: Path) -> None:
    for code, document in said(config).items():
        file = config.parent / "shown.yaml"
        file.write_text(run("show", code, "--lang", "ru").output, "utf-8")
        assert read_programme(file, load_chain(config)) == document


def test_a_version_is_shown_with_number_start_and_author(run: Run, config: Path, url: str) -> None:
    (first,) = versions(url, "bonus")
    shown = run("show", "bonus").output
    # In the first store's zone, where the day may be another one already.
    assert f"# bonus@{first.id} started {first.starts_at.astimezone(ZoneInfo('Europe/Moscow')):%Y-%m-%d}" in shown
    assert f"# digest {first.digest}\n# by the configuration, at a start\n" in shown
    draft = changed(config, "bonus", "cashback_percent: 5", "cashback_percent: 7", "draft.yaml")
    assert run("activate", draft, "--from", "2099-01-01", "--note", "New\nyear").exit_code == 0
    second = versions(url, "bonus")[-1]
    assert "percent: 5" in run("show", "bonus").output
    for asked in (["--version", str(second.id)], ["--at", "2099-01-02"]):
        shown = run("show", "bonus", *asked).output
        assert f"# bonus@{second.id} starts 2099-01-01 00:00:00+03:00, not active" in shown
        assert "# by cli: New year\n" in shown
        assert "percent: 7" in shown
    assert ", active, until 2099-01-01 00:00:00+03:00\n" in run("show", "bonus").output


def test_rules_are_told_in_either_language(run: Run) -> None:
    russian = run("show", "network", "--lang", "ru").output
    assert "# - vip (Скидка VIP): скидка 15 %; карты vip; кроме sale\n" in russian
    english = run("show", "thresholds", "--lang", "en").output
    assert "# - large_receipt (Discount for a large purchase): discount by what the receipt costs: " in english
    assert "5 % from 10000, 10 % from 20000\n" in english


@pytest.mark.parametrize(
    "arguments",
    [
        ("bonsu",),
        ("bonus", "--version", "999"),
        ("bonus", "--at", "2001-01-01"),
        ("bonus", "--at", "yesterday"),
        ("bonus", "--at", "2099-01-01", "--version", "2"),
        ("bonus", "--zone", "Mars/Base"),
    ],
)
def test_what_is_not_there_is_not_shown(run: Run, arguments: tuple[str, ...]) -> None:
    result = run("show", *arguments)
    assert result.exit_code != 0
    assert "programme:" not in result.output


# Diff -----------------------------------------------------------------------------------------------------------


def test_a_programme_does_not_differ_from_its_file(run: Run, config: Path) -> None:
    for code in said(config):
        result = run("diff", code)
        assert (result.exit_code, "say the same" in result.output) == (0, True)


def test_a_draft_differs_where_it_was_changed(run: Run, config: Path, url: str) -> None:
    draft = changed(
        config, "welcome", "percent: 3\n", 'percent: 4\n      priority: 2\n      price_from: "10"\n', "d.yaml"
    )
    result = run("diff", draft)
    assert result.exit_code == 1
    assert result.output.splitlines()[2:] == [
        "~ points.rules.cashback.percent: 3 -> 4",
        "+ points.rules.cashback.priority: 2",
        "+ points.rules.cashback.price_from: 10",
    ]
    assert run("activate", draft).exit_code == 0
    first, second = versions(url, "welcome")
    assert run("diff", f"welcome@{second.id}", f"welcome@{first.id}").output.splitlines()[2:] == [
        "- points.rules.cashback.priority: 2",
        "- points.rules.cashback.price_from: 10",
        "~ points.rules.cashback.percent: 4 -> 3",
    ]


def test_an_order_that_matters_is_a_difference() -> None:
    old = {"rules": [{"rule": "a", "percent": 5}, {"rule": "b", "percent": 7}]}
    new = {"rules": [{"rule": "b", "percent": 7}, {"rule": "a", "percent": 5}]}
    assert [str(each) for each in differences(old, new)] == ["~ rules (their order): [a, b] -> [b, a]"]
    assert list(differences(old, old)) == []


# Activate -------------------------------------------------------------------------------------------------------


def test_a_file_becomes_the_active_version(run: Run, config: Path, url: str) -> None:
    file = changed(config, "bonus", "cashback_percent: 5", "cashback_percent: 7")
    result = run("activate", file, "--note", "spring")
    assert result.exit_code == 0
    first, second = versions(url, "bonus")
    assert result.output.startswith(f"bonus@{second.id} started ")
    assert "note:" not in result.output
    assert second.document == said(config)["bonus"] != first.document
    with Database(url).reading() as connection:
        (change,) = audit.changes(connection, "programme_activated", "bonus")
        assert list(audit.broken(connection)) == []
    assert (change.actor, change.details) == ("cli", {"version": second.id, "note": "spring"})


def test_the_same_is_not_activated_again(run: Run, config: Path, url: str) -> None:
    result = run("activate", config / "programmes" / "bonus.yaml")
    assert result.exit_code == 0
    assert "says the same already: nothing was written" in result.output
    assert len(versions(url, "bonus")) == 1


@pytest.mark.parametrize(
    ("arguments", "starts_at"),
    [
        (["--from", "2099-01-01"], datetime(2098, 12, 31, 21, tzinfo=UTC)),
        (["--from", "2099-01-01", "--zone", "Asia/Yekaterinburg"], datetime(2098, 12, 31, 19, tzinfo=UTC)),
        (["--from", "2099-01-01T10:00+00:00"], datetime(2099, 1, 1, 10, tzinfo=UTC)),
    ],
)
def test_a_day_begins_in_the_zone_of_the_first_store(
    run: Run, config: Path, url: str, arguments: list[str], starts_at: datetime
) -> None:
    draft = changed(config, "bonus", "cashback_percent: 5", "cashback_percent: 7", "draft.yaml")
    assert run("activate", draft, *arguments).exit_code == 0
    assert versions(url, "bonus")[-1].starts_at == starts_at


def test_a_start_in_the_past_is_refused(run: Run, config: Path, url: str) -> None:
    draft = changed(config, "bonus", "cashback_percent: 5", "cashback_percent: 7", "draft.yaml")
    for start in ("2020-01-01", (datetime.now(UTC) - timedelta(minutes=1)).isoformat(), "soon"):
        assert run("activate", draft, "--from", start).exit_code != 0
    assert len(versions(url, "bonus")) == 1


def test_a_file_with_mistakes_is_not_activated(run: Run, config: Path, url: str) -> None:
    draft = changed(config, "bonus", "cashback_percent: 5", "cashback_percent: 101", "draft.yaml")
    assert run("activate", draft).exit_code != 0
    assert run("activate", config / "programmes" / "bonus.yaml", "--note", "x" * 201).exit_code != 0
    assert len(versions(url, "bonus")) == 1


def test_what_the_next_start_would_undo_is_told(run: Run, config: Path, url: str) -> None:
    """And it does undo it, so that the note is no idle one."""
    draft = changed(config, "bonus", "cashback_percent: 5", "cashback_percent: 7", "draft.yaml")
    own = config / "programmes" / "bonus.yaml"
    assert f"note: {own} says something else: the next start" in run("activate", draft).output
    directory.sync(Database(url), load_chain(config), said(config))
    assert [version.document for version in versions(url, "bonus")][-1] == said(config)["bonus"]
    own.write_text(draft.read_text("utf-8"), "utf-8")
    assert "note:" not in run("activate", draft).output


def test_a_version_that_waits_and_replaces_this_one_is_told(run: Run, config: Path, url: str) -> None:
    later = changed(config, "bonus", "cashback_percent: 5", "cashback_percent: 9", "later.yaml")
    assert run("activate", later, "--from", "2099-01-01").exit_code == 0
    waiting = versions(url, "bonus")[-1]
    file = changed(config, "bonus", "cashback_percent: 5", "cashback_percent: 7")
    output = run("activate", file).output
    assert f"note: bonus@{waiting.id} starts 2099-01-01 00:00:00+03:00, and replaces it then" in output


# Schema ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> jsonschema_rs.Draft202012Validator:
    result = CliRunner().invoke(cli.main, ["programme", "schema"])
    return jsonschema_rs.Draft202012Validator(json.loads(result.output))


@pytest.mark.parametrize("sample", sorted((CONFIGS / "programmes").glob("*.yaml")), ids=lambda path: path.stem)
def test_editors_find_nothing_wrong_with_the_samples(
    sample: Path, validator: jsonschema_rs.Draft202012Validator
) -> None:
    assert [error.message for error in validator.iter_errors(read_yaml(sample))] == []


@pytest.mark.parametrize(
    ("code", "old", "new"),
    [
        ("coffee", "percent: 15", "percnt: 15"),
        ("coffee", "percent: 15", "percent: 115"),
        ("coffee", "percent: 15", ""),
        ("coffee", "percent: 15", "percent: 15\n      price: '10'"),
        ("coffee", "card: best", "card: bset"),
        ("coffee", "programme: coffee", "programme: Coffee"),
        ("coffee", "unit: BONUS\n", ""),
        ("coffee", "by: turnover", "by: money"),
        ("bonus", "return_grace_days: 7", "return_grace_days: week"),
        ("network", '"08:00-11:00"', '"8-11"'),
        ("network", 'day: "3000"', "day: many"),
        ("thresholds", '"10000": 5', '"ten": 5'),
    ],
)
def test_editors_see_what_the_reader_refuses(
    config: Path, validator: jsonschema_rs.Draft202012Validator, run: Run, code: str, old: str, new: str
) -> None:
    file = changed(config, code, old, new)
    assert run("check", file).exit_code == 2
    assert list(validator.iter_errors(read_yaml(file)))


def test_null_is_allowed_where_the_reader_takes_it(
    config: Path, validator: jsonschema_rs.Draft202012Validator, run: Run
) -> None:
    file = config.parent / "draft.yaml"
    file.write_text(
        "programme: p\nunit: BONUS\ntiers: null\npoints:\n  caps: {day: null}\n  rules:\n"
        "    - {rule: r, percent: 5.5, expires: null, when: {hours: null, from: null, birthday: null}}\n"
        "  expires: {days: null, end_of: null}\n",
        "utf-8",
    )
    assert run("check", file).exit_code == 0
    assert list(validator.iter_errors(read_yaml(file))) == []


def test_an_editor_reads_numbers_with_a_point_as_floats(validator: jsonschema_rs.Draft202012Validator) -> None:
    """A percent may be one; an amount may not, so that nobody gets used to it."""
    assert validator.is_valid({"programme": "p", "unit": "BONUS", "payment": {"percent": 5.5}})
    assert not validator.is_valid({"programme": "p", "unit": "BONUS", "payment": {"leave_money": 5.5}})
