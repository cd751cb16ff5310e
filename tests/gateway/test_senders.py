"""Codes leave over HTTP as the settings say, with a few tries, no redirects, and nothing in the log."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway import senders
from gateway.senders import ATTEMPTS, Console, Http, Nobody, NotSent, filled, sender_of, unknown_places
from gateway.settings import CodeSettings

PHONE, TEXT, SECRET = "+79210000001", "123456 - code & more", "s3cret-of-the-gateway"


@dataclass
class Gateway:
    """An SMS gateway on this machine; ``answers`` are its next ones, the last of them for ever."""

    url: str = ""
    answers: list[tuple[int, bytes, dict[str, str]]] = field(default_factory=lambda: [(200, b"OK", {})])
    asked: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, *statuses: int, body: bytes = b"OK", **headers: str) -> None:
        self.answers = [(status, body, headers) for status in statuses]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    told = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            split = urlsplit(self.path)
            told.asked.append(
                {
                    "method": self.command,
                    "path": split.path,
                    "query": parse_qs(split.query),
                    "headers": dict(self.headers),
                    "body": body,
                }
            )
            status, answer, headers = told.answers[0] if len(told.answers) == 1 else told.answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = _handle

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/send"
    yield told
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(senders, "MOST_WAIT_SECONDS", 0.002)


def http(gateway: Gateway, **settings: Any) -> Http:
    return Http(CodeSettings(sender="http", url=gateway.url, secret=SECRET, **settings))


def test_a_form_is_sent_with_everything_filled_in(gateway: Gateway) -> None:
    sender = http(
        gateway,
        headers={"Authorization": "Bearer {secret}"},
        params={"to": "{phone_digits}"},
        form={"phone": "{phone}", "text": "{text}"},
    )
    sender.send(PHONE, TEXT)
    (asked,) = gateway.asked
    assert (asked["method"], asked["path"], asked["query"]) == ("POST", "/send", {"to": ["79210000001"]})
    assert asked["headers"]["Authorization"] == f"Bearer {SECRET}"
    assert parse_qs(asked["body"].decode()) == {"phone": [PHONE], "text": [TEXT]}


def test_json_is_filled_in_at_any_depth(gateway: Gateway) -> None:
    http(gateway, json={"messages": [{"to": "{phone}", "text": "{text}"}], "key": "{secret}"}).send(PHONE, 'say "hi"')
    assert json.loads(gateway.asked[0]["body"]) == {
        "messages": [{"to": PHONE, "text": 'say "hi"'}],
        "key": SECRET,
    }


def test_a_get_has_no_body(gateway: Gateway) -> None:
    http(gateway, method="GET", params={"phone": "{phone}", "msg": "{text}"}).send(PHONE, TEXT)
    assert (gateway.asked[0]["method"], gateway.asked[0]["body"]) == ("GET", b"")
    assert gateway.asked[0]["query"] == {"phone": [PHONE], "msg": [TEXT]}


def test_trouble_of_the_gateway_is_tried_again(gateway: Gateway) -> None:
    gateway.answer(503, 500, 200)
    http(gateway).send(PHONE, TEXT)
    assert len(gateway.asked) == 3


def test_trouble_that_stays_is_given_up(gateway: Gateway) -> None:
    gateway.answer(500)
    with pytest.raises(NotSent, match="HTTP 500"):
        http(gateway).send(PHONE, TEXT)
    assert len(gateway.asked) == ATTEMPTS


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_of_the_gateway_is_not_tried_again(gateway: Gateway, status: int) -> None:
    gateway.answer(status)
    with pytest.raises(NotSent, match=f"HTTP {status}"):
        http(gateway).send(PHONE, TEXT)
    assert len(gateway.asked) == 1


def test_redirects_are_not_followed(gateway: Gateway) -> None:
    gateway.answer(302, Location=gateway.url + "/elsewhere")
    with pytest.raises(NotSent, match="HTTP 302"):
        http(gateway).send(PHONE, TEXT)
    assert [asked["path"] for asked in gateway.asked] == ["/send"]


def test_an_answer_has_what_is_expected(gateway: Gateway) -> None:
    gateway.answer(200, body=b'{"status": "OK"}')
    http(gateway, expect='"status": "OK"').send(PHONE, TEXT)
    gateway.answer(200, body=b'{"status": "ERROR"}')
    with pytest.raises(NotSent, match="expected text"):
        http(gateway, expect='"status": "OK"').send(PHONE, TEXT)


def test_an_endless_answer_is_not_read_to_its_end(gateway: Gateway) -> None:
    gateway.answer(200, body=b"x" * (senders.MAX_ANSWER + 100) + b"OK")
    with pytest.raises(NotSent):
        http(gateway, expect="OK").send(PHONE, TEXT)


def test_a_gateway_that_is_away_is_named_without_its_address(gateway: Gateway, monkeypatch: Any, tmp_path: Any) -> None:
    settings = CodeSettings(sender="http", url="http://127.0.0.1:9/send", params={"to": "{phone}"})
    with pytest.raises(NotSent) as caught:
        Http(settings).send(PHONE, TEXT)
    assert str(caught.value) == "ConnectionError"


def test_a_netrc_does_not_replace_the_headers(gateway: Gateway, monkeypatch: Any, tmp_path: Any) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(file))
    http(gateway, headers={"Authorization": "Bearer {secret}"}).send(PHONE, TEXT)
    assert gateway.asked[0]["headers"]["Authorization"] == f"Bearer {SECRET}"


def test_the_console_shows_the_text_and_not_the_phone(capsys: pytest.CaptureFixture[str]) -> None:
    Console().send(PHONE, TEXT)
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"to ***0001: {TEXT}\n")


def test_nobody_sends_nothing() -> None:
    with pytest.raises(NotSent):
        Nobody().send(PHONE, TEXT)
    assert not Nobody().is_there


def test_the_sender_is_the_configured_one() -> None:
    kinds = {name: type(sender_of(CodeSettings(sender=name))) for name in ("none", "console", "http")}
    assert kinds == {"none": Nobody, "console": Console, "http": Http}


def test_places_are_filled_once() -> None:
    """What a guest may have put into a value is not taken for a place."""
    assert filled("{text} {phone} {other} {", {"text": "{phone}", "phone": "1"}) == "{phone} 1 {other} {"
    assert unknown_places({"a": ["{text}", {"b": "{oops} {phone}"}], "n": 1}) == {"oops"}


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(CodeSettings(secret=SECRET))
