"""A sale at a till of 1C's loyalty server, and its receipt that comes by exchange: do they tell the same?

The till is that of test_onec.py, 1C's base an infobase in memory, and the report is the one that operators read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from adapters import json_parsing
from gateway.reconciliation import LIKENESS
from processing import steering
from processing.reconciliation import Asked, Reconciliation, reconciliation
from processing.verify import verify
from tests.adapters.onec_server import one_c
from tests.adapters.onec_server.bases import RECEIPT, RETURN, retail3, retail3_mapping, retail3_receipt
from tests.adapters.onec_server.one_c import OneC, ref
from tests.processing.books import MOSCOW, POINTS, Books, StillClock
from tests.scenarios.test_onec import SALE, Call, Shop, open_shop
from tests.scenarios.test_onec_server import OFFICE, Office, lose, office

ON_SQLITE = pytest.mark.parametrize("books", ["sqlite"], indirect=True)
POINTS_BEFORE = 41_250
# What a sale of SALE takes and brings.
OFF, ON = "81.00", "10.95"


@dataclass
class Chain:
    """A shop whose tills book by calls, and the office's 1C, which tells of receipts afterwards."""

    shop: Shop
    base: OneC
    at: Office
    cards: list[str]
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000)))

    @property
    def books(self) -> Books:
        return self.shop.books

    @property
    def clock(self) -> StillClock:
        assert isinstance(self.books.clock, StillClock)
        return self.books.clock

    def sell(self, card: int, calls: Sequence[Call] = SALE) -> None:
        for call in calls:
            call(self.shop.till(), self.cards[card - 1])

    def ring(self, card: int, off: str = OFF, on: str = ON, sale: int = 0, later: int = 5) -> int:
        """A receipt is closed at the till, some seconds behind the books' clock; its number."""
        local = (self.clock.at + timedelta(seconds=later)).astimezone(ZoneInfo("Europe/Moscow"))
        n = next(self._numbers)
        told = retail3_receipt(n, card, f"{local:%Y-%m-%dT%H:%M:%S}", off, on, sale)
        self.base.put(RETURN if sale else RECEIPT, told)
        return n

    def exchange(self, **later: int) -> Reconciliation:
        """The office pulls what there is after so long; what the report says then."""
        self.at.run(**later or {"hours": 12})
        return self.report()

    def report(self) -> Reconciliation:
        now = self.clock.at
        asked = Asked(MOSCOW, POINTS, LIKENESS, now - timedelta(days=20), now + timedelta(minutes=1))
        return reconciliation(self.books.database, self.books.core.work.directory, asked)

    def of(self, found: Reconciliation, card: int) -> list[tuple[str, str]]:
        """Verdicts and directions of one card."""
        sql = "SELECT wallet_id FROM card WHERE number = :number"
        ((wallet,),) = self.books.rows(sql, number=self.cards[card - 1])
        return [(row.verdict, row.one.kind) for row in found.rows if row.one.wallet == wallet]


@pytest.fixture
def chain(books: Books) -> Iterator[Chain]:
    with open_shop(books) as shop:
        cards = [books.card(POINTS_BEFORE) for _ in range(11)]
        base = retail3(*cards)
        at = office(books, base, "retail3", mapping=retail3_mapping(), pull=["cards", "receipts"], receipt_days=3)
        yield Chain(shop, base, at, cards)
    books.check_laws()
    assert [(check.name, check.rows) for check in verify(books.database) if check.rows] == []


GOOD = [("matched", "redemption"), ("matched", "accrual")]


def said(found: Reconciliation) -> list[tuple[str, str]]:
    return [(row.verdict, row.one.kind) for row in found.rows]


def test_a_sale_reconciles_also_when_any_single_call_comes_twice_or_is_lost(chain: Chain) -> None:
    """One set of operations, whatever the line does; what was lost is told, and nothing else."""
    calls = range(len(SALE))
    told: list[Sequence[Call]] = [SALE]
    told += [(*SALE[: n + 1], *SALE[n:]) for n in calls]
    told += [(*SALE[:n], *SALE[n + 1 :]) for n in calls]
    for card, sale in enumerate(told, 1):
        chain.sell(card, sale)
        chain.ring(card)
        chain.clock.forward(seconds=1)
    found = chain.exchange()
    verdicts = [sorted(chain.of(found, card), key=lambda each: each[1] != "redemption") for card in range(1, 12)]
    lost_write_off, lost_accrual = verdicts.pop(9), verdicts.pop(9)
    assert verdicts == [GOOD] * 9
    assert lost_write_off == [("not_booked", "redemption"), GOOD[1]]
    assert lost_accrual == [GOOD[0], ("not_booked", "accrual")]
    assert not found.agrees and found.counts == {"matched": 20, "not_booked": 2}
    assert len(chain.shop.booked()) == 20, "each once"
    assert [[line.goods for line in lines] for lines in found.lines.values()] == [[ref(701)]] * 2


@ON_SQLITE
def test_equal_purchases_are_explained_and_one_rung_twice_is_shown(chain: Chain) -> None:
    for _ in range(2):
        chain.sell(1)
        chain.ring(1)
        chain.clock.forward(minutes=2)
    found = chain.exchange()
    assert [(row.verdict, row.booked and row.booked.is_alike) for row in found.rows] == [
        ("matched", False),
        ("matched", False),
        ("matched", True),
        ("matched", True),
    ]
    assert found.agrees
    for _ in range(2):
        chain.sell(2)
        chain.clock.forward(minutes=2)
    chain.ring(2, later=-120)
    assert chain.of(chain.exchange(), 2) == [("waiting", "redemption"), ("waiting", "accrual"), *GOOD[::-1]], (
        "it may come yet"
    )
    found = chain.exchange(hours=13)
    surplus = [row.booked for row in found.rows if row.verdict == "no_receipt"]
    assert [(each.kind, each.amount, each.owner) for each in surplus if each] == [
        ("redemption", 8_100, "retail/till-1"),
        ("accrual", 1_095, "retail/till-1"),
    ]
    assert found.counts == {"matched": 6, "no_receipt": 2}


