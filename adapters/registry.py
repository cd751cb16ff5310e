"""Every built-in adapter under its name: an explicit tuple, so that nothing is found by accident."""

from __future__ import annotations

from adapters import (
    commerceml,
    frontol,
    iiko,
    iiko_cloud,
    iiko_plugin,
    iiko_webhooks,
    onec,
    onec_discount,
    onec_server,
    onec_soap,
    rkeeper,
    webhook,
)
from adapters.contract import Adapter
from processing.errors import ConfigError

BUILT_IN: tuple[Adapter, ...] = (
    commerceml.ADAPTER,
    frontol.ADAPTER,
    iiko.ADAPTER,
    iiko_cloud.ADAPTER,
    iiko_plugin.ADAPTER,
    iiko_webhooks.ADAPTER,
    onec.ADAPTER,
    onec_discount.ADAPTER,
    onec_server.ADAPTER,
    onec_soap.ADAPTER,
    rkeeper.ADAPTER,
    webhook.ADAPTER,
)

ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in BUILT_IN}


def find(name: str) -> Adapter:
    """The adapter of this name. Errors: ConfigError, which names those that exist."""
    if name not in ADAPTERS:
        raise ConfigError(f"no adapter named {name!r}; there are: {', '.join(sorted(ADAPTERS))}")
    return ADAPTERS[name]
