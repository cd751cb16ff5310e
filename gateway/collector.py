"""The garbage collector of processes that live long, or read much.

Counting references frees what a batch or a message leaves; the collector only looks for circles, which are rare here,
and took a tenth to a fifth of the time for it (docs/performance.md).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# More objects than the largest batch keeps while it is under way.
YOUNG = 50_000
# How often the young are looked at before the older ones are.
MIDDLE, OLD = 20, 20


def settle() -> None:
    """What is loaded by now stays to the end and is not looked at again; what comes is looked at seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)


@contextmanager
def settled() -> Iterator[None]:
    """The same for a while, here and in forks."""
    before = gc.get_threshold()
    settle()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
