"""The work of time: expiry as entries, late facts, roll-ups; corrections that two people decide; the audit chain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from processing import audit, chores
from processing.chain import Chain
from processing.commands import (
    Adjust,
    Amount,
    DecideAdjustment,
    EraseHolder,
    IssueCard,
    PostReceipt,
    Ref,
    RegisterHolder,
)
from processing.directory import load, sync
from processing.errors import AdjustmentNotFound, InsufficientPoints, KeyReused, RangeFull, SecondPersonNeeded
from processing.execute import Core
from processing.reports import ACCOUNTS, partner_accounts
from processing.verify import verify
from tests.processing.books import (
    CHAIN,
    GIFT,
    MOSCOW,
    NOON,
    POINTS,
    PROGRAMMES,
    Books,
    StillClock,
    adjust,
    again,
    post,
    receipt,
    ref,
    use,
    void,
)


def broken(books: Books) -> list[str]:
    return [row for check in verify(books.database) for row in check.rows]


# Expiry ------------------------------------------------------------------------------------------------------


def test_due_points_are_not_available_before_a_worker_has_come(books: Books, clock: StillClock) -> None:
    card = books.card(100)
    books.done(adjust("gift", card, 500, expires_days=2))
    clock.forward(days=3)
    balance = books.balances(card)[POINTS]
    assert (balance.balance, balance.available) == (600, 100)
    assert chores.expire_lots(books.core) == 1
    assert books.balances(card)[POINTS].balance == 100
    assert chores.expire_lots(books.core) == 0
    booked = books.rows("SELECT kind, store_id, effective_at FROM operation WHERE kind = 'expiry'")
    assert [row[:2] for row in booked] == [("expiry", 0)]
    books.check_laws()
    assert broken(books) == []


def test_expiry_is_effective_when_the_stores_day_was_over(books: Books, clock: StillClock) -> None:
    card = books.card()
    books.done(adjust("gift", card, 500, expires_days=2))
    clock.forward(days=20)
    chores.expire_lots(books.core)
    midnight = NOON.replace(hour=21) + timedelta(days=2)
    assert books.balances(card, midnight - timedelta(microseconds=1))[POINTS].balance == 500
    assert books.balances(card, midnight)[POINTS].balance == 0


def test_points_given_back_to_a_lot_that_has_expired_expire_when_they_came(books: Books, clock: StillClock) -> None:
    card = books.card()
    books.done(adjust("gift", card, 500, expires_days=2))
    books.done(post("s", use(card, 500, earn=0)))
    clock.forward(days=20)
    books.done(void("s"))
    given_at = clock.at
    clock.forward(hours=5)
    assert chores.expire_lots(books.core) == 1
    before = books.balances(card, given_at - timedelta(seconds=1))[POINTS].balance
    assert (before, books.balances(card, clock.at)[POINTS].balance) == (0, 0)
    books.check_laws()


def test_expiry_comes_in_bites(books: Books, clock: StillClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "BITE_WALLETS", 2)
    cards = [books.card() for _ in range(5)]
    for card in cards:
        books.done(adjust(books.key(), card, 10, expires_days=0))
    clock.forward(days=1)
    bites = []
    while done := chores.expire_lots(books.core):
        bites.append(done)
    assert bites == [2, 2, 1]
    assert [books.balance(card) for card in cards] == [0] * 5


def test_worker_leaves_accounts_that_somebody_holds(postgresql: Books) -> None:
    books = postgresql
    clock = books.clock
    assert isinstance(clock, StillClock)
    busy, idle = books.card(), books.card()
    for card in (busy, idle):
        books.done(adjust(books.key(), card, 10, expires_days=0))
    clock.forward(days=1)
    lock = "SELECT a.id FROM account a JOIN card c ON c.wallet_id = a.wallet_id WHERE c.number = :card FOR UPDATE"
    with books.database.transaction() as rival:
        rival.execute(text(lock), {"card": busy})
        assert chores.expire_lots(books.core) == 1
        assert (books.balance(busy), books.balance(idle)) == (10, 0)
    assert chores.expire_lots(books.core) == 1


# Late facts --------------------------------------------------------------------------------------------------


def late(key: str, card: str, amount: int, happened: Any) -> PostReceipt:
    return post(key, use(card, amount, earn=0), receipt=receipt(100_000, closed_at=happened), fact=True)


@pytest.mark.parametrize("is_booked", [True, False], ids=["worker ran", "worker did not run"])
def test_late_fact_takes_what_was_good_when_it_happened(books: Books, clock: StillClock, is_booked: bool) -> None:
    card = books.card()
    books.done(adjust("gift", card, 500, expires_days=1))
    happened = clock.at + timedelta(hours=2)
    clock.forward(days=5)
    if is_booked:
        assert chores.expire_lots(books.core) == 1
    done = books.done(late("f", card, 300, happened))
    assert done.flags == ()
    chores.expire_lots(books.core)
    assert books.balance(card) == 0
    midnight = NOON.replace(hour=21) + timedelta(days=1)
    as_of = [books.balances(card, at)[POINTS].balance for at in (NOON, happened, midnight)]
    assert as_of == [500, 200, 0]
    expired = books.rows("SELECT sum(amount) FROM entry e JOIN account a ON a.id = e.account_id WHERE a.kind='expired'")
    assert expired == [(200,)]
    books.check_laws()
    assert broken(books) == []
    books.done(void("f"))
    chores.expire_lots(books.core)
    assert books.balance(card) == 0
    books.check_laws()


def test_late_fact_beyond_what_was_good_takes_the_rest_and_then_owes(books: Books, clock: StillClock) -> None:
    card = books.card()
    books.done(adjust("gift", card, 500, expires_days=1))
    books.done(adjust("ever", card, 100))
    happened = clock.at + timedelta(hours=2)
    clock.forward(days=5)
    chores.expire_lots(books.core)
    done = books.done(late("f", card, 650, happened))
    assert (done.flags, books.balance(card)) == (("debt",), -50)
    assert books.done(late("g", card, 10, happened)).cards[0].balance == -60
    books.check_laws()


def test_fact_that_happened_after_expiry_does_not_bring_it_back(books: Books, clock: StillClock) -> None:
    card = books.card()
    books.done(adjust("gift", card, 500, expires_days=1))
    clock.forward(days=5)
    chores.expire_lots(books.core)
    assert books.done(late("f", card, 300, clock.at - timedelta(hours=1))).flags == ("debt",)


# Roll-ups ----------------------------------------------------------------------------------------------------


def test_days_are_rolled_up_when_they_are_surely_over(books: Books, clock: StillClock) -> None:
    card = books.card()
    books.done(post("a", use(card, earn=100)))
    clock.forward(hours=12)
    books.done(post("b", use(card, earn=40)))
    books.done(void("b"))
    assert chores.roll_up(books.core) >= 0
    while chores.roll_up(books.core):
        pass
    clock.at = NOON.replace(hour=21, minute=0) + timedelta(days=2)
    while chores.roll_up(books.core):
        pass
    days = books.rows(
        "SELECT r.day, r.debit, r.credit, r.entries FROM roll_up r JOIN account a ON a.id = r.account_id "
        "WHERE a.kind = 'issued' ORDER BY r.day"
    )
    told = [(date.fromisoformat(str(day)), debit, credit, entries) for day, debit, credit, entries in days]
    assert told == [(date(2026, 5, 4), 0, 100, 1), (date(2026, 5, 5), 40, 40, 2)]
    assert broken(books) == []
    with books.database.transaction() as connection:
        connection.execute(text("UPDATE roll_up SET credit = credit + 1"))
    assert any("days" in row for row in broken(books))


def test_partner_accounts_are_the_sums_of_their_entries_at_any_instant(books: Books, clock: StillClock) -> None:
    card = books.card()
    at: list[Any] = []
    for n in range(6):
        books.done(post(f"s{n}", use(card, earn=100 + n), store=MOSCOW if n % 2 else "beta-1"))
        at.append(clock.at)
        clock.forward(hours=17)
    expected = [_by_entries(books, instant) for instant in at]
    for rolled in (False, True):
        while rolled and chores.roll_up(books.core):
            pass
        assert [_by_report(books, instant) for instant in at] == expected
        assert _by_report(books, None) == expected[-1]
    assert books.count("roll_up") > 0


def test_partner_accounts_are_read_in_one_pass(postgresql: Books) -> None:
    asking = {"partner": 1, "day": "2026-05-04", "since": NOON, "at": NOON}
    with postgresql.database.reading() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        rows = driver.execute("EXPLAIN " + ACCOUNTS.postgresql, asking).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert "roll_up" in plan
    assert "SubPlan" not in plan, plan


def _by_entries(books: Books, at: Any) -> dict[tuple[str, str, str], int]:
    found = books.rows(
        "SELECT p.code, a.kind, a.unit, sum(e.amount) FROM entry e JOIN account a ON a.id = e.account_id "
        "JOIN partner p ON p.id = a.partner_id WHERE e.booked_at <= :at GROUP BY p.code, a.kind, a.unit",
        at=books.database.instant(at),
    )
    return {(row[0], row[1], row[2]): int(row[3]) for row in found}


def _by_report(books: Books, at: Any) -> dict[tuple[str, str, str], int]:
    found = partner_accounts(books.database, books.core.work.directory, at)
    return {(each.partner, each.kind, each.unit): each.balance for each in found if each.balance}


# Corrections by two ------------------------------------------------------------------------------------------


@pytest.fixture
def careful(books: Books) -> Iterator[Books]:
    """The same chain, in which corrections of points above 1,000 need a second person."""
    units = tuple(
        type(unit)(unit.code, unit.kind, unit.scale, 1_000 if unit.code == POINTS else None) for unit in CHAIN.units
    )
    chain = Chain(CHAIN.code, CHAIN.name, units, CHAIN.partners, CHAIN.stores, CHAIN.products)
    sync(books.database, chain, PROGRAMMES)
    with books.database.reading() as connection:
        directory = load(connection, NOON)
    yield Books(Core(books.database, directory, books.core.work.vault), books.database, books.clock)
    sync(books.database, CHAIN, PROGRAMMES)


def decide(key: str, of: str, actor: str, approve: bool = True) -> DecideAdjustment:
    return DecideAdjustment(store=MOSCOW, keys=(key,), adjustment=of, approve=approve, actor=actor)


def test_large_correction_is_booked_when_somebody_else_approves(careful: Books) -> None:
    books = careful
    card = books.card()
    asked = adjust("a", card, 1_001, actor="anna")
    assert books.done(asked).outcome == "pending"
    assert (books.balance(card), books.done(asked).outcome) == (0, "pending")
    assert isinstance(books.one(decide("d", "a", "anna")), SecondPersonNeeded)
    assert isinstance(books.one(decide("d", "a", "")), SecondPersonNeeded)
    decided = books.done(decide("d", "a", "boris"))
    assert (decided.outcome, books.balance(card)) == ("approved", 1_001)
    assert books.one(decide("d", "a", "boris")) == again(decided)
    assert isinstance(books.one(decide("d2", "a", "vera")), AdjustmentNotFound)
    final = books.done(asked)
    assert (final.outcome, final.operation_id, final.replayed) == ("done", decided.booked_id, True)
    books.check_laws()
    assert broken(books) == []


def test_correction_is_decided_by_any_of_its_keys(careful: Books) -> None:
    card = careful.card()
    careful.done(adjust("a", card, 1_001, keys=("a", "b"), actor="anna"))
    assert careful.done(decide("d", "b", "boris")).outcome == "approved"
    assert careful.balance(card) == 1_001


@pytest.mark.parametrize(
    ("asked_by", "decides", "is_another"),
    [
        ("shop/masha", "shop/masha", False),
        ("shop/masha", "shop", False),
        ("shop", "shop/boris", False),
        ("shop/masha", "shop/boris", True),
        ("shop", "office", True),
        ("shop/masha", "office/masha", True),
    ],
)
def test_nobody_decides_on_their_own_correction_by_leaving_out_a_name(
    careful: Books, asked_by: str, decides: str, is_another: bool
) -> None:
    card = careful.card()
    careful.done(adjust("a", card, 1_001, actor=asked_by))
    outcome = careful.one(decide("d", "a", decides))
    assert isinstance(outcome, SecondPersonNeeded) != is_another


def test_correction_for_two_people_is_asked_for_by_name(careful: Books) -> None:
    card = careful.card()
    assert isinstance(careful.one(adjust("a", card, 1_001)), SecondPersonNeeded)
    assert careful.count("pending_adjustment") == 0
    careful.done(adjust("a", card, 1_001, actor="anna"))
    with careful.database.transaction() as connection:
        connection.execute(text("UPDATE pending_adjustment SET asked_by = ''"))
    assert isinstance(careful.one(decide("d", "a", "boris")), SecondPersonNeeded), "anna may call herself boris"
    assert careful.done(decide("d", "a", "boris", approve=False)).outcome == "rejected"


@pytest.mark.parametrize("is_together", [True, False], ids=["one batch", "two batches"])
def test_correction_that_waits_keeps_no_phone(careful: Books, is_together: bool) -> None:
    card, phone = careful.card(), "+79123456789"
    careful.done(RegisterHolder(store=MOSCOW, keys=("r",), card=ref(card), name="Anna", phone=phone))
    asked = adjust("a", card, 1_001, actor="anna")
    asked = msgspec.structs.replace(asked, card=Ref("phone", phone))
    if is_together:
        careful.core.execute([asked, decide("d", "a", "boris")])
    else:
        careful.done(asked)
        careful.done(EraseHolder(store=MOSCOW, keys=("e",), card=ref(card), reason="asked"))
        careful.done(decide("d", "a", "boris"))
    assert phone not in str(careful.rows("SELECT command FROM pending_adjustment"))
    assert careful.balance(card) == 1_001


def test_correction_that_needed_two_people_is_not_undone_by_one(careful: Books) -> None:
    card = careful.card()
    careful.done(adjust("a", card, 1_001, actor="anna"))
    careful.done(decide("d", "a", "boris"))
    assert isinstance(careful.one(void("a")), SecondPersonNeeded)
    careful.done(adjust("small", card, 1_000))
    careful.done(void("small", actor="vera"))
    told = careful.rows("SELECT actor, target FROM audit WHERE action = 'voided'")
    assert [row[0] for row in told] == ["vera"]
    assert careful.rows("SELECT actor FROM operation WHERE kind = 'void'") == [("vera",)]


def test_whoever_may_undo_receipts_only_undoes_nothing_else(books: Books) -> None:
    card = books.card(1_000)
    books.done(adjust("a", card, 500))
    books.done(post("s", use(card, 100, earn=0)))
    assert isinstance(books.one(void("a", receipts_only=True)), KeyReused)
    assert books.done(void("s", receipts_only=True)).outcome == "reversed"


def test_rejected_correction_moves_nothing_for_ever(careful: Books) -> None:
    books = careful
    card = books.card()
    asked = adjust("a", card, -5_000, actor="anna", allow_debt=True)
    books.done(asked)
    assert books.done(decide("d", "a", "boris", approve=False)).outcome == "rejected"
    assert (books.done(asked).outcome, books.balance(card)) == ("rejected", 0)
    assert isinstance(books.one(decide("d2", "a", "boris")), AdjustmentNotFound)
    assert broken(books) == []


def test_correction_that_no_longer_fits_stays_pending(careful: Books) -> None:
    books = careful
    card = books.card(900)
    books.done(adjust("more", card, 900))
    asked = Adjust(
        store=MOSCOW, keys=("a",), card=ref(card), amount=Amount(POINTS, -1_500), reason="fraud", actor="anna"
    )
    books.done(asked)
    books.done(post("s", use(card, 800, earn=0)))
    assert isinstance(books.one(decide("d", "a", "boris")), InsufficientPoints)
    assert books.done(decide("d2", "a", "boris", approve=False)).outcome == "rejected"


def test_small_corrections_need_nobody_else(careful: Books) -> None:
    card = careful.card(1_000)
    assert careful.done(adjust("a", card, -1_000)).outcome == "done"


# Audit and density -------------------------------------------------------------------------------------------


def test_audit_tells_who_did_what_and_breaks_when_it_is_touched(books: Books) -> None:
    card = books.card(100, actor="anna")
    rows = books.rows("SELECT id, actor, action, target FROM audit ORDER BY id")
    assert [row[2] for row in rows] == ["card_issued", "adjustment"]
    assert rows[0][1:] == ("anna", "card_issued", f"***{card[-4:]}")
    assert all(card not in str(row) for row in books.rows("SELECT target, details FROM audit"))
    assert broken(books) == []
    with books.database.transaction() as connection:
        connection.execute(text("UPDATE audit SET actor = 'boris' WHERE id = 1"))
    assert any("audit row 1" in row for row in broken(books))


def test_row_taken_out_of_the_audit_is_noticed(books: Books) -> None:
    for _ in range(3):
        books.card()
    with books.database.transaction() as connection:
        connection.execute(text("DELETE FROM audit WHERE id = 2"))
    assert any("audit row 3" in row for row in broken(books))


def test_other_changes_join_the_same_chain(books: Books) -> None:
    books.card()
    with books.database.transaction() as connection:
        audit.record(connection, books.database, "root", "client_added", 0, "shop", {"scopes": ["*"]})
    assert [row[0] for row in books.rows("SELECT action FROM audit ORDER BY id")] == ["card_issued", "client_added"]
    assert broken(books) == []


def test_range_of_value_is_not_filled_until_it_can_be_guessed(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processing.numbers.GREATEST_DENSITY", 10**16 // 2)
    issue = [IssueCard(store=MOSCOW, keys=(f"i{n}",), product=GIFT) for n in range(3)]
    outcomes = books.core.execute(issue[:1]) + books.core.execute(issue[1:])
    assert [isinstance(outcome, RangeFull) for outcome in outcomes] == [False, False, True]
