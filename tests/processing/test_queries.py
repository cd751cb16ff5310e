"""Questions: where names lead, what is available beside holds, and that no question harms another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing import tables
from processing.commands import (
    CaptureHold,
    EraseHolder,
    Identify,
    IssueToken,
    PlaceHold,
    ReadBalances,
    ReadHolder,
    ReadLots,
    ReadOperation,
    Ref,
    RegisterHolder,
)
from processing.database import array
from processing.errors import BadMessage, CardNotFound, Failed, ForeignStore, OperationNotFound
from processing.faces import FACES
from processing.names import token
from processing.queries import READERS
from processing.reading import MAX_NAMES
from processing.results import Balance, Identified, TokenIssued
from tests.processing.books import ALMATY, MOSCOW, NOON, POINTS, SLOW, STAMPS, Books, adjust, post, use
from tests.processing.reads import (
    account_of,
    change,
    clock_of,
    counted,
    hold,
    lot,
    merge,
    named,
    new_id,
    outcome,
    put_all,
    store_id,
    told,
    wallet_of,
)

HOUR = timedelta(hours=1)


def identify(card: str, **changes: Any) -> Identify:
    return Identify(**{"store": MOSCOW, "refs": named(card)} | changes)


def register(books: Books, card: str, name: str = "Анна Ким", phone: str = "", email: str = "") -> int:
    command = RegisterHolder(
        store=MOSCOW, keys=(books.key("holder"),), card=Ref("card", card), name=name, phone=phone, email=email
    )
    return books.done(command).holder_id


def points(found: Any) -> Balance:
    return next(balance for balance in found.balances if balance.unit == POINTS)


# One statement ----------------------------------------------------------------------------------------------------


def test_any_number_of_cards_is_identified_by_one_statement(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [books.card(100 + n) for n in range(5)]
    hold(books, cards[0], 30)
    with counted(books, monkeypatch) as seen:
        found = books.core.answer([identify(card) for card in cards])
    assert [points(face).available for face in found] == [70, 101, 102, 103, 104]
    assert len(seen) == 1


def test_a_name_that_is_worked_out_costs_the_others_nothing(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    card, other = books.card(1), books.card(2)
    queries = [identify(card), identify("", refs=(Ref("wallet", str(wallet_of(books, other))),))]
    with counted(books, monkeypatch) as seen:
        found = books.core.answer(queries)
    assert [points(face).available for face in found] == [1, 2]
    assert sum("FROM identifier" in statement for statement in seen) == 1


def test_no_question_is_no_statement(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(books, monkeypatch) as seen:
        assert books.core.answer([]) == []
        assert isinstance(outcome(books, identify("", refs=())), CardNotFound)
    assert seen == []


# Names ------------------------------------------------------------------------------------------------------------


def test_every_name_of_a_wallet_leads_to_its_card(books: Books) -> None:
    card = books.card(500, identifiers=(Ref("onec", "guid-1"),))
    holder = register(books, card, phone="+7 912 345-67-89", email="Anna@Example.com")
    names = [
        Ref("card", "000" + card),
        Ref("onec", "guid-1"),
        Ref("phone", "8 (912) 3456789"),
        Ref("email", "anna@example.com"),
        Ref("holder", str(holder)),
        Ref("wallet", str(wallet_of(books, card))),
        Ref("token", token_for(books, card)),
    ]
    for name in names:
        face = told(books, identify("", refs=(name,)))
        assert (face.number, face.holder_name, points(face).available) == (card, "Анна Ким", 500), name
        assert told(books, ReadBalances(refs=(name,))).account == face.account, name


def token_for(books: Books, card: str, seconds: int = 60) -> str:
    ((card_id,),) = books.rows("SELECT id FROM card WHERE number = :card", card=card)
    return token(books.core.work.vault, card_id, NOON + timedelta(seconds=seconds))


def test_names_are_tried_in_order(books: Books) -> None:
    first, second = books.card(1), books.card(2)
    wallet = Ref("wallet", str(wallet_of(books, second)))
    for refs, expected in [
        ((Ref("phone", "+79120000000"), *named(first), wallet), first),
        ((wallet, *named(first)), second),
        ((Ref("wallet", "no number"), Ref("holder", "9" * 30), *named(first)), first),
    ]:
        assert told(books, identify("", refs=refs)).number == expected
        assert told(books, ReadBalances(refs=refs)).account == wallet_of(books, expected)


def test_a_wallet_is_spoken_of_by_its_newest_usable_card(books: Books) -> None:
    old = books.card(100)
    newer, blocked = (books.card(wallet_of=Ref("card", old)) for _ in range(2))
    books.set_status(blocked, "blocked")
    assert told(books, identify("", refs=(Ref("wallet", str(wallet_of(books, old))),))).number == newer


def test_a_merged_wallets_names_lead_to_the_one_that_counts(books: Books) -> None:
    source, target = books.card(100), books.card(20)
    holder, old = register(books, source), wallet_of(books, source)
    merge(books, source, target)
    for name in (Ref("wallet", str(old)), Ref("holder", str(holder)), *named(source)):
        face = told(books, identify("", refs=(name,)))
        assert (face.account, points(face).available) == (wallet_of(books, target), 120)


def test_names_that_no_database_can_compare_lead_nowhere_and_harm_nobody(books: Books) -> None:
    card = books.card(7)
    odd = ["a\0b", "half \ud83d of a character", "'; DROP TABLE card", "%", "x" * 10_000]
    queries = [query for value in odd for query in (identify(value), ReadBalances(refs=(Ref("onec", value),)))]
    *lost, found = books.core.answer([*queries, identify(card)])
    assert {type(each) for each in lost} == {CardNotFound}
    assert isinstance(found, Identified)


def test_more_names_than_anybody_needs_are_refused(books: Books) -> None:
    card = books.card(7)
    many = tuple(Ref("onec", str(n)) for n in range(MAX_NAMES)) + named(card)
    refused, found = books.core.answer([identify("", refs=many), identify("", refs=many[1:])])
    assert isinstance(refused, BadMessage)
    assert isinstance(found, Identified)


def test_identify_is_refused_for_a_foreign_store(books: Books) -> None:
    card = books.card()
    foreign, found = books.core.answer([identify(card, store="elsewhere"), identify(card, store=ALMATY)])
    assert isinstance(foreign, ForeignStore)
    assert isinstance(found, Identified)


def test_an_erased_holder_is_nobody(books: Books) -> None:
    card = books.card(5)
    register(books, card)
    books.done(EraseHolder(store=MOSCOW, keys=("forget",), card=Ref("card", card), reason="asked"))
    face = told(books, identify(card))
    assert (face.holder_id, face.holder_name, points(face).balance) == (0, "", 5)


def test_a_damaged_row_fails_its_own_question_only(books: Books) -> None:
    broken, sound = books.card(1), books.card(2)
    register(books, broken)
    change(books, "UPDATE person SET name = wrapped_key")
    queries = [identify(broken), ReadHolder(refs=named(broken)), identify(sound), ReadBalances(refs=named(broken))]
    failed, also, found, balances = books.core.answer(queries)
    assert (type(failed), type(also)) == (Failed, Failed)
    assert (points(found).balance, points(balances).balance) == (2, 1)


def test_a_bug_fails_its_own_question_only(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    card = books.card(2)

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setitem(READERS, ReadLots, broken)
    lost, found = books.core.answer([ReadLots(refs=named(card)), identify(card)])
    assert isinstance(lost, Failed)
    assert isinstance(found, Identified)


def test_questions_of_all_kinds_are_answered_in_their_order(books: Books) -> None:
    card = books.card(5)
    found = books.core.answer(
        [ReadOperation(operation_id=0), identify(card), ReadLots(refs=named("404")), IssueToken(refs=named(card))]
    )
    assert [type(each) for each in found] == [OperationNotFound, Identified, CardNotFound, TokenIssued]


# Holds ------------------------------------------------------------------------------------------------------------


def test_what_is_held_is_not_available(books: Books) -> None:
    card = books.card(500)
    hold(books, card, 120)
    hold(books, card, 30)
    face = points(told(books, identify(card)))
    assert (face.balance, face.available, face.held) == (500, 350, 150)
    assert dict(told(books, identify(card)).payable)[POINTS] == 350
    assert dict(told(books, identify(card, order_minor=100)).payable)[POINTS] == 100


@pytest.mark.parametrize("state", ["captured", "released", "expired"])
def test_an_ended_hold_sets_nothing_aside(books: Books, state: str) -> None:
    card = books.card(500)
    hold(books, card, 120, state=state, ended_at=NOON)
    face = points(told(books, identify(card)))
    assert (face.available, face.held) == (500, 0)


def test_a_hold_ends_at_its_deadline_before_anybody_writes_it(books: Books) -> None:
    card = books.card(500)
    hold(books, card, 120, until=NOON + HOUR)
    clock_of(books).at = NOON + HOUR - timedelta(microseconds=1)
    assert points(told(books, identify(card))).available == 380
    clock_of(books).at = NOON + HOUR
    assert (points(told(books, identify(card))).available, books.balances(card)[POINTS].held) == (500, 0)


def test_an_expired_lots_pins_are_not_taken_away_twice(books: Books) -> None:
    card = books.card(100)
    account = account_of(books, card)
    old = lot(books, account, 60, expires_at=NOON - HOUR)
    hold(books, card, 40, lot_id=old)
    face = points(told(books, identify(card)))
    assert (face.available, face.held) == (100, 40)


def test_a_hold_of_one_unit_leaves_the_others(books: Books) -> None:
    card = books.card(500)
    books.done(adjust("stamps", card, 3, STAMPS))
    hold(books, card, 2, STAMPS)
    found = {balance.unit: (balance.available, balance.held) for balance in told(books, identify(card)).balances}
    assert {unit: sums for unit, sums in found.items() if any(sums)} == {POINTS: (500, 0), STAMPS: (1, 2)}
    assert found == {unit: (each.available, each.held) for unit, each in books.balances(card).items()}


def test_what_one_card_holds_is_held_for_all_cards_of_its_wallet(books: Books) -> None:
    card = books.card(500)
    other = books.card(wallet_of=Ref("card", card))
    hold(books, card, 100)
    assert points(told(books, identify(other))).available == 400


def test_reads_and_writes_agree_on_what_is_left(books: Books) -> None:
    card = books.card(500)
    place = PlaceHold(store=MOSCOW, keys=("h",), card=Ref("card", card), unit=POINTS, amount=120, seconds=60)
    assert books.done(place).available == points(told(books, identify(card))).available == 380
    books.done(CaptureHold(store=MOSCOW, keys=("c",), hold="h", amount=20))
    now = points(told(books, identify(card)))
    assert (now.balance, now.available, now.held) == (480, 480, 0)


@dataclass(frozen=True)
class Lot:
    """``draws`` are taken later; what is pinned at any time is left."""

    funded: int
    at: int
    available_from: int
    expires_at: int | None
    draws: tuple[tuple[int, int], ...]

    def remaining(self, at: int) -> int:
        if at < self.at:
            return 0
        return self.funded - sum(amount for when, amount in self.draws if when <= at)

    def is_available(self, at: int) -> bool:
        return self.available_from <= at and (self.expires_at is None or self.expires_at > at)


@dataclass(frozen=True)
class Hold:
    placed: int
    until: int
    ended: int | None
    state: str
    pins: tuple[tuple[int, int], ...]

    def is_open(self, at: int) -> bool:
        return self.placed <= at < self.until and (self.ended is None or self.ended > at)


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Lot], list[Hold]]:
    """Lots and holds of an account, hours from now; everything booked has happened by now."""
    lots, room = [], []
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(-60, 0))
        funded = draw(st.one_of(st.integers(1, 100), st.integers(-100, -1)))
        draws: list[tuple[int, int]] = []
        spendable = funded
        if funded > 0:
            for _ in range(draw(st.integers(0, 2))):
                taken = draw(st.integers(0, spendable))
                draws.append((draw(st.integers(at, 0)), taken))
                spendable -= taken
        is_debt = funded < 0
        available_from = at if is_debt else draw(st.integers(-60, 30))
        lasting = None if is_debt else draw(st.one_of(st.none(), st.integers(-40, 40)))
        lots.append(Lot(funded, at, available_from, lasting, tuple(draws)))
        room.append(max(spendable, 0))
    holds = []
    for _ in range(draw(st.integers(0, 4))):
        pins = []
        for i, free in enumerate(room):
            amount = draw(st.integers(0, free))
            if amount:
                room[i] -= amount
                pins.append((i, amount))
        placed = draw(st.integers(max([lots[i].at for i, _ in pins], default=-30), 0))
        until = placed + draw(st.integers(1, 60))
        state = draw(st.sampled_from(["open", "open", "captured", "released", "expired"]))
        ended = None if state == "open" else draw(st.integers(placed, 0))
        holds.append(Hold(placed, until, ended, state, tuple(pins)))
    return lots, holds


def expected(lots: list[Lot], holds: list[Hold], at: int) -> tuple[int, int, int, int]:
    """(balance, available, pending, held) from first principles."""
    pinned = [
        sum(n for each in holds if each.is_open(at) for lot, n in each.pins if lot == i) for i in range(len(lots))
    ]
    left = [each.remaining(at) for each in lots]
    free = sum(left[i] - pinned[i] for i, each in enumerate(lots) if left[i] and (left[i] < 0 or each.is_available(at)))
    later = sum(left[i] for i, each in enumerate(lots) if left[i] > 0 and each.available_from > at)
    return sum(left), free, later, sum(pinned)


def write(books: Books, card: str, lots: list[Lot], holds: list[Hold]) -> None:
    """The story as rows, under the card's account of points."""
    account = account_of(books, card)
    store = store_id(books)
    issuer = books.core.work.directory.store(MOSCOW).partner_id
    lot_ids = [new_id() for _ in lots]
    rows: dict[Any, list[dict[str, Any]]] = {tables.lot: [], tables.entry: [], tables.hold: [], tables.hold_pin: []}

    def entry(lot_id: int, at: int, amount: int) -> None:
        if amount:
            when = NOON + at * HOUR
            fields = {"account_id": account, "lot_id": lot_id, "amount": amount}
            rows[tables.entry].append(
                {"operation_id": new_id(), "n": 0, "effective_at": when, "booked_at": NOON, **fields}
            )

    for lot_id, each in zip(lot_ids, lots, strict=True):
        entry(lot_id, each.at, each.funded)
        for at, taken in each.draws:
            entry(lot_id, at, -taken)
        rows[tables.lot].append(
            {
                "id": lot_id,
                "account_id": account,
                "issuer_id": issuer,
                "price_millionths": 1_000_000,
                "remaining": each.remaining(0),
                "is_open": each.remaining(0) != 0,
                "available_from": NOON + each.available_from * HOUR,
                "expires_at": None if each.expires_at is None else NOON + each.expires_at * HOUR,
                "is_debt": each.funded < 0,
            }
        )
    for number, each in enumerate(holds):
        hold_id = new_id()
        rows[tables.hold].append(
            {
                "id": hold_id,
                "store_id": store,
                "key": f"{card}-{number}",
                "account_id": account,
                "owner": "",
                "amount": sum(amount for _, amount in each.pins),
                "captured": 0,
                "state": each.state,
                "placed_at": NOON + each.placed * HOUR,
                "until": NOON + each.until * HOUR,
                "ended_at": None if each.ended is None else NOON + each.ended * HOUR,
                "operation_id": None,
            }
        )
        rows[tables.hold_pin] += [{"hold_id": hold_id, "lot_id": lot_ids[i], "amount": n} for i, n in each.pins]
    put_all(books, rows)
    change(
        books, "UPDATE account SET balance = :n WHERE id = :id", n=sum(each.remaining(0) for each in lots), id=account
    )


