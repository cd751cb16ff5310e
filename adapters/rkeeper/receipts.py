"""Fields of a FarCards message -> what we ask of the core.

Money rule: the records (kopecks) are the authority for purses, the check (roubles) for goods. Page:
docs/adapters/rkeeper.md, "Cards and purses".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

import msgspec

from adapters.contract import Link, WireRequest
from adapters.parsing import MAX_CODE, bad, bounded, code, day, instant, minor
from adapters.rkeeper.keys import content_digest, receipt_key, records_key
from adapters.rkeeper.messages import (
    BONUS,
    DISCOUNT,
    PAYMENT,
    SPENDING,
    Fields,
    Message,
    Part,
    Record,
    card_number,
    discounts,
    holder_codes,
    is_card,
    lines,
    payments,
    spellings,
)
from adapters.rkeeper.options import units_by_number
from processing.commands import (
    MAX_CARDS,
    Amount,
    CardUse,
    Identify,
    Line,
    PostReceipt,
    Receipt,
    Ref,
    RestoreReceipt,
    Tender,
    VoidReceipt,
)
from processing.errors import BadMessage, CardNotFound, ForeignStore, UnitNotFound
from processing.units import spread

Options = Mapping[str, Any]

# chmode of an open order: its lines are what the guest is about to pay.
ORDER_MODES = frozenset({"1", "5", "6", "7", "13"})

# chmode of a call that a script makes, not a receipt.
SCRIPT = "0"

# The sign that a Summa has in a sale (vendor text on FarCards 6.xx, transactions).
SALE_SIGN = {PAYMENT: -1, DISCOUNT: -1, BONUS: 1, SPENDING: 1}

# 1 cash, 2 bank card, 3 other.
PAYTYPES: dict[str, Literal["cash", "bank_card"]] = {"1": "cash", "2": "bank_card"}

# Notes for the operator.
PURSE_SUMS_DIFFER = "purse_sums_differ"


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
    return Identify(store=link.store, refs=_refs([*spelled[:1], str(card)]), order_minor=order_total(message))


def order_total(message: Message) -> int | None:
    """What the open order costs, in kopecks, where the message tells an order."""
    if message.check.get("chmode") not in ORDER_MODES or not message.lines:
        return None
    return max(sum(minor(fields.get("sum"), "LINE@sum") for fields in message.lines), 0)


def sale(message: Message, request: WireRequest, link: Link) -> PostReceipt:
    """The sale that a check with its records tells. Errors: BadMessage, CardNotFound, UnitNotFound."""
    refuse_wrong_signs(message.records)
    paid, off, goods = payments(message), discounts(message), lines(message)
    total = _total(message, goods)
    sums, by_purse = _sums(message.records), _purse_payments(paid, link.options)
    cards = _cards(sums, by_purse, message, link.options) if message.records else _holders(message, total)
    return PostReceipt(
        store=link.store,
        keys=(_key(message),),
        content=content_digest(message.records, paid, off, goods),
        receipt=_receipt(message, request, link, total, off, goods, paid),
        cards=cards,
        stamp=stamp(message, request, link),
        supersede=link.options["supersede"] and _names_receipt(message),
        notes=_notes(sums, by_purse),
    )


def records_sale(message: Message, request: WireRequest, link: Link) -> PostReceipt:
    """The sale that records alone tell: r_keeper 6, or a script. Errors: as sale."""
    refuse_wrong_signs(message.records)
    return PostReceipt(
        store=link.store,
        keys=(records_key(message.records),),
        content=content_digest(message.records),
        receipt=_receipt(message, request, link, _records_total(message.records)),
        cards=_cards(_sums(message.records), {}, message, link.options),
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


def refuse_wrong_signs(records: Sequence[Record]) -> None:
    """Errors: BadMessage naming the first record without the sign of a sale; Kind 1 may have any."""
    for record in records:
        if record.kind != DISCOUNT and _is_reversed(record):
            raise bad(f"{record.where}@Summa", record.summa, f"the sign of a sale for kind {record.kind}")


def _is_reversed(record: Record) -> bool:
    return record.summa * SALE_SIGN[record.kind] < 0


def stamp(message: Message, request: WireRequest, link: Link) -> datetime:
    """The till's own time of this attempt, in UTC; ours, the newest, where it tells none or nonsense."""
    return _instant_or_none(message.check.get("generateddatetime"), link) or request.at


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
    return bool(receipt_key(message) or message.records[0].fields.get("rkcheck", "").strip("0"))


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
        closed_at=_instant_or_none(data.get("closedatetime"), link),
        total_minor=total_minor,
        discount_minor=bounded(-sum(part.base for part in off), "DISCOUNT@sum"),
        lines=goods,
        tenders=tuple(_tender(part, link.options) for part in paid),
    )


def _total(message: Message, goods: Sequence[Line]) -> int:
    """What the receipt costs: its lines, else its categories, else what the records paid."""
    if goods:
        return bounded(sum(line.sum_minor for line in goods), "LINE@sum")
    if message.categories:
        return bounded(sum(minor(fields.get("sum") or "0", "CATEG@sum") for fields in message.categories), "CATEG@sum")
    return _records_total(message.records)


def _records_total(records: Sequence[Record]) -> int:
    """The holders' own money and what their purses paid."""
    return bounded(sum(abs(record.summa) for record in records if record.kind in (SPENDING, PAYMENT)), "Summa")


