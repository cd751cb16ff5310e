"""Receipts of other systems: kept as they are told last, and held against what tills have booked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing import learned_receipts
from processing import reconciliation as module
from processing.commands import (
    Accrue,
    Amount,
    EnrolHolder,
    EraseHolder,
    LearnReceipt,
    Line,
    MergeHolders,
    Redeem,
    Ref,
    VoidReceipt,
)
from processing.database import Database
from processing.errors import BadAmount, BadMessage, KeyReused, TooLarge, UnitNotFound
from processing.reconciliation import (
    ACCRUAL,
    DIFFERS,
    MATCHED,
    NO_RECEIPT,
    NOT_BOOKED,
    REDEMPTION,
    WAITING,
    Asked,
    Booked,
    Told,
    judged,
    reconciliation,
)
from processing.retention import prune_learned_receipts
from tests.processing.books import MONEY, MOSCOW, NOON, PLAIN, POINTS, URAL, Books, StillClock, ref

ON_SQLITE = pytest.mark.parametrize("books", ["sqlite"], indirect=True)
NEAR, LATE = timedelta(minutes=30), timedelta(hours=24)
NOW = NOON + timedelta(days=3)
DAY = timedelta(days=1)
GUID = Ref("onec", "6f0c2a4e-0000-4000-8000-000000000001")


# Which belong together --------------------------------------------------------------------------------------------


def told(
    document: str, minute: int, off: int = 0, on: int = 0, is_return: bool = False, wallet: int | None = 1
) -> Told:
    return Told(document, NOON + timedelta(minutes=minute), off, on, is_return, "", "", None, wallet)


def booked(number: int, kind: str, minute: int, amount: int, wallet: int = 1) -> Booked:
    return Booked(number, kind, NOON + timedelta(minutes=minute), False, "retail/till-1", wallet, amount)


def verdicts(
    receipts: list[Told], operations: list[Booked], **changes: Any
) -> list[tuple[str, str | None, int | None]]:
    rows = judged(receipts, operations, **{"now": NOW, "near": NEAR, "late": LATE} | changes)
    return [
        (row.verdict, row.side and row.side.receipt.document, row.booked and row.booked.operation_id) for row in rows
    ]


MINUTES, AMOUNTS, WALLETS = st.integers(0, 100), st.sampled_from([0, 5, 7]), st.sampled_from([1, 2])
RECEIPTS = st.lists(
    st.builds(
        lambda name, *told_: told(str(name), *told_),
        st.integers(0, 9),
        MINUTES,
        AMOUNTS,
        AMOUNTS,
        st.booleans(),
        st.sampled_from([1, 2, None]),
    ),
    max_size=8,
    unique_by=lambda each: each.document,
)
OPERATIONS = st.lists(
    st.builds(
        booked, st.integers(1, 9), st.sampled_from([REDEMPTION, ACCRUAL]), MINUTES, st.sampled_from([5, 7]), WALLETS
    ),
    max_size=8,
    unique_by=lambda each: each.operation_id,
)


@settings(max_examples=30, deadline=None)
@given(RECEIPTS, OPERATIONS, st.randoms(use_true_random=False), st.sampled_from([NOON, NOW]))
def test_each_is_told_once_whatever_the_order(
    receipts: list[Told], operations: list[Booked], chance: Any, now: Any
) -> None:
    rows = judged(receipts, operations, now, NEAR, LATE)
    shuffled = chance.sample(receipts, len(receipts)), chance.sample(operations, len(operations))
    assert judged(*shuffled, now, NEAR, LATE) == rows
    sides = Counter(row.side.name for row in rows if row.side)
    spoken = {side.name for receipt in receipts for side in module.sides_of(receipt) if side.amount}
    assert spoken <= sides.keys() and set(sides.values()) <= {1}
    assert Counter(row.booked.operation_id for row in rows if row.booked) == Counter(o.operation_id for o in operations)
    for row in rows:
        if row.side and row.booked:
            assert abs(row.side.at - row.booked.at) <= NEAR
            assert (row.side.wallet, row.side.kind) == (row.booked.wallet, row.booked.kind)
            assert (row.verdict == MATCHED) == (row.side.amount == row.booked.amount)
        else:
            assert row.verdict not in (MATCHED, DIFFERS)
    assert now == NOW or not any(row.verdict == NO_RECEIPT for row in rows)


def test_the_nearest_belongs_to_a_receipt_and_the_edge_of_the_window_to_it() -> None:
    off = [booked(1, REDEMPTION, 0, 5), booked(2, REDEMPTION, 29, 5), booked(3, REDEMPTION, 90, 5)]
    assert verdicts([told("a", 30, 5)], off) == [(NO_RECEIPT, None, 1), (MATCHED, "a", 2), (NO_RECEIPT, None, 3)]
    assert verdicts([told("a", 60, 5)], off[2:]) == [(MATCHED, "a", 3)]
    assert verdicts([told("a", 59, 5)], off[2:]) == [(NOT_BOOKED, "a", None), (NO_RECEIPT, None, 3)]


def test_equal_amounts_come_before_nearer_ones_that_differ() -> None:
    operations = [booked(1, ACCRUAL, 10, 7), booked(2, ACCRUAL, 20, 5)]
    assert verdicts([told("a", 10, on=5)], operations) == [(MATCHED, "a", 2), (NO_RECEIPT, None, 1)][::-1]
    assert verdicts([told("a", 10, on=5)], operations[:1]) == [(DIFFERS, "a", 1)]


def test_a_return_wants_what_undoes() -> None:
    back = told("b", 10, off=5, on=7, is_return=True)
    assert verdicts([back], [booked(1, ACCRUAL, 10, 5), booked(2, REDEMPTION, 10, 7)]) == [
        (MATCHED, "b", 1),
        (MATCHED, "b", 2),
    ]
    assert {verdict for verdict, *_ in verdicts([back], [booked(1, REDEMPTION, 10, 5)])} == {DIFFERS, NOT_BOOKED}


def test_what_may_come_yet_is_waited_for() -> None:
    """A receipt whose till's clock is ahead, an operation whose receipt is on its way; then neither."""
    receipts, operations = [told("a", 10, 5)], [booked(1, REDEMPTION, 0, 7, wallet=2)]
    early = {verdict for verdict, *_ in verdicts(receipts, operations, now=NOON + timedelta(minutes=40))}
    assert early == {WAITING}
    assert {verdict for verdict, *_ in verdicts(receipts, operations)} == {NOT_BOOKED, NO_RECEIPT}


