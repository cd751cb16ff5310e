"""The tills' door as a WSGI callable: who may come in, what a handler sees, what is counted and recorded.

The adapter here is a made-up one whose handlers say what they were given; r_keeper's own words are in
``tests/scenarios``.
"""

from __future__ import annotations

import gc
import hashlib
import io
import itertools
import json
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any
from wsgiref.validate import validator

import msgspec
import pytest
from flask import Flask
from marshmallow import Schema
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from adapters.contract import Adapter, Asking, Auth, Link, Route, WireRequest, WireResponse, each, one
from adapters.rkeeper import ADAPTER as RKEEPER
from adapters.rkeeper import RkeeperOptions
from gateway.credentials import LinkSecret
from gateway.exchange_log import Request
from gateway.pos import KEPT_OF_TOO_LARGE, Headers, Pos, converse, doors, find
from gateway.settings import LinkSettings
from processing.commands import Ask, Identify, Ref
from processing.errors import BadCredentials, BadMessage, Busy, CardBlocked, LoyaltyError
from processing.results import Identified, Result

SECRET = "the-secret-of-the-link-0123456789"
OTHER = "the-secret-of-somebody-else-98765"
MAX_BODY = 1_000
TEXT = "text/plain; charset=utf-8"
INNER = "inner detail"

_names = itertools.count(1)


# A protocol ---------------------------------------------------------------------------------------------------


def echo(request: WireRequest, link: Link) -> WireResponse:
    """Everything that the gateway has told."""
    told = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "caller": request.caller,
        "groups": dict(request.groups),
        "headers": dict(request.headers),
        "size": len(request.body),
        "store": link.store,
    }
    return WireResponse(json.dumps(told).encode(), "application/json", headers={"X-Kind": "echo"})


def look(request: WireRequest, link: Link) -> Asking[WireResponse]:
    found = yield from one(Identify(store=link.store, refs=(Ref("card", request.body.decode()),)))
    return WireResponse(found.number.encode(), TEXT)


def look_twice(request: WireRequest, link: Link) -> Asking[WireResponse]:
    ask = Identify(store=link.store, refs=(Ref("card", INNER),))
    yield from one(ask)
    yield from one(ask)
    return WireResponse(b"never", TEXT)


def look_for_two(request: WireRequest, link: Link) -> Asking[WireResponse]:
    asks = [Identify(store=link.store, refs=(Ref("card", number),)) for number in request.body.decode().split()]
    outcomes = yield from each(*asks)
    told = [o.code if isinstance(o, LoyaltyError) else o.number for o in outcomes]
    return WireResponse(" ".join(told).encode(), TEXT)


def stumble(request: WireRequest, link: Link) -> WireResponse:
    raise KeyError(INNER)


def stumble_late(request: WireRequest, link: Link) -> Asking[WireResponse]:
    yield from one(Identify(store=link.store, refs=(Ref("card", "1"),)))
    raise ZeroDivisionError(INNER)


def mistake(request: WireRequest, link: Link) -> Asking[WireResponse]:
    yield from one(Identify(store=link.store, refs=(Ref("card", "1"),)))
    return INNER  # type: ignore[return-value]


def misread(request: WireRequest, link: Link) -> WireResponse:
    raise BadMessage("no number", where="body", value=INNER)


