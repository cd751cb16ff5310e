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
    Accrued,
    Adjusted,
    AdjustmentDecided,
    Balances,
    CardActivated,
    CardIssued,
    CardReplaced,
    CardsFound,
    CardStatusChanged,
    ChainTold,
    CodeChecked,
    CodeSent,
    ConsentRecorded,
    Exchanged,
    Explained,
    GiftCardSold,
    GoodsLearned,
    HoldCaptured,
    HolderEnrolled,
    HolderErased,
    HolderRegistered,
    HoldersMerged,
    HolderTold,
    HolderUpdated,
    HoldPlaced,
    HoldReleased,
    HoldTold,
    Identified,
    LastPurchase,
    Lots,
    OperationTold,
    PaidOut,
    PinSet,
    Quoted,
    ReceiptLearned,
    ReceiptPosted,
    ReceiptRestored,
    ReceiptReturned,
    ReceiptTold,
    ReceiptVoided,
    Redeemed,
    Result,
    Statement,
    Subscribed,
    SubscriptionTold,
    TokenIssued,
    ToppedUp,
    Transactions,
    Transferred,
    Turnover,
    WalletNamed,
    WalletsTold,
)

R = TypeVar("R", bound=Result, covariant=True)

MAX_KEY = 255
MAX_KEYS = 8
MAX_CARDS = 16
MAX_LINES = 1_000
# The till has to come back for its hold in this time; longer reservations are renewed.
MAX_HOLD_SECONDS = 30 * 86_400
DEFAULT_HOLD_SECONDS = 900
MAX_WINDOW_SECONDS = 86_400
MAX_PAGE = 500
# Of one ReadWallets.
MAX_WALLETS = 1_000


class Ref(msgspec.Struct, frozen=True):
    """What somebody calls a thing: ``Ref("card", "5550001234")``, ``Ref("barcode", "2100000012345")``.

    Schemes of cards: ``card`` (printed number; leading zeros do not matter), ``barcode``, ``track`` and any
    scheme of an outside system, such as ``onec``. Schemes that lead to a wallet, and there to its newest usable
    card: ``phone`` and ``email`` of its holder, ``holder`` and ``wallet`` (our numbers), ``uuid`` (as NameWallet
    tells it). ``token`` is a QR code that IssueToken has made.
    """

    scheme: str
    value: str


class Ask(msgspec.Struct, Generic[R], frozen=True, tag=True, kw_only=True, omit_defaults=True):
    """Anything the core answers; the type argument is what it answers with.

    Defaults are left out when it is encoded, so that a field added later changes no digest of an old message.
    """


class Query(Ask[R], frozen=True, tag=True, kw_only=True):
    """Answered from committed state, without locks."""


class Command(Ask[R], frozen=True, tag=True, kw_only=True):
    """Writes. ``keys`` are what make it happen once: they are scoped by the store, never by link or caller.

    A command with several keys names one thing in several ways; keys learned later attach to it.
    ``content`` is a digest over what makes two messages the same; empty: the core takes it over the command.

    Tills that send no key tell a ``likeness`` (what makes two messages alike) instead: within ``window_seconds`` of the
    last one alike it is the same again. Commands with versions are not known by it (processing/claims.py).
    """

    store: str
    keys: tuple[str, ...]
    content: str = ""
    actor: str = ""
    likeness: str = ""
    window_seconds: int = 0


class Identify(Query[Identified], frozen=True, tag=True, kw_only=True):
    """Who is this card, and what may it do here and now?

    ``refs`` are names of one card, tried in order. ``order_minor`` is the open order's total where the till
    tells it, so that the answer can respect the redemption limit. ``owner``: what this one holds in the store counts as
    free. ``turnover``: tell also what the wallet has bought so far. Errors: CardNotFound, ForeignStore.
    """

    store: str
    refs: tuple[Ref, ...]
    order_minor: int | None = None
    owner: str = ""
    turnover: bool = False


