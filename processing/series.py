"""Lines that a far side numbers once and for all: which of them are known, and whether they are still the same.

A report repeats lines under new names of files, and a database that was made anew numbers from 1 again. So a checksum
of 32 bits is kept of every line, 64 numbers in a row: what is made of known lines is known without asking the books,
and a number that comes with another checksum is somebody else's. The books have their own keys: who forgets the
series loses time and no law.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from processing import tables
from processing.database import Statement, run, write
from processing.database import array as json_array

NEW, KNOWN, FORMER, CONFLICT = "new", "known", "former", "conflict"
BLOCK = 64
MAX_SERIES = 160
# Four bytes of an unsigned number, whatever the machine's own order: blocks travel in backups.
_TYPE = "I"

_block = tables.series_block.c
LOAD = Statement(
    "SELECT block, checksums FROM series_block WHERE link = :link AND series = :series AND block IN_IDS(:blocks)",
    _block.block,
    _block.checksums,
)

Lines = Sequence[tuple[int, int]]
Place = tuple[str, int]


@dataclass(slots=True)
class Known:
    """What is known of some series of a link. ``settle`` what has come to its end; ``save`` writes it down."""

    link: str
    blocks: dict[Place, array[int]]
    changed: set[Place] = field(default_factory=set)
    # Lines that were judged and may yet be settled.
    under_way: dict[Place, int] = field(default_factory=dict)
    # The same of what goes before (``follow``).
    ahead: Mapping[Place, int] = field(default_factory=dict)

    def judge(self, name: str, lines: Lines, former: Sequence[str] = ()) -> str:
        """KNOWN: all lines; FORMER: all, under a former name; CONFLICT: a number has another checksum; else NEW."""
        for each in former:
            if all(self._checksum(each, number) == checksum for number, checksum in lines):
                return FORMER
        told = [(checksum, self._checksum(name, number)) for number, checksum in lines]
        if any(known not in (0, checksum) for checksum, known in told):
            return CONFLICT
        if all(known for _, known in told):
            return KNOWN
        for number, checksum in lines:
            self.under_way[name, number] = checksum
        return NEW

    def _checksum(self, name: str, number: int) -> int:
        """0 for a line that nobody has told."""
        block = self.blocks.get((name, number // BLOCK))
        known = block[number % BLOCK] if block is not None else 0
        return known or self.under_way.get((name, number)) or self.ahead.get((name, number), 0)

    def follow(self, before: Known) -> None:
        """What is judged here comes behind what was judged there and may be settled at any time."""
        for name, number in before.under_way:
            place = name, number // BLOCK
            self.blocks[place] = before.blocks.setdefault(place, _empty())
        self.ahead = before.under_way

    def settle(self, name: str, lines: Lines) -> None:
        """These lines are known from now on."""
        for number, checksum in lines:
            place = name, number // BLOCK
            if place not in self.blocks:
                self.blocks[place] = _empty()
            self.blocks[place][number % BLOCK] = checksum
            self.changed.add(place)

    def save(self, connection: Connection) -> None:
        rows: list[dict[str, Any]] = [
            {"link": self.link, "series": name, "block": block, "checksums": _bytes(self.blocks[name, block])}
            for name, block in sorted(self.changed)
        ]
        write(connection, {tables.series_block: rows}, frozenset({tables.series_block}))
        self.changed.clear()


def load(connection: Connection, link: str, told: Iterable[tuple[str, Lines]]) -> Known:
    """What is known of the lines of these series."""
    wanted: dict[str, set[int]] = {}
    for name, lines in told:
        wanted.setdefault(name, set()).update(number // BLOCK for number, _ in lines)
    asked = [
        (LOAD, {"link": link, "series": name, "blocks": json_array(sorted(blocks))}) for name, blocks in wanted.items()
    ]
    found = run(connection, asked) if asked else []
    blocks = {(name, block): _array(kept) for name, rows in zip(wanted, found, strict=True) for block, kept in rows}
    return Known(link, blocks)


def _empty() -> array[int]:
    return array(_TYPE, bytes(4 * BLOCK))


def _array(kept: bytes) -> array[int]:
    found = array(_TYPE, bytes(kept))
    if sys.byteorder == "big":
        found.byteswap()
    return found


def _bytes(block: array[int]) -> bytes:
    if sys.byteorder == "big":
        block = block[:]
        block.byteswap()
    return block.tobytes()
