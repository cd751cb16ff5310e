"""Plays the evening through the door and tells it side by side: what came in, what was stored, what went out."""

from __future__ import annotations

import http
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import zip_longest

import click
from sqlalchemy import Connection, text

from gateway.demo import rkeeper
from gateway.demo.chain import DEPOSIT, POINTS, STORE, DemoCard, DemoChain, available
from gateway.demo.evening import EVENING, LINK, Scene, Step
from gateway.demo.server import Server
from processing.results import Identified
from processing.units import major
from processing.verify import verify

WIDTHS = (32, 46, 34)
GAP = " │ "
WIDTH = sum(WIDTHS) + len(GAP) * (len(WIDTHS) - 1)
HEADINGS = ("CAME IN", "STORED", "WENT OUT")
AMOUNT_WIDTH = 12

Say = Callable[[str], None]
Cards = dict[str, tuple[DemoCard, Identified]]

# The server is the only one that books, and its ids grow: what is new is above what was there.
OPERATIONS = """
    SELECT o.id, o.kind, o.reverses_id, o.flags, r.number FROM operation o
    LEFT JOIN receipt r ON r.operation_id = o.id WHERE o.id > :last ORDER BY o.id
"""
ENTRIES = """
    SELECT e.operation_id, a.kind, a.unit, u.scale, e.amount, l.is_debt,
           (SELECT min(c.number) FROM card c WHERE c.wallet_id = a.wallet_id) AS card
    FROM entry e JOIN account a ON a.id = e.account_id JOIN unit u ON u.code = a.unit
    LEFT JOIN lot l ON l.id = e.lot_id WHERE e.operation_id > :last ORDER BY e.operation_id, e.n
"""


def play(chain: DemoChain, server: Server, say: Say) -> bool:
    """Play and tell the whole evening; whether the laws hold afterwards. Errors: ClickException."""
    before = _cards(chain)
    evening = _Evening(chain, server, before)
    say(_row(*HEADINGS))
    for number, scene in enumerate(EVENING, 1):
        say(_caption(f"{number}. {scene.caption}"))
        for line in evening.scene(scene):
            say(line)
    say(_caption("The evening is over"))
    for line in evening.totals():
        say(line)
    for line in _balances(before, _cards(chain)):
        say(line)
    return _say_laws(chain, say)


class _Evening:
    """What is being played, and what it has come to so far."""

    def __init__(self, chain: DemoChain, server: Server, cards: Cards) -> None:
        self._database = chain.parts.database
        zone = chain.parts.core.work.directory.store(STORE).zone
        self._day = datetime.now(zone).date().isoformat()
        self._run = f"{int(time.time()):08X}"
        self._cards = cards
        self._path = f"/pos/{LINK}/{chain.secrets[LINK]}/"
        self._connection = server.connection()
        with self._database.reading() as connection:
            self._last = connection.execute(text("SELECT coalesce(max(id), 0) FROM operation")).scalar_one()
        self._kinds: Counter[str] = Counter()
        self._messages = self._entries = 0

    def scene(self, scene: Scene) -> Iterator[str]:
        """The lines of a scene: whole exchanges, and one line for each repetition that was answered alike."""
        for number, step in enumerate(scene.steps):
            if number:
                yield _row("", "", "")
            told: tuple[list[str], bytes] | None = None
            for at in step.times:
                body = step.body(at, self._day, self._run, *self._account(step))
                answer = self._send(step, body)
                stored = self._stored(answer)
                if told and told[1] == answer:
                    yield _row(f"{at} the same again", stored[0], "the same answer, byte for byte")
                    continue
                came = [at + " " + step.path, *_pairs(rkeeper.came_in(body), WIDTHS[0])]
                yield from _side_by_side(came, stored, _pairs(rkeeper.went_out(answer), WIDTHS[2]))
                told = (stored, answer)

    def totals(self) -> Iterator[str]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self._kinds.items()))
        yield f"{self._messages} messages: {self._kinds.total()} operations ({kinds}), {self._entries} entries"

    def _account(self, step: Step) -> tuple[int, int]:
        """Account and person, as r_keeper learned them from card info."""
        if not step.card:
            return 0, 0
        found = self._cards[step.card][1]
        return found.account, found.holder_id

    def _send(self, step: Step, body: bytes) -> bytes:
        """The answer of the door. Errors: ClickException."""
        self._connection.request("POST", self._path + step.path, body, {"Content-Type": "text/xml"})
        response = self._connection.getresponse()
        answer = response.read()
        self._messages += 1
        if response.status != http.HTTPStatus.OK:
            raise click.ClickException(f"{step.file}: the server answered HTTP {response.status}")
        return answer

    def _stored(self, answer: bytes) -> list[str]:
        """What the message has booked, read from the database; or what it found there."""
        with self._database.reading() as connection:
            lines = list(self._booked(connection))
        if lines:
            return lines
        known = rkeeper.operation_of(answer)
        return [f"nothing new: operation {known} stands" if known else "nothing"]

    def _booked(self, connection: Connection) -> Iterator[str]:
        last = {"last": self._last}
        entries: dict[int, list[str]] = {}
        for operation, kind, unit, scale, amount, is_debt, card in connection.execute(text(ENTRIES), last):
            whose = rkeeper.masked(card) if card else kind
            line = f"  {whose:<9}{unit:<6}{_signed(amount, scale):>{AMOUNT_WIDTH}}{'  debt' if is_debt else ''}"
            entries.setdefault(operation, []).append(line)
        for operation, kind, reverses, flags, number in connection.execute(text(OPERATIONS), last):
            self._last = max(self._last, operation)
            self._kinds[kind] += 1
            self._entries += len(entries.get(operation, ()))
            what = f" {number}" if number else f", reverses {reverses}" if reverses else ""
            yield f"operation {operation}: {kind}{what}"
            yield from entries.get(operation, ["  no entries: it names no card"])
            if flags:
                yield f"  flags: {flags}"


