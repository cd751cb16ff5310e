"""What a version of a programme would have cost: receipts are posted again, in scratch books that go afterwards.

The same code path as live: a migrated database with the chain's configuration, and a core that quotes and posts. Its
clock travels. A batch holds receipts of one day only, as facts that happened at their own times: nothing but the
beginning of a store's day opens or ends points and tiers (docs/simulation.md tells what is exact and what is assumed).
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import event

from processing import catalogue, chores, migrate, tables
from processing.allocation import GOODS
from processing.chain import Chain
from processing.commands import Amount, CardUse, Line, PostReceipt, Quote, Receipt, Ref, ReturnReceipt
from processing.database import Database, Statement, array, run
from processing.directory import sync
from processing.errors import LoyaltyError
from processing.execute import MAX_BATCH, Core
from processing.plans import OVER_LIMIT
from processing.programme.document import ProgrammeDocument
from processing.purchases import told_discount
from processing.results import Quoted, ReceiptPosted, ReceiptReturned
from processing.secrets import MasterKeys, load_vault, new_key
from processing.simulation import wallets
from processing.simulation.events import Back, CardPart, Event, Moved, Opening, Sale, Source, wallets_of

# The scratch database is thrown away: it need not survive a power cut.
QUICK = "PRAGMA synchronous=OFF"

KNOWN_KEYS = Statement("SELECT key FROM request_key WHERE key IN_TEXTS(:keys)", tables.request_key.c.key)


# The scratch books --------------------------------------------------------------------------------------------


@dataclass
class Travelling:
    """The clock of the scratch books: it shows ``at``."""

    at: datetime

    def __call__(self, now: datetime) -> datetime:
        return self.at


@contextlib.contextmanager
def scratch(
    chain: Chain,
    programmes: Mapping[str, ProgrammeDocument],
    starts_at: datetime,
    live: Database | None = None,
) -> Iterator[Core]:
    """A core on empty books of this chain, in a file that is gone afterwards; its keys are known to nobody else.

    Goods are those that the ``live`` books have learned.
    """
    with scratch_file("tillgate-simulation-", starts_at) as database:
        migrate.upgrade(database)
        if live is not None:
            with live.reading() as source, database.transaction() as connection:
                catalogue.copy(source, connection)
        directory = sync(database, chain, programmes)
        with database.transaction() as connection:
            vault = load_vault(connection, MasterKeys(new_key(), new_key()))
        yield Core(database, directory, vault)


@contextlib.contextmanager
def scratch_file(prefix: str, starts_at: datetime) -> Iterator[Database]:
    """An empty SQLite database whose clock travels, in a folder of this prefix that is gone afterwards."""
    with TemporaryDirectory(prefix=prefix) as folder:
        database = Database(f"sqlite:///{Path(folder) / 'books.db'}", clock=Travelling(starts_at))
        for engine in (database.writer, database.reader):
            event.listen(engine, "connect", lambda connection, _: connection.execute(QUICK))
        try:
            yield database
        finally:
            database.dispose()


@dataclass
class Played:
    """What the books do not tell. ``unpaid``: points that tills took, and that these rules or balances do not give."""

    receipts: int = 0
    returns: int = 0
    till_discount_minor: int = 0
    unpaid: int = 0
    unpaid_receipts: int = 0
    over_limits: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


class Run:
    """One version of a programme at work in its scratch books.

    ``keep_till_discounts``: what tills took off by themselves stays, and the rules' discounts come off what is left.
    """

    def __init__(self, core: Core, document: ProgrammeDocument, keep_till_discounts: bool = False) -> None:
        self.core, self.document, self.played = core, document, Played()
        clock = core.work.database.clock
        assert isinstance(clock, Travelling)
        self.clock = clock
        self._keeps = keep_till_discounts
        self._zones = {store.zone for store in core.work.directory.stores.values()}
        self._waiting: list[tuple[Event, PostReceipt | ReturnReceipt | None]] = []
        self._touched: set[int] = set()
        self._until = clock.at

    # Receipts -------------------------------------------------------------------------------------------------

    def play(self, events: Iterable[Event]) -> None:
        """Post these, in their order."""
        for each in events:
            if self._waiting and not self._fits(each):
                self._flush()
            if not self._waiting:
                self._until = next_day(each.at, self._zones)
            self._touched |= wallets_of(each)
            self._waiting.append((each, self._command(each)))

    def finish(self, at: datetime) -> None:
        """Post what waits, and book what has expired until then."""
        self._flush()
        self.clock.at = max(self.clock.at, at)
        while chores.expire_lots(self.core):
            pass

    def _fits(self, each: Event) -> bool:
        """Whether it may travel with those that wait: of their kind and day, and not asked about what they change."""
        first, _ = self._waiting[0]
        if type(each) is not type(first) or each.at >= self._until or len(self._waiting) >= MAX_BATCH:
            return False
        return not (isinstance(each, Sale) and self._asks(each) and self._touched & wallets_of(each))

    def _asks(self, sale: Sale) -> bool:
        """Whether the till has to ask first: what is off, or how much points may pay."""
        return bool(self.document.discounts.rules) or any(part.pay for part in sale.cards)

    def _command(self, each: Event) -> PostReceipt | ReturnReceipt | None:
        """What the till sends; ``None`` for what is no receipt."""
        if isinstance(each, Moved):
            return None
        if isinstance(each, Back):
            return _return(each)
        self.played.till_discount_minor += told_discount(each.receipt)
        sale = msgspec.structs.replace(each, receipt=self._asked(each.receipt))
        return _post(self._quoted(sale) if self._asks(sale) else sale)

    def _asked(self, receipt: Receipt) -> Receipt:
        """The receipt without discounts: what tills took off is put back, or nobody's any more where it stays."""
        lines = tuple(_undiscounted(line, self._keeps) for line in receipt.lines)
        put_back = sum(line.sum_minor for line in lines) - sum(line.sum_minor for line in receipt.lines)
        if not lines and not self._keeps:
            put_back = max(receipt.discount_minor, 0)
        total = receipt.total_minor + put_back
        return msgspec.structs.replace(receipt, total_minor=total, discount_minor=0, lines=lines)

    def _quoted(self, sale: Sale) -> Sale:
        """The sale at the prices that the core quotes for it, paid with as many points as it lets."""
        self.clock.at = sale.at
        uses = tuple(_use(msgspec.structs.replace(part, pay=0)) for part in sale.cards)
        (quoted,) = self.core.answer([Quote(store=sale.store, receipt=sale.receipt, cards=uses)])
        if not isinstance(quoted, Quoted):
            return sale
        paying = tuple(
            msgspec.structs.replace(part, pay=min(part.pay, card.payable) if part.unit == card.unit else 0)
            for part, card in zip(sale.cards, quoted.cards, strict=True)
        )
        unpaid = sum(part.pay for part in sale.cards) - sum(part.pay for part in paying)
        self.played.unpaid += unpaid
        self.played.unpaid_receipts += bool(unpaid)
        return msgspec.structs.replace(sale, receipt=_sold(sale.receipt, quoted), cards=paying)

    def _flush(self) -> None:
        """Book what waits, in one batch."""
        waiting, self._waiting, self._touched = self._waiting, [], set()
        if not waiting:
            return
        self.clock.at = waiting[-1][0].at
        wallets.move(self.core, [each for each, _ in waiting if isinstance(each, Moved)])
        returns = self._known([command for _, command in waiting if isinstance(command, ReturnReceipt)])
        sales = [command for _, command in waiting if isinstance(command, PostReceipt)]
        for outcome in self.core.execute([*sales, *returns]):
            if isinstance(outcome, LoyaltyError):
                self.played.refused[outcome.code] += 1
            elif isinstance(outcome, ReceiptReturned):
                self.played.returns += 1
            elif isinstance(outcome, ReceiptPosted) and not outcome.replayed:
                self.played.receipts += 1
                self._note(outcome.flags)

    def _known(self, returns: Sequence[ReturnReceipt]) -> list[ReturnReceipt]:
        """Those whose sale was played."""
        if not returns:
            return []
        with self.core.work.database.reading() as connection:
            (rows,) = run(connection, [(KNOWN_KEYS, {"keys": array(sorted({each.sale for each in returns}))})])
        known = {row[0] for row in rows}
        return [each for each in returns if each.sale in known]

    def _note(self, flags: Sequence[str]) -> None:
        for flag in flags:
            name, _, limit = flag.partition(":")
            if name == OVER_LIMIT and limit:
                self.played.over_limits[limit] += 1


