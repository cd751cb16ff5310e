"""The receipts of a period as the books keep them, ready to be played again, and wallets as they stood before.

Read in bites, from committed state, without locks. First the period's operations are put in the order of their times,
in a file of their own; then each bite's documents are read by their ids. Nothing is written into the books.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec

from processing import activity
from processing.allocation import Back as Returned
from processing.allocation import lines_of, size
from processing.chain import Chain, Partner, Store
from processing.commands import Receipt, ReturnLine
from processing.database import Database, Row, Statement, array, run
from processing.directory import Directory
from processing.documents import ReceiptDocument, decode_document
from processing.people import read_birthday
from processing.plans import TILL_COMPUTED
from processing.programme.document import ProgrammeDocument
from processing.programme.tiers import Membership
from processing.returns import POLICY_DEBT, POLICY_DEDUCT
from processing.secrets import PURPOSES, MasterKeys, Vault, load_vault
from processing.simulation import selects
from processing.simulation.events import Back, CardPart, Event, Holding, Moved, Opening, Sale
from processing.units import POINTS

# Operations of one look at the books.
BITE = 500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def chain_of(directory: Directory) -> Chain:
    """The chain as the books know it."""
    return Chain(
        code="simulation",
        name="",
        units=tuple(directory.units.values()),
        partners=tuple(Partner(code, code) for code in directory.partners.values()),
        stores=tuple(
            Store(store.code, store.code, directory.partners[store.partner_id], store.zone.key)
            for store in directory.stores.values()
        ),
        products=tuple(directory.products.values()),
    )


def vault_of(database: Database, keys: MasterKeys) -> Vault | None:
    """What opens personal data of these books; makes no keys: ``None`` where there are none. Errors: SecretsError."""
    with database.reading() as connection:
        (rows,) = run(connection, [(selects.KEYS, {})])
        return load_vault(connection, keys) if {row[0] for row in rows} >= set(PURPOSES) else None


@dataclass
class Left:
    """Receipts of the period that are not played: nobody knows their cards, or they are of other programmes."""

    unknown_cards: int = 0
    other_programmes: int = 0


class BooksSource:
    """The receipts of cards of a programme, from ``starts_at`` up to ``until``.

    ``file`` is where the order of the period is kept meanwhile. Without a vault nobody's birthday is known.
    """

    def __init__(
        self,
        database: Database,
        directory: Directory,
        document: ProgrammeDocument,
        starts_at: datetime,
        until: datetime,
        file: str,
        vault: Vault | None = None,
    ) -> None:
        self.starts_at, self.until, self.left = starts_at, until, Left()
        self._database, self._directory, self._document, self._vault = database, directory, document, vault
        self._stores = {store.id: store.code for store in directory.stores.values()}
        self._file = file
        self.operations = self._put_in_order()

    # The order of the period ----------------------------------------------------------------------------------

    def _put_in_order(self) -> int:
        """Write the period's operations down by their times; how many."""
        with closing(sqlite3.connect(self._file)) as kept, kept:
            kept.execute("PRAGMA synchronous=OFF")
            kept.execute("CREATE TABLE place (at INTEGER, id INTEGER, what TEXT, PRIMARY KEY (at, id)) WITHOUT ROWID")
            for rows in self._period():
                told = ((row[0], *found) for row in rows if (found := self._place(row)) is not None)
                kept.executemany(
                    "INSERT INTO place VALUES (?, ?, ?)",
                    (((at - _EPOCH) // _MICROSECOND, number, what) for number, at, what in told),
                )
            return int(kept.execute("SELECT count(*) FROM place").fetchone()[0])

    def _period(self) -> Iterator[list[Row]]:
        """What was booked since the begin and happened in the period, by when it was booked."""
        instant = self._database.instant
        after, last = self.starts_at, 0
        while True:
            asked = {"after": instant(after), "last": last, "most": BITE}
            asked |= {"since": instant(self.starts_at), "until": instant(self.until)}
            rows = self._rows(selects.PERIOD, **asked)
            yield rows
            if len(rows) < BITE:
                return
            last, after = rows[-1][0], rows[-1][2]

    def _place(self, row: Row) -> tuple[datetime, str] | None:
        """When an operation is played and as what; ``None`` for what comes to nothing."""
        _, kind, _, at, undone_at, sold_at, base_at = row
        began = self.starts_at
        if kind == "restore" and sold_at is not None:
            if sold_at >= began:
                return sold_at, "sale"
            # Voided and restored within the period it has never been away.
            return (at, "moved") if undone_at < began else None
        if kind in selects.SALES:
            return at, "sale"
        if kind in selects.RETURNS:
            return at, "return" if base_at is not None and base_at >= began else "moved"
        if undone_at is not None and undone_at >= began:
            return None
        return at, "moved"

    def _rows(self, statement: Statement, **asked: Any) -> list[Row]:
        with self._database.reading() as connection:
            return run(connection, [(statement, asked)])[0]

    # Bites ----------------------------------------------------------------------------------------------------

    def bites(self) -> Iterator[list[Event]]:
        """Everything in the order of its time; a bite may hold less than was read for it."""
        at, number = -(2**63), 0
        with closing(sqlite3.connect(self._file)) as kept:
            while True:
                found = kept.execute(
                    "SELECT at, id, what FROM place WHERE (at, id) > (?, ?) ORDER BY at, id LIMIT ?", (at, number, BITE)
                ).fetchall()
                if not found:
                    return
                at, number, _ = found[-1]
                yield self._events([(_EPOCH + micros * _MICROSECOND, n, what) for micros, n, what in found])

    def _events(self, places: Sequence[tuple[datetime, int, str]]) -> list[Event]:
        receipts = [number for _, number, what in places if what != "moved"]
        told = {row[0]: row[1:] for row in self._rows(selects.DOCUMENTS, operations=array(receipts))}
        documents = {number: decode_document(row[2]) for number, row in told.items()}
        bases = sorted({row[3] for row in told.values() if row[3] is not None})
        standing = {row[0]: row[1:] for row in self._rows(selects.STANDING, sales=array(bases))}
        sold = self._sold(standing)
        people = self._people([documents[number] for number, row in told.items() if row[3] is None])
        moved = self._moved([number for _, number, what in places if what == "moved"])
        found: list[Event] = []
        for at, number, what in places:
            if what == "moved":
                found += [Moved(at=at, wallet=w, holdings=tuple(some)) for w, some in moved.get(number, {}).items()]
            elif what == "sale" and number in told:
                sale = self._sale(at, number, told[number], documents[number], people)
                found += [] if sale is None else [sale]
            elif number in told:
                back = self._back(at, number, told[number], documents[number], standing, sold)
                found += [] if back is None else [back]
        return found

    # Sales ----------------------------------------------------------------------------------------------------

    def _people(self, documents: Sequence[ReceiptDocument]) -> _People:
        """The wallets of these receipts and their cards."""
        accounts = {share.account_id for each in documents for share in (*each.drawn, *each.gained)}
        owners = {row[0]: (row[1], row[2]) for row in self._rows(selects.OWNERS, accounts=array(sorted(accounts)))}
        wallets = {each.wallet_id for document in documents for each in document.activity}
        wallets |= {wallet for wallet, _ in owners.values()}
        roots = {row[0]: row[1] for row in self._rows(selects.ROOTS, wallets=array(sorted(wallets)))}
        return _People(owners, roots, self._cards(set(roots.values())))

    def _cards(self, wallets: set[int]) -> dict[int, list[tuple[str, str]]]:
        """(product, number) of each wallet's cards, the newest first; cards of value have no programme of their own."""
        found: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for _, wallet, product, number in self._rows(selects.CARDS, wallets=array(sorted(wallets))):
            if not self._directory.product(product).value:
                found[wallet].append((product, number))
        return found

    def _is_ours(self, product: str) -> bool:
        return self._directory.product(product).programme == self._document.code

    def _sale(self, at: datetime, number: int, row: Row, document: ReceiptDocument, people: _People) -> Sale | None:
        stories = msgspec.json.decode(row[1]) if row[1] else []
        cards = list(self._parts(document, stories, people))
        if not cards:
            self.left.unknown_cards += 1
            return None
        if not any(self._is_ours(part.product) for part in cards):
            self.left.other_programmes += 1
            return None
        return Sale(
            key=f"sale-{number}",
            at=at,
            store=self._stores[row[0]],
            receipt=bare(document.receipt),
            cards=tuple(cards),
        )

    def _parts(
        self, document: ReceiptDocument, stories: Sequence[Mapping[str, Any]], people: _People
    ) -> Iterator[CardPart]:
        """What each card did: as it was counted, or by its lots in receipts from before anybody counted."""
        ends = {str(story.get("card", "")): story for story in stories if isinstance(story, Mapping)}
        own: dict[int, int] = defaultdict(int)
        for share in document.turnover:
            own[people.roots.get(share.account_id, share.account_id)] += sum(money for _, money in share.lines)
        for (wallet, unit), (paid, earned) in people.done(document, self._directory).items():
            cards = people.cards.get(wallet)
            if not cards:
                continue
            product, card = next(((p, n) for p, n in cards if n[-4:] in ends), cards[0])
            is_tills = ends.get(card[-4:], {}).get("decided") == TILL_COMPUTED
            yield CardPart(
                card=f"{wallet}:{product}",
                wallet=wallet,
                product=product,
                unit=unit,
                pay=paid,
                spend_minor=own.get(wallet, 0),
                earn=earned if is_tills else None,
            )

    # Returns --------------------------------------------------------------------------------------------------

    def _sold(self, standing: Mapping[int, Row]) -> dict[int, ReceiptDocument]:
        """The documents of sales that something has come back of."""
        rows = self._rows(selects.DOCUMENTS, operations=array(sorted(standing)))
        return {row[0]: decode_document(row[3]) for row in rows}

    def _back(
        self,
        at: datetime,
        number: int,
        row: Row,
        document: ReceiptDocument,
        standing: Mapping[int, Row],
        sold: Mapping[int, ReceiptDocument],
    ) -> Back | None:
        """A return of a sale that stands; one of a sale that was voided went with it."""
        base_id = row[3]
        store_id, void_id, again_id = standing.get(base_id, (0, 0, None))
        sale_id = base_id if void_id is None else again_id
        if sale_id is None or base_id not in sold:
            return None
        story = (msgspec.json.decode(row[1]) or [{}])[0] if row[1] else {}
        active = self._directory.programmes.get(self._document.code)
        is_deducting = active is not None and active.programme.document.return_policy == POLICY_DEDUCT
        return Back(
            key=f"return-{number}",
            at=at,
            store=self._stores[row[0]],
            receipt=bare(document.receipt),
            sale=f"sale-{sale_id}",
            sale_store=self._stores[store_id],
            lines=tuple(_back_lines(sold[base_id], document.returned)),
            # Who could not keep money back when it was asked for cannot now.
            can_deduct=not (is_deducting and story.get("policy") == POLICY_DEBT),
        )

    # Other movements, and the begin ---------------------------------------------------------------------------

    def _moved(self, operations: Sequence[int]) -> dict[int, dict[int, list[Holding]]]:
        """By operation and wallet what came and went; only wallets that have a card of the programme."""
        if not operations:
            return {}
        rows = self._rows(selects.MOVES, operations=array(sorted(operations)), unit=self._document.unit)
        cards = self._cards({row[1] for row in rows})
        ours = {wallet for wallet, some in cards.items() if any(self._is_ours(product) for product, _ in some)}
        found: dict[int, dict[int, list[Holding]]] = {}
        for operation, wallet, amount, *terms in rows:
            if wallet in ours and amount:
                held = holding(self._directory, self._document.unit, amount, terms)
                found.setdefault(operation, {}).setdefault(wallet, []).append(held)
        return {
            operation: {wallet: netted for wallet, some in by_wallet.items() if (netted := net(some))}
            for operation, by_wallet in found.items()
        }

    def openings(self, wallets: Sequence[int]) -> list[Opening]:
        """What these wallets had at the begin: lots by their entries until then, days before, and the tier."""
        asked = {"wallets": array(list(wallets))}
        since = self._database.instant(self.starts_at)
        held: dict[int, list[Holding]] = defaultdict(list)
        unit = self._document.unit
        for root, amount, *terms in self._rows(selects.HELD, unit=unit, since=since, **asked):
            held[root].append(standing(holding(self._directory, unit, amount, terms)))
        days: dict[int, list[Any]] = defaultdict(list)
        first = first_day(self._directory, self.starts_at)
        for wallet, day, *told in self._rows(activity.ACTIVITY, **asked):
            if day < first:
                days[wallet].append((day, *told))
        members = self._members(asked, first)
        born = self._birthdays(asked)
        return [
            Opening(
                wallet=wallet,
                holdings=tuple(sorted(held[wallet], key=lambda holding: holding.is_debt)),
                days=tuple(days[wallet]),
                membership=members.get(wallet),
                birthday=born.get(wallet),
            )
            for wallet in wallets
        ]

    def _members(self, asked: Mapping[str, Any], first: date) -> dict[int, Membership]:
        """The tiers that were held already at the begin, as far as they are still known; else days decide."""
        then = held_before(self._rows(activity.MEMBERSHIPS, **asked), first)
        return {wallet: held for wallet, programme, held in then if programme == self._document.code}

    def _birthdays(self, asked: Mapping[str, Any]) -> dict[int, date]:
        """Opened in memory only, where the version asks for them."""
        if self._vault is None:
            return {}
        found = {}
        for wallet, holder, wrapped_key, blob in self._rows(activity.BIRTHDAYS, **asked):
            told = read_birthday(self._vault, holder, wrapped_key, blob)
            if told is not None:
                found[wallet] = told
        return found


@dataclass(frozen=True)
class _People:
    """Whose accounts, where wallets are today, and which cards they have."""

    owners: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    roots: Mapping[int, int] = field(default_factory=dict)
    cards: Mapping[int, Sequence[tuple[str, str]]] = field(default_factory=dict)

    def done(self, document: ReceiptDocument, directory: Directory) -> dict[tuple[int, str], tuple[int, int]]:
        """By wallet and unit what was paid and earned, in the receipt's order."""
        found: dict[tuple[int, str], tuple[int, int]] = {}

        def add(wallet: int, unit: str, paid: int, earned: int) -> None:
            place = self.roots.get(wallet, wallet), unit
            before = found.get(place, (0, 0))
            found[place] = before[0] + paid, before[1] + earned

        for each in document.activity:
            if each.name in directory.units:
                add(each.wallet_id, each.name, each.redeemed, each.earned)
        if not document.activity:
            for share in document.drawn:
                if share.account_id in self.owners:
                    add(*self.owners[share.account_id], sum(amount for _, amount in share.lines), 0)
            for share in document.gained:
                if share.account_id in self.owners:
                    add(*self.owners[share.account_id], 0, sum(amount for _, amount in share.lines))
        return {place: sums for place, sums in found.items() if directory.unit(place[1]).kind == POINTS}


def bare(receipt: Receipt) -> Receipt:
    """A receipt without what nobody needs to decide: names of goods, numbers of cards, and who the cashier was."""
    return msgspec.structs.replace(
        receipt,
        cashier=blake2b(receipt.cashier.encode(), digest_size=8).hexdigest() if receipt.cashier else "",
        lines=tuple(msgspec.structs.replace(line, name="") for line in receipt.lines),
        tenders=tuple(msgspec.structs.replace(tender, card="") for tender in receipt.tenders),
    )


def _back_lines(sale: ReceiptDocument, returned: Sequence[Returned]) -> Iterator[ReturnLine]:
    """What came back, in pieces where they are counted; prices may be others now."""
    lines = {line.number: line for line in lines_of(sale.receipt)}
    for back in returned:
        line = lines.get(back.number)
        if line is None or not back.amount:
            continue
        if back.amount >= size(line):
            yield ReturnLine(number=line.number)
        elif line.number and line.quantity_thousandths > 0:
            yield ReturnLine(number=line.number, quantity_thousandths=back.amount)
        else:
            yield ReturnLine(number=line.number, sum_minor=back.amount)


def first_day(directory: Directory, starts_at: datetime) -> date:
    """The first day of a period, where it begins first."""
    return max(starts_at.astimezone(store.zone).date() for store in directory.stores.values())


def holding(directory: Directory, unit: str, amount: int, terms: Sequence[Any]) -> Holding:
    """So much of a unit on the terms of a lot, as statements tell them."""
    issuer_id, available_from, expires_at, price_millionths, is_debt = terms
    return Holding(
        unit=unit,
        amount=amount,
        issuer=directory.partners[issuer_id],
        available_from=available_from,
        expires_at=expires_at,
        price_millionths=price_millionths,
        is_debt=bool(is_debt),
    )


def standing(held: Holding) -> Holding:
    """The same as something to begin with: less than nothing is owed."""
    return msgspec.structs.replace(held, is_debt=held.amount < 0)


def held_before(rows: Sequence[Row], first: date) -> Iterator[tuple[int, str, Membership]]:
    """Wallet, programme and tier of rows of MEMBERSHIPS, as held before that day, as far as that is still known."""
    for wallet, programme, tier, since, review_on, counts_from, credit, _, before, *_ in rows:
        held = Membership(tier, since, review_on, counts_from, credit)
        raised = msgspec.json.decode(before, type=activity.Raised) if before else None
        while held.since >= first and raised is not None:
            held, raised = raised.was, raised.before
        if held.since < first:
            yield wallet, programme, held


def net(some: list[Holding]) -> list[Holding]:
    """What an operation brought a wallet or took from it, without what only went from lot to lot."""
    if all(held.amount > 0 and not held.is_debt for held in some):
        return some
    total = sum(held.amount for held in some)
    most = max(some, key=lambda held: (not held.is_debt, abs(held.amount)))
    return [msgspec.structs.replace(most, amount=total, is_debt=False)] if total else []
