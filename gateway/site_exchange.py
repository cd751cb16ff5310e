"""1C's exchange with a site (CommerceML 2): ``/pos/<link>/1c_exchange.php?type=...&mode=...``.

1C is the client and we are the site: it proves itself once and gets a cookie, asks how to send, sends files in pieces
and has them read. Whole files go to the file face of the link's adapter (docs/adapters/commerceml.md). A WSGI callable
in front of the tills' door, because a piece is too long to be a message.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import parse_qsl

import structlog

from adapters.contract import Auth, FileFace, WireRequest, WireResponse
from gateway import metrics
from gateway.auth import check_address, check_caller, open_session, session_of
from gateway.exchange_log import ExchangeLog, pack_request
from gateway.pos import Door, Environ, Headers, StartResponse, Wsgi, outcome_of, split_path, status_line
from gateway.settings import UploadSettings
from gateway.site_imports import SiteImports
from gateway.uploads import ARCHIVE, PIECE, Result, Uploads, refused
from processing.errors import BadCredentials, LinkPaused, LoyaltyError, NoSuchRoute

BASIC = Auth("basic")
COOKIE = "tillgate"
CHECKAUTH = "checkauth"
# A catalogue over a slow line takes hours.
SESSION_SECONDS = 6 * 3600
# What ``init`` tells: as long may one piece of a file be.
PIECE_BYTES = 8 << 20
MAX_PARAMETERS = 20
TYPES = frozenset({"catalog", "sale"})
TEXT, XML = "text/plain; charset=utf-8", "text/xml; charset=utf-8"

# 1C puts the script's name behind the site's address, as it is set up; by default that of the best known site.
_PATH = re.compile(r"(?:[\w-]+/){0,4}1c_exchange\.php", re.IGNORECASE)

log = structlog.get_logger()


@dataclass(frozen=True)
class Step:
    """One request of the exchange. ``session`` is empty where no cookie tells one."""

    door: Door
    asked: Mapping[str, str]
    session: str
    read: Callable[[int], bytes]

    @property
    def name(self) -> str:
        """The file's name with plain slashes and none in front."""
        return self.asked.get("filename", "").replace("\\", "/").lstrip("/")

    @property
    def face(self) -> FileFace | None:
        """Who reads files of this name."""
        link = self.door.link
        for face in self.door.adapter.files if self.asked["type"] == "catalog" else ():
            if any(fnmatchcase(self.name, pattern) for pattern in face.names(link)):
                return face
        return None


