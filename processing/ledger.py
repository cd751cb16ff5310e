"""Claim, lock, read, write: the only reader and writer of keys, entries, lots and balances.

The order is what keeps every race right (docs/decisions/0002-batches.md): keys in sorted order, then accounts
in id order, then the clock, then the locked state in later statements, each with a snapshot of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, text

from processing import activity, audit, goods, learned_receipts, limits, people, selects, tables
from processing.activity import Activity
from processing.allocation import Back
from processing.claims import Claim, named_keys, own_keys, parts
from processing.commands import (
    Command,
    DecideAdjustment,
    EnrolHolder,
    IssueCard,
    MergeHolders,
    PlaceHold,
    PostReceipt,
    Ref,
    ReplaceCard,
    RestoreReceipt,
    ReturnReceipt,
    Transfer,
    VoidReceipt,
)
from processing.database import Database, Row, Statement, array, run, to_json, write
from processing.directory import Directory
from processing.documents import decode_document
from processing.errors import Busy
from processing.events import Stamps, Subscription, enqueue
from processing.ids import Ids
from processing.lots import Lot
from processing.names import WALLETS_CARDS, derived
from processing.numbers import MAKING_CARDS, capacity, products_of, spare_numbers
from processing.programme.facts import period_start
from processing.results import HoldPlaced, ReceiptReturned, accounts_of
from processing.reversals import living
from processing.secrets import Vault
from processing.state import (
    Account,
    Booked,
    Card,
    Earlier,
    Hold,
    Pending,
    Returned,
    State,
    Wallet,
    canonical,
    card_names,
)

# A till may invent station codes without end; beyond this many nothing more is learned.
MAX_TILLS = 10_000
MICROSECOND = timedelta(microseconds=1)
RECEIPT_COLUMNS = ("store_id", "till", "number", "business_date", "total_minor", "document", "base_id")
# A key leads to its head, a return to its sale: no more than this many steps.
CLAIM_ROUNDS = 4

# Printed names stay with the piece of plastic.
MOVE_NAMES = """
UPDATE identifier SET card_id = :new WHERE card_id = :old AND scheme NOT IN ('card', 'barcode', 'track')
"""
MOVE_CARDS = "UPDATE card SET wallet_id = :new WHERE wallet_id = :old"
MOVE_ACTIVITY = activity.ADD.format(
    rows="SELECT :new, day, name, turnover_minor, visits, earned, redeemed FROM activity WHERE wallet_id = :old"
)
FORGET_ACTIVITY = "DELETE FROM activity WHERE wallet_id = :old"
MOVE_MEMBERSHIP = """
INSERT INTO membership (wallet_id, programme, tier, since, review_on, counts_from, credit, look_on)
SELECT :new, programme, tier, since, review_on, counts_from, credit, look_on FROM membership WHERE wallet_id = :old
ON CONFLICT (wallet_id, programme) DO NOTHING
"""
FORGET_MEMBERSHIP = "DELETE FROM membership WHERE wallet_id = :old"


@dataclass(frozen=True, slots=True)
class Work:
    """What every batch works with beside its connection and its commands."""

    database: Database
    directory: Directory
    vault: Vault
    ids: Ids
    known_tills: set[tuple[int, str]] = field(default_factory=set)
    # Who is told of what a batch changes.
    subscriptions: tuple[Subscription, ...] = ()
    stamps: Stamps = field(default_factory=Stamps)


def refs_of(command: Command[Any]) -> list[Ref]:
    """The names of cards by which a command finds or makes what it works on."""
    if isinstance(command, (PostReceipt, ReturnReceipt)):
        return [ref for use in command.cards for ref in use.refs]
    if isinstance(command, IssueCard):
        own = [Ref("card", command.number)] if command.number else []
        known = [*([command.wallet_of] if command.wallet_of else []), *command.unless]
        return own + list(command.identifiers) + known
    if isinstance(command, ReplaceCard):
        own = [Ref("card", command.number)] if command.number else []
        return [command.card, *own, *command.identifiers]
    if isinstance(command, (Transfer, MergeHolders)):
        return [command.source, command.target]
    if isinstance(command, EnrolHolder):
        contacts = [Ref(kind, value) for kind, value in (("phone", command.phone), ("email", command.email)) if value]
        return [*([command.known] if command.known else []), *command.drop, *contacts, *command.names]
    return list(card_names(command))


@dataclass(slots=True)
class _Past:
    """What earlier operations, which the batch may undo or continue, have left behind."""

    operations: list[int]
    booked: dict[int, list[Booked]] = field(default_factory=dict)
    earlier: dict[int, Earlier] = field(default_factory=dict)
    returns: dict[int, list[Returned]] = field(default_factory=dict)
    receipts: dict[int, dict[str, Any]] = field(default_factory=dict)
    wallets: set[int] = field(default_factory=set)
    accounts: set[int] = field(default_factory=set)
    lots: set[int] = field(default_factory=set)
    holds: set[int] = field(default_factory=set)
    cards: set[int] = field(default_factory=set)


def claim_and_read(connection: Connection, work: Work, commands: Sequence[Command[Any]]) -> State:
    """Claim the keys, lock the accounts, read the clock and then everything the handlers may look at."""
    asked = [part for command in commands for part in parts(command)]
    spare = spare_numbers(work.directory, asked)
    sales = numbered_sales(connection, asked)
    claims, names = _claim(connection, work, asked, [n for numbers in spare.values() for n in numbers], sales.values())
    past = _past(connection, asked, claims)
    pending, more = _pending(connection, work, asked, claims)
    names |= more
    wallets = past.wallets | {wallet_id for _, wallet_id in names.values()}
    state = State(
        work.database.clock(work.database.host_clock()),
        work.directory,
        work.vault,
        work.ids,
        claims=claims,
        booked=past.booked,
        earlier=past.earlier,
        returns=past.returns,
        receipts=past.receipts,
        pending=pending,
        numbered_sales=sales,
    )
    cards = {card_id for card_id, _ in names.values()} | past.cards
    if any(isinstance(command, EnrolHolder) for command in asked):
        # Whether a card that is dropped is the last one is seen from all of them.
        (rows,) = run(connection, [(WALLETS_CARDS, {"wallets": _ids(wallets)})])
        cards |= {row[0] for row in rows}
    _read(connection, work, state, wallets, _reads_of(work, asked, past, wallets), selects.LOCK_WALLETS, cards)
    _read_expired(connection, work, state, asked, past.lots)
    state.cards = {ref: state.cards_by_id[card_id] for ref, (card_id, _) in names.items()}
    state.spare_numbers = {
        product: [number for number in numbers if canonical(Ref("card", number)) not in state.cards]
        for product, numbers in spare.items()
    }
    if any(card.wallet_id not in state.locked_wallets for card in state.cards_by_id.values()):
        raise Busy("a card's wallet was merged meanwhile")
    people.read(connection, work.vault, state.people, asked, state.locked_wallets, state.now)
    return state


def read_wallets(connection: Connection, work: Work, wallets: set[int], is_patient: bool) -> State:
    """The locked state of wallets for work that no command asks for.

    ``is_patient``: accounts that somebody else holds just now are left out instead of waited for.
    """
    state = State(work.database.host_clock(), work.directory, work.vault, work.ids)
    lock = selects.SKIP_WALLETS if is_patient else selects.LOCK_WALLETS
    _read(connection, work, state, wallets, {"wallets": (selects.WALLET_ROWS, {"wallets": _ids(wallets)})}, lock, set())
    return state


Reads = dict[str, tuple[Statement, Mapping[str, Any]]]


def _ids(values: Iterable[int]) -> str:
    return array(sorted(values))


def _reads_of(work: Work, asked: Sequence[Command[Any]], past: _Past, wallets: set[int]) -> Reads:
    """What this batch has to know beside cards, open lots and open holds."""
    reads: Reads = {}
    kinds = {type(command) for command in asked}
    if past.lots:
        reads["named_lots"] = (selects.NAMED_LOTS, {"lots": _ids(past.lots)})
    if past.holds:
        reads["named_holds"] = (selects.NAMED_HOLDS, {"holds": _ids(past.holds)})
    if past.wallets:
        reads["merged"] = (selects.MERGED, {"wallets": _ids(past.wallets)})
    if work.directory.limits_others and (limited := _limited(work.directory, asked)):
        since = period_start("month", work.database.clock(work.database.host_clock()).date()) - timedelta(days=1)
        reads["tallies"] = (limits.TALLIES, {"subjects": array(sorted(limited)), "since": since.isoformat()})
    if PlaceHold in kinds or MergeHolders in kinds:
        reads["wallets"] = (selects.WALLET_ROWS, {"wallets": _ids(wallets)})
    values = goods.wanted(work.directory, goods.receipts_of(asked))
    if values:
        reads["goods"] = (goods.KNOWN, {"values": array(sorted(values))})
    if names := learned_receipts.names_of(asked):
        reads["erased"] = (learned_receipts.ERASED, {"values": array(sorted(names))})
    for product in () if kinds.isdisjoint(MAKING_CARDS) else products_of(work.directory, asked):
        if product.value and not product.pin:
            most = capacity(product) + 1
            reads[f"issued {product.code}"] = (selects.ON_SALE, {"product": product.code, "most": most})
    return reads


def _limited(directory: Directory, asked: Sequence[Command[Any]]) -> set[str]:
    """Whose limits the batch's receipts count towards."""
    found: set[str] = set()
    for command in asked:
        if isinstance(command, PostReceipt):
            store = directory.store(command.store)
            found |= set(limits.subjects(store.id, store.partner_id, command.receipt).values())
    return found


