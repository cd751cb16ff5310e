"""What is played: receipts, returns and other movements in the order of their times; wallets as they stood before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Protocol

import msgspec

from processing.commands import Receipt, ReturnLine
from processing.programme.tiers import Membership


class CardPart(msgspec.Struct, frozen=True, kw_only=True):
    """One card of a receipt. ``pay``: so much it paid, in points of ``unit``; ``earn``: what the till has computed."""

    card: str
    wallet: int
    product: str
    unit: str = ""
    pay: int = 0
    spend_minor: int = 0
    earn: int | None = None


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt as its till told it, with the discounts that the till took off."""

    key: str
    at: datetime
    store: str
    receipt: Receipt
    cards: tuple[CardPart, ...]


class Back(msgspec.Struct, frozen=True, kw_only=True):
    """Goods of an earlier ``sale`` come back; no ``lines``: all that is left of it."""

    key: str
    at: datetime
    store: str
    receipt: Receipt
    sale: str
    sale_store: str
    lines: tuple[ReturnLine, ...] = ()
    can_deduct: bool = True


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """So much on a wallet on these terms; less than nothing is taken away, or owed. ``issuer``: a partner's code."""

    unit: str
    amount: int
    issuer: str
    available_from: datetime
    expires_at: datetime | None = None
    price_millionths: int = 0
    is_debt: bool = False


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What came and went on a wallet by something that is no purchase, such as a correction."""

    at: datetime
    wallet: int
    holdings: tuple[Holding, ...]


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """A wallet as it stood at the begin. ``days``: rows of ``activity`` without the wallet."""

    wallet: int
    holdings: tuple[Holding, ...] = ()
    days: tuple[tuple[date, str, int, int, int, int], ...] = ()
    membership: Membership | None = None
    birthday: date | None = None


Event = Sale | Back | Moved


class Source(Protocol):
    """Where receipts come from, in bites of a bounded size and in the order of their times."""

    starts_at: datetime

    def bites(self) -> Iterator[list[Event]]: ...

    def openings(self, wallets: Sequence[int]) -> list[Opening]:
        """How these wallets stood at the begin; one that is not told of had nothing."""
        ...


def wallets_of(each: Event) -> set[int]:
    """Whose points an event is about, as far as it tells."""
    if isinstance(each, Sale):
        return {part.wallet for part in each.cards}
    return {each.wallet} if isinstance(each, Moved) else set()
