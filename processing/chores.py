"""The work of time: lots expire, holds end, merges finish, tiers fall, days are rolled up; in bites, by many workers.

Nothing waits for a worker: what is due counts as expired or ended already (``Lot.is_available``,
``State.end_due_holds``). A worker writes it down. Accounts that somebody else holds are left for the next time, so that
no batch of tills waits behind a bite.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import BigInteger, Connection, column

from processing import ledger, merging, people, tables
from processing.database import Statement, array, run, sqlstate, trace, write
from processing.directory import CENTRE, Directory
from processing.execute import Core
from processing.lots import Lot
from processing.state import Account, Posting, State

# Wallets of one bite, and the lots that it may expire.
BITE_WALLETS = 50
BITE_LOTS = 500
# A day is rolled up when nothing can be booked in it any more: no transaction lives as long as this.
ROLL_UP_MARGIN = timedelta(minutes=15)

log = structlog.get_logger()

_lot, _wallet = tables.lot.c, tables.wallet.c
DUE_LOTS = Statement(
    """
    SELECT a.wallet_id FROM lot l JOIN account a ON a.id = l.account_id
    WHERE l.is_open AND l.expires_at IS NOT NULL AND l.expires_at <= :now AND l.remaining > coalesce((
        SELECT sum(p.amount) FROM hold_pin p JOIN hold h ON h.id = p.hold_id
        WHERE p.lot_id = l.id AND h.state = 'open' AND h.until > :now
    ), 0)
    ORDER BY l.expires_at LIMIT :most
    """,
    tables.account.c.wallet_id,
)
DUE_HOLDS = Statement(
    """
    SELECT a.wallet_id FROM hold h JOIN account a ON a.id = h.account_id
    WHERE h.state = 'open' AND h.until <= :now ORDER BY h.until LIMIT :most
    """,
    tables.account.c.wallet_id,
)
MERGING = Statement(
    """
    SELECT w.id, coalesce((SELECT t.merged_into FROM wallet t WHERE t.id = w.merging_into), w.merging_into)
    FROM wallet w
    WHERE w.merging_into IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM account a JOIN hold h ON h.account_id = a.id
        WHERE a.wallet_id = w.id AND h.state = 'open' AND h.until > :now
    )
    ORDER BY w.id LIMIT :most
    """,
    _wallet.id,
    _wallet.merging_into,
)
# By the days of UTC: a tier that falls some hours later is no worse.
DUE_TIERS = Statement(
    """
    SELECT m.wallet_id, m.programme FROM membership m
    WHERE m.look_on IS NOT NULL AND m.look_on <= CAST(:today AS DATE) ORDER BY m.look_on, m.wallet_id LIMIT :most
    """,
    tables.membership.c.wallet_id,
    tables.membership.c.programme,
    sqlite="""
    SELECT m.wallet_id, m.programme FROM membership m
    WHERE m.look_on IS NOT NULL AND m.look_on <= :today ORDER BY m.look_on, m.wallet_id LIMIT :most
    """,
)
LOOK_NO_MORE = Statement("UPDATE membership SET look_on = NULL WHERE wallet_id = :wallet AND programme = :programme")
LOTS_TO_MOVE = Statement(
    "SELECT count(*) FROM lot l JOIN account a ON a.id = l.account_id WHERE l.is_open AND a.wallet_id = :wallet",
    column("count", BigInteger),
)
# When a lot was last touched: by an entry, or by the end of a hold that had pinned it.
TOUCHED = Statement(
    """
    SELECT e.lot_id, max(e.effective_at) FROM entry e
    WHERE e.account_id IN_IDS(:accounts) AND e.lot_id IN_IDS(:lots) GROUP BY e.lot_id
    """,
    tables.entry.c.lot_id,
    tables.entry.c.effective_at,
)
UNPINNED = Statement(
    """
    SELECT p.lot_id, max(h.ended_at) FROM hold_pin p JOIN hold h ON h.id = p.hold_id
    WHERE p.lot_id IN_IDS(:lots) AND h.ended_at IS NOT NULL GROUP BY p.lot_id
    """,
    tables.hold_pin.c.lot_id,
    tables.hold.c.ended_at,
)
ROLLED_UNTIL = Statement(
    """
    INSERT INTO chore (name, done_until) VALUES (:name, :first)
    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING done_until
    """,
    tables.chore.c.done_until,
)
FIRST_BOOKED = Statement("SELECT min(booked_at) FROM operation", tables.operation.c.booked_at)
DAYS_ENTRIES = Statement(
    """
    SELECT e.account_id, CAST(sum(CASE WHEN e.amount > 0 THEN e.amount ELSE 0 END) AS BIGINT) AS debit,
           CAST(-sum(CASE WHEN e.amount < 0 THEN e.amount ELSE 0 END) AS BIGINT) AS credit, count(*) AS entries
    FROM operation o JOIN entry e ON e.operation_id = o.id JOIN account a ON a.id = e.account_id
    WHERE o.booked_at >= :since AND o.booked_at < :until AND a.partner_id = :partner GROUP BY e.account_id
    """,
    tables.entry.c.account_id,
    column("debit", BigInteger),
    column("credit", BigInteger),
    column("entries", BigInteger),
)
ROLLED = Statement("UPDATE chore SET done_until = :until WHERE name = :name")


def expire_lots(core: Core) -> int:
    """Book one bite of lots that are past their time as expired; how many."""
    core.work.ids.reserve({"operation": BITE_LOTS})
    with core.work.database.transaction() as connection:
        wallets = _due(connection, core, DUE_LOTS)
        if not wallets:
            return 0
        state = ledger.read_wallets(connection, core.work, wallets, is_patient=True)
        expired = _expire(connection, state)
        ledger.write_state(connection, core.work, state)
    return expired


def _due(connection: Connection, core: Core, statement: Statement) -> set[int]:
    now = core.work.database.instant(core.work.database.now(connection))
    (rows,) = run(connection, [(statement, {"now": now, "most": BITE_WALLETS})])
    return {row[0] for row in rows}


def _expire(connection: Connection, state: State) -> int:
    """What is free in lots past their time goes to their issuers' account of breakage.

    It is effective when the lot's time was over; a lot that was filled or let go of later, when that was.
    """
    due: list[tuple[Account, Lot]] = [
        (account, lot)
        for account in state.accounts_by_id.values()
        for lot in account.lots.values()
        if lot.free > 0 and lot.is_expired(state.now)
    ][:BITE_LOTS]
    touched = _touched(connection, due)
    by_operation: dict[tuple[int, datetime], list[tuple[Account, Lot]]] = {}
    for account, lot in due:
        assert lot.expires_at is not None
        effective_at = max(lot.expires_at, touched.get(lot.id, lot.expires_at))
        by_operation.setdefault((account.id, min(effective_at, state.now)), []).append((account, lot))
    for (_, effective_at), lots in by_operation.items():
        postings: list[Posting] = []
        for account, lot in lots:
            postings += state.expiry(account, lot, lot.free)
        state.post("expiry", CENTRE, postings, effective_at=effective_at)
    return len(due)


def _touched(connection: Connection, due: list[tuple[Account, Lot]]) -> dict[int, datetime]:
    lots = array(sorted(lot.id for _, lot in due))
    accounts = array(sorted({account.id for account, _ in due}))
    entries, holds = run(connection, [(TOUCHED, {"accounts": accounts, "lots": lots}), (UNPINNED, {"lots": lots})])
    found: dict[int, datetime] = {}
    for lot_id, at in (*entries, *holds):
        found[lot_id] = max(found.get(lot_id, at), at)
    return found


def end_holds(core: Core) -> int:
    """Write down the end of one bite of holds that are past their deadline; how many."""
    with core.work.database.transaction() as connection:
        wallets = _due(connection, core, DUE_HOLDS)
        if not wallets:
            return 0
        state = ledger.read_wallets(connection, core.work, wallets, is_patient=True)
        ledger.write_state(connection, core.work, state)
    return len(state.changed_holds)


def finish_merges(core: Core) -> int:
    """Finish the merges of one bite that have waited; how many. One that fails does not stop those behind it.

    Errors: what the first of them failed with, when nothing was done.
    """
    with core.work.database.reading() as connection:
        now = core.work.database.instant(core.work.database.now(connection))
        (waiting,) = run(connection, [(MERGING, {"now": now, "most": BITE_WALLETS})])
    done, failed = 0, None
    for source, target in waiting:
        try:
            done += _finish_merge(core, source, target)
        except Exception as error:
            log.warning("merge_failed", source=source, reason=sqlstate(error), trace=trace(error))
            failed = failed or error
    if failed is not None and not done:
        raise failed
    return done


def _finish_merge(core: Core, source: int, target: int) -> int:
    """Finish a merge or call it off: 1; 0 where it can not be done just now."""
    _reserve(core, source)
    with core.work.database.transaction() as connection:
        state = ledger.read_wallets(connection, core.work, {source, target}, is_patient=False)
        if not merging.can_finish(state, source, target):
            return 0
        people.read_holders(connection, state.people, {source, target})
        merging.finish(state, source, target)
        ledger.write_state(connection, core.work, state)
    return 1


def _reserve(core: Core, source: int) -> None:
    """Ids for as many lots as the source has; should it get more before it is locked, the next round counts again."""
    with core.work.database.reading() as connection:
        (counted,) = run(connection, [(LOTS_TO_MOVE, {"wallet": source})])
    core.work.ids.reserve({"operation": 1, "lot": counted[0][0], "account": len(core.work.directory.units)})


# Tiers -----------------------------------------------------------------------------------------------------


def review_tiers(core: Core) -> int:
    """Write down the tiers of one bite of wallets that may have fallen; how many wallets."""
    core.refresh()
    if not core.work.directory.asks_history:
        return 0
    with core.work.database.transaction() as connection:
        now = core.work.database.now(connection)
        asking = {"today": now.date().isoformat(), "most": BITE_WALLETS}
        (rows,) = run(connection, [(DUE_TIERS, asking)])
        if not rows:
            return 0
        state = ledger.read_wallets(connection, core.work, {row[0] for row in rows}, is_patient=True)
        locked = {account.wallet_id for account in state.accounts_by_id.values()}
        programmes = core.work.directory.programmes
        gone = [row for row in rows if row[1] not in programmes or programmes[row[1]].programme.document.tiers is None]
        run(connection, [(LOOK_NO_MORE, {"wallet": wallet_id, "programme": code}) for wallet_id, code in gone])
        for wallet_id, code in rows:
            if wallet_id in locked and (wallet_id, code) not in gone:
                state.pasts.review(wallet_id, programmes[code].programme, state.now.date())
        ledger.write_state(connection, core.work, state)
    return len(gone) + len(state.pasts.changed)


# Roll-ups --------------------------------------------------------------------------------------------------


def roll_up(core: Core) -> int:
    """Sum up one more day of each partner's system accounts, as soon as nothing can be booked in it; how many days."""
    directory = core.work.directory
    return sum(_roll_up_day(core, partner_id, zone) for partner_id, zone in partner_zones(directory).items())


