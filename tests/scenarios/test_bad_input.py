"""No input gets a 500 or changes the books in passing: mutated real messages through the real door and core.

Whatever a till sends, it hears well-formed XML with the root ``Root``; what is not answered with Result 0 has
written nothing to the books; the bytes are in the exchange log; and the laws hold at the end.
"""

from __future__ import annotations

import copy
import itertools
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway import committer
from gateway.pos import KEPT_OF_TOO_LARGE
from processing.verify import verify
from tests.effort import drawn
from tests.processing.books import Books
from tests.scenarios.test_rkeeper import RESTORE, RETURN, Answer, Bill, Part, Shop, look_up, open_shop

EXAMPLES = {"sqlite": drawn(400), "postgresql": drawn(100)}
MEGABYTE = 1 << 20
CARD_INFO, TRANSACTIONS = "getcardinfoex", "transactionsex"

# Values ------------------------------------------------------------------------------------------------------

NUMBERS = (
    "0",
    "-0",
    "-1",
    "1",
    "+1",
    "007",
    " 1 ",
    "1.5",
    "1,5",
    ".5",
    "5.",
    "0.001",
    "1e5",
    "1e999",
    "-1e999",
    "0x10",
)
NUMBERS += ("NaN", "-nan", "inf", "-Infinity", "١٢٣", "１２", "½", "1_000", "999999999999999", "1000000000000000")
NUMBERS += (
    "1000000000000001",
    "10000000000000.00",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
)
NUMBERS += ("18446744073709551616", "9" * 18, "9" * 19, "9" * 40, "9" * 5_000, "-" + "9" * 18)
DATES = (
    "0000-00-00",
    "0001-01-01",
    "0001-01-01T00:00:00",
    "9999-12-31",
    "9999-12-31T23:59:59",
    "2026-02-30",
    "10000-01-01",
)
DATES += (
    "2026-05-04T24:00:00",
    "2026-05-04T23:59:60",
    "2026-05-04T11:00:00Z",
    "2026-03-29T02:30:00",
    "2013-08-2116:2316:23:56",
)
DATES += ("1899-12-30T00:00:00", "2026-05-04T11:00:00.123456789", "-2026-05-04", "1970-01-01T00:00:00+14:00")
TEXTS = (
    "",
    " ",
    "\t\n",
    "\u00a0",
    "null",
    "None",
    "'; DROP TABLE entry; --",
    "%s%n{0}",
    "{}",
    "{{}}",
    "../../etc/passwd",
)
TEXTS += (
    "Ж" * 39,
    "\U0001f4a9" * 300,
    "a" * 10_000,
    "é\u0301\u202e",
    "\u2028\u0085\u200b",
    "\ufffd\ue000",
    "&lt;x/&gt;",
)
TEXTS += ("{00000000-0000-0000-0000-000000000000}", "{GUID}", "--", "]]>", '"><x y="')
MODES = tuple(str(mode) for mode in range(-1, 16))
VALUES = (*NUMBERS, *DATES, *TEXTS, *MODES)

# Mutations of trees ------------------------------------------------------------------------------------------

Chance = random.Random


def replace_values(root: etree._Element, chance: Chance) -> None:
    places = [(element, name) for element in root.iter("*") for name in element.attrib]
    for element, name in chance.sample(places, min(len(places), chance.choice((1, 1, 2, 5)))):
        element.attrib[name] = chance.choice(VALUES)


def replace_telling_values(root: etree._Element, chance: Chance) -> None:
    """The attributes that are read, each as likely as any other however few elements have it."""
    telling = {"Card", "Account", "Kind", "Summa", "Restaurant", "RKDate", "RKUnit", "RKCheck", "chmode", "checkguid"}
    telling |= {
        "generateddatetime",
        "shiftdate",
        "checknum",
        "sum",
        "bsum",
        "quantity",
        "price",
        "cardcode",
        "code",
        "uni",
    }
    telling |= {"closedatetime", "restaurantcode", "stationcode", "paytype", "current", "id", "locale", "shiftnum"}
    for _ in range(chance.choice((1, 1, 2, 3))):
        name = chance.choice(sorted(telling))
        places = [element for element in root.iter("*") if name in element.attrib]
        for element in chance.sample(places, min(len(places), chance.choice((1, 8)))):
            element.attrib[name] = chance.choice(VALUES)


