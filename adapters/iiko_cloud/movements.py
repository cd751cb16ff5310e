"""The report of a guest's transactions: which movements are ours, and what others have moved.

Nothing in the API says that a top-up was done already but its ``comment``, which names the message that caused it
(docs/adapters/iiko_cloud.md, "A movement happens once").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from adapters.contract import Calling, Link
from adapters.iiko.answers import moment
from adapters.iiko_cloud.calls import LOYALTY, ask
from adapters.iiko_cloud.guests import Guest, organization
from adapters.iiko_webhooks.events import identity
from adapters.json_parsing import Node
from adapters.parsing import bad, day, identifier
from processing.commands import Accrue, Amount, Redeem, Ref
from processing.errors import BadMessage, BadReply

PAGE, MAX_PAGES = 100, 20
MAX_COMMENT, MAX_ORDER = 4_000, 20
# How far their clock may be from ours.
CLOCKS_APART = timedelta(hours=1)
Fact = Accrue | Redeem
# Of an order, as ``isDelivery`` tells them.
TABLE, DELIVERY = "table", "delivery"
KINDS = {False: TABLE, True: DELIVERY}
_OURS = re.compile(r"\btillgate ([0-9]{1,20})\b")


@dataclass(frozen=True, slots=True)
class Movement:
    """A row of the report. ``amount`` in minor units with its sign; ``None`` where the row does not tell it.

    ``order`` is the number of the order that it belongs to, ``order_id`` the till's id of it, ``order_kind`` whether it
    is of a table or a delivery; empty where the row does not tell.
    """

    id: str
    wallet: str
    amount: int | None
    comment: str
    order: str
    on: date
    order_id: str = ""
    order_kind: str = ""

    def is_by(self, message_id: int, wallet: str) -> bool:
        """Whether this message of our outbox has caused it in this wallet; a row need not tell its wallet."""
        found = _OURS.search(self.comment)
        return found is not None and int(found[1]) == message_id and self.wallet in ("", wallet)

    @property
    def is_foreign(self) -> bool:
        return _OURS.search(self.comment) is None


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a guest's report to go on: its revision, and the last row of it that was read."""

    revision: int = 0
    last: str = ""


def comment(message_id: int) -> str:
    """What marks a movement as ours; guests may read it."""
    return f"tillgate {message_id}"


def since(guest: Guest, begin: datetime, end: datetime, link: Link) -> Calling[list[Movement]]:
    """All movements between two instants, and an hour more on both sides. Errors: BadReply for too many."""
    told = {
        "customerId": guest.id,
        "dateFrom": moment(begin - CLOCKS_APART),
        "dateTo": moment(end + CLOCKS_APART),
        "pageSize": PAGE,
        **organization(link),
    }
    found: list[Movement] = []
    for page in range(MAX_PAGES):
        answer = yield from ask(LOYALTY + "customer/transactions/by_date", {**told, "pageNumber": page}, link)
        read = rows(answer)
        found += read
        if _is_last(answer, read):
            return found
    raise BadReply(f"more than {MAX_PAGES * PAGE} transactions of a guest")


def behind(guest: Guest, place: Place, link: Link) -> Calling[tuple[list[Movement], Place]]:
    """The movements behind a place of the report, as many as anybody reads at once, and where they end."""
    found: list[Movement] = []
    for _ in range(MAX_PAGES):
        told = {"customerId": guest.id, "revision": place.revision, "pageSize": PAGE, **organization(link)}
        if place.last:
            told["lastTransactionId"] = place.last
        answer = yield from ask(LOYALTY + "customer/transactions/by_revision", told, link)
        read = rows(answer)
        found += read
        if read:
            revision = identifier(answer.get("lastRevision").text(), "lastRevision")
            place = Place(revision, answer.get("lastTransactionId").text())
        if _is_last(answer, read):
            break
    return found, place


def _is_last(answer: Node, read: list[Movement]) -> bool:
    """Whether the page is not full; the far side may make them smaller, and says so."""
    told = answer.get("pageSize")
    size = told.integer() if told.value is not None else PAGE
    return len(read) < (size if 0 < size < PAGE else PAGE)


def rows(answer: Node) -> list[Movement]:
    """What has moved something, in the order of the report. Errors: BadMessage, also where there is no list."""
    told = answer.get("transactions")
    if told.value is None:
        raise bad("transactions", "", "a list")
    return [_read(each) for each in told.rows(PAGE)]


def _read(row: Node) -> Movement:
    found = row.get("id").text()
    if not found:
        raise bad(row.get("id").where, "", "the transaction's id")
    return Movement(
        found,
        row.get("walletId").text().lower(),
        moved(row),
        row.get("comment").text(MAX_COMMENT),
        re.sub(r"\W", "", row.get("orderNumber").text())[:MAX_ORDER],
        day(row.get("whenCreated").text(), row.get("whenCreated").where),
        _order_id(row.get("posOrderId")),
        KINDS.get(row.get("isDelivery").value, ""),
    )


def _order_id(told: Node) -> str:
    """One that is none is not worth a guest's report."""
    try:
        return identity(told)
    except BadMessage:
        return ""


def moved(row: Node) -> int | None:
    """What a row has moved: the balance after it without the one before. Whether ``sum`` has a sign, and which types
    move nothing, nobody has written down; a row without both balances tells nothing."""
    if row.get("isIgnored").value is True:
        return 0
    before, after = row.get("balanceBefore"), row.get("balanceAfter")
    return after.minor() - before.minor() if before.value is not None and after.value is not None else None


# What others have moved -------------------------------------------------------------------------------------


def foreign(movements: Iterable[Movement], wallet: str) -> list[Movement]:
    """What others have moved in this wallet; a row that tells no wallet or no amount counts as well."""
    return [each for each in movements if each.wallet in ("", wallet) and each.is_foreign and each.amount != 0]


def facts(movements: Iterable[Movement], shown: Mapping[str, Any], account: int, link: Link) -> tuple[Fact, ...]:
    """What others have moved, as facts of our books: each once, by the transaction's id. None where the link does not
    book, or of before that day, and none of what a row does not tell."""
    begin = shown["book_from"]
    return tuple(
        _fact(each, each.amount, Ref("wallet", str(account)), shown["unit"], link)
        for each in foreign(movements, shown["id"])
        if begin is not None and each.on >= begin and each.wallet and each.amount is not None
    )


def _fact(movement: Movement, moved: int, card: Ref, unit: str, link: Link) -> Fact:
    """The key is the content too: a row whose amount changes is not booked twice."""
    key = f"iiko_cloud:transaction:{movement.id}"
    if moved > 0:
        gained = Amount(unit, moved)
        return Accrue(store=link.store, keys=(key,), content=key, card=card, amount=gained, fact=True)
    return Redeem(store=link.store, keys=(key,), content=key, card=card, unit=unit, amount=-moved, fact=True)
