"""Orders of iiko whose webhooks were lost, late or cut: pulled, they are booked as if each had come once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processing.commands import Ref, RegisterHolder
from tests.adapters.iiko_cloud.far_side import ORDER, ORDERS_OF
from tests.adapters.iiko_cloud.stub import BONUS, TABLE, order_info, till_id
from tests.processing.books import MOSCOW, Books
from tests.scenarios.test_iiko_cloud import Shop, shop_of
from tests.scenarios.test_iiko_webhooks import Cloud, open_cloud

PHONE = "+79990001122"
FIRST = ORDER + "1"
on_sqlite = pytest.mark.parametrize("books", ["sqlite"], indirect=True)


@pytest.fixture
def shop(books: Books) -> Iterator[Shop]:
    yield shop_of(books, orders_of=ORDERS_OF, tables=[TABLE], deliveries=True)
    books.core.work = _silent(books)
    books.check_laws()


def _silent(books: Books) -> Any:
    from dataclasses import replace

    return replace(books.core.work, subscriptions=())


def guest(shop: Shop, phone: str = PHONE) -> str:
    """A card with a holder, whom iiko knows."""
    card = shop.books.card()
    person = RegisterHolder(store=MOSCOW, keys=(shop.books.key(),), card=Ref("card", card), name="Anna", phone=phone)
    shop.books.done(person)
    shop.deliver()
    return card


def opened_at(shop: Shop) -> datetime:
    """A moment ago, as delivery reads the clock."""
    return datetime.now(UTC) - timedelta(minutes=5)


def event(info: Any) -> Any:
    return {"eventType": "TableOrderUpdate", "eventTime": "2026-05-04 09:00:00.000", "eventInfo": info}


def receipts(shop: Shop) -> int:
    """How many were posted, those that were reversed again among them."""
    return int(shop.books.rows("SELECT count(*) FROM operation WHERE kind = 'receipt'")[0][0])


def test_an_order_whose_webhook_was_lost_is_pulled_once(shop: Shop) -> None:
    card = guest(shop)
    shop.cloud.iiko.tell(order_info(FIRST, 1), at=opened_at(shop))
    shop.cloud.iiko.tell(order_info(ORDER + "2", 1, total=500), is_delivery=True, at=opened_at(shop))
    for _ in range(3):
        shop.deliver()
    assert shop.points(card) == 75 and receipts(shop) == 2
