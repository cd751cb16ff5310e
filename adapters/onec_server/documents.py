"""Operations of the books -> 1C's documents of accruals and redemptions, each once, and posted.

A document keeps our id in the property that the mapping names. Every talk looks for it first, goes on from what it
finds (nothing, a document, a posted one), and makes nothing that is there: whoever has lost an answer finds what was
done. Beside it the document is given a GUID that is made of the same id, so that of two that are made at once the
second is refused, where 1C takes the GUID. docs/adapters/onec_server.md, "Documents".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import msgspec

from adapters.contract import Calling, Link, Message, read
from adapters.json_parsing import Node
from adapters.onec_server import literals, odata, published
from adapters.onec_server.answers import EXISTS, accepted, code_of, document, flag, ref
from adapters.onec_server.options import mapping_of, zone_of
from adapters.onec_server.whose import Whose, names, whose
from processing.commands import ReadOperation
from processing.errors import LinkDown, LinkRefused
from processing.results import OperationTold
from processing.units import major

ACCRUAL, REDEMPTION = "accrual", "redemption"
MAX_ROWS = 1_000
_NAMES = UUID("74696c6c-6761-7465-8000-000000000001")

Movements = Sequence[tuple[int, str]]


def tell(message: Message, link: Link) -> Calling[None]:
    """Say an operation. Errors: LinkDown, LinkRefused, BadReply, BadMessage."""
    told = yield from read(ReadOperation(operation_id=int(message.body["operation"])))
    if link.options["operations"] and told.kind not in link.options["operations"]:
        return
    mapping = mapping_of(link)
    for direction in (ACCRUAL, REDEMPTION):
        moved = movements(told, direction, link)
        if moved and "service" in mapping:
            yield from _serve(message, told, direction, moved, link)
        elif moved:
            yield from _document(message, told, direction, moved, link)


def movements(told: OperationTold, direction: str, link: Link) -> Movements:
    """Wallets with so many points, as texts without a sign, that an operation brought or took.

    An operation that takes and brings is told as both: its event has only what came of it.
    """
    sums: dict[int, int] = {}
    ours = [entry for entry in told.entries if entry.account and entry.unit == link.options["unit"]]
    for entry in ours:
        if (entry.amount < 0) == (direction == REDEMPTION):
            sums[entry.account] = sums.get(entry.account, 0) + abs(entry.amount)
    return [(account, major(amount, ours[0].scale)) for account, amount in sums.items() if amount]


def local_time(told: OperationTold, link: Link) -> datetime:
    """When it happened, by the wall clock of 1C."""
    return told.effective_at.astimezone(zone_of(link)).replace(tzinfo=None, microsecond=0)


def mark(message: Message, link: Link, direction: str) -> str:
    """What the document keeps of us; no other link, message or direction has it."""
    return f"tillgate {link.code} {message.id} {direction}"


def guid_of(name: str) -> str:
    """The GUID of the document with this mark."""
    return str(uuid5(_NAMES, name))


# Over OData -------------------------------------------------------------------------------------------------------


def _document(message: Message, told: OperationTold, direction: str, moved: Movements, link: Link) -> Calling[None]:
    mapping = mapping_of(link)
    said = mapping.get("document")
    if said is None or not link.options["programme"]:
        raise LinkRefused("the link names no document of 1C for it, or no programme of points")
    name = mark(message, link, direction)
    found = yield from _found(said, name, link)
    if found is None:
        rows = []
        for account, points in moved:
            rows.append(((yield from whose(account, link)), points))
        found = yield from _made(_values(said, name, told, direction, rows, link), said, link)
    if flag(found, "Posted") or flag(found, "DeletionMark"):
        return  # or somebody in 1C has taken it away
    table = said[direction]["table"]
    if len(found.get(table).rows(MAX_ROWS)) != len(moved):
        raise LinkRefused(f"1C has not kept the rows of {table}: compare the mapping with $metadata")
    accepted((yield from odata.post(link, said["set"], ref(found))))


def _found(said: Mapping[str, Any], name: str, link: Link) -> Calling[Node | None]:
    """The document that is there already, also where somebody has written over its mark."""
    own = literals.any_of("Ref_Key", [literals.guid(guid_of(name))])
    where = f"{said['mark']} eq {literals.text(name)} or {own}"
    rows = yield from odata.find(link, said["set"], where, 1)
    return rows[0] if rows else None


def _made(values: Mapping[str, Any], said: Mapping[str, Any], link: Link) -> Calling[Node]:
    """A new document. Errors: LinkDown where somebody else is making it in this moment."""
    reply = yield from odata.create(link, said["set"], values)
    if code_of(reply) == EXISTS:
        raise LinkDown("the document is being made by somebody else")
    return document(reply)


def _values(
    said: Mapping[str, Any],
    name: str,
    told: OperationTold,
    direction: str,
    rows: Sequence[tuple[Whose, str]],
    link: Link,
) -> dict[str, Any]:
    part = said[direction]
    table = [
        {"LineNumber": str(number), part["who"]: who.ref, **dict.fromkeys(part["points"], msgspec.Raw(points.encode()))}
        for number, (who, points) in enumerate(rows, 1)
    ]
    kind = said.get("kind")
    return {
        "Ref_Key": guid_of(name),
        "Date": literals.wall(local_time(told, link)),
        said["mark"]: name,
        said["programme"]: link.options["programme"],
        **({kind["property"]: kind[direction]} if kind else {}),
        **{field: literals.plain(value) for field, value in link.options["document_fields"].items()},
        part["table"]: table,
    }


# By a service -----------------------------------------------------------------------------------------------------


def _serve(message: Message, told: OperationTold, direction: str, moved: Movements, link: Link) -> Calling[None]:
    telling = mapping_of(link)["service"].get("movement")
    if telling is None:
        raise LinkRefused("the mapping names no operation for it")
    for account, points in moved:
        said, called = Decimal(points), (yield from names(account, link))
        words = {
            "id": f"{mark(message, link, direction)} {account}",
            "card": called.numbers[0],
            "guid": next(iter(called.guids), ""),
            "at": local_time(told, link),
            "accrued": said if direction == ACCRUAL else Decimal(0),
            "redeemed": said if direction == REDEMPTION else Decimal(0),
            "kind": told.kind,
        }
        yield from published.tell(telling, words)