def refuse(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
    status = 403 if isinstance(error, BadCredentials) else 418 if error.code == "busy" else 200
    return WireResponse(f"no: {error.code}".encode(), TEXT, status, refused=error.code)


IN_PATH = Auth("secret_path")
PROTOCOL = Adapter(
    name="made-up",
    title="Made up",
    options=Schema,
    refuse=refuse,
    routes=(
        Route(r"echo(\.php)?/?", echo, IN_PATH, max_body=MAX_BODY),
        Route(r"things/(?P<number>[0-9]+)(/(?P<part>[a-z]+))?", echo, IN_PATH, frozenset({"GET", "PUT"})),
        Route("look", look, IN_PATH),
        Route("look", echo, IN_PATH, frozenset({"GET"})),
        Route("two", look_for_two, IN_PATH),
        Route("twice", look_twice, IN_PATH),
        Route("stumble", stumble, IN_PATH),
        Route("late", stumble_late, IN_PATH),
        Route("mistake", mistake, IN_PATH),
        Route("misread", misread, IN_PATH),
    ),
)


def identified(number: str) -> Identified:
    return msgspec.convert(
        {
            "number": number,
            "account": 1,
            "holder_id": 0,
            "holder_name": "",
            "status": "active",
            "usable": "",
            "product": "guest",
            "balances": (),
            "payable": (),
            "discount": "",
            "bonus": "",
            "expires_at": None,
        },
        Identified,
    )


def core(asks: Sequence[Ask[Any]]) -> Sequence[Result | LoyaltyError]:
    """Finds every card but those whose numbers say what is wrong."""
    assert all(isinstance(ask, Identify) for ask in asks)
    wrong: dict[str, LoyaltyError] = {"blocked": CardBlocked("it is"), "busy": Busy("too many")}
    numbers = [ask.refs[0].value for ask in asks if isinstance(ask, Identify)]
    if "down" in numbers:
        raise Busy("the queue is full")
    return [wrong.get(number) or identified(number) for number in numbers]


# The door -----------------------------------------------------------------------------------------------------


@dataclass
class Recorder:
    """An exchange log that only remembers."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def record(self, **row: Any) -> None:
        row["request"] = msgspec.msgpack.decode(row["request"], type=Request)
        self.rows.append(row)


@dataclass(frozen=True)
class Heard:
    status: int
    headers: dict[str, str]
    body: bytes


class Body(io.BytesIO):
    """A request's body that remembers how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


@dataclass
class Till:
    """A client of one door with one link, whose code is new every time, so that its counters begin at 0."""

    link: LinkSettings
    adapter: Adapter = PROTOCOL
    ask: Callable[[Sequence[Ask[Any]]], Sequence[Any]] = core
    log: Recorder = field(default_factory=Recorder)

    @property
    def pos(self) -> Pos:
        all_doors = doors({self.link.code: self.link}, {self.link.adapter: self.adapter}, {"spb-3": "Europe/Moscow"})
        return Pos(Flask("behind").wsgi_app, all_doors, self.ask, self.log)  # type: ignore[arg-type]

    def send(self, path: str, body: bytes | io.BytesIO = b"", method: str = "POST", **environ: Any) -> Heard:
        """Send to the path below the link's secret; one that begins with / is taken as it is."""
        full = path if path.startswith("/") else f"/pos/{self.link.code}/{SECRET}/{path}"
        stream = Body(body) if isinstance(body, bytes) else body
        return call(self.pos, full, stream, method, **environ)

    def send_to(self, path: str, body: bytes = b"", **environ: Any) -> Heard:
        """Send to the path below a link without a secret there."""
        return self.send(f"/pos/{self.link.code}/{path}", body, **environ)

    @property
    def row(self) -> dict[str, Any]:
        """The one exchange that was recorded."""
        (row,) = self.log.rows
        return row

    def counted(self, name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"link": self.link.code, **labels}) or 0.0


