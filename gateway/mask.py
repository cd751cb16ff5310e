"""What people may see of a message: private fields, phones, cards and e-mails behind stars.

Messages are shown as they came, also those that no parser reads, so all of this works on text: plain XML, XML
escaped inside another document, JSON and forms. Every pattern runs in linear time, whatever the bytes.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Callable
from contextlib import suppress

# Plain, or escaped inside a string or another document, as often as it may be.
_QUOTES = (r'\\{0,3}"', r"\\{0,3}'", *(rf"&(?:amp;)*{name};" for name in ("quot", "apos", "#34", "#39")))
_QUOTE = rf"(?:{'|'.join(_QUOTES)})"
_OPEN, _CLOSE = r"(?:<|&(?:amp;)*lt;)", r"(?:>|&(?:amp;)*gt;)"
# Where a name begins: not inside a word; bytes shown as escapes are not part of one.
_BEGINS = r"(?:(?<!\w)|(?<=\\x[0-9a-f]{2})|(?<=\\[ntr]))"
# ``="value"`` up to the closing quote. Possessive repeats of groups are broken in Debian's Python 3.11.2; plain
# ones do as well where nothing that may fail comes after them.
_QUOTED = "|".join(rf"{quote}(?:(?!{quote}).)*" for quote in _QUOTES)
_VALUE = rf"=\s*(?:{_QUOTED}|(?:(?!{_CLOSE})[^\s<>])+)"
_ATTRIBUTE = re.compile(_VALUE, re.IGNORECASE | re.DOTALL)
_EQUALS = re.compile(rf"=\s*{_QUOTE}?", re.IGNORECASE)
# What nobody named but everybody recognises: phones and cards, written together or in groups, and e-mails.
# A GUID comes first so that its digits are left alone. Every pattern begins where a run begins: linear time.
_RECOGNISED = re.compile(
    r"(?P<guid>(?<![0-9a-z])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-z]))"
    r"|(?P<digits>[0-9]{10,}"
    r"|(?<![0-9])[0-9]{4}(?:[ \xa0-][0-9]{4}){2,3}(?![0-9])"
    r"|(?<![0-9])(?:\+?[0-9]{1,3})?[ \xa0-]?\(?[0-9]{3}\)?[ \xa0-]?"
    r"[0-9]{3}[ \xa0-]?[0-9]{2}[ \xa0-]?[0-9]{2}(?![0-9]))"
    r"|(?<![\w.+-])[\w.+-]{1,64}(?:@|%40)[\w-]{1,63}\.[\w.-]{2,}",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"[0-9]")
_WORD = re.compile(r"[^\s,\[\]\"']+")
_DECLARED = re.compile(
    rb"""^\s*<\?xml[^>]{0,100}encoding\s*=\s*["']((?:windows|cp|koi8|iso-8859|utf)-?[a-z0-9-]{1,10})["']""", re.I
)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_BOM = b"\xef\xbb\xbf"

Rewrite = Callable[[str], str]


def mask(body: bytes, private: frozenset[str]) -> str:
    """The message as people may see it: values of private fields, phones, cards and e-mails are hidden.

    ``private`` names attributes, keys, parameters and elements, in any case; of an element its attributes are
    hidden and its text up to the first tag inside. Of a number with 8 digits or more the last four stay. What
    is not text is shown as Python would write the bytes.
    """
    return rewritten(readable(body), private, _hidden)


def rewritten(text: str, private: frozenset[str], how: Rewrite) -> str:
    """The text with every value that nobody may see as ``how`` makes it; what it has made may come to it again."""
    if private:
        names = "|".join(re.escape(name) for name in sorted(private, key=len, reverse=True))
        text = _element(names).sub(lambda m: _hide_element(m, how), text)
        text = _assignment(names).sub(lambda m: _hide_assignment(m, how), text)
    return _RECOGNISED.sub(lambda m: m[0] if m["guid"] else how(m[0]), text)


@functools.lru_cache(maxsize=64)
def _element(names: str) -> re.Pattern[str]:
    """``<Name attributes>value``, plain or escaped inside another document, up to the next tag."""
    name = rf"(?P<open>{_OPEN})(?:[\w.-]{{1,40}}:)?(?:{names})(?=[\s&/>\\])"
    tag = rf"(?P<tag>{name}(?:{_VALUE}|(?!{_OPEN}|{_CLOSE}).)*)"
    value = r"<!\[CDATA\[(?P<cdata>.*?)(?=\]\]>|\Z)|(?P<value>(?:(?!(?P=open)|<).)+)"
    return re.compile(rf"{tag}(?P<close>(?<!/){_CLOSE}\s*(?:{value})?)?", re.IGNORECASE | re.DOTALL)


def _hide_element(match: re.Match[str], how: Rewrite) -> str:
    tag, rest = _ATTRIBUTE.sub(lambda m: _hide_attribute(m, how), match["tag"]), match["close"] or ""
    inner = match["cdata"] or match["value"] or ""
    return tag + rest.removesuffix(inner) + how(inner)


def _hide_attribute(match: re.Match[str], how: Rewrite) -> str:
    equals = _EQUALS.match(match[0])
    assert equals
    return equals[0] + how(match[0][equals.end() :])


@functools.lru_cache(maxsize=64)
def _assignment(names: str) -> re.Pattern[str]:
    """``name="value"``, ``"name": value`` or ``name=value``, whatever the language; a list as a whole."""
    quoted = rf"(?P<quote>{_QUOTE})(?P<text>(?:(?!(?P=quote))(?:\\.|.))*)"
    return re.compile(
        rf"(?P<name>{_BEGINS}(?:{names}){_QUOTE}?\s*[=:]\s*)"
        rf"(?:{quoted}|(?P<list>\[[^\[\]{{}}]*)|(?P<bare>[^\s&<>\"',;\[\]{{}}]+))",
        re.IGNORECASE | re.DOTALL,
    )


def _hide_assignment(match: re.Match[str], how: Rewrite) -> str:
    if match["quote"]:
        return match["name"] + match["quote"] + how(match["text"])
    if match["list"]:
        return match["name"] + _WORD.sub(lambda m: how(m[0]), match["list"])
    return match["name"] + how(match["bare"])


def _hidden(value: str) -> str:
    """Stars; of a phone or a card number the last four digits."""
    if not value.strip():
        return value
    digits = _DIGIT.findall(value)
    return f"***{''.join(digits[-4:])}" if len(digits) >= 8 else "***"


def readable(body: bytes) -> str:
    """The bytes as text if they look like it: UTF-8, what an XML declaration says, UTF-16 or cp1251.

    UTF-8 that was cut inside of a character is that as well: as anything else no name in it would be found.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with suppress(UnicodeError):
        text, (rest, _) = decoder.decode(body), decoder.getstate()
        if rest and not text.isascii() and not _CONTROL.search(body):
            return text + repr(rest)[2:-1]
    found = decoded(body)
    return found[0] if found else repr(body)[2:-1]


def decoded(body: bytes) -> tuple[str, str] | None:
    """The text and its encoding, ``utf-8-sig`` where a mark stands in front of it; ``None`` for what is no text."""
    declared = _DECLARED.match(body)
    utf_8 = "utf-8-sig" if body.startswith(_BOM) else "utf-8"
    encodings = [utf_8, *([declared[1].decode()] if declared else []), "cp1251"]
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif _CONTROL.search(body):
        encodings = []
    for encoding in encodings:
        with suppress(UnicodeError, LookupError):
            return body.decode(encoding), encoding
    return None
