"""The locked state of one batch: what handlers read and change in memory before anything is written.

A handler decides first and changes last: whatever it calls before its first ``post`` may raise, nothing after
it does, so that a refused command drops only its own changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Table

from processing import tables
from processing.commands import Command, Ref
from processing.directory import Directory, StoreInfo
from processing.errors import CardNotFound
from processing.ids import Ids
from processing.lots import Lot, Move, reverse
from processing.results import AnyStoredResult, Result
from processing.secrets import Vault

# States of a request key: what it stands for.
NONE = "none"
POSTED = "posted"
ROLLED_BACK = "rolled_back"
RETURNED = "returned"
TOMBSTONE = "tombstone"

# One point of scale 2 settles at one minor unit of money until programmes set a price of their own.
SETTLEMENT_PRICE_MILLIONTHS = 1_000_000

_decode_answer: Any = msgspec.json.Decoder(AnyStoredResult).decode
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Card:
    id: int
    wallet_id: int
    product: str
    number: str
    status: str
    issued_at: datetime
    activated_at: datetime | None
    expires_at: datetime | None


@dataclass(slots=True)
class Account:
    """A wallet's account in one unit, with its lots by id: the open ones, and those that old operations name."""

    id: int
    wallet_id: int
    unit: str
    balance: int
    lots: dict[int, Lot] = field(default_factory=dict)
    kind: str = "wallet"
    partner_id: int | None = None


@dataclass(slots=True)
class Claim:
    """A request key, locked. ``answer`` is the stored one as JSON, ``result`` the same decoded.

    ``stamp`` is the till's time of the newest attempt that is known, ``void_stamp`` the last void's own. State
    ``none`` with a stamp: a newer version was refused, and what is older than it was abandoned by the till.
    """

    store_id: int
    key: str
    same_as: str | None = None
    state: str = NONE
    content: str | None = None
    stamp: datetime | None = None
    operation_id: int | None = None
    answer: str | None = None
    void_stamp: datetime | None = None
    result: Result | None = None
    is_changed: bool = False

    @property
    def is_fresh(self) -> bool:
        """Nobody has used this key before, or nothing came of it."""
        return self.state == NONE and self.stamp is None and self.same_as is None

    def stored(self) -> Result:
        """The answer given when this key was settled."""
        if self.result is None:
            self.result = _decode_answer(self.answer)
        assert self.result is not None
        return self.result

    def settle(self, state: str, result: Result, operation_id: int | None, stamp: datetime) -> None:
        """What the key stands for from now on, and how it is answered when it comes again."""
        self.state, self.operation_id, self.stamp = state, operation_id, stamp
        self.result, self.answer = result, _encode(result).decode()
        self.is_changed = True


@dataclass(slots=True, frozen=True)
class Posting:
    """One entry to be; an entry of a wallet's account names the lot."""

    account_id: int
    unit: str
    amount: int
    account: Account | None = None
    lot: Lot | None = None


@dataclass(slots=True, frozen=True)
class Booked:
    """An entry of an earlier operation, as a reversal needs it."""

    account_id: int
    lot_id: int | None
    amount: int


