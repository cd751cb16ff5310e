"""The pull: catalogues of 1C, page by page, from where the last page has ended.

1C has no next-link, and cannot compare references: pages are skipped to. So each page begins with the last row of the
one before; where that is another row, something was put in or taken out in front of it, and the catalogue is read from
its beginning, whose repetition asks for nothing new. docs/adapters/onec_server.md, "What is pulled".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from adapters.contract import Calling, Found, Job, Link, read
from adapters.json_parsing import Node
from adapters.onec_server import catalogues, odata, published, receipts
from adapters.onec_server.answers import ref
from adapters.onec_server.catalogues import NOBODY, Person
from adapters.onec_server.literals import any_of, guid
from adapters.onec_server.options import GOODS, RECEIPTS, STORES, mapping_of
from processing.commands import BlockCard, Command, Identify
from processing.errors import BadMessage, CardNotFound, NotYet

# Small answers first; a page that failed is asked for so again, then half of it each time: rows may be long, and an
# answer that is too large stays so.
FIRST_PAGE = 20
# Owners are asked for by their GUIDs, so many in an address that every web server takes.
OWNERS = 20
# A talk has the link's call_seconds: what is left is asked for in the next one, which comes at once.
MOST_CALLS = 30
# So often a catalogue that changes in front of us is begun anew in a sweep.
MOST_AGAIN = 3
# Statuses of cards that need no end.
ENDED = frozenset({"blocked", "closed", "replaced"})


class Place(msgspec.Struct, frozen=True):
    """Where a sweep stands: the part, how many of its rows are done, the last of them. ``begun_at``: of the sweep;
    ``swept_at``: when the last one that came to its end had begun; ``document``: of receipts, which of the mapping's.
    ``done_at``: it is over."""

    part: str = ""
    skip: int = 0
    last: str = ""
    page: int = FIRST_PAGE
    again: int = 0
    begun_at: str = ""
    swept_at: str = ""
    document: int = 0
    done_at: str = ""


def pull(job: Job, link: Link) -> Calling[None]:
    """A sweep over the link's catalogues, or a part of one. Errors: NotYet where more is to come."""
    parts: Sequence[str] = link.options["pull"]
    if not parts:
        return
    place = msgspec.convert(job.state, Place) if job.state else Place()
    begin = Place(parts[0], begun_at=job.at.isoformat(), swept_at=place.swept_at)
    if place.done_at:
        if job.at < datetime.fromisoformat(place.done_at) + timedelta(hours=link.options["sweep_hours"]):
            return
        place = begin
    if not _is_known(place, link):  # of a configuration, or a version, before this one
        place = begin
    if job.attempt > 1:
        place = msgspec.structs.replace(place, page=max(1, min(place.page, FIRST_PAGE) >> job.attempt - 2))
    calls = 0
    while True:
        if calls >= MOST_CALLS:
            raise NotYet("there is more", 0)
        rows = yield from _page(place, link)
        if rows is None:
            page = min(place.page, FIRST_PAGE)
            place = _anew(place, part=place.part, page=page, again=place.again + 1, document=place.document)
            calls += 1
            continue
        asks, notes, more = yield from _read(place, rows, link)
        calls += 1 + more
        following = _after(place, rows, parts, link)
        done = following or Place(done_at=job.at.isoformat(), swept_at=place.begun_at)
        yield Found(tuple(asks), state=msgspec.to_builtins(done), note="\n".join(notes), may_be_refused=True)
        if following is None:
            return
        place = following if job.attempt == 1 else msgspec.structs.replace(following, page=place.page)


def _anew(place: Place, **at: Any) -> Place:
    """Another place of the same sweep."""
    return Place(begun_at=place.begun_at, swept_at=place.swept_at, **at)


def _is_known(place: Place, link: Link) -> bool:
    """Whether the sweep may go on from there."""
    return (
        bool(place.begun_at)
        and place.part in link.options["pull"]
        and (place.part != RECEIPTS or place.document < len(mapping_of(link)[RECEIPTS]))
    )


def _page(place: Place, link: Link) -> Calling[list[Node] | None]:
    """The next rows; ``None`` where the last row is not where it was."""
    mapping = mapping_of(link)
    if "service" in mapping:
        return (yield from published.cards(mapping["service"]["cards"], place.skip, place.page))
    seen = 1 if place.last else 0
    skip, top = place.skip - seen, place.page + seen
    if place.part == RECEIPTS:
        document = mapping[RECEIPTS][place.document]
        begun, swept = (datetime.fromisoformat(at) for at in (place.begun_at, place.swept_at or place.begun_at))
        where = receipts.wanted(begun, swept, document, link)
        rows = yield from odata.page(link, document["set"], (), skip, top, where, receipts.ORDER)
    else:
        properties = catalogues.PROPERTIES[place.part](mapping[place.part])
        rows = yield from odata.page(link, mapping[place.part]["set"], properties, skip, top)
    if seen and (not rows or ref(rows[0]) != place.last) and place.again < MOST_AGAIN:
        return None
    return rows[1:] if seen and rows and ref(rows[0]) == place.last else rows


