"""The worked examples of docs/examples.md, carried out: whatever is booked here stands there, figure by figure.

An example's tables are rendered from the books and looked for in the section of its page. Times are Moscow's.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from processing import chores
from processing.commands import (
    CaptureHold,
    Line,
    MergeHolders,
    PayOut,
    PlaceHold,
    PostReceipt,
    ReadReceipt,
    Receipt,
    Redeem,
    ReleaseHold,
    ReturnLine,
    ReturnReceipt,
    SellGiftCard,
)
from processing.directory import ActiveProgramme
from processing.errors import CardBlocked, ReturnExceeds, WalletMerging
from processing.execute import Core
from processing.programme.compiled import Programme
from processing.results import ReceiptTold
from processing.tables import operation
from processing.units import major
from processing.verify import verify
from tests.processing.books import (
    ALMATY,
    DEDUCTING,
    FORGIVING,
    GIFT,
    MONEY,
    MOSCOW,
    PLAIN,
    POINTS,
    URAL,
    Books,
    StillClock,
    adjust,
    post,
    programme,
    receipt,
    ref,
    use,
    void,
)

PAGE = Path(__file__).parents[2] / "docs" / "examples.md"
ZONE = ZoneInfo("Europe/Moscow")


def on(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant of May 2026, by Moscow's clocks."""
    return datetime(2026, 5, day, hour, minute, tzinfo=ZONE).astimezone(UTC)


def shown(amount: int, plus: str = "") -> str:
    """Of two digits after the point, as the page writes it: ``−1,500.00``."""
    whole, _, fraction = major(abs(amount), 2).partition(".")
    return f"{'−' if amount < 0 else plus}{int(whole):,}.{fraction}"


class Example:
    """A section of the page, and the books that it tells of."""

    def __init__(self, books: Books, title: str) -> None:
        text = PAGE.read_text("utf-8")
        assert text.count(f"\n## {title}\n") == 1
        self.section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        self.books = books

    def booked(self, operation_id: int, kind: str, *entries: tuple[str, int]) -> None:
        """What an operation booked, in its order, as a table of the page.

        A wallet's entry is told by its lot, of all the books' lots in their order; a partner's by its account.
        """
        rows = self.books.rows(
            """
            SELECT o.kind, a.kind, p.code, e.lot_id, e.amount FROM operation o
            LEFT JOIN entry e ON e.operation_id = o.id
            LEFT JOIN account a ON a.id = e.account_id LEFT JOIN partner p ON p.id = a.partner_id
            WHERE o.id = :id ORDER BY e.n
            """,
            id=operation_id,
        )
        assert {row[0] for row in rows} == {kind}
        lots = [row[0] for row in self.books.rows("SELECT id FROM lot ORDER BY id")]
        found = [
            (f"{partner} {name}" if lot_id is None else f"lot {lots.index(lot_id) + 1}", amount)
            for _, name, partner, lot_id, amount in rows
            if amount is not None
        ]
        assert found == list(entries)
        self.shows(
            f"| `{kind}` | |", "|---|---|", *(f"| {_told(place)} | {shown(amount, '+')} |" for place, amount in found)
        )

    def balance(self, card: str, unit: str = POINTS, *, as_of: datetime | None = None, **figures: int) -> None:
        """The card's balance now or at an instant, as a row of the page: balance, available, held."""
        told = self.books.balances(card, as_of)[unit]
        assert {name: getattr(told, name) for name in figures} == figures
        assert isinstance(self.books.clock, StillClock)
        at = (as_of or self.books.clock.at).astimezone(ZONE)
        sums = " | ".join(shown(getattr(told, name)) for name in ("balance", "available", "held"))
        self.shows(f"| {at.day} May, {at:%H:%M} | {sums} |")

    def shows(self, *lines: str) -> None:
        """The page has these lines."""
        text = "\n".join(lines) + "\n"
        assert text in self.section, f"docs/examples.md lacks:\n{text}"


