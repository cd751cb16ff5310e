"""Goods that some system has told of: learned by command, and looked up for lines that tell no category.

A receipt keeps the name and category that it was decided by; what is learned later changes nothing of it
(docs/decisions/0038-goods-by-commerceml.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from msgspec import structs

from processing import tables
from processing.claims import POSTED, Claim
from processing.commands import Command, LearnGoods, Line, PlaceHold, PostReceipt, Receipt, ReturnReceipt
from processing.database import Row, Statement
from processing.directory import Directory
from processing.errors import BadMessage
from processing.keys import content, once
from processing.results import GoodsLearned
from processing.state import State

# As wide as their columns.
MAX_CODE, MAX_SCHEME, MAX_NAME = 64, 32, 255
# Of one command.
MAX_NAMES = 100

# What the code leads to comes first, so that no other name hides it; of names of several schemes always the same one.
KNOWN = Statement(
    """
    SELECT g.code, g.name, g.category, '' AS scheme FROM goods g WHERE g.code IN_TEXTS(:values)
    UNION ALL
    SELECT n.value, g.name, g.category, n.scheme FROM goods_name n JOIN goods g ON g.code = n.code
    WHERE n.value IN_TEXTS(:values)
    ORDER BY 4, 1
    """,
    tables.goods.c.code,
    tables.goods.c.name,
    tables.goods.c.category,
    tables.goods_name.c.scheme,
)


class Known(NamedTuple):
    """What is known of goods."""

    name: str
    category: str


def wanted(directory: Directory, receipts: Iterable[Receipt]) -> set[str]:
    """What to look up for these receipts: what lines without a category call their goods."""
    found: set[str] = set()
    for receipt in receipts if directory.asks_category else ():
        # Nothing else was ever learned, and a database need not know every character.
        found.update([line.goods for line in receipt.lines if not line.category and line.goods.isprintable()])
    found.discard("")
    return found


def receipts_of(commands: Iterable[Command[Any]]) -> list[Receipt]:
    """The receipts in commands, of which rules may look at the goods."""
    told = [each.receipt for each in commands if isinstance(each, (PostReceipt, ReturnReceipt, PlaceHold))]
    return [receipt for receipt in told if receipt is not None]


def told(rows: Iterable[Row]) -> dict[str, Known]:
    """By what a till calls them."""
    found: dict[str, Known] = {}
    for value, name, category, _ in rows:
        found.setdefault(value, Known(name, category))
    return found


def completed(receipt: Receipt, known: Mapping[str, Known]) -> Receipt:
    """The receipt with names and categories that its till did not tell."""
    if not known or not any(_lacks(line, known) for line in receipt.lines):
        return receipt
    return structs.replace(receipt, lines=tuple(_completed(line, known) for line in receipt.lines))


def _lacks(line: Line, known: Mapping[str, Known]) -> bool:
    return not line.category and line.goods in known


def _completed(line: Line, known: Mapping[str, Known]) -> Line:
    if not _lacks(line, known):
        return line
    found = known[line.goods]
    return structs.replace(line, name=line.name or found.name, category=found.category)


def learn_goods(state: State, command: LearnGoods) -> GoodsLearned:
    """Keep what is told; the same again changes nothing. Errors: BadMessage, KeyReused."""
    _check(command)

    def learn() -> tuple[GoodsLearned, int | None]:
        if command.name is not None:
            row = {"code": command.code, "name": command.name, "category": command.category or ""}
            state.learned_goods[command.code] = row
        for each in command.names:
            state.learned_names[each.value, each.scheme] = {
                "value": each.value,
                "scheme": each.scheme,
                "code": command.code,
            }
        return GoodsLearned(code=command.code, at=state.now), None

    def is_older(claim: Claim) -> bool:
        """Only of goods: whatever else stands under a key stays."""
        is_of_goods = claim.state == POSTED and isinstance(claim.stored(), GoodsLearned)
        return is_of_goods and claim.content != content(state, command)

    return once(state, command, GoodsLearned, learn, is_older)


def _check(command: LearnGoods) -> None:
    """Errors: BadMessage."""
    if len(command.names) > MAX_NAMES:
        raise BadMessage(f"at most {MAX_NAMES} names", where="names")
    bounds = [("code", command.code, MAX_CODE), ("category", command.category or "", MAX_CODE)]
    bounds += [("names", each.value, MAX_CODE) for each in command.names]
    bounds += [("names", each.scheme, MAX_SCHEME) for each in command.names]
    for where, text, most in bounds:
        if len(text) > most or not text.isprintable() or (not text and where != "category"):
            raise BadMessage(f"1 to {most} printable characters", where=where)
    if len(command.name or "") > MAX_NAME or not (command.name or "").isprintable():
        raise BadMessage(f"up to {MAX_NAME} printable characters", where="name")
    if (command.name is None) != (command.category is None):
        raise BadMessage("name and category belong together", where="category")