@given(story=stories(), at=st.integers(-70, 70))
@settings(max_examples=60)
def test_balances_are_what_lots_and_holds_say_at_any_instant(
    books: Books, story: tuple[list[Lot], list[Hold]], at: int
) -> None:
    lots, holds = story
    card = books.card()
    write(books, card, lots, holds)
    now = points(told(books, identify(card)))
    assert (now.balance, now.available, now.pending, now.held) == expected(lots, holds, 0)
    assert books.balances(card)[POINTS] == now
    assert books.balances(card, NOON)[POINTS] == now
    then = books.balances(card, NOON + at * HOUR)[POINTS]
    assert (then.balance, then.available, then.pending, then.held) == expected(lots, holds, at)
    for as_of, hours in ((None, 0), (NOON + at * HOUR, at)):
        listed = told(books, ReadLots(refs=named(card), as_of=as_of)).lots
        balance, _, _, held = expected(lots, holds, hours)
        assert (sum(each.remaining for each in listed), sum(each.held for each in listed)) == (balance, held)
        assert all(each.remaining for each in listed)


# Lots -------------------------------------------------------------------------------------------------------------


def test_lots_are_told_with_their_terms_soonest_expiring_first(books: Books) -> None:
    card = books.card(300, product=SLOW)
    books.done(post("sale", use(card), total=100_000))
    hold(books, card, 50)
    earned, given = told(books, ReadLots(refs=named(card))).lots
    assert (earned.remaining, earned.held, earned.issuer, earned.is_debt) == (5_000, 0, "alpha", False)
    assert earned.available_from == datetime.fromisoformat("2026-05-10T21:00:00+00:00")
    assert earned.expires_at == datetime.fromisoformat("2026-06-10T21:00:00+00:00")
    assert (given.unit, given.remaining, given.held, given.expires_at) == (POINTS, 300, 50, None)


