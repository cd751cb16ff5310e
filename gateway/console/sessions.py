"""Who has signed in: a random token in a cookie, its SHA-256 in the database, two ends.

A session ends when nobody was seen for IDLE, and after LONGEST in any case. It ends at once for all who change their
password, are suspended, or sign out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from gateway.console.operators import operator_of
from gateway.console.rights import Operator
from processing import tables
from processing.database import Database

TOKEN_BYTES = 32
IDLE = timedelta(hours=1)
LONGEST = timedelta(hours=12)
# So exactly is it known when somebody was seen: not every page writes.
SEEN_EVERY = timedelta(minutes=1)

_session, _operator = tables.session, tables.operator


def digest(token: str) -> bytes:
    """By what a session is stored and looked up."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def form_token(token: str) -> str:
    """What a form of this session carries, so that no other site can send it."""
    return hmac.digest(digest(token), b"tillgate console form", "sha256").hex()


def begin(connection: Connection, operator_id: int, source: str, now: datetime) -> str:
    """The token of a new session."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    row = {"operator_id": operator_id, "source": source, "created_at": now, "seen_at": now, "ends_at": now + LONGEST}
    connection.execute(insert(_session).values(token_sha256=digest(token), **row))
    return token


def find(database: Database, token: str) -> Operator | None:
    """Whose session this is, if it has not ended; it is remembered that they were seen."""
    asked = (
        select(_operator, _session.c.seen_at, _session.c.ends_at)
        .join(_session, _session.c.operator_id == _operator.c.id)
        .where(_session.c.token_sha256 == digest(token), _operator.c.suspended_at.is_(None))
    )
    with database.reading() as connection:
        row = connection.execute(asked).first()
        now = database.now(connection)
    if row is None or now >= row.ends_at or now >= row.seen_at + IDLE:
        return None
    if now >= row.seen_at + SEEN_EVERY:
        with database.transaction() as connection:
            connection.execute(update(_session).where(_session.c.token_sha256 == digest(token)).values(seen_at=now))
    return operator_of(row)


def end(database: Database, token: str) -> None:
    with database.transaction() as connection:
        connection.execute(delete(_session).where(_session.c.token_sha256 == digest(token)))
