"""Results and refusals -> the bytes that FarCards reads. Every answer is a pure function of what was asked
and what came back, so that a replay is answered byte for byte alike.

The attributes are those of the vendor's 1164-byte card info and of TRRESPONSE; docs/adapters/rkeeper.md,
"What is answered". Texts are cut to the byte lengths of the binary structs, in Windows-1251.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from adapters.contract import Link, WireRequest, WireResponse
from adapters.rkeeper.messages import Message, Record, card_number, spellings
from adapters.rkeeper.options import PURSES, units_by_number
from adapters.texts import ENGLISH, RUSSIAN, code_text, line, text
from processing.errors import BadCredentials, CardNotFound, LoyaltyError
from processing.results import (
    Balance,
    CardMovement,
    Identified,
    ReceiptPosted,
    ReceiptRestored,
    ReceiptVoided,
)
from processing.units import major

Options = Mapping[str, Any]
Done = ReceiptPosted | ReceiptVoided | ReceiptRestored
Controls = Mapping[int, str | None]

CONTENT_TYPE = "text/xml; charset=utf-8"
DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'

HOLDER_BYTES = 39
TEXT_BYTES = 255
SHOWN_DIGITS = 4
PLACE_BYTES = 64

# How the slip of an operation opens; a sale's needs no words.
OPENINGS = {ReceiptVoided: "cancelled", ReceiptRestored: "restored"}

# Windows LCIDs of CHECK@locale.
LOCALES = {"1049": RUSSIAN, "1033": ENGLISH}

# TRRESPONSE@error_code: any number but 0 is an error. Where the card industry has a number for it
# (ISO 8583, field 39), that one is used, as in the vendor's 51 for a shortage.
ERROR_CODES = {
    "error": 96,
    "refused": 5,
    "card_not_found": 14,
    "card_not_active": 78,
    "card_blocked": 62,
    "card_expired": 54,
    "card_closed": 46,
    "card_status_wrong": 57,
    "card_number_taken": 26,
    "product_not_found": 15,
    "insufficient_points": 51,
    "limit_exceeded": 61,
    "unit_not_found": 52,
    "receipt_not_found": 25,
    "already_voided": 21,
    "key_reused": 94,
    "return_exceeds": 95,
    "operation_not_found": 24,
    "hold_not_found": 40,
    "hold_ended": 41,
    "hold_expired": 68,
    "same_wallet": 42,
    "wallet_merging": 43,
    "not_gift_card": 56,
    "range_full": 44,
    "pin_required": 70,
    "wrong_pin": 55,
    "pin_locked": 75,
    "holder_not_found": 29,
    "wrong_code": 85,
    "code_expired": 86,
    "too_many_codes": 87,
    "adjustment_not_found": 47,
    "second_person_needed": 48,
    "forbidden": 58,
    "rate_limited": 65,
    "phone_taken": 27,
    "holder_exists": 28,
    "bad_amount": 13,
    "foreign_store": 3,
    "bad_message": 30,
    "too_large": 31,
    "busy": 91,
    "failed": 6,
    "bad_credentials": 63,
    "no_such_route": 12,
    "link_paused": 92,
}
UNKNOWN_ERROR = ERROR_CODES["error"]

_CARD_INFO_PATH = re.compile(r"(?:^|/)getcardinfoex(?:\.php)?/?$", re.IGNORECASE)
_LOCALE = re.compile(rb"\blocale\s*=\s*(?:[\"']|&quot;)\s*([0-9]{1,5})", re.IGNORECASE)

# Characters that XML or a struct of ANSI text can not carry: white space becomes a blank, the rest goes.
_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0))) | dict.fromkeys((9, 10, 13), " ")
_CONTROLS_BUT_FEEDS = {code: to for code, to in _CONTROLS.items() if code != 10}

NOT_FOUND = f'{DECLARATION}<Root><GetCardInfoEx Result="1"/></Root>'
NOTHING_DONE = f'{DECLARATION}<Root><TransactionsEx Result="0"/></Root>'


def respond(document: str, status: int = 200, refused: str = "") -> WireResponse:
    """The document on its way: FarCards wants 200 and well-formed XML whatever it says."""
    return WireResponse(body=document.encode(), content_type=CONTENT_TYPE, status=status, refused=refused)


def language(locale: str | None, options: Options) -> str:
    """The language of the texts: what the link says, else the station's own, else Russian."""
    chosen: str = options["language"]
    return chosen if chosen != "auto" else LOCALES.get(locale or "", RUSSIAN)


