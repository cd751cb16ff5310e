"""A FarCards message -> its fields. Read once, tolerantly, in one walk over the tree.

Shapes: docs/adapters/rkeeper.md, "What is read". Names are compared without regard to case; unknown elements
and attributes are passed over; repeated containers add up.
"""

from __future__ import annotations

import msgspec
from lxml import etree

from adapters.parsing import (
    MAX_NAME,
    attributes,
    bad,
    bounded,
    code,
    identifier,
    integer,
    local_name,
    minor,
    parse_xml,
    parse_xml_text,
    spelled,
    thousandths,
)
from processing.commands import MAX_LINES, Line

Fields = dict[str, str]

MAX_RECORDS = 1_000
MAX_PAYMENTS = 1_000
# The elements that are read, in the vendor's upper case, and those that a usual check has besides: they are
# passed over without a second look. Any other spelling is folded first.
SECTIONS = {"QRY", "INPBUF", "CHECK", "CHECKDATA", "INTERFACES", "INTERFACE", "HOLDERS", "ALLCARDS"}
ROWS = {"TRANSACTIONSEX", "ITEM", "LINE", "DISCOUNTPART", "PAYMENT", "DISCOUNT", "CATEG"}
PASSED = {"ROOT", "EXTINFO", "CHECKPERSONS", "PERSON", "CHECKLINES", "LINETAXES", "TAX", "DISCOUNTS"} | {
    "LINEPAYMENTS",
    "LINEPAYMENT",
    "CHECKCATEGS",
    "CHECKDISCOUNTS",
    "CHECKPAYMENTS",
    "BONUSES",
    "BONUS",
    "CHECKTAXES",
}
NAMES = {name: name for name in SECTIONS | ROWS} | dict.fromkeys(PASSED, "")
NAMES |= {"TransactionsEx": "TRANSACTIONSEX", "Transactions": ""}

# The attributes that are read, as r_keeper spells them.
RECORD = spelled("Card", "Account", "Kind", "Summa", "Restaurant", "RKDate", "RKUnit", "RKCheck")
GOODS = spelled("code", "name", "uni", "price", "categ_id", "quantity", "sum")
CATEGORY = spelled("categ")
PAID, OFF = spelled("code", "paytype", "sum", "bsum"), spelled("code", "sum")
CHECK = spelled("restaurantcode", "stationcode", "generateddatetime", "chmode", "locale", "shiftdate", "shiftnum")
DATA = spelled("checknum", "checkguid", "closedatetime")
ID, CURRENT, CARDCODE, SUM = spelled("id"), spelled("current"), spelled("cardcode"), spelled("sum")
# Of a payment or discount: whose card, and its number among the lines of the check.
THROUGH = spelled("cardcode", "uni")

# Int64 has 19 digits; some room for leading zeros.
MAX_CARD_DIGITS = 40

PAYMENT, DISCOUNT, BONUS, SPENDING = range(4)
KINDS = {"0": PAYMENT, "1": DISCOUNT, "2": BONUS, "3": SPENDING}


class Record(msgspec.Struct, frozen=True):
    """One ``TransactionsEx``: ``summa`` in kopecks with the till's own sign, ``where`` names it in errors."""

    where: str
    card: int
    account: int
    kind: int
    summa: int
    restaurant: int | None
    fields: Fields


class Part(msgspec.Struct, frozen=True):
    """A PAYMENT or DISCOUNT, in kopecks: ``summa`` in its own currency, ``base`` in the base currency."""

    code: str
    cardcode: str
    paytype: str
    summa: int
    base: int


class Item(msgspec.Struct, frozen=True):
    """A ``cardcode`` under HOLDERS or ALLCARDS of one INTERFACE."""

    container: str
    interface: str
    cardcode: str


