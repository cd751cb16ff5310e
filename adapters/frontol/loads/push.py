"""The push: messages of the outbox as load files, one after the other, each read back from the till's own mark.

Nothing is kept here: flag, journal and data file tell where things stand, and every talk begins with them. The
handshake, and what a break at each of its steps leaves behind: docs/adapters/frontol-loads.md, "The handshake".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from adapters.contract import Calling, FileRead, FileWrite, Job, Link, Push, file
from adapters.frontol.loads.contents import Contents, contents
from adapters.frontol.loads.journal import (
    LOADED,
    MAX_JOURNAL,
    WAITING,
    WRITING,
    Folder,
    Journal,
    State,
    decoded,
    digest,
    encoded,
)
from adapters.frontol.loads.lines import page
from adapters.frontol.loads.options import JOURNAL
from processing.errors import LinkDown, NotYet
from processing.events import BALANCE_CHANGED, CARD_CHANGED, HOLDER_CHANGED, LOAD

MAX_MESSAGES = 1_000
# Of a data file; one that is not ours may be greater, as far as the link's max_answer_bytes goes.
MAX_DATA = 256 << 20
MAX_FLAG = 1 << 16
# A network folder may show the missing flag before the changed file.
SETTLE = timedelta(seconds=30)
# So often a file or its flag is put there once more before the link counts as one that fails.
MAX_AGAIN = 3
TEST = "test"


def send(job: Job, link: Link) -> Calling[int | None]:
    """How many messages are loaded, from the first. Errors: NotYet while a file waits; LinkDown where nobody takes it,
    the folder is somebody else's, or a person has to decide; LinkRefused for what cannot be said."""
    desk = Desk(link, job.at)
    if job.messages[0].kind == TEST:
        yield from desk.look()
        return None
    folder = yield from desk.look()
    state = folder.state(desk.options["loaded_mark"])
    journal = folder.journal
    if journal and state is State.MARKED:
        journal = msgspec.structs.replace(journal, step=LOADED)
        folder = yield from desk.keep(folder, journal)
        state = State.FREE
    known = journal.known if journal else frozenset()
    if done := _first(job, known):
        return done
    if journal and state is State.UNFLAGGED:
        yield from desk.flag_again(folder, journal)
    desk.check(journal, state)
    told = yield from contents(job.messages, link, known)
    if told.lines:
        yield from desk.write(folder, told)
    return told.messages


def _first(job: Job, known: frozenset[int]) -> int:
    """How many messages, from the first, the till has."""
    return next((n for n, message in enumerate(job.messages) if message.id not in known), len(job.messages))


class Desk:
    """The calls and waits of one talk."""

    def __init__(self, link: Link, at: datetime) -> None:
        self.options: Mapping[str, Any] = link.options["loads"]
        self._at = at
        self._data, self._flag = self.options["data_file"], self.options["flag_file"]

    def look(self) -> Calling[Folder]:
        """The journal is read last: of what is read last a part is kept with the attempt, and it tells of nobody."""
        flag = yield from file(FileRead(self._flag, MAX_FLAG))
        data = None
        if flag.content is None:
            data = (yield from file(FileRead(self._data, MAX_DATA))).content
        raw = (yield from file(FileRead(self._data + JOURNAL, MAX_JOURNAL))).content
        return Folder(flag.content is not None, data, raw, decoded(raw))

    def keep(self, folder: Folder, journal: Journal) -> Calling[Folder]:
        """Write the journal over the one that was read. Errors: NotYet where another worker has been faster."""
        content = encoded(journal)
        yield from self._put(self._data + JOURNAL, content, folder.raw)
        return Folder(folder.has_flag, folder.data, content, journal)

    def _put(self, name: str, content: bytes, over: bytes | None) -> Calling[None]:
        reply = yield from file(FileWrite(name, content, at=over, new=over is None))
        if reply.content is None:
            raise self._not_yet("somebody else has just written there")

    def _not_yet(self, why: str) -> NotYet:
        return NotYet(why, self.options["poll_seconds"])

    def check(self, journal: Journal | None, state: State) -> None:
        """Passes where a file may be written. Errors: NotYet, LinkDown."""
        if journal and state is State.ON_ITS_WAY:
            waited = self._at - journal.at
            if waited > timedelta(minutes=self.options["wait_minutes"]):
                raise LinkDown(f"the till has not taken its file for {waited // timedelta(minutes=1)} minutes")
            raise self._not_yet("the till has not taken its file yet")
        if state is State.STRANGE_FLAG:
            raise LinkDown("a flag stands in the folder that is not ours")
        if state is State.STRANGE_FILE:
            raise LinkDown("another program's data file stands in the folder, and is not loaded")
        if journal and journal.adds and state is State.GONE:
            raise LinkDown(
                "the file was taken away or written over before it was seen as loaded, and accruals in it would count "
                f"twice: look at the till, then decide in {self._data}{JOURNAL}"
            )

    def flag_again(self, folder: Folder, journal: Journal) -> Calling[None]:
        """The flag is gone and the file not marked, for longer than a network folder may take to show it: it was never
        there, or taken away. Errors: NotYet, LinkDown."""
        if journal.unflagged_at is None:
            yield from self.keep(folder, msgspec.structs.replace(journal, unflagged_at=self._at))
            raise NotYet("the flag is gone, and the file not marked as loaded", SETTLE.total_seconds())
        if (left := journal.unflagged_at + SETTLE - self._at) > timedelta():
            raise NotYet("the flag is gone, and the file not marked as loaded", left.total_seconds())
        again = journal.again + 1
        yield from self.keep(folder, msgspec.structs.replace(journal, unflagged_at=None, again=again))
        yield from self._put_flag()
        raise self._waiting(again)

    def _put_flag(self) -> Calling[None]:
        yield from file(FileWrite(self._flag, b"", new=True))

    def _waiting(self, again: int) -> NotYet | LinkDown:
        if again > MAX_AGAIN:
            return LinkDown(f"the till takes flags or files away without loading them, {again} times by now")
        return self._not_yet("the till has not taken its file yet")

    def write(self, folder: Folder, told: Contents) -> Calling[None]:
        """Journal, data, journal, flag. Errors: NotYet, always: the till has still to load it."""
        data, old = page(told.lines), folder.journal
        lost = old is not None and old.step == WAITING
        journal = Journal(
            step=WRITING,
            messages=told.ids,
            sha256=digest(data),
            at=self._at,
            adds=told.adds,
            before=old.remembered if old else (),
            again=old.again + 1 if old and lost else 0,
        )
        folder = yield from self.keep(folder, journal)
        yield from self._put(self._data, data, folder.data)
        yield from self.keep(folder, msgspec.structs.replace(journal, step=WAITING))
        yield from self._put_flag()
        raise self._waiting(journal.again)


def batch(link: Link) -> int:
    """As many messages as a file may carry."""
    return MAX_MESSAGES


PUSH = Push(wants=frozenset({CARD_CHANGED, HOLDER_CHANGED, BALANCE_CHANGED, LOAD}), talk=send, batch=batch)
