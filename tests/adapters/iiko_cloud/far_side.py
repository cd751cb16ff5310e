"""iiko's cloud and what it is told, for the contract of talks (adapters/testing/talk_suite.py)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from adapters.contract import Job, Link, Message
from adapters.iiko_cloud import ADAPTER
from adapters.iiko_cloud.options import IikoCloudOptions as Options
from adapters.iiko_cloud.orders import Place
from adapters.iiko_webhooks import WebhookOptions
from adapters.testing.talk_suite import TalkSuite
from processing.commands import Query, ReadWallets
from processing.events import NODE_BITS, first_id
from processing.results import Balance, WalletCard, WalletsTold, WalletTold
from tests.adapters.iiko_cloud.stub import (
    API_LOGIN,
    AT,
    BONUS,
    DELIVERIES,
    ORGANIZATION,
    PROGRAMME,
    TABLE,
    Iiko,
    Person,
    order_info,
    till_id,
)

MOSCOW = ZoneInfo("Europe/Moscow")
SECRETS = MappingProxyType({"api_login": API_LOGIN, "webhook_token": "what iiko shows us, 16"})
WALLET = {"unit": "BONUS", "id": BONUS, "programme": PROGRAMME}
WEBHOOKS = {"uri": "https://till.example/pos/iiko/webhooks"}
FIRST = first_id(AT)


def link(**options: Any) -> Link:
    told = {"organization": ORGANIZATION, "products": ["guest"], "wallets": [WALLET]} | options
    return Link("far", "bistro", MOSCOW, Options().load(told))


def card(number: str, status: str = "active", product: str = "guest") -> WalletCard:
    return WalletCard(card_id=int(number), number=number, product=product, status=status, issued_at=AT, expires_at=None)


def wallet(account: int = 17, points: int = 150_50, *cards: WalletCard, **person: Any) -> WalletTold:
    """A wallet of the books; a person with a phone where none is told."""
    known = person or {"holder_id": 5, "name": "Anna Petrova", "phone": "+79990001122"}
    return WalletTold(
        account=account,
        accounts=(account,),
        cards=cards or (card(f"77010000{account}"),),
        balances=(Balance(unit="BONUS", scale=2, balance=points, available=points),),
        **known,
    )


class Chain(Iiko):
    """The cloud, and books that do not change."""

    wallets_of_ours: tuple[WalletTold, ...] = (wallet(),)

    def read(self, query: Query[Any]) -> WalletsTold:
        assert isinstance(query, ReadWallets)
        if query.after is not None:
            behind = [each for each in self.wallets_of_ours if each.account > query.after]
            return WalletsTold(wallets=tuple(behind[: query.limit]))
        return WalletsTold(wallets=tuple(each for each in self.wallets_of_ours if each.account in query.accounts))

    def later(self) -> None:
        self.now += 60


def message(n: int, kind: str = "balance_changed", **body: Any) -> Message:
    told = {"account": 17, "unit": "BONUS", "balance": "150.50"} if kind == "balance_changed" else {"account": 17}
    return Message(FIRST + (n << NODE_BITS), kind, told | body)


class Strangers(Chain):
    """Nobody is known there, guests are seen late, and have no wallet until they are given one."""

    def __init__(self) -> None:
        super().__init__(lag_seconds=2, wallets=())


class Talks(TalkSuite):
    """A guest is made and gets a wallet and the balance."""

    adapter, far_side, secrets, link = ADAPTER, Strangers, SECRETS, link()
    examples = 5
    pushes = (Job(AT, messages=(message(1),)),)
    pulls = ()

    def test_there_are_jobs_for_what_the_adapter_does(self) -> None:
        """Together; those that pull are in Looks."""
        kinds = {each.kind for job in Talks.pushes + ChangeTalks.pushes for each in job.messages}
        assert ADAPTER.push is not None and kinds == ADAPTER.push.wants


class Known(Chain):
    """A guest with an old card, another balance and no name; others have moved something before."""

    wallets_of_ours = (wallet(17, 150_50, card("7701000001", "closed"), card("7701000002"), card("7701000003")),)

    def __init__(self) -> None:
        super().__init__()
        known = Person("b6a9c3c2-8f5b-4f0e-9f5e-3f2f6d1c7a77", 0, phone="+79990001122", wallets={BONUS: Decimal(0)})
        known.cards = {"7701000001": "track1", "7701000002": "7701000002"}
        self.guests.append(known)
        self.move(known, BONUS, Decimal("500.10"), "before us")
        self.move(known, BONUS, Decimal("-20"), "tillgate 1")


class ChangeTalks(Talks):
    """Cards come and go and a balance is charged off; a name is told."""

    far_side = Known
    pushes = (
        Job(AT, messages=(message(2, "card_changed"),)),
        Job(AT, messages=(message(3, "holder_changed", change="registered"),)),
    )


class Erased(Known):
    """Whose holder was erased: the wallet is nobody's, and its card leads to the guest."""

    wallets_of_ours = (wallet(17, 0, card("7701000002"), holder_id=0),)


