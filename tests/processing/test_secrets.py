"""Encryption opens only what, where and with what it sealed; keys appear once on an empty database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, update

from processing.database import Database
from processing.secrets import (
    CREDENTIALS,
    EXCHANGE_LOG,
    PERSON,
    PURPOSES,
    MasterKeys,
    SecretsError,
    Vault,
    add_data_key,
    load_vault,
    new_key,
    normalise_email,
    normalise_phone,
    seal,
    unseal,
)
from processing.tables import data_key, metadata

KEYS = MasterKeys(b"m" * 32, b"i" * 32)
VAULT = Vault(KEYS.master, KEYS.index, {1: (PERSON, b"1" * 32), 2: (EXCHANGE_LOG, b"2" * 32)})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    database = Database(f"sqlite:///{tmp_path / 'books.db'}")
    metadata.create_all(database.writer)
    yield database.writer
    database.dispose()


@given(plaintext=st.binary(max_size=500), aad=st.binary(max_size=50))
def test_what_was_encrypted_decrypts(plaintext: bytes, aad: bytes) -> None:
    blob = VAULT.encrypt(PERSON, plaintext, aad)
    assert VAULT.decrypt(blob, aad) == plaintext
    assert len(blob) == 4 + 12 + len(plaintext) + 16


@given(data=st.data(), plaintext=st.binary(max_size=100))
def test_any_changed_bit_is_noticed(data: st.DataObject, plaintext: bytes) -> None:
    blob = bytearray(VAULT.encrypt(PERSON, plaintext, b"here"))
    place = data.draw(st.integers(0, len(blob) - 1))
    blob[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SecretsError):
        VAULT.decrypt(bytes(blob), b"here")


@pytest.mark.parametrize("length", [0, 3, 4, 16, 31, 36])
def test_cut_ciphertext_is_refused(length: int) -> None:
    with pytest.raises(SecretsError):
        VAULT.decrypt(VAULT.encrypt(PERSON, b"a name", b"")[:length], b"")


def test_value_copied_to_another_row_is_refused() -> None:
    blob = VAULT.encrypt(PERSON, b"Ivan", b"person|name|1")
    with pytest.raises(SecretsError):
        VAULT.decrypt(blob, b"person|name|2")


def test_ciphertext_names_its_key_and_equal_texts_look_different() -> None:
    first, second = (VAULT.encrypt(EXCHANGE_LOG, b"same", b"") for _ in range(2))
    assert first[:4] == second[:4] == (2).to_bytes(4, "big")
    assert first != second


def test_newest_key_writes_and_older_ones_still_read() -> None:
    old = VAULT.encrypt(PERSON, b"Ivan", b"")
    vault = Vault(KEYS.master, KEYS.index, {1: (PERSON, b"1" * 32), 7: (PERSON, b"7" * 32)})
    assert vault.decrypt(old, b"") == b"Ivan"
    assert vault.encrypt(PERSON, b"Ivan", b"")[:4] == (7).to_bytes(4, "big")


def test_purpose_without_a_key_is_refused() -> None:
    with pytest.raises(SecretsError):
        VAULT.encrypt(CREDENTIALS, b"x", b"")


def test_blind_index_is_equal_for_equal_values_only() -> None:
    index = VAULT.blind_index("phone", "+79123456789")
    assert len(index) == 16
    assert index == VAULT.blind_index("phone", "+79123456789")
    assert index != VAULT.blind_index("email", "+79123456789")
    assert index != VAULT.blind_index("phone", "+79123456780")
    assert index != Vault(KEYS.master, b"j" * 32, {}).blind_index("phone", "+79123456789")


def test_holders_key_survives_only_in_its_wrapping() -> None:
    key = new_key()
    wrapped = VAULT.wrap(key, b"person|1")
    name = seal(key, b"Ivan", b"person|name|1")
    assert unseal(VAULT.unwrap(wrapped, b"person|1"), name, b"person|name|1") == b"Ivan"
    with pytest.raises(SecretsError):
        VAULT.unwrap(wrapped, b"person|2")
    with pytest.raises(SecretsError):
        unseal(new_key(), name, b"person|name|1")


def test_threads_share_a_vault() -> None:
    failures = []

    def work(n: int) -> None:
        for i in range(500):
            text = f"{n} {i}".encode()
            if VAULT.decrypt(VAULT.encrypt(PERSON, text, b"x"), b"x") != text:
                failures.append(text)

    _in_threads(8, work)
    assert failures == []


def test_empty_database_gets_a_key_for_every_purpose(engine: Engine) -> None:
    with engine.begin() as connection:
        first = load_vault(connection, KEYS)
    with engine.begin() as connection:
        second = load_vault(connection, KEYS)
        count = connection.execute(select(func.count()).select_from(data_key)).scalar_one()
    assert count == len(PURPOSES)
    for purpose in PURPOSES:
        assert second.decrypt(first.encrypt(purpose, b"x", b"a"), b"a") == b"x"


def test_processes_that_start_together_share_their_keys(engine: Engine) -> None:
    vaults = []
    together = threading.Barrier(6)

    def work(_: int) -> None:
        together.wait()
        with engine.begin() as connection:
            vault = load_vault(connection, KEYS)
        vaults.append(vault)

    _in_threads(6, work)
    blobs = [vault.encrypt(purpose, b"x", b"") for vault in vaults for purpose in PURPOSES]
    assert len(vaults) == 6
    assert all(vault.decrypt(blob, b"") == b"x" for vault in vaults for blob in blobs)


def test_rotation_adds_a_key_that_writes(engine: Engine) -> None:
    with engine.begin() as connection:
        old = load_vault(connection, KEYS).encrypt(PERSON, b"x", b"")
        key_id = add_data_key(connection, KEYS, PERSON)
        vault = load_vault(connection, KEYS)
    assert vault.encrypt(PERSON, b"x", b"")[:4] == key_id.to_bytes(4, "big")
    assert vault.decrypt(old, b"") == b"x"


@pytest.mark.parametrize("wrong", [MasterKeys(b"x" * 32, KEYS.index), MasterKeys(KEYS.master, b"x" * 32)])
def test_wrong_master_or_index_key_stops_the_start(engine: Engine, wrong: MasterKeys) -> None:
    with engine.begin() as connection:
        load_vault(connection, KEYS)
        with pytest.raises(SecretsError, match="is not the one"):
            load_vault(connection, wrong)


def test_data_key_cannot_change_its_purpose(engine: Engine) -> None:
    with engine.begin() as connection:
        load_vault(connection, KEYS)
        connection.execute(update(data_key).where(data_key.c.id == 1).values(purpose=CREDENTIALS))
        with pytest.raises(SecretsError):
            load_vault(connection, KEYS)


def test_keys_are_not_stored_plain_and_not_shown(engine: Engine) -> None:
    with engine.begin() as connection:
        load_vault(connection, KEYS)
        wrapped = connection.execute(select(data_key.c.wrapped)).scalars().all()
    assert all(len(blob) == 12 + 32 + 16 for blob in wrapped)
    assert "mmm" not in repr(KEYS)
    assert "111" not in repr(VAULT)


@pytest.mark.parametrize("keys", [(b"short", b"i" * 32), (b"m" * 32, b""), (b"m" * 32, b"m" * 32)])
def test_unfit_master_keys_are_refused(keys: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        MasterKeys(*keys)


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("8 (912) 345-67-89", "+79123456789"),
        ("+7 912 345 67 89", "+79123456789"),
        ("79123456789", "+79123456789"),
        ("9123456789", "+79123456789"),
        ("375291234567", "+375291234567"),
        ("+7 701 123 45 67", "+77011234567"),
    ],
)
def test_spellings_of_a_phone_are_one(text: str, phone: str) -> None:
    assert normalise_phone(text) == phone


@pytest.mark.parametrize("text", ["", "abc", "1234", "+7 000 000 00 00", "7" * 300, "5550001234567890"])
def test_what_is_no_phone_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a valid phone number$"):
        normalise_phone(text)


def test_phone_without_country_belongs_to_the_region() -> None:
    assert normalise_phone("8 029 123-45-67", "BY") == "+375291234567"


@pytest.mark.parametrize(
    ("text", "email"),
    [(" Ivan@Example.RU ", "ivan@example.ru"), ("ivan@пример.рф", "ivan@xn--e1afmkfd.xn--p1ai")],
)
def test_spellings_of_an_email_are_one(text: str, email: str) -> None:
    assert normalise_email(text) == email


@pytest.mark.parametrize("text", ["", "a", "a@b", "a b@c.ru", "a@@c.ru", "@c.ru", "a@.ru", "x" * 80 + "@c.ru"])
def test_what_is_no_email_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a valid e-mail address$"):
        normalise_email(text)


def _in_threads(count: int, work: object) -> None:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