def _happened_at(command: Command[Any]) -> datetime | None:
    """When a fact took place that draws points; some of them may have expired since."""
    if isinstance(command, PostReceipt) and command.fact and any(use.redeem for use in command.cards):
        return command.receipt.closed_at
    return None


def _read(
    connection: Connection,
    work: Work,
    state: State,
    wallets: set[int],
    more: Reads,
    lock: Statement,
    cards: set[int],
) -> None:
    """Lock the accounts of the wallets, then read the clock and what is behind them into the state."""
    wallet_ids = _ids(wallets)
    reads: Reads = {
        "locked": (lock, {"wallets": wallet_ids}),
        "cards": (selects.CARDS, {"cards": _ids(cards)}),
        "open_lots": (selects.OPEN_LOTS, {"wallets": wallet_ids}),
        "open_holds": (selects.OPEN_HOLDS, {"wallets": wallet_ids}),
        **more,
        **_reads_of_pasts(work.directory, wallet_ids),
    }
    found = dict(zip(reads, run(connection, list(reads.values())), strict=True))
    state.now = work.database.read_clock(found["cards"][0][0])
    state.locked_wallets = wallets
    for row in found["locked"]:
        account = Account(*row)
        state.accounts[account.wallet_id, account.unit] = state.accounts_by_id[account.id] = account
    for row in (*found["open_lots"], *found.get("named_lots", ())):
        _keep_lot(state, row)
    state.cards_by_id = {row[1]: Card(*row[1:]) for row in found["cards"] if row[1] is not None}
    for row in (*found["open_holds"], *found.get("named_holds", ())):
        _keep_hold(state, row)
    for row in found.get("wallets", ()):
        state.wallets[row[0]] = Wallet(*row)
    state.merged = {row[0]: row[1] for row in found.get("merged", ())}
    if any(target not in wallets for target in state.merged.values()):
        raise Busy("a wallet was merged meanwhile")
    state.issued = {name.removeprefix("issued "): rows[0][0] for name, rows in found.items() if " " in name}
    state.tallies.learn(found.get("tallies", ()))
    state.erased = {Ref(scheme, value): wallet for scheme, value, wallet in found.get("erased", ())}
    state.goods = goods.told(found.get("goods", ()))
    if "activity" in found or "birthdays" in found:
        activity_rows, members, born = (found.get(name, []) for name in ("activity", "members", "birthdays"))
        state.pasts.learn(work.vault, work.directory.units, activity_rows, members, born)
    if work.subscriptions:
        state.remember()
    state.end_due_holds()


