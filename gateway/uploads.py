"""What far sides upload in pieces until it is read: a folder of bounded size, a folder in it for each session.

No name from outside becomes a path: a file is kept under a digest of its name. Of an archive a member is read as it is
unpacked, up to a bound, and nothing of it is written down. Sessions that are over go when another one begins.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from processing.errors import BadMessage, Busy, TooLarge

PIECE = 256 << 10
MAX_NAME = 255
# Of a session; pictures are not kept, and a catalogue comes in some dozens of portions.
MAX_FILES = 1_000
# Of one file of an archive: whoever packs more than this has made a bomb.
MAX_UNPACKED = 4 << 30
# Of an archive's list of members, which is read into memory.
MAX_DIRECTORY = 16 << 20
ARCHIVE = ".zip"
RESULT, LOCK = ".result", ".lock"
_ZIP64 = b"PK\x06\x07"
_END = b"PK\x05\x06"
_END_SIZE, _MAX_COMMENT = 22, 65_535


class Result(msgspec.Struct, frozen=True):
    """What reading a file came to: nothing amiss, or the name of a text that says what was."""

    failure: str = ""


def refused(hint: str, error: type[BadMessage] | type[Busy] = BadMessage) -> BadMessage | Busy:
    """An error that tells the text of this name (adapters/texts.py)."""
    return error(hint, hint=hint)


@dataclass(frozen=True)
class Upload:
    """A file that has come: by itself, or as the member of an archive."""

    name: str
    place: Path
    archive: Path | None = None

    @contextmanager
    def opened(self) -> Iterator[Iterator[bytes]]:
        """Its bytes in pieces. Errors: BadMessage for a broken archive, TooLarge; while reading as well."""
        if self.archive is None:
            with self.place.open("rb") as file:
                yield iter(lambda: file.read(PIECE), b"")
            return
        with _archive(self.archive) as opened:
            yield _unpacked(opened, _member(opened, self.name) or "")

    def result(self) -> Result | None:
        try:
            return msgspec.json.decode(self._beside(RESULT).read_bytes(), type=Result)
        except FileNotFoundError:
            return None

    def mark(self) -> tuple[int, int, int] | None:
        """Tells its bytes from those that come later under the same name; ``None``: it is gone."""
        try:
            found = (self.archive or self.place).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def settle(self, result: Result, mark: tuple[int, int, int] | None) -> None:
        """Unless other bytes than those of ``mark`` have come meanwhile: they are read by themselves."""
        if mark is None or self.mark() != mark:
            return
        part = self._beside(f"{RESULT}.part")
        with suppress(FileNotFoundError):
            part.write_bytes(msgspec.json.encode(result))
            part.replace(self._beside(RESULT))

    def lock(self) -> int | None:
        """A lock of whoever reads it, as a descriptor to close; ``None``: somebody else does."""
        file = os.open(self._beside(LOCK), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        return file

    def _beside(self, ending: str) -> Path:
        return self.place.with_name(self.place.name + ending)


@dataclass(frozen=True)
class Uploads:
    """The folder. ``max_bytes`` is what all sessions together may have; ``seconds`` how long one lasts."""

    folder: Path
    max_bytes: int
    seconds: int

    def begin(self, session: str) -> None:
        """An empty folder for a session, whatever it had. Errors: Busy where there is no room."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{self.folder} is somebody else's")
        self._clear()
        shutil.rmtree(self.folder / session, ignore_errors=True)
        if self._size() >= self.max_bytes:
            raise refused("upload_full", Busy)
        # The same step may come twice at once.
        (self.folder / session).mkdir(mode=0o700, exist_ok=True)

    def append(self, session: str, name: str, read: Callable[[int], bytes], limit: int) -> None:
        """A piece of a file; what has been read already begins anew. Errors: BadMessage, TooLarge, Busy."""
        place = self._place(session, name)
        if place.with_name(place.name + RESULT).exists():
            for ending in (RESULT, ""):
                place.with_name(place.name + ending).unlink(missing_ok=True)
        if place.suffix == ARCHIVE:
            _forget_members(place.parent)
        if not place.exists() and len(list(place.parent.iterdir())) >= MAX_FILES:
            raise TooLarge("too many files", where="filename", hint="upload_too_large")
        with place.open("ab") as file:
            begin = file.tell()
            try:
                self._write(file, read, limit)
            except BaseException:
                # Also where the line breaks in the midst of it: the whole piece comes again.
                file.truncate(begin)
                raise

    def _write(self, file: BinaryIO, read: Callable[[int], bytes], limit: int) -> None:
        """Errors: BadMessage for nothing, TooLarge, Busy where there is no room."""
        room, taken = self.max_bytes - self._size(), 0
        while piece := read(PIECE):
            taken += len(piece)
            if taken > limit:
                raise TooLarge("too large", where="body", hint="upload_too_large")
            if taken > room:
                raise refused("upload_full", Busy)
            file.write(piece)
        if not taken:
            raise refused("upload_empty")
        # What is told to have come is seen by whoever reads it.
        file.flush()

    def find(self, session: str, name: str) -> Upload:
        """The file, or the archive that has it. Errors: BadMessage where it has not come, or an archive is broken."""
        place = self._place(session, name)
        if place.exists():
            return Upload(name, place)
        for archive in sorted(place.parent.glob(f"*{ARCHIVE}")):
            with _archive(archive) as opened:
                if _member(opened, name) is not None:
                    return Upload(name, place, archive)
        raise refused("upload_missing")

    def _place(self, session: str, name: str) -> Path:
        """Where the file is kept. Errors: BadMessage for a session that was not begun, or no name."""
        if not name or len(name) > MAX_NAME:
            raise refused("upload_name")
        folder = self.folder / session
        if not folder.is_dir():
            raise refused("upload_not_begun")
        ending = ARCHIVE if name.lower().endswith(ARCHIVE) else ""
        return folder / (hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest() + ending)

    def _size(self) -> int:
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with suppress(FileNotFoundError):
                    total += (Path(folder) / name).stat().st_size
        return total

    def _clear(self) -> None:
        """Sessions that nobody can go on with."""
        for each in self.folder.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - each.stat().st_mtime > 2 * self.seconds:
                    shutil.rmtree(each, ignore_errors=True)


