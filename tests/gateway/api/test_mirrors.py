"""A wallet's mirror over REST: transactions by revision, turnover, names; and enrolment of who is in it."""

from __future__ import annotations

import pytest

from tests.gateway.api.client import Client
from tests.processing.books import MOSCOW, PLAIN, Books, adjust

PHONE = "+79211234567"


@pytest.mark.parametrize("books", ["sqlite"], indirect=True)
def test_a_wallet_is_enrolled_named_and_followed(rest: Client, books: Books) -> None:
    told = {"store": MOSCOW, "product": PLAIN, "phone": PHONE, "name": "Анна", "details": {"crm.segment": "tea"}}
    made = rest.write("/holders/enrol", **told).ok()
    assert made["outcome"] == "registered"
    again = rest.write("/holders/enrol", **told | {"details": {"crm.segment": ""}}).ok()
    assert (again["outcome"], again["account"], again["number"]) == ("updated", made["account"], "")
    assert rest.get(f"/holders/{made['holder_id']}").ok()["details"] == {}
    path = f"/accounts/{made['account']}"
    named = rest.get(f"{path}/wallet", store=MOSCOW).ok()
    found = rest.query("/cards/identify", store=MOSCOW, refs=[{"scheme": "uuid", "value": named["uuid"]}]).ok()
    assert found["account"] == made["account"]
    assert [card["number"] for card in named["cards"]] == [made["number"]]
    for n in range(3):
        books.done(adjust(f"a{n}", made["number"], 100 + n))
    first = rest.get(f"{path}/transactions", limit=2).ok()
    last = first["transactions"][-1]
    after = f"{last['revision']}:{last['operation_id']}:{last['entry']}"
    behind = rest.get(f"{path}/transactions", after=after).ok()
    assert [one["amount"] for one in first["transactions"] + behind["transactions"]] == ["1.00", "1.01", "1.02"]
    assert (first["more"], behind["more"], behind["transactions"][-1]["balance"]) == (True, False, "3.03")
    assert rest.get(f"{path}/transactions", after="1").fields == {"after"}
    assert rest.get(f"{path}/turnover", since="2026-05-01").ok()["visits"] == 0
    assert rest.get(f"/stores/{MOSCOW}/chain").ok()["name"] == "Moscow"