def _reads_of_pasts(directory: Directory, wallet_ids: str) -> Reads:
    """What the wallets did before, where any programme looks at it."""
    asking, reads = {"wallets": wallet_ids}, Reads()
    if directory.asks_history:
        reads |= {"activity": (activity.ACTIVITY, asking), "members": (activity.MEMBERSHIPS, asking)}
    if directory.asks_birthday:
        reads["birthdays"] = (activity.BIRTHDAYS, asking)
    return reads


def _keep_lot(state: State, row: Row) -> Lot | None:
    """A lot of a locked account; None for one that had to be skipped."""
    account = state.accounts_by_id.get(row[1])
    return None if account is None else account.lots.setdefault(row[0], Lot(*row))


def _keep_hold(state: State, row: Row) -> None:
    account = state.accounts_by_id.get(row[4])
    if account is None:
        return
    undone, *told, lot_id, amount = row
    hold = state.holds.setdefault(told[0], Hold(*told))
    hold.is_undone = hold.is_undone or bool(undone)
    # A lock that was drawn stays open with pins of nothing, on lots that may be gone (state.unlock).
    if amount and lot_id not in hold.pins:
        hold.pins[lot_id] = amount
        account.lots[lot_id].held += amount


def _read_expired(
    connection: Connection, work: Work, state: State, asked: Sequence[Command[Any]], lots: set[int]
) -> None:
    """What lots have lost by expiry, where somebody may have a claim on it: late facts, and what filled them undone.

    Rare, so that nobody else pays for looking.
    """
    since = [at for command in asked if (at := _happened_at(command)) is not None]
    for account in state.accounts_by_id.values() if lots else ():
        since += [
            lot.expires_at - MICROSECOND
            for lot in account.lots.values()
            if lot.id in lots and lot.expires_at is not None and lot.is_expired(state.now)
        ]
    if not since:
        return
    asking = {"wallets": _ids(state.locked_wallets), "since": work.database.instant(min(since))}
    (rows,) = run(connection, [(selects.EXPIRED, asking)])
    by_lot: dict[tuple[int, int], list[tuple[datetime, int]]] = {}
    for account_id, wallet_id, unit, merged_into, effective_at, amount, *told in rows:
        if merged_into is not None:
            # It is empty for good, so that nobody locks it.
            state.merged[wallet_id] = merged_into
            state.accounts_by_id.setdefault(account_id, Account(account_id, wallet_id, unit, 0))
        if _keep_lot(state, told) is not None:
            by_lot.setdefault((account_id, told[0]), []).append((effective_at, -amount))
    for (account_id, lot_id), moved in by_lot.items():
        account, lot = living(state, account_id, lot_id)
        found = state.expired.setdefault(account.id, {})
        for at, left in _left(moved):
            found[lot.id, at] = found.get((lot.id, at), 0) + left


