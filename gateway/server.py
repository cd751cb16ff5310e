"""The processes of ``tillgate serve``: web workers under granian, and on PostgreSQL the committer and the worker.

The parent migrates, brings the database in step with the configuration, starts those two and keeps them
running, and becomes granian's supervisor. Children notice when it is gone, however it ended, and end too.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.engine import make_url

from gateway import committer, settings
from gateway.environment import COMMITTER, CONFIG, DATABASE_URL, METRICS
from processing.database import Database
from processing.errors import ConfigError

START_SECONDS = 30.0
STOP_SECONDS = 15.0
COMMITTER_PAUSE_SECONDS = 0.5
# Nobody waits for the worker; one that cannot start shall not keep a core busy.
WORKER_PAUSE_SECONDS = 5.0
BACKLOG = 1024
# Bytes of a Unix socket's name that every system takes.
MAX_SOCKET_PATH = 100

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Serving:
    """What ``tillgate serve`` was told; 0 threads leave it to gateway.yaml."""

    config: str
    database_url: str
    host: str
    port: int
    workers: int
    threads: int

    @property
    def is_sqlite(self) -> bool:
        return make_url(self.database_url).get_backend_name() == "sqlite"


class Child:
    """A process of ours, started again whenever it ends before it is told to."""

    def __init__(self, name: str, *arguments: str, pause_seconds: float) -> None:
        self.name = name
        self._command = [sys.executable, "-P", "-m", *arguments]
        self._pause_seconds = pause_seconds
        self._is_stopping = threading.Event()
        self._process = self._start()
        self._keeper = threading.Thread(target=self._keep, name=f"{name}-keeper", daemon=True)
        self._keeper.start()

    def _start(self) -> subprocess.Popen[bytes]:
        """Deaf to Ctrl-C, which goes to the whole group: web workers need it to the end, and then ``stop`` comes."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return subprocess.Popen(self._command)  # noqa: S603  # our own module
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _keep(self) -> None:
        while not self._is_stopping.is_set():
            code = self._process.wait()
            if not self._is_stopping.wait(self._pause_seconds):
                log.error(f"{self.name}_ended", code=code)
                self._process = self._start()

    def stop(self) -> None:
        """Let it finish its batch or bite and end."""
        self._is_stopping.set()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error(f"{self.name}_killed", after_seconds=STOP_SECONDS)
            self._process.kill()


class Committer(Child):
    """The committer, which web workers find at its socket."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / committer.SOCKET_NAME
        super().__init__("committer", "gateway.committer_main", str(self.socket), pause_seconds=COMMITTER_PAUSE_SECONDS)

    def wait_until_ready(self) -> None:
        """Errors: ConfigError when it does not come up."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                committer.ping(self.socket)
                return
            except OSError:
                time.sleep(0.05)
        raise ConfigError("the committer does not start; its log says why")


def check(serving: Serving) -> None:
    """Errors: ConfigError for what cannot be served."""
    if serving.is_sqlite and serving.workers > 1:
        raise ConfigError("SQLite is served by one process: use --workers 1, or PostgreSQL")
    with socket.socket(socket.AF_INET6 if ":" in serving.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((serving.host, serving.port))
        except OSError as error:
            raise ConfigError(f"{serving.host}:{serving.port} cannot be served: {error.strerror}") from None


def serve(serving: Serving) -> None:
    """Bring the database up and in step with the configuration, and serve until told to stop.

    Errors: ConfigError, before anything is served.
    """
    check(serving)
    loaded = settings.load(serving.config, os.environ)
    folder = _folder()
    before = dict(os.environ)
    os.environ |= {CONFIG: serving.config, DATABASE_URL: serving.database_url, METRICS: str(folder)}
    children: list[Child] = []
    try:
        _prepare(loaded, serving.database_url)
        if not serving.is_sqlite:
            keeper = Committer(folder)
            children.append(keeper)
            os.environ[COMMITTER] = str(keeper.socket)
            keeper.wait_until_ready()
            if loaded.gateway.worker.enabled:
                children.append(Child("worker", "gateway.worker_main", pause_seconds=WORKER_PAUSE_SECONDS))
        for code in loaded.deaf:
            log.warning("link_is_deaf", link=code, reason=settings.DEAF)
        where = f"http://{serving.host}:{serving.port}"
        log.info(
            "serving",
            tills=f"{where}/pos/",
            rest=f"{where}/api/docs",
            console=f"{where}/console/",
            links=sorted(loaded.links),
        )
        _granian(serving, serving.threads or loaded.gateway.server.threads)
    finally:
        for child in reversed(children):
            child.stop()
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.clear()
        os.environ.update(before)


def _prepare(loaded: settings.Settings, database_url: str) -> None:
    from gateway import app  # it imports the metrics, which must not come before METRICS is set

    database = Database(database_url)
    app.prepare(loaded, database)
    app.parts(loaded, database, os.environ)
    database.dispose()


def _folder() -> Path:
    """A folder of our own whose name leaves room for a socket: a TMPDIR that is too long for that gives way to /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="tillgate-"))
    if len(bytes(folder / committer.SOCKET_NAME)) <= MAX_SOCKET_PATH:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="tillgate-", dir="/tmp"))


def _ends_when_told() -> None:
    """In a web worker that was forked just now: until granian's handler is there, SIGTERM ends it at once.

    It serves nobody yet. What it has inherited is the parent's handler, which would only forget the signal: then the
    parent waits for STOP_SECONDS in vain.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _granian(serving: Serving, threads: int) -> None:
    """Web workers, until a signal ends them."""
    from granian.constants import Interfaces
    from granian.server import Server

    os.register_at_fork(after_in_child=_ends_when_told)
    Server(
        "gateway.app:wsgi",
        address=serving.host,
        port=serving.port,
        interface=Interfaces.WSGI,
        workers=serving.workers,
        blocking_threads=threads,
        backlog=BACKLOG,
        factory=True,
        log_access=False,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=int(STOP_SECONDS),
    ).serve()