def remove_attributes(root: etree._Element, chance: Chance) -> None:
    for element in root.iter("*"):
        for name in list(element.attrib):
            if chance.random() < 0.05:
                del element.attrib[name]


def rename(root: etree._Element, chance: Chance) -> None:
    element = chance.choice(list(root.iter("*")))
    element.tag = chance.choice(
        ("CHECK", "checkdata", "x", "{urn:x}LINE", "TransactionsEx", "QRY", "INPBUF", "ITEM", "Root")
    )


def remove_elements(root: etree._Element, chance: Chance) -> None:
    for _ in range(chance.choice((1, 2, 5))):
        element = chance.choice(list(root.iter("*")))
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)


def repeat_elements(root: etree._Element, chance: Chance) -> None:
    element = chance.choice([e for e in root.iter("*") if e is not root] or [root])
    parent = element.getparent()
    if parent is not None:
        for _ in range(chance.choice((1, 2, 20))):
            parent.append(copy.deepcopy(element))


def move_elements(root: etree._Element, chance: Chance) -> None:
    elements = list(root.iter("*"))
    moved, target = chance.choice(elements), chance.choice(elements)
    if moved is not root and moved not in target.iterancestors() and moved is not target:
        target.append(moved)


def flood(root: etree._Element, chance: Chance) -> None:
    """Thousands of small elements with the greatest amounts, as many as fit into a message."""
    name, attributes = chance.choice(
        (
            ("CATEG", {"sum": "9999999999999.99"}),
            ("DISCOUNTPART", {"sum": "-9999999999999.99"}),
            ("PAYMENT", {"code": "10", "sum": "9999999999999.99", "cardcode": "1", "paytype": "3"}),
            ("LINE", {"code": "1", "price": "1", "quantity": "1", "uni": "1", "sum": "9999999999999.99"}),
            ("TransactionsEx", {"Card": "1", "Kind": "3", "Summa": "999999999999999"}),
            ("ITEM", {"cardcode": "1"}),
        )
    )
    target = chance.choice(list(root.iter("CHECKLINES", "CHECKDATA", "HOLDERS", "Transactions")) or [root])
    for _ in range(chance.choice((17, 999, 1_001, 8_000))):
        etree.SubElement(target, name, attributes)


TREES: tuple[Callable[[etree._Element, Chance], None], ...] = (
    replace_telling_values,
    replace_values,
    remove_attributes,
    rename,
    remove_elements,
    repeat_elements,
    move_elements,
    flood,
)

# Mutations of bytes ------------------------------------------------------------------------------------------

