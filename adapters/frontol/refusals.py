"""Refusals -> what the cashier reads: HTTP 200 with a positive ``code`` and a text, 401 for a wrong digest."""

from __future__ import annotations

from adapters.contract import Link, WireRequest, WireResponse
from adapters.frontol.answers import respond
from adapters.response_codes import number
from adapters.texts import reason
from processing.errors import BadCredentials, LoyaltyError


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    status = 401 if isinstance(error, BadCredentials) else 200
    return respond({"code": number(error), "error": reason(error, link.options["language"])}, status, error.code)
