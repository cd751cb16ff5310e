"""The laws of the books as statements: each finds the rows that break it, and has a sentence to tell of them.

Laws that the schema keeps by itself are here too where a restored or hand-edited database could break them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from processing import audit, recount


@dataclass(frozen=True, slots=True)
class Law:
    """``offenders`` selects rows that break the law; ``tells`` is a format over their columns.

    What SQL cannot see is found by ``finds`` instead.
    """

    name: str
    title: str
    tells: str
    offenders: str
    sqlite: str = ""
    finds: Callable[[Connection], Iterator[str]] | None = None


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
        "one_debt_a_partner",
        "an account owes a partner one debt in each unit, not several",
        "account {account_id}: {debts} open debts to issuer {issuer_id}, {total} in all",
        """
        SELECT account_id, issuer_id, count(*) AS debts, sum(remaining) AS total FROM lot WHERE is_debt AND is_open
        GROUP BY account_id, issuer_id HAVING count(*) > 1
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
        WHERE o.kind IN ('receipt', 'restore', 'return') AND r.reverses_id IS NULL AND k.operation_id IS NULL
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
                WHEN 'superseded' THEN coalesce(o.kind, '') NOT IN ('receipt', 'restore', 'return')
                WHEN 'void' THEN coalesce(o.kind, 'void') IN ('void', 'superseded', 'expiry', 'expiry_undone', 'merge')
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
        "a reversal takes back from every wallet and partner exactly what its operation and its returns brought",
        "operation {id} reverses {reverses_id}: {whose} is left with {total} {unit}",
        # A merged wallet's part may be undone where it went.
        """
        SELECT p.id, p.reverses_id, p.whose, p.unit, sum(p.amount) AS total FROM (
            SELECT r.id, r.reverses_id, e.amount, a.unit, CASE WHEN a.wallet_id IS NULL THEN 'account ' || a.id
                   ELSE 'wallet ' || coalesce(w.merged_into, w.id) END AS whose
            FROM (
                SELECT id, reverses_id, id AS part FROM operation WHERE reverses_id IS NOT NULL
                UNION ALL
                SELECT id, reverses_id, reverses_id FROM operation WHERE reverses_id IS NOT NULL
                UNION ALL
                SELECT o.id, o.reverses_id, t.operation_id
                FROM operation o JOIN receipt t ON t.base_id = o.reverses_id
                UNION ALL
                SELECT o.id, o.reverses_id, v.id FROM operation o
                JOIN receipt t ON t.base_id = o.reverses_id JOIN operation v ON v.reverses_id = t.operation_id
            ) r JOIN entry e ON e.operation_id = r.part
            JOIN account a ON a.id = e.account_id LEFT JOIN wallet w ON w.id = a.wallet_id
        ) p GROUP BY p.id, p.reverses_id, p.whose, p.unit HAVING sum(p.amount) <> 0
        """,
    ),
)

# The lines that came back, as returns that stand and sales that were restored tell them (processing/allocation.py).
_BACK, _BACK_SQLITE = (
    f"""
    SELECT t.base_id, {value} AS pair FROM receipt t, {each} pair
    WHERE t.base_id IS NOT NULL
      AND t.operation_id NOT IN (SELECT reverses_id FROM operation WHERE reverses_id IS NOT NULL)
    UNION ALL
    SELECT t.operation_id, {value} FROM receipt t
    JOIN operation o ON o.id = t.operation_id AND o.kind = 'restore', {each} pair
    """
    for value, each in (
        ("pair", "json_array_elements(t.document -> 'returned')"),
        ("pair.value", "json_each(t.document, '$.returned')"),
    )
)

# Holds and returns ------------------------------------------------------------------------------------------

