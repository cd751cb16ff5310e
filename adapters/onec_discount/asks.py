"""What the service's operations ask of the core.

A document of 1C is two receipts of ours, one of its sales and one of its points, for each comes, changes and goes by
itself: docs/adapters/onec_discount.md, "Documents".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.contract import Link, WireRequest
from adapters.onec.guids import ref_of
from adapters.onec_discount.messages import Document, Fields, Moved, Sold, document, moved, sold
from adapters.parsing import bad, bounded
from processing.commands import (
    MAX_CARDS,
    Amount,
    CardUse,
    Identify,
    Line,
    PostReceipt,
    ReadLastPurchase,
    ReadLots,
    ReadTurnover,
    Receipt,
    Ref,
    ReturnReceipt,
    VoidReceipt,
)
from processing.errors import Refusal

PREFIX = "onec-discount:"
# The protocol has no tills in it.
TILL = "1c"

Update = PostReceipt | ReturnReceipt | VoidReceipt


def sales_key(guid: str) -> str:
    """The request key of a document's sales: its GUID, which it has for ever."""
    return f"{PREFIX}sales:{guid}"


def bonuses_key(guid: str) -> str:
    """The request key of a document's points."""
    return f"{PREFIX}bonuses:{guid}"


# Documents ---------------------------------------------------------------------------------------------------


def update_sales(told: Fields, request: WireRequest, link: Link) -> Update:
    """The document's sales as they are now; without rows there are none. Errors: BadMessage."""
    rows = [sold(row, link.zone) for row in told.rows("ТаблицаТоваров")]
    named = document(told, rows)
    if not rows:
        return _void(sales_key(named.guid), request, link)
    total = bounded(sum(row.sum_minor for row in rows), told.place("ТаблицаТоваров"))
    spent: dict[str, int] = {}
    for row in rows:
        spent[row.card] = spent.get(row.card, 0) + row.sum_minor
    # Points are the other half of the document; the programme of the link gives none for this one. A receipt moves the
    # turnover of all its cards one way: what a card moves against the total is not told.
    own = {card: max(sum_minor if total >= 0 else -sum_minor, 0) for card, sum_minor in spent.items() if card}
    cards = _checked([CardUse(refs=(ref_of(card),), earn=(), spend_minor=own[card]) for card in own])
    receipt = _receipt(named, rows, link, abs(total), _lines(rows))
    if total < 0:
        # A return at the desk is a document of its own and does not say of what.
        return ReturnReceipt(receipt=receipt, cards=cards, **_version(sales_key(named.guid), named, request, link))
    return PostReceipt(receipt=receipt, cards=cards, **_version(sales_key(named.guid), named, request, link))


def update_bonuses(told: Fields, request: WireRequest, link: Link) -> Update:
    """The document's points as they are now; without rows there are none. Errors: BadMessage."""
    rows = [moved(row, link.zone) for row in told.rows("ТаблицаБонусов")]
    named = document(told, rows)
    sums = points(rows)
    if not sums:
        return _void(bonuses_key(named.guid), request, link)
    unit = link.options["unit"]
    cards = _checked(
        [
            CardUse(
                refs=(ref_of(card),),
                redeem=(Amount(unit, bounded(taken, told.where)),) if taken else (),
                earn=(Amount(unit, bounded(given, told.where)),) if given else (),
            )
            for card, (given, taken) in sums.items()
        ]
    )
    receipt = _receipt(named, rows, link)
    return PostReceipt(receipt=receipt, cards=cards, **_version(bonuses_key(named.guid), named, request, link))


def points(rows: Sequence[Moved]) -> dict[str, tuple[int, int]]:
    """What each card gets and pays, by the original's rule that a balance is what was accrued less what is due.

    What is due only later than the document is its plan of expiry: when points end says the programme of the card.
    Rows without a card are nobody's.
    """
    begun = min((row.at for row in rows), default=None)
    sums: dict[str, tuple[int, int]] = {}
    for row in rows:
        change = row.accrued - (row.due if row.at == begun else 0)
        if row.card and change:
            given, taken = sums.get(row.card, (0, 0))
            sums[row.card] = (given + max(change, 0), taken + max(-change, 0))
    return sums


def _void(key: str, request: WireRequest, link: Link) -> VoidReceipt:
    return VoidReceipt(store=link.store, keys=(key,), reason="return", stamp=request.at, receipts_only=True)


def _version(key: str, named: Document, request: WireRequest, link: Link) -> dict[str, Any]:
    """Whatever comes last counts: 1C sends a document as it is now, again and again until it hears ``true``."""
    return {
        "store": link.store,
        "keys": (key,),
        "content": named.content,
        "stamp": request.at,
        "supersede": True,
        "fact": True,
    }


def _receipt(
    named: Document, rows: Sequence[Sold] | Sequence[Moved], link: Link, total: int = 0, lines: tuple[Line, ...] = ()
) -> Receipt:
    at = min(row.at for row in rows)
    return Receipt(
        number=named.guid,
        till=TILL,
        business_date=at.astimezone(link.zone).date(),
        closed_at=at,
        total_minor=total,
        lines=lines,
    )


def _lines(rows: Sequence[Sold]) -> tuple[Line, ...]:
    """The goods, at what they cost. Where some come back and others go they cancel out, and the total stands alone."""
    if len({row.sum_minor < 0 for row in rows if row.sum_minor}) > 1:
        return ()
    return tuple(
        Line(
            number=n,
            goods=row.goods,
            quantity_thousandths=abs(row.quantity_thousandths) or 1000,
            sum_minor=abs(row.sum_minor),
        )
        for n, row in enumerate(rows, 1)
    )


def _checked(cards: list[CardUse]) -> tuple[CardUse, ...]:
    if len(cards) > MAX_CARDS:
        raise bad("ИдентификаторКарты", len(cards), f"at most {MAX_CARDS} cards")
    return tuple(cards)


# Questions ---------------------------------------------------------------------------------------------------


def card(told: Fields) -> tuple[Ref, ...]:
    """Errors: BadMessage."""
    name = told.guid("ИдентификаторКарты")
    if not name:
        raise bad(told.place("ИдентификаторКарты"), name, "a GUID")
    return (ref_of(name),)


def turnover(told: Fields, link: Link) -> ReadTurnover:
    """Errors: BadMessage, Refusal (a segment)."""
    return ReadTurnover(
        refs=card(told),
        since=told.day("ДатаНачала"),
        until=told.day("ДатаОкончания"),
        store=link.store,
        without=_without(told),
    )


def last_purchase(told: Fields, link: Link) -> ReadLastPurchase:
    """Errors: BadMessage, Refusal (a segment)."""
    return ReadLastPurchase(refs=card(told), until=told.day("ДатаРасчета"), store=link.store, without=_without(told))


def balance(told: Fields, link: Link) -> Identify:
    """Errors: BadMessage."""
    return Identify(store=link.store, refs=card(told))


def lots(told: Fields) -> ReadLots:
    """Errors: BadMessage."""
    return ReadLots(refs=card(told))


def _without(told: Fields) -> str:
    """The key of the document that is left out. Errors: BadMessage, Refusal for a segment, which only 1C knows."""
    if told.guid("ИдентификаторСегмента"):
        raise Refusal("segments of goods are 1C's own", hint="segments_unknown")
    name = told.guid("ИдентификаторИсключаемогоДокументта")
    return sales_key(name) if name else ""
