"""The API clients in the database: added, listed, revoked, found by their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select, update

from gateway.auth import EVERYTHING, SCOPES, ApiClient, key_digest, new_api_key
from gateway.problems import did_you_mean
from processing import audit, tables
from processing.database import Database
from processing.errors import ConfigError

# A change of the whole chain, not of a store.
NO_STORE = 0
# What stands in front of people's names in the audit log.
RESERVED = ("cli", "console")


def find(database: Database, digest: bytes) -> ApiClient | None:
    """The client that has this key, unless it was revoked."""
    table = tables.api_client
    known = select(table).where(table.c.key_sha256 == digest, table.c.revoked_at.is_(None))
    with database.reading() as connection:
        row = connection.execute(known).first()
    if row is None:
        return None
    stores = None if row.stores is None else frozenset(row.stores)
    return ApiClient(row.name, frozenset(row.scopes), stores, row.requests_per_minute)


def add(
    database: Database, actor: str, name: str, scopes: Sequence[str], stores: Sequence[str], per_minute: int | None
) -> str:
    """The key of a new client; only its SHA-256 is kept. Errors: ConfigError."""
    _check_scopes(scopes)
    if name in RESERVED:
        raise ConfigError(f"{name!r} is how the audit log names our own people; take another name")
    table, key = tables.api_client, new_api_key()
    with database.transaction() as connection:
        known = set(connection.execute(select(tables.store.c.code)).scalars())
        for store in stores:
            if store not in known:
                raise ConfigError(f"no store {store!r}; there are: {', '.join(sorted(known)) or 'none'}")
        if connection.execute(select(table.c.id).where(table.c.name == name)).first():
            raise ConfigError(f"there is or was a client {name!r}; take another name")
        row: dict[str, Any] = {
            "id": (connection.execute(select(func.max(table.c.id))).scalar() or 0) + 1,
            "name": name,
            "key_sha256": key_digest(key),
            "scopes": sorted(set(scopes)),
            "stores": sorted(set(stores)) or None,
            "requests_per_minute": per_minute,
            "created_at": database.now(connection),
        }
        connection.execute(insert(table).values(row))
        details = {name: row[name] for name in ("scopes", "stores", "requests_per_minute")}
        audit.record(connection, database, actor, "client_added", NO_STORE, name, details)
    return key


def _check_scopes(scopes: Sequence[str]) -> None:
    for scope in scopes:
        if scope not in SCOPES and scope != EVERYTHING:
            known = ", ".join([*SCOPES, EVERYTHING])
            raise ConfigError(f"no scope {scope!r}{did_you_mean(scope, SCOPES)}; there are: {known}")


def revoke(database: Database, actor: str, name: str) -> None:
    """The client's key works no more. Errors: ConfigError for nobody of this name."""
    table = tables.api_client
    with database.transaction() as connection:
        living = update(table).where(table.c.name == name, table.c.revoked_at.is_(None))
        if not connection.execute(living.values(revoked_at=database.now(connection))).rowcount:
            raise ConfigError(f"no client {name!r} that could be revoked")
        audit.record(connection, database, actor, "client_revoked", NO_STORE, name, {})


def everybody(database: Database) -> list[Any]:
    """The rows of all clients, also revoked ones, by name."""
    with database.reading() as connection:
        return list(connection.execute(select(tables.api_client).order_by(tables.api_client.c.name)))
