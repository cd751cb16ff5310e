"""The committer's process: ``python -m gateway.committer_main SOCKET``, started by ``tillgate serve``."""

from __future__ import annotations

import os
import signal
import sys

from gateway import committer, metrics
from gateway.app import from_environment
from gateway.logs import configure
from gateway.parent import parent_watch


def main() -> None:
    configure()
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    # Ctrl-C goes to the whole group. The web workers still need answers; then the parent ends this process too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    is_gone = parent_watch()
    own = from_environment(os.environ)
    committer.serve(
        committer.listen(sys.argv[1]),
        own.core.execute,
        is_stopped=lambda: bool(stopped) or is_gone(),
        observe=lambda size, seconds: metrics.observe_batch("write", size, seconds),
    )
    own.database.dispose()


if __name__ == "__main__":
    main()
