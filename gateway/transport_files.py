"""Files in a local folder: read up to a bound or in pieces, written whole or not at all.

A new content is written under a temporary name beside its place, brought to the disk and renamed. Nothing outside of
the folder can be named: no absolute paths, no dots, and no symbolic link on the way is followed.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple, Protocol

from adapters.contract import FileMark, FileRead, FileReply, FileWrite
from gateway.outer_addresses import LineBroke
from processing.errors import BadReply, LinkDown, LinkRefused, Undelivered

CHUNK = 1 << 20
# Of a file that is read in pieces; what is made of it takes many times as much.
PIECE = 256 << 10
MAX_NAME = 255
MOST_PARTS = 8
# What a temporary name has beside the name itself.
TEMPORARY_ROOM = 24
# Of a folder that is looked at; whoever leaves more there has to clear up.
MAX_ENTRIES = 10_000
MODE = 0o660
# What O_NOFOLLOW says of a symbolic link, and a name that the file system does not take.
_NO_FILE = frozenset({errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO})


def parts_of(name: str) -> list[str]:
    """The name's folders and its own, as told below the link's folder. Errors: LinkRefused."""
    parts = name.split("/")
    fit = len(parts) <= MOST_PARTS and all(part not in ("", ".", "..") for part in parts)
    fit = fit and all(len(part.encode("utf-8", "replace")) <= MAX_NAME - TEMPORARY_ROOM for part in parts)
    if not fit or not name.isprintable() or "\\" in name:
        raise LinkRefused("a file's name leads out of the folder, or is none")
    return parts


def temporary(name: str) -> str:
    """A name beside it that nobody has."""
    return f".{name}.{secrets.token_hex(8)}.tmp"


def too_long(limit: int) -> BadReply:
    return BadReply(f"the file exceeds {limit} bytes")


class Stamp(NamedTuple):
    """What changes when a file does: its size, and when it was written last, as finely as its side tells."""

    size: int
    changed: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is being read in pieces; ``stamp`` is from before the first of them."""

    stamp: Stamp
    chunks: Iterator[bytes]


class Shelf(Protocol):
    """A folder whose files are read in pieces. Each step takes ``seconds`` at most.

    Errors: LinkDown, LinkRefused, BadReply.
    """

    def listed(self, pattern: str, seconds: float) -> list[tuple[str, Stamp]]:
        """The files whose names fit, with the folder in front; none where there is no such folder."""
        ...

    def reading(self, name: str, seconds: float) -> AbstractContextManager[Opened]: ...

    def mark(self, name: str, stamp: Stamp, mark: FileMark, seconds: float) -> Stamp | None:
        """Change these bytes in the file of this stamp, in their place; its new stamp, or ``None``: it is another."""
        ...


