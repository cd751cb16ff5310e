"""Samples of talks: what a far side answers to a push, a pull and their login, with what must be said to it.

    <case>.talk.json    messages of the outbox, or the state where a pull begins; the far side's replies in their order;
                        what the books answer, where they are asked
    <case>.said.json    the calls with the session's headers, what was found, and how it ended; recorded
    talks.json          the link, its secrets, and for each case its options and origin

Talks are written by hand, or made of a recorded conversation; what is said is recorded from them. The laws of talks are
those of talk_suite.py, which needs a far side that does what it is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from adapters.contract import Adapter, Call, Found, HttpCall, HttpReply, Job, Link, Message
from adapters.testing.far_sides import FarSide
from adapters.testing.lines import TALK, Line, Run
from adapters.testing.samples import make_link, outcome_of, write
from processing.commands import Query
from processing.errors import LinkDown, LoyaltyError
from processing.results import Result

TALKS = "talks.json"


@dataclass(frozen=True)
class TalkSample:
    """A job, what is answered to it, and what was recorded of it."""

    case: str
    link: Link
    job: Job
    secrets: Mapping[str, str]
    replies: tuple[HttpReply, ...]
    results: tuple[Any, ...]
    said: list[dict[str, Any]]
    origin: str = ""


@dataclass
class Canned(FarSide):
    """A far side that answers as it was told to, and keeps what was said to it."""

    replies: list[HttpReply]
    results: list[Any]
    said: list[Call | Query[Any]] = field(default_factory=list)

    def answer(self, call: Call) -> HttpReply:
        """Errors: LinkDown where the sample has no more replies."""
        self.said.append(call)
        if not self.replies:
            raise LinkDown("the sample has no reply to this")
        return self.replies.pop(0)

    def read(self, query: Query[Any]) -> Result:
        """Errors: whatever the sample says that the books refuse; AssertionError where it says nothing."""
        self.said.append(query)
        assert self.results, "the sample has no result for this"
        outcome = self.results.pop(0)
        if isinstance(outcome, LoyaltyError):
            raise outcome
        told: Result = outcome
        return told

    def effects(self) -> Any:
        return self.said


def read_talk_samples(folder: Path, adapter: Adapter) -> list[TalkSample]:
    """Every sample in the folder, sorted by case."""
    index = json.loads((folder / TALKS).read_text("utf-8"))
    paths = {path.name.split(".", 1)[0]: path for path in folder.glob("*.talk.json")}
    assert set(paths) == set(index["cases"]), f"{TALKS} and the talks differ: {set(paths) ^ set(index['cases'])}"
    return [_sample(folder, adapter, index, case, paths[case]) for case in sorted(paths)]


def _sample(folder: Path, adapter: Adapter, index: dict[str, Any], case: str, path: Path) -> TalkSample:
    told, entry, said = json.loads(path.read_text("utf-8")), index["cases"][case], folder / f"{case}.said.json"
    messages = tuple(Message(each["id"], each["kind"], each["body"]) for each in told.get("messages", ()))
    return TalkSample(
        case=case,
        link=make_link(adapter, index["link"], entry.get("options", {})),
        job=Job(datetime.fromisoformat(index["at"]), messages=messages, state=told.get("state")),
        secrets=index.get("secrets", {}),
        replies=tuple(map(_reply, told.get("replies", ()))),
        results=tuple(map(outcome_of, told.get("results", ()))),
        said=json.loads(said.read_text("utf-8")) if said.exists() else [],
        origin=entry.get("origin", ""),
    )


def _reply(told: dict[str, Any]) -> HttpReply:
    """A body that is a text stands for itself, any other is JSON."""
    body = told.get("body", "")
    raw = body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()
    return HttpReply(told.get("status", 200), told.get("headers", {}), raw)


def led(adapter: Adapter, sample: TalkSample) -> tuple[Run, Canned]:
    """The talk before the far side of the sample."""
    far = Canned(list(sample.replies), list(sample.results))
    return Line(adapter, sample.link, far, sample.secrets).run(sample.job), far


def held(adapter: Adapter, sample: TalkSample) -> list[dict[str, Any]]:
    """What is said, found and come to, as the file of a sample holds it."""
    run, far = led(adapter, sample)
    return [*_steps(run, far), {"end": f"{run.error.code}: {run.error}" if run.error else "done"}]


def _steps(run: Run, far: Canned) -> Iterator[dict[str, Any]]:
    """The steps in their order; of calls as they were heard, with the headers of the session."""
    heard = iter(far.said)
    for step in run.steps:
        if isinstance(step.told, Found):
            yield {"found": _found(step.told)}
            continue
        for each in heard:
            if isinstance(each, Query):
                yield {"read": _plain(each)}
                continue
            yield {"call" if step.part == TALK else step.part: _call(each)}
            break
    # What was read, and then nothing said.
    yield from ({"read": _plain(each)} for each in heard)


def _found(found: Found) -> dict[str, Any]:
    told = {"asks": _plain(found.asks), "state": found.state, "kind": found.kind, "note": found.note}
    return {name: value for name, value in told.items() if value not in ("", None, [])}


def _call(call: Call) -> dict[str, Any]:
    assert isinstance(call, HttpCall), "samples of talks have HTTP calls"
    told: dict[str, Any] = {"method": call.method, "path": call.path, "headers": dict(call.headers)}
    if call.body:
        told["body"] = call.body.decode("utf-8", "replace")
    return told


def _plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def record_talks(folder: Path, adapter: Adapter, cases: frozenset[str] = frozenset()) -> Iterator[str]:
    """Write what the samples say now; the names of the files that changed."""
    for sample in read_talk_samples(folder, adapter):
        if not cases or sample.case in cases:
            content = json.dumps(held(adapter, sample), ensure_ascii=False, indent=1).encode() + b"\n"
            yield from write(folder / f"{sample.case}.said.json", content)
