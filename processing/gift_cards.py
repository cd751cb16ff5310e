"""Gift cards: a bearer's card of value, activated and loaded in one step when it is sold.

Everything else about them is what other cards do: they pay as a purse of a receipt or by Redeem, are refunded by
PayOut with ``close``, blocked, and expire with their lot.
"""

from __future__ import annotations

from processing.accruals import accrue, money_terms
from processing.cards import ACTIVE, ISSUED, activate, check_usable, masked, new_card
from processing.chain import Product
from processing.commands import SellGiftCard
from processing.directory import CASH
from processing.errors import BadAmount, BadMessage, CardStatusWrong, NotGiftCard
from processing.keys import once
from processing.plans import movement
from processing.results import GiftCardSold
from processing.state import Card, State, card_names
from processing.units import MAX_AMOUNT


def sell_gift_card(state: State, command: SellGiftCard) -> GiftCardSold:
    """The card is active from now on and holds what was paid for it, until its validity ends."""

    def do() -> tuple[GiftCardSold, int | None]:
        if (command.card is None) == (not command.product):
            raise BadMessage("a card or a product is sold", where="card")
        known = state.card(card_names(command)) if command.card is not None else None
        product = state.directory.product(known.product if known else command.product)
        if not product.value or not product.value_unit:
            raise NotGiftCard("the product carries no value", product=product.code)
        is_further = command.top_up and known is not None and known.status != ISSUED
        amount = _further(command, product) if is_further else _amount(product, command.amount)
        card = _card(state, command, product, known)
        store = state.store(command.store)
        account = state.account(card.wallet_id, product.value_unit)
        state.unlock(state.locks(account, command))
        if not is_further:
            activate(state, card, command.store)
        postings = accrue(state, store, account, amount, money_terms(state, store, card, state.now), {})
        postings.append(state.system(store.partner_id, CASH, account.unit, -amount))
        operation_id = state.post("gift_sale", store, postings, actor=command.actor)
        return GiftCardSold(
            operation_id=operation_id,
            at=state.now,
            card=movement(state, account, card.number, 0, amount),
            card_id=card.id,
            number=card.number,
            expires_at=card.expires_at,
        ), operation_id

    return once(state, command, GiftCardSold, do)


def _card(state: State, command: SellGiftCard, product: Product, known: Card | None) -> Card:
    """The card to sell, issued now where only its product was named. Errors: CardStatusWrong, RangeFull."""
    if known is not None:
        if command.top_up and known.status != ISSUED:
            check_usable(known, state.now)
        elif known.status != ISSUED:
            raise CardStatusWrong(f"the card is {known.status}", status=known.status)
        return known
    card = new_card(state, product, "", (), None)
    state.audit(command, "card_issued", masked(card.number), product=product.code, status=ACTIVE)
    return card


def _further(command: SellGiftCard, product: Product) -> int:
    """What is loaded on a card that was sold before. Errors: BadAmount."""
    if command.amount is None or not 0 < command.amount <= MAX_AMOUNT:
        raise BadAmount("an amount must be positive", product=product.code, unit=product.value_unit)
    return command.amount


def _amount(product: Product, asked: int | None) -> int:
    """What the card is sold for. Errors: BadAmount."""
    if asked is None and len(product.amounts) == 1:
        return product.amounts[0]
    is_fit = asked is not None and (
        asked in product.amounts if product.amounts else product.least_amount <= asked <= product.most_amount
    )
    if asked is None or not is_fit:
        raise BadAmount("the card is not sold for this amount", product=product.code, unit=product.value_unit)
    return asked