def _left(moved: list[tuple[datetime, int]]) -> list[tuple[datetime, int]]:
    """What of a lot's expiries has not been brought back, by instant: negative amounts did so, the earliest first."""
    back = -sum(amount for _, amount in moved if amount < 0)
    found = []
    for at, amount in sorted(moved):
        if amount > 0:
            undone = min(amount, back)
            back -= undone
            found.append((at, amount - undone))
    return found


def numbered_sales(connection: Connection, asked: Sequence[Command[Any]]) -> dict[int, tuple[int, str]]:
    """Where the sales stand that returns name by number: (store, key) by operation.

    Read before the keys are claimed, for this never changes; whether the operation still stands is seen afterwards.
    """
    numbers = {each.sale_operation for each in asked if isinstance(each, ReturnReceipt) and each.sale_operation}
    if not numbers:
        return {}
    (rows,) = run(connection, [(selects.RECEIPTS, {"operations": _ids(numbers)})])
    told = {row[0]: (row[1], decode_document(row[6]).key) for row in rows}
    return {number: place for number, place in told.items() if place[1]}


def _claim(
    connection: Connection,
    work: Work,
    asked: Sequence[Command[Any]],
    spare: Sequence[str],
    more: Iterable[tuple[int, str]],
) -> tuple[dict[tuple[int, str], Claim], dict[Ref, tuple[int, int]]]:
    """The locked claims of all keys and of ``more``, and which (card, wallet) each name leads to."""
    keys = {(work.directory.store(command.store).id, key) for command in asked for key in own_keys(command)}
    keys |= {(work.directory.store(store).id, key) for command in asked for store, key in named_keys(command)}
    keys |= set(more)
    refs = {canonical(ref) for command in asked for ref in refs_of(command)}
    refs |= {canonical(Ref("card", number)) for number in spare}
    claimed, resolved = run(
        connection,
        [
            (selects.CLAIM, {"keys": array_of_pairs(sorted(keys))}),
            (selects.RESOLVE, {"values": array(sorted({ref.value for ref in refs}))}),
        ],
    )
    claims = {(row[0], row[1]): Claim(*row) for row in claimed}
    for _ in range(CLAIM_ROUNDS):
        behind = sorted(_behind(work.directory, claims) - claims.keys())
        if not behind:
            break
        (rows,) = run(connection, [(selects.CLAIM, {"keys": array_of_pairs(behind)})])
        claims |= {(row[0], row[1]): Claim(*row) for row in rows}
    found = {Ref(scheme, value): (card_id, wallet_id) for scheme, value, card_id, wallet_id in resolved}
    names = {ref: found[ref] for ref in refs if ref in found}
    return claims, names | derived(connection, work.vault, refs, work.database.clock(work.database.host_clock()))


