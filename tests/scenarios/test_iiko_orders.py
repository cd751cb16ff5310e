"""Orders of iiko whose webhooks were lost, late or cut: pulled, they are booked as if each had come once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery import opened
from processing.commands import Ref, RegisterHolder, VoidReceipt
from tests.adapters.iiko_cloud.far_side import ORDERS_OF, WALLET
from tests.adapters.iiko_cloud.stub import BONUS, TABLE, Iiko, Person, order_info, till_id
from tests.processing.books import MOSCOW, Books
from tests.scenarios.test_iiko_cloud import Shop, shop_of
from tests.scenarios.test_iiko_webhooks import Cloud as Hooks
from tests.scenarios.test_iiko_webhooks import open_cloud

PHONE = "+79990001122"
GUEST = "b6a9c3c2-8f5b-4f0e-9f5e-3f2f6d1c7a77"
on_sqlite = pytest.mark.parametrize("books", ["sqlite"], indirect=True)

_orders = itertools.count(1)


@dataclass
class World:
    """Our books, iiko with its guest, and the line by which we ask; ``hooks`` is the door to which it tells."""

    shop: Shop
    hooks: Hooks
    card: str

    @property
    def books(self) -> Books:
        return self.shop.books

    @property
    def iiko(self) -> Iiko:
        return self.shop.cloud.iiko

    def order(self, stamp: int = 1, status: str = "Closed", name: str = "", **told: Any) -> Any:
        """It is as told from now on, at a table, where it was opened a while ago: the list after the next has it no
        more."""
        info = order_info(name or f"6f1f0c7e-93a6-4a7f-8c8e-{next(_orders):012}", stamp, status, **told)
        opened = [each.at for each in self.iiko.orders if each.told["id"] == name]
        at = self.books.clock.at - timedelta(minutes=90)  # type: ignore[union-attr]
        self.iiko.tell(info, at=opened[0] if opened else at)
        return info

    def hear(self, *infos: Any) -> None:
        """Webhooks tell of these, and what has come is booked."""
        self.hooks.tell(*({"eventType": "TableOrderUpdate", "eventInfo": info} for info in infos))
        self.hooks.deliver()

    def receipts(self) -> int:
        return int(self.books.rows("SELECT count(*) FROM operation WHERE kind = 'receipt'")[0][0])

    def points(self) -> Decimal:
        return self.shop.points(self.card)


@pytest.fixture
def world(books: Books) -> Iterator[World]:
    card = books.card()
    books.done(RegisterHolder(store=MOSCOW, keys=("h",), card=Ref("card", card), name="Anna", phone=PHONE))
    with open_cloud(books) as hooks:
        options = {"orders_of": ORDERS_OF, "tables": [TABLE], "deliveries": True}
        yield World(shop_of(books, wallets=[WALLET | {"book_from": "2026-05-01"}], **options), hooks, card)
    books.core.work = replace(books.core.work, subscriptions=())
    books.check_laws()


def test_orders_whose_webhooks_were_lost_are_pulled_once(world: World) -> None:
    world.order()
    told = order_info(f"6f1f0c7e-93a6-4a7f-8c8e-{next(_orders):012}", 1, total=500)
    world.iiko.tell(told, is_delivery=True, at=world.books.clock.at)  # type: ignore[union-attr]
    for _ in range(3):
        world.shop.deliver()
    assert (world.points(), world.receipts()) == (75, 2)


def test_a_webhook_that_comes_behind_the_pull_posts_nothing_and_a_newer_one_counts(world: World) -> None:
    info = world.order()
    world.shop.deliver()
    world.hear(info, info)
    assert (world.points(), world.receipts()) == (50, 1)
    world.hear(order_info(info["id"], 2, total=600))
    assert (world.points(), world.receipts()) == (30, 2)
    world.shop.deliver()
    assert (world.points(), world.receipts()) == (30, 2), "what iiko shows now was told before, and is older"


@on_sqlite
def test_a_pull_behind_a_webhook_posts_nothing_and_brings_what_was_lost_since(world: World) -> None:
    info = world.order()
    world.hear(info)
    world.shop.deliver()
    assert (world.points(), world.receipts()) == (50, 1)
    lost = world.order(1, "Bill")
    world.shop.deliver()
    assert world.points() == 50, "it is open"
    world.order(2, name=lost["id"])
    world.shop.deliver()
    assert (world.points(), world.receipts()) == (100, 2)


@on_sqlite
def test_an_order_that_the_report_of_a_guest_names_is_pulled_and_earns_for_what_was_not_paid_from_the_wallet(
    world: World,
) -> None:
    """The till pays 40.00 from iiko's wallet, and no list has the order."""
    guest = Person(GUEST, 0, phone=PHONE, wallets={BONUS: Decimal(0)})
    world.iiko.guests.append(guest)
    world.iiko.move(guest, BONUS, Decimal(100), "a gift")
    for _ in range(2):
        world.shop.deliver()
    assert world.points() == 100
    kinds = [("IikoCard", 40), ("Cash", 960)]
    payments = [{"paymentType": {"id": GUEST, "kind": kind}, "sum": paid} for kind, paid in kinds]
    info = order_info(f"6f1f0c7e-93a6-4a7f-8c8e-{next(_orders):012}", 1, payments=payments)
    world.iiko.tell(info, at=world.books.clock.at - timedelta(days=3))  # type: ignore[union-attr]
    world.iiko.move(guest, BONUS, Decimal(-40), "order 17", till_id(info["id"]), False)
    for _ in range(3):
        world.shop.deliver()
    assert (world.points(), world.receipts()) == (60 + 48, 1) and guest.wallets[BONUS] == 108
    world.hear(info)
    assert world.points() == 108


