"""Logged messages played again, by the code and the configuration of today, into scratch books.

The same way as at the door, from the adapter's handler to the core, without addresses and secrets: these were checked
when the message came. The clock shows when it came. What the live books know is read, and nothing is written there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from adapters.contract import Link, Route, WireRequest, WireResponse
from gateway.books import Books
from gateway.exchange_log import Place, Recorded, oldest, places, read_at
from gateway.pos import Door, answered, doors, first_asks, logged_request, misdirected, outcome_of
from gateway.settings import Settings
from processing import directory
from processing.claims import parts
from processing.commands import Ask, Command, FindCards, Ref
from processing.database import Database
from processing.errors import BadCredentials, Busy, ConfigError, LinkPaused, LoyaltyError, TooLarge
from processing.execute import Core, Outcome
from processing.ledger import refs_of
from processing.names import CARD
from processing.reading import names_of
from processing.replay.copies import Copies, wallets_of
from processing.replay.elsewhere import Elsewhere, Key, Named, by_key
from processing.replay.scratch import scratch
from processing.results import CardsFound
from processing.secrets import MasterKeys
from processing.simulation.books import vault_of
from processing.state import TOKEN

# Messages that are opened at a time.
BITE = 200
# What was refused before the message was read says nothing about code and configuration.
AT_THE_DOOR = frozenset({BadCredentials.code, LinkPaused.code, TooLarge.code})
# Why a difference may come from the begin: what the message is about was booked before it, or undone elsewhere.
EARLIER, UNDONE = "booked_before", "undone_elsewhere"

Seen = Callable[[int], None]


@dataclass(frozen=True)
class Wanted:
    """Which messages: of these links, from then on, the first so many."""

    links: tuple[str, ...]
    since: datetime
    limit: int


@dataclass(frozen=True)
class Played:
    """A message of the log and what it is told now.

    ``skipped`` says why it was not played: ``at_the_door`` or ``cannot_be_opened``. ``doubts`` are reasons for which
    scratch books do not stand where the live ones stood.
    """

    recorded: Recorded
    door: Door
    response: WireResponse | None = None
    skipped: str = ""
    doubts: tuple[str, ...] = ()
    request: WireRequest | None = None
    asks: tuple[Ask[Any], ...] = ()
    outcomes: tuple[Outcome, ...] = ()

    @property
    def outcome(self) -> str:
        return outcome_of(self.response) if self.response is not None else ""


@dataclass
class _Recorder:
    """Asks the scratch books, and remembers what was asked and told."""

    live: Core
    books: Books
    asks: tuple[Ask[Any], ...] = ()
    outcomes: tuple[Outcome, ...] = ()

    def __call__(self, asks: Sequence[Ask[Any]]) -> list[Outcome]:
        self.asks = tuple(asks)
        outcomes = self.books.ask(by_key(self.live, asks))
        self.outcomes = tuple(outcomes)
        return outcomes

    def forget(self) -> None:
        self.asks, self.outcomes = (), ()


def live_core(database: Database, keys: MasterKeys) -> Core:
    """The live books, for questions only. Errors: ConfigError where they were never served, SecretsError."""
    vault = vault_of(database, keys)
    if vault is None:
        raise ConfigError("the database was never served: it has no data keys, and so no exchange log")
    with database.reading() as connection:
        return Core(database, directory.load(connection, database.now(connection)), vault)


@dataclass
class Replay:
    """The messages that are played, and how. ``gone_before``: the log begins after the begin that was asked for."""

    live: Core
    settings: Settings
    wanted: Wanted
    found: Sequence[Place]
    gone_before: datetime | None
    doors: Mapping[str, Door] = field(default_factory=dict)

    @classmethod
    def of(cls, live: Core, settings: Settings, wanted: Wanted) -> Replay:
        """Errors: ConfigError for a link that the configuration does not have."""
        for code in wanted.links:
            if code not in settings.links:
                raise ConfigError(f"no link {code!r}; there are: {', '.join(sorted(settings.links)) or 'none'}")
        with live.work.database.reading() as connection:
            found = places(connection, wanted.links, wanted.since, wanted.limit)
            first = oldest(connection)
        zones = {store.code: store.zone for store in settings.chain.stores}
        gone = first if first is not None and first > wanted.since else None
        return cls(live, settings, wanted, found, gone, doors(settings.links, settings.adapters, zones))

    @contextmanager
    def books(self, index_key: bytes, url: str | None) -> Iterator[Core]:
        """The scratch books. Errors: ConfigError."""
        own = self.settings
        with scratch(self.live, own.chain, own.programmes, index_key, self.wanted.since, url) as core:
            yield core

    def play(self, core: Core, seen: Seen) -> Iterator[Played]:
        """Every message in the order in which it was answered. ``seen`` is told how many were read, twice each."""
        named, wallets = self._named(seen)
        until = self.found[-1].answered_at + timedelta(microseconds=1) if self.found else self.wanted.since
        elsewhere = Elsewhere(self.live, named, self.wanted.since)
        copies = Copies(self.live, core, elsewhere, self.wanted.since, until)
        copies.bring(wallets)
        doubting = _Doubting(copies, elsewhere, self.live, self.wanted.since)
        recorder = _Recorder(self.live, Books(core, self.settings.gateway))
        for recorded in self._recorded(seen):
            yield self._played(recorded, recorder, copies, doubting)

    def _played(self, recorded: Recorded, recorder: _Recorder, copies: Copies, doubting: _Doubting) -> Played:
        door = self.doors[recorded.link]
        if recorded.problem or recorded.outcome in AT_THE_DOOR:
            return Played(recorded, door, skipped="cannot_be_opened" if recorded.problem else "at_the_door")
        copies.catch_up(recorded.at)
        request, route = logged_request(recorded, door.adapter)
        recorder.forget()
        response, _ = answered(door, request, route, misdirected(route, request.method), recorder)
        # Other callers' load does not come again.
        busy = (recorded.outcome,) if recorded.outcome == Busy.code else ()
        doubts = (*busy, *doubting.about(recorder.asks, recorded.at))
        return Played(recorded, door, response, "", doubts, request, recorder.asks, recorder.outcomes)

    def _recorded(self, seen: Seen) -> Iterator[Recorded]:
        for start in range(0, len(self.found), BITE):
            bite = self.found[start : start + BITE]
            with self.live.work.database.reading() as connection:
                opened = read_at(connection, self.live.work.vault, bite)
            yield from opened
            seen(len(bite))

    def _named(self, seen: Seen) -> tuple[Named, set[int]]:
        """What all the messages are about: keys and receipts, and the wallets to which their names lead."""
        named, wallets = Named(), set[int]()
        for recorded in self._recorded(seen):
            if recorded.problem or recorded.outcome in AT_THE_DOOR:
                continue
            door = self.doors[recorded.link]
            asks = by_key(self.live, asks_of(*logged_request(recorded, door.adapter), door.link))
            named.add(asks)
            wallets |= wallets_of(self.live, names_in(self.live, asks), recorded.at)
        return named, wallets


class _Doubting:
    """Tells of a message what of its subject the scratch books do not have as the live ones had it."""

    def __init__(self, copies: Copies, elsewhere: Elsewhere, live: Core, since: datetime) -> None:
        self._copies, self._elsewhere, self._live, self._since = copies, elsewhere, live, since
        self._booked: set[Key] = set()

    def about(self, asks: Sequence[Ask[Any]], at: datetime) -> tuple[str, ...]:
        """Call it for every message in its order, after it was played."""
        found: set[str] = set()
        for wallet in wallets_of(self._live, names_in(self._live, asks), at):
            found |= self._copies.doubts(wallet, at)
        named = Named()
        named.add(by_key(self._live, asks))
        for key in sorted(named.keys):
            known = self._elsewhere.known.get(key)
            if known is None:
                continue
            if known.booked_at < self._since or (key not in named.booked and key not in self._booked):
                found.add(EARLIER)
            if known.thing in self._copies.undone:
                found.add(UNDONE)
        self._booked |= named.booked
        return tuple(sorted(found))


# Messages ---------------------------------------------------------------------------------------------------


def asks_of(request: WireRequest, route: Route | None, link: Link) -> tuple[Ask[Any], ...]:
    """What a message asks; nothing where the adapter answers or refuses by itself, whatever the reason."""
    if route is None or request.method not in route.methods:
        return ()
    try:
        return first_asks(request, route, link) or ()
    except Exception:  # it is told when the message is played
        return ()


def names_in(live: Core, asks: Sequence[Ask[Any]]) -> set[Ref]:
    """The names of cards in these asks; a text that is searched for stands for all cards that it finds today."""
    found: set[Ref] = set()
    for ask in asks:
        if isinstance(ask, Command):
            found |= {ref for part in parts(ask) for ref in refs_of(part)}
        elif isinstance(ask, FindCards):
            found.add(Ref(TOKEN, ask.text.strip()))
            (cards,) = live.answer([ask])
            if isinstance(cards, CardsFound):
                found |= {Ref(CARD, card.number) for card in cards.cards}
        else:
            with suppress(LoyaltyError):  # more names than the core reads
                found |= set(names_of(ask))  # type: ignore[arg-type]  # what is no command is a query
    return found
