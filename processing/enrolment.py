"""EnrolHolder: a person comes in, or changes, by one command, for outside systems that cannot look first."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from processing import tables
from processing.accruals import give_event
from processing.cards import ACTIVE, CLOSED, REPLACED, activate, masked, new_card
from processing.chain import Product
from processing.commands import EnrolHolder, Ref
from processing.errors import (
    BadAmount,
    BadMessage,
    Busy,
    CardNotFound,
    CardNumberTaken,
    CardStatusWrong,
    HolderNotFound,
    ProductNotFound,
)
from processing.holders import change_person, check_free, open_holder, told_of
from processing.keys import once
from processing.numbers import check
from processing.people import DETAILS, PHONE, Contact, Holder, contacts_of, decode_details, read_field
from processing.results import HolderEnrolled
from processing.state import DERIVED, Card, State, canonical

MAX_NAMES = 8
MAX_DETAILS = 64
MAX_DETAIL_NAME, MAX_DETAIL = 64, 4_000
# All that an outside system may keep of one person, as JSON.
MAX_DETAILS_BYTES = 16_000

CARD = "card"
# Statuses of cards that nobody uses any more.
GONE = (CLOSED, REPLACED)
REGISTERED, UPDATED, NOTHING = "registered", "updated", "nothing"


@dataclass(frozen=True, slots=True)
class _Found:
    """Whom a command is about: a wallet that there is, or ``None``; its holder; the fields that it tells."""

    wallet_id: int | None
    holder: Holder | None
    contacts: list[Contact]
    told: dict[str, str]


def enrol_holder(state: State, command: EnrolHolder) -> HolderEnrolled:
    """Find the wallet or open one, give it cards and take one away, write down what is told of the person."""

    def do() -> tuple[HolderEnrolled, int | None]:
        _check(command)
        found = _found(state, command)
        names = _names(state, command, found.wallet_id)
        dropped = _dropped(state, command, found)
        product = _product(state, command, found, names, dropped)
        # The last that may be refused: a product may have no number to give.
        issued = _issue(state, command, product, names, found.wallet_id) if product is not None else None
        if issued is None:
            _name(state, command, names)
        if dropped is not None:
            dropped.status = CLOSED
            state.changed_cards[dropped.id] = dropped
            state.audit(command, "card_closed", masked(dropped.number))
        wallet_id = found.wallet_id if issued is None else issued.wallet_id
        assert wallet_id is not None
        outcome, holder_id = _keep(state, command, found, wallet_id, issued)
        return HolderEnrolled(
            outcome=outcome,
            holder_id=holder_id,
            account=wallet_id,
            number=issued.number if issued else "",
            at=state.now,
        ), None

    return once(state, command, HolderEnrolled, do)


def _check(command: EnrolHolder) -> None:
    """Errors: BadMessage for more than anybody needs, or nobody in particular."""
    if max(len(command.names), len(command.drop)) > MAX_NAMES or any(
        canonical(ref).scheme in DERIVED for ref in command.names
    ):
        raise BadMessage(f"up to {MAX_NAMES} names of a card", where="names")
    if command.known is None and not (command.names or command.phone or command.email):
        raise BadMessage("somebody who is known, a phone, an e-mail or a card", where="known")
    sizes = [(len(name), len(text)) for name, text in command.details.items()]
    if len(sizes) > MAX_DETAILS or any(a > MAX_DETAIL_NAME or b > MAX_DETAIL for a, b in sizes):
        raise BadMessage(f"up to {MAX_DETAILS} details of {MAX_DETAIL} characters", where="details")


def _found(state: State, command: EnrolHolder) -> _Found:
    """Errors: CardNotFound, HolderNotFound (erased), PhoneTaken, BadMessage."""
    contacts, told = contacts_of(state.vault, command), told_of(command)
    wallet_id = _wallet(state, command, contacts)
    holder = state.people.holders.get(wallet_id) if wallet_id is not None else None
    if holder is not None and holder.id not in state.people.persons:
        raise HolderNotFound("the wallet's holder was erased")
    check_free(state, contacts, holder.id if holder else None)
    if holder is not None and command.known is None and _is_somebody_else(state, holder, contacts):
        raise CardNumberTaken("the card belongs to somebody with another phone")
    if command.details:
        told[DETAILS] = _details(state, command, holder)
    return _Found(wallet_id, holder, contacts, told)


def _wallet(state: State, command: EnrolHolder, contacts: list[Contact]) -> int | None:
    """The wallet that is meant: who is known, whose the contacts are, whose the card is. Errors: CardNotFound, Busy."""
    if command.known is not None:
        return state.card([command.known]).wallet_id
    for contact in contacts:
        owner = state.people.taken.get(contact.index)
        if owner is not None:
            wallets = [holder.wallet_id for holder in state.people.holders.values() if holder.id == owner]
            if not wallets:
                raise Busy("somebody with this contact came in meanwhile")
            return wallets[0]
    cards = [state.cards[name] for ref in command.names if (name := canonical(ref)) in state.cards]
    return cards[0].wallet_id if cards else None


def _is_somebody_else(state: State, holder: Holder, contacts: list[Contact]) -> bool:
    """Whether a holder whom a card has led to has phones, and not the one that is told."""
    theirs = {index for index in state.people.contacts.get(holder.id, []) if index[0] == PHONE}
    told = {contact.index for contact in contacts if contact.kind == PHONE}
    return bool(theirs and told) and not theirs & told


def _details(state: State, command: EnrolHolder, holder: Holder | None) -> str:
    """What is kept, with what is told now; as JSON. Errors: BadMessage."""
    kept: dict[str, str] = {}
    if holder is not None:
        person = state.people.persons[holder.id]
        blob = person.details
        kept = decode_details(read_field(state.vault, holder.id, person.wrapped_key, DETAILS, blob) if blob else "")
    kept = {name: text for name, text in (kept | command.details).items() if text}
    encoded = msgspec.json.encode(kept)
    if len(encoded) > MAX_DETAILS_BYTES:
        raise BadMessage(f"up to {MAX_DETAILS_BYTES} bytes of details", where="details")
    return encoded.decode() if kept else ""


# Cards -----------------------------------------------------------------------------------------------------


def _names(state: State, command: EnrolHolder, wallet_id: int | None) -> list[Ref]:
    """The names as they are kept. Errors: CardNumberTaken for one of another wallet's card, or of a card of value:
    whoever knows its number is not its owner yet; CardStatusWrong for a replaced one."""
    names = list(dict.fromkeys(map(canonical, command.names)))
    for card in [state.cards[name] for name in names if name in state.cards]:
        if card.wallet_id != wallet_id or state.directory.product(card.product).value:
            raise CardNumberTaken("the number belongs to another card")
        if card.status == REPLACED:
            raise CardStatusWrong(f"the card is {card.status}", status=card.status)
    return names


def _dropped(state: State, command: EnrolHolder, found: _Found) -> Card | None:
    """The card to close. Errors: CardNotFound, CardStatusWrong."""
    if not command.drop:
        return None
    card = state.card(command.drop)
    if card.wallet_id != found.wallet_id or card.status in GONE:
        raise CardNotFound("the wallet has no such card", scheme=command.drop[0].scheme)
    if state.directory.product(card.product).value:
        raise CardStatusWrong("a card of value is paid out or blocked", status=card.status)
    return card


def _product(state: State, command: EnrolHolder, found: _Found, names: list[Ref], dropped: Card | None) -> str | None:
    """Of which kind a card is to be issued; ``None``: none is.

    Errors: ProductNotFound, HolderNotFound, CardStatusWrong: beside a card of value another one would pay without
    its PIN.
    """
    mine = [card for card in state.cards_by_id.values() if card.wallet_id == found.wallet_id]
    left = [card for card in mine if card is not dropped and card.status not in GONE]
    if dropped is not None and not left and not _has_phone(state, found):
        raise HolderNotFound("the only card of somebody without a phone")
    is_new_to_all = bool(names) and not any(name in state.cards for name in names)
    if not is_new_to_all and (left or names):
        return None
    if state.directory.product(command.product).value:
        raise ProductNotFound("a person's card carries no money", product=command.product)
    for card in mine:
        if state.directory.product(card.product).value:
            raise CardStatusWrong("a wallet with a card of value gets no other", status=card.status)
    return command.product


def _has_phone(state: State, found: _Found) -> bool:
    kinds = {kind for kind, _ in state.people.contacts.get(found.holder.id, [])} if found.holder else set()
    return PHONE in kinds or any(contact.kind == PHONE for contact in found.contacts)


def _issue(state: State, command: EnrolHolder, product: str, names: list[Ref], wallet_id: int | None) -> Card:
    """A new active card that has these names; of a number that is fit for the product it is the number."""
    kind = state.directory.product(product)
    number = next((name.value for name in names if name.scheme == CARD and _is_fit(kind, name.value)), "")
    card = new_card(state, kind, number, names, wallet_id)
    activate(state, card, command.store)
    give_event(state, state.store(command.store), card, "activation")
    state.audit(command, "card_issued", masked(card.number), product=product, status=ACTIVE)
    return card


def _is_fit(product: Product, number: str) -> bool:
    try:
        check(product, number)
    except BadAmount:
        return False
    return True


def _name(state: State, command: EnrolHolder, names: list[Ref]) -> None:
    """Names that nobody has go to the card that has another of them; one that was dropped is back."""
    card = next((state.cards[name] for name in names if name in state.cards), None)
    if card is None:
        return
    for name in names:
        if name not in state.cards:
            state.cards[name] = card
            state.insert(tables.identifier, {"scheme": name.scheme, "value": name.value, "card_id": card.id})
    if card.status == CLOSED:
        card.status = ACTIVE
        state.changed_cards[card.id] = card
        state.audit(command, "card_reopened", masked(card.number))


# The person ------------------------------------------------------------------------------------------------


def _keep(state: State, command: EnrolHolder, found: _Found, wallet_id: int, issued: Card | None) -> tuple[str, int]:
    """Write down what is told; what became of it, and the holder's number, 0 for nobody."""
    if not any(found.told.values()) and found.holder is None:
        return NOTHING, 0
    if found.holder is None:
        holder = open_holder(state, wallet_id, found.contacts, found.told)
        card = issued or next(card for card in state.cards_by_id.values() if card.wallet_id == wallet_id)
        give_event(state, state.store(command.store), card, "registration")
        return REGISTERED, holder.id
    if not found.told:
        return NOTHING, found.holder.id
    values = change_person(state, state.people.persons[found.holder.id], found.contacts, found.told)
    state.audit(command, "holder_updated", f"holder {found.holder.id}", fields=sorted(values))
    return UPDATED, found.holder.id
