"""The people in the database: added, listed, suspended, given new passwords; found by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from gateway.console import passwords
from gateway.console.rights import LANGUAGES, NEEDS_SCOPE, ROLES, THEMES, Operator
from gateway.problems import did_you_mean
from processing import audit, tables
from processing.database import Database
from processing.errors import ConfigError

# A change of the whole chain, not of a store.
NO_STORE = 0
NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")

_operator, _session = tables.operator, tables.session


def operator_of(row: Any) -> Operator:
    return Operator(
        id=row.id,
        name=row.name,
        role=row.role,
        stores=None if row.stores is None else frozenset(row.stores),
        partners=None if row.partners is None else frozenset(row.partners),
        language=row.language,
        theme=row.theme,
        must_change=row.must_change,
    )


def add(
    database: Database,
    actor: str,
    name: str,
    role: str,
    stores: Sequence[str] = (),
    partners: Sequence[str] = (),
    language: str = LANGUAGES[0],
    password: str | None = None,
) -> str:
    """Let somebody in; the password, good for one sign-in unless it was given. Errors: ConfigError."""
    _check(name, role, stores, partners, language)
    given = checked(password, name) if password is not None else passwords.one_time()
    kept = passwords.hashed(given)
    with database.transaction() as connection:
        _check_known(connection, "store", tables.store, stores)
        _check_known(connection, "partner", tables.partner, partners)
        if connection.execute(select(_operator.c.id).where(_operator.c.name == name)).first():
            raise ConfigError(f"there is or was an operator {name!r}; take another name")
        row: dict[str, Any] = {
            "id": (connection.execute(select(func.max(_operator.c.id))).scalar() or 0) + 1,
            "name": name,
            "password_hash": kept,
            "must_change": password is None,
            "role": role,
            "stores": sorted(set(stores)) or None,
            "partners": sorted(set(partners)) or None,
            "language": language,
            "theme": THEMES[0],
            "created_at": database.now(connection),
        }
        connection.execute(insert(_operator).values(row))
        details = {name: row[name] for name in ("role", "stores", "partners")}
        audit.record(connection, database, actor, "operator_added", NO_STORE, name, details)
    return given


def _check(name: str, role: str, stores: Sequence[str], partners: Sequence[str], language: str) -> None:
    if not NAME.fullmatch(name):
        raise ConfigError(f"the name {name[:40]!r}: expected up to 40 letters, digits and . _ -")
    if role not in ROLES:
        raise ConfigError(f"no role {role!r}{did_you_mean(role, ROLES)}; there are: {', '.join(ROLES)}")
    if role in NEEDS_SCOPE and not stores and not partners:
        raise ConfigError(f"the role {role} sees a part of the chain: name it by --partner or --store")
    if language not in LANGUAGES:
        raise ConfigError(f"no language {language!r}; there are: {', '.join(LANGUAGES)}")


def _check_known(connection: Connection, kind: str, table: Any, codes: Sequence[str]) -> None:
    known = set(connection.execute(select(table.c.code)).scalars())
    for code in codes:
        if code not in known:
            raise ConfigError(f"no {kind} {code!r}; there are: {', '.join(sorted(known)) or 'none'}")


def checked(password: str, name: str) -> str:
    """The password, if it may be one. Errors: ConfigError."""
    problem = passwords.problem(password, name)
    if problem == "name":
        raise ConfigError("the password has the name in it")
    if problem is not None:
        least, most = passwords.MIN_CHARACTERS, passwords.MAX_CHARACTERS
        raise ConfigError(f"the password is too {problem}: expected {least} to {most} characters")
    return password


def everybody(database: Database) -> list[Any]:
    """The rows of all operators by name, also of suspended ones, with ``last_seen_at``."""
    seen = select(func.max(_session.c.seen_at)).where(_session.c.operator_id == _operator.c.id).scalar_subquery()
    with database.reading() as connection:
        asked = select(_operator, seen.label("last_seen_at")).order_by(_operator.c.name)
        return list(connection.execute(asked))


def by_name(connection: Connection, name: str) -> Any | None:
    """The row of this name, unless it is suspended."""
    found = select(_operator).where(_operator.c.name == name, _operator.c.suspended_at.is_(None))
    return connection.execute(found).first()


def suspend(database: Database, actor: str, name: str) -> None:
    """Shut somebody out, at once. Errors: ConfigError for nobody of this name."""
    with database.transaction() as connection:
        row = _living(connection, name)
        connection.execute(
            update(_operator).where(_operator.c.id == row.id).values(suspended_at=database.now(connection))
        )
        end_sessions(connection, row.id)
        audit.record(connection, database, actor, "operator_suspended", NO_STORE, name, {})


def set_password(database: Database, actor: str, name: str, password: str | None = None) -> str:
    """Somebody's new password, good for one sign-in unless it was given; lets a suspended one in again.

    Ends all sessions. Errors: ConfigError for nobody of this name.
    """
    given = checked(password, name) if password is not None else passwords.one_time()
    kept = passwords.hashed(given)
    with database.transaction() as connection:
        row = _row(connection, name)
        values = {"password_hash": kept, "must_change": password is None, "suspended_at": None}
        connection.execute(update(_operator).where(_operator.c.id == row.id).values(values))
        end_sessions(connection, row.id)
        details = {"one_time": password is None, "was_suspended": row.suspended_at is not None}
        audit.record(connection, database, actor, "operator_password", NO_STORE, name, details)
    return given


def change_password(connection: Connection, database: Database, operator: Operator, kept: str) -> None:
    """What somebody has chosen themselves; all their sessions end."""
    values = {"password_hash": kept, "must_change": False}
    connection.execute(update(_operator).where(_operator.c.id == operator.id).values(values))
    end_sessions(connection, operator.id)
    details = {"one_time": False}
    audit.record(connection, database, operator.actor, "operator_password", NO_STORE, operator.name, details)


def rehash(database: Database, operator_id: int, kept: str) -> None:
    """The same password, kept by the parameters of today."""
    with database.transaction() as connection:
        connection.execute(update(_operator).where(_operator.c.id == operator_id).values(password_hash=kept))


def set_view(database: Database, operator: Operator, language: str, theme: str) -> None:
    """In which language and colours somebody reads."""
    with database.transaction() as connection:
        changed = update(_operator).where(_operator.c.id == operator.id)
        connection.execute(changed.values(language=language, theme=theme))


def end_sessions(connection: Connection, operator_id: int) -> None:
    connection.execute(delete(_session).where(_session.c.operator_id == operator_id))


def _living(connection: Connection, name: str) -> Any:
    """Errors: ConfigError."""
    row = _row(connection, name)
    if row.suspended_at is not None:
        raise ConfigError(f"the operator {name!r} is suspended already")
    return row


def _row(connection: Connection, name: str) -> Any:
    """Errors: ConfigError."""
    row = connection.execute(select(_operator).where(_operator.c.name == name)).first()
    if row is None:
        raise ConfigError(f"no operator {name!r}")
    return row
