"""Several processes book one file: the receipts of a card go to the same one, in their order.

A batch costs more of Python than of the database, and one process has one core. The processes are forks that run the
committer's loop (gateway/committer.py) with a core of their own; they end with their parent.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from gateway import committer
from gateway.collector import settle
from gateway.parent import parent_watch
from processing.commands import Command, ReturnReceipt
from processing.errors import Busy, TooLarge
from processing.execute import Core, Outcome

Execute = Callable[[Sequence[Command[Any]]], list[Outcome]]

START_SECONDS, LOOK_SECONDS = 60.0, 0.02
# A batch that takes longer has met a database that is away.
BATCH_SECONDS = 60.0


@contextmanager
def lanes(make: Callable[[], Core], count: int) -> Iterator[Execute]:
    """Executes commands in so many processes. To be called before this one has connections or threads.

    ``make`` opens the core of a process. Errors: Busy where they do not start, or one of them is gone.
    """
    context = multiprocessing.get_context("fork")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tillgate-import-")))
        paths = [folder / f"{n}.sock" for n in range(count)]
        for path in paths:
            process = context.Process(target=_serve, args=(make, path), daemon=True)
            process.start()
            stack.callback(process.join, LOOK_SECONDS)
            stack.callback(process.terminate)
        pool = stack.enter_context(ThreadPoolExecutor(count, thread_name_prefix="lane"))
        for path in paths:
            _await(path)
        clients = [committer.Client(path, BATCH_SECONDS) for path in paths]
        yield lambda commands: _execute(pool, clients, commands)


def _serve(make: Callable[[], Core], path: Path) -> None:
    # Ctrl-C goes to the whole group; what is under way is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    is_gone = parent_watch()
    core = make()
    settle()
    committer.serve(committer.listen(path), core.execute, is_gone)


def _await(path: Path) -> None:
    """Errors: Busy."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            committer.ping(path)
        except OSError:
            if time.monotonic() > until:
                raise Busy("a process of the import does not start") from None
            time.sleep(LOOK_SECONDS)
        else:
            return


def _execute(
    pool: ThreadPoolExecutor, clients: Sequence[committer.Client], commands: Sequence[Command[Any]]
) -> list[Outcome]:
    """The outcome of each command, in order."""
    places: list[list[int]] = [[] for _ in clients]
    for place, lane in enumerate(_lanes_of(commands, len(clients))):
        places[lane].append(place)
    outcomes: list[Any] = [None] * len(commands)
    told = [[commands[place] for place in some] for some in places]
    for some, found in zip(places, pool.map(_ask, clients, told), strict=True):
        for place, outcome in zip(some, found, strict=True):
            outcomes[place] = outcome
    return outcomes


def _ask(client: committer.Client, commands: list[Command[Any]]) -> list[Outcome]:
    if not commands:
        return []
    try:
        return client(commands)
    except TooLarge as error:
        # More than travels together; what is too large alone is refused alone.
        if len(commands) == 1:
            return [error]
        half = len(commands) // 2
        return _ask(client, commands[:half]) + _ask(client, commands[half:])


def _lanes_of(commands: Sequence[Command[Any]], count: int) -> Iterator[int]:
    """For each command its lane: by its first card, and a return's is that of its sale, if that is among them."""
    lane_of: dict[str, int] = {}
    for command in commands:
        cards = getattr(command, "cards", ())
        told = cards[0].refs[0].value if cards else ""
        lane = zlib.crc32(told.encode("utf-8", "replace")) % count
        if isinstance(command, ReturnReceipt):
            lane = lane_of.get(command.sale, lane)
        lane_of.update(dict.fromkeys(command.keys, lane))
        yield lane
