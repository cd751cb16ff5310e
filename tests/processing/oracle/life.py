"""A life of random traffic: the same steps on the oracle and in two worlds, compared after every batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from processing.commands import Command
from processing.verify import verify
from tests.processing.books import Books, StillClock
from tests.processing.oracle.bank import Answer
from tests.processing.oracle.keys import Oracle
from tests.processing.oracle.lots import Account
from tests.processing.oracle.traffic import Traffic
from tests.processing.oracle.value import finish_merges
from tests.processing.oracle.world import World, emptied, new_oracle

MAX_BATCH, WORK_PERCENT, RESEND_PERCENT = 7, 40, 30


@dataclass(frozen=True)
class Memory:
    """What was answered about one account at an instant, and how much of its past was known."""

    card: str
    unit: str
    at: datetime
    told: tuple[int, int, int]
    account: Account = field(repr=False)
    known: int = field(repr=False)


@dataclass
class Life:
    """``busy`` lives on books with workers and batches, ``plain`` on books without."""

    oracle: Oracle
    busy: World
    plain: World
    traffic: Traffic
    memories: list[Memory] = field(default_factory=list)

    @classmethod
    def of(cls, books: Books, quiet: Books, seed: int) -> Life:
        busy, plain = emptied(books), emptied(quiet)
        assert isinstance(busy.clock, StillClock)
        oracle = new_oracle(busy.clock.at)
        traffic = Traffic(random.Random(seed), oracle)
        return cls(oracle, World.of(busy, "A-", True), World.of(plain, "Z-", False), traffic)

    @property
    def worlds(self) -> tuple[World, World]:
        return self.busy, self.plain

    @property
    def dice(self) -> random.Random:
        return self.traffic.dice

    def step(self) -> None:
        self.wait(self.traffic.pause())
        if self.traffic.happens(WORK_PERCENT):
            self.work()
        self.batch(self.dice.randint(1, MAX_BATCH))
        self.check()

    # Time ---------------------------------------------------------------------------------------------------

    def wait(self, pause: timedelta) -> None:
        """Remember what is true until now, and let time go by."""
        if pause:
            self.remember()
        self.oracle.bank.now += pause
        for world in self.worlds:
            assert isinstance(world.books.clock, StillClock)
            world.books.clock.at = self.oracle.now

    def remember(self) -> None:
        name = self.dice.choice(list(self.oracle.bank.cards))
        for unit, account in self.oracle.bank.cards[name].wallet.accounts.items():
            now = self.oracle.now
            self.memories.append(Memory(name, unit, now, account.at(now), account, len(account.past())))

    def work(self) -> None:
        """Workers of the busy world write down what is true already; merges are finished in both."""
        self.busy.work()
        for card in self.oracle.bank.cards.values():
            for account in card.wallet.accounts.values():
                account.expire(self.oracle.now)
        finish_merges(self.oracle.bank)
        for world in self.worlds:
            world.finish_merges()

    # Commands -----------------------------------------------------------------------------------------------

    def batch(self, size: int) -> None:
        commands, expected = [], []
        for _ in range(size):
            commands.append(self.traffic.command())
            expected.append(deepcopy(self.oracle.ask(commands[-1])))
        self.send(commands, expected)
        if self.traffic.happens(RESEND_PERCENT):
            self.resend(commands)

    def send(self, commands: Sequence[Command[Any]], expected: Sequence[Answer]) -> None:
        for world in self.worlds:
            before = world.books.entries()
            outcomes = world.execute(commands)
            for command, outcome, answer in zip(commands, outcomes, expected, strict=True):
                told, wanted = world.told(outcome), world.expected(answer)
                assert told == wanted, f"{world.prefix} {command}\ntold   {told}\nwanted {wanted}\n{outcome}"
            after = world.books.entries()
            assert {place: after.get(place) for place in before} == before, "an entry was changed or deleted"

    def resend(self, commands: Sequence[Command[Any]]) -> None:
        """Law 2: what comes again is told again, and nothing moves."""
        for command in commands:
            answer = deepcopy(self.oracle.ask(command))
            written = self.busy.books.written()
            self.send([command], [answer])
            if answer.get("replayed"):
                assert self.busy.books.written() == written, f"{command} came again and moved something"

    # Looking ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        for world in self.worlds:
            world.check(self.oracle)
            world.books.check_laws()

    def check_past(self) -> None:
        """What was true then is true of then, but for facts that were learned later."""
        for memory in self.memories:
            card = self.oracle.bank.cards[memory.card]
            account = card.wallet.accounts[memory.unit]
            now_known = account.at(memory.at)
            if account is memory.account:
                learned = account.past()[memory.known :]
                is_late = any(effective_at <= memory.at for effective_at, _, _ in learned)
                assert is_late or now_known == memory.told, f"{memory}: the past has changed to {now_known}"
            for world in self.worlds:
                found = world.books.balances(world.cards[memory.card], memory.at)[memory.unit]
                told = (found.available, found.pending, found.held)
                assert told == now_known, f"{world.prefix} {memory}: told {told}, wanted {now_known}"

    def check_books(self) -> None:
        for world in self.worlds:
            broken = {check.name: check.rows for check in verify(world.books.database) if check.rows}
            assert not broken, broken


def live(books: Books, quiet: Books, seed: int, steps: int) -> Life:
    """A whole life, with a look back at its end."""
    life = Life.of(books, quiet, seed)
    for _ in range(steps):
        life.step()
    life.check_past()
    life.check_books()
    return life