def call(app: Any, path: str, stream: io.BytesIO, method: str, **environ: Any) -> Heard:
    said: list[Any] = []
    told = {
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "REQUEST_METHOD": method,
        "QUERY_STRING": "",
        "REMOTE_ADDR": "192.0.2.7",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "text/plain",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": stream,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    told |= environ

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        said.extend((status, headers))
        return said.append

    parts: Iterable[bytes] = app(told, start_response)
    body = b"".join(parts)
    if hasattr(parts, "close"):
        parts.close()
    status, headers = said
    return Heard(int(status.split()[0]), dict(headers), body)


def secret(text: str) -> LinkSecret:
    return LinkSecret(hashlib.sha256(text.encode()).digest(), text.encode())


def settings(**changes: Any) -> LinkSettings:
    fields: dict[str, Any] = {
        "code": f"link-{next(_names)}",
        "adapter": PROTOCOL.name,
        "store": "spb-3",
        "enabled": True,
        "secrets": (secret(SECRET),),
        "addresses": (),
        "options": {},
    }
    return LinkSettings(**fields | changes)


@pytest.fixture
def till() -> Till:
    return Till(settings())


@pytest.fixture(autouse=True)
def said() -> Iterator[list[Any]]:
    """What the service's own log was told during the test."""
    with capture_logs() as lines:
        yield lines


# Where a message goes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/health/live", "/posts", "/pos", "/pos/", "/pos/nobody", f"/pos/nobody/{SECRET}/echo"]
)
def test_what_is_no_links_is_not_answered_by_the_door(till: Till, path: str) -> None:
    heard = till.send(path)
    assert heard.status == 404
    assert till.log.rows == []


def test_unknown_link_is_told_from_a_known_one_only_by_its_answer(till: Till, said: list[Any]) -> None:
    heard = till.send(f"/pos/nobody/{OTHER}/echo")
    assert heard.status == 404
    assert OTHER not in heard.body.decode() + repr(said)


@pytest.mark.parametrize("prefix", ["/pos/", "//pos/", "/POS/", "///Pos/"])
def test_slashes_in_front_and_the_case_of_the_prefix_do_not_matter(till: Till, prefix: str) -> None:
    assert till.send(f"{prefix}{till.link.code}/{SECRET}/echo").status == 200
    assert till.row["request"].path == "echo"


@pytest.mark.parametrize("path", ["/echo", "echo//", "//echo///"])
def test_slashes_that_are_told_twice_count_once(till: Till, path: str) -> None:
    assert till.send(f"/pos/{till.link.code}//{SECRET}/{path}").status == 200
    assert till.row["request"].path in ("echo", "echo/")


@pytest.mark.parametrize("path", ["echo", "ECHO", "Echo.PHP", "echo.php", "echo/", "echo.php/"])
def test_case_suffix_and_trailing_slash_do_not_matter(till: Till, path: str) -> None:
    heard = till.send(path)
    assert heard.status == 200
    assert json.loads(heard.body)["path"] == path
    assert till.row["route"] == "echo"


@pytest.mark.parametrize("path", ["", "echo2", "xecho", "echo.phpx", "echo/more", "e", "..", "echo\n", "echo?x"])
def test_path_that_is_no_route_is_refused_in_the_protocols_words(till: Till, path: str) -> None:
    heard = till.send(f"/pos/{till.link.code}/{SECRET}/{path}")
    assert heard.body == b"no: no_such_route"
    assert (till.row["route"], till.row["outcome"]) == ("-", "no_such_route")
    assert till.row["request"].path == path


def test_method_decides_with_the_path(till: Till) -> None:
    assert till.send("echo", method="GET").body == b"no: no_such_route"
    assert till.send("things/7", method="POST").body == b"no: no_such_route"
    assert [till.send("things/7", method=method).status for method in ("GET", "PUT")] == [200, 200]
    assert [row["outcome"] for row in till.log.rows] == ["no_such_route"] * 2 + ["ok"] * 2


def test_one_path_may_have_a_handler_for_each_method(till: Till) -> None:
    assert till.send("look", b"5550001234").body == b"5550001234"
    assert json.loads(till.send("look", method="GET").body)["method"] == "GET"
    assert till.send("look", method="PUT").body == b"no: no_such_route"


def test_handler_sees_groups_of_its_route_query_and_headers_in_any_case(till: Till) -> None:
    heard = till.send("things/7/parts", method="GET", QUERY_STRING="a=1&b=2", HTTP_X_SHIFT="212", CONTENT_LENGTH="0")
    told = json.loads(heard.body)
    assert told["groups"] == {"number": "7", "part": "parts"}
    assert told["query"] == "a=1&b=2"
    assert told["headers"] == {"x-shift": "212", "content-type": "text/plain", "content-length": "0"}
    assert (told["caller"], told["store"]) == (till.link.code, "spb-3")
    assert json.loads(till.send("things/7", method="GET").body)["groups"] == {"number": "7", "part": ""}