class FarewellTalks(Talks):
    far_side = Erased
    pushes = (Job(AT, messages=(message(4, "holder_changed", change="erased"),)),)


class Others(Chain):
    """Two guests whose wallets others have moved, one whose wallet agrees, and one who is unknown there."""

    wallets_of_ours = (wallet(17, 100_00), wallet(18, 100_00), wallet(19, 0), wallet(20, 7_00, holder_id=0))

    def __init__(self) -> None:
        super().__init__()
        for told, moves in zip(self.wallets_of_ours, (("110", "-20.25"), ("103.1",), ()), strict=False):
            known = Person(f"b6a9c3c2-8f5b-4f0e-9f5e-3f2f6d1c7a{told.account}", 0, wallets={BONUS: Decimal(0)})
            known.cards = {told.cards[0].number: told.cards[0].number}
            known.person = {"birthday": "1990-05-06 00:00:00.000"}
            self.guests.append(known)
            for amount in moves:
                self.move(known, BONUS, Decimal(amount), "at the till")


class Looks(Talks):
    """What others have moved is booked before a balance is said, and when guests are looked after; what iiko knows of
    people is learned; what it shall send is set."""

    far_side = Others
    link = link(
        wallets=[WALLET | {"book_from": date(2026, 5, 1).isoformat()}],
        learn=["birthday"],
        webhooks=WEBHOOKS,
        guests_per_pull=8,
    )
    pushes = (Job(AT, messages=(message(5, account=18),)),)
    pulls = (Job(AT),)


ORDERS_OF = WebhookOptions().load({"book": "all", "organization": ORGANIZATION})
ORDER = "6f1f0c7e-93a6-4a7f-8c8e-00000000000"


class Pulled(Chain):
    """Nobody has told of these: a delivery, one that is refused as nonsense, a table's order, and one that the report
    of a guest names, whose wallet agrees."""

    def __init__(self) -> None:
        super().__init__()
        known = Person("b6a9c3c2-8f5b-4f0e-9f5e-3f2f6d1c7a77", 0, phone="+79990001122", wallets={BONUS: Decimal(0)})
        known.cards = {"7701000017": "7701000017"}
        self.guests.append(known)
        self.move(known, BONUS, Decimal("150.5"), "at the till", till_id(ORDER + "4"))
        self.tell(order_info(ORDER + "1", 1), is_delivery=True)
        self.tell(order_info(ORDER + "2", 1, sum=-1), is_delivery=True)
        self.tell(order_info(ORDER + "3", 1))
        # Opened too long ago for the list of tables.
        self.tell(order_info(ORDER + "4", 1), at=AT - timedelta(days=2))


class OrderLooks(Looks):
    """Orders that nobody has told of are fetched and booked as if somebody had."""

    far_side = Pulled
    link = link(orders_of=ORDERS_OF, deliveries=True, tables=[TABLE])
    pushes = ()
    # The lists have been read before, up to now.
    read = Place(revision=DELIVERIES - 1, deliveries=AT, tables=AT)
    pulls = (Job(AT, state={"after": 0, "places": {}, "orders": msgspec.to_builtins(read)}),)

    def test_a_test_message_is_said_or_refused(self) -> None:
        """In Talks."""
