"""Samples of files: what a far side has left in a folder, with what it must ask.

    <case>.file.txt      the bytes (any extension)
    <case>.found.json    what each document asks, as msgspec writes it, or its kind; recorded
    files.json           the link, and for each case the file's name, options of its own, and its origin

Recorded as messages are: ``python -m adapters.testing frontol tests/adapters/frontol/files``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from adapters.contract import Adapter, FileFace, FileMark, FileWrite, Found, Link, Source
from adapters.testing.samples import make_link, write
from processing.commands import Command

FILES = "files.json"


@dataclass(frozen=True)
class FileSample:
    """A file, its link, and what is expected of it. ``encoding`` is that of its text."""

    case: str
    name: str
    content: bytes
    link: Link
    at: datetime
    found: list[Any]
    encoding: str = "utf-8"
    origin: str = ""

    def source(self, content: bytes, state: Any = None, piece: int = 1 << 16) -> Source:
        pieces = [content[start : start + piece] for start in range(0, len(content), piece)]
        return Source(self.name, pieces, state, self.at)

    def with_content(self, content: bytes) -> FileSample:
        return replace(self, content=content)


@dataclass
class Reading:
    """What one reading of a file has told: documents in their order, the state that it left, the marks."""

    documents: list[Found] = field(default_factory=list)
    state: Any = None
    writes: list[FileMark | FileWrite] = field(default_factory=list)

    @property
    def asks(self) -> dict[tuple[str, ...], Any]:
        """By request keys. Errors: AssertionError where one reading tells a document twice."""
        told: dict[tuple[str, ...], Any] = {}
        for found in self.documents:
            for keys, ask in zip(keys_of(found), found.asks, strict=True):
                assert keys not in told, f"told twice: {keys}"
                told[keys] = ask
        return told

    def recorded(self) -> list[Any]:
        """As the file of a sample holds it."""
        return [
            json.loads(msgspec.json.encode(found.asks)) if found.asks else {"kind": found.kind, "note": found.note}
            for found in self.documents
        ]


def keys_of(found: Found) -> list[tuple[str, ...]]:
    """The request keys of what it asks."""
    return [ask.keys for ask in found.asks if isinstance(ask, Command)]


def read(face: FileFace, sample: FileSample, content: bytes, state: Any = None, piece: int = 1 << 16) -> Reading:
    """Read so much of the file; the state goes through JSON, as the gateway keeps it."""
    told = Reading(state=state)
    for found in face.read(sample.source(content, state, piece), sample.link):
        if found.state is not None:
            told.state = json.loads(json.dumps(found.state))
        told.writes += found.writes
        if found.asks or found.kind:
            told.documents.append(found)
    return told


def face_of(adapter: Adapter, sample: FileSample) -> FileFace:
    """The face that takes the file. Errors: AssertionError where none or several do."""
    faces = [
        face for face in adapter.files if any(fnmatchcase(sample.name, pattern) for pattern in face.names(sample.link))
    ]
    assert len(faces) == 1, f"{len(faces)} faces take {sample.name}"
    return faces[0]


def read_file_samples(folder: Path, adapter: Adapter) -> list[FileSample]:
    """Every sample in the folder, sorted by case."""
    index = json.loads((folder / FILES).read_text("utf-8"))
    paths = {path.name.split(".", 1)[0]: path for path in folder.glob("*.file.*")}
    assert set(paths) == set(index["cases"]), f"{FILES} and the files differ: {set(paths) ^ set(index['cases'])}"
    return [_sample(folder, adapter, index, case, paths[case]) for case in sorted(paths)]


def _sample(folder: Path, adapter: Adapter, index: dict[str, Any], case: str, path: Path) -> FileSample:
    entry, found = index["cases"][case], folder / f"{case}.found.json"
    return FileSample(
        case=case,
        name=entry.get("name", index["name"]),
        content=path.read_bytes(),
        link=make_link(adapter, index["link"], entry.get("options", {})),
        at=datetime.fromisoformat(index["at"]),
        found=json.loads(found.read_text("utf-8")) if found.exists() else [],
        encoding=entry.get("encoding", index.get("encoding", "utf-8")),
        origin=entry.get("origin", ""),
    )


def record_files(folder: Path, adapter: Adapter, cases: frozenset[str] = frozenset()) -> Iterator[str]:
    """Write what the samples ask now; the names of the files that changed."""
    for sample in read_file_samples(folder, adapter):
        if cases and sample.case not in cases:
            continue
        told = read(face_of(adapter, sample), sample, sample.content).recorded()
        content = json.dumps(told, ensure_ascii=False, indent=1).encode() + b"\n"
        yield from write(folder / f"{sample.case}.found.json", content)
