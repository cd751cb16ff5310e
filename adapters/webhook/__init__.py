"""Webhooks: what happens in the books, told to integrators and CRM systems as signed JSON over HTTP.

Signed by the Standard Webhooks specification 1.0 (github.com/standard-webhooks, spec/standard-webhooks.md): whoever
receives them may use one of its libraries. docs/adapters/webhook.md is for receivers.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime

from marshmallow import RAISE, Schema, fields, validate

from adapters.contract import (
    Adapter,
    Calling,
    HttpCall,
    Job,
    Link,
    Message,
    Push,
    Session,
    WireRequest,
    WireResponse,
    checked,
    http,
)
from processing.errors import LoyaltyError
from processing.events import KINDS, LOAD

MAX_BATCH = 500
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
SECRET_PREFIX = "whsec_"  # noqa: S105  # what marks one
# The session needs no renewal: secrets change when the process starts anew.
SESSION_SECONDS = 3600.0


class Options(Schema):
    """``batch``: events in one request, as a JSON array; without it each request is one event, a JSON object."""

    class Meta:
        unknown = RAISE

    path = fields.String(load_default="")
    batch = fields.Integer(strict=True, load_default=1, validate=validate.Range(1, MAX_BATCH))


def send(job: Job, link: Link) -> Calling[None]:
    """One request with all events. Errors: LinkRefused, LinkDown."""
    events = [event(each) for each in job.messages]
    body = json.dumps(events if batch(link) > 1 else events[0], ensure_ascii=False, separators=(",", ":")).encode()
    headers = {ID: event_id(job.messages[-1]), "content-type": "application/json"}
    checked((yield from http(HttpCall("POST", link.options["path"], headers, body))))


def batch(link: Link) -> int:
    """How many events a request may have."""
    return int(link.options["batch"])


def event_id(message: Message) -> str:
    """The same however often the event is sent; of two events of a link the later one's is greater as a number."""
    return f"evt_{message.id}"


def event(message: Message) -> dict[str, object]:
    return {"id": event_id(message), "type": message.kind, "data": message.body}


def login(secrets: Mapping[str, str], link: Link) -> Session:
    """Signs with every secret that there is: while a key is changed the receiver may know the old or the new one."""
    keys = [key_of(secrets[name]) for name in sorted(secrets)]

    def sign(call: HttpCall, now: datetime) -> Mapping[str, str]:
        timestamp = str(int(now.timestamp()))
        return {TIMESTAMP: timestamp, SIGNATURE: signatures(keys, call.headers.get(ID, ""), timestamp, call.body)}

    return Session({}, SESSION_SECONDS, sign=sign)


def key_of(secret: str) -> bytes:
    """The bytes of a secret: base64 behind ``whsec_``, or the text itself."""
    if secret.startswith(SECRET_PREFIX):
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return secret.encode()


def signatures(keys: list[bytes], message_id: str, timestamp: str, body: bytes) -> str:
    """``v1,`` and the base64 of HMAC-SHA256 over id.timestamp.body, for each key, with spaces between."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    found = (base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys)
    return " ".join(f"v1,{each}" for each in found)


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    """Nobody calls a webhook's link; whoever does is told so."""
    return WireResponse(json.dumps({"code": error.code}).encode(), "application/json", 404, refused=error.code)


ADAPTER = Adapter(
    name="webhook",
    title="Webhooks for integrators and CRM",
    options=Options,
    refuse=refuse,
    push=Push(wants=frozenset(KINDS) - {LOAD}, talk=send, batch=batch),
    login=login,
)
