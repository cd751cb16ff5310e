"""The laws of the books, over random commands in random batches; a model in memory is the oracle.

Every sequence is run twice on the same database, on two sets of cards: in random batches and one by one. What
the tills see must be what the model says, both times; then the laws are checked over all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import Phase, example, given, note, settings
from hypothesis import strategies as st

from processing.commands import (
    ActivateCard,
    Amount,
    CardUse,
    Command,
    PostReceipt,
    RestoreReceipt,
    VoidReceipt,
)
from processing.errors import LoyaltyError
from processing.execute import Outcome
from processing.results import ReceiptRestored
from tests.effort import drawn
from tests.processing.books import (
    ALMATY,
    MONEY,
    MOSCOW,
    NOON,
    PLAIN,
    POINTS,
    SLOW,
    URAL,
    Books,
    StillClock,
    adjust,
    again,
    post,
    receipt,
    ref,
    stamp,
    told,
    top_up,
    use,
    void,
)
from tests.processing.model import Model, Seen, seen

CARDS, RECEIPTS, STAMPS = 4, 3, 6
UNKNOWN = CARDS

NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""Looking for the smallest failure on a database takes minutes; take it away while you hunt one."""


@dataclass(frozen=True)
class Step:
    """One command before it is known which cards and keys it is about."""

    what: str
    slot: int = 0
    """Which receipt, or which key of the other commands."""

    names: int = 0
    """Which of its keys a receipt is called by."""

    store: str = MOSCOW
    at: int | None = None
    cards: tuple[tuple[int, int, int | None], ...] = ()
    """(card, points or money redeemed, earned; None leaves it to the programme)"""

    unit: str = POINTS
    amount: int = 0


AMOUNT = st.sampled_from([0, 0, 1, 50, 100, 250, 999, 3_000])
CARD = st.integers(0, UNKNOWN)
ONE_CARD = st.tuples(CARD, AMOUNT, st.none() | AMOUNT).map(lambda found: (found,))
TWO_CARDS = st.lists(st.tuples(CARD, AMOUNT, AMOUNT), min_size=2, max_size=2, unique_by=lambda part: part[0]).map(tuple)
STORE = st.sampled_from([MOSCOW, MOSCOW, MOSCOW, URAL, ALMATY])
STAMP = st.none() | st.integers(0, STAMPS)
SLOT = st.integers(0, RECEIPTS - 1)
NAMES = st.integers(0, 3)

POST = st.builds(
    Step,
    what=st.sampled_from(["post", "post", "fact", "strict"]),
    slot=SLOT,
    names=NAMES,
    store=STORE,
    at=STAMP,
    cards=st.one_of(st.just(()), ONE_CARD, ONE_CARD, ONE_CARD, TWO_CARDS),
    unit=st.sampled_from([POINTS, POINTS, MONEY]),
)
VOID = st.builds(
    Step,
    what=st.sampled_from(["rollback", "return", "return", "restore"]),
    slot=SLOT,
    names=NAMES,
    store=STORE,
    at=STAMP,
)
OTHER = st.builds(
    Step,
    what=st.sampled_from(["top_up", "adjust", "owe", "activate", "void_other"]),
    slot=st.integers(0, 2),
    cards=CARD.map(lambda card: ((card, 0, None),)),
    unit=st.sampled_from([POINTS, MONEY]),
    amount=st.sampled_from([-300, -1, 1, 100, 2_000]),
)
BATCH = st.lists(st.one_of(POST, POST, VOID, OTHER), min_size=1, max_size=6)
PROGRAM = st.lists(BATCH, min_size=1, max_size=5)