def card_answer(found: Identified, options: Options, tongue: str) -> str:
    """The card info of a card that was found, usable or not."""
    usable = not found.usable
    discount = options["discounts"].get(found.discount, 0) if usable else 0
    balances = _balances_text(found, options)
    screen = _text(line("balance", tongue, balances), TEXT_BYTES) if balances else ""
    sums = _sums(found, options) if usable else {}
    return _card_info(
        deleted=int(found.status == "closed"),
        expired=int(found.usable == "card_expired"),
        why="" if usable else code_text(found.usable, tongue),
        holder=_holder(found, balances if options["balance_in_name"] else ""),
        person=found.holder_id,
        account=found.account,
        bonus=options["bonuses"].get(found.bonus, 0) if usable else 0,
        discount=discount,
        limit=options["discount_limit_minor"] if discount else 0,
        sums=sums,
        info=_text(found.product, TEXT_BYTES),
        screen=screen,
        slip=screen,
    )


def transactions_answer(done: Done, message: Message, link: Link, tongue: str) -> str:
    """The answer to a package that was carried out: one TRANSACTION for each record."""
    slips, spelled = _slips(done, message.records, tongue), spellings(message)
    rows = "".join(
        f"<TRANSACTION{_ext_id(done.operation_id, number)}"
        f' cardcode="{_quoted(spelled.get(record.card, str(record.card)))}" num="{number}"{slips.get(number, "")}/>'
        for number, record in enumerate(message.records, 1)
    )
    response = (
        f'<TRRESPONSE error_code="0" dts="{_local(done.at, link)}" placeid="{_quoted(_place(message))}">'
        f"{rows}</TRRESPONSE>"
    )
    return _transactions(0, response, link.options)


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Any refusal, in the words of the call it answers: card info or transactions, told by the path.

    A refused card is shown as found and locked, for only then the station shows our text.
    """
    tongue = language(_locale(request.body), link.options)
    reason = _text(text(error, tongue), TEXT_BYTES)
    if _CARD_INFO_PATH.search(request.path):
        unknown = isinstance(error, CardNotFound) and link.options["unknown_card"] == "not_found"
        document = NOT_FOUND if unknown else _card_info(why=reason)
    else:
        number = ERROR_CODES.get(error.code, UNKNOWN_ERROR)
        response = f'<TRRESPONSE error_code="{number}" err_text="{_quoted(reason)}"/>'
        document = _transactions(1, response, link.options)
    status = 403 if isinstance(error, BadCredentials) else 200
    return respond(document, status, error.code)


def _card_info(
    *,
    why: str,
    deleted: int = 0,
    expired: int = 0,
    holder: str = "",
    person: int = 0,
    account: int = 0,
    bonus: int = 0,
    discount: int = 0,
    limit: int = 0,
    sums: Mapping[int, int] | None = None,
    info: str = "",
    screen: str = "",
    slip: str = "",
) -> str:
    """Result 0 with every attribute of the struct; a text in ``why`` locks the card."""
    purses = sums or {}
    rest = "".join(f' Sum{number}="{purses.get(number, 0)}"' for number in range(2, PURSES + 1))
    return (
        f'{DECLARATION}<Root><GetCardInfoEx Result="0" Deleted="{deleted}" Seize="0" StopDate="{expired}"'
        f' Holy="0" Manager="0" Locked="{int(bool(why))}" WhyLock="{_quoted(_text(why, TEXT_BYTES))}"'
        f' Holder="{_quoted(holder)}" PersonID="{person}" Account="{account}" Unpay="0" Bonus="{bonus}"'
        f' Discount="{discount}" DiscLimit="{limit}" Summa="{purses.get(1, 0)}"{rest}'
        f' DopInfo="{_quoted(info)}" ScrMessage="{_quoted(screen)}" PrnMessage="{_quoted(slip)}"/></Root>'
    )


def _transactions(result: int, response: str, options: Options) -> str:
    """The result with its TRRESPONSE, beside the result element or inside it, as the link says."""
    buffer = f'<OutBuf OutKind="1">{response}</OutBuf>'
    if options["out_buf"] == "nested":
        inner = f'<TransactionsEx Result="{result}">{buffer}</TransactionsEx>'
    else:
        inner = f'<TransactionsEx Result="{result}"/>{buffer}'
    return f"{DECLARATION}<Root>{inner}</Root>"


def _sums(found: Identified, options: Options) -> dict[int, int]:
    """Purse number -> what may be paid from it now, in kopecks; debt shows 0."""
    available = {balance.unit: balance.available for balance in found.balances}
    payable = dict(found.payable)
    return {
        number: max(min(available.get(unit, 0), payable.get(unit, 0)), 0)
        for number, unit in units_by_number(options).items()
    }


def _balances_text(found: Identified, options: Options) -> str:
    """What is available of each purse's unit: ``450.50``, or ``BONUS 450.50, GIFT 100.00``."""
    by_unit: dict[str, Balance] = {balance.unit: balance for balance in found.balances}
    shown = [by_unit[unit] for unit in units_by_number(options).values() if unit in by_unit]
    amounts = [major(balance.available, balance.scale) for balance in shown]
    if len(shown) == 1:
        return amounts[0]
    return ", ".join(f"{balance.unit} {amount}" for balance, amount in zip(shown, amounts, strict=True))


