"""CommerceML 2 as it comes: bytes -> goods and offers, one after the other, in memory that does not grow with the file.

The parser tells what begins and ends (SAX), and no tree is built: whatever is not goods or an offer passes by. Elements
are known by their local names, for versions 2.03 and 2.04 have no namespace and later ones do
(docs/adapters/commerceml.md, "What is read").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from adapters.parsing import bad, encoding_of
from processing.errors import BadMessage

ROOT = "КоммерческаяИнформация"
GOODS, OFFER = "Товар", "Предложение"
# Where they stand: the list, and what the list is in. Goods of orders stand in documents, and are none of ours.
LISTS = {GOODS: ("Товары", ("Каталог",)), OFFER: ("Предложения", ("ПакетПредложений", "ИзмененияПакетаПредложений"))}
# What is read of them, by the names from there on.
ID, BARCODE, NAME, GROUP = ("Ид",), ("Штрихкод",), ("Наименование",), ("Группы", "Ид")
WANTED = frozenset({ID, BARCODE, NAME, GROUP})

# So much of a file has to be there to know its encoding.
MIN_HEAD = 512
# A text that is longer is none of what is read; the rest of it is passed over.
MAX_TEXT = 1_024
# Of one name in an item so many are kept: others would fill the memory.
MAX_TEXTS = 100
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Item:
    """Goods or an offer, with the texts of what is read of it."""

    kind: str
    number: int
    texts: dict[tuple[str, ...], list[str]] = field(default_factory=dict)

    def first(self, name: tuple[str, ...]) -> str:
        return next(iter(self.texts.get(name, ())), "")


class Target:
    """What the parser tells; ``items`` are those that have ended. Errors: BadMessage for a foreign file."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._path: list[str] = []
        self._item: Item | None = None
        self._depth = 0
        self._text: list[str] | None = None
        self._room = 0
        self._count = 0

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise bad("DOCTYPE", name, "no document type")

    def start(self, tag: str, attributes: Any) -> None:
        path, name = self._path, tag.rpartition("}")[2]
        path.append(name)
        if len(path) == 1 and name != ROOT:
            raise bad("xml", name, ROOT)
        if self._item is not None:
            self._text, self._room = ([], MAX_TEXT) if tuple(path[self._depth :]) in WANTED else (None, 0)
        elif name in LISTS and self._stands_in(*LISTS[name]):
            self._count += 1
            self._item, self._depth = Item(name, self._count), len(path)

    def _stands_in(self, items: str, holders: tuple[str, ...]) -> bool:
        path = self._path
        return len(path) == 4 and path[2] == items and path[1] in holders

    def data(self, text: str) -> None:
        if self._text is not None and self._room > 0:
            self._text.append(text[: self._room])
            self._room -= len(text)

    def end(self, tag: str) -> None:
        path, item = self._path, self._item
        if item is not None and len(path) == self._depth:
            self.items.append(item)
            self._item = None
        elif item is not None and self._text is not None:
            texts = item.texts.setdefault(tuple(path[self._depth :]), [])
            if len(texts) < MAX_TEXTS:
                texts.append("".join(self._text))
        self._text = None
        path.pop()

    def close(self) -> None:
        pass

    def taken(self) -> list[Item]:
        """Those that have ended since the last time."""
        items, self.items = self.items, []
        return items


class Cut(Exception):
    """The file ends before its document does."""


def items(chunks: Iterable[bytes]) -> Iterator[Item]:
    """Goods and offers in their order. Errors: BadMessage for what is no CommerceML, Cut."""
    target, parser, head = Target(), None, b""
    for piece in chunks:
        if parser is None:
            head += piece
            if len(head) < MIN_HEAD:
                continue
            parser, piece = _parser(head, target), head
        yield from _fed(parser, target, piece)
    if parser is None:
        parser = _parser(head, target)
        yield from _fed(parser, target, head)
    try:
        parser.close()
    except (etree.XMLSyntaxError, BadMessage):
        # What begins like a name may be the beginning of ours.
        raise Cut from None


def _parser(head: bytes, target: Any) -> Any:
    """A parser for the encoding that the file declares. Errors: BadMessage."""
    encoding = encoding_of(head.lstrip().removeprefix(_BOM).lstrip())
    return etree.XMLParser(
        target=target, encoding=encoding, resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False
    )


def _fed(parser: Any, target: Target, data: bytes) -> Iterator[Item]:
    """What ends with these bytes, also where they go wrong behind it. Errors: BadMessage."""
    problem = None
    try:
        parser.feed(data)
    except etree.XMLSyntaxError as error:
        problem = bad("xml", "line {}, column {}".format(*error.position), "well-formed XML")
    except BadMessage as error:
        problem = error
    yield from target.taken()
    if problem is not None:
        raise problem
