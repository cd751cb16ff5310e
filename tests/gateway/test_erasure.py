"""An erased holder is forgotten by the exchange log too, and nobody else is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway import erasure
from gateway.app import Parts
from gateway.erasure import forget_people
from gateway.exchange_log import ExchangeLog, pack_request, read
from gateway.settings import ExchangeLogLimits, GatewaySettings, Settings
from processing.commands import EnrolHolder, EraseHolder, LearnReceipt, Ref, RegisterHolder
from tests.processing.books import CHAIN, MOSCOW, NOON, PLAIN, POINTS, PROGRAMMES, Books, StillClock, ref

NAME, PHONE, EMAIL = "Анна Смирнова", "+7 921 000-00-01", "anna@example.org"
TELLING = {
    "name in an answer": (b"<QRY/>", f'<Root><X Holder="{NAME}"/></Root>'.encode()),
    "name in capitals": (f"<a>{NAME.upper()}</a>".encode(), b""),
    "name in cp1251": (f'<?xml version="1.0" encoding="windows-1251"?><a>{NAME}</a>'.encode("cp1251"), b""),
    "name percent-encoded": (b"q=%C0%ED%ED%E0%20%D1%EC%E8%F0%ED%EE%E2%E0", b""),
    "phone as written": (b"<QRY Email='8 (921) 000-00-01'/>", b""),
    "phone as a number": (b'{"phone": 79210000001}', b""),
    "e-mail": (b"", b"<a>Anna@Example.ORG</a>"),
}
OTHERS = {
    "another phone": (b"<QRY Email='8 (921) 000-00-02'/>", b""),
    "a card": (b'<QRY Card="5550001234"/>', b"<Root/>"),
    "a first name": ("<a>Анна Петрова</a>".encode(), b""),
    "not text": (b"\x00\xff\x10", b""),
}


@pytest.fixture
def own(books: Books) -> Parts:
    settings = Settings(GatewaySettings(), CHAIN, PROGRAMMES, {})
    return Parts(settings, books.database, books.core.work.vault, books.core)


def record(own: Parts, at: datetime, messages: dict[str, tuple[bytes, bytes]]) -> None:
    log = ExchangeLog(own.database.writer, own.vault, ExchangeLogLimits())
    for name, (request, answer) in messages.items():
        told: dict[str, Any] = {"route": "x", "outcome": "ok", "status": 200, "took_us": 1}
        log.record(
            link="till", at=at, request_id=name, request=pack_request("POST", "x", "", request), answer=answer, **told
        )
    assert log.close(10)


def kept(own: Parts) -> set[str]:
    with own.database.reading() as connection:
        return {each.request_id for each in read(connection, own.vault, "till", None, 1_000)}


def test_messages_that_tell_who_somebody_was_go_and_the_others_stay(
    books: Books, clock: StillClock, own: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "BITE_ROWS", 3)
    # The log throws away what is old by the real clock.
    clock.at = datetime.now(UTC)
    card = books.card()
    person: dict[str, Any] = {"name": NAME, "phone": PHONE, "email": EMAIL}
    books.done(RegisterHolder(store=MOSCOW, keys=("r",), card=ref(card), **person))
    record(own, clock.at - timedelta(days=2), TELLING | OTHERS)
    assert forget_people(own) == 0, "nobody was erased"
    books.done(EraseHolder(store=MOSCOW, keys=("e",), card=ref(card), reason="asked"))
    sealed = books.rows("SELECT sought FROM erasure")[0][0]
    assert NAME.encode() not in bytes(sealed)
    while forget_people(own):
        pass
    assert kept(own) == set(OTHERS)
    record(own, clock.at + timedelta(seconds=5), {"written late": TELLING["e-mail"]})
    assert forget_people(own) == 1
    assert kept(own) == set(OTHERS)
    clock.forward(minutes=11)
    assert forget_people(own) == 1
    assert forget_people(own) == 0
    ((sought, done_at),) = books.rows("SELECT sought, done_at FROM erasure")
    assert sought is None
    assert done_at is not None


def test_receipts_of_1c_lose_the_card_of_the_erased_in_bites_before_the_erasure_is_done(
    books: Books, clock: StillClock, own: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late enough for one that was being told while the holder was erased."""
    monkeypatch.setattr(erasure, "BITE_RECEIPTS", 2)
    guid = Ref("onec", "6f0c2a4e-0000-4000-8000-000000000001")
    card = books.card()
    books.done(EnrolHolder(store=MOSCOW, keys=("r",), product=PLAIN, names=(guid, ref(card)), name=NAME, phone=PHONE))
    for n in range(3):
        told: dict[str, Any] = {"document": str(n), "unit": POINTS, "at": NOON, "card_ref": guid, "earned": 1}
        books.done(LearnReceipt(store=MOSCOW, keys=(f"l{n}",), **told))
    clock.forward(minutes=11)
    assert forget_people(own) == 0, "nobody was erased"
    books.done(EraseHolder(store=MOSCOW, keys=("e",), card=ref(card), reason="asked"))
    clock.forward(minutes=9)
    assert forget_people(own) == 0
    clock.forward(minutes=2)
    assert [forget_people(own) for _ in range(4)] == [2, 1, 1, 0]
    assert guid.value not in str(books.rows("SELECT * FROM learned_receipt"))
    assert {row[0] for row in books.rows("SELECT wallet_id FROM learned_receipt")} == {
        row[0] for row in books.rows("SELECT wallet_id FROM card")
    }
    assert books.rows("SELECT done_at FROM erasure")[0][0] is not None
