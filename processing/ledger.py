"""Claim, lock, read, write: the only reader and writer of keys, entries, lots and balances.

The order is what keeps every race right (docs/decisions/0002-batches.md): keys in sorted order, then accounts
in id order, then the clock, then the locked state in later statements, each with a snapshot of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import compress
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Integer, Table, column

from processing import tables
from processing.commands import (
    ActivateCard,
    Adjust,
    Command,
    IssueCard,
    PostReceipt,
    Ref,
    RegisterHolder,
    TopUp,
)
from processing.database import Database, Statement, array, run, to_json, write
from processing.directory import Directory
from processing.holders import contacts_of
from processing.ids import Ids
from processing.lots import Lot
from processing.numbers import spare_numbers
from processing.results import cards_of
from processing.secrets import Vault
from processing.state import Account, Booked, Card, Claim, State, canonical

_key, _card, _account, _lot, _entry = (
    tables.request_key.c,
    tables.card.c,
    tables.account.c,
    tables.lot.c,
    tables.entry.c,
)

# A till may invent station codes without end; beyond this many nothing more is learned.
MAX_TILLS = 10_000

_CLAIM_COLUMNS = "store_id, key, same_as, state, content, stamp, operation_id, answer, void_stamp"
CLAIM = Statement(
    f"""
    WITH asked AS (SELECT (pair->>0)::bigint AS store_id, pair->>1 AS key FROM json_array_elements(:keys ::json) pair)
    INSERT INTO request_key (store_id, key)
    SELECT store_id, key FROM (
        SELECT store_id, key FROM asked UNION
        SELECT a.store_id, (SELECT r.same_as FROM request_key r WHERE r.store_id = a.store_id AND r.key = a.key)
        FROM asked a
    ) named WHERE key IS NOT NULL ORDER BY store_id, key COLLATE "C"
    ON CONFLICT (store_id, key) DO UPDATE SET key = excluded.key
    RETURNING {_CLAIM_COLUMNS}
    """,
    _key.store_id,
    _key.key,
    _key.same_as,
    _key.state,
    _key.content,
    _key.stamp,
    _key.operation_id,
    _key.answer,
    _key.void_stamp,
    sqlite=f"""
    INSERT INTO request_key (store_id, key)
    SELECT value->>0, value->>1 FROM json_each(:keys) WHERE true
    ON CONFLICT (store_id, key) DO UPDATE SET key = excluded.key
    RETURNING {_CLAIM_COLUMNS}
    """,
)
RESOLVE = Statement(
    """
    SELECT i.scheme, i.value, i.card_id, (SELECT c.wallet_id FROM card c WHERE c.id = i.card_id)
    FROM identifier i WHERE i.value IN_TEXTS(:values)
    """,
    tables.identifier.c.scheme,
    tables.identifier.c.value,
    tables.identifier.c.card_id,
    _card.wallet_id,
)
BOOKED = Statement(
    """
    SELECT operation_id, account_id, lot_id, amount FROM entry
    WHERE operation_id IN_IDS(:operations) ORDER BY operation_id, n
    """,
    _entry.operation_id,
    _entry.account_id,
    _entry.lot_id,
    _entry.amount,
)
WALLETS = Statement(
    "SELECT DISTINCT wallet_id FROM account WHERE id IN_IDS(:accounts) AND wallet_id IS NOT NULL",
    _account.wallet_id,
)
LOCK_WALLETS = Statement(
    "SELECT id, wallet_id, unit, balance FROM account WHERE wallet_id IN_IDS(:wallets) ORDER BY id FOR_UPDATE",
    _account.id,
    _account.wallet_id,
    _account.unit,
    _account.balance,
)
# The clock comes with the first statement after the locks, and also when there is no card at all.
CARDS = Statement(
    """
    SELECT clock_timestamp(),
           c.id, c.wallet_id, c.product, c.number, c.status, c.issued_at, c.activated_at, c.expires_at
    FROM (SELECT 1) always LEFT JOIN card c ON c.id IN_IDS(:cards)
    """,
    column("clock", Integer),
    _card.id,
    _card.wallet_id,
    _card.product,
    _card.number,
    _card.status,
    _card.issued_at,
    _card.activated_at,
    _card.expires_at,
    sqlite="""
    SELECT 0, c.id, c.wallet_id, c.product, c.number, c.status, c.issued_at, c.activated_at, c.expires_at
    FROM (SELECT 1) always LEFT JOIN card c ON c.id IN_IDS(:cards)
    """,
)
_LOT_COLUMNS = """
    l.id, l.account_id, l.issuer_id, l.price_millionths, l.remaining, l.is_open,
    l.available_from, l.expires_at, l.is_debt"""
_LOT_TYPES = (
    _lot.id,
    _lot.account_id,
    _lot.issuer_id,
    _lot.price_millionths,
    _lot.remaining,
    _lot.is_open,
    _lot.available_from,
    _lot.expires_at,
    _lot.is_debt,
)
RELEASE = Statement(
    """
    DELETE FROM request_key r USING json_array_elements(:keys ::json) pair
    WHERE r.store_id = (pair->>0)::bigint AND r.key = pair->>1
    """,
    sqlite="""
    DELETE FROM request_key WHERE (store_id, key) IN (SELECT value->>0, value->>1 FROM json_each(:keys))
    """,
)
TILLS = Statement(
    """
    INSERT INTO till (store_id, code, first_seen_at)
    SELECT (t->>0)::bigint, t->>1, (t->>2)::timestamptz FROM json_array_elements(:tills ::json) t
    ON CONFLICT DO NOTHING
    """,
    sqlite="""
    INSERT INTO till (store_id, code, first_seen_at)
    SELECT value->>0, value->>1, CAST(unixepoch(value->>2) AS INTEGER) * 1000000 FROM json_each(:tills) WHERE true
    ON CONFLICT DO NOTHING
    """,
)
OPEN_LOTS = Statement(
    f"""
    SELECT {_LOT_COLUMNS} FROM lot l
    WHERE l.is_open AND l.account_id IN_ROWS(SELECT a.id FROM account a WHERE a.wallet_id IN_IDS(:wallets) END_ROWS)
    """,
    *_LOT_TYPES,
)
NAMED_LOTS = Statement(f"SELECT {_LOT_COLUMNS} FROM lot l WHERE l.id IN_IDS(:lots)", *_LOT_TYPES)
CONTACTS = Statement(
    "SELECT kind, holder_id FROM contact WHERE kind = :kind AND blind_index = :blind_index",
    tables.contact.c.kind,
    tables.contact.c.holder_id,
)
HOLDERS = Statement(
    "SELECT wallet_id, id FROM holder WHERE wallet_id IN_IDS(:wallets)",
    tables.holder.c.wallet_id,
    tables.holder.c.id,
)


@dataclass(frozen=True, slots=True)
class Work:
    """What every batch works with beside its connection and its commands."""

    database: Database
    directory: Directory
    vault: Vault
    ids: Ids
    known_tills: set[tuple[int, str]] = field(default_factory=set)


def refs_of(command: Command[Any]) -> list[Ref]:
    """The names of cards by which a command finds or makes what it works on."""
    if isinstance(command, PostReceipt):
        return [ref for use in command.cards for ref in use.refs]
    if isinstance(command, ActivateCard | RegisterHolder | TopUp | Adjust):
        return [command.card]
    if isinstance(command, IssueCard):
        own = [Ref("card", command.number)] if command.number else []
        return own + list(command.identifiers) + ([command.wallet_of] if command.wallet_of else [])
    return []


def claim_and_read(connection: Connection, work: Work, commands: Sequence[Command[Any]]) -> State:
    """Claim the keys, lock the accounts, read the clock and then everything the handlers may look at."""
    spare = spare_numbers(work.directory, commands)
    claims, cards = _claim(connection, work, commands, [n for numbers in spare.values() for n in numbers])
    operations = sorted({claim.operation_id for claim in claims.values() if claim.operation_id is not None})
    booked, wallets = _booked(connection, operations)
    wallets |= {wallet_id for _, wallet_id in cards.values()}
    # A card that neither paid nor earned is told of in the answer, but in no entry.
    wallets |= {moved.account for claim in claims.values() if claim.operation_id for moved in cards_of(claim.stored())}
    lots = sorted({entry.lot_id for entries in booked.values() for entry in entries if entry.lot_id is not None})
    contacts = sorted(
        {
            contact.index
            for command in commands
            if isinstance(command, RegisterHolder)
            for contact in contacts_of(work.vault, command)
        }
    )
    wallet_ids = array(sorted(wallets))
    reads: list[tuple[Statement, Mapping[str, Any]]] = [
        (LOCK_WALLETS, {"wallets": wallet_ids}),
        (CARDS, {"cards": array(sorted({card_id for card_id, _ in cards.values()}))}),
        (OPEN_LOTS, {"wallets": wallet_ids}),
        (NAMED_LOTS, {"lots": array(lots)}),
        (HOLDERS, {"wallets": wallet_ids}),
        *((CONTACTS, {"kind": kind, "blind_index": index}) for kind, index in contacts),
    ]
    registers = any(isinstance(command, RegisterHolder) for command in commands)
    wanted = [True, True, True, bool(lots), registers, *(True for _ in contacts)]
    rows = iter(run(connection, list(compress(reads, wanted))))
    locked, card_rows, open_lots, named_lots, holders, *found = (next(rows) if want else [] for want in wanted)
    now = work.database.read_clock(card_rows[0][0])
    state = State(now, work.directory, work.vault, work.ids, claims=claims, booked=booked, locked_wallets=wallets)
    for row in locked:
        account = Account(*row)
        state.accounts[account.wallet_id, account.unit] = state.accounts_by_id[account.id] = account
    for row in (*open_lots, *named_lots):
        lot = Lot(*row)
        state.accounts_by_id[lot.account_id].lots[lot.id] = lot
    by_id = {row[1]: Card(*row[1:]) for row in card_rows if row[1] is not None}
    state.cards = {ref: by_id[card_id] for ref, (card_id, _) in cards.items()}
    state.spare_numbers = {
        product: [number for number in numbers if canonical(Ref("card", number)) not in state.cards]
        for product, numbers in spare.items()
    }
    state.holders = {row[0]: row[1] for row in holders}
    state.contacts = {contact: rows[0][1] for contact, rows in zip(contacts, found, strict=True) if rows}
    return state


def _claim(
    connection: Connection, work: Work, commands: Sequence[Command[Any]], spare: Sequence[str]
) -> tuple[dict[tuple[int, str], Claim], dict[Ref, tuple[int, int]]]:
    """The locked claims of all keys, and which (card, wallet) each name leads to."""
    keys = sorted({(work.directory.store(c.store).id, key) for c in commands for key in c.keys})
    refs = {canonical(ref) for command in commands for ref in refs_of(command)}
    refs |= {canonical(Ref("card", number)) for number in spare}
    claimed, resolved = run(
        connection,
        [
            (CLAIM, {"keys": array_of_pairs(keys)}),
            (RESOLVE, {"values": array(sorted({ref.value for ref in refs}))}),
        ],
    )
    claims = {(row[0], row[1]): Claim(*row) for row in claimed}
    heads = sorted({(c.store_id, c.same_as) for c in claims.values() if c.same_as is not None} - claims.keys())
    if heads:
        (rows,) = run(connection, [(CLAIM, {"keys": array_of_pairs(heads)})])
        claims |= {(row[0], row[1]): Claim(*row) for row in rows}
    found = {Ref(scheme, value): (card_id, wallet_id) for scheme, value, card_id, wallet_id in resolved}
    return claims, {ref: found[ref] for ref in refs if ref in found}


def _booked(connection: Connection, operations: list[int]) -> tuple[dict[int, list[Booked]], set[int]]:
    """The entries of operations that may be reversed, and the wallets that they touched."""
    if not operations:
        return {}, set()
    booked: dict[int, list[Booked]] = {operation_id: [] for operation_id in operations}
    (rows,) = run(connection, [(BOOKED, {"operations": array(operations)})])
    for operation_id, account_id, lot_id, amount in rows:
        booked[operation_id].append(Booked(account_id, lot_id, amount))
    (wallets,) = run(connection, [(WALLETS, {"accounts": array(sorted({row[1] for row in rows}))})])
    return booked, {row[0] for row in wallets}


def array_of_pairs(keys: Iterable[tuple[int, str]]) -> str:
    return to_json(list(keys)).decode()


def write_state(connection: Connection, work: Work, state: State) -> None:
    """The difference between what was read and what the handlers made of it, as a few statements."""
    unused = sorted(key for key, claim in state.claims.items() if claim.is_fresh)
    if unused:
        run(connection, [(RELEASE, {"keys": array_of_pairs(unused)})])
    new_tills = sorted(state.seen_tills - work.known_tills)
    if new_tills and len(work.known_tills) < MAX_TILLS:
        tills = [(store_id, code, state.now.isoformat()) for store_id, code in new_tills]
        run(connection, [(TILLS, {"tills": to_json(tills).decode()})])
    accounts = state.new_accounts | state.changed_accounts
    cards = state.new_cards | state.changed_cards
    rows: dict[Table, list[dict[str, Any]]] = {
        tables.wallet: state.new_wallets,
        tables.account: [_row(tables.account, account) for account in accounts.values()],
        tables.card: [_row(tables.card, card) for card in cards.values()],
        tables.lot: [_row(tables.lot, lot) for lot in state.changed_lots.values()],
        tables.request_key: [_row(tables.request_key, claim) for claim in state.claims.values() if claim.is_changed],
    }
    write(connection, rows | state.inserts, UPSERTED)


UPSERTED = frozenset({tables.account, tables.card, tables.lot, tables.request_key})


@cache
def _columns(table: Table) -> tuple[list[str], Callable[[object], tuple[Any, ...]]]:
    names = table.columns.keys()
    return names, attrgetter(*names)


def _row(table: Table, thing: object) -> dict[str, Any]:
    """The table's row of something whose attributes are named like its columns."""
    names, read = _columns(table)
    return dict(zip(names, read(thing), strict=True))
