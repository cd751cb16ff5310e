"""Messages of the outbox -> guests, cards and wallets of iikoCard. Each looks first at what is there.

A wallet is written only where it shows another balance than ours and no movement in its report is this message's
(docs/adapters/iiko_cloud.md, "A movement happens once"); where others' movements are booked, by the balance that has
all of them in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from adapters.contract import Calling, Found, Job, Link, Message, Push, read
from adapters.iiko.answers import amount
from adapters.iiko_cloud import guests, movements
from adapters.iiko_cloud.calls import LOYALTY, ask, write
from adapters.iiko_cloud.guests import Guest, organization
from adapters.iiko_cloud.options import wallets_of
from processing.commands import ReadWallets
from processing.errors import LinkDown, LinkRefused, NotYet
from processing.events import BALANCE_CHANGED, CARD_CHANGED, HOLDER_CHANGED, instant_of
from processing.results import WalletTold

TEST, ERASED = "test", "erased"
# So often a wallet that moves meanwhile is read, and then again in so many seconds.
MAX_LOOKS, MOVING_SECONDS = 3, 10


def push(job: Job, link: Link) -> Calling[None]:
    """One message. Errors: LinkRefused, NotYet, LinkDown, BadReply."""
    (message,) = job.messages
    if message.kind == TEST:
        yield from _check_organization(link)
        return
    wallet = yield from _wallet(job, message)
    if wallet is None or not guests.cards_of(wallet, link):
        return
    guest = yield from guests.find(wallet, link)
    if message.kind == HOLDER_CHANGED and message.body.get("change") == ERASED:
        # A wallet that has a holder is somebody else's by now: the erased one's was merged into it.
        if guest is not None and not wallet.holder_id:
            yield from guests.forget(guest, link)
    elif guest is not None or _is_worth_a_guest(message, wallet, link):
        waited = job.at - _caused(job, message)
        yield from _say(job, message, wallet, guest or (yield from guests.make(wallet, waited, link)), link)


def _is_worth_a_guest(message: Message, wallet: WalletTold, link: Link) -> bool:
    """Whether iiko has to know somebody new: for a card that can be used, and not for a balance of nothing."""
    if message.kind == BALANCE_CHANGED:
        return any(spendable(wallet, shown["unit"], link) for shown in _meant(message, link))
    return bool(guests.usable(wallet, link))


def _say(job: Job, message: Message, wallet: WalletTold, guest: Guest, link: Link) -> Calling[None]:
    if message.kind == CARD_CHANGED:
        yield from guests.set_cards(guest, wallet, link)
    elif message.kind == HOLDER_CHANGED:
        yield from guests.set_person(guest, wallet, link)
    for shown in _meant(message, link):
        yield from _level(job, message, wallet, guest, shown, link)
    if message.kind == BALANCE_CHANGED and message.body["account"] != wallet.account:
        # The wallet was merged into this one: its guest shows no second time what is there now.
        for other in (yield from guests.others(guest, wallet, link)):
            for shown in _meant(message, link):
                yield from _level(job, message, wallet, other, shown, link, is_first=False)


def _meant(message: Message, link: Link) -> list[Mapping[str, Any]]:
    """The wallets at iiko that the message is about; a card's status says what all of them may show."""
    if message.kind == CARD_CHANGED:
        return list(wallets_of(link.options))
    return list(wallets_of(link.options, message.body.get("unit", ""))) if message.kind == BALANCE_CHANGED else []


def _check_organization(link: Link) -> Calling[None]:
    """Whether the login may speak for the organization. Errors: LinkRefused."""
    mine = link.options["organization"]
    told = yield from ask("/api/1/organizations", {"organizationIds": [mine]}, link)
    if mine not in (each.get("id").text().lower() for each in guests.rows(told, "organizations")):
        raise LinkRefused("the login does not know the link's organization")


def _wallet(job: Job, message: Message) -> Calling[WalletTold | None]:
    """The wallet that the message is about, as it is now; none where nobody has it. Errors: LinkRefused."""
    account = message.body.get("account")
    if type(account) is not int or account <= 0:
        raise LinkRefused(f"{message.kind}: expected the number of a wallet as account")
    told = yield from read(ReadWallets(accounts=(account,)))
    return guests.as_of(told.wallets[0], job.at) if told.wallets else None


# Balances ---------------------------------------------------------------------------------------------------