class ReadBalances(Query[Balances], frozen=True, tag=True, kw_only=True):
    """The wallet's balances at an instant, past or future; ``None`` is now. Errors: CardNotFound."""

    refs: tuple[Ref, ...]
    as_of: datetime | None = None


class Amount(msgspec.Struct, frozen=True):
    """So much of one unit, in its minor units."""

    unit: str
    amount: int


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One position of a receipt. ``sum_minor`` is what it costs after discounts and before tenders.

    Lines that only load value on a card (``top_up``, ``gift_card``) neither earn points nor are paid with them.
    ``minimum_price_minor``: what a piece has to cost by law, where the till knows.
    """

    number: int
    goods: str
    name: str = ""
    category: str = ""
    brand: str = ""
    minimum_price_minor: int = 0
    quantity_thousandths: int = 1000
    price_minor: int = 0
    sum_minor: int
    discount_minor: int = 0
    kind: Literal["goods", "top_up", "gift_card"] = "goods"


class Tender(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a part was paid. Change given back is a negative tender. ``unit`` names the purse of a card."""

    code: str
    kind: Literal["cash", "bank_card", "purse", "other"]
    amount_minor: int
    unit: str = ""
    card: str = ""


class CardUse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one receipt does with one card.

    ``refs`` name the card as in Identify. ``redeem`` are the payments from its purses, positive.
    ``earn`` is what the till has computed; ``None`` leaves it to the programme. ``spend_minor`` is the
    holder's own money, by which the accrual is shared when a receipt names several cards. ``top_up`` is money
    that the guest loads on the card with this receipt. ``hold`` is the request key of a hold of the same store:
    what it pins pays first, and the rest of it is released. ``pin`` is for bearer cards of value. ``paid_minor`` is
    what points have paid of this purchase already, in money: it is booked elsewhere, and earns nothing.
    """

    refs: tuple[Ref, ...]
    redeem: tuple[Amount, ...] = ()
    earn: tuple[Amount, ...] | None = None
    spend_minor: int = 0
    top_up: tuple[Amount, ...] = ()
    hold: str = ""
    pin: str = ""
    paid_minor: int = 0


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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
    cashier: str = ""


class PostReceipt(Command[ReceiptPosted], frozen=True, tag=True, kw_only=True):
    """Redeem, accrue and record one receipt, all or nothing.

    ``stamp`` is the till's own time of this attempt. With ``supersede`` another content under the same key
    is a newer version (it reverses and replaces what was posted) or, with a strictly older stamp, a stale one
    (answered with the current result). ``notes`` are doubts of the adapter that an operator should see.
    ``payment``: it only pays for a purchase that another receipt tells. So it is no visit, no turnover and earns only
    what ``earn`` says; what its hold pins it may pay, for that was placed in sight of the whole purchase
    (PlaceHold.receipt).
    Errors: CardNotFound, CardBlocked, CardExpired, CardNotActive, CardClosed, InsufficientPoints,
    LimitExceeded, AlreadyVoided, KeyReused, UnitNotFound, HoldNotFound, HoldEnded, HoldExpired, PinRequired,
    WrongPin, PinLocked.
    """

    receipt: Receipt
    cards: tuple[CardUse, ...] = ()
    stamp: datetime | None = None
    supersede: bool = False
    fact: bool = False
    notes: tuple[str, ...] = ()
    payment: bool = False


class VoidReceipt(Command[ReceiptVoided], frozen=True, tag=True, kw_only=True):
    """As if the receipt had never been: reverses its own amounts. Before its sale it leaves a tombstone.

    A fact: it is never refused by the rules. ``reason`` tells a failed attempt (rollback) from a cancelled purchase
    (return); only the second can be restored. ``receipts_only``: whoever asks may undo receipts and returns, and
    nothing else. ``supersede``: the void is a version like others, and one with a strictly older stamp than what is
    posted is stale: for events that come in any order. Errors: KeyReused (nothing that can be undone),
    SecondPersonNeeded (a correction that needed two).
    """

    reason: Literal["rollback", "return"]
    stamp: datetime | None = None
    receipts_only: bool = False
    supersede: bool = False


class RestoreReceipt(Command[ReceiptRestored], frozen=True, tag=True, kw_only=True):
    """Undo a void: post again what a void with reason ``return`` has reversed; a shortage becomes debt."""

    stamp: datetime | None = None


class ReturnLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """So much of a sold line comes back: named by the sale's line number, or by the goods where that is 0.

    A till that counts only money tells ``sum_minor`` and no quantity; neither means all that is left.
    """

    number: int = 0
    goods: str = ""
    quantity_thousandths: int | None = None
    sum_minor: int | None = None


class ReturnReceipt(Command[ReceiptReturned], frozen=True, tag=True, kw_only=True):
    """Goods come back: a receipt of its own, in any number of steps, never past what was sold (design law 4).

    ``sale`` is a request key of the sale, of ``sale_store`` where it was sold elsewhere in the chain; who knows only
    the number of the operation that stands there tells ``sale_operation`` instead. ``lines``
    empty: all that is left of it. What the lines earned is taken back and what paid for them is given back, by the
    sale's stored allocation; ``cards`` is not read. Without ``sale`` each of ``cards`` gets back ``redeem`` and
    loses ``earn`` (``None``: what the programme would give for ``receipt`` today).
    Its ``spend_minor`` leaves the wallet's turnover, on the day of the return.
    ``can_deduct``: the till can keep back money for points that are spent already; without it they become debt.
    Errors: ReceiptNotFound (the sale), ReturnExceeds, CardNotFound, AlreadyVoided, KeyReused, UnitNotFound.
    """

    receipt: Receipt
    sale: str = ""
    sale_operation: int | None = None
    sale_store: str = ""
    lines: tuple[ReturnLine, ...] = ()
    cards: tuple[CardUse, ...] = ()
    can_deduct: bool = False
    stamp: datetime | None = None
    supersede: bool = False
    fact: bool = False
    notes: tuple[str, ...] = ()


class Exchange(Command[Exchanged], frozen=True, tag=True, kw_only=True):
    """A return and a sale, both or neither. Each is known by its own keys; ``keys`` of the exchange are not read.

    Errors: those of both.
    """

    keys: tuple[str, ...] = ()
    returned: ReturnReceipt
    sold: PostReceipt


# Holds -----------------------------------------------------------------------------------------------------


class PlaceHold(Command[HoldPlaced], frozen=True, tag=True, kw_only=True):
    """Set aside value of a card until a deadline; its own request key names the hold from then on.

    ``amount`` None: all that is free, be it nothing. ``owner`` is who holds (a till, an order): what it held on
    this account before is released. Without keys it is the owner's lock: asked again it is placed anew, and it is
    named by its card and owner. ``others`` are further names of the card, tried when ``card`` leads nowhere.
    ``order_minor``: no more than the programme lets points pay of it; ``receipt``: the same of an order whose goods
    are known, at the sums that are about to be paid, and the answer tells which lines it would pay. ``paid_minor``:
    what points have paid of that order before, in money. ``supersede``: the key names what is held for one order, be it
    placed, changed, given up and placed again; without it a key names one hold for ever. ``pays`` is the key of the
    receipt for whose attempt of ``stamp`` it is placed: where that was voided nothing is held, and what the owner held
    stays.
    Errors: as PostReceipt for the card; InsufficientPoints, LimitExceeded, BadAmount, WalletMerging, AlreadyVoided.
    """

    keys: tuple[str, ...] = ()
    card: Ref
    others: tuple[Ref, ...] = ()
    unit: str
    amount: int | None = None
    seconds: int = DEFAULT_HOLD_SECONDS
    owner: str = ""
    order_minor: int | None = None
    receipt: Receipt | None = None
    paid_minor: int = 0
    supersede: bool = False
    pin: str = ""
    pays: str = ""
    stamp: datetime | None = None


class CaptureHold(Command[HoldCaptured], frozen=True, tag=True, kw_only=True):
    """Take what is held, or a part of it; the rest is released.

    ``hold`` is the request key of PlaceHold in the same store. After its deadline it takes what is available; a
    shortage becomes debt when it is a fact. Errors: HoldNotFound, HoldEnded (captured, released), HoldExpired
    (late, and not enough is left), BadAmount (more than was held; a fact takes it from what else is there).
    """

    hold: str
    amount: int | None = None
    fact: bool = False


class ReleaseHold(Command[HoldReleased], frozen=True, tag=True, kw_only=True):
    """Give up a hold. Before its PlaceHold it leaves a tombstone. Never refused by the rules.

    Under the hold's own key it is no event of its own: it gives up what is open, as often as it comes, and leaves
    no trace where nothing is.

    Without ``hold`` and keys: whatever ``owner`` holds of the ``card`` in the ``unit``; then CardNotFound is an error.
    """

    keys: tuple[str, ...] = ()
    hold: str = ""
    card: Ref | None = None
    others: tuple[Ref, ...] = ()
    unit: str = ""
    owner: str = ""


# Value without a receipt -----------------------------------------------------------------------------------


class Redeem(Command[Redeemed], frozen=True, tag=True, kw_only=True):
    """Take value off a card against a purchase that is not told. ``amount`` None: all that is free.

    ``owner``: who asks; what this one's lock pins pays first, and the rest of it is free again. A likeness is
    then its owner's, and new as soon as the owner has locked the card anew. ``others`` as in PlaceHold.
    Errors: as PostReceipt.
    """

    keys: tuple[str, ...] = ()
    card: Ref
    others: tuple[Ref, ...] = ()
    unit: str
    amount: int | None = None
    owner: str = ""
    pin: str = ""
    fact: bool = False


class Accrue(Command[Accrued], frozen=True, tag=True, kw_only=True):
    """Give points for something that is not told, on the programme's terms. ``owner`` and ``others`` as in Redeem."""

    keys: tuple[str, ...] = ()
    card: Ref
    others: tuple[Ref, ...] = ()
    amount: Amount
    owner: str = ""
    fact: bool = False


