"""Passwords of people: argon2id, at most a few at once, and nobody learns from the time whether a name exists."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from processing.errors import Busy

MIN_CHARACTERS, MAX_CHARACTERS = 10, 128
# A hash takes 19 MiB and some 30 ms: more at once would only take the machine away from the tills.
AT_ONCE = 4
WAIT_SECONDS = 5.0
ONE_TIME_BYTES = 12

# OWASP, Password Storage Cheat Sheet: argon2id with 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_gate = threading.BoundedSemaphore(AT_ONCE)


@contextmanager
def _turn() -> Iterator[None]:
    """Errors: Busy when too many are waiting."""
    if not _gate.acquire(timeout=WAIT_SECONDS):
        raise Busy("too many sign in at once")
    try:
        yield
    finally:
        _gate.release()


def hashed(password: str) -> str:
    """What is kept of a password. Errors: Busy."""
    with _turn():
        return _hasher.hash(password)


@cache
def _nobodys() -> str:
    """What an unknown name's password is compared with: nobody has this one."""
    return _hasher.hash(secrets.token_hex())


def is_right(password: str, kept: str | None) -> bool:
    """Whether this is it; of a name that is not there (None) it never is, after the same work. Errors: Busy."""
    if len(password) > MAX_CHARACTERS:
        password = ""
    with _turn():
        try:
            return _hasher.verify(_nobodys() if kept is None else kept, password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(kept: str) -> bool:
    """Whether it was made with other parameters than those of today."""
    return _hasher.check_needs_rehash(kept)


def one_time() -> str:
    """A password that nobody guesses, for one sign-in: 96 bits."""
    return secrets.token_urlsafe(ONE_TIME_BYTES)


def problem(password: str, name: str) -> str | None:
    """Why this may not be somebody's password: ``short``, ``long`` or ``name``; None: it may."""
    if len(password) < MIN_CHARACTERS:
        return "short"
    if len(password) > MAX_CHARACTERS:
        return "long"
    return "name" if name.lower() in password.lower() else None
