"""The rules through the books: what a quote says of any programme the purchase then takes, and not a step more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from processing.commands import CardUse, IssueCard, PlaceHold, Quote, Receipt, Ref
from processing.database import Database
from processing.directory import ActiveProgramme
from processing.errors import LimitExceeded
from processing.execute import Core
from processing.programme.compiled import Programme
from processing.programme.document import (
    DiscountRule,
    Discounts,
    Limit,
    Payment,
    Percent,
    ProgrammeDocument,
)
from processing.results import Quoted
from tests.processing.books import MOSCOW, PLAIN, POINTS, Books, StillClock, adjust, post, receipt, use
from tests.processing.programme_strategies import NO_WHEN, documents, receipts


@pytest.fixture
def till(sqlite_books: Books, tmp_path: Path) -> Iterator[Books]:
    """The small chain on SQLite."""
    database = Database(f"sqlite:///{shutil.copy(str(sqlite_books.database.url.database), tmp_path / 'rules.db')}")
    clock = StillClock()
    database.clock = clock
    work = sqlite_books.core.work
    yield Books(Core(database, work.directory, work.vault), database, clock)
    database.dispose()


def run_by(books: Books, document: ProgrammeDocument) -> None:
    """From now on this is what the plain programme says."""
    work = books.core.work
    active = ActiveProgramme(
        work.directory.programmes[PLAIN].version_id, Programme(structs.replace(document, code=PLAIN, unit=POINTS))
    )
    directory = replace(work.directory, programmes=work.directory.programmes | {PLAIN: active})
    books.core = Core(books.database, directory, work.vault)


def quoted(books: Books, told: Receipt, *uses: CardUse) -> Quoted:
    (outcome,) = books.core.answer([Quote(store=MOSCOW, receipt=told, cards=uses)])
    assert isinstance(outcome, Quoted), outcome
    return outcome


def closed(told: Receipt, quote: Quoted) -> Receipt:
    """The till takes off what it was told."""
    off = [line.discount_minor for line in quote.lines]
    sold = tuple(
        structs.replace(line, sum_minor=line.sum_minor - less, discount_minor=less)
        for line, less in zip(told.lines, off, strict=True)
    )
    return structs.replace(told, lines=sold, total_minor=sum(line.sum_minor for line in sold))


@settings(max_examples=60)
@given(
    document=documents(NO_WHEN),
    told=receipts(odd=False, least=1),
    balance=st.sampled_from([0, 300, 499, 500, 10**7]),
)
def test_so_much_as_is_payable_is_accepted_and_not_a_step_more(
    till: Books, document: ProgrammeDocument, told: Receipt, balance: int
) -> None:
    run_by(till, document)
    card = till.card(balance)
    step = document.payment.step
    quote = quoted(till, told, use(card))
    (mine,) = quote.cards
    bill, most = closed(told, quote), mine.payable
    assert 0 <= most <= max(balance, 0)
    assert most % step == 0
    assert most == 0 or balance >= document.payment.least
    assert quote.total_minor == bill.total_minor

    def pay(points: int) -> Any:
        return till.one(post(till.key("pay"), use(card, redeem=points), receipt=bill))

    if most + step <= balance:
        assert isinstance(pay(most + step), LimitExceeded)
    if step > 1 and most:
        assert isinstance(pay(most - 1), LimitExceeded)
    again = quoted(till, told, use(card, redeem=most))
    posted = pay(most)
    assert posted.cards[0].redeemed == most
    assert posted.cards[0].earned == again.cards[0].earned
    assert "discount_differs" not in posted.flags
    till.check_laws()


def test_a_hold_counts_for_the_least_that_a_card_needs_to_pay(till: Books) -> None:
    """A debt beside a hold is no reason to refuse what the hold has set aside, as the quote says."""
    run_by(till, ProgrammeDocument(code=PLAIN, unit=POINTS, payment=Payment(hundredths=10_000, least=80)))
    card = till.card(100)
    placed = PlaceHold(store=MOSCOW, keys=("hold",), card=Ref("card", card), unit=POINTS, amount=100)
    till.done(placed)
    till.done(adjust("owes", card, -50, allow_debt=True))
    told = receipt(10_000)
    (mine,) = quoted(till, told, use(card, hold="hold")).cards
    assert mine.payable == 100
    sold = till.done(post("sale", use(card, redeem=100, hold="hold"), receipt=told))
    assert sold.cards[0].redeemed == 100


def test_discount_of_a_card_that_can_not_be_used_is_missed_by_nobody(till: Books) -> None:
    ten = Discounts(rules=(DiscountRule(rule="ten", give=Percent(hundredths=1_000)),))
    run_by(till, ProgrammeDocument(code=PLAIN, unit=POINTS, discounts=ten))
    card = till.card()
    till.set_status(card, "blocked")
    assert quoted(till, receipt(10_000), use(card)).discount_minor == 0
    assert till.done(post("sale", use(card), receipt=receipt(10_000))).flags == ("card_not_usable",)


def limited(**told: Any) -> ProgrammeDocument:
    limit = Limit(**{"limit": "some", "per": "card", "every": "day", "most": 1_000, "then": "block"} | told)
    return ProgrammeDocument(code=PLAIN, unit=POINTS, payment=Payment(hundredths=10_000), limits=(limit,))


@pytest.mark.parametrize("per", ["card", "till"])
def test_two_cards_of_a_wallet_do_not_go_beyond_its_limit_together(till: Books, per: str) -> None:
    run_by(till, limited(of="redeemed", per=per))
    card = till.card(10_000)
    wallet_of = IssueCard(store=MOSCOW, keys=("second",), product=PLAIN, wallet_of=Ref("card", card), active=True)
    second = till.done(wallet_of).number
    told = receipt(10_000)
    refused = till.one(post("both", use(card, redeem=600), use(second, redeem=600), receipt=told))
    assert isinstance(refused, LimitExceeded)
    till.done(post("both", use(card, redeem=600), use(second, redeem=400), receipt=told))


def test_one_receipt_of_two_cards_is_one_receipt(till: Books) -> None:
    run_by(till, limited(of="receipts", per="store", most=1))
    till.done(post("both", use(till.card()), use(till.card())))
    assert isinstance(till.one(post("next", use(till.card()))), LimitExceeded)


def test_quote_knows_how_much_a_card_may_still_pay_today(till: Books) -> None:
    run_by(till, limited(of="redeemed"))
    card = till.card(10_000)
    assert quoted(till, receipt(10_000), use(card)).cards[0].payable == 1_000
    till.done(post("first", use(card, redeem=700)))
    (mine,) = quoted(till, receipt(10_000), use(card)).cards
    assert mine.payable == 300
    till.done(post("second", use(card, redeem=mine.payable)))