class Transfer(Command[Transferred], frozen=True, tag=True, kw_only=True):
    """Move value from one card's wallet to another's, lots with their terms.

    Errors: as PostReceipt for both cards, SameWallet, InsufficientPoints, BadAmount.
    """

    source: Ref
    target: Ref
    amount: Amount
    reason: str = ""


class SellGiftCard(Command[GiftCardSold], frozen=True, tag=True, kw_only=True):
    """Activate a card of value and load it with what was paid for it; its validity starts now.

    ``card`` is one that was issued, or ``product`` asks for a new one. ``amount`` None: the product's only one.
    ``top_up``: a card that is active already is loaded further, with any amount. ``owner``, ``others`` as in Redeem.
    Errors: CardNotFound, CardStatusWrong (not issued), NotGiftCard, ProductNotFound, BadAmount.
    """

    keys: tuple[str, ...] = ()
    card: Ref | None = None
    others: tuple[Ref, ...] = ()
    product: str = ""
    amount: int | None = None
    top_up: bool = False
    owner: str = ""


class PayOut(Command[PaidOut], frozen=True, tag=True, kw_only=True):
    """Money leaves the card against cash: a deposit's rest, or a gift card's refund.

    ``amount`` None: all that is free. ``close``: the card ends with it. Errors: as PostReceipt, BadAmount
    (points are not paid out).
    """

    card: Ref
    unit: str
    amount: int | None = None
    close: bool = False
    pin: str = ""