class Folder:
    """The files below a local folder."""

    def __init__(self, folder: str, max_answer: int) -> None:
        self._folder = folder
        self._max_answer = max_answer

    def exchange(self, call: FileRead | FileWrite, until: float) -> FileReply:
        """The file's content, or ``None``. Errors: LinkDown, LinkRefused, BadReply."""
        *folders, name = parts_of(call.name)
        try:
            with self._opened(folders) as at:
                if isinstance(call, FileRead):
                    return FileReply(_read(at, name, min(call.limit, self._max_answer), until))
                return FileReply(call.content if _write(at, name, call, until) else None)
        except FileNotFoundError:
            if isinstance(call, FileRead) and os.path.isdir(self._folder):  # noqa: PTH112  # a folder in it is missing
                return FileReply(None)
            raise LinkDown("the folder is not there") from None
        except OSError as error:
            raise _told(error) from None

    @contextmanager
    def _opened(self, folders: list[str]) -> Iterator[int]:
        """The folder that the name is in, every step checked: a link on the way is no folder."""
        at = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                os.close(at)
                at = inner
            yield at
        finally:
            os.close(at)

    def listed(self, pattern: str, seconds: float) -> list[tuple[str, Stamp]]:
        """As Shelf says. Symbolic links are no files."""
        until = time.monotonic() + seconds
        *folders, wanted = parts_of(pattern)
        found = []
        try:
            with self._opened(folders) as at, os.scandir(at) as entries:
                for number, entry in enumerate(entries):
                    _check(until)
                    if number >= MAX_ENTRIES:
                        raise LinkRefused(f"the folder has more than {MAX_ENTRIES} files")
                    if fnmatchcase(entry.name, wanted) and entry.is_file(follow_symlinks=False):
                        found.append(("/".join((*folders, entry.name)), _stamp(entry.stat(follow_symlinks=False))))
        except FileNotFoundError:
            if not os.path.isdir(self._folder):  # noqa: PTH112
                raise LinkDown("the folder is not there") from None
        except OSError as error:
            raise _told(error) from None
        return sorted(found)

    @contextmanager
    def reading(self, name: str, seconds: float) -> Iterator[Opened]:
        """As Shelf says."""
        try:
            file = self._file(name, os.O_RDONLY)
        except OSError as error:
            raise _told(error) from None
        try:
            yield Opened(_stamp(os.fstat(file)), _chunks(file, seconds))
        finally:
            os.close(file)

    def mark(self, name: str, stamp: Stamp, mark: FileMark, seconds: float) -> Stamp | None:
        """As Shelf says; one small write to a disk needs no bound."""
        try:
            file = self._file(name, os.O_RDWR)
            try:
                is_it = _stamp(os.fstat(file)) == stamp
                if not is_it or os.pread(file, len(mark.old), mark.offset) != mark.old:
                    return None
                os.pwrite(file, mark.new, mark.offset)
                os.fsync(file)
                return _stamp(os.fstat(file))
            finally:
                os.close(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _told(error) from None

    def _file(self, name: str, flags: int) -> int:
        """The open file. Errors: OSError, LinkRefused for what is no plain file."""
        *folders, own = parts_of(name)
        with self._opened(folders) as at:
            # Non-blocking: a named pipe would wait for its writer.
            file = os.open(own, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise LinkRefused("in the place of the file is something else")
        return file

    def close(self) -> None:
        """Nothing is kept open."""


def _stamp(told: os.stat_result) -> Stamp:
    return Stamp(told.st_size, told.st_mtime_ns)


def _chunks(file: int, seconds: float) -> Iterator[bytes]:
    while chunk := _piece(file, seconds):
        yield chunk


def _piece(file: int, seconds: float) -> bytes:
    until = time.monotonic() + seconds
    try:
        piece = os.read(file, PIECE)
    except OSError as error:
        raise _told(error) from None
    _check(until)
    return piece


def _told(error: OSError) -> Undelivered:
    """A link or a folder in the file's place will be there next time; a full disk or missing rights may not."""
    if isinstance(error, IsADirectoryError | NotADirectoryError) or error.errno in _NO_FILE:
        return LinkRefused("in the place of the file or its folder is something else, such as a symbolic link")
    return LineBroke(f"the folder fails: {os.strerror(error.errno or 0)}")


def _check(until: float) -> None:
    if time.monotonic() > until:
        raise LineBroke("the folder is too slow")


def _read(at: int, name: str, limit: int, until: float) -> bytes | None:
    try:
        # Non-blocking: a named pipe would wait for its writer.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise LinkRefused("in the place of the file is something else")
        content = bytearray()
        while piece := os.read(file, min(CHUNK, limit + 1 - len(content))):
            _check(until)
            content += piece
            if len(content) > limit:
                raise too_long(limit)
        return bytes(content)
    finally:
        os.close(file)


def _write(at: int, name: str, call: FileWrite, until: float) -> bool:
    """Whether it was written: not where another content than ``at`` is, or any at all for ``new``."""
    if call.at is not None and not _has(at, name, call.at, until):
        return False
    beside = temporary(name)
    try:
        _put(at, beside, call.content, until)
        if call.new:
            os.link(beside, name, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
        elif call.at is not None and not _has(at, name, call.at, until):  # once more: writing may have taken long
            return False
        else:
            os.rename(beside, name, src_dir_fd=at, dst_dir_fd=at)
        os.fsync(at)
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=at)
    return True


def _has(at: int, name: str, content: bytes, until: float) -> bool:
    try:
        return _read(at, name, len(content), until) == content
    except BadReply:  # longer
        return False


def _put(at: int, name: str, content: bytes, until: float) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE, dir_fd=at)
    try:
        left = memoryview(content)
        while left:
            _check(until)
            left = left[os.write(file, left[:CHUNK]) :]
        os.fsync(file)
    finally:
        os.close(file)
