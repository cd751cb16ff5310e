"""The conversations: the WSDL, which 1C reads before each call, and one for each operation of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adapters.contract import Asking, Link, WireRequest, WireResponse, each, must, one
from adapters.onec_discount import answers, asks, wsdl
from adapters.onec_discount.messages import Fields, document
from adapters.parsing import bad
from adapters.soap import Envelope, envelope_of, fault, read_envelope
from adapters.wsdl import address
from processing.errors import LoyaltyError

SERVICE_PATH = "ws/DiscountService.1cws"

Talk = Callable[[Fields, Envelope, WireRequest, Link], Asking[WireResponse]]


def description(request: WireRequest, link: Link) -> WireResponse:
    """The WSDL, whatever the query says."""
    body = wsdl.document(link.options["results"], address(request, link, SERVICE_PATH))
    return WireResponse(body, "text/xml; charset=utf-8")


def operation(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """An operation of the WSDL. Errors: BadMessage, also for one that there is not."""
    envelope = read_envelope(request.body)
    told = Fields(envelope.content, envelope.operation)
    if envelope.operation in STUBS:
        return STUBS[envelope.operation](told, envelope)
    if envelope.operation not in TALKS:
        raise bad("Body", envelope.operation, "one of " + ", ".join((*TALKS, *STUBS)))
    return (yield from TALKS[envelope.operation](told, envelope, request, link))


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """A fault: the desk goes on with nothing, and 1C's event log has the text."""
    return fault(error, envelope_of(request), link.options["language"])


def turnover(told: Fields, envelope: Envelope, request: WireRequest, link: Link) -> Asking[WireResponse]:
    found = yield from one(asks.turnover(told, link))
    return answers.table(envelope, [answers.turnover(found)])


def last_purchase(told: Fields, envelope: Envelope, request: WireRequest, link: Link) -> Asking[WireResponse]:
    found = yield from one(asks.last_purchase(told, link))
    return answers.table(envelope, answers.last_purchase(found))


def balance(told: Fields, envelope: Envelope, request: WireRequest, link: Link) -> Asking[WireResponse]:
    """What there is now, whatever time the desk tells: nobody spends what he had yesterday."""
    found = yield from one(asks.balance(told, link))
    return answers.table(envelope, [answers.balance(found, request.at, link)])


def balances(told: Fields, envelope: Envelope, request: WireRequest, link: Link) -> Asking[WireResponse]:
    found, lots = yield from each(asks.balance(told, link), asks.lots(told))
    return answers.table(envelope, answers.periods(must(found), must(lots), link))


def sales(told: Fields, envelope: Envelope, request: WireRequest, link: Link) -> Asking[WireResponse]:
    yield from one(asks.update_sales(told, request, link))
    return answers.done(envelope)


def bonuses(told: Fields, envelope: Envelope, request: WireRequest, link: Link) -> Asking[WireResponse]:
    yield from one(asks.update_bonuses(told, request, link))
    return answers.done(envelope)


def coupons(told: Fields, envelope: Envelope) -> WireResponse:
    """We have no coupons; 1C would send the document for ever if that were a failure. Errors: BadMessage."""
    document(told)
    return answers.done(envelope)


def coupon(told: Fields, envelope: Envelope) -> WireResponse:
    """No coupon gives anything."""
    return answers.table(envelope)


TALKS: Mapping[str, Talk] = {
    wsdl.TURNOVER: turnover,
    wsdl.LAST_PURCHASE: last_purchase,
    wsdl.BALANCE: balance,
    wsdl.BALANCES: balances,
    wsdl.SALES: sales,
    wsdl.BONUSES: bonuses,
}
STUBS: Mapping[str, Callable[[Fields, Envelope], WireResponse]] = {wsdl.COUPONS: coupons, wsdl.COUPON: coupon}
