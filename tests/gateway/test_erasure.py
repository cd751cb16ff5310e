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
from processing.commands import EraseHolder, RegisterHolder
from tests.processing.books import CHAIN, MOSCOW, PROGRAMMES, Books, StillClock, ref

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
