"""Orders that nobody has told of: which are asked for, what is booked of them, and what is waited for."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from marshmallow import ValidationError

from adapters.contract import HttpCall, HttpReply, Job
from adapters.iiko_cloud import ADAPTER, orders
from adapters.iiko_cloud.orders import IDS_IN_CALL, LOOK_FOR, MAX_WAITING, WINDOW
from adapters.iiko_webhooks import WebhookOptions
from adapters.iiko_webhooks.events import order_of
from adapters.iiko_webhooks.receipts import ask_of
from adapters.json_parsing import parse_json
from adapters.testing.lines import Line, Run, Said
from processing.commands import PostReceipt, VoidReceipt
from processing.errors import LinkDown, LinkRefused
from tests.adapters.iiko_cloud.far_side import ORDER, ORDERS_OF, SECRETS, Chain, link
from tests.adapters.iiko_cloud.stub import (
    AT,
    BY_DATE,
    BY_REVISION,
    BY_TABLE,
    DELIVERY_BY_ID,
    TABLE,
    TABLE_BY_ID,
    No,
    order_info,
    till_id,
)


def cloud() -> Chain:
    """Without guests."""
    far = Chain()
    far.wallets_of_ours = ()
    return far


def pulled(far: Chain, state: Any = None, days: float = 0, fault: Any = None, **options: Any) -> Run:
    line = Line(ADAPTER, link(orders_of=ORDERS_OF, **options), far, SECRETS)
    job = Job(AT + timedelta(days=days), state=state)
    run = line.run(job, fault) if fault else line.run(job)
    far.calls = [path for path in far.calls if "access_token" not in path]
    return run


def waits(*names: str, kind: str = "") -> dict[str, Any]:
    """A state in which orders are waited for, by the till's ids."""
    waiting = {name: [orders.TILL, kind, AT.isoformat()] for name in names}
    return {"after": 0, "places": {}, "orders": {"waiting": waiting}}


def notes(run: Run) -> list[str]:
    return [step.told.note for step in run.steps if getattr(step.told, "note", "")]  # type: ignore[union-attr]


def waited(run: Run) -> set[str]:
    return set((run.state or {}).get("orders", {}).get("waiting", {}))


def test_an_order_that_is_pulled_is_the_very_fact_that_its_webhook_would_be() -> None:
    """So whichever comes second finds that it is booked."""
    far, info = cloud(), order_info(ORDER + "1", 1)
    far.tell(info)
    (fact,) = pulled(far, waits(till_id(ORDER + "1"))).asks
    event = parse_json(json.dumps({"eventType": "TableOrderUpdate", "eventInfo": info}).encode())
    order = order_of(event)
    to = link()
    assert order is not None and fact == ask_of(order, type(to)(to.code, to.store, to.zone, ORDERS_OF))


def test_orders_are_asked_for_by_the_till_s_id_where_the_report_says_that_they_are() -> None:
    for kind, paths in (("table", [TABLE_BY_ID]), ("delivery", [DELIVERY_BY_ID]), ("", [TABLE_BY_ID, DELIVERY_BY_ID])):
        far = cloud()
        far.tell(order_info(ORDER + "1", 1), is_delivery=kind != "table")
        run = pulled(far, waits(till_id(ORDER + "1"), kind=kind))
        assert far.calls == paths and len(run.asks) == 1 and not waited(run), kind


def test_an_order_that_is_open_or_not_to_be_seen_yet_is_looked_at_again_until_it_is_closed() -> None:
    far, name = cloud(), ORDER + "1"
    far.tell(order_info(name, 1), lag_seconds=5)
    run = pulled(far, waits(till_id(name)))
    assert not run.asks and waited(run) == {till_id(name)}
    far.later()
    far.tell(order_info(name, 2, "Bill"))
    run = pulled(far, run.state)
    assert not run.asks and waited(run) == {till_id(name)}
    far.tell(order_info(name, 3, "Deleted"))
    run = pulled(far, run.state)
    (fact,) = run.asks
    assert isinstance(fact, VoidReceipt) and fact.supersede and not waited(run)
    far.calls.clear()
    assert not pulled(far, run.state).asks and not far.calls


