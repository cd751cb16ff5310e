"""ReadWallets: what a far side that keeps copies is told, of many wallets at once."""

from __future__ import annotations

import pytest

from processing.commands import MAX_WALLETS, BlockCard, EraseHolder, MergeHolders, ReadBalances, ReadWallets, Ref
from processing.errors import BadMessage
from processing.results import WalletsTold
from processing.wallets import page
from tests.processing.books import MOSCOW, POINTS, Books
from tests.processing.reads import counted, hold, outcome, told, wallet_of
from tests.processing.test_queries import register


def read(books: Books, *accounts: int) -> WalletsTold:
    return told(books, ReadWallets(accounts=accounts))


def test_wallets_are_told_with_cards_person_and_balances(books: Books) -> None:
    card, other = books.card(points=100_00), books.card(active=False)
    holder = register(books, card, "Анна Ким", phone="+79990000001", email="anna@example.org")
    hold(books, card, 30_00)
    own, bearer = wallet_of(books, card), wallet_of(books, other)
    mine, theirs = read(books, bearer, own, own).wallets
    assert (mine.account, mine.holder_id, mine.name, mine.phone) == (own, holder, "Анна Ким", "+79990000001")
    assert [(each.number, each.status) for each in mine.cards] == [(card, "active")]
    balances = told(books, ReadBalances(refs=(Ref("card", card),))).balances
    assert set(mine.balances) == set(balances) and books.balances(card)[POINTS].available == 70_00
    assert (theirs.account, theirs.holder_id, theirs.name, theirs.birthday) == (bearer, 0, "", None)
    assert [(each.number, each.status) for each in theirs.cards] == [(other, "issued")]


def test_a_merged_wallet_leads_to_what_it_has_become_and_an_erased_holder_is_nobody(books: Books) -> None:
    card, other = books.card(), books.card()
    register(books, card)
    source, target = wallet_of(books, other), wallet_of(books, card)
    merged = MergeHolders(
        store=MOSCOW, keys=("m",), source=Ref("card", other), target=Ref("card", card), actor="me", reason="same"
    )
    books.done(merged)
    (wallet,) = read(books, source).wallets
    assert (wallet.account, wallet.accounts) == (target, (source,)) and len(wallet.cards) == 2
    (wallet,) = read(books, source, target).wallets
    assert wallet.accounts == tuple(sorted((source, target))) and wallet.holder_id
    books.done(EraseHolder(store=MOSCOW, keys=("e",), card=Ref("card", card), actor="me", reason="asked"))
    (wallet,) = read(books, target).wallets
    assert (wallet.holder_id, wallet.name) == (0, "") and len(wallet.cards) == 2


def test_who_is_not_there_is_left_out_and_too_many_are_refused(books: Books) -> None:
    assert read(books, 5_000_000).wallets == () and read(books).wallets == ()
    for accounts in (tuple(range(1, MAX_WALLETS + 2)), (0,), (2**63,)):
        assert isinstance(outcome(books, ReadWallets(accounts=accounts)), BadMessage)


def test_many_wallets_cost_as_many_statements_as_one(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    wallets = [wallet_of(books, books.card(points=1)) for _ in range(5)]
    with counted(books, monkeypatch) as one:
        read(books, wallets[0])
    with counted(books, monkeypatch) as many:
        read(books, *wallets)
    assert len(one) == len(many) <= 6


def test_pages_have_every_wallet_with_cards_once(books: Books) -> None:
    cards = [books.card() for _ in range(5)]
    books.done(BlockCard(store=MOSCOW, keys=("b",), card=Ref("card", cards[0]), reason="lost", actor="me"))
    found: list[int] = []
    with books.database.reading() as connection:
        while some := page(connection, found[-1] if found else 0, 2):
            found += some
    assert found == sorted(wallet_of(books, card) for card in cards)


def test_wallets_are_read_by_page_as_well(books: Books) -> None:
    cards = [books.card(points=1) for _ in range(5)]
    merged = MergeHolders(
        store=MOSCOW, keys=("m",), source=Ref("card", cards[4]), target=Ref("card", cards[0]), actor="me", reason="same"
    )
    books.done(merged)
    found: list[int] = []
    while some := told(books, ReadWallets(after=found[-1] if found else 0, limit=2)).wallets:
        assert len(some) <= 2 and all(each.accounts == (each.account,) and each.balances for each in some)
        found += [each.account for each in some]
    assert found == sorted(wallet_of(books, card) for card in cards[:4])
    for unfit in ({"after": -1}, {"after": 2**63}, {"after": 0, "limit": 0}, {"after": 0, "limit": MAX_WALLETS + 1}):
        assert isinstance(outcome(books, ReadWallets(**unfit)), BadMessage)
    assert isinstance(outcome(books, ReadWallets(accounts=(1,), after=0)), BadMessage)
