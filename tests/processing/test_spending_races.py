"""Design law 6 under races of everything that spends: what was accepted fits one serial order, and no more was paid.

Nothing is credited here but by releases, so the books can be checked exactly: the balances that were told, in falling
order, are the account's life; and whoever was refused asked for more than was free at the worst moment.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from processing.commands import (
    Amount,
    CaptureHold,
    Command,
    PayOut,
    PlaceHold,
    Redeem,
    ReleaseHold,
    SellGiftCard,
    Transfer,
)
from processing.errors import Busy, HoldEnded, HoldExpired, HoldNotFound, InsufficientPoints, LoyaltyError
from processing.execute import Outcome
from processing.results import HoldCaptured, HoldPlaced, HoldReleased, PaidOut, ReceiptPosted, Redeemed, cards_of
from processing.verify import verify
from tests.processing.books import CERTIFICATE, MONEY, MOSCOW, Books, post, ref, top_up, use
from tests.processing.rivals import PROCESSES, alone, patient, race, team

LOADED = 1_000
RIVALS, ROUNDS = 8, 20
SHOPPERS, PURCHASES = 6, 25
NOTHING, PAST_IT = timedelta(0), timedelta(seconds=2)
"""What is added to the database's clock: before a hold's deadline, and after it."""

SPENT = (ReceiptPosted, Redeemed, PaidOut, HoldCaptured)


@pytest.fixture
def live(books: Books) -> Books:
    """The books on the database's own clock."""
    books.run_live()
    return books


def redeem(key: str, card: str, amount: int | None, unit: str = MONEY) -> Redeem:
    return Redeem(store=MOSCOW, keys=(key,), card=ref(card), unit=unit, amount=amount)


def hold(key: str, card: str, amount: int | None, unit: str = MONEY) -> PlaceHold:
    return PlaceHold(store=MOSCOW, keys=(key,), card=ref(card), unit=unit, amount=amount)


def capture(key: str, held: str, amount: int | None = None) -> CaptureHold:
    return CaptureHold(store=MOSCOW, keys=(key,), hold=held, amount=amount)


def pay_out(key: str, card: str, amount: int | None = None, close: bool = False) -> PayOut:
    return PayOut(store=MOSCOW, keys=(key,), card=ref(card), unit=MONEY, amount=amount, close=close)


