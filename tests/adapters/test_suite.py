"""The contract suite itself: a sound adapter passes, each kind of broken one fails, and what the docs teach works."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, settings
from marshmallow import Schema

from adapters.contract import Adapter, Asking, Auth, Link, Route, WireRequest, WireResponse, one
from adapters.parsing import attributes, code, minor, parse_xml
from adapters.rkeeper import ADAPTER as RKEEPER
from adapters.testing import documents, sources
from adapters.testing.driver import CannedCore, TwoAsks, converse
from adapters.testing.mutations import VALUE
from adapters.testing.outcomes import plain, result_of
from adapters.testing.samples import Sample, asked, written
from adapters.testing.suite import ContractSuite
from processing import commands
from processing.commands import Amount, CardUse, Identify, PostReceipt, Receipt, Ref
from processing.errors import LoyaltyError, by_code
from processing.results import ReceiptPosted

ROOT = Path(__file__).parents[2]
AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
BODY = b'<Sale id="A-17" sent="2026-05-04T19:52:30" total="100.00" card="2900000000000001" points="10.00"/>'


# A till that keeps the contract


def sale(request: WireRequest, link: Link) -> Asking[WireResponse]:
    told = attributes(parse_xml(request.body))
    posted = yield from one(ask_of(told, link))
    return WireResponse(f'<Sale operation="{posted.operation_id}"/>'.encode(), "text/xml")


def ask_of(told: dict[str, str], link: Link, **changes: Any) -> PostReceipt:
    total, points = minor(told.get("total"), "Sale@total"), minor(told.get("points") or "0", "Sale@points")
    fields: dict[str, Any] = {
        "store": link.store,
        "keys": ("till:" + code(told.get("id"), "Sale@id"),),
        "receipt": Receipt(number="1", till="1", business_date=AT.date(), total_minor=total),
        "cards": (
            CardUse(
                refs=(Ref("card", code(told.get("card"), "Sale@card")),),
                redeem=(Amount("BONUS", points),) if points > 0 else (),
            ),
        ),
    }
    return PostReceipt(**fields | changes)


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    return WireResponse(f'<Error code="{error.code}"/>'.encode(), "text/xml", 409, refused=error.code)


class TillOptions(Schema):
    pass


TILL = Adapter(
    name="till",
    title="Till",
    options=TillOptions,
    refuse=refuse,
    routes=(Route(path=r"sale/?", handler=sale, auth=Auth("open")),),
    private=frozenset({"card"}),
)
LINK = Link(code="link-1", store="bistro", zone=ZoneInfo("Europe/Moscow"), options={})


def suite(adapter: Adapter = TILL, **changes: Any) -> Any:
    """The suite with one sample of this till, of which the answer is recorded as it comes."""
    result = ReceiptPosted(operation_id=5, at=AT)
    sample = Sample(
        adapter="till",
        case="sale",
        request=WireRequest("POST", "sale", "", {}, BODY, "1", AT),
        link=LINK,
        asks=[],
        outcomes=(result,),
        answer=b'<Sale operation="5"/>',
        noise=("Sale@sent",),
        signal=("Sale@total", "Sale@points"),
        secrets=("2900000000000001",),
        origin="invented",
    )
    sample = replace(sample, **{"asks": json.loads(written(asked(TILL, sample)))} | changes)
    told = {"adapter": adapter, "samples": classmethod(lambda cls: [sample]), "examples": 100}
    return type("Till", (ContractSuite,), told)()


def with_handler(handler: Any) -> Adapter:
    return replace(TILL, routes=(replace(TILL.routes[0], handler=handler),))


LAWS = sorted(name for name in dir(ContractSuite) if name.startswith("test_"))
# This till is no package of its own: its file is this one.
FILES = {
    "test_the_adapter_imports_only_the_vocabulary_and_parsers",
    "test_the_adapter_reads_no_clock_no_file_and_no_chance",
}


def run(suite: Any, law: str) -> None:
    """One law, with the only sample where it takes one."""
    method: Callable[..., None] = getattr(suite, law)
    wants_sample = method.__code__.co_argcount > 1  # type: ignore[attr-defined]
    method(*suite.samples()) if wants_sample else method()


@pytest.mark.parametrize("law", [law for law in LAWS if law not in FILES])
def test_a_sound_adapter_keeps_every_law(law: str) -> None:
    run(suite(), law)


# Broken ones


def asks_twice(request: WireRequest, link: Link) -> Asking[WireResponse]:
    for _ in range(2):
        yield from one(Identify(store=link.store, refs=()))
    return WireResponse(b"<a/>", "text/xml")


def indexes(request: WireRequest, link: Link) -> Asking[WireResponse]:
    """Plain dict[...] and int() on a till's text: the usual way to a 500."""
    told = attributes(parse_xml(request.body))
    yield from one(ask_of(told | {"total": str(int(float(told["total"])))}, link))
    return WireResponse(b'<Sale operation="5"/>', "text/xml")


