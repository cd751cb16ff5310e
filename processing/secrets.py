"""Field encryption, blind indexes and the spelling of phones and e-mails.

A ciphertext is ``key id (4 bytes, big-endian) | nonce (12) | AES-256-GCM ciphertext | tag (16)``. Its
associated data says where it belongs (``b"person|name|17"``), so that a value copied to another row does not
open. Data keys, one line of them per purpose, live wrapped in the table data_key; the master key and the
index key live outside the database and its backups.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import phonenumbers
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from processing.tables import data_key, exchange_log, outbox_attempt, person, subscriber

PERSON = "person"
EXCHANGE_LOG = "exchange_log"
CREDENTIALS = "credentials"
PURPOSES = (PERSON, EXCHANGE_LOG, CREDENTIALS)

KEY_BYTES = 32
BLIND_INDEX_BYTES = 16
_ID_BYTES = 4
_NONCE_BYTES = 12
_TAG_BYTES = 16
# Each round that ends without every purpose means that another process has just added a key.
_LOAD_ROUNDS = 10

# One @, no spaces or quotes, a dot in the domain; what is behind it the mail server knows better.
_EMAIL = re.compile(r"[^\s@\"'<>(),;:\\]{1,64}@(?:[a-z0-9-]{1,63}\.)+[a-z0-9-]{2,63}")
MAX_EMAIL = 254


class SecretsError(Exception):
    """A ciphertext does not open: wrong key, wrong place, or changed bytes. Says nothing of the content."""


@dataclass(frozen=True, slots=True, repr=False)
class MasterKeys:
    """The two keys that are kept outside the database, 32 bytes each."""

    master: bytes
    index: bytes

    def __post_init__(self) -> None:
        if len(self.master) != KEY_BYTES or len(self.index) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        if self.master == self.index:
            raise ValueError("master and index key must differ")


def new_key() -> bytes:
    """A fresh key of 32 random bytes."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """``nonce | ciphertext | tag`` under a key that the caller keeps, such as a holder's own."""
    return _seal(AESGCM(key), plaintext, aad)


def unseal(key: bytes, blob: bytes, aad: bytes) -> bytes:
    """What was sealed. Errors: SecretsError."""
    return _unseal(AESGCM(key), blob, aad)


class Vault:
    """Encrypts, decrypts and indexes with keys held in memory. Never changes, so threads share it freely.

    ``data_keys`` maps key id to (purpose, key); of the keys of a purpose the one with the greatest id writes.
    """

    def __init__(self, master: bytes, index: bytes, data_keys: Mapping[int, tuple[str, bytes]]) -> None:
        self._keys = MasterKeys(master, index)
        self._ciphers = {_header(key_id): AESGCM(key) for key_id, (_, key) in data_keys.items()}
        newest = {purpose: key_id for key_id, (purpose, _) in sorted(data_keys.items())}
        self._writers = {p: (_header(k), self._ciphers[_header(k)]) for p, k in newest.items()}

    @property
    def purposes(self) -> frozenset[str]:
        """What this vault can encrypt for."""
        return frozenset(self._writers)

    def encrypt(self, purpose: str, plaintext: bytes, aad: bytes) -> bytes:
        """The ciphertext under the purpose's newest key. Errors: SecretsError for a purpose without a key."""
        writer = self._writers.get(purpose)
        if writer is None:
            raise SecretsError(f"no data key for {purpose!r}")
        header, cipher = writer
        nonce = os.urandom(_NONCE_BYTES)
        return header + nonce + cipher.encrypt(nonce, plaintext, aad)

    def decrypt(self, blob: bytes, aad: bytes) -> bytes:
        """The plaintext. Errors: SecretsError for a wrong place, an unknown key, or changed or cut bytes."""
        header = blob[:_ID_BYTES]
        cipher = self._ciphers.get(header)
        if cipher is None:
            raise SecretsError(f"unknown data key {int.from_bytes(header, 'big')}")
        return _unseal(cipher, blob[_ID_BYTES:], aad)

    def blind_index(self, kind: str, value: str) -> bytes:
        """16 bytes by which an encrypted phone or e-mail is found; ``value`` is normalised before."""
        text = f"{kind}\x00{value}".encode()
        return hmac.digest(self._keys.index, text, "sha256")[:BLIND_INDEX_BYTES]

    def wrap(self, key: bytes, aad: bytes = b"") -> bytes:
        """A holder's own key, encrypted for its row; losing the result is losing what the key has sealed."""
        return self.encrypt(PERSON, key, b"wrapped_key|" + aad)

    def unwrap(self, blob: bytes, aad: bytes = b"") -> bytes:
        """The holder's own key. Errors: SecretsError."""
        return self.decrypt(blob, b"wrapped_key|" + aad)

    def new_data_key(self, key_id: int, purpose: str) -> bytes:
        """A fresh data key as the table data_key keeps it: wrapped by the master key."""
        return seal(self._keys.master, new_key(), _data_key_aad(self._keys, key_id, purpose))


def load_vault(connection: Connection, keys: MasterKeys) -> Vault:
    """The vault of this database; makes the first data key of every purpose that has none.

    Several processes may start on one empty database: the ids are the next free ones, the first insert wins,
    the others read what it wrote. The caller commits before anything is encrypted.
    Errors: SecretsError when the keys are not those that this database was written with.
    """
    for _ in range(_LOAD_ROUNDS):
        vault = _read_vault(connection, keys)
        missing = [purpose for purpose in PURPOSES if purpose not in vault.purposes]
        if not missing:
            return vault
        _add_data_keys(connection, vault, missing)
    raise SecretsError("data keys are changing too fast to be read")


