"""The laws of the books, checked on a live database as sets: what each operation promised must still be there.

All checks see one snapshot, so that a server that goes on booking gives no false alarms; they lock nothing.
A check is one statement that finds offenders, and a sentence to tell each of them. Laws that the schema keeps
by itself are checked too where a restored or hand-edited database could break them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text

from processing.database import Database

MAX_ROWS = 20
AND_MORE = "... and more"

# Whole tables are joined by hashing. A batch's connection is told the opposite (processing/database.py), and a
# nested loop, planned on the guess that few rows break a law, would take minutes here. Hash tables of a million
# groups stay in memory; compiling such short statements costs more than it saves.
_POSTGRESQL_SETTINGS = (
    "statement_timeout = 0",
    "enable_seqscan = on",
    "enable_hashjoin = on",
    "enable_mergejoin = on",
    "enable_material = on",
    "enable_nestloop = off",
    "work_mem = '64MB'",
    "jit = off",
)
_SQLITE_CACHE_KIB = 64 * 1024


@dataclass(frozen=True, slots=True)
class Check:
    """A law and who breaks it: at most MAX_ROWS of them as text, and ``AND_MORE`` if there are others."""

    name: str
    title: str
    rows: list[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Law:
    """``offenders`` selects rows that break the law; ``tells`` is a format over their columns."""

    name: str
    title: str
    tells: str
    offenders: str
    sqlite: str = ""


# What the rest is counted by: entries, in one pass over them each -------------------------------------------

_ENTRIES = (
    Law(
        "operations_balance",
        "the entries of every operation sum to zero in each unit",
        "operation {operation_id}: {unit} sums to {total}",
        """
        SELECT e.operation_id, a.unit, sum(e.amount) AS total
        FROM entry e JOIN account a ON a.id = e.account_id
        GROUP BY e.operation_id, a.unit HAVING sum(e.amount) <> 0
        """,
    ),
    Law(
        "entries_are_numbered",
        "the entries of every operation are numbered from 0 without a gap",
        "operation {operation_id}: {entries} entries, numbered {first} to {last}",
        """
        SELECT operation_id, count(*) AS entries, min(n) AS first, max(n) AS last
        FROM entry GROUP BY operation_id HAVING min(n) <> 0 OR max(n) <> count(*) - 1
        """,
    ),
    Law(
        "entries_have_an_operation",
        "every entry belongs to an operation",
        "operation {operation_id} of entry {n} does not exist",
        """
        SELECT e.operation_id, e.n FROM entry e
        LEFT JOIN operation o ON o.id = e.operation_id WHERE o.id IS NULL
        """,
    ),
    Law(
        "entries_have_an_account",
        "every entry belongs to an account",
        "operation {operation_id}, entry {n}: account {account_id} does not exist",
        """
        SELECT e.operation_id, e.n, e.account_id FROM entry e
        LEFT JOIN account a ON a.id = e.account_id WHERE a.id IS NULL
        """,
    ),
    Law(
        "entries_name_their_lot",
        "an entry of a wallet names a lot of the same account, a system account's names none",
        "operation {operation_id}, entry {n}: account {account_id}, lot {lot_id} of account {lots_account_id}",
        """
        SELECT e.operation_id, e.n, e.account_id, e.lot_id, l.account_id AS lots_account_id
        FROM entry e JOIN account a ON a.id = e.account_id LEFT JOIN lot l ON l.id = e.lot_id
        WHERE (a.wallet_id IS NULL) <> (e.lot_id IS NULL)
           OR (e.lot_id IS NOT NULL AND (l.id IS NULL OR l.account_id <> e.account_id))
        """,
    ),
    Law(
        "entries_share_their_times",
        "nothing takes effect after it is booked, and entries carry the times of their operation",
        "operation {operation_id}: times of {what}",
        """
        SELECT id AS operation_id, 'the operation itself' AS what FROM operation WHERE effective_at > booked_at
        UNION ALL
        SELECT e.operation_id, 'entry ' || e.n FROM entry e JOIN operation o ON o.id = e.operation_id
        WHERE e.effective_at <> o.effective_at OR e.booked_at <> o.booked_at
        """,
    ),
)

# What is kept beside the entries ----------------------------------------------------------------------------

_BALANCES = (
    Law(
        "balances_are_entries",
        "the balance of every wallet's account is the sum of its entries",
        "account {id}: balance {balance} {unit}, entries {total}",
        """
        SELECT a.id, a.unit, a.balance, coalesce(s.total, 0) AS total FROM account a
        LEFT JOIN (SELECT account_id, sum(amount) AS total FROM entry GROUP BY account_id) s ON s.account_id = a.id
        WHERE a.wallet_id IS NOT NULL AND a.balance <> coalesce(s.total, 0)
        """,
    ),
    Law(
        "balances_are_lots",
        "the balance of every wallet's account is what its lots still hold",
        "account {id}: balance {balance} {unit}, lots {total}",
        """
        SELECT a.id, a.unit, a.balance, coalesce(s.total, 0) AS total FROM account a
        LEFT JOIN (SELECT account_id, sum(remaining) AS total FROM lot GROUP BY account_id) s ON s.account_id = a.id
        WHERE a.wallet_id IS NOT NULL AND a.balance <> coalesce(s.total, 0)
        """,
    ),
    Law(
        "lots_are_entries",
        "what every lot still holds is the sum of its entries",
        "lot {id}: remaining {remaining}, entries {total}",
        """
        SELECT l.id, l.remaining, coalesce(s.total, 0) AS total FROM lot l
        LEFT JOIN (
            SELECT lot_id, sum(amount) AS total FROM entry WHERE lot_id IS NOT NULL GROUP BY lot_id
        ) s ON s.lot_id = l.id
        WHERE l.remaining <> coalesce(s.total, 0)
        """,
    ),
    Law(
        "open_lots_hold_something",
        "a lot is open exactly as long as something remains in it",
        "lot {id}: remaining {remaining}, open {is_open}",
        "SELECT id, remaining, is_open FROM lot WHERE is_open <> (remaining <> 0)",
    ),
    Law(
        "only_debts_are_negative",
        "a debt holds less than nothing or nothing, everything else nothing or more",
        "lot {id} of account {account_id}: remaining {remaining}, debt {is_debt}",
        """
        SELECT id, account_id, remaining, is_debt FROM lot
        WHERE (remaining < 0 AND NOT is_debt) OR (remaining > 0 AND is_debt)
        """,
    ),
    Law(
        "lots_have_an_account",
        "every lot belongs to an account and was issued by a partner",
        "lot {id}: account {account_id}, issuer {issuer_id}",
        """
        SELECT l.id, l.account_id, l.issuer_id FROM lot l
        LEFT JOIN account a ON a.id = l.account_id LEFT JOIN partner p ON p.id = l.issuer_id
        WHERE a.id IS NULL OR p.id IS NULL
        """,
    ),
    Law(
        "system_accounts_are_bare",
        "system accounts keep no balance and have no lots, so that no row of theirs is hot",
        "account {id} ({kind}): {what} {value}",
        """
        SELECT id, kind, 'balance' AS what, balance AS value FROM account WHERE partner_id IS NOT NULL AND balance <> 0
        UNION ALL
        SELECT a.id, a.kind, 'lot', l.id FROM lot l JOIN account a ON a.id = l.account_id WHERE a.partner_id IS NOT NULL
        """,
    ),
)

# Once: keys, versions and reversals -------------------------------------------------------------------------

_ONCE = (
    Law(
        "keys_are_settled",
        "a request key stands for something, under a known state",
        "store {store_id}, key {key}: state {state}, operation {operation_id}",
        """
        SELECT store_id, key, state, operation_id FROM request_key
        WHERE state NOT IN ('none', 'posted', 'rolled_back', 'returned', 'tombstone')
           OR (state = 'none' AND stamp IS NULL AND same_as IS NULL)
           OR (state IN ('none', 'tombstone') AND operation_id IS NOT NULL)
           OR (state <> 'none' AND stamp IS NULL)
        """,
    ),
    Law(
        "keys_lead_to_their_operation",
        "a key that has booked something keeps the answer, and leads to the operation that the answer tells of",
        "store {store_id}, key {key}: {state}, operation {operation_id}",
        # Answers are compact JSON; those of commands that book nothing, such as IssueCard, name no operation.
        # They carry card numbers and are not told.
        """
        SELECT k.store_id, k.key, k.state, k.operation_id FROM request_key k
        LEFT JOIN operation o ON o.id = k.operation_id
        WHERE k.state IN ('posted', 'rolled_back', 'returned') AND (
            k.answer IS NULL
            OR (k.operation_id IS NULL AND k.answer LIKE '%"operation_id":%')
            OR (k.operation_id IS NOT NULL AND (
                o.id IS NULL OR o.store_id <> k.store_id
                OR k.answer NOT LIKE '%"operation_id":' || k.operation_id || ',%'
            ))
        )
        """,
    ),
    Law(
        "keys_share_no_operation",
        "an operation stands under one key; its other names are aliases of that",
        "operation {operation_id}: {keys} keys",
        """
        SELECT operation_id, count(*) AS keys FROM request_key WHERE operation_id IS NOT NULL
        GROUP BY operation_id HAVING count(*) > 1
        """,
    ),
    Law(
        "aliases_lead_to_a_head",
        "another name of a key leads to a key that is no alias itself, and keeps nothing of its own",
        "store {store_id}, key {key}: same as {same_as}",
        """
        SELECT k.store_id, k.key, k.same_as FROM request_key k
        LEFT JOIN request_key h ON h.store_id = k.store_id AND h.key = k.same_as
        WHERE k.same_as IS NOT NULL
          AND (h.key IS NULL OR h.same_as IS NOT NULL OR k.state <> 'none' OR k.operation_id IS NOT NULL)
        """,
    ),
    Law(
        "receipts_are_known_by_key",
        "a receipt that stands is found by its key, so that it cannot be posted again",
        "operation {id} ({kind}) stands and no key leads to it",
        """
        SELECT o.id, o.kind FROM operation o
        LEFT JOIN (SELECT reverses_id FROM operation WHERE reverses_id IS NOT NULL) r ON r.reverses_id = o.id
        LEFT JOIN (SELECT operation_id FROM request_key WHERE operation_id IS NOT NULL) k ON k.operation_id = o.id
        WHERE o.kind IN ('receipt', 'restore') AND r.reverses_id IS NULL AND k.operation_id IS NULL
        """,
    ),
    Law(
        "keys_stand_for_what_stands",
        "a posted key leads to an operation that nobody has reversed, a voided one to the reversal",
        "store {store_id}, key {key}: {state}, operation {operation_id} is a {kind} reversed by {reversed_by}",
        """
        SELECT k.store_id, k.key, k.state, k.operation_id, o.kind, r.id AS reversed_by FROM request_key k
        JOIN operation o ON o.id = k.operation_id
        LEFT JOIN (SELECT id, reverses_id FROM operation WHERE reverses_id IS NOT NULL) r ON r.reverses_id = o.id
        WHERE r.id IS NOT NULL
           OR (k.state = 'posted' AND o.kind IN ('void', 'superseded'))
           OR (k.state IN ('rolled_back', 'returned') AND o.kind <> 'void')
        """,
    ),
    Law(
        "reversals_have_a_cause",
        "a newer version reverses a receipt, a void reverses what is no reversal, a restore reverses a void",
        "operation {id} ({kind}) reverses {reverses_id} ({reversed_kind})",
        """
        SELECT r.id, r.kind, r.reverses_id, o.kind AS reversed_kind FROM operation r
        LEFT JOIN operation o ON o.id = r.reverses_id AND o.store_id = r.store_id
        WHERE (r.reverses_id IS NOT NULL OR r.kind IN ('superseded', 'void', 'restore'))
          AND CASE r.kind
                WHEN 'superseded' THEN coalesce(o.kind, '') NOT IN ('receipt', 'restore')
                WHEN 'void' THEN coalesce(o.kind, 'void') IN ('void', 'superseded')
                WHEN 'restore' THEN coalesce(o.kind, '') <> 'void'
                ELSE true END
        """,
    ),
    Law(
        "reversed_once",
        "an operation is reversed at most once",
        "operation {reverses_id}: {reversals} reversals",
        """
        SELECT reverses_id, count(*) AS reversals FROM operation WHERE reverses_id IS NOT NULL
        GROUP BY reverses_id HAVING count(*) > 1
        """,
    ),
    Law(
        "reversals_mirror",
        "a reversal takes back from every account exactly what its operation brought",
        "operation {id} reverses {reverses_id}: account {account_id} is left with {total}",
        """
        SELECT id, reverses_id, account_id, sum(amount) AS total FROM (
            SELECT r.id, r.reverses_id, e.account_id, e.amount
            FROM operation r JOIN entry e ON e.operation_id = r.id WHERE r.reverses_id IS NOT NULL
            UNION ALL
            SELECT r.id, r.reverses_id, e.account_id, e.amount
            FROM operation r JOIN entry e ON e.operation_id = r.reverses_id WHERE r.reverses_id IS NOT NULL
        ) both_ways GROUP BY id, reverses_id, account_id HAVING sum(amount) <> 0
        """,
    ),
)

# Receipts, cards and people ---------------------------------------------------------------------------------

_BESIDE = (
    Law(
        "operations_have_a_store",
        "every operation and every key belongs to a store",
        "{what} of store {store_id}: there is no such store",
        """
        SELECT 'operation ' || o.id AS what, o.store_id FROM operation o
        LEFT JOIN store s ON s.id = o.store_id WHERE s.id IS NULL
        UNION ALL
        SELECT 'key ' || k.key, k.store_id FROM request_key k LEFT JOIN store s ON s.id = k.store_id WHERE s.id IS NULL
        """,
    ),
    Law(
        "receipts_have_an_operation",
        "every receipt has its operation in the same store, and the operation of a receipt its receipt",
        "operation {id}: {what}",
        """
        SELECT r.operation_id AS id, 'its receipt lacks it' AS what FROM receipt r
        LEFT JOIN operation o ON o.id = r.operation_id AND o.kind = 'receipt' AND o.store_id = r.store_id
        WHERE o.id IS NULL
        UNION ALL
        SELECT o.id, 'there is no receipt' FROM operation o
        LEFT JOIN receipt r ON r.operation_id = o.id WHERE o.kind = 'receipt' AND r.operation_id IS NULL
        """,
    ),
    Law(
        "receipts_add_up",
        "the total of every receipt is the total in its document",
        "operation {operation_id}: total {total_minor}, document {told}",
        """
        SELECT operation_id, total_minor, told FROM (
            SELECT operation_id, total_minor, document #>> '{receipt,total_minor}' AS told FROM receipt
        ) receipts WHERE told IS NULL OR told <> total_minor::text
        """,
        sqlite="""
        SELECT operation_id, total_minor, document ->> '$.receipt.total_minor' AS told FROM receipt
        WHERE total_minor IS NOT document ->> '$.receipt.total_minor'
        """,
    ),
    Law(
        "identifiers_lead_to_cards",
        "every name of a card leads to one, and every card is found by its number",
        "card {card_id}: {what}",
        # Names may be what a holder gave us, and are not told; leading zeros of a number do not matter.
        """
        SELECT i.card_id, 'named by ' || i.scheme || ', does not exist' AS what FROM identifier i
        LEFT JOIN card c ON c.id = i.card_id WHERE c.id IS NULL
        UNION ALL
        SELECT c.id, 'is not found by its number' FROM card c
        LEFT JOIN identifier i ON i.scheme = 'card' AND i.card_id = c.id
             AND i.value = coalesce(nullif(ltrim(c.number, '0'), ''), '0')
        WHERE i.card_id IS NULL
        """,
    ),
    Law(
        "wallets_have_one_holder",
        "a wallet has at most one holder",
        "wallet {wallet_id}: {holders} holders",
        "SELECT wallet_id, count(*) AS holders FROM holder GROUP BY wallet_id HAVING count(*) > 1",
    ),
    Law(
        "ids_are_taken_from_blocks",
        "every id is below what will be given out next",
        "{name}: id {greatest} exists, and {next_id} is given out next",
        # A block that was restored behind its table would give ids out twice.
        """
        SELECT b.name, g.greatest, b.next_id FROM (
            SELECT 'operation' AS name, max(id) AS greatest FROM operation
            UNION ALL SELECT 'lot', max(id) FROM lot
            UNION ALL SELECT 'account', max(id) FROM account
            UNION ALL SELECT 'wallet', max(id) FROM wallet
            UNION ALL SELECT 'card', max(id) FROM card
            UNION ALL SELECT 'holder', max(id) FROM holder
        ) g JOIN id_block b ON b.name = g.name WHERE g.greatest >= b.next_id
        """,
    ),
)

LAWS = (*_ENTRIES, *_BALANCES, *_ONCE, *_BESIDE)


def verify(database: Database, laws: Sequence[Law] = LAWS) -> Iterator[Check]:
    """Each law's check as soon as it is done, all on one snapshot of the database."""
    with _snapshot(database) as connection:
        for law in laws:
            started = time.perf_counter()
            rows = _offenders(connection, law)
            yield Check(law.name, law.title, rows, time.perf_counter() - started)