def test_an_order_that_nobody_sees_is_given_up_and_told_once() -> None:
    far = cloud()
    run = pulled(far, waits(till_id(ORDER + "1")), days=6.9)
    assert not notes(run) and waited(run)
    run = pulled(far, run.state, days=7.1)
    assert notes(run) == [f"not seen closed and given up: orders {till_id(ORDER + '1')}"] and not waited(run)
    assert not notes(pulled(far, run.state, days=7.2))
    many = [f"{ORDER[:-4]}{n:04}1" for n in range(MAX_WAITING + 3)]
    assert len(waited(pulled(far, waits(*many)))) == MAX_WAITING


def test_one_that_is_refused_keeps_no_other() -> None:
    """Where the service refuses all for one that it does not know."""
    far, names = cloud(), [ORDER + str(n) for n in range(5)]
    for name in names[1:]:
        far.tell(order_info(name, 1))
    plain = far.paths[TABLE_BY_ID]

    def strict(told: Any) -> Any:
        if till_id(names[0]) in told["posOrderIds"]:
            raise No("", "")
        return plain(told)

    far.paths[TABLE_BY_ID] = strict
    run = pulled(far, waits(*map(till_id, names), kind="table"))
    assert len(run.asks) == 4 and waited(run) == {till_id(names[0])} and run.error is None


def test_no_call_asks_for_more_than_the_service_allows() -> None:
    far = cloud()
    run = pulled(far, waits(*(f"{ORDER[:-4]}{n:04}1" for n in range(120)), kind="table"))
    calls = [json.loads(told.body) for told in run.told if isinstance(told, HttpCall) and told.path == TABLE_BY_ID]
    assert [len(told["posOrderIds"]) for told in calls] == [IDS_IN_CALL, IDS_IN_CALL, 20]
    assert {tuple(told) for told in calls} == {("organizationIds", "posOrderIds")}


@pytest.mark.parametrize("status", [429, 503])
def test_a_far_side_that_is_busy_is_asked_again_for_what_is_left(status: int) -> None:
    far = cloud()
    far.tell(order_info(ORDER + "1", 1), is_delivery=True)
    state = waits(till_id(ORDER + "1"))
    run = pulled(far, state, fault=Said(2, HttpReply(status, {}, b""), is_done=False))
    assert isinstance(run.error, LinkDown) and not run.asks
    assert len(pulled(far, run.state).asks) == 1


def test_an_order_that_makes_no_sense_or_is_another_organization_s_is_told_and_keeps_no_other() -> None:
    far = cloud()
    far.tell(order_info(ORDER + "1", 1, sum=-1))
    far.tell(order_info(ORDER + "2", 1) | {"organizationId": "00000000-0000-4000-8000-000000000001"})
    far.tell(order_info(ORDER + "3", 1))
    run = pulled(far, waits(*(till_id(ORDER + str(n)) for n in (1, 2, 3)), kind="table"))
    assert len(run.asks) == 1 and len(notes(run)) == 2 and not waited(run)
    assert all(ORDER[:-1] in told for told in notes(run)) and not any("Anna" in told for told in notes(run))


def test_a_right_that_is_missing_ends_the_pull_when_the_guests_were_looked_at() -> None:
    far = Chain()
    del far.paths[TABLE_BY_ID]
    run = pulled(far, waits(till_id(ORDER + "1")) | {"after": 16}, guests_per_pull=1)
    assert isinstance(run.error, LinkRefused) and run.state["after"] == 17 and waited(run)


# Lists


