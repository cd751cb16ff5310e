"""What a batch has to tell: messages of the outbox, made of the difference between before and after it.

Written in the batch's own transaction, for those links only that ask for the kind. A body has no personal data:
whoever needs a name or phone asks for it by the account. Amounts are decimal texts in major units.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from processing import tables
from processing.cards import masked
from processing.state import Before, State
from processing.units import major

OPERATION_POSTED, BALANCE_CHANGED, BALANCE_BELOW = "operation_posted", "balance_changed", "balance_below"
TIER_CHANGED, CARD_CHANGED, HOLDER_CHANGED = "tier_changed", "card_changed", "holder_changed"
CODE_SENT, LIMIT_EXCEEDED, MESSAGE_DEAD, ALERT = "code_sent", "limit_exceeded", "message_dead", "alert"
# Not caused by the books: somebody has told a link to say it.
LOAD = "load"
# Not told to anybody: what a link has told us, and is booked after it was answered (gateway/inbox.py).
RECEIVED = "received"

KINDS: dict[str, str] = {
    OPERATION_POSTED: "an operation was booked: purchases, returns, corrections, expiry",
    BALANCE_CHANGED: "an account's balance after a change; only the newest counts",
    BALANCE_BELOW: "an account's balance fell below what the link asks for",
    TIER_CHANGED: "a wallet rose or fell to another tier",
    CARD_CHANGED: "a card was issued or has another status",
    HOLDER_CHANGED: "a holder was registered, updated or erased",
    CODE_SENT: "a confirmation code was made for a phone",
    LIMIT_EXCEEDED: "a receipt went beyond a soft limit of the programme",
    MESSAGE_DEAD: "a message of the outbox was given up",
    ALERT: "a rule about queues has begun to hold, or holds no more",
    LOAD: "what a till shall load, put into the queue by hand (tillgate frontol load)",
    RECEIVED: "what the link has told us and was answered for already, until it is booked",
}

# Ids are of time: microseconds since 1970, and behind them a number of the process, so that two never meet.
NODE_BITS = 8
_OVER_LIMIT = "over_limit"

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a link wants to be told. ``stores``: of these only, ``None`` of all; ``below`` by unit, in minor units."""

    link: str
    kinds: frozenset[str]
    stores: frozenset[str] | None = None
    below: Mapping[str, int] = field(default_factory=dict)


class Stamps:
    """Ids of messages: growing within a process also when the clock is set back, and by the clock between processes.

    Taken under the locks of what they tell about, they put the messages about an account in the order of its books.
    """

    def __init__(self) -> None:
        self._node = secrets.randbelow(1 << NODE_BITS)
        self._last = 0
        self._lock = threading.Lock()

    def follow(self, last: int) -> None:
        """What another process has given already."""
        with self._lock:
            self._last = max(self._last, last >> NODE_BITS)

    def take(self, now: datetime) -> int:
        with self._lock:
            self._last = max(self._last + 1, microseconds(now))
            return self._last << NODE_BITS | self._node


def microseconds(at: datetime) -> int:
    """Since 1970, whole."""
    return (at - EPOCH) // MICROSECOND


def first_id(at: datetime) -> int:
    """No message of this instant or later has a smaller id."""
    return microseconds(at) << NODE_BITS


def instant_of(message_id: int) -> datetime:
    """When the books had this to tell."""
    return EPOCH + (message_id >> NODE_BITS) * MICROSECOND


@dataclass(frozen=True, slots=True)
class Event:
    kind: str
    store: str
    body: dict[str, Any]
    subject: str | None = None
    # For BALANCE_BELOW: the unit, and the balance before and after, in minor units.
    fell: tuple[str, int, int] | None = None


def enqueue(state: State, subscriptions: Sequence[Subscription], stamps: Stamps) -> None:
    """Put a message for every link that wants it into what the batch writes."""
    wanted = frozenset[str]().union(*(each.kinds for each in subscriptions))
    for event in events(state, state.before, wanted):
        for subscription in subscriptions:
            if wants(subscription, event):
                state.insert(tables.outbox_message, row(stamps.take(state.now), subscription.link, event, state.now))


def row(message_id: int, link: str, event: Event, now: datetime) -> dict[str, Any]:
    """A row of ``outbox_message`` that waits to be delivered."""
    return {
        "id": message_id,
        "link": link,
        "kind": event.kind,
        "subject": event.subject,
        "body": msgspec.Raw(_encode(event.body)),
        "state": "pending",
        "at": now,
        "attempts": 0,
        "reason": None,
        "done_at": None,
        "replays_id": None,
    }


def wants(subscription: Subscription, event: Event) -> bool:
    """Whether the link is to be told; what is of no store, such as a wallet's balance, is told to all that ask."""
    if event.kind not in subscription.kinds:
        return False
    if subscription.stores is not None and event.store and event.store not in subscription.stores:
        return False
    if event.fell is None:
        return True
    unit, was, is_now = event.fell
    limit = subscription.below.get(unit)
    return limit is not None and was >= limit > is_now