def _told(place: str) -> str:
    kind, _, name = place.partition(" ")
    return f"wallet, lot {name}" if kind == "lot" else f"{kind}, `{name}`"


def check_laws(books: Books) -> None:
    """Those of the tests, and those that an operator checks."""
    books.check_laws()
    assert {check.name: check.rows for check in verify(books.database) if check.rows} == {}


def last_of(books: Books, kind: str) -> int:
    """The newest operation of a kind."""
    return int(books.rows("SELECT max(id) FROM operation WHERE kind = :kind", kind=kind)[0][0])


def effective_at(books: Books, operation_id: int) -> datetime:
    with books.database.reading() as connection:
        found: datetime = connection.execute(
            select(operation.c.effective_at).where(operation.c.id == operation_id)
        ).scalar_one()
    return found


def gift(books: Books, card: str, amount: int, days: int | None) -> int:
    return books.done(adjust(books.key("gift"), card, amount, expires_days=days)).operation_id


def sale(key: str, card: str, total: int, redeem: int = 0, earn: int | None = None, **changes: Any) -> PostReceipt:
    return post(key, use(card, redeem, earn), receipt=receipt(total, changes.pop("lines", ())), **changes)


def back(key: str, of: str, *lines: ReturnLine, **changes: Any) -> ReturnReceipt:
    fields: dict[str, Any] = {"store": MOSCOW, "keys": (key,), "sale": of, "lines": lines, "receipt": receipt(0)}
    return ReturnReceipt(**fields | changes)


# 1 ------------------------------------------------------------------------------------------------------------

HELD = "1. A lot expires while it is held"


def _held_over_midnight(books: Books, clock: StillClock, example: Example) -> str:
    """A card with 300.00 that end on 5 May, of which 100.00 are held until two hours later."""
    card = books.card()
    given = gift(books, card, 30_000, days=1)
    example.booked(given, "adjustment", ("lot 1", 30_000), ("alpha adjusted", -30_000))
    clock.at = on(5, 20)
    command = PlaceHold(store=MOSCOW, keys=("order-1",), card=ref(card), unit=POINTS, amount=10_000, seconds=6 * 3600)
    placed = books.done(command)
    assert (placed.available, placed.until) == (20_000, on(6, 2))
    example.balance(card, balance=30_000, available=20_000, held=10_000)
    clock.at = on(6, 0, 30)
    example.balance(card, balance=30_000, available=0, held=10_000)
    assert chores.expire_lots(books.core) == 1
    expired = last_of(books, "expiry")
    example.booked(expired, "expiry", ("lot 1", -20_000), ("alpha expired", 20_000))
    assert effective_at(books, expired) == on(6, 0)
    clock.at = on(6, 0, 40)
    example.balance(card, balance=10_000, available=0, held=10_000)
    clock.at = on(6, 1)
    return card


def test_lot_that_expires_while_it_is_held_can_be_captured(books: Books, clock: StillClock) -> None:
    example = Example(books, HELD)
    card = _held_over_midnight(books, clock, example)
    captured = books.done(CaptureHold(store=MOSCOW, keys=("close-1",), hold="order-1", amount=6_000))
    example.booked(captured.operation_id, "capture", ("lot 1", -6_000), ("alpha redeemed", 6_000))
    assert captured.released == 4_000
    clock.at = on(6, 1, 10)
    assert chores.expire_lots(books.core) == 1
    expired = last_of(books, "expiry")
    example.booked(expired, "expiry", ("lot 1", -4_000), ("alpha expired", 4_000))
    assert effective_at(books, expired) == on(6, 1)
    example.balance(card, balance=0, available=0, held=0)
    check_laws(books)


def test_lot_that_expires_while_it_is_held_is_gone_when_the_hold_is_released(books: Books, clock: StillClock) -> None:
    example = Example(books, HELD)
    card = _held_over_midnight(books, clock, example)
    released = books.done(ReleaseHold(store=MOSCOW, keys=("cancel-1",), hold="order-1"))
    assert (released.outcome, released.amount) == ("released", 10_000)
    assert books.balances(card)[POINTS].available == 0
    assert chores.expire_lots(books.core) == 1
    expired = last_of(books, "expiry")
    example.booked(expired, "expiry", ("lot 1", -10_000), ("alpha expired", 10_000))
    assert effective_at(books, expired) == on(6, 1)
    check_laws(books)