class Message(msgspec.Struct):
    """The message as it came: attributes under lower-case names, in document order.

    ``has_check`` tells a message without a check from one with an empty check.
    """

    query: Fields = {}
    records: list[Record] = []
    has_check: bool = False
    check: Fields = {}
    data: Fields = {}
    current: str = ""
    items: list[Item] = []
    lines: list[Fields] = []
    line_discounts: list[tuple[int, Fields]] = []
    payments: list[Fields] = []
    discounts: list[Fields] = []
    categories: list[Fields] = []
    # What ``spellings`` has found; asked for by the question and again by its answer.
    spelled: dict[int, str] | None = None


def read(body: bytes) -> Message:
    """The fields of the message. Errors: BadMessage."""
    message = Message()
    _collect(parse_xml(body), message, inside=False)
    return message


def holder_codes(message: Message) -> list[str]:
    """The card codes whose addition caused the call: HOLDERS of the interface the document is meant for.

    Without ``current``, or when no interface has that id, the holders of all of them.
    """
    holders = [item for item in message.items if item.container == "HOLDERS" and item.cardcode]
    meant = [item for item in holders if item.interface == message.current]
    known = any(item.interface == message.current for item in message.items)
    chosen = meant if message.current and known else holders
    return list(dict.fromkeys(item.cardcode for item in chosen))


def spellings(message: Message) -> dict[int, str]:
    """Cards of the check by their numbers, as it spells them: with leading zeros.

    Looked for in PAYMENT, DISCOUNT, HOLDERS and ALLCARDS, the first of equal numeric value.
    """
    if message.spelled is None:
        message.spelled = _spellings(message)
    return message.spelled


def _spellings(message: Message) -> dict[int, str]:
    told = [fields.get("cardcode", "") for fields in (*message.payments, *message.discounts)]
    found: dict[int, str] = {}
    # A card stands in every interface of the document.
    for cardcode in dict.fromkeys([*told, *[item.cardcode for item in message.items]]):
        if (number := card_number(cardcode)) is not None:
            found.setdefault(number, cardcode)
    return found


def is_card(code: str, card: int) -> bool:
    """Whether the text code and the number name the same card."""
    return card_number(code) == card


def card_number(code: str) -> int | None:
    """The numeric value of a card code, which leading zeros do not change; None if it is not a number."""
    return int(code) if code.isascii() and code.isdigit() and len(code) <= MAX_CARD_DIGITS else None


def payments(message: Message) -> list[Part]:
    """The payments of the check; change given back is one with a negative amount."""
    return _parts(message.payments, "PAYMENT")


def discounts(message: Message) -> list[Part]:
    """The discounts of the check, negative as r_keeper sends them."""
    return _parts(message.discounts, "DISCOUNT")


def lines(message: Message) -> tuple[Line, ...]:
    """The goods of the check. Quantities may be 0. Errors: BadMessage."""
    if len(message.lines) > MAX_LINES:
        raise bad("LINE", len(message.lines), f"at most {MAX_LINES} lines")
    off = [0] * len(message.lines)
    for position, fields in message.line_discounts:
        off[position] -= minor(fields.get("sum") or "0", "DISCOUNTPART@sum")
    rows = zip(message.lines, off, strict=True)
    return tuple([_line(position, fields, less) for position, (fields, less) in enumerate(rows, 1)])


def _line(position: int, fields: Fields, discount_minor: int) -> Line:
    get = fields.get
    return Line(
        number=integer(uni, "LINE@uni") if (uni := get("uni")) else position,
        goods=code(get("code"), "LINE@code"),
        name=get("name", "")[:MAX_NAME],
        category=(get("categ_id") or get("categ") or "")[:MAX_NAME],
        quantity_thousandths=thousandths(get("quantity") or "1", "LINE@quantity"),
        price_minor=minor(get("price") or "0", "LINE@price"),
        sum_minor=minor(get("sum"), "LINE@sum"),
        discount_minor=bounded(discount_minor, "DISCOUNTPART@sum"),
    )


