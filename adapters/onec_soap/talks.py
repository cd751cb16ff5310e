"""The conversations: the WSDL, and one for each operation of it."""

from __future__ import annotations

from typing import Any

from adapters.contract import Asking, Link, WireRequest, WireResponse, each, one
from adapters.onec_soap import answers, asks, messages, wsdl
from adapters.onec_soap.elements import read
from adapters.parsing import bad
from adapters.soap import Envelope, read_envelope
from adapters.wsdl import address

SERVICE_PATH = "ws/Loyalty"


def description(request: WireRequest, link: Link) -> WireResponse:
    """The WSDL, which 1C reads before it calls; whatever the query says."""
    return WireResponse(wsdl.document(address(request, link, SERVICE_PATH)), "text/xml; charset=utf-8")


def operation(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """An operation of the WSDL."""
    envelope = read_envelope(request.body)
    answer = yield from answered(envelope, link)
    return answers.respond(envelope, answer, link)


def answered(envelope: Envelope, link: Link) -> Asking[messages.Answer]:
    asked = request_of(envelope, link)
    if isinstance(asked, messages.IdentifyCardRequest):
        return answers.card((yield from one(asks.identify(asked, link))), link)
    if isinstance(asked, messages.QuoteReceiptRequest):
        return answers.quoted((yield from one(asks.quote(asked, link))), link)
    if isinstance(asked, messages.PostBatchRequest):
        return (yield from batch(asked, link))
    return answers.booked((yield from one(asks.COMMANDS[envelope.operation](asked, link))))


def batch(asked: messages.PostBatchRequest, link: Link) -> Asking[messages.Answer]:
    """All items in one transaction, each with its own outcome. An item that makes no sense is refused with the rest."""
    if not 1 <= len(asked.Items) <= link.options["batch"]:
        raise bad("Items", len(asked.Items), f"1 to {link.options['batch']} items")
    outcomes = yield from each(*[asks.item(item, link) for item in asked.Items])
    return messages.BatchBooked(Results=tuple(answers.of_batch(outcome, link) for outcome in outcomes))


def request_of(envelope: Envelope, link: Link) -> Any:
    """What the operation was called with. Errors: BadMessage, also for an operation that there is not."""
    if envelope.operation not in messages.OPERATIONS:
        raise bad("Body", envelope.operation, "one of " + ", ".join(messages.OPERATIONS))
    return read(envelope.content, messages.OPERATIONS[envelope.operation][0], link.zone)
