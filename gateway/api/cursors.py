"""Cursors of lists: where a page ended, opaque, and good for the same question only."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gateway.errors import unfit
from processing.commands import MAX_KEY

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST = 2**62


class Position(msgspec.Struct, frozen=True, array_like=True):
    """The last row of a page: which question it answered, when the row was booked (microseconds), its id or name."""

    question: str
    at: int
    id: int
    name: str = ""


def write(question: Any, at: datetime, row_id: int, name: str = "") -> str:
    """The cursor behind this row; ``name`` is for rows that have no number."""
    position = Position(_digest(question), (at - _EPOCH) // _MICROSECOND, row_id, name)
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def read(question: Any, cursor: str) -> tuple[datetime, int] | None:
    """Behind which row the page begins; None for the first one. Errors: Refused, naming the field."""
    position = _position(question, cursor)
    return None if position is None else (_at(position), position.id)


def read_named(question: Any, cursor: str) -> tuple[datetime, str] | None:
    """The same of rows that are known by a name."""
    position = _position(question, cursor)
    return None if position is None else (_at(position), position.name)


def _position(question: Any, cursor: str) -> Position | None:
    if not cursor:
        return None
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.json.decode(packed, type=Position)
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        raise unfit({"cursor": ["Not a cursor of this list."]}) from None
    is_sound = 0 <= position.at < _MOST and 0 <= position.id < _MOST and len(position.name) <= MAX_KEY
    if position.question != _digest(question) or not is_sound or "\0" in position.name:
        raise unfit({"cursor": ["Made for another question; a cursor goes with the filters it was told for."]})
    return position


def _at(position: Position) -> datetime:
    return _EPOCH + position.at * _MICROSECOND


def _digest(question: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(question)).hexdigest()[:16]
