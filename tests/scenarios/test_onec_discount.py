"""Розница 2.x and our discount server: strict zeep in, rows, answers out.

``Shop`` does what the configuration does: it asks before the receipt, and afterwards sends what the document has done,
sales, then points, until each is heard as ``true`` (docs/adapters/onec_discount.md, "Documents").
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
import zeep
import zeep.exceptions

from adapters import onec_discount
from processing.commands import BlockCard, Ref
from tests.processing.books import MOSCOW, POINTS, SLOW, Books, StillClock, ref
from tests.scenarios.soap_line import HOST, LINK, Line, Wire, line_to

# What differs between the databases is looked at where documents change and where two come at once.
SQLITE = pytest.mark.parametrize("books", ["sqlite"], indirect=True)
PATH = "ws/DiscountService.1cws"
CLOSED = datetime(2026, 5, 4, 11, 30)  # the store's own time, before the books' clock
EMPTY = datetime(1, 1, 1)
PROGRAMME, GOODS = str(uuid.UUID(int=7)), str(uuid.UUID(int=8))


@dataclass
class Shop:
    """An infobase with its desks. Documents wait in ``queue`` until the server has taken them."""

    line: Line
    queue: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    port: str = "ДисконтныйСерверSoap"

    def __post_init__(self) -> None:
        client = zeep.Client(f"{HOST}/wsdl", transport=Wire(self.line))
        self.service = client.bind("ДисконтныйСервер", self.port)

    def post(self, document: str, sales: list[dict[str, Any]], points: list[dict[str, Any]]) -> None:
        """What the document does now; a reposted one does it instead of what it did before."""
        named = {"ТипДокумента": "ЧекККМ", "ИдентификаторДокумента": document}
        self.queue.append(("ОбновитьДанныеОПродажах", {**named, "ТаблицаТоваров": {"СтрокиТаблицы": sales}}))
        self.queue.append(("ОбновитьДанныеОБонусах", {**named, "ТаблицаБонусов": {"СтрокиТаблицы": points}}))
        self.queue.append(("ОбновитьДанныеОКупонах", {**named, "ТаблицаКупонов": {"СтрокиТаблицы": []}}))

    def send(self) -> None:
        """The scheduled job: again and again, until nothing waits."""
        while self.queue:
            name, asked = self.queue[0]
            try:
                taken = self.service[name](**asked)
            except ConnectionError:
                continue
            assert taken is True
            self.queue.pop(0)

    def balance(self, card: str) -> str:
        (row,) = self.service.ПолучитьОстатокБонусов(card, CLOSED)
        return str(row.КоличествоБаллов)

    def bought(self, card: str, without: str = "", since: datetime = EMPTY) -> str:
        (row,) = self.service.ПолучитьСуммуНакопления(card, since, datetime(2026, 5, 4, 23, 59, 59), "", without)
        return str(row.СуммаНакопления)


def sold(card: str, money: str, pieces: str = "1") -> dict[str, Any]:
    named = {"ИдентификаторКарты": card, "ИдентификаторНоменклатуры": GOODS, "ИдентификаторХарактеристики": None}
    return {"Период": CLOSED, **named, "Сумма": money, "Количество": pieces}


def moved(card: str, kind: int, points: str) -> dict[str, Any]:
    named = {"ИдентификаторБонуснойПрограммы": PROGRAMME, "ИдентификаторКарты": card}
    return {"Период": CLOSED, "ВидДвижения": kind, **named, "Начислено": points, "КСписанию": "0"}


def ended(card: str, points: str) -> dict[str, Any]:
    """The plan of their end, which 1C books together with what it gives."""
    return moved(card, 0, "0") | {"Период": CLOSED + timedelta(days=365), "КСписанию": points}


@pytest.fixture
def line(books: Books) -> Iterator[Line]:
    with line_to(books, onec_discount.ADAPTER, PATH, {"unit": POINTS}) as line:
        yield line


@pytest.fixture
def shop(line: Line) -> Shop:
    return Shop(line)


def card_of(books: Books, points: int = 0, **changes: Any) -> tuple[str, str]:
    """A card that 1C knows by a GUID: its number, and that."""
    guid = str(uuid.uuid4())
    return books.card(points, identifiers=(Ref("onec", guid),), **changes), guid


def test_a_document_is_asked_for_booked_changed_and_emptied(books: Books, shop: Shop) -> None:
    number, card = card_of(books, 45_000)
    assert (shop.balance(card), shop.bought(card)) == ("450.00", "0.00")
    document = str(uuid.uuid4())
    shop.post(document, [sold(card, "900"), sold(card, "100.5")], [moved(card, 0, "45"), moved(card, 1, "100")])
    shop.send()
    assert (shop.balance(card), shop.bought(card)) == ("395.00", "1000.50")
    (last,) = shop.service.ПолучитьДанныеПоследнейПокупки(card, CLOSED, "", "")
    assert (last.ДатаПокупки, str(last.СуммаНакопления)) == (datetime(2026, 5, 4), "1000.50")
    # While it is rung up anew it does not count.
    assert shop.bought(card, without=document) == "0.00"
    assert shop.service.ПолучитьДанныеПоследнейПокупки(card, CLOSED, "", document) == []
    # Posted anew without a row and without points that pay: that is all it has done.
    shop.post(document, [sold(card, "900")], [moved(card, 0, "45")])
    shop.send()
    assert (shop.balance(card), shop.bought(card)) == ("495.00", "900.00")
    # No longer posted; and posted once more.
    shop.post(document, [], [])
    shop.send()
    assert (shop.balance(card), shop.bought(card)) == ("450.00", "0.00")
    shop.post(document, [sold(card, "900")], [moved(card, 0, "45")])
    shop.send()
    assert (shop.balance(card), shop.bought(card), books.balance(number)) == ("495.00", "900.00", 49_500)


@pytest.mark.parametrize("lost", ["before", "after"])
def test_whatever_is_lost_is_sent_again_and_booked_once(books: Books, line: Line, lost: str) -> None:
    shop = Shop(line)
    number, card = card_of(books, 45_000)
    line.fails = [lost, lost, "", lost, ""]
    shop.post(str(uuid.uuid4()), [sold(card, "1000")], [moved(card, 0, "50"), moved(card, 1, "100")])
    shop.send()
    assert line.fails == []
    written, queued = books.written(), str(uuid.uuid4())
    assert (shop.balance(card), shop.bought(card), books.balance(number)) == ("400.00", "1000.00", 40_000)
    # Emptied before it was ever sent, as of a document without a card: nothing, however often.
    for _ in range(2):
        shop.post(queued, [], [])
        shop.send()
    assert books.written() == written


@SQLITE
def test_what_comes_back_is_a_document_of_its_own(books: Books, shop: Shop) -> None:
    _, card = card_of(books, 45_000)
    shop.post(str(uuid.uuid4()), [sold(card, "1000")], [moved(card, 0, "50"), moved(card, 1, "100")])
    back = str(uuid.uuid4())
    shop.post(back, [sold(card, "-400", "-1")], [moved(card, 1, "20"), moved(card, 0, "40")])
    shop.send()
    assert (shop.balance(card), shop.bought(card)) == ("420.00", "600.00")
    shop.post(back, [], [])
    shop.send()
    assert (shop.balance(card), shop.bought(card)) == ("400.00", "1000.00")


@SQLITE
def test_points_of_a_plan_end_when_the_programme_says(books: Books, shop: Shop, clock: StillClock) -> None:
    """Their plan of expiry comes with them and is not booked as a payment: our lots have an end of their own."""
    number, card = card_of(books, 10_000, product=SLOW)
    shop.post(str(uuid.uuid4()), [sold(card, "1000")], [moved(card, 0, "50"), ended(card, "50")])
    shop.send()
    assert books.balance(number) == 15_000
    now, *later = shop.service.ПолучитьОстатокБонусовРасширенный(card, CLOSED)
    assert (str(now.КоличествоБаллов), now.ТекущийОстаток) == ("100.00", True)
    assert [(row.ПредставлениеПериода, str(row.Изменение), str(row.КоличествоБаллов)) for row in later] == [
        ("11.05.2026", "50.00", "150.00"),
        ("11.06.2026", "-50.00", "100.00"),
    ]


def test_two_desks_with_one_card_take_what_there_is_and_owe_the_rest(books: Books, line: Line) -> None:
    """Both have been told the same balance, and both receipts are printed: facts, so that the card is in debt."""
    number, card = card_of(books, 10_000)
    desks = [Shop(line) for _ in range(2)]
    assert [desk.balance(card) for desk in desks] == ["100.00"] * 2
    for desk in desks:
        desk.post(str(uuid.uuid4()), [sold(card, "500")], [moved(card, 1, "100")])
    threads = [threading.Thread(target=desk.send) for desk in desks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (books.balance(number), desks[0].balance(card), desks[0].bought(card)) == (-10_000, "0.00", "1000.00")
    assert [flags for (flags,) in books.rows("SELECT flags FROM operation WHERE flags LIKE '%debt%'")] == ["debt"]


@SQLITE
def test_what_a_desk_may_not_spend_is_nothing_and_what_it_did_is_kept_for_the_operator(
    books: Books, shop: Shop
) -> None:
    number, card = card_of(books, 10_000)
    books.done(BlockCard(store=MOSCOW, keys=("block",), card=ref(number), reason="lost"))
    assert shop.balance(card) == "0.00"
    for known in (card, str(uuid.uuid4())):
        shop.post(str(uuid.uuid4()), [sold(known, "500")], [moved(known, 1, "100")])
    shop.send()
    assert books.balance(number) == 10_000
    flagged = books.rows("SELECT count(*) FROM operation WHERE kind = 'receipt' AND flags LIKE '%suspense%'")
    assert flagged[0][0] >= 2


@SQLITE
def test_what_nobody_can_answer_is_a_fault_with_words_and_the_desk_goes_on(books: Books, shop: Shop) -> None:
    _, card = card_of(books)
    for asked, words in (
        ((str(uuid.uuid4()), CLOSED, "", ""), "Карта не найдена"),
        ((card, CLOSED, str(uuid.uuid4()), ""), "Сегменты номенклатуры"),
    ):
        with pytest.raises(zeep.exceptions.Fault, match=words):
            shop.service.ПолучитьДанныеПоследнейПокупки(*asked)
    assert shop.service.ПолучитьСкидкиПоКупону("QW-1234", CLOSED) == []


@SQLITE
def test_the_other_version_of_soap_and_the_declared_results_are_heard_alike(books: Books) -> None:
    _, card = card_of(books, 45_000)
    with line_to(books, onec_discount.ADAPTER, PATH, {"unit": POINTS}) as line:
        assert Shop(line, port="ДисконтныйСерверSoap12").balance(card) == "450.00"
    with line_to(books, onec_discount.ADAPTER, PATH, {"unit": POINTS, "results": "declared"}) as line:
        # The type that comes says so itself, whatever was declared.
        assert Shop(line).balance(card) == "450.00"


@SQLITE
def test_a_stranger_is_asked_for_a_password(line: Line) -> None:
    for method in ("GET", "POST"):
        status, headers, _ = line.call(method, b"", {})
        assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="tillgate", charset="UTF-8"')
    assert line.path == f"/pos/{LINK}/{PATH}"
