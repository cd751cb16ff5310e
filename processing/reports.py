"""Reports of the books for those who keep the chain's own: read-only, over committed state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time

from sqlalchemy import BigInteger, Connection, String, column

from processing import tables
from processing.chores import partner_zones
from processing.database import Database, Statement, run
from processing.directory import Directory

DONE_UNTIL = Statement("SELECT done_until FROM chore WHERE name = :name", tables.chore.c.done_until)
ACCOUNTS = Statement(
    """
    SELECT a.kind, a.unit,
           CAST(coalesce(r.amount, 0) AS BIGINT) AS rolled, CAST(coalesce(s.amount, 0) AS BIGINT) AS since
    FROM account a LEFT JOIN (
        SELECT d.account_id, sum(d.debit - d.credit) AS amount FROM roll_up d JOIN account o ON o.id = d.account_id
        WHERE o.partner_id = :partner AND d.day < :day GROUP BY d.account_id
    ) r ON r.account_id = a.id LEFT JOIN (
        SELECT e.account_id, sum(e.amount) AS amount
        FROM operation o JOIN entry e ON e.operation_id = o.id JOIN account p ON p.id = e.account_id
        WHERE o.booked_at >= :since AND o.booked_at <= :at AND p.partner_id = :partner GROUP BY e.account_id
    ) s ON s.account_id = a.id
    WHERE a.partner_id = :partner ORDER BY a.unit, a.kind
    """,
    column("kind", String),
    column("unit", String),
    column("rolled", BigInteger),
    column("since", BigInteger),
)


@dataclass(frozen=True, slots=True)
class PartnerAccount:
    """What a partner's system account stands at: + taken, - given, in minor units."""

    partner: str
    kind: str
    unit: str
    scale: int
    balance: int


def partner_accounts(database: Database, directory: Directory, at: datetime | None = None) -> list[PartnerAccount]:
    """Every partner's accounts as they were booked until an instant; ``None`` is now.

    Days that are rolled up are read as one row each, only the rest entry by entry.
    """
    with database.reading() as connection:
        at = at or database.now(connection)
        return [
            account
            for partner_id in sorted(partner_zones(directory))
            for account in _accounts(connection, database, directory, partner_id, at)
        ]


def _accounts(
    connection: Connection, database: Database, directory: Directory, partner_id: int, at: datetime
) -> list[PartnerAccount]:
    zone = partner_zones(directory)[partner_id]
    today = datetime.combine(at.astimezone(zone).date(), time(), zone)
    (done,) = run(connection, [(DONE_UNTIL, {"name": f"roll_up {partner_id}"})])
    # Nothing rolled up yet: everything is read, from the beginning.
    since = min(done[0][0], today) if done else datetime(1970, 1, 2, tzinfo=zone)
    asking = {
        "partner": partner_id,
        "day": since.astimezone(zone).date().isoformat(),
        "since": database.instant(since),
        "at": database.instant(at),
    }
    (rows,) = run(connection, [(ACCOUNTS, asking)])
    return [
        PartnerAccount(directory.partner_code(partner_id), kind, unit, directory.unit(unit).scale, rolled + since_then)
        for kind, unit, rolled, since_then in rows
    ]