ENCODINGS = ("utf-8", "windows-1251", "utf-16", "utf-16-le", "utf-32", "koi8-r", "cp866", "iso-8859-5", "cp037")
DECLARED = ("utf-8", "UTF-16", "windows-1251", "utf-7", "ebcdic-cp-us", "x", "cp866", "", "a" * 39)
BOMB = b'<!DOCTYPE ROOT [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = b'<!DOCTYPE ROOT SYSTEM "file:///etc/passwd" [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


def flip(body: bytes, chance: Chance) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.choice((1, 3, 30))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def cut(body: bytes, chance: Chance) -> bytes:
    return body[: chance.randrange(len(body))] if chance.random() < 0.7 else body[chance.randrange(len(body)) :]


def insert(body: bytes, chance: Chance) -> bytes:
    at = chance.randrange(len(body))
    garbage = (
        b"\x00",
        b"\xff\xfe",
        b"&x;",
        b"&#0;",
        b"&#x110000;",
        b"<",
        b"]]>",
        b"<![CDATA[",
        b"<!--",
        b"<?x?>",
        b"\x1b[2J",
    )
    return body[:at] + chance.choice(garbage) + body[at:]


def encode(body: bytes, chance: Chance) -> bytes:
    text = body.decode().replace('encoding="UTF-8"', f'encoding="{chance.choice(DECLARED)}"')
    return text.encode(chance.choice(ENCODINGS), "replace")


def bomb(body: bytes, chance: Chance) -> bytes:
    head, mark, rest = body.partition(b"?>")
    rest = rest.replace(b'"5"', b'"&b;"', 1)
    return head + mark + chance.choice((BOMB, OUTSIDE, b"<!doctype ROOT>")) + rest


def nest(body: bytes, chance: Chance) -> bytes:
    depth = chance.choice((50, 250, 300, 20_000))
    at = body.index(b"<ROOT>") + len(b"<ROOT>")
    return body[:at] + b"<x>" * depth + b"</x>" * depth + body[at:]


def wrap(body: bytes, chance: Chance) -> bytes:
    """The document inside something else, or with another root."""
    inner = body.partition(b"?>")[2]
    wrappers = (
        (b"<a><b>", b"</b></a>"),
        (b"<html><body>", b"</body></html>"),
        (b"<INPBUF>", b"</INPBUF>"),
        (b"", inner),
    )
    before, after = chance.choice(wrappers)
    return before + inner + after


def escape(body: bytes, chance: Chance) -> bytes:
    """The check as text inside INPBUF; sometimes twice."""
    before, mark, rest = body.partition(b"<INPBUF>")
    check, end, after = rest.partition(b"</INPBUF>")
    for _ in range(chance.choice((1, 2))):
        check = check.replace(b"&", b"&amp;").replace(b"<", b"&lt;")
    return before + mark + check + end + after


def grow(body: bytes, chance: Chance) -> bytes:
    at = body.index(b"<ROOT>") + len(b"<ROOT>")
    return (
        body[:at]
        + b" " * chance.choice((64 << 10, MEGABYTE - len(body), MEGABYTE - len(body) + 1, 2 * MEGABYTE))
        + body[at:]
    )


BYTES: tuple[Callable[[bytes, Chance], bytes], ...] = (flip, cut, insert, encode, bomb, nest, wrap, escape, grow)
GARBAGE = (
    b"",
    b" ",
    b"\n\n",
    b"\x00",
    b"<",
    b"<ROOT/>",
    b"<Root></ROOT>",
    b"null",
    b'{"a": 1}',
    b"<ROOT>" * 100,
    b"a=1&b=2",
)

# The till ----------------------------------------------------------------------------------------------------


@dataclass
class Tormentor:
    """Sends mutations through one shop, and remembers what was sent and what it came to."""

    shop: Shop
    cards: tuple[str, str]
    sent: list[tuple[bytes, bytes]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(100_000))

    def message(self, chance: Chance) -> tuple[str, bytes]:
        """A whole message of a receipt that nobody has seen, and the function that it calls."""
        first, second = self.cards
        number = str(next(self.numbers))
        kind = chance.randrange(6)
        if kind == 0:
            return CARD_INFO, look_up(first, chance.choice((None, 50_000)))
        if kind == 1:
            return TRANSACTIONS, Bill((Part(first, own=95_000, off=5_000),), 95_000, number=number).body()
        if kind == 2:
            parts = (Part(first, points=100, money=50, own=20_000), Part(second, points=100, own=29_750, bonus=7))
            return TRANSACTIONS, Bill(parts, 50_000, number=number).body()
        if kind == 3:
            return TRANSACTIONS, Bill((Part(first, points=100, own=900),), 1_000, number=number).records_only()
        if kind == 4:
            return TRANSACTIONS, Bill(holders=(first, second), number=number).body()
        bill = Bill((Part(first, points=10, own=990, bonus=0),), 1_000, number=number)
        assert self.send(TRANSACTIONS, bill.body("10:00:00")).result == 0
        return TRANSACTIONS, bill.body("10:05:00", chance.choice((1, 2, RETURN, RESTORE)))

    def send(self, function: str, body: bytes) -> Answer:
        answer = self.shop.send(body, function)
        self.sent.append((body, answer.body))
        return answer

    def check(self, function: str, body: bytes) -> None:
        """Send it, and look at everything that must be so whatever it is."""
        before = self.written()
        answer = self.send(function, body)
        assert answer.status == "200 OK", body[:2_000]
        assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
        call = answer.call
        assert set(answer.root.iter(tag=etree.Element)) and call["Result"] in ("0", "1"), answer.body
        if call["Result"] == "1" and function == TRANSACTIONS:
            assert answer.error != 0
            assert answer.response["err_text"]
            self.outcomes[answer.response["error_code"]] += 1
        else:
            self.outcomes["locked" if call.get("Locked") == "1" else "ok"] += 1
        if function == CARD_INFO or call["Result"] != "0":
            assert self.written() == before or self.has_superseded(before), body[:2_000]

    def written(self) -> tuple[int, ...]:
        tables = ("entry", "operation", "receipt", "request_key", "lot", "account", "till", "card")
        return tuple(self.shop.books.count(table) for table in tables)

    def has_superseded(self, before: tuple[int, ...]) -> bool:
        """The one change that a refusal may make: the older version of the receipt was reversed, once.

        docs/keys.md, "Refused newer versions".
        """
        after = self.written()
        newest = self.shop.books.rows("SELECT kind FROM operation ORDER BY id DESC LIMIT 1")
        unchanged = (after[2:], after[1] - before[1]) == (before[2:], 1)
        return unchanged and newest == [("superseded",)]

    def is_in_the_log(self) -> None:
        """All that was sent is in the exchange log: the bytes as they came, up to the cut, and the answer."""
        logged = self.shop.logged()
        assert len(logged) == len(self.sent)
        for row, (body, answer) in zip(logged, self.sent, strict=True):
            kept = body if len(body) <= MEGABYTE else body[:KEPT_OF_TOO_LARGE]
            assert row.request.body == kept
            assert row.answer == answer
            assert row.outcome not in ("failed", "busy"), body[:2_000]


def mutated(body: bytes, chance: Chance) -> bytes:
    """One to three mutations; those of the tree first."""
    if chance.random() < 0.03:
        return chance.choice((*GARBAGE, chance.randbytes(chance.choice((1, 100, 5_000)))))
    if chance.random() < 0.8:
        root = etree.fromstring(body)
        for mutate in chance.choices(TREES, k=chance.choice((1, 1, 2, 3))):
            mutate(root, chance)
        body = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
        if chance.random() < 0.8:
            return body
    change = chance.choice(BYTES)
    return change(body, chance) if b"<ROOT>" in body else flip(body, chance)


@contextmanager
def committing(books: Books, folder: Path) -> Iterator[Path | None]:
    """The socket of a committer, as the service has one on PostgreSQL; None on SQLite, which has none."""
    if books.database.is_sqlite:
        yield None
        return
    stop = threading.Event()
    listener = committer.listen(folder / committer.SOCKET_NAME)
    thread = threading.Thread(target=committer.serve, args=(listener, books.core.execute, stop.is_set))
    thread.start()
    try:
        yield folder / committer.SOCKET_NAME
    finally:
        stop.set()
        committer.ping(folder / committer.SOCKET_NAME)  # wakes it
        thread.join(30)
        listener.close()


@pytest.fixture
def shop(books: Books, tmp_path: Path) -> Iterator[Shop]:
    with committing(books, tmp_path) as socket, open_shop(books, socket) as opened:
        yield opened


def test_no_mutated_message_gets_a_500_or_changes_the_books_in_passing(books: Books, tmp_path: Path) -> None:
    with committing(books, tmp_path) as socket, open_shop(books, socket) as shop:
        cards = (shop.card(1_000_000, money=1_000_000), shop.card(1_000_000))
        till = Tormentor(shop, cards)

        @settings(
            max_examples=EXAMPLES["sqlite" if books.database.is_sqlite else "postgresql"],
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.randoms(use_true_random=True))
        def torment(chance: Chance) -> None:
            function, body = till.message(chance)
            till.check(function, mutated(body, chance))

        torment()
        till.is_in_the_log()
    books.check_laws()
    assert [(check.name, check.rows) for check in verify(books.database) if check.rows] == []
    assert till.outcomes["30"] > 0, "nothing was unreadable"
    assert till.outcomes["ok"] > len(till.sent) // 10, "hardly anything was read"
    assert len(till.outcomes) >= 3, till.outcomes


# One by one ---------------------------------------------------------------------------------------------------

CARD = "@card@"
SALE = Bill((Part("4242424242", points=100, own=99_900),)).body().replace(b"4242424242", CARD.encode())
NO_GUID = re.sub(rb' checkguid="[^"]*"', b"", SALE)
GOOD = b'Summa="-100"'


def changed(old: str, new: str, body: bytes = SALE) -> bytes:
    """The message with its first ``old`` replaced, which must be there."""
    assert old.encode() in body, old
    return body.replace(old.encode(), new.encode(), 1)


def repeated(element: str, count: int) -> bytes:
    """The message with its first element of this name so many times more."""
    match = re.search(rf"<{element} .*?(/>|</{element}>)\n".encode(), SALE, re.DOTALL)
    assert match, element
    return SALE.replace(match[0], match[0] * (count + 1), 1)


REFUSED: dict[str, tuple[int, bytes]] = {
    "nothing": (30, b""),
    "blanks": (30, b" \r\n "),
    "no xml": (30, b"checknum=204417&sum=100"),
    "json": (30, b'{"Card": 1}'),
    "cut": (30, SALE[:-200]),
    "a zero byte": (30, SALE.replace(b"<INPBUF>", b"\x00<INPBUF>")),
    "another root": (30, b"<html><body>Bad gateway</body></html>"),
    "an empty root": (30, b"<ROOT/>"),
    "an entity bomb": (30, SALE.replace(b"<ROOT>", BOMB + b"<ROOT>").replace(b'stationcode="5"', b'stationcode="&b;"')),
    "an outside entity": (30, SALE.replace(b"<ROOT>", OUTSIDE + b"<ROOT>").replace(b'"Silver"', b'"&x;"')),
    "an unknown entity": (30, changed("Silver", "&x;")),
    "nesting": (30, changed("<ROOT>", "<ROOT>" + "<x>" * 300).replace(b"</ROOT>", b"</x>" * 300 + b"</ROOT>")),
    "UTF-16": (30, SALE.decode().replace("UTF-8", "UTF-16").encode("utf-16")),
    "an unknown encoding": (30, changed("UTF-8", "EBCDIC-CP-US")),
    "a megabyte and a byte": (31, SALE.ljust(MEGABYTE + 1)),
    "two megabytes": (31, b"<ROOT>" + b"x" * (2 * MEGABYTE)),
    **{f"Summa={value}": (30, changed(GOOD.decode(), f'Summa="{value}"')) for value in (*NUMBERS[7:19], "1" * 19)},
    "an amount beyond all bounds": (30, changed(GOOD.decode(), 'Summa="-1000000000000001"')),
    "amounts that add up to it": (13, repeated("TransactionsEx", 1).replace(GOOD, b'Summa="-1000000000000000"')),
    "a purse payment with the sign of a return": (30, changed(GOOD.decode(), 'Summa="100"')),
    "own money with the sign of a return": (30, changed('Summa="99900"', 'Summa="-99900"')),
    "an unknown kind": (30, changed('Kind="0"', 'Kind="4"')),
    "no kind": (30, changed('Kind="0"', "")),
    "card 0": (14, changed(f'Card="{CARD}"', 'Card="0"')),
    "an unknown card": (14, changed(f'Card="{CARD}"', 'Card="7770000000000000"')),
    "a negative card": (30, changed(f'Card="{CARD}"', 'Card="-1"')),
    "a card beyond 64 bits": (30, changed(f'Card="{CARD}"', f'Card="{2**63}"')),
    "a sum with three decimals": (30, changed('bsum="999" sum="999"', 'bsum="999" sum="999.001"')),
    "a sum with a comma": (30, changed('bsum="999" sum="999"', 'bsum="999" sum="999,00"')),
    "a quantity in words": (30, changed('quantity="1"', 'quantity="one"')),
    "an unknown chmode": (30, changed('chmode="1"', 'chmode="14"')),
    "no chmode": (30, changed('chmode="1"', "")),
    "two checks": (30, changed("</INPBUF>", "<CHECK/></INPBUF>")),
    "no GUID and no number": (30, changed("RKCheck", "RKNone", NO_GUID)),
    "no GUID and no date": (30, NO_GUID.replace(b"T00:00:00", b"T25:00:00")),
    "no GUID and two receipts": (30, changed('RKCheck="204417"', 'RKCheck="204418"', NO_GUID)),
    "a GUID of other characters": (30, re.sub(rb'checkguid="[^"]*"', 'checkguid="Ж"'.encode(), SALE)),
    "a GUID without end": (30, re.sub(rb'checkguid="[^"]*"', b'checkguid="' + b"a" * 65 + b'"', SALE)),
    "a long station": (30, changed('stationcode="5"', f'stationcode="{"5" * 65}"')),
    "more lines than a receipt has": (30, repeated("LINE", 1_000)),
    "more payments than a receipt has": (30, repeated("PAYMENT", 1_000)),
    "more records than a receipt has": (30, repeated("TransactionsEx", 1_000)),
    "more cards than a receipt has": (30, Bill(tuple(Part(str(n), own=1) for n in range(1, 18))).body()),
    "another restaurant": (3, changed("310070003", "310079999")),
    "a record of another restaurant": (3, changed('Restaurant="3"', 'Restaurant="4"')),
    "more points than there are": (51, changed(GOOD.decode(), 'Summa="-10001"')),
}


@pytest.mark.parametrize(("error", "body"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_message_is_refused_in_words_that_its_reader_can_act_on(shop: Shop, error: int, body: bytes) -> None:
    card = shop.card(10_000)
    body = body.replace(CARD.encode(), card.encode())
    text = shop.refused(error, body).response["err_text"]
    assert text.isprintable() and len(text) > 20
    english = shop.refused(error, body.replace(b'locale="1049"', b'locale="1033"')).response["err_text"]
    if b'locale="1049"' in body[:KEPT_OF_TOO_LARGE]:
        assert english.isascii() and english != text
    logged = shop.logged()[0]
    assert logged.request.body == (body if error != 31 else body[:KEPT_OF_TOO_LARGE])


TOLERATED: dict[str, bytes] = {
    "as it should be": SALE,
    "blank lines in front": b"\r\n\r\n" + SALE,
    "a byte order mark": b"\xef\xbb\xbf" + SALE,
    "Windows-1251, as declared": SALE.decode().replace("UTF-8", "windows-1251").encode("cp1251"),
    "Windows-1251, misdeclared": SALE.decode().encode("cp1251"),
    "a time that is none": re.sub(rb'generateddatetime="[^"]*"', b'generateddatetime="2013-08-2116:2316:23:56"', SALE),
    "a date that is none": re.sub(rb'shiftdate="[^"]*"', b'shiftdate="2026-02-30"', SALE),
    "times at the ends of the calendar": SALE.replace(b'"2026-05-04T11', b'"9999-12-31T23').replace(
        b'"2026-05-04"', b'"0001-01-01"'
    ),
    "a name of ten thousand characters": changed("Борщ", "Ж" * 10_000),
    "a name with signs of all planes": changed("Борщ", "\U0001f4a9\u202e\u0085\ufffd&#9;&quot;"),
    "a message of just a megabyte": SALE.ljust(MEGABYTE),
    "another namespace": changed("<ROOT>", '<ROOT xmlns="urn:x">'),
}


@pytest.mark.parametrize("body", TOLERATED.values(), ids=TOLERATED.keys())
def test_odd_message_that_can_be_understood_is_posted(shop: Shop, body: bytes) -> None:
    card = shop.card(10_000)
    body = body.replace(CARD.encode(), card.encode())[:MEGABYTE]
    answers = [shop.done(body).body for _ in range(2)]
    assert answers[0] == answers[1]
    assert shop.points(card) == 10_000 - 100 + 4_995
    assert shop.kinds() == ["receipt"]


def without_lines(elements: str) -> bytes:
    body = re.sub(rb"<LINE .*?</LINE>\n", b"", SALE, flags=re.DOTALL)
    return changed('<CHECKCATEGS count="1">', f'<CHECKCATEGS count="1">{elements}', body)


GREATEST = "9999999999999.99"
FLOODS: dict[str, bytes] = {
    "categories": without_lines(f'<CATEG sum="{GREATEST}"/>' * 20_000),
    "discounts of a line": changed("</LINE>", f'<DISCOUNTPART sum="-{GREATEST}"/>' * 20_000 + "</LINE>"),
    "lines": changed(
        '<CHECKLINES count="2">',
        '<CHECKLINES count="2">' + f'<LINE uni="1" code="1" name="" price="1" quantity="1" sum="{GREATEST}"/>' * 998,
    ),
}


@pytest.mark.parametrize("body", FLOODS.values(), ids=FLOODS.keys())
def test_receipt_whose_parts_add_up_beyond_all_bounds_is_refused(shop: Shop, body: bytes) -> None:
    card = shop.card(10_000)
    before = shop.everything()
    answer = shop.send(body.replace(CARD.encode(), card.encode()))
    assert (answer.status, answer.result) == ("200 OK", 1), answer.body
    assert answer.error in (13, 30), "not a refusal but a failure of ours"
    assert shop.everything() == before


def test_work_on_a_message_grows_with_its_size_and_not_faster(shop: Shop) -> None:
    """Measured against a smaller message in the same process: a busy machine slows both."""
    card = shop.card()
    record = re.search(rb"<TransactionsEx [^>]*Kind=\"3\"[^>]*>\n", SALE)
    assert record
    base = SALE.replace(GOOD, b'Summa="0"').replace(b'cardcode="@card@"', b'cardcode=""')
    base = base.replace(CARD.encode(), card.encode())

    def seconds(size: int, number: int) -> float:
        body = base.replace(record[0], record[0] * (4 * size))
        body = re.sub(rb'checkguid="[^"]*"', f'checkguid="{number:032X}"'.encode(), body)
        body = body.replace(b"<ALLCARDS>", b"<ALLCARDS>" + b'<ITEM cardcode="1"/>' * (150 * size))
        started = time.process_time()
        shop.done(body)
        return time.process_time() - started

    small, large = (min(seconds(size, 10 * size + n) for n in range(3)) for size in (20, 100))
    assert large < small * 12, "five times the message, twenty-five times the work if each part looks at every other"


def test_message_that_is_too_large_is_refused_without_an_amount_of_money(shop: Shop) -> None:
    assert not re.search("[0-9]", shop.refused(31, SALE.ljust(2 * MEGABYTE)).response["err_text"])


def test_repeated_bad_message_is_logged_every_time(shop: Shop) -> None:
    for body in (b"<", b"<", b"\xff" * 5_000):
        shop.refused(30, body)
    assert [row.request.body for row in shop.logged()] == [b"<", b"<", b"\xff" * 5_000]
    assert {row.outcome for row in shop.logged()} == {"bad_message"}
