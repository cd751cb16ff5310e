"""Bytes of a till -> XML tree, and its texts -> whole numbers, dates and codes: safely, or BadMessage.

Nothing here resolves entities, reads a DTD or reaches the network, and every size has a bound with a name.
A helper takes the text and where it stood (``TransactionsEx[2]@Summa``) and raises BadMessage with both;
it raises nothing else.
"""

from __future__ import annotations

import re
import threading
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from lxml import etree

from processing.errors import BadMessage, TooLarge
from processing.units import MAX_AMOUNT, QUANTITY_SCALE, cut, scaled

MAX_BYTES = 1 << 20
# libxml2's own bound unless huge_tree is set; nothing here recurses over a tree.
MAX_DEPTH = 256
MAX_CODE = 64
MAX_NAME = 255
MAX_INT64 = 2**63 - 1
INT64_DIGITS = 19
MAX_QUOTED = 80

UTF_8 = "utf-8"
FALLBACK = "windows-1251"

# What a till may declare. All of them keep ASCII as it is, so that the search for a DTD in the bytes sees
# what the parser sees; UTF-16, UTF-7 or EBCDIC could hide one.
ENCODINGS = {
    "utf-8": UTF_8,
    "utf8": UTF_8,
    "us-ascii": UTF_8,
    "ascii": UTF_8,
    "windows-1251": FALLBACK,
    "cp1251": FALLBACK,
    "1251": FALLBACK,
    "cp866": "cp866",
    "ibm866": "cp866",
    "866": "cp866",
    "koi8-r": "koi8-r",
    "iso-8859-1": "iso-8859-1",
    "iso-8859-5": "iso-8859-5",
}

# Attribute names in lower case, each with its usual spelling: in bytes, which is what libxml2 compares.
Spelled = tuple[tuple[str, bytes], ...]

_BOM = b"\xef\xbb\xbf"
_DECLARED = re.compile(rb"<\?xml\s[^>]{0,200}?\bencoding\s*=\s*[\"']([^\"']{1,40})[\"']")
_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
# ISO 8601 without zone; RKDate is also seen with dashes in its time: 2026-05-04T00-00-00.
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2})[:-]([0-9]{2})(?:[:-]([0-9]{2})(?:[.,][0-9]{1,9})?)?)?"
)

_PLAIN, _PLAIN_DAY = len("2026-05-04T19:52:30"), len("2026-05-04")

_local = threading.local()


def bad(where: str, value: object, expected: str) -> BadMessage:
    """The error that says: at ``where`` stood ``value``, and ``expected`` is what should have."""
    quoted = str(value)[:MAX_QUOTED]
    return BadMessage(f"{where}: expected {expected}", where=where, value=quoted)


def parse_xml(body: bytes) -> etree._Element:
    """The root element of the message.

    A byte order mark and white space in front are skipped. The declared encoding is obeyed, UTF-8 stands in
    when nothing is declared, Windows-1251 when the bytes do not decode. Comments and processing instructions
    are dropped. Errors: BadMessage for a DTD, an unknown encoding, XML that is not well-formed or deeper than
    MAX_DEPTH; TooLarge.
    """
    if len(body) > MAX_BYTES:
        raise TooLarge("message too large", where="body", value=len(body))
    body = body.lstrip().removeprefix(_BOM).lstrip()
    if b"<!DOCTYPE" in body:
        raise bad("DOCTYPE", "<!DOCTYPE", "no document type")
    encoding = encoding_of(body)
    try:
        return etree.fromstring(body, _parser(encoding))
    except etree.XMLSyntaxError as error:
        if _decodes(body, encoding):
            raise _not_well_formed(error) from None
    try:
        return etree.fromstring(body, _parser(FALLBACK))
    except etree.XMLSyntaxError as error:
        raise _not_well_formed(error) from None


def parse_xml_text(text: str) -> etree._Element:
    """The root element of a document that travelled as text inside another one. Errors: as parse_xml."""
    return parse_xml(_DECLARATION.sub("", text, count=1).encode(UTF_8, "replace"))


def attributes(element: etree._Element, wanted: Spelled = (), optional: Spelled = ()) -> dict[str, str]:
    """The element's attributes under lower-case names, values stripped: tills differ in case.

    With ``wanted`` (made by ``spelled``) only these are read, in the spelling given, which is the quick way; if
    one of them is not there, all attributes are read without regard to case. ``optional`` ones may be missing
    in the quick way.
    """
    found: dict[str, str] = {}
    get = element.get
    for lower, name in wanted:
        value = get(name)
        if value is None:
            return _all_attributes(element)
        found[lower] = value.strip()
    for lower, name in optional:
        found[lower] = get(name, "").strip()
    return found or _all_attributes(element)