def test_deliveries_are_read_by_revision_and_where_that_is_too_old_by_their_days() -> None:
    far = cloud()
    for n in (1, 2):
        far.tell(order_info(f"{ORDER}{n}", 1), is_delivery=True, at=AT - timedelta(hours=20 * n))
    run = pulled(far, deliveries=True)
    assert len(run.asks) == 2 and set(far.calls) == {BY_DATE} and run.error is None
    far.calls.clear()
    far.later()
    far.tell(order_info(ORDER + "1", 2, "Cancelled"), is_delivery=True, at=AT)
    far.tell(order_info(ORDER + "3", 2, "OnWay"), is_delivery=True, at=AT)
    run = pulled(far, run.state, deliveries=True)
    (fact,) = run.asks
    assert isinstance(fact, VoidReceipt) and far.calls == [BY_REVISION]
    far.now += 4 * 3600
    far.tell(order_info(ORDER + "3", 3), is_delivery=True, at=AT + timedelta(hours=3))
    far.calls.clear()
    run = pulled(far, run.state, days=1 / 6, deliveries=True)
    assert far.calls[:2] == [BY_REVISION, BY_DATE] and not waited(run)
    assert run.asks[-1].keys[0] == f"iiko:order:{ORDER}3", "and those of the day before once more"


def test_orders_of_tables_are_listed_from_where_the_last_list_ended_and_open_ones_are_waited_for() -> None:
    far, name = cloud(), ORDER + "1"
    far.tell(order_info(name, 1, "New"), at=AT - timedelta(hours=23))
    far.tell(order_info(ORDER + "2", 1), at=AT - timedelta(minutes=5))
    run = pulled(far, tables=[TABLE])
    assert len(run.asks) == 1 and waited(run) == {name} and far.calls.count(BY_TABLE) == 5
    far.calls.clear()
    far.tell(order_info(name, 2), at=AT - timedelta(hours=23))
    # Opened before the end of the last list, and seen only now.
    far.tell(order_info(ORDER + "3", 1), at=AT - timedelta(minutes=30))
    run = pulled(far, run.state, days=1 / 24, tables=[TABLE])
    assert far.calls == [BY_TABLE, TABLE_BY_ID] and not waited(run)
    booked = {ask.keys[0] for ask in run.asks if isinstance(ask, PostReceipt)}
    assert booked >= {f"iiko:order:{name}", f"iiko:order:{ORDER}3"}


def test_no_list_is_longer_than_the_service_allows_or_begins_before_what_it_keeps() -> None:
    far = cloud()
    old = {"after": 0, "places": {}, "orders": {"tables": "2026-01-01T00:00:00Z", "deliveries": "2026-01-01T00:00:00Z"}}
    ahead = {"after": 0, "places": {}, "orders": dict.fromkeys(("tables", "deliveries"), "2027-01-01T00:00:00Z")}
    run = pulled(far, ahead, deliveries=True, tables=[TABLE])
    assert run.error is None and {BY_TABLE, BY_DATE} <= set(far.calls), "by a clock that was set back"
    far.calls.clear()
    run = pulled(far, old, deliveries=True, tables=[TABLE])
    assert run.error is None and timedelta(days=1) >= WINDOW
    assert far.calls.count(BY_TABLE) == (LOOK_FOR + timedelta(hours=1)) // WINDOW + 1
    assert run.state["orders"]["tables"] == AT.isoformat().replace("+00:00", "Z")


# Options


def test_lists_need_a_link_that_says_how_orders_are_booked() -> None:
    for options in ({"deliveries": True}, {"tables": [TABLE]}):
        with pytest.raises(ValidationError, match="iiko_webhooks"):
            link(**options)
    assert link(orders_of="hooks").options["orders_of"] == "hooks", "until the gateway puts that link's options there"


def test_a_link_whose_webhooks_book_nothing_books_nothing_here() -> None:
    far = cloud()
    far.tell(order_info(ORDER + "1", 1))
    line = Line(ADAPTER, link(orders_of=WebhookOptions().load({})), far, SECRETS)
    run = line.run(Job(AT, state=waits(till_id(ORDER + "1"))))
    assert not run.asks and not waited(run)