def shopper(seed: int, cards: Sequence[str], size: int) -> Iterator[list[Command[Any]]]:
    """Batches of one or two commands that spend from few cards in every way there is."""
    dice = random.Random(seed)
    for n in range(size):
        card, amount, key = dice.choice(cards), dice.choice((1, 7, 30, 90, 200)), f"s{seed}-{n}"
        what = dice.randrange(7)
        if what == 0:
            yield [post(key, use(card, redeem=amount, unit=MONEY, earn=0))]
        elif what == 1:
            yield [redeem(key, card, amount)]
        elif what == 2:
            yield [pay_out(key, card, amount)]
        elif what == 3:
            yield [hold(key, card, amount), capture(f"{key}-paid", key, max(amount // 2, 1))]
        elif what == 4:
            yield [hold(key, card, amount)]
            yield [ReleaseHold(store=MOSCOW, keys=(f"{key}-free",), hold=key)]
        elif what == 5:
            yield [hold(key, card, amount)]
            yield [capture(f"{key}-paid", key)]
        else:
            yield [hold(key, card, amount)]


def check_serial(books: Books, card: str, asked: Sequence[tuple[Command[Any], Outcome]]) -> None:
    """The outcomes about a card that started with LOADED fit a serial order, and what is left was not paid."""
    spent = sorted(
        (moved.balance, moved.redeemed)
        for _, outcome in asked
        if isinstance(outcome, SPENT)
        for moved in cards_of(outcome)
        if moved.unit == MONEY
    )
    balance = LOADED
    for after, redeemed in reversed(spent):
        assert after == balance - redeemed >= 0, f"no serial order: {spent}"
        balance = after
    held = holds_of(asked)
    released = sum(outcome.amount for _, outcome in asked if isinstance(outcome, HoldReleased))
    released += sum(outcome.released for _, outcome in asked if isinstance(outcome, HoldCaptured))
    found = books.balances(card)[MONEY]
    assert (found.balance, found.available, found.held) == (balance, balance - held, held)
    assert found.available >= 0
    for command, outcome in asked:
        if isinstance(outcome, InsufficientPoints):
            wanted = outcome.details["asked"]
            assert isinstance(wanted, int)
            assert wanted > found.available - released, f"refused although it was there: {command}"


def holds_of(asked: Sequence[tuple[Command[Any], Outcome]]) -> int:
    """What is held at the end: placed, and neither captured nor released."""
    ended = {
        getattr(command, "hold", "")
        for command, outcome in asked
        if isinstance(outcome, HoldCaptured) or (isinstance(outcome, HoldReleased) and outcome.outcome == "released")
    }
    return sum(
        outcome.amount for command, outcome in asked if isinstance(outcome, HoldPlaced) and command.keys[0] not in ended
    )


def about(cards: Sequence[str], asked: Sequence[tuple[Command[Any], Outcome]]) -> dict[str, list[Any]]:
    """Commands and outcomes by the card that they name, or that their hold does."""
    of_hold = {command.keys[0]: command.card.value for command, _ in asked if isinstance(command, PlaceHold)}
    found: dict[str, list[Any]] = {card: [] for card in cards}
    for command, outcome in asked:
        if isinstance(command, CaptureHold | ReleaseHold):
            card = of_hold[command.hold]
        elif isinstance(command, Redeem | PayOut | PlaceHold):
            card = command.card.value
        else:
            card = command.cards[0].refs[0].value  # type: ignore[attr-defined]
        found[card].append((command, outcome))
    return found


def check_all(books: Books, cards: Sequence[str], asked: Sequence[tuple[Command[Any], Outcome]]) -> None:
    assert not [outcome for _, outcome in asked if isinstance(outcome, Busy)], "a conflict surfaced"
    unexpected = {type(outcome) for _, outcome in asked if isinstance(outcome, LoyaltyError)} - {
        InsufficientPoints,
        HoldNotFound,
    }
    assert not unexpected
    assert {type(outcome) for _, outcome in asked} >= {*SPENT, HoldPlaced, HoldReleased, InsufficientPoints}
    for card, own in about(cards, asked).items():
        check_serial(books, card, own)
    books.check_laws()
    assert not {check.name: check.rows for check in verify(books.database) if check.rows}


def purses(books: Books, count: int) -> list[str]:
    cards = [books.card() for _ in range(count)]
    for card in cards:
        books.done(top_up(books.key(), card, LOADED))
    return cards


def test_what_threads_spend_fits_a_serial_order(live: Books) -> None:
    cards = purses(live, 3)

    def shop(seed: int) -> Callable[[], list[tuple[Command[Any], Outcome]]]:
        return lambda: [
            pair
            for batch in shopper(seed, cards, PURCHASES)
            for pair in zip(batch, live.core.execute(batch), strict=True)
        ]

    asked = [pair for own in race([shop(seed) for seed in range(SHOPPERS)]) for pair in own]
    check_all(live, cards, asked)


def test_what_processes_spend_fits_a_serial_order(live: Books) -> None:
    cards = purses(live, 3)
    work = [list(shopper(seed, cards, PURCHASES * 2)) for seed in range(PROCESSES)]
    with team(live.url) as own:
        answers = own.ask(work)
    asked = [
        pair
        for batches, outcomes in zip(work, answers, strict=True)
        for pair in zip([command for batch in batches for command in batch], outcomes, strict=True)
    ]
    check_all(live, cards, asked)


def test_gift_card_is_spent_once_in_whatever_way(live: Books) -> None:
    """Eight at once, each wants all of it: by receipt, by redemption, against cash, or by a hold that is captured.

    A card that is empty already may still be closed.
    """
    for n in range(ROUNDS):
        card = live.card(product=CERTIFICATE, active=False)
        live.done(SellGiftCard(store=MOSCOW, keys=(f"sale-{n}",), card=ref(card), amount=500))
        ways: list[Callable[[str], Command[Any]]] = [
            lambda key, card=card: post(key, use(card, redeem=500, unit=MONEY, earn=0)),  # type: ignore[misc]
            lambda key, card=card: redeem(key, card, 500),  # type: ignore[misc]
            lambda key, card=card: pay_out(key, card, close=True),  # type: ignore[misc]
            lambda key, card=card: hold(key, card, 500),  # type: ignore[misc]
        ]
        outcomes = race([alone(live.core, ways[i % 4](f"g{n}-{i}")) for i in range(RIVALS)])
        accepted = [
            outcome
            for outcome in outcomes
            if isinstance(outcome, HoldPlaced)
            or (isinstance(outcome, SPENT) and any(moved.redeemed for moved in cards_of(outcome)))
        ]
        assert len(accepted) == 1, outcomes
        (winner,) = accepted
        if isinstance(winner, HoldPlaced):
            key = f"g{n}-{outcomes.index(winner)}"
            captures = race([alone(live.core, capture(f"{key}-paid-{i}", key)) for i in range(RIVALS)])
            assert sum(isinstance(outcome, HoldCaptured) for outcome in captures) == 1
            assert sum(isinstance(outcome, HoldEnded) for outcome in captures) == RIVALS - 1
        found = live.balances(card)[MONEY]
        assert (found.balance, found.available, found.held) == (0, 0, 0)
    live.check_laws()


def test_hold_at_its_deadline_is_spent_by_one_only(live: Books) -> None:
    """The deadline passes while everybody wants the points: the capture in time, or one of the others."""
    dice = random.Random(1)
    for n in range(ROUNDS):
        (card,) = purses(live, 1)
        live.done(PlaceHold(store=MOSCOW, keys=(f"h{n}",), card=ref(card), unit=MONEY, amount=LOADED, seconds=1))
        live.database.clock = lambda now: now + dice.choice((NOTHING, PAST_IT))
        work = [patient(live.core, capture(f"c{n}-{i}", f"h{n}")) for i in range(2)]
        work += [patient(live.core, redeem(f"r{n}-{i}", card, LOADED)) for i in range(RIVALS - 2)]
        outcomes = race(work)
        assert sum(isinstance(outcome, (HoldCaptured, Redeemed)) for outcome in outcomes) <= 1
        kinds = {type(outcome) for outcome in outcomes}
        assert kinds <= {HoldCaptured, Redeemed, HoldEnded, HoldExpired, InsufficientPoints}
        assert live.balance(card, MONEY) in (0, LOADED)
        live.run_live()
    live.check_laws()


def test_transfers_across_at_once_lose_nothing(live: Books) -> None:
    cards = purses(live, 3)

    def move(seed: int) -> Callable[[], list[Outcome]]:
        dice = random.Random(seed)
        commands = []
        for n in range(PURCHASES):
            one, other = dice.sample(cards, 2)
            amount = Amount(MONEY, dice.choice((1, 50, 400, LOADED)))
            commands.append(
                Transfer(store=MOSCOW, keys=(f"t{seed}-{n}",), source=ref(one), target=ref(other), amount=amount)
            )
        return lambda: [outcome for command in commands for outcome in live.core.execute([command])]

    outcomes = [outcome for own in race([move(seed) for seed in range(SHOPPERS)]) for outcome in own]
    assert not [outcome for outcome in outcomes if isinstance(outcome, Busy)]
    assert sum(live.balance(card, MONEY) for card in cards) == LOADED * len(cards)
    assert all(live.balances(card)[MONEY].available >= 0 for card in cards)
    live.check_laws()
