"""What names lead to: a card by what is printed on it or by an outside system's id, a wallet by its holder.

A name of a wallet (phone, e-mail, holder, wallet) stands for the wallet's best card: a usable one before
others, the newest of these.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
import uuid
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from processing import tables
from processing.cards import ACTIVE, ISSUED
from processing.commands import Ref
from processing.database import Statement, array, run
from processing.people import CONTACT as CONTACT
from processing.secrets import Vault, normalise_email, normalise_phone
from processing.state import DERIVED as DERIVED
from processing.state import EMAIL as EMAIL
from processing.state import HOLDER, TOKEN, UUID, WALLET
from processing.state import PHONE as PHONE

CARD = "card"

TOKEN_PREFIX = "TG"  # noqa: S105  # what a scanned text begins with
_TOKEN = struct.Struct(">QI8s")
_MAX_ID = 2**63 - 1
# Of a UUID's 16 bytes so many carry the wallet's number.
_UUID_NUMBER = 6

_card = tables.card.c
HOLDERS_WALLETS = Statement(
    """
    SELECT h.id, coalesce((SELECT w.merged_into FROM wallet w WHERE w.id = h.wallet_id), h.wallet_id)
    FROM holder h WHERE h.id IN_IDS(:holders)
    """,
    tables.holder.c.id,
    tables.holder.c.wallet_id,
)
ROOTS = Statement(
    "SELECT w.id, coalesce(w.merged_into, w.id) FROM wallet w WHERE w.id IN_IDS(:wallets)",
    tables.wallet.c.id,
    tables.wallet.c.merged_into,
)
WALLETS_CARDS = Statement(
    "SELECT id, wallet_id, status, expires_at FROM card WHERE wallet_id IN_IDS(:wallets)",
    _card.id,
    _card.wallet_id,
    _card.status,
    _card.expires_at,
)
TOKENS_CARDS = Statement("SELECT id, wallet_id FROM card WHERE id IN_IDS(:cards)", _card.id, _card.wallet_id)


def derived(connection: Connection, vault: Vault, refs: Iterable[Ref], now: datetime) -> dict[Ref, tuple[int, int]]:
    """Card and wallet of those names that are worked out; a name that leads nowhere is missing."""
    wanted = {ref for ref in refs if ref.scheme in DERIVED}
    if not wanted:
        return {}
    found = _by_token(connection, vault, {ref for ref in wanted if ref.scheme == TOKEN}, now)
    holders = _holders(connection, vault, wanted)
    wallets = _wallets(connection, vault, wanted, holders)
    best = best_cards(connection, set(wallets.values()), now)
    return found | {ref: (best[wallet], wallet) for ref, wallet in wallets.items() if wallet in best}


def best_cards(connection: Connection, wallets: Collection[int], now: datetime) -> dict[int, int]:
    """The card by which a wallet is spoken of: usable before issued before the rest, then the newest."""
    if not wallets:
        return {}
    (rows,) = run(connection, [(WALLETS_CARDS, {"wallets": array(sorted(wallets))})])

    def rank(row: tuple[int, int, str, datetime | None]) -> tuple[bool, bool, int]:
        card_id, _, status, expires_at = row
        is_usable = status == ACTIVE and (expires_at is None or expires_at > now)
        return is_usable, status == ISSUED, card_id

    return {row[1]: row[0] for row in sorted((tuple(row) for row in rows), key=rank)}


def _holders(connection: Connection, vault: Vault, refs: Collection[Ref]) -> dict[Ref, int]:
    found = {ref: number for ref in refs if ref.scheme == HOLDER and (number := _number(ref.value)) is not None}
    for ref in refs:
        index = contact_index(vault, ref)
        if index is not None:
            (rows,) = run(connection, [(CONTACT, {"kind": ref.scheme, "blind_index": index})])
            if rows:
                found[ref] = rows[0][0]
    return found


def contact_index(vault: Vault, ref: Ref) -> bytes | None:
    """The blind index of a phone or e-mail in any usual spelling; None for what is neither."""
    normalise = {PHONE: normalise_phone, EMAIL: normalise_email}.get(ref.scheme)
    if normalise is None:
        return None
    try:
        return vault.blind_index(ref.scheme, normalise(ref.value))
    except ValueError:
        return None


def _wallets(connection: Connection, vault: Vault, refs: Collection[Ref], holders: dict[Ref, int]) -> dict[Ref, int]:
    """The wallets that are meant, each followed to where it went."""
    told = {ref: number for ref in refs if ref.scheme == WALLET and (number := _number(ref.value)) is not None}
    told |= {
        ref: number for ref in refs if ref.scheme == UUID and (number := uuid_wallet(vault, ref.value)) is not None
    }
    by_holder, roots = run(
        connection,
        [
            (HOLDERS_WALLETS, {"holders": array(sorted(set(holders.values())))}),
            (ROOTS, {"wallets": array(sorted(set(told.values())))}),
        ],
    )
    of_holder = {row[0]: row[1] for row in by_holder}
    root = {row[0]: row[1] for row in roots}
    found = {ref: of_holder[holder] for ref, holder in holders.items() if holder in of_holder}
    return found | {ref: root[wallet] for ref, wallet in told.items() if wallet in root}


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        return None
    number = int(text)
    return number if number <= _MAX_ID else None


# UUIDs -----------------------------------------------------------------------------------------------------


def wallet_uuid(vault: Vault, wallet_id: int) -> str:
    """The wallet's name for systems that know everything by UUIDs: the same for ever, and nobody can guess one.

    Version 8 of RFC 9562: the wallet's number, and a MAC over it under the index key (docs/decisions/0035-uuids.md).
    """
    mac = vault.blind_index(UUID, str(wallet_id))
    made = bytearray(wallet_id.to_bytes(_UUID_NUMBER, "big") + mac[: 16 - _UUID_NUMBER])
    made[6] = 0x80 | made[6] & 0x0F
    made[8] = 0x80 | made[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(made)))


def uuid_wallet(vault: Vault, text: str) -> int | None:
    """The wallet that a UUID names; None for a foreign or invented one."""
    try:
        wallet_id = int.from_bytes(uuid.UUID(text).bytes[:_UUID_NUMBER], "big")
    except ValueError:
        return None
    made = wallet_uuid(vault, wallet_id).encode()
    return wallet_id if hmac.compare_digest(made, text.lower().encode("utf-8", "replace")) else None


# QR tokens -------------------------------------------------------------------------------------------------


def token(vault: Vault, card_id: int, expires_at: datetime) -> str:
    """A name of the card that its QR code shows until then: capital letters and digits only, 34 of them.

    It names the card, so that it is worth nothing after its time and can not be made without the index key.
    """
    until = int(expires_at.timestamp())
    packed = _TOKEN.pack(card_id, until, _mac(vault, card_id, until))
    return TOKEN_PREFIX + base64.b32encode(packed).decode().rstrip("=")


def token_card(vault: Vault, text: str, now: datetime) -> int | None:
    """The card that a token names; None for one that is foreign, forged or too old."""
    body = text.strip().upper()
    if not body.startswith(TOKEN_PREFIX):
        return None
    body = body[len(TOKEN_PREFIX) :]
    try:
        packed = base64.b32decode(body + "=" * (-len(body) % 8))
        card_id, until, mac = _TOKEN.unpack(packed)
    except (binascii.Error, ValueError, struct.error):
        return None
    if not hmac.compare_digest(mac, _mac(vault, card_id, until)):
        return None
    return card_id if datetime.fromtimestamp(until, UTC) + timedelta(seconds=1) > now else None


def _mac(vault: Vault, card_id: int, until: int) -> bytes:
    return vault.blind_index("token", f"{card_id}|{until}")[:8]


def _by_token(connection: Connection, vault: Vault, refs: Collection[Ref], now: datetime) -> dict[Ref, tuple[int, int]]:
    cards = {ref: card_id for ref in refs if (card_id := token_card(vault, ref.value, now)) is not None}
    if not cards:
        return {}
    (rows,) = run(connection, [(TOKENS_CARDS, {"cards": array(sorted(set(cards.values())))})])
    wallets = {row[0]: row[1] for row in rows}
    return {ref: (card_id, wallets[card_id]) for ref, card_id in cards.items() if card_id in wallets}