def test_hold_that_nobody_ends_frees_its_lot_at_its_deadline(books: Books, clock: StillClock) -> None:
    _held_over_midnight(books, clock, Example(books, HELD))
    clock.at = on(6, 3)
    assert (chores.end_holds(books.core), chores.expire_lots(books.core)) == (1, 1)
    assert effective_at(books, last_of(books, "expiry")) == on(6, 2)
    check_laws(books)


# 2 ------------------------------------------------------------------------------------------------------------


def test_points_of_a_superseded_receipt_that_were_spent_become_debt(books: Books, clock: StillClock) -> None:
    example = Example(books, "2. A receipt is superseded after its points were spent")
    card = books.card()
    first = books.done(sale("A", card, 100_000, at=1))
    example.booked(first.operation_id, "receipt", ("alpha issued", -5_000), ("lot 1", 5_000))
    clock.at = on(5, 12)
    second = books.done(sale("B", card, 50_000, redeem=5_000, at=2))
    example.booked(
        second.operation_id,
        "receipt",
        ("alpha redeemed", 5_000),
        ("lot 1", -5_000),
        ("alpha issued", -2_250),
        ("lot 2", 2_250),
    )
    example.balance(card, balance=2_250, available=2_250)
    clock.at = on(5, 18)
    newer = books.done(sale("A", card, 40_000, at=3, supersede=True))
    assert newer.flags == ("superseded",)
    example.booked(
        last_of(books, "superseded"),
        "superseded",
        ("alpha issued", 5_000),
        ("lot 2", -2_250),
        ("lot 3", -2_750),
    )
    example.booked(
        newer.operation_id,
        "receipt",
        ("alpha issued", -2_000),
        ("lot 4", 2_000),
        ("lot 4", -2_000),
        ("lot 3", 2_000),
    )
    example.balance(card, balance=-750, available=-750)
    clock.at = on(6, 12)
    third = books.done(sale("C", card, 100_000, at=4))
    example.booked(
        third.operation_id, "receipt", ("alpha issued", -5_000), ("lot 5", 5_000), ("lot 5", -750), ("lot 3", 750)
    )
    example.balance(card, balance=4_250, available=4_250)
    check_laws(books)


# 3 ------------------------------------------------------------------------------------------------------------

GOODS = (
    Line(number=1, goods="shirt", sum_minor=60_000, price_minor=20_000, quantity_thousandths=3_000),
    Line(number=2, goods="belt", sum_minor=40_000, price_minor=40_000),
)


def activate(books: Books, **changes: Any) -> None:
    """Another version of the plain programme, for this core only: the database is shared by the tests."""
    work = books.core.work
    active = ActiveProgramme(work.directory.programmes[PLAIN].version_id, Programme(programme(PLAIN, **changes)))
    directory = replace(work.directory, programmes=work.directory.programmes | {PLAIN: active})
    books.core = Core(books.database, directory, work.vault)


