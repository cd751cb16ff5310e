"""Driving an adapter without a gateway or a core: for tests, and for whoever writes the next adapter.

``driver`` holds conversations, ``samples`` reads and records what a till has sent, ``files`` and ``talk_samples`` what
is no message; ``suite`` is the adapter contract as pytest runs it; ``outcomes``, ``mutations``, ``documents`` and
``sources`` are what it is made of. Outside of tests only ``tillgate adapter`` uses it, and of it only what needs
neither pytest nor hypothesis. docs/writing-an-adapter.md tells how to use it.
"""

from __future__ import annotations

from adapters.testing.driver import CannedCore, Conversation, TwoAsks, asks_of, converse, routes_of
from adapters.testing.samples import Sample, make_link, read_samples, record

__all__ = [
    "CannedCore",
    "Conversation",
    "Sample",
    "TwoAsks",
    "asks_of",
    "converse",
    "make_link",
    "read_samples",
    "record",
    "routes_of",
]
