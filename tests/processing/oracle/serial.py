"""What many asked at once, asked of the oracle one after another in the order of the books' clock.

Exact: every outcome of a command, refusals too, and every answer's balances; what was told Busy changed nothing.
Queries take no locks: a balance that was told must be that of some moment at which what had ended before the query
was done and what began after it was not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select

from processing import tables
from processing.commands import Amount, Command, Line, ReadBalances, Ref, ReturnLine
from processing.errors import Busy
from processing.results import Balances
from processing.verify import verify
from tests.processing.books import Books, StillClock
from tests.processing.oracle.crowd import CHORES, Expired, Happened, Merged, Run, Task
from tests.processing.oracle.keys import Oracle
from tests.processing.oracle.lots import Account
from tests.processing.oracle.traffic import CARDS, Traffic
from tests.processing.oracle.value import merge
from tests.processing.oracle.world import World, emptied, new_oracle

MAX_BATCH = 3
TWIN_PERCENT, CHORE_PERCENT, QUERY_PERCENT = 25, 10, 15
FEW_CARDS, STRANGER_PERCENT = 3, 15
STORY_LINES = 25
ALWAYS_ALIKE = {"till", "business_date", "reason"}


class FewCards(Traffic):
    """Traffic that is nearly always about the same few cards."""

    few: Sequence[str] = ()

    def card(self) -> str:
        self.few = self.few or self.dice.sample(tuple(CARDS), FEW_CARDS)
        return super().card() if self.happens(STRANGER_PERCENT) else self.dice.choice(self.few)

    def return_line(self, line: Line) -> ReturnLine:
        """By goods: the sale may be another version by then, whose line of this number is counted otherwise."""
        made = super().return_line(line)
        return msgspec.structs.replace(made, number=0, goods=line.goods) if line.goods else ReturnLine()


@dataclass
class Told:
    """Something that happened, who heard of it, and what they had asked in the oracle's words."""

    who: int
    asked: Command[Any] | ReadBalances | str
    happened: Happened
    is_explained: bool = False
    """Of a query: some moment of its own has these balances."""

    def __str__(self) -> str:
        return f"{self.happened.at:%d %H:%M:%S.%f} #{self.who} {brief(self.asked)} -> {self.result}"

    @property
    def result(self) -> str:
        what = self.happened.what
        again = " again" if getattr(what, "replayed", False) else ""
        return f"{brief(what)}{again}" if isinstance(what, Merged | Expired) else f"{type(what).__name__}{again}"


