"""A finished document -> what we ask of the core: a sale or a return, facts both.

Pages: docs/adapters/frontol-files.md, "Payments", "Cards and bonuses", "Refunds". All is by the numbers of the types of
transactions, of which there are two generations: a link's option says which one its tills write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from adapters.contract import Link
from adapters.frontol import keys
from adapters.frontol.report_documents import CLOSED, CLOSED_NON_FISCAL, OPENED, Document, day_of
from adapters.frontol.report_goods import ITEMS, STORNOS, Item, items, lines, money, quantity
from adapters.frontol.report_journal import Journal
from adapters.frontol.report_lines import code_of, field, name_of
from adapters.frontol.report_options import BONUS, DISCOUNT, OLD, OWN_TILL, PAYMENT, TILL
from adapters.parsing import bad, bounded, code
from processing.commands import (
    MAX_CARDS,
    Amount,
    CardUse,
    Line,
    PostReceipt,
    Receipt,
    Ref,
    ReturnLine,
    ReturnReceipt,
    Tender,
)
from processing.units import spread

Options = Mapping[str, Any]
Rows = Mapping[str, Sequence[list[str]]]

# Operations (field 13) that are receipts; all others are none.
SALE, REFUND = "0", "1"
KINDS: dict[str, keys.Kind] = {SALE: keys.SALE, REFUND: keys.REFUND}
# Operations of payment kinds (field 10 of 36, 40 and 41).
CASH, BANK_CARD, USER_DEFINED, WITH_CASH_OUT = "0", "1", "7", "9"
GIFT_CARDS = ("6", "8")
TenderKind = Literal["cash", "bank_card", "purse", "other"]
TENDERS: dict[str, TenderKind] = {CASH: "cash", BANK_CARD: "bank_card", WITH_CASH_OUT: "bank_card"}
# Types of discounts (field 10 of 15, 17, 35 and 37): an external loyalty system's, and one of a scenario.
LOYALTY_DISCOUNTS = ("10", "11")
# Field 10 of 9, 10, 32 and 33: the bonus of an external system, which the till has asked.
EXTERNAL = "1"
# Special ways of authorisation in front of a card's number.
CARD_MARKS = "@#$"
# Rounding of the receipt and what the till throws away: so much sums may differ.
ROUNDING_MINOR = 100

# Notes for the operator.
SUMS_DIFFER, NO_UNIT, BASE_UNKNOWN, STORNO = "sums_differ", "bonus_without_unit", "base_unknown", "storno"


@dataclass(frozen=True, slots=True)
class Numbering:
    """Which types are discounts, mark-ups and payments that are not fiscal."""

    discounts: tuple[str, ...]
    mark_ups: tuple[str, ...]
    non_fiscal: tuple[str, ...]


FISCAL, BONUS_PAID, BONUS_BACK, PREPAID = ("40", "41"), ("32",), ("33",), ("34",)
ACCRUED, ACCRUED_BACK = ("9",), ("10",)
NUMBERINGS = {
    True: Numbering(("5", "7", "15", "17", "35", "37"), ("6", "8", "16", "18", "36", "38"), ()),
    False: Numbering(("15", "17", "35", "37"), (), ("36",)),
}


def operation(document: Document) -> str:
    """What the document is (field 13): 0 a sale, 1 a refund, others are no receipts. Errors: BadMessage."""
    return field(closing(document.by_type(), document), 13)


def closing(rows: Rows, document: Document) -> list[str]:
    """The line that closes it. Errors: BadMessage."""
    found = rows.get(CLOSED) or rows.get(CLOSED_NON_FISCAL)
    if not found:
        raise bad(str(document.name), "", "a line that closes the document")
    return found[-1]


def ask(document: Document, journal: Journal, link: Link) -> PostReceipt | ReturnReceipt | None:
    """The sale or return that the document tells; ``None``: it is neither. Errors: BadMessage."""
    rows = document.by_type()
    last = closing(rows, document)
    kind = KINDS.get(field(last, 13))
    if kind is None:
        return None
    return _Telling(document, rows, last, kind, journal, link).ask()


class _Telling:
    """One document while it is read."""

    def __init__(
        self,
        document: Document,
        rows: Rows,
        last: list[str],
        kind: keys.Kind,
        journal: Journal,
        link: Link,
    ) -> None:
        self.name, self.rows, self.last, self.kind = document.name, rows, last, kind
        self.journal, self.link = journal, link
        self.options: Options = link.options["reports"]
        self.numbering = NUMBERINGS[self.options["numbering"] == OLD]
        self.notes: list[str] = []

    def ask(self) -> PostReceipt | ReturnReceipt:
        """Errors: BadMessage."""
        closed_at = moment(self.last)
        name = self.name
        paid = self._paid()
        digest = keys.content(self.kind, paid)
        epoch = keys.epoch_of(self.link.options, name.workplace)
        stamp = closed_at.replace(tzinfo=self.link.zone).astimezone(UTC)
        found = items(self._items())
        self._check_whole(found)
        receipt, cards = self._receipt(found, closed_at, stamp), self._cards()
        told: dict[str, Any] = {
            "store": self.link.store,
            "keys": keys.names(name.workplace, name.shift, name.number, closed_at, digest, epoch),
            "content": digest,
            "receipt": receipt,
            "cards": cards,
            "stamp": stamp,
            "fact": True,
        }
        if self.kind == keys.SALE:
            self.journal.sales.add(name, closed_at.date())
            return PostReceipt(**told, notes=tuple(self.notes))
        sale = self._sale(closed_at, epoch)
        return ReturnReceipt(**told, sale=sale, lines=returned(receipt.lines), notes=tuple(self.notes))

    # Money --------------------------------------------------------------------------------------------------

    def _of(self, kinds: Sequence[str]) -> list[list[str]]:
        return [fields for kind in kinds for fields in self.rows.get(kind, ())]

    def _sum(self, kinds: Sequence[str]) -> int:
        """The sums of these lines without their signs, which differ between refunds and tills."""
        return sum(abs(money(field(fields, 12))) for fields in self._of(kinds))

    def _fiscal(self) -> int:
        """Fiscal payments: change is a negative one. Those of a refund are negative, or not."""
        told = sum(money(field(fields, 12)) for fields in self._of(FISCAL))
        return abs(told) if self.kind == keys.REFUND else told

    def _paid(self) -> int:
        """40 + 41 + 32 + 34 + 36 - 33, and nothing of 43, 49, 82 to 84 and 86, which say the same again.

        Channels may leave payments out: then it is the total. In a refund the bonus that goes back has type 33.
        """
        total = abs(money(field(self.last, 12)))
        extra = self._sum((*BONUS_PAID, *PREPAID, *self.numbering.non_fiscal))
        back = self._sum(BONUS_BACK)
        paid = self._fiscal() + extra + (back if self.kind == keys.REFUND else -back)
        if not any(self._of((*FISCAL, *BONUS_PAID, *PREPAID, *self.numbering.non_fiscal))):
            return total
        if abs(paid - total) > ROUNDING_MINOR:
            self.notes.append(SUMS_DIFFER)
        return bounded(paid, "payments")

    def _discounts(self, only: Sequence[str] = ()) -> int:
        """What discounts took off, less mark-ups; ``only`` those of these types of discount (field 10)."""
        told = [
            (money(field(fields, 12)), sign)
            for kinds, sign in ((self.numbering.discounts, 1), (self.numbering.mark_ups, -1))
            for fields in self._of(kinds)
            if not only or field(fields, 10) in only
        ]
        return sum(amount * sign for amount, sign in told) * (-1 if self._is_negative(told) else 1)

    @staticmethod
    def _is_negative(told: Sequence[tuple[int, int]]) -> bool:
        """Whether the lines carry the sign of a refund."""
        return sum(amount for amount, _ in told) < 0

    # The receipt ---------------------------------------------------------------------------------------------

    def _check_whole(self, found: Sequence[Item]) -> None:
        """Errors: BadMessage for the end of a document whose beginning was in a file that nobody has.

        The opening line says that it is whole; where channels leave that out, quantity or sum of the items do.
        """
        if self.rows.get(OPENED):
            return
        told, total = field(self.last, 11), abs(money(field(self.last, 12)))
        if told and sum(item.quantity for item in found) == quantity(told):
            return
        if abs(sum(item.sum for item in found) - total) > ROUNDING_MINOR or told:
            raise bad(str(self.name), "", "its beginning: there is no line 42, and the items are not all")

    def _receipt(self, found: Sequence[Item], closed_at: datetime, stamp: datetime) -> Receipt:
        last = self.last
        if any(not item.quantity for item in found):
            self.notes.append(STORNO)
        loyalty = self._discounts(LOYALTY_DISCOUNTS) if DISCOUNT in self.options["redeemed_as"] else 0
        total = abs(money(field(last, 12))) + loyalty
        cashier = field(last, 7)
        return Receipt(
            number=code(self.name.number, "field 6"),
            till=code(self.name.workplace, "field 5"),
            business_date=closed_at.date(),
            shift=code(self.name.shift, "field 14"),
            closed_at=stamp,
            total_minor=bounded(total, "field 12"),
            discount_minor=bounded(self._discounts() - loyalty, "discounts"),
            lines=lines(found, total),
            tenders=tuple(self._tenders()),
            cashier=code(name_of(cashier) or code_of(cashier), "field 7"),
        )

    def _items(self) -> list[list[str]]:
        """Items and stornos in the order of their numbers."""
        return sorted(self._of((*ITEMS, *STORNOS)), key=lambda fields: int(fields[0]))

    def _tenders(self) -> list[Tender]:
        sign = -1 if self.kind == keys.REFUND and sum(money(field(f, 12)) for f in self._of(FISCAL)) < 0 else 1
        found = []
        for fields in self._of(FISCAL):
            how = field(fields, 10)
            unit = self._points() if how == USER_DEFINED and PAYMENT in self.options["redeemed_as"] else ""
            amount = money(field(fields, 12)) * sign
            kind: TenderKind = "purse" if unit else TENDERS.get(how, "other")
            found.append(Tender(code=code_of(field(fields, 9)), kind=kind, amount_minor=amount, unit=unit))
        bonus = self._sum(BONUS_PAID) - self._sum(BONUS_BACK)
        if bonus:
            found.append(Tender(code="bonus", kind="purse", amount_minor=abs(bonus), unit=self._points()))
        for fields in self._of((*PREPAID, *self.numbering.non_fiscal)):
            amount = abs(money(field(fields, 12)))
            found.append(Tender(code=code_of(field(fields, 9)) or fields[3], kind="other", amount_minor=amount))
        return found

    # Cards ---------------------------------------------------------------------------------------------------

    def _points(self) -> str:
        return self.options["points"]["unit"] if self.options["points"] else ""

    def _cards(self) -> tuple[CardUse, ...]:
        """What the receipt does with each of its cards: the first one takes what names none."""
        numbers = self._numbers()
        redeemed = self._redeemed(numbers[0] if numbers else "")
        told = list(dict.fromkeys([*numbers, *redeemed]))
        earned = self._earned()
        own = max(abs(money(field(self.last, 12))) - sum(redeemed.values()), 0)
        shares = spread(own, [1] * len(told)) if told else []
        unit = self._points()
        found = [
            CardUse(
                refs=refs(number),
                redeem=(Amount(unit, redeemed[number]),) if redeemed.get(number) else (),
                earn=earned if place == 0 or earned is None else (),
                spend_minor=share,
            )
            for place, (number, share) in enumerate(zip(told, shares, strict=True))
        ]
        if not told and (client := self._client()):
            found.append(CardUse(refs=client, earn=earned, spend_minor=own))
        found += self._gift_cards()
        if len(found) > MAX_CARDS:
            raise bad("field 8", len(found), f"at most {MAX_CARDS} cards")
        return tuple(found)

    def _numbers(self) -> list[str]:
        """The cards of the closing line, else of the opening one: joined by ``|``, with marks in front."""
        told = field(self.last, 8)
        if not told:
            told = next((field(fields, 8) for fields in self.rows.get(OPENED, ())), "")
        return list(dict.fromkeys(filter(None, map(card, told.replace("¦", "|").split("|")))))

    def _client(self) -> tuple[Ref, ...]:
        """The client's code in field 15 of the opening line, where the link says what it means."""
        scheme = self.options["client_scheme"]
        told = next((field(fields, 15) for fields in self.rows.get(OPENED, ())), "") if scheme else ""
        return (Ref(scheme, code(code_of(told), "field 15")),) if told.strip("0") else ()

    def _redeemed(self, first: str) -> dict[str, int]:
        """What was paid with points, by card; a refund gives it back."""
        ways = self.options["redeemed_as"]
        found: dict[str, int] = {}

        def add(number: str, amount: int) -> None:
            found[number or first] = found.get(number or first, 0) + amount

        if BONUS in ways:
            for kinds, sign in ((BONUS_PAID, 1), (BONUS_BACK, -1)):
                for fields in self._of(kinds):
                    if self._is_ours(fields):
                        add(card(field(fields, 8)), sign * abs(money(field(fields, 12))))
        if PAYMENT in ways:
            for fields in self._of(FISCAL):
                if field(fields, 10) == USER_DEFINED:
                    add("", abs(money(field(fields, 12))))
        if DISCOUNT in ways and (discount := self._discounts(LOYALTY_DISCOUNTS)):
            add("", discount)
        told = {number: abs(amount) for number, amount in found.items() if amount}
        if told and not self._points():
            self.notes.append(NO_UNIT)
            return {}
        return {number: bounded(amount, "bonus") for number, amount in told.items() if number}

    def _is_ours(self, fields: list[str]) -> bool:
        """Whether a bonus is one of our books: what an external system has said, or all that the till tells."""
        return bool(self.options["bonus"] == TILL or field(fields, 10) == EXTERNAL)

    def _earned(self) -> tuple[Amount, ...] | None:
        """What the till has given, where the link takes that; ``None`` leaves it to the programme."""
        if self.options["bonus"] != TILL:
            return None
        amount = abs(self._sum(ACCRUED) - self._sum(ACCRUED_BACK))
        return (Amount(self._points(), bounded(amount, "bonus")),) if amount else ()

    def _gift_cards(self) -> list[CardUse]:
        """Gift cards that paid (36), where the link says in which unit."""
        if not self.options["gift_cards"]:
            return []
        paid: dict[str, int] = {}
        for fields in self._of(self.numbering.non_fiscal):
            number = card(field(fields, 8))
            if number and field(fields, 10) in GIFT_CARDS:
                paid[number] = paid.get(number, 0) + abs(money(field(fields, 12)))
        unit = self.options["gift_cards"]["unit"]
        return [CardUse(refs=refs(number), redeem=(Amount(unit, paid[number]),), earn=()) for number in paid]

    # Refunds -------------------------------------------------------------------------------------------------

    def _sale(self, closed_at: datetime, epoch: int) -> str:
        """The key of the sale whose number stands in field 25; empty where nobody can tell which that is."""
        opened = next(iter(self.rows.get(OPENED, ())), self.last)
        told = field(self.last, 25) or field(opened, 25)
        if not told.strip("0") or self.options["refund_base"] != OWN_TILL:
            return ""
        found = self.journal.sales.find(self.name.workplace, told, closed_at.date())
        if found is None:
            self.notes.append(BASE_UNKNOWN)
            return ""
        shift, day = found
        return keys.natural(self.name.workplace, shift, told, day, epoch)


def returned(told: Sequence[Line]) -> tuple[ReturnLine, ...]:
    """What comes back, by goods; a line of which nothing is left tells nothing."""
    amounts: dict[str, int] = {}
    for line in told:
        if line.quantity_thousandths:
            amounts[line.goods] = amounts.get(line.goods, 0) + line.quantity_thousandths
    return tuple(ReturnLine(goods=goods, quantity_thousandths=amount) for goods, amount in amounts.items())


def card(text: str) -> str:
    """The number of a card without the mark of how it was entered. Errors: BadMessage."""
    told = text.strip()
    return code(told[1:] if told[:1] and told[0] in CARD_MARKS else told, "field 8")


def refs(number: str) -> tuple[Ref, ...]:
    """A card's names: what was read may be its number or its barcode."""
    return Ref("card", number), Ref("barcode", number)


def moment(fields: list[str]) -> datetime:
    """Date and local time of a line; the hour may lack its zero. Errors: BadMessage."""
    return datetime.combine(day_of(fields[1]), _time(fields[2]).time())


@lru_cache(maxsize=4096)
def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text.strip(), "%H:%M:%S")  # noqa: DTZ007  # a time without a day has no zone
    except ValueError:
        raise bad("time", text, "H:MM:SS") from None
