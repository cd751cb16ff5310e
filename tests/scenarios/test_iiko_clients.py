"""iiko's own clients from PyPI, unmodified, over HTTP against our door; only their base URL is ours.

What differs between databases is in test_iiko.py; here SQLite will do.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import get_input_stream

from adapters.contract import HttpCall, Job
from adapters.iiko_cloud import ADAPTER as CLOUD
from adapters.iiko_cloud import orders
from adapters.testing.lines import Line
from gateway import pos
from processing.database import Database
from processing.execute import Core
from tests.adapters.iiko_cloud.far_side import ORDERS_OF, SECRETS, Chain, link
from tests.adapters.iiko_cloud.stub import AT, TABLE
from tests.processing.books import Books
from tests.scenarios.test_iiko import (
    BONUS,
    LINK,
    NOBODY,
    ORGANIZATION,
    PHONE,
    SECRET,
    VIP,
    Shop,
    basket,
    new_uuid,
    open_shop,
)

TWINS = 20


class Quiet(WSGIRequestHandler):
    """Keeps connections, as a production server does, and says nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        pass


@dataclass
class Served:
    shop: Shop
    address: str

    def paths(self) -> list[str]:
        return [each.request.path for each in self.shop.logged()]


@contextmanager
def served(books: Books, **options: Any) -> Iterator[Served]:
    """The door on a port of this machine."""
    with open_shop(books, **options) as shop:

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            # The server hands out the connection; what lies behind the body is the next request.
            return shop.pos({**environ, "wsgi.input": get_input_stream(environ)}, start_response)

        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield Served(shop, f"http://127.0.0.1:{server.server_port}/pos/{LINK}")
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture
def live(sqlite_books: Books, tmp_path: Path) -> Iterator[Books]:
    """Books of this test alone, by the real clock, as tokens want it."""
    copy = shutil.copy(str(sqlite_books.database.url.database), tmp_path / "books.db")
    database = Database(f"sqlite:///{copy}")
    work = sqlite_books.core.work
    yield Books(Core(database, work.directory, work.vault), database, None)
    database.dispose()


@pytest.fixture
def server(live: Books) -> Iterator[Served]:
    with served(live) as opened:
        yield opened
    live.check_laws()


# iikocloudapi -----------------------------------------------------------------------------------------------


def cloud(address: str, application: bool = True) -> Any:
    module = pytest.importorskip("iikocloudapi")
    if application:
        return module.IikoCloud(auth=module.AppAuth(SECRET, NOBODY, "secret-of-the-app"), base_url=address)
    from iikocloudapi._auth import ApiLoginAuth

    return module.IikoCloud(auth=ApiLoginAuth(SECRET), base_url=address)


def in_loop(address: str, talk: Any, **how: Any) -> None:
    async def run() -> None:
        async with cloud(address, **how) as client:
            await talk(client)

    asyncio.run(run())


