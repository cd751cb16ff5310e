"""EnrolHolder: one command that finds, registers or changes a person, whatever is known of them; on both databases."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from processing.commands import BlockCard, EnrolHolder, EraseHolder, NameWallet, ReadHolder, Ref, RegisterHolder
from processing.errors import (
    BadMessage,
    CardNotFound,
    CardNumberTaken,
    CardStatusWrong,
    HolderNotFound,
    LoyaltyError,
    PhoneTaken,
    ProductNotFound,
)
from processing.holders import open_sought
from processing.results import HolderEnrolled, HolderTold, WalletNamed
from processing.verify import verify
from tests.processing.books import GIFT, MONEY, MOSCOW, PINNED, PLAIN, Books, ref
from tests.processing.reads import outcome, told

PHONE, OTHER = "+79210000001", "+79210000002"
TRACK, FOREIGN = Ref("track", "770100000017"), Ref("card", "770100000017")
RIVALS = 6


# What is the same on every database is tried on one.
ON_SQLITE = pytest.mark.parametrize("books", ["sqlite"], indirect=True)


def enrol(books: Books, **changes: Any) -> EnrolHolder:
    fields: dict[str, Any] = {"store": MOSCOW, "keys": (books.key("enrol"),), "product": PLAIN}
    return EnrolHolder(**fields | changes)


def done(books: Books, **changes: Any) -> HolderEnrolled:
    return books.done(enrol(books, **changes))


def refused(books: Books, error: type[LoyaltyError], **changes: Any) -> None:
    """It is refused so and leaves nothing behind."""
    before = (books.written(), books.count("holder"), books.count("identifier"), books.count("contact"))
    assert isinstance(books.one(enrol(books, **changes)), error)
    assert (books.written(), books.count("holder"), books.count("identifier"), books.count("contact")) == before


def wallet(books: Books, *refs: Ref) -> WalletNamed:
    return told(books, NameWallet(store=MOSCOW, refs=refs))


def person(books: Books, *refs: Ref) -> HolderTold:
    return told(books, ReadHolder(refs=refs))


def test_a_new_phone_is_a_new_holder_with_a_card_and_comes_once(books: Books) -> None:
    command = enrol(books, phone="8 921 000-00-01", name="Анна", details={"surname": "Петрова"})
    first = books.done(command)
    assert (first.outcome, bool(first.number)) == ("registered", True)
    again = books.done(command)
    assert again.replayed and again.holder_id == first.holder_id
    found = person(books, Ref("phone", PHONE))
    assert (found.name, found.phone, found.details) == ("Анна", PHONE, {"surname": "Петрова"})
    assert [card.number for card in found.cards] == [first.number]
    books.check_laws()


def test_a_known_phone_changes_what_is_known_and_leaves_the_rest(books: Books) -> None:
    first = done(books, phone=PHONE, name="Anna", email="a@example.org", details={"sex": "2", "surname": "P"})
    second = done(books, phone=PHONE, name="Anna Maria", details={"surname": "", "note": "vip"})
    assert (second.outcome, second.holder_id, second.account, second.number) == (
        "updated",
        first.holder_id,
        first.account,
        "",
    )
    found = person(books, Ref("phone", PHONE))
    assert (found.name, found.email, found.details) == ("Anna Maria", "a@example.org", {"sex": "2", "note": "vip"})
    assert done(books, phone=PHONE, email="").outcome == "updated"
    assert person(books, Ref("phone", PHONE)).email == ""


def test_a_bearers_card_becomes_somebodys(books: Books) -> None:
    card = books.card(5_000)
    enrolled = done(books, names=(ref(card),), phone=PHONE, name="Anna")
    assert (enrolled.outcome, enrolled.number) == ("registered", "")
    assert person(books, ref(card)).phone == PHONE
    assert books.balance(card) == 5_000


def test_names_go_to_one_new_card_whatever_its_number_and_more_of_them_join_it(books: Books) -> None:
    enrolled = done(books, phone=PHONE, names=(TRACK, FOREIGN))
    # The number is not one of ours, so that the card has one of its own, and this name too.
    assert enrolled.number != FOREIGN.value
    assert wallet(books, TRACK).account == wallet(books, FOREIGN).account == enrolled.account
    assert done(books, known=TRACK, names=(FOREIGN, Ref("barcode", "46"))).outcome == "nothing"
    (card,) = wallet(books, Ref("barcode", "46")).cards
    assert {(name.scheme, name.value) for name in card.names} >= {("track", TRACK.value), ("barcode", "46")}
    assert [check for check in verify(books.database) if check.rows] == []


@ON_SQLITE
def test_a_second_card_is_another_one_of_the_same_wallet(books: Books) -> None:
    first = done(books, phone=PHONE)
    second = done(books, known=Ref("phone", PHONE), names=(TRACK,))
    assert second.account == first.account and second.number not in ("", first.number)


def test_whoever_is_known_must_be_there_and_is_found_by_their_uuid(books: Books) -> None:
    first = done(books, phone=PHONE)
    uuid = wallet(books, Ref("phone", PHONE)).uuid
    assert done(books, known=Ref("uuid", uuid), name="Anna").holder_id == first.holder_id
    assert done(books, known=Ref("uuid", uuid.upper()), name="Anna").holder_id == first.holder_id
    for nobody in ("", "no uuid", uuid[:-1] + ("0" if uuid[-1] != "0" else "1"), "٣" * 32):
        refused(books, CardNotFound, known=Ref("uuid", nobody), name="Anna")


@ON_SQLITE
def test_uuids_are_different_and_for_ever(books: Books) -> None:
    cards = [books.card() for _ in range(8)]
    uuids = [wallet(books, ref(card)).uuid for card in cards]
    assert len(set(uuids)) == 8
    assert uuids == [wallet(books, ref(card)).uuid for card in cards]
    assert {uuid[14] for uuid in uuids} == {"8"}


@ON_SQLITE
def test_phones_and_cards_of_others_are_refused(books: Books) -> None:
    card = books.card()
    done(books, phone=PHONE)
    done(books, phone=OTHER)
    refused(books, PhoneTaken, known=Ref("phone", PHONE), phone=OTHER)
    refused(books, CardNumberTaken, known=Ref("phone", PHONE), names=(ref(card),))
    refused(books, CardNumberTaken, phone=PHONE, names=(ref(card),))


@ON_SQLITE
def test_what_makes_no_sense_is_refused(books: Books) -> None:
    refused(books, BadMessage, name="Nobody")
    refused(books, BadMessage, phone="12")
    refused(books, BadMessage, phone=PHONE, names=(Ref("phone", OTHER),))
    refused(books, BadMessage, phone=PHONE, details={"note": "x" * 5_000})
    refused(books, BadMessage, phone=PHONE, details={f"note {n}": "x" * 3_000 for n in range(8)})
    refused(books, ProductNotFound, phone=PHONE, product="none")
    refused(books, ProductNotFound, phone=PHONE, product=GIFT)


@ON_SQLITE
def test_a_blocked_card_stays_blocked_and_brings_no_other(books: Books) -> None:
    card = done(books, phone=PHONE).number
    books.done(BlockCard(store=MOSCOW, keys=("b",), card=ref(card), reason="lost"))
    assert done(books, phone=PHONE, name="Anna").number == ""
    (only,) = wallet(books, Ref("phone", PHONE)).cards
    assert only.status == "blocked"


def test_a_dropped_card_is_closed_and_the_last_one_of_a_holder_with_a_phone_is_replaced(books: Books) -> None:
    done(books, phone=PHONE, names=(TRACK,))
    done(books, known=Ref("phone", PHONE), names=(Ref("track", "2"),))
    assert done(books, known=Ref("phone", PHONE), drop=(TRACK,)).number == ""
    last = done(books, known=Ref("phone", PHONE), drop=(Ref("track", "2"),))
    newest = wallet(books, Ref("phone", PHONE)).cards[0]
    assert (newest.number, newest.status) == (last.number, "active")
    refused(books, CardNotFound, known=Ref("phone", PHONE), drop=(TRACK,))
    # It comes back when it is given again, and to nobody else.
    refused(books, CardNumberTaken, phone=OTHER, names=(TRACK,))
    assert done(books, known=Ref("phone", PHONE), names=(TRACK,)).number == ""
    back = [card for card in wallet(books, TRACK).cards if "track" in {name.scheme for name in card.names}]
    assert "active" in {card.status for card in back}
    assert [check for check in verify(books.database) if check.rows] == []


def test_a_card_that_is_not_theirs_or_the_only_one_of_somebody_without_a_phone_is_not_dropped(books: Books) -> None:
    done(books, phone=PHONE)
    done(books, names=(TRACK,), name="Anonymous")
    refused(books, CardNotFound, known=Ref("phone", PHONE), drop=(TRACK,))
    refused(books, HolderNotFound, known=TRACK, drop=(TRACK,))
    gift = books.card(product=GIFT)
    refused(books, CardStatusWrong, known=ref(gift), drop=(ref(gift),))


@ON_SQLITE
def test_a_card_of_value_is_not_taken_by_its_number_nor_paid_with_beside_its_pin(books: Books) -> None:
    """Whoever knows a gift card's number could else add a card of their own to its wallet, and pay without its PIN."""
    gift = books.card(50_000, MONEY, PINNED)
    uuid = wallet(books, ref(gift)).uuid
    refused(books, CardNumberTaken, phone=PHONE, names=(ref(gift),))
    refused(books, CardNumberTaken, known=Ref("uuid", uuid), names=(ref(gift), TRACK))
    refused(books, CardStatusWrong, known=Ref("uuid", uuid), names=(TRACK,))


