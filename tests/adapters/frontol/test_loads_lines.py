"""Lines of load files: byte for byte as they are kept beside, read back by a reader that knows the page alone.

``loads/NAME.json`` is what is said, ``loads/NAME.txt`` the whole file; its samples that begin with ``page_`` are the
protocol page's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.frontol.loads.goods import ADD, TILLS
from adapters.frontol.loads.layouts import ADDITIVE, CARDS, PLAIN, Kind, Layout
from adapters.frontol.loads.lines import LAYOUTS, Writing, line, page
from processing.errors import LinkRefused
from tests.adapters.frontol.till import WIDTHS, read

LOADS = Path(__file__).with_name("loads")
SAMPLES = sorted(LOADS.glob("*.json"))
SIX, DOT = Writing(), Writing(comma=False)
ALL: dict[str, Layout] = {**LAYOUTS, **TILLS["frontol6"].layouts}


def written(told: dict[str, Any]) -> bytes:
    how = Writing(**told.get("writing", {}))
    return page(
        [(step["command"], line(step["command"], record, how)) for step in told["loads"] for record in step["records"]]
    )


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_what_is_written_is_what_is_kept(path: Path) -> None:
    assert written(json.loads(path.read_text("utf-8"))) == path.with_suffix(".txt").read_bytes()


def test_every_command_has_a_sample() -> None:
    told = [step["command"] for path in SAMPLES for step in json.loads(path.read_text("utf-8"))["loads"]]
    assert set(told) == set(ALL)


def test_the_reader_of_the_tests_knows_the_same_commands() -> None:
    assert {command: layout.length for command, layout in ALL.items()} == WIDTHS


@pytest.mark.parametrize(
    "layout", [*PLAIN, *(till.layouts[ADD] for till in TILLS.values())], ids=lambda each: each.command
)
def test_a_table_is_in_order_and_names_each_field_once(layout: Layout) -> None:
    positions = [field.position for field in layout.fields]
    assert positions == sorted(set(positions)) and positions[-1] <= layout.length
    assert len({field.name for field in layout.fields}) == len(positions)


def test_nothing_that_empties_a_till_can_be_said() -> None:
    for command in ("DELETEALLCCARDTYPES", "DELETEALLWARES", "REPLACEQUANTITY", "ADDUSERS", "addccarddiscs"):
        with pytest.raises(LinkRefused, match="not a command that is written here"):
            line(command, {}, SIX)
    assert set(ALL) > ADDITIVE


# What is said comes back -------------------------------------------------------------------------------------------

# What a till's encoding has, and what stands for it; more than enough of the characters that matter.
CYRILLIC = st.text(
    st.sampled_from([*map(chr, range(32, 127)), *"АБВГДЕЁЖЗИЙЪЫЬЭЮЯабвёъыьэюя№«»€—…\u00a0", ";", "\n"]),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60)
@given(name=CYRILLIC, text=CYRILLIC, decimal=st.booleans())
def test_names_come_back_as_they_were(name: str, text: str, decimal: bool) -> None:
    told = line("ADDCCARDTYPES", {"code": 7, "name": name, "text": text}, Writing(comma=decimal))
    mark, (found,) = read(page([("ADDCCARDTYPES", told)]))
    assert mark == "#" and found[1][:3] == ["7", name, text]


@settings(max_examples=40)
@given(minor=st.integers(-(10**9), 10**9), decimal=st.booleans())
def test_amounts_come_back_to_the_last_digit(minor: int, decimal: bool) -> None:
    sign = "-" if minor < 0 else ""
    amount = f"{sign}{abs(minor) // 10_000}.{abs(minor) % 10_000:04}"
    record = {"code": 1, "kind": 2, "number": "3", "active": True, "counter1": 4, "counter1_value": amount}
    cell = line("ADDCCARDDISCS", record, Writing(comma=decimal)).split(";")[10]
    assert cell == (amount.replace(".", ",") if decimal else amount)


ANY_TEXT = st.text(max_size=50)


@settings(max_examples=60)
@given(name=ANY_TEXT)
@example("Әлия 😀")
@example("a\u00a4b\u00a6c")
@example("\r\n\r")
@example("\x00\x98\t")
def test_a_name_is_said_whole_or_refused_or_marked(name: str) -> None:
    """Whatever is told, the line has its fields and its end, and says nothing that was not told."""
    record = {"code": 1, "name": name}
    lenient = page([("ADDCCARDTYPES", line("ADDCCARDTYPES", record, Writing(replaces=True)))])
    _, (found,) = read(lenient)
    try:
        strict = page([("ADDCCARDTYPES", line("ADDCCARDTYPES", record, SIX))])
    except LinkRefused as error:
        assert error.message.startswith("ADDCCARDTYPES, field name: ") and "?" in found[1][1]
    else:
        assert strict == lenient and found[1][1] == name.replace("\r\n", "\n").replace("\r", "\n")


def refused(command: str, record: dict[str, Any], words: str, how: Writing = SIX) -> None:
    with pytest.raises(LinkRefused) as found:
        line(command, record, how)
    assert found.value.message.startswith(f"{command}, field ") and words in found.value.message


CARD: dict[str, Any] = {"code": 1, "kind": 7, "number": "7700", "active": True}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"number": None}, "field number: missing"),
        ({"active": None}, "field active: missing"),
        ({"active": 1}, "field active: expected true or false"),
        ({"number": "7" * 41}, "field number: longer than 40"),
        ({"number": "77;00\u00a4"}, "field number: has '¤'"),
        ({"code": -1}, "field code: expected a whole number"),
        ({"code": 2**31}, "field code: expected a whole number"),
        ({"code": True}, "field code: expected a whole number"),
        ({"kind": "seven"}, "field kind: expected a whole number"),
        ({"counter1": 3, "counter1_value": "1.23456"}, "field counter1_value: more than 4 digits"),
        ({"counter1": 3, "counter1_value": "1000000"}, "field counter1_value: more than 10 digits"),
        ({"counter1": 3, "counter1_value": "1,5"}, "field counter1_value: not a decimal number"),
        ({"valid_to": "31.12.2030"}, "field valid_to: Invalid isoformat"),
        ({"balance": "5"}, "field balance: no such field"),
    ],
)
def test_what_would_change_its_meaning_is_refused_by_its_field(change: dict[str, Any], words: str) -> None:
    refused("ADDCCARDDISCS", CARD | change, words)


def test_only_what_people_read_is_cut() -> None:
    told = line("ADDCLIENTDISCS", {"code": 1, "name": "я" * 300, "address": "у" * 300}, SIX).split(";")
    assert (len(told[2]), len(told[12])) == (100, 255)
    refused("ADDCLIENTDISCS", {"code": 1, "phone": "7" * 31}, "field phone: longer than 30")


@pytest.mark.parametrize("number", ["$$$ADDCCARDDISCS", "//7700", "##@@&&"])
def test_a_line_is_never_taken_for_a_command_or_a_comment(number: str) -> None:
    refused("DELETECCARDDISCSBYVALUE", {"number": number}, "begins like a command or a comment")


def test_a_refusal_tells_nobodys_name() -> None:
    with pytest.raises(LinkRefused) as found:
        line("ADDCLIENTDISCS", {"code": 1, "name": "Әлия Сейткали"}, SIX)
    assert "лия" not in found.value.message and "U+04D8" in found.value.message


# Goods ------------------------------------------------------------------------------------------------------------

TEA: dict[str, Any] = {
    "id": "10021",
    "name": "Т" * 200,
    "price": "250",
    "stock": "-1.5",
    "parent": "5",
    "is_ware": 1,
    "tax_group": 3,
    "plu": 9,
    "flags": {"ask_price": True},
}


@pytest.mark.parametrize("till", TILLS)
def test_each_till_gets_what_it_takes_of_goods(till: str) -> None:
    length, flags, empty = {
        "frontol6": (68, 15, ()),
        "frontol5": (59, 11, ()),
        "frontol4": (59, 11, ()),
        "wince2": (33, 10, (25,)),
        "xpos15": (33, 11, (6, 23, 25)),
        "xpos16": (33, 11, (23, 25)),
        "xpos17": (59, 11, (23, 25)),
        "rmk": (33, 11, (16,)),
    }[till]
    record = TEA | {"flags": {"sale": True}}
    cells = line(ADD, record, Writing(till)).split(";")
    assert (len(cells), len(cells[7].split(",")), len(cells[2])) == (length, flags, 128 if length == 68 else 100)
    told = {6: "-1,500", 16: "5", 23: "3", 25: "9"}
    assert {n: cells[n - 1] for n in told} == told | dict.fromkeys(empty, "")


def test_the_flags_of_windows_ce_have_an_order_of_their_own() -> None:
    record = TEA | {"flags": {"fractional": True, "negative_stock": False, "print": True, "discounts": False}}
    assert line(ADD, record, Writing("wince2")).split(";")[7] == "1,1,1,0,0,1,1,0,1,0"
    assert line(ADD, record, Writing("frontol5")).split(";")[7] == "1,1,1,0,0,1,0,1,1,0,0"


def test_a_field_that_means_something_else_in_an_older_till_has_another_name() -> None:
    old = TEA | {"flags": None, "unmarked": False, "maker_inn": "7700000000"}
    assert line(ADD, old, Writing("frontol5")).split(";")[55:58] == ["0", "", "7700000000"]
    refused(ADD, old, "no such field of this command for frontol6")
    refused(ADD, TEA | {"flags": None, "item_type": 5}, "no such field of this command for rmk", Writing("rmk"))
    refused(ADD, TEA | {"flags": None, "is_ware": 0}, "rmk takes no groups", Writing("rmk"))
    refused(ADD, TEA | {"flags": {"tasty": True}}, "no such flag: tasty")


def test_what_a_till_takes_for_inactive_is_always_said() -> None:
    state = CARDS.field("active")
    assert state is not None and state.required and state.kind is Kind.FLAG
