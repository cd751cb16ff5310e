"""Reports of account at REST: texts in major units, bad periods named by their field, limited clients see their own."""

from __future__ import annotations

import re
from typing import Any

import pytest

from adapters.onec_server.options import OneCOptions
from gateway.api import reports
from gateway.app import Parts
from gateway.settings import LinkSettings
from processing.commands import EnrolHolder, Ref
from processing.settlement import COLUMNS
from tests.adapters.onec_server.bases import mapping
from tests.gateway.api.client import Client
from tests.gateway.api.conftest import NewClient
from tests.processing.books import ALMATY, MOSCOW, PLAIN, POINTS, URAL, Books, StillClock, post, use

MAY = {"from": "2026-05-01", "to": "2026-06-01"}


@pytest.fixture
def spent(books: Books) -> None:
    """80.00 of alpha's points are spent at beta."""
    card = books.card()
    books.done(post("M", use(card), total=200_000))
    books.done(post("K", use(card, 8_000, 0), total=50_000, store=ALMATY))


def row(told: Any, **names: str) -> Any:
    (found,) = [one for one in told["rows"] if all(one[name] == value for name, value in names.items())]
    return found


@pytest.mark.usefixtures("spent")
def test_settlement_tells_who_owes_whom_in_points_and_money(rest: Client) -> None:
    told = rest.get("/reports/settlement", **MAY).ok()
    assert (told["from"], told["to"], told["zone"]) == ("2026-05-01", "2026-06-01", "Europe/Moscow")
    assert told["is_final"] is False
    assert told["owed"] == [
        {"unit": POINTS, "debtor": "alpha", "creditor": "beta", "amount": "80.00", "money": "80.00"}
    ]
    pair = row(told, issuer="alpha", partner="beta")
    assert (pair["unit"], pair["redeemed"], pair["net"], pair["money"]["net"]) == (POINTS, "80.00", "80.00", "80.00")
    assert told["totals"][0]["issued"] == "100.00"
    assert all(re.fullmatch(r"-?\d+\.\d\d", pair[name]) for name in COLUMNS)


@pytest.mark.usefixtures("spent")
def test_liability_tells_what_lots_hold(rest: Client) -> None:
    told = rest.get("/reports/liability", **MAY, unit=POINTS).ok()
    (alpha,) = told["rows"]
    assert (alpha["issuer"], alpha["opening"], alpha["closing"]) == ("alpha", "0.00", "20.00")
    assert (alpha["money"]["issued"], alpha["closing_debt"]) == ("100.00", "0.00")
    assert {name: told["totals"][0][name] for name in ("issued", "redeemed")} == {
        "issued": "100.00",
        "redeemed": "80.00",
    }


@pytest.mark.parametrize("path", ["/reports/settlement", "/reports/liability"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-05-01"}, "to"),
        ({"to": "2026-05-01"}, "from"),
        ({**MAY, "to": "2026-05-01"}, "to"),
        ({**MAY, "to": "2027-05-03"}, "to"),
        ({**MAY, "from": "May"}, "from"),
        ({**MAY, "from": "1999-01-01"}, "from"),
        ({**MAY, "zone": "Mars/Base"}, "zone"),
        ({**MAY, "since": "2026-05-01"}, "since"),
    ],
)
def test_bad_period_is_refused_by_its_field(rest: Client, path: str, query: dict[str, str], field: str) -> None:
    answer = rest.get(path, **query)
    assert (answer.status, answer.code, answer.fields) == (422, "bad_message", {field})


@pytest.mark.parametrize("path", ["/reports/settlement", "/reports/liability"])
def test_unknown_unit_is_not_found(rest: Client, path: str) -> None:
    assert rest.get(path, **MAY, unit="GOLD").code == "unit_not_found"


@pytest.mark.usefixtures("spent")
def test_limited_client_sees_the_partners_it_wholly_speaks_for(new_client: NewClient) -> None:
    beta = new_client("reports:read", stores=[ALMATY])
    told = beta.get("/reports/settlement", **MAY).ok()
    assert [(one["issuer"], one["partner"]) for one in told["rows"]] == [("alpha", "beta")]
    assert told["totals"][0]["issued"] == "0.00", "what alpha issued is not beta's to know"
    assert beta.get("/reports/liability", **MAY).ok()["rows"] == []
    half = new_client("reports:read", stores=[MOSCOW])
    assert half.get("/reports/settlement", **MAY).ok()["rows"] == []
    both = new_client("reports:read", stores=[MOSCOW, URAL])
    assert len(both.get("/reports/settlement", **MAY).ok()["rows"]) == 2
    assert [one["issuer"] for one in both.get("/reports/liability", **MAY).ok()["rows"]] == ["alpha"]


