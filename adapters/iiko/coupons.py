"""Coupons: the books have none yet, so that every series is empty and no number is known."""

from __future__ import annotations

from adapters.contract import Link, WireRequest, WireResponse
from adapters.iiko.answers import said
from adapters.iiko.messages import fields, needed, text, whole
from adapters.iiko.places import check_organization


def coupon(request: WireRequest, link: Link) -> WireResponse:
    """By its number; the series may be null."""
    told = fields(request.body)
    check_organization(told, link)
    needed(told, "number"), text(told, "series")
    return said({"couponInfo": []})


def series(request: WireRequest, link: Link) -> WireResponse:
    """Series that still have coupons to give."""
    check_organization(fields(request.body), link)
    return said({"seriesWithNotActivatedCoupons": []})


def by_series(request: WireRequest, link: Link) -> WireResponse:
    """Coupons of a series that nobody has used."""
    told = fields(request.body)
    check_organization(told, link)
    needed(told, "series"), whole(told, "pageSize"), whole(told, "page")
    return said({"notActivatedCoupon": []})
