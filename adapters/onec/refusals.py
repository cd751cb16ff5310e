"""Refusals -> the bytes that 1C reads, in the shape of the resource that they answer.

A till throws away whatever comes with another status than 200, so that everything a cashier should read has it.
Page: docs/adapters/onec.md, "Errors".
"""

from __future__ import annotations

import re

from adapters.contract import Link, WireRequest, WireResponse
from adapters.onec.answers import TEXT, answer, failure, plain, reason, word
from adapters.onec.options import speaks_json
from processing.errors import BadCredentials, LinkPaused, LoyaltyError, NoSuchRoute

# Their old paths speak in texts, their twins and all others in JSON.
COMMANDS = (
    "unlockclientbonuses",
    "writeoffclientbonuses",
    "unlockgiftcard",
    "writeoffgiftcard",
    "unlockpromocode",
)
# Their answers are lists without an envelope; for a refusal a 1C provider writes the text instead (page, section 8).
LISTS = (
    "getcardtypes",
    "getcontrolleddiscountslist",
    "getlistonpaydiscounts",
    "listofemployees",
    "getlistbatches",
)
UNAUTHORISED, NOT_FOUND, NOT_ALLOWED, LOCKED = 401, 404, 405, 423
# RFC 7617.
CHALLENGE = {"WWW-Authenticate": 'Basic realm="loyaltyservice", charset="UTF-8"'}
ROOT = "hs/loyaltyservice/"

_RESOURCE = re.compile(rf"{ROOT}(?P<name>[a-z]{{1,40}}?)(?P<twin>3_0|new)?/?", re.IGNORECASE)


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Any refusal. What the door refuses has the status of a web server, all else 200."""
    match = _RESOURCE.fullmatch(request.path)
    name = match["name"].lower() if match else ""
    if isinstance(error, BadCredentials):
        body = reason(error, link.options).encode()
        return WireResponse(body, TEXT, UNAUTHORISED, CHALLENGE, refused=error.code)
    if isinstance(error, NoSuchRoute):
        return plain(reason(error, link.options), NOT_ALLOWED if name in KNOWN else NOT_FOUND, error.code)
    if isinstance(error, LinkPaused):
        return _off(name, bool(match and match["twin"]), link, error.code)
    words = reason(error, link.options, "no_gift" if "giftcard" in name else "no_card")
    if name in LISTS or (name in COMMANDS and not (match and match["twin"])):
        return plain(words, refused=error.code)
    return answer(failure(words, link.options), refused=error.code)


def _off(name: str, is_twin: bool, link: Link, code: str) -> WireResponse:
    """The provider is switched off (page, section 8)."""
    words = word("off", link.options)
    if not speaks_json(link.options):
        return plain(words, LOCKED, code)
    if name in LISTS or (name in COMMANDS and not is_twin):
        return plain(words, refused=code)
    told = failure(words, link.options)
    return answer(told | {"Connection": False} if name == "ping" else told, refused=code)


KNOWN: frozenset[str] = frozenset(
    {
        *COMMANDS,
        *LISTS,
        "ping",
        "useautomaticdiscounts",
        "findclientcard",
        "getclientbonuses",
        "calculatediscounts",
        "accrueclientbonuses",
        "issueclientcard",
        "salesturnover",
        "getgiftcardinfo",
        "checkgiftcard",
        "accruegiftcard",
        "promocodeinfo",
        "unitedbonuscards",
        "salesrestrictionsinfo",
        "getleftovers",
        "getprice",
        "getseriesdata",
        "processmarkingcode",
        "getgosisauthorizationtoken",
    }
)
