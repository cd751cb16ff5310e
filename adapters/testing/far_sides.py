"""Far sides in memory: what an adapter's pushes and pulls talk with in its tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.contract import Call, FileRead, FileReply, FileWrite, Reply
from processing.commands import Query
from processing.errors import BadReply
from processing.results import Result


class FarSide:
    """It answers calls, and keeps what they have done. Subclass it; each run gets a new one.

    ``sessions``: how many are open now, where it counts them.
    """

    sessions = 0

    def answer(self, call: Call) -> Reply:
        """Do the call, and say what the real one would say. Errors: what the transport raises, such as LinkRefused for
        a SOAP fault."""
        raise NotImplementedError

    def effects(self) -> Any:
        """What its owner has of all that was done: the same for the same, and nothing about when or how often it was
        said."""
        raise NotImplementedError

    def read(self, query: Query[Any]) -> Result:
        """What the books answer to a push that asks them: the same whenever it is asked."""
        raise NotImplementedError

    def later(self) -> None:
        """What it does by itself between two tries, such as a till that reads its files."""


class Folder(FarSide):
    """A folder of files, as FileRead and FileWrite mean it; its effects are the files."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files = dict(files or {})

    def answer(self, call: Call) -> FileReply:
        assert isinstance(call, FileRead | FileWrite)
        there = self.files.get(call.name)
        if isinstance(call, FileRead):
            if there is not None and len(there) > call.limit:
                raise BadReply(f"the file exceeds {call.limit} bytes")
            return FileReply(there)
        if (call.new and there is not None) or (call.at is not None and there != call.at):
            return FileReply(None)
        self.files[call.name] = call.content
        return FileReply(call.content)

    def effects(self) -> Any:
        return dict(self.files)