def _after(place: Place, rows: Sequence[Node], parts: Sequence[str], link: Link) -> Place | None:
    """Where the sweep stands after these rows; the part is over when there are none. ``None``: all of it is."""
    if not rows:
        if place.part == RECEIPTS and place.document + 1 < len(mapping_of(link)[RECEIPTS]):
            return _anew(place, part=place.part, document=place.document + 1)
        left = parts[parts.index(place.part) + 1 :]
        return _anew(place, part=left[0]) if left else None
    is_service = "service" in mapping_of(link)
    most = min(link.options["page"], receipts.MAX_PAGE) if place.part == RECEIPTS else link.options["page"]
    return msgspec.structs.replace(
        place,
        skip=place.skip + len(rows),
        last="" if is_service else ref(rows[-1]),
        page=min(place.page * 2, most),
    )


def _read(place: Place, rows: Sequence[Node], link: Link) -> Calling[tuple[list[Command[Any]], list[str], int]]:
    """What the rows ask for, what an operator should read, and how many calls it took."""
    if "service" in mapping_of(link):
        asks, notes = _asks(rows, lambda row: published.card(row, link))
        return (yield from _wanted(asks)), notes, 0
    if place.part == RECEIPTS:
        document = mapping_of(link)[RECEIPTS][place.document]
        return *_asks(rows, lambda row: receipts.learn(row, document, link)), 0
    if place.part == STORES:
        return [], [catalogues.store(row) for row in rows], 0
    if place.part == GOODS:
        return *_asks(rows, lambda row: catalogues.goods(row, link)), 0
    people, notes, calls = yield from _people(rows, link)
    asks, more = _asks(rows, lambda row: catalogues.card(row, people.get(catalogues.owner_of(row, link), NOBODY), link))
    return (yield from _wanted(asks)), [*notes, *more], calls


def _asks(rows: Iterable[Node], of: Callable[[Node], Iterable[Command[Any]]]) -> tuple[list[Command[Any]], list[str]]:
    """What the rows ask for; of one that nobody understands what is wrong with it, for it keeps no other away."""
    asks: list[Command[Any]] = []
    notes: list[str] = []
    for row in rows:
        try:
            asks += of(row)
        except BadMessage as error:
            notes.append(error.message)
    return asks, notes


def _people(rows: Sequence[Node], link: Link) -> Calling[tuple[dict[tuple[str, str], Person], list[str], int]]:
    """The owners of cards by set and GUID, notes about those whom nobody understands, and how many calls it took."""
    owned = [_owner_of(row, link) for row in rows]
    people: dict[tuple[str, str], Person] = {}
    notes: list[str] = []
    calls = 0
    for owner in mapping_of(link)["owners"]:
        refs = list(dict.fromkeys(told for set_name, told in owned if set_name == owner["set"]))
        for some in _bites(refs):
            calls += 1
            for row in (yield from odata.find(link, owner["set"], any_of("Ref_Key", map(guid, some)), len(some))):
                try:
                    people[owner["set"], ref(row)] = catalogues.person(row, owner)
                except BadMessage as error:
                    notes.append(error.message)
    return people, notes, calls


def _owner_of(row: Node, link: Link) -> tuple[str, str]:
    """Nobody where that cannot be read, which is told when the card is."""
    try:
        return catalogues.owner_of(row, link)
    except BadMessage:
        return "", ""


def _wanted(asks: Iterable[Command[Any]]) -> Calling[list[Command[Any]]]:
    """Without the ends of cards that nobody knows or uses: a base has many, and tells them in every sweep."""
    wanted = []
    for ask in asks:
        if not isinstance(ask, BlockCard) or (yield from _is_used(ask)):
            wanted.append(ask)
    return wanted


def _is_used(ask: BlockCard) -> Calling[bool]:
    try:
        told = yield from read(Identify(store=ask.store, refs=(ask.card,)))
    except CardNotFound:
        return False
    return told.status not in ENDED


def _bites(refs: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(refs), OWNERS):
        yield refs[start : start + OWNERS]
