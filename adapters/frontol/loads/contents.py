"""Messages of the outbox as lines: events of the books by what they are about, and what somebody has put there.

An event only tells which wallet has changed; what the till keeps of it is asked for when it is said, so that neither
names nor card numbers lie in the outbox.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.contract import Calling, Link, Message, read
from adapters.frontol.loads import wallets
from adapters.frontol.loads.layouts import ADDITIVE
from adapters.frontol.loads.lines import line
from adapters.frontol.loads.options import writing
from processing.commands import MAX_WALLETS, ReadWallets
from processing.errors import LinkRefused
from processing.events import HOLDER_CHANGED, LOAD
from processing.results import WalletTold

ERASED = "erased"
# Of a data file; what is more waits for the next one.
MAX_CHARACTERS = 2 << 20

Lines = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a data file shall say: ``messages`` of the job, from the first, are in it or known; ``ids`` are in it.

    ``adds``: those of them whose repetition counts twice.
    """

    messages: int
    ids: tuple[int, ...]
    lines: Lines
    adds: tuple[int, ...]


def contents(messages: Sequence[Message], link: Link, known: frozenset[int]) -> Calling[Contents]:
    """As many messages as go into a file, without those that the till has.

    One that cannot be said ends the file before it; the first one is refused. Errors: LinkRefused.
    """
    taken = _with_wallets(messages)
    accounts = sorted({account for message in taken for account in accounts_of(message)})
    found: Mapping[int, WalletTold] = {}
    if accounts:
        told = yield from read(ReadWallets(accounts=tuple(accounts)))
        found = {account: wallet for wallet in told.wallets for account in wallet.accounts}
    return _said(taken, link, known, found)


def _with_wallets(messages: Sequence[Message]) -> list[Message]:
    """The first messages, as far as they are about no more wallets than can be asked for at once."""
    accounts: set[int] = set()
    taken: list[Message] = []
    for message in messages:
        accounts.update(accounts_of(message))
        if taken and len(accounts) > MAX_WALLETS:
            break
        taken.append(message)
    return taken


def accounts_of(message: Message) -> tuple[int, ...]:
    """The wallets that a message is about; none where its body has been changed to something else."""
    named: Any = message.body.get("accounts") if message.kind == LOAD else [message.body.get("account")]
    if not isinstance(named, list) or len(named) > MAX_WALLETS or not all(type(each) is int for each in named):
        return ()
    return tuple(named)


def _said(messages: Sequence[Message], link: Link, known: frozenset[int], found: Mapping[int, WalletTold]) -> Contents:
    parts: list[tuple[Message, Lines]] = []
    ids: dict[int, None] = {}
    size = count = 0
    for message in messages:
        if message.id not in known and message.id not in ids:
            try:
                lines = lines_of(message, link, found)
            except LinkRefused:
                if not count:
                    raise
                break
            size += sum(len(told) for _, told in lines)
            if count and size > MAX_CHARACTERS:
                break
            parts.append((message, lines))
            ids[message.id] = None
        count += 1
    adds = tuple(message.id for message, lines in parts if any(command in ADDITIVE for command, _ in lines))
    return Contents(count, tuple(ids), list(_in_order(parts)), adds)


def lines_of(message: Message, link: Link, found: Mapping[int, WalletTold]) -> Lines:
    """What a message says. Errors: LinkRefused."""
    how = writing(link.options["loads"])
    return [(command, line(command, record, how)) for command, record in _records(message, link, found)]


def _records(message: Message, link: Link, found: Mapping[int, WalletTold]) -> Iterator[wallets.Told]:
    body = message.body
    if _is_written(message):
        yield from _written(body.get("command"), body.get("records"))
    elif not accounts_of(message):
        raise LinkRefused(f"{message.kind}: expected command and records, or accounts")
    if message.kind == HOLDER_CHANGED and body["change"] == ERASED:
        yield from wallets.gone_client(body["holder"], found.get(body["account"]), link)
    for account in accounts_of(message):
        if account in found:
            if message.kind == HOLDER_CHANGED:
                yield from wallets.other_kinds(found[account], link)
            yield from wallets.records(found[account], link)


def _is_written(message: Message) -> bool:
    """Whether somebody has written its records down."""
    return message.kind == LOAD and "command" in message.body


def _written(command: Any, records: Any) -> Iterator[wallets.Told]:
    if not isinstance(command, str) or not isinstance(records, list):
        raise LinkRefused(f"{LOAD}: expected command and records")
    for record in records:
        if not isinstance(record, dict):
            raise LinkRefused(f"{LOAD}: expected records to be mappings")
        yield command, record


def _in_order(parts: Sequence[tuple[Message, Lines]]) -> Iterator[tuple[str, str]]:
    """As they came; messages about wallets in a row together, sorted by what has to be there first."""
    wallets_of: Lines = []
    for message, lines in parts:
        if _is_written(message):
            yield from _sorted(wallets_of)
            wallets_of = []
            yield from lines
        else:
            wallets_of += lines
    yield from _sorted(wallets_of)


def _sorted(lines: Lines) -> Lines:
    """Each once: what is told of a wallet is the same in every message about it."""
    return sorted(dict.fromkeys(lines), key=lambda each: wallets.ORDER.index(each[0]))
