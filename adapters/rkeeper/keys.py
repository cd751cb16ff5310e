"""What names a receipt, and what makes two messages about it the same.

Keys are scoped by the store in the core, so that no link or credential is part of them. Page:
docs/adapters/rkeeper.md, "Request key and content digest".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from adapters.contract import Link, WireRequest
from adapters.parsing import bad, code, day, instant, integer
from adapters.rkeeper.messages import Message, Part, Record
from processing.commands import Line
from processing.errors import BadMessage

PREFIX = "rkeeper"

_GUID = re.compile(r"[0-9a-z-]{1,64}")


def receipt_key(message: Message) -> str:
    """``rkeeper:<restaurantcode>:<checkguid>``: stable over all attempts. Empty when the check has no GUID.

    A GUID of nothing but zeros names no receipt. Errors: BadMessage.
    """
    guid = receipt_guid(message)
    if not guid:
        return ""
    if not _GUID.fullmatch(guid):
        raise bad("CHECKDATA@checkguid", guid, "a GUID")
    return f"{PREFIX}:{code(message.check.get('restaurantcode'), 'CHECK@restaurantcode')}:{guid}"


def receipt_guid(message: Message) -> str:
    """The check's GUID as it came, in lower case without braces; empty for none and for zeros."""
    guid = message.data.get("checkguid", "").strip("{} ").lower()
    return guid if guid.strip("0-") else ""


def records_key(records: Sequence[Record]) -> str:
    """``rkeeper:<Restaurant>:<RKDate>:<RKUnit>:<RKCheck>``, for a package of records without a check.

    Errors: BadMessage when a part is missing, or when the records of one package disagree.
    """
    keys = [_record_key(record) for record in records]
    for record, key in zip(records, keys, strict=True):
        if key != keys[0]:
            raise bad(record.where, key, f"the receipt of the first record, {keys[0]}")
    return keys[0]


def content_digest(
    records: Sequence[Record],
    payments: Sequence[Part] = (),
    discounts: Sequence[Part] = (),
    lines: Sequence[Line] = (),
) -> str:
    """A digest of what makes two messages about a receipt the same, 64 hexadecimal digits.

    Records (Card, Account, Kind, Summa), PAYMENT (code, cardcode, sum), DISCOUNT (code, cardcode, sum) and
    LINE (uni, code, quantity, sum), each sorted, equals kept. Amounts enter as whole numbers, so that 550 and
    550.00 are the same. Times, the order of attributes and elements, and the numbers of payment lines, all of
    which change from attempt to attempt, stay out.
    """
    parts = (
        sorted([(record.card, record.account, record.kind, record.summa) for record in records]),
        sorted([(part.code, part.cardcode, part.summa) for part in payments]),
        sorted([(part.code, part.cardcode, part.summa) for part in discounts]),
        sorted([(line.number, line.goods, line.quantity_thousandths, line.sum_minor) for line in lines]),
    )
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def names_a_receipt(records: Sequence[Record]) -> bool:
    """Whether the records carry a receipt's number; packages with number 0 share a key without being one thing."""
    return bool(records[0].fields.get("rkcheck", "").strip("0"))


def stamp(message: Message, request: WireRequest, link: Link) -> datetime:
    """The till's own time of this attempt, in UTC; ours, the newest, where it tells none or nonsense."""
    return instant_or_none(message.check.get("generateddatetime"), link) or request.at


def instant_or_none(text: str | None, link: Link) -> datetime | None:
    """Malformed times are seen in the vendor's own samples (``2013-08-2116:2316:23:56``)."""
    try:
        return instant(text, "time", link.zone)
    except BadMessage:
        return None


def _record_key(record: Record) -> str:
    fields, where = record.fields, record.where
    if record.restaurant is None:
        raise bad(f"{where}@Restaurant", "", "the number of the restaurant")
    date = day(fields.get("rkdate"), f"{where}@RKDate").isoformat()
    unit = integer(fields.get("rkunit") or fields.get("rkuni"), f"{where}@RKUnit")
    check = integer(fields.get("rkcheck"), f"{where}@RKCheck")
    return f"{PREFIX}:{record.restaurant}:{date}:{unit}:{check}"
