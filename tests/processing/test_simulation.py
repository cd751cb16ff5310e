"""Simulations: the active version gives what was really given, others what they say; the books stay as they are."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec import structs
from sqlalchemy import delete, insert, select

from processing.chores import expire_lots
from processing.commands import (
    MergeHolders,
    Quote,
    RegisterHolder,
    RestoreReceipt,
    ReturnLine,
    ReturnReceipt,
)
from processing.directory import load, sync
from processing.execute import Core
from processing.programme.document import (
    ByReceipt,
    ByTier,
    Caps,
    DiscountRule,
    Discounts,
    Expiry,
    Fixed,
    Goods,
    Group,
    Level,
    Limit,
    Payment,
    Percent,
    Points,
    PointsRule,
    ProgrammeDocument,
    Review,
    Step,
    Tiers,
    When,
    Window,
)
from processing.results import Quoted
from processing.simulation.books import BooksSource, chain_of, vault_of
from processing.simulation.figures import Figures, figures
from processing.simulation.play import Run, Travelling, next_day, scratch, simulate
from processing.tables import metadata, programme_version
from tests.processing.books import (
    CHAIN,
    DEDUCTING,
    KEYS,
    MOSCOW,
    NOON,
    PLAIN,
    POINTS,
    PROGRAMMES,
    URAL,
    Books,
    Line,
    StillClock,
    adjust,
    check_laws,
    post,
    programme,
    receipt,
    ref,
    rows,
    use,
    void,
)

BEGIN = datetime(2026, 5, 3, 21, 0, tzinfo=UTC)
"""Midnight in Moscow, before NOON."""

RICH = ProgrammeDocument(
    code=PLAIN,
    unit=POINTS,
    goods={"sweets": Goods(categories=("sweets",))},
    discounts=Discounts(
        rules=(
            DiscountRule(rule="large", give=ByReceipt(steps=(Step(from_minor=50_000, hundredths=500),)), group="a"),
            DiscountRule(rule="tier", give=ByTier(hundredths={"silver": 300, "gold": 700}), group="a"),
            DiscountRule(rule="evening", give=Percent(hundredths=200), group="b", when=When(hours=(18 * 60, 23 * 60))),
        ),
        groups=(Group(group="a", take="best"), Group(group="b", take="sum")),
    ),
    points=Points(
        rules=(
            PointsRule(rule="bonus", give=Percent(hundredths=500), group="a", without=("sweets",)),
            PointsRule(rule="first", give=Fixed(points=1_000), group="b", when=When(first_purchase=True)),
            PointsRule(rule="present", give=Fixed(points=500), group="b", once="ever", goods=("sweets",)),
        ),
        groups=(Group(group="a", take="best"), Group(group="b", take="sum")),
        caps=Caps(day=6_000),
        pending_days=1,
        expires=Expiry(days=10),
    ),
    payment=Payment(hundredths=3_000),
    tiers=Tiers(
        measure="turnover",
        levels=(
            Level(tier="base", needs=0),
            Level(tier="silver", needs=100_000),
            Level(tier="gold", needs=250_000),
        ),
        window=Window(days=20),
        review=Review(days=15, fall="one_down"),
    ),
    limits=(Limit(limit="often", of="receipts", per="card", every="day", most=2, then="alert"),),
)


@pytest.fixture(params=[PROGRAMMES[PLAIN], RICH], ids=["plain", "rich"])
def said(request: pytest.FixtureRequest) -> ProgrammeDocument:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def shop(books: Books, said: ProgrammeDocument) -> Iterator[Shop]:
    """The books with this programme, active since before everything; other tests find theirs again."""
    with books.database.transaction() as connection:
        kept = [dict(row) for row in connection.execute(select(programme_version)).mappings()]
        connection.execute(delete(programme_version))
    clock = books.clock
    assert isinstance(clock, StillClock)
    clock.at = NOON - timedelta(days=100)
    books.core = Core(books.database, sync(books.database, CHAIN, PROGRAMMES | {PLAIN: said}), books.core.work.vault)
    clock.at = NOON
    yield Shop(books, clock)
    with books.database.transaction() as connection:
        connection.execute(delete(programme_version))
        connection.execute(insert(programme_version), kept)


@dataclass
class Shop:
    """Cards that buy, and a till that takes off what it is told."""

    books: Books
    clock: StillClock
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    sold: dict[str, tuple[str, tuple[Line, ...]]] = field(default_factory=dict)

    def sell(self, card: str, *lines: Line, share: int = 100, store: str = MOSCOW, **told: Any) -> str:
        """Buy, paying with so many percent of what points may pay; the key."""
        (quoted,) = self.books.core.answer([Quote(store=store, receipt=bill(lines), cards=(use(card),))])
        assert isinstance(quoted, Quoted), quoted
        off = [line.discount_minor for line in quoted.lines]
        taken = tuple(
            structs.replace(line, sum_minor=line.sum_minor - less, discount_minor=less)
            for line, less in zip(lines, off, strict=True)
        )
        key = self.books.key("sale")
        paid = quoted.cards[0].payable * share // 100
        self.books.done(post(key, use(card, redeem=paid, **told), receipt=bill(taken), store=store))
        self.sold[key] = store, taken
        return key

    def give_back(self, key: str, *lines: ReturnLine, **told: Any) -> None:
        fields: dict[str, Any] = {"store": MOSCOW, "keys": (self.books.key("back"),), "receipt": bill(()), "sale": key}
        self.books.done(ReturnReceipt(**fields | {"lines": lines} | told))

    def basket(self) -> tuple[Line, ...]:
        count = self.chance.randint(1, 4)
        return tuple(self.line(n) for n in range(1, count + 1))

    def line(self, number: int) -> Line:
        pieces, price = self.chance.randint(1, 3), self.chance.randint(100, 20_000)
        kind = self.chance.choice(["food", "sweets", "tea"])
        return goods(price * pieces, number, kind, pieces)

    def live(self, days: int, cards: Sequence[str]) -> None:
        """Days with purchases, returns, voids and corrections of these cards."""
        for _ in range(days):
            for _ in range(self.chance.randint(2, 6)):
                self.clock.forward(minutes=self.chance.randint(1, 200))
                self.do(self.chance.choice(list(cards)))
            self.clock.at = next_day(self.clock.at, [CHAIN_ZONE]) + timedelta(hours=8)

    def do(self, card: str) -> None:
        doing = self.chance.random()
        store = self.chance.choice([MOSCOW, URAL])
        if doing < 0.7 or not self.sold:
            self.sell(card, *self.basket(), share=self.chance.choice([0, 0, 50, 100]), store=store)
        elif doing < 0.75:
            # At once, so that nobody has spent what it gave.
            key = self.sell(card, *self.basket(), share=50)
            self.books.done(void(key))
            self.sold.pop(key)
        elif doing < 0.95:
            key = self.chance.choice(list(self.sold))
            sold_at, lines = self.sold.pop(key)
            piece = ReturnLine(number=lines[0].number, quantity_thousandths=1000)
            self.give_back(key, *self.chance.choice([(), (piece,)]), store=store, sale_store=sold_at)
        else:
            self.books.done(adjust(self.books.key("fix"), card, self.chance.randint(1, 500)))

    # Simulating -----------------------------------------------------------------------------------------------

    def simulated(
        self, document: ProgrammeDocument, folder: Path, starts_at: datetime = BEGIN, **told: Any
    ) -> tuple[Figures, dict[int, int]]:
        """What a version would have done, and the points of each wallet at the end."""
        with ExitStack() as stack:
            core, source = self.begin(stack, document, folder, starts_at)
            one = Run(core, document, told.pop("keep_till_discounts", False))
            simulate(source, [one], lambda more: None, told.get("limit"))
            one.finish(self.clock.at)
            check_laws_but_keys(core)
            return figures(one), balances(core)

    def begin(
        self, stack: ExitStack, document: ProgrammeDocument, folder: Path, starts_at: datetime
    ) -> tuple[Core, BooksSource]:
        database = self.books.database
        with database.reading() as connection:
            known = load(connection, self.clock.at)
        active = {code: each.programme.document for code, each in known.programmes.items()}
        kept = str(folder / f"order-{len(list(folder.iterdir()))}.db")
        until = self.clock.at + timedelta(seconds=1)
        source = BooksSource(database, known, document, starts_at, until, kept, vault_of(database, KEYS))
        return stack.enter_context(scratch(chain_of(known), active | {document.code: document}, starts_at)), source


CHAIN_ZONE = ZoneInfo("Europe/Moscow")


def goods(total: int, number: int = 1, category: str = "food", pieces: int = 1) -> Line:
    return Line(
        number=number,
        goods=f"{category}-{number}",
        category=category,
        quantity_thousandths=pieces * 1000,
        price_minor=total // pieces,
        sum_minor=total,
    )


def bill(lines: Sequence[Line]) -> Any:
    return receipt(sum(line.sum_minor for line in lines), lines)


def balances(core: Core) -> dict[int, int]:
    found = rows(
        core.work.database, "SELECT wallet_id, balance FROM account WHERE unit = :unit AND balance <> 0", unit=POINTS
    )
    return dict(found)  # type: ignore[arg-type]


def booked(books: Books, kind: str) -> int:
    """What stands on the partners' accounts of a kind, in points."""
    (found,) = books.rows(
        "SELECT coalesce(sum(e.amount), 0) FROM entry e JOIN account a ON a.id = e.account_id"
        " WHERE a.kind = :kind AND a.unit = :unit",
        kind=kind,
        unit=POINTS,
    )
    return int(found[0])


