"""The way from zeep to a SOAP adapter's door: lossy where a test wants it, without a network."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from zeep.transports import Transport

from adapters.contract import Adapter
from gateway.books import Books as Asking
from gateway.credentials import LinkSecret
from gateway.pos import Pos, doors
from gateway.settings import GatewaySettings, LinkSettings
from processing.verify import verify
from tests.processing.books import MOSCOW, Books

LINK, USER, SECRET = "desk", "касса", "пароль кассы 1С, длинный"
HOST = "http://loyalty.example"


class Silent:
    """An exchange log that nobody reads here."""

    def record(self, **told: Any) -> None:
        pass


@dataclass
class Line:
    """The way to the door. ``fails`` are asked for each call whether it is lost, and where: before, after or not."""

    pos: Pos
    path: str
    fails: list[str] = field(default_factory=list)

    def call(self, method: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        how = self.fails.pop(0) if self.fails else ""
        if how == "before":
            raise ConnectionError("the line is down")
        said: list[Any] = []
        environ = {
            "PATH_INFO": self.path,
            "REQUEST_METHOD": method,
            "QUERY_STRING": "wsdl" if method == "GET" else "",
            "REMOTE_ADDR": "192.0.2.7",
            "HTTP_HOST": "loyalty.example",
            "wsgi.input": io.BytesIO(body),
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
        }
        answer = b"".join(self.pos(environ, lambda status, told: said.extend((status, told))))
        if how == "after":
            raise ConnectionError("the answer is lost")
        return int(said[0].split()[0]), dict(said[1]), answer


class Wire(Transport):
    """zeep's transport over that line."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self.line = line
        self.headers = {"authorization": "Basic " + base64.b64encode(f"{USER}:{SECRET}".encode()).decode()}

    def load(self, url: str) -> bytes:
        return self.line.call("GET", b"", self.headers)[2]

    def post(self, address: str, message: bytes, headers: dict[str, str]) -> Any:
        assert address == f"{HOST}{self.line.path}"
        status, told, body = self.line.call("POST", message, self.headers | headers)
        return _Reply(status, told, body)


@dataclass
class _Reply:
    status_code: int
    headers: dict[str, str]
    content: bytes
    encoding = "utf-8"


@contextmanager
def line_to(books: Books, adapter: Adapter, path: str, options: dict[str, Any]) -> Iterator[Line]:
    """A line to a link of the adapter; when it is done with, the laws of the books hold."""
    settings = LinkSettings(
        code=LINK,
        adapter=adapter.name,
        store=MOSCOW,
        enabled=True,
        secrets=(LinkSecret(hashlib.sha256(SECRET.encode()).digest()),),
        addresses=(),
        options=adapter.options().load(options),
        user=USER,
    )
    zones = {code: info.zone.key for code, info in books.core.work.directory.stores.items()}
    ask = Asking(books.core, GatewaySettings(), None).ask
    behind: Callable[..., list[bytes]] = _nowhere
    pos = Pos(behind, doors({LINK: settings}, {adapter.name: adapter}, zones), ask, Silent())  # type: ignore[arg-type]
    yield Line(pos, f"/pos/{LINK}/{path}")
    books.check_laws()
    assert [(check.name, check.rows) for check in verify(books.database) if check.rows] == []


def _nowhere(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise AssertionError(f"{environ['PATH_INFO']} is not a till's")
