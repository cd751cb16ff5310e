"""Parts of sold lines that come back, in any order and any of them undone again (design law 4).

First on the pure functions alone, with lines and shares of any size; then on the books.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.allocation import Back, Counted, Share, came_back, count, is_all, size, undone
from processing.commands import Line, RestoreReceipt, ReturnLine, ReturnReceipt
from processing.documents import decode_document
from processing.errors import BadAmount, ReturnExceeds
from processing.results import ReceiptReturned
from processing.spans import gaps, joined, length_of, lowest, portion
from processing.verify import verify
from tests.processing.books import MOSCOW, Books, adjust, post, receipt, use, void

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6)


@given(spans=SPANS, whole=st.integers(0, 60), amount=st.integers(0, 10**6))
def test_what_is_taken_and_what_is_free_are_the_whole_and_come_to_the_amount(
    spans: list[tuple[int, int]], whole: int, amount: int
) -> None:
    taken = joined((min(start, whole), min(end, whole)) for start, end in spans)
    free = gaps(taken, whole)
    assert joined([*taken, *free]) == joined([(0, whole)])
    assert length_of(taken) + length_of(free) == whole
    if whole:
        assert portion(taken, whole, amount) + portion(free, whole, amount) == amount


@given(spans=SPANS, length=st.integers(-5, 90))
def test_lowest_is_so_much_from_the_start(spans: list[tuple[int, int]], length: int) -> None:
    found = lowest(joined(spans), length)
    assert length_of(found) == min(max(length, 0), length_of(joined(spans)))
    assert joined([*spans, *found]) == joined(spans)
    assert all(end <= found[-1][1] for _, end in found)


# Lines and shares in memory -------------------------------------------------------------------------------------


@st.composite
def sales(draw: st.DrawFn) -> tuple[list[Line], list[Share]]:
    """Sold lines, by the piece or by their sum; shares of two accounts in three lots, of any lines."""
    amounts = st.integers(0, 3_000)
    lines = [
        Line(number=n + 1, goods="g", quantity_thousandths=draw(amounts), sum_minor=draw(st.integers(0, 50_000)))
        for n in range(draw(st.integers(1, 3)))
    ]
    some = st.lists(st.tuples(st.integers(1, len(lines)), st.integers(1, 100)), max_size=4).map(tuple)
    return lines, [Share(account, lot, draw(some)) for account, lot in ((1, 1), (1, 2), (2, 3))]


@dataclass
class Steps:
    """A sale in memory, with the returns of it that stand."""

    lines: Sequence[Line]
    shares: Sequence[Share]
    standing: list[tuple[tuple[Back, ...], list[int]]] = field(default_factory=list)

    def before(self) -> dict[int, Back]:
        return came_back(self.lines, [back for backs, _ in self.standing for back in backs])

    def take(self, asked: Sequence[ReturnLine]) -> list[Counted]:
        try:
            counted, _ = count(self.lines, self.before(), asked, is_fact=True)
        except BadAmount:
            return []
        backs = tuple(Back(each.number, each.now, each.sum_minor, each.spans) for each in counted)
        by_number = {each.number: each for each in counted}
        self.standing.append((backs, [amount for _, amount in undone(self.shares, by_number)]))
        return counted

    def step(self, step: tuple[str, int, int]) -> None:
        kind, which, amount = step
        if kind == "void":
            if self.standing:
                self.standing.pop(which % len(self.standing))
            return
        told: dict[str, Any] = {kind: amount}
        self.take([ReturnLine(number=which % len(self.lines) + 1, **told)])

    def given_back(self) -> list[int]:
        """By share, what all returns that stand have undone of it."""
        return [sum(amounts) for amounts in zip(*(amounts for _, amounts in self.standing), strict=True)]

    def check(self) -> None:
        whole = [sum(amount for _, amount in share.lines) for share in self.shares]
        assert all(back <= all_of for back, all_of in zip(self.given_back(), whole, strict=False))
        for line in self.lines:
            backs = [back for backs, _ in self.standing for back in backs if back.number == line.number]
            spans = [span for back in backs for span in back.spans]
            assert length_of(joined(spans)) == length_of(spans), "a part came back twice"
            assert sum(back.amount for back in backs) <= size(line)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("quantity_thousandths", "quantity_thousandths", "sum_minor", "void")),
        st.integers(0, 9),
        st.integers(1, 3_500),
    ),
    max_size=12,
)


@given(sold=sales(), steps=STEPS, last=st.booleans())
def test_any_returns_and_voids_of_them_give_back_exactly_the_shares(
    sold: tuple[list[Line], list[Share]], steps: list[tuple[str, int, int]], last: bool
) -> None:
    sale = Steps(*sold)
    for step in steps:
        sale.step(step)
        sale.check()
    before = sale.before()
    rest = sale.take(())
    assert is_all(sale.lines, before, {each.number: each for each in rest})
    sale.check()
    # A line that has nothing to come back keeps its shares.
    sizes = {line.number: size(line) for line in sale.lines}
    assert sale.given_back() == [sum(a for n, a in share.lines if sizes[n]) for share in sale.shares]
    back = Counter[int]()
    for backs, _ in sale.standing:
        back.update({each.number: each.amount for each in backs})
    assert all(back[number] == whole for number, whole in sizes.items())


# Returns of before ----------------------------------------------------------------------------------------------


def former(backs: tuple[Back, ...]) -> tuple[Back, ...]:
    """The same as returns kept it that did not tell which parts they took."""
    return tuple(Back(back.number, back.amount, back.sum_minor) for back in backs)


@given(sold=sales(), steps=STEPS, some=st.integers(0, 12))
def test_returns_of_before_filled_their_lines_from_the_start(
    sold: tuple[list[Line], list[Share]], steps: list[tuple[str, int, int]], some: int
) -> None:
    sale = Steps(*sold)
    for step in steps:
        if step[0] != "void":
            sale.step(step)
    exact = sale.before()
    sale.standing[:some] = [(former(backs), amounts) for backs, amounts in sale.standing[:some]]
    assert sale.before() == exact


@given(sold=sales(), steps=STEPS, some=st.integers(0, 12))
def test_returns_of_before_and_new_ones_never_take_more_than_there_was(
    sold: tuple[list[Line], list[Share]], steps: list[tuple[str, int, int]], some: int
) -> None:
    sale = Steps(*sold)
    for n, step in enumerate(steps):
        if n == some:
            sale.standing = [(former(backs), amounts) for backs, amounts in sale.standing]
        sale.step(step)
    sale.take(())
    for line in sale.lines:
        backs = [back for backs, _ in sale.standing for back in backs if back.number == line.number]
        assert sum(back.amount for back in backs) <= size(line)
        told = [span for back in backs for span in back.spans]
        assert length_of(joined(told)) == length_of(told), "a part came back twice"
    assert is_all(sale.lines, sale.before(), {})


def test_parts_are_kept_beside_what_returns_of_before_kept() -> None:
    told = decode_document(
        b'{"receipt":{"number":"1","till":"1","business_date":"2026-05-04"},'
        b'"returned":[[1,500],[2,0,33],[3,1000,0,[[0,1000],[2000,3000]]]]}'
    )
    assert told.returned == (Back(1, 500), Back(2, 0, 33), Back(3, 1_000, 0, ((0, 1_000), (2_000, 3_000))))
    largest = Back(1, 10**15, 10**15, ((0, 10**30),))
    assert msgspec.json.decode(msgspec.json.encode(largest), type=Back) == largest


# On the books ---------------------------------------------------------------------------------------------------

LINES = (
    Line(number=1, goods="coat", sum_minor=60_000, quantity_thousandths=2_000),
    Line(number=2, goods="scarf", sum_minor=30_001, quantity_thousandths=3_000),
    Line(number=3, goods="bag", sum_minor=9_999),
)


def back(key: str, sale: str, *lines: ReturnLine) -> ReturnReceipt:
    return ReturnReceipt(store=MOSCOW, keys=(key,), sale=sale, lines=lines, receipt=receipt(0, number=key))


@settings(max_examples=15)
@given(
    steps=STEPS.filter(lambda steps: any(kind == "void" for kind, *_ in steps)),
    redeem=st.integers(1, 5_000),
    earn=st.integers(0, 777),
    dice=st.randoms(use_true_random=False),
)
def test_any_returns_and_voids_of_them_leave_the_books_as_they_were(
    books: Books, steps: list[tuple[str, int, int]], redeem: int, earn: int, dice: Any
) -> None:
    card = books.card(3_000)
    books.done(adjust(books.key("more"), card, 2_000, expires_days=40))
    before, key = books.lots(card), books.key("sale")
    books.done(post(key, use(card, redeem, earn), receipt=receipt(100_000, LINES)))
    sold = books.lots(card)
    standing: dict[str, tuple[int, int]] = {}

    def give_back(*lines: ReturnLine) -> None:
        name = books.key("back")
        done = books.one(back(name, key, *lines))
        if isinstance(done, ReceiptReturned):
            standing[name] = sum(m.redeemed for m in done.cards), sum(m.earned for m in done.cards)
        else:
            assert isinstance(done, ReturnExceeds)

    def moved() -> tuple[int, int]:
        given, taken = sum(given for given, _ in standing.values()), sum(taken for _, taken in standing.values())
        assert given <= redeem
        assert taken <= earn
        assert books.balance(card) == 5_000 - redeem + earn + given - taken
        return given, taken

    for kind, which, amount in steps:
        if kind != "void":
            told: dict[str, Any] = {kind: amount}
            give_back(ReturnLine(number=which % len(LINES) + 1, **told))
        elif standing:
            name = sorted(standing)[which % len(standing)]
            books.done(void(name))
            del standing[name]
        moved()
    give_back()
    assert moved() == (redeem, earn)
    assert books.lots(card) == before
    assert [check.name for check in verify(books.database) if check.rows] == []
    names = sorted(standing)
    dice.shuffle(names)
    for name in names:
        books.done(void(name))
    assert books.lots(card) == sold
    books.done(void(key))
    assert books.lots(card) == before


PIECES = (Line(number=1, goods="piece", quantity_thousandths=3_000, price_minor=4, sum_minor=10),)


def pieces_sold(books: Books) -> str:
    """Three pieces paid with 10 points; the card has none left."""
    card = books.card(10)
    books.done(post("sale", use(card, 10, earn=0), receipt=receipt(10, PIECES)))
    return card


def given_for_a_piece(books: Books, key: str) -> int:
    done = books.done(back(key, "sale", ReturnLine(number=1, quantity_thousandths=1_000)))
    return sum(moved.redeemed for moved in done.cards)


def test_pieces_take_the_places_that_undone_returns_left(books: Books) -> None:
    card = pieces_sold(books)
    assert [given_for_a_piece(books, key) for key in "abc"] == [3, 3, 4]
    for key, points in (("b", 3), ("c", 4), ("a", 3)):
        books.done(void(key))
        assert given_for_a_piece(books, key * 2) == points
    assert books.balance(card) == 10


def test_restored_sale_knows_which_places_have_come_back(books: Books) -> None:
    card = pieces_sold(books)
    assert [given_for_a_piece(books, key) for key in "abc"] == [3, 3, 4]
    books.done(void("a"))
    books.done(void("sale", reason="return"))
    books.done(RestoreReceipt(store=MOSCOW, keys=("sale",)))
    assert given_for_a_piece(books, "d") == 3
    assert books.balance(card) == 10
    assert [check.name for check in verify(books.database) if check.rows] == []


def test_newer_version_of_a_return_may_take_what_the_old_one_had(books: Books) -> None:
    card = pieces_sold(books)
    for key in "ab":
        given_for_a_piece(books, key)
    newer = back("a", "sale", ReturnLine(number=1, quantity_thousandths=2_000))
    done = books.done(msgspec.structs.replace(newer, supersede=True))
    assert (done.flags, sum(moved.redeemed for moved in done.cards)) == (("superseded",), 7)
    assert books.balance(card) == 10


def test_sale_with_returns_of_before_comes_back_whole(books: Books) -> None:
    card = pieces_sold(books)
    done = books.done(back("a", "sale", ReturnLine(number=1, quantity_thousandths=1_000)))
    at = f"WHERE operation_id = {done.operation_id}"
    ((kept,),) = books.rows(f"SELECT CAST(document AS TEXT) FROM receipt {at}")
    told = decode_document(kept)
    assert told.returned == (Back(1, 1_000, 0, ((0, 1_000),)),)
    of_before = msgspec.json.encode(msgspec.structs.replace(told, returned=former(told.returned))).decode()
    with books.database.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE receipt SET document = '{of_before}' {at}")
    assert [given_for_a_piece(books, key) for key in "bc"] == [3, 4]
    assert books.balance(card) == 10
    books.done(void("b"))
    books.done(void("sale", reason="return"))
    books.done(RestoreReceipt(store=MOSCOW, keys=("sale",)))
    assert given_for_a_piece(books, "d") == 3
    assert [check.name for check in verify(books.database) if check.rows] == []
