"""Whole orders, asked for: those that nobody has told us of, because their webhook was lost.

They are booked as webhooks are, under the keys and options of the link that takes these (``orders_of``): so an order
that was pulled and one that was told are one, and the newer version counts (docs/adapters/iiko_cloud.md, "Orders").
What is not closed yet, or not to be seen yet, is looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import msgspec

from adapters.contract import Calling, Found, Job, Link
from adapters.iiko_cloud.calls import Refused, ask
from adapters.iiko_cloud.guests import organization
from adapters.iiko_cloud.movements import DELIVERY, TABLE, Movement
from adapters.iiko_webhooks.events import CLOSED, identity, order_in
from adapters.iiko_webhooks.receipts import ask_of
from adapters.json_parsing import Node
from adapters.parsing import bad, identifier
from processing.commands import Command
from processing.errors import BadMessage, BadReply, ForeignStore, LinkRefused, TooLarge

TABLE_BY_ID, BY_TABLE = "/api/1/order/by_id", "/api/1/order/by_table"
DELIVERY_BY_ID, BY_REVISION = "/api/1/deliveries/by_id", "/api/1/deliveries/by_revision"
BY_DATE = "/api/1/deliveries/by_delivery_date_and_status"
# Where the report does not tell of which kind an order is; and by whose id one is known.
EITHER = ""
CLOUD, TILL = "orderIds", "posOrderIds"
CANCELLED = "Cancelled"
# So many orders are asked for at once: the service allows 200, and answers of whole orders must stay below MAX_BYTES.
IDS_IN_CALL = 50
# No more rows are read of one answer.
MAX_ROWS = 1_000
# A list of orders is asked for by so much time at once: of more than about a day the service refuses it.
WINDOW = timedelta(hours=6)
# One that is too long to be read is asked for in halves, until it is of less than this.
LEAST_WINDOW = timedelta(minutes=15)
# Where the first lists begin.
FIRST_LOOK = timedelta(days=1)
# What was created at the end of a list may not have been in it yet; a delivery is closed long after its hour.
TABLES_AGAIN, DELIVERIES_AGAIN = timedelta(hours=1), timedelta(days=1)
# So often a day's orders of tables are listed once more: what has become of one that was closed no list tells.
REVIEW = timedelta(days=1)
# After so long nobody looks for an order any more: so long the service keeps deliveries at hand.
LOOK_FOR = timedelta(days=7)
# So many orders may be waited for; of more the oldest are given up.
MAX_WAITING = 500
# So many groups of them are asked for in a pull: where one unknown id has its whole group refused there may be many.
MAX_GROUPS = 60
BOOK_AT_ONCE = 100
# So many of those that are given up are told by name.
MAX_NAMED = 20

State = Mapping[str, Any]


class Waited(msgspec.Struct, frozen=True, array_like=True):
    """An order that is not closed yet, or not to be seen: whose id it is known by, of which kind, since when."""

    by: str
    kind: str
    since: datetime


class Listing(msgspec.Struct, frozen=True):
    """Lists of deliveries by their days that were not read to their end: ``at`` when they began, ``revision`` of the
    first, ``until`` where to go on."""

    at: datetime
    revision: int
    until: datetime


class Place(msgspec.Struct, frozen=True):
    """Where the lists have ended, when a day was ``reviewed`` last, and orders that are waited for, by id, those that
    were asked for last at the end. It is kept between pulls."""

    revision: int | None = None
    deliveries: datetime | None = None
    listing: Listing | None = None
    tables: datetime | None = None
    reviewed: datetime | None = None
    waiting: dict[str, Waited] = {}

    def with_orders(self, more: Mapping[str, Waited], settled: Iterable[str] = ()) -> Place:
        gone = set(settled)
        waiting = {name: each for name, each in {**more, **self.waiting}.items() if name not in gone}
        return msgspec.structs.replace(self, waiting=waiting)

    def asked(self, ids: Sequence[str]) -> Place:
        """These behind all others."""
        last = set(ids)
        waiting = dict(sorted(self.waiting.items(), key=lambda each: each[0] in last))
        return msgspec.structs.replace(self, waiting=waiting)


@dataclass(frozen=True, slots=True)
class Look:
    """A pull: when it is, for which link, and the rest of its state."""

    at: datetime
    link: Link
    rest: State

    @property
    def organizations(self) -> list[str]:
        return [self.link.options["organization"]]

    def kept(self, place: Place) -> State:
        return {**self.rest, "orders": msgspec.to_builtins(place)}


def place_of(state: State) -> Place:
    return msgspec.convert(state.get("orders") or {}, Place)


def named(moved: Iterable[Movement], at: datetime, state: State) -> State:
    """The state with the orders that others' movements name, by the till's ids of them; old ones are left."""
    first = (at - LOOK_FOR).date()
    found = [each for each in moved if each.is_foreign and each.order_id and each.on >= first]
    more = {each.order_id: Waited(TILL, each.order_kind, at) for each in found}
    return {**state, "orders": msgspec.to_builtins(place_of(state).with_orders(more))}


def pull(job: Job, state: State, link: Link) -> Calling[None]:
    """Deliveries that have changed, orders that were opened at tables, then whatever is waited for.

    Errors: LinkDown, LinkRefused, BadMessage.
    """
    look, place = Look(job.at, link, state), place_of(state)
    if link.options["deliveries"]:
        place = yield from _deliveries(place, look)
    if link.options["tables"]:
        place = yield from _tables(place, look)
    place = yield from _give_up(place, look)
    yield from _waited_for(place, look)


def _waited_for(place: Place, look: Look) -> Calling[None]:
    """Orders by their ids. Whether one that is unknown is left out or has all of its group refused, nobody has written
    down: then each half is asked for, and what a pull does not come to is the first of the next."""
    # What a list has just told is not asked for at once.
    found = {name for name, each in place.waiting.items() if (each.by, each.since) == (CLOUD, look.at)}
    groups = list(_parts([name for name in place.waiting if name not in found], IDS_IN_CALL))
    for _ in range(MAX_GROUPS):
        if not groups:
            return
        ids, is_refused = groups.pop(0), False
        for by, kind in product((TILL, CLOUD), (TABLE, DELIVERY)):
            wanted = [name for name in ids if name not in found and _may_be(place.waiting.get(name), by, kind)]
            told = (yield from _asked(kind, by, wanted, look)) if wanted else []
            is_refused |= told is None
            if told:
                found |= {name for info in told for name in _names(info)}
                place = yield from _learn(told, kind, place, look)
        if is_refused and len(ids) > 1:
            groups[:0] = [ids[: len(ids) // 2], ids[len(ids) // 2 :]]
        else:
            place = place.asked(ids)
            yield Found(state=look.kept(place))


def _may_be(waited: Waited | None, by: str, kind: str) -> bool:
    return waited is not None and waited.by == by and waited.kind in (kind, EITHER)


def _asked(kind: str, by: str, ids: Sequence[str], look: Look) -> Calling[list[Node] | None]:
    """Those of the orders that are to be seen; ``None`` where all are refused."""
    mine = {"organizationIds": look.organizations} if kind == TABLE else organization(look.link)
    path = TABLE_BY_ID if kind == TABLE else DELIVERY_BY_ID
    try:
        return _listed((yield from ask(path, {**mine, by: ids}, look.link)).get("orders"))
    except Refused:
        return None


# Lists ------------------------------------------------------------------------------------------------------


def _deliveries(place: Place, look: Look) -> Calling[Place]:
    """Those that have changed since the last revision; where there is none, or it is too old, those of the last days
    that are closed."""
    if place.revision is not None:
        asked = {"startRevision": place.revision, "organizationIds": look.organizations}
        try:
            changed = yield from ask(BY_REVISION, asked, look.link)
        except LinkRefused:
            # It is of more than three hours ago. A right that is missing is told by the list.
            pass
        else:
            reached = {"revision": max(place.revision, _revision(changed)), "deliveries": look.at, "listing": None}
            return (yield from _learn(_changed(changed), DELIVERY, place, look, **reached))
    began = place.listing.until if place.listing else _begin(place.deliveries, look, DELIVERIES_AGAIN)
    windows = list(_windows(max(began, look.at - LOOK_FOR), look.at))
    while windows:
        begin, end = windows.pop(0)
        told = yield from _list(BY_DATE, "deliveryDate", begin, end, {"statuses": [CLOSED, CANCELLED]}, look)
        if told is None:
            windows[:0] = _halves(begin, end)
            continue
        # What changes while the lists are read has a later revision than the first of them.
        first = place.listing or Listing(look.at, _revision(told), end)
        listing = msgspec.structs.replace(first, until=end)
        place = yield from _learn(_changed(told), DELIVERY, place, look, listing=listing)
    if place.listing is not None:
        read = place.listing
        place = msgspec.structs.replace(place, revision=read.revision, deliveries=read.at, listing=None)
        yield Found(state=look.kept(place))
    return place


def _changed(told: Node) -> list[Node]:
    return [info for mine in _listed(told.get("ordersByOrganizations")) for info in _listed(mine.get("orders"))]


def _revision(told: Node) -> int:
    return identifier(told.get("maxRevision").text(), "maxRevision")


def _tables(place: Place, look: Look) -> Calling[Place]:
    """Those that were opened since the last list. Whatever is not closed by now is waited for."""
    reviewed = place.reviewed or look.at
    is_due = look.at - reviewed >= REVIEW
    windows = list(_windows(_begin(place.tables, look, REVIEW if is_due else TABLES_AGAIN), look.at))
    while windows:
        begin, end = windows.pop(0)
        told = yield from _list(BY_TABLE, "date", begin, end, {"tableIds": look.link.options["tables"]}, look)
        if told is None:
            windows[:0] = _halves(begin, end)
            continue
        until = max(end, min(place.tables or end, look.at))
        place = yield from _learn(_listed(told.get("orders")), TABLE, place, look, tables=until)
    place = msgspec.structs.replace(place, reviewed=look.at if is_due else reviewed)
    yield Found(state=look.kept(place))
    return place


def _begin(last: datetime | None, look: Look, again: timedelta) -> datetime:
    """So much before the end of the last list, but not before LOOK_FOR: of what is older the service refuses a list.
    The last one has not ended later than now, by a clock that was set back."""
    return max(min(last or look.at - FIRST_LOOK, look.at) - again, look.at - LOOK_FOR)


def _windows(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    while begin < end:
        yield begin, min(begin + WINDOW, end)
        begin += WINDOW


def _halves(begin: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    middle = begin + (end - begin) // 2
    return [(begin, middle), (middle, end)]


def _list(
    path: str, name: str, begin: datetime, end: datetime, asked: Mapping[str, Any], look: Look
) -> Calling[Node | None]:
    """A list of what is between; ``None`` where that is too long to be read, and could be shorter."""
    window = {f"{name}From": _local(begin, look), f"{name}To": _local(end, look)}
    try:
        return (yield from ask(path, {"organizationIds": look.organizations, **asked, **window}, look.link))
    except (BadReply, TooLarge):
        if end - begin < LEAST_WINDOW:
            raise
        return None


def _local(at: datetime, look: Look) -> str:
    """Dates of these lists are in the terminal's zone."""
    there = at.astimezone(look.link.zone)
    return f"{there:%Y-%m-%d %H:%M:%S}.{there.microsecond // 1000:03}"


