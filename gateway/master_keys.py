"""The keys that encrypt and index personal data: from the environment, files, or made beside an SQLite file."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.engine import make_url

from gateway.yaml_files import read_yaml
from processing.errors import ConfigError
from processing.secrets import KEY_BYTES, MasterKeys, new_key

log = structlog.get_logger()

NAMES = ("TILLGATE_MASTER_KEY", "TILLGATE_INDEX_KEY")
KEYS_FILE = "TILLGATE_KEYS_FILE"
# systemd's directory of a unit's credentials, and what ours is called there (LoadCredential=tillgate.keys:...).
CREDENTIALS, CREDENTIAL = "CREDENTIALS_DIRECTORY", "tillgate.keys"

_NEW_KEYS = "\n".join(f'  export {name}="$(head -c 32 /dev/urandom | base64)"' for name in NAMES)


def load_keys(environ: Mapping[str, str], database_url: str) -> MasterKeys:
    """The keys that encrypt and index personal data, from the first place that has them.

    TILLGATE_MASTER_KEY and TILLGATE_INDEX_KEY (base64 of 32 bytes each); TILLGATE_MASTER_KEY_FILE and
    TILLGATE_INDEX_KEY_FILE, files with one of them each; the file TILLGATE_KEYS_FILE with the lines ``master:``
    and ``index:``; such a file as systemd's credential ``tillgate.keys``; for SQLite the file
    ``<database file>.keys``, which is made if missing.
    Errors: ConfigError with the commands that make keys.
    """
    if any(environ.get(name) for name in NAMES):
        return _parse_keys("environment", {name: environ.get(name) for name in NAMES})
    if any(environ.get(f"{name}_FILE") for name in NAMES):
        return _parse_keys("environment", {name: _read_key(environ, f"{name}_FILE") for name in NAMES})
    named = named_file(environ)
    if named is not None:
        return _read_keys(named)
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite":
        raise ConfigError(
            "environment: TILLGATE_MASTER_KEY and TILLGATE_INDEX_KEY are not set. Make them once and keep "
            f"them apart from the database and its backups; without them personal data is lost:\n{_NEW_KEYS}"
        )
    beside = file_beside(database_url)
    if beside is not None and not beside.exists() and _is_sealed(beside):
        raise ConfigError(
            f"{beside}: not there, but the database was written with keys. Put back the file that was kept with "
            "its backup; new keys would not open what is encrypted"
        )
    return _keys_beside(beside) if beside else MasterKeys(new_key(), new_key())


def _is_sealed(beside: Path) -> bool:
    """Whether the database beside which keys are kept was written with some already."""
    file = beside.with_name(beside.name.removesuffix(".keys"))
    if not file.is_file():
        return False
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        try:
            return bool(connection.execute("SELECT count(*) FROM data_key").fetchone()[0])
        except sqlite3.Error:
            return False


def named_file(environ: Mapping[str, str]) -> Path | None:
    """The file with both keys that the environment names, or that systemd has put there; ``None`` without one."""
    if environ.get(KEYS_FILE):
        return Path(environ[KEYS_FILE])
    credential = Path(environ.get(CREDENTIALS, "")) / CREDENTIAL
    return credential if environ.get(CREDENTIALS) and credential.is_file() else None


def file_beside(database_url: str) -> Path | None:
    """Where the keys of an SQLite file are kept if nothing else names them; ``None`` for other databases."""
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database).removeprefix("file:") + ".keys")


def place_of_keys(environ: Mapping[str, str], database_url: str) -> str:
    """Where the keys of this database are kept, in words; empty when they are nowhere. Makes none."""
    if any(environ.get(name) for name in NAMES):
        return f"the environment ({' and '.join(NAMES)})"
    files = [environ[f"{name}_FILE"] for name in NAMES if environ.get(f"{name}_FILE")]
    if files:
        return f"the files {' and '.join(files)}"
    file = named_file(environ) or file_beside(database_url)
    return f"the file {file}" if file is not None and file.exists() else ""


def _read_key(environ: Mapping[str, str], name: str) -> str:
    """The text of the file that the variable names. Errors: ConfigError."""
    path = environ.get(name)
    if not path:
        raise ConfigError(f"environment: {name} is not set; both keys come from files, or neither")
    try:
        return Path(path).read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name}: {path} cannot be read: {getattr(error, 'strerror', None) or 'not text'}") from None


def _keys_beside(path: Path) -> MasterKeys:
    """The keys of an SQLite database; a new file appears whole or not at all, readable by its owner only."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        lines = (f"{name}: {base64.b64encode(new_key()).decode()}\n" for name in ("master", "index"))
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write("".join(lines))
                file.flush()
                os.fsync(descriptor)
            with contextlib.suppress(FileExistsError):  # another process was faster: its keys hold
                os.link(draft, path)
                log.warning("keys_created", file=str(path), advice="keep a copy apart from the database")
        finally:
            draft.unlink()
    return _read_keys(path)


def _read_keys(path: Path) -> MasterKeys:
    try:
        lines = read_yaml(path)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(lines, dict) or set(lines) != {"master", "index"}:
        raise ConfigError(f"{path}: expected two lines, master: and index:, with base64 of 32 bytes each")
    # A group may be meant to read them: systemd gives its credentials to a user by an ACL, which shows there.
    if path.stat().st_mode & 0o007:
        log.warning("keys_readable_by_others", file=str(path), advice=f"chmod o= {path}")
    return _parse_keys(str(path), lines)


def _parse_keys(where: str, texts: Mapping[str, Any]) -> MasterKeys:
    """Errors: ConfigError, which names the key and never shows it."""
    keys = []
    for name, text in texts.items():
        try:
            key = base64.b64decode(str(text or ""), validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise ConfigError(f"{where}: {name}: expected base64 of {KEY_BYTES} bytes, made once by\n{_NEW_KEYS}")
        keys.append(key)
    if keys[0] == keys[1]:
        raise ConfigError(f"{where}: the master key and the index key must differ")
    return MasterKeys(*keys)
