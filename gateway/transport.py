"""Does the calls that adapters yield: HTTP, SOAP and files, each within its deadline and bounds.

A name is resolved once for each connection, and the connection goes to exactly the address that was checked. Nothing
of the environment counts (proxies, .netrc), no redirection is followed, no cookie kept. A log line has host, status,
bytes and time; paths, headers and bodies carry secrets and phones.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import structlog
import tenacity
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from adapters.contract import (
    Call,
    FileRead,
    FileReply,
    FileWrite,
    HttpCall,
    HttpReply,
    Reply,
    Session,
    SoapCall,
    SoapReply,
)
from gateway.far_side import FarSide, is_allowed
from gateway.schemas import Network
from processing.errors import BadReply, LinkDown, LinkRefused

FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 0.2, 2.0
CHUNK = 64 << 10
MAX_HEADER_BYTES = 64 << 10
MAX_NAME = 200

log = structlog.get_logger()


class FarTransport:
    """The calls of one link; for one thread at a time."""

    def __init__(self, far_side: FarSide) -> None:
        self._far = far_side
        self._line = _Line(far_side.inner_addresses)
        self._http = _session(far_side, self._line)
        self._soap: Any = None

    def call(self, call: Call, session: Session | None, deadline: float) -> Reply:
        """Do it by ``deadline`` (time.monotonic). Errors: LinkDown, LinkRefused, BadReply."""
        if isinstance(call, FileRead | FileWrite):
            return self._file(call)
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(LinkDown),
            stop=tenacity.stop_after_attempt(self._far.tries if call.repeatable else 1)
            | tenacity.stop_before_delay(max(0.0, deadline - time.monotonic())),
            wait=tenacity.wait_random_exponential(FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS),
            reraise=True,
        )
        if isinstance(call, HttpCall):
            return tries(self._send, call, session, deadline)
        return tries(self._ask, call, session, deadline)

    def close(self) -> None:
        self._http.close()

    # HTTP ---------------------------------------------------------------------------------------------------

    def _send(self, call: HttpCall, session: Session | None, deadline: float) -> HttpReply:
        headers = dict(call.headers)
        if call.signed and session is not None:
            headers |= session.headers
            if session.sign is not None:
                headers |= session.sign(call, datetime.now(UTC))
        return self._exchange(call.method, self._far.address + call.path, headers, call.body, deadline)

    def _exchange(self, method: str, url: str, headers: dict[str, str], body: bytes, deadline: float) -> HttpReply:
        """One request and its whole answer. Errors: LinkDown, LinkRefused, BadReply."""
        began, host = time.monotonic(), urlsplit(url).hostname
        left = deadline - began
        if left <= 0:
            raise LinkDown("no time is left for the call")
        watch = threading.Timer(left, self._line.cut)
        watch.daemon = True
        watch.start()
        try:
            with self._http.request(
                method,
                url,
                headers=headers,
                data=body,
                timeout=(min(self._far.connect_seconds, left), min(self._far.read_seconds, left)),
                allow_redirects=False,
                stream=True,
            ) as answer:
                told = HttpReply(answer.status_code, _headers(answer), self._body(answer, deadline))
        except requests.RequestException as error:
            # Its message has the address, and that may have a secret.
            log.warning("call_failed", host=host, reason=_reason(error), ms=_ms(began))
            if time.monotonic() >= deadline:
                raise LinkDown("no answer in time") from None
            raise LinkDown(_reason(error)) from None
        finally:
            watch.cancel()
        log.info("called", host=host, status=told.status, bytes=len(told.body), ms=_ms(began))
        return told

    def _body(self, answer: requests.Response, deadline: float) -> bytes:
        found = bytearray()
        for chunk in answer.iter_content(CHUNK):
            found += chunk
            if len(found) > self._far.max_answer_bytes:
                raise BadReply(f"an answer of more than {self._far.max_answer_bytes} bytes")
            if time.monotonic() > deadline:
                raise LinkDown("no answer in time")
        return bytes(found)

    # SOAP ---------------------------------------------------------------------------------------------------

    def _ask(self, call: SoapCall, session: Session | None, deadline: float) -> SoapReply:
        """Call an operation of the WSDL. Errors: LinkDown, LinkRefused for a fault, BadReply."""
        import zeep
        from zeep.exceptions import Error, Fault
        from zeep.helpers import serialize_object

        try:
            if self._soap is None:
                self._soap = zeep.Client(self._far.wsdl or self._far.address, transport=_soap_transport(self))
            self._soap.transport.session_now, self._soap.transport.deadline = session, deadline
            value = self._soap.service[call.operation](**call.arguments)
        except Fault as fault:
            raise LinkRefused(f"SOAP fault {str(fault.code)[:MAX_NAME]}") from None
        except (Error, ValueError, TypeError, SyntaxError) as error:
            # Another schema, half an answer, or an argument that the WSDL does not know.
            raise BadReply(f"SOAP: {type(error).__name__}") from None
        return SoapReply(serialize_object(value, dict))

    # Files --------------------------------------------------------------------------------------------------

    def _file(self, call: FileRead | FileWrite) -> FileReply:
        """In the link's folder. Errors: LinkDown when it is not there, LinkRefused for a name outside of it."""
        try:
            path = self._path(call.name)
            if isinstance(call, FileRead):
                return FileReply(_read(path, call.limit))
            return FileReply(call.content if _write(path, call) else None)
        except OSError as error:
            raise LinkDown(f"{type(error).__name__}: {error.strerror}") from None

    def _path(self, name: str) -> Path:
        address = urlsplit(self._far.address)
        if address.scheme != "file":
            raise LinkRefused("the far side is no folder")
        folder = Path(unquote(address.path))
        if not name or len(name) > MAX_NAME or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
            raise LinkRefused("not the name of a file of the folder")
        path = folder / name
        if path.is_symlink():
            raise LinkRefused("a link to somewhere else")
        return path


