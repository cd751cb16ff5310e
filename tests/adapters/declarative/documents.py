"""Documents that differ from another in a few places."""

from __future__ import annotations

import copy
from typing import Any


def changed(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy, with changes at paths whose steps have ``__`` between them; ``None`` takes a key away."""
    made = copy.deepcopy(document)
    for path, value in changes.items():
        at: Any = made
        *steps, last = [int(step) if step.isdecimal() else step for step in path.split("__")]
        for step in steps:
            at = at[step]
        if value is None:
            del at[last]
        else:
            at[last] = value
    return made
