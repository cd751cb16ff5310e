"""The rest of FarCards through the real door and the real core: search, pictures, top-ups, several cards, resends.

Shop, Bill and the messages are those of test_rkeeper.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from adapters.registry import find
from adapters.rkeeper.pictures import qr_code
from adapters.testing import Sample, read_samples
from adapters.testing.documents import changed, respaced
from adapters.testing.suite import commands_of, other_noise
from gateway.exchange_log import Recorded
from processing.commands import IssueToken, Ref, RegisterHolder
from processing.errors import CardNotFound
from processing.results import TokenIssued
from processing.verify import verify
from tests.processing.books import GIFT, MONEY, MOSCOW, Books, StillClock
from tests.scenarios.test_rkeeper import (
    DAY,
    LINE,
    RESTORE,
    RETURN,
    ROLLBACK,
    Answer,
    Bill,
    Part,
    Shop,
    open_shop,
)

RKEEPER = find("rkeeper")
SAMPLES = read_samples(Path(__file__).parents[1] / "adapters" / "rkeeper" / "samples", RKEEPER)
POINTS_OF_EACH, MONEY_OF_EACH = 500_000, 600_000


@pytest.fixture
def shop(books: Books) -> Iterator[Shop]:
    with open_shop(books) as opened:
        yield opened
    check_laws(books)


def check_laws(books: Books) -> None:
    books.check_laws()
    assert [(check.name, check.rows) for check in verify(books.database) if check.rows] == []


# Search ------------------------------------------------------------------------------------------------------


def register(shop: Shop, card: str, name: str, phone: str = "", email: str = "") -> None:
    shop.books.done(
        RegisterHolder(
            store=MOSCOW,
            keys=(shop.books.key("holder"),),
            card=Ref("card", card),
            name=name,
            phone=phone,
            email=email,
            birthday=date(1990, 5, 4),
        )
    )


def search(shop: Shop, text: str | bytes) -> dict[str, str]:
    before = shop.everything()
    told = text if isinstance(text, bytes) else text.encode()
    answer = shop.send(b'<ROOT><QRY Email="' + told + b'"/></ROOT>', "FindEmail.php")
    assert answer.status == "200 OK"
    assert shop.everything() == before
    (found,) = answer.root
    assert found.tag == "FindEmail"
    return {str(name): str(value) for name, value in found.items()}


def test_guest_is_found_by_phone_mail_name_number_and_token(shop: Shop) -> None:
    card = shop.card(50_000)
    register(shop, card, "Анна Смирнова", "+79215550102", "anna@example.org")
    (issued,) = shop.books.core.answer([IssueToken(refs=(Ref("card", card),))])
    assert isinstance(issued, TokenIssued)
    (account,) = shop.books.rows("SELECT wallet_id FROM card WHERE number = :card", card=card)[0]
    wanted = {"Account": str(account), "CardCode": card, "Name": "Анна Смирнова", "Result": "0"}
    for text in ("8 (921) 555-01-02", "%2B79215550102", "Anna@Example.org", "смирн", card, issued.token):
        assert search(shop, text) == wanted, text
    for text in ("Смирнова".encode("cp1251"), b"%D1%EC%E8%F0%ED%EE%E2%E0"):
        assert search(shop, text) == wanted, text
    assert shop.look_up(search(shop, "смирнова")["CardCode"]).call["Holder"] == "Анна Смирнова"


def test_two_guests_of_one_name_are_not_told_unless_the_link_takes_the_first(books: Books) -> None:
    with open_shop(books) as shop:
        cards = [shop.card(), shop.card()]
        for card, name in zip(cards, ("Анна Смирнова", "Ольга Смирнова"), strict=True):
            register(shop, card, name)
        assert search(shop, "смирнова") == {
            "ErrorText": "Найдено несколько гостей. Уточните имя или введите телефон или номер карты",
            "Result": "1",
        }
        assert search(shop, "ольга")["CardCode"] == cards[1]
    with open_shop(books, several_found="first") as shop:
        assert search(shop, "смирнова")["CardCode"] in cards
    check_laws(books)


def test_of_a_guests_cards_the_usable_one_is_found_whatever_else_there_is(shop: Shop) -> None:
    old = shop.card()
    register(shop, old, "Анна", "+79215550102")
    new = shop.card(wallet_of=Ref("card", old))
    for unusable, usable in ((old, new), (new, old)):
        shop.books.set_status(unusable, "blocked")
        assert search(shop, "+79215550102")["CardCode"] == usable
        shop.books.set_status(unusable, "active")


def test_nobody_is_found_by_nonsense(shop: Shop) -> None:
    register(shop, shop.card(), "Анна")
    for text in ("", " ", "%", "%00", "а", "%FF%FE", "я" * 255, "'", "%25", "0", "9" * 80, "&#x1F600;"):
        told = search(shop, text)
        assert (told["Result"], "не найден" in told["ErrorText"]) == ("1", True), text


# Pictures and licence messages -------------------------------------------------------------------------------


def test_picture_is_the_code_of_a_token_that_finds_the_card(books: Books) -> None:
    with open_shop(books, card_image="qr") as shop:
        card = shop.card()
        (issued,) = shop.books.core.answer([IssueToken(refs=(Ref("card", card),))])
        assert isinstance(issued, TokenIssued)
        answer = shop.send(f'<ROOT><QRY CardCode="{card}"/></ROOT>'.encode(), "getcardimageex")
        assert (answer.status, answer.headers["Content-Type"]) == ("200 OK", "image/bmp")
        assert answer.body == qr_code(issued.token)
        assert search(shop, issued.token)["CardCode"] == card
        unknown = shop.send(b'<ROOT><QRY CardCode="777"/></ROOT>', "getcardimageex")
        assert [dict(node.attrib) for node in unknown.root] == [{"ErrorText": "Card or image not found"}]
        assert [row.outcome for row in shop.logged()][-1] == CardNotFound.code


def test_licence_message_is_kept_and_answered_with_nothing(shop: Shop) -> None:
    for body in (b"licence expired", b"", bytes(range(256))):
        answer = shop.send(body, "LicenseInfo.php")
        assert (answer.status, answer.body) == ("200 OK", b"")
        assert answer.headers["Content-Type"].startswith("text/xml")
    logged: list[Recorded] = shop.logged()
    assert (logged[0].request.body, logged[0].outcome) == (b"licence expired", "ok")
    assert len(logged) == 3


# Top-ups -----------------------------------------------------------------------------------------------------

LOAD = LINE.format(uni=8, code="990", name="Пополнение", sum="1000").encode()
DISH: dict[str, Any] = {"top_up_unit": MONEY, "top_up_dishes": ["990"]}
BY_RECORDS: dict[str, Any] = {"top_up_unit": MONEY, "top_up_records": True}
CASH_IN = "SELECT sum(-e.amount) FROM entry e JOIN account a ON a.id = e.account_id WHERE a.kind = 'cash'"


def with_load(body: bytes) -> bytes:
    """The receipt with a dish that loads the card with 1000.00, paid in cash."""
    return body.replace(b"</CHECKLINES>", LOAD + b"</CHECKLINES>")


def records(*rows: tuple[int, int], card: str, number: str, restaurant: int = 3) -> bytes:
    """A package without a check: (Kind, Summa) of one card."""
    told = "".join(
        f'<TransactionsEx Card="{card}" Account="0" Kind="{kind}" Summa="{summa}" Restaurant="{restaurant}" '
        f'RKDate="{DAY}T00:00:00" RKUnit="5" RKCheck="{number}"/>'
        for kind, summa in rows
    )
    return f"<ROOT><Transactions>{told}</Transactions></ROOT>".encode()


def script(body: bytes, at: str = "11:00:00") -> bytes:
    """The same as a script sends it: chmode 0, no receipt."""
    check = f'<CHECK stationcode="5" restaurantcode="310070003" generateddatetime="{DAY}T{at}" chmode="0"/>'
    return body.replace(b"</ROOT>", f"<INPBUF>{check}</INPBUF></ROOT>".encode())


def cash_in(shop: Shop) -> int:
    ((amount,),) = shop.books.rows(CASH_IN)
    return int(amount or 0)


def money(shop: Shop, card: str) -> int:
    return shop.books.balance(card, MONEY)


def test_dish_loads_the_card_once_earns_nothing_and_goes_with_its_receipt(books: Books) -> None:
    with open_shop(books, **DISH) as shop:
        card = shop.card()
        bill = Bill((Part(card, own=150_000),), total=50_000)
        for at in ("11:00:00", "11:01:00"):
            answer = shop.done(with_load(bill.body(at)))
        assert (money(shop, card), shop.points(card), cash_in(shop)) == (100_000, 2_500, 100_000)
        assert "Пополнено RUB 1000.00" in answer.slips[0]
        assert "Начислено BONUS 25.00" in answer.slips[0]
        shop.done(with_load(bill.body("11:05:00", RETURN)))
        assert (money(shop, card), shop.points(card), cash_in(shop)) == (0, 0, 0)
        shop.done(with_load(bill.body("11:06:00", RESTORE)))
        assert (money(shop, card), shop.points(card)) == (100_000, 2_500)
    check_laws(books)


def test_dish_without_one_card_stops_the_receipt(books: Books) -> None:
    with open_shop(books, **DISH) as shop:
        first, second = shop.card(), shop.card()
        shop.refused(5, with_load(Bill(total=50_000).body()))
        answer = shop.refused(5, with_load(Bill((Part(first, own=75_000), Part(second, own=75_000)), 50_000).body()))
        assert "ровно одна карта" in answer.response["err_text"]
    check_laws(books)


def test_blocked_card_is_not_loaded(books: Books) -> None:
    with open_shop(books, **DISH) as shop:
        card = shop.card()
        shop.books.set_status(card, "blocked")
        shop.refused(62, with_load(Bill((Part(card, own=150_000),), total=50_000).body()))
    check_laws(books)


def test_points_are_not_topped_up(books: Books) -> None:
    with open_shop(books, top_up_dishes=["990"]) as shop:
        shop.refused(13, with_load(Bill((Part(shop.card(), own=150_000),), total=50_000).body()))
    check_laws(books)


def test_records_load_the_card_once(books: Books) -> None:
    with open_shop(books, **BY_RECORDS) as shop:
        card = shop.card()
        first = shop.done(records((0, 70_000), (0, 30_000), card=card, number="71"))
        assert shop.done(records((0, 30_000), (0, 70_000), card=card, number="71")).body == first.body
        assert (money(shop, card), cash_in(shop)) == (100_000, 100_000)
        assert first.slips == ["Пополнено 1000.00\nБаланс 1000.00"]
        assert {row["subaccount"] for row in first.transactions} == {"2"}
        shop.done(records((0, 30_000), card=card, number="72"))
        shop.refused(94, records((0, 30_001), card=card, number="72"))
        shop.refused(30, records((0, 30_000), card=card, number="0"))
        assert money(shop, card) == 130_000
    check_laws(books)


def test_same_records_never_both_load_and_reverse(books: Books) -> None:
    """Without the option they reverse a receipt; with it they are refused where a receipt stands under their key."""
    with open_shop(books, **BY_RECORDS) as shop:
        card = shop.card(50_000)
        shop.done(records((0, -20_000), card=card, number="81"))
        shop.refused(94, records((0, 20_000), card=card, number="81"))
        assert (shop.points(card), money(shop, card)) == (30_000, 0)
        shop.done(records((0, -5_000), (3, 9_000), card=card, number="82"))
        shop.done(records((0, 5_000), (3, -9_000), card=card, number="82"))
        assert (shop.points(card), money(shop, card)) == (30_000, 0)
    with open_shop(books) as shop:
        shop.done(records((0, 20_000), card=card, number="81"))
        assert (shop.points(card), money(shop, card)) == (50_000, 0)
        shop.done(records((0, 77_000), card=card, number="83"))
        assert (shop.points(card), money(shop, card)) == (50_000, 0)
    check_laws(books)


def test_restaurant_of_their_own_loads_undoes_and_refuses_the_rest(books: Books) -> None:
    with open_shop(books, **BY_RECORDS, top_up_restaurants=[9999]) as shop:
        card = shop.card(50_000)
        load = records((0, 100_000), card=card, number="71", restaurant=9999)
        shop.done(load)
        assert money(shop, card) == 100_000
        undo = records((0, -100_000), card=card, number="71", restaurant=9999)
        first = shop.done(undo)
        assert shop.done(undo).body == first.body
        assert (money(shop, card), cash_in(shop)) == (0, 0)
        shop.refused(21, load)
        shop.refused(3, records((3, 500), card=card, number="72", restaurant=9999))
        shop.done(records((0, -20_000), card=card, number="81"))
        shop.done(records((0, 20_000), card=card, number="81"))
        assert (shop.points(card), money(shop, card)) == (50_000, 0)
    check_laws(books)


def test_change_stays_on_the_card_where_the_link_takes_records(books: Books) -> None:
    with open_shop(books, **BY_RECORDS) as shop:
        card = shop.card(50_000)
        bill = Bill((Part(card, points=20_000, own=80_000, bonus=0),))
        change = records((0, 7_750), card=card, number=bill.number).removeprefix(b"<ROOT><Transactions>")
        body = bill.body().replace(b"</Transactions>", change.removesuffix(b"</ROOT>"))
        shop.done(body)
        assert (shop.points(card), money(shop, card)) == (30_000, 7_750)
        assert "purse_sums_differ" not in shop.flags()
    with open_shop(books) as shop:
        shop.refused(30, body)
    check_laws(books)


def test_scripts_bonus_is_booked_as_the_link_says(books: Books) -> None:
    with open_shop(books) as shop:
        card = shop.card()
        gift = script(records((2, 5_000), card=card, number="17"))
        shop.done(gift)
        assert (shop.points(card), shop.kinds()) == (5_000, ["receipt"])
    with open_shop(books, script_bonus="accrue") as shop:
        card = shop.card()
        for at in ("11:00:00", "11:01:00"):
            answer = shop.done(script(records((2, 5_000), card=card, number="18"), at))
        assert (shop.points(card), shop.kinds()[-1]) == (5_000, "accrual")
        assert answer.slips == ["Начислено 50.00\nБаланс 50.00"]
        shop.done(script(records((2, 700), card=card, number="18")))
        assert shop.points(card) == 5_700
        shop.done(script(records((2, -5_000), card=card, number="18"), "11:02:00"))
        assert shop.points(card) == 700
    with open_shop(books, script_bonus="top_up", top_up_unit=MONEY) as shop:
        card = shop.card()
        shop.done(script(records((2, 5_000), card=card, number="19")))
        assert (money(shop, card), shop.points(card)) == (5_000, 0)
    check_laws(books)


def test_scripts_bonus_without_a_receipt_is_the_same_only_for_a_while(books: Books) -> None:
    with open_shop(books, script_bonus="accrue", script_window_seconds=300) as shop:
        card = shop.card()
        gift = script(records((2, 5_000), card=card, number="0"))
        assert isinstance(books.clock, StillClock)
        first = shop.done(gift)
        books.clock.forward(minutes=4)
        assert shop.done(gift).body == first.body
        assert shop.points(card) == 5_000
        books.clock.forward(minutes=4)
        shop.done(gift)
        assert shop.points(card) == 10_000
    check_laws(books)


# Several cards -----------------------------------------------------------------------------------------------


def test_three_cards_pay_earn_and_are_told_each_by_itself(shop: Shop) -> None:
    first, second, third = shop.card(20_000, money=10_000), shop.card(20_000), shop.card()
    bill = Bill(
        (
            Part(first, points=5_000, money=7_000, own=20_000, bonus=600),
            Part(second, points=3_000, own=45_000),
            Part(third, own=20_000, bonus=300),
        )
    )
    answer = shop.done(bill.body())
    assert (shop.points(first), money(shop, first), shop.points(third)) == (15_600, 3_000, 300)
    # 5 % of what points did not pay, by the shares of the cards' own money.
    assert shop.points(second) == 17_000 + (100_000 - 8_000) * 5 // 100 * 45 // 85
    told = [(row["cardcode"], row["num"], row.get("subaccount"), row.get("linetag")) for row in answer.transactions]
    assert told == [
        (first, "1", "1", "PAYMENT"),
        (first, "2", "2", "PAYMENT"),
        (first, "3", None, None),
        (first, "4", "1", None),
        (second, "5", "1", "PAYMENT"),
        (second, "6", None, None),
        (third, "7", None, None),
        (third, "8", "1", None),
    ]
    assert [row["cardcode"] for row in answer.transactions if "slip" in row] == [first, second, third]
    assert answer.slips[0].splitlines()[0] == "Списано BONUS 50.00"
    shop.done(bill.body("11:05:00", ROLLBACK))
    assert [shop.points(card) for card in (first, second, third)] == [20_000, 20_000, 0]
    assert money(shop, first) == 10_000


@pytest.mark.parametrize("worst", ["short", "blocked", "unknown"])
def test_one_card_of_three_that_cannot_pay_leaves_the_others_as_they_were(shop: Shop, worst: str) -> None:
    first, second = shop.card(20_000), shop.card(20_000)
    bad = "7771234567890128" if worst == "unknown" else shop.card(50_000 if worst == "blocked" else 100)
    if worst == "blocked":
        shop.books.set_status(bad, "blocked")
    parts = [Part(card, points=5_000, own=28_000) for card in (first, bad, second)]
    shop.refused({"short": 51, "blocked": 62, "unknown": 14}[worst], Bill(tuple(parts)).body())
    assert (shop.points(first), shop.points(second)) == (20_000, 20_000)


def test_programmes_accrual_is_told_as_an_additional_transaction_where_the_link_wants_it(books: Books) -> None:
    with open_shop(books, additional_transactions=True) as shop:
        card = shop.card(10_000)
        bill = Bill((Part(card, own=95_000),), total=95_000)
        answer = shop.done(bill.body())
        *_, extra = answer.transactions
        assert (extra["num"], extra["subaccount"], extra["value"]) == ("0", "1", "4750")
        assert shop.done(bill.body("11:01:00")).body == answer.body
    check_laws(books)


# A card that needs its PIN -----------------------------------------------------------------------------------


def test_gift_card_of_nineteen_digits_is_not_told_by_a_search(shop: Shop) -> None:
    """The protocol's Int64 could not ask for it afterwards."""
    card = shop.card(product=GIFT)
    assert len(card) == 19
    assert search(shop, card)["Result"] == "1"


