"""What wallets did, day by day, and their tiers: after any traffic just what the receipts that stand say.

``Model`` tells it again in memory: turnover is the own money of what stands, by the sale's own day; the return that
takes the last goods back takes the visit; points are those that purchases gave and took, less what returns have undone.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs
from sqlalchemy import text

from processing.chores import review_tiers
from processing.commands import (
    Command,
    Exchange,
    Identify,
    IssueCard,
    Line,
    MergeHolders,
    PostReceipt,
    Receipt,
    Ref,
    RestoreReceipt,
    ReturnLine,
    ReturnReceipt,
    VoidReceipt,
)
from processing.directory import ActiveProgramme
from processing.execute import Core
from processing.programme.compiled import Programme
from processing.programme.document import (
    ByTier,
    Expiry,
    Fixed,
    Group,
    Level,
    Limit,
    Payment,
    Points,
    PointsRule,
    ProgrammeDocument,
    Tiers,
)
from processing.results import Exchanged, Identified, ReceiptPosted, ReceiptReturned
from processing.units import proportion, spread
from processing.verify import verify
from tests.conftest import EMPTY
from tests.effort import drawn
from tests.processing.books import ALMATY, CHAIN, MOSCOW, PLAIN, POINTS, URAL, Books, StillClock, post, rows, use

ZONES = {store.code: ZoneInfo(store.zone) for store in CHAIN.stores}
LIVES, STEPS = drawn(25), 14
SEEDS = st.integers(0, 2**32)
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""A seed cannot shrink."""

LEVELS = (Level(tier="none", needs=0), Level(tier="silver", needs=10_000), Level(tier="gold", needs=30_000))
LOYAL = ProgrammeDocument(
    code=PLAIN,
    unit=POINTS,
    points=Points(
        rules=(
            PointsRule(rule="by_tier", group="g", give=ByTier(hundredths={"none": 300, "silver": 500, "gold": 1_000})),
            PointsRule(rule="welcome", group="g", give=Fixed(points=777), once="ever"),
        ),
        groups=(Group(group="g", take="sum"),),
        expires=Expiry(days=100, sliding=True),
    ),
    payment=Payment(hundredths=10_000),
    tiers=Tiers(measure="turnover", levels=LEVELS, absence_days=40),
    limits=(Limit(limit="many", of="receipts", per="till", every="day", most=1, then="alert"),),
)


@pytest.fixture
def loyal(books: Books) -> Books:
    """The small chain whose plain cards have tiers, a welcome and points that live on."""
    return run_by(books, LOYAL)


def run_by(books: Books, document: ProgrammeDocument) -> Books:
    work = books.core.work
    active = ActiveProgramme(work.directory.programmes[PLAIN].version_id, Programme(document))
    directory = replace(work.directory, programmes=work.directory.programmes | {PLAIN: active})
    books.core = Core(books.database, directory, work.vault)
    return books


# The model ----------------------------------------------------------------------------------------------------

Sums = tuple[int, int, int, int]
"""Turnover, visits, points earned and paid with."""