def test_a_receipt_that_says_nothing_is_told_what_no_other_receipt_comes_for() -> None:
    silent, operation = told("a", 10), booked(1, REDEMPTION, 0, 7)
    assert verdicts([silent], [operation]) == [(DIFFERS, "a", 1)]
    assert verdicts([silent], [operation], now=NOON + timedelta(hours=1)) == [(WAITING, None, 1)]


def test_too_many_of_one_card_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CANDIDATES", 3)
    with pytest.raises(TooLarge):
        judged([told(str(n), 0, 5) for n in range(2)], [booked(n, REDEMPTION, 0, 5) for n in range(2)], NOW, NEAR, LATE)


# What is kept -----------------------------------------------------------------------------------------------------


def learn(**changes: Any) -> LearnReceipt:
    fields: dict[str, Any] = {
        "store": MOSCOW,
        "keys": ("onec:receipt:17",),
        "document": "17",
        "unit": POINTS,
        "at": NOON,
        "card_ref": GUID,
        "redeemed": 500,
    }
    return LearnReceipt(**fields | changes)


def forget_holder(database: Database, holder_id: int, most: int = 10) -> int:
    with database.transaction() as connection:
        return learned_receipts.forget_holder(connection, holder_id, most)


def kept(books: Books) -> list[tuple[Any, ...]]:
    return books.rows("SELECT document, redeemed, earned, is_withdrawn FROM learned_receipt ORDER BY document")


def test_a_receipt_is_kept_as_it_was_told_last(books: Books) -> None:
    assert books.done(learn()).is_known
    assert books.done(learn()).replayed
    assert [tuple(map(int, row)) for row in kept(books)] == [(17, 500, 0, 0)]
    books.done(learn(redeemed=700))
    books.core.execute([learn(redeemed=n) for n in (1, 2)])
    books.done(learn(document="18", keys=("onec:receipt:18",), withdrawn=True))
    assert [tuple(map(int, row)) for row in kept(books)] == [(17, 2, 0, 0)], "one that nobody knows stays unknown"
    books.done(learn(withdrawn=True))
    assert [tuple(map(int, row)) for row in kept(books)] == [(17, 500, 0, 1)]
    assert books.count("operation") == 0
    books.check_laws()


