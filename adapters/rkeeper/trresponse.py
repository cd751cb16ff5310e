"""What was done -> TRRESPONSE: one TRANSACTION for each record, and what the guest reads.

Vendor text TRRESPONSE; docs/adapters/rkeeper.md, "TRRESPONSE". The answer depends on nothing but the message, the
link and the stored result, so that a replay is told alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from adapters.contract import TENDER, Link
from adapters.parsing import minor
from adapters.rkeeper.answers import DECLARATION
from adapters.rkeeper.messages import (
    BONUS,
    DISCOUNT,
    MAX_PAYMENTS,
    PAYMENT,
    Fields,
    Message,
    Record,
    card_number,
    spellings,
)
from adapters.rkeeper.options import unit_names, units_by_number
from adapters.rkeeper.wording import CONTROLS_BUT_FEEDS, PLACE_BYTES, TEXT_BYTES, fitted, quoted
from adapters.texts import line
from processing.errors import BadMessage
from processing.results import (
    Accrued,
    CardMovement,
    ReceiptPosted,
    ReceiptRestored,
    ReceiptVoided,
    ToppedUp,
    cards_of,
)
from processing.units import major

Options = Mapping[str, Any]
Done = ReceiptPosted | ReceiptVoided | ReceiptRestored | ToppedUp | Accrued

# How the slip of an operation opens; a sale's needs no words.
OPENINGS = {ReceiptVoided: "cancelled", ReceiptRestored: "restored"}
# Flags of an operation that the cashier should know: TRRESPONSE@err_text with error_code 0 is a notice.
NOTICES = {"card_not_usable": "not_accrued"}
# The lines of a check that a record may belong to.
LINETAGS = {PAYMENT: "PAYMENT", DISCOUNT: "DISCOUNT"}
UNI_DIGITS = 19


class CheckLine(msgspec.Struct, frozen=True):
    """A line of the check: its tag, number, amount in kopecks where it can be read, and currency."""

    tag: str
    uni: str
    amount: int | None = None
    code: str = ""


class Row(msgspec.Struct):
    """One TRANSACTION of the card with this code. ``number`` 0: an additional one, which no record told."""

    number: int
    code: str
    movements: Sequence[CardMovement]
    check_line: CheckLine | None = None
    purse: int = 0
    value: int | None = None
    slip: str = ""


def transactions_answer(done: Done, message: Message, link: Link, tongue: str) -> str:
    """The answer to a package that was carried out."""
    rows = _rows(done, message, link.options)
    for row in _first_of_each_card(rows):
        row.slip = _slip(done, row.movements, link, tongue)
    told = "".join([_transaction(done.operation_id, place, row) for place, row in enumerate(rows, 1)])
    notices = [line(NOTICES[flag], tongue) for flag in getattr(done, "flags", ()) if flag in NOTICES]
    notice = f' err_text="{quoted(fitted(". ".join(dict.fromkeys(notices)), TEXT_BYTES))}"' if notices else ""
    response = (
        f'<TRRESPONSE error_code="0"{notice} dts="{_local(done.at, link)}" placeid="{quoted(_place(message))}">'
        f"{told}</TRRESPONSE>"
    )
    return _answer(0, response, link.options)


def refused_answer(error_code: int, reason: str, options: Options) -> str:
    """The answer to a package of which nothing was carried out."""
    return _answer(1, f'<TRRESPONSE error_code="{error_code}" err_text="{quoted(reason)}"/>', options)


def _answer(result: int, response: str, options: Options) -> str:
    """The result with its TRRESPONSE, beside the result element or inside it, as the link says."""
    buffer = f'<OutBuf OutKind="1">{response}</OutBuf>'
    if options["out_buf"] == "nested":
        inner = f'<TransactionsEx Result="{result}">{buffer}</TransactionsEx>'
    else:
        inner = f'<TransactionsEx Result="{result}"/>{buffer}'
    return f"{DECLARATION}<Root>{inner}</Root>"


def _transaction(operation_id: int, place: int, row: Row) -> str:
    """``ext_id`` is the id in our books; an operation that booked nothing has none."""
    ext_id = f' ext_id="{operation_id}-{place}"' if operation_id else ""
    found = row.check_line
    uni = f' uni="{found.uni}" linetag="{found.tag}"' if found else ""
    purse = f' subaccount="{row.purse}"' if row.purse else ""
    value = f' value="{row.value}"' if row.value is not None else ""
    slip = f' slip="{quoted(row.slip)}"' if row.slip else ""
    return f'<TRANSACTION{ext_id} cardcode="{quoted(row.code)}" num="{row.number}"{uni}{purse}{value}{slip}/>'


# Rows --------------------------------------------------------------------------------------------------------


def _rows(done: Done, message: Message, options: Options) -> list[Row]:
    """A row for each record, and where the link wants them for what was earned beside the records."""
    movements, spelled = cards_of(done), spellings(message)
    numbers = {unit: number for number, unit in units_by_number(options).items()}
    lines = _Lines.of(message) if options["slip_lines"] != "none" else _Lines()
    by_card: dict[str, Sequence[CardMovement]] = {}
    rows: list[Row] = []
    for number, record in enumerate(message.records, 1):
        code = spelled.get(record.card, str(record.card))
        if code not in by_card:
            by_card[code] = _movements(movements, record, message.records)
        row = Row(number, code, by_card[code], lines.take(record))
        row.purse = _purse(row, record, numbers, options)
        rows.append(row)
    if options["additional_transactions"] and isinstance(done, ReceiptPosted):
        carried = {(row.code, unit) for row, unit in zip(rows, _units_told(message, options), strict=True)}
        rows += _additional(by_card | _without_records(movements, by_card, spelled), carried, numbers)
    if options["slip_lines"] == "any":
        _give_goods(rows, message)
    return rows


def _movements(movements: Sequence[CardMovement], record: Record, records: Sequence[Record]) -> Sequence[CardMovement]:
    """The movements of the record's card: by its number, else by its account, else all if it is alone.

    The core answers with the card's own number, which need not be the one that the guest has shown.
    """
    return (
        [movement for movement in movements if card_number(movement.card) == record.card]
        or [movement for movement in movements if record.account and movement.account == record.account]
        or (movements if all(other.card == record.card for other in records) else ())
    )


def _purse(row: Row, record: Record, numbers: Mapping[str, int], options: Options) -> int:
    """The number of the purse that the record has moved; 0 when it is none, or parts of several.

    The check's currency tells it where its amount is the record's and that purse did move; else the only purse
    that moved, or the only one by this amount.
    """
    if record.kind not in (PAYMENT, BONUS):
        return 0
    moved = _redeemed(row.movements) if record.kind == PAYMENT else {}
    moved = moved or _earned(row.movements)
    found = row.check_line
    if found and found.amount == abs(record.summa) and found.code in options["purses"]:
        unit: str = options["purses"][found.code]["unit"]
        if unit in moved:
            return numbers[unit]
    exact = [unit for unit, amount in moved.items() if amount == abs(record.summa)]
    chosen = exact if len(exact) == 1 else list(moved)
    return numbers.get(chosen[0], 0) if len(chosen) == 1 else 0


def _redeemed(movements: Sequence[CardMovement]) -> dict[str, int]:
    return {movement.unit: movement.redeemed for movement in movements if movement.redeemed}


def _earned(movements: Sequence[CardMovement]) -> dict[str, int]:
    return {movement.unit: movement.earned for movement in movements if movement.earned}


def _units_told(message: Message, options: Options) -> list[str]:
    """The unit in which each record tells that something came to its card; or nothing."""
    units = {BONUS: options["default_purse"], PAYMENT: options["top_up_unit"]}
    return [units.get(record.kind, "") if record.summa > 0 else "" for record in message.records]


def _without_records(
    movements: Sequence[CardMovement], by_card: Mapping[str, Sequence[CardMovement]], spelled: Mapping[int, str]
) -> dict[str, Sequence[CardMovement]]:
    """Movements of cards that no record named, by the code of the card."""
    known = [movement for found in by_card.values() for movement in found]
    rest: dict[str, list[CardMovement]] = {}
    for movement in movements:
        if movement not in known:
            code = spelled.get(card_number(movement.card) or 0) or fitted(movement.card, TEXT_BYTES)
            rest.setdefault(code, []).append(movement)
    return dict(rest)


def _additional(
    by_card: Mapping[str, Sequence[CardMovement]], carried: set[tuple[str, str]], numbers: Mapping[str, int]
) -> list[Row]:
    """What was earned or loaded and no record told: a programme's accrual, a dish that tops up."""
    return [
        Row(0, code, movements, purse=numbers.get(movement.unit, 0), value=movement.earned)
        for code, movements in by_card.items()
        for movement in movements
        if movement.earned > 0 and (code, movement.unit) not in carried
    ]