def _listed(told: Node) -> list[Node]:
    """A list that must be there. Errors: BadMessage."""
    if told.value is None:
        raise bad(told.where, "", "a list")
    return told.rows(MAX_ROWS)


# What orders are --------------------------------------------------------------------------------------------


def _learn(told: Sequence[Node], kind: str, place: Place, look: Look, **reached: Any) -> Calling[Place]:
    """Book what is closed or gone, wait for what is open; the place behind it, at which a list has ``reached``.

    A delivery that is open need not be waited for: its revision tells of it again. An order that makes no sense is
    told, and keeps no other.
    """
    facts: list[Command[Any]] = []
    settled: set[str] = set()
    still: dict[str, Waited] = {}
    for info in told:
        names = _names(info)
        try:
            order = order_in(info)
            fact = ask_of(order, replace(look.link, options=look.link.options["orders_of"])) if order else None
        except (BadMessage, ForeignStore) as error:
            settled |= names
            yield Found(note=f"order {', '.join(sorted(names))}: {error.message}")
            continue
        facts += [fact] if fact is not None else []
        if order is not None and (order.is_closed or order.is_gone):
            settled |= names
        elif order is not None and kind == TABLE and not names & place.waiting.keys():
            still[order.id] = Waited(CLOUD, kind, look.at)
    for some in _parts(facts, BOOK_AT_ONCE):
        yield Found(tuple(some), may_be_refused=True)
    place = msgspec.structs.replace(place.with_orders(still, settled), **reached)
    yield Found(state=look.kept(place))
    return place


def _names(info: Node) -> set[str]:
    """Under which an order may be waited for, without those that make no sense."""
    found = set()
    for name in ("id", "posId"):
        with suppress(BadMessage):
            found.add(identity(info.get(name)))
    return found - {""}


def _give_up(place: Place, look: Look) -> Calling[Place]:
    """Without orders that nobody will see closed any more, and the oldest where there are too many: it is told."""
    by_age = sorted(place.waiting, key=lambda name: place.waiting[name].since)
    spare = len(by_age) - MAX_WAITING
    old = [name for n, name in enumerate(by_age) if n < spare or place.waiting[name].since < look.at - LOOK_FOR]
    if not old:
        return place
    place = place.with_orders({}, old)
    yield Found(state=look.kept(place), note=f"not seen closed and given up: orders {', '.join(old[:MAX_NAMED])}")
    return place


def _parts(some: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(some), size):
        yield some[first : first + size]