def _parts(found: list[Fields], where: str) -> list[Part]:
    if len(found) > MAX_PAYMENTS:
        raise bad(where, len(found), f"at most {MAX_PAYMENTS}")
    return [_part(fields, where) for fields in found]


def _part(fields: Fields, where: str) -> Part:
    get = fields.get
    own, base = get("sum"), get("bsum")
    summa = minor(own or base, f"{where}@sum")
    return Part(
        code=code(get("code"), f"{where}@code"),
        cardcode=code(get("cardcode"), f"{where}@cardcode"),
        paytype=get("paytype", ""),
        summa=summa,
        base=minor(base, f"{where}@bsum") if base and base != own else summa,
    )


def _collect(root: etree._Element, message: Message, inside: bool) -> None:
    """Put what the tree tells into the message; ``inside``: the tree is itself the content of an INPBUF."""
    container = interface = ""
    lines = message.lines
    for element in root.iter("*"):
        name = NAMES.get(element.tag)
        if name is None:
            name = local_name(element.tag)
        if not name:
            continue
        if name == "LINE":
            lines.append(attributes(element, GOODS, CATEGORY))
        elif name == "DISCOUNTPART":
            if lines:
                message.line_discounts.append((len(lines) - 1, attributes(element, SUM)))
        elif name == "PAYMENT":
            message.payments.append(attributes(element, PAID, THROUGH))
        elif name == "DISCOUNT":
            message.discounts.append(attributes(element, OFF, THROUGH))
        elif name == "CATEG":
            # They tell what the receipt costs only where no line does.
            if not lines:
                message.categories.append(attributes(element, SUM))
        elif name == "TRANSACTIONSEX":
            _add_record(attributes(element, RECORD), message)
        elif name == "ITEM":
            cardcode = attributes(element, CARDCODE).get("cardcode", "")
            message.items.append(Item(container, interface, cardcode))
        elif name in ("HOLDERS", "ALLCARDS"):
            container = name
        elif name == "INTERFACE":
            interface = attributes(element, ID).get("id", "")
        elif name == "INTERFACES":
            message.current = message.current or attributes(element, CURRENT).get("current", "")
        elif name == "QRY":
            message.query = message.query or attributes(element)
        elif name == "CHECK":
            _add_check(attributes(element, CHECK), message)
        elif name == "CHECKDATA":
            if message.data:
                raise bad("CHECKDATA", "a second one", "one receipt")
            message.data = attributes(element, DATA)
        elif name == "INPBUF" and not inside and not len(element) and (text := (element.text or "").strip()):
            _collect(parse_xml_text(text), message, inside=True)


def _add_check(fields: Fields, message: Message) -> None:
    if message.has_check:
        raise bad("CHECK", "a second one", "one check")
    message.has_check = True
    message.check = fields


def _add_record(fields: Fields, message: Message) -> None:
    """The record, if it is one: an element of that name without Kind and Summa is a wrapper or an answer."""
    if "kind" not in fields and "summa" not in fields:
        return
    number = len(message.records) + 1
    if number > MAX_RECORDS:
        raise bad("TransactionsEx", number, f"at most {MAX_RECORDS} records")
    where = f"TransactionsEx[{number}]"
    kind = KINDS.get(fields.get("kind", ""))
    if kind is None:
        raise bad(f"{where}@Kind", fields.get("kind", ""), "0 to 3")
    message.records.append(
        Record(
            where=where,
            card=identifier(fields.get("card"), f"{where}@Card"),
            account=identifier(fields.get("account") or "0", f"{where}@Account"),
            kind=kind,
            summa=integer(fields.get("summa"), f"{where}@Summa"),
            restaurant=restaurant(fields, f"{where}@Restaurant"),
            fields=fields,
        )
    )


def restaurant(fields: Fields, where: str) -> int | None:
    """The restaurant's number in a record or query, where it is told."""
    return identifier(text, where) if (text := fields.get("restaurant", "")) else None
