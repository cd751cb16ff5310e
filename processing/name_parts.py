"""How a part of a name leads to its holder: each word's beginnings are kept as blind indexes. Pure.

The letters themselves are encrypted and cannot be searched. ``vault.blind_index(NAME, part)`` of every part is.
"""

from __future__ import annotations

import unicodedata

NAME = "name"
"""The kind of blind index."""

MIN_LETTERS, MAX_LETTERS = 3, 12
# Of one name, and of one search.
MAX_WORDS = 8
MAX_WANTED = 4


def parts(name: str) -> set[str]:
    """What a name is found by: of each of its first words the beginnings of 3 to 12 letters.

    ``parts("Анна Ли") == {"анн", "анна"}``: words of one or two letters lead to too many.
    """
    return {
        word[:length]
        for word in _words(name)[:MAX_WORDS]
        for length in range(MIN_LETTERS, min(len(word), MAX_LETTERS) + 1)
    }


def wanted(text: str) -> list[str]:
    """The parts that a name must have, all of them, to be what was typed; empty when that is too little.

    Whatever begins a word of a name finds it: letters past the twelfth do not count. Of many words the longest.
    """
    words = dict.fromkeys(word[:MAX_LETTERS] for word in _words(text) if len(word) >= MIN_LETTERS)
    return sorted(words, key=len, reverse=True)[:MAX_WANTED]


def _words(text: str) -> list[str]:
    """Runs of letters in small letters, without the difference between е and ё."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("ё", "е")
    return "".join(char if char.isalpha() else " " for char in folded).split()