@dataclass
class Crowd:
    """The oracle and the books of a life in rounds; in each many ask at once, and then the oracle is asked."""

    oracle: Oracle
    world: World
    traffic: Traffic
    wallets: dict[int, str]
    """A card of each wallet as it was at first, by the wallet's id."""

    story: list[Told] = field(default_factory=list)

    @classmethod
    def of(cls, books: Books, seed: int) -> Crowd:
        own = emptied(books)
        assert isinstance(own.clock, StillClock)
        oracle, world = new_oracle(own.clock.at), World.of(own, "C-", True)
        rows = own.rows("SELECT number, wallet_id FROM card ORDER BY id DESC")
        wallets = {wallet_id: world.name(number) for number, wallet_id in rows}
        return cls(oracle, world, FewCards(random.Random(seed), oracle), wallets)

    # Asking -------------------------------------------------------------------------------------------------

    def shares(self, askers: int, batches: int) -> list[list[Task]]:
        """What each is to ask: neighbours in time are about the same things, and some batches come from two at once.

        Made up as if all of it were done one after another.
        """
        shares: list[list[Task]] = [[] for _ in range(askers)]
        traffic, self.traffic.oracle = self.traffic, deepcopy(self.oracle)
        for n in range(batches):
            batch = tuple(traffic.command() for _ in range(traffic.dice.randint(1, MAX_BATCH)))
            for command in batch:
                traffic.oracle.ask(command)
            shares[n % askers].append(batch)
            if traffic.happens(TWIN_PERCENT):
                shares[(n + 1) % askers].append(batch)
            if traffic.happens(CHORE_PERCENT):
                traffic.dice.choice(shares).append(traffic.dice.choice(tuple(CHORES)))
            if traffic.happens(QUERY_PERCENT):
                traffic.dice.choice(shares).append(ReadBalances(refs=(Ref("card", traffic.dice.choice(tuple(CARDS))),)))
        traffic.oracle = self.oracle
        return shares

    def real(self, task: Task) -> Task:
        return task if isinstance(task, str) else self.world.real(task)  # type: ignore[no-any-return]

    def pause(self) -> None:
        clock = self.world.books.clock
        assert isinstance(clock, StillClock)
        clock.at += self.traffic.pause()

    # Judging ------------------------------------------------------------------------------------------------

    def judge(self, shares: Sequence[Sequence[Task]], happened: Sequence[Sequence[Happened]]) -> None:
        """Ask the oracle the same in the order of the books. Errors: AssertionError, with the story of it."""
        round_ = sorted(heard(shares, happened), key=lambda told: told.happened.at)
        queries = [told for told in round_ if isinstance(told.asked, ReadBalances)]
        changes = [told for told in round_ if not isinstance(told.asked, ReadBalances)]
        self.story += round_
        windows = [window(query.happened, changes) for query in queries]
        for place in range(len(changes) + 1):
            for query, places in zip(queries, windows, strict=True):
                query.is_explained = query.is_explained or (place in places and self.explains(query))
            if place < len(changes):
                self.follow(changes[place])
        for query in queries:
            assert query.is_explained, self.tell_of(query, "these balances were never there")
        clock = self.world.books.clock
        assert isinstance(clock, StillClock)
        self.oracle.bank.now = clock.at

    def follow(self, told: Told) -> None:
        """Let the oracle do what the books did, and compare the answers."""
        bank, what = self.oracle.bank, told.happened.what
        bank.now = told.happened.at
        if isinstance(what, Expired):
            for wallet_id, unit in expired(self.world.books, bank.now):
                bank.cards[self.wallets[wallet_id]].home.accounts[unit].expire(bank.now)
        elif isinstance(what, Merged):
            source = bank.cards[self.wallets[what.source]].home
            (waiting,) = (pair for pair in bank.merging if pair[0] is source)
            assert not source.open_holds(bank.now), self.tell_of(told, "merged while points were held")
            bank.merging.remove(waiting)
            merge(bank, source, waiting[1].living)
        elif not isinstance(what, Busy):
            assert isinstance(told.asked, Command)
            wanted, found = self.world.expected(self.oracle.ask(told.asked)), self.world.told(what)
            assert found == wanted, self.tell_of(told, f"told   {found}\nwanted {wanted}")

    def explains(self, query: Told) -> bool:
        """Whether these balances are what the oracle has at this moment."""
        asked, what = query.asked, query.happened.what
        assert isinstance(asked, ReadBalances) and isinstance(what, Balances)
        accounts = self.oracle.bank.cards[asked.refs[0].value].wallet.accounts
        return all(
            (each.balance, each.available, each.pending, each.held) == figures(accounts[each.unit], query.happened.at)
            for each in what.balances
        )

    # Looking ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Errors: AssertionError, with the story of the card and of all keys under which it did something."""
        for name in self.oracle.bank.cards:
            try:
                self.world.check_card(self.oracle, name)
            except AssertionError as error:
                about = {name}.union(*(keys(told.asked) for told in self.story if name in names(told.asked)))
                raise AssertionError(self.tell(self.story, about, str(error))) from error
        self.world.books.check_laws()

    def check_books(self) -> None:
        broken = {check.name: check.rows for check in verify(self.world.books.database) if check.rows}
        assert not broken, broken

    def tell_of(self, told: Told, what: str) -> str:
        """The story of the cards and keys that something is about, up to it."""
        until = self.story[: next(n for n, each in enumerate(self.story) if each is told) + 1]
        about = names(told.asked)
        about |= {name for each in until if keys(each.asked) & about for name in names(each.asked)}
        return self.tell(until, about, f"{what}\n{told.happened.what}")

    def tell(self, story: Sequence[Told], about: set[str], what: str) -> str:
        lines = [str(each) for each in story if names(each.asked) & about or isinstance(each.asked, str)]
        return "\n".join(["", *lines[-STORY_LINES:], what])


def heard(shares: Sequence[Sequence[Task]], happened: Sequence[Sequence[Happened]]) -> Iterator[Told]:
    """What happened with what was asked: in each share answers come in the order of what they answer."""
    for who, (share, done) in enumerate(zip(shares, happened, strict=True)):
        commands = iter([command for task in share if isinstance(task, tuple) for command in task])
        queries = iter([task for task in share if isinstance(task, ReadBalances)])
        for each in done:
            if isinstance(each.what, Expired | Merged):
                yield Told(who, "worker", each)
            else:
                yield Told(who, next(queries if isinstance(each.what, Balances) else commands), each)
        assert not [*commands, *queries], "not everything was answered"