def test_headers_are_found_in_any_spelling_and_counted() -> None:
    headers = Headers({"HTTP_X_ONE": "1", "CONTENT_TYPE": "text/xml", "PATH_INFO": "/", "wsgi.input": None})
    assert headers["X-One"] == headers["x-one"] == "1"
    assert (headers["Content-Type"], headers.get("x-two", "none")) == ("text/xml", "none")
    assert sorted(headers) == ["content-type", "x-one"]
    assert len(headers) == 2


def test_answer_carries_its_type_length_and_headers(till: Till) -> None:
    heard = till.send("echo")
    assert heard.headers == {
        "Content-Type": "application/json",
        "Content-Length": str(len(heard.body)),
        "X-Kind": "echo",
    }


def test_door_speaks_wsgi(till: Till) -> None:
    heard = call(validator(till.pos), f"/pos/{till.link.code}/{SECRET}/look", Body(b"5550001234"), "POST")
    assert (heard.status, heard.body) == (200, b"5550001234")


def test_status_without_a_phrase_of_ours_is_passed_on(till: Till) -> None:
    assert till.send("look", b"busy").status == 418


# Who may come in ----------------------------------------------------------------------------------------------


class Held:
    """Something of a message, as long as anybody keeps it."""


def test_a_refused_message_is_let_go_of_at_once() -> None:
    """Its refusal is told and logged; nothing of the message waits for a collector of garbage."""
    seen: list[weakref.ref[Held]] = []

    def hold(request: WireRequest, link: Link) -> WireResponse:
        held = Held()
        seen.append(weakref.ref(held))
        raise BadMessage("no number", where="body")

    till = Till(settings(), replace(PROTOCOL, routes=(Route("hold", hold, IN_PATH),)))
    gc.disable()
    try:
        assert till.send("hold").body == b"no: bad_message"
        assert [each() for each in seen] == [None]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "rest",
    [
        f"{OTHER}/echo",
        "echo",
        f"{SECRET.upper()}/echo",
        f"{SECRET[:-1]}/echo",
        f"{SECRET}x/echo",
        f"{OTHER}/{SECRET}/echo",
        f"{SECRET}%2Fecho",
        f" {SECRET}/echo",
        "\udcff\udcfe/echo",
        "é/echo",
    ],
)
def test_wrong_secret_is_refused_in_the_protocols_words(till: Till, rest: str) -> None:
    heard = till.send(f"/pos/{till.link.code}/{rest}", b"5550001234")
    assert (heard.status, heard.body) == (403, b"no: bad_credentials")
    assert (till.row["outcome"], till.row["status"]) == ("bad_credentials", 403)


@pytest.mark.parametrize(
    "rest", [f"{OTHER}/echo", f"x/{OTHER}/echo", OTHER, f"{OTHER}/", f"echo/{OTHER}", f"echo/{OTHER}/"]
)
def test_what_stands_where_the_secret_should_be_is_told_to_nobody(till: Till, said: list[Any], rest: str) -> None:
    heard = till.send(f"/pos/{till.link.code}/{rest}")
    assert heard.status == 403
    assert OTHER not in repr(till.row) + repr(said) + repr(heard)
    assert till.row["request"].path in ("echo", "")


def test_secret_of_the_link_is_never_in_the_log(till: Till, said: list[Any]) -> None:
    for path in ("echo", "nowhere", "stumble", "misread", "twice", "look"):
        till.send(path, b"blocked")
    assert len(till.log.rows) == 6
    assert SECRET not in repr(till.log.rows) + repr(said)


