"""1C as server, from its rows to ours and from ours to its documents, by the delivery that a worker runs.

The 1C is tests/adapters/onec_server/one_c.py: an infobase in memory with the quirks of the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.contract import Call, HttpCall, HttpReply, Link, Reply, Session
from adapters.onec_server import ADAPTER
from adapters.onec_server.options import OneCOptions
from gateway.delivery import Delivery, opened
from gateway.delivery_policy import RELAXED, DeliverySettings
from gateway.talks import Outgoing
from processing import steering
from processing.commands import Identify, ReadHolder, Ref
from processing.errors import CardNotFound, LinkDown
from processing.events import BALANCE_CHANGED, OPERATION_POSTED, Subscription
from processing.results import HolderTold, Identified
from processing.steering import Filter
from tests.adapters.onec_server.bases import DOCUMENT, PROGRAMME, mapping, number, retail2, ut11
from tests.adapters.onec_server.one_c import PASSWORD, USER, OneC, Row, parsed, ref
from tests.processing.books import MOSCOW, PLAIN, Books, adjust, post, use, void

ON_SQLITE = pytest.mark.parametrize("books", ["sqlite"], indirect=True)
OFFICE = "office"

Step = Callable[[HttpCall], HttpReply | None]


@dataclass
class Office:
    """Books, a 1C, and the line between them: ``steps`` are taken before calls that are for it, the first of them
    that answers or raises instead of it; ``after`` what becomes of an answer on its way back."""

    books: Books
    base: OneC
    options: dict[str, Any]
    steps: list[Step] = field(default_factory=list)
    after: list[Step] = field(default_factory=list)

    def call(self, call: Call, session: Session | None, deadline: float) -> Reply:
        assert isinstance(call, HttpCall)
        headers = {**(session.headers if session and call.signed else {}), **call.headers}
        for step in list(self.steps):
            if (told := step(call)) is not None:
                return told
        reply = HttpReply(*self.base.handle(call.method, call.path, headers, call.body))
        for step in list(self.after):
            step(call)
        return reply

    def close(self) -> None:
        pass

    @property
    def delivery(self) -> Delivery:
        link = Link(OFFICE, MOSCOW, ZoneInfo("Europe/Moscow"), OneCOptions().load(self.options))
        policy = DeliverySettings(jitter_seconds=0, order=RELAXED)
        out = Outgoing(link, ADAPTER, policy, {"password": PASSWORD}, lambda again: self)  # type: ignore[arg-type,return-value]
        work = self.books.core.work
        return Delivery(self.books.core, work.vault, {OFFICE: out}, work.subscriptions, lambda: False)

    def run(self, **later: int) -> None:
        """Whatever is due, after so much time."""
        self.books.clock.forward(**later)  # type: ignore[union-attr]
        self.delivery.run_once()

    def tell(self, *kinds: str) -> None:
        told = Subscription(OFFICE, frozenset(kinds))
        self.books.core.work = replace(self.books.core.work, subscriptions=(told,))

    @property
    def documents(self) -> list[Row]:
        return self.base.sets[DOCUMENT]

    def lane(self, way: str) -> steering.Queue:
        with self.books.database.reading() as connection:
            (found,) = [each for each in steering.queues(connection, self.books.database) if each.way == way]
        return found

    def who(self, value: str, scheme: str = "onec") -> Any:
        (outcome,) = self.books.core.answer([Identify(store=MOSCOW, refs=(Ref(scheme, value),))])
        return outcome


def office(books: Books, base: OneC, name: str, **options: Any) -> Office:
    told = {"mapping": mapping(name), "user": USER, "product": PLAIN, "programme": PROGRAMME, "page": 100}
    return Office(books, base, told | options)


def lose(count: int, method: str = "", ends: str = "") -> Step:
    """The line breaks at this call of those that are meant, once."""
    left = [count]

    def step(call: HttpCall) -> None:
        if (not method or call.method == method) and parsed(call.path)[0].endswith(ends):
            left[0] -= 1
            if left[0] == 0:
                raise LinkDown("the line broke")

    return step


# What is pulled ---------------------------------------------------------------------------------------------------


def test_cards_come_with_their_owners_goods_and_stores(books: Books) -> None:
    at = office(books, ut11(6), "ut11", pull=["cards", "goods", "stores"], allowed_only=True)
    at.run()
    first = at.who(ref(1))
    assert isinstance(first, Identified) and first.usable == "" and first.product == PLAIN
    assert {at.who(*names).account for names in ((number(1), "card"), ("+79120000001", "phone"))} == {first.account}
    assert at.who(f";{number(1)}?", "track").account == first.account
    (told,) = books.core.answer([ReadHolder(refs=(Ref("onec", ref(1)),))])
    assert isinstance(told, HolderTold) and (told.name, told.email) == ("Гость 1", "guest1@example.org")
    assert told.birthday is not None and at.who(ref(5)).holder_id == 0, "a card without an owner is nobody's"
    assert isinstance(at.who(ref(6)), CardNotFound), "one that was cancelled before we knew it is not made"
    goods = (
        "SELECT g.code, g.name, g.category, n.value FROM goods g JOIN goods_name n ON n.code = g.code ORDER BY g.code"
    )
    assert books.rows(goods) == [(ref(700 + n), f"Сигареты {n}", ref(700), f"00-00{n}") for n in (1, 2)]
    with books.database.reading() as connection:
        (look, *_) = steering.looks(connection, OFFICE, 5)
    assert opened(books.core.work.vault, look.answer).decode() == f"{ref(900)} Магазин на Невском"
    assert not at.base.sessions and at.lane("pull").failures == 0
    assert all("allowedOnly=true" in call for call in at.base.calls if "$orderby" in call or "$filter" in call)


@ON_SQLITE
def test_what_changes_in_1c_comes_with_the_next_sweep_and_nothing_else(books: Books) -> None:
    at = office(books, ut11(4), "ut11", sweep_hours=2)
    at.run()
    keys = books.rows("SELECT count(*) FROM request_key")
    calls = len(at.base.calls)
    at.run(hours=1)
    assert len(at.base.calls) == calls, "not before the sweep is due"
    at.run(hours=1)
    assert len(at.base.calls) > calls and books.rows("SELECT count(*) FROM request_key") == keys
    for row, change in (
        ("Catalog_Партнеры", {"Description": "Анна"}),
        ("Catalog_КартыЛояльности", {"Статус": "Аннулирована"}),
    ):
        at.base.sets[row][0].update(at.base._versioned(at.base.sets[row][0] | change))
        at.run(hours=2)
    assert at.who(ref(1)).usable == "card_blocked"
    (told,) = books.core.answer([ReadHolder(refs=(Ref("onec", ref(1)),))])
    assert told.name == "Анна"  # type: ignore[union-attr]
    with books.database.reading() as connection:
        looks = steering.looks(connection, OFFICE, 9)
    assert [look.answer for look in looks] == [None] * 5, "nothing is kept of what told of people"


@ON_SQLITE
def test_a_phone_of_somebody_else_keeps_one_card_away_and_no_other(books: Books) -> None:
    base = ut11(5)
    at = office(books, base, "ut11")
    at.run()
    taken = at.who("+79120000002", "phone")
    # The first card's owner now tells the second's phone.
    base.sets["Catalog_Партнеры"][0] = base._versioned(
        {
            **base.sets["Catalog_Партнеры"][0],
            "КонтактнаяИнформация": base.sets["Catalog_Партнеры"][1]["КонтактнаяИнформация"],
        }
    )
    at.run(hours=12)
    assert at.who("+79120000002", "phone").account == taken.account != at.who(ref(1)).account
    with books.database.reading() as connection:
        (look, *_) = steering.looks(connection, OFFICE, 1)
    assert look.outcome == "delivered"
    assert "card_number_taken: EnrolHolder" in opened(books.core.work.vault, look.answer).decode()


@ON_SQLITE
def test_a_row_that_nobody_understands_is_told_and_keeps_no_other_away(books: Books) -> None:
    base = ut11(6)
    base.sets["Catalog_КартыЛояльности"][0]["Штрихкод"] = "7" * 201
    base.sets["Catalog_Партнеры"][1]["ДатаРождения"] = "вчера"
    at = office(books, base, "ut11")
    at.run()
    assert [isinstance(at.who(ref(n)), Identified) for n in range(1, 6)] == [False, True, True, True, True]
    assert at.who(ref(2)).holder_id == 0
    with books.database.reading() as connection:
        (look,) = steering.looks(connection, OFFICE, 9)
    heard = opened(books.core.work.vault, look.answer).decode()
    assert "ДатаРождения: expected a date" in heard and "Штрихкод: expected at most 200" in heard
    assert "вчера" not in heard


def resumes(books: Books, count: int, lost: int) -> None:
    """A page in the middle is lost; the next try goes on where the last page has ended, and has all in the end."""
    base = ut11(count)
    at = office(books, base, "ut11", page=500 if count > 1_000 else 100)
    at.steps.append(lose(lost, "GET", "Catalog_КартыЛояльности"))
    at.run()
    assert at.lane("pull").failures == 1
    known = books.rows("SELECT count(*) FROM identifier WHERE scheme = 'onec'")[0][0]
    assert 0 < known < count - 1
    began = len(base.calls)
    at.run(hours=1)
    pages = [parsed(call.partition(" ")[2])[1] for call in base.calls[began:]]
    skips = [int(asked["$skip"]) for asked in pages if "$skip" in asked]
    assert min(skips) == known - 1, "from the last row that is known"
    assert books.rows("SELECT count(*) FROM identifier WHERE scheme = 'onec'") == [(count - 1,)]
    assert books.rows("SELECT count(*) FROM card") == [(count - 1,)]
    assert not base.sessions


@ON_SQLITE
def test_a_pull_that_is_interrupted_goes_on_from_the_page_it_had(books: Books) -> None:
    resumes(books, 300, 4)


@pytest.mark.slow
@ON_SQLITE
def test_a_pull_of_ten_thousand_cards_that_is_interrupted_goes_on(books: Books) -> None:
    resumes(books, 10_000, 9)


@ON_SQLITE
def test_rows_that_are_put_in_or_taken_out_meanwhile_lose_nobody(books: Books) -> None:
    base = ut11(120)
    at = office(books, base, "ut11")

    def move(call: HttpCall) -> None:
        """After the first page its first card is gone for ever."""
        if parsed(call.path)[1].get("$skip") == "0":
            at.after.clear()
            del base.sets["Catalog_КартыЛояльности"][0]

    at.after.append(move)
    at.run()
    assert books.rows("SELECT count(*) FROM identifier WHERE scheme = 'onec'") == [(119,)]


# What is told -----------------------------------------------------------------------------------------------------


def told(at: Office) -> tuple[list[str], list[str]]:
    """Points that documents give and take, in their order; documents that are not posted have an asterisk."""
    found = []
    for table in ("Начисление", "Списание"):
        rows = [(row, "" if document["Posted"] else "*") for document in at.documents for row in document[table] or ()]
        found.append([f"{row['Баллы']}{star}" for row, star in rows])
    return found[0], found[1]


def test_an_operation_becomes_a_document_once_and_posted(books: Books) -> None:
    at = office(books, ut11(4), "ut11", balance_field="БаллыЛояльности", document_fields={"Организация_Key": ref(8)})
    at.run()
    at.tell(OPERATION_POSTED, BALANCE_CHANGED)
    books.done(adjust("gift", number(1), 30_00))
    books.done(post("sale", use(number(1), redeem=10_00), total=100_00))
    at.run(minutes=1)
    assert told(at) == (["30.00", "4.50"], ["10.00"])
    first = at.documents[0]
    assert (first["Date"], first["ВидПравила"], first["Организация_Key"]) == (
        "2026-05-04T12:00:00",
        "Начисление",
        ref(8),
    )
    assert first["Начисление"][0]["Партнер_Key"] == ref(1_001) and first["Списание"] is None
    assert first["БонуснаяПрограммаЛояльности_Key"] == PROGRAMME
    assert str(at.base.sets["Catalog_Партнеры"][0]["БаллыЛояльности"]) == "24.50"
    books.done(void("sale"))
    at.run(minutes=1)
    assert told(at) == (["30.00", "4.50", "10.00"], ["10.00", "4.50"])
    assert str(at.base.sets["Catalog_Партнеры"][0]["БаллыЛояльности"]) == "30.00"
    assert not at.base.sessions and at.lane("push").pending == 0


@ON_SQLITE
@pytest.mark.parametrize("takes_guids", [True, False])
@pytest.mark.parametrize(("method", "ends"), [("POST", DOCUMENT), ("POST", "/Post"), ("GET", DOCUMENT)])
def test_a_lost_answer_makes_no_second_document(books: Books, method: str, ends: str, takes_guids: bool) -> None:
    at = office(books, retail2(4), "retail2")
    at.base.takes_guids = takes_guids
    at.run()
    at.tell(OPERATION_POSTED)
    books.done(adjust("gift", number(1), 30_00))
    at.after.append(lose(1, method, ends))
    at.run(minutes=1)
    assert at.lane("push").failures == 1
    if takes_guids and at.documents:
        at.documents[0]["Комментарий"] = "somebody has written over our mark"
    at.run(hours=1)
    assert told(at) == (["30.00"], [])
    assert at.documents[0]["Начисление"][0]["ДисконтнаяКарта_Key"] == ref(1)


@ON_SQLITE
def test_two_who_say_it_at_once_make_one_document(books: Books) -> None:
    """The first's document cannot be seen yet when the second looks: 1C refuses the second one's GUID."""
    at = office(books, retail2(4), "retail2")
    at.run()
    at.tell(OPERATION_POSTED)
    books.done(adjust("gift", number(1), 30_00))
    at.after.append(lose(1, "POST", DOCUMENT))
    at.run(minutes=1)
    blind = HttpReply(200, {}, json.dumps({"value": []}).encode())
    at.steps.append(
        lambda call: at.steps.clear() or blind if call.method == "GET" and DOCUMENT in parsed(call.path)[0] else None
    )  # type: ignore[func-returns-value]
    at.run(hours=1)
    assert at.lane("push").last_detail == "the document is being made by somebody else"
    at.run(hours=1)
    assert told(at) == (["30.00"], [])


@ON_SQLITE
def test_a_posting_that_1c_refuses_is_seen_and_goes_on_from_the_document(books: Books) -> None:
    at = office(books, retail2(4), "retail2")
    at.run()
    at.tell(OPERATION_POSTED)
    at.base.refuses_posting = True
    books.done(adjust("gift", number(1), 30_00))
    books.done(adjust("more", number(2), 5_00))
    at.run(minutes=1)
    at.run(hours=1)
    at.run(hours=1)
    assert at.lane("push").dead == 2 and "code -1" in (at.lane("push").last_detail or "")
    assert told(at) == (["30.00*", "5.00*"], [])
    at.base.refuses_posting = False
    with books.database.transaction() as connection:
        steering.requeue(connection, books.database, Filter(links=[OFFICE]))
    at.run(hours=1)
    at.run(hours=1)
    assert told(at) == (["30.00", "5.00"], [])


@ON_SQLITE
def test_names_that_1c_does_not_know_are_refused_before_anything_is_lost(books: Books) -> None:
    """1C drops properties silently: a mark that is misspelt would make a document with every try."""
    for section, change, detail in (
        ({"mark": "Коментарий"}, {}, "no such property"),
        (
            {},
            {"accrual": {"table": "Начисления", "who": "ДисконтнаяКарта_Key", "points": ["Баллы"]}},
            "has not kept the rows",
        ),
    ):
        at = office(books, retail2(4), "retail2")
        at.options["mapping"]["document"] |= section | change
        at.run(hours=12)
        at.tell(OPERATION_POSTED)
        books.done(adjust(books.key("gift"), number(1), 30_00))
        at.run(minutes=1)
        assert detail in (at.lane("push").last_detail or "")
        assert not any(document["Posted"] for document in at.documents)


@ON_SQLITE
def test_a_balance_is_written_over_whoever_writes_beside_us(books: Books) -> None:
    at = office(books, retail2(4), "retail2", balance_field="БаллыTillgate")
    at.run()
    at.tell(BALANCE_CHANGED)
    card = at.base.sets["Catalog_ИнформационныеКарты"][0]

    def meddle(call: HttpCall) -> None:
        if call.method == "PATCH":
            at.steps.clear()
            card.update(at.base._versioned(card))

    at.steps.append(meddle)
    books.done(adjust("gift", number(1), 30_00))
    at.run(minutes=1)
    assert str(card["БаллыTillgate"]) == "30.00" and at.lane("push").failures == 0
    patches = sum(call.startswith("PATCH") for call in at.base.calls)
    assert patches == 2
    books.done(adjust("up", number(1), 1_00))
    books.done(adjust("down", number(1), -1_00))
    at.run(minutes=1)
    assert sum(call.startswith("PATCH") for call in at.base.calls) == patches, "what is there already is not written"


@ON_SQLITE
def test_no_licence_is_waited_for(books: Books) -> None:
    at = office(books, ut11(3), "ut11")
    at.base.licences = 0
    at.run()
    assert at.lane("pull").last_error == "link_down"
    at.base.licences = 1
    at.run(hours=1)
    assert at.lane("pull").failures == 0 and not at.base.sessions