# Lines of the check ------------------------------------------------------------------------------------------


class _Lines:
    """The payments and discounts of each card that no record has taken yet."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, int], list[CheckLine]] = {}

    @classmethod
    def of(cls, message: Message) -> _Lines:
        lines = cls()
        for kind, rows in ((PAYMENT, message.payments), (DISCOUNT, message.discounts)):
            for fields in rows[:MAX_PAYMENTS]:
                card = card_number(fields.get("cardcode", ""))
                if card and _is_uni(fields):
                    found = CheckLine(LINETAGS[kind], fields["uni"], _kopecks(fields), fields.get("code", ""))
                    lines._free.setdefault((kind, card), []).append(found)
        return lines

    def take(self, record: Record) -> CheckLine | None:
        """The line of the record: of its card and kind, with its amount if there is one."""
        free = self._free.get((record.kind, record.card))
        if not free:
            return None
        amount = abs(record.summa)
        exact = [found for found in free if found.amount == amount]
        chosen = (exact or free)[0]
        free.remove(chosen)
        return chosen


def _give_goods(rows: Sequence[Row], message: Message) -> None:
    """To each card without a line of its own the first of the goods, without which no slip is printed."""
    goods = next((fields for fields in message.lines if _is_uni(fields)), None)
    if goods:
        for row in _first_of_each_card(rows):
            row.check_line = row.check_line or CheckLine("LINE", goods["uni"])


def _is_uni(fields: Fields) -> bool:
    uni = fields.get("uni", "")
    return uni.isascii() and uni.isdigit() and len(uni) <= UNI_DIGITS


def _kopecks(fields: Fields) -> int | None:
    """The line's amount without its sign; None where a void tells nonsense, for its amounts do not matter."""
    try:
        return abs(minor(fields.get("bsum") or fields.get("sum"), "sum"))
    except BadMessage:
        return None


