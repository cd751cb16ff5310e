"""Bases of 1C for the contract of talks (adapters/testing/talk_suite.py): Розница 2, УТ 11, and a published service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from adapters.contract import Call, HttpCall, HttpReply, Job, Link, Message, Reply, SoapCall, SoapReply
from adapters.onec_server import ADAPTER
from adapters.onec_server.options import OneCOptions
from adapters.testing.far_sides import FarSide
from adapters.testing.lines import CUTS, Cut
from adapters.testing.talk_suite import TalkSuite
from processing.commands import Identify, NameWallet, Query, ReadBalances, ReadOperation
from processing.results import (
    Balance,
    Balances,
    CardName,
    CardNamed,
    EntryTold,
    Identified,
    OperationTold,
    Result,
    WalletNamed,
)
from tests.adapters.onec_server.bases import DOCUMENT, PROGRAMME, mapping, number, retail2, ut11
from tests.adapters.onec_server.one_c import PASSWORD, USER, OneC, ref

AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
MOSCOW = ZoneInfo("Europe/Moscow")


# Operations by number: what they brought wallets and took from them.
OPERATIONS = {7: ((1, 30_00), (1, -10_00), (0, -20_00)), 17: ((1, -30_00),), 27: ((1, 30_00), (2, -10_00))}


def operation(number: int) -> Message:
    return Message(number, "operation_posted", {"operation": str(number), "operation_kind": "receipt"})


def balance(number: int, account: int) -> Message:
    return Message(number, "balance_changed", {"account": account, "unit": "BONUS", "balance": "70.50"})


def operation_told(number: int) -> OperationTold:
    entries = [
        EntryTold(account=account, partner="", kind="", unit="BONUS", scale=2, amount=amount, lot_id=None)
        for account, amount in OPERATIONS[number]
    ]
    return OperationTold(
        operation_id=number,
        kind="receipt",
        store="bistro",
        actor="",
        effective_at=AT,
        booked_at=AT,
        entries=tuple(entries),
    )


KNOWN = Identified(
    number="",
    account=3,
    holder_id=0,
    holder_name="",
    status="active",
    usable="",
    product="guest",
    balances=(),
    payable=(),
    discount="",
    bonus="",
)


class Wallets(FarSide):
    """Wallets whose cards have the numbers of 1C's in the same places; the second is known by 1C's GUID alone."""

    def read(self, query: Query[Any]) -> Result:
        if isinstance(query, ReadOperation):
            return operation_told(query.operation_id)
        if isinstance(query, Identify):
            return KNOWN
        assert isinstance(query, NameWallet | ReadBalances)
        account = int(query.refs[0].value)
        if isinstance(query, ReadBalances):
            points = Balance(unit="BONUS", scale=2, balance=70_50, available=70_50)
            return Balances(as_of=AT, account=account, balances=(points,))
        name = CardName("onec", ref(account)) if account == 2 else CardName("card", number(account))
        own = number(account if account != 2 else 77)
        card = CardNamed(number=own, status="active", usable="", product="guest", names=(name,))
        return WalletNamed(account=account, uuid="", opened_at=AT, cards=(card,))


class Base(Wallets):
    def __init__(self, one_c: OneC) -> None:
        self.one_c = one_c

    def answer(self, call: Call) -> Reply:
        assert isinstance(call, HttpCall)
        return HttpReply(*self.one_c.handle(call.method, call.path, call.headers, call.body))

    @property
    def sessions(self) -> int:  # type: ignore[override]
        return len(self.one_c.sessions)

    def effects(self) -> Any:
        """Documents without what tells when they were written, and balances."""
        documents = [
            {name: value for name, value in row.items() if name != "DataVersion"} for row in self.one_c.sets[DOCUMENT]
        ]
        kept = [
            row.get(name)
            for rows in self.one_c.sets.values()
            for row in rows
            for name in ("БаллыЛояльности", "БаллыTillgate")
        ]
        return documents, kept


class UtBase(Base):
    def __init__(self) -> None:
        super().__init__(ut11())


class Retail2Base(Base):
    def __init__(self) -> None:
        super().__init__(retail2())
        # Whoever does not take a GUID of ours has only the mark to know the document by.
        self.one_c.takes_guids = False


def link(name: str, **options: Any) -> Link:
    told = {"mapping": mapping(name), "user": USER, "product": "guest", "programme": PROGRAMME, **options}
    return Link("office", "bistro", MOSCOW, OneCOptions().load(told))


class Talks(TalkSuite):
    """УТ 11, with sessions: an operation, a balance of the partner; cards with their owners."""

    adapter, far_side = ADAPTER, UtBase
    link = link("ut11", balance_field="БаллыЛояльности", page=3)
    pushes = (Job(AT, messages=(operation(17), balance(18, 1))),)
    pulls = (Job(AT),)
    secrets = MappingProxyType({"password": PASSWORD})
    examples = 5


class OnceCut:
    """For less: what is cut in two tries is above, here each step is cut once."""

    examples = 5

    def cuts(self, job: Job) -> Iterator[list[Cut]]:
        for at, _ in self.steps(job):  # type: ignore[attr-defined]  # of the suite that it stands before
            yield from ([Cut(at, how)] for how in CUTS)


class Retail2Talks(OnceCut, Talks):
    """Розница 2, which keeps sessions by itself: the card's points; all catalogues."""

    far_side = Retail2Base
    link = link("retail2", balance_field="БаллыTillgate", pull=["cards", "goods", "stores", "receipts"], session=False)
    pushes = (Job(AT, messages=(operation(17), balance(8, 2))),)