# Cards -----------------------------------------------------------------------------------------------------


class IssueCard(Command[CardIssued], frozen=True, tag=True, kw_only=True):
    """A new card of a product with a wallet of its own, or in the wallet of another card.

    ``number`` is for cards that are printed already; without it a number is generated. ``unless``: names of whoever
    shall have it, none of which may lead to a card yet.
    Errors: ProductNotFound, CardNumberTaken, CardNotFound (``wallet_of``), BadAmount (number unfit), RangeFull.
    """

    product: str
    number: str = ""
    wallet_of: Ref | None = None
    unless: tuple[Ref, ...] = ()
    identifiers: tuple[Ref, ...] = ()
    active: bool = False


class ActivateCard(Command[CardActivated], frozen=True, tag=True, kw_only=True):
    """An issued card becomes active; its validity starts. Errors: CardNotFound, CardStatusWrong."""

    card: Ref


class BlockCard(Command[CardStatusChanged], frozen=True, tag=True, kw_only=True):
    """The card can not be used until it is unblocked; its value stays. Errors: CardNotFound, CardStatusWrong."""

    card: Ref
    reason: str


class UnblockCard(Command[CardStatusChanged], frozen=True, tag=True, kw_only=True):
    """A blocked card is active again, and the tries of its PIN start anew. Errors: as BlockCard."""

    card: Ref
    reason: str