@dataclass
class Sale:
    """A receipt that stands, and what has come back of it. Wallets are those of the day of the sale."""

    key: str
    store: str
    day: date
    till: str
    lines: tuple[Line, ...]
    own: dict[int, list[int]]
    earned: Counter[int]
    redeemed: Counter[int]
    # By return and line: which thousandths of it came back.
    places: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    returns: dict[str, ReceiptReturned] = field(default_factory=dict)
    # By return: what it took of the wallets' own money; which of them took the visit.
    taken: dict[str, Counter[int]] = field(default_factory=dict)
    emptied_by: str = ""

    @property
    def left(self) -> list[tuple[Line, int]]:
        return [(line, len(free)) for line in self.lines if (free := self.free(line))]

    def free(self, line: Line) -> list[int]:
        """The thousandths that no return has; the next one takes the first of them."""
        taken = {place for places in self.places.values() for place in places.get(line.number, ())}
        return [place for place in range(line.quantity_thousandths) if place not in taken]

    def turnover(self, wallet: int) -> int:
        return sum(self.own[wallet]) - sum(taken[wallet] for taken in self.taken.values())

    def take_back(self, key: str, answer: ReceiptReturned) -> None:
        """Of a line's own money what lies on the thousandths that come back; the last one takes the rest."""
        taken: Counter[int] = Counter()
        rest = {wallet: self.turnover(wallet) for wallet in self.own}
        by_number = {line.number: n for n, line in enumerate(self.lines)}
        places = {}
        for back in answer.lines:
            n = by_number[back.number]
            size, now = self.lines[n].quantity_thousandths, self.free(self.lines[n])[: back.amount]
            for wallet, own in self.own.items():
                for place in now:
                    taken[wallet] += proportion(own[n], place + 1, size) - proportion(own[n], place, size)
            places[back.number] = now
        self.places[key] = places
        if not self.left:
            taken = Counter(rest)
            self.emptied_by = self.emptied_by or key
        self.returns[key], self.taken[key] = answer, taken

    def undo_return(self, key: str) -> None:
        del self.returns[key], self.places[key], self.taken[key]
        self.emptied_by = "" if self.emptied_by == key else self.emptied_by


@dataclass
class Model:
    """``home``: where a wallet's sums are today."""

    sales: dict[str, Sale] = field(default_factory=dict)
    voided: dict[str, Sale] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)

    def home(self, wallet: int) -> int:
        return self.merged.get(wallet, wallet)

    def activity(self) -> dict[tuple[int, date], Sums]:
        found: dict[tuple[int, date], list[int]] = {}
        for sale in self.sales.values():
            for wallet in {self.home(wallet) for wallet in sale.own}:
                sums = found.setdefault((wallet, sale.day), [0, 0, 0, 0])
                for each, sum_of in zip(range(4), self._of(sale, wallet), strict=True):
                    sums[each] += sum_of
        return {place: tuple(sums) for place, sums in found.items() if any(sums)}  # type: ignore[misc]

    def _of(self, sale: Sale, wallet: int) -> Sums:
        turnover = visits = 0
        for each in sale.own:
            if self.home(each) != wallet:
                continue
            visits += 0 if sale.emptied_by else 1
            turnover += sale.turnover(each)
        earned = sum(amount for each, amount in sale.earned.items() if self.home(each) == wallet)
        redeemed = sum(amount for each, amount in sale.redeemed.items() if self.home(each) == wallet)
        for returned in sale.returns.values():
            for moved in returned.cards:
                if self.home(moved.account) == wallet and moved.unit == POINTS:
                    earned, redeemed = earned - moved.earned, redeemed - moved.redeemed
        return turnover, visits, earned, redeemed

    def tallies(self) -> Counter[tuple[str, date]]:
        """How many receipts there were at each till."""
        found: Counter[tuple[str, date]] = Counter()
        for sale in self.sales.values():
            if not sale.emptied_by:
                found[f"{sale.store}/{sale.till}", sale.day] += 1
        return found


# A life -------------------------------------------------------------------------------------------------------


