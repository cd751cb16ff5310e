"""ReadWallets: many wallets at once, as far sides that keep copies of cards and clients are told them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from sqlalchemy import BigInteger, Connection, column

from processing import tables
from processing.balances import BALANCE, BALANCE_TYPES, balance_now
from processing.commands import MAX_WALLETS, ReadWallets
from processing.database import Row, Statement, array, run
from processing.errors import BadMessage
from processing.people import read_field
from processing.reading import Reading, is_id
from processing.results import Balance, WalletCard, WalletsTold, WalletTold

_card, _person = tables.card.c, tables.person.c

# Where wallets have gone: (what was asked, what it is now).
LIVING = Statement(
    "SELECT w.id, coalesce(w.merged_into, w.id) AS living FROM wallet w WHERE w.id IN_IDS(:wallets)",
    tables.wallet.c.id,
    column("living", BigInteger),
)
CARDS = Statement(
    """
    SELECT c.wallet_id, c.id, c.number, c.product, c.status, c.issued_at, c.expires_at
    FROM card c WHERE c.wallet_id IN_IDS(:wallets) ORDER BY c.id
    """,
    *(_card[name] for name in ("wallet_id", "id", "number", "product", "status", "issued_at", "expires_at")),
)
BALANCES = Statement(
    f"SELECT a.wallet_id, {BALANCE} FROM account a WHERE a.wallet_id IN_IDS(:wallets) ORDER BY a.id",
    tables.account.c.wallet_id,
    *BALANCE_TYPES,
)
PERSONS = Statement(
    """
    SELECT h.wallet_id, h.id, h.created_at, p.wrapped_key, p.name, p.phone, p.email, p.birthday
    FROM holder h JOIN person p ON p.holder_id = h.id WHERE h.wallet_id IN_IDS(:wallets) AND h.erased_at IS NULL
    """,
    tables.holder.c.wallet_id,
    tables.holder.c.id,
    tables.holder.c.created_at,
    *(_person[name] for name in ("wrapped_key", "name", "phone", "email", "birthday")),
)
# Wallets with cards, in the order of their numbers.
PAGE = Statement(
    """
    SELECT w.id FROM wallet w WHERE w.id > :after AND w.merged_into IS NULL
      AND EXISTS (SELECT 1 FROM card c WHERE c.wallet_id = w.id) ORDER BY w.id LIMIT :most
    """,
    tables.wallet.c.id,
)


def read_wallets(reading: Reading, query: ReadWallets) -> WalletsTold:
    """The wallets in the order of their numbers. Errors: BadMessage."""
    asked_by: dict[int, list[int]] = {}
    for account, living in reading.rows(LIVING, wallets=array(_asked(reading, query))):
        asked_by.setdefault(living, []).append(account)
    asked = {"wallets": array(sorted(asked_by))}
    cards, balances, persons = reading.each((CARDS, asked), (BALANCES, asked | {"now": reading.now}), (PERSONS, asked))
    cards_of, balances_of, person_of = _by_wallet(cards), _by_wallet(balances), _by_wallet(persons)
    return WalletsTold(
        wallets=tuple(
            WalletTold(
                account=wallet,
                accounts=tuple(sorted(accounts)),
                cards=tuple(_card_told(row) for row in cards_of.get(wallet, ())),
                balances=tuple(_balance(reading, row) for row in balances_of.get(wallet, ())),
                **_person_told(reading, person_of.get(wallet, ())),
            )
            for wallet, accounts in sorted(asked_by.items())
        )
    )


def _asked(reading: Reading, query: ReadWallets) -> list[int]:
    """The numbers that are asked for. Errors: BadMessage."""
    if len(query.accounts) > MAX_WALLETS or not all(map(is_id, query.accounts)):
        raise BadMessage(f"expected at most {MAX_WALLETS} numbers of wallets", where="accounts")
    if query.after is None:
        return sorted(set(query.accounts))
    if query.accounts or not 1 <= query.limit <= MAX_WALLETS or not (query.after == 0 or is_id(query.after)):
        raise BadMessage(f"expected a number to begin behind, and at most {MAX_WALLETS} wallets", where="after")
    return [row[0] for row in reading.rows(PAGE, after=query.after, most=query.limit)]


def page(connection: Connection, after: int, most: int) -> list[int]:
    """The next wallets with cards behind this number."""
    return [row[0] for row in run(connection, [(PAGE, {"after": after, "most": most})])[0]]


def _by_wallet(rows: Iterable[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for wallet, *row in rows:
        found.setdefault(wallet, []).append(row)
    return found


def _card_told(row: Row) -> WalletCard:
    card_id, number, product, status, issued_at, expires_at = row
    return WalletCard(
        card_id=card_id, number=number, product=product, status=status, issued_at=issued_at, expires_at=expires_at
    )


def _balance(reading: Reading, row: Row) -> Balance:
    return balance_now(reading, *row)


def _person_told(reading: Reading, rows: Iterable[Row]) -> dict[str, Any]:
    """The person's fields in the clear; none where nobody is known."""
    for holder_id, registered_at, wrapped_key, *blobs in rows:
        name, phone, email, birthday = (
            "" if blob is None else read_field(reading.work.vault, holder_id, wrapped_key, field, blob)
            for field, blob in zip(("name", "phone", "email", "birthday"), blobs, strict=True)
        )
        return {
            "holder_id": holder_id,
            "name": name,
            "phone": phone,
            "email": email,
            "birthday": date.fromisoformat(birthday) if birthday else None,
            "registered_at": registered_at,
        }
    return {}
