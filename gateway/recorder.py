"""A door that keeps raw messages and answers something safe: the first evening with a till that nobody knows.

Each message becomes the request of a sample (adapters/testing/samples.py). What it keeps is as it came, secrets and
persons with it: the folder is for the integrator's own machine.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MAX_BODY = 4 << 20
MAX_MESSAGES = 1_000
READ_SECONDS = 30.0
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
# Headers of the way, which say nothing of the till.
OF_THE_WAY = frozenset({"host", "content-length", "connection", "accept-encoding", "user-agent", "accept"})


@dataclass
class Recording:
    """Messages as files in a folder; ``said`` is told of each. ``prefix``: what of the path is ours."""

    folder: Path
    said: Callable[[str], None]
    answer: bytes = b"{}"
    content_type: str = "application/json; charset=utf-8"
    status: int = 200
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _cases: dict[str, Any] = field(default_factory=dict)

    def keep(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bool:
        """Write it; ``False`` when there are enough."""
        address = urlsplit(target)
        with self._lock:
            if len(self._cases) >= MAX_MESSAGES:
                return False
            case = f"{_name(address.path)}_{len(self._cases) + 1:03}"
            entry: dict[str, Any] = {
                "path": address.path.strip("/"),
                "method": method,
                "origin": f"recorded on {datetime.now(UTC).date()}",
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "headers": headers,
            }
            if address.query:
                entry["query"] = address.query
            self._cases[case] = entry
            (self.folder / f"{case}.request.{_extension(body)}").write_bytes(body)
            self._write_index()
        self.said(f"{case}: {method} {address.path}, {len(body)} bytes")
        return True

    def _write_index(self) -> None:
        link = {"code": "link-under-test", "store": "bistro", "zone": "Europe/Moscow", "options": {}}
        at = datetime.now(UTC).isoformat(timespec="seconds")
        index = {"link": link, "at": at, "noise": [], "signal": [], "secrets": [], "cases": self._cases}
        (self.folder / "cases.json").write_text(json.dumps(index, ensure_ascii=False, indent=1) + "\n", "utf-8")


def serve(recording: Recording, host: str, port: int) -> ThreadingHTTPServer:
    """The door, bound; whoever calls serve_forever opens it. Errors: OSError."""

    class Handler(BaseHTTPRequestHandler):
        timeout = READ_SECONDS

        def _record(self) -> None:
            length = self.headers.get("Content-Length", "0")
            size = int(length) if length.isdecimal() else 0
            if size > MAX_BODY:
                self.send_error(413)
                return
            told = {name.lower(): value for name, value in self.headers.items() if name.lower() not in OF_THE_WAY}
            if not recording.keep(self.command, self.path, told, self.rfile.read(size)):
                self.send_error(503)
                return
            self.send_response(recording.status)
            self.send_header("Content-Type", recording.content_type)
            self.send_header("Content-Length", str(len(recording.answer)))
            self.end_headers()
            self.wfile.write(recording.answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Said by the recording; paths may carry secrets."""

    for method in METHODS:
        setattr(Handler, f"do_{method}", Handler._record)
    return ThreadingHTTPServer((host, port), Handler)


def _name(path: str) -> str:
    last = path.strip("/").rpartition("/")[2]
    return re.sub(r"[^a-z0-9]+", "_", last.lower()).strip("_")[:40] or "message"


def _extension(body: bytes) -> str:
    beginning = body.lstrip()[:1]
    return "xml" if beginning == b"<" else "json" if beginning in (b"{", b"[") else "txt"
