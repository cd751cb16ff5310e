"""An r_keeper restaurant through the real door and the real core: bytes in, rows, bytes out; on both databases.

``open_shop`` puts links of two stores of the small chain behind a door; ``Bill`` writes receipts as FarCards
sends them (docs/adapters/rkeeper.md): kopecks with signs in the records, roubles in the check.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from adapters import rkeeper
from gateway.books import Books as Asking
from gateway.credentials import LinkSecret
from gateway.exchange_log import ExchangeLog, Recorded, read
from gateway.pos import Pos, doors
from gateway.settings import ExchangeLogLimits, GatewaySettings, LinkSettings
from processing.units import major
from processing.verify import verify
from tests.processing.books import MONEY, MOSCOW, POINTS, URAL, YEARLY, Books, StillClock, top_up

MOSCOW_LINK, URAL_LINK = "moscow", "ural"
SECRETS = {MOSCOW_LINK: "secret-of-the-moscow-link", URAL_LINK: "secret-of-the-ural-link"}
RESTAURANTS = {MOSCOW_LINK: "310070003", URAL_LINK: "310070004"}
POINTS_CURRENCY, MONEY_CURRENCY = "10", "11"
DAY = "2026-05-04"
CLOSE_SECONDS = 10
TWINS, ROUNDS = 8, 20

_names = itertools.count(1)


# The door ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What the till heard. Reading a part of it that is not there fails the test."""

    status: str
    headers: dict[str, str]
    body: bytes

    @property
    def root(self) -> etree._Element:
        root = etree.fromstring(self.body)
        assert root.tag == "Root"
        return root

    @property
    def call(self) -> dict[str, str]:
        """Attributes of the element that carries the result."""
        (element,) = self.root.iter("GetCardInfoEx", "TransactionsEx")
        return {str(name): str(value) for name, value in element.items()}

    @property
    def result(self) -> int:
        return int(self.call["Result"])

    @property
    def response(self) -> dict[str, str]:
        (element,) = self.root.iter("TRRESPONSE")
        return {str(name): str(value) for name, value in element.items()}

    @property
    def error(self) -> int:
        return int(self.response["error_code"])

    @property
    def transactions(self) -> list[dict[str, str]]:
        return [{str(name): str(value) for name, value in row.items()} for row in self.root.iter("TRANSACTION")]

    @property
    def told(self) -> bytes:
        """What was said, without the numbers of check lines: they are those of the attempt that is answered."""
        return re.sub(rb' uni="[0-9]+"', b"", self.body)

    @property
    def slips(self) -> list[str]:
        return [row["slip"] for row in self.transactions if "slip" in row]


