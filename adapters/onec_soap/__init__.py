"""Our own SOAP service for code in 1C's language: docs/adapters/onec_soap.md.

``messages`` the types, ``elements`` XML <-> types, ``wsdl`` types -> WSDL, ``asks`` types -> what we ask, ``answers``
and ``refusals`` outcomes -> types, ``talks`` the conversations.
"""

from __future__ import annotations

from marshmallow import RAISE, Schema, fields, validate

from adapters.contract import ADVANCE, LINE_DISCOUNT, TENDER, Adapter, Auth, FiscalWays, Route
from adapters.onec_soap.refusals import refuse
from adapters.onec_soap.talks import description, operation

MAX_BATCH = 100
BASIC = Auth("basic")
PATH = r"ws/Loyalty(\.1cws)?/?"


class UnitOptions(Schema):
    class Meta:
        unknown = RAISE

    unit = fields.String(required=True, validate=validate.Length(1, 32))


class Options(Schema):
    """``units`` that may be named, the first for whoever names none; ``address``: the service's, told in the WSDL."""

    class Meta:
        unknown = RAISE

    units = fields.List(fields.Nested(UnitOptions), load_default=list)
    address = fields.Url(schemes={"http", "https"}, require_tld=False, load_default="")
    batch = fields.Integer(strict=True, load_default=MAX_BATCH, validate=validate.Range(1, MAX_BATCH))
    language = fields.String(validate=validate.OneOf(("ru", "en")), load_default="ru")


ADAPTER = Adapter(
    name="onec_soap",
    title="1C, our own SOAP service",
    options=Options,
    refuse=refuse,
    routes=(
        Route(path=PATH, handler=description, auth=BASIC, methods=frozenset({"GET"})),
        Route(path=PATH, handler=operation, auth=BASIC),
    ),
    unit_scale=2,
    private=frozenset({"Value", "HolderName", "Pin", "Card", "CardNumber"}),
    volatile=frozenset({"Operation", "ExpiresAt"}),
    # The module decides how it prints; the fiscal receipt gets what its document says.
    fiscal=FiscalWays(points=(LINE_DISCOUNT, TENDER), gift_cards=(ADVANCE, TENDER)),
)