class ReplaceCard(Command[CardReplaced], frozen=True, tag=True, kw_only=True):
    """A new card in the same wallet; the old one is replaced for ever.

    ``product`` empty: the old card's. ``number`` and ``identifiers`` as in IssueCard; names of an outside system
    (no card, barcode, track) move to the new card. Errors: CardNotFound, CardStatusWrong (closed or replaced),
    CardNumberTaken, ProductNotFound, BadAmount, RangeFull.
    """

    card: Ref
    product: str = ""
    number: str = ""
    identifiers: tuple[Ref, ...] = ()
    reason: str = ""


class SetPin(Command[PinSet], frozen=True, tag=True, kw_only=True):
    """Give a card a PIN of 4 to 8 digits, or another one; its tries start anew. Errors: CardNotFound, BadMessage."""

    card: Ref
    pin: str


# Holders ---------------------------------------------------------------------------------------------------


class RegisterHolder(Command[HolderRegistered], frozen=True, tag=True, kw_only=True):
    """A person takes the card's wallet; no entry moves. Errors: CardNotFound, HolderExists, PhoneTaken.

    ``phone`` in any usual spelling; it is kept as E.164, encrypted, and found by a blind index. ``product`` makes
    the card one of another product with the same number, as when a bearer card becomes a personal one. ``card`` None:
    a new active card of ``product``; then ProductNotFound, RangeFull.
    """

    card: Ref | None = None
    name: str
    phone: str = ""
    email: str = ""
    birthday: date | None = None
    product: str = ""


class UpdateHolder(Command[HolderUpdated], frozen=True, tag=True, kw_only=True):
    """Change what is known of a holder; ``None`` leaves a field as it is, an empty text removes it.

    Errors: CardNotFound, HolderNotFound, PhoneTaken, BadMessage.
    """

    card: Ref
    name: str | None = None
    phone: str | None = None
    email: str | None = None
    birthday: date | None = None


class EnrolHolder(Command[HolderEnrolled], frozen=True, tag=True, kw_only=True):
    """A person comes in, or what is known of them changes: for outside systems that cannot look first.

    The wallet is the one that ``known`` names, or where that is ``None`` the one to which the phone or one of ``names``
    leads, or a new one. ``names`` are given to a card of it that has one of them already, else to a new active
    card of ``product``, whose number is the one of the scheme ``card`` where that is fit. A wallet without cards
    gets one. ``drop`` names a card of the wallet that is closed; a holder with a phone gets another one for the last.

    ``None`` leaves a field as it is, an empty text removes it; ``details`` are added to what is kept: texts of the
    outside system by names of its own. Without any of them nobody is registered.
    Errors: CardNotFound (``known``, ``drop``), CardNumberTaken (another wallet's card, a card of value, or that of
    somebody with another phone), PhoneTaken, ProductNotFound (of value, too), HolderNotFound (erased; or ``drop``
    would leave nothing), CardStatusWrong (replaced, or a wallet with a card of value), BadMessage.
    """

    known: Ref | None = None
    product: str = ""
    names: tuple[Ref, ...] = ()
    drop: tuple[Ref, ...] = ()
    name: str | None = None
    phone: str | None = None
    email: str | None = None
    birthday: date | None = None
    details: dict[str, str] = {}