def everything(books: Books) -> dict[str, list[str]]:
    """All rows of all tables."""
    with books.database.reading() as connection:
        return {
            table.name: sorted(str(tuple(row)) for row in connection.execute(select(table)))
            for table in metadata.sorted_tables
        }


def check_laws_but_keys(core: Core) -> None:
    """Adjustments of scratch books have no request keys; all else holds."""
    database = core.work.database
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE operation SET kind = 'opening' WHERE kind = 'adjustment'")
    check_laws(database)


def expire(shop: Shop) -> None:
    while expire_lots(shop.books.core):
        pass


def test_active_version_gives_exactly_what_was_given(shop: Shop, said: ProgrammeDocument, tmp_path: Path) -> None:
    cards = [shop.books.card() for _ in range(5)]
    shop.live(25, cards)
    expire(shop)
    found, points = shop.simulated(said, tmp_path)
    assert found.issued == -booked(shop.books, "issued")
    assert found.redeemed == booked(shop.books, "redeemed")
    assert found.expired == booked(shop.books, "expired")
    assert points == balances(shop.books.core)
    assert (found.unpaid, found.refused) == (0, {})
    assert found.receipts > 40
    assert found.returns > 2
    assert found.brought + found.issued == found.redeemed + found.expired + found.outstanding


