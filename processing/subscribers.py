"""Subscribe: where an outside system wants to be told of something, kept as it says it and told back to it.

Address, secret and wishes are sealed together, because each of them may open a door.
"""

from __future__ import annotations

import msgspec

from processing import tables
from processing.commands import ReadSubscription, Subscribe
from processing.database import Statement
from processing.errors import BadMessage
from processing.keys import once
from processing.reading import Reading, is_text
from processing.results import Subscribed, SubscriptionTold
from processing.secrets import CREDENTIALS
from processing.state import State

MAX_SUBSCRIBER = 80
MAX_ADDRESS, MAX_SECRET, MAX_WISHES = 2_000, 1_000, 16_000

_subscriber = tables.subscriber.c
FOUND = Statement(
    "SELECT s.settings, s.changed_at FROM subscriber s WHERE s.store_id = :store AND s.name = :name",
    _subscriber.settings,
    _subscriber.changed_at,
)


def subscribe(state: State, command: Subscribe) -> Subscribed:
    """Keep it in the place of what was said before."""

    def do() -> tuple[Subscribed, int | None]:
        _check(command)
        store_id = state.store(command.store).id
        told = msgspec.json.encode((command.address, command.secret, command.wishes))
        row = {
            "store_id": store_id,
            "name": command.subscriber,
            "settings": state.vault.encrypt(CREDENTIALS, told, _place(store_id, command.subscriber)),
            "changed_at": state.now,
        }
        # Instead of what this batch has kept already.
        others = [
            kept
            for kept in state.inserts.get(tables.subscriber, [])
            if (kept["store_id"], kept["name"]) != (store_id, command.subscriber)
        ]
        state.inserts[tables.subscriber] = [*others, row]
        return Subscribed(is_on=bool(command.address), at=state.now), None

    return once(state, command, Subscribed, do)


def read_subscription(reading: Reading, query: ReadSubscription) -> SubscriptionTold:
    """What it has said last; nothing where it never has. Errors: ForeignStore."""
    store_id = reading.work.directory.store(query.store).id
    rows = reading.rows(FOUND, store=store_id, name=query.subscriber) if is_text(query.subscriber) else []
    if not rows:
        return SubscriptionTold()
    settings, changed_at = rows[0]
    sealed = reading.work.vault.decrypt(settings, _place(store_id, query.subscriber))
    address, secret, wishes = msgspec.json.decode(sealed, type=tuple[str, str, str])
    return SubscriptionTold(address=address, secret=secret, wishes=wishes, changed_at=changed_at)


def _check(command: Subscribe) -> None:
    """Errors: BadMessage."""
    bounds = {"address": MAX_ADDRESS, "secret": MAX_SECRET, "wishes": MAX_WISHES}
    if not 0 < len(command.subscriber) <= MAX_SUBSCRIBER:
        raise BadMessage(f"1 to {MAX_SUBSCRIBER} characters", where="subscriber")
    for name, most in bounds.items():
        if len(getattr(command, name)) > most:
            raise BadMessage(f"up to {most} characters", where=name)


def _place(store_id: int, name: str) -> bytes:
    return f"subscriber|{store_id}|{name}".encode()
