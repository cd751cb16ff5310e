"""Finding cards by what was typed or scanned, and the person behind a card."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from processing import finding
from processing.commands import (
    EraseHolder,
    FindCards,
    GiveConsent,
    IssueToken,
    ReadHolder,
    Ref,
    RegisterHolder,
    UpdateHolder,
    WithdrawConsent,
)
from processing.errors import BadMessage, CardNotFound, ForeignStore, HolderNotFound
from processing.results import CardsFound
from tests.processing.books import ALMATY, MOSCOW, NOON, Books
from tests.processing.reads import clock_of, merge, named, outcome, told


def find(books: Books, text: str, **changes: Any) -> CardsFound:
    return told(books, FindCards(**{"store": MOSCOW, "text": text} | changes))


def numbers(found: CardsFound) -> list[str]:
    return [card.number for card in found.cards]


def holder(books: Books, name: str, card: str = "", **contacts: Any) -> tuple[str, int]:
    """A card and its holder of this name."""
    card = card or books.card()
    command = RegisterHolder(store=MOSCOW, keys=(books.key("holder"),), card=Ref("card", card), name=name, **contacts)
    return card, books.done(command).holder_id


def erase(books: Books, card: str) -> None:
    books.done(EraseHolder(store=MOSCOW, keys=(books.key("erase"),), card=Ref("card", card), reason="asked"))


# Numbers and contacts -------------------------------------------------------------------------------------------


def test_a_card_is_found_by_everything_that_is_printed_on_it(books: Books) -> None:
    card = books.card(identifiers=(Ref("barcode", "2100000012345"), Ref("track", ";7771=99?")))
    spaced = " ".join(card[i : i + 4] for i in range(0, len(card), 4))
    for text in (card, f"  {card}\n", "00" + card, spaced, spaced.replace(" ", "-"), "2100000012345", ";7771=99?"):
        assert numbers(find(books, text)) == [card], text


def test_a_number_is_another_cards_number_and_a_phone_at_once(books: Books) -> None:
    by_phone, _ = holder(books, "Анна", phone="+7 912 345-67-89")
    other = books.card(identifiers=(Ref("onec", "89123456789"),))
    assert set(numbers(find(books, "89123456789"))) == {by_phone, other}
    assert numbers(find(books, "+7 (912) 345-67-89")) == [by_phone]


def test_a_card_is_found_by_its_holders_e_mail_in_any_case(books: Books) -> None:
    card, _ = holder(books, "Анна", email="anna@example.com")
    assert numbers(find(books, " Anna@Example.COM ")) == [card]
    assert numbers(find(books, "anna@example.org")) == []
    assert numbers(find(books, "@")) == []


def test_a_token_is_found_until_it_ends(books: Books) -> None:
    card = books.card()
    token = told(books, IssueToken(refs=named(card), seconds=30)).token
    assert numbers(find(books, token.lower())) == [card]
    clock_of(books).at = NOON + timedelta(seconds=32)
    assert numbers(find(books, token)) == []


@pytest.mark.parametrize("text", ["", " ", "404", "ан", "+7", "a\0b1", "half \ud83d", "%", "_" * 255, "٣٤٥"])
def test_what_leads_nowhere_finds_nothing(books: Books, text: str) -> None:
    holder(books, "Анна")
    assert find(books, text).cards == ()


# Names ------------------------------------------------------------------------------------------------------------


def test_a_part_of_a_name_finds_its_holders(books: Books) -> None:
    anna, _ = holder(books, "Анна Ахматова")
    other, _ = holder(books, "Иоанна Петрова")
    maria, _ = holder(books, "Мария Анненкова")
    assert set(numbers(find(books, "анн"))) == {anna, maria}
    assert numbers(find(books, "иоа")) == [other]


def test_all_the_words_must_be_one_holders(books: Books) -> None:
    both, _ = holder(books, "Иван Петров")
    holder(books, "Иван Сидоров")
    holder(books, "Пётр Петров")
    assert numbers(find(books, "петр иван")) == [both]
    assert numbers(find(books, "Иван Петров Сидоров")) == []
    assert numbers(find(books, "иван и петров")) == [both]


def test_found_cards_tell_their_holder(books: Books) -> None:
    card, holder_id = holder(books, "Анна Ким")
    (found,) = find(books, "ким").cards
    assert (found.number, found.holder_id, found.holder_name, found.usable) == (card, holder_id, "Анна Ким", "")
    bearer = books.card()
    (found,) = find(books, bearer).cards
    assert (found.holder_id, found.holder_name) == (0, "")


def test_an_erased_holder_is_not_found_by_name(books: Books) -> None:
    card, _ = holder(books, "Анна Ким", email="anna@example.com")
    erase(books, card)
    assert numbers(find(books, "ким")) == []
    assert numbers(find(books, "anna@example.com")) == []
    assert [(each.number, each.holder_name) for each in find(books, card).cards] == [(card, "")]


def test_a_changed_name_is_found_and_the_old_one_is_not(books: Books) -> None:
    card, _ = holder(books, "Анна Ким")
    books.done(UpdateHolder(store=MOSCOW, keys=("wed",), card=Ref("card", card), name="Анна Цой"))
    assert (numbers(find(books, "цой")), numbers(find(books, "ким"))) == ([card], [])


def test_a_merged_holders_name_leads_to_the_wallet_that_counts(books: Books) -> None:
    source, _ = holder(books, "Анна Ким")
    target = books.card()
    merge(books, source, target)
    assert set(numbers(find(books, "ким"))) == {source, target}


def test_of_two_merged_holders_the_one_who_stays_is_found(books: Books) -> None:
    source, _ = holder(books, "Анна Ким", email="anna@example.com")
    target, _ = holder(books, "Анна Цой")
    merge(books, source, target)
    assert numbers(find(books, "ким")) == []
    for text in ("цой", "anna@example.com"):
        found = find(books, text).cards
        assert {card.number for card in found} == {source, target}
        assert {card.holder_name for card in found} == {"Анна Цой"}


# Lists ------------------------------------------------------------------------------------------------------------


def test_usable_cards_come_first_and_newer_ones_before_older(books: Books) -> None:
    first, _ = holder(books, "Анна Ким")
    cards = [first]
    for _ in range(4):
        clock_of(books).forward(minutes=1)
        cards.append(books.card(wallet_of=Ref("card", first)))
    books.set_status(cards[4], "blocked")
    books.set_status(cards[1], "replaced")
    assert numbers(find(books, "ким")) == [cards[3], cards[2], cards[0], cards[4], cards[1]]
    assert [card.usable for card in find(books, "ким").cards] == ["", "", "", "card_blocked", "card_closed"]


def test_a_list_is_cut_and_says_so(books: Books) -> None:
    first, _ = holder(books, "Анна Ким")
    for _ in range(2):
        books.card(wallet_of=Ref("card", first))
    assert (len(find(books, "ким", limit=2).cards), find(books, "ким", limit=2).more) == (2, True)
    assert (len(find(books, "ким", limit=3).cards), find(books, "ким", limit=3).more) == (3, False)


@pytest.mark.parametrize("limit", [-1, 0, 101])
def test_a_list_has_a_bound(books: Books, limit: int) -> None:
    refused = outcome(books, FindCards(store=MOSCOW, text="1", limit=limit))
    assert isinstance(refused, BadMessage)


def test_a_text_has_a_bound(books: Books) -> None:
    assert isinstance(outcome(books, FindCards(store=MOSCOW, text="1" * 256)), BadMessage)
    assert isinstance(outcome(books, FindCards(store="elsewhere", text="1")), ForeignStore)


def test_the_rarest_word_is_found_among_any_number_of_namesakes(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MAX_NAMESAKES", 2)
    rare, _ = holder(books, "Иван Редкий")
    for n in "абвг":
        holder(books, f"Иван Второй{n}")
    assert (numbers(find(books, "иван редкий")), find(books, "иван редкий").more) == ([rare], False)
    many = find(books, "иван")
    assert (len(many.cards), many.more) == (2, True)


def test_more_holders_than_are_kept_are_told(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MAX_HOLDERS", 2)
    for n in "абв":
        holder(books, f"Иван Второй{n}")
    many = find(books, "иван второй")
    assert (len(many.cards), many.more) == (2, True)


# The person behind a card -----------------------------------------------------------------------------------------


def test_a_holder_is_read_in_the_clear(books: Books) -> None:
    card, holder_id = holder(
        books, "Анна Ким", phone="8 912 345-67-89", email="Anna@example.com", birthday=date(1990, 2, 28)
    )
    found = told(books, ReadHolder(refs=named(card)))
    assert (found.holder_id, found.name, found.phone, found.email, found.birthday) == (
        holder_id,
        "Анна Ким",
        "+79123456789",
        "anna@example.com",
        date(1990, 2, 28),
    )
    assert found.registered_at == NOON
    assert [each.number for each in found.cards] == [card]


def test_what_is_not_known_of_a_holder_is_empty(books: Books) -> None:
    card, _ = holder(books, "Анна")
    found = told(books, ReadHolder(refs=(Ref("wallet", str(told(books, ReadHolder(refs=named(card))).account)),)))
    assert (found.phone, found.email, found.birthday, found.consents) == ("", "", None, ())


def test_consents_are_told_newest_first(books: Books) -> None:
    card, _ = holder(books, "Анна")
    common: dict[str, Any] = {"card": Ref("card", card), "purpose": "marketing", "channel": "web"}
    books.done(GiveConsent(store=MOSCOW, keys=("1",), document="v1", **common))
    clock_of(books).forward(minutes=1)
    books.done(WithdrawConsent(store=ALMATY, keys=("2",), **common))
    books.done(GiveConsent(store=MOSCOW, keys=("3",), document="v2", **common))
    found = told(books, ReadHolder(refs=named(card))).consents
    assert [(each.document, each.given, each.store, each.channel) for each in found] == [
        ("v2", True, MOSCOW, "web"),
        ("", False, ALMATY, "web"),
        ("v1", True, MOSCOW, "web"),
    ]
    assert found[2].at == NOON


def test_a_card_without_a_person_has_no_holder(books: Books) -> None:
    bearer, (erased, _) = books.card(), holder(books, "Анна")
    erase(books, erased)
    for card in (bearer, erased):
        assert isinstance(outcome(books, ReadHolder(refs=named(card))), HolderNotFound)
    assert isinstance(outcome(books, ReadHolder(refs=named("404"))), CardNotFound)
