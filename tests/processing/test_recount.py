"""What wallets did on each day, worked out anew where something else has undone receipts."""

from __future__ import annotations

from sqlalchemy import text

from processing.recount import recount
from processing.verify import verify
from tests.processing.books import Books, post, use, void


def broken(books: Books) -> list[str]:
    return [check.name for check in verify(books.database) if check.rows]


def activity(books: Books) -> list[tuple[object, ...]]:
    return sorted(row for row in books.rows("SELECT * FROM activity") if any(row[3:]))


def test_days_are_what_the_receipts_that_stand_say(books: Books) -> None:
    card, other = books.card(1_000), books.card()
    books.done(post("sale", use(card, redeem=500)))
    books.done(post("both", use(card, spend_minor=3), use(other, spend_minor=1)))
    books.done(post("gone", use(other)))
    books.done(void("gone"))
    before = activity(books)
    assert recount(books.database) == 0
    with books.database.transaction() as connection:
        connection.execute(text("UPDATE activity SET visits = visits + 7, turnover_minor = 1"))
        connection.execute(text(f"DELETE FROM activity WHERE wallet_id = {before[-1][0]}"))
    assert broken(books) == ["activity_is_receipts"]
    assert recount(books.database) == 2
    assert (activity(books), broken(books)) == (before, [])
