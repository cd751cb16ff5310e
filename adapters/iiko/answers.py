"""What is said to iiko's clients: JSON whose numbers are exact decimals, dates, and the shared objects of the API."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from adapters.contract import WireResponse
from processing.units import major

CONTENT_TYPE = "application/json"
# Two bytes, not none: an empty body breaks two of the clients (docs/adapters/iiko.md, "Differences between clients").
NOTHING: dict[str, Any] = {}

_encode = msgspec.json.Encoder(decimal_format="number").encode


def said(document: dict[str, Any], status: int = 200, refused: str = "", **headers: str) -> WireResponse:
    """The document as the answer; ``headers`` with underscores for dashes."""
    try:
        body = _encode(document)
    except UnicodeEncodeError:  # halves of characters, which no client could read either
        body = _encode(_whole(document))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WireResponse(body, CONTENT_TYPE, status, named, refused)


def _whole(value: Any) -> Any:
    """The same with a question mark for each half of a character."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return value


def amount(minor_units: int, scale: int = 2) -> Decimal:
    """Major units, exact: ``amount(15050) == Decimal("150.50")``."""
    return Decimal(major(minor_units, scale))


def moment(at: datetime | None) -> str | None:
    """``2026-11-21 17:41:09.512``, UTC (docs/adapters/iiko.md, "Calls")."""
    if at is None:
        return None
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03}"


def day(told: date | None) -> str | None:
    return f"{told.isoformat()} 00:00:00.000" if told else None
