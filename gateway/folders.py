"""A link's folder as it is looked at: which files to read, what is left of them, and their marks.

A file that has changed since it was read is read again from its beginning: the lines that are known cost little. Marks
are made when the file is looked at once more and is still the one that was read, so that no till is disturbed that
is still writing. What is known of the files is the state of the link's lane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import structlog

from adapters.contract import FileFace, FileMark, FileWrite, Link, Source
from gateway.file_import import FileImport, Summary
from gateway.transport_files import Shelf, Stamp
from processing.errors import BadMessage

# Of one link; the oldest are forgotten, and read again should they still be there.
MAX_FILES = 1_000
# Digests of what was amiss in a link's files: beyond that it is logged again when its file has changed.
MAX_AMISS = 20_000

log = structlog.get_logger()


class Seen(msgspec.Struct, array_like=True):
    """A file as it was when it was read, the marks that it is still to get, and what was amiss (FileImport)."""

    size: int
    changed: int
    marks: list[tuple[int, bytes, bytes]] = []
    amiss: list[str] = []

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.size, self.changed)


class State(msgspec.Struct):
    """What is kept of a link's files: those that were read, and what its adapter has left for the next."""

    files: dict[str, Seen] = {}
    left: Any = None


def decoded(kept: str | bytes | None) -> State:
    return msgspec.json.decode(kept, type=State) if kept else State()


def encoded(state: State) -> bytes:
    return msgspec.json.encode(state)


@dataclass
class Look:
    """One look at the folder of a link. ``importing`` makes what reads a file, ``keep`` stores the state.

    ``is_over`` ends it behind a file: the rest is looked at next time.
    """

    link: Link
    faces: tuple[FileFace, ...]
    shelf: Shelf
    seconds: float
    at: datetime
    state: State
    importing: Callable[[], FileImport]
    keep: Callable[[State], None]
    is_over: Callable[[], bool]
    told: list[str] = field(default_factory=list)

    def all(self) -> bool:
        """Read what has changed, the oldest first; whether that was all. Errors: as FileImport and Shelf have them."""
        found = self._found()
        self._forget(found)
        for name, (stamp, face) in sorted(found.items(), key=lambda item: (item[1][0].changed, item[0])):
            known = self.state.files.get(name)
            if known is not None and known.stamp == stamp:
                self._mark(name, known)
                continue
            if self.is_over():
                return False
            self._read(name, face)
        return True

    def _found(self) -> Mapping[str, tuple[Stamp, FileFace]]:
        """The files of all faces; one whose name fits two is the first one's."""
        found: dict[str, tuple[Stamp, FileFace]] = {}
        for face in self.faces:
            for pattern in face.names(self.link):
                for name, stamp in self.shelf.listed(pattern, self.seconds):
                    found.setdefault(name, (stamp, face))
        return found

    def _forget(self, found: Mapping[str, Any]) -> None:
        """Files that are gone, and the oldest where there are too many; and what was amiss in the oldest likewise."""
        files = {name: seen for name, seen in self.state.files.items() if name in found}
        for name in list(files)[: max(len(files) - MAX_FILES, 0)]:
            del files[name]
        room = MAX_AMISS
        for seen in reversed(files.values()):
            seen.amiss = seen.amiss if len(seen.amiss) <= room else []
            room -= len(seen.amiss)
        self.state.files = files

    def _read(self, name: str, face: FileFace) -> None:
        own = self.importing()
        known = self.state.files.get(name)
        own.amiss_before = frozenset(known.amiss if known is not None else ())
        with self.shelf.reading(name, self.seconds) as opened:
            source = Source(name, opened.chunks, self.state.left, self.at)
            try:
                summary = own.read(face, source)
            except BadMessage as error:
                # Somebody else's file: it is told, and the others are read.
                summary = Summary()
                summary.add("foreign", error.message)
                log.warning("file_refused", link=self.link.code, where=str(error.details.get("where", "")))
            marks = [(each.offset, each.old, each.new) for each in own.writes if isinstance(each, FileMark)]
            assert not any(isinstance(each, FileWrite) for each in own.writes), "a file face writes marks only"
            self.state.files.pop(name, None)
            self.state.files[name] = Seen(*opened.stamp, marks, sorted(own.amiss))
            self.state.left = own.state if own.state is not None else self.state.left
        self.keep(self.state)
        self.told.append(f"{name}: {summary}")

    def _mark(self, name: str, known: Seen) -> None:
        """Mark the file, if it is still the one that was read; else it is read again."""
        for offset, old, new in known.marks:
            stamp = self.shelf.mark(name, known.stamp, FileMark(offset, old, new), self.seconds)
            if stamp is None:
                return
            known.size, known.changed = stamp
            self.told.append(f"{name}: marked")
        if known.marks:
            known.marks = []
            self.keep(self.state)
