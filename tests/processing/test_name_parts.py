"""Parts of names: whatever begins a word of a name, in any case and order, leads to it; nothing shorter does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.name_parts import MAX_LETTERS, MAX_WANTED, MAX_WORDS, MIN_LETTERS, parts, wanted

LETTERS = "абвгдеёжзийклмнопрстуфхцчшщъыьэюяқңөabcdefghijklmnopqrstuvwxyzÉß"
WORDS = st.text(LETTERS, min_size=1, max_size=20)
NAMES = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)


def test_a_name_is_found_by_the_beginnings_of_its_words() -> None:
    assert parts("Анна-Мария О'Коннор Ли") == {
        *("анн", "анна"),
        *("мар", "мари", "мария"),
        *("кон", "конн", "конно", "коннор"),
    }


def test_long_words_are_found_by_their_first_letters() -> None:
    longest = parts("Константинопольский")
    assert max(map(len, longest)) == MAX_LETTERS == 12
    assert wanted("константинопольск") == ["константиноп"]
    assert set(wanted("Константинопольский")) <= longest


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("артем", "Артём"),
        ("АРТЁМ", "артем"),
        ("Щербаков Ил", "Илья Щербаков"),
        ("и\u0306осиф", "Йосиф"),
        ("ｉｖａｎ", "Ivan"),
        ("strasse", "Straße"),
        ("нұр", "Нұрсұлтан"),
        ("мамин, сибиряк!", "Дмитрий Мамин-Сибиряк"),
    ],
)
def test_spelling_does_not_matter(typed: str, name: str) -> None:
    assert wanted(typed)
    assert set(wanted(typed)) <= parts(name)


@pytest.mark.parametrize("typed", ["", "  ", "ан", "а б", "12345", "!?", "я1н2а"])
def test_less_than_three_letters_are_too_few(typed: str) -> None:
    assert wanted(typed) == []


def test_words_that_no_name_has_lead_nowhere() -> None:
    assert not set(wanted("нна")) <= parts("Анна")
    assert not set(wanted("Анна Мария")) <= parts("Анна")


@given(name=NAMES, data=st.data())
def test_the_beginning_of_any_word_finds_the_name(name: str, data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(name.split()))
    typed = word[: data.draw(st.integers(1, len(word)))]
    assert set(wanted(typed)) <= parts(name)


@given(name=st.text(max_size=200))
def test_any_text_has_a_bounded_number_of_parts(name: str) -> None:
    found, asked = parts(name), wanted(name)
    assert len(found) <= MAX_WORDS * (MAX_LETTERS - MIN_LETTERS + 1)
    assert all(MIN_LETTERS <= len(part) <= MAX_LETTERS for part in found)
    assert len(asked) == len(set(asked)) <= MAX_WANTED
