"""Children end with their parent, however it ended: granian leaves its workers serving after a ``kill -9``."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

CHECK_SECONDS = 1.0


def parent_watch() -> Callable[[], bool]:
    """Whether the process that started this one is gone."""
    parent = os.getppid()
    return lambda: os.getppid() != parent


def end_with_parent() -> None:
    """Watch from a thread, and end this process at once when its parent is gone."""
    is_gone = parent_watch()

    def watch() -> None:
        while not is_gone():
            time.sleep(CHECK_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
