"""The locked state of one batch: what handlers read and change in memory before anything is written.

A handler decides first and changes last: whatever it calls before its first ``post`` may raise, nothing after
it does, so that a refused command drops only its own changes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Table

from processing import tables
from processing.activity import Activity, Pasts
from processing.allocation import Back
from processing.audit import Audited
from processing.claims import NONE, Claim, own_keys
from processing.commands import Adjust, Command, Ref
from processing.database import Row
from processing.directory import EXPIRED, Directory, StoreInfo
from processing.errors import CardNotFound, HoldNotFound, LoyaltyError
from processing.ids import Ids
from processing.limits import Tallies
from processing.lots import Lot, Move, soonest_first
from processing.people import People
from processing.results import HoldPlaced
from processing.secrets import Vault

# Names of cards that are worked out, not kept as identifiers.
PHONE, EMAIL, HOLDER, WALLET, TOKEN, UUID = "phone", "email", "holder", "wallet", "token", "uuid"
DERIVED = frozenset({PHONE, EMAIL, HOLDER, WALLET, TOKEN, UUID})

# States of a hold.
OPEN, CAPTURED, RELEASED, HOLD_EXPIRED = "open", "captured", "released", "expired"

_encode = msgspec.json.Encoder().encode


class Card(msgspec.Struct):
    id: int
    wallet_id: int
    product: str
    number: str
    status: str
    issued_at: datetime
    activated_at: datetime | None
    expires_at: datetime | None
    pin: str | None = None
    pin_wrong: str | None = None
    pin_tries: int = 0


class Account(msgspec.Struct):
    """A wallet's account in one unit, with its lots by id: the open ones, and those that old operations name."""

    id: int
    wallet_id: int
    unit: str
    balance: int
    lots: dict[int, Lot] = {}
    kind: str = "wallet"
    partner_id: int | None = None


class Hold(msgspec.Struct):
    """Value set aside until a deadline. ``pins``: how much of which lot, while it is open."""

    id: int
    store_id: int
    key: str
    account_id: int
    owner: str
    amount: int
    captured: int
    state: str
    placed_at: datetime
    until: datetime
    ended_at: datetime | None
    operation_id: int | None
    pins: dict[int, int] = {}
    # What captured it has been reversed since.
    is_undone: bool = False

    @property
    def is_over(self) -> bool:
        """Whether somebody has used or given it up; one whose capture was undone is only late."""
        return self.state == RELEASED or (self.state == CAPTURED and not self.is_undone)


class Wallet(msgspec.Struct):
    """``merged_into``: where it went; ``merging_into``: where it goes when its holds have ended."""

    id: int
    merged_into: int | None
    merging_into: int | None
    created_at: datetime


class Earlier(msgspec.Struct):
    """An operation as those look back at it that undo it or go on from it."""

    kind: str
    reverses_id: int | None
    programme_version_id: int | None
    booked_at: datetime


class Returned(msgspec.Struct, frozen=True):
    """A return that stands: its operation, and the sold lines that came back, as its receipt tells them."""

    operation_id: int
    lines: tuple[Back, ...]
    activity: tuple[Activity, ...] = ()


class Pending(msgspec.Struct):
    """A correction that waits for a second person."""

    asked: Adjust
    asked_by: str
    asked_at: datetime
    state: str = "pending"
    decided_by: str | None = None
    decided_at: datetime | None = None
    operation_id: int | None = None
    is_changed: bool = False

    @classmethod
    def of(cls, row: Row) -> Pending:
        """From the columns of its table."""
        _, _, command, *told = row
        return cls(msgspec.json.decode(command, type=Adjust), *told)

    def row(self, place: tuple[int, str]) -> dict[str, Any]:
        return {
            "store_id": place[0],
            "key": place[1],
            "command": msgspec.Raw(_encode(self.asked)),
            "asked_by": self.asked_by,
            "asked_at": self.asked_at,
            "state": self.state,
            "decided_by": self.decided_by,
            "decided_at": self.decided_at,
            "operation_id": self.operation_id,
        }


class Posting(msgspec.Struct, frozen=True):
    """One entry to be; an entry of a wallet's account names the lot."""

    account_id: int
    unit: str
    amount: int
    account: Account | None = None
    lot: Lot | None = None


class Booked(msgspec.Struct, frozen=True):
    """An entry of an earlier operation, as a reversal needs it."""

    account_id: int
    lot_id: int | None
    amount: int


