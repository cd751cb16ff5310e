"""What was learned of goods, as programmes meet it: the things that their sets name.

A programme's sets name goods by code, category and brand. A line is in a set by what its receipt tells, or by what
was learned of its goods (LearnGoods): each name of a thing means all of its names, its category and its brand. Only
what a set names is kept in memory; nothing is looked up while a receipt is decided, and receipts keep what the till
has told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from processing import tables
from processing.programme.compiled import Thing
from processing.programme.document import ProgrammeDocument

# Of one query, so that no database meets more parameters than it takes.
BITE = 500

_goods = tables.goods_name


def newest(connection: Connection) -> datetime | None:
    """When something was learned last."""
    found: datetime | None = connection.execute(select(func.max(_goods.c.learned_at))).scalar()
    return found


def named_by(connection: Connection, documents: Iterable[ProgrammeDocument]) -> tuple[Thing, ...]:
    """The things that are in any set of these programmes, by whatever name."""
    sets = [each for document in documents for each in document.goods.values()]
    codes = {code for each in sets for code in each.codes}
    categories = {category for each in sets for category in each.categories}
    brands = {brand for each in sets for brand in each.brands}
    things: dict[str, None] = {}
    for column, wanted in ((_goods.c.name, codes), (_goods.c.category, categories), (_goods.c.brand, brands)):
        for bite in _bites(sorted(wanted)):
            found = connection.execute(select(_goods.c.thing).where(column.in_(bite)).distinct())
            things.update(dict.fromkeys(found.scalars()))
    told: dict[str, list[Mapping[str, Any]]] = {}
    for bite in _bites(list(things)):
        for row in connection.execute(
            select(_goods).where(_goods.c.thing.in_(bite)).order_by(_goods.c.name)
        ).mappings():
            told.setdefault(row["thing"], []).append(dict(row))
    return tuple(
        Thing(tuple(row["name"] for row in rows), rows[0]["category"], rows[0]["brand"]) for rows in told.values()
    )


def _bites(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), BITE):
        yield values[start : start + BITE]


def copy(source: Connection, target: Connection) -> None:
    """All that was learned, into scratch books."""
    asked, last = select(_goods).order_by(_goods.c.name).limit(BITE), ""
    while rows := source.execute(asked.where(_goods.c.name > last)).mappings().all():
        target.execute(insert(_goods), [dict(row) for row in rows])
        last = rows[-1]["name"]