@dataclass
class World:
    """One set of cards and keys, its model, and what was said of it. Cards 1 and 2 share a wallet, 3 is not active."""

    books: Books
    cards: list[str] = field(default_factory=list)
    model: Model = field(default_factory=lambda: Model({}, {}))
    prefix: str = ""

    @classmethod
    def of(cls, books: Books) -> World:
        world = cls(books, prefix=books.key("run"))
        for n in range(CARDS):
            card = books.card(wallet_of=ref(world.cards[1]) if n == 2 else None, active=n != 3)
            world.cards.append(card)
            world.model.wallets[card] = "shared" if n in (1, 2) else str(n)
            world.model.status[card] = "active" if n != 3 else "issued"
        world.cards.append("404")
        for n in (0, 1):
            books.done(adjust(books.key(), world.cards[n], 1_000))
            world.model.balances[world.model.wallets[world.cards[n]], POINTS] = 1_000
        return world

    def command(self, step: Step) -> Command[Any]:
        """The step about this world's cards and keys.

        A void is newer than what is posted, and a newer version has a stamp: how a void that comes again late
        and a till without a clock are taken is test_receipts' matter. A receipt's second key is
        used alone only when the first is known by it.
        """
        if step.what in ("top_up", "adjust", "owe", "activate", "void_other"):
            return self.other(step)
        first, second = f"{self.prefix}-r{step.slot}", f"{self.prefix}-r{step.slot}-too"
        known = self.model.heads
        is_attached = (step.store, first) in known and known[step.store, first] is known.get((step.store, second))
        keys = ((first,), (first, second), (second, first), (second,) if is_attached else (first,))[step.names]
        if step.what in ("rollback", "return", "restore"):
            head = known.get((step.store, keys[0])) or known.get((step.store, keys[-1]))
            at = None if step.at is None else stamp(step.at)
            if at is not None and head is not None and head.stamp is not None:
                at = max(at, head.stamp + timedelta(microseconds=1))
            if step.what == "restore":
                return RestoreReceipt(store=step.store, keys=keys, stamp=at)
            return VoidReceipt(
                store=step.store, keys=keys, stamp=at, reason="return" if step.what == "return" else "rollback"
            )
        return post(
            keys,
            *(self.use(step, *part) for part in step.cards),
            store=step.store,
            receipt=receipt(10_000),
            at=step.at if step.what == "strict" else step.at or 0,
            fact=step.what == "fact",
            supersede=step.what != "strict",
        )

    def use(self, step: Step, card: int, redeem: int, earn: int | None) -> CardUse:
        told = None if earn is None else (Amount(POINTS, earn),) if earn else ()
        paid = (Amount(step.unit, redeem),) if redeem else ()
        return CardUse(refs=(ref(self.cards[card]),), redeem=paid, earn=told)

    def other(self, step: Step) -> Command[Any]:
        card = self.cards[step.cards[0][0]]
        key = f"{self.prefix}-{step.what}-{step.slot}"
        if step.what == "top_up":
            return top_up(key, card, abs(step.amount), step.unit)
        if step.what in ("adjust", "owe"):
            return adjust(key, card, step.amount, step.unit, allow_debt=step.what == "owe")
        if step.what == "activate":
            return ActivateCard(store=MOSCOW, keys=(key,), card=ref(card))
        return void(f"{self.prefix}-top_up-{step.slot}")

    def anonymous(self, what: Any) -> Any:
        """The same with card numbers and keys that do not tell one world from another."""
        text = repr(what).replace(self.prefix, "run")
        for n, card in enumerate(self.cards):
            text = text.replace(card, f"card{n}")
        return text

    def purses(self) -> list[Any]:
        """Every card's lots by their terms, which must not depend on batches either."""
        return [self.books.lots(card, with_ids=False) for card in self.cards[:CARDS]]

    def check_balances(self) -> None:
        for card in self.cards[:CARDS]:
            for unit, balance in self.books.balances(card).items():
                expected = self.model.balances.get((self.model.wallets[card], unit), 0)
                assert (unit, balance.balance, balance.available) == (unit, expected, expected)


def in_one_batch(world: World, commands: Sequence[Command[Any]]) -> list[Outcome]:
    return world.books.core.execute(commands)