# Property 5 of the contract: a resend has one effect and one answer ------------------------------------------

COMMANDING = [sample for sample in SAMPLES if sample.asks and commands_of(RKEEPER, sample)]
ODD = re.compile(rb' (?:uni|dts)="[^"]*"')


def rebased(sample: Sample, cards: dict[str, str]) -> bytes:
    """The sample's bytes with cards of the shop."""
    body = sample.request.body
    for theirs, ours in cards.items():
        body = body.replace(theirs.encode(), ours.encode())
    return body


def attempts(sample: Sample, body: bytes) -> Iterator[bytes]:
    """The message again: as it was, with every field of noise changed, and written differently."""
    yield body
    for field in sample.noise:
        noisy = changed(body, field, other_noise)
        if noisy is not None:
            yield noisy
            yield respaced(noisy)


def told(answer: Answer) -> bytes:
    """Without the numbers of the attempt's own lines; nothing that was booked has another time on a resend."""
    return answer.told if b"ext_id" in answer.body else ODD.sub(b"", answer.body)


@pytest.mark.parametrize("books", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
@pytest.mark.parametrize("sample", COMMANDING, ids=lambda sample: sample.case)
def test_resent_sample_has_one_effect_and_one_answer(books: Books, sample: Sample) -> None:
    options = json.loads(json.dumps(dict(sample.link.options)).replace('"GIFT"', f'"{MONEY}"'))
    with open_shop(books, **options) as shop:
        numbers = ("5550001234", "5550005678", "5550004321")
        cards = {number: shop.card(POINTS_OF_EACH, money=MONEY_OF_EACH) for number in numbers}
        body = rebased(sample, cards)
        first = shop.send(body)
        after = shop.everything()
        for again in attempts(sample, body):
            assert isinstance(books.clock, StillClock)
            books.clock.forward(minutes=1)
            answer = shop.send(again)
            assert told(answer) == told(first)
            assert shop.everything() == after
        assert len(shop.kinds()) <= 1
    check_laws(books)