@dataclass
class Life:
    books: Books
    dice: random.Random
    cards: list[str]
    model: Model = field(default_factory=Model)
    wallets: dict[str, int] = field(default_factory=dict)
    commands: list[tuple[Command[Any], Any]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, books: Books, seed: int) -> Life:
        cards = [books.card(points) for points in (50_000, 0, 2_000)]
        wallet_of = IssueCard(
            store=MOSCOW, keys=(books.key("issue"),), product=PLAIN, wallet_of=Ref("card", cards[0]), active=True
        )
        cards.append(books.done(wallet_of).number)
        life = cls(books, random.Random(seed), cards)
        life.wallets = {card: life.face(card).account for card in cards}
        return life

    @property
    def clock(self) -> StillClock:
        assert isinstance(self.books.clock, StillClock)
        return self.books.clock

    def face(self, card: str) -> Identified:
        (outcome,) = self.books.core.answer([Identify(store=MOSCOW, refs=(Ref("card", card),))])
        assert isinstance(outcome, Identified)
        return outcome

    def done(self, command: Command[Any]) -> Any:
        outcome = self.books.done(command)
        self.commands.append((command, outcome))
        return outcome

    # Commands -------------------------------------------------------------------------------------------------

    def receipt(self, store: str, at: datetime | None = None) -> Receipt:
        lines = []
        for n in range(1, 1 + self.dice.randint(1, 4)):
            pieces, price = self.dice.choice([1, 1, 2, 3]), self.dice.randint(1, 9_000)
            lines.append(
                Line(
                    number=n,
                    goods=f"g{n}",
                    quantity_thousandths=1_000 * pieces,
                    price_minor=price,
                    sum_minor=price * pieces - self.dice.choice([0, 0, 0, 1]),
                )
            )
        total = sum(line.sum_minor for line in lines)
        return Receipt(
            number="1",
            till=self.dice.choice(["1", "2"]),
            business_date=date(2026, 5, 4),
            total_minor=total,
            lines=tuple(lines),
            closed_at=at,
        )

    def purchase(self, key: str = "", stamp: datetime | None = None) -> PostReceipt:
        store = self.dice.choice([MOSCOW, URAL, ALMATY])
        at = self.clock.at - timedelta(hours=self.dice.randint(1, 60)) if self.dice.random() < 0.15 else None
        told = self.receipt(store, at)
        some = self.dice.sample(self.cards, self.dice.choice([1, 1, 1, 2, 3]))
        spends = [self.dice.choice([0, self.dice.randint(1, 5_000)]) for _ in some]
        pays = []
        free = Counter({self.face(card).account: self.books.balances(card)[POINTS].available for card in some})
        rest = told.total_minor
        for card in some:
            account = self.face(card).account
            most = max(min(free[account], rest), 0)
            points = self.dice.randint(0, most) if self.dice.random() < 0.4 else 0
            free[account] -= points
            rest -= points
            pays.append(points)
        uses = tuple(
            use(card, redeem=points, spend_minor=spend) for card, points, spend in zip(some, pays, spends, strict=True)
        )
        return PostReceipt(
            store=store,
            keys=(key or self.books.key("sale"),),
            receipt=told,
            cards=uses,
            fact=at is not None,
            stamp=stamp or self.clock.at,
            supersede=bool(key),
        )

    def sell(self, command: PostReceipt) -> Sale:
        return self.booked(command, self.done(command))

    def booked(self, command: PostReceipt, posted: ReceiptPosted) -> Sale:
        """Note a purchase in the model."""
        lines = command.receipt.lines
        paid = sum(amount.amount for each in command.cards for amount in each.redeem)
        own = [
            line.sum_minor - part
            for line, part in zip(lines, spread(paid, [line.sum_minor for line in lines]), strict=True)
        ]
        whole = sum(each.spend_minor for each in command.cards)
        happened = command.receipt.closed_at if command.fact else None
        sale = Sale(
            command.keys[0],
            command.store,
            (happened or self.clock.at).astimezone(ZONES[command.store]).date(),
            command.receipt.till,
            lines,
            {},
            Counter(),
            Counter(),
        )
        for n, each in enumerate(command.cards):
            wallet = self.face(each.refs[0].value).account
            if len(command.cards) == 1:
                mine = own
            elif whole:
                mine = spread(proportion(sum(own), each.spend_minor, whole), own) if any(own) else own
            else:
                mine = own if n == 0 else [0] * len(own)
            before = sale.own.get(wallet, [0] * len(own))
            sale.own[wallet] = [a + b for a, b in zip(before, mine, strict=True)]
        for moved in posted.cards:
            sale.earned[moved.account] += moved.earned
            sale.redeemed[moved.account] += moved.redeemed
        self.model.sales[sale.key] = sale
        return sale

    def some_sale(self) -> Sale | None:
        return self.dice.choice(list(self.model.sales.values())) if self.model.sales else None

    def give_back(self, sale: Sale, lines: Sequence[ReturnLine], key: str = "") -> None:
        """Take goods back, somewhere in the chain; no lines: all that is left."""
        command = self.taking_back(sale, lines, key)
        sale.take_back(command.keys[0], self.done(command))

    def taking_back(self, sale: Sale, lines: Sequence[ReturnLine], key: str = "") -> ReturnReceipt:
        store = self.dice.choice([MOSCOW, URAL, ALMATY])
        told = Receipt(number="2", till=self.dice.choice(["1", "3"]), business_date=date(2026, 5, 4))
        return ReturnReceipt(
            store=store,
            keys=(key or self.books.key("back"),),
            receipt=told,
            sale=sale.key,
            sale_store=sale.store,
            lines=tuple(lines),
            stamp=self.clock.at,
        )

    def step(self) -> None:
        steps = {
            self._sells: 6,
            self._returns_some: 5,
            self._returns_all: 1,
            self._voids: 2,
            self._voids_a_return: 2,
            self._restores: 2,
            self._supersedes: 2,
            self._exchanges: 1,
            self._merges: 1,
            self._repeats: 1,
            self._waits: 3,
        }
        (step,) = self.dice.choices(list(steps), list(steps.values()))
        self.steps.append(step.__name__)
        step()

    def _sells(self) -> None:
        self.sell(self.purchase())

    def _some_lines(self, sale: Sale) -> list[ReturnLine]:
        line, left = self.dice.choice(sale.left)
        return [ReturnLine(number=line.number, quantity_thousandths=self.dice.randint(1, left))]

    def _returns_some(self) -> None:
        sale = self.some_sale()
        if sale is not None and sale.left:
            self.give_back(sale, self._some_lines(sale))

    def _returns_all(self) -> None:
        sale = self.some_sale()
        if sale is not None and sale.left:
            self.give_back(sale, ())

    def _voids(self) -> None:
        sale = self.some_sale()
        if sale is not None:
            reason: Any = self.dice.choice(["rollback", "return"])
            self.clock.forward(seconds=1)
            self.done(VoidReceipt(store=sale.store, keys=(sale.key,), reason=reason, stamp=self.clock.at))
            del self.model.sales[sale.key]
            if reason == "return":
                self.model.voided[sale.key] = sale

    def _voids_a_return(self) -> None:
        sale = self.some_sale()
        if sale is None or not sale.returns:
            return
        key = self.dice.choice(list(sale.returns))
        command = next(each for each, _ in self.commands if key in each.keys)
        self.clock.forward(seconds=1)
        self.done(VoidReceipt(store=command.store, keys=(key,), reason="rollback", stamp=self.clock.at))
        sale.undo_return(key)

    def _restores(self) -> None:
        if not self.model.voided:
            return
        key = self.dice.choice(list(self.model.voided))
        sale = self.model.voided.pop(key)
        self.clock.forward(seconds=1)
        answer = self.done(RestoreReceipt(store=sale.store, keys=(key,), stamp=self.clock.at))
        assert answer.outcome == "restored"
        # Its returns are a part of it now: they can no longer be undone by themselves.
        for returned in sale.returns.values():
            for moved in returned.cards:
                if moved.unit == POINTS:
                    sale.earned[moved.account] -= moved.earned
                    sale.redeemed[moved.account] -= moved.redeemed
        sale.returns = {}
        sale.emptied_by = sale.emptied_by and "for good"
        self.model.sales[key] = sale

    def _supersedes(self) -> None:
        sale = self.some_sale()
        if sale is None:
            return
        self.clock.forward(seconds=1)
        command = structs.replace(self.purchase(key=sale.key, stamp=self.clock.at), store=sale.store)
        self.model.sales.pop(sale.key)
        # What the old version took is free again, so that nothing is refused.
        self.sell(structs.replace(command, cards=tuple(structs.replace(each, redeem=()) for each in command.cards)))

    def _exchanges(self) -> None:
        sale = self.some_sale()
        if sale is None or not sale.left:
            return
        back = self.taking_back(sale, self._some_lines(sale))
        sold = self.purchase()
        sold = structs.replace(sold, cards=tuple(structs.replace(each, redeem=()) for each in sold.cards))
        answer = self.done(Exchange(store=sold.store, returned=back, sold=sold))
        assert isinstance(answer, Exchanged)
        self.commands.append((back, answer.returned))
        sale.take_back(back.keys[0], answer.returned)
        self.booked(sold, answer.sold)

    def _merges(self) -> None:
        source, target = self.cards[1], self.cards[0]
        gone, home = self.face(source).account, self.face(target).account
        if gone == home:
            return
        self.done(
            MergeHolders(
                store=MOSCOW, keys=(self.books.key("merge"),), source=Ref("card", source), target=Ref("card", target)
            )
        )
        self.model.merged[gone] = home

    def _repeats(self) -> None:
        if self.commands:
            command, _ = self.commands[-1]
            before = self.books.written()
            self.books.done(command)
            assert self.books.written() == before

    def _waits(self) -> None:
        self.clock.forward(hours=self.dice.choice([1, 5, 30]))
        review_tiers(self.books.core)

    # Looking --------------------------------------------------------------------------------------------------

    def activity(self) -> dict[tuple[int, date], Sums]:
        return activity(self.books)

    def check(self) -> None:
        assert self.activity() == self.model.activity(), self.steps
        assert tallies(self.books) == self.model.tallies(), self.steps


