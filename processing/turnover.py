"""ReadTurnover and ReadLastPurchase: what was bought with a wallet's cards, by days of the stores.

A receipt that is left out takes away what its document says that it has added, and only that: returns on it stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import BigInteger, String, column

from processing import tables
from processing.activity import Activity
from processing.claims import POSTED
from processing.commands import ReadLastPurchase, ReadTurnover
from processing.database import Statement, array
from processing.documents import decode_document
from processing.reading import Reading
from processing.records import RECEIPT, stands_for
from processing.results import LastPurchase, Turnover

# Rules that give once keep their days under other names than units.
BOUGHT = Statement(
    """
    SELECT CAST(coalesce(sum(d.visits), 0) AS BIGINT) AS visits,
           CAST(coalesce(sum(d.turnover_minor), 0) AS BIGINT) AS turnover_minor
    FROM activity d JOIN unit u ON u.code = d.name
    WHERE d.wallet_id = :wallet AND d.day BETWEEN CAST(:first AS DATE) AND CAST(:last AS DATE)
    """,
    column("visits", BigInteger),
    column("turnover_minor", BigInteger),
    sqlite="""
    SELECT coalesce(sum(d.visits), 0) AS visits, coalesce(sum(d.turnover_minor), 0) AS turnover_minor
    FROM activity d JOIN unit u ON u.code = d.name
    WHERE d.wallet_id = :wallet AND d.day BETWEEN :first AND :last
    """,
)
# Two days: a receipt that is left out has added to one.
LAST_DAYS = Statement(
    """
    SELECT CAST(d.day AS VARCHAR) AS day, CAST(sum(d.visits) AS BIGINT) AS visits,
           CAST(sum(d.turnover_minor) AS BIGINT) AS turnover_minor
    FROM activity d JOIN unit u ON u.code = d.name
    WHERE d.wallet_id = :wallet AND d.day <= CAST(:last AS DATE)
    GROUP BY d.day HAVING sum(d.visits) > 0 ORDER BY d.day DESC LIMIT 2
    """,
    column("day", String),
    column("visits", BigInteger),
    column("turnover_minor", BigInteger),
    sqlite="""
    SELECT d.day, sum(d.visits) AS visits, sum(d.turnover_minor) AS turnover_minor
    FROM activity d JOIN unit u ON u.code = d.name
    WHERE d.wallet_id = :wallet AND d.day <= :last
    GROUP BY d.day HAVING sum(d.visits) > 0 ORDER BY d.day DESC LIMIT 2
    """,
)
HOMES = Statement(
    "SELECT w.id, coalesce(w.merged_into, w.id) AS home FROM wallet w WHERE w.id IN_IDS(:wallets)",
    tables.wallet.c.id,
    column("home", BigInteger),
)


def read_turnover(reading: Reading, query: ReadTurnover) -> Turnover:
    """The sums of the wallet's days. Errors: CardNotFound, ForeignStore."""
    wallet_id = reading.card(query.refs).wallet_id
    first, last = query.since or date.min, query.until or date.max
    told = reading.rows(BOUGHT, wallet=wallet_id, first=first.isoformat(), last=last.isoformat())
    ((visits, turnover_minor),) = told
    out = [each for each in _left_out(reading, query, wallet_id) if first <= each.day <= last]
    return Turnover(
        account=wallet_id,
        visits=visits - sum(each.visits for each in out),
        turnover_minor=turnover_minor - sum(each.turnover_minor for each in out),
    )


def read_last_purchase(reading: Reading, query: ReadLastPurchase) -> LastPurchase:
    """The last of the wallet's days with a purchase. Errors: CardNotFound, ForeignStore."""
    wallet_id = reading.card(query.refs).wallet_id
    out = _left_out(reading, query, wallet_id)
    last = (query.until or date.max).isoformat()
    for told, visits, turnover_minor in reading.rows(LAST_DAYS, wallet=wallet_id, last=last):
        day = date.fromisoformat(told)
        of_day = [each for each in out if each.day == day]
        if visits > sum(each.visits for each in of_day):
            money = turnover_minor - sum(each.turnover_minor for each in of_day)
            return LastPurchase(account=wallet_id, day=day, turnover_minor=money)
    return LastPurchase(account=wallet_id, day=None, turnover_minor=0)


def _left_out(reading: Reading, query: ReadTurnover | ReadLastPurchase, wallet_id: int) -> Sequence[Activity]:
    """What the receipt under ``without`` has added to days of this wallet, wherever it was then."""
    found = stands_for(reading, query.store, query.without) if query.without else None
    if found is None or found.state != POSTED or found.operation_id is None:
        return ()
    receipts = reading.rows(RECEIPT, operation=found.operation_id)
    told = decode_document(receipts[0][3]).activity if receipts else ()
    rows = reading.rows(HOMES, wallets=array(sorted({each.wallet_id for each in told})))
    homes = {row[0]: row[1] for row in rows}
    units = reading.work.directory.units
    return [each for each in told if each.name in units and homes.get(each.wallet_id) == wallet_id]
