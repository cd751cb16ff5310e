"""The texts of the pages: what the code and the templates say, and what the catalogues know.

``python -m tests.pages.catalogue`` writes new texts into the Russian catalogue, for somebody to translate.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

CONSOLE = Path(__file__).parents[2] / "gateway" / "console"
KEYWORDS = {"_": None, "gettext": None, "mark": None, "ngettext": (1, 2)}
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]


def said() -> Catalog:
    """Every text in the code and the templates."""
    found = Catalog()
    for file, line, message, _, _ in extract_from_dir(CONSOLE, METHODS, keywords=KEYWORDS):
        found.add(message, locations=[(file, line)])
    return found


def known(language: str) -> Catalog:
    with (CONSOLE / "locale" / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def problems(language: str) -> Iterator[str]:
    """What a reader of this language would miss."""
    catalogue, texts = known(language), said()
    for message in texts:
        if not message.id:
            continue
        translated = catalogue.get(message.id)
        if translated is None:
            yield f"missing: {message.id}"
        elif translated.fuzzy:
            yield f"fuzzy: {message.id}"
        else:
            strings = translated.string if isinstance(translated.string, tuple) else (translated.string,)
            if not all(strings) or len(strings) != (catalogue.num_plurals if message.pluralizable else 1):
                yield f"not translated: {message.id}"
            yield from (f"{message.id}: {error}" for error in translated.check(catalogue))
    yield from (f"nobody says: {message.id}" for message in catalogue if message.id and texts.get(message.id) is None)


def main() -> None:
    catalogue = known("ru")
    catalogue.update(said(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    with (CONSOLE / "locale" / "ru.po").open("wb") as file:
        write_po(file, catalogue, no_location=True, sort_output=True, omit_header=False, width=0)


if __name__ == "__main__":
    main()