def activity(books: Books, name: str = POINTS) -> dict[tuple[int, date], Sums]:
    found = rows(
        books.database,
        "SELECT wallet_id, CAST(day AS VARCHAR), turnover_minor, visits, earned, redeemed FROM activity"
        " WHERE name = :name",
        name=name,
    )
    return {(wallet, date.fromisoformat(str(day)[:10])): tuple(sums) for wallet, day, *sums in found if any(sums)}  # type: ignore[misc]


def tallies(books: Books) -> Counter[tuple[str, date]]:
    stores = {store.id: store.code for store in books.core.work.directory.stores.values()}
    found = rows(
        books.database,
        "SELECT subject, CAST(day AS VARCHAR), receipts FROM tally WHERE subject LIKE 'till:%' AND receipts <> 0",
    )
    counted: Counter[tuple[str, date]] = Counter()
    for subject, day, receipts in found:
        store_id, till = subject.removeprefix("till:").split("/")
        counted[f"{stores[int(store_id)]}/{till}", date.fromisoformat(str(day)[:10])] = receipts
    return counted


def emptied(books: Books) -> Books:
    """The same books without cards: examples within one test share theirs."""
    with books.database.transaction() as connection:
        for statement in EMPTY:
            connection.execute(text(statement))
    work = books.core.work
    books.core = Core(books.database, work.directory, work.vault)
    assert isinstance(books.clock, StillClock)
    books.clock.at = datetime(2026, 5, 4, 9, 0, tzinfo=ZoneInfo("UTC"))
    return books


