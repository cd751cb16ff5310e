"""The language of YAML adapters: what each form means, and that what cannot work is refused with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from adapters.contract import BROKEN, Link, Source, WireRequest
from adapters.converters import BUILT_IN, Converter, named
from adapters.declarative import BadDocument, build
from adapters.declarative.lines import MAX_LINE, Lines
from adapters.testing.driver import CannedCore, Conversation, converse
from gateway.yaml_files import read_yaml
from processing.commands import MAX_LINES, Identify, PostReceipt, Ref
from processing.errors import BadMessage
from processing.results import ReceiptPosted
from tests.adapters.declarative.documents import changed

ACME = Path(__file__).parents[3] / "configs" / "adapters" / "acme.yaml"
AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
MOSCOW = ZoneInfo("Europe/Moscow")

SMALL = """
adapter: small
title: Small
auth: {scheme: secret_path}
private: [card]
options:
  unit: {default: BONUS}
rules:
  - name: sale
    path: sale/{till}
    ask: PostReceipt
    fields:
      keys: [{join: [small, {at: path.till}, {at: number}], with: "/"}]
      content: {digest: [{at: total}, {at: card}]}
      receipt:
        number: {at: number}
        till: {at: path.till}
        business_date: {received: day}
        total_minor: {at: total, as: roubles}
      cards: [{refs: [{scheme: card, value: {at: card}}]}]
    answer: {id: {of: operation_id}}
refusals:
  body: {code: {error: code}}
