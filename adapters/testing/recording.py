"""Recording of samples of every kind that a folder has: messages, files, talks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adapters.contract import Adapter
from adapters.testing.files import FILES, record_files
from adapters.testing.samples import CASES, record
from adapters.testing.talk_samples import TALKS, record_talks

KINDS = {CASES: record, FILES: record_files, TALKS: record_talks}


def record_all(folder: Path, adapter: Adapter, cases: frozenset[str] = frozenset()) -> Iterator[str]:
    """Write what the samples come to now; the names of the files that changed. ``cases`` empty: all of them."""
    for index, record_them in KINDS.items():
        if (folder / index).exists():
            yield from record_them(folder, adapter, cases)
