"""What stands where in the lines of a load file: a table of fields for each command that we write.

Positions, widths and what must be there: docs/adapters/frontol-loads.md, "Records" (from the integrator manual of
Frontol 6, sections 17.2.1 and 17.2.2). Commands that empty the till (DELETEALL..., REPLACEQUANTITY, which wipes its
sales) are not here on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """How a value is written."""

    WHOLE = auto()  # a whole number, not negative
    DECIMAL = auto()  # a decimal text with ``scale`` digits behind the separator; ``width`` digits in all
    TEXT = auto()  # as it is: a number, an article; refused beyond ``width``
    NAME = auto()  # what people read: cut at ``width``
    DATE = auto()  # DD.MM.YYYY
    TIME = auto()  # HH:MM:SS
    FLAG = auto()  # 0 or 1
    FLAGS = auto()  # some of them by name, joined by commas, in the order of ``names``
    LIST = auto()  # texts joined by commas


@dataclass(frozen=True, slots=True)
class Field:
    """``among``: the numbers that a WHOLE may be; ``signed``: a DECIMAL may be negative."""

    position: int
    name: str
    kind: Kind
    width: int = 0
    scale: int = 0
    required: bool = False
    signed: bool = False
    among: range | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a command, in their order; a line has ``length`` of them, what nobody sets stays empty."""

    command: str
    length: int
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)


WHOLE, DECIMAL, TEXT, NAME, DATE, TIME, FLAG, FLAGS, LIST = Kind
# Widths that come again and again; 0, of fields whose width nobody has told us, is no bound.
CARD_NUMBER, GIFT_NUMBER, BARCODE, ARTICLE = 40, 50, 40, 20
CLIENT_NAME, GOODS_NAME = 100, 128
# "10.4" and "7.2" of the manual: so many digits in all, and behind the separator.
COUNTER_WIDTH, COUNTER_SCALE = 10, 4
ACCRUAL_WIDTH, ACCRUAL_SCALE = 7, 2
PRICE_SCALE, QUANTITY_SCALE = 2, 3
INPUTS = ("manual", "visual", "magstripe", "scanner")
# An amount of days, weeks, months, quarters, half-years or years.
TERM_UNITS = range(6)


def whole(position: int, name: str, among: range | None = None, required: bool = False) -> Field:
    return Field(position, name, WHOLE, required=required, among=among)


def price(position: int, name: str, required: bool = False) -> Field:
    """Money, in major units."""
    return Field(position, name, DECIMAL, 0, PRICE_SCALE, required)


def quantity(position: int, name: str) -> Field:
    """In thousandths, and below zero where a stock is."""
    return Field(position, name, DECIMAL, 0, QUANTITY_SCALE, signed=True)


def counters(first: int, numbers: range) -> tuple[Field, ...]:
    """Pairs of a counter's kind and value, which overwrites what the till has."""
    found: list[Field] = []
    for position, n in zip(range(first, first + 2 * len(numbers), 2), numbers, strict=True):
        value = Field(position + 1, f"counter{n}_value", DECIMAL, COUNTER_WIDTH, COUNTER_SCALE, signed=True)
        found += [whole(position, f"counter{n}"), value]
    return tuple(found)


