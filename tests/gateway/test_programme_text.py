"""A programme's document and its file say the same: either is made of the other, and nothing is lost."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from gateway import programme_text
from gateway.json_schema import json_schema
from gateway.programme_schemas import ProgrammeSchema
from gateway.programme_text import Scales, text
from gateway.settings import read_programme
from gateway.yaml_files import read_yaml
from processing.errors import ConfigError
from processing.programme import document as documents_module
from processing.programme.document import ProgrammeDocument, simple
from tests.effort import drawn
from tests.gateway.programme_documents import CHAIN, CONFIGS, documents

SAMPLES = sorted((CONFIGS / "programmes").glob("*.yaml"))
VALIDATOR = jsonschema_rs.Draft202012Validator(json_schema(ProgrammeSchema, "A programme of tillgate"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programmes") / "written.yaml"


def written(document: ProgrammeDocument, file: Path) -> Path:
    file.write_text(text(document, Scales.among(CHAIN.units, document.unit)), "utf-8")
    return file


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_comes_back_from_its_document(sample: Path, file: Path) -> None:
    document = read_programme(sample, CHAIN)
    assert read_programme(written(document, file), CHAIN) == document


# Shrinking takes minutes and finds no more: the message names line and path.
@settings(
    max_examples=drawn(60), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate]
)
@given(documents())
def test_any_document_comes_back_from_its_text(file: Path, document: ProgrammeDocument) -> None:
    """And editors find nothing wrong with it."""
    assert read_programme(written(document, file), CHAIN) == document
    assert list(VALIDATOR.iter_errors(read_yaml(file))) == []


@pytest.mark.parametrize("unit", ["BONUS", "COIN"])
def test_a_document_that_says_nothing_comes_back(unit: str, file: Path) -> None:
    for document in (ProgrammeDocument(code="empty", unit=unit), simple("old", unit, 500, 3000, 1, 365, "a", "b")):
        assert read_programme(written(document, file), CHAIN) == document


def test_the_text_knows_every_field_of_a_document() -> None:
    """A field that is added and not written would be lost in silence."""
    source = inspect.getsource(programme_text)
    structs = [each for each in vars(documents_module).values() if isinstance(each, type)]
    fields = {
        f"{each.__name__}.{name}"
        for each in structs
        if issubclass(each, msgspec.Struct)
        for name in each.__struct_fields__
    }
    assert len(fields) > 80
    assert [name for name in sorted(fields) if not re.search(rf"\.{name.partition('.')[2]}\b", source)] == []


def test_the_text_says_no_more_than_it_must(file: Path) -> None:
    said = written(read_programme(CONFIGS / "programmes" / "thresholds.yaml", CHAIN), file).read_text("utf-8")
    assert said == (
        "programme: thresholds\n"
        "unit: BONUS\n"
        "\n"
        "discounts:\n"
        "  rules:\n"
        "    - rule: large_receipt\n"
        "      text: {ru: Скидка за большую покупку, en: Discount for a large purchase}\n"
        '      percent_by_receipt: {"10000": 5, "20000": 10}\n'
    )


# What the short form says beside it --------------------------------------------------------------------------------


def test_the_short_form_says_what_a_point_is_worth(file: Path) -> None:
    file.write_text('programme: p\nunit: BONUS\ncashback_percent: 5\npoint_price: "0.5"\n', "utf-8")
    assert read_programme(file, CHAIN).point_price_millionths == 500_000


@pytest.mark.parametrize("section", ["goods: {milk: {codes: ['1']}}", "places: {city: [bistro]}"])
def test_the_short_form_has_no_rules_that_name_sets(section: str, file: Path) -> None:
    file.write_text(f"programme: p\nunit: BONUS\ncashback_percent: 5\n{section}\n", "utf-8")
    with pytest.raises(ConfigError, match="the short form or sections, not both"):
        read_programme(file, CHAIN)


def test_a_step_stands_once(file: Path) -> None:
    said = 'percent_by_receipt: {"100": 5, "100.00": 7}'
    file.write_text(f"programme: p\nunit: BONUS\ndiscounts:\n  rules:\n    - rule: r\n      {said}\n", "utf-8")
    with pytest.raises(ConfigError, match=r"written.yaml:6: discounts.rules.0.percent_by_receipt: .*each amount once"):
        read_programme(file, CHAIN)
