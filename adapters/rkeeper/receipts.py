"""Fields of a FarCards message -> what we ask of the core about a card or a receipt.

Page: docs/adapters/rkeeper.md, "Direction". What happens to each card: ``cards``; value that comes without a
purchase: ``topups``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

from adapters.contract import Link, WireRequest
from adapters.parsing import MAX_CODE, bad, bounded, code, day, minor
from adapters.rkeeper.cards import (
    BANK_CARD,
    CASH,
    cards_of_holders,
    cards_of_records,
    doubts,
    loads_by_sign,
    purse_payments,
    purse_unit,
    refs,
    sums_by_card,
)
from adapters.rkeeper.keys import (
    content_digest,
    instant_or_none,
    names_a_receipt,
    receipt_guid,
    receipt_key,
    records_key,
    stamp,
)
from adapters.rkeeper.messages import (
    BONUS,
    DISCOUNT,
    PAYMENT,
    SPENDING,
    Fields,
    Message,
    Part,
    Record,
    discounts,
    holder_codes,
    is_card,
    lines,
    payments,
)
from adapters.rkeeper.topups import SCRIPT, marked_lines, with_loaded_lines
from processing.commands import Identify, Line, PostReceipt, Receipt, RestoreReceipt, Tender, VoidReceipt
from processing.errors import BadMessage, ForeignStore

Options = Mapping[str, Any]

# chmode of an open order: its lines are what the guest is about to pay.
ORDER_MODES = frozenset({"1", "5", "6", "7", "13"})

# The sign that a Summa has in a sale (vendor text on FarCards 6.xx, transactions).
SALE_SIGN = {PAYMENT: -1, DISCOUNT: -1, BONUS: 1, SPENDING: 1}

PAYTYPES: dict[str, Literal["cash", "bank_card"]] = {CASH: "cash", BANK_CARD: "bank_card"}


def refuse_foreign(message: Message, numbers: Sequence[int], options: Options) -> None:
    """Errors: ForeignStore for a restaurant that is not one of the link's; an empty list allows all."""
    told = message.check.get("restaurantcode", "")
    if told and options["restaurant_codes"] and told not in options["restaurant_codes"]:
        raise ForeignStore("not a restaurant of this link", where="restaurantcode", value=told[:MAX_CODE])
    for number in numbers:
        if options["restaurants"] and number not in options["restaurants"]:
            raise ForeignStore("not a restaurant of this link", where="Restaurant", value=str(number))


def identify(message: Message, card: int, link: Link) -> Identify:
    """Who is the card? By the holder's code of equal value first, for only a text keeps leading zeros."""
    spelled = [held for held in holder_codes(message) if is_card(held, card)]
    return Identify(
        store=link.store, refs=refs([*spelled[:1], str(card)]), order_minor=order_total(message, link.options)
    )


def order_total(message: Message, options: Options) -> int | None:
    """What of the open order points may pay for, in kopecks, where the message tells an order: not what loads cards."""
    if message.check.get("chmode") not in ORDER_MODES or not message.lines:
        return None
    loads = options["top_up_dishes"]
    told = [fields for fields in message.lines if fields.get("code") not in loads]
    return max(sum(minor(fields.get("sum"), "LINE@sum") for fields in told), 0)


def sale(message: Message, request: WireRequest, link: Link) -> PostReceipt:
    """The sale that a check with its records tells. Errors: BadMessage, CardNotFound, UnitNotFound."""
    options = link.options
    refuse_wrong_signs(message.records, loads_by_sign(options))
    paid, off, goods = payments(message), discounts(message), marked_lines(lines(message), options)
    total = _total(message, goods)
    sums, by_purse = sums_by_card(message.records, options), purse_payments(paid, options)
    cards = cards_of_records(sums, by_purse, message, options) if sums else cards_of_holders(message, total)
    return PostReceipt(
        store=link.store,
        keys=(_key(message),),
        content=content_digest(message.records, paid, off, goods),
        receipt=_receipt(message, request, link, total, off, goods, paid),
        cards=with_loaded_lines(cards, goods, options),
        stamp=stamp(message, request, link),
        supersede=options["supersede"] and _names_receipt(message),
        notes=doubts(sums, by_purse),
    )


def records_sale(message: Message, request: WireRequest, link: Link) -> PostReceipt:
    """The sale that records alone tell: r_keeper 6, or a script. Errors: as sale."""
    refuse_wrong_signs(message.records)
    sums = sums_by_card(message.records, link.options)
    return PostReceipt(
        store=link.store,
        keys=(records_key(message.records),),
        content=content_digest(message.records),
        receipt=_receipt(message, request, link, _records_total(message.records)),
        cards=cards_of_records(sums, {}, message, link.options),
        stamp=stamp(message, request, link),
        supersede=link.options["supersede"] and _names_receipt(message),
    )


