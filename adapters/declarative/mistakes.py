"""What is wrong with a document: where in it, and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Steps = tuple[str | int, ...]
MAX_SHOWN = 60


class BadDocument(Exception):
    """The document cannot be an adapter. ``mistakes`` are paths into it with a sentence each."""

    def __init__(self, mistakes: list[tuple[Steps, str]]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in mistakes))
        self.mistakes = mistakes


@dataclass
class Mistakes:
    """Those that were found so far."""

    found: list[tuple[Steps, str]] = field(default_factory=list)

    def say(self, path: Steps, text: str) -> None:
        self.found.append((path, text))

    def unknown(self, path: Steps, told: Any, what: str, known: Iterable[Any]) -> None:
        """Something is named that there is not."""
        names = sorted(str(name) for name in known)
        self.say(path, f"found {shown(told)}, expected {what} ({', '.join(names)}){guess(told, names)}")


def guess(told: Any, known: Iterable[Any]) -> str:
    """Which one was meant, as the end of a sentence; empty where nobody knows."""
    close = difflib.get_close_matches(str(told), [str(each) for each in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else repr(value)[:MAX_SHOWN]