def _offenders(connection: Connection, law: Law) -> list[str]:
    is_sqlite = connection.dialect.name == "sqlite"
    sql = law.sqlite if is_sqlite and law.sqlite else law.offenders
    # Materialized, or the planner looks for the first few offenders in order, of which there are none.
    bounded = f"WITH o AS MATERIALIZED ({_literal(sql)}) SELECT * FROM o ORDER BY 1, 2 LIMIT {MAX_ROWS + 1}"
    found = [law.tells.format_map(row) for row in connection.execute(text(bounded)).mappings()]
    return found if len(found) <= MAX_ROWS else [*found[:MAX_ROWS], AND_MORE]


def _literal(sql: str) -> str:
    """The statement with its colons escaped: they belong to JSON texts and casts, and name no parameters."""
    return sql.replace(":", r"\:")


@contextmanager
def _snapshot(database: Database) -> Iterator[Connection]:
    """A connection on which every statement sees the same committed state."""
    if database.is_sqlite:
        with database.reader.connect() as connection:
            before = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
            connection.exec_driver_sql(f"PRAGMA cache_size = -{_SQLITE_CACHE_KIB}")
            try:
                yield connection
            finally:
                connection.exec_driver_sql(f"PRAGMA cache_size = {before}")
        return
    engine = database.writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with engine.connect() as connection:
        for setting in _POSTGRESQL_SETTINGS:
            connection.execute(text(f"SET LOCAL {setting}"))
        yield connection
