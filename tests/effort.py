"""How many examples random tests draw: a share of them every day, and all of them when there is time."""

from __future__ import annotations

import os

THOROUGH = "TILLGATE_THOROUGH"
SHARE_PERCENT = 40


def drawn(count: int) -> int:
    """The whole count where THOROUGH is set in the environment; a share of it, other ones every day, elsewhere."""
    return count if os.environ.get(THOROUGH) else count * SHARE_PERCENT // 100
