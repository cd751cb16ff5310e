"""``tillgate frontol import``: a report by hand, its summary in words and figures, its exit status."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway import app, file_words, settings
from gateway.cli import main
from gateway.file_import import OUTCOMES
from processing.database import Database
from tests.adapters.frontol.report_till import Doc, Sold, Till
from tests.conftest import Migrated
from tests.postgres import Server

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import seed

CARD = str(seed.FIRST_NUMBER)
LINK = f"""\
link: frontol
adapter: frontol
store: {seed.STORE}
credentials: {{addresses: [127.0.0.1/32]}}
options:
  reports: {{points: {{unit: {seed.POINTS}}}}}
"""

Run = Callable[..., Result]


def configured(folder: Path, url: str) -> dict[str, str]:
    """A chain with some cards, and a link whose files come by hand; the environment."""
    environment = seed.write_config(folder)
    (folder / "links" / "frontol.yaml").write_text(LINK)
    database = Database(url)
    app.prepare(settings.load(folder, environment, needs_secrets=False), database)
    database.dispose()
    seed.seed(url, 20)
    return environment


@pytest.fixture
def run(tmp_path: Path, migrated: Migrated, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command with a report in the folder."""
    url = migrated("sqlite", tmp_path, "books")
    for name, value in configured(tmp_path / "configs", url).items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str) -> Result:
        told = ["frontol", "import", *arguments, "--config", str(tmp_path / "configs"), "--database-url", url]
        return CliRunner().invoke(main, told)

    return call


def test_a_report_is_told_in_words_and_figures_and_marked_when_asked(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_bytes(Till().of(Doc(1, cards=(CARD,)), Doc(2, end="56"), Doc(3, operation="4")))
    done = run("frontol", str(file), "--language", "en")
    assert done.exit_code == 0, done.output
    assert "1  posted" in done.output and "1  cancelled at the till" in done.output
    assert file.read_bytes()[:1] == b"#"
    again = run("frontol", str(file), "--mark")
    assert again.exit_code == 0 and "уже известно" in again.output and file.read_bytes()[:1] == b"@"
    told = json.loads(run("frontol", str(file), "--json").output)
    assert (told["already_known"], told["posted"], told["marked"]) == (1, 0, False)


def test_the_command_leaves_the_search_for_rubbish_as_it_was(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_bytes(Till().of(Doc(1, cards=(CARD,))))
    before = gc.get_threshold(), gc.get_freeze_count()
    assert run("frontol", str(file)).exit_code == 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_what_needs_a_person_is_named_and_changes_the_exit_status(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "1.txt", tmp_path / "2.txt"
    first.write_bytes(Till().of(Doc(1)))
    second.write_bytes(Till().of(Doc(1, (Sold("z", 70_000),))))
    assert run("frontol", str(first)).exit_code == 0
    done = run("frontol", str(second), "--language", "en")
    assert done.exit_code == 1 and "put aside" in done.output and "3/118/1" in done.output


@pytest.mark.parametrize(("content", "words"), [(b"##@@&&\n#\n$$$ADDQUANTITY\n", "загрузки"), (b"PILOT\n", "PILOT")])
def test_a_foreign_file_is_refused_in_words(run: Run, tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(content)
    done = run("frontol", str(file))
    assert done.exit_code != 0 and words in str(done.exception)
    assert "no link" in str(run("bench", str(file)).exception)


def test_every_outcome_has_its_words() -> None:
    kinds = {*OUTCOMES, *("cancelled", "unfinished", "gap", "other", "broken")}
    assert set(file_words.WORDS) == kinds
    assert all(set(words) == {"ru", "en"} for words in file_words.WORDS.values())


@pytest.mark.slow
def test_several_processes_book_the_same(postgres: Server, tmp_path: Path) -> None:
    postgres.drop_database("frontol")
    url = postgres.create_database("frontol")
    environment = configured(tmp_path / "configs", url)
    file = tmp_path / "report.txt"
    cards = [str(seed.FIRST_NUMBER + n % 20) for n in range(40)]
    docs = [Doc(n + 1, cards=(card,)) for n, card in enumerate(cards)]
    docs.append(Doc(50, cards=(cards[0],), operation="1", base="1"))
    file.write_bytes(Till().of(*docs))
    command = [sys.executable, "-c", "from gateway.cli import run; run()", "frontol", "import", "frontol", str(file)]
    command += ["--json", "--processes", "2", "--config", str(tmp_path / "configs"), "--database-url", url]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command, capture_output=True, env={**os.environ, **environment, "PYTHONPATH": root}, timeout=120, check=False
    )
    told: dict[str, Any] = json.loads(done.stdout or b"{}")
    assert (told.get("posted"), told.get("flags")) == (41, {}), done.stderr[-2000:]
