"""Refusals -> the bytes that FarCards reads, in the words of the call they answer.

A refused card is shown as found and locked, for only then the station shows our text; a refused package has
Result 1 and a TRRESPONSE. docs/adapters/rkeeper.md, "What is answered".
"""

from __future__ import annotations

import re

from adapters.contract import Link, WireRequest, WireResponse
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
from adapters.texts import LINES, line, text
from processing.errors import BadCredentials, CardNotFound, LoyaltyError

# TRRESPONSE@error_code: any number but 0 is an error. Where the card industry has a number for it
# (ISO 8583, field 39), that one is used, as in the vendor's 51 for a shortage.
ERROR_CODES = {
    "error": 96,
    "refused": 5,
    "card_not_found": 14,
    "card_not_active": 78,
    "card_blocked": 62,
    "card_expired": 54,
    "card_closed": 46,
    "card_status_wrong": 57,
    "card_number_taken": 26,
    "product_not_found": 15,
    "insufficient_points": 51,
    "limit_exceeded": 61,
    "unit_not_found": 52,
    "receipt_not_found": 25,
    "already_voided": 21,
    "key_reused": 94,
    "return_exceeds": 95,
    "operation_not_found": 24,
    "hold_not_found": 40,
    "hold_ended": 41,
    "hold_expired": 68,
    "same_wallet": 42,
    "wallet_merging": 43,
    "not_gift_card": 56,
    "range_full": 44,
    "pin_required": 70,
    "wrong_pin": 55,
    "pin_locked": 75,
    "holder_not_found": 29,
    "wrong_code": 85,
    "code_expired": 86,
    "too_many_codes": 87,
    "adjustment_not_found": 47,
    "second_person_needed": 48,
    "forbidden": 58,
    "rate_limited": 65,
    "phone_taken": 27,
    "holder_exists": 28,
    "bad_amount": 13,
    "foreign_store": 3,
    "bad_message": 30,
    "too_large": 31,
    "busy": 91,
    "failed": 6,
    "bad_credentials": 63,
    "no_such_route": 12,
    "link_paused": 92,
}
UNKNOWN_ERROR = ERROR_CODES["error"]

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
    reason = _reason(error, language(_locale(request.body), link.options))
    if call == CARD_INFO:
        unknown = isinstance(error, CardNotFound) and link.options["unknown_card"] == "not_found"
        return NOT_FOUND if unknown else card_info(why=reason)
    if call == FIND:
        return not_found_answer(reason)
    if call == PICTURE:
        return NO_PICTURE
    return refused_answer(ERROR_CODES.get(error.code, UNKNOWN_ERROR), reason, link.options)


def _reason(error: LoyaltyError, tongue: str) -> str:
    """What the person at the till reads: what a hint of ours says better than the error's own text, or that."""
    hint = error.details.get("hint", "")
    said = line(hint, tongue) if isinstance(hint, str) and hint in LINES else text(error, tongue)
    return fitted(said, TEXT_BYTES)


def _locale(body: bytes) -> str:
    """CHECK@locale straight from the bytes, for a refusal must be told even when they do not parse."""
    match = _LOCALE.search(body)
    return match[1].decode("ascii") if match else ""
