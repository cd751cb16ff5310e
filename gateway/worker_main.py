"""The worker's process: ``python -m gateway.worker_main``, started by ``tillgate serve`` beside the committer."""

from __future__ import annotations

import os

from gateway.app import from_environment
from gateway.collector import settle
from gateway.logs import configure
from gateway.parent import end_with_parent
from gateway.worker import run_both, stopped_by_signals


def main() -> None:
    configure()
    is_stopped = stopped_by_signals()
    end_with_parent()
    own = from_environment(os.environ)
    settle()
    run_both(own, is_stopped)
    own.database.dispose()


if __name__ == "__main__":
    main()
