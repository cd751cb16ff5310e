"""A number for every refusal, where a protocol carries numbers.

Where the card industry has one for it (ISO 8583, field 39), that one is used, as in 51 for a shortage. They are
stable: tills and people who look after them learn them.
"""

from __future__ import annotations

from processing.errors import LoyaltyError

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


def number(error: LoyaltyError) -> int:
    """The refusal's number; of one that is not known yet the general one."""
    return ERROR_CODES.get(error.code, ERROR_CODES["error"])
