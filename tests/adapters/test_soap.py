"""Faults of services in SOAP."""

from __future__ import annotations

import pytest

from adapters.parsing import parse_xml
from adapters.soap import SOAP_12, Envelope, fault
from processing.errors import CardNotFound


@pytest.mark.parametrize("language", ["ru", "en"])
def test_a_fault_says_in_which_language_its_words_are(language: str) -> None:
    told = fault(CardNotFound("nobody"), Envelope(SOAP_12, parse_xml(b"<Ask/>")), language)
    (words,) = parse_xml(told.body).iter(f"{{{SOAP_12}}}Text")
    assert words.get("{http://www.w3.org/XML/1998/namespace}lang") == language
    assert words.text and words.text.isascii() == (language == "en")
