"""Holders: who a wallet belongs to, what they agreed to, and how they are forgotten.

Personal data is encrypted under a key of the holder's own and found by blind indexes only; without that key
(``EraseHolder``) it is gone from every backup as well. Sums, cards and entries stay.
"""

from __future__ import annotations

import msgspec

from processing import tables
from processing.accruals import give_event
from processing.cards import activate, masked, new_card
from processing.chain import Product
from processing.commands import (
    EraseHolder,
    GiveConsent,
    Ref,
    RegisterHolder,
    UpdateHolder,
    WithdrawConsent,
)
from processing.errors import BadMessage, HolderExists, HolderNotFound, PhoneTaken
from processing.keys import once
from processing.name_parts import parts
from processing.people import BIRTHDAY, EMAIL, PHONE, Contact, Holder, Person, contacts_of, place, read_field
from processing.results import ConsentRecorded, HolderErased, HolderRegistered, HolderUpdated
from processing.secrets import EXCHANGE_LOG, Vault, new_key, seal
from processing.state import Card, State

NAME = "name"
MAX_PURPOSE = 64
MAX_CHANNEL = 32


def register_holder(state: State, command: RegisterHolder) -> HolderRegistered:
    """A person takes the card's wallet; no entry moves."""

    def do() -> tuple[HolderRegistered, int | None]:
        card = state.card([command.card]) if command.card else None
        if card and card.wallet_id in state.people.holders:
            raise HolderExists("the card has a holder already")
        product = state.directory.product(command.product or (card.product if card else ""))
        contacts = contacts_of(state.vault, command)
        _check_free(state, contacts, None)
        card = card or _new_card(state, command, product)
        holder = Holder(state.ids.take("holder"), card.wallet_id, state.now, None)
        state.people.holders[card.wallet_id] = state.people.changed_holders[holder.id] = holder
        values = {contact.kind: contact.value for contact in contacts}
        values |= {NAME: command.name, BIRTHDAY: command.birthday.isoformat() if command.birthday else ""}
        key = new_key()
        wrapped = state.vault.wrap(key, place("wrapped_key", holder.id))
        _keep_person(state, Person(holder.id, wrapped, b"", None, None, None), key, values)
        _keep_contacts(state, holder.id, contacts)
        _keep_name(state, holder.id, command.name)
        if product.code != card.product:
            card.product = product.code
            state.changed_cards[card.id] = card
        give_event(state, state.store(command.store), card, "registration")
        return HolderRegistered(holder_id=holder.id, account=card.wallet_id, card=card.number), None

    return once(state, command, HolderRegistered, do)


def _new_card(state: State, command: RegisterHolder, product: Product) -> Card:
    """An active card for somebody who has none."""
    card = new_card(state, product, "", (), None)
    activate(state, card, command.store)
    give_event(state, state.store(command.store), card, "activation")
    state.audit(command, "card_issued", masked(card.number), product=product.code, status=card.status)
    return card


def update_holder(state: State, command: UpdateHolder) -> HolderUpdated:
    """What is known of the holder changes; what is not told stays."""

    def do() -> tuple[HolderUpdated, int | None]:
        holder, person = known(state, command.card)
        contacts = contacts_of(state.vault, command)
        _check_free(state, contacts, holder.id)
        given = {PHONE: command.phone, EMAIL: command.email}
        for kind, value in given.items():
            if value is not None:
                _forget_contact(state, holder.id, kind)
        _keep_contacts(state, holder.id, contacts)
        values: dict[str, str] = {kind: "" for kind, value in given.items() if value == ""}
        values |= {contact.kind: contact.value for contact in contacts}
        if command.name is not None:
            values[NAME] = command.name
            _forget_name(state, holder.id)
            _keep_name(state, holder.id, command.name)
        if command.birthday is not None:
            values[BIRTHDAY] = command.birthday.isoformat()
        key = state.vault.unwrap(person.wrapped_key, place("wrapped_key", holder.id))
        _keep_person(state, person, key, values)
        state.audit(command, "holder_updated", f"holder {holder.id}", fields=sorted(values))
        return HolderUpdated(holder_id=holder.id, account=holder.wallet_id, at=state.now), None

    return once(state, command, HolderUpdated, do)


def erase_holder(state: State, command: EraseHolder) -> HolderErased:
    """The person's key, data and contacts go; the wallet stays, without a holder that anybody could name."""

    def do() -> tuple[HolderErased, int | None]:
        holder, person = known(state, command.card)
        sought = [read_field(state.vault, holder.id, person.wrapped_key, *each) for each in _told(person)]
        state.insert(
            tables.erasure,
            {
                "holder_id": holder.id,
                "asked_at": state.now,
                "sought": seal_sought(state.vault, holder.id, sought),
                "log_id": 0,
                "done_at": None,
            },
        )
        _forget_codes(state, holder)
        forget(state, holder)
        holder.erased_at = state.now
        state.people.changed_holders[holder.id] = holder
        state.audit(command, "holder_erased", f"holder {holder.id}", reason=command.reason)
        return HolderErased(holder_id=holder.id, at=state.now), None

    return once(state, command, HolderErased, do)


def _told(person: Person) -> list[tuple[str, bytes]]:
    """What says who somebody is, by column; birthdays alone do not."""
    fields = ((NAME, person.name), (PHONE, person.phone), (EMAIL, person.email))
    return [(column, blob) for column, blob in fields if blob]


