"""Our books and iiko's wallets: receipts here, a till there, and a line between them that breaks. Both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from adapters.contract import Call, HttpCall, HttpReply, Link, Reply, Session
from adapters.iiko_cloud import ADAPTER
from gateway.delivery import Delivery, opened
from gateway.delivery_policy import DeliverySettings
from gateway.talks import Outgoing
from processing import steering, tables
from processing.commands import BlockCard, EraseHolder, ReadBalances, Ref, RegisterHolder
from processing.errors import LinkDown
from processing.events import BALANCE_CHANGED, CARD_CHANGED, HOLDER_CHANGED, Subscription
from processing.results import Balances
from tests.adapters.iiko_cloud.far_side import SECRETS, WALLET, link
from tests.adapters.iiko_cloud.stub import BONUS, Iiko, Person
from tests.processing.books import MOSCOW, PLAIN, POINTS, Books, post, use

KINDS = frozenset({BALANCE_CHANGED, CARD_CHANGED, HOLDER_CHANGED})
NO_PACE = replace(ADAPTER, pace=None)


@dataclass
class Cloud:
    """iiko as the transport meets it. ``faults``: of the next calls of a path, by its last part: lost or unheard."""

    iiko: Iiko = field(default_factory=Iiko)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def call(self, call: Call, session: Session | None, deadline: float) -> Reply:
        assert isinstance(call, HttpCall)
        headers = session.headers if session is not None and call.signed else {}
        path, fault = self.faults[0] if self.faults else ("", "")
        is_meant = call.path.endswith(path) if path else False
        if is_meant:
            self.faults.pop(0)
        if is_meant and fault == "lost":
            raise LinkDown("lost")
        reply: HttpReply = self.iiko.answer(replace(call, headers={**call.headers, **headers}))
        if is_meant:
            raise LinkDown("unheard")
        return reply

    def shelf(self) -> Any: ...

    def close(self) -> None: ...


@dataclass
class Shop:
    """Books that tell iiko of their wallets, and who delivers."""

    books: Books
    cloud: Cloud
    to: Link

    def deliver(self) -> None:
        """All that is due; then the time of any wait has passed."""
        transport: Callable[[bool], Any] = lambda again: self.cloud  # noqa: E731
        out = Outgoing(self.to, NO_PACE, DeliverySettings(jitter_seconds=0), SECRETS, transport)
        core = self.books.core
        Delivery(core, core.work.vault, {"far": out}, core.work.subscriptions, lambda: False, 1).run_once()
        self.books.clock.forward(hours=1)  # type: ignore[union-attr]

    def points(self, card: str) -> Decimal:
        (told,) = self.books.core.answer([ReadBalances(refs=(Ref("card", card),))])
        assert isinstance(told, Balances)
        return Decimal(sum(each.balance for each in told.balances if each.unit == POINTS)) / 100

    def states(self) -> set[str]:
        with self.books.database.reading() as connection:
            return set(connection.execute(select(tables.outbox_message.c.state)).scalars())

    def looks(self) -> list[steering.Tried]:
        with self.books.database.reading() as connection:
            return steering.looks(connection, "far", 1)

    @property
    def guest(self) -> Person:
        (found,) = [each for each in self.cloud.iiko.guests if not each.is_deleted]
        return found

    def movements(self) -> list[Decimal]:
        return [row.amount for row in self.guest.rows]


def shop_of(books: Books, **options: Any) -> Shop:
    to = replace(link(**{"products": [PLAIN]} | options), store=MOSCOW)
    books.core.work = replace(books.core.work, subscriptions=(Subscription("far", KINDS),))
    return Shop(books, Cloud(), to)


@pytest.fixture
def shop(books: Books) -> Iterator[Shop]:
    yield shop_of(books)
    books.core.work = replace(books.core.work, subscriptions=())


def test_receipts_here_are_seen_there_once_whatever_the_line_does(shop: Shop) -> None:
    card = shop.books.card(points=100_00)
    shop.deliver()
    assert shop.guest.cards == {card: card} and shop.movements() == [100]
    for number, (path, fault) in enumerate(
        [
            ("topup", "unheard"),
            ("info", "lost"),
            ("chargeoff", "lost"),
            ("by_date", "unheard"),
            ("access_token", "lost"),
        ]
    ):
        shop.cloud.faults.append((path, fault))
        redeem = 10_00 if path == "chargeoff" else 0
        shop.books.done(post(f"r{number}", use(card, redeem=redeem, earn=0 if redeem else 5_00)))
        for _ in range(3):
            shop.deliver()
        assert shop.guest.wallets[BONUS] == shop.points(card), path
    assert len(shop.movements()) == 1 + 5 and shop.states() == {"delivered"}


def test_of_changes_while_the_login_is_throttled_the_balance_is_said_once(shop: Shop) -> None:
    card = shop.books.card(points=100_00)
    shop.cloud.iiko.throttled = 1
    shop.deliver()
    for number in range(3):
        shop.books.done(post(f"r{number}", use(card, earn=5_00)))
    for _ in range(2):
        shop.deliver()
    assert shop.movements() == [115] and shop.states() == {"delivered"}


def test_a_token_that_lives_a_second_is_renewed_once_for_a_call(shop: Shop) -> None:
    shop.cloud.iiko.token_seconds = 1
    card = shop.books.card(points=100_00)
    for number in range(2):
        shop.deliver()
        shop.books.done(post(f"r{number}", use(card, earn=5_00)))
    shop.deliver()
    assert shop.movements() == [100, 5, 5] and shop.states() == {"delivered"}
    logins = sum("access_token" in path for path in shop.cloud.iiko.calls)
    assert logins <= len(shop.cloud.iiko.calls) / 2


def test_a_401_that_no_login_helps_against_is_no_spin(shop: Shop) -> None:
    """A right that is missing, or a path that is gone, looks like a token that is over."""
    shop.cloud.iiko.paths.clear()
    shop.books.card(points=100_00)
    shop.deliver()
    pushed = [path.rpartition("/")[2] for path in shop.cloud.iiko.calls]
    assert pushed.count("access_token") <= 4 and len(pushed) <= 8
    assert "dead" in shop.states()


def test_a_person_comes_is_blocked_and_is_forgotten(shop: Shop) -> None:
    card = shop.books.card(points=50_00)
    named = Ref("card", card)
    shop.books.done(RegisterHolder(store=MOSCOW, keys=("h",), card=named, name="Anna", phone="+79990001122"))
    shop.deliver()
    assert (shop.guest.phone, shop.guest.person, shop.guest.wallets[BONUS]) == ("+79990001122", {"name": "Anna"}, 50)
    shop.books.done(BlockCard(store=MOSCOW, keys=("b",), card=named, reason="lost", actor="me"))
    shop.deliver()
    assert shop.guest.wallets[BONUS] == 0
    shop.books.done(EraseHolder(store=MOSCOW, keys=("e",), card=named, reason="asked for it", actor="me"))
    shop.deliver()
    assert all(guest.is_deleted for guest in shop.cloud.iiko.guests) and shop.cloud.iiko.guests
    assert shop.states() <= {"delivered", "cancelled"}


def test_what_a_till_of_iiko_takes_is_booked_and_the_wallets_agree(books: Books) -> None:
    shop = shop_of(books, wallets=[WALLET | {"book_from": "2026-05-04"}])
    card = shop.books.card(points=100_00)
    shop.deliver()
    shop.cloud.iiko.move(shop.guest, BONUS, Decimal("-30.5"), "at the till")
    for _ in range(3):
        shop.deliver()
    assert shop.points(card) == Decimal("69.5") == shop.guest.wallets[BONUS]
    assert shop.movements() == [100, Decimal("-30.5")], "nothing is levelled that was booked"
    shop.cloud.iiko.move(shop.guest, BONUS, Decimal("-9.5"), "at the till")
    shop.books.done(post("r", use(card, earn=5_00)))
    for _ in range(3):
        shop.deliver()
    assert shop.points(card) == 65 == shop.guest.wallets[BONUS], "also where a receipt came before the pull"
    with books.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(tables.operation)).scalar() == 1 + 1 + 1 + 1
    books.core.work = replace(books.core.work, subscriptions=())


def test_a_difference_that_is_not_booked_is_told_to_the_operator(shop: Shop) -> None:
    shop.books.card(points=100_00)
    shop.deliver()
    shop.cloud.iiko.move(shop.guest, BONUS, Decimal("-30"), "at the till")
    shop.deliver()
    (look,) = shop.looks()
    told = opened(shop.books.core.work.vault, look.answer).decode()
    assert "100.00 BONUS here, 70.00 at iiko; moved by others" in told and look.outcome == "delivered"
    assert shop.guest.wallets[BONUS] == 70


def test_neither_secrets_nor_people_are_kept_with_an_attempt(shop: Shop) -> None:
    """So that erasure has nothing to take out."""
    card = shop.books.card(points=100_00)
    shop.deliver()
    named = Ref("card", card)
    shop.books.done(RegisterHolder(store=MOSCOW, keys=("h",), card=named, name="Anna", phone="+79990001122"))
    shop.cloud.faults = [("access_token", "unheard"), ("create_or_update", "unheard")]
    for _ in range(3):
        shop.deliver()
    with shop.books.database.reading() as connection:
        rows = list(connection.execute(select(tables.outbox_attempt)))
    vault = shop.books.core.work.vault
    kept = b"".join(opened(vault, part) for row in rows for part in (row.request, row.answer)).decode()
    assert "POST /api/1/access_token" in kept and '"name"' in kept and '"cardNumber"' in kept and '"sum"' in kept
    for secret in (SECRETS["api_login"], "Anna", card, "79990001122"):
        assert secret not in kept


def test_what_waits_names_nobody(shop: Shop) -> None:
    card = shop.books.card(points=100_00)
    named = Ref("card", card)
    shop.books.done(RegisterHolder(store=MOSCOW, keys=("h",), card=named, name="Anna", phone="+79990001122"))
    with shop.books.database.reading() as connection:
        bodies = [
            msgspec.json.encode(each) for each in connection.execute(select(tables.outbox_message.c.body)).scalars()
        ]
    assert bodies and not any(card.encode() in body or b"Anna" in body for body in bodies)