@dataclass(slots=True)
class State:
    """Everything one batch has locked and read, and everything it will write."""

    now: datetime
    directory: Directory
    vault: Vault
    ids: Ids
    claims: dict[tuple[int, str], Claim] = field(default_factory=dict)
    cards: dict[Ref, Card] = field(default_factory=dict)
    accounts: dict[tuple[int, str], Account] = field(default_factory=dict)
    accounts_by_id: dict[int, Account] = field(default_factory=dict)
    locked_wallets: set[int] = field(default_factory=set)
    booked: dict[int, list[Booked]] = field(default_factory=dict)
    contacts: dict[tuple[str, bytes], int] = field(default_factory=dict)
    holders: dict[int, int] = field(default_factory=dict)
    spare_numbers: dict[str, list[str]] = field(default_factory=dict)

    new_wallets: list[dict[str, Any]] = field(default_factory=list)
    new_accounts: dict[int, Account] = field(default_factory=dict)
    new_cards: dict[int, Card] = field(default_factory=dict)
    inserts: dict[Table, list[dict[str, Any]]] = field(default_factory=dict)
    seen_tills: set[tuple[int, str]] = field(default_factory=set)
    changed_cards: dict[int, Card] = field(default_factory=dict)
    changed_accounts: dict[int, Account] = field(default_factory=dict)
    changed_lots: dict[int, Lot] = field(default_factory=dict)

    # Reading ------------------------------------------------------------------------------------------------

    def store(self, code: str) -> StoreInfo:
        return self.directory.store(code)

    def card(self, refs: Sequence[Ref]) -> Card:
        """The first card that one of the names leads to. Errors: CardNotFound."""
        for ref in refs:
            found = self.cards.get(canonical(ref))
            if found is not None:
                return found
        raise CardNotFound("no such card", scheme=refs[0].scheme if refs else "")

    def account(self, wallet_id: int, unit: str) -> Account:
        """The wallet's account in the unit; opened where there is none yet. Errors: UnitNotFound."""
        self.directory.unit(unit)
        found = self.accounts.get((wallet_id, unit))
        if found is None:
            if wallet_id not in self.locked_wallets:
                raise AssertionError("an account of a wallet that is not locked")
            found = self.open_account(wallet_id, unit)
        return found

    # Request keys -------------------------------------------------------------------------------------------

    def heads(self, command: Command[Any]) -> list[Claim]:
        """The claims that keep what the command's keys stand for: one, unless they stand for different things.

        Keys that nobody has used stand for nothing; when all are fresh the first key will be the head.
        """
        store_id = self.store(command.store).id
        claims = [self.claims[store_id, key] for key in command.keys]
        heads: dict[str, Claim] = {}
        for claim in claims:
            if not claim.is_fresh:
                head = claim if claim.same_as is None else self.claims[store_id, claim.same_as]
                heads[head.key] = head
        return list(heads.values()) or claims[:1]

    def attach(self, command: Command[Any], head: Claim) -> None:
        """Keys of the command that nobody has used become further names of the head."""
        for key in command.keys:
            claim = self.claims[head.store_id, key]
            if claim is not head and claim.is_fresh:
                claim.same_as = head.key
                claim.is_changed = True

    def see_till(self, store: StoreInfo, code: str) -> None:
        """A till that speaks is a till of the store."""
        self.seen_tills.add((store.id, code))

    # Changing -----------------------------------------------------------------------------------------------

    def insert(self, table: Table, row: dict[str, Any]) -> None:
        self.inserts.setdefault(table, []).append(row)

    def open_account(self, wallet_id: int, unit: str) -> Account:
        account = Account(self.ids.take("account"), wallet_id, unit, 0)
        self.accounts[wallet_id, unit] = self.accounts_by_id[account.id] = self.new_accounts[account.id] = account
        return account

    def open_lot(
        self,
        account: Account,
        issuer_id: int,
        available_from: datetime,
        expires_at: datetime | None,
        price_millionths: int,
        is_debt: bool = False,
    ) -> Lot:
        """A lot for these terms: an equal open one of the account, or a new one."""
        for lot in account.lots.values():
            if (
                lot.is_open
                and lot.issuer_id == issuer_id
                and lot.expires_at == expires_at
                and lot.available_from == available_from
                and lot.price_millionths == price_millionths
                and lot.is_debt == is_debt
            ):
                return lot
        lot = Lot(
            id=self.ids.take("lot"),
            account_id=account.id,
            issuer_id=issuer_id,
            price_millionths=price_millionths,
            remaining=0,
            is_open=True,
            available_from=available_from,
            expires_at=expires_at,
            is_debt=is_debt,
        )
        account.lots[lot.id] = lot
        return lot

    def post(
        self,
        kind: str,
        store: StoreInfo,
        postings: Iterable[Posting],
        *,
        effective_at: datetime | None = None,
        reverses_id: int | None = None,
        programme_version_id: int | None = None,
        actor: str = "",
        flags: Sequence[str] = (),
        explanation: Any = None,
    ) -> int:
        """Book an operation: its entries, and what they do to accounts and lots. Returns its id.

        The entries of each unit sum to zero, or it is a bug.
        """
        operation_id = self.ids.take("operation")
        effective_at = effective_at or self.now
        balance: dict[str, int] = {}
        booked: list[Booked] = []
        for posting in postings:
            if posting.amount == 0:
                continue
            balance[posting.unit] = balance.get(posting.unit, 0) + posting.amount
            lot_id = posting.lot.id if posting.lot else None
            self.insert(
                tables.entry,
                {
                    "operation_id": operation_id,
                    "n": len(booked),
                    "account_id": posting.account_id,
                    "lot_id": lot_id,
                    "amount": posting.amount,
                    "effective_at": effective_at,
                    "booked_at": self.now,
                },
            )
            booked.append(Booked(posting.account_id, lot_id, posting.amount))
            if posting.account is not None:
                posting.account.balance += posting.amount
                self.changed_accounts[posting.account_id] = posting.account
            if posting.lot is not None:
                posting.lot.remaining += posting.amount
                posting.lot.is_open = posting.lot.remaining != 0
                self.changed_lots[posting.lot.id] = posting.lot
        if any(balance.values()):
            raise AssertionError(f"operation of kind {kind} does not balance: {balance}")
        self.booked[operation_id] = booked
        self.insert(
            tables.operation,
            {
                "id": operation_id,
                "kind": kind,
                "store_id": store.id,
                "reverses_id": reverses_id,
                "programme_version_id": programme_version_id,
                "actor": actor or None,
                "flags": ",".join(flags) or None,
                "explanation": None if explanation is None else msgspec.Raw(_encode(explanation)),
                "effective_at": effective_at,
                "booked_at": self.now,
            },
        )
        return operation_id

    def moved(self, account: Account, moves: Iterable[Move]) -> list[Posting]:
        """The entries of moves between an account's lots and elsewhere."""
        return [Posting(account.id, account.unit, amount, account, lot) for lot, amount in moves]

    def reversal(self, operation_id: int) -> tuple[list[Posting], bool]:
        """The entries that undo an operation, and whether its points were gone and became debt."""
        postings: list[Posting] = []
        by_account: dict[int, list[tuple[int, int]]] = {}
        went_into_debt = False
        for entry in self.booked[operation_id]:
            if entry.lot_id is None:
                unit = self.directory.system_units[entry.account_id]
                postings.append(Posting(entry.account_id, unit, -entry.amount))
            else:
                by_account.setdefault(entry.account_id, []).append((entry.lot_id, entry.amount))
        for account_id, entries in by_account.items():
            account = self.accounts_by_id[account_id]
            undone = reverse(entries, account.lots, self.now)
            postings += self.moved(account, undone.moves)
            for lot_id, amount in undone.owed.items():
                went_into_debt = True
                postings += self.moved(account, [(self.debt(account, account.lots[lot_id].issuer_id), -amount)])
            for lot_id, amount in undone.spare.items():
                postings += self.moved(account, [(self.spare(account, account.lots[lot_id].issuer_id), amount)])
        return postings, went_into_debt

    def debt(self, account: Account, issuer_id: int) -> Lot:
        """The lot that carries the account's debt to a partner."""
        for lot in account.lots.values():
            if lot.is_debt and lot.is_open and lot.issuer_id == issuer_id:
                return lot
        return self.open_lot(account, issuer_id, self.now, None, 0, is_debt=True)

    def spare(self, account: Account, issuer_id: int) -> Lot:
        """Where points go whose debt was repaid before the redemption was undone: for ever, at the usual price."""
        return self.open_lot(account, issuer_id, self.now, None, SETTLEMENT_PRICE_MILLIONTHS)


def canonical(ref: Ref) -> Ref:
    """The spelling under which a name is stored: a card's number without its leading zeros."""
    if ref.scheme == "card":
        return Ref("card", ref.value.strip().lstrip("0") or "0")
    return ref
