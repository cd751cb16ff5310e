"""What 1C answers over OData -> rows and values, or the error that the outbox acts on.

Codes of errors: docs/adapters/onec_server.md, "Errors". Their texts stay out of ours: they quote what was asked.
"""

from __future__ import annotations

import re
from datetime import date

from adapters.contract import HttpReply, checked
from adapters.json_parsing import Node, parse_json
from adapters.onec import guids, queries
from adapters.parsing import bad
from processing.errors import BadMessage, LinkDown, LinkRefused

MAX_TEXT = 1_024
NO_SESSION, CHANGED = 406, 412
FAILED, NOT_FOUND, EXISTS = "-1", "9", "15"
MEANINGS = {
    FAILED: "1C's own code refuses; its event log tells why",
    "0": "1C does not support this",
    "1": "1C cannot read a value",
    "2": "1C finds the request malformed",
    "3": "1C does not support this format",
    "4": "1C refuses a value",
    "5": "1C misses a property",
    "6": "1C does not take this address",
    "7": "1C misses a part of the key",
    "8": "a set is not published for OData",
    NOT_FOUND: "1C has no such object",
    "10": "1C has no such property",
    "11": "1C has no such method",
    "12": "1C misses an argument",
    "13": "rows of a table part cannot be made by themselves",
    "14": "1C does not take these options",
    EXISTS: "1C has an object with this key",
    "16": "a property cannot be set",
    "17": "1C does not load in this mode",
    "18": "1C's OData interface does not start",
    "19": "1C forbids this here",
    "20": "the user has no rights to it",
    "21": "1C does not take this function",
    "501": "1C does not publish attributes of this type",
}
_XML_CODE = re.compile(rb"<(?:\w{1,20}:)?code>\s{0,20}(-?[0-9]{1,3})\s{0,20}<")


def code_of(reply: HttpReply) -> str:
    """The code of an error, from JSON or XML; empty where the answer has none that is known."""
    told = ""
    if match := _XML_CODE.search(reply.body[:4_096]):
        told = match[1].decode()
    elif reply.body.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{"):
        try:
            told = parse_json(reply.body).get("odata.error").get("code").text()
        except BadMessage:
            return ""
    return told if told in MEANINGS else ""


def accepted(reply: HttpReply) -> HttpReply:
    """The reply, where it is a yes. Errors: LinkDown for what may pass: no session, no licence, a session that has
    died (400 without an error of OData); LinkRefused."""
    if 200 <= reply.status < 300:
        return reply
    code = code_of(reply)
    if reply.status == NO_SESSION:
        raise LinkDown("1C gives no session: HTTP 406")
    if reply.status == 400 and not code and reply.body:
        raise LinkDown(
            "HTTP 400 without an error of OData: the session is dead, or the address too long for its web server"
        )
    if code and (reply.status < 500 or code == FAILED):
        raise LinkRefused(f"{MEANINGS[code]} (HTTP {reply.status}, code {code})")
    return checked(reply)


def document(reply: HttpReply) -> Node:
    """The answer as one object. Errors: as ``accepted``; BadMessage for what is no JSON object."""
    found = parse_json(accepted(reply).body)
    if not isinstance(found.value, dict):
        raise bad("body", found.value, "an object")
    return found


def rows(reply: HttpReply, most: int) -> list[Node]:
    """The objects of a collection. Errors: as ``document``."""
    value = document(reply).get("value")
    if value.value is None:
        raise bad("value", None, "an array")
    found = value.rows(most)
    for row in found:
        ref(row)
    return found


# Values ---------------------------------------------------------------------------------------------------------


def ref(row: Node) -> str:
    """The object's own GUID. Errors: BadMessage where it has none."""
    told = guid(row, "Ref_Key")
    if not told:
        raise bad(f"{row.where}.Ref_Key", told, "a GUID")
    return told


def guid(row: Node, name: str) -> str:
    """A reference in lower case; empty where it is empty. Errors: BadMessage."""
    return guids.guid(text(row, name), f"{row.where}.{name}")


def text(row: Node, name: str, most: int = MAX_TEXT) -> str:
    """A text, or a number as it was written; empty where there is none. Errors: BadMessage."""
    return row.get(name).text(most)


def flag(row: Node, name: str) -> bool:
    """A boolean of JSON, or as 1C's code writes it. Errors: BadMessage."""
    told = row.get(name).value
    return told if isinstance(told, bool) else queries.flag(text(row, name), f"{row.where}.{name}")


def shown(row: Node, name: str) -> str:
    """A value of whatever type as text, for comparing it with a mapping's: true, false, a name. Errors: BadMessage."""
    told = row.get(name).value
    return str(told).lower() if isinstance(told, bool) else text(row, name)


def day(row: Node, name: str) -> date | None:
    """The date of a date; 1C's empty date is none. Errors: BadMessage."""
    return queries.day(text(row, name), f"{row.where}.{name}")


def amount(row: Node, name: str) -> str:
    """A number as plain text: 1C's code groups thousands with NBSP and writes a comma. Errors: BadMessage."""
    told = queries.number(text(row, name))
    if told and not re.fullmatch(r"-?[0-9]{1,38}(\.[0-9]{1,38})?", told):
        raise bad(f"{row.where}.{name}", told, "a number")
    return told