def test_a_debt_is_a_negative_lot(books: Books) -> None:
    card = books.card()
    books.done(post("sale", use(card, redeem=70, earn=0), fact=True, store=ALMATY))
    (owed,) = told(books, ReadLots(refs=named(card))).lots
    assert (owed.remaining, owed.is_debt, owed.issuer, owed.held) == (-70, True, "beta", 0)


def test_lots_of_the_past_are_there_again(books: Books) -> None:
    card = books.card(300)
    clock_of(books).forward(days=1)
    books.done(post("sale", use(card, redeem=300, earn=0)))
    assert told(books, ReadLots(refs=named(card))).lots == ()
    (before,) = told(books, ReadLots(refs=named(card), as_of=NOON)).lots
    assert before.remaining == 300
    assert told(books, ReadLots(refs=named(card), as_of=NOON - HOUR)).lots == ()


def test_lots_and_balances_before_a_merge_are_those_of_both_wallets(books: Books) -> None:
    source, target = books.card(100, product=SLOW), books.card(20)
    books.done(post("sale", use(source), total=100_000))
    clock_of(books).forward(hours=1)
    merge(books, source, target)
    clock_of(books).forward(hours=1)
    for as_of in (NOON, NOON + HOUR, None):
        now = books.balances(target, as_of)[POINTS]
        assert (now.balance, now.available, now.pending) == (5_120, 120, 5_000)
        assert sum(each.remaining for each in told(books, ReadLots(refs=named(target), as_of=as_of)).lots) == 5_120
    assert len(told(books, ReadLots(refs=named(target), as_of=NOON)).lots) == 3


# Tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_names_its_card_until_it_ends(books: Books) -> None:
    card = books.card(5)
    issued = told(books, IssueToken(refs=named(card), seconds=60))
    assert (issued.number, issued.expires_at) == (card, NOON + timedelta(seconds=60))
    query = identify("", refs=(Ref("token", issued.token),))
    assert told(books, query).number == card
    clock_of(books).at = NOON + timedelta(seconds=62)
    assert isinstance(outcome(books, query), CardNotFound)


@pytest.mark.parametrize("seconds", [-1, 0, 29, 86_401])
def test_a_token_lives_neither_too_short_nor_too_long(books: Books, seconds: int) -> None:
    card = books.card()
    assert isinstance(outcome(books, IssueToken(refs=named(card), seconds=seconds)), BadMessage)


def test_nothing_has_no_token(books: Books) -> None:
    assert isinstance(outcome(books, IssueToken(refs=named("404"))), CardNotFound)


# Plans ------------------------------------------------------------------------------------------------------------


def test_what_is_held_is_found_by_indexes_on_young_tables(postgresql: Books) -> None:
    """A plan made while tables are empty stays for a while: it must not read them whole when they have grown."""
    with postgresql.database.reading() as connection:
        driver: Any = connection.connection.driver_connection
        params = {"values": array(["1"]), "now": postgresql.database.instant(NOON)}
        rows = driver.execute("EXPLAIN " + FACES.postgresql, params).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert "ix_hold_open" in plan
    for table in ("hold", "hold_pin", "lot"):
        assert f"Seq Scan on {table} " not in plan, plan
