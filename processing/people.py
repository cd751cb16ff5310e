"""What a batch knows of the people behind its wallets: holders, contacts, codes; sealed until somebody opens it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection

from processing import tables
from processing.commands import (
    CheckCode,
    Command,
    EnrolHolder,
    EraseHolder,
    GiveConsent,
    MergeHolders,
    RegisterHolder,
    SendCode,
    UpdateHolder,
    WithdrawConsent,
)
from processing.database import Statement, array, run
from processing.errors import BadMessage
from processing.secrets import Vault, normalise_email, normalise_phone, unseal
from processing.tables import Instant

PHONE, EMAIL, BIRTHDAY, DETAILS = "phone", "email", "birthday", "details"


@dataclass(slots=True)
class Holder:
    """A row of ``holder``."""

    id: int
    wallet_id: int
    created_at: datetime
    erased_at: datetime | None


@dataclass(slots=True)
class Person:
    """A row of ``person``: ciphertexts under the holder's own wrapped key."""

    holder_id: int
    wrapped_key: bytes
    name: bytes
    phone: bytes | None
    email: bytes | None
    birthday: bytes | None
    details: bytes | None = None


@dataclass(slots=True)
class Code:
    """A row of ``confirmation_code``."""

    id: int
    phone_index: str
    purpose: str
    code: str
    sent_at: datetime
    expires_at: datetime
    tries: int
    used_at: datetime | None


@dataclass(slots=True)
class People:
    """By wallet the holder, by holder the person, contacts as (kind, index) and sent codes; and what has changed.

    Read only for batches that are about people.
    """

    holders: dict[int, Holder] = field(default_factory=dict)
    persons: dict[int, Person] = field(default_factory=dict)
    contacts: dict[int, list[tuple[str, bytes]]] = field(default_factory=dict)
    name_parts: dict[int, list[bytes]] = field(default_factory=dict)
    codes: dict[str, list[Code]] = field(default_factory=dict)
    # Whose the contacts are that somebody wants to have now.
    taken: dict[tuple[str, bytes], int] = field(default_factory=dict)

    changed_holders: dict[int, Holder] = field(default_factory=dict)
    changed_persons: dict[int, Person] = field(default_factory=dict)
    changed_codes: dict[int, Code] = field(default_factory=dict)


# Reading ---------------------------------------------------------------------------------------------------

_holder, _person, _code = tables.holder.c, tables.person.c, tables.confirmation_code.c
HOLDERS = Statement(
    "SELECT id, wallet_id, created_at, erased_at FROM holder WHERE wallet_id IN_IDS(:wallets)",
    _holder.id,
    _holder.wallet_id,
    _holder.created_at,
    _holder.erased_at,
)
PERSONS = Statement(
    """
    SELECT holder_id, wrapped_key, name, phone, email, birthday, details FROM person
    WHERE holder_id IN_ROWS(SELECT h.id FROM holder h WHERE h.wallet_id IN_IDS(:wallets) END_ROWS)
    """,
    *(_person[name] for name in ("holder_id", "wrapped_key", "name", "phone", "email", "birthday", "details")),
)
CONTACTS = Statement(
    """
    SELECT holder_id, kind, blind_index FROM contact
    WHERE holder_id IN_ROWS(SELECT h.id FROM holder h WHERE h.wallet_id IN_IDS(:wallets) END_ROWS)
    """,
    tables.contact.c.holder_id,
    tables.contact.c.kind,
    tables.contact.c.blind_index,
)
NAME_PARTS = Statement(
    """
    SELECT holder_id, blind_index FROM name_part
    WHERE holder_id IN_ROWS(SELECT h.id FROM holder h WHERE h.wallet_id IN_IDS(:wallets) END_ROWS)
    """,
    tables.name_part.c.holder_id,
    tables.name_part.c.blind_index,
)
CONTACT = Statement(
    "SELECT holder_id FROM contact WHERE kind = :kind AND blind_index = :blind_index", tables.contact.c.holder_id
)
CODES = Statement(
    """
    SELECT id, phone_index, purpose, code, sent_at, expires_at, tries, used_at FROM confirmation_code
    WHERE phone_index IN_TEXTS(:phones) AND sent_at > :since ORDER BY sent_at, id
    """,
    *(_code[name] for name in ("id", "phone_index", "purpose", "code", "sent_at", "expires_at", "tries", "used_at")),
)
ABOUT_PEOPLE = (
    RegisterHolder,
    UpdateHolder,
    EnrolHolder,
    MergeHolders,
    EraseHolder,
    GiveConsent,
    WithdrawConsent,
    SendCode,
    CheckCode,
)
CODES_DAYS = 1