CARD_TYPES = Layout(
    "ADDCCARDTYPES",
    16,
    (
        whole(1, "code", required=True),
        Field(2, "name", NAME),
        Field(3, "text", NAME),
        Field(4, "inputs", FLAGS, names=INPUTS),
        Field(5, "registers_clients", FLAG),
        Field(6, "unregistered", FLAG),
        whole(7, "priority"),
        Field(8, "registers_cards", FLAG),
        Field(9, "has_min_prefix", FLAG),
        Field(10, "min_prefix", TEXT, CARD_NUMBER),
        Field(11, "has_max_prefix", FLAG),
        Field(12, "max_prefix", TEXT, CARD_NUMBER),
        Field(13, "has_min_length", FLAG),
        whole(14, "min_length"),
        Field(15, "has_max_length", FLAG),
        whole(16, "max_length"),
    ),
)
CARDS = Layout(
    "ADDCCARDDISCS",
    19,
    (
        whole(1, "code", required=True),
        whole(2, "kind", required=True),
        Field(3, "number", TEXT, CARD_NUMBER, required=True),
        Field(4, "valid_from", DATE),
        Field(5, "valid_to", DATE),
        # The till takes an empty one for inactive, so that it is always said.
        Field(6, "active", FLAG, required=True),
        *counters(10, range(1, 6)),
    ),
)
CLIENTS = Layout(
    "ADDCLIENTDISCS",
    37,
    (
        whole(1, "code", required=True),
        whole(2, "group"),
        Field(3, "name", NAME, CLIENT_NAME),
        Field(4, "text", NAME, CLIENT_NAME),
        whole(5, "is_group", range(2)),
        Field(6, "info", NAME, 1024),
        whole(7, "sex", range(3)),
        Field(8, "memorable_date", DATE),
        Field(9, "birthday", DATE),
        Field(10, "registered_on", DATE),
        Field(11, "zip", TEXT),
        Field(12, "city", NAME),
        Field(13, "address", NAME, 255),
        Field(14, "email", TEXT, 30),
        Field(15, "web", TEXT, 30),
        Field(16, "phone", TEXT, 30),
        Field(17, "inn", TEXT, 20),
        Field(18, "document", TEXT, 100),
        *counters(24, range(1, 4)),
        *counters(34, range(4, 6)),
    ),
)
CLIENT_CARD = (
    whole(1, "client", required=True),
    whole(2, "kind", required=True),
    # The card's code, not its number.
    whole(3, "card", required=True),
)
COUNTER_VALUES = Layout(
    "ADDCOUNTERVALUES",
    6,
    (
        whole(1, "counter", required=True),
        Field(2, "amount", DECIMAL, ACCRUAL_WIDTH, ACCRUAL_SCALE, required=True, signed=True),
        Field(3, "active_from", DATE),
        Field(4, "burns_on", DATE),
        # 0 nothing, 1 client, 2 kind of card, 3 card, 4 classifier of cards, 5 of clients
        whole(5, "binding", range(6)),
        # Of a client, a kind or a classifier its code; of a card its number.
        Field(6, "object", TEXT, CARD_NUMBER),
    ),
)
GIFT_TYPES = Layout(
    "ADDGIFTCARDTYPES",
    14,
    (
        whole(1, "code", required=True),
        Field(2, "name", NAME),
        Field(3, "text", NAME),
        whole(4, "balance", required=True),
        whole(5, "counter", required=True),
        Field(6, "free_ware", NAME),
        Field(7, "ware", TEXT, ARTICLE),
        Field(8, "starts_on", DATE),
        whole(9, "starts_in_unit", TERM_UNITS),
        whole(10, "starts_in"),
        Field(11, "ends_on", DATE),
        whole(12, "ends_in_unit", TERM_UNITS),
        whole(13, "ends_in"),
        # 0 the full nominal only, 1 the rest burns, 2 more than once
        whole(14, "use", range(3), required=True),
    ),
)
GIFTS = Layout(
    "ADDGIFTCARDS",
    7,
    (
        whole(1, "code", required=True),
        whole(2, "kind", required=True),
        Field(3, "number", TEXT, GIFT_NUMBER, required=True),
        whole(4, "balance"),
        # 0 inactive, 1 active, 2 redeemed
        whole(5, "status", range(3)),
        Field(6, "valid_from", DATE),
        Field(7, "valid_to", DATE),
    ),
)
COUPON_TYPES = Layout(
    "ADDCOUPONTYPES",
    6,
    (
        whole(1, "code", required=True),
        Field(2, "name", NAME),
        Field(3, "text", NAME),
        # 0 of a document, 1 of a position
        whole(4, "of_position", range(2)),
        Field(5, "prefix_from", TEXT, CARD_NUMBER),
        Field(6, "prefix_to", TEXT, CARD_NUMBER),
    ),
)
BARCODES = Layout(
    "ADDBARCODES",
    5,
    (
        Field(1, "barcode", TEXT, BARCODE, required=True),
        Field(2, "ware", TEXT, ARTICLE, required=True),
        Field(3, "aspects", LIST),
        quantity(4, "coefficient"),
        Field(5, "shared", FLAG),
    ),
)
PRICES = Layout(
    "ADDPRICES",
    7,
    (
        Field(1, "ware", TEXT, ARTICLE, required=True),
        whole(2, "enterprise"),
        Field(3, "aspects", LIST),
        price(4, "price", required=True),
        Field(5, "date", DATE, required=True),
        Field(6, "time", TIME, required=True),
    ),
)
PRICE_LIST_PRICES = Layout(
    "ADDPRICELISTPRICES",
    8,
    (
        whole(1, "kind", required=True),
        Field(2, "ware", TEXT, ARTICLE, required=True),
        *(Field(n, f"aspect{n - 2}", TEXT, ARTICLE) for n in range(3, 8)),
        price(8, "price", required=True),
    ),
)

PLAIN: tuple[Layout, ...] = (
    CARD_TYPES,
    Layout("DELETECCARDTYPESBYCODE", 1, (whole(1, "code", required=True),)),
    CARDS,
    Layout("DELETECCARDDISCSBYVALUE", 1, (Field(1, "number", TEXT, CARD_NUMBER, required=True),)),
    Layout("DELETECCARDDISCSBYCODE", 2, (whole(1, "code", required=True), whole(2, "kind", required=True))),
    CLIENTS,
    Layout("DELETECLIENTDISCSBYCODE", 1, (whole(1, "code", required=True),)),
    Layout("ADDCLIENTCCARDS", 3, CLIENT_CARD),
    Layout("DELETECLIENTCCARDS", 3, CLIENT_CARD),
    COUNTER_VALUES,
    GIFT_TYPES,
    GIFTS,
    Layout("DELETEGIFTCARDSBYVALUE", 1, (Field(1, "number", TEXT, GIFT_NUMBER, required=True),)),
    COUPON_TYPES,
    BARCODES,
    Layout(
        "DELETEBARCODESBYWARECODE",
        2,
        (Field(1, "ware", TEXT, ARTICLE, required=True), Field(2, "barcode", TEXT, BARCODE)),
    ),
    Layout("DELETEWARESBYWARECODE", 1, (Field(1, "ware", TEXT, ARTICLE, required=True),)),
    PRICES,
    PRICE_LIST_PRICES,
)
# Repeating one of these at the till counts twice; all others say how something shall be.
ADDITIVE = frozenset({"ADDCOUNTERVALUES", "ADDQUANTITY"})
