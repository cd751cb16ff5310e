"""What a package does with each card: what is paid from which purse, earned, spent and loaded.

Money rule: the records (kopecks) are the authority for purses, the check (roubles) for goods. Page:
docs/adapters/rkeeper.md, "Cards and purses".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adapters.parsing import bad, code
from adapters.rkeeper.messages import (
    BONUS,
    PAYMENT,
    SPENDING,
    Message,
    Part,
    Record,
    card_number,
    holder_codes,
    spellings,
)
from adapters.rkeeper.options import units_by_number
from processing.commands import MAX_CARDS, Amount, CardUse, Ref
from processing.errors import CardNotFound, UnitNotFound
from processing.units import spread

Options = Mapping[str, Any]

# 1 cash, 2 bank card, 3 other.
CASH, BANK_CARD = "1", "2"

# Notes for the operator.
PURSE_SUMS_DIFFER = "purse_sums_differ"

# Card -> unit -> kopecks.
ByPurse = dict[int, dict[str, int]]


class Sums(msgspec.Struct):
    """What the records of one card add up to, positive in a sale; ``earned`` None: no Kind 2 came.

    ``loaded`` are payments of the other sign, where the link takes them as top-ups.
    """

    redeemed: int = 0
    loaded: int = 0
    earned: int | None = None
    spent: int = 0


def cards_of_records(
    sums: Mapping[int, Sums], by_purse: ByPurse, message: Message, options: Options
) -> tuple[CardUse, ...]:
    """What the records do with each card, in the order of their first records. Errors: BadMessage, UnitNotFound."""
    if len(sums) > MAX_CARDS:
        raise bad("TransactionsEx@Card", len(sums), f"at most {MAX_CARDS} cards")
    spelled = spellings(message)
    return tuple(
        [
            CardUse(
                refs=refs([spelled.get(card, ""), str(card)]),
                redeem=_redeem(of.redeemed, by_purse.get(card, {}), options),
                earn=_earn(of.earned, options),
                spend_minor=of.spent,
                top_up=(Amount(top_up_unit(options), of.loaded),) if of.loaded else (),
            )
            for card, of in sums.items()
        ]
    )


def cards_of_holders(message: Message, total_minor: int) -> tuple[CardUse, ...]:
    """The cards of a check that came without records: they only accrue, sharing the total."""
    held = holder_codes(message)
    if len(held) > MAX_CARDS:
        raise bad("HOLDERS/ITEM", len(held), f"at most {MAX_CARDS} cards")
    shares = spread(total_minor, [1] * len(held)) if held else []
    return tuple(
        CardUse(refs=refs([code(name, "HOLDERS/ITEM@cardcode")]), spend_minor=share)
        for name, share in zip(held, shares, strict=True)
    )


def sums_by_card(records: Sequence[Record], options: Options) -> dict[int, Sums]:
    """The sums of each card. Errors: CardNotFound for card 0."""
    sums: dict[int, Sums] = {}
    for record in records:
        if record.card == 0:
            raise CardNotFound("a record names card 0", where=f"{record.where}@Card")
        of = sums.get(record.card)
        if of is None:
            of = sums[record.card] = Sums()
        if record.kind == PAYMENT and record.summa > 0 and loads_by_sign(options):
            of.loaded += record.summa
        elif record.kind == PAYMENT:
            of.redeemed -= record.summa
        elif record.kind == BONUS:
            of.earned = (of.earned or 0) + record.summa
        elif record.kind == SPENDING:
            of.spent += record.summa
    return sums


def purse_payments(paid: Sequence[Part], options: Options) -> ByPurse:
    """What the check says was paid from each purse; a negative payment loads one where the link says so."""
    found: ByPurse = {}
    for part in paid:
        unit, card = purse_unit(part, options), card_number(part.cardcode)
        if unit and card and not (part.base < 0 and loads_by_sign(options)):
            by_unit = found.setdefault(card, {})
            by_unit[unit] = by_unit.get(unit, 0) + part.base
    return found


def purse_unit(part: Part, options: Options) -> str:
    """The unit of the purse that this payment is from, by the link's map of currencies; or nothing."""
    purse = options["purses"].get(part.code)
    return purse["unit"] if purse and part.cardcode and part.paytype not in (CASH, BANK_CARD) else ""


def doubts(sums: Mapping[int, Sums], by_purse: ByPurse) -> tuple[str, ...]:
    """Notes: the check's purse payments and the records' Kind 0 do not agree for some card."""
    told = [(of.redeemed, by_purse.get(card, {})) for card, of in sums.items()]
    told += [(0, by_unit) for card, by_unit in by_purse.items() if card not in sums]
    return (PURSE_SUMS_DIFFER,) if [each for each in told if not _agree(*each)] else ()


def default_unit(options: Options) -> str:
    """The unit of whatever does not tell its purse. Errors: UnitNotFound."""
    unit: str = options["default_purse"]
    if not unit:
        raise UnitNotFound("the link has no purses", option="purses")
    return unit


def top_up_unit(options: Options) -> str:
    """The unit that is topped up. Errors: UnitNotFound."""
    unit: str = options["top_up_unit"]
    return unit or default_unit(options)


def loads_by_sign(options: Options) -> bool:
    """Whether a payment of the other sign loads a card wherever it comes from."""
    return options["top_up_records"] and not options["top_up_restaurants"]


def refs(codes: Sequence[str]) -> tuple[Ref, ...]:
    """Names of one card, each once."""
    return tuple([Ref("card", name) for name in dict.fromkeys(codes) if name])


def _redeem(redeemed: int, by_unit: Mapping[str, int], options: Options) -> tuple[Amount, ...]:
    """The records' amount, by purse where the check agrees with it, else whole from the default purse."""
    if redeemed == 0:
        return ()
    if _agree(redeemed, by_unit):
        return tuple(Amount(unit, by_unit[unit]) for unit in units_by_number(options).values() if by_unit.get(unit))
    return (Amount(default_unit(options), redeemed),)


def _earn(earned: int | None, options: Options) -> tuple[Amount, ...] | None:
    """What r_keeper has computed; None leaves it to the programme, unless the link says r_keeper does it."""
    if earned is None:
        return () if options["bonuses"] else None
    return (Amount(default_unit(options), earned),) if earned else ()


def _agree(redeemed: int, by_unit: Mapping[str, int]) -> bool:
    return sum(by_unit.values()) == redeemed and min(by_unit.values(), default=0) >= 0
