"""What the core answers, one frozen struct each. Stored whole with the request key and replayed as it was."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import msgspec


class Result(msgspec.Struct, frozen=True, tag=True, kw_only=True, omit_defaults=True):
    """The answer to a command or query that was carried out.

    ``replayed``: the command had been carried out before under this key, and this is what was said then.
    """

    replayed: bool = False


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One unit of a wallet, in minor units.

    ``balance`` is what the books hold, ``available`` what can be spent now (pending, expired and held parts do
    not count, debt does), ``pending`` what becomes available later, ``held`` what open holds have set aside.
    """

    unit: str
    scale: int
    balance: int
    available: int
    pending: int = 0
    held: int = 0


class Identified(Result, frozen=True, tag=True, kw_only=True):
    """A card as a till needs it. ``usable`` is empty, or the code of the refusal it would meet.

    ``account`` numbers the wallet (below 2^32), ``holder_id`` is 0 for a bearer card. ``payable`` is the most
    that the programme lets each unit pay. ``discount`` and ``bonus`` are names in the programme, ``tier``
    the holder's tier in it. ``payable_hundredths`` is how much of a receipt points may pay, in hundredths of percent;
    ``turnover_minor`` what the wallet has bought, where that was asked.
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
    tier: str = ""
    payable_hundredths: int = 10_000
    turnover_minor: int | None = None


class FoundCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card of a list; fields as in Identified."""

    number: str
    account: int
    holder_id: int
    holder_name: str
    status: str
    usable: str
    product: str


class CardsFound(Result, frozen=True, tag=True, kw_only=True):
    """Cards that a text leads to, usable ones first; ``more``: there are others beyond the limit."""

    cards: tuple[FoundCard, ...]
    more: bool = False


