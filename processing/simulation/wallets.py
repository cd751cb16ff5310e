"""Wallets of the scratch books: opened as they stood at the begin, and what comes and goes there without a receipt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from processing import ledger, tables
from processing.database import Statement, array, run, write
from processing.directory import ADJUSTED, CENTRE
from processing.execute import MAX_BATCH, Core
from processing.lots import Move, available, draw, repay
from processing.people import BIRTHDAY, place
from processing.programme.tiers import Membership
from processing.secrets import Vault, new_key, seal
from processing.simulation.events import CardPart, Event, Holding, Moved, Opening, Sale, wallets_of
from processing.state import Account, Posting, State

# What names a card in the scratch books; numbers and people stay where they are.
SCHEME = "simulated"

KNOWN_WALLETS = Statement("SELECT id FROM wallet WHERE id IN_IDS(:wallets)", tables.wallet.c.id)
KNOWN_CARDS = Statement("SELECT value FROM identifier WHERE value IN_TEXTS(:cards)", tables.identifier.c.value)


def unknown(core: Core, events: Sequence[Event]) -> set[int]:
    """Wallets of these events that the books do not have yet."""
    wallets = {wallet for each in events for wallet in wallets_of(each)}
    with core.work.database.reading() as connection:
        (rows,) = run(connection, [(KNOWN_WALLETS, {"wallets": array(sorted(wallets))})])
    return wallets - {row[0] for row in rows}


def prepare(
    core: Core, programme: str, events: Sequence[Event], openings: Sequence[Opening], starts_at: datetime
) -> None:
    """Open these wallets as they stood at the begin, and the cards of the events that are new."""
    parts = {part.card: part for each in events if isinstance(each, Sale) for part in each.cards}
    with core.work.database.reading() as connection:
        (rows,) = run(connection, [(KNOWN_CARDS, {"cards": array(sorted(parts))})])
    known = {row[0] for row in rows}
    new = [part for card, part in sorted(parts.items()) if card not in known]
    core.work.ids.reserve({"account": len(openings) * len(core.work.directory.units), "card": len(new)})
    with core.work.database.transaction() as connection:
        write(connection, _rows(core, programme, openings, new, starts_at), frozenset())
    move(core, [Moved(at=starts_at, wallet=each.wallet, holdings=each.holdings) for each in openings if each.holdings])


def move(core: Core, moved: Sequence[Moved]) -> None:
    """Book what stands on wallets, or comes and goes there, as adjustments."""
    for some in _cut(moved):
        lots = sum(len(each.holdings) for each in some)
        core.work.ids.reserve({"operation": lots, "lot": 2 * lots, "account": lots})
        with core.work.database.transaction() as connection:
            state = ledger.read_wallets(connection, core.work, {each.wallet for each in some}, is_patient=False)
            for each in some:
                for holding in each.holdings:
                    state.post("adjustment", CENTRE, _booked(state, each.wallet, holding), effective_at=each.at)
            ledger.write_state(connection, core.work, state)


def _rows(
    core: Core, programme: str, openings: Sequence[Opening], new: Sequence[CardPart], at: datetime
) -> dict[Any, list[Any]]:
    """The rows of new wallets and cards; a birthday is sealed with the scratch books' own keys."""
    take = core.work.ids.take
    born = [(opening.wallet, opening.birthday) for opening in openings if opening.birthday is not None]
    cards = [(take("card"), part) for part in new]
    return {
        tables.wallet: [
            {"id": each.wallet, "merged_into": None, "merging_into": None, "created_at": at} for each in openings
        ],
        tables.account: [
            account_row(take("account"), each.wallet, unit) for each in openings for unit in core.work.directory.units
        ],
        tables.card: [_card(card_id, part, at) for card_id, part in cards],
        tables.identifier: [{"value": part.card, "scheme": SCHEME, "card_id": card_id} for card_id, part in cards],
        tables.holder: [{"id": wallet, "wallet_id": wallet, "created_at": at, "erased_at": None} for wallet, _ in born],
        tables.person: [person_row(core.work.vault, wallet, "", birthday.isoformat()) for wallet, birthday in born],
        tables.activity: [
            dict(zip(tables.activity.c.keys(), (each.wallet, *day), strict=True))
            for each in openings
            for day in each.days
        ],
        tables.membership: [
            member_row(each.wallet, programme, each.membership) for each in openings if each.membership is not None
        ],
    }


def account_row(account_id: int, wallet: int, unit: str) -> dict[str, Any]:
    return {
        "id": account_id,
        "kind": "wallet",
        "unit": unit,
        "wallet_id": wallet,
        "partner_id": None,
        "balance": 0,
    }


def _card(card_id: int, part: CardPart, at: datetime) -> dict[str, Any]:
    return {
        "id": card_id,
        "wallet_id": part.wallet,
        "product": part.product,
        "number": str(card_id),
        "status": "active",
        "issued_at": at,
        "activated_at": at,
        "expires_at": None,
        "pin": None,
        "pin_wrong": None,
        "pin_tries": 0,
    }


def person_row(vault: Vault, holder: int, name: str, birthday: str | None) -> dict[str, Any]:
    """A person of whom nothing else is known, under a key that dies with the scratch books."""
    key = new_key()
    return {
        "holder_id": holder,
        "wrapped_key": vault.wrap(key, place("wrapped_key", holder)),
        "name": seal(key, name.encode(), place("name", holder)),
        "phone": None,
        "email": None,
        "details": None,
        "birthday": None if birthday is None else seal(key, birthday.encode(), place(BIRTHDAY, holder)),
    }


def member_row(wallet: int, programme: str, held: Membership) -> dict[str, Any]:
    told = {name: getattr(held, name) for name in held.__struct_fields__}
    return {"wallet_id": wallet, "programme": programme, "raised_by": None, "before": None, "look_on": None, **told}


def _booked(state: State, wallet: int, holding: Holding) -> list[Posting]:
    """The entries by which this stands on the wallet, or leaves it: what is not there is owed."""
    account = state.account(wallet, holding.unit)
    issuer = next(number for number, code in state.directory.partners.items() if code == holding.issuer)
    moves = _moves(state, account, issuer, holding)
    return [*state.moved(account, moves), state.system(issuer, ADJUSTED, holding.unit, -holding.amount)]


def _moves(state: State, account: Account, issuer: int, holding: Holding) -> list[Move]:
    if holding.amount > 0:
        lot = state.open_lot(account, issuer, holding.available_from, holding.expires_at, holding.price_millionths)
        return [(lot, holding.amount), *repay(account.lots.values(), lot, holding.amount, {})]
    owed = -holding.amount
    if not holding.is_debt:
        free = max(available(account.lots.values(), state.now), 0)
        moves, _ = draw(account.lots.values(), min(owed, free), state.now)
        owed += sum(amount for _, amount in moves)
    else:
        moves = []
    return [*moves, (state.debt(account, issuer), -owed)] if owed else moves


def _cut(moved: Sequence[Moved]) -> Iterator[Sequence[Moved]]:
    for start in range(0, len(moved), MAX_BATCH):
        yield moved[start : start + MAX_BATCH]