def test_period_in_the_middle_begins_with_what_was_there(shop: Shop, said: ProgrammeDocument, tmp_path: Path) -> None:
    cards = [shop.books.card() for _ in range(4)]
    shop.live(12, cards)
    expire(shop)
    starts_at = next_day(shop.clock.at - timedelta(days=1), [CHAIN_ZONE])
    shop.clock.at = starts_at + timedelta(hours=3)
    before = {kind: booked(shop.books, kind) for kind in ("issued", "redeemed", "expired")}
    shop.sold.clear()
    shop.live(8, cards)
    expire(shop)
    found, points = shop.simulated(said, tmp_path, starts_at)
    assert found.issued == before["issued"] - booked(shop.books, "issued")
    assert found.redeemed == booked(shop.books, "redeemed") - before["redeemed"]
    assert {w: points[w] for w in points} == {w: p for w, p in balances(shop.books.core).items() if w in points}
    assert (found.unpaid, found.refused) == (0, {})


def test_nothing_in_the_books_is_changed(shop: Shop, said: ProgrammeDocument, tmp_path: Path) -> None:
    shop.live(3, [shop.books.card() for _ in range(3)])
    before = everything(shop.books)
    shop.simulated(said, tmp_path)
    assert everything(shop.books) == before


only_plain = pytest.mark.parametrize("said", [PROGRAMMES[PLAIN]], ids=["plain"])


