"""Merging: one wallet goes into another, with cards, lots and the person's contacts.

Open holds are waited for: from the moment somebody asks, the source takes no new ones, and they end by
themselves; then a worker finishes (processing/chores.py). So does one of more lots than a batch may open. From then on
every name leads to the target, and what is undone of the source's past is undone there (``reversals.living``).
"""

from __future__ import annotations

from collections.abc import Iterable

from processing import tables
from processing.audit import Audited
from processing.commands import MergeHolders
from processing.directory import CENTRE, StoreInfo
from processing.errors import HolderExists, SameWallet, WalletMerging
from processing.holders import forget
from processing.keys import once
from processing.lots import Lot, Move, oldest_first, repay, soonest_first
from processing.people import Holder
from processing.results import HoldersMerged
from processing.state import OPEN, Account, Posting, State

MERGED, WAITING = "merged", "waiting"
# The lots that one merge or transfer may open among others' commands; a merge of more is a worker's.
MOVED_LOTS = 1_000


def merge_holders(state: State, command: MergeHolders) -> HoldersMerged:
    """The source's wallet becomes part of the target's, now or when its holds have ended."""

    def do() -> tuple[HoldersMerged, int | None]:
        source, target = (state.card([ref]).wallet_id for ref in (command.source, command.target))
        if source == target:
            raise SameWallet("both cards share one wallet")
        if loses_person(state, source, target):
            raise HolderExists("the target's holder was erased: merge the other way round")
        if any(state.wallets[wallet].merging_into is not None for wallet in (source, target)):
            raise WalletMerging("one of the wallets is being merged already")
        state.audit(command, "holders_merged", f"wallet {target}", source=source, reason=command.reason)
        holds = open_holds(state, source)
        if holds or lots_to_move(state, source) > MOVED_LOTS:
            state.wallets[source].merging_into = target
            state.changed_wallets[source] = state.wallets[source]
            return HoldersMerged(outcome=WAITING, account=target, source=source, at=state.now, holds=holds), None
        operation_id = merge(state, state.store(command.store), source, target, command.actor)
        return HoldersMerged(outcome=MERGED, account=target, source=source, at=state.now, merge_id=operation_id), None

    return once(state, command, HoldersMerged, do)


def open_holds(state: State, wallet_id: int) -> int:
    """How many holds are open on a locked wallet."""
    return sum(
        hold.state == OPEN and state.accounts_by_id[hold.account_id].wallet_id == wallet_id
        for hold in state.holds.values()
    )


def lots_to_move(state: State, wallet_id: int) -> int:
    """How many lots of a locked wallet hold or owe something: the target may need as many new ones."""
    accounts = [account for (of, _), account in state.accounts.items() if of == wallet_id]
    return sum(lot.remaining != 0 for account in accounts for lot in account.lots.values())


def loses_person(state: State, source: int, target: int) -> bool:
    """Whether somebody living would go into the wallet of an erased holder, where nobody is known any more."""
    leaving, staying = (state.people.holders.get(wallet) for wallet in (source, target))
    return leaving is not None and leaving.erased_at is None and staying is not None and staying.erased_at is not None


def merge(state: State, store: StoreInfo, source: int, target: int, actor: str) -> int:
    """Move everything from one locked wallet to the other; the id of the operation that moved the lots."""
    postings: list[Posting] = []
    for (wallet_id, unit), account in list(state.accounts.items()):
        if wallet_id == source:
            postings += _emptied(state, account, state.account(target, unit))
    operation_id = state.post("merge", store, postings, actor=actor)
    for wallet in state.wallets.values():
        if wallet.id == source or wallet.merged_into == source:
            wallet.merged_into, wallet.merging_into = target, None
            state.changed_wallets[wallet.id] = wallet
    for card in state.cards_by_id.values():
        if card.wallet_id == source:
            card.wallet_id = target
    for wallet_id, went in [*state.merged.items(), (source, source)]:
        if went == source:
            state.merged[wallet_id] = target
    state.moved_cards.append((source, target))
    state.pasts.merge(source, target, {code: active.programme for code, active in state.directory.programmes.items()})
    _merge_people(state, source, target)
    return operation_id


def can_finish(state: State, source: int, target: int) -> bool:
    """Whether, now that both are locked, the source still waits and nothing is held there."""
    wallets = state.wallets
    return (
        source in wallets
        and wallets[source].merging_into is not None
        and target in wallets
        and wallets[target].merged_into is None
        and not open_holds(state, source)
    )


def finish(state: State, source: int, target: int) -> None:
    """A merge that waited; it is called off where the target's holder was erased meanwhile and the source's lives."""
    if not loses_person(state, source, target):
        merge(state, CENTRE, source, target, "")
        return
    wallet = state.wallets[source]
    wallet.merging_into, state.changed_wallets[source] = None, wallet
    state.audits.append(Audited("", "merge_called_off", CENTRE.id, f"wallet {target}", {"source": source}))


def _emptied(state: State, giving: Account, taking: Account) -> list[Posting]:
    """Every debt into one of the target's, every lot into an equal one; then what is free repays what is owed.

    Whichever of both had it: what expires soonest repays first, and the oldest debt is repaid first.
    """
    moved = [lot for lot in giving.lots.values() if lot.remaining]
    postings = [posting for lot in moved for posting in state.moved(giving, [(lot, -lot.remaining)])]
    # What debts get in the course of this, negative where they grow: their lots know it only afterwards.
    repaid: dict[int, int] = {}
    for debt in sorted((lot for lot in moved if lot.is_debt), key=oldest_first):
        into = state.debt(taking, debt.issuer_id)
        repaid[into.id] = repaid.get(into.id, 0) + debt.remaining
        postings += state.moved(taking, [(into, debt.remaining)])
    free = {lot.id: lot.free for lot in taking.lots.values() if lot.free > 0}
    for lot in sorted((lot for lot in moved if not lot.is_debt), key=soonest_first):
        into = state.open_lot(taking, *lot.terms)
        free[into.id] = free.get(into.id, 0) + lot.remaining
        postings += state.moved(taking, [(into, lot.remaining)])
    debts = [lot for lot in taking.lots.values() if lot.is_debt]
    for lot in sorted((taking.lots[lot_id] for lot_id in free), key=soonest_first):
        postings += state.moved(taking, _repay(state, debts, lot, free[lot.id], repaid))
    return postings


def _repay(state: State, debts: Iterable[Lot], source: Lot, amount: int, repaid: dict[int, int]) -> list[Move]:
    """As ``repay``, but what is past its time repays nothing, whether a worker has written that down or not."""
    return [] if source.is_expired(state.now) else repay(debts, source, amount, repaid)


def _merge_people(state: State, source: int, target: int) -> None:
    """The target's holder stays and is found by the source's contacts too; without one the source's holder moves."""
    people = state.people
    leaving, staying = people.holders.pop(source, None), people.holders.get(target)
    if leaving is None:
        return
    if staying is None:
        leaving.wallet_id = target
        people.holders[target] = people.changed_holders[leaving.id] = leaving
        return
    contacts = list(people.contacts.get(leaving.id, []))
    forget(state, leaving)
    leaving.erased_at = leaving.erased_at or state.now
    people.changed_holders[leaving.id] = leaving
    _take_over(state, staying, contacts)


def _take_over(state: State, holder: Holder, contacts: list[tuple[str, bytes]]) -> None:
    for kind, index in contacts:
        state.people.contacts.setdefault(holder.id, []).append((kind, index))
        state.people.taken[kind, index] = holder.id
        state.insert(tables.contact, {"kind": kind, "blind_index": index, "holder_id": holder.id})
