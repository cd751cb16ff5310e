"""What the queries of one batch read with: connection, clock, and where the names that they use lead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from processing.activity import ACTIVITY, BIRTHDAYS, MEMBERSHIPS, Pasts, local_day
from processing.commands import AnyQuery, ExplainQuote, Quote, Ref
from processing.database import Row, Statement, array, run
from processing.errors import BadMessage, CardNotFound
from processing.ledger import Work
from processing.names import DERIVED, derived
from processing.selects import RESOLVE
from processing.state import canonical

# Names of cards in one query; a till has a few for each card of its receipt.
MAX_NAMES = 128
_MAX_ID = 2**63 - 1


class NamedCard(NamedTuple):
    """Where a name leads."""

    card_id: int
    wallet_id: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Committed state as of ``now``; ``cards`` is where the names in the batch's queries lead."""

    connection: Connection
    work: Work
    now: datetime
    cards: Mapping[Ref, NamedCard]
    # What wallets have done before, as far as somebody has looked back at them.
    pasts: Pasts = field(default_factory=Pasts)
    _seen: set[int] = field(default_factory=set)

    def look_back(self, wallets: Iterable[int]) -> None:
        """Read what these wallets have done before, where any programme looks at it."""
        wanted = sorted(set(wallets) - self._seen)
        directory = self.work.directory
        if not wanted or not (directory.asks_history or directory.asks_birthday):
            return
        self._seen.update(wanted)
        asking = {"wallets": array(wanted)}
        did, members, born = self.each((ACTIVITY, asking), (MEMBERSHIPS, asking), (BIRTHDAYS, asking))
        self.pasts.learn(self.work.vault, directory.units, did, members, born)

    def today(self, store: str) -> date:
        """The store's day. Errors: ForeignStore."""
        return local_day(self.now, self.work.directory.store(store).zone)

    def rows(self, statement: Statement, **params: Any) -> list[Row]:
        """What one statement finds."""
        return self.each((statement, params))[0]

    def each(self, *statements: tuple[Statement, Mapping[str, Any]]) -> list[list[Row]]:
        """What each statement finds; instants among the parameters are written as the database wants them."""
        instant = self.work.database.instant
        told = [
            (statement, {name: instant(v) if isinstance(v, datetime) else v for name, v in params.items()})
            for statement, params in statements
        ]
        return run(self.connection, told)

    def card(self, refs: Sequence[Ref]) -> NamedCard:
        """The first card that one of the names leads to. Errors: CardNotFound."""
        for ref in refs:
            found = self.cards.get(canonical(ref))
            if found is not None:
                return found
        raise CardNotFound("no such card", scheme=refs[0].scheme if refs else "")

    def scale(self, unit: str) -> int:
        """The unit's digits after the point. Errors: UnitNotFound."""
        return self.work.directory.unit(unit).scale


def names_of(query: AnyQuery) -> list[Ref]:
    """The names of cards in a query. Errors: BadMessage for more than anybody needs."""
    if isinstance(query, Quote | ExplainQuote):
        refs = [ref for use in query.cards for ref in use.refs]
    else:
        refs = list(getattr(query, "refs", ()))
    if len(refs) > MAX_NAMES:
        raise BadMessage(f"more than {MAX_NAMES} names of cards", where="refs")
    return [canonical(ref) for ref in refs if is_text(ref.value)]


def kept_names(connection: Connection, refs: Iterable[Ref]) -> dict[Ref, NamedCard]:
    """The cards of names that are kept as identifiers; one that leads nowhere is missing."""
    values = sorted({ref.value for ref in refs if ref.scheme not in DERIVED})
    if not values:
        return {}
    (rows,) = run(connection, [(RESOLVE, {"values": array(values)})])
    return {Ref(scheme, value): NamedCard(card_id, wallet_id) for scheme, value, card_id, wallet_id in rows}


def derived_names(connection: Connection, work: Work, refs: Iterable[Ref], now: datetime) -> dict[Ref, NamedCard]:
    """The cards of names that are worked out: phones, holders, tokens and the like."""
    return {ref: NamedCard(*found) for ref, found in derived(connection, work.vault, refs, now).items()}


def is_text(value: str) -> bool:
    """Whether a database can compare with it; PostgreSQL knows no NUL, UTF-8 no halves of characters."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value)


def is_id(number: int) -> bool:
    return 0 < number <= _MAX_ID
