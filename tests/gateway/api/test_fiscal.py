"""A fiscal receipt tells what cards pay as the chain says: off the prices of the lines, or as a form of payment."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import Fiscal
from processing.allocation import weights
from processing.commands import Line
from processing.paid_lines import paid_lines
from processing.units import Unit
from tests.gateway.api.client import Client
from tests.gateway.api.test_writes import receipt, use
from tests.processing.books import CHAIN, GIFT, MONEY, MOSCOW, POINTS, Books


class Units:
    """A chain's units, of which only the kind is asked."""

    def unit(self, code: str) -> Unit:
        return next(unit for unit in CHAIN.units if unit.code == code)


UNITS: Any = Units()
WHOLE = {"number": "17", "till": "5", "business_date": "2026-05-04"}
LINES = [
    {"number": 1, "goods": "tea", "price": "333.33", "sum": "333.33"},
    {"number": 2, "goods": "cake", "price": "333.33", "sum": "333.33"},
    {"number": 3, "goods": "jam", "price": "333.34", "sum": "333.34"},
]


def say(made: Flask, points: str, gift_cards: str = "advance") -> None:
    own = made.extensions["tillgate-rest"]
    own.settings = dataclasses.replace(own.settings, fiscal=Fiscal(points, gift_cards))


def asked(books: Books) -> dict[str, Any]:
    """A receipt of 1,000.00 that a card pays with 100.00 points and a gift card with 200.00."""
    card, gift = books.card(20_000), books.card(50_000, MONEY, GIFT)
    money = {"refs": [{"scheme": "card", "value": gift}], "redeem": [{"unit": MONEY, "amount": "200.00"}]}
    return {"receipt": receipt(lines=LINES), "cards": [use(card, "100.00"), money]}


def test_points_are_a_discount_of_each_line(rest: Client, made: Flask, books: Books) -> None:
    body = asked(books)
    say(made, "line_discount")
    told = rest.write("/receipts", "sale", **body).ok()["fiscal"]
    assert told == {
        "points": "line_discount",
        "gift_cards": "advance",
        "lines": [
            {"number": 1, "points": "33.33"},
            {"number": 2, "points": "33.33"},
            {"number": 3, "points": "33.34"},
        ],
        "tenders": [{"of": "gift_cards", "way": "advance", "amount": "200.00"}],
    }


def test_points_are_one_tender(rest: Client, made: Flask, books: Books) -> None:
    body = asked(books)
    say(made, "tender", "tender")
    told = rest.write("/receipts", "sale", **body).ok()["fiscal"]
    assert (told["lines"], told["tenders"]) == (
        [],
        [
            {"of": "points", "way": "tender", "amount": "100.00"},
            {"of": "gift_cards", "way": "tender", "amount": "200.00"},
        ],
    )


@pytest.mark.parametrize("points", ["line_discount", "tender"])
def test_a_quote_says_it_beforehand_and_a_repeat_again(rest: Client, made: Flask, books: Books, points: str) -> None:
    body = asked(books)
    say(made, points)
    quoted = rest.query("/quotes", store=MOSCOW, **body).ok()["fiscal"]
    posted = rest.write("/receipts", "sale", **body)
    again = rest.write("/receipts", "sale", **body)
    assert quoted == posted.ok()["fiscal"] == again.ok()["fiscal"]
    assert again.raw == posted.raw


def test_a_returned_line_gives_back_what_its_receipt_told(rest: Client, books: Books) -> None:
    body = asked(books)
    lines = rest.write("/receipts", "sale", **body).ok()["fiscal"]["lines"]
    for number, line in enumerate(lines, 1):
        back = rest.write(
            "/receipts/return",
            receipt={**WHOLE, "number": f"r{number}", "total": "333.33"},
            sale="rest:sale",
            lines=[{"number": line["number"], "quantity": "1"}],
        ).ok()
        given_back = {card["unit"]: card["redeemed"] for card in back["cards"]}
        assert given_back[POINTS] == line["points"]


def test_without_lines_the_receipt_is_one_and_without_points_nothing_is_told(rest: Client, books: Books) -> None:
    card = books.card(20_000)
    whole = rest.write("/receipts", receipt=receipt(), cards=[use(card, "100.00")]).ok()["fiscal"]
    assert (whole["lines"], whole["tenders"]) == ([{"number": 0, "points": "100.00"}], [])
    nothing = rest.write("/receipts", receipt=receipt(number="18"), cards=[use(card)]).ok()["fiscal"]
    assert (nothing["lines"], nothing["tenders"]) == ([], [])


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from([POINTS, MONEY]), st.integers(0, 100)), max_size=4),
)
def test_the_parts_sum_to_what_is_paid_and_no_line_costs_less_than_nothing(
    sums: list[int], shares: list[tuple[int, str, int]]
) -> None:
    lines = [Line(number=n, goods="tea", sum_minor=each) for n, each in enumerate(sums, 1)]
    uses = [(wallet, None, {unit: sum(sums) * percent // 400}) for wallet, unit, percent in shares]
    paid = paid_lines(UNITS, lines, uses)
    for unit, told in ((POINTS, "points_minor"), (MONEY, "card_money_minor")):
        assert sum(getattr(line, told) for line in paid) == sum(redeemed.get(unit, 0) for _, _, redeemed in uses)
    prices = dict(zip((line.number for line in lines), weights(lines), strict=True))
    assert all(line.points_minor + line.card_money_minor <= prices[line.number] for line in paid)