@settings(max_examples=LIVES, phases=NO_SHRINKING)
@given(seed=SEEDS)
def test_days_are_what_the_receipts_that_stand_have_added(loyal: Books, seed: int) -> None:
    life = Life.of(emptied(loyal), seed)
    for _ in range(STEPS):
        life.step()
        life.check()
    life.books.check_laws()
    assert [(check.name, check.rows) for check in verify(life.books.database) if check.rows] == []


# Days of stores, and programmes that change --------------------------------------------------------------------


def sale_of(books: Books, card: str, *sums: int, store: str = MOSCOW, key: str = "sale") -> ReceiptPosted:
    lines = tuple(Line(number=n, goods=f"g{n}", price_minor=each, sum_minor=each) for n, each in enumerate(sums, 1))
    told = Receipt(number="1", till="1", business_date=date(2026, 5, 4), total_minor=sum(sums), lines=lines)
    return books.done(PostReceipt(store=store, keys=(key,), receipt=told, cards=(use(card),)))


def back(books: Books, sale: str, *numbers: int, store: str = MOSCOW, key: str = "back") -> ReceiptReturned:
    told = Receipt(number="2", till="9", business_date=date(2026, 5, 4))
    lines = tuple(ReturnLine(number=number) for number in numbers)
    command = ReturnReceipt(store=store, keys=(key,), receipt=told, sale=sale, sale_store=store, lines=lines)
    return books.done(command)


def tier(books: Books, card: str, store: str = MOSCOW) -> str:
    (outcome,) = books.core.answer([Identify(store=store, refs=(Ref("card", card),))])
    assert isinstance(outcome, Identified)
    return outcome.tier


