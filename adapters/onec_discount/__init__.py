"""The discount server of 1C's Розница 2.x (SOAP): docs/adapters/onec_discount.md.

``wsdl`` names and types of the WSDL, ``messages`` XML -> fields, ``asks`` fields -> what we ask, ``answers``
outcomes -> XML, ``talks`` the conversations.
"""

from __future__ import annotations

from marshmallow import RAISE, Schema, fields, validate

from adapters.contract import LINE_DISCOUNT, TENDER, Adapter, Auth, FiscalWays, Route
from adapters.onec_discount.talks import description, operation, refuse
from adapters.onec_discount.wsdl import DECLARED, HONEST

BASIC = Auth("basic")
PATH = r"ws/DiscountService(\.1cws)?/?"


class Options(Schema):
    """``unit`` of the points; ``address``: the service's, told in the WSDL; ``results``: what it declares of them."""

    class Meta:
        unknown = RAISE

    unit = fields.String(required=True, validate=validate.Length(1, 32))
    address = fields.Url(schemes={"http", "https"}, require_tld=False, load_default="")
    results = fields.String(validate=validate.OneOf((HONEST, DECLARED)), load_default=HONEST)
    language = fields.String(validate=validate.OneOf(("ru", "en")), load_default="ru")


ADAPTER = Adapter(
    name="onec_discount",
    title="1C «Дисконтный сервер» (SOAP)",
    options=Options,
    refuse=refuse,
    routes=(
        Route(path=PATH, handler=description, auth=BASIC, methods=frozenset({"GET"})),
        Route(path=PATH, handler=operation, auth=BASIC),
    ),
    unit_scale=2,
    private=frozenset({"ИдентификаторКарты", "КодКупона"}),
    fiscal=FiscalWays(points=(LINE_DISCOUNT, TENDER)),
)
