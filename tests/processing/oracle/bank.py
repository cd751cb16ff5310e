"""The oracle's books: cards, wallets, what request keys stand for, and the answers that tills see.

An answer is a plain dict with a ``word``; ids, which nobody can foretell, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from processing.chain import Product
from processing.commands import Command, Ref
from tests.processing.books import CHAIN, SHORT, Short
from tests.processing.oracle.lots import NEVER, Account, Hold, Move, Terms, Undoing

Answer = dict[str, Any]

UNITS = {unit.code: unit for unit in CHAIN.units}
STORES = {store.code: store for store in CHAIN.stores}
PRODUCTS = {product.code: product for product in CHAIN.products}


class Refused(Exception):
    """The oracle's refusal; its argument is the error's class name."""


@dataclass(eq=False)
class Wallet:
    accounts: dict[str, Account] = field(default_factory=lambda: {unit: Account(unit) for unit in UNITS})
    merged_into: Wallet | None = None
    merging_into: Wallet | None = None

    @property
    def living(self) -> Wallet:
        return self.merged_into.living if self.merged_into else self

    def open_holds(self, now: datetime) -> int:
        return sum(hold.is_open(now) for account in self.accounts.values() for hold in account.holds)


@dataclass(eq=False)
class Card:
    number: str
    product: Product
    home: Wallet
    status: str = "active"
    was_issued: bool = False
    """Blocked before its activation."""

    expires_at: datetime | None = None
    closed_by: Any = None
    """The pay-out that closed it."""

    @property
    def wallet(self) -> Wallet:
        return self.home.living

    @property
    def programme(self) -> Short:
        return SHORT[self.product.programme]

    def account(self, unit: str) -> Account:
        if unit not in UNITS:
            raise Refused("UnitNotFound")
        return self.wallet.accounts[unit]

    def why_unusable(self, now: datetime) -> str:
        if self.status != "active":
            words = {"issued": "CardNotActive", "blocked": "CardBlocked", "expired": "CardExpired"}
            return words.get(self.status, "CardClosed")
        return "CardExpired" if self.expires_at is not None and self.expires_at <= now else ""


@dataclass
class Head:
    """What a request key stands for. ``moves`` is what its operation did to lots."""

    state: str = "none"
    kind: str = ""
    stamp: datetime | None = None
    content: Any = None
    command: Any = None
    answer: Answer = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    programme: Short | None = None
    """The one that decided it."""

    booked_at: datetime = NEVER
    sold_at: datetime = NEVER
    """When a receipt was booked first, before it was restored."""

    sold: Answer = field(default_factory=dict)
    """How a receipt was answered when it was posted first."""

    sale: Any = None
    """What returns need to know of a receipt, and of a return what came back."""

    hold: Hold | None = None
    restored: bool = False
    void_stamp: datetime | None = None
    """The last void's own."""

    @property
    def is_fresh(self) -> bool:
        return self.state == "none" and self.stamp is None


@dataclass
class Bank:
    """Everything. ``at``: the batch's clock."""

    now: datetime
    cards: dict[str, Card] = field(default_factory=dict)
    heads: dict[tuple[str, str], Head] = field(default_factory=dict)
    holds: dict[tuple[str, str], tuple[Hold, Account]] = field(default_factory=dict)
    merging: list[tuple[Wallet, Wallet]] = field(default_factory=list)
    alike: dict[tuple[Any, ...], tuple[datetime, Head]] = field(default_factory=dict)
    """By store and likeness: when the last one was carried out, and what was said."""

    def card(self, ref: Ref) -> Card:
        if ref.value not in self.cards:
            raise Refused("CardNotFound")
        return self.cards[ref.value]

    def usable(self, ref: Ref) -> Card:
        card = self.card(ref)
        word = card.why_unusable(self.now)
        if word:
            raise Refused(word)
        return card

    def head(self, store: str, key: str) -> Head:
        return self.heads.get((store, key), Head())

    def keep(self, command: Command[Any], head: Head) -> None:
        for key in command.keys:
            self.heads[command.store, key] = head

    def undo_status(self, head: Head, in_debt: bool) -> None:
        """A card whose sale is undone waits to be sold again, or is blocked if it owes; a closed one is open again."""
        card = self.cards.get(head.answer["card"][0]) if "card" in head.answer else None
        if card is None:
            return
        if head.kind == "SellGiftCard" and card.status in ("active", "blocked"):
            stays_blocked = in_debt or card.status == "blocked"
            card.status, card.expires_at, card.was_issued = "blocked" if stays_blocked else "issued", None, True
        if head.kind == "CaptureHold" and head.hold is not None:
            head.hold.is_undone = True
        if head.kind == "PayOut" and card.status == "closed" and card.closed_by == head.command:
            card.status, card.closed_by = "active", None

    # Terms and figures --------------------------------------------------------------------------------------

    def terms(self, store: str, at: datetime | None = None, pending: int = 0, days: int | None = None) -> Terms:
        """Whole days of the store: from the start of a day to the end of another."""
        zone = ZoneInfo(STORES[store].zone)
        first = (at or self.now).astimezone(zone).date() + timedelta(days=pending)
        last = None if days is None else midnight(first + timedelta(days=days + 1), zone)
        return Terms(STORES[store].partner, midnight(first, zone), last)

    def earned_terms(self, card: Card, unit: str, store: str, at: datetime | None = None) -> Terms:
        """The programme's own unit lives as the programme says; others are there at once and for ever."""
        programme = card.programme
        if programme.unit != unit:
            return self.terms(store, at)
        return self.terms(store, at, programme.pending_days, programme.expires_days)

    def money_terms(self, card: Card, store: str, at: datetime | None = None) -> Terms:
        """Money is there at once; on a card of value it ends with the card."""
        terms = self.terms(store, at)
        return Terms(terms.issuer, terms.available_from, card.expires_at) if card.product.value else terms

    def undoing(self, head: Head, store: str, at: datetime | None = None) -> Undoing:
        """How what stands under a key is undone. A restored sale drew its points before it was booked again."""
        days = head.programme.return_grace_days if head.programme else 0
        booked_at = head.sold_at if head.restored else head.booked_at
        return Undoing(self.now, at or self.now, booked_at, self.terms(store, days=days) if days else None)

    def movement(self, card: Card, unit: str, redeemed: int = 0, earned: int = 0) -> list[Any]:
        """What an operation did, and the balances after it; of books with workers, and of books without."""
        account = card.account(unit)
        return [
            card.number,
            unit,
            redeemed,
            earned,
            account.balance,
            account.unexpired,
            account.available(self.now),
        ]

    def movements_now(self, told: Iterable[Sequence[Any]]) -> list[Any]:
        """The same movements with the balances of this moment."""
        return [
            self.movement(self.cards[number], unit, redeemed, earned)
            if number
            else [number, unit, redeemed, earned, 0, 0, 0]
            for number, unit, redeemed, earned, *_ in told
        ]


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def positive(amount: int) -> int:
    if amount <= 0:
        raise Refused("BadAmount")
    return amount
