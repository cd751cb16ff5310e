"""Cards: issue, activation, and whether one may be used."""

from __future__ import annotations

from datetime import datetime

from processing import numbers, tables
from processing.commands import ActivateCard, IssueCard, Ref
from processing.errors import (
    Busy,
    CardBlocked,
    CardClosed,
    CardExpired,
    CardNotActive,
    CardNumberTaken,
    CardStatusWrong,
    Refusal,
)
from processing.keys import once
from processing.programme import day_terms
from processing.results import CardActivated, CardIssued
from processing.state import Card, State, canonical

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


def issue_card(state: State, command: IssueCard) -> CardIssued:
    """A card of the product, in a wallet of its own or in another card's."""

    def do() -> tuple[CardIssued, int | None]:
        product = state.directory.product(command.product)
        if command.number:
            numbers.check(product, command.number)
        names = [canonical(ref) for ref in command.identifiers]
        if command.number:
            names.append(canonical(Ref("card", command.number)))
        if any(name in state.cards for name in names):
            raise CardNumberTaken("the number belongs to a card already", product=product.code)
        wallet_id = state.card([command.wallet_of]).wallet_id if command.wallet_of else None
        number = command.number or _spare_number(state, product.code)
        if not command.number:
            names.append(canonical(Ref("card", number)))
        if wallet_id is None:
            wallet_id = state.ids.take("wallet")
            state.locked_wallets.add(wallet_id)
            state.new_wallets.append({"id": wallet_id, "merged_into": None, "created_at": state.now})
            for unit in state.directory.units:
                state.open_account(wallet_id, unit)
        card = Card(state.ids.take("card"), wallet_id, product.code, number, ISSUED, state.now, None, None)
        state.new_cards[card.id] = card
        if command.active:
            _activate(state, card, command.store)
        for name in dict.fromkeys(names):
            state.cards[name] = card
            state.insert(tables.identifier, {"scheme": name.scheme, "value": name.value, "card_id": card.id})
        return CardIssued(card_id=card.id, account=wallet_id, number=number, status=card.status), None

    return once(state, command, CardIssued, do)


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
        _activate(state, card, command.store)
        return CardActivated(number=card.number, at=state.now, expires_at=card.expires_at), None

    return once(state, command, CardActivated, do)


def _activate(state: State, card: Card, store: str) -> None:
    card.status, card.activated_at = ACTIVE, state.now
    valid_days = state.directory.product(card.product).valid_days
    if valid_days is not None:
        card.expires_at = day_terms(state.store(store).zone, state.now, 0, valid_days).expires_at
    state.changed_cards[card.id] = card
