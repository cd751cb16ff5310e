"""Holders: who a wallet belongs to. Personal data is encrypted and found by blind indexes only."""

from __future__ import annotations

from dataclasses import dataclass

from processing import tables
from processing.commands import RegisterHolder
from processing.errors import BadMessage, HolderExists, PhoneTaken
from processing.keys import once
from processing.results import HolderRegistered
from processing.secrets import Vault, new_key, normalise_email, normalise_phone, seal, unseal
from processing.state import State

PHONE, EMAIL = "phone", "email"


@dataclass(frozen=True, slots=True)
class Contact:
    """A phone (E.164) or e-mail (lower case), and where it is looked for."""

    kind: str
    value: str
    index: tuple[str, bytes]


def contacts_of(vault: Vault, command: RegisterHolder) -> list[Contact]:
    """The person's contacts in their one spelling. Errors: BadMessage."""
    found = []
    for kind, text, normalise in (
        (PHONE, command.phone, normalise_phone),
        (EMAIL, command.email, normalise_email),
    ):
        if text:
            try:
                value = normalise(text)
            except ValueError:
                raise BadMessage(f"not a valid {kind}", where=kind) from None
            found.append(Contact(kind, value, (kind, vault.blind_index(kind, value))))
    return found


def register_holder(state: State, command: RegisterHolder) -> HolderRegistered:
    """A person takes the card's wallet; no entry moves."""

    def do() -> tuple[HolderRegistered, int | None]:
        card = state.card([command.card])
        if card.wallet_id in state.holders:
            raise HolderExists("the card has a holder already")
        contacts = contacts_of(state.vault, command)
        for contact in contacts:
            if contact.index in state.contacts:
                raise PhoneTaken(f"another holder has this {contact.kind}", kind=contact.kind)
        holder_id = state.ids.take("holder")
        state.holders[card.wallet_id] = holder_id
        state.insert(tables.holder, {"id": holder_id, "wallet_id": card.wallet_id, "created_at": state.now})
        state.insert(tables.person, _person(state.vault, holder_id, command, contacts))
        for contact in contacts:
            state.contacts[contact.index] = holder_id
            state.insert(
                tables.contact,
                {"kind": contact.kind, "blind_index": contact.index[1], "holder_id": holder_id},
            )
        return HolderRegistered(holder_id=holder_id, account=card.wallet_id), None

    return once(state, command, HolderRegistered, do)


def _person(vault: Vault, holder_id: int, command: RegisterHolder, contacts: list[Contact]) -> dict[str, object]:
    """The row of personal data, each field under the holder's own key, bound to its place."""
    key = new_key()
    values = {contact.kind: contact.value for contact in contacts}

    def sealed(column: str, text: str | None) -> bytes | None:
        return None if not text else seal(key, text.encode(), _place(column, holder_id))

    return {
        "holder_id": holder_id,
        "wrapped_key": vault.wrap(key, _place("wrapped_key", holder_id)),
        "name": seal(key, command.name.encode(), _place("name", holder_id)),
        "phone": sealed("phone", values.get(PHONE)),
        "email": sealed("email", values.get(EMAIL)),
        "birthday": sealed("birthday", command.birthday.isoformat() if command.birthday else None),
    }


def read_field(vault: Vault, holder_id: int, wrapped_key: bytes, column: str, blob: bytes) -> str:
    """One field of personal data in the clear."""
    key = vault.unwrap(bytes(wrapped_key), _place("wrapped_key", holder_id))
    return unseal(key, bytes(blob), _place(column, holder_id)).decode()


def _place(column: str, holder_id: int) -> bytes:
    return f"person|{column}|{holder_id}".encode()
