"""A till that reads load files and is asked for reports, for the contract of talks (adapters/testing/talk_suite.py)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from adapters.contract import Job, Link, Message
from adapters.frontol import ADAPTER
from adapters.frontol.options import FrontolOptions as Options
from adapters.testing.far_sides import Folder
from adapters.testing.talk_suite import TalkSuite
from processing.commands import Query, ReadWallets
from processing.results import Balance, WalletCard, WalletsTold, WalletTold
from tests.adapters.frontol.till import Till

AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
LOADS = {"card_kinds": {"guest": 7}, "counters": [{"unit": "BONUS", "kind": 3}]}
FLAG = "report.req"
REPORTS = {"request": {"flag": FLAG, "scope": "dates"}}
ACCRUAL = {"counter": 1, "amount": "10.50", "binding": 3, "object": "7700000000123"}
CARD = WalletCard(card_id=1, number="7700000000123", product="guest", status="active", issued_at=AT, expires_at=None)
WALLET = WalletTold(
    account=17,
    accounts=(17,),
    cards=(CARD,),
    balances=(Balance(unit="BONUS", scale=2, balance=500, available=500),),
    holder_id=5,
    name="Anna",
)


class Shop(Folder):
    """The folder with a till behind it, which looks between two tries."""

    def __init__(self) -> None:
        super().__init__()
        self.till = Till(self)

    def get(self, name: str) -> bytes | None:
        return self.files.get(name)

    def put(self, name: str, content: bytes) -> None:
        self.files[name] = content

    def remove(self, name: str) -> None:
        self.files.pop(name, None)

    def read(self, query: Query[Any]) -> WalletsTold:
        assert isinstance(query, ReadWallets)
        return WalletsTold(wallets=(WALLET,) if WALLET.account in query.accounts else ())

    def later(self) -> None:
        self.till.work()

    def effects(self) -> Any:
        return self.till.cards, self.till.clients, self.till.links, self.till.counters, self.get(FLAG)


class Talks(TalkSuite):
    """Events about a wallet, and accruals, which count twice when they are said twice; and a flag for a report."""

    adapter, far_side = ADAPTER, Shop
    link = Link("till", "bistro", ZoneInfo("Europe/Moscow"), Options().load({"loads": LOADS, "reports": REPORTS}))
    pushes = (
        Job(
            AT,
            messages=(
                Message(1, "card_changed", {"account": 17}),
                Message(2, "holder_changed", {"account": 17, "holder": 5, "change": "registered"}),
                Message(3, "balance_changed", {"account": 17}),
                Message(4, "load", {"command": "ADDCOUNTERVALUES", "records": [ACCRUAL]}),
            ),
        ),
    )
    pulls = (Job(AT),)

    def test_a_pull_learns_something_and_the_same_whenever_it_is_done(self, pull: Job) -> None:
        """It only asks for the report: what it says is the flag, and what is learned comes in the file."""
        runs, effects = self.whole(pull)
        assert effects[-1] is not None and self.whole(pull)[1] == effects
        assert not any(run.asks for run in runs)