@only_plain
def test_doubled_percent_doubles_the_cost(shop: Shop, said: ProgrammeDocument, tmp_path: Path) -> None:
    card = shop.books.card()
    for total in (10_000, 33_000, 99_900):
        shop.sell(card, goods(total), share=0)
    once, _ = shop.simulated(said, tmp_path)
    twice, _ = shop.simulated(programme(PLAIN, cashback_hundredths=1_000), tmp_path)
    assert (once.cost_minor, twice.cost_minor) == (7_145, 14_290)
    assert (once.turnover_minor, once.cost_hundredths, twice.cost_hundredths) == (142_900, 500, 1_000)
    assert twice.liability_minor == 14_290
    (rule,) = twice.rules
    assert (rule.rule, rule.gives, rule.times, rule.amount, rule.base_minor) == (
        "cashback", "points", 3, 14_290, 142_900,
    )  # fmt: skip


@only_plain
def test_returned_goods_lower_turnover_and_cost(shop: Shop, said: ProgrammeDocument, tmp_path: Path) -> None:
    card = shop.books.card()
    key = shop.sell(card, goods(20_000), goods(30_000, 2, pieces=3), share=0)
    shop.give_back(key, ReturnLine(number=2, quantity_thousandths=1_000))
    shop.give_back(key, ReturnLine(number=1))
    found, _ = shop.simulated(RICH, tmp_path)
    # 5 % off, 1,000 for the first purchase; two of three pieces of the second line are kept.
    assert (found.receipts, found.returns) == (1, 2)
    assert (found.turnover_minor, found.discount_minor) == (19_000, 1_000)
    plain, _ = shop.simulated(said, tmp_path)
    assert (plain.turnover_minor, plain.issued, plain.cost_minor) == (20_000, 1_000, 1_000)


@only_plain
def test_voided_and_abandoned_receipts_are_not_played(shop: Shop, said: ProgrammeDocument, tmp_path: Path) -> None:
    card = shop.books.card()
    gone, back = shop.sell(card, goods(10_000)), shop.sell(card, goods(20_000), share=0)
    shop.books.done(void(gone))
    shop.books.done(void(back, reason="return"))
    shop.clock.forward(days=2)
    shop.books.done(RestoreReceipt(store=MOSCOW, keys=(back,)))
    shop.books.done(post("v", use(card), total=1_000, at=1, supersede=True))
    shop.books.done(post("v", use(card), total=3_000, at=2, supersede=True))
    found, points = shop.simulated(said, tmp_path)
    assert (found.receipts, found.turnover_minor, found.issued) == (2, 23_000, 1_150)
    assert points == balances(shop.books.core)


@only_plain
def test_points_that_do_not_fit_could_not_pay(shop: Shop, tmp_path: Path) -> None:
    card = shop.books.card(points=5_000)
    shop.sell(card, goods(10_000))
    half = structs.replace(PROGRAMMES[PLAIN], payment=Payment(hundredths=1_000))
    found, points = shop.simulated(half, tmp_path)
    assert (found.redeemed, found.unpaid, found.unpaid_receipts) == (1_000, 4_000, 1)
    assert found.issued == 450
    assert list(points.values()) == [5_000 - 1_000 + 450]


@only_plain
def test_discounts_of_tills_are_put_back_or_kept(shop: Shop, said: ProgrammeDocument, tmp_path: Path) -> None:
    card = shop.books.card()
    line = structs.replace(goods(9_000), discount_minor=1_000)
    shop.books.done(post("own", use(card), receipt=bill([line])))
    put_back, _ = shop.simulated(said, tmp_path)
    kept, _ = shop.simulated(said, tmp_path, keep_till_discounts=True)
    assert (put_back.turnover_minor, put_back.till_discount_minor, put_back.issued) == (10_000, 1_000, 500)
    assert (kept.turnover_minor, kept.till_discount_minor, kept.issued) == (9_000, 1_000, 450)
    assert kept.issued == -booked(shop.books, "issued")


@only_plain
def test_what_tills_compute_themselves_stays(shop: Shop, tmp_path: Path) -> None:
    card = shop.books.card()
    shop.books.done(post("till", use(card, earn=77), total=10_000))
    found, _ = shop.simulated(programme(PLAIN, cashback_hundredths=1_000), tmp_path)
    assert (found.issued, found.rules) == (77, ())


@only_plain
def test_receipts_of_other_programmes_are_left_out(shop: Shop, said: ProgrammeDocument, tmp_path: Path) -> None:
    shop.books.done(post("ours", use(shop.books.card()), total=10_000))
    shop.books.done(post("theirs", use(shop.books.card(product=DEDUCTING)), total=10_000))
    found, _ = shop.simulated(said, tmp_path)
    assert (found.receipts, found.issued) == (1, 500)


