"""create_app(parts): the one place where everything is put together."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import text

from gateway import committer, metrics
from gateway.books import Books
from gateway.collector import settle
from gateway.environment import COMMITTER, CONFIG, DATABASE_URL
from gateway.exchange_log import ExchangeLog
from gateway.logs import configure
from gateway.master_keys import load_keys
from gateway.parent import end_with_parent
from gateway.settings import Settings, load
from processing import directory, migrate, steering
from processing.database import Database
from processing.errors import ConfigError
from processing.execute import Core
from processing.secrets import Vault, load_vault

if TYPE_CHECKING:
    from flask import Flask, Response

    from gateway.pos import Wsgi

FLUSH_SECONDS = 5.0

log = structlog.get_logger()


@dataclass(frozen=True)
class Parts:
    """What a process of the service works with."""

    settings: Settings
    database: Database
    vault: Vault
    core: Core


def prepare(settings: Settings, database: Database) -> None:
    """Migrate, and bring the database in step with the configuration. Errors: ConfigError."""
    migrate.upgrade(database)
    directory.sync(database, settings.chain, dict(settings.programmes))


def parts(settings: Settings, database: Database, environ: Mapping[str, str]) -> Parts:
    """The core on a database that is migrated and in step with the configuration. Errors: ConfigError."""
    keys = load_keys(environ, database.url.render_as_string(hide_password=False))
    with database.transaction() as connection:
        vault = load_vault(connection, keys)
    with database.reading() as connection:
        chain = directory.load(connection, database.now(connection))
    told = [link.messages for link in settings.links.values() if link.enabled and link.messages is not None]
    core = Core(database, chain, vault, told)
    core.on_locked = metrics.lock_seconds.observe
    core.on_repeat = metrics.repeats.inc
    return Parts(settings, database, vault, core)


def from_environment(environ: Mapping[str, str] = os.environ) -> Parts:
    """The parts of a worker process, told by its environment. Errors: ConfigError."""
    for name in (CONFIG, DATABASE_URL):
        if name not in environ:
            raise ConfigError(f"environment: {name} is not set")
    return parts(load(environ[CONFIG], environ), Database(environ[DATABASE_URL]), environ)


def create_app(own: Parts, socket: Path | None = None) -> Flask:
    """The WSGI application: tills at ``/pos/``, everything else through Flask."""
    # Only web workers need these: the command line, the committer and the worker start without their libraries.
    from flask import Flask, Response, jsonify

    from gateway import api
    from gateway.console import pages
    from gateway.inbox import Inbox
    from gateway.phone_codes import PhoneCodes
    from gateway.pos import Pos, doors
    from gateway.senders import sender_of
    from gateway.site_exchange import SiteExchange, folder_of
    from gateway.site_imports import SiteImports

    app = Flask("tillgate")
    books = Books(own.core, own.settings.gateway, socket)
    exchange_log = ExchangeLog(own.database.writer, own.vault, own.settings.gateway.exchange_log)
    codes = PhoneCodes(
        sender_of(own.settings.gateway.codes),
        own.settings.gateway.codes.text,
        own.vault,
        lambda: own.database.clock(own.database.host_clock()),
    )
    zones = {store.code: store.zone for store in own.settings.chain.stores}
    inbox = Inbox(own.database, own.vault, own.core.work.stamps)
    behind: Wsgi = app.wsgi_app
    all_doors = doors(own.settings.links, own.settings.adapters, zones)
    pos = Pos(behind, all_doors, books.ask, exchange_log, codes, inbox.put)
    imports = SiteImports(own.core, own.vault, books.ask)
    uploads = folder_of(own.settings.gateway.uploads)
    app.wsgi_app = SiteExchange(pos, all_doors, uploads, imports, exchange_log)  # type: ignore[method-assign]
    Finalize(None, imports.close, exitpriority=20)
    # Granian's workers are children of multiprocessing, which ends them without atexit.
    Finalize(None, exchange_log.close, args=(FLUSH_SECONDS,), exitpriority=10)

    api.install(app, own.settings, own.database, own.vault, own.core, books.ask)
    pages.install(app, own.settings, own.database, own.vault, own.core)

    @app.get("/health/live")
    def live() -> Any:
        return jsonify(status="ok")

    @app.get("/health/ready")
    def ready() -> Any:
        """Whether a till's message would be answered: the database is there, and so is the committer."""
        try:
            with own.database.reading() as connection:
                connection.execute(text("SELECT 1"))
            if socket is not None:
                committer.ping(socket)
        except Exception as error:
            log.warning("not_ready", reason=type(error).__name__)
            return jsonify(status="unavailable"), 503
        return jsonify(status="ok")

    @app.get("/metrics")
    def show_metrics() -> Response:
        try:
            with own.database.reading() as connection:
                queues, now = steering.queues(connection, own.database), own.database.now(connection)
        except Exception as error:
            # What was counted is told also while the database is away.
            log.warning("queues_not_read", reason=type(error).__name__)
            queues, now = [], None
        return Response(metrics.exposition(queues, now), content_type="text/plain; version=0.0.4; charset=utf-8")

    return app


def _stop_when_told() -> None:
    """Hear SIGTERM in a thread of its own, and call granian's handler there, once.

    Python runs handlers in the main thread, which waits in a lock: a signal that comes just before the wait begins
    is heard only with the next one, and granian's workers hang when they are told twice. For the same reason SIGINT
    is for nobody here: Ctrl-C goes to the whole group, and then the parent ends its workers. Threads that start later
    inherit the mask.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})

    def hear() -> None:
        signal.sigwait({signal.SIGTERM})
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler):
            handler(signal.SIGTERM, None)
        else:  # granian's is not there yet: nobody has been served
            os._exit(0)

    threading.Thread(target=hear, name="stop", daemon=True).start()


def wsgi() -> Flask:
    """The factory that every web worker calls."""
    _stop_when_told()
    configure()
    end_with_parent()
    socket = os.environ.get(COMMITTER)
    own = from_environment()
    if own.database.is_sqlite and own.settings.gateway.worker.enabled:
        from gateway.worker import start_thread  # it works with the parts of this module

        start_thread(own)
    app = create_app(own, Path(socket) if socket else None)
    settle()
    return app