# Words ------------------------------------------------------------------------------------------------------


def _cards(chain: DemoChain) -> Cards:
    return {card.number: (card, found) for card, found in chain.identified()}


def _balances(before: Cards, after: Cards) -> Iterator[str]:
    """What each card had and has, of both units."""
    yield f"  {'card':<12}{'holder':<18}{'points':>12}{'now':>12}{'deposit':>14}{'now':>12}"
    for number, (card, found) in after.items():
        was = before[number][1]
        points = f"{available(was, POINTS):>12}{available(found, POINTS):>12}"
        deposit = f"{available(was, DEPOSIT):>14}{available(found, DEPOSIT):>12}"
        whose = card.holder or ("gift card" if card.gift else "(not active)")
        yield f"  {number[-10:]:<12}{whose:<18}{points}{deposit}"


def _say_laws(chain: DemoChain, say: Say) -> bool:
    """``tillgate verify``, on the database that is being served."""
    checks = list(verify(chain.parts.database))
    broken = [check for check in checks if check.rows]
    seconds = sum(check.seconds for check in checks)
    say(f"tillgate verify: {len(checks) - len(broken)} of {len(checks)} laws hold ({seconds:.2f} s)")
    for check in broken:
        say(f"  FAIL {check.name}: {check.title}")
        for row in check.rows:
            say(f"    {row}")
    return not broken


def _signed(amount: int, scale: int) -> str:
    return f"{'+' if amount > 0 else ''}{major(amount, scale)}"


def _pairs(pairs: Iterable[tuple[str, str]], width: int) -> list[str]:
    """What and how much as lines, the amounts right under each other."""
    return [f"{what:<{width - AMOUNT_WIDTH}}{amount:>{AMOUNT_WIDTH}}" if amount else what for what, amount in pairs]


def _caption(words: str) -> str:
    return f"── {words} ".ljust(WIDTH, "─")


def _side_by_side(*columns: Sequence[str]) -> Iterator[str]:
    """The columns beside each other, long lines folded."""
    folded = [
        [part for line in column for part in textwrap.wrap(line, width, drop_whitespace=False) or [""]]
        for column, width in zip(columns, WIDTHS, strict=True)
    ]
    for cells in zip_longest(*folded, fillvalue=""):
        yield _row(*cells)


def _row(*cells: str) -> str:
    return GAP.join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()