def next_day(at: datetime, zones: Iterable[ZoneInfo]) -> datetime:
    """When the next day begins anywhere in the chain."""
    return min(
        datetime.combine(at.astimezone(zone).date() + timedelta(days=1), time(), zone).astimezone(UTC) for zone in zones
    )


# Commands -----------------------------------------------------------------------------------------------------


def _undiscounted(line: Line, keeps: bool) -> Line:
    off = 0 if keeps or line.kind != GOODS else max(line.discount_minor, 0)
    return msgspec.structs.replace(line, sum_minor=line.sum_minor + off, discount_minor=0)


def _sold(receipt: Receipt, quoted: Quoted) -> Receipt:
    """The receipt as a till closes it that takes off what it was told."""
    lines = tuple(
        msgspec.structs.replace(
            line, sum_minor=line.sum_minor - told.discount_minor, discount_minor=told.discount_minor
        )
        for line, told in zip(receipt.lines, quoted.lines, strict=True)
    )
    return msgspec.structs.replace(
        receipt, lines=lines, total_minor=quoted.total_minor, discount_minor=quoted.discount_minor
    )


def _use(part: CardPart) -> CardUse:
    return CardUse(
        refs=(Ref(wallets.SCHEME, part.card),),
        redeem=(Amount(part.unit, part.pay),) if part.pay else (),
        earn=None if part.earn is None else (Amount(part.unit, part.earn),),
        spend_minor=part.spend_minor,
    )