@ON_SQLITE
def test_nobody_is_registered_without_anything_to_tell(books: Books) -> None:
    enrolled = done(books, names=(TRACK,))
    assert (enrolled.outcome, enrolled.holder_id) == ("nothing", 0)
    assert isinstance(outcome(books, ReadHolder(refs=(TRACK,))), HolderNotFound)


def test_an_erased_holder_is_not_changed(books: Books) -> None:
    card = done(books, phone=PHONE, details={"surname": "P"}).number
    uuid = wallet(books, ref(card)).uuid
    erased = books.done(EraseHolder(store=MOSCOW, keys=("e",), card=ref(card), reason="at their wish"))
    # The exchange log forgets also what was said of them by their UUID alone.
    ((sought,),) = books.rows("SELECT sought FROM erasure")
    assert open_sought(books.core.work.vault, erased.holder_id, sought) == ["", PHONE, uuid]
    refused(books, HolderNotFound, known=ref(card), name="Anna")
    # The phone is free again.
    assert done(books, phone=PHONE).outcome == "registered"


def test_two_of_one_phone_in_one_batch_are_one_holder(books: Books) -> None:
    outcomes = books.core.execute([enrol(books, phone=PHONE, name="A"), enrol(books, phone=PHONE, name="B")])
    assert [each.outcome for each in outcomes if isinstance(each, HolderEnrolled)] == ["registered", "updated"]
    assert person(books, Ref("phone", PHONE)).name == "B"


