"""Reads of committed state, without locks: the outcome of each query, whatever the others meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection

from processing.balances import read_balances, read_lots
from processing.commands import (
    AnyQuery,
    ExplainOperation,
    ExplainQuote,
    FindCards,
    Identify,
    IssueToken,
    NameWallet,
    Quote,
    ReadBalances,
    ReadChain,
    ReadHold,
    ReadHolder,
    ReadLastPurchase,
    ReadLots,
    ReadOperation,
    ReadReceipt,
    ReadStatement,
    ReadSubscription,
    ReadTransactions,
    ReadTurnover,
    ReadWallets,
    Ref,
)
from processing.database import is_retryable, sqlstate, trace
from processing.errors import Failed, LoyaltyError
from processing.explanations import explain_operation, explain_quote
from processing.faces import Faces, faces, identified, wallet_of
from processing.finding import find_cards, issue_token
from processing.ledger import Work
from processing.naming import name_wallet
from processing.persons import read_holder
from processing.quotes import quote
from processing.reading import Reading, derived_names, kept_names, names_of
from processing.records import read_hold, read_operation, read_receipt
from processing.results import Result
from processing.statements import read_statement
from processing.stores import read_chain
from processing.subscribers import read_subscription
from processing.transactions import read_transactions
from processing.turnover import read_last_purchase, read_turnover
from processing.wallets import read_wallets

Outcome = Result | LoyaltyError

READERS: dict[type[Any], Callable[[Reading, Any], Result]] = {
    FindCards: find_cards,
    Quote: quote,
    ReadBalances: read_balances,
    ReadLots: read_lots,
    ReadStatement: read_statement,
    ReadOperation: read_operation,
    ExplainOperation: explain_operation,
    ExplainQuote: explain_quote,
    ReadReceipt: read_receipt,
    ReadHold: read_hold,
    ReadHolder: read_holder,
    NameWallet: name_wallet,
    ReadChain: read_chain,
    ReadTransactions: read_transactions,
    ReadTurnover: read_turnover,
    ReadLastPurchase: read_last_purchase,
    ReadWallets: read_wallets,
    ReadSubscription: read_subscription,
    IssueToken: issue_token,
}
"""All but Identify, whose cards are read together."""

log = structlog.get_logger()


def answer(connection: Connection, work: Work, queries: Sequence[AnyQuery]) -> list[Outcome]:
    """The outcome of each query, in order; all the cards to identify are read together."""
    now = work.database.clock(work.database.host_clock())
    names: list[Sequence[Ref] | LoyaltyError] = [_names(query) for query in queries]
    fit = [(query, refs) for query, refs in zip(queries, names, strict=True) if not isinstance(refs, LoyaltyError)]
    asked = [ref for query, refs in fit for ref in refs if not isinstance(query, Identify)]
    seen = [ref for query, refs in fit for ref in refs if isinstance(query, Identify)]
    cards = kept_names(connection, asked) | derived_names(connection, work, asked + seen, now)
    reading = Reading(connection, work, now, cards)
    known = faces(reading, seen)
    reading.look_back(wallet_of(rows) for rows in known.values())
    return [
        refs if isinstance(refs, LoyaltyError) else _outcome(reading, query, known)
        for query, refs in zip(queries, names, strict=True)
    ]


def _names(query: AnyQuery) -> list[Ref] | LoyaltyError:
    try:
        return names_of(query)
    except LoyaltyError as error:
        return error.kept()


def _outcome(reading: Reading, query: AnyQuery, known: Faces) -> Outcome:
    """What one query is answered; a damaged row or a bug of ours fails its own question only."""
    try:
        if isinstance(query, Identify):
            return identified(reading, query, known)
        return READERS[type(query)](reading, query)
    except LoyaltyError as error:
        return error.kept()
    except Exception as error:
        if is_retryable(error):
            raise
        log.error("query_failed", query=type(query).__name__, reason=sqlstate(error), trace=trace(error))
        return Failed("internal error")
