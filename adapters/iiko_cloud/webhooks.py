"""What iiko shall send to us of its orders: the settings of the far side, and whether they are what the link wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.contract import Link
from adapters.json_parsing import Node
from processing.errors import BadMessage

SETTINGS, UPDATE = "/api/1/webhooks/settings", "/api/1/webhooks/update_settings"
MAX_URI = 2_000
MAX_STATUSES = 100
# The filters of the link's options.
FILTERS = {"tableOrderFilter": "table_orders", "deliveryOrderFilter": "delivery_orders"}


def wanted(token: str, link: Link) -> dict[str, Any]:
    """The settings as they are said: an order of which no status is wanted is left out."""
    options: Mapping[str, Any] = link.options["webhooks"]
    told = {name: {"orderStatuses": options[mine], "errors": False} for name, mine in FILTERS.items() if options[mine]}
    return {"webHooksUri": options["uri"], "authToken": token or None, "webHooksFilter": told}


def is_set(told: Node, link: Link) -> bool:
    """Whether these settings send what the link wants, and to where. Errors: BadMessage."""
    options: Mapping[str, Any] = link.options["webhooks"]
    if told.get("webHooksUri").text(MAX_URI) != options["uri"]:
        return False
    return all(_statuses(told, name) == set(options[mine]) for name, mine in FILTERS.items())


def _statuses(told: Node, name: str) -> set[str]:
    try:
        found = told.get("webHooksFilter").get(name).get("orderStatuses").rows(MAX_STATUSES)
        return {each.text() for each in found}
    except BadMessage:
        return set()