class MergeHolders(Command[HoldersMerged], frozen=True, tag=True, kw_only=True):
    """The wallet of ``source`` goes into that of ``target``, with cards, lots and contacts.

    Holds that are open on the source are waited for: until they end nothing new is held there, and a worker
    finishes the merge. Errors: CardNotFound, SameWallet, WalletMerging.
    """

    source: Ref
    target: Ref
    reason: str = ""


class EraseHolder(Command[HolderErased], frozen=True, tag=True, kw_only=True):
    """Forget a person: the key to their data is destroyed; sums, cards and entries stay.

    Errors: CardNotFound, HolderNotFound.
    """

    card: Ref
    reason: str


class GiveConsent(Command[ConsentRecorded], frozen=True, tag=True, kw_only=True):
    """The holder agrees to a purpose in the words of a document's version. Errors: CardNotFound, HolderNotFound."""

    card: Ref
    purpose: str
    document: str
    channel: str = ""


class WithdrawConsent(Command[ConsentRecorded], frozen=True, tag=True, kw_only=True):
    """The holder no longer agrees; the record of the agreement stays. Errors: as GiveConsent."""

    card: Ref
    purpose: str
    channel: str = ""


class SendCode(Command[CodeSent], frozen=True, tag=True, kw_only=True):
    """A code of 6 digits for the phone of the card's holder. Whoever asks makes ``code`` and sends it afterwards.

    Without ``card`` it is for ``phone``, which may be nobody's yet. Valid for five minutes and three tries; per phone 3
    in an hour and 10 in a day.
    Errors: CardNotFound, HolderNotFound (no phone), TooManyCodes, BadMessage (no phone at all).
    """

    card: Ref | None = None
    phone: str = ""
    purpose: str
    code: str


class CheckCode(Command[CodeChecked], frozen=True, tag=True, kw_only=True):
    """Whether this is the code that was sent last for the purpose; it works once. Errors: WrongCode, CodeExpired."""

    card: Ref
    purpose: str
    code: str


# Money and corrections -------------------------------------------------------------------------------------


class TopUp(Command[ToppedUp], frozen=True, tag=True, kw_only=True):
    """Money comes in against cash and lands on the card. Errors: as PostReceipt, BadAmount."""

    card: Ref
    amount: Amount


class Adjust(Command[Adjusted], frozen=True, tag=True, kw_only=True):
    """An operator's correction, with a reason; negative takes away, into debt only with ``allow_debt``.

    ``expires_days`` counts from today in the store's zone; ``None`` never expires. Above the unit's
    ``adjust_limit`` nothing is booked until somebody else approves it (``outcome`` "pending").
    Errors: CardNotFound, CardClosed, InsufficientPoints, BadAmount, UnitNotFound.
    """

    card: Ref
    amount: Amount
    reason: str
    expires_days: int | None = None
    allow_debt: bool = False


class DecideAdjustment(Command[AdjustmentDecided], frozen=True, tag=True, kw_only=True):
    """A second person approves or rejects a pending correction; ``adjustment`` is its request key in this store.

    Errors: AdjustmentNotFound, SecondPersonNeeded (the one who asked), and those of Adjust.
    """

    adjustment: str
    approve: bool


# Goods -----------------------------------------------------------------------------------------------------


class LearnGoods(Command[GoodsLearned], frozen=True, tag=True, kw_only=True):
    """What some system knows of goods: ``code`` is how tills call them in ``Line.goods``, ``names`` how else.

    ``name`` and ``category`` belong together; ``None``: only names are told. A line without a category gets both from
    here, where any programme asks for categories. A key names the goods, and other content under it is newer.
    Errors: BadMessage (a name or code that does not fit).
    """

    code: str
    names: tuple[Ref, ...] = ()
    name: str | None = None
    category: str | None = None


# Receipts of other systems -----------------------------------------------------------------------------------