def test_secret_that_is_sent_to_a_paused_link_is_never_in_the_log(said: list[Any]) -> None:
    """A link that is switched off may do without its secret; its till goes on sending it."""
    for own in ((), (secret(SECRET),)):
        till = Till(settings(enabled=False, secrets=own))
        for path in ("echo", "nowhere", ""):
            assert till.send(path).body == b"no: link_paused"
        assert len(till.log.rows) == 3
        assert SECRET not in repr(till.log.rows) + repr(said)


INSIDE = ("10.20.0.0/24", "192.0.2.7/32", "2001:db8:1::/48")


@pytest.mark.parametrize(
    ("address", "is_inside"),
    [
        ("10.20.0.1", True),
        ("10.20.0.255", True),
        ("192.0.2.7", True),
        ("2001:db8:1::7", True),
        ("2001:DB8:1:0:0:0:0:7", True),
        ("10.20.1.1", False),
        ("192.0.2.8", False),
        ("2001:db8:2::7", False),
        ("127.0.0.1", False),
        ("", False),
        ("localhost", False),
        ("10.20.0.1, 8.8.8.8", False),
        ("unix:", False),
    ],
)
def test_link_with_addresses_hears_these_only(address: str, is_inside: bool) -> None:
    networks = tuple(map(ip_network, INSIDE))
    for secrets in ((secret(SECRET),), ()):
        till = Till(settings(addresses=networks, secrets=secrets))
        path = "echo" if secrets else f"/pos/{till.link.code}/echo"
        heard = till.send(path, REMOTE_ADDR=address)
        assert heard.status == (200 if is_inside else 403)
        assert till.row["request"].path == "echo"


def test_ipv4_caller_on_an_ipv6_socket_is_known_by_its_address() -> None:
    till = Till(settings(addresses=(ip_network("10.20.0.0/24"),)))
    assert till.send("echo", REMOTE_ADDR="::ffff:10.20.0.1").status == 200


def test_address_alone_is_not_enough_where_a_secret_is_set() -> None:
    till = Till(settings(addresses=(ip_network("192.0.2.7/32"),)))
    assert till.send(f"/pos/{till.link.code}/{OTHER}/echo").status == 403
    assert till.send("echo", REMOTE_ADDR="192.0.2.8").status == 403
    assert till.send("echo").status == 200


def test_address_that_a_caller_claims_in_a_header_does_not_count() -> None:
    till = Till(settings(addresses=(ip_network("10.20.0.0/24"),)))
    claims = {"HTTP_X_FORWARDED_FOR": "10.20.0.1", "HTTP_X_REAL_IP": "10.20.0.1", "HTTP_FORWARDED": "for=10.20.0.1"}
    assert till.send("echo", **claims).status == 403


def test_paused_link_answers_so_and_asks_nothing() -> None:
    def nobody(asks: Sequence[Ask[Any]]) -> Sequence[Any]:
        raise AssertionError("a paused link asks")

    till = Till(settings(enabled=False), ask=nobody)
    assert till.send("look", b"5550001234").body == b"no: link_paused"
    assert till.row["outcome"] == "link_paused"
    assert till.row["request"].body == b"5550001234"


def test_paused_link_still_wants_its_addresses() -> None:
    till = Till(settings(enabled=False, addresses=(ip_network("10.20.0.0/24"),)))
    assert till.send("echo").body == b"no: bad_credentials"
    assert till.send("echo", REMOTE_ADDR="10.20.0.7").body == b"no: link_paused"


# Bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "is_taken"), [(0, True), (MAX_BODY, True), (MAX_BODY + 1, False), (50_000_000, False)]
)
def test_body_over_the_routes_limit_is_refused_without_reading_it_all(till: Till, size: int, is_taken: bool) -> None:
    stream = Body(b"x" * size)
    heard = till.send("echo", stream)
    assert stream.taken <= MAX_BODY + 1
    kept = till.row["request"].body
    if is_taken:
        assert json.loads(heard.body)["size"] == size
        assert len(kept) == size
    else:
        assert heard.body == b"no: too_large"
        assert till.row["outcome"] == "too_large"
        assert kept == b"x" * min(size, KEPT_OF_TOO_LARGE, MAX_BODY + 1)