def reads_the_query(request: WireRequest, link: Link) -> Asking[WireResponse]:
    if request.query:
        dict(part.split("=") for part in request.query.split("&"))
    return sale(request, link)  # type: ignore[return-value]


def says_the_id(request: WireRequest, link: Link) -> Asking[WireResponse]:
    yield from one(ask_of(attributes(parse_xml(request.body)), link, keys=(f"till:{request.id}",)))
    return WireResponse(b'<Sale operation="5"/>', "text/xml")


def keys_by_noise(request: WireRequest, link: Link) -> Asking[WireResponse]:
    told = attributes(parse_xml(request.body))
    yield from one(ask_of(told, link, keys=("till:" + told.get("sent", "")[:40],)))
    return WireResponse(b'<Sale operation="5"/>', "text/xml")


def dates_by_arrival(request: WireRequest, link: Link) -> Asking[WireResponse]:
    receipt = Receipt(number="1", till="1", business_date=request.at.date())
    yield from one(ask_of(attributes(parse_xml(request.body)), link, receipt=receipt))
    return WireResponse(b'<Sale operation="5"/>', "text/xml")


def content_of_nothing(request: WireRequest, link: Link) -> Asking[WireResponse]:
    yield from one(ask_of(attributes(parse_xml(request.body)), link, content="always"))
    return WireResponse(b'<Sale operation="5"/>', "text/xml")


def keys_by_link(request: WireRequest, link: Link) -> Asking[WireResponse]:
    yield from one(ask_of(attributes(parse_xml(request.body)), link, keys=(f"{link.code}:1",)))
    return WireResponse(b'<Sale operation="5"/>', "text/xml")


def says_texts_raw(request: WireRequest, link: Link) -> Asking[WireResponse]:
    posted = yield from one(ask_of(attributes(parse_xml(request.body)), link))
    moved = posted.cards[0].unit if posted.cards else ""
    return WireResponse(f'<Sale operation="5" unit="{moved}"/>'.encode(errors="replace"), "text/xml")


