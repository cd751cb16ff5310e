"""Flows: what went from where to where, worked out of the entries of each operation. Read-only, set-based.

An operation's entries of a unit sum to zero: what some give others take. Which entry's amount went where is told by
their order, because what belongs together is booked in one order on both sides (docs/reports.md):

- what partners' accounts give goes into lots, what they take comes out of lots, first to first;
- what lots give beyond that goes into the lots that are left over: it repaid their debts;
- an operation that touches no partner's account moves lots, and of these only what an issuer has lost and another won;
- what expires goes to the lot's own issuer.

However they are matched, every entry is in flows to its full amount and in none twice: what is summed up of flows is
the sum of entries.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Boolean, Connection, String, column, text

from processing.database import Database, Statement, run
from processing.directory import SUSPENSE
from processing.errors import TooLarge
from processing.periods import slices
from processing.units import PAR_MILLIONTHS

WALLET = "wallet"
# Behind everything that is booked while somebody reads.
_LATER = timedelta(days=3_650)

# A report reads much and seldom: its plan is made for what it asks, and its sorts stay in memory.
_POSTGRESQL_SETTINGS = ("plan_cache_mode = force_custom_plan", "work_mem = '64MB'", "jit = off")

_BOOKED = f"""
    SELECT e.operation_id AS op, e.n, e.amount, a.unit, a.kind, coalesce(a.partner_id, l.issuer_id) AS partner,
           CASE WHEN o.kind IN ('expiry', 'expiry_undone') THEN coalesce(a.partner_id, l.issuer_id) ELSE 0 END AS part,
           CASE WHEN l.id IS NULL OR (l.is_debt AND l.price_millionths = 0) THEN {PAR_MILLIONTHS}
                ELSE l.price_millionths END AS price,
           CASE WHEN l.is_debt AND e.amount > 0 THEN 1 ELSE 0 END AS late,
           CASE WHEN a.partner_id IS NULL OR a.kind = '{SUSPENSE}' THEN 0 ELSE 1 END AS own
    FROM operation o JOIN entry e ON e.operation_id = o.id JOIN account a ON a.id = e.account_id
    LEFT JOIN lot l ON l.id = e.lot_id
    WHERE o.booked_at >= :since AND o.booked_at < :until AND (:unit = '' OR a.unit = :unit)
"""
# ``own``: an account of a partner, else a lot; suspense stands for the lot of a card that is not known.
# ``hi``: where the amount ends, if those of its side (lots or partners, giving or taking) lie in a row.
# ``beyond``: how much of its side the other kind of the other side takes up; what lies beyond is left over.
_LINED = f"""
    WITH booked AS ({_BOOKED}),
    known AS (SELECT booked.*, max(own) OVER (PARTITION BY op, unit, part) AS is_outward FROM booked),
    item AS (
        SELECT op, unit, part, n, kind, partner, price, late, own, amount FROM known WHERE is_outward = 1
        UNION ALL
        SELECT op, unit, part, min(n), min(kind), partner, price, 0, 0, CAST(sum(amount) AS BIGINT)
        FROM known WHERE is_outward = 0 GROUP BY op, unit, part, partner, price HAVING sum(amount) <> 0
    )
    SELECT op, unit, part, kind, partner, price, own, amount,
           CAST(sum(abs(amount)) OVER (
               PARTITION BY op, unit, part, amount > 0, own ORDER BY late, n, partner, price
           ) AS BIGINT) AS hi,
           CAST(sum(CASE WHEN amount < 0 AND own = 1 THEN -amount ELSE 0 END) OVER one AS BIGINT) AS own_gives,
           CAST(sum(CASE WHEN amount > 0 AND own = 1 THEN amount ELSE 0 END) OVER one AS BIGINT) AS own_takes,
           CAST(sum(CASE WHEN amount < 0 AND own = 0 THEN -amount ELSE 0 END) OVER one AS BIGINT) AS lots_give,
           CAST(sum(CASE WHEN amount > 0 AND own = 0 THEN amount ELSE 0 END) OVER one AS BIGINT) AS lots_take
    FROM item WINDOW one AS (PARTITION BY op, unit, part)
"""
_MATCHED = """
    WITH gives AS (
        SELECT op, unit, part, kind, partner, price, own, hi, hi + amount AS lo,
               CASE own WHEN 1 THEN lots_take ELSE own_takes END AS beyond FROM lined WHERE amount < 0
    ),
    takes AS (
        SELECT op, unit, part, kind, partner, price, own, hi, hi - amount AS lo,
               CASE own WHEN 1 THEN lots_give ELSE own_gives END AS beyond FROM lined WHERE amount > 0
    ),
    flow AS (
        SELECT g.unit, g.kind, g.partner, g.price, t.kind AS to_kind, t.partner AS to_partner, t.price AS to_price,
               CASE WHEN g.own <> t.own THEN LEAST(g.hi, t.hi) - GREATEST(g.lo, t.lo)
                    ELSE LEAST(g.hi - g.beyond, t.hi - t.beyond) - GREATEST(g.lo - g.beyond, t.lo - t.beyond, 0)
               END AS amount
        FROM gives g JOIN takes t ON t.op = g.op AND t.unit = g.unit AND t.part = g.part
    )
    SELECT unit, kind, partner, price, to_kind, to_partner, to_price, CAST(sum(amount) AS BIGINT) AS amount
    FROM flow WHERE amount > 0 GROUP BY unit, kind, partner, price, to_kind, to_partner, to_price
