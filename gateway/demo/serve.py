"""The demo's server process: ``python -m gateway.demo.serve HOST PORT THREADS DEMO_PID DEMO_HOME``.

Configuration, database and secrets come by the environment, as for the workers that it starts; the demo has
migrated and filled the database already. It ends when the demo is gone, however that ended, and then cleans up
behind it. Its workers and its committer watch this process in the same way (gateway/parent.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from types import FrameType

from gateway.environment import CONFIG, DATABASE_URL
from gateway.logs import configure
from gateway.parent import CHECK_SECONDS
from gateway.server import STOP_SECONDS, Serving, serve


def main() -> None:
    host, port, threads, demo, home = sys.argv[1:]
    configure()
    # Until granian listens to signals itself: an early end, too, has to go through the cleaning up.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _end)
    threading.Thread(target=_watch, args=(int(demo),), name="demo-watch", daemon=True).start()
    try:
        serve(Serving(os.environ[CONFIG], os.environ[DATABASE_URL], host, int(port), 1, int(threads)))
    finally:
        if os.getppid() != int(demo):
            shutil.rmtree(home, ignore_errors=True)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _watch(demo: int) -> None:
    """End this process in order when the demo is gone, and at once if it does not end in time."""
    while os.getppid() == demo:
        time.sleep(CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2 * STOP_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
