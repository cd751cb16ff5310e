"""Rows of 1C's receipts -> what the core learns of them: whose points they took and brought, and how many.

Nothing moves by it: the tills' calls have booked the points, and the two are compared. docs/adapters/onec_server.md,
"Receipts".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.contract import Link
from adapters.json_parsing import Node
from adapters.onec import queries
from adapters.onec_server import literals
from adapters.onec_server.answers import amount, flag, guid, ref, shown, text
from adapters.onec_server.catalogues import SCHEME
from adapters.onec_server.options import zone_of
from adapters.parsing import bad, minor, thousandths
from processing.commands import MAX_LINES, LearnReceipt, Line, Ref

# Documents are long: pages of them stay short (the page, "Big pages crash the app server").
MAX_PAGE = 50
# A set that grows at its end only: what is closed meanwhile moves nothing.
ORDER = "Date,Ref_Key"
# A sweep reads no further back, also after a long silence.
MAX_BACK = timedelta(days=62)

Document = Mapping[str, Any]


def wanted(begun_at: datetime, swept_at: datetime, document: Document, link: Link) -> str:
    """A filter: so many days before the last sweep that came to its end had begun (``swept_at``), by the infobase's
    wall clock, and of the link's shop. However long nobody pulled, MAX_BACK before this sweep are the most."""
    days = timedelta(days=link.options["receipt_days"])
    since = max(min(begun_at, swept_at) - days, begun_at - MAX_BACK).astimezone(zone_of(link))
    shop = link.options["shop"]
    of_shop = f" and {document['shop']} eq {literals.guid(shop)}" if shop else ""
    return f"Date ge {literals.moment(since)}{of_shop}"


def learn(row: Node, document: Document, link: Link) -> Iterator[LearnReceipt]:
    """The receipt; one that is not posted, marked for deletion or without a card counts no more. Errors: BadMessage."""
    told, at, card = ref(row), _moment(row, link), guid(row, document["card"])
    named: dict[str, Any] = {
        "store": link.store,
        "keys": (f"{SCHEME}:receipt:{told}",),
        "document": told,
        "unit": link.options["unit"],
        "at": at,
    }
    if not card or flag(row, "DeletionMark") or not flag(row, "Posted"):
        yield LearnReceipt(**named, withdrawn=True)
        return
    is_return = _is_return(row, document)
    yield LearnReceipt(
        **named,
        card_ref=Ref(SCHEME, card),
        redeemed=_points(row, document.get("redeemed"), is_return),
        earned=_points(row, document.get("earned"), is_return),
        is_return=is_return,
        sale=guid(row, document["sale"]) if document["sale"] else "",
        till=guid(row, document["till"]) if document["till"] else "",
        total_minor=_minor(row, document["total"]) if document["total"] else None,
        lines=tuple(_lines(row, document["lines"])) if "lines" in document else (),
    )


def _is_return(row: Node, document: Document) -> bool:
    said = document.get("returns")
    return bool(document["is_return"]) or (said is not None and shown(row, said["property"]) == said["value"])


def _points(row: Node, said: Mapping[str, Any] | None, is_return: bool) -> int:
    """In hundredths. What a return undoes may be written below nothing: which of them is not known of any 1C."""
    if said is None:
        return 0
    rows = row.get(said["table"]).rows(MAX_LINES) if said["table"] else [row]
    points = sum(_minor(each, name) for each in rows for name in said["points"])
    if points < 0 and not is_return:
        raise bad(f"{row.where}.{said['table'] or said['points'][0]}", points, "points of a sale, not below nothing")
    return abs(points)


def _lines(row: Node, said: Mapping[str, Any]) -> Iterator[Line]:
    for number, each in enumerate(row.get(said["table"]).rows(MAX_LINES), 1):
        yield Line(
            number=number,
            goods=guid(each, said["goods"]),
            quantity_thousandths=thousandths(amount(each, said["quantity"]) or "0", said["quantity"])
            if said["quantity"]
            else 1000,
            sum_minor=_minor(each, said["sum"]) if said["sum"] else 0,
        )


def _minor(row: Node, name: str) -> int:
    return minor(amount(row, name) or "0", f"{row.where}.{name}")


def _moment(row: Node, link: Link) -> datetime:
    """When the receipt was closed. Errors: BadMessage, also for a document without a date."""
    local = queries.local_time(text(row, "Date"), f"{row.where}.Date")
    if local.year == 1:
        raise bad(f"{row.where}.Date", local, "a date")
    return local.replace(tzinfo=zone_of(link)).astimezone(UTC)