def spelled(*names: str) -> Spelled:
    """Attribute names as the till usually spells them, with the lower-case names to find them under."""
    return tuple([(name.lower(), name.encode()) for name in names])


def _all_attributes(element: etree._Element) -> dict[str, str]:
    return {str(name).lower(): str(value).strip() for name, value in element.items()}


def local_name(tag: str) -> str:
    """The tag in upper case and without a namespace."""
    return tag.rpartition("}")[2].upper()


def integer(text: str | None, where: str) -> int:
    """A whole number, such as an amount that is already in minor units."""
    try:
        return scaled(text or "", 0)
    except ValueError:
        raise bad(where, text, "a whole number") from None


def identifier(text: str | None, where: str) -> int:
    """A card or account number carried as an integer: 0 to 2^63-1. Amounts are bounded tighter: integer."""
    if text and len(text) <= INT64_DIGITS and text.isascii() and text.isdigit():
        number = int(text)
        if number <= MAX_INT64:
            return number
    raise bad(where, text, "a number up to 2^63-1")


def minor(text: str | None, where: str) -> int:
    """A decimal of major units (roubles) as minor ones (kopecks): ``"522.5"`` is 52250."""
    try:
        return scaled(text or "", 2)
    except ValueError:
        raise bad(where, text, "an amount with at most two decimals") from None


def thousandths(text: str | None, where: str) -> int:
    """A quantity in thousandths, rounded towards zero: a third of a dish is ``"0.333333"``."""
    try:
        return cut(text or "", QUANTITY_SCALE)
    except ValueError:
        raise bad(where, text, "a quantity") from None


def bounded(amount: int, where: str) -> int:
    """A sum of amounts: each is bounded, and so must be what they add up to."""
    if abs(amount) > MAX_AMOUNT:
        raise bad(where, amount, f"a sum of at most {MAX_AMOUNT}")
    return amount


def code(text: str | None, where: str) -> str:
    """A code of the till's own, as it is; empty when it is absent."""
    if text and len(text) > MAX_CODE:
        raise bad(where, text, f"at most {MAX_CODE} characters")
    return text or ""


def one_line(text: str) -> str:
    """A name on one line, of what prints, and no longer than a name may be."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())[:MAX_NAME]


def day(text: str | None, where: str) -> date:
    """The date of a date or date-time text: ``2026-05-04``, ``2026-05-04T00-00-00``."""
    return _moment(text, where).date()


def instant(text: str | None, where: str, zone: ZoneInfo) -> datetime:
    """A local date-time of the store as an aware instant in UTC.

    The hour that a clock change repeats is read as its first occurrence.
    """
    local = _moment(text, where)
    try:
        # ``replace`` would be three times as dear.
        return datetime.combine(local.date(), local.time(), zone).astimezone(UTC)
    except OverflowError:
        raise bad(where, text, "a date and time") from None


def _moment(text: str | None, where: str) -> datetime:
    try:
        if text and len(text) == _PLAIN and text[7] == "-" and text[10] == "T" and text[16] == ":":
            return datetime.fromisoformat(text)
        if text and len(text) == _PLAIN_DAY and text[4] == "-" and text[7] == "-":
            return datetime.fromisoformat(text)
        if match := _MOMENT.fullmatch(text or ""):
            return datetime(*(int(part or 0) for part in match.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        pass
    raise bad(where, text, "a date or date and time")


def _not_well_formed(error: etree.XMLSyntaxError) -> BadMessage:
    return bad("xml", "line {}, column {}".format(*error.position), "well-formed XML")


def encoding_of(body: bytes) -> str:
    """What the message declares; UTF-8 when it declares nothing."""
    declared = _DECLARED.match(body)
    name = declared[1].decode("ascii", "replace").lower() if declared else UTF_8
    if name not in ENCODINGS:
        raise bad("encoding", name, "one of " + ", ".join(sorted(ENCODINGS)))
    return ENCODINGS[name]


def _decodes(body: bytes, encoding: str) -> bool:
    try:
        body.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _parser(encoding: str) -> etree.XMLParser:
    """This thread's parser for the encoding: parsers are reused, but never by two threads at once."""
    parsers: dict[str, etree.XMLParser] | None = getattr(_local, "parsers", None)
    if parsers is None:
        parsers = _local.parsers = {}
    if encoding not in parsers:
        parsers[encoding] = etree.XMLParser(
            encoding=encoding,
            resolve_entities=False,
            no_network=True,
            huge_tree=False,
            load_dtd=False,
            dtd_validation=False,
            remove_comments=True,
            remove_pis=True,
        )
    return parsers[encoding]