def _read(path: Path, limit: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise
        return None
    if len(content) > limit:
        raise BadReply(f"a file of more than {limit} bytes")
    return content


def _write(path: Path, call: FileWrite) -> bool:
    """The file as a whole or not at all, and only where it is as ``at`` and ``new`` say; whether it was written."""
    if call.at is not None and _read(path, len(call.at)) != call.at:
        return False
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(call.content)
            file.flush()
            os.fsync(file.fileno())
        if not call.new:
            temporary.replace(path)
            return True
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


# The line ---------------------------------------------------------------------------------------------------


class _Line:
    """The connections of one transport: where they may go, and the one in use, so that it can be cut."""

    def __init__(self, inner: tuple[Network, ...]) -> None:
        self._inner = inner
        self.connection: HTTPConnection | None = None

    def connect(self, host: str, port: int, timeout: Any) -> socket.socket:
        """To an address that was checked. Errors: LinkRefused when there is none, OSError."""
        found = [info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        allowed = [str(address) for address in found if is_allowed(str(address), self._inner)]
        if not allowed:
            raise LinkRefused("an inner address, which the link does not allow")
        failure: OSError | None = None
        for address in allowed:
            try:
                return socket.create_connection((address, port), timeout if timeout else None)
            except OSError as error:
                failure = error
        assert failure is not None
        raise failure

    def cut(self) -> None:
        """End what takes too long, however slowly it drips."""
        sock = getattr(self.connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _session(far_side: FarSide, line: _Line) -> requests.Session:
    """A session whose connections go where the line allows."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            line.connection = self
            return line.connect(self._dns_host, self.port or 80, self.timeout)

        def request(self, *args: Any, **kwargs: Any) -> None:
            line.connection = self
            super().request(*args, **kwargs)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            line.connection = self
            return line.connect(self._dns_host, self.port or 443, self.timeout)

        def request(self, *args: Any, **kwargs: Any) -> None:
            line.connection = self
            super().request(*args, **kwargs)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    class Checked(HTTPAdapter):
        def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
            self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.verify = far_side.ca_file or True
    if far_side.client_cert:
        session.cert = (far_side.client_cert, far_side.client_key) if far_side.client_key else far_side.client_cert
    for scheme in ("http://", "https://"):
        session.mount(scheme, Checked(max_retries=0))
    return session


def _headers(answer: requests.Response) -> dict[str, str]:
    found = {name.lower(): value for name, value in answer.headers.items()}
    if sum(len(name) + len(value) for name, value in found.items()) > MAX_HEADER_BYTES:
        raise BadReply("headers without end")
    return found


def _reason(error: requests.RequestException) -> str:
    """The class of the deepest cause, which tells more than that of requests; never its text."""
    reason: BaseException = error
    while (deeper := getattr(reason, "reason", None) or (reason.args[0] if reason.args else None)) is not None:
        if not isinstance(deeper, BaseException):
            break
        reason = deeper
    return type(reason).__name__


def _ms(began: float) -> int:
    return int((time.monotonic() - began) * 1000)


def _soap_transport(own: FarTransport) -> Any:
    """zeep's transport over ours: the same checks and bounds, and WSDLs of files or of the far side only."""
    import zeep

    class Soap(zeep.Transport):  # type: ignore[misc]
        session_now: Session | None = None
        deadline = time.monotonic() + own._far.read_seconds

        def load(self, url: str) -> bytes:
            if urlsplit(url).scheme in ("http", "https"):
                return self._call("GET", url, {}, b"").body
            return Path(url.removeprefix("file://")).read_bytes()

        def post(self, address: str, message: bytes, headers: dict[str, str]) -> requests.Response:
            told = self._call(
                "POST", address, {**(self.session_now.headers if self.session_now else {}), **headers}, message
            )
            if told.status in (408, 429) or told.status in (502, 503, 504):
                raise LinkDown(f"HTTP {told.status}")
            answer = requests.Response()
            answer.status_code, answer._content, answer.encoding = told.status, told.body, "utf-8"
            answer.headers.update(told.headers)
            return answer

        def _call(self, method: str, url: str, headers: dict[str, str], body: bytes) -> HttpReply:
            return own._exchange(method, url, headers, body, self.deadline)

    return Soap()