def test_tier_stays_where_what_is_left_suffices_also_when_it_is_tomorrow_in_the_store(loyal: Books) -> None:
    assert isinstance(loyal.clock, StillClock)
    loyal.clock.at = datetime(2026, 5, 4, 20, 0, tzinfo=ZoneInfo("UTC"))
    card = loyal.card()
    sale_of(loyal, card, 10_000, 5_000, store=ALMATY)
    assert tier(loyal, card) == "silver"
    back(loyal, "sale", 2, store=ALMATY)
    assert tier(loyal, card) == "silver"


def test_purchase_comes_back_after_its_tier_has_left_the_programme(loyal: Books) -> None:
    card = loyal.card()
    sale_of(loyal, card, 10_000, 5_000)
    assert LOYAL.tiers is not None
    levels = (LEVELS[0], Level(tier="bronze", needs=20_000))
    run_by(loyal, structs.replace(LOYAL, tiers=structs.replace(LOYAL.tiers, levels=levels)))
    back(loyal, "sale", 2)
    assert tier(loyal, card) == "none"
    sale_of(loyal, card, 20_000, key="more")
    assert tier(loyal, card) == "bronze"


def test_return_of_a_receipt_whose_two_wallets_are_one_now_takes_its_points_once(loyal: Books) -> None:
    one, other = loyal.card(), loyal.card()
    told = Receipt(number="1", till="1", business_date=date(2026, 5, 4), total_minor=10_000)
    cards = (use(one, spend_minor=1), use(other, spend_minor=1))
    loyal.done(PostReceipt(store=MOSCOW, keys=("sale",), receipt=told, cards=cards))
    merge = MergeHolders(store=MOSCOW, keys=("merge",), source=Ref("card", other), target=Ref("card", one))
    loyal.done(merge)
    back(loyal, "sale")
    assert activity(loyal) == {}
    assert activity(loyal, "welcome") == {}


def test_restored_receipt_counts_for_the_wallet_that_has_its_cards_today(loyal: Books) -> None:
    """Also of a card that neither paid nor earned: no entry and no answer names its old wallet any more."""
    one, other = loyal.card(), loyal.card()
    told = Receipt(number="1", till="1", business_date=date(2026, 5, 4), total_minor=10_000)
    cards = (use(one, spend_minor=1), use(other))
    loyal.done(PostReceipt(store=MOSCOW, keys=("sale",), receipt=told, cards=cards))
    home = next(wallet for (wallet, _), sums in activity(loyal).items() if sums[0])
    loyal.done(MergeHolders(store=MOSCOW, keys=("m",), source=Ref("card", other), target=Ref("card", one)))
    loyal.done(VoidReceipt(store=MOSCOW, keys=("sale",), reason="return"))
    assert activity(loyal) == {}
    loyal.done(RestoreReceipt(store=MOSCOW, keys=("sale",)))
    assert {wallet for wallet, _ in activity(loyal)} == {home}


def test_lot_that_holds_nothing_does_not_live_on(loyal: Books) -> None:
    """A newer version takes back what went to a wallet that is merged now, and gives it new points at once."""
    assert isinstance(loyal.clock, StillClock)
    one, other = loyal.card(), loyal.card()
    sale_of(loyal, other, 1_000)
    loyal.done(MergeHolders(store=MOSCOW, keys=("m",), source=Ref("card", other), target=Ref("card", one)))
    spent = loyal.balance(one)
    loyal.done(post("spends", use(one, redeem=spent), total=spent))
    loyal.clock.forward(days=1)
    newer = post("sale", use(one), total=1, supersede=True)
    loyal.done(newer)
    loyal.check_laws()


def test_visit_is_taken_once_though_a_return_between_was_undone(loyal: Books) -> None:
    card = loyal.card()
    sale_of(loyal, card, 100, 100)
    back(loyal, "sale", 1, key="first")
    back(loyal, "sale", 2, key="second")
    loyal.done(VoidReceipt(store=MOSCOW, keys=("first",), reason="rollback"))
    back(loyal, "sale", 1, key="third")
    assert activity(loyal) == {}


