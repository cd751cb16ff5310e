"""Reads uploaded files into the books behind the back of whoever asks how far it is.

A file is read by one thread of one process, whichever was asked first: a lock beside it says so, and goes with its
process. What came of it lies beside it as well, so that any web worker can tell.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from adapters.contract import UNFINISHED, FileFace, Link, Source
from gateway.file_import import REFUSED, FileImport, Stopped, Summary
from gateway.uploads import Result, Upload
from processing.commands import Ask, Command
from processing.errors import BadMessage, Busy
from processing.execute import Core, Outcome
from processing.secrets import Vault

# One after the other: the others wait with their askers.
THREADS = 1
# So many files may wait for it, each with an open lock; askers of more wait until there is room.
MAX_WAITING = 16
# 1C asks again at once, however often: it is kept so long each time, less than any proxy waits.
WAIT_SECONDS = 5.0
LOOK_SECONDS = 0.1
# Before a file is tried again for which the books had no time.
BUSY_SECONDS = 1.0

log = structlog.get_logger()


@dataclass
class SiteImports:
    """``ask`` runs commands; ``close`` ends what is under way, which is read again by whoever is asked next."""

    core: Core
    vault: Vault
    ask: Callable[[Sequence[Ask[Any]]], Sequence[Outcome]]
    wait_seconds: float = WAIT_SECONDS
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "site-import"))
    _under_way: dict[str, Future[None]] = field(default_factory=dict)
    _read: dict[str, int] = field(default_factory=dict)
    _closed: threading.Event = field(default_factory=threading.Event)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def outcome(self, link: Link, face: FileFace, upload: Upload) -> Result | int:
        """What came of the file, or how many of its documents are read so far."""
        until = time.monotonic() + self.wait_seconds
        while (result := upload.result()) is None:
            own = self._started(link, face, upload)
            left = until - time.monotonic()
            if left <= 0:
                return self._read.get(str(upload.place), 0)
            if own is None:
                time.sleep(min(LOOK_SECONDS, left))
            else:
                with suppress(TimeoutError):
                    own.result(left)
        return result

    def close(self) -> None:
        self._closed.set()
        self._pool.shutdown(cancel_futures=True)

    def _started(self, link: Link, face: FileFace, upload: Upload) -> Future[None] | None:
        """The reading of it in this process, begun unless somebody else has; ``None``: elsewhere, or not yet."""
        place = str(upload.place)
        with self._guard:
            if place in self._under_way or self._closed.is_set():
                return self._under_way.get(place)
            lock = upload.lock() if len(self._under_way) < MAX_WAITING else None
            if lock is None:
                return None
            own = self._under_way[place] = self._pool.submit(self._run, link, face, upload, lock)
            own.add_done_callback(lambda _: os.close(lock))
            return own

    def _run(self, link: Link, face: FileFace, upload: Upload, lock: int) -> None:
        mark = upload.mark()
        try:
            if upload.result() is None:
                upload.settle(Result(self._failure(link, face, upload)), mark)
        except (Busy, Stopped) as error:
            log.warning("site_import_again", link=link.code, reason=type(error).__name__)
            self._closed.wait(BUSY_SECONDS)
        except Exception:
            log.exception("site_import_failed", link=link.code)
            upload.settle(Result("upload_failed"), mark)
        finally:
            with self._guard:
                self._under_way.pop(str(upload.place), None)
                self._read.pop(str(upload.place), None)

    def _failure(self, link: Link, face: FileFace, upload: Upload) -> str:
        """The name of the text that says what was amiss; empty where nothing was. Errors: Busy, Stopped."""
        importing = FileImport(
            self.core,
            self.vault,
            link,
            hold=lambda connection: None,
            is_stopped=self._closed.is_set,
            execute=self._execute,
            seen=lambda summary: self._read.__setitem__(str(upload.place), summary.counts.total()),
        )
        try:
            with upload.opened() as chunks:
                summary = importing.read(face, Source(upload.name, chunks, None, datetime.now(UTC)))
        except BadMessage as error:
            log.warning("site_import_refused", link=link.code, where=str(error.details.get("where", "")))
            return str(error.details.get("hint", "upload_foreign"))
        log.info("site_import", link=link.code, came_to=str(summary))
        return _amiss(summary)

    def _execute(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        return list(self.ask(commands)) if commands else []


def _amiss(summary: Summary) -> str:
    """Single goods that make no sense are counted and logged; the others are learned all the same."""
    if summary.counts[UNFINISHED]:
        return "upload_cut"
    return "upload_failed" if summary.counts[REFUSED] else ""