@dataclass(frozen=True, slots=True)
class Before:
    """What a batch found, as far as somebody wants to be told of changes: statuses of cards and balances of accounts
    by id, tiers by wallet and programme."""

    statuses: Mapping[int, str] = field(default_factory=dict)
    balances: Mapping[int, int] = field(default_factory=dict)
    tiers: Mapping[tuple[int, str], str] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """Everything one batch has locked and read, and everything it will write."""

    now: datetime
    directory: Directory
    vault: Vault
    ids: Ids
    claims: dict[tuple[int, str], Claim] = field(default_factory=dict)
    cards: dict[Ref, Card] = field(default_factory=dict)
    cards_by_id: dict[int, Card] = field(default_factory=dict)
    accounts: dict[tuple[int, str], Account] = field(default_factory=dict)
    accounts_by_id: dict[int, Account] = field(default_factory=dict)
    locked_wallets: set[int] = field(default_factory=set)
    booked: dict[int, list[Booked]] = field(default_factory=dict)
    earlier: dict[int, Earlier] = field(default_factory=dict)
    # By the operation of the sale: the returns that stand.
    returns: dict[int, list[Returned]] = field(default_factory=dict)
    # By operation: the row of its receipt, as far as somebody may go on from it.
    receipts: dict[int, dict[str, Any]] = field(default_factory=dict)
    holds: dict[int, Hold] = field(default_factory=dict)
    # By account, for facts that happened before it: what lots lost by expiry, under (lot id, instant).
    expired: dict[int, dict[tuple[int, datetime], int]] = field(default_factory=dict)
    # Wallets as far as merges are concerned; ``merged`` leads from one that is gone to the one it is part of.
    wallets: dict[int, Wallet] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)
    people: People = field(default_factory=People)
    pasts: Pasts = field(default_factory=Pasts)
    tallies: Tallies = field(default_factory=Tallies)
    pending: dict[tuple[int, str], Pending] = field(default_factory=dict)
    # How many cards of a product of value there are, as far as it matters.
    issued: dict[str, int] = field(default_factory=dict)
    spare_numbers: dict[str, list[str]] = field(default_factory=dict)
    before: Before = field(default_factory=Before)

    # (store, key) of the sales that returns of this batch name by the number of their operation.
    numbered_sales: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    # Wallets of erased holders, by the names that learned receipts have for their cards.
    erased: Mapping[Ref, int] = field(default_factory=dict)
    # What is known of goods that lines without a category name (processing/goods.py).
    goods: Mapping[str, Any] = field(default_factory=dict)

    new_accounts: dict[int, Account] = field(default_factory=dict)
    new_cards: dict[int, Card] = field(default_factory=dict)
    inserts: dict[Table, list[dict[str, Any]]] = field(default_factory=dict)
    # Cards whose names in outside systems another card takes over.
    moved_names: list[tuple[int, int]] = field(default_factory=list)
    # Wallets whose cards all go to another one.
    moved_cards: list[tuple[int, int]] = field(default_factory=list)
    deletes: dict[Table, list[dict[str, Any]]] = field(default_factory=dict)
    audits: list[Audited] = field(default_factory=list)
    seen_tills: set[tuple[int, str]] = field(default_factory=set)
    changed_cards: dict[int, Card] = field(default_factory=dict)
    changed_accounts: dict[int, Account] = field(default_factory=dict)
    changed_lots: dict[int, Lot] = field(default_factory=dict)
    changed_holds: dict[int, Hold] = field(default_factory=dict)
    changed_wallets: dict[int, Wallet] = field(default_factory=dict)
    # Rows by primary key: of goods or receipts that are told twice the later counts.
    learned_goods: dict[str, dict[str, Any]] = field(default_factory=dict)
    learned_names: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    learned_receipts: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)

    # Reading ------------------------------------------------------------------------------------------------

    def remember(self) -> None:
        """Keep what was found, to tell what has changed."""
        self.before = Before(
            {card.id: card.status for card in self.cards_by_id.values()},
            {account.id: account.balance for account in self.accounts_by_id.values()},
            {place: member.held.tier for place, member in self.pasts.members.items()},
        )

    def audit(self, command: Command[Any], action: str, target: str, **details: Any) -> None:
        """Remember an administrative change, without personal data."""
        store_id = self.store(command.store).id
        self.audits.append(Audited(command.actor, action, store_id, target, details))

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
        found = self.accounts.get((wallet_id, unit))
        if found is None:
            self.directory.unit(unit)
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
        claims = [self.claims[store_id, key] for key in own_keys(command)]
        if len(claims) == 1:
            return claims if claims[0].same_as is None else [self.head(store_id, claims[0].key)]
        heads: dict[str, Claim] = {}
        for claim in claims:
            if not claim.is_fresh:
                head = self.head(store_id, claim.key)
                heads[head.key] = head
        return list(heads.values()) or claims[:1]

    def head(self, store_id: int, key: str) -> Claim:
        """The claim that keeps what this key of the store stands for."""
        claim = self.claims[store_id, key]
        return claim if claim.same_as is None else self.claims[store_id, claim.same_as]

    def lay_aside(self, claim: Claim) -> None:
        """Make a key free for something new; what it stood for is known by the key and its time from then on."""
        kept = msgspec.structs.replace(claim, key=f"{claim.key}@{claim.stamp}", is_changed=True)
        self.claims[kept.store_id, kept.key] = kept
        claim.state, claim.content, claim.stamp, claim.operation_id = NONE, None, None, None
        claim.answer = claim.result = claim.void_stamp = None
        claim.is_changed = True

    def attach(self, command: Command[Any], head: Claim) -> None:
        """Keys of the command that nobody has used become further names of the head."""
        for key in own_keys(command):
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

    def take_out(self, table: Table, key: dict[str, Any]) -> None:
        """Delete a row; one that this batch has only just made is never written."""
        rows = self.inserts.get(table, [])
        kept = [row for row in rows if any(row[name] != value for name, value in key.items())]
        if len(kept) < len(rows):
            self.inserts[table] = kept
        else:
            self.deletes.setdefault(table, []).append(key)

    def open_wallet(self) -> int:
        """A new wallet with an account in every unit."""
        wallet_id = self.ids.take("wallet")
        self.locked_wallets.add(wallet_id)
        self.wallets[wallet_id] = self.changed_wallets[wallet_id] = Wallet(wallet_id, None, None, self.now)
        for unit in self.directory.units:
            self.open_account(wallet_id, unit)
        return wallet_id

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
        entries = self.inserts.setdefault(tables.entry, [])
        for posting in postings:
            amount, lot = posting.amount, posting.lot
            if amount == 0:
                continue
            balance[posting.unit] = balance.get(posting.unit, 0) + amount
            lot_id = lot.id if lot else None
            entries.append(
                {
                    "operation_id": operation_id,
                    "n": len(booked),
                    "account_id": posting.account_id,
                    "lot_id": lot_id,
                    "amount": amount,
                    "effective_at": effective_at,
                    "booked_at": self.now,
                }
            )
            booked.append(Booked(posting.account_id, lot_id, amount))
            if posting.account is not None:
                posting.account.balance += amount
                self.changed_accounts[posting.account_id] = posting.account
            if lot is not None:
                lot.remaining += amount
                lot.is_open = lot.remaining != 0
                self.changed_lots[lot.id] = lot
        if any(balance.values()):
            raise AssertionError(f"operation of kind {kind} does not balance: {balance}")
        self.booked[operation_id] = booked
        self.earlier[operation_id] = Earlier(kind, reverses_id, programme_version_id, self.now)
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

    def system(self, partner_id: int, kind: str, unit: str, amount: int) -> Posting:
        """The entry of the account that a partner has for this."""
        return Posting(self.directory.system(partner_id, kind, unit), unit, amount)

    def expiry(self, account: Account, lot: Lot, amount: int) -> list[Posting]:
        """The entries by which so much of a lot expires, for its issuer; less than nothing comes back.

        Who gives stands first.
        """
        entries = [*self.moved(account, [(lot, -amount)]), self.system(lot.issuer_id, EXPIRED, account.unit, amount)]
        return entries if amount > 0 else entries[::-1]

    def debt(self, account: Account, issuer_id: int, moves: Iterable[Move] = ()) -> Lot:
        """The lot that carries the account's debt to a partner: there is one, be it one that the moves open again."""
        opened = {lot.id for lot, _ in moves}
        for lot in account.lots.values():
            if lot.is_debt and lot.issuer_id == issuer_id and (lot.remaining or lot.id in opened):
                return lot
        return self.open_lot(account, issuer_id, self.now, None, self.directory.price_of(account.unit), is_debt=True)

    def spare(self, account: Account, issuer_id: int) -> Lot:
        """Where points go whose debt was repaid before the redemption was undone: for ever, at today's price."""
        return self.open_lot(account, issuer_id, self.now, None, self.directory.price_of(account.unit))

    def extend(self, account_id: int, lot_id: int, expires_at: datetime) -> None:
        """A lot lives until another time."""
        lot = self.accounts_by_id[account_id].lots[lot_id]
        lot.expires_at = expires_at
        self.changed_lots[lot.id] = lot

    # Holds --------------------------------------------------------------------------------------------------

    def named_hold(self, store: str, key: str) -> Hold:
        """The hold that was placed under a key of the store. Errors: HoldNotFound."""
        head = self.head(self.store(store).id, key)
        stored = head.stored() if head.answer is not None else None
        if not isinstance(stored, HoldPlaced) or stored.hold_id not in self.holds:
            raise HoldNotFound("no hold was placed under this key")
        return self.holds[stored.hold_id]

    def from_pins(self, account: Account, hold: Hold, amount: int) -> list[Move]:
        """The moves that take an amount from what a hold pins, soonest expiring first, as far as it goes."""
        moves: list[Move] = []
        for lot in sorted((account.lots[lot_id] for lot_id in hold.pins), key=soonest_first):
            taken = min(hold.pins[lot.id], amount)
            if taken:
                moves.append((lot, -taken))
                amount -= taken
        return moves

    def open_holds(self, account: Account) -> list[Hold]:
        return [hold for hold in self.holds.values() if hold.account_id == account.id and hold.state == OPEN]

    def locks(self, account: Account, command: Command[Any]) -> list[Hold]:
        """What the command's owner holds on the account: an owner is a till or an order of its own store."""
        owner, store_id = getattr(command, "owner", ""), self.store(command.store).id
        if not owner:
            return []
        return [hold for hold in self.open_holds(account) if (hold.store_id, hold.owner) == (store_id, owner)]

    def is_locked_since(self, command: Command[Any], at: datetime | None) -> bool:
        """Whether the command's owner has locked its card after this instant."""
        card = next((card for ref in card_names(command) if (card := self.cards.get(canonical(ref)))), None)
        accounts = [each for each in self.accounts.values() if card is not None and each.wallet_id == card.wallet_id]
        return any(at is None or hold.placed_at > at for each in accounts for hold in self.locks(each, command))

    def unlock(self, holds: Iterable[Hold]) -> None:
        """What they pin is free, or drawn by whoever held it. They stay open without pins until their deadline, as a
        mark: what their owner does next belongs to this visit of the card until it is locked anew."""
        for hold in holds:
            for lot_id, amount in hold.pins.items():
                self.accounts_by_id[hold.account_id].lots[lot_id].held -= amount
            hold.pins = dict.fromkeys(hold.pins, 0)
            hold.amount = 0
            self.changed_holds[hold.id] = hold

    def pin(self, account: Account, hold: Hold, moves: Iterable[Move]) -> None:
        """Set aside what the moves would draw."""
        for lot, amount in moves:
            hold.pins[lot.id] = hold.pins.get(lot.id, 0) - amount
            lot.held -= amount
        self.holds[hold.id] = self.changed_holds[hold.id] = hold

    def end_hold(
        self, hold: Hold, state: str, at: datetime, captured: int = 0, operation_id: int | None = None
    ) -> None:
        """The hold is over, or captured late: what it pinned is free, or drawn by whoever captures it."""
        for lot_id, amount in hold.pins.items():
            self.accounts_by_id[hold.account_id].lots[lot_id].held -= amount
        hold.pins = {}
        hold.ended_at = hold.ended_at or at
        hold.state, hold.captured, hold.operation_id, hold.is_undone = state, captured, operation_id, False
        self.changed_holds[hold.id] = hold

    def end_due_holds(self) -> int:
        """End what is past its deadline by the batch's clock; how many."""
        due = [hold for hold in self.holds.values() if hold.state == OPEN and hold.until <= self.now]
        for hold in due:
            self.end_hold(hold, HOLD_EXPIRED, hold.until)
        return len(due)

    # All or nothing -----------------------------------------------------------------------------------------

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Whatever several handlers change inside; a refusal takes all of it back, but not the tries of PINs."""
        # The schema's tables stand in some of it as keys; they are what they are.
        memo: dict[int, Any] = {id(table): table for table in tables.metadata.tables.values()}
        saved = {name: copy.deepcopy(getattr(self, name), memo) for name in _MUTABLE}
        try:
            yield
        except LoyaltyError:
            tries = {card.id: (card.pin_tries, card.pin_wrong) for card in self.changed_cards.values()}
            for name, value in saved.items():
                setattr(self, name, value)
            for card in self.cards.values():
                if card.id in tries and (card.pin_tries, card.pin_wrong) != tries[card.id]:
                    card.pin_tries, card.pin_wrong = tries[card.id]
                    self.changed_cards[card.id] = card
            raise


def card_names(command: Command[Any]) -> tuple[Ref, ...]:
    """The names of the command's one card, in the order in which they are tried."""
    card = getattr(command, "card", None)
    return (*((card,) if isinstance(card, Ref) else ()), *getattr(command, "others", ()))


def canonical(ref: Ref) -> Ref:
    """The spelling under which a name is stored: a card's number without its leading zeros."""
    if ref.scheme != "card":
        return ref
    value = ref.value.strip().lstrip("0") or "0"
    return ref if value == ref.value else Ref("card", value)


# What a batch changes; the rest of its state is given.
_MUTABLE = tuple(
    each.name
    for each in fields(State)
    if each.name not in ("now", "directory", "vault", "ids", "spare_numbers", "before")
)
