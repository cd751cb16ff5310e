"""The samples beside the document of an adapter, held against what it makes of them now (``tillgate adapter test``)."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.contract import Adapter
from adapters.testing.driver import CannedCore, converse
from adapters.testing.files import FILES, face_of, read, read_file_samples
from adapters.testing.samples import CASES, Sample, asked, read_samples, written
from adapters.testing.talk_samples import TALKS, held, read_talk_samples


def differences(adapter: Adapter, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each sample of messages, files and talks, and how what comes of it differs from what its files say; no lines: it
    does not."""
    for sample in read_samples(folder, adapter) if (folder / CASES).exists() else ():
        asks = asked(adapter, sample)
        lines = _compare("asks", sample.asks, json.loads(written(asks)))
        yield sample.case, [*lines, *_answer(adapter, sample, len(asks))]
    for file in read_file_samples(folder, adapter) if (folder / FILES).exists() else ():
        found = read(face_of(adapter, file), file, file.content).recorded()
        yield file.case, list(_compare("found", file.found, found))
    for talk in read_talk_samples(folder, adapter) if (folder / TALKS).exists() else ():
        yield talk.case, list(_compare("said", talk.said, held(adapter, talk)))


def _answer(adapter: Adapter, sample: Sample, asks: int) -> Iterator[str]:
    if len(sample.outcomes) != asks:
        wanted = f"what the core answers, {asks} results"
        yield f"{sample.case}.results.json: found {len(sample.outcomes)}, expected {wanted}"
        return
    now = converse(adapter, sample.request, sample.link, CannedCore(sample.outcomes)).response.body
    yield from _lines("answer", sample.answer.decode("utf-8", "replace"), now.decode("utf-8", "replace"))


def _compare(what: str, recorded: Any, now: Any) -> Iterator[str]:
    yield from _lines(what, *(json.dumps(each, ensure_ascii=False, indent=1) for each in (recorded, now)))


def _lines(what: str, recorded: str, now: str) -> Iterator[str]:
    if recorded != now:
        lines = difflib.unified_diff(
            recorded.splitlines(), now.splitlines(), f"{what} recorded", f"{what} now", lineterm=""
        )
        yield from lines