@ON_SQLITE
def test_a_return_is_matched_with_what_undoes_its_sale(chain: Chain) -> None:
    chain.sell(1)
    sale = chain.ring(1)
    chain.clock.forward(minutes=40)
    till, card = chain.shop.till(), chain.cards[0]
    till.do("accrueclientbonuses", ClientCardID=card, BonusesCount=81)
    till.do("writeoffclientbonuses3_0", ClientCardID=card, BonusesCount="10,95")
    chain.ring(1, sale=sale)
    found = chain.exchange()
    assert found.agrees and found.counts == {"matched": 4}
    back = [row for row in found.rows if row.side and row.side.receipt.is_return]
    assert [(row.one.kind, row.side and row.side.amount) for row in back] == [("accrual", 8_100), ("redemption", 1_095)]
    assert chain.books.balance(card) == POINTS_BEFORE


@ON_SQLITE
def test_other_amounts_are_told_and_a_receipt_that_changes_or_is_unposted_counts_as_it_is_now(chain: Chain) -> None:
    chain.sell(1)
    number = chain.ring(1, on="12.00")
    found = chain.exchange()
    (differs,) = [row for row in found.rows if row.verdict == "differs"]
    assert differs.side and differs.booked and (differs.side.amount, differs.booked.amount) == (1_200, 1_095)
    (row,) = chain.base.sets[RECEIPT]
    chain.base.put(RECEIPT, {**row, "БаллыНачислено": "10.95"})
    assert chain.exchange().agrees
    keys = chain.books.rows("SELECT count(*) FROM request_key")
    chain.base.put(RECEIPT, {**chain.base.sets[RECEIPT][0], "Posted": False})
    found = chain.exchange(hours=13)
    assert said(found) == [("no_receipt", "redemption"), ("no_receipt", "accrual")]
    assert chain.books.rows("SELECT count(*) FROM request_key") == keys
    chain.base.put(RECEIPT, {**chain.base.sets[RECEIPT][0], "Posted": True})
    assert chain.exchange().agrees and number == 1
    assert chain.exchange(hours=80).agrees, "older than receipt_days: it stays as it was told"


@ON_SQLITE
def test_receipts_without_a_card_leave_nothing_and_an_unknown_card_is_told_until_it_comes(chain: Chain) -> None:
    chain.at.options["pull"] = ["receipts"]
    chain.ring(0)
    chain.sell(1)
    chain.ring(1)
    found = chain.exchange()
    assert chain.books.count("learned_receipt") == 1
    assert sorted(said(found))[-2:] == [("waiting", "accrual"), ("waiting", "redemption")]
    assert found.counts["unknown_card"] == 2
    chain.at.options["pull"] = ["cards", "receipts"]
    assert chain.exchange().agrees, "by the name that the card has now"


@ON_SQLITE
def test_a_pull_of_receipts_that_is_interrupted_goes_on_and_misses_none(chain: Chain) -> None:
    """While the till sells on, and somebody enters a receipt of an hour ago, in front of what was read."""
    for n in range(50):
        chain.ring(1 + n % 11, later=n)
    chain.at.steps.append(lose(2, "GET", RECEIPT))
    chain.at.run(hours=12)
    assert chain.at.lane("pull").failures == 1
    known = chain.books.count("learned_receipt")
    assert 0 < known < 50
    chain.ring(1, later=500)
    chain.ring(1, later=-3_600)
    chain.at.run(hours=1)
    assert chain.books.count("learned_receipt") == 52
    with chain.books.database.reading() as connection:
        assert {look.outcome for look in steering.looks(connection, OFFICE, 9)} <= {"delivered", "link_down", "not_yet"}


@ON_SQLITE
def test_receipts_too_long_for_a_page_come_in_shorter_ones(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.at.options["pull"] = ["receipts"]
    for n in range(25):
        chain.ring(1 + n % 11, later=n)
    three = len(one_c.said({"value": chain.base.sets[RECEIPT][:3]}))
    monkeypatch.setattr(json_parsing, "MAX_BYTES", three + 200)
    for _ in range(12):
        chain.at.run(hours=1)
    assert chain.books.count("learned_receipt") == 25


@ON_SQLITE
def test_a_receipt_of_a_long_silence_is_read_when_it_ends(chain: Chain) -> None:
    """1C was away for longer than receipt_days: what was sold just before is no finding."""
    chain.at.run()
    chain.sell(1)
    chain.ring(1)
    found = chain.exchange(days=5)
    assert found.agrees and found.counts == {"matched": 2}


def test_what_is_read_in_another_order_says_the_same(chain: Chain) -> None:
    """Receipts first and cards last; on both databases the same rows."""
    chain.sell(1)
    chain.ring(1)
    chain.at.options["pull"] = ["receipts", "cards"]
    found = chain.exchange()
    assert said(found) == [("matched", "accrual"), ("matched", "redemption")]
    side, booked = found.rows[0].side, found.rows[0].booked
    assert side and booked and (side.receipt.total_minor, booked.owner) == (30_000, "retail/till-1")
    assert (side.at, booked.at) == (
        chain.clock.at - timedelta(hours=12, seconds=-5),
        chain.clock.at - timedelta(hours=12),
    )