def _behind(directory: Directory, claims: Mapping[tuple[int, str], Claim]) -> set[tuple[int, str]]:
    """The keys that claimed ones lead to: their heads, and the sales of returns."""
    found = {(claim.store_id, claim.same_as) for claim in claims.values() if claim.same_as is not None}
    for claim in claims.values():
        if claim.operation_id is not None and claim.answer is not None and '"sale":' in claim.answer:
            stored = claim.stored()
            if isinstance(stored, ReceiptReturned) and stored.sale:
                found.add((directory.store(stored.sale_store).id, stored.sale))
    return found


def _past(connection: Connection, asked: Sequence[Command[Any]], claims: Mapping[tuple[int, str], Claim]) -> _Past:
    """The entries of operations that may be reversed, what came back of them, and whom they touched."""
    past = _Past(sorted({claim.operation_id for claim in claims.values() if claim.operation_id is not None}))
    for claim in claims.values():
        if claim.answer is not None:
            _recall(past, claim)
    if past.operations:
        _read_past(connection, asked, past)
    if past.wallets or past.accounts:
        asking = {"wallets": _ids(past.wallets), "accounts": _ids(past.accounts)}
        (rows,) = run(connection, [(selects.FOLLOW, asking)])
        past.wallets |= {wallet_id for row in rows for wallet_id in row if wallet_id is not None}
    return past


def _read_past(connection: Connection, asked: Sequence[Command[Any]], past: _Past) -> None:
    """Entries, returns and receipts of the operations; also of what they have reversed, where that may be restored."""
    ids = {"operations": array(past.operations)}
    booked, returns, earlier = run(connection, [(selects.BOOKED, ids), (selects.RETURNS, ids), (selects.EARLIER, ids)])
    past.earlier = {row[0]: Earlier(*row[1:]) for row in earlier}
    _keep_returns(past, returns)
    further: Reads = {}
    standing = {each.operation_id for some in past.returns.values() for each in some} - set(past.operations)
    if standing:
        further["booked"] = (selects.BOOKED, {"operations": _ids(standing)})
    if any(_goes_on(command) for command in asked):
        reversed_ids = {each.reverses_id for each in past.earlier.values() if each.reverses_id is not None}
        further["receipts"] = (selects.RECEIPTS, {"operations": _ids({*past.operations, *reversed_ids})})
        further["earlier"] = (selects.EARLIER, {"operations": _ids(reversed_ids)})
        further["returns"] = (selects.RETURNS, {"operations": _ids(reversed_ids)})
    if further:
        more = dict(zip(further, run(connection, list(further.values())), strict=True))
        booked += more.get("booked", [])
        past.earlier |= {row[0]: Earlier(*row[1:]) for row in more.get("earlier", ())}
        past.receipts = {row[0]: dict(zip(RECEIPT_COLUMNS, row[1:], strict=True)) for row in more.get("receipts", ())}
        for row in past.receipts.values():
            _keep_shares(past, row["document"])
        _keep_returns(past, more.get("returns", ()))
    past.booked = {operation_id: [] for operation_id in past.operations}
    for operation_id, account_id, lot_id, amount in booked:
        past.booked.setdefault(operation_id, []).append(Booked(account_id, lot_id, amount))
        if lot_id is not None:
            past.lots.add(lot_id)
            past.accounts.add(account_id)


