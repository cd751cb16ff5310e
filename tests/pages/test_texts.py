"""What pages say is said in Russian and in English, with the same places; numbers and times as people write them."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask, g

from gateway.console import words
from gateway.console.rights import LANGUAGES, Operator
from tests.pages import catalogue

STATIC = catalogue.CONSOLE / "static"
VENDOR = STATIC / "vendor"


def test_texts_are_found() -> None:
    said = {message.id for message in catalogue.said() if message.id}
    assert {"Overview", "works", "Name or password is wrong."} <= said
    assert len(said) > 150


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_no_text_is_missing_fuzzy_or_left_over(language: str) -> None:
    assert list(catalogue.problems(language)) == []


def test_templates_say_nothing_past_the_catalogue() -> None:
    """No words stand outside of a call that translates; names, units and addresses are no words."""
    allowed = {"tillgate", "Русский", "English", "HTTP", "pos", "SECRET", "webhook"}
    for path in sorted((catalogue.CONSOLE / "templates").rglob("*.html")):
        text = re.sub(r"{%.*?%}|{{.*?}}|<[^>]*>", " ", path.read_text("utf-8"), flags=re.DOTALL)
        found = set(re.findall(r"[A-Za-zА-Яа-яё]{3,}", re.sub(r"&\w+;", " ", text)))
        assert found <= allowed, path.name


def in_language(language: str) -> object:
    app = Flask("texts")
    context = app.test_request_context("/")
    context.push()
    g.operator = Operator(1, "x", "owner", None, None, language, "auto", False)
    return context


@pytest.mark.parametrize(
    ("language", "number", "took", "ages", "moment", "city"),
    [
        (
            "ru",
            "1\N{NO-BREAK SPACE}234\N{NO-BREAK SPACE}567",
            "1\N{NO-BREAK SPACE}234 мс",
            ["0 с", "59 с", "1 мин", "59 мин", "1 ч", "47 ч", "2 дн."],
            "04.05.2026\N{NO-BREAK SPACE}12:00:07",
            "Москва",
        ),
        (
            "en",
            "1,234,567",
            "1,234 ms",
            ["0 s", "59 s", "1 min", "59 min", "1 h", "47 h", "2 d"],
            "4 May 2026\N{NO-BREAK SPACE}12:00:07",
            "Moscow",
        ),
    ],
)
def test_numbers_and_times_as_people_write_them(
    language: str, number: str, took: str, ages: list[str], moment: str, city: str
) -> None:
    """Ages are rounded down, times are the store's, seconds stand in them."""
    context = in_language(language)
    spans = [timedelta(0), timedelta(seconds=59), timedelta(seconds=119), timedelta(minutes=59, seconds=59)]
    spans += [timedelta(minutes=119), timedelta(hours=47, minutes=59), timedelta(hours=48)]
    assert words.number(1_234_567) == number
    assert words.number(-5).startswith("\N{MINUS SIGN}")
    assert (words.number(None), words.number(0)) == ("—", "0")
    assert words.took(1_234_567) == took
    assert [words.age(span).replace(words.NBSP, " ") for span in spans] == ages
    assert words.moment(datetime(2026, 5, 4, 9, 0, 7, tzinfo=UTC), "Europe/Moscow") == moment
    assert words.place("Europe/Moscow") == city
    context.pop()  # type: ignore[attr-defined]


def test_files_of_others_are_what_they_were() -> None:
    """Each is named with its hash and its licence is beside it."""
    told = (VENDOR / "VENDOR.md").read_text("utf-8")
    hashes = dict(re.findall(r"^\| `([^`]+)` \| ([0-9a-f]{64}) \|$", told, re.MULTILINE))
    files = {path.name: path for path in VENDOR.iterdir() if path.suffix in (".svg", ".woff2", ".js")}
    assert files.keys() == hashes.keys()
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == hashes[name], name
        assert (VENDOR / f"{_package(path)}.LICENSE").read_text("utf-8").strip(), name


def _package(path: Path) -> str:
    found = re.match(r"[a-z-]+-\d+\.\d+\.\d+", path.name)
    assert found
    return found[0]


def test_icons_and_files_that_are_named_exist() -> None:
    sprite = (VENDOR / "lucide-1.62.0.svg").read_text("utf-8")
    known = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    templates = "".join(path.read_text("utf-8") for path in (catalogue.CONSOLE / "templates").rglob("*.html"))
    used = set(re.findall(r'm\.icon\("([a-z-]+)"\)', templates)) | {icon for icon, _ in words.LOOKS.values()}
    assert used <= known
    for name in re.findall(r"static_url\('([^']+)'\)", templates):
        assert (STATIC / name).is_file()
