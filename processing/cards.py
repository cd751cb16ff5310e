"""Cards: issue, activation, statuses, PINs, and whether one may be used."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime

from processing import numbers, tables
from processing.accruals import give_event
from processing.chain import Product
from processing.commands import ActivateCard, BlockCard, IssueCard, Ref, ReplaceCard, SetPin, UnblockCard
from processing.errors import (
    BadMessage,
    Busy,
    CardBlocked,
    CardClosed,
    CardExpired,
    CardNotActive,
    CardNumberTaken,
    CardStatusWrong,
    PinLocked,
    PinRequired,
    RangeFull,
    Refusal,
    WrongPin,
)
from processing.keys import once
from processing.programme.terms import day_terms
from processing.results import (
    CardActivated,
    CardIssued,
    CardReplaced,
    CardStatusChanged,
    GiftCardSold,
    PaidOut,
    PinSet,
    Result,
)
from processing.state import DERIVED, Card, State, canonical

# What stands on the card itself, and stays with it when it is replaced.
PRINTED = ("card", "barcode", "track")

PIN_TRIES = 3
PIN_DIGITS = (4, 8)

ISSUED, ACTIVE, BLOCKED, EXPIRED, REPLACED, CLOSED = (
    "issued",
    "active",
    "blocked",
    "expired",
    "replaced",
    "closed",
)


def why_unusable(status: str, expires_at: datetime | None, now: datetime) -> type[Refusal] | None:
    """The refusal that a card with this status meets; None when it may be used."""
    if status == ISSUED:
        return CardNotActive
    if status == BLOCKED:
        return CardBlocked
    if status in (REPLACED, CLOSED):
        return CardClosed
    if status == EXPIRED or (expires_at is not None and expires_at <= now):
        return CardExpired
    return None


def check_usable(card: Card, now: datetime) -> None:
    """Errors: CardNotActive, CardBlocked, CardClosed, CardExpired."""
    refusal = why_unusable(card.status, card.expires_at, now)
    if refusal is not None:
        raise refusal()


def pays_with_pin(state: State, card: Card) -> bool:
    return card.pin is not None or state.directory.product(card.product).pin


def check_pin(state: State, card: Card, pin: str) -> None:
    """A card of value pays with its PIN. Errors: PinRequired, WrongPin, PinLocked.

    A wrong one counts although it is a refusal; the same wrong one sent again tells nobody anything and does not.
    """
    if not pays_with_pin(state, card):
        return
    if not pin or card.pin is None:
        raise PinRequired("this card pays with its PIN")
    if card.pin_tries >= PIN_TRIES:
        raise PinLocked("the PIN was wrong too often")
    told = pin_digest(state, card, pin)
    if hmac.compare_digest(told, card.pin):
        if card.pin_tries:
            _forget_tries(state, card)
        return
    if told != card.pin_wrong:
        card.pin_tries, card.pin_wrong = card.pin_tries + 1, told
        state.changed_cards[card.id] = card
    if card.pin_tries >= PIN_TRIES:
        raise PinLocked("the PIN was wrong too often")
    raise WrongPin("the PIN is wrong", left=PIN_TRIES - card.pin_tries)


def pin_digest(state: State, card: Card, pin: str) -> str:
    return state.vault.blind_index("pin", f"{card.id}|{pin}").hex()


def _forget_tries(state: State, card: Card) -> None:
    card.pin_tries, card.pin_wrong = 0, None
    state.changed_cards[card.id] = card


def issue_card(state: State, command: IssueCard) -> CardIssued:
    """A card of the product, in a wallet of its own or in another card's."""

    def do() -> tuple[CardIssued, int | None]:
        product = state.directory.product(command.product)
        if any(canonical(ref) in state.cards for ref in command.unless):
            raise CardNumberTaken("whoever shall have it has a card already", product=product.code)
        wallet_id = state.card([command.wallet_of]).wallet_id if command.wallet_of else None
        card = new_card(state, product, command.number, command.identifiers, wallet_id)
        if command.active:
            activate(state, card, command.store)
            give_event(state, state.store(command.store), card, "activation")
        state.audit(command, "card_issued", masked(card.number), product=product.code, status=card.status)
        return CardIssued(card_id=card.id, account=card.wallet_id, number=card.number, status=card.status), None

    return once(state, command, CardIssued, do)


def new_card(state: State, product: Product, number: str, identifiers: Sequence[Ref], wallet_id: int | None) -> Card:
    """A card that is issued, in the wallet or in one of its own; refusals come before the first change.

    Errors: BadAmount (the number does not fit), CardNumberTaken, RangeFull, Busy.
    """
    if number:
        numbers.check(product, number)
    names = [canonical(ref) for ref in identifiers]
    if number:
        names.append(canonical(Ref("card", number)))
    if any(name in state.cards for name in names):
        raise CardNumberTaken("the number belongs to a card already", product=product.code)
    if any(name.scheme in DERIVED for name in names):
        raise BadMessage("these names are not given to cards", where="identifiers")
    if product.value and not product.pin and state.issued.get(product.code, 0) >= numbers.capacity(product):
        raise RangeFull("as many cards as these numbers can carry", product=product.code)
    number = number or _spare_number(state, product.code)
    names.append(canonical(Ref("card", number)))
    if wallet_id is None:
        wallet_id = state.open_wallet()
    card = Card(state.ids.take("card"), wallet_id, product.code, number, ISSUED, state.now, None, None)
    state.new_cards[card.id] = state.cards_by_id[card.id] = card
    state.issued[product.code] = state.issued.get(product.code, 0) + 1
    for name in dict.fromkeys(names):
        state.cards[name] = card
        state.insert(tables.identifier, {"scheme": name.scheme, "value": name.value, "card_id": card.id})
    return card


