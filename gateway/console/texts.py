"""What pages say: English in the code and the templates, Russian from the catalogue beside them.

The catalogue is read as it is written (locale/ru.po): nothing has to be compiled after a clone.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import g, request

from gateway.console.rights import LANGUAGES

LOCALE = Path(__file__).parent / "locale"
SOURCE = "en"
DEFAULT = LANGUAGES[0]


@cache
def translations(language: str) -> NullTranslations:
    """The catalogue of a language; that of the code has nothing to say."""
    if language == SOURCE:
        return NullTranslations()
    with (LOCALE / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


def language() -> str:
    """That of whoever has signed in; before that what the browser asks for."""
    operator = g.get("operator")
    if operator is not None:
        return str(operator.language)
    return request.accept_languages.best_match(LANGUAGES) or DEFAULT


def gettext(text: str) -> str:
    return str(translations(language()).gettext(text))


def ngettext(one: str, many: str, number: int) -> str:
    return str(translations(language()).ngettext(one, many, number))


def mark(text: str) -> str:
    """A text that is translated where it is shown."""
    return text
