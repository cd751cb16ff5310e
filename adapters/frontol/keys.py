"""What names a receipt, and what makes two tellings of it the same: by HTTP and in report files alike.

A receipt comes online, in a file, or both, in either order. What both faces know of it is the workplace, the shift,
the number and the day of closing (docs/adapters/frontol-files.md, "Request key and content"). The UUID of the loyalty
API is in no report.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Literal

from adapters.parsing import bad

PREFIX = "frontol"
Kind = Literal["sale", "refund"]
SALE: Kind = "sale"
REFUND: Kind = "refund"
# The clocks of the two faces differ by seconds: so near to midnight a receipt has the names of both days.
MIDNIGHT = timedelta(minutes=10)
# Between these nobody is near.
SMALL_HOURS, LAST_HOUR = (0, 10), 23
DIGEST_CHARACTERS = 16

_DIGITS = re.compile(r"[0-9]{1,18}")
_UID = re.compile(r"[0-9a-z-]{1,64}")


def natural(workplace: str | int, shift: str | int, number: str | int, day: date, epoch: int = 0) -> str:
    """``frontol:<workplace>:<day>:<shift>:<number>``; ``day`` is the store's own, of the receipt's closing.

    ``epoch`` counts how often the till's database was made anew on one day; it stands behind where it is not 0.
    """
    name = f"{PREFIX}:{_plain(workplace)}:{day.isoformat()}:{_plain(shift)}:{_plain(number)}"
    return f"{name}:{epoch}" if epoch else name


def hold(uid: str) -> str:
    """What names that which is held for a receipt."""
    return f"{PREFIX}:hold:{uid}"


def plain_uid(text: str, where: str) -> str:
    """Without braces and in lower case; empty for none, and for one of nothing but zeros. Errors: BadMessage."""
    uid = text.strip("{} ").lower()
    if not uid.strip("0-"):
        return ""
    if not _UID.fullmatch(uid):
        raise bad(where, uid, "a UUID")
    return uid


def by_uid(uid: str) -> str:
    """The name that only the loyalty API knows; braces and case do not matter."""
    return f"{PREFIX}:uid:{uid.strip('{} ').lower()}"


def content(kind: Kind, paid_minor: int) -> str:
    """A digest of what makes two tellings the same: sale or refund, and the sum of all payments in minor money.

    Only that is told alike by file and API: the file spreads payments over lines and the API rounds them away.
    """
    return hashlib.sha256(f"{kind}:{paid_minor}".encode()).hexdigest()


def days(closed_at: datetime) -> tuple[date, ...]:
    """The day of a local time, and the other one within ten minutes of midnight."""
    if (closed_at.hour, closed_at.minute) > SMALL_HOURS and closed_at.hour < LAST_HOUR:
        return (closed_at.date(),)
    near = {closed_at.date(): None, (closed_at - MIDNIGHT).date(): None, (closed_at + MIDNIGHT).date(): None}
    return tuple(near)


def names(
    workplace: str | int,
    shift: str | int,
    number: str | int,
    closed_at: datetime,
    digest: str,
    epoch: int = 0,
    online: bool = False,
) -> tuple[str, ...]:
    """All keys of a receipt that was closed at this local time, the main one first; the API adds ``by_uid``.

    Between the day on which a database is made anew and the one on which somebody raises the epoch, receipts have come
    online under the old one. So whatever is online or behind a raised epoch is also known by its content, without one.
    """
    found = [natural(workplace, shift, number, day, epoch) for day in days(closed_at)]
    if online or epoch:
        found += [_exact(natural(workplace, shift, number, day), digest) for day in days(closed_at)]
    return tuple(found)


def _exact(name: str, digest: str) -> str:
    return f"{name}={digest[:DIGEST_CHARACTERS]}"


def epoch_of(options: Mapping[str, Any], workplace: str | int) -> int:
    """The epoch of a workplace, from the options of the link: the same for files and API."""
    epochs: Mapping[str, int] = options.get("reports", {}).get("epochs", {})
    return epochs.get(_plain(workplace), 0)


def _plain(part: str | int) -> str:
    """A number without leading zeros, as the API's integers are; anything else as it is."""
    text = str(part).strip()
    if text[:1] != "0":
        return text
    return str(int(text)) if _DIGITS.fullmatch(text) else text
