"""Refusals: the answer of the operation that was refused; a fault only where nobody knows which that was."""

from __future__ import annotations

from adapters.contract import Link, WireRequest, WireResponse
from adapters.onec_soap.answers import refusal, respond
from adapters.onec_soap.messages import OPERATIONS
from adapters.soap import CONTENT_TYPES, RECEIVER, SENDER, SOAP_11, Envelope, read_envelope, write_fault
from adapters.texts import text
from processing.errors import BadCredentials, BadMessage, LoyaltyError, NoSuchRoute

CHALLENGE = {"WWW-Authenticate": 'Basic realm="tillgate", charset="UTF-8"'}


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    envelope = _envelope(request)
    if isinstance(error, BadCredentials):
        return _fault(error, envelope, link, 401, CHALLENGE)
    if isinstance(error, NoSuchRoute):
        return _fault(error, envelope, link, 404)
    if envelope is None or envelope.operation not in OPERATIONS:
        return _fault(error, envelope, link, 500)
    return respond(envelope, refusal(error, envelope.operation, link), link, error.code)


def _envelope(request: WireRequest) -> Envelope | None:
    try:
        return read_envelope(request.body)
    except BadMessage:
        return None


def _fault(
    error: LoyaltyError, envelope: Envelope | None, link: Link, status: int, headers: dict[str, str] | None = None
) -> WireResponse:
    version = envelope.version if envelope else SOAP_11
    side = RECEIVER if error.retryable else SENDER
    body = write_fault(version, side, text(error, link.options["language"]))
    return WireResponse(body, CONTENT_TYPES[version], status, headers or {}, refused=error.code)
