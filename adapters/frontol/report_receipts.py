"""A finished document -> what we ask of the core: a sale or a return, facts both.

Pages: docs/adapters/frontol-files.md, "Payments", "Cards and bonuses", "Refunds". All is by the numbers of the types of
transactions, of which there are two generations: a link's option says which one its tills write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any, Literal

from adapters.contract import Link
from adapters.frontol import keys
from adapters.frontol.report_documents import CLOSED, CLOSED_NON_FISCAL, OPENED, Document, Rows, day_of
from adapters.frontol.report_goods import ITEMS, STORNOS, Item, items, lines, money, quantity
from adapters.frontol.report_journal import Journal
from adapters.frontol.report_lines import (
    BASE,
    CASHIER,
    CLIENT,
    DATE,
    HOW,
    NUMBER,
    OPERATION,
    QUANTITY,
    SUBJECT,
    SUM,
    TIME,
    TYPE,
    WHAT,
    Row,
    code_of,
    name_of,
)
from adapters.frontol.report_options import BONUS, DISCOUNT, NEW, OLD, OWN_TILL, PAYMENT, TILL
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
TenderKind = Literal["cash", "bank_card", "purse", "other"]

# Operations (field 13) that are receipts; all others are none.
KINDS: dict[str, keys.Kind] = {"0": keys.SALE, "1": keys.REFUND}
# Operations of payment kinds (field 10 of 36, 40 and 41).
CASH, BANK_CARD, USER_DEFINED, WITH_CASH_OUT = "0", "1", "7", "9"
GIFT_CARDS = ("6", "8")
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

# What a line tells, by its type: items and stornos, fiscal payments, payments with bonuses and what went back,
# prepayments and payments that are not fiscal, accruals and what went back, discounts and mark-ups.
ITEM, TAKEN_BACK, FISCAL, BONUS_PAID, BONUS_BACK = "item", "taken_back", "fiscal", "bonus_paid", "bonus_back"
PREPAID, NON_FISCAL, ACCRUED, ACCRUED_BACK = "prepaid", "non_fiscal", "accrued", "accrued_back"
DISCOUNTED, MARKED_UP = "discounted", "marked_up"
PAID = (FISCAL, BONUS_PAID, BONUS_BACK, PREPAID, NON_FISCAL)

_COMMON = {
    OPENED: OPENED,
    CLOSED: CLOSED,
    CLOSED_NON_FISCAL: CLOSED_NON_FISCAL,
    **dict.fromkeys(ITEMS, ITEM),
    **dict.fromkeys(STORNOS, TAKEN_BACK),
    **dict.fromkeys(("40", "41"), FISCAL),
    "32": BONUS_PAID,
    "33": BONUS_BACK,
    "34": PREPAID,
    "9": ACCRUED,
    "10": ACCRUED_BACK,
}
# The two numberings contradict each other; the page says which tills write which.
ROLES: dict[str, dict[str, str]] = {
    NEW: {**_COMMON, **dict.fromkeys(("15", "17", "35", "37"), DISCOUNTED), "36": NON_FISCAL},
    OLD: {
        **_COMMON,
        **dict.fromkeys(("5", "7", "15", "17", "35", "37"), DISCOUNTED),
        **dict.fromkeys(("6", "8", "16", "18", "36", "38"), MARKED_UP),
    },
}


def closing(rows: Rows, document: Document) -> Row:
    """The line that closes it. Errors: BadMessage."""
    found = rows[CLOSED] or rows[CLOSED_NON_FISCAL]
    if not found:
        raise bad(str(document.name), "", "a line that closes the document")
    return found[-1]


def ask(document: Document, journal: Journal, link: Link, epoch: int) -> PostReceipt | ReturnReceipt | None:
    """The sale or return that the document tells; ``None``: its operation is neither. Errors: BadMessage."""
    rows = document.by(ROLES[link.options["reports"]["numbering"]])
    last = closing(rows, document)
    kind = KINDS.get(last[OPERATION])
    return _Telling(document, rows, last, kind, journal, link).ask(epoch) if kind else None


class _Telling:
    """One document while it is read."""

    def __init__(
        self, document: Document, rows: Rows, last: Row, kind: keys.Kind, journal: Journal, link: Link
    ) -> None:
        self.name, self.rows, self.last, self.kind = document.name, rows, last, kind
        self.journal, self.link = journal, link
        self.options: Options = link.options["reports"]
        self.is_refund = kind == keys.REFUND
        self.total = abs(money(last[SUM]))
        self.fiscal = sum([money(row[SUM]) for row in self.rows[FISCAL]])
        self.bonus_paid, self.bonus_back = self._sum(BONUS_PAID), self._sum(BONUS_BACK)
        self.notes: list[str] = []

    def ask(self, epoch: int) -> PostReceipt | ReturnReceipt:
        """Errors: BadMessage."""
        name, closed_at = self.name, moment(self.last)
        digest = keys.content(self.kind, self._paid())
        stamp = closed_at.replace(tzinfo=self.link.zone).astimezone(UTC)
        found = items(self._items())
        self._check_whole(found)
        told: dict[str, Any] = {
            "store": self.link.store,
            "keys": keys.names(name.workplace, name.shift, name.number, closed_at, digest, epoch),
            "content": digest,
            "receipt": self._receipt(found, closed_at, stamp),
            "cards": self._cards(),
            "stamp": stamp,
            "fact": True,
        }
        if not self.is_refund:
            self.journal.sales.add(name, closed_at.date())
            return PostReceipt(**told, notes=tuple(self.notes))
        sale = self._sale(closed_at, epoch)
        return ReturnReceipt(**told, sale=sale, lines=returned(told["receipt"].lines), notes=tuple(self.notes))

    # Money --------------------------------------------------------------------------------------------------

    def _sum(self, role: str) -> int:
        """The sums of these lines without their signs, which differ between refunds and tills."""
        rows = self.rows[role]
        return sum([abs(money(row[SUM])) for row in rows]) if rows else 0

    def _paid(self) -> int:
        """40 + 41 + 32 + 34 + 36 - 33, and nothing of 43, 49, 82 to 84 and 86, which say the same again.

        Channels may leave payments out: then it is the total. In a refund the bonus that goes back has type 33, and
        fiscal payments are negative, or not; otherwise change is a negative one.
        """
        if not any(self.rows[role] for role in PAID):
            return self.total
        paid = self.bonus_paid + self._sum(PREPAID) + self._sum(NON_FISCAL)
        paid += abs(self.fiscal) + self.bonus_back if self.is_refund else self.fiscal - self.bonus_back
        if abs(paid - self.total) > ROUNDING_MINOR:
            self.notes.append(SUMS_DIFFER)
        return bounded(paid, "payments")

    def _discounts(self, only: Sequence[str] = ()) -> int:
        """What discounts took off, less mark-ups; ``only`` those of these types of discount (field 10)."""
        total = 0
        for role, sign in ((DISCOUNTED, 1), (MARKED_UP, -1)):
            for row in self.rows[role]:
                if not only or row[HOW] in only:
                    total += sign * money(row[SUM])
        return -total if self.is_refund and total < 0 else total

    # The receipt --------------------------------------------------------------------------------------------

    def _items(self) -> Sequence[Row]:
        """Items as they came; with stornos in the order of their numbers, for these take back what is before them."""
        stornos = self.rows[TAKEN_BACK]
        if not stornos:
            return self.rows[ITEM]
        return sorted([*self.rows[ITEM], *stornos], key=lambda row: int(row[NUMBER]))

    def _check_whole(self, found: Sequence[Item]) -> None:
        """Errors: BadMessage for the end of a document whose beginning was in a file that nobody has.

        The opening line says that it is whole; where channels leave that out, quantity or sum of the items do.
        """
        if OPENED in self.rows:
            return
        told = quantity(self.last[QUANTITY])
        if told and sum(item.quantity for item in found) == told:
            return
        if told or abs(sum(item.sum for item in found) - self.total) > ROUNDING_MINOR:
            raise bad(str(self.name), "", "its beginning: there is no line 42, and the items are not all")

    def _receipt(self, found: Sequence[Item], closed_at: datetime, stamp: datetime) -> Receipt:
        if 0 in [item.quantity for item in found]:
            self.notes.append(STORNO)
        loyalty = self._discounts(LOYALTY_DISCOUNTS) if DISCOUNT in self.options["redeemed_as"] else 0
        total = bounded(self.total + loyalty, "field 12")
        cashier = self.last[CASHIER]
        return Receipt(
            number=code(self.name.number, "field 6"),
            till=code(self.name.workplace, "field 5"),
            business_date=closed_at.date(),
            shift=code(self.name.shift, "field 14"),
            closed_at=stamp,
            total_minor=total,
            discount_minor=bounded(self._discounts() - loyalty, "discounts"),
            lines=lines(found, total),
            tenders=tuple(self._tenders()),
            cashier=code(name_of(cashier) or code_of(cashier), "field 7"),
        )

    def _tenders(self) -> Iterator[Tender]:
        """How it was paid; change is negative."""
        sign = -1 if self.is_refund and self.fiscal < 0 else 1
        for row in self.rows[FISCAL]:
            is_ours = row[HOW] == USER_DEFINED and PAYMENT in self.options["redeemed_as"]
            unit = self._points() if is_ours else ""
            kind: TenderKind = "purse" if unit else TENDERS.get(row[HOW], "other")
            yield Tender(code=code_of(row[WHAT]), kind=kind, amount_minor=money(row[SUM]) * sign, unit=unit)
        bonus = self.bonus_paid - self.bonus_back
        if bonus:
            yield Tender(code="bonus", kind="purse", amount_minor=abs(bonus), unit=self._points())
        for row in (*self.rows[PREPAID], *self.rows[NON_FISCAL]):
            name = code_of(row[WHAT]) or row[TYPE]
            yield Tender(code=name, kind="other", amount_minor=abs(money(row[SUM])))

    # Cards --------------------------------------------------------------------------------------------------

    def _points(self) -> str:
        points = self.options["points"]
        return points["unit"] if points else ""

    def _cards(self) -> tuple[CardUse, ...]:
        """What the receipt does with each of its cards: the first one takes what names none."""
        numbers = self._numbers()
        redeemed = self._redeemed(numbers[0] if numbers else "")
        told = list(dict.fromkeys([*numbers, *redeemed]))
        own = max(self.total - sum(redeemed.values()), 0)
        shares = [own] if len(told) == 1 else spread(own, [1] * len(told)) if told else []
        earned, unit = self._earned(), self._points()
        found = [
            CardUse(
                refs=refs(number),
                redeem=(Amount(unit, redeemed[number]),) if number in redeemed else (),
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
        told = self.last[SUBJECT] or next((row[SUBJECT] for row in self.rows[OPENED]), "")
        if "|" in told or "¦" in told:
            return list(dict.fromkeys(filter(None, map(card, told.replace("¦", "|").split("|")))))
        return [number] if (number := card(told)) else []

    def _client(self) -> tuple[Ref, ...]:
        """The client's code in field 15 of the opening line, where the link says what it means."""
        scheme = self.options["client_scheme"]
        told = next((row[CLIENT] for row in self.rows[OPENED]), "") if scheme else ""
        return (Ref(scheme, code(code_of(told), "field 15")),) if told.strip(" 0") else ()

    def _redeemed(self, first: str) -> dict[str, int]:
        """What was paid with points, by card; a refund gives it back."""
        found: dict[str, int] = {}
        for number, amount in self._payments():
            found[number or first] = found.get(number or first, 0) + amount
        told = {number: bounded(abs(amount), "bonus") for number, amount in found.items() if amount}
        if told and not self._points():
            self.notes.append(NO_UNIT)
            return {}
        return {number: amount for number, amount in told.items() if number}

    def _payments(self) -> Iterator[tuple[str, int]]:
        """Card and amount of each payment with points, in all the ways of the link (page, pitfall 9)."""
        ways = self.options["redeemed_as"]
        if BONUS in ways:
            for role, sign in ((BONUS_PAID, 1), (BONUS_BACK, -1)):
                for row in self.rows[role]:
                    if self._is_ours(row):
                        yield card(row[SUBJECT]), sign * abs(money(row[SUM]))
        if PAYMENT in ways:
            for row in self.rows[FISCAL]:
                if row[HOW] == USER_DEFINED:
                    yield "", abs(money(row[SUM]))
        if DISCOUNT in ways:
            yield "", self._discounts(LOYALTY_DISCOUNTS)

    def _is_ours(self, row: Row) -> bool:
        """Whether a bonus is one of our books: what an external system has said, or all that the till tells."""
        return bool(self.options["bonus"] == TILL or row[HOW] == EXTERNAL)

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
        for row in self.rows[NON_FISCAL]:
            number = card(row[SUBJECT])
            if number and row[HOW] in GIFT_CARDS:
                paid[number] = paid.get(number, 0) + abs(money(row[SUM]))
        unit = self.options["gift_cards"]["unit"]
        return [CardUse(refs=refs(number), redeem=(Amount(unit, paid[number]),), earn=()) for number in paid]

    # Refunds ------------------------------------------------------------------------------------------------

    def _sale(self, closed_at: datetime, epoch: int) -> str:
        """The key of the sale whose number stands in field 25; empty where nobody can tell which that is."""
        told = self.last[BASE] or next((row[BASE] for row in self.rows[OPENED]), "")
        if not told.strip(" 0") or self.options["refund_base"] != OWN_TILL:
            return ""
        found = self.journal.sales.find(self.name.workplace, told.strip(), closed_at.date())
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
    return code(told[1:] if told[:1] in CARD_MARKS else told, "field 8") if told else ""


def refs(number: str) -> tuple[Ref, ...]:
    """A card's names: what was read may be its number or its barcode."""
    return Ref("card", number), Ref("barcode", number)


def moment(row: Row) -> datetime:
    """Date and local time of a line; the hour may lack its zero. Errors: BadMessage."""
    return datetime.combine(day_of(row[DATE]), _time(row[TIME]))


def _time(text: str) -> time:
    try:
        if len(text) == len("HH:MM:SS") and text[2] == text[5] == ":":
            return time.fromisoformat(text)
        return datetime.strptime(text.strip(), "%H:%M:%S").timetz()  # noqa: DTZ007  # a time without a day has no zone
    except ValueError:
        raise bad("time", text, "H:MM:SS") from None
