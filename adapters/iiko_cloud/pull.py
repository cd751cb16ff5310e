"""Looking after what iiko has: guests of ours one after another, a few each time, and whether their wallets agree.

There is no list of guests in the API; whom we know is looked up, and a guest whose wallets show what ours do costs one
call. What others have moved since is booked or told (docs/adapters/iiko_cloud.md, "Reconciliation").
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapters.contract import Calling, Found, Job, Link, read
from adapters.iiko_cloud import guests, movements, orders
from adapters.iiko_cloud.calls import Refused, ask
from adapters.iiko_cloud.guests import Guest, organization
from adapters.iiko_cloud.movements import Movement, Place
from adapters.iiko_cloud.options import wallets_of
from adapters.iiko_cloud.push import spendable
from adapters.iiko_cloud.webhooks import SETTINGS, is_set
from processing.commands import EnrolHolder, ReadWallets, Ref
from processing.errors import LinkRefused
from processing.results import WalletTold
from processing.units import major

# Of so many guests the place in the report is kept; of others it is read from its beginning again.
MAX_PLACES = 2_000
MAX_NOTED = 3

State = dict[str, Any]


def pull(job: Job, link: Link) -> Calling[None]:
    """The next guests behind the last one, and from the beginning after all of them. Errors: LinkDown, LinkRefused."""
    state: State = job.state or {"after": 0, "places": {}}
    if link.options["webhooks"]:
        yield from _check_webhooks(link)
    told = yield from read(ReadWallets(after=state["after"], limit=link.options["guests_per_pull"]))
    for wallet in (guests.as_of(each, job.at) for each in told.wallets):
        state = {**state, "after": wallet.account}
        if guests.cards_of(wallet, link):
            state = yield from _look_after(job, wallet, state, link)
        yield Found(state=state)
    if len(told.wallets) < link.options["guests_per_pull"]:
        state = {**state, "after": 0}
        yield Found(state=state)
    if link.options["orders_of"] is not None:
        yield from orders.pull(job, state, link)


def _check_webhooks(link: Link) -> Calling[None]:
    """Whether iiko sends its events as the link wants them: signing in has tried to see to it."""
    try:
        told = yield from ask(SETTINGS, organization(link), link)
    except LinkRefused as error:
        yield Found(note=f"webhooks: their settings may not be read: {error.message}")
        return
    if not is_set(told, link):
        yield Found(note="webhooks: iiko has other settings, and the login may not change them")


def _look_after(job: Job, wallet: WalletTold, state: State, link: Link) -> Calling[State]:
    """One guest, and the state with where their report was left. One whom iiko refuses by name does not hold up the
    others."""
    try:
        guest = yield from guests.find(wallet, link)
    except Refused as refusal:
        if not refusal.codes:
            raise
        yield Found(note=f"wallet {wallet.account}: {refusal.message}")
        return state
    if guest is None:
        return state
    if learned := _learned(guest, wallet, link):
        yield Found(learned, may_be_refused=True)
    is_apart = any(_differ(wallet, guest, shown, link) for shown in wallets_of(link.options))
    if not is_apart and link.options["orders_of"] is None:
        return state
    place = Place(*state["places"].get(str(wallet.account), (0, "")))
    moved, place = yield from movements.behind(guest, place, link)
    yield from _reconcile(job, wallet, guest, moved, is_apart, link)
    others = {name: at for name, at in state["places"].items() if name != str(wallet.account)}
    places = {**others, str(wallet.account): [place.revision, place.last]}
    state = {**state, "places": dict(list(places.items())[-MAX_PLACES:])}
    return dict(orders.named(moved, job.at, state)) if link.options["orders_of"] is not None else state


def _learned(guest: Guest, wallet: WalletTold, link: Link) -> tuple[EnrolHolder, ...]:
    """What iiko knows of a holder and we do not."""
    wanted = {
        name: getattr(guest, name)
        for name in link.options["learn"]
        if getattr(guest, name) and not getattr(wallet, name)
    }
    if not wanted or not wallet.holder_id or not guests.usable(wallet, link):
        return ()
    digest = hashlib.sha256("|".join(map(str, wanted.values())).encode("utf-8", "replace")).hexdigest()
    key = f"iiko_cloud:guest:{guest.id}:{digest}"
    return (EnrolHolder(store=link.store, keys=(key,), known=Ref("wallet", str(wallet.account)), **wanted),)


def _differ(wallet: WalletTold, guest: Guest, shown: Mapping[str, Any], link: Link) -> bool:
    """Whether the wallet there shows neither what can be spent here nor that with what is held."""
    there, ours = guest.balances.get(shown["id"], 0), spendable(wallet, shown["unit"], link)
    has = sum(balance.balance for balance in wallet.balances if balance.unit == shown["unit"])
    return there != ours and not (there == has and guests.usable(wallet, link))


def _reconcile(
    job: Job, wallet: WalletTold, guest: Guest, moved: Sequence[Movement], is_apart: bool, link: Link
) -> Calling[None]:
    """Book what others have moved; what differs nevertheless is told, by what iiko has after that."""
    booked = [
        fact for shown in wallets_of(link.options) for fact in movements.facts(moved, shown, wallet.account, link)
    ]
    if booked:
        yield Found(tuple(booked))
    if not is_apart:
        return
    if booked:
        guest = (yield from guests.look({"type": "id", "id": guest.id}, link)) or guest
    told = yield from read(ReadWallets(accounts=(wallet.account,)))
    for now in (guests.as_of(each, job.at) for each in told.wallets):
        for shown in wallets_of(link.options):
            if _differ(now, guest, shown, link):
                yield Found(note=_note(now, guest, shown, movements.foreign(moved, shown["id"]), link))


def _note(wallet: WalletTold, guest: Guest, shown: Mapping[str, Any], others: Sequence[Movement], link: Link) -> str:
    """The difference, and the last of what others have moved since the last look."""
    here, there = spendable(wallet, shown["unit"], link), guest.balances.get(shown["id"], 0)
    told = f"wallet {wallet.account}: {major(here, 2)} {shown['unit']} here, {major(there, 2)} at iiko"
    return "; ".join([told, *_moves(others[-MAX_NOTED:])])


def _moves(others: Sequence[Movement]) -> Iterator[str]:
    for each in others:
        moved = "an unknown amount" if each.amount is None else major(each.amount, 2)
        yield f"moved by others on {each.on}: {moved}" + (f", order {each.order}" if each.order else "")