@on_sqlite
def test_an_order_that_a_person_has_voided_stays_void_and_nobody_is_told_each_time(world: World) -> None:
    info = world.order()
    world.shop.deliver()
    world.books.done(VoidReceipt(store=MOSCOW, keys=(f"iiko:order:{info['id']}",), reason="return", actor="me"))
    world.order(2, name=info["id"], total=2_000)
    world.shop.deliver()
    world.hear(order_info(info["id"], 3, total=3_000))
    assert world.points() == 0
    (look,) = world.shop.looks()
    assert b"already_voided" not in opened(world.books.core.work.vault, look.answer)


@on_sqlite
def test_a_pull_that_is_cut_at_any_call_ends_in_the_same_books(world: World) -> None:
    paths = ("access_token", "customer/info", "by_delivery_date_and_status", "by_table", "order/by_id", "by_revision")
    for number, (path, fault) in enumerate(zip(paths, itertools.cycle(("lost", "unheard")), strict=False), 1):
        opened = world.order(1, "New")
        world.shop.deliver()
        world.order(2, name=opened["id"])
        if path in ("access_token", "by_delivery_date_and_status"):
            world.iiko.tokens.clear()
            world.iiko.now += 4 * 3600
        world.shop.cloud.faults = [(path, fault)]
        for _ in range(3):
            world.shop.deliver()
        assert not world.shop.cloud.faults, path
        assert (world.points(), world.receipts()) == (50 * number, number), (path, fault)


# The life of an order: statuses, and what it cost then.
LIVES = (
    (("New", 0), ("Closed", 900)),
    (("Closed", 900), ("Closed", 700)),
    (("Closed", 900), ("Deleted", 900)),
    (("Bill", 900), ("Closed", 900), ("Deleted", 900), ("Closed", 600)),
)
LOST, HEARD, LATE = "lost", "heard", "late"


@on_sqlite
@settings(max_examples=8)
@given(data=st.data())
def test_however_an_order_comes_the_books_are_those_of_its_last_version(world: World, data: st.DataObject) -> None:
    """Each version is told at once, at the end, twice, or never; and pulled or not before the next. A day later all are
    listed once more."""
    life, before, name = data.draw(st.sampled_from(LIVES)), world.points(), ""
    late: list[Any] = []
    for stamp, (status, total) in enumerate(life, 1):
        info = world.order(stamp, status, name, total=total)
        name = info["id"]
        fate = data.draw(st.sampled_from((LOST, HEARD, LATE)))
        late += [info] if fate == LATE else []
        if fate == HEARD:
            world.hear(info, *([info] if data.draw(st.booleans()) else []))
        if data.draw(st.booleans()):
            world.shop.deliver()
    if data.draw(st.booleans()):
        world.hear(*late)
    world.shop.deliver()
    world.hear(*late)
    world.books.clock.forward(hours=23)  # type: ignore[union-attr]
    world.shop.deliver()
    status, total = life[-1]
    assert world.points() - before == (Decimal(total) / 20 if status == "Closed" else 0)
    told = world.hooks.receipt(name)
    assert (told is not None) == (status == "Closed")
    assert told is None or told.document["receipt"]["total_minor"] == total * 100
    assert set(world.hooks.states()) <= {"delivered", "cancelled", "pending"}