def spendable(wallet: WalletTold, unit: str, link: Link) -> int:
    """What the wallet at iiko shall show, in minor units: what can be spent now; nothing while no card is usable. A
    debt is shown as nothing: whether a wallet may be below zero is not known."""
    if not guests.usable(wallet, link):
        return 0
    return max(sum(balance.available for balance in wallet.balances if balance.unit == unit), 0)


def _level(
    job: Job,
    message: Message,
    wallet: WalletTold,
    guest: Guest,
    shown: Mapping[str, Any],
    link: Link,
    is_first: bool = True,
) -> Calling[None]:
    """Make the wallet at iiko show what ours has, or nothing where another guest shows it. Errors: LinkRefused where
    the guest has no such wallet."""
    there = guest.balances.get(shown["id"])
    ours = spendable(wallet, shown["unit"], link) if is_first else 0
    if there is None and ours:
        there = yield from _join(guest, shown, link)
    if there is None or there == ours:
        return
    moved = yield from movements.since(guest, _begin(job, message, shown, link), job.at, link)
    if any(each.is_by(message.id, shown["id"]) for each in moved):
        return
    if shown["book_from"]:
        there = yield from _booked(job, message, wallet, guest, there, moved, shown, link)
        if there is None:
            return
        now = (yield from _wallet(job, message)) or wallet
        ours = spendable(now, shown["unit"], link) if is_first else 0
    if ours != there:
        yield from _move(ours - there, message, guest, shown, link)


def _booked(
    job: Job,
    message: Message,
    wallet: WalletTold,
    guest: Guest,
    there: int,
    moved: Sequence[movements.Movement],
    shown: Mapping[str, Any],
    link: Link,
) -> Calling[int | None]:
    """Book what others have moved; the balance at iiko when all of that was in it and nothing else. ``None``: the
    message's own movement has come meanwhile.

    So it is read before a report and after it, and is the same. Errors: NotYet where it never stands still.
    """
    for look in range(MAX_LOOKS):
        if look:
            moved = yield from movements.since(guest, _begin(job, message, shown, link), job.at, link)
            if any(each.is_by(message.id, shown["id"]) for each in moved):
                return None
        if booked := movements.facts(moved, shown, wallet.account, link):
            yield Found(booked)
        found = yield from guests.look({"type": "id", "id": guest.id}, link)
        seen = found.balances.get(shown["id"], 0) if found is not None else there
        if seen == there:
            return there
        there = seen
    raise NotYet("the wallet at iiko moves while it is looked at", MOVING_SECONDS)


def _caused(job: Job, message: Message) -> datetime:
    """When the books had something to tell; not later than now, whatever clocks say."""
    return min(instant_of(message.id), job.at)


def _begin(job: Job, message: Message, shown: Mapping[str, Any], link: Link) -> datetime:
    """From when on the report is read: since the message was caused, and where others' movements are booked so many
    days more."""
    caused = _caused(job, message)
    return min(caused, job.at - timedelta(days=link.options["look_back_days"])) if shown["book_from"] else caused


def _join(guest: Guest, shown: Mapping[str, Any], link: Link) -> Calling[int]:
    """The guest gets the wallet by its programme; what it shows then. Errors: LinkRefused, LinkDown."""
    if not shown["programme"]:
        raise LinkRefused(f"the guest has no wallet {shown['id']}, and the link names no programme that gives it")
    told = {"customerId": guest.id, "programId": shown["programme"], **organization(link)}
    yield from ask(LOYALTY + "customer/program/add", told, link)
    found = yield from guests.look({"type": "id", "id": guest.id}, link)
    if found is None or shown["id"] not in found.balances:
        raise LinkDown("a wallet that was just given is not to be seen yet")
    return found.balances[shown["id"]]


def _move(delta: int, message: Message, guest: Guest, shown: Mapping[str, Any], link: Link) -> Calling[None]:
    """Top up or charge off, once: what is not heard of is looked up before it is said again."""
    path = LOYALTY + "customer/wallet/" + ("topup" if delta > 0 else "chargeoff")
    told = {
        "customerId": guest.id,
        "walletId": shown["id"],
        "sum": amount(abs(delta)),
        "comment": movements.comment(message.id),
        **organization(link),
    }
    yield from write(path, told, link)


PUSH = Push(wants=frozenset({BALANCE_CHANGED, CARD_CHANGED, HOLDER_CHANGED}), talk=push)
