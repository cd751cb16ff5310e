"""Value that comes to a card without a purchase: top-ups in their three conventions, and bonuses of scripts.

The protocol has no flag for a top-up, so a link says by which of them its tills tell one. Page:
docs/adapters/rkeeper.md, "Top-ups".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adapters.contract import Link, WireRequest
from adapters.parsing import bad, bounded
from adapters.rkeeper.cards import default_unit, loads_by_sign, top_up_unit
from adapters.rkeeper.keys import content_digest, names_a_receipt, records_key, stamp
from adapters.rkeeper.messages import BONUS, PAYMENT, Message, Record, spellings
from processing.commands import Accrue, Amount, CardUse, Line, Ref, TopUp, VoidReceipt
from processing.errors import CardNotFound, Refusal

Options = Mapping[str, Any]

# chmode of a call that a script makes, not a receipt.
SCRIPT = "0"

# What a script's bonus becomes, and how a line that loads a card is marked.
RECEIPT, TOP_UP = "receipt", "top_up"
# Enough of a digest to tell the calls of one receipt apart.
DIGITS_IN_KEY = 16

WithoutPurchase = TopUp | Accrue | VoidReceipt


# 1. A dish


def marked_lines(goods: tuple[Line, ...], options: Options) -> tuple[Line, ...]:
    """The lines, those of dishes that load a card marked as such."""
    dishes = options["top_up_dishes"]
    if not dishes:
        return goods
    return tuple(msgspec.structs.replace(line, kind=TOP_UP) if line.goods in dishes else line for line in goods)


def with_loaded_lines(cards: tuple[CardUse, ...], goods: Sequence[Line], options: Options) -> tuple[CardUse, ...]:
    """The cards, the only one loaded with what the marked lines cost.

    Errors: Refusal when the receipt has not one card, for nobody can tell whose money it is; BadMessage.
    """
    sums = [line.sum_minor for line in goods if line.kind == TOP_UP]
    if not any(sums):
        return cards
    if min(sums) < 0:
        raise bad("LINE@sum", min(sums), "a positive sum for a top-up")
    if len(cards) != 1:
        raise Refusal("a top-up needs one card in the receipt", hint="top_up_one_card", cards=len(cards))
    (card,) = cards
    loaded = sum(sums) + sum(amount.amount for amount in card.top_up)
    return (msgspec.structs.replace(card, top_up=(Amount(top_up_unit(options), loaded),)),)


# 2. and 3. Records without a receipt


def without_purchase(message: Message, request: WireRequest, link: Link) -> WithoutPurchase | None:
    """What a package that records alone tell asks for where it is no purchase; None where it is one.

    Errors: BadMessage, CardNotFound, UnitNotFound.
    """
    told = [record for record in message.records if record.summa]
    if _all(told, PAYMENT) and _loads(told, link.options):
        if told[0].summa < 0:
            return _void(records_key(message.records), message, request, link)
        return _top_up(records_key(message.records), told, message, link)
    scripted = message.check.get("chmode") == SCRIPT and link.options["script_bonus"] != RECEIPT
    return _script_bonus(told, message, request, link) if scripted and _all(told, BONUS) else None


def is_top_up_till(number: int | None, options: Options) -> bool:
    """Whether only top-ups come under this restaurant's number."""
    return options["top_up_records"] and number in options["top_up_restaurants"]


def _loads(records: Sequence[Record], options: Options) -> bool:
    """Whether these payments load a card, or undo that, instead of paying and undoing it.

    Where top-ups have restaurant numbers of their own, these decide, both ways. Elsewhere any payment of the
    other sign loads: under the key that its receipt would have, so that one which undoes a known receipt is
    refused by the core as other content under the same key, and never books a top-up beside it.
    """
    if loads_by_sign(options):
        return records[0].summa > 0
    return all(is_top_up_till(record.restaurant, options) for record in records)


def _top_up(key: str, records: Sequence[Record], message: Message, link: Link) -> TopUp:
    """Errors: BadMessage without a number that would tell a second top-up from a repeat."""
    if not names_a_receipt(records):
        raise bad(f"{records[0].where}@RKCheck", records[0].fields.get("rkcheck", ""), "a number for the top-up")
    return TopUp(
        store=link.store,
        keys=(key,),
        content=content_digest(message.records),
        card=_card(records, message),
        amount=Amount(top_up_unit(link.options), _sum(records)),
    )


def _script_bonus(records: Sequence[Record], message: Message, request: WireRequest, link: Link) -> WithoutPurchase:
    """A script's Kind 2: points, or money where the link says so.

    Scripts call as often as they like during one receipt: the content is a part of the key. A call that names
    no receipt is known by its likeness alone, for a while.
    """
    digest = content_digest([_positive(record) for record in message.records])
    key = f"{records_key(message.records)}:{digest[:DIGITS_IN_KEY]}"
    if records[0].summa < 0:
        return _void(key, message, request, link)
    if link.options["script_bonus"] == TOP_UP:
        return _top_up(key, records, message, link)
    named = names_a_receipt(records)
    return Accrue(
        store=link.store,
        keys=(key,) if named else (),
        content=digest,
        card=_card(records, message),
        amount=Amount(default_unit(link.options), _sum(records)),
        likeness="" if named else key,
        window_seconds=0 if named else link.options["script_window_seconds"],
    )


def _void(key: str, message: Message, request: WireRequest, link: Link) -> VoidReceipt:
    return VoidReceipt(
        store=link.store,
        keys=(key,),
        content=content_digest(message.records),
        reason="return",
        stamp=stamp(message, request, link),
    )


def _all(records: Sequence[Record], kind: int) -> bool:
    """Whether there are records, all of this kind, which point the same way."""
    return bool(records) and all(
        record.kind == kind and (record.summa > 0) == (records[0].summa > 0) for record in records
    )


def _card(records: Sequence[Record], message: Message) -> Ref:
    """The one card of the records, as the check spells it. Errors: CardNotFound for card 0, BadMessage."""
    for record in records:
        if record.card != records[0].card:
            raise bad(f"{record.where}@Card", record.card, "the card of the records before it")
    card = records[0].card
    if card == 0:
        raise CardNotFound("a record names card 0", where=f"{records[0].where}@Card")
    return Ref("card", spellings(message).get(card, str(card)))


def _sum(records: Sequence[Record]) -> int:
    return bounded(sum(record.summa for record in records), "Summa")


def _positive(record: Record) -> Record:
    return msgspec.structs.replace(record, summa=abs(record.summa))
