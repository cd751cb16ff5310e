"""Cursors of lists: where a page ended, opaque, and good for the same question only."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gateway.errors import unfit

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST = 2**62


class Position(msgspec.Struct, frozen=True, array_like=True):
    """The last row of a page: which question it answered, when the row was booked (microseconds), and its id."""

    question: str
    at: int
    id: int


def write(question: Any, at: datetime, row_id: int) -> str:
    """The cursor behind this row."""
    position = Position(_digest(question), (at - _EPOCH) // _MICROSECOND, row_id)
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def read(question: Any, cursor: str) -> tuple[datetime, int] | None:
    """Behind which row the page begins; None for the first one. Errors: Refused, naming the field."""
    if not cursor:
        return None
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.json.decode(packed, type=Position)
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        raise unfit({"cursor": ["Not a cursor of this list."]}) from None
    if position.question != _digest(question) or not (0 <= position.at < _MOST and 0 <= position.id < _MOST):
        raise unfit({"cursor": ["Made for another question; a cursor goes with the filters it was told for."]})
    return _EPOCH + position.at * _MICROSECOND, position.id


def _digest(question: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(question)).hexdigest()[:16]
