"""Identify: what a till needs to know of a card, for all cards of a batch in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import structs
from sqlalchemy import BigInteger, column

from processing import tables
from processing.balances import BALANCE, BALANCE_TYPES, balance_now
from processing.cards import why_unusable
from processing.commands import Identify, Ref
from processing.database import Row, Statement, array
from processing.errors import CardNotFound
from processing.names import DERIVED
from processing.people import read_field
from processing.programme.compiled import Programme
from processing.programme.facts import Facts
from processing.programme.payment import allowed, hundredths_of, payable_points
from processing.reading import Reading
from processing.results import Balance, Identified
from processing.state import canonical

_FACE = f"""
    c.number, c.status, c.product, c.expires_at, c.wallet_id, h.id, p.name, p.wrapped_key, {BALANCE}"""
_FACE_TYPES = (
    tables.card.c.number,
    tables.card.c.status,
    tables.card.c.product,
    tables.card.c.expires_at,
    tables.card.c.wallet_id,
    tables.holder.c.id,
    tables.person.c.name,
    tables.person.c.wrapped_key,
    *BALANCE_TYPES,
)
_OF_CARD = """
    JOIN account a ON a.wallet_id = c.wallet_id
    LEFT JOIN holder h ON h.wallet_id = c.wallet_id
    LEFT JOIN person p ON p.holder_id = h.id"""
FACES = Statement(
    f"""
    SELECT i.scheme, i.value, {_FACE}
    FROM identifier i JOIN card c ON c.id = i.card_id {_OF_CARD}
    WHERE i.value IN_TEXTS(:values)
    ORDER BY a.id
    """,
    tables.identifier.c.scheme,
    tables.identifier.c.value,
    *_FACE_TYPES,
)
# Where the account begins in a row that starts with the card's number.
_ACCOUNT = len(_FACE_TYPES) - len(BALANCE_TYPES)
_WALLET = _FACE_TYPES.index(tables.card.c.wallet_id)
# For cards that were found by what is worked out, not by a name that is kept.
CARDS_FACES = Statement(
    f"""
    SELECT c.id, {_FACE} FROM card c {_OF_CARD}
    WHERE c.id IN_IDS(:cards)
      AND a.wallet_id IN_ROWS(SELECT x.wallet_id FROM card x WHERE x.id IN_IDS(:cards) END_ROWS)
    ORDER BY a.id
    """,
    tables.card.c.id,
    *_FACE_TYPES,
)

# What one owner's open holds have set aside, by unit.
OWN_HOLDS = Statement(
    """
    SELECT a.unit, CAST(sum(k.amount) AS BIGINT) FROM account a JOIN hold k ON k.account_id = a.id
    WHERE a.wallet_id = :wallet AND k.state = 'open' AND k.until > :now AND k.store_id = :store AND k.owner = :owner
    GROUP BY a.unit
    """,
    tables.account.c.unit,
    column("amount", BigInteger),
)
# What was bought with a wallet, returns taken off; a day may stand under several units.
TURNOVER = Statement(
    "SELECT CAST(coalesce(sum(turnover_minor), 0) AS BIGINT) FROM activity WHERE wallet_id = :wallet",
    column("turnover_minor", BigInteger),
)

Faces = Mapping[Ref, Sequence[Row]]


def faces(reading: Reading, refs: Iterable[Ref]) -> Faces:
    """The rows of every card that one of these names leads to, by the name; a row per account.

    Names that are kept cost one statement for all of them; of the others ``reading`` knows the cards.
    """
    wanted = set(refs)
    values = sorted({ref.value for ref in wanted if ref.scheme not in DERIVED})
    found: dict[Ref, list[Row]] = {}
    if values:
        for scheme, value, *row in reading.rows(FACES, values=array(values), now=reading.now):
            found.setdefault(Ref(scheme, value), []).append(row)
    derived = {ref: reading.cards[ref].card_id for ref in wanted if ref.scheme in DERIVED and ref in reading.cards}
    by_card = faces_of_cards(reading, derived.values())
    return found | {ref: by_card[card_id] for ref, card_id in derived.items()}


def faces_of_cards(reading: Reading, card_ids: Iterable[int]) -> dict[int, list[Row]]:
    """The same by the cards' ids."""
    wanted = sorted(set(card_ids))
    found: dict[int, list[Row]] = {}
    if wanted:
        for card_id, *row in reading.rows(CARDS_FACES, cards=array(wanted), now=reading.now):
            found.setdefault(card_id, []).append(row)
    return found