def test_return_reads_what_its_sale_has_stored_whatever_the_programme_says_today(
    books: Books, clock: StillClock
) -> None:
    example = Example(books, "3. The programme changes between sale and return")
    card = books.card()
    gift(books, card, 10_000, days=None)
    sold = books.done(sale("S", card, 100_000, redeem=10_000, lines=GOODS))
    example.booked(
        sold.operation_id,
        "receipt",
        ("alpha redeemed", 10_000),
        ("lot 1", -10_000),
        ("alpha issued", -4_500),
        ("lot 2", 4_500),
    )
    (kept,) = books.core.answer([ReadReceipt(store=MOSCOW, key="S")])
    assert isinstance(kept, ReceiptTold)
    drawn, gained = (
        {n: amount for _, _, lines in kept.document[k] for n, amount in lines} for k in ("drawn", "gained")
    )
    for number, name in ((1, "three shirts"), (2, "a belt")):
        example.shows(f"| {number}, {name} | {shown(drawn[number])} | {shown(gained[number])} |")
    activate(books, cashback_hundredths=1_000)
    clock.at = on(7, 12)
    returned = books.done(back("R", "S", ReturnLine(number=1, quantity_thousandths=1_000)))
    example.booked(
        returned.operation_id,
        "return",
        ("lot 1", 2_000),
        ("lot 2", -900),
        ("alpha redeemed", -2_000),
        ("alpha issued", 900),
    )
    example.balance(card, balance=5_600, available=5_600)
    again = books.done(sale("N", card, 100_000, lines=GOODS))
    assert again.cards[0].earned == 10_000
    check_laws(books)


# 4 ------------------------------------------------------------------------------------------------------------


def test_late_fact_undoes_the_expiry_that_came_after_it(books: Books, clock: StillClock) -> None:
    example = Example(books, "4. A fact arrives after its points have expired")
    card = books.card()
    gift(books, card, 30_000, days=1)
    clock.at = on(6, 0, 30)
    assert chores.expire_lots(books.core) == 1
    example.booked(last_of(books, "expiry"), "expiry", ("lot 1", -30_000), ("alpha expired", 30_000))
    clock.at = on(7, 12)
    example.balance(card, as_of=on(5, 21), balance=30_000, available=30_000)
    closed = Receipt(number="88", till="5", business_date=on(5, 20).date(), closed_at=on(5, 20), total_minor=100_000)
    fact = books.done(post("late", use(card, 12_000, 0), receipt=closed, fact=True))
    assert fact.flags == ()
    undone = last_of(books, "expiry_undone")
    example.booked(undone, "expiry_undone", ("alpha expired", -12_000), ("lot 1", 12_000))
    example.booked(fact.operation_id, "receipt", ("alpha redeemed", 12_000), ("lot 1", -12_000))
    assert (effective_at(books, undone), effective_at(books, fact.operation_id)) == (on(6, 0), on(5, 20))
    example.balance(card, as_of=on(5, 19), balance=30_000, available=30_000)
    example.balance(card, as_of=on(5, 22), balance=18_000, available=18_000)
    example.balance(card, as_of=on(6, 0), balance=0, available=0)
    example.balance(card, balance=0, available=0)
    check_laws(books)


# 5 ------------------------------------------------------------------------------------------------------------


def owed(books: Books, unit: str = POINTS) -> dict[tuple[str, str], int]:
    """Who issued what was redeemed where: (issuer, redeemer) and the sum, what came back taken off.

    Earnings of a receipt fill lots of the store's own partner, so that they stand under (alpha, alpha) alone.
    """
    found = books.rows(
        """
        SELECT i.code, s.code, CAST(-sum(e.amount) AS BIGINT) FROM entry e
        JOIN operation o ON o.id = e.operation_id JOIN store t ON t.id = o.store_id
        JOIN lot l ON l.id = e.lot_id JOIN account a ON a.id = e.account_id
        JOIN partner i ON i.id = l.issuer_id JOIN partner s ON s.id = t.partner_id
        WHERE a.unit = :unit AND i.code <> s.code GROUP BY i.code, s.code
        """,
        unit=unit,
    )
    return {(issuer, redeemer): amount for issuer, redeemer, amount in found}


