"""What we answer with "nothing", politely, in the shape of the page: docs/adapters/onec.md, "What is answered"."""

from __future__ import annotations

from typing import Any

from adapters.contract import Link, WireRequest, WireResponse
from adapters.onec.answers import EMPTY_DATE, answer, done, envelope, failure, plain, word
from adapters.onec.cards import read, twin
from adapters.onec.options import speaks_json


def ping(request: WireRequest, link: Link) -> WireResponse:
    """Whether the provider is switched on; older libraries know only a word."""
    if not speaks_json(link.options):
        return plain("ok")
    return answer(envelope(link.options, Connection=True))


def automatic_discounts(request: WireRequest, link: Link) -> WireResponse:
    """useautomaticdiscounts: ours are; barcodes are asked for where goods are known by them."""
    return answer(
        envelope(
            link.options,
            UseAutomaticDiscounts=True,
            UseCounterpartyBonuses=True,
            UseExpirationDateDiscounts=False,
            UseBarcodeDiscounts=link.options["goods"] == "barcode",
        )
    )


def promo_code(request: WireRequest, link: Link) -> WireResponse:
    """promocodeinfo: nobody has given out any."""
    read(request, link)
    return answer(
        envelope(
            link.options,
            PromocodeIsAvalible=False,
            PromocodeStatus=word("no_promo", link.options),
            PromocodeDiscountDescription="",
            PromocodeDiscount="",
        )
    )


def unlock_promo_code(request: WireRequest, link: Link) -> WireResponse:
    """unlockpromocode: always a success."""
    read(request, link)
    return done("promo_unlocked", twin(request), link.options)


def empty_list(request: WireRequest, link: Link) -> WireResponse:
    """Discounts switched on by hand or by payment, employees, batches: none."""
    return answer([])


def sales_restrictions(request: WireRequest, link: Link) -> WireResponse:
    control = {
        "Success": True,
        "ErrorText": "",
        "GoodsSets": None,
        "RestrictionKinds": None,
        "TradeRestrictions": None,
    }
    return answer({"AllowControl": False, "RestrictionsList": [], "TradeControlData": control})


def leftovers(request: WireRequest, link: Link) -> WireResponse:
    return answer(envelope(link.options, LeftoversList=[]))


def price(request: WireRequest, link: Link) -> WireResponse:
    return answer(envelope(link.options, Price=0))


def series(request: WireRequest, link: Link) -> WireResponse:
    return answer(envelope(link.options, NameBatch="", BatchUsed=False, ExpirationDate=EMPTY_DATE))


def marking_code(request: WireRequest, link: Link) -> WireResponse:
    return answer(failure(word("no_marking", link.options), link.options))


def token(request: WireRequest, link: Link) -> WireResponse:
    """getgosisauthorizationtoken: without an envelope's version, as the page has it."""
    told: dict[str, Any] = {"Error": True, "ErrorMessage": word("no_token", link.options), "Token": None}
    return answer(told)
