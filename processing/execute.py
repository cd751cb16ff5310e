"""execute(commands) -> outcomes: one transaction for a batch, and a single request is a batch of one.

Claim keys in sorted order, lock accounts in id order, read the clock, read what was locked, fold the commands
one after another in memory, write the difference, commit. Any conflict with another process tries the whole
batch again with the same keys; what still conflicts is tried one by one.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import structlog

from processing import (
    accounts,
    cards,
    codes,
    enrolment,
    gift_cards,
    goods,
    holders,
    holds,
    learned_receipts,
    ledger,
    merging,
    outbox,
    people,
    queries,
    receipts,
    subscribers,
)
from processing.claims import alike_to, is_by_likeness, is_lock, named_keys, parts
from processing.commands import (
    MAX_CARDS,
    MAX_KEY,
    MAX_KEYS,
    MAX_LINES,
    MAX_WINDOW_SECONDS,
    Accrue,
    ActivateCard,
    Adjust,
    AnyQuery,
    BlockCard,
    CaptureHold,
    CheckCode,
    Command,
    DecideAdjustment,
    EnrolHolder,
    EraseHolder,
    Exchange,
    GiveConsent,
    IssueCard,
    LearnGoods,
    LearnReceipt,
    MergeHolders,
    PayOut,
    PlaceHold,
    PostReceipt,
    Receipt,
    Redeem,
    RegisterHolder,
    ReleaseHold,
    ReplaceCard,
    RestoreReceipt,
    ReturnReceipt,
    SellGiftCard,
    SendCode,
    SetPin,
    Subscribe,
    TopUp,
    Transfer,
    UnblockCard,
    UpdateHolder,
    VoidReceipt,
    WithdrawConsent,
)
from processing.database import Database, is_lock_timeout, is_retryable, sqlstate, trace
from processing.directory import Directory, load, newest_version
from processing.errors import BadAmount, BadMessage, Busy, Failed, LoyaltyError, TooLarge
from processing.events import Subscription
from processing.ids import Ids
from processing.ledger import Work
from processing.merging import MOVED_LOTS
from processing.programme.document import MAX_EVENTS, MAX_TERMS
from processing.reading import is_id
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
    ReturnReceipt: receipts.return_receipt,
    Exchange: receipts.exchange,
    PlaceHold: holds.place_hold,
    CaptureHold: holds.capture_hold,
    ReleaseHold: holds.release_hold,
    Redeem: accounts.redeem,
    Accrue: accounts.accrue_points,
    Transfer: accounts.transfer,
    SellGiftCard: gift_cards.sell_gift_card,
    PayOut: accounts.pay_out,
    IssueCard: cards.issue_card,
    ActivateCard: cards.activate_card,
    BlockCard: cards.block_card,
    UnblockCard: cards.unblock_card,
    ReplaceCard: cards.replace_card,
    SetPin: cards.set_pin,
    RegisterHolder: holders.register_holder,
    UpdateHolder: holders.update_holder,
    EnrolHolder: enrolment.enrol_holder,
    MergeHolders: merging.merge_holders,
    EraseHolder: holders.erase_holder,
    GiveConsent: holders.give_consent,
    WithdrawConsent: holders.withdraw_consent,
    SendCode: codes.send_code,
    CheckCode: codes.check_code,
    TopUp: accounts.top_up,
    Adjust: accounts.adjust,
    DecideAdjustment: accounts.decide_adjustment,
    LearnGoods: goods.learn_goods,
    LearnReceipt: learned_receipts.learn_receipt,
    Subscribe: subscribers.subscribe,
}

MAX_BATCH = 256
# Of tills, receipt numbers, owners and actors.
MAX_NAME = 64
# What makes two messages alike has room for the time when it is laid aside.
MAX_LIKENESS = 200
# A version that another process has activated is taken up so soon.
REFRESH_SECONDS = 5
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.005

log = structlog.get_logger()


class Core:
    """The books of one chain: commands and queries in, outcomes out. Shared by threads."""

    def __init__(
        self, database: Database, directory: Directory, vault: Vault, subscriptions: Sequence[Subscription] = ()
    ) -> None:
        self.work = Work(database, directory, vault, Ids(database), subscriptions=tuple(subscriptions))
        if subscriptions:
            outbox.follow(database, self.work.stamps)
        # When somebody looks next whether another process has activated a version.
        self._looks_at = time.monotonic() + REFRESH_SECONDS
        # Told the seconds from a batch's begin until it holds its keys and accounts; and of every repetition.
        self.on_locked: Callable[[float], None] = lambda seconds: None
        self.on_repeat: Callable[[], None] = lambda: None

    def execute(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        """The outcome of each command, in order. Long batches are cut at MAX_BATCH; exchanges and merges travel alone.

        Nothing is raised: a command that conflicts for too long is answered with Busy, and one that meets a bug
        of ours with Failed, without harm to those that travelled with it.
        """
        self.refresh()
        outcomes: list[Outcome] = []
        for batch in _batches(commands):
            outcomes += self._execute(batch)
        return outcomes

    def answer(self, asked: Sequence[AnyQuery]) -> list[Outcome]:
        """The outcome of each query, in order. Errors: Busy when the database cannot be read."""
        self.refresh()
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

    def refresh(self) -> None:
        """Take up programmes whose time has come, and now and then versions that others have activated.

        An operation stores the version that decided it, so that some seconds between processes harm nobody.
        """
        work = self.work
        now = work.database.clock(work.database.host_clock())
        if work.directory.changes_at is not None and work.directory.changes_at <= now:
            self.work = work = replace(work, directory=work.directory.at(now))
        if time.monotonic() < self._looks_at:
            return
        self._looks_at = time.monotonic() + REFRESH_SECONDS
        try:
            with work.database.reading() as connection:
                if newest_version(connection) not in work.directory.versions:
                    self.work = replace(work, directory=load(connection, now))
        except Exception as error:
            # Whoever comes for an answer will hear of it.
            log.warning("programmes_not_read", reason=sqlstate(error))

    def has_store(self, code: str) -> bool:
        """Whether the books know this store; where they did not, they are looked at once more."""
        if code not in self.work.directory.stores:
            with self.work.database.reading() as connection:
                self.work = replace(self.work, directory=load(connection, self.work.database.now(connection)))
        return code in self.work.directory.stores

    def _execute(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [self._unfit(command) for command in commands]
        sound = [i for i, outcome in enumerate(outcomes) if outcome is None]
        for i, outcome in zip(sound, self._tried([commands[i] for i in sound]), strict=True):
            outcomes[i] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _unfit(self, command: Command[Any]) -> LoyaltyError | None:
        """The refusal that a command meets before any transaction: it would spoil the batch for others."""
        try:
            for part in parts(command):
                self._check(part)
        except LoyaltyError as error:
            return error.kept()
        return None

    def _check(self, command: Command[Any]) -> None:
        """Errors: whatever makes a command unfit by itself."""
        self.work.directory.store(command.store)
        check_keys(command)
        for store, key in named_keys(command):
            self.work.directory.store(store)
            check_key(key)
        if isinstance(command, PostReceipt):
            check_receipt(command)
        elif isinstance(command, ReturnReceipt):
            check_receipt(command)
            check_sale(command)
        elif isinstance(command, PlaceHold):
            if command.receipt is not None:
                check_size(command.receipt)
        elif isinstance(command, (RegisterHolder, UpdateHolder, EnrolHolder)):
            people.contacts_of(self.work.vault, command)
        elif isinstance(command, SendCode) and command.card is None:
            people.told_phone(command)

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


def _batches(commands: Sequence[Command[Any]]) -> Iterator[Sequence[Command[Any]]]:
    """Cuts of at most MAX_BATCH, with some commands by themselves.

    An exchange copies its batch's state to go back to; what a batch has read of a wallet that a merge leads on
    is of before the merge.
    """
    for is_alone, group in groupby(commands, lambda command: isinstance(command, (Exchange, MergeHolders))):
        found = list(group)
        size = 1 if is_alone else MAX_BATCH
        for start in range(0, len(found), size):
            yield found[start : start + size]


def _outcome(state: State, command: Command[Any]) -> Outcome:
    try:
        return HANDLERS[type(command)](state, command)
    except Busy:
        raise
    except LoyaltyError as refusal:
        return refusal.kept()


def check_keys(command: Command[Any]) -> None:
    """Errors: BadMessage for no key, too many, or one that does not fit."""
    if len(command.actor) > MAX_NAME:
        raise BadMessage(f"longer than {MAX_NAME} characters", where="actor")
    if len(getattr(command, "owner", "")) > MAX_NAME:
        raise BadMessage(f"longer than {MAX_NAME} characters", where="owner")
    if not command.keys:
        if is_lock(command):
            return
        if is_by_likeness(command):
            check_likeness(command)
            return
    if not 0 < len(command.keys) <= MAX_KEYS:
        raise BadMessage(f"1 to {MAX_KEYS} request keys are needed", where="keys")
    for key in command.keys:
        check_key(key)


def check_likeness(command: Command[Any]) -> None:
    """Errors: BadMessage."""
    if len(alike_to(command)) > MAX_LIKENESS or not alike_to(command).isprintable():
        raise BadMessage(f"up to {MAX_LIKENESS} printable characters", where="likeness")
    if not 0 <= command.window_seconds <= MAX_WINDOW_SECONDS:
        raise BadMessage(f"0 to {MAX_WINDOW_SECONDS} seconds", where="window_seconds")


def check_key(key: str) -> None:
    """Errors: BadMessage."""
    if not key or len(key) > MAX_KEY or not key.isprintable():
        raise BadMessage(f"a request key has 1 to {MAX_KEY} printable characters", where="keys")


def check_receipt(command: PostReceipt | ReturnReceipt) -> None:
    """Errors: TooLarge for more lines or cards than a receipt can have, BadMessage and BadAmount for what is unfit."""
    receipt = command.receipt
    if len(command.cards) > MAX_CARDS or (isinstance(command, ReturnReceipt) and len(command.lines) > MAX_LINES):
        raise TooLarge("too many lines or cards", where="receipt")
    check_size(receipt)
    for where, name in (("number", receipt.number), ("till", receipt.till), ("cashier", receipt.cashier)):
        if len(name) > MAX_NAME:
            raise BadMessage(f"longer than {MAX_NAME} characters", where=where)


def check_size(receipt: Receipt) -> None:
    """Errors: TooLarge, BadAmount."""
    if len(receipt.lines) > MAX_LINES:
        raise TooLarge("too many lines or cards", where="receipt")
    if abs(receipt.total_minor) > MAX_AMOUNT:
        raise BadAmount("the receipt's total is too large", where="total_minor")


def check_sale(command: ReturnReceipt) -> None:
    """Errors: BadMessage where the sale is named twice, or by a number that no operation has."""
    if command.sale_operation is None:
        return
    if command.sale or not is_id(command.sale_operation):
        raise BadMessage("a sale is named by its key or by the number of its operation", where="sale_operation")


def _ids_needed(commands: Sequence[Command[Any]], units: int) -> dict[str, int]:
    """A bound on the ids that a batch may take."""
    asked = [part for command in commands for part in parts(command)]
    kinds = Counter(map(type, asked))
    bought = [part for part in asked if isinstance(part, (PostReceipt, ReturnReceipt))]
    uses = sum([len(part.cards) for part in bought])
    moving = kinds[MergeHolders] + kinds[Transfer]
    count = len(asked)
    # A late fact may undo an expiry a day of its lots.
    late = MAX_CARDS * sum([isinstance(part, PostReceipt) and part.fact for part in bought])
    given = MAX_EVENTS * (kinds[IssueCard] + kinds[ActivateCard] + kinds[RegisterHolder] + 2 * kinds[EnrolHolder])
    return {
        "operation": 2 * count + late + given,
        "lot": (4 + MAX_TERMS) * uses + 2 * MAX_CARDS * count + MOVED_LOTS * moving + given,
        "account": units * (count + uses),
        "wallet": count,
        "card": count,
        "holder": count,
        "hold": count,
        "consent": count,
        "confirmation_code": count,
    }