def test_partner_owes_for_its_points_where_they_were_redeemed(books: Books, clock: StillClock) -> None:
    example = Example(books, "5. One partner's points, redeemed at another and returned")
    card = books.card()
    earned = books.done(sale("M", card, 200_000))
    example.booked(earned.operation_id, "receipt", ("alpha issued", -10_000), ("lot 1", 10_000))
    clock.at = on(5, 12)
    spent = books.done(sale("K", card, 50_000, redeem=8_000, store=ALMATY))
    example.booked(
        spent.operation_id,
        "receipt",
        ("beta redeemed", 8_000),
        ("lot 1", -8_000),
        ("beta issued", -2_100),
        ("lot 2", 2_100),
    )
    assert owed(books) == {("alpha", "beta"): 8_000}
    example.shows("| after the purchase | 80.00 |")
    clock.at = on(6, 12)
    half = ReturnLine(sum_minor=25_000)
    returned = books.done(back("B", "K", half, store=ALMATY))
    example.booked(
        returned.operation_id,
        "return",
        ("lot 1", 4_000),
        ("lot 2", -1_050),
        ("beta redeemed", -4_000),
        ("beta issued", 1_050),
    )
    assert owed(books) == {("alpha", "beta"): 4_000}
    example.shows("| after the return | 40.00 |")
    example.balance(card, balance=7_050, available=7_050)
    check_laws(books)


# 6 ------------------------------------------------------------------------------------------------------------


def test_merge_waits_for_the_source_s_holds(books: Books, clock: StillClock) -> None:
    example = Example(books, "6. A merge waits for a hold")
    source, target = books.card(), books.card()
    gift(books, source, 20_000, days=None)
    gift(books, target, 10_000, days=30)
    books.done(PlaceHold(store=MOSCOW, keys=("h",), card=ref(source), unit=POINTS, amount=5_000, seconds=900))
    clock.forward(minutes=1)
    merge = MergeHolders(store=MOSCOW, keys=("m",), source=ref(source), target=ref(target), actor="ann")
    asked = books.done(merge)
    assert (asked.outcome, asked.holds, chores.finish_merges(books.core)) == ("waiting", 1, 0)
    again = PlaceHold(store=MOSCOW, keys=("h2",), card=ref(source), unit=POINTS, amount=100)
    assert isinstance(books.one(again), WalletMerging)
    paid = books.done(sale("P", source, 50_000, redeem=2_000, earn=0))
    example.booked(paid.operation_id, "receipt", ("alpha redeemed", 2_000), ("lot 1", -2_000))
    clock.forward(minutes=2)
    taken = books.done(CaptureHold(store=MOSCOW, keys=("c",), hold="h", amount=3_000))
    example.booked(taken.operation_id, "capture", ("lot 1", -3_000), ("alpha redeemed", 3_000))
    clock.forward(minutes=1)
    assert chores.finish_merges(books.core) == 1
    example.booked(last_of(books, "merge"), "merge", ("lot 1", -15_000), ("lot 3", 15_000))
    example.balance(target, balance=25_000, available=25_000)
    assert books.balances(source) == books.balances(target)
    clock.forward(minutes=6)
    undone = books.done(void("P"))
    example.booked(undone.operation_id, "void", ("alpha redeemed", -2_000), ("lot 3", 2_000))
    example.balance(target, balance=27_000, available=27_000)
    check_laws(books)


# 7 ------------------------------------------------------------------------------------------------------------


def test_three_returns_give_back_all_of_it_and_not_a_unit_more(books: Books, clock: StillClock) -> None:
    example = Example(books, "7. Three returns, and what rounding leaves to the last")
    card = books.card()
    gift(books, card, 10_000, days=None)
    bowls = (Line(number=1, goods="bowl", sum_minor=24_500, price_minor=8_167, quantity_thousandths=3_000),)
    sold = books.done(sale("S", card, 24_500, redeem=10_000, lines=bowls))
    example.booked(
        sold.operation_id,
        "receipt",
        ("alpha redeemed", 10_000),
        ("lot 1", -10_000),
        ("alpha issued", -725),
        ("lot 2", 725),
    )
    one = ReturnLine(goods="bowl", quantity_thousandths=1_000)
    for step, (given, taken, balance) in enumerate([(3_333, 241, 3_817), (3_333, 242, 6_908), (3_334, 242, 10_000)]):
        clock.forward(hours=1)
        told = books.done(back(f"R{step}", "S", one)).cards[0]
        assert (told.redeemed, told.earned, told.balance) == (given, taken, balance)
        example.shows(f"| {step + 1} | {shown(given)} | {shown(taken)} | {shown(balance)} |")
    assert isinstance(books.one(back("R4", "S", one)), ReturnExceeds)
    check_laws(books)


