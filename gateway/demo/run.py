"""``tillgate demo``: opens the chain, serves it, plays the evening, and leaves nothing behind."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click

from gateway.demo.chain import CONFIG as CHAIN
from gateway.demo.chain import DEPOSIT, OPERATOR, POINTS, DemoCard, DemoChain, available, open_chain, with_keys
from gateway.demo.play import play
from gateway.demo.server import Server, serving
from gateway.environment import COMMITTER, CONFIG, DATABASE_URL
from processing.results import Identified
from processing.secrets import new_key

LOG = "server.log"
FILE = "demo.db"


@dataclass(frozen=True, slots=True)
class Demo:
    """What the command was told; ``port`` None is a free one, ``database_url`` None a file that goes with it."""

    once: bool
    as_json: bool
    play: bool
    host: str
    port: int | None
    database_url: str | None


def run(demo: Demo) -> None:
    """Run the demo until its end. Exits with 1 when the laws do not hold. Errors: ClickException, ConfigError."""
    with _ended_by_signals(), _home() as home:
        url = demo.database_url or f"sqlite:///{home / FILE}"
        chain = open_chain(url, _environment(demo, url))
        serve = {**chain.environ, CONFIG: str(CHAIN), DATABASE_URL: url}
        # While it plays, the screen belongs to the evening; a client that is pointed here may want the log.
        log = home / LOG if demo.play else None
        threads = chain.parts.settings.gateway.server.threads
        with serving(demo.host, demo.port, threads, serve, home, log) as server:
            clean = _show(demo, chain, server, log)
            if not demo.once:
                code = server.process.wait()
                raise click.ClickException(f"the server ended by itself, code {code}")
        chain.parts.database.dispose()
    if not clean:
        sys.exit(1)


def _show(demo: Demo, chain: DemoChain, server: Server, log: Path | None) -> bool:
    """Addresses and evening on stdout; whether the laws hold."""
    if demo.as_json:
        _say(json.dumps(facts(chain, server), ensure_ascii=False))
    clean = play(chain, server, _say) if demo.play else True
    if not demo.as_json and not demo.once:
        for line in _addresses(chain, server, log):
            _say(line)
        _say("Ctrl-C ends the demo" + (" and forgets it." if demo.database_url is None else "."))
    return clean


def facts(chain: DemoChain, server: Server) -> dict[str, Any]:
    """What a client needs to talk to the chain; amounts are decimal strings, as the books have them now."""
    return {
        "base_url": server.base_url,
        "api_key": chain.api_key,
        "console": {"url": f"{server.base_url}/console/", "name": OPERATOR, "password": chain.password},
        "links": [
            {"code": code, "adapter": link.adapter, "url": _door(chain, server, code), "credentials": credentials}
            for code, link in chain.parts.settings.links.items()
            for credentials in [_credentials(chain, code)]
        ],
        "cards": [_card(card, found) for card, found in chain.identified() if card.listed],
    }


def _card(card: DemoCard, found: Identified) -> dict[str, str]:
    """A card as clients are told of it; what a gift card holds is its ``gift``."""
    told = {"number": card.number, "phone": card.phone, "points": available(found, POINTS)}
    money = available(found, DEPOSIT)
    return told | ({"deposit": "0.00", "gift": money} if card.gift else {"deposit": money})


def _door(chain: DemoChain, server: Server, link: str) -> str:
    return f"{server.base_url}/pos/{link}/{chain.secrets[link]}"


def _credentials(chain: DemoChain, link: str) -> dict[str, Any]:
    """What the till of a link proves itself with, and what it calls its store."""
    options = chain.parts.settings.links[link].options
    return {
        "secret": chain.secrets[link],
        "restaurantcode": options["restaurant_codes"][0],
        "restaurant": options["restaurants"][0],
    }


def _addresses(chain: DemoChain, server: Server, log: Path | None) -> Iterator[str]:
    yield ""
    yield f"server    {server.base_url}  (health/ready, metrics)"
    for code, link in chain.parts.settings.links.items():
        yield f"{link.adapter:<10}{_door(chain, server, code)}/getcardinfoex, .../transactionsex"
    yield f"API       {server.base_url}/api/v1  (described at {server.base_url}/api/docs)"
    yield f"console   {server.base_url}/console/  (name {OPERATOR}, password {chain.password})"
    yield f"API key   {chain.api_key}"
    yield f"stores    {', '.join(store.code for store in chain.parts.settings.chain.stores)}"
    yield f"codes     of confirmation are printed {f'in {log}' if log else 'here'}"


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()


# Around it --------------------------------------------------------------------------------------------------


def _environment(demo: Demo, url: str) -> dict[str, str]:
    """What this process was started with, completed by master keys; nothing that would lead elsewhere."""
    environ = {name: value for name, value in os.environ.items() if name != COMMITTER}
    if demo.database_url is None:
        return environ | new_keys()
    return with_keys(url, environ, _state(environ))


def new_keys() -> dict[str, str]:
    names = ("TILLGATE_MASTER_KEY", "TILLGATE_INDEX_KEY")
    return {name: base64.b64encode(new_key()).decode() for name in names}


def _state(environ: Mapping[str, str]) -> Path:
    """Where the demo keeps keys between its runs (XDG Base Directory Specification)."""
    base = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "tillgate"


@contextmanager
def _home() -> Iterator[Path]:
    """A folder for this run, removed at its end."""
    home = Path(tempfile.mkdtemp(prefix="tillgate-demo-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the block in order, and the program with 0; a second one does not disturb that."""

    def end(_number: int, _frame: FrameType | None) -> None:
        for name in names:
            signal.signal(name, signal.SIG_IGN)
        sys.exit(0)

    names = (signal.SIGTERM, signal.SIGINT)
    before = {name: signal.signal(name, end) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