"""
_LINED_COLUMNS = "op, unit, part, kind, partner, price, own, amount, hi, own_gives, own_takes, lots_give, lots_take"

# PostgreSQL matches by hashing. SQLite would compare all with all, and is given a table of its own with an index.
FLOWS = Statement(
    f"SELECT told.* FROM (WITH lined AS MATERIALIZED ({_LINED}) SELECT * FROM ({_MATCHED}) matched) told",
    sqlite=_MATCHED.replace("LEAST(", "min(").replace("GREATEST(", "max("),
)
_LINE_UP = (
    Statement(f"CREATE TEMP TABLE IF NOT EXISTS lined ({_LINED_COLUMNS})"),
    Statement("CREATE INDEX IF NOT EXISTS temp.ix_lined ON lined (op, unit, part)"),
    Statement("DELETE FROM temp.lined"),
    Statement(f"INSERT INTO temp.lined ({_LINED_COLUMNS}) {_LINED}"),
)
_HELD = (
    column("unit", String),
    column("issuer", BigInteger),
    column("price", BigInteger),
    column("is_debt", Boolean),
    column("amount", BigInteger),
)
_PRICE = f"CASE WHEN l.is_debt AND l.price_millionths = 0 THEN {PAR_MILLIONTHS} ELSE l.price_millionths END"
# What lots hold now, and what of it was booked in a span.
LOTS_HOLD = Statement(
    f"""
    SELECT a.unit, l.issuer_id AS issuer, {_PRICE} AS price, l.is_debt, CAST(sum(l.remaining) AS BIGINT) AS amount
    FROM lot l JOIN account a ON a.id = l.account_id
    WHERE l.is_open AND (:unit = '' OR a.unit = :unit) GROUP BY a.unit, l.issuer_id, {_PRICE}, l.is_debt
    """,
    *_HELD,
)
LOTS_GOT = Statement(
    f"""
    SELECT a.unit, l.issuer_id AS issuer, {_PRICE} AS price, l.is_debt, CAST(sum(e.amount) AS BIGINT) AS amount
    FROM operation o JOIN entry e ON e.operation_id = o.id JOIN lot l ON l.id = e.lot_id
    JOIN account a ON a.id = e.account_id
    WHERE o.booked_at >= :since AND o.booked_at < :until AND (:unit = '' OR a.unit = :unit)
    GROUP BY a.unit, l.issuer_id, {_PRICE}, l.is_debt
    """,
    *_HELD,
)


class End(NamedTuple):
    """Where an amount left or came: a partner's account, or a lot by its issuer and price.

    ``kind``: ``wallet`` for lots, else that of the account.
    """

    kind: str
    partner: int
    price_millionths: int


class Flow(NamedTuple):
    unit: str
    giver: End
    taker: End


class Held(NamedTuple):
    """Lots that are alike to their issuer."""

    unit: str
    issuer: int
    price_millionths: int
    is_debt: bool


@dataclass(slots=True)
class Reader:
    """Reads one snapshot of the books, in slices, until its time is over; no ``seconds``: as long as it takes."""

    connection: Connection
    database: Database
    unit: str
    seconds: int | None = None
    started: float = 0

    def flows(self, since: datetime, until: datetime) -> Counter[Flow]:
        """What was booked in a span. Errors: TooLarge."""
        found: Counter[Flow] = Counter()
        for begin, end in slices(since, until):
            asking = self._span(begin, end)
            if self.database.is_sqlite:
                run(self.connection, [(statement, asking) for statement in _LINE_UP])
            for unit, *ends, amount in self.rows(FLOWS, asking):
                found[Flow(unit, End(*ends[:3]), End(*ends[3:]))] += amount
        return found

    def held(self, at: datetime, now: datetime) -> Counter[Held]:
        """What lots held at an instant: what they hold now, less what was booked since. Errors: TooLarge."""
        found: Counter[Held] = Counter()
        for *lots, amount in self.rows(LOTS_HOLD, {"unit": self.unit}):
            found[Held(*lots)] += amount
        got = self.got(at, max(at, now))
        for *lots, amount in self.rows(LOTS_GOT, self._span(max(at, now), max(at, now) + _LATER)):
            got[Held(*lots)] += amount
        found.subtract(got)
        return found

    def got(self, since: datetime, until: datetime) -> Counter[Held]:
        """What lots got in a span, less what they gave. Errors: TooLarge."""
        found: Counter[Held] = Counter()
        for begin, end in slices(since, until):
            for *lots, amount in self.rows(LOTS_GOT, self._span(begin, end)):
                found[Held(*lots)] += amount
        return found

    def _span(self, since: datetime, until: datetime) -> dict[str, Any]:
        instant = self.database.instant
        return {"since": instant(since), "until": instant(until), "unit": self.unit}

    def rows(self, statement: Statement, asking: Mapping[str, Any]) -> list[Any]:
        if self.seconds is not None and time.monotonic() - self.started > self.seconds:
            raise TooLarge(f"more than can be read in {self.seconds} seconds: ask for a shorter period")
        (rows,) = run(self.connection, [(statement, asking)])
        return rows


@contextmanager
def reader_of(database: Database, unit: str = "", seconds: int | None = None) -> Iterator[Reader]:
    """A reader of the books as they are now; all that it reads is of one instant, and it locks nothing."""
    engine = database.reader
    if not database.is_sqlite:
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with engine.connect() as connection:
        if not database.is_sqlite:
            for setting in _POSTGRESQL_SETTINGS:
                connection.execute(text(f"SET LOCAL {setting}"))
        yield Reader(connection, database, unit, seconds, time.monotonic())
