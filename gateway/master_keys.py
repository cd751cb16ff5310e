"""The keys that encrypt and index personal data: from the environment, a file, or made beside an SQLite file."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.engine import make_url

from gateway.yaml_files import read_yaml
from processing.errors import ConfigError
from processing.secrets import KEY_BYTES, MasterKeys, new_key

log = structlog.get_logger()

_NEW_KEYS = "\n".join(
    f'  export {name}="$(head -c 32 /dev/urandom | base64)"' for name in ("TILLGATE_MASTER_KEY", "TILLGATE_INDEX_KEY")
)


def load_keys(environ: Mapping[str, str], database_url: str) -> MasterKeys:
    """The keys that encrypt and index personal data, from the first place that has them.

    TILLGATE_MASTER_KEY and TILLGATE_INDEX_KEY (base64 of 32 bytes each); the file TILLGATE_KEYS_FILE with the
    lines ``master:`` and ``index:``; for SQLite the file ``<database file>.keys``, which is made if missing.
    Errors: ConfigError with the commands that make keys.
    """
    master, index = environ.get("TILLGATE_MASTER_KEY"), environ.get("TILLGATE_INDEX_KEY")
    if master or index:
        return _parse_keys("environment", {"TILLGATE_MASTER_KEY": master, "TILLGATE_INDEX_KEY": index})
    if environ.get("TILLGATE_KEYS_FILE"):
        return _read_keys(Path(environ["TILLGATE_KEYS_FILE"]))
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite":
        raise ConfigError(
            "environment: TILLGATE_MASTER_KEY and TILLGATE_INDEX_KEY are not set. Make them once and keep "
            f"them apart from the database and its backups; without them personal data is lost:\n{_NEW_KEYS}"
        )
    if url.database in (None, "", ":memory:"):
        return MasterKeys(new_key(), new_key())
    return _keys_beside(Path(str(url.database).removeprefix("file:") + ".keys"))


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
    if path.stat().st_mode & 0o077:
        log.warning("keys_readable_by_others", file=str(path), advice=f"chmod 600 {path}")
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
