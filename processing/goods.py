"""LearnGoods: what tills call goods (a GUID here, a barcode there), and their categories and brands.

What programmes make of it: processing/catalogue.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from processing import tables
from processing.commands import MAX_GOODS, LearnGoods
from processing.errors import BadMessage, TooLarge
from processing.keys import once
from processing.results import GoodsLearned
from processing.state import State

MAX_NAMES = 16
MAX_TEXT = 128


def learn_goods(state: State, command: LearnGoods) -> GoodsLearned:
    """Keep the names; one that was another thing's is this one's from now on."""

    def do() -> tuple[GoodsLearned, int | None]:
        _check(command)
        rows = {row["name"]: row for row in _rows(command, state.now)}
        # Instead of what this batch has learned already under another key.
        kept = [row for row in state.inserts.get(tables.goods_name, []) if row["name"] not in rows]
        state.inserts[tables.goods_name] = [*kept, *rows.values()]
        return GoodsLearned(goods=len(command.goods), names=len(rows), at=state.now), None

    return once(state, command, GoodsLearned, do)


def _check(command: LearnGoods) -> None:
    """Errors: TooLarge, BadMessage."""
    if len(command.goods) > MAX_GOODS:
        raise TooLarge(f"more than {MAX_GOODS} goods", where="goods")
    for told in command.goods:
        if not 0 < len(told.names) <= MAX_NAMES or not all(told.names):
            raise BadMessage(f"1 to {MAX_NAMES} names", where="names")
        if max(map(len, (*told.names, told.category, told.brand))) > MAX_TEXT:
            raise BadMessage(f"up to {MAX_TEXT} characters", where="goods")


def _rows(command: LearnGoods, now: datetime) -> Iterator[dict[str, Any]]:
    for told in command.goods:
        for name in told.names:
            yield {
                "name": name,
                "thing": told.names[0],
                "category": told.category,
                "brand": told.brand,
                "learned_at": now,
            }
