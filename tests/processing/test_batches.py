"""Commands that travel together: each gets its own outcome, as if it had come alone and in its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import psycopg
import pytest

from processing.commands import (
    ActivateCard,
    Command,
    Exchange,
    Identify,
    IssueCard,
    PostReceipt,
    Ref,
    RegisterHolder,
    ReturnReceipt,
)
from processing.errors import (
    BadAmount,
    BadMessage,
    Busy,
    CardNotFound,
    CardNumberTaken,
    CardStatusWrong,
    ForeignStore,
    HolderExists,
    InsufficientPoints,
    LoyaltyError,
    PhoneTaken,
    ProductNotFound,
    TooLarge,
)
from processing.execute import MAX_BATCH, Outcome, _batches
from processing.results import (
    CardActivated,
    CardIssued,
    HolderRegistered,
    Identified,
    ReceiptPosted,
    ReceiptVoided,
    ToppedUp,
)
from tests.postgres import libpq
from tests.processing.books import (
    MONEY,
    MOSCOW,
    PLAIN,
    POINTS,
    Books,
    adjust,
    again,
    post,
    receipt,
    ref,
    top_up,
    use,
    void,
)

NUMBERS = ("7770000000000003", "7770000000000011", "7770000000000029")
"""Numbers fit for the product, with right check digits."""


def issue(key: str, number: str = "", **changes: Any) -> IssueCard:
    return IssueCard(**{"store": MOSCOW, "keys": (key,), "product": PLAIN, "number": number} | changes)


def activate(key: str, card: str) -> ActivateCard:
    return ActivateCard(store=MOSCOW, keys=(key,), card=ref(card))


def register(key: str, card: str, phone: str = "", **changes: Any) -> RegisterHolder:
    fields: dict[str, Any] = {"store": MOSCOW, "keys": (key,), "card": ref(card), "name": "Анна", "phone": phone}
    return RegisterHolder(**fields | changes)


def kinds(outcomes: Sequence[Outcome]) -> list[type[Any]]:
    return [type(outcome) for outcome in outcomes]


# A batch is its commands, one after another ---------------------------------------------------------------------


def life(number: str, other: str, phone: str) -> list[Command[Any]]:
    """Two cards from issue to their first receipts, and everything that must fail on the way."""
    return [
        top_up(f"{number} early", number, 100),
        issue(f"{number} issue", number, identifiers=(Ref("onec", f"guid {number}"),)),
        issue(f"{number} again", number),
        top_up(f"{number} unusable", number, 100),
        activate(f"{number} on", number),
        activate(f"{number} on again", number),
        register(f"{number} holder", number, phone),
        register(f"{number} second holder", number),
        issue(f"{other} issue", other, wallet_of=Ref("onec", f"guid {number}"), active=True),
        top_up(f"{number} money", other, 5_000),
        post(f"{number} sale", use(number, redeem=700, unit=MONEY, earn=70)),
        post(f"{number} greedy", use(other, redeem=4_371, unit=MONEY, earn=0)),
        post(f"{number} sale", use(number, redeem=700, unit=MONEY, earn=70)),
        void(f"{number} sale"),
        post(f"{number} late", use(other, redeem=5_001, unit=MONEY, earn=0), fact=True),
        register(f"{other} holder", other, phone),
    ]


EXPECTED = [
    CardNotFound,
    CardIssued,
    CardNumberTaken,
    "CardNotActive",
    CardActivated,
    CardStatusWrong,
    HolderRegistered,
    HolderExists,
    CardIssued,
    ToppedUp,
    ReceiptPosted,
    InsufficientPoints,
    ReceiptPosted,
    ReceiptVoided,
    ReceiptPosted,
    HolderExists,
]


@pytest.mark.parametrize("size", [1, 3, 5, 100])
def test_any_split_into_batches_gives_the_same_outcomes(books: Books, size: int) -> None:
    commands = life(NUMBERS[0], NUMBERS[1], "+7 912 345-67-89")
    outcomes: list[Outcome] = []
    for start in range(0, len(commands), size):
        outcomes += books.core.execute(commands[start : start + size])
    assert [type(o).__name__ for o in outcomes] == [e if isinstance(e, str) else e.__name__ for e in EXPECTED]
    assert outcomes[12] == again(outcomes[10])
    assert (books.balance(NUMBERS[0], MONEY), books.balance(NUMBERS[0])) == (-1, 0)
    books.check_laws()


def test_refused_command_drops_its_own_changes_only(books: Books) -> None:
    card = books.card(1_000)
    outcomes = books.core.execute(
        [
            post("a", use(card, redeem=600, earn=0)),
            post("b", use(card, redeem=600, earn=0)),
            post("c", use(card, redeem=400, earn=0)),
        ]
    )
    assert kinds(outcomes) == [ReceiptPosted, InsufficientPoints, ReceiptPosted]
    assert books.balance(card) == 0
    books.check_laws()


@pytest.mark.parametrize("supersede", [True, False])
def test_twins_in_one_batch_have_one_effect_and_one_answer(books: Books, supersede: bool) -> None:
    card = books.card(1_000)
    twins = [post("a", use(card, redeem=600, earn=0), at=n, supersede=supersede) for n in range(8)]
    outcomes = books.core.execute(twins)
    assert isinstance(outcomes[0], ReceiptPosted)
    assert not outcomes[0].replayed
    assert outcomes[1:] == [again(outcomes[0])] * 7
    assert books.balance(card) == 400
    assert books.count("receipt") == 1


def test_opposites_in_one_batch_act_in_their_order(books: Books) -> None:
    card = books.card(1_000)
    lots = books.lots(card)
    sale, undo, paid_again = (
        post("a", use(card, redeem=600, earn=5), at=1),
        void("a", 2),
        post("a", use(card, redeem=1_000, earn=0), at=3),
    )
    outcomes = books.core.execute([sale, undo])
    assert kinds(outcomes) == [ReceiptPosted, ReceiptVoided]
    assert books.lots(card) == lots
    outcomes = books.core.execute([paid_again, void("a", 4)])
    assert kinds(outcomes) == [ReceiptPosted, ReceiptVoided]
    assert books.lots(card) == lots
    first, second = books.core.execute([void("b", 2), post("b", use(card, redeem=1, earn=0), at=1)])
    assert isinstance(first, ReceiptVoided)
    assert first.outcome == "orphan"
    assert isinstance(second, LoyaltyError)
    books.check_laws()


def test_superseding_versions_in_one_batch_leave_the_last(books: Books) -> None:
    one, other = books.card(1_000), books.card(1_000)
    outcomes = books.core.execute(
        [post("a", use((one, other)[n % 2], redeem=100 * n, earn=n), at=n, supersede=True) for n in range(1, 7)]
    )
    assert kinds(outcomes) == [ReceiptPosted] * 6
    assert (books.balance(one), books.balance(other)) == (1_000 - 600 + 6, 1_000)
    books.check_laws()


def test_long_batch_is_cut_and_every_command_gets_its_outcome(books: Books) -> None:
    card = books.card(MAX_BATCH + 5)
    outcomes = books.core.execute([post(f"k{n}", use(card, redeem=1, earn=0)) for n in range(MAX_BATCH + 10)])
    assert kinds(outcomes) == [ReceiptPosted] * (MAX_BATCH + 5) + [InsufficientPoints] * 5
    books.check_laws()


def test_exchanges_travel_alone_and_in_their_place(books: Books) -> None:
    card = books.card(0)
    commands: list[Command[Any]] = []
    for n in range(4):
        commands.append(post(f"s{n}", use(card, earn=100)))
        back = ReturnReceipt(store=MOSCOW, keys=(f"r{n}",), receipt=receipt(0), sale=f"s{n}")
        commands.append(Exchange(store=MOSCOW, returned=back, sold=post(f"n{n}", use(card, earn=10))))
    assert [list(batch) for batch in _batches(commands)] == [[command] for command in commands]
    assert [len(batch) for batch in _batches(commands[::2] + commands[1::2])] == [4, 1, 1, 1, 1]
    assert not [each for each in books.core.execute(commands) if isinstance(each, LoyaltyError)]
    assert books.balance(card) == 40


def test_nothing_asked_is_nothing_answered(books: Books) -> None:
    assert books.core.execute([]) == []
    assert books.core.answer([]) == []


# Cards and holders -------------------------------------------------------------------------------------------------


def test_printed_number_is_found_with_and_without_leading_zeros(books: Books) -> None:
    card = books.card(50)
    assert books.balance("000" + card) == 50
    assert books.balance(f" {card} ") == 50


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (issue("a", product="none"), ProductNotFound),
        (issue("a", "7770000000000005"), BadAmount),
        (issue("a", "123"), BadAmount),
        (issue("a", wallet_of=Ref("card", "404")), CardNotFound),
        (activate("a", "404"), CardNotFound),
        (register("a", "404"), CardNotFound),
        (register("a", "404", phone="12"), BadMessage),
        (issue("a", store="nowhere"), ForeignStore),
        (issue(""), BadMessage),
        (issue("a\x00"), BadMessage),
        (issue("a", keys=()), BadMessage),
        (issue("a", keys=tuple("abcdefghi")), BadMessage),
        (issue("a" * 256), BadMessage),
    ],
)
def test_unfit_command_is_refused_and_leaves_nothing(
    books: Books, command: Command[Any], error: type[LoyaltyError]
) -> None:
    before, keys = books.written(), books.count("request_key")
    outcomes = books.core.execute([command, top_up("x", "404", 1)])
    assert kinds(outcomes) == [error, CardNotFound]
    assert (books.written(), books.count("request_key")) == (before, keys)


def test_too_many_cards_are_refused(books: Books) -> None:
    assert isinstance(books.one(post("a", *(use("404") for _ in range(17)), fact=True)), TooLarge)


def test_generated_numbers_of_one_batch_differ_and_their_cards_work(books: Books) -> None:
    outcomes = books.core.execute([issue(f"k{n}", active=True) for n in range(40)])
    numbers = [outcome.number for outcome in outcomes if isinstance(outcome, CardIssued)]
    assert len(set(numbers)) == 40
    assert [books.balance(number) for number in numbers] == [0] * 40
    repeated = books.core.execute([issue(f"k{n}", active=True) for n in range(40)])
    assert repeated == [again(outcome) for outcome in outcomes]
    assert books.count("card") == 40


@pytest.mark.parametrize(
    "identifiers",
    [(Ref("onec", "1"), Ref("onec", "1")), (Ref("card", NUMBERS[0]),), (Ref("card", "0" + NUMBERS[0]),)],
    ids=["twice", "own number", "own number with zeros"],
)
def test_name_given_twice_is_one_name(books: Books, identifiers: tuple[Ref, ...]) -> None:
    outcome = books.one(issue("a", NUMBERS[0], identifiers=identifiers))
    assert not isinstance(outcome, Busy), "a card that names itself twice is told to come again for ever"
    books.check_laws()


def test_name_of_another_card_is_taken(books: Books) -> None:
    books.done(issue("a", NUMBERS[0], identifiers=(Ref("onec", "1"),)))
    before = books.written()
    outcomes = books.core.execute(
        [issue("b", NUMBERS[1], identifiers=(Ref("onec", "1"),)), issue("c", identifiers=(Ref("card", NUMBERS[0]),))]
    )
    assert kinds(outcomes) == [CardNumberTaken, CardNumberTaken]
    assert books.written() == before


def test_phone_belongs_to_one_holder_in_any_spelling(books: Books) -> None:
    one, other = books.card(), books.card()
    outcomes = books.core.execute([register("a", one, "8 (912) 345-67-89"), register("b", other, "+79123456789")])
    assert kinds(outcomes) == [HolderRegistered, PhoneTaken]
    assert isinstance(books.one(register("c", other, "79123456789")), PhoneTaken)
    books.done(register("d", other, email="anna@example.ru"))
    assert books.count("holder") == books.count("person") == books.count("contact") == 2


def test_second_card_of_a_wallet_shows_its_holder(books: Books) -> None:
    one = books.card()
    other = books.card(wallet_of=ref(one))
    books.done(register("a", one))
    (face,) = books.core.answer([Identify(store=MOSCOW, refs=(ref(other),))])
    assert isinstance(face, Identified)
    assert face.holder_name == "Анна"
    assert isinstance(books.one(register("b", other)), HolderExists)


# One command must not spoil the batch of others --------------------------------------------------------------------

BAD_TEXT = pytest.mark.parametrize("bad", ["\x00", "x" * 300, "\ud800"], ids=["NUL", "long", "surrogate"])


def changed(**changes: Any) -> Callable[[str], PostReceipt]:
    """A receipt of the card 404 with the bad text in one place."""

    def make(bad: str) -> PostReceipt:
        return post("odd", use("404", earn=0), fact=True, **{name: what(bad) for name, what in changes.items()})

    return make


PLACES: dict[str, Callable[[str], PostReceipt]] = {
    "card": lambda bad: post("odd", use(bad), fact=True),
    "scheme": lambda bad: post("odd", use("", refs=(Ref(bad, "1"),)), fact=True),
    "unit": lambda bad: post("odd", use("404", earn=1, unit=bad), fact=True),
    "till": changed(receipt=lambda bad: receipt(till=bad)),
    "number": changed(receipt=lambda bad: receipt(number=bad)),
    "actor": changed(actor=str),
    "note": changed(notes=lambda bad: (bad,)),
    "content": changed(content=str),
}


@BAD_TEXT
@pytest.mark.parametrize("place", PLACES)
def test_text_that_no_column_takes_is_that_commands_own_trouble(books: Books, place: str, bad: str) -> None:
    card = books.card(1_000)
    odd, sound = books.core.execute([PLACES[place](bad), post("good", use(card, redeem=300, earn=0))])
    assert isinstance(sound, ReceiptPosted)
    assert not isinstance(odd, Busy)
    assert books.balance(card) == 700
    books.check_laws()


def test_number_that_no_column_takes_is_that_commands_own_trouble(books: Books) -> None:
    card = books.card(1_000)
    odd = post("odd", use(card, earn=0), total=2**63)
    _, sound = books.core.execute([odd, post("good", use(card, redeem=300, earn=0))])
    assert isinstance(sound, ReceiptPosted)
    assert books.balance(card) == 700


# Connections ------------------------------------------------------------------------------------------------------


@pytest.fixture
def connected(postgresql: Books) -> Iterator[Books]:
    """Books whose connections may be lost: the next test gets new ones."""
    yield postgresql
    postgresql.database.dispose()


def test_lost_connections_are_noticed_by_nobody_who_writes(connected: Books) -> None:
    card = connected.card(1_000)
    drop_connections(connected)
    outcome = connected.done(post("a", use(card, redeem=300, earn=0)))
    assert [moved.balance for moved in outcome.cards] == [700]


def test_lost_connections_are_noticed_by_nobody_who_reads(connected: Books) -> None:
    card = connected.card(1_000)
    assert connected.balance(card) == 1_000
    drop_connections(connected)
    assert connected.balance(card) == 1_000


def drop_connections(books: Books) -> None:
    """As a restart of the server does to the connections that lie in the pool."""
    with psycopg.connect(libpq(books.url), autocommit=True) as own:
        own.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_stored_answers_are_equal_in_every_field_after_decoding(books: Books) -> None:
    """Law 2 is about what the till sees: everything that a result holds."""
    card = books.card(1_000)
    commands = [
        post("a", use(card, redeem=10, earn=3), at=1),
        void("b", 1),
        top_up("c", card, 5),
        adjust("d", card, -5),
        issue("e"),
        register("f", card, "+79123456789"),
    ]
    first = books.core.execute(commands)
    repeated = books.core.execute(commands)
    assert [msgspec.structs.asdict(o) for o in repeated] == [msgspec.structs.asdict(again(o)) for o in first]  # type: ignore[type-var]
    assert kinds(repeated) == kinds(first)
    assert POINTS in repr(first[0])


def test_a_refusal_holds_nothing_of_its_batch(books: Books) -> None:
    """It is a value: where it was raised are frames with the whole state of the batch, and with the refusal itself."""
    store = MOSCOW
    found = books.core.execute(
        [
            ActivateCard(store=store, keys=("k",), card=Ref("card", "404")),
            ActivateCard(store=store, keys=(), card=Ref("card", "404")),
        ]
    )
    found += books.core.answer([Identify(store=store, refs=(Ref("card", "404"),))])
    assert [type(each) for each in found] == [CardNotFound, BadMessage, CardNotFound]
    assert [(each.__traceback__, each.__context__) for each in found if isinstance(each, LoyaltyError)] == [
        (None, None)
    ] * 3
