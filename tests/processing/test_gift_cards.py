"""Gift cards, deposits, PINs, and value that moves without a receipt."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from processing import chores
from processing.commands import (
    Accrue,
    Amount,
    BlockCard,
    CaptureHold,
    CardUse,
    IssueCard,
    PayOut,
    PlaceHold,
    Redeem,
    SellGiftCard,
    SetPin,
    Transfer,
    UnblockCard,
)
from processing.errors import (
    BadAmount,
    CardBlocked,
    CardClosed,
    CardExpired,
    CardNotActive,
    CardNotFound,
    CardStatusWrong,
    HoldExpired,
    InsufficientPoints,
    LoyaltyError,
    NotGiftCard,
    PinLocked,
    PinRequired,
    SameWallet,
    WrongPin,
)
from processing.results import GiftCardSold
from tests.processing.books import (
    ALMATY,
    GIFT,
    MONEY,
    MOSCOW,
    PINNED,
    PLAIN,
    POINTS,
    Books,
    StillClock,
    adjust,
    again,
    post,
    ref,
    top_up,
    use,
    void,
)


def sell(key: str, amount: int | None = 100_000, product: str = GIFT, **changes: Any) -> SellGiftCard:
    return SellGiftCard(**{"store": MOSCOW, "keys": (key,), "product": product, "amount": amount} | changes)


def redeem(key: str, card: str, amount: int | None = None, unit: str = MONEY, **changes: Any) -> Redeem:
    fields: dict[str, Any] = {"store": MOSCOW, "keys": (key,), "card": ref(card), "unit": unit, "amount": amount}
    return Redeem(**fields | changes)


def pay_out(key: str, card: str, amount: int | None = None, **changes: Any) -> PayOut:
    fields: dict[str, Any] = {"store": MOSCOW, "keys": (key,), "card": ref(card), "unit": MONEY, "amount": amount}
    return PayOut(**fields | changes)


def issued(books: Books, product: str = GIFT) -> str:
    return books.done(IssueCard(store=MOSCOW, keys=(books.key("issue"),), product=product)).number


def status(books: Books, card: str) -> str:
    return str(books.rows("SELECT status FROM card WHERE number = :card", card=card)[0][0])


# Selling and spending ----------------------------------------------------------------------------------------


def test_sold_card_is_active_and_holds_what_was_paid(books: Books) -> None:
    card = issued(books)
    assert isinstance(books.one(post("early", use(card, 1, unit=MONEY))), CardNotActive)
    sold = books.done(sell("g", card=ref(card), product=""))
    assert (sold.number, sold.card.balance, status(books, card)) == (card, 100_000, "active")
    assert books.one(sell("g", card=ref(card), product="")) == again(sold)
    assert isinstance(books.one(sell("g2", card=ref(card), product="")), CardStatusWrong)
    cash = books.rows("SELECT sum(amount) FROM entry e JOIN account a ON a.id = e.account_id WHERE a.kind = 'cash'")
    assert cash == [(-100_000,)]
    books.check_laws()


def test_product_alone_sells_a_new_card(books: Books) -> None:
    first, second = books.done(sell("a")), books.done(sell("b"))
    assert first.number != second.number
    assert books.balance(second.number, MONEY) == 100_000


def test_gift_card_is_spent_in_parts_at_any_store_and_never_beyond(books: Books) -> None:
    card = books.done(sell("g")).number
    books.done(post("one", use(card, 30_000, earn=0, unit=MONEY)))
    books.done(redeem("two", card, 50_000, store=ALMATY))
    assert isinstance(books.one(redeem("three", card, 20_001)), InsufficientPoints)
    assert books.done(redeem("rest", card)).card.redeemed == 20_000
    assert isinstance(books.one(redeem("nothing", card)), InsufficientPoints)
    books.check_laws()


@pytest.mark.parametrize("amount", [0, -1, 10**16])
def test_gift_card_is_sold_for_a_sound_amount(books: Books, amount: int) -> None:
    assert isinstance(books.one(sell("g", amount)), BadAmount)
    assert books.count("card") == 0


def test_only_products_of_value_are_sold(books: Books) -> None:
    assert isinstance(books.one(sell("g", product=PLAIN)), NotGiftCard)
    assert isinstance(books.one(sell("g", card=ref(books.card()), product="")), NotGiftCard)


def test_voided_sale_can_be_sold_again(books: Books) -> None:
    card = issued(books)
    books.done(sell("g", card=ref(card), product=""))
    books.done(void("g"))
    assert (status(books, card), books.balance(card, MONEY)) == ("issued", 0)
    assert isinstance(books.done(sell("again", card=ref(card), product="")), GiftCardSold)
    books.check_laws()


def test_voided_sale_of_a_card_that_was_spent_blocks_it_and_owes(books: Books) -> None:
    card = books.done(sell("g")).number
    books.done(redeem("r", card, 30_000))
    books.done(void("g"))
    assert (status(books, card), books.balance(card, MONEY)) == ("blocked", -30_000)
    books.check_laws()


def test_refund_pays_out_the_rest_and_closes_the_card(books: Books) -> None:
    card = books.done(sell("g")).number
    books.done(redeem("r", card, 30_000))
    paid = books.done(pay_out("p", card, close=True))
    assert (paid.card.redeemed, paid.status) == (70_000, "closed")
    assert isinstance(books.one(redeem("late", card, 1)), CardClosed)
    books.done(void("p"))
    assert (status(books, card), books.balance(card, MONEY)) == ("active", 70_000)
    books.check_laws()


def test_card_is_closed_only_when_nothing_is_left_on_it(books: Books) -> None:
    card = books.done(sell("g")).number
    assert isinstance(books.one(pay_out("p", card, 40_000, close=True)), BadAmount)
    books.done(redeem("r", card))
    assert books.done(pay_out("p", card, close=True)).status == "closed"
    books.check_laws()


@pytest.mark.parametrize("amount", [500, -500], ids=["holds", "owes"])
def test_card_with_something_left_in_any_unit_is_not_closed(books: Books, amount: int) -> None:
    card = books.card()
    books.done(adjust("a", card, amount, allow_debt=True))
    books.done(top_up("t", card, 1_000))
    refused = books.one(pay_out("p", card, close=True))
    assert isinstance(refused, BadAmount)
    assert (refused.details["unit"], status(books, card), books.balance(card, MONEY)) == (POINTS, "active", 1_000)
    books.done(adjust("b", card, -amount))
    assert books.done(pay_out("p", card, close=True)).status == "closed"
    books.check_laws()


@pytest.mark.parametrize("is_booked", [True, False], ids=["worker ran", "worker did not run"])
def test_points_past_their_time_keep_no_card_open(books: Books, clock: StillClock, is_booked: bool) -> None:
    card = books.card()
    books.done(adjust("a", card, 500, expires_days=1))
    books.done(adjust("m", card, 700, unit=MONEY, expires_days=1))
    clock.forward(days=5)
    while is_booked and chores.expire_lots(books.core):
        pass
    assert books.done(pay_out("p", card, close=True)).status == "closed"
    chores.expire_lots(books.core)
    books.check_laws()


def test_voided_paying_out_opens_only_the_card_that_it_closed(books: Books) -> None:
    card = books.card()
    books.done(top_up("t", card, 1_000))
    books.done(pay_out("p1", card, 400))
    books.done(pay_out("p2", card, close=True))
    books.done(void("p1"))
    assert (status(books, card), books.balance(card, MONEY)) == ("closed", 400)
    books.done(void("p2"))
    assert (status(books, card), books.balance(card, MONEY)) == ("active", 1_000)
    books.check_laws()


def test_blocked_card_stays_blocked_when_its_sale_is_voided(books: Books) -> None:
    card = books.done(sell("g")).number
    books.done(BlockCard(store=MOSCOW, keys=("b",), card=ref(card), reason="stolen"))
    books.done(void("g"))
    assert (status(books, card), books.balance(card, MONEY)) == ("blocked", 0)
    assert isinstance(books.one(sell("g2", card=ref(card), product="")), CardStatusWrong)
    assert books.done(UnblockCard(store=MOSCOW, keys=("u",), card=ref(card), reason="found")).status == "issued"


def test_value_expires_with_its_card(books: Books, clock: StillClock) -> None:
    card = books.done(sell("g", product=PINNED)).number
    assert books.balances(card)[MONEY].available == 100_000
    clock.forward(days=366)
    assert books.balances(card)[MONEY].available == 0
    assert isinstance(books.one(redeem("late", card, 1)), CardExpired)
    assert chores.expire_lots(books.core) == 1
    assert books.balance(card, MONEY) == 0
    books.check_laws()


def test_deposit_is_paid_out_in_money_only(books: Books) -> None:
    card = books.card(500)
    books.done(top_up("t", card, 20_000))
    assert isinstance(books.one(pay_out("p", card, 20_001)), InsufficientPoints)
    assert isinstance(books.one(pay_out("p", card, 100, unit=POINTS)), BadAmount)
    assert books.done(pay_out("p", card, 5_000)).card.balance == 15_000
    assert status(books, card) == "active"


# Statuses ----------------------------------------------------------------------------------------------------


def test_blocked_card_pays_nothing_until_it_is_unblocked(books: Books) -> None:
    card = books.done(sell("g")).number
    block = BlockCard(store=MOSCOW, keys=("b",), card=ref(card), reason="lost")
    first = books.done(block)
    assert books.one(block) == again(first)
    for command in (redeem("r", card, 1), pay_out("p", card), post("s", use(card, 1, unit=MONEY))):
        assert isinstance(books.one(command), CardBlocked)
    assert isinstance(books.one(BlockCard(store=MOSCOW, keys=("b2",), card=ref(card), reason="")), CardStatusWrong)
    books.done(UnblockCard(store=MOSCOW, keys=("u",), card=ref(card), reason="found"))
    assert books.done(redeem("r", card, 1)).card.balance == 99_999


def test_card_blocked_before_its_activation_is_issued_again_when_unblocked(books: Books) -> None:
    card = issued(books)
    books.done(BlockCard(store=MOSCOW, keys=("b",), card=ref(card), reason="stolen box"))
    assert isinstance(books.one(sell("g", card=ref(card), product="")), CardStatusWrong)
    assert books.done(UnblockCard(store=MOSCOW, keys=("u",), card=ref(card), reason="found")).status == "issued"


# PINs --------------------------------------------------------------------------------------------------------


def pinned(books: Books, pin: str = "1234") -> str:
    card = books.done(sell(books.key("g"), product=PINNED)).number
    books.done(SetPin(store=MOSCOW, keys=(books.key("pin"),), card=ref(card), pin=pin))
    return card


def test_card_of_value_pays_only_with_its_pin(books: Books) -> None:
    card = pinned(books)
    assert isinstance(books.one(redeem("a", card, 1)), PinRequired)
    assert isinstance(books.one(redeem("a", card, 1, pin="4321")), WrongPin)
    assert books.done(redeem("a", card, 1, pin="1234")).card.redeemed == 1
    paid = CardUse(refs=(ref(card),), redeem=(Amount(MONEY, 5),))
    assert isinstance(books.one(post("s", paid)), PinRequired)


def test_card_whose_pin_was_never_set_pays_nothing(books: Books) -> None:
    card = books.done(sell("g", product=PINNED)).number
    assert isinstance(books.one(redeem("a", card, 1, pin="0000")), PinRequired)


def test_three_wrong_pins_lock_even_the_right_one_until_an_operator_helps(books: Books) -> None:
    card = pinned(books)
    told = [books.one(redeem(f"k{n}", card, 1, pin=pin)) for n, pin in enumerate(("0000", "1111", "2222", "1234"))]
    assert [outcome.code for outcome in told if isinstance(outcome, LoyaltyError)] == [
        "wrong_pin",
        "wrong_pin",
        "pin_locked",
        "pin_locked",
    ]
    assert isinstance(told[0], WrongPin)
    assert told[0].details["left"] == 2
    books.done(UnblockCard(store=MOSCOW, keys=("u",), card=ref(card), reason="the guest showed the receipt"))
    assert books.done(redeem("ok", card, 1, pin="1234")).card.redeemed == 1


def test_same_wrong_pin_sent_again_does_not_count(books: Books) -> None:
    card = pinned(books)
    for _ in range(5):
        assert isinstance(books.one(redeem("k", card, 1, pin="0000")), WrongPin)
    assert books.done(redeem("k", card, 1, pin="1234")).card.redeemed == 1


def test_wrong_pins_of_one_batch_all_count(books: Books) -> None:
    card = pinned(books)
    commands = [redeem(f"k{n}", card, 1, pin=f"{n:04}") for n in range(8)]
    outcomes = books.core.execute(commands)
    assert sum(isinstance(outcome, WrongPin) for outcome in outcomes) == 2
    assert isinstance(books.one(redeem("late", card, 1, pin="1234")), PinLocked)


def test_hold_asks_for_the_pin_and_its_receipt_does_not_ask_again(books: Books) -> None:
    card = pinned(books)
    hold = PlaceHold(store=MOSCOW, keys=("h",), card=ref(card), unit=MONEY, amount=500)
    assert isinstance(books.one(hold), PinRequired)
    told = PlaceHold(store=MOSCOW, keys=("h",), card=ref(card), unit=MONEY, amount=500, pin="1234")
    books.done(told)
    paid = CardUse(refs=(ref(card),), redeem=(Amount(MONEY, 500),), hold="h")
    assert books.done(post("s", paid)).cards[0].redeemed == 500


def test_hold_stands_for_the_pin_of_what_it_pins_and_of_nothing_more(books: Books) -> None:
    card = pinned(books)
    books.done(PlaceHold(store=MOSCOW, keys=("h",), card=ref(card), unit=MONEY, amount=500, pin="1234"))
    half = CardUse(refs=(ref(card),), redeem=(Amount(MONEY, 300),), hold="h")
    assert isinstance(books.one(post("s", half, half)), PinRequired)
    more = CardUse(refs=(ref(card),), redeem=(Amount(MONEY, 501),), hold="h")
    assert isinstance(books.one(post("s", more)), PinRequired)
    assert books.done(post("s", msgspec.structs.replace(more, pin="1234"))).cards[0].redeemed == 501


def test_late_hold_of_a_card_with_a_pin_is_not_captured(books: Books, clock: StillClock) -> None:
    card = pinned(books)
    books.done(PlaceHold(store=MOSCOW, keys=("h",), card=ref(card), unit=MONEY, amount=500, pin="1234", seconds=60))
    clock.forward(minutes=5)
    assert isinstance(books.one(CaptureHold(store=MOSCOW, keys=("c",), hold="h")), HoldExpired)


@pytest.mark.parametrize("pin", ["", "0000", "1234"])
def test_key_that_has_paid_tells_nobody_whether_a_pin_is_right(books: Books, pin: str) -> None:
    card = pinned(books)
    paid = CardUse(refs=(ref(card),), redeem=(Amount(MONEY, 5),), pin="1234")
    asked = [redeem("k", card, 1, pin="1234"), post("s", paid)]
    first = [books.done(command) for command in asked]
    again = [
        books.done(redeem("k", card, 1, pin=pin)),
        books.done(post("s", msgspec.structs.replace(paid, pin=pin))),
    ]
    assert [msgspec.structs.replace(each, replayed=False) for each in again] == first
    assert books.rows("SELECT sum(pin_tries) FROM card")[0][0] == 0


def test_pin_is_digits_and_is_stored_as_a_hash(books: Books) -> None:
    card = pinned(books, "13572468")
    stored = books.rows("SELECT pin FROM card WHERE number = :card", card=card)[0][0]
    assert "13572468" not in stored
    for pin in ("", "123", "123456789", "12a4", "١٢٣٤"):
        assert isinstance(books.one(SetPin(store=MOSCOW, keys=("x",), card=ref(card), pin=pin)), LoyaltyError)


# Likeness ----------------------------------------------------------------------------------------------------


def like(card: str, amount: int = 100, likeness: str = "till 5|100", window: int = 60, **changes: Any) -> Redeem:
    return redeem("", card, amount, POINTS, keys=(), likeness=likeness, window_seconds=window, **changes)


def test_till_without_keys_is_known_by_likeness_for_a_while(books: Books, clock: StillClock) -> None:
    card = books.card(1_000)
    first = books.done(like(card))
    clock.forward(seconds=60)
    assert books.one(like(card)) == again(first)
    clock.forward(seconds=1)
    second = books.done(like(card))
    assert (second.replayed, books.balance(card)) == (False, 800)
    assert books.one(like(card)) == again(second)
    assert books.done(like(card, likeness="till 6|100")).card.balance == 700
    books.check_laws()


def test_voided_likeness_makes_way_for_the_next_one(books: Books) -> None:
    card = books.card(1_000)
    books.done(like(card))
    books.done(void("like:redeem:till 5|100"))
    assert books.balance(card) == 1_000
    assert books.done(like(card)).card.balance == 900
    books.check_laws()


def test_accrual_and_redemption_alike_are_two_things(books: Books) -> None:
    card = books.card(1_000)
    earned = Accrue(store=MOSCOW, card=ref(card), amount=Amount(POINTS, 100), likeness="till 5|100", window_seconds=60)
    for command in (like(card), earned, like(card), earned):
        books.done(command)
    assert books.balance(card) == 1_000


def test_likenesses_do_not_cross_stores(books: Books) -> None:
    card = books.card(1_000)
    books.done(like(card))
    assert not books.done(like(card, store=ALMATY)).replayed


def test_neither_key_nor_likeness_is_refused(books: Books) -> None:
    card = books.card(1_000)
    outcome = books.one(like(card, likeness=""))
    assert isinstance(outcome, LoyaltyError)
    assert outcome.code == "bad_message"


def test_accrual_by_likeness_and_by_key(books: Books, clock: StillClock) -> None:
    card = books.card()
    earn = Accrue(store=MOSCOW, card=ref(card), amount=Amount(POINTS, 70), likeness="a", window_seconds=10)
    books.done(earn)
    books.done(earn)
    keyed = Accrue(store=MOSCOW, keys=("k",), card=ref(card), amount=Amount(POINTS, 5))
    done = books.done(keyed)
    assert (done.card.balance, books.one(keyed)) == (75, again(done))
    books.done(void("k"))
    assert books.balance(card) == 70
    assert [row[8] for row in books.lots(card)] != [None], "it expires as the programme says"
    books.check_laws()


def test_money_is_not_accrued_and_a_fact_of_nothing_is_nothing(books: Books) -> None:
    card = books.card()
    earn = Accrue(store=MOSCOW, keys=("a",), card=ref(card), amount=Amount(MONEY, 70))
    assert isinstance(books.one(earn), BadAmount)
    assert isinstance(books.one(redeem("r", card, unit=POINTS)), InsufficientPoints)
    assert books.done(redeem("r", card, unit=POINTS, fact=True)).card.redeemed == 0
    books.check_laws()


def test_fact_without_a_usable_card_goes_to_suspense(books: Books) -> None:
    nobody = "7770000000000003"
    assert isinstance(books.one(redeem("r", nobody, 5, POINTS)), CardNotFound)
    assert books.done(redeem("r", nobody, 5, POINTS, fact=True)).flags == ("suspense",)
    earn = Accrue(store=MOSCOW, keys=("a",), card=ref(nobody), amount=Amount(POINTS, 7), fact=True)
    assert books.done(earn).flags == ("suspense",)
    books.done(void("r"))
    books.check_laws()


# Transfers ---------------------------------------------------------------------------------------------------


def test_transfer_moves_lots_with_their_terms(books: Books) -> None:
    source, target = books.card(), books.card(50)
    books.done(adjust("soon", source, 300, expires_days=3))
    books.done(adjust("late", source, 300, expires_days=30))
    give = Transfer(store=MOSCOW, keys=("t",), source=ref(source), target=ref(target), amount=Amount(POINTS, 400))
    before = books.lots(source, with_ids=False), books.lots(target, with_ids=False)
    done = books.done(give)
    assert [moved.balance for moved in done.cards] == [200, 450]
    assert sorted(row[2] for row in books.lots(target)) == [50, 100, 300]
    assert {row[8] for row in books.lots(source)} < {row[8] for row in books.lots(target)}
    books.done(void("t"))
    assert (books.lots(source, with_ids=False), books.lots(target, with_ids=False)) == before
    books.check_laws()


def test_transfer_repays_the_targets_debt_and_needs_two_wallets(books: Books) -> None:
    source, target = books.card(300), books.card()
    twin = books.card(wallet_of=ref(source))
    books.done(adjust("owes", target, -100, allow_debt=True))
    fields: dict[str, Any] = {"store": MOSCOW, "source": ref(source), "amount": Amount(POINTS, 250)}
    assert isinstance(books.one(Transfer(keys=("x",), target=ref(twin), **fields)), SameWallet)
    assert books.done(Transfer(keys=("t",), target=ref(target), **fields)).cards[1].balance == 150
    assert all(row[4] in (False, 0) for row in books.lots(target))
    assert isinstance(books.one(Transfer(keys=("u",), target=ref(target), **fields)), InsufficientPoints)
    books.check_laws()
