"""Goods and offers of a file -> what we ask: one command each, known by the goods and their content."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.commerceml.catalogue import BARCODE, GOODS, GROUP, ID, NAME, Cut, Item, items
from adapters.contract import BROKEN, OTHER, UNFINISHED, Found, Link, Source
from adapters.onec.guids import is_guid
from adapters.parsing import MAX_NAME, bad, code
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
    named = _guid(code(goods, f"{where}/Ид"))
    if not _is_plain(named):
        raise bad(f"{where}/Ид", named, "an id")
    barcodes = tuple(Ref("barcode", each) for each in _barcodes(item, where))
    if item.kind == GOODS:
        category = code(_guid(item.first(GROUP).strip()), f"{where}/Группы/Ид")
        if category and not _is_plain(category):
            raise bad(f"{where}/Группы/Ид", category, "an id")
        return LearnGoods(
            store=link.store,
            keys=(f"{PREFIX}goods:{named}",),
            code=named,
            names=barcodes,
            name=_words(item.first(NAME)),
            category=category,
        )
    if not barcodes:
        return None
    variant = code(variant, f"{where}/Ид")
    if variant and not _is_plain(variant):
        raise bad(f"{where}/Ид", variant, "an id")
    key = f"{PREFIX}offer:{named}{VARIANT}{variant}"
    return LearnGoods(store=link.store, keys=(key,), code=named, names=barcodes)


def _barcodes(item: Item, where: str) -> list[str]:
    """Each once. Errors: BadMessage."""
    told = [code(text.strip(), f"{where}/Штрихкод") for text in item.texts.get(BARCODE, ())]
    found = list(dict.fromkeys(text for text in told if _is_plain(text)))
    if len(found) > MAX_BARCODES:
        raise bad(f"{where}/Штрихкод", len(found), f"at most {MAX_BARCODES}")
    return found


def _guid(text: str) -> str:
    """GUIDs in lower case, as tills tell them; other ids as they are."""
    return text.lower() if is_guid(text) else text


def _is_plain(text: str) -> bool:
    return bool(text) and text.isprintable()


def _words(text: str) -> str:
    """On one line, and no longer than a name may be."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())[:MAX_NAME]
