"""A receiver of webhooks, and what it is told, for the contract of talks (adapters/testing/talk_suite.py)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from adapters import webhook
from adapters.contract import Call, HttpCall, HttpReply, Job, Link, Message
from adapters.testing.far_sides import FarSide
from adapters.testing.talk_suite import TalkSuite
from processing.events import KINDS, LOAD

AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
MESSAGES = tuple(Message(n, kind, {"operation": str(n)}) for n, kind in enumerate(sorted(KINDS.keys() - {LOAD}), 1))


class Receiver(FarSide):
    """Keeps each event once, by its id; that signatures fit is tests/adapters/test_webhook.py."""

    def __init__(self) -> None:
        self.events: dict[str, Any] = {}

    def answer(self, call: Call) -> HttpReply:
        assert isinstance(call, HttpCall)
        assert call.headers[webhook.ID] and call.headers[webhook.SIGNATURE]
        told = json.loads(call.body)
        for event in told if isinstance(told, list) else [told]:
            self.events.setdefault(event["id"], event)
        return HttpReply(200, {}, b'{"ok": true}')

    def effects(self) -> Any:
        return list(self.events.values())


class Talks(TalkSuite):
    """All events in one request."""

    adapter, far_side = webhook.ADAPTER, Receiver
    link = Link("crm", "bistro", ZoneInfo("Europe/Moscow"), {"path": "/in", "batch": len(MESSAGES)})
    secrets = MappingProxyType({"key": SECRET})
    pushes = (Job(AT, messages=MESSAGES),)


class SingleTalks(Talks):
    """One event in a request."""

    examples = 5
    link = Link("crm", "bistro", ZoneInfo("Europe/Moscow"), {"path": "/in", "batch": 1})
    pushes = tuple(Job(AT, messages=(message,)) for message in MESSAGES)
