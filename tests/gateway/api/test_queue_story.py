"""The story of a message at REST: what was said and heard, without what its adapter calls private."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from adapters.iiko_cloud.options import IikoCloudOptions
from gateway.app import Parts
from gateway.far_side import FarSide
from gateway.settings import LinkSettings
from processing.commands import Ref, RegisterHolder
from tests.gateway.api.client import Client
from tests.processing.books import MOSCOW, Books
from tests.scenarios.test_iiko_cloud import Shop, shop_of

ON_SQLITE_ONLY = True


@pytest.fixture
def shop(books: Books) -> Iterator[Shop]:
    yield shop_of(books)
    books.core.work = replace(books.core.work, subscriptions=())


@pytest.fixture
def parts(parts: Parts) -> Parts:
    """With the link that the shop speaks through."""
    far = FarSide("https://api-ru.iiko.services")
    link = LinkSettings("far", "iiko_cloud", MOSCOW, True, (), (), IikoCloudOptions().fields, far_side=far)
    return replace(parts, settings=replace(parts.settings, links={**parts.settings.links, "far": link}))


def test_the_story_shows_neither_names_nor_cards(shop: Shop, new_client: Callable[..., Client]) -> None:
    card = shop.books.card()
    shop.deliver()
    named = Ref("card", card)
    shop.books.done(RegisterHolder(store=MOSCOW, keys=("h",), card=named, name="Anna", phone="+79990001122"))
    shop.deliver()
    rest = new_client("queues:read")
    ids = [each["message_id"] for each in rest.ask("GET", "/queues/far/messages").ok()["messages"]]
    told = str([rest.ask("GET", f"/queues/far/messages/{each}").ok()["story"] for each in ids])
    assert "customer/" in told and '"name"' in told
    assert "Anna" not in told and card not in told and "79990001122" not in told
