"""Texts as FarCards can carry them: cut to the bytes of its structs in Windows-1251, and quoted for XML."""

from __future__ import annotations

import re
from collections.abc import Mapping

Controls = Mapping[int, str | None]

HOLDER_BYTES = 39
TEXT_BYTES = 255
PLACE_BYTES = 64

# Characters that XML or a struct of ANSI text can not carry: white space becomes a blank, the rest goes.
CONTROLS: Controls = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0))) | dict.fromkeys((9, 10, 13), " ")
CONTROLS_BUT_FEEDS: Controls = {code: to for code, to in CONTROLS.items() if code != 10}
# What stays as it is: ASCII that prints, and Russian.
_USUAL = re.compile("[ -~А-яЁё№]*")


def fitted(value: str, limit: int, controls: Controls = CONTROLS) -> str:
    """The text as a struct of ``limit`` bytes in Windows-1251 can hold it; what it lacks becomes ``?``."""
    told = value.replace("\n", "") if controls is CONTROLS_BUT_FEEDS else value
    if len(value) <= limit and _USUAL.fullmatch(told):
        return value
    return ansi(value.translate(controls))[:limit].decode("cp1251")


def ansi(value: str) -> bytes:
    return value.encode("cp1251", "replace")


def quoted(value: str) -> str:
    """The text inside double quotes of an attribute; a line feed is kept."""
    if "&" in value:
        value = value.replace("&", "&amp;")
    if "<" in value:
        value = value.replace("<", "&lt;")
    if ">" in value:
        value = value.replace(">", "&gt;")
    if '"' in value:
        value = value.replace('"', "&quot;")
    if "\n" in value:
        value = value.replace("\n", "&#10;")
    return value