def test_iikocloudapi_goes_all_the_way(server: Served) -> None:
    errors = pytest.importorskip("iikocloudapi._errors")

    async def talk(k: Any) -> None:
        (organization,) = (await k.organizations()).organizations
        mine = organization.id
        assert mine == ORGANIZATION
        groups = await k.terminal_groups(organization_ids=[mine])
        group = groups.terminal_groups[0].items[0].id
        alive = await k.terminal_groups.is_alive(organization_ids=[mine], terminal_group_ids=[group])
        assert alive.is_alive_status[0].is_alive
        loyalty = k.loyalty
        with pytest.raises(errors.BadRequest) as unknown:
            await loyalty.customer.info(body={"type": "phone", "phone": PHONE, "organizationId": mine})
        assert unknown.value.error == "Validation_IncorrectPhone"
        made = await loyalty.customer.create_or_update(
            organization_id=mine, phone=PHONE, name="Anna", sur_name="Petrova", sex=2, consent_status=1
        )
        known: dict[str, Any] = {"customer_id": made.id, "organization_id": mine}
        await loyalty.customer.card.add(card_track="770100000017", card_number="770100000017", **known)
        await loyalty.customer.wallet.topup(wallet_id=BONUS, sum=Decimal("150.5"), comment="welcome", **known)
        name = new_uuid()
        for _ in range(2):
            held = await loyalty.customer.wallet.hold(transaction_id=name, wallet_id=BONUS, sum=100, **known)
            assert held.transaction_id == name
        with pytest.raises(errors.BadRequest) as short:
            await loyalty.customer.wallet.chargeoff(wallet_id=BONUS, sum=Decimal("50.51"), **known)
        assert "50.50" in short.value.description
        await loyalty.customer.wallet.cancel_hold(transaction_id=name, organization_id=mine)
        await loyalty.customer.wallet.chargeoff(wallet_id=BONUS, sum=100, **known)
        found = await loyalty.customer.info(
            body={"type": "cardTrack", "cardTrack": "770100000017", "organizationId": mine}
        )
        assert (found.id, found.name, found.surname, found.sex) == (made.id, "Anna", "Petrova", 2)
        assert found.wallet_balances[0].balance == Decimal("50.5")
        programs = (await loyalty.program(organization_id=mine)).programs
        added = await loyalty.customer.program.add(program_id=programs[0].id, **known)
        assert added.user_wallet_id == BONUS
        categories = await loyalty.customer_category(organization_id=mine)
        assert categories.guest_categories[0].id == VIP
        await loyalty.customer_category.add(category_id=VIP, **known)
        await loyalty.customer_category.remove(category_id=VIP, **known)
        priced = await loyalty.calculate(order=basket(made.id), organization_id=mine)
        assert priced.available_payments[0].wallet_infos[0].max_sum == Decimal("50.5")
        assert (await loyalty.coupons.series(organization_id=mine)).series_with_not_activated_coupons == []
        assert (await loyalty.coupons.info(number="1", series=None, organization_id=mine)).coupon_info == []
        by_series = await loyalty.coupons.by_series(series="1", page=0, page_size=10, organization_id=mine)
        assert by_series.not_activated_coupon == []
        counted = await loyalty.get_counters(organization_id=mine, guest_ids=[made.id], periods=[0], metrics=[0, 1])
        assert [each.value for each in counted.counters] == [0, 0]
        mirror = await loyalty.customer.transactions.by_revision(revision=0, page_size=10, **known)
        assert [each.sum for each in mirror.transactions] == [Decimal("150.5"), -100]
        span = {"date_from": "2020-01-01 00:00:00.000", "date_to": "2100-01-01 00:00:00.000"}
        dated = await loyalty.customer.transactions.by_date(page_number=0, page_size=10, **span, **known)
        assert [each.id for each in dated.transactions] == [each.id for each in mirror.transactions]
        await loyalty.customer.card.remove(card_track="770100000017", **known)
        deleted = await loyalty.delete_customers(customer_ids=[made.id], organization_id=mine)
        assert (deleted.total, deleted.deleted) == (1, 1)
        assert (await loyalty.restore_customers(customer_ids=[made.id], organization_id=mine)).restored == 1
        assert (await loyalty.manual_condition(organization_id=mine)).manual_conditions == []
        status = await k.commands.status(organization_id=mine, correlation_id=NOBODY)
        assert status.state == "Success"
        assert (await k.webhooks.settings(organization_id=mine)).web_hooks_uri is None

    in_loop(server.address, talk)
    assert "api/v2/access_token" in server.paths()