@only_plain
def test_several_cards_share_a_receipt(shop: Shop, said: ProgrammeDocument, tmp_path: Path) -> None:
    one, other = shop.books.card(), shop.books.card()
    cards = (use(one, spend_minor=30_000), use(other, spend_minor=70_000))
    shop.books.done(post("shared", *cards, total=100_000))
    _, points = shop.simulated(said, tmp_path)
    assert points == balances(shop.books.core)
    assert sorted(points.values()) == [1_500, 3_500]


@only_plain
def test_merged_wallets_are_one(shop: Shop, said: ProgrammeDocument, tmp_path: Path) -> None:
    one, other = shop.books.card(), shop.books.card()
    for n, card in enumerate((one, other)):
        shop.books.done(
            RegisterHolder(store=MOSCOW, keys=(f"h{n}",), card=ref(card), name="Anna", phone=f"+792111111{n:02}")
        )
        shop.sell(card, goods(10_000), share=0)
    shop.books.done(MergeHolders(store=MOSCOW, keys=("m",), source=ref(one), target=ref(other)))
    shop.sell(other, goods(1_000), share=100)
    found, points = shop.simulated(said, tmp_path)
    assert found.unpaid == 0
    assert points == balances(shop.books.core)


@only_plain
def test_limit_ends_after_so_many_receipts(shop: Shop, said: ProgrammeDocument, tmp_path: Path) -> None:
    card = shop.books.card()
    for total in (1_000, 2_000, 4_000):
        shop.sell(card, goods(total), share=0)
        shop.clock.forward(minutes=1)
    found, _ = shop.simulated(said, tmp_path, limit=2)
    assert (found.receipts, found.turnover_minor) == (2, 3_000)


@only_plain
def test_birthdays_are_known_with_the_keys_and_written_nowhere(
    shop: Shop, said: ProgrammeDocument, tmp_path: Path
) -> None:
    card = shop.books.card()
    born = date(1990, 5, 4)
    shop.books.done(
        RegisterHolder(store=MOSCOW, keys=("h",), card=ref(card), name="Anna", phone="+79211111111", birthday=born)
    )
    shop.sell(card, goods(10_000), share=0)
    present = PointsRule(rule="present", give=Fixed(points=9_000), when=When(birthday=(0, 0)))
    asking = structs.replace(said, points=structs.replace(said.points, rules=(present,)))
    with ExitStack() as stack:
        core, source = shop.begin(stack, asking, tmp_path, BEGIN)
        one = Run(core, asking)
        simulate(source, [one], lambda more: None)
        one.finish(shop.clock.at)
        assert figures(one).issued == 9_000
        file = Path(str(core.work.database.url.database))
        written = b"".join(each.read_bytes() for each in file.parent.iterdir())
        assert b"1990" not in written
        assert b"Anna" not in written
    assert not file.exists()
    assert not file.parent.exists()
    source._vault = None
    assert source.openings([1])[0].birthday is None


@only_plain
def test_receipts_from_before_pasts_were_kept_are_known_by_their_lots(
    shop: Shop, said: ProgrammeDocument, tmp_path: Path
) -> None:
    card = shop.books.card(points=1_000)
    shop.sell(card, goods(10_000))
    with shop.books.database.transaction() as connection:
        for number, document in connection.exec_driver_sql(
            "SELECT operation_id, CAST(document AS TEXT) FROM receipt"
        ).fetchall():
            told = msgspec.json.decode(document)
            told.pop("activity")
            changed = msgspec.json.encode(told).decode()
            connection.exec_driver_sql(
                f"UPDATE receipt SET document = '{changed}' WHERE operation_id = {number}".replace("%", "%%")
            )
    found, points = shop.simulated(said, tmp_path)
    assert (found.receipts, found.redeemed, found.unpaid) == (1, 1_000, 0)
    assert points == balances(shop.books.core)


def test_the_clock_travels() -> None:
    clock = Travelling(NOON)
    assert clock(NOON + timedelta(days=1)) == NOON
    assert next_day(NOON, [CHAIN_ZONE]) == datetime(2026, 5, 4, 21, tzinfo=UTC)