def test_one_report_is_read_at_a_time(rest: Client) -> None:
    with reports._one_at_a_time():
        refused = rest.get("/reports/settlement", **MAY)
        assert (refused.status, refused.code) == (503, "busy")
    assert rest.get("/reports/settlement", **MAY).status == 200
    assert rest.get("/reports/settlement", **{**MAY, "zone": "Mars/Base"}).status == 422
    assert rest.get("/reports/liability", **MAY).status == 200, "a refused one lets go"


def test_report_that_takes_too_long_is_given_up(rest: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "REPORT_SECONDS", -1)
    answer = rest.get("/reports/liability", **MAY)
    assert (answer.status, answer.code) == (413, "too_large")
    assert "shorter period" in answer.body["message"]


def test_empty_books_make_empty_reports(rest: Client) -> None:
    for path in ("/reports/settlement", "/reports/liability"):
        told = rest.get(path, **MAY).ok()
        assert (told["rows"], told["totals"], told.get("owed", [])) == ([], [], [])


# Reconciliation ---------------------------------------------------------------------------------------------------

ASKED = {"link": "office", "since": "2026-05-04T00:00:00Z", "until": "2026-05-05T00:00:00Z"}


@pytest.fixture
def office(parts: Parts, books: Books) -> None:
    """A link in Moscow that pulls receipts; one is learned by REST, and its call was lost."""
    options = OneCOptions().load(
        {"mapping": mapping("retail2"), "user": "u", "product": PLAIN, "pull": ["cards", "receipts"]}
    )
    links: Any = parts.settings.links
    links["office"] = LinkSettings("office", "onec_server", MOSCOW, True, (), (), options)
    card = books.card()
    named = (Ref("onec", "guid-1"), Ref("card", card))
    books.done(EnrolHolder(store=MOSCOW, keys=("e",), product=PLAIN, names=named))


@pytest.mark.usefixtures("office")
def test_reconciliation_tells_what_was_lost(rest: Client, books: Books, clock: StillClock) -> None:
    told = {"document": "d-1", "unit": POINTS, "at": "2026-05-04T08:00:00Z", "earned": "10.95", "total": "300.00"}
    named = {"card_ref": {"scheme": "onec", "value": "guid-1"}}
    assert rest.write("/receipts/learn", key="d-1", **told, **named).ok() == {
        "document": "d-1",
        "at": "2026-05-04T09:00:00Z",
        "is_known": True,
    }
    found = rest.get("/reports/reconciliation", **ASKED).ok()
    (lost,) = found["rows"]
    assert (found["agrees"], found["store"], found["counts"]["not_booked"]) == (False, MOSCOW, 1)
    assert (lost["verdict"], lost["kind"], lost["expected"], lost["booked"]) == ("not_booked", "accrual", "10.95", None)
    assert (lost["total"], lost["operation_id"], lost["closed_at"]) == ("300.00", None, "2026-05-04T08:00:00Z")
    assert rest.get("/reports/reconciliation", **ASKED, wait_hours=1, window_minutes=61, all=True).ok()["counts"] == {
        **dict.fromkeys(found["counts"], 0),
        "waiting": 1,
    }


@pytest.mark.parametrize("books", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("office")
def test_reconciliation_is_for_links_that_pull_receipts_and_for_who_speaks_for_their_store(
    rest: Client, new_client: NewClient
) -> None:
    path = "/reports/reconciliation"
    assert rest.get(path, **{**ASKED, "link": "nobody"}).status == 404
    assert rest.get(path, **{**ASKED, "link": "moscow"}).fields == {"link"}
    assert rest.get(path, **{**ASKED, "until": "2026-12-31T00:00:00Z"}).fields == {"until"}
    assert rest.get(path, **{**ASKED, "since": "May"}).fields == {"since"}
    assert rest.get(path, **{**ASKED, "window_minutes": 0}).fields == {"window_minutes"}
    assert new_client("reports:read", stores=[ALMATY]).get(path, **ASKED).status == 403
    assert new_client("goods:write").get(path, **ASKED).status == 403
    assert new_client("reports:read", stores=[MOSCOW]).get(path, **ASKED).ok()["agrees"] is True