def _forget_members(folder: Path) -> None:
    """What members of archives came to: a new archive may have others of the same names."""
    for result in folder.glob(f"*{RESULT}"):
        if not result.with_suffix("").exists():
            result.unlink(missing_ok=True)


# What a broken archive raises, and one that is encrypted or packed in a way that nobody knows.
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Errors: BadMessage where it cannot be opened."""
    _check_directory(path)
    try:
        opened = zipfile.ZipFile(path)
    except BROKEN as error:
        raise refused("upload_archive") from error
    with opened:
        yield opened


def _check_directory(path: Path) -> None:
    """Errors: BadMessage for a list of members that would fill the memory, or none at all."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _END_SIZE - _MAX_COMMENT, 0))
        tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_SIZE or _ZIP64 in tail:
        raise refused("upload_archive")
    if int.from_bytes(tail[at + 12 : at + 16], "little") > MAX_DIRECTORY:
        raise refused("upload_archive")


def _member(opened: zipfile.ZipFile, name: str) -> str | None:
    """What the archive calls it."""
    told = {each.replace("\\", "/"): each for each in opened.namelist()}
    return told.get(name)


def _unpacked(opened: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """Errors: BadMessage for what cannot be unpacked, TooLarge."""
    total, file = 0, None
    while True:
        try:
            file = file or opened.open(name)
            piece = file.read(PIECE)
        except BROKEN as error:
            raise refused("upload_archive") from error
        if not piece:
            return
        total += len(piece)
        if total > MAX_UNPACKED:
            raise TooLarge("unpacks to too much", where="filename", hint="upload_too_large")
        yield piece