def masked(number: str) -> str:
    """A card as logs may name it: its last four digits."""
    return f"***{number[-4:]}"


def _spare_number(state: State, product: str) -> str:
    """A generated number that nobody has. Errors: Busy, and the batch comes with new candidates."""
    spare = state.spare_numbers.get(product)
    if not spare:
        raise Busy("all generated numbers were taken", product=product)
    return spare.pop()


def activate_card(state: State, command: ActivateCard) -> CardActivated:
    """An issued card becomes active."""

    def do() -> tuple[CardActivated, int | None]:
        card = state.card([command.card])
        if card.status != ISSUED:
            raise CardStatusWrong(f"the card is {card.status}", status=card.status)
        activate(state, card, command.store)
        give_event(state, state.store(command.store), card, "activation")
        state.audit(command, "card_activated", masked(card.number))
        return CardActivated(number=card.number, at=state.now, expires_at=card.expires_at), None

    return once(state, command, CardActivated, do)


def activate(state: State, card: Card, store: str) -> None:
    """The card is active from now on; its validity starts."""
    card.status, card.activated_at = ACTIVE, state.now
    valid_days = state.directory.product(card.product).valid_days
    if valid_days is not None:
        card.expires_at = day_terms(state.store(store).zone, state.now, 0, valid_days).expires_at
    state.changed_cards[card.id] = card


def block_card(state: State, command: BlockCard) -> CardStatusChanged:
    """An active or issued card cannot be used any more, until it is unblocked."""
    return _change_status(state, command, (ISSUED, ACTIVE), BLOCKED, "card_blocked")


def unblock_card(state: State, command: UnblockCard) -> CardStatusChanged:
    """A blocked card can be used again; one that was blocked before its activation has still to be activated."""
    return _change_status(state, command, (BLOCKED, ACTIVE), ACTIVE, "card_unblocked")


def _change_status(
    state: State, command: BlockCard | UnblockCard, before: tuple[str, ...], status: str, action: str
) -> CardStatusChanged:
    def do() -> tuple[CardStatusChanged, int | None]:
        card = state.card([command.card])
        is_pin_locked = card.pin_tries >= PIN_TRIES
        if card.status not in before or (status == card.status and not is_pin_locked):
            raise CardStatusWrong(f"the card is {card.status}", status=card.status)
        card.status = ISSUED if status == ACTIVE and card.activated_at is None else status
        if status == ACTIVE:
            _forget_tries(state, card)
        state.changed_cards[card.id] = card
        state.audit(command, action, masked(card.number), reason=command.reason)
        return CardStatusChanged(number=card.number, status=card.status, at=state.now), None

    return once(state, command, CardStatusChanged, do)


def replace_card(state: State, command: ReplaceCard) -> CardReplaced:
    """A new card takes the old one's place in its wallet."""

    def do() -> tuple[CardReplaced, int | None]:
        old = state.card([command.card])
        if old.status in (REPLACED, CLOSED):
            raise CardStatusWrong(f"the card is {old.status}", status=old.status)
        product = state.directory.product(command.product or old.product)
        card = new_card(state, product, command.number, command.identifiers, old.wallet_id)
        if old.activated_at is not None:
            activate(state, card, command.store)
        if product.value:
            card.expires_at = old.expires_at
        card.pin = None
        old.status = REPLACED
        state.changed_cards[old.id] = old
        state.moved_names.append((old.id, card.id))
        for name, found in state.cards.items():
            if found is old and name.scheme not in PRINTED:
                state.cards[name] = card
        state.audit(command, "card_replaced", masked(old.number), by=masked(card.number), reason=command.reason)
        return CardReplaced(
            card_id=card.id, account=card.wallet_id, number=card.number, old_number=old.number, at=state.now
        ), None

    return once(state, command, CardReplaced, do)


def set_pin(state: State, command: SetPin) -> PinSet:
    """The card has this PIN from now on. Only its HMAC is kept."""

    def do() -> tuple[PinSet, int | None]:
        if not (PIN_DIGITS[0] <= len(command.pin) <= PIN_DIGITS[1] and command.pin.isascii() and command.pin.isdigit()):
            raise BadMessage(f"a PIN has {PIN_DIGITS[0]} to {PIN_DIGITS[1]} digits", where="pin")
        card = state.card([command.card])
        card.pin = pin_digest(state, card, command.pin)
        _forget_tries(state, card)
        state.audit(command, "pin_set", masked(card.number))
        return PinSet(number=card.number, at=state.now), None

    return once(state, command, PinSet, do)


def undo_status(state: State, undone: Result, went_into_debt: bool) -> None:
    """A card whose sale is undone waits to be sold again; one that this paying out has closed is open again.

    A gift card that was spent before its sale was undone owes what it spent, and is blocked. What somebody else has
    done to the card since stands: one that was blocked stays so, and was never activated.
    """
    card = state.cards_by_id.get(getattr(undone, "card_id", 0))
    if card is None:
        return
    if isinstance(undone, GiftCardSold) and card.status in (ACTIVE, BLOCKED):
        if card.status == ACTIVE:
            card.status = BLOCKED if went_into_debt else ISSUED
        card.activated_at = card.expires_at = None
        state.changed_cards[card.id] = card
    elif isinstance(undone, PaidOut) and undone.status == CLOSED and card.status == CLOSED:
        card.status = ACTIVE
        state.changed_cards[card.id] = card