def read(
    connection: Connection,
    vault: Vault,
    people: People,
    asked: Sequence[Command[Any]],
    wallets: set[int],
    now: datetime,
) -> None:
    """What the batch may look at of its wallets' people, once their accounts are locked; nothing where nobody asks."""
    kinds = {type(command) for command in asked}
    if kinds.isdisjoint(ABOUT_PEOPLE):
        return
    read_holders(connection, people, wallets)
    wanted = {
        contact.index
        for command in asked
        if isinstance(command, (RegisterHolder, UpdateHolder, EnrolHolder))
        for contact in contacts_of(vault, command)
    }
    for kind, index in sorted(wanted):
        (rows,) = run(connection, [(CONTACT, {"kind": kind, "blind_index": index})])
        if rows:
            people.taken[kind, index] = rows[0][0]
    if SendCode in kinds or CheckCode in kinds:
        phones = {index.hex() for found in people.contacts.values() for kind, index in found if kind == PHONE}
        told = [told_phone(command) for command in asked if isinstance(command, SendCode) and command.card is None]
        phones |= {vault.blind_index(PHONE, phone).hex() for phone in told}
        since = Instant().process_bind_param(now - timedelta(days=CODES_DAYS), connection.dialect)
        (rows,) = run(connection, [(CODES, {"phones": array(sorted(phones)), "since": since})])
        for row in rows:
            people.codes.setdefault(row[1], []).append(Code(*row))


def read_holders(connection: Connection, people: People, wallets: set[int]) -> None:
    """Holders of the wallets with all that is kept of them."""
    asking = {"wallets": array(sorted(wallets))}
    holders, persons, contacts, parts = run(
        connection, [(statement, asking) for statement in (HOLDERS, PERSONS, CONTACTS, NAME_PARTS)]
    )
    people.holders = {row[1]: Holder(*row) for row in holders}
    people.persons = {row[0]: Person(*row) for row in persons}
    for holder_id, kind, index in contacts:
        people.contacts.setdefault(holder_id, []).append((kind, bytes(index)))
    for holder_id, index in parts:
        people.name_parts.setdefault(holder_id, []).append(bytes(index))


# Contacts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contact:
    """A phone (E.164) or e-mail (lower case), and where it is looked for."""

    kind: str
    value: str
    index: tuple[str, bytes]


def contacts_of(vault: Vault, command: RegisterHolder | UpdateHolder | EnrolHolder) -> list[Contact]:
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


def told_phone(command: SendCode | CheckCode) -> str:
    """The phone that a command tells instead of a card. Errors: BadMessage."""
    try:
        return normalise_phone(getattr(command, "phone", ""))
    except ValueError:
        raise BadMessage("not a valid phone", where=PHONE) from None


def read_field(vault: Vault, holder_id: int, wrapped_key: bytes, column: str, blob: bytes) -> str:
    """One field of personal data in the clear."""
    key = vault.unwrap(bytes(wrapped_key), place("wrapped_key", holder_id))
    return unseal(key, bytes(blob), place(column, holder_id)).decode()


def read_birthday(vault: Vault, holder_id: int, wrapped_key: bytes, blob: bytes) -> date | None:
    """``None`` where it was taken back."""
    told = read_field(vault, holder_id, wrapped_key, BIRTHDAY, blob)
    return date.fromisoformat(told) if told else None


_decode_details = msgspec.json.Decoder(dict[str, str]).decode


def decode_details(text: str) -> dict[str, str]:
    """What an outside system keeps of a person, from its text; nothing from an empty one."""
    return _decode_details(text) if text else {}


def place(column: str, holder_id: int) -> bytes:
    """What a ciphertext is bound to."""
    return f"person|{column}|{holder_id}".encode()
