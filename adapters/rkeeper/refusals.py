"""Refusals -> the bytes that FarCards reads, in the words of the call they answer.

A refused card is shown as found and locked, for only then the station shows our text; a refused package has
Result 1 and a TRRESPONSE. docs/adapters/rkeeper.md, "What is answered".
"""

from __future__ import annotations

import re

from adapters.contract import Link, WireRequest, WireResponse
from adapters.response_codes import number
from adapters.rkeeper.answers import (
    CONTENT_TYPE,
    NO_PICTURE,
    NOT_FOUND,
    card_info,
    language,
    not_found_answer,
    respond,
)
from adapters.rkeeper.trresponse import refused_answer
from adapters.rkeeper.wording import TEXT_BYTES, fitted
from adapters.texts import reason
from processing.errors import BadCredentials, CardNotFound, LoyaltyError

CARD_INFO, FIND, PICTURE, LICENSE = "getcardinfoex", "findemail", "getcardimageex", "licenseinfo"
_CALL = re.compile(rf"(?:^|/)({CARD_INFO}|{FIND}|{PICTURE}|{LICENSE})(?:\.php)?/?$", re.IGNORECASE)
_LOCALE = re.compile(rb"\blocale\s*=\s*(?:[\"']|&quot;)\s*([0-9]{1,5})", re.IGNORECASE)


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Any refusal. The path tells the call; what is none of the others is answered as transactions are."""
    called = _CALL.search(request.path)
    call = called[1].lower() if called else ""
    status = 403 if isinstance(error, BadCredentials) else 200
    if call == LICENSE:
        return WireResponse(b"", CONTENT_TYPE, status, refused=error.code)
    return respond(_document(call, error, request, link), status, error.code)


def _document(call: str, error: LoyaltyError, request: WireRequest, link: Link) -> str:
    told = _reason(error, language(_locale(request.body), link.options))
    if call == CARD_INFO:
        unknown = isinstance(error, CardNotFound) and link.options["unknown_card"] == "not_found"
        return NOT_FOUND if unknown else card_info(why=told)
    if call == FIND:
        return not_found_answer(told)
    if call == PICTURE:
        return NO_PICTURE
    return refused_answer(number(error), told, link.options)


def _reason(error: LoyaltyError, tongue: str) -> str:
    """What the person at the till reads."""
    return fitted(reason(error, tongue), TEXT_BYTES)


def _locale(body: bytes) -> str:
    """CHECK@locale straight from the bytes, for a refusal must be told even when they do not parse."""
    match = _LOCALE.search(body)
    return match[1].decode("ascii") if match else ""
