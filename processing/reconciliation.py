"""What receipts of another system say, held against what the tills' own calls have booked. Read-only.

Tills whose calls carry no receipt (1C's) book points by themselves, and the receipt comes later by another way. Each
receipt has two sides, what it took off the card and what it brought; each side looks for one operation of the same
wallet, direction and amount, near in time. Worked out each time it is asked for: docs/reports.md, "Reconciliation".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Boolean, String, column

from processing import tables
from processing.claims import LIKENESS
from processing.commands import Line
from processing.database import Database, Statement, array
from processing.directory import Directory
from processing.errors import BadMessage, TooLarge
from processing.flows import Reader, reader_of
from processing.keys import ALIKE
from processing.learned_receipts import KEPT

REDEMPTION, ACCRUAL = "redemption", "accrual"
# What became of a side, or of an operation that no receipt tells of.
MATCHED, NOT_BOOKED, DIFFERS, NO_RECEIPT, UNKNOWN_CARD, WAITING = VERDICTS = (
    "matched",
    "not_booked",
    "differs",
    "no_receipt",
    "unknown_card",
    "waiting",
)
WRONG = frozenset({NOT_BOOKED, DIFFERS, NO_RECEIPT, UNKNOWN_CARD})

# So far apart a till's clock and ours may tell one purchase, and so long a receipt may be on its way.
WINDOW_MINUTES, MAX_WINDOW_MINUTES = 30, 12 * 60
WAIT_HOURS, MAX_WAIT_HOURS = 24, 24 * 31
# Read on either side of what is asked for, so that a purchase is judged alike in whichever period it is seen.
MARGIN = timedelta(days=1)
MAX_DAYS = 92
MAX_READ = 100_000
# Goods are told of so many receipts, the first: where no card was pulled, none of them agrees.
MAX_WITH_LINES = 1_000
# Receipts and operations of one card that may be one another's.
MAX_CANDIDATES = 1_000_000

RECEIPTS = Statement(
    """
    SELECT r.document, r.at, r.redeemed, r.earned, r.is_return, r.till, r.sale, r.total_minor,
           coalesce(w.merged_into, w.id) AS wallet
    FROM learned_receipt r LEFT JOIN identifier i ON i.value = r.card_value AND i.scheme = r.card_scheme
    LEFT JOIN card c ON c.id = i.card_id LEFT JOIN wallet w ON w.id = coalesce(r.wallet_id, c.wallet_id)
    WHERE r.store_id = :store AND r.unit = :unit AND r.at >= :since AND r.at < :until AND NOT r.is_withdrawn
    LIMIT :most
    """,
    column("document", String),
    column("at", tables.Instant),
    column("redeemed", BigInteger),
    column("earned", BigInteger),
    column("is_return", Boolean),
    column("till", String),
    column("sale", String),
    column("total_minor", BigInteger),
    column("wallet", BigInteger),
)
# What came without a key, by how its likeness begins; a key keeps the instant of its booking as its stamp.
BOOKED = Statement(
    """
    SELECT o.id, o.kind, o.booked_at, coalesce(o.flags, '') AS flags, k.key, coalesce(w.merged_into, w.id) AS wallet,
           CAST(sum(e.amount) AS BIGINT) AS amount
    FROM request_key k JOIN operation o ON o.id = k.operation_id JOIN entry e ON e.operation_id = o.id
    JOIN account a ON a.id = e.account_id JOIN wallet w ON w.id = a.wallet_id
    WHERE k.store_id = :store AND k.state = 'posted' AND k.stamp >= :since AND k.stamp < :until
      AND k.key LIKE :likeness AND o.kind IN ('redemption', 'accrual') AND a.unit = :unit
    GROUP BY o.id, o.kind, o.booked_at, o.flags, k.key, coalesce(w.merged_into, w.id)
    LIMIT :most
    """,
    column("id", BigInteger),
    column("kind", String),
    column("booked_at", tables.Instant),
    column("flags", String),
    column("key", String),
    column("wallet", BigInteger),
    column("amount", BigInteger),
)
LINES = Statement(
    """
    SELECT document, CAST(lines AS TEXT) AS lines FROM learned_receipt
    WHERE store_id = :store AND document IN_TEXTS(:documents)
    """,
    column("document", String),
    column("lines", String),
)
KEPT_SINCE = Statement("SELECT done_until FROM chore WHERE name = :name", tables.chore.c.done_until)
_decode_lines = msgspec.json.Decoder(tuple[Line, ...]).decode


class Told(NamedTuple):
    """A receipt of another system; ``wallet`` is ``None`` while nobody knows the card."""

    document: str
    at: datetime
    redeemed: int
    earned: int
    is_return: bool
    till: str
    sale: str
    total_minor: int | None
    wallet: int | None


class Booked(NamedTuple):
    """An operation that a till's call has booked; ``amount`` is above nothing, ``owner`` who called: link and login."""

    operation_id: int
    kind: str
    at: datetime
    is_alike: bool
    owner: str
    wallet: int
    amount: int

    @property
    def link(self) -> str:
        return self.owner.partition("/")[0]


