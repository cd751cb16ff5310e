"""In which order a link's till calls what, and how it spells it: an unknown protocol's open questions, answered by the
exchange log (docs/adapters/onec.md, "What needs a live 1C"). No value of a message is told, only names of keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import unquote

from gateway.exchange_log import Recorded, Request
from gateway.mask import mask

# A run that goes on without a pause is cut here, and so are names that anybody may send.
MAX_RUN = 60
MAX_SHOWN = 50
MAX_KEYS = 30
MAX_NAME = 40
NOTHING_PRIVATE: frozenset[str] = frozenset()


class Call(NamedTuple):
    """One message: its resource, and what of its spelling matters."""

    at: datetime
    name: str
    method: str
    outcome: str
    keys: tuple[str, ...]
    spelling: tuple[str, ...]


def call(recorded: Recorded) -> Call:
    """What the report knows of a logged message."""
    request = recorded.request
    name = request.path.strip("/").rpartition("/")[2].lower()
    keys = [pair.partition("=")[0] for pair in request.query.split("&") if pair.partition("=")[2]]
    told = tuple(sorted({plain(unquote(key)) for key in keys if key}))[:MAX_KEYS]
    return Call(recorded.at, plain(name) or "-", request.method, recorded.outcome, told, tuple(_spelling(request)))


def _spelling(request: Request) -> Iterator[str]:
    """How queries and bodies come: what a reader has to be ready for."""
    if request.method == "GET" and request.body:
        yield "GET with a body"
    if request.path.endswith("/"):
        yield "slash at the end"
    if not request.query.isascii():
        yield "raw letters"
    if "%" in request.query:
        yield "escapes"
    if "+" in request.query:
        yield "plus"


def plain(name: str) -> str:
    """A name as it may be shown: short, of what prints, and no phone or card that stands in the place of one."""
    shown = "".join(letter for letter in name if letter.isprintable())
    return mask(shown.encode("utf-8", "replace"), NOTHING_PRIVATE)[:MAX_NAME]


def runs(calls: Sequence[Call], pause: timedelta) -> Iterator[list[Call]]:
    """The calls in groups with at least a pause between them."""
    group: list[Call] = []
    for each in calls:
        if group and (each.at - group[-1].at >= pause or len(group) >= MAX_RUN):
            yield group
            group = []
        group.append(each)
    if group:
        yield group


def order(run: Sequence[Call]) -> str:
    """The names of a run; ``+`` behind one that came several times in a row."""
    told: list[str] = []
    for each in run:
        if told and told[-1].rstrip("+") == each.name:
            told[-1] = f"{each.name}+"
        else:
            told.append(each.name)
    return ", ".join(told)


def report(recorded: Sequence[Recorded], pause: timedelta) -> Iterator[str]:
    """The report's lines: orders, the most frequent first, then each resource with what was seen of it."""
    calls = [call(each) for each in recorded if not each.problem]
    orders = Counter(order(run) for run in runs(calls, pause))
    seconds = int(pause.total_seconds())
    yield f"{len(calls)} messages in {orders.total()} runs with pauses of {seconds} s and more between them"
    for told, times in orders.most_common(MAX_SHOWN):
        yield f"{times:>6}  {told}"
    for name, times in Counter(each.name for each in calls).most_common(MAX_SHOWN):
        yield ""
        yield f"{name}: {times}"
        yield from _seen([each for each in calls if each.name == name])


def _seen(calls: Sequence[Call]) -> Iterator[str]:
    for title, told in (
        ("methods", Counter(each.method for each in calls)),
        ("outcomes", Counter(each.outcome for each in calls)),
        ("keys with a value", Counter(key for each in calls for key in each.keys)),
        ("spelling", Counter(mark for each in calls for mark in each.spelling)),
    ):
        if told:
            counted = ", ".join(f"{name} {times}" for name, times in told.most_common(MAX_KEYS))
            yield f"    {title}: {counted}"