def one_by_one(world: World, commands: Sequence[Command[Any]]) -> list[Outcome]:
    return [world.books.one(command) for command in commands]


def run(
    world: World,
    batch: Sequence[Step],
    execute: Callable[[World, Sequence[Command[Any]]], list[Outcome]],
    now: datetime,
) -> list[tuple[Command[Any], Outcome, Seen]]:
    """Each command with what the core said and what the model says."""
    commands, expected = [], []
    for step in batch:
        command = world.command(step)
        commands.append(command)
        expected.append(world.model.execute(command, now))
    return list(zip(commands, execute(world, commands), expected, strict=True))


def on_repeat(outcome: Outcome) -> Outcome:
    """What the same command is told when it comes again: a restore that found nothing to restore left nothing."""
    if isinstance(outcome, ReceiptRestored) and outcome.outcome != "restored":
        return told(outcome)
    return again(outcome)


def check_resent(world: World, done: Sequence[tuple[Command[Any], Outcome, Seen]]) -> None:
    """Law 2: the last word said about each key comes again, the same, and nothing moves.

    A refusal is not remembered: only the batch's very last one must be met again.
    """
    last: dict[int, tuple[Command[Any], Outcome]] = {}
    for command, outcome, _ in done:
        last[id(world.model.head(command))] = (command, outcome)
    before = world.books.written()
    for command, outcome in last.values():
        if not isinstance(outcome, LoyaltyError):
            repeated = world.books.one(command)
            assert repeated == on_repeat(outcome), f"{command}\nfirst {outcome}\nagain {repeated}"
        elif command is done[-1][0]:
            assert type(world.books.one(command)) is type(outcome)
    assert world.books.written() == before


@settings(max_examples=drawn(40), phases=NO_SHRINKING)
@given(program=PROGRAM, minutes=st.integers(0, 1_000))
@example(program=[[Step("post", cards=((0, 50, 50),), at=1), Step("rollback", at=2), Step("post", at=3)]], minutes=0)
@example(
    program=[
        [Step("fact", cards=((0, 3_000, 0),), at=1, unit=MONEY)],
        [Step("top_up", cards=((0, 0, None),), amount=100, unit=MONEY)],
    ],
    minutes=1,
)
def test_books_say_what_the_model_says_in_any_batches(books: Books, program: list[list[Step]], minutes: int) -> None:
    clock = books.clock
    assert isinstance(clock, StillClock)
    clock.at = NOON
    together, apart = World.of(books), World.of(books)
    for batch in program:
        clock.forward(minutes=minutes)
        earlier = books.entries()
        done = run(together, batch, in_one_batch, clock.at)
        note(f"batch {[command for command, _, _ in done]}")
        for command, outcome, expected in done:
            assert seen(outcome) == expected, command
        for command, outcome, expected in run(apart, batch, one_by_one, clock.at):
            assert seen(outcome) == expected, command
        assert together.anonymous(together.purses()) == apart.anonymous(apart.purses())
        later = books.entries()
        assert {place: later.get(place) for place in earlier} == earlier, "an entry was changed or deleted"
        check_resent(together, done)
        assert books.entries() == later
        for world in (together, apart):
            world.check_balances()
        books.check_laws()


# Law 3 -----------------------------------------------------------------------------------------------------------

OPENING = st.lists(
    st.tuples(st.sampled_from(["points", "pending", "debt", "money"]), st.integers(1, 500), st.integers(0, 20)),
    max_size=5,
)
USES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 700), st.none() | st.integers(0, 700)), min_size=1, max_size=3
)


