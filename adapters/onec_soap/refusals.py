"""Refusals: the answer of the operation that was refused; a fault only where nobody knows which that was."""

from __future__ import annotations

from adapters.contract import Link, WireRequest, WireResponse
from adapters.onec_soap.answers import refusal, respond
from adapters.onec_soap.messages import OPERATIONS
from adapters.soap import envelope_of, fault
from processing.errors import BadCredentials, LoyaltyError, NoSuchRoute


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    envelope = envelope_of(request)
    at_the_door = isinstance(error, BadCredentials | NoSuchRoute)
    if at_the_door or envelope is None or envelope.operation not in OPERATIONS:
        return fault(error, envelope, link.options["language"])
    return respond(envelope, refusal(error, envelope.operation, link), link, error.code)
