"""Does the calls that the talks of an adapter yield: HTTP, SOAP, files of a folder or an SFTP server.

Every call is over by its deadline, reads no more than the link's bound, goes to addresses that the link may reach and
leaves one line in the log, without anything that was said. A line that breaks is tried again within seconds, where
the call may be repeated; longer outages are the outbox's business. docs/decisions/0029-outgoing-calls.md tells why.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
import tenacity
from requests.structures import CaseInsensitiveDict

from adapters.contract import Call, FileRead, FileWrite, HttpCall, HttpReply, Reply, Session, SoapCall
from gateway.far_side import WEB, FarSide
from gateway.outer_addresses import HalfAnswer, LineBroke
from processing.errors import LinkRefused, Undelivered

if TYPE_CHECKING:
    from gateway.transport_files import Folder, Shelf
    from gateway.transport_http import Http
    from gateway.transport_sftp import Sftp
    from gateway.transport_soap import Soap

FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 0.3, 3.0

log = structlog.get_logger()

# What these libraries have to say names addresses with their queries, and texts of the far side.
for _library in ("urllib3", "paramiko", "zeep"):
    logging.getLogger(_library).setLevel(logging.CRITICAL + 1)


def _now() -> datetime:
    return datetime.now(UTC)


class FarTransport:
    """The calls of one link. Keeps connections and a WSDL between them; used by one thread at a time."""

    def __init__(self, settings: FarSide, link: str = "", now: Callable[[], datetime] = _now) -> None:
        self._settings = settings
        self._link = link
        self._now = now
        self._http: Http | None = None
        self._soap: Soap | None = None
        self._files: Folder | Sftp | None = None
        self._status, self._bytes = 0, 0

    def call(self, call: Call, session: Session | None, deadline: float) -> Reply:
        """The far side's reply, by ``deadline`` of time.monotonic() or the link's ``total_seconds``.

        An HTTP reply has any status. Errors: LinkDown, LinkRefused, BadReply.
        """
        began = time.monotonic()
        until = min(deadline, began + self._settings.total_seconds)
        self._status, self._bytes, outcome = 0, 0, "failed"
        try:
            reply: Reply = self._tries(call, until - began)(self._try, call, session, until)
            outcome = "ok"
            return reply
        except Undelivered as error:
            outcome = error.code
            raise
        finally:
            self._record(call, outcome, time.monotonic() - began)

    def shelf(self) -> Shelf:
        """The folder of the link, for files that are read in pieces. Errors: LinkRefused where it has none."""
        if self._settings.scheme in WEB:
            raise LinkRefused(f"the link's address is {self._settings.scheme}:// and has no files")
        return self._file_side()

    def _tries(self, call: Call, seconds: float) -> tenacity.Retrying:
        most = self._settings.tries if is_repeatable(call) else 1
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((LineBroke, HalfAnswer)),
            stop=tenacity.stop_after_attempt(most) | tenacity.stop_before_delay(seconds),
            wait=tenacity.wait_random_exponential(FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS),
            reraise=True,
        )

    def _try(self, call: Call, session: Session | None, until: float) -> Reply:
        is_web = self._settings.scheme in WEB
        if isinstance(call, HttpCall) and is_web:
            return self._send(call, session, until)
        if isinstance(call, SoapCall) and is_web:
            return self._soap_side().exchange(call, lambda http: self._send(http, session, until), until)
        if isinstance(call, FileRead | FileWrite) and not is_web:
            reply = self._file_side().exchange(call, until)
            self._bytes += len(reply.content or b"")
            return reply
        raise LinkRefused(f"the link's address is {self._settings.scheme}:// and takes no {type(call).__name__}")

    def _send(self, call: HttpCall, session: Session | None, until: float) -> HttpReply:
        """One request, with the session's headers and signature where it wants them."""
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        if session is not None and call.signed:
            headers.update(session.headers)
        headers.update(call.headers)
        if session is not None and call.signed and session.sign is not None:
            headers.update(session.sign(call, self._now()))
        reply = self._http_side().exchange(call, headers, until)
        self._status = reply.status
        self._bytes += len(reply.body)
        return reply

    # The libraries are loaded by the processes that call, for what they call.

    def _http_side(self) -> Http:
        if self._http is None:
            from gateway.transport_http import Http

            self._http = Http(self._settings)
        return self._http

    def _soap_side(self) -> Soap:
        if self._soap is None:
            from gateway.transport_soap import Soap

            self._soap = Soap(self._settings, self._http_side())
        return self._soap

    def _file_side(self) -> Folder | Sftp:
        if self._files is None and self._settings.scheme == "sftp":
            from gateway.transport_sftp import Sftp

            self._files = Sftp(self._settings)
        elif self._files is None:
            from gateway.transport_files import Folder

            self._files = Folder(self._settings.folder, self._settings.max_answer_bytes)
        return self._files

    def _record(self, call: Call, outcome: str, seconds: float) -> None:
        """No path, no headers, no bodies: they carry secrets and phones."""
        log.info(
            "call",
            link=self._link,
            kind=type(call).__name__,
            host=self._settings.host,
            outcome=outcome,
            status=self._status,
            bytes=self._bytes,
            ms=round(seconds * 1000),
        )

    def close(self) -> None:
        """End the connections; a later call opens new ones."""
        for side in (self._http, self._files):
            if side is not None:
                side.close()


def is_repeatable(call: Call) -> bool:
    """Whether it does no harm and answers the same when its first answer was lost."""
    if isinstance(call, FileWrite):
        return call.at is None and not call.new
    return isinstance(call, FileRead) or call.repeatable
