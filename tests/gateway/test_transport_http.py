"""Calls over HTTP end in time and in bounds, whatever the far side does; what it has said comes back as it was."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import responses
import tenacity
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from adapters.contract import HttpCall, HttpReply, Session, checked
from gateway import outer_addresses, transport
from gateway.far_side import FarSide
from gateway.outer_addresses import HalfAnswer, LineBroke
from gateway.transport import FarTransport
from gateway.transport_line import MAX_HEAD
from processing.errors import BadReply, LinkDown, LinkRefused, Undelivered
from tests.gateway.far_sides import (
    PATIENCE,
    Authority,
    Script,
    answer_of,
    call,
    endless,
    far_side,
    in_turn,
    ok,
    resets,
    says,
    server_context,
    serving,
    trusting,
)

GET = HttpCall("GET", "/things")
POST = HttpCall("POST", "/things", body=b"x", repeatable=False)
MOST = 10_000


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_WAIT_SECONDS", 0)
    monkeypatch.setattr(transport, "MOST_WAIT_SECONDS", 0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


def asked(script: Script, what: HttpCall = GET, **told: Any) -> HttpReply:
    """What comes of one call to a server with this script."""
    with serving(script) as server:
        reply = call(far_side(server.port, **{"max_answer_bytes": MOST, **told}), what)
    assert isinstance(reply, HttpReply)
    return reply


# What is sent and what comes back ---------------------------------------------------------------------------------


def test_a_request_goes_below_the_address_as_the_call_says() -> None:
    with serving(says(ok(b"answer", "X-Kind: Thing"))) as server:
        what = HttpCall("PUT", "/things?a=1&b=%20", {"Content-Type": "text/plain"}, "тело".encode())
        reply = call(far_side(server.port), what)
    assert isinstance(reply, HttpReply)
    assert (reply.status, reply.body, reply.headers["x-kind"]) == (200, b"answer", "Thing")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /base/things?a=1&b=%20 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}".encode() in head
    assert b"Content-Type: text/plain" in head
    assert b"Accept-Encoding: identity" in head
    assert body == "тело".encode()


@pytest.mark.parametrize("status", ["201 Created", "204 No Content", "404 Not Found", "500 Oops", "503 Later"])
def test_every_status_is_a_reply(status: str) -> None:
    body = b"" if status.startswith("204") else b"words"
    assert asked(says(ok(body, status=status))).status == int(status[:3])


def test_a_redirect_is_a_reply_and_is_not_followed() -> None:
    location = "Location: http://127.0.0.1:9/elsewhere"
    with serving(says(ok(b"", location, status="302 Found"))) as server:
        reply = call(far_side(server.port), GET)
    assert isinstance(reply, HttpReply)
    assert (reply.status, reply.headers["location"]) == (302, "http://127.0.0.1:9/elsewhere")
    assert len(server.requests) == 1
    with pytest.raises(LinkRefused):
        checked(reply)


def test_cookies_are_told_one_a_line_and_never_sent_back() -> None:
    with serving(says(ok(b"", "Set-Cookie: a=1; expires=Mon, 01 Jan", "Set-Cookie: b=2"))) as server:
        far = FarTransport(far_side(server.port))
        reply = far.call(GET, None, time.monotonic() + PATIENCE)
        far.call(GET, None, time.monotonic() + PATIENCE)
        far.close()
    assert isinstance(reply, HttpReply)
    assert reply.headers["set-cookie"].split("\n") == ["a=1; expires=Mon, 01 Jan", "b=2"]
    assert b"cookie" not in server.requests[1].lower()


def test_a_connection_is_kept_but_not_for_what_may_not_be_repeated() -> None:
    with serving(says(ok())) as server:
        far = FarTransport(far_side(server.port))
        for what in (GET, GET, POST, GET):
            far.call(what, None, time.monotonic() + PATIENCE)
        far.close()
    assert (len(server.requests), server.connections) == (4, 2)


def test_a_signed_call_has_the_headers_of_the_session_and_its_signature() -> None:
    at = datetime(2026, 5, 4, tzinfo=UTC)

    def sign(what: HttpCall, now: datetime) -> dict[str, str]:
        return {"X-Sign": f"{what.method} {what.path} {now:%Y}"}

    session = Session({"Authorization": "Bearer t", "X-Kind": "session"}, 60, sign=sign)
    with serving(says(ok())) as server:
        far = FarTransport(far_side(server.port), now=lambda: at)
        signed = HttpCall("GET", "/a", {"x-kind": "call"})
        for what in (signed, replace(signed, signed=False)):
            far.call(what, session, time.monotonic() + PATIENCE)
        far.close()
    first, second = (request.lower() for request in server.requests)
    assert b"authorization: bearer t\r\n" in first
    assert b"x-sign: get /a 2026\r\n" in first
    assert first.count(b"x-kind:") == 1
    assert b"x-kind: call\r\n" in first
    assert b"authorization" not in second
    assert b"x-sign" not in second


def test_proxies_and_netrc_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(says(ok())) as server:
        call(far_side(server.port), GET)
    assert b"authorization" not in server.requests[0].lower()


@pytest.mark.parametrize(
    "what",
    [
        HttpCall("GET", "/../secrets"),
        HttpCall("GET", "/a/%2e%2e/%2e%2e/secrets"),
        HttpCall("GET", "/a\\..\\..\\secrets"),
        HttpCall("GET", "/order#1?keep=me"),
        HttpCall("GET", "/" + "a" * 9000),
        HttpCall("GET", "/", {"X-Kind": "a\r\nX-Other: b"}),
        HttpCall("GET", "/", {"X-Kind": "кириллица"}),
        HttpCall("GET /other HTTP/1.1\r\nX:", "/"),
    ],
)
def test_what_leads_elsewhere_or_is_no_request_is_not_sent(what: HttpCall) -> None:
    with serving(says(ok())) as server, pytest.raises(LinkRefused):
        call(far_side(server.port), what)
    assert server.requests == []


def test_an_address_may_have_letters_of_any_alphabet() -> None:
    with serving(says(ok())) as server:
        call(far_side(server.port, base="/Торговля/hs"), HttpCall("GET", "/Карта?номер=1"))
    assert server.requests[0].startswith(f"GET {quote('/Торговля/hs/Карта')}?{quote('номер')}=1 HTTP".encode())


@pytest.mark.parametrize("path", ["@elsewhere.example/", "//elsewhere.example/", ":80@elsewhere.example"])
def test_a_path_cannot_name_another_host(path: str) -> None:
    with serving(says(ok())) as server:
        call(far_side(server.port), HttpCall("GET", path))
    assert f"host: 127.0.0.1:{server.port}".encode() in server.requests[0].lower()


# Bounds -----------------------------------------------------------------------------------------------------------


def test_an_answer_of_the_bound_comes_through_and_one_more_byte_does_not() -> None:
    assert len(asked(says(ok(b"a" * MOST))).body) == MOST
    for most in (ok(b"a" * (MOST + 1)), b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * (MOST + 1)):
        with pytest.raises(BadReply, match=str(MOST)):
            asked(says(most, close=True))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HEADED = b"HTTP/1.1 200 OK\r\n"

ENDLESS = {
    "body": endless(HEADED + b"\r\n", b"a" * 4096),
    "chunks": endless(CHUNKED, b"1000\r\n" + b"a" * 4096 + b"\r\n"),
    "chunk size": endless(CHUNKED, b"0" * 4096),
    "chunk extension": endless(CHUNKED + b"1;", b"a" * 4096),
    "trailers": endless(CHUNKED + b"0\r\n", b"X-A: b\r\n" * 100),
    "headers": endless(HEADED, b"X-A: " + b"b" * 4096 + b"\r\n"),
    "many headers": endless(HEADED, b"X: y\r\n"),
    "one header": endless(HEADED + b"X-A: ", b"a" * 4096),
    "status line": endless(b"HTTP/1.1 200 ", b"O" * 4096),
    "continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "not HTTP": endless(b"", b"220 mail.example ESMTP\r\n"),
}


@pytest.mark.parametrize("script", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_answer_is_cut_off_by_its_size(script: Script) -> None:
    with pytest.raises(BadReply):
        asked(script)


DRIPPING = {
    "body": endless(HEADED + b"\r\n", b"a", 0.02),
    "chunk size": endless(CHUNKED, b"0", 0.02),
    "headers": endless(HEADED + b"X-A: ", b"b", 0.02),
    "status line": endless(b"HTTP/1.1 200 ", b"O", 0.02),
    "continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
    "nothing": endless(b"", b"", 0.02),
}


@pytest.mark.parametrize("script", DRIPPING.values(), ids=DRIPPING)
def test_an_answer_that_drips_ends_with_the_time_for_the_whole_call(script: Script) -> None:
    """Each read gets its byte long before ``read_seconds``; a minute would pass if only reads were bounded."""
    with serving(script) as server, pytest.raises(LinkDown):
        call(far_side(server.port, read_seconds=60, total_seconds=60), GET, seconds=0.5)


def test_the_link_bounds_the_whole_call_too() -> None:
    with pytest.raises(LinkDown):
        asked(DRIPPING["body"], total_seconds=0.5)


def test_silence_ends_with_the_time_for_a_read() -> None:
    with pytest.raises(LinkDown, match="in time"):
        asked(endless(b"", b"", 0.02), read_seconds=0.2)
    with pytest.raises(LinkDown, match="stops within"):
        asked(in_turn(says(HEADED + b"Content-Length: 5\r\n\r\nab")), read_seconds=0.2)


def test_a_deadline_that_has_passed_sends_nothing() -> None:
    with serving(says(ok())) as server, pytest.raises(LinkDown):
        call(far_side(server.port), GET, seconds=-1)
    assert server.requests == []


def test_a_far_side_that_does_not_read_is_not_waited_for() -> None:
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        sock, _ = listener.accept()
        stop.wait(PATIENCE)
        sock.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        with pytest.raises(LinkDown):
            call(far_side(listener.getsockname()[1]), HttpCall("POST", "/", body=bytes(32 << 20)), seconds=0.5)
    finally:
        stop.set()
        listener.close()


# Broken answers ---------------------------------------------------------------------------------------------------

HALF = {
    "body": HEADED + b"Content-Length: 100\r\n\r\nhalf",
    "chunk": CHUNKED + b"64\r\nhalf",
    "between chunks": CHUNKED + b"4\r\nhalf\r\n",
    "chunk size": CHUNKED + b"6",
    "header": HEADED + b"Content-Le",
    "between headers": HEADED + b"Content-Type: text/plain\r\n",
    "after the status line": HEADED,
}


@pytest.mark.parametrize("answer", HALF.values(), ids=HALF)
def test_half_an_answer_is_none(answer: bytes) -> None:
    """Above all not a success with an empty body."""
    with pytest.raises(HalfAnswer):
        asked(says(answer, close=True))


BROKEN = {
    "bytes": b"\x00\x01\x02\x03\r\n\r\n",
    "other protocol": b"SSH-2.0-OpenSSH\r\n",
    "chunk size": CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
    "two lengths": HEADED + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "compressed": ok(b"abc", "Content-Encoding: gzip"),
    "status": b"HTTP/1.1 abc OK\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_is_a_bad_reply(answer: bytes) -> None:
    with pytest.raises(BadReply):
        asked(says(answer, close=True))


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[tuple[FarTransport, list[bytes]]]:
    """A transport whose far side answers with the bytes that are in the list, then closes."""
    said = [b""]

    def script(sock: socket.socket, request: bytes) -> None:
        sock.sendall(said[0])
        sock.shutdown(socket.SHUT_RDWR)

    with serving(script) as server:
        far = FarTransport(far_side(server.port, max_answer_bytes=MOST))
        yield far, said
        far.close()


WORDS = (
    "HTTP/1.1 |200 OK|100 Continue|204|\r\n|\r\n\r\n|Content-Length: |5|-1|Transfer-Encoding: chunked|Location: /|: |0|"
    "ffffffffffffffff|hello|\x00|\n"
)
PIECES = st.lists(st.sampled_from(WORDS.encode().split(b"|")) | st.binary(max_size=8), max_size=14)


@given(PIECES, st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_reply_or_an_error_of_delivery(
    fuzzed: tuple[FarTransport, list[bytes]], pieces: list[bytes], begins_well: bool
) -> None:
    far, said = fuzzed
    said[0] = (HEADED if begins_well else b"") + b"".join(pieces)
    with suppress(Undelivered), capture_logs():
        assert isinstance(far.call(GET, None, time.monotonic() + PATIENCE), HttpReply)


@given(st.text(max_size=40) | st.sampled_from(["Mon, 99 May 2026 12:00:00 GMT", "Mon, 04 May 99999999 12:00:00 +9999"]))
def test_no_retry_after_is_more_than_a_day_or_an_error(told: str) -> None:
    for date in ("Mon, 04 May 2026 12:00:00 GMT", told):
        with pytest.raises(LinkDown) as caught:
            checked(HttpReply(503, {"retry-after": told, "date": date}, b""))
        seconds = caught.value.retry_seconds
        assert seconds is None or 0 <= seconds <= 86_400


def test_bytes_behind_an_answer_do_not_become_the_next_one() -> None:
    smuggled = ok(b"first") + ok(b"smuggled")
    with serving(in_turn(says(smuggled), says(ok(b"second")))) as server:
        far = FarTransport(far_side(server.port))
        first, second = (far.call(GET, None, time.monotonic() + PATIENCE) for _ in range(2))
        far.close()
    assert isinstance(first, HttpReply)
    assert isinstance(second, HttpReply)
    assert (first.body, second.body) == (b"first", b"second")


def test_a_length_that_is_no_number_reads_to_the_end() -> None:
    reply = asked(says(HEADED + b"Content-Length: many\r\n\r\nabc", close=True))
    assert reply.body == b"abc"


def test_an_unreachable_or_breaking_line_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(LineBroke):
        call(far_side(port), GET)
    for script in (resets, says(b"", close=True)):
        with pytest.raises(LineBroke):
            asked(script)


# Tries ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [resets, says(HALF["body"], close=True), says(b"", close=True)])
def test_a_broken_line_is_tried_again_where_it_does_no_harm(first: Script) -> None:
    with serving(in_turn(first, first, says(ok()))) as server:
        assert call(far_side(server.port, tries=3), GET) == HttpReply(200, {"content-length": "2"}, b"ok")
    assert len(server.requests) == 3


def test_what_may_not_be_repeated_is_sent_once() -> None:
    with serving(resets) as server, pytest.raises(LinkDown):
        call(far_side(server.port, tries=5), POST)
    assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [ok(status="503 Later"), ok(b"a" * (MOST + 1)), BROKEN["bytes"]])
def test_an_answer_is_not_asked_for_again(answer: bytes) -> None:
    with serving(says(answer, close=True)) as server, suppress(BadReply):
        call(far_side(server.port, tries=5, max_answer_bytes=MOST), GET)
    assert len(server.requests) == 1


def test_tries_end_with_their_number_and_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(resets) as server, pytest.raises(LinkDown):
        call(far_side(server.port, tries=4), GET)
    assert len(server.requests) == 4
    monkeypatch.setattr(tenacity, "wait_random_exponential", lambda *_: tenacity.wait_fixed(PATIENCE))
    with serving(resets) as server, pytest.raises(LinkDown):
        call(far_side(server.port, tries=4), GET, seconds=PATIENCE / 2)
    assert len(server.requests) == 1


# Names and addresses ----------------------------------------------------------------------------------------------


def test_an_inner_address_is_out_of_reach_unless_the_link_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_of({"inner.example": ["127.0.0.1"]}, monkeypatch)
    with serving(says(ok())) as server:
        for host in ("inner.example", "127.0.0.1", "[::ffff:127.0.0.1]"):
            with pytest.raises(LinkDown, match="inner"):
                call(far_side(server.port, "https", host, inner_addresses=()), GET)
        assert server.connections == 0
        call(far_side(server.port, host="inner.example"), GET)


def test_a_name_that_changes_between_check_and_connect_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look-up for each connection; what it has answered is checked, and connected to."""
    tried: list[Any] = []

    class Recorded(outer_addresses.socket.socket):  # type: ignore[name-defined,misc]
        def connect(self, address: Any) -> None:
            tried.append(address)
            raise OSError

    answers = {"rebinding.example": ["198.50.100.7"]}
    seen = answer_of(answers, monkeypatch)
    monkeypatch.setattr("gateway.transport_http.PlainSocket", Recorded)

    original = outer_addresses.may_reach

    def check_then_rebind(*told: Any) -> bool:
        fit = original(*told)
        answers["rebinding.example"] = ["127.0.0.1"]
        return fit

    monkeypatch.setattr(outer_addresses, "may_reach", check_then_rebind)
    told = far_side(443, "https", "rebinding.example", inner_addresses=())
    with pytest.raises(LineBroke):
        call(told, GET)
    assert (tried, seen) == ([("198.50.100.7", 443)], ["rebinding.example"])
    with pytest.raises(LinkDown, match="inner"):
        call(told, GET)
    assert len(tried) == 1