_AFTERWARDS = (
    Law(
        "holds_are_settled",
        "a hold is open until it has ended, and what it captured was booked",
        "hold {id}: {state}, ended {ended_at}, captured {captured} of {amount}, operation {operation_id}",
        """
        SELECT id, state, ended_at, captured, amount, operation_id FROM hold
        WHERE state NOT IN ('open', 'captured', 'released', 'expired')
           OR (state = 'open') <> (ended_at IS NULL)
           OR (state = 'captured') <> (operation_id IS NOT NULL)
           OR captured < 0 OR (captured > 0 AND state <> 'captured') OR amount < 0
        """,
    ),
    Law(
        "holds_are_known_by_key",
        "every hold is found by the key under which it was placed, or another has taken its place there",
        "hold {id} of store {store_id}: no key leads to it",
        """
        SELECT h.id, h.store_id FROM hold h
        LEFT JOIN request_key k ON k.store_id = h.store_id AND k.key = h.key AND k.state = 'posted'
             AND (k.answer LIKE '%"hold_id":' || h.id || ',%' OR (h.state <> 'open' AND k.answer LIKE '%"hold_id":%'))
        WHERE k.key IS NULL
        """,
    ),
    Law(
        "open_holds_pin_what_they_hold",
        "an open hold pins its whole amount, in lots of its own account",
        "hold {id}: amount {amount}, pinned {pinned}, in foreign lots {strange}",
        """
        SELECT h.id, h.amount, coalesce(p.pinned, 0) AS pinned, coalesce(p.strange, 0) AS strange FROM hold h
        LEFT JOIN (
            SELECT p.hold_id, sum(p.amount) AS pinned,
                   sum(CASE WHEN l.account_id IS NULL OR l.account_id <> h.account_id THEN 1 ELSE 0 END) AS strange
            FROM hold_pin p JOIN hold h ON h.id = p.hold_id LEFT JOIN lot l ON l.id = p.lot_id GROUP BY p.hold_id
        ) p ON p.hold_id = h.id
        WHERE h.state = 'open' AND (coalesce(p.pinned, 0) <> h.amount OR coalesce(p.strange, 0) <> 0)
        """,
    ),
    Law(
        "pins_are_in_their_lots",
        "open holds pin no more of a lot than it holds",
        "lot {lot_id}: pinned {pinned}, remaining {remaining}",
        """
        SELECT p.lot_id, p.pinned, coalesce(l.remaining, 0) AS remaining FROM (
            SELECT p.lot_id, sum(p.amount) AS pinned FROM hold_pin p JOIN hold h ON h.id = p.hold_id
            WHERE h.state = 'open' GROUP BY p.lot_id
        ) p LEFT JOIN lot l ON l.id = p.lot_id WHERE p.pinned > coalesce(l.remaining, 0)
        """,
    ),
    Law(
        "returns_have_a_sale",
        "what a return names as its sale is a receipt",
        "return {operation_id}: operation {base_id} is a {kind}",
        """
        SELECT t.operation_id, t.base_id, coalesce(o.kind, 'nothing') AS kind FROM receipt t
        LEFT JOIN operation o ON o.id = t.base_id
        WHERE t.base_id IS NOT NULL AND coalesce(o.kind, '') NOT IN ('receipt', 'restore')
        """,
    ),
    Law(
        "no_line_returns_more_than_it_was",
        "of every sold line at most all comes back, in all returns that stand",
        "operation {base_id}, line {line}: {size} sold, {back} came back",
        f"""
        SELECT b.base_id, b.line, s.size, b.back FROM (
            SELECT base_id, (pair ->> 0)::bigint AS line, sum((pair ->> 1)::bigint) AS back
            FROM ({_BACK}) every GROUP BY 1, 2
        ) b LEFT JOIN (
            SELECT s.operation_id, (line ->> 'number')::bigint AS line, CASE
                WHEN (line ->> 'number')::bigint <> 0 AND coalesce((line ->> 'quantity_thousandths')::bigint, 1000) > 0
                THEN coalesce((line ->> 'quantity_thousandths')::bigint, 1000)
                ELSE greatest((line ->> 'sum_minor')::bigint, 0) END AS size
            FROM receipt s, json_array_elements(s.document -> 'receipt' -> 'lines') line
            WHERE (s.operation_id IN (SELECT base_id FROM receipt WHERE base_id IS NOT NULL)
               OR s.operation_id IN (SELECT id FROM operation WHERE kind = 'restore'))
            UNION ALL
            SELECT s.operation_id, 0, s.total_minor FROM receipt s WHERE s.document -> 'receipt' -> 'lines' IS NULL
              AND (s.operation_id IN (SELECT base_id FROM receipt WHERE base_id IS NOT NULL)
                OR s.operation_id IN (SELECT id FROM operation WHERE kind = 'restore'))
        ) s ON s.operation_id = b.base_id AND s.line = b.line WHERE b.back > coalesce(s.size, 0)
        """,
        sqlite=f"""
        SELECT b.base_id, b.line, s.size, b.back FROM (
            SELECT base_id, pair ->> 0 AS line, sum(pair ->> 1) AS back FROM ({_BACK_SQLITE}) every GROUP BY 1, 2
        ) b LEFT JOIN (
            SELECT s.operation_id, line.value ->> 'number' AS line, CASE
                WHEN line.value ->> 'number' <> 0 AND coalesce(line.value ->> 'quantity_thousandths', 1000) > 0
                THEN coalesce(line.value ->> 'quantity_thousandths', 1000)
                ELSE max(line.value ->> 'sum_minor', 0) END AS size
            FROM receipt s, json_each(s.document, '$.receipt.lines') line
            WHERE (s.operation_id IN (SELECT base_id FROM receipt WHERE base_id IS NOT NULL)
               OR s.operation_id IN (SELECT id FROM operation WHERE kind = 'restore'))
            UNION ALL
            SELECT s.operation_id, 0, s.total_minor FROM receipt s WHERE s.document -> '$.receipt.lines' IS NULL
              AND (s.operation_id IN (SELECT base_id FROM receipt WHERE base_id IS NOT NULL)
                OR s.operation_id IN (SELECT id FROM operation WHERE kind = 'restore'))
        ) s ON s.operation_id = b.base_id AND s.line = b.line WHERE b.back > coalesce(s.size, 0)
        """,
    ),
    Law(
        "no_part_returns_twice",
        "no part of a sold line comes back in two returns that stand",
        "operation {base_id}, line {line}: from {start} it had come back up to {taken}",
        f"""
        SELECT base_id, line, start, taken FROM (
            SELECT base_id, (pair ->> 0)::bigint AS line, (span ->> 0)::numeric AS start,
                   max((span ->> 1)::numeric) OVER (
                       PARTITION BY base_id, (pair ->> 0)::bigint ORDER BY (span ->> 0)::numeric, (span ->> 1)::numeric
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                   ) AS taken
            FROM ({_BACK}) every, json_array_elements(pair -> 3) span
        ) spans WHERE taken > start
        """,
        sqlite=f"""
        SELECT base_id, line, start, taken FROM (
            SELECT base_id, pair ->> 0 AS line, span.value ->> 0 AS start,
                   max(span.value ->> 1) OVER (
                       PARTITION BY base_id, pair ->> 0 ORDER BY span.value ->> 0, span.value ->> 1
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                   ) AS taken
            FROM ({_BACK_SQLITE}) every, json_each(pair, '$[3]') span
        ) spans WHERE taken > start
        """,
    ),
    Law(
        "returns_bring_no_more_than_their_sale",
        "returns of a sale that stand give back and take back no more in a unit than the sale paid, gave and loaded",
        "operation {base_id}: {kind} {unit} {sold}, returns {back}",
        """
        SELECT base_id, kind, unit, sum(sold) AS sold, sum(back) AS back FROM (
            SELECT t.base_id, a.kind, a.unit, 0 AS sold, e.amount AS back
            FROM receipt t JOIN entry e ON e.operation_id = t.operation_id JOIN account a ON a.id = e.account_id
            WHERE t.base_id IS NOT NULL AND a.kind IN ('issued', 'redeemed', 'cash')
              AND t.operation_id NOT IN (SELECT reverses_id FROM operation WHERE reverses_id IS NOT NULL)
            UNION ALL
            SELECT e.operation_id, a.kind, a.unit, e.amount, 0 FROM entry e JOIN account a ON a.id = e.account_id
            WHERE a.kind IN ('issued', 'redeemed', 'cash')
              AND e.operation_id IN (SELECT base_id FROM receipt WHERE base_id IS NOT NULL)
        ) moved GROUP BY base_id, kind, unit
        HAVING CASE WHEN sum(sold) < 0 THEN sum(back) < 0 OR sum(sold) + sum(back) > 0
                    ELSE sum(back) > 0 OR sum(sold) + sum(back) < 0 END
        """,
    ),
    Law(
        "expiry_follows_its_lot",
        "nothing is booked as expired before its lot's time is over",
        "operation {operation_id}: lot {lot_id} expires {expires_at}, booked as of {effective_at}",
        """
        SELECT e.operation_id, e.lot_id, l.expires_at, e.effective_at FROM operation o
        JOIN entry e ON e.operation_id = o.id JOIN lot l ON l.id = e.lot_id
        WHERE o.kind IN ('expiry', 'expiry_undone') AND (l.expires_at IS NULL OR e.effective_at < l.expires_at)
        """,
    ),
    Law(
        "merged_wallets_are_empty",
        "a wallet that became part of another holds nothing and has no cards, and the other one stands",
        "wallet {id}, merged into {merged_into}: {what}",
        """
        SELECT w.id, w.merged_into, 'balance ' || a.balance AS what
        FROM wallet w JOIN account a ON a.wallet_id = w.id WHERE w.merged_into IS NOT NULL AND a.balance <> 0
        UNION ALL
        SELECT w.id, w.merged_into, 'card ' || c.id FROM wallet w JOIN card c ON c.wallet_id = w.id
        WHERE w.merged_into IS NOT NULL
        UNION ALL
        SELECT w.id, w.merged_into, 'the other went on' FROM wallet w JOIN wallet t ON t.id = w.merged_into
        WHERE t.merged_into IS NOT NULL
        """,
    ),
    Law(
        "corrections_are_decided_once",
        "a large correction is booked when another person has approved it, and only then",
        "store {store_id}, key {key}: {state}, operation {operation_id}",
        """
        SELECT p.store_id, p.key, p.state, p.operation_id FROM pending_adjustment p
        LEFT JOIN operation o ON o.id = p.operation_id AND o.kind = 'adjustment'
        WHERE p.state NOT IN ('pending', 'approved', 'rejected') OR (p.state = 'approved') <> (o.id IS NOT NULL)
           OR (p.state = 'pending') <> (p.decided_by IS NULL) OR p.decided_by = p.asked_by
        """,
    ),
    Law(
        "roll_ups_are_entries",
        "the days of a system account sum up to its entries, as far as they are rolled up",
        "account {account_id}: days {rolled}, entries {total}",
        """
        SELECT account_id, sum(rolled) AS rolled, sum(total) AS total FROM (
            SELECT account_id, debit - credit AS rolled, 0 AS total FROM roll_up
            UNION ALL
            SELECT e.account_id, 0, e.amount FROM entry e JOIN account a ON a.id = e.account_id
            JOIN chore c ON c.name = 'roll_up ' || a.partner_id WHERE e.booked_at < c.done_until
        ) both_ways GROUP BY account_id HAVING sum(rolled) <> sum(total)
        """,
    ),
    Law(
        "audit_is_a_chain",
        "no row of the audit log was changed, and none was taken out between two others",
        "audit row {id}: its hash does not follow",
        "",
        finds=audit.broken,
    ),
)

