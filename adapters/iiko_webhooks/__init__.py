"""iiko's webhooks: what became of orders, told by iiko's cloud after the fact. docs/adapters/iiko_webhooks.md.

``options`` what a link may set, ``events`` JSON -> orders, ``receipts`` an order -> what we ask, ``talks`` the handler.
"""

from __future__ import annotations

from adapters.contract import Adapter, Auth, Route
from adapters.iiko_webhooks.options import WebhookOptions
from adapters.iiko_webhooks.talks import events, refuse

# Guests and waiters; whatever else has a name (goods, types of payment) is hidden with them.
PRIVATE = ("phone", "name", "surname", "comment", "birthdate", "authToken")

ADAPTER = Adapter(
    name="iiko_webhooks",
    title="iiko webhooks: orders, as iiko's cloud tells of them",
    options=WebhookOptions,
    refuse=refuse,
    routes=(Route(path=r"(?:webhooks?/?)?", handler=events, auth=Auth("bearer"), later=True),),
    private=frozenset(PRIVATE),
    volatile=frozenset({"correlationId"}),
)
