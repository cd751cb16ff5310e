"""REST v1: ``install`` puts it into the application. docs/rest.md is its guide."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask

from gateway import errors
from gateway.api import (
    accounts,
    adjustments,
    audit,
    batch,
    cards,
    chain,
    clients,
    codes,
    document,
    exchange,
    gift_cards,
    goods,
    holders,
    holds,
    learned_receipts,
    operations,
    queues,
    receipts,
    reports,
    subscriptions,
)
from gateway.api.section import Rest
from gateway.auth import ApiClients
from gateway.limits import Limits
from gateway.senders import sender_of
from gateway.settings import Settings
from processing.commands import Ask
from processing.database import Database
from processing.execute import Core, Outcome
from processing.secrets import Vault

SECTIONS = (
    cards.section,
    holders.section,
    receipts.section,
    learned_receipts.section,
    holds.section,
    accounts.section,
    adjustments.section,
    gift_cards.section,
    goods.section,
    codes.section,
    operations.section,
    batch.section,
    chain.section,
    exchange.section,
    audit.section,
    queues.section,
    reports.section,
    subscriptions.section,
)


def install(
    app: Flask,
    settings: Settings,
    database: Database,
    vault: Vault,
    core: Core,
    ask: Callable[[Sequence[Ask[Any]]], list[Outcome]],
) -> None:
    """REST v1 under /api/v1, its document and its page; and problem documents for the whole application."""
    app.extensions["tillgate-rest"] = Rest(
        settings,
        database,
        vault,
        core,
        ask,
        ApiClients(functools.partial(clients.find, database)),
        Limits(),
        sender_of(settings.gateway.codes),
    )
    errors.install(app, errors.scale_of(core.work.directory))
    for section in (*SECTIONS, document.pages(SECTIONS)):
        app.register_blueprint(section)