# Receipts, cards and people ---------------------------------------------------------------------------------

_BESIDE = (
    Law(
        "operations_have_a_store",
        "every operation and every key belongs to a store, but for the work of time",
        "{what} of store {store_id}: there is no such store",
        """
        SELECT 'operation ' || o.id AS what, o.store_id FROM operation o
        LEFT JOIN store s ON s.id = o.store_id
        WHERE s.id IS NULL AND NOT (o.store_id = 0 AND o.kind IN ('expiry', 'merge'))
        UNION ALL
        SELECT 'key ' || k.key, k.store_id FROM request_key k LEFT JOIN store s ON s.id = k.store_id WHERE s.id IS NULL
        """,
    ),
    Law(
        "receipts_have_an_operation",
        "every receipt has its operation in the same store, and the operation of a receipt or return its receipt",
        "operation {id}: {what}",
        """
        SELECT r.operation_id AS id, 'its receipt lacks it' AS what FROM receipt r
        LEFT JOIN operation o ON o.id = r.operation_id AND o.kind IN ('receipt', 'restore', 'return')
             AND (o.store_id = r.store_id OR o.kind = 'restore')
        WHERE o.id IS NULL
        UNION ALL
        SELECT o.id, 'there is no receipt' FROM operation o
        LEFT JOIN receipt r ON r.operation_id = o.id
        WHERE o.kind IN ('receipt', 'return') AND r.operation_id IS NULL
        """,
    ),
    Law(
        "receipts_add_up",
        "the total of every receipt is the total in its document",
        "operation {operation_id}: total {total_minor}, document {told}",
        """
        SELECT operation_id, total_minor, told FROM (
            SELECT operation_id, total_minor, CASE WHEN document -> 'receipt' IS NULL THEN 'nothing'
                   ELSE coalesce(document #>> '{receipt,total_minor}', '0') END AS told FROM receipt
        ) receipts WHERE told <> total_minor::text
        """,
        sqlite="""
        SELECT operation_id, total_minor, told FROM (
            SELECT operation_id, total_minor, CASE WHEN document ->> '$.receipt' IS NULL THEN NULL
                   ELSE coalesce(document ->> '$.receipt.total_minor', 0) END AS told FROM receipt
        ) receipts WHERE total_minor IS NOT told
        """,
    ),
    Law(
        "activity_is_receipts",
        "what wallets did on each day is what the receipts that stand have added, and no more",
        "wallet {wallet_id}, {day}, {name}: off by {turnover}, {visits} visits, {earned} earned, {redeemed} paid",
        recount.OFF,
        sqlite=recount.OFF_SQLITE,
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
            UNION ALL SELECT 'hold', max(id) FROM hold
            UNION ALL SELECT 'consent', max(id) FROM consent
            UNION ALL SELECT 'confirmation_code', max(id) FROM confirmation_code
        ) g JOIN id_block b ON b.name = g.name WHERE g.greatest >= b.next_id
        """,
    ),
)

LAWS = (*_ENTRIES, *_BALANCES, *_ONCE, *_AFTERWARDS, *_BESIDE)
