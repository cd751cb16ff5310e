"""Whatever the core refuses, the person at the till reads in their language."""

from __future__ import annotations

import re

import pytest

from adapters.texts import AMOUNTS, ENGLISH, LANGUAGES, LINES, REFUSALS, RUSSIAN, code_text, line, text
from processing.errors import Busy, CardNotFound, InsufficientPoints, LimitExceeded, by_code

CYRILLIC = re.compile("[А-Яа-яЁё]")


def test_every_error_code_has_a_text_and_every_text_a_code() -> None:
    assert len(by_code()) >= 20
    assert set(REFUSALS) == set(by_code())


@pytest.mark.parametrize("texts", [*REFUSALS.values(), *AMOUNTS.values(), *LINES.values()], ids=str)
def test_a_text_is_in_both_languages_and_in_the_right_one(texts: dict[str, str]) -> None:
    assert set(texts) == set(LANGUAGES)
    assert CYRILLIC.search(texts[RUSSIAN])
    assert not CYRILLIC.search(texts[ENGLISH])
    assert texts[ENGLISH].isascii()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_with_its_amounts_fits_the_tills_line(language: str) -> None:
    for cls in by_code().values():
        told = text(cls(available=10**15, limit=10**15), language)
        assert len(told.encode("cp1251")) <= 255
        assert "{" not in told


def test_amounts_are_told_in_major_units() -> None:
    assert text(InsufficientPoints(available=4500, asked=10000), ENGLISH).endswith("Available 45.00")
    assert text(LimitExceeded(limit=5, asked=10, scale=0), ENGLISH).endswith("At most 5")
    assert text(InsufficientPoints(available=-100), RUSSIAN).endswith("Доступно 0.00")
    assert text(InsufficientPoints(), RUSSIAN) == REFUSALS["insufficient_points"]["ru"]


def test_an_unknown_code_and_an_unknown_language_still_say_something() -> None:
    assert code_text("never_heard_of", RUSSIAN) == REFUSALS["error"]["ru"]
    assert text(CardNotFound(), "kk") == REFUSALS["card_not_found"]["en"]
    assert code_text("busy", ENGLISH) == text(Busy(), ENGLISH)


def test_a_line_of_a_slip_carries_its_amount() -> None:
    assert line("accrued", ENGLISH, "15.68") == "Accrued 15.68"
    assert line("cancelled", RUSSIAN) == "Операция отменена"
