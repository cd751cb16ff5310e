"""What names an order of iiko, for all of its faces: so no order is booked twice in one store."""

from __future__ import annotations

PREFIX = "iiko"


def order_key(order_id: str) -> str:
    """By the till's id of it, or the cloud's (docs/adapters/iiko_webhooks.md, "Keys")."""
    return f"{PREFIX}:order:{order_id}"