def _tender(part: Part, options: Options) -> Tender:
    if unit := _purse_unit(part, options):
        return Tender(code=part.code, kind="purse", amount_minor=part.base, unit=unit, card=part.cardcode)
    return Tender(code=part.code, kind=PAYTYPES.get(part.paytype, "other"), amount_minor=part.base)


def _purse_unit(part: Part, options: Options) -> str:
    """The unit of the purse that this payment is from, by the link's map of currencies; or nothing."""
    purse = options["purses"].get(part.code)
    return purse["unit"] if purse and part.cardcode and part.paytype not in PAYTYPES else ""


class _Sums(msgspec.Struct):
    """What the records of one card add up to, positive in a sale; ``earned`` None: no Kind 2 came."""

    redeemed: int = 0
    earned: int | None = None
    spent: int = 0


ByPurse = dict[int, dict[str, int]]


def _cards(sums: Mapping[int, _Sums], by_purse: ByPurse, message: Message, options: Options) -> tuple[CardUse, ...]:
    """What the records do with each card, in the order of their first records."""
    if len(sums) > MAX_CARDS:
        raise bad("TransactionsEx@Card", len(sums), f"at most {MAX_CARDS} cards")
    spelled = spellings(message)
    return tuple(
        CardUse(
            refs=_refs([spelled.get(card, ""), str(card)]),
            redeem=_redeem(of.redeemed, by_purse.get(card, {}), options),
            earn=_earn(of.earned, options),
            spend_minor=of.spent,
        )
        for card, of in sums.items()
    )


def _sums(records: Sequence[Record]) -> dict[int, _Sums]:
    sums: dict[int, _Sums] = {}
    for record in records:
        if record.card == 0:
            raise CardNotFound("a record names card 0", where=f"{record.where}@Card")
        of = sums.setdefault(record.card, _Sums())
        if record.kind == PAYMENT:
            of.redeemed -= record.summa
        elif record.kind == BONUS:
            of.earned = (of.earned or 0) + record.summa
        elif record.kind == SPENDING:
            of.spent += record.summa
    return sums


def _redeem(redeemed: int, by_unit: Mapping[str, int], options: Options) -> tuple[Amount, ...]:
    """The records' amount, by purse where the check agrees with it, else whole from the default purse."""
    if redeemed == 0:
        return ()
    if _agree(redeemed, by_unit):
        return tuple(Amount(unit, by_unit[unit]) for unit in _units(options) if by_unit.get(unit))
    return (Amount(_default_unit(options), redeemed),)


def _earn(earned: int | None, options: Options) -> tuple[Amount, ...] | None:
    """What r_keeper has computed; None leaves it to the programme, unless the link says r_keeper does it."""
    if earned is None:
        return () if options["bonuses"] else None
    return (Amount(_default_unit(options), earned),) if earned else ()


def _holders(message: Message, total_minor: int) -> tuple[CardUse, ...]:
    """The cards of a check that came without records: they only accrue, sharing the total."""
    held = holder_codes(message)
    if len(held) > MAX_CARDS:
        raise bad("HOLDERS/ITEM", len(held), f"at most {MAX_CARDS} cards")
    shares = spread(total_minor, [1] * len(held)) if held else []
    return tuple(
        CardUse(refs=_refs([code(name, "HOLDERS/ITEM@cardcode")]), spend_minor=share)
        for name, share in zip(held, shares, strict=True)
    )


def _notes(sums: Mapping[int, _Sums], by_purse: ByPurse) -> tuple[str, ...]:
    """Doubts: the check's purse payments and the records' Kind 0 do not agree for some card."""
    redeemed = {card: of.redeemed for card, of in sums.items()}
    agree = all(_agree(redeemed.get(card, 0), by_purse.get(card, {})) for card in redeemed | by_purse)
    return () if agree else (PURSE_SUMS_DIFFER,)


def _purse_payments(paid: Sequence[Part], options: Options) -> ByPurse:
    """Card -> unit -> kopecks."""
    found: ByPurse = {}
    for part in paid:
        unit, card = _purse_unit(part, options), card_number(part.cardcode)
        if unit and card:
            by_unit = found.setdefault(card, {})
            by_unit[unit] = by_unit.get(unit, 0) + part.base
    return found


def _agree(redeemed: int, by_unit: Mapping[str, int]) -> bool:
    return sum(by_unit.values()) == redeemed and all(amount >= 0 for amount in by_unit.values())


def _default_unit(options: Options) -> str:
    unit: str = options["default_purse"]
    if not unit:
        raise UnitNotFound("the link has no purses", option="purses")
    return unit


def _units(options: Options) -> list[str]:
    return list(units_by_number(options).values())


def _refs(codes: Sequence[str]) -> tuple[Ref, ...]:
    return tuple(Ref("card", name) for name in dict.fromkeys(codes) if name)


def _instant_or_none(text: str | None, link: Link) -> datetime | None:
    """Malformed times are seen in the vendor's own samples (``2013-08-2116:2316:23:56``)."""
    try:
        return instant(text, "time", link.zone)
    except BadMessage:
        return None


def _day_or_none(text: str | None) -> date | None:
    try:
        return day(text, "date")
    except BadMessage:
        return None