class LearnReceipt(Command[ReceiptLearned], frozen=True, tag=True, kw_only=True):
    """A receipt that another system keeps, told afterwards: it moves nothing, and is compared with what tills booked.

    ``document`` is the other system's own name of it, ``card_ref`` its name of the card (no number or phone: an id of
    its own, such as a GUID). ``redeemed`` and ``earned`` are minor units of ``unit`` that the receipt says it took off
    the card and brought to it; of a return, what it gives back and takes back. ``sale`` is the document that a return
    is about. ``at`` is when it was closed. ``withdrawn``: it counts no more; one that nobody knows stays unknown.
    A key names the document, and other content under it is newer.
    Errors: BadMessage, BadAmount, TooLarge, UnitNotFound.
    """

    document: str
    unit: str
    at: datetime
    card_ref: Ref | None = None
    redeemed: int = 0
    earned: int = 0
    is_return: bool = False
    sale: str = ""
    till: str = ""
    total_minor: int | None = None
    lines: tuple[Line, ...] = ()
    withdrawn: bool = False


# Outside systems -------------------------------------------------------------------------------------------


class Subscribe(Command[Subscribed], frozen=True, tag=True, kw_only=True):
    """Where an outside system wants to be told of something, kept in the place of what it said before.

    ``subscriber`` is its name in the store. ``secret`` is what it wants to be shown, ``wishes`` are its own words about
    what it wants to hear. An empty ``address`` ends it. Errors: BadMessage.
    """

    subscriber: str
    address: str = ""
    secret: str = ""
    wishes: str = ""


# Queries ---------------------------------------------------------------------------------------------------


class FindCards(Query[CardsFound], frozen=True, tag=True, kw_only=True):
    """Cards by whatever was typed or scanned: a QR token, a number, a phone, an e-mail, a part of a name.

    The list may be empty. A part of a name has at least three letters.
    """

    store: str
    text: str
    limit: int = 20


class Quote(Query[Quoted], frozen=True, tag=True, kw_only=True):
    """What PostReceipt would do with this receipt now, without doing it. ``owner`` as in Identify.

    Errors: as PostReceipt for the cards.
    """

    store: str
    receipt: Receipt
    cards: tuple[CardUse, ...] = ()
    owner: str = ""


class ReadLots(Query[Lots], frozen=True, tag=True, kw_only=True):
    """The wallet's lots at an instant, with what they hold and until when; ``None`` is now. Errors: CardNotFound."""

    refs: tuple[Ref, ...]
    as_of: datetime | None = None


class ReadStatement(Query[Statement], frozen=True, tag=True, kw_only=True):
    """The wallet's movements, newest first, in pages. Errors: CardNotFound, BadMessage (a foreign cursor)."""

    refs: tuple[Ref, ...]
    unit: str = ""
    since: datetime | None = None
    until: datetime | None = None
    cursor: str = ""
    limit: int = 50


class ReadOperation(Query[OperationTold], frozen=True, tag=True, kw_only=True):
    """One operation with its entries and why it was decided so. Errors: OperationNotFound."""

    operation_id: int


class ExplainOperation(Query[Explained], frozen=True, tag=True, kw_only=True):
    """Why each rule of the programmes that decided an operation fired or did not. Errors: OperationNotFound."""

    operation_id: int


class ExplainQuote(Query[Explained], frozen=True, tag=True, kw_only=True):
    """The same for what Quote would say now. Errors: as Quote."""

    store: str
    receipt: Receipt
    cards: tuple[CardUse, ...] = ()


class ReadReceipt(Query[ReceiptTold], frozen=True, tag=True, kw_only=True):
    """The receipt that stands under a key of the store, and what has come back of it. Errors: ReceiptNotFound."""

    store: str
    key: str


class ReadHold(Query[HoldTold], frozen=True, tag=True, kw_only=True):
    """The hold placed under a key of the store. Errors: HoldNotFound."""

    store: str
    key: str


class ReadHolder(Query[HolderTold], frozen=True, tag=True, kw_only=True):
    """The person behind a card, in the clear, with consents and cards. Errors: CardNotFound, HolderNotFound."""

    refs: tuple[Ref, ...]


class NameWallet(Query[WalletNamed], frozen=True, tag=True, kw_only=True):
    """The wallet's UUID, its cards with all their names, its tiers in the store today. Errors: CardNotFound."""

    store: str
    refs: tuple[Ref, ...]


