"""Processes for tests: each begins as a copy of one that has loaded the books and opened nothing yet.

Such a copy is there at once; a new interpreter takes the better part of a second to load them.
"""

from __future__ import annotations

import multiprocessing

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.processing.books"])