"""

PARSED = yaml.safe_load(SMALL)


def small(**changes: Any) -> dict[str, Any]:
    return changed(PARSED, **changes)


def say(document: dict[str, Any], path: str, body: Any = b"", *outcomes: Any, **request: Any) -> Conversation:
    adapter = build(document).adapter
    link = Link("l", "spb-3", MOSCOW, adapter.options().load({}))
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"method": "POST", "query": "", "headers": {}, "id": "1", "at": AT, **request}
    return converse(adapter, WireRequest(path=path, body=sent, **told), link, CannedCore(outcomes))


POSTED = ReceiptPosted(operation_id=7, at=AT)


def asked(document: dict[str, Any], body: dict[str, Any], path: str = "sale/3", **request: Any) -> Any:
    (ask,) = say(document, path, body, POSTED, **request).asks
    return ask


def mistakes(document: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(BadDocument) as caught:
        build(document)
    return {".".join(map(str, path)): text for path, text in caught.value.mistakes}


# Values ---------------------------------------------------------------------------------------------------------


def test_a_message_becomes_the_command_that_the_document_says() -> None:
    ask = asked(small(), {"number": 17, "total": "522,5", "card": "5550001234"})
    assert isinstance(ask, PostReceipt)
    assert (ask.store, ask.keys) == ("spb-3", ("small/3/17",))
    assert (ask.receipt.number, ask.receipt.till, ask.receipt.total_minor) == ("17", "3", 52_250)
    assert ask.receipt.business_date == AT.astimezone(MOSCOW).date()
    assert ask.cards[0].refs == (Ref("card", "5550001234"),)


def test_an_element_with_nothing_in_it_falls_out_and_a_field_that_is_needed_makes_a_bad_message() -> None:
    assert asked(small(), {"number": "17", "total": 1}).cards == ()
    for body in ({"total": 1}, {"number": None, "total": 1}):
        conversation = say(small(), "sale/3", body)
        assert isinstance(conversation.refusal, BadMessage)
        assert conversation.refusal.details["where"] == "number"


@pytest.mark.parametrize("total", ["1.005", "1e3", "NaN", "", "-", "1 2 x", True, [1], {"a": 1}, "9" * 40])
def test_an_amount_that_is_none_is_refused_with_its_place(total: Any) -> None:
    refusal = say(small(), "sale/3", {"number": "17", "total": total}).refusal
    assert isinstance(refusal, BadMessage)
    assert refusal.details["where"] == "total"


def test_numbers_are_never_binary_fractions_and_come_back_as_they_were() -> None:
    document = small(rules__0__answer={"total": {"at": "total"}, "text": {"at": "number"}})
    answer = say(document, "sale/3", b'{"number": "0.1", "total": 70368744177.01}', POSTED).response.body
    assert answer == b'{"total":70368744177.01,"text":"0.1"}'


def test_an_empty_text_in_a_list_is_nothing_and_what_is_needed_alone_may_be_empty() -> None:
    assert asked(small(), {"number": "17", "total": 1, "card": ""}).cards == ()
    document = small(rules__0__fields__keys=["k"], rules__0__fields__content="c")
    assert asked(document, {"number": "", "total": 1}).receipt.number == ""


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"at": "total", "as": "roubles"}, b"522.50"),
        ({"at": "total", "as": ["roubles", "kopecks"]}, b"52250"),
        ({"at": "number", "as": "roubles", "default": 0}, b"0"),
        ({"at": "nothing", "as": "roubles", "default": "none"}, b'"none"'),
        ({"join": [{"at": "number"}, {"of": "operation_id"}], "with": "/"}, b'"N 17/7"'),
        ({"at": "rows"}, b'[{"n":1.0,"of":null}]'),
        ({"each": {"at": "rows"}, "give": {"item": "n", "as": "whole"}}, b"[1]"),
        ({"at": "number.upper", "default": "no object"}, b'"no object"'),
        ({"at": "sold[n=1].name", "default": "no list"}, b'"no list"'),
    ],
)
def test_an_answer_echoes_the_message_and_leaves_out_what_it_cannot_read(tree: Any, told: bytes) -> None:
    """It does not refuse what was booked already."""
    body = b'{"number": "N 17", "total": "522,5", "rows": [{"n": 1.0, "of": null}], "sold": true}'
    answer = say(small(rules__0__answer={"told": tree}), "sale/3", body, POSTED).response.body
    assert answer == b'{"told":' + told + b"}"


@pytest.mark.parametrize(
    ("kind", "tree", "told"),
    [
        ("json", {"at": "nothing"}, b"null"),
        ("text", {"at": "nothing"}, b""),
        ("form", {"id": {"at": "nothing"}}, b""),
        ("xml", {"id": {"at": "nothing"}}, b"<answer/>"),
        ("xml", {"id": {"each": {"at": "nothing"}, "give": {}}}, b"<answer/>"),
        ("xml", {"at": "nothing"}, b"<answer></answer>"),
    ],
)
def test_an_answer_that_leads_to_nothing_is_said_all_the_same(kind: str, tree: Any, told: bytes) -> None:
    document = small(rules__0__answers=kind, rules__0__answer=tree)
    answer = say(document, "sale/3", {"number": "17", "total": 1}, POSTED).response.body
    assert answer.removeprefix(b"<?xml version='1.0' encoding='utf-8'?>\n") == told


ODD = {"a:b": 1, "1 2": 3, "c": 0.5}


@pytest.mark.parametrize(
    ("kind", "tree", "told"),
    [
        ("json", {"each": {"at": "rows"}, "give": {"item": "n"}}, b"[1]"),
        ("json", {"each": {"at": "many"}, "give": {"item": "n"}}, b"[]"),
        ("json", {"q": {"at": "query.x"}}, b"{}"),
        ("xml", {"r": {"at": "odd"}}, b"<r><c>0.5</c></r>"),
        ("xml", {"r": {"@v": {"at": "rows"}}}, b'<r v="[{&quot;n&quot;:1},{}]"/>'),
        ("form", {"v": {"at": "rows"}}, b"v=%5B%7B%22n%22%3A1%7D%2C%7B%7D%5D"),
        ("text", {"join": ["rows", {"at": "rows"}]}, b'rows:[{"n":1},{}]'),
    ],
)
def test_an_answer_has_words_for_whatever_stands_in_the_message(kind: str, tree: Any, told: bytes) -> None:
    """It was booked already: nothing that a till sends beside it may keep the answer back."""
    document = small(rules__0__answers=kind, rules__0__answer=tree)
    body = {"number": "17", "total": 1, "rows": [{"n": 1}, {}], "many": [{}] * (MAX_LINES + 1), "odd": ODD}
    answer = say(document, "sale/3", body, POSTED, query="&".join("abcdefg" * 200)).response.body
    assert answer.removeprefix(b"<?xml version='1.0' encoding='utf-8'?>\n") == told


@pytest.mark.parametrize(
    ("kind", "tree", "path", "text"),
    [
        ("form", [1], "", "expected a mapping: the fields of the form"),
        ("form", {"at": "number"}, "", "expected a mapping: the fields of the form"),
        ("form", {"id": {"a": 1}}, ".id", "expected one value"),
        ("form", {"plain": {"at": [1]}}, ".plain.at", "expected one value"),
        ("text", {"id": 1}, "", "expected one value"),
        ("text", {"each": {"at": "rows"}, "give": 1}, "", "expected one value"),
    ],
)
def test_forms_have_fields_and_texts_one_value(kind: str, tree: Any, path: str, text: str) -> None:
    document = small(answers=kind, rules__0__answer=tree, refusals__body={"code": "1"} if kind == "form" else "no")
    assert text in mistakes(document)[f"rules.0.answer{path}"]


def test_every_root_of_a_path() -> None:
    document = small(
        rules__0__fields__receipt__shift={"at": "query.shift"},
        rules__0__fields__receipt__cashier={"at": "header.X-Cashier", "as": "upper"},
        rules__0__fields__receipt__number={"at": "body.number"},
    )
    ask = asked(document, {"number": "17", "total": 1}, query="shift=2&a=b", headers={"x-cashier": "ann"})
    assert (ask.receipt.shift, ask.receipt.cashier, ask.receipt.number) == ("2", "ANN", "17")


def test_the_first_that_is_there_is_taken() -> None:
    document = small(rules__0__fields__receipt__number={"first": [{"at": "a"}, {"at": "number"}, "none"]})
    assert asked(document, {"number": "17", "total": 1}).receipt.number == "17"
    assert asked(document, {"a": "18", "number": "17", "total": 1}).receipt.number == "18"


def test_lists_products_and_sums() -> None:
    cost = {"product": [{"item": "price", "as": "roubles"}, {"item": "qty", "as": "quantity"}]}
    document = small(
        rules__0__fields__receipt__total_minor={"sum": {"at": "rows"}, "give": cost},
        rules__0__fields__receipt__lines={
            "each": {"at": "rows"},
            "give": {"number": {"item": "n", "as": "whole"}, "goods": {"item": "code"}, "sum_minor": cost},
        },
    )
    rows = [{"n": 1, "code": "a", "price": "0.05", "qty": "0.1"}, {"n": 2, "code": "b", "price": 10, "qty": 3}]
    ask = asked(document, {"number": "17", "rows": rows})
    assert [line.sum_minor for line in ask.receipt.lines] == [1, 3000]
    assert ask.receipt.total_minor == 3001


def test_a_list_beyond_all_bounds_is_refused() -> None:
    document = small(
        rules__0__fields__receipt__lines={"each": {"at": "rows"}, "give": {"number": 1, "goods": "a", "sum_minor": 1}}
    )
    many = {"number": "1", "total": 1, "rows": [{}] * 1001}
    refusal = say(document, "sale/3", many).refusal
    assert refusal is not None and "at most 1000" in refusal.message
    added = small(rules__0__fields__receipt__total_minor={"sum": {"at": "rows"}, "give": 1})
    refusal = say(added, "sale/3", many).refusal
    assert refusal is not None and "at most 1000" in refusal.message


def test_xml_is_read_by_xpath_with_namespaces_and_written_by_names() -> None:
    document = small(
        message="xml",
        answers="xml",
        namespaces={"a": "urn:acme"},
        rules__0__fields__keys=[{"join": ["small", {"at": "string(a:no)"}]}],
        rules__0__fields__receipt__number={"at": "a:no"},
        rules__0__fields__receipt__total_minor={"at": "a:sum/@value", "as": "roubles"},
        rules__0__fields__cards=[{"refs": [{"scheme": "card", "value": {"at": "//a:card[@main='1']/text()"}}]}],
        rules__0__fields__receipt__lines={
            "each": {"at": "a:rows/a:row"},
            "give": {
                "number": {"item": "@n", "as": "whole"},
                "goods": {"item": "a:code"},
                "sum_minor": {"item": "@sum", "as": "roubles"},
            },
        },
        rules__0__answer={"a:done": {"@id": {"of": "operation_id"}, "a:flag": ["x", "<y>"], "#text": "ok"}},
        refusals__body={"a:no": {"error": "code"}},
    )
    body = (
        b'<r xmlns="urn:acme"><no>17</no><sum value="5.50"/><card>1</card><card main="1">5550001234</card>'
        b'<rows><row n="1" sum="2.50"><code>a</code></row><row n="2" sum="3"><code>b</code></row></rows></r>'
    )
    conversation = say(document, "sale/3", body, POSTED)
    (ask,) = conversation.asks
    assert isinstance(ask, PostReceipt)
    assert (ask.receipt.number, ask.receipt.total_minor) == ("17", 550)
    assert [(line.goods, line.sum_minor) for line in ask.receipt.lines] == [("a", 250), ("b", 300)]
    assert ask.cards[0].refs[0].value == "5550001234"
    assert (
        b'<a:done xmlns:a="urn:acme" id="7"><a:flag>x</a:flag><a:flag>&lt;y&gt;</a:flag>ok'
        in conversation.response.body.replace(b"ok<a:flag>", b"<a:flag>")
        or b'id="7"' in conversation.response.body
    )


@pytest.mark.parametrize("total", ["number(sum)", "sum(//sum)", "count(//sum)"])
def test_numbers_that_xpath_computes_come_near_no_amount(total: str) -> None:
    """They are binary fractions: 0.1 and 0.2 make 0.30000000000000004."""
    document = small(message="xml", rules__0__fields__receipt__total_minor={"at": total, "as": "roubles"})
    document["rules"][0]["fields"] |= {"keys": ["k"], "content": "c", "cards": []}
    document["rules"][0]["fields"]["receipt"]["number"] = "1"
    refusal = say(document, "sale/3", b"<r><sum>0.1</sum><sum>x</sum></r>").refusal
    assert refusal is not None and "binary fractions" in refusal.message


def test_forms_are_read_and_written() -> None:
    document = small(message="form", answers="form")
    conversation = say(document, "sale/3", b"number=17&total=5.50&card=5550001234", POSTED)
    assert isinstance(conversation.asks[0], PostReceipt)
    assert conversation.response.body == b"id=7"


# Rules ----------------------------------------------------------------------------------------------------------


def two(first: Any, second: Any) -> dict[str, Any]:
    document = small()
    (rule,) = document["rules"]
    document["rules"] = [
        {**rule, "name": "one", "when": first},
        {**rule, "name": "two", "when": second, "answer": {"two": 2}},
    ]
    return document


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"do": "a"}, {"do": "b"}),
        ({"do": ["a", "c"]}, {"do": "b"}),
        ({"do": "present"}, {"do": "absent"}),
        ({"do": "b"}, {"do": "absent"}),
        ({"do": "a", "x": "1"}, {"do": "a", "x": "2"}),
        ({"do": "a"}, "otherwise"),
        ({"do": True}, {"do": False}),
    ],
)
def test_rules_that_exclude_each_other_share_an_address(first: Any, second: Any) -> None:
    build(two(first, second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"do": "a"}, {}),
        ({"do": "a"}, {"x": "b"}),
        ({"do": ["a", "b"]}, {"do": "b"}),
        ({"do": "present"}, {"do": "a"}),
    ],
)
def test_rules_that_one_message_may_match_are_ambiguous(first: Any, second: Any) -> None:
    assert "a message may match this and one" in mistakes(two(first, second))["rules.1.when"]


def test_the_rule_is_chosen_by_the_message_and_none_is_told_why() -> None:
    document = two({"do": "a"}, {"do": ["b", "c"]})
    body = {"number": "17", "total": 1}
    assert say(document, "sale/3", body | {"do": "a"}, POSTED).response.body == b'{"id":7}'
    assert say(document, "sale/3", body | {"do": "c"}, POSTED).response.body == b'{"two":2}'
    refusal = say(document, "sale/3", body | {"do": "5550001234"}).refusal
    assert refusal is not None
    assert "one wants do a; two wants do b or c" in refusal.message
    assert "5550001234" not in refusal.message


# Mistakes -------------------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"rules__0__ask": "PostReciept"}, "rules.0.ask", "did you mean 'PostReceipt'?"),
    ({"rules__0__fields__receipt__totl_minor": 1}, "rules.0.fields.receipt.totl_minor", "did you mean 'total_minor'?"),
    ({"rules__0__fields__receipt__total_minor": {"at": "total"}}, "rules.0.fields.receipt.total_minor", "kopecks, "),
    (
        {"rules__0__fields__receipt__total_minor": {"at": "t", "as": "rubles"}},
        "rules.0.fields.receipt.total_minor.as",
        "'roubles'?",
    ),
    (
        {"rules__0__fields__receipt__total_minor": {"at": "t", "as": "day"}},
        "rules.0.fields.receipt.total_minor.as",
        "gives a day",
    ),
    ({"rules__0__fields__receipt__total_minor": "5"}, "rules.0.fields.receipt.total_minor", "expected a whole number"),
    ({"rules__0__fields__receipt__number": None}, "rules.0.fields.receipt", "needs the field 'number'"),
    ({"rules__0__fields__receipt__number": 17}, "rules.0.fields.receipt.number", "in quotes"),
    ({"rules__0__fields__receipt__number": {"att": "n"}}, "rules.0.fields.receipt.number", "one of at, item"),
    ({"rules__0__fields__receipt__number": {"at": "a..b"}}, "rules.0.fields.receipt.number.at", "names with points"),
    (
        {"rules__0__fields__receipt__number": {"at": "n", "az": "text"}},
        "rules.0.fields.receipt.number.az",
        "beside at (as, default)",
    ),
    (
        {"rules__0__fields__receipt__number": {"at": "n", "as": {"cut": "x"}}},
        "rules.0.fields.receipt.number.as.cut",
        "1 to 255",
    ),
    (
        {"rules__0__fields__receipt__number": {"at": "n", "as": "cut"}},
        "rules.0.fields.receipt.number.as",
        "{cut: a number}",
    ),
    (
        {"rules__0__fields__receipt__number": {"option": "unti"}},
        "rules.0.fields.receipt.number.option",
        "did you mean 'unit'?",
    ),
    (
        {"rules__0__fields__receipt__business_date": "2026-05-04"},
        "rules.0.fields.receipt.business_date",
        "expected a day",
    ),
    ({"rules__0__fields__cards": {"at": "cards"}}, "rules.0.fields.cards", "each:"),
    ({"rules__0__fields__keys": None}, "rules.0.fields", "needs the field 'keys'"),
    ({"rules__0__fields__store": "x"}, "rules.0.fields.store", "no document says it"),
    ({"rules__0__answer": {"id": {"of": "operation"}}}, "rules.0.answer.id.of", "did you mean 'operation_id'?"),
    ({"rules__0__answer": {"id": {"of": "operation_id", "as": "digits"}}}, "rules.0.answer.id.as", "reads only"),
    ({"rules__0__answer": {"id": {"at": "n", "as": ["roubles", "digits"]}}}, "rules.0.answer.id.as", "reads only"),
    ({"rules__0__answer": {"id": {"error": "code"}}}, "rules.0.answer.id.error", "only refusals"),
    ({"rules__0__answer": {"id": {"each": {"of": "at"}, "give": 1}}}, "rules.0.answer.id.each", "a path to a list"),
    ({"rules__0__answer": None}, "rules.0.answer", "Missing data"),
    ({"rules__0__path": "sale/(.*)"}, "rules.0.path", "expected a path"),
    ({"answers": "xml"}, "rules.0.answer", ""),
    ({"auth": {"scheme": "header"}}, "auth.name", "expected one for header"),
    ({"auth": {"scheme": "magic"}}, "auth.scheme", "Must be one of"),
    ({"refusals__codes": {"card_not_fond": {"status": 404}}}, "refusals.codes.card_not_fond", "'card_not_found'?"),
    ({"rulez": []}, "rulez", "Unknown field; did you mean 'rules'?"),
    ({"private": []}, "private", "Shorter than minimum"),
]


@pytest.mark.parametrize(
    ("changes", "path", "text"), [each for each in WRONG if each[1] != "rules.0.answer" or each[2]]
)
def test_a_document_that_cannot_work_is_refused_with_place_and_expectation(
    changes: dict[str, Any], path: str, text: str
) -> None:
    found = mistakes(small(**changes))
    assert path in found, found
    assert text in found[path]


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes(
        small(rules__0__fields__receipt__number=17, rules__0__answer={"id": {"of": "x"}}, auth={"scheme": "query"})
    )
    assert set(found) == {"rules.0.fields.receipt.number", "rules.0.answer.id.of", "auth.name"}


def test_an_answer_in_xml_has_one_root_and_names_that_are_names() -> None:
    found = mistakes(small(answers="xml", rules__0__answer={"a": 1, "b:c": 2, "no name": 3}))
    assert set(found) == {"rules.0.answer", "rules.0.answer.b:c", "rules.0.answer.no name"}


def test_keys_that_look_like_forms_may_be_said_plainly() -> None:
    document = small(rules__0__answer={"plain": {"error": "none", "of": "course"}})
    assert (
        say(document, "sale/3", {"number": "1", "total": 1}, POSTED).response.body == b'{"error":"none","of":"course"}'
    )


# Converters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("roubles", "1\xa0234,50", 123_450),
        ("roubles", "1'234.5", 123_450),
        ("quantity", "0,3333", 333),
        ("kopecks", "52250", 52_250),
        ("guid", "{0F2C7B1A-52D4-4B8C-9C3B-7D1E0A9F3C55}", "0f2c7b1a-52d4-4b8c-9c3b-7d1e0a9f3c55"),
        ("yes_no", "Да", True),
        ("yes_no", "0", False),
        ("day", "2026-05-04T22:30:00Z", datetime(2026, 5, 5).date()),
        ("instant", "2026-05-04T19:52:31", AT),
        ("instant", "2026-05-04T19:52:31.000000+0300", AT),
        ("unless_zero", 0, None),
    ],
)
def test_what_converters_read(name: str, text: Any, value: Any) -> None:
    read = named()[name].read
    assert read is not None
    assert read(text, "here", MOSCOW) == value


@pytest.mark.parametrize(
    ("name", "text"), [("guid", "12"), ("yes_no", "perhaps"), ("day", "yesterday"), ("instant", "")]
)
def test_what_converters_refuse_is_told_with_its_place(name: str, text: str) -> None:
    read = named()[name].read
    assert read is not None
    with pytest.raises(BadMessage) as caught:
        read(text, "here", MOSCOW)
    assert caught.value.details["where"] == "here"


def test_converters_of_others_join_and_names_are_taken_once() -> None:
    mine = Converter("reversed", "backwards", "text", lambda text, where, zone: text[::-1])
    document = small(rules__0__fields__receipt__number={"at": "number", "as": "reversed"})
    adapter = build(document, (mine,)).adapter
    assert adapter.name == "small"
    assert "reversed" in mistakes(document)["rules.0.fields.receipt.number.as"]
    with pytest.raises(ValueError, match="two converters"):
        named((BUILT_IN[0],))


def test_the_adapter_is_the_same_dataclass_and_asks_as_python_would() -> None:
    adapter = build(read_yaml(ACME)).adapter
    link = Link("l", "spb-3", MOSCOW, adapter.options().load({}))
    request = WireRequest("POST", "card", "", {}, b'{"card": "5550001234"}', "1", AT)
    (ask,) = converse(adapter, request, link, CannedCore([BadMessage("stop")])).asks
    assert ask == Identify(store="spb-3", refs=(Ref("card", "5550001234"),))


# Files ----------------------------------------------------------------------------------------------------------

LINES = """
adapter: lines
title: Lines
private: [card]
files:
  names: ["*.txt"]
  lines: jsonl
  rules:
    - name: sale
      ask: PostReceipt
      fields:
        keys: [{join: [lines, {at: n}]}]
        fact: true
        receipt: {number: {at: n}, till: t, business_date: {at: day, as: day}, total_minor: {at: sum, as: roubles}}
