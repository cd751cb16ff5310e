"""The contract of files is able to fail: a sound face passes, each kind of broken one breaks its law.

The file of this till: a first line that is its mark, then ``O`` (open), ``I`` (item) and ``C`` (close) of documents.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from marshmallow import Schema

from adapters.contract import UNFINISHED, Adapter, FileFace, FileMark, Found, Link, Source, WireRequest, WireResponse
from adapters.testing.file_suite import FileSuite
from adapters.testing.files import FileSample, read
from processing.commands import Accrue, Amount, Ref
from processing.errors import BadMessage, LoyaltyError

AT = datetime(2026, 5, 4, tzinfo=UTC)
LINK = Link("link-1", "bistro", ZoneInfo("UTC"), {})
CONTENT = b"#\nO;1\nI;1;100\nC;1\nO;2\nI;2;250\nI;2;1\nC;2\n"


def told(number: str, amount: int, **changes: Any) -> Found:
    fields: dict[str, Any] = {"store": "bistro", "keys": (f"till:{number}",), "fact": True}
    ask = Accrue(**fields | {"card": Ref("card", number), "amount": Amount("BONUS", amount)} | changes)
    return Found((ask,), raw=(f"O;{number}", f"C;{number}"))


def texts(source: Source) -> tuple[list[str], str]:
    """Lines that have their end, and the rest."""
    *lines, rest = b"".join(source.chunks).decode("utf-8", "replace").split("\n")
    return lines, rest


def sound(source: Source, link: Link) -> Iterator[Found]:
    lines, rest = texts(source)
    if lines and lines[0] not in "#@":
        raise BadMessage("no file of this till", where="line 1")
    return documents(lines[1:], rest, {}, bool(lines) and lines[0] == "#")


def documents(lines: list[str], rest: str, sums: dict[str, int], is_new: bool) -> Iterator[Found]:
    """What the lines tell; ``sums`` are documents under way."""
    for line in lines:
        kind, number, amount = (*line.split(";"), "", "")[:3]
        if kind == "O":
            sums[number] = 0
        elif kind == "I" and number in sums and amount.isdecimal():
            sums[number] += int(amount)
        elif kind == "C" and number in sums:
            yield told(number, sums.pop(number))
    for number in sums:
        yield Found(kind=UNFINISHED, note=number)
    yield Found(state={"open": sums}, writes=() if sums or rest or not is_new else (FileMark(0, b"#", b"@"),))


def takes_half_lines(source: Source, link: Link) -> Iterator[Found]:
    lines, rest = texts(source)
    return documents([*lines[1:], rest], "", {}, True)


def adds_what_was_kept(source: Source, link: Link) -> Iterator[Found]:
    """Items of a document that is read again count twice, for its line O is not met: it was kept."""
    lines, rest = texts(source)
    sums = dict((source.state or {}).get("open", {}))
    behind = [line for line in lines[1:] if not (line.startswith("O;") and line[2:] in sums)]
    return documents(behind, rest, sums, True)


def marks_early(source: Source, link: Link) -> Iterator[Found]:
    lines, _ = texts(source)
    for found in documents(lines[1:], "", {}, True):
        yield replace(found, writes=(FileMark(0, b"#", b"@"),)) if found.state else found


def marks_half_lines(source: Source, link: Link) -> Iterator[Found]:
    lines, _ = texts(source)
    return documents(lines[1:], "", {}, True)


def tells_what_is_open(source: Source, link: Link) -> Iterator[Found]:
    lines, rest = texts(source)
    for found in documents(lines[1:], rest, {}, True):
        yield told(found.note, 1) if found.kind else found


def names_by_place(source: Source, link: Link) -> Iterator[Found]:
    """Keys that count from where the last reading has ended."""
    count = int((source.state or {}).get("count", 0))
    for found in sound(source, link):
        count += len(found.asks)
        yield told(f"n{count}", 1) if found.asks else replace(found, state={"count": count})


def needs_whole_pieces(source: Source, link: Link) -> Iterator[Found]:
    for chunk in source.chunks:
        lines = chunk.decode("utf-8", "replace").split("\n")[:-1]
        yield from documents(lines, "", {}, False)


def indexes(source: Source, link: Link) -> Iterator[Found]:
    raise KeyError("a plain dict[...] on a till's text")


def is_a_request(source: Source, link: Link) -> Iterator[Found]:
    return (told("1", 100, fact=False) if found.asks else found for found in sound(source, link))


def marks_elsewhere(source: Source, link: Link) -> Iterator[Found]:
    for found in sound(source, link):
        yield replace(found, writes=(FileMark(1, b"#", b"@"),)) if found.writes else found


Read = Callable[[Source, Link], Iterator[Found]]


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    return WireResponse(b"", "text/plain")


def suite(face: Read = sound, **changes: Any) -> Any:
    """The suite of one face with one file, whose documents are recorded as the sound one tells them."""
    adapter = Adapter("till", "Till", Schema, refuse, files=(FileFace(lambda link: ("*.txt",), face),))
    sample = FileSample("sale", "a.txt", CONTENT, LINK, AT, [], origin="invented")
    recorded = read(FileFace(lambda link: ("*.txt",), sound), sample, CONTENT).recorded()
    sample = replace(sample, **{"found": recorded} | changes)
    return type("Till", (FileSuite,), {"adapter": adapter, "samples": classmethod(lambda cls: [sample])})()


LAWS = sorted(name for name in dir(FileSuite) if name.startswith("test_"))


def run(suite: Any, law: str) -> None:
    method: Callable[..., None] = getattr(suite, law)
    wants_sample = method.__code__.co_argcount > 1  # type: ignore[attr-defined]
    method(*suite.samples()) if wants_sample else method()


@pytest.mark.parametrize("law", LAWS)
def test_a_sound_face_keeps_every_law(law: str) -> None:
    run(suite(), law)


BROKEN: list[tuple[Read, str]] = [
    (takes_half_lines, "under_way"),
    (adds_what_was_kept, "tells_each_document_once"),
    (marks_early, "under_way"),
    (marks_half_lines, "under_way"),
    (tells_what_is_open, "tells_nothing_that_the_whole"),
    (names_by_place, "read_again"),
    (names_by_place, "tells_each_document_once"),
    (needs_whole_pieces, "pieces_of_any_size"),
    (indexes, "mutated_files"),
    (is_a_request, "facts_within_bounds"),
    (marks_elsewhere, "mark_stands"),
]


@pytest.mark.parametrize(("face", "law"), BROKEN, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_a_broken_face_breaks_its_law(face: Read, law: str) -> None:
    (name,) = [known for known in LAWS if law in known]
    with pytest.raises((AssertionError, ExceptionGroup, LookupError, ValueError)):
        run(suite(face), name)


def test_samples_that_say_too_little_break_their_laws() -> None:
    for changes, law in (({"origin": ""}, "where_it_comes_from"), ({"found": []}, "tells_what_was_recorded")):
        (name,) = [known for known in LAWS if law in known]
        with pytest.raises(AssertionError):
            run(suite(**changes), name)
    with pytest.raises(AssertionError):
        run(suite(content=b"#\n"), "test_there_are_samples_that_ask")


def test_a_state_goes_through_json() -> None:
    assert json.loads(json.dumps(read(FileFace(lambda link: ("*",), sound), suite().samples()[0], CONTENT).state))
