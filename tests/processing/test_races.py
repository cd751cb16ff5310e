"""Design laws 2 and 6 under real races: threads of one core on both databases, processes on PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from processing.commands import Command, IssueCard, PostReceipt, RegisterHolder, ReturnReceipt
from processing.errors import (
    AlreadyVoided,
    Busy,
    CardNumberTaken,
    HolderExists,
    InsufficientPoints,
    PhoneTaken,
    ReceiptNotFound,
)
from processing.execute import Outcome
from processing.results import CardIssued, HolderRegistered, ReceiptPosted, ReceiptReturned, ReceiptVoided
from tests.processing.books import MOSCOW, PLAIN, Books, adjust, again, post, receipt, ref, told, use, void
from tests.processing.rivals import PROCESSES, alone, race, team

ROUNDS, RIVALS, CLAIMANTS = 20, 8, 20


@pytest.fixture
def live(books: Books) -> Books:
    """The books on the database's own clock."""
    books.run_live()
    return books


@pytest.fixture
def live_postgresql(postgresql: Books) -> Books:
    postgresql.run_live()
    return postgresql


def check_twins(outcomes: Sequence[Outcome]) -> None:
    """One of them was carried out, whichever; the others were told of it."""
    assert all(isinstance(outcome, ReceiptPosted) for outcome in outcomes)
    assert [told(outcome) for outcome in outcomes] == [told(outcomes[0])] * len(outcomes)
    assert sum(not outcome.replayed for outcome in outcomes if isinstance(outcome, ReceiptPosted)) == 1


# Threads -------------------------------------------------------------------------------------------------------


def test_identical_redemptions_at_once_have_one_effect_and_equal_answers(live: Books) -> None:
    card = live.card(ROUNDS)
    for n in range(ROUNDS):
        twins = [post(f"twin-{n}", use(card, redeem=1, earn=0), at=n) for _ in range(RIVALS)]
        outcomes = race([alone(live.core, twin) for twin in twins])
        check_twins(outcomes)
    assert live.balance(card) == 0
    assert live.count("receipt") == ROUNDS
    live.check_laws()


def test_of_redemptions_at_once_on_a_balance_for_one_exactly_one_succeeds(live: Books) -> None:
    for n in range(3):
        card = live.card(100)
        outcomes = race([alone(live.core, post(f"r{n}-{i}", use(card, redeem=100, earn=0))) for i in range(CLAIMANTS)])
        kinds = sorted(type(outcome).__name__ for outcome in outcomes)
        assert kinds == ["InsufficientPoints"] * (CLAIMANTS - 1) + ["ReceiptPosted"]
        assert live.balance(card) == 0
    live.check_laws()


def test_earning_and_spending_at_once_lose_no_point(live: Books) -> None:
    card = live.card(1_000)
    commands = [post(f"k{n}", use(card, redeem=10 if n % 2 else 0, earn=0 if n % 2 else 7)) for n in range(24)]
    outcomes = race([alone(live.core, command) for command in commands])
    assert all(isinstance(outcome, ReceiptPosted) for outcome in outcomes)
    assert live.balance(card) == 1_000 - 12 * 10 + 12 * 7
    live.check_laws()


def test_sale_and_its_void_at_once_end_void(live: Books) -> None:
    for n in range(10):
        card = live.card(100)
        before = live.lots(card)
        sale, undo = post(f"s{n}", use(card, redeem=60, earn=5), at=1), void(f"s{n}", 2)
        outcomes = race([alone(live.core, command) for command in (sale, undo, sale, undo)])
        assert all(isinstance(outcome, ReceiptPosted | ReceiptVoided | AlreadyVoided) for outcome in outcomes)
        assert live.lots(card) == before
    live.check_laws()


def test_return_by_number_and_the_void_of_its_sale_at_once_end_void(live: Books) -> None:
    for n in range(5):
        card = live.card(100)
        before = live.lots(card)
        number = live.done(post(f"n{n}", use(card, redeem=60, earn=5), at=1)).operation_id
        back = ReturnReceipt(store=MOSCOW, keys=(f"b{n}",), sale_operation=number, receipt=receipt(0))
        outcomes = race([alone(live.core, command) for command in (back, void(f"n{n}", 2), back)])
        assert all(isinstance(outcome, ReceiptReturned | ReceiptVoided | ReceiptNotFound) for outcome in outcomes)
        assert live.lots(card) == before
    live.check_laws()


