"""What names a Frontol receipt, and what makes two reports of it the same: online API and report file share this.

Keys are scoped by the store in the core, so that no link or credential is part of them. Page:
docs/adapters/frontol.md, "Request key and content digest".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from adapters.parsing import bad

PREFIX = "frontol"
# Two clocks, of the till's database and of the line, may see midnight between them.
NEAR_MIDNIGHT = timedelta(minutes=10)

SALE, REFUND = "sale", "refund"

_UID = re.compile(r"[0-9a-z-]{1,64}")


def natural(workplace: str, shift: str, number: str, day: date, epoch: int = 0) -> str:
    """``frontol:<workplace>:<day>:<shift>:<number>``; ``day`` is the store's calendar day of closing.

    ``epoch`` tells documents of a re-created database from those before.
    """
    key = f"{PREFIX}:{workplace}:{day.isoformat()}:{shift}:{number}"
    return f"{key}:{epoch}" if epoch > 0 else key


def days(closed: datetime) -> list[date]:
    """The days under which a receipt that was closed then, in local time, may be known: near midnight two."""
    around = (closed, closed - NEAR_MIDNIGHT, closed + NEAR_MIDNIGHT)
    return list(dict.fromkeys(each.date() for each in around))


def by_uid(uid: str) -> str:
    return f"{PREFIX}:uid:{uid}"


def hold(uid: str) -> str:
    """What names that which is held for a receipt."""
    return f"{PREFIX}:hold:{uid}"


def content(kind: str, paid_minor: int) -> str:
    """A digest over the direction and all that was paid: what report file and online API tell alike."""
    return hashlib.sha256(f"{kind}:{paid_minor}".encode()).hexdigest()


def plain_uid(text: str, where: str) -> str:
    """Without braces and in lower case; empty for none, and for one of nothing but zeros. Errors: BadMessage."""
    uid = text.strip("{} ").lower()
    if not uid.strip("0-"):
        return ""
    if not _UID.fullmatch(uid):
        raise bad(where, uid, "a UUID")
    return uid


def receipt_keys(uid: str, workplace: str, shift: str, number: str, closed: datetime | None) -> Sequence[str]:
    """All names of one receipt, the till's own first; ``closed`` is local time. Empty where nothing names it."""
    keys = [by_uid(uid)] if uid else []
    if workplace and shift and number and closed is not None:
        keys += [natural(workplace, shift, number, day) for day in days(closed)]
    return keys
