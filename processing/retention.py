"""What is thrown away in time, one bite a call: codes sent to phones, holds that ended long ago, old sign-ins, receipts
that other systems have told of.

Books are never pruned, and neither are corrections that wait for their second person. Ids grow with time, so
the oldest rows stand in front; a bite looks at the front only, and needs no index of its own. Learned receipts have
no ids, and an index.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, select

from processing.database import Database, Statement, run
from processing.learned_receipts import KEPT
from processing.tables import confirmation_code, hold, hold_pin, learned_receipt, session, sign_in_failure

BITE_ROWS = 1_000
# Rows come in blocks of ids, one block a process: a few younger ones may stand before older ones.
FRONT_ROWS = 20_000
# So long after its end a session is still known; and so long failures count (gateway/console/throttle.py).
KEEP_SESSIONS = timedelta(days=30)
KEEP_FAILURES = timedelta(days=1)

# It never goes back: what is gone does not come again where more days are kept from now on.
PRUNED = Statement(
    """
    INSERT INTO chore (name, done_until) VALUES (:name, :until) ON CONFLICT (name) DO UPDATE SET
    done_until = CASE WHEN excluded.done_until > chore.done_until THEN excluded.done_until ELSE chore.done_until END
    """
)


def prune_codes(database: Database, keep_days: int) -> int:
    """Delete one bite of the codes that were sent so long ago; how many. Repeat it until it says 0."""
    with database.transaction() as connection:
        ids = _front(connection, confirmation_code, "sent_at", _cutoff(database, connection, keep_days))
        if ids:
            connection.execute(delete(confirmation_code).where(confirmation_code.c.id.in_(ids)))
    return len(ids)


def prune_holds(database: Database, keep_days: int) -> int:
    """Delete one bite of the holds that ended so long ago, with their pins; how many. An open one stays."""
    with database.transaction() as connection:
        ids = _front(connection, hold, "ended_at", _cutoff(database, connection, keep_days))
        if ids:
            connection.execute(delete(hold_pin).where(hold_pin.c.hold_id.in_(ids)))
            connection.execute(delete(hold).where(hold.c.id.in_(ids)))
    return len(ids)


def prune_sign_ins(database: Database) -> int:
    """Delete one bite of the sessions that ended long ago, and of failures that count no more; how many."""
    with database.transaction() as connection:
        now = database.now(connection)
        done = 0
        for table, key, at, keep in (
            (session, session.c.token_sha256, session.c.ends_at, KEEP_SESSIONS),
            (sign_in_failure, sign_in_failure.c.subject, sign_in_failure.c.last_at, KEEP_FAILURES),
        ):
            old = select(key).where(at < now - keep).limit(BITE_ROWS).with_for_update(skip_locked=True)
            done += connection.execute(delete(table).where(key.in_(list(connection.execute(old).scalars())))).rowcount
    return done


def prune_learned_receipts(database: Database, keep_days: int) -> int:
    """Delete one bite of the learned receipts that were closed so long ago; how many.

    Since when they are whole is written down with it: a receipt that is gone is not one that never came.
    """
    with database.transaction() as connection:
        cutoff = _cutoff(database, connection, keep_days)
        told = learned_receipt.c
        old = select(told.store_id, told.document).where(told.at < cutoff).order_by(told.at).limit(BITE_ROWS)
        found = connection.execute(old.with_for_update(skip_locked=True)).all()
        if found:
            # One by one: for a list of pairs SQLite reads the whole table.
            this = (told.store_id == bindparam("store"), told.document == bindparam("name"))
            rows = [{"store": row.store_id, "name": row.document} for row in found]
            connection.execute(delete(learned_receipt).where(*this), rows)
            run(connection, [(PRUNED, {"name": KEPT, "until": database.instant(cutoff)})])
    return len(found)


def _cutoff(database: Database, connection: Connection, keep_days: int) -> datetime:
    return database.now(connection) - timedelta(days=keep_days)


def _front(connection: Connection, table: Table, instant: str, cutoff: datetime) -> list[Any]:
    """Ids of the first rows that are older, locked; those that another worker has in hand are left to it."""
    front = select(table.c.id, table.c[instant]).order_by(table.c.id).limit(FRONT_ROWS).subquery()
    found = select(front.c.id).where(front.c[instant] < cutoff).order_by(front.c.id).limit(BITE_ROWS)
    ids = list(connection.execute(found).scalars())
    if not ids:
        return []
    locked = select(table.c.id).where(table.c.id.in_(ids)).order_by(table.c.id).with_for_update(skip_locked=True)
    return list(connection.execute(locked).scalars())