def _goes_on(command: Command[Any]) -> bool:
    """Whether a command may undo a receipt or go on from it, and has to know what is in it."""
    return isinstance(command, (ReturnReceipt, RestoreReceipt, VoidReceipt)) or (
        isinstance(command, PostReceipt) and command.supersede
    )


def _recall(past: _Past, claim: Claim) -> None:
    """Whom a settled key touched: also a card that neither paid nor earned, and stands in no entry."""
    answer = claim.answer or ""
    if claim.operation_id is None and '"HoldPlaced"' not in answer and '"outcome":"pending"' not in answer:
        return
    stored = claim.stored()
    past.wallets |= accounts_of(stored)
    if isinstance(stored, HoldPlaced):
        past.holds.add(stored.hold_id)
    card_id = getattr(stored, "card_id", None)
    if isinstance(card_id, int):
        past.cards.add(card_id)


def _keep_shares(past: _Past, document: str) -> None:
    """The lots that a receipt was paid from and earned into, where a restore may have booked on others; the wallets
    to whose days it added, also those that no points went to."""
    told = decode_document(document)
    past.wallets |= {each.wallet_id for each in told.activity}
    for share in (*told.drawn, *told.gained, *told.loaded):
        past.lots.add(share.lot_id)
        past.accounts.add(share.account_id)


class _ReturnedLines(msgspec.Struct):
    """Of a return's document what says which lines of the sale came back."""

    returned: tuple[Back, ...] = ()
    activity: tuple[Activity, ...] = ()


_decode_returned = msgspec.json.Decoder(_ReturnedLines).decode


def _keep_returns(past: _Past, rows: Iterable[Row]) -> None:
    for base_id, operation_id, document in rows:
        told = _decode_returned(document)
        past.wallets |= {each.wallet_id for each in told.activity}
        past.returns.setdefault(base_id, []).append(Returned(operation_id, told.returned, told.activity))


def _pending(
    connection: Connection, work: Work, asked: Sequence[Command[Any]], claims: Mapping[tuple[int, str], Claim]
) -> tuple[dict[tuple[int, str], Pending], dict[Ref, tuple[int, int]]]:
    """The corrections that somebody decides about now, and the cards they are for."""
    pending: dict[tuple[int, str], Pending] = {}
    for command in asked:
        if isinstance(command, DecideAdjustment):
            claim = claims[work.directory.store(command.store).id, command.adjustment]
            place = (claim.store_id, claim.same_as or claim.key)
            (rows,) = run(connection, [(selects.PENDING, {"store_id": place[0], "key": place[1]})])
            if rows:
                pending[place] = Pending.of(rows[0])
    refs = {canonical(waiting.asked.card) for waiting in pending.values()}
    if not refs:
        return pending, {}
    (rows,) = run(connection, [(selects.RESOLVE, {"values": array(sorted({ref.value for ref in refs}))})])
    found = {Ref(scheme, value): (card_id, wallet_id) for scheme, value, card_id, wallet_id in rows}
    found |= derived(connection, work.vault, refs, work.database.clock(work.database.host_clock()))
    return pending, {ref: found[ref] for ref in refs if ref in found}


def array_of_pairs(keys: Iterable[tuple[int, str]]) -> str:
    return to_json(list(keys)).decode()


