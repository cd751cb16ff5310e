"""Where outside systems want to be told: kept, sealed, told back; on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from processing.commands import ReadSubscription, Subscribe
from processing.errors import BadMessage, ForeignStore, KeyReused
from processing.results import SubscriptionTold
from processing.subscribers import MAX_ADDRESS, MAX_SUBSCRIBER
from tests.processing.books import MOSCOW, URAL, Books

ADDRESS, SECRET = "https://shop.example/hooks", "a secret of the site"


def said(books: Books, key: str = "", **told: Any) -> Subscribe:
    return Subscribe(
        **{"store": MOSCOW, "keys": (key or books.key("s"),), "subscriber": "site", "address": ADDRESS} | told
    )


def kept(books: Books, store: str = MOSCOW, subscriber: str = "site") -> SubscriptionTold:
    (told,) = books.core.answer([ReadSubscription(store=store, subscriber=subscriber)])
    assert isinstance(told, SubscriptionTold)
    return told


def test_what_was_said_last_is_told_back_and_nobody_else_has_it(books: Books) -> None:
    assert kept(books) == SubscriptionTold()
    first = said(books, "first", secret=SECRET, wishes="{}")
    assert books.done(first).is_on
    assert kept(books) == SubscriptionTold(
        address=ADDRESS,
        secret=SECRET,
        wishes="{}",
        changed_at=books.clock(None),  # type: ignore[misc,arg-type]
    )
    assert kept(books, URAL) == kept(books, subscriber="other") == kept(books, subscriber="\0") == SubscriptionTold()
    books.core.execute(
        [said(books, address="https://one"), said(books, address="https://two"), said(books, store=URAL)]
    )
    assert (kept(books).address, kept(books).secret, kept(books, URAL).address) == ("https://two", "", ADDRESS)
    assert books.done(first).replayed and kept(books).address == "https://two"
    assert isinstance(books.one(said(books, "first", address="https://else")), KeyReused)
    assert not books.done(said(books, address="")).is_on and not kept(books).address


def test_it_lies_sealed(books: Books) -> None:
    books.done(said(books, secret=SECRET))
    (row,) = books.rows("SELECT settings FROM subscriber")
    assert SECRET.encode() not in bytes(row[0]) and b"shop.example" not in bytes(row[0])


@pytest.mark.parametrize(
    "told",
    [
        {"subscriber": ""},
        {"subscriber": "x" * (MAX_SUBSCRIBER + 1)},
        {"address": "x" * (MAX_ADDRESS + 1)},
        {"secret": "x" * 1_001},
        {"wishes": "x" * 16_001},
    ],
)
def test_what_is_unfit_is_refused(books: Books, told: dict[str, Any]) -> None:
    assert isinstance(books.one(said(books, **told)), BadMessage)
    assert not books.rows("SELECT name FROM subscriber")


def test_a_foreign_store_is_refused(books: Books) -> None:
    (told,) = books.core.answer([ReadSubscription(store="nowhere", subscriber="site")])
    assert isinstance(told, ForeignStore)
