"""The journal: what we have put into a till's folder, in a file beside it that no till reads.

A till's files say nothing of us: a data file that is gone, or that another program has written over, has no memory of
what it carried. The journal has, so that what counts when it is repeated is never said twice and never silently lost:
docs/adapters/frontol-loads.md, "The journal".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

import msgspec

from adapters.frontol.loads.lines import HEADER
from processing.errors import BadReply

# Its steps: before the data file is written (no till has seen it: there is no flag yet), from then on, and when the
# till has said that it was loaded.
WRITING, WAITING, LOADED = "writing", "waiting", "loaded"
MAX_JOURNAL = 1 << 18
# Far more than anybody loads by hand while a message of them waits to be decided about.
MAX_REMEMBERED = 2_000
_ENDS = b"\r\n"


class Journal(msgspec.Struct, frozen=True, omit_defaults=True):
    """``messages`` are those of the last data file, ``sha256`` is over its lines from the third on.

    ``adds``: those of them whose repetition counts twice. ``before``: such ones of earlier files, which were loaded;
    one that was given up meanwhile, or comes late, may still be asked for. ``unflagged_at``: since when there is
    neither flag nor mark. ``again``: how often the file, or its flag, had to be put there once more.
    """

    step: str
    messages: tuple[int, ...]
    sha256: str
    at: datetime
    adds: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    unflagged_at: datetime | None = None
    again: int = 0

    @property
    def known(self) -> frozenset[int]:
        """Messages that the till has loaded, as far as it matters."""
        return frozenset(self.before + self.messages if self.step == LOADED else self.before)

    @property
    def remembered(self) -> tuple[int, ...]:
        """Of those whose repetition counts twice the last that the till has loaded."""
        return (self.before + self.adds if self.step == LOADED else self.before)[-MAX_REMEMBERED:]


class State(Enum):
    """How a till's folder is found."""

    FREE = auto()  # a file may be written
    ON_ITS_WAY = auto()  # our file and its flag
    MARKED = auto()  # our file, which the till has loaded
    UNFLAGGED = auto()  # our file, neither flag nor mark
    GONE = auto()  # our file was taken away or written over before anybody saw it loaded
    STRANGE_FLAG = auto()  # a flag that is not ours
    STRANGE_FILE = auto()  # a file that is not ours and not loaded


@dataclass(frozen=True, slots=True)
class Folder:
    """What was read, the flag first: a till marks its file before it takes the flag away, so that a file without a
    mark behind a missing flag was not loaded. While there is a flag ``data`` is not read. ``raw``: the journal's bytes.
    """

    has_flag: bool
    data: bytes | None
    raw: bytes | None
    journal: Journal | None

    def state(self, loaded_mark: str) -> State:
        journal = self.journal
        waits = journal is not None and journal.step == WAITING
        if self.has_flag:
            return State.ON_ITS_WAY if waits else State.STRANGE_FLAG
        is_ours = journal is not None and self.data is not None and digest(self.data) == journal.sha256
        is_marked = self.data is not None and mark(self.data) == loaded_mark
        if waits and is_ours:
            return State.MARKED if is_marked else State.UNFLAGGED
        is_unseen = is_ours and journal is not None and journal.step == WRITING
        if self.data is not None and not is_marked and not is_unseen:
            return State.STRANGE_FILE
        return State.GONE if waits else State.FREE


def encoded(journal: Journal) -> bytes:
    return msgspec.json.encode(journal)


def decoded(raw: bytes | None) -> Journal | None:
    """Errors: BadReply."""
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=Journal)
    except msgspec.MsgspecError:
        raise BadReply("nobody understands the journal beside the data file: was it changed?") from None


def mark(data: bytes) -> str:
    """The second line of a load file; empty where it is none."""
    header, second, _ = _split(data)
    return second.decode("latin-1") if header == HEADER.encode() else ""


def digest(data: bytes) -> str:
    """Of what stands behind the mark, which the till changes."""
    return hashlib.sha256(_split(data)[2]).hexdigest()


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    """The first line, the second, and the rest; lines end with LF or CRLF."""
    first, _, rest = data.partition(b"\n")
    second, _, rest = rest.partition(b"\n")
    return first.strip(), second.strip(), rest.rstrip(_ENDS)
