"""What a link may set: mistakes stop the start, and what follows from other options is filled in."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import ValidationError

from adapters.rkeeper.options import RkeeperOptions, units_by_number


def load(**options: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = RkeeperOptions().load(options)
    return loaded


BONUS = {"number": 1, "unit": "BONUS"}
GIFT = {"number": 2, "unit": "GIFT"}


def test_everything_has_a_default() -> None:
    options = load()
    assert options["purses"] == {} and options["default_purse"] == ""
    assert options["restaurants"] == [] and options["restaurant_codes"] == []
    assert options["discount_limit_minor"] == 9_000_000_000
    assert (options["out_buf"], options["unknown_card"], options["language"]) == ("sibling", "not_found", "auto")
    assert options["supersede"] is True and options["balance_in_name"] is False
    assert (options["several_found"], options["card_image"], options["slip_lines"]) == ("refuse", "none", "card")
    assert options["top_up_dishes"] == [] and options["top_up_records"] is False and options["top_up_unit"] == ""
    assert (options["script_bonus"], options["script_window_seconds"]) == ("receipt", 600)
    assert options["additional_transactions"] is False


def test_restaurants_are_the_last_four_digits_of_the_codes_unless_they_are_given() -> None:
    assert load(restaurant_codes=["310070003", "199999999"])["restaurants"] == [3, 9999]
    assert load(restaurant_codes=["310070003"], restaurants=[17])["restaurants"] == [17]
    assert load(restaurant_codes=["310070003"], restaurants=[])["restaurants"] == []


def test_codes_may_be_numbers_as_yaml_reads_them() -> None:
    assert load(restaurant_codes=[310070003])["restaurant_codes"] == ["310070003"]
    assert load(purses={10: BONUS})["purses"] == {"10": BONUS | {"name": ""}}


def test_the_default_purse_is_the_lowest_numbered_one() -> None:
    assert load(purses={"20": GIFT, "10": BONUS})["default_purse"] == "BONUS"
    assert load(purses={"20": GIFT, "10": BONUS}, default_purse="GIFT")["default_purse"] == "GIFT"


def test_top_ups_go_to_the_default_purse_unless_they_have_one_of_their_own() -> None:
    purses = {"10": BONUS, "20": GIFT}
    assert load(purses=purses)["top_up_unit"] == "BONUS"
    assert load(purses=purses, top_up_unit="GIFT", top_up_dishes=[990])["top_up_unit"] == "GIFT"
    assert load(purses=purses, top_up_dishes=[990])["top_up_dishes"] == ["990"]


def test_several_currencies_may_pay_from_one_purse() -> None:
    assert units_by_number(load(purses={"10": BONUS, "11": BONUS, "20": GIFT})) == {1: "BONUS", 2: "GIFT"}


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"purse": {}}, "purse"),
        ({"purses": {"10": {"number": 9, "unit": "X"}}}, "purses"),
        ({"purses": {"10": {"number": 1}}}, "purses"),
        ({"purses": {"10": {"number": 1, "unit": "X", "scale": 0}}}, "purses"),
        ({"purses": {"10": BONUS, "20": {"number": 1, "unit": "GIFT"}}}, "purses"),
        ({"purses": {"10": BONUS, "20": {"number": 2, "unit": "BONUS"}}}, "purses"),
        ({"purses": {"10": BONUS}, "default_purse": "GIFT"}, "default_purse"),
        ({"default_purse": "GIFT"}, "default_purse"),
        ({"discounts": {"Silver": 0}}, "discounts"),
        ({"discounts": {"Silver": 100}}, "discounts"),
        ({"discounts": {"Silver": "7"}}, "discounts"),
        ({"bonuses": {"Base": 0}}, "bonuses"),
        ({"discount_limit_minor": 0}, "discount_limit_minor"),
        ({"restaurant_codes": ["R3"]}, "restaurant_codes"),
        ({"restaurants": ["x"]}, "restaurants"),
        ({"out_buf": "outside"}, "out_buf"),
        ({"unknown_card": "maybe"}, "unknown_card"),
        ({"language": "kk"}, "language"),
        ({"several_found": "ask"}, "several_found"),
        ({"card_image": "photo"}, "card_image"),
        ({"purses": {"10": BONUS}, "top_up_unit": "GIFT"}, "top_up_unit"),
        ({"top_up_dishes": ["990"]}, "top_up_dishes"),
        ({"top_up_records": True}, "top_up_records"),
        ({"script_bonus": "top_up"}, "script_bonus"),
        ({"script_bonus": "gift"}, "script_bonus"),
        ({"purses": {"10": BONUS}, "top_up_restaurants": [9999]}, "top_up_restaurants"),
        ({"script_window_seconds": 0}, "script_window_seconds"),
        ({"script_window_seconds": 86_401}, "script_window_seconds"),
        ({"slip_lines": "all"}, "slip_lines"),
    ],
    ids=str,
)
def test_a_mistake_is_named(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load(**wrong)
    assert where in caught.value.messages_dict
