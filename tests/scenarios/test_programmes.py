"""The sample programmes of configs/programmes, from their files to the books, with the figures that they promise.

docs/cookbook.md tells the same in words; tests/docs checks that it tells each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import text

from gateway.settings import load
from processing.chain import Chain, Product
from processing.chores import review_tiers
from processing.commands import (
    Amount,
    CaptureHold,
    CardUse,
    Command,
    ExplainOperation,
    ExplainQuote,
    Identify,
    IssueCard,
    Line,
    PlaceHold,
    PostReceipt,
    Quote,
    ReadBalances,
    ReadLots,
    Receipt,
    Redeem,
    Ref,
    RegisterHolder,
    ReturnLine,
    ReturnReceipt,
    SellGiftCard,
    VoidReceipt,
)
from processing.database import Database
from processing.directory import ActiveProgramme, sync
from processing.errors import LimitExceeded, LoyaltyError
from processing.execute import Core
from processing.migrate import upgrade
from processing.programme.compiled import Programme
from processing.programme.document import Caps, Payment, When
from processing.results import Explained, Identified, Quoted, ReceiptPosted
from processing.secrets import load_vault
from processing.verify import verify
from tests.conftest import BACKENDS, EMPTY
from tests.processing.books import KEYS, StillClock, rows

CONFIGS = Path(__file__).parents[2] / "configs"
STORE = "bistro"
RUB, BONUS, COIN = "RUB", "BONUS", "COIN"
# A Tuesday, noon in Moscow.
BEGIN = datetime(2026, 5, 5, 9, 0, tzinfo=UTC)


def product(code: str, prefix: str) -> Product:
    """A personal card of the programme of its name."""
    return Product(code, code, "personal", prefix, 16, True, None, False, code)


@dataclass
class Chain10:
    """The sample chain with a card for each programme, and its books."""

    core: Core
    clock: StillClock
    number: int = 0
    cards: list[str] = field(default_factory=list)

    def done(self, command: Command[Any]) -> Any:
        (outcome,) = self.core.execute([command])
        if isinstance(outcome, LoyaltyError):
            raise AssertionError(f"{command} was refused: {outcome.code} {outcome.details}") from outcome
        return outcome

    def refused(self, command: Command[Any]) -> LoyaltyError:
        (outcome,) = self.core.execute([command])
        assert isinstance(outcome, LoyaltyError)
        return outcome

    def key(self) -> str:
        self.number += 1
        return f"key-{self.number}"

    def card(self, product: str, birthday: date | None = None) -> str:
        """The number of a new active card of a registered holder."""
        number = self.done(IssueCard(store=STORE, keys=(self.key(),), product=product, active=True)).number
        phone = f"+7921{self.number:07d}"
        holder = RegisterHolder(
            store=STORE, keys=(self.key(),), card=Ref("card", number), name="Anna", phone=phone, birthday=birthday
        )
        self.done(holder)
        return str(number)

    def quote(self, card: str, *lines: Line, **told: Any) -> Quoted:
        (outcome,) = self.core.answer([Quote(store=STORE, receipt=bill(lines), cards=(use(card, **told),))])
        assert isinstance(outcome, Quoted), outcome
        return outcome

    def sell(self, card: str, *lines: Line, key: str = "", **told: Any) -> ReceiptPosted:
        """The till takes off what the quote says, and closes the receipt."""
        quoted = self.quote(card, *lines)
        off = {line.number: line.discount_minor for line in quoted.lines}
        sold = tuple(
            structs.replace(line, sum_minor=line.sum_minor - off[line.number], discount_minor=off[line.number])
            for line in lines
        )
        found = self.done(
            PostReceipt(store=STORE, keys=(key or self.key(),), receipt=bill(sold), cards=(use(card, **told),))
        )
        assert isinstance(found, ReceiptPosted)
        assert "discount_differs" not in found.flags
        return found

    def face(self, card: str) -> Identified:
        (outcome,) = self.core.answer([Identify(store=STORE, refs=(Ref("card", card),))])
        assert isinstance(outcome, Identified)
        return outcome

    def available(self, card: str, unit: str = BONUS) -> int:
        (outcome,) = self.core.answer([ReadBalances(refs=(Ref("card", card),))])
        return next(balance.available for balance in outcome.balances if balance.unit == unit)

    def lots(self, card: str) -> list[Any]:
        (outcome,) = self.core.answer([ReadLots(refs=(Ref("card", card),))])
        return list(outcome.lots)

    def forward(self, **by: int) -> None:
        self.clock.forward(**by)

    def books(self) -> Any:
        """Everything that a purchase may change, but for its own rows."""
        database = self.core.work.database
        return [
            rows(database, f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3")
            for table, columns in (
                ("account", "id, unit, balance"),
                ("lot", "id, account_id, remaining, expires_at, is_debt"),
                ("membership", "wallet_id, programme, tier, since, review_on, counts_from, credit"),
            )
        ] + [
            rows(
                database,
                "SELECT wallet_id, name, sum(turnover_minor), sum(visits), sum(earned), sum(redeemed) FROM activity"
                " GROUP BY wallet_id, name HAVING sum(turnover_minor) <> 0 OR sum(visits) <> 0 OR sum(earned) <> 0"
                " OR sum(redeemed) <> 0 ORDER BY 1, 2",
            )
        ]


def goods(total: str, category: str = "food", number: int = 1, pieces: int = 1, kind: Any = "goods") -> Line:
    """A line that costs so much in roubles."""
    cost = int(total) * 100
    return Line(
        number=number,
        goods=f"{category}-{number}",
        category=category,
        quantity_thousandths=pieces * 1000,
        price_minor=cost // pieces,
        sum_minor=cost,
        kind=kind,
    )


def bill(lines: tuple[Line, ...] | list[Line], **told: Any) -> Receipt:
    fields: dict[str, Any] = {"number": "1", "till": "1", "business_date": date(2026, 5, 5)}
    return Receipt(**fields | {"total_minor": sum(line.sum_minor for line in lines), "lines": tuple(lines)} | told)


def use(card: str, pay: int = 0, unit: str = BONUS) -> CardUse:
    return CardUse(refs=(Ref("card", card),), redeem=(Amount(unit, pay),) if pay else ())


@pytest.fixture(scope="module", params=BACKENDS)
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """The sample configuration on a database, with a kind of card for each programme."""
    settings = load(CONFIGS, {"TILLGATE_LINK_BISTRO": "0123456789abcdef"})
    codes = [code for code in settings.programmes if code not in ("bonus", "coffee", "certificates")]
    more = [product(code, f"31{n:02d}") for n, code in enumerate(sorted(codes))]
    made: Chain = structs.replace(settings.chain, products=(*settings.chain.products, *more))
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path_factory.mktemp('programmes') / 'books.db'}")
    else:
        database = Database(request.getfixturevalue("postgres").create_database("programmes"))
    upgrade(database)
    with database.transaction() as connection:
        vault = load_vault(connection, KEYS)
    yield Core(database, sync(database, made, settings.programmes), vault)
    database.dispose()


@pytest.fixture
def chain(template: Core) -> Iterator[Chain10]:
    """The sample chain without cards; its laws hold at the end."""
    database, clock = template.work.database, StillClock(BEGIN)
    database.clock = clock
    with database.transaction() as connection:
        for statement in EMPTY:
            connection.execute(text(statement))
    yield Chain10(Core(database, template.work.directory, template.work.vault), clock)
    assert [(check.name, check.rows) for check in verify(database) if check.rows] == []


def test_1_thresholds_of_one_receipt(chain: Chain10) -> None:
    card = chain.card("thresholds")
    assert chain.quote(card, goods("22000")).total_minor == 1_980_000
    assert chain.quote(card, goods("9999")).discount_minor == 0
    assert chain.quote(card, goods("10000")).total_minor == 950_000
    assert chain.quote(card, goods("10000"), goods("10000", number=2)).total_minor == 1_800_000


def test_2_accumulated_discount_rises_with_turnover_and_falls_with_absence(chain: Chain10) -> None:
    card = chain.card("accumulative")
    paid = []
    for total in ("10000", "10000", "30000", "1000"):
        quoted = chain.quote(card, goods(total))
        paid.append((quoted.cards[0].tier, quoted.total_minor))
        chain.sell(card, goods(total))
        chain.forward(days=7)
    assert paid == [("none", 1_000_000), ("five", 950_000), ("five", 2_850_000), ("seven", 93_000)]
    # 10,000 + 9,500 + 28,500 + 930 paid: 48,930.
    chain.sell(card, goods("2000"))
    assert chain.face(card).tier == "ten"
    assert chain.face(card).discount == "ten"
    chain.forward(days=30)
    assert chain.face(card).tier == "ten"
    chain.forward(days=1)
    assert chain.face(card).tier == "seven"
    assert chain.quote(card, goods("1000")).total_minor == 93_000
    chain.sell(card, goods("1000"))
    # It goes on from the 20,000 of its tier, not from what was bought before.
    assert chain.face(card).tier == "seven"
    chain.forward(days=31)
    assert chain.face(card).tier == "five"
    chain.forward(days=30)
    assert chain.face(card).tier == "none"


def test_2_worker_writes_down_who_has_fallen(chain: Chain10) -> None:
    card = chain.card("accumulative")
    chain.sell(card, goods("60000"))
    told = "SELECT tier, since, look_on FROM membership"
    day = BEGIN.date()
    stored = rows(chain.core.work.database, told)
    assert [str(each) for each in stored[0]] == ["ten", str(day), str(day + timedelta(days=31))]
    chain.forward(days=30)
    assert review_tiers(chain.core) == 0
    chain.forward(days=1)
    assert (review_tiers(chain.core), review_tiers(chain.core)) == (1, 0)
    stored = rows(chain.core.work.database, told)
    assert [str(each) for each in stored[0]] == ["seven", str(day + timedelta(days=30)), str(day + timedelta(days=61))]
    assert chain.face(card).tier == "seven"


def test_3_bonus_is_earned_paid_with_at_the_next_purchase_and_burns(chain: Chain10) -> None:
    card = chain.card("guest")
    assert chain.sell(card, goods("9000")).cards[0].earned == 45_000
    assert chain.available(card) == 0, "not before tomorrow"
    chain.forward(days=1)
    assert chain.available(card) == 45_000
    assert chain.quote(card, goods("1000")).cards[0].payable == 30_000, "30 % of the next receipt"
    sold = chain.sell(card, goods("1000"), pay=30_000)
    assert (sold.cards[0].redeemed, sold.cards[0].earned) == (30_000, 3_500)
    chain.forward(days=366)
    assert chain.available(card) == 3_500, "the 150 that are left of the first ones have burnt"
    chain.forward(days=1)
    assert chain.available(card) == 0


def test_4_restaurant_gives_a_fifth_for_the_next_visit(chain: Chain10) -> None:
    card = chain.card("restaurant")
    assert chain.sell(card, goods("3500")).cards[0].earned == 70_000
    assert chain.available(card) == 0
    chain.forward(days=1)
    assert chain.available(card) == 70_000
    quoted = chain.quote(card, goods("600"))
    assert quoted.cards[0].payable == 59_900, "one rouble is left for money"
    chain.sell(card, goods("600"), pay=59_900)
    assert chain.available(card) == 10_100
    chain.forward(days=31)
    assert chain.available(card) == 20, "a fifth of the one rouble"


def test_5_cashback_by_product(chain: Chain10) -> None:
    card = chain.card("products")
    sold = chain.sell(card, goods("50", "milk"), goods("100", "bread", 2), goods("200", "tobacco", 3))
    assert sold.cards[0].earned == 500 + 500
    assert chain.quote(card, goods("50", "milk")).lines[0].earned == 500
    assert chain.available(card) == 1_000
    quoted = chain.quote(card, goods("50", "milk"), goods("200", "tobacco", 2))
    assert [line.payable_minor for line in quoted.lines] == [5_000, 0]
    refusal = chain.refused(
        PostReceipt(store=STORE, keys=("t",), receipt=bill([goods("200", "tobacco")]), cards=(use(card, pay=100),))
    )
    assert isinstance(refusal, LimitExceeded)
    (lot,) = chain.lots(card)
    assert lot.expires_at == datetime(2026, 7, 31, 21, tzinfo=UTC), "the quarter and 31 days"


def test_6_currency_of_its_own(chain: Chain10) -> None:
    card = chain.card("currency")
    assert chain.sell(card, goods("1575")).cards[0].earned == 750
    phone = goods("75", "phones")
    quoted = chain.quote(card, phone)
    assert (quoted.cards[0].payable, quoted.lines[0].payable_minor) == (750, 7_500)
    sold = chain.sell(card, phone, pay=750, unit=COIN)
    assert (sold.cards[0].redeemed, sold.cards[0].earned, chain.available(card, COIN)) == (750, 0, 0)


def test_6_each_purchase_gives_coins_new_days(chain: Chain10) -> None:
    card = chain.card("currency")
    chain.sell(card, goods("100"))
    first = chain.lots(card)[0].expires_at
    chain.forward(days=170)
    sold = chain.key()
    chain.sell(card, goods("99"), key=sold)
    (lot,) = chain.lots(card)
    assert lot.expires_at - first == timedelta(days=170)
    chain.done(VoidReceipt(store=STORE, keys=(sold,), reason="rollback"))
    assert [lot.expires_at for lot in chain.lots(card)] == [first]


def test_7_coffee_shop_with_two_cards(chain: Chain10) -> None:
    dc, vip = chain.card("dc"), chain.card("vip")
    assert chain.quote(dc, goods("200")).total_minor == 19_000
    assert chain.quote(vip, goods("200")).total_minor == 17_000
    assert chain.face(dc).discount == "dc5"
    for _ in range(10):
        chain.sell(dc, goods("500"))
    assert (chain.face(dc).tier, chain.face(dc).discount) == ("dc5", "dc5"), "4,750 paid"
    chain.sell(dc, goods("300"))
    assert (chain.face(dc).tier, chain.face(dc).discount) == ("dc10", "dc10")
    assert chain.quote(dc, goods("200")).total_minor == 18_000
    chain.clock.at = datetime(2026, 6, 30, 12, tzinfo=UTC)
    assert chain.face(dc).tier == "dc10", "kept for the month after"
    chain.clock.at = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert chain.face(dc).tier == "dc5"


def test_8_birthday_and_welcome(chain: Chain10) -> None:
    card = chain.card("welcome", birthday=date(1990, 5, 20))
    assert chain.available(card) == 30_000
    first = chain.sell(card, goods("1000"))
    assert first.cards[0].earned == 3_000 + 10_000
    assert chain.sell(card, goods("1000")).cards[0].earned == 3_000, "the first purchase was the one before"
    chain.clock.at = datetime(2026, 5, 17, 12, tzinfo=UTC)
    quoted = chain.quote(card, goods("1000"))
    assert (quoted.total_minor, quoted.cards[0].earned) == (95_000, 2_850 + 50_000)
    assert chain.sell(card, goods("1000")).cards[0].earned == 2_850 + 50_000
    assert chain.sell(card, goods("1000")).cards[0].earned == 2_850, "once a year"
    chain.clock.at = datetime(2026, 5, 20, 12, tzinfo=UTC)
    assert chain.sell(card, goods("1000")).cards[0].earned == 2 * 2_850
    chain.clock.at = datetime(2027, 5, 20, 12, tzinfo=UTC)
    assert chain.sell(card, goods("1000")).cards[0].earned == 2 * (2_850 + 50_000)


def test_8_holder_without_a_birthday_gets_no_present(chain: Chain10) -> None:
    card = chain.card("welcome")
    chain.clock.at = datetime(2026, 5, 20, 12, tzinfo=UTC)
    assert chain.sell(card, goods("1000")).cards[0].earned == 3_000 + 10_000


def sold_for(chain: Chain10, product: str, amount: int) -> str:
    return str(chain.done(SellGiftCard(store=STORE, keys=(chain.key(),), product=product, amount=amount)).number)


def test_9_certificate_pays_once_and_the_rest_burns(chain: Chain10) -> None:
    card, paid = sold_for(chain, "certificate", 50_000), chain.key()
    before = chain.books()
    sold = chain.sell(card, goods("300"), key=paid, pay=30_000, unit=RUB)
    assert "rest_burnt" in sold.flags
    assert chain.available(card, RUB) == 0
    burnt = rows(
        chain.core.work.database,
        "SELECT sum(e.amount) FROM entry e JOIN account a ON a.id = e.account_id WHERE a.kind = 'expired'",
    )
    assert burnt == [(20_000,)]
    chain.done(VoidReceipt(store=STORE, keys=(paid,), reason="rollback"))
    assert chain.books() == before
    assert isinstance(
        chain.refused(SellGiftCard(store=STORE, keys=("x",), product="certificate", amount=70_000)), LoyaltyError
    ), "500 or 1,000"


def test_9_voucher_pays_in_full_only(chain: Chain10) -> None:
    card = sold_for(chain, "voucher", 123_400)
    part = Redeem(store=STORE, keys=("part",), card=Ref("card", card), unit=RUB, amount=100)
    assert isinstance(chain.refused(part), LimitExceeded)
    told = bill([goods("1000")])
    refusal = chain.refused(
        PostReceipt(store=STORE, keys=("p",), receipt=told, cards=(use(card, pay=100_000, unit=RUB),))
    )
    assert isinstance(refusal, LimitExceeded)
    chain.sell(card, goods("2000"), pay=123_400, unit=RUB)
    assert chain.available(card, RUB) == 0
    old = sold_for(chain, "voucher", 10_000)
    chain.forward(days=91)
    assert chain.available(old, RUB) == 0, "90 days from the sale"


def held(chain: Chain10, card: str, amount: int) -> str:
    key = chain.key()
    chain.done(PlaceHold(store=STORE, keys=(key,), card=Ref("card", card), unit=RUB, amount=amount, seconds=900))
    return key


def paid_from(hold: str, card: str, amount: int, by_receipt: bool) -> Command[Any]:
    """A payment from a hold, as a receipt or as a capture."""
    if not by_receipt:
        return CaptureHold(store=STORE, keys=(f"paid-{hold}",), hold=hold, amount=amount)
    paying = structs.replace(use(card, pay=amount, unit=RUB), hold=hold)
    return PostReceipt(store=STORE, keys=(f"paid-{hold}",), receipt=bill([goods("1000")]), cards=(paying,))


by_both = pytest.mark.parametrize("by_receipt", [True, False], ids=["receipt", "capture"])


@by_both
@pytest.mark.parametrize(("amount", "asked"), [(100_000, 30_000), (60_000, 60_000), (30_000, 30_000)])
def test_9_hold_lets_no_part_of_a_voucher_be_paid(chain: Chain10, amount: int, asked: int, by_receipt: bool) -> None:
    card = sold_for(chain, "voucher", 100_000)
    hold = held(chain, card, amount)
    assert isinstance(chain.refused(paid_from(hold, card, asked, by_receipt)), LimitExceeded)
    whole = held(chain, sold := sold_for(chain, "voucher", 100_000), 100_000)
    chain.done(paid_from(whole, sold, 100_000, by_receipt))
    assert chain.available(sold, RUB) == 0


def test_9_what_others_hold_of_a_voucher_makes_no_whole_of_the_rest(chain: Chain10) -> None:
    card = sold_for(chain, "voucher", 100_000)
    held(chain, card, 60_000)
    rest = Redeem(store=STORE, keys=("rest",), card=Ref("card", card), unit=RUB, amount=40_000)
    assert isinstance(chain.refused(rest), LimitExceeded)


@by_both
@pytest.mark.parametrize(("amount", "asked"), [(50_000, 30_000), (30_000, 30_000), (40_000, 10_000)])
def test_9_rest_of_a_certificate_burns_behind_a_hold(chain: Chain10, amount: int, asked: int, by_receipt: bool) -> None:
    card = sold_for(chain, "certificate", 50_000)
    before = chain.books()
    paid = chain.done(paid_from(hold := held(chain, card, amount), card, asked, by_receipt))
    assert "rest_burnt" in paid.flags and chain.available(card, RUB) == 0
    chain.done(VoidReceipt(store=STORE, keys=(f"paid-{hold}",), reason="rollback"))
    assert chain.books() == before


def test_9_present_pays_in_many_parts(chain: Chain10) -> None:
    card = sold_for(chain, "present", 100_000)
    chain.sell(card, goods("300"), pay=30_000, unit=RUB)
    chain.sell(card, goods("500"), pay=50_000, unit=RUB)
    assert chain.available(card, RUB) == 20_000


def test_10_network_combines_them(chain: Chain10) -> None:
    chain.clock.at = datetime(2026, 5, 5, 6, 0, tzinfo=UTC)  # 9:00, breakfast
    card = chain.card("network", birthday=date(1980, 7, 1))
    assert chain.available(card) == 30_000
    quoted = chain.quote(card, goods("1000"))
    assert (quoted.total_minor, quoted.cards[0].earned) == (90_000, 4_500 + 10_000)
    chain.sell(card, goods("12000"))
    chain.clock.at = datetime(2026, 5, 6, 9, 0, tzinfo=UTC)
    assert chain.face(card).discount == "five"
    quoted = chain.quote(card, goods("1000"), goods("200", "tobacco", 2), goods("300", "sale", 3))
    assert [line.discount_minor for line in quoted.lines] == [5_000, 0, 0]
    assert quoted.cards[0].earned == (95_000 + 30_000) * 5 // 100
    assert quoted.lines[1].payable_minor == 0
    chain.clock.at = datetime(2026, 5, 7, 6, 0, tzinfo=UTC)
    quoted = chain.quote(card, goods("1000"))
    assert quoted.total_minor == 85_500, "5 % of the card, then 10 % of what is left for breakfast"
    assert chain.sell(card, goods("100000")).cards[0].earned == 300_000, "no more than 3,000 in a day"
    assert chain.quote(card, goods("1000")).cards[0].earned == 0


SAMPLES = {
    "thresholds": [goods("22000")],
    "accumulative": [goods("60000")],
    "guest": [goods("9000")],
    "restaurant": [goods("3500")],
    "products": [goods("50", "milk"), goods("100", "bread", 2)],
    "currency": [goods("1575")],
    "dc": [goods("6000")],
    "welcome": [goods("1000"), goods("70", number=2, pieces=7)],
    "network": [goods("60000"), goods("99", "sale", 2)],
}


@pytest.mark.parametrize("undo", ["void", "return", "return by line"])
@pytest.mark.parametrize("product", SAMPLES)
def test_sale_and_what_undoes_it_leave_everything_as_it_was(chain: Chain10, product: str, undo: str) -> None:
    card = chain.card(product, birthday=date(1990, 5, 5))
    before = chain.books()
    lines = SAMPLES[product]
    chain.sell(card, *lines, key="sale")
    assert chain.books() != before
    if undo == "void":
        chain.done(VoidReceipt(store=STORE, keys=("sale",), reason="return"))
    elif undo == "return":
        chain.done(ReturnReceipt(store=STORE, keys=("back",), receipt=bill(lines), sale="sale"))
    else:
        for line in lines:
            back = (ReturnLine(number=line.number, quantity_thousandths=line.quantity_thousandths),)
            chain.done(
                ReturnReceipt(store=STORE, keys=(f"back-{line.number}",), receipt=bill([line]), sale="sale", lines=back)
            )
    after = chain.books()
    # Lots that were opened and are empty again are no value; new ones have new ids.
    assert _held(after) == _held(before)


def _held(books: list[Any]) -> list[Any]:
    accounts, lots, members, activity = books
    lowest = {"none", "dc5"}
    return [
        accounts,
        [lot for lot in lots if lot[2]],
        [member for member in members if member[2] not in lowest],
        activity,
    ]


# What samples do not show ------------------------------------------------------------------------------------


def changed(chain: Chain10, code: str, **sections: Any) -> None:
    """A programme with other sections, for this core only."""
    work = chain.core.work
    known = work.directory.programmes[code]
    document = structs.replace(known.programme.document, **sections)
    active = ActiveProgramme(known.version_id, Programme(document))
    directory = replace(work.directory, programmes=work.directory.programmes | {code: active})
    chain.core.work = replace(work, directory=directory)


def test_points_pay_in_steps_and_only_where_there_are_enough(chain: Chain10) -> None:
    changed(chain, "restaurant", payment=Payment(hundredths=5_000, step=1_000, least=70_000))
    card = chain.card("restaurant")
    chain.sell(card, goods("3400"))
    chain.forward(days=1)

    def paying(points: int) -> PostReceipt:
        told = bill([goods("1000")])
        return PostReceipt(store=STORE, keys=(chain.key(),), receipt=told, cards=(use(card, pay=points),))

    assert chain.available(card) == 68_000
    assert chain.quote(card, goods("1000")).cards[0].payable == 0
    assert dict(chain.face(card).payable)[BONUS] == 0
    assert isinstance(chain.refused(paying(10_000)), LimitExceeded), "700 points are needed"
    chain.sell(card, goods("123"))
    chain.forward(days=1)
    assert chain.available(card) == 70_460
    assert chain.quote(card, goods("1000")).cards[0].payable == 50_000
    assert dict(chain.face(card).payable)[BONUS] == 70_000
    assert isinstance(chain.refused(paying(10_001)), LimitExceeded), "ten points a step"
    chain.done(paying(49_000))


def test_what_a_cap_takes_away_is_not_given(chain: Chain10) -> None:
    document = chain.core.work.directory.programmes["welcome"].programme.document
    changed(chain, "welcome", points=structs.replace(document.points, caps=Caps(receipt=1_000)))
    card = chain.card("welcome", birthday=date(1990, 5, 5))
    assert asked(chain, card, goods("1000"))["birthday"] == "capped"
    assert chain.sell(card, goods("1000")).cards[0].earned == 1_000
    changed(chain, "welcome", points=document.points)
    assert chain.sell(card, goods("1000")).cards[0].earned == 2 * 2_850 + 2 * 50_000


# Explanations ------------------------------------------------------------------------------------------------


def explained(chain: Chain10, operation_id: int) -> dict[str, str]:
    """Why each rule fired or not, by its name."""
    (told,) = chain.core.answer([ExplainOperation(operation_id=operation_id)])
    assert isinstance(told, Explained), told
    (card,) = told.cards
    assert all(rule.why_ru and rule.why_en and rule.ru and rule.en for rule in card.rules)
    return {rule.rule: rule.why for rule in card.rules}


def asked(chain: Chain10, card: str, *lines: Line) -> dict[str, str]:
    """The same of a quote."""
    (told,) = chain.core.answer([ExplainQuote(store=STORE, receipt=bill(lines), cards=(use(card),))])
    assert isinstance(told, Explained), told
    return {rule.rule: rule.why for rule in told.cards[0].rules}


def test_samples_say_why_not(chain: Chain10) -> None:
    small = goods("100")
    thresholds = chain.card("thresholds")
    assert asked(chain, thresholds, small) == {"large_receipt": "nothing"}
    assert asked(chain, thresholds, goods("10000")) == {"large_receipt": "fired"}
    assert asked(chain, chain.card("accumulative"), small) == {"accumulated": "nothing"}
    guest = chain.card("guest")
    tobacco = structs.replace(small, category="tobacco")
    assert asked(chain, guest, tobacco) == {"cashback": "goods"}
    assert asked(chain, guest, structs.replace(small, price_minor=50)) == {"cashback": "price"}
    assert asked(chain, chain.card("restaurant"), small) == {"next_visit": "fired"}
    assert asked(chain, chain.card("products"), goods("50", "milk")) == {"milk": "fired", "bread": "goods"}
    assert asked(chain, chain.card("currency"), goods("99")) == {"coins": "nothing"}
    assert asked(chain, chain.card("dc"), small) == {"dc": "fired", "vip": "product"}
    assert asked(chain, chain.card("welcome"), small) == {
        "cashback": "fired",
        "first_purchase": "receipt_too_small",
        "birthday": "no_birthday",
        "birthday_double": "no_birthday",
        "birthday_discount": "no_birthday",
    }
    assert asked(chain, chain.card("network"), small) == {
        "accumulated": "nothing",
        "vip": "product",
        "breakfast": "hours",
        "birthday_discount": "no_birthday",
        "bonus": "fired",
        "first_purchase": "fired",
    }


def test_operation_explains_itself_by_the_version_and_facts_of_its_time(chain: Chain10) -> None:
    card = chain.card("network")
    chain.sell(card, goods("12000"))
    sold = chain.sell(card, goods("1000"), goods("500", "sale", 2))
    chain.forward(days=400)
    assert explained(chain, sold.operation_id) == {
        "accumulated": "fired",
        "vip": "product",
        "breakfast": "hours",
        "birthday_discount": "no_birthday",
        "bonus": "fired",
        "first_purchase": "not_first_purchase",
    }
    (told,) = chain.core.answer([ExplainOperation(operation_id=sold.operation_id)])
    (mine,) = told.cards
    assert (mine.facts["tier"], mine.earned) == ("five", sold.cards[0].earned)
    amounts = {rule.rule: rule.amount for rule in mine.rules if rule.amount}
    assert amounts == {"accumulated": 5_000, "bonus": (95_000 + 50_000) * 5 // 100}


def test_quote_is_told_in_words(chain: Chain10) -> None:
    card = chain.card("network")
    chain.sell(card, goods("12000"))
    (told,) = chain.core.answer([ExplainQuote(store=STORE, receipt=bill([goods("1000")]), cards=(use(card),))])
    assert isinstance(told, Explained)
    texts = {text.audience: text for text in told.cards[0].texts}
    assert texts["cashier"].ru == "Скидка 50.00, будет начислено 47.50 BONUS"
    assert texts["cashier"].en == "50.00 off, 47.50 BONUS to be earned"
    assert texts["slip"].ru == "Накопительная скидка: -50.00\n5 % баллами: +47.50 BONUS"
    assert texts["holder"].ru.splitlines()[-1] == "До уровня «Скидка 7 %» осталось 8000.00"
    assert list(chain.quote(card, goods("1000")).cards[0].texts) == list(told.cards[0].texts)
    assert texts["holder"].en.splitlines()[-1] == "8000.00 to go to the tier 7 % off"


def test_card_that_nobody_knows_has_no_rules_to_explain(chain: Chain10) -> None:
    card = chain.card("restaurant")
    told = PostReceipt(
        store=STORE,
        keys=("fact",),
        receipt=bill([goods("1000")]),
        cards=(use("0000000000000000"), CardUse(refs=(Ref("card", card),), spend_minor=100_000)),
        fact=True,
    )
    sold = chain.done(told)
    (explanation,) = chain.core.answer([ExplainOperation(operation_id=sold.operation_id)])
    assert isinstance(explanation, Explained)
    assert [(each.card, each.programme, each.earned) for each in explanation.cards] == [
        (card[-4:], "restaurant", 20_000)
    ]
    assert explained(chain, sold.operation_id) == {"next_visit": "fired"}


def test_what_points_have_paid_explains_why_nothing_was_earned(chain: Chain10) -> None:
    card = chain.card("currency")
    chain.sell(card, goods("2000"))
    sold = chain.sell(card, goods("100"), pay=1_000, unit=COIN)
    assert explained(chain, sold.operation_id) == {"coins": "no_money"}


def test_rule_that_another_one_beats_says_so(chain: Chain10) -> None:
    vip = chain.card("vip")
    both = structs.replace(
        chain.core.work.directory.programmes["coffee"].programme.document.discounts.rules[0], when=When()
    )
    document = chain.core.work.directory.programmes["coffee"].programme.document
    vip_rule = document.discounts.rules[1]
    changed = structs.replace(document, discounts=structs.replace(document.discounts, rules=(both, vip_rule)))
    active = ActiveProgramme(1, Programme(changed))
    directory = replace(chain.core.work.directory, programmes=chain.core.work.directory.programmes | {"coffee": active})
    chain.core.work = replace(chain.core.work, directory=directory)
    assert asked(chain, vip, goods("100")) == {"dc": "beaten", "vip": "fired"}
