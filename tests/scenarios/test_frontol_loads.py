"""Books to bytes to a till: what is booked reaches a till that reads load files, over the outbox and a real folder."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.contract import Call, FileWrite, Link, Reply, Session
from adapters.frontol import ADAPTER
from adapters.frontol.loads import push
from adapters.frontol.options import FrontolOptions as Options
from gateway.delivery import Delivery, opened
from gateway.delivery_policy import DeliverySettings
from gateway.far_side import FarSide
from gateway.talks import Outgoing, Transport, try_once
from gateway.worker import transport_of
from processing import outbox, steering
from processing.commands import (
    BlockCard,
    EraseHolder,
    IssueCard,
    MergeHolders,
    Ref,
    RegisterHolder,
    ReplaceCard,
    SellGiftCard,
    UnblockCard,
)
from processing.database import Database
from processing.events import LOAD, Event, Stamps, Subscription, row
from processing.execute import Core
from processing.results import CardReplaced
from tests.adapters.frontol.till import Directory, Till
from tests.processing.books import GIFT, MONEY, MOSCOW, POINTS, SLOW, Books, adjust, post, use

PATIENCE_SECONDS = 60.0
TILL = "till"
LOADS = {
    "card_kinds": {"plain": 7, "slow": 8},
    "gift_cards": [{"product": "gift", "kind": 12, "unit": "RUB"}],
    "counters": [{"unit": "BONUS", "kind": 3, "on": "client"}, {"unit": "BONUS", "kind": 4, "on": "card"}],
    "client_fields": ["name", "phone", "birthday"],
    "client_code_base": 900_000,
}


@dataclass
class Shop:
    """Books that tell a till, and the till, with a folder between them."""

    books: Books
    till: Till
    folder: Path

    @property
    def out(self) -> dict[str, Outgoing]:
        link = Link(TILL, MOSCOW, ZoneInfo("Europe/Moscow"), Options().load({"loads": LOADS}))
        transport = partial(transport_of, FarSide(f"file://{self.folder}"), TILL)
        return {TILL: Outgoing(link, ADAPTER, DeliverySettings(jitter_seconds=0), {}, transport)}

    def deliver(self) -> None:
        """Until nothing waits."""
        core = self.books.core
        for _ in range(20):
            Delivery(core, core.work.vault, self.out, core.work.subscriptions, lambda: False).run_once()
            if not waiting(self.books):
                return
            self.till.work()
            self.books.clock.forward(minutes=1)  # type: ignore[union-attr]
        raise AssertionError(self.books.rows("SELECT outcome, detail FROM outbox_attempt ORDER BY id DESC LIMIT 3"))

    def holder(self, card: str, name: str, **changes: Any) -> int:
        person: dict[str, Any] = {"name": name, "phone": "", "email": "", "birthday": None, "product": None}
        keys = (self.books.key("register"),)
        done = self.books.done(RegisterHolder(store=MOSCOW, keys=keys, card=Ref("card", card), **person | changes))
        return done.holder_id

    def load(self, *bodies: dict[str, Any]) -> None:
        stamps = Stamps()
        outbox.follow(self.books.database, stamps)
        with self.books.database.transaction() as connection:
            now = self.books.database.now(connection)
            outbox.put(connection, [row(stamps.take(now), TILL, Event(LOAD, MOSCOW, body), now) for body in bodies])


@pytest.fixture
def shop(books: Books, tmp_path: Path) -> Iterator[Shop]:
    assert ADAPTER.push is not None
    folder = tmp_path / "exchange"
    folder.mkdir()
    told = Subscription(TILL, ADAPTER.push.wants - {LOAD})
    books.core.work = replace(books.core.work, subscriptions=(told,))
    yield Shop(books, Till(Directory(folder)), folder)
    books.core.work = replace(books.core.work, subscriptions=())


def waiting(books: Books) -> int:
    return int(books.rows("SELECT count(*) FROM outbox_message WHERE state = 'pending'")[0][0])


def code_of(books: Books, card: str) -> int:
    return int(books.rows("SELECT id FROM card WHERE number = :card", card=card)[0][0])


def ref(number: str) -> Ref:
    return Ref("card", number)


def done(shop: Shop, command: type[Any], card: str, **fields: Any) -> Any:
    return shop.books.done(command(store=MOSCOW, keys=(shop.books.key(),), card=ref(card), **fields))


def test_a_card_its_client_and_its_balance_reach_the_till(shop: Shop) -> None:
    books = shop.books
    card = books.card(points=125_50)
    born, phone = date(1990, 2, 3), "+79990000001"
    holder = 900_000 + shop.holder(card, "Ёлкина; Анна", phone=phone, birthday=born, email="a@example.org")
    shop.deliver()
    code = code_of(books, card)
    told = shop.till.cards[card]
    assert (told["code"], told["kind"], told["active"], told["from"]) == (code, 7, True, "04.05.2026")
    client = shop.till.clients[holder]
    assert (client["name"], client["phone"], client["email"]) == ("Ёлкина; Анна", phone, "")
    assert (client["birthday"], client["registered"]) == ("03.02.1990", "04.05.2026")
    assert client["counters"]["3"] == told["counters"]["4"] == 125.5
    assert shop.till.links == {(holder, 7, code)}
    books.done(post("r1", use(card, redeem=25_50)))
    shop.deliver()
    now = books.balances(card)[POINTS].available
    assert shop.till.clients[holder]["counters"]["3"] * 100 == now != 12_550


def test_statuses_replacement_and_another_product(shop: Shop) -> None:
    books = shop.books
    card, other = books.card(), books.card(active=False)
    shop.deliver()
    assert shop.till.cards[card]["active"] and not shop.till.cards[other]["active"]
    done(shop, BlockCard, card, reason="lost", actor="me")
    shop.deliver()
    assert not shop.till.cards[card]["active"]
    done(shop, UnblockCard, card, reason="found", actor="me")
    shop.holder(card, "Пётр", product=SLOW)
    shop.deliver()
    assert shop.till.cards[card]["active"] and shop.till.cards[card]["kind"] == 8
    new = done(shop, ReplaceCard, card, reason="worn", actor="me")
    assert isinstance(new, CardReplaced)
    shop.deliver()
    assert card not in shop.till.cards and shop.till.cards[new.number]["active"]
    assert {link[2] for link in shop.till.links} == {code_of(books, new.number)}


def test_a_merge_and_an_erasure_leave_nobody_behind(shop: Shop) -> None:
    books = shop.books
    card, other = books.card(points=10_00), books.card(points=5_00)
    leaving, staying = (900_000 + shop.holder(number, name) for number, name in ((other, "Иван"), (card, "Анна")))
    shop.deliver()
    assert set(shop.till.clients) == {leaving, staying}
    keys = (books.key(),)
    books.done(MergeHolders(store=MOSCOW, keys=keys, source=ref(other), target=ref(card), actor="me", reason="same"))
    shop.deliver()
    assert set(shop.till.clients) == {staying} and shop.till.clients[staying]["counters"]["3"] == 15
    assert {link[:1] for link in shop.till.links} == {(staying,)} and len(shop.till.links) == 2
    done(shop, EraseHolder, card, actor="me", reason="asked")
    shop.deliver()
    assert shop.till.clients == {} and shop.till.links == set()
    assert shop.till.cards[card]["active"], "the cards stay, without a name"
    assert "Анна" not in (shop.folder / "tillgate.txt").read_bytes().decode("cp1251")


def test_gift_cards_carry_what_is_left(shop: Shop) -> None:
    books = shop.books
    gift = books.done(IssueCard(store=MOSCOW, keys=("g",), product=GIFT)).number
    shop.deliver()
    assert (shop.till.gifts[gift]["status"], shop.till.gifts[gift]["balance"]) == (0, 0)
    done(shop, SellGiftCard, gift, amount=1_000_50)
    shop.deliver()
    assert (shop.till.gifts[gift]["status"], shop.till.gifts[gift]["balance"]) == (1, 1_000)
    books.done(adjust(books.key(), gift, -1_000_50, MONEY))
    shop.deliver()
    assert (shop.till.gifts[gift]["status"], shop.till.gifts[gift]["balance"]) == (2, 0)


def test_the_outbox_and_its_attempts_have_neither_names_nor_numbers(shop: Shop) -> None:
    books = shop.books
    card = books.card()
    shop.holder(card, "Анна Ким", phone="+79990000001")
    shop.deliver()
    with books.database.reading() as connection:
        messages = steering.messages(connection, steering.Filter())
        tried = [each for message in messages for each in steering.attempts(connection, message)]
    vault = books.core.work.vault
    kept = [opened(vault, each) for attempt in tried for each in (attempt.request, attempt.answer)]
    said = [*kept, *(message.body for message in messages)]
    assert len(said) > 6 and not any(word.encode() in each for each in said for word in (card, "Ким", "9990000001"))
    assert not any("Ким".encode("cp1251") in each for each in said)


def test_everything_again_for_a_new_till(shop: Shop) -> None:
    """A full load into an empty till brings it to where the other one is."""
    books, chance = shop.books, random.Random(7)
    cards = [books.card(points=100 * n) for n in range(1, 13)]
    for n, card in enumerate(cards[:8]):
        shop.holder(card, f"Гость {n}")
    for card in chance.sample(cards, 3):
        done(shop, BlockCard, card, reason="lost", actor="me")
    shop.deliver()
    old, shop.till = shop.till, Till(shop.till.files)
    wallets = [each[0] for each in books.rows("SELECT DISTINCT wallet_id FROM card ORDER BY 1")]
    shop.load(*({"accounts": wallets[n : n + 5]} for n in range(0, len(wallets), 5)))
    shop.deliver()
    assert (shop.till.cards, shop.till.clients, shop.till.links) == (old.cards, old.clients, old.links)
    assert shop.till.loads == 1 and len(old.cards) == 12 and len(old.clients) == 8


def test_a_name_that_nobody_can_write_stops_its_own_queue_and_says_so(shop: Shop) -> None:
    card = shop.books.card()
    shop.deliver()
    shop.holder(card, "Әлия")
    shop.deliver()
    (dead,) = shop.books.rows("SELECT reason FROM outbox_message WHERE state = 'dead'")
    assert dead[0].startswith("link_refused: ADDCLIENTDISCS, field name: has U+04D8") and shop.till.clients == {}


def test_a_test_of_the_queue_leaves_the_folder_as_it_is(shop: Shop) -> None:
    try_once(shop.out[TILL], shop.books.clock.at)  # type: ignore[union-attr]
    assert list(shop.folder.iterdir()) == []


# Workers that are killed ------------------------------------------------------------------------------------------

WRITES = ("the journal", "the file", "the journal again", "the flag")


def work_until_killed(shop: Shop, write: int) -> None:
    """In a process of its own: kill -9 right behind the write with this number, counted from 0."""
    database = Database(shop.books.url, clock=shop.books.clock)
    work = shop.books.core.work
    out, written = shop.out[TILL], 0

    class Deadly:
        def __init__(self, transport: Transport) -> None:
            self.close = transport.close
            self._call = transport.call

        def call(self, call: Call, session: Session | None, deadline: float) -> Reply:
            nonlocal written
            reply = self._call(call, session, deadline)
            if isinstance(call, FileWrite):
                if written == write:
                    os.kill(os.getpid(), signal.SIGKILL)
                written += 1
            return reply

    deadly = replace(out, transport=lambda again: Deadly(out.transport(again)))
    Delivery(Core(database, work.directory, work.vault), work.vault, {TILL: deadly}, (), lambda: False).run_once()


@pytest.mark.parametrize("write", range(len(WRITES)), ids=WRITES)
def test_accruals_count_once_though_a_worker_is_killed(shop: Shop, write: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "SETTLE", timedelta())
    shop.load(*(accrual(n) for n in range(1, 6)))
    worker = multiprocessing.get_context("fork").Process(target=work_until_killed, args=(shop, write))
    worker.start()
    worker.join(PATIENCE_SECONDS)
    assert worker.exitcode == -signal.SIGKILL
    shop.load(*(accrual(n) for n in range(6, 9)))
    shop.till.work()
    shop.books.clock.forward(minutes=2)  # type: ignore[union-attr]
    shop.deliver()
    assert shop.till.counters == {("1", "3", str(n)): n for n in range(1, 9)}
    assert shop.books.rows("SELECT DISTINCT state FROM outbox_message") == [("delivered",)]


def accrual(n: int) -> dict[str, Any]:
    record = {"counter": 1, "amount": f"0.{n:02}", "binding": 3, "object": str(n)}
    return {"command": "ADDCOUNTERVALUES", "records": [record]}