# Texts -------------------------------------------------------------------------------------------------------


def _first_of_each_card(rows: Sequence[Row]) -> list[Row]:
    """Of each card the row for its slip: the first with a line of the check, else the first."""
    found: dict[str, Row] = {}
    for row in rows:
        known = found.setdefault(row.code, row)
        if row.check_line and not known.check_line:
            found[row.code] = row
    return list(found.values())


def _slip(done: Done, movements: Sequence[CardMovement], link: Link, tongue: str) -> str:
    """What the guest reads; empty when nothing moved. What the fiscal receipt tells as a payment is one here too."""
    options = link.options
    moved = [movement for movement in movements if movement.earned or movement.redeemed]
    if not moved:
        return ""
    several = len(moved) > 1 and len({movement.unit for movement in moved}) > 1
    names = unit_names(options) if several else {}
    opening = OPENINGS.get(type(done))
    rows = [line(opening, tongue)] if opening else []
    for movement in moved:
        if not isinstance(done, ReceiptVoided):
            if movement.redeemed:
                went = "paid" if link.fiscal.get(movement.unit) == TENDER else "redeemed"
                rows.append(line(went, tongue, _amount(movement, movement.redeemed, several, names)))
            if movement.earned:
                came = _came(done, movement, options)
                rows.append(line(came, tongue, _amount(movement, movement.earned, several, names)))
        rows.append(line("balance", tongue, _amount(movement, movement.available, several, names)))
    return fitted("\n".join(rows), TEXT_BYTES, CONTROLS_BUT_FEEDS)


def _came(done: Done, movement: CardMovement, options: Options) -> str:
    """Whether what came was earned or paid in: by the operation, in a receipt by the unit that is topped up."""
    loads = options["top_up_dishes"] or options["top_up_records"]
    paid_in = isinstance(done, ToppedUp) or (loads and movement.unit == options["top_up_unit"])
    return "topped_up" if paid_in and not isinstance(done, Accrued) else "accrued"


def _amount(movement: CardMovement, amount: int, with_unit: bool, names: Mapping[str, str]) -> str:
    shown = major(amount, movement.scale)
    return f"{names.get(movement.unit, movement.unit)} {shown}" if with_unit else shown


def _place(message: Message) -> str:
    """Restaurant and station, as ``R3:S5``."""
    record = message.records[0] if message.records else None
    told = record.restaurant if record and record.restaurant is not None else None
    restaurant = message.check.get("restaurantcode", "") if told is None else str(told)
    station = message.check.get("stationcode") or (record.fields.get("rkunit", "") if record else "")
    return fitted(f"R{restaurant}:S{station}", PLACE_BYTES)


def _local(at: datetime, link: Link) -> str:
    """Local time without zone, as everywhere in this protocol."""
    told = at.astimezone(link.zone)
    return f"{told.year:04}-{told.month:02}-{told.day:02}T{told.hour:02}:{told.minute:02}:{told.second:02}"