@ON_SQLITE
def test_a_registration_from_elsewhere_is_found(books: Books) -> None:
    card = books.card()
    books.done(RegisterHolder(store=MOSCOW, keys=("r",), card=ref(card), name="Anna Petrova", phone=PHONE))
    assert done(books, phone=PHONE, details={"surname": "P"}).outcome == "updated"
    assert person(books, ref(card)).name == "Anna Petrova"


@pytest.mark.parametrize("field", ["phone", "names"])
def test_rivals_enrol_one_person(postgresql: Books, field: str) -> None:
    """Several at once, with one phone or one card that nobody had: all are answered with the same wallet."""
    postgresql.run_live()
    told_as: dict[str, Any] = {"phone": {"phone": PHONE}, "names": {"names": (TRACK,), "name": "A"}}[field]
    found: list[Any] = []
    cores = [Books.of(postgresql.database, None).core for _ in range(RIVALS)]
    commands = [enrol(postgresql, **told_as) for _ in range(RIVALS)]
    threads = [
        threading.Thread(target=lambda c=core, m=command: found.extend(c.execute([m])))  # type: ignore[misc]
        for core, command in zip(cores, commands, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {type(each) for each in found} == {HolderEnrolled}, found
    assert len({each.account for each in found}) == 1
    postgresql.check_laws()
