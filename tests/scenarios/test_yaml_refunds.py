"""UDS in YAML: a sale, and refunds that know it by the number that they were told; bytes in, rows, bytes out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from adapters.contract import Link, WireRequest
from adapters.declarative import build
from adapters.testing import converse
from gateway.yaml_files import read_yaml
from processing.commands import Identify
from tests.processing.books import MOSCOW, POINTS, Books, ref

ADAPTER = build(read_yaml(Path(__file__).parents[2] / "configs" / "adapters" / "uds.yaml")).adapter
LINK = Link("uds", MOSCOW, ZoneInfo("Europe/Moscow"), {"language": "ru", "unit": POINTS})


@dataclass
class Till:
    books: Books

    def post(self, path: str, body: Any = None, ask: str = "1") -> Any:
        """What the till hears; ``ask`` is the number of its request."""
        headers = {"x-origin-request-id": f"0f5e9a34-8c53-4c12-9d6a-{ask:>012}"}
        sent = b"" if body is None else json.dumps(body).encode()
        request = WireRequest("POST", path, "", headers, sent, ask, self.books.clock.at)
        return json.loads(converse(ADAPTER, request, LINK, self.books.core.execute).response.body)


def test_refunds_name_the_sale_by_its_number_and_bring_back_what_it_took(books: Books) -> None:
    card, till = books.card(20_000), Till(books)
    before = books.lots(card)
    account = books.core.answer([Identify(store=MOSCOW, refs=(ref(card),))])[0].account  # type: ignore[union-attr]
    sold = till.post(
        "operations",
        {
            "participant": {"uid": str(account)},
            "nonce": "9b2f8f0e-5f3a-4b8e-9f43-0d5d1f0a7c11",
            "receipt": {"total": 1000, "cash": 900, "points": 100, "number": "17"},
        },
    )
    refund = f"operations/{sold['id']}/refund"
    part = till.post(refund, {"partialAmount": 250}, "2")
    assert part["points"] == 25
    assert till.post(refund, {"partialAmount": 250}, "2") == part
    assert till.post(refund, {"partialAmount": 800}, "3")["errorCode"] == "return_exceeds"
    assert till.post(f"operations/{part['id']}/refund", ask="4")["errorCode"] == "receipt_not_found"
    rest = till.post(refund, ask="5")
    assert rest["points"] == 75
    assert till.post(refund, {}, "6") == rest, "all of it comes back once, whatever the request is called"
    assert books.lots(card) == before
    books.check_laws()
