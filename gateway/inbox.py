"""What is answered before it is done: facts of ``later`` routes wait in the link's queue until they are booked.

The queue is the link's lane of the outbox, gone through in its order like any other: it is claimed, tried again,
paused, and shows what it has given up. Its messages name people, so they are sealed, and empty as soon as they are
booked; docs/decisions/0040-iiko-orders.md has the reasons.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from adapters.contract import Call, Calling, Found, Job, Link, Message, Push, Session
from gateway.delivery_policy import RELAXED
from gateway.settings import Settings
from gateway.talks import Outgoing
from processing import outbox
from processing.commands import AnyCommand, Ask, Command
from processing.database import Database, is_retryable
from processing.errors import Busy, LinkRefused
from processing.events import RECEIVED, Event, Stamps, row
from processing.execute import Outcome
from processing.secrets import EXCHANGE_LOG, SecretsError, Vault

# So many are booked at a time.
BATCH = 100
PLACE = b"outbox_message|received"

_encode = msgspec.json.Encoder().encode
_decode: Any = msgspec.json.Decoder(AnyCommand).decode


@dataclass(frozen=True)
class Inbox:
    """Where facts wait, of any link."""

    database: Database
    vault: Vault
    stamps: Stamps

    def put(self, link: Link, asks: Sequence[Ask[Any]]) -> Sequence[Outcome]:
        """Keep them in their order, safely once this returns; it tells no outcome. Errors: Busy."""
        events = [Event(RECEIVED, link.store, self._body(ask)) for ask in asks]
        try:
            with self.database.transaction() as connection:
                now = self.database.now(connection)
                outbox.put(connection, [row(self.stamps.take(now), link.code, event, now) for event in events])
        except Exception as error:
            if is_retryable(error):
                raise Busy("what has come could not be kept") from error
            raise
        return ()

    def _body(self, command: Ask[Any]) -> dict[str, Any]:
        """What an operator sees of it, and all of it under seal."""
        assert isinstance(command, Command), "nobody hears the answer to a question"
        sealed = self.vault.encrypt(EXCHANGE_LOG, _encode(command), PLACE)
        told = {"asks": type(command).__name__, "keys": list(command.keys)}
        return {**told, "sealed": base64.b64encode(sealed).decode()}


def opened(vault: Vault, body: Mapping[str, Any]) -> Command[Any]:
    """The fact that a message holds. Errors: LinkRefused where it holds none that we could read."""
    if not body.get("sealed"):
        raise LinkRefused("it holds nothing: it was booked, or a person in it was erased")
    try:
        command: Command[Any] = _decode(_unsealed(vault, body))
    except (SecretsError, msgspec.DecodeError, ValueError) as error:
        raise LinkRefused(f"it cannot be opened: {type(error).__name__}") from None
    return command


def told_by(vault: Vault, body: Mapping[str, Any]) -> str:
    """What a message holds, as text; empty where it holds nothing that we could read."""
    try:
        return _unsealed(vault, body).decode() if body.get("sealed") else ""
    except (SecretsError, ValueError):
        return ""


def _unsealed(vault: Vault, body: Mapping[str, Any]) -> bytes:
    """Errors: SecretsError, ValueError."""
    return vault.decrypt(base64.b64decode(body["sealed"]), PLACE)


def lanes(settings: Settings, vault: Vault) -> dict[str, Outgoing]:
    """The links whose routes answer first, by code, as delivery sees them: their messages go into the books."""
    zones = {store.code: ZoneInfo(store.zone) for store in settings.chain.stores}
    found = {}
    for link in settings.links.values():
        adapter = settings.adapter_of(link)
        if link.enabled and adapter.answers_first:
            own = Link(link.code, link.store, zones[link.store], link.options)
            # One that makes no sense does not keep the others waiting: all know their place by their stamps.
            policy = replace(link.delivery, order=RELAXED)
            booking = replace(adapter, routes=(), push=booked_by(vault), login=None)
            found[link.code] = Outgoing(own, booking, policy, {}, lambda again: Nowhere())
    return found


def booked_by(vault: Vault) -> Push:
    """A talk with nobody, which finds what its messages hold."""

    def talk(job: Job, link: Link) -> Calling[int]:
        # Where a try has failed one of them may be bad: they go one by one, so that no good one waits for it again.
        some = job.messages[:1] if job.attempt > 1 else job.messages
        yield Found(tuple(_facts(vault, some)))
        return len(some)

    return Push(frozenset({RECEIVED}), talk, lambda link: BATCH)


def _facts(vault: Vault, messages: Sequence[Message]) -> Iterator[Command[Any]]:
    for message in messages:
        yield opened(vault, message.body)


class Nowhere:
    """The line of a queue that leads into the books."""

    def call(self, call: Call, session: Session | None, deadline: float) -> Any:
        raise LinkRefused("what has come in is said to nobody")

    def shelf(self) -> Any:
        raise LinkRefused("what has come in has no files")

    def close(self) -> None:
        """There is nothing to close."""
