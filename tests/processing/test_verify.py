"""``tillgate verify``: books that were only traded pass, and every law notices when it is broken.

Each corruption is what a hand in the database, a restored half or a bug would leave behind; a law without one
fails the last test of this file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, text

from gateway.cli import main
from processing import chores
from processing.commands import (
    CaptureHold,
    GiveConsent,
    Line,
    MergeHolders,
    PlaceHold,
    RegisterHolder,
    RestoreReceipt,
    ReturnLine,
    ReturnReceipt,
    SendCode,
    SetPin,
)
from processing.database import Database
from processing.verify import AND_MORE, LAWS, MAX_ROWS, offenders, verify
from tests.conftest import BACKENDS, Migrated
from tests.processing.books import (
    ALMATY,
    MOSCOW,
    POINTS,
    Books,
    StillClock,
    adjust,
    post,
    receipt,
    ref,
    top_up,
    use,
    void,
)


@dataclass(frozen=True)
class Broken:
    """How a law is broken: SQL for both databases, ``first`` on one of them (statements with a semicolon between)."""

    law: str
    sql: str
    first: Mapping[str, str] = field(default_factory=dict)


RECEIPT = "(SELECT max(operation_id) FROM request_key WHERE key = 'plain')"
VOIDED = "(SELECT min(reverses_id) FROM operation WHERE kind = 'void')"
A_LOT = "(SELECT min(id) FROM lot WHERE remaining > 0)"
LOT = "id, account_id, issuer_id, price_millionths, remaining, is_open, available_from, expires_at, is_debt"
A_WALLETS_ACCOUNT = "(SELECT min(id) FROM account WHERE wallet_id IS NOT NULL AND balance > 0)"
A_SYSTEM_ACCOUNT = "(SELECT min(id) FROM account WHERE partner_id IS NOT NULL)"
COPIED_OPERATION = (
    "INSERT INTO operation (id, kind, store_id, reverses_id, effective_at, booked_at)"
    " SELECT 900, {kind}, store_id, {reverses}, effective_at, booked_at FROM operation WHERE id = {id}"
)
PENDING = (
    "INSERT INTO pending_adjustment (store_id, key, command, asked_by, asked_at, state, decided_by)"
    " SELECT store_id, key, '{{}}', 'anna', stamp, {state}, {decided} FROM request_key WHERE key = 'plain'"
)
MORE_BACK = (
    "UPDATE entry SET amount = amount + {amount} WHERE account_id IN (SELECT id FROM account WHERE kind = '{kind}')"
    " AND operation_id IN (SELECT operation_id FROM receipt WHERE base_id IS NOT NULL)"
)

CORRUPTIONS = (
    Broken("operations_balance", f"UPDATE entry SET amount = amount + 1 WHERE operation_id = {RECEIPT} AND n = 0"),
    Broken("entries_are_numbered", f"UPDATE entry SET n = 9 WHERE operation_id = {RECEIPT} AND n = 0"),
    Broken("entries_have_an_operation", f"DELETE FROM operation WHERE id = {RECEIPT}"),
    Broken("entries_have_an_account", f"UPDATE entry SET account_id = 999 WHERE operation_id = {RECEIPT} AND n = 0"),
    Broken("entries_name_their_lot", f"UPDATE entry SET lot_id = NULL WHERE operation_id = {RECEIPT}"),
    Broken("entries_name_their_lot", f"UPDATE entry SET lot_id = {A_LOT} WHERE operation_id = {RECEIPT}"),
    Broken("entries_name_their_lot", "DELETE FROM lot"),
    Broken("entries_name_their_lot", f"UPDATE lot SET account_id = {A_SYSTEM_ACCOUNT} WHERE id = {A_LOT}"),
    Broken(
        "entries_share_their_times",
        f"UPDATE entry SET effective_at = (SELECT min(stamp) FROM request_key) WHERE operation_id = {RECEIPT}",
    ),
    Broken(
        "entries_share_their_times",
        "UPDATE operation SET booked_at = (SELECT min(stamp) FROM request_key WHERE key = 'twice')"
        f" WHERE id = {RECEIPT}",
    ),
    Broken("balances_are_entries", f"UPDATE account SET balance = balance + 1 WHERE id = {A_WALLETS_ACCOUNT}"),
    Broken(
        "balances_are_entries",
        "UPDATE account SET balance = 1 WHERE wallet_id IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM entry WHERE account_id = account.id)",
    ),
    Broken("balances_are_lots", f"UPDATE lot SET remaining = remaining - 1 WHERE id = {A_LOT}"),
    Broken("balances_are_lots", f"UPDATE account SET balance = balance + 1 WHERE id = {A_WALLETS_ACCOUNT}"),
    Broken("lots_are_entries", f"UPDATE lot SET remaining = remaining + 1 WHERE id = {A_LOT}"),
    Broken("open_lots_hold_something", f"UPDATE lot SET is_open = false WHERE id = {A_LOT}"),
    Broken("open_lots_hold_something", "UPDATE lot SET is_open = true WHERE remaining = 0"),
    Broken("only_debts_are_negative", "UPDATE lot SET is_debt = false WHERE remaining < 0"),
    Broken(
        "one_debt_a_partner",
        f"INSERT INTO lot ({LOT}) SELECT 900, {LOT.removeprefix('id, ')} FROM lot WHERE remaining < 0",
    ),
    Broken("lots_have_an_account", f"UPDATE lot SET account_id = 999 WHERE id = {A_LOT}"),
    Broken("lots_have_an_account", f"UPDATE lot SET issuer_id = 999 WHERE id = {A_LOT}"),
    Broken("system_accounts_are_bare", f"UPDATE lot SET account_id = {A_SYSTEM_ACCOUNT} WHERE id = {A_LOT}"),
    Broken(
        "system_accounts_are_bare",
        f"UPDATE account SET balance = 5 WHERE id = {A_SYSTEM_ACCOUNT}",
    ),
    Broken("keys_are_settled", "UPDATE request_key SET state = 'none', operation_id = NULL, stamp = NULL"),
    Broken("keys_are_settled", "UPDATE request_key SET state = 'tombstone' WHERE key = 'plain'"),
    Broken("keys_are_settled", "UPDATE request_key SET state = 'lost' WHERE key = 'plain'"),
    Broken("keys_lead_to_their_operation", "UPDATE request_key SET answer = NULL WHERE key = 'plain'"),
    Broken("keys_lead_to_their_operation", "UPDATE request_key SET operation_id = 999 WHERE key = 'plain'"),
    Broken("keys_lead_to_their_operation", "UPDATE request_key SET operation_id = NULL WHERE key = 'plain'"),
    Broken(
        "keys_lead_to_their_operation",
        "UPDATE request_key SET answer = (SELECT answer FROM request_key WHERE key = 'pays') WHERE key = 'plain'",
    ),
    Broken("keys_lead_to_their_operation", f"UPDATE operation SET store_id = store_id + 1 WHERE id = {RECEIPT}"),
    Broken("keys_share_no_operation", f"UPDATE request_key SET operation_id = {RECEIPT} WHERE key = 'pays'"),
    Broken("aliases_lead_to_a_head", "UPDATE request_key SET same_as = 'nobody' WHERE same_as IS NOT NULL"),
    Broken("aliases_lead_to_a_head", "UPDATE request_key SET same_as = 'pays' WHERE key = 'plain'"),
    Broken("aliases_lead_to_a_head", "UPDATE request_key SET same_as = 'another name' WHERE key = 'another name'"),
    Broken("receipts_are_known_by_key", "DELETE FROM request_key WHERE key = 'plain'"),
    Broken("keys_stand_for_what_stands", f"UPDATE request_key SET operation_id = {VOIDED} WHERE key = 'voided'"),
    Broken("keys_stand_for_what_stands", "UPDATE request_key SET state = 'posted' WHERE key = 'voided'"),
    Broken("keys_stand_for_what_stands", "UPDATE request_key SET state = 'returned' WHERE key = 'plain'"),
    Broken("reversals_have_a_cause", "UPDATE operation SET reverses_id = NULL WHERE kind = 'void'"),
    Broken("reversals_have_a_cause", "UPDATE operation SET reverses_id = 999 WHERE kind = 'superseded'"),
    Broken("reversals_have_a_cause", "UPDATE operation SET kind = 'restore' WHERE kind = 'superseded'"),
    Broken("reversals_have_a_cause", "UPDATE operation SET kind = 'top_up' WHERE kind = 'void'"),
    Broken("reversals_have_a_cause", "UPDATE operation SET kind = 'superseded' WHERE kind = 'restore'"),
    Broken("reversals_have_a_cause", "UPDATE operation SET store_id = store_id + 1 WHERE kind = 'void'"),
    Broken("reversed_once", COPIED_OPERATION.format(kind="'void'", reverses=VOIDED, id=RECEIPT)),
    Broken("reversals_mirror", f"UPDATE operation SET reverses_id = {RECEIPT} WHERE kind = 'void'"),
    Broken(
        "reversals_mirror",
        f"UPDATE entry SET account_id = {A_WALLETS_ACCOUNT} WHERE lot_id IS NOT NULL"
        " AND operation_id = (SELECT min(id) FROM operation WHERE kind = 'superseded')",
    ),
    Broken("operations_have_a_store", f"UPDATE operation SET store_id = 999 WHERE id = {RECEIPT}"),
    Broken("operations_have_a_store", "UPDATE request_key SET store_id = 999 WHERE key = 'plain'"),
    Broken("receipts_have_an_operation", f"UPDATE receipt SET operation_id = 999 WHERE operation_id = {RECEIPT}"),
    Broken("receipts_have_an_operation", f"DELETE FROM receipt WHERE operation_id = {RECEIPT}"),
    Broken("receipts_have_an_operation", f"UPDATE receipt SET store_id = store_id + 1 WHERE operation_id = {RECEIPT}"),
    Broken("receipts_add_up", f"UPDATE receipt SET total_minor = total_minor + 1 WHERE operation_id = {RECEIPT}"),
    Broken("receipts_add_up", f"UPDATE receipt SET document = '{{}}' WHERE operation_id = {RECEIPT}"),
    Broken("activity_is_receipts", "UPDATE activity SET visits = visits + 1"),
    Broken("activity_is_receipts", "DELETE FROM activity"),
    Broken("identifiers_lead_to_cards", "DELETE FROM card WHERE id = (SELECT max(id) FROM card)"),
    Broken("identifiers_lead_to_cards", "DELETE FROM identifier WHERE card_id = (SELECT max(id) FROM card)"),
    Broken(
        "wallets_have_one_holder",
        "INSERT INTO holder (id, wallet_id, created_at) SELECT 0, wallet_id, created_at FROM holder",
        first={
            "sqlite": "ALTER TABLE holder RENAME TO unique_holder; CREATE TABLE holder AS SELECT * FROM unique_holder",
            "postgresql": "ALTER TABLE holder DROP CONSTRAINT uq_holder_wallet_id",
        },
    ),
    Broken("holds_are_settled", "UPDATE hold SET state = 'gone'"),
    Broken("holds_are_settled", "UPDATE hold SET ended_at = until WHERE state = 'open'"),
    Broken("holds_are_settled", "UPDATE hold SET operation_id = NULL WHERE state = 'captured'"),
    Broken("holds_are_known_by_key", "DELETE FROM request_key WHERE key = 'held'"),
    Broken("holds_are_known_by_key", "UPDATE hold SET key = 'plain' WHERE state = 'open'"),
    Broken("open_holds_pin_what_they_hold", "UPDATE hold SET amount = amount + 1 WHERE state = 'open'"),
    Broken("open_holds_pin_what_they_hold", "DELETE FROM hold_pin"),
    Broken("open_holds_pin_what_they_hold", "UPDATE hold_pin SET lot_id = 999"),
    Broken("pins_are_in_their_lots", "UPDATE hold_pin SET amount = 1000000"),
    Broken("pins_are_in_their_lots", "UPDATE hold_pin SET lot_id = (SELECT min(id) FROM lot WHERE remaining = 0)"),
    Broken("returns_have_a_sale", "UPDATE receipt SET base_id = 999 WHERE base_id IS NOT NULL"),
    Broken(
        "no_line_returns_more_than_it_was",
        'UPDATE receipt SET document = \'{"receipt": {}, "returned": [[1, 1001]]}\' WHERE base_id IS NOT NULL',
    ),
    Broken(
        "no_line_returns_more_than_it_was",
        'UPDATE receipt SET document = \'{"receipt": {}, "returned": [[7, 1]]}\' WHERE base_id IS NOT NULL',
    ),
    Broken(
        "no_part_returns_twice",
        'UPDATE receipt SET document = \'{"receipt": {}, "returned": [[1, 1, 0, [[5, 9], [0, 6]]]]}\''
        " WHERE base_id IS NOT NULL",
    ),
    Broken("returns_bring_no_more_than_their_sale", MORE_BACK.format(kind="redeemed", amount=-1_000)),
    Broken("returns_bring_no_more_than_their_sale", MORE_BACK.format(kind="issued", amount=100_000)),
    Broken("returns_bring_no_more_than_their_sale", MORE_BACK.format(kind="issued", amount=-1_000)),
    Broken(
        "expiry_follows_its_lot",
        "UPDATE lot SET expires_at = NULL WHERE id IN (SELECT lot_id FROM entry e JOIN operation o"
        " ON o.id = e.operation_id WHERE o.kind = 'expiry')",
    ),
    Broken("merged_wallets_are_empty", "UPDATE card SET wallet_id = (SELECT id FROM wallet WHERE merged_into > 0)"),
    Broken(
        "merged_wallets_are_empty",
        "UPDATE account SET balance = 1 WHERE wallet_id = (SELECT id FROM wallet WHERE merged_into > 0)",
    ),
    Broken(
        "merged_wallets_are_empty",
        "UPDATE wallet SET merged_into = (SELECT id FROM wallet WHERE merged_into > 0) WHERE merged_into IS NULL",
    ),
    Broken("corrections_are_decided_once", PENDING.format(state="'approved'", decided="'boris'")),
    Broken("corrections_are_decided_once", PENDING.format(state="'rejected'", decided="'anna'")),
    Broken("corrections_are_decided_once", PENDING.format(state="'pending'", decided="'boris'")),
    Broken("roll_ups_are_entries", "UPDATE roll_up SET debit = debit + 1"),
    Broken("roll_ups_are_entries", "DELETE FROM roll_up"),
    Broken("audit_is_a_chain", "UPDATE audit SET actor = 'nobody' WHERE id = 2"),
    Broken("audit_is_a_chain", "DELETE FROM audit WHERE id = 2"),
    Broken("ids_are_taken_from_blocks", "UPDATE hold SET id = 1000000 WHERE id = (SELECT max(id) FROM hold)"),
    Broken("ids_are_taken_from_blocks", "UPDATE wallet SET id = 1000000 WHERE id = (SELECT max(id) FROM wallet)"),
    Broken("ids_are_taken_from_blocks", "UPDATE operation SET id = 1000000 WHERE id = (SELECT max(id) FROM operation)"),
)


def trade(books: Books) -> None:
    """Something of everything: versions, reversals, aliases, debt, tombstones, a holder."""
    anna, boris = books.card(100_000), books.card(50_000)
    books.done(RegisterHolder(store=MOSCOW, keys=("holder",), card=ref(anna), name="Anna", phone="+79210000001"))
    books.done(top_up("top up", anna, 5_000))
    books.done(post(("plain", "another name"), use(anna), at=1))
    books.done(post("pays", use(anna, 3_000), use(boris, 2_000), at=2))
    books.done(post("twice", use(anna, 1_000), at=3, supersede=True))
    books.done(post("twice", use(anna, 500), at=4, supersede=True))
    books.one(post("twice", use(anna, 10**9), at=5, supersede=True))
    books.done(post("voided", use(boris, 700), at=6))
    books.done(void("voided", at=7))
    books.done(post("back", use(boris, 900), at=8, store=ALMATY))
    books.done(void("back", at=9, reason="return", store=ALMATY))
    books.done(RestoreReceipt(store=ALMATY, keys=("back",)))
    books.done(void("orphan", at=10))
    books.done(post("no card"))
    books.done(adjust("into debt", books.card(), -100, allow_debt=True))
    books.done(adjust("all away", books.card(10), -10))
    hold: dict[str, Any] = {"store": MOSCOW, "unit": POINTS, "seconds": 30 * 86_400, "card": ref(anna)}
    books.done(PlaceHold(keys=("held",), amount=300, **hold))
    books.done(PlaceHold(keys=("captured",), amount=200, **hold))
    books.done(CaptureHold(store=MOSCOW, keys=("capture",), hold="captured", amount=150))
    sold = receipt(10_000, [Line(number=1, goods="cup", sum_minor=6_000), Line(number=2, goods="pot", sum_minor=4_000)])
    books.done(post("sold", use(boris, 1_000), receipt=sold))
    part = (ReturnLine(number=1, quantity_thousandths=400),)
    books.done(ReturnReceipt(store=MOSCOW, keys=("came back",), sale="sold", receipt=receipt(0), lines=part))
    books.done(SetPin(store=MOSCOW, keys=("pin",), card=ref(boris), pin="1234"))
    books.done(GiveConsent(store=MOSCOW, keys=("consent",), card=ref(anna), purpose="ads", document="1"))
    books.done(SendCode(store=MOSCOW, keys=("code",), card=ref(anna), purpose="redeem", code="123456"))
    source = books.card(70)
    books.done(MergeHolders(store=MOSCOW, keys=("merge",), source=ref(source), target=ref(boris)))
    books.done(adjust("short", boris, 40, expires_days=1))
    clock = books.clock
    assert isinstance(clock, StillClock)
    clock.forward(days=3)
    assert chores.expire_lots(books.core) == 1
    while chores.roll_up(books.core):
        pass


@pytest.fixture
def traded(books: Books) -> Books:
    """Books with something of everything."""
    trade(books)
    return books


@pytest.fixture(scope="module", params=BACKENDS)
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated: Migrated
) -> Iterator[Books]:
    """The same for tests that leave it as it is."""
    books = Books.of(Database(migrated(request.param, tmp_path_factory.mktemp("kept"), "kept")), StillClock())
    trade(books)
    yield books
    books.database.dispose()


@contextmanager
def corrupted(books: Books, *scripts: str) -> Iterator[Connection]:
    """A connection to books that are changed on it alone, where no foreign key stands in the way."""
    with books.database.writer.connect() as connection:
        driver: Any = connection.connection.driver_connection
        if books.database.is_sqlite:
            driver.execute("PRAGMA foreign_keys = OFF")
        else:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        try:
            for script in scripts:
                changed = [connection.execute(text(each)).rowcount for each in script.split("; ") if each]
            assert changed[-1], "found nothing to change"
            yield connection
        finally:
            connection.rollback()
            if books.database.is_sqlite:
                driver.execute("PRAGMA foreign_keys = ON")


def corrupt(books: Books, script: str) -> None:
    with corrupted(books, script) as connection:
        connection.commit()


def broken_laws(books: Books) -> dict[str, list[str]]:
    return {check.name: check.rows for check in verify(books.database) if check.rows}


def test_traded_books_pass(traded: Books) -> None:
    checks = list(verify(traded.database))
    assert [check.name for check in checks] == [law.name for law in LAWS]
    assert not broken_laws(traded)


def test_empty_books_pass(books: Books) -> None:
    assert not broken_laws(books)


@pytest.mark.parametrize("broken", CORRUPTIONS, ids=lambda broken: broken.law)
def test_broken_law_is_noticed(kept: Books, broken: Broken) -> None:
    (law,) = (law for law in LAWS if law.name == broken.law)
    first = broken.first.get("sqlite" if kept.database.is_sqlite else "postgresql", "")
    with corrupted(kept, first, broken.sql) as connection:
        assert offenders(connection, law)


def test_every_law_has_a_corruption() -> None:
    assert {law.name for law in LAWS} == {broken.law for broken in CORRUPTIONS}


def test_rows_are_readable_and_bounded(books: Books) -> None:
    for _ in range(MAX_ROWS + 5):
        books.card(100)
    corrupt(books, "UPDATE account SET balance = balance + 7 WHERE balance > 0")
    rows = broken_laws(books)["balances_are_lots"]
    assert len(rows) == MAX_ROWS + 1
    assert rows[-1] == AND_MORE
    assert "balance 107 BONUS, lots 100" in rows[0]


def test_books_in_use_give_no_false_alarm(books: Books) -> None:
    books.run_live()
    cards = [books.card(10_000) for _ in range(4)]
    done = threading.Event()

    def trade() -> None:
        for n in range(10_000):
            if done.is_set():
                return
            card = cards[n % len(cards)]
            books.core.execute([post(f"live-{n}", use(card, 10)), void(f"live-{n - 3}"), adjust(f"a-{n}", card, 5)])

    trader = threading.Thread(target=trade)
    trader.start()
    try:
        for _ in range(5):
            assert not broken_laws(books)
    finally:
        done.set()
        trader.join()


def test_command_ends_with_1_and_the_rows(traded: Books) -> None:
    command = ["verify", "--database-url", traded.url]
    clean = CliRunner().invoke(main, command)
    assert clean.exit_code == 0, clean.output
    corrupt(traded, f"UPDATE lot SET remaining = remaining + 1 WHERE id = {A_LOT}")
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "FAIL lots_are_entries" in result.output
    assert "entries" in result.output.split("FAIL lots_are_entries")[1]
