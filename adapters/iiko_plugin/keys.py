"""What names an order, a payment, a return: ids of the till, stable over all attempts.

Keys are scoped by the store in the core. Page: docs/adapters/iiko_plugin.md, "Keys".
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from adapters.iiko.keys import PREFIX, order_key

__all__ = ["content", "order_key", "owner", "payment", "payment_hold", "refund", "reserve", "returned"]


def payment(transaction_id: str) -> str:
    """A payment, from Pay to its last return."""
    return f"{PREFIX}:pay:{transaction_id}"


def payment_hold(transaction_id: str) -> str:
    """What a payment sets aside in the moment in which it takes it."""
    return f"{PREFIX}:pay-hold:{transaction_id}"


def refund(return_id: str) -> str:
    return f"{PREFIX}:refund:{return_id}"


def returned(return_id: str) -> str:
    """The goods of the same return."""
    return f"{PREFIX}:return:{return_id}"


def reserve(order_id: str, unit: str) -> str:
    """All that an order holds of a wallet, one after the other."""
    return f"{PREFIX}:reserve:{order_id}:{unit}"


def owner(order_id: str) -> str:
    """Who holds: what the order has reserved is free for its own payment."""
    return f"{PREFIX}:{order_id}"


def content(*parts: Any) -> str:
    """A digest of what makes two messages the same, whenever they were sent."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