def _post(sale: Sale) -> PostReceipt:
    """A fact of its own time: nobody can refuse any more what the till has closed."""
    receipt = msgspec.structs.replace(sale.receipt, closed_at=sale.at)
    cards = tuple(_use(part) for part in sale.cards)
    return PostReceipt(store=sale.store, keys=(sale.key,), receipt=receipt, cards=cards, fact=True)


def _return(back: Back) -> ReturnReceipt:
    return ReturnReceipt(
        store=back.store,
        keys=(back.key,),
        receipt=msgspec.structs.replace(back.receipt, closed_at=back.at),
        sale=back.sale,
        sale_store=back.sale_store,
        lines=back.lines,
        can_deduct=back.can_deduct,
        fact=True,
    )


# All of it ----------------------------------------------------------------------------------------------------


def simulate(source: Source, runs: Sequence[Run], seen: Callable[[int], None], limit: int | None = None) -> int:
    """Play what the source has through all runs side by side; how many receipts. ``seen`` is told each bite's size.

    Every run sees the same receipts, also where the books go on while they are read.
    """
    left = limit if limit is not None else sys.maxsize
    sales = 0
    for bite in source.bites():
        events = list(_first(bite, left - sales))
        sales += sum(isinstance(each, Sale) for each in events)
        new = sorted(wallets.unknown(runs[0].core, events))
        openings = {opening.wallet: opening for opening in source.openings(new)} if new else {}
        opened = [openings.get(wallet) or Opening(wallet=wallet) for wallet in new]
        for one in runs:
            wallets.prepare(one.core, one.document.code, events, opened, source.starts_at)
            one.play(events)
        seen(len(bite))
        if sales >= left:
            break
    return sales


def _first(bite: Sequence[Event], most: int) -> Iterator[Event]:
    """Up to so many sales, with what happens between them."""
    for each in bite:
        most -= isinstance(each, Sale)
        if most < 0:
            return
        yield each
