"""Goods and offers of a file -> what we ask: one command each, known by the goods and their content."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.commerceml.catalogue import BARCODE, GOODS, GROUP, ID, MAX_TEXTS, NAME, Cut, Item, items
from adapters.contract import BROKEN, OTHER, UNFINISHED, Found, Link, Source
from adapters.onec.guids import goods_id
from adapters.parsing import bad, code, one_line
from processing.commands import LearnGoods, Ref
from processing.errors import BadMessage

NAMES = ("import*.xml", "offers*.xml")
PREFIX = "commerceml:"
# An offer names its goods, and behind this mark which variant of them it is.
VARIANT = "#"
# Of one item; goods with more are sold by weight or by mistake.
MAX_BARCODES = 50


def names(link: Link) -> tuple[str, ...]:
    return tuple(link.options["names"])


def read(source: Source, link: Link) -> Iterator[Found]:
    """One Found for each of the goods and offers. Errors: BadMessage for a foreign file, before anything was found."""
    is_begun = False
    try:
        for item in items(source.chunks):
            is_begun = True
            yield _found(item, link)
    except Cut:
        yield Found(kind=UNFINISHED, note="the file is cut")
    except BadMessage as error:
        if not is_begun:
            raise
        # Nobody knows what would have come.
        yield Found(kind=UNFINISHED, note=error.message)


def _found(item: Item, link: Link) -> Found:
    try:
        asked = _learn(item, link)
    except BadMessage as error:
        return Found(kind=BROKEN, note=error.message)
    return Found((asked,)) if asked is not None else Found(kind=OTHER)


def _learn(item: Item, link: Link) -> LearnGoods | None:
    """What the item teaches; an offer without a barcode teaches nothing. Errors: BadMessage."""
    where = f"{item.kind}[{item.number}]"
    goods, _, variant = item.first(ID).strip().partition(VARIANT)
    named = _id(goods, f"{where}/Ид")
    if not named:
        raise bad(f"{where}/Ид", named, "an id")
    barcodes = tuple(Ref("barcode", each) for each in _barcodes(item, where))
    if item.kind == GOODS:
        return LearnGoods(
            store=link.store,
            keys=(f"{PREFIX}goods:{named}",),
            code=named,
            names=barcodes,
            name=one_line(item.first(NAME)),
            category=_id(item.first(GROUP).strip(), f"{where}/Группы/Ид"),
        )
    if not barcodes:
        return None
    key = f"{PREFIX}offer:{named}{VARIANT}{_id(variant, f'{where}/Ид')}"
    return LearnGoods(store=link.store, keys=(key,), code=named, names=barcodes)


def _barcodes(item: Item, where: str) -> list[str]:
    """Each once. Errors: BadMessage."""
    told = [code(text.strip(), f"{where}/Штрихкод") for text in item.texts.get(BARCODE, ())]
    found = list(dict.fromkeys(text for text in told if text and text.isprintable()))
    if len(found) > MAX_BARCODES or len(told) >= MAX_TEXTS:  # of as many texts nobody knows whether they are all
        raise bad(f"{where}/Штрихкод", len(found), f"at most {MAX_BARCODES}")
    return found


def _id(text: str, where: str) -> str:
    """Empty where there is none. Errors: BadMessage."""
    told = goods_id(code(text, where))
    if not told.isprintable():
        raise bad(where, told, "an id")
    return told
