"""The pages about programmes cannot drift: tables are the schemas', recipes the files and their tests' figures."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import programme_reference as reference
from gateway import programme_texts as texts
from gateway.programme_schemas import SHORT, ProgrammeSchema

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SAMPLES = ROOT / "configs" / "programmes"
SCENARIOS = ROOT / "tests" / "scenarios" / "test_programmes.py"

LANGUAGES = ("en", "ru")
COOKBOOKS = {"en": "cookbook.md", "ru": "cookbook.ru.md"}
# By the number of the recipe and of its tests.
RECIPES = (
    "thresholds",
    "accumulative",
    "bonus",
    "restaurant",
    "products",
    "currency",
    "coffee",
    "welcome",
    "certificates",
    "network",
)


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


# Reference ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_regenerating_the_reference_changes_nothing(language: str) -> None:
    text = page(reference.PAGES[language])
    assert reference.filled(text, language) == text, "run python -m gateway.programme_reference"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_reference_has_every_table_once(language: str) -> None:
    found = reference.tables_in(page(reference.PAGES[language]))
    assert sorted(found) == sorted([*reference.PARTS, reference.SHORT_FORM])


def test_every_mapping_of_the_file_is_a_part_of_the_reference() -> None:
    within = {ProgrammeSchema, *reference.schemas_within(ProgrammeSchema)}
    assert len(within) > 20
    assert within <= {part.schema for part in reference.PARTS.values()}


KEYS = [(part.schema, key) for part in reference.PARTS.values() for key in reference.keys_of(part.schema)]


@pytest.mark.parametrize(("schema", "key"), KEYS, ids=lambda value: getattr(value, "name", None) or value.__name__)
def test_every_key_is_described_in_both_languages(schema: Any, key: reference.Key) -> None:
    assert key.description, "it has no metadata description"
    assert reference.told(key, "ru") not in ("", key.description)
    assert [reference.kind(key.field, language) for language in LANGUAGES]


def test_every_key_of_a_mapping_stands_in_a_table() -> None:
    names = [*reference.PARTS, reference.SHORT_FORM]
    told = {(key.name, key.description) for name in names for key in reference.table_keys(name)}
    assert [key.name for _, key in KEYS if (key.name, key.description) not in told] == []


def test_nothing_is_translated_that_no_key_says() -> None:
    said = {key.description for _, key in KEYS}
    assert [text for text in texts.RUSSIAN if text not in said] == []


def test_choices_are_told_as_words() -> None:
    policy = next(key.field for key in reference.keys_of(ProgrammeSchema) if key.name == "return_policy")
    assert reference.kind(policy, "ru") == "`debt`, `deduct`, `forgive`"
    assert reference.default(policy, "ru") == "`debt`"


def test_configuration_tells_the_short_form() -> None:
    text = page("configuration.md").partition("## `programmes/<code>.yaml`")[2].partition("\n## ")[0]
    shared = {"programme", "unit", "discount", "bonus", "return_policy", "return_grace_days"}
    assert set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)) == {*SHORT, *shared}
    assert "(programmes.md)" in text


@pytest.mark.parametrize("pages", [reference.PAGES, COOKBOOKS], ids=["reference", "cookbook"])
def test_both_languages_have_the_same_headings(pages: dict[str, str]) -> None:
    levels = [re.findall(r"^#+", _prose(page(pages[language])), re.MULTILINE) for language in LANGUAGES]
    assert levels[0] == levels[1]


def _prose(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


# Cookbook -------------------------------------------------------------------------------------------------------


def recipes(language: str) -> dict[int, str]:
    """The sections of the cookbook by their numbers."""
    parts = re.split(r"^## (?=\d+\. )", page(COOKBOOKS[language]), flags=re.MULTILINE)[1:]
    return {int(part.partition(".")[0]): part.partition("\n## ")[0] for part in parts}


def test_every_sample_has_its_recipe() -> None:
    assert sorted(RECIPES) == sorted(path.stem for path in SAMPLES.glob("*.yaml"))
    assert [list(recipes(language)) for language in LANGUAGES] == [list(range(1, len(RECIPES) + 1))] * 2


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("number", range(1, len(RECIPES) + 1))
def test_recipe_shows_its_file(language: str, number: int) -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", recipes(language)[number], re.MULTILINE | re.DOTALL)
    assert shown == (SAMPLES / f"{RECIPES[number - 1]}.yaml").read_text("utf-8"), "copy the file into its recipe"


class Folded(ast.NodeVisitor):
    """The whole numbers in what a test asserts, sums worked out; days and instants are no figures."""

    def __init__(self) -> None:
        self.found: set[int] = set()

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func) not in ("datetime", "date", "timedelta"):
            self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        try:
            self.found.add(int(eval(ast.unparse(node), {"__builtins__": {}})))
        except (NameError, SyntaxError):
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if type(node.value) is int:
            self.found.add(node.value)


def figures(number: int) -> Iterator[int]:
    """What the tests of a recipe promise, in minor units."""
    for function in ast.parse(SCENARIOS.read_text("utf-8")).body:
        if isinstance(function, ast.FunctionDef) and function.name.startswith(f"test_{number}_"):
            folded = Folded()
            for node in ast.walk(function):
                if isinstance(node, ast.Assert):
                    folded.visit(node.test)
            # Less is an index, a count or nothing.
            yield from sorted(figure for figure in folded.found if figure >= 10)


FIGURES = [(number, figure) for number in range(1, len(RECIPES) + 1) for figure in figures(number)]


def test_the_figures_were_found() -> None:
    wanted = {(1, 1_980_000), (2, 93_000), (3, 45_000), (4, 59_900), (6, 750), (8, 52_850), (10, 85_500)}
    assert wanted <= set(FIGURES)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("number", "figure"), FIGURES)
def test_recipe_tells_every_figure_of_its_tests(language: str, number: int, figure: int) -> None:
    told = _numbers(recipes(language)[number], language)
    assert told & {f"{figure}", f"{figure / 100:.2f}".removesuffix(".00")}


def _numbers(text: str, language: str) -> set[str]:
    """The numbers of a text without marks of thousands, with a point."""
    marks = re.compile(r"(?<=\d),(?=\d{3}\b)" if language == "en" else r"(?<=\d)[  ](?=\d{3}\b)")
    plain = marks.sub("", text)
    if language == "ru":
        plain = re.sub(r"(?<=\d),(?=\d)", ".", plain)
    return set(re.findall(r"\d+(?:\.\d+)?", plain))
