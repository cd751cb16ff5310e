"""One set of real cards and keys on the books, and what was said of them in the oracle's words.

Two worlds live the same life: in one commands come in batches and workers run now and then, in the other they come
one by one and no worker ever runs, except that merges are finished. What tills see must be the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from processing.chores import end_holds, expire_lots, finish_merges, roll_up
from processing.claims import parts
from processing.commands import Command, Exchange, ReadLots, Ref, ReturnReceipt
from processing.errors import LoyaltyError
from processing.execute import Core, Outcome
from processing.results import CardMovement, Lots, Result, ReturnedLine
from processing.tables import metadata
from tests.processing.books import Books, StillClock, ref
from tests.processing.oracle.bank import PRODUCTS, Answer, Bank, Card, Wallet
from tests.processing.oracle.keys import Oracle
from tests.processing.oracle.traffic import CARDS, FOR_SALE, SHARED

IDS = {"operation_id", "hold_id", "card_id", "account", "merge_id", "base_id", "source", "scale"}
# Which lines points pay has tests of its own (tests/gateway/api/test_fiscal.py).
UNTOLD = {"paid"}
FLAGS = {
    "debt", "suspense", "over_limit", "superseded", "card_not_usable", "forgiven", "deducted", "over_returned",
    "hold_late", "hold_ended", "sale_unknown",
}  # fmt: skip
KEY_FIELDS = {"hold", "sale", "likeness"}
CONFIGURED = ("partner", "store", "unit", "product", "programme_version", "id_block", "data_key")
MAX_BITES = 2_000


def emptied(books: Books) -> Books:
    """The chain without cards, on a clock of its own and with a core that has seen nothing."""
    with books.database.transaction() as connection:
        for table in reversed(metadata.sorted_tables):
            if table.name == "account":
                connection.execute(table.delete().where(table.c.wallet_id.is_not(None)))
            elif table.name not in CONFIGURED:
                connection.execute(table.delete())
    clock = StillClock()
    books.database.clock = clock
    return Books(Core(books.database, books.core.work.directory, books.core.work.vault), books.database, clock)


def new_oracle(now: datetime) -> Oracle:
    bank = Bank(now)
    for name, product in CARDS.items():
        home = bank.cards[SHARED[name]].home if name in SHARED else Wallet()
        status = "issued" if name in FOR_SALE else "active"
        bank.cards[name] = Card(name, PRODUCTS[product], home, status, status == "issued")
    return Oracle(bank)


@dataclass
class World:
    books: Books
    has_workers: bool
    prefix: str
    cards: dict[str, str] = field(default_factory=dict)
    returns: dict[ReturnReceipt, ReturnReceipt] = field(default_factory=dict)
    """As they were sent: what comes again comes as it was."""

    @classmethod
    def of(cls, books: Books, prefix: str, has_workers: bool) -> World:
        world = cls(books, has_workers, prefix)
        for name, product in CARDS.items():
            shared = ref(world.cards[SHARED[name]]) if name in SHARED else None
            world.cards[name] = books.card(product=product, wallet_of=shared, active=name not in FOR_SALE)
        return world

    # Real names ---------------------------------------------------------------------------------------------

    def real(self, thing: Any) -> Any:
        """The same with this world's cards and keys."""
        if isinstance(thing, Ref):
            return Ref(thing.scheme, self.cards.get(thing.value, thing.value))
        if isinstance(thing, tuple):
            return tuple(self.real(each) for each in thing)
        if not isinstance(thing, msgspec.Struct):
            return thing
        changes: dict[str, Any] = {}
        for name in thing.__struct_fields__:
            value = getattr(thing, name)
            if name == "keys":
                changes[name] = tuple(self.prefix + key for key in value)
            elif name in KEY_FIELDS:
                changes[name] = self.prefix + value if value else ""
            else:
                changes[name] = self.real(value)
        return type(thing)(**changes)

    def told(self, outcome: Outcome) -> Answer:
        """An outcome in the oracle's words."""
        if isinstance(outcome, LoyaltyError):
            return {"word": type(outcome).__name__}
        answer: Answer = {"word": type(outcome).__name__}
        for name in outcome.__struct_fields__:
            if name not in IDS | UNTOLD:
                answer[name] = self.plain(name, getattr(outcome, name))
        if answer["word"] == "Exchanged":
            del answer["replayed"]
        return in_order(answer)

    def plain(self, name: str, value: Any) -> Any:
        if isinstance(value, CardMovement):
            number = self.name(value.card)
            return [number, value.unit, value.redeemed, value.earned, value.balance, value.available]
        if isinstance(value, ReturnedLine):
            return [value.number, value.amount]
        if isinstance(value, Result):
            return self.told(value)
        if name == "flags":
            return sorted(set(value) & FLAGS)
        if isinstance(value, tuple):
            return [self.plain("", each) for each in value]
        return self.name(value.removeprefix(self.prefix)) if isinstance(value, str) else value

    def name(self, number: str) -> str:
        return next((name for name, real in self.cards.items() if real == number), number)

    def expected(self, thing: Any) -> Any:
        """What this world's books must say: of a movement's two balances the one that its workers leave."""
        if isinstance(thing, dict):
            return in_order({name: self.expected(value) for name, value in thing.items()})
        if isinstance(thing, list) and len(thing) == 7:
            number, unit, redeemed, earned, booked, unexpired, available = thing
            return [number, unit, redeemed, earned, booked if self.has_workers else unexpired, available]
        return [self.expected(each) for each in thing] if isinstance(thing, list) else thing

    # Acting -------------------------------------------------------------------------------------------------

    def execute(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        real = [self.real(command) for command in commands]
        if self.has_workers:
            return self.books.core.execute(self.by_number(real))
        return [self.books.one(command) for command in real]

    def by_number(self, commands: Sequence[Command[Any]]) -> list[Command[Any]]:
        """The same; returns name their sale by number where it stands and nothing else in the batch is about it."""
        own = [(part.store, key) for command in commands for part in parts(command) for key in part.keys]
        return [
            msgspec.structs.replace(command, returned=self._by_number(command.returned, own))
            if isinstance(command, Exchange)
            else self._by_number(command, own)
            if isinstance(command, ReturnReceipt)
            else command
            for command in commands
        ]

    def _by_number(self, command: ReturnReceipt, own: Sequence[tuple[str, str]]) -> ReturnReceipt:
        if self.standing(command.store, command.keys[0]) is not None:
            return self.returns.get(command, command)
        sale = (command.sale_store or command.store, command.sale)
        number = None if sale in own else self.standing(*sale, kinds=("receipt", "restore"))
        made = msgspec.structs.replace(command, sale="", sale_operation=number) if number else command
        self.returns[command] = made
        return made

    def standing(self, store: str, key: str, kinds: tuple[str, ...] = ("receipt", "restore", "return")) -> int | None:
        """The operation that a key stands for."""
        found = self.books.rows(
            "SELECT o.id FROM request_key k JOIN operation o ON o.id = k.operation_id "
            "JOIN store s ON s.id = k.store_id WHERE s.code = :store AND k.key = :key AND k.state = 'posted' "
            f"AND o.kind IN {kinds}",
            store=store,
            key=key,
        )
        return found[0][0] if found else None

    def finish_merges(self) -> None:
        drain(finish_merges, self.books.core)

    def work(self) -> None:
        for chore in (end_holds, expire_lots, roll_up):
            drain(chore, self.books.core)

    # Looking ------------------------------------------------------------------------------------------------

    def check(self, oracle: Oracle) -> None:
        """Every card's balances and lots are the oracle's."""
        for name in oracle.bank.cards:
            self.check_card(oracle, name)

    def check_card(self, oracle: Oracle, name: str) -> None:
        card = oracle.bank.cards[name]
        balances = self.books.balances(self.cards[name])
        for unit, account in card.wallet.accounts.items():
            found = balances[unit]
            available, pending, held = account.at(oracle.now)
            assert available == account.available(oracle.now), "the oracle disagrees with itself"
            balance = account.balance if self.has_workers else account.unexpired
            told = (found.balance, found.available, found.pending, found.held)
            expected = (balance, available, pending, held)
            assert told == expected, f"{unit} of {name} (balance, available, pending, held): {told}, not {expected}"
        lots, expected_lots = self.lots(name), lots_of(card, oracle, self.has_workers)
        assert lots == expected_lots, f"lots of {name}: {lots}, not {expected_lots}"

    def lots(self, name: str) -> Counter[Any]:
        (answer,) = self.books.core.answer([ReadLots(refs=(ref(self.cards[name]),))])
        assert isinstance(answer, Lots)
        sums: Counter[Any] = Counter()
        for lot in answer.lots:
            sums[lot_key(lot.unit, lot.issuer, lot.is_debt, lot.available_from, lot.expires_at)] += lot.remaining
        return sums


def in_order(answer: Answer) -> Answer:
    """In which order a receipt tells its movements is nobody's business, nor that a return moved nothing."""
    if answer["word"].startswith("Receipt") and "cards" in answer:
        answer["cards"] = sorted(answer["cards"])
    if answer["word"] in ("ReceiptReturned", "ReceiptVoided"):
        answer["cards"] = [moved for moved in answer["cards"] if moved[2] or moved[3]]
    return answer


def drain(chore: Any, core: Core) -> None:
    for _ in range(MAX_BITES):
        if not chore(core):
            return
    raise AssertionError(f"{chore.__name__} finds no end")


def lot_key(unit: str, issuer: str, is_debt: bool, available_from: datetime, expires_at: datetime | None) -> Any:
    return (unit, issuer, "debt") if is_debt else (unit, issuer, available_from, expires_at)


def lots_of(card: Card, oracle: Oracle, has_workers: bool) -> Counter[Any]:
    sums: Counter[Any] = Counter()
    for unit, account in card.wallet.accounts.items():
        for lot in account.lots:
            holds = lot.booked if has_workers else lot.remaining
            if holds:
                terms = lot.terms
                sums[lot_key(unit, terms.issuer, terms.is_debt, terms.available_from, terms.expires_at)] += holds
    return sums