def test_body_of_a_large_route_is_kept_cut(till: Till) -> None:
    """What nobody will read is not worth a megabyte of the log."""
    till.send("look", b"x" * ((1 << 20) + 1))
    assert till.row["request"].body == b"x" * KEPT_OF_TOO_LARGE


def test_stranger_cannot_make_the_door_read_or_keep_much(till: Till) -> None:
    stream = Body(b"x" * 5_000_000)
    assert till.send(f"/pos/{till.link.code}/{OTHER}/look", stream).status == 403
    assert stream.taken <= KEPT_OF_TOO_LARGE + 1
    assert len(till.row["request"].body) <= KEPT_OF_TOO_LARGE


def test_body_of_a_refused_message_is_kept_whole(till: Till) -> None:
    till.send("misread", b"<ROOT>" * 100)
    assert till.row["request"].body == b"<ROOT>" * 100


def test_length_that_the_caller_claims_does_not_matter(till: Till) -> None:
    """A WSGI server ends the stream where the message ends, chunked or not."""
    for claimed in ({}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "-1"}, {"CONTENT_LENGTH": "99999999999"}):
        assert json.loads(till.send("echo", b"x" * 10, **claimed).body)["size"] == 10


# Conversations ------------------------------------------------------------------------------------------------


def test_handler_hears_what_the_core_has_answered(till: Till) -> None:
    assert till.send("look", b"5550001234").body == b"5550001234"
    assert till.send("two", b"5550001234 blocked 5550005678").body == b"5550001234 card_blocked 5550005678"
    assert [row["outcome"] for row in till.log.rows] == ["ok", "ok"]


@pytest.mark.parametrize(("body", "code"), [(b"blocked", "card_blocked"), (b"busy", "busy"), (b"down", "busy")])
def test_refusal_of_the_core_is_told_in_the_protocols_words(till: Till, body: bytes, code: str) -> None:
    assert till.send("look", body).body == f"no: {code}".encode()
    assert till.row["outcome"] == code


def test_unreadable_message_is_refused_and_its_value_stays_out_of_our_log(till: Till, said: list[Any]) -> None:
    assert till.send("misread").body == b"no: bad_message"
    (line,) = said
    assert (line["event"], line["where"], line["link"]) == ("bad_message", "body", till.link.code)
    assert INNER not in repr(said)


def test_why_a_message_was_not_understood_is_kept_without_what_stood_there(till: Till) -> None:
    till.send("misread")
    assert till.row["request"].reason == "body: no number"
    till.send("look", b"blocked")
    assert [row["request"].reason for row in till.log.rows] == ["body: no number", ""]


@pytest.mark.parametrize("path", ["twice", "stumble", "late", "mistake"])
def test_bug_is_a_500_without_inner_detail_and_recorded_as_failed(till: Till, said: list[Any], path: str) -> None:
    heard = till.send(path, b"1")
    assert heard.status == 500
    assert heard.body == b"internal error"
    assert (till.row["outcome"], till.row["status"], till.row["answer"]) == ("failed", 500, heard.body)
    (line,) = said
    assert (line["event"], line["log_level"], line["request_id"]) == (
        "exchange_failed",
        "error",
        till.row["request_id"],
    )
    assert till.counted("tillgate_requests_total", outcome="failed") == 1


def test_bug_in_the_words_of_a_refusal_is_a_500_as_well(till: Till) -> None:
    def speechless(error: LoyaltyError, request: WireRequest, link: Link) -> WireResponse:
        raise KeyError(INNER)

    till.adapter = replace(PROTOCOL, refuse=speechless)
    for path in ("look", "nowhere", f"/pos/{till.link.code}/{OTHER}/look"):
        heard = till.send(path, b"blocked")
        assert (heard.status, heard.body) == (500, b"internal error")
    assert [row["outcome"] for row in till.log.rows] == ["failed"] * 3


