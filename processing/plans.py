"""A purchase while it is decided: what each card is asked for, and what will be booked; nothing is changed yet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from processing.allocation import Share
from processing.commands import Amount, CardUse, PostReceipt, ReturnReceipt
from processing.directory import ActiveProgramme, Directory
from processing.documents import Extended
from processing.errors import BadAmount, InsufficientPoints
from processing.lots import available
from processing.programme.compiled import Programme
from processing.programme.decide import Part
from processing.programme.facts import NOTHING_KNOWN, Facts
from processing.programme.tiers import Membership
from processing.results import CardMovement
from processing.state import Account, Card, Hold, Posting, State
from processing.units import MAX_AMOUNT, PAR_MILLIONTHS, POINTS, worth

# Flags of an operation, for the operator.
NOT_USABLE, DEBT, SUSPENSE_FLAG, OVER_LIMIT = "card_not_usable", "debt", "suspense", "over_limit"
DISCOUNT_DIFFERS, TILL_COMPUTED, REST_BURNT = "discount_differs", "till_computed", "rest_burnt"
HOLD_ENDED, HOLD_LATE = "hold_ended", "hold_late"

# A clock that shows less shows nothing; and some time zones have no first day of the calendar.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


class Use(msgspec.Struct):
    """One card's part in a receipt while it is being decided. ``card`` is None for suspense."""

    ask: CardUse
    card: Card | None
    active: ActiveProgramme | None
    earns: bool
    hold: Hold | None = None
    # Of ``active``: looked at a dozen times a receipt.
    programme: Programme | None = None
    redeemed: dict[str, int] = {}
    gained: dict[str, int] = {}
    # What the receipt brought in all: gained by the programme and loaded with money.
    earned: dict[str, int] = {}
    # What the programme's rules see of the wallet, and the tier it was in before this receipt.
    facts: Facts = NOTHING_KNOWN
    membership: Membership | None = None

    def __post_init__(self) -> None:
        self.programme = self.active.programme if self.active else None

    @property
    def product(self) -> str:
        return self.card.product if self.card else ""


class Plan(msgspec.Struct):
    """What a receipt will book, worked out before anything is changed."""

    postings: list[Posting] = []
    # What comes back from expiry first, by instant: the fact happened before it.
    unexpired: dict[datetime, list[Posting]] = {}
    drawn: list[Share] = []
    gained: list[Share] = []
    loaded: list[Share] = []
    extended: list[Extended] = []
    # What each hold has paid; None for one that was named only, and is let go.
    holds: list[tuple[Hold, int | None]] = []
    # What this operation has moved into debts and out of them, by lot.
    repaid: dict[int, int] = {}


def check_amounts(directory: Directory, ask: CardUse) -> None:
    """Errors: BadAmount, UnitNotFound."""
    if not 0 <= ask.paid_minor <= MAX_AMOUNT:
        raise BadAmount("an amount must not be negative")
    if not ask.redeem and not ask.earn and not ask.top_up:
        return
    for amount in (*ask.redeem, *(ask.earn or ()), *ask.top_up):
        if not 0 <= amount.amount <= MAX_AMOUNT:
            raise BadAmount("an amount must not be negative", unit=amount.unit)
        directory.unit(amount.unit)


def part_of(directory: Directory, ask: CardUse, active: ActiveProgramme | None, facts: Facts, product: str) -> Part:
    """A card's part as the rules see it: money from a purse is the holder's own, points are not."""
    programme = active.programme if active else None
    price = programme.point_price_millionths if programme else PAR_MILLIONTHS
    paid = ask.paid_minor
    for amount in ask.redeem:
        if directory.unit(amount.unit).kind == POINTS:
            paid += worth(amount.amount, price)
    return Part(
        programme=programme,
        spend_minor=ask.spend_minor,
        redeemed_minor=paid,
        product=product,
        facts=facts,
        version=active.version_id if active else 0,
    )


def add(sums: dict[str, int], amounts: Iterable[Amount]) -> None:
    """Sum up by unit."""
    for amount in amounts:
        sums[amount.unit] = sums.get(amount.unit, 0) + amount.amount


def short_of(state: State, account: Account, free: int, asked: int) -> InsufficientPoints:
    """The refusal that tells how much there is."""
    scale = state.directory.unit(account.unit).scale
    return InsufficientPoints(
        "not enough on the card", unit=account.unit, scale=scale, available=max(free, 0), asked=asked
    )


def movement(state: State, account: Account, number: str, redeemed: int, earned: int) -> CardMovement:
    """What an operation did to an account, with the balances after it."""
    return CardMovement(
        card=number,
        account=account.wallet_id,
        unit=account.unit,
        scale=state.directory.unit(account.unit).scale,
        redeemed=redeemed,
        earned=earned,
        balance=account.balance,
        available=available(account.lots.values(), state.now),
    )


def happened_at(state: State, command: PostReceipt | ReturnReceipt) -> datetime:
    """A fact happened when its receipt was closed, if the till's clock can be believed; a request happens now."""
    closed_at = command.receipt.closed_at
    if not command.fact or closed_at is None or closed_at < EARLIEST:
        return state.now
    return min(closed_at, state.now)
