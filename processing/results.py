"""What the core answers, one frozen struct each. Stored whole with the request key and replayed as it was."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Result(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The answer to a command or query that was carried out."""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One unit of a wallet, in minor units.

    ``balance`` is what the books hold, ``available`` what can be spent now (pending and expired lots do not
    count, debt does), ``pending`` what becomes available later.
    """

    unit: str
    scale: int
    balance: int
    available: int
    pending: int = 0


class Identified(Result, frozen=True, tag=True, kw_only=True):
    """A card as a till needs it. ``usable`` is empty, or the code of the refusal it would meet.

    ``account`` numbers the wallet (below 2^32), ``holder_id`` is 0 for a bearer card. ``payable`` is the most
    that the programme lets each unit pay. ``discount`` and ``bonus`` are names in the programme.
    """

    number: str
    account: int
    holder_id: int
    holder_name: str
    status: str
    usable: str
    product: str
    balances: tuple[Balance, ...]
    payable: tuple[tuple[str, int], ...]
    discount: str
    bonus: str
    expires_at: datetime | None = None


class Balances(Result, frozen=True, tag=True, kw_only=True):
    as_of: datetime
    account: int
    balances: tuple[Balance, ...]


class CardMovement(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation did to one unit of one card; ``balance`` and ``available`` are after it."""

    card: str
    account: int
    unit: str
    scale: int
    redeemed: int
    earned: int
    balance: int
    available: int


class ReceiptPosted(Result, frozen=True, tag=True, kw_only=True):
    """``flags`` tell the operator what was unusual: superseded, card_not_usable, debt, suspense ..."""

    operation_id: int
    at: datetime
    cards: tuple[CardMovement, ...] = ()
    flags: tuple[str, ...] = ()


class ReceiptVoided(Result, frozen=True, tag=True, kw_only=True):
    """``outcome``: reversed; nothing (already void, nothing moved); orphan (the sale was never seen)."""

    outcome: str
    operation_id: int = 0
    at: datetime
    cards: tuple[CardMovement, ...] = ()


class ReceiptRestored(Result, frozen=True, tag=True, kw_only=True):
    """``outcome``: restored; nothing (not void by a return); orphan (the sale was never seen)."""

    outcome: str
    operation_id: int = 0
    at: datetime
    cards: tuple[CardMovement, ...] = ()


class CardIssued(Result, frozen=True, tag=True, kw_only=True):
    card_id: int
    account: int
    number: str
    status: str


class CardActivated(Result, frozen=True, tag=True, kw_only=True):
    number: str
    at: datetime
    expires_at: datetime | None = None


class HolderRegistered(Result, frozen=True, tag=True, kw_only=True):
    holder_id: int
    account: int


class ToppedUp(Result, frozen=True, tag=True, kw_only=True):
    operation_id: int
    at: datetime
    card: CardMovement


class Adjusted(Result, frozen=True, tag=True, kw_only=True):
    operation_id: int
    at: datetime
    card: CardMovement


def cards_of(result: Result) -> tuple[CardMovement, ...]:
    """The movements that any stored result tells of."""
    cards = getattr(result, "cards", None)
    if cards is None:
        card = getattr(result, "card", None)
        cards = (card,) if isinstance(card, CardMovement) else ()
    return tuple(cards)


AnyStoredResult = (
    ReceiptPosted
    | ReceiptVoided
    | ReceiptRestored
    | CardIssued
    | CardActivated
    | HolderRegistered
    | ToppedUp
    | Adjusted
)
