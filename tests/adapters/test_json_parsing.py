"""JSON of tills: read exactly, or refused with the place where it went wrong."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.json_parsing import MAX_DEPTH, Node, parse_json
from adapters.parsing import MAX_BYTES
from processing.errors import BadMessage, TooLarge
from processing.units import major

AMOUNTS = st.integers(-(10**15), 10**15)
PLAIN = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=8,
)


def plain(value: Any) -> Any:
    """The document with its numbers as json reads them."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return int(value) if type(value).__name__ == "Number" else value


@settings(max_examples=60)
@given(VALUES)
def test_what_is_written_is_read(value: Any) -> None:
    for body in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        assert plain(parse_json(b"\xef\xbb\xbf" + body.encode()).value) == value


@settings(max_examples=60)
@given(AMOUNTS)
def test_an_amount_is_exact_however_it_is_written(amount: int) -> None:
    text = major(amount, 2)
    for written in (text, f'"{text}"', f"{Decimal(text):E}", f'" {text} "'):
        assert parse_json(f'{{"a": {written}}}'.encode()).get("a").minor() == amount


@settings(max_examples=60)
@given(st.binary(max_size=60) | st.text('[]{}",:\\ue1-.NaInfity0', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        node = parse_json(body)
        for read in (Node.text, Node.minor, Node.thousandths, Node.integer):
            read(node.get("a"))
        node.rows(5)
    except BadMessage:
        pass


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{} {}",
        b'{"a": 1} tail',
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": \xff}',
        b"\xff\xfe{\x00}\x00",
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" * 500_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_what_is_no_one_document_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_json(body)


def test_a_document_that_is_too_long_is_refused() -> None:
    with pytest.raises(TooLarge):
        parse_json(b" " * (MAX_BYTES + 1))


@pytest.mark.parametrize(
    "number", ["1.005", "9" * 30, "1e400", "1e-400", "1e999999999", "--1", "0x10", "٣", "true", "[]"]
)
def test_what_is_no_amount_is_refused_with_its_place(number: str) -> None:
    for written in {number, f'"{number}"'} - {'"true"', "--1", "0x10", "٣"}:
        with pytest.raises(BadMessage) as refused:
            parse_json(f'{{"lines": [{{"sum": {written}}}]}}'.encode()).get("lines").rows(1)[0].get("sum").minor()
        assert refused.value.details["where"] == "lines[0].sum"


def test_brackets_in_texts_are_no_nesting() -> None:
    text = "[{" * 1_000
    assert parse_json(json.dumps({"a": f'\\"{text}'}).encode()).get("a").text(3_000) == f'\\"{text}'


def test_what_is_missing_is_empty_and_what_is_of_another_kind_is_refused() -> None:
    node = parse_json(b'{"a": [1, 2], "b": "text\\u0000\\ud800", "c": null}')
    assert (bool(node.get("z").get("y")), node.get("z").text(), node.get("c").rows(1)) == (False, "", [])
    assert node.get("b").text() == "text"
    for read in (lambda: node.get("a").rows(1), lambda: node.get("b").rows(1), lambda: node.get("b").get("x")):
        with pytest.raises(BadMessage):
            read()