class ReadChain(Query[ChainTold], frozen=True, tag=True, kw_only=True):
    """What a store and its chain are: units, programmes, tiers. Errors: ForeignStore."""

    store: str


class ReadTransactions(Query[Transactions], frozen=True, tag=True, kw_only=True):
    """The wallet's movements in the order in which they were booked, with balances.

    ``since`` and ``until`` are instants of booking, ends included; ``skip`` so many of them. ``after`` is a place in
    the order instead: (revision, operation, entry), and what comes behind it. Whoever asks again behind the last
    that they have seen misses nothing, for a wallet's operations are booked one after another, under its lock.
    Errors: CardNotFound, BadMessage.
    """

    refs: tuple[Ref, ...]
    since: datetime | None = None
    until: datetime | None = None
    after: tuple[int, int, int] | None = None
    skip: int = 0
    limit: int = 50


class ReadTurnover(Query[Turnover], frozen=True, tag=True, kw_only=True):
    """What the wallet has bought from a day of its stores to another; ``None``: ever.

    ``without`` is a key of a receipt of ``store`` that is left out, as while it is rung up anew; one that stands for no
    receipt leaves out nothing. Errors: CardNotFound, ForeignStore (with ``without``).
    """

    refs: tuple[Ref, ...]
    since: date | None = None
    until: date | None = None
    store: str = ""
    without: str = ""


class ReadLastPurchase(Query[LastPurchase], frozen=True, tag=True, kw_only=True):
    """The last day, up to ``until``, on which the wallet has bought anything. The others as in ReadTurnover."""

    refs: tuple[Ref, ...]
    until: date | None = None
    store: str = ""
    without: str = ""


class ReadWallets(Query[WalletsTold], frozen=True, tag=True, kw_only=True):
    """What a far side that keeps a copy is told of wallets: cards, holders in the clear, balances, all as of now.

    ``accounts`` are numbers of wallets, MAX_WALLETS at most; one that was merged leads to what it became part of, one
    that nobody has is left out. With ``after`` it is the next ``limit`` wallets with cards behind this number instead.
    Errors: BadMessage.
    """

    accounts: tuple[int, ...] = ()
    after: int | None = None
    limit: int = 100


class ReadSubscription(Query[SubscriptionTold], frozen=True, tag=True, kw_only=True):
    """What a subscriber of the store has said last, with its secret: for its own adapter. Errors: ForeignStore."""

    store: str
    subscriber: str


class IssueToken(Query[TokenIssued], frozen=True, tag=True, kw_only=True):
    """A signed name of the card for a QR code, good for a few minutes. Errors: CardNotFound."""

    refs: tuple[Ref, ...]
    seconds: int = 300


AnyCommand = (
    PostReceipt
    | VoidReceipt
    | RestoreReceipt
    | ReturnReceipt
    | Exchange
    | PlaceHold
    | CaptureHold
    | ReleaseHold
    | Redeem
    | Accrue
    | Transfer
    | SellGiftCard
    | PayOut
    | IssueCard
    | ActivateCard
    | BlockCard
    | UnblockCard
    | ReplaceCard
    | SetPin
    | RegisterHolder
    | UpdateHolder
    | EnrolHolder
    | MergeHolders
    | EraseHolder
    | GiveConsent
    | WithdrawConsent
    | SendCode
    | CheckCode
    | TopUp
    | Adjust
    | DecideAdjustment
    | LearnGoods
    | LearnReceipt
    | Subscribe
)
AnyQuery = (
    Identify
    | FindCards
    | Quote
    | ReadBalances
    | ReadLots
    | ReadStatement
    | ReadOperation
    | ExplainOperation
    | ExplainQuote
    | ReadReceipt
    | ReadHold
    | ReadHolder
    | NameWallet
    | ReadChain
    | ReadTransactions
    | ReadTurnover
    | ReadLastPurchase
    | ReadWallets
    | ReadSubscription
    | IssueToken
)