class Side(NamedTuple):
    """What a receipt says of one direction; ``amount`` may be nothing."""

    receipt: Told
    kind: str
    amount: int

    @property
    def name(self) -> tuple[str, str]:
        return self.receipt.document, self.kind

    @property
    def at(self) -> datetime:
        return self.receipt.at

    @property
    def wallet(self) -> int | None:
        return self.receipt.wallet


class Row(NamedTuple):
    """A side, an operation, or both that belong together, and what is to be said of it."""

    verdict: str
    side: Side | None
    booked: Booked | None

    @property
    def one(self) -> Side | Booked:
        """By what it is placed: the receipt, where there is one."""
        found = self.side or self.booked
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared: a store's unit in a span, told by tills whose likenesses begin with ``likeness``.

    ``links``: only what these links have booked; none: whichever. ``near``: so far apart receipt and operation may lie;
    ``late``: so long a receipt may be on its way.
    """

    store: str
    unit: str
    likeness: str
    since: datetime
    until: datetime
    links: frozenset[str] = frozenset()
    near: timedelta = timedelta(minutes=WINDOW_MINUTES)
    late: timedelta = timedelta(hours=WAIT_HOURS)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """``rows`` in the order of time; ``lines``: the goods of the first receipts that do not agree, by document."""

    asked: Asked
    at: datetime
    rows: tuple[Row, ...]
    lines: dict[str, tuple[Line, ...]]

    @property
    def counts(self) -> Counter[str]:
        return Counter(row.verdict for row in self.rows)

    @property
    def agrees(self) -> bool:
        return not any(row.verdict in WRONG for row in self.rows)


def reconciliation(
    database: Database, directory: Directory, asked: Asked, seconds: int | None = None
) -> Reconciliation:
    """Receipts and operations of a span, each with what became of it. Errors: BadMessage, UnitNotFound; TooLarge for
    more than MAX_READ of either, or after so many seconds."""
    _check(asked)
    directory.unit(asked.unit)
    with reader_of(database, asked.unit, seconds) as reader:
        _check_kept(reader, asked)
        now = database.now(reader.connection)
        receipts = [Told(*row) for row in _read(reader, RECEIPTS, directory, asked)]
        like = {"likeness": f"{LIKENESS}%|{asked.likeness}%"}
        booked = [_booked(*row) for row in _read(reader, BOOKED, directory, asked, like)]
        booked = [each for each in booked if not asked.links or each.link in asked.links]
        rows = [row for row in judged(receipts, booked, now, asked.near, asked.late) if _is_asked(row, asked)]
        wrong = dict.fromkeys(row.side.receipt.document for row in rows if row.side and row.verdict in WRONG)
        lines = _lines(reader, directory, asked, list(islice(wrong, MAX_WITH_LINES)))
    return Reconciliation(asked, now, tuple(rows), lines)


def _check(asked: Asked) -> None:
    """Errors: BadMessage."""
    if not asked.since < asked.until <= asked.since + timedelta(days=MAX_DAYS):
        raise BadMessage(f"expected a span of at most {MAX_DAYS} days", where="until")


def _check_kept(reader: Reader, asked: Asked) -> None:
    """Else all that was booked would be without a receipt. Errors: BadMessage."""
    for (kept,) in reader.rows(KEPT_SINCE, {"name": KEPT}):
        first = kept + MARGIN
        if asked.since < first:
            words = f"receipts from before are not kept any more: not before {first.isoformat(timespec='seconds')}"
            raise BadMessage(words, where="since")


def _is_asked(row: Row, asked: Asked) -> bool:
    return asked.since <= row.one.at < asked.until


def _read(
    reader: Reader, statement: Statement, directory: Directory, asked: Asked, more: dict[str, Any] | None = None
) -> Sequence[Any]:
    asking = {
        "store": directory.store(asked.store).id,
        "unit": asked.unit,
        "since": reader.database.instant(asked.since - MARGIN),
        "until": reader.database.instant(asked.until + MARGIN),
        "most": MAX_READ + 1,
        **(more or {}),
    }
    rows = reader.rows(statement, asking)
    if len(rows) > MAX_READ:
        raise TooLarge(f"more than {MAX_READ} receipts or operations: ask for a shorter span")
    return rows


def _booked(operation_id: int, kind: str, at: datetime, flags: str, key: str, wallet: int, amount: int) -> Booked:
    """From its key, ``like:redeem:<link>/<login>|<likeness>``, and the sum of its entries on the wallet."""
    owner = key.split(":", 2)[2].partition("|")[0]
    return Booked(operation_id, kind, at, ALIKE in flags.split(","), owner, wallet, abs(amount))


def _lines(reader: Reader, directory: Directory, asked: Asked, documents: Sequence[str]) -> dict[str, tuple[Line, ...]]:
    asking = {"store": directory.store(asked.store).id, "documents": array(documents)}
    rows = reader.rows(LINES, asking) if documents else ()
    return {document: _decode_lines(lines) for document, lines in rows}


# What belongs together -------------------------------------------------------------------------------------------

Pair = tuple[Side, Booked]
By = Callable[[Side | Booked], Any]


def judged(
    receipts: Iterable[Told], booked: Iterable[Booked], now: datetime, near: timedelta, late: timedelta
) -> list[Row]:
    """Every side that says something and every operation, once, with what became of it; in the order of time.

    What is read in another order is judged the same. Equal amounts find each other first. Of what is left the amount
    differs; a side that says nothing is told an operation that no receipt will come for. Errors: TooLarge.
    """
    sides = [side for receipt in receipts for side in sides_of(receipt)]
    spoken, silent = [side for side in sides if side.amount], [side for side in sides if not side.amount]
    left = list(booked)
    rows: list[Row] = []

    def take(verdict: str, some: list[Side], of: list[Booked], by: By) -> tuple[list[Side], list[Booked]]:
        found = pairs(some, of, near, by)
        rows.extend(Row(verdict, *pair) for pair in found)
        return _others(some, of, found)

    spoken, left = take(MATCHED, spoken, left, _movement)
    spoken, left = take(DIFFERS, spoken, left, _direction)
    rows += [Row(_alone(side, now, near), side, None) for side in spoken]
    rows += [Row(WAITING, None, each) for each in left if each.at + late >= now]
    overdue = [each for each in left if each.at + late < now]
    _, left = take(DIFFERS, silent, overdue, _direction)
    rows += [Row(NO_RECEIPT, None, each) for each in left]
    return sorted(rows, key=_order)


def sides_of(receipt: Told) -> tuple[Side, Side]:
    """What its calls had to book: a return gives back what was taken, and takes back what was given."""
    off, on = (ACCRUAL, REDEMPTION) if receipt.is_return else (REDEMPTION, ACCRUAL)
    return Side(receipt, off, receipt.redeemed), Side(receipt, on, receipt.earned)


def pairs(sides: Iterable[Side], booked: Iterable[Booked], near: timedelta, by: By) -> list[Pair]:
    """Pairs of the same ``by``, the nearest in time first; each side and each operation in one at most.

    Errors: TooLarge.
    """
    candidates = list(islice(_candidates(sides, booked, near, by), MAX_CANDIDATES + 1))
    if len(candidates) > MAX_CANDIDATES:
        raise TooLarge("too many receipts of one card near each other: ask for a shorter span or window")
    taken: set[object] = set()
    found: list[Pair] = []
    for side, each in sorted(candidates, key=_nearest):
        if side.name not in taken and each.operation_id not in taken:
            taken |= {side.name, each.operation_id}
            found.append((side, each))
    return found


def _candidates(sides: Iterable[Side], booked: Iterable[Booked], near: timedelta, by: By) -> Iterator[Pair]:
    groups: dict[Any, list[Booked]] = {}
    for each in sorted(booked, key=_at):
        groups.setdefault(by(each), []).append(each)
    for side in sides:
        group = groups.get(by(side), [])
        first, end = bisect_left(group, side.at - near, key=_at), bisect_right(group, side.at + near, key=_at)
        yield from ((side, each) for each in group[first:end])


def _movement(each: Side | Booked) -> tuple[Any, ...]:
    return each.wallet, each.kind, each.amount


def _direction(each: Side | Booked) -> tuple[Any, ...]:
    return each.wallet, each.kind


def _at(each: Booked) -> datetime:
    return each.at


def _nearest(pair: Pair) -> tuple[Any, ...]:
    """Nothing in it depends on what was read first."""
    side, each = pair
    return abs(each.at - side.at), side.at, side.name, each.operation_id


def _others(sides: Iterable[Side], booked: Iterable[Booked], found: Iterable[Pair]) -> tuple[list[Side], list[Booked]]:
    """What is in none of the pairs."""
    known, operations = {side.name for side, _ in found}, {each.operation_id for _, each in found}
    return [side for side in sides if side.name not in known], [
        each for each in booked if each.operation_id not in operations
    ]


def _alone(side: Side, now: datetime, near: timedelta) -> str:
    """Of a side that no operation fits."""
    if side.wallet is None:
        return UNKNOWN_CARD
    return NOT_BOOKED if side.at + near < now else WAITING


def _order(row: Row) -> tuple[Any, ...]:
    return row.one.at, row.side.name if row.side else ("", ""), row.booked.operation_id if row.booked else 0
