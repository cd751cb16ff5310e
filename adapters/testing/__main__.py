"""``python -m adapters.testing <adapter> <folder> [case ...]``: record what samples ask and answer now.

``adapter`` is the name of a registered one, or ``module:NAME``. A recording makes what the adapter does today
the expected thing: read the difference before it is committed.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from adapters.contract import Adapter
from adapters.registry import find
from adapters.testing.recording import record_all


def load(name: str) -> Adapter:
    """The adapter of this name. Errors: ConfigError, and whatever importing a module raises."""
    module, colon, attribute = name.partition(":")
    if not colon:
        return find(name)
    adapter: Adapter = getattr(importlib.import_module(module), attribute)
    return adapter


def main() -> None:
    """Print the name of every file that was written."""
    parser = argparse.ArgumentParser(
        prog="python -m adapters.testing", description="record what samples ask and answer"
    )
    parser.add_argument("adapter", help="a registered adapter, or module:NAME")
    parser.add_argument("folder", type=Path, help="where the samples are")
    parser.add_argument("case", nargs="*", help="only these")
    told = parser.parse_args()
    for name in record_all(told.folder, load(told.adapter), frozenset(told.case)):
        print(name)


if __name__ == "__main__":
    main()
