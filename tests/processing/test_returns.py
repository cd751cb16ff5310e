"""Returns (design law 4): by line and quantity, in steps, from the sale's stored allocation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing import chores
from processing.allocation import Back, numbered
from processing.commands import (
    Amount,
    CardUse,
    Exchange,
    Line,
    MergeHolders,
    ReadReceipt,
    RestoreReceipt,
    ReturnLine,
    ReturnReceipt,
    SellGiftCard,
    SetPin,
    TopUp,
)
from processing.documents import decode_document
from processing.errors import (
    AlreadyVoided,
    BadAmount,
    BadMessage,
    CardNotFound,
    InsufficientPoints,
    KeyReused,
    LoyaltyError,
    ReceiptNotFound,
    ReturnExceeds,
)
from processing.replay.elsewhere import by_key
from processing.results import ReceiptReturned, ReturnedLine
from processing.verify import verify
from tests.processing.books import (
    ALMATY,
    CERTIFICATE,
    DEDUCTING,
    FORGIVING,
    GRACED,
    MILES,
    MOSCOW,
    PINNED,
    PLAIN,
    POINTS,
    SLOW,
    Books,
    StillClock,
    adjust,
    again,
    post,
    receipt,
    ref,
    stamp,
    use,
    void,
)

LINES = (
    Line(number=1, goods="coat", sum_minor=60_000, quantity_thousandths=2_000),
    Line(number=2, goods="scarf", sum_minor=30_000, quantity_thousandths=3_000),
    Line(number=3, goods="cloth", sum_minor=10_000, quantity_thousandths=2_500),
)


def sale(key: str, card: str, redeem: int = 0, earn: int | None = None, **changes: Any) -> Any:
    return post(key, use(card, redeem, earn), receipt=receipt(100_000, LINES), **changes)


def back(key: str, of: str, *lines: ReturnLine, **changes: Any) -> ReturnReceipt:
    fields: dict[str, Any] = {
        "store": MOSCOW,
        "keys": (key,),
        "sale": of,
        "lines": lines,
        "receipt": receipt(0, number=key),
    }
    return ReturnReceipt(**fields | changes)


def line(number: int, quantity: int | None = None, **changes: Any) -> ReturnLine:
    return ReturnLine(number=number, quantity_thousandths=quantity, **changes)


def test_return_of_a_line_undoes_its_share_of_points_paid_and_earned(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    assert books.balance(card) == 4_000
    done = books.done(back("r", "s", line(1, 1_000)))
    (moved,) = done.cards
    # Half of line 1: 30 % of the receipt. It was paid with 6,000 points and earned 30 % of 4,000.
    assert (moved.redeemed, moved.earned, moved.balance) == (6_000, 1_200, 8_800)
    assert done.lines == (ReturnedLine(number=1, amount=1_000),)
    books.check_laws()


def test_all_that_is_left_comes_back_to_where_it_was(books: Books) -> None:
    card = books.card(20_000)
    before = books.lots(card)
    books.done(sale("s", card, 20_000))
    books.done(back("r1", "s", line(1, 1_000), line(3, 700)))
    books.done(back("r2", "s", line(2, 3_000)))
    books.done(back("r3", "s"))
    assert books.lots(card) == before
    assert isinstance(books.one(back("r4", "s")), ReturnExceeds)
    books.check_laws()


def test_no_more_comes_back_than_was_sold(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    books.done(back("r1", "s", line(1, 1_500)))
    written = books.written()
    refused = books.one(back("r2", "s", line(1, 501)))
    assert isinstance(refused, ReturnExceeds)
    assert dict(refused.details) == {"line": 1, "left": 500, "asked": 501}
    assert isinstance(books.one(back("r3", "s", line(9, 1))), ReturnExceeds)
    assert books.written() == written
    done = books.done(back("r4", "s", line(1, 900), fact=True))
    assert (done.lines, done.flags) == ((ReturnedLine(number=1, amount=500),), ("over_returned",))


@settings(max_examples=25)
@given(steps=st.lists(st.integers(1, 2_999), max_size=6), redeem=st.integers(0, 3_333), earn=st.integers(0, 777))
def test_rounding_never_makes_a_unit_whatever_the_steps(books: Books, steps: list[int], redeem: int, earn: int) -> None:
    card = books.card(5_000)
    key = books.key("sale")
    books.done(sale(key, card, redeem, earn))
    given, taken, left = 0, 0, 3_000
    for step in steps:
        if step > left:
            continue
        left -= step
        done = books.done(back(books.key("back"), key, line(2, step)))
        given += sum(moved.redeemed for moved in done.cards)
        taken += sum(moved.earned for moved in done.cards)
        assert books.balance(card) == 5_000 - redeem + earn + given - taken
    books.done(back(books.key("back"), key))
    assert books.balance(card) == 5_000


def test_lines_are_found_by_their_goods_and_by_their_sum(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    done = books.done(back("r1", "s", ReturnLine(goods="scarf", quantity_thousandths=1_000)))
    assert done.lines == (ReturnedLine(number=2, amount=1_000),)
    done = books.done(back("r2", "s", ReturnLine(number=1, sum_minor=15_000)))
    assert done.lines == (ReturnedLine(number=1, amount=500),)
    assert isinstance(books.one(back("r3", "s", line(1, 0))), BadAmount)
    assert isinstance(books.one(back("r4", "s", ReturnLine(goods="shoe"))), ReturnExceeds)


PIECE = (Line(number=1, goods="piece", sum_minor=10_000),)


def test_sums_of_one_piece_lose_nothing_however_they_are_cut(books: Books) -> None:
    card = books.card(10_000)
    books.done(post("s", use(card, 10_000, earn=0), receipt=receipt(10_000, PIECE)))
    backs = [books.done(back(f"r{n}", "s", ReturnLine(number=1, sum_minor=n))) for n in (3_333, 3_332, 3_335)]
    assert [done.cards[0].redeemed for done in backs] == [3_333, 3_332, 3_335]
    assert [done.lines[0].amount for done in backs] == [333, 333, 334]
    assert isinstance(books.one(back("r", "s", ReturnLine(number=1, sum_minor=1))), ReturnExceeds)
    books.check_laws()


@pytest.mark.parametrize("fact", [False, True])
def test_sum_smaller_than_a_thousandth_of_its_line_comes_back(books: Books, fact: bool) -> None:
    card = books.card(10_000)
    dear = Line(number=1, goods="dear", sum_minor=10_000_000)
    books.done(post("s", use(card, 10_000, earn=0), receipt=receipt(10_000_000, (dear,))))
    for n in range(2):
        done = books.done(back(f"r{n}", "s", ReturnLine(number=1, sum_minor=9_900), fact=fact))
        assert (done.flags, done.lines) == ((), (ReturnedLine(number=1, amount=n),))
    assert books.balance(card) == 19
    books.done(void("s", reason="return"))
    books.done(RestoreReceipt(store=MOSCOW, keys=("s",)))
    books.done(back("r", "s", ReturnLine(number=1, sum_minor=10_000_000 - 19_800)))
    assert books.balance(card) == 10_000
    assert isinstance(books.one(back("more", "s")), ReturnExceeds)
    books.check_laws()


def test_returns_kept_before_sums_were_are_read() -> None:
    told = decode_document(
        b'{"receipt":{"number":"1","till":"1","business_date":"2026-05-04"},"returned":[[1,500],[2,0,33]]}'
    )
    assert told.returned == (Back(1, 500, 0), Back(2, 0, 33))


def test_sums_and_pieces_of_a_line_come_back_together(books: Books) -> None:
    card = books.card(10_000)
    three = Line(number=1, goods="three", sum_minor=10_000, quantity_thousandths=3_000)
    books.done(post("s", use(card, 10_000, earn=0), receipt=receipt(10_000, (three,))))
    books.done(back("r1", "s", line(1, 1_000)))
    books.done(back("r2", "s", ReturnLine(number=1, sum_minor=3_333)))
    refused = books.one(back("r", "s", ReturnLine(number=1, sum_minor=3_335)))
    assert isinstance(refused, ReturnExceeds)
    assert dict(refused.details) == {"line": 1, "left": 1_001, "asked": 1_002}
    assert books.done(back("r3", "s", line(1, 1_001))).lines == (ReturnedLine(number=1, amount=1_001),)
    assert books.balance(card) == 10_000
    books.check_laws()


@settings(max_examples=25)
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 2_999)), max_size=6), redeem=st.integers(1, 10_000))
def test_steps_in_sums_and_pieces_end_where_it_began(books: Books, steps: list[tuple[bool, int]], redeem: int) -> None:
    card = books.card(10_000)
    key = books.key("sale")
    three = Line(number=1, goods="three", sum_minor=10_000, quantity_thousandths=3_000)
    books.done(post(key, use(card, redeem, earn=0), receipt=receipt(10_000, (three,))))
    for in_money, step in steps:
        wanted = ReturnLine(number=1, sum_minor=step) if in_money else line(1, step)
        before = books.balance(card)
        if not isinstance(books.one(back(books.key("back"), key, wanted)), ReturnExceeds):
            worth = step * redeem / (10_000 if in_money else 3_000)
            assert abs(books.balance(card) - before - worth) < 4
    books.one(back(books.key("back"), key))
    assert books.balance(card) == 10_000


def test_till_without_goods_returns_sums(books: Books) -> None:
    card = books.card(20_000)
    books.done(post("s", use(card, 20_000), total=100_000))
    done = books.done(back("r1", "s", ReturnLine(sum_minor=25_000)))
    assert (done.cards[0].redeemed, done.cards[0].earned) == (5_000, 1_000)
    books.done(back("r2", "s"))
    assert books.balance(card) == 20_000


def test_return_is_posted_once_and_its_repeat_says_the_same(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    first = books.done(back("r", "s", line(1, 1_000)))
    assert books.one(back("r", "s", line(1, 1_000))) == again(first)
    assert isinstance(books.one(back("r", "s", line(1, 2_000))), KeyReused)


def test_return_without_its_sale_is_refused_or_flagged(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card))
    assert isinstance(books.one(back("r", "nothing")), ReceiptNotFound)
    assert isinstance(books.one(back("r", "s", store=ALMATY)), ReceiptNotFound)
    assert books.done(back("r", "nothing", fact=True)).flags == ("sale_unknown",)
    books.check_laws()


def test_return_at_another_store_of_the_chain(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    done = books.done(back("r", "s", store=ALMATY, sale_store=MOSCOW))
    assert (done.sale_store, books.balance(card)) == (MOSCOW, 20_000)
    issued = books.rows(
        "SELECT partner_id, sum(amount) FROM entry e JOIN account a ON a.id = e.account_id "
        "WHERE a.kind IN ('issued', 'redeemed') GROUP BY partner_id HAVING sum(amount) <> 0"
    )
    assert issued == [], "the partner that sold takes it back"
    books.check_laws()


# By the number of the sale's operation -----------------------------------------------------------------------------


def by_number(key: str, of: int, *lines: ReturnLine, **changes: Any) -> ReturnReceipt:
    return back(key, "", *lines, sale_operation=of, **changes)


@settings(max_examples=8)
@given(steps=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2_000)), max_size=4), redeem=st.integers(0, 3_333))
def test_return_by_number_is_the_return_by_key(books: Books, steps: list[tuple[int, int]], redeem: int) -> None:
    cards = books.card(20_000), books.card(20_000)
    key, other_key = (books.key("s") for _ in cards)
    books.done(sale(key, cards[0], redeem))
    number = books.done(sale((books.key("t"), other_key), cards[1], redeem)).operation_id
    for step in [*((line(*each),) for each in steps), ()]:
        one, other = back(books.key("r"), key, *step), by_number(books.key("r"), number, *step)
        told, same = books.one(one), books.one(other)
        if isinstance(told, LoyaltyError):
            assert type(told) is type(same)
            continue
        assert isinstance(told, ReceiptReturned) and isinstance(same, ReceiptReturned)
        assert (same.base_id, same.lines, same.flags) == (number, told.lines, told.flags)
        assert [(each.redeemed, each.earned) for each in same.cards] == [(e.redeemed, e.earned) for e in told.cards]
    assert [amount for *_, amount in books.lots(cards[0])] == [amount for *_, amount in books.lots(cards[1])]
    books.check_laws()


def test_number_names_what_stands_and_nothing_else(books: Books) -> None:
    card = books.card(20_000)
    first = books.done(sale("s", card, 20_000, at=1)).operation_id
    second = books.done(sale(("t", "s"), card, 10_000, at=2, supersede=True)).operation_id
    voided = books.done(void("s", at=3, reason="return")).operation_id
    done = books.done(RestoreReceipt(store=MOSCOW, keys=("s",), stamp=stamp(4)))
    returned = books.done(by_number("r", done.operation_id, line(1, 1_000)))
    assert (returned.sale, returned.base_id) == ("t", done.operation_id)
    written = books.written()
    for number in (first, second, voided, returned.operation_id, 2**63 - 1):
        assert number is not None
        assert isinstance(books.one(by_number(f"r{number}", number)), ReceiptNotFound), number
    assert isinstance(books.one(by_number("o", done.operation_id, store=ALMATY)), ReceiptNotFound)
    assert books.written() == written
    assert books.done(by_number("f", first, fact=True)).flags == ("sale_unknown",)
    books.done(by_number("a", done.operation_id, store=ALMATY, sale_store=MOSCOW))
    assert books.balance(card) == 20_000
    books.check_laws()


def test_return_by_number_is_posted_once_whatever_becomes_of_its_sale(books: Books) -> None:
    card = books.card(20_000)
    number = books.done(sale("s", card, 20_000)).operation_id
    first = books.done(by_number("r", number, line(1, 1_000)))
    assert books.one(by_number("r", number, line(1, 1_000))) == again(first)
    assert isinstance(books.one(by_number("r", number + 1, line(1, 1_000))), KeyReused)
    books.done(void("s"))
    assert books.one(by_number("r", number, line(1, 1_000))) == again(first)
    assert books.done(void("r")).outcome == "nothing"
    assert isinstance(books.one(by_number("r2", number)), ReceiptNotFound)
    assert books.balance(card) == 20_000
    books.check_laws()


def test_sale_is_named_by_key_or_by_number_that_can_be_one(books: Books) -> None:
    card = books.card(20_000)
    number = books.done(sale("s", card, 20_000)).operation_id
    unfit = [back("r1", "s", sale_operation=number), *(by_number(f"n{n}", n) for n in (0, -1, 2**63, 10**40))]
    sound = Exchange(store=MOSCOW, returned=by_number("r", number), sold=sale("s2", card, 20_000))
    *refused, done = books.core.execute([*unfit, sound])
    assert all(isinstance(outcome, BadMessage) for outcome in refused)
    assert not isinstance(done, LoyaltyError)
    books.check_laws()


def test_messages_that_are_played_again_name_their_sales_by_key(books: Books) -> None:
    """In scratch books operations have other numbers."""
    number = books.done(sale("s", books.card())).operation_id
    known, unknown, plain = by_number("r", number), by_number("r", number + 1), back("r", "s")
    swap = Exchange(store=MOSCOW, returned=known, sold=sale("s2", books.card()))
    played = by_key(books.core, [known, unknown, swap])
    assert played == [plain, unknown, Exchange(store=MOSCOW, returned=plain, sold=swap.sold)]


def spend_all(books: Books, card: str) -> None:
    books.done(post(books.key("spend"), use(card, books.balance(card), earn=0)))


@pytest.mark.parametrize(
    ("product", "can_deduct", "balance", "keep_back", "flag"),
    [
        (PLAIN, False, -5_000, 0, "debt"),
        (FORGIVING, False, 0, 0, "forgiven"),
        (DEDUCTING, True, 0, 5_000, "deducted"),
        (DEDUCTING, False, -5_000, 0, "debt"),
    ],
)
def test_points_that_are_spent_already_follow_the_policy(
    books: Books, product: str, can_deduct: bool, balance: int, keep_back: int, flag: str
) -> None:
    card = books.card(product=product)
    books.done(sale("s", card))
    spend_all(books, card)
    done = books.done(back("r", "s", can_deduct=can_deduct))
    assert (books.balance(card), done.keep_back_minor, done.flags) == (balance, keep_back, (flag,))
    books.check_laws()


def test_taken_from_its_own_lot_then_from_others_soonest_expiring(books: Books, clock: StillClock) -> None:
    card = books.card()
    books.done(adjust("late", card, 1_000, expires_days=300))
    books.done(adjust("soon", card, 1_000, expires_days=5))
    books.done(sale("s", card, earn=2_000))
    books.done(post("spends", use(card, 2_500, earn=0)))
    books.done(back("r", "s"))
    assert books.balance(card) == -500
    books.check_laws()


def test_given_back_points_repay_the_accounts_debt_first(books: Books) -> None:
    card = books.card(1_000)
    books.done(sale("s", card, 1_000, earn=0))
    books.done(adjust("owes", card, -400, allow_debt=True))
    books.done(back("r", "s"))
    assert [row[2] for row in books.lots(card)] == [600]


@pytest.mark.parametrize(("product", "unit", "lives"), [(PLAIN, POINTS, 0), (GRACED, MILES, 500)])
def test_points_given_back_to_an_expired_lot_live_for_the_days_of_grace(
    books: Books, clock: StillClock, product: str, unit: str, lives: int
) -> None:
    card = books.card(product=product)
    books.done(adjust("gift", card, 500, unit, expires_days=1))
    books.done(post("s", use(card, 500, earn=0, unit=unit)))
    clock.forward(days=10)
    books.done(back("r", "s"))
    assert books.balances(card)[unit].available == lives
    chores.expire_lots(books.core)
    assert books.balance(card, unit) == lives
    clock.forward(days=8)
    chores.expire_lots(books.core)
    assert books.balance(card, unit) == 0
    books.check_laws()


def test_void_of_a_return_sells_the_line_again(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    after = books.lots(card)
    books.done(back("r", "s", line(1, 1_000)))
    books.done(void("r"))
    assert books.lots(card) == after
    assert books.done(back("r2", "s", line(1, 2_000))).lines == (ReturnedLine(number=1, amount=2_000),)
    books.check_laws()


def test_void_of_a_sale_takes_its_returns_along(books: Books) -> None:
    card = books.card(20_000)
    before = books.lots(card)
    books.done(sale("s", card, 20_000))
    books.done(back("r", "s", line(1, 1_000)))
    books.done(void("s"))
    assert books.lots(card) == before
    assert isinstance(books.one(back("r2", "s")), ReceiptNotFound)
    assert books.done(void("r")).outcome == "nothing"
    assert books.lots(card) == before
    books.check_laws()


def test_restored_sale_remembers_what_had_come_back(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    books.done(back("r", "s", line(1, 1_000)))
    after = books.balance(card)
    books.done(void("s", reason="return"))
    assert books.done(RestoreReceipt(store=MOSCOW, keys=("s",))).outcome == "restored"
    assert books.balance(card) == after
    assert isinstance(books.one(back("r2", "s", line(1, 1_001))), ReturnExceeds)
    books.done(back("r2", "s"))
    assert books.balance(card) == 20_000
    books.done(void("s", reason="return"))
    assert books.balance(card) == 20_000
    books.check_laws()


def test_newer_version_of_a_sale_undoes_its_returns_and_says_so(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000, at=1, supersede=True))
    books.done(back("r", "s", line(1, 1_000)))
    newer = books.done(sale("s", card, 10_000, earn=0, at=2, supersede=True))
    assert newer.flags == ("returns_undone", "superseded")
    assert books.balance(card) == 10_000
    assert books.done(void("r")).outcome == "nothing"
    books.check_laws()


def test_newer_version_of_a_return_takes_the_place_of_the_old_one(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000, earn=0))
    books.done(back("r", "s", line(1, 1_000), stamp=books.clock.at, supersede=True))  # type: ignore[union-attr]
    done = books.done(back("r", "s", line(1, 2_000), stamp=books.clock.at, supersede=True))  # type: ignore[union-attr]
    assert done.flags == ("superseded",)
    assert books.balance(card) == 12_000
    assert isinstance(books.one(back("r2", "s", line(1, 1))), ReturnExceeds)
    books.check_laws()


def test_void_before_its_return_leaves_a_tombstone(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    books.done(void("r"))
    assert isinstance(books.one(back("r", "s")), AlreadyVoided)


def test_receipt_tells_what_has_come_back(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    books.done(back("r", "s", line(1, 1_000)))
    (found,) = books.core.answer([ReadReceipt(store=MOSCOW, key="s")])
    assert found.returned == (ReturnedLine(number=1, amount=1_000),)  # type: ignore[union-attr]


def test_deposit_that_paid_comes_back_as_money(books: Books) -> None:
    card = books.card()
    books.done(TopUp(store=MOSCOW, keys=("t",), card=ref(card), amount=Amount("RUB", 50_000)))
    books.done(post("s", use(card, 50_000, earn=0, unit="RUB"), receipt=receipt(100_000, LINES)))
    books.done(back("r", "s", line(1, 2_000)))
    assert books.balance(card, "RUB") == 30_000
    books.check_laws()


def test_line_that_loaded_money_comes_back_as_cash(books: Books) -> None:
    card = books.card()
    lines = (*LINES, Line(number=4, goods="top-up", sum_minor=50_000, kind="top_up"))
    charged = CardUse(refs=(ref(card),), top_up=(Amount("RUB", 50_000),))
    posted = books.done(post("s", charged, receipt=receipt(150_000, lines)))
    assert {(m.unit, m.earned) for m in posted.cards} == {("RUB", 50_000), (POINTS, 5_000)}
    books.done(back("r", "s", line(4)))
    assert (books.balance(card, "RUB"), books.balance(card)) == (0, 5_000)
    books.done(void("s"))
    assert (books.balance(card, "RUB"), books.balance(card)) == (0, 0)
    books.check_laws()


@pytest.mark.parametrize("numbers", [(1, 1), (0, 0), (7, 7)])
@pytest.mark.parametrize("fact", [False, True])
def test_lines_that_share_a_number_come_back_each_by_itself(books: Books, numbers: tuple[int, int], fact: bool) -> None:
    card = books.card(4_000)
    lines = (
        Line(number=numbers[0], goods="a", sum_minor=3_000, quantity_thousandths=3_000),
        Line(number=numbers[1], goods="b", sum_minor=1_000),
    )
    books.done(post("s", use(card, 4_000, earn=0), receipt=receipt(4_000, lines), fact=fact))
    books.done(back("r1", "s", ReturnLine(goods="a", quantity_thousandths=2_000), fact=fact))
    assert books.balance(card) == 2_000
    books.done(back("r2", "s", ReturnLine(goods="b"), fact=fact))
    assert books.balance(card) == 3_000
    books.done(back("r3", "s", fact=fact))
    assert books.balance(card) == 4_000
    books.check_laws()


def test_lines_keep_the_numbers_that_the_till_gave_if_these_tell_them_apart() -> None:
    told = [Line(number=number, goods="x", sum_minor=1) for number in (2, 0, 2, 1, 9)]
    assert [line.number for line in numbered(receipt(5, told)).lines] == [2, 3, 4, 1, 9]


@pytest.mark.parametrize(("earn", "points"), [((), 0), (None, 5_000)])
def test_load_without_a_line_of_its_own_comes_back_as_cash(
    books: Books, earn: tuple[Amount, ...] | None, points: int
) -> None:
    card = books.card(product=FORGIVING)
    charged = CardUse(refs=(ref(card),), earn=earn, top_up=(Amount("RUB", 5_000),))
    books.done(post("s", charged, total=100_000))
    assert (books.balance(card, "RUB"), books.balance(card)) == (5_000, points)
    books.done(back("r1", "s", ReturnLine(sum_minor=50_000)))
    assert (books.balance(card, "RUB"), books.balance(card)) == (2_500, points // 2)
    books.done(back("r2", "s"))
    assert (books.balance(card, "RUB"), books.balance(card)) == (0, 0)
    kept = books.rows(
        "SELECT a.kind FROM entry e JOIN account a ON a.id = e.account_id WHERE a.partner_id IS NOT NULL "
        "GROUP BY a.kind HAVING sum(e.amount) <> 0"
    )
    assert kept == []
    books.check_laws()


def test_load_without_a_line_of_its_own_stays_when_goods_come_back(books: Books) -> None:
    card = books.card()
    charged = CardUse(refs=(ref(card),), earn=(), top_up=(Amount("RUB", 5_000),))
    books.done(post("s", charged, receipt=receipt(105_000, LINES)))
    books.done(back("r", "s", line(1)))
    assert books.balance(card, "RUB") == 5_000
    books.done(void("s"))
    assert books.balance(card, "RUB") == 0
    books.check_laws()


@pytest.mark.parametrize("days_before", [0, 3])
@pytest.mark.parametrize("undo", ["return", "void"])
def test_restored_sale_gives_back_with_the_days_of_grace(
    books: Books, clock: StillClock, undo: str, days_before: int
) -> None:
    card = books.card(product=GRACED)
    books.done(adjust("gift", card, 500, MILES, expires_days=1))
    books.done(post("s", use(card, 500, earn=0, unit=MILES)))
    books.done(void("s", reason="return"))
    clock.forward(days=days_before)
    books.done(RestoreReceipt(store=MOSCOW, keys=("s",)))
    clock.forward(days=5)
    books.done(back("r", "s") if undo == "return" else void("s"))
    assert books.balances(card)[MILES].available == 500
    books.check_laws()


@pytest.mark.parametrize("undo", ["return", "void"])
def test_points_that_expired_repay_no_debt(books: Books, clock: StillClock, undo: str) -> None:
    card = books.card()
    books.done(adjust("gift", card, 1_000, expires_days=1))
    books.done(post("s", use(card, 1_000, earn=0)))
    books.done(adjust("owes", card, -500, allow_debt=True))
    clock.forward(days=5)
    books.done(back("r", "s") if undo == "return" else void("s"))
    chores.expire_lots(books.core)
    assert books.balance(card) == -500
    books.check_laws()


def test_restored_sale_with_a_voided_return_breaks_no_law(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    books.done(back("r", "s", line(1, 1_000)))
    books.done(void("s", reason="return"))
    books.done(RestoreReceipt(store=MOSCOW, keys=("s",)))
    books.check_laws()
    assert not [check.name for check in verify(books.database) if check.rows]


# Without a sale, and exchanges -------------------------------------------------------------------------------


def test_return_without_a_sale_moves_what_is_told(books: Books) -> None:
    card = books.card(1_000)
    told = CardUse(refs=(ref(card),), redeem=(Amount(POINTS, 300),), earn=(Amount(POINTS, 50),))
    done = books.done(back("r", "", cards=(told,)))
    assert (done.cards[0].redeemed, done.cards[0].earned, books.balance(card)) == (300, 50, 1_250)
    books.done(void("r"))
    assert books.balance(card) == 1_000
    books.check_laws()


def test_return_without_a_sale_takes_what_the_goods_would_earn_today(books: Books) -> None:
    card = books.card(10_000)
    done = books.done(back("r", "", cards=(use(card),), receipt=receipt(100_000, LINES)))
    assert (done.cards[0].earned, books.balance(card)) == (5_000, 5_000)
    assert isinstance(books.one(back("r2", "", cards=(use("7770000000000003"),))), CardNotFound)
    assert books.done(back("r2", "", cards=(use("7770000000000003"),), fact=True)).flags == ("suspense",)


@pytest.mark.parametrize("product", [PLAIN, FORGIVING, DEDUCTING])
def test_what_comes_back_without_a_sale_pays_for_what_is_lost_first(books: Books, product: str) -> None:
    card = books.card(product=product)
    done = books.done(back("r", "", cards=(use(card, 1_000, earn=500),), can_deduct=True))
    assert (books.balance(card), done.keep_back_minor, done.flags) == (500, 0, ())
    (moved,) = done.cards
    assert (moved.card, moved.redeemed, moved.earned, moved.available) == (card, 1_000, 500, 500)
    books.check_laws()


@pytest.mark.parametrize(
    ("product", "can_deduct", "balance", "keep_back", "flag"),
    [
        (PLAIN, False, -300, 0, "debt"),
        (FORGIVING, False, 0, 0, "forgiven"),
        (DEDUCTING, True, 0, 300, "deducted"),
        (DEDUCTING, False, -300, 0, "debt"),
    ],
)
def test_loss_without_a_sale_beyond_all_there_is_follows_the_policy(
    books: Books, product: str, can_deduct: bool, balance: int, keep_back: int, flag: str
) -> None:
    card = books.card(100, product=product)
    done = books.done(back("r", "", cards=(use(card, 100, earn=500),), can_deduct=can_deduct))
    assert (books.balance(card), done.keep_back_minor, done.flags) == (balance, keep_back, (flag,))
    books.check_laws()


def test_cards_that_shared_a_purchase_lose_without_the_sale_what_they_earned(books: Books) -> None:
    first, second = books.card(), books.card()
    cards = (use(first, spend_minor=60_000), use(second, spend_minor=40_000))
    books.done(post("s", *cards, receipt=receipt(100_000, LINES)))
    assert (books.balance(first), books.balance(second)) == (3_000, 2_000)
    books.done(back("r", "", cards=cards, receipt=receipt(100_000, LINES)))
    assert (books.balance(first), books.balance(second)) == (0, 0)
    stranger = use("7770000000000003", spend_minor=40_000)
    books.done(back("r2", "", cards=(cards[0], stranger), receipt=receipt(100_000, LINES), fact=True))
    assert books.balance(first) == -3_000, "the stranger's share is not the first one's"


@pytest.mark.parametrize("fact", [False, True])
def test_two_cards_of_one_wallet_come_back_without_a_sale_as_one(books: Books, fact: bool) -> None:
    card = books.card()
    other = books.card(wallet_of=ref(card))
    done = books.done(back("r", "", cards=(use(card, 100, earn=0), use(other, 200, earn=30)), fact=fact))
    (moved,) = done.cards
    assert (moved.card, moved.redeemed, moved.earned, moved.balance) == (card, 300, 30, 270)
    books.check_laws()


def test_money_given_back_without_a_sale_ends_with_its_card(books: Books) -> None:
    gift = books.done(SellGiftCard(store=MOSCOW, keys=("g",), product=CERTIFICATE, amount=500)).number
    books.done(post("s", use(gift, 500, earn=0, unit="RUB")))
    ends = {row[0] for row in books.rows("SELECT expires_at FROM lot")}
    books.done(back("r", "", cards=(use(gift, 500, earn=0, unit="RUB"),)))
    assert books.balance(gift, "RUB") == 500
    assert {row[0] for row in books.rows("SELECT expires_at FROM lot")} == ends
    books.check_laws()


def test_points_given_back_without_a_sale_are_there_at_once(books: Books) -> None:
    card = books.card(product=SLOW)
    done = books.done(back("r", "", cards=(use(card, 500, earn=0),)))
    assert done.cards[0].available == 500


def test_exchange_is_both_or_neither(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000, earn=0))
    before = (books.written(), books.lots(card))
    wanted = Exchange(store=MOSCOW, returned=back("r", "s", line(1)), sold=post("new", use(card, 12_001, earn=0)))
    assert isinstance(books.one(wanted), InsufficientPoints)
    assert (books.written(), books.lots(card)) == before
    fits = Exchange(store=MOSCOW, returned=back("r", "s", line(1)), sold=post("new", use(card, 12_000, earn=0)))
    first = books.done(fits)
    assert isinstance(first.returned, ReceiptReturned)
    assert books.balance(card) == 0
    repeated = books.done(fits)
    assert (repeated.replayed, repeated.sold) == (True, again(first.sold))
    books.check_laws()


def test_wrong_pin_inside_an_exchange_counts(books: Books) -> None:
    gift = books.done(SellGiftCard(store=MOSCOW, keys=("g",), product=PINNED, amount=10_000)).number
    card = books.card(20_000)
    books.done(sale("s", card, 20_000, earn=0))
    books.done(SetPin(store=MOSCOW, keys=("p",), card=ref(gift), pin="1234"))
    for n, wrong in enumerate(("0000", "1111", "2222", "3333")):
        paid = CardUse(refs=(ref(gift),), redeem=(Amount("RUB", 100),), pin=wrong)
        outcome = books.one(Exchange(store=MOSCOW, returned=back(f"r{n}", "s", line(1, 1)), sold=post(f"n{n}", paid)))
        assert isinstance(outcome, LoyaltyError)
        assert outcome.code == ("wrong_pin" if n < 2 else "pin_locked")
    assert books.balance(card) == 0


# What one batch does together --------------------------------------------------------------------------------


def test_returns_of_one_sale_in_one_batch_share_what_is_left(books: Books) -> None:
    card = books.card(20_000)
    outcomes = books.core.execute([sale("s", card, 20_000), back("a", "s"), back("b", "s")])
    assert [type(outcome).__name__ for outcome in outcomes] == ["ReceiptPosted", "ReceiptReturned", "ReturnExceeds"]
    assert books.balance(card) == 20_000
    books.check_laws()


def test_void_of_a_sale_undoes_a_return_of_the_same_batch(books: Books) -> None:
    card = books.card(20_000)
    books.core.execute([sale("s", card, 20_000), back("a", "s", line(1)), void("s")])
    assert books.balance(card) == 20_000
    books.check_laws()


def test_sale_voided_and_restored_in_one_batch_stands(books: Books) -> None:
    card = books.card(20_000)
    again_posted = RestoreReceipt(store=MOSCOW, keys=("s",))
    outcomes = books.core.execute([sale("s", card, 20_000), void("s", reason="return"), again_posted])
    assert getattr(outcomes[-1], "outcome", outcomes[-1]) == "restored"
    assert books.done(back("r", "s")).cards[0].balance == 20_000
    books.check_laws()


def test_voided_return_is_not_restored(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    books.done(back("r", "s", line(1)))
    books.done(void("r", reason="return"))
    assert isinstance(books.one(RestoreReceipt(store=MOSCOW, keys=("r",))), KeyReused)
    books.done(back("r2", "s"))
    assert books.balance(card) == 20_000
    books.check_laws()


@pytest.mark.parametrize("product", [PLAIN, FORGIVING, DEDUCTING])
def test_debt_that_a_sale_repaid_comes_back_with_its_return(books: Books, product: str) -> None:
    card = books.card(product=product)
    books.done(adjust("owes", card, -300, allow_debt=True))
    books.done(sale("s", card, earn=500))
    assert books.balance(card) == 200
    done = books.done(back("r", "s", can_deduct=True))
    assert (books.balance(card), done.keep_back_minor) == (-300, 0)
    books.check_laws()


@pytest.mark.parametrize("is_written", [True, False], ids=["worker ran", "worker did not run"])
def test_worker_makes_no_difference_to_what_is_taken_back(books: Books, clock: StillClock, is_written: bool) -> None:
    card = books.card(100)
    books.done(adjust("v", card, 50, expires_days=3))
    clock.forward(days=5)
    if is_written:
        chores.expire_lots(books.core)
    books.done(void("v"))
    chores.expire_lots(books.core)
    balance = books.balances(card)[POINTS]
    assert (balance.balance, balance.available) == (100, 100)
    books.check_laws()


def test_fact_by_a_sum_of_an_unknown_line_is_posted_and_flagged(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    for n, wanted in enumerate((ReturnLine(number=9, sum_minor=500), ReturnLine(number=1, sum_minor=0))):
        assert isinstance(books.one(back(f"r{n}", "s", wanted)), ReturnExceeds | BadAmount)
        assert books.done(back(f"r{n}", "s", wanted, fact=True)).flags == ("over_returned",)
    assert books.balance(card) == 4_000


def test_return_that_is_a_fact_happened_when_its_receipt_was_closed(books: Books, clock: StillClock) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000, earn=0))
    sold_at = clock.at
    clock.forward(days=3)
    happened = sold_at + timedelta(days=1)
    books.done(back("r", "s", fact=True, receipt=receipt(0, number="r", closed_at=happened)))
    as_of = [books.balances(card, at)[POINTS].balance for at in (sold_at, happened, clock.at)]
    assert as_of == [0, 20_000, 20_000]
    books.check_laws()


def test_restored_sale_with_a_debt_is_returned(books: Books) -> None:
    card = books.card()
    books.done(sale("s", card, 101, 1_161, fact=True))
    books.done(void("s", reason="return"))
    books.done(RestoreReceipt(store=MOSCOW, keys=("s",)))
    books.done(back("r", "s"))
    assert books.balance(card) == 0
    books.check_laws()


def test_expiry_is_brought_back_once(books: Books, clock: StillClock) -> None:
    card = books.card(1_000)
    lot: dict[str, Any] = {"expires_days": 3}
    books.done(adjust("a", card, 50, **lot))
    books.done(adjust("b", card, 70, **lot))
    clock.forward(days=5)
    chores.expire_lots(books.core)
    for key in ("a", "b"):
        books.done(void(key))
        assert books.balance(card) == 1_000
    books.done(sale("s", card, earn=0))
    expired = books.rows("SELECT sum(amount) FROM entry e JOIN account a ON a.id = e.account_id WHERE a.kind='expired'")
    assert int(expired[0][0]) == 0
    books.check_laws()


@pytest.mark.parametrize("is_batch", [True, False])
def test_expiry_before_a_merge_is_brought_back_after_it(books: Books, clock: StillClock, is_batch: bool) -> None:
    source, target = books.card(100), books.card(1_000)
    books.done(adjust("a", source, 50, expires_days=3))
    clock.forward(days=5)
    chores.expire_lots(books.core)
    commands = [MergeHolders(store=MOSCOW, keys=("m",), source=ref(source), target=ref(target)), void("a")]
    for group in [commands] if is_batch else [[command] for command in commands]:
        books.core.execute(group)
    assert books.balance(target) == 1_100
    books.check_laws()


def test_no_kopeck_is_lost_on_the_way_from_lot_to_lot(books: Books) -> None:
    card = books.card()
    books.done(adjust("a", card, 3_333, expires_days=1))
    books.done(adjust("b", card, 6_667, expires_days=2))
    books.done(post("s", use(card, 10_000, earn=0), receipt=receipt(25_000, LINES[:1])))
    assert books.done(back("r1", "s", line(1, 1_000))).cards[0].redeemed == 5_000
    assert books.done(back("r2", "s", line(1, 1_000))).cards[0].redeemed == 5_000
    assert sorted(row[2] for row in books.lots(card)) == [3_333, 6_667]


def test_refusal_of_a_return_tells_what_was_left_and_asked(books: Books) -> None:
    card = books.card(20_000)
    books.done(sale("s", card, 20_000))
    books.done(back("r1", "s", line(1, 500)))
    refused = books.one(back("r2", "s", line(1, 1_700)))
    assert isinstance(refused, ReturnExceeds)
    assert dict(refused.details) == {"line": 1, "left": 1_500, "asked": 1_700}


def test_rounding_creates_no_point_when_a_return_between_was_undone(books: Books) -> None:
    """Three pieces paid with 10 points: 3, 7, the first one undone, and again one piece, the same: 3."""
    card = books.card(10)
    pieces = Line(number=1, goods="g", quantity_thousandths=3_000, price_minor=4, sum_minor=10)
    books.done(post("sale", use(card, redeem=10, earn=0), receipt=receipt(10, (pieces,))))

    def back(key: str, quantity: int) -> None:
        lines = (ReturnLine(number=1, quantity_thousandths=quantity),)
        books.done(ReturnReceipt(store=MOSCOW, keys=(key,), receipt=receipt(0), sale="sale", lines=lines))

    back("first", 1_000)
    back("second", 2_000)
    books.done(void("first"))
    back("third", 1_000)
    assert books.balance(card) == 10
