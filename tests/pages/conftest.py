"""A world of pages: one for a whole module, served to a browser; or one for each test, on both databases."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from argon2 import PasswordHasher
from werkzeug.serving import make_server

from gateway import app
from gateway.console import passwords, search
from processing.database import Database
from processing.migrate import upgrade
from tests.pages import world as worlds
from tests.pages.world import World
from tests.processing.books import Books, StillClock

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DEAR = passwords._hasher
SWITCHES = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage"
)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """One pass over 8 KiB in the place of two over 19 MiB: tests sign in a thousand times."""
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture
def dear_passwords(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As they are kept in earnest; to be asked for before the world is."""
    monkeypatch.setattr(passwords, "_hasher", DEAR)
    passwords._nobodys.cache_clear()
    yield
    passwords._nobodys.cache_clear()


@pytest.fixture
def world(books: Books, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The pages and their people over the books of a test, whose clock stands still; on both databases."""
    at_end: list[Any] = []
    monkeypatch.setattr(app, "Finalize", lambda _, what, args=(), **__: at_end.append((what, args)))
    made = worlds.opened(books)
    worlds.invite(made)
    yield made
    for what, args in at_end:
        what(*args)


@pytest.fixture
def busy(world: World, clock: StillClock) -> World:
    """The same after a day of exchanges, with queues."""
    worlds.say(world, clock.at)
    worlds.queue(world, clock.at)
    return world


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    """The pages over a database of their own, and their address; the browser's clock is the server's."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('pages') / 'pages.db'}")
    upgrade(database)
    made = worlds.opened(Books.of(database, None))
    with pytest.MonkeyPatch.context() as monkey:
        worlds.fill(made, datetime.now(UTC))
        # Short lists: axe looks at every cell of them.
        monkey.setattr(search, "PAGE_ROWS", 12)
        server = make_server("127.0.0.1", 0, made.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield made, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
    database.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES.split())
        yield opened
        opened.close()
