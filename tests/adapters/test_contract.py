"""The laws of the adapter contract, for every registered adapter and every sample it has.

A new adapter gets all of them by standing in adapters/registry.py and by having samples in
tests/adapters/<name>/samples/.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree

import adapters
from adapters.contract import Adapter, Asking, Auth, Link, Outcome, Route, WireRequest, WireResponse, one
from adapters.registry import ADAPTERS, BUILT_IN, find
from adapters.testing import CannedCore, Conversation, Sample, TwoAsks, asks_of, converse, read_samples, routes_of
from processing.commands import MAX_KEY, MAX_KEYS, AnyCommand, AnyQuery, Ask, Command, Identify, PostReceipt
from processing.errors import ConfigError, LoyaltyError, by_code
from processing.results import (
    Balance,
    CardMovement,
    Identified,
    ReceiptPosted,
    ReceiptRestored,
    ReceiptVoided,
)

HERE = Path(__file__).parent
SAMPLES: list[Sample] = [
    sample for adapter in BUILT_IN for sample in read_samples(HERE / adapter.name / "samples", adapter)
]
LEAST_SAMPLES = 30
MAX_CONTENT = 64
AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)

FEW = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MANY = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))

every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: f"{s.adapter}-{s.case}")
every_adapter = pytest.mark.parametrize("adapter", BUILT_IN, ids=lambda a: a.name)


def adapter_of(sample: Sample) -> Adapter:
    return ADAPTERS[sample.adapter]


def talk(sample: Sample, *outcomes: Outcome) -> Conversation:
    return converse(adapter_of(sample), sample.request, sample.link, CannedCore(outcomes))


def asked(sample: Sample) -> tuple[Ask[Any], ...]:
    """What the sample asks; nothing when its adapter refuses it."""
    try:
        return asks_of(adapter_of(sample), sample.request, sample.link)
    except LoyaltyError:
        return ()


ASKING = [sample for sample in SAMPLES if sample.asks]
COMMANDING = [sample for sample in ASKING if any(isinstance(ask, Command) for ask in asked(sample))]

MOVEMENT = CardMovement(
    card="5550001234", account=1, unit="BONUS", scale=2, redeemed=1, earned=2, balance=3, available=3
)
RESULTS: dict[str, Any] = {
    "Identify": Identified(
        number="5550001234",
        account=1,
        holder_id=1,
        holder_name="Guest",
        status="active",
        usable="",
        product="Bonus",
        balances=(Balance(unit="BONUS", scale=2, balance=3, available=3),),
        payable=(("BONUS", 3),),
        discount="",
        bonus="",
    ),
    "PostReceipt": ReceiptPosted(operation_id=1, at=AT, cards=(MOVEMENT,)),
    "VoidReceipt": ReceiptVoided(outcome="reversed", operation_id=1, at=AT, cards=(MOVEMENT,)),
    "RestoreReceipt": ReceiptRestored(outcome="restored", operation_id=1, at=AT, cards=(MOVEMENT,)),
}


def plain_core(asks: Any) -> list[Outcome]:
    return [RESULTS[type(ask).__name__] for ask in asks]


def assert_well_formed(response: WireResponse) -> None:
    if "xml" in response.content_type:
        etree.fromstring(response.body)
    elif "json" in response.content_type:
        json.loads(response.body)
    else:
        raise AssertionError(f"no check for {response.content_type}")


# The suite itself


def test_there_are_adapters_and_enough_samples_to_mean_something() -> None:
    assert BUILT_IN
    assert len(SAMPLES) >= LEAST_SAMPLES
    assert len(COMMANDING) >= LEAST_SAMPLES // 2
    for adapter in BUILT_IN:
        assert sum(sample.adapter == adapter.name for sample in SAMPLES) >= len(adapter.routes)


def test_an_adapter_is_found_by_its_name_and_an_unknown_name_stops_the_start() -> None:
    assert len(ADAPTERS) == len(BUILT_IN)
    for adapter in BUILT_IN:
        assert find(adapter.name) is adapter
    with pytest.raises(ConfigError, match="rkeeper"):
        find("no-such-till")


def twice(request: WireRequest, link: Link) -> Asking[WireResponse]:
    ask = Identify(store=link.store, refs=())
    yield from one(ask)
    yield from one(ask)
    return WireResponse(b"", "text/xml")


@every_adapter
def test_the_driver_fails_a_handler_that_asks_twice(adapter: Adapter) -> None:
    sample = next(sample for sample in ASKING if sample.adapter == adapter.name)
    bad = replace(adapter, routes=(Route(path=".*", handler=twice, auth=Auth("open")),))
    with pytest.raises(TwoAsks):
        converse(bad, sample.request, sample.link, CannedCore([RESULTS["Identify"]]))


# 1. Same bytes, same asks


@every_sample
def test_a_sample_asks_what_it_should_and_the_same_every_time(sample: Sample) -> None:
    first, second = asked(sample), asked(sample)
    assert json.loads(msgspec.json.encode(first)) == sample.asks
    assert first == second
    assert first == tuple(msgspec.convert(ask, AnyCommand | AnyQuery) for ask in sample.asks)


@every_sample
def test_a_sample_is_answered_as_it_should_be_and_a_replay_byte_for_byte_alike(sample: Sample) -> None:
    conversation = talk(sample, *sample.outcomes)
    assert conversation.response.body == sample.answer
    assert talk(sample, *sample.outcomes) == conversation or conversation.refusal is not None
    assert talk(sample, *sample.outcomes).response == conversation.response
    assert_well_formed(conversation.response)


@every_sample
def test_a_sample_says_where_it_comes_from(sample: Sample) -> None:
    assert sample.origin


@pytest.mark.parametrize("sample", COMMANDING, ids=lambda s: f"{s.adapter}-{s.case}")
def test_a_command_carries_keys_and_content_within_bounds_and_the_links_store(sample: Sample) -> None:
    for ask in asked(sample):
        assert_sane(ask, sample)


def assert_sane(ask: Ask[Any], sample: Sample) -> None:
    if isinstance(ask, Command):
        assert ask.store == sample.link.store
        assert 1 <= len(ask.keys) <= MAX_KEYS
        assert all(0 < len(key) <= MAX_KEY and sample.link.code not in key for key in ask.keys)
        assert len(ask.content) <= MAX_CONTENT
    if isinstance(ask, PostReceipt):
        assert ask.stamp is None or ask.stamp.tzinfo is not None
        assert all(amount.amount > 0 for card in ask.cards for amount in card.redeem)
        assert all(card.refs for card in ask.cards)
    assert msgspec.json.decode(msgspec.json.encode(ask), type=type(ask)) == ask


# 2. Broken bytes raise nothing but LoyaltyError

ATTRIBUTE = re.compile(rb'="([^"<]*)"')
NUMBER = re.compile(rb"[0-9]+(?:\.[0-9]+)?")
NASTY = [
    b"",
    b" ",
    b"0",
    b"-0",
    b"-1",
    b"+7",
    b"1.005",
    b"1e9",
    b".",
    b"NaN",
    b"9" * 19,
    b"9" * 400,
    "٣".encode(),
    b"2026-13-45",
    b"0001-01-01T00:00:00",
    b"9999-12-31T23:59:59",
    b"&#x1F600;",
    b"&#10;",
    b"{}",
    b"\x98",
]


def mutated(body: bytes, draw: st.DataObject) -> bytes:
    """The body with one to three of: a byte changed, a cut, values swapped, a number spoilt, a piece moved."""
    for _ in range(draw.draw(st.integers(1, 3))):
        how = draw.draw(st.sampled_from([flip, cut, swap, spoil, spoil_value, repeat]))
        body = how(body, draw) if body else body
    return body


def flip(body: bytes, draw: st.DataObject) -> bytes:
    at = draw.draw(st.integers(0, len(body) - 1))
    return body[:at] + draw.draw(st.binary(max_size=2)) + body[at + 1 :]


def cut(body: bytes, draw: st.DataObject) -> bytes:
    return body[: draw.draw(st.integers(0, len(body)))]


def swap(body: bytes, draw: st.DataObject) -> bytes:
    spans = [match.span(1) for match in ATTRIBUTE.finditer(body)]
    if len(spans) < 2:
        return body
    first, second = sorted(draw.draw(st.lists(st.sampled_from(spans), min_size=2, max_size=2, unique=True)))
    (a, b), (c, d) = first, second
    return body[:a] + body[c:d] + body[b:c] + body[a:b] + body[d:]


def spoil(body: bytes, draw: st.DataObject) -> bytes:
    return _replaced(body, [match.span() for match in NUMBER.finditer(body)], draw)


def spoil_value(body: bytes, draw: st.DataObject) -> bytes:
    return _replaced(body, [match.span(1) for match in ATTRIBUTE.finditer(body)], draw)


def repeat(body: bytes, draw: st.DataObject) -> bytes:
    tags = [match.start() for match in re.finditer(rb"<", body)]
    if len(tags) < 2:
        return body
    a, b = sorted(draw.draw(st.lists(st.sampled_from(tags), min_size=2, max_size=2, unique=True)))
    return draw.draw(st.sampled_from([body[:b] + body[a:], body[:a] + body[b:]]))


def _replaced(body: bytes, spans: list[tuple[int, int]], draw: st.DataObject) -> bytes:
    if not spans:
        return body
    start, end = draw.draw(st.sampled_from(spans))
    return body[:start] + draw.draw(st.sampled_from(NASTY)) + body[end:]


def assert_survives(sample: Sample) -> None:
    """It asks something sane or is refused; it is answered well-formed, whatever the bytes."""
    conversation = converse(adapter_of(sample), sample.request, sample.link, plain_core)
    assert_well_formed(conversation.response)
    for ask in conversation.asks:
        assert_sane(ask, sample)


@every_sample
@FEW
@given(st.data())
def test_mutated_bytes_raise_nothing_but_loyalty_errors(sample: Sample, data: st.DataObject) -> None:
    assert_survives(sample.with_body(mutated(sample.request.body, data)))


@pytest.mark.slow
@every_sample
@MANY
@given(st.data())
def test_many_mutated_bytes_raise_nothing_but_loyalty_errors(sample: Sample, data: st.DataObject) -> None:
    assert_survives(sample.with_body(mutated(sample.request.body, data)))


@every_sample
def test_a_message_cut_at_any_byte_raises_nothing_but_loyalty_errors(sample: Sample) -> None:
    body = sample.request.body
    for end in range(0, len(body), max(len(body) // 60, 1)):
        assert_survives(sample.with_body(body[:end]))


@pytest.mark.parametrize("path", sorted({(s.adapter, s.request.path) for s in SAMPLES}))
@FEW
@given(st.binary(max_size=300))
@example(b"")
@example(b"\x00")
@example(b"<")
@example(b"<a/>")
def test_random_bytes_raise_nothing_but_loyalty_errors(path: tuple[str, str], body: bytes) -> None:
    sample = next(s for s in SAMPLES if (s.adapter, s.request.path) == path)
    assert_survives(sample.with_body(body))


def test_the_mutations_do_reach_both_ends() -> None:
    """Some mutated messages must still ask and some must be refused, else the laws above say little."""
    told = {"asks": 0, "refused": 0}

    @FEW
    @given(st.data(), st.sampled_from(ASKING))
    def count(data: st.DataObject, sample: Sample) -> None:
        broken = sample.with_body(mutated(sample.request.body, data))
        conversation = converse(adapter_of(broken), broken.request, broken.link, plain_core)
        told["asks"] += bool(conversation.asks)
        told["refused"] += conversation.refusal is not None

    count()
    assert min(told.values()) >= 3, told


# 3. Every result and every refusal is told

ERRORS = [cls("told to the till", available=4500, limit=100, asked=10_000, unit="BONUS") for cls in by_code().values()]


@pytest.mark.parametrize("sample", ASKING, ids=lambda s: f"{s.adapter}-{s.case}")
def test_every_error_class_as_an_outcome_is_told_in_the_tills_words(sample: Sample) -> None:
    assert len(ERRORS) >= 20
    for error in ERRORS:
        conversation = talk(sample, error)
        assert conversation.refusal is error
        assert conversation.response.refused == error.code
        assert_well_formed(conversation.response)


@every_sample
def test_every_error_class_at_the_door_is_told_whatever_the_bytes_and_path(sample: Sample) -> None:
    for error in ERRORS:
        for path in (sample.request.path, "", "no/such/route"):
            for body in (sample.request.body, b"", b"\x00\xff"):
                request = replace(sample.request, path=path, body=body)
                response = adapter_of(sample).refuse(error, request, sample.link)
                assert response.refused == error.code
                assert_well_formed(response)


TEXTS = st.text(max_size=400) | st.sampled_from(["", 'Анна "А" & <Б>', "😀" * 300, "]]>", "a\x00b\x0bc\nd", "\ud800"])
AMOUNTS = st.integers(-(10**15), 10**15)
MOVEMENTS = st.builds(
    CardMovement,
    card=TEXTS | st.just("5550001234"),
    account=st.integers(0, 2**32 - 1),
    unit=TEXTS,
    scale=st.integers(0, 3),
    redeemed=AMOUNTS,
    earned=AMOUNTS,
    balance=AMOUNTS,
    available=AMOUNTS,
)
MOVED = st.lists(MOVEMENTS, max_size=3).map(tuple)
BALANCES = st.builds(
    Balance,
    unit=TEXTS | st.sampled_from(["BONUS", "GIFT"]),
    scale=st.integers(0, 3),
    balance=AMOUNTS,
    available=AMOUNTS,
    pending=AMOUNTS,
)
ANY_RESULTS: dict[str, st.SearchStrategy[Any]] = {
    "Identify": st.builds(
        Identified,
        number=st.text("0123456789", min_size=1, max_size=19),
        account=st.integers(0, 2**32 - 1),
        holder_id=st.integers(0, 2**63 - 1),
        holder_name=TEXTS,
        status=st.sampled_from(["issued", "active", "blocked", "expired", "replaced", "closed", "?"]),
        usable=st.sampled_from(["", "no_such_code", *sorted(by_code())]),
        product=TEXTS,
        balances=st.lists(BALANCES, max_size=3).map(tuple),
        payable=st.lists(st.tuples(TEXTS | st.just("BONUS"), AMOUNTS), max_size=3).map(tuple),
        discount=TEXTS,
        bonus=TEXTS,
    ),
    "PostReceipt": st.builds(ReceiptPosted, operation_id=st.integers(0, 2**63), at=st.just(AT), cards=MOVED),
    "VoidReceipt": st.builds(
        ReceiptVoided,
        outcome=st.sampled_from(["reversed", "nothing", "orphan"]),
        operation_id=st.integers(0, 2**63),
        at=st.just(AT),
        cards=MOVED,
    ),
    "RestoreReceipt": st.builds(
        ReceiptRestored,
        outcome=st.sampled_from(["restored", "nothing", "orphan"]),
        operation_id=st.integers(0, 2**63),
        at=st.just(AT),
        cards=MOVED,
    ),
}


@pytest.mark.parametrize("sample", ASKING, ids=lambda s: f"{s.adapter}-{s.case}")
@FEW
@given(st.data())
def test_any_result_is_answered_with_a_well_formed_message(sample: Sample, data: st.DataObject) -> None:
    results = [data.draw(ANY_RESULTS[ask["type"]]) for ask in sample.asks]
    conversation = talk(sample, *results)
    assert conversation.refusal is None
    assert conversation.response.refused == ""
    assert_well_formed(conversation.response)


# 4. Routes


@every_sample
def test_a_sample_matches_exactly_one_route(sample: Sample) -> None:
    assert len(routes_of(adapter_of(sample), sample.request)) == 1


@every_adapter
def test_every_route_has_a_sample_that_asks(adapter: Adapter) -> None:
    covered = {
        route.path
        for sample in ASKING
        if sample.adapter == adapter.name
        for route in routes_of(adapter, sample.request)
    }
    assert covered == {route.path for route in adapter.routes}


# 5. A resend with noise is the same operation


def changed(body: bytes, field: str, how: Any) -> bytes | None:
    """The body with the values of ``ELEMENT@attribute`` changed; None when there is no such field in it."""
    element, name = field.split("@")
    try:
        root = etree.fromstring(body.lstrip().removeprefix(b"\xef\xbb\xbf"))
    except etree.XMLSyntaxError:
        return None
    found = [
        (node, key)
        for node in root.iter("*")
        if str(node.tag).lower() == element.lower()
        for key in node.attrib
        if str(key).lower() == name.lower()
    ]
    for node, key in found:
        node.set(key, how(node.get(key)))
    return etree.tostring(root) if found else None


def respaced(body: bytes) -> bytes:
    """The same document with its attributes in reverse order and other white space between its elements."""
    root = etree.fromstring(body)
    for node in root.iter("*"):
        attributes = list(node.attrib.items())[::-1]
        node.attrib.clear()
        node.attrib.update(attributes)
        if len(node) and not (node.text or "").strip():
            node.text = "\n\t\t "
        if not (node.tail or "").strip():
            node.tail = "  \n"
    root.tail = None
    return etree.tostring(root)


def names_of(sample: Sample) -> list[tuple[tuple[str, ...], str]]:
    return [(ask.keys, ask.content) for ask in asked(sample) if isinstance(ask, Command)]


@pytest.mark.parametrize("sample", COMMANDING, ids=lambda s: f"{s.adapter}-{s.case}")
def test_a_resend_with_noise_changed_has_the_same_keys_and_content(sample: Sample) -> None:
    for field in sample.noise:
        noisy = changed(sample.request.body, field, lambda old: "77" if old.isdigit() else "2026-05-06T01:02:03")
        if noisy is not None:
            assert names_of(sample.with_body(noisy)) == names_of(sample), field
            assert names_of(sample.with_body(respaced(noisy))) == names_of(sample), field


@every_adapter
def test_each_field_of_noise_and_signal_is_in_some_sample(adapter: Adapter) -> None:
    mine = [sample for sample in COMMANDING if sample.adapter == adapter.name]
    for field in (*mine[0].noise, *mine[0].signal):
        assert any(changed(sample.request.body, field, str) is not None for sample in mine), field


@pytest.mark.parametrize("sample", COMMANDING, ids=lambda s: f"{s.adapter}-{s.case}")
def test_a_resend_with_other_amounts_has_the_same_keys_and_other_content(sample: Sample) -> None:
    if not all(isinstance(ask, PostReceipt) for ask in asked(sample)):
        return
    for field in sample.signal:
        other = changed(sample.request.body, field, lambda old: re.sub(r"([0-9])", r"1\1", old, count=1))
        if other is not None and asked(sample.with_body(other)):
            ((keys, content),) = names_of(sample.with_body(other))
            ((old_keys, old_content),) = names_of(sample)
            assert keys == old_keys
            assert content != old_content, field


@pytest.mark.parametrize("sample", COMMANDING, ids=lambda s: f"{s.adapter}-{s.case}")
def test_other_time_of_arrival_and_request_id_change_no_key_and_no_content(sample: Sample) -> None:
    later = replace(sample.request, at=sample.request.at.replace(year=2027), id="another", caller="someone")
    assert names_of(replace(sample, request=later)) == names_of(sample)


# 6. Private fields


def masked(document: bytes, private: frozenset[str]) -> str:
    """The document as the exchange log shows it: values of private attributes and elements starred out."""
    try:
        root = etree.fromstring(document.lstrip().removeprefix(b"\xef\xbb\xbf"))
    except etree.XMLSyntaxError:
        try:
            root = etree.fromstring(document, etree.XMLParser(encoding="windows-1251"))
        except etree.XMLSyntaxError:
            return document.decode("utf-8", "replace")
    low = {name.lower() for name in private}
    for node in root.iter("*"):
        whole = etree.QName(node).localname.lower() in low
        for key in node.attrib:
            if whole or str(key).lower() in low:
                node.set(key, "***")
        if node.text and whole:
            node.text = "***"
        elif node.text and node.text.strip().startswith("<"):
            node.text = masked(re.sub(r"^\s*<\?xml[^>]*\?>", "", node.text).encode(), private)
    return etree.tostring(root, encoding="unicode")


@every_sample
def test_no_secret_is_left_when_private_fields_are_masked(sample: Sample) -> None:
    for document in (sample.request.body, sample.answer):
        shown = masked(document, adapter_of(sample).private)
        for secret in sample.secrets:
            assert secret not in shown


@every_adapter
def test_secrets_are_in_the_samples_to_begin_with(adapter: Adapter) -> None:
    mine = [sample for sample in SAMPLES if sample.adapter == adapter.name]
    assert adapter.private
    assert mine[0].secrets
    for secret in mine[0].secrets:
        assert any(secret.encode() in sample.request.body + sample.answer for sample in mine), secret


# 7. Adapters reach nothing

ROOT = Path(adapters.__file__).parent
DRIVERS = {"testing.py"}
OURS = {"processing.commands", "processing.results", "processing.errors", "processing.units"}
PARSERS = {"lxml", "marshmallow", "msgspec", "yaml", "zoneinfo", "xml.sax.saxutils"}
PLAIN = {
    "__future__",
    "collections",
    "collections.abc",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "itertools",
    "json",
    "re",
    "string",
    "threading",
    "typing",
    "uuid",
}
CLOCKS_AND_DOORS = {"now", "today", "utcnow", "time", "uuid4", "uuid1", "open", "urandom", "getenv"}
SOURCES = sorted(path for path in ROOT.rglob("*.py") if path.name not in DRIVERS)


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


def called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", ""))


def is_allowed(module: str) -> bool:
    ours = module in OURS or module.split(".")[0] == "adapters"
    return ours or module in PLAIN | PARSERS


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_an_adapter_imports_only_the_vocabulary_and_parsers(path: Path) -> None:
    foreign = [module for module in imported(ast.parse(path.read_text("utf-8"))) if not is_allowed(module)]
    assert foreign == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_an_adapter_reads_no_clock_no_file_and_no_randomness(path: Path) -> None:
    assert CLOCKS_AND_DOORS.isdisjoint(called(ast.parse(path.read_text("utf-8"))))


def test_the_import_law_sees_what_it_should() -> None:
    assert len(SOURCES) > 5
    tree = ast.parse("import requests\nfrom processing.ledger import lock\ndatetime.now()\nopen('x')")
    assert [module for module in imported(tree) if not is_allowed(module)] == ["requests", "processing.ledger"]
    assert CLOCKS_AND_DOORS & set(called(tree)) == {"now", "open"}