def _holder(found: Identified, balances: str) -> str:
    """The holder's name, or the card's last digits; with the balance behind it where the link wants that."""
    name = _text(found.holder_name, HOLDER_BYTES).strip() or f"*{found.number[-SHOWN_DIGITS:]}"
    tail = f" {balances}" if balances else ""
    room = max(HOLDER_BYTES - len(_ansi(tail)), 0)
    return _text(_text(name, room) + tail, HOLDER_BYTES)


def _slips(done: Done, records: Sequence[Record], tongue: str) -> dict[int, str]:
    """Record number -> slip attribute, on the first record of each card that something was done to."""
    slips: dict[int, str] = {}
    cards: set[int] = set()
    for number, record in enumerate(records, 1):
        if record.card not in cards:
            cards.add(record.card)
            slip = _slip(done, _movements(done.cards, record, records), tongue)
            if slip:
                slips[number] = f' slip="{_quoted(_text(slip, TEXT_BYTES, _CONTROLS_BUT_FEEDS))}"'
    return slips


def _movements(movements: Sequence[CardMovement], record: Record, records: Sequence[Record]) -> Sequence[CardMovement]:
    """The movements of the record's card: by its number, else by its account, else all if it is alone.

    The core answers with the card's own number, which need not be the one that the guest has shown.
    """
    return (
        [movement for movement in movements if card_number(movement.card) == record.card]
        or [movement for movement in movements if record.account and movement.account == record.account]
        or (movements if all(other.card == record.card for other in records) else ())
    )


def _slip(done: Done, movements: Sequence[CardMovement], tongue: str) -> str:
    """What the guest reads; empty when nothing moved."""
    moved = [movement for movement in movements if movement.earned or movement.redeemed]
    if not moved:
        return ""
    several = len({movement.unit for movement in moved}) > 1
    rows = [line(name, tongue) for kind, name in OPENINGS.items() if isinstance(done, kind)]
    for movement in moved:
        if not isinstance(done, ReceiptVoided):
            told = (("redeemed", movement.redeemed), ("accrued", movement.earned))
            rows += [line(name, tongue, _amount(movement, of, several)) for name, of in told if of]
        rows.append(line("balance", tongue, _amount(movement, movement.available, several)))
    return "\n".join(rows)


def _amount(movement: CardMovement, amount: int, with_unit: bool) -> str:
    shown = major(amount, movement.scale)
    return f"{movement.unit} {shown}" if with_unit else shown


def _ext_id(operation_id: int, number: int) -> str:
    """The record's id in our books; an operation that booked nothing has none."""
    return f' ext_id="{operation_id}-{number}"' if operation_id else ""


def _place(message: Message) -> str:
    """Restaurant and station, as ``R3:S5``."""
    record = message.records[0] if message.records else None
    told = record.restaurant if record and record.restaurant is not None else None
    restaurant = message.check.get("restaurantcode", "") if told is None else str(told)
    station = message.check.get("stationcode") or (record.fields.get("rkunit", "") if record else "")
    return _text(f"R{restaurant}:S{station}", PLACE_BYTES)


def _local(at: datetime, link: Link) -> str:
    """Local time without zone, as everywhere in this protocol."""
    return at.astimezone(link.zone).replace(tzinfo=None).isoformat(timespec="seconds")


def _locale(body: bytes) -> str:
    """CHECK@locale straight from the bytes, for a refusal must be told even when they do not parse."""
    match = _LOCALE.search(body)
    return match[1].decode("ascii") if match else ""


def _text(value: str, limit: int, controls: Controls = _CONTROLS) -> str:
    """The text as a struct of ``limit`` bytes in Windows-1251 can hold it; what it lacks becomes ``?``."""
    if value.isascii() and value.isprintable():
        return value[:limit]
    return _ansi(value.translate(controls))[:limit].decode("cp1251")


def _ansi(value: str) -> bytes:
    return value.encode("cp1251", "replace")


def _quoted(value: str) -> str:
    """The text inside double quotes of an attribute; a line feed is kept."""
    if "&" in value:
        value = value.replace("&", "&amp;")
    if "<" in value:
        value = value.replace("<", "&lt;")
    if ">" in value:
        value = value.replace(">", "&gt;")
    if '"' in value:
        value = value.replace('"', "&quot;")
    if "\n" in value:
        value = value.replace("\n", "&#10;")
    return value