class SiteExchange:
    """The WSGI door. What is not a link's with this exchange goes to ``behind``."""

    def __init__(
        self,
        behind: Wsgi,
        all_doors: Mapping[str, Door],
        uploads: Uploads,
        imports: SiteImports,
        exchange_log: ExchangeLog,
    ) -> None:
        self._behind = behind
        self._doors = {code: door for code, door in all_doors.items() if door.adapter.site_exchange}
        self._uploads = uploads
        self._imports = imports
        self._log = exchange_log
        self._modes: Mapping[str, Callable[[Step], WireResponse]] = {
            "init": self._init,
            "file": self._file,
            "import": self._import,
            "query": _query,
            "success": _done,
            # Of newer sites, after the last file; nothing is left to do.
            "deactivate": _done,
            "complete": _done,
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        told = split_path(environ["PATH_INFO"]) if self._doors else None
        door = self._doors.get(told[0]) if told else None
        if told is None or door is None:
            return self._behind(environ, start_response)
        response = self._exchange(door, environ, told[1])
        headers = [("Content-Type", response.content_type), ("Content-Length", str(len(response.body)))]
        start_response(status_line(response.status), [*headers, *response.headers.items()])
        return (response.body,)

    def _exchange(self, door: Door, environ: Environ, path: str) -> WireResponse:
        """One step: answered, counted and recorded. Files are not: they would fill the log, and lie in 1C."""
        started, at = time.perf_counter(), datetime.now(UTC)
        query, method = environ.get("QUERY_STRING", ""), environ["REQUEST_METHOD"]
        asked = _parameters(query)
        mode = asked.get("mode", "")
        request = WireRequest(method, path, query, Headers(environ), b"", uuid.uuid4().hex, at, door.settings.code)
        try:
            response = self._answered(door, environ, request, asked)
        except LoyaltyError as refusal:
            response = door.adapter.refuse(refusal, request, door.link)
            if isinstance(refusal, BadCredentials) and mode != CHECKAUTH:
                # The cookie has ended: 1C shows what is told, and begins anew next time.
                response = replace(response, status=200, headers={})
        except Exception:
            log.exception("exchange_failed", link=door.settings.code, request_id=request.id)
            response = WireResponse(b"failure\ninternal error", TEXT, 200, refused="failed")
        took, code = time.perf_counter() - started, door.settings.code
        outcome = outcome_of(response)
        metrics.observe_exchange(code, outcome, response.refused, took)
        self._log.record(
            link=code,
            at=at,
            request_id=request.id,
            route=f"site_{mode}" if mode in (CHECKAUTH, *self._modes) else "-",
            outcome=outcome,
            status=response.status,
            took_us=int(took * 1_000_000),
            request=pack_request(method, path, "", b"", query=query),
            # A cookie opens the door for hours.
            answer=b"success" if mode == CHECKAUTH and not response.refused else response.body,
        )
        return response

    def _answered(self, door: Door, environ: Environ, request: WireRequest, asked: Mapping[str, str]) -> WireResponse:
        """Errors: BadCredentials, LinkPaused, NoSuchRoute, and those of the step."""
        settings = door.settings
        check_address(settings, environ.get("REMOTE_ADDR", ""))
        if not _PATH.fullmatch(request.path) or request.method not in ("GET", "POST"):
            raise NoSuchRoute("no such address in this protocol", method=request.method)
        mode, is_known = asked.get("mode", ""), asked.get("type") in TYPES
        if mode == CHECKAUTH and is_known:
            check_caller(settings, BASIC, request.headers, "", request.at)
            _check_enabled(door)
            cookie = open_session(settings, request.at, SESSION_SECONDS)
            return _said(f"success\n{COOKIE}\n{cookie}")
        session = session_of(settings, _cookie(request.headers), request.at)
        _check_enabled(door)
        if mode not in self._modes or not is_known:
            raise refused("upload_mode")
        return self._modes[mode](Step(door, asked, session, environ["wsgi.input"].read))

    def _init(self, step: Step) -> WireResponse:
        """Exactly two lines and nothing behind them, or the stock client gives up."""
        self._uploads.begin(step.session)
        return _said(f"zip=yes\nfile_limit={PIECE_BYTES}")

    def _file(self, step: Step) -> WireResponse:
        """A piece of a file. What nobody reads, such as pictures, is heard and not kept."""
        if step.face is None and not (step.asked["type"] == "catalog" and step.name.lower().endswith(ARCHIVE)):
            _pass_over(step.read)
            return _said("success")
        self._uploads.append(step.session, step.name, step.read, PIECE_BYTES)
        return _said("success")

    def _import(self, step: Step) -> WireResponse:
        """``progress`` until the file is read: 1C asks again at once."""
        face = step.face
        if face is None:
            return _said("success")
        told = self._imports.outcome(step.door.link, face, self._uploads.find(step.session, step.name))
        if not isinstance(told, Result):
            return _said(f"progress\n{told}")
        if told.failure:
            raise refused(told.failure)
        return _said("success")


def folder_of(settings: UploadSettings) -> Uploads:
    """Where uploads lie: all web workers of a machine have the same folder."""
    folder = settings.folder or f"{tempfile.gettempdir()}/tillgate-uploads-{os.getuid()}"
    return Uploads(Path(folder), settings.megabytes << 20, SESSION_SECONDS)


def _query(step: Step) -> WireResponse:
    """There are no orders to tell: an empty document, without a byte order mark."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<КоммерческаяИнформация xmlns="urn:1C.ru:commerceml_2" ВерсияСхемы="2.07"'
        f' ДатаФормирования="{datetime.now(step.door.link.zone):%Y-%m-%dT%H:%M:%S}"/>'
    )
    return WireResponse(body.encode(), XML)


def _done(step: Step) -> WireResponse:
    return _said("success")


def _said(text: str) -> WireResponse:
    return WireResponse(text.encode(), TEXT)


def _check_enabled(door: Door) -> None:
    if not door.settings.enabled:
        raise LinkPaused("the link is switched off")


def _parameters(query: str) -> dict[str, str]:
    """The first of each name. A query with more than anybody needs has none."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        return {}
    return dict(reversed(pairs))


def _cookie(headers: Mapping[str, str]) -> str:
    for each in headers.get("cookie", "").split(";"):
        name, _, value = each.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def _pass_over(read: Callable[[int], bytes]) -> None:
    """Errors: BadMessage for nothing, or too much."""
    total = 0
    while piece := read(PIECE):
        total += len(piece)
        if total > PIECE_BYTES:
            raise refused("upload_too_large")
    if not total:
        raise refused("upload_empty")
