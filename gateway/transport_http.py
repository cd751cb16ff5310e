"""An HTTP request to the far side of a link, and what it has answered.

``requests`` builds it and its connection adapter sends it, without a Session: no redirects, no cookies, no proxies and
no .netrc of the environment. The connections are ours: to checked addresses only, with the name for Host, SNI and
certificate.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from adapters.contract import HttpCall, HttpReply
from gateway.far_side import PORTS, FarSide
from gateway.outer_addresses import HalfAnswer, LineBroke, connect
from gateway.transport_line import Allowance, PlainSocket, TlsSocket
from processing.errors import BadReply, LinkDown, LinkRefused, Undelivered

USER_AGENT = "tillgate"
CHUNK = 64 << 10
MAX_TARGET = 8 << 10
MAX_SHOWN = 80
MOST_CONTEXTS = 64


class Http:
    """Connections to one far side, kept between calls. Used by one thread at a time."""

    def __init__(self, far_side: FarSide) -> None:
        self._far_side = far_side
        self._allowance = Allowance(far_side.read_seconds)
        self._adapter = _Adapter(far_side, self._allowance)

    def exchange(self, call: HttpCall, headers: CaseInsensitiveDict[str], until: float) -> HttpReply:
        """What the far side has answered, whatever the status. Errors: LinkDown, LinkRefused, BadReply."""
        if not call.repeatable:
            self._adapter.close()  # one that the far side has closed meanwhile would leave us in doubt
        return self.fetch(_prepared(self._far_side.address, call, headers), until)

    def fetch(self, request: requests.PreparedRequest, until: float) -> HttpReply:
        """Send what is ready to be sent. Errors as of ``exchange``."""
        self._allowance.until = until
        try:
            answer = self._adapter.send(request, stream=True, timeout=self._far_side.read_seconds)
        except Undelivered:
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _told(error) from None
        with answer:
            return HttpReply(answer.status_code, _headers(answer), self._body(answer))

    def _body(self, answer: requests.Response) -> bytes:
        """All of it. Errors: BadReply for one too long or packed, HalfAnswer, LineBroke."""
        most = self._far_side.max_answer_bytes
        too_long = BadReply(f"it exceeds {most} bytes")
        if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise BadReply("it is compressed, which was not asked for")
        length = answer.headers.get("content-length", "")
        if length.isascii() and length.isdecimal() and len(length) < 20 and int(length) > most:
            raise too_long
        body = bytearray()
        for piece in _pieces(answer):
            body += piece
            if len(body) > most:
                raise too_long
        return bytes(body)

    def close(self) -> None:
        self._adapter.close()


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    try:
        yield from answer.raw.stream(CHUNK, decode_content=False)
    except (urllib3.exceptions.ReadTimeoutError, TimeoutError):
        raise LineBroke("it stops within its answer") from None
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        raise HalfAnswer(f"it breaks off ({type(error).__name__})") from None


def _headers(answer: requests.Response) -> dict[str, str]:
    """Names in lower case; of one that stands twice both values, cookies one a line."""
    raw = getattr(answer.raw, "headers", None)
    if not isinstance(raw, urllib3.HTTPHeaderDict):
        return {name.lower(): value for name, value in answer.headers.items()}
    return {name.lower(): ("\n" if name.lower() == "set-cookie" else ", ").join(raw.getlist(name)) for name in raw}


# The request ------------------------------------------------------------------------------------------------------


def _prepared(address: str, call: HttpCall, headers: CaseInsensitiveDict[str]) -> requests.PreparedRequest:
    """The request, below the link's address. Errors: LinkRefused for one that cannot be made or leads elsewhere."""
    url = address + ("" if not call.path or call.path[0] in "/?" else "/") + call.path
    if len(url) > MAX_TARGET:
        raise LinkRefused(f"its address exceeds {MAX_TARGET} characters")
    whole: CaseInsensitiveDict[str] = CaseInsensitiveDict({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    whole.update(headers)
    try:
        base = requests.Request("GET", address).prepare()
        request = requests.Request(call.method, url, headers=whole, data=call.body or None).prepare()
        [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (request.headers or {}).items()]
    except (requests.RequestException, ValueError) as error:
        raise LinkRefused(f"the request cannot be made ({type(error).__name__})") from None
    if not _is_below(urlsplit(request.url or ""), urlsplit(base.url or ""), call.path):
        raise LinkRefused("the path leads out of the link's address")
    return request


def _is_below(url: SplitResult, base: SplitResult, path: str) -> bool:
    steps = unquote(path.partition("?")[0]).replace("\\", "/").split("/")
    if origin(url) != origin(base) or {".", ".."} & set(steps) or "#" in path:
        return False
    return (url.path + "/").startswith(base.path.rstrip("/") + "/")


def origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or PORTS.get(url.scheme)


# The connection ---------------------------------------------------------------------------------------------------


class _Checked:
    """A connection of urllib3's to an address that was checked, read within the allowance."""

    far_side: FarSide
    allowance: Allowance

    def _new_conn(self) -> PlainSocket:
        far_side, host, port = self.far_side, self._dns_host, self.port  # type: ignore[attr-defined]
        outside = isinstance(self, HTTPSConnection)  # without TLS only to networks that the link allows
        until = min(self.allowance.until, time.monotonic() + far_side.connect_seconds)
        self.allowance.seconds()
        sock = connect(host.strip("[]"), port, far_side.inner_addresses, outside, until, PlainSocket)
        assert isinstance(sock, PlainSocket)
        # Of a TLS connection the handshake follows, whose time is bounded as a whole by this.
        sock.settimeout(max(0.001, until - time.monotonic()))
        return sock

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock.allowance = self.allowance  # type: ignore[attr-defined]

    def getresponse(self) -> Any:
        self.allowance.begin_head()
        answer = super().getresponse()  # type: ignore[misc]
        self.allowance.begin_body(self.far_side.max_answer_bytes)
        return answer


class _Adapter(HTTPAdapter):
    def __init__(self, far_side: FarSide, allowance: Allowance) -> None:
        self._pools = {
            "http": _pool(HTTPConnectionPool, HTTPConnection, far_side, allowance),
            "https": _pool(HTTPSConnectionPool, HTTPSConnection, far_side, allowance),
        }
        with_tls = "https" in (far_side.scheme, urlsplit(far_side.wsdl).scheme)
        files = far_side.ca_file, far_side.client_cert, far_side.client_key
        self._context = tls_context(*files) if with_tls else None
        super().__init__(pool_connections=2, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Where to, and nothing about TLS: our context says it all."""
        url = urlsplit(request.url or "")
        return {"scheme": url.scheme, "host": url.hostname, "port": url.port}, {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Likewise: requests would add its own authorities to ours."""


def _pool(pool: type, connection: type, far_side: FarSide, allowance: Allowance) -> Any:
    checked = type("CheckedConnection", (_Checked, connection), {"far_side": far_side, "allowance": allowance})
    return type("CheckedPool", (pool,), {"ConnectionCls": checked})


@lru_cache(MOST_CONTEXTS)
def tls_context(ca_file: str, client_cert: str, client_key: str) -> ssl.SSLContext:
    """TLS 1.2 and above, the name checked, with the link's authorities and certificate. Errors: LinkDown.

    Kept, as reading all authorities takes longer than a call; the files are read once a process.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or DEFAULT_CA_BUNDLE_PATH)
        if client_cert:
            context.load_cert_chain(client_cert, client_key or None, password=_no_password)
    except OSError as error:  # ssl.SSLError is one
        raise LinkDown(f"its certificates cannot be read: {error.strerror or type(error).__name__}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = TlsSocket
    return context


def _no_password() -> str:
    """For an encrypted key: instead of asking at a terminal that nobody sits at."""
    return ""


# What went wrong --------------------------------------------------------------------------------------------------


def _told(error: BaseException) -> Undelivered:
    """The error in our words, without address and headers, which its own words have."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, Undelivered):
            return cause
        if isinstance(cause, ssl.SSLCertVerificationError):
            return LinkDown(f"its certificate is not trusted: {cause.verify_message}"[:MAX_SHOWN])
        if isinstance(cause, http.client.RemoteDisconnected):
            return LineBroke("it ends without an answer")
        if isinstance(cause, http.client.HTTPException | urllib3.exceptions.InvalidHeader):
            return BadReply(f"it is not HTTP ({type(cause).__name__})")
        if isinstance(cause, ssl.SSLError):
            return LineBroke(f"TLS fails: {cause.reason or type(cause).__name__}"[:MAX_SHOWN])
        if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
            return LineBroke("no answer in time")
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return LinkRefused(f"the request cannot be made ({type(error).__name__})")
    return LineBroke(f"the line broke ({type(causes[-1]).__name__})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those inside it: its arguments, reasons and causes."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inner = (*each.args, getattr(each, "reason", None), each.__cause__, each.__context__)
        waiting += [one for one in inner if isinstance(one, BaseException)]
