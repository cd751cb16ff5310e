"""What a configuration of 1C calls things: a file of ``mappings/``, checked like every other file.

docs/adapters/onec_server.md, "Mappings". Names of sets and properties are case sensitive; one that is misspelt is
silently dropped by 1C where it is written, so that all of them are read back or asked for first.
"""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from adapters.onec_server.literals import is_name

CARD, OWNER = "card", "owner"
MAX_NUMBERS = 4


class _Section(Schema):
    class Meta:
        unknown = RAISE


def _name(value: str) -> None:
    if not is_name(value):
        raise ValidationError("expected the name of a set or property, as $metadata has it")


def a_name(**settings: Any) -> fields.String:
    return fields.String(validate=_name, **settings)


class Contacts(_Section):
    """A table part with phones and e-mails, and its columns."""

    table = a_name(required=True)
    phone = a_name(required=True)
    email = a_name(required=True)


class Owner(_Section):
    """Who may own a card: a catalogue of people or firms."""

    set = a_name(required=True)
    name = a_name(load_default="Description")
    birthday = a_name(load_default="")
    contacts = fields.Nested(Contacts)


class Cards(_Section):
    """``numbers``: the first is the card's number, others are what its stripe or barcode says. ``owner``: a reference
    of one type (its name ends in ``_Key``), or of several. ``dead``: values by property, of which any ends the card."""

    set = a_name(required=True)
    numbers = fields.List(a_name(), required=True, validate=validate.Length(1, MAX_NUMBERS))
    kind = a_name(load_default="")
    owner = a_name(load_default="")
    dead = fields.Dict(keys=a_name(), values=fields.List(fields.String()), load_default=dict)


class GoodsSet(_Section):
    """``names``: what tills may call them, first by what receipts tell. ``category``: a group, or any text."""

    set = a_name(required=True)
    names = fields.List(a_name(), required=True, validate=validate.Length(1, 8))
    category = a_name(load_default="")


class Stores(_Section):
    set = a_name(required=True)


class Points(_Section):
    """Columns of a table part, or without a table properties of the document, whose sum they are."""

    table = a_name(load_default="")
    points = fields.List(a_name(), required=True, validate=validate.Length(1, 4))


class Lines(_Section):
    """A table part with the goods that were bought."""

    table = a_name(required=True)
    goods = a_name(required=True)
    quantity = a_name(load_default="")
    sum = a_name(load_default="")


class Returns(_Section):
    """Which documents of the set are returns: those whose property says so."""

    property = a_name(required=True)
    value = fields.String(required=True)


class ReceiptDocument(_Section):
    """A receipt. ``is_return``: all of the set are returns; ``sale`` is the document that a return is about."""

    set = a_name(required=True)
    card = a_name(required=True)
    is_return = fields.Boolean(load_default=False)
    returns = fields.Nested(Returns)
    sale = a_name(load_default="")
    shop = a_name(load_default="")
    till = a_name(load_default="")
    total = a_name(load_default="")
    redeemed = fields.Nested(Points)
    earned = fields.Nested(Points)
    lines = fields.Nested(Lines)


class Movement(_Section):
    """A table part of the document, and its columns: whose points, and how many."""

    table = a_name(required=True)
    who = a_name(required=True)
    points = fields.List(a_name(), required=True, validate=validate.Length(1, 4))


class Kind(_Section):
    """A property of the document that tells which of the two it is."""

    property = a_name(required=True)
    accrual = fields.String(required=True)
    redemption = fields.String(required=True)


class Document(_Section):
    """The document of accruals and redemptions. ``mark``: a text property, of limited length, that keeps our id."""

    set = a_name(required=True)
    mark = a_name(required=True)
    programme = a_name(required=True)
    kind = fields.Nested(Kind)
    accrual = fields.Nested(Movement, required=True)
    redemption = fields.Nested(Movement, required=True)


class Row(_Section):
    """What a published service calls what it tells of a card. ``version``: a value that every change of it changes."""

    guid = a_name(required=True)
    version = a_name(required=True)
    number = a_name(required=True)
    name = a_name(load_default="")
    phone = a_name(load_default="")
    email = a_name(load_default="")
    birthday = a_name(load_default="")
    blocked = a_name(load_default="")


class Listing(_Section):
    """An operation that tells cards in pages: ``skip`` and ``top`` are its parameters, ``rows`` where they stand in
    the answer, or in the JSON or XML document that the answer is; empty: the answer is the list."""

    operation = a_name(required=True)
    skip = a_name(required=True)
    top = a_name(required=True)
    rows = fields.List(a_name(), load_default=list, validate=validate.Length(0, 8))
    row = fields.Nested(Row, required=True)


class Telling(_Section):
    """An operation that takes what we tell: our words by its parameters. It must know a repeat by ``id``."""

    operation = a_name(required=True)
    parameters = fields.Dict(keys=a_name(), values=fields.String(), required=True)
    done = fields.String(load_default="true")


class MovementTelling(Telling):
    parameters = fields.Dict(
        keys=a_name(),
        values=fields.String(validate=validate.OneOf(("id", "card", "guid", "at", "accrued", "redeemed", "kind"))),
        required=True,
    )


class BalanceTelling(Telling):
    parameters = fields.Dict(
        keys=a_name(), values=fields.String(validate=validate.OneOf(("id", "card", "guid", "balance"))), required=True
    )


class Service(_Section):
    """A published service in place of OData."""

    cards = fields.Nested(Listing)
    movement = fields.Nested(MovementTelling)
    balance = fields.Nested(BalanceTelling)


class Mapping(_Section):
    """``points_of``: whose the points are, the card's or its owner's."""

    mapping = fields.String(required=True)
    title = fields.String(required=True)
    points_of = fields.String(load_default=CARD, validate=validate.OneOf((CARD, OWNER)))
    cards = fields.Nested(Cards)
    owners = fields.List(fields.Nested(Owner), load_default=list)
    goods = fields.Nested(GoodsSet)
    stores = fields.Nested(Stores)
    receipts = fields.List(fields.Nested(ReceiptDocument), validate=validate.Length(1, 4))
    document = fields.Nested(Document)
    service = fields.Nested(Service)

    @validates_schema
    def _one_way(self, data: dict[str, Any], **kwargs: Any) -> None:
        if "service" in data and any(name in data for name in ("cards", "goods", "stores", "receipts", "document")):
            raise ValidationError("expected a service, or sets of OData, not both", "service")
        if "service" not in data and "cards" not in data:
            raise ValidationError("missing, expected the cards, which all else is about", "cards")
        if data["points_of"] == OWNER and not data.get("cards", {}).get("owner"):
            raise ValidationError("expected cards.owner, whose the points are", "points_of")