def test_phone_at_once_gets_exactly_one_holder(live: Books) -> None:
    cards = [live.card() for _ in range(RIVALS)]
    registrations = [
        RegisterHolder(
            store=MOSCOW, keys=(f"h{n}",), card=ref(card), name=f"N{n}", phone="+79123456789", email="a@b.ru"
        )
        for n, card in enumerate(cards)
    ]
    outcomes = race([alone(live.core, registration) for registration in registrations])
    assert sum(isinstance(outcome, HolderRegistered) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, PhoneTaken) for outcome in outcomes) == RIVALS - 1
    assert (live.count("holder"), live.count("person"), live.count("contact")) == (1, 1, 2)


def test_card_at_once_gets_exactly_one_holder(live: Books) -> None:
    card = live.card()
    registrations = [RegisterHolder(store=MOSCOW, keys=(f"h{n}",), card=ref(card), name=f"N{n}") for n in range(RIVALS)]
    outcomes = race([alone(live.core, registration) for registration in registrations])
    assert sum(isinstance(outcome, HolderRegistered) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, HolderExists) for outcome in outcomes) == RIVALS - 1
    assert live.count("holder") == 1


def test_number_at_once_becomes_exactly_one_card(live: Books) -> None:
    issues = [IssueCard(store=MOSCOW, keys=(f"i{n}",), product=PLAIN, number="7770000000000003") for n in range(RIVALS)]
    outcomes = race([alone(live.core, issue) for issue in issues])
    assert sum(isinstance(outcome, CardIssued) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, CardNumberTaken) for outcome in outcomes) == RIVALS - 1
    assert (live.count("card"), live.count("wallet"), live.count("identifier")) == (1, 1, 1)


# Storms: everything at once over few keys and cards ---------------------------------------------------------------


def storm(seed: int, cards: Sequence[str], batches: int, size: int) -> Iterator[list[Command[Any]]]:
    """Batches of versions, voids and corrections; keys, cards and second keys are shared by all seeds."""
    dice = random.Random(seed)
    for n in range(batches):
        batch: list[Command[Any]] = []
        for i in range(size):
            key = f"storm-{dice.randrange(12)}"
            keys = (key, f"{key}-too") if dice.random() < 0.3 else (key,)
            what = dice.random()
            if what < 0.7:
                chosen = dice.sample(list(cards), dice.choice([1, 1, 2]))
                uses = [use(card, redeem=dice.choice([0, 5, 50]), earn=dice.randrange(40)) for card in chosen]
                batch.append(
                    post(keys, *uses, at=dice.randrange(1_000), supersede=True, fact=dice.random() < 0.2, total=10_000)
                )
            elif what < 0.9:
                batch.append(void(keys, dice.randrange(1_000), reason=dice.choice(["rollback", "return"])))
            else:
                batch.append(adjust(f"adjust-{seed}-{n}-{i}", dice.choice(list(cards)), dice.choice([-20, 20])))
        yield batch


def check_storm(books: Books, outcomes: Sequence[Outcome], asked: int) -> None:
    assert len(outcomes) == asked
    assert not [outcome for outcome in outcomes if isinstance(outcome, Busy)], "a conflict surfaced"
    assert {type(outcome) for outcome in outcomes} >= {ReceiptPosted, ReceiptVoided, InsufficientPoints}
    books.check_laws()


def test_storm_of_threads_leaves_the_books_in_order(live: Books) -> None:
    cards = [live.card(60) for _ in range(6)]

    def blow(seed: int) -> Callable[[], list[Outcome]]:
        return lambda: [o for batch in storm(seed, cards, 10, 10) for o in live.core.execute(batch)]

    outcomes = [outcome for own in race([blow(seed) for seed in range(8)]) for outcome in own]
    check_storm(live, outcomes, 8 * 10 * 10)