"""


def lines(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(LINES)
    document["files"] |= changes
    return document


def told(document: dict[str, Any], content: bytes) -> list[Any]:
    """What each line of a file has told: the number and sum of a receipt, or its kind."""
    adapter = build(document).adapter
    link = Link("l", "spb-3", MOSCOW, adapter.options().load({}))
    found = adapter.files[0].read(Source("a.txt", [content[:7], content[7:]], None, AT), link)
    receipts = [each.asks[0].receipt if each.asks else each.kind for each in found]
    return [each if isinstance(each, str) else (each.number, each.total_minor) for each in receipts]


def test_lines_of_json_and_of_fixed_width_are_read_as_those_of_csv_are() -> None:
    row = '{"n": 1, "day": "2026-05-04", "sum": 10.5}\n'
    content = row + "[]\n\n" + row.replace("1,", "2,")[:-1]
    assert told(lines(), content.encode()) == [("1", 1050), "broken", "unfinished"]
    columns = {"n": [1, 4], "day": [5, 14], "sum": [15, 24]}
    fixed = lines(lines="fixed", columns=columns, encoding="cp866")
    assert told(fixed, b"0017" + b"2026-05-04" + b"     10,50\r\n" + b"0018\n") == [("0017", 1050), "broken"]
    plain = lines(lines="csv", header=False, columns=["n", "day", "sum"], separator=",")
    assert told(plain, b'1,2026-05-04,"1 000,50"\n') == [("1", 100_050)]


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_a_line_that_is_too_long_ends_the_reading_however_the_file_is_cut(size: int) -> None:
    content = b'{"n": 1}\n{"n": "' + b"x" * MAX_LINE + b'"}\n{"n": 3}\n'
    read = Lines("jsonl", "utf-8", ";", False, {}, {}).read(
        content[at : at + size] for at in range(0, len(content), size)
    )
    assert [(line.number, line.kind) for line in read] == [(1, ""), (2, BROKEN)]


def test_a_csv_file_with_another_header_is_refused_before_anything_is_told() -> None:
    document = lines(lines="csv", columns=["n", "day", "sum"])
    with pytest.raises(BadMessage, match="the columns sum"):
        told(document, b"n;day;total\n1;2026-05-04;5\n")


def test_what_files_tell_are_facts_and_messages_need_answers() -> None:
    document = lines()
    del document["files"]["rules"][0]["fields"]["fact"]
    assert "expected fact: true" in mistakes(document)["files.rules.0.fields"]
    assert "expected the names" in mistakes(lines(lines="csv"))["files.columns"]
    assert "[first, last]" in mistakes(lines(lines="fixed", columns={"n": [4, 1]}))["files.columns"]
    document = lines()
    del document["files"]
    assert "rules for messages, files, push or pull" in mistakes(document)["rules"]
    assert mistakes(small(refusals=None)) == {"refusals": "Missing data for required field."}