def refuses_some(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    known = {name: str(place) for place, name in enumerate(by_code())}
    return WireResponse(f'<Error code="{known[error.code]}"/>'.encode(), "text/xml", refused=error.code)


def refuses_by_body(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    attributes(parse_xml(request.body))
    return refuse(error, request, link)


BROKEN: list[tuple[str, Adapter, str]] = [
    ("asks twice", with_handler(asks_twice), "answered_as_recorded"),
    ("a KeyError", with_handler(indexes), "mutated_bytes"),
    ("a KeyError", with_handler(indexes), "random_bytes"),
    ("a broken query", with_handler(reads_the_query), "mutated_queries"),
    ("the request's id as key", with_handler(says_the_id), "time_of_arrival"),
    ("noise as key", with_handler(keys_by_noise), "noise_changed"),
    ("the time of arrival as content", with_handler(dates_by_arrival), "time_of_arrival"),
    ("a content that says nothing", with_handler(content_of_nothing), "other_amounts"),
    ("the link as key", with_handler(keys_by_link), "within_bounds"),
    ("texts that are not escaped", with_handler(says_texts_raw), "any_result"),
    ("refusals by a list", replace(TILL, refuse=refuses_some), "nobody_knows_yet"),
    ("refusals that need a sound body", replace(TILL, refuse=refuses_by_body), "at_the_door"),
    ("a card that shows", replace(TILL, private=frozenset({"id"})), "no_secret_is_left"),
    ("nothing private", replace(TILL, private=frozenset()), "secrets_are_in"),
    ("two routes for one path", replace(TILL, routes=TILL.routes * 2), "exactly_one_route"),
    (
        "a route without a sample",
        replace(TILL, routes=(*TILL.routes, Route(path="card", handler=sale, auth=Auth("open")))),
        "every_route",
    ),
]


@pytest.fixture
def unshrunk() -> Iterator[None]:
    """A law that has to fail is not searched for the smallest message that breaks it."""
    usual = settings.get_current_profile_name()
    settings.register_profile("unshrunk", settings.get_profile(usual), phases=(Phase.explicit, Phase.generate))
    settings.load_profile("unshrunk")
    yield
    settings.load_profile(usual)


@pytest.mark.parametrize(("fault", "adapter", "law"), BROKEN, ids=lambda v: v if isinstance(v, str) else "")
def test_a_broken_adapter_breaks_its_law(unshrunk: None, fault: str, adapter: Adapter, law: str) -> None:
    (name,) = [known for known in LAWS if law in known]
    with pytest.raises((AssertionError, ExceptionGroup, LookupError, ValueError, SyntaxError, LoyaltyError)):
        run(suite(adapter), name)


def test_samples_that_say_too_little_break_their_laws() -> None:
    for changes, law in (
        ({"origin": ""}, "where_it_comes_from"),
        ({"secrets": ()}, "secrets_are_in"),
        ({"secrets": ("nobody",)}, "secrets_are_in"),
        ({"noise": ("Sale@nothing",)}, "each_field"),
        ({"asks": []}, "there_are_samples"),
        ({"answer": b"<other/>"}, "answered_as_recorded"),
    ):
        (name,) = [known for known in LAWS if law in known]
        with pytest.raises(AssertionError):
            run(suite(**changes), name)


def test_the_driver_fails_a_handler_that_asks_twice() -> None:
    with pytest.raises(TwoAsks):
        converse(with_handler(asks_twice), suite().samples()[0].request, LINK, CannedCore([plain(result_of(Identify))]))


# Its parts


@pytest.mark.parametrize(
    "ask", [*get_args(commands.AnyCommand), *get_args(commands.AnyQuery)], ids=lambda a: a.__name__
)
def test_every_ask_has_a_plain_result_of_its_type(ask: Any) -> None:
    result = plain(result_of(ask))
    assert type(result) is result_of(ask)
    assert plain(result_of(ask)) == result


def test_values_are_found_in_xml_and_json() -> None:
    assert [m[m.lastindex or 0] for m in VALUE.finditer(b'<a b="1" c = "2"/>')] == [b"1", b"2"]
    assert [m[m.lastindex or 0] for m in VALUE.finditer(b'{"b": "1", "c":"2", "d": 3}')] == [b"1", b"2"]


def test_fields_of_json_are_changed_and_masked_by_their_keys() -> None:
    body = b'{"sum": 1.10, "at": "now", "in": [{"sum": 20, "card": "55"}]}'
    assert documents.changed(body, "sum", lambda old: old + "7") == (
        b'{"sum": 1.107, "at": "now", "in": [{"sum": 207, "card": "55"}]}'
    )
    assert documents.changed(body, "at", lambda old: f"not {old}") == body.replace(b'"now"', b'"not now"')
    assert documents.changed(body, "none", str) is None
    assert "55" not in documents.masked(body, frozenset({"CARD"}))
    assert json.loads(documents.respaced(body)) == json.loads(body) != b""


@pytest.mark.parametrize(
    ("body", "kind", "sound"),
    [
        (b"<a/>", "text/xml; charset=utf-8", True),
        (b"<a>", "text/xml", False),
        (b"{}", "application/json", True),
        (b"{", "application/json", False),
        (b"BM...", "image/bmp", True),
        (b"<a/>", "image/bmp", False),
        (b"ok", "text/plain", True),
        (b"\xff", "text/plain; charset=utf-8", False),
        (b"", "text/xml", False),
        (b"x", "application/x-nobody-knows", False),
    ],
)
def test_an_answer_is_what_its_content_type_says(body: bytes, kind: str, sound: bool) -> None:
    if sound:
        documents.check_well_formed(WireResponse(body, kind))
    else:
        with pytest.raises((AssertionError, ValueError, SyntaxError)):
            documents.check_well_formed(WireResponse(body, kind))
    documents.check_well_formed(WireResponse(b"", kind), may_be_empty=True)


def test_the_files_of_an_adapter_are_its_package_and_their_imports_are_seen() -> None:
    names = {path.name for path in sources.sources(RKEEPER)}
    assert {"talks.py", "options.py", "keys.py"} <= names
    assert [path.name for path in sources.sources(TILL)] == ["test_suite.py"]
    source = "import requests\nfrom processing.ledger import lock\nimport adapters.testing\ndatetime.now()\nopen('x')"
    assert sources.foreign_imports(source, {"adapters"}) == ["requests", "processing.ledger", "adapters.testing"]
    assert sources.forbidden_calls(source) == {"now", "open"}
    assert sources.foreign_imports("import acme.parts\nimport json", {"acme"}) == []


# What the docs teach


def test_the_adapter_of_the_docs_passes_the_suite_outside_of_this_repository(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "writing-an-adapter.md").read_text("utf-8")
    python = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "acme.py").write_text(next(block for block in python if "ADAPTER = Adapter(" in block))
    (tmp_path / "test_acme.py").write_text(next(block for block in python if "(ContractSuite)" in block))
    (samples := tmp_path / "samples").mkdir()
    blocks = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    (samples / "cases.json").write_text(json.dumps(next(block for block in blocks if "cases" in block)))
    for name, results in next(block for block in blocks if "sale.results.json" in block).items():
        (samples / name).write_text(json.dumps(results))
    for name, body in re.findall(r"^<!-- (\w+\.request\.xml) -->(.+)$", page, re.MULTILINE):
        (samples / name).write_text(body)

    def python_of(*arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    written = python_of("adapters.testing", "acme:ADAPTER", "samples").split()
    assert written == [
        f"{case}.{kind}" for case in ("card", "card_unknown", "sale") for kind in ("asks.json", "answer.xml")
    ]
    assert python_of("adapters.testing", "acme:ADAPTER", "samples") == ""
    assert "card_not_found" in (samples / "card_unknown.answer.xml").read_text()
    told = python_of("pytest", "-q", "-p", "no:cacheprovider", "test_acme.py")
    assert re.search(r"^[4-9][0-9] passed", told, re.MULTILINE), told