def test_void_that_learns_its_cards_from_the_key_waits_for_nobody_for_ever(live: Books) -> None:
    """Supersedes across cards lock accounts that only the claimed key tells; crossed, they must not deadlock."""
    one, other = live.card(10_000), live.card(10_000)

    def versions(key: str, first: str, second: str) -> Callable[[], list[Outcome]]:
        return lambda: [
            live.core.execute([post(key, use((first, second)[n % 2], redeem=1, earn=0), at=n, supersede=True)])[0]
            for n in range(15)
        ]

    results = race([versions("x", one, other), versions("y", other, one), versions("z", one, other)])
    assert all(isinstance(outcome, ReceiptPosted) for own in results for outcome in own)
    assert live.balance(one) + live.balance(other) == 20_000 - 3
    live.check_laws()


def test_receipt_called_by_its_other_name_and_by_both_at_once_meets_no_deadlock(live: Books) -> None:
    """Another name leads to the key that is locked after it: in whatever order, nobody waits in a circle."""
    card = live.card(1_000)
    firsts = [live.done(post((f"a{n}", f"z{n}"), use(card, redeem=1, earn=0), at=1)) for n in range(6)]

    def repeat(batch: Sequence[PostReceipt]) -> Callable[[], list[list[Outcome]]]:
        return lambda: [live.core.execute(batch) for _ in range(15)]

    repeats: list[None] = []
    live.core.on_repeat = lambda: repeats.append(None)
    by_other = [post(f"z{n}", use(card, redeem=1, earn=0), at=1) for n in range(6)]
    by_both = [post((f"a{n}", f"z{n}"), use(card, redeem=1, earn=0), at=1) for n in range(6)]
    results = race([repeat(by_other), repeat(by_both), repeat(by_other[::-1]), repeat(by_both[::-1])])
    repeated = [again(first) for first in firsts]
    assert all(answers in (repeated, repeated[::-1]) for own in results for answers in own)
    assert not repeats, "a deadlock was met, and costs a second of everybody's time"


# Processes --------------------------------------------------------------------------------------------------------


def test_processes_race_as_threads_do(live_postgresql: Books) -> None:
    books = live_postgresql
    with team(books.url) as own:
        card = books.card(ROUNDS)
        for n in range(ROUNDS):
            twin = post(f"twin-{n}", use(card, redeem=1, earn=0), at=n)
            outcomes = [outcome for answers in own.ask([[[twin], [twin]]] * PROCESSES) for outcome in answers]
            check_twins(outcomes)
        assert books.balance(card) == 0

        for n in range(5):
            card = books.card(100)
            rivals: list[list[list[PostReceipt]]] = [
                [[post(f"rival-{n}-{process}-{i}", use(card, redeem=100, earn=0))] for i in range(4)]
                for process in range(PROCESSES)
            ]
            outcomes = [outcome for answers in own.ask(rivals) for outcome in answers]
            assert sum(isinstance(outcome, ReceiptPosted) for outcome in outcomes) == 1
            assert sum(isinstance(outcome, InsufficientPoints) for outcome in outcomes) == 4 * PROCESSES - 1

        for n in range(5):
            holders = [
                [
                    [
                        RegisterHolder(
                            store=MOSCOW, keys=(f"h{n}-{i}",), card=ref(books.card()), name="N", phone=f"+7912345678{n}"
                        )
                    ]
                ]
                for i in range(PROCESSES)
            ]
            outcomes = [outcome for answers in own.ask(holders) for outcome in answers]
            assert sum(isinstance(outcome, HolderRegistered) for outcome in outcomes) == 1
            assert sum(isinstance(outcome, PhoneTaken) for outcome in outcomes) == PROCESSES - 1

        for n in range(5):
            number = (
                "7770000000000003",
                "7770000000000011",
                "7770000000000029",
                "7770000000000037",
                "7770000000000045",
            )[n]
            cards = [
                [[IssueCard(store=MOSCOW, keys=(f"i{n}-{i}",), product=PLAIN, number=number)]] for i in range(PROCESSES)
            ]
            outcomes = [outcome for answers in own.ask(cards) for outcome in answers]
            assert sum(isinstance(outcome, CardIssued) for outcome in outcomes) == 1
            assert sum(isinstance(outcome, CardNumberTaken) for outcome in outcomes) == PROCESSES - 1

        purses = [books.card(60) for _ in range(6)]
        answers = own.ask([list(storm(seed, purses, 25, 10)) for seed in range(PROCESSES)])
        check_storm(books, [outcome for own_answers in answers for outcome in own_answers], PROCESSES * 25 * 10)
    books.check_laws()