def test_full_return_takes_back_the_longer_life_that_a_purchase_gave(loyal: Books) -> None:
    assert isinstance(loyal.clock, StillClock)
    card = loyal.card()
    sale_of(loyal, card, 10_000, key="earlier")
    before = loyal.lots(card)
    loyal.clock.forward(days=30)
    sale_of(loyal, card, 100, 100)
    longer = loyal.lots(card)
    back(loyal, "sale", 1, key="part")
    assert [lot[-1] for lot in loyal.lots(card)] == [lot[-1] for lot in longer], "some of it stays bought"
    back(loyal, "sale", 2, key="rest")
    assert loyal.lots(card) == before
    loyal.done(VoidReceipt(store=MOSCOW, keys=("rest",), reason="rollback"))
    assert {lot[-1] for lot in loyal.lots(card)} == {lot[-1] for lot in longer}


def test_purchases_that_are_undone_last_one_first_leave_the_tier_of_before(loyal: Books) -> None:
    card = loyal.card()
    for n in range(3):
        sale_of(loyal, card, 10_000, key=f"sale-{n}")
    assert tier(loyal, card) == "gold"
    loyal.done(VoidReceipt(store=MOSCOW, keys=("sale-2",), reason="rollback"))
    assert tier(loyal, card) == "silver"
    loyal.done(VoidReceipt(store=MOSCOW, keys=("sale-1",), reason="rollback"))
    assert tier(loyal, card) == "silver"
    loyal.done(VoidReceipt(store=MOSCOW, keys=("sale-0",), reason="rollback"))
    assert tier(loyal, card) == "none"


def test_purchase_that_comes_back_in_steps_takes_its_tiers_step_by_step(loyal: Books) -> None:
    card = loyal.card()
    sale_of(loyal, card, 15_000, 20_000)
    assert tier(loyal, card) == "gold"
    back(loyal, "sale", 2, key="some")
    assert tier(loyal, card) == "silver"
    back(loyal, "sale", 1, key="rest")
    assert tier(loyal, card) == "none"


# Undone, as if it had never been ---------------------------------------------------------------------------------


def held(life: Life) -> Any:
    """What a purchase may change: balances, lots with what is in them, tiers of today and later, sums."""
    books = life.books
    return {
        "lots": {card: books.lots(card, with_ids=False) for card in life.cards},
        "tiers": [life.face(card).tier for card in life.cards],
        "activity": {
            (wallet, name): sums
            for wallet, name, *sums in rows(
                books.database,
                "SELECT wallet_id, name, sum(turnover_minor), sum(visits), sum(earned), sum(redeemed) FROM activity"
                " GROUP BY wallet_id, name",
            )
            if any(sums)
        },
        "tallies": tallies(books),
    }


def undo(life: Life, sale: Sale, how: str) -> None:
    life.clock.forward(seconds=1)
    if how == "void":
        life.done(VoidReceipt(store=sale.store, keys=(sale.key,), reason="rollback", stamp=life.clock.at))
    elif how == "return":
        life.give_back(sale, ())
    else:
        while sale.left:
            life.give_back(sale, life._some_lines(sale))
    life.model.sales.pop(sale.key)


@settings(max_examples=LIVES, phases=NO_SHRINKING)
@given(seed=SEEDS, how=st.sampled_from(["void", "return", "by line"]), count=st.integers(1, 3))
def test_purchases_that_are_undone_leave_everything_as_it_was(loyal: Books, seed: int, how: str, count: int) -> None:
    life = Life.of(emptied(loyal), seed)
    for _ in range(life.dice.randint(0, 4)):
        life._sells()
    life.clock.forward(hours=1)
    before = held(life)
    # No late facts: what happened before the others is not the last one.
    sales = []
    for _ in range(count):
        told = life.purchase()
        sales.append(
            life.sell(structs.replace(told, fact=False, receipt=structs.replace(told.receipt, closed_at=None)))
        )
    assert held(life) != before
    for sale in reversed(sales):
        undo(life, sale, how)
    assert held(life) == before
    assert life.model.activity() == life.activity()