def add_data_key(connection: Connection, keys: MasterKeys, purpose: str) -> int:
    """Rotation: adds a newer data key and returns its id; every vault loaded after the commit writes with it.

    Random nonces are safe for about 2**32 ciphertexts of one key: renew the exchange log's key before that.
    """
    vault = _read_vault(connection, keys)
    for _ in range(_LOAD_ROUNDS):
        added = _add_data_keys(connection, vault, [purpose])
        if added:
            return added[0]
    raise SecretsError("data keys are changing too fast to be added to")


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A data key and how many rows it has encrypted; of a purpose's keys the one that ``writes`` is the newest."""

    id: int
    purpose: str
    created_at: datetime
    writes: bool
    rows: int


def key_uses(connection: Connection) -> list[KeyUse]:
    """Every data key in order, by the ids that stand in front of the ciphertexts. Opens nothing; reads whole tables."""
    counts = {header: rows for column in _HEADED for header, rows in _rows_by_header(connection, column)}
    found = connection.execute(select(data_key.c.id, data_key.c.purpose, data_key.c.created_at).order_by(data_key.c.id))
    keys = [tuple(row) for row in found]
    newest = {purpose: key_id for key_id, purpose, _ in keys}
    return [KeyUse(k, purpose, at, newest[purpose] == k, counts.get(_header(k), 0)) for k, purpose, at in keys]


# One column of each table whose rows carry a data key's id.
_HEADED = (person.c.wrapped_key, exchange_log.c.request, outbox_attempt.c.request, subscriber.c.settings)


def _rows_by_header(connection: Connection, column: ColumnElement[bytes]) -> list[tuple[bytes, int]]:
    header = func.substr(column, 1, _ID_BYTES)
    return [(bytes(h), rows) for h, rows in connection.execute(select(header, func.count()).group_by(header))]


def normalise_phone(text: str, region: str = "RU") -> str:
    """The phone as E.164: ``normalise_phone("8 (912) 345-67-89") == "+79123456789"``.

    ``region`` is for numbers without a country code; other countries' codes are understood without "+" too.
    Errors: ValueError, which does not repeat the number.
    """
    for spelling in (text, "+" + text.lstrip(" +")):
        try:
            number = phonenumbers.parse(spelling, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    raise ValueError("not a valid phone number")


def normalise_email(text: str) -> str:
    """The address in lower case, its domain in ASCII. Errors: ValueError, which does not repeat it."""
    name, at, domain = text.strip().lower().rpartition("@")
    try:
        address = name + at + domain.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("not a valid e-mail address") from None
    if len(address) > MAX_EMAIL or not _EMAIL.fullmatch(address):
        raise ValueError("not a valid e-mail address")
    return address


def _header(key_id: int) -> bytes:
    return key_id.to_bytes(_ID_BYTES, "big")


def _seal(cipher: AESGCM, plaintext: bytes, aad: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plaintext, aad)


def _unseal(cipher: AESGCM, blob: bytes, aad: bytes) -> bytes:
    if len(blob) < _NONCE_BYTES + _TAG_BYTES:
        raise SecretsError("ciphertext is cut short")
    try:
        return cipher.decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], aad)
    except InvalidTag:
        raise SecretsError("ciphertext does not open: wrong key, wrong place or changed bytes") from None


def _data_key_aad(keys: MasterKeys, key_id: int, purpose: str) -> bytes:
    """Where a wrapped data key belongs.

    The index key's digest is part of it, so that a wrong index key stops the start as well: it would
    otherwise go unnoticed, find no phone and let every holder register twice.
    """
    return f"data_key|{purpose}|{key_id}|".encode() + hashlib.sha256(keys.index).digest()


def _read_vault(connection: Connection, keys: MasterKeys) -> Vault:
    rows = connection.execute(select(data_key.c.id, data_key.c.purpose, data_key.c.wrapped)).all()
    master = AESGCM(keys.master)
    found = {}
    for key_id, purpose, wrapped in rows:
        try:
            found[key_id] = (purpose, _unseal(master, wrapped, _data_key_aad(keys, key_id, purpose)))
        except SecretsError:
            raise SecretsError(
                f"data key {key_id} ({purpose}) does not open: the master key or the index key "
                "is not the one that this database was written with"
            ) from None
    return Vault(keys.master, keys.index, found)


def _add_data_keys(connection: Connection, vault: Vault, purposes: Iterable[str]) -> list[int]:
    """The ids that were free and are now ours; another process may have taken them in between."""
    last = connection.execute(select(func.max(data_key.c.id))).scalar() or 0
    now = datetime.now(UTC)
    rows = [
        {"id": key_id, "purpose": purpose, "wrapped": vault.new_data_key(key_id, purpose), "created_at": now}
        for key_id, purpose in enumerate(purposes, start=last + 1)
    ]
    statement = _insert_if_free(connection).values(rows)
    return list(connection.execute(statement.returning(data_key.c.id)).scalars())


def _insert_if_free(connection: Connection) -> postgresql.Insert | sqlite.Insert:
    if connection.dialect.name == "sqlite":
        return sqlite.insert(data_key).on_conflict_do_nothing(index_elements=[data_key.c.id])
    return postgresql.insert(data_key).on_conflict_do_nothing(index_elements=[data_key.c.id])
