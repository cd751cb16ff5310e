"""A file that a person names is read into the books as if it lay in the link's folder.

It has the lane of the link's files while it reads, so that no worker reads them at the same time, and leaves the same
state: documents under way, numbers, sales.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.contract import FileMark, Source
from gateway import folders
from gateway.app import Parts
from gateway.file_import import FileImport, Summary
from gateway.import_lanes import Execute
from gateway.pos import Door
from gateway.transport_files import Folder
from processing import outbox
from processing.errors import Busy
from processing.outbox import FILES, Lane

LEASE = timedelta(minutes=2)
# How long to wait for a worker that reads files of the link.
PATIENCE_SECONDS, LOOK_SECONDS = 10.0, 0.5
# A disk that is slower is none.
STEP_SECONDS = 60.0


@dataclass(frozen=True)
class HandImport:
    """Reads files into one link. ``seen`` is told of every so many bytes that were read;
    ``execute`` runs commands, if not the core itself."""

    own: Parts
    door: Door
    seen: Callable[[int], None]
    execute: Execute | None = None

    def read(self, file: Path, mark: bool) -> tuple[Summary, bool]:
        """What the file came to, and whether it got its mark. Errors: BadMessage, Busy, Undelivered."""
        folder = Folder(str(file.resolve().parent), 0)
        with self._lane() as lane, folder.reading(file.resolve().name, STEP_SECONDS) as opened:
            state = folders.decoded(lane.state)
            importing = self._importing(lane)
            chunks = self._counted(opened.chunks)
            summary = importing.read(
                self.door.adapter.files[0], Source(file.name, chunks, state.left, datetime.now(UTC))
            )
            state.left = importing.state
            with self.own.database.transaction() as connection:
                outbox.keep(connection, self.own.database, lane, LEASE, folders.encoded(state))
        marks = [each for each in importing.writes if isinstance(each, FileMark)] if mark else []
        done = [folder.mark(file.resolve().name, opened.stamp, each, STEP_SECONDS) for each in marks]
        return summary, bool(done) and None not in done

    def _importing(self, lane: Lane) -> FileImport:
        own = self.own
        return FileImport(
            own.core,
            own.vault,
            self.door.link,
            lambda connection: outbox.keep(connection, own.database, lane, LEASE),
            execute=self.execute,
            asks_again=True,
        )

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self.seen(len(chunk))

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        """The link's files are ours, until the end. Errors: Busy while a worker has them."""
        database, code = self.own.database, self.door.link.code
        worker, until = f"{socket.gethostname()}:{os.getpid()}"[:64], time.monotonic() + PATIENCE_SECONDS
        while True:
            with database.transaction() as connection:
                lane = outbox.claim_one(connection, database, code, FILES, worker, LEASE)
            if lane is not None:
                break
            if time.monotonic() > until:
                raise Busy("a worker reads the link's files just now, repeat")
            time.sleep(LOOK_SECONDS)
        try:
            yield lane
        finally:
            with database.transaction() as connection:
                outbox.snooze(connection, database, lane)