def window(query: Happened, changes: Sequence[Told]) -> range:
    """After how many of the changes a query may have looked: those before were done when it began.

    Of those that were under way some may have been seen and others not, later by the clock though they be.
    """
    first = next((n for n, each in enumerate(changes) if each.happened.ended >= query.began), len(changes))
    seen = [n for n, each in enumerate(changes) if each.happened.began <= query.ended]
    return range(first, max(seen, default=-1) + 2)


def figures(account: Account, at: datetime) -> tuple[int, int, int, int]:
    """Balance, available, pending and held as lots and open holds are at this moment, by a clock read before."""
    pins = [pin for hold in account.holds if hold.state == "open" and hold.until > at for pin in hold.pins.items()]
    unspent = sum(lot.booked for lot in account.lots if lot.remaining < 0 or lot.terms.is_available(at))
    pending = sum(lot.booked for lot in account.lots if lot.remaining > 0 and lot.terms.available_from > at)
    pinned = sum(amount for lot, amount in pins if lot.terms.is_available(at))
    return account.balance, unspent - pinned, pending, sum(amount for _, amount in pins)


def expired(books: Books, at: datetime) -> list[tuple[int, str]]:
    """The accounts, as wallet and unit, in which a worker booked expiry at an instant."""
    operation, entry, account = tables.operation, tables.entry, tables.account
    asking = (
        select(account.c.wallet_id, account.c.unit)
        .join(entry, entry.c.account_id == account.c.id)
        .join(operation, operation.c.id == entry.c.operation_id)
        .where(operation.c.kind == "expiry", operation.c.booked_at == at, account.c.wallet_id.is_not(None))
        .distinct()
    )
    with books.database.reading() as connection:
        return [(row[0], row[1]) for row in connection.execute(asking)]


# Telling ---------------------------------------------------------------------------------------------------------


def brief(thing: Any) -> str:
    """Something asked in one line: what differs from the defaults."""
    if isinstance(thing, Ref):
        return thing.value
    if isinstance(thing, Amount):
        return f"{thing.amount} {thing.unit}"
    if isinstance(thing, tuple):
        return "[" + ", ".join(map(brief, thing)) + "]"
    if isinstance(thing, datetime):
        return f"{thing:%d %H:%M:%S.%f}"
    if not isinstance(thing, msgspec.Struct):
        return str(thing)
    fields = [field for field in msgspec.structs.fields(thing) if field.name not in ALWAYS_ALIKE]
    told = [(field.name, getattr(thing, field.name)) for field in fields if getattr(thing, field.name) != field.default]
    return f"{type(thing).__name__}({', '.join(f'{name}={brief(value)}' for name, value in told)})"


def parts(thing: Any) -> Iterator[Any]:
    """Something and all that it is made of."""
    yield thing
    if isinstance(thing, tuple):
        for each in thing:
            yield from parts(each)
    elif isinstance(thing, msgspec.Struct):
        for name in thing.__struct_fields__:
            yield from parts(getattr(thing, name))


def keys(asked: Any) -> set[str]:
    """The request keys that something is about."""
    found: set[str] = set()
    for part in parts(asked):
        found |= {*getattr(part, "keys", ()), getattr(part, "hold", ""), getattr(part, "sale", "")}
    return found - {""}


def names(asked: Any) -> set[str]:
    """Cards and request keys."""
    return keys(asked) | {part.value for part in parts(asked) if isinstance(part, Ref)}


# Lives -----------------------------------------------------------------------------------------------------------


def live(books: Books, seed: int, rounds: int, run: Run, askers: int, batches: int) -> Crowd:
    """A whole life: in each round so many ask so many batches at once.

    After it the laws hold, and nothing that was booked before has changed.
    """
    crowd = Crowd.of(books, seed)
    own = crowd.world.books
    for _ in range(rounds):
        crowd.pause()
        shares, before = crowd.shares(askers, batches), own.entries()
        happened = run(own, [[crowd.real(task) for task in share] for share in shares], crowd.traffic.dice)
        crowd.judge(shares, happened)
        after = own.entries()
        assert {place: after.get(place) for place in before} == before, "an entry was changed or deleted"
        crowd.check()
    crowd.check_books()
    return crowd