def test_bug_of_the_core_is_a_500(till: Till) -> None:
    def broken(asks: Sequence[Ask[Any]]) -> Sequence[Any]:
        raise RuntimeError(INNER)

    till.ask = broken
    assert till.send("look", b"1").body == b"internal error"


def test_conversation_asks_at_most_once() -> None:
    asked: list[Ask[Any]] = []

    def counting(asks: Sequence[Ask[Any]]) -> Sequence[Any]:
        asked.extend(asks)
        return core(asks)

    door = doors({"a": settings(code="a")}, {PROTOCOL.name: PROTOCOL}, {"spb-3": "Europe/Moscow"})["a"]
    request = WireRequest("POST", "twice", "", {}, b"", "id", datetime.now(UTC))
    with pytest.raises(RuntimeError, match="asks twice"):
        converse(find(PROTOCOL, "twice", "POST"), request, door.link, counting)
    assert len(asked) == 1


# What is counted and recorded ---------------------------------------------------------------------------------


def test_every_exchange_is_recorded_once_with_all_that_a_replay_needs(till: Till) -> None:
    before = datetime.now(UTC)
    heard = till.send("echo.php", b"hello", QUERY_STRING="a=1", CONTENT_TYPE="text/xml")
    row = till.row
    assert (row["link"], row["route"], row["outcome"], row["status"]) == (till.link.code, "echo", "ok", 200)
    assert row["request"] == Request("POST", "echo.php", "text/xml", b"hello", query="a=1")
    assert row["answer"] == heard.body
    assert before <= row["at"] <= datetime.now(UTC)
    assert 0 < row["took_us"] < 10_000_000


def test_request_ids_are_new_every_time(till: Till) -> None:
    for _ in range(50):
        till.send("echo")
    assert len({row["request_id"] for row in till.log.rows}) == 50
    assert all(len(row["request_id"]) == 32 for row in till.log.rows)


def test_requests_are_counted_by_link_and_outcome_and_refusals_by_code(till: Till) -> None:
    def refused(code: str) -> float:
        return REGISTRY.get_sample_value("tillgate_refusals_total", {"code": code}) or 0.0

    codes = ("card_blocked", "bad_message", "bad_credentials", "no_such_route", "failed")
    before = [refused(code) for code in codes]
    for path, body in (("look", b"1"), ("look", b"2"), ("look", b"blocked"), ("misread", b""), ("nowhere", b"")):
        till.send(path, body)
    till.send(f"/pos/{till.link.code}/{OTHER}/echo")
    till.send("stumble")
    outcomes = {"ok": 2, "card_blocked": 1, "bad_message": 1, "no_such_route": 1, "bad_credentials": 1, "failed": 1}
    counted = {outcome: till.counted("tillgate_requests_total", outcome=outcome) for outcome in outcomes}
    assert counted == outcomes
    assert [refused(code) - was for code, was in zip(codes, before, strict=True)] == [1, 1, 1, 1, 0]
    assert till.counted("tillgate_request_seconds_count") == sum(outcomes.values())
    assert till.counted("tillgate_request_seconds_sum") > 0


# r_keeper -----------------------------------------------------------------------------------------------------


def test_wrong_secret_of_r_keeper_is_told_in_xml() -> None:
    options = RkeeperOptions().load({"restaurant_codes": ["310070003"]})
    till = Till(settings(adapter="rkeeper", options=options), RKEEPER)
    for function, mark in (("GetCardInfoEx.php", b"Locked"), ("TransactionsEx", b'error_code="63"')):
        heard = till.send(f"/pos/{till.link.code}/{OTHER}/{function}", b"<ROOT/>")
        assert heard.status == 403
        assert heard.headers["Content-Type"] == "text/xml; charset=utf-8"
        assert mark in heard.body and heard.body.startswith(b"<?xml") and b"<Root>" in heard.body