def seal_sought(vault: Vault, holder_id: int, sought: list[str]) -> bytes:
    """What the exchange log has to forget, until it has."""
    return vault.encrypt(EXCHANGE_LOG, msgspec.json.encode(sought), f"erasure|sought|{holder_id}".encode())


def open_sought(vault: Vault, holder_id: int, sealed: bytes) -> list[str]:
    """The same in the clear. Errors: SecretsError."""
    told: list[str] = msgspec.json.decode(vault.decrypt(bytes(sealed), f"erasure|sought|{holder_id}".encode()))
    return told


def known(state: State, card: Ref) -> tuple[Holder, Person]:
    """The card's holder and their sealed data. Errors: CardNotFound, HolderNotFound."""
    holder = state.people.holders.get(state.card([card]).wallet_id)
    person = state.people.persons.get(holder.id) if holder else None
    if holder is None or person is None:
        raise HolderNotFound("the card has no holder")
    return holder, person


def forget(state: State, holder: Holder) -> None:
    """Destroy what says who somebody is."""
    for kind in (PHONE, EMAIL):
        _forget_contact(state, holder.id, kind)
    _forget_name(state, holder.id)
    state.people.persons.pop(holder.id, None)
    state.people.changed_persons.pop(holder.id, None)
    state.deletes.setdefault(tables.person, []).append({"holder_id": holder.id})


def _forget_codes(state: State, holder: Holder) -> None:
    """Codes lead to the phone's index: sent ones go with it."""
    people = state.people
    phones = {index.hex() for kind, index in people.contacts.get(holder.id, []) if kind == PHONE}
    for phone in sorted(phones):
        for code in people.codes.pop(phone, []):
            people.changed_codes.pop(code.id, None)
        state.deletes.setdefault(tables.confirmation_code, []).append({"phone_index": phone})


# Contacts and names ----------------------------------------------------------------------------------------


def _check_free(state: State, contacts: list[Contact], holder_id: int | None) -> None:
    """Errors: PhoneTaken."""
    for contact in contacts:
        if state.people.taken.get(contact.index, holder_id) != holder_id:
            raise PhoneTaken(f"another holder has this {contact.kind}", kind=contact.kind)


def _keep_contacts(state: State, holder_id: int, contacts: list[Contact]) -> None:
    for contact in contacts:
        kind, index = contact.index
        state.people.taken[contact.index] = holder_id
        state.people.contacts.setdefault(holder_id, []).append(contact.index)
        state.insert(tables.contact, {"kind": kind, "blind_index": index, "holder_id": holder_id})


def _forget_contact(state: State, holder_id: int, kind: str) -> None:
    people = state.people
    for held in [each for each in people.contacts.get(holder_id, []) if each[0] == kind]:
        people.contacts[holder_id].remove(held)
        people.taken.pop(held, None)
        state.take_out(tables.contact, {"kind": kind, "blind_index": held[1]})


def _keep_name(state: State, holder_id: int, name: str) -> None:
    indexes = sorted(state.vault.blind_index(NAME, part) for part in parts(name))
    state.people.name_parts[holder_id] = indexes
    for index in indexes:
        state.insert(tables.name_part, {"blind_index": index, "holder_id": holder_id})


def _forget_name(state: State, holder_id: int) -> None:
    for index in state.people.name_parts.pop(holder_id, []):
        state.take_out(tables.name_part, {"blind_index": index, "holder_id": holder_id})


# Sealed data -----------------------------------------------------------------------------------------------


def _keep_person(state: State, person: Person, key: bytes, values: dict[str, str]) -> None:
    """Each value under the holder's own key, bound to its place; an empty one is removed."""
    for column, text in values.items():
        sealed = seal(key, text.encode(), place(column, person.holder_id)) if text or column == NAME else None
        setattr(person, column, sealed)
    state.people.persons[person.holder_id] = state.people.changed_persons[person.holder_id] = person


# Consents --------------------------------------------------------------------------------------------------


def give_consent(state: State, command: GiveConsent) -> ConsentRecorded:
    """The holder agrees; a record that is only ever added to."""
    return _consent(state, command, command.document, is_given=True)


def withdraw_consent(state: State, command: WithdrawConsent) -> ConsentRecorded:
    """The holder no longer agrees."""
    return _consent(state, command, "", is_given=False)


def _consent(state: State, command: GiveConsent | WithdrawConsent, document: str, is_given: bool) -> ConsentRecorded:
    def do() -> tuple[ConsentRecorded, int | None]:
        for where, text, most in (
            ("purpose", command.purpose, MAX_PURPOSE),
            ("document", document, MAX_PURPOSE),
            ("channel", command.channel, MAX_CHANNEL),
        ):
            if len(text) > most or (where == "purpose" and not text):
                raise BadMessage(f"1 to {most} characters", where=where)
        holder, _ = known(state, command.card)
        recorded = ConsentRecorded(
            consent_id=state.ids.take("consent"),
            holder_id=holder.id,
            purpose=command.purpose,
            document=document,
            given=is_given,
            at=state.now,
        )
        state.insert(
            tables.consent,
            {
                "id": recorded.consent_id,
                "holder_id": holder.id,
                "purpose": command.purpose,
                "document": document,
                "given": is_given,
                "channel": command.channel,
                "store_id": state.store(command.store).id,
                "actor": command.actor or None,
                "at": state.now,
            },
        )
        return recorded, None

    return once(state, command, ConsentRecorded, do)