# 8 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("product", "can_deduct", "policy", "balance", "keep_back", "flag", "taken"),
    [
        (PLAIN, False, "`debt`", -2_000, 0, "debt", 5_000),
        (DEDUCTING, True, "`deduct`", 0, 2_000, "deducted", 3_000),
        (DEDUCTING, False, "`deduct`, and the till can not", -2_000, 0, "debt", 5_000),
        (FORGIVING, True, "`forgive`", 0, 0, "forgiven", 3_000),
    ],
    ids=["debt", "deduct", "deduct without a till that can", "forgive"],
)
def test_points_that_are_spent_when_goods_come_back(
    books: Books,
    product: str,
    can_deduct: bool,
    policy: str,
    balance: int,
    keep_back: int,
    flag: str,
    taken: int,
) -> None:
    example = Example(books, "8. Three policies for points that are spent already")
    card = books.card(product=product)
    books.done(sale("S", card, 100_000))
    books.done(Redeem(store=MOSCOW, keys=("spent",), card=ref(card), unit=POINTS, amount=2_000))
    returned = books.done(back("R", "S", can_deduct=can_deduct))
    assert (returned.flags, returned.keep_back_minor) == ((flag,), keep_back)
    assert (returned.cards[0].earned, returned.cards[0].balance) == (taken, balance)
    figures = " | ".join(shown(n) for n in (taken, balance, keep_back))
    example.shows(f"| {policy} | {figures} | `{flag}` |")
    check_laws(books)


# 9 ------------------------------------------------------------------------------------------------------------

GIFTS = "9. A gift card: sold, spent in two stores, refunded"


def test_gift_card_is_spent_in_two_stores_and_its_rest_refunded(books: Books, clock: StillClock) -> None:
    example = Example(books, GIFTS)
    sold = books.done(SellGiftCard(store=MOSCOW, keys=("sold",), product=GIFT, amount=300_000))
    example.booked(sold.operation_id, "gift_sale", ("lot 1", 300_000), ("alpha cash", -300_000))
    clock.at = on(5, 12)
    first = books.done(post("first", use(sold.number, 120_000, 0, MONEY), total=200_000))
    example.booked(first.operation_id, "receipt", ("alpha redeemed", 120_000), ("lot 1", -120_000))
    clock.at = on(6, 12)
    second = books.done(post("second", use(sold.number, 70_000, 0, MONEY), total=70_000, store=ALMATY))
    example.booked(second.operation_id, "receipt", ("beta redeemed", 70_000), ("lot 1", -70_000))
    example.balance(sold.number, MONEY, balance=110_000, available=110_000)
    clock.at = on(7, 12)
    paid = books.done(PayOut(store=URAL, keys=("refund",), card=ref(sold.number), unit=MONEY, close=True))
    example.booked(paid.operation_id, "pay_out", ("lot 1", -110_000), ("alpha cash", 110_000))
    assert (paid.card.redeemed, paid.status) == (110_000, "closed")
    assert owed(books, MONEY) == {("alpha", "beta"): 70_000}
    check_laws(books)


def test_void_of_a_gift_card_s_sale_after_it_was_spent_blocks_it(books: Books) -> None:
    example = Example(books, GIFTS)
    sold = books.done(SellGiftCard(store=MOSCOW, keys=("sold",), product=GIFT, amount=100_000))
    books.done(post("spent", use(sold.number, 40_000, 0, MONEY), total=40_000))
    undone = books.done(void("sold"))
    example.booked(undone.operation_id, "void", ("alpha cash", 100_000), ("lot 1", -60_000), ("lot 2", -40_000))
    assert books.balance(sold.number, MONEY) == -40_000
    refused = books.one(post("more", use(sold.number, 100, 0, MONEY), total=100))
    assert isinstance(refused, CardBlocked)
    check_laws(books)