def identified(reading: Reading, query: Identify, known: Faces) -> Identified:
    """The face of the first card that one of the names leads to. Errors: ForeignStore, CardNotFound."""
    reading.work.directory.store(query.store)
    rows = next((known[ref] for ref in map(canonical, query.refs) if ref in known), None)
    if rows is None:
        raise CardNotFound("no such card", scheme=query.refs[0].scheme if query.refs else "")
    number, status, product, expires_at, wallet_id, holder_id, name, wrapped_key, *_ = rows[0]
    balances = with_own(reading, balances_of(reading, rows), wallet_id, query.store, query.owner)
    programme = reading.work.directory.programme_of(product).programme
    refusal = why_unusable(status, expires_at, reading.now)
    today = reading.today(query.store)
    membership = reading.pasts.membership(wallet_id, programme, today)
    facts = reading.pasts.facts(wallet_id, programme, today)
    limit = None if query.order_minor is None else payable_points(programme, query.order_minor, facts)
    discount, bonus = names_of_tier(programme, membership.tier if membership else "")
    # An erased holder is nobody any more.
    is_known = wrapped_key is not None
    return Identified(
        number=number,
        account=wallet_id,
        holder_id=holder_id if is_known else 0,
        holder_name=read_field(reading.work.vault, holder_id, wrapped_key, "name", name) if is_known else "",
        status=status,
        usable=refusal.code if refusal else "",
        product=product,
        balances=balances,
        payable=tuple((balance.unit, _payable(programme, facts, balance, limit)) for balance in balances),
        discount=discount,
        bonus=bonus,
        expires_at=expires_at,
        tier=membership.tier if membership else "",
        payable_hundredths=hundredths_of(programme, facts),
        turnover_minor=reading.rows(TURNOVER, wallet=wallet_id)[0][0] if query.turnover else None,
    )


def names_of_tier(programme: Programme, tier: str) -> tuple[str, str]:
    """What a link maps to the till's discount and bonus: the tier's, else the programme's."""
    said = programme.document
    for level in said.tiers.levels if said.tiers else ():
        if level.tier == tier:
            return level.discount or said.discount, level.bonus or said.bonus
    return said.discount, said.bonus


def wallet_of(rows: Sequence[Row]) -> int:
    """The wallet in the rows of one card."""
    return int(rows[0][_WALLET])


def balances_of(reading: Reading, rows: Sequence[Row]) -> tuple[Balance, ...]:
    """The balances in the rows of one card."""
    return tuple(balance_now(reading, *row[_ACCOUNT:]) for row in rows)


def with_own(
    reading: Reading, balances: Iterable[Balance], wallet_id: int, store: str, owner: str
) -> tuple[Balance, ...]:
    """The balances as somebody sees them who holds a part of them already: to this one that part is free."""
    if not owner:
        return tuple(balances)
    store_id = reading.work.directory.store(store).id
    rows = reading.rows(OWN_HOLDS, wallet=wallet_id, store=store_id, owner=owner, now=reading.now)
    own: dict[str, int] = {row[0]: row[1] for row in rows}
    return tuple(
        structs.replace(each, available=each.available + own.get(each.unit, 0), held=each.held - own.get(each.unit, 0))
        for each in balances
    )


def _payable(programme: Programme, facts: Facts, balance: Balance, limit: int | None) -> int:
    """The most that a balance may pay; of the programme's own points no more than it allows, in its steps."""
    if balance.unit != programme.unit:
        return most_payable(balance, None)
    said = programme.document.payment
    most = min(most_payable(balance, limit), allowed(programme, facts))
    return 0 if balance.available < said.least else most - most % said.step


def most_payable(balance: Balance, limit: int | None) -> int:
    """What of a balance an order may be paid with; the limit is the programme's unit's only."""
    free = max(balance.available, 0)
    return free if limit is None else min(free, limit)
