"""What a link may set. Table with reasons: docs/adapters/onec_server.md, "Options"."""

from __future__ import annotations

from collections.abc import Mapping as Map
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from adapters.contract import InFile, Link
from adapters.onec_server import mapping
from adapters.onec_server.literals import is_name

PARTS = CARDS, GOODS, STORES, RECEIPTS = "cards", "goods", "stores", "receipts"
MAX_PAGE = 500
_FORM, _AS = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", "expected a GUID in lower case, as 1C writes it"
_GUID = validate.Regexp(_FORM, error=_AS)


def _zone(value: str) -> None:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationError("expected an IANA time zone such as Europe/Moscow") from None


def _property(value: str) -> None:
    if value and not is_name(value):
        raise ValidationError("expected a property's name")


class OneCOptions(Schema):
    """Loads into a mapping in which every option has its value."""

    class Meta:
        unknown = RAISE

    mapping = InFile(mapping.Mapping, "mappings", required=True)
    path = fields.String(
        load_default="odata/standard.odata",
        validate=validate.Regexp(
            r"[\w.~-]+(/[\w.~-]+)*\Z", error="expected a path below the address, without a slash first"
        ),
    )
    user = fields.String(required=True, validate=validate.Length(1, 128))
    zone = fields.String(validate=_zone)
    session = fields.Boolean(load_default=True)
    allowed_only = fields.Boolean(load_default=False)
    pull = fields.List(fields.String(validate=validate.OneOf(PARTS)), load_default=lambda: [CARDS])
    product = fields.String(load_default="", validate=validate.Length(0, 64))
    # From 1C's kinds of cards, by their GUIDs, to products of the chain.
    kinds = fields.Dict(keys=fields.String(validate=_GUID), values=fields.String(), load_default=dict)
    page = fields.Integer(strict=True, load_default=200, validate=validate.Range(1, MAX_PAGE))
    # Receipts of this shop only, by its GUID; and of so many days back.
    shop = fields.String(load_default="", validate=validate.Regexp(rf"|{_FORM}", error=_AS))
    receipt_days = fields.Integer(strict=True, load_default=3, validate=validate.Range(1, 31))
    # Links of tills that receipts are compared with; none: all of the store.
    till_links = fields.List(fields.String(), load_default=list)
    sweep_hours = fields.Integer(strict=True, load_default=12, validate=validate.Range(1, 24 * 31))
    unit = fields.String(load_default="BONUS", validate=validate.Length(1, 16))
    operations = fields.List(fields.String(), load_default=list)
    programme = fields.String(load_default="", validate=validate.Regexp(rf"|{_FORM}", error=_AS))
    document_fields = fields.Dict(
        keys=fields.String(validate=_property),
        values=fields.String(),
        load_default=dict,
    )
    balance_field = fields.String(load_default="", validate=_property)

    @validates_schema
    def _cards_have_a_product(self, data: Map[str, Any], **kwargs: Any) -> None:
        if CARDS in data["pull"] and not (data["product"] or data["kinds"]):
            raise ValidationError("missing, expected the product of cards that 1C tells of, or kinds", "product")

    @validates_schema
    def _mapping_has_what_is_pulled(self, data: Map[str, Any], **kwargs: Any) -> None:
        told = data["mapping"]
        has = told.get("service", told)
        missing = [name for name in data["pull"] if name not in has] if told else []
        if missing or len(set(data["pull"])) < len(data["pull"]):
            known = ", ".join(name for name in PARTS if name in has)
            raise ValidationError(f"expected parts that the mapping has, each once: {known or 'none'}", "pull")

    @validates_schema
    def _receipts_tell_points(self, data: Map[str, Any], **kwargs: Any) -> None:
        """Without points there is nothing to compare, and 1C says nothing of a property that is misspelt or missing."""
        documents = data["mapping"].get("receipts", ()) if RECEIPTS in data["pull"] and data["mapping"] else ()
        silent = [each["set"] for each in documents if not ("redeemed" in each or "earned" in each)]
        if silent:
            raise ValidationError(f"expected receipts.redeemed or receipts.earned in the mapping: {silent[0]}", "pull")
        if data["shop"] and not all(each["shop"] for each in documents):
            raise ValidationError("expected receipts.shop in the mapping, for every document", "shop")


def zone_of(link: Link) -> ZoneInfo:
    """The wall clock of 1C's infobase: that of the store unless the link says otherwise."""
    told = link.options.get("zone")
    return ZoneInfo(told) if told else link.zone


def mapping_of(link: Link) -> Map[str, Any]:
    found: Map[str, Any] = link.options["mapping"]
    return found