@ON_SQLITE
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redeemed": -1}, BadAmount),
        ({"earned": 10**18}, BadAmount),
        ({"unit": "GOLD"}, UnitNotFound),
        ({"document": ""}, BadMessage),
        ({"document": "d" * 65}, BadMessage),
        ({"sale": "a\nb"}, BadMessage),
        ({"card_ref": Ref("card", "7770001")}, BadMessage),
        ({"card_ref": Ref("phone", "+79990000001")}, BadMessage),
        ({"card_ref": Ref("onec", "g" * 65)}, BadMessage),
        ({"lines": tuple(Line(number=n, goods="a", sum_minor=1) for n in range(1, 1_002))}, TooLarge),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(books: Books, changes: dict[str, Any], error: type) -> None:
    assert isinstance(books.one(learn(**changes)), error)
    assert (books.count("learned_receipt"), books.count("request_key")) == (0, 0)


@ON_SQLITE
def test_another_command_under_a_receipts_key_is_refused(books: Books) -> None:
    books.done(Accrue(store=MOSCOW, keys=("k",), card=ref(books.card()), amount=Amount(POINTS, 5)))
    assert isinstance(books.one(learn(keys=("k",))), KeyReused)


@ON_SQLITE
def test_a_key_names_one_document(books: Books) -> None:
    """Else the first would count on, and nobody could take it back."""
    books.done(learn())
    assert isinstance(books.one(learn(document="18")), KeyReused)
    assert isinstance(books.one(learn(document="18", withdrawn=True)), KeyReused)
    assert [tuple(map(int, row)) for row in kept(books)] == [(17, 500, 0, 0)]


# What is read -----------------------------------------------------------------------------------------------------

LIKE = {"store": MOSCOW, "keys": (), "owner": "retail/till-1", "window_seconds": 60}


def redeem(card: str, amount: int = 500, likeness: str = "onec:write_off:x", **changes: Any) -> Redeem:
    return Redeem(**{**LIKE, "card": ref(card), "unit": POINTS, "amount": amount, "likeness": likeness, **changes})


def enrol(card: str) -> EnrolHolder:
    return EnrolHolder(store=MOSCOW, keys=(f"enrol:{card}",), product=PLAIN, names=(GUID, ref(card)))


def found(books: Books, **changes: Any) -> list[tuple[str, int]]:
    clock: Any = books.clock
    asked = Asked(MOSCOW, POINTS, "onec:", NOON - timedelta(days=1), clock.at + timedelta(days=1))
    report = reconciliation(books.database, books.core.work.directory, replace(asked, **changes))
    return [(row.verdict, row.booked.amount if row.booked else 0) for row in report.rows]


def test_only_what_the_stores_tills_booked_without_a_receipt_counts(books: Books, clock: StillClock) -> None:
    """Not what came under a key, by another protocol, in another store or unit, or what was undone since."""
    card = books.card(10_000)
    books.done(enrol(card))
    books.done(learn())
    books.done(redeem(card))
    books.done(redeem(card, 1, "other:write_off:x"))
    books.done(redeem(card, 2, keys=("k",), likeness=""))
    books.done(redeem(card, 3, "onec:write_off:y", store=URAL))
    books.done(redeem(card, 4, "onec:write_off:z"))
    (key,) = books.rows("SELECT key FROM request_key WHERE key LIKE '%write_off:z%'")
    books.done(VoidReceipt(store=MOSCOW, keys=key, reason="a test"))
    gift = books.card(product="gift")
    books.done(Accrue(store=MOSCOW, keys=("p",), card=ref(card), amount=Amount(POINTS, 5)))
    assert gift and found(books) == [(MATCHED, 500)]
    assert found(books, links=frozenset({"retail"})) == [(MATCHED, 500)]
    clock.forward(days=2)
    assert found(books, links=frozenset({"other"})) == [(NOT_BOOKED, 0)]
    assert found(books, unit=MONEY) == []
    assert found(books, since=NOON + timedelta(seconds=1)) == []


def test_wallets_that_went_together_are_one(books: Books, clock: StillClock) -> None:
    """What was booked before the merge is of the wallet that the card has now."""
    card, other = books.card(10_000), books.card(1)
    books.done(redeem(card))
    books.done(enrol(card))
    books.done(MergeHolders(store=MOSCOW, keys=("m",), source=ref(card), target=ref(other)))
    books.done(learn())
    assert found(books) == [(MATCHED, 500)]


def test_what_is_kept_no_more_is_not_told_as_amiss(books: Books, clock: StillClock) -> None:
    """A span is refused as soon as a receipt of it, or of the day before it, may be gone."""
    card = books.card(10_000)
    books.done(enrol(card))
    books.done(redeem(card))
    books.done(learn())
    clock.forward(days=93)
    assert prune_learned_receipts(books.database, 93) == 0
    assert found(books, since=NOON - DAY, until=NOW) == [(MATCHED, 500)], "it is still there"
    clock.forward(seconds=1)
    assert prune_learned_receipts(books.database, 93) == 1
    kept = clock.at - timedelta(days=93)
    with pytest.raises(BadMessage, match=(kept + DAY).isoformat().replace("+", r"\+")) as refused:
        found(books, since=kept + DAY - timedelta(seconds=1), until=NOW)
    assert refused.value.details == {"where": "since"}
    assert found(books, since=kept + DAY, until=NOW) == []


