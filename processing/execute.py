"""execute(commands) -> outcomes: one transaction for a batch, and a single request is a batch of one.

Claim keys in sorted order, lock accounts in id order, read the clock, read what was locked, fold the commands
one after another in memory, write the difference, commit. Any conflict with another process tries the whole
batch again with the same keys; what still conflicts is tried one by one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from processing import accounts, cards, holders, ledger, queries, receipts
from processing.commands import (
    MAX_CARDS,
    MAX_KEY,
    MAX_KEYS,
    MAX_LINES,
    ActivateCard,
    Adjust,
    AnyQuery,
    Command,
    IssueCard,
    PostReceipt,
    RegisterHolder,
    RestoreReceipt,
    TopUp,
    VoidReceipt,
)
from processing.database import Database, is_lock_timeout, is_retryable, sqlstate, trace
from processing.directory import Directory
from processing.errors import BadAmount, BadMessage, Busy, Failed, LoyaltyError, TooLarge
from processing.ids import Ids
from processing.ledger import Work
from processing.results import Result
from processing.secrets import Vault
from processing.state import State
from processing.units import MAX_AMOUNT

Outcome = Result | LoyaltyError
Handler = Callable[[State, Any], Result]

HANDLERS: dict[type[Command[Any]], Handler] = {
    PostReceipt: receipts.post_receipt,
    VoidReceipt: receipts.void_receipt,
    RestoreReceipt: receipts.restore_receipt,
    IssueCard: cards.issue_card,
    ActivateCard: cards.activate_card,
    RegisterHolder: holders.register_holder,
    TopUp: accounts.top_up,
    Adjust: accounts.adjust,
}

MAX_BATCH = 256
# Of tills, receipt numbers and actors.
MAX_NAME = 64
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.005

log = structlog.get_logger()


class Core:
    """The books of one chain: commands and queries in, outcomes out. Shared by threads."""

    def __init__(self, database: Database, directory: Directory, vault: Vault) -> None:
        self.work = Work(database, directory, vault, Ids(database))
        # Told the seconds from a batch's begin until it holds its keys and accounts; and of every repetition.
        self.on_locked: Callable[[float], None] = lambda seconds: None
        self.on_repeat: Callable[[], None] = lambda: None

    def execute(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        """The outcome of each command, in order; batches longer than MAX_BATCH are cut.

        Nothing is raised: a command that conflicts for too long is answered with Busy, and one that meets a bug
        of ours with Failed, without harm to those that travelled with it.
        """
        outcomes: list[Outcome] = []
        for start in range(0, len(commands), MAX_BATCH):
            outcomes += self._execute(commands[start : start + MAX_BATCH])
        return outcomes

    def answer(self, asked: Sequence[AnyQuery]) -> list[Outcome]:
        """The outcome of each query, in order. Errors: Busy when the database cannot be read."""
        for _ in range(ATTEMPTS):
            try:
                with self.work.database.reading() as connection:
                    return queries.answer(connection, self.work, asked)
            except Exception as error:
                if not is_retryable(error):
                    raise
                log.warning("queries_repeated", reason=sqlstate(error), size=len(asked))
                # Connections that lay in the pool while the database restarted are all of them dead.
                self.work.database.reader.dispose()
        return [Busy("the database cannot be read, repeat") for _ in asked]

    def _execute(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [self._unfit(command) for command in commands]
        sound = [i for i, outcome in enumerate(outcomes) if outcome is None]
        for i, outcome in zip(sound, self._tried([commands[i] for i in sound]), strict=True):
            outcomes[i] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _unfit(self, command: Command[Any]) -> LoyaltyError | None:
        """The refusal that a command meets before any transaction: it would spoil the batch for others."""
        try:
            self.work.directory.store(command.store)
            check_keys(command)
            if isinstance(command, PostReceipt):
                check_receipt(command)
            if isinstance(command, RegisterHolder):
                holders.contacts_of(self.work.vault, command)
        except LoyaltyError as error:
            return error
        return None

    def _tried(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        if not commands:
            return []
        failure: LoyaltyError = Busy("too many conflicts, repeat")
        for attempt in range(ATTEMPTS):
            if attempt:
                self.on_repeat()
                time.sleep(random.uniform(0, FIRST_PAUSE_SECONDS * 2**attempt))  # noqa: S311  # spreads rivals
            try:
                return self._once(commands)
            except Busy as error:
                log.warning("batch_repeated", reason=error.message, size=len(commands))
            except Exception as error:
                if not is_retryable(error):
                    log.error("batch_failed", reason=sqlstate(error), size=len(commands), trace=trace(error))
                    failure = Failed("internal error")
                    break
                log.warning("batch_repeated", reason=sqlstate(error), size=len(commands))
                if is_lock_timeout(error):
                    # Somebody holds a lock for seconds: the others in this batch shall not wait for it again.
                    break
        if len(commands) > 1:
            return [outcome for command in commands for outcome in self._tried([command])]
        return [failure]

    def _once(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        self.work.ids.reserve(_ids_needed(commands, len(self.work.directory.units)))
        started = time.perf_counter()
        with self.work.database.transaction() as connection:
            state = ledger.claim_and_read(connection, self.work, commands)
            self.on_locked(time.perf_counter() - started)
            outcomes = [_outcome(state, command) for command in commands]
            ledger.write_state(connection, self.work, state)
        if len(self.work.known_tills) < ledger.MAX_TILLS:
            self.work.known_tills.update(state.seen_tills)
        return outcomes


def _outcome(state: State, command: Command[Any]) -> Outcome:
    try:
        return HANDLERS[type(command)](state, command)
    except Busy:
        raise
    except LoyaltyError as refusal:
        return refusal


def check_keys(command: Command[Any]) -> None:
    """Errors: BadMessage for no key, too many, or one that does not fit."""
    if len(command.actor) > MAX_NAME:
        raise BadMessage(f"longer than {MAX_NAME} characters", where="actor")
    if not command.keys or len(command.keys) > MAX_KEYS:
        raise BadMessage(f"1 to {MAX_KEYS} request keys are needed", where="keys")
    for key in command.keys:
        if not key or len(key) > MAX_KEY or not key.isprintable():
            raise BadMessage(f"a request key has 1 to {MAX_KEY} printable characters", where="keys")


def check_receipt(command: PostReceipt) -> None:
    """Errors: TooLarge for more lines or cards than a receipt can have, BadMessage and BadAmount for what is unfit."""
    if len(command.receipt.lines) > MAX_LINES or len(command.cards) > MAX_CARDS:
        raise TooLarge("too many lines or cards", where="receipt")
    if abs(command.receipt.total_minor) > MAX_AMOUNT:
        raise BadAmount("the receipt's total is too large", where="total_minor")
    for where in ("number", "till"):
        if len(getattr(command.receipt, where)) > MAX_NAME:
            raise BadMessage(f"longer than {MAX_NAME} characters", where=where)


def _ids_needed(commands: Sequence[Command[Any]], units: int) -> dict[str, int]:
    """A bound on the ids that a batch may take."""
    uses = sum(len(command.cards) for command in commands if isinstance(command, PostReceipt))
    count = len(commands)
    return {
        "operation": 2 * count,
        "lot": 4 * uses + 2 * MAX_CARDS * count,
        "account": units * (count + uses),
        "wallet": count,
        "card": count,
        "holder": count,
    }
