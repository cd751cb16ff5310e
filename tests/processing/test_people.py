"""People behind wallets: what is known of them, what they agreed to, how they are found, merged and forgotten."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from processing import chores, merging
from processing.commands import (
    Accrue,
    Amount,
    CheckCode,
    EraseHolder,
    FindCards,
    GiveConsent,
    Identify,
    MergeHolders,
    PlaceHold,
    ReadHolder,
    Ref,
    RegisterHolder,
    ReleaseHold,
    ReplaceCard,
    SendCode,
    UpdateHolder,
    WithdrawConsent,
)
from processing.errors import (
    Busy,
    CardClosed,
    CardNotFound,
    CardNumberTaken,
    CodeExpired,
    HolderExists,
    HolderNotFound,
    LoyaltyError,
    PhoneTaken,
    SameWallet,
    TooManyCodes,
    WalletMerging,
    WrongCode,
)
from processing.execute import Core
from processing.results import CardsFound, HoldersMerged, HolderTold, Identified
from processing.state import State
from tests.processing.books import (
    MONEY,
    MOSCOW,
    POINTS,
    SLOW,
    Books,
    StillClock,
    adjust,
    again,
    post,
    ref,
    top_up,
    use,
    void,
)

PHONE = "+7 912 345-67-89"


def register(books: Books, card: str, **changes: Any) -> int:
    fields: dict[str, Any] = {"name": "Анна Смирнова-Ёлкина", "phone": PHONE, "email": "Anna@Example.org"}
    fields |= {"birthday": date(1990, 2, 3), "store": MOSCOW, "keys": (books.key("form"),), "card": ref(card)}
    return books.done(RegisterHolder(**fields | changes)).holder_id


def holder(books: Books, card: str) -> Any:
    (outcome,) = books.core.answer([ReadHolder(refs=(ref(card),))])
    return outcome


def found(books: Books, text: str) -> list[str]:
    (outcome,) = books.core.answer([FindCards(store=MOSCOW, text=text)])
    assert isinstance(outcome, CardsFound), outcome
    return [card.number for card in outcome.cards]


# Registering and changing ------------------------------------------------------------------------------------


def test_bearer_card_becomes_personal_and_nothing_moves(books: Books) -> None:
    card = books.card(500)
    before = books.written()
    register(books, card, product=SLOW)
    assert books.written() == before
    (face,) = books.core.answer([Identify(store=MOSCOW, refs=(ref(card),))])
    assert isinstance(face, Identified)
    assert (face.product, face.holder_name) == (SLOW, "Анна Смирнова-Ёлкина")


def test_holder_is_found_by_phone_mail_and_parts_of_the_name(books: Books) -> None:
    card = books.card()
    register(books, card)
    for text in ("89123456789", "anna@example.org", "анна", "СМИРНОВА", "елк", "смир ан".replace(" ан", " анн")):
        assert found(books, text) == [card], text
    for text in ("петр", "89123456780", "nobody@example.org", "смирнов петр"):
        assert found(books, text) == [], text


def test_commands_reach_a_card_by_its_holders_phone(books: Books) -> None:
    card = books.card()
    register(books, card)
    earn: dict[str, Any] = {"store": MOSCOW, "amount": Amount(POINTS, 100)}
    books.done(Accrue(keys=("a",), card=Ref("phone", "8 (912) 345 67 89"), **earn))
    assert books.balance(card) == 100
    assert isinstance(books.one(Accrue(keys=("b",), card=Ref("phone", "+79990000000"), **earn)), CardNotFound)


def test_update_changes_what_is_told_and_leaves_the_rest(books: Books) -> None:
    card, other = books.card(), books.card()
    register(books, card)
    change = {"store": MOSCOW, "card": ref(card)}
    first = UpdateHolder(keys=("u1",), name="Анна Петрова", phone="+79990000001", **change)  # type: ignore[arg-type]
    done = books.done(first)
    assert books.one(first) == again(done)
    told = holder(books, card)
    assert (told.name, told.phone, told.email) == ("Анна Петрова", "+79990000001", "anna@example.org")
    assert told.birthday == date(1990, 2, 3)
    assert (found(books, "смирнова"), found(books, PHONE), found(books, "петрова")) == ([], [], [card])
    register(books, other, phone=PHONE, email="")
    taken = UpdateHolder(keys=("u2",), phone=PHONE, **change)  # type: ignore[arg-type]
    assert isinstance(books.one(taken), PhoneTaken)
    books.done(UpdateHolder(keys=("u3",), email="", **change))  # type: ignore[arg-type]
    assert holder(books, card).email == ""
    assert isinstance(books.one(UpdateHolder(store=MOSCOW, keys=("u4",), card=ref(books.card()))), HolderNotFound)


def test_name_and_phone_may_be_given_up_and_taken_in_one_batch(books: Books) -> None:
    card, other = books.card(), books.card()
    register(books, card)
    fields: dict[str, Any] = {"store": MOSCOW}
    outcomes = books.core.execute(
        [
            UpdateHolder(keys=("a",), card=ref(card), phone="", **fields),
            RegisterHolder(keys=("b",), card=ref(other), name="Пётр", phone=PHONE, **fields),
        ]
    )
    assert not [outcome for outcome in outcomes if isinstance(outcome, LoyaltyError)]
    assert found(books, PHONE) == [other]


def test_erased_holder_is_gone_and_the_sums_stay(books: Books) -> None:
    card = books.card(700)
    register(books, card)
    books.done(EraseHolder(store=MOSCOW, keys=("e",), card=ref(card), reason="asked by letter"))
    assert isinstance(holder(books, card), HolderNotFound)
    assert (found(books, PHONE), found(books, "смирнова"), books.balance(card)) == ([], [], 700)
    assert (books.count("person"), books.count("contact"), books.count("name_part")) == (0, 0, 0)
    assert isinstance(books.one(EraseHolder(store=MOSCOW, keys=("e2",), card=ref(card), reason="")), HolderNotFound)
    other = books.card()
    register(books, other)
    assert found(books, PHONE) == [other]
    fields: dict[str, Any] = {"store": MOSCOW, "keys": ("f",), "card": ref(card), "name": "B"}
    assert isinstance(books.one(RegisterHolder(**fields)), HolderExists)


def test_consents_are_records_that_are_only_added_to(books: Books) -> None:
    card = books.card()
    holder_id = register(books, card)
    fields: dict[str, Any] = {"store": MOSCOW, "card": ref(card), "purpose": "marketing"}
    books.done(GiveConsent(keys=("c1",), document="offer-3", channel="till", actor="anna", **fields))
    books.done(WithdrawConsent(keys=("c2",), channel="cabinet", **fields))
    books.done(GiveConsent(keys=("c3",), document="offer-4", **fields))
    told = holder(books, card)
    assert isinstance(told, HolderTold)
    assert [(consent.given, consent.document) for consent in told.consents] == [
        (True, "offer-4"),
        (False, ""),
        (True, "offer-3"),
    ]
    assert told.holder_id == holder_id
    assert isinstance(books.one(GiveConsent(keys=("c4",), document="x" * 65, **fields)), LoyaltyError)
    bare: dict[str, Any] = {**fields, "card": ref(books.card())}
    assert isinstance(books.one(GiveConsent(keys=("c5",), document="x", **bare)), HolderNotFound)


# Codes -------------------------------------------------------------------------------------------------------


def send(key: str, card: str, code: str = "123456", purpose: str = "redeem") -> SendCode:
    return SendCode(store=MOSCOW, keys=(key,), card=ref(card), purpose=purpose, code=code)


def check(key: str, card: str, code: str = "123456", purpose: str = "redeem") -> CheckCode:
    return CheckCode(store=MOSCOW, keys=(key,), card=ref(card), purpose=purpose, code=code)


def test_code_works_once_for_its_purpose(books: Books) -> None:
    card = books.card()
    register(books, card)
    sent = books.done(send("s", card))
    assert sent.phone == "***6789"
    assert isinstance(books.one(check("x", card, purpose="erase")), CodeExpired)
    checked = books.done(check("c", card))
    assert books.one(check("c", card)) == again(checked)
    assert isinstance(books.one(check("c2", card)), CodeExpired)
    assert "123456" not in str(books.rows("SELECT code, phone_index FROM confirmation_code"))


def test_code_ends_after_five_minutes_three_tries_or_the_next_one(books: Books, clock: StillClock) -> None:
    card = books.card()
    register(books, card)
    books.done(send("s", card))
    for n in range(3):
        wrong = books.one(check(f"w{n}", card, "000000"))
        assert isinstance(wrong, WrongCode)
        assert wrong.details["left"] == 2 - n
    assert isinstance(books.one(check("late", card)), CodeExpired)
    books.done(send("s2", card, "222222"))
    books.done(send("s3", card, "333333"))
    assert isinstance(books.one(check("old", card, "222222")), WrongCode)
    clock.forward(minutes=5)
    assert isinstance(books.one(check("c", card, "333333")), CodeExpired)


def test_phone_gets_three_codes_an_hour_and_ten_a_day(books: Books, clock: StillClock) -> None:
    card = books.card()
    register(books, card)
    sent = 0
    for n in range(40):
        outcome = books.one(send(f"s{n}", card))
        if isinstance(outcome, TooManyCodes):
            assert 0 < int(outcome.details["retry_seconds"]) <= 86_400
        else:
            sent += 1
        clock.forward(minutes=30)
    assert sent == 10
    assert isinstance(books.one(send("nobody", books.card())), HolderNotFound)
    assert isinstance(books.one(send("bad", card, "12345")), LoyaltyError)


@pytest.mark.parametrize("is_together", [True, False], ids=["one batch", "two batches"])
def test_codes_of_an_erased_holder_go_with_them(books: Books, is_together: bool) -> None:
    card, other = books.card(), books.card()
    register(books, card)
    register(books, other, phone="+79990000001", email="")
    books.done(send("o", other))
    erase = EraseHolder(store=MOSCOW, keys=("e",), card=ref(card), reason="asked")
    if is_together:
        outcomes = books.core.execute([send("s", card), erase])
    else:
        outcomes = [books.one(send("s", card)), books.one(erase)]
    assert not any(isinstance(outcome, LoyaltyError) for outcome in outcomes)
    assert books.count("confirmation_code") == 1
    books.done(check("c", other))


# Replacing and merging ---------------------------------------------------------------------------------------


def test_replaced_card_hands_its_wallet_and_outside_names_on(books: Books) -> None:
    card = books.card(300, identifiers=(Ref("onec", "guid-1"), Ref("barcode", "4600")))
    replace = ReplaceCard(store=MOSCOW, keys=("r",), card=ref(card), reason="lost")
    done = books.done(replace)
    assert books.one(replace) == again(done)
    assert books.balance(done.number) == 300
    assert isinstance(books.one(post("s", use(card, 1))), CardClosed)
    faces = books.core.answer(
        [Identify(store=MOSCOW, refs=(found,)) for found in (Ref("onec", "guid-1"), Ref("barcode", "4600"))]
    )
    assert [face.number for face in faces] == [done.number, card]  # type: ignore[union-attr]
    assert isinstance(books.one(ReplaceCard(store=MOSCOW, keys=("r2",), card=ref(card))), LoyaltyError)
    taken = ReplaceCard(store=MOSCOW, keys=("r3",), card=ref(done.number), number=done.number)
    assert isinstance(books.one(taken), CardNumberTaken)


def merge(key: str, source: str, target: str, **changes: Any) -> MergeHolders:
    fields: dict[str, Any] = {"store": MOSCOW, "keys": (key,), "source": ref(source), "target": ref(target)}
    return MergeHolders(**fields | changes)


def test_merged_wallets_are_one_by_every_name(books: Books) -> None:
    source, target = books.card(300), books.card(200)
    books.done(top_up("t", source, 5_000))
    register(books, source)
    register(books, target, name="Анна Петрова", phone="+79990000001", email="")
    done = books.done(merge("m", source, target))
    assert (done.outcome, books.one(merge("m", source, target))) == ("merged", again(done))
    for card in (source, target):
        assert (books.balance(card), books.balance(card, MONEY)) == (500, 5_000)
        assert holder(books, card).name == "Анна Петрова"
    assert found(books, PHONE) == found(books, "+79990000001")
    assert set(found(books, PHONE)) == {source, target}
    assert isinstance(books.one(merge("m2", source, target)), SameWallet)
    assert isinstance(books.one(post("s", use(source, 501, earn=0))), LoyaltyError)
    books.done(post("s", use(source, 400, earn=0)))
    assert books.balance(target) == 100
    books.check_laws()


def test_past_of_a_merged_wallet_is_undone_where_it_lives_today(books: Books) -> None:
    source, target = books.card(1_000), books.card()
    books.done(post("s", use(source, 600, earn=50)))
    books.done(post("t", use(source, earn=70)))
    books.done(merge("m", source, target))
    third = books.card()
    books.done(merge("m2", target, third))
    books.done(void("s"))
    assert (books.balance(third), books.balance(source)) == (1_070, 1_070)
    books.done(void("t"))
    assert books.balance(third) == 1_000
    books.check_laws()


def test_merges_of_one_batch_lead_to_the_last_wallet(books: Books) -> None:
    first, second, third = books.card(), books.card(), books.card()
    books.done(post("k", use(first, earn=550)))
    books.done(merge("m", first, second))
    books.core.execute([merge("m2", second, third), void("k")])
    assert {books.balance(card) for card in (first, second, third)} == {0}
    books.check_laws()


def test_merge_waits_for_open_holds_and_takes_no_new_ones(books: Books, clock: StillClock) -> None:
    source, target = books.card(300), books.card(200)
    hold: dict[str, Any] = {"store": MOSCOW, "card": ref(source), "unit": POINTS, "amount": 100, "seconds": 600}
    books.done(PlaceHold(keys=("h",), **hold))
    done = books.done(merge("m", source, target))
    assert (done.outcome, done.holds, books.balance(target)) == ("waiting", 1, 200)
    assert isinstance(books.one(PlaceHold(keys=("h2",), **hold)), WalletMerging)
    assert isinstance(books.one(merge("m2", target, source)), WalletMerging)
    assert chores.finish_merges(books.core) == 0
    books.done(post("still", use(source, 50, earn=0)))
    clock.forward(minutes=10)
    assert chores.finish_merges(books.core) == 1
    assert chores.finish_merges(books.core) == 0
    assert (books.balance(target), books.balance(source)) == (450, 450)
    books.done(PlaceHold(keys=("h3",), **hold))
    books.check_laws()


def test_hold_that_ends_early_lets_the_merge_go_on(books: Books) -> None:
    source, target = books.card(300), books.card(200)
    books.done(PlaceHold(store=MOSCOW, keys=("h",), card=ref(source), unit=POINTS))
    books.done(merge("m", source, target))
    books.done(ReleaseHold(store=MOSCOW, keys=("r",), hold="h"))
    assert chores.finish_merges(books.core) == 1
    assert books.balance(source) == 500


def test_target_that_was_merged_meanwhile_is_followed(books: Books) -> None:
    source, target, third = books.card(300), books.card(200), books.card(100)
    books.done(PlaceHold(store=MOSCOW, keys=("h",), card=ref(source), unit=POINTS))
    books.done(merge("m", source, target))
    books.done(merge("m2", target, third))
    books.done(ReleaseHold(store=MOSCOW, keys=("r",), hold="h"))
    assert chores.finish_merges(books.core) == 1
    assert {books.balance(card) for card in (source, target, third)} == {600}
    books.check_laws()


@pytest.mark.parametrize("owes", ["source", "target"])
def test_debts_are_merged_as_well(books: Books, owes: str) -> None:
    source, target = books.card(), books.card()
    books.done(adjust("owes", source if owes == "source" else target, -100, allow_debt=True))
    books.done(adjust("has", target if owes == "source" else source, 300))
    books.done(merge("m", source, target))
    balance = books.balances(target)[POINTS]
    assert (balance.balance, balance.available) == (200, 200)
    assert [row[2] for row in books.lots(target)] == [200], "the debt is repaid"
    books.check_laws()


@pytest.mark.parametrize("is_booked", [True, False], ids=["worker ran", "worker did not run"])
@pytest.mark.parametrize("owes", ["source", "target"])
def test_points_past_their_time_repay_nothing_in_a_merge(
    books: Books, clock: StillClock, owes: str, is_booked: bool
) -> None:
    source, target = books.card(), books.card()
    books.done(adjust("owes", source if owes == "source" else target, -500, allow_debt=True))
    books.done(adjust("had", target if owes == "source" else source, 1_000, expires_days=1))
    clock.forward(days=5)
    if is_booked:
        assert chores.expire_lots(books.core) == 1
    books.done(merge("m", source, target))
    assert books.balances(target)[POINTS].available == -500
    chores.expire_lots(books.core)
    assert books.balances(target)[POINTS].available == books.balance(target) == -500
    books.check_laws()


def test_waiting_merge_is_called_off_where_it_would_lose_a_living_person(books: Books) -> None:
    source, target = books.card(300), books.card()
    register(books, source)
    register(books, target, phone="+79990000001", email="")
    hold: dict[str, Any] = {"store": MOSCOW, "card": ref(source), "unit": POINTS, "amount": 100}
    books.done(PlaceHold(keys=("h",), **hold))
    books.done(merge("m", source, target))
    books.done(EraseHolder(store=MOSCOW, keys=("e",), card=ref(target), reason="asked"))
    books.done(ReleaseHold(store=MOSCOW, keys=("r",), hold="h"))
    assert chores.finish_merges(books.core) == 1
    assert chores.finish_merges(books.core) == 0
    assert (holder(books, source).phone, found(books, PHONE)) == ("+79123456789", [source])
    assert (books.balance(source), books.balance(target)) == (300, 0)
    assert isinstance(books.one(merge("m", source, target)), HoldersMerged), "the key tells what was said"
    assert isinstance(books.one(merge("m2", source, target)), HolderExists)
    books.done(PlaceHold(keys=("h2",), **hold))
    assert [row[0] for row in books.rows("SELECT action FROM audit WHERE action LIKE 'merge%'")] == ["merge_called_off"]
    books.done(merge("m3", target, source))
    books.check_laws()


def test_merge_of_more_lots_than_a_batch_may_open_is_finished_by_a_worker(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = books.card(), books.card()
    for days in range(1, 13):
        books.done(adjust(books.key(), source, 10, expires_days=days))
    monkeypatch.setattr("processing.merging.MOVED_LOTS", 11)
    monkeypatch.setattr("processing.ids.BLOCK", 10)
    done = books.done(merge("m", source, target))
    assert (done.outcome, done.holds, books.balance(target)) == ("waiting", 0, 0)
    fresh = Core(books.database, books.core.work.directory, books.core.work.vault)
    assert chores.finish_merges(fresh) == 1
    assert (books.balance(target), len(books.lots(target))) == (120, 12)
    books.check_laws()


def test_merge_that_fails_does_not_stop_those_behind_it(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(books.card(100), books.card()) for _ in range(3)]
    for n, (source, target) in enumerate(pairs):
        books.done(PlaceHold(store=MOSCOW, keys=(f"h{n}",), card=ref(source), unit=POINTS))
        books.done(merge(f"m{n}", source, target))
        books.done(ReleaseHold(store=MOSCOW, keys=(f"r{n}",), hold=f"h{n}"))
    finish, first = merging.finish, min(books.rows("SELECT id FROM wallet WHERE merging_into IS NOT NULL"))[0]

    def failing(state: State, source: int, target: int) -> None:
        finish(state, source, target)
        if source == first:
            raise Busy("too large")

    monkeypatch.setattr(merging, "finish", failing)
    assert chores.finish_merges(books.core) == 2
    assert [books.balance(target) for _, target in pairs] == [0, 100, 100]
    with pytest.raises(Busy):
        chores.finish_merges(books.core)
    monkeypatch.setattr(merging, "finish", finish)
    assert chores.finish_merges(books.core) == 1
    books.check_laws()
