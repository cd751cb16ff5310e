"""What may be asked of the core: one frozen struct each. Commands write, queries do not.

Adapters, REST, files and the console all ask with these words. A command is a *request* (it may be refused)
or, with ``fact=True``, something that has already happened and is recorded whatever the rules say.
Amounts are whole minor units, quantities thousandths, instants aware UTC, ``business_date`` the store's own.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Generic, Literal, TypeVar

import msgspec

from processing.results import (
    Adjusted,
    Balances,
    CardActivated,
    CardIssued,
    HolderRegistered,
    Identified,
    ReceiptPosted,
    ReceiptRestored,
    ReceiptVoided,
    Result,
    ToppedUp,
)

R = TypeVar("R", bound=Result, covariant=True)

MAX_KEY = 255
MAX_KEYS = 8
MAX_CARDS = 16
MAX_LINES = 1_000


class Ref(msgspec.Struct, frozen=True):
    """What somebody calls a thing: ``Ref("card", "5550001234")``, ``Ref("barcode", "2100000012345")``.

    Schemes of cards: ``card`` (printed number; leading zeros do not matter), ``barcode``, ``track`` and any
    scheme of an outside system, such as ``onec``.
    """

    scheme: str
    value: str


class Ask(msgspec.Struct, Generic[R], frozen=True, tag=True, kw_only=True):
    """Anything the core answers; the type argument is what it answers with."""


class Query(Ask[R], frozen=True, tag=True, kw_only=True):
    """Answered from committed state, without locks."""


class Command(Ask[R], frozen=True, tag=True, kw_only=True):
    """Writes. ``keys`` are what make it happen once: they are scoped by the store, never by link or caller.

    A command with several keys names one thing in several ways; keys learned later attach to it.
    ``content`` is a digest over what makes two messages the same; empty: the core takes it over the command.
    """

    store: str
    keys: tuple[str, ...]
    content: str = ""
    actor: str = ""


class Identify(Query[Identified], frozen=True, tag=True, kw_only=True):
    """Who is this card, and what may it do here and now?

    ``refs`` are names of one card, tried in order. ``order_minor`` is the open order's total where the till
    tells it, so that the answer can respect the redemption limit. Errors: CardNotFound, ForeignStore.
    """

    store: str
    refs: tuple[Ref, ...]
    order_minor: int | None = None


class ReadBalances(Query[Balances], frozen=True, tag=True, kw_only=True):
    """The wallet's balances at an instant, past or future; ``None`` is now. Errors: CardNotFound."""

    refs: tuple[Ref, ...]
    as_of: datetime | None = None


class Amount(msgspec.Struct, frozen=True):
    """So much of one unit, in its minor units."""

    unit: str
    amount: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One position of a receipt. ``sum_minor`` is what it costs after discounts and before tenders."""

    number: int
    goods: str
    name: str = ""
    category: str = ""
    quantity_thousandths: int = 1000
    price_minor: int = 0
    sum_minor: int
    discount_minor: int = 0


class Tender(msgspec.Struct, frozen=True, kw_only=True):
    """How a part was paid. Change given back is a negative tender. ``unit`` names the purse of a card."""

    code: str
    kind: Literal["cash", "bank_card", "purse", "other"]
    amount_minor: int
    unit: str = ""
    card: str = ""


class CardUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one receipt does with one card.

    ``refs`` name the card as in Identify. ``redeem`` are the payments from its purses, positive.
    ``earn`` is what the till has computed; ``None`` leaves it to the programme. ``spend_minor`` is the
    holder's own money, by which the accrual is shared when a receipt names several cards.
    """

    refs: tuple[Ref, ...]
    redeem: tuple[Amount, ...] = ()
    earn: tuple[Amount, ...] | None = None
    spend_minor: int = 0


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A closed purchase as the till tells it; a till that sends no goods sends no lines."""

    number: str
    till: str
    business_date: date
    shift: str = ""
    closed_at: datetime | None = None
    total_minor: int = 0
    discount_minor: int = 0
    lines: tuple[Line, ...] = ()
    tenders: tuple[Tender, ...] = ()


class PostReceipt(Command[ReceiptPosted], frozen=True, tag=True, kw_only=True):
    """Redeem, accrue and record one receipt, all or nothing.

    ``stamp`` is the till's own time of this attempt. With ``supersede`` another content under the same key
    is a newer version (it reverses and replaces what was posted) or, with a strictly older stamp, a stale one
    (answered with the current result). ``notes`` are doubts of the adapter that an operator should see.
    Errors: CardNotFound, CardBlocked, CardExpired, CardNotActive, CardClosed, InsufficientPoints,
    LimitExceeded, AlreadyVoided, KeyReused, UnitNotFound.
    """

    receipt: Receipt
    cards: tuple[CardUse, ...] = ()
    stamp: datetime | None = None
    supersede: bool = False
    fact: bool = False
    notes: tuple[str, ...] = ()


class VoidReceipt(Command[ReceiptVoided], frozen=True, tag=True, kw_only=True):
    """As if the receipt had never been: reverses its own amounts. Before its sale it leaves a tombstone.

    A fact: it is never refused. ``reason`` tells a failed attempt (rollback) from a cancelled purchase
    (return); only the second can be restored.
    """

    reason: Literal["rollback", "return"]
    stamp: datetime | None = None


class RestoreReceipt(Command[ReceiptRestored], frozen=True, tag=True, kw_only=True):
    """Undo a void: post again what a void with reason ``return`` has reversed; a shortage becomes debt."""

    stamp: datetime | None = None


class IssueCard(Command[CardIssued], frozen=True, tag=True, kw_only=True):
    """A new card of a product with a wallet of its own, or in the wallet of another card.

    ``number`` is for cards that are printed already; without it a number is generated.
    Errors: ProductNotFound, CardNumberTaken, CardNotFound (``wallet_of``), BadAmount (number unfit).
    """

    product: str
    number: str = ""
    wallet_of: Ref | None = None
    identifiers: tuple[Ref, ...] = ()
    active: bool = False


class ActivateCard(Command[CardActivated], frozen=True, tag=True, kw_only=True):
    """An issued card becomes active; its validity starts. Errors: CardNotFound, CardStatusWrong."""

    card: Ref


class RegisterHolder(Command[HolderRegistered], frozen=True, tag=True, kw_only=True):
    """A person takes the card's wallet; no entry moves. Errors: CardNotFound, HolderExists, PhoneTaken.

    ``phone`` in any usual spelling; it is kept as E.164, encrypted, and found by a blind index.
    """

    card: Ref
    name: str
    phone: str = ""
    email: str = ""
    birthday: date | None = None


class TopUp(Command[ToppedUp], frozen=True, tag=True, kw_only=True):
    """Money comes in against cash and lands on the card. Errors: as PostReceipt, BadAmount."""

    card: Ref
    amount: Amount


class Adjust(Command[Adjusted], frozen=True, tag=True, kw_only=True):
    """An operator's correction, with a reason; negative takes away, into debt only with ``allow_debt``.

    ``expires_days`` counts from today in the store's zone; ``None`` never expires.
    Errors: CardNotFound, CardClosed, InsufficientPoints, BadAmount, UnitNotFound.
    """

    card: Ref
    amount: Amount
    reason: str
    expires_days: int | None = None
    allow_debt: bool = False


AnyCommand = PostReceipt | VoidReceipt | RestoreReceipt | IssueCard | ActivateCard | RegisterHolder | TopUp | Adjust
AnyQuery = Identify | ReadBalances
