"""Samples: recorded messages with what they must ask and answer, in a folder of their protocol.

    <case>.request.xml    the bytes of the till (any extension)
    <case>.asks.json      the asks, as msgspec writes them; [] for a message that asks nothing
    <case>.results.json   what a core would answer: results, or {"refused": code, "details": {...}}
    <case>.answer.xml     the bytes of the answer (any extension)
    cases.json            the link, the noise of the protocol, and for each case its path and origin

Requests, results and ``cases.json`` are written by hand or taken from an exchange log; asks and answers are
recorded from them (``python -m adapters.testing``), and whoever commits them has read them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from adapters.contract import Adapter, CodeTold, Link, Outcome, SignedIn, WireRequest
from adapters.testing.driver import CannedCore, asks_of, converse
from processing.commands import Ask
from processing.errors import LoyaltyError, rebuild
from processing.results import AnyRead, AnyStoredResult

AnyResult = AnyStoredResult | AnyRead | SignedIn | CodeTold

CASES = "cases.json"
# How an answer's file is named after its content type; anything else is ".bin".
EXTENSIONS = {"xml": "xml", "json": "json", "bmp": "bmp", "png": "png", "plain": "txt"}


@dataclass(frozen=True)
class Sample:
    """A recorded message, its link, and what is expected of it.

    ``unkeyed`` tells why nothing in the message names what it asks for, so that each request is a new one.
    ``noise`` names fields that change from attempt to attempt, ``signal`` fields that make another message,
    ``secrets`` values that nobody may see when private fields are masked.
    """

    adapter: str
    case: str
    request: WireRequest
    link: Link
    asks: list[dict[str, Any]]
    outcomes: tuple[Outcome, ...]
    answer: bytes
    noise: tuple[str, ...] = ()
    signal: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    origin: str = ""
    unkeyed: str = ""

    def with_body(self, body: bytes) -> Sample:
        """The same sample with other bytes."""
        return replace(self, request=replace(self.request, body=body))

    def with_query(self, query: str) -> Sample:
        """The same sample with another query string."""
        return replace(self, request=replace(self.request, query=query))


def read_samples(folder: Path, adapter: Adapter) -> list[Sample]:
    """Every sample in the folder, sorted by case. A request without an entry in cases.json is a mistake."""
    index = json.loads((folder / CASES).read_text("utf-8"))
    requests = {path.name.split(".", 1)[0]: path for path in folder.glob("*.request.*")}
    if set(requests) != set(index["cases"]):
        raise AssertionError(f"{CASES} and the requests differ: {set(requests) ^ set(index['cases'])}")
    return [_sample(folder, adapter, index, case, requests[case]) for case in sorted(requests)]


def _sample(folder: Path, adapter: Adapter, index: dict[str, Any], case: str, path: Path) -> Sample:
    entry = index["cases"][case]
    answers = sorted(folder.glob(f"{case}.answer.*"))
    return Sample(
        adapter=adapter.name,
        case=case,
        request=WireRequest(
            method=entry.get("method", "POST"),
            path=entry["path"],
            query=entry.get("query", ""),
            headers=entry.get("headers", {}),
            body=path.read_bytes(),
            id=entry.get("id", f"request-{case}"),
            at=datetime.fromisoformat(entry.get("at", index["at"])),
        ),
        link=make_link(adapter, index["link"], entry.get("options", {})),
        asks=_json(folder / f"{case}.asks.json"),
        outcomes=tuple(outcome_of(item) for item in _json(folder / f"{case}.results.json")),
        answer=answers[0].read_bytes() if answers else b"",
        noise=tuple(index.get("noise", ())),
        signal=tuple(index.get("signal", ())),
        secrets=tuple(index.get("secrets", ())),
        origin=entry.get("origin", ""),
        unkeyed=entry.get("unkeyed", ""),
    )


def make_link(adapter: Adapter, settings: dict[str, Any], overrides: dict[str, Any]) -> Link:
    """A link with its options loaded through the adapter's own schema, as at start-up."""
    options = adapter.options().load({**settings.get("options", {}), **overrides})
    return Link(code=settings["code"], store=settings["store"], zone=ZoneInfo(settings["zone"]), options=options)


def _json(path: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return loaded


def outcome_of(item: dict[str, Any]) -> Outcome:
    """A result, or a refusal, as a file of samples tells it."""
    if "refused" in item:
        return rebuild(item["refused"], item.get("message", ""), item.get("details", {}))
    result: Outcome = msgspec.convert(item, AnyResult, strict=False)
    return result


# Recording ---------------------------------------------------------------------------------------------------


def asked(adapter: Adapter, sample: Sample) -> tuple[Ask[Any], ...]:
    """What the sample asks; nothing when its adapter refuses it."""
    try:
        return asks_of(adapter, sample.request, sample.link)
    except LoyaltyError:
        return ()


def record(folder: Path, adapter: Adapter, cases: frozenset[str] = frozenset()) -> Iterator[str]:
    """Write what the samples ask and answer now; the names of the files that changed.

    ``cases`` empty: all of them. A sample that asks and has no results yet gets no answer.
    """
    for sample in read_samples(folder, adapter):
        if cases and sample.case not in cases:
            continue
        asks = asked(adapter, sample)
        yield from write(folder / f"{sample.case}.asks.json", written(asks))
        if len(sample.outcomes) == len(asks):
            response = converse(adapter, sample.request, sample.link, CannedCore(sample.outcomes)).response
            yield from write(folder / f"{sample.case}.answer.{extension(response.content_type)}", response.body)


def extension(content_type: str) -> str:
    """How the file of such an answer ends."""
    kind = content_type.partition(";")[0].rpartition("/")[2].rpartition("+")[2]
    return EXTENSIONS.get(kind, "bin")


def written(asks: tuple[Ask[Any], ...]) -> bytes:
    """The asks as their file holds them."""
    return json.dumps(json.loads(msgspec.json.encode(asks)), ensure_ascii=False, indent=1).encode() + b"\n"


def write(path: Path, content: bytes) -> Iterator[str]:
    """The file's name, where it has changed."""
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)
        yield path.name
