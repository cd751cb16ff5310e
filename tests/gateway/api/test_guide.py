"""docs/rest.md: every curl of it works on the demo's chain, in its order, and answers what the page says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway import app
from gateway.auth import EVERYTHING, SCOPES
from gateway.demo.chain import open_chain
from gateway.errors import STATUS

PAGE = (Path(__file__).parents[3] / "docs" / "rest.md").read_text("utf-8")


@dataclass(frozen=True)
class Curl:
    """One command of the page; ``expected`` is what its comment says, empty for success."""

    method: str
    path: str
    headers: dict[str, str]
    body: str | None
    expected: str


def curls(key: str) -> Iterator[Curl]:
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        comment = re.match(r"# (.*)\n", block)
        plain = block.replace("\\\n", " ").replace("$API", "/api/v1").replace("$KEY", key)
        words = shlex.split(plain, comments=True)
        if words[0] != "curl":
            continue
        method, path, headers, body = "", "", {}, None
        parts = iter(words[1:])
        for word in parts:
            if word == "-X":
                method = next(parts)
            elif word == "-H":
                name, _, value = next(parts).partition(": ")
                # The bytes of a terminal, as WSGI tells them.
                headers[name] = value.encode().decode("latin-1")
            elif word == "-d":
                body = next(parts)
            else:
                path = word
        yield Curl(method or ("POST" if body else "GET"), path, headers, body, comment[1] if comment else "")


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FlaskClient, str]]:
    """The demo's chain, and its API key."""
    at_end: list[Any] = []
    monkeypatch.setattr(app, "Finalize", lambda _, what, args=(), **__: at_end.append((what, args)))
    chain = open_chain(f"sqlite:///{tmp_path / 'demo.db'}", {})
    yield app.create_app(chain.parts).test_client(), chain.api_key
    for what, args in at_end:
        what(*args)
    chain.parts.database.dispose()


def test_every_curl_works_and_answers_what_is_said(demo: tuple[FlaskClient, str]) -> None:
    http, key = demo
    found = list(curls(key))
    assert len(found) > 25
    for curl in found:
        answer = http.open(curl.path, method=curl.method, headers=curl.headers, data=curl.body)
        expected = curl.expected or "2"
        assert str(answer.status_code).startswith(expected[:3].strip()), (curl.path, answer.text)
        code = re.match(r"4\d\d ([a-z_]+)", expected)
        if code:
            assert answer.json["code"] == code[1]
        assert ("Idempotency-Replayed" in expected) is ("Idempotency-Replayed" in answer.headers), curl.path


def test_every_scope_is_told() -> None:
    for scope, words in {**SCOPES, EVERYTHING: "everything"}.items():
        assert f"| `{scope}` | {words} |" in PAGE


def test_every_status_is_told() -> None:
    told = {int(status) for row in re.findall(r"^\| ([0-9, ]+) \|", PAGE, re.MULTILINE) for status in row.split(",")}
    assert set(STATUS.values()) <= told


def test_every_path_is_named(demo: tuple[FlaskClient, str]) -> None:
    for path in demo[0].get("/api/openapi.json").json["paths"]:
        bare = path.removeprefix("/api/v1")
        named = re.sub(r"\{[^}]+\}", r"[^/ `]+", bare)
        assert re.search(rf"{named}(?=[`?\" ,;])", PAGE), bare