def events(state: State, before: Before, wanted: frozenset[str]) -> Iterator[Event]:
    """Everything of these kinds that the batch has to tell, in the order in which it was booked."""
    if wanted & {OPERATION_POSTED, LIMIT_EXCEEDED}:
        yield from _operations(state, wanted)
    if wanted & {BALANCE_CHANGED, BALANCE_BELOW}:
        yield from _balances(state, before, wanted)
    if TIER_CHANGED in wanted:
        yield from _tiers(state, before)
    if CARD_CHANGED in wanted:
        yield from _cards(state, before)
    if HOLDER_CHANGED in wanted:
        yield from _holders(state)
    if CODE_SENT in wanted:
        for code in state.people.changed_codes.values():
            if code.sent_at == state.now:
                told = {"purpose": code.purpose, "expires_at": _text(code.expires_at)}
                yield Event(CODE_SENT, "", told)


def _operations(state: State, wanted: frozenset[str]) -> Iterator[Event]:
    entries: dict[int, list[dict[str, Any]]] = {}
    for entry in state.inserts.get(tables.entry, ()):
        entries.setdefault(entry["operation_id"], []).append(entry)
    receipts = {each["operation_id"]: each for each in state.inserts.get(tables.receipt, ())}
    for operation in state.inserts.get(tables.operation, ()):
        store = state.directory.store_of(operation["store_id"]).code
        flagged = operation["flags"].split(",") if operation["flags"] else []
        told = {
            "operation": str(operation["id"]),
            "operation_kind": operation["kind"],
            "store": store,
            "effective_at": _text(operation["effective_at"]),
            "booked_at": _text(operation["booked_at"]),
            "reverses": str(operation["reverses_id"]) if operation["reverses_id"] else None,
            "flags": flagged,
            "movements": list(_movements(state, entries.get(operation["id"], ()))),
            "receipt": _receipt(receipts.get(operation["id"])),
        }
        if OPERATION_POSTED in wanted:
            yield Event(OPERATION_POSTED, store, told)
        if LIMIT_EXCEEDED in wanted and any(flag.startswith(_OVER_LIMIT) for flag in flagged):
            yield Event(LIMIT_EXCEEDED, store, told)


def _movements(state: State, entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What an operation did to wallets, summed up by account and unit."""
    sums: dict[int, int] = {}
    for entry in entries:
        if entry["lot_id"] is not None:
            sums[entry["account_id"]] = sums.get(entry["account_id"], 0) + entry["amount"]
    for account_id, amount in sums.items():
        account = state.accounts_by_id[account_id]
        scale = state.directory.unit(account.unit).scale
        yield {"account": account.wallet_id, "unit": account.unit, "amount": major(amount, scale)}


def _receipt(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "till": found["till"],
        "number": found["number"],
        "business_date": found["business_date"].isoformat(),
        "total": major(found["total_minor"], 2),
    }


def _balances(state: State, before: Before, wanted: frozenset[str]) -> Iterator[Event]:
    for account in state.changed_accounts.values():
        was = before.balances.get(account.id, 0)
        if was == account.balance:
            continue
        scale = state.directory.unit(account.unit).scale
        told = {"account": account.wallet_id, "unit": account.unit, "balance": major(account.balance, scale)}
        if BALANCE_CHANGED in wanted:
            yield Event(BALANCE_CHANGED, "", told, subject=f"{account.wallet_id}:{account.unit}")
        if BALANCE_BELOW in wanted and account.balance < was:
            yield Event(BALANCE_BELOW, "", told, fell=(account.unit, was, account.balance))


def _tiers(state: State, before: Before) -> Iterator[Event]:
    for place, member in state.pasts.changed.items():
        was = before.tiers.get(place)
        if member.held.tier != was:
            wallet_id, programme = place
            yield Event(
                TIER_CHANGED,
                "",
                {"account": wallet_id, "programme": programme, "tier": member.held.tier, "was": was},
            )


def _cards(state: State, before: Before) -> Iterator[Event]:
    for card in (state.new_cards | state.changed_cards).values():
        was = before.statuses.get(card.id)
        if card.status != was:
            told = {
                "account": card.wallet_id,
                "card": masked(card.number),
                "product": card.product,
                "status": card.status,
                "was": was,
            }
            yield Event(CARD_CHANGED, "", told)


def _holders(state: State) -> Iterator[Event]:
    people = state.people
    for holder in people.changed_holders.values():
        change = "erased" if holder.erased_at else "registered"
        yield Event(HOLDER_CHANGED, "", {"account": holder.wallet_id, "holder": holder.id, "change": change})
    known = {holder.id: holder for holder in people.holders.values()}
    for holder_id in people.changed_persons.keys() - people.changed_holders.keys():
        holder_of = known.get(holder_id)
        if holder_of is not None:
            told = {"account": holder_of.wallet_id, "holder": holder_id, "change": "updated"}
            yield Event(HOLDER_CHANGED, "", told)


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