class QuotedLine(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen to a line: its discount, the most that points may pay of it, what it would earn.

    ``unit`` and ``scale`` are those of what it earns: of the first card that earns.
    """

    number: int
    discount_minor: int
    payable_minor: int
    earned: int
    unit: str = ""
    scale: int = 0


class TextTold(msgspec.Struct, frozen=True, kw_only=True):
    """Words for the ``audience``: cashier, slip or holder; lines are apart by line feeds."""

    audience: str
    ru: str
    en: str


class QuotedCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a card would get and might pay, in the minor units of its programme's unit."""

    card: str
    account: int
    unit: str
    scale: int
    available: int
    payable: int
    earned: int
    usable: str
    tier: str = ""
    texts: tuple[TextTold, ...] = ()
    programme: str = ""


class PaidLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a line points pay, and what money of cards does, both in minor money; line 0 is the whole receipt."""

    number: int
    points_minor: int = 0
    card_money_minor: int = 0


class Quoted(Result, frozen=True, tag=True, kw_only=True):
    """``explanation`` as an operation would keep it, one per card; ``paid`` is what ``redeem`` would pay, by line."""

    at: datetime
    total_minor: int
    lines: tuple[QuotedLine, ...]
    cards: tuple[QuotedCard, ...]
    discount_minor: int = 0
    explanation: tuple[dict[str, Any], ...] = ()
    paid: tuple[PaidLine, ...] = ()


class Balances(Result, frozen=True, tag=True, kw_only=True):
    as_of: datetime
    account: int
    balances: tuple[Balance, ...]


class LotTold(msgspec.Struct, frozen=True, kw_only=True):
    """A lot: what it holds (negative: debt), what of it is held, its terms, and which partner owes it."""

    lot_id: int
    unit: str
    scale: int
    remaining: int
    held: int
    issuer: str
    available_from: datetime
    expires_at: datetime | None
    is_debt: bool


class Lots(Result, frozen=True, tag=True, kw_only=True):
    as_of: datetime
    account: int
    lots: tuple[LotTold, ...]


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one operation did to one unit of the wallet."""

    operation_id: int
    kind: str
    store: str
    unit: str
    scale: int
    amount: int
    effective_at: datetime
    booked_at: datetime
    flags: tuple[str, ...] = ()


class Statement(Result, frozen=True, tag=True, kw_only=True):
    """``cursor`` asks for the next page; empty on the last one."""

    account: int
    lines: tuple[StatementLine, ...]
    cursor: str = ""


class EntryTold(msgspec.Struct, frozen=True, kw_only=True):
    """An entry: of a wallet's account (``account`` is the wallet's number) or a partner's (``account`` 0)."""

    account: int
    partner: str
    kind: str
    unit: str
    scale: int
    amount: int
    lot_id: int | None


class OperationTold(Result, frozen=True, tag=True, kw_only=True):
    """An operation, its entries, and the facts and rules that decided it.

    ``reverses_id`` and ``reversed_by`` are 0 for none. ``programme`` is code and version id, or empty and 0.
    ``number``, ``till``, ``business_date`` and ``total_minor`` are those of its receipt; empty and ``None`` without.
    """

    operation_id: int
    kind: str
    store: str
    actor: str
    effective_at: datetime
    booked_at: datetime
    entries: tuple[EntryTold, ...]
    flags: tuple[str, ...] = ()
    explanation: Any = None
    programme: str = ""
    programme_version: int = 0
    reverses_id: int = 0
    reversed_by: int = 0
    number: str = ""
    till: str = ""
    business_date: date | None = None
    total_minor: int | None = None


class RuleExplained(msgspec.Struct, frozen=True, kw_only=True):
    """A rule: what it ``gives`` (discount or points), how much it gave at this ``scale``, and of what in minor money.

    ``why`` is ``fired`` or what kept it, as a code and in words; ``ru`` and ``en`` are the rule's own texts.
    """

    rule: str
    gives: str
    amount: int
    scale: int
    base_minor: int
    why: str
    why_ru: str
    why_en: str
    ru: str = ""
    en: str = ""


class CardExplained(msgspec.Struct, frozen=True, kw_only=True):
    """A card's part: ``card`` are its last digits, ``facts`` what the rules saw of its wallet.

    ``decided`` is empty, or who else did: ``till_computed``, ``card_not_usable``.
    """

    card: str
    programme: str
    programme_version: int
    earned: int
    unit: str
    scale: int
    rules: tuple[RuleExplained, ...]
    texts: tuple[TextTold, ...]
    facts: dict[str, Any] = {}
    decided: str = ""


class Explained(Result, frozen=True, tag=True, kw_only=True):
    """``operation_id`` is 0 for a quote. Without a programme, as of a void, there are no cards."""

    operation_id: int
    kind: str
    store: str
    cards: tuple[CardExplained, ...]


class ReturnedLine(msgspec.Struct, frozen=True, kw_only=True):
    """Of a sold line so much came back: in thousandths, or in minor money where the till sends no quantity."""

    number: int
    amount: int


class ReceiptTold(Result, frozen=True, tag=True, kw_only=True):
    """A receipt as it stands: ``kind`` receipt or return. ``document`` holds goods and allocation.

    ``returned``: what has come back of a sale, or what this return has brought back of its ``sale``. ``cards`` is what
    it did to cards when it was posted, in a return as in ReceiptReturned; ``sale`` and ``sale_store`` are empty for
    sales, and once a return is void.
    """

    operation_id: int
    kind: str
    store: str
    state: str
    at: datetime
    document: dict[str, Any]
    returned: tuple[ReturnedLine, ...] = ()
    flags: tuple[str, ...] = ()
    cards: tuple[CardMovement, ...] = ()
    sale: str = ""
    sale_store: str = ""


class HoldTold(Result, frozen=True, tag=True, kw_only=True):
    """A hold. ``state``: open, captured, released, expired; a hold past its deadline is told as expired."""

    hold_id: int
    key: str
    store: str
    account: int
    unit: str
    scale: int
    owner: str
    amount: int
    captured: int
    state: str
    placed_at: datetime
    until: datetime
    ended_at: datetime | None
    operation_id: int


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """What a holder agreed to or withdrew, as it was recorded."""

    purpose: str
    document: str
    given: bool
    channel: str
    store: str
    at: datetime


class HolderTold(Result, frozen=True, tag=True, kw_only=True):
    """A person in the clear. ``consents``: every record, newest first. ``details`` as EnrolHolder was told them."""

    holder_id: int
    account: int
    name: str
    phone: str
    email: str
    birthday: date | None
    registered_at: datetime
    cards: tuple[FoundCard, ...]
    consents: tuple[Consent, ...]
    details: dict[str, str] = {}


class CardName(msgspec.Struct, frozen=True):
    """One of a card's names."""

    scheme: str
    value: str


class CardNamed(msgspec.Struct, frozen=True, kw_only=True):
    """A card of a wallet with all of its names, also the printed number; other fields as in Identified."""

    number: str
    status: str
    usable: str
    product: str
    names: tuple[CardName, ...]
    expires_at: datetime | None = None


class WalletNamed(Result, frozen=True, tag=True, kw_only=True):
    """A wallet as outside systems know it: ``uuid`` names it for ever, as ``Ref("uuid", ...)``.

    ``tiers``: (programme, tier) of the programmes of its cards that have tiers.
    """

    account: int
    uuid: str
    opened_at: datetime
    cards: tuple[CardNamed, ...]
    tiers: tuple[tuple[str, str], ...] = ()


class UnitTold(msgspec.Struct, frozen=True, kw_only=True):
    """``kind``: money or points."""

    unit: str
    kind: str
    scale: int


class TierTold(msgspec.Struct, frozen=True, kw_only=True):
    tier: str
    ru: str
    en: str


class ProgrammeTold(msgspec.Struct, frozen=True, kw_only=True):
    """A programme that works now; ``since`` is when its active version has started. ``tiers`` from the lowest."""

    programme: str
    unit: str
    since: datetime
    tiers: tuple[TierTold, ...]


class ChainTold(Result, frozen=True, tag=True, kw_only=True):
    """What a store is, and what its chain has. ``zone`` is the store's IANA time zone."""

    store: str
    name: str
    partner: str
    zone: str
    units: tuple[UnitTold, ...]
    programmes: tuple[ProgrammeTold, ...]


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """What one operation did to one unit of a wallet, and the balance after it, as they were booked.

    ``revision`` never falls from one transaction of a wallet to the next: microseconds since 1970. ``entry`` tells
    transactions of one operation apart. ``number`` and ``total_minor`` are its receipt's; empty and ``None`` without.
    """

    operation_id: int
    entry: int
    revision: int
    kind: str
    store: str
    unit: str
    scale: int
    amount: int
    balance: int
    effective_at: datetime
    booked_at: datetime
    programme: str = ""
    number: str = ""
    total_minor: int | None = None
    actor: str = ""


class Transactions(Result, frozen=True, tag=True, kw_only=True):
    account: int
    transactions: tuple[Transaction, ...]
    more: bool = False


class Turnover(Result, frozen=True, tag=True, kw_only=True):
    """What was bought in the span: receipts, and own money paid for goods."""

    account: int
    visits: int
    turnover_minor: int


class LastPurchase(Result, frozen=True, tag=True, kw_only=True):
    """What was bought on the last day of purchases; ``None`` and 0 where there is none."""

    account: int
    day: date | None
    turnover_minor: int


class WalletCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card with its full number: for far sides that keep copies of cards, never for logs."""

    card_id: int
    number: str
    product: str
    status: str
    issued_at: datetime
    expires_at: datetime | None


class WalletTold(msgspec.Struct, frozen=True, kw_only=True):
    """A wallet as it is now. ``holder_id`` is 0 where nobody is known, and the person's fields are empty then.

    ``accounts``: the numbers it was asked by; its own, or those of wallets that have become part of it.
    """

    account: int
    accounts: tuple[int, ...]
    cards: tuple[WalletCard, ...]
    balances: tuple[Balance, ...]
    holder_id: int = 0
    name: str = ""
    phone: str = ""
    email: str = ""
    birthday: date | None = None
    registered_at: datetime | None = None


class WalletsTold(Result, frozen=True, tag=True, kw_only=True):
    wallets: tuple[WalletTold, ...]


class SubscriptionTold(Result, frozen=True, tag=True, kw_only=True):
    """As Subscribe; empty, and ``changed_at`` None, where nobody has subscribed."""

    address: str = ""
    secret: str = ""
    wishes: str = ""
    changed_at: datetime | None = None


class TokenIssued(Result, frozen=True, tag=True, kw_only=True):
    token: str
    number: str
    expires_at: datetime


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
    """``flags`` tell the operator what was unusual: superseded, card_not_usable, debt, suspense ...

    ``paid``: the lines that cards have paid a part of, as a till prints them.
    """

    operation_id: int
    at: datetime
    cards: tuple[CardMovement, ...] = ()
    flags: tuple[str, ...] = ()
    paid: tuple[PaidLine, ...] = ()


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


class ReceiptReturned(Result, frozen=True, tag=True, kw_only=True):
    """In ``cards`` ``redeemed`` is what was given back and ``earned`` what was taken back; both positive.

    ``keep_back_minor``: money that the till keeps from the refund, for points that were spent already.
    ``sale`` and ``sale_store`` name the receipt that it belongs to, ``base_id`` is its operation; empty without one.
    """

    operation_id: int
    at: datetime
    cards: tuple[CardMovement, ...] = ()
    lines: tuple[ReturnedLine, ...] = ()
    keep_back_minor: int = 0
    sale: str = ""
    sale_store: str = ""
    base_id: int = 0
    flags: tuple[str, ...] = ()


class Exchanged(Result, frozen=True, tag=True, kw_only=True):
    """Both are kept under their own keys; this is never stored."""

    returned: ReceiptReturned
    sold: ReceiptPosted


class HoldPlaced(Result, frozen=True, tag=True, kw_only=True):
    """``available`` is what is left to others; ``paid`` is what the hold would pay of the receipt, by line."""

    hold_id: int
    card: str
    card_id: int
    account: int
    unit: str
    scale: int
    amount: int
    available: int
    at: datetime
    until: datetime
    paid: tuple[PaidLine, ...] = ()


class HoldCaptured(Result, frozen=True, tag=True, kw_only=True):
    """``released`` is what the hold gave back."""

    operation_id: int
    at: datetime
    card: CardMovement
    released: int
    flags: tuple[str, ...] = ()


class HoldReleased(Result, frozen=True, tag=True, kw_only=True):
    """``outcome``: released; nothing (it had ended already); orphan (the hold was never seen).

    ``unit`` and ``scale`` are those of ``amount``; empty and 0 where nothing was released.
    """

    outcome: str
    at: datetime
    amount: int = 0
    unit: str = ""
    scale: int = 0


class Redeemed(Result, frozen=True, tag=True, kw_only=True):
    operation_id: int
    at: datetime
    card: CardMovement
    flags: tuple[str, ...] = ()


class Accrued(Result, frozen=True, tag=True, kw_only=True):
    operation_id: int
    at: datetime
    card: CardMovement
    flags: tuple[str, ...] = ()


class Transferred(Result, frozen=True, tag=True, kw_only=True):
    """``cards``: the source, then the target."""

    operation_id: int
    at: datetime
    cards: tuple[CardMovement, ...]


class GiftCardSold(Result, frozen=True, tag=True, kw_only=True):
    operation_id: int
    at: datetime
    card: CardMovement
    card_id: int
    number: str
    expires_at: datetime | None = None


class PaidOut(Result, frozen=True, tag=True, kw_only=True):
    """``card.redeemed`` is the money to hand over."""

    operation_id: int
    at: datetime
    card: CardMovement
    card_id: int
    status: str


class CardIssued(Result, frozen=True, tag=True, kw_only=True):
    card_id: int
    account: int
    number: str
    status: str


class CardActivated(Result, frozen=True, tag=True, kw_only=True):
    number: str
    at: datetime
    expires_at: datetime | None = None


class CardStatusChanged(Result, frozen=True, tag=True, kw_only=True):
    number: str
    status: str
    at: datetime


class CardReplaced(Result, frozen=True, tag=True, kw_only=True):
    card_id: int
    account: int
    number: str
    old_number: str
    at: datetime


class PinSet(Result, frozen=True, tag=True, kw_only=True):
    number: str
    at: datetime


class Subscribed(Result, frozen=True, tag=True, kw_only=True):
    """``is_on``: whether there is an address."""

    is_on: bool
    at: datetime


class HolderRegistered(Result, frozen=True, tag=True, kw_only=True):
    """``card`` is the number of the card."""

    holder_id: int
    account: int
    card: str = ""


class HolderEnrolled(Result, frozen=True, tag=True, kw_only=True):
    """``outcome``: registered, updated, or nothing (only cards were told of). ``holder_id`` is 0 for a bearer's wallet.

    ``number``: the card that was issued; empty for none.
    """

    outcome: str
    holder_id: int
    account: int
    number: str
    at: datetime


class HolderUpdated(Result, frozen=True, tag=True, kw_only=True):
    holder_id: int
    account: int
    at: datetime


class HoldersMerged(Result, frozen=True, tag=True, kw_only=True):
    """``outcome``: merged, or waiting for ``holds`` open holds. ``account`` is the target's, ``source`` the other.

    ``merge_id`` is the operation that moved the lots.
    """

    outcome: str
    account: int
    source: int
    at: datetime
    merge_id: int = 0
    holds: int = 0


class HolderErased(Result, frozen=True, tag=True, kw_only=True):
    holder_id: int
    at: datetime


class ConsentRecorded(Result, frozen=True, tag=True, kw_only=True):
    consent_id: int
    holder_id: int
    purpose: str
    document: str
    given: bool
    at: datetime


class CodeSent(Result, frozen=True, tag=True, kw_only=True):
    """The code itself is not told; ``phone`` shows its last four digits."""

    code_id: int
    phone: str
    at: datetime
    expires_at: datetime


class CodeChecked(Result, frozen=True, tag=True, kw_only=True):
    purpose: str
    at: datetime


class ToppedUp(Result, frozen=True, tag=True, kw_only=True):
    operation_id: int
    at: datetime
    card: CardMovement


class Adjusted(Result, frozen=True, tag=True, kw_only=True):
    """``outcome``: done; pending (no operation yet, nothing moved); rejected."""

    operation_id: int = 0
    at: datetime
    card: CardMovement
    outcome: str = "done"


class AdjustmentDecided(Result, frozen=True, tag=True, kw_only=True):
    """``outcome``: approved or rejected; ``booked_id`` is the operation, which stands under the key of its Adjust."""

    outcome: str
    at: datetime
    booked_id: int = 0
    card: CardMovement | None = None


class GoodsLearned(Result, frozen=True, tag=True, kw_only=True):
    code: str
    at: datetime


class ReceiptLearned(Result, frozen=True, tag=True, kw_only=True):
    """``is_known``: it counts; not when it was withdrawn."""

    document: str
    at: datetime
    is_known: bool = True


def cards_of(result: Result) -> tuple[CardMovement, ...]:
    """The movements that any stored result tells of; what went to suspense moved no card."""
    cards = getattr(result, "cards", None)
    if cards is None:
        card = getattr(result, "card", None)
        cards = (card,) if isinstance(card, CardMovement) else ()
    return tuple([card for card in cards if card.account])


def accounts_of(result: Result) -> set[int]:
    """The wallets that a stored result tells of."""
    account = getattr(result, "account", None)
    return {moved.account for moved in cards_of(result)} | ({account} if isinstance(account, int) else set())


AnyStoredResult = (
    ReceiptPosted
    | ReceiptVoided
    | ReceiptRestored
    | ReceiptReturned
    | Exchanged
    | HoldPlaced
    | HoldCaptured
    | HoldReleased
    | Redeemed
    | Accrued
    | Transferred
    | GiftCardSold
    | PaidOut
    | CardIssued
    | CardActivated
    | CardStatusChanged
    | CardReplaced
    | PinSet
    | HolderRegistered
    | HolderEnrolled
    | HolderUpdated
    | HoldersMerged
    | HolderErased
    | ConsentRecorded
    | CodeSent
    | CodeChecked
    | ToppedUp
    | Adjusted
    | AdjustmentDecided
    | GoodsLearned
    | ReceiptLearned
    | Subscribed
)
AnyRead = (
    Identified
    | CardsFound
    | Quoted
    | Balances
    | Lots
    | Statement
    | OperationTold
    | ReceiptTold
    | HoldTold
    | HolderTold
    | WalletNamed
    | ChainTold
    | Transactions
    | Turnover
    | LastPurchase
    | WalletsTold
    | SubscriptionTold
    | TokenIssued
)