# Whose receipts they are when nobody may know any more ------------------------------------------------------------

OTHER = Ref("onec", "6f0c2a4e-0000-4000-8000-000000000002")


def cards_kept(books: Books) -> dict[str, tuple[Any, ...]]:
    sql = "SELECT document, card_scheme, card_value, wallet_id FROM learned_receipt"
    return {document: tuple(told) for document, *told in books.rows(sql)}


def person(books: Books, guid: Ref, phone: str) -> tuple[str, int, int]:
    """A card of somebody whom 1C knows by this GUID; wallet and holder."""
    card = books.card(10_000)
    enrolled = EnrolHolder(
        store=MOSCOW, keys=(f"enrol:{card}",), product=PLAIN, names=(guid, ref(card)), name="Anna", phone=phone
    )
    done = books.done(enrolled)
    return card, done.account, done.holder_id


def erase(card: str) -> EraseHolder:
    return EraseHolder(store=MOSCOW, keys=(f"erase:{card}",), card=ref(card), reason="asked")


def test_an_erased_holders_receipts_keep_the_wallet_alone_and_agree_as_before(books: Books) -> None:
    """Also those that come, or come again, afterwards; other people's stay as they are."""
    card, wallet, holder = person(books, GUID, "+79210000001")
    _, _, other_holder = person(books, OTHER, "+79210000002")
    books.done(redeem(card))
    books.done(learn())
    books.done(learn(document="18", keys=("18",), redeemed=0))
    books.done(learn(document="20", keys=("20",), card_ref=OTHER, redeemed=0))
    assert forget_holder(books.database, holder) == 0, "nobody was erased"
    books.done(erase(card))
    assert forget_holder(books.database, other_holder) == 0
    assert [forget_holder(books.database, holder, 1) for _ in range(3)] == [1, 1, 0]
    gone = (None, None, wallet)
    assert cards_kept(books) == {"17": gone, "18": gone, "20": (OTHER.scheme, OTHER.value, None)}
    assert found(books) == [(MATCHED, 500)]
    assert books.done(learn()).replayed
    books.done(learn(redeemed=700))
    books.done(learn(document="19", keys=("19",), redeemed=0))
    assert cards_kept(books) == {**dict.fromkeys(("17", "18", "19"), gone), "20": (OTHER.scheme, OTHER.value, None)}
    assert found(books) == [(DIFFERS, 500)]
    target = books.card(1)
    books.done(MergeHolders(store=MOSCOW, keys=("m",), source=ref(card), target=ref(target)))
    assert found(books) == [(DIFFERS, 500)], "its wallet is followed to where it went"


def test_a_card_that_gets_known_after_its_receipt_is_that_of_the_erased_too(books: Books) -> None:
    books.done(learn())
    card, wallet, holder = person(books, GUID, "+79210000001")
    books.core.execute([erase(card), learn(document="18", keys=("18",))])
    assert {value for _, value, _ in cards_kept(books).values()} == {GUID.value}
    assert forget_holder(books.database, holder) == 2
    assert set(cards_kept(books).values()) == {(None, None, wallet)}


@ON_SQLITE
def test_goods_are_told_of_the_first_receipts_alone(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WITH_LINES", 1)
    line = Line(number=1, goods="tea", sum_minor=1)
    for document, minute in (("16", 1), ("17", 0)):
        at = NOON + timedelta(minutes=minute)
        books.done(learn(document=document, keys=(document,), at=at, lines=(line,)))
    asked = Asked(MOSCOW, POINTS, "onec:", NOON, NOON + timedelta(hours=1))
    report = reconciliation(books.database, books.core.work.directory, asked)
    assert len(report.rows) == 2 and list(report.lines) == ["17"]


@ON_SQLITE
def test_a_span_has_its_bounds(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    for until in (NOON - timedelta(days=1), NOON + timedelta(days=92)):
        with pytest.raises(BadMessage):
            found(books, until=until)
    with pytest.raises(UnitNotFound):
        found(books, unit="GOLD")
    monkeypatch.setattr(module, "MAX_READ", 0)
    books.done(learn())
    with pytest.raises(TooLarge):
        found(books)