def void(message: Message, reason: Literal["rollback", "return"], request: WireRequest, link: Link) -> VoidReceipt:
    """The receipt is undone by its own amounts; the message only names it."""
    return VoidReceipt(
        store=link.store,
        keys=(_key(message),),
        content=content_digest(message.records),
        reason=reason,
        stamp=stamp(message, request, link),
    )


def records_void(message: Message, request: WireRequest, link: Link) -> VoidReceipt:
    """The reversal that records alone tell. They do not tell a rollback from a return."""
    return VoidReceipt(
        store=link.store,
        keys=(records_key(message.records),),
        content=content_digest(message.records),
        reason="return",
        stamp=stamp(message, request, link),
    )


def restore(message: Message, request: WireRequest, link: Link) -> RestoreReceipt:
    """The return of the receipt is undone."""
    return RestoreReceipt(
        store=link.store,
        keys=(_key(message),),
        content=content_digest(message.records),
        stamp=stamp(message, request, link),
    )


def is_reversal(records: Sequence[Record]) -> bool:
    """Whether the signs are those of a reversal. Errors: BadMessage when some are and some are not.

    Kind 1 moves nothing and decides only where nothing else does.
    """
    told = [record for record in records if record.summa]
    told = [record for record in told if record.kind != DISCOUNT] or told
    for record in told:
        if _is_reversed(record) != _is_reversed(told[0]):
            raise bad(f"{record.where}@Summa", record.summa, "the direction of the records before it")
    return bool(told) and _is_reversed(told[0])


def refuse_wrong_signs(records: Sequence[Record], loads: bool = False) -> None:
    """Errors: BadMessage naming the first record without the sign of a sale; Kind 1 may have any.

    ``loads``: a payment of the other sign is a top-up.
    """
    free = (DISCOUNT, PAYMENT) if loads else (DISCOUNT,)
    for record in records:
        if record.kind not in free and _is_reversed(record):
            raise bad(f"{record.where}@Summa", record.summa, f"the sign of a sale for kind {record.kind}")


def _is_reversed(record: Record) -> bool:
    return record.summa * SALE_SIGN[record.kind] < 0


def _key(message: Message) -> str:
    """The receipt's key: by GUID, else by its records. Errors: BadMessage when it has neither."""
    if key := receipt_key(message):
        return key
    if not message.records:
        raise bad("CHECKDATA@checkguid", message.data.get("checkguid", ""), "a GUID, or records")
    return records_key(message.records)


def _names_receipt(message: Message) -> bool:
    """Whether the key names one receipt, so that other content under it is a newer version of the same.

    A script's calls, and packages with receipt number 0, share a key without being versions of each other.
    """
    if message.check.get("chmode") == SCRIPT:
        return False
    return bool(receipt_guid(message)) or names_a_receipt(message.records)


def _receipt(
    message: Message,
    request: WireRequest,
    link: Link,
    total_minor: int,
    off: Sequence[Part] = (),
    goods: tuple[Line, ...] = (),
    paid: Sequence[Part] = (),
) -> Receipt:
    """The receipt; number, till and business date come from the check, else from the records."""
    check, data = message.check, message.data
    record: Fields = message.records[0].fields if message.records else {}
    number = data.get("checknum", "")
    return Receipt(
        number=code(number if number.strip("0") else record.get("rkcheck") or number, "CHECKDATA@checknum"),
        till=code(check.get("stationcode") or record.get("rkunit"), "CHECK@stationcode"),
        business_date=_day_or_none(check.get("shiftdate"))
        or _day_or_none(record.get("rkdate"))
        or request.at.astimezone(link.zone).date(),
        shift=code(check.get("shiftnum"), "CHECK@shiftnum"),
        closed_at=instant_or_none(data.get("closedatetime"), link),
        total_minor=total_minor,
        discount_minor=bounded(-sum([part.base for part in off]), "DISCOUNT@sum"),
        lines=goods,
        tenders=tuple([_tender(part, link.options) for part in paid]),
    )


def _total(message: Message, goods: Sequence[Line]) -> int:
    """What the receipt costs: its lines, else its categories, else what the records paid."""
    if goods:
        return bounded(sum([line.sum_minor for line in goods]), "LINE@sum")
    if message.categories:
        return bounded(sum(minor(fields.get("sum") or "0", "CATEG@sum") for fields in message.categories), "CATEG@sum")
    return _records_total(message.records)


def _records_total(records: Sequence[Record]) -> int:
    """The holders' own money and what their purses paid."""
    return bounded(sum(abs(record.summa) for record in records if record.kind in (SPENDING, PAYMENT)), "Summa")


def _tender(part: Part, options: Options) -> Tender:
    if unit := purse_unit(part, options):
        return Tender(code=part.code, kind="purse", amount_minor=part.base, unit=unit, card=part.cardcode)
    return Tender(code=part.code, kind=PAYTYPES.get(part.paytype, "other"), amount_minor=part.base)


def _day_or_none(text: str | None) -> date | None:
    try:
        return day(text, "date")
    except BadMessage:
        return None
