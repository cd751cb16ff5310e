"""Which operations of the live books the played messages have booked, and what came to the wallets by other ways.

A message's operation is known by its request key, and its older versions by the receipt that they tell: store, till,
number and day. What belongs to no message (another store's receipt, a correction, a message that the log has lost) is
booked in the scratch books when it was booked in the live ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, column

from processing import tables
from processing.claims import named_keys, own_keys, parts
from processing.commands import Ask, Command, Exchange, PostReceipt, RestoreReceipt, ReturnReceipt, VoidReceipt
from processing.database import Row, Statement, array, run
from processing.execute import Core
from processing.ledger import numbered_sales
from processing.simulation import selects
from processing.simulation.books import holding, net
from processing.simulation.events import Holding, Moved

# Void, restore, void again: nobody goes on like this for longer.
MAX_REVERSALS = 64
# Keys and operations of one question to the books.
BITE = 500

_operation, _receipt, _key = tables.operation.c, tables.receipt.c, tables.request_key.c
_ABOUT = "o.id, o.kind, o.reverses_id, o.booked_at, r.store_id, r.till, r.number, r.business_date"
_ABOUT_TYPES = (
    *(_operation[name] for name in ("id", "kind", "reverses_id", "booked_at")),
    *(_receipt[name] for name in ("store_id", "till", "number", "business_date")),
)
OPERATIONS = Statement(
    f"SELECT {_ABOUT} FROM operation o LEFT JOIN receipt r ON r.operation_id = o.id WHERE o.id IN_IDS(:operations)",
    *_ABOUT_TYPES,
)
# Expiry comes by itself.
SINCE = Statement(
    f"""
    SELECT DISTINCT {_ABOUT}
    FROM wallet w JOIN account a ON a.wallet_id = w.id JOIN entry e ON e.account_id = a.id
    JOIN operation o ON o.id = e.operation_id LEFT JOIN receipt r ON r.operation_id = o.id
    WHERE (w.id IN_IDS(:wallets) OR w.merged_into IN_IDS(:wallets)) AND e.lot_id IS NOT NULL
      AND e.booked_at >= :since AND e.booked_at < :until AND o.kind NOT IN ('expiry', 'expiry_undone')
    ORDER BY o.id
    """,
    *_ABOUT_TYPES,
)
HEADS = Statement(
    """
    SELECT k.store_id, k.key, coalesce(h.operation_id, k.operation_id) AS operation_id
    FROM request_key k LEFT JOIN request_key h ON h.store_id = k.store_id AND h.key = k.same_as
    WHERE k.key IN_TEXTS(:keys)
    """,
    _key.store_id,
    _key.key,
    column("operation_id", BigInteger),
)

Key = tuple[str, str]
Thing = tuple[Any, ...]


class Told(NamedTuple):
    """A row of operation with the receipt that it tells, if any."""

    id: int
    kind: str
    reverses_id: int | None
    booked_at: datetime
    store_id: int | None
    till: str | None
    number: str | None
    day: Any


@dataclass
class Named:
    """What messages name: the keys under which they book, undo and refer, and the receipts that they tell."""

    booked: set[Key] = field(default_factory=set)
    undone: set[Key] = field(default_factory=set)
    meant: set[Key] = field(default_factory=set)
    receipts: set[tuple[str, str, str, Any]] = field(default_factory=set)

    def add(self, asks: Iterable[Ask[Any]]) -> None:
        """What these asks name, on top."""
        for part in (part for ask in asks if isinstance(ask, Command) for part in parts(ask)):
            own = {(part.store, key) for key in own_keys(part)}
            if isinstance(part, VoidReceipt | RestoreReceipt):
                self.undone |= own
            else:
                self.booked |= own
            self.meant |= set(named_keys(part))
            if isinstance(part, PostReceipt | ReturnReceipt):
                told = part.receipt
                self.receipts.add((part.store, told.till, told.number, told.business_date))

    @property
    def keys(self) -> set[Key]:
        return self.booked | self.undone | self.meant


def by_key(live: Core, asks: Sequence[Ask[Any]]) -> list[Ask[Any]]:
    """The same; returns name their sales by key: in scratch books operations have other numbers."""
    asked = [part for ask in asks if isinstance(ask, Command) for part in parts(ask)]
    if not any(isinstance(part, ReturnReceipt) and part.sale_operation for part in asked):
        return list(asks)
    with live.work.database.reading() as connection:
        sales = numbered_sales(connection, asked)
    return [_by_key(ask, sales) for ask in asks]


def _by_key(ask: Ask[Any], sales: Mapping[int, tuple[int, str]]) -> Ask[Any]:
    if isinstance(ask, Exchange):
        return msgspec.structs.replace(ask, returned=_by_key(ask.returned, sales))
    if not isinstance(ask, ReturnReceipt):
        return ask
    _, key = sales.get(ask.sale_operation or 0, (0, ""))
    return msgspec.structs.replace(ask, sale=key, sale_operation=None) if key else ask


class Known(NamedTuple):
    """What a key stands for in the live books: the thing itself, and when it was booked first."""

    thing: Thing
    booked_at: datetime


class Elsewhere:
    """The live books, asked about the messages of a period. ``known`` tells what their keys stand for."""

    def __init__(self, live: Core, named: Named, since: datetime) -> None:
        self._live, self._named, self._since = live, named, since
        self._told: dict[int, Told] = {}
        self.known = self._known()
        stores = live.work.directory.stores
        receipts = {(stores[s].id, till, number, day) for s, till, number, day in named.receipts if s in stores}
        self._booked = receipts | {self.known[key].thing for key in named.booked if key in self.known}
        self._undone = {self.known[key].thing for key in named.undone if key in self.known}

    def moved(self, wallets: Sequence[int], until: datetime) -> tuple[list[Moved], set[Thing]]:
        """What came to these wallets and went by other ways; and the played receipts that were undone so."""
        instant = self._live.work.database.instant
        asked = {"wallets": array(list(wallets)), "since": instant(self._since), "until": instant(until)}
        found = [Told(*row) for row in self._rows(SINCE, **asked)]
        self._learn(found)
        foreign = {told.id: told for told in found if not self._is_ours(told)}
        moved = [
            Moved(at=foreign[operation].booked_at, wallet=wallet, holdings=tuple(some))
            for (operation, wallet), some in self._holdings(sorted(foreign)).items()
            if wallet in set(wallets)
        ]
        undone = {self._thing(told) for told in foreign.values() if told.reverses_id is not None}
        return moved, undone & self._booked

    def _is_ours(self, told: Told) -> bool:
        """Whether playing books it. What undoes something from before the begin finds nothing to undo there."""
        if self._root(told).booked_at < self._since:
            return False
        thing = self._thing(told)
        if told.kind in ("void", "restore"):
            return thing in self._undone
        return thing in self._booked

    def _holdings(self, operations: Sequence[int]) -> Mapping[tuple[int, int], list[Holding]]:
        directory = self._live.work.directory
        found: dict[tuple[int, int], list[Holding]] = {}
        for unit in directory.units:
            per: dict[tuple[int, int], list[Holding]] = {}
            for some in _bites(operations):
                for operation, wallet, amount, *terms in self._rows(selects.MOVES, operations=array(some), unit=unit):
                    if amount:
                        per.setdefault((operation, wallet), []).append(holding(directory, unit, amount, terms))
            for place, some in per.items():
                found.setdefault(place, []).extend(net(some))
        return {place: some for place, some in found.items() if some}

    # What operations are about ------------------------------------------------------------------------------

    def _known(self) -> dict[Key, Known]:
        codes = {store.id: store.code for store in self._live.work.directory.stores.values()}
        keys = sorted({key for _, key in self._named.keys})
        rows = [row for some in _bites(keys) for row in self._rows(HEADS, keys=array(some)) if row[2] is not None]
        heads = {(codes.get(row[0], ""), row[1]): row[2] for row in rows}
        self._learn([])
        self._fetch(set(heads.values()))
        return {
            key: Known(self._thing(self._told[head]), self._root(self._told[head]).booked_at)
            for key, head in heads.items()
            if head in self._told
        }

    def _learn(self, found: Iterable[Told]) -> None:
        """Remember these, and whatever they undo."""
        self._told.update({told.id: told for told in found})
        self._fetch({told.reverses_id for told in self._told.values() if told.reverses_id is not None})

    def _fetch(self, wanted: set[int]) -> None:
        for _ in range(MAX_REVERSALS):
            wanted = wanted - self._told.keys()
            if not wanted:
                return
            rows = [row for some in _bites(sorted(wanted)) for row in self._rows(OPERATIONS, operations=array(some))]
            fresh = [Told(*row) for row in rows]
            self._told.update({told.id: told for told in fresh})
            wanted = {told.reverses_id for told in fresh if told.reverses_id is not None}

    def _root(self, told: Told) -> Told:
        """What was booked to begin with, and then undone and restored."""
        for _ in range(MAX_REVERSALS):
            if told.reverses_id is None or told.reverses_id not in self._told:
                break
            told = self._told[told.reverses_id]
        return told

    def _thing(self, told: Told) -> Thing:
        """The receipt, or what has none by its first operation."""
        root = self._root(told)
        if root.number is None:
            return (root.id,)
        return root.store_id, root.till, root.number, root.day

    def _rows(self, statement: Statement, **asked: Any) -> list[Row]:
        with self._live.work.database.reading() as connection:
            return run(connection, [(statement, asked)])[0]


def _bites(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), BITE):
        yield values[start : start + BITE]