@settings(max_examples=drawn(20), phases=NO_SHRINKING)
@given(
    opening=OPENING,
    uses=USES,
    fact=st.booleans(),
    reason=st.sampled_from(["rollback", "return"]),
    days=st.integers(0, 40),
)
def test_void_right_after_restores_balances_and_every_lot(
    books: Books, opening: list[tuple[str, int, int]], uses: list[Any], fact: bool, reason: str, days: int
) -> None:
    clock = books.clock
    assert isinstance(clock, StillClock)
    clock.at = NOON
    cards = [books.card(), books.card(product=SLOW)]
    cards.append(books.card(wallet_of=ref(cards[0])))
    for n, (kind, amount, expires) in enumerate(opening):
        card = cards[n % 2]
        if kind == "pending":
            books.done(post(books.key(), use(card, earn=amount)))
        elif kind == "money":
            books.done(top_up(books.key(), card, amount))
        else:
            sign = -1 if kind == "debt" else 1
            books.done(adjust(books.key(), card, sign * amount, allow_debt=True, expires_days=expires))
    clock.forward(days=days)
    before = [(books.lots(card), books.balances(card)) for card in cards]
    key = books.key()
    sale = post(key, *(use(cards[card], redeem, earn) for card, redeem, earn in uses), fact=fact, total=10_000)
    outcome = books.one(sale)
    books.check_laws()
    if isinstance(outcome, LoyaltyError):
        assert not fact, "a fact is never refused"
    else:
        books.done(void(key, reason=reason))
    assert [(books.lots(card), books.balances(card)) for card in cards] == before
    books.check_laws()


# Law 6 -----------------------------------------------------------------------------------------------------------


@settings(max_examples=drawn(20), phases=NO_SHRINKING)
@given(
    asked=st.lists(st.integers(1, 600), min_size=1, max_size=12),
    split=st.lists(st.integers(1, 4), min_size=12, max_size=12),
    product=st.sampled_from([PLAIN, SLOW]),
)
def test_requests_never_spend_what_is_not_there(books: Books, asked: list[int], split: list[int], product: str) -> None:
    card = books.card(1_000, product=product)
    commands = [post(books.key(), use(card, redeem=amount, earn=0)) for amount in asked]
    outcomes: list[Outcome] = []
    at = 0
    for size in split:
        outcomes += books.core.execute(commands[at : at + size])
        at += size
    left = 1_000
    for amount, outcome in zip(asked, outcomes, strict=False):
        is_posted = not isinstance(outcome, LoyaltyError)
        assert is_posted == (amount <= left), "refused although it was there, or spent although it was not"
        left -= amount if is_posted else 0
    assert len([*outcomes]) == min(len(asked), sum(split))
    assert books.balance(card) == left >= 0


def test_model_sees_the_outcomes_that_it_is_made_for(books: Books) -> None:
    """The oracle is not vacuous: the random steps reach refusals, replays, reversals and debt."""
    world = World.of(books)
    words = set()
    for step in [
        Step("post", cards=((0, 100, None),), at=1),
        Step("post", cards=((0, 200, None),), at=0),
        Step("post", cards=((0, 3_000, None),), at=2),
        Step("return", slot=1, at=1),
        Step("post", slot=1, at=1),
        Step("strict", slot=2, cards=((3, 0, None), (1, 0, 50))),
        Step("strict", slot=2, cards=((1, 50, 0),)),
        Step("return", slot=2),
        Step("restore", slot=2),
        Step("activate", cards=((3, 0, None),)),
        Step("void_other", cards=((0, 0, None),)),
        Step("owe", cards=((0, 0, None),), amount=-2_000),
        Step("post", slot=0, cards=((UNKNOWN, 0, None),), at=4),
    ]:
        (found,) = run(world, [step], in_one_batch, NOON)
        assert seen(found[1]) == found[2], found[0]
        words.add(found[2][0])
    assert words == {
        "ReceiptPosted", "InsufficientPoints", "ReceiptVoided orphan", "AlreadyVoided", "KeyReused",
        "ReceiptVoided reversed", "ReceiptRestored restored", "CardActivated", "Adjusted", "CardNotFound",
    }  # fmt: skip
    assert isinstance(world.command(Step("post")), PostReceipt)