# A published service ------------------------------------------------------------------------------------------------

SERVICE = {
    "mapping": "own",
    "title": "A service of the house",
    "service": {
        "cards": {
            "operation": "ПолучитьКарты",
            "skip": "Начало",
            "top": "Количество",
            "rows": ["Карты"],
            "row": {
                "guid": "Ссылка",
                "version": "Версия",
                "number": "Номер",
                "name": "Владелец",
                "phone": "Телефон",
                "birthday": "Родился",
                "blocked": "Заблокирована",
            },
        },
        "movement": {
            "operation": "ПринятьОперацию",
            "parameters": {"Ид": "id", "Карта": "card", "Начислено": "accrued", "Списано": "redeemed", "Дата": "at"},
        },
        "balance": {"operation": "ПринятьОстаток", "parameters": {"Ид": "id", "Карта": "card", "Остаток": "balance"}},
    },
}


def service_rows(count: int = 3) -> list[dict[str, str]]:
    return [
        {
            "Ссылка": ref(n),
            "Версия": str(n),
            "Номер": number(n),
            "Владелец": f"Гость {n}",
            "Телефон": f"+7 (912) 000-00-0{n}",
            "Родился": "0001-01-01T00:00:00",
            "Заблокирована": "Да" if n == count else "Нет",
        }
        for n in range(1, count + 1)
    ]


class Service(Wallets):
    """Knows a repeat by the id that it is told, and tells cards as JSON in a text."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def answer(self, call: Call) -> Reply:
        assert isinstance(call, SoapCall)
        if call.operation == "ПолучитьКарты":
            begin = call.arguments["Начало"]
            rows = service_rows()[begin : begin + call.arguments["Количество"]]
            return SoapReply(json.dumps({"Карты": rows}, ensure_ascii=False))
        assert all(not isinstance(value, float) for value in call.arguments.values())
        self.told.setdefault(call.arguments["Ид"], dict(call.arguments))
        return SoapReply(True)

    def effects(self) -> Any:
        return self.told


class ServiceTalks(OnceCut, Talks):
    far_side = Service
    link = Link(
        "office",
        "bistro",
        MOSCOW,
        OneCOptions().load({"mapping": SERVICE, "user": USER, "product": "guest", "session": False, "page": 2}),
    )
    pushes = (Job(AT, messages=(operation(27), balance(8, 1))),)

    def test_a_test_message_is_said_or_refused(self) -> None:
        """It asks for the WSDL over HTTP: tests/scenarios/test_onec_server.py."""
