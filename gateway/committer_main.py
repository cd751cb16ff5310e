"""The committer's process: ``python -m gateway.committer_main SOCKET``, started by ``tillgate serve``."""

from __future__ import annotations

import os
import signal
import sys

from gateway import committer, metrics
from gateway.app import from_environment
from gateway.collector import settle
from gateway.logs import configure
from gateway.parent import parent_watch


def main() -> None:
    configure()
    stopped: list[int] = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _: stopped.append(number))
    is_gone = parent_watch()
    own = from_environment(os.environ)
    settle()
    committer.serve(
        committer.listen(sys.argv[1]),
        own.core.execute,
        is_stopped=lambda: bool(stopped) or is_gone(),
        observe=lambda size, seconds: metrics.observe_batch("write", size, seconds),
    )
    own.database.dispose()


if __name__ == "__main__":
    main()
