"""Row ids from blocks that the application takes ahead: rows can refer to each other before they are written.

Never called inside a batch's transaction for a new block: a second connection there would wait for the first
one on SQLite and starve the pool on PostgreSQL. ``reserve`` runs before the batch begins.
"""

from __future__ import annotations

import threading

from processing.database import Database, Statement, run
from processing.errors import Busy

BLOCK = 5_000
# Of what a large batch may need so many times are taken, so that not every one of them waits for a commit more.
AHEAD = 8

_TAKE_BLOCK = Statement("UPDATE id_block SET next_id = next_id + :size WHERE name = :name RETURNING next_id - :size")


class Ids:
    """Ids by table name, from this process's own blocks. Gaps after a restart are normal."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._blocks: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def reserve(self, needs: dict[str, int]) -> None:
        """Make sure that so many ids of each name can be taken without asking the database."""
        with self._lock:
            for name, count in needs.items():
                first, end = self._blocks.get(name, (0, 0))
                if end - first < count:
                    self._blocks[name] = self._take_block(name, max(BLOCK, AHEAD * count))

    def _take_block(self, name: str, size: int) -> tuple[int, int]:
        with self._database.transaction() as connection:
            first = int(run(connection, [(_TAKE_BLOCK, {"size": size, "name": name})])[0][0][0])
        return first, first + size

    def take(self, name: str) -> int:
        """The next id. Errors: Busy when more are taken than were reserved; the batch is tried again."""
        with self._lock:
            first, end = self._blocks.get(name, (0, 0))
            if first >= end:
                raise Busy("out of reserved ids", name=name)
            self._blocks[name] = (first + 1, end)
            return first
