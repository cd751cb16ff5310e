"""Wallets of the live books in scratch books: as they stood at the begin, and changed when they were changed.

Copied are cards with their names and PINs, lots by what was booked until then, tiers, what was done on the days
before, and of holders the name and the birthday, sealed anew. Numbers of cards, wallets and holders stay. What a card
went through is read from its own times and the audit log; where that does not explain its status, there is a doubt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, String, column, update

from processing import activity, chores, people, tables
from processing.cards import ACTIVE, BLOCKED, ISSUED, REPLACED, masked
from processing.commands import Ref
from processing.database import Row, Statement, array, run, write
from processing.execute import Core
from processing.reading import derived_names, is_text, kept_names
from processing.replay.elsewhere import Elsewhere, Thing
from processing.simulation import selects, wallets
from processing.simulation.books import first_day, held_before, holding, standing
from processing.simulation.events import Holding, Moved
from processing.simulation.play import Travelling, next_day
from processing.state import canonical

BITE = 200

_card, _wallet = tables.card.c, tables.wallet.c
CARDS = Statement(
    f"SELECT {', '.join(_card.keys())} FROM card WHERE wallet_id IN_IDS(:wallets) ORDER BY id", *_card.values()
)
IDENTIFIERS = Statement(
    """
    SELECT i.value, i.scheme, i.card_id FROM identifier i
    WHERE i.card_id IN_ROWS(SELECT c.id FROM card c WHERE c.wallet_id IN_IDS(:wallets) END_ROWS)
    """,
    *tables.identifier.c.values(),
)
AUDITED = Statement(
    """
    SELECT at, action, target FROM audit
    WHERE action IN ('card_blocked', 'card_unblocked', 'card_replaced') ORDER BY id
    """,
    *(tables.audit.c[name] for name in ("at", "action", "target")),
)
# Cards are told in the audit log by their last digits.
ENDINGS = Statement(
    "SELECT right(number, 4) AS ending, count(*) AS cards FROM card"
    " WHERE right(number, 4) IN_TEXTS(:endings) GROUP BY 1",
    column("ending", String),
    column("cards", Integer),
    sqlite="SELECT substr(number, -4) AS ending, count(*) AS cards FROM card"
    " WHERE substr(number, -4) IN_TEXTS(:endings) GROUP BY 1",
)
HELD_BACK = Statement(
    """
    SELECT DISTINCT a.wallet_id FROM account a JOIN hold k ON k.account_id = a.id
    WHERE a.wallet_id IN_IDS(:wallets) AND k.placed_at < :since AND k.until > :since
      AND (k.ended_at IS NULL OR k.ended_at > :since)
    """,
    tables.account.c.wallet_id,
)
MERGED = Statement("SELECT DISTINCT merged_into FROM wallet WHERE merged_into IN_IDS(:wallets)", _wallet.merged_into)
KNOWN = Statement("SELECT value FROM identifier WHERE value IN_TEXTS(:values)", tables.identifier.c.value)

BECOMES = {"card_blocked": BLOCKED, "card_replaced": REPLACED}

# Why a difference may come from the begin, and not from what is tried.
STATUS, HOLD, MERGE, PERSON = "card_status", "open_hold", "merged_wallet", "new_holder"


@dataclass(frozen=True, slots=True)
class Appears:
    """A card that was issued within the period, with its names."""

    at: datetime
    card: Mapping[str, Any]
    names: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Becomes:
    """A card's status from then on; an activation finds it issued, or was done by a message already."""

    at: datetime
    card: Mapping[str, Any]
    status: str


Change = Appears | Becomes | Moved


def wallets_of(live: Core, refs: Iterable[Ref], at: datetime) -> set[int]:
    """The wallets to which these names lead in the live books, tokens as of then."""
    wanted = {canonical(ref) for ref in refs if is_text(ref.value)}
    with live.work.database.reading() as connection:
        found = kept_names(connection, wanted) | derived_names(connection, live.work, wanted, at)
    return {named.wallet_id for named in found.values()}