def test_of_several_addresses_only_those_that_may_be_reached_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    class Recorded(outer_addresses.socket.socket):  # type: ignore[name-defined,misc]
        def connect(self, address: Any) -> None:
            tried.append(address[0])
            raise OSError

    monkeypatch.setattr("gateway.transport_http.PlainSocket", Recorded)
    answer_of({"many.example": ["10.0.0.1", "198.50.100.7", "127.0.0.1", "198.50.100.8"]}, monkeypatch)
    with pytest.raises(LineBroke):
        call(far_side(443, "https", "many.example", inner_addresses=()), GET)
    assert tried == ["198.50.100.7", "198.50.100.8"]


def test_without_tls_calls_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_of({"outer.example": ["198.50.100.7"]}, monkeypatch)
    with pytest.raises(LinkDown, match="inner_addresses"):
        call(far_side(80, "http", "outer.example"), GET)


def test_a_look_up_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: stop.wait(PATIENCE) and [])
    try:
        with pytest.raises(LineBroke, match="look-up"):
            call(far_side(443, "https", "hangs.example"), GET, seconds=0.3)
    finally:
        stop.set()


def test_an_unknown_name_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_of({}, monkeypatch)
    with pytest.raises(LineBroke, match="not found"):
        call(far_side(443, "https", "nobody.example"), GET)


# TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_of({name: ["127.0.0.1"] for name in ("far.example", "other.example")}, monkeypatch)


def over_tls(server: Any, authority: Authority, host: str = "far.example", **told: Any) -> HttpReply:
    reply = call(far_side(server.port, "https", host, **{**trusting(authority), **told}), GET)
    assert isinstance(reply, HttpReply)
    return reply


def test_host_and_certificate_go_by_the_name(authority: Authority, names: None) -> None:
    with serving(says(ok()), server_context(authority.issue("far.example"))) as server:
        assert over_tls(server, authority).status == 200
        assert f"Host: far.example:{server.port}".encode() in server.requests[0]
        with pytest.raises(LinkDown, match="not trusted"):
            over_tls(server, authority, "other.example")


def test_a_certificate_that_nobody_vouches_for_or_that_is_over_is_refused(
    authority: Authority, names: None, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger")
    for certificate in (stranger.issue("far.example"), authority.issue("far.example", days=-1)):
        with serving(says(ok()), server_context(certificate)) as server:
            with pytest.raises(LinkDown, match="not trusted"):
                over_tls(server, authority, tries=5)
            assert (server.requests, server.connections) == ([], 1)


def test_without_an_authority_of_its_own_a_link_trusts_the_public_ones(authority: Authority, names: None) -> None:
    with (
        serving(says(ok()), server_context(authority.issue("far.example"))) as server,
        pytest.raises(LinkDown, match="not trusted"),
    ):
        call(far_side(server.port, "https", "far.example"), GET)


def test_the_environment_names_no_authorities(
    authority: Authority, names: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, authority.file)
    with (
        serving(says(ok()), server_context(authority.issue("far.example"))) as server,
        pytest.raises(LinkDown, match="not trusted"),
    ):
        call(far_side(server.port, "https", "far.example"), GET)


def test_a_link_proves_itself_with_its_certificate(authority: Authority, names: None, tmp_path: Path) -> None:
    clients = Authority(tmp_path / "clients")
    context = server_context(authority.issue("far.example"), clients)
    with serving(says(ok()), context) as server:
        assert over_tls(server, authority, **trusting(authority, clients.issue("bistro"))).status == 200
        for wrong in (None, authority.issue("bistro")):
            with pytest.raises(LinkDown):
                over_tls(server, authority, **trusting(authority, wrong))
        assert len(server.requests) == 1


def test_certificates_that_cannot_be_read_are_told(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name, readable in (("ca_file", {}), ("client_cert", trusting(authority))):
        with pytest.raises(LinkDown, match="certificates"):
            call(far_side(443, "https", **{**readable, name: str(tmp_path / "empty.pem")}), GET)


def test_bounds_hold_over_tls(authority: Authority, names: None) -> None:
    context = server_context(authority.issue("far.example"))
    for script, error in ((ENDLESS["body"], BadReply), (ENDLESS["one header"], BadReply), (resets, LinkDown)):
        with serving(script, context) as server, pytest.raises(error):
            over_tls(server, authority, max_answer_bytes=MOST)
    for script in (DRIPPING["body"], DRIPPING["headers"]):
        with serving(script, context) as server, pytest.raises(LinkDown):
            over_tls(server, authority, total_seconds=0.5, read_seconds=60)


def test_a_handshake_that_nobody_answers_ends_in_time(authority: Authority, names: None) -> None:
    with serving(endless(b"", b"")) as server, pytest.raises(LinkDown):
        over_tls(server, authority, connect_seconds=0.3)


def test_a_far_side_without_tls_is_told() -> None:
    plain = says(ok(), close=True)
    with serving(lambda sock, _: plain(sock, b"")) as server, pytest.raises(LinkDown):
        call(far_side(server.port, "https", connect_seconds=1), GET)


# check, log, mocks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 599])
def test_what_may_be_better_later_is_down_with_the_time_that_was_told(status: int) -> None:
    at = datetime(2026, 5, 4, 12, tzinfo=UTC)
    form = "%a, %d %b %Y %H:%M:%S GMT"
    later = {"date": at.strftime(form), "retry-after": (at + timedelta(seconds=90)).strftime(form)}
    cases: list[tuple[dict[str, str], float | None]] = [
        ({}, None),
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": "9" * 400}, 86_400.0),
        (later, 90.0),
        ({"retry-after": later["date"], "date": later["retry-after"]}, 0.0),
        ({"retry-after": later["retry-after"]}, None),
        ({"retry-after": "soon", "date": later["date"]}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "٣"}, None),
    ]
    for headers, seconds in cases:
        with pytest.raises(LinkDown) as caught:
            checked(HttpReply(status, headers, b""))
        assert caught.value.retry_seconds == seconds


@pytest.mark.parametrize("status", [301, 304, 400, 401, 403, 404, 409, 410, 422])
def test_any_other_answer_is_a_no(status: int) -> None:
    with pytest.raises(LinkRefused, match=str(status)):
        checked(HttpReply(status, {}, b""))


def test_success_is_passed_on() -> None:
    for status in (200, 201, 204, 299):
        reply = HttpReply(status, {}, b"")
        assert checked(reply) is reply


def test_one_line_of_log_for_a_call_and_nothing_of_what_was_said() -> None:
    secret = "+79210000001"
    what = HttpCall("POST", f"/{secret}?phone={secret}", {"X-Secret": secret}, secret.encode())
    session = Session({"Authorization": secret}, 60)
    scripts = (says(ok(secret.encode())), says(ok(status=f"400 {secret}")), says(secret.encode(), close=True), resets)
    with capture_logs() as lines:
        for script in scripts:
            with serving(script) as server:
                try:
                    call(far_side(server.port, tries=2), what, session)
                except Undelivered as error:
                    assert secret not in str(error)
    assert [(line["event"], line["outcome"], line["status"]) for line in lines] == [
        ("call", "ok", 200),
        ("call", "ok", 400),
        ("call", "bad_reply", 0),
        ("call", "link_down", 0),
    ]
    assert {"link": "bistro", "kind": "HttpCall", "host": "127.0.0.1", "bytes": len(secret)}.items() <= lines[0].items()
    assert secret not in json.dumps(lines)


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def test_an_adapter_s_tests_may_mock_the_far_side(mocked: responses.RequestsMock) -> None:
    mocked.get("https://far.example/base/things", json={"a": 1}, headers={"X-Kind": "thing"})
    reply = call(FarSide("https://far.example/base"), GET)
    assert isinstance(reply, HttpReply)
    assert (json.loads(reply.body), reply.headers["x-kind"]) == ({"a": 1}, "thing")


def test_the_bounds_have_sensible_sizes() -> None:
    assert 16 << 10 <= MAX_HEAD <= 1 << 20
