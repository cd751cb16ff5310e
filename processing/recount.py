"""What wallets did on each day, worked out anew from the receipts that stand.

Needed where something else than this version has undone receipts: a version that did not know them yet and served
beside this one while it was rolled out, or a hand. Nobody has to stop: what is found wrong is put right by adding, and
whoever books meanwhile adds to receipts and days alike.
"""

from __future__ import annotations

from sqlalchemy import text

from processing.activity import ADD
from processing.database import Database

# A receipt stands until it, or the sale of which it is a return, is reversed.
_OFF = """
        SELECT wallet_id, day, name, sum(turnover) AS turnover, sum(visits) AS visits, sum(earned) AS earned,
               sum(redeemed) AS redeemed
        FROM (
            SELECT wallet_id, day, name, turnover_minor AS turnover, visits, earned, redeemed FROM activity
            UNION ALL
            SELECT coalesce(w.merged_into, w.id), day, name, -turnover, -visits, -earned, -redeemed FROM (
                SELECT {wallet} AS told_id, {sums} FROM receipt r {each}
                LEFT JOIN operation v ON v.reverses_id = r.operation_id
                LEFT JOIN operation b ON b.reverses_id = r.base_id
                WHERE v.id IS NULL AND b.id IS NULL
            ) told LEFT JOIN wallet w ON w.id = told.told_id
        ) every GROUP BY wallet_id, day, name
        HAVING sum(turnover) <> 0 OR sum(visits) <> 0 OR sum(earned) <> 0 OR sum(redeemed) <> 0
"""
OFF = _OFF.format(
    wallet="(a ->> 0)::bigint",
    sums="(a ->> 1)::date AS day, a ->> 2 AS name, (a ->> 3)::bigint AS turnover, (a ->> 4)::bigint AS visits,"
    " (a ->> 5)::bigint AS earned, (a ->> 6)::bigint AS redeemed",
    each="CROSS JOIN LATERAL json_array_elements(r.document -> 'activity') a",
)
OFF_SQLITE = _OFF.format(
    wallet="a.value ->> '$[0]'",
    sums="a.value ->> '$[1]' AS day, a.value ->> '$[2]' AS name, a.value ->> '$[3]' AS turnover,"
    " a.value ->> '$[4]' AS visits, a.value ->> '$[5]' AS earned, a.value ->> '$[6]' AS redeemed",
    each="JOIN json_each(r.document, '$.activity') a",
)
# Compared and mended in one statement, on one snapshot.
_MEND = """
SELECT wallet_id, day, name, -turnover, -visits, -earned, -redeemed FROM ({off}) off WHERE wallet_id IS NOT NULL
"""


def recount(database: Database) -> int:
    """How many days of wallets were off, and are right now. Tiers stay until their review."""
    with database.transaction() as connection:
        if not database.is_sqlite:
            # A whole table is compared: by hashing, however long it takes (processing/verify.py).
            for setting in ("statement_timeout = 0", "enable_seqscan = on", "enable_hashjoin = on"):
                connection.exec_driver_sql(f"SET LOCAL {setting}")
        rows = _MEND.format(off=OFF_SQLITE if database.is_sqlite else OFF)
        mended = connection.execute(text(ADD.format(rows=rows)))
        return mended.rowcount
