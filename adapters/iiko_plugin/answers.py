"""What the plugin hears: JSON with whole minor units, and refusals with a text for the waiter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapters.contract import Link, WireRequest, WireResponse
from adapters.iiko.answers import said
from adapters.texts import text
from processing.errors import BadMessage, LoyaltyError
from processing.results import CardMovement

# What is not known is 404, what is refused 409: both are final. The rest may be sent again.
STATUSES = {
    "card_not_found": 404,
    "receipt_not_found": 404,
    "hold_not_found": 404,
    "holder_not_found": 404,
    "unit_not_found": 404,
    "no_such_route": 404,
    "bad_message": 400,
    "too_large": 413,
    "bad_credentials": 401,
    "forbidden": 403,
    "rate_limited": 429,
    "busy": 503,
    "link_paused": 503,
    "failed": 500,
}
REFUSED = 409
RETRY_SECONDS = 1
# Of a refusal's details those that a plugin can use, in minor units.
AMOUNTS = {"available": "availableMinor", "limit": "limitMinor"}


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Any refusal. ``message`` is for the waiter, but for a message that makes no sense: that is for the author."""
    words = error.message if isinstance(error, BadMessage) else text(error, link.options["language"])
    told: dict[str, Any] = {"error": error.code, "message": words}
    told |= {name: error.details[key] for key, name in AMOUNTS.items() if isinstance(error.details.get(key), int)}
    wait = error.details.get("retry_seconds", RETRY_SECONDS)
    headers = {"Retry_After": str(wait)} if error.retryable else {}
    return said(told, STATUSES.get(error.code, REFUSED), error.code, **headers)


def moved(cards: Iterable[CardMovement]) -> list[dict[str, Any]]:
    """What happened to each wallet, and what it holds since."""
    return [
        {
            "card": each.card,
            "wallet": each.unit,
            "redeemedMinor": each.redeemed,
            "earnedMinor": each.earned,
            "balanceMinor": each.balance,
            "availableMinor": each.available,
        }
        for each in cards
    ]


def done(outcome: str, is_repeated: bool, **told: Any) -> WireResponse:
    """What came of it. ``repeated``: it was done before, and this is what was said then."""
    return said({"outcome": outcome, "repeated": is_repeated, **told})