def write_state(connection: Connection, work: Work, state: State) -> None:
    """The difference between what was read and what the handlers made of it, as a few statements."""
    if work.subscriptions:
        enqueue(state, work.subscriptions, work.stamps)
    unused = sorted(key for key, claim in state.claims.items() if claim.is_fresh)
    if unused:
        run(connection, [(selects.RELEASE, {"keys": array_of_pairs(unused)})])
    new_tills = sorted(state.seen_tills - work.known_tills)
    if new_tills and len(work.known_tills) < MAX_TILLS:
        tills = [(store_id, code, state.now.isoformat()) for store_id, code in new_tills]
        run(connection, [(selects.TILLS, {"tills": to_json(tills).decode()})])
    for table, keys in state.deletes.items():
        for key in keys:
            connection.execute(delete(table).where(*(table.c[name] == value for name, value in key.items())))
    write(connection, _changed(state) | state.inserts, UPSERTED, ADDED)
    if state.moved_names:
        moved = [{"old": old, "new": new} for old, new in state.moved_names]
        connection.execute(text(MOVE_NAMES), moved)
    if state.moved_cards:
        moved = [{"old": old, "new": new} for old, new in state.moved_cards]
        for statement in (MOVE_CARDS, MOVE_ACTIVITY, FORGET_ACTIVITY, MOVE_MEMBERSHIP, FORGET_MEMBERSHIP):
            connection.execute(text(statement), moved)
    if state.audits:
        audit.append(connection, state.audits, state.now)


def _changed(state: State) -> dict[Table, list[dict[str, Any]]]:
    """The rows of what is new or has changed, by table, in the order in which they refer to each other."""
    accounts = state.new_accounts | state.changed_accounts
    cards = state.new_cards | state.changed_cards
    holds = state.changed_holds
    did, members = state.pasts.rows()
    return {
        tables.wallet: [_row(tables.wallet, wallet) for wallet in state.changed_wallets.values()],
        tables.account: [_row(tables.account, account) for account in accounts.values()],
        tables.card: [_row(tables.card, card) for card in cards.values()],
        tables.lot: [_row(tables.lot, lot) for lot in state.changed_lots.values()],
        tables.request_key: [
            _row(tables.request_key, claim)
            for claim in state.claims.values()
            if claim.is_changed and not claim.is_fresh
        ],
        tables.hold: [_row(tables.hold, hold) for hold in holds.values()],
        tables.hold_pin: [
            {"hold_id": hold.id, "lot_id": lot_id, "amount": amount}
            for hold in holds.values()
            for lot_id, amount in hold.pins.items()
        ],
        tables.pending_adjustment: [
            waiting.row(place) for place, waiting in state.pending.items() if waiting.is_changed
        ],
        tables.holder: [_row(tables.holder, holder) for holder in state.people.changed_holders.values()],
        tables.confirmation_code: [
            _row(tables.confirmation_code, code) for code in state.people.changed_codes.values()
        ],
        tables.person: [_row(tables.person, person) for person in state.people.changed_persons.values()],
        tables.activity: did,
        tables.membership: members,
        tables.tally: state.tallies.rows(),
        tables.goods: list(state.learned_goods.values()),
        tables.goods_name: list(state.learned_names.values()),
        tables.learned_receipt: list(state.learned_receipts.values()),
    }


UPSERTED = frozenset(
    {
        tables.wallet,
        tables.account,
        tables.card,
        tables.lot,
        tables.request_key,
        tables.hold,
        tables.hold_pin,
        tables.pending_adjustment,
        tables.holder,
        tables.confirmation_code,
        tables.person,
        tables.membership,
        tables.goods,
        tables.goods_name,
        tables.learned_receipt,
        tables.subscriber,
    }
)
# Sums that nobody has to read to add to them.
ADDED = frozenset({tables.activity, tables.tally})


@cache
def _columns(table: Table) -> tuple[list[str], Callable[[object], tuple[Any, ...]]]:
    names = table.columns.keys()
    return names, attrgetter(*names)


def _row(table: Table, thing: object) -> dict[str, Any]:
    """The table's row of something whose attributes are named like its columns."""
    names, read = _columns(table)
    return dict(zip(names, read(thing), strict=True))
