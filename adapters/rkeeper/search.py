"""FindEmail: a card by whatever was typed or scanned at the station.

r_keeper sends any text there: a phone, an e-mail, a QR code, a part of a name (page, "Find by e-mail"); some tills
percent-encode its UTF-8 or Windows-1251 bytes. The station then asks for the card info of the card that it is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters.parsing import MAX_INT64, bad
from adapters.rkeeper.messages import card_number
from processing.errors import CardNotFound
from processing.results import CardsFound, FoundCard

MAX_TEXT = 255

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


def sought(text: str | None) -> str:
    """The text that was typed, decoded; empty when it says nothing. Errors: BadMessage when it is too long."""
    if text is None:
        raise bad("QRY@Email", "", "the text to find")
    plain = "".join(letter for letter in decoded(text) if letter.isprintable()).strip()
    if len(plain) > MAX_TEXT:
        raise bad("QRY@Email", plain, f"at most {MAX_TEXT} characters")
    return plain


def decoded(text: str) -> str:
    """The text without percent-escapes: UTF-8 if that fits, else Windows-1251, else as it came.

    A text with letters beyond ASCII was not escaped; a plus is a phone's, not a blank.
    """
    if "%" not in text or not text.isascii():
        return text
    raw = _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), text.encode())
    for encoding in ("utf-8", "cp1251"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return text


def chosen(found: CardsFound, options: Mapping[str, Any]) -> FoundCard:
    """The card to tell: the first, usable ones come first, of those that the protocol's number can carry.

    Cards of several guests are refused unless the link takes the first: the station would pay with a
    stranger's points and show no more than a name. Errors: CardNotFound with a hint.
    """
    cards = [card for card in found.cards if 0 < (card_number(card.number) or 0) <= MAX_INT64]
    if not cards:
        raise CardNotFound("nobody is found by this text", hint="nobody_found")
    several = found.more or len({card.account for card in found.cards}) > 1
    if several and options["several_found"] == "refuse":
        raise CardNotFound("several guests are found by this text", hint="several_found")
    return cards[0]