def partner_zones(directory: Directory) -> dict[int, ZoneInfo]:
    """A partner's day is that of its first store."""
    stores = sorted(directory.stores.values(), key=lambda store: -store.id)
    return {store.partner_id: store.zone for store in stores}


def _roll_up_day(core: Core, partner_id: int, zone: ZoneInfo) -> int:
    database = core.work.database
    with database.transaction() as connection:
        now = database.now(connection)
        (first,) = run(connection, [(FIRST_BOOKED, {})])
        if first[0][0] is None:
            return 0
        name = f"roll_up {partner_id}"
        start = _midnight(first[0][0].astimezone(zone).date(), zone)
        (done,) = run(connection, [(ROLLED_UNTIL, {"name": name, "first": database.instant(start)})])
        since: datetime = done[0][0]
        day = since.astimezone(zone).date()
        until = _midnight(day + timedelta(days=1), zone)
        if until + ROLL_UP_MARGIN > now:
            return 0
        period = {"since": database.instant(since), "until": database.instant(until), "partner": partner_id}
        (sums,) = run(connection, [(DAYS_ENTRIES, period)])
        rows = [
            {"account_id": account_id, "day": day, "debit": debit, "credit": credit, "entries": entries}
            for account_id, debit, credit, entries in sums
        ]
        write(connection, {tables.roll_up: rows}, frozenset({tables.roll_up}))
        run(connection, [(ROLLED, {"name": name, "until": database.instant(until)})])
    return 1


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


CHORES: dict[str, Callable[[Core], int]] = {
    "end_holds": end_holds,
    "expire_lots": expire_lots,
    "finish_merges": finish_merges,
    "review_tiers": review_tiers,
    "roll_up": roll_up,
}
