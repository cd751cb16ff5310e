"""The till plugin's contract: what a plugin of iikoFront asks while an order is paid. docs/adapters/iiko_plugin.md.

``options`` what a link may set, ``messages`` JSON -> fields, ``keys`` what names a thing, ``answers`` -> bytes; the
operations by noun: ``guests``, ``orders``, ``payments``.
"""

from __future__ import annotations

from adapters.contract import Adapter, Auth, Handler, Route
from adapters.iiko_plugin import guests, orders, payments
from adapters.iiko_plugin.answers import refuse
from adapters.iiko_plugin.options import PluginOptions

# How long a waiter stands before a progress bar: ours, for iiko names no limit (docs/adapters/iiko_plugin.md, "Time").
LOOK_SECONDS, QUOTE_SECONDS, WRITE_SECONDS = 2, 3, 8

OPERATIONS: dict[str, tuple[Handler, int]] = {
    "identify": (guests.identify, LOOK_SECONDS),
    "quote": (orders.quote, QUOTE_SECONDS),
    "reserve": (orders.reserve, WRITE_SECONDS),
    "pay": (payments.pay, WRITE_SECONDS),
    "void": (payments.void, WRITE_SECONDS),
    "refund": (payments.refund, WRITE_SECONDS),
    "commit": (orders.commit, WRITE_SECONDS),
    "cancel": (orders.cancel, WRITE_SECONDS),
    "shift": (orders.shift, WRITE_SECONDS),
}

ADAPTER = Adapter(
    name="iiko_plugin",
    title="iikoFront: a contract for a plugin on the till",
    options=PluginOptions,
    refuse=refuse,
    routes=tuple(
        Route(path=rf"plugin/v1/{name}/?", handler=handler, auth=Auth("bearer"), seconds=seconds)
        for name, (handler, seconds) in OPERATIONS.items()
    ),
    private=frozenset({"card", "track", "number", "phone", "code", "pin", "guest", "line"}),
    volatile=frozenset({"until", "guest", "line"}),
    unit_scale=2,  # whole minor units, of which till and books must mean the same
)
