"""A small client of REST v1, as an integrator would write one; kept for the tests."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

PREFIX = "/api/v1"
_names = itertools.count(1)


def new_key() -> str:
    """An idempotency key that nobody has used."""
    return f"test-{next(_names)}"


@dataclass(frozen=True)
class Answer:
    """What came back; ``body`` is the JSON, ``raw`` its bytes."""

    status: int
    headers: Headers
    raw: bytes
    body: Any = field(repr=False)

    @property
    def code(self) -> str:
        """Of the problem; empty for none."""
        is_problem = self.headers.get("Content-Type") == "application/problem+json"
        return self.body["code"] if is_problem else ""

    @property
    def fields(self) -> set[str]:
        """Paths of the fields that do not fit."""
        return {error["field"] for error in self.body.get("errors", ())}

    @property
    def is_replay(self) -> bool:
        return self.headers.get("Idempotency-Replayed") == "true"

    def ok(self) -> Any:
        """The body of a request that must succeed."""
        assert self.status in (200, 201), (self.status, self.body)
        return self.body


@dataclass(frozen=True)
class Client:
    """One API client's way in; ``store`` is that of bodies which name none."""

    http: FlaskClient
    api_key: str
    store: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; ``body`` is sent as JSON, or as it is where it is bytes."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {"Authorization": f"Bearer {self.api_key}", **headers}
        kind = None if data is None else told.pop("Content-Type", "application/json")
        answer = self.http.open(PREFIX + path, method=method, data=data, headers=told, content_type=kind)
        parsed = json.loads(answer.data) if answer.is_json or "json" in answer.content_type else None
        return Answer(answer.status_code, answer.headers, answer.data, parsed)

    def get(self, path: str, **query: Any) -> Answer:
        told = {"Authorization": f"Bearer {self.api_key}"}
        answer = self.http.get(PREFIX + path, query_string=query, headers=told)
        return Answer(answer.status_code, answer.headers, answer.data, json.loads(answer.data))

    def write(self, path: str, key: str | None = None, method: str = "POST", **body: Any) -> Answer:
        """A command under a key of its own, unless one is given."""
        headers = {"Idempotency-Key": new_key() if key is None else key}
        return self.ask(method, path, {"store": self.store, **body}, **headers)

    def query(self, path: str, **body: Any) -> Answer:
        return self.ask("POST", path, body)
