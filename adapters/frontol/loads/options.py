"""What a link may set about load files. Table with reasons: docs/adapters/frontol-loads.md, "Options"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from adapters.frontol.loads.goods import TILLS
from adapters.frontol.loads.lines import MAX_WHOLE, Writing

COMMA, POINT = "comma", "point"
REFUSE, REPLACE = "refuse", "replace"
CLIENT, CARD = "client", "card"
MAJOR, MINOR = "major", "minor"
CLIENT_FIELDS = ("name", "phone", "email", "birthday")
# Pairs of counters in the lines of cards and of clients.
MOST_COUNTERS = 5
JOURNAL = ".journal"


def file_name(default: str) -> fields.String:
    return fields.String(load_default=default, validate=validate.Regexp(r"\w[\w.-]{0,99}\Z", error="expected a name"))


def a_code(**settings: Any) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(0, MAX_WHOLE), **settings)


class CounterOptions(Schema):
    """A unit whose balance the till keeps in a counter of this kind."""

    class Meta:
        unknown = RAISE

    unit = fields.String(required=True, validate=validate.Length(1, 16))
    kind = a_code(required=True)
    on = fields.String(load_default=CLIENT, validate=validate.OneOf((CLIENT, CARD)))


class GiftOptions(Schema):
    """A product of gift cards: the till's code of the kind, and the unit that the card carries.

    ``balance``: whether the till counts it in whole major or in minor units; nobody has told us.
    """

    class Meta:
        unknown = RAISE

    product = fields.String(required=True, validate=validate.Length(1, 64))
    kind = a_code(required=True)
    unit = fields.String(required=True, validate=validate.Length(1, 16))
    balance = fields.String(load_default=MAJOR, validate=validate.OneOf((MAJOR, MINOR)))


class LoadOptions(Schema):
    """Loads into a mapping in which every option has its value."""

    class Meta:
        unknown = RAISE

    data_file = file_name("tillgate.txt")
    flag_file = file_name("tillgate-flag.txt")
    loaded_mark = fields.String(load_default="@", validate=validate.OneOf(("@", "$")))
    decimal = fields.String(load_default=COMMA, validate=validate.OneOf((COMMA, POINT)))
    till = fields.String(load_default="frontol6", validate=validate.OneOf(tuple(TILLS)))
    names = fields.String(load_default=REFUSE, validate=validate.OneOf((REFUSE, REPLACE)))
    # From products of the chain to the till's codes of kinds.
    card_kinds = fields.Dict(keys=fields.String(validate=validate.Length(1, 64)), values=a_code(), load_default=dict)
    gift_cards = fields.List(fields.Nested(GiftOptions), load_default=list)
    counters = fields.List(fields.Nested(CounterOptions), load_default=list, validate=validate.Length(0, MOST_COUNTERS))
    client_fields = fields.List(fields.String(validate=validate.OneOf(CLIENT_FIELDS)), load_default=lambda: ["name"])
    card_code_base = a_code(load_default=0)
    client_code_base = a_code(load_default=0)
    poll_seconds = fields.Integer(strict=True, load_default=10, validate=validate.Range(1, 3600))
    wait_minutes = fields.Integer(strict=True, load_default=60, validate=validate.Range(1, 1440))

    @validates_schema
    def _names_differ(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Our journal stands beside both."""
        if data["flag_file"] in (data["data_file"], data["data_file"] + JOURNAL):
            raise ValidationError("expected another name than data_file", "flag_file")


def writing(options: Mapping[str, Any]) -> Writing:
    return Writing(options["till"], options["decimal"] == COMMA, options["names"] == REPLACE)