def test_iikocloudapi_signs_in_anew_when_its_token_has_ended(live: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens live for one second; the door's clock is set on instead of waiting."""
    ahead = [timedelta(0)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + ahead[0]

    monkeypatch.setattr(pos, "datetime", Clock)
    with served(live, token_seconds=1) as server:

        async def talk(k: Any) -> None:
            for n in range(3):
                ahead[0] = timedelta(seconds=2 * n)
                assert (await k.organizations()).organizations

        in_loop(server.address, talk, application=False)
        # The shop's own, and one each.
        assert server.paths().count("api/1/access_token") == 4


def test_twenty_holds_of_iikocloudapi_at_once(server: Served) -> None:
    errors = pytest.importorskip("iikocloudapi._errors")
    customer = server.shop.customer()
    server.shop.top_up(customer, 150)

    async def talk(k: Any) -> None:
        told = {"customer_id": customer, "wallet_id": BONUS, "organization_id": ORGANIZATION, "sum": 100}

        async def hold() -> bool:
            try:
                await k.loyalty.customer.wallet.hold(transaction_id=new_uuid(), **told)
            except errors.BadRequest:
                return False
            return True

        assert sum(await asyncio.gather(*(hold() for _ in range(TWINS)))) == 1

    in_loop(server.address, talk)
    assert server.shop.balance(customer) == 50


# The others -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("application", [{}, {"app_id": NOBODY, "client_secret": "secret-of-the-app"}])
def test_pyiikocloudapi_goes_all_the_way(server: Served, application: dict[str, str]) -> None:
    """It encodes its login twice, sends numbers as texts, and needs errorDescription to understand a refusal."""
    module = pytest.importorskip("pyiikocloudapi")
    api = module.IikoTransport(SECRET, base_url=server.address, **application)
    (mine,) = [str(each.id) for each in api.organizations().organizations]
    assert mine == ORGANIZATION
    assert api.terminal_groups([mine]).terminal_groups[0].items[0].name == "Moscow"
    unknown = api.customer_info(mine, PHONE, "phone")
    assert (unknown.status_code, unknown.error) == (400, "Validation_IncorrectPhone")
    made = str(api.customer_create_or_update(mine, phone=PHONE, name="Anna", sur_name="Petrova", sex="2").id)
    known: dict[str, Any] = {"customer_id": made, "organization_id": mine}
    assert api.customer_card_add(card_track="7701", card_number="7701", **known) == {}
    assert api.customer_wallet_topup(wallet_id=BONUS, sum=150.5, comment="x", **known) == {}
    name = new_uuid()
    for _ in range(2):
        held = api.customer_wallet_hold(wallet_id=BONUS, sum=100, transaction_id=name, **known)
        assert str(getattr(held, "transaction_id", None) or held["transactionId"]) == name
    assert api.customer_wallet_chargeoff(wallet_id=BONUS, sum=50.51, **known).status_code == 400
    assert api.customer_wallet_cancel_hold(transaction_id=name, organization_id=mine) == {}
    assert api.customer_wallet_chargeoff(wallet_id=BONUS, sum=100, **known) == {}
    found = api.customer_info(mine, "7701", "cardTrack")
    assert (str(found.id), found.name, found.sex) == (made, "Anna", 2)
    bonus = found.wallet_balances[0]
    assert (bonus.name, bonus.balance) == ("Бонусы", 50.5)
    programme = server.shop.done("program")["Programs"][0]["id"]
    added = api.customer_program_add(customer_id=made, program_id=programme, organization_id=mine)
    assert BONUS in str(added)
    assert api.customer_card_delete(card_track="7701", **known) == {}
    assert not getattr(api.coupons_series(mine), "status_code", None)
    assert not getattr(api.coupons_info(mine, "1"), "status_code", None)
    assert not getattr(api.status(mine, NOBODY), "status_code", None)


def test_pyiikocloudapi_hears_of_a_wrong_login_once(server: Served) -> None:
    """With 401 for ever it would sign in for ever; its login is refused with a text that ends that."""
    module = pytest.importorskip("pyiikocloudapi")
    before = len(server.paths())
    with pytest.raises(Exception, match="errorDescription"):
        module.IikoTransport("wrong-login-1234567890", base_url=server.address)
    assert len(server.paths()) == before + 1
    api = module.IikoTransport(SECRET, base_url=server.address)
    # A right that there is not: 403, which it shows instead of signing in anew.
    assert api.regions([ORGANIZATION]).status_code == 403


def test_pyiiko_asks_for_organizations_with_get(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("Pyiiko.transport")
    monkeypatch.setattr(module, "_API_BASE", server.address)
    client = module.Transport(key=SECRET)
    assert client.organization().json()["organizations"][0]["id"] == ORGANIZATION
    assert client.terminal(ORGANIZATION).json()["terminalGroups"][0]["organizationId"] == ORGANIZATION


# What we ask iiko ourselves ---------------------------------------------------------------------------------


def test_iikocloudapi_would_ask_for_orders_as_we_do_and_reads_them_as_webhooks() -> None:
    """Its models are made from the vendor's specification: names of fields are theirs, not our guess."""
    tables = pytest.importorskip("iikocloudapi.models.orders")
    deliveries = pytest.importorskip("iikocloudapi.models.delivery")
    models = {
        orders.TABLE_BY_ID: tables.GetTableOrdersByIdRequest,
        orders.BY_TABLE: tables.GetTableOrdersByTableRequest,
        orders.DELIVERY_BY_ID: deliveries.OrdersByIdRequest,
        orders.BY_REVISION: deliveries.OrdersByRevisionRequest,
        orders.BY_DATE: deliveries.OrdersByDeliveryDateAndStatusRequest,
    }
    asked = set()
    state: Any = {"after": 0, "places": {}, "orders": {"waiting": {TABLE: [orders.TILL, "", AT.isoformat()]}}}
    for place in ({}, {"revision": 1}):
        looking = link(orders_of=ORDERS_OF, deliveries=True, tables=[TABLE])
        run = Line(CLOUD, looking, Chain(), SECRETS).run(Job(AT, state={**state, "orders": state["orders"] | place}))
        for call in run.told:
            if isinstance(call, HttpCall) and call.path in models:
                told = json.loads(call.body)
                models[call.path].model_validate(told)
                assert set(told) <= {field.alias for field in models[call.path].model_fields.values()}, call.path
                asked.add(call.path)
    assert asked == set(models)
    sample = Path(__file__).parents[1] / "adapters/iiko_webhooks/samples/closed.request.json"
    (event, *_) = json.loads(sample.read_text("utf-8"))
    read = tables.TableOrdersResponse.model_validate({"correlationId": "x", "orders": [event["eventInfo"]]})
    assert read.orders[0].order.status == "Closed"