@dataclass
class Shop:
    """A door with its links before the books of a test."""

    books: Books
    pos: Pos
    log: ExchangeLog

    def send(self, body: bytes, function: str = "transactionsex", link: str = MOSCOW_LINK) -> Answer:
        """The answer to one message, as the WSGI server would pass it on."""
        said: list[Any] = []
        environ = {
            "PATH_INFO": f"/pos/{link}/{SECRETS[link]}/{function}",
            "REQUEST_METHOD": "POST",
            "QUERY_STRING": "",
            "REMOTE_ADDR": "192.0.2.7",
            "CONTENT_TYPE": "text/xml",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        answer = b"".join(self.pos(environ, lambda status, headers: said.extend((status, headers))))
        status, headers = said
        return Answer(status, dict(headers), answer)

    def done(self, body: bytes, **options: Any) -> Answer:
        """The answer to a package that must be carried out."""
        answer = self.send(body, **options)
        assert (answer.status, answer.result) == ("200 OK", 0), answer.body.decode()
        return answer

    def refused(self, error: int, body: bytes, **options: Any) -> Answer:
        """The answer to a package that must be refused so, and leave nothing behind."""
        before = self.everything()
        answer = self.send(body, **options)
        assert (answer.status, answer.result, answer.error) == ("200 OK", 1, error), answer.body.decode()
        assert answer.response["err_text"]
        assert self.everything() == before
        return answer

    def look_up(self, card: str, order: int | None = None, link: str = MOSCOW_LINK, **changes: Any) -> Answer:
        before = self.everything()
        answer = self.send(look_up(card, order, **changes), "getcardinfoex", link)
        assert answer.status == "200 OK"
        assert self.everything() == before, "a look-up has written"
        return answer

    def card(self, points: int = 0, money: int = 0, **changes: Any) -> str:
        number = self.books.card(points, **changes)
        if money:
            self.books.done(top_up(self.books.key("money"), number, money))
        return number

    def points(self, card: str) -> int:
        return self.books.balance(card)

    def everything(self) -> dict[str, Any]:
        """All that a message may change in the books."""
        tables = ("operation", "receipt", "lot", "account", "till")
        return {
            "entries": self.books.entries(),
            "keys": self.books.rows("SELECT store_id, key, state, operation_id FROM request_key ORDER BY 1, 2"),
            "counts": [self.books.count(table) for table in tables],
            "balances": self.books.rows("SELECT id, balance FROM account ORDER BY id"),
        }

    def kinds(self) -> list[str]:
        """What was booked at the tills, in order; how the cards got their first points is left out."""
        rows = self.books.rows("SELECT kind FROM operation WHERE kind NOT IN ('adjustment', 'top_up') ORDER BY id")
        return [kind for (kind,) in rows]

    def flags(self) -> str:
        """Of the last operation."""
        return str(self.books.rows("SELECT flags FROM operation ORDER BY id DESC LIMIT 1")[0][0] or "")

    def logged(self, link: str = MOSCOW_LINK) -> list[Recorded]:
        assert self.log.flush(CLOSE_SECONDS)
        with self.books.database.reading() as connection:
            return read(connection, self.books.core.work.vault, link, None, 100_000)


def link_settings(code: str, store: str, **options: Any) -> LinkSettings:
    told: dict[str, Any] = {
        "restaurant_codes": [RESTAURANTS[code]],
        "purses": {
            POINTS_CURRENCY: {"number": 1, "unit": POINTS},
            MONEY_CURRENCY: {"number": 2, "unit": MONEY},
        },
    }
    return LinkSettings(
        code=code,
        adapter="rkeeper",
        store=store,
        enabled=True,
        secrets=(LinkSecret(hashlib.sha256(SECRETS[code].encode()).digest()),),
        addresses=(),
        options=rkeeper.RkeeperOptions().load(told | options),
    )


@contextmanager
def open_shop(books: Books, socket: Path | None = None, **options: Any) -> Iterator[Shop]:
    """Two links of two stores of one chain; ``options`` are those of the first, ``socket`` is a committer's."""
    links = {
        MOSCOW_LINK: link_settings(MOSCOW_LINK, MOSCOW, **options),
        URAL_LINK: link_settings(URAL_LINK, URAL),
    }
    zones = {code: info.zone.key for code, info in books.core.work.directory.stores.items()}
    log = ExchangeLog(books.database.writer, books.core.work.vault, ExchangeLogLimits())
    ask = Asking(books.core, GatewaySettings(), socket).ask
    try:
        yield Shop(books, Pos(_nowhere, doors(links, {"rkeeper": rkeeper.ADAPTER}, zones), ask, log), log)
    finally:
        assert log.close(CLOSE_SECONDS)


def _nowhere(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    raise AssertionError(f"{environ['PATH_INFO']} is not a till's")


@pytest.fixture
def shop(books: Books) -> Iterator[Shop]:
    with open_shop(books) as opened:
        yield opened
    books.check_laws()
    assert [(check.name, check.rows) for check in verify(books.database) if check.rows] == []


# Messages ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One card's part in a receipt, in kopecks; ``bonus`` None: no record of Kind 2 comes."""

    card: str
    points: int = 0
    money: int = 0
    own: int = 0
    bonus: int | None = None
    off: int = 0

    def records(self) -> Iterator[tuple[int, int]]:
        """(Kind, Summa) with the signs of a sale."""
        for kind, amount in ((0, -self.points), (0, -self.money), (1, -self.off), (3, self.own)):
            if amount:
                yield kind, amount
        if self.bonus is not None:
            yield 2, self.bonus


@dataclass(frozen=True)
class Bill:
    """A receipt: every attempt to send it is another ``body``."""

    parts: tuple[Part, ...] = ()
    total: int = 100_000
    holders: tuple[str, ...] = ()
    number: str = "204417"
    restaurant: str = RESTAURANTS[MOSCOW_LINK]
    guid: str = field(default_factory=lambda: f"{{0A11B22C-3D44-4E55-8F66-{next(_names):012X}}}")

    def body(self, at: str = "11:00:00", mode: int = 1, closed: str = "", uni: int = 14) -> bytes:
        """The message of the attempt at this time of the till."""
        reversal = -1 if mode in (2, 3) else 1
        return DOCUMENT.format(
            records="".join(self._record(part, kind, reversal * amount) for part, kind, amount in self._rows()),
            at=at,
            closed=closed or at,
            mode=mode,
            lines="".join(_lines(self.total)),
            payments="".join(self._payments(uni)),
            holders="".join(f'<ITEM cardcode="{card}"/>' for card in self._held()),
            off=roubles(-sum(part.off for part in self.parts)),
            card=self.parts[0].card if self.parts else "",
            total=roubles(self.total),
            code=self.restaurant,
            guid=self.guid,
            number=self.number,
            day=DAY,
        ).encode()

    def records_only(self, reversal: bool = False) -> bytes:
        """The same without XML of the check, as r_keeper 6 sends it."""
        rows = (self._record(part, kind, -amount if reversal else amount) for part, kind, amount in self._rows())
        return f"<ROOT><Transactions>{''.join(rows)}</Transactions></ROOT>".encode()

    def changed(self, *parts: Part, **changes: Any) -> Bill:
        """The same receipt with other content."""
        return replace(self, parts=parts, **changes)

    def _held(self) -> tuple[str, ...]:
        return self.holders or tuple(dict.fromkeys(part.card for part in self.parts)) or ("",)

    def _rows(self) -> Iterator[tuple[Part, int, int]]:
        return ((part, kind, amount) for part in self.parts for kind, amount in part.records())

    def _record(self, part: Part, kind: int, amount: int) -> str:
        return (
            f'<TransactionsEx Card="{int(part.card)}" PersonID="90017" Account="700123" Kind="{kind}" '
            f'Summa="{amount}" Restaurant="{int(self.restaurant[-4:])}" RKDate="{DAY}T00:00:00" RKUnit="5" '
            f'RKCheck="{self.number}" VatSumA="0" VatPrcA="0"/>\n'
        )

    def _payments(self, uni: int) -> Iterator[str]:
        numbers = itertools.count(uni)
        rest = self.total
        for part in self.parts:
            for code, amount in ((POINTS_CURRENCY, part.points), (MONEY_CURRENCY, part.money)):
                if amount:
                    rest -= amount
                    yield PURSE.format(code=code, uni=next(numbers), card=part.card, sum=roubles(amount))
        if rest:
            yield CASH.format(uni=next(numbers), sum=roubles(rest))


def _lines(total: int) -> Iterator[str]:
    soup = total * 3 // 5
    for uni, code, name, amount in ((4, "301", "Борщ", soup), (7, "302", "Чай «Ассам»", total - soup)):
        yield LINE.format(uni=uni, code=code, name=name, sum=roubles(amount))


def roubles(kopecks: int) -> str:
    """As r_keeper writes them: trailing zeros dropped."""
    return major(kopecks, 2).rstrip("0").rstrip(".")


def look_up(card: str, order: int | None = None, code: str = RESTAURANTS[MOSCOW_LINK], locale: int = 1049) -> bytes:
    """A card is shown to a station, perhaps in an open order."""
    data = (
        ""
        if order is None
        else f'<CHECKDATA checknum="0"><CHECKLINES>{"".join(_lines(order))}</CHECKLINES></CHECKDATA>'
    )
    return LOOK_UP.format(
        number=int(card), card=card, code=code, restaurant=int(code[-4:]), day=DAY, locale=locale, data=data
    ).encode()


LINE = (
    '<LINE id="{{11111111-2222-4333-8444-555555555511}}" code="{code}" name="{name}" uni="{uni}" type="dish" '
    'price="{sum}" pr_list_sum="{sum}" categ_id="" servprint_id="" quantity="1" sum="{sum}">'
    '<LINETAXES count="1"><TAX id="{{11111111-2222-4333-8444-555555555521}}" sum="1"/></LINETAXES></LINE>\n'
)
PURSE = (
    '<PAYMENT id="{{11111111-2222-4333-8444-555555555542}}" code="{code}" name="Баллы" uni="{uni}" paytype="3" '
    'interface="11" cardcode="{card}" account="700123" ownerinfo="Анна" exttransactioninfo="" '
    'bsum="{sum}" sum="{sum}"/>\n'
)
CASH = (
    '<PAYMENT id="{{11111111-2222-4333-8444-555555555541}}" code="1" name="Наличные" uni="{uni}" paytype="1" '
    'bsum="{sum}" sum="{sum}"/>\n'
)
DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<ROOT><Transactions>
{records}</Transactions><INPBUF>
<CHECK stationcode="5" restaurantcode="{code}" cashservername="MID-SPB-3" generateddatetime="{day}T{at}" \
chmode="{mode}" locale="1049" shiftdate="{day}" shiftnum="212">
<EXTINFO reservation=""><INTERFACES current="1000777"><INTERFACE type="PDS" id="1000777" mode="1" interface="11">\
<HOLDERS>{holders}</HOLDERS><ALLCARDS>{holders}</ALLCARDS></INTERFACE></INTERFACES></EXTINFO>
<CHECKDATA checknum="{number}" printnum="1" fiscdocnum="0" delprintnum="0" delfiscdocnum="0" extfiscid="" \
tablename="12" startservice="{day}T10:10:02" closedatetime="{day}T{closed}" ordernum="1311/1" guests="2" \
orderguid="{guid}" checkguid="{guid}" order_cat="1" order_type="9001" persistentcomment="">
<CHECKPERSONS count="1"><PERSON id="{{11111111-2222-4333-8444-555555555501}}" name="Ольга" code="34" role="7"/>\
</CHECKPERSONS>
<CHECKLINES count="2">{lines}</CHECKLINES>
<CHECKCATEGS count="1"><CATEG id="0" code="0" name="" sum="{total}" discsum="{off}"/></CHECKCATEGS>
<CHECKDISCOUNTS count="1"><DISCOUNT id="{{11111111-2222-4333-8444-555555555531}}" code="7" name="Silver" uni="9" \
interface="11" cardcode="{card}" account="700123" sum="{off}"/></CHECKDISCOUNTS>
<CHECKPAYMENTS count="2">{payments}</CHECKPAYMENTS>
<CHECKTAXES count="1"><TAX id="{{11111111-2222-4333-8444-555555555521}}" code="1" rate="20" sum="1" name="НДС"/>\
</CHECKTAXES><CURRENCIES/>
</CHECKDATA></CHECK></INPBUF></ROOT>
"""
LOOK_UP = """<?xml version="1.0" encoding="UTF-8"?>
<ROOT><QRY Card="{number}" Restaurant="{restaurant}" UnitNo="5"><INPBUF>
<CHECK stationcode="5" restaurantcode="{code}" cashservername="MID-SPB-3" generateddatetime="{day}T10:59:00" \
chmode="5" locale="{locale}" shiftdate="{day}" shiftnum="212"><EXTINFO reservation=""><INTERFACES current="1000777">\
<INTERFACE type="PDS" id="1000777" mode="0" interface="11"><HOLDERS><ITEM cardcode="{card}"/></HOLDERS><ALLCARDS/>\
</INTERFACE></INTERFACES></EXTINFO>{data}</CHECK></INPBUF></QRY></ROOT>
"""


def paying(card: str, points: int, total: int = 100_000) -> Bill:
    """A receipt that the card pays with points and that earns nothing: r_keeper says so."""
    return Bill((Part(card, points=points, own=total - points, bonus=0),), total)


# Look-up ----------------------------------------------------------------------------------------------------


def test_look_up_shows_purses_by_their_numbers_and_the_account(shop: Shop) -> None:
    card = shop.card(45_050, money=120_000)
    shown = shop.look_up(card, order=100_000).call
    assert (shown["Result"], shown["Locked"], shown["Deleted"], shown["StopDate"]) == ("0", "0", "0", "0")
    assert (shown["Summa"], shown["Sum2"], shown["Sum3"], shown["Sum8"]) == ("45050", "120000", "0", "0")
    assert shown["Holder"] == f"*{card[-4:]}"
    (account,) = shop.books.rows("SELECT wallet_id FROM card WHERE number = :card", card=card)
    assert shown["Account"] == str(account[0])


def test_look_up_offers_no_more_points_than_the_order_may_be_paid_with(shop: Shop) -> None:
    card = shop.card(45_050)
    assert shop.look_up(card, order=30_000).call["Summa"] == "30000"


def test_look_up_shows_a_balance_with_all_that_was_booked_before(shop: Shop) -> None:
    card = shop.card(45_050)
    shop.done(paying(card, 5_050).body())
    assert shop.look_up(card, order=1_000_000).call["Summa"] == "40000"


def test_unknown_card_is_answered_with_result_1_alone(shop: Shop) -> None:
    assert shop.look_up("7771234567890128").call == {"Result": "1"}


def test_unknown_card_is_found_and_locked_where_the_link_says_so(books: Books) -> None:
    with open_shop(books, unknown_card="locked") as shop:
        shown = shop.look_up("7771234567890128").call
    assert (shown["Result"], shown["Locked"], shown["Summa"]) == ("0", "1", "0")
    assert "не найдена" in shown["WhyLock"]


def test_unknown_card_cannot_pay(shop: Shop) -> None:
    shop.refused(14, paying("7771234567890128", 100).body())


@pytest.mark.parametrize(
    ("status", "error", "word", "deleted"),
    [
        ("blocked", 62, "заблокирована", "0"),
        ("closed", 46, "закрыта", "1"),
        ("replaced", 46, "закрыта", "0"),
        ("expired", 54, "истёк", "0"),
    ],
)
def test_card_that_is_not_usable_is_locked_and_pays_nothing(
    shop: Shop, status: str, error: int, word: str, deleted: str
) -> None:
    card = shop.card(50_000)
    shop.books.set_status(card, status)
    shown = shop.look_up(card, order=100_000).call
    assert (shown["Result"], shown["Locked"], shown["Summa"], shown["Deleted"]) == ("0", "1", "0", deleted)
    assert word in shown["WhyLock"]
    assert word in shop.refused(error, paying(card, 100).body()).response["err_text"]


def test_card_that_was_not_activated_is_locked_and_pays_nothing(shop: Shop) -> None:
    card = shop.card(active=False)
    shown = shop.look_up(card).call
    assert (shown["Result"], shown["Locked"]) == ("0", "1")
    assert "активирована" in shown["WhyLock"]
    shop.refused(78, paying(card, 100).body())


def test_card_past_its_last_day_is_locked_with_stop_date(shop: Shop) -> None:
    card = shop.card(50_000, product=YEARLY)
    assert shop.look_up(card).call["Locked"] == "0"
    assert isinstance(shop.books.clock, StillClock)
    shop.books.clock.forward(days=32)
    shown = shop.look_up(card).call
    assert (shown["Locked"], shown["StopDate"], shown["Summa"]) == ("1", "1", "0")
    shop.refused(54, paying(card, 100).body())


def test_unusable_card_does_not_stop_a_receipt_that_only_accrues(shop: Shop) -> None:
    card = shop.card(50_000)
    shop.books.set_status(card, "blocked")
    shop.done(Bill((Part(card, own=100_000),)).body())
    assert shop.points(card) == 50_000
    assert shop.kinds() == ["receipt"]
    assert "card_not_usable" in shop.flags()


def test_refusal_speaks_the_language_of_the_station(shop: Shop) -> None:
    card = shop.card()
    shop.books.set_status(card, "blocked")
    assert "blocked" in shop.look_up(card, locale=1033).call["WhyLock"]


# Sales ------------------------------------------------------------------------------------------------------


def test_sale_earns_what_the_programme_says(shop: Shop) -> None:
    card = shop.card(10_000)
    answer = shop.done(Bill((Part(card, own=95_000, off=5_000),), total=95_000).body())
    assert shop.points(card) == 10_000 + 4_750
    assert answer.error == 0
    assert answer.slips == ["Начислено 47.50\nБаланс 147.50"]
    ((operation, total, number, till),) = shop.books.rows("SELECT operation_id, total_minor, number, till FROM receipt")
    assert (total, number, till) == (95_000, "204417", "5")
    assert [row["ext_id"] for row in answer.transactions] == [f"{operation}-1", f"{operation}-2"]
    assert {row["cardcode"] for row in answer.transactions} == {card}


def test_bonus_that_r_keeper_computed_is_booked_as_sent(shop: Shop) -> None:
    card = shop.card()
    answer = shop.done(Bill((Part(card, own=100_000, bonus=1_568),)).body())
    assert shop.points(card) == 1_568
    assert answer.slips == ["Начислено 15.68\nБаланс 15.68"]


def test_redemption_takes_points_and_earns_on_the_holders_own_money(shop: Shop) -> None:
    card = shop.card(50_000)
    answer = shop.done(Bill((Part(card, points=30_000, own=70_000),)).body())
    assert shop.points(card) == 50_000 - 30_000 + 3_500
    assert answer.slips == ["Списано 300.00\nНачислено 35.00\nБаланс 235.00"]


def test_overdraft_is_refused_and_tells_what_there_is(shop: Shop) -> None:
    card = shop.card(4_550)
    assert "45.50" in shop.refused(51, paying(card, 4_551).body()).response["err_text"]
    shop.done(paying(card, 4_550).body())
    assert shop.points(card) == 0


def test_points_cannot_pay_more_than_the_programme_allows(shop: Shop) -> None:
    card = shop.card(50_000, product="slow")
    text = shop.refused(61, Bill((Part(card, points=50_000, own=0, bonus=0),), 99_999).body()).response["err_text"]
    assert "499.99" in text


def test_two_cards_of_one_receipt_move_together(shop: Shop) -> None:
    first, second = shop.card(20_000), shop.card(20_000)
    answer = shop.done(Bill((Part(first, points=5_000, own=60_000), Part(second, points=3_000, own=32_000))).body())
    assert [slip.splitlines()[0] for slip in answer.slips] == ["Списано 50.00", "Списано 30.00"]
    assert [row["cardcode"] for row in answer.transactions if "slip" in row] == [first, second]
    earned = [shop.points(first) - 15_000, shop.points(second) - 17_000]
    assert sum(earned) == pytest.approx(92_000 * 5 // 100, abs=1)
    assert earned[0] > earned[1] > 0
    assert shop.kinds() == ["receipt"]


def test_one_card_that_is_short_refuses_the_whole_receipt(shop: Shop) -> None:
    rich, poor = shop.card(20_000), shop.card(1_000)
    shop.refused(51, Bill((Part(rich, points=5_000, own=60_000), Part(poor, points=3_000, own=32_000))).body())
    assert (shop.points(rich), shop.points(poor)) == (20_000, 1_000)


def test_currencies_of_the_check_split_a_redemption_over_purses(shop: Shop) -> None:
    card = shop.card(50_000, money=80_000)
    answer = shop.done(Bill((Part(card, points=20_000, money=30_000, own=50_000, bonus=0),)).body())
    assert (shop.books.balance(card), shop.books.balance(card, MONEY)) == (30_000, 50_000)
    assert answer.slips == [
        "Списано BONUS 200.00\nБаланс BONUS 300.00\nСписано RUB 300.00\nБаланс RUB 500.00",
    ]
    assert "purse_sums_differ" not in shop.flags()


def test_shortage_in_one_purse_is_not_covered_by_another(shop: Shop) -> None:
    card = shop.card(50_000, money=1_000)
    shop.refused(51, Bill((Part(card, points=20_000, money=30_000, own=50_000, bonus=0),)).body())


def test_receipt_without_a_card_is_recorded_and_books_nothing(shop: Shop) -> None:
    before = shop.books.entries()
    answer = shop.done(Bill(total=41_000).body())
    assert answer.transactions == []
    assert shop.books.rows("SELECT total_minor FROM receipt") == [(41_000,)]
    assert shop.books.entries() == before


def test_holder_without_records_accrues(shop: Shop) -> None:
    card = shop.card()
    shop.done(Bill(holders=(card,)).body())
    assert shop.points(card) == 5_000


@pytest.mark.parametrize("mode", [0, *range(5, 14)])
def test_orders_pre_bills_and_prints_are_answered_and_not_posted(shop: Shop, mode: int) -> None:
    bill = Bill(total=41_000) if mode == 0 else Bill((Part(shop.card(50_000), points=100, own=40_900),), 41_000)
    before = shop.everything()
    shop.done(bill.body(mode=mode))
    assert shop.everything() == before


def test_leading_zeros_of_a_card_do_not_matter(shop: Shop) -> None:
    card = shop.card(50_000)
    answer = shop.done(paying(f"00{card}", 20_000).body())
    assert shop.points(card) == 30_000
    assert {row["cardcode"] for row in answer.transactions} == {f"00{card}"}


# Repeats and versions ---------------------------------------------------------------------------------------


def test_receipt_resent_with_other_times_and_payment_numbers_is_posted_once(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = Bill((Part(card, points=30_000, own=70_000),))
    bodies = [bill.body(f"11:0{n}:00", closed=f"11:0{n}:01", uni=14 + n) for n in range(6)]
    assert len(set(bodies)) == 6
    answers = [shop.done(body).told for body in bodies]
    assert set(answers) == {answers[0]}
    assert shop.kinds() == ["receipt"]
    assert shop.points(card) == 50_000 - 30_000 + 3_500


def test_repeat_is_answered_alike_after_other_receipts_of_the_card(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 10_000)
    first = shop.done(bill.body()).body
    shop.done(paying(card, 40_000).body())
    assert shop.done(bill.body("11:30:00")).body == first
    assert shop.points(card) == 0


def test_newer_version_takes_the_place_of_the_older(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    shop.done(bill.body("11:00:00"))
    newer = shop.done(bill.changed(Part(card, points=10_000, own=90_000, bonus=0)).body("11:01:00"))
    assert shop.points(card) == 40_000
    assert shop.kinds() == ["receipt", "superseded", "receipt"]
    assert newer.slips == ["Списано 100.00\nБаланс 400.00"]


def test_what_the_older_version_has_taken_can_pay_for_the_newer(shop: Shop) -> None:
    card = shop.card(30_000)
    bill = paying(card, 30_000)
    shop.done(bill.body("11:00:00"))
    shop.done(bill.changed(Part(card, points=29_000, own=71_000, bonus=0)).body("11:01:00"))
    assert shop.points(card) == 1_000


def test_stale_version_gets_the_answer_of_the_current_one_and_moves_nothing(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    current = shop.done(bill.body("11:05:00")).body
    before = shop.everything()
    stale = shop.done(bill.changed(Part(card, points=10_000, own=90_000, bonus=0)).body("11:01:00"))
    assert stale.body == current
    assert shop.everything() == before


def test_newer_version_is_refused_where_the_link_wants_no_versions(books: Books) -> None:
    with open_shop(books, supersede=False) as shop:
        card = shop.card(50_000)
        bill = paying(card, 30_000)
        shop.done(bill.body("11:00:00"))
        shop.refused(94, bill.changed(Part(card, points=10_000, own=90_000, bonus=0)).body("11:01:00"))


def test_refused_newer_version_gives_back_what_the_older_has_taken(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    shop.done(bill.body("11:00:00"))
    refused = shop.send(bill.changed(Part(card, points=50_001, own=49_999, bonus=0)).body("11:01:00"))
    assert (refused.result, refused.error) == (1, 51)
    assert shop.points(card) == 50_000
    assert shop.kinds() == ["receipt", "superseded"]


# Voids ------------------------------------------------------------------------------------------------------

ROLLBACK, RETURN, RESTORE = 2, 3, 4


@pytest.mark.parametrize("mode", [ROLLBACK, RETURN])
def test_void_gives_everything_back_by_what_was_posted(shop: Shop, mode: int) -> None:
    card = shop.card(50_000)
    lots = shop.books.lots(card)
    bill = Bill((Part(card, points=30_000, own=70_000),))
    shop.done(bill.body("11:00:00"))
    answer = shop.done(bill.body("11:05:00", mode))
    assert shop.points(card) == 50_000
    assert shop.books.lots(card) == lots
    assert shop.kinds() == ["receipt", "void"]
    assert answer.slips == ["Операция отменена\nБаланс 500.00"]


@pytest.mark.parametrize("mode", [ROLLBACK, RETURN])
def test_void_sent_again_is_answered_alike_and_moves_nothing(shop: Shop, mode: int) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    shop.done(bill.body("11:00:00"))
    first = shop.done(bill.body("11:05:00", mode)).body
    assert [shop.done(bill.body(f"11:0{n}:00", mode)).body for n in (5, 6, 7)] == [first] * 3
    assert shop.points(card) == 50_000


def test_amounts_of_a_void_do_not_matter(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    shop.done(bill.body("11:00:00"))
    shop.done(bill.changed(Part(card, points=999, own=1)).body("11:05:00", RETURN))
    assert shop.points(card) == 50_000


def test_sale_from_before_its_void_is_refused(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    shop.done(bill.body("11:00:00"))
    shop.done(bill.body("11:05:00", ROLLBACK))
    shop.refused(21, bill.body("11:00:00"))


def test_receipt_is_paid_voided_and_paid_again_as_often_as_the_guest_likes(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    answers = []
    for hour in (9, 10, 11):
        answers.append(shop.done(bill.body(f"{hour:02}:00:00")).body)
        assert shop.points(card) == 20_000
        shop.done(bill.body(f"{hour:02}:05:00", ROLLBACK))
        assert shop.points(card) == 50_000
    assert len(set(answers)) == 3
    shop.done(bill.body("11:30:00"))
    assert shop.points(card) == 20_000
    assert shop.kinds() == ["receipt", "void"] * 3 + ["receipt"]


def test_void_before_its_sale_keeps_the_late_sale_out_and_lets_a_newer_one_in(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    before = shop.books.entries()
    orphan = shop.done(bill.body("11:05:00", ROLLBACK))
    assert all("ext_id" not in row for row in orphan.transactions)
    assert shop.books.entries() == before
    shop.refused(21, bill.body("11:00:00"))
    shop.done(bill.body("11:10:00"))
    assert shop.points(card) == 20_000


def test_return_is_rolled_back(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = Bill((Part(card, points=30_000, own=70_000),))
    shop.done(bill.body("11:00:00"))
    shop.done(bill.body("11:05:00", RETURN))
    first = shop.done(bill.body("11:06:00", RESTORE))
    assert shop.points(card) == 23_500
    assert first.slips == ["Операция восстановлена\nСписано 300.00\nНачислено 35.00\nБаланс 235.00"]
    assert shop.done(bill.body("11:07:00", RESTORE)).body == first.body
    assert shop.kinds() == ["receipt", "void", "restore"]


def test_rolled_back_return_is_done_whatever_was_spent_in_between(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    shop.done(bill.body("11:00:00"))
    shop.done(bill.body("11:05:00", RETURN))
    shop.done(paying(card, 40_000).body("11:06:00"))
    shop.done(bill.body("11:07:00", RESTORE))
    assert shop.points(card) == -20_000
    assert "debt" in shop.flags()
    assert shop.look_up(card, order=100_000).call["Summa"] == "0"


def test_debt_is_repaid_by_what_the_card_earns_next(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    shop.done(bill.body("11:00:00"))
    shop.done(bill.body("11:05:00", RETURN))
    shop.done(paying(card, 40_000).body("11:06:00"))
    shop.done(bill.body("11:07:00", RESTORE))
    shop.done(Bill((Part(card, own=100_000, bonus=25_000),)).body("11:08:00"))
    assert shop.points(card) == 5_000
    assert shop.look_up(card, order=100_000).call["Summa"] == "5000"


def test_return_after_the_earned_points_were_spent_leaves_a_debt(shop: Shop) -> None:
    card = shop.card()
    bill = Bill((Part(card, own=100_000, bonus=5_000),))
    shop.done(bill.body("11:00:00"))
    shop.done(paying(card, 4_000).body("11:01:00"))
    shop.done(bill.body("11:05:00", RETURN))
    assert shop.points(card) == -4_000


@pytest.mark.parametrize("mode", [ROLLBACK, RETURN])
def test_rollback_of_a_payment_is_not_undone_like_a_return(shop: Shop, mode: int) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    shop.done(bill.body("11:00:00"))
    shop.done(bill.body("11:05:00", mode))
    shop.done(bill.body("11:06:00", RESTORE))
    assert shop.points(card) == (20_000 if mode == RETURN else 50_000)


def test_rollback_of_a_return_that_nobody_knows_moves_nothing(shop: Shop) -> None:
    before = shop.everything()
    shop.done(paying(shop.card(), 30_000).body(mode=RESTORE))
    assert shop.everything()["entries"] == before["entries"]


# Without XML ------------------------------------------------------------------------------------------------


def test_records_without_a_check_are_posted_repeated_and_undone_by_their_receipt_number(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    first = shop.done(bill.records_only())
    assert shop.done(bill.records_only()).body == first.body
    assert shop.points(card) == 20_000
    assert shop.books.rows("SELECT key FROM request_key WHERE key LIKE 'rkeeper:%'") == [(f"rkeeper:3:{DAY}:5:204417",)]
    shop.done(bill.records_only(reversal=True))
    assert shop.points(card) == 50_000
    assert shop.kinds() == ["receipt", "void"]


def test_records_with_other_receipt_numbers_are_other_receipts(shop: Shop) -> None:
    card = shop.card(50_000)
    for number in ("1", "2", "3"):
        shop.done(replace(paying(card, 10_000), number=number).records_only())
    assert shop.points(card) == 20_000


# Stores -----------------------------------------------------------------------------------------------------


def test_receipt_of_a_foreign_restaurant_is_refused(shop: Shop) -> None:
    card = shop.card(50_000)
    shop.refused(3, replace(paying(card, 100), restaurant="310079999").body())
    shown = shop.look_up(card, code="310079999").call
    assert (shown["Locked"], shown["Summa"]) == ("1", "0")
    assert "чужого ресторана" in shown["WhyLock"]


def test_stores_of_one_chain_cannot_post_for_each_other(shop: Shop) -> None:
    card = shop.card(50_000)
    mine = paying(card, 10_000)
    theirs = replace(mine, restaurant=RESTAURANTS[URAL_LINK])
    shop.refused(3, mine.body(), link=URAL_LINK)
    shop.refused(3, theirs.body())
    shop.refused(3, theirs.records_only())
    shop.done(mine.body())
    shop.done(theirs.body(), link=URAL_LINK)
    assert shop.points(card) == 30_000, "the same checkguid of another store is another receipt"
    assert [kind for (kind,) in shop.books.rows("SELECT kind FROM operation WHERE kind = 'receipt'")] == ["receipt"] * 2


def test_store_cannot_void_what_another_store_has_posted(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 10_000)
    shop.done(bill.body("11:00:00"))
    shop.refused(3, bill.body("11:05:00", RETURN), link=URAL_LINK)
    shop.done(replace(bill, restaurant=RESTAURANTS[URAL_LINK]).body("11:05:00", RETURN), link=URAL_LINK)
    assert shop.points(card) == 40_000


# Threads ----------------------------------------------------------------------------------------------------


def at_once(shop: Shop, bodies: list[bytes]) -> list[Answer]:
    """The answers to messages that all start in the same moment, each in a thread of its own."""
    answers: list[Answer | None] = [None] * len(bodies)
    start = threading.Barrier(len(bodies))

    def till(place: int) -> None:
        start.wait(30)
        answers[place] = shop.send(bodies[place])

    threads = [threading.Thread(target=till, args=(place,)) for place in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(answer is not None for answer in answers), "a till was not answered"
    return [answer for answer in answers if answer is not None]


def test_identical_redemptions_at_once_have_one_effect_and_equal_answers(shop: Shop) -> None:
    for number in range(1, ROUNDS + 1):
        card = shop.card(30_000)
        bill = paying(card, 30_000)
        answers = at_once(shop, [bill.body(f"11:00:0{n}", uni=14 + n) for n in range(TWINS)])
        assert {answer.told for answer in answers} == {answers[0].told}
        assert answers[0].result == 0
        assert shop.points(card) == 0
        assert shop.kinds() == ["receipt"] * number


def test_of_different_redemptions_at_once_only_one_gets_the_last_points(shop: Shop) -> None:
    card = shop.card(30_000)
    answers = at_once(shop, [paying(card, 30_000).body() for _ in range(TWINS)])
    assert sorted(answer.result for answer in answers) == [0] + [1] * (TWINS - 1)
    assert {answer.error for answer in answers if answer.result} == {51}
    assert shop.points(card) == 0


# The answer's shape -----------------------------------------------------------------------------------------


def test_out_buf_stands_beside_the_result_or_inside_it_as_the_link_says(books: Books) -> None:
    for option, path in (("sibling", "OutBuf/TRRESPONSE"), ("nested", "TransactionsEx/OutBuf/TRRESPONSE")):
        with open_shop(books, out_buf=option) as shop:
            card = shop.card(50_000)
            done, refused = shop.done(paying(card, 100).body()), shop.refused(51, paying(card, 50_000).body())
            assert [len(answer.root.findall(path)) for answer in (done, refused)] == [1, 1], option


def test_everything_said_is_in_the_exchange_log_as_it_was(shop: Shop) -> None:
    card = shop.card(50_000)
    bill = paying(card, 30_000)
    sale, void = bill.body("11:00:00"), bill.body("11:01:00", ROLLBACK)
    overdraft = paying(card, 50_001).body("11:02:00")
    answers = [shop.send(body) for body in (sale, void, overdraft)]
    logged = shop.logged()
    assert [row.request.body for row in logged] == [sale, void, overdraft]
    assert [row.answer for row in logged] == [answer.body for answer in answers]
    assert [row.outcome for row in logged] == ["ok", "ok", "insufficient_points"]