class Copies:
    """Fills scratch books. ``undone`` are played receipts that somebody else has undone in the period."""

    def __init__(self, live: Core, scratch: Core, elsewhere: Elsewhere, since: datetime, until: datetime) -> None:
        self._live, self._scratch, self._elsewhere = live, scratch, elsewhere
        self._since, self._until = since, until
        self._doubts: dict[int, set[str]] = defaultdict(set)
        # People are copied as they are today: who came later than a message was not known to it.
        self._known_from: dict[int, datetime] = {}
        self._waiting: list[Change] = []
        self._next_day = since
        self.undone: set[Thing] = set()
        clock = scratch.work.database.clock
        assert isinstance(clock, Travelling)
        self._clock = clock
        self._audited = self._audits()

    def doubts(self, wallet: int, at: datetime) -> set[str]:
        """Why what a message of then about this wallet is told may come from the begin."""
        is_new = wallet in self._known_from and at < self._known_from[wallet]
        return self._doubts[wallet] | ({PERSON} if is_new else set())

    def bring(self, wanted: Iterable[int]) -> None:
        """Copy these wallets; once, before anything is played."""
        numbers = sorted(wanted)
        for start in range(0, len(numbers), BITE):
            self._bring(numbers[start : start + BITE])
        self._waiting.sort(key=lambda change: change.at)
        self._waiting.reverse()

    def catch_up(self, at: datetime) -> None:
        """Set the clock, and do what had been done by then by other ways and by time itself."""
        while self._waiting and self._waiting[-1].at <= at:
            change = self._waiting.pop()
            self._clock.at = max(self._clock.at, change.at)
            self._apply(change)
        self._clock.at = max(self._clock.at, at)
        if self._clock.at >= self._next_day:
            zones = {store.zone for store in self._scratch.work.directory.stores.values()}
            self._next_day = next_day(self._clock.at, zones)
            while chores.expire_lots(self._scratch):
                pass

    def _apply(self, change: Change) -> None:
        if isinstance(change, Moved):
            wallets.move(self._scratch, [change])
        elif isinstance(change, Appears):
            self._appear(change)
        else:
            self._become(change)

    def _appear(self, change: Appears) -> None:
        with self._scratch.work.database.transaction() as connection:
            values = [name["value"] for name in change.names]
            (known,) = run(connection, [(KNOWN, {"values": array(values)})])
            if not known:  # else a message has issued it
                rows = {tables.card: [dict(change.card)], tables.identifier: [dict(name) for name in change.names]}
                write(connection, rows, frozenset())

    def _become(self, change: Becomes) -> None:
        card = tables.card
        values: dict[str, Any] = {"status": change.status}
        where = [card.c.id == change.card["id"]]
        if change.status == ACTIVE and change.at == change.card["activated_at"]:
            values |= {name: change.card[name] for name in ("activated_at", "expires_at")}
            where.append(card.c.status == ISSUED)
        with self._scratch.work.database.transaction() as connection:
            connection.execute(update(card).where(*where).values(values))

    # Copying ------------------------------------------------------------------------------------------------

    def _bring(self, some: Sequence[int]) -> None:
        asked = {"wallets": array(list(some))}
        take = self._scratch.work.ids.take
        units = self._scratch.work.directory.units
        self._scratch.work.ids.reserve({"account": len(some) * len(units)})
        rows: dict[Any, list[dict[str, Any]]] = {
            tables.wallet: [
                {"id": each, "merged_into": None, "merging_into": None, "created_at": self._since} for each in some
            ],
            tables.account: [wallets.account_row(take("account"), each, unit) for each in some for unit in units],
            **self._cards(asked),
            **self._people(asked),
            **self._past(asked),
        }
        with self._scratch.work.database.transaction() as connection:
            write(connection, rows, frozenset())
        wallets.move(self._scratch, self._openings(some, asked))
        moved, undone = self._elsewhere.moved(some, self._until)
        self._waiting += moved
        self.undone |= undone
        self._doubt(asked)

    def _cards(self, asked: Mapping[str, Any]) -> dict[Any, list[dict[str, Any]]]:
        names = defaultdict(list)
        for row in self._rows(IDENTIFIERS, **asked):
            told = dict(zip(tables.identifier.c.keys(), row, strict=True))
            names[told["card_id"]].append(told)
        begun: list[dict[str, Any]] = []
        cards = [dict(zip(_card.keys(), row, strict=True)) for row in self._rows(CARDS, **asked)]
        shared = self._shared_endings(cards)
        for card in cards:
            card |= {"pin_wrong": None, "pin_tries": 0}
            story = self._story(card, masked(card["number"]) in shared)
            before = [status for at, status in story if at < self._since]
            if not before:
                card_issued = card | {"status": ISSUED, "activated_at": None, "expires_at": None}
                self._waiting.append(Appears(story[0][0], card_issued, names[card["id"]]))
            else:
                begun.append(card | {"status": before[-1]} | self._inactive(card))
            self._waiting += [Becomes(at, card, status) for at, status in story[1:] if at >= self._since]
        there = {card["id"] for card in begun}
        return {
            tables.card: begun,
            tables.identifier: [n for card, some in names.items() if card in there for n in some],
        }

    def _inactive(self, card: Mapping[str, Any]) -> dict[str, Any]:
        """What a card does not have yet that is activated within the period."""
        is_later = card["activated_at"] is not None and card["activated_at"] >= self._since
        return {"activated_at": None, "expires_at": None} if is_later else {}

    def _shared_endings(self, cards: Sequence[Mapping[str, Any]]) -> set[str]:
        """Which of the audit log's names of these cards are those of other cards as well."""
        endings = sorted({card["number"][-4:] for card in cards if masked(card["number"]) in self._audited})
        found = self._rows(ENDINGS, endings=array(endings)) if endings else []
        return {masked(ending) for ending, count in found if count > 1}

    def _story(self, card: Mapping[str, Any], is_shared: bool) -> list[tuple[datetime, str]]:
        """When the card became what, from its issue on; what is not explained by it is a doubt."""
        plain = [(card["issued_at"], ISSUED)]
        if card["activated_at"] is not None:
            plain.append((card["activated_at"], ACTIVE))
        audited = self._audited.get(masked(card["number"]), [])
        lively = ACTIVE if card["activated_at"] is not None else ISSUED
        told = [*plain, *((at, BECOMES.get(action, lively)) for at, action in audited)]
        told.sort(key=lambda change: change[0])
        if told[-1][1] == card["status"] and not is_shared:
            return told
        if plain[-1][1] != card["status"] or any(at >= self._since for at, _ in audited):
            self._doubts[card["wallet_id"]].add(STATUS)
        return plain

    def _audits(self) -> dict[str, list[tuple[datetime, str]]]:
        """By a card's last digits when which change of status was made; other cards may end alike."""
        found = defaultdict(list)
        for at, action, target in self._rows(AUDITED):
            found[target].append((at, action))
        return found

    def _people(self, asked: Mapping[str, Any]) -> dict[Any, list[dict[str, Any]]]:
        holders = [dict(zip(tables.holder.c.keys(), row, strict=True)) for row in self._rows(people.HOLDERS, **asked)]
        self._known_from |= {holder["wallet_id"]: holder["created_at"] for holder in holders}
        contacts = self._rows(people.CONTACTS, **asked)
        parts = self._rows(people.NAME_PARTS, **asked)
        return {
            tables.holder: holders,
            tables.person: [self._person(people.Person(*row)) for row in self._rows(people.PERSONS, **asked)],
            tables.contact: [{"holder_id": h, "kind": kind, "blind_index": bytes(i)} for h, kind, i in contacts],
            tables.name_part: [{"holder_id": h, "blind_index": bytes(i)} for h, i in parts],
        }

    def _person(self, person: people.Person) -> dict[str, Any]:
        """Name and birthday under a key of the scratch books."""

        def told(column: str, blob: bytes) -> str:
            vault = self._live.work.vault
            return people.read_field(vault, person.holder_id, person.wrapped_key, column, blob)

        birthday = None if person.birthday is None else told(people.BIRTHDAY, person.birthday)
        return wallets.person_row(self._scratch.work.vault, person.holder_id, told("name", person.name), birthday)

    def _past(self, asked: Mapping[str, Any]) -> dict[Any, list[dict[str, Any]]]:
        first = first_day(self._scratch.work.directory, self._since)
        did = (dict(zip(tables.activity.c.keys(), row, strict=True)) for row in self._rows(activity.ACTIVITY, **asked))
        members = held_before(self._rows(activity.MEMBERSHIPS, **asked), first)
        return {
            tables.activity: [row for row in did if row["day"] < first],
            tables.membership: [wallets.member_row(*each) for each in members],
        }

    def _openings(self, some: Sequence[int], asked: Mapping[str, Any]) -> list[Moved]:
        since = self._live.work.database.instant(self._since)
        held: dict[int, list[Holding]] = defaultdict(list)
        directory = self._live.work.directory
        for unit in directory.units:
            for wallet, amount, *terms in self._rows(selects.HELD_AS_BOOKED, unit=unit, since=since, **asked):
                held[wallet].append(standing(holding(directory, unit, amount, terms)))
        return [
            Moved(at=self._since, wallet=each, holdings=tuple(sorted(held[each], key=lambda one: one.is_debt)))
            for each in some
            if held[each]
        ]

    def _doubt(self, asked: Mapping[str, Any]) -> None:
        since = self._live.work.database.instant(self._since)
        for (wallet,) in self._rows(HELD_BACK, since=since, **asked):
            self._doubts[wallet].add(HOLD)
        for (wallet,) in self._rows(MERGED, **asked):
            self._doubts[wallet].add(MERGE)

    def _rows(self, statement: Statement, **asked: Any) -> list[Row]:
        with self._live.work.database.reading() as connection:
            return run(connection, [(statement, asked)])[0]
